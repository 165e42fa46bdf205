//! Running controllers: every reconcile bounded, measured, and backed off per object.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future};
use kube::{
    Resource,
    api::{DynamicObject, ObjectMeta},
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::ObjectRef,
        watcher,
    },
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{backoff::Backoff, client::Kit, events::EventType, read::Readable, shutdown::Shutdown};

/// Reconciles of one controller at the same time. What they send at the same time is bounded by the [`Kit`].
const CONCURRENCY: u16 = 32;
/// Changes that arrive within this time cause one reconcile.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(200);
/// A reconcile that takes longer is given up. Shorter than a pod's grace period at shutdown may be.
const RECONCILE_DEADLINE: Duration = Duration::from_secs(60);
/// Pauses of one object that fails.
const PAUSES: Backoff = Backoff {
    min: Duration::from_secs(1),
    max: Duration::from_secs(300),
};

/// What a reconcile fails with. "Not ready yet" is not an error.
pub trait ReconcileError: StdError + Send + Sync + 'static {
    /// A name for the failure out of a fixed set.
    fn reason(&self) -> &'static str;

    /// Whether only a change of the object can help. It is still looked at now and then.
    fn is_terminal(&self) -> bool;
}

/// How one reconcile failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the object does not fit its definition and waits for a change")]
    Invalid(#[source] Box<InvalidObject>),
    #[error("the reconcile did not end within {0:?}")]
    Deadline(Duration),
    #[error("the reconcile failed: {reason}")]
    Reconcile {
        reason: &'static str,
        is_terminal: bool,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Failed {
    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "InvalidObject",
            Self::Deadline(_) => "Timeout",
            Self::Reconcile { reason, .. } => reason,
        }
    }
}

/// The settings of our controllers.
fn settings() -> controller::Config {
    controller::Config::default()
        .concurrency(CONCURRENCY)
        .debounce(DEBOUNCE)
}

/// Runs a controller until it is asked to stop; reconciles that run are let finish.
///
/// Objects that do not fit their definition are reported once per version and not reconciled. A reconcile that fails is
/// tried again after 1 s, and after up to 5 min when it goes on failing.
pub async fn run_controller<K, F, Fut, E>(
    name: &'static str,
    controller: Controller<DeserializeGuard<K>>,
    kit: Kit,
    shutdown: Shutdown,
    reconcile: F,
) where
    K: Readable,
    F: Fn(Arc<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
    E: ReconcileError,
{
    let running = Arc::new(Running::new(name, kit));
    let reconcile = Arc::new(reconcile);
    let results = controller
        .with_config(settings())
        .graceful_shutdown_on(shutdown.signal())
        .run(
            move |object: Arc<DeserializeGuard<K>>, running: Arc<Running>| {
                let reconcile = Arc::clone(&reconcile);
                aside(async move { running.reconcile(&object, &*reconcile).await })
            },
            |object: Arc<DeserializeGuard<K>>, failed: &Failed, running: Arc<Running>| {
                running.after_failure(&key(object.meta()), failed)
            },
            Arc::clone(&running),
        );
    results
        .for_each(|result| {
            running.settle(result);
            future::ready(())
        })
        .await;
}

/// What one controller remembers.
struct Running {
    name: &'static str,
    kit: Kit,
    /// Failures in a row, by object.
    failures: Mutex<BTreeMap<String, u32>>,
    /// Versions that were reported as not fitting their definition, by object.
    reported: Mutex<BTreeMap<String, Option<String>>>,
}

impl Running {
    fn new(name: &'static str, kit: Kit) -> Self {
        Self {
            name,
            kit,
            failures: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    async fn reconcile<K, F, Fut, E>(
        &self,
        object: &DeserializeGuard<K>,
        reconcile: &F,
    ) -> Result<Action, Failed>
    where
        K: Readable,
        F: Fn(Arc<K>) -> Fut,
        Fut: Future<Output = Result<Action, E>>,
        E: ReconcileError,
    {
        let start = self.kit.clock().monotonic();
        let outcome = match &object.0 {
            Ok(valid) => bounded(reconcile(Arc::new(valid.clone()))).await,
            Err(invalid) => {
                self.report_invalid(object, invalid).await;
                Err(Failed::Invalid(Box::new(invalid.clone())))
            }
        };
        let took = self.kit.clock().monotonic().saturating_sub(start);
        let (result, reason) = match &outcome {
            Ok(_) => ("ok", ""),
            Err(failed) => ("error", failed.reason()),
        };
        self.kit
            .metrics()
            .reconciled(self.name, result, reason, took);
        if outcome.is_ok() {
            self.forget(&key(object.meta()));
        }
        outcome
    }

    /// Says once per version that an object does not fit its definition.
    async fn report_invalid<K: Readable>(
        &self,
        object: &DeserializeGuard<K>,
        invalid: &InvalidObject,
    ) {
        let name = key(object.meta());
        let version = object.meta().resource_version.clone();
        let before = lock(&self.reported).insert(name.clone(), version.clone());
        if before == Some(version) {
            return;
        }
        tracing::warn!(controller = self.name, object = name, error = %invalid, "object does not fit its definition");
        self.kit
            .event(
                object,
                EventType::Warning,
                "InvalidObject",
                "Reconcile",
                &invalid.error,
            )
            .await;
    }

    /// When an object is looked at again after a failure.
    fn after_failure(&self, object: &str, failed: &Failed) -> Action {
        match failed {
            Failed::Invalid(_) => Action::await_change(),
            Failed::Reconcile {
                is_terminal: true, ..
            } => Action::requeue(PAUSES.max),
            Failed::Reconcile {
                is_terminal: false, ..
            }
            | Failed::Deadline(_) => {
                let mut failures = lock(&self.failures);
                let count = failures.entry(object.to_owned()).or_default();
                let pause = PAUSES.pause(*count, self.kit.jitter());
                *count = count.saturating_add(1);
                Action::requeue(pause)
            }
        }
    }

    /// Logs what a controller's stream brings.
    fn settle<K>(
        &self,
        result: Result<(ObjectRef<K>, Action), controller::Error<Failed, watcher::Error>>,
    ) where
        K: Resource<DynamicType = ()>,
    {
        let controller = self.name;
        match result {
            Ok((object, action)) => tracing::debug!(controller, %object, ?action, "reconciled"),
            Err(controller::Error::ObjectNotFound(object)) => {
                self.forget(&reference_key(&object));
                tracing::debug!(controller, %object, "object is gone");
            }
            Err(controller::Error::ReconcilerFailed(failed, object)) => {
                // an object that does not fit has been reported
                if !matches!(failed, Failed::Invalid(_)) {
                    let error: &dyn StdError = &failed;
                    tracing::warn!(controller, %object, reason = failed.reason(), error, "reconcile failed");
                }
            }
            Err(controller::Error::QueueError(failed)) => {
                let error: &dyn StdError = &failed;
                tracing::warn!(controller, error, "watch failed");
            }
            Err(controller::Error::RunnerError(failed)) => {
                let error: &dyn StdError = &failed;
                tracing::warn!(controller, error, "runner failed");
            }
        }
    }

    fn forget(&self, object: &str) {
        lock(&self.failures).remove(object);
        lock(&self.reported).remove(object);
    }
}

/// Runs work in a task of its own. A controller polls all its reconciles in one task, and would use one core for all of
/// them. The work ends with whoever waits for it.
async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut tasks = JoinSet::new();
    // what it logs names the object that the controller works on
    tasks.spawn(work.in_current_span());
    match tasks.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // cancelled: the runtime ends, and nobody waits for an answer
        Some(Err(_)) | None => std::future::pending().await,
    }
}

async fn bounded<E: ReconcileError>(
    reconcile: impl Future<Output = Result<Action, E>>,
) -> Result<Action, Failed> {
    match tokio::time::timeout(RECONCILE_DEADLINE, reconcile).await {
        Ok(Ok(action)) => Ok(action),
        Ok(Err(error)) => Err(Failed::Reconcile {
            reason: error.reason(),
            is_terminal: error.is_terminal(),
            source: Box::new(error),
        }),
        Err(_) => Err(Failed::Deadline(RECONCILE_DEADLINE)),
    }
}

fn key(meta: &ObjectMeta) -> String {
    name_of(
        meta.namespace.as_deref(),
        meta.name.as_deref().unwrap_or_default(),
    )
}

fn reference_key(object: &ObjectRef<DynamicObject>) -> String {
    name_of(object.namespace.as_deref(), &object.name)
}

fn name_of(namespace: Option<&str>, name: &str) -> String {
    format!("{}/{name}", namespace.unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
