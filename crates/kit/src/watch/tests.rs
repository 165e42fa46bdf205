use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::fake::{Call, Fake, Reply};

mod lost;

/// What a sink was told, in words.
#[derive(Clone, Default)]
struct Notes {
    taken: Arc<Mutex<Vec<String>>>,
    /// Refusals before something is taken.
    refusals: Arc<Mutex<u32>>,
    offered_at: Arc<Mutex<Vec<Timestamp>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
struct Away;

impl Notes {
    fn take(&self, seen: &Seen, note: &str) -> Result<(), Away> {
        self.offered_at.lock().unwrap().push(seen.at);
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Away);
        }
        self.taken
            .lock()
            .unwrap()
            .push(format!("{note}@{}", seen.version));
        Ok(())
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl WatchSink<Pod> for Notes {
    type Error = Away;

    async fn applied(&mut self, object: &Pod, seen: &Seen) -> Result<(), Away> {
        self.take(seen, &format!("applied {}", object.name_any()))
    }

    async fn deleted(&mut self, object: &Pod, seen: &Seen) -> Result<(), Away> {
        self.take(seen, &format!("deleted {}", object.name_any()))
    }

    async fn bookmark(&mut self, seen: &Seen) -> Result<(), Away> {
        self.take(seen, "bookmark")
    }

    async fn relisted(
        &mut self,
        gap: &Gap,
        objects: &[Shelved<Pod>],
        seen: &Seen,
    ) -> Result<(), Away> {
        let names: Vec<_> = objects
            .iter()
            .map(|object| object.read().unwrap().name_any())
            .collect();
        let since = gap.version.as_deref().unwrap_or("nothing");
        self.take(seen, &format!("relisted {} since {since}", names.join(",")))
    }

    async fn undecodable(&mut self, object: &InvalidObject, seen: &Seen) -> Result<(), Away> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.take(seen, &format!("undecodable {name}"))
    }
}

fn event(kind: &str, name: &str, version: u32) -> Value {
    json!({"type": kind, "object": {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "a", "resourceVersion": version.to_string()}}})
}

fn bookmark(version: u32) -> Value {
    json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"resourceVersion": version.to_string()}}})
}

fn expired() -> Value {
    json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}})
}

fn list(version: u32, names: &[&str]) -> Reply {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name, "namespace": "a"}}))
        .collect();
    Reply::Json(
        200,
        json!({"apiVersion": "v1", "kind": "PodList",
            "metadata": {"resourceVersion": version.to_string()}, "items": items}),
    )
}

/// Watches for some seconds and returns what the sink was told.
async fn watch(fake: &Fake, version: Option<&str>, notes: &Notes, seconds: u64) -> Vec<String> {
    assert_eq!(ended(fake, version, notes, seconds).await, Ended::Asked);
    notes.taken()
}

/// Watches for some seconds and returns why that ended.
async fn ended(fake: &Fake, version: Option<&str>, notes: &Notes, seconds: u64) -> Ended {
    let (stop, shutdown) = Shutdown::manual();
    let watch = ResumableWatch::<Pod>::new(fake.kit(), version.map(str::to_owned));
    let task = tokio::spawn(watch.run(notes.clone(), shutdown));
    sleep(Duration::from_secs(seconds)).await;
    stop.request();
    task.await.unwrap()
}

fn versions_asked(fake: &Fake) -> Vec<String> {
    let calls = fake.calls();
    let watches = calls.iter().filter(|call| call.is_watch());
    watches
        .map(|call| call.parameter("resourceVersion").unwrap().to_owned())
        .collect()
}

fn lists(fake: &Fake) -> usize {
    fake.calls().iter().filter(|call| !call.is_watch()).count()
}

/// An API server whose first watches bring these replies, one after the other, and then stay open.
fn watches(replies: Vec<Reply>, list: Reply) -> Fake {
    let replies = Mutex::new(replies.into_iter());
    Fake::new(move |call: &Call| {
        if call.is_watch() {
            let next = replies.lock().unwrap().next();
            next.unwrap_or(Reply::EventsThenSilence(vec![bookmark(1_000)]))
        } else {
            list.clone()
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stored_version_is_resumed_without_a_list_and_events_move_it() {
    let first = Reply::Events(vec![
        event("ADDED", "one", 11),
        event("MODIFIED", "one", 12),
        event("DELETED", "one", 13),
        bookmark(20),
    ]);
    let fake = watches(
        vec![first, Reply::Events(vec![event("ADDED", "two", 21)])],
        list(0, &[]),
    );
    let taken = watch(&fake, Some("10"), &Notes::default(), 5).await;
    assert_eq!(
        taken,
        [
            "applied one@11",
            "applied one@12",
            "deleted one@13",
            "bookmark@20",
            "applied two@21",
            "bookmark@1000"
        ]
    );
    assert_eq!(versions_asked(&fake), ["10", "20", "21"]);
    assert_eq!(lists(&fake), 0);
    let calls = fake.calls();
    assert_eq!(calls[0].parameter("allowWatchBookmarks"), Some("true"));
    assert_eq!(calls[0].parameter("timeoutSeconds"), Some("10"));
}

#[tokio::test(start_paused = true)]
async fn without_a_version_it_lists_once_and_watches_from_there() {
    let fake = watches(vec![], list(70, &["one", "two"]));
    let taken = watch(&fake, None, &Notes::default(), 5).await;
    assert_eq!(
        taken,
        ["relisted one,two since nothing@70", "bookmark@1000"]
    );
    assert_eq!(versions_asked(&fake), ["70"]);
}

#[tokio::test(start_paused = true)]
async fn a_410_at_the_start_of_a_watch_lists_once_and_goes_on() {
    let fake = watches(vec![Reply::status(410, "Expired")], list(70, &["one"]));
    let taken = watch(&fake, Some("10"), &Notes::default(), 20).await;
    assert_eq!(taken, ["relisted one since 10@70", "bookmark@1000"]);
    assert_eq!(versions_asked(&fake), ["10", "70"]);
    assert_eq!(lists(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn a_410_in_the_stream_lists_once_and_names_the_version_up_to_which_all_was_seen() {
    let fake = watches(
        vec![Reply::Events(vec![event("ADDED", "one", 11), expired()])],
        list(70, &["two"]),
    );
    let taken = watch(&fake, Some("10"), &Notes::default(), 20).await;
    assert_eq!(
        taken,
        [
            "applied one@11",
            "relisted two since 11@70",
            "bookmark@1000"
        ]
    );
    assert_eq!(lists(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_says_410_is_listed_at_most_every_five_seconds() {
    let fake = Fake::new(|call| {
        if call.is_watch() {
            Reply::status(410, "Expired")
        } else {
            list(70, &[])
        }
    });
    watch(&fake, Some("10"), &Notes::default(), 60).await;
    // at 0, 5, 10 .. 60 s
    assert!(lists(&fake) <= 13, "{} lists", lists(&fake));
    assert!(lists(&fake) >= 6, "{} lists", lists(&fake));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_silent_is_opened_again_where_it_stood() {
    let fake = watches(
        vec![Reply::EventsThenSilence(vec![event("ADDED", "one", 11)])],
        list(0, &[]),
    );
    let taken = watch(&fake, Some("10"), &Notes::default(), 40).await;
    assert_eq!(taken, ["applied one@11", "bookmark@1000"]);
    assert_eq!(versions_asked(&fake), ["10", "11"]);
    assert_eq!(lists(&fake), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_never_answered_is_given_up_at_the_deadline() {
    let fake = watches(vec![Reply::Silence], list(0, &[]));
    let taken = watch(&fake, Some("10"), &Notes::default(), 20).await;
    assert_eq!(taken, ["bookmark@1000"]);
    assert_eq!(versions_asked(&fake), ["10", "10"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_does_not_take_is_offered_again_with_the_time_of_its_arrival() {
    let notes = Notes {
        refusals: Arc::new(Mutex::new(3)),
        ..Notes::default()
    };
    let fake = watches(
        vec![Reply::Events(vec![event("DELETED", "one", 11)])],
        list(0, &[]),
    );
    let taken = watch(&fake, Some("10"), &notes, 20).await;
    assert_eq!(taken, ["deleted one@11", "bookmark@1000"]);
    let times = notes.offered_at.lock().unwrap();
    assert_eq!(times.len(), 5);
    assert!(times[..4].iter().all(|at| *at == times[0]));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_fit_is_told_and_does_not_stop_the_watch() {
    let mut bad = event("ADDED", "bad", 11);
    bad["object"]["spec"] = json!("text");
    let fake = watches(
        vec![Reply::Events(vec![bad, event("ADDED", "good", 12)])],
        list(0, &[]),
    );
    let taken = watch(&fake, Some("10"), &Notes::default(), 5).await;
    assert_eq!(
        taken,
        ["undecodable bad@11", "applied good@12", "bookmark@1000"]
    );
}

fn ahead() -> Reply {
    Reply::Json(
        504,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Too large resource version: 900, current: 70", "reason": "Timeout", "code": 504}),
    )
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_behind_our_version_is_asked_for_its_own_after_five_refusals() {
    let fake = watches(vec![ahead(); 5], list(70, &["one"]));
    let notes = Notes::default();
    assert_eq!(ended(&fake, Some("900"), &notes, 30).await, Ended::WentBack);
    assert_eq!(notes.taken(), Vec::<String>::new());
    assert_eq!(versions_asked(&fake), ["900"; 5]);
    assert_eq!(lists(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_caught_up_while_it_refused_is_watched_on() {
    let fake = watches(vec![ahead(); 5], list(900, &["one"]));
    let taken = watch(&fake, Some("900"), &Notes::default(), 30).await;
    assert_eq!(taken, ["bookmark@1000"]);
    assert_eq!(versions_asked(&fake), ["900"; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_that_went_back_is_noticed_when_the_connection_is_given_up() {
    let silent = Reply::EventsThenSilence(vec![]);
    let fake = watches(vec![silent], list(70, &["one"]));
    let notes = Notes::default();
    assert_eq!(ended(&fake, Some("900"), &notes, 40).await, Ended::WentBack);
    assert_eq!(notes.taken(), Vec::<String>::new());
    assert_eq!(versions_asked(&fake), ["900"]);
    let listed = fake.calls();
    let listed = listed.iter().find(|call| !call.is_watch()).unwrap();
    assert_eq!(listed.parameter("limit"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_that_stands_where_the_watch_does_is_watched_on() {
    let silent = Reply::EventsThenSilence(vec![]);
    let fake = watches(vec![silent], list(900, &[]));
    let taken = watch(&fake, Some("900"), &Notes::default(), 40).await;
    assert_eq!(taken, ["bookmark@1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_after_a_410_that_is_older_than_what_was_seen_is_not_taken() {
    let fake = watches(vec![Reply::status(410, "Expired")], list(70, &["one"]));
    let notes = Notes::default();
    assert_eq!(ended(&fake, Some("900"), &notes, 20).await, Ended::WentBack);
    assert_eq!(notes.taken(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_brings_nothing_and_closes_is_not_opened_without_pause() {
    let fake = Fake::new(|call| {
        if call.is_watch() {
            Reply::Events(vec![bookmark(10)])
        } else {
            list(10, &[])
        }
    });
    watch(&fake, Some("10"), &Notes::default(), 60).await;
    // pauses of at least 0.1, 0.2, 0.4 .. 5 s: 6 in the first 6.3 s, then one in 5 s
    assert!(
        versions_asked(&fake).len() <= 20,
        "{} watches",
        versions_asked(&fake).len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_end_of_a_connection() {
    let fake = watches(vec![], list(0, &[]));
    let start = Instant::now();
    watch(&fake, Some("10"), &Notes::default(), 1).await;
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(version_reached("10", "9"));
    assert!(version_reached("9", "9"));
    assert!(!version_reached("9", "10"));
    assert!(version_reached(
        "18446744073709551616",
        "18446744073709551615"
    ));
    assert!(version_reached("x", "x"));
    assert!(!version_reached("x", "1"));
    assert!(!version_reached("", "1"));
}

#[test]
fn only_numbers_can_be_behind_each_other() {
    assert!(version_behind("9", "10"));
    assert!(!version_behind("10", "10"));
    assert!(!version_behind("", "10"));
    assert!(!version_behind("x", "10"));
}

proptest! {
    #[test]
    fn of_two_versions_one_is_reached_by_the_other(one: u64, other: u64) {
        let reached = version_reached(&one.to_string(), &other.to_string());
        prop_assert_eq!(reached, one >= other);
        let behind = version_behind(&one.to_string(), &other.to_string());
        prop_assert_eq!(behind, !reached);
    }
}
