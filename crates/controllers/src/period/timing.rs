//! How often periods are looked at and drafts drawn up.

use std::time::Duration;

use leasehold_ledger::time::PeriodKind;

/// Between two rounds when a month is played in minutes.
pub const TICK_IN_REHEARSAL: Duration = Duration::from_secs(1);
/// Between two rounds.
pub const TICK: Duration = Duration::from_secs(10);
/// Drafts and figures are written anew this seldom, in seconds.
pub const REFRESH: i64 = 3600;
/// What failed is tried again after this many seconds.
pub const RETRY: i64 = 30;

/// How long the drafting after the next one waits: twice as long each time one is missing or there is trouble, up to the
/// hour in which all drafts are drawn up anyway; each reads the whole ledger.
pub fn next_wait(wait: i64, again: bool) -> i64 {
    if again {
        wait.saturating_mul(2).min(REFRESH)
    } else {
        RETRY
    }
}

/// Seconds after which drafts and figures are written anew.
pub fn refresh_age(kind: PeriodKind) -> i64 {
    match kind {
        PeriodKind::Rehearsal { seconds } => REFRESH.min(i64::from(seconds / 4)),
        PeriodKind::Month | PeriodKind::Day => REFRESH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_that_stay_wanting_are_drawn_up_less_and_less_often() {
        let waits: Vec<i64> = (0..9)
            .scan(RETRY, |wait, _| {
                *wait = next_wait(*wait, true);
                Some(*wait)
            })
            .collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(next_wait(3600, false), 30);
    }

    #[test]
    fn drafts_are_refreshed_hourly_and_four_times_in_a_rehearsals_period() {
        assert_eq!(refresh_age(PeriodKind::Month), 3600);
        assert_eq!(refresh_age(PeriodKind::Rehearsal { seconds: 60 }), 15);
        assert_eq!(refresh_age(PeriodKind::Rehearsal { seconds: 86_400 }), 3600);
    }
}
