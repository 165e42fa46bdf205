//! How the types of Kubernetes write objects: what is empty is left out, but for a few fields that are always there.

use serde_json::{Value, json};

use crate::{
    kinds::Kind,
    object::{at, remove, set, without_nulls},
};

/// Fields that are maps: an empty one is not written. Elsewhere an empty object says something, as `podSelector: {}` does.
const MAPS: [&str; 21] = [
    "labels",
    "annotations",
    "matchLabels",
    "data",
    "binaryData",
    "stringData",
    "hard",
    "used",
    "requests",
    "limits",
    "capacity",
    "allocatable",
    "allocatedResources",
    "parameters",
    "nodeSelector",
    "overhead",
    "max",
    "min",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
];
/// The books are not the object's: an apply owns an empty map that is not written.
const MANAGED_FIELDS: [&str; 2] = ["metadata", "managedFields"];

/// An object of a kind of Kubernetes as its type writes it.
pub(crate) fn written(kind: &Kind, object: &Value) -> Value {
    let mut object = without_nulls(object);
    let books = remove(&mut object, &MANAGED_FIELDS);
    trim(&mut object);
    if let Some(books) = books {
        set(&mut object, &MANAGED_FIELDS, books);
    }
    fill(kind, &mut object);
    object
}

/// The metadata of an object as their type writes them, whatever kind it is of.
pub(crate) fn write_metadata(object: &mut Value) {
    let books = remove(object, &MANAGED_FIELDS);
    if let Some(metadata) = object.get_mut("metadata") {
        *metadata = without_nulls(metadata);
        trim(metadata);
    }
    if let Some(books) = books {
        set(object, &MANAGED_FIELDS, books);
    }
}

/// Puts in what the type of a kind writes even when there is nothing.
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    let always: Option<(&[&str], Value)> = match kind.kind.as_str() {
        "LimitRange" => Some((&["spec", "limits"], Value::Null)),
        "ResourceQuota" => Some((&["spec"], json!({}))),
        "NetworkPolicy" => Some((&["spec", "podSelector"], json!({}))),
        "Role" | "ClusterRole" => Some((&["rules"], Value::Null)),
        _ => None,
    };
    if let Some((path, nothing)) = always
        && !kind.is_custom()
        && at(object, path).is_none()
    {
        set(object, path, nothing);
    }
}

/// Takes out empty maps and lists at every depth.
pub(crate) fn trim(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(trim);
            fields.retain(|key, value| match value {
                Value::Object(inner) => !inner.is_empty() || !MAPS.contains(&key.as_str()),
                Value::Array(items) => !items.is_empty(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(trim),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;

    #[test]
    fn empty_maps_and_lists_go_and_empty_objects_stay() {
        let kind = Kinds::ours()
            .of("networking.k8s.io/v1", "NetworkPolicy")
            .unwrap();
        let policy = json!({"metadata": {"name": "a", "labels": {}, "finalizers": []},
            "spec": {"ingress": [], "egress": [{"to": [{"podSelector": {}}]}, {}],
                "podSelector": {"matchLabels": {}}}});
        assert_eq!(
            written(&kind, &policy),
            json!({"metadata": {"name": "a"},
                "spec": {"egress": [{"to": [{"podSelector": {}}]}, {}], "podSelector": {}}})
        );
    }

    #[test]
    fn some_fields_are_always_written() {
        let kind = Kinds::ours().of("v1", "LimitRange").unwrap();
        for nothing in [
            json!({}),
            json!({"spec": {}}),
            json!({"spec": {"limits": []}}),
        ] {
            let written = written(&kind, &nothing);
            assert_eq!(written, json!({"spec": {"limits": null}}));
        }
    }

    #[test]
    fn the_books_are_left_alone() {
        let books = json!([{"fieldsV1": {"f:metadata": {"f:labels": {}}}, "labels": {}}]);
        let mut object = json!({"metadata": {"labels": {}, "managedFields": books}});
        write_metadata(&mut object);
        assert_eq!(object, json!({"metadata": {"managedFields": books}}));
    }
}
