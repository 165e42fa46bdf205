//! One change of an object, in every notation that the API server takes.

use leasehold_e2e::overlay::{merge, put};
use serde_json::{Value, json};

/// Whether the change names its places by JSON pointer instead of being a merge patch.
fn is_by_pointer(change: &Value) -> bool {
    let fields = change.as_object();
    fields.is_some_and(|fields| {
        !fields.is_empty() && fields.keys().all(|pointer| pointer.starts_with('/'))
    })
}

/// Whether the change takes something away, which server-side apply has no words for.
pub fn takes_away(change: &Value) -> bool {
    match change {
        Value::Null => true,
        Value::Object(fields) => fields.values().any(takes_away),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

/// The object with the change laid over it.
pub fn lay(base: &Value, change: &Value) -> Result<Value, String> {
    let mut whole = base.clone();
    if is_by_pointer(change) {
        for (pointer, value) in change.as_object().into_iter().flatten() {
            put(&mut whole, pointer, value)
                .ok_or_else(|| format!("there is no place for {pointer} in {whole}"))?;
        }
    } else if !change.is_null() {
        merge(&mut whole, change);
    }
    Ok(whole)
}

/// The change as JSON patch operations on the object.
pub fn operations(base: &Value, change: &Value) -> Value {
    let mut operations = Vec::new();
    if is_by_pointer(change) {
        for (pointer, value) in change.as_object().into_iter().flatten() {
            operations.push(json!({"op": "add", "path": pointer, "value": value}));
        }
    } else {
        differ(base, change, "", &mut operations);
    }
    Value::Array(operations)
}

/// Writes down what leads from the object to the object with the merge patch laid over it.
fn differ(base: &Value, change: &Value, above: &str, operations: &mut Vec<Value>) {
    for (key, value) in change.as_object().into_iter().flatten() {
        let path = format!("{above}/{}", key.replace('~', "~0").replace('/', "~1"));
        let known = base.get(key);
        match known {
            Some(_) if value.is_null() => operations.push(json!({"op": "remove", "path": path})),
            Some(inner) if inner.is_object() && value.is_object() => {
                differ(inner, value, &path, operations);
            }
            Some(_) | None if !value.is_null() => {
                let mut whole = Value::Null;
                merge(&mut whole, value);
                operations.push(json!({"op": "add", "path": path, "value": whole}));
            }
            Some(_) | None => {}
        }
    }
}

#[test]
fn a_merge_patch_and_its_operations_come_to_the_same() {
    let base = json!({"a": {"b/c": "1", "d": "2"}, "e": [1]});
    let change = json!({"a": {"b/c": null, "f": {"g": "3", "h": null}}, "e": [2], "i": null});
    let laid = lay(&base, &change).unwrap();
    assert_eq!(laid, json!({"a": {"d": "2", "f": {"g": "3"}}, "e": [2]}));
    let expected = json!([
        {"op": "remove", "path": "/a/b~1c"},
        {"op": "add", "path": "/a/f", "value": {"g": "3"}},
        {"op": "add", "path": "/e", "value": [2]},
    ]);
    assert_eq!(operations(&base, &change), expected);
    assert!(takes_away(&change));
}

#[test]
fn values_by_pointer_reach_into_lists() {
    let base = json!({"spec": {"containers": [{"name": "main"}]}});
    let change = json!({"/spec/containers/0/image": "x", "/spec/hostPID": true});
    let laid = lay(&base, &change).unwrap();
    let expected =
        json!({"spec": {"containers": [{"name": "main", "image": "x"}], "hostPID": true}});
    assert_eq!(laid, expected);
    assert!(lay(&base, &json!({"/status/phase": "x"})).is_err());
    assert!(!takes_away(&change));
}
