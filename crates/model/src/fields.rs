//! Sets of fields, as they stand in `managedFields` (the format `FieldsV1`).

use std::collections::BTreeMap;

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

/// A set of fields, as a tree of the steps to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(Node);

/// Where a step leads. But for the root of an empty set it is a member, or there are members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    is_member: bool,
    below: BTreeMap<Step, Node>,
}

impl FieldSet {
    pub(crate) fn insert(&mut self, path: &[Step]) {
        let mut node = &mut self.0;
        for step in path {
            // a step that is known is not copied
            if !node.below.contains_key(step) {
                node.below.insert(step.clone(), Node::default());
            }
            let Some(below) = node.below.get_mut(step) else {
                return;
            };
            node = below;
        }
        node.is_member = true;
    }

    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        self.0.at(path).is_some_and(|node| node.is_member)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_nothing()
    }

    /// All of them, in order.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.0.list(&mut Vec::new(), &mut paths);
        paths
    }

    /// Whether there is a field below this one.
    pub(crate) fn reaches_below(&self, path: &[Step]) -> bool {
        self.0.at(path).is_some_and(|node| !node.below.is_empty())
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.0.absorb(&other.0);
        all
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(self.0.minus(&other.0))
    }

    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        Self(self.0.shared_with(&other.0))
    }

    /// Without these fields and everything below them.
    pub(crate) fn outside(mut self, roots: &[Path]) -> Self {
        for root in roots {
            self.0.cut(root);
        }
        self
    }

    /// Takes in those fields on the way to its members that are named: `follow` tells where a step leads, and whether to a
    /// field that is.
    pub(crate) fn take_in<S: Copy>(&mut self, start: S, follow: &impl Fn(S, &Step) -> (S, bool)) {
        self.0.take_in(start, follow);
    }

    /// As it stands in `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        self.0.to_json()
    }

    /// From `fieldsV1`.
    pub(crate) fn from_json(json: &Value) -> Self {
        Self(Node::from_json(json))
    }
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}

impl Node {
    fn is_nothing(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }

    fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |node, step| node.below.get(step))
    }

    fn list(&self, path: &mut Path, paths: &mut Vec<Path>) {
        if self.is_member {
            paths.push(path.clone());
        }
        for (step, node) in &self.below {
            path.push(step.clone());
            node.list(path, paths);
            path.pop();
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.is_member |= other.is_member;
        for (step, theirs) in &other.below {
            match self.below.get_mut(step) {
                Some(ours) => ours.absorb(theirs),
                None => {
                    self.below.insert(step.clone(), theirs.clone());
                }
            }
        }
    }

    fn minus(&self, other: &Self) -> Self {
        let below = self.below.iter().map(|(step, ours)| {
            let left = match other.below.get(step) {
                Some(theirs) => ours.minus(theirs),
                None => ours.clone(),
            };
            (step, left)
        });
        Self::of(self.is_member && !other.is_member, below)
    }

    fn shared_with(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(step, ours)| {
            let theirs = other.below.get(step)?;
            Some((step, ours.shared_with(theirs)))
        });
        Self::of(self.is_member && other.is_member, below)
    }

    /// A node without what is nothing below it.
    fn of<'step>(is_member: bool, below: impl Iterator<Item = (&'step Step, Self)>) -> Self {
        Self {
            is_member,
            below: below
                .filter(|(_, node)| !node.is_nothing())
                .map(|(step, node)| (step.clone(), node))
                .collect(),
        }
    }

    /// Takes out what a path leads to, and everything below it.
    fn cut(&mut self, path: &[Step]) {
        let Some((step, rest)) = path.split_first() else {
            *self = Self::default();
            return;
        };
        let Some(node) = self.below.get_mut(step) else {
            return;
        };
        node.cut(rest);
        if node.is_nothing() {
            self.below.remove(step);
        }
    }

    fn take_in<S: Copy>(&mut self, at: S, follow: &impl Fn(S, &Step) -> (S, bool)) {
        for (step, node) in &mut self.below {
            let (there, is_named) = follow(at, step);
            node.is_member |= is_named;
            node.take_in(there, follow);
        }
    }

    fn to_json(&self) -> Value {
        let mut fields: Map<String, Value> = self
            .below
            .iter()
            .map(|(step, node)| (step.encode(), node.to_json()))
            .collect();
        if self.is_member && !fields.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        Value::Object(fields)
    }

    fn from_json(json: &Value) -> Self {
        let mut node = Self::default();
        for (key, below) in json.as_object().into_iter().flatten() {
            if key == "." {
                node.is_member = true;
                continue;
            }
            let Some(step) = Step::decode(key) else {
                continue;
            };
            let mut found = Self::from_json(below);
            // nothing below it: the field itself
            found.is_member |= below.as_object().is_none_or(Map::is_empty);
            if !found.is_nothing() {
                node.below.insert(step, found);
            }
        }
        node
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
        assert_eq!(set.paths().len(), 5);
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
    fn sets_are_added_taken_away_and_compared_field_by_field() {
        let set =
            |paths: &[&[&str]]| -> FieldSet { paths.iter().map(|names| path(names)).collect() };
        let one = set(&[&["a"], &["a", "b"], &["c", "d"]]);
        let other = set(&[&["a"], &["c", "d"], &["c", "e"]]);
        let all = set(&[&["a"], &["a", "b"], &["c", "d"], &["c", "e"]]);
        assert_eq!(one.union(&other), all);
        assert_eq!(one.minus(&other), set(&[&["a", "b"]]));
        assert_eq!(one.shared_with(&other), set(&[&["a"], &["c", "d"]]));
        assert!(one.minus(&one).is_empty());
        let mut named = set(&[&["a", "b", "c"]]);
        named.take_in(0, &|depth, _| (depth + 1, depth == 1));
        assert_eq!(named, set(&[&["a", "b"], &["a", "b", "c"]]));
        assert_eq!(named.paths().len(), 2);
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
