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

/// How many facts are written at once, at most.
pub(super) const GROUP: usize = GROUPS[0];

/// How many facts one statement writes. sqlx keeps each text that it has prepared, so there is one for each of these
/// numbers and not one for every number of facts; each is a multiple of the next.
const GROUPS: [usize; 4] = [125, 25, 5, 1];

/// A fact and its row of the chain as one row, which falls apart into the two, fact by fact, as the triggers of both tables
/// demand. So a group is one statement with one result: with one statement for each row the thread of the database and
/// whoever waits for it would wake each other for each. It is the connection's alone, and no part of the ledger.
const TOGETHER: &str = "PRAGMA temp_store = MEMORY;
CREATE TEMP VIEW fact_with_row AS
SELECT c.seq, c.kind AS row_kind, c.key, c.digest, c.prev, c.hash, c.inserted_at, c.epoch,
    f.cluster, f.etcd, f.uid, f.version, f.meter, f.kind, f.at, f.quantity, f.department, f.tenancy,
    f.incarnation, f.system, f.provider, f.contract, f.budget, f.request, f.object, f.estimated,
    f.lower_at, f.upper_at, f.evidence
FROM chain AS c JOIN fact AS f ON f.seq = c.seq;
CREATE TEMP TRIGGER fact_with_row_falls_apart INSTEAD OF INSERT ON fact_with_row
BEGIN
    INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch)
    VALUES (NEW.seq, NEW.row_kind, NEW.key, NEW.digest, NEW.prev, NEW.hash, NEW.inserted_at, NEW.epoch);
    INSERT INTO fact (seq, cluster, etcd, uid, version, meter, kind, at, quantity, department, tenancy,
        incarnation, system, provider, contract, budget, request, object, estimated, lower_at, upper_at,
        evidence)
    VALUES (NEW.seq, NEW.cluster, NEW.etcd, NEW.uid, NEW.version, NEW.meter, NEW.kind, NEW.at,
        NEW.quantity, NEW.department, NEW.tenancy, NEW.incarnation, NEW.system, NEW.provider, NEW.contract,
        NEW.budget, NEW.request, NEW.object, NEW.estimated, NEW.lower_at, NEW.upper_at, NEW.evidence);
END;";

/// The columns of the view, in its order.
const INSERT: &str = "INSERT INTO fact_with_row VALUES ";

/// A place for each of its columns. They have no numbers: the next value is for the next of them.
const ROW: &str =
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The text for each number of facts.
static TEXTS: LazyLock<[String; GROUPS.len()]> =
    LazyLock::new(|| GROUPS.map(|facts| format!("{INSERT}{}", vec![ROW; facts].join(", "))));

/// A statement whose values are being bound.
type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Lets a connection write facts.
pub(crate) async fn prepare(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TOGETHER).execute(connection).await.map(drop)
}

/// Writes facts, as many at once as there are groups of, in their order.
pub(super) async fn insert_facts(
    connection: &mut SqliteConnection,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    let mut rest = facts;
    for (size, text) in GROUPS.iter().zip(TEXTS.iter()) {
        let groups = rest.chunks_exact(*size);
        rest = groups.remainder();
        for group in groups {
            insert(connection, text, group, epoch).await?;
        }
    }
    Ok(())
}

/// Runs the text that writes exactly these facts: all of them, or none.
async fn insert(
    connection: &mut SqliteConnection,
    text: &'static str,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    let mut insert: Insert<'_> = sqlx::query(text);
    for placed in facts {
        insert = bind_fact(bind_chain(insert, placed, epoch)?, placed.fact)?;
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

fn bind_fact<'q>(insert: Insert<'q>, fact: &Fact) -> Result<Insert<'q>, StoreError> {
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
