//! The numbered migrations and the record of those that a database has seen.

use std::collections::BTreeMap;

use leasehold_ledger::canonical::digest_bytes;

use crate::backend::{Link, Pool, Value};
use crate::codec::column;
use crate::{Place, StoreError, cursors};

/// One step of the schema. It means the same in both databases, and is written for each.
struct Migration {
    version: u32,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// All steps, in order; the last one's version is the version of the schema.
const MIGRATIONS: [Migration; 5] = [
    Migration {
        version: 1,
        name: "ledger",
        sqlite: include_str!("../migrations/sqlite/0001_ledger.sql"),
        postgres: include_str!("../migrations/postgres/0001_ledger.sql"),
    },
    Migration {
        version: 2,
        name: "append_only",
        sqlite: include_str!("../migrations/sqlite/0002_append_only.sql"),
        postgres: include_str!("../migrations/postgres/0002_append_only.sql"),
    },
    Migration {
        version: 3,
        name: "leader",
        sqlite: include_str!("../migrations/sqlite/0003_leader.sql"),
        postgres: include_str!("../migrations/postgres/0003_leader.sql"),
    },
    Migration {
        version: 4,
        name: "archive",
        sqlite: include_str!("../migrations/sqlite/0004_archive.sql"),
        postgres: include_str!("../migrations/postgres/0004_archive.sql"),
    },
    Migration {
        version: CURSOR_DIGESTS,
        name: "cursor_digest",
        sqlite: include_str!("../migrations/sqlite/0005_cursor_digest.sql"),
        postgres: include_str!("../migrations/postgres/0005_cursor_digest.sql"),
    },
];

/// The step from which on rows of `cursor` have digests. No SQL of SQLite computes one, so that the rows which are there get
/// theirs from the program, in the same transaction and in both databases alike.
const CURSOR_DIGESTS: u32 = 5;

/// Which text of a step is meant.
#[derive(Clone, Copy, Debug)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    const fn of(link: &Link<'_>) -> Self {
        match link {
            Link::Sqlite(_) => Self::Sqlite,
            Link::Postgres(_) => Self::Postgres,
        }
    }

    const fn text(self, migration: &Migration) -> &'static str {
        match self {
            Self::Sqlite => migration.sqlite,
            Self::Postgres => migration.postgres,
        }
    }

    /// What the database calls its tables: its own catalogue.
    const fn find_table(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1",
            Self::Postgres => {
                "SELECT tablename::text AS name FROM pg_catalog.pg_tables \
                 WHERE schemaname = 'leasehold' AND tablename::text = $1"
            }
        }
    }

    /// How many tables there are.
    const fn count_tables(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table'",
            Self::Postgres => {
                "SELECT COUNT(*) AS n FROM pg_catalog.pg_tables WHERE schemaname = 'leasehold'"
            }
        }
    }

    /// Makes the table of migrations.
    const fn create(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "CREATE TABLE migration (
    version INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    digest  TEXT    NOT NULL
) STRICT"
            }
            Self::Postgres => {
                "CREATE TABLE migration (
    version BIGINT NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    digest  TEXT   NOT NULL
)"
            }
        }
    }

    /// What to do about a schema that is older than the program.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Sqlite => "start the operator of this version once, it migrates the database",
            Self::Postgres => {
                "run `leasehold ledger migrate` of this version with the address of the owner"
            }
        }
    }
}

const CATALOGUE: &str = "read the catalogue of tables";

const READ: &str = "read the table of migrations";

/// Two migrations of one database of a server come one after the other: "migrate!" in ASCII.
const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(7883946363647714593)::text AS done";

const FIND_SCHEMA: &str =
    "SELECT nspname::text AS name FROM pg_catalog.pg_namespace WHERE nspname = 'leasehold'";

/// The version of the schema that this program writes.
pub(crate) fn known_version() -> u32 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// A database to be written is a ledger or empty; another program's tables are left alone.
pub(crate) async fn expect_ours(pool: &Pool, place: &Place) -> Result<(), StoreError> {
    let mut held = pool.hold(CATALOGUE).await?;
    expect_ours_in(&mut held.link(), place).await
}

async fn expect_ours_in(link: &mut Link<'_>, place: &Place) -> Result<(), StoreError> {
    if has_table(link, "migration").await? || count_tables(link).await? == 0 {
        return Ok(());
    }
    Err(StoreError::NotALedger {
        place: place.clone(),
    })
}

/// Brings the database to this program's schema: all missing steps in one transaction.
///
/// Refuses a database that holds other tables but no ledger, a schema from a newer program, and a
/// database whose applied steps read differently from this program's.
pub(crate) async fn migrate(writer: &Pool, place: &Place) -> Result<(), StoreError> {
    let mut turn = writer.begin("start migrating").await?;
    let mut link = turn.link();
    if writer.is_server() {
        one_at_a_time(&mut link).await?;
        let schema = link.fetch_optional(CATALOGUE, FIND_SCHEMA, &[]).await?;
        if schema.is_none() {
            link.run("create the schema", "CREATE SCHEMA leasehold")
                .await?;
        }
    }
    expect_ours_in(&mut link, place).await?;
    let dialect = Dialect::of(&link);
    if !has_table(&mut link, "migration").await? {
        link.run("create the table of migrations", dialect.create())
            .await?;
    }
    let applied = applied(&mut link).await?;
    check(&applied, dialect, place)?;
    for migration in &MIGRATIONS {
        if !applied.contains_key(&migration.version) {
            apply(&mut link, migration).await?;
        }
    }
    turn.commit("commit the migrations").await
}

/// Waits until no other migration of the server's database is under way, and keeps others waiting until the transaction ends.
pub(crate) async fn one_at_a_time(link: &mut Link<'_>) -> Result<(), StoreError> {
    link.fetch_all("wait for other migrations", ONE_AT_A_TIME, &[])
        .await?;
    Ok(())
}

/// For an opening that cannot migrate: the schema must be exactly this program's.
pub(crate) async fn expect_current(pool: &Pool, place: &Place) -> Result<(), StoreError> {
    let mut held = pool.hold("open the ledger").await?;
    let mut link = held.link();
    let dialect = Dialect::of(&link);
    let mut applied_steps = BTreeMap::new();
    if has_table(&mut link, "migration").await? {
        applied_steps = applied(&mut link).await?;
    } else if !pool.is_server() {
        return Err(StoreError::NotALedger {
            place: place.clone(),
        });
    }
    check(&applied_steps, dialect, place)?;
    let found = applied_steps.keys().next_back().copied().unwrap_or(0);
    if found < known_version() {
        return Err(StoreError::SchemaVersion {
            place: place.clone(),
            found,
            known: known_version(),
            remedy: dialect.remedy(),
        });
    }
    Ok(())
}

/// Runs one step and records it.
async fn apply(link: &mut Link<'_>, migration: &Migration) -> Result<(), StoreError> {
    let text = Dialect::of(link).text(migration);
    link.run("apply a migration", text).await?;
    if migration.version == CURSOR_DIGESTS {
        cursors::seal(link).await?;
    }
    let digest = digest_bytes(text.as_bytes());
    let values = [
        Value::Integer(i64::from(migration.version)),
        Value::Text(migration.name),
        Value::Text(digest.as_str()),
    ];
    link.execute(
        "record a migration",
        "INSERT INTO migration (version, name, digest) VALUES ($1, $2, $3)",
        &values,
    )
    .await
}

/// Compares how a file defines its tables, indexes and triggers with how the migrations do. What SQLite keeps for itself,
/// to plan its queries, is left out.
pub(crate) async fn compare(file: &Pool, model: &Pool) -> Result<(), StoreError> {
    let (found, expected) = (definitions(file).await?, definitions(model).await?);
    let differs = found
        .iter()
        .find(|(name, definition)| expected.get(*name) != Some(*definition))
        .or_else(|| expected.iter().find(|(name, _)| !found.contains_key(*name)));
    let Some(((kind, name), _)) = differs else {
        return Ok(());
    };
    Err(StoreError::Corrupt {
        seq: 0,
        what: format!(
            "page 1 of the file or another page of its schema: {kind} {name} is not defined as the ledger's migrations \
             define it"
        ),
    })
}

/// What the catalogue of a file holds: kind and name → table and definition.
async fn definitions(
    pool: &Pool,
) -> Result<BTreeMap<(String, String), (String, String)>, StoreError> {
    let sql = "SELECT type AS kind, name, tbl_name, COALESCE(sql, '') AS definition \
         FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'";
    let rows = pool.fetch_all(CATALOGUE, sql, &[]).await?;
    let read = rows.iter().map(|row| {
        let key = (column(row, "kind")?, column(row, "name")?);
        Ok((key, (column(row, "tbl_name")?, column(row, "definition")?)))
    });
    let read: Result<_, StoreError> = read.collect();
    // bytes that are no text any more are found here, and not by comparing them
    read.map_err(|error| StoreError::Corrupt {
        seq: 0,
        what: format!(
            "page 1 of the file or another page of its schema: what it defines cannot be read ({error})"
        ),
    })
}

/// The steps that the database has seen: version → digest.
async fn applied(link: &mut Link<'_>) -> Result<BTreeMap<u32, String>, StoreError> {
    let sql = "SELECT version, digest FROM migration ORDER BY version";
    let rows = link.fetch_all(READ, sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let version: i64 = column(row, "version")?;
            // no program has such a step: it is refused as a newer one
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            Ok((version, column(row, "digest")?))
        })
        .collect()
}

/// Compares what the database has seen with what this program has.
fn check(
    applied: &BTreeMap<u32, String>,
    dialect: Dialect,
    place: &Place,
) -> Result<(), StoreError> {
    expect_no_hole(applied)?;
    for (version, digest) in applied {
        let Some(migration) = MIGRATIONS.iter().find(|step| step.version == *version) else {
            return Err(StoreError::SchemaVersion {
                place: place.clone(),
                found: *version,
                known: known_version(),
                remedy: "run the program that made this database, or a newer one",
            });
        };
        let known = digest_bytes(dialect.text(migration).as_bytes());
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

/// Steps are taken in order, also those of a newer program, after this program's. Where one is missing before another, the
/// table does not hold what was written into it, and its rows tell of no program.
fn expect_no_hole(applied: &BTreeMap<u32, String>) -> Result<(), StoreError> {
    let Some(newest) = applied.keys().next_back() else {
        return Ok(());
    };
    let mut before = MIGRATIONS.iter().map(|step| step.version);
    let missing = before.find(|version| version < newest && !applied.contains_key(version));
    missing.map_or(Ok(()), |missing| {
        Err(StoreError::Corrupt {
            seq: 0,
            what: format!(
                "table migration is damaged: row {newest} is there, and row {missing}, which comes before it in every ledger, is not"
            ),
        })
    })
}

/// Whether a table of this name exists.
async fn has_table(link: &mut Link<'_>, name: &str) -> Result<bool, StoreError> {
    let sql = Dialect::of(link).find_table();
    let found = link
        .fetch_optional(CATALOGUE, sql, &[Value::Text(name)])
        .await?;
    Ok(found.is_some())
}

/// How many tables there are.
async fn count_tables(link: &mut Link<'_>) -> Result<i64, StoreError> {
    let sql = Dialect::of(link).count_tables();
    match link.fetch_optional(CATALOGUE, sql, &[]).await? {
        Some(row) => column(&row, "n"),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

    fn seen(entries: &[(u32, &str)]) -> BTreeMap<u32, String> {
        entries
            .iter()
            .map(|(version, digest)| (*version, (*digest).to_owned()))
            .collect()
    }

    fn own(version: u32, dialect: Dialect) -> String {
        let migration = MIGRATIONS
            .iter()
            .find(|step| step.version == version)
            .unwrap();
        digest_bytes(dialect.text(migration).as_bytes()).to_string()
    }

    fn checked(entries: &[(u32, &str)], dialect: Dialect) -> Result<(), StoreError> {
        check(&seen(entries), dialect, &Place::from(Path::new("x")))
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
    fn the_first_steps_of_files_that_are_in_use_read_as_they_always_did() {
        let digest = |version| own(version, Dialect::Sqlite);
        assert_eq!(
            digest(1),
            "sha256:5513f84a07ca9f6d5c6c39d826912aacfb7ff20dbef96351ee12b585ce2f7d04"
        );
        assert_eq!(
            digest(2),
            "sha256:03cc17e42fc0b970d3574750223c99cc337deb5651602378be349889e85a45ef"
        );
    }

    #[test]
    fn a_database_that_has_seen_our_own_steps_is_accepted() {
        for dialect in BOTH {
            let (first, second) = (own(1, dialect), own(2, dialect));
            assert!(checked(&[(1, &first), (2, &second)], dialect).is_ok());
            assert!(checked(&[(1, &first)], dialect).is_ok());
        }
    }

    #[test]
    fn a_step_that_reads_differently_now_is_refused_by_number() {
        for dialect in BOTH {
            let refused = checked(&[(1, "sha256:00")], dialect).unwrap_err();
            assert!(
                matches!(refused, StoreError::MigrationChanged { version: 1, .. }),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_step_of_the_other_database_is_not_ours() {
        let other = own(1, Dialect::Postgres);
        assert!(checked(&[(1, &other)], Dialect::Sqlite).is_err());
    }

    #[test]
    fn a_step_that_this_program_does_not_have_is_refused_as_newer() {
        for dialect in BOTH {
            let newer = known_version() + 1;
            let own: Vec<String> = (1..newer).map(|version| own(version, dialect)).collect();
            let mut steps: Vec<(u32, &str)> = (1..).zip(own.iter().map(String::as_str)).collect();
            steps.push((newer, "sha256:00"));
            let refused = checked(&steps, dialect).unwrap_err();
            assert!(
                matches!(refused, StoreError::SchemaVersion { found, .. } if found == newer),
                "{refused}"
            );
        }
    }

    #[test]
    fn steps_that_lack_one_before_them_are_damage_and_no_newer_program() {
        let second = own(2, Dialect::Sqlite);
        let others = [(14, "sha256:00"), (15, "sha256:01")];
        let first = own(1, Dialect::Sqlite);
        let third = own(3, Dialect::Sqlite);
        for (steps, newest, missing) in [
            (&others[..], 15, 1),
            (&[(2, second.as_str())], 2, 1),
            (&[(1, first.as_str()), (3, third.as_str())], 3, 2),
        ] {
            let text = checked(steps, Dialect::Sqlite).unwrap_err().to_string();
            let told = format!("row {newest} is there, and row {missing},");
            assert!(text.contains(&told), "{text}");
        }
    }
}
