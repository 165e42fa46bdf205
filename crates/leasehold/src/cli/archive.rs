//! What can be typed about archives.

use std::path::PathBuf;

use clap::Args;

use super::At;

/// Where the files of archives are.
#[derive(Args, Clone, Debug, Default)]
pub struct Archives {
    /// Folder with the files that `leasehold archive` has made of the ledger. Needs --db.
    #[arg(long, value_name = "FOLDER", requires = "db")]
    pub archive: Option<PathBuf>,
}

/// `leasehold archive`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold archive --db postgres://ledger_owner@db.example/ledger --to /srv/archive --dry-run
  leasehold archive --db postgres://ledger_owner@db.example/ledger --to /srv/archive
  leasehold archive --db /var/lib/leasehold/ledger.db --to /srv/archive --through 2026-09
  leasehold verify --db /var/lib/leasehold/ledger.db --archive /srv/archive

Moves the records of use of each period that was closed long enough ago (spec.closing.archiveAfterDays of the CloudPolicy)
into one file per period. What a running period can still need stays, and so do statements, documents and the journal. The
ledger keeps a document with the file's digest, by which `leasehold verify` proves it with the files and without them.

Each file is written, brought to the disk, read back and recomputed before anything leaves the ledger. Stopped at any moment,
the command is simply repeated. The operator may go on meanwhile; what it writes waits while rows are taken out. Of a ledger
on a server it needs the role that owns the tables. Keep the files as long as the ledger, in two places.")]
pub struct ArchiveArgs {
    /// Ledger: a file, or postgres://… with the role that owns the tables.
    #[arg(long, value_name = "LEDGER")]
    pub db: At,
    /// Folder for the files; it must exist.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Last period to archive, as 2026-09; without it all that are due.
    #[arg(long, value_name = "NAME")]
    pub through: Option<String>,
    /// Say what would be moved, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
