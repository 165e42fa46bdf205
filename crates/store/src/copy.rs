//! Taking a ledger from one database into another: backup and restore.

use std::fs;

use leasehold_ledger::archive::Hole;
use leasehold_ledger::canonical::Digest;
use leasehold_ledger::journal::genesis;
use leasehold_ledger::time::Second;

use crate::append::Copied;
use crate::archive::across;
use crate::backend::Pool;
use crate::codec::ChainBody;
use crate::error::failed;
use crate::integrity::check_link;
use crate::lock::lock_path;
use crate::store::{APPEND, Store};
use crate::{Batch, Cursor, Integrity, Place, StoreError, append, cursors, leader};

/// How many rows are in memory at a time.
const PAGE: u32 = 1000;

/// The row among the places of watches that says whether all rows of the copied ledger are there. It is the one table whose
/// rows change.
pub(crate) const MARK: &str = "(copy)";

/// What the mark says while they are not.
const UNFINISHED: &str = "unfinished";

/// What it says when they are.
const FINISHED: &str = "finished";

/// What this is called where an error is told.
const CLOSE: &str = "close the copy";

/// The mark of a copy; no instant belongs to it.
fn mark(says: &str) -> Cursor {
    Cursor {
        source: MARK.to_owned(),
        resource_version: says.to_owned(),
        complete_to: None,
        observed_at: Second::new(0),
    }
}

/// Refuses to go on with a ledger into which not all rows were copied.
pub(crate) async fn refuse_unfinished(pool: &Pool, place: &Place) -> Result<(), StoreError> {
    let found = cursors::mark(pool).await?;
    if found.is_some_and(|mark| mark.resource_version == UNFINISHED) {
        return Err(StoreError::Unfinished {
            place: place.clone(),
        });
    }
    Ok(())
}

impl Store {
    /// Copies every row into `target`, whichever database each of them is in: a backup, or its way back.
    ///
    /// Every row is recomputed on the way, so that a damaged ledger is not copied
    /// ([`StoreError::Corrupt`]), and the copy has the same hashes. Rows that are appended meanwhile are left out. `target`
    /// must be empty, or hold the first rows of this ledger, as after a copy that was broken off; it goes on from there.
    /// `told` hears of the last row after each page. When facts are archived meanwhile, it ends with [`StoreError::Moved`],
    /// and is to be begun anew with an empty target. Until it is complete the copy is no ledger to go on with
    /// ([`StoreError::Unfinished`]).
    ///
    /// The places of the watches come along, and the copy's epoch is above that of both ledgers, so that a process which had
    /// this one open can never write into the other. It is above that of `target` itself as well: close it, and open it anew
    /// to write.
    pub async fn copy_into(
        &self,
        target: &Self,
        mut told: impl FnMut(u64),
    ) -> Result<Integrity, StoreError> {
        let whole = refuse_unfinished(self.reader(), self.place());
        self.within("look for a broken-off copy", whole).await?;
        // before the rows: a watch may be asked for what is known already, never go on behind what is not
        let cursors = self.cursors().await?;
        let leader = self.within("read the newest epoch", leader::seen(self.reader()));
        let epoch = leader.await?.epoch;
        // before the head, so that the documents of all of them come along
        let holes = self.dug_holes().await?;
        let (last, _) = self.head().await?;
        let (mut rows, mut head) = self.common(target, last, &holes).await?;
        while rows < last {
            let page = self.copy_page(target, (rows, &head), &holes).await;
            (rows, head) = self.unmoved(&holes, page).await?;
            told(rows);
        }
        let objects = self.copy_objects(target).await;
        self.unmoved(&holes, objects).await?;
        let places = Batch {
            records: Vec::new(),
            cursors: cursors.into_iter().chain([mark(FINISHED)]).collect(),
            expected: Vec::new(),
        };
        // nothing is inserted, so that the instant is of no account
        target
            .commit(&places.expecting(rows), Second::new(0))
            .await?;
        let taking = leader::take(&target.writer()?.pool, epoch);
        target.within("take over the copy", taking).await?;
        Ok(Integrity { rows, head })
    }

    /// What was done, if nothing was archived since the holes were read: else rows may be missing that are not damaged, and
    /// objects be known whose facts came along.
    async fn unmoved<T>(
        &self,
        holes: &[(Hole, u64)],
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.dug_holes().await? == holes {
            return done;
        }
        Err(StoreError::Moved)
    }

    /// How many of the first rows `target` has already, and its head.
    ///
    /// What is archived before them must be the same in both, or the copy's holes would be those of no archive.
    async fn common(
        &self,
        target: &Self,
        last: u64,
        holes: &[(Hole, u64)],
    ) -> Result<(u64, Digest), StoreError> {
        let (rows, head) = target.head().await?;
        if rows == 0 {
            return Ok((0, genesis()));
        }
        let archived: Vec<&Hole> = holes
            .iter()
            .map(|(hole, _)| hole)
            .take_while(|hole| hole.first <= rows)
            .collect();
        let there = target.holes().await?;
        let same = self.written(rows.saturating_sub(1), 1).await?;
        if rows <= last
            && same.first().is_some_and(|row| row.chain.hash == head)
            && there.iter().eq(archived)
        {
            return Ok((rows, head));
        }
        Err(StoreError::AnotherLedger {
            place: target.place().clone(),
            rows,
        })
    }

    /// Copies the rows after row `rows`, whose hash is `head`, and tells the last one and its hash.
    async fn copy_page(
        &self,
        target: &Self,
        (rows, head): (u64, &Digest),
        holes: &[(Hole, u64)],
    ) -> Result<(u64, Digest), StoreError> {
        let (mut before, mut prev) = (rows, head.clone());
        let mut records: Vec<Copied> = Vec::new();
        for written in self.written(rows, PAGE).await? {
            let hole = across(holes, (before, prev.as_str()), written.chain.seq).cloned();
            if let Some((hole, _)) = &hole {
                (before, prev) = (hole.last, hole.hash.clone());
            }
            check_link(&written.chain, before, prev.as_str())?;
            ChainBody::of(&written.record)?.trusted(&written.chain)?;
            (before, prev) = (written.chain.seq, written.chain.hash);
            records.push(Copied {
                record: written.record,
                at: written.at,
                hole,
            });
        }
        let appending = append::append_copied(target.writer()?, &records, rows, mark(UNFINISHED));
        let committed = target.within(APPEND, appending).await?;
        if committed.head == prev && committed.head_seq > rows {
            return Ok((committed.head_seq, committed.head));
        }
        Err(StoreError::Corrupt {
            seq: rows.saturating_add(1),
            what: format!(
                "the rows from there to {before} end with hash {prev}, their copy with {}",
                committed.head
            ),
        })
    }

    /// Closes a ledger that was written for others to take away: everything is in the one file then, which needs nothing
    /// beside it, and may be read where nothing can be written. No clone of the store may be in use. On a server it only
    /// closes.
    pub async fn close_as_one_file(self) -> Result<(), StoreError> {
        let place = self.place().clone();
        self.reader().close().await;
        if let Pool::Sqlite(pool) = &self.writer()?.pool {
            let alone =
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
                    .execute(pool);
            self.within(CLOSE, async {
                alone.await.map(drop).map_err(failed(CLOSE))
            })
            .await?;
        }
        self.close().await?;
        if let Place::File(path) = &place {
            // the lock was of use while it was written; whoever opens the ledger for writing makes another
            fs::remove_file(lock_path(path)).ok();
        }
        Ok(())
    }
}
