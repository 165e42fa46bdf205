//! Watches, frame by frame.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use http::HeaderMap;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde::Deserialize;
use tokio::time::sleep;

use super::Shared;
use super::answer::Body;
use super::asked::Asked;
use super::network::{Cut, Partition, Severed};
use super::rule::Action;

/// What was passed on must have left the machine before a connection is cut.
pub(super) const LEAVING: Duration = Duration::from_millis(20);

/// What is to become of the frames of one watch.
pub(super) struct Course {
    /// Whose watch it is.
    pub(super) asked: Asked,
    /// What it suffers.
    pub(super) action: Option<Action>,
    /// The connection of the client.
    pub(super) severed: Severed,
}

/// The frames of a watch on their way from the API server to its client.
struct Frames {
    source: Incoming,
    course: Course,
    shared: Arc<Shared>,
    /// What has come and was not passed on yet.
    buffer: Vec<u8>,
    passed: u32,
    has_ended: bool,
}

/// What becomes of a frame.
enum Fate {
    Passes(Vec<u8>),
    IsLost,
}

/// The only thing that matters in a frame.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// The body of a watch, which suffers what the course says, and partitions of the network.
pub(super) fn body(source: Incoming, course: Course, shared: Arc<Shared>) -> Body {
    let frames = Frames {
        source,
        course,
        shared,
        buffer: Vec::new(),
        passed: 0,
        has_ended: false,
    };
    let frames = stream::unfold(frames, |mut frames| async move {
        let frame = frames.next().await?;
        Some((frame.map(|bytes| Frame::data(Bytes::from(bytes))), frames))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Frames {
    /// The next frame that arrives; none when the watch is over.
    async fn next(&mut self) -> Option<Result<Vec<u8>, Cut>> {
        if self.has_ended {
            return None;
        }
        loop {
            if self.is_cut_here() {
                return Some(Err(self.cut().await));
            }
            let Some(frame) = self.frame() else {
                match self.more().await {
                    Ok(true) => continue,
                    Ok(false) => {
                        self.has_ended = true;
                        let rest = std::mem::take(&mut self.buffer);
                        return (!rest.is_empty()).then_some(Ok(rest));
                    }
                    Err(Cut) => return Some(Err(self.cut().await)),
                }
            };
            match self.fate(frame) {
                Fate::Passes(frame) => {
                    if self.shared.network.now() == Some(Partition::Silent) {
                        self.shared.network.speaks().await;
                    }
                    self.passed = self.passed.saturating_add(1);
                    return Some(Ok(frame));
                }
                Fate::IsLost => {}
            }
        }
    }

    /// The next whole frame of what has come.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let rest = self.buffer.split_off(end.saturating_add(1));
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Waits for more; false when the API server has ended the watch.
    async fn more(&mut self) -> Result<bool, Cut> {
        let network = &self.shared.network;
        let piece = tokio::select! {
            piece = self.source.frame() => piece,
            () = network.refuses() => return Err(Cut),
        };
        match piece {
            None => Ok(false),
            Some(Ok(piece)) => {
                if let Ok(data) = piece.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
                Ok(true)
            }
            Some(Err(_)) => Err(Cut),
        }
    }

    fn is_cut_here(&self) -> bool {
        matches!(self.course.action, Some(Action::CutAfter(count)) if self.passed >= count)
    }

    fn fate(&mut self, frame: Vec<u8>) -> Fate {
        let is_bookmark =
            serde_json::from_slice::<Kind>(&frame).is_ok_and(|Kind { kind }| kind == "BOOKMARK");
        let suffers = |action| self.course.action == Some(action);
        let is_lost = (suffers(Action::DropEvent) && !is_bookmark)
            || (suffers(Action::NoBookmarks) && is_bookmark);
        if !is_lost {
            return Fate::Passes(frame);
        }
        self.tell();
        if self.course.action == Some(Action::DropEvent) {
            // one, and no more
            self.course.action = None;
        }
        Fate::IsLost
    }

    async fn cut(&mut self) -> Cut {
        self.has_ended = true;
        if self.is_cut_here() {
            self.tell();
        }
        sleep(LEAVING).await;
        self.course.severed.now()
    }

    fn tell(&self) {
        if let Some(action) = self.course.action {
            let detail = format!("{action:?} after {} frames", self.passed);
            self.shared
                .journal
                .note(&self.course.asked, action.name(), &detail);
        }
    }
}

/// The headers of a watch that the API server was never asked for.
pub(super) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    headers
}
