//! An API server for unit tests: one function from call to reply, over the real client.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    client::Kit,
    clock::{Clock, SystemClock},
};

/// One call, as the server sees it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// How many calls came before.
    pub(crate) number: usize,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: String,
    pub(crate) content_type: String,
    /// `null` when there is none.
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn is_watch(&self) -> bool {
        self.uri.contains("watch=true")
    }

    /// The value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.uri.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Accepts and never answers.
    Silence,
    /// Answers with a status code and a body.
    Json(u16, Value),
    /// A watch: these events, then the end.
    Events(Vec<Value>),
    /// A watch: these events, then nothing, without an end.
    EventsThenSilence(Vec<Value>),
}

impl Reply {
    /// The API server's way to say no.
    pub(crate) fn status(code: u16, reason: &str) -> Self {
        Self::Json(
            code,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": reason, "reason": reason, "code": code}),
        )
    }
}

type Handler = dyn Fn(&Call) -> Reply + Send + Sync;

/// The server.
#[derive(Clone)]
pub(crate) struct Fake {
    handler: Arc<Handler>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    pub(crate) fn new(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            handler: Arc::new(handler),
            calls: Arc::default(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, tower::BoxError>(fake.answer(request).await) }
        });
        Client::new(service, "default")
    }

    pub(crate) fn kit(&self) -> Kit {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Kit::from_client(self.client(), clock)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &Method) -> usize {
        self.calls()
            .iter()
            .filter(|call| call.method == *method)
            .count()
    }

    async fn answer(&self, request: Request<Body>) -> Response<axum::body::Body> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let call = {
            let mut calls = self.calls.lock().unwrap();
            let call = Call {
                number: calls.len(),
                method: parts.method,
                uri: parts.uri.to_string(),
                content_type: content_type
                    .map_or("", |value| value.to_str().unwrap())
                    .to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            calls.push(call.clone());
            call
        };
        match (self.handler)(&call) {
            Reply::Silence => std::future::pending().await,
            Reply::Json(code, value) => Response::builder()
                .status(code)
                .body(axum::body::Body::from(value.to_string()))
                .unwrap(),
            Reply::Events(events) => Response::new(axum::body::Body::from_stream(lines(events))),
            Reply::EventsThenSilence(events) => {
                let body = lines(events).chain(stream::pending());
                Response::new(axum::body::Body::from_stream(body))
            }
        }
    }
}

fn lines(events: Vec<Value>) -> impl futures::Stream<Item = Result<String, Infallible>> + Send {
    stream::iter(events.into_iter().map(|event| Ok(format!("{event}\n"))))
}

/// A point in time for manual clocks: 2027-01-01T00:00:00Z.
pub(crate) fn new_year() -> Timestamp {
    Timestamp::from_second(1_798_761_600).unwrap()
}
