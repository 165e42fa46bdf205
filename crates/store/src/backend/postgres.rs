//! Statements for PostgreSQL, and connections to it.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection as _, Postgres, SqlSafeStr};

use super::Value;
use crate::StoreError;
use crate::error::failed;
use crate::place::ServerUrl;

/// The schema of the ledger's tables, before anything that somebody could put in its way.
const PATH: &str = "leasehold,pg_temp";

/// How long a server may take to become reachable, within one call: shorter than the deadline of a call, so that it is the
/// connection that is named.
const REACH: Duration = Duration::from_secs(10);

/// How long a connection that goes back to its pool may take to say that it is well. On one that went silent the pool would
/// wait until the operating system gives it up, a quarter of an hour, and lend it to nobody meanwhile.
const WELL: Duration = Duration::from_secs(5);

/// What a connection is for. Each has its own settings; the server enforces them, also when this process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Appending. A transaction that stands still for 20 seconds is ended by the server, because it keeps the row of the
    /// leader locked and a successor out.
    Write,
    /// Reading; the server refuses it any write.
    Read,
    /// Making and changing the tables.
    Migrate,
    /// Taking out what is archived, beside whoever appends, who waits meanwhile: like an append, with more time for a
    /// statement. What it takes longer for is rolled back, so that nobody is kept out for good.
    Keep,
    /// Keeping the lock of the writer. A session that says nothing for a minute has lost its process.
    Lock,
}

impl Purpose {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Write => &[
                ("search_path", PATH),
                ("statement_timeout", "30s"),
                ("lock_timeout", "25s"),
                ("idle_in_transaction_session_timeout", "20s"),
                ("synchronous_commit", "on"),
            ],
            Self::Read => &[
                ("search_path", PATH),
                ("statement_timeout", "30s"),
                ("idle_in_transaction_session_timeout", "60s"),
                ("default_transaction_read_only", "on"),
            ],
            Self::Migrate => &[("search_path", PATH), ("lock_timeout", "25s")],
            Self::Keep => &[
                ("search_path", PATH),
                ("statement_timeout", "120s"),
                ("lock_timeout", "25s"),
                ("idle_in_transaction_session_timeout", "20s"),
                ("synchronous_commit", "on"),
            ],
            Self::Lock => &[
                ("search_path", PATH),
                ("statement_timeout", "30s"),
                ("idle_session_timeout", "60s"),
            ],
        }
    }
}

/// How to connect to the server for a purpose.
fn options(server: &ServerUrl, purpose: Purpose) -> Result<PgConnectOptions, StoreError> {
    let options = server
        .options()
        .map_err(|source| StoreError::Address { source })?;
    Ok(options
        .application_name("leasehold")
        .options(purpose.settings().iter().copied()))
}

/// One connection.
pub(crate) async fn connect(
    server: &ServerUrl,
    purpose: Purpose,
) -> Result<PgConnection, StoreError> {
    let options = options(server, purpose)?;
    let connecting = tokio::time::timeout(REACH, options.connect());
    connecting
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(failed("connect to the ledger's database"))
}

/// So many connections, of which the first is made at once. Those that break are made anew.
pub(crate) async fn pool(
    server: &ServerUrl,
    purpose: Purpose,
    connections: u32,
) -> Result<PgPool, StoreError> {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(REACH)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .after_release(|connection, _| {
            Box::pin(async move {
                let well = tokio::time::timeout(WELL, connection.ping());
                well.await
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                    .map(|()| true)
            })
        })
        .connect_with(options(server, purpose)?)
        .await
        .map_err(failed("connect to the ledger's database"))
}

/// Each statement sees what was committed before it began; the row of the leader is locked before the first that matters
/// (see `leader`).
pub(super) const APPENDING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// All statements see what was committed before the first of them began.
pub(super) const READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A transaction. One that is dropped before its commit takes its connection with it: what is under way there may never be
/// answered. The server rolls it back when the connection is gone.
#[derive(Debug)]
pub(crate) struct Turn {
    connection: PoolConnection<Postgres>,
    is_over: bool,
}

impl Turn {
    /// Begins one, with [`APPENDING`] or [`READING`].
    pub(super) async fn begin(pool: &PgPool, begin: &'static str) -> Result<Self, sqlx::Error> {
        let mut turn = Self {
            connection: pool.acquire().await?,
            is_over: false,
        };
        sqlx::raw_sql(begin).execute(turn.connection()).await?;
        Ok(turn)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self.connection()).await?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}

/// A statement with its values.
pub(super) fn query<'q>(
    sql: impl SqlSafeStr,
    values: &[Value<'_>],
) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query::<Postgres>(sql);
    for value in values {
        query = match *value {
            Value::Integer(value) => query.bind(value),
            Value::MaybeInteger(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::MaybeText(value) => query.bind(value),
            Value::Texts(values) => {
                let owned: Vec<String> = values.iter().map(|text| (*text).to_owned()).collect();
                query.bind(owned)
            }
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_locks_others_out_is_ended_by_the_server_when_it_stands_still() {
        for purpose in [Purpose::Write, Purpose::Keep] {
            let set = |name: &str| {
                let settings = purpose.settings().iter();
                let found = settings.copied().find(|(known, _)| *known == name);
                found.map(|(_, value)| value)
            };
            assert_eq!(set("lock_timeout"), Some("25s"), "{purpose:?}");
            assert_eq!(
                set("idle_in_transaction_session_timeout"),
                Some("20s"),
                "{purpose:?}"
            );
            assert_eq!(set("synchronous_commit"), Some("on"), "{purpose:?}");
            assert!(set("statement_timeout").is_some(), "{purpose:?}");
        }
    }
}
