//! What one side has shown so far, so that calls can speak of it and answers be compared with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::deed::{STALE, UID, VERSION, complete};
use crate::place::{Place, text};

/// Stands for the uid of another object, whose path follows.
const UID_OF: &str = "«uid of»";
/// A version that nobody has any more.
const OLDEST: &str = "1";

/// The word for the uid of another object.
pub fn uid_of(place: &Place) -> String {
    format!("{UID_OF}{}", place.path())
}

/// One object as it was shown last.
#[derive(Clone, Debug)]
struct Seen {
    object: Value,
    /// Its version before the last one.
    stale: Option<String>,
    is_gone: bool,
}

impl Seen {
    fn text(&self, field: &str) -> &str {
        text(&self.object, &format!("/metadata/{field}"))
    }
}

/// What one side has shown, by the paths of the objects.
#[derive(Clone, Debug, Default)]
pub struct Book(BTreeMap<String, Seen>);

impl Book {
    /// Takes down an answer: an object, the objects of a list, or that an object is not there.
    pub fn learn(&mut self, place: &Place, code: u16, body: &Value) {
        if code == 404 && !place.name.is_empty() {
            if let Some(seen) = self.0.get_mut(&place.path()) {
                seen.is_gone = true;
            }
            return;
        }
        match items(body) {
            Some(items) => items.iter().for_each(|item| self.enter(place, item)),
            None => self.enter(place, body),
        }
    }

    fn enter(&mut self, place: &Place, object: &Value) {
        // a status has no uid of its own
        if text(object, "/metadata/uid").is_empty() {
            return;
        }
        let place = place.of(object);
        let path = place.path();
        let version = text(object, "/metadata/resourceVersion");
        let stale = self.0.get(&path).and_then(|before| {
            let last = before.text("resourceVersion");
            if last == version {
                before.stale.clone()
            } else {
                Some(last.to_owned())
            }
        });
        let seen = Seen {
            // items of a list do not say what they are
            object: complete(&place, object),
            stale,
            is_gone: false,
        };
        self.0.insert(path, seen);
    }

    /// The object of this path as it was shown last.
    pub fn object(&self, path: &str) -> Option<&Value> {
        self.0.get(path).map(|seen| &seen.object)
    }

    /// Whether the object was there when it was last looked for.
    pub fn is_there(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|seen| !seen.is_gone)
    }

    /// How a uid or a version is to what was shown before.
    pub fn word(&self, path: &str, field: &str, value: &str) -> &'static str {
        let before = self.0.get(path).map(|seen| seen.text(field));
        if before == Some(value) {
            "as before"
        } else {
            "new"
        }
    }

    /// A body with its words filled in. A field goes when this side knows no uid to put there.
    pub fn fill(&self, path: &str, body: &Value) -> Value {
        match body {
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone(), self.filled(path, value)?)))
                    .collect(),
            ),
            Value::Array(items) => items.iter().map(|item| self.fill(path, item)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => body.clone(),
        }
    }

    fn filled(&self, path: &str, value: &Value) -> Option<Value> {
        let seen = self.0.get(path);
        let word = value.as_str().unwrap_or_default();
        let known = |field: &str| seen.map(|seen| seen.text(field));
        match word {
            VERSION => Some(json!(known("resourceVersion").unwrap_or(OLDEST))),
            STALE => {
                let stale = seen.and_then(|seen| seen.stale.as_deref());
                Some(json!(stale.unwrap_or(OLDEST)))
            }
            UID => known("uid").map(|uid| json!(uid)),
            _ => match word.strip_prefix(UID_OF) {
                Some(other) => {
                    let other = self.object(other)?;
                    Some(json!(text(other, "/metadata/uid")))
                }
                None => Some(self.fill(path, value)),
            },
        }
    }
}

/// The items of a list; nothing if it is none.
pub fn items(body: &Value) -> Option<&Vec<Value>> {
    let is_list = text(body, "/kind").ends_with("List");
    body.get("items")
        .and_then(Value::as_array)
        .filter(|_| is_list)
}

#[test]
fn versions_are_kept_with_the_one_before() {
    let place = Place::new("ConfigMap", "home", "a");
    let path = place.path();
    let shown = |version: &str| {
        json!({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "home", "uid": "u",
            "resourceVersion": version}})
    };
    let mut book = Book::default();
    let words = json!({"metadata": {"resourceVersion": STALE, "uid": UID}});
    assert_eq!(
        book.fill(&path, &words),
        json!({"metadata": {"resourceVersion": OLDEST}})
    );
    book.learn(&place, 201, &shown("7"));
    book.learn(&place, 200, &shown("9"));
    book.learn(&place, 200, &shown("9"));
    assert_eq!(
        book.fill(&path, &words),
        json!({"metadata": {"resourceVersion": "7", "uid": "u"}})
    );
    assert_eq!(book.word(&path, "resourceVersion", "9"), "as before");
    assert_eq!(book.word(&path, "resourceVersion", "7"), "new");
    book.learn(&place, 404, &json!({"kind": "Status", "metadata": {}}));
    assert!(!book.is_there(&path) && book.object(&path).is_some());
    let list = json!({"kind": "ConfigMapList", "items": [shown("12")]});
    book.learn(&place.all(), 200, &list);
    assert!(book.is_there(&path));
}
