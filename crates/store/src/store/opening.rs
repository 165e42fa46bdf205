//! Opening a ledger, of either kind.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{DEADLINE, Writer, within};
use crate::backend::{Only, Pool, Purpose, pool as server_pool};
use crate::error::failed;
use crate::lock::{Lock, ServerLock, WriterLock};
use crate::place::ServerUrl;
use crate::{Place, Store, StoreError, append, copy, leader, rights, schema};

/// What an opening is called where an error is told.
const OPEN: &str = "open the ledger";

/// How long SQLite itself waits for a lock that another program holds.
const BUSY: Duration = Duration::from_secs(10);

/// How long the pools wait for a free connection: longer than the deadline, which speaks first.
const ACQUIRE: Duration = Duration::from_mins(1);

/// How many reads run at the same time.
const READERS: u32 = 4;

/// How many rows of an answer out of memory are ready before somebody takes them. What is in memory anyway need not
/// wait in the database.
const ROWS_IN_MEMORY: usize = 1024;

/// Names of roles that a migration lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The role that the operator connects as: it appends, and changes nothing.
    pub service: Option<String>,
    /// A role that reads, for auditors and backups.
    pub reader: Option<String>,
}

/// Whether a ledger must hold all rows of the one that was copied into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// It must.
    Expected,
    /// Whoever opens it does not go on with it, or copies the rest.
    Unknown,
}

impl Whole {
    async fn expect(self, pool: &Pool, place: &Place) -> Result<(), StoreError> {
        match self {
            Self::Expected => copy::refuse_unfinished(pool, place).await,
            Self::Unknown => Ok(()),
        }
    }
}

impl Store {
    /// Opens the ledger at `place` for writing and takes the next epoch.
    ///
    /// A file is made if there is none, and migrated. Its lock `<path>.lock` is taken until the last clone of the store is
    /// dropped; a second opening, in this or another process, is refused with [`StoreError::Locked`].
    ///
    /// A database of a server must have been migrated by its owner ([`Store::migrate`]), and the role of the address must
    /// be one that cannot change what is remembered ([`StoreError::TooManyRights`]). A second opening is refused with
    /// [`StoreError::Locked`] while the process that has the ledger open is alive. It must be called within a runtime.
    pub async fn open(place: impl Into<Place>) -> Result<Self, StoreError> {
        Self::open_as(place.into(), Whole::Expected).await
    }

    /// Opens the ledger at `place` as [`Store::open`] does, also when not all rows of another one were copied into it: to go
    /// on with copying.
    pub async fn open_to_copy_into(place: impl Into<Place>) -> Result<Self, StoreError> {
        Self::open_as(place.into(), Whole::Unknown).await
    }

    async fn open_as(place: Place, whole: Whole) -> Result<Self, StoreError> {
        match place {
            Place::File(path) => Self::open_file(&path, whole).await,
            Place::Server(server) => Self::open_server(server, whole).await,
        }
    }

    async fn open_file(path: &Path, whole: Whole) -> Result<Self, StoreError> {
        let lock = WriterLock::take(path)?;
        let place = Place::from(path);
        let opening = async {
            if path.exists() {
                // Before anything is changed in the file; WAL alone would change its header.
                let probe = sqlite(1, reading(path)).await?;
                schema::expect_ours(&probe, &place).await?;
                probe.close().await;
            }
            // by a connection of its own: a step that renames a table would look at what refers to it
            let migrating = sqlite(1, writing(path)).await?;
            schema::migrate(&migrating, &place).await?;
            migrating.close().await;
            let writer = sqlite_writer(writing(path)).await?;
            whole.expect(&writer, &place).await?;
            let epoch = leader::take(&writer, 0).await?;
            let reader = sqlite(READERS, reading(path)).await?;
            let writer = Writer::new(writer, epoch);
            Ok::<_, StoreError>((writer, reader))
        };
        let (writer, reader) = within(DEADLINE, OPEN, opening).await?;
        let lock = Lock::File { _lock: lock };
        Ok(Self::of(place, Some(writer), reader, Some(lock)))
    }

    async fn open_server(server: ServerUrl, whole: Whole) -> Result<Self, StoreError> {
        let place = Place::Server(server.clone());
        let opening = async {
            let writer = Pool::Postgres(server_pool(&server, Purpose::Write, 1).await?);
            schema::expect_current(&writer, &place).await?;
            rights::refuse_owner(&writer, &place).await?;
            let lock = ServerLock::take(&server, &writer).await?;
            whole.expect(&writer, &place).await?;
            let epoch = leader::take(&writer, 0).await?;
            let reader = Pool::Postgres(server_pool(&server, Purpose::Read, READERS).await?);
            let writer = Writer::new(writer, epoch);
            Ok::<_, StoreError>((writer, reader, Lock::Server { _lock: lock }))
        };
        let (writer, reader, lock) = within(DEADLINE, OPEN, opening).await?;
        Ok(Self::of(place, Some(writer), reader, Some(lock)))
    }

    /// Opens the ledger at `place` for reading beside its writer. Takes no lock, writes nothing.
    ///
    /// The schema must be this program's: only a writer migrates a file, and only its owner a database of a server.
    pub async fn open_read_only(place: impl Into<Place>) -> Result<Self, StoreError> {
        let place = place.into();
        let opening = async {
            let reader = match &place {
                Place::File(path) => sqlite(READERS, reading(path)).await?,
                Place::Server(server) => {
                    Pool::Postgres(server_pool(server, Purpose::Read, READERS).await?)
                }
            };
            schema::expect_current(&reader, &place).await?;
            Ok::<_, StoreError>(reader)
        };
        let reader = within(DEADLINE, OPEN, opening).await?;
        Ok(Self::of(place, None, reader, None))
    }

    /// A ledger in memory, gone with the last clone: for tests and for trying a batch.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let place = Place::from(Path::new(":memory:"));
        let opening = async {
            // Each connection to an in-memory database has its own: there must be exactly one,
            // and it must never be replaced.
            let only = SqliteConnectOptions::new()
                .in_memory(true)
                .foreign_keys(true)
                .row_buffer_size(ROWS_IN_MEMORY)
                .connect()
                .await
                .map_err(failed("open"))?;
            let only = Only::new(only);
            let memory = Pool::Memory(only.clone());
            schema::migrate(&memory, &place).await?;
            let mut lent = only.lend().await.map_err(failed("open"))?;
            append::prepare_to_write_facts(lent.connection())
                .await
                .map_err(failed("open"))?;
            drop(lent);
            let only = memory;
            let epoch = leader::take(&only, 0).await?;
            Ok::<_, StoreError>((only, epoch))
        };
        let (only, epoch) = within(DEADLINE, OPEN, opening).await?;
        let writer = Writer::new(only.clone(), epoch);
        Ok(Self::of(place, Some(writer), only, None))
    }

    /// Makes the tables of a ledger or brings them to this program's schema, and lets roles in. Returns the version of the
    /// schema. What is done already is not done again.
    ///
    /// On a server the role of the address becomes the owner of the tables: a role for this alone, which the operator
    /// never uses. A file has no roles, and is migrated by whoever opens it for writing; this does no more.
    pub async fn migrate(place: impl Into<Place>, roles: &Roles) -> Result<u32, StoreError> {
        let place = place.into();
        match &place {
            Place::File(path) => {
                let migrated = Self::open_file(path, Whole::Unknown).await?;
                migrated.close().await?;
            }
            Place::Server(server) => {
                let migrating = async {
                    let owner = Pool::Postgres(server_pool(server, Purpose::Migrate, 1).await?);
                    schema::migrate(&owner, &place).await?;
                    rights::admit(&owner, roles).await?;
                    owner.close().await;
                    Ok::<_, StoreError>(())
                };
                within(DEADLINE, "migrate the ledger", migrating).await?;
            }
        }
        Ok(schema::known_version())
    }
}

/// The connection of whoever keeps the archives of a ledger, beside the one of its writer. It takes no lock that lasts.
pub(crate) async fn keeping(place: &Place) -> Result<Pool, StoreError> {
    let opening = async {
        match place {
            Place::File(path) => sqlite_writer(writing(path).create_if_missing(false)).await,
            Place::Server(server) => {
                Ok(Pool::Postgres(server_pool(server, Purpose::Keep, 1).await?))
            }
        }
    };
    within(DEADLINE, OPEN, opening).await
}

/// A connection to a file of SQLite that is only read.
pub(crate) async fn reading_file(path: &Path) -> Result<Pool, StoreError> {
    within(DEADLINE, "open a file", sqlite(1, reading(path))).await
}

/// So many connections to a file. One that nobody uses and that still counts itself into a transaction is replaced: over a
/// disk that is full or fails SQLite ends a transaction by itself, sqlx does not learn it, and would begin none on it again.
async fn sqlite(count: u32, options: SqliteConnectOptions) -> Result<Pool, StoreError> {
    pooled(connections(count), options).await
}

/// The one connection to a file that writes to it.
async fn sqlite_writer(options: SqliteConnectOptions) -> Result<Pool, StoreError> {
    let one = connections(1)
        .after_connect(|connection, _| Box::pin(append::prepare_to_write_facts(connection)));
    pooled(one, options).await
}

async fn pooled(
    connections: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<Pool, StoreError> {
    let pool: SqlitePool = connections
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_free) })
        })
        .connect_with(options)
        .await
        .map_err(failed("open"))?;
    Ok(Pool::Sqlite(pool))
}

/// Connections that stay open: a ledger is opened once and used until the process ends.
fn connections(count: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(count)
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
