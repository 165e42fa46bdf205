//! What `leasehold gaps` takes.

use clap::Args;

use super::Ledger;

/// `leasehold gaps`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold gaps --open
  leasehold gaps --period 2026-09 -o json
  leasehold gaps --db ledger.db

A gap stands in the way of a close that comes by itself. Finance accepts it by the approval that the list names, or with its
word to close the period. From the cluster: those of periods that are kept, the first 32 of each.")]
pub struct GapsArgs {
    /// Billing period, as 2026-09.
    #[arg(long, value_name = "NAME")]
    pub period: Option<String>,
    /// Only those that nobody has accepted, of periods that are not closed.
    #[arg(long)]
    pub open: bool,
    /// Where gaps come from.
    #[command(flatten)]
    pub ledger: Ledger,
}
