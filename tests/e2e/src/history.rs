//! Every version of every object of a kind that there ever was, from the store itself.
//!
//! Nothing is ever compacted on these control planes, and objects are stored as JSON. So etcd, asked to watch from its
//! first revision on, tells the whole history in order; that none is left out shows in the versions, which etcd counts for
//! each object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Reading a long history takes minutes in a build without optimisation.
const PATIENCE: Duration = Duration::from_secs(900);

/// One version of an object, or its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Which of all versions of anything in the store it is.
    pub revision: u64,
    /// Which version of this object it is, from 1; 0 is its end.
    pub number: u64,
    /// Its namespace.
    pub place: String,
    /// Its name.
    pub name: String,
    /// The object; nothing at its end.
    pub object: Option<Value>,
}

/// What etcd writes in one line.
#[derive(Deserialize)]
struct Line {
    result: Option<Told>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    canceled: bool,
}

#[derive(Deserialize)]
struct Event {
    kv: Stored,
}

#[derive(Deserialize)]
struct Stored {
    key: ByteString,
    mod_revision: String,
    /// Left out at the end of an object.
    version: Option<String>,
    value: Option<ByteString>,
}

/// What etcd says of the objects that are there.
#[derive(Deserialize)]
struct Present {
    header: Header,
    #[serde(default)]
    kvs: Vec<Stored>,
}

#[derive(Deserialize)]
struct Header {
    revision: String,
}

fn told(what: &str, error: &dyn Display) -> String {
    format!("failed to {what}: {error}")
}

/// Where the API server keeps a kind, as `resourcequotas` or `tenancy.leasehold.dev/tenancies`: namespace and name follow.
fn keys(kind: &str) -> String {
    format!("/registry/{kind}/")
}

/// The first key of a kind and the first after all of them, as etcd is asked for them.
fn range(kind: &str) -> [ByteString; 2] {
    // what follows a slash
    [keys(kind), format!("/registry/{kind}0")].map(|key| ByteString(key.into_bytes()))
}

/// A call of etcd's gateway. It is asked in HTTP/1.0, so that the answer does not come in chunks.
async fn send(etcd: &str, path: &str, body: &Value) -> Result<BufReader<TcpStream>, String> {
    let failed = |error: std::io::Error| told(&format!("ask etcd at {path}"), &error);
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {etcd}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(etcd).await.map_err(failed)?;
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    stream.read_line(&mut head).await.map_err(failed)?;
    if !head.contains(" 200 ") {
        return Err(told(&format!("ask etcd at {path}"), &head));
    }
    while !head.trim_end().is_empty() {
        head.clear();
        if stream.read_line(&mut head).await.map_err(failed)? == 0 {
            return Err(told(&format!("ask etcd at {path}"), &"it broke off"));
        }
    }
    Ok(stream)
}

async fn present(etcd: &str, kind: &str) -> Result<Present, String> {
    let [first, beyond] = range(kind);
    let what = json!({"key": first, "range_end": beyond, "keys_only": true});
    let mut answer = String::new();
    let mut stream = send(etcd, "/v3/kv/range", &what).await?;
    let read = stream.read_to_string(&mut answer).await;
    read.map_err(|error| told("read etcd", &error))?;
    serde_json::from_str(&answer).map_err(|error| told("understand etcd", &error))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse::<u64>()
        .map_err(|error| told(&format!("read the number {text:?}"), &error))
}

fn key_of(stored: &Stored) -> Result<String, String> {
    String::from_utf8(stored.key.0.clone()).map_err(|error| told("read a key", &error))
}

/// The newest revision of anything.
pub async fn revision(etcd: &str) -> Result<u64, String> {
    number(&present(etcd, "resourcequotas").await?.header.revision)
}

/// Every version of every object of a kind up to the last one of what is there now, in order, as far as `keep` keeps it: a long history is read once, and
/// not held as a whole.
pub async fn of<T>(
    etcd: &str,
    kind: &str,
    keep: impl FnMut(&Version) -> Result<Option<T>, String>,
) -> Result<Vec<T>, String> {
    let reading = timeout(PATIENCE, up_to_now(etcd, kind, keep)).await;
    reading.map_err(|_| format!("etcd does not tell what it has of {kind}"))?
}

async fn up_to_now<T>(
    etcd: &str,
    kind: &str,
    mut keep: impl FnMut(&Version) -> Result<Option<T>, String>,
) -> Result<Vec<T>, String> {
    let mut awaited = Awaited::of(kind, present(etcd, kind).await?)?;
    let [first, beyond] = range(kind);
    let create = json!({"key": first, "range_end": beyond, "start_revision": "1"});
    let mut stream = send(etcd, "/v3/watch", &json!({"create_request": create})).await?;
    let (mut history, mut line) = (Vec::new(), String::new());
    while !awaited.is_over() {
        line.clear();
        let read = stream.read_line(&mut line).await;
        if read.map_err(|error| told("read etcd", &error))? == 0 {
            return Err(format!("the watch of {kind} ended too early"));
        }
        for version in versions(kind, &line)? {
            awaited.see(&version);
            history.extend(keep(&version)?);
        }
    }
    Ok(history)
}

/// What has still to be told before the history is that of a moment: the last version of all that was there in it, and the
/// end of all that was not any more.
struct Awaited {
    /// The moment.
    now: u64,
    /// Objects that were there, and their last revision.
    there: BTreeMap<String, u64>,
    /// Objects that the history has and that were not there.
    gone: BTreeSet<String>,
    /// How much of what was there is not told yet.
    untold: usize,
}

impl Awaited {
    fn of(kind: &str, present: Present) -> Result<Self, String> {
        let mut there = BTreeMap::new();
        for stored in present.kvs {
            let key = key_of(&stored)?;
            let name = key.strip_prefix(&keys(kind)).unwrap_or_default();
            there.insert(name.to_owned(), number(&stored.mod_revision)?);
        }
        if there.is_empty() {
            return Err(format!(
                "there is no {kind} by whose versions the history could be told"
            ));
        }
        Ok(Self {
            now: number(&present.header.revision)?,
            untold: there.len(),
            there,
            gone: BTreeSet::new(),
        })
    }

    fn see(&mut self, version: &Version) {
        let name = format!("{}/{}", version.place, version.name);
        match self.there.get(&name) {
            Some(last) if *last == version.revision => {
                self.untold = self.untold.saturating_sub(1);
            }
            Some(_) => {}
            None if version.number == 0 || version.revision > self.now => {
                self.gone.remove(&name);
            }
            None => {
                self.gone.insert(name);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.untold == 0 && self.gone.is_empty()
    }
}

fn versions(kind: &str, line: &str) -> Result<Vec<Version>, String> {
    let Line { result, error } =
        serde_json::from_str(line).map_err(|error| told("understand etcd", &error))?;
    let result = result.ok_or_else(|| format!("etcd refuses: {error:?}"))?;
    if result.canceled {
        return Err(format!("the history of {kind} is gone: {line}"));
    }
    let events = result.events.into_iter();
    events.map(|event| read(kind, event.kv)).collect()
}

fn read(kind: &str, stored: Stored) -> Result<Version, String> {
    let key = key_of(&stored)?;
    let rest = key.strip_prefix(&keys(kind));
    let named = rest.and_then(|rest| rest.split_once('/'));
    let (place, name) = named.ok_or_else(|| format!("{key} is no {kind}"))?;
    let object = stored.value.map(|value| serde_json::from_slice(&value.0));
    Ok(Version {
        revision: number(&stored.mod_revision)?,
        number: stored.version.as_deref().map_or(Ok(0), number)?,
        place: place.to_owned(),
        name: name.to_owned(),
        object: object
            .transpose()
            .map_err(|error| told(&format!("read {key}"), &error))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Value {
        json!(ByteString(text.as_bytes().to_vec()))
    }

    fn version(revision: u64, number: u64, name: &str) -> Version {
        Version {
            revision,
            number,
            place: "edu--a".to_owned(),
            name: name.to_owned(),
            object: (number > 0).then(|| json!({"kind": "ResourceQuota"})),
        }
    }

    #[test]
    fn a_line_of_etcd_is_read_with_its_end_of_an_object() {
        let key = bytes("/registry/resourcequotas/edu--a/leasehold");
        let line = json!({"result": {
            "header": {"revision": "99"},
            "events": [
                {"kv": {
                    "key": key, "create_revision": "7", "mod_revision": "12", "version": "3",
                    "value": bytes(r#"{"kind": "ResourceQuota"}"#),
                }},
                {"type": "DELETE", "kv": {"key": key, "mod_revision": "13"}},
            ],
        }});
        let found = versions("resourcequotas", &line.to_string()).unwrap();
        let expected = [version(12, 3, "leasehold"), version(13, 0, "leasehold")];
        assert_eq!(found, expected);
        let created = json!({"result": {"header": {"revision": "99"}, "created": true}});
        let found = versions("resourcequotas", &created.to_string()).unwrap();
        assert!(found.is_empty());
        let gone = json!({"result": {"canceled": true, "compact_revision": "5"}});
        assert!(versions("resourcequotas", &gone.to_string()).is_err());
    }

    #[test]
    fn a_history_is_read_up_to_the_last_version_of_what_is_there_and_the_end_of_what_is_not() {
        let present = json!({"header": {"revision": "20"}, "kvs": [
            {"key": bytes("/registry/resourcequotas/edu--a/stays"), "mod_revision": "15"},
        ]});
        let present: Present = serde_json::from_value(present).unwrap();
        let mut awaited = Awaited::of("resourcequotas", present).unwrap();
        for (revision, number, name, is_over) in [
            (10, 1, "stays", false),
            (12, 1, "goes", false),
            (15, 2, "stays", false),
            (18, 0, "goes", true),
            // what comes after the moment is not waited for
            (21, 1, "comes", true),
        ] {
            awaited.see(&version(revision, number, name));
            assert_eq!(awaited.is_over(), is_over, "{revision}");
        }
    }
}
