//! What is left in the end, in a form in which two runs can be compared: without times, identifiers and figures that
//! change all the time.

use std::collections::BTreeMap;

use leasehold_ledger::verify::Row;
use leasehold_model::{EventKind, Key, Store};
use leasehold_testkit::ends::{self, Books, State};
use serde_json::Value;

use crate::expect::APPROVALS;

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

/// Whether an object of the kind is the same in every run.
pub fn is_lasting(key: &Key) -> bool {
    !PASSING.contains(&key.resource.as_str())
}

/// Whether the object is there in every run. Finance is asked about gaps, and a gap is where trouble kept the operator from
/// looking.
fn is_in_every_run(key: &Key) -> bool {
    is_lasting(key) && !is_about_a_gap(key)
}

/// Whether the object is a question to finance about gaps.
pub fn is_about_a_gap(key: &Key) -> bool {
    key.resource == APPROVALS && key.name.starts_with("gap-")
}

/// Kind, namespace and name.
pub fn title(key: &Key) -> String {
    format!("{} {}/{}", key.resource, key.namespace, key.name)
}

/// Everything that is there.
pub fn of(store: &Store) -> State {
    store
        .objects()
        .filter(|(key, _)| is_in_every_run(key))
        .map(|(key, object)| (title(key), normal(object)))
        .collect()
}

/// How often each object came and went, since the beginning.
pub fn lives(store: &Store) -> Lives {
    let mut lives = Lives::new();
    for event in store.events_after(1).unwrap() {
        if is_in_every_run(&event.key) && event.kind != EventKind::Modified {
            lives.entry(title(&event.key)).or_default().push(event.kind);
        }
    }
    lives
}

/// An object that can be compared with what it is in another run.
pub fn normal(object: &Value) -> Value {
    let mut object = ends::normal(object, None);
    // pods that were ended by somebody who died before he could count them are counted by nobody
    for place in ["/status", "/status/suspension"] {
        if let Some(fields) = object.pointer_mut(place).and_then(Value::as_object_mut) {
            fields.remove("evicted");
        }
    }
    let namespaces = object.pointer_mut("/status/namespaces");
    for namespace in namespaces
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        // used and granted, as old as the figures
        if let Some(fields) = namespace.as_object_mut() {
            fields.remove("quota");
        }
    }
    object
}

/// What a ledger says of leases, and every document but the gaps, which tell when nobody looked, and what finance is asked
/// about them.
pub fn books(rows: &[Row]) -> Books {
    let told = rows.iter().filter(|row| match row.chain.kind.as_str() {
        "fact" => true,
        "document" => !row.chain.key.starts_with("gap/") && !asks_about_a_gap(row),
        _ => false,
    });
    Books::of(told, None).unwrap().of_leases_alone()
}

fn asks_about_a_gap(row: &Row) -> bool {
    let asked = row.chain.key.strip_prefix("question/");
    asked.is_some_and(|asked| asked.contains("/gap-"))
}
