//! Facts of closed periods on their way out of the ledger, into files that are kept elsewhere.
//!
//! The order of the steps is what makes it safe. The rows are written into a file, which is read back from the disk and
//! recomputed; only then one transaction records the archive's document, digs its holes into the chain and takes the rows
//! out. Whoever is stopped before that transaction has changed nothing, and begins again; after it all is done.

mod due;
mod file;
mod holes;
mod objects;

use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_ledger::archive::{Chosen, Content, Digger, Hole, Sift, holes_digest};
use leasehold_ledger::canonical::Digest;
use leasehold_ledger::document::ArchiveDoc;
use leasehold_ledger::time::Second;

use crate::backend::Pool;
use crate::lock::WriterLock;
use crate::store::{keeping, within};
use crate::{FactFilter, Place, Record, Store, StoreError, append, copy, rights};

pub use self::due::Due;
pub use self::file::ArchiveFile;
pub(crate) use self::holes::{across, is_archived, read_in};
pub(crate) use self::objects::{FORGOTTEN, SEALED, forget, remember};

/// How often it is begun anew when something about the rows came in between.
const ATTEMPTS: usize = 5;

/// How long taking out may take. Whoever appends waits for it, and bills nothing meanwhile; what takes longer is rolled back.
const SEALING: Duration = Duration::from_mins(10);

/// What is locked in a folder while somebody archives into it, as `facts.lock`.
const LOCK: &str = "facts";

/// How many archives are remembered object by object. What ended before that is taken for known when it is told again.
const REMEMBERED: usize = 24;

/// Whoever moves facts into archives, beside the process that writes the ledger.
///
/// It takes no epoch: it appends one document per archive, under the lock that every writer takes, in the epoch of the
/// writer that there is. On a server it needs the role that owns the tables; the operator's cannot delete.
#[derive(Clone, Debug)]
pub struct Keeper {
    store: Store,
    pool: Pool,
}

/// An archive that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its document, as it stands in the chain.
    pub document: ArchiveDoc,
    /// The row of the document.
    pub seq: u64,
    /// Where the file is.
    pub file: PathBuf,
}

/// What is to be archived, and what the chain is without it.
struct Portion {
    /// The last row that was looked at.
    head: u64,
    chosen: Chosen,
    before: Vec<Hole>,
    after: Vec<Hole>,
    content: Content,
}

impl Keeper {
    /// Opens the ledger at `place`, which must be there with this program's schema.
    pub async fn open(place: impl Into<Place>) -> Result<Self, StoreError> {
        let place = place.into();
        let store = Store::open_read_only(place.clone()).await?;
        let pool = keeping(&place).await?;
        if pool.is_server() {
            rights::refuse_reader(&pool, &place).await?;
        }
        copy::refuse_unfinished(&pool, &place).await?;
        Ok(Self { store, pool })
    }

    /// The ledger, for reading.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the connections.
    pub async fn close(self) -> Result<(), StoreError> {
        self.pool.close().await;
        self.store.close().await
    }

    /// How many rows the archive of a period would have now.
    pub async fn weigh(&self, due: &Due) -> Result<u64, StoreError> {
        let (head, _) = self.store.head().await?;
        let chosen = self.choose(due, head).await?;
        Ok(u64::try_from(chosen.rows.len()).unwrap_or(u64::MAX))
    }

    /// Moves the facts of a period into a file in `folder`. None when there is nothing to move, or when it was done.
    ///
    /// It may be stopped at any moment and called again: until the end nothing is changed in the ledger, and a file that
    /// no document names is written anew. What is remembered as the time of the archive is `now`.
    pub async fn archive(
        &self,
        due: &Due,
        folder: &Path,
        now: Second,
    ) -> Result<Option<Archived>, StoreError> {
        // nobody else puts files here meanwhile, so that one without a document is certainly nobody's
        let _alone = WriterLock::take(&folder.join(LOCK))?;
        let mut attempt = 0;
        loop {
            if self.is_done(due).await? {
                return Ok(None);
            }
            let (head, _) = self.store.head().await?;
            let chosen = self.choose(due, head).await?;
            if chosen.rows.is_empty() {
                return Ok(None);
            }
            file::expect_room(folder, u64::try_from(chosen.rows.len()).unwrap_or(u64::MAX))?;
            match Box::pin(self.attempt(due, folder, (head, chosen), now)).await {
                Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
                done => return done.map(Some),
            }
            // it was written for other rows than those of the next attempt
            if !self.is_done(due).await? {
                file::take_away(&folder.join(due.file_name()))?;
            }
        }
    }

    async fn is_done(&self, due: &Due) -> Result<bool, StoreError> {
        let document = self.store.document::<ArchiveDoc>(&due.period).await?;
        Ok(document.is_some())
    }

    async fn attempt(
        &self,
        due: &Due,
        folder: &Path,
        (head, chosen): (u64, Chosen),
        now: Second,
    ) -> Result<Archived, StoreError> {
        let name = due.file_name();
        let path = folder.join(&name);
        let portion = self.write(due, &path, (head, chosen)).await?;
        let document = document(due, name, &portion, now)?;
        // from the disk, by another connection: what is taken out is there for certain
        let written = ArchiveFile::open(&path).await?;
        written.check(&document).await?;
        written.close().await;
        let forgotten = self.forgotten(due).await?;
        let record = Record::document(&document)?;
        let sealing = append::Sealing {
            record: &record,
            head: portion.head,
            chosen: &portion.chosen,
            before: &portion.before,
            after: &portion.after,
            ended_before: due.ended_before,
            forgotten,
        };
        let sealed = Box::pin(append::seal(&self.pool, &sealing, now));
        let seq = within(SEALING, append::SEAL, sealed).await?;
        Ok(Archived {
            document,
            seq,
            file: path,
        })
    }

    /// The facts that may leave, of all that there are up to row `head`.
    async fn choose(&self, due: &Due, head: u64) -> Result<Chosen, StoreError> {
        let filter = FactFilter {
            until_seq: Some(head),
            ..FactFilter::default()
        };
        let mut sift = Sift::new(due.ended_before, due.through, due.closed.clone());
        let mut after = 0;
        loop {
            let page = self.store.facts_after(&filter, after).await?;
            let Some(last) = page.last() else {
                return Ok(sift.chosen());
            };
            after = last.seq;
            for fact in &page {
                sift.take(fact.seq, &fact.value);
            }
        }
    }

    /// Writes the rows into the file, and reckons what the chain is without them.
    async fn write(
        &self,
        due: &Due,
        path: &Path,
        (head, chosen): (u64, Chosen),
    ) -> Result<Portion, StoreError> {
        let before = self.store.holes().await?;
        let mut digger = Digger::new(due.ended_before);
        let mut content = Content::default();
        let mut writing = file::Writing::begin(path, self.genesis().await?.as_ref()).await?;
        let mut after = chosen
            .rows
            .first()
            .map_or(0, |first| first.saturating_sub(1));
        let last = chosen.rows.last().copied().unwrap_or(0);
        while after < last {
            let page = self.store.written(after, file::PAGE).await?;
            let Some(end) = page.last().map(|row| row.chain.seq) else {
                break;
            };
            after = end;
            let taken: Vec<_> = page
                .into_iter()
                .filter(|row| chosen.rows.contains(&row.chain.seq))
                .collect();
            for row in &taken {
                digger.take(&row.chain)?;
                content.take(&row.chain);
            }
            writing.take(&taken).await?;
        }
        writing.complete(due, &content).await?;
        let after = digger.among(&before)?;
        Ok(Portion {
            head,
            chosen,
            before,
            after,
            content,
        })
    }

    /// The hash of the ledger's first row, by which its files are told from those of another ledger.
    async fn genesis(&self) -> Result<Option<Digest>, StoreError> {
        let first = self.store.rows(0, 1).await?;
        Ok(first.first().map(|row| row.chain.hash.clone()))
    }

    /// The instant up to which objects need not be listed any more once this archive is there.
    async fn forgotten(&self, due: &Due) -> Result<Option<Second>, StoreError> {
        let archives = self.store.documents::<ArchiveDoc>(None, None).await?;
        let mut ends: Vec<Second> = archives
            .iter()
            .map(|archive| archive.value.ended_before)
            .chain([due.ended_before])
            .collect();
        ends.sort_unstable();
        ends.reverse();
        Ok(ends.get(REMEMBERED).copied())
    }
}

fn document(
    due: &Due,
    file: String,
    portion: &Portion,
    now: Second,
) -> Result<ArchiveDoc, StoreError> {
    let holes = holes_digest(&portion.after).map_err(|source| StoreError::Canonical {
        what: format!("the holes that the archive of {} leaves", due.period),
        source,
    })?;
    let Content { rows, digest } = portion.content.clone();
    Ok(ArchiveDoc {
        period: due.period.clone(),
        ended_before: due.ended_before,
        rows,
        digest,
        file,
        holes,
        at: now,
    })
}
