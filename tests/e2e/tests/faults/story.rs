//! The order of it all: undisturbed, through trouble, and one who comes after it; then what must hold.

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use leasehold_e2e::{Stage, leases};
use leasehold_ledger::verify::Row;
use leasehold_testkit::ends::{State, state_difference};
use leasehold_testkit::proxy::Proxy;
use leasehold_testkit::{Failure, LONG, OperatorOptions, OperatorProcess, Rig, eventually};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::after::{self, Calm};
use crate::books;
use crate::course::{Course, told, walk};
use crate::ends;
use crate::lives;
use crate::scale::Scale;
use crate::trouble::{Toll, Trouble, faults};

/// Codes of the departments to whom nothing happens, and of those that go through it; they are as long, and followed by a
/// number.
const CALM: &str = "calm";
const ROUGH: &str = "wild";
/// Departments that do something at a time.
const AT_ONCE: usize = 8;
/// What has not changed for so long is at rest.
const REST: Duration = Duration::from_secs(5);
/// Faults that a failure shows.
const SHOWN: usize = 12;

/// The operator behind a proxy, on a control plane with the platform of the examples.
pub struct Scene {
    stage: &'static Stage,
    proxy: Proxy,
    began: Instant,
}

impl Scene {
    /// Starts everything; nothing goes wrong yet.
    pub async fn open(scale: &Scale) -> Result<Self, Failure> {
        let rig = Rig::shared().await?;
        let folder = rig.scratch("faults")?;
        let proxy = Proxy::start(&rig.upstream(), scale.seed, &folder).await?;
        let options = OperatorOptions::with_ledger(folder.join("ledger.db")).through(proxy.way());
        let began = Instant::now();
        let operator = OperatorProcess::start(rig, options).await?;
        // it ends with this process, as every stage does
        let stage: &'static Stage = Box::leak(Box::new(Stage {
            rig,
            operator: Mutex::new(operator),
        }));
        stage.furnish(&policy()?).await?;
        Ok(Self {
            stage,
            proxy,
            began,
        })
    }

    /// Plays it, and checks all that must hold.
    pub async fn story(&self, scale: &Scale) -> Result<(), String> {
        let stage = self.stage;
        // one more than go through the trouble: whoever comes after it
        let late = scale.tenancies;
        Box::pin(everybody(stage, CALM, 0..late + 1)).await?;
        let before = at_rest(stage).await?;
        let toll = Box::pin(self.trouble(scale)).await?;
        let undisturbed = Instant::now();
        Box::pin(everybody(stage, ROUGH, late..late + 1)).await?;
        let calm = Calm {
            undisturbed,
            left_alone: Instant::now(),
        };
        let settled = after::quiet(stage, calm, self.began.elapsed()).await?;
        self.tell(&toll, &format!("quiet after {settled:?}"));

        let everything = self.ended_alike(scale).await?;
        for number in 0..=late {
            let calm = code(CALM, number);
            let kept = state_difference(&ends::of(&before, &calm), &ends::of(&everything, &calm));
            if let Some(why) = kept {
                return Err(format!(
                    "what stood before the trouble is not as it was: {why}"
                ));
            }
        }
        self.lived_alike(scale)?;
        self.kept_their_leases(scale).await?;
        booked_alike(scale, &books::rows(stage).await?)?;
        self.operator_is_well(&toll).await
    }

    /// The departments that go through it, and the trouble.
    async fn trouble(&self, scale: &Scale) -> Result<Toll, String> {
        let trouble = Trouble::new(self.stage, &self.proxy, *scale)?;
        let have_walked = AtomicBool::new(false);
        let walking = async {
            let walked = Box::pin(everybody(self.stage, ROUGH, 0..scale.tenancies)).await;
            have_walked.store(true, Ordering::Relaxed);
            walked
        };
        let (walked, toll) = tokio::join!(walking, Box::pin(trouble.make(&have_walked)));
        walked?;
        toll
    }

    /// Whether every department that went through the trouble has in the end what its like has. Quotas are counted
    /// after they were written.
    async fn ended_alike(&self, scale: &Scale) -> Result<Vec<Value>, String> {
        let alike = eventually("the same end", LONG, async || {
            let everything = ends::everything(self.stage).await?;
            for (calm, rough) in pairs(scale) {
                let (one, other) = (ends::of(&everything, &calm), ends::of(&everything, &rough));
                is_something(&one, &calm)?;
                if let Some(why) = state_difference(&one, &other) {
                    return Err(format!("{rough} does not end as {calm} did: {why}"));
                }
            }
            Ok(everything)
        });
        alike.await.map_err(told)
    }

    /// Whether its objects were made and removed as often.
    fn lived_alike(&self, scale: &Scale) -> Result<(), String> {
        let writes = self.stage.rig.attempts().map_err(told)?;
        for (calm, rough) in pairs(scale) {
            let (one, other) = (lives::of(&writes, &calm), lives::of(&writes, &rough));
            if one.is_empty() {
                return Err(format!("nothing was made for {calm}"));
            }
            if let Some(why) = lives::difference(&one, &other) {
                return Err(format!(
                    "{rough} did not come to its end as {calm} did: {why}"
                ));
            }
        }
        Ok(())
    }

    /// Whether in no state that ever was in the store a department held more than it had leased.
    async fn kept_their_leases(&self, scale: &Scale) -> Result<(), String> {
        let history = leases::of(self.stage.rig.etcd()).await?;
        for code in pairs(scale)
            .into_iter()
            .flat_map(|(calm, rough)| [calm, rough])
        {
            let found = leases::judge(&history, &code)?;
            if found.raised < 2 || found.lowered == 0 {
                return Err(format!("{code} leased the same throughout: {found:?}"));
            }
        }
        Ok(())
    }

    async fn operator_is_well(&self, toll: &Toll) -> Result<(), String> {
        let operator = self.stage.operator.lock().await;
        let read = |path| fs::read_to_string(path).map_err(|error| error.to_string());
        let log = read(operator.log())?;
        let kubeconfig = read(operator.kubeconfig())?;
        let kubeconfig: Value =
            serde_json::from_str(&kubeconfig).map_err(|error| error.to_string())?;
        let token = kubeconfig.pointer("/users/0/user/token");
        let token = token.and_then(Value::as_str).unwrap_or_default();
        after::log_is_clean(&log, token)?;
        after::memory_is_bounded(toll.peak)
    }

    /// Says how it went.
    fn tell(&self, toll: &Toll, more: &str) {
        let Toll {
            kills,
            around_writes,
            ended,
            peak,
        } = toll;
        let told = format!(
            "faults: {} faults {:?}, {kills} kills, {around_writes} of them around a write; it ended by itself {} times, \
             took {peak} KiB at the most, and was {more}\n",
            faults(&self.proxy),
            self.proxy.counts(),
            ended.len(),
        );
        std::io::stderr().write_all(told.as_bytes()).ok();
    }

    /// What somebody needs who looks for the reason of a failure.
    pub async fn report(&self, scale: &Scale, why: &str) -> String {
        let last = self.proxy.last();
        let shown = last.len().saturating_sub(SHOWN);
        format!(
            "{why}\n\nrepeat it: {}\n\nfaults so far: {:?}\nthe last of them, of all in {}:\n{}\n\n\
             the operator's last lines:\n{}",
            scale.repeat(),
            self.proxy.counts(),
            self.proxy.journal().display(),
            last[shown..].join("\n"),
            self.stage.operator.lock().await.tail(),
        )
    }
}

/// Nothing is due but what people do: no month ends meanwhile, nothing waits for days, and figures come by the hour.
fn policy() -> Result<Value, Failure> {
    let mut policy = Stage::policy()?;
    policy["spec"]["period"] = json!({"kind": "Month"});
    policy["spec"]["decreaseEffective"] = json!("AtOnce");
    policy["spec"]["release"] = json!({"graceSeconds": 0});
    Ok(policy)
}

fn code(kind: &str, number: usize) -> String {
    format!("{kind}{number:03}")
}

/// Each department that nothing happened to, with its like.
fn pairs(scale: &Scale) -> Vec<(String, String)> {
    let numbers = 0..=scale.tenancies;
    numbers
        .map(|number| (code(CALM, number), code(ROUGH, number)))
        .collect()
}

fn is_something(state: &State, code: &str) -> Result<(), String> {
    if state.keys().any(|key| key.starts_with("Tenancy ")) {
        Ok(())
    } else {
        Err(format!("there is no tenancy of {code}"))
    }
}

/// All of these departments do what they do, some at a time.
async fn everybody(stage: &'static Stage, kind: &str, numbers: Range<usize>) -> Result<(), String> {
    let walks = numbers.map(|number| Box::pin(walk(stage, code(kind, number), Course::of(number))));
    let walking = stream::iter(walks).buffer_unordered(AT_ONCE);
    walking.try_collect::<Vec<()>>().await?;
    Ok(())
}

/// Everything that is there, once none of it changes any more.
async fn at_rest(stage: &Stage) -> Result<Vec<Value>, String> {
    let (mut known, mut since) = (Vec::new(), Instant::now());
    let resting = eventually("departments at rest", LONG, async || {
        let found = ends::everything(stage).await?;
        if found != known {
            known = found;
            since = Instant::now();
        }
        if since.elapsed() < REST {
            return Err("something has changed".to_owned());
        }
        Ok(known.clone())
    });
    resting.await.map_err(told)
}

/// Whether the ledger says the same of each pair, and bills each lease once.
fn booked_alike(scale: &Scale, rows: &[Row]) -> Result<(), String> {
    for (calm, rough) in pairs(scale) {
        let (one, other) = (books::of(rows, &calm)?, books::of(rows, &rough)?);
        other
            .are_billed_once()
            .map_err(|why| format!("{rough}: {why}"))?;
        if let Some(why) = one.difference(&other) {
            return Err(format!("{rough} is not booked as {calm}: {why}"));
        }
    }
    Ok(())
}
