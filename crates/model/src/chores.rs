//! The controllers that a cluster runs beside its API server, one step at a time.
//!
//! Which step comes first is for the caller to say: in a cluster nobody can tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    admission::NAMESPACE_CONTROLLER,
    call::{Call, Verb},
    create::EMPTY_FIRST,
    managed::seconds,
    object::{at, meta, set, text, texts},
    quota,
    store::{Key, Store, is_ending},
};

/// A step that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chore {
    /// A quota counts other than what is there.
    Count(Key),
    /// A namespace lacks what every namespace has: a service account and the root certificate.
    Furnish(String),
    /// An object in a namespace that ends.
    Empty(Key),
    /// A namespace that ends does not say what is left in it.
    Report(String),
    /// A namespace that ends is empty.
    Close(String),
    /// An object of which every owner is gone.
    Collect(Key),
}

const NAMESPACES: &str = "namespaces";
/// Objects that every namespace gets: kind and name.
const FURNITURE: [(&str, &str); 2] = [
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
];

/// The steps that are due, and where they must be looked for again: what is due in a namespace depends on the namespace, on
/// what is in it, and on which owners there are outside of all namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    /// By the object at which they are seen.
    due: BTreeMap<Key, Vec<Chore>>,
    /// Namespaces where something has changed since; the empty one for what is in none.
    changed: BTreeSet<String>,
    /// Whether everything must be looked at.
    is_void: bool,
}

impl Agenda {
    /// An object has changed, or has come or gone.
    pub(crate) fn note(&mut self, key: &Key, came_or_went: bool) {
        self.is_void |= came_or_went && key.namespace.is_empty();
        let place = place(key);
        if !self.changed.contains(place) {
            self.changed.insert(place.to_owned());
        }
    }

    /// What is known is worth nothing.
    pub(crate) fn forget(&mut self) {
        self.is_void = true;
    }
}

/// The namespace that an object is or is in.
fn place(key: &Key) -> &str {
    if key.resource == NAMESPACES {
        &key.name
    } else {
        &key.namespace
    }
}

impl Store {
    /// Every step that is due, in the order of the keys.
    pub fn chores(&mut self) -> Vec<Chore> {
        let Agenda {
            mut due,
            changed,
            is_void,
        } = mem::take(&mut self.agenda);
        if is_void {
            due = self.due_among(self.objects());
        } else {
            due.retain(|key, _| !changed.contains(place(key)));
            for place in &changed {
                due.append(&mut self.due_among(self.around(place)));
            }
        }
        let chores = due.values().flatten().cloned().collect();
        self.agenda.due = due;
        chores
    }

    /// A namespace and what is in it, or what is in none.
    fn around<'store>(
        &'store self,
        name: &str,
    ) -> impl Iterator<Item = (&'store Key, &'store Value)> + use<'store> {
        let itself = Key {
            resource: NAMESPACES.to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        };
        let itself = self.objects.get_key_value(&itself);
        let inside = self.inside(name);
        itself
            .map(|(key, object)| (key, &**object))
            .into_iter()
            .chain(inside.filter(|(key, _)| key.resource != NAMESPACES))
    }

    fn due_among<'store>(
        &self,
        objects: impl Iterator<Item = (&'store Key, &'store Value)>,
    ) -> BTreeMap<Key, Vec<Chore>> {
        objects
            .map(|(key, object)| (key, self.due_at(key, object)))
            .filter(|(_, due)| !due.is_empty())
            .map(|(key, due)| (key.clone(), due))
            .collect()
    }

    fn due_at(&self, key: &Key, object: &Value) -> Vec<Chore> {
        let mut chores = Vec::new();
        match key.resource.as_str() {
            "resourcequotas" if quota::recounted(self, key, object).is_some() => {
                chores.push(Chore::Count(key.clone()));
            }
            NAMESPACES => chores = self.of_namespace(&key.name, object),
            _ => {}
        }
        if self.is_orphan(object, &key.namespace) {
            chores.push(Chore::Collect(key.clone()));
        }
        chores
    }

    fn of_namespace(&self, name: &str, namespace: &Value) -> Vec<Chore> {
        if !is_ending(namespace) {
            let is_bare = FURNITURE
                .iter()
                .any(|(kind, piece)| !self.has("v1", kind, name, piece));
            return is_bare
                .then(|| Chore::Furnish(name.to_owned()))
                .into_iter()
                .collect();
        }
        // what waits for a finalizer is not deleted again
        let due: Vec<Chore> = self
            .inside(name)
            .filter(|(_, object)| !is_ending(object))
            .map(|(key, _)| Chore::Empty(key.clone()))
            .collect();
        let is_open = texts(namespace, &["spec", "finalizers"]).contains(&EMPTY_FIRST);
        if !due.is_empty() || !is_open {
            return due;
        }
        // whether it is news does not depend on the time
        let is_news = self
            .reported(name, namespace, Timestamp::UNIX_EPOCH)
            .is_some();
        let is_empty = || self.inside(name).next().is_none();
        if is_news {
            vec![Chore::Report(name.to_owned())]
        } else if is_empty() {
            vec![Chore::Close(name.to_owned())]
        } else {
            Vec::new()
        }
    }

    fn has(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> bool {
        self.kinds
            .of(api_version, kind)
            .is_some_and(|kind| self.objects.contains_key(&Key::new(&kind, namespace, name)))
    }

    /// Whether an object has owners and none of them is there any more.
    fn is_orphan(&self, object: &Value, namespace: &str) -> bool {
        let owners = at(object, &["metadata", "ownerReferences"]).and_then(Value::as_array);
        let Some(owners) = owners.filter(|owners| !owners.is_empty()) else {
            return false;
        };
        !is_ending(object)
            && !owners.iter().any(|owner| {
                let kind = self
                    .kinds
                    .of(text(owner, &["apiVersion"]), text(owner, &["kind"]));
                kind.is_some_and(|kind| {
                    let place = if kind.namespaced { namespace } else { "" };
                    let key = Key::new(&kind, place, text(owner, &["name"]));
                    self.objects
                        .get(&key)
                        .is_some_and(|found| meta(found, "uid") == text(owner, &["uid"]))
                })
            })
    }

    /// Does a step. Nothing, if it is no longer due.
    pub fn perform(&mut self, chore: &Chore, now: Timestamp) {
        match chore {
            Chore::Count(key) => {
                let quota = self.objects.get(key).map(Arc::clone);
                let counted = quota.and_then(|quota| quota::recounted(self, key, &quota));
                if let Some(counted) = counted {
                    self.put(key.clone(), counted);
                }
            }
            Chore::Furnish(namespace) => {
                for (kind, name) in FURNITURE {
                    if let Some(kind) = self.kinds.of("v1", kind) {
                        let body = json!({"apiVersion": "v1", "kind": kind.kind,
                            "metadata": {"name": name, "namespace": namespace}});
                        let call = Call::new(Verb::Create, &kind, namespace, "").with_body(body);
                        // one that is there already is fine
                        drop(self.create(&call, now));
                    }
                }
            }
            Chore::Empty(key) | Chore::Collect(key) => self.sweep(key, now),
            Chore::Report(name) => self.report_ending(name, now),
            Chore::Close(name) => self.close(name),
        }
    }

    /// Deletes an object; what runs in it gets no time.
    fn sweep(&mut self, key: &Key, now: Timestamp) {
        let Some(kind) = self.kinds.resource(&key.resource) else {
            return;
        };
        let call = Call::new(Verb::Delete, &kind, &key.namespace, &key.name)
            .by(NAMESPACE_CONTROLLER)
            .with_body(json!({"gracePeriodSeconds": 0}));
        // one that is gone already is fine
        drop(self.delete(&call, now));
    }

    /// Writes down what is left in a namespace that ends.
    fn report_ending(&mut self, name: &str, now: Timestamp) {
        let Some(live) = self.namespace(name).filter(|live| is_ending(live)) else {
            return;
        };
        if let Some(reported) = self.reported(name, live, now)
            && let Some(kind) = self.kinds.of("v1", "Namespace")
        {
            self.put(Key::new(&kind, "", name), reported);
        }
    }

    /// Lets an empty namespace go.
    fn close(&mut self, name: &str) {
        let Some(kind) = self.kinds.of("v1", "Namespace") else {
            return;
        };
        let key = Key::new(&kind, "", name);
        let Some(live) = self.objects.get(&key).map(Arc::clone) else {
            return;
        };
        if !is_ending(&live) || self.inside(name).next().is_some() {
            return;
        }
        let mut namespace = Value::clone(&live);
        let rest: Vec<&str> = texts(&live, &["spec", "finalizers"])
            .into_iter()
            .filter(|finalizer| *finalizer != EMPTY_FIRST)
            .collect();
        let is_free = rest.is_empty() && texts(&live, &["metadata", "finalizers"]).is_empty();
        set(&mut namespace, &["spec", "finalizers"], json!(rest));
        if is_free {
            drop(self.take(key));
        } else {
            self.put(key, namespace);
        }
    }

    /// Does every step that is due until none does anything any more.
    pub fn settle(&mut self, now: Timestamp) {
        loop {
            let before = self.version();
            for chore in self.chores() {
                self.perform(&chore, now);
            }
            // what a quota keeps from being done stays due
            if self.version() == before {
                return;
            }
        }
    }

    /// Plays kubelet for a pod: its main container runs, or has ended.
    pub fn report_pod(&mut self, key: &Key, phase: &str, now: Timestamp) {
        let Some(pod) = self.objects.get(key).map(Arc::clone) else {
            return;
        };
        let time = seconds(now);
        let state = if matches!(phase, "Succeeded" | "Failed") {
            json!({"terminated": {"finishedAt": time, "exitCode": 0}})
        } else {
            json!({"running": {"startedAt": time}})
        };
        let mut reported = Value::clone(&pod);
        set(&mut reported, &["status", "phase"], json!(phase));
        let statuses = json!([{"name": "main", "state": state}]);
        set(&mut reported, &["status", "containerStatuses"], statuses);
        if at(&pod, &["status", "conditions"]).is_none() {
            let scheduled = json!([{"type": "PodScheduled", "status": "True",
                "lastTransitionTime": time}]);
            set(&mut reported, &["status", "conditions"], scheduled);
        }
        self.put(key.clone(), reported);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chance::Chance, kinds::Kinds};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Every step that is due, looked for everywhere.
    fn all(store: &Store) -> Vec<Chore> {
        let mut store = store.clone();
        store.agenda.forget();
        store.chores()
    }

    /// Makes or deletes an object; a refusal is fine.
    fn act(store: &mut Store, verb: Verb, kind: &str, [namespace, name]: [&str; 2], more: &Value) {
        let kind = store.kinds().of("v1", kind).unwrap();
        let place = if kind.namespaced { namespace } else { "" };
        let mut body = Value::Null;
        if verb == Verb::Create {
            body = json!({"apiVersion": "v1", "kind": kind.kind, "metadata": {"name": name}});
            for (field, value) in more.as_object().into_iter().flatten() {
                set(&mut body, &["metadata", field.as_str()], value.clone());
            }
            set(
                &mut body,
                &["spec"],
                json!({"hard": {"configmaps": "2", "count/secrets": "1"}}),
            );
        }
        let called = if verb == Verb::Create { "" } else { name };
        let call = Call::new(verb, &kind, place, called).with_body(body);
        drop(store.handle(&call, NOW));
    }

    fn anything(store: &mut Store, chance: &mut Chance) {
        let namespace = chance.pick(&["a", "b"]).copied().unwrap();
        let name = chance.pick(&["x", "y", "z"]).copied().unwrap();
        let node = store.kinds().of("v1", "Node").unwrap();
        let uid = store.get(&Key::new(&node, "", "n"));
        let uid = uid.map_or("", |node| meta(node, "uid"));
        let owned = json!({"ownerReferences":
            [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": uid}]});
        let (verb, kind, name, more) = match chance.below(12) {
            0 => (Verb::Create, "Namespace", namespace, Value::Null),
            1 => (Verb::Delete, "Namespace", namespace, Value::Null),
            2 => (Verb::Create, "Node", "n", Value::Null),
            3 => (Verb::Delete, "Node", "n", Value::Null),
            4 => (Verb::Create, "ConfigMap", name, owned),
            5 => (Verb::Create, "Secret", name, Value::Null),
            6 => (Verb::Create, "ResourceQuota", name, Value::Null),
            7 => (Verb::Delete, "ConfigMap", name, Value::Null),
            _ => {
                if let Some(chore) = chance.pick(&store.chores()) {
                    store.perform(chore, NOW);
                }
                return;
            }
        };
        act(store, verb, kind, [namespace, name], &more);
    }

    #[test]
    fn what_is_due_is_found_where_something_changed_as_well_as_by_looking_everywhere() {
        let mut found = 0;
        for seed in 0..20 {
            let (mut chance, mut store) = (Chance::new(seed), Store::new(Kinds::ours(), NOW));
            for _ in 0..200 {
                anything(&mut store, &mut chance);
                let due = all(&store);
                found += due.len();
                assert_eq!(store.chores(), due, "seed {seed}");
            }
        }
        assert!(found > 1000, "{found}");
    }
}
