//! One call of the API server.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::kinds::Kind;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects of a kind.
    List,
    /// Changes of objects of a kind.
    Watch,
    /// A new object, or an eviction.
    Create,
    /// Another object in the place of the old one.
    Update,
    /// A change.
    Patch(PatchKind),
    /// The end of an object.
    Delete,
}

/// What a patch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Server-side apply.
    Apply,
}

/// One call of the API server.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked for.
    pub verb: Verb,
    /// Of which kind.
    pub kind: Arc<Kind>,
    /// In which namespace; empty for all, and for kinds that live in none.
    pub namespace: String,
    /// The object's name; empty for all.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// Parameters of the query.
    pub query: BTreeMap<String, String>,
    /// The body; null when there is none.
    pub body: Value,
    /// Who calls.
    pub user: String,
}

impl Call {
    /// A call without parameters and body, as the user `system:admin`.
    pub fn new(verb: Verb, kind: &Arc<Kind>, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            kind: Arc::clone(kind),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            query: BTreeMap::new(),
            body: Value::Null,
            user: "system:admin".to_owned(),
        }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    /// The same with a parameter.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: &str) -> Self {
        self.query.insert(parameter.to_owned(), value.to_owned());
        self
    }

    /// The same of a subresource.
    #[must_use]
    pub fn of(mut self, subresource: &str) -> Self {
        subresource.clone_into(&mut self.subresource);
        self
    }

    /// The same by another user.
    #[must_use]
    pub fn by(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// A parameter; empty when there is none.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        match self.verb {
            Verb::Get | Verb::List | Verb::Watch => false,
            Verb::Create | Verb::Update | Verb::Patch(_) | Verb::Delete => !self.is_trial(),
        }
    }

    /// Whether nothing is to be stored.
    pub(crate) fn is_trial(&self) -> bool {
        let in_body = self
            .body
            .get("dryRun")
            .and_then(Value::as_array)
            .is_some_and(|stages| !stages.is_empty());
        !self.parameter("dryRun").is_empty() || (self.verb == Verb::Delete && in_body)
    }

    /// The name under which a write is entered in `managedFields`.
    pub(crate) fn manager(&self) -> &str {
        match self.parameter("fieldManager") {
            "" => "unknown",
            named => named,
        }
    }
}
