//! A cache of a kind of which there are many, each read seldom: five objects for every namespace that is leased.
//!
//! It is held as compressed text, and made into an object again when it is asked for. What it is found by stays at hand: names,
//! labels and instants.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use futures::Stream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de};
use tokio::task::JoinSet;

use super::{Cache, Changed, NotReady};
use crate::{Kit, owned, pressed::Pressed, write::Object};

/// An object as compressed text, with what it is found by. [`ObjectMeta`] has names, labels and instants here, and nothing else.
#[derive(Clone)]
pub struct Packed<K> {
    meta: ObjectMeta,
    object: Pressed<K>,
}

impl<K> fmt::Debug for Packed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Packed");
        shown.field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl<K: Object> Packed<K> {
    /// The object; it was written from one of its kind, and reads as one.
    fn unpack(&self) -> Option<K> {
        self.object
            .read()
            .inspect_err(|error| {
                let (kind, name) = (K::kind(&()), &self.meta.name);
                tracing::error!(%kind, ?name, %error, "an object in the cache cannot be read");
            })
            .ok()
    }
}

impl<'de, K: Object> Deserialize<'de> for Packed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = K::deserialize(deserializer)?;
        owned::pack(whole.meta_mut());
        Ok(Self {
            object: Pressed::of(&whole).map_err(de::Error::custom)?,
            meta: found_by(whole.meta()),
        })
    }
}

/// What an object is found by.
fn found_by(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        generation: meta.generation,
        creation_timestamp: meta.creation_timestamp.clone(),
        deletion_timestamp: meta.deletion_timestamp.clone(),
        labels: meta.labels.clone(),
        ..ObjectMeta::default()
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Packed<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// A cache of one kind, whose objects are held as compressed text.
pub struct PackedCache<K: Object>(Cache<Packed<K>>);

impl<K: Object> Clone for PackedCache<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Object> PackedCache<K> {
    /// Starts to watch all objects of the kind that carry the labels of the selector (all, without one).
    pub fn start(kit: &Kit, selector: Option<&str>, tasks: &mut JoinSet<()>) -> Self {
        Self(Cache::start(kit, selector, tasks))
    }

    /// Waits until the first list has arrived.
    pub async fn ready(&self, deadline: Duration) -> Result<(), NotReady> {
        self.0.ready(deadline).await
    }

    /// The object of this name, as last seen.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<K> {
        self.0.look(namespace, name, Packed::unpack).flatten()
    }

    /// Names, labels and instants of the object of this name, and nothing else of its metadata.
    pub fn meta(&self, namespace: Option<&str>, name: &str) -> Option<ObjectMeta> {
        self.0.look(namespace, name, |found| found.meta.clone())
    }

    /// Whether there is an object of this name.
    pub fn has(&self, namespace: Option<&str>, name: &str) -> bool {
        self.0.look(namespace, name, |_| ()).is_some()
    }

    /// Every object whose names, labels or instants the test holds for, in no particular order.
    pub fn select(&self, test: impl Fn(&ObjectMeta) -> bool) -> Vec<K> {
        self.0
            .pick(|one| test(&one.meta).then(|| one.unpack()).flatten())
    }

    /// What changes from now on. `None` means that much changed at once and everything should be looked at.
    pub fn changes(&self) -> impl Stream<Item = Option<Arc<Changed>>> + Send + 'static + use<K> {
        self.0.changes()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceQuota;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Standing,
        fake::{Fake, Reply},
    };

    fn quota(name: &str, department: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {
                "name": name, "namespace": "edu--prod", "uid": format!("uid-of-{name}"),
                "resourceVersion": "7", "labels": {"department": department},
                "annotations": {"note": "测试"},
                "managedFields": [{"manager": "leasehold", "operation": "Apply", "apiVersion": "v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:hard": {"f:pods": {}}}}}],
            },
            "spec": {"hard": {"pods": "8"}},
            "status": {"hard": {"pods": "8"}, "used": {"pods": "3"}},
        })
    }

    async fn filled(kit: &Kit, tasks: &mut JoinSet<()>) -> PackedCache<ResourceQuota> {
        let cache = PackedCache::start(kit, None, tasks);
        cache.ready(Duration::from_secs(10)).await.unwrap();
        cache
    }

    fn two() -> Fake {
        Fake::new(|call| {
            if call.is_watch() {
                return Reply::Silence;
            }
            let items = [quota("leasehold", "edu"), quota("team", "tax")];
            let list = json!({"apiVersion": "v1", "kind": "ResourceQuotaList", "items": items,
                "metadata": {"resourceVersion": "7"}});
            Reply::Json(200, list)
        })
    }

    #[tokio::test]
    async fn what_is_read_is_the_object_with_all_that_it_has() {
        let (fake, mut tasks) = (two(), JoinSet::new());
        let kit = fake.kit();
        let cache = filled(&kit, &mut tasks).await;
        let place = Some("edu--prod");
        let found = cache.get(place, "leasehold").unwrap();
        let mut expected: ResourceQuota =
            serde_json::from_value(quota("leasehold", "edu")).unwrap();
        // who owns which field is known all the same
        let mut desired = expected.clone();
        (desired.status, desired.metadata.managed_fields) = (None, None);
        assert_eq!(
            kit.compare(&desired, &found).unwrap(),
            Standing::AsDescribed
        );
        desired.spec.as_mut().unwrap().hard = None;
        assert_eq!(
            kit.compare(&desired, &found).unwrap(),
            Standing::Differs(None)
        );
        owned::pack(&mut expected.metadata);
        assert_eq!(found, expected);
        assert!(cache.get(place, "other").is_none());
        assert!(cache.get(None, "leasehold").is_none());
    }

    #[tokio::test]
    async fn what_it_is_found_by_is_at_hand() {
        let (fake, mut tasks) = (two(), JoinSet::new());
        let cache = filled(&fake.kit(), &mut tasks).await;
        let place = Some("edu--prod");
        let meta = cache.meta(place, "team").unwrap();
        assert_eq!(meta.uid.as_deref(), Some("uid-of-team"));
        assert_eq!(meta.labels.as_ref().unwrap()["department"], "tax");
        assert_eq!((meta.annotations, meta.managed_fields), (None, None));
        assert!(cache.has(place, "team") && !cache.has(place, "other"));
        let of_edu = cache.select(|meta| {
            let mut labels = meta.labels.iter().flatten();
            labels.any(|(_, value)| value == "edu")
        });
        let names = of_edu.iter().map(|found| found.metadata.name.as_deref());
        assert_eq!(names.collect::<Vec<_>>(), [Some("leasehold")]);
    }
}
