//! Objects with something laid over them, as tables of requests describe them.

use serde_json::{Value, json};

/// Lays a JSON merge patch over a value.
pub fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Puts a value at a JSON pointer, in a list before what stands there or at its end; `None` if there is no such place.
pub fn put(target: &mut Value, pointer: &str, value: &Value) -> Option<()> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match target.pointer_mut(parent)? {
        Value::Object(fields) => {
            fields.insert(key, value.clone());
        }
        Value::Array(items) => {
            let place: usize = key.parse().ok()?;
            if place > items.len() {
                return None;
            }
            items.insert(place, value.clone());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_put_into_an_object_and_into_a_list_where_there_is_a_place() {
        let mut whole = json!({"a": {"b": 1}, "c": [1, 2]});
        for (pointer, is_put) in [
            ("/a/d~1e", true),
            ("/c/2", true),
            ("/c/0", true),
            ("/c/9", false),
            ("/a/b/c", false),
            ("/f/g", false),
        ] {
            assert_eq!(put(&mut whole, pointer, &json!(0)).is_some(), is_put);
        }
        assert_eq!(whole, json!({"a": {"b": 1, "d/e": 0}, "c": [0, 1, 2, 0]}));
    }
}
