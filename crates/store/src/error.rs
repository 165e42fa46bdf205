//! What can go wrong between the ledger and its database.

use std::path::PathBuf;

use leasehold_ledger::archive::HoleError;
use leasehold_ledger::canonical::{CanonicalError, Digest};
use leasehold_ledger::journal::JournalError;

use crate::{Place, PlaceError};

/// A refusal or a failure of the store. Nothing of a refused batch has been written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes this ledger.
    #[error(
        "failed to open {place} for writing: {holder} holds its lock; stop that process first, or \
         open the ledger read-only"
    )]
    Locked {
        /// The ledger.
        place: Place,
        /// Who holds the lock, as it wrote itself down.
        holder: String,
    },
    /// The lock file beside the database could not be opened or written.
    #[error(
        "failed to take the lock file {}; its folder must exist and be writable",
        .path.display()
    )]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no ledger.
    #[error("failed to open {place}: it holds no leasehold ledger; check the path")]
    NotALedger {
        /// The database.
        place: Place,
    },
    /// The database's schema is not the one that this program knows.
    #[error(
        "failed to open {place}: its schema has version {found}, this program knows version {known}; \
         {remedy}"
    )]
    SchemaVersion {
        /// The database.
        place: Place,
        /// The version of the last migration that the database has seen.
        found: u32,
        /// The version of the last migration that this program has.
        known: u32,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Rows were copied into it, and not all of them.
    #[error(
        "failed to open {place} for writing: it holds the first rows of a ledger alone, because a restore was broken off; \
         run `leasehold restore` into it again, it goes on from there, or take an empty ledger"
    )]
    Unfinished {
        /// The ledger.
        place: Place,
    },
    /// A migration that was applied once reads differently now.
    #[error(
        "failed to migrate: migration {version} was applied with digest {applied}, this program \
         has it with digest {known}; run the program that made this database"
    )]
    MigrationChanged {
        /// The number of the migration.
        version: u32,
        /// The digest that the database recorded when the migration was applied.
        applied: String,
        /// The digest of this program's file.
        known: Digest,
    },
    /// The key is taken by something else. What is remembered is never replaced.
    #[error(
        "failed to append {kind} {key}: the ledger holds it since row {seq} with digest {stored}, \
         offered was {offered}; nothing of the batch was written"
    )]
    KeyConflict {
        /// `fact`, `document` or `entry`.
        kind: String,
        /// The key within the kind.
        key: String,
        /// The row that holds the key.
        seq: u64,
        /// The digest of what is remembered.
        stored: Digest,
        /// The digest of what was offered.
        offered: Digest,
    },
    /// Facts were archived while others were read, again and again, so that what was read does not fit together.
    #[error("failed to read all rows at one instant: facts were archived meanwhile; repeat it")]
    Moved,
    /// Somebody appended since the batch was computed.
    #[error(
        "failed to append: the batch was computed from row {expected}, the ledger ends with row \
         {found}; read the ledger again and compute the batch anew"
    )]
    Conflict {
        /// The head that the batch was computed from.
        expected: u64,
        /// The head that the ledger has.
        found: u64,
    },
    /// Somebody appended to the part of the ledger that the batch was computed from.
    #[error(
        "failed to append: the batch was computed from row {expected} as the latest document of \
         kind {kind} under {path}, the ledger has row {found} there; read them again and compute \
         the batch anew"
    )]
    Overtaken {
        /// The kind of the documents.
        kind: String,
        /// What their subjects begin with.
        path: String,
        /// The latest row that the batch was computed from.
        expected: u64,
        /// The latest row that the ledger has.
        found: u64,
    },
    /// A rehearsal and real billing never share a ledger.
    #[error(
        "failed to open period {period}: this ledger {}; use another database for it",
        kind_of_ledger(*.ledger_rehearses)
    )]
    MixedRehearsal {
        /// The period that was to be opened.
        period: String,
        /// Whether the periods that the ledger has seen were rehearsals.
        ledger_rehearses: bool,
    },
    /// A document's body is not canonical JSON, so its digest would depend on who wrote it.
    #[error(
        "failed to append document {key}: its body is not canonical JSON; make the record with \
         Record::document"
    )]
    NotCanonical {
        /// The kind and key of the document.
        key: String,
    },
    /// An entry that is none: unbalanced, or its postings are out of order.
    #[error("failed to append an entry; make entries with Entry::new")]
    Entry {
        /// What is wrong with it.
        #[source]
        source: JournalError,
    },
    /// A value does not fit the database's 64-bit integers.
    #[error("failed to store {what} {value}: it does not fit a signed 64-bit integer")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// The call took too long. For a commit the outcome is unknown: commit the same batch again;
    /// what was written already then counts as unchanged.
    #[error(
        "failed to {operation} within {milliseconds} ms; the disk is slow or another program holds \
         the database; try again, it is safe"
    )]
    Deadline {
        /// What was being done.
        operation: &'static str,
        /// The deadline in milliseconds.
        milliseconds: u128,
    },
    /// The store was opened for reading.
    #[error("failed to append: {place} is open read-only; open it for writing")]
    ReadOnly {
        /// The ledger.
        place: Place,
    },
    /// Somebody else opened the ledger for writing after this process did.
    #[error(
        "failed to append: this process writes with epoch {own}, and {holder} has taken over with \
         epoch {newest}; nothing of the batch was written, and this process must end"
    )]
    Fenced {
        /// The epoch that this process took when it opened the ledger.
        own: u64,
        /// The newest epoch.
        newest: u64,
        /// Who has it.
        holder: String,
    },
    /// What this process wrote is not in the ledger any more: a replica took over that had not received it, or the database
    /// was restored to an earlier instant.
    #[error(
        "failed to append: this process wrote row {seq} with hash {written}, and the ledger, which ends with row {head}, does \
         not have it any more; nothing of the batch was written, and this process must end: the next one goes on from where \
         the ledger stands"
    )]
    Rewound {
        /// The last row that this process has written or seen when it wrote.
        seq: u64,
        /// Its hash.
        written: Digest,
        /// The last row that the ledger has.
        head: u64,
    },
    /// The role could change what is remembered.
    #[error(
        "failed to open {place} for writing: its role {role} owns the ledger or may change its \
         rows; open it with a role that may only append (leasehold ledger migrate --service ROLE)"
    )]
    TooManyRights {
        /// The ledger.
        place: Place,
        /// The role.
        role: String,
    },
    /// The role could not take facts out of the ledger.
    #[error(
        "failed to open {place} for archiving: its role {role} may not take rows out; open it with the role that owns the \
         tables (the one of leasehold ledger migrate)"
    )]
    TooFewRights {
        /// The ledger.
        place: Place,
        /// The role.
        role: String,
    },
    /// A file that is not the archive that it should be.
    #[error("failed to trust the archive {}: {what}", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file of an archive could not be made.
    #[error(
        "failed to write {}; its folder must exist and be writable, and nothing was changed in the ledger",
        .path.display()
    )]
    ArchiveFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A volume that would be full.
    #[error(
        "failed to begin the archive in {}: its {rows} rows may take {needed} bytes, {free} are free there; name a folder on \
         another volume, nothing was changed",
        .folder.display()
    )]
    Room {
        /// The folder.
        folder: PathBuf,
        /// How many rows the archive has.
        rows: u64,
        /// How many bytes they may take.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// Rows that cannot be taken out of the chain.
    #[error("failed to reckon the chain without the rows that are archived")]
    Holes {
        /// What is wrong with them.
        #[from]
        source: HoleError,
    },
    /// Rows are needed that lie in archives which are not at hand.
    #[error(
        "failed to read rows {first} to {last}: they lie in archives; name the folder with their files (--archive FOLDER)"
    )]
    Archived {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// An address of a database that is none.
    #[error("failed to open the ledger")]
    Address {
        /// What is wrong with it.
        #[source]
        source: PlaceError,
    },
    /// The ledger that rows are copied into holds others.
    #[error(
        "failed to copy the ledger into {place}: it holds {rows} rows, which are not the first rows \
         of the copied one; copy into an empty ledger"
    )]
    AnotherLedger {
        /// The ledger that was to be written.
        place: Place,
        /// How many rows it has.
        rows: u64,
    },
    /// What the database holds is not what was written into it.
    #[error(
        "failed to trust row {seq} of the ledger: {what}; stop billing, run `leasehold verify` and \
         restore a backup whose head matches a published one"
    )]
    Corrupt {
        /// The row; 0 when it concerns the whole file.
        seq: u64,
        /// What differs.
        what: String,
    },
    /// A remembered body does not fit the type that reads it.
    #[error("failed to read {kind} {key} of row {seq}; a newer program may have written it")]
    Decode {
        /// The row.
        seq: u64,
        /// The kind of the record.
        kind: String,
        /// Its key.
        key: String,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
    /// A body has no canonical form.
    #[error("failed to write {what} as canonical JSON")]
    Canonical {
        /// Which record.
        what: String,
        /// Why not.
        #[source]
        source: CanonicalError,
    },
    /// The server of the database is away, or too busy to answer. Connections are made anew with the next call.
    #[error(
        "failed to {operation}: the ledger's database does not answer; nothing is lost, what was \
         asked for may be asked for again"
    )]
    Unreachable {
        /// What was being done.
        operation: &'static str,
        /// What the connection said.
        #[source]
        source: sqlx::Error,
    },
    /// The database refused or failed.
    #[error("failed to {operation} in the ledger's database")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

/// How the refusal of a mixed ledger names the ledger.
fn kind_of_ledger(rehearses: bool) -> &'static str {
    if rehearses {
        "is a rehearsal"
    } else {
        "has seen a real period"
    }
}

/// SQLSTATEs, or their beginnings, of a server that is away or busy: connections that broke or were ended, a server that
/// starts or stops, statements and locks that took too long. SQLite's codes are shorter.
const AWAY: [&str; 6] = ["08", "57P0", "57014", "55P03", "25P03", "53300"];

/// How long a SQLSTATE is.
const SQLSTATE: usize = 5;

/// For `map_err`: the database's error, with what was being done.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| {
        if is_away(&source) {
            StoreError::Unreachable { operation, source }
        } else {
            StoreError::Database { operation, source }
        }
    }
}

/// SQLite's codes for a file that is none of its own or is damaged; more is told in the bits above the lowest eight.
const DAMAGED: [u32; 2] = [11, 26];

/// Whether SQLite says that its file is damaged.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.filter(|code| code.len() < SQLSTATE)
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| DAMAGED.contains(&(code & 0xff)))
}

fn is_away(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let says_so = code.is_some_and(|code| {
        code.len() == SQLSTATE && AWAY.iter().any(|away| code.starts_with(away))
    });
    says_so
        || matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_mixed_ledger_says_which_kind_of_ledger_it_is() {
        let real = StoreError::MixedRehearsal {
            period: "r1".to_owned(),
            ledger_rehearses: false,
        };
        let rehearsal = StoreError::MixedRehearsal {
            period: "2026-09".to_owned(),
            ledger_rehearses: true,
        };
        assert_eq!(
            real.to_string(),
            "failed to open period r1: this ledger has seen a real period; use another database \
             for it"
        );
        assert_eq!(
            rehearsal.to_string(),
            "failed to open period 2026-09: this ledger is a rehearsal; use another database for it"
        );
    }

    #[test]
    fn the_refusal_of_a_second_writer_names_the_holder_and_the_file() {
        let error = StoreError::Locked {
            place: Place::File(PathBuf::from("/data/ledger.db")),
            holder: "process 7 on leasehold-0".to_owned(),
        };
        let text = error.to_string();
        assert!(text.contains("/data/ledger.db"), "{text}");
        assert!(text.contains("process 7 on leasehold-0"), "{text}");
    }

    #[test]
    fn a_broken_connection_is_told_apart_from_a_database_that_refuses() {
        let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let away = failed("read the head")(sqlx::Error::Io(gone()));
        assert!(matches!(away, StoreError::Unreachable { .. }), "{away}");
        assert!(away.to_string().contains("does not answer"), "{away}");
        let refused = failed("read the head")(sqlx::Error::RowNotFound);
        assert!(matches!(refused, StoreError::Database { .. }), "{refused}");
    }
}
