//! What watches of both sides tell.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use leasehold_testkit::eventually;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::differ::equal;
use crate::pair::{Pair, SOON};
use crate::place::{Place, text};
use crate::plain;

/// Longer than any play.
const SECONDS: u32 = 1_200;

/// What one watch has told so far: kinds of events and objects.
type Told = Arc<Mutex<Vec<(&'static str, Value)>>>;

/// Watches of the same places on both sides, from the versions at which they were opened.
pub struct Watches {
    watched: Vec<(Place, [Told; 2])>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Opens a watch of every place on both sides.
    pub async fn open(pair: &Pair, places: Vec<Place>) -> Self {
        let mut tasks = JoinSet::new();
        let mut watched = Vec::new();
        for place in places {
            let versions = pair.versions(&place).await;
            let told = [Told::default(), Told::default()];
            let sides = pair.clients().into_iter().zip(versions).zip(&told);
            for ((client, version), told) in sides {
                let path = place.path();
                tasks.spawn(follow(client, path, version, Arc::clone(told)));
            }
            watched.push((place, told));
        }
        Self {
            watched,
            _tasks: tasks,
        }
    }

    /// Waits until the watches of both sides have told the same of every object.
    pub async fn level(&self, pair: &Pair) -> Result<(), String> {
        for (place, [model, real]) in &self.watched {
            let what = format!("the same events at {} on both sides", place.path());
            let level = eventually(&what, SOON, async || {
                let histories = [model, real].map(|told| histories(place, told, pair.prefix()));
                equal(&histories[0], &histories[1])
            });
            level.await.map_err(|failure| format!("{failure:?}"))?;
        }
        Ok(())
    }
}

fn note(told: &Told, kind: &'static str, object: Value) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.push((kind, object));
}

/// Takes down what a watch tells. It should not end before the play does.
async fn follow(client: Client, path: String, version: String, told: Told) {
    let query = format!("watch=true&resourceVersion={version}&timeoutSeconds={SECONDS}");
    let request = Request::get(format!("{path}?{query}"))
        .body(Vec::new())
        .unwrap();
    let events = match client.request_events::<Value>(request).await {
        Ok(events) => events,
        Err(error) => return note(&told, "ERROR", json!(error.to_string())),
    };
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(WatchEvent::Added(object)) => note(&told, "ADDED", object),
            Ok(WatchEvent::Modified(object)) => note(&told, "MODIFIED", object),
            Ok(WatchEvent::Deleted(object)) => note(&told, "DELETED", object),
            Ok(WatchEvent::Bookmark(_)) => {}
            Ok(WatchEvent::Error(status)) => note(&told, "ERROR", json!(status.message)),
            Err(error) => note(&told, "ERROR", json!(error.to_string())),
        }
    }
    note(&told, "ERROR", json!("the watch ended"));
}

/// What happened to one object.
#[derive(Default)]
struct History {
    /// Its uids, in the order of their coming.
    uids: Vec<String>,
    version: u64,
    events: Vec<Value>,
}

/// What happened to every object of the play, by its path.
fn histories(place: &Place, told: &Told, prefix: &str) -> Value {
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for (kind, object) in told.iter() {
        if *kind == "ERROR" {
            let history = histories.entry(place.path()).or_default();
            history.events.push(json!({"event": kind, "said": object}));
        } else if !place.is_foreign(object, prefix) {
            let history = histories.entry(place.of(object).path()).or_default();
            history.add(place, kind, object);
        }
    }
    histories
        .into_iter()
        .map(|(path, history)| (path, Value::Array(history.events)))
        .collect()
}

impl History {
    fn add(&mut self, place: &Place, kind: &str, object: &Value) {
        let uid = text(object, "/metadata/uid");
        if !self.uids.iter().any(|known| known == uid) {
            self.uids.push(uid.to_owned());
        }
        let number = self.uids.iter().position(|known| known == uid);
        let version: u64 = text(object, "/metadata/resourceVersion").parse().unwrap();
        let mut plain = plain::bare(place, object);
        plain["metadata"]["uid"] = json!(number);
        plain["metadata"]["resourceVersion"] = json!(version > self.version);
        self.version = version;
        // how often a quota is counted, and how often a namespace that ends is looked at, is up to the cluster
        let is_counting = place.kind.kind == "ResourceQuota";
        if is_counting {
            plain::drop_field(&mut plain, "status");
        }
        let last = self.events.last().map(|last| &last["object"]);
        let is_repeated = kind == "MODIFIED" && last == Some(&plain);
        if !(is_repeated && (is_counting || place.is_namespace())) {
            self.events.push(json!({"event": kind, "object": plain}));
        }
    }
}

#[test]
fn what_happened_is_told_of_every_object_by_itself() {
    let shown = |name: &str, uid: &str, version: &str| json!({"metadata": {"name": name, "namespace": "home", "uid": uid, "resourceVersion": version}});
    let told = Told::default();
    note(&told, "ADDED", shown("a", "u1", "3"));
    note(&told, "ADDED", shown("b", "u2", "4"));
    note(&told, "DELETED", shown("a", "u1", "5"));
    note(&told, "ADDED", shown("a", "u3", "5"));
    let place = Place::new("ConfigMap", "home", "");
    let histories = histories(&place, &told, "");
    let of_a = &histories[place.named("a").path()];
    let kinds: Vec<&str> = of_a
        .as_array()
        .unwrap()
        .iter()
        .map(|event| text(event, "/event"))
        .collect();
    assert_eq!(kinds, ["ADDED", "DELETED", "ADDED"]);
    assert_eq!(of_a[1]["object"]["metadata"]["resourceVersion"], true);
    assert_eq!(of_a[2]["object"]["metadata"]["resourceVersion"], false);
    assert_eq!(of_a[2]["object"]["metadata"]["uid"], 1);
    assert_eq!(
        histories[place.named("b").path()].as_array().unwrap().len(),
        1
    );
}
