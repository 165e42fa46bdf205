//! The ledger of leasehold: what was used, what it costs, who pays, and the proof of all three.
//!
//! Everything here is a pure function of its arguments. Facts about leased and used capacity become
//! [`fact::Interval`]s; intervals and published price books become rated lines; lines and credit
//! lots become statements and journal entries; and the hash chain over all of it lets anybody who
//! holds the rows recompute every cent.
//!
//! # Invariants
//!
//! 1. Amounts, prices, quantities and instants are integers or exact rationals. A line is rounded
//!    once, half up; a statement is the sum of its lines.
//! 2. Intervals are half-open, and splitting one at any second changes no total. Periods of one
//!    zone tile the time line without gap or overlap, whatever its clocks do.
//! 3. The same input gives the same bytes: documents have one canonical form, and the order in
//!    which facts, books and lots arrive does not show in it.
//! 4. The same key with the same body is nothing new; the same key with another body is an error.
//! 5. The postings of an entry add up to zero and no lot falls below zero.
//!
//! # What this crate must not know
//!
//! No clock: every instant is an argument. No Kubernetes, no database, no network, no async
//! runtime, no environment. Callers turn their objects into the types of this crate and store the
//! results.

// Money must not wrap. Test code is left out: it computes expected values with plain operators.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// Gives a type that has `Display` and `FromStr` the same form in JSON: one string.
macro_rules! serde_as_string {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub mod archive;
pub mod book;
pub mod canonical;
pub mod claims;
pub mod close;
pub mod document;
pub mod explain;
pub mod fact;
pub mod journal;
pub mod lot;
pub mod money;
pub mod policy;
pub mod quote;
pub mod rating;
pub mod statement;
pub mod time;
pub mod verify;
