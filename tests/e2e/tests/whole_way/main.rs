//! The whole way of one department: from a manifest to a bill that anybody can check. The manifests
//! are those of `examples/`, and every step is taken by the person whose it is.
//!
//! `story` is what people do, `proof` how each of them can check the bill, `columns` what `kubectl`
//! tells them on the way.

#[cfg(test)]
mod columns;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod story;
