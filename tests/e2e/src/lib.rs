//! End-to-end tests of leasehold on a real control plane.
//!
//! Each file in `tests/` is a program with a control plane of its own, because there is one operator
//! and one CloudPolicy on a control plane. Tests of one file run side by side; each has departments
//! of its own. This library is what they share: the operator on its stage, and the steps that every
//! story begins with.

pub mod arithmetic;
pub mod bench;
mod office;
pub mod overlay;
pub mod recount;
mod stage;

pub use office::Office;
pub use stage::{PERIODS, Stage};
