//! Every version of every quota that there ever was, from the store itself.
//!
//! Nothing is ever compacted on these control planes, and objects are stored as JSON. So etcd, asked to watch from its
//! first revision on, tells the whole history in order; that none is left out shows in the versions, which etcd counts for
//! each object.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leasehold_ledger::money::{Unit, parse_quantity};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::check::{Amounts, KEYS, Version};

/// Where the API server keeps quotas: namespace and name follow.
const QUOTAS: &str = "/registry/resourcequotas/";
/// The first key after all of them.
const BEYOND: &str = "/registry/resourcequotas0";
/// Reading a long history takes minutes in a build without optimisation.
const PATIENCE: Duration = Duration::from_secs(900);

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

/// All quotas, as etcd is asked for them.
fn range() -> Value {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    json!({"key": bytes(QUOTAS), "range_end": bytes(BEYOND)})
}

/// A call of etcd's gateway. It is asked in HTTP/1.0, so that the answer does not come in chunks.
async fn send(etcd: &str, path: &str, body: &Value) -> BufReader<TcpStream> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {etcd}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(etcd).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    stream.read_line(&mut head).await.unwrap();
    assert!(head.contains(" 200 "), "{path}: {head}");
    while head.trim_end() != "" {
        head.clear();
        assert!(stream.read_line(&mut head).await.unwrap() > 0, "{path}");
    }
    stream
}

async fn ask(etcd: &str, what: &Value) -> Value {
    let mut answer = String::new();
    let mut stream = send(etcd, "/v3/kv/range", what).await;
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

/// The newest revision of anything.
pub async fn revision(etcd: &str) -> u64 {
    let mut what = range();
    what["count_only"] = json!(true);
    let answer = ask(etcd, &what).await;
    number(answer["header"]["revision"].as_str().unwrap())
}

/// The newest revision of those quotas that are there.
async fn newest(etcd: &str) -> u64 {
    let mut what = range();
    what["keys_only"] = json!(true);
    let answer = ask(etcd, &what).await;
    let quotas = answer["kvs"].as_array().unwrap().iter();
    let revisions = quotas.map(|quota| number(quota["mod_revision"].as_str().unwrap()));
    revisions.max().unwrap()
}

/// Every version of every quota up to now, in order.
pub async fn of_quotas(etcd: &str) -> Vec<Version> {
    let newest = newest(etcd).await;
    timeout(PATIENCE, up_to(etcd, newest))
        .await
        .unwrap_or_else(|_| panic!("etcd does not tell what it has up to revision {newest}"))
}

async fn up_to(etcd: &str, newest: u64) -> Vec<Version> {
    let mut create = range();
    create["start_revision"] = json!("1");
    let mut stream = send(etcd, "/v3/watch", &json!({"create_request": create})).await;
    let mut history: Vec<Version> = Vec::new();
    let mut line = String::new();
    while history.last().is_none_or(|last| last.revision < newest) {
        line.clear();
        let read = stream.read_line(&mut line).await.unwrap();
        assert!(read > 0, "the watch ended at {:?}", history.last());
        history.extend(versions(&line));
    }
    history
}

fn versions(line: &str) -> Vec<Version> {
    let Line { result, error } = serde_json::from_str(line).unwrap();
    let told = result.unwrap_or_else(|| panic!("etcd refuses: {error:?}"));
    assert!(!told.canceled, "the history is gone: {line}");
    told.events
        .into_iter()
        .map(|event| read(event.kv))
        .collect()
}

fn read(stored: Stored) -> Version {
    let key = String::from_utf8(stored.key.0).unwrap();
    let rest = key.strip_prefix(QUOTAS).unwrap();
    let (place, _) = rest.split_once('/').unwrap();
    let quota: Option<ResourceQuota> = stored
        .value
        .map(|value| serde_json::from_slice(&value.0).unwrap());
    let quota = quota.unwrap_or_default();
    let spec = quota.spec.and_then(|spec| spec.hard);
    let status = quota.status.and_then(|status| status.hard);
    Version {
        revision: number(&stored.mod_revision),
        number: stored.version.as_deref().map_or(0, number),
        place: place.to_owned(),
        spec: granted(spec.as_ref()),
        status: granted(status.as_ref()),
    }
}

/// What a quota grants of the keys that are looked at; nothing of those that it does not name.
pub fn granted(hard: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    KEYS.map(|key| {
        let unit = if key.ends_with("cpu") {
            Unit::Core
        } else {
            Unit::GiB
        };
        let quantity = hard.and_then(|hard| hard.get(key));
        quantity.map_or(0, |quantity| parse_quantity(&quantity.0, unit).unwrap())
    })
}

#[test]
fn a_line_of_etcd_is_read_with_its_end_of_an_object() {
    let bytes = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "leasehold", "namespace": "edu--a"},
        "spec": {"hard": {"requests.cpu": "1500m", "requests.memory": "2Gi", "pods": "8"}},
        "status": {"hard": {"requests.cpu": "2"}},
    });
    let key = bytes("/registry/resourcequotas/edu--a/leasehold");
    let line = json!({"result": {
        "header": {"revision": "99"},
        "events": [
            {"kv": {
                "key": key, "create_revision": "7", "mod_revision": "12", "version": "3",
                "value": bytes(&quota.to_string()),
            }},
            {"type": "DELETE", "kv": {"key": key, "mod_revision": "13"}},
        ],
    }});
    let found = versions(&line.to_string());
    let version = |revision, number, spec, status| Version {
        revision,
        number,
        place: "edu--a".to_owned(),
        spec,
        status,
    };
    assert_eq!(
        found,
        [
            version(12, 3, [1500, 0, 2 << 30, 0], [2000, 0, 0, 0]),
            version(13, 0, [0; 4], [0; 4]),
        ]
    );
    let created = json!({"result": {"header": {"revision": "99"}, "created": true}});
    assert!(versions(&created.to_string()).is_empty());
}
