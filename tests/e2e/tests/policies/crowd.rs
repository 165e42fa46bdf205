//! Everybody who asks, each with their own credentials where there are any.

use std::collections::BTreeMap;

use http::Method;
use leasehold_e2e::person::{Answer, Call, JSON, Person, said};
use leasehold_testkit::{NAMESPACE, Rig, SERVICE_ACCOUNT, User};
use serde_json::Value;

use crate::request::{Outcome, Request, Verb};
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
            let person = Person::new(session.client(), user.name(), user.groups());
            people.insert(name.to_owned(), person);
        }
        let operator = rig
            .service_account()
            .await
            .map_err(|failure| said(&failure))?;
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{NAMESPACE}"),
        ];
        let operator = Person::new(operator.client(), SERVICE_ACCOUNT.to_owned(), groups);
        people.insert("operator".to_owned(), operator);
        let admin = rig
            .user(User::Admin)
            .await
            .map_err(|failure| said(&failure))?;
        for (name, identity) in &ground.impersonated {
            let (user, groups) = (identity.user.clone(), identity.groups.clone());
            let person = Person::impersonated(admin.client(), user, groups);
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
        request.judge(&self.ask(request, true).await?, outcome)
    }

    /// Carries out a request, which must go through. One that was carried out before did.
    pub async fn carry_out(&self, request: &Request) -> Result<(), String> {
        let answer = self.ask(request, false).await?;
        if request.verb == Verb::Create && answer.code == 409 {
            return Ok(());
        }
        request.judge(&answer, &Outcome::Accepted)
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
            claims: BTreeMap::new(),
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
        self.person("admin")?.look(path).await
    }

    /// A call by the administrator.
    pub async fn admin(&self, method: Method, uri: &str, body: Value) -> Result<Answer, String> {
        let call = Call::plain(method, uri, body);
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
