//! What can go wrong in a reconcile.

use leasehold_kit::{KitError, ReconcileError};
use leasehold_ledger::canonical::CanonicalError;
use leasehold_store::StoreError;

/// What can go wrong in a reconcile. "Not ready yet" is a value, never an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server failed.
    #[error("failed to reach what was asked for in the cluster")]
    Kit(#[from] KitError),
    /// The ledger could not be read or written.
    #[error("failed to read or write the ledger")]
    Store(#[from] StoreError),
    /// A document has no canonical form.
    #[error("failed to make a document's canonical form")]
    Canonical(#[from] CanonicalError),
    /// Something recorded cannot be understood.
    #[error("failed to understand {what}: {why}")]
    Understand {
        /// What was read.
        what: String,
        /// Why it makes no sense.
        why: String,
    },
}

impl Error {
    /// An error about something recorded that cannot be understood.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is handed the error in `map_err`"
    )]
    pub fn understand(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Understand {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Kit(error) => error.reason(),
            Self::Store(_) => "LedgerFailed",
            Self::Canonical(_) => "NotCanonical",
            Self::Understand { .. } => "NotUnderstood",
        }
    }

    fn is_terminal(&self) -> bool {
        false
    }
}
