//! The ledger of a scenario, which outlives the operator.
//!
//! Time is played: it jumps to the next timer whenever no task has anything to do. SQLite works in a thread of its own,
//! and a task that waits for it has nothing to do; so every call of the store is carried out within one poll
//! (`leasehold_store::Store::drilled`), and what it does takes no time that is played. That makes each call a step that
//! is done or not, too: the operator can die before it, between it and its answer, and after it.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc::channel};

use leasehold_ledger::verify::Row;
use leasehold_model::{Crash, Moment, Server};
use leasehold_store::{APPEND, Edge, Passage, Store};
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

/// Something that may hold of what the ledger has.
type Holds = dyn Fn(&[Row]) -> bool + Send + Sync;

/// Which commits fail, although the operator lives on: those at this edge, while this holds of what the ledger has.
#[derive(Clone)]
struct Late {
    edge: Edge,
    holds: Arc<Holds>,
}

/// Commits, around which of them the operator dies, and which of them fail.
#[derive(Default)]
struct Commits {
    begun: u64,
    crash: Option<Crash>,
    late: Option<Late>,
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

    /// While this holds of what the ledger has, commits fail as if the database had not answered in time: before they are
    /// carried out, or after that.
    pub fn late_while(&self, edge: Edge, holds: impl Fn(&[Row]) -> bool + Send + Sync + 'static) {
        let holds = Arc::new(holds);
        lock(&self.commits).late = Some(Late { edge, holds });
    }

    /// No crash and no failure any more.
    pub fn calm(&self) {
        let mut commits = lock(&self.commits);
        (commits.crash, commits.late) = (None, None);
    }

    /// How many commits the operator has begun.
    pub fn commits(&self) -> u64 {
        lock(&self.commits).begun
    }

    /// The way of the operator's present life to the ledger. Once that life is over, it leads nowhere.
    pub fn of_this_life(&self, server: &Server) -> Store {
        let (server, commits, life) = (server.clone(), Arc::clone(&self.commits), server.deaths());
        let store = self.store.clone();
        let gate = move |operation: &'static str, edge: Edge| {
            if server.deaths() != life {
                Passage::Closed
            } else if operation == APPEND {
                pass(&store, &commits, &server, edge)
            } else {
                Passage::Open
            }
        };
        let runtime = ASIDE.handle().clone();
        self.store.clone().drilled(runtime, Arc::new(gate))
    }

    /// Every row. It takes no time that is played.
    pub fn rows(&self) -> Vec<Row> {
        rows(&self.store)
    }
}

fn rows(store: &Store) -> Vec<Row> {
    let (store, (tell, told)) = (store.clone(), channel());
    ASIDE.spawn(async move { tell.send(store.rows(0, ROWS).await) });
    told.recv().unwrap().unwrap()
}

/// How a commit goes on at this edge. No other call comes in between the two edges of one.
fn pass(store: &Store, commits: &Mutex<Commits>, server: &Server, edge: Edge) -> Passage {
    let late = lock(commits).late.clone();
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
            Passage::Closed
        }
        (Edge::After, Some(Moment::AfterAnswer)) => {
            server.die();
            Passage::Open
        }
        _ if late.is_some_and(|late| late.edge == edge && (late.holds)(&rows(store))) => {
            Passage::Late
        }
        _ => Passage::Open,
    }
}

fn lock(commits: &Mutex<Commits>) -> MutexGuard<'_, Commits> {
    commits.lock().unwrap_or_else(PoisonError::into_inner)
}
