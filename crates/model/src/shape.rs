//! How the parts of an object are merged: whole, field by field, or item by item.
//!
//! Custom kinds say it in their definitions. Of the kinds of Kubernetes a table of field names tells the few lists and
//! maps that are not what they look like: elsewhere objects are merged field by field and lists replaced as a whole.

use serde_json::{Map, Value};

use crate::{fields::Step, kinds::Kind, schema::Schema};

/// The shape of a part of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'kind> {
    /// The object itself; of a custom kind with its schema.
    Root(Option<&'kind Value>),
    /// A part that the definition describes.
    Schema(&'kind Value),
    /// A part that the table describes.
    Known(Facts),
}

/// What the table knows of the field of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The names of its fields are data, as of labels.
    entries: bool,
    /// It is replaced as a whole.
    atomic: bool,
    /// A list whose items are told apart by these fields.
    keys: &'static [&'static str],
    /// What the items of a list are.
    items: Items,
}

/// What the items of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Items {
    /// Nothing in particular.
    Plain,
    /// Members of a set.
    Members,
    /// Replaced as wholes.
    Wholes,
}

const PLAIN: Facts = Facts {
    entries: false,
    atomic: false,
    keys: &[],
    items: Items::Plain,
};

/// Objects whose field names are data.
const ENTRIES: Facts = Facts {
    entries: true,
    ..PLAIN
};

fn facts(field: &str) -> Facts {
    let keyed = |keys| Facts { keys, ..PLAIN };
    match field {
        "labels" | "annotations" | "data" | "binaryData" | "stringData" | "hard" | "used"
        | "requests" | "limits" | "capacity" | "allocatable" | "allocatedResources"
        | "parameters" | "nodeSelector" | "overhead" => ENTRIES,
        "podSelector" | "selector" | "labelSelector" | "namespaceSelector" | "roleRef"
        | "managedFields" => Facts {
            atomic: true,
            ..PLAIN
        },
        "conditions" => keyed(&["type"]),
        "ownerReferences" => Facts {
            items: Items::Wholes,
            ..keyed(&["uid"])
        },
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets" => keyed(&["name"]),
        "volumeMounts" => keyed(&["mountPath"]),
        _ => PLAIN,
    }
}

/// How a value is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a whole.
    Leaf,
    /// Field by field.
    Fields,
    /// Item by item.
    Items,
}

impl<'kind> Shape<'kind> {
    /// The shape of whole objects.
    pub(crate) fn of(kind: &'kind Kind) -> Self {
        Self::Root(kind.schema.as_ref().map(Schema::value))
    }

    /// How this value is merged.
    pub(crate) fn form(self, value: &Value) -> Form {
        match value {
            Value::Object(_) if self.is_atomic() => Form::Leaf,
            Value::Object(_) => Form::Fields,
            Value::Array(_) if self.has_items() => Form::Items,
            Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => Form::Leaf,
        }
    }

    fn is_atomic(self) -> bool {
        match self {
            Self::Root(_) => false,
            Self::Schema(node) => text(node, "x-kubernetes-map-type") == "atomic",
            Self::Known(facts) => facts.atomic,
        }
    }

    fn is_set(self) -> bool {
        match self {
            Self::Root(_) => false,
            Self::Schema(node) => text(node, "x-kubernetes-list-type") == "set",
            Self::Known(facts) => facts.items == Items::Members,
        }
    }

    fn has_items(self) -> bool {
        self.is_set() || !self.keys().is_empty()
    }

    /// The keys of a list's items, each with its default.
    fn keys(self) -> Vec<(&'kind str, Option<&'kind Value>)> {
        match self {
            Self::Root(_) => Vec::new(),
            Self::Schema(node) => {
                let keys = node
                    .get("x-kubernetes-list-map-keys")
                    .and_then(Value::as_array);
                keys.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|key| {
                        let default = node.pointer(&format!("/items/properties/{key}/default"));
                        (key, default)
                    })
                    .collect()
            }
            Self::Known(facts) => facts.keys.iter().map(|key| (*key, None)).collect(),
        }
    }

    /// The step to an item of a list; none to an item that lacks its keys.
    pub(crate) fn step(self, item: &Value) -> Option<Step> {
        if self.is_set() {
            return Some(Step::Item(item.to_string()));
        }
        let keys: Map<String, Value> = self
            .keys()
            .into_iter()
            .filter_map(|(key, default)| {
                let value = item.get(key).or(default)?;
                Some((key.to_owned(), value.clone()))
            })
            .collect();
        (!keys.is_empty()).then(|| Step::Keys(Value::Object(keys).to_string()))
    }

    /// The shape of a field, and whether the definition names it.
    pub(crate) fn field(self, name: &str) -> (Self, bool) {
        match self {
            Self::Root(_) if name == "metadata" => (Self::Known(PLAIN), true),
            Self::Root(_) if matches!(name, "apiVersion" | "kind") => (Self::Known(PLAIN), true),
            Self::Root(Some(node)) | Self::Schema(node) => {
                let named = node
                    .get("properties")
                    .and_then(|properties| properties.get(name));
                let rest = node
                    .get("additionalProperties")
                    .filter(|rest| rest.is_object());
                match (named, rest) {
                    (Some(named), _) => (Self::Schema(named), true),
                    (None, Some(rest)) => (Self::Schema(rest), false),
                    (None, None) => (Self::Known(ENTRIES), false),
                }
            }
            Self::Known(known) if known.entries => (Self::Known(ENTRIES), false),
            Self::Known(_) if name == "finalizers" => {
                let set = Facts {
                    items: Items::Members,
                    ..PLAIN
                };
                (Self::Known(set), true)
            }
            Self::Root(None) | Self::Known(_) => (Self::Known(facts(name)), true),
        }
    }

    /// The shape of the items of a list.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Schema(node) => node.get("items").map_or(Self::Known(ENTRIES), Self::Schema),
            Self::Known(facts) => Self::Known(Facts {
                atomic: facts.items == Items::Wholes,
                ..PLAIN
            }),
            Self::Root(_) => Self::Known(PLAIN),
        }
    }

    /// The shape of what a step leads to, and whether the definition names it.
    pub(crate) fn follow(self, step: &Step) -> (Self, bool) {
        match step {
            Step::Field(name) => self.field(name),
            Step::Keys(_) | Step::Item(_) => (self.item(), false),
        }
    }
}

fn text<'value>(node: &'value Value, key: &str) -> &'value str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Kinds;

    #[test]
    fn conditions_are_merged_by_type_in_ours_and_in_those_of_kubernetes() {
        let kinds = Kinds::ours();
        let condition = json!({"type": "Ready", "status": "True"});
        for kind in [
            kinds.of("v1", "Namespace").unwrap(),
            kinds
                .of("tenancy.leasehold.dev/v1alpha1", "Tenancy")
                .unwrap(),
        ] {
            let (status, named) = Shape::of(&kind).field("status");
            assert!(named);
            let (conditions, _) = status.field("conditions");
            assert_eq!(conditions.form(&json!([])), Form::Items);
            let step = conditions.step(&condition).unwrap();
            assert_eq!(step, Step::Keys("{\"type\":\"Ready\"}".to_owned()));
        }
    }

    #[test]
    fn labels_are_entries_and_hard_limits_too() {
        let kinds = Kinds::ours();
        let kind = kinds.of("v1", "ResourceQuota").unwrap();
        let root = Shape::of(&kind);
        let (labels, _) = root.field("metadata").0.field("labels");
        assert!(!labels.field("name").1);
        let (hard, named) = root.field("spec").0.field("hard");
        assert!(named);
        assert!(!hard.field("pods").1);
    }

    #[test]
    fn a_list_without_keys_is_a_whole() {
        let kinds = Kinds::ours();
        let kind = kinds.of("v1", "LimitRange").unwrap();
        let (limits, _) = Shape::of(&kind).field("spec").0.field("limits");
        assert_eq!(limits.form(&json!([{"type": "Container"}])), Form::Leaf);
    }
}
