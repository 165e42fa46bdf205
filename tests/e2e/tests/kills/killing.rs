//! When the operator is killed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::time::{Duration, Instant};

use leasehold_e2e::Stage;
use leasehold_testkit::{LONG, eventually};

/// The kills are spread over so long: two rehearsal months of 60 seconds.
const SPREAD: Duration = Duration::from_secs(120);
/// So many kills have an instant of their own.
const ALONE: usize = 15;
/// One in so many of them is followed by another while the operator starts: 20 kills in all.
const FOLLOWED: usize = 3;

/// Random numbers that a seed repeats (xorshift by 13, 7 and 17).
struct Dice(u64);

impl Dice {
    /// From `LEASEHOLD_SEED`, or from the system's randomness; says which, so that a run can be
    /// repeated.
    fn seeded() -> Self {
        let seed = match std::env::var("LEASEHOLD_SEED") {
            Ok(text) => text
                .parse::<u64>()
                .expect("LEASEHOLD_SEED is a whole number"),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        // zero would give zeros for ever
        let seed = seed.max(1);
        let told = format!("kills: LEASEHOLD_SEED={seed} repeats these instants\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        Self(seed)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap()
    }
}

/// What chance decides.
pub struct Chance {
    /// When to kill, counted from the beginning, in order.
    instants: Vec<Duration>,
    /// In which thousandth of a start the next kill follows. The first one follows at once: it alone
    /// certainly finds the operator on its way up, however fast that is.
    parts: Vec<u32>,
    /// How long each pod runs, in seconds.
    pub lifetimes: Vec<u32>,
}

impl Chance {
    /// Throws the dice for a walk with so many pods.
    pub fn throw(pods: usize) -> Self {
        let mut dice = Dice::seeded();
        let spread = u32::try_from(SPREAD.as_millis()).unwrap();
        let mut instants: Vec<Duration> = (0..ALONE)
            .map(|_| Duration::from_millis(dice.below(spread).into()))
            .collect();
        instants.sort();
        let mut parts: Vec<u32> = (0..ALONE).map(|_| dice.below(1_000)).collect();
        parts[0] = 0;
        Self {
            instants,
            parts,
            lifetimes: (0..pods).map(|_| 2 + dice.below(20)).collect(),
        }
    }
}

/// Waits until so much time has passed since the beginning.
pub async fn passed(what: &str, began: Instant, at: Duration) {
    eventually(what, SPREAD + LONG, async || {
        let elapsed = began.elapsed();
        if elapsed >= at {
            Ok(())
        } else {
            Err(format!("{elapsed:?} of {at:?} have passed"))
        }
    })
    .await
    .unwrap();
}

/// How long the operator takes from its start until it is ready.
pub async fn a_start(stage: &Stage) -> Duration {
    let mut operator = stage.operator.lock().await;
    operator.terminate();
    let asked = Instant::now();
    operator.restart().await.unwrap();
    asked.elapsed()
}

/// Kills the operator at every instant and, now and then, on its way up after that. Tells how many
/// kills found it on its way up.
pub async fn kill(stage: &Stage, began: Instant, start: Duration, chance: &Chance) -> usize {
    let mut starting = 0;
    let instants = chance.instants.iter().zip(&chance.parts);
    for (number, (at, part)) in instants.enumerate() {
        passed(&format!("the instant of kill {number}"), began, *at).await;
        starting += usize::from(strike(stage).await);
        if number.is_multiple_of(FOLLOWED) {
            let soon = began.elapsed() + start * *part / 1_000;
            passed("an instant of a start", began, soon).await;
            starting += usize::from(strike(stage).await);
        }
    }
    stage.operator.lock().await.ready().await.unwrap();
    starting
}

/// Kills the operator and starts it again without waiting for it. Tells whether it was on its way up.
async fn strike(stage: &Stage) -> bool {
    let mut operator = stage.operator.lock().await;
    let running = operator.is_running();
    assert!(running, "it ended by itself:\n{}", operator.tail());
    let starting = operator.fetch("/readyz").await.is_err();
    operator.kill();
    operator.respawn().unwrap();
    starting
}
