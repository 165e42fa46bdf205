//! The one way out: facts that an archive holds, in the transaction that brings its document.

use std::collections::BTreeSet;

use leasehold_ledger::archive::{Chosen, Hole, object_of};
use leasehold_ledger::journal::ChainRow;
use leasehold_ledger::time::Second;
use serde_json::{Value as Json, json};

use super::insert::{Appending, insert_document};
use super::{head, prepare};
use crate::archive::{SEALED, forget, read_in, remember};
use crate::backend::{Link, Pool, Value};
use crate::codec::{chain_columns, fact_columns, fact_of, seq_of, to_integer};
use crate::{Record, StoreError, leader};

/// How many rows are taken out by one statement.
const GROUP: usize = 1000;

/// How many holes are dug by one statement.
const HOLES: usize = 500;

/// What this is called where an error is told.
pub(crate) const SEAL: &str = "take out what is archived";

const FACTS_SINCE: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM fact f JOIN chain c ON c.seq = f.seq WHERE f.seq > $1 ORDER BY f.seq"
);

const FILL: &str = "DELETE FROM hole WHERE first_seq = $1";

const DIG_IN_SQLITE: &str = "INSERT INTO hole (first_seq, last_seq, prev, hash, ended_before, archive) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, $2 \
     FROM json_each($1)";

const DIG_IN_POSTGRES: &str = "INSERT INTO hole (first_seq, last_seq, prev, hash, ended_before, archive) \
     SELECT (h ->> 0)::bigint, (h ->> 1)::bigint, h ->> 2, h ->> 3, (h ->> 4)::bigint, $2 \
     FROM json_array_elements($1::json) AS dug (h)";

/// The bodies first, because they reference the chain.
const OUT_IN_SQLITE: [&str; 2] = [
    "DELETE FROM fact WHERE seq IN (SELECT CAST(value AS INTEGER) FROM json_each($1))",
    "DELETE FROM chain WHERE seq IN (SELECT CAST(value AS INTEGER) FROM json_each($1))",
];

const OUT_IN_POSTGRES: [&str; 2] = [
    "DELETE FROM fact WHERE seq = ANY ($1::text[]::bigint[])",
    "DELETE FROM chain WHERE seq = ANY ($1::text[]::bigint[])",
];

/// An archive that lies on the disk and was read back, and what the chain is without its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealing<'a> {
    /// The archive's document.
    pub(crate) record: &'a Record,
    /// The last row that was looked at when the rows were chosen.
    pub(crate) head: u64,
    pub(crate) chosen: &'a Chosen,
    /// The holes that there were.
    pub(crate) before: &'a [Hole],
    /// The holes that there are to be.
    pub(crate) after: &'a [Hole],
    pub(crate) ended_before: Second,
    /// Up to when objects are listed no more.
    pub(crate) forgotten: Option<Second>,
}

/// Records the document and takes the rows out; tells the row of the document. Like every writer it waits for the lock, and
/// it writes in the epoch of the one who has the ledger, which may go on behind it.
pub(crate) async fn seal(
    pool: &Pool,
    sealing: &Sealing<'_>,
    now: Second,
) -> Result<u64, StoreError> {
    let prepared = prepare(sealing.record, now)?;
    let Record::Document {
        kind,
        key,
        subject,
        body,
    } = sealing.record
    else {
        return Err(StoreError::NotCanonical {
            key: prepared.chain.key,
        });
    };
    let mut turn = pool.begin(SEAL).await?;
    let mut link = turn.link();
    let epoch = leader::newest(&mut link).await?.epoch;
    let (last, hash) = head(&mut link).await?;
    refuse_over_news(&mut link, sealing, last).await?;
    let before = (last > 0).then_some((last, &hash));
    let row = ChainRow::after(
        before,
        prepared.chain.kind,
        &prepared.chain.key,
        prepared.digest,
    );
    let mut appending = Appending::new(link, epoch)?;
    appending.row(&row, now).await?;
    insert_document(appending.link(), row.seq, [kind, key, subject, body]).await?;
    let mut link = appending.finish().await?;
    dig(&mut link, sealing, row.seq).await?;
    list(&mut link, sealing).await?;
    take_out(&mut link, &sealing.chosen.rows).await?;
    turn.commit("commit").await?;
    Ok(row.seq)
}

/// Refuses when something came since of an object that is to leave, or when somebody else archived meanwhile.
async fn refuse_over_news(
    link: &mut Link<'_>,
    sealing: &Sealing<'_>,
    found: u64,
) -> Result<(), StoreError> {
    let conflict = || StoreError::Conflict {
        expected: sealing.head,
        found,
    };
    if read_in(link).await? != sealing.before {
        return Err(conflict());
    }
    let values = [Value::Integer(to_integer("sequence number", sealing.head)?)];
    for row in link.fetch_all(SEAL, FACTS_SINCE, &values).await? {
        let fact = fact_of(seq_of(&row)?, &row)?;
        if sealing.chosen.objects.contains(&object_of(&fact)) {
            return Err(conflict());
        }
    }
    Ok(())
}

/// Digs the holes and widens those that they touch.
async fn dig(link: &mut Link<'_>, sealing: &Sealing<'_>, archive: u64) -> Result<(), StoreError> {
    // both are in order, and a hole that is the same stays as it is
    let same = |holes: &[Hole], hole: &Hole| {
        let at = holes.binary_search_by_key(&hole.first, |other| other.first);
        at.ok().and_then(|at| holes.get(at)) == Some(hole)
    };
    for gone in sealing
        .before
        .iter()
        .filter(|hole| !same(sealing.after, hole))
    {
        let values = [Value::Integer(to_integer("sequence number", gone.first)?)];
        link.execute(SEAL, FILL, &values).await?;
    }
    let new: Vec<&Hole> = sealing
        .after
        .iter()
        .filter(|hole| !same(sealing.before, hole))
        .collect();
    let sql = match link {
        Link::Sqlite(_) => DIG_IN_SQLITE,
        Link::Postgres(_) => DIG_IN_POSTGRES,
    };
    for some in new.chunks(HOLES) {
        let rows: Vec<Json> = some.iter().map(|hole| cells(hole)).collect();
        let text = Json::from(rows).to_string();
        let values = [
            Value::Text(&text),
            Value::Integer(to_integer("sequence number", archive)?),
        ];
        link.execute(SEAL, sql, &values).await?;
    }
    Ok(())
}

fn cells(hole: &Hole) -> Json {
    json!([
        hole.first,
        hole.last,
        hole.prev.as_str(),
        hole.hash.as_str(),
        hole.ended_before.get(),
    ])
}

/// Lists the objects that leave, and no longer those of the oldest archives.
async fn list(link: &mut Link<'_>, sealing: &Sealing<'_>) -> Result<(), StoreError> {
    let objects: Vec<&str> = sealing.chosen.objects.iter().map(String::as_str).collect();
    remember(link, &objects, sealing.ended_before).await?;
    remember(link, &[SEALED], sealing.ended_before).await?;
    match sealing.forgotten {
        Some(until) => forget(link, until).await,
        None => Ok(()),
    }
}

/// Takes the rows out.
async fn take_out(link: &mut Link<'_>, rows: &BTreeSet<u64>) -> Result<(), StoreError> {
    let texts = match link {
        Link::Sqlite(_) => OUT_IN_SQLITE,
        Link::Postgres(_) => OUT_IN_POSTGRES,
    };
    let rows: Vec<String> = rows.iter().map(u64::to_string).collect();
    for some in rows.chunks(GROUP) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        for sql in texts {
            link.execute(SEAL, sql, &[Value::Texts(&some)]).await?;
        }
    }
    Ok(())
}
