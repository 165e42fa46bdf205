//! Sets of fields, as they stand in `managedFields` (the format `FieldsV1`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// One step of the way to a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field by its name.
    Field(String),
    /// An item of a list by its keys, as JSON.
    Keys(String),
    /// An item of a set by its value, as JSON.
    Item(String),
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Keys(keys) => format!("k:{keys}"),
            Self::Item(value) => format!("v:{value}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let canonical = |json: &str| {
            let value: Value = serde_json::from_str(json).ok()?;
            Some(value.to_string())
        };
        let (prefix, rest) = text.split_once(':')?;
        match prefix {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => canonical(rest).map(Self::Keys),
            "v" => canonical(rest).map(Self::Item),
            _ => None,
        }
    }
}

/// The way to a field, from the object's root.
pub(crate) type Path = Vec<Step>;

/// The way to a field by names alone.
pub(crate) fn path(names: &[&str]) -> Path {
    names
        .iter()
        .map(|name| Step::Field((*name).to_owned()))
        .collect()
}

/// A path for people: `.spec.hard[name="a"]`.
pub(crate) fn told(path: &[Step]) -> String {
    path.iter()
        .map(|step| match step {
            Step::Field(name) => format!(".{name}"),
            Step::Keys(json) => format!("[{}]", told_keys(json)),
            Step::Item(json) => format!("[={json}]"),
        })
        .collect()
}

fn told_keys(json: &str) -> String {
    let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let told: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    told.join(",")
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(BTreeSet<Path>);

impl FieldSet {
    pub(crate) fn insert(&mut self, path: &[Step]) {
        self.0.insert(path.to_vec());
    }

    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        self.0.contains(path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    /// Whether there is a field below this one.
    pub(crate) fn reaches_below(&self, path: &[Step]) -> bool {
        // all paths that begin with this one follow it in the order of the set
        self.0
            .range(path.to_vec()..)
            .take(2)
            .any(|found| found.len() > path.len() && found.starts_with(path))
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Without these fields and everything below them.
    pub(crate) fn outside(&self, roots: &[Path]) -> Self {
        let is_outside = |path: &&Path| !roots.iter().any(|root| path.starts_with(root));
        Self(self.0.iter().filter(is_outside).cloned().collect())
    }

    /// As it stands in `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut root = Node::default();
        for path in &self.0 {
            let mut node = &mut root;
            for step in path {
                node = node.below.entry(step.encode()).or_default();
            }
            node.is_member = true;
        }
        root.to_json()
    }

    /// From `fieldsV1`.
    pub(crate) fn from_json(json: &Value) -> Self {
        let mut set = Self::default();
        read(json, &mut Vec::new(), &mut set);
        set
    }
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

#[derive(Default)]
struct Node {
    is_member: bool,
    below: BTreeMap<String, Node>,
}

impl Node {
    fn to_json(&self) -> Value {
        let mut fields: Map<String, Value> = self
            .below
            .iter()
            .map(|(step, node)| (step.clone(), node.to_json()))
            .collect();
        if self.is_member && !fields.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        Value::Object(fields)
    }
}

fn read(json: &Value, path: &mut Path, set: &mut FieldSet) {
    for (key, below) in json.as_object().into_iter().flatten() {
        if key == "." {
            set.insert(path);
            continue;
        }
        let Some(step) = Step::decode(key) else {
            continue;
        };
        path.push(step);
        if below.as_object().is_none_or(Map::is_empty) {
            set.insert(path);
        } else {
            read(below, path, set);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_read_back_as_it_was_written() {
        let json = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}}}},
            "f:list": {"v:\"a\"": {}},
        });
        let set = FieldSet::from_json(&json);
        assert_eq!(set.to_json(), json);
        assert!(set.contains(&path(&["metadata", "labels"])));
        assert!(!set.contains(&path(&["metadata"])));
        assert_eq!(set.iter().count(), 5);
    }

    #[test]
    fn what_lies_below_a_field_is_found_and_left_out() {
        let set: FieldSet = [
            path(&["spec", "a"]),
            path(&["spec", "a", "b"]),
            path(&["status"]),
        ]
        .into_iter()
        .collect();
        assert!(set.reaches_below(&path(&["spec"])));
        assert!(set.reaches_below(&path(&["spec", "a"])));
        assert!(!set.reaches_below(&path(&["spec", "a", "b"])));
        assert!(!set.reaches_below(&path(&["spe"])));
        let rest = set.outside(&[path(&["spec"])]);
        assert_eq!(rest, [path(&["status"])].into_iter().collect());
    }

    #[test]
    fn a_path_is_told_as_the_api_server_tells_it() {
        let way = [
            Step::Field("spec".to_owned()),
            Step::Field("ports".to_owned()),
            Step::Keys("{\"name\":\"a\"}".to_owned()),
        ];
        assert_eq!(told(&way), ".spec.ports[name=\"a\"]");
    }
}
