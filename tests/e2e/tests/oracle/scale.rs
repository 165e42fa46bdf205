//! How much there is of everything.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;
use std::time::Duration;

const SEED: &str = "LEASEHOLD_SEED";
const PODS: &str = "LEASEHOLD_PODS";
const KILLS: &str = "LEASEHOLD_KILLS";
const RESTARTS: &str = "LEASEHOLD_RESTARTS";
const CUTS: &str = "LEASEHOLD_CUTS";
const RESTORES: &str = "LEASEHOLD_RESTORES";
const JUMPS: &str = "LEASEHOLD_JUMPS";

/// What goes wrong is spread over so long for each pod that one person of each department has: what they take or less.
const PER_POD: Duration = Duration::from_millis(1_500);
/// It is spread over so long at least.
const SPREAD: Duration = Duration::from_secs(30);

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Where all chance comes from.
    pub seed: u64,
    /// Pods.
    pub pods: u32,
    /// How often the operator is killed.
    pub kills: usize,
    /// How often the API server is.
    pub restarts: usize,
    /// How often the watch of pods is cut.
    pub cuts: usize,
    /// How often etcd is put back to what it was some seconds before.
    pub restores: usize,
    /// How often the operator's clock is set.
    pub jumps: usize,
}

impl Scale {
    /// As the environment says, else what a run with all tests has time for.
    pub fn wanted() -> Self {
        Self {
            seed: number(SEED, RandomState::new().build_hasher().finish()),
            pods: number(PODS, 48),
            kills: number(KILLS, 2),
            restarts: number(RESTARTS, 1),
            cuts: number(CUTS, 1),
            restores: number(RESTORES, 1),
            jumps: number(JUMPS, 2),
        }
    }

    /// Over which time trouble is spread.
    pub fn spread(&self) -> Duration {
        SPREAD.max(PER_POD * self.pods / self.people())
    }

    /// People of a department, each with one pod at a time.
    pub fn people(&self) -> u32 {
        if self.pods < 1_000 { 5 } else { 10 }
    }

    /// The command that does the same again.
    pub fn repeat(&self) -> String {
        let Self {
            seed,
            pods,
            kills,
            restarts,
            cuts,
            restores,
            jumps,
        } = self;
        format!(
            "{SEED}={seed} {PODS}={pods} {KILLS}={kills} {RESTARTS}={restarts} {CUTS}={cuts} \
             {RESTORES}={restores} {JUMPS}={jumps} \
             cargo test --package leasehold-e2e --test oracle what_the_operator"
        )
    }
}

fn number<T: FromStr>(variable: &str, usual: T) -> T {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no whole number")),
        Err(_) => usual,
    }
}
