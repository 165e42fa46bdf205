//! Stories: what people do over days and months, with the operator running, and what comes of it.
//!
//! Time is played; it begins at [`world::START`]. A story ends when it was told, or fails with a reason.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use leasehold_kit::Clock;
use leasehold_ledger::verify::{Row, verify};
use leasehold_model::{Faults, Kinds, RuntimeClock, Server, Store};
use serde_json::{Value, json};
use tokio::{runtime::Builder, time::sleep};

use crate::{
    expect::{APPROVALS, TENANCIES, find, is_book_asked_for, is_furnished, undecided},
    ledger::Ledger,
    operator::Operator,
    people::{self, OFFICE},
    script::Parts,
    world,
};

mod acceptance;
mod apart;
mod clocks;
mod decisions;
mod deleted;
mod domains;
mod drift;
mod expiry;
mod funds;
mod gaps;
mod hierarchy;
mod later;
mod meters;
mod oa;
mod portions;
mod promptly;
mod questions;
mod rebalance;
mod release;
mod release_papers;
mod resized;
mod restore;
mod review;
mod snapshots;
mod storage;
mod suspension;
mod term;

/// Whoever waits looks once a second.
const LOOK: Duration = Duration::from_secs(1);
/// Nothing takes longer than so many looks.
const PATIENCE: u32 = 1800;

/// Within so much time everything is looked at again without a reason (a resync is due every ten minutes).
const ROUND: Duration = Duration::from_secs(700);

/// A clock that can leap: days in which nothing happens need not be played second by second.
struct Leaping {
    hands: RuntimeClock,
    leapt: Mutex<Duration>,
}

impl Leaping {
    fn leapt(&self) -> Duration {
        *self.leapt.lock().unwrap()
    }

    fn leap(&self, time: Duration) {
        *self.leapt.lock().unwrap() += time;
    }
}

impl Clock for Leaping {
    fn now(&self) -> Timestamp {
        self.hands.now().checked_add(self.leapt()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.hands.monotonic() + self.leapt()
    }
}

/// Where a story is played.
pub struct Stage<'a> {
    clock: &'a Leaping,
    /// The model of the API server.
    pub server: &'a Server,
    operator: &'a Operator,
    ledger: &'a Ledger,
}

/// Plays a story, and verifies the ledger that it leaves behind. Meters, periods and hardware do not run: they beat every
/// few seconds, and a story takes months.
pub fn tell(story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), String>) {
    play(Kinds::ours(), Parts::Reconcilers, story);
}

/// The same with meters, periods and hardware, for a story of hours.
pub fn tell_metered(story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), String>) {
    play(Kinds::ours(), Parts::Everything, story);
}

/// [`tell`] with these kinds and these parts of what the program runs.
fn play(kinds: Kinds, parts: Parts, story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), String>) {
    let ledger = Ledger::open();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ended = runtime.block_on(async {
        let start: Timestamp = world::START.parse().unwrap();
        let clock = Arc::new(Leaping {
            hands: RuntimeClock::starting_at(start),
            leapt: Mutex::default(),
        });
        let server = Server::with_kinds(Arc::<Leaping>::clone(&clock), Faults::default(), kinds);
        let operator = Operator::new(&server, parts);
        let stage = Stage {
            clock: &clock,
            server: &server,
            operator: &operator,
            ledger: &ledger,
        };
        tokio::select! {
            biased;
            broke = operator.keep_running(&ledger) => Err(broke),
            () = server.keep_house() => Err("the cluster's own controllers ended".to_owned()),
            ended = Box::pin(story(&stage)) => ended,
        }
    });
    // with it go the operator's tasks
    drop(runtime);
    ended.unwrap();
    let rows = ledger.rows();
    let report = verify(rows.into_iter().map(Ok::<_, String>), None);
    assert_eq!(report.finding, None, "the ledger does not verify");
}

impl Stage<'_> {
    /// The platform, published prices, departments with their offices and systems. The policy is the usual one with this
    /// merged into it.
    pub async fn furnish(&self, policy: &Value, codes: &[&str]) -> Result<(), String> {
        let mut whole = world::policy();
        merge(&mut whole, policy);
        world::make(self.server, &whole, codes)?;
        let met = |holds: &dyn Fn(&Store) -> Result<(), String>| {
            self.server.with_store(|store, _| holds(store)).is_ok()
        };
        self.until("the question about prices", |_| met(&is_book_asked_for))
            .await?;
        world::publish(self.server)?;
        self.until("prices and offices", |_| {
            met(&|store| is_furnished(store, codes))
        })
        .await?;
        world::register(self.server, codes)
    }

    /// Creates an object.
    pub fn create(&self, user: &str, manifest: &Value) -> Result<(), String> {
        people::create(self.server, user, manifest)
    }

    /// Merges a patch into the object of this resource, namespace and name.
    pub fn patch(&self, user: &str, at: [&str; 3], patch: &Value) -> Result<(), String> {
        people::patch(self.server, user, at, patch)
    }

    /// Deletes an object.
    pub fn delete(&self, user: &str, at: [&str; 3]) -> Result<(), String> {
        people::delete(self.server, user, at).map(|_| ())
    }

    /// An object as it is now.
    pub fn find(&self, at: [&str; 3]) -> Option<Value> {
        self.server.with_store(|store, _| find(store, at).cloned())
    }

    /// All objects of a resource.
    pub fn all(&self, resource: &str) -> Vec<Value> {
        self.server.with_store(|store, _| {
            let objects = store.objects();
            objects
                .filter(|(key, _)| key.resource == resource)
                .map(|(_, object)| object.clone())
                .collect()
        })
    }

    /// Waits until it is so.
    pub async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Stage<'_>) -> bool,
    ) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if holds(self) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        let tenancies: Vec<Value> = self.all(TENANCIES);
        let stand: Vec<&Value> = tenancies.iter().map(|found| &found["status"]).collect();
        Err(format!(
            "waited in vain for {what}; the operator could not start: {:?}; tenancies stand so: {}",
            self.operator.unready(),
            json!(stand),
        ))
    }

    /// Lets time go by. Of a long one all but the last minutes, in which everything is looked at, pass at once, as if the
    /// machines had slept.
    pub async fn pass(&self, time: Duration) {
        self.clock.leap(time.saturating_sub(ROUND));
        sleep(time.min(ROUND)).await;
    }

    /// The office says yes, once it is asked.
    pub async fn approve(&self, place: &str, approval: &str) -> Result<(), String> {
        let what = format!("the question {approval} in {place}");
        self.until(&what, |stage| {
            stage
                .server
                .with_store(|store, _| undecided(store, place, approval).is_ok())
        })
        .await?;
        let yes = json!({"spec": {"decision": "Approved", "orderNo": "黄政办〔2027〕12号"}});
        self.patch(OFFICE, [APPROVALS, place, approval], &yes)
    }

    /// The operator, to be started anew.
    pub fn operator(&self) -> &Operator {
        self.operator
    }

    /// What the ledger has.
    pub fn rows(&self) -> Vec<Row> {
        self.ledger.rows()
    }
}

/// Merges a patch into a manifest (RFC 7386).
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}
