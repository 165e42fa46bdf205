//! What tests stand on: a real control plane, the chart, people, and the operator.
//!
//! [`Rig::shared`] gives the one control plane of a test binary, with the chart installed by Helm and
//! its policies in force; [`Rig::empty`] gives one without. [`Rig::user`] gives people of their own: each
//! has a client certificate and the rights that the chart gives to its role, no more. [`OperatorProcess`]
//! is the program as it is built, run with a token of the chart's `ServiceAccount`. [`eventually`] is how a
//! test waits: for a condition, never for a time. [`proxy`] stands between the operator and the API server
//! where things are to go wrong; [`ends`] compares what comes of it with what comes of it undisturbed.
//! [`PostgresServer`] is a real server for ledgers that are kept in one, [`SettableClock`] a clock of the operator's that may
//! be wrong.
//!
//! Invariants:
//! - Nothing is skipped: what cannot start is a [`Failure`] that says why and what to do.
//! - No test acts as the cluster's administrator where a role of the chart exists for the deed.
//! - Nothing outlives the test's process.
//!
//! Tests of one binary run side by side on one control plane; names (department codes, above all)
//! keep them apart. This crate must not know controllers, and nothing but tests depends on it.

mod audit;
mod command;
pub mod ends;
mod failure;
pub mod manifests;
mod operator;
mod postgres;
pub mod proxy;
mod rig;
mod session;
mod settable_clock;
pub mod snapshots;
mod user;
mod wait;

pub use audit::Write;
pub use command::Ran;
pub use failure::Failure;
pub use operator::{HEAP, LogFormat, OperatorOptions, OperatorProcess};
pub use postgres::{PostgresDatabase, PostgresServer};
pub use rig::{NAMESPACE, Rig, SERVICE_ACCOUNT, program, repository};
pub use session::Session;
pub use settable_clock::SettableClock;
pub use user::User;
pub use wait::{LONG, eventually};
