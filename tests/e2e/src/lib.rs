//! End-to-end tests of leasehold on a real control plane.
//!
//! Each file in `tests/` is a program with a control plane of its own, because there is one operator
//! and one CloudPolicy on a control plane. Tests of one file run side by side; each has departments
//! of its own. This library is what they share: the operator on its stage, the steps that every
//! story begins with, and people who send what no typed client would.

pub mod arithmetic;
pub mod bench;
pub mod deliveries;
mod glass;
pub mod history;
pub mod leases;
mod office;
pub mod overlay;
pub mod person;
pub mod recount;
mod stage;
pub mod tables;
mod timing;

pub use office::Office;
pub use stage::{PERIODS, Stage};
pub use timing::Timing;
