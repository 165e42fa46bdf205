//! A model of the Kubernetes API server that runs in the process of a test.
//!
//! [`Store`] is a state machine without a clock, a thread or chance of its own: [`Store::handle`] turns one call, who
//! sent it and an instant into an answer and into events. What it does was written after the sources of Kubernetes 1.36:
//! versions and optimistic locks, generation, status apart from the rest, finalizers, defaults, pruning, validation and
//! CEL rules of our definitions, field ownership with server-side apply, watches with bookmarks and expiry, quota at
//! admission. [`Store::chores`] are the controllers that a cluster runs beside its API server, one step at a time:
//! namespaces that end, quotas that are counted, objects whose owner is gone.
//!
//! [`Server`] puts it behind a [`kube::Client`], with a clock and with [`Faults`]: crashes of the client around any of
//! its writes, refusals, and watches that lag, break, expire or lose events, all from one seed.
//!
//! What it leaves out, on purpose: authentication and rights, admission policies of the chart except the stamps and the
//! probe that the operator depends on ([`mod@admission`]), conversion, strategic merge patches, deletion in the
//! foreground, pages of lists, scheduling and running pods.
//!
//! `tests/e2e/tests/conformance` sends the same calls to it and to the API server, random ones from seeds and sharp ones
//! from a table, and compares answers, field owners, lists and events; of kinds of Kubernetes it does not try the defaults
//! and the validation, which are not here either.
//!
//! Architecture invariant: nothing but tests depends on it, and it knows no controller.

pub mod admission;
mod amount;
mod bell;
mod call;
mod chance;
mod chores;
mod create;
mod delete;
mod door;
mod ending;
mod faults;
mod fields;
mod kinds;
mod managed;
mod merge;
mod object;
mod patch;
mod quota;
mod refusal;
mod reply;
mod schema;
mod selector;
mod server;
mod shape;
mod store;
mod update;
mod watch;
mod wire;

pub use crate::{
    call::{Call, PatchKind, Verb},
    chance::Chance,
    chores::Chore,
    faults::{Barred, Crash, Faults, Moment},
    kinds::{Kind, Kinds},
    refusal::Refusal,
    server::{RuntimeClock, Server, Written},
    store::{Answer, Event, EventKind, Key, Store},
};
