//! The one way in: a batch, written in one transaction.
//!
//! The database runs in a thread of its own, and the round trip of a query costs more than its
//! work. So the keys of a batch are looked up together, and facts, of which there are many, are
//! written in groups.

mod insert;
mod known;

use leasehold_ledger::canonical::{Digest, canonical_json};
use leasehold_ledger::document::{Document, PeriodOpenDoc};
use leasehold_ledger::journal::{ChainRow, genesis};
use leasehold_ledger::time::Second;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use self::insert::{Waiting, insert_chain, insert_document, insert_entry};
use self::known::Known;
use crate::codec::{ChainBody, column, seq_of};
use crate::error::failed;
use crate::record::{ExpectedHead, under};
use crate::{Batch, Committed, Cursor, Record, StoreError};

/// The name in `meta` of whether the ledger's periods are rehearsals.
pub(crate) const REHEARSAL: &str = "rehearsal";

/// Answered from the index of kinds and subjects alone, which holds the row numbers as well.
const LATEST_UNDER: &str = "SELECT MAX(seq) AS seq FROM document \
     WHERE kind = $1 AND subject >= $2 AND subject < $3";

/// Answered from the same index.
const LATEST_OF_KIND: &str = "SELECT MAX(seq) AS seq FROM document WHERE kind = $1";

/// What stands for the path where documents of all subjects are meant.
const EVERYWHERE: &str = "any subject";

/// A record with what the chain will hold of it, computed before the transaction begins.
#[derive(Debug)]
struct Prepared<'a> {
    record: &'a Record,
    chain: ChainBody,
    digest: Digest,
}

/// Writes the batch. An error leaves nothing of it: the transaction rolls back when it is dropped.
pub(crate) async fn append(
    writer: &SqlitePool,
    batch: &Batch,
    now: Second,
) -> Result<Committed, StoreError> {
    let prepared: Vec<Prepared<'_>> = batch
        .records
        .iter()
        .map(prepare)
        .collect::<Result<_, _>>()?;
    // IMMEDIATE takes the write lock before the head is read, so that no other program on the same
    // file can append in between.
    let mut tx = writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed("begin"))?;
    let (mut head_seq, mut head) = head(&mut tx).await?;
    for expected in &batch.expected {
        refuse_over_news(&mut tx, expected, head_seq).await?;
    }
    let mut known = Known::among(&mut tx, &prepared).await?;
    let mut waiting = Waiting::default();
    let mut appended = Vec::new();
    let mut unchanged = 0_usize;
    for item in &prepared {
        if known.holds(item)? {
            unchanged += 1;
            continue;
        }
        let last = (head_seq > 0).then_some((head_seq, &head));
        let row = ChainRow::after(last, item.chain.kind, &item.chain.key, item.digest.clone());
        known.add(item, row.seq);
        appended.push(row.seq);
        (head_seq, head) = (row.seq, row.hash.clone());
        write(&mut tx, &mut waiting, row, item.record, now).await?;
    }
    waiting.flush(&mut tx, now).await?;
    for cursor in &batch.cursors {
        move_cursor(&mut tx, cursor).await?;
    }
    tx.commit().await.map_err(failed("commit"))?;
    Ok(Committed {
        appended,
        unchanged,
        head_seq,
        head,
    })
}

/// Refuses a batch when what it was computed from has grown since.
async fn refuse_over_news(
    connection: &mut SqliteConnection,
    expected: &ExpectedHead,
    head: u64,
) -> Result<(), StoreError> {
    match expected {
        ExpectedHead::Ledger(seq) if *seq == head => Ok(()),
        ExpectedHead::Ledger(seq) => Err(StoreError::Conflict {
            expected: *seq,
            found: head,
        }),
        ExpectedHead::Under { kind, path, seq } => {
            let found = latest_under(connection, kind, path).await?;
            refuse_overtaken(kind, path, *seq, found)
        }
        ExpectedHead::OfKind { kind, seq } => {
            let found = latest_of_kind(connection, kind).await?;
            refuse_overtaken(kind, EVERYWHERE, *seq, found)
        }
    }
}

fn refuse_overtaken(kind: &str, path: &str, expected: u64, found: u64) -> Result<(), StoreError> {
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Overtaken {
        kind: kind.to_owned(),
        path: path.to_owned(),
        expected,
        found,
    })
}

/// The row of the latest document of a kind under a path; 0 when there is none.
async fn latest_under(
    connection: &mut SqliteConnection,
    kind: &str,
    path: &str,
) -> Result<u64, StoreError> {
    let [from, to] = under(path);
    let row = sqlx::query(LATEST_UNDER)
        .bind(kind)
        .bind(from)
        .bind(to)
        .fetch_one(connection)
        .await
        .map_err(failed("look for later documents"))?;
    latest_in(&row)
}

/// The row of the latest document of a kind; 0 when there is none.
pub(crate) async fn latest_of_kind(
    connection: &mut SqliteConnection,
    kind: &str,
) -> Result<u64, StoreError> {
    let row = sqlx::query(LATEST_OF_KIND)
        .bind(kind)
        .fetch_one(connection)
        .await
        .map_err(failed("look for later documents"))?;
    latest_in(&row)
}

fn latest_in(row: &SqliteRow) -> Result<u64, StoreError> {
    match column::<Option<i64>>(row, "seq")? {
        Some(_) => seq_of(row),
        None => Ok(0),
    }
}

/// The last row's sequence and hash; 0 and the genesis in an empty ledger.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<(u64, Digest), StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM chain ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(failed("read the head"))?;
    let Some(row) = row else {
        return Ok((0, genesis()));
    };
    let seq = seq_of(&row)?;
    Ok((seq, digest_in(seq, &column::<String>(&row, "hash")?)?))
}

/// Whether the periods that the ledger has seen are rehearsals; `None` before the first period.
pub(crate) async fn rehearses(
    connection: &mut SqliteConnection,
) -> Result<Option<bool>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
        .bind(REHEARSAL)
        .fetch_optional(connection)
        .await
        .map_err(failed("read what the ledger is"))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let value: String = column(&row, "value")?;
    value.parse().map(Some).map_err(|_| StoreError::Corrupt {
        seq: 0,
        what: format!("{REHEARSAL} is {value} instead of true or false"),
    })
}

/// Checks a record and computes what the chain will hold of it.
fn prepare(record: &Record) -> Result<Prepared<'_>, StoreError> {
    let chain = ChainBody::of(record)?;
    match record {
        Record::Document { body, .. } => {
            let not_canonical = || StoreError::NotCanonical {
                key: chain.key.clone(),
            };
            let value: serde_json::Value =
                serde_json::from_str(body).map_err(|_| not_canonical())?;
            if canonical_json(&value).ok().as_ref() != Some(body) {
                return Err(not_canonical());
            }
        }
        Record::Entry(entry) => entry
            .check()
            .map_err(|source| StoreError::Entry { source })?,
        Record::Fact(_) => {}
    }
    let digest = chain.digest();
    Ok(Prepared {
        record,
        chain,
        digest,
    })
}

/// Writes a row and its body behind all that waits, or lets it wait there itself.
async fn write<'a>(
    connection: &mut SqliteConnection,
    waiting: &mut Waiting<'a>,
    row: ChainRow,
    record: &'a Record,
    now: Second,
) -> Result<(), StoreError> {
    match record {
        Record::Fact(fact) => waiting.push(connection, row, fact, now).await,
        Record::Document {
            kind,
            key,
            subject,
            body,
        } => {
            waiting.flush(connection, now).await?;
            insert_chain(connection, &row, now).await?;
            if kind == PeriodOpenDoc::KIND {
                open_period(connection, key, body).await?;
            }
            insert_document(connection, row.seq, [kind, key, subject, body]).await
        }
        Record::Entry(entry) => {
            waiting.flush(connection, now).await?;
            insert_chain(connection, &row, now).await?;
            insert_entry(connection, row.seq, entry).await
        }
    }
}

/// The first period makes the ledger a rehearsal or a real one, for ever; rehearsed money must
/// never stand beside real money.
async fn open_period(
    connection: &mut SqliteConnection,
    key: &str,
    body: &str,
) -> Result<(), StoreError> {
    let document: PeriodOpenDoc =
        serde_json::from_str(body).map_err(|source| StoreError::Decode {
            seq: 0,
            kind: PeriodOpenDoc::KIND.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    let rehearsal = document.period.rehearsal();
    match rehearses(&mut *connection).await? {
        Some(ledger) if ledger != rehearsal => Err(StoreError::MixedRehearsal {
            period: document.period.name,
            ledger_rehearses: ledger,
        }),
        Some(_) => Ok(()),
        None => {
            sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
                .bind(REHEARSAL)
                .bind(rehearsal.to_string())
                .execute(connection)
                .await
                .map_err(failed("record what the ledger is"))?;
            Ok(())
        }
    }
}

async fn move_cursor(connection: &mut SqliteConnection, cursor: &Cursor) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO cursor (source, resource_version, complete_to, observed_at) \
         VALUES ($1, $2, $3, $4) \
         ON CONFLICT (source) DO UPDATE SET resource_version = excluded.resource_version, \
         complete_to = excluded.complete_to, observed_at = excluded.observed_at",
    )
    .bind(cursor.source.as_str())
    .bind(cursor.resource_version.as_str())
    .bind(cursor.complete_to.map(Second::get))
    .bind(cursor.observed_at.get())
    .execute(connection)
    .await
    .map_err(failed("move a cursor"))?;
    Ok(())
}

/// A digest as it stands in a row.
fn digest_in(seq: u64, text: &str) -> Result<Digest, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt {
        seq,
        what: format!("{text} is not a digest"),
    })
}
