use std::sync::atomic::{AtomicU32, Ordering};

use futures::{channel::mpsc, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::*;
use crate::{
    backoff::Jitter,
    cache::Cache,
    fake::{Call, Fake, Reply},
    spacing,
};

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken {
    is_terminal: bool,
}

impl ReconcileError for Broken {
    fn reason(&self) -> &'static str {
        "Broken"
    }

    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

fn failed(is_terminal: bool) -> Failed {
    Failed::Reconcile {
        reason: "Broken",
        is_terminal,
        source: Box::new(Broken { is_terminal }),
    }
}

fn running() -> Running {
    Running::new("test", Fake::new(|_| Reply::Silence).kit())
}

/// An API server with one page of objects, whose watches stay open and quiet.
fn serve(items: Value) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    move |call: &Call| {
        if call.is_watch() {
            Reply::EventsThenSilence(vec![])
        } else if call.method == http::Method::POST {
            Reply::Json(201, call.body.clone())
        } else {
            Reply::Json(
                200,
                json!({"apiVersion": "v1", "kind": "ConfigMapList",
                    "metadata": {"resourceVersion": "7"}, "items": items}),
            )
        }
    }
}

/// A controller of what the API server has, with the task that feeds its cache.
fn controller(kit: &Kit) -> (Controller<DeserializeGuard<ConfigMap>>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let cache = Cache::start(kit, None, &mut tasks);
    (spacing::controller(&cache, stream::empty()), tasks)
}

#[tokio::test]
async fn an_object_that_fails_is_left_alone_ever_longer_and_success_forgets() {
    let running = running();
    // the same chance as the kit's, whose seed is zero
    let jitter = Jitter::seeded(0);
    for failures in [0, 1, 2] {
        let expected = Action::requeue(PAUSES.pause(failures, &jitter));
        assert_eq!(running.after_failure("a/one", &failed(false)), expected);
    }
    let expected = Action::requeue(PAUSES.pause(0, &jitter));
    assert_eq!(running.after_failure("a/two", &failed(false)), expected);
    running.forget("a/one");
    let expected = Action::requeue(PAUSES.pause(0, &jitter));
    assert_eq!(running.after_failure("a/one", &failed(false)), expected);
}

#[tokio::test]
async fn a_terminal_failure_is_looked_at_every_five_minutes_and_an_invalid_object_never() {
    let running = running();
    assert_eq!(
        running.after_failure("a/one", &failed(true)),
        Action::requeue(Duration::from_secs(300))
    );
    let invalid = InvalidObject {
        error: "no".to_owned(),
        metadata: ObjectMeta::default(),
    };
    assert_eq!(
        running.after_failure("a/one", &Failed::Invalid(Box::new(invalid))),
        Action::await_change()
    );
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_hangs_is_given_up_after_a_minute() {
    let start = tokio::time::Instant::now();
    let outcome = bounded(std::future::pending::<Result<Action, Broken>>()).await;
    assert_eq!(outcome.unwrap_err().reason(), "Timeout");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_controller_reconciles_what_is_there_counts_it_and_stops_when_asked() {
    let fake = Fake::new(serve(json!([
        {"metadata": {"name": "one", "namespace": "a", "resourceVersion": "5"}},
        {"metadata": {"name": "two", "namespace": "a", "resourceVersion": "6"}}])));
    let kit = fake.kit();
    let (stop, shutdown) = Shutdown::manual();
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let (controller, _feeds) = controller(&kit);
    let task = tokio::spawn(run_controller(
        "test",
        controller,
        kit.clone(),
        shutdown,
        move |_: Arc<ConfigMap>| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Broken>(Action::await_change()) }
        },
    ));
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.request();
    tokio::time::timeout(Duration::from_secs(5), task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let text = kit.metrics().encode().unwrap();
    assert!(
        text.contains(r#"leasehold_reconcile_total{controller="test",reason="",result="ok"} 2"#)
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_a_change_concerned_before_its_cache_had_it_is_reconciled_when_it_has() {
    let fake = Fake::new(|call| match (call.number, call.is_watch()) {
        (1, true) => Reply::Json(500, json!({})),
        (_, true) => Reply::EventsThenSilence(vec![json!({"type": "ADDED", "object": {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "late", "namespace": "a", "resourceVersion": "8"}}})]),
        (_, false) => serve(json!([]))(call),
    });
    let kit = fake.kit();
    let mut feeds = JoinSet::new();
    let cache: Cache<ConfigMap> = Cache::start(&kit, None, &mut feeds);
    cache.ready(Duration::from_secs(5)).await.unwrap();
    let concerned = cache.each(|one| ObjectRef::from_obj(&DeserializeGuard(Ok(one.clone()))));
    assert!(concerned.is_empty(), "the cache has it already");
    let controller = spacing::controller(&cache, stream::iter(concerned));
    let (stop, shutdown) = Shutdown::manual();
    let (seen, mut sights) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(run_controller(
        "test",
        controller,
        kit.clone(),
        shutdown,
        move |object: Arc<ConfigMap>| {
            seen.send(object.metadata.name.clone()).unwrap();
            async { Ok::<_, Broken>(Action::await_change()) }
        },
    ));
    let sight = tokio::time::timeout(Duration::from_secs(60), sights.recv()).await;
    assert_eq!(sight.unwrap().flatten().as_deref(), Some("late"));
    stop.request();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_fit_is_reported_once_and_the_others_are_reconciled() {
    let fake = Fake::new(serve(json!([
        {"metadata": {"name": "bad", "namespace": "a", "resourceVersion": "5"}, "data": "text"},
        {"metadata": {"name": "good", "namespace": "a", "resourceVersion": "6"}}])));
    let kit = fake.kit();
    let (again, asked) = mpsc::unbounded();
    let (stop, shutdown) = Shutdown::manual();
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let (controller, _feeds) = controller(&kit);
    let task = tokio::spawn(run_controller(
        "test",
        controller.reconcile_all_on(asked),
        kit.clone(),
        shutdown,
        move |_: Arc<ConfigMap>| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Broken>(Action::await_change()) }
        },
    ));
    tokio::time::sleep(Duration::from_secs(5)).await;
    again.unbounded_send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.request();
    tokio::time::timeout(Duration::from_secs(5), task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!(fake.count(&http::Method::POST), 1, "one event");
    assert_eq!(
        fake.count(&http::Method::PATCH),
        0,
        "though it was looked at twice"
    );
}
