//! What is there in the end, in a form in which two departments can be compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use leasehold_e2e::Stage;
use leasehold_testkit::User;
use regex::Regex;
use serde_json::{Map, Value};

use crate::course::told;

/// Objects of one department by kind, namespace and name, without what differs from one run to the next.
pub type State = BTreeMap<String, Value>;

/// What is compared: all that people or the operator make for a department, other than figures that grow with time.
const KINDS: &str = "namespaces,resourcequotas,limitranges,persistentvolumeclaims,\
    networkpolicies.networking.k8s.io,rolebindings.rbac.authorization.k8s.io,\
    departments.tenancy.leasehold.dev,informationsystems.tenancy.leasehold.dev,\
    tenancies.tenancy.leasehold.dev,approvals.charging.leasehold.dev";
/// Metadata of which every object has its own.
const OF_ITS_OWN: [&str; 5] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
];
/// Parts of a status that are figures of an instant, or a story of which the operator may die before it tells the end.
const FIGURES: [&str; 5] = ["history", "usage", "used", "period", "creditLeft"];

static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)").unwrap()
});
static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
});
/// Digests of what names a department, an instant or an identifier.
static DIGEST: LazyLock<Regex> = LazyLock::new(|| Regex::new("sha256:[0-9a-f]{64}").unwrap());

/// Everything that is there, of all departments.
pub async fn everything(stage: &Stage) -> Result<Vec<Value>, String> {
    // no role of the chart reads all of it
    let admin = stage.user(User::Admin).await.map_err(told)?;
    let get = ["get", KINDS, "--all-namespaces", "-o", "json"];
    let ran = admin.kubectl(&get, "").await.map_err(told)?;
    let list: Value = ran.ok().and_then(|ran| ran.json()).map_err(told)?;
    let items = list.get("items").and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

/// What is there of one department.
pub fn of(everything: &[Value], code: &str) -> State {
    let its = everything.iter().filter(|object| {
        let metadata = &object["metadata"];
        let mut names = ["name", "namespace"]
            .map(|field| metadata[field].as_str())
            .into_iter();
        names.any(|name| name.is_some_and(|name| name.contains(code)))
    });
    its.map(|object| {
        let object = normal(object, code);
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text);
        (key.join(" "), object)
    })
    .collect()
}

/// The first difference, in words.
pub fn difference(expected: &State, found: &State) -> Option<String> {
    for (key, value) in expected {
        match found.get(key) {
            None => return Some(format!("{key} is missing; expected {value}")),
            Some(other) if other != value => {
                return Some(format!("{key}: {}", differs_at("", value, other)));
            }
            Some(_) => {}
        }
    }
    let surplus = found.iter().find(|(key, _)| !expected.contains_key(*key));
    surplus.map(|(key, value)| format!("{key} should not be there: {value}"))
}

/// Where two values differ first.
fn differs_at(path: &str, expected: &Value, found: &Value) -> String {
    if let (Value::Object(one), Value::Object(other)) = (expected, found) {
        for key in one.keys().chain(other.keys()) {
            let (one, other) = (&expected[key.as_str()], &found[key.as_str()]);
            if one != other {
                return differs_at(&format!("{path}/{key}"), one, other);
            }
        }
    }
    format!("at {path} expected {expected}, found {found}")
}

/// An object that can be compared with that of another department.
fn normal(object: &Value, code: &str) -> Value {
    let mut object = plain(object, code);
    let generation = object["metadata"]["generation"].clone();
    without(object.get_mut("metadata"), &OF_ITS_OWN);
    without(object.get_mut("status"), &FIGURES);
    if let Some(observed) = object.pointer_mut("/status/observedGeneration") {
        // how often people wrote is their matter; that the last time was seen is the operator's
        *observed = Value::Bool(*observed == generation);
    }
    if let Some(conditions) = object.pointer_mut("/status/conditions") {
        level(conditions);
    }
    object
}

fn without(part: Option<&mut Value>, fields: &[&str]) {
    if let Some(map) = part.and_then(Value::as_object_mut) {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
}

/// Conditions stand in the order in which they came up, and say which generation they were last written for.
fn level(conditions: &mut Value) {
    let Some(list) = conditions.as_array_mut() else {
        return;
    };
    for condition in list.iter_mut() {
        without(
            Some(condition),
            &["lastTransitionTime", "observedGeneration"],
        );
    }
    list.sort_by_key(|condition| condition["type"].as_str().map(str::to_owned));
}

/// The value with words in the place of the code and of every time, identifier and digest.
pub fn plain(value: &Value, code: &str) -> Value {
    match value {
        Value::String(text) => Value::String(plain_text(text, code)),
        Value::Array(items) => items.iter().map(|item| plain(item, code)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Map<String, Value> = fields
                .map(|(key, value)| (plain_text(key, code), plain(value, code)))
                .collect();
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn plain_text(text: &str, code: &str) -> String {
    let text = text.replace(code, "CODE");
    let text = TIME.replace_all(&text, "TIME");
    let text = UID.replace_all(&text, "UID");
    DIGEST.replace_all(&text, "DIGEST").into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn tenancy(code: &str, uid: &str, minute: u32) -> Value {
        let at = format!("2027-01-15T02:{minute:02}:00Z");
        json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
            "metadata": {
                "name": "oa", "namespace": format!("dept-{code}"), "uid": uid,
                "resourceVersion": minute.to_string(), "generation": 3, "creationTimestamp": at,
                "labels": {"leasehold.dev/department": code},
                "annotations": {"requested-by": format!("zhang@{code}")},
            },
            "spec": {"lease": [{"item": "vcpu-x86", "quantity": "8"}]},
            "status": {
                "observedGeneration": 3, "phase": "Active", "history": [{"at": at}],
                "request": {"digest": format!("sha256:{DIGITS}")},
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": at},
                    {"type": "Expired", "status": "False", "message": format!("since {at}")},
                ],
            },
        })
    }

    fn states(found: Value) -> (State, State) {
        let expected = tenancy("calm001", "11111111-2222-3333-4444-555555555555", 1);
        let all = [expected, found];
        (of(&all, "calm001"), of(&all, "wild001"))
    }

    /// What is told of another tenancy with this at this place.
    fn told_of(pointer: &str, value: Value) -> Option<String> {
        let mut other = tenancy("wild001", "66666666-7777-8888-9999-000000000000", 2);
        *other.pointer_mut(pointer).unwrap() = value;
        let (expected, found) = states(other);
        difference(&expected, &found)
    }

    #[test]
    fn departments_that_differ_in_code_times_and_identifiers_alone_are_the_same() {
        let mut other = tenancy("wild001", "66666666-7777-8888-9999-000000000000", 2);
        // the order in which conditions came up, and figures of an instant
        let conditions = other.pointer_mut("/status/conditions").unwrap();
        conditions.as_array_mut().unwrap().reverse();
        other["status"]["history"] = json!([]);
        // somebody wrote once more, and it was seen
        other["metadata"]["generation"] = json!(4);
        other["status"]["observedGeneration"] = json!(4);
        let (expected, found) = states(other);
        assert_eq!(difference(&expected, &found), None);
        assert_eq!(
            expected.keys().collect::<Vec<_>>(),
            ["Tenancy dept-CODE oa"]
        );
    }

    #[test]
    fn every_other_difference_is_told_with_its_place() {
        let table = [
            ("/spec/lease/0/quantity", json!("9")),
            ("/status/phase", json!("Changing")),
            ("/status/observedGeneration", json!(2)),
            ("/status/conditions/0/status", json!("False")),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations/requested-by", json!("li@wild001")),
            ("/metadata/annotations/requested-by", json!("zhang@wild002")),
        ];
        for (pointer, value) in table {
            let told = told_of(pointer, value).unwrap();
            assert!(told.starts_with("Tenancy dept-CODE oa: at /"), "{told}");
        }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let (expected, _) = states(Value::Null);
        let told = difference(&expected, &State::new()).unwrap();
        assert!(
            told.starts_with("Tenancy dept-CODE oa is missing"),
            "{told}"
        );
        let told = difference(&State::new(), &expected).unwrap();
        assert!(
            told.starts_with("Tenancy dept-CODE oa should not be there"),
            "{told}"
        );
    }
}
