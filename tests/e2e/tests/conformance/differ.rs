//! Where two values differ, line by line.

use std::collections::BTreeSet;

use serde_json::Value;

/// More of a value is not printed.
const SHOWN: usize = 400;

/// One line for every place where the model's value is not that of the API server.
pub fn differences(model: &Value, real: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk(Some(model), Some(real), "", &mut lines);
    lines
}

/// The lines, if there are any, as an error.
pub fn equal(model: &Value, real: &Value) -> Result<(), String> {
    let lines = differences(model, real);
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}

/// The beginning of a value as it is printed.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn walk(model: Option<&Value>, real: Option<&Value>, path: &str, lines: &mut Vec<String>) {
    match (model, real) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                walk(
                    one.get(key),
                    other.get(key),
                    &format!("{path}.{key}"),
                    lines,
                );
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                let place = format!("{path}[{index}]");
                walk(one.get(index), other.get(index), &place, lines);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let [one, other] = [one, other].map(|value| value.map_or("nothing".to_owned(), shown));
            lines.push(format!("  {path}: model {one}, API server {other}"));
        }
    }
}

#[test]
fn every_place_that_differs_has_a_line_and_no_other() {
    use serde_json::json;

    let model = json!({"code": 200, "body": {"a": [1, 2], "same": {"x": null}}});
    let real = json!({"code": 409, "body": {"a": [1], "same": {"x": null}, "b": "c"}});
    assert_eq!(
        differences(&model, &real),
        [
            "  .body.a[1]: model 2, API server nothing",
            "  .body.b: model nothing, API server \"c\"",
            "  .code: model 200, API server 409",
        ]
    );
    assert!(equal(&real, &real).is_ok());
    let long = json!("x".repeat(1000));
    assert_eq!(shown(&long).chars().count(), SHOWN + 1);
}
