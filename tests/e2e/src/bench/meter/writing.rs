//! Facts into a ledger, and the same rows without one, in turn.

use std::time::{Duration, Instant};

use leasehold_ledger::time::Second;
use leasehold_store::{Batch, Place, Record, Roles, Store};
use leasehold_testkit::PostgresServer;

use super::MeterFailure;
use super::bare::{Bare, Tables};
use crate::deliveries::fact;

/// Facts of a batch, as of a busy watch.
const BATCH: usize = 500;
/// How often both are measured; the fastest of each counts.
const ROUNDS: u32 = 3;
/// Rows that are read at a time.
const PAGE: u32 = 1000;
/// What one call of the store may take here: a slow machine is to be measured, not refused.
const DEADLINE: Duration = Duration::from_hours(1);
/// When everything is written.
const NOW: Second = Second::new(1_790_784_000);

/// What the fastest round took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Facts into a ledger.
    pub ledger: Duration,
    /// The same rows without one.
    pub bare: Duration,
}

impl Written {
    /// The fastest of each, which need not be of one round.
    fn fastest(self, other: Self) -> Self {
        Self {
            ledger: self.ledger.min(other.ledger),
            bare: self.bare.min(other.bare),
        }
    }

    /// Facts in a second, and the share of the rows that are inserted in a second without a ledger.
    pub(super) fn rates(&self, facts: u32) -> [f64; 3] {
        let all = Duration::from_secs(facts.into());
        [
            all.div_duration_f64(self.ledger),
            all.div_duration_f64(self.bare),
            self.bare.div_duration_f64(self.ledger),
        ]
    }
}

/// Into files.
pub(super) async fn into_file(facts: u32) -> Result<Written, MeterFailure> {
    let mut fastest: Option<Written> = None;
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().map_err(MeterFailure::Folder)?;
        let store = Store::open(folder.path().join("ledger.db")).await?;
        let (ledger, rows) = with_ledger(store, facts).await?;
        let tables = Tables::in_file(&folder.path().join("bare.db")).await?;
        let bare = without(tables, &rows).await?;
        let round = Written { ledger, bare };
        fastest = Some(fastest.map_or(round, |before| before.fastest(round)));
    }
    Ok(fastest.unwrap_or(NOTHING))
}

/// Into databases of a server.
pub(super) async fn into_server(facts: u32) -> Result<Written, MeterFailure> {
    let server = PostgresServer::shared()?;
    let mut fastest: Option<Written> = None;
    for _ in 0..ROUNDS {
        let database = server.database()?;
        let owner: Place = database.owner.parse()?;
        let roles = Roles {
            service: Some(database.service_role.clone()),
            reader: None,
        };
        Store::migrate(&owner, &roles).await?;
        let service: Place = database.service.parse()?;
        let (ledger, rows) = with_ledger(Store::open(&service).await?, facts).await?;
        let tables = Tables::on_server(&database.owner).await?;
        let bare = without(tables, &rows).await?;
        let round = Written { ledger, bare };
        fastest = Some(fastest.map_or(round, |before| before.fastest(round)));
    }
    Ok(fastest.unwrap_or(NOTHING))
}

/// Where there is no round.
const NOTHING: Written = Written {
    ledger: Duration::ZERO,
    bare: Duration::ZERO,
};

/// How long the facts take into a ledger, and the rows that they became.
async fn with_ledger(store: Store, facts: u32) -> Result<(Duration, Vec<Bare>), MeterFailure> {
    let store = store.with_deadline(DEADLINE);
    let numbers: Vec<u64> = (0..u64::from(facts)).collect();
    let batches: Vec<Batch> = numbers
        .chunks(BATCH)
        .map(|some| some.iter().map(|n| Record::from(fact("fact", *n))))
        .map(|records| Batch::of(records.collect()))
        .collect();
    let began = Instant::now();
    for batch in &batches {
        store.commit(batch, NOW).await?;
    }
    let took = began.elapsed();
    drop(batches);
    let mut rows = Vec::new();
    let mut last = 0;
    loop {
        let page = store.rows(last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.chain.seq;
        for row in page {
            rows.push(Bare::of(row)?);
        }
    }
    store.close().await?;
    Ok((took, rows))
}

/// How long the same rows take without a ledger.
async fn without(mut tables: Tables, rows: &[Bare]) -> Result<Duration, MeterFailure> {
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        tables.insert(batch).await?;
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_takes_twice_as_long_has_half_the_rate() {
        let seconds = Duration::from_secs;
        let one = Written {
            ledger: seconds(4),
            bare: seconds(3),
        };
        let other = Written {
            ledger: seconds(5),
            bare: seconds(2),
        };
        let fastest = one.fastest(other);
        // all three are fractions that a float holds as they are
        let rates = fastest.rates(1000).map(f64::to_bits);
        assert_eq!(rates, [250.0_f64, 500.0, 0.5].map(f64::to_bits));
    }

    #[tokio::test]
    async fn the_rows_of_a_ledger_are_all_inserted_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ledger.db")).await.unwrap();
        let (_, rows) = with_ledger(store, 1203).await.unwrap();
        assert_eq!(rows.len(), 1203);
        let path = folder.path().join("bare.db");
        let tables = Tables::in_file(&path).await.unwrap();
        without(tables, &rows).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut prompt = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let sql = "SELECT COUNT(*) FROM chain c JOIN fact f ON f.seq = c.seq";
        let counted: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut prompt)
            .await
            .unwrap();
        assert_eq!(counted, 1203);
    }
}
