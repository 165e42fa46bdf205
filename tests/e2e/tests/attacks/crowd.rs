//! Everybody who attacks, and how their requests are sent.
//!
//! Whoever has a certificate or a token uses it; in the name of the others the administrator acts,
//! which the API server takes for them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use http::Method;
use kube::Client;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use leasehold_e2e::person::{Answer, Call, JSON, Person, said};
use leasehold_testkit::{Ran, Rig, Session, User};
use serde_json::{Value, json};

use crate::cells::{ABOVE, CODE, Cell, OTHER};
use crate::change::{lay, operations};
use crate::table::{Ground, Identity, Way};

/// How often a change of what somebody else changes meanwhile is tried.
const TRIES: usize = 5;
/// How many requests are on their way at once.
pub const AT_ONCE: usize = 32;

/// Who has a certificate, by their short names.
const CERTIFIED: [(&str, User<'static>); 10] = [
    ("staff", User::Department(CODE)),
    ("stranger", User::Department(OTHER)),
    ("overseer", User::Department(ABOVE)),
    ("appraiser", User::Appraiser),
    ("unlisted", User::StrangeAppraiser),
    ("datacentre", User::DataCentre),
    ("auditor", User::Auditor),
    ("finance", User::SUN),
    ("office", User::Office),
    ("nobody", User::Outsider(CODE)),
];

/// Everybody, on the runtime of the one campaign.
pub struct Crowd {
    admin: Person,
    people: BTreeMap<String, Person>,
    objects: BTreeMap<String, Value>,
    /// What is there, by path; the attacks change none of it.
    live: Mutex<BTreeMap<String, Value>>,
}

impl Crowd {
    /// Gathers them. The tenancy's namespace must be there, because its account needs a token.
    pub async fn gather(rig: &Rig, ground: &Ground) -> Result<Self, String> {
        let session = rig.user(User::Admin).await.map_err(|f| said(&f))?;
        let admin = Person::new(session.client(), User::Admin.name(), User::Admin.groups());
        let mut people = BTreeMap::new();
        for (name, identity) in &ground.people {
            let (user, groups) = (identity.user.clone(), identity.groups.clone());
            let person = match own(rig, &session, name, identity).await? {
                Some(client) => Person::new(client, user, groups),
                None => Person::impersonated(session.client(), user, groups),
            };
            people.insert(name.clone(), person);
        }
        Ok(Self {
            admin,
            people,
            objects: ground.objects.clone(),
            live: Mutex::default(),
        })
    }

    /// A call by the administrator.
    pub async fn admin(&self, method: Method, uri: &str, body: Value) -> Result<Answer, String> {
        self.admin.call(Call::plain(method, uri, body)).await
    }

    /// What the administrator reads at a path.
    pub async fn look(&self, path: &str) -> Result<Value, String> {
        self.admin.look(path).await
    }

    /// JSON patch operations of the administrator, carried out.
    pub async fn operate(&self, path: &str, operations: Value) -> Result<(), String> {
        let call = Call {
            method: Method::PATCH,
            uri: path.to_owned(),
            content: "application/json-patch+json",
            claims: BTreeMap::new(),
            body: operations,
        };
        let answer = self.admin.call(call).await?;
        if answer.is_ok() {
            Ok(())
        } else {
            Err(format!("{path}: {}", answer.brief()))
        }
    }

    /// Tries a cell. What would be written is not stored.
    pub async fn attack(&self, cell: &Cell) -> Result<Answer, String> {
        let person = self.people.get(&cell.who);
        let person = person.ok_or_else(|| format!("nobody here is called {}", cell.who))?;
        let mut tries = 1;
        loop {
            let answer = person.call(self.call_of(cell, tries > 1).await?).await?;
            // the running operator may have written in between: then the attack was not judged
            let late = answer.code == 409 && cell.way == Way::Update;
            if !late || tries == TRIES {
                return Ok(answer);
            }
            tries += 1;
        }
    }

    async fn call_of(&self, cell: &Cell, anew: bool) -> Result<Call, String> {
        let body = self.body(cell, anew).await?;
        let name = body.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or(&cell.name);
        let at = match cell.way {
            Way::DeleteCollection | Way::List | Way::Watch => cell.path(None),
            Way::Create if cell.door.is_empty() => cell.path(None),
            // what is created may have a name of its own
            Way::Apply => cell.path(Some(name)),
            Way::Create
            | Way::Update
            | Way::Merge
            | Way::Json
            | Way::Strategic
            | Way::Delete
            | Way::Get => cell.path(Some(&cell.name)),
        };
        let door = if cell.door.is_empty() {
            String::new()
        } else {
            format!("/{}", cell.door)
        };
        let (method, content) = match cell.way {
            Way::Create => (Method::POST, JSON),
            Way::Update => (Method::PUT, JSON),
            Way::Merge => (Method::PATCH, "application/merge-patch+json"),
            Way::Json => (Method::PATCH, "application/json-patch+json"),
            Way::Strategic => (Method::PATCH, "application/strategic-merge-patch+json"),
            Way::Apply => (Method::PATCH, "application/apply-patch+yaml"),
            Way::Delete | Way::DeleteCollection => (Method::DELETE, JSON),
            Way::Get | Way::List | Way::Watch => (Method::GET, JSON),
        };
        Ok(Call {
            method,
            uri: format!("{at}{door}{}", query(cell.way)),
            content,
            claims: cell.claims.clone(),
            body,
        })
    }

    /// What is sent along.
    async fn body(&self, cell: &Cell, anew: bool) -> Result<Value, String> {
        match cell.way {
            Way::Create => lay(&self.created(cell)?, &cell.change),
            Way::Apply if cell.object.is_some() => lay(&self.created(cell)?, &cell.change),
            Way::Apply => {
                let live = self.live(cell, anew).await?;
                let bare = json!({
                    "apiVersion": live.get("apiVersion"), "kind": live.get("kind"),
                    "metadata": {"name": cell.name},
                });
                lay(&bare, &cell.change)
            }
            Way::Update => lay(&self.live(cell, anew).await?, &cell.change),
            Way::Json => Ok(operations(&self.live(cell, anew).await?, &cell.change)),
            // without a field there is nothing to say, which rights do not mind
            Way::Merge | Way::Strategic if cell.change.is_null() => Ok(json!({})),
            Way::Merge | Way::Strategic => Ok(cell.change.clone()),
            Way::Delete | Way::DeleteCollection | Way::Get | Way::List | Way::Watch => {
                Ok(Value::Null)
            }
        }
    }

    /// The object that a cell creates, before the field is laid over it.
    fn created(&self, cell: &Cell) -> Result<Value, String> {
        let mut object = match &cell.object {
            Some(name) => {
                let found = self.objects.get(name);
                let found = found.ok_or_else(|| format!("there is no object {name}"))?;
                found.clone()
            }
            None => json!({}),
        };
        object["metadata"] = json!({"name": cell.name});
        Ok(object)
    }

    /// The object that a cell attacks, as the administrator sees it; an empty one where there is
    /// none: whoever has no right is sent all the same.
    async fn live(&self, cell: &Cell, anew: bool) -> Result<Value, String> {
        let path = cell.path(Some(&cell.name));
        let known = self.known(&path);
        if let (Some(known), false) = (known, anew) {
            return Ok(known);
        }
        let answer = self.admin(Method::GET, &path, Value::Null).await?;
        let found = if answer.is_ok() {
            answer.body
        } else {
            json!({})
        };
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(path, found.clone());
        Ok(found)
    }

    fn known(&self, path: &str) -> Option<Value> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(path).cloned()
    }
}

/// What is said beside the path: no write is stored, and nothing misspelt is dropped in silence.
fn query(way: Way) -> &'static str {
    match way {
        Way::Create | Way::Update | Way::Merge | Way::Json | Way::Strategic => {
            "?dryRun=All&fieldValidation=Strict"
        }
        Way::Apply => "?dryRun=All&fieldValidation=Strict&fieldManager=attacks&force=true",
        Way::Delete | Way::DeleteCollection => "?dryRun=All",
        Way::Watch => "?watch=true&timeoutSeconds=1",
        Way::Get | Way::List => "",
    }
}

/// A client with somebody's own credentials, where they have any.
async fn own(
    rig: &Rig,
    admin: &Session,
    name: &str,
    identity: &Identity,
) -> Result<Option<Client>, String> {
    if let Some((_, user)) = CERTIFIED.iter().find(|(certified, _)| *certified == name) {
        if user.name() != identity.user {
            return Err(format!("{name} is {} and not {user:?}", identity.user));
        }
        let session = rig.user(*user).await.map_err(|f| said(&f))?;
        return Ok(Some(session.client()));
    }
    if identity.is_anonymous() {
        return Ok(Some(with(admin, json!({})).await?));
    }
    if name != "robot" {
        return Ok(None);
    }
    let account = identity.user.rsplit_once(':');
    let (before, account) = account.unwrap_or_default();
    let place = before.rsplit(':').next().unwrap_or_default();
    let wanted = ["create", "token", account, "-n", place, "--duration=2h"];
    let made = admin.kubectl(&wanted, "").await;
    let made = made.and_then(Ran::ok).map_err(|f| said(&f))?;
    let credentials = json!({"token": made.stdout.trim()});
    Ok(Some(with(admin, credentials).await?))
}

/// A client of the administrator's server with these credentials and no others.
async fn with(admin: &Session, credentials: Value) -> Result<Client, String> {
    let failed = |error: &dyn Display| format!("a client with other credentials: {error}");
    let credentials: AuthInfo =
        serde_json::from_value(credentials).map_err(|error| failed(&error))?;
    let mut file = Kubeconfig::read_from(admin.kubeconfig()).map_err(|error| failed(&error))?;
    for user in &mut file.auth_infos {
        user.auth_info = Some(credentials.clone());
    }
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| failed(&error))?;
    Client::try_from(config).map_err(|error| failed(&error))
}
