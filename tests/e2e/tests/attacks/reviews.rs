//! Access reviews: every resource that the API server serves, every verb, everybody.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use http::Method;
use serde_json::{Value, json};

use crate::cells::{Cell, Expected, Tables};
use crate::crowd::{AT_ONCE, Crowd};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];
/// Where what lives in a namespace is asked about: at home, at the neighbour's, in the system's.
const PLACES: [&str; 4] = ["own", "own-office", "other", "system"];
/// Rights that no list of resources shows.
const BESIDES: [(&str, &str); 17] = [
    ("impersonate", "users"),
    ("impersonate", "groups"),
    ("impersonate", "serviceaccounts"),
    ("impersonate", "uids.authentication.k8s.io"),
    ("impersonate:user-info", "users.authentication.k8s.io"),
    (
        "impersonate:serviceaccount",
        "serviceaccounts.authentication.k8s.io",
    ),
    ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("approve", "signers.certificates.k8s.io"),
    ("sign", "signers.certificates.k8s.io"),
    ("decide-office", "approvals.charging.leasehold.dev"),
    ("decide-finance", "approvals.charging.leasehold.dev"),
    ("adopt", "departments.tenancy.leasehold.dev"),
    ("*", "nodes"),
    ("*", "*.*"),
];

/// A resource or a subresource that the API server serves.
pub struct Resource {
    /// Its kind, as `deployments.apps`.
    kind: String,
    /// The subresource; empty for the object itself.
    door: String,
    namespaced: bool,
    /// Whether it can be written.
    written: bool,
}

/// What was reviewed.
pub struct Reviewed {
    /// How many questions.
    pub asked: usize,
    /// How many of them were answered with yes.
    pub allowed: usize,
    /// Answers that the table of rights does not give.
    pub flaws: Vec<String>,
}

/// Everything that the API server serves.
pub async fn discover(crowd: &Crowd) -> Result<Vec<Resource>, String> {
    let groups = crowd.look("/apis").await?;
    let mut versions = vec![("/api/v1".to_owned(), String::new())];
    for group in list(&groups, "/groups") {
        let version = text(group, "/preferredVersion/groupVersion");
        versions.push((format!("/apis/{version}"), text(group, "/name")));
    }
    let mut resources = Vec::new();
    for (path, group) in versions {
        let found = crowd.look(&path).await?;
        for resource in list(&found, "/resources") {
            let name = text(resource, "/name");
            let (plural, door) = name.split_once('/').unwrap_or((&name, ""));
            let verbs: Vec<&Value> = list(resource, "/verbs").collect();
            resources.push(Resource {
                kind: if group.is_empty() {
                    plural.to_owned()
                } else {
                    format!("{plural}.{group}")
                },
                door: door.to_owned(),
                namespaced: resource.get("namespaced") == Some(&Value::Bool(true)),
                written: verbs
                    .iter()
                    .any(|verb| *verb == "update" || *verb == "patch"),
            });
        }
    }
    Ok(resources)
}

/// Doors to what leasehold keeps that no attack goes through.
pub fn unattacked(resources: &[Resource], cells: &[Cell]) -> Vec<String> {
    let by_rule = |cell: &&Cell| matches!(cell.expected, Expected::Rule(_));
    let attacked: BTreeSet<(&str, &str)> = cells
        .iter()
        .filter(by_rule)
        .map(|cell| (cell.kind.as_str(), cell.door.as_str()))
        .collect();
    // what tenants make and run is theirs, but for the claims that leasehold made
    let kept = |cell: &&Cell| cell.row.0 != "workloads" || cell.kind == "persistentvolumeclaims";
    let kinds: BTreeSet<&str> = cells
        .iter()
        .filter(by_rule)
        .filter(kept)
        .map(|cell| cell.kind.as_str())
        .collect();
    resources
        .iter()
        .filter(|one| one.written && !one.door.is_empty() && kinds.contains(one.kind.as_str()))
        .filter(|one| !attacked.contains(&(one.kind.as_str(), one.door.as_str())))
        .map(|one| format!("{}/{}", one.kind, one.door))
        .collect()
}

/// One question.
struct Question<'a> {
    who: &'a str,
    verb: &'a str,
    kind: &'a str,
    door: &'a str,
    place: &'a str,
}

impl Question<'_> {
    /// What is wrong with the answer, and whether it is yes.
    async fn ask(&self, crowd: &Crowd, tables: &Tables) -> (bool, Option<String>) {
        let Some(identity) = tables.ground.people.get(self.who) else {
            return (false, Some(format!("nobody here is called {}", self.who)));
        };
        let resource = if self.door.is_empty() {
            self.kind.to_owned()
        } else {
            format!("{}/{}", self.kind, self.door)
        };
        let rights = &tables.rights;
        let expected = rights.allow(identity, self.verb, &resource, self.place);
        let (plural, group) = self.kind.split_once('.').unwrap_or((self.kind, ""));
        let namespace = tables.ground.places.get(self.place);
        let mut groups = identity.groups.clone();
        groups.push("system:authenticated".to_owned());
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": identity.user, "groups": groups,
                "resourceAttributes": {
                    "namespace": namespace.map_or("", String::as_str), "verb": self.verb,
                    "group": group, "resource": plural, "subresource": self.door,
                },
            },
        });
        let answer = crowd.admin(Method::POST, REVIEWS, review).await;
        let allowed = answer.map(|answer| {
            let allowed = answer.body.pointer("/status/allowed");
            allowed.and_then(Value::as_bool)
        });
        if allowed == Ok(Some(expected)) {
            return (expected, None);
        }
        let question = format!(
            "kubectl auth can-i {} {resource} --as {} in {:?}",
            self.verb, identity.user, self.place
        );
        let flaw = format!("{question}\n    expected {expected}, came {allowed:?}");
        (allowed == Ok(Some(true)), Some(flaw))
    }
}

/// Asks everything of everybody who is held by rights.
pub async fn review(crowd: &Crowd, tables: &Tables, resources: &[Resource]) -> Reviewed {
    let people = tables.ground.people.iter();
    let bound = people.filter(|(_, identity)| !identity.mighty && !identity.is_anonymous());
    let mut questions = Vec::new();
    for (who, _) in bound {
        let who = who.as_str();
        for resource in resources {
            questions.extend(about(who, resource));
        }
        for (verb, kind) in BESIDES {
            let places = PLACES.into_iter().chain(["cluster"]);
            questions.extend(places.map(|place| Question {
                who,
                verb,
                kind,
                door: "",
                place,
            }));
        }
    }
    let asked = questions.len();
    let asking = questions
        .into_iter()
        .map(|question| async move { question.ask(crowd, tables).await });
    let answers: Vec<(bool, Option<String>)> = stream::iter(asking)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    Reviewed {
        asked,
        allowed: answers.iter().filter(|(allowed, _)| *allowed).count(),
        flaws: answers.into_iter().filter_map(|(_, flaw)| flaw).collect(),
    }
}

/// Every verb of a resource, wherever it can be.
fn about<'a>(who: &'a str, resource: &'a Resource) -> Vec<Question<'a>> {
    let mut places: Vec<&str> = Vec::new();
    if !resource.namespaced {
        places.push("cluster");
    }
    // a namespace is of the whole cluster, and rights in it reach it all the same
    if resource.namespaced || resource.kind == "namespaces" {
        places.extend(PLACES);
    }
    let each = places.into_iter().flat_map(|place| {
        VERBS.into_iter().map(move |verb| Question {
            who,
            verb,
            kind: &resource.kind,
            door: &resource.door,
            place,
        })
    });
    each.collect()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
