//! From killed to converged: what a start takes once there is much to look at.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use leasehold_api::charging::Statement;
use leasehold_testkit::{Failure, LONG, OperatorProcess, User};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::written::Written;
use super::{Load, Memory, Restart, say};
use crate::Stage;

/// Up to when the facts of leases are complete. A process tells 0 until it has looked at every tenancy
/// that was there at its start.
const COMPLETE: &str = "leasehold_lease_complete_timestamp_seconds";
/// Counts reconciles of every controller.
const RECONCILES: &str = "leasehold_reconcile_total";

/// How often the operator is asked how far it is.
const POLL: Duration = Duration::from_millis(250);
/// Reconciles have ended when none has ended for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Reconciles that go on for so long after every tenancy was looked at are no longer waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after the operator has converged its writes still count.
const AFTER: Duration = Duration::from_secs(20);
/// What each department's first draft may take, beside what anything may take.
const DRAFT: Duration = Duration::from_millis(100);

/// Waits until the operator has nothing left to do, kills it, starts it again on the same ledger, and
/// measures until it has converged.
pub(super) async fn restart(
    stage: &Stage,
    load: Load,
    bound: Duration,
    progress: &mut impl Write,
) -> Result<Restart, Failure> {
    say(progress, "waiting until the operator is at rest")?;
    if !are_drafted(stage, load).await? {
        say(progress, "going on, although not every draft is written")?;
    }
    let mut operator = stage.operator.lock().await;
    let before = complete(&operator).await?;
    converged(&mut operator, before, Instant::now(), bound).await?;
    say(progress, "killing the operator and starting it again")?;
    let before = complete(&operator).await?;
    operator.kill();
    // nobody writes for it now
    let written = Written::so_far(stage)?;
    let began = Instant::now();
    operator.respawn()?;
    let elapsed = converged(&mut operator, before, began, bound).await?;
    let memory = Memory::of(operator.id());
    sleep(
        elapsed
            .saturating_add(AFTER)
            .saturating_sub(began.elapsed()),
    )
    .await;
    let writes = Written::so_far(stage)?.since_but_leases(&written);
    Ok(Restart {
        elapsed,
        writes,
        memory,
    })
}

/// Waits for the draft of every department's statement, which no reconcile writes and which a new process
/// would write at once if it were missing. Tells whether all are there.
async fn are_drafted(stage: &Stage, load: Load) -> Result<bool, Failure> {
    let auditor = stage.user(User::Auditor).await?;
    let mut places = BTreeSet::new();
    let watching = auditor.follow::<Statement>(|statement| {
        places.extend(statement.metadata.namespace);
        u32::try_from(places.len()).is_ok_and(|count| count >= load.tenancies)
    });
    let bound = LONG.saturating_add(DRAFT.saturating_mul(load.tenancies));
    match timeout(bound, watching).await {
        Ok(seen) => seen.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Up to when the operator says that the facts of leases are complete.
async fn complete(operator: &OperatorProcess) -> Result<u64, Failure> {
    let page = operator.fetch("/metrics").await.map_err(Failure::Page)?;
    Ok(Look::read(&page).complete)
}

/// How long after `began` the operator had looked at every tenancy and its reconciles had ended. `before` is
/// up to when the facts of leases were complete at an earlier instant.
async fn converged(
    operator: &mut OperatorProcess,
    before: u64,
    began: Instant,
    bound: Duration,
) -> Result<Duration, Failure> {
    let mut polls = interval(POLL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut course = Course::new(before);
    loop {
        polls.tick().await;
        let page = operator.fetch("/metrics").await;
        let at = began.elapsed();
        let last = match page {
            Ok(page) => {
                let look = Look::read(&page);
                if let Some(converged) = course.see(at, look) {
                    return Ok(converged);
                }
                format!("{look:?}, complete to {before} before")
            }
            Err(state) => state,
        };
        if !operator.is_running() {
            return Err(Failure::OperatorEnded(operator.tail()));
        }
        if at >= bound {
            let log = operator.tail();
            return Err(Failure::Late {
                what: "an operator that has looked at every tenancy".to_owned(),
                bound,
                last: format!("{last}\nthe operator's last lines:\n{log}"),
            });
        }
    }
}

/// What one page of metrics tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Up to when the facts of leases are complete, in seconds since 1970; 0 while that is not known.
    complete: u64,
    /// Reconciles that have ended since the process began.
    reconciles: u64,
}

impl Look {
    fn read(page: &str) -> Self {
        Self {
            complete: sum(page, COMPLETE),
            reconciles: sum(page, RECONCILES),
        }
    }
}

/// Adds up the whole numbers of a metric over all its series. Both metrics must come from one page, so that
/// no reconcile ends between the two.
fn sum(page: &str, metric: &str) -> u64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(metric))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// What was seen of the operator so far.
///
/// The facts of leases are complete beyond an earlier instant only if every tenancy was looked at and none
/// holds them back. That is told in rounds, ten seconds apart, so it says that the operator has converged,
/// but not when: that was when the last reconcile ended.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// Up to when the facts of leases were complete before.
    before: u64,
    /// Reconciles that had ended at the last look.
    reconciles: u64,
    /// When their number was first seen.
    last: Duration,
    /// When the facts of leases were first seen complete beyond `before`.
    complete: Option<Duration>,
}

impl Course {
    fn new(before: u64) -> Self {
        Self {
            before,
            reconciles: 0,
            last: Duration::ZERO,
            complete: None,
        }
    }

    /// Takes a look, and tells when the operator had converged once that is certain.
    fn see(&mut self, at: Duration, look: Look) -> Option<Duration> {
        if look.reconciles != self.reconciles {
            self.reconciles = look.reconciles;
            self.last = at;
        }
        if look.complete > self.before {
            self.complete.get_or_insert(at);
        }
        let complete = self.complete?;
        if at.saturating_sub(self.last) >= QUIET {
            return Some(self.last);
        }
        (at.saturating_sub(complete) >= PATIENCE).then_some(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operator told before it was killed.
    const BEFORE: u64 = 1_788_192_000;

    /// Shows these looks, each with its second, and gives every answer.
    fn seen(looks: &[(u64, u64, u64)]) -> Vec<Option<u64>> {
        let mut course = Course::new(BEFORE);
        looks
            .iter()
            .map(|&(second, complete, reconciles)| {
                let look = Look {
                    complete,
                    reconciles,
                };
                let converged = course.see(Duration::from_secs(second), look);
                converged.map(|instant| instant.as_secs())
            })
            .collect()
    }

    #[test]
    fn a_page_tells_how_far_leases_are_and_how_many_reconciles_have_ended() {
        let page = "# HELP leasehold_lease_complete_timestamp_seconds Up to when.\n\
                    # TYPE leasehold_lease_complete_timestamp_seconds gauge\n\
                    leasehold_lease_complete_timestamp_seconds 1788192010\n\
                    leasehold_reconcile_seconds_count{controller=\"tenancy\"} 1000\n\
                    leasehold_reconcile_total{controller=\"department\",reason=\"\",result=\"ok\"} 300\n\
                    leasehold_reconcile_total{controller=\"tenancy\",reason=\"Timeout\",result=\"error\"} 7\n";
        let look = Look {
            complete: 1_788_192_010,
            reconciles: 307,
        };
        assert_eq!(Look::read(page), look);
    }

    #[test]
    fn a_process_that_tells_no_metrics_yet_has_not_begun() {
        assert_eq!(Look::read("leasehold_contested 0\n"), Look::default());
    }

    #[test]
    fn it_had_converged_when_the_last_reconcile_ended_before_leases_were_complete() {
        let looks = [
            (1, 0, 0),
            (2, 0, 200),
            (3, 0, 300),
            (9, 0, 300),
            (10, BEFORE + 20, 300),
        ];
        assert_eq!(seen(&looks), [None, None, None, None, Some(3)]);
    }

    #[test]
    fn a_quiet_operator_has_not_converged_while_leases_are_complete_no_further_than_before() {
        let looks = [(3, 0, 300), (30, 0, 300), (40, BEFORE, 300)];
        assert_eq!(seen(&looks), [None, None, None]);
    }

    #[test]
    fn reconciles_that_go_on_when_leases_are_complete_are_waited_for() {
        let looks = [
            (3, 0, 300),
            (10, BEFORE + 20, 310),
            (11, BEFORE + 20, 320),
            (12, BEFORE + 20, 320),
            (13, BEFORE + 20, 320),
        ];
        assert_eq!(seen(&looks), [None, None, None, None, Some(11)]);
    }

    #[test]
    fn an_operator_that_is_never_quiet_had_converged_when_leases_were_complete() {
        let busy: Vec<(u64, u64, u64)> = (10..=70)
            .map(|second| (second, BEFORE + second, second))
            .collect();
        let answers = seen(&busy);
        assert_eq!(answers[59], None);
        assert_eq!(answers[60], Some(10));
    }
}
