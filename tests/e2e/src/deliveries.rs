//! Facts that processes deliver to one ledger, most of them more than once, while they are killed and paused.
//!
//! One process has a ledger open for writing; the others wait for their turn. Each works through a share of its own and
//! notes after every batch that was taken how far it is. A process that was killed begins again where its note says, so that
//! it may deliver a batch that the ledger had taken already: that is what the keys of facts are for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::time::Second;
use leasehold_store::{Batch, Place, PlaceError, Record, Store, StoreError};
use tokio::time::sleep;

/// How many processes share the facts.
pub const WORKERS: u64 = 8;
/// The exit code of a process that was told that somebody else has taken over.
pub const FENCED: u8 = 3;
/// Where whoever has the ledger open notes the number of its process.
pub const TURN: &str = "turn";

/// Facts of a batch.
const BATCH: usize = 250;
/// Batches that a process delivers before others get their turn.
const SHIFT: usize = 6;
/// Between two attempts to open the ledger, and after a shift.
const PAUSE: Duration = Duration::from_millis(30);
/// Between two facts of a process that keeps the ledger to itself.
const BREATH: Duration = Duration::from_millis(20);
/// A process that keeps the ledger to itself ends after so many facts, so that none is left behind for ever.
const ENOUGH: u64 = 20_000;
/// 2026-09-01 00:00 in Shanghai.
const SEPTEMBER: Second = Second::new(1_788_192_000);

/// Why a delivery ended early.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryFailure {
    /// The ledger refused or failed.
    #[error("failed to use the ledger")]
    Store(#[from] StoreError),
    /// There is no such place.
    #[error("failed to find the ledger")]
    Place(#[from] PlaceError),
    /// A note could not be read or written.
    #[error("failed to keep a note in {}", .path.display())]
    Note {
        /// The note.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The folder of the notes.
#[derive(Clone, Debug)]
pub struct Notes(PathBuf);

impl Notes {
    /// In this folder, which exists.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The number that was noted last under a name; 0 where none was.
    pub fn read(&self, name: &str) -> Result<u64, DeliveryFailure> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(DeliveryFailure::Note { path, source }),
        }
    }

    /// Notes a number under a name: all of it or, if the process is killed over it, the one before.
    fn write(&self, name: &str, number: u64) -> Result<(), DeliveryFailure> {
        let path = self.0.join(name);
        let part = self.0.join(format!("{name}.part"));
        fs::write(&part, number.to_string())
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|source| DeliveryFailure::Note { path, source })
    }
}

/// The name of the note of how many batches of its share a worker has delivered.
pub fn note_of(worker: u64) -> String {
    format!("worker-{worker}")
}

/// The beginning of the use of a pod that has this name.
pub fn fact(name: &str, number: u64) -> Fact {
    Fact {
        source: Source {
            cluster: "5b0c6a2e-0000-4000-8000-000000000001".to_owned(),
            etcd: 1,
            uid: format!("{name}-{number}"),
            version: "1".to_owned(),
        },
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind: FactKind::Opened,
        at: SEPTEMBER.plus(i64::try_from(number).unwrap_or(i64::MAX).min(2_000_000)),
        quantity: 500,
        subject: Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "oa".to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-031".to_owned(),
            budget: "30227".to_owned(),
            request: 1,
            object: format!("Pod gov-office--prod/{name}-{number}"),
        },
        estimated: false,
        bounds: None,
        evidence: "PodScheduled".to_owned(),
    }
}

/// The number of a fact of this name; none of another's.
pub fn number_of(name: &str, fact: &Fact) -> Option<u64> {
    let rest = fact.source.uid.strip_prefix(name)?.strip_prefix('-')?;
    rest.parse().ok()
}

/// How often a fact is delivered, 1 to 5 times, each time by another worker.
pub fn times(number: u64) -> u64 {
    // what is far apart for neighbours, and the same on every run
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    mixed.checked_rem(5).unwrap_or(0).saturating_add(1)
}

/// The numbers of the facts that a worker delivers, of so many. Each worker begins at another place.
pub fn share(worker: u64, facts: u64) -> Vec<u64> {
    let is_mine = |number: &u64| {
        let first = number.checked_rem(WORKERS).unwrap_or(0);
        let turn = worker.saturating_add(WORKERS).saturating_sub(first);
        turn.checked_rem(WORKERS).unwrap_or(0) < times(*number)
    };
    let mut mine: Vec<u64> = (0..facts).filter(is_mine).collect();
    let start = usize::try_from(worker)
        .unwrap_or(0)
        .saturating_mul(mine.len());
    let start = start.checked_div(8).unwrap_or(0).min(mine.len());
    mine.rotate_left(start);
    mine
}

/// Delivers the share of a worker, from where its note says.
pub async fn deliver(
    place: &str,
    worker: u64,
    facts: u64,
    notes: &Notes,
) -> Result<(), DeliveryFailure> {
    let place: Place = place.parse()?;
    let note = note_of(worker);
    let share = share(worker, facts);
    let batches: Vec<&[u64]> = share.chunks(BATCH).collect();
    loop {
        let done = usize::try_from(notes.read(&note)?).unwrap_or(usize::MAX);
        let Some(left) = batches.get(done..).filter(|left| !left.is_empty()) else {
            return Ok(());
        };
        let store = open(&place, notes).await?;
        for (number, batch) in (done..).zip(left).take(SHIFT) {
            let records = batch.iter().map(|n| Record::from(fact("fact", *n)));
            commit(&store, &Batch::of(records.collect())).await?;
            let next = u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1);
            notes.write(&note, next)?;
        }
        store.close().await?;
        sleep(PAUSE).await;
    }
}

/// Keeps the ledger open and writes facts of this name, one after the other, until somebody else takes over.
pub async fn keep(place: &str, name: &str, notes: &Notes) -> Result<(), DeliveryFailure> {
    let place: Place = place.parse()?;
    let store = open(&place, notes).await?;
    for number in 0..ENOUGH {
        let records = vec![Record::from(fact(name, number))];
        commit(&store, &Batch::of(records)).await?;
        notes.write(name, number.saturating_add(1))?;
        sleep(BREATH).await;
    }
    Ok(())
}

/// Opens the ledger as soon as nobody else has it, and notes whose turn it is.
async fn open(place: &Place, notes: &Notes) -> Result<Store, DeliveryFailure> {
    loop {
        match Store::open(place).await {
            Ok(store) => {
                notes.write(TURN, u64::from(std::process::id()))?;
                return Ok(store);
            }
            Err(error) if may_be_asked_again(&error) => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a batch until it is known what became of it.
async fn commit(store: &Store, batch: &Batch) -> Result<(), StoreError> {
    loop {
        match store.commit(batch, SEPTEMBER).await {
            Ok(_) => return Ok(()),
            Err(error) if may_be_asked_again(&error) => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

fn may_be_asked_again(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Locked { .. } | StoreError::Unreachable { .. } | StoreError::Deadline { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_fact_is_in_as_many_shares_as_it_is_delivered_times_and_in_none_twice() {
        let mut delivered: BTreeMap<u64, u64> = BTreeMap::new();
        for worker in 0..WORKERS {
            let mut mine = share(worker, 1000);
            for number in &mine {
                *delivered.entry(*number).or_default() += 1;
            }
            mine.sort_unstable();
            let count = mine.len();
            mine.dedup();
            assert_eq!(mine.len(), count);
        }
        assert_eq!(delivered.len(), 1000);
        assert!(
            delivered
                .iter()
                .all(|(number, seen)| *seen == times(*number))
        );
        for wanted in 1..=5 {
            let many = delivered.values().filter(|seen| **seen == wanted).count();
            assert!(many > 100, "{many} facts are delivered {wanted} times");
        }
    }

    #[test]
    fn a_note_is_the_last_number_and_none_is_0() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path());
        assert_eq!(notes.read("a").unwrap(), 0);
        notes.write("a", 7).unwrap();
        notes.write("a", 8).unwrap();
        assert_eq!(notes.read("a").unwrap(), 8);
    }

    #[tokio::test]
    async fn a_worker_that_begins_again_delivers_the_rest_and_whoever_was_first_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("ledger.db");
        let place = place.to_str().unwrap();
        let notes = Notes::new(folder.path());
        for worker in 0..WORKERS {
            deliver(place, worker, 900, &notes).await.unwrap();
        }
        // as if the last note of one were lost
        notes.write(&note_of(3), 0).unwrap();
        deliver(place, 3, 900, &notes).await.unwrap();
        let store = Store::open_read_only(place.parse::<Place>().unwrap())
            .await
            .unwrap();
        assert_eq!(store.integrity().await.unwrap().rows, 900);
        assert_eq!(number_of("fact", &fact("fact", 12)), Some(12));
    }
}
