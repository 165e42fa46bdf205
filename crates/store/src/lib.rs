//! The ledger's SQL.
//!
//! A [`Store`] remembers facts, documents and journal entries in the order in which they came, as
//! one hash chain. What it has taken it never changes: the database refuses UPDATE and DELETE, a
//! key belongs to one body for ever, and a batch is written whole or not at all. One process
//! writes; any number read beside it. What may leave are facts of periods that were closed long ago:
//! a [`Keeper`] moves them into an [`ArchiveFile`], and the chain stays provable.
//!
//! A ledger is a SQLite file or a database of PostgreSQL ([`Place`]); the same records have the same
//! hashes in both, and [`Store::copy_into`] takes a ledger from either into either. The statements are
//! plain SQL with `$1` placeholders, without arithmetic on quantities, times or amounts; only the
//! migrations, the opening and the appending know which database it is.

mod append;
mod archive;
mod backend;
mod codec;
mod copy;
mod cursors;
mod drill;
mod error;
mod integrity;
mod leader;
mod lock;
mod objects;
mod place;
mod read;
mod record;
mod rights;
mod schema;
mod store;

pub use archive::{ArchiveFile, Archived, Due, Keeper};
pub use drill::{Edge, Gate, Passage};
pub use error::StoreError;
pub use integrity::first_look;
pub use place::{Place, PlaceError, ServerUrl};
pub use record::{Batch, Committed, Cursor, FactFilter, Integrity, RawDocument, Record, Recorded};
pub use store::{APPEND, Roles, Store, Troubles};
