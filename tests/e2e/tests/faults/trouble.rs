//! What goes wrong, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold_e2e::Stage;
use leasehold_e2e::bench::Memory;
use leasehold_model::Chance;
use leasehold_testkit::eventually;
use leasehold_testkit::proxy::{
    Action, Armed, Moment, Partition, Plan, Proxy, Rule, Strike, Target, Turn, Verb,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::course::told;
use crate::scale::Scale;

/// A write that the operator is to be killed around comes within this time; else it is killed without one.
const A_WRITE: Duration = Duration::from_secs(10);
/// Longer than people here wait for anything: what is frozen by it must not thaw by itself.
const FOR_EVER: Duration = Duration::from_secs(7_200);
/// The operator is ready again after this time at the latest, whatever it meets on its way up.
const UP: Duration = Duration::from_secs(300);
/// What is to befall every watch befalls it within this time: the API server ends each after 10 or 20 seconds.
const BEFALLEN: Duration = Duration::from_secs(120);
/// How long one fault takes to come, at the most and on average.
const A_FAULT: Duration = Duration::from_secs(4);
/// When everything else is over at the latest, people are at their end as well; each of their waits has a bound of its own.
const WALKED: Duration = Duration::from_secs(7_200);

/// What is done at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// The operator is killed; around a write, where a moment is named.
    Kill(Option<Moment>),
    /// The network is parted.
    Part(Partition, Duration),
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Toll {
    /// Kills.
    pub kills: usize,
    /// Those of them that came exactly around a write.
    pub around_writes: usize,
    /// How often the operator ended by itself, with its last words each time.
    pub ended: Vec<String>,
    /// The most memory that one of its processes took, in KiB.
    pub peak: u64,
}

/// Whoever makes the trouble.
pub struct Trouble<'a> {
    stage: &'static Stage,
    proxy: &'a Proxy,
    strikes: UnboundedReceiver<Strike>,
    scale: Scale,
    toll: Toll,
}

impl<'a> Trouble<'a> {
    /// Nothing has happened yet.
    pub fn new(stage: &'static Stage, proxy: &'a Proxy, scale: Scale) -> Result<Self, String> {
        Ok(Self {
            stage,
            proxy,
            strikes: proxy.strikes().ok_or("somebody else kills")?,
            scale,
            toll: Toll::default(),
        })
    }

    /// Makes trouble until people are at their end and enough has gone wrong.
    pub async fn make(mut self, have_walked: &AtomicBool) -> Result<Toll, String> {
        let rough = Plan::rough(self.scale.seed);
        let mut kills = self.scale.kills;
        if kills > 0 {
            // a start makes good for what is lost
            self.proxy.follow(Some(rough.clone().with_losses()));
        } else {
            self.proxy.follow(Some(rough.clone()));
        }
        let began = Instant::now();
        for (at, deed) in agenda(&self.scale) {
            self.until("an instant", at + UP, || began.elapsed() >= at)
                .await?;
            match deed {
                Deed::Kill(moment) => {
                    self.kill(moment).await?;
                    kills -= 1;
                    if kills == 0 {
                        self.proxy.follow(Some(rough.clone()));
                    }
                }
                Deed::Part(how, length) => self.proxy.partition(how, length).await,
            }
        }
        self.up().await?;
        self.befall().await?;
        self.until("the end of what people do", WALKED, || {
            have_walked.load(Ordering::Relaxed)
        })
        .await?;
        let (proxy, wanted) = (self.proxy, self.scale.faults);
        let what = format!("{wanted} faults, not {}", faults(proxy));
        self.until(&what, A_FAULT * wanted, || faults(proxy) >= wanted)
            .await?;
        proxy.follow(None);
        self.up().await?;
        self.weigh().await;
        Ok(self.toll)
    }

    /// Hangs lists and watches of which no deadline of a call takes care, and takes versions from others, so that whoever
    /// comes afterwards meets an operator that has to get over it by itself.
    async fn befall(&mut self) -> Result<(), String> {
        let hang = Action::Hang(FOR_EVER);
        let table: [(Verb, &str, u32, Action); 6] = [
            // the cache and the controller
            (Verb::Watch, "tenancies", 2, hang),
            (Verb::Watch, "approvals", 1, hang),
            (Verb::Watch, "rolebindings", 1, Action::BlackHole(FOR_EVER)),
            (Verb::Watch, "resourcequotas", 1, Action::GoneHttp),
            // who lists anew then is left hanging
            (Verb::List, "namespaces", 1, hang),
            (Verb::Watch, "namespaces", 1, Action::GoneEvent),
        ];
        let rules: Vec<(Armed, u32)> = table
            .into_iter()
            .map(|(verb, resource, count, action)| {
                let rule = Rule {
                    target: Target::of(&[verb], &[resource]),
                    turn: Turn::First(count),
                    action,
                };
                (self.proxy.arm(rule), count)
            })
            .collect();
        let proxy = self.proxy;
        self.until("the last faults", BEFALLEN, || {
            rules
                .iter()
                .all(|(rule, count)| proxy.fired(*rule) >= *count)
        })
        .await?;
        for (rule, _) in rules {
            proxy.disarm(rule);
        }
        Ok(())
    }

    /// Kills the operator, around a write if there is one soon, and starts it again without waiting for it.
    async fn kill(&mut self, moment: Option<Moment>) -> Result<(), String> {
        let Some(moment) = moment else {
            return self.strike().await;
        };
        // the word of an earlier write that came too late
        while self.strikes.try_recv().is_ok() {}
        let rule = self.proxy.arm(Rule {
            target: Target::but(&Verb::WRITES, &["leases", "events"]),
            turn: Turn::Nth(1),
            action: Action::Kill(moment),
        });
        let word = timeout(A_WRITE, self.strikes.recv()).await;
        self.proxy.disarm(rule);
        self.strike().await?;
        if let Ok(Some(Strike { done })) = word {
            self.toll.around_writes += 1;
            // nobody waits if the connection went with the process
            done.send(()).ok();
        }
        Ok(())
    }

    async fn strike(&mut self) -> Result<(), String> {
        self.weigh().await;
        let mut operator = self.stage.operator.lock().await;
        operator.kill();
        self.toll.kills += 1;
        operator.respawn().map_err(told)
    }

    /// Notes how much memory the operator has taken so far.
    async fn weigh(&mut self) {
        let process = self.stage.operator.lock().await.id();
        let peak = Memory::of(process).map_or(0, |memory| memory.peak);
        self.toll.peak = self.toll.peak.max(peak);
    }

    /// Waits until the operator is ready.
    async fn up(&mut self) -> Result<(), String> {
        let (stage, toll) = (self.stage, &mut self.toll);
        let ready = eventually("a ready operator", UP, async || {
            look_after(stage, toll).await?;
            let operator = stage.operator.lock().await;
            operator.fetch("/readyz").await.map(|_| ())
        });
        ready.await.map_err(told)
    }

    /// Waits until something holds, and starts the operator again whenever it ends by itself, as a cluster would.
    async fn until(
        &mut self,
        what: &str,
        bound: Duration,
        holds: impl Fn() -> bool,
    ) -> Result<(), String> {
        let (stage, toll) = (self.stage, &mut self.toll);
        let waited = eventually(what, bound, async || {
            look_after(stage, toll).await?;
            if holds() {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        });
        waited.await.map_err(told)
    }
}

async fn look_after(stage: &Stage, toll: &mut Toll) -> Result<(), String> {
    let mut operator = stage.operator.lock().await;
    if operator.is_running() {
        return Ok(());
    }
    toll.ended.push(operator.tail());
    operator.respawn().map_err(told)
}

/// Faults so far, those of partitions not counted: they come by the dozen.
pub fn faults(proxy: &Proxy) -> u32 {
    let counts = proxy.counts();
    let single = counts
        .iter()
        .filter(|(name, _)| !name.starts_with("partition"));
    single.map(|(_, count)| count).sum()
}

/// Kills and partitions in the order of time.
fn agenda(scale: &Scale) -> Vec<(Duration, Deed)> {
    let mut chance = Chance::new(scale.seed);
    let spread = u64::try_from(scale.spread().as_millis()).unwrap();
    let moments = [None, Some(Moment::BeforeCommit), Some(Moment::AfterCommit)];
    // not one of them by chance alone, so that each comes about
    let kills = moments
        .into_iter()
        .cycle()
        .take(scale.kills)
        .map(Deed::Kill);
    let parted = [Partition::Silent, Partition::Refusing];
    let parted = parted.into_iter().cycle().take(scale.partitions);
    let mut agenda: Vec<(Duration, Deed)> = kills
        .map(|kill| (Duration::from_millis(chance.below(spread)), kill))
        .collect();
    for how in parted {
        let at = Duration::from_millis(chance.below(spread));
        let length = Duration::from_secs(5 + chance.below(16));
        agenda.push((at, Deed::Part(how, length)));
    }
    agenda.sort_by_key(|(at, _)| *at);
    agenda
}

#[test]
fn the_agenda_follows_from_the_seed_and_has_everything_that_is_asked_for() {
    let scale = |seed| Scale {
        seed,
        tenancies: 1,
        faults: 1,
        kills: 6,
        partitions: 2,
    };
    let found = agenda(&scale(3));
    assert_eq!(found, agenda(&scale(3)));
    assert_ne!(found, agenda(&scale(4)));
    assert!(found.is_sorted_by_key(|(at, _)| *at));
    for moment in [None, Some(Moment::BeforeCommit), Some(Moment::AfterCommit)] {
        let same = found.iter().filter(|(_, deed)| *deed == Deed::Kill(moment));
        assert_eq!(same.count(), 2, "{moment:?}");
    }
    let lengths = found.iter().filter_map(|(_, deed)| match deed {
        Deed::Part(_, length) => Some(length.as_secs()),
        Deed::Kill(_) => None,
    });
    let lengths: Vec<u64> = lengths.collect();
    assert_eq!(lengths.len(), 2);
    assert!(lengths.iter().all(|length| (5..=20).contains(length)));
}
