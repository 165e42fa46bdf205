//! `leasehold operator`: what runs in the cluster, from the first connection to the last write.
//!
//! The order of the start matters: the cluster is known before the ledger takes its facts, the caches are full before a
//! reconciler trusts them, and the admission policies deny before anything is provisioned.

mod health;
mod log;
mod policies;
mod trouble;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Namespace;
use leasehold_controllers::{
    Books, Context, Figures, Leases, Measures, Repairs, Settings, World, approvals, hardware,
    meters::{self, Watermarks},
    organisation, period, platform, price_book, storage, tenancy,
};
use leasehold_kit::{Kit, Shutdown, connect};
use leasehold_ledger::time::Second;
use leasehold_store::{Place, Store, StoreError};
use tokio::task::{JoinError, JoinSet};

use crate::{
    cli::{Common, OperatorArgs},
    operator::health::{Health, Stage},
    session,
};

/// Namespace of the operator, if nobody names one.
const NAMESPACE: &str = "leasehold-system";
/// The namespace whose identifier stands for the cluster.
const KUBE_SYSTEM: &str = "kube-system";
/// Between two attempts to reach an API server that is away.
const AGAIN: Duration = Duration::from_secs(2);
/// What is being done when the operator is asked to stop gets this long, of 20 seconds in all.
const DRAIN: Duration = Duration::from_secs(17);

/// Closing the ledger gets this long.
const CLOSE: Duration = Duration::from_secs(2);

/// A long task, by its name.
type Tasks = JoinSet<&'static str>;

/// Runs the operator until it is asked to stop.
///
/// # Errors
///
/// When it cannot start, or when a part of it ends by itself.
pub async fn run(arguments: &OperatorArgs, common: &Common) -> Result<()> {
    log::start(arguments.log_format, &arguments.log)?;
    let shutdown = Shutdown::on_signals().context("failed to listen for signals")?;
    let kit = connect(session::options(common))
        .await?
        .with_instance(&arguments.holder);
    let health = Health::new(kit.metrics().clone());
    let mut server = health::serve(arguments.listen, health.clone()).await?;
    let settings = Settings {
        namespace: namespace(common),
        holder: arguments.holder.clone(),
        portion: Settings::PORTION,
    };
    tracing::info!(
        namespace = settings.namespace,
        holder = settings.holder,
        "starting"
    );

    let mut caches = JoinSet::new();
    let started = tokio::select! {
        started = Box::pin(start(arguments, settings, &kit, &health, &mut caches)) => Some(started?),
        () = shutdown.wait() => None,
    };
    let Some(context) = started else {
        return Ok(());
    };
    let store = context.books.store().clone();
    health.tell_of(store.troubles());
    let fences = context.fences.clone();
    health.tell_fences(fences.clone());
    let mut telling = trouble::tell(&store.troubles(), &context);
    telling.spawn(policies::tell(
        kit.clone(),
        fences,
        context.measures.clone(),
    ));
    let mut tasks = spawn(&context, &shutdown);
    health.set(Stage::Ready);
    tracing::info!("ready");

    let outcome = tokio::select! {
        // parts that end because they were asked to must not be taken for broken ones
        biased;
        () = shutdown.wait() => Ok(()),
        ended = tasks.join_next() => Err(unexpected(ended)),
        ended = caches.join_next() => Err(unexpected(ended.map(|ended| ended.map(|()| "a cache")))),
        ended = &mut server => Err(unexpected(Some(ended.map(|()| "the health server")))),
        () = store.superseded() => {
            Err(anyhow!(
                "failed to go on: another process has taken over the ledger, or the ledger has lost what was written; the \
                 commit that was refused says which"
            ))
        }
    };
    health.set(Stage::Stopping);
    drop(context);
    if outcome.is_ok() {
        drain(&mut tasks).await;
    }
    drop(telling);
    tasks.abort_all();
    caches.abort_all();
    let closed = tokio::time::timeout(CLOSE, store.close()).await;
    server.abort();
    outcome?;
    if let Ok(closed) = closed {
        closed?;
    } else {
        tracing::warn!("the ledger did not close in time; what was written is safe");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The operator's namespace: the one named, else that of the pod.
fn namespace(common: &Common) -> String {
    let of_pod = || {
        std::env::var("POD_NAMESPACE")
            .ok()
            .filter(|namespace| !namespace.is_empty())
    };
    common
        .namespace
        .clone()
        .or_else(of_pod)
        .unwrap_or_else(|| NAMESPACE.to_owned())
}

/// Everything up to the point where reconcilers may work.
async fn start(
    arguments: &OperatorArgs,
    settings: Settings,
    kit: &Kit,
    health: &Health,
    caches: &mut JoinSet<()>,
) -> Result<Context> {
    health.set(Stage::Starting("the API server has not answered"));
    let cluster = cluster_uid(kit).await?;
    health.set(Stage::Starting("the ledger is being opened"));
    let store = ledger(&arguments.db.place()?, health).await?;
    let now = Second::from_timestamp(kit.server_time().now());
    let books = Books::open(store, &cluster, now).await?;
    if let Some(policy) = books.policy().await?
        && let Err(error) = books.reload_prices(&policy.time_zone).await
    {
        // books that contradict each other are a matter for finance; what needs no price goes on
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "prices cannot be used");
    }
    health.set(Stage::Starting("the cluster is being read"));
    let world = World::start(kit, caches).await?;
    health.set(Stage::Starting("the admission policies do not deny yet"));
    policies::wait(kit, &settings.namespace).await?;
    let fences = policies::look(kit).await;
    Ok(Context {
        kit: kit.clone(),
        books,
        world: Arc::new(world),
        figures: Figures::default(),
        leases: Leases::default(),
        measures: Measures::register(kit.metrics()),
        repairs: Repairs::default(),
        fences,
        settings,
    })
}

/// The ledger, open for writing. A server that is away is waited for, and so is another operator that has the ledger open
/// there: this one then stands by. A file belongs to one pod, and whoever finds it locked has a fault to report.
async fn ledger(place: &Place, health: &Health) -> Result<Store> {
    loop {
        let refused = match Store::open(place).await {
            Ok(store) => {
                tracing::info!(ledger = %place, epoch = store.epoch(), "the ledger is open");
                return Ok(store);
            }
            Err(refused) => refused,
        };
        let locked = matches!(refused, StoreError::Locked { .. });
        let away = matches!(
            refused,
            StoreError::Unreachable { .. } | StoreError::Deadline { .. }
        );
        if place.file().is_some() || !(locked || away) {
            return Err(refused.into());
        }
        let stage = if locked {
            "another operator has the ledger open"
        } else {
            "the ledger's database does not answer"
        };
        health.set(Stage::Starting(stage));
        let error: &dyn std::error::Error = &refused;
        tracing::warn!(error, "{stage}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// The identifier of the cluster. Waits for an API server that is away: after a power cut the operator may be first.
async fn cluster_uid(kit: &Kit) -> Result<String> {
    loop {
        match kit.get_meta::<Namespace>(None, KUBE_SYSTEM).await {
            Ok(Some(meta)) => {
                return meta.uid.with_context(|| {
                    format!("failed to identify the cluster: namespace {KUBE_SYSTEM} has no uid")
                });
            }
            Ok(None) => bail!("failed to identify the cluster: it has no namespace {KUBE_SYSTEM}"),
            Err(error) if error.is_transient() => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the API server is away");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts every controller, the meters and the periods.
fn spawn(context: &Context, shutdown: &Shutdown) -> Tasks {
    let watermarks = Watermarks::default();
    let own = || context.clone();
    let stop = || shutdown.clone();
    let work: [(&'static str, BoxFuture<'static, ()>); 9] = [
        ("platform", platform::run(own(), stop()).boxed()),
        ("organisation", organisation::run(own(), stop()).boxed()),
        ("price books", price_book::run(own(), stop()).boxed()),
        ("hardware", hardware::run(own(), stop()).boxed()),
        ("tenancies", tenancy::run(own(), stop()).boxed()),
        ("approvals", approvals::run(own(), stop()).boxed()),
        ("retained volumes", storage::run(own(), stop()).boxed()),
        (
            "meters",
            meters::run(own(), watermarks.clone(), stop()).boxed(),
        ),
        ("periods", period::run(own(), watermarks, stop()).boxed()),
    ];
    let mut tasks = Tasks::new();
    for (name, work) in work {
        tasks.spawn(async move {
            work.await;
            name
        });
    }
    tasks
}

/// Why a part that should run until the shutdown ended before.
fn unexpected(ended: Option<Result<&'static str, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(name)) => anyhow!("failed to go on: {name} ended by itself; the log says why"),
        Some(Err(error)) => anyhow!(error).context("failed to go on: a part of the operator broke"),
        None => anyhow!("failed to go on: nothing runs"),
    }
}

/// Lets what is being done come to its end. What does not is given up: every write can be repeated.
async fn drain(tasks: &mut Tasks) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "a part of the operator broke");
            }
        }
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("not everything came to its end in time; it will be done again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_that_is_named_wins() {
        let named = Common {
            namespace: Some("cloud".to_owned()),
            ..Common::default()
        };
        assert_eq!(namespace(&named), "cloud");
    }

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_named() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { "meters" });
        let error = unexpected(tasks.join_next().await);
        assert_eq!(
            error.to_string(),
            "failed to go on: meters ended by itself; the log says why"
        );
    }

    #[tokio::test]
    async fn draining_waits_for_what_is_being_done() {
        let mut tasks = Tasks::new();
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            tokio::task::yield_now().await;
            drop(done);
            "meters"
        });
        drain(&mut tasks).await;
        assert!(tasks.is_empty());
        assert!(wait.await.is_err(), "the task ran to its end");
    }
}
