//! A ledger taken from one database into another.

use leasehold_ledger::verify::verify;
use leasehold_store::{Batch, Cursor, Integrity, Place, Record, Store, StoreError};

use crate::fixtures::{Home, at, effective, entry, fact, facts, on_both, one_of_each};

on_both!(
    a_copy_has_the_same_rows_hashes_times_and_places_of_watches,
    a_ledger_goes_through_a_backup_file_into_an_empty_ledger_of_either_kind,
    a_copy_that_was_broken_off_goes_on_and_one_that_grew_is_followed,
    a_copy_that_was_broken_off_is_no_ledger_to_go_on_with_until_it_is_complete,
    another_ledger_is_not_written_over,
    a_damaged_ledger_is_not_copied,
    a_process_that_had_the_original_open_cannot_write_into_the_copy,
);

fn cursor(version: &str) -> Cursor {
    Cursor {
        source: "pods".to_owned(),
        resource_version: version.to_owned(),
        complete_to: Some(at(60)),
        observed_at: at(61),
    }
}

/// 1,604 rows: more than a page, with everything in it.
async fn fill(store: &Store) {
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let many = (0..1600).map(|n| fact(&format!("pod-{n}"), n));
    let batch = facts(many).with_cursor(cursor("7"));
    store.commit(&batch, at(100)).await.unwrap();
}

async fn expect_same(a: &Store, b: &Store) {
    assert_eq!(a.head().await.unwrap(), b.head().await.unwrap());
    assert_eq!(a.integrity().await.unwrap(), b.integrity().await.unwrap());
    assert_eq!(
        a.rows(0, 5000).await.unwrap(),
        b.rows(0, 5000).await.unwrap()
    );
    assert_eq!(a.cursors().await.unwrap(), b.cursors().await.unwrap());
    assert_eq!(a.rehearsal().await.unwrap(), b.rehearsal().await.unwrap());
    let report = verify(
        b.rows(0, 5000)
            .await
            .unwrap()
            .into_iter()
            .map(Ok::<_, StoreError>),
        None,
    );
    // facts of no lease and a close of nothing are in it: what matters is that both say the same
    let original = verify(
        a.rows(0, 5000)
            .await
            .unwrap()
            .into_iter()
            .map(Ok::<_, StoreError>),
        None,
    );
    assert_eq!(report, original);
}

async fn a_copy_has_the_same_rows_hashes_times_and_places_of_watches(home: Home) {
    let store = home.open().await;
    fill(&store).await;
    for target in [Home::file(), Home::server()] {
        let copy = target.open().await;
        let mut told = Vec::new();
        let copied = store.copy_into(&copy, |row| told.push(row)).await.unwrap();
        let (rows, head) = store.head().await.unwrap();
        assert_eq!(copied, Integrity { rows, head });
        assert_eq!(told, [1000, 1604]);
        expect_same(&store, &copy).await;
        let mut prompt = target.prompt().await;
        let early = "SELECT COUNT(*) FROM chain WHERE inserted_at = \
             (SELECT inserted_at FROM chain WHERE seq = 1)";
        assert_eq!(prompt.number(early).await, 4);
    }
}

async fn a_ledger_goes_through_a_backup_file_into_an_empty_ledger_of_either_kind(home: Home) {
    let store = home.open().await;
    fill(&store).await;
    let folder = tempfile::tempdir().unwrap();
    let file = Place::from(folder.path().join("backup.db"));
    let backup = Store::open(&file).await.unwrap();
    store.copy_into(&backup, |_| ()).await.unwrap();
    backup.close_as_one_file().await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["backup.db"],
        "it is one file, with nothing beside it"
    );

    for target in [Home::file(), Home::server()] {
        let backup = Store::open_read_only(&file).await.unwrap();
        let restored = target.open().await;
        backup.copy_into(&restored, |_| ()).await.unwrap();
        expect_same(&store, &restored).await;
        restored.close().await.unwrap();
        // it is a ledger to go on with
        let restored = target.open().await;
        let more = restored
            .commit(&facts([fact("later", 9)]), at(200))
            .await
            .unwrap();
        assert_eq!(more.appended, [1605]);
    }
}

async fn a_copy_that_was_broken_off_goes_on_and_one_that_grew_is_followed(home: Home) {
    let store = home.open().await;
    let target = Home::file();
    let copy = target.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    store.copy_into(&copy, |_| ()).await.unwrap();
    copy.close().await.unwrap();
    let more = Batch::of(vec![
        Record::document(&effective("web", 1)).unwrap(),
        Record::from(entry("2026-09")),
    ]);
    store.commit(&more, at(1)).await.unwrap();

    let copy = target.open().await;
    let mut told = Vec::new();
    let copied = store.copy_into(&copy, |row| told.push(row)).await.unwrap();
    assert_eq!((copied.rows, told), (6, vec![6]));
    expect_same(&store, &copy).await;
}

async fn a_copy_that_was_broken_off_is_no_ledger_to_go_on_with_until_it_is_complete(home: Home) {
    let store = home.open().await;
    fill(&store).await;
    let mut prompt = home.prompt().await;
    prompt.disarm("fact").await;
    let spoil = "UPDATE fact SET quantity = quantity + 1 WHERE seq = 1500";
    prompt.run(spoil).await.unwrap();
    let target = home.another();
    let copy = target.open().await;
    assert!(
        store.copy_into(&copy, |_| ()).await.is_err(),
        "it is damaged"
    );
    copy.close().await.unwrap();
    let refused = Store::open(target.place()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Unfinished { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("leasehold restore"),
        "{refused}"
    );

    let mend = "UPDATE fact SET quantity = quantity - 1 WHERE seq = 1500";
    prompt.run(mend).await.unwrap();
    let copy = Store::open_to_copy_into(target.place()).await.unwrap();
    store.copy_into(&copy, |_| ()).await.unwrap();
    // the original's own check tells of the triggers that were taken away for this
    let whole = copy.integrity().await.unwrap();
    assert_eq!((whole.rows, whole.head), store.head().await.unwrap());
    copy.close().await.unwrap();
    assert!(Store::open(target.place()).await.is_ok());
}

async fn another_ledger_is_not_written_over(home: Home) {
    let store = home.open().await;
    fill(&store).await;
    let target = home.another();
    let other = target.open().await;
    other
        .commit(&facts([fact("other", 1)]), at(0))
        .await
        .unwrap();
    let refused = store.copy_into(&other, |_| ()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::AnotherLedger { rows: 1, .. }),
        "{refused}"
    );
    assert_eq!(other.integrity().await.unwrap().rows, 1);
}

async fn a_damaged_ledger_is_not_copied(home: Home) {
    let store = home.open().await;
    fill(&store).await;
    let mut prompt = home.prompt().await;
    prompt.disarm("fact").await;
    prompt
        .run("UPDATE fact SET quantity = quantity + 1 WHERE seq = 1500")
        .await
        .unwrap();
    let copy = Store::in_memory().await.unwrap();
    let refused = store.copy_into(&copy, |_| ()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Corrupt { seq: 1500, .. }),
        "{refused}"
    );
    assert_eq!(
        copy.head().await.unwrap().0,
        1000,
        "only whole pages were taken"
    );
}

async fn a_process_that_had_the_original_open_cannot_write_into_the_copy(home: Home) {
    let store = home.open().await;
    store.close().await.unwrap();
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let target = home.another();
    let copy = target.open().await;
    store.copy_into(&copy, |_| ()).await.unwrap();
    let refused = copy.commit(&one_of_each(), at(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { .. }), "{refused}");
    copy.close().await.unwrap();
    let copy = target.open().await;
    // the original has epoch 2, the copy had 1: 3 was taken at its end
    assert_eq!(copy.epoch(), Some(4));
}
