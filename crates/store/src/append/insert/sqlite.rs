//! Facts on their way into SQLite.

use std::sync::LazyLock;

use leasehold_ledger::fact::Fact;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::Placed;
use crate::StoreError;
use crate::codec::{to_integer, to_word};
use crate::error::failed;

/// How many facts are written at once. They are twice as many statements, each with a result, and
/// sqlx keeps 50 results: with more, the database would stop until somebody takes them.
pub(super) const GROUP: usize = 25;

/// A row of the chain. Its parameters and those of a fact have no numbers: sqlx takes a text of
/// several statements, for SQLite alone, and then gives each parameter without a number the next
/// value.
const CHAIN: &str = "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

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

/// Writes facts: groups together, and what is less than a group fact by fact. sqlx keeps each text that it has prepared,
/// so there are two texts and not one for every number of facts.
pub(super) async fn insert_facts(
    connection: &mut SqliteConnection,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    let groups = facts.chunks_exact(GROUP);
    let rest = groups.remainder();
    for group in groups {
        insert(connection, GROUP_OF_FACTS.as_str(), group, epoch).await?;
    }
    for fact in rest.chunks(1) {
        insert(connection, ONE_FACT.as_str(), fact, epoch).await?;
    }
    Ok(())
}

/// Runs the text that writes exactly these facts. It stops at the first statement that fails.
async fn insert(
    connection: &mut SqliteConnection,
    text: &'static str,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    let mut insert: Insert<'_> = sqlx::query(text);
    for placed in facts {
        insert = bind_fact(
            bind_chain(insert, placed, epoch)?,
            placed.row.seq,
            placed.fact,
        )?;
    }
    insert
        .execute(connection)
        .await
        .map_err(failed("append facts"))?;
    Ok(())
}

fn bind_chain<'q>(
    insert: Insert<'q>,
    placed: &Placed<'_>,
    epoch: i64,
) -> Result<Insert<'q>, StoreError> {
    let row = &placed.row;
    Ok(insert
        .bind(to_integer("sequence number", row.seq)?)
        .bind(row.kind.as_str())
        .bind(row.key.as_str())
        .bind(row.digest.as_str())
        .bind(row.prev.as_str())
        .bind(row.hash.as_str())
        .bind(placed.at.get())
        .bind(epoch))
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
