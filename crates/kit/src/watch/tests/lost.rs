//! Watches that are refused, and kinds that are known by name alone.

use kube::core::{ApiResource, DynamicObject};

use super::*;

/// Notes of buckets, and of when the watch was lost.
#[derive(Clone, Default)]
struct Blind {
    notes: Notes,
    /// Go on with a list after so many losses in a row.
    anew_after: Option<u32>,
}

impl WatchSink<DynamicObject> for Blind {
    type Error = Away;

    async fn applied(&mut self, object: &DynamicObject, seen: &Seen) -> Result<(), Away> {
        let quota = object.data["spec"]["quota"].as_str().unwrap_or_default();
        let note = format!("applied {} {quota}", object.name_any());
        self.notes.take(seen, &note)
    }

    async fn deleted(&mut self, object: &DynamicObject, seen: &Seen) -> Result<(), Away> {
        self.notes
            .take(seen, &format!("deleted {}", object.name_any()))
    }

    async fn bookmark(&mut self, _: &Seen) -> Result<(), Away> {
        Ok(())
    }

    async fn relisted(
        &mut self,
        gap: &Gap,
        objects: &[Shelved<DynamicObject>],
        seen: &Seen,
    ) -> Result<(), Away> {
        let since = gap.version.as_deref().unwrap_or("nothing");
        let note = format!("relisted {} since {since}", objects.len());
        self.notes.take(seen, &note)
    }

    async fn lost(&mut self, lost: &Lost) -> GoOn {
        let Lost {
            code,
            message,
            times,
        } = lost;
        let note = format!("lost {times}: {code:?} {message}");
        self.notes.taken.lock().unwrap().push(note);
        if Some(*times) == self.anew_after {
            GoOn::Anew
        } else {
            GoOn::FromThere
        }
    }
}

fn buckets() -> ApiResource {
    ApiResource {
        group: "storage.example.com".to_owned(),
        version: "v1".to_owned(),
        api_version: "storage.example.com/v1".to_owned(),
        kind: "Bucket".to_owned(),
        plural: "buckets".to_owned(),
    }
}

async fn watch(fake: &Fake, version: Option<&str>, sink: Blind, seconds: u64) -> Vec<String> {
    let (stop, shutdown) = Shutdown::manual();
    let watch = ResumableWatch::of(buckets(), fake.kit(), version.map(str::to_owned));
    let task = tokio::spawn(watch.run(sink.clone(), shutdown));
    sleep(Duration::from_secs(seconds)).await;
    stop.request();
    task.await.unwrap();
    sink.notes.taken()
}

fn bucket(kind: &str, version: u32, quota: &str) -> Value {
    json!({"type": kind, "object": {"apiVersion": "storage.example.com/v1", "kind": "Bucket",
        "metadata": {"name": "b", "namespace": "a", "resourceVersion": version.to_string()},
        "spec": {"quota": quota}}})
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_known_by_name_alone_is_listed_and_watched_under_its_path() {
    let events = Reply::EventsThenSilence(vec![
        bucket("ADDED", 11, "5Gi"),
        bucket("MODIFIED", 12, "7Gi"),
        bucket("DELETED", 13, "7Gi"),
    ]);
    let fake = watches(vec![events], list(10, &[]));
    let told = watch(&fake, None, Blind::default(), 5).await;
    assert_eq!(
        told,
        [
            "relisted 0 since nothing@10",
            "applied b 5Gi@11",
            "applied b 7Gi@12",
            "deleted b@13",
        ]
    );
    for call in fake.calls() {
        let path = "/apis/storage.example.com/v1/buckets?";
        assert!(call.uri.starts_with(path), "{}", call.uri);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_says_with_which_answer_and_how_often_in_a_row() {
    let refusals = vec![
        Reply::status(403, "Forbidden"),
        Reply::status(403, "Forbidden"),
        Reply::Events(vec![bucket("ADDED", 11, "5Gi")]),
        Reply::status(404, "NotFound"),
    ];
    let fake = watches(refusals, list(10, &[]));
    let told = watch(&fake, Some("9"), Blind::default(), 20).await;
    assert_eq!(
        told,
        [
            "lost 1: Some(403) Forbidden",
            "lost 2: Some(403) Forbidden",
            "applied b 5Gi@11",
            "lost 1: Some(404) NotFound",
        ]
    );
    assert_eq!(lists(&fake), 0, "the version is still good");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_is_a_loss_too() {
    let fake = Fake::new(|_| Reply::status(404, "NotFound"));
    let told = watch(&fake, None, Blind::default(), 2).await;
    assert_eq!(told[0], "lost 1: Some(404) NotFound");
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_version_is_declared_void_goes_on_with_a_list() {
    let refusals = vec![
        Reply::status(404, "NotFound"),
        Reply::status(404, "NotFound"),
    ];
    let fake = watches(refusals, list(30, &["b"]));
    let sink = Blind {
        anew_after: Some(2),
        ..Blind::default()
    };
    let told = watch(&fake, Some("9"), sink, 20).await;
    assert_eq!(
        told,
        [
            "lost 1: Some(404) NotFound",
            "lost 2: Some(404) NotFound",
            "relisted 1 since nothing@30",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_known_by_name_alone_is_found_out_when_its_server_went_back() {
    let silent = Reply::EventsThenSilence(vec![]);
    let fake = watches(vec![silent], list(70, &["b"]));
    let sink = Blind::default();
    let (_stop, shutdown) = Shutdown::manual();
    let watch = ResumableWatch::of(buckets(), fake.kit(), Some("900".to_owned()));
    assert_eq!(watch.run(sink.clone(), shutdown).await, Ended::WentBack);
    assert_eq!(sink.notes.taken(), Vec::<String>::new(), "it is not lost");
    let calls = fake.calls();
    let asked = calls.iter().find(|call| !call.is_watch()).unwrap();
    let path = "/apis/storage.example.com/v1/buckets?";
    assert!(asked.uri.starts_with(path), "{}", asked.uri);
    assert_eq!(asked.parameter("limit"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_that_it_is_behind_and_is_not_is_a_loss_each_time() {
    let fake = watches(vec![ahead(); 5], list(900, &["b"]));
    let told = watch(&fake, Some("900"), Blind::default(), 20).await;
    let said = "Some(504) Too large resource version: 900, current: 70";
    let expected: Vec<String> = (1..=5).map(|n| format!("lost {n}: {said}")).collect();
    assert_eq!(told, expected);
}
