//! What is left in the end, in a form in which two runs can be compared: without times, identifiers and figures that
//! change all the time.

use std::{collections::BTreeMap, sync::LazyLock};

use leasehold_ledger::verify::Row;
use leasehold_model::{EventKind, Key, Store};
use regex::Regex;
use serde_json::{Map, Value};

/// Objects by kind, namespace and name.
pub type State = BTreeMap<String, Value>;
/// How often each object came and went, in order.
pub type Lives = BTreeMap<String, Vec<EventKind>>;

/// Kinds that say when something was, or that tell it as best they can.
const PASSING: [&str; 5] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    // both say how much was charged by some instant
    "billingperiods.charging.leasehold.dev",
    "statements.charging.leasehold.dev",
];
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
static UID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("00000000-0000-4000-8000-[0-9a-f]{12}").unwrap());
/// Digests of what names an instant or an identifier.
static DIGEST: LazyLock<Regex> = LazyLock::new(|| Regex::new("sha256:[0-9a-f]{64}").unwrap());

/// Whether an object of the kind is the same in every run.
pub fn is_lasting(key: &Key) -> bool {
    !PASSING.contains(&key.resource.as_str())
}

/// Kind, namespace and name.
pub fn title(key: &Key) -> String {
    format!("{} {}/{}", key.resource, key.namespace, key.name)
}

/// Everything that is there.
pub fn of(store: &Store) -> State {
    store
        .objects()
        .filter(|(key, _)| is_lasting(key))
        .map(|(key, object)| (title(key), normal(object)))
        .collect()
}

/// How often each object came and went, since the beginning.
pub fn lives(store: &Store) -> Lives {
    let mut lives = Lives::new();
    for event in store.events_after(1).unwrap() {
        if is_lasting(&event.key) && event.kind != EventKind::Modified {
            lives.entry(title(&event.key)).or_default().push(event.kind);
        }
    }
    lives
}

/// An object that can be compared with what it is in another run.
pub fn normal(object: &Value) -> Value {
    let mut object = plain(object);
    without(object.get_mut("metadata"), &OF_ITS_OWN);
    without(object.get_mut("status"), &FIGURES);
    let namespaces = object.pointer_mut("/status/namespaces");
    for namespace in namespaces
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        // used and granted, as old as the figures
        without(Some(namespace), &["quota"]);
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

/// The value with a word in the place of every time, identifier and digest.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let text = TIME.replace_all(text, "TIME");
            let text = UID.replace_all(&text, "UID");
            Value::String(DIGEST.replace_all(&text, "DIGEST").into_owned())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Map<String, Value> = fields
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// What a ledger says, in a form in which two runs can be compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    /// What each item of each lease was, one after the other: what happened, and how much there was then.
    pub leases: BTreeMap<String, Vec<(String, i64)>>,
    /// Every document, without times, sorted: different tenancies are free to overtake each other.
    pub documents: Vec<String>,
}

impl Books {
    /// Reads the rows of a ledger.
    pub fn of(rows: &[Row]) -> Self {
        let mut leases: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        let mut documents = Vec::new();
        for row in rows {
            let body: Value = serde_json::from_str(&row.body).unwrap();
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap();
            // gaps tell when nobody looked
            let is_gap = row.chain.key.starts_with("gap/");
            if row.chain.kind == "document" && !is_gap {
                let (kind, _) = row.chain.key.split_once('/').unwrap();
                documents.push(format!("{kind} {}", plain(&body)));
            }
            if row.chain.kind == "fact" && text("/meter").starts_with("lease/") {
                let item = format!("{} {}", text("/source/uid"), text("/meter"));
                let quantity = body["quantity"].as_i64().unwrap();
                let happened = (text("/kind").to_owned(), quantity);
                leases.entry(item).or_default().push(happened);
            }
        }
        documents.sort();
        Self { leases, documents }
    }
}

/// The first difference between two maps, in words.
pub fn difference<V: PartialEq + std::fmt::Debug>(
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
    tell: impl Fn(&V, &V) -> String,
) -> Option<String> {
    for (key, value) in expected {
        match found.get(key) {
            None => return Some(format!("{key} is missing; expected {value:?}")),
            Some(other) if other != value => {
                return Some(format!("{key}: {}", tell(value, other)));
            }
            Some(_) => {}
        }
    }
    let surplus = found.iter().find(|(key, _)| !expected.contains_key(*key));
    surplus.map(|(key, value)| format!("{key} should not be there: {value:?}"))
}

/// Where two values differ first.
pub fn differs_at(expected: &Value, found: &Value) -> String {
    fn descend(path: &str, expected: &Value, found: &Value) -> String {
        if let (Value::Object(one), Value::Object(other)) = (expected, found) {
            let keys = one.keys().chain(other.keys());
            for key in keys {
                let (one, other) = (&expected[key.as_str()], &found[key.as_str()]);
                if one != other {
                    return descend(&format!("{path}/{key}"), one, other);
                }
            }
        }
        format!("at {path} expected {expected}, found {found}")
    }
    descend("", expected, found)
}
