//! What comes out is what went in.

use leasehold_ledger::canonical::{canonical_json, digest_bytes};
use leasehold_ledger::document::{
    Document, EffectiveDoc, SnapshotGoneDoc, SnapshotRetainedDoc, VolumeEnd, row_key, split_row_key,
};
use leasehold_ledger::fact::{Bounds, Fact, FactKind, Meter};
use leasehold_ledger::journal::{Entry, EntryKind};
use leasehold_ledger::time::{LocalDate, Second};
use leasehold_ledger::verify::verify;
use leasehold_store::{Batch, FactFilter, Record, Recorded, StoreError};

use crate::fixtures::{Home, at, effective, entry, fact, facts, on_both, one_of_each};

on_both!(
    every_field_of_a_fact_survives,
    a_filter_restricts_by_each_of_its_fields,
    open_objects_are_those_whose_last_opening_has_no_end_after_it,
    open_objects_are_found_among_more_facts_than_are_looked_at_at_once,
    facts_of_single_objects_come_in_the_order_of_their_rows,
    documents_are_found_by_key_by_subject_and_up_to_a_row,
    documents_under_a_path_are_a_departments_own_in_row_order,
    what_stands_is_found_without_reading_what_has_ended,
    the_journal_comes_back_with_all_postings_and_up_to_a_row,
    rows_carry_the_canonical_json_that_the_chain_has_the_digest_of,
    what_the_store_wrote_passes_the_ledgers_own_verification_page_by_page,
);

fn values<T>(recorded: Vec<Recorded<T>>) -> Vec<T> {
    recorded
        .into_iter()
        .map(|recorded| recorded.value)
        .collect()
}

/// The next observation of the same object.
fn then(before: &Fact, version: u32, kind: FactKind) -> Fact {
    let mut next = before.clone();
    next.source.version = version.to_string();
    next.kind = kind;
    next.at = at(i64::from(version));
    next
}

async fn every_field_of_a_fact_survives(home: Home) {
    let store = home.open().await;
    let plain = fact("web-1", 7);
    let mut full = fact("web-2", 8);
    full.source.etcd = u32::MAX;
    full.meter = Meter::Pod {
        resource: "nvidia.com/gpu".to_owned(),
    };
    full.kind = FactKind::Closed;
    full.quantity = i64::MAX;
    full.estimated = true;
    full.bounds = Some(Bounds {
        lower: at(-5),
        upper: at(9),
    });
    full.subject.incarnation = 2;
    full.subject.object = "Pod '市政府办'; DROP TABLE fact; -- \"\\\n".to_owned();
    let mut early = fact("web-3", 9);
    early.at = Second::new(-1);
    early.meter = Meter::Claim {
        storage_class: "ssd".to_owned(),
    };

    let expected = vec![plain, full, early];
    store
        .commit(&facts(expected.clone()), at(100))
        .await
        .unwrap();

    assert_eq!(
        values(store.facts(&FactFilter::default()).await.unwrap()),
        expected
    );
}

async fn a_filter_restricts_by_each_of_its_fields(home: Home) {
    let store = home.open().await;
    let a = fact("a", 1);
    let mut b = fact("b", 2);
    b.subject.tenancy = "web".to_owned();
    let mut c = fact("c", 3);
    c.subject.department = "edu-bureau".to_owned();
    store
        .commit(&facts([a.clone(), b.clone(), c.clone()]), at(100))
        .await
        .unwrap();
    let all = FactFilter::default;

    for (filter, expected) in [
        (all(), vec![&a, &b, &c]),
        (
            FactFilter {
                department: Some("gov-office".to_owned()),
                ..all()
            },
            vec![&a, &b],
        ),
        (
            FactFilter {
                tenancy: Some("oa".to_owned()),
                ..all()
            },
            vec![&a, &c],
        ),
        (
            FactFilter {
                uid: Some("b".to_owned()),
                ..all()
            },
            vec![&b],
        ),
        (
            FactFilter {
                until_seq: Some(2),
                ..all()
            },
            vec![&a, &b],
        ),
        (
            FactFilter {
                until_seq: Some(0),
                ..all()
            },
            vec![],
        ),
        (
            FactFilter {
                until_seq: Some(u64::MAX),
                ..all()
            },
            vec![&a, &b, &c],
        ),
        (
            FactFilter {
                department: Some("gov-office".to_owned()),
                tenancy: Some("oa".to_owned()),
                ..all()
            },
            vec![&a],
        ),
    ] {
        let read = values(store.facts(&filter).await.unwrap());
        assert_eq!(read.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn open_objects_are_those_whose_last_opening_has_no_end_after_it(home: Home) {
    let store = home.open().await;
    let running = fact("running", 1);
    let resized = fact("resized", 2);
    let larger = Fact {
        quantity: 900,
        ..then(&resized, 12, FactKind::Changed)
    };
    let ended = fact("ended", 3);
    let corrected = fact("corrected", 4);
    let leased = Fact {
        meter: Meter::Lease {
            item: "vcpu-x86".to_owned(),
        },
        ..fact("lease", 5)
    };
    let again = then(&leased, 25, FactKind::Opened);
    let memory = Fact {
        meter: Meter::Pod {
            resource: "memory".to_owned(),
        },
        ..fact("ended", 3)
    };
    let sequence = vec![
        running.clone(),
        resized,
        ended.clone(),
        corrected.clone(),
        leased.clone(),
        memory.clone(),
        larger.clone(),
        then(&ended, 13, FactKind::Closed),
        then(&corrected, 14, FactKind::Closed),
        then(&corrected, 15, FactKind::Superseded),
        then(&leased, 15, FactKind::Closed),
        again.clone(),
        // told late: a change that came before the end
        then(&ended, 12, FactKind::Changed),
    ];
    store.commit(&facts(sequence), at(100)).await.unwrap();

    let pods = values(store.open_objects("pod/").await.unwrap());
    assert_eq!(pods, [running.clone(), memory.clone(), larger.clone()]);
    assert_eq!(
        values(store.open_objects("lease/").await.unwrap()),
        std::slice::from_ref(&again)
    );
    assert_eq!(
        values(store.open_objects("").await.unwrap()),
        [running, memory, larger, again]
    );
    assert!(store.open_objects("pod/%").await.unwrap().is_empty());
}

async fn documents_are_found_by_key_by_subject_and_up_to_a_row(home: Home) {
    let store = home.open().await;
    let documents = [effective("oa", 1), effective("web", 1), effective("oa", 2)];
    let records = documents
        .iter()
        .map(|document| Record::document(document).unwrap())
        .collect();
    store.commit(&Batch::of(records), at(100)).await.unwrap();
    let [first, second, third] = documents;

    let found = store
        .document::<EffectiveDoc>("gov-office/web/1/1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.seq, found.value), (2, second.clone()));
    assert_eq!(
        store
            .document::<EffectiveDoc>("gov-office/web/1/9")
            .await
            .unwrap(),
        None
    );

    let read = async |subject: Option<&'static str>, until: Option<u64>| {
        values(
            store
                .documents::<EffectiveDoc>(subject, until)
                .await
                .unwrap(),
        )
    };
    assert_eq!(
        read(None, None).await,
        [first.clone(), second.clone(), third.clone()]
    );
    assert_eq!(
        read(Some("gov-office/oa"), None).await,
        [first.clone(), third]
    );
    assert_eq!(read(None, Some(2)).await, [first.clone(), second]);
    assert_eq!(read(Some("gov-office/oa"), Some(2)).await, [first]);
    assert!(read(Some("gov-office"), None).await.is_empty());
    assert!(
        store
            .raw_documents("release", None, None)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn documents_under_a_path_are_a_departments_own_in_row_order(home: Home) {
    let store = home.open().await;
    let of = |department: &str, tenancy: &str| EffectiveDoc {
        department: department.to_owned(),
        ..effective(tenancy, 1)
    };
    // Next to the slash in ASCII are the full stop and the 0.
    let documents = [
        of("gov", "web"),
        of("gov-office", "oa"),
        of("gov.office", "oa"),
        of("gov", "oa"),
        of("gov0", "oa"),
        of("govern", "oa"),
        of("go", "oa"),
        of("gov", "市政府办"),
    ];
    let mut records: Vec<Record> = documents
        .iter()
        .map(|document| Record::document(document).unwrap())
        .collect();
    // Of another kind, and of the path itself.
    records.extend(["note", "effective"].map(|kind| Record::Document {
        kind: kind.to_owned(),
        key: "1".to_owned(),
        subject: if kind == "note" { "gov/oa" } else { "gov" }.to_owned(),
        body: r#"{"a":1}"#.to_owned(),
    }));
    store.commit(&Batch::of(records), at(100)).await.unwrap();
    let under = async |path: &'static str| store.documents_under::<EffectiveDoc>(path).await;

    let own = under("gov").await.unwrap();
    let rows: Vec<u64> = own.iter().map(|recorded| recorded.seq).collect();
    assert_eq!(rows, [1, 4, 8]);
    let [web, office, _, oa, _, _, _, chinese] = documents;
    assert_eq!(values(own), [web.clone(), oa.clone(), chinese.clone()]);
    assert_eq!(values(under("gov/").await.unwrap()), [web, oa, chinese]);
    assert_eq!(values(under("gov-office").await.unwrap()), [office]);
    assert!(under("gov-").await.unwrap().is_empty());
    assert!(under("gov/o").await.unwrap().is_empty());
}

/// A snapshot that is kept, by uids of its cluster and its own.
fn kept(cluster: &str, uid: &str) -> SnapshotRetainedDoc {
    SnapshotRetainedDoc {
        cluster: cluster.to_owned(),
        department: "gov-office".to_owned(),
        tenancy: format!("of-{uid}"),
        incarnation: 1,
        namespace: "gov-office--prod".to_owned(),
        claim: "files".to_owned(),
        claim_uid: format!("c-{uid}"),
        volume: format!("pv-{uid}"),
        bytes: 10 << 30,
        content: format!("snapcontent-{uid}"),
        uid: uid.to_owned(),
        driver: "disks.example".to_owned(),
        handle: format!("h-{uid}"),
        until: LocalDate::parse("2026-10-05").unwrap(),
        at: at(0),
    }
}

/// Its end.
fn ended(kept: &SnapshotRetainedDoc) -> SnapshotGoneDoc {
    SnapshotGoneDoc {
        cluster: kept.cluster.clone(),
        department: kept.department.clone(),
        tenancy: kept.tenancy.clone(),
        content: kept.content.clone(),
        uid: kept.uid.clone(),
        end: VolumeEnd::Deleted,
        at: at(1),
    }
}

async fn what_stands_is_found_without_reading_what_has_ended(home: Home) {
    let store = home.open().await;
    // next to the slash in ASCII are the full stop and the 0
    let all = [
        kept("6a1f", "old"),
        kept("6a1f", "b"),
        kept("6a1f.", "x"),
        kept("6a1f0", "x"),
        kept("6a1f", "a"),
    ];
    let mut records: Vec<Record> = all
        .iter()
        .map(|document| Record::document(document).unwrap())
        .collect();
    records.push(Record::document(&ended(&all[0])).unwrap());
    // the end of one that has its uid in another cluster
    records.push(Record::document(&ended(&kept("77c0", "a"))).unwrap());
    store.commit(&Batch::of(records), at(100)).await.unwrap();
    let [old, b, _, _, a] = all;
    let stand = async || {
        let found = store.documents_standing::<SnapshotRetainedDoc, SnapshotGoneDoc>("6a1f");
        values(found.await.unwrap())
    };
    assert_eq!(stand().await, [b, a.clone()]);

    // whoever reads a row that was touched is told, and nobody reads this one
    let mut prompt = home.prompt().await;
    prompt.disarm("document").await;
    let spoil = format!(
        "UPDATE document SET body = '{{}}' WHERE kind = 'snapshot-retained' AND key = '{}'",
        old.key()
    );
    prompt.run(&spoil).await.unwrap();
    let whole = store.documents::<SnapshotRetainedDoc>(None, None).await;
    assert!(matches!(whole, Err(StoreError::Corrupt { seq: 1, .. })));
    assert_eq!(stand().await.len(), 2);

    let more = Record::document(&ended(&a)).unwrap();
    store.commit(&Batch::of(vec![more]), at(101)).await.unwrap();
    assert_eq!(stand().await.len(), 1);
}

async fn the_journal_comes_back_with_all_postings_and_up_to_a_row(home: Home) {
    let store = home.open().await;
    let nothing_owed = Entry::new(
        "expire/gov-office/servers-2024".to_owned(),
        EntryKind::Expire,
        at(0),
        "gov-office".to_owned(),
        None,
        vec![],
    )
    .unwrap();
    let entries = [entry("2026-08"), nothing_owed, entry("2026-09")];
    let records = entries.iter().cloned().map(Record::from).collect();
    store.commit(&Batch::of(records), at(100)).await.unwrap();

    assert_eq!(values(store.entries(None).await.unwrap()), entries);
    assert_eq!(values(store.entries(Some(2)).await.unwrap()), entries[..2]);
    assert!(store.entries(Some(0)).await.unwrap().is_empty());
}

async fn rows_carry_the_canonical_json_that_the_chain_has_the_digest_of(home: Home) {
    let store = home.open().await;
    store.commit(&one_of_each(), at(100)).await.unwrap();

    let rows = store.rows(0, 3).await.unwrap();

    let expected = [
        (
            "fact",
            fact("web-1", 7).key(),
            canonical_json(&fact("web-1", 7)).unwrap(),
        ),
        (
            "document",
            row_key(&effective("oa", 3)),
            canonical_json(&effective("oa", 3)).unwrap(),
        ),
        (
            "entry",
            "close/2026-08/gov-office".to_owned(),
            canonical_json(&entry("2026-08")).unwrap(),
        ),
    ];
    assert_eq!(rows.len(), expected.len(), "no more than the limit");
    for (row, (kind, key, body)) in rows.iter().zip(expected) {
        assert_eq!((row.chain.kind.as_str(), &row.chain.key), (kind, &key));
        assert_eq!(row.body, body);
        assert_eq!(row.chain.digest, digest_bytes(body.as_bytes()));
    }
    assert_eq!(
        split_row_key(&rows[1].chain.key),
        Some(("effective", "gov-office/oa/1/3")),
        "the ledger takes the key of a document row apart again"
    );
    let rest: Vec<u64> = store
        .rows(3, 100)
        .await
        .unwrap()
        .iter()
        .map(|row| row.chain.seq)
        .collect();
    assert_eq!(rest, [4]);
    assert!(store.rows(4, 100).await.unwrap().is_empty());
}

async fn what_the_store_wrote_passes_the_ledgers_own_verification_page_by_page(home: Home) {
    let store = home.open().await;
    store
        .commit(&facts([fact("web-1", 7), fact("web-2", 8)]), at(0))
        .await
        .unwrap();
    let document = Record::document(&effective("oa", 3)).unwrap();
    let committed = store
        .commit(&Batch::of(vec![document]), at(1))
        .await
        .unwrap();

    let mut rows = store.rows(0, 2).await.unwrap();
    rows.extend(store.rows(2, 2).await.unwrap());
    let report = verify(
        rows.into_iter().map(Ok::<_, StoreError>),
        Some(&committed.head),
    );

    assert_eq!(report.finding, None);
    assert_eq!((report.rows, report.head), (3, committed.head));
}

async fn open_objects_are_found_among_more_facts_than_are_looked_at_at_once(home: Home) {
    let store = home.open().await;
    // 10,500 objects, of which three out of seven have ended
    for from in (0..10_500_u32).step_by(1500) {
        let opened = (from..from + 1500).map(|n| fact(&format!("pod-{n:05}"), n));
        let all = opened.flat_map(|first| {
            let n: u32 = first.source.version.parse().unwrap();
            let end = (n % 7 < 3).then(|| then(&first, n + 1, FactKind::Closed));
            std::iter::once(first).chain(end)
        });
        store.commit(&facts(all), at(0)).await.unwrap();
    }
    let found = store.open_objects("pod/").await.unwrap();
    assert_eq!(found.len(), 6000);
    assert!(found.is_sorted_by_key(|recorded| recorded.seq));
    assert_eq!(found[0].value.source.uid, "pod-00003");
    assert_eq!(found[5999].value.source.uid, "pod-10499");
}

async fn facts_of_single_objects_come_in_the_order_of_their_rows(home: Home) {
    let store = home.open().await;
    let first = fact("web-1", 7);
    let (changed, other) = (then(&first, 9, FactKind::Changed), fact("web-2", 8));
    let all = [
        first.clone(),
        other.clone(),
        changed.clone(),
        fact("web-3", 1),
    ];
    store.commit(&facts(all), at(0)).await.unwrap();
    let of = async |uids: &[&str]| values(store.facts_of(uids).await.unwrap());
    assert_eq!(of(&["web-1"]).await, [first.clone(), changed.clone()]);
    assert_eq!(
        of(&["web-2", "web-1"]).await,
        [first.clone(), other, changed]
    );
    assert!(of(&[]).await.is_empty());
    let many: Vec<String> = (0..1000).map(|n| format!("web-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(of(&many).await.len(), 4);
}
