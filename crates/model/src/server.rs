//! The model behind a client: with a clock, with faults, and with watches that wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use leasehold_kit::{Clock, SystemClock};
use tokio::sync::watch;

use crate::{
    bell::{Bell, Listener},
    call::{Call, Verb},
    chance::Chance,
    faults::{Course, Delivery, Fate, Faults, Moment, up_to},
    kinds::{Kind, Kinds},
    refusal::Refusal,
    reply::Reply,
    store::Store,
};

/// A step of the cluster's controllers is looked for this often when nothing changes: what could not be done may be by
/// now. Everything else that is due follows from a change.
const IDLE: Duration = Duration::from_secs(30);

/// A clock that begins at a given time and runs with the time of the runtime, which a test may pause and advance.
#[derive(Clone, Debug)]
pub struct RuntimeClock {
    start: Timestamp,
    hands: SystemClock,
}

impl RuntimeClock {
    /// Begins at this time. Must be called within a runtime.
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            hands: SystemClock::new(),
        }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.start
            .checked_add(self.hands.monotonic())
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.hands.monotonic()
    }
}

/// One write that a client under faults sent, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What was asked for.
    pub verb: Verb,
    /// `plural.group` of the kind.
    pub resource: String,
    /// Namespace and name, or the namespace alone of what was created.
    pub place: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The code of the answer; 0 when the write never arrived.
    pub code: u16,
}

struct Inner {
    store: Store,
    course: Course,
    /// Lives of the client that are over: clients of these lives are dead.
    deaths: u64,
    written: Vec<Written>,
    /// How far the server's clock was set ahead of the machines' clock; below zero when behind.
    ahead: SignedDuration,
    /// Who is told of changes, by the kind whose objects change.
    listeners: BTreeMap<String, Bell>,
}

impl Inner {
    /// Tells of what has changed since a version: to everybody, if that is not known any more.
    fn tell(&self, version: u64, restores: u64) {
        match self.store.events_after(version) {
            Ok(events) if self.store.restores() == restores => {
                for event in events {
                    if let Some(listeners) = self.listeners.get(&event.key.resource) {
                        listeners.ring();
                    }
                }
            }
            Ok(_) | Err(_) => self.listeners.values().for_each(Bell::ring),
        }
    }
}

/// The model behind a client. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
    deaths: watch::Sender<u64>,
}

/// Whose calls these are.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: String,
    /// The life of the client that faults may end; none for people, whose calls go through.
    pub(crate) life: Option<u64>,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// With an answer.
    Answered(Result<Reply, Refusal>),
    /// The caller is dead and hears nothing.
    Silence,
}

impl Server {
    /// A fresh cluster with the kinds of leasehold.
    pub fn new(clock: Arc<dyn Clock>, faults: Faults) -> Self {
        Self::with_kinds(clock, faults, Kinds::ours())
    }

    /// A fresh cluster with these kinds.
    pub fn with_kinds(clock: Arc<dyn Clock>, faults: Faults, kinds: Kinds) -> Self {
        let store = Store::new(kinds, clock.now());
        let version = store.version();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                store,
                course: Course::new(faults),
                deaths: 0,
                written: Vec::new(),
                ahead: SignedDuration::ZERO,
                listeners: BTreeMap::new(),
            })),
            clock,
            changes: watch::Sender::new(version),
            deaths: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes what is stored, past everything that may go wrong.
    pub fn with_store<T>(&self, act: impl FnOnce(&mut Store, Timestamp) -> T) -> T {
        let now = self.now();
        let mut inner = self.lock();
        let (version, restores) = (inner.store.version(), inner.store.restores());
        let result = act(&mut inner.store, now);
        inner.tell(version, restores);
        let version = inner.store.version();
        drop(inner);
        self.announce(version);
        result
    }

    /// Reads what is stored, past everything that may go wrong.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Store) -> T) -> T {
        at(&self.lock().store)
    }

    /// From now on other faults, or none. What was written so far is counted anew.
    pub fn set_faults(&self, faults: Faults) {
        let mut inner = self.lock();
        inner.course = Course::new(faults);
        let unserved = inner.course.faults.unserved.as_ref();
        if let Some(listeners) = unserved.and_then(|resource| inner.listeners.get(resource)) {
            // its watches end
            listeners.ring();
        }
    }

    /// Whether a kind is served.
    pub(crate) fn serves(&self, kind: &Kind) -> bool {
        self.lock().course.faults.unserved.as_deref() != Some(kind.resource())
    }

    /// Writes that clients under faults have sent since the faults were set.
    pub fn writes(&self) -> u64 {
        self.lock().course.writes()
    }

    /// Every write that clients under faults have sent, in order.
    pub fn written(&self) -> Vec<Written> {
        self.lock().written.clone()
    }

    /// How many of the writes that clients under faults have sent the test holds for.
    pub fn count_written(&self, test: impl Fn(&Written) -> bool) -> usize {
        let inner = self.lock();
        inner.written.iter().filter(|written| test(written)).count()
    }

    /// The clock of the machines on which clients run, and the server's own unless that was set.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Now, by the server's clock, as it dates objects and answers.
    pub(crate) fn now(&self) -> Timestamp {
        let ahead = self.lock().ahead;
        let now = self.clock.now();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Sets the server's clock forward by so much, or back when it is below zero. The clocks of its clients go on as they did.
    pub fn set_clock(&self, by: SignedDuration) {
        let mut inner = self.lock();
        inner.ahead = inner.ahead.saturating_add(by);
    }

    /// How often the client under faults has died.
    pub fn deaths(&self) -> u64 {
        self.lock().deaths
    }

    /// Waits until the client under faults has died so many times.
    pub async fn died(&self, times: u64) {
        let mut deaths = self.deaths.subscribe();
        // the sender lives as long as this server
        drop(deaths.wait_for(|deaths| *deaths >= times).await);
    }

    /// Runs the cluster's own controllers until dropped: whatever is due, after a while, in an order that chance
    /// decides.
    pub async fn keep_house(&self) {
        let mut chance = Chance::new(self.lock().course.faults.seed).branch();
        let mut changes = self.changes.subscribe();
        loop {
            let (chores, longest) = {
                let mut inner = self.lock();
                let chores = inner.store.chores();
                (chores, inner.course.faults.housekeeping_ms)
            };
            if let Some(chore) = chance.pick(&chores) {
                let pause = up_to(&mut chance, longest);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let before = self.look(Store::version);
                let after = self.with_store(|store, now| {
                    store.perform(chore, now);
                    store.version()
                });
                if after != before {
                    continue;
                }
            }
            // nothing to do, or nothing that can be done yet
            drop(tokio::time::timeout(IDLE, changes.changed()).await);
        }
    }

    /// Hears of changes of a kind from now on.
    pub(crate) fn changes_of(&self, kind: &Kind) -> Listener {
        let mut inner = self.lock();
        let listeners = inner.listeners.entry(kind.resource().to_owned());
        listeners.or_default().listen()
    }

    fn announce(&self, version: u64) {
        self.changes.send_if_modified(|known| {
            let is_news = *known != version;
            *known = version;
            is_news
        });
    }

    pub(crate) fn find_kind(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let found = self.lock().store.kinds().find(group, version, plural);
        found.filter(|kind| self.serves(kind))
    }

    /// Everything that is served.
    pub(crate) fn kinds(&self) -> Kinds {
        let inner = self.lock();
        let kinds = inner.store.kinds().clone();
        match &inner.course.faults.unserved {
            Some(resource) => kinds.without(resource),
            None => kinds,
        }
    }

    /// The life that a new client under faults has.
    pub(crate) fn life(&self) -> u64 {
        self.lock().deaths
    }

    /// Whether the caller's life is over.
    pub(crate) fn is_dead(&self, caller: &Caller) -> bool {
        caller.life.is_some_and(|life| life != self.lock().deaths)
    }

    /// Carries a call out, with what goes wrong.
    pub(crate) async fn call(&self, call: &Call, caller: &Caller) -> Ending {
        if caller.life.is_none() {
            return Ending::Answered(self.commit(call));
        }
        if self.is_dead(caller) {
            return Ending::Silence;
        }
        let fate = {
            let mut inner = self.lock();
            let mut fate = inner.course.of_call(call.is_write());
            if inner.course.faults.bars(call) {
                fate.refused = Some(500);
            }
            fate
        };
        if fate.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(fate.delay_ms)).await;
            if self.is_dead(caller) {
                return Ending::Silence;
            }
        }
        let ending = self.under(fate, call);
        if call.is_write() {
            let code = match (&ending, fate.crash) {
                (_, Some(Moment::BeforeCommit)) => 0,
                (Ending::Answered(Ok(answer)), _) => answer.code,
                (Ending::Answered(Err(refusal)), _) => refusal.code,
                (Ending::Silence, _) => 200,
            };
            self.lock().written.push(Written {
                verb: call.verb,
                resource: call.kind.resource().to_owned(),
                place: format!("{}/{}", call.namespace, call.name),
                subresource: call.subresource.clone(),
                code,
            });
        }
        ending
    }

    fn under(&self, fate: Fate, call: &Call) -> Ending {
        match (fate.crash, fate.refused) {
            (Some(Moment::BeforeCommit), _) => {
                self.die();
                Ending::Silence
            }
            (Some(Moment::AfterCommit), _) => {
                drop(self.commit(call));
                self.die();
                Ending::Silence
            }
            (Some(Moment::AfterAnswer), _) => {
                let answer = self.commit(call);
                self.die();
                Ending::Answered(answer)
            }
            (None, Some(code)) => Ending::Answered(Err(Refusal::in_trouble(code))),
            (None, None) => {
                let answer = self.commit(call);
                if fate.unanswered && answer.is_ok() {
                    return Ending::Answered(Err(Refusal::unanswered()));
                }
                Ending::Answered(answer)
            }
        }
    }

    fn commit(&self, call: &Call) -> Result<Reply, Refusal> {
        self.with_store(|store, now| store.reply(call, now))
    }

    /// Ends the life of the client under faults.
    pub fn die(&self) {
        let deaths = {
            let mut inner = self.lock();
            inner.deaths = inner.deaths.saturating_add(1);
            // it dies once: its next life is not meant
            inner.course.faults.crash = None;
            inner.deaths
        };
        self.deaths.send_replace(deaths);
    }

    /// A stream of chance for one watch.
    pub(crate) fn branch(&self) -> Chance {
        self.lock().course.chance.branch()
    }

    pub(crate) fn lateness(&self, chance: &mut Chance) -> Duration {
        Duration::from_millis(self.lock().course.lateness_ms(chance))
    }

    pub(crate) fn delivery(&self, chance: &mut Chance) -> Delivery {
        self.lock().course.of_event(chance)
    }
}
