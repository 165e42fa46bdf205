//! One writer, many readers, and files that are not ours.

use leasehold_ledger::journal::ChainRow;
use leasehold_store::{FactFilter, Store, StoreError};
use sqlx::{Executor, Row};

use crate::fixtures::{Home, at, fact, facts, on_both, one_of_each, prompt};

on_both!(
    the_chain_goes_on_where_it_ended_after_the_ledger_is_opened_again,
    a_second_writer_is_refused_while_the_first_holds_the_lock,
    a_reader_beside_the_writer_sees_what_is_committed_and_writes_nothing,
    a_ledger_is_readable_when_no_writer_runs,
    a_database_of_a_newer_program_is_refused_for_writing_and_for_reading,
    a_database_with_a_step_missing_is_migrated_by_its_owner_and_refused_by_a_reader,
);

async fn the_chain_goes_on_where_it_ended_after_the_ledger_is_opened_again(home: Home) {
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

async fn a_second_writer_is_refused_while_the_first_holds_the_lock(home: Home) {
    let first = home.open().await;

    let refused = Store::open(home.place()).await.unwrap_err();
    let StoreError::Locked { holder, .. } = &refused else {
        panic!("expected Locked, got {refused}");
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");

    let clone = first.clone();
    first.close().await.unwrap();
    assert!(
        Store::open(home.place()).await.is_err(),
        "a clone still holds the lock"
    );
    drop(clone);
    assert!(Store::open(home.place()).await.is_ok());
}

async fn a_reader_beside_the_writer_sees_what_is_committed_and_writes_nothing(home: Home) {
    let writer = home.open().await;
    let reader = Store::open_read_only(home.place()).await.unwrap();
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

async fn a_ledger_is_readable_when_no_writer_runs(home: Home) {
    let writer = home.open().await;
    writer.commit(&one_of_each(), at(0)).await.unwrap();
    writer.close().await.unwrap();
    let reader = Store::open_read_only(home.place()).await.unwrap();
    assert_eq!(reader.integrity().await.unwrap().rows, 4);
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let home = Home::file();
    let place = home.place();
    let mut other = prompt(place.file().unwrap()).await;
    other
        .execute("CREATE TABLE song (title TEXT)")
        .await
        .unwrap();

    for refused in [
        Store::open(home.place()).await.unwrap_err(),
        Store::open_read_only(home.place()).await.unwrap_err(),
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
    let home = Home::file();
    let place = home.place();
    assert!(Store::open_read_only(&place).await.is_err());
    assert!(!place.file().unwrap().exists());
}

async fn a_database_of_a_newer_program_is_refused_for_writing_and_for_reading(home: Home) {
    home.open().await.close().await.unwrap();
    let mut prompt = home.prompt().await;
    prompt
        .run("INSERT INTO migration VALUES (99, 'later', 'sha256:00')")
        .await
        .unwrap();

    for refused in [
        Store::open(home.place()).await.unwrap_err(),
        Store::open_read_only(home.place()).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::SchemaVersion { found: 99, .. }),
            "{refused}"
        );
    }
}

async fn a_database_with_a_step_missing_is_migrated_by_its_owner_and_refused_by_a_reader(
    home: Home,
) {
    let mut prompt = home.prompt().await;
    let table = match &home {
        Home::File(_) => {
            "CREATE TABLE migration (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
             digest TEXT NOT NULL) STRICT"
        }
        // without the table, which the reader could not read
        Home::Server(_) => "CREATE SCHEMA leasehold",
    };
    prompt.run(table).await.unwrap();

    let refused = Store::open_read_only(home.place()).await.unwrap_err();
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
