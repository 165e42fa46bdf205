//! Reading and writing single fields of an object that is JSON.

use serde_json::{Map, Value};

/// The field at the end of a path.
pub(crate) fn at<'object>(object: &'object Value, path: &[&str]) -> Option<&'object Value> {
    path.iter().try_fold(object, |value, key| value.get(*key))
}

/// The text at the end of a path; empty when there is none.
pub(crate) fn text<'object>(object: &'object Value, path: &[&str]) -> &'object str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The field of the metadata that is a text; empty when there is none.
pub(crate) fn meta<'object>(object: &'object Value, field: &str) -> &'object str {
    text(object, &["metadata", field])
}

/// The texts of a list in the metadata, as finalizers are.
pub(crate) fn texts<'object>(object: &'object Value, path: &[&str]) -> Vec<&'object str> {
    let list = at(object, path).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Sets the field at the end of a path, and makes the objects on the way.
pub(crate) fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Some(fields) = object.as_object_mut() {
        let place = fields.entry((*first).to_owned()).or_insert(Value::Null);
        set(place, rest, value);
    }
}

/// Takes the field at the end of a path out.
pub(crate) fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(object, |value, key| value.get_mut(*key))?;
    parent.as_object_mut()?.remove(*last)
}

/// Sets the field to what it is in another object, or takes it out if it is not there.
pub(crate) fn copy(to: &mut Value, from: &Value, path: &[&str]) {
    match at(from, path) {
        Some(value) => set(to, path, value.clone()),
        None => drop(remove(to, path)),
    }
}

/// A copy of the object without one of its fields.
pub(crate) fn without(object: &Value, field: &str) -> Value {
    let kept = object.as_object().into_iter().flatten();
    let kept = kept.filter(|(key, _)| *key != field);
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whether two values have the same fields, all of them equal but for one, of which the test must hold.
pub(crate) fn is_same_but(
    one: &Value,
    other: &Value,
    part: &str,
    is_same: impl Fn(&Value, &Value) -> bool,
) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return one == other;
    };
    let matches = |key: &str, value: &Value, there: &Value| {
        if key == part {
            is_same(value, there)
        } else {
            value == there
        }
    };
    one.len() == other.len()
        && one.iter().all(|(key, value)| {
            let there = other.get(key);
            there.is_some_and(|there| matches(key, value, there))
        })
}

/// The same without fields that are null, as an apply reads it.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_set_on_a_way_that_is_made_and_copied_away_again() {
        let mut object = json!({"metadata": {"name": "a"}});
        set(&mut object, &["status", "phase"], json!("Active"));
        assert_eq!(text(&object, &["status", "phase"]), "Active");
        copy(&mut object, &json!({}), &["status", "phase"]);
        assert_eq!(object, json!({"metadata": {"name": "a"}, "status": {}}));
        assert_eq!(remove(&mut object, &["spec", "hard"]), None);
    }

    #[test]
    fn nulls_go_at_every_depth() {
        let value = json!({"a": null, "b": {"c": null, "d": [{"e": null}]}});
        assert_eq!(without_nulls(&value), json!({"b": {"d": [{}]}}));
    }
}
