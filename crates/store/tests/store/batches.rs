//! A batch is looked up and written in groups, and nobody can tell from the ledger.

use leasehold_ledger::canonical::{Digest, canonical_json, digest_bytes};
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{Entry, genesis, link};
use leasehold_ledger::time::PeriodKind;
use leasehold_store::{Batch, FactFilter, Record, Store, StoreError};

use crate::fixtures::{Home, at, effective, entry, fact, facts, on_both, period_open};

on_both!(
    a_long_batch_is_appended_in_its_order_and_only_once,
    batches_of_every_length_are_written_to_their_last_fact,
    what_the_ledger_holds_of_a_long_batch_is_found_wherever_it_stands,
    a_record_that_repeats_one_far_before_it_in_the_batch_is_unchanged,
    a_record_that_contradicts_one_before_it_in_the_batch_refuses_the_whole_batch,
    a_fact_that_the_database_refuses_takes_its_whole_batch_with_it,
    documents_and_entries_keep_their_places_between_facts,
    a_key_of_any_characters_is_found_again,
    a_key_is_free_for_a_record_of_another_kind,
);

/// What a key may be made of, and what a look-up could take for something else.
const ODD: [&str; 18] = [
    "it's",
    "say \"when\"",
    "back\\slash",
    // Six characters, which stand for the next one in JSON.
    "\\u0041",
    "A",
    "a",
    "市政府办-一号",
    "🏛",
    "\u{feff}\u{2028}",
    "tab\tline\nreturn\rend",
    "\u{1}\u{8}\u{c}\u{1f}\u{7f}",
    "7",
    "7.0",
    "null",
    "[\"web-1\"]",
    "{\"a\":1}",
    " web-1 ",
    "web-1'; DROP TABLE chain; --",
];

/// Facts of as many pods, numbered from 1.
fn many(count: u32) -> Vec<Fact> {
    (1..=count).map(|n| fact(&format!("pod-{n}"), n)).collect()
}

/// The same observation with another quantity.
fn contradicting(fact: &Fact) -> Fact {
    Fact {
        quantity: 501,
        ..fact.clone()
    }
}

fn digest(fact: &Fact) -> Digest {
    digest_bytes(canonical_json(fact).unwrap().as_bytes())
}

/// The head of a ledger that holds these facts and nothing else, link by link.
fn head_of(facts: &[Fact]) -> Digest {
    (1_u64..).zip(facts).fold(genesis(), |prev, (seq, fact)| {
        link(seq, "fact", &fact.key(), &digest(fact), &prev)
    })
}

async fn all_facts(store: &Store) -> Vec<Fact> {
    let recorded = store.facts(&FactFilter::default()).await.unwrap();
    recorded
        .into_iter()
        .map(|recorded| recorded.value)
        .collect()
}

/// The ledger holds these facts in this order, and every link of its chain is right.
async fn expect_exactly(store: &Store, facts: &[Fact]) {
    let rows = u64::try_from(facts.len()).unwrap();
    assert_eq!(store.head().await.unwrap(), (rows, head_of(facts)));
    assert_eq!(store.integrity().await.unwrap().rows, rows);
    assert_eq!(all_facts(store).await, facts);
}

async fn a_long_batch_is_appended_in_its_order_and_only_once(home: Home) {
    let store = home.open().await;
    let pods = many(257);
    let batch = facts(pods.clone());

    let committed = store.commit(&batch, at(0)).await.unwrap();

    assert_eq!(committed.appended, (1..=257).collect::<Vec<u64>>());
    assert_eq!(committed.unchanged, 0);
    assert_eq!(committed.head_seq, 257);
    assert_eq!(committed.head, head_of(&pods));
    expect_exactly(&store, &pods).await;

    let again = store.commit(&batch, at(1)).await.unwrap();

    assert_eq!(again.appended, Vec::<u64>::new());
    assert_eq!(again.unchanged, 257);
    assert_eq!((again.head_seq, again.head), (257, committed.head));
    expect_exactly(&store, &pods).await;
}

async fn batches_of_every_length_are_written_to_their_last_fact(home: Home) {
    let store = home.open().await;
    // 1 + 2 + … + 60
    let pods = many(1830);
    let mut rest = pods.as_slice();
    let mut next = 1_u64;
    for length in 1..=60 {
        let (now, later) = rest.split_at(length);
        let committed = store.commit(&facts(now.to_vec()), at(0)).await.unwrap();
        let after = next + u64::try_from(length).unwrap();
        assert_eq!(committed.appended, (next..after).collect::<Vec<u64>>());
        (rest, next) = (later, after);
    }
    assert!(rest.is_empty());
    expect_exactly(&store, &pods).await;
}

async fn what_the_ledger_holds_of_a_long_batch_is_found_wherever_it_stands(home: Home) {
    let store = home.open().await;
    let pods = many(1200);
    let places = [1, 500, 501, 1000, 1001, 1200];
    let those = |held: bool| -> Vec<Fact> {
        (1..)
            .zip(&pods)
            .filter(|(place, _)| places.contains(place) == held)
            .map(|(_, fact)| fact.clone())
            .collect()
    };
    let (held, new) = (those(true), those(false));
    store.commit(&facts(held.clone()), at(0)).await.unwrap();

    let committed = store.commit(&facts(pods), at(1)).await.unwrap();

    assert_eq!(committed.unchanged, 6);
    assert_eq!(committed.appended, (7..=1200).collect::<Vec<u64>>());
    expect_exactly(&store, &[held, new].concat()).await;
}

async fn a_record_that_repeats_one_far_before_it_in_the_batch_is_unchanged(home: Home) {
    let store = home.open().await;
    let pods = many(256);
    let mut repeating = pods.clone();
    repeating.insert(129, pods[2].clone());

    let committed = store.commit(&facts(repeating), at(0)).await.unwrap();

    assert_eq!(committed.unchanged, 1);
    assert_eq!(committed.appended, (1..=256).collect::<Vec<u64>>());
    expect_exactly(&store, &pods).await;
}

async fn a_record_that_contradicts_one_before_it_in_the_batch_refuses_the_whole_batch(home: Home) {
    // The first of the two has been written by then, or waits to be written.
    for place in [129, 3] {
        let home = home.another();
        let store = home.open().await;
        let pods = many(256);
        let other = contradicting(&pods[2]);
        let mut crooked = pods.clone();
        crooked.insert(place, other.clone());

        let refused = store.commit(&facts(crooked), at(0)).await.unwrap_err();

        let StoreError::KeyConflict {
            kind,
            key,
            seq,
            stored,
            offered,
        } = refused
        else {
            panic!("expected KeyConflict, got {refused}");
        };
        assert_eq!((kind.as_str(), key, seq), ("fact", pods[2].key(), 3));
        assert_eq!((stored, offered), (digest(&pods[2]), digest(&other)));
        expect_exactly(&store, &[]).await;
        // Nothing of it stands in the way of the batch as it should have been.
        store.commit(&facts(pods.clone()), at(1)).await.unwrap();
        expect_exactly(&store, &pods).await;
    }
}

async fn a_fact_that_the_database_refuses_takes_its_whole_batch_with_it(home: Home) {
    let store = home.open().await;
    let mut prompt = home.prompt().await;
    let [forbid, allow] = match &home {
        Home::File(_) => [
            "CREATE TRIGGER fact_is_never_13 BEFORE INSERT ON fact WHEN NEW.quantity = 13 \
             BEGIN SELECT RAISE(ABORT, 'unlucky'); END",
            "DROP TRIGGER fact_is_never_13",
        ],
        Home::Server(_) => [
            "ALTER TABLE fact ADD CONSTRAINT unlucky CHECK (quantity <> 13)",
            "ALTER TABLE fact DROP CONSTRAINT unlucky",
        ],
    };
    prompt.run(forbid).await.unwrap();
    let mut pods = many(120);
    pods[69].quantity = 13;
    let batch = facts(pods.clone());

    let refused = store.commit(&batch, at(0)).await.unwrap_err();

    let StoreError::Database { source, .. } = refused else {
        panic!("expected Database, got {refused}");
    };
    assert!(source.to_string().contains("unlucky"), "{source}");
    prompt.run(allow).await.unwrap();
    expect_exactly(&store, &[]).await;
    store.commit(&batch, at(1)).await.unwrap();
    expect_exactly(&store, &pods).await;
}

async fn documents_and_entries_keep_their_places_between_facts(home: Home) {
    let store = home.open().await;
    let mut pods = many(59).into_iter().map(Record::from);
    let mut records: Vec<Record> = pods.by_ref().take(30).collect();
    records.push(Record::document(&effective("oa", 3)).unwrap());
    records.extend(pods.by_ref().take(3));
    records.push(Record::from(entry("2026-08")));
    records.push(Record::document(&period_open(PeriodKind::Month, at(0))).unwrap());
    records.extend(pods);
    records.push(Record::document(&effective("oa", 4)).unwrap());
    let places: Vec<(String, String)> = records
        .iter()
        .map(|record| match record {
            Record::Fact(fact) => ("fact".to_owned(), fact.key()),
            Record::Document { kind, key, .. } => ("document".to_owned(), format!("{kind}/{key}")),
            Record::Entry(entry) => ("entry".to_owned(), entry.id.clone()),
        })
        .collect();
    let batch = Batch::of(records);

    let committed = store.commit(&batch, at(0)).await.unwrap();

    // 30 facts, 1, 3 facts, 2, 26 facts, 1
    assert_eq!(committed.appended, (1..=63).collect::<Vec<u64>>());
    let rows = store.rows(0, 100).await.unwrap();
    let written: Vec<(String, String)> = rows
        .into_iter()
        .map(|row| (row.chain.kind, row.chain.key))
        .collect();
    assert_eq!(written, places);
    assert_eq!(store.integrity().await.unwrap().rows, 63);
    let again = store.commit(&batch, at(1)).await.unwrap();
    assert_eq!((again.appended.len(), again.unchanged), (0, 63));
}

/// A fact, a document and an entry with this in their keys.
fn keyed(odd: &str) -> [Record; 3] {
    [
        Record::from(fact(odd, 1)),
        Record::Document {
            kind: "note".to_owned(),
            key: odd.to_owned(),
            subject: "gov-office".to_owned(),
            body: r#"{"a":1}"#.to_owned(),
        },
        Record::from(Entry {
            id: odd.to_owned(),
            ..entry("2026-08")
        }),
    ]
}

async fn a_key_of_any_characters_is_found_again(home: Home) {
    let store = home.open().await;
    let batch = Batch::of(ODD.into_iter().flat_map(keyed).collect());

    let committed = store.commit(&batch, at(0)).await.unwrap();
    assert_eq!((committed.appended.len(), committed.unchanged), (3 * 18, 0));
    let again = store.commit(&batch, at(1)).await.unwrap();
    assert_eq!((again.appended.len(), again.unchanged), (0, 3 * 18));

    // The facts are rows 1, 4, 7, …
    for (row, odd) in (1_u64..).step_by(3).zip(ODD) {
        let other = contradicting(&fact(odd, 1));
        let refused = store
            .commit(&facts([other.clone()]), at(2))
            .await
            .unwrap_err();
        let StoreError::KeyConflict { key, seq, .. } = refused else {
            panic!("expected KeyConflict for {odd:?}, got {refused}");
        };
        assert_eq!((key, seq), (other.key(), row), "{odd:?}");
    }
    assert_eq!(store.integrity().await.unwrap().rows, 3 * 18);
}

async fn a_key_is_free_for_a_record_of_another_kind(home: Home) {
    let store = home.open().await;
    let namesake = Entry {
        id: "effective/gov-office/oa/1/3".to_owned(),
        ..entry("2026-08")
    };
    let batch = Batch::of(vec![
        Record::document(&effective("oa", 3)).unwrap(),
        Record::from(namesake),
    ]);
    let committed = store.commit(&batch, at(0)).await.unwrap();
    assert_eq!((committed.appended, committed.unchanged), (vec![1, 2], 0));
    let again = store.commit(&batch, at(1)).await.unwrap();
    assert_eq!((again.appended, again.unchanged), (vec![], 2));
}
