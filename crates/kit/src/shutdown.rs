//! Asking everything in the process to stop.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

/// Tells whether the process has been asked to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks whoever holds the paired [`Shutdown`] to stop.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Asks to stop; asking again changes nothing.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// A shutdown that is asked for by hand.
    pub fn manual() -> (Stop, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stop(sender), Self(receiver))
    }

    /// A shutdown that SIGTERM or Ctrl-C asks for. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (stop, shutdown) = Self::manual();
        tokio::spawn(relay(terminate, interrupt, stop));
        Ok(shutdown)
    }

    /// Whether the process has been asked to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the process is asked to stop; for ever, if nobody is left to ask.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        let nobody_left = receiver.wait_for(|requested| *requested).await.is_err();
        if nobody_left {
            std::future::pending::<()>().await;
        }
    }

    /// [`Self::wait`] as a future of its own, in the form that a `Controller` asks for. Must be called within a runtime.
    pub fn signal(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let (mut sender, receiver) = oneshot::channel::<()>();
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                // in the same order every time, so that a simulation can be repeated
                biased;
                () = shutdown.wait() => {}
                () = sender.closed() => {}
            }
        });
        async move {
            // the sender is dropped, never used: an error is the signal
            let _dropped = receiver.await;
        }
    }
}

async fn relay(mut terminate: Signal, mut interrupt: Signal, stop: Stop) {
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to stop by SIGTERM"),
        _ = interrupt.recv() => tracing::info!("asked to stop by Ctrl-C"),
    }
    stop.request();
    // kept, so that whoever waits later still hears of it
    stop.0.closed().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_asked_and_not_before() {
        let (stop, shutdown) = Shutdown::manual();
        let signal = shutdown.signal();
        assert!(
            timeout(Duration::from_secs(60), shutdown.wait())
                .await
                .is_err()
        );
        assert!(!shutdown.is_requested());
        stop.request();
        timeout(Duration::from_secs(1), shutdown.wait())
            .await
            .unwrap();
        timeout(Duration::from_secs(1), signal).await.unwrap();
        assert!(shutdown.is_requested());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_left_to_ask_is_not_a_request() {
        let (stop, shutdown) = Shutdown::manual();
        drop(stop);
        assert!(
            timeout(Duration::from_secs(60), shutdown.wait())
                .await
                .is_err()
        );
        assert!(!shutdown.is_requested());
    }
}
