//! The one connection to a database in memory.
//!
//! A pool asks a connection how it is before every use and after it, and takes it back in a task of its own: three answers
//! of other threads beside the one that is wanted. A database in memory has one connection for as long as it lives, and
//! nothing between them can break; so whoever has its turn has the connection itself.

use std::sync::Arc;

use sqlx::SqliteConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The connection, for one caller at a time, in the order in which they ask. It goes with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Only(Arc<Mutex<Single>>);

#[derive(Debug)]
struct Single {
    connection: SqliteConnection,
    /// Whether a transaction was begun, and its end has not been heard of.
    is_open: bool,
    /// Whether it is lent to nobody any more.
    is_closed: bool,
}

/// The connection in the hands of one caller.
#[derive(Debug)]
pub(crate) struct Lent(OwnedMutexGuard<Single>);

impl Only {
    /// Takes the connection over.
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self(Arc::new(Mutex::new(Single {
            connection,
            is_open: false,
            is_closed: false,
        })))
    }

    /// The connection, once it is free, outside of any transaction.
    pub(crate) async fn lend(&self) -> Result<Lent, sqlx::Error> {
        let mut lent = Lent(Arc::clone(&self.0).lock_owned().await);
        if lent.0.is_closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if lent.0.is_open {
            // its caller is gone; there is nothing to roll back if it had got as far as the end of its commit
            drop(lent.run("ROLLBACK").await);
            lent.0.is_open = false;
        }
        Ok(lent)
    }

    /// Lends it to nobody any more, once it is free.
    pub(crate) async fn close(&self) {
        self.0.lock().await.is_closed = true;
    }
}

impl Lent {
    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }

    /// Begins a transaction. It is rolled back before the connection is lent again, if it was not committed by then.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.0.is_open = true;
        self.run("BEGIN IMMEDIATE").await
    }

    /// Commits what was begun, if anything was.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if !self.0.is_open {
            return Ok(());
        }
        self.run("COMMIT").await?;
        self.0.is_open = false;
        Ok(())
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql)
            .execute(&mut self.0.connection)
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    async fn only() -> Only {
        let options = SqliteConnectOptions::new().in_memory(true);
        Only::new(options.connect().await.unwrap())
    }

    async fn rows(only: &Only) -> usize {
        let mut lent = only.lend().await.unwrap();
        let rows = sqlx::query::<sqlx::Sqlite>("SELECT n FROM t").fetch_all(lent.connection());
        rows.await.unwrap().len()
    }

    #[tokio::test]
    async fn what_was_begun_and_given_up_is_rolled_back_and_what_was_committed_stands() {
        let only = only().await;
        let mut lent = only.lend().await.unwrap();
        lent.run("CREATE TABLE t (n INTEGER)").await.unwrap();
        drop(lent);
        for (is_committed, expected) in [(false, 0), (true, 1), (false, 1)] {
            let mut lent = only.lend().await.unwrap();
            lent.begin().await.unwrap();
            lent.run("INSERT INTO t (n) VALUES (1)").await.unwrap();
            if is_committed {
                lent.commit().await.unwrap();
            } else {
                drop(lent);
            }
            assert_eq!(rows(&only).await, expected);
        }
    }

    #[tokio::test]
    async fn once_closed_it_is_lent_to_nobody() {
        let only = only().await;
        only.close().await;
        assert!(matches!(only.lend().await, Err(sqlx::Error::PoolClosed)));
    }
}
