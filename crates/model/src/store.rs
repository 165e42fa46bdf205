//! What is stored, in which order it changed, and the calls that read it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    call::{Call, Verb},
    chores::Agenda,
    kinds::{Kind, Kinds},
    object::{copy, meta, set, text},
    refusal::Refusal,
    reply::{Content, List, Reply},
    selector::Selector,
};

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `plural.group` of its kind.
    pub resource: String,
    /// Its namespace; empty when its kind lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of an object of a kind.
    pub fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            resource: kind.resource().to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It appeared.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Event {
    /// The version at which it happened.
    pub version: u64,
    /// What happened.
    pub kind: EventKind,
    /// To which object.
    pub key: Key,
    /// The object as it was before; none when it appeared.
    pub before: Option<Arc<Value>>,
    /// The object as it is after, or was last in store, with the version of the event.
    pub object: Arc<Value>,
}

/// What is stored.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) kinds: Kinds,
    pub(crate) objects: BTreeMap<Key, Arc<Value>>,
    /// The same objects by the namespace that they are in; empty for those that are in none.
    places: BTreeMap<String, BTreeMap<Key, Arc<Value>>>,
    pub(crate) agenda: Agenda,
    log: VecDeque<Event>,
    version: u64,
    /// The version of the last change of each kind.
    latest: BTreeMap<String, u64>,
    /// Up to this version events were dropped.
    compacted: u64,
    births: u64,
    /// How often a former state was put back: watches of before are cut.
    restores: u64,
}

/// What became of a call that the server carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The code of HTTP.
    pub code: u16,
    /// The object, the list or the status.
    pub body: Value,
}

impl Store {
    /// A fresh cluster: the namespaces `default` and `kube-system`.
    pub fn new(kinds: Kinds, now: Timestamp) -> Self {
        let mut store = Self {
            kinds,
            objects: BTreeMap::new(),
            places: BTreeMap::new(),
            agenda: Agenda::default(),
            log: VecDeque::new(),
            version: 1,
            latest: BTreeMap::new(),
            compacted: 1,
            births: 0,
            restores: 0,
        };
        if let Some(kind) = store.kinds.of("v1", "Namespace") {
            for name in ["default", "kube-system"] {
                let body =
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                let call = Call::new(Verb::Create, &kind, "", "").with_body(body);
                // nothing is there that could be in the way
                drop(store.handle(&call, now));
            }
        }
        store
    }

    /// The kinds that are served.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// From now on these kinds are served. Whatever is there of others stays, and is out of reach.
    pub fn serve(&mut self, kinds: Kinds) {
        self.kinds = kinds;
        self.agenda.forget();
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version of the last change of an object of the kind; 0 before the first.
    pub(crate) fn latest_of(&self, kind: &Kind) -> u64 {
        self.latest.get(kind.resource()).copied().unwrap_or(0)
    }

    /// Every object with its key, in the order of the keys.
    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().map(|(key, object)| (key, &**object))
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key).map(|object| &**object)
    }

    /// Every object in a namespace, in the order of the keys; those that are in none, if it has no name.
    pub(crate) fn inside<'store>(
        &'store self,
        namespace: &str,
    ) -> impl Iterator<Item = (&'store Key, &'store Value)> + use<'store> {
        let objects = self.places.get(namespace).into_iter().flatten();
        objects.map(|(key, object)| (key, &**object))
    }

    /// Changes after a version, the oldest first; a refusal if they are no longer kept.
    pub fn events_after(&self, version: u64) -> Result<impl Iterator<Item = &Event>, Refusal> {
        if version < self.compacted {
            return Err(Refusal::gone(version, self.compacted));
        }
        let start = self.log.partition_point(|event| event.version <= version);
        Ok(self.log.range(start..))
    }

    /// Puts a former state back, as whoever restores etcd from a backup: objects and versions are those of then. What is
    /// new from now on gets a uid that nothing had before.
    pub fn restore(&mut self, former: Self) {
        let (births, restores) = (self.births, self.restores);
        *self = former;
        self.births = self.births.max(births);
        self.restores = restores.saturating_add(1);
    }

    pub(crate) fn restores(&self) -> u64 {
        self.restores
    }

    /// Forgets changes up to a version, as etcd does after five minutes.
    pub fn compact(&mut self, version: u64) {
        let version = version.min(self.version);
        while self
            .log
            .front()
            .is_some_and(|event| event.version <= version)
        {
            self.log.pop_front();
        }
        self.compacted = self.compacted.max(version);
    }

    /// Carries a call out. Watches are not answered here: see [`Self::events_after`].
    ///
    /// # Errors
    ///
    /// What the API server would answer instead.
    pub fn handle(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
        self.reply(call, now).map(Answer::from)
    }

    /// The same with an answer that nobody has copied yet.
    pub(crate) fn reply(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        match call.verb {
            Verb::Get => {
                let key = Key::new(&call.kind, &call.namespace, &call.name);
                self.find(&key, &call.kind).map(Reply::ok)
            }
            Verb::List => {
                let list = self.list(call)?;
                Ok(Reply::of(200, Content::List(list)))
            }
            Verb::Watch => Err(Refusal::method_not_allowed()),
            Verb::Create | Verb::Update | Verb::Patch(_) | Verb::Delete => {
                if call.is_trial() {
                    // the cheapest way to change nothing is to change a copy
                    let mut trial = self.clone();
                    let mut reply = trial.write(call, now)?;
                    self.keep_version(call, &mut reply.content);
                    return Ok(reply);
                }
                self.write(call, now)
            }
        }
    }

    /// Gives the answer to a trial the version that is stored: what is not stored has none.
    fn keep_version(&self, call: &Call, content: &mut Content) {
        let Content::Object(object) = content else {
            return;
        };
        let key = Key::new(&call.kind, &call.namespace, meta(object, "name"));
        let live = self.get(&key).unwrap_or(&Value::Null);
        let object = Arc::make_mut(object);
        copy(object, live, &["metadata", "resourceVersion"]);
    }

    fn write(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
        match call.verb {
            Verb::Create if call.subresource == "eviction" => self.evict(call, now),
            Verb::Create if call.subresource.is_empty() => self.create(call, now),
            Verb::Update => self.replace(call, now),
            Verb::Patch(patch) => self.patch(call, patch, now),
            Verb::Delete => self.delete(call, now),
            Verb::Create | Verb::Get | Verb::List | Verb::Watch => {
                Err(Refusal::method_not_allowed())
            }
        }
    }

    fn list(&self, call: &Call) -> Result<List, Refusal> {
        let selector = Selector::of(call)?;
        let asked = call.parameter("resourceVersion").parse().unwrap_or(0);
        if asked > self.version {
            return Err(Refusal::ahead(asked, self.version));
        }
        let items = self
            .of_kind(&call.kind, &call.namespace)
            .filter(|(_, object)| selector.matches(object))
            .map(|(_, object)| Arc::clone(object));
        Ok(List {
            api_version: call.kind.api_version().to_owned(),
            kind: call.kind.kind.clone(),
            version: self.version,
            items: items.collect(),
        })
    }

    pub(crate) fn find(&self, key: &Key, kind: &Kind) -> Result<Arc<Value>, Refusal> {
        self.objects
            .get(key)
            .map(Arc::clone)
            .ok_or_else(|| Refusal::not_found(kind, &key.name))
    }

    /// Objects of a kind in a namespace, or in all.
    pub(crate) fn of_kind<'store>(
        &'store self,
        kind: &Kind,
        namespace: &str,
    ) -> impl Iterator<Item = (&'store Key, &'store Arc<Value>)> + use<'store> {
        let start = Key::new(kind, namespace, "");
        let namespace = namespace.to_owned();
        let resource = start.resource.clone();
        self.objects.range(start..).take_while(move |(key, _)| {
            key.resource == resource && (namespace.is_empty() || key.namespace == namespace)
        })
    }

    /// A number that no object has had: for uids and generated names.
    pub(crate) fn birth(&mut self) -> u64 {
        self.births = self.births.saturating_add(1);
        self.births
    }

    /// Stores an object, new or changed, and gives it back with its version.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let version = self.next(&key);
        let text = Value::String(version.to_string());
        set(&mut object, &["metadata", "resourceVersion"], text);
        let stored = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&stored));
        self.agenda.note(&key, before.is_none());
        let place = self.places.entry(key.namespace.clone()).or_default();
        place.insert(key.clone(), Arc::clone(&stored));
        self.log.push_back(Event {
            version,
            kind: if before.is_some() {
                EventKind::Modified
            } else {
                EventKind::Added
            },
            key,
            before,
            object: Arc::clone(&stored),
        });
        stored
    }

    /// Takes an object out, and gives it back with the version at which it went. It went as it was stored: what took its
    /// last finalizer off is not stored before.
    pub(crate) fn take(&mut self, key: Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(&key)?;
        self.agenda.note(&key, true);
        if let Some(place) = self.places.get_mut(&key.namespace) {
            place.remove(&key);
        }
        let version = self.next(&key);
        let mut last = Value::clone(&before);
        let text = Value::String(version.to_string());
        set(&mut last, &["metadata", "resourceVersion"], text);
        let last = Arc::new(last);
        self.log.push_back(Event {
            version,
            kind: EventKind::Deleted,
            key,
            before: Some(before),
            object: Arc::clone(&last),
        });
        Some(last)
    }

    /// The version of a change of an object.
    fn next(&mut self, key: &Key) -> u64 {
        self.version = self.version.saturating_add(1);
        match self.latest.get_mut(&key.resource) {
            Some(latest) => *latest = self.version,
            None => {
                self.latest.insert(key.resource.clone(), self.version);
            }
        }
        self.version
    }

    /// The namespace of this name.
    pub(crate) fn namespace(&self, name: &str) -> Option<&Value> {
        let key = Key {
            resource: "namespaces".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        };
        self.get(&key)
    }
}

/// Whether somebody has asked for the object's end.
pub(crate) fn is_ending(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// Whether nothing runs in a pod any more.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests;
