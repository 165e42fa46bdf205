//! What drafts are reckoned from, kept from one drafting to the next.
//!
//! A ledger holds facts by the million, and reading them takes most of the time of a draft. Rows never change, so what was
//! read is kept, and only later rows are read, until some leave for an archive. Objects whose use ended before every period
//! that is still to be drawn up are forgotten at once, so that memory follows what runs and not what ever ran. A close reads
//! the whole ledger all the same: it is what money rests on.

use leasehold_ledger::{document::ArchiveDoc, fact::Facts, time::Second, verify::Records};
use leasehold_store::{FactFilter, Store, StoreError};

use super::reckon;
use crate::Error;

/// So many facts are held before those are looked for that need not be.
const ROOM: usize = 50_000;

/// How often all is read anew when facts are archived meanwhile.
const ATTEMPTS: usize = 3;

/// How many facts may be held before those are looked for that need not be: twice as many as there are.
fn room(facts: &Facts) -> usize {
    facts.len().saturating_mul(2).max(ROOM)
}

/// Facts that were read, up to a row.
#[derive(Debug, Default)]
pub struct Known {
    facts: Facts,
    through: u64,
}

impl Known {
    /// What was read before, with everything up to row `through`: enough for every period that begins at `since` or later.
    ///
    /// Rows leave for archives, those of an object together. When that happened since what is kept was read, or happens
    /// meanwhile, all is read anew: of an object whose beginning was read and whose end is gone it would be said for ever
    /// that it runs.
    pub async fn grown(self, store: &Store, through: u64, since: Second) -> Result<Records, Error> {
        let mut archived = store.latest::<ArchiveDoc>().await?;
        let mut kept = if archived > self.through {
            Self::default()
        } else {
            self
        };
        for _ in 0..ATTEMPTS {
            let facts = kept.read(store, through, since).await?;
            let latest = store.latest::<ArchiveDoc>().await?;
            if latest == archived {
                return reckon::records_with(store, through, facts).await;
            }
            archived = latest;
            kept = Self::default();
        }
        Err(StoreError::Moved.into())
    }

    /// Reads on up to row `through`.
    async fn read(mut self, store: &Store, through: u64, since: Second) -> Result<Facts, Error> {
        let filter = FactFilter {
            until_seq: Some(through),
            ..FactFilter::default()
        };
        self.facts.forget_ended(since);
        let mut room = room(&self.facts);
        let mut after = self.through;
        loop {
            let page = store.facts_after(&filter, after).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for fact in &page {
                self.facts.push(fact.seq, &fact.value);
            }
            // looking through all of them after every page would take longer than reading them
            if self.facts.len() >= room {
                self.facts.forget_ended(since);
                room = self::room(&self.facts);
            }
        }
        self.facts.forget_ended(since);
        Ok(self.facts)
    }

    /// Keeps the facts of these records for the next time.
    pub fn of(records: Records, through: u64) -> Self {
        Self {
            facts: records.facts,
            through,
        }
    }
}
