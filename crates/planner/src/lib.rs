//! From what departments ask for and what the ledger knows to what should happen next.
//!
//! Every function here is pure: custom resources, documents of the ledger and observed quotas come
//! in, and decisions, desired objects, facts and refusals come out. Controllers read, call, and
//! write what they are told.
//!
//! # Invariants
//!
//! 1. Over the namespaces of a tenancy, the sum of max(`spec.hard`, `status.hard`) of each leased
//!    resource never exceeds the lease, after every single write ([`quota::quota_step`]).
//! 2. The same input gives the same output, byte for byte: desired objects can be applied again
//!    and again, and a reconcile of unchanged input writes nothing.
//! 3. Whatever is refused names its rule, what was asked, what is allowed and what to do
//!    ([`rules::Refusal`]).
//! 4. A decision binds to the digest of a snapshot; what is provisioned is the approved snapshot,
//!    never the manifest.
//!
//! # What this crate must not know
//!
//! No client, no clock, no runtime, no database. Days and instants are arguments.

pub mod acceptance;
pub mod adoption;
pub mod approval;
pub mod convert;
pub mod domains;
pub mod expiry;
pub mod fences;
pub mod final_bill;
pub mod funds;
pub mod gaps;
pub mod hardware;
pub mod hierarchy;
pub mod lease_facts;
pub mod limits;
pub mod objects;
pub mod papers;
pub mod quota;
pub mod reminders;
pub mod repair;
pub mod request;
pub mod retention;
pub mod review;
pub mod rules;
pub mod snapshots;
pub mod suspension;
pub mod systems;
pub mod volumes;
