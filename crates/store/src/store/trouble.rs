//! Whether the database does what it is asked for, as the calls of a store have found it.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use super::APPEND;
use crate::StoreError;
use crate::error::is_damage;

/// What the calls of a store and its clones found last. Cheap to clone; it holds neither a connection nor the lock.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<Found>>);

/// Reading may go well while nothing can be written, as on a full disk: each has its own. And rows may be read well while
/// another one is damaged, which no call mends.
#[derive(Debug, Default)]
struct Found {
    /// What was found first that cannot be trusted, until the process ends.
    damage: Option<String>,
    reading: Option<String>,
    writing: Option<String>,
}

impl Troubles {
    /// Why the database did not do what it was asked for last, in one line for people; none while it does. That it refused
    /// a batch for what stands in it is no trouble of the database. What cannot be trusted comes first, and is told for as
    /// long as the process lives, whatever else goes well.
    pub fn now(&self) -> Option<String> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = || found.writing.clone().or_else(|| found.reading.clone());
        found.damage.clone().or_else(last)
    }

    /// Whether something was read that cannot be trusted.
    pub fn is_damaged(&self) -> bool {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.damage.is_some()
    }

    /// Notes how a call ended.
    pub(crate) fn note(&self, operation: &'static str, error: Option<&StoreError>) {
        if let Some(error) = error {
            self.note_damage(error);
        }
        let trouble = error.filter(|error| is_trouble(error)).map(in_one_line);
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if operation == APPEND {
            found.writing = trouble;
        } else {
            found.reading = trouble;
        }
    }

    /// Notes that rows cannot be trusted, if the error says so.
    pub(crate) fn note_damage(&self, error: &StoreError) {
        if tells_damage(error) {
            let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            found.damage.get_or_insert_with(|| in_one_line(error));
        }
    }
}

/// Whether what the ledger holds is not what was written into it, or cannot be read by this program. Row 0 of a document is
/// one that was offered.
fn tells_damage(error: &StoreError) -> bool {
    let is_unread = matches!(error, StoreError::Decode { seq, .. } if *seq > 0);
    let is_malformed = matches!(
        error,
        StoreError::Database { source, .. }
            if is_damage(source) || matches!(source, sqlx::Error::ColumnDecode { .. })
    );
    is_unread || is_malformed || matches!(error, StoreError::Corrupt { .. })
}

fn is_trouble(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unreachable { .. } | StoreError::Deadline { .. } | StoreError::Database { .. }
    )
}

/// An error with its cause.
fn in_one_line(error: &StoreError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::DepartmentDoc;
    use leasehold_ledger::time::Second;

    use super::*;
    use crate::backend::Pool;
    use crate::{Batch, Record, Store};

    fn deadline() -> StoreError {
        StoreError::Deadline {
            operation: "read the head",
            milliseconds: 30_000,
        }
    }

    #[test]
    fn reading_that_goes_well_does_not_hide_that_nothing_can_be_written() {
        let troubles = Troubles::default();
        troubles.note("read the head", Some(&deadline()));
        assert!(troubles.now().unwrap().contains("30000 ms"));
        troubles.note(APPEND, Some(&deadline()));
        troubles.note("read the head", None);
        assert!(troubles.now().is_some());
        troubles.note(APPEND, None);
        assert_eq!(troubles.now(), None);
    }

    #[test]
    fn a_batch_that_is_refused_for_what_stands_in_it_is_no_trouble() {
        let troubles = Troubles::default();
        troubles.note(APPEND, Some(&deadline()));
        let refused = StoreError::Conflict {
            expected: 1,
            found: 2,
        };
        troubles.note(APPEND, Some(&refused));
        assert_eq!(troubles.now(), None, "the database has answered");
    }

    #[test]
    fn damage_is_told_first_and_stays_whatever_goes_well_after_it() {
        let troubles = Troubles::default();
        let corrupt = |seq| StoreError::Corrupt {
            seq,
            what: "another digest".to_owned(),
        };
        troubles.note("read facts", Some(&corrupt(7)));
        troubles.note("read facts", None);
        troubles.note(APPEND, None);
        assert!(troubles.is_damaged());
        let told = troubles.now().unwrap();
        assert!(
            told.contains("row 7") && told.contains("stop billing"),
            "{told}"
        );
        troubles.note(APPEND, Some(&deadline()));
        troubles.note_damage(&corrupt(9));
        assert_eq!(troubles.now().unwrap(), told, "the first one is told");

        let troubles = Troubles::default();
        let unread = |seq| StoreError::Decode {
            seq,
            kind: "gap".to_owned(),
            key: "pods/1".to_owned(),
            source: serde_json::from_str::<u8>("x").unwrap_err(),
        };
        troubles.note(APPEND, Some(&unread(0)));
        assert!(!troubles.is_damaged(), "it was offered, and refused");
        troubles.note_damage(&unread(3));
        troubles.note("read documents", None);
        let told = troubles.now().unwrap();
        assert!(told.contains("row 3"), "{told}");
    }

    fn departments(from: u32, to: u32) -> Batch {
        let department = |n: u32| DepartmentDoc {
            code: format!("d{n}"),
            display_name: "市政府办".repeat(40),
            budget_unit: None,
            parent: None,
            at: Second::new(0),
        };
        let records = (from..to).map(|n| Record::document(&department(n)).unwrap());
        Batch::of(records.collect())
    }

    /// Lets the writer's connection have so many pages, as a disk of that size does.
    async fn limit(store: &Store, pages: &'static str) {
        let Pool::Sqlite(pool) = &store.writer().unwrap().pool else {
            panic!("it is a file")
        };
        sqlx::raw_sql(pages).execute(pool).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_refuses_a_batch_whole_is_told_and_is_over_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ledger.db")).await.unwrap();
        let now = Second::new(1);
        store.commit(&departments(0, 3), now).await.unwrap();
        let troubles = store.troubles();
        assert_eq!(troubles.now(), None);

        // fewer than there are means as many as there are
        limit(&store, "PRAGMA max_page_count = 1").await;
        let batch = departments(3, 500);
        let refused = store.commit(&batch, now).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Database { .. }),
            "{refused:?}"
        );
        let told = troubles.now().unwrap();
        assert!(told.contains("full"), "{told}");
        // what is there can be read, and nothing of the batch is
        assert_eq!(store.head().await.unwrap().0, 3);
        assert!(troubles.now().is_some(), "nothing can be written yet");

        limit(&store, "PRAGMA max_page_count = 1000000").await;
        let committed = store.commit(&batch, now).await.unwrap();
        assert_eq!((committed.appended.len(), committed.unchanged), (497, 0));
        assert_eq!(troubles.now(), None);
        assert_eq!(store.integrity().await.unwrap().rows, 500);
    }
}
