//! Whatever is changed in a ledger, in its file or in its tables, is found by `leasehold verify`, and the place is named.
//!
//! A good ledger with a document of every kind, a closed and archived month and the places of watches (`ledger`, `documents`)
//! is copied, something in the copy is changed by chance, and the program itself is asked, with the head that was kept of the good one (`verdict`). It must
//! not end with 0, and must name the row or the page. Where only an index is damaged, which holds nothing by itself, or the
//! one row of `meta`, naming
//! the index or its table is enough.
//!
//! - `files`: flipped bits, and pages that are zeroed, swapped or cut off, of a ledger in SQLite. Only bytes count that are
//!   read; which these are is told from the format of the file (`pages`), never from what the program answers.
//! - `rows`: values that are altered, rows that are taken away, added, moved or exchanged, in SQLite and in PostgreSQL, by
//!   somebody who takes the triggers away and puts them back.
//!
//! What is written behind the last row by somebody who knows how to link it is not among these: it is what a writer does.
//!
//! Environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_CORRUPTIONS=2000` | so many of a file, and as many of rows in each database; 100 without it |
//! | `LEASEHOLD_SEED=17` | draws others; 1 without it |

#[cfg(test)]
mod documents;
#[cfg(test)]
mod files;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod prompt;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod verdict;

#[cfg(test)]
mod corruptions {
    use std::fs;
    use std::path::PathBuf;

    use leasehold_store::{Place, Roles, Store};
    use leasehold_testkit::PostgresServer;

    use crate::prompt::Prompt;
    use crate::rows::Tampered;
    use crate::verdict::{Asked, all};
    use crate::{documents, files, ledger};

    /// The good ledger as one file, in a folder that goes with it.
    struct Good {
        folder: tempfile::TempDir,
        path: PathBuf,
        rows: u64,
        head: String,
    }

    async fn good() -> Good {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("good.db");
        let store = Store::open(&path).await.unwrap();
        let (rows, head) = ledger::fill(&store, &Place::from(path.as_path())).await;
        store.close_as_one_file().await.unwrap();
        Good {
            folder,
            path,
            rows,
            head,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_ledger_that_is_corrupted_is_good_and_holds_every_kind_of_document() {
        let good = good().await;
        let asked = Asked::of(good.path.to_str().unwrap(), &good.head);
        let verdict = asked.verdict().await;
        assert_eq!(verdict.code, Some(0), "{verdict:?}");
        let mut prompt = Prompt::file(&good.path).await;
        let kinds = prompt.number("SELECT COUNT(DISTINCT kind) FROM document");
        assert_eq!(kinds.await, documents::KINDS);
        let many = "SELECT COUNT(*) FROM fact WHERE estimated = 1 AND lower_at IS NOT NULL";
        assert!(prompt.number(many).await > 5);
        assert!(prompt.number("SELECT COUNT(*) FROM posting").await > 5);
        assert!(prompt.number("SELECT COUNT(*) FROM hole").await > 5);
        assert_eq!(prompt.number("SELECT COUNT(*) FROM cursor").await, 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_change_of_a_file_that_is_read_is_found_and_its_page_or_row_named() {
        let good = good().await;
        let file = fs::read(&good.path).unwrap();
        let map = files::map(&good.path, &file).await;
        let (file, map, good) = (&file, &map, &good);
        all(async |number, chance| {
            let (what, changed) = files::change(file, map, chance);
            let path = good.folder.path().join(format!("{number}.db"));
            fs::write(&path, changed).unwrap();
            let asked = Asked::of(path.to_str().unwrap(), &good.head);
            let verdict = asked.verdict().await;
            for beside in ["db", "db-wal", "db-shm"] {
                fs::remove_file(path.with_extension(beside)).ok();
            }
            let tree = what.tree.as_deref();
            verdict
                .names_a_place(tree)
                .map_err(|why| format!("{}: {why}", what.text))
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_change_of_rows_in_sqlite_is_found_and_its_row_named() {
        let good = good().await;
        let good = &good;
        all(async |number, chance| {
            let path = good.folder.path().join(format!("{number}.db"));
            fs::copy(&good.path, &path).unwrap();
            let mut prompt = Prompt::file(&path).await;
            let tampered = Tampered::by_chance(&mut prompt, good.rows, chance).await;
            prompt.close().await;
            let asked = Asked::of(path.to_str().unwrap(), &good.head);
            let verdict = asked.verdict().await;
            for beside in ["db", "db-wal", "db-shm"] {
                fs::remove_file(path.with_extension(beside)).ok();
            }
            tampered.is_named_by(&verdict)
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_change_of_rows_in_postgresql_is_found_and_its_row_named() {
        let database = PostgresServer::shared().unwrap().database().unwrap();
        let roles = Roles {
            service: Some(database.service_role.clone()),
            reader: Some(database.reader_role.clone()),
        };
        let owner: Place = database.owner.parse().unwrap();
        Store::migrate(&owner, &roles).await.unwrap();
        let service: Place = database.service.parse().unwrap();
        let store = Store::open(&service).await.unwrap();
        let (rows, head) = ledger::fill(&store, &owner).await;
        store.close().await.unwrap();

        // one database, so one after the other
        let prompt = Prompt::server(&database.owner).await;
        let prompt = tokio::sync::Mutex::new(prompt);
        prompt.lock().await.keep().await;
        let (asked, prompt) = (Asked::of(&database.reader, &head), &prompt);
        let verdict = asked.verdict().await;
        assert_eq!(verdict.code, Some(0), "{verdict:?}");
        let asked = &asked;
        all(async |_, chance| {
            let mut prompt = prompt.lock().await;
            let tampered = Tampered::by_chance(&mut prompt, rows, chance).await;
            let verdict = asked.verdict().await;
            prompt.put_back().await;
            tampered.is_named_by(&verdict)
        })
        .await;
        let verdict = asked.verdict().await;
        assert_eq!(verdict.code, Some(0), "it was not put back: {verdict:?}");
    }
}
