//! What is written: good content of every kind, changes of it, and ways to spoil it.

use std::collections::BTreeMap;

use leasehold_model::Chance;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::place::text;

const OWN: &str = include_str!("bodies.yaml");
/// One good and one bad case of every rule of our definitions.
const RULES: &str = include_str!("../../../../crates/api/tests/rules.yaml");

/// What is written of one kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// An object without type and metadata.
    #[serde(default)]
    pub content: Value,
    /// Merge patches.
    #[serde(default)]
    pub edits: Vec<Value>,
    /// Statuses.
    #[serde(default)]
    pub statuses: Vec<Value>,
}

#[derive(Deserialize)]
struct Rules {
    base: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    old: Option<Value>,
    accept: Value,
    reject: Value,
}

/// What is written of every kind, by its name.
pub fn bodies() -> BTreeMap<String, Body> {
    let mut bodies: BTreeMap<String, Body> = serde_saphyr::from_str(OWN).unwrap();
    let rules: Rules = serde_saphyr::from_str(RULES).unwrap();
    for (kind, base) in rules.base {
        let content = &mut bodies.entry(kind).or_default().content;
        *content = json!({"spec": base["spec"]});
    }
    for case in rules.cases {
        let edits = &mut bodies.entry(case.kind).or_default().edits;
        let all = [Some(case.accept), case.old, Some(case.reject)];
        edits.extend(all.into_iter().flatten().filter(is_usable));
    }
    bodies
}

/// Whether a change leaves the name to the play, and the decision to the table: a policy stamps it, which the model plays
/// and this plane does not have.
fn is_usable(patch: &Value) -> bool {
    let says_something = patch.as_object().is_some_and(|patch| !patch.is_empty());
    says_something
        && text(patch, "/metadata/name").is_empty()
        && text(patch, "/spec/decision").is_empty()
}

/// A JSON merge patch (RFC 7386) laid over a value.
pub fn laid_over(base: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut whole = base.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            whole.remove(key);
        } else {
            let below = whole.get(key).cloned().unwrap_or_default();
            whole.insert(key.clone(), laid_over(&below, value));
        }
    }
    Value::Object(whole)
}

/// A value without fields that are null, as it is applied.
pub fn without_nulls(value: &Value) -> Value {
    laid_over(&Value::Null, value)
}

/// The pointers to everything below a value.
fn pointers(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let mut go = |key: String, value: &Value| {
        let pointer = format!("{pointer}/{key}");
        found.push(pointer.clone());
        pointers(value, &pointer, found);
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                go(key.replace('~', "~0").replace('/', "~1"), value);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                go(index.to_string(), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The content with one place in its spec spoiled, whatever comes of it.
pub fn spoiled(chance: &mut Chance, content: &Value) -> Value {
    let mut spoiled = content.clone();
    let mut found = Vec::new();
    pointers(&content["spec"], "/spec", &mut found);
    let Some(pointer) = chance.pick(&found) else {
        return spoiled;
    };
    let way = chance.below(8);
    if way == 0 {
        return without(content, pointer);
    }
    let place = spoiled.pointer_mut(pointer).unwrap();
    *place = match (way, place.clone()) {
        (1, _) => Value::Null,
        (2, Value::String(_)) => json!(7),
        (2, _) => json!("seven"),
        (3, _) => json!(""),
        (4, _) => json!("长".repeat(3000)),
        (5, Value::Array(_)) => json!([]),
        (5, Value::Number(_)) => json!(-1),
        (6, Value::Array(mut items)) => {
            items.extend(items.first().cloned());
            Value::Array(items)
        }
        (_, Value::Object(mut fields)) => {
            fields.insert("colour".to_owned(), json!({"of": ["any", 1]}));
            Value::Object(fields)
        }
        (_, value) => json!({"instead": value}),
    };
    spoiled
}

/// The value without what a pointer leads to.
fn without(value: &Value, pointer: &str) -> Value {
    let mut rest = value.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match rest.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            items.remove(last.parse().unwrap());
        }
        _ => panic!("{pointer} leads nowhere"),
    }
    rest
}

/// The fields of an object.
pub fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[test]
fn every_kind_has_something_to_write_and_changes_of_it() {
    let bodies = bodies();
    for (kind, body) in &bodies {
        assert_eq!(crate::place::kind(kind).kind, *kind);
        assert!(!body.edits.is_empty(), "{kind}");
        assert!(body.content.is_object(), "{kind}");
    }
    // from either file
    for (kind, patch) in [
        ("Tenancy", json!({"spec": {"zone": "internet"}})),
        ("Department", json!({"spec": {"parent": null}})),
    ] {
        assert!(bodies[kind].edits.contains(&patch), "{kind} {patch}");
    }
    let mut of_approvals = bodies["Approval"].edits.iter();
    assert!(!of_approvals.any(|edit| edit.pointer("/spec/decision").is_some()));
}

#[test]
fn nulls_go_and_the_rest_is_laid_over() {
    let base = json!({"a": {"b": 1, "c": 2}, "d": [1]});
    let patch = json!({"a": {"b": null, "e": {"f": null}}, "d": [2]});
    assert_eq!(
        laid_over(&base, &patch),
        json!({"a": {"c": 2, "e": {}}, "d": [2]})
    );
    assert_eq!(without_nulls(&patch), json!({"a": {"e": {}}, "d": [2]}));
}

#[test]
fn one_place_is_spoiled_and_every_way_comes_up() {
    let content = json!({"spec": {"name": "a", "items": [{"key": "k", "count": 1}]}});
    let mut chance = Chance::new(1);
    let all: Vec<Value> = (0..400).map(|_| spoiled(&mut chance, &content)).collect();
    let one = json!({"key": "k", "count": 1});
    for spec in [
        json!({"items": [one]}),
        json!({"name": null, "items": [one]}),
        json!({"name": 7, "items": [one]}),
        json!({"name": "a", "items": []}),
        json!({"name": "a", "items": [one, one]}),
        json!({"name": "a", "items": [{"key": "k", "count": -1}]}),
        json!({"name": "a", "items": [{"key": "k", "count": 1, "colour": {"of": ["any", 1]}}]}),
    ] {
        assert!(all.contains(&json!({"spec": spec})), "{spec}");
    }
}
