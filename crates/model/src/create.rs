//! How objects come into being.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    admission,
    call::Call,
    kinds::Kind,
    managed::{self, Writer},
    object::{copy, meta, remove, set, text},
    quota,
    refusal::Refusal,
    reply::Reply,
    store::{Key, Store, is_ending},
    wire,
};

/// The finalizer that keeps a namespace until it is empty.
pub(crate) const EMPTY_FIRST: &str = "kubernetes";
/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Store {
    pub(crate) fn create(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        let mut object = call.body.clone();
        is_of_kind(kind, &object)?;
        if meta(&object, "name").is_empty() && !meta(&object, "generateName").is_empty() {
            let name = format!("{}{:05}", meta(&object, "generateName"), self.birth());
            set(&mut object, &["metadata", "name"], Value::String(name));
        }
        in_place(call, &mut object)?;
        let mut object = decoded(kind, &object);
        let writer = Writer {
            manager: call.manager(),
            subresource: "",
            now,
        };
        managed::update(&managed::unborn(kind), &mut object, kind, writer);
        self.bear(call, object, now)
    }

    /// Creates an object whose fields have owners already.
    pub(crate) fn bear(
        &mut self,
        call: &Call,
        mut object: Value,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let kind = &call.kind;
        let name = meta(&object, "name").to_owned();
        self.takes_content(call, &name)?;
        admission::stamp(call, &mut object, None);
        complete(kind, &mut object);
        remove(&mut object, &["metadata", "resourceVersion"]);
        remove(&mut object, &["metadata", "deletionTimestamp"]);
        remove(&mut object, &["metadata", "deletionGracePeriodSeconds"]);
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.birth());
        set(&mut object, &["metadata", "uid"], Value::String(uid));
        let created = Value::String(managed::seconds(now));
        set(&mut object, &["metadata", "creationTimestamp"], created);
        if kind.generation {
            set(&mut object, &["metadata", "generation"], json!(1));
        }
        valid(kind, &object, None)?;
        admission::review(call, &object, None)?;
        let charges = quota::admit(self, kind, &object, None)?;
        let key = Key::new(kind, &call.namespace, &name);
        if self.objects.contains_key(&key) {
            return Err(Refusal::already_exists(kind, &name));
        }
        quota::charge(self, charges);
        Ok(Reply::created(self.put(key, object)))
    }

    /// Whether new objects may come into the namespace of the call.
    fn takes_content(&self, call: &Call, name: &str) -> Result<(), Refusal> {
        if !call.kind.namespaced {
            return Ok(());
        }
        let Some(namespace) = self.namespace(&call.namespace) else {
            let namespaces = self.kinds.of("v1", "Namespace");
            return Err(namespaces.map_or_else(Refusal::no_such_path, |kind| {
                Refusal::not_found(&kind, &call.namespace)
            }));
        };
        if !is_ending(namespace) {
            return Ok(());
        }
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            call.namespace
        );
        let cause = format!("namespace {} is being terminated", call.namespace);
        Err(Refusal::forbidden(&call.kind, name, &why).with_cause(
            "NamespaceTerminating",
            &cause,
            "metadata.namespace",
        ))
    }
}

/// Whether the body is of the kind that its path names.
pub(crate) fn is_of_kind(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let given = (text(object, &["apiVersion"]), text(object, &["kind"]));
    let wanted = kind.api_version();
    if given == (wanted, kind.kind.as_str()) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!(
        "the object provided is {} {}, expected {wanted} {}",
        given.0, given.1, kind.kind
    )))
}

/// Fills in name and namespace of the path, or refuses others.
pub(crate) fn in_place(call: &Call, object: &mut Value) -> Result<(), Refusal> {
    let place = meta(object, "namespace").to_owned();
    if place.is_empty() && call.kind.namespaced {
        let namespace = Value::String(call.namespace.clone());
        set(object, &["metadata", "namespace"], namespace);
    } else if place != call.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let name = meta(object, "name").to_owned();
    if call.name.is_empty() {
        if name.is_empty() {
            let missing = "Required value: name or generateName is required".to_owned();
            let violations = [("metadata.name".to_owned(), missing)];
            return Err(Refusal::invalid(&call.kind, "", &violations));
        }
    } else if name.is_empty() {
        let name = Value::String(call.name.clone());
        set(object, &["metadata", "name"], name);
    } else if name != call.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        )));
    }
    Ok(())
}

/// The object as the API server understands it: pruned, with defaults.
pub(crate) fn decoded(kind: &Kind, object: &Value) -> Value {
    let mut object = match &kind.schema {
        Some(schema) => {
            let mut object = schema.normal(object);
            wire::write_metadata(&mut object);
            object
        }
        None => wire::written(kind, object),
    };
    remove(&mut object, &["metadata", "selfLink"]);
    if kind.is_core("Namespace") {
        let name = Value::String(meta(&object, "name").to_owned());
        set(&mut object, &["metadata", "labels", NAME_LABEL], name);
    }
    if kind.is_core("PersistentVolumeClaim") && text(&object, &["spec", "volumeMode"]).is_empty() {
        set(&mut object, &["spec", "volumeMode"], json!("Filesystem"));
    }
    object
}

/// What the server writes into a new object, whatever was sent.
fn complete(kind: &Kind, object: &mut Value) {
    if kind.is_core("Namespace") {
        set(object, &["spec", "finalizers"], json!([EMPTY_FIRST]));
        set(object, &["status"], json!({"phase": "Active"}));
    } else if kind.is_core("ResourceQuota") {
        set(object, &["status"], json!({}));
    } else if kind.is_core("Pod") || kind.is_core("PersistentVolumeClaim") {
        set(object, &["status"], json!({"phase": "Pending"}));
    } else if kind.is_custom() {
        if kind.status {
            remove(object, &["status"]);
        }
    } else {
        // kubelets register their nodes with a status; parts that nobody gave are not there
        for part in ["spec", "status"] {
            if object.get(part) == Some(&json!({})) {
                remove(object, &[part]);
            }
        }
    }
}

/// Refuses what breaks a rule of the kind.
pub(crate) fn valid(kind: &Kind, object: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let name = meta(object, "name");
    let mut violations = Vec::new();
    if old.is_none() && !is_name(kind, name) {
        let message = format!(
            "Invalid value: {name:?}: a lowercase RFC 1123 name must consist of lower case alphanumeric characters, '-' or '.'"
        );
        violations.push(("metadata.name".to_owned(), message));
    }
    if let Some(schema) = &kind.schema {
        violations.extend(schema.violations(object, old));
    }
    if violations.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(kind, name, &violations))
}

/// Whether an object of the kind may be called so.
fn is_name(kind: &Kind, name: &str) -> bool {
    if kind.group == "rbac.authorization.k8s.io" {
        return !name.is_empty() && !name.contains(['/', '%']);
    }
    let is_label = |label: &str| {
        let inner =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if kind.is_core("Namespace") {
        return name.len() <= 63 && is_label(name);
    }
    name.len() <= 253 && name.split('.').all(is_label)
}

/// What no write can change, as it was.
pub(crate) fn keep_identity(object: &mut Value, live: &Value) {
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        copy(object, live, &["metadata", field]);
    }
}
