//! Whether the operator lives and is ready, and its metrics, over HTTP.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use leasehold_controllers::Fences;
use leasehold_kit::metrics::Metrics;
use leasehold_store::Troubles;
use tokio::{net::TcpListener, task::JoinHandle};

/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How far the operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way; what it waits for.
    Starting(&'static str),
    /// Reconciling and metering.
    Ready,
    /// Asked to stop.
    Stopping,
}

/// What is told about the operator. Cheap to clone.
#[derive(Clone)]
pub(super) struct Health {
    stage: Arc<RwLock<Stage>>,
    /// Those of the ledger, once it is open.
    ledger: Arc<OnceLock<Troubles>>,
    /// Whether namespaces may be opened, once that is looked at.
    fences: Arc<OnceLock<Fences>>,
    metrics: Metrics,
}

impl Health {
    /// The health of an operator that has not begun.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            stage: Arc::new(RwLock::new(Stage::Starting("nothing has begun"))),
            ledger: Arc::default(),
            fences: Arc::default(),
            metrics,
        }
    }

    /// Notes how far the operator is.
    pub(super) fn set(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Tells the troubles of the ledger from now on; once.
    pub(super) fn tell_of(&self, ledger: Troubles) {
        // an error says that they are told already
        drop(self.ledger.set(ledger));
    }

    /// Tells from now on why no namespace may be opened; once.
    pub(super) fn tell_fences(&self, fences: Fences) {
        // an error says that they are told already
        drop(self.fences.set(fences));
    }

    /// Why the ledger's database does not do what it is asked for; none while it does.
    fn trouble(&self) -> Option<String> {
        self.ledger.get().and_then(Troubles::now)
    }

    fn stage(&self) -> Stage {
        *self.stage.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to serve at the address. The task ends only when serving fails.
pub(super) async fn serve(listen: SocketAddr, health: Health) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("failed to listen on {listen}; name a free address with --listen")
    })?;
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(health)).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "failed to serve");
        }
    }))
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        // what many monitors ask by default
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// The process answers, and that is all that it says: a restart helps against neither a database nor an API server
/// that is away.
async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    match health.stage() {
        Stage::Ready => match health.trouble() {
            // what is open goes on, and so the operator is ready
            None => match health.fences.get().and_then(Fences::told) {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(closed) => (StatusCode::OK, format!("ready, but {closed}\n")),
            },
            Some(trouble) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the ledger is in trouble: {trouble}\n"),
            ),
        },
        Stage::Starting(what) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("starting: {what}\n"),
        ),
        Stage::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tower::ServiceExt;

    use super::*;

    async fn asked(health: &Health, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = router(health.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_stage_and_says_what_is_waited_for() {
        let health = Health::new(Metrics::new());
        health.set(Stage::Starting("the ledger is being opened"));
        let (status, body) = asked(&health, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "starting: the ledger is being opened\n");
        health.set(Stage::Ready);
        assert_eq!(asked(&health, "/readyz").await.0, StatusCode::OK);
        health.set(Stage::Stopping);
        assert_eq!(
            asked(&health, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[tokio::test]
    async fn a_ledger_in_trouble_is_told_with_what_it_said() {
        let health = Health::new(Metrics::new());
        health.set(Stage::Ready);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let store = leasehold_store::Store::open(&path).await.unwrap();
        health.tell_of(store.troubles());
        assert_eq!(asked(&health, "/readyz").await.0, StatusCode::OK);
        let hasty = store.clone().with_deadline(std::time::Duration::ZERO);
        // an answer that is there at once has no time to be late
        let mut late = false;
        for _ in 0..10_000 {
            if hasty.facts(&Default::default()).await.is_err() {
                late = true;
                break;
            }
        }
        assert!(late, "nothing was late");
        let (status, body) = asked(&health, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            body.starts_with("the ledger is in trouble: failed to "),
            "{body}"
        );
        store.head().await.unwrap();
        assert_eq!(asked(&health, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_process_lives_whatever_it_waits_for() {
        let health = Health::new(Metrics::new());
        for path in ["/livez", "/healthz"] {
            let answer = asked(&health, path).await;
            assert_eq!(answer, (StatusCode::OK, "alive\n".to_owned()), "{path}");
        }
    }

    #[tokio::test]
    async fn metrics_are_those_of_the_process() {
        let metrics = Metrics::new();
        let health = Health::new(metrics.clone());
        metrics.call_failed("apply", "Timeout");
        let (status, body) = asked(&health, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("leasehold_call_failures_total"), "{body}");
    }
}
