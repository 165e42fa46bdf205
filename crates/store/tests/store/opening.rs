//! One writer, many readers, and files that are not ours.

use leasehold_ledger::journal::ChainRow;
use leasehold_store::{FactFilter, Store, StoreError};
use sqlx::{Executor, Row};

use crate::fixtures::{Home, at, fact, facts, one_of_each, prompt};

#[tokio::test]
async fn the_chain_goes_on_where_it_ended_after_the_ledger_is_opened_again() {
    let home = Home::new();
    let store = home.open().await;
    let before = store.commit(&one_of_each(), at(0)).await.unwrap();
    store.close().await.unwrap();

    let store = home.open().await;
    assert_eq!(store.head().await.unwrap(), (4, before.head.clone()));
    let known = store.commit(&one_of_each(), at(1)).await.unwrap();
    assert_eq!((known.appended, known.unchanged), (vec![], 4));
    let after = store
        .commit(&facts([fact("web-2", 8)]), at(2))
        .await
        .unwrap();

    let rows = store.rows(4, 10).await.unwrap();
    let [row] = rows.as_slice() else {
        panic!("expected one row, got {rows:?}");
    };
    let digest = row.chain.digest.clone();
    let expected = ChainRow::after(
        Some((4, &before.head)),
        "fact",
        &fact("web-2", 8).key(),
        digest,
    );
    assert_eq!(row.chain, expected);
    assert_eq!(after.head, expected.hash);
    assert_eq!(store.integrity().await.unwrap().rows, 5);
}

#[tokio::test]
async fn a_second_writer_is_refused_while_the_first_holds_the_lock() {
    let home = Home::new();
    let first = home.open().await;

    let refused = Store::open(&home.path()).await.unwrap_err();
    let StoreError::Locked { holder, .. } = &refused else {
        panic!("expected Locked, got {refused}");
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");

    let clone = first.clone();
    first.close().await.unwrap();
    assert!(
        Store::open(&home.path()).await.is_err(),
        "a clone still holds the lock"
    );
    drop(clone);
    assert!(Store::open(&home.path()).await.is_ok());
}

#[tokio::test]
async fn a_reader_beside_the_writer_sees_what_is_committed_and_writes_nothing() {
    let home = Home::new();
    let writer = home.open().await;
    let reader = Store::open_read_only(&home.path()).await.unwrap();
    assert_eq!(reader.head().await.unwrap().0, 0);

    writer
        .commit(&facts([fact("web-1", 7)]), at(0))
        .await
        .unwrap();

    let seen = reader.facts(&FactFilter::default()).await.unwrap();
    assert_eq!(seen.len(), 1);
    let refused = reader
        .commit(&facts([fact("web-2", 8)]), at(1))
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
}

#[tokio::test]
async fn a_ledger_is_readable_when_no_writer_runs() {
    let home = Home::new();
    let writer = home.open().await;
    writer.commit(&one_of_each(), at(0)).await.unwrap();
    writer.close().await.unwrap();
    let reader = Store::open_read_only(&home.path()).await.unwrap();
    assert_eq!(reader.integrity().await.unwrap().rows, 4);
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let home = Home::new();
    let mut other = prompt(&home.path()).await;
    other
        .execute("CREATE TABLE song (title TEXT)")
        .await
        .unwrap();

    for refused in [
        Store::open(&home.path()).await.unwrap_err(),
        Store::open_read_only(&home.path()).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::NotALedger { .. }),
            "{refused}"
        );
    }
    let tables = other
        .fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'")
        .await
        .unwrap();
    assert_eq!(tables.len(), 1, "nothing was added to it");
    let mode: String = other.fetch_one("PRAGMA journal_mode").await.unwrap().get(0);
    assert_eq!(mode, "delete", "it still has SQLite's usual journal");
}

#[tokio::test]
async fn reading_a_file_that_does_not_exist_fails_and_makes_none() {
    let home = Home::new();
    assert!(Store::open_read_only(&home.path()).await.is_err());
    assert!(!home.path().exists());
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_for_writing_and_for_reading() {
    let home = Home::new();
    home.open().await.close().await.unwrap();
    let mut prompt = home.prompt().await;
    prompt
        .execute("INSERT INTO migration VALUES (99, 'later', 'sha256:00')")
        .await
        .unwrap();

    for refused in [
        Store::open(&home.path()).await.unwrap_err(),
        Store::open_read_only(&home.path()).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::SchemaVersion { found: 99, .. }),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_database_with_a_step_missing_is_migrated_by_the_writer_and_refused_by_a_reader() {
    let home = Home::new();
    let mut prompt = home.prompt().await;
    prompt
        .execute(
            "CREATE TABLE migration (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
             digest TEXT NOT NULL) STRICT",
        )
        .await
        .unwrap();

    let refused = Store::open_read_only(&home.path()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::SchemaVersion { found: 0, .. }),
        "{refused}"
    );
    let store = home.open().await;
    assert_eq!(
        store.commit(&one_of_each(), at(0)).await.unwrap().head_seq,
        4
    );
}
