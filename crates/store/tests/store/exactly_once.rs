//! A batch is written whole, once, or not at all.

use std::time::Duration;

use leasehold_ledger::canonical::digest_bytes;
use leasehold_ledger::document::EffectiveDoc;
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{Entry, genesis};
use leasehold_ledger::money::Money;
use leasehold_store::{Batch, Cursor, FactFilter, Record, Store, StoreError};

use crate::fixtures::{Home, at, effective, entry, fact, facts, on_both};

on_both!(
    batches_that_eight_tasks_deliver_at_once_are_written_once,
    a_key_with_another_body_refuses_the_whole_batch,
    a_document_key_with_another_body_is_refused_and_the_old_one_stays,
    what_is_twice_in_one_batch_is_one_row,
    cursors_move_with_the_facts_and_even_when_all_facts_are_known,
    a_batch_computed_from_an_older_head_is_refused,
    of_two_closes_computed_from_one_head_only_one_is_written,
    a_batch_computed_before_a_later_document_under_its_path_is_refused_and_writes_nothing,
    what_is_not_of_the_kind_and_under_the_path_refuses_no_batch,
    of_two_batches_computed_from_one_document_only_one_is_written,
    a_batch_computed_from_documents_under_many_paths_is_refused_over_a_later_one_under_any,
    each_of_two_expectations_alone_refuses_the_batch,
    an_entry_that_does_not_balance_is_refused_with_its_batch,
    a_document_that_is_not_canonical_is_refused,
    a_commit_that_another_program_blocks_ends_at_its_deadline_and_can_be_sent_again,
    insertion_times_are_not_part_of_the_chain,
);

/// A request of a department's office automation that became effective.
fn effective_of(department: &str, request: u32) -> Record {
    let document = EffectiveDoc {
        department: department.to_owned(),
        ..effective("oa", request)
    };
    Record::document(&document).unwrap()
}

/// Expects a refusal because the latest document of the department is row `found` instead of row `expected`.
fn expect_overtaken(refused: StoreError, expected: u64, found: u64) {
    expect_overtaken_at("gov", refused, expected, found);
}

/// The same of the documents of a place.
fn expect_overtaken_at(place: &str, refused: StoreError, expected: u64, found: u64) {
    let StoreError::Overtaken {
        kind,
        path,
        expected: computed_from,
        found: latest,
    } = refused
    else {
        panic!("expected Overtaken, got {refused}");
    };
    assert_eq!((kind.as_str(), path.as_str()), ("effective", place));
    assert_eq!((computed_from, latest), (expected, found));
}

fn cursor(version: &str) -> Cursor {
    Cursor {
        source: "pods".to_owned(),
        resource_version: version.to_owned(),
        complete_to: Some(at(60)),
        observed_at: at(61),
    }
}

async fn all_facts(store: &Store) -> Vec<Fact> {
    let recorded = store.facts(&FactFilter::default()).await.unwrap();
    recorded
        .into_iter()
        .map(|recorded| recorded.value)
        .collect()
}

async fn batches_that_eight_tasks_deliver_at_once_are_written_once(home: Home) {
    let store = home.open().await;
    // Three batches of twenty facts; the last five of each are the first five of the next.
    let batches: Vec<Batch> = (0..3)
        .map(|n| facts((n * 15..n * 15 + 20).map(|i| fact(&format!("pod-{i}"), i))))
        .collect();

    let mut tasks = Vec::new();
    for task in 0..8 {
        let (store, mut batches) = (store.clone(), batches.clone());
        batches.rotate_left(task % 3);
        tasks.push(tokio::spawn(async move {
            let (mut appended, mut unchanged) = (0, 0);
            for batch in &batches {
                let committed = store.commit(batch, at(100)).await.unwrap();
                appended += committed.appended.len();
                unchanged += committed.unchanged;
            }
            (appended, unchanged)
        }));
    }
    let (mut appended, mut unchanged) = (0, 0);
    for task in tasks {
        let (task_appended, task_unchanged) = task.await.unwrap();
        appended += task_appended;
        unchanged += task_unchanged;
    }

    // 3 × 20 facts with 2 × 5 in common are 50; each task delivered 60.
    assert_eq!(appended, 50);
    assert_eq!(unchanged, 8 * 60 - 50);
    let mut uids: Vec<String> = all_facts(&store)
        .await
        .into_iter()
        .map(|fact| fact.source.uid)
        .collect();
    uids.sort();
    let mut expected: Vec<String> = (0..50).map(|i| format!("pod-{i}")).collect();
    expected.sort();
    assert_eq!(uids, expected);
    assert_eq!(store.integrity().await.unwrap().rows, 50);
}

async fn a_key_with_another_body_refuses_the_whole_batch(home: Home) {
    let store = home.open().await;
    let known = fact("web-1", 7);
    let before = store
        .commit(&facts([known.clone()]), at(100))
        .await
        .unwrap();

    let other = Fact {
        quantity: 501,
        ..known.clone()
    };
    let batch = facts([fact("web-0", 1), other, fact("web-2", 9)]).with_cursor(cursor("9"));
    let refused = store.commit(&batch, at(101)).await.unwrap_err();

    let StoreError::KeyConflict { kind, key, seq, .. } = refused else {
        panic!("expected KeyConflict, got {refused}");
    };
    assert_eq!((kind.as_str(), seq), ("fact", 1));
    assert_eq!(key, known.key());
    assert_eq!(all_facts(&store).await, [known]);
    assert!(store.cursors().await.unwrap().is_empty());
    assert_eq!(store.head().await.unwrap(), (1, before.head));
}

async fn a_document_key_with_another_body_is_refused_and_the_old_one_stays(home: Home) {
    let store = home.open().await;
    let first = effective("oa", 3);
    let mut second = first.clone();
    second.not_before = at(3600);
    store
        .commit(&Batch::of(vec![Record::document(&first).unwrap()]), at(0))
        .await
        .unwrap();

    let batch = Batch::of(vec![Record::document(&second).unwrap()]);
    let refused = store.commit(&batch, at(1)).await.unwrap_err();

    let StoreError::KeyConflict { kind, key, .. } = refused else {
        panic!("expected KeyConflict, got {refused}");
    };
    assert_eq!(kind, "document");
    assert_eq!(key, "effective/gov-office/oa/1/3");
    let kept = store
        .document::<EffectiveDoc>("gov-office/oa/1/3")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.value, first);
}

async fn what_is_twice_in_one_batch_is_one_row(home: Home) {
    let store = home.open().await;
    let batch = facts([fact("web-1", 7), fact("web-1", 7)]);
    let committed = store.commit(&batch, at(100)).await.unwrap();
    assert_eq!((committed.appended, committed.unchanged), (vec![1], 1));
}

async fn cursors_move_with_the_facts_and_even_when_all_facts_are_known(home: Home) {
    let store = home.open().await;
    let batch = facts([fact("web-1", 7)]);
    store
        .commit(&batch.clone().with_cursor(cursor("7")), at(100))
        .await
        .unwrap();
    store
        .commit(&batch.with_cursor(cursor("8")), at(101))
        .await
        .unwrap();
    assert_eq!(store.cursor("pods").await.unwrap(), Some(cursor("8")));
    assert_eq!(store.cursor("claims").await.unwrap(), None);
}

async fn a_batch_computed_from_an_older_head_is_refused(home: Home) {
    let store = home.open().await;
    assert_eq!(store.head().await.unwrap(), (0, genesis()));
    store
        .commit(&facts([fact("web-1", 7)]).expecting(0), at(0))
        .await
        .unwrap();

    let late = facts([fact("web-2", 8)]).expecting(0);
    let refused = store.commit(&late, at(1)).await.unwrap_err();

    assert!(
        matches!(
            refused,
            StoreError::Conflict {
                expected: 0,
                found: 1
            }
        ),
        "{refused}"
    );
    assert_eq!(all_facts(&store).await, [fact("web-1", 7)]);
    store.commit(&late.expecting(1), at(2)).await.unwrap();
    assert_eq!(store.head().await.unwrap().0, 2);
}

async fn of_two_closes_computed_from_one_head_only_one_is_written(home: Home) {
    let store = home.open().await;
    let close = |period: &str| Batch::of(vec![Record::from(entry(period))]).expecting(0);
    let (first, second) = (close("2026-08"), close("2026-09"));
    let (a, b) = tokio::join!(store.commit(&first, at(0)), store.commit(&second, at(0)));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert_eq!(store.entries(None).await.unwrap().len(), 1);
}

async fn a_batch_computed_before_a_later_document_under_its_path_is_refused_and_writes_nothing(
    home: Home,
) {
    let store = home.open().await;
    let first = Batch::of(vec![effective_of("gov", 1)]).expecting_latest::<EffectiveDoc>("gov", 0);
    let before = store.commit(&first, at(0)).await.unwrap();

    let late = Batch::of(vec![Record::from(fact("web-1", 7)), effective_of("gov", 2)])
        .with_cursor(cursor("7"))
        .expecting_latest::<EffectiveDoc>("gov", 0);
    expect_overtaken(store.commit(&late, at(1)).await.unwrap_err(), 0, 1);

    assert_eq!(store.head().await.unwrap(), (1, before.head));
    assert!(all_facts(&store).await.is_empty());
    assert!(store.cursors().await.unwrap().is_empty());
    let anew = late.expecting_latest::<EffectiveDoc>("gov", 1);
    let committed = store.commit(&anew, at(2)).await.unwrap();
    assert_eq!(committed.appended, [2, 3]);
    // The latest of two counts.
    let stale = Batch::of(vec![effective_of("gov", 3)]).expecting_latest::<EffectiveDoc>("gov", 1);
    expect_overtaken(store.commit(&stale, at(3)).await.unwrap_err(), 1, 3);
}

async fn what_is_not_of_the_kind_and_under_the_path_refuses_no_batch(home: Home) {
    let store = home.open().await;
    let note = |subject: &str| Record::Document {
        kind: "note".to_owned(),
        key: subject.to_owned(),
        subject: subject.to_owned(),
        body: r#"{"a":1}"#.to_owned(),
    };
    let others = Batch::of(vec![
        effective_of("gov", 1),
        effective_of("gov-office", 1),
        effective_of("gov.office", 1),
        effective_of("gov0", 1),
        effective_of("govern", 1),
        effective_of("a", 1),
        note("gov/oa"),
        Record::from(fact("web-1", 7)),
        Record::from(entry("2026-08")),
    ]);
    store.commit(&others, at(0)).await.unwrap();

    let next = Batch::of(vec![effective_of("gov", 2)]);
    let late = next.clone().expecting_latest::<EffectiveDoc>("gov", 0);
    expect_overtaken(store.commit(&late, at(1)).await.unwrap_err(), 0, 1);
    let current = next.expecting_latest::<EffectiveDoc>("gov", 1);
    let committed = store.commit(&current, at(2)).await.unwrap();
    assert_eq!(committed.appended, [10]);
    // A row that is not the latest of the range was never read there.
    let wrong = Batch::of(vec![effective_of("gov", 3)]).expecting_latest::<EffectiveDoc>("gov", 11);
    expect_overtaken(store.commit(&wrong, at(3)).await.unwrap_err(), 11, 10);
}

async fn of_two_batches_computed_from_one_document_only_one_is_written(home: Home) {
    let store = home.open().await;
    let one = |request: u32| {
        Batch::of(vec![effective_of("gov", request)]).expecting_latest::<EffectiveDoc>("gov", 0)
    };
    let (first, second) = (one(1), one(2));
    let (a, b) = tokio::join!(store.commit(&first, at(0)), store.commit(&second, at(0)));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let written = store.documents_under::<EffectiveDoc>("gov").await.unwrap();
    assert_eq!(written.len(), 1);
}

async fn a_batch_computed_from_documents_under_many_paths_is_refused_over_a_later_one_under_any(
    home: Home,
) {
    let store = home.open().await;
    assert_eq!(store.latest::<EffectiveDoc>().await.unwrap(), 0);
    let first = Batch::of(vec![effective_of("gov", 1)]).expecting_latest_of_kind::<EffectiveDoc>(0);
    store.commit(&first, at(0)).await.unwrap();
    let others = Batch::of(vec![
        Record::from(fact("web-1", 7)),
        Record::from(entry("2026-08")),
    ]);
    store.commit(&others, at(0)).await.unwrap();
    assert_eq!(store.latest::<EffectiveDoc>().await.unwrap(), 1);

    let late = Batch::of(vec![effective_of("edu", 1)]).expecting_latest_of_kind::<EffectiveDoc>(0);
    let refused = store.commit(&late, at(1)).await.unwrap_err();
    expect_overtaken_at("any subject", refused, 0, 1);
    assert_eq!(store.head().await.unwrap().0, 3);
    let current =
        Batch::of(vec![effective_of("edu", 1)]).expecting_latest_of_kind::<EffectiveDoc>(1);
    let committed = store.commit(&current, at(2)).await.unwrap();
    assert_eq!(committed.appended, [4]);
}

async fn each_of_two_expectations_alone_refuses_the_batch(home: Home) {
    let store = home.open().await;
    let start = Batch::of(vec![effective_of("gov", 1), effective_of("edu", 1)]);
    store.commit(&start, at(0)).await.unwrap();
    let both = |under: u64, of_kind: u64| {
        Batch::of(vec![effective_of("gov", 2)])
            .expecting_latest::<EffectiveDoc>("gov", under)
            .expecting_latest_of_kind::<EffectiveDoc>(of_kind)
    };
    expect_overtaken(store.commit(&both(0, 2), at(1)).await.unwrap_err(), 0, 1);
    let refused = store.commit(&both(1, 1), at(1)).await.unwrap_err();
    expect_overtaken_at("any subject", refused, 1, 2);
    let committed = store.commit(&both(1, 2), at(1)).await.unwrap();
    assert_eq!(committed.appended, [3]);
}

async fn an_entry_that_does_not_balance_is_refused_with_its_batch(home: Home) {
    let store = home.open().await;
    let mut crooked: Entry = entry("2026-09");
    crooked.postings[0].amount = Money::from_minor(4485);
    let batch = Batch::of(vec![Record::from(fact("web-1", 7)), Record::from(crooked)]);
    let refused = store.commit(&batch, at(0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Entry { .. }), "{refused}");
    assert_eq!(store.head().await.unwrap().0, 0);
}

async fn a_document_that_is_not_canonical_is_refused(home: Home) {
    let store = home.open().await;
    for body in [r#"{"b":1,"a":2}"#, r#"{"a": 1}"#, r#"{"a":0.5}"#, "{"] {
        let record = Record::Document {
            kind: "note".to_owned(),
            key: "1".to_owned(),
            subject: "gov-office".to_owned(),
            body: body.to_owned(),
        };
        let refused = store
            .commit(&Batch::of(vec![record]), at(0))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, StoreError::NotCanonical { .. }),
            "{body}: {refused}"
        );
    }
    assert_eq!(store.head().await.unwrap().0, 0);
}

async fn a_commit_that_another_program_blocks_ends_at_its_deadline_and_can_be_sent_again(
    home: Home,
) {
    let store = home.open().await;
    let batch = facts([fact("web-1", 7)]);
    let mut other = home.prompt().await;
    let hold = match &home {
        Home::File(_) => "BEGIN IMMEDIATE",
        Home::Server(_) => "BEGIN; SELECT epoch FROM leader FOR UPDATE",
    };
    other.run(hold).await.unwrap();

    let hasty = store.clone().with_deadline(Duration::from_millis(100));
    let refused = hasty.commit(&batch, at(0)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Deadline {
                milliseconds: 100,
                ..
            }
        ),
        "{refused}"
    );

    other.run("ROLLBACK").await.unwrap();
    let committed = store.commit(&batch, at(1)).await.unwrap();
    assert_eq!((committed.appended, committed.unchanged), (vec![1], 0));
    assert_eq!(all_facts(&store).await, [fact("web-1", 7)]);
}

async fn insertion_times_are_not_part_of_the_chain(home: Home) {
    let other = home.another();
    let (one, two) = (home.open().await, other.open().await);
    let batch = facts([fact("web-1", 7), fact("web-2", 8)]);
    let a = one.commit(&batch, at(0)).await.unwrap();
    let b = two.commit(&batch, at(86_400)).await.unwrap();
    assert_eq!(a.head, b.head);
    assert_ne!(a.head, digest_bytes(b""));
}
