//! Caches of small kinds, fed by one watch each, with a word to whoever depends on them.
//!
//! Everything that a reconciler reads comes from here, its own object too, so that no loop lists. A watch that brings
//! nothing but errors is thrown away and built anew. So is at once a stream that was answered `410 Gone` by something
//! between us and the API server: it would otherwise ask for the same vanished version for ever.
//!
//! A kind that a cluster may be without has a cache that is empty meanwhile ([`Cache::start_where_served`]). It may come and
//! go at any time.

mod packed;

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
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
};

pub use packed::PackedCache;

use crate::{Kit, error, owned};

/// Seconds of nothing but errors after which a watch is built anew.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Pause before a watch is built anew.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where its version is gone: each time it lists anew.
const LIST_PAUSE: Duration = Duration::from_secs(5);
/// Pause before a kind that the cluster was without is looked for again.
const ABSENT_PAUSE: Duration = Duration::from_secs(10);
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
    served: watch::Sender<Option<bool>>,
}

impl<K> Clone for Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            changes: self.changes.clone(),
            served: self.served.clone(),
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
        Self::begin(kit, selector, tasks, false)
    }

    /// The same for a kind that the cluster may be without. While it is, the cache is ready and empty, and the kind is
    /// looked for again every ten seconds; when it goes, so does everything in the cache.
    pub fn start_where_served(kit: &Kit, selector: Option<&str>, tasks: &mut JoinSet<()>) -> Self {
        Self::begin(kit, selector, tasks, true)
    }

    fn begin(
        kit: &Kit,
        selector: Option<&str>,
        tasks: &mut JoinSet<()>,
        may_be_absent: bool,
    ) -> Self {
        let (store, writer) = reflector::store::<DeserializeGuard<K>>();
        let (changes, _) = broadcast::channel(BACKLOG);
        let served = watch::Sender::new(None);
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        if let Some(selector) = selector {
            config = config.labels(selector);
        }
        let source = Source {
            api: Api::all(kit.client()),
            config,
            kit: kit.clone(),
            may_be_absent,
            served: served.clone(),
        };
        tasks.spawn(feed(source, writer, changes.clone()));
        Self {
            store,
            changes,
            served,
        }
    }

    /// Whether the API server had the kind when it was last asked; nothing before its first answer.
    pub fn is_served(&self) -> Option<bool> {
        *self.served.borrow()
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

    /// What is read of every object of which something is read, in no particular order.
    pub(crate) fn pick<T>(&self, read: impl Fn(&K) -> Option<T>) -> Vec<T> {
        let all = self.store.state();
        let fitting = all.iter().filter_map(|guard| guard.0.as_ref().ok());
        fitting.filter_map(read).collect()
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

    /// The objects that are there, and from now on each that appears or changes.
    pub fn references(
        &self,
    ) -> impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + 'static + use<K> {
        // listened to before it is read: what comes between the two is told twice, not lost
        let changes = self.changes();
        let store = self.store.clone();
        let all = move || -> Vec<_> {
            let objects = store.state();
            let objects = objects.iter();
            objects
                .map(|one| ObjectRef::from_obj(one.as_ref()))
                .collect()
        };
        let there = stream::iter(all());
        let later = changes.flat_map(move |changed| {
            stream::iter(match changed {
                Some(changed) if changed.gone => Vec::new(),
                Some(changed) => vec![reference(&changed)],
                None => all(),
            })
        });
        there.chain(later)
    }

    /// What a controller of these objects reads them from.
    pub(crate) fn reader(&self) -> Store<DeserializeGuard<K>> {
        self.store.clone()
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

fn reference<K>(changed: &Changed) -> ObjectRef<DeserializeGuard<K>>
where
    K: Resource<DynamicType = ()>,
{
    let reference = ObjectRef::new(&changed.name);
    match &changed.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

/// What a cache is fed from.
struct Source<K> {
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    kit: Kit,
    /// Whether the cluster may be without the kind.
    may_be_absent: bool,
    /// Whether it has it, as far as that is known.
    served: watch::Sender<Option<bool>>,
}

impl<K> Source<K>
where
    K: Resource<DynamicType = ()>,
{
    /// Whether the error says no more than that the cluster has no such kind, where it need not have it.
    fn is_absent(&self, error: &watcher::Error) -> bool {
        if !self.may_be_absent || !is_unserved(error) {
            return false;
        }
        if self.served.send_replace(Some(false)) != Some(false) {
            let kind = K::kind(&());
            tracing::info!(%kind, "this cluster does not have the kind; it is looked for again");
        }
        true
    }
}

async fn feed<K>(
    source: Source<K>,
    mut writer: Writer<DeserializeGuard<K>>,
    changes: broadcast::Sender<Arc<Changed>>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let kit = &source.kit;
    loop {
        let mut pause = PAUSE;
        let mut failing_since: Option<Duration> = None;
        let events = watcher(source.api.clone(), source.config.clone());
        let mut events = Box::pin(events.default_backoff());
        // what a list brings is in the cache only when the list is complete, and is not told before
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event.map(packed) {
                Ok(event) => {
                    failing_since = None;
                    if matches!(event, watcher::Event::InitDone) {
                        source.served.send_replace(Some(true));
                    }
                    take(&event, &mut writer, &mut listed, &changes);
                }
                Err(error) if source.is_absent(&error) => {
                    for nothing in [watcher::Event::Init, watcher::Event::InitDone] {
                        take(&nothing, &mut writer, &mut listed, &changes);
                    }
                    pause = ABSENT_PAUSE;
                    break;
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

/// The event with an object that takes little room.
fn packed<K>(mut event: watcher::Event<DeserializeGuard<K>>) -> watcher::Event<DeserializeGuard<K>>
where
    K: Resource<DynamicType = ()>,
{
    if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &mut event
        && let Ok(object) = &mut object.0
    {
        owned::pack(object.meta_mut());
    }
    event
}

/// Whether a watcher is caught. It keeps asking for the version that it started from, and when that is refused with an
/// HTTP error (rather than an event in the stream) it never lists again.
fn is_stale(failed: &watcher::Error) -> bool {
    matches!(
        failed,
        watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if error::is_gone(status) || error::is_ahead(status)
    )
}

/// Whether the API server has no such kind.
fn is_unserved(failed: &watcher::Error) -> bool {
    matches!(
        failed,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 404
    )
}

/// Puts an event into the cache, and tells of it.
fn take<K>(
    event: &watcher::Event<DeserializeGuard<K>>,
    writer: &mut Writer<DeserializeGuard<K>>,
    listed: &mut Vec<Changed>,
    changes: &broadcast::Sender<Arc<Changed>>,
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let store = writer.as_reader();
    let before = about_to_be_replaced(event, &store);
    writer.apply_watcher_event(event);
    announce(event, listed, changes);
    announce_missing(&before, &store, changes);
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
mod tests;
