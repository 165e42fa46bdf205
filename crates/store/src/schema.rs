//! The numbered migrations and the record of those that a database has seen.

use std::collections::BTreeMap;
use std::path::Path;

use leasehold_ledger::canonical::digest_bytes;
use sqlx::sqlite::SqlitePool;
use sqlx::{Row, SqliteConnection};

use crate::StoreError;
use crate::error::failed;

/// One step of the schema.
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

/// All steps, in order; the last one's version is the version of the schema.
const MIGRATIONS: [Migration; 2] = [
    Migration {
        version: 1,
        name: "ledger",
        sql: include_str!("../migrations/0001_ledger.sql"),
    },
    Migration {
        version: 2,
        name: "append_only",
        sql: include_str!("../migrations/0002_append_only.sql"),
    },
];

const CREATE_MIGRATION: &str = "CREATE TABLE migration (
    version INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    digest  TEXT    NOT NULL
) STRICT";

/// The version of the schema that this program writes.
pub(crate) fn known_version() -> u32 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// A database to be written is a ledger or empty; another program's tables are left alone.
pub(crate) async fn expect_ours(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    if has_table(connection, "migration").await? || count_tables(connection).await? == 0 {
        return Ok(());
    }
    Err(StoreError::NotALedger {
        path: path.to_owned(),
    })
}

/// Brings the database to this program's schema: all missing steps in one transaction.
///
/// Refuses a file that holds other tables but no ledger, a schema from a newer program, and a
/// database whose applied steps read differently from this program's.
pub(crate) async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let mut tx = writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed("start migrating"))?;
    expect_ours(&mut tx, path).await?;
    if !has_table(&mut tx, "migration").await? {
        sqlx::raw_sql(CREATE_MIGRATION)
            .execute(&mut *tx)
            .await
            .map_err(failed("create the table of migrations"))?;
    }
    let applied = applied(&mut tx).await?;
    check(&applied, path)?;
    for migration in &MIGRATIONS {
        if !applied.contains_key(&migration.version) {
            apply(&mut tx, migration).await?;
        }
    }
    tx.commit().await.map_err(failed("commit the migrations"))
}

/// For a read-only opening, which cannot migrate: the schema must be exactly this program's.
pub(crate) async fn expect_current(reader: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let mut connection = reader.acquire().await.map_err(failed("open the ledger"))?;
    if !has_table(&mut connection, "migration").await? {
        return Err(StoreError::NotALedger {
            path: path.to_owned(),
        });
    }
    let applied = applied(&mut connection).await?;
    check(&applied, path)?;
    let found = applied.keys().next_back().copied().unwrap_or(0);
    if found < known_version() {
        return Err(StoreError::SchemaVersion {
            path: path.to_owned(),
            found,
            known: known_version(),
            remedy: "start the operator of this version once, it migrates the database",
        });
    }
    Ok(())
}

/// Runs one step and records it.
async fn apply(connection: &mut SqliteConnection, migration: &Migration) -> Result<(), StoreError> {
    sqlx::raw_sql(migration.sql)
        .execute(&mut *connection)
        .await
        .map_err(failed("apply a migration"))?;
    sqlx::query("INSERT INTO migration (version, name, digest) VALUES ($1, $2, $3)")
        .bind(migration.version)
        .bind(migration.name)
        .bind(digest_bytes(migration.sql.as_bytes()).as_str())
        .execute(&mut *connection)
        .await
        .map_err(failed("record a migration"))?;
    Ok(())
}

/// The steps that the database has seen: version → digest.
async fn applied(connection: &mut SqliteConnection) -> Result<BTreeMap<u32, String>, StoreError> {
    let rows = sqlx::query("SELECT version, digest FROM migration ORDER BY version")
        .fetch_all(connection)
        .await
        .map_err(failed("read the table of migrations"))?;
    rows.iter()
        .map(|row| Ok((row.try_get("version")?, row.try_get("digest")?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(failed("read the table of migrations"))
}

/// Compares what the database has seen with what this program has.
fn check(applied: &BTreeMap<u32, String>, path: &Path) -> Result<(), StoreError> {
    for (version, digest) in applied {
        let Some(migration) = MIGRATIONS.iter().find(|step| step.version == *version) else {
            return Err(StoreError::SchemaVersion {
                path: path.to_owned(),
                found: *version,
                known: known_version(),
                remedy: "run the program that made this database, or a newer one",
            });
        };
        let known = digest_bytes(migration.sql.as_bytes());
        if known.as_str() != digest {
            return Err(StoreError::MigrationChanged {
                version: *version,
                applied: digest.clone(),
                known,
            });
        }
    }
    Ok(())
}

/// Whether a table of this name exists. `sqlite_master` is SQLite's own catalogue.
async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool, StoreError> {
    sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
        .map_err(failed("read the catalogue of tables"))
}

/// How many tables there are.
async fn count_tables(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query("SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table'")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get("n"))
        .map_err(failed("read the catalogue of tables"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(entries: &[(u32, &str)]) -> BTreeMap<u32, String> {
        entries
            .iter()
            .map(|(version, digest)| (*version, (*digest).to_owned()))
            .collect()
    }

    fn own(version: u32) -> String {
        let migration = MIGRATIONS
            .iter()
            .find(|step| step.version == version)
            .unwrap();
        digest_bytes(migration.sql.as_bytes()).to_string()
    }

    #[test]
    fn migrations_are_numbered_one_by_one_from_one() {
        let versions: Vec<u32> = MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .collect();
        let expected: Vec<u32> = (1..=known_version()).collect();
        assert_eq!(versions, expected);
    }

    #[test]
    fn a_database_that_has_seen_our_own_steps_is_accepted() {
        assert!(check(&seen(&[(1, &own(1)), (2, &own(2))]), Path::new("x")).is_ok());
        assert!(check(&seen(&[(1, &own(1))]), Path::new("x")).is_ok());
    }

    #[test]
    fn a_step_that_reads_differently_now_is_refused_by_number() {
        let refused = check(&seen(&[(1, "sha256:00")]), Path::new("x")).unwrap_err();
        assert!(
            matches!(refused, StoreError::MigrationChanged { version: 1, .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_step_that_this_program_does_not_have_is_refused_as_newer() {
        let newer = known_version() + 1;
        let refused = check(&seen(&[(newer, "sha256:00")]), Path::new("x")).unwrap_err();
        assert!(
            matches!(refused, StoreError::SchemaVersion { found, .. } if found == newer),
            "{refused}"
        );
    }
}
