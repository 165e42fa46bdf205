//! The operator as a process: started as the program starts it, and started again whenever it ends, as Kubernetes does.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Namespace;
use leasehold_controllers::{
    Books, Context, Fences, Figures, Leases, Measures, Repairs, Settings, World, approvals,
    hardware,
    meters::{self, Watermarks},
    organisation, period, platform, price_book, storage, tenancy,
};
use leasehold_kit::{Kit, Shutdown};
use leasehold_ledger::time::Second;
use leasehold_model::Server;
use leasehold_store::Store;
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use crate::{ledger::Ledger, script::Parts, world::NAMESPACE};

/// From the end of one life to the beginning of the next.
const DOWN: Duration = Duration::from_secs(3);
/// So little that the lists of these few objects are recorded in portions, too.
const PORTION: usize = 2;
/// So long after it was asked to stop it is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a life ended by itself.
enum End {
    /// It was asked to stop.
    Stopped,
    /// It could not start, for this reason.
    Unready(String),
    /// A part of it ended, or panicked.
    Broke(String),
}

/// The operator.
pub struct Operator {
    server: Server,
    parts: Parts,
    stops: Notify,
    /// Why it could not start, if that happened last.
    unready: Mutex<Option<String>>,
}

impl Operator {
    /// An operator that is not started yet.
    pub fn new(server: &Server, parts: Parts) -> Self {
        Self {
            server: server.clone(),
            parts,
            stops: Notify::new(),
            unready: Mutex::default(),
        }
    }

    /// Asks it to stop; it is started again.
    pub fn stop(&self) {
        self.stops.notify_one();
    }

    /// Why it could not start, if that happened last.
    pub fn unready(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs it, life after life. This ends only when a part of it breaks, and says how.
    pub async fn keep_running(&self, ledger: &Ledger) -> String {
        loop {
            let unready = match self.live(ledger).await {
                End::Broke(why) => return why,
                End::Unready(why) => Some(why),
                End::Stopped => None,
            };
            *self.lock() = unready;
            sleep(DOWN).await;
        }
    }

    /// One life, until it dies, ends, or is asked to stop.
    async fn live(&self, ledger: &Ledger) -> End {
        let life = self.server.deaths();
        let store = ledger.of_this_life(&self.server);
        let (stop, shutdown) = Shutdown::manual();
        let mut process = JoinSet::new();
        process.spawn(run(self.server.kit(), store, self.parts, shutdown));
        let ended = tokio::select! {
            // a dead process does nothing more
            biased;
            () = self.server.died(life + 1) => None,
            ended = process.join_next() => ended,
            () = self.stops.notified() => {
                stop.request();
                timeout(PATIENCE, process.join_next()).await.ok().flatten()
            }
        };
        process.shutdown().await;
        match ended {
            Some(Ok(end)) => end,
            Some(Err(error)) => End::Broke(format!("the operator broke: {error}")),
            None => End::Stopped,
        }
    }
}

/// The program from its start to its end.
async fn run(kit: Kit, store: Store, parts: Parts, shutdown: Shutdown) -> End {
    let mut caches = JoinSet::new();
    let context = match Box::pin(start(&kit, store, &mut caches)).await {
        Ok(context) => context,
        Err(why) => return End::Unready(why),
    };
    let mut tasks = JoinSet::new();
    for work in work(&context, parts, &shutdown) {
        tasks.spawn(work);
    }
    let books = context.books.clone();
    let era = books.cluster().row;
    drop(context);
    tokio::select! {
        // parts that end because they were asked to must not be taken for broken ones
        biased;
        () = shutdown.wait() => {}
        ended = tasks.join_next() => {
            // what it has read is of a life of etcd that is over: it is started anew
            let outlived = matches!(ended, Some(Ok(()))) && books.cluster().row != era;
            return if outlived { End::Stopped } else { broke(ended) };
        }
        ended = caches.join_next() => return broke(ended),
    }
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            return broke(Some(ended));
        }
    }
    End::Stopped
}

fn broke(ended: Option<Result<(), JoinError>>) -> End {
    End::Broke(match ended {
        Some(Err(error)) => format!("a part of the operator broke: {error}"),
        Some(Ok(())) | None => "a part of the operator ended by itself".to_owned(),
    })
}

/// Everything up to the point where reconcilers may work, as `leasehold operator` does it.
async fn start(kit: &Kit, store: Store, caches: &mut JoinSet<()>) -> Result<Context, String> {
    fn told(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    let found = kit.get_meta::<Namespace>(None, "kube-system").await;
    let cluster = found.map_err(told)?.and_then(|meta| meta.uid);
    let cluster = cluster.ok_or("the cluster has no identity")?;
    let now = Second::from_timestamp(kit.server_time().now());
    let books = Books::open(store, &cluster, now).await.map_err(told)?;
    if let Some(policy) = books.policy().await.map_err(told)? {
        // prices that contradict each other are a matter for finance
        drop(books.reload_prices(&policy.time_zone).await);
    }
    let world = World::start(kit, caches).await.map_err(told)?;
    Ok(Context {
        kit: kit.clone(),
        books,
        world: Arc::new(world),
        figures: Figures::default(),
        leases: Leases::default(),
        measures: Measures::register(kit.metrics()),
        repairs: Repairs::default(),
        // the model has no admission policies to look at
        fences: Fences::default(),
        settings: Settings {
            namespace: NAMESPACE.to_owned(),
            holder: "scenario".to_owned(),
            portion: PORTION,
        },
    })
}

/// What the program runs.
fn work(context: &Context, parts: Parts, shutdown: &Shutdown) -> Vec<BoxFuture<'static, ()>> {
    let own = || context.clone();
    let stop = || shutdown.clone();
    let mut work = vec![
        platform::run(own(), stop()).boxed(),
        organisation::run(own(), stop()).boxed(),
        price_book::run(own(), stop()).boxed(),
        tenancy::run(own(), stop()).boxed(),
        approvals::run(own(), stop()).boxed(),
        storage::run(own(), stop()).boxed(),
    ];
    if parts == Parts::Everything {
        let watermarks = Watermarks::default();
        work.push(hardware::run(own(), stop()).boxed());
        work.push(meters::run(own(), watermarks.clone(), stop()).boxed());
        work.push(period::run(own(), watermarks, stop()).boxed());
    }
    work
}
