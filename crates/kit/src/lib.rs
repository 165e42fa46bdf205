//! The only code of leasehold that talks to the API server, and the only code that reads a clock.
//!
//! It knows no kind of ours: everything is generic over the kind. What it adds to `kube`:
//!
//! - every call has a deadline, and only verbs that may be repeated are repeated ([`Kit`]);
//! - writes that would change nothing are not sent ([`mod@write`]);
//! - who made an object other than it should be, as far as its managed fields tell ([`blame`]);
//! - the API server's clock is known to a fraction of a second ([`server_time`]);
//! - a watch that resumes from a stored version and never lists when it can resume ([`watch`]);
//! - controllers whose reconciles are bounded, measured and backed off per object ([`run`]), also of objects that never come
//!   to rest ([`spacing`]), and with work that waits while there is more urgent ([`rush`]);
//! - caches, from which controllers read and by which they are woken ([`cache`]), with the sets of `managedFields` in little room
//!   ([`owned`]), shutdown on signals ([`shutdown`]), metrics ([`metrics`]).

pub mod backoff;
pub mod blame;
pub mod cache;
mod call;
pub mod client;
pub mod clock;
mod difference;
mod discovery;
pub mod error;
pub mod events;
#[cfg(test)]
mod fake;
pub mod heartbeat;
pub mod metrics;
pub mod owned;
pub mod pressed;
pub mod probe;
mod quantity;
pub mod read;
pub mod run;
pub mod rush;
pub mod server_time;
pub mod shutdown;
pub mod spacing;
mod tally;
pub mod watch;
pub mod write;

pub use crate::{
    blame::{Standing, Writer},
    client::{ConnectError, ConnectOptions, FIELD_MANAGER, Kit, connect},
    clock::{Clock, ManualClock, SystemClock},
    error::{Failure, KitError},
    events::EventType,
    read::{Followed, Listed, Readable},
    run::ReconcileError,
    server_time::ServerTime,
    shutdown::Shutdown,
    write::{Object, Outcome},
};
