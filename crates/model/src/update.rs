//! How objects change.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    admission,
    call::{Call, PatchKind},
    create::{decoded, in_place, is_of_kind, keep_identity, valid},
    kinds::Kind,
    managed::{self, Writer},
    object::{at, copy, is_same_but, meta, remove, set, texts, without, without_nulls},
    patch, quota,
    refusal::Refusal,
    reply::Reply,
    store::{Key, Store, is_ending},
};

impl Store {
    /// Another object in the place of the old one.
    pub(crate) fn replace(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        let live = match self.find(&key(call), kind) {
            Err(_) if kind.is_made_by_update() => {
                is_meant(call, &call.body, "")?;
                return self.create(call, now);
            }
            found => found?,
        };
        let mut object = call.body.clone();
        is_of_kind(kind, &object)?;
        in_place(call, &mut object)?;
        is_meant(call, &object, meta(&live, "uid"))?;
        let mut object = decoded(kind, &object);
        managed::update(&live, &mut object, kind, writer(call, now));
        self.change(call, &live, object)
    }

    /// A change of what is there; an apply also makes what is not.
    pub(crate) fn patch(
        &mut self,
        call: &Call,
        patch: PatchKind,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        let found = self.find(&key(call), kind);
        if patch == PatchKind::Apply {
            return self.apply(call, found.ok().as_ref(), now);
        }
        let live = found?;
        let mut object = Value::clone(&live);
        if patch == PatchKind::Merge {
            patch::merge(&mut object, &call.body);
        } else {
            patch::json(&mut object, &call.body)
                .map_err(|patch::Inapplicable| Refusal::inapplicable())?;
        }
        in_place(call, &mut object)?;
        let mut object = decoded(kind, &object);
        managed::update(&live, &mut object, kind, writer(call, now));
        self.change(call, &live, object)
    }

    fn apply(
        &mut self,
        call: &Call,
        live: Option<&Arc<Value>>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        if call.parameter("fieldManager").is_empty() {
            let message = "Required value: is required for apply patch";
            return Err(invalid(kind, &call.name, "fieldManager", message));
        }
        let mut config = without_nulls(&call.body);
        is_of_kind(kind, &config)?;
        if at(&config, &["metadata", "managedFields"]).is_some() {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        if live.is_none() && !call.subresource.is_empty() {
            return Err(Refusal::not_found(kind, &call.name));
        }
        if let Some(field) = kind
            .schema
            .as_ref()
            .and_then(|known| known.stranger(&config))
        {
            return Err(Refusal::untyped(format!(
                "failed to create typed patch object: {field}: field not declared in schema"
            )));
        }
        let force = call.parameter("force") == "true";
        let writer = writer(call, now);
        in_place(call, &mut config)?;
        let Some(live) = live else {
            let uid = meta(&config, "uid");
            if !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Refusal::conflict(kind, &call.name, &why));
            }
            let object = managed::apply(&managed::unborn(kind), &config, kind, writer, force)?;
            return self.bear(call, decoded(kind, &object), now);
        };
        let object = managed::apply(live, &config, kind, writer, force)?;
        self.change(call, live, decoded(kind, &object))
    }

    /// Stores the changed object, if it is one and may be.
    pub(crate) fn change(
        &mut self,
        call: &Call,
        stored: &Arc<Value>,
        object: Value,
    ) -> Result<Reply, Refusal> {
        let (kind, live): (_, &Value) = (&call.kind, stored);
        let version = meta(&object, "resourceVersion");
        if version.is_empty() && !kind.unconditional {
            let message = "Invalid value: 0: must be specified for an update";
            return Err(invalid(
                kind,
                &call.name,
                "metadata.resourceVersion",
                message,
            ));
        }
        if !version.is_empty() && version != meta(live, "resourceVersion") {
            return Err(Refusal::modified(kind, &call.name));
        }
        let mut object = within_door(call, live, object);
        admission::stamp(call, &mut object, Some(live));
        let given = meta(&object, "uid");
        if !given.is_empty() && given != meta(live, "uid") {
            let message = format!("Invalid value: {given:?}: field is immutable");
            return Err(invalid(kind, &call.name, "metadata.uid", &message));
        }
        copy(&mut object, live, &["metadata", "uid"]);
        keep_identity(&mut object, live);
        copy(&mut object, live, &["metadata", "resourceVersion"]);
        let is_wish = matches!(call.subresource.as_str(), "" | "resize");
        if is_wish && is_moved(kind, &object, live) {
            let generation = at(live, &["metadata", "generation"]).and_then(Value::as_i64);
            let generation = json!(generation.unwrap_or(0).saturating_add(1));
            set(&mut object, &["metadata", "generation"], generation);
        }
        let finalizers = texts(&object, &["metadata", "finalizers"]);
        let before = texts(live, &["metadata", "finalizers"]);
        if is_ending(live)
            && let Some(new) = finalizers.iter().find(|name| !before.contains(name))
        {
            let message = format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers [{new:?}]"
            );
            return Err(invalid(kind, &call.name, "metadata.finalizers", &message));
        }
        valid(kind, &object, Some(live))?;
        admission::review(call, &object, Some(live))?;
        if managed::is_same(&object, live) {
            return Ok(Reply::ok(Arc::clone(stored)));
        }
        let charges = quota::admit(self, kind, &object, Some(live))?;
        quota::charge(self, charges);
        if is_released(kind, &object, live) {
            // it goes without having been stored once more, and so the answer has no new version
            drop(self.take(key(call)));
            return Ok(Reply::ok(Arc::new(object)));
        }
        Ok(Reply::ok(self.put(key(call), object)))
    }
}

/// Whether the object that is written names no other object than the one that is there.
fn is_meant(call: &Call, object: &Value, uid: &str) -> Result<(), Refusal> {
    let given = meta(object, "uid");
    if given.is_empty() || given == uid {
        return Ok(());
    }
    let why =
        format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
    Err(Refusal::conflict(&call.kind, &call.name, &why))
}

fn key(call: &Call) -> Key {
    Key::new(&call.kind, &call.namespace, &call.name)
}

fn writer(call: &Call, now: Timestamp) -> Writer<'_> {
    Writer {
        manager: call.manager(),
        subresource: &call.subresource,
        now,
    }
}

fn invalid(kind: &Kind, name: &str, field: &str, message: &str) -> Refusal {
    Refusal::invalid(kind, name, &[(field.to_owned(), message.to_owned())])
}

/// The object with what cannot be changed through this door as it was.
fn within_door(call: &Call, live: &Value, mut object: Value) -> Value {
    let kind = &call.kind;
    match call.subresource.as_str() {
        // of a custom kind the status alone comes through, and not even a wrong uid is looked at
        "status" if kind.is_custom() => {
            let mut kept = without(live, "status");
            if let Some(status) = remove(&mut object, &["status"]) {
                set(&mut kept, &["status"], status);
            }
            copy(&mut kept, &object, &["metadata", "managedFields"]);
            kept
        }
        "status" => {
            copy(&mut object, live, &["spec"]);
            object
        }
        "finalize" => {
            copy(&mut object, live, &["status"]);
            object
        }
        _ => {
            if kind.status {
                copy(&mut object, live, &["status"]);
            }
            if kind.is_core("Namespace") {
                copy(&mut object, live, &["spec"]);
            }
            object
        }
    }
}

/// Whether people changed what they want.
fn is_moved(kind: &Kind, object: &Value, live: &Value) -> bool {
    if !kind.is_custom() {
        return kind.generation && object.get("spec") != live.get("spec");
    }
    !is_same_but(object, live, "metadata", |_, _| true)
}

/// Whether this change was the last that an ending object waited for.
fn is_released(kind: &Kind, object: &Value, live: &Value) -> bool {
    let grace = at(live, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    let is_kept = kind.is_core("Namespace") && !texts(object, &["spec", "finalizers"]).is_empty();
    is_ending(live)
        && texts(object, &["metadata", "finalizers"]).is_empty()
        && grace.unwrap_or(0) == 0
        && !is_kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::Verb, kinds::Kinds};

    #[test]
    fn a_resize_of_a_pod_is_a_generation_of_its_own() {
        let mut store = Store::new(Kinds::ours(), Timestamp::UNIX_EPOCH);
        let kind = store.kinds().resource("pods").unwrap();
        let asks = |cores: &str| {
            let resources = json!({"requests": {"cpu": cores}});
            json!({"containers": [{"name": "main", "image": "web", "resources": resources}]})
        };
        let mut generation = |call: Call| {
            let answer = store.handle(&call, Timestamp::UNIX_EPOCH).unwrap();
            answer.body["metadata"]["generation"].clone()
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": asks("1"),
        });
        let create = Call::new(Verb::Create, &kind, "default", "").with_body(pod);
        assert_eq!(generation(create), json!(1));
        let resize =
            || Call::new(Verb::Patch(PatchKind::Merge), &kind, "default", "web").of("resize");
        for (cores, expected) in [("2", 2), ("2", 2), ("3", 3)] {
            let resize = resize().with_body(json!({"spec": asks(cores)}));
            assert_eq!(generation(resize), json!(expected), "{cores}");
        }
    }
}
