use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::core::Status;
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

#[tokio::test]
async fn who_owns_which_field_is_held_as_text() {
    let fake = Fake::new(|call| {
        if call.is_watch() {
            return Reply::Silence;
        }
        let fields = json!({"f:data": {"f:a": {}}});
        let item = json!({"metadata": {"name": "a", "namespace": "office", "managedFields": [
            {"manager": "kubectl", "operation": "Update", "fieldsV1": fields},
        ]}});
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": [item],
            "metadata": {"resourceVersion": "7"}});
        Reply::Json(200, list)
    });
    let mut tasks = JoinSet::new();
    let cache = Cache::<ConfigMap>::start(&fake.kit(), None, &mut tasks);
    cache.ready(Duration::from_secs(10)).await.unwrap();
    let found = cache.get(Some("office"), "a").unwrap();
    let entries = found.metadata.managed_fields.unwrap();
    let set = &entries[0].fields_v1.as_ref().unwrap().0;
    assert_eq!(set, r#"{"f:data":{"f:a":{}}}"#);
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

#[tokio::test(start_paused = true)]
async fn a_kind_that_comes_and_goes_is_no_failure_and_what_was_of_it_goes_with_it() {
    let served = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&served);
    let fake = Fake::new(move |call| {
        match (now.load(Ordering::SeqCst), call.is_watch()) {
            (false, _) => Reply::status(404, "NotFound"),
            // so that it is asked again what there is
            (true, true) => Reply::Events(vec![json!({"type": "ERROR", "object": {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old", "reason": "Expired", "code": 410,
            }})]),
            (true, false) => list(&["a"]),
        }
    });
    let mut tasks = JoinSet::new();
    let cache = Cache::<ConfigMap>::start_where_served(&fake.kit(), None, &mut tasks);
    let mut changes = Box::pin(cache.changes());
    assert_eq!(cache.is_served(), None);
    cache.ready(Duration::from_secs(5)).await.unwrap();
    assert_eq!((cache.count(), cache.is_served()), (0, Some(false)));

    served.store(true, Ordering::SeqCst);
    let came = changes.next().await.unwrap().unwrap();
    assert_eq!((came.name.as_str(), came.gone), ("a", false));
    assert_eq!((cache.count(), cache.is_served()), (1, Some(true)));

    served.store(false, Ordering::SeqCst);
    while !changes.next().await.unwrap().unwrap().gone {}
    assert_eq!((cache.count(), cache.is_served()), (0, Some(false)));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_must_be_there_is_not_ready_without() {
    let fake = Fake::new(|_| Reply::status(404, "NotFound"));
    let mut tasks = JoinSet::new();
    let cache = Cache::<ConfigMap>::start(&fake.kit(), None, &mut tasks);
    assert!(cache.ready(Duration::from_secs(60)).await.is_err());
}

#[test]
fn a_watch_start_refused_for_its_version_is_stale_and_other_failures_are_not() {
    let start = |code, reason: &str, message: &str| {
        let status = Status::failure(message, reason).with_code(code).boxed();
        watcher::Error::WatchStartFailed(kube::Error::Api(status))
    };
    assert!(is_stale(&start(410, "Expired", "too old")));
    assert!(is_stale(&start(
        504,
        "Timeout",
        "Too large resource version: 9, current: 3"
    )));
    assert!(!is_stale(&start(504, "Timeout", "etcd is slow")));
    assert!(!is_stale(&start(403, "Forbidden", "no")));
    // in the stream, the watcher lists again by itself
    let status = Status::failure("too old", "Expired").with_code(410).boxed();
    assert!(!is_stale(&watcher::Error::WatchError(status)));
}

#[tokio::test(start_paused = true)]
async fn who_listens_too_slowly_is_named_everything_that_is_there() {
    let fake = Fake::new(|call| {
        if call.is_watch() {
            Reply::EventsThenSilence(vec![])
        } else {
            list(&["a", "b"])
        }
    });
    let mut tasks = JoinSet::new();
    let cache = Cache::<ConfigMap>::start(&fake.kit(), None, &mut tasks);
    cache.ready(Duration::from_secs(5)).await.unwrap();
    let mut named = Box::pin(cache.references());
    let mut two = async || {
        let named = named.by_ref().take(2).map(|one| one.name);
        let named = tokio::time::timeout(Duration::from_secs(5), named.collect());
        let mut names: Vec<String> = named.await.unwrap();
        names.sort();
        names
    };
    assert_eq!(two().await, ["a", "b"], "what is there");
    for _ in 0..=BACKLOG {
        let went = changed(1, true).unwrap();
        cache.changes.send(went).unwrap();
    }
    assert_eq!(two().await, ["a", "b"], "what may have changed unheard");
}
