//! The network between the client and the proxy: partitions, and connections that are cut.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

/// How a network that is parted behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Nothing comes through and nothing is refused; what was sent meanwhile arrives in the end.
    Silent,
    /// Connections are cut, and new ones are refused.
    Refusing,
}

impl Partition {
    /// What a request suffers, in the journal.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Silent => "partition-silent",
            Self::Refusing => "partition-refusing",
        }
    }
}

/// Whether the network is parted.
pub(super) struct Network(watch::Sender<Option<Partition>>);

impl Network {
    /// One in order.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// How it is parted now, if it is.
    pub(super) fn now(&self) -> Option<Partition> {
        *self.0.borrow()
    }

    /// Parts it for so long.
    pub(super) async fn part(&self, how: Partition, length: Duration) {
        self.0.send_replace(Some(how));
        sleep(length).await;
        self.0.send_replace(None);
    }

    /// Waits until it is not silent.
    pub(super) async fn speaks(&self) {
        self.until(|now| now != Some(Partition::Silent)).await;
    }

    /// Waits until it refuses.
    pub(super) async fn refuses(&self) {
        self.until(|now| now == Some(Partition::Refusing)).await;
    }

    async fn until(&self, holds: impl Fn(Option<Partition>) -> bool) {
        let mut seen = self.0.subscribe();
        loop {
            let now = *seen.borrow_and_update();
            // the sender lives as long as this borrow of it, so that waiting cannot fail
            if holds(now) || seen.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The connection is cut: there is no answer, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is cut")]
pub(super) struct Cut;

/// Whether a connection is to end as one does whose peer has died.
#[derive(Clone, Default)]
pub(super) struct Severed(Arc<AtomicBool>);

impl Severed {
    /// It is.
    pub(super) fn now(&self) -> Cut {
        self.0.store(true, Ordering::Relaxed);
        Cut
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection of a client. When it is severed it says goodbye on no level: TCP resets it.
pub(super) struct Line {
    stream: TcpStream,
    severed: Severed,
}

impl Line {
    pub(super) fn new(stream: TcpStream, severed: Severed) -> Self {
        // small frames of a watch must not wait for each other
        stream.set_nodelay(true).ok();
        Self { stream, severed }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.severed.is() {
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
