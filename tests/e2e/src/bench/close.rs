//! How long a period takes to close: a ledger of its own, no control plane.

mod invented;
mod outcome;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use leasehold_controllers::period::reckon::{batch, reckon, records};
use leasehold_ledger::canonical::CanonicalError;
use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::money::MoneyError;
use leasehold_ledger::time::TimeError;
use leasehold_ledger::verify::{Report, Row, verify};
use leasehold_store::{Batch, Record, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::{JoinError, spawn_blocking};

use super::Memory;
pub use outcome::{Outcome, Times};

/// Pods of one batch; each has two facts, so that a batch holds 5,000 records.
const PODS: usize = 2500;
/// Rows that a verification reads at a time, as `leasehold verify` does in pages.
const PAGE: u32 = 1000;
/// What one call of the store may take here, instead of its own 30 seconds: a slow machine is to be
/// measured, not refused.
const DEADLINE: Duration = Duration::from_hours(1);

/// How large the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Departments; each gets a statement. From 1.
    pub departments: u32,
    /// Tenancies, dealt out to the departments in turn. From 1.
    pub tenancies: u32,
    /// Intervals of metered use, dealt out to the tenancies in turn; each is two facts. From 0.
    pub intervals: u32,
}

/// Why a close could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum CloseFailure {
    /// There is no folder for the ledger.
    #[error("failed to make a folder for the ledger; set TMPDIR to one that can be written")]
    Folder(#[source] io::Error),
    /// Nobody reads what is being done.
    #[error("failed to say what is being done")]
    Progress(#[source] io::Error),
    /// The ledger could not be written or read.
    #[error("failed to use the ledger")]
    Store(#[from] StoreError),
    /// What a close depends on could not be read, or the close not be written down.
    #[error("failed to read what the close depends on, or to write down what it gives")]
    Records(#[from] leasehold_controllers::Error),
    /// An invented document has no canonical form.
    #[error("failed to make a document's canonical form")]
    Canonical(#[from] CanonicalError),
    /// The invented ledger has an impossible date.
    #[error("failed to invent a ledger's dates")]
    Time(#[from] TimeError),
    /// The invented ledger has an impossible price.
    #[error("failed to invent a ledger's prices")]
    Money(#[from] MoneyError),
    /// A computation ended early.
    #[error("failed to compute in the background")]
    Joined(#[from] JoinError),
    /// The period cannot be closed; in words for people.
    #[error("failed to close the period: {0}")]
    Refused(String),
    /// The closed ledger does not stand up to verification; in words for people.
    #[error("failed to verify what was closed: {0}")]
    Differs(String),
}

/// What a close read and wrote, and when.
struct Closed {
    facts: usize,
    statements: usize,
    read: Duration,
    rate: Duration,
    commit: Duration,
}

/// Writes a ledger of that size, closes its period as the operator does, and verifies all of it.
/// Says on `progress` what it is doing. The ledger goes when this returns.
pub async fn measure(size: Size, progress: &mut impl Write) -> Result<Outcome, CloseFailure> {
    let folder = tempfile::tempdir().map_err(CloseFailure::Folder)?;
    let path = folder.path().join("ledger.db");
    let store = Store::open(&path).await?.with_deadline(DEADLINE);
    let open = invented::open()?;
    say(
        progress,
        &format!("writing a ledger of {} intervals", size.intervals),
    )?;
    let started = Instant::now();
    load(&store, size, &open).await?;
    let load = started.elapsed();
    let (loaded, _) = store.head().await?;
    say(progress, &format!("closing a period of {loaded} records"))?;
    let closed = Box::pin(close(&store, &open)).await?;
    let close_peak = peak();
    say(progress, "verifying the whole ledger")?;
    let started = Instant::now();
    let report = verified(&store).await?;
    let verify = started.elapsed();
    if let Some(finding) = report.finding {
        return Err(CloseFailure::Differs(format!("{finding:?}")));
    }
    let bytes = bytes(&path);
    store.close().await?;
    Ok(Outcome {
        size,
        records: loaded,
        facts: closed.facts,
        statements: closed.statements,
        gross: report.periods.iter().map(|p| p.gross.to_string()).collect(),
        times: Times {
            load,
            read: closed.read,
            rate: closed.rate,
            commit: closed.commit,
            verify,
        },
        close_peak,
        peak: peak(),
        bytes,
    })
}

fn say(progress: &mut impl Write, what: &str) -> Result<(), CloseFailure> {
    writeln!(progress, "{what}").map_err(CloseFailure::Progress)
}

/// The most that this process ever had in memory, in KiB.
fn peak() -> Option<u64> {
    Memory::of(process::id()).map(|memory| memory.peak)
}

/// The size of the ledger's file, without what is still in its write-ahead log.
fn bytes(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.len())
}

/// Writes everything that stands before the close, batch by batch.
async fn load(store: &Store, size: Size, open: &PeriodOpenDoc) -> Result<(), CloseFailure> {
    let now = open.period.span.to;
    let foundation = invented::foundation(size)?;
    store.commit(&Batch::of(foundation), now).await?;
    let mut numbers = 0..size.intervals;
    loop {
        let records: Vec<Record> = numbers
            .by_ref()
            .take(PODS)
            .flat_map(|number| invented::pod(size, open, number))
            .collect();
        if records.is_empty() {
            return Ok(());
        }
        store.commit(&Batch::of(records), now).await?;
    }
}

/// What the operator does when it closes a period, with a clock at each step.
async fn close(store: &Store, open: &PeriodOpenDoc) -> Result<Closed, CloseFailure> {
    let now = open.period.span.to.plus(1);
    let started = Instant::now();
    let (through, head) = store.head().await?;
    let records = records(store, through).await?;
    let facts = records.facts.len();
    let read = started.elapsed();

    let started = Instant::now();
    let of = open.clone();
    let reckoned = spawn_blocking(move || reckon(&of, &records, through, None)).await?;
    let closing = reckoned.map_err(CloseFailure::Refused)?;
    let rate = started.elapsed();

    let started = Instant::now();
    let batch = batch(open, &closing, (through, head), "li", now)?;
    store.commit(&batch, now).await?;
    let commit = started.elapsed();
    Ok(Closed {
        facts,
        statements: closing.statements.len(),
        read,
        rate,
        commit,
    })
}

/// What verifying the whole ledger gives; its rows are read page by page.
async fn verified(store: &Store) -> Result<Report, CloseFailure> {
    let store = store.clone();
    let handle = Handle::current();
    let verifying = spawn_blocking(move || verify(rows(&store, &handle), None));
    Ok(verifying.await?)
}

/// The rows of a ledger, from the first to the last; ends after an error. Only for a thread that
/// may block.
fn rows(store: &Store, handle: &Handle) -> impl Iterator<Item = Result<Row, StoreError>> {
    let mut page = VecDeque::new();
    let mut last = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        if page.is_empty() {
            match handle.block_on(store.rows(last, PAGE)) {
                Ok(rows) => page = VecDeque::from(rows),
                Err(error) => {
                    failed = true;
                    return Some(Err(error));
                }
            }
        }
        let row = page.pop_front()?;
        last = row.chain.seq;
        Some(Ok(row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_ledger_is_closed_at_the_price_of_its_leases_and_pods() {
        let size = Size {
            departments: 3,
            tenancies: 4,
            intervals: 40,
        };
        let outcome = Box::pin(measure(size, &mut Vec::new())).await.unwrap();
        // of each tenancy three leases, of each pod a beginning and an end
        assert_eq!(outcome.facts, 4 * 3 + 40 * 2);
        // a policy, a book, 3 departments and a period; per tenancy its life, request and approval
        assert_eq!(outcome.records, 6 + 4 * 3 + 92);
        assert_eq!(outcome.statements, 3);
        // each tenancy: 64 GiB at 17.00, 100 GiB at 0.70, and 10 pods of half a core for one of the
        // month's 720 hours at 72.00
        assert_eq!(outcome.gross, ["4634.00"]);
    }

    #[tokio::test]
    async fn more_pods_than_a_batch_holds_are_all_written() {
        let size = Size {
            departments: 1,
            tenancies: 1,
            intervals: 2501,
        };
        let store = Store::in_memory().await.unwrap();
        load(&store, size, &invented::open().unwrap())
            .await
            .unwrap();
        // four documents, then life, request, approval and three leases of the tenancy
        assert_eq!(store.head().await.unwrap().0, 4 + 6 + 2 * 2501);
    }
}
