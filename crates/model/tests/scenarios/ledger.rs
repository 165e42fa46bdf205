//! The ledger of a scenario, which outlives the operator.
//!
//! Time is played: it jumps to the next timer whenever no task has anything to do. SQLite works in a thread of its own,
//! and a task that waits for it has nothing to do; so every call of the store is carried out within one poll
//! (`leasehold_store::Store::drilled`), and what it does takes no time that is played. That makes each call a step that
//! is done or not, too: the operator can die before it, between it and its answer, and after it.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc::channel};

use leasehold_ledger::verify::Row;
use leasehold_model::{Crash, Moment, Server};
use leasehold_store::{APPEND, Edge, Store};
use tokio::runtime::{Builder, Runtime};

/// Where deadlines of the database run out; its time runs. One for all scenarios, and next to nothing runs on it: a call is
/// polled by its caller and answered by the database's own thread.
static ASIDE: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap()
});
/// More rows than any scenario writes.
const ROWS: u32 = 100_000;

/// Commits, and around which of them the operator dies.
#[derive(Debug, Default)]
struct Commits {
    begun: u64,
    crash: Option<Crash>,
}

/// The ledger of a scenario.
pub struct Ledger {
    store: Store,
    commits: Arc<Mutex<Commits>>,
}

impl Ledger {
    /// An empty ledger in memory. Not to be called on a runtime.
    pub fn open() -> Self {
        Self {
            store: ASIDE.block_on(Store::in_memory()).unwrap(),
            commits: Arc::default(),
        }
    }

    /// The operator dies around a commit, counted from 0 since the beginning.
    pub fn crash_at(&self, crash: Crash) {
        lock(&self.commits).crash = Some(crash);
    }

    /// The operator dies around the commit that comes so many after this moment.
    pub fn crash_soon(&self, crash: Crash) {
        let mut commits = lock(&self.commits);
        commits.crash = Some(Crash {
            write: commits.begun + crash.write,
            ..crash
        });
    }

    /// No crash any more.
    pub fn calm(&self) {
        lock(&self.commits).crash = None;
    }

    /// How many commits the operator has begun.
    pub fn commits(&self) -> u64 {
        lock(&self.commits).begun
    }

    /// The way of the operator's present life to the ledger. Once that life is over, it leads nowhere.
    pub fn of_this_life(&self, server: &Server) -> Store {
        let (server, commits, life) = (server.clone(), Arc::clone(&self.commits), server.deaths());
        let gate = move |operation: &'static str, edge: Edge| {
            server.deaths() == life && (operation != APPEND || pass(&commits, &server, edge))
        };
        let runtime = ASIDE.handle().clone();
        self.store.clone().drilled(runtime, Arc::new(gate))
    }

    /// Every row. It takes no time that is played.
    pub fn rows(&self) -> Vec<Row> {
        let (store, (tell, told)) = (self.store.clone(), channel());
        ASIDE.spawn(async move { tell.send(store.rows(0, ROWS).await) });
        told.recv().unwrap().unwrap()
    }
}

/// Whether a commit goes on at this edge. No other call comes in between the two edges of one.
fn pass(commits: &Mutex<Commits>, server: &Server, edge: Edge) -> bool {
    let moment = {
        let mut commits = lock(commits);
        if edge == Edge::Before {
            commits.begun += 1;
        }
        let number = commits.begun - 1;
        let meant = commits.crash.filter(|crash| crash.write == number);
        meant.map(|crash| crash.moment)
    };
    match (edge, moment) {
        (Edge::Before, Some(Moment::BeforeCommit)) | (Edge::After, Some(Moment::AfterCommit)) => {
            server.die();
            false
        }
        (Edge::After, Some(Moment::AfterAnswer)) => {
            server.die();
            true
        }
        _ => true,
    }
}

fn lock(commits: &Mutex<Commits>) -> MutexGuard<'_, Commits> {
    commits.lock().unwrap_or_else(PoisonError::into_inner)
}
