//! Where the ledger is, and the notes of the processes.

use std::fs;
use std::path::Path;

use leasehold_store::{Place, Roles, Store};
use leasehold_testkit::{PostgresDatabase, PostgresServer};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, Row as _};
use tempfile::TempDir;

/// Rows of a leader behind a row of a newer one.
const OLDER: &str =
    "SELECT COUNT(*) FROM chain a JOIN chain b ON b.seq = a.seq + 1 WHERE b.epoch < a.epoch";
/// Ends the session that has the lock of the writer.
const UNLOCK: &str = "SELECT COUNT(pg_terminate_backend(l.pid)) FROM pg_locks l \
     JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() \
     WHERE l.locktype = 'advisory'";

/// A ledger of one test, with a folder that goes with it.
pub struct Home {
    folder: TempDir,
    server: Option<PostgresDatabase>,
}

impl Home {
    pub fn file() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: None,
        }
    }

    pub async fn server() -> Self {
        let database = PostgresServer::shared().unwrap().database().unwrap();
        let owner: Place = database.owner.parse().unwrap();
        let roles = Roles {
            service: Some(database.service_role.clone()),
            reader: Some(database.reader_role.clone()),
        };
        Store::migrate(&owner, &roles).await.unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: Some(database),
        }
    }

    pub fn notes(&self) -> &Path {
        self.folder.path()
    }

    /// As it is typed.
    pub fn text(&self) -> String {
        match &self.server {
            Some(database) => database.service.clone(),
            None => self.file_path(),
        }
    }

    pub fn place(&self) -> Place {
        self.text().parse().unwrap()
    }

    fn file_path(&self) -> String {
        let path = self.folder.path().join("ledger.db");
        path.to_str().unwrap().to_owned()
    }

    /// Takes away what keeps a second writer out while the first one lives, as a file system that knows no locks does, or
    /// a server that has not heard of a paused process for a minute.
    pub async fn unlock(&self) {
        let Some(database) = &self.server else {
            fs::remove_file(format!("{}.lock", self.file_path())).ok();
            return;
        };
        let options: PgConnectOptions = database.service.parse().unwrap();
        let mut session = options.connect().await.unwrap();
        session.execute(UNLOCK).await.unwrap();
    }

    /// How many rows of a leader stand behind a row of a newer one.
    pub async fn rows_of_older_epochs(&self) -> i64 {
        let Some(database) = &self.server else {
            let options = SqliteConnectOptions::new().filename(self.file_path());
            let mut file = options.connect().await.unwrap();
            return file.fetch_one(OLDER).await.unwrap().get(0);
        };
        let options: PgConnectOptions = database.reader.parse().unwrap();
        let options = options.options([("search_path", "leasehold")]);
        let mut session = options.connect().await.unwrap();
        session.fetch_one(OLDER).await.unwrap().get(0)
    }
}
