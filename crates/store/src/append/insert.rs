//! The rows of a batch on their way into the tables.

mod postgres;
mod sqlite;

use leasehold_ledger::archive::Hole;
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{ChainRow, Entry};
use leasehold_ledger::time::Second;

use crate::StoreError;
use crate::backend::{Link, Value};
use crate::codec::{to_integer, to_word};

pub(crate) use self::sqlite::prepare as prepare_to_write_facts;

/// A row of the chain.
const CHAIN: &str = "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const DOCUMENT: &str =
    "INSERT INTO document (seq, kind, key, subject, body) VALUES ($1, $2, $3, $4, $5)";

const ENTRY: &str = "INSERT INTO entry (seq, id, kind, at, department, period) \
     VALUES ($1, $2, $3, $4, $5, $6)";

const POSTING: &str = "INSERT INTO posting (entry, n, account, amount) VALUES ($1, $2, $3, $4)";

const HOLE: &str = "INSERT INTO hole (first_seq, last_seq, prev, hash, ended_before, archive) \
     VALUES ($1, $2, $3, $4, $5, $6)";

/// A fact that has its place at the end of the chain, with the time of its insertion.
#[derive(Debug)]
struct Placed<'a> {
    row: ChainRow,
    fact: &'a Fact,
    at: Second,
}

/// What is appended by one transaction. Facts wait here until they are a group.
#[derive(Debug)]
pub(super) struct Appending<'c, 'a> {
    link: Link<'c>,
    epoch: i64,
    waiting: Vec<Placed<'a>>,
}

impl<'c, 'a> Appending<'c, 'a> {
    /// Nothing yet.
    pub(super) fn new(link: Link<'c>, epoch: u64) -> Result<Self, StoreError> {
        Ok(Self {
            link,
            epoch: to_integer("epoch", epoch)?,
            waiting: Vec::new(),
        })
    }

    /// The connection, for what belongs to the row that was written last.
    pub(super) fn link(&mut self) -> &mut Link<'c> {
        &mut self.link
    }

    /// Lets a fact wait behind the others; writes them when they are a group.
    pub(super) async fn push(
        &mut self,
        row: ChainRow,
        fact: &'a Fact,
        at: Second,
    ) -> Result<(), StoreError> {
        self.waiting.push(Placed { row, fact, at });
        let group = match self.link {
            Link::Sqlite(_) => sqlite::GROUP,
            Link::Postgres(_) => postgres::GROUP,
        };
        if self.waiting.len() < group {
            return Ok(());
        }
        self.flush().await
    }

    /// Writes all that waits.
    async fn flush(&mut self) -> Result<(), StoreError> {
        match &mut self.link {
            Link::Sqlite(connection) => {
                sqlite::insert_facts(connection, &self.waiting, self.epoch).await?;
            }
            Link::Postgres(connection) => {
                postgres::insert_facts(connection, &self.waiting, self.epoch).await?;
            }
        }
        self.waiting.clear();
        Ok(())
    }

    /// Writes a row of the chain, behind all that waits. Its body must follow.
    pub(super) async fn row(&mut self, row: &ChainRow, at: Second) -> Result<(), StoreError> {
        self.flush().await?;
        insert_chain(&mut self.link, row, at, self.epoch).await
    }

    /// Writes what is archived behind all that waits. A row must follow.
    pub(super) async fn hole(&mut self, hole: &Hole, archive: u64) -> Result<(), StoreError> {
        self.flush().await?;
        let values = [
            Value::Integer(to_integer("sequence number", hole.first)?),
            Value::Integer(to_integer("sequence number", hole.last)?),
            Value::Text(hole.prev.as_str()),
            Value::Text(hole.hash.as_str()),
            Value::Integer(hole.ended_before.get()),
            Value::Integer(to_integer("sequence number", archive)?),
        ];
        self.link
            .execute("append what is archived", HOLE, &values)
            .await
    }

    /// Writes what still waits, and gives the connection back.
    pub(super) async fn finish(mut self) -> Result<Link<'c>, StoreError> {
        self.flush().await?;
        Ok(self.link)
    }
}

/// Writes a row of the chain whose body follows.
async fn insert_chain(
    link: &mut Link<'_>,
    row: &ChainRow,
    at: Second,
    epoch: i64,
) -> Result<(), StoreError> {
    let values = [
        Value::Integer(to_integer("sequence number", row.seq)?),
        Value::Text(&row.kind),
        Value::Text(&row.key),
        Value::Text(row.digest.as_str()),
        Value::Text(row.prev.as_str()),
        Value::Text(row.hash.as_str()),
        Value::Integer(at.get()),
        Value::Integer(epoch),
    ];
    link.execute("append a row to the chain", CHAIN, &values)
        .await
}

/// Writes the body of a document.
pub(super) async fn insert_document(
    link: &mut Link<'_>,
    seq: u64,
    [kind, key, subject, body]: [&str; 4],
) -> Result<(), StoreError> {
    let values = [
        Value::Integer(to_integer("sequence number", seq)?),
        Value::Text(kind),
        Value::Text(key),
        Value::Text(subject),
        Value::Text(body),
    ];
    link.execute("append a document", DOCUMENT, &values).await
}

/// Writes the body of an entry and its postings.
pub(super) async fn insert_entry(
    link: &mut Link<'_>,
    seq: u64,
    entry: &Entry,
) -> Result<(), StoreError> {
    let seq = to_integer("sequence number", seq)?;
    let kind = to_word("entry", &entry.kind)?;
    let values = [
        Value::Integer(seq),
        Value::Text(&entry.id),
        Value::Text(&kind),
        Value::Integer(entry.at.get()),
        Value::Text(&entry.department),
        Value::MaybeText(entry.period.as_deref()),
    ];
    link.execute("append an entry", ENTRY, &values).await?;
    for (n, posting) in (1_i64..).zip(&entry.postings) {
        let values = [
            Value::Integer(seq),
            Value::Integer(n),
            Value::Text(&posting.account),
            Value::Integer(posting.amount.minor()),
        ];
        link.execute("append a posting", POSTING, &values).await?;
    }
    Ok(())
}
