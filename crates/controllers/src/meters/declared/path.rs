//! Where a field of an object is.

use kube::core::DynamicObject;
use serde_json::Value;

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// To the field of this name.
    Name(String),
    /// To the entry at this place of a list, from 0.
    Place(usize),
}

/// Where a field of an object is, as `.spec.quota`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

impl Path {
    /// Reads a path as the schema of Meter admits it: `.name`, `['name']` and `[0]`, one after the other.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then(|| Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads what is there; nothing where the object has no such field, or has null in it.
    pub fn read<T>(&self, object: &DynamicObject, read: impl FnOnce(Option<&Value>) -> T) -> T {
        let is_metadata = self.steps.first() == Some(&Step::Name("metadata".to_owned()));
        if is_metadata {
            let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
            return read(found(&metadata, self.steps.get(1..).unwrap_or_default()));
        }
        read(found(&object.data, &self.steps))
    }
}

fn found<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    let mut here = value;
    for step in steps {
        here = match step {
            Step::Name(name) => here.get(name.as_str())?,
            Step::Place(place) => here.get(*place)?,
        };
    }
    (!here.is_null()).then_some(here)
}

/// The first step of a path, and what follows it.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix("['") {
        let (name, rest) = rest.split_once("']")?;
        return (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (place, rest) = rest.split_once(']')?;
        return Some((Step::Place(place.parse().ok()?), rest));
    }
    let rest = text.strip_prefix('.')?;
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end)?;
    (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "storage.example.com/v1", "kind": "Bucket",
            "metadata": {"name": "b", "annotations": {"example.com/size": "3Gi"}},
            "spec": {"quota": "5Gi", "none": null, "classes": [{"name": "hot"}, {"name": "cold"}]},
        }))
        .unwrap()
    }

    fn at(path: &str) -> Option<Value> {
        Path::parse(path)
            .unwrap()
            .read(&object(), |found| Some(found?.clone()))
    }

    #[test]
    fn a_path_leads_through_names_places_and_quoted_names() {
        assert_eq!(at(".spec.quota"), Some(json!("5Gi")));
        assert_eq!(at(".spec.classes[1].name"), Some(json!("cold")));
        let size = at(".metadata.annotations['example.com/size']");
        assert_eq!(size, Some(json!("3Gi")));
        assert_eq!(at("['spec']['quota']"), Some(json!("5Gi")));
    }

    #[test]
    fn what_is_not_there_or_null_is_nothing() {
        let absent = [
            ".spec.none",
            ".spec.quota.more",
            ".spec.classes[2]",
            ".status",
            ".metadata.labels.a",
        ];
        for path in absent {
            assert_eq!(at(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_not_read_as_one() {
        for text in ["", "spec", ".", "..a", ".a[", ".a[x]", ".a['']", ".a[0"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
