//! What a request asks for, in the words of the API server's rights.

use std::fmt;

use http::{HeaderMap, Method, Uri, header};
use serde::Serialize;
use serde_json::Value;

/// What a request does; server-side apply is a patch.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads all objects, or a page of them.
    List,
    /// Follows what changes.
    Watch,
    /// Makes an object, or a subresource as an eviction.
    Create,
    /// Writes a whole object.
    Update,
    /// Changes an object, or applies it.
    Patch,
    /// Removes an object, or many.
    Delete,
}

impl Verb {
    /// Those that change something.
    pub const WRITES: [Self; 4] = [Self::Create, Self::Update, Self::Patch, Self::Delete];
    /// All but watches.
    pub const CALLS: [Self; 6] = [
        Self::Get,
        Self::List,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
    ];

    /// The verb as it stands in a role.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// One request, as far as rules look at it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it does.
    pub verb: Verb,
    /// What it is about: `tenancies`, or with a subresource `tenancies/status`.
    pub resource: String,
    /// Where; empty for kinds without a namespace, and over all namespaces.
    pub namespace: String,
    /// Its name; empty for lists and most watches.
    pub name: String,
    /// How the client introduces itself: its User-Agent.
    #[serde(skip)]
    pub client: String,
}

impl Asked {
    /// What a request asks for; none for what is no resource, such as the version of the server.
    pub fn of(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let version = match parts.next()? {
            "api" => 1,
            "apis" => 2,
            _ => return None,
        };
        let path: Vec<&str> = parts.skip(version).collect();
        let (namespace, resource, name, part) = match path.as_slice() {
            ["namespaces", name, part @ ("status" | "finalize")] => {
                ("", "namespaces", *name, *part)
            }
            ["namespaces", namespace, resource] => (*namespace, *resource, "", ""),
            ["namespaces", namespace, resource, name] => (*namespace, *resource, *name, ""),
            ["namespaces", namespace, resource, name, part, ..] => {
                (*namespace, *resource, *name, *part)
            }
            [resource] => ("", *resource, "", ""),
            [resource, name] => ("", *resource, *name, ""),
            [resource, name, part, ..] => ("", *resource, *name, *part),
            [] => return None,
        };
        let verb = match *method {
            Method::GET if parameter(uri, "watch") == Some("true") => Verb::Watch,
            Method::GET if name.is_empty() => Verb::List,
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return None,
        };
        let name = if verb == Verb::Create && name.is_empty() {
            named(body)
        } else {
            name.to_owned()
        };
        let resource = match part {
            "" => resource.to_owned(),
            part => format!("{resource}/{part}"),
        };
        let client = headers.get(header::USER_AGENT);
        let client = client.and_then(|value| value.to_str().ok());
        Some(Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name,
            client: client.unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            namespace,
            name,
            ..
        } = self;
        write!(f, "{} {resource} {namespace}/{name}", verb.as_str())
    }
}

/// The value of a parameter of the query, as it stands there.
pub(super) fn parameter<'uri>(uri: &'uri Uri, name: &str) -> Option<&'uri str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What a list and the watches from it have in common: path and selectors.
pub(super) fn scope(uri: &Uri) -> String {
    let labels = parameter(uri, "labelSelector").unwrap_or_default();
    let fields = parameter(uri, "fieldSelector").unwrap_or_default();
    format!("{} {labels} {fields}", uri.path())
}

/// The name of the object in a body.
fn named(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, uri: &str, body: &str) -> Option<String> {
        let uri: Uri = uri.parse().unwrap();
        let asked = Asked::of(method, &uri, &HeaderMap::new(), body.as_bytes())?;
        Some(asked.to_string())
    }

    #[test]
    fn a_request_is_read_as_the_api_server_reads_it() {
        let table = [
            (Method::GET, "/api/v1/nodes?limit=500", "list nodes /"),
            (
                Method::GET,
                "/api/v1/nodes?watch=true&timeoutSeconds=10",
                "watch nodes /",
            ),
            (Method::GET, "/api/v1/namespaces", "list namespaces /"),
            (Method::GET, "/api/v1/namespaces/a", "get namespaces /a"),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "update namespaces/finalize /a",
            ),
            (Method::GET, "/api/v1/namespaces/a/pods", "list pods a/"),
            (
                Method::PATCH,
                "/apis/tenancy.leasehold.dev/v1alpha1/namespaces/dept-edu/tenancies/oa/status?force=true",
                "patch tenancies/status dept-edu/oa",
            ),
            (
                Method::PATCH,
                "/apis/tenancy.leasehold.dev/v1alpha1/departments/edu/status",
                "patch departments/status /edu",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/pods/web",
                "delete pods a/web",
            ),
        ];
        for (method, uri, expected) in table {
            assert_eq!(asked(&method, uri, "").as_deref(), Some(expected), "{uri}");
        }
    }

    #[test]
    fn what_is_created_is_named_by_its_body() {
        let body = r#"{"metadata": {"name": "edu--prod"}}"#;
        let found = asked(&Method::POST, "/api/v1/namespaces", body);
        assert_eq!(found.as_deref(), Some("create namespaces /edu--prod"));
        let found = asked(
            &Method::POST,
            "/api/v1/namespaces/a/pods/web/eviction",
            "{}",
        );
        assert_eq!(found.as_deref(), Some("create pods/eviction a/web"));
    }

    #[test]
    fn what_is_no_resource_is_nothing_that_rules_look_at() {
        for uri in ["/version", "/readyz", "/apis", "/apis/apps/v1", "/"] {
            assert_eq!(asked(&Method::GET, uri, ""), None, "{uri}");
        }
    }

    #[test]
    fn a_list_and_its_watches_have_one_scope_and_other_selectors_another() {
        let scope = |uri: &str| scope(&uri.parse().unwrap());
        let list = scope("/api/v1/pods?limit=500&labelSelector=a%3Db");
        assert_eq!(
            scope("/api/v1/pods?watch=true&labelSelector=a%3Db&resourceVersion=7"),
            list
        );
        assert_ne!(scope("/api/v1/pods?watch=true&resourceVersion=7"), list);
    }
}
