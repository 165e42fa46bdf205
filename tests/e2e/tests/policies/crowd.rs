//! Everybody who asks, each with their own credentials where there are any.

use std::collections::BTreeMap;
use std::fmt::Display;

use http::Method;
use kube::Client;
use kube::client::Body;
use leasehold_testkit::{Failure, NAMESPACE, Rig, SERVICE_ACCOUNT, User};
use serde_json::Value;

use crate::request::{Answer, Outcome, Request, Verb};
use crate::table::Ground;

/// Code of the department that the cases are about.
pub const CODE: &str = "policies";
/// Code of another department.
pub const OTHER: &str = "strangers";
/// Code of the department above the one that the cases are about.
pub const ABOVE: &str = "superiors";

/// Who has credentials of their own, beside the operator.
const PEOPLE: [(&str, User<'static>); 12] = [
    ("admin", User::Admin),
    ("office", User::Office),
    ("sun", User::SUN),
    ("qian", User::QIAN),
    ("datacentre", User::DataCentre),
    ("appraiser", User::Appraiser),
    ("strange-appraiser", User::StrangeAppraiser),
    ("auditor", User::Auditor),
    ("staff", User::Department(CODE)),
    ("stranger", User::Department(OTHER)),
    ("overseer", User::Department(ABOVE)),
    ("outsider", User::Outsider(CODE)),
];

const JSON: &str = "application/json";

/// Somebody who asks.
pub struct Person {
    client: Client,
    impersonated: bool,
    /// The name, as the API server sees it.
    pub user: String,
    /// The groups, beyond those that every user has.
    pub groups: Vec<String>,
}

/// One call of the API server.
struct Call {
    method: Method,
    uri: String,
    content: &'static str,
    body: Value,
}

impl Person {
    async fn call(&self, call: Call) -> Result<Answer, String> {
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(call.uri.as_str())
            .header("accept", JSON)
            .header("content-type", call.content);
        if self.impersonated {
            request = request.header("impersonate-user", self.user.as_str());
            for group in &self.groups {
                request = request.header("impersonate-group", group.as_str());
            }
        }
        let body = if call.body.is_null() {
            Vec::new()
        } else {
            call.body.to_string().into_bytes()
        };
        let failed = |error: &dyn Display| format!("{}: {error}", call.uri);
        let request = request
            .body(Body::from(body))
            .map_err(|error| failed(&error))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| failed(&error))?;
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned())
            .collect();
        let bytes = response
            .into_body()
            .collect_bytes()
            .await
            .map_err(|error| failed(&error))?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer {
            code,
            warnings,
            body,
        })
    }
}

/// Everybody, on the runtime of one test.
pub struct Crowd {
    people: BTreeMap<String, Person>,
    /// What they stand on.
    pub ground: Ground,
}

impl Crowd {
    /// Gathers them.
    pub async fn gather(rig: &Rig) -> Result<Self, String> {
        let ground = Ground::read()?;
        let mut people = BTreeMap::new();
        for (name, user) in PEOPLE {
            let session = rig.user(user).await.map_err(|failure| said(&failure))?;
            let person = Person {
                client: session.client(),
                impersonated: false,
                user: user.name(),
                groups: user.groups(),
            };
            people.insert(name.to_owned(), person);
        }
        let operator = rig
            .service_account()
            .await
            .map_err(|failure| said(&failure))?;
        let operator = Person {
            client: operator.client(),
            impersonated: false,
            user: SERVICE_ACCOUNT.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{NAMESPACE}"),
            ],
        };
        people.insert("operator".to_owned(), operator);
        let admin = rig
            .user(User::Admin)
            .await
            .map_err(|failure| said(&failure))?;
        for (name, identity) in &ground.impersonated {
            let person = Person {
                client: admin.client(),
                impersonated: true,
                user: identity.user.clone(),
                groups: identity.groups.clone(),
            };
            people.insert(name.clone(), person);
        }
        Ok(Self { people, ground })
    }

    /// One of them.
    pub fn person(&self, name: &str) -> Result<&Person, String> {
        let found = self.people.get(name);
        found.ok_or_else(|| format!("nobody here is called {name}"))
    }

    /// Asks, and compares what comes of it. Nothing is stored.
    pub async fn try_out(&self, request: &Request, outcome: &Outcome) -> Result<(), String> {
        self.ask(request, true).await?.judge(request, outcome)
    }

    /// Carries out a request, which must go through. One that was carried out before did.
    pub async fn carry_out(&self, request: &Request) -> Result<(), String> {
        let answer = self.ask(request, false).await?;
        if request.verb == Verb::Create && answer.code == 409 {
            return Ok(());
        }
        answer.judge(request, &Outcome::Accepted)
    }

    /// Asks the API server; with `dry` nothing is stored.
    async fn ask(&self, request: &Request, dry: bool) -> Result<Answer, String> {
        let path = self.path(&request.at)?;
        let mut query = Vec::new();
        if dry {
            query.push("dryRun=All");
        }
        if request.verb != Verb::Delete {
            // what the table misspells is not dropped in silence
            query.push("fieldValidation=Strict");
        }
        if request.verb == Verb::Apply {
            query.extend(["fieldManager=policies", "force=true"]);
        }
        let (method, content) = match request.verb {
            Verb::Create => (Method::POST, JSON),
            Verb::Merge => (Method::PATCH, "application/merge-patch+json"),
            Verb::Strategic => (Method::PATCH, "application/strategic-merge-patch+json"),
            Verb::Json => (Method::PATCH, "application/json-patch+json"),
            Verb::Apply => (Method::PATCH, "application/apply-patch+yaml"),
            Verb::Update => (Method::PUT, JSON),
            Verb::Delete => (Method::DELETE, JSON),
        };
        let call = Call {
            method,
            uri: format!("{path}?{}", query.join("&")),
            content,
            body: self.body(request).await?,
        };
        self.person(&request.who)?.call(call).await
    }

    /// What is sent along.
    async fn body(&self, request: &Request) -> Result<Value, String> {
        match request.verb {
            Verb::Create | Verb::Apply => {
                let name = request.object.as_deref().unwrap_or_default();
                let base = self.ground.objects.get(name);
                request.whole(base.ok_or_else(|| format!("there is no object {name:?}"))?)
            }
            Verb::Update => {
                let object = request.at.splitn(3, '/').take(2).collect::<Vec<_>>();
                let found = self.look(&self.path(&object.join("/"))?).await?;
                request.whole(&found)
            }
            Verb::Merge | Verb::Strategic | Verb::Json => Ok(request.with.clone()),
            Verb::Delete => Ok(Value::Null),
        }
    }

    /// What is at a path, as the administrator sees it.
    pub async fn look(&self, path: &str) -> Result<Value, String> {
        let answer = self.admin(Method::GET, path, Value::Null).await?;
        if answer.is_ok() {
            Ok(answer.body)
        } else {
            Err(format!("{path}: {answer:?}"))
        }
    }

    /// A call by the administrator.
    pub async fn admin(&self, method: Method, uri: &str, body: Value) -> Result<Answer, String> {
        let call = Call {
            method,
            uri: uri.to_owned(),
            content: JSON,
            body,
        };
        self.person("admin")?.call(call).await
    }

    /// The path of what a table calls `place/name/subresource`.
    fn path(&self, at: &str) -> Result<String, String> {
        let (place, rest) = at.split_once('/').unwrap_or((at, ""));
        let path = self.ground.places.get(place);
        let path = path.ok_or_else(|| format!("there is no place {place}"))?;
        Ok(if rest.is_empty() {
            path.clone()
        } else {
            format!("{path}/{rest}")
        })
    }
}

/// A failure in the words of the tables' tests.
pub fn said(failure: &Failure) -> String {
    format!("{failure:?}")
}
