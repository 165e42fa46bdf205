use serde_json::json;

use super::*;

const SSD: &str = "ssd.storageclass.storage.k8s.io/requests.storage";

fn lease(cores: i64, disk: i64) -> Amounts {
    let lease = json!([
        {"item": "vcpu-x86", "quantity": cores.to_string()},
        {"item": "memory", "quantity": format!("{cores}Gi")},
        {"item": "block-ssd", "quantity": format!("{disk}Gi")},
    ]);
    given(Some(&lease)).unwrap()
}

fn at(revision: u64, number: u64, what: What) -> Stored {
    Stored {
        revision,
        number,
        department: "edu".to_owned(),
        what,
    }
}

fn quota(revision: u64, number: u64, short: &str, spec: i64, status: i64) -> Stored {
    let what = What::Quota {
        place: format!("edu--{short}"),
        spec: lease(spec, spec),
        status: lease(status, status),
    };
    at(revision, number, what)
}

fn tenancy(revision: u64, asked: i64, provisioned: i64, phase: &str, approved: u64) -> Stored {
    let what = What::Tenancy {
        asked: lease(asked, asked),
        provisioned: lease(provisioned, provisioned),
        phase: phase.to_owned(),
        approved,
    };
    at(revision, revision, what)
}

fn question(revision: u64, request: u64, approved: bool) -> Stored {
    at(revision, revision, What::Question { request, approved })
}

/// Eight cores, four here and four there, that become six and two.
fn moved() -> Vec<Stored> {
    vec![
        tenancy(1, 8, 0, "Requested", 0),
        question(2, 1, false),
        question(5, 1, true),
        quota(10, 1, "a", 4, 0),
        quota(11, 1, "b", 4, 0),
        quota(12, 2, "a", 4, 4),
        quota(13, 2, "b", 4, 4),
        tenancy(14, 8, 8, "Active", 1),
        quota(20, 3, "b", 2, 4),
        quota(21, 4, "b", 2, 2),
        quota(22, 3, "a", 6, 4),
        quota(23, 4, "a", 6, 6),
    ]
}

/// The same, then twelve, then eight again, of which each gets four.
fn changed() -> Vec<Stored> {
    let mut history = moved();
    history.extend([
        tenancy(30, 12, 8, "Changing", 1),
        question(31, 2, false),
        question(32, 2, true),
        // seen before the decision was
        tenancy(33, 12, 8, "Active", 1),
        quota(34, 5, "b", 6, 2),
        quota(35, 6, "b", 6, 6),
        tenancy(36, 12, 12, "Active", 2),
        tenancy(40, 8, 12, "Active", 2),
        tenancy(41, 8, 8, "Changing", 3),
        quota(42, 7, "b", 2, 6),
        quota(43, 8, "b", 2, 2),
        tenancy(44, 8, 8, "Active", 3),
    ]);
    history
}

fn told(history: &[Stored]) -> String {
    judge(history, "edu").unwrap_err()
}

#[test]
fn a_history_within_the_lease_is_good_and_its_moves_and_changes_are_counted() {
    let mut history = changed();
    // what another department has is its own affair
    let mut other = quota(9, 1, "a", 100, 100);
    other.department = "edu-more".to_owned();
    history.push(other);
    history.sort_by_key(|stored| stored.revision);
    let expected = Found {
        versions: 12,
        moves: 4,
        raised: 2,
        lowered: 1,
        released: 0,
    };
    assert_eq!(judge(&history, "edu"), Ok(expected));
    assert_eq!(judge(&[], "edu"), Ok(Found::default()));
    assert_eq!(expected.and(expected).moves, 8);
}

#[test]
fn one_that_grows_before_the_status_of_the_other_came_down_is_told() {
    let mut history = moved();
    history.remove(9);
    assert_eq!(
        told(&history[..10]),
        "after revision 22, edu holds 10000 of limits.cpu, leased are 8000"
    );
}

#[test]
fn each_key_that_can_be_leased_is_looked_at_and_what_is_not_leased_is_too_much() {
    let mut keys: Vec<String> = lease(1, 1).into_keys().collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    keys.extend(["requests.nvidia.com/gpu".to_owned(), format!("gold{CLASS}")]);
    for key in keys {
        for in_status in [false, true] {
            let mut history = moved();
            let last = &mut history.last_mut().unwrap().what;
            let What::Quota { spec, status, .. } = last else {
                panic!("no quota")
            };
            let amounts = if in_status { status } else { spec };
            *amounts.entry(key.clone()).or_default() += 1;
            let told = told(&history);
            assert!(told.contains(&format!(" of {key}, ")), "{told}");
        }
    }
}

#[test]
fn a_larger_lease_counts_from_its_approval_on_and_a_smaller_one_once_it_is_in_force() {
    let without = |place: usize| {
        let mut history = changed();
        history.remove(place);
        history
    };
    // nobody said yes: to the first lease, and to the larger one
    assert!(told(&without(2)).starts_with("after revision 10, edu holds 4000"));
    assert!(told(&without(14)).starts_with("after revision 34, edu holds 12000"));
    // one quota has not come down when the smaller lease is in force
    for gone in [43..=43, 42..=43] {
        let mut history = changed();
        history.retain(|stored| !gone.contains(&stored.revision));
        let expected = "after revision 44, edu holds 12000 of limits.cpu, leased are 8000";
        assert_eq!(told(&history), expected);
    }
}

#[test]
fn quotas_end_with_a_release_that_was_approved_and_the_name_may_begin_anew() {
    let mut history = moved();
    let end = |revision, short| quota(revision, 0, short, 0, 0);
    history.extend([
        at(30, 2, What::LetGo),
        end(31, "a"),
        end(32, "b"),
        tenancy(33, 8, 8, "Released", 1),
    ]);
    let found = judge(&history, "edu").unwrap();
    assert_eq!(found.released, 1);
    // nobody approved it
    let mut early = history.clone();
    early.remove(12);
    let told_of = told(&early);
    assert!(told_of.contains("nobody approved a release"), "{told_of}");
    // what is left of it is too much
    let mut left = history.clone();
    left.remove(14);
    assert!(told(&left).starts_with("after revision 33, edu holds 2000"));
    // a second life has nothing before it is approved, and may not end by itself
    let mut gone = tenancy(40, 0, 0, "", 0);
    gone.number = 0;
    let mut second = tenancy(41, 8, 0, "Requested", 0);
    second.number = 1;
    history.extend([gone, second, quota(45, 1, "a", 4, 0)]);
    assert!(told(&history).starts_with("after revision 45, edu holds 4000"));
    history.insert(18, question(42, 1, false));
    history.insert(19, question(43, 1, true));
    assert!(judge(&history, "edu").is_ok());
    history.push(end(46, "a"));
    assert!(told(&history).contains("nobody approved a release"));
}

#[test]
fn a_version_that_nobody_saw_and_what_is_not_in_order_are_told() {
    let mut history = moved();
    history.remove(3);
    let expected = "after revision 12, edu has version 2 of the quota in edu--a after version 0";
    assert_eq!(told(&history), expected);
    let mut history = moved();
    history.swap(10, 11);
    let expected = "after revision 23, edu has version 4 of the quota in edu--a after version 2";
    assert_eq!(told(&history), expected);
    let mut history = moved();
    history[11].revision = 22;
    assert_eq!(told(&history), "revision 22 comes after 22");
}

#[test]
fn objects_are_read_as_the_store_has_them() {
    let version = |place: &str, name: &str, object: Value| Version {
        revision: 7,
        number: 3,
        place: place.to_owned(),
        name: name.to_owned(),
        object: Some(object),
    };
    let hard =
        json!({"requests.cpu": "1500m", "requests.memory": "2Gi", "pods": "8", (SSD): "1Gi"});
    let object = json!({"spec": {"hard": hard}, "status": {"hard": {"limits.cpu": "2"}}});
    let read = super::quota(&version("edu--a", QUOTA, object.clone())).unwrap();
    let What::Quota { spec, status, .. } = read.unwrap().what else {
        panic!("no quota")
    };
    let expected = [
        ("requests.cpu", 1500),
        ("requests.memory", 2 << 30),
        (SSD, 1 << 30),
    ];
    assert_eq!(
        spec,
        Amounts::from(expected.map(|(key, amount)| (key.to_owned(), amount)))
    );
    assert_eq!(status, Amounts::from([("limits.cpu".to_owned(), 2000)]));
    assert_eq!(
        super::quota(&version("edu--a", "mine", object.clone())),
        Ok(None)
    );
    assert_eq!(
        super::quota(&version("kube-system", QUOTA, object)),
        Ok(None)
    );

    let object = json!({
        "spec": {"lease": [{"item": "vcpu-x86", "quantity": "8"}]},
        "status": {
            "approved": [{"item": "vcpu-x86", "quantity": "4"}], "phase": "Changing",
            "request": {"number": 2, "decision": "Undecided"},
        },
    });
    let read = super::tenancy(&version("dept-edu", "oa", object))
        .unwrap()
        .unwrap();
    let cores = |count| given(Some(&json!([{"item": "vcpu-x86", "quantity": count}]))).unwrap();
    let what = What::Tenancy {
        asked: cores("8"),
        provisioned: cores("4"),
        phase: "Changing".to_owned(),
        approved: 0,
    };
    assert_eq!(
        read,
        Stored {
            revision: 7,
            number: 3,
            department: "edu".to_owned(),
            what
        }
    );

    let spec = json!({"subject": {"kind": "Tenancy", "request": 2}, "decision": "Approved"});
    let read = approval(&version("dept-edu", "a", json!({"spec": spec}))).unwrap();
    assert_eq!(
        read.what,
        What::Question {
            request: 2,
            approved: true
        }
    );
    let spec = json!({"subject": {"kind": "Release", "request": 1}});
    assert_eq!(
        approval(&version("dept-edu", "a", json!({"spec": spec}))),
        None
    );
}
