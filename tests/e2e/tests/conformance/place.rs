//! Where objects live, on both sides alike.

use std::sync::Arc;

use leasehold_model::{Kind, Kinds};
use serde_json::Value;

/// Groups in which kinds are looked for by name alone; no name is in two of them.
const APIS: [&str; 5] = [
    "v1",
    "rbac.authorization.k8s.io/v1",
    "tenancy.leasehold.dev/v1alpha1",
    "charging.leasehold.dev/v1alpha1",
    "platform.leasehold.dev/v1alpha1",
];
/// What the root certificate of the cluster is called in every namespace.
const FURNITURE: &str = "kube-root-ca.crt";

/// One object, or all objects of a kind.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of which kind.
    pub kind: Arc<Kind>,
    /// In which namespace; empty for all, and for kinds that live in none.
    pub namespace: String,
    /// The object's name; empty for all.
    pub name: String,
}

/// The kind of this name.
pub fn kind(name: &str) -> Arc<Kind> {
    let kinds = Kinds::ours();
    APIS.iter()
        .find_map(|api| kinds.of(api, name))
        .unwrap_or_else(|| panic!("the model does not serve {name}"))
}

/// The text at the end of a pointer; empty when there is none.
pub fn text<'value>(value: &'value Value, pointer: &str) -> &'value str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

impl Place {
    /// The object of this name; the namespace counts for kinds that live in one.
    pub fn new(kind_name: &str, namespace: &str, name: &str) -> Self {
        let kind = kind(kind_name);
        let namespace = if kind.namespaced { namespace } else { "" };
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The namespace of this name.
    pub fn namespace(name: &str) -> Self {
        Self::new("Namespace", "", name)
    }

    /// Another object beside this one.
    pub fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    /// All objects beside this one.
    pub fn all(&self) -> Self {
        self.named("")
    }

    /// Where an object of this kind is.
    pub fn of(&self, object: &Value) -> Self {
        Self {
            kind: Arc::clone(&self.kind),
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
        }
    }

    /// Whether it is a namespace, or all of them.
    pub fn is_namespace(&self) -> bool {
        self.kind.kind == "Namespace"
    }

    /// Whether a quota of the plays may count objects of this kind.
    pub fn is_counted(&self) -> bool {
        self.kind.namespaced && !self.kind.is_custom()
    }

    /// Whether an object that a list or a watch shows is not of the play.
    pub fn is_foreign(&self, object: &Value, prefix: &str) -> bool {
        let name = text(object, "/metadata/name");
        name == FURNITURE || (!self.kind.namespaced && !name.starts_with(prefix))
    }

    /// The path of it.
    pub fn path(&self) -> String {
        let api = self.kind.api_version();
        let root = if self.kind.group.is_empty() {
            format!("/api/{api}")
        } else {
            format!("/apis/{api}")
        };
        let mut path = root;
        if !self.namespace.is_empty() {
            path = format!("{path}/namespaces/{}", self.namespace);
        }
        path = format!("{path}/{}", self.kind.plural);
        if !self.name.is_empty() {
            path = format!("{path}/{}", self.name);
        }
        path
    }
}
