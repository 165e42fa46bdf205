//! What can be typed to prove a ledger.

use std::path::PathBuf;

use clap::Args;
use leasehold_ledger::canonical::Digest;

use super::{Archives, At};

/// `leasehold verify`.
#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["file", "db"]),
    after_long_help = "\
Examples:
  leasehold verify evidence-2026-09.jsonl
  leasehold verify evidence-2026-09.jsonl --head sha256:…   (the head that a printed statement shows)
  leasehold verify --db ledger.db
  leasehold verify --db ledger.db --archive /srv/archive

Recomputes every digest, the chain, the journal and every closed period from the facts, and names the first row that
differs; of a ledger also its pages and what the chain does not cover. Exit code 2 says that something differs. Without a
head that you kept yourself, a ledger that was rewritten as a whole cannot be told from a true one.

Of a ledger whose facts were archived, the periods concerned are marked as sealed without --archive: their rows are proven
to be in the chain, and their statements to be those that were closed, but they are not computed again."
)]
pub struct VerifyArgs {
    /// Evidence file.
    #[arg(conflicts_with = "archive")]
    pub file: Option<PathBuf>,
    /// Ledger: a file, or postgres://…
    #[arg(long, value_name = "LEDGER")]
    pub db: Option<At>,
    /// Where archived rows are.
    #[command(flatten)]
    pub archives: Archives,
    /// Head of the chain that you kept, as sha256:… on a statement or a billing period. It must occur.
    #[arg(long, value_name = "DIGEST")]
    pub head: Option<Digest>,
}

/// `leasehold evidence`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold evidence --period 2026-09 --db ledger.db -f evidence-2026-09.jsonl

The file holds every row up to the close of the period: facts, price books, policies, approvals, journal, statements.
Anybody verifies it with `leasehold verify` and nothing else.")]
pub struct EvidenceArgs {
    /// Closed billing period, as 2026-09.
    #[arg(long, value_name = "NAME")]
    pub period: String,
    /// Ledger: a file, or postgres://…
    #[arg(long, value_name = "LEDGER")]
    pub db: At,
    /// File to write; without it standard output.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where archived rows are. The file holds them as well.
    #[command(flatten)]
    pub archives: Archives,
}
