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

/// Puts a value at a JSON pointer whose parent is an object; `None` if it has no such place.
pub fn put(target: &mut Value, pointer: &str, value: &Value) -> Option<()> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    let fields = target.pointer_mut(parent)?.as_object_mut()?;
    fields.insert(key, value.clone());
    Some(())
}
