//! How objects end.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    admission,
    call::{Call, Verb},
    kinds::Kind,
    managed::seconds,
    object::{at, meta, set, text, texts},
    refusal::Refusal,
    store::{Answer, Key, Store, is_ending, is_over},
};

/// A pod that runs gets this long to end, if it does not say otherwise.
const GRACE: i64 = 30;

impl Store {
    pub(crate) fn delete(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
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
        let mut object = Value::clone(&live);
        if kind.is_core("Namespace") && !texts(&live, &["spec", "finalizers"]).is_empty() {
            if is_ending(&live) {
                return Ok(Answer::ok(object));
            }
            let time = Value::String(seconds(now));
            set(&mut object, &["metadata", "deletionTimestamp"], time);
            set(&mut object, &["status", "phase"], json!("Terminating"));
            return Ok(Answer::ok(self.put(key, object)));
        }
        let grace = grace(kind, &live, &call.body);
        let is_held = grace > 0 || !texts(&live, &["metadata", "finalizers"]).is_empty();
        if !is_held {
            let last = self.take(key).filter(|_| kind.is_given_back());
            return Ok(Answer::ok(last.unwrap_or_else(|| gone(kind, &live))));
        }
        let known = at(&live, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
        if is_ending(&live) && known.unwrap_or(0) <= grace {
            return Ok(Answer::ok(object));
        }
        end(&mut object, grace, now);
        Ok(Answer::ok(self.put(key, object)))
    }

    /// A delete of a pod in other words.
    pub(crate) fn evict(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
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
        self.delete(&delete, now)?;
        Ok(Answer::created(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        ))
    }
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
