//! Whether the database still holds what was written into it.

use leasehold_ledger::archive::Hole;
use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::journal::{ChainRow, genesis, link};

use crate::archive::across;
use crate::codec::column;
use crate::{Integrity, Store, StoreError};

/// How many rows are recomputed at a time.
const PAGE: u32 = 1000;

/// What this is called where an error is told.
const CHECK: &str = "check the database";

/// A body of each table that has no row in the chain, or a posting that has no entry.
const ORPHANS: [(&str, &str); 4] = [
    (
        "fact",
        "SELECT b.seq AS seq FROM fact b \
         WHERE NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "document",
        "SELECT b.seq AS seq FROM document b \
         WHERE NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "entry",
        "SELECT b.seq AS seq FROM entry b \
         WHERE NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq) LIMIT 1",
    ),
    (
        "posting",
        "SELECT p.entry AS seq FROM posting p \
         WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.seq = p.entry) LIMIT 1",
    ),
];

impl Store {
    /// Checks the file, every row's digest and every link of the chain, from the first row on. Of rows that lie in
    /// archives it checks the hashes around them.
    ///
    /// SQLite's own check comes first but is not enough: it does not see most bits that flip
    /// inside a value. The chain is the proof, in both databases. Whether the money is right is another question, which
    /// [`leasehold_ledger::verify`] answers from [`Store::rows`]. Each page of rows has the
    /// store's deadline, not the whole.
    pub async fn integrity(&self) -> Result<Integrity, StoreError> {
        self.within(CHECK, self.check_file()).await?;
        let holes = self.dug_holes().await?;
        let mut rows = 0_u64;
        let mut head = genesis();
        loop {
            let page = self.page(rows, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (chain, body) in page {
                if let Some((hole, _)) = across(&holes, (rows, head.as_str()), chain.seq) {
                    (rows, head) = (hole.last, hole.hash.clone());
                }
                check_link(&chain, rows, head.as_str())?;
                body.trusted(&chain)?;
                rows = chain.seq;
                head = chain.hash;
            }
        }
        let holes: Vec<Hole> = holes.into_iter().map(|(hole, _)| hole).collect();
        self.check_holes(&holes).await?;
        self.check_periods().await?;
        Ok(Integrity { rows, head })
    }

    /// The database's own checks: the pages of a file, and bodies without a row of the chain.
    async fn check_file(&self) -> Result<(), StoreError> {
        if self.reader().is_server() {
            return self.check_bodies().await;
        }
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
        for (table, sql) in ORPHANS {
            let found = self.reader().fetch_optional(CHECK, sql, &[]);
            if found.await?.is_some() {
                return Err(orphaned(table));
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
