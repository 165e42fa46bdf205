//! Patches in the notations of RFC 7386 and RFC 6902.

use serde_json::{Map, Value};

use crate::object::text;

/// A step of a patch does not go with the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inapplicable;

/// Merges a patch into an object (RFC 7386).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Carries out the operations of a patch (RFC 6902): `add`, `remove`, `replace` and `test`. A `test` for null of what is
/// not there holds, as at the API server.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), Inapplicable> {
    for step in patch.as_array().into_iter().flatten() {
        let place = text(step, &["path"]);
        let value = step.get("value").unwrap_or(&Value::Null);
        let done = match text(step, &["op"]) {
            "test" => target.pointer(place).unwrap_or(&Value::Null) == value,
            "add" => add(target, place, value),
            "remove" => take(target, place),
            "replace" => replace(target, place, value),
            _ => false,
        };
        if !done {
            return Err(Inapplicable);
        }
    }
    Ok(())
}

/// The holder of the last step of a pointer, and that step.
fn split<'value>(target: &'value mut Value, place: &str) -> Option<(&'value mut Value, String)> {
    let (parent, last) = place.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    Some((target.pointer_mut(parent)?, last))
}

/// What is not there in a map is put there, as at the API server and against RFC 6902.
fn replace(target: &mut Value, place: &str, value: &Value) -> bool {
    if let Some((Value::Object(fields), key)) = split(target, place) {
        fields.insert(key, value.clone());
        return true;
    }
    match target.pointer_mut(place) {
        Some(there) => {
            value.clone_into(there);
            true
        }
        None => false,
    }
}

fn add(target: &mut Value, place: &str, value: &Value) -> bool {
    match split(target, place) {
        Some((Value::Object(fields), key)) => {
            fields.insert(key, value.clone());
            true
        }
        Some((Value::Array(items), key)) => {
            let index = if key == "-" {
                Some(items.len())
            } else {
                key.parse().ok()
            };
            let index = index.filter(|index| *index <= items.len());
            if let Some(index) = index {
                items.insert(index, value.clone());
            }
            index.is_some()
        }
        _ => false,
    }
}

fn take(target: &mut Value, place: &str) -> bool {
    match split(target, place) {
        Some((Value::Object(fields), key)) => fields.remove(&key).is_some(),
        Some((Value::Array(items), key)) => {
            let index: Option<usize> = key.parse().ok();
            let index = index.filter(|index| *index < items.len());
            index.map(|index| items.remove(index)).is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7386_come_out_as_it_says() {
        // appendix A of the RFC
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (mut target, patch, expected) in table {
            merge(&mut target, &patch);
            assert_eq!(target, expected);
        }
    }

    #[test]
    fn operations_of_rfc_6902_work_on_fields_and_items() {
        let mut object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers/0", "value": "a"},
            {"op": "test", "path": "/metadata/labels", "value": null},
            {"op": "remove", "path": "/metadata/finalizers/0"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "c"},
            {"op": "add", "path": "/metadata/x~1y", "value": 1},
            {"op": "replace", "path": "/metadata/x~1y", "value": 2},
        ]);
        json(&mut object, &patch).unwrap();
        assert_eq!(
            object,
            json!({"metadata": {"finalizers": ["b", "c"], "x/y": 2}})
        );
        let failing = json!([{"op": "test", "path": "/metadata/x~1y", "value": 3}]);
        assert!(json(&mut object, &failing).is_err());
    }
}
