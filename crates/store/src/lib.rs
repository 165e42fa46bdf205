//! The ledger's SQL.
//!
//! A [`Store`] remembers facts, documents and journal entries in the order in which they came, as
//! one hash chain. What it has taken it never changes: the database refuses UPDATE and DELETE, a
//! key belongs to one body for ever, and a batch is written whole or not at all. One process
//! writes; any number read beside it.
//!
//! The statements are plain SQL with `$1` placeholders, without arithmetic on quantities, times or
//! amounts; only the migrations, the opening and the appending know that the database is SQLite.

mod append;
mod codec;
mod drill;
mod error;
mod integrity;
mod lock;
mod read;
mod record;
mod schema;
mod store;

pub use drill::{Edge, Gate};
pub use error::StoreError;
pub use record::{Batch, Committed, Cursor, FactFilter, Integrity, RawDocument, Record, Recorded};
pub use store::{APPEND, Store};
