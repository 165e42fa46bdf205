//! How much goes wrong.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;
use std::time::Duration;

const SEED: &str = "LEASEHOLD_SEED";
const TENANCIES: &str = "LEASEHOLD_TENANCIES";
const FAULTS: &str = "LEASEHOLD_FAULTS";
const KILLS: &str = "LEASEHOLD_KILLS";
const PARTITIONS: &str = "LEASEHOLD_PARTITIONS";

/// Kills and partitions of a run with all tests are spread over so long.
const SPREAD: Duration = Duration::from_secs(60);
/// From one of them to the next, on average, where there are many.
const APART: Duration = Duration::from_secs(10);

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Where all chance comes from.
    pub seed: u64,
    /// Tenancies that go through it all.
    pub tenancies: usize,
    /// Faults at least, those of partitions not counted.
    pub faults: u32,
    /// Kills.
    pub kills: usize,
    /// Partitions.
    pub partitions: usize,
}

impl Scale {
    /// As the environment says, else what a run with all tests has time for.
    pub fn wanted() -> Self {
        Self {
            seed: number(SEED, RandomState::new().build_hasher().finish()),
            tenancies: number(TENANCIES, 6),
            faults: number(FAULTS, 100),
            kills: number(KILLS, 5),
            partitions: number(PARTITIONS, 1),
        }
    }

    /// Over which time kills and partitions are spread.
    pub fn spread(&self) -> Duration {
        let count = u32::try_from(self.kills + self.partitions).unwrap();
        SPREAD.max(APART * count)
    }

    /// The command that does the same again.
    pub fn repeat(&self) -> String {
        let Self {
            seed,
            tenancies,
            faults,
            kills,
            partitions,
        } = self;
        format!(
            "{SEED}={seed} {TENANCIES}={tenancies} {FAULTS}={faults} {KILLS}={kills} {PARTITIONS}={partitions} \
             cargo test --package leasehold-e2e --test faults through_faults"
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

#[test]
fn many_kills_are_spread_over_a_longer_time() {
    let scale = |kills, partitions| Scale {
        seed: 1,
        tenancies: 1,
        faults: 1,
        kills,
        partitions,
    };
    assert_eq!(scale(1, 0).spread(), Duration::from_secs(60));
    assert_eq!(scale(5, 1).spread(), Duration::from_secs(60));
    assert_eq!(scale(50, 10).spread(), Duration::from_secs(600));
}
