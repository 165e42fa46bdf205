//! The checks have teeth: each tells what it is there to tell. And scripts ask for nothing impossible.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use leasehold_kit::{Clock, ManualClock};
use leasehold_model::{Faults, Server, Store};
use leasehold_testkit::ends::differs_at;
use serde_json::{Value, json};

use crate::{
    bounds::{Bound, no_lease_is_exceeded, only_what_was_let_go_went},
    people::{ADMIN, create, delete},
    script::{Deed, Lessee, Script, Step, Wish},
    state, world,
};

fn server() -> Server {
    let start: Timestamp = world::START.parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(start));
    Server::new(clock, Faults::default())
}

fn stored(server: &Server) -> Store {
    server.with_store(|store, now| {
        store.settle(now);
        store.clone()
    })
}

fn labelled(kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let labels = json!({"leasehold.dev/department": "edu", "leasehold.dev/tenancy": "oa"});
    json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
    })
}

fn quota(namespace: &str, cores: &str) -> Value {
    let mut quota = labelled("ResourceQuota", Some(namespace), "leasehold");
    quota["spec"] = json!({"hard": {"requests.cpu": cores}});
    quota
}

#[test]
fn quotas_beyond_what_was_approved_are_told_and_those_within_are_not() {
    let server = server();
    let lessee = Lessee {
        code: "edu",
        name: "oa".to_owned(),
        shorts: Vec::new(),
        keeps: false,
    };
    for namespace in ["edu--a", "edu--b"] {
        create(&server, ADMIN, &labelled("Namespace", None, namespace)).unwrap();
    }
    let before = stored(&server).version();
    create(&server, ADMIN, &quota("edu--a", "2")).unwrap();
    let mut bound = Bound::new(&lessee);
    let unapproved = no_lease_is_exceeded(&stored(&server), &[bound.clone()]);
    assert!(unapproved.unwrap_err().contains("approved are 0"));
    bound.set(before, [3, 0, 0]);
    no_lease_is_exceeded(&stored(&server), &[bound.clone()]).unwrap();
    create(&server, ADMIN, &quota("edu--b", "1500m")).unwrap();
    let told = no_lease_is_exceeded(&stored(&server), &[bound]).unwrap_err();
    assert!(
        told.contains("holds 3500 of requests.cpu, approved are 3000"),
        "{told}"
    );
}

#[test]
fn what_went_without_a_reason_is_told() {
    let server = server();
    let place = "edu--a";
    create(&server, ADMIN, &labelled("Namespace", None, place)).unwrap();
    create(&server, ADMIN, &labelled("ConfigMap", Some(place), "own")).unwrap();
    let version = delete(&server, ADMIN, ["configmaps", place, "own"]).unwrap();
    let nobody = BTreeSet::new();
    let told = only_what_was_let_go_went(&stored(&server), &[], &nobody).unwrap_err();
    assert!(
        told.starts_with("configmaps edu--a/own was deleted"),
        "{told}"
    );
    let strangers = BTreeSet::from([version]);
    only_what_was_let_go_went(&stored(&server), &[], &strangers).unwrap();
    delete(&server, ADMIN, ["namespaces", "", place]).unwrap();
    let told = only_what_was_let_go_went(&stored(&server), &[], &strangers).unwrap_err();
    assert_eq!(told, "namespace edu--a ends, and nobody approved that");
}

#[test]
fn a_pod_that_ended_although_its_quota_let_it_run_is_told() {
    for (pods, is_told) in [("8", true), ("0", false)] {
        let (server, place) = (server(), "edu--a");
        create(&server, ADMIN, &labelled("Namespace", None, place)).unwrap();
        create(&server, ADMIN, &world::pod(place)).unwrap();
        let mut quota = quota(place, "2");
        quota["spec"]["hard"]["pods"] = json!(pods);
        create(&server, ADMIN, &quota).unwrap();
        delete(&server, ADMIN, ["pods", place, world::WEB]).unwrap();
        let told = only_what_was_let_go_went(&stored(&server), &[], &BTreeSet::new());
        assert_eq!(told.is_err(), is_told, "{told:?}");
    }
}

/// What is done in a step, without its particulars.
fn name(step: &Step) -> String {
    let Step::Do(_, deed) = step else {
        return String::new();
    };
    let told = format!("{deed:?}");
    told.split(|letter: char| !letter.is_alphabetic())
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn every_deed_is_frequent() {
    let mut scripts: BTreeMap<String, u32> = BTreeMap::new();
    for script in (0..2000).map(Script::drawn) {
        let deeds: BTreeSet<String> = script.steps.iter().map(name).collect();
        for deed in deeds {
            *scripts.entry(deed).or_default() += 1;
        }
    }
    for deed in [
        "Ask", "Settle", "TakeBack", "Approve", "Reject", "Accept", "GiveBack", "Run", "Suspend",
        "Lift", "Delete", "Edit", "Release", "LetGo", "Again",
    ] {
        // of two thousand
        let found = scripts.get(deed).copied().unwrap_or(0);
        assert!(found >= 40, "{deed} is in {found} scripts: {scripts:?}");
    }
}

#[test]
fn two_runs_are_compared_without_times_and_identifiers_and_with_everything_else() {
    let condition = |type_: &str, time: &str| {
        let message = format!("{type_} since {time}");
        json!({"type": type_, "lastTransitionTime": time, "message": message})
    };
    let object = |name: &str, uid: &str, time: &str, types: [&str; 2]| {
        let conditions = types.map(|type_| condition(type_, time));
        json!({
            "metadata": {"name": name, "uid": uid, "resourceVersion": uid},
            "status": {"phase": "Active", "history": [{"at": time}], "conditions": conditions},
        })
    };
    let (first, later) = ("2027-01-15T02:00:07Z", "2027-01-15T10:12:00+08:00");
    let one = |name: &str| state::normal(&object(name, "1", first, ["Ready", "Waiting"]));
    let other = state::normal(&object("a", "2", later, ["Waiting", "Ready"]));
    assert_eq!(one("a"), other);
    assert_ne!(one("b"), other);
    assert_eq!(
        differs_at(&one("b"), &other),
        "at /metadata/name expected \"b\", found \"a\""
    );
}

/// What is wished for in a step.
fn wish(step: &Step) -> Option<&Wish> {
    match step {
        Step::Do(
            _,
            Deed::Ask(wish) | Deed::Settle(wish) | Deed::TakeBack(wish) | Deed::Approve(wish),
        ) => Some(wish),
        Step::Do(..) | Step::Restart(_) | Step::Trouble(_) => None,
    }
}

#[test]
fn scripts_follow_from_their_seeds_and_share_out_no_more_than_they_lease() {
    let told = |seed: u64| format!("{:?}", Script::drawn(seed));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
    for script in (0..500).map(Script::drawn) {
        assert!((1..=4).contains(&script.lessees.len()));
        for wish in script.steps.iter().filter_map(wish) {
            let parts = wish.lease().into_iter().zip(wish.spare).zip([1, 1, 2]);
            for (item, ((leased, spare), least)) in parts.enumerate() {
                let shared: Vec<i64> = wish.shares.iter().map(|share| share[item]).collect();
                assert!(shared.iter().all(|share| *share >= least), "{wish:?}");
                assert!(spare >= 0, "{wish:?}");
                assert_eq!(leased, shared.iter().sum::<i64>() + spare);
            }
        }
    }
}
