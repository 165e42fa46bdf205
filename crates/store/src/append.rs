//! The one way in: a batch, written in one transaction.
//!
//! SQLite runs in a thread of its own and PostgreSQL on another machine, and the round trip of a
//! query costs more than its work. So the keys of a batch are looked up together, and facts, of which
//! there are many, are written in groups.

mod insert;
mod known;
mod seal;
mod told;

use leasehold_ledger::archive::Hole;
use leasehold_ledger::canonical::{Digest, canonical_json};
use leasehold_ledger::document::{Document, PeriodOpenDoc};
use leasehold_ledger::journal::{ChainRow, genesis};
use leasehold_ledger::time::Second;

use self::insert::{Appending, insert_document, insert_entry};
use self::known::Known;
use self::told::ToldAgain;
use crate::archive::is_archived;
use crate::backend::{Link, Row, Value};
use crate::codec::{ChainBody, column, seq_of, to_integer};
use crate::cursors::move_cursor;
use crate::record::{ExpectedHead, under};
use crate::store::Writer;
use crate::{Batch, Committed, Cursor, Record, StoreError, leader};

pub(crate) use self::insert::prepare_to_write_facts;
pub(crate) use self::seal::{SEAL, Sealing, seal};

/// The name in `meta` of whether the ledger's periods are rehearsals.
pub(crate) const REHEARSAL: &str = "rehearsal";

/// Answered from the index of kinds and subjects alone, which holds the row numbers as well.
const LATEST_UNDER: &str = "SELECT MAX(seq) AS seq FROM document \
     WHERE kind = $1 AND subject >= $2 AND subject < $3";

/// Answered from the same index.
const LATEST_OF_KIND: &str = "SELECT MAX(seq) AS seq FROM document WHERE kind = $1";

const INSERT_MARK: &str = "INSERT INTO meta (name, value) VALUES ($1, $2)";

/// What looking for later documents is called where an error is told.
const LOOK: &str = "look for later documents";

/// What stands for the path where documents of all subjects are meant.
const EVERYWHERE: &str = "any subject";

/// A record with what the chain will hold of it, computed before the transaction begins.
#[derive(Debug)]
struct Prepared<'a> {
    record: &'a Record,
    chain: ChainBody,
    digest: Digest,
    /// What is stored beside it as the time of insertion.
    at: Second,
    /// What is archived before it, with the row that says so, where a ledger is copied.
    hole: Option<&'a (Hole, u64)>,
    /// Whether it is a row of another ledger, which is written whatever the ledger knows of its object.
    is_copied: bool,
}

/// A row of another ledger.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) record: Record,
    /// When it was inserted there.
    pub(crate) at: Second,
    /// What is archived before it, with the row that says so.
    pub(crate) hole: Option<(Hole, u64)>,
}

/// Writes the batch. An error leaves nothing of it: the transaction rolls back when it is dropped.
pub(crate) async fn append(
    writer: &Writer,
    batch: &Batch,
    now: Second,
) -> Result<Committed, StoreError> {
    let prepared: Vec<Prepared<'_>> = batch
        .records
        .iter()
        .map(|record| prepare(record, now))
        .collect::<Result<_, _>>()?;
    write_all(writer, &prepared, &batch.expected, &batch.cursors).await
}

/// Writes records of another ledger, each with the time at which it was inserted there, behind row `head`, together with
/// the mark that there are more.
pub(crate) async fn append_copied(
    writer: &Writer,
    records: &[Copied],
    head: u64,
    mark: Cursor,
) -> Result<Committed, StoreError> {
    let prepared: Vec<Prepared<'_>> = records
        .iter()
        .map(prepare_copied)
        .collect::<Result<_, _>>()?;
    write_all(writer, &prepared, &[ExpectedHead::Ledger(head)], &[mark]).await
}

async fn write_all(
    writer: &Writer,
    prepared: &[Prepared<'_>],
    expectations: &[ExpectedHead],
    cursors: &[Cursor],
) -> Result<Committed, StoreError> {
    let mut turn = writer.pool.begin("begin").await?;
    let mut link = turn.link();
    // first of all: it locks out whoever else would write
    leader::refuse_older(&mut link, writer.epoch).await?;
    let (mut head_seq, mut head) = head(&mut link).await?;
    refuse_rewound(&mut link, writer.last(), (head_seq, &head)).await?;
    for expected in expectations {
        refuse_over_news(&mut link, expected, head_seq).await?;
    }
    let mut known = Known::among(&mut link, prepared).await?;
    let told = ToldAgain::among(&mut link, prepared, &known).await?;
    let mut appending = Appending::new(link, writer.epoch)?;
    let mut appended = Vec::new();
    let mut unchanged = 0_usize;
    for item in prepared {
        if known.holds(item)? || told.holds(item) {
            unchanged += 1;
            continue;
        }
        if let Some((hole, archive)) = item.hole {
            appending.hole(hole, *archive).await?;
            (head_seq, head) = (hole.last, hole.hash.clone());
        }
        let last = (head_seq > 0).then_some((head_seq, &head));
        let row = ChainRow::after(last, item.chain.kind, &item.chain.key, item.digest.clone());
        known.add(item, row.seq);
        appended.push(row.seq);
        (head_seq, head) = (row.seq, row.hash.clone());
        write(&mut appending, row, item).await?;
    }
    let mut link = appending.finish().await?;
    for cursor in cursors {
        move_cursor(&mut link, cursor).await?;
    }
    turn.commit("commit").await?;
    writer.remember(head_seq, &head);
    Ok(Committed {
        appended,
        unchanged,
        head_seq,
        head,
    })
}

/// Refuses a writer whose last row is not there any more: a replica took over that had not received it, or the database was
/// restored to an instant before it. What this process remembers is ahead of the ledger then, and the next place of a watch
/// would hide what is missing.
async fn refuse_rewound(
    link: &mut Link<'_>,
    last: Option<(u64, Digest)>,
    (head_seq, head): (u64, &Digest),
) -> Result<(), StoreError> {
    let Some((seq, written)) = last else {
        return Ok(());
    };
    let found = if seq == head_seq {
        Some(head.clone())
    } else {
        hash_of(link, seq).await?
    };
    // whoever took it into an archive has seen it, and the archive's document stands behind it
    if found.as_ref() == Some(&written) || (found.is_none() && is_archived(link, seq).await?) {
        return Ok(());
    }
    Err(StoreError::Rewound {
        seq,
        written,
        head: head_seq,
    })
}

/// The hash of a row, if there is such a row.
async fn hash_of(link: &mut Link<'_>, seq: u64) -> Result<Option<Digest>, StoreError> {
    const HASH: &str = "SELECT hash FROM chain WHERE seq = $1";
    if seq == 0 {
        return Ok(Some(genesis()));
    }
    let values = [Value::Integer(to_integer("sequence number", seq)?)];
    let row = link.fetch_optional("read a row's hash", HASH, &values);
    row.await?
        .map(|row| digest_in(seq, &column::<String>(&row, "hash")?))
        .transpose()
}

/// Refuses a batch when what it was computed from has grown since.
async fn refuse_over_news(
    link: &mut Link<'_>,
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
            let found = latest_under(link, kind, path).await?;
            refuse_overtaken(kind, path, *seq, found)
        }
        ExpectedHead::OfKind { kind, seq } => {
            let found = latest_of_kind(link, kind).await?;
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
async fn latest_under(link: &mut Link<'_>, kind: &str, path: &str) -> Result<u64, StoreError> {
    let [from, to] = under(path);
    let values = [Value::Text(kind), Value::Text(&from), Value::Text(&to)];
    let row = link.fetch_optional(LOOK, LATEST_UNDER, &values).await?;
    latest_in(row.as_ref())
}

/// The row of the latest document of a kind; 0 when there is none.
pub(crate) async fn latest_of_kind(link: &mut Link<'_>, kind: &str) -> Result<u64, StoreError> {
    let values = [Value::Text(kind)];
    let row = link.fetch_optional(LOOK, LATEST_OF_KIND, &values).await?;
    latest_in(row.as_ref())
}

fn latest_in(row: Option<&Row>) -> Result<u64, StoreError> {
    let Some(row) = row else { return Ok(0) };
    match column::<Option<i64>>(row, "seq")? {
        Some(_) => seq_of(row),
        None => Ok(0),
    }
}

/// The last row's sequence and hash; 0 and the genesis in an empty ledger.
pub(crate) async fn head(link: &mut Link<'_>) -> Result<(u64, Digest), StoreError> {
    const LAST: &str = "SELECT seq, hash FROM chain ORDER BY seq DESC LIMIT 1";
    let row = link.fetch_optional("read the head", LAST, &[]).await?;
    let Some(row) = row else {
        return Ok((0, genesis()));
    };
    let seq = seq_of(&row)?;
    Ok((seq, digest_in(seq, &column::<String>(&row, "hash")?)?))
}

/// Whether the periods that the ledger has seen are rehearsals; `None` before the first period.
pub(crate) async fn rehearses(link: &mut Link<'_>) -> Result<Option<bool>, StoreError> {
    const MARK: &str = "SELECT value FROM meta WHERE name = $1";
    let values = [Value::Text(REHEARSAL)];
    let row = link
        .fetch_optional("read what the ledger is", MARK, &values)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let value: String = column(&row, "value")?;
    value.parse().map(Some).map_err(|_| StoreError::Corrupt {
        seq: 0,
        what: format!("row 1 of meta: {REHEARSAL} is {value} instead of true or false"),
    })
}

/// Checks a record and computes what the chain will hold of it.
fn prepare(record: &Record, at: Second) -> Result<Prepared<'_>, StoreError> {
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
        at,
        hole: None,
        is_copied: false,
    })
}

/// The same for a row of another ledger.
fn prepare_copied(copied: &Copied) -> Result<Prepared<'_>, StoreError> {
    Ok(Prepared {
        hole: copied.hole.as_ref(),
        is_copied: true,
        ..prepare(&copied.record, copied.at)?
    })
}

/// Writes a row and its body behind all that waits, or lets it wait there itself.
async fn write<'a>(
    appending: &mut Appending<'_, 'a>,
    row: ChainRow,
    item: &Prepared<'a>,
) -> Result<(), StoreError> {
    match item.record {
        Record::Fact(fact) => appending.push(row, fact, item.at).await,
        Record::Document {
            kind,
            key,
            subject,
            body,
        } => {
            appending.row(&row, item.at).await?;
            let link = appending.link();
            if kind == PeriodOpenDoc::KIND {
                open_period(link, key, body).await?;
            }
            insert_document(link, row.seq, [kind, key, subject, body]).await
        }
        Record::Entry(entry) => {
            appending.row(&row, item.at).await?;
            insert_entry(appending.link(), row.seq, entry).await
        }
    }
}

/// The first period makes the ledger a rehearsal or a real one, for ever; rehearsed money must
/// never stand beside real money.
async fn open_period(link: &mut Link<'_>, key: &str, body: &str) -> Result<(), StoreError> {
    let document: PeriodOpenDoc =
        serde_json::from_str(body).map_err(|source| StoreError::Decode {
            seq: 0,
            kind: PeriodOpenDoc::KIND.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    let rehearsal = document.period.rehearsal();
    match rehearses(link).await? {
        Some(ledger) if ledger != rehearsal => Err(StoreError::MixedRehearsal {
            period: document.period.name,
            ledger_rehearses: ledger,
        }),
        Some(_) => Ok(()),
        None => {
            let mark = rehearsal.to_string();
            let values = [Value::Text(REHEARSAL), Value::Text(&mark)];
            link.execute("record what the ledger is", INSERT_MARK, &values)
                .await
        }
    }
}

/// A digest as it stands in a row.
fn digest_in(seq: u64, text: &str) -> Result<Digest, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt {
        seq,
        what: format!("{text} is not a digest"),
    })
}
