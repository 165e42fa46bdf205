//! What the controller of namespaces reports of one that ends.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    managed::seconds,
    object::{at, set, text, texts},
    store::{Key, Store},
};

const CONDITIONS: [&str; 2] = ["status", "conditions"];

/// A condition as it should be: type, status, reason and message.
type Wanted = (&'static str, &'static str, &'static str, String);

impl Store {
    /// The namespace with the report on what is left in it, if it does not have it yet.
    pub(crate) fn reported(&self, name: &str, namespace: &Value, now: Timestamp) -> Option<Value> {
        let known = at(namespace, &CONDITIONS).and_then(Value::as_array);
        let mut conditions = known.cloned().unwrap_or_default();
        let mut is_news = false;
        for wanted in self.left_in(name) {
            is_news |= enter(&mut conditions, &wanted, now);
        }
        if !is_news {
            return None;
        }
        let mut reported = namespace.clone();
        set(&mut reported, &CONDITIONS, Value::Array(conditions));
        Some(reported)
    }

    fn left_in(&self, name: &str) -> Vec<Wanted> {
        let mut objects: BTreeMap<String, u32> = BTreeMap::new();
        let mut finalizers: BTreeMap<String, u32> = BTreeMap::new();
        let count = |counts: &mut BTreeMap<String, u32>, of: String| {
            let known = counts.entry(of).or_default();
            *known = known.saturating_add(1);
        };
        for (key, object) in self.inside(name) {
            count(&mut objects, of_group(key));
            for finalizer in texts(object, &["metadata", "finalizers"]) {
                count(&mut finalizers, finalizer.to_owned());
            }
        }
        let done = |type_, reason, message: &str| (type_, "False", reason, message.to_owned());
        vec![
            done(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            done(
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            done(
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            if objects.is_empty() {
                let message = "All content successfully removed";
                done("NamespaceContentRemaining", "ContentRemoved", message)
            } else {
                let told = told(&objects, "has");
                let message = format!("Some resources are remaining: {told}");
                let reason = "SomeResourcesRemain";
                ("NamespaceContentRemaining", "True", reason, message)
            },
            if finalizers.is_empty() {
                let message = "All content-preserving finalizers finished";
                let reason = "ContentHasNoFinalizers";
                done("NamespaceFinalizersRemaining", reason, message)
            } else {
                let told = told(&finalizers, "in");
                let message =
                    format!("Some content in the namespace has finalizers remaining: {told}");
                let reason = "SomeFinalizersRemain";
                ("NamespaceFinalizersRemaining", "True", reason, message)
            },
        ]
    }
}

/// `plural.group`; in the core group with the point as well.
fn of_group(key: &Key) -> String {
    if key.resource.contains('.') {
        key.resource.clone()
    } else {
        format!("{}.", key.resource)
    }
}

fn told(counts: &BTreeMap<String, u32>, word: &str) -> String {
    let told: Vec<String> = counts
        .iter()
        .map(|(of, count)| format!("{of} {word} {count} resource instances"))
        .collect();
    told.join(", ")
}

/// Puts a condition where it belongs, and tells whether it is news. Its time is that of the last change of its status.
fn enter(conditions: &mut Vec<Value>, wanted: &Wanted, now: Timestamp) -> bool {
    let (type_, status, reason, message) = wanted;
    let mut condition = json!({"type": type_, "status": status, "reason": reason,
        "message": message, "lastTransitionTime": seconds(now)});
    let known = conditions
        .iter_mut()
        .find(|known| text(known, &["type"]) == *type_);
    let Some(known) = known else {
        conditions.push(condition);
        return true;
    };
    let is_same = |field: &str| known.get(field) == condition.get(field);
    if is_same("status") && is_same("reason") && is_same("message") {
        return false;
    }
    if is_same("status")
        && let Some(time) = known.get("lastTransitionTime").cloned()
    {
        set(&mut condition, &["lastTransitionTime"], time);
    }
    *known = condition;
    true
}
