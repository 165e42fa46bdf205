//! How much there is of everything.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;
use std::time::Duration;

const SEED: &str = "LEASEHOLD_SEED";
const PODS: &str = "LEASEHOLD_PODS";
const KILLS: &str = "LEASEHOLD_KILLS";
const RESTARTS: &str = "LEASEHOLD_RESTARTS";
const CUTS: &str = "LEASEHOLD_CUTS";

/// What goes wrong is spread over so long, of what the pods take together, for each of them.
const PER_POD: Duration = Duration::from_millis(300);
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
        }
    }

    /// Over which time trouble is spread.
    pub fn spread(&self) -> Duration {
        SPREAD.max(PER_POD * self.pods)
    }

    /// The command that does the same again.
    pub fn repeat(&self) -> String {
        let Self {
            seed,
            pods,
            kills,
            restarts,
            cuts,
        } = self;
        format!(
            "{SEED}={seed} {PODS}={pods} {KILLS}={kills} {RESTARTS}={restarts} {CUTS}={cuts} \
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
