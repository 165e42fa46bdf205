//! A page for each API group: its kinds with their fields, bounds and rules, as the API server has them.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{cell, code};

/// Standard objects are described by Kubernetes itself.
const STANDARD: [&str; 1] = ["status.conditions"];

/// The pages by the name of their file.
pub(super) fn pages() -> Result<BTreeMap<String, String>> {
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    for definition in leasehold_api::definitions() {
        let definition = serde_json::to_value(&definition)?;
        let group = text(&definition, "/spec/group");
        let name = group.split('.').next().unwrap_or(group);
        let page = pages
            .entry(format!("{name}.md"))
            .or_insert_with(|| format!("# Kinds of {group}\n"));
        describe(&definition, page).with_context(|| {
            format!(
                "failed to describe {}",
                text(&definition, "/spec/names/kind")
            )
        })?;
    }
    Ok(pages)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn describe(definition: &Value, page: &mut String) -> Result<()> {
    let kind = text(definition, "/spec/names/kind");
    let short = definition
        .pointer("/spec/names/shortNames/0")
        .and_then(Value::as_str);
    let version = definition
        .pointer("/spec/versions/0")
        .context("failed to find its version")?;
    let schema = version
        .pointer("/schema/openAPIV3Schema")
        .context("failed to find its schema")?;
    writeln!(page, "\n## {kind}\n\n{}\n", text(schema, "/description"))?;
    let group = text(definition, "/spec/group");
    writeln!(
        page,
        "`apiVersion: {group}/{}`, `kind: {kind}`",
        text(version, "/name")
    )?;
    let scope = match text(definition, "/spec/scope") {
        "Namespaced" => "lives in a namespace",
        _ => "lives in the whole cluster",
    };
    let plural = text(definition, "/spec/names/plural");
    let short = short
        .map(|short| format!(" or `{short}`"))
        .unwrap_or_default();
    writeln!(page, "\nFor `kubectl`: `{plural}`{short}; {scope}.")?;
    let mut found = Found {
        fields: Vec::new(),
        rules: rules_of("", schema),
    };
    for part in ["spec", "status"] {
        if let Some(below) = schema.pointer(&format!("/properties/{part}")) {
            walk(part, below, false, &mut found);
        }
    }
    write_tables(&found, page)?;
    Ok(())
}

/// What the schema of a kind says.
#[derive(Default)]
struct Found {
    fields: Vec<Field>,
    rules: Vec<(String, String)>,
}

struct Field {
    path: String,
    shape: String,
    bounds: String,
    description: String,
}

fn write_tables(found: &Found, page: &mut String) -> fmt::Result {
    for part in ["spec", "status"] {
        let of_part = |field: &&Field| field.path.split(['.', '[']).next() == Some(part);
        let fields: Vec<&Field> = found.fields.iter().filter(of_part).collect();
        if fields.is_empty() {
            continue;
        }
        let title = if part == "spec" {
            "What is asked for"
        } else {
            "What leasehold answers"
        };
        writeln!(
            page,
            "\n### {title}\n\n| field | type | bounds | meaning |\n|---|---|---|---|"
        )?;
        for field in fields {
            let Field {
                path,
                shape,
                bounds,
                description,
            } = field;
            writeln!(
                page,
                "| {} | {shape} | {bounds} | {} |",
                code(path),
                cell(description)
            )?;
        }
    }
    if !found.rules.is_empty() {
        writeln!(page, "\n### Rules\n\n| where | message |\n|---|---|")?;
        for (path, message) in &found.rules {
            let place = if path.is_empty() {
                "the object".to_owned()
            } else {
                code(path)
            };
            writeln!(page, "| {place} | {} |", cell(message))?;
        }
    }
    Ok(())
}

/// Goes through a schema, from the outside in and in the order of names.
fn walk(path: &str, schema: &Value, required: bool, found: &mut Found) {
    if path.contains(['.', '[']) && !path.ends_with(']') {
        found.fields.push(Field {
            path: path.to_owned(),
            shape: shape(schema),
            bounds: bounds(schema, required),
            description: text(schema, "/description").to_owned(),
        });
    }
    found.rules.extend(rules_of(path, schema));
    if STANDARD.contains(&path) {
        return;
    }
    let needed: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let sorted: BTreeMap<&String, &Value> = properties.iter().collect();
        for (name, below) in sorted {
            walk(
                &format!("{path}.{name}"),
                below,
                needed.contains(&name.as_str()),
                found,
            );
        }
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, false, found);
    }
}

fn rules_of(path: &str, schema: &Value) -> Vec<(String, String)> {
    let validations = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    validations
        .into_iter()
        .flatten()
        .map(|validation| (path.to_owned(), text(validation, "/message").to_owned()))
        .collect()
}

fn shape(schema: &Value) -> String {
    let of = |schema: &Value| match text(schema, "/type") {
        "" => "any".to_owned(),
        plain => plain.to_owned(),
    };
    match (
        schema.get("items"),
        schema.pointer("/additionalProperties/type"),
    ) {
        (Some(items), _) => format!("list of {}", of(items)),
        (None, Some(_)) => {
            let values = schema
                .get("additionalProperties")
                .map(of)
                .unwrap_or_default();
            format!("map to {values}")
        }
        (None, None) => of(schema),
    }
}

/// The bounds of a value, or of the values of a list, in words.
fn bounds(schema: &Value, required: bool) -> String {
    let mut parts = Vec::new();
    if required {
        parts.push("required".to_owned());
    }
    let worded = [
        ("minItems", "at least ", " entries"),
        ("maxItems", "at most ", " entries"),
        ("maxProperties", "at most ", " entries"),
        ("minLength", "at least ", " characters"),
        ("maxLength", "at most ", " characters"),
        ("minimum", "at least ", ""),
        ("maximum", "at most ", ""),
    ];
    let inner = schema
        .get("items")
        .or_else(|| schema.get("additionalProperties"));
    for (place, of) in [(Some(schema), ""), (inner, "each ")] {
        let Some(place) = place else { continue };
        for (key, before, after) in worded {
            if let Some(number) = place.get(key).filter(|value| !value.is_null()) {
                parts.push(format!("{of}{before}{}{after}", whole(number)));
            }
        }
        if let Some(values) = place.get("enum").and_then(Value::as_array) {
            let values: Vec<String> = values.iter().filter_map(Value::as_str).map(code).collect();
            parts.push(format!("{of}one of {}", values.join(", ")));
        }
        let pattern = text(place, "/pattern");
        if !pattern.is_empty() {
            parts.push(format!("{of}{}", code(pattern)));
        }
    }
    if let Some(default) = schema.get("default").filter(|value| !value.is_null()) {
        parts.push(format!("default {}", code(&default.to_string())));
    }
    parts.join(", ")
}

/// `24.0` and `24` are the same bound; schemas write either.
fn whole(number: &Value) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_listed_with_their_bounds_and_rules_with_their_place() {
        let schema = json!({
            "type": "object",
            "required": ["lease"],
            "properties": {
                "lease": {
                    "type": "array", "maxItems": 64, "description": "What is leased.",
                    "items": {
                        "type": "object",
                        "properties": {"item": {"type": "string", "maxLength": 63, "pattern": "^a|b$"}},
                        "x-kubernetes-validations": [{"rule": "true", "message": "rule T04: no"}],
                    },
                },
                "level": {"type": "integer", "minimum": 1.0, "maximum": 4.0, "default": 2},
                "shares": {"type": "object", "maxProperties": 8, "additionalProperties": {"type": "string"}},
            },
        });
        let mut found = Found::default();
        walk("spec", &schema, false, &mut found);
        let listed: Vec<(&str, &str, &str)> = found
            .fields
            .iter()
            .map(|field| {
                (
                    field.path.as_str(),
                    field.shape.as_str(),
                    field.bounds.as_str(),
                )
            })
            .collect();
        assert_eq!(
            listed,
            [
                (
                    "spec.lease",
                    "list of object",
                    "required, at most 64 entries"
                ),
                (
                    "spec.lease[].item",
                    "string",
                    "at most 63 characters, `^a\\|b$`"
                ),
                (
                    "spec.level",
                    "integer",
                    "at least 1, at most 4, default `2`"
                ),
                ("spec.shares", "map to string", "at most 8 entries"),
            ]
        );
        assert_eq!(
            found.rules,
            [("spec.lease[]".to_owned(), "rule T04: no".to_owned())]
        );
    }
}
