//! How fast use is recorded: facts into a ledger, and pods of a control plane by way of the watch.

mod bare;
mod outcome;
mod pods;
mod writing;

use std::io::{self, Write};

use leasehold_store::{PlaceError, StoreError};
use leasehold_testkit::Failure;

pub use outcome::Outcome;
pub use pods::{Caught, Watched};
pub use writing::Written;

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Facts that are written in each round. From 1.
    pub facts: u32,
    /// Pods that run at once. With 0 no control plane is started.
    pub pods: u32,
    /// Whether facts are written into PostgreSQL as well.
    pub server: bool,
}

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeterFailure {
    /// There is no folder for the ledger.
    #[error("failed to make a folder for the ledger; set TMPDIR to one that can be written")]
    Folder(#[source] io::Error),
    /// Nobody reads what is being done.
    #[error("failed to say what is being done")]
    Progress(#[source] io::Error),
    /// The ledger could not be written or read.
    #[error("failed to use the ledger")]
    Store(#[from] StoreError),
    /// There is no such ledger.
    #[error("failed to find the ledger")]
    Place(#[from] PlaceError),
    /// The rows could not be inserted without the ledger.
    #[error("failed to insert rows without the ledger")]
    Bare(#[from] sqlx::Error),
    /// A row of the ledger is no fact.
    #[error("failed to read a fact that was just written")]
    Fact(#[from] serde_json::Error),
    /// The control plane, the server or the operator failed.
    #[error("failed to set up what is measured")]
    Stage(#[from] Failure),
}

/// Measures what is asked for. Says on `progress` what it is doing. Everything that it started ends with this process.
pub async fn measure(size: Size, progress: &mut impl Write) -> Result<Outcome, MeterFailure> {
    say(
        progress,
        &format!(
            "writing {} facts into SQLite, with and without a ledger",
            size.facts
        ),
    )?;
    let file = Box::pin(writing::into_file(size.facts)).await?;
    let mut server = None;
    if size.server {
        say(
            progress,
            &format!(
                "writing {} facts into PostgreSQL, with and without a ledger",
                size.facts
            ),
        )?;
        server = Some(Box::pin(writing::into_server(size.facts)).await?);
    }
    let mut watched = None;
    if size.pods > 0 {
        watched = Some(Box::pin(pods::measure(size.pods, progress)).await?);
    }
    Ok(Outcome {
        size,
        file,
        server,
        watched,
    })
}

fn say(progress: &mut impl Write, what: &str) -> Result<(), MeterFailure> {
    writeln!(progress, "{what}").map_err(MeterFailure::Progress)
}
