//! Caches of small kinds, fed by one watch each, with a word to whoever depends on them.
//!
//! Everything that a reconciler reads beside its own object comes from here, so that no loop lists. A watch that brings
//! nothing but errors is thrown away and built anew. So is at once a stream that was answered `410 Gone` by something
//! between us and the API server: it would otherwise ask for the same vanished version for ever.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, future, stream};
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::broadcast, task::JoinSet};

use crate::{Kit, run::is_stale};

/// Seconds of nothing but errors after which a watch is built anew.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Pause before a watch is built anew.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where its version is gone: each time it lists anew.
const LIST_PAUSE: Duration = Duration::from_secs(5);
/// Seconds after which the API server ends a watch, so that a dead connection is noticed.
const WATCH_SECONDS: u32 = 20;
/// Changes that a slow listener may lag behind before it is told that everything may have changed.
const BACKLOG: usize = 4096;

/// An object that appeared, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels, as far as they are known.
    pub labels: BTreeMap<String, String>,
    /// Its uid: another object may have its name later.
    pub uid: Option<String>,
    /// Generation of what people wrote; reports in the status do not move it.
    pub generation: Option<i64>,
    /// Whether it went.
    pub gone: bool,
}

/// Namespace and name of an object.
type Place = (Option<String>, String);
/// Uid and generation of an object, as it was last told.
type Written = (Option<String>, Option<i64>);

/// Those changes that people made: a new generation, or an end. What operators report in a status is left out.
pub fn written(
    changes: impl Stream<Item = Option<Arc<Changed>>> + Send + 'static,
) -> impl Stream<Item = Option<Arc<Changed>>> + Send + 'static {
    let mut known: BTreeMap<Place, Written> = BTreeMap::new();
    changes.filter(move |changed| {
        let passes = changed.as_ref().is_none_or(|changed| {
            let key = (changed.namespace.clone(), changed.name.clone());
            if changed.gone {
                known.remove(&key);
                return true;
            }
            // one that was made anew begins with the first generation, too
            let now = (changed.uid.clone(), changed.generation);
            known.insert(key, now.clone()) != Some(now)
        });
        future::ready(passes)
    })
}

/// A cache of one kind.
pub struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<DeserializeGuard<K>>,
    changes: broadcast::Sender<Arc<Changed>>,
}

impl<K> Clone for Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            changes: self.changes.clone(),
        }
    }
}

/// A cache did not fill in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to read {kind} from the API server within {seconds} s; check that its definition is installed and that the operator may list it"
)]
pub struct NotReady {
    kind: String,
    seconds: u64,
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    /// Starts to watch all objects of the kind that carry the labels of the selector (all, without one).
    pub fn start(kit: &Kit, selector: Option<&str>, tasks: &mut JoinSet<()>) -> Self {
        let (store, writer) = reflector::store::<DeserializeGuard<K>>();
        let (changes, _) = broadcast::channel(BACKLOG);
        let api: Api<DeserializeGuard<K>> = Api::all(kit.client());
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        if let Some(selector) = selector {
            config = config.labels(selector);
        }
        tasks.spawn(feed(api, config, writer, changes.clone(), kit.clone()));
        Self { store, changes }
    }

    /// Waits until the first list has arrived.
    pub async fn ready(&self, deadline: Duration) -> Result<(), NotReady> {
        let late = || NotReady {
            kind: K::kind(&()).into_owned(),
            seconds: deadline.as_secs(),
        };
        tokio::time::timeout(deadline, self.store.wait_until_ready())
            .await
            .map_err(|_| late())?
            .map_err(|_| late())
    }

    /// The object of this name, as last seen.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<K> {
        self.look(namespace, name, K::clone)
    }

    /// What is read of the object of this name, where a copy of it would be too much.
    pub fn look<T>(
        &self,
        namespace: Option<&str>,
        name: &str,
        read: impl FnOnce(&K) -> T,
    ) -> Option<T> {
        let mut key = ObjectRef::<DeserializeGuard<K>>::new(name);
        if let Some(namespace) = namespace {
            key = key.within(namespace);
        }
        let guard = self.store.get(&key)?;
        guard.0.as_ref().ok().map(read)
    }

    /// What is read of every object, in no particular order.
    pub fn each<T>(&self, read: impl Fn(&K) -> T) -> Vec<T> {
        let all = self.store.state();
        let fitting = all.iter().filter_map(|guard| guard.0.as_ref().ok());
        fitting.map(read).collect()
    }

    /// How many objects there are, those among them that do not fit their definition.
    pub fn count(&self) -> usize {
        self.store.len()
    }

    /// Every object that the test holds for, in no particular order.
    pub fn select(&self, test: impl Fn(&K) -> bool) -> Vec<K> {
        self.store
            .state()
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .filter(|object| test(object))
            .cloned()
            .collect()
    }

    /// What changes from now on. `None` means that much changed at once and everything should be looked at.
    pub fn changes(&self) -> impl Stream<Item = Option<Arc<Changed>>> + Send + 'static + use<K> {
        stream::unfold(self.changes.subscribe(), |mut receiver| async move {
            match receiver.recv().await {
                Ok(changed) => Some((Some(changed), receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((None, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
    }
}

async fn feed<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut writer: Writer<DeserializeGuard<K>>,
    changes: broadcast::Sender<Arc<Changed>>,
    kit: Kit,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let store = writer.as_reader();
    loop {
        let mut pause = PAUSE;
        let mut failing_since: Option<Duration> = None;
        let mut events = Box::pin(watcher(api.clone(), config.clone()).default_backoff());
        // what a list brings is in the cache only when the list is complete, and is not told before
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    failing_since = None;
                    let before = about_to_be_replaced(&event, &store);
                    writer.apply_watcher_event(&event);
                    announce(&event, &mut listed, &changes);
                    announce_missing(&before, &store, &changes);
                }
                Err(error) => {
                    let kind = K::kind(&());
                    let failure: &dyn std::error::Error = &error;
                    tracing::warn!(%kind, error = failure, "watch failed");
                    if is_stale(&error) {
                        kit.metrics().watch_restarted(&kind, "Stale");
                        pause = LIST_PAUSE;
                        break;
                    }
                    let now = kit.clock().monotonic();
                    let since = *failing_since.get_or_insert(now);
                    if now.saturating_sub(since) > STALE_AFTER {
                        tracing::warn!(%kind, "watch brings nothing but errors; built anew");
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

fn announce<K>(
    event: &watcher::Event<DeserializeGuard<K>>,
    listed: &mut Vec<Changed>,
    changes: &broadcast::Sender<Arc<Changed>>,
) where
    K: Resource<DynamicType = ()> + Clone,
{
    let told = match event {
        watcher::Event::Apply(object) => vec![changed(object, false)],
        watcher::Event::Delete(object) => vec![changed(object, true)],
        watcher::Event::Init => {
            listed.clear();
            return;
        }
        watcher::Event::InitApply(object) => {
            listed.push(changed(object, false));
            return;
        }
        watcher::Event::InitDone => std::mem::take(listed),
    };
    for changed in told {
        // nobody listening is fine: listeners read the cache when they start
        drop(changes.send(Arc::new(changed)));
    }
}

/// What the cache holds, when a list is about to take its place.
fn about_to_be_replaced<K>(
    event: &watcher::Event<DeserializeGuard<K>>,
    store: &Store<DeserializeGuard<K>>,
) -> Vec<Arc<DeserializeGuard<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        watcher::Event::InitDone => store.state(),
        watcher::Event::Init
        | watcher::Event::InitApply(_)
        | watcher::Event::Apply(_)
        | watcher::Event::Delete(_) => Vec::new(),
    }
}

/// Says of everything that a list no longer has that it went. No event tells of it: it went while the watch was broken,
/// as all objects of a kind do with its definition.
fn announce_missing<K>(
    before: &[Arc<DeserializeGuard<K>>],
    store: &Store<DeserializeGuard<K>>,
    changes: &broadcast::Sender<Arc<Changed>>,
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    for object in before {
        if store.get(&ObjectRef::from_obj(object.as_ref())).is_none() {
            drop(changes.send(Arc::new(changed(object.as_ref(), true))));
        }
    }
}

fn changed<K>(object: &DeserializeGuard<K>, gone: bool) -> Changed
where
    K: Resource<DynamicType = ()> + Clone,
{
    let meta = object.meta();
    Changed {
        uid: meta.uid.clone(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone().unwrap_or_default(),
        labels: meta.labels.clone().unwrap_or_default(),
        generation: meta.generation,
        gone,
    }
}

/// Waits for several caches at once.
pub async fn all_ready(
    waits: Vec<future::BoxFuture<'_, Result<(), NotReady>>>,
) -> Result<(), NotReady> {
    future::try_join_all(waits).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{Fake, Reply};

    fn list(names: &[&str]) -> Reply {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({"metadata": {"name": name, "namespace": "office"}}))
            .collect();
        Reply::Json(
            200,
            json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": items,
                "metadata": {"resourceVersion": "7"}}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_list_no_longer_has_after_a_broken_watch_is_announced_as_gone() {
        let fake = Fake::new(|call| match (call.number, call.is_watch()) {
            (0, false) => list(&["a", "b"]),
            (1, true) => Reply::Events(vec![json!({"type": "ERROR", "object": {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old", "reason": "Expired", "code": 410,
            }})]),
            (_, true) => Reply::Silence,
            (_, false) => list(&["a"]),
        });
        let mut tasks = JoinSet::new();
        let cache = Cache::<ConfigMap>::start(&fake.kit(), None, &mut tasks);
        let mut changes = Box::pin(cache.changes());
        let mut told = Vec::new();
        while let Some(Some(changed)) = changes.next().await {
            told.push((changed.name.clone(), changed.gone));
            if changed.gone {
                break;
            }
        }
        let expected = [("a", false), ("b", false), ("a", false), ("b", true)];
        assert_eq!(told, expected.map(|(name, gone)| (name.to_owned(), gone)));
        assert!(cache.get(Some("office"), "b").is_none());
        assert!(cache.get(Some("office"), "a").is_some());
    }

    #[test]
    fn what_a_list_brings_is_told_when_it_is_complete_and_can_be_read() {
        let (changes, mut receiver) = broadcast::channel(8);
        let mut listed = Vec::new();
        let namespace = |name: &str| {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(name.to_owned());
            DeserializeGuard(Ok(namespace))
        };
        let half = [
            watcher::Event::Init,
            watcher::Event::InitApply(namespace("lost")),
            // the pages expired, and it was begun anew
            watcher::Event::Init,
            watcher::Event::InitApply(namespace("a")),
            watcher::Event::InitApply(namespace("b")),
        ];
        for event in &half {
            announce(event, &mut listed, &changes);
        }
        assert!(receiver.try_recv().is_err(), "told before it can be read");
        announce::<Namespace>(&watcher::Event::InitDone, &mut listed, &changes);
        announce(
            &watcher::Event::Delete(namespace("a")),
            &mut listed,
            &changes,
        );
        let told: Vec<(String, bool)> = std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|changed| (changed.name.clone(), changed.gone))
            .collect();
        let expected = [("a", false), ("b", false), ("a", true)];
        assert_eq!(told, expected.map(|(name, gone)| (name.to_owned(), gone)));
    }

    #[expect(clippy::unnecessary_wraps, reason = "listeners get options")]
    fn changed(generation: i64, gone: bool) -> Option<Arc<Changed>> {
        Some(Arc::new(Changed {
            uid: None,
            namespace: None,
            name: "self".to_owned(),
            labels: BTreeMap::new(),
            generation: Some(generation),
            gone,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_whose_version_is_gone_lists_anew_within_seconds() {
        let page = |version: &str, name: &str| {
            let meta = json!({"name": name, "namespace": "a", "resourceVersion": version});
            json!({"apiVersion": "v1", "kind": "ConfigMapList",
                "metadata": {"resourceVersion": version}, "items": [{"metadata": meta}]})
        };
        let fake = Fake::new(move |call| match call.parameter("resourceVersion") {
            Some("7") if call.is_watch() => Reply::status(410, "Expired"),
            _ if call.is_watch() => Reply::EventsThenSilence(vec![]),
            _ if call.number == 0 => Reply::Json(200, page("7", "old")),
            _ => Reply::Json(200, page("8", "new")),
        });
        let mut tasks = JoinSet::new();
        let cache = Cache::<ConfigMap>::start(&fake.kit(), None, &mut tasks);
        cache.ready(Duration::from_secs(5)).await.unwrap();
        assert!(cache.get(Some("a"), "old").is_some());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(cache.get(Some("a"), "new").is_some());
        assert!(cache.get(Some("a"), "old").is_none());
        let lists = fake.calls().iter().filter(|call| !call.is_watch()).count();
        assert_eq!(lists, 2);
    }

    #[tokio::test]
    async fn a_report_in_a_status_is_no_change_that_people_made() {
        let events = vec![
            changed(1, false),
            changed(1, false),
            changed(2, false),
            None,
            changed(2, true),
        ];
        let passed: Vec<_> = written(stream::iter(events)).collect().await;
        let told: Vec<_> = passed
            .iter()
            .map(|c| c.as_ref().map(|c| (c.generation, c.gone)))
            .collect();
        assert_eq!(
            told,
            [
                Some((Some(1), false)),
                Some((Some(2), false)),
                None,
                Some((Some(2), true))
            ]
        );
    }

    #[tokio::test]
    async fn an_object_that_is_made_anew_under_its_name_is_news_although_its_generation_is_not() {
        let made = |uid: &str| {
            let made = changed(1, false).map(|known| Changed {
                uid: Some(uid.to_owned()),
                ..(*known).clone()
            });
            made.map(Arc::new)
        };
        // the end of the first was seen, that of the second was not
        let events = vec![
            made("u1"),
            made("u1"),
            changed(1, true),
            made("u1"),
            made("u2"),
        ];
        let passed: Vec<_> = written(stream::iter(events)).collect().await;
        let told: Vec<_> = passed
            .iter()
            .flatten()
            .map(|changed| (changed.uid.as_deref(), changed.gone))
            .collect();
        let expected = [
            (Some("u1"), false),
            (None, true),
            (Some("u1"), false),
            (Some("u2"), false),
        ];
        assert_eq!(told, expected);
    }
}
