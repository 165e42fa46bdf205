//! How long to wait before trying again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A growing pause: doubled after each failure, between two bounds, half of it by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first failure.
    pub min: Duration,
    /// No pause is longer.
    pub max: Duration,
}

impl Backoff {
    /// The pause after `failures` earlier failures: between half of the doubled pause and the whole of it.
    pub fn pause(&self, failures: u32, jitter: &Jitter) -> Duration {
        let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        let whole = self.min.saturating_mul(factor).min(self.max);
        let half = whole / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half.saturating_add(Duration::from_nanos(jitter.draw() % span))
    }
}

/// A source of chance for pauses; not for secrets.
#[derive(Clone, Debug)]
pub struct Jitter(Arc<AtomicU64>);

impl Jitter {
    /// Chance that is the same for the same seed, so that a simulation can be repeated.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next number (`SplitMix64`).
    pub fn draw(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_lies_between_half_and_whole_of_the_doubled_one(seed: u64, failures in 0_u32..100) {
            let backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(10) };
            let pause = backoff.pause(failures, &Jitter::seeded(seed));
            let whole = Duration::from_millis(200 * 2_u64.pow(failures.min(20))).min(Duration::from_secs(10));
            prop_assert!(pause >= whole / 2);
            prop_assert!(pause <= whole);
        }
    }

    #[test]
    fn two_pauses_after_the_same_failures_differ() {
        let jitter = Jitter::seeded(1);
        let backoff = Backoff {
            min: Duration::from_secs(1),
            max: Duration::from_secs(300),
        };
        assert_ne!(backoff.pause(3, &jitter), backoff.pause(3, &jitter));
    }
}
