//! What people do with leasehold's command line on the real control plane, each with their own rights,
//! and what the policy decides without any of them.
//!
//! The policy is that of `examples/` with a ceiling below which nobody is asked. Leases of the other
//! stories here are above it, so that a person decides them.

#[cfg(test)]
mod automatic;
#[cfg(test)]
mod bills;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod hardware;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod openings;
#[cfg(test)]
mod release;
