//! A flood of spoiled manifests, during which neighbours lease.
//!
//! Each is sent as it is by whoever writes its kind, in the operator's own name where that is the operator. The operator
//! must live through it, answer everything that people write and the API server lets through, and be there for others
//! meanwhile: each of five neighbours has its lease before the flood is over. How long that takes them with the flood and
//! without it is printed; no test judges times.

use std::env;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use leasehold_api::conditions::types;
use leasehold_api::tenancy::Phase;
use leasehold_e2e::{Office, PERIODS, Stage};
use serde_json::Value;

use crate::answers::STUMBLES;
use crate::junk::Source;
use crate::leaves;
use crate::living::{is_answered, name_of, nobody_is, unharmed};
use crate::wire::{Answer, People, Stored, Wire};

/// Manifests in a run with all tests.
const MANIFESTS: u64 = 1_500;
/// The seed of a run with all tests.
const SEED: u64 = 1;
/// Requests under way at a time.
const WORKERS: usize = 16;
/// Manifests sent in one go while the neighbour leases.
const HANDFUL: u64 = 64;
/// What the API server may say to what it does not take.
const REFUSALS: [u16; 8] = [400, 403, 404, 405, 409, 413, 415, 422];
/// Kinds that the operator alone writes, as itself.
const ITS_OWN: [&str; 3] = ["Approval", "BillingPeriod", "Statement"];
/// Departments that lease without the flood, and as many within it.
const NEIGHBOURS: usize = 5;
/// Kinds whose objects say in a condition how they stand.
const TOLD: [&str; 7] = [
    "Cloudlet",
    "Department",
    "HardwareContribution",
    "InformationSystem",
    "NetworkZone",
    "PriceBook",
    "Tenancy",
];

/// A whole number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let read = text.parse();
    Some(read.unwrap_or_else(|_| panic!("{variable}={text} is no whole number")))
}

/// The flood.
struct Flood<'a> {
    wire: Wire<'a>,
    source: Source<'a>,
    /// How many were sent, stored or not.
    sent: AtomicUsize,
    stored: AtomicUsize,
    refused: AtomicUsize,
}

impl Flood<'_> {
    /// Sends the manifests with these numbers, several at a time.
    async fn send(&self, numbers: Range<u64>, stored: Stored) {
        let faults: Vec<String> = stream::iter(numbers)
            .map(|number| self.send_one(number, stored))
            .buffer_unordered(WORKERS)
            .filter_map(|fault| async move { fault })
            .collect()
            .await;
        let shown = &faults[..faults.len().min(15)];
        assert!(
            faults.is_empty(),
            "{} of seed {}:\n{}",
            faults.len(),
            self.source.seed,
            shown.join("\n")
        );
    }

    /// What is wrong with the answer, if anything is.
    async fn send_one(&self, number: u64, stored: Stored) -> Option<String> {
        let junk = self.source.spoiled(number);
        let answer = self.wire.post(&junk.kind, junk.body, stored).await;
        self.sent.fetch_add(1, Ordering::Relaxed);
        let wounds = junk.wounds.join(", ");
        let title = format!("manifest {number}, a {} ({wounds})", junk.kind);
        match answer {
            Ok(Answer::Accepted) => {
                if stored == Stored::Really {
                    self.stored.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
            Ok(Answer::Refused(refusal)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let said: String = refusal.message.chars().take(400).collect();
                let stumbled = STUMBLES
                    .iter()
                    .any(|words| said.contains(words) && !is_beside_the_reason(&said, words));
                (stumbled || !REFUSALS.contains(&refusal.code))
                    .then(|| format!("{title}: {} {said}", refusal.code))
            }
            Err(error) => Some(format!("{title}: {error}")),
        }
    }

    /// Sends the manifests with these numbers, and goes on with others that are not stored until there is enough.
    async fn go_on(&self, numbers: Range<u64>, enough: &AtomicBool) {
        let end = numbers.end;
        let mut next = numbers.start;
        while next < end || !enough.load(Ordering::Relaxed) {
            let stored = if next < end {
                Stored::Really
            } else {
                Stored::Never
            };
            let until = next + HANDFUL;
            let until = if next < end { until.min(end) } else { until };
            self.send(next..until, stored).await;
            next = until;
        }
    }

    /// Waits until everything that was let through says how it stands.
    async fn answered(&self, stage: &Stage) {
        let looking =
            stage.see(
                "an answer to everything that was let through",
                PERIODS,
                async || {
                    let mut silent = Vec::new();
                    for kind in TOLD {
                        let found = self.wire.list(kind).await?;
                        let ours = found.iter().filter(|object| is_ours(object));
                        let unanswered = ours.filter(|object| !is_told(object));
                        silent.extend(unanswered.map(|object| {
                            format!("{kind} {}: {}", name_of(object), object["status"])
                        }));
                    }
                    nobody_is(&silent)
                },
            );
        looking.await.unwrap();
    }
}

/// Whether the API server stumbles over a rule only besides, and says first what is wrong: a value of another type, or
/// a kind that is not that of the address. Of another kind it looks at nothing's type before it evaluates the rules.
fn is_beside_the_reason(said: &str, words: &str) -> bool {
    let is_of_type = said.contains("for the provided schema with type");
    let is_of_another_kind = said.contains("is invalid: [kind: Invalid value: ");
    match words {
        "evaluating rule" => is_of_type || is_of_another_kind,
        "no such key" => is_of_another_kind,
        _ => false,
    }
}

/// Whether the flood brought it; others make objects of these kinds too.
fn is_ours(object: &Value) -> bool {
    name_of(object).starts_with("flood-")
}

/// Whether the status speaks of the object as it stands, and says whether it is ready.
fn is_told(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == types::READY);
    is_answered(object) && ready
}

/// A department leases, from its manifest to the lease that stands; gives how long that took.
async fn leased(office: &Office) -> Duration {
    let lease = [("vcpu-x86", "4"), ("memory", "8Gi")];
    let good = office.manifest("oa", &lease, &[("prod", &lease)]).unwrap();
    let began = Instant::now();
    let leased = office.lease(&good).await.unwrap();
    assert_eq!(leased.status.unwrap().phase, Phase::Active);
    began.elapsed()
}

/// These departments lease, one after the other; gives how long each took, in order of size.
async fn all_leased(offices: &[Office]) -> Vec<Duration> {
    let mut times = Vec::new();
    for office in offices {
        times.push(leased(office).await);
    }
    times.sort_unstable();
    times
}

/// Departments that lease nothing yet.
async fn neighbours(stage: &'static Stage, code: &str, name: &str) -> Vec<Office> {
    let mut offices = Vec::new();
    for number in 0..NEIGHBOURS {
        let office = stage.office(&format!("{code}-{number}"), name).await;
        offices.push(office.unwrap());
    }
    offices
}

/// The figures of a run, for people.
fn tell(flood: &Flood<'_>, without: &[Duration], within: &[Duration]) {
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let median = |times: &[Duration]| times[times.len() / 2].as_millis();
    let told = format!(
        "flood: seed {}, {} manifests sent, {} let through, {} refused; of {NEIGHBOURS} leases each, the median stood after \
         {} ms without it and after {} ms within it\n",
        flood.source.seed,
        count(&flood.sent),
        count(&flood.stored),
        count(&flood.refused),
        median(without),
        median(within),
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// Of what the operator alone writes something was let through, or this proves nothing about it.
async fn its_own_are_there(flood: &Flood<'_>) {
    let mut found = Vec::new();
    for kind in ITS_OWN {
        found.extend(flood.wire.list(kind).await.unwrap());
    }
    assert!(found.iter().any(is_ours), "nothing of {ITS_OWN:?}");
}

#[tokio::test]
async fn a_flood_of_spoiled_manifests_is_answered_and_keeps_nobody_from_a_lease() {
    let stage = Stage::shared().await.unwrap();
    let before = stage.operator.lock().await.id();
    let office = stage.office("flood", "水文站").await.unwrap();
    let calm = neighbours(stage, "calm", "气象站").await;
    let amid = neighbours(stage, "amid", "测绘站").await;
    office.system().await.unwrap();
    let kinds = leaves::kinds();
    let flood = Flood {
        wire: Wire {
            people: People::around(&office).await,
            place: &office.place,
            kinds: &kinds,
        },
        source: Source::new(
            number("LEASEHOLD_SEED").unwrap_or(SEED),
            &kinds,
            &office.place,
        ),
        sent: AtomicUsize::new(0),
        stored: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    };
    let count = number("LEASEHOLD_FLOOD").unwrap_or(MANIFESTS);
    let without = all_leased(&calm).await;
    flood.send(0..count / 2, Stored::Really).await;

    let enough = AtomicBool::new(false);
    let leasing = async {
        let took = all_leased(&amid).await;
        enough.store(true, Ordering::Relaxed);
        took
    };
    let rest = flood.go_on(count / 2..count, &enough);
    let (within, ()) = tokio::join!(leasing, rest);

    flood.answered(stage).await;
    its_own_are_there(&flood).await;
    unharmed(stage, before).await;
    let let_through = flood.stored.load(Ordering::Relaxed);
    assert!(
        let_through > 0,
        "nothing was let through: this proves little"
    );
    tell(&flood, &without, &within);
}
