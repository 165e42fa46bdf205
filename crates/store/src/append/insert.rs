//! The rows of a batch on their way into the tables.

use std::sync::LazyLock;

use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{ChainRow, Entry};
use leasehold_ledger::time::Second;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use crate::StoreError;
use crate::codec::{to_integer, to_word};
use crate::error::failed;

/// How many facts are written at once. They are twice as many statements, each with a result, and
/// sqlx keeps 50 results: with more, the database would stop until somebody takes them.
const GROUP: usize = 25;

/// A row of the chain. Its parameters and those of a fact have no numbers: sqlx takes a text of
/// several statements, for SQLite alone, and then gives each parameter without a number the next
/// value.
const CHAIN: &str = "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at) \
     VALUES (?, ?, ?, ?, ?, ?, ?)";

/// The body of a fact.
const FACT: &str = "INSERT INTO fact (seq, cluster, etcd, uid, version, meter, kind, at, quantity, \
     department, tenancy, incarnation, system, provider, contract, budget, request, object, \
     estimated, lower_at, upper_at, evidence) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The two rows of a fact, in the order that the triggers demand.
static ONE_FACT: LazyLock<String> = LazyLock::new(|| format!("{CHAIN}; {FACT}"));

/// The rows of a group of facts, one fact after the other.
static GROUP_OF_FACTS: LazyLock<String> = LazyLock::new(|| [ONE_FACT.as_str(); GROUP].join("; "));

/// A statement, or several, whose values are being bound.
type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Facts that have their places at the end of the chain and wait to be written together.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a> {
    facts: Vec<(ChainRow, &'a Fact)>,
}

impl<'a> Waiting<'a> {
    /// Lets a fact wait behind the others; writes them when they are a group.
    pub(super) async fn push(
        &mut self,
        connection: &mut SqliteConnection,
        row: ChainRow,
        fact: &'a Fact,
        now: Second,
    ) -> Result<(), StoreError> {
        self.facts.push((row, fact));
        if self.facts.len() < GROUP {
            return Ok(());
        }
        insert_facts(connection, GROUP_OF_FACTS.as_str(), &self.facts, now).await?;
        self.facts.clear();
        Ok(())
    }

    /// Writes what waits, less than a group. It goes fact by fact: sqlx keeps each text that it
    /// has prepared, so there are two texts and not one for every number of facts.
    pub(super) async fn flush(
        &mut self,
        connection: &mut SqliteConnection,
        now: Second,
    ) -> Result<(), StoreError> {
        for fact in self.facts.chunks(1) {
            insert_facts(connection, ONE_FACT.as_str(), fact, now).await?;
        }
        self.facts.clear();
        Ok(())
    }
}

/// Runs the text that writes exactly these facts. It stops at the first statement that fails.
async fn insert_facts(
    connection: &mut SqliteConnection,
    text: &'static str,
    facts: &[(ChainRow, &Fact)],
    now: Second,
) -> Result<(), StoreError> {
    let mut insert: Insert<'_> = sqlx::query(text);
    for (row, fact) in facts {
        insert = bind_fact(bind_chain(insert, row, now)?, row.seq, fact)?;
    }
    insert
        .execute(connection)
        .await
        .map_err(failed("append facts"))?;
    Ok(())
}

/// Writes a row of the chain whose body follows.
pub(super) async fn insert_chain(
    connection: &mut SqliteConnection,
    row: &ChainRow,
    now: Second,
) -> Result<(), StoreError> {
    bind_chain(sqlx::query(CHAIN), row, now)?
        .execute(connection)
        .await
        .map_err(failed("append a row to the chain"))?;
    Ok(())
}

fn bind_chain<'q>(
    insert: Insert<'q>,
    row: &ChainRow,
    now: Second,
) -> Result<Insert<'q>, StoreError> {
    Ok(insert
        .bind(to_integer("sequence number", row.seq)?)
        .bind(row.kind.as_str())
        .bind(row.key.as_str())
        .bind(row.digest.as_str())
        .bind(row.prev.as_str())
        .bind(row.hash.as_str())
        .bind(now.get()))
}

fn bind_fact<'q>(insert: Insert<'q>, seq: u64, fact: &Fact) -> Result<Insert<'q>, StoreError> {
    let Fact {
        source,
        meter,
        kind,
        at,
        quantity,
        subject,
        estimated,
        bounds,
        evidence,
    } = fact;
    Ok(insert
        .bind(to_integer("sequence number", seq)?)
        .bind(source.cluster.as_str())
        .bind(source.etcd)
        .bind(source.uid.as_str())
        .bind(source.version.as_str())
        .bind(meter.to_string())
        .bind(to_word("fact", kind)?)
        .bind(at.get())
        .bind(*quantity)
        .bind(subject.department.as_str())
        .bind(subject.tenancy.as_str())
        .bind(subject.incarnation)
        .bind(subject.system.as_str())
        .bind(subject.provider.as_str())
        .bind(subject.contract.as_str())
        .bind(subject.budget.as_str())
        .bind(subject.request)
        .bind(subject.object.as_str())
        .bind(i64::from(*estimated))
        .bind(bounds.as_ref().map(|bounds| bounds.lower.get()))
        .bind(bounds.as_ref().map(|bounds| bounds.upper.get()))
        .bind(evidence.as_str()))
}

/// Writes the body of a document.
pub(super) async fn insert_document(
    connection: &mut SqliteConnection,
    seq: u64,
    [kind, key, subject, body]: [&str; 4],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO document (seq, kind, key, subject, body) VALUES ($1, $2, $3, $4, $5)")
        .bind(to_integer("sequence number", seq)?)
        .bind(kind)
        .bind(key)
        .bind(subject)
        .bind(body)
        .execute(connection)
        .await
        .map_err(failed("append a document"))?;
    Ok(())
}

/// Writes the body of an entry and its postings.
pub(super) async fn insert_entry(
    connection: &mut SqliteConnection,
    seq: u64,
    entry: &Entry,
) -> Result<(), StoreError> {
    let seq = to_integer("sequence number", seq)?;
    sqlx::query(
        "INSERT INTO entry (seq, id, kind, at, department, period) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(seq)
    .bind(entry.id.as_str())
    .bind(to_word("entry", &entry.kind)?)
    .bind(entry.at.get())
    .bind(entry.department.as_str())
    .bind(entry.period.as_deref())
    .execute(&mut *connection)
    .await
    .map_err(failed("append an entry"))?;
    for (n, posting) in (1_i64..).zip(&entry.postings) {
        sqlx::query("INSERT INTO posting (entry, n, account, amount) VALUES ($1, $2, $3, $4)")
            .bind(seq)
            .bind(n)
            .bind(posting.account.as_str())
            .bind(posting.amount.minor())
            .execute(&mut *connection)
            .await
            .map_err(failed("append a posting"))?;
    }
    Ok(())
}
