//! One call: a deadline over all attempts, and attempts only where a repetition does no harm.

use std::time::Duration;

use kube::{
    Resource,
    core::{Request, request},
};
use serde::de::DeserializeOwned;

use crate::{
    backoff::Backoff,
    client::Kit,
    error::{Failure, KitError},
};

/// A call that may be repeated is sent at most so many times more.
const REPETITIONS: u32 = 3;
/// Pauses between the attempts of one call.
const PAUSES: Backoff = Backoff {
    min: Duration::from_millis(100),
    max: Duration::from_secs(2),
};
/// A server's wish to wait is heard up to here.
const LONGEST_WISH: Duration = Duration::from_secs(5);

/// Whether a call may be sent again after a failure that leaves its effect open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once: reads, apply, patches, deletes with a precondition.
    Allowed,
    /// The call creates something: who sent it must look before sending it again.
    Never,
}

/// What a call is about, for its error.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    op: &'static str,
    kind: String,
    name: String,
}

impl Subject {
    pub(crate) fn new<K: Resource<DynamicType = ()>>(
        op: &'static str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        Self::of::<K>(&(), op, namespace, name)
    }

    /// The same of a kind that may be known by name alone.
    pub(crate) fn of<K: Resource>(
        kind: &K::DynamicType,
        op: &'static str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        let name = match (namespace, name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(one)) | (Some(one), None) => one.to_owned(),
            (None, None) => "(all)".to_owned(),
        };
        Self {
            op,
            kind: K::kind(kind).into_owned(),
            name,
        }
    }

    /// Of a path that names no kind.
    pub(crate) fn path(op: &'static str, path: &str) -> Self {
        Self {
            op,
            kind: "path".to_owned(),
            name: path.to_owned(),
        }
    }

    pub(crate) fn error(&self, source: Failure) -> KitError {
        KitError {
            op: self.op,
            kind: self.kind.clone(),
            name: self.name.clone(),
            source,
        }
    }
}

/// The requests of a kind, in a namespace or over all of the cluster. One function serves both scopes.
pub(crate) fn requests<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    requests_of::<K>(&(), namespace)
}

/// The requests of a kind that may be known by name alone.
pub(crate) fn requests_of<K: Resource>(kind: &K::DynamicType, namespace: Option<&str>) -> Request {
    Request::new(K::url_path(kind, namespace))
}

/// A request, or why it cannot be built.
pub(crate) type Built = Result<http::Request<Vec<u8>>, request::Error>;

impl Kit {
    /// Sends a request and decodes the answer. The deadline covers all attempts and the pauses between them.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        subject: &Subject,
        repeat: Repeat,
        request: Built,
    ) -> Result<T, KitError> {
        let deadline = self.deadline();
        let outcome = match request {
            Ok(request) => tokio::time::timeout(deadline, self.attempt(repeat, request))
                .await
                .unwrap_or(Err(Failure::Deadline(deadline))),
            Err(error) => Err(Failure::Build(Box::new(error))),
        };
        outcome.map_err(|failure| {
            let error = subject.error(failure);
            self.metrics().call_failed(error.op, error.reason());
            error
        })
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        repeat: Repeat,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, Failure> {
        let client = self.client();
        let mut failures = 0_u32;
        loop {
            let place = self.place().await;
            let failure = match client.request::<T>(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => Failure::from(error),
            };
            drop(place);
            if repeat == Repeat::Never || failures >= REPETITIONS || !failure.is_passing() {
                return Err(failure);
            }
            let pause = PAUSES.pause(failures, self.jitter());
            let wish = failure.retry_after().unwrap_or_default().min(LONGEST_WISH);
            tokio::time::sleep(pause.max(wish)).await;
            failures = failures.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use http::Method;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;
    use serde_json::json;

    fn config_map() -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some("settings".to_owned()),
                namespace: Some("office".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_at_the_deadline() {
        let fake = Fake::new(|_| Reply::Silence);
        let kit = fake.kit();
        let start = tokio::time::Instant::now();
        let error = kit
            .get::<ConfigMap>(Some("office"), "settings")
            .await
            .unwrap_err();
        // the runtime's timers tick in milliseconds
        assert_eq!(start.elapsed().as_secs(), kit.deadline().as_secs());
        assert_eq!(error.reason(), "Timeout");
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "failed to get ConfigMap office/settings");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_places_wait_for_one_within_their_deadline() {
        let fake = Fake::new(|_| Reply::Silence);
        let kit = fake.kit();
        let calls = (0..100).map(|_| kit.get::<ConfigMap>(Some("office"), "settings"));
        let mut calls = Box::pin(futures::future::join_all(calls));
        let pause = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            biased;
            _ = &mut calls => panic!("a silent server answered"),
            () = pause => {}
        }
        assert_eq!(fake.count(&Method::GET), 64);
        let ended = calls.await;
        assert!(ended.into_iter().all(|call| call.is_err()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_that_is_answered_504_is_sent_once() {
        let fake = Fake::new(|_| Reply::status(504, "Timeout"));
        let error = fake.kit().create(&config_map()).await.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(fake.count(&Method::POST), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_answered_503_is_sent_four_times_and_no_more() {
        let fake = Fake::new(|_| Reply::status(503, "ServiceUnavailable"));
        let error = fake
            .kit()
            .get::<ConfigMap>(Some("office"), "settings")
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "Unavailable");
        assert_eq!(fake.count(&Method::GET), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_apply_gets_through_once_the_server_is_back() {
        let fake = Fake::new(|call| match call.number {
            0 | 1 => Reply::status(429, "TooManyRequests"),
            _ => Reply::Json(200, call.body.clone()),
        });
        let applied = fake.kit().apply(&config_map()).await.unwrap();
        assert_eq!(applied.metadata.name.as_deref(), Some("settings"));
        assert_eq!(fake.count(&Method::PATCH), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_an_hour_is_heard_for_seconds() {
        let fake = Fake::new(|_| {
            Reply::Json(
                429,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "busy", "reason": "TooManyRequests", "code": 429,
                    "details": {"retryAfterSeconds": 3600}}),
            )
        });
        let start = tokio::time::Instant::now();
        fake.kit()
            .get::<ConfigMap>(Some("office"), "settings")
            .await
            .unwrap_err();
        assert!(start.elapsed() >= Duration::from_secs(15));
        assert!(start.elapsed() <= Duration::from_secs(16));
    }

    #[tokio::test]
    async fn a_refusal_is_not_repeated() {
        let fake = Fake::new(|_| Reply::status(403, "Forbidden"));
        let error = fake.kit().apply(&config_map()).await.unwrap_err();
        assert!(error.is_forbidden());
        assert_eq!(fake.count(&Method::PATCH), 1);
    }
}
