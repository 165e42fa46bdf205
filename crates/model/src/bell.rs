//! Tells everybody who listens that something has changed, in the order in which they began to wait.
//!
//! `tokio::sync::watch` does the same, but wakes those who wait in an order that it draws by chance: whoever watches the
//! same kind would hear of a change sooner or later than the others, another time the other way round, and no run would
//! repeat itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// How often it rang, and who waits for it to ring again.
#[derive(Debug, Default)]
struct Inner {
    rung: AtomicU64,
    waiting: Notify,
}

impl Inner {
    fn rung(&self) -> u64 {
        self.rung.load(Ordering::SeqCst)
    }
}

/// What rings when something has changed.
#[derive(Debug, Default)]
pub(crate) struct Bell(Arc<Inner>);

impl Bell {
    /// Wakes everybody who listens. Several times before a listener comes round are one.
    pub(crate) fn ring(&self) {
        self.0.rung.fetch_add(1, Ordering::SeqCst);
        self.0.waiting.notify_waiters();
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener {
            heard: self.0.rung(),
            bell: Arc::clone(&self.0),
        }
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub(crate) struct Listener {
    bell: Arc<Inner>,
    /// How often it had rung when it was heard last.
    heard: u64,
}

impl Listener {
    /// Waits until it has rung since it was heard last. A wait that is dropped hears nothing.
    pub(crate) async fn hear(&mut self) {
        loop {
            // waits before it looks, so that nothing falls in between
            let next = self.bell.waiting.notified();
            let rung = self.bell.rung();
            if rung != self.heard {
                self.heard = rung;
                return;
            }
            next.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_first_hears_it_first() {
        let (bell, heard) = (Bell::default(), Arc::new(Mutex::new(Vec::new())));
        let mut waiting = JoinSet::new();
        for number in 0..40 {
            let (mut listener, heard) = (bell.listen(), Arc::clone(&heard));
            waiting.spawn(async move {
                listener.hear().await;
                heard.lock().unwrap().push(number);
            });
        }
        // all of them wait by now
        yield_now().await;
        bell.ring();
        while waiting.join_next().await.is_some() {}
        let heard = heard.lock().unwrap();
        assert_eq!(*heard, (0..40).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_rang_while_nobody_waited_is_heard_once_and_what_rang_before_never() {
        let bell = Bell::default();
        bell.ring();
        let mut listener = bell.listen();
        assert_eq!(listener.hear().now_or_never(), None);
        bell.ring();
        bell.ring();
        assert_eq!(listener.hear().now_or_never(), Some(()));
        assert_eq!(listener.hear().now_or_never(), None);
    }
}
