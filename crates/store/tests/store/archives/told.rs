//! What is told of objects that were archived: again, in another life of their cluster's database, or anew.

use leasehold_ledger::document::ClusterDoc;
use leasehold_ledger::fact::{Fact, FactKind};
use leasehold_store::{Batch, Record};

use super::months::{Months, pod};
use super::{archive, verified};
use crate::fixtures::{Home, facts, on_both};

on_both!(
    what_is_told_again_after_a_restore_of_etcd_or_by_an_heir_is_known,
    what_begins_again_without_an_end_is_kept,
    what_counts_anew_is_proven_beside_its_archive_in_a_version_of_its_own_alone,
);

async fn what_is_told_again_after_a_restore_of_etcd_or_by_an_heir_is_known(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    archive(&home, &months, &folder).await;
    // what is archived, as it is told in another life of a cluster's database
    let told = |cluster: &str, etcd: u32| -> Vec<Fact> {
        let mut facts = months.pods(0);
        facts.retain(|fact| !["m0-p7", "m0-p9"].contains(&fact.source.uid.as_str()));
        for fact in &mut facts {
            cluster.clone_into(&mut fact.source.cluster);
            fact.source.etcd = etcd;
        }
        facts
    };
    let restored = facts(told("6a1f", 2));
    let committed = store.commit(&restored, months.now()).await.unwrap();
    assert_eq!(
        (committed.appended, committed.unchanged),
        (Vec::<u64>::new(), 16)
    );
    let heir = ClusterDoc {
        uid: "7b2c".to_owned(),
        etcd: 1,
        first_seen: months.now(),
        replaces: Some("6a1f".to_owned()),
    };
    let first = ClusterDoc {
        uid: "6a1f".to_owned(),
        replaces: None,
        ..heir.clone()
    };
    let documents = [&first, &heir].map(|document| Record::document(document).unwrap());
    let batch = Batch::of(documents.to_vec());
    store.commit(&batch, months.now()).await.unwrap();
    let inherited = facts(told("7b2c", 1));
    let committed = store.commit(&inherited, months.now()).await.unwrap();
    assert_eq!(
        (committed.appended, committed.unchanged),
        (Vec::<u64>::new(), 16)
    );
    // the pod that went on into October is still in the ledger: what follows of it, its meter knows
    let (head, _) = store.head().await.unwrap();
    let mut here = pod("m0-p9", FactKind::Closed, Months::start(1).plus(-60));
    here.source.etcd = 2;
    let committed = store.commit(&facts([here]), months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 1]);
}

async fn what_begins_again_without_an_end_is_kept(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    archive(&home, &months, &folder).await;
    let (head, _) = store.head().await.unwrap();
    // an object that counts anew, timed by its creation
    let start = Months::start(0);
    let anew = pod("m0-p3", FactKind::Opened, start.plus(9));
    let committed = store.commit(&facts([anew]), months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 1]);
    // nor is a beginning taken for known whose end comes after all that is archived
    let going_on = [
        pod("m0-p4", FactKind::Opened, start.plus(9)),
        pod("m0-p4", FactKind::Closed, Months::start(2).plus(9)),
    ];
    let committed = store.commit(&facts(going_on), months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 2, head + 3]);
    // and of what is here and goes on, the end is kept
    let ended = [("m0-p3", 1), ("m0-p6", 2)].map(|(uid, etcd)| {
        let mut end = pod(uid, FactKind::Closed, start.plus(20));
        end.source.etcd = etcd;
        end
    });
    let mut restored = pod("m0-p6", FactKind::Opened, start.plus(9));
    restored.source.etcd = 2;
    let begun = facts([restored]);
    let committed = store.commit(&begun, months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 4]);
    let committed = store.commit(&facts(ended), months.now()).await.unwrap();
    assert_eq!(committed.appended, [head + 5, head + 6]);
    // an end alone was told before, unless it is known better now
    let end = pod("m0-p5", FactKind::Closed, start.plus(9));
    let truth = pod("m0-p5", FactKind::Superseded, start.plus(9));
    let committed = store.commit(&facts([end, truth]), months.now()).await;
    let committed = committed.unwrap();
    assert_eq!(
        (committed.appended, committed.unchanged),
        (vec![head + 7], 1)
    );
}

async fn what_counts_anew_is_proven_beside_its_archive_in_a_version_of_its_own_alone(home: Home) {
    let store = home.open().await;
    let folder = tempfile::tempdir().unwrap();
    let mut months = Months::begin(&store).await;
    months.play(&store, 3).await;
    let archived = archive(&home, &months, &folder).await;
    let mut told = months.pods(0).into_iter();
    let mut anew = told.find(|fact| fact.source.uid == "m0-p3").unwrap();
    assert_eq!(anew.kind, FactKind::Opened);
    // in the version that lies in the archive it is the same observation with another content
    let mut same = anew.clone();
    same.at = Months::start(3);
    anew.at = Months::start(3);
    anew.source.version = format!("again-{}", anew.at.get());

    let committed = store.commit(&facts([anew]), months.now()).await.unwrap();
    assert_eq!(committed.appended.len(), 1);
    let with = verified(&store, &[&archived]).await;
    assert_eq!((with.finding, with.archived), (None, 0));

    let committed = store.commit(&facts([same]), months.now()).await.unwrap();
    assert_eq!(committed.appended.len(), 1, "nobody here knows its key");
    assert_eq!(verified(&store, &[]).await.finding, None);
    assert!(verified(&store, &[&archived]).await.finding.is_some());
}
