//! The rights of every role: what is held, and that nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use futures::stream;
use http::Method;
use leasehold_e2e::tables::parse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::AT_ONCE;
use crate::crowd::Crowd;
use crate::ground::laid;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// The table of rights.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Verbs that are asked of everything.
    verbs: String,
    /// Verbs that are asked of some resources beside them.
    besides: BTreeMap<String, String>,
    /// Resources that are asked about in a namespace.
    everywhere: Vec<String>,
    /// Resources that are asked about in the whole cluster.
    cluster: Vec<String>,
    /// Who holds what.
    pub rows: Vec<Row>,
}

/// What one person holds in one place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The rule that says so, where one does.
    #[serde(default)]
    pub rule: Option<String>,
    /// Who.
    #[serde(rename = "as")]
    who: String,
    /// The namespace; none stands for the whole cluster.
    #[serde(default, rename = "in")]
    namespace: Option<String>,
    /// Verbs by resource.
    can: BTreeMap<String, String>,
}

/// One question.
struct Question<'a> {
    row: &'a Row,
    resource: &'a str,
    verb: &'static str,
    expected: bool,
}

/// Every verb that the table knows, with the words that stand for it.
const VERBS: [(&str, &[&str]); 13] = [
    ("get", &["get", "read"]),
    ("list", &["list", "read"]),
    ("watch", &["watch", "read"]),
    ("create", &["create", "write"]),
    ("update", &["update", "write"]),
    ("patch", &["patch", "write"]),
    ("delete", &["delete"]),
    ("deletecollection", &["deletecollection"]),
    ("decide-office", &["decide-office"]),
    ("decide-finance", &["decide-finance"]),
    ("adopt", &["adopt"]),
    ("bind", &["bind"]),
    ("escalate", &["escalate"]),
];

/// The verbs that a text such as `read delete` stands for.
fn verbs(text: &str) -> Result<BTreeSet<&'static str>, String> {
    let mut all = BTreeSet::new();
    for word in text.split_whitespace() {
        let meant = VERBS
            .iter()
            .filter(|(_, words)| words.contains(&word))
            .map(|(verb, _)| *verb);
        let before = all.len();
        all.extend(meant);
        if all.len() == before {
            return Err(format!("{word} in {text:?} says nothing new"));
        }
    }
    Ok(all)
}

impl Rights {
    /// Reads it.
    pub fn read() -> Result<Self, String> {
        parse(include_str!("rights.yaml"))
    }

    fn questions<'a>(&'a self, row: &'a Row) -> Result<Vec<Question<'a>>, String> {
        let universe = match row.namespace {
            Some(_) => &self.everywhere,
            None => &self.cluster,
        };
        if let Some(unknown) = row.can.keys().find(|name| !universe.contains(name)) {
            return Err(format!("{unknown} is not asked about for {}", row.who));
        }
        let mut questions = Vec::new();
        for resource in universe {
            let text =
                |of: &'a BTreeMap<String, String>| of.get(resource).map_or("", String::as_str);
            let held = verbs(text(&row.can))?;
            let mut asked = verbs(&self.verbs)?;
            asked.extend(verbs(text(&self.besides))?);
            if let Some(unasked) = held.difference(&asked).next() {
                return Err(format!("{unasked} of {resource} is never asked about"));
            }
            questions.extend(asked.into_iter().map(|verb| Question {
                row,
                resource,
                verb,
                expected: held.contains(verb),
            }));
        }
        Ok(questions)
    }
}

impl Question<'_> {
    async fn ask(&self, crowd: &Crowd) -> Result<(), String> {
        let person = crowd.person(&self.row.who)?;
        let mut groups = person.groups.clone();
        groups.push("system:authenticated".to_owned());
        let (kind, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
        let namespace = self.row.namespace.as_deref().unwrap_or_default();
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": person.user, "groups": groups,
                "resourceAttributes": {
                    "namespace": namespace, "verb": self.verb, "group": group,
                    "resource": resource, "subresource": subresource,
                },
            },
        });
        let answer = crowd.admin(Method::POST, REVIEWS, review).await?;
        let allowed = answer.body.pointer("/status/allowed");
        if allowed.and_then(Value::as_bool) == Some(self.expected) {
            return Ok(());
        }
        let (who, verb) = (&self.row.who, self.verb);
        Err(format!(
            "{who}: {verb} {} in {namespace:?} should be {} and is {allowed:?}",
            self.resource, self.expected
        ))
    }
}

/// Every kind of ours, and its status, is asked about where it lives.
fn forgotten(rights: &Rights) -> Vec<String> {
    let mut forgotten = Vec::new();
    for definition in leasehold_api::definitions() {
        let spec = &definition.spec;
        let asked = if spec.scope == "Namespaced" {
            &rights.everywhere
        } else {
            &rights.cluster
        };
        let name = format!("{}.{}", spec.names.plural, spec.group);
        let with_status = spec.versions.iter().any(|version| {
            let subresources = version.subresources.as_ref();
            subresources.is_some_and(|subresources| subresources.status.is_some())
        });
        let status = with_status.then(|| format!("{name}/status"));
        let wanted = std::iter::once(name.clone()).chain(status);
        forgotten.extend(wanted.filter(|name| !asked.contains(name)));
    }
    forgotten
}

#[test]
fn the_table_of_rights_asks_about_every_kind_and_status() {
    assert_eq!(forgotten(&Rights::read().unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn everybody_holds_the_rights_in_the_table_and_no_others() {
    let crowd = Crowd::gather(laid().await.unwrap()).await.unwrap();
    let rights = Rights::read().unwrap();
    let mut questions = Vec::new();
    for row in &rights.rows {
        questions.extend(rights.questions(row).unwrap());
    }
    let crowd = &crowd;
    let failures: Vec<String> = stream::iter(questions)
        .map(|question| async move { question.ask(crowd).await.err() })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failure| async move { failure })
        .collect()
        .await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
