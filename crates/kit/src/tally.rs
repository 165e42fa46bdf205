//! Counts what is sent to the API server, at the one place that everything passes: the stack of the client.
//!
//! Calls of the [`Kit`](crate::Kit), watches of controllers, caches and meters, and events for people all go through it.
//! A call that is repeated is several requests.

use std::task::{Context, Poll};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode, Uri};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// A layer that counts in the metrics of the process what passes.
#[derive(Clone)]
pub(crate) struct TallyLayer(Metrics);

impl TallyLayer {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self(metrics)
    }
}

impl<S> Layer<S> for TallyLayer {
    type Service = TallyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TallyService {
            inner,
            metrics: self.0.clone(),
        }
    }
}

/// A service that counts every request to the inner one.
#[derive(Clone)]
pub(crate) struct TallyService<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, Sent, Received> Service<Request<Sent>> for TallyService<S>
where
    S: Service<Request<Sent>, Response = Response<Received>>,
    S::Future: Send + 'static,
{
    type Response = Response<Received>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Received>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let mut pending = Pending {
            metrics: self.metrics.clone(),
            verb: verb(request.method(), request.uri()),
            outcome: "unanswered",
        };
        self.inner
            .call(request)
            .map(move |answer| {
                if let Ok(answer) = &answer {
                    pending.answered(answer.status());
                }
                answer
            })
            .boxed()
    }
}

/// A request that was sent. It is counted when it is dropped: whoever sent it may stop waiting for its answer.
struct Pending {
    metrics: Metrics,
    verb: &'static str,
    outcome: &'static str,
}

impl Pending {
    fn answered(&mut self, status: StatusCode) {
        self.outcome = if status.is_client_error() {
            "refused"
        } else if status.is_server_error() {
            "failed"
        } else {
            "ok"
        };
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.metrics.requested(self.verb, self.outcome);
    }
}

/// What a request does, in the words of the API server's own rights; server-side apply is a patch.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => reading(uri),
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

fn reading(uri: &Uri) -> &'static str {
    let query = uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair == "watch=true") {
        return "watch";
    }
    // /api/v1/… or /apis/GROUP/VERSION/…, then namespaces/NAME where the kind has a namespace. The status of a namespace
    // would be taken for a list; nobody reads it.
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let version = if parts.next() == Some("api") { 1 } else { 2 };
    let named: Vec<&str> = parts.skip(version).collect();
    match named.as_slice() {
        [_] | ["namespaces", _, _] => "list",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::Kit,
        clock::{Clock, SystemClock},
    };
    use k8s_openapi::api::core::v1::Namespace;
    use kube::client::{Body, ClientBuilder};
    use serde_json::json;
    use std::sync::Arc;

    /// A kit over a server that knows every namespace but `missing`, breaks over `broken` and is silent over `silent`.
    fn kit(metrics: &Metrics) -> Kit {
        let service = tower::service_fn(|request: Request<Body>| async move {
            let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
            if name == "silent" {
                std::future::pending::<()>().await;
            }
            let (code, reason): (u16, &str) = match name.as_str() {
                "missing" => (404, "NotFound"),
                "broken" => (500, "InternalError"),
                _ => (200, ""),
            };
            let body = if code == 200 {
                json!({"metadata": {"name": name}})
            } else {
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": name, "reason": reason, "code": code})
            };
            Response::builder()
                .status(code)
                .body(Body::from(body.to_string().into_bytes()))
        });
        let client = ClientBuilder::new(service, "default")
            .with_layer(&TallyLayer::new(metrics.clone()))
            .build();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Kit::from_client(client, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn every_request_is_counted_once_by_how_it_ended() {
        let metrics = Metrics::new();
        let kit = kit(&metrics);
        for name in ["a", "b", "missing"] {
            kit.get::<Namespace>(None, name).await.unwrap();
        }
        for name in ["broken", "silent"] {
            kit.get::<Namespace>(None, name).await.unwrap_err();
        }
        let namespace = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        kit.apply::<Namespace>(&namespace).await.unwrap();
        let text = metrics.encode().unwrap();
        let counted: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("leasehold_api_requests_total"))
            .collect();
        assert_eq!(
            counted,
            [
                r#"{outcome="failed",verb="get"} 1"#,
                r#"{outcome="ok",verb="get"} 2"#,
                r#"{outcome="ok",verb="patch"} 1"#,
                r#"{outcome="refused",verb="get"} 1"#,
                r#"{outcome="unanswered",verb="get"} 1"#,
            ]
        );
    }

    #[test]
    fn reading_one_reading_all_and_watching_are_told_apart() {
        let all = "/apis/tenancy.leasehold.dev/v1alpha1/namespaces/dept-edu/tenancies";
        let (one, status) = (format!("{all}/oa"), format!("{all}/oa/status"));
        for (path, expected) in [
            ("/api/v1/namespaces", "list"),
            ("/api/v1/namespaces/dept-edu", "get"),
            ("/api/v1/namespaces/dept-edu/pods?&limit=500", "list"),
            ("/api/v1/namespaces/dept-edu/pods/web", "get"),
            ("/api/v1/pods?&watch=true&resourceVersion=7", "watch"),
            ("/api/v1/pods?&labelSelector=watch%3Dtrue", "list"),
            (all, "list"),
            (one.as_str(), "get"),
            (status.as_str(), "get"),
            ("/apis/storage.k8s.io/v1/storageclasses", "list"),
            ("/version", "get"),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(verb(&Method::GET, &uri), expected, "{path}");
        }
    }

    #[test]
    fn every_way_of_writing_has_a_verb() {
        let uri: Uri = "/api/v1/namespaces/dept-edu".parse().unwrap();
        let verbs = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
            .map(|method| verb(&method, &uri));
        assert_eq!(verbs, ["create", "update", "patch", "delete"]);
    }
}
