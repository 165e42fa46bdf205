//! The same rows without a ledger: into the same tables with the same indexes, in transactions of the same size, but
//! without digests, links, a look for what is known already, an epoch and triggers.

use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::ChainRow;
use leasehold_ledger::verify::Row;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, Postgres, QueryBuilder, Sqlite,
    SqliteConnection,
};
use std::path::Path;

use super::MeterFailure;

/// Rows that one statement inserts.
const TOGETHER: usize = 100;
/// The tables as the ledger's first migration makes them.
const IN_SQLITE: &str =
    include_str!("../../../../../crates/store/migrations/sqlite/0001_ledger.sql");
const IN_POSTGRES: &str =
    include_str!("../../../../../crates/store/migrations/postgres/0001_ledger.sql");
/// What a later one adds.
const EPOCH_IN_SQLITE: &str = "ALTER TABLE chain ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0";
const EPOCH_IN_POSTGRES: &str = "ALTER TABLE chain ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0";

const CHAIN: &str = "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch) ";
const FACT: &str = "INSERT INTO fact (seq, cluster, etcd, uid, version, meter, kind, at, quantity, \
     department, tenancy, incarnation, system, provider, contract, budget, request, object, \
     estimated, lower_at, upper_at, evidence) ";

/// What the ledger holds of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bare {
    chain: ChainRow,
    fact: Fact,
}

impl Bare {
    /// Of a row of the ledger.
    pub(super) fn of(row: Row) -> Result<Self, MeterFailure> {
        Ok(Self {
            fact: serde_json::from_str(&row.body)?,
            chain: row.chain,
        })
    }

    fn seq(&self) -> i64 {
        i64::try_from(self.chain.seq).unwrap_or(i64::MAX)
    }
}

/// Tables without a ledger, in either database.
#[derive(Debug)]
pub(super) enum Tables {
    /// In a file.
    Sqlite(Box<SqliteConnection>),
    /// On a server.
    Postgres(Box<PgConnection>),
}

impl Tables {
    /// In a new file, with the settings of a ledger's.
    pub(super) async fn in_file(path: &Path) -> Result<Self, MeterFailure> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false);
        let mut connection = options.connect().await?;
        sqlx::raw_sql(IN_SQLITE).execute(&mut connection).await?;
        sqlx::raw_sql(EPOCH_IN_SQLITE)
            .execute(&mut connection)
            .await?;
        Ok(Self::Sqlite(Box::new(connection)))
    }

    /// In a schema of their own of a database of a server, with its owner.
    pub(super) async fn on_server(owner: &str) -> Result<Self, MeterFailure> {
        let options: PgConnectOptions = owner.parse()?;
        let options = options.options([("search_path", "bare")]);
        let mut connection = options.connect().await?;
        for sql in [
            "DROP SCHEMA IF EXISTS bare CASCADE",
            "CREATE SCHEMA bare",
            IN_POSTGRES,
            EPOCH_IN_POSTGRES,
        ] {
            sqlx::raw_sql(sql).execute(&mut connection).await?;
        }
        Ok(Self::Postgres(Box::new(connection)))
    }

    /// Inserts rows in one transaction.
    pub(super) async fn insert(&mut self, rows: &[Bare]) -> Result<(), MeterFailure> {
        match self {
            Self::Sqlite(connection) => {
                let mut turn = connection.begin().await?;
                for some in rows.chunks(TOGETHER) {
                    into_sqlite(&mut turn, some).await?;
                }
                turn.commit().await?;
            }
            Self::Postgres(connection) => {
                let mut turn = connection.begin().await?;
                for some in rows.chunks(TOGETHER) {
                    into_postgres(&mut turn, some).await?;
                }
                turn.commit().await?;
            }
        }
        Ok(())
    }
}

/// The statements are the same; the types of the connections are not.
macro_rules! inserting {
    ($name:ident, $database:ty, $connection:ty) => {
        async fn $name(connection: &mut $connection, rows: &[Bare]) -> Result<(), sqlx::Error> {
            let mut chain = QueryBuilder::<$database>::new(CHAIN);
            chain.push_values(rows, |mut tuple, bare| {
                let row = &bare.chain;
                tuple
                    .push_bind(bare.seq())
                    .push_bind(row.kind.as_str())
                    .push_bind(row.key.as_str())
                    .push_bind(row.digest.as_str())
                    .push_bind(row.prev.as_str())
                    .push_bind(row.hash.as_str())
                    .push_bind(bare.fact.at.get())
                    .push_bind(1_i64);
            });
            chain.build().execute(&mut *connection).await?;
            let mut facts = QueryBuilder::<$database>::new(FACT);
            facts.push_values(rows, |mut tuple, bare| {
                let fact = &bare.fact;
                let (source, subject) = (&fact.source, &fact.subject);
                let bounds = fact.bounds.as_ref();
                tuple
                    .push_bind(bare.seq())
                    .push_bind(source.cluster.as_str())
                    .push_bind(i64::from(source.etcd))
                    .push_bind(source.uid.as_str())
                    .push_bind(source.version.as_str())
                    .push_bind(fact.meter.to_string())
                    .push_bind(fact.kind.as_str())
                    .push_bind(fact.at.get())
                    .push_bind(fact.quantity)
                    .push_bind(subject.department.as_str())
                    .push_bind(subject.tenancy.as_str())
                    .push_bind(i64::from(subject.incarnation))
                    .push_bind(subject.system.as_str())
                    .push_bind(subject.provider.as_str())
                    .push_bind(subject.contract.as_str())
                    .push_bind(subject.budget.as_str())
                    .push_bind(i64::from(subject.request))
                    .push_bind(subject.object.as_str())
                    .push_bind(i64::from(fact.estimated))
                    .push_bind(bounds.map(|bounds| bounds.lower.get()))
                    .push_bind(bounds.map(|bounds| bounds.upper.get()))
                    .push_bind(fact.evidence.as_str());
            });
            facts.build().execute(&mut *connection).await?;
            Ok(())
        }
    };
}

inserting!(into_sqlite, Sqlite, SqliteConnection);
inserting!(into_postgres, Postgres, PgConnection);
