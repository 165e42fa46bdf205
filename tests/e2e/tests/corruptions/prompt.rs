//! A connection past the program, of somebody with a SQL prompt and all rights on the ledger's tables.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    SqliteConnection,
};

/// The tables that hold evidence, and those from which money follows.
const TABLES: [&str; 8] = [
    "chain", "fact", "document", "entry", "posting", "meta", "hole", "cursor",
];

/// A connection to either database.
pub enum Prompt {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Prompt {
    /// To a file, without enforced references.
    pub async fn file(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false);
        Self::Sqlite(Box::new(options.connect().await.unwrap()))
    }

    /// To a database of a server, as the owner of the tables, which need no schema before their names.
    pub async fn server(owner: &str) -> Self {
        let options: PgConnectOptions = owner.parse().unwrap();
        let options = options.options([("search_path", "leasehold")]);
        Self::Postgres(Box::new(options.connect().await.unwrap()))
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }

    /// Carries out one statement, and gives the number of rows that it changed.
    async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => Ok(connection.execute(sql).await?.rows_affected()),
            Self::Postgres(connection) => Ok(connection.execute(sql).await?.rows_affected()),
        }
    }

    /// The first column of the first row.
    pub async fn number(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.fetch_one(sql).await.unwrap().get(0),
            Self::Postgres(connection) => connection.fetch_one(sql).await.unwrap().get(0),
        }
    }

    /// The same of a text.
    pub async fn text(&mut self, sql: &str) -> Option<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.fetch_one(sql).await.unwrap().get(0),
            Self::Postgres(connection) => connection.fetch_one(sql).await.unwrap().get(0),
        }
    }

    /// Two texts of each row of a file.
    async fn texts(&mut self, sql: &str) -> Vec<[String; 2]> {
        let Self::Sqlite(connection) = self else {
            panic!("it is a server")
        };
        let rows = connection.fetch_all(AssertSqlSafe(sql.to_owned()));
        let rows = rows.await.unwrap();
        rows.iter().map(|row| [row.get(0), row.get(1)]).collect()
    }

    /// A text and a number of each row of a file.
    pub async fn pairs(&mut self, sql: &str) -> Vec<(String, i64)> {
        let Self::Sqlite(connection) = self else {
            panic!("it is a server")
        };
        let rows = connection.fetch_all(AssertSqlSafe(sql.to_owned()));
        let rows = rows.await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Takes the triggers away, carries the statements out, and puts the triggers back. Nothing of it is done where the
    /// database refuses one of them, or where the first one changes nothing.
    pub async fn tamper(&mut self, statements: &[String]) -> bool {
        self.run("BEGIN").await.unwrap();
        let armed = self.disarm().await;
        let mut is_done = true;
        for (place, sql) in statements.iter().enumerate() {
            match self.run(sql).await {
                Ok(0) if place == 0 => is_done = false,
                Ok(_) => {}
                Err(_) => is_done = false,
            }
            if !is_done {
                self.run("ROLLBACK").await.unwrap();
                return false;
            }
        }
        for sql in armed {
            self.run(&sql).await.unwrap();
        }
        self.run("COMMIT").await.unwrap();
        true
    }

    /// Takes the triggers away, and gives the statements that put them back.
    async fn disarm(&mut self) -> Vec<String> {
        match self {
            Self::Sqlite(_) => {
                let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'";
                let triggers = self.texts(sql).await;
                for [name, _] in &triggers {
                    self.run(&format!("DROP TRIGGER {name}")).await.unwrap();
                }
                triggers.into_iter().map(|[_, sql]| sql).collect()
            }
            Self::Postgres(_) => {
                let switch = |to: &str| TABLES.map(|t| format!("ALTER TABLE {t} {to} TRIGGER ALL"));
                for sql in switch("DISABLE") {
                    self.run(&sql).await.unwrap();
                }
                switch("ENABLE").to_vec()
            }
        }
    }

    /// Keeps what the tables of a server hold, to put it back.
    pub async fn keep(&mut self) {
        self.run("CREATE SCHEMA kept").await.unwrap();
        for table in TABLES {
            let sql = format!("CREATE TABLE kept.{table} AS TABLE leasehold.{table}");
            self.run(&sql).await.unwrap();
        }
    }

    /// Puts back what was kept.
    pub async fn put_back(&mut self) {
        let refill = |table: &str| {
            [
                format!("TRUNCATE leasehold.{table}"),
                format!("INSERT INTO leasehold.{table} SELECT * FROM kept.{table}"),
            ]
        };
        let statements: Vec<String> = TABLES.into_iter().flat_map(refill).collect();
        self.run("BEGIN").await.unwrap();
        let armed = self.disarm().await;
        for sql in statements.into_iter().chain(armed) {
            self.run(&sql).await.unwrap();
        }
        self.run("COMMIT").await.unwrap();
    }
}
