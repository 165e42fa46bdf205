//! Facts of closed periods leave the ledger for archives, and nothing else does.

mod beside;
mod months;
mod remembered;
mod told;

use std::fs;

use leasehold_ledger::archive::Hole;
use leasehold_ledger::document::ArchiveDoc;
use leasehold_ledger::fact::FactKind;
use leasehold_ledger::verify::{Pieces, Report, Row, verify_pieces};
use leasehold_store::{ArchiveFile, Archived, FactFilter, Keeper, Place, Store, StoreError};
use tempfile::TempDir;

use self::months::{Months, pod};
use crate::fixtures::{Home, facts, on_both};

on_both!(
    an_archived_period_is_proven_with_its_archive_and_without_it,
    an_archive_is_made_once_and_not_before_its_time,
    what_is_told_again_is_known_and_what_was_never_told_is_kept,
    whoever_is_stopped_in_the_middle_has_changed_nothing_and_completes_it_later,
    a_file_that_somebody_else_has_put_there_is_never_written_over,
    a_file_that_was_changed_since_is_not_trusted,
    what_came_of_an_object_meanwhile_keeps_it_in_the_ledger,
    the_writer_goes_on_beside_an_archive,
    rows_leave_only_through_an_archive_and_come_back_never,
    a_copy_has_the_holes_and_knows_what_is_archived,
    thirty_six_months_weigh_as_much_as_twelve,
);

/// Where whoever archives finds the ledger: on a server as the owner of the tables.
fn keepers_place(home: &Home) -> Place {
    match home {
        Home::File(_) => home.place(),
        Home::Server(database) => database.owner.parse().unwrap(),
    }
}

async fn keeper(home: &Home) -> Keeper {
    Keeper::open(keepers_place(home)).await.unwrap()
}

/// Archives the oldest period that is due.
async fn archive(home: &Home, months: &Months, folder: &TempDir) -> Archived {
    let keeper = keeper(home).await;
    let due = keeper.store().due_archives(30, months.now()).await.unwrap();
    let archived = keeper.archive(&due[0], folder.path(), months.now()).await;
    keeper.close().await.unwrap();
    archived.unwrap().unwrap()
}

/// The ledger with these archives at hand.
async fn verified(store: &Store, archives: &[&Archived]) -> Report {
    let mut rows: Vec<Row> = Vec::new();
    for archived in archives {
        let file = ArchiveFile::open(&archived.file).await.unwrap();
        file.check(&archived.document).await.unwrap();
        rows.extend(file.rows(0, 100_000).await.unwrap());
    }
    rows.sort_by_key(|row| row.chain.seq);
    let live = store.rows(0, 100_000).await.unwrap();
    let holes: Vec<Hole> = store.holes().await.unwrap();
    let pieces = Pieces::new(
        live.into_iter().map(Ok::<_, StoreError>),
        rows.into_iter().map(Ok),
        &holes,
    );
    verify_pieces(pieces, &holes, None)
}

async fn uids(store: &Store) -> Vec<String> {
    let facts = store.facts(&FactFilter::default()).await.unwrap();
    facts
        .into_iter()
        .map(|fact| fact.value.source.uid)
        .collect()
}

async fn an_archived_period_is_proven_with_its_archive_and_without_it(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let (head, before) = (store.head().await.unwrap(), uids(&store).await.len());

    let archived = archive(&home, &months, &folder).await;
    assert_eq!(archived.document.period, "2026-09");
    assert_eq!(archived.document.file, "facts-2026-09.db");
    assert_eq!(archived.seq, head.0 + 1);
    // ten pods of a month, each with a beginning and an end; one goes on into the next one, and of one the end is estimated
    assert_eq!(archived.document.rows, 16);
    let left = uids(&store).await;
    assert_eq!(left.len(), before - 16);
    assert!(!left.contains(&"m0-p3".to_owned()));
    assert!(left.contains(&"m0-p9".to_owned()) && left.contains(&"forever".to_owned()));
    assert_eq!(store.integrity().await.unwrap().rows, archived.seq);

    let without = verified(&store, &[]).await;
    assert_eq!((without.finding, without.archived), (None, 16));
    let sealed: Vec<bool> = without.periods.iter().map(|period| period.sealed).collect();
    assert_eq!(sealed, [true, false, false]);
    let with = verified(&store, &[&archived]).await;
    assert_eq!((with.finding, with.archived), (None, 0));
    assert_eq!(with.rows, archived.seq);
    assert!(
        with.periods
            .iter()
            .all(|period| period.ok && !period.sealed)
    );

    let file = ArchiveFile::open(&archived.file).await.unwrap();
    let of_pod = FactFilter {
        tenancy: Some("oa".to_owned()),
        uid: Some("m0-p3".to_owned()),
        ..FactFilter::default()
    };
    let kinds: Vec<FactKind> = file
        .facts(&of_pod)
        .await
        .unwrap()
        .iter()
        .map(|fact| fact.value.kind)
        .collect();
    assert_eq!(kinds, [FactKind::Opened, FactKind::Closed]);
}

async fn an_archive_is_made_once_and_not_before_its_time(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 2).await;
    let keeper = keeper(&home).await;
    let now = months.now();
    let names = async |days: u32| -> Vec<String> {
        let due = keeper.store().due_archives(days, now).await.unwrap();
        due.into_iter().map(|due| due.period).collect()
    };
    // they were closed two days after their ends, and the second one is that of now
    assert_eq!(names(32).await, [""; 0]);
    assert_eq!(names(30).await, ["2026-09"]);
    assert_eq!(names(0).await, ["2026-09", "2026-10"]);
    let due = keeper.store().due_archives(30, now).await.unwrap();
    assert_eq!(keeper.weigh(&due[0]).await.unwrap(), 16);
    let first = keeper.archive(&due[0], folder.path(), now).await.unwrap();
    assert!(first.is_some());
    let again = keeper.archive(&due[0], folder.path(), now).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(names(30).await, [""; 0]);
    // what went on in October goes with it, and the estimated end of September waits for another month
    let next = keeper.store().due_archives(0, now).await.unwrap();
    let second = keeper.archive(&next[0], folder.path(), now).await;
    assert_eq!(second.unwrap().unwrap().document.rows, 18);
    assert_eq!(verified(&store, &[]).await.finding, None);
}

async fn what_is_told_again_is_known_and_what_was_never_told_is_kept(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    archive(&home, &months, &folder).await;
    let (head, _) = store.head().await.unwrap();

    let again = facts(months.pods(0));
    let committed = store.commit(&again, months.now()).await.unwrap();
    assert_eq!(
        (committed.appended, committed.unchanged),
        (Vec::<u64>::new(), 20)
    );
    // the end of a pod that nobody has told of before: it came too late, and is counted and kept
    let start = Months::start(0);
    let late = [
        pod("late", FactKind::Opened, start.plus(5)),
        pod("late", FactKind::Closed, start.plus(6)),
        // another life of an object whose first one is archived
        pod("m0-p3", FactKind::Opened, Months::start(2).plus(7)),
    ];
    let committed = store.commit(&facts(late), months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 1, head + 2, head + 3]);
}

async fn whoever_is_stopped_in_the_middle_has_changed_nothing_and_completes_it_later(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let before = (store.head().await.unwrap(), uids(&store).await);
    let mut prompt = home.prompt().await;
    let (set, free) = match &home {
        Home::File(_) => (
            "CREATE TRIGGER stop BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'stopped'); END",
            "DROP TRIGGER stop",
        ),
        Home::Server(_) => (
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''stopped''; END'; \
             CREATE TRIGGER stop BEFORE DELETE ON chain EXECUTE FUNCTION stop()",
            "DROP TRIGGER stop ON chain",
        ),
    };
    prompt.run(set).await.unwrap();
    let keeper = keeper(&home).await;
    let due = keeper.store().due_archives(30, months.now()).await.unwrap();
    // the facts were taken out already, within the transaction
    let stopped = keeper.archive(&due[0], folder.path(), months.now()).await;
    assert!(
        matches!(stopped, Err(StoreError::Database { .. })),
        "{stopped:?}"
    );
    assert_eq!((store.head().await.unwrap(), uids(&store).await), before);
    assert_eq!(store.holes().await.unwrap(), []);
    assert_eq!(verified(&store, &[]).await.finding, None);

    prompt.run(free).await.unwrap();
    // of an attempt that ended while it wrote, the half of a file is there
    fs::write(folder.path().join("facts-2026-09.db.part"), b"half").unwrap();
    assert!(folder.path().join("facts-2026-09.db").exists());
    let done = keeper.archive(&due[0], folder.path(), months.now()).await;
    let done = done.unwrap().unwrap();
    assert_eq!(done.document.rows, 16);
    assert_eq!(verified(&store, &[&done]).await.finding, None);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["facts-2026-09.db", "facts.lock"]);
}

async fn a_file_that_somebody_else_has_put_there_is_never_written_over(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 2).await;
    let file = folder.path().join("facts-2026-09.db");
    fs::write(&file, b"not ours").unwrap();
    let keeper = keeper(&home).await;
    let due = keeper.store().due_archives(30, months.now()).await.unwrap();
    let refused = keeper.archive(&due[0], folder.path(), months.now()).await;
    assert!(
        matches!(refused, Err(StoreError::Archive { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"not ours");

    // the archive of another ledger, in which one thing more has happened
    fs::remove_file(&file).unwrap();
    let other = Home::file();
    let stranger = other.open().await;
    let more = pod(
        "m0-p3",
        FactKind::Changed,
        Months::start(0).plus(3 * 3600 + 60),
    );
    let mut elsewhere = Months::begin(&stranger).await;
    stranger
        .commit(&facts([more]), Months::start(0))
        .await
        .unwrap();
    elsewhere.play(&stranger, 2).await;
    archive(&other, &elsewhere, &folder).await;
    let refused = keeper.archive(&due[0], folder.path(), months.now()).await;
    assert!(
        matches!(refused, Err(StoreError::Archive { .. })),
        "{refused:?}"
    );
    assert_eq!(store.holes().await.unwrap(), []);
}

async fn a_file_that_was_changed_since_is_not_trusted(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 2).await;
    let archived = archive(&home, &months, &folder).await;
    for sql in [
        "UPDATE archived_row SET body = replace(body, '500', '400') WHERE uid = 'm0-p3'",
        "DELETE FROM archived_row WHERE uid = 'm0-p3'",
    ] {
        let copy = folder.path().join("copy.db");
        fs::copy(&archived.file, &copy).unwrap();
        crate::fixtures::Prompt::Sqlite(crate::fixtures::prompt(&copy).await)
            .run(sql)
            .await
            .unwrap();
        let file = ArchiveFile::open(&copy).await.unwrap();
        let refused = file.check(&archived.document).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Archive { .. }),
            "{sql}: {refused}"
        );
    }
}

async fn what_came_of_an_object_meanwhile_keeps_it_in_the_ledger(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 2).await;
    // after the close of its month it is learned that a pod was larger than it was billed
    let late = pod(
        "m0-p3",
        FactKind::Changed,
        Months::start(0).plus(3 * 3600 + 60),
    );
    store.commit(&facts([late]), months.now()).await.unwrap();
    let archived = archive(&home, &months, &folder).await;
    assert_eq!(archived.document.rows, 14);
    let left = uids(&store).await;
    assert_eq!(left.iter().filter(|uid| *uid == "m0-p3").count(), 3);
}

async fn the_writer_goes_on_beside_an_archive(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 2).await;
    let epoch = store.epoch();
    let archived = archive(&home, &months, &folder).await;
    let one = facts([pod("after", FactKind::Opened, months.now())]);
    let committed = store.commit(&one, months.now()).await.unwrap();
    assert_eq!(committed.appended, [archived.seq + 1]);
    assert_eq!(store.epoch(), epoch);
    let document = store
        .document::<ArchiveDoc>("2026-09")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (document.seq, document.value),
        (archived.seq, archived.document)
    );
}

async fn rows_leave_only_through_an_archive_and_come_back_never(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let archived = archive(&home, &months, &folder).await;
    let hole = store.holes().await.unwrap().remove(0);
    let mut prompt = home.prompt().await;
    // the archive's document is not the head any more
    let one = facts([pod("after", FactKind::Opened, months.now())]);
    store.commit(&one, months.now()).await.unwrap();
    let back = format!(
        "INSERT INTO chain SELECT {}, 'fact', 'back', digest, '{}', hash, 0, epoch FROM chain \
         WHERE seq = {}",
        hole.first, hole.prev, archived.seq
    );
    let wider = format!(
        "INSERT INTO hole SELECT {0}, {0}, prev, hash, 0, {1} FROM chain WHERE seq = {0}",
        archived.seq + 1,
        archived.seq + 2
    );
    for sql in [
        "DELETE FROM fact",
        "DELETE FROM chain WHERE kind = 'fact'",
        "DELETE FROM chain WHERE kind = 'document'",
        "DELETE FROM hole",
        "UPDATE hole SET ended_before = 0",
        "UPDATE archived_object SET until = 0",
        "DELETE FROM archived_object",
        back.as_str(),
        wider.as_str(),
    ] {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only: "), "{sql}: {refused}");
    }
    assert_eq!(verified(&store, &[&archived]).await.finding, None);
    let mut service = home.service_prompt().await;
    if matches!(home, Home::Server(_)) {
        for sql in [
            "DELETE FROM fact",
            "DELETE FROM hole",
            "DELETE FROM archived_object",
        ] {
            let refused = service.run(sql).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{sql}: {refused}");
        }
        let refused = Keeper::open(home.place()).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::TooFewRights { .. }),
            "{refused}"
        );
    }
}

async fn a_copy_has_the_holes_and_knows_what_is_archived(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let archived = archive(&home, &months, &folder).await;
    for target in [Home::file(), Home::server()] {
        let copy = target.open().await;
        let copied = store.copy_into(&copy, |_| ()).await.unwrap();
        assert_eq!(copied.rows, archived.seq);
        assert_eq!(
            copy.integrity().await.unwrap(),
            store.integrity().await.unwrap()
        );
        assert_eq!(copy.holes().await.unwrap(), store.holes().await.unwrap());
        assert_eq!(verified(&copy, &[&archived]).await.finding, None);
        copy.close().await.unwrap();
        let copy = target.open().await;
        let again = copy.commit(&facts(months.pods(0)), months.now()).await;
        assert_eq!(again.unwrap().unchanged, 20);
        copy.close().await.unwrap();
    }
    // a copy from before the next archive cannot be brought up to date: it would have the holes of no archive
    let target = Home::file();
    let copy = target.open().await;
    store.copy_into(&copy, |_| ()).await.unwrap();
    copy.close().await.unwrap();
    archive(&home, &months, &folder).await;
    let copy = target.open().await;
    let refused = store.copy_into(&copy, |_| ()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::AnotherLedger { .. }),
        "{refused}"
    );
}

/// What there is of a ledger: facts, rows of the chain, holes, remembered objects, and kilobytes on the disk.
async fn weight(home: &Home) -> [i64; 5] {
    let mut prompt = home.prompt().await;
    let mut counts = [0; 5];
    for (count, table) in counts
        .iter_mut()
        .zip(["fact", "chain", "hole", "archived_object"])
    {
        *count = prompt
            .number(&format!("SELECT COUNT(*) FROM {table}"))
            .await;
    }
    counts[4] = match home {
        Home::File(_) => {
            prompt.run("VACUUM").await.unwrap();
            prompt.number("PRAGMA page_count").await * prompt.number("PRAGMA page_size").await
        }
        Home::Server(_) => {
            for table in ["fact", "chain", "hole", "archived_object", "document"] {
                prompt.run(&format!("VACUUM FULL {table}")).await.unwrap();
            }
            prompt
                .number(
                    "SELECT (pg_total_relation_size('fact') + pg_total_relation_size('chain') \
                     + pg_total_relation_size('hole') + pg_total_relation_size('archived_object') \
                     + pg_total_relation_size('document'))::bigint",
                )
                .await
        }
    } / 1024;
    counts
}

async fn thirty_six_months_weigh_as_much_as_twelve(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::of(&store, 200).await;
    let keeper = keeper(&home).await;
    let mut archives = Vec::new();
    let mut weights = Vec::new();
    for month in 1..=36 {
        months.play(&store, 1).await;
        let due = keeper.store().due_archives(30, months.now()).await.unwrap();
        for due in &due {
            let archived = keeper.archive(due, folder.path(), months.now()).await;
            archives.push(archived.unwrap().unwrap());
        }
        if month % 12 == 0 {
            weights.push(weight(&home).await);
        }
    }
    let [year, two, three] = weights.try_into().unwrap();
    // the facts are those of the months that are not archived yet, whichever these are
    assert_eq!((year[0], two[0]), (three[0], three[0]));
    assert!(three[0] < 1000, "{three:?}");
    // of each month stay its opening, its close and its archive
    assert_eq!((two[1] - year[1], three[1] - two[1]), (36, 36));
    // what is archived of a month is one hole between these, and what the newest left in the middle makes one more
    // and of the two newest, twenty pairs with an estimated end are left in the middle as well
    assert_eq!([year[2], two[2], three[2]], [52, 64, 76]);
    // objects of 24 archives are remembered, with a mark for each and one for those before
    assert_eq!(three[3], 24 * 201 + 1);
    // all that ever was would be 14,000 facts, of some 1.5 kB with their rows of the chain
    assert!(
        three[4] - two[4] < 128,
        "{weights_kb:?}",
        weights_kb = [year[4], two[4], three[4]]
    );
    assert!(three[4] < 4000, "{three:?}");
    assert_eq!(archives.len(), 35);

    let all: Vec<&Archived> = archives.iter().collect();
    for given in [&all[..], &all[..7], &[]] {
        let report = verified(&store, given).await;
        assert_eq!(report.finding, None);
        assert_eq!(report.periods.len(), 36);
    }
    assert_eq!(verified(&store, &all).await.archived, 0);
    assert_eq!(
        store.integrity().await.unwrap().rows,
        store.head().await.unwrap().0
    );
}
