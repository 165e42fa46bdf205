//! What wakes a reconciler beside a change of its own object.

use std::{sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    core::DeserializeGuard,
    runtime::{controller::Action, reflector::ObjectRef},
};
use leasehold_kit::{
    Readable, Shutdown,
    cache::{Cache, Changed},
    run::run_controller,
    spacing::controller,
};

use crate::{Context, Error, World};

/// A missed event is repaired after this long at the latest.
pub(crate) const RESYNC: Duration = Duration::from_secs(600);

/// Names one object of a kind for its controller.
pub(crate) type Ref<K> = ObjectRef<DeserializeGuard<K>>;

/// Runs a controller over all objects of one of the caches, also woken by `also`, until the shutdown.
pub(crate) async fn run<K, F, Fut>(
    name: &'static str,
    context: Context,
    own: Cache<K>,
    also: impl Fn(&World) -> BoxStream<'static, Ref<K>>,
    shutdown: Shutdown,
    reconcile: F,
) where
    K: Readable,
    F: Fn(Arc<K>, Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let kit = context.kit.clone();
    let controller = controller(&own, also(&context.world));
    let step = move |object| reconcile(object, context.clone());
    run_controller(name, controller, kit, shutdown, step).await;
}

/// Wakes for nothing but the object itself.
pub(crate) fn never<K: Readable>(_: &World) -> BoxStream<'static, Ref<K>> {
    stream::empty().boxed()
}

/// What a reconciler answers when nothing has to be looked at earlier.
pub(crate) fn later() -> Action {
    Action::requeue(RESYNC)
}

/// The reference to an object.
pub(crate) fn reference<K: Readable>(object: &K) -> Ref<K> {
    let meta = object.meta();
    let reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
    match meta.namespace.as_deref() {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

/// Every object of the cache that the test holds for, whenever something in `changes` happens.
pub(crate) fn every<K, T>(
    cache: &Cache<K>,
    changes: impl Stream<Item = T> + Send + 'static,
    test: impl Fn(&K) -> bool + Send + 'static,
) -> BoxStream<'static, Ref<K>>
where
    K: Readable,
    T: 'static,
{
    let cache = cache.clone();
    changes
        .flat_map(move |_| {
            let found: Vec<Ref<K>> = cache.select(&test).iter().map(reference).collect();
            stream::iter(found)
        })
        .boxed()
}

/// The objects that `find` names, whenever something changes; every object of the cache, when it is not known what
/// changed.
pub(crate) fn named<K>(
    cache: &Cache<K>,
    changes: impl Stream<Item = Option<Arc<Changed>>> + Send + 'static,
    find: impl Fn(&Changed) -> Vec<Ref<K>> + Send + 'static,
) -> BoxStream<'static, Ref<K>>
where
    K: Readable,
{
    let cache = cache.clone();
    changes
        .flat_map(move |changed| {
            let found: Vec<Ref<K>> = match changed {
                Some(changed) => find(&changed),
                None => cache.select(|_| true).iter().map(reference).collect(),
            };
            stream::iter(found)
        })
        .boxed()
}

/// The same reasons; while tenancies are being set up they wait, but not much longer than two minutes. For what adds up what
/// tenancies have: nobody waits for that, but tenancies that a limit has refused, for room that others leave.
pub(crate) fn spared<K>(
    world: &World,
    reasons: BoxStream<'static, Ref<K>>,
) -> BoxStream<'static, Ref<K>>
where
    K: Readable,
{
    let name = |one: &Ref<K>| (one.namespace.clone(), one.name.clone());
    world.rush.spare(reasons, name).boxed()
}

/// Several reasons to look again, as one stream.
pub(crate) fn any<K>(reasons: Vec<BoxStream<'static, Ref<K>>>) -> BoxStream<'static, Ref<K>>
where
    K: Readable,
{
    stream::select_all(reasons).boxed()
}
