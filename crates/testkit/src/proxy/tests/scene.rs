//! A small API server behind a proxy, and a client before it.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::proxy::upstream::Door;
use crate::proxy::{Action, Armed, Proxy, Rule, Strike, Target, Turn, Upstream, Verb};

/// The operator's way to introduce itself.
pub const OPERATOR: &str = "leasehold/0.1.0";
/// What the watches of the small server say: two events, a bookmark, an event.
pub const FRAMES: [(&str, &str); 4] = [
    ("ADDED", "11"),
    ("ADDED", "12"),
    ("BOOKMARK", "13"),
    ("DELETED", "14"),
];
/// Nothing that is to come takes longer.
const LONG: Duration = Duration::from_secs(20);

/// What the small server was asked, as `METHOD path?query`, with the value of Authorization where there is one.
type Seen = Arc<Mutex<Vec<String>>>;

/// The server, the proxy and the client. They end together.
pub struct Scene {
    /// The proxy.
    pub proxy: Proxy,
    door: Door,
    seen: Seen,
    server: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client's answer: its status and its body, or how the connection ended.
pub type Heard = Result<(u16, String), String>;

impl Scene {
    pub async fn open() -> Self {
        let (seen, folder) = (Seen::default(), tempfile::tempdir().unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let upstream = Upstream {
            server: format!("http://{}", listener.local_addr().unwrap()),
            authority: None,
        };
        let server = tokio::spawn(serve(listener, Arc::clone(&seen)));
        let proxy = Proxy::start(&upstream, 7, folder.path()).await.unwrap();
        let authority = std::fs::read_to_string(&proxy.way().authority).unwrap();
        let door = Door::new(&Upstream {
            server: proxy.way().server.clone(),
            authority: Some(authority),
        });
        Self {
            proxy,
            door: door.unwrap(),
            seen,
            server,
            folder,
        }
    }

    /// Arms what befalls the first request with this verb.
    pub fn first(&self, verb: Verb, action: Action) -> Armed {
        self.proxy.arm(Rule {
            target: Target::of(&[verb], &[]),
            turn: Turn::Nth(1),
            action,
        })
    }

    /// Asks as the operator does, with a token.
    pub async fn ask(&self, method: Method, path: &str) -> Heard {
        self.ask_as(OPERATOR, method, path).await
    }

    /// Asks as another client.
    pub async fn ask_as(&self, client: &'static str, method: Method, path: &str) -> Heard {
        let asking = async {
            let answer = self.open_as(client, method, path).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, String::from_utf8(body.to_vec()).unwrap()))
        };
        timeout(LONG, asking).await.unwrap()
    }

    /// Asks, and leaves the body on its way.
    pub async fn open_as(
        &self,
        client: &'static str,
        method: Method,
        path: &str,
    ) -> Result<Response<Incoming>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(client));
        let token = HeaderValue::from_static("Bearer of-the-operator");
        headers.insert(header::AUTHORIZATION, token);
        let body = match method {
            Method::POST => Bytes::from_static(br#"{"metadata": {"name": "x"}}"#),
            _ => Bytes::new(),
        };
        let uri = path.parse().unwrap();
        let sent = self.door.send(&method, &uri, &headers, body).await;
        sent.map_err(|cut| cut.to_string())
    }

    /// How many requests with this method the server has seen.
    pub fn seen(&self, method: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.starts_with(method)).count()
    }

    /// The last request that the server has seen.
    pub fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    /// The lines of the journal.
    pub fn journal(&self) -> Vec<Value> {
        assert!(self.proxy.journal().starts_with(self.folder.path()));
        let text = std::fs::read_to_string(self.proxy.journal()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The next frame of an open body.
    pub async fn frame(body: &mut Incoming) -> Option<Result<String, String>> {
        let frame = timeout(LONG, body.frame()).await.unwrap()?;
        Some(match frame {
            Ok(frame) => Ok(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// Waits for the word to kill, and does as if it had been done.
pub async fn struck(strikes: &mut tokio::sync::mpsc::UnboundedReceiver<Strike>) {
    let Strike { done } = timeout(LONG, strikes.recv()).await.unwrap().unwrap();
    done.send(()).unwrap();
}

/// A line of a watch.
pub fn frame((kind, version): (&str, &str)) -> String {
    let object = json!({"metadata": {"resourceVersion": version}});
    format!("{}\n", json!({"type": kind, "object": object}))
}

async fn serve(listener: TcpListener, seen: Seen) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&seen), request));
            let io = TokioIo::new(stream);
            let served = http1::Builder::new().serve_connection(io, service);
            served.await.ok();
        });
    }
}

async fn answer(
    seen: Seen,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let sent = body.collect().await.unwrap().to_bytes();
    let token = parts.headers.get(header::AUTHORIZATION);
    let token = token.map_or("", |value| value.to_str().unwrap());
    let line = format!("{} {} {token}", parts.method, parts.uri);
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(line);
        seen.len()
    };
    let is_watch = parts.uri.to_string().contains("watch=true");
    if is_watch {
        let frames = FRAMES.map(|known| {
            let bytes = Bytes::from(frame(known));
            Ok::<_, Infallible>(Frame::data(bytes))
        });
        let frames = stream::iter(frames);
        // watches of secrets stay open
        let body = if parts.uri.path().ends_with("secrets") {
            StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
        } else {
            StreamBody::new(frames).boxed_unsync()
        };
        return Ok(Response::new(body));
    }
    let (status, text) = match parts.method {
        Method::POST => (
            StatusCode::CREATED,
            String::from_utf8_lossy(&sent).into_owned(),
        ),
        // every answer is another one
        _ => (
            StatusCode::OK,
            json!({"kind": "List", "metadata": {"resourceVersion": number.to_string()}})
                .to_string(),
        ),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *answer.status_mut() = status;
    Ok(answer)
}
