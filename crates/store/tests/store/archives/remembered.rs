//! What a ledger remembers of the objects that it archived is no part of the chain, and is held against its archives.

use leasehold_ledger::document::ArchiveDoc;
use leasehold_store::{ArchiveFile, Archived, Store, StoreError};

use super::archive;
use super::months::Months;
use crate::fixtures::{Home, on_both};

on_both!(
    a_mark_that_fits_no_archive_is_seen_without_the_archives,
    an_object_too_many_or_too_few_is_seen_with_its_archive,
    a_ledger_that_never_archived_remembers_nothing,
);

/// The ledger of three months, of which the first is archived.
async fn archived(home: &Home, folder: &tempfile::TempDir) -> (Store, Archived) {
    let store = home.open().await;
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let archived = archive(home, &months, folder).await;
    (store, archived)
}

fn is_corrupt<T>(result: &Result<T, StoreError>, expected: u64) -> bool {
    matches!(result, Err(StoreError::Corrupt { seq, .. }) if *seq == expected)
}

async fn a_mark_that_fits_no_archive_is_seen_without_the_archives(home: Home) {
    for (object, until) in [
        ("sealed", Months::start(2)),
        ("forgotten", Months::start(1)),
        ("00000000000000000000000000000000", Months::start(2)),
    ] {
        let home = home.another();
        let folder = tempfile::tempdir().unwrap();
        let (store, archived) = archived(&home, &folder).await;
        assert!(store.integrity().await.is_ok());
        let mut prompt = home.prompt().await;
        let sql = format!(
            "INSERT INTO archived_object (object, until) VALUES ('{object}', {})",
            until.get()
        );
        prompt.run(&sql).await.unwrap();
        let found = store.integrity().await;
        assert!(is_corrupt(&found, archived.seq), "{object}: {found:?}");
        let found = store.check_beside().await;
        assert!(is_corrupt(&found, archived.seq), "{object}: {found:?}");
    }
}

async fn an_object_too_many_or_too_few_is_seen_with_its_archive(home: Home) {
    let until = Months::start(1).get();
    for sql in [
        format!(
            "INSERT INTO archived_object (object, until) \
             VALUES ('00000000000000000000000000000000', {until})"
        ),
        "DELETE FROM archived_object WHERE object = \
         (SELECT MIN(object) FROM archived_object)"
            .to_owned(),
    ] {
        let home = home.another();
        let folder = tempfile::tempdir().unwrap();
        let (store, archived) = archived(&home, &folder).await;
        let file = ArchiveFile::open(&archived.file).await.unwrap();
        let documents = store.documents::<ArchiveDoc>(None, None).await.unwrap();
        let document = documents.last().unwrap();
        assert_eq!(document.seq, archived.seq);
        store.check_objects(document, &file).await.unwrap();
        let mut prompt = home.prompt().await;
        prompt.disarm("archived_object").await;
        prompt.run(&sql).await.unwrap();
        let found = store.check_objects(document, &file).await;
        assert!(is_corrupt(&found, archived.seq), "{sql}: {found:?}");
    }
}

async fn a_ledger_that_never_archived_remembers_nothing(home: Home) {
    let store = home.open().await;
    let mut months = Months::begin(&store).await;
    months.play(&store, 1).await;
    assert!(store.integrity().await.is_ok());
    let mut prompt = home.prompt().await;
    prompt
        .run("INSERT INTO archived_object (object, until) VALUES ('sealed', 7)")
        .await
        .unwrap();
    let found = store.integrity().await;
    assert!(is_corrupt(&found, 0), "{found:?}");
}
