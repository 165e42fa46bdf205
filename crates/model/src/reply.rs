//! Answers before anybody has copied them: objects are shared with the store until they are written out.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::store::Answer;

/// An answer to a call that the server carried out.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The code of HTTP.
    pub(crate) code: u16,
    /// What it brings.
    pub(crate) content: Content,
}

/// What an answer brings.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An object.
    Object(Arc<Value>),
    /// Objects of one kind.
    List(List),
    /// A status.
    Status(Value),
}

/// Objects of one kind as they are at a version.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) api_version: String,
    /// The kind of the objects.
    pub(crate) kind: String,
    pub(crate) version: u64,
    pub(crate) items: Vec<Arc<Value>>,
}

impl Reply {
    pub(crate) fn ok(object: Arc<Value>) -> Self {
        Self::of(200, Content::Object(object))
    }

    pub(crate) fn created(object: Arc<Value>) -> Self {
        Self::of(201, Content::Object(object))
    }

    pub(crate) fn of(code: u16, content: Content) -> Self {
        Self { code, content }
    }
}

impl Content {
    /// As it stands in the body of an answer; of objects their metadata alone, if `is_partial`.
    pub(crate) fn text(&self, is_partial: bool) -> String {
        let object = |object: &Value| {
            if is_partial {
                partial(object)
            } else {
                text(object)
            }
        };
        match self {
            Self::Object(one) => object(one),
            Self::List(list) => {
                let items: Vec<String> = list.items.iter().map(|item| object(item)).collect();
                let (api_version, kind) = if is_partial {
                    (PARTIAL.0, PARTIAL.1)
                } else {
                    (list.api_version.as_str(), list.kind.as_str())
                };
                format!(
                    r#"{{"apiVersion":"{api_version}","kind":"{kind}List","metadata":{{"resourceVersion":"{}"}},"items":[{}]}}"#,
                    list.version,
                    items.join(",")
                )
            }
            Self::Status(status) => text(status),
        }
    }
}

/// Version and kind of an object whose metadata alone were asked for.
const PARTIAL: (&str, &str) = ("meta.k8s.io/v1", "PartialObjectMetadata");

/// JSON as text.
pub(crate) fn text(value: &Value) -> String {
    // it has texts for keys, so that this cannot fail
    serde_json::to_string(value).unwrap_or_default()
}

/// An object's metadata alone, as text.
pub(crate) fn partial(object: &Value) -> String {
    let (api_version, kind) = PARTIAL;
    let metadata = text(object.get("metadata").unwrap_or(&Value::Null));
    format!(r#"{{"apiVersion":"{api_version}","kind":"{kind}","metadata":{metadata}}}"#)
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let body = match reply.content {
            Content::Object(object) => Arc::unwrap_or_clone(object),
            Content::List(list) => {
                let items: Vec<Value> = list.items.into_iter().map(Arc::unwrap_or_clone).collect();
                json!({
                    "apiVersion": list.api_version, "kind": format!("{}List", list.kind),
                    "metadata": {"resourceVersion": list.version.to_string()}, "items": items,
                })
            }
            Content::Status(status) => status,
        };
        Self {
            code: reply.code,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_list_says_what_its_value_says() {
        let items = ["a", "\"b\""]
            .map(|name| Arc::new(json!({"metadata": {"name": name}, "spec": {"租": [1, null]}})));
        let list = Content::List(List {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            version: 7,
            items: items.to_vec(),
        });
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let whole = read(list.text(false));
        let partial = read(list.text(true));
        assert_eq!(whole, Answer::from(Reply::of(200, list)).body);
        assert_eq!(whole["kind"], "ConfigMapList");
        assert_eq!(whole["metadata"]["resourceVersion"], "7");
        let metadata = |name: &str| {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": name}})
        };
        assert_eq!(
            partial,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {"resourceVersion": "7"}, "items": [metadata("a"), metadata("\"b\"")]})
        );
    }
}
