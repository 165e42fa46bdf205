//! Reconcilers and meters: what the operator does about each kind.
//!
//! Each kind has a folder. A reconciler reads observe → validate → plan → apply → report: what is observed comes from
//! caches and the ledger, validation and planning are pure functions of `leasehold-planner` and `leasehold-ledger`,
//! every write goes through `leasehold-kit`, and the report is a status that is written only when it differs.
//!
//! Architecture invariant: nothing here builds a client, reads a clock or computes money.

pub mod adoption;
pub mod approvals;
pub mod books;
pub mod context;
pub mod departments;
mod drift;
pub mod error;
pub mod fences;
pub mod figures;
pub mod hardware;
pub mod leases;
pub mod measures;
pub mod meters;
pub mod organisation;
pub mod period;
pub mod platform;
pub mod price_book;
pub mod storage;
pub mod tenancy;
mod verdict;
mod wake;
pub mod world;

pub use books::Books;
pub use context::{Context, Settings};
pub use drift::Repairs;
pub use error::Error;
pub use fences::Fences;
pub use figures::Figures;
pub use leases::Leases;
pub use measures::Measures;
pub use world::World;
