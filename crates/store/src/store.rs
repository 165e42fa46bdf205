//! Opening, closing and the deadline that every call has.

mod opening;
mod trouble;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_ledger::canonical::Digest;
use leasehold_ledger::time::Second;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::backend::Pool;
use crate::drill::{Drill, Gate};
use crate::lock::Lock;
use crate::{Batch, Committed, Place, StoreError, append};

pub use self::opening::Roles;
pub(crate) use self::opening::{keeping, reading_file};
pub use self::trouble::Troubles;

/// What [`Store::commit`] is called where a gate is asked or an error is told.
pub const APPEND: &str = "append to the ledger";

/// What every call of the store may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A ledger's database: one writer, several readers, cheap to clone.
///
/// Every call ends within a deadline of 30 seconds ([`StoreError::Deadline`]). Every row that is
/// read is compared with the digest that the chain holds of it, because SQLite's own check does
/// not see most flipped bits ([`StoreError::Corrupt`]).
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    deadline: Duration,
    drill: Option<Drill>,
}

/// What the clones of a store share. Fields drop in this order: the lock goes last.
#[derive(Debug)]
struct Shared {
    place: Place,
    writer: Option<Writer>,
    reader: Pool,
    /// Whether a batch was refused because somebody else took over, or because rows are gone.
    superseded: watch::Sender<bool>,
    troubles: Troubles,
    _lock: Option<Lock>,
}

/// The connection that appends, and the epoch in which it does.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) epoch: u64,
    /// The last row that a commit of this writer ended with, and its hash; none before its first commit.
    last: Mutex<Option<(u64, Digest)>>,
}

impl Writer {
    pub(crate) const fn new(pool: Pool, epoch: u64) -> Self {
        Self {
            pool,
            epoch,
            last: Mutex::new(None),
        }
    }

    /// The last row that is certainly this ledger's, and its hash.
    pub(crate) fn last(&self) -> Option<(u64, Digest)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// A commit ended with this row. Of two that ended at the same time the later one counts, whichever tells first.
    pub(crate) fn remember(&self, seq: u64, hash: &Digest) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(known, _)| *known < seq) {
            *last = Some((seq, hash.clone()));
        }
    }
}

impl Store {
    fn of(place: Place, writer: Option<Writer>, reader: Pool, lock: Option<Lock>) -> Self {
        let shared = Shared {
            place,
            writer,
            reader,
            superseded: watch::Sender::new(false),
            troubles: Troubles::default(),
            _lock: lock,
        };
        Self {
            shared: Arc::new(shared),
            deadline: DEADLINE,
            drill: None,
        }
    }

    /// The same store with another deadline for every call, instead of 30 seconds.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same store for a test that plays time: each call is carried out within one poll, so that
    /// the runtime that it is made on cannot move its time on meanwhile. The calls run on `runtime`,
    /// which must be another one, driven by threads of its own, with time that runs. `gate` is asked
    /// before and after each call.
    #[must_use]
    pub fn drilled(self, runtime: Handle, gate: Arc<Gate>) -> Self {
        Self {
            drill: Some(Drill::new(runtime, gate)),
            ..self
        }
    }

    /// Where the ledger is; the file `:memory:` for one in memory. As text, it has no password.
    pub fn place(&self) -> &Place {
        &self.shared.place
    }

    /// The epoch in which this store appends; none when it is open read-only. Whoever opens the ledger for writing takes
    /// the next one, from 1.
    pub fn epoch(&self) -> Option<u64> {
        self.shared.writer.as_ref().map(|writer| writer.epoch)
    }

    /// Waits until a batch of this store or of a clone was refused because somebody else took over the ledger
    /// ([`StoreError::Fenced`]), or because the ledger has lost what was written ([`StoreError::Rewound`]). Nothing that is
    /// committed after that will be written: the process must end.
    pub async fn superseded(&self) {
        let mut told = self.shared.superseded.subscribe();
        if told.wait_for(|superseded| *superseded).await.is_err() {
            // the sender is in `self`, so it cannot be gone
            std::future::pending::<()>().await;
        }
    }

    /// What the calls of this store and its clones find of the database, from now on.
    pub fn troubles(&self) -> Troubles {
        self.shared.troubles.clone()
    }

    /// Closes the connections of all clones and waits for them. The lock is released when the
    /// last clone is dropped.
    pub async fn close(self) -> Result<(), StoreError> {
        let closing = async {
            self.shared.reader.close().await;
            if let Some(writer) = &self.shared.writer {
                writer.pool.close().await;
            }
            Ok::<_, StoreError>(())
        };
        within(self.deadline, "close the ledger", closing).await
    }

    /// Writes the batch in one transaction: all of it or nothing.
    ///
    /// A record whose key is known with the same digest is counted as unchanged; this makes every
    /// batch safe to send twice, from one task or from several. With another digest the whole
    /// batch is refused ([`StoreError::KeyConflict`]). `now` is stored beside the rows and is not
    /// part of the chain. The batch is refused as well when somebody else has opened the ledger for
    /// writing since ([`StoreError::Fenced`]), and when the row that an earlier commit of this store ended with is not
    /// there any more ([`StoreError::Rewound`]).
    ///
    /// After [`StoreError::Deadline`] and [`StoreError::Unreachable`] the outcome is unknown: send the
    /// same batch again.
    pub async fn commit(&self, batch: &Batch, now: Second) -> Result<Committed, StoreError> {
        let work = append::append(self.writer()?, batch, now);
        let done = self.within(APPEND, work).await;
        self.notice(&done);
        done
    }

    /// Tells those who wait for it that this process must write no more.
    fn notice<T>(&self, done: &Result<T, StoreError>) {
        if matches!(
            done,
            Err(StoreError::Fenced { .. } | StoreError::Rewound { .. })
        ) {
            self.shared.superseded.send_replace(true);
        }
    }

    /// The connection for appending.
    pub(crate) fn writer(&self) -> Result<&Writer, StoreError> {
        self.shared
            .writer
            .as_ref()
            .ok_or_else(|| StoreError::ReadOnly {
                place: self.shared.place.clone(),
            })
    }

    /// The connections for reading.
    pub(crate) fn reader(&self) -> &Pool {
        &self.shared.reader
    }

    /// Runs one call of this store within its deadline.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let bounded = Box::pin(within(self.deadline, operation, work));
        let done = match &self.drill {
            None => bounded.await,
            Some(drill) => drill.carry_out(operation, bounded).await,
        };
        self.shared.troubles.note(operation, done.as_ref().err());
        done
    }

    /// What was made of rows after the call that brought them: that they are damaged is told.
    pub(crate) fn trusting<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &read {
            self.shared.troubles.note_damage(error);
        }
        read
    }
}

/// Runs `work` and gives up after `deadline`. Work that is given up has its transaction rolled
/// back, unless its COMMIT had reached the database.
pub(crate) async fn within<T>(
    deadline: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(deadline, Box::pin(work))
        .await
        .unwrap_or_else(|_elapsed| {
            Err(StoreError::Deadline {
                operation,
                milliseconds: deadline.as_millis(),
            })
        })
}
