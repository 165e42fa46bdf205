//! Each action does what it says, and nothing to others: a client over TLS, the proxy, a small server.

mod scene;

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use self::scene::{FRAMES, OPERATOR, Scene, frame, struck};
use super::{Action, Moment, Partition, Plan, Rule, Target, Turn, Verb};

const PODS: &str = "/api/v1/namespaces/a/pods";
const WATCH: &str = "/api/v1/namespaces/a/pods?watch=true&resourceVersion=9";
/// A watch that the server leaves open.
const OPEN: &str = "/api/v1/namespaces/a/secrets?watch=true&resourceVersion=9";
/// Longer than anything here takes, and than these clients wait.
const FOR_EVER: Duration = Duration::from_secs(600);
/// What a client here waits for in vain.
const SHORT: Duration = Duration::from_millis(300);

fn all_frames() -> String {
    FRAMES.map(frame).concat()
}

/// Status, reason and seconds to wait of a refusal.
fn refusal(body: &str) -> (u64, String, Value) {
    let status: Value = serde_json::from_str(body).unwrap();
    (
        status["code"].as_u64().unwrap(),
        status["reason"].as_str().unwrap().to_owned(),
        status["details"]["retryAfterSeconds"].clone(),
    )
}

#[tokio::test]
async fn what_is_not_to_suffer_goes_through_with_its_credentials_and_comes_back_whole() {
    let scene = Scene::open().await;
    let heard = scene.ask(Method::GET, "/api/v1/namespaces/a/pods/web?x=y");
    let (status, body) = heard.await.unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("resourceVersion"), "{body}");
    let expected = "GET /api/v1/namespaces/a/pods/web?x=y Bearer of-the-operator";
    assert_eq!(scene.last(), expected);
    let created = scene.ask(Method::POST, PODS).await.unwrap();
    assert_eq!(created, (201, r#"{"metadata": {"name": "x"}}"#.to_owned()));
    let watched = scene.ask(Method::GET, WATCH).await.unwrap();
    assert_eq!(watched, (200, all_frames()));
    assert_eq!(scene.ask(Method::GET, "/version").await.unwrap().0, 200);
    assert!(scene.proxy.counts().is_empty());
}

#[tokio::test]
async fn a_watch_is_passed_on_while_it_is_open() {
    let scene = Scene::open().await;
    let answer = scene.open_as(OPERATOR, Method::GET, OPEN).await.unwrap();
    let mut body = answer.into_body();
    for known in FRAMES {
        let heard = Scene::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(heard, frame(known));
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_before_brings_nothing_to_the_server() {
    let scene = Scene::open().await;
    scene.first(Verb::Create, Action::ResetBefore);
    assert!(scene.ask(Method::POST, PODS).await.is_err());
    assert_eq!(scene.seen("POST"), 0);
    assert_eq!(scene.ask(Method::POST, PODS).await.unwrap().0, 201);
}

#[tokio::test]
async fn an_ambiguous_commit_is_carried_out_once_and_its_client_hears_of_a_reset_or_504() {
    let scene = Scene::open().await;
    scene.first(Verb::Create, Action::ForwardThenReset);
    assert!(scene.ask(Method::POST, PODS).await.is_err());
    assert_eq!(scene.seen("POST"), 1);
    scene.first(Verb::Create, Action::ForwardThen504);
    let (status, body) = scene.ask(Method::POST, PODS).await.unwrap();
    assert_eq!(status, 504);
    assert_eq!(refusal(&body), (504, "Timeout".to_owned(), Value::Null));
    assert_eq!(scene.seen("POST"), 2);
}

#[tokio::test]
async fn a_refusal_is_the_api_servers_own_words_and_reaches_it_never() {
    let scene = Scene::open().await;
    let table = [
        (429, Some(3), "TooManyRequests", json!(3)),
        (503, None, "ServiceUnavailable", Value::Null),
        (500, None, "InternalError", Value::Null),
    ];
    for (code, retry_after, reason, wait) in table {
        scene.first(Verb::Patch, Action::Status { code, retry_after });
        let (status, body) = scene.ask(Method::PATCH, PODS).await.unwrap();
        assert_eq!(status, code);
        assert_eq!(refusal(&body), (u64::from(code), reason.to_owned(), wait));
    }
    assert_eq!(scene.seen("PATCH"), 0);
}

#[tokio::test]
async fn an_answer_that_is_truncated_is_no_answer() {
    let scene = Scene::open().await;
    scene.first(Verb::List, Action::Truncate);
    assert!(scene.ask(Method::GET, PODS).await.is_err());
    assert_eq!(scene.seen("GET"), 1);
}

#[tokio::test]
async fn what_is_delayed_comes_later_and_what_hangs_ends_with_its_clients_patience() {
    let scene = Scene::open().await;
    scene.first(Verb::List, Action::Delay(SHORT));
    let asked = Instant::now();
    assert_eq!(scene.ask(Method::GET, PODS).await.unwrap().0, 200);
    assert!(asked.elapsed() >= SHORT);
    for (path, verb) in [(PODS, Verb::List), (WATCH, Verb::Watch)] {
        let before = scene.seen("GET");
        scene.first(verb, Action::Hang(FOR_EVER));
        let heard = timeout(SHORT, scene.ask(Method::GET, path)).await;
        assert!(heard.is_err(), "{heard:?}");
        assert_eq!(scene.seen("GET"), before);
    }
    scene.first(Verb::List, Action::Hang(SHORT));
    assert!(scene.ask(Method::GET, PODS).await.is_err());
}

#[tokio::test]
async fn a_watch_is_cut_after_as_many_frames_as_it_is_said() {
    let scene = Scene::open().await;
    for count in [0, 2] {
        scene.first(Verb::Watch, Action::CutAfter(u32::try_from(count).unwrap()));
        let answer = scene.open_as(OPERATOR, Method::GET, OPEN).await.unwrap();
        let mut body = answer.into_body();
        for known in &FRAMES[..count] {
            let heard = Scene::frame(&mut body).await.unwrap().unwrap();
            assert_eq!(heard, frame(*known));
        }
        let end = Scene::frame(&mut body).await.unwrap();
        assert!(end.is_err(), "{end:?}");
    }
    assert_eq!(scene.proxy.counts()["cut-after"], 2);
}

#[tokio::test]
async fn a_version_that_is_gone_stays_gone_until_its_client_lists() {
    let scene = Scene::open().await;
    for (action, code) in [(Action::GoneHttp, 410), (Action::GoneEvent, 200)] {
        let before = scene.seen("GET");
        scene.first(Verb::Watch, action);
        for _ in 0..2 {
            let (status, body) = scene.ask(Method::GET, WATCH).await.unwrap();
            assert_eq!(status, code);
            let said: Value = serde_json::from_str(body.trim_end()).unwrap();
            let is_event = action == Action::GoneEvent;
            assert_eq!(said["type"] == "ERROR", is_event);
            let status = if is_event { &said["object"] } else { &said };
            assert_eq!(status["code"], 410);
            assert_eq!(status["reason"], "Expired");
            assert!(status["message"].as_str().unwrap().ends_with(": 9"));
        }
        assert_eq!(scene.seen("GET"), before, "it never got there");
        // a later version is not gone, and neither is the watch of anything else
        let later = WATCH.replace("=9", "=10");
        for path in [later.as_str(), "/api/v1/pods?watch=true&resourceVersion=9"] {
            let heard = scene.ask(Method::GET, path).await.unwrap();
            assert_eq!(heard, (200, all_frames()));
        }
        scene.ask(Method::GET, PODS).await.unwrap();
        let heard = scene.ask(Method::GET, WATCH).await.unwrap();
        assert_eq!(heard, (200, all_frames()));
    }
    let counts = scene.proxy.counts();
    assert_eq!((counts["gone-http"], counts["gone-event"]), (1, 1));
}

#[tokio::test]
async fn one_event_is_lost_or_all_bookmarks_are_left_out() {
    let scene = Scene::open().await;
    scene.first(Verb::Watch, Action::DropEvent);
    let (_, heard) = scene.ask(Method::GET, WATCH).await.unwrap();
    assert_eq!(heard, [FRAMES[1], FRAMES[2], FRAMES[3]].map(frame).concat());
    scene.first(Verb::Watch, Action::NoBookmarks);
    let (_, heard) = scene.ask(Method::GET, WATCH).await.unwrap();
    assert_eq!(heard, [FRAMES[0], FRAMES[1], FRAMES[3]].map(frame).concat());
}

#[tokio::test]
async fn a_black_hole_opens_and_says_nothing_until_its_client_gives_up() {
    let scene = Scene::open().await;
    scene.first(Verb::Watch, Action::BlackHole(FOR_EVER));
    let answer = scene.open_as(OPERATOR, Method::GET, WATCH).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let mut body = answer.into_body();
    assert!(timeout(SHORT, Scene::frame(&mut body)).await.is_err());
    assert_eq!(scene.seen("GET"), 0);
}

#[tokio::test]
async fn a_stale_list_is_the_one_before_without_the_time_of_then() {
    let scene = Scene::open().await;
    scene.first(Verb::List, Action::StaleList);
    // nothing was listed before: it is passed on
    let first = scene.ask(Method::GET, PODS).await.unwrap();
    assert!(scene.proxy.counts().is_empty());
    scene.first(Verb::List, Action::StaleList);
    assert_eq!(scene.ask(Method::GET, PODS).await.unwrap(), first);
    assert_eq!(scene.seen("GET"), 1);
    assert_eq!(scene.proxy.counts()["stale-list"], 1);
    let fresh = scene.ask(Method::GET, PODS).await.unwrap();
    assert_ne!(fresh, first);
}

#[tokio::test]
async fn a_silent_partition_holds_everything_back_and_a_refusing_one_cuts_it() {
    let scene = Scene::open().await;
    let open = async |scene: &Scene| {
        let answer = scene.open_as(OPERATOR, Method::GET, OPEN).await.unwrap();
        let mut body = answer.into_body();
        for _ in FRAMES {
            Scene::frame(&mut body).await.unwrap().unwrap();
        }
        body
    };
    let began = Instant::now();
    let ((), heard) = tokio::join!(
        biased;
        scene.proxy.partition(Partition::Silent, SHORT),
        scene.ask(Method::GET, PODS),
    );
    assert_eq!(heard.unwrap().0, 200);
    assert!(began.elapsed() >= SHORT);
    let mut watch = open(&scene).await;
    let ((), heard, cut) = tokio::join!(
        biased;
        scene.proxy.partition(Partition::Refusing, SHORT),
        scene.ask(Method::GET, PODS),
        Scene::frame(&mut watch),
    );
    assert!(heard.is_err(), "{heard:?}");
    assert!(cut.unwrap().is_err());
    assert_eq!(scene.ask(Method::GET, PODS).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_kill_comes_before_the_write_arrives_or_after_it_was_carried_out() {
    let scene = Scene::open().await;
    let mut strikes = scene.proxy.strikes().unwrap();
    for (moment, carried_out) in [(Moment::BeforeCommit, 0), (Moment::AfterCommit, 1)] {
        scene.first(Verb::Create, Action::Kill(moment));
        let (heard, seen) = tokio::join!(scene.ask(Method::POST, PODS), async {
            struck(&mut strikes).await;
            scene.seen("POST")
        });
        assert!(heard.is_err(), "{heard:?}");
        assert_eq!(seen, carried_out, "{moment:?}");
    }
    assert_eq!(scene.seen("POST"), 1);
    assert!(scene.proxy.strikes().is_none(), "they are taken once");
}

#[tokio::test]
async fn a_rule_befalls_its_turn_and_what_it_names_and_nobody_once_it_is_taken_away() {
    let scene = Scene::open().await;
    let named = |name: &str, turn| Rule {
        target: Target {
            name: Some(name.to_owned()),
            ..Target::default()
        },
        turn,
        action: Action::ResetBefore,
    };
    let path = |name: &str| format!("{PODS}/{name}");
    let second = scene.proxy.arm(named("a", Turn::Nth(2)));
    let mut heard = Vec::new();
    for name in ["a", "b", "a", "a", "b"] {
        heard.push(scene.ask(Method::GET, &path(name)).await.is_ok());
    }
    assert_eq!(heard, [true, true, false, true, true]);
    assert_eq!(scene.proxy.fired(second), 1);
    assert_eq!(scene.proxy.disarm(second), 1);
    let first = scene.proxy.arm(named("a", Turn::First(2)));
    assert!(scene.ask(Method::GET, &path("a")).await.is_err());
    assert_eq!(scene.proxy.disarm(first), 1);
    assert!(scene.ask(Method::GET, &path("a")).await.is_ok());
    scene.proxy.arm(named("c", Turn::Permille(1_000)));
    assert!(scene.ask(Method::GET, &path("c")).await.is_err());
    assert!(scene.ask(Method::GET, &path("c")).await.is_err());
}

#[tokio::test]
async fn a_plan_befalls_its_client_alone_and_every_fault_is_a_line_with_the_seed() {
    let scene = Scene::open().await;
    let plan = Plan::new(7, "leasehold/").with(Target::default(), 1_000, Action::ResetBefore);
    scene.proxy.follow(Some(plan));
    let kubectl = scene.ask_as("kubectl/v1.36.3", Method::GET, PODS).await;
    assert_eq!(kubectl.unwrap().0, 200);
    assert!(scene.ask(Method::GET, PODS).await.is_err());
    scene.proxy.follow(None);
    assert!(scene.ask(Method::GET, PODS).await.is_ok());
    let told = scene.journal();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["seed"], 7);
    assert_eq!(told[0]["number"], 1);
    assert_eq!(told[0]["fault"], "reset-before");
    let request = json!({"verb": "list", "resource": "pods", "namespace": "a", "name": ""});
    assert_eq!(told[0]["request"], request);
    let last: Value = serde_json::from_str(&scene.proxy.last()[0]).unwrap();
    assert_eq!(last, told[0]);
}
