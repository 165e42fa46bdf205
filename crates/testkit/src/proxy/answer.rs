//! What becomes of one request.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::asked::{Asked, Verb, parameter, scope};
use super::frames::{self, Course, LEAVING};
use super::network::{Cut, Partition, Severed};
use super::rule::{Action, Moment};
use super::upstream::of_the_message;
use super::{Gone, Kept, Shared, Strike};

/// The body of an answer; its error cuts the connection.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// Whoever kills the client has so long for it.
const KILLING: Duration = Duration::from_secs(30);

/// An answer that has come as a whole.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// One request and the connection that it came by.
pub(super) struct Call {
    shared: Arc<Shared>,
    severed: Severed,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    asked: Option<Asked>,
}

/// Answers a request, or cuts its connection.
pub(super) async fn answer(
    shared: Arc<Shared>,
    severed: Severed,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let arrived = body.collect().await.map_err(|_| severed.now())?;
    let body = arrived.to_bytes();
    let asked = Asked::of(&parts.method, &parts.uri, &parts.headers, &body);
    let call = Call {
        shared,
        severed: severed.clone(),
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
        asked,
    };
    call.answer().await.map_err(|Cut| severed.now())
}

impl Call {
    async fn answer(&self) -> Result<Response<Body>, Cut> {
        self.arrive().await?;
        let Some(asked) = &self.asked else {
            return self.whole().await.map(Whole::answer);
        };
        if let Some(gone) = self.still_gone(asked) {
            return Ok(gone);
        }
        match self.shared.choose(asked) {
            None => self.pass(asked, None).await,
            Some(action) => self.suffer(asked, action).await,
        }
    }

    /// The way to the API server, which may be parted.
    async fn arrive(&self) -> Result<(), Cut> {
        let network = &self.shared.network;
        let Some(partition) = network.now() else {
            return Ok(());
        };
        if let Some(asked) = &self.asked {
            self.shared.journal.note(asked, partition.name(), "");
        }
        match partition {
            Partition::Silent => {
                network.speaks().await;
                Ok(())
            }
            Partition::Refusing => Err(Cut),
        }
    }

    async fn suffer(&self, asked: &Asked, action: Action) -> Result<Response<Body>, Cut> {
        if !action.shows_later() {
            let detail = format!("{action:?}");
            self.shared.journal.note(asked, action.name(), &detail);
        }
        match action {
            Action::Delay(length) => {
                sleep(length).await;
                self.pass(asked, None).await
            }
            Action::Hang(length) => {
                sleep(length).await;
                Err(Cut)
            }
            Action::ResetBefore => Err(Cut),
            Action::ForwardThenReset => {
                self.whole().await?;
                Err(Cut)
            }
            Action::ForwardThen504 => {
                self.whole().await?;
                Ok(refusal(504, None))
            }
            Action::Status { code, retry_after } => Ok(refusal(code, retry_after)),
            Action::Truncate => {
                let whole = self.whole().await?;
                Ok(whole.halved(self.severed.clone()))
            }
            Action::GoneEvent => Ok(self.gone(Gone::Event)),
            Action::GoneHttp => Ok(self.gone(Gone::Http)),
            Action::BlackHole(length) => Ok(silent(length, self.severed.clone())),
            Action::CutAfter(_) | Action::DropEvent | Action::NoBookmarks => {
                self.pass(asked, Some(action)).await
            }
            Action::StaleList => self.stale(asked).await,
            Action::Kill(Moment::BeforeCommit) => {
                self.strike().await;
                Err(Cut)
            }
            Action::Kill(Moment::AfterCommit) => {
                self.whole().await?;
                self.strike().await;
                Err(Cut)
            }
        }
    }

    /// Passes the request on, and its answer back: a watch frame by frame, everything else as a whole.
    async fn pass(&self, asked: &Asked, action: Option<Action>) -> Result<Response<Body>, Cut> {
        if asked.verb != Verb::Watch {
            let whole = self.whole().await?;
            if asked.verb == Verb::List && whole.status.is_success() {
                self.remember(&whole);
            }
            return Ok(whole.answer());
        }
        let answer = self.send().await?;
        if !answer.status().is_success() {
            return Whole::of(answer).await.map(Whole::answer);
        }
        let (parts, source) = answer.into_parts();
        let course = Course {
            asked: asked.clone(),
            action,
            severed: self.severed.clone(),
        };
        let body = frames::body(source, course, Arc::clone(&self.shared));
        Ok(put_together(
            parts.status,
            of_the_message(&parts.headers),
            body,
        ))
    }

    async fn whole(&self) -> Result<Whole, Cut> {
        Whole::of(self.send().await?).await
    }

    async fn send(&self) -> Result<Response<Incoming>, Cut> {
        let Self {
            method,
            uri,
            headers,
            ..
        } = self;
        let door = &self.shared.door;
        door.send(method, uri, headers, self.body.clone()).await
    }

    /// The same list as it was answered last.
    async fn stale(&self, asked: &Asked) -> Result<Response<Body>, Cut> {
        let kept = self.shared.kept(&self.uri.to_string());
        let Some(Kept { mut headers, body }) = kept else {
            return self.pass(asked, None).await;
        };
        // who listens to the server's clock must not hear the time of then
        headers.remove(header::DATE);
        let action = Action::StaleList;
        self.shared.journal.note(asked, action.name(), "");
        let status = StatusCode::OK;
        let whole = Whole {
            status,
            headers,
            body,
        };
        Ok(whole.answer())
    }

    /// Remembers how a list was answered; whoever has listed may watch again.
    fn remember(&self, whole: &Whole) {
        let kept = Kept {
            headers: whole.headers.clone(),
            body: whole.body.clone(),
        };
        self.shared
            .listed(self.uri.to_string(), kept, &scope(&self.uri));
    }

    /// From now on the version of this watch is gone, until somebody lists.
    fn gone(&self, how: Gone) -> Response<Body> {
        let version = parameter(&self.uri, "resourceVersion").unwrap_or_default();
        if !["", "0"].contains(&version) {
            self.shared.lose(scope(&self.uri), version.to_owned(), how);
        }
        how.answer(version)
    }

    /// The answer to a watch whose version is gone already.
    fn still_gone(&self, asked: &Asked) -> Option<Response<Body>> {
        if asked.verb != Verb::Watch {
            return None;
        }
        let version = parameter(&self.uri, "resourceVersion")?;
        let how = self.shared.lost(&scope(&self.uri), version)?;
        Some(how.answer(version))
    }

    /// Has the client killed, and waits until it is dead.
    async fn strike(&self) {
        let (done, dead) = oneshot::channel();
        if self.shared.strikes.send(Strike { done }).is_ok() {
            // whoever drops the other end has done what he would
            timeout(KILLING, dead).await.ok();
        }
    }
}

impl Whole {
    async fn of(answer: Response<Incoming>) -> Result<Self, Cut> {
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        Ok(Self {
            status: parts.status,
            headers: of_the_message(&parts.headers),
            body,
        })
    }

    fn answer(self) -> Response<Body> {
        put_together(self.status, self.headers, full(self.body))
    }

    /// The head, the first half of the body, and the end of the connection.
    fn halved(mut self, severed: Severed) -> Response<Body> {
        let half = self.body.slice(..self.body.len() / 2);
        self.headers
            .insert(header::CONTENT_LENGTH, self.body.len().into());
        let half = stream::once(async move { Ok::<Frame<Bytes>, Cut>(Frame::data(half)) });
        let end = stream::once(async move {
            sleep(LEAVING).await;
            Err::<Frame<Bytes>, Cut>(severed.now())
        });
        let body = StreamBody::new(half.chain(end)).boxed_unsync();
        put_together(self.status, self.headers, body)
    }
}

impl Gone {
    /// The API server's way to say that a version is gone.
    fn answer(self, version: &str) -> Response<Body> {
        let message = format!("too old resource version: {version}");
        let gone = status(410, "Expired", &message, None);
        match self {
            Self::Http => told(StatusCode::GONE, HeaderMap::new(), &gone),
            Self::Event => {
                let event = format!("{}\n", json!({"type": "ERROR", "object": gone}));
                put_together(StatusCode::OK, frames::headers(), full(event.into()))
            }
        }
    }
}

/// An open watch that says nothing.
fn silent(length: Duration, severed: Severed) -> Response<Body> {
    let end = stream::once(async move {
        sleep(length).await;
        Err::<Frame<Bytes>, Cut>(severed.now())
    });
    let body = StreamBody::new(end).boxed_unsync();
    put_together(StatusCode::OK, frames::headers(), body)
}

/// The API server's way to say no.
fn refusal(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let reason = match code {
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    let refused = status(code, reason, "the proxy says so", retry_after);
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    told(code, headers, &refused)
}

fn status(code: u16, reason: &str, message: &str, retry_after: Option<u32>) -> Value {
    let details = match retry_after {
        Some(seconds) => json!({"retryAfterSeconds": seconds}),
        None => json!({}),
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    })
}

fn told(code: StatusCode, mut headers: HeaderMap, status: &Value) -> Response<Body> {
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    put_together(code, headers, full(status.to_string().into()))
}

fn full(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn put_together(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}
