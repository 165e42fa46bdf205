//! Metering: what runs is in the ledger to the second, as the API server and the kubelets recorded it, and
//! what could not be seen is bounded.
//!
//! There is one operator, and these tests run side by side, each with a department of its own. Whoever
//! stops it holds the stage's lock until it is back, and until the ledger has what the test is about.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod gap;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod named;
#[cfg(test)]
mod resize;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod unseen;
