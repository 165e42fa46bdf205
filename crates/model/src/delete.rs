//! How objects end.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    admission,
    call::{Call, Verb},
    kinds::Kind,
    managed::seconds,
    object::{at, meta, set, text, texts},
    refusal::Refusal,
    reply::{Content, Reply},
    store::{Key, Store, is_ending, is_over},
};

/// How many pods a disruption budget lets go now.
const ALLOWED: [&str; 2] = ["status", "disruptionsAllowed"];
/// A pod that runs gets this long to end, if it does not say otherwise.
const GRACE: i64 = 30;

impl Store {
    pub(crate) fn delete(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        if call.name.is_empty() || !call.subresource.is_empty() {
            return Err(Refusal::method_not_allowed());
        }
        let key = Key::new(kind, &call.namespace, &call.name);
        let live = self.find(&key, kind)?;
        met(kind, &live, &call.body)?;
        let policy = text(&call.body, &["propagationPolicy"]);
        if !matches!(policy, "" | "Background") {
            return Err(Refusal::bad_request(format!(
                "the model does not know the propagation policy {policy:?}"
            )));
        }
        admission::review_end(call, &live)?;
        if kind.is_core("Namespace") && !texts(&live, &["spec", "finalizers"]).is_empty() {
            if is_ending(&live) {
                return Ok(Reply::ok(live));
            }
            let mut object = Value::clone(&live);
            let time = Value::String(seconds(now));
            set(&mut object, &["metadata", "deletionTimestamp"], time);
            set(&mut object, &["status", "phase"], json!("Terminating"));
            return Ok(Reply::ok(self.put(key, object)));
        }
        let grace = grace(kind, &live, &call.body);
        let is_held = grace > 0 || !texts(&live, &["metadata", "finalizers"]).is_empty();
        if !is_held {
            let last = self.take(key).filter(|_| kind.is_given_back());
            return Ok(match last {
                Some(last) => Reply::ok(last),
                None => Reply::of(200, Content::Status(gone(kind, &live))),
            });
        }
        let known = at(&live, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
        if is_ending(&live) && known.unwrap_or(0) <= grace {
            return Ok(Reply::ok(live));
        }
        let mut object = Value::clone(&live);
        end(&mut object, grace, now);
        Ok(Reply::ok(self.put(key, object)))
    }

    /// A delete of a pod in other words, if its disruption budget allows it.
    pub(crate) fn evict(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        if !call.kind.is_core("Pod") {
            return Err(Refusal::no_such_path());
        }
        let options = call.body.get("deleteOptions").cloned();
        let delete = Call {
            verb: Verb::Delete,
            subresource: String::new(),
            body: options.unwrap_or_else(|| json!({})),
            ..call.clone()
        };
        self.spend(&delete)?;
        self.delete(&delete, now)?;
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
        });
        Ok(Reply::of(201, Content::Status(status)))
    }
}

impl Store {
    /// Takes one disruption from the budget of a pod that runs, if it has one. What a budget allows stands in its status;
    /// the controller that writes it is not here, so that a budget allows nothing until somebody plays it.
    fn spend(&mut self, call: &Call) -> Result<(), Refusal> {
        let key = Key::new(&call.kind, &call.namespace, &call.name);
        let pod = self.find(&key, &call.kind)?;
        met(&call.kind, &pod, &call.body)?;
        let is_waiting = text(&pod, &["status", "phase"]) == "Pending";
        if is_waiting || is_over(&pod) || is_ending(&pod) {
            return Ok(());
        }
        let Some(kind) = self.kinds.of("policy/v1", "PodDisruptionBudget") else {
            return Ok(());
        };
        let mut budgets: Vec<(Key, Arc<Value>)> = self
            .of_kind(&kind, &call.namespace)
            .filter(|(_, budget)| covers(budget, &pod))
            .map(|(key, budget)| (key.clone(), Arc::clone(budget)))
            .collect();
        let Some((key, budget)) = budgets.pop() else {
            return Ok(());
        };
        if !budgets.is_empty() {
            return Err(Refusal::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let allowed = at(&budget, &ALLOWED).and_then(Value::as_i64).unwrap_or(0);
        if allowed <= 0 {
            return Err(Refusal::kept(&key.name));
        }
        let mut budget = Value::clone(&budget);
        set(&mut budget, &ALLOWED, json!(allowed.saturating_sub(1)));
        self.put(key, budget);
        Ok(())
    }
}

/// Whether a budget is about a pod: one without a selector is about none, one with an empty selector about all. Of
/// selectors the model knows labels alone.
fn covers(budget: &Value, pod: &Value) -> bool {
    let Some(selector) = at(budget, &["spec", "selector"]) else {
        return false;
    };
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .all(|(label, value)| at(pod, &["metadata", "labels", label.as_str()]) == Some(value))
}

/// Refuses when the object is not the one that the caller means.
fn met(kind: &Kind, live: &Value, options: &Value) -> Result<(), Refusal> {
    for (condition, field, what) in [
        ("uid", "uid", "UID"),
        ("resourceVersion", "resourceVersion", "ResourceVersion"),
    ] {
        let wanted = text(options, &["preconditions", condition]);
        let found = meta(live, field);
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found})"
            );
            return Err(Refusal::conflict(kind, meta(live, "name"), &why));
        }
    }
    Ok(())
}

/// Seconds that the object gets to end by itself.
fn grace(kind: &Kind, live: &Value, options: &Value) -> i64 {
    let is_running =
        kind.is_core("Pod") && !text(live, &["spec", "nodeName"]).is_empty() && !is_over(live);
    if !is_running {
        return 0;
    }
    options
        .get("gracePeriodSeconds")
        .or_else(|| at(live, &["spec", "terminationGracePeriodSeconds"]))
        .and_then(Value::as_i64)
        .unwrap_or(GRACE)
        .max(0)
}

/// Marks the object as ending after so many seconds.
fn end(object: &mut Value, grace: i64, now: Timestamp) {
    let pause = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    let at_latest = now.checked_add(pause).unwrap_or(Timestamp::MAX);
    let is_first = !is_ending(object);
    let time = Value::String(seconds(at_latest));
    set(object, &["metadata", "deletionTimestamp"], time);
    let grace = json!(grace);
    set(object, &["metadata", "deletionGracePeriodSeconds"], grace);
    let generation = at(object, &["metadata", "generation"]).and_then(Value::as_i64);
    if let Some(generation) = generation.filter(|_| is_first) {
        let generation = json!(generation.saturating_add(1));
        set(object, &["metadata", "generation"], generation);
    }
}

/// The answer to a delete that took effect at once.
fn gone(kind: &Kind, live: &Value) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": meta(live, "name"), "group": kind.group, "kind": kind.plural,
            "uid": meta(live, "uid"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn made(store: &mut Store, manifest: &Value) {
        let kind = store
            .kinds()
            .of(text(manifest, &["apiVersion"]), text(manifest, &["kind"]))
            .unwrap();
        let call = Call::new(Verb::Create, &kind, "default", "").with_body(manifest.clone());
        store.handle(&call, NOW).unwrap();
    }

    /// A pod that runs on a node.
    fn pod(store: &mut Store, name: &str) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"nodeName": "n1"}});
        made(store, &pod);
        let kind = store.kinds().of("v1", "Pod").unwrap();
        store.report_pod(&Key::new(&kind, "default", name), "Running", NOW);
    }

    fn budget(store: &mut Store, name: &str, app: &str, allowed: i64) {
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed}});
        made(store, &budget);
    }

    fn evicted(store: &mut Store, name: &str) -> u16 {
        let kind = store.kinds().of("v1", "Pod").unwrap();
        let call = Call::new(Verb::Create, &kind, "default", name)
            .of("eviction")
            .with_body(json!({"deleteOptions": {}}));
        match store.handle(&call, NOW) {
            Ok(answer) => answer.code,
            Err(refusal) => refusal.code,
        }
    }

    #[test]
    fn a_budget_lets_go_as_many_pods_as_it_allows() {
        let mut store = Store::new(Kinds::ours(), NOW);
        for name in ["a", "b"] {
            pod(&mut store, name);
        }
        budget(&mut store, "other", "db", 0);
        budget(&mut store, "web", "web", 1);
        assert_eq!(
            [evicted(&mut store, "a"), evicted(&mut store, "b")],
            [201, 429]
        );
        // one that ends already is not counted again
        assert_eq!(evicted(&mut store, "a"), 201);
        budget(&mut store, "again", "web", 1);
        assert_eq!(evicted(&mut store, "b"), 500);
    }

    #[test]
    fn without_a_budget_and_before_it_runs_a_pod_goes() {
        let mut store = Store::new(Kinds::ours(), NOW);
        pod(&mut store, "a");
        assert_eq!(evicted(&mut store, "a"), 201);
        budget(&mut store, "web", "web", 0);
        let waits = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "b", "labels": {"app": "web"}}, "spec": {}});
        made(&mut store, &waits);
        assert_eq!(evicted(&mut store, "b"), 201);
        assert_eq!(evicted(&mut store, "b"), 404);
    }
}
