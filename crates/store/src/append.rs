//! The one way in: a batch, written in one transaction.

use leasehold_ledger::canonical::{Digest, canonical_json};
use leasehold_ledger::document::{Document, PeriodOpenDoc};
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{ChainRow, Entry, genesis};
use leasehold_ledger::time::Second;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use crate::codec::{ChainBody, column, seq_of, to_integer, to_word};
use crate::error::failed;
use crate::{Batch, Committed, Cursor, Record, StoreError};

/// The name in `meta` of whether the ledger's periods are rehearsals.
pub(crate) const REHEARSAL: &str = "rehearsal";

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
    if let Some(expected) = batch.expect_head
        && expected != head_seq
    {
        return Err(StoreError::Conflict {
            expected,
            found: head_seq,
        });
    }
    let mut appended = Vec::new();
    let mut unchanged = 0_usize;
    for item in prepared {
        if is_known(&mut tx, &item).await? {
            unchanged += 1;
            continue;
        }
        let last = (head_seq > 0).then_some((head_seq, &head));
        let row = ChainRow::after(last, item.chain.kind, &item.chain.key, item.digest);
        insert_chain(&mut tx, &row, now).await?;
        insert_body(&mut tx, row.seq, item.record).await?;
        appended.push(row.seq);
        (head_seq, head) = (row.seq, row.hash);
    }
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

/// Whether the ledger holds the record already; an error when its key holds something else.
async fn is_known(
    connection: &mut SqliteConnection,
    item: &Prepared<'_>,
) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT seq, digest FROM chain WHERE kind = $1 AND key = $2")
        .bind(item.chain.kind)
        .bind(item.chain.key.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("look up a key"))?;
    let Some(row) = row else {
        return Ok(false);
    };
    let seq = seq_of(&row)?;
    let stored = digest_in(seq, &column::<String>(&row, "digest")?)?;
    if stored == item.digest {
        return Ok(true);
    }
    Err(StoreError::KeyConflict {
        kind: item.chain.kind.to_owned(),
        key: item.chain.key.clone(),
        seq,
        stored,
        offered: item.digest.clone(),
    })
}

async fn insert_chain(
    connection: &mut SqliteConnection,
    row: &ChainRow,
    now: Second,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(to_integer("sequence number", row.seq)?)
    .bind(row.kind.as_str())
    .bind(row.key.as_str())
    .bind(row.digest.as_str())
    .bind(row.prev.as_str())
    .bind(row.hash.as_str())
    .bind(now.get())
    .execute(connection)
    .await
    .map_err(failed("append a row to the chain"))?;
    Ok(())
}

async fn insert_body(
    connection: &mut SqliteConnection,
    seq: u64,
    record: &Record,
) -> Result<(), StoreError> {
    let seq = to_integer("sequence number", seq)?;
    match record {
        Record::Fact(fact) => insert_fact(connection, seq, fact).await,
        Record::Document {
            kind,
            key,
            subject,
            body,
        } => {
            if kind == PeriodOpenDoc::KIND {
                open_period(connection, key, body).await?;
            }
            insert_document(connection, seq, [kind, key, subject, body]).await
        }
        Record::Entry(entry) => insert_entry(connection, seq, entry).await,
    }
}

async fn insert_fact(
    connection: &mut SqliteConnection,
    seq: i64,
    fact: &Fact,
) -> Result<(), StoreError> {
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
    sqlx::query(
        "INSERT INTO fact (seq, cluster, etcd, uid, version, meter, kind, at, quantity, \
         department, tenancy, incarnation, system, provider, contract, budget, request, object, \
         estimated, lower_at, upper_at, evidence) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21, $22)",
    )
    .bind(seq)
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
    .bind(evidence.as_str())
    .execute(connection)
    .await
    .map_err(failed("append a fact"))?;
    Ok(())
}

async fn insert_document(
    connection: &mut SqliteConnection,
    seq: i64,
    [kind, key, subject, body]: [&str; 4],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO document (seq, kind, key, subject, body) VALUES ($1, $2, $3, $4, $5)")
        .bind(seq)
        .bind(kind)
        .bind(key)
        .bind(subject)
        .bind(body)
        .execute(connection)
        .await
        .map_err(failed("append a document"))?;
    Ok(())
}

async fn insert_entry(
    connection: &mut SqliteConnection,
    seq: i64,
    entry: &Entry,
) -> Result<(), StoreError> {
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
