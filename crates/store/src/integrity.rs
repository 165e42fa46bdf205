//! Whether the database still holds what was written into it.

use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::journal::{ChainRow, genesis, link};

use crate::backend::Value;
use crate::codec::{bound, column, to_integer};
use crate::{Integrity, Store, StoreError};

/// How many rows are recomputed at a time.
const PAGE: u32 = 1000;

/// What this is called where an error is told.
const CHECK: &str = "check the database";

/// So many rows are looked for bodies without a row of the chain at a time.
const SPAN: u64 = 100_000;

/// So many rows have the deadline of a call once, where one statement looks at all of them.
const ROWS_IN_A_CALL: u64 = 100_000;

/// A body of each table, of rows after one and up to another, that has no row in the chain, or a posting that has no entry.
const ORPHANS: [(&str, &str); 4] = [
    (
        "fact",
        "SELECT b.seq AS seq FROM fact b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "document",
        "SELECT b.seq AS seq FROM document b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "entry",
        "SELECT b.seq AS seq FROM entry b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "posting",
        "SELECT p.entry AS seq FROM posting p WHERE p.entry > $1 AND p.entry <= $2 \
         AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.seq = p.entry) LIMIT 1",
    ),
];

/// The stretches in which rows up to `last` are looked at, as what is before the first and the last row of each; the last one
/// goes on to the end, where no row of the chain can be.
fn stretches(last: u64) -> impl Iterator<Item = (u64, Option<u64>)> {
    let whole = last / SPAN;
    (0..=whole).map(move |n| {
        let before = n.saturating_mul(SPAN);
        (before, (n < whole).then(|| before.saturating_add(SPAN)))
    })
}

impl Store {
    /// Checks the file, every row's digest and every link of the chain, from the first row on.
    ///
    /// SQLite's own check comes first but is not enough: it does not see most bits that flip
    /// inside a value. The chain is the proof, in both databases. Whether the money is right is another question, which
    /// [`leasehold_ledger::verify`] answers from [`Store::rows`]. Each page of rows has the
    /// store's deadline, not the whole; the check of a file has it once for each hundred thousand
    /// rows.
    pub async fn integrity(&self) -> Result<Integrity, StoreError> {
        self.check_file().await?;
        let mut rows = 0_u64;
        let mut head = genesis();
        loop {
            let page = self.page(rows, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (chain, body) in page {
                check_link(&chain, rows, head.as_str())?;
                body.trusted(&chain)?;
                rows = chain.seq;
                head = chain.hash;
            }
        }
        self.check_periods().await?;
        Ok(Integrity { rows, head })
    }

    /// The database's own checks: the pages of a file, and bodies without a row of the chain.
    async fn check_file(&self) -> Result<(), StoreError> {
        if self.reader().is_server() {
            return self.check_bodies().await;
        }
        let (rows, _) = self.head().await?;
        let calls = u32::try_from(rows / ROWS_IN_A_CALL).unwrap_or(u32::MAX);
        self.within_so_many(calls.saturating_add(1), CHECK, self.check_pages())
            .await
    }

    /// What SQLite finds by itself, which it looks for in all of the file at once.
    async fn check_pages(&self) -> Result<(), StoreError> {
        let pages = self.reader();
        for row in &pages
            .fetch_all(CHECK, "PRAGMA integrity_check", &[])
            .await?
        {
            let finding: String = column(row, "integrity_check")?;
            if finding != "ok" {
                return Err(StoreError::Corrupt {
                    seq: 0,
                    what: finding,
                });
            }
        }
        let orphans = pages.fetch_all(CHECK, "PRAGMA foreign_key_check", &[]);
        match orphans.await?.first() {
            None => Ok(()),
            Some(row) => Err(orphaned(&column::<String>(row, "table")?)),
        }
    }

    /// PostgreSQL has no check of its own that would help, and its tables do not reference each other. What the chain does
    /// not know has no weight, and is told all the same.
    async fn check_bodies(&self) -> Result<(), StoreError> {
        let (last, _) = self.head().await?;
        for (table, sql) in ORPHANS {
            for (after, until) in stretches(last) {
                let after = to_integer("sequence number", after)?;
                let values = [Value::Integer(after), Value::Integer(bound(until))];
                let found = self.reader().fetch_optional(CHECK, sql, &values);
                if self.within(CHECK, found).await?.is_some() {
                    return Err(orphaned(table));
                }
            }
        }
        Ok(())
    }

    /// All periods are of the kind that the ledger is marked with.
    async fn check_periods(&self) -> Result<(), StoreError> {
        let marked = self.rehearsal().await?;
        let opened = self.documents::<PeriodOpenDoc>(None, None).await?;
        let stranger = opened
            .iter()
            .find(|document| Some(document.value.period.rehearsal()) != marked);
        stranger.map_or(Ok(()), |document| {
            Err(StoreError::Corrupt {
                seq: document.seq,
                what: format!(
                    "period {} does not fit a ledger whose mark of a rehearsal is {marked:?}",
                    document.value.period.name
                ),
            })
        })
    }
}

fn orphaned(table: &str) -> StoreError {
    StoreError::Corrupt {
        seq: 0,
        what: format!("a row of {table} belongs to no row of the chain"),
    }
}

/// The row follows the row before and carries the hash of its own content.
pub(crate) fn check_link(chain: &ChainRow, before: u64, prev: &str) -> Result<(), StoreError> {
    if chain.seq != before + 1 {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("row {} is missing before it", before + 1),
        });
    }
    if chain.prev.as_str() != prev {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("it follows hash {}, the row before has {prev}", chain.prev),
        });
    }
    let hash = link(
        chain.seq,
        &chain.kind,
        &chain.key,
        &chain.digest,
        &chain.prev,
    );
    if hash != chain.hash {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("its hash is {}, its content has {hash}", chain.hash),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other_and_the_last_one_has_no_end() {
        let all: Vec<_> = stretches(250_000).collect();
        let expected = [
            (0, Some(100_000)),
            (100_000, Some(200_000)),
            (200_000, None),
        ];
        assert_eq!(all, expected);
        assert_eq!(stretches(0).collect::<Vec<_>>(), [(0, None)]);
        let edge: Vec<_> = stretches(100_000).collect();
        assert_eq!(edge, [(0, Some(100_000)), (100_000, None)]);
    }
}
