//! The two databases behind one face: connections, transactions, statements and rows.
//!
//! Statements are written once, with `$1` placeholders, and say the same in both databases. What differs is in the
//! migrations, in the opening and in the appending, each of which looks which one it has.

mod only;
mod postgres;
mod sqlite;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Decode, Postgres, Row as _, SqlSafeStr, Sqlite, SqliteConnection, Transaction, Type};

use crate::StoreError;
use crate::error::failed;

pub(crate) use self::only::Only;
pub(crate) use self::postgres::{Purpose, connect, pool};

use self::only::Lent;

/// Connections to a database. They are made anew when they break.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// To a file.
    Sqlite(SqlitePool),
    /// To memory.
    Memory(Only),
    /// To a server.
    Postgres(PgPool),
}

/// A transaction: one that takes place after every other one that appends, and sees what they committed, or one that reads
/// all that it reads at one instant. It is rolled back when it is dropped.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Of SQLite.
    Sqlite(Box<Transaction<'static, Sqlite>>),
    /// Of SQLite in memory.
    Memory(Lent),
    /// Of PostgreSQL.
    Postgres(Box<postgres::Turn>),
}

/// A connection that is held for several statements.
#[derive(Debug)]
pub(crate) enum Held {
    /// To SQLite.
    Sqlite(Box<PoolConnection<Sqlite>>),
    /// To SQLite in memory.
    Memory(Lent),
    /// To PostgreSQL.
    Postgres(Box<PoolConnection<Postgres>>),
}

/// A connection, in a transaction or not, as statements need it.
#[derive(Debug)]
pub(crate) enum Link<'c> {
    /// To SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// To PostgreSQL.
    Postgres(&'c mut PgConnection),
}

/// A row of an answer.
pub(crate) enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

/// A value for a placeholder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit integer, or none.
    MaybeInteger(Option<i64>),
    /// A text.
    Text(&'a str),
    /// A text, or none.
    MaybeText(Option<&'a str>),
    /// Several texts: an array for PostgreSQL, and the text of a JSON array for SQLite.
    Texts(&'a [&'a str]),
}

impl Pool {
    /// Begins a transaction that appends.
    pub(crate) async fn begin(&self, doing: &'static str) -> Result<Turn, StoreError> {
        match self {
            // IMMEDIATE takes the write lock before anything is read, so that no other program on the same file can append
            // in between
            Self::Sqlite(pool) => pool
                .begin_with("BEGIN IMMEDIATE")
                .await
                .map(|tx| Turn::Sqlite(Box::new(tx))),
            Self::Memory(only) => match only.lend().await {
                Ok(mut lent) => lent.begin().await.map(|()| Turn::Memory(lent)),
                Err(error) => Err(error),
            },
            Self::Postgres(pool) => postgres::Turn::begin(pool, postgres::APPENDING)
                .await
                .map(|turn| Turn::Postgres(Box::new(turn))),
        }
        .map_err(failed(doing))
    }

    /// Begins a transaction that reads: all its statements see the ledger as it is at one instant, whoever archives
    /// meanwhile. It is to be committed, because one that is dropped takes its connection with it.
    pub(crate) async fn view(&self, doing: &'static str) -> Result<Turn, StoreError> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(|tx| Turn::Sqlite(Box::new(tx))),
            // whoever holds the one connection is alone
            Self::Memory(only) => only.lend().await.map(Turn::Memory),
            Self::Postgres(pool) => postgres::Turn::begin(pool, postgres::READING)
                .await
                .map(|turn| Turn::Postgres(Box::new(turn))),
        }
        .map_err(failed(doing))
    }

    /// A connection for several statements.
    pub(crate) async fn hold(&self, doing: &'static str) -> Result<Held, StoreError> {
        match self {
            Self::Sqlite(pool) => pool
                .acquire()
                .await
                .map(|held| Held::Sqlite(Box::new(held))),
            Self::Memory(only) => only.lend().await.map(Held::Memory),
            Self::Postgres(pool) => pool
                .acquire()
                .await
                .map(|held| Held::Postgres(Box::new(held))),
        }
        .map_err(failed(doing))
    }

    /// All rows of the answer.
    pub(crate) async fn fetch_all(
        &self,
        doing: &'static str,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(pool) => sqlite::query(sql, values)
                .fetch_all(pool)
                .await
                .map(sqlite_rows),
            Self::Memory(only) => match only.lend().await {
                Ok(mut lent) => sqlite::query(sql, values)
                    .fetch_all(lent.connection())
                    .await
                    .map(sqlite_rows),
                Err(error) => Err(error),
            },
            Self::Postgres(pool) => postgres::query(sql, values)
                .fetch_all(pool)
                .await
                .map(postgres_rows),
        }
        .map_err(failed(doing))
    }

    /// The first row of the answer, if it has one.
    pub(crate) async fn fetch_optional(
        &self,
        doing: &'static str,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        let rows = self.fetch_all(doing, sql, values).await?;
        Ok(rows.into_iter().next())
    }

    /// Closes the connections and waits for them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Memory(only) => only.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Whether the database is PostgreSQL.
    pub(crate) const fn is_server(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Memory(_) => false,
            Self::Postgres(_) => true,
        }
    }
}

impl Turn {
    /// The connection.
    pub(crate) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(tx) => Link::Sqlite(tx),
            Self::Memory(lent) => Link::Sqlite(lent.connection()),
            Self::Postgres(turn) => Link::Postgres(turn.connection()),
        }
    }

    /// Commits.
    pub(crate) async fn commit(self, doing: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Memory(lent) => lent.commit().await,
            Self::Postgres(turn) => turn.commit().await,
        }
        .map_err(failed(doing))
    }
}

impl Held {
    /// The connection.
    pub(crate) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(held) => Link::Sqlite(held),
            Self::Memory(lent) => Link::Sqlite(lent.connection()),
            Self::Postgres(held) => Link::Postgres(held),
        }
    }
}

impl Link<'_> {
    /// All rows of the answer.
    pub(crate) async fn fetch_all(
        &mut self,
        doing: &'static str,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(connection) => sqlite::query(sql, values)
                .fetch_all(&mut **connection)
                .await
                .map(sqlite_rows),
            Self::Postgres(connection) => postgres::query(sql, values)
                .fetch_all(&mut **connection)
                .await
                .map(postgres_rows),
        }
        .map_err(failed(doing))
    }

    /// The first row of the answer, if it has one.
    pub(crate) async fn fetch_optional(
        &mut self,
        doing: &'static str,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        let rows = self.fetch_all(doing, sql, values).await?;
        Ok(rows.into_iter().next())
    }

    /// Carries a statement out.
    pub(crate) async fn execute(
        &mut self,
        doing: &'static str,
        sql: impl SqlSafeStr + Send,
        values: &[Value<'_>],
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => sqlite::query(sql, values)
                .execute(&mut **connection)
                .await
                .map(drop),
            Self::Postgres(connection) => postgres::query(sql, values)
                .execute(&mut **connection)
                .await
                .map(drop),
        }
        .map_err(failed(doing))
    }

    /// Carries out a text of several statements without values.
    pub(crate) async fn run(
        &mut self,
        doing: &'static str,
        sql: &'static str,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql)
                .execute(&mut **connection)
                .await
                .map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(sql)
                .execute(&mut **connection)
                .await
                .map(drop),
        }
        .map_err(failed(doing))
    }
}

impl Row {
    /// One column.
    pub(crate) fn get<'r, T>(&'r self, name: &'static str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
    }
}

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn postgres_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}
