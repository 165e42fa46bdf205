//! Opening, closing and the deadline that every call has.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_ledger::time::Second;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::runtime::Handle;

use crate::drill::{Drill, Gate};
use crate::error::failed;
use crate::lock::WriterLock;
use crate::{Batch, Committed, StoreError, append, schema};

/// What [`Store::commit`] is called where a gate is asked or an error is told.
pub const APPEND: &str = "append to the ledger";

/// What every call of the store may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long SQLite itself waits for a lock that another program holds.
const BUSY: Duration = Duration::from_secs(10);

/// How long the pools wait for a free connection: longer than the deadline, which speaks first.
const ACQUIRE: Duration = Duration::from_mins(1);

/// How many reads run at the same time.
const READERS: u32 = 4;

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
    path: PathBuf,
    writer: Option<SqlitePool>,
    reader: SqlitePool,
    _lock: Option<WriterLock>,
}

impl Store {
    /// Opens the ledger at `path` for writing, makes it if there is none, and migrates it.
    ///
    /// Takes the lock `<path>.lock` until the last clone of the store is dropped; a second
    /// opening, in this or another process, is refused with [`StoreError::Locked`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = WriterLock::take(path)?;
        let opening = async {
            if path.exists() {
                // Before anything is changed in the file; WAL alone would change its header.
                let mut probe = reading(path).connect().await.map_err(failed("open"))?;
                schema::expect_ours(&mut probe, path).await?;
            }
            let writer = pool(1)
                .connect_with(writing(path))
                .await
                .map_err(failed("open"))?;
            schema::migrate(&writer, path).await?;
            let reader = pool(READERS)
                .connect_with(reading(path))
                .await
                .map_err(failed("open"))?;
            Ok::<_, StoreError>((writer, reader))
        };
        let (writer, reader) = within(DEADLINE, "open the ledger", opening).await?;
        Ok(Self::of(path, Some(writer), reader, Some(lock)))
    }

    /// Opens the ledger at `path` for reading beside its writer. Takes no lock, writes nothing.
    ///
    /// The schema must be this program's: only a writer migrates.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let opening = async {
            let reader = pool(READERS)
                .connect_with(reading(path))
                .await
                .map_err(failed("open"))?;
            schema::expect_current(&reader, path).await?;
            Ok::<_, StoreError>(reader)
        };
        let reader = within(DEADLINE, "open the ledger", opening).await?;
        Ok(Self::of(path, None, reader, None))
    }

    /// A ledger in memory, gone with the last clone: for tests and for trying a batch.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let opening = async {
            // Each connection to an in-memory database has its own: there must be exactly one,
            // and it must never be replaced.
            let only = pool(1)
                .min_connections(1)
                .connect_with(
                    SqliteConnectOptions::new()
                        .in_memory(true)
                        .foreign_keys(true),
                )
                .await
                .map_err(failed("open"))?;
            schema::migrate(&only, path).await?;
            Ok::<_, StoreError>(only)
        };
        let only = within(DEADLINE, "open the ledger", opening).await?;
        Ok(Self::of(path, Some(only.clone()), only, None))
    }

    fn of(
        path: &Path,
        writer: Option<SqlitePool>,
        reader: SqlitePool,
        lock: Option<WriterLock>,
    ) -> Self {
        let shared = Shared {
            path: path.to_owned(),
            writer,
            reader,
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

    /// The database file; `:memory:` for one in memory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Closes the connections of all clones and waits for them. The lock is released when the
    /// last clone is dropped.
    pub async fn close(self) -> Result<(), StoreError> {
        let closing = async {
            self.shared.reader.close().await;
            if let Some(writer) = &self.shared.writer {
                writer.close().await;
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
    /// part of the chain.
    ///
    /// After [`StoreError::Deadline`] the outcome is unknown: send the same batch again.
    pub async fn commit(&self, batch: &Batch, now: Second) -> Result<Committed, StoreError> {
        let Some(writer) = &self.shared.writer else {
            return Err(StoreError::ReadOnly {
                path: self.shared.path.clone(),
            });
        };
        self.within(APPEND, append::append(writer, batch, now))
            .await
    }

    /// The connections for reading.
    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.shared.reader
    }

    /// Runs one call of this store within its deadline.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let bounded = Box::pin(within(self.deadline, operation, work));
        match &self.drill {
            None => bounded.await,
            Some(drill) => drill.carry_out(operation, bounded).await,
        }
    }
}

/// Runs `work` and gives up after `deadline`. Work that is given up has its transaction rolled
/// back, unless its COMMIT had reached the database.
async fn within<T>(
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

/// Connections that stay open: a ledger is opened once and used until the process ends.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
}

/// The writer: WAL, so that readers never wait, and an fsync for each commit.
fn writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
}

/// A reader: SQLite itself refuses it any write.
fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
}
