//! The file of an archive: written once, as a whole, and read for as long as anybody asks.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use leasehold_ledger::archive::Content;
use leasehold_ledger::canonical::{Digest, digest_bytes};
use leasehold_ledger::document::ArchiveDoc;
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{ChainRow, genesis, link};
use leasehold_ledger::verify;
use serde_json::{Value as Json, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::Due;
use crate::backend::{Pool, Row, Value};
use crate::codec::{ChainBody, FACT, bound, chain_of, column, recorded, to_integer};
use crate::error::failed;
use crate::read::Written;
use crate::store::reading_file;
use crate::{FactFilter, Record, Recorded, StoreError};

/// How many rows are in memory at a time.
pub(super) const PAGE: u32 = 1000;

/// The form of the files that this program writes. Others it does not read.
const FORM: i64 = 1;

/// What writing is called where an error is told.
const WRITE: &str = "write an archive";
/// What reading is called where an error is told.
const READ: &str = "read an archive";

/// A page of rows, each an array within a JSON array.
const INSERT: &str = "INSERT INTO archived_row \
     (seq, kind, key, digest, prev, hash, inserted_at, department, tenancy, uid, body) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
     value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10 FROM json_each($1)";

const NAME: &str = "INSERT INTO archive (form, period, ended_before, row_count, digest, ledger) \
     VALUES ($1, $2, $3, $4, $5, $6)";

const NAMED: &str = "SELECT form, digest, ledger FROM archive";

const ROWS: &str = "SELECT seq, kind AS chain_kind, key AS chain_key, digest, prev, hash, body \
     FROM archived_row WHERE seq > $1 AND seq <= $2";

/// Beside a file of SQLite may lie what belongs to it.
const BESIDE: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// How many bytes a row takes in a file, with its place in the indexes: more than any that was seen.
const ROW: u64 = 2048;

/// A file that is being written, under another name until it is complete.
pub(super) struct Writing {
    // the connection goes before its file
    connection: SqliteConnection,
    part: Part,
    path: PathBuf,
    ledger: Digest,
}

/// The other name of a file that is being written. What is still there under it when this is dropped is taken away with what
/// belongs to it, so that an attempt that failed, as on a full volume, leaves the volume as it was.
struct Part(PathBuf);

impl Part {
    fn take_away(&self) -> Result<(), StoreError> {
        BESIDE
            .iter()
            .try_for_each(|end| take_away(&beside(&self.0, end)))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // the next attempt takes away what could not be
        self.take_away().ok();
    }
}

/// Refuses to begin a file for so many rows that may not fit into its folder's volume.
pub(super) fn expect_room(folder: &Path, rows: u64) -> Result<(), StoreError> {
    let volume = rustix::fs::statvfs(folder).map_err(|error| StoreError::ArchiveFile {
        path: folder.to_owned(),
        source: error.into(),
    })?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    let needed = rows.saturating_mul(ROW);
    if free >= needed {
        return Ok(());
    }
    Err(StoreError::Room {
        folder: folder.to_owned(),
        rows,
        needed,
        free,
    })
}

impl Writing {
    /// Begins a file. What an attempt that was broken off has left is taken away.
    pub(super) async fn begin(path: &Path, ledger: Option<&Digest>) -> Result<Self, StoreError> {
        let part = Part(beside(path, ".part"));
        part.take_away()?;
        let mut connection = SqliteConnectOptions::new()
            .filename(&part.0)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await
            .map_err(failed(WRITE))?;
        for text in [include_str!("schema.sql"), "BEGIN"] {
            sqlx::raw_sql(text)
                .execute(&mut connection)
                .await
                .map_err(failed(WRITE))?;
        }
        Ok(Self {
            connection,
            part,
            path: path.to_owned(),
            ledger: ledger.cloned().unwrap_or_else(genesis),
        })
    }

    /// Writes rows, each of which is compared with the chain.
    pub(super) async fn take(&mut self, rows: &[Written]) -> Result<(), StoreError> {
        let rows: Vec<Json> = rows.iter().map(cells).collect::<Result<_, _>>()?;
        sqlx::query(INSERT)
            .bind(Json::from(rows).to_string())
            .execute(&mut self.connection)
            .await
            .map_err(failed(WRITE))?;
        Ok(())
    }

    /// Says what the file is, brings all of it to the disk and gives it its name. A file of this name that is there is
    /// never written over: it must be the same, as after an attempt that was broken off behind this step.
    pub(super) async fn complete(mut self, due: &Due, content: &Content) -> Result<(), StoreError> {
        sqlx::query(NAME)
            .bind(FORM)
            .bind(due.period.as_str())
            .bind(due.ended_before.get())
            .bind(to_integer("number of rows", content.rows)?)
            .bind(content.digest.as_str())
            .bind(self.ledger.as_str())
            .execute(&mut self.connection)
            .await
            .map_err(failed(WRITE))?;
        sqlx::raw_sql("COMMIT")
            .execute(&mut self.connection)
            .await
            .map_err(failed(WRITE))?;
        self.connection.close().await.map_err(failed(WRITE))?;
        if self.path.exists() {
            let there = ArchiveFile::open(&self.path).await?;
            let same = (there.digest, there.ledger) == (content.digest.clone(), self.ledger);
            there.pool.close().await;
            if !same {
                return Err(StoreError::Archive {
                    path: self.path,
                    what: "it is there already and holds something else, although no document of this ledger names it; \
                           name another folder, or take the file away if it is nobody's"
                        .to_owned(),
                });
            }
        }
        rename(&self.part.0, &self.path)
    }
}

/// Takes a file away, if it is there.
pub(super) fn take_away(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::ArchiveFile {
            path: path.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The columns of a row.
fn cells(row: &Written) -> Result<Json, StoreError> {
    let chain = &row.chain;
    let body = ChainBody::of(&row.record)?;
    body.trusted(chain)?;
    let Record::Fact(fact) = &row.record else {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("a {} was to be archived, and only facts are", chain.kind),
        });
    };
    Ok(json!([
        to_integer("sequence number", chain.seq)?,
        chain.kind,
        chain.key,
        chain.digest.as_str(),
        chain.prev.as_str(),
        chain.hash.as_str(),
        row.at.get(),
        fact.subject.department,
        fact.subject.tenancy,
        fact.source.uid,
        body.body,
    ]))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Gives a complete file its name, and brings the name to the disk.
fn rename(part: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::ArchiveFile {
        path: path.to_owned(),
        source,
    };
    fs::rename(part, path).map_err(failed)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    folder.sync_all().map_err(failed)
}

/// The archive of a period, open for reading.
#[derive(Clone, Debug)]
pub struct ArchiveFile {
    path: PathBuf,
    pool: Pool,
    digest: Digest,
    ledger: Digest,
}

impl ArchiveFile {
    /// Opens a file. Whether it is the one that a ledger means is for [`ArchiveFile::check`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        const NONE: &str = "it is no archive, or was not written to its end";
        let refuse = |what: &str| StoreError::Archive {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        if !path.exists() {
            return Err(refuse("it is not there"));
        }
        let pool = reading_file(path).await.map_err(|_| refuse(NONE))?;
        let row = pool.fetch_optional(READ, NAMED, &[]).await;
        let row = row.ok().flatten().ok_or_else(|| refuse(NONE))?;
        if column::<i64>(&row, "form")? != FORM {
            return Err(refuse(
                "a newer program has written it; read it with that one",
            ));
        }
        let digest = |name| -> Result<Digest, StoreError> {
            let text: String = column(&row, name)?;
            text.parse().map_err(|_| refuse("its digest is none"))
        };
        Ok(Self {
            digest: digest("digest")?,
            ledger: digest("ledger")?,
            path: path.to_owned(),
            pool,
        })
    }

    /// Closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Recomputes every row, and compares all of them with what the ledger says of the archive.
    pub async fn check(&self, document: &ArchiveDoc) -> Result<(), StoreError> {
        let mut content = Content::default();
        let mut after = 0;
        loop {
            let page = self.rows(after, PAGE).await?;
            let Some(last) = page.last().map(|row| row.chain.seq) else {
                break;
            };
            for row in &page {
                self.trusted(&row.chain, &row.body)?;
                content.take(&row.chain);
            }
            after = last;
        }
        let expected = (document.rows, &document.digest);
        if (content.rows, &content.digest) == expected {
            return Ok(());
        }
        Err(self.refuse(format!(
            "the ledger knows the archive of {} with {} rows and digest {}, the file has {} rows and digest {}",
            document.period, document.rows, document.digest, content.rows, content.digest
        )))
    }

    /// At most `limit` rows after row `after_seq`, as the file holds them.
    pub async fn rows(&self, after_seq: u64, limit: u32) -> Result<Vec<verify::Row>, StoreError> {
        let values = [
            Value::Integer(to_integer("sequence number", after_seq)?),
            Value::Integer(i64::MAX),
            Value::Integer(limit.into()),
        ];
        let sql = format!("{ROWS} ORDER BY seq LIMIT $3");
        let rows = self.pool.fetch_all(READ, AssertSqlSafe(sql), &values);
        rows.await?.iter().map(row_of).collect()
    }

    /// The facts that pass the filter, in row order. Each is compared with its row of the chain.
    pub async fn facts(&self, filter: &FactFilter) -> Result<Vec<Recorded<Fact>>, StoreError> {
        let mut values = vec![Value::Integer(0), Value::Integer(bound(filter.until_seq))];
        let mut sql = ROWS.to_owned();
        let columns = [
            ("department", &filter.department),
            ("tenancy", &filter.tenancy),
            ("uid", &filter.uid),
        ];
        for (name, value) in columns {
            if let Some(value) = value {
                values.push(Value::Text(value));
                sql = format!("{sql} AND {name} = ${}", values.len());
            }
        }
        sql.push_str(" ORDER BY seq");
        // nothing of what was asked for is in the text, only how many placeholders it has
        let rows = self.pool.fetch_all(READ, AssertSqlSafe(sql), &values);
        let rows = rows.await?;
        let facts = rows.iter().map(|row| self.fact_of(row));
        facts.filter_map(Result::transpose).collect()
    }

    /// The fact of a row; none of rows of another kind.
    fn fact_of(&self, row: &Row) -> Result<Option<Recorded<Fact>>, StoreError> {
        let verify::Row { chain, body } = row_of(row)?;
        self.trusted(&chain, &body)?;
        if chain.kind != FACT {
            return Ok(None);
        }
        match serde_json::from_str(&body) {
            Ok(fact) => Ok(Some(recorded(chain, fact))),
            Err(source) => Err(StoreError::Decode {
                seq: chain.seq,
                kind: chain.kind,
                key: chain.key,
                source,
            }),
        }
    }

    /// A body is the one of its digest, and the hash that of the row.
    fn trusted(&self, chain: &ChainRow, body: &str) -> Result<(), StoreError> {
        let ChainRow {
            seq,
            kind,
            key,
            digest,
            prev,
            hash,
        } = chain;
        if digest_bytes(body.as_bytes()) == *digest && link(*seq, kind, key, digest, prev) == *hash
        {
            return Ok(());
        }
        Err(self.refuse(format!("row {seq} is not what was written")))
    }

    fn refuse(&self, what: String) -> StoreError {
        StoreError::Archive {
            path: self.path.clone(),
            what,
        }
    }
}

fn row_of(row: &Row) -> Result<verify::Row, StoreError> {
    Ok(verify::Row {
        chain: chain_of(row)?,
        body: column(row, "body")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_that_is_given_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts-2026-09.db");
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let writing = Writing::begin(&path, None).await.unwrap();
        assert!(files() > 0);
        drop(writing);
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_file_is_not_begun_that_may_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        // two petabytes
        let refused = expect_room(folder.path(), 1 << 40).unwrap_err();
        assert!(
            matches!(refused, StoreError::Room { needed, .. } if needed == 1 << 51),
            "{refused}"
        );
        assert!(expect_room(folder.path(), 1).is_ok());
    }
}
