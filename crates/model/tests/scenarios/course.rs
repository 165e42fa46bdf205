//! One run of a script: undisturbed, through trouble, or with one crash; and what must hold of each.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use leasehold_kit::Clock;
use leasehold_ledger::verify::verify;
use leasehold_model::{Crash, Faults, RuntimeClock, Server, Store, Written};
use leasehold_testkit::ends::{Books, State};
use tokio::runtime::Builder;

use crate::{
    bounds::{self, Bound},
    ledger::Ledger,
    operator::Operator,
    play::Play,
    script::Script,
    state::{self, Lives},
    world,
};

/// Around what the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// A write to the API server.
    Write,
    /// A commit to the ledger.
    Commit,
}

/// What befalls a run.
pub enum Course<'known> {
    /// Nothing.
    Undisturbed,
    /// What the script says. It must end as the undisturbed run did.
    Troubled(&'known Outcome),
    /// One crash, and no other trouble. It must end as the undisturbed run did.
    Crashed(&'known Outcome, Around, Crash),
}

impl Course<'_> {
    /// What goes wrong from the beginning.
    pub fn faults(&self) -> Faults {
        match self {
            Self::Crashed(_, Around::Write, crash) => Faults::default().with_crash(*crash),
            Self::Undisturbed | Self::Troubled(_) | Self::Crashed(_, Around::Commit, _) => {
                Faults::default()
            }
        }
    }

    /// The run that must have ended in the same way.
    pub fn reference(&self) -> Option<&Outcome> {
        match self {
            Self::Undisturbed => None,
            Self::Troubled(known) | Self::Crashed(known, _, _) => Some(known),
        }
    }
}

/// How a run ended.
pub struct Outcome {
    /// What is there.
    pub state: State,
    /// What came and went.
    pub lives: Lives,
    /// What the ledger says.
    pub books: Books,
    /// What the operator wrote.
    pub written: Vec<Written>,
    /// Writes that the operator sent.
    pub writes: u64,
    /// Commits that the operator began.
    pub commits: u64,
    /// How often the operator died.
    pub deaths: u64,
}

/// What a run leaves behind when its runtime ends.
struct Left {
    ended: Result<(), String>,
    cluster: Store,
    bounds: Vec<Bound>,
    by_strangers: BTreeSet<u64>,
    written: Vec<Written>,
    writes: u64,
    deaths: u64,
}

/// Runs a script to its end and checks all that must hold. Not to be called on a runtime.
pub fn perform(script: &Script, course: &Course<'_>) -> Result<Outcome, String> {
    let ledger = Ledger::open();
    if let Course::Crashed(_, Around::Commit, crash) = course {
        ledger.crash_at(*crash);
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let left = runtime.block_on(Box::pin(run(script, course, &ledger)));
    // with it go the operator's tasks
    drop(runtime);
    check(course, &ledger, &left).map_err(|why| match met(course, &left) {
        Some(write) => format!("around {write}: {why}"),
        None => why,
    })
}

async fn run(script: &Script, course: &Course<'_>, ledger: &Ledger) -> Left {
    let start: Timestamp = world::START.parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
    let server = Server::new(clock, course.faults());
    let operator = Operator::new(&server, script.parts);
    let mut play = Play::new(script, course, &server, &operator, ledger);
    let ended = tokio::select! {
        biased;
        broke = operator.keep_running(ledger) => Err(broke),
        () = server.keep_house() => Err("the cluster's own controllers ended".to_owned()),
        ended = Box::pin(play.finish()) => ended,
    };
    Left {
        ended,
        cluster: server.with_store(|store, _| store.clone()),
        bounds: play.bounds,
        by_strangers: play.by_strangers,
        written: server.written(),
        writes: server.writes(),
        deaths: server.deaths(),
    }
}

fn check(course: &Course<'_>, ledger: &Ledger, left: &Left) -> Result<Outcome, String> {
    // what is worse than an end that does not come is told first
    bounds::no_lease_is_exceeded(&left.cluster, &left.bounds)?;
    let rows = ledger.rows();
    bounds::only_what_was_let_go_went(&left.cluster, &rows, &left.by_strangers)?;
    let report = verify(rows.iter().cloned().map(Ok::<_, String>), None);
    if let Some(finding) = report.finding {
        return Err(format!("the ledger does not verify: {finding:?}"));
    }
    left.ended.clone()?;
    let books = state::books(&rows);
    if let Some(known) = course.reference() {
        known.books.difference(&books).map_or(Ok(()), Err)?;
    }
    Ok(Outcome {
        state: state::of(&left.cluster),
        lives: state::lives(&left.cluster),
        books,
        written: left.written.clone(),
        writes: left.writes,
        commits: ledger.commits(),
        deaths: left.deaths,
    })
}

/// The write that a crash was meant for, in words.
fn met(course: &Course<'_>, left: &Left) -> Option<String> {
    match course {
        Course::Crashed(_, Around::Write, crash) => {
            let place = usize::try_from(crash.write).unwrap();
            let write = left.written.get(place).map_or_else(
                || "a write that never came".to_owned(),
                |written| {
                    let Written {
                        verb,
                        resource,
                        place,
                        subresource,
                        ..
                    } = written;
                    format!("{verb:?} of {resource} {place} {subresource}")
                },
            );
            Some(format!(
                "write {} ({write}), {:?}",
                crash.write, crash.moment
            ))
        }
        Course::Crashed(_, Around::Commit, crash) => {
            Some(format!("commit {}, {:?}", crash.write, crash.moment))
        }
        Course::Undisturbed | Course::Troubled(_) => None,
    }
}
