//! Sharp cases of what the cluster does around objects: quotas, namespaces that end, garbage.

use leasehold_testkit::manifests;
use serde_json::{Value, json};

use crate::book::uid_of;
use crate::deed::{Deed, NOBODY, Verb};
use crate::place::Place;
use crate::sharp::{ALPHA, Case, HOLD, Step, at, case, made};

/// The cases.
pub fn all() -> Vec<Case> {
    [quotas(), pods(), endings(), labels(), garbage()]
        .into_iter()
        .flatten()
        .collect()
}

fn quotas() -> Vec<Case> {
    let space = "cft-quota";
    let quota = Place::new("ResourceQuota", space, "q");
    let map = |name: &str| Deed::create(&Place::new("ConfigMap", space, name), &json!({}));
    let hard = |hard: Value| json!({"spec": {"hard": hard}});
    let gone = Place::new("ConfigMap", space, "a");
    let mut counted = case(
        "a quota refuses what exceeds it, and lets it in when something goes",
        vec![
            // the root certificate is one of them
            (Deed::create(&quota, &hard(json!({"configmaps": "3"}))), 201),
            (map("a"), 201),
            (map("b"), 201),
            (map("c"), 403),
            (Deed::delete(&gone, &json!({})), 200),
            (map("c"), 201),
            (
                Deed::merge(
                    &quota,
                    hard(json!({"configmaps": "5", "count/configmaps": "3"})),
                ),
                200,
            ),
            (map("d"), 403),
            (Deed::merge(&quota, hard(json!({"configmaps": "2"}))), 200),
            (map("d"), 403),
            (
                Deed::merge(
                    &quota,
                    hard(json!({"configmaps": null, "count/configmaps": "9"})),
                ),
                200,
            ),
            (map("d"), 201),
            (Deed::delete(&quota, &json!({})), 200),
            (map("e"), 201),
        ],
    );
    counted.steps.insert(0, Step::Settle(space.to_owned()));
    vec![counted]
}

fn pods() -> Vec<Case> {
    let space = "cft-pods";
    let quota = Place::new("ResourceQuota", space, "q");
    let hard = json!({"requests.cpu": "1", "limits.cpu": "1", "pods": "3"});
    let pod = |name: &str, body: &Value| Deed::create(&Place::new("Pod", space, name), body);
    let of = |name: &str, cpu: &str| pod(name, &manifests::pod(space, name, cpu, "64Mi", None));
    let mut boundless = manifests::pod(space, "boundless", "1", "64Mi", None);
    boundless["spec"]["containers"][0]["resources"] = json!({});
    vec![Case {
        says: "pods count by what they ask for, and must ask for what is counted",
        steps: vec![
            Step::Settle(space.to_owned()),
            Step::Do(Deed::create(&quota, &json!({"spec": {"hard": hard}})), 201),
            Step::Judge(pod("boundless", &boundless), 403),
            Step::Judge(of("a", "600m"), 201),
            Step::Judge(of("b", "600m"), 403),
            Step::Judge(of("b", "400m"), 201),
            Step::Judge(of("c", "1m"), 403),
        ],
    }]
}

fn endings() -> Vec<Case> {
    let space = "cft-end";
    let place = Place::namespace(space);
    let held = Place::new("ConfigMap", space, "held");
    let (free, late) = (
        Place::new("ConfigMap", space, "free"),
        Place::new("ConfigMap", space, "late"),
    );
    let body = json!({"metadata": {"finalizers": [HOLD]}});
    let let_go = json!({"metadata": {"finalizers": null}});
    let mut ends = case(
        "a namespace that ends takes in nothing, and goes when the last object does",
        vec![
            (Deed::create(&held, &body), 201),
            made(&free),
            (
                Deed::delete(&place, &json!({"preconditions": {"uid": NOBODY}})),
                409,
            ),
            (Deed::delete(&place, &json!({})), 200),
            (Deed::create(&late, &json!({})), 403),
            (Deed::apply(&late, ALPHA, &json!({})), 403),
            (Deed::get(&free), 404),
            (Deed::merge(&held, json!({"data": {"x": "2"}})), 200),
            (
                Deed::merge(&place, json!({"metadata": {"labels": {"still": "there"}}})),
                200,
            ),
            (Deed::delete(&place, &json!({})), 200),
            (Deed::merge(&held, let_go), 200),
            (Deed::get(&place), 404),
            (Deed::create(&late, &json!({})), 404),
        ],
    );
    ends.steps.insert(0, Step::Settle(space.to_owned()));
    vec![ends]
}

fn labels() -> Vec<Case> {
    let other = Place::namespace("cft-labels");
    vec![case(
        "a namespace keeps the label of its name, and its finalizer",
        vec![
            (
                Deed::create(&other, &json!({"metadata": {"labels": {"a": "b"}}})),
                201,
            ),
            (
                Deed::merge(&other, json!({"metadata": {"labels": null}})),
                200,
            ),
            (
                Deed::replace(
                    &other,
                    &json!({"spec": {"finalizers": []}, "status": {"phase": "Terminating"}}),
                ),
                200,
            ),
            (
                Deed::apply(&other, ALPHA, &json!({"metadata": {"labels": {"a": "c"}}})),
                200,
            ),
            (Deed::create(&other, &json!({})), 409),
        ],
    )]
}

fn garbage() -> Vec<Case> {
    let (owner, owned) = (at("ConfigMap", "owner"), at("ConfigMap", "owned"));
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": uid_of(&owner),
    });
    let of_owner = json!({"metadata": {"ownerReferences": [reference]}});
    vec![Case {
        says: "an object goes with its owner",
        steps: vec![
            Step::Do(made(&owner).0, 201),
            Step::Do(Deed::create(&owned, &of_owner), 201),
            Step::Do(Deed::new(Verb::Delete, &owner), 200),
            Step::Level(owned.clone()),
            Step::Do(Deed::get(&owned), 404),
        ],
    }]
}
