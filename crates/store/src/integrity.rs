//! Whether the database still holds what was written into it.

use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::journal::{ChainRow, genesis, link};
use sqlx::Row;

use crate::error::failed;
use crate::{Integrity, Store, StoreError};

/// How many rows are recomputed at a time.
const PAGE: u32 = 1000;

impl Store {
    /// Checks the file, every row's digest and every link of the chain, from the first row on.
    ///
    /// SQLite's own check comes first but is not enough: it does not see most bits that flip
    /// inside a value. Whether the money is right is another question, which
    /// [`leasehold_ledger::verify`] answers from [`Store::rows`]. Each page of rows has the
    /// store's deadline, not the whole.
    pub async fn integrity(&self) -> Result<Integrity, StoreError> {
        self.within("check the file", self.check_file()).await?;
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

    /// SQLite's own checks: the pages of the file and the references between tables.
    async fn check_file(&self) -> Result<(), StoreError> {
        let rows = sqlx::query("PRAGMA integrity_check")
            .fetch_all(self.reader())
            .await
            .map_err(failed("check the file"))?;
        for row in &rows {
            let finding: String = row.try_get(0).map_err(failed("check the file"))?;
            if finding != "ok" {
                return Err(StoreError::Corrupt {
                    seq: 0,
                    what: finding,
                });
            }
        }
        let orphan = sqlx::query("PRAGMA foreign_key_check")
            .fetch_optional(self.reader())
            .await
            .map_err(failed("check the references"))?;
        match orphan {
            None => Ok(()),
            Some(row) => {
                let table: String = row.try_get(0).map_err(failed("check the references"))?;
                Err(StoreError::Corrupt {
                    seq: 0,
                    what: format!("a row of {table} belongs to no row of the chain"),
                })
            }
        }
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

/// The row follows the row before and carries the hash of its own content.
fn check_link(chain: &ChainRow, before: u64, prev: &str) -> Result<(), StoreError> {
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
