//! Calendar months: what is over waits, closes on finance's word and in order, and can be
//! recounted.
//!
//! A month does not end within a test. So the two before the running one are written into the
//! ledger before the operator knows of any period (`past`), as they would stand there had it run
//! since. It takes them up (`scene`), and from there everything is done by it and by people with
//! their own rights (`story`). `calendar` and `bill` reckon beside them, without the product.

#[cfg(test)]
mod bill;
#[cfg(test)]
mod calendar;
#[cfg(test)]
mod past;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod story;
