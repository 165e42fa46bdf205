//! What SQLite itself says of the pages of its file.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::CHECK;
use crate::backend::Value;
use crate::codec::column;
use crate::error::is_damage;
use crate::{Store, StoreError};

/// How long looking at every page may take: a ledger of years has many, and whoever asks for this waits for it.
const PATIENCE: Duration = Duration::from_hours(1);

/// The first finding alone. With more of them SQLite goes on into what it has just called damaged, fails there, and takes
/// back what it had found.
const FIRST: &str = "PRAGMA integrity_check(1)";

/// More of them, where the first does not say where it was.
const MORE: &str = "PRAGMA integrity_check";

/// The tables of a ledger.
const TABLES: [&str; 11] = [
    "chain",
    "fact",
    "document",
    "entry",
    "posting",
    "hole",
    "archived_object",
    "cursor",
    "meta",
    "leader",
    "migration",
];

impl Store {
    /// Has SQLite look at every page and every index of the file.
    pub(super) async fn check_pages(&self) -> Result<(), StoreError> {
        let patient = self.clone().with_deadline(PATIENCE);
        let first = match patient.findings(FIRST.to_owned()).await {
            Ok(found) => found.into_iter().next(),
            Err(StoreError::Database { source, .. }) if is_damage(&source) => {
                return Err(damaged(patient.unreadable(&source.to_string()).await));
            }
            Err(error) => return Err(error),
        };
        let Some(first) = first else { return Ok(()) };
        if is_located(&first) {
            return Err(damaged(first));
        }
        let more = patient.findings(MORE.to_owned()).await.unwrap_or_default();
        match more.into_iter().find(|finding| is_located(finding)) {
            Some(located) => Err(damaged(located)),
            None => Err(damaged(patient.unreadable(&first).await)),
        }
    }

    /// What a check finds, a line each; nothing when all is well.
    async fn findings(&self, sql: String) -> Result<Vec<String>, StoreError> {
        let looking = self.reader().fetch_all(CHECK, AssertSqlSafe(sql), &[]);
        let mut findings = Vec::new();
        for row in &self.within(CHECK, looking).await? {
            let text: String = column(row, "integrity_check")?;
            findings.extend(lines(&text));
        }
        Ok(findings)
    }

    /// Which row or table it is, where SQLite says neither a page nor a row of those.
    async fn unreadable(&self, said: &str) -> String {
        let mut damaged = Vec::new();
        for table in TABLES {
            let sql = format!("PRAGMA integrity_check({table})");
            match self.findings(sql).await {
                Ok(findings) if findings.is_empty() => {}
                Ok(_) | Err(_) => damaged.push(table),
            }
        }
        for table in &damaged {
            if let Some(row) = self.first_unreadable(table).await {
                return format!(
                    "row {row} of table {table}, counted from 1, cannot be read: {said}"
                );
            }
        }
        match damaged.as_slice() {
            [] => said.to_owned(),
            [table] => format!("table {table} or an index of it is damaged: {said}"),
            more => format!(
                "tables {}: each or an index of it is damaged: {said}",
                more.join(" and ")
            ),
        }
    }

    /// The first row of a table that cannot be read, counted in the order in which they lie; none when all can, or when
    /// something else than damage keeps them from being read.
    async fn first_unreadable(&self, table: &str) -> Option<i64> {
        if self.can_read(table, i64::MAX).await? {
            return None;
        }
        // twice as many each time, so that what lies beyond the damage costs nothing
        let (mut readable, mut unreadable) = (0_i64, 1_i64);
        while self.can_read(table, unreadable).await? {
            readable = unreadable;
            unreadable = unreadable.checked_mul(2)?;
        }
        while unreadable - readable > 1 {
            let middle = readable + (unreadable - readable) / 2;
            if self.can_read(table, middle).await? {
                readable = middle;
            } else {
                unreadable = middle;
            }
        }
        Some(unreadable)
    }

    /// Whether so many first rows of a table can be read, whatever they hold; none when it is not damage that they cannot.
    async fn can_read(&self, table: &str, rows: i64) -> Option<bool> {
        let sql = format!("SELECT COUNT(*) AS n FROM (SELECT * FROM {table} NOT INDEXED LIMIT $1)");
        let values = [Value::Integer(rows)];
        let reading = self.reader().fetch_all(CHECK, AssertSqlSafe(sql), &values);
        match self.within(CHECK, reading).await {
            Ok(_) => Some(true),
            Err(StoreError::Database { source, .. }) if is_damage(&source) => Some(false),
            Err(_) => None,
        }
    }
}

/// The lines that say something.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| *line != "ok" && !line.starts_with("***"))
        .map(str::to_owned)
}

/// Whether it names a page or a row by its number.
fn is_located(finding: &str) -> bool {
    let words: Vec<String> = finding
        .split_whitespace()
        .map(str::to_ascii_lowercase)
        .collect();
    words.windows(2).any(|pair| match pair {
        [what, number] => {
            (what == "page" || what == "row") && number.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    })
}

fn damaged(what: String) -> StoreError {
    StoreError::Corrupt { seq: 0, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::tests::write;

    /// Numbers of the pages with the rows of a table or an index, in their order, and how many rows each has.
    async fn leaves(store: &Store, tree: &str) -> Vec<(usize, i64)> {
        let sql = format!(
            "SELECT pageno, ncell FROM dbstat WHERE name = '{tree}' AND pagetype = 'leaf' ORDER BY path"
        );
        let reading = store.reader().fetch_all(CHECK, AssertSqlSafe(sql), &[]);
        let rows = reading.await.unwrap();
        let read = rows.iter().map(|row| {
            let page: i64 = column(row, "pageno").unwrap();
            (
                usize::try_from(page).unwrap(),
                column(row, "ncell").unwrap(),
            )
        });
        read.collect()
    }

    #[tokio::test]
    async fn a_page_that_stands_in_the_place_of_one_of_an_index_is_told_by_the_first_row_that_is_lost()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let store = Store::open(&path).await.unwrap();
        // so many that each table with rows of them has several pages
        write(&store, 200).await;
        let rows = leaves(&store, "document").await;
        let index = leaves(&store, "sqlite_autoindex_chain_1").await;
        store.close().await.unwrap();
        let ((second, _), (other, _)) = (rows[1], index[1]);
        let mut file = std::fs::read(&path).unwrap();
        // of two bytes in the header, or the largest that there is
        let size = usize::from(u16::from_be_bytes([file[16], file[17]]));
        for byte in 0..size {
            file.swap((second - 1) * size + byte, (other - 1) * size + byte);
        }
        std::fs::write(&path, file).unwrap();

        let store = Store::open_read_only(&path).await.unwrap();
        let (_, before) = rows[0];
        assert_eq!(store.first_unreadable("document").await, Some(before + 1));
        assert_eq!(store.first_unreadable("chain").await, None);
        let told = store.unreadable("said").await;
        let expected = format!(
            "row {} of table document, counted from 1, cannot be read: said",
            before + 1
        );
        assert_eq!(told, expected);
        assert!(matches!(
            store.check_pages().await,
            Err(StoreError::Corrupt { what, .. }) if is_located(&what)
        ));
    }

    #[test]
    fn a_finding_names_a_place_when_a_number_follows_page_or_row() {
        for located in [
            "Tree 4 page 12 cell 3: Rowid 7 out of order",
            "row 12 missing from index fact_uid",
            "Page 9: never used",
        ] {
            assert!(is_located(located), "{located}");
        }
        for vague in [
            "non-unique entry in index sqlite_autoindex_chain_1",
            "database disk image is malformed",
            "wrong # of entries in index fact_uid",
        ] {
            assert!(!is_located(vague), "{vague}");
        }
    }

    #[test]
    fn what_only_says_that_all_is_well_or_which_database_it_is_is_no_finding() {
        let said: Vec<String> = lines("*** in database main ***\nPage 9: never used").collect();
        assert_eq!(said, ["Page 9: never used"]);
        assert_eq!(lines("ok").count(), 0);
    }
}
