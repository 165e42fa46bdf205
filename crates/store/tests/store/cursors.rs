//! The places of watches, which no chain covers, are trusted only as they were written.

use std::fmt::Debug;

use leasehold_ledger::canonical::digest_bytes;
use leasehold_store::{Batch, Cursor, Store, StoreError};

use crate::fixtures::{Home, at, on_both, one_of_each};

on_both!(
    a_changed_value_of_a_cursor_is_seen_wherever_it_is_read,
    a_cursor_that_moves_again_is_trusted_with_its_new_values,
    a_mark_of_a_copy_that_was_changed_does_not_pass_for_a_finished_one,
    cursors_of_an_older_schema_get_their_digests_and_a_writer_of_it_is_locked_out,
);

/// What somebody may do to the row of the pods, which is the second by its source.
const CHANGES: [&str; 7] = [
    "UPDATE cursor SET observed_at = observed_at + 3600 WHERE source = 'pods'",
    "UPDATE cursor SET complete_to = complete_to - 1 WHERE source = 'pods'",
    "UPDATE cursor SET complete_to = NULL WHERE source = 'pods'",
    "UPDATE cursor SET resource_version = '8' WHERE source = 'pods'",
    "UPDATE cursor SET source = 'podt' WHERE source = 'pods'",
    "UPDATE cursor SET digest = '' WHERE source = 'pods'",
    "UPDATE cursor SET digest = (SELECT digest FROM cursor WHERE source = 'claims') \
     WHERE source = 'pods'",
];

/// The tables of a schema that knows no digests, for each database.
const OLDER: [[(&str, &str); 4]; 2] = [
    [
        (
            "ledger",
            include_str!("../../migrations/sqlite/0001_ledger.sql"),
        ),
        (
            "append_only",
            include_str!("../../migrations/sqlite/0002_append_only.sql"),
        ),
        (
            "leader",
            include_str!("../../migrations/sqlite/0003_leader.sql"),
        ),
        (
            "archive",
            include_str!("../../migrations/sqlite/0004_archive.sql"),
        ),
    ],
    [
        (
            "ledger",
            include_str!("../../migrations/postgres/0001_ledger.sql"),
        ),
        (
            "append_only",
            include_str!("../../migrations/postgres/0002_append_only.sql"),
        ),
        (
            "leader",
            include_str!("../../migrations/postgres/0003_leader.sql"),
        ),
        (
            "archive",
            include_str!("../../migrations/postgres/0004_archive.sql"),
        ),
    ],
];

fn cursor(source: &str, version: &str) -> Cursor {
    Cursor {
        source: source.to_owned(),
        resource_version: version.to_owned(),
        complete_to: Some(at(60)),
        observed_at: at(61),
    }
}

async fn moved(store: &Store, version: &str) {
    let batch = one_of_each()
        .with_cursor(cursor("claims", version))
        .with_cursor(cursor("pods", version));
    store.commit(&batch, at(0)).await.unwrap();
}

fn expect_named<T: Debug>(result: &Result<T, StoreError>, change: &str) {
    let Err(StoreError::Corrupt { seq: 0, what }) = result else {
        panic!("{change}: expected a damaged cursor, got {result:?}");
    };
    assert!(what.starts_with("row 2 of cursor"), "{change}: {what}");
}

async fn a_changed_value_of_a_cursor_is_seen_wherever_it_is_read(home: Home) {
    for change in CHANGES {
        let home = home.another();
        let store = home.open().await;
        moved(&store, "7").await;
        store.integrity().await.unwrap();
        home.prompt().await.run(change).await.unwrap();

        expect_named(&store.cursor("pods").await, change);
        // its name may be what was changed
        expect_named(&store.cursor("claims").await, change);
        expect_named(&store.cursors().await, change);
        expect_named(&store.check_cursors().await, change);
        expect_named(&store.integrity().await, change);
        assert!(store.troubles().is_damaged(), "{change}");

        let target = Home::file();
        let copy = target.open().await;
        expect_named(&store.copy_into(&copy, |_| ()).await, change);
    }
}

async fn a_cursor_that_moves_again_is_trusted_with_its_new_values(home: Home) {
    let store = home.open().await;
    moved(&store, "7").await;
    let unknown = Cursor {
        complete_to: None,
        ..cursor("pods", "")
    };
    let batch = Batch::default().with_cursor(unknown.clone());
    store.commit(&batch, at(70)).await.unwrap();
    assert_eq!(store.cursor("pods").await.unwrap(), Some(unknown));
    assert_eq!(
        store.cursor("claims").await.unwrap(),
        Some(cursor("claims", "7"))
    );
    store.integrity().await.unwrap();
}

async fn a_mark_of_a_copy_that_was_changed_does_not_pass_for_a_finished_one(home: Home) {
    let original = Home::file();
    let store = original.open().await;
    moved(&store, "7").await;
    let copy = home.open().await;
    store.copy_into(&copy, |_| ()).await.unwrap();
    copy.close().await.unwrap();
    let mut prompt = home.prompt().await;
    let changed = "UPDATE cursor SET resource_version = 'finishee' WHERE source = '(copy)'";
    prompt.run(changed).await.unwrap();
    let refused = Store::open(home.place()).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Corrupt { what, .. } if what.starts_with("row 1 of cursor")),
        "{refused}"
    );
}

async fn cursors_of_an_older_schema_get_their_digests_and_a_writer_of_it_is_locked_out(home: Home) {
    let [sqlite, postgres] = &OLDER;
    let (steps, begin) = match &home {
        Home::File(_) => (
            sqlite,
            // to the letter: the definitions in a file are compared with those of the migrations
            "CREATE TABLE migration (
    version INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    digest  TEXT    NOT NULL
) STRICT",
        ),
        Home::Server(_) => (
            postgres,
            "CREATE SCHEMA leasehold; CREATE TABLE migration (version BIGINT NOT NULL PRIMARY KEY, \
             name TEXT NOT NULL, digest TEXT NOT NULL)",
        ),
    };
    let mut prompt = home.prompt().await;
    prompt.run(begin).await.unwrap();
    for (version, (name, text)) in (1..).zip(steps) {
        prompt.run(text).await.unwrap();
        let digest = digest_bytes(text.as_bytes());
        let noted = format!("INSERT INTO migration VALUES ({version}, '{name}', '{digest}')");
        prompt.run(&noted).await.unwrap();
    }
    let (to, seen) = (at(60).get(), at(61).get());
    for sql in [
        "UPDATE leader SET epoch = 5, holder = 'an older version'".to_owned(),
        format!("INSERT INTO cursor VALUES ('claims', '', NULL, {seen})"),
        format!("INSERT INTO cursor VALUES ('pods', '7', {to}, {seen})"),
    ] {
        prompt.run(&sql).await.unwrap();
    }

    home.migrate().await;
    if let Home::Server(_) = &home {
        // whoever still writes in epoch 5 is told that somebody took over
        assert_eq!(prompt.number("SELECT epoch FROM leader").await, 6);
    }
    let store = home.open().await;
    assert!(store.epoch() > Some(5));
    let lost = Cursor {
        complete_to: None,
        ..cursor("claims", "")
    };
    assert_eq!(store.cursors().await.unwrap(), [lost, cursor("pods", "7")]);
    store.integrity().await.unwrap();
}
