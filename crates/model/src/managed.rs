//! Who owns which field: `managedFields`, kept by every write, and server-side apply on top of it.

use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    fields::{self, FieldSet, Path, path},
    kinds::Kind,
    merge::{compare, fields_of, merge, with_named, without},
    object::{self, is_same_but, remove, set, text},
    refusal::Refusal,
    shape::Shape,
    wire,
};

const MANAGED_FIELDS: [&str; 2] = ["metadata", "managedFields"];

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes, and through which door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'call> {
    /// The field manager.
    pub(crate) manager: &'call str,
    /// The subresource; empty for the object itself.
    pub(crate) subresource: &'call str,
    /// When.
    pub(crate) now: Timestamp,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    operation: Operation,
    /// Seconds; as Kubernetes writes them, these texts sort as the times do.
    time: String,
    manager: String,
    subresource: String,
    set: FieldSet,
}

impl Entry {
    fn is_of(&self, writer: Writer<'_>, operation: Operation) -> bool {
        self.manager == writer.manager
            && self.subresource == writer.subresource
            && self.operation == operation
    }
}

fn read(object: &Value) -> Vec<Entry> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .map(|entry| Entry {
            operation: match text(entry, &["operation"]) {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            },
            time: text(entry, &["time"]).to_owned(),
            manager: text(entry, &["manager"]).to_owned(),
            subresource: text(entry, &["subresource"]).to_owned(),
            set: FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        })
        .collect()
}

fn write(object: &mut Value, kind: &Kind, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by_cached_key(|entry| {
        (
            entry.operation,
            entry.time.clone(),
            entry.manager.clone(),
            entry.subresource.clone(),
        )
    });
    if entries.is_empty() {
        remove(object, &MANAGED_FIELDS);
        return;
    }
    let list: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            let mut json = json!({
                "manager": entry.manager, "operation": entry.operation.name(),
                "apiVersion": kind.api_version(), "fieldsType": "FieldsV1",
                "fieldsV1": entry.set.to_json(),
            });
            if !entry.time.is_empty() {
                set(&mut json, &["time"], Value::String(entry.time));
            }
            if !entry.subresource.is_empty() {
                set(
                    &mut json,
                    &["subresource"],
                    Value::String(entry.subresource),
                );
            }
            json
        })
        .collect();
    set(object, &MANAGED_FIELDS, Value::Array(list));
}

/// Whether two objects differ in nothing but the times of their managers.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    is_same_but(one, other, "metadata", |one, other| {
        is_same_but(one, other, "managedFields", are_same_books)
    })
}

fn are_same_books(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_array(), other.as_array()) else {
        return one == other;
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| timeless(one).eq(timeless(other)))
}

/// What an entry says beside its time.
fn timeless(entry: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = entry.as_object().into_iter().flatten();
    fields.filter(|(key, _)| *key != "time")
}

/// A copy of an object without its books.
fn without_books(object: &Value) -> Value {
    let mut copy = object::without(object, "metadata");
    if let Some(metadata) = object.get("metadata") {
        let metadata = object::without(metadata, "managedFields");
        set(&mut copy, &["metadata"], metadata);
    }
    copy
}

/// Fields that are never owned.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let metadata = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut set: FieldSet = metadata
        .iter()
        .map(|field| path(&["metadata", field]))
        .collect();
    for field in ["apiVersion", "kind", "metadata"] {
        set.insert(&path(&[field]));
    }
    set
});

/// What a write through this door cannot change.
fn reset(kind: &Kind, subresource: &str) -> Vec<Path> {
    match subresource {
        "status" if kind.is_custom() => vec![path(&["metadata"]), path(&["spec"])],
        "status" => vec![path(&["spec"])],
        _ if kind.status => vec![path(&["status"])],
        _ => Vec::new(),
    }
}

/// What an object is compared with that is about to be created: the kinds of Kubernetes always have their parts.
pub(crate) fn unborn(kind: &Kind) -> Value {
    let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind});
    if !kind.is_custom() {
        for part in ["metadata", "spec", "status"] {
            set(&mut object, &[part], json!({}));
        }
        wire::fill(kind, &mut object);
    }
    object
}

/// Keeps the books of a write that is not an apply: who changes a field owns it.
pub(crate) fn update(live: &Value, new: &mut Value, kind: &Kind, writer: Writer<'_>) {
    let mut entries = read(live);
    remove(new, &MANAGED_FIELDS);
    // of an object without books they are begun by an apply alone
    if entries.is_empty() && live.pointer("/metadata/uid").is_some() {
        return;
    }
    // that it has no books any more is a change of what nobody owns
    let changes = compare(live, new, Shape::of(kind)).outside(&reset(kind, writer.subresource));
    let taken = changes.modified.union(&changes.added);
    for entry in &mut entries {
        entry.set = entry.set.minus(&taken).minus(&changes.removed);
    }
    let owned = taken.minus(&UNOWNED);
    if !owned.is_empty() {
        let time = seconds(writer.now);
        let known = entries
            .iter_mut()
            .find(|entry| entry.is_of(writer, Operation::Update));
        match known {
            Some(entry) => {
                entry.set = entry.set.union(&owned);
                entry.time = time;
            }
            None => entries.push(entry_of(writer, Operation::Update, owned, time)),
        }
    }
    write(new, kind, entries);
}

fn entry_of(writer: Writer<'_>, operation: Operation, set: FieldSet, time: String) -> Entry {
    Entry {
        operation,
        time,
        manager: writer.manager.to_owned(),
        subresource: writer.subresource.to_owned(),
        set,
    }
}

/// A time as it stands in metadata.
pub(crate) fn seconds(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The live object with the configuration applied to it, and with its books kept.
pub(crate) fn apply(
    live: &Value,
    config: &Value,
    kind: &Kind,
    writer: Writer<'_>,
    force: bool,
) -> Result<Value, Refusal> {
    let shape = Shape::of(kind);
    let hidden = reset(kind, writer.subresource);
    let mut entries = read(live);
    let before = without_books(live);

    let owned = fields_of(config, shape).outside(&hidden);
    let last = entries
        .iter()
        .find(|entry| entry.is_of(writer, Operation::Apply))
        .cloned();
    entries.retain(|entry| !entry.is_of(writer, Operation::Apply));
    let all = entries
        .iter()
        .fold(owned.clone(), |all, entry| all.union(&entry.set));
    let merged = merge(&before, config, shape);
    let new = match &last {
        Some(last) => pruned(&merged, &last.set, &all, shape),
        None => merged,
    };

    let changes = compare(&before, &new, shape).outside(&hidden);
    let taken = changes.modified.union(&changes.added);
    let conflicts: Vec<(String, String)> = entries
        .iter()
        .flat_map(|entry| {
            let lost = entry.set.shared_with(&taken);
            let told: Vec<String> = lost.paths().iter().map(|path| fields::told(path)).collect();
            told.into_iter().map(|field| (entry.manager.clone(), field))
        })
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(Refusal::ownership(&conflicts));
    }
    for entry in &mut entries {
        entry.set = entry.set.minus(&taken).minus(&changes.removed);
    }
    let time = if new == before {
        last.map(|last| last.time).unwrap_or_default()
    } else {
        seconds(writer.now)
    };
    let owned = owned.minus(&UNOWNED);
    entries.push(entry_of(writer, Operation::Apply, owned, time));
    let mut new = new;
    write(&mut new, kind, entries);
    Ok(new)
}

/// The merged object without what this manager applied last and nobody owns now.
fn pruned(merged: &Value, last: &FieldSet, owned: &FieldSet, shape: Shape<'_>) -> Value {
    let left = |value: Option<Value>| value.unwrap_or_else(|| json!({}));
    let last = with_named(last, shape);
    let bare = left(without(merged, shape, &last));
    let all = with_named(&fields_of(merged, shape), shape);
    // what somebody owns comes back
    let kept = with_named(&fields_of(&bare, shape), shape).union(&with_named(owned, shape));
    let bare = left(without(merged, shape, &all.minus(&kept)));
    // what went along without having been applied comes back too
    let kept = with_named(&fields_of(&bare, shape), shape);
    left(without(merged, shape, &all.minus(&kept).shared_with(&last)))
}

#[cfg(test)]
mod tests;
