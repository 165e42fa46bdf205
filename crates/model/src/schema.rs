//! What a definition says of its objects: which fields there are, their defaults, their bounds and rules.
//!
//! Left out because no definition of ours uses it: `allOf`, `anyOf`, `oneOf`, `not`, and formats other than as a hint
//! to rules. Regular expressions are those of the `regex` crate; classes such as `\s` cover more than ASCII, which Go's
//! do not. To rules of the whole object, times, durations and bytes are texts, and its metadata are a name.

use std::collections::BTreeMap;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::object::{copy, meta};

/// The schema of one kind, with its rules and patterns compiled.
#[derive(Debug)]
pub struct Schema {
    value: Value,
    rules: Rules,
    patterns: Patterns,
}

/// The rules of one kind. Each part of an object is asked by itself: whoever asks all rules at once hands every part to the
/// rules' language once for each level above it, with rules or without.
#[derive(Debug)]
struct Rules {
    /// Those of the whole object, if there are any.
    whole: Option<CompiledSchema>,
    /// Those of its parts, by name. Parts without rules are left out.
    parts: Vec<(String, CompiledSchema)>,
}

thread_local! {
    /// The functions of the language, of which there are many.
    static LANGUAGE: Validator = Validator::new();
}

/// Patterns by their text.
type Patterns = BTreeMap<String, Regex>;

/// A field and what is wrong with it.
pub(crate) type Violation = (String, String);

impl Schema {
    /// The schema of an `openAPIV3Schema`.
    pub(crate) fn new(value: Value) -> Self {
        let rules = Rules::of(&value);
        let mut patterns = Patterns::new();
        compile(&value, &mut patterns);
        Self {
            value,
            rules,
            patterns,
        }
    }

    /// As JSON.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// The object as it is stored: without fields that the definition does not have, with defaults.
    pub(crate) fn normal(&self, object: &Value) -> Value {
        let mut normal = pruned(&self.value, object, true);
        default(&self.value, &mut normal);
        normal
    }

    /// The first field that the definition does not have, if there is one.
    pub(crate) fn stranger(&self, object: &Value) -> Option<String> {
        stranger(object, &pruned(&self.value, object, true))
    }

    /// Everything that is wrong with an object, or with the change from an old one.
    pub(crate) fn violations(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut check = Check {
            patterns: &self.patterns,
            found: Vec::new(),
            is_blocked: false,
        };
        check.value(&self.value, object, "");
        let mut violations = check.found;
        // rules are asked of what has the right form, even if it is not within its bounds
        if !check.is_blocked {
            violations.extend(self.rules.violations(object, old));
        }
        violations
    }
}

/// Where rules stand in a schema.
const RULES: &str = "x-kubernetes-validations";

impl Rules {
    fn of(schema: &Value) -> Self {
        let whole = schema.get(RULES).map(|rules| {
            let alone = json!({"type": "object", RULES: rules});
            compile_schema(&alone)
        });
        let parts = properties(schema).into_iter().flatten();
        Self {
            whole,
            parts: parts
                .filter(|(_, part)| has_rules(part))
                .map(|(name, part)| (name.clone(), compile_schema(part)))
                .collect(),
        }
    }

    /// What breaks a rule. A part that has not changed is as good as it was: the API server lets it stand, too.
    fn violations(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some(rules) = &self.whole {
            let old = old.map(with_a_name_alone);
            broken(
                rules,
                &with_a_name_alone(object),
                old.as_ref(),
                "",
                &mut found,
            );
        }
        for (name, rules) in &self.parts {
            let before = old.and_then(|old| old.get(name));
            match object.get(name) {
                Some(part) if before != Some(part) => {
                    broken(rules, part, before, name, &mut found);
                }
                Some(_) | None => {}
            }
        }
        found
    }
}

/// Asks rules of a part of an object.
fn broken(
    rules: &CompiledSchema,
    part: &Value,
    before: Option<&Value>,
    place: &str,
    found: &mut Vec<Violation>,
) {
    let asked = LANGUAGE.with(|language| language.validate_compiled(rules, part, before));
    for error in asked.err().into_iter().flatten() {
        let message = format!("Invalid value: {}", error.message);
        found.push((within(place, &error.field_path), message));
    }
}

/// A path that begins at a part of an object, from the object's root.
fn within(place: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('[') {
        format!("{place}{path}")
    } else {
        below(place, path)
    }
}

/// An object as rules of the whole see it: of its metadata they may ask the name alone.
fn with_a_name_alone(object: &Value) -> Value {
    let mut seen = json!({"metadata": {"name": meta(object, "name")}});
    for (part, _) in object.as_object().into_iter().flatten() {
        if part != "metadata" {
            copy(&mut seen, object, &[part.as_str()]);
        }
    }
    seen
}

/// Whether a schema has a rule at any depth.
fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.contains_key(RULES) || fields.values().any(has_rules),
        Value::Array(items) => items.iter().any(has_rules),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_true(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool) == Some(true)
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The schema of a field, if the definition has it.
fn property<'schema>(schema: &'schema Value, key: &str) -> Option<&'schema Value> {
    properties(schema)
        .and_then(|properties| properties.get(key))
        .or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|rest| rest.is_object())
        })
}

fn pruned(schema: &Value, value: &Value, is_root: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let open = is_true(schema, "x-kubernetes-preserve-unknown-fields")
                || is_true(schema, "additionalProperties");
            let kept = fields.iter().filter_map(|(key, value)| {
                if is_root && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return Some((key.clone(), value.clone()));
                }
                match property(schema, key) {
                    Some(known) => Some((key.clone(), pruned(known, value, false))),
                    None => open.then(|| (key.clone(), value.clone())),
                }
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => match schema.get("items") {
            Some(known) => items
                .iter()
                .map(|item| pruned(known, item, false))
                .collect(),
            None => value.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn stranger(given: &Value, kept: &Value) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            given.iter().find_map(|(key, value)| match kept.get(key) {
                None => Some(format!(".{key}")),
                Some(kept) => stranger(value, kept).map(|rest| format!(".{key}{rest}")),
            })
        }
        (Value::Array(given), Value::Array(kept)) => given
            .iter()
            .zip(kept)
            .find_map(|(given, kept)| stranger(given, kept).map(|rest| format!("[]{rest}"))),
        (_, _) => None,
    }
}

/// Fills in what is missing, and what is null and may not be.
fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, known) in properties(schema).into_iter().flatten() {
                let Some(default) = known.get("default") else {
                    continue;
                };
                let is_missing = match fields.get(key) {
                    None => true,
                    Some(there) => there.is_null() && !is_true(known, "nullable"),
                };
                if is_missing {
                    fields.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in fields.iter_mut() {
                if let Some(known) = property(schema, key) {
                    default(known, value);
                }
            }
            // null that may not be and gave way to no default is as good as nothing
            fields.retain(|key, value| {
                let known = property(schema, key);
                !value.is_null() || known.is_none_or(|known| is_true(known, "nullable"))
            });
        }
        Value::Array(items) => {
            if let Some(known) = schema.get("items") {
                items.iter_mut().for_each(|item| default(known, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Collects the patterns of a schema.
fn compile(schema: &Value, patterns: &mut Patterns) {
    match schema {
        Value::Object(fields) => {
            if let Some(text) = fields.get("pattern").and_then(Value::as_str)
                && let Ok(pattern) = Regex::new(text)
            {
                patterns.insert(text.to_owned(), pattern);
            }
            fields.values().for_each(|value| compile(value, patterns));
        }
        Value::Array(items) => items.iter().for_each(|item| compile(item, patterns)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_of(type_: &str, value: &Value) -> bool {
    match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A bound of a number. Definitions write it as a float with nothing behind the point.
fn bound(schema: &Value, key: &str) -> Option<i64> {
    let bound = schema.get(key)?;
    bound.as_i64().or_else(|| {
        let text = bound.to_string();
        text.strip_suffix(".0").unwrap_or(&text).parse().ok()
    })
}

/// One walk over an object.
struct Check<'schema> {
    patterns: &'schema Patterns,
    found: Vec<Violation>,
    /// Whether something is so wrong that rules cannot be asked.
    is_blocked: bool,
}

impl Check<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.found.push((path.to_owned(), message.into()));
    }

    fn block(&mut self, path: &str, message: impl Into<String>) {
        self.is_blocked = true;
        self.wrong(path, message);
    }

    /// Keeps a size within `least` and `most` of the schema. What is too large keeps rules from being asked.
    fn size(&mut self, schema: &Value, [least, most]: [&str; 2], size: usize, path: &str) {
        let bound = |key: &str| {
            let bound = schema.get(key).and_then(Value::as_u64)?;
            usize::try_from(bound).ok()
        };
        if bound(most).is_some_and(|most| size > most) {
            self.block(path, format!("Too many or too long: {most}"));
        }
        if bound(least).is_some_and(|least| size < least) {
            self.wrong(path, format!("Invalid value: {least}"));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let is_allowed_null = value.is_null() && is_true(schema, "nullable");
        if !is_allowed_null
            && let Some(type_) = schema.get("type").and_then(Value::as_str)
            && !is_of(type_, value)
        {
            self.block(
                path,
                format!("Invalid value: {value}: must be of type {type_}"),
            );
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && (value.is_null() || !allowed.contains(value))
        {
            // null is none of the choices, even where it is listed
            self.block(path, format!("Unsupported value: {value}"));
        }
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_i64(), path),
            Value::Array(items) => self.list(schema, items, path),
            Value::Object(fields) => self.fields(schema, fields, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count();
        self.size(schema, ["minLength", "maxLength"], length, path);
        let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else {
            return;
        };
        let compiled = self.patterns.get(pattern);
        if compiled.is_some_and(|compiled| !compiled.is_match(text)) {
            let message = format!("Invalid value: {text:?}: should match '{pattern}'");
            self.wrong(path, message);
        }
    }

    fn number(&mut self, schema: &Value, number: Option<i64>, path: &str) {
        let Some(number) = number else { return };
        let is_low = bound(schema, "minimum").is_some_and(|least| number < least);
        let is_high = bound(schema, "maximum").is_some_and(|most| number > most);
        if is_low || is_high {
            self.wrong(path, format!("Invalid value: {number}: out of bounds"));
        }
    }

    fn list(&mut self, schema: &Value, items: &[Value], path: &str) {
        self.size(schema, ["minItems", "maxItems"], items.len(), path);
        if let Some(known) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.value(known, item, &format!("{path}[{index}]"));
            }
        }
        let type_ = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
        let keys: Vec<&str> = schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_same = |one: &Value, other: &Value| match type_ {
            Some("map") => keys.iter().all(|key| one.get(*key) == other.get(*key)),
            Some("set") => one == other,
            Some(_) | None => false,
        };
        for (index, item) in items.iter().enumerate() {
            if items.iter().take(index).any(|before| is_same(before, item)) {
                let place = format!("{path}[{index}]");
                self.wrong(&place, format!("Duplicate value: {item}"));
            }
        }
    }

    fn fields(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let bounds = ["minProperties", "maxProperties"];
        self.size(schema, bounds, fields.len(), path);
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(key) {
                self.block(&below(path, key), "Required value");
            }
        }
        for (key, value) in fields {
            if let Some(known) = property(schema, key) {
                self.value(known, value, &below(path, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::new(json!({
            "type": "object", "required": ["spec"],
            "properties": {"spec": {
                "type": "object", "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
                    "tax": {"type": "object", "default": {}, "properties": {
                        "percent": {"type": "integer", "default": 6, "maximum": 100.0},
                    }},
                    "shares": {"type": "object", "additionalProperties": {"type": "string"}},
                    "items": {"type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["id"], "items": {"type": "object",
                        "properties": {"id": {"type": "string"}}}},
                },
                "x-kubernetes-validations": [
                    {"rule": "self.name == oldSelf.name", "message": "rule X01: it stays"},
                ],
            }},
        }))
    }

    #[test]
    fn unknown_fields_go_and_defaults_come_also_within_defaults() {
        let given = json!({"apiVersion": "v1", "metadata": {"x": 1}, "more": 1,
            "spec": {"name": "a", "colour": "red", "shares": {"any": "1"}}});
        assert_eq!(
            schema().normal(&given),
            json!({"apiVersion": "v1", "metadata": {"x": 1},
                "spec": {"name": "a", "shares": {"any": "1"}, "tax": {"percent": 6}}})
        );
        let nested = json!({"spec": {"name": "a", "tax": {"rate": 1}}});
        assert_eq!(
            schema().stranger(&nested).as_deref(),
            Some(".spec.tax.rate")
        );
    }

    #[test]
    fn each_bound_is_kept() {
        let fields = |object: Value| -> Vec<String> {
            let found = schema().violations(&object, None);
            found.into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(
            fields(json!({"spec": {"name": "ab"}})),
            Vec::<String>::new()
        );
        assert_eq!(fields(json!({})), ["spec"]);
        assert_eq!(fields(json!({"spec": {"name": 1}})), ["spec.name"]);
        assert_eq!(fields(json!({"spec": {"name": "abcd"}})), ["spec.name"]);
        assert_eq!(fields(json!({"spec": {"name": "A"}})), ["spec.name"]);
        let tax = json!({"spec": {"name": "a", "tax": {"percent": 101}}});
        assert_eq!(fields(tax), ["spec.tax.percent"]);
        let twice = json!({"spec": {"name": "a", "items": [{"id": "1"}, {"id": "1"}]}});
        assert_eq!(fields(twice), ["spec.items[1]"]);
    }

    #[test]
    fn null_goes_where_it_may_not_be_and_is_no_choice_where_it_may() {
        let choice = Schema::new(json!({"type": "object", "properties": {
            "a": {"type": "string", "nullable": true, "enum": ["x", null]},
            "b": {"type": "string"}, "c": {"type": "string", "nullable": true}}}));
        let given = json!({"a": null, "b": null, "c": null});
        let normal = choice.normal(&given);
        assert_eq!(normal, json!({"a": null, "c": null}));
        let found = choice.violations(&normal, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "a");
    }

    #[test]
    fn rules_are_asked_beside_bounds_and_not_beside_types() {
        let old = json!({"spec": {"name": "a"}});
        let fields = |object: Value| -> Vec<String> {
            let found = schema().violations(&object, Some(&old));
            found.into_iter().map(|(field, _)| field).collect()
        };
        let pattern = json!({"spec": {"name": "B"}});
        assert_eq!(fields(pattern), ["spec.name", "spec"]);
        let type_ = json!({"spec": {"name": 1}});
        assert_eq!(fields(type_), ["spec.name"]);
        let long = json!({"spec": {"name": "bbbb"}});
        assert_eq!(fields(long), ["spec.name"]);
    }

    #[test]
    fn a_rule_about_a_change_is_asked_of_changes_alone() {
        let new = json!({"spec": {"name": "b"}});
        assert!(schema().violations(&new, None).is_empty());
        let found = schema().violations(&new, Some(&json!({"spec": {"name": "a"}})));
        assert!(found[0].1.contains("rule X01: it stays"), "{found:?}");
    }
}
