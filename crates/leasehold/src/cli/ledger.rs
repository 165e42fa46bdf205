//! What can be typed about the ledger itself: where it is, its backup, its tables.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use leasehold_store::{Place, PlaceError};

/// Where a ledger is, as it was typed. It is understood when it is used and not before: clap repeats what it refuses, and an
/// address may hold a password.
#[derive(Clone)]
pub struct At(String);

impl At {
    /// The file or the server.
    pub fn place(&self) -> Result<Place, PlaceError> {
        self.0.parse()
    }
}

impl FromStr for At {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Ok(place) => write!(f, "{place}"),
            Err(error) => write!(f, "{error}"),
        }
    }
}

/// Where documents come from.
#[derive(Args, Clone, Debug, Default)]
pub struct Ledger {
    /// Read this ledger instead of the cluster: a file, or postgres://… The operator may go on writing it.
    #[arg(long, value_name = "LEDGER")]
    pub db: Option<At>,
}

/// `leasehold backup`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold backup --db /var/lib/leasehold/ledger.db -f ledger-2026-10-01.db
  leasehold backup --db postgres://auditor@db.example/ledger -f ledger-2026-10-01.db
  kubectl -n leasehold-system exec leasehold-0 -- leasehold backup --db /var/lib/leasehold/ledger.db > ledger-2026-10-01.db

The operator may go on meanwhile; what it writes after the beginning is left out. Every row is recomputed on the way, so that
a damaged ledger gives no backup. Without -f the file is made in TMPDIR (or /tmp) first, which must have room for it. The file is a ledger itself: `leasehold verify --db` and all other commands read it.
Of a server it needs a role that may read. A password is better in PGPASSWORD or a file of PGPASSFILE than in an argument.")]
pub struct BackupArgs {
    /// Ledger: a file, or postgres://…
    #[arg(long, value_name = "LEDGER")]
    pub db: At,
    /// File to write; it must not exist. Without it standard output.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `leasehold restore`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold restore ledger-2026-10-01.db --into /var/lib/leasehold/ledger.db
  leasehold restore ledger-2026-10-01.db --into postgres://leasehold@db.example/ledger

Stop the operator first. The ledger must be empty, or hold the first rows of the backup, as after a restore that was broken
off: it goes on from there. Tables on a server are made before, with `leasehold ledger migrate`. It moves a ledger from a file
into a server, or back, as well: rows and hashes are the same in both. Compare the head with one that was published.")]
pub struct RestoreArgs {
    /// Backup, or any ledger file.
    pub file: PathBuf,
    /// Ledger to fill: a file, or postgres://… with the role that the operator uses.
    #[arg(long, value_name = "LEDGER")]
    pub into: At,
}

/// What to do with the ledger's tables.
#[derive(Subcommand, Debug)]
pub enum LedgerCommand {
    /// Make the ledger's tables, or bring them to this version.
    Migrate(MigrateArgs),
}

/// `leasehold ledger migrate`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold ledger migrate --db postgres://ledger_owner@db.example/ledger --service leasehold --reader auditor

For a ledger on a server, before the operator starts and before each upgrade of it. The role of the address becomes the owner
of the tables, and is used for nothing else: the operator refuses to write with a role that could change what is written.
--service and --reader take from the roles all rights on the tables and give them what they need. A ledger in a file is
migrated by the operator when it starts.")]
pub struct MigrateArgs {
    /// Ledger: postgres://… with the role that owns the database.
    #[arg(
        long,
        value_name = "LEDGER",
        env = "LEASEHOLD_OWNER_DB",
        hide_env_values = true
    )]
    pub db: At,
    /// Role that the operator connects as; it must exist.
    #[arg(long, value_name = "ROLE")]
    pub service: Option<String>,
    /// Role that only reads, for auditors and backups; it must exist.
    #[arg(long, value_name = "ROLE")]
    pub reader: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_shown_without_a_password_also_where_it_makes_no_sense() {
        for text in [
            "postgres://leasehold:s3cret@db.example/ledger",
            "postgres://leasehold:s3cret/@db.example/ledger",
            "mysql://leasehold:s3cret@db.example/ledger",
        ] {
            let at: At = text.parse().unwrap();
            assert!(!format!("{at:?}").contains("s3cret"), "{at:?}");
        }
    }
}
