//! Every place of every kind's spec, read from the definitions that the chart installs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

/// One step from an object towards a place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field.
    Field(String),
    /// An entry of a list.
    Item,
    /// A value of a map.
    Key,
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A string, or what may be a string.
    Text,
    /// A number.
    Number,
    /// True or false.
    Truth,
    /// A list.
    List,
    /// An object of named fields.
    Object,
    /// An object of free keys.
    Map,
}

impl Shape {
    /// Whether nothing lies below.
    pub fn is_leaf(self) -> bool {
        matches!(self, Self::Text | Self::Number | Self::Truth)
    }
}

/// A place in the objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The way to it.
    pub steps: Vec<Step>,
    /// What it holds.
    pub shape: Shape,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Field(name) if number == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item => f.write_str("[]")?,
                Step::Key => f.write_str("{}")?,
            }
        }
        Ok(())
    }
}

/// A kind and its places.
pub struct Kind {
    /// `/apis/GROUP/VERSION`.
    pub root: String,
    /// `GROUP/VERSION`.
    pub api_version: String,
    /// What its objects are called in addresses.
    pub plural: String,
    /// Whether they live in namespaces.
    pub namespaced: bool,
    /// The name and everything in the spec, the spec itself among it.
    pub places: Vec<Place>,
}

/// All kinds by name.
pub fn kinds() -> BTreeMap<String, Kind> {
    let definitions = leasehold_api::definitions();
    definitions
        .iter()
        .map(|definition| kind_of(&serde_json::to_value(definition).unwrap()))
        .collect()
}

/// Ids of the rules that the definitions themselves hold.
pub fn rules_of_the_definitions() -> BTreeSet<String> {
    let text = serde_json::to_string(&leasehold_api::definitions()).unwrap();
    text.match_indices("\"rule ")
        .filter_map(|(at, found)| text.get(at + found.len()..)?.get(..3))
        .map(str::to_owned)
        .collect()
}

fn kind_of(definition: &Value) -> (String, Kind) {
    let text = |pointer: &str| {
        let found = definition.pointer(pointer).and_then(Value::as_str);
        found.unwrap().to_owned()
    };
    let api_version = format!("{}/{}", text("/spec/group"), text("/spec/versions/0/name"));
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let field = |name: &str| Step::Field(name.to_owned());
    let mut places = BTreeSet::from([Place {
        steps: vec![field("metadata"), field("name")],
        shape: Shape::Text,
    }]);
    let spec = definition.pointer(schema).unwrap();
    walk(spec, vec![field("spec")], &mut places);
    let kind = Kind {
        root: format!("/apis/{api_version}"),
        api_version,
        plural: text("/spec/names/plural"),
        namespaced: text("/spec/scope") == "Namespaced",
        places: places.into_iter().collect(),
    };
    (text("/spec/names/kind"), kind)
}

fn walk(schema: &Value, steps: Vec<Step>, places: &mut BTreeSet<Place>) {
    for any in ["anyOf", "oneOf", "allOf"] {
        for branch in schema[any].as_array().into_iter().flatten() {
            if branch.get("type").is_some() {
                walk(branch, steps.clone(), places);
            }
        }
    }
    let below = |step: Step| {
        let mut steps = steps.clone();
        steps.push(step);
        steps
    };
    let either = schema["x-kubernetes-int-or-string"] == true;
    let type_ = if either {
        Some("string")
    } else {
        schema["type"].as_str()
    };
    let shape = match type_ {
        Some("string") => Shape::Text,
        Some("integer" | "number") => Shape::Number,
        Some("boolean") => Shape::Truth,
        Some("array") => {
            walk(&schema["items"], below(Step::Item), places);
            Shape::List
        }
        Some("object") => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                walk(property, below(Step::Field(name.clone())), places);
            }
            match schema.get("additionalProperties") {
                Some(values) if values.is_object() => {
                    walk(values, below(Step::Key), places);
                    Shape::Map
                }
                _ => Shape::Object,
            }
        }
        other => panic!("no spoiling is known for type {other:?} of {schema}"),
    };
    places.insert(Place { steps, shape });
}

#[test]
fn places_are_found_through_objects_lists_maps_and_alternatives() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "lease": {"type": "array", "items": {
                "type": "object", "properties": {"quantity": {"type": "string"}},
            }},
            "share": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "port": {
                "x-kubernetes-int-or-string": true,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
            },
        },
    });
    let mut places = BTreeSet::new();
    walk(&schema, vec![Step::Field("spec".to_owned())], &mut places);
    let found: BTreeSet<(String, Shape)> = places
        .iter()
        .map(|place| (place.to_string(), place.shape))
        .collect();
    let expected = [
        ("spec", Shape::Object),
        ("spec.lease", Shape::List),
        ("spec.lease[]", Shape::Object),
        ("spec.lease[].quantity", Shape::Text),
        ("spec.port", Shape::Number),
        ("spec.port", Shape::Text),
        ("spec.share", Shape::Map),
        ("spec.share{}", Shape::Truth),
    ];
    let expected = expected.map(|(place, shape)| (place.to_owned(), shape));
    assert_eq!(found, BTreeSet::from(expected));
}
