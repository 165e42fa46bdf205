//! Facts, documents and entries for the tests, and a ledger file to put them in.

use std::path::Path;

use leasehold_ledger::canonical::digest_bytes;
use leasehold_ledger::document::{EffectiveDoc, PeriodOpenDoc};
use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::journal::{Entry, EntryKind, Posting};
use leasehold_ledger::money::Money;
use leasehold_ledger::time::{Period, PeriodKind, Second, Zone};
use leasehold_store::{Batch, Place, Record, Roles, Store};
use leasehold_testkit::{PostgresDatabase, PostgresServer};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;

/// Writes each test once and runs it on both databases. A function that is not in the list is not used, which the compiler
/// refuses.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::fixtures::Home::file()).await;
                }
            )+
        }

        mod on_postgresql {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::fixtures::Home::server()).await;
                }
            )+
        }
    };
}

pub(crate) use on_both;

/// Where a ledger is, of this test alone: a file in a folder, which goes with it, or a database.
pub(crate) enum Home {
    File(TempDir),
    Server(PostgresDatabase),
}

impl Home {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(crate) fn server() -> Self {
        Self::Server(PostgresServer::shared().unwrap().database().unwrap())
    }

    /// Another of the same database.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::File(_) => Self::file(),
            Self::Server(_) => Self::server(),
        }
    }

    /// Where the operator finds it.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::File(dir) => Place::from(dir.path().join("ledger.db")),
            Self::Server(database) => database.service.parse().unwrap(),
        }
    }

    /// The tables, made by whoever owns them.
    pub(crate) async fn migrate(&self) {
        if let Self::Server(database) = self {
            let owner: Place = database.owner.parse().unwrap();
            let roles = Roles {
                service: Some(database.service_role.clone()),
                reader: Some(database.reader_role.clone()),
            };
            Store::migrate(&owner, &roles).await.unwrap();
        }
    }

    pub(crate) async fn open(&self) -> Store {
        self.migrate().await;
        Store::open(self.place()).await.unwrap()
    }

    /// A connection past the store, as a person with a SQL prompt has one: on a server as the owner of the tables.
    pub(crate) async fn prompt(&self) -> Prompt {
        match self {
            Self::File(dir) => Prompt::Sqlite(prompt(&dir.path().join("ledger.db")).await),
            Self::Server(database) => Prompt::Postgres(session(&database.owner).await),
        }
    }

    /// The connection of somebody with no more rights than the operator.
    pub(crate) async fn service_prompt(&self) -> Prompt {
        match self {
            Self::File(dir) => Prompt::Sqlite(prompt(&dir.path().join("ledger.db")).await),
            Self::Server(database) => Prompt::Postgres(session(&database.service).await),
        }
    }
}

/// A connection past the store.
pub(crate) enum Prompt {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Prompt {
    /// Carries out what somebody types.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop),
            Self::Postgres(connection) => connection.execute(sql).await.map(drop),
        }
    }

    /// The first column of the first row.
    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.fetch_one(sql).await.unwrap().get(0),
            Self::Postgres(connection) => connection.fetch_one(sql).await.unwrap().get(0),
        }
    }

    /// Takes the triggers of a table away, as only its owner can.
    pub(crate) async fn disarm(&mut self, table: &str) {
        let sql = match self {
            Self::Sqlite(_) => {
                format!("DROP TRIGGER {table}_refuses_update; DROP TRIGGER {table}_refuses_delete")
            }
            Self::Postgres(_) => format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
        };
        self.run(&sql).await.unwrap();
    }
}

/// A connection to any SQLite file, without enforced references.
pub(crate) async fn prompt(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap()
}

/// A connection to a database of a server, in which the ledger's tables need no schema before their names.
pub(crate) async fn session(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    options
        .options([("search_path", "leasehold")])
        .connect()
        .await
        .unwrap()
}

/// Noon UTC of 5 September 2026, plus some seconds.
pub(crate) fn at(seconds: i64) -> Second {
    Second::parse("2026-09-05T12:00:00Z").unwrap().plus(seconds)
}

/// The opening of a pod's CPU use by 市政府办's office automation: 500 milli-cores.
pub(crate) fn fact(uid: &str, version: u32) -> Fact {
    Fact {
        source: Source {
            cluster: "6a1f".to_owned(),
            etcd: 1,
            uid: uid.to_owned(),
            version: version.to_string(),
        },
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind: FactKind::Opened,
        at: at(i64::from(version)),
        quantity: 500,
        subject: Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "市政府办公自动化".to_owned(),
            provider: "provider-a".to_owned(),
            contract: "2026-017".to_owned(),
            budget: "2010302".to_owned(),
            request: 3,
            object: format!("Pod gov-office--prod/{uid}"),
        },
        estimated: false,
        bounds: None,
        evidence: "status.conditions[PodScheduled]".to_owned(),
    }
}

/// A request of a tenancy of 市政府办 that became effective.
pub(crate) fn effective(tenancy: &str, request: u32) -> EffectiveDoc {
    EffectiveDoc {
        department: "gov-office".to_owned(),
        tenancy: tenancy.to_owned(),
        incarnation: 1,
        request,
        not_before: at(0),
        at: at(i64::from(request)),
    }
}

/// The close of a period: 44.84 owed for compute.
pub(crate) fn entry(period: &str) -> Entry {
    let posting = |account: &str, minor| Posting {
        account: account.to_owned(),
        amount: Money::from_minor(minor),
    };
    Entry::new(
        format!("close/{period}/gov-office"),
        EntryKind::Close,
        at(0),
        "gov-office".to_owned(),
        Some(period.to_owned()),
        vec![
            posting("ar/gov-office", 4484),
            posting("revenue/compute", -4484),
        ],
    )
    .unwrap()
}

/// The opening of the period of this kind that contains the instant.
pub(crate) fn period_open(kind: PeriodKind, instant: Second) -> PeriodOpenDoc {
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    PeriodOpenDoc {
        period: Period::containing(kind, &zone, instant).unwrap(),
        policy: digest_bytes(b"policy"),
        at: instant,
    }
}

/// A batch of facts.
pub(crate) fn facts(facts: impl IntoIterator<Item = Fact>) -> Batch {
    Batch::of(facts.into_iter().map(Record::from).collect())
}

/// One record of each table, and the mark of a real ledger.
pub(crate) fn one_of_each() -> Batch {
    Batch::of(vec![
        Record::from(fact("web-1", 7)),
        Record::document(&effective("oa", 3)).unwrap(),
        Record::from(entry("2026-08")),
        Record::document(&period_open(PeriodKind::Month, at(0))).unwrap(),
    ])
}
