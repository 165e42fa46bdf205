//! What a billing period's status says.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use leasehold_api::{
    charging::{BillingPeriodStatus, ChainHead, PeriodPhase, TotalsSpec},
    conditions::{self, NewCondition, types},
};
use leasehold_ledger::{
    document::{GapDoc, PeriodCloseDoc, PeriodOpenDoc},
    statement::{Chain, StatementPeriod, Totals},
    time::Second,
};

use super::{
    calendar::Verdict,
    gaps::{self, Accepted},
    timing::refresh_age,
};

/// Type of the condition that use was not observed for a while.
pub const GAPS: &str = "Gaps";
/// Type of the condition that final statements differ from the ledger.
pub const ALTERED: &str = "Altered";

/// How a period ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close as the ledger holds it.
    pub document: PeriodCloseDoc,
    /// Where the chain stood after it.
    pub chain: Chain,
    /// Facts that came later.
    pub uncorrected: u64,
}

/// What a status is made of.
pub struct View<'a> {
    /// The period.
    pub open: &'a PeriodOpenDoc,
    /// Generation of the object.
    pub generation: Option<i64>,
    /// Where it stands while it is not closed.
    pub verdict: &'a Verdict,
    /// How it ended, if it has.
    pub closed: Option<&'a Closed>,
    /// Why it cannot be closed, in words.
    pub trouble: Option<&'a str>,
    /// The gaps in the observation of use that touch it, by time.
    pub gaps: &'a [GapDoc],
    /// Which of them finance has accepted, and what it is asked.
    pub accepted: &'a Accepted,
    /// Departments whose final statement differs from the ledger.
    pub altered: &'a BTreeSet<String>,
    /// Which sources of use do not see all that they should, and why.
    pub blind: Option<&'a str>,
    /// Up to when use and leases are complete.
    pub complete_to: Option<Second>,
    /// Now, by the API server's clock.
    pub now: Second,
}

/// The totals as people read them.
pub fn totals(totals: &Totals) -> TotalsSpec {
    TotalsSpec {
        gross: totals.gross.to_string(),
        offset: totals.offset.to_string(),
        adjustments: totals.adjustments.to_string(),
        net: totals.net.to_string(),
    }
}

/// The status that follows from a view and the status before.
pub fn status(view: &View<'_>, old: Option<&BillingPeriodStatus>) -> BillingPeriodStatus {
    let period = &view.open.period;
    let zone = &period.time_zone;
    let people = StatementPeriod::from(period);
    let phase = match (view.closed, view.verdict) {
        (Some(_), _) => PeriodPhase::Closed,
        (None, Verdict::Running) => PeriodPhase::Open,
        (
            None,
            Verdict::Incomplete | Verdict::WaitsForFinance | Verdict::WaitsFor(_) | Verdict::Due(_),
        ) => PeriodPhase::Closing,
    };
    let mut conditions = old.map(|old| old.conditions.clone()).unwrap_or_default();
    explain(view, &mut conditions);
    doubt(view, &mut conditions);
    let mut new = BillingPeriodStatus {
        observed_generation: view.generation,
        phase,
        from: period.span.from.in_zone(zone),
        through: people.through,
        end: period.span.to.in_zone(zone),
        time_zone: zone.name().to_owned(),
        rehearsal: period.rehearsal(),
        policy: Some(view.open.policy.to_string()),
        complete_to: complete_to(view, old, phase),
        totals: None,
        closed_by: None,
        statements: None,
        uncorrected: None,
        gaps: view.accepted.listed(view.gaps, zone),
        chain: None,
        conditions,
    };
    if let Some(closed) = view.closed {
        new.totals = Some(totals(&closed.document.totals));
        new.closed_by = Some(closed.document.closed_by.clone());
        new.statements = u32::try_from(closed.document.statements.len()).ok();
        new.uncorrected = Some(closed.uncorrected);
        new.chain = Some(chain_head(&closed.chain));
    }
    new
}

/// The chain's head as objects show it.
fn chain_head(chain: &Chain) -> ChainHead {
    ChainHead {
        head: chain.head.to_string(),
        entry: chain.entry,
    }
}

/// A period that is closed is complete to its end. Of others the figure moves all the time: it is shown anew once it is as far
/// from the shown one as drafts are apart, behind it, as after a clock was set back, or at the end of the period.
fn complete_to(
    view: &View<'_>,
    old: Option<&BillingPeriodStatus>,
    phase: PeriodPhase,
) -> Option<String> {
    let period = &view.open.period;
    if view.closed.is_some() {
        return Some(period.span.to.in_zone(&period.time_zone));
    }
    let before = old
        .filter(|old| old.phase == phase)
        .and_then(|old| old.complete_to.clone());
    // what is complete before the period begins says nothing of it
    let complete = view
        .complete_to
        .filter(|complete| *complete > period.span.from)
        .map(|complete| complete.min(period.span.to));
    let Some(complete) = complete else {
        return before;
    };
    let shown: Option<Timestamp> = before.as_ref().and_then(|before| before.parse().ok());
    let moved = shown.map(|shown| complete.since(Second::from_timestamp(shown)));
    let is_slight = moved.is_some_and(|moved| (0..refresh_age(period.kind)).contains(&moved));
    if is_slight && complete != period.span.to {
        return before;
    }
    Some(complete.in_zone(&period.time_zone))
}

type Conditions = Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>;

fn explain(view: &View<'_>, conditions: &mut Conditions) {
    let now = view.now.timestamp();
    let mut say = |type_: &str, holds: bool, reason: &str, message: &str| {
        let new = NewCondition {
            type_,
            holds,
            reason,
            message,
        };
        conditions::set(conditions, &new, view.generation, now);
    };
    let complete = view.closed.is_some()
        || matches!(
            view.verdict,
            Verdict::WaitsForFinance | Verdict::WaitsFor(_) | Verdict::Due(_)
        );
    if complete {
        say(
            types::COMPLETE,
            true,
            "UsageComplete",
            "all use of the period is known",
        );
    } else if *view.verdict == Verdict::Running {
        say(types::COMPLETE, false, "Running", "the period is not over");
    } else {
        say(
            types::COMPLETE,
            false,
            "UsageIncomplete",
            "the period is over; late news of its use is waited for",
        );
    }
    let waits = waits(view);
    if let Some((reason, message)) = &waits {
        say(types::WAITING, true, reason, message);
    }
    if let Some(trouble) = view.trouble {
        say(types::REFUSED, true, "CannotClose", trouble);
    }
    if waits.is_none() {
        conditions::clear(conditions, types::WAITING);
    }
    if view.trouble.is_none() {
        conditions::clear(conditions, types::REFUSED);
    }
}

/// What a person should know before trusting the figures.
fn doubt(view: &View<'_>, conditions: &mut Conditions) {
    let zone = &view.open.period.time_zone;
    let gaps = gaps::sentence(view.gaps, view.accepted, zone, view.closed.is_some());
    let reason = if view.accepted.open(view.gaps).is_empty() {
        "Accepted"
    } else {
        "NotObserved"
    };
    for (type_, reason, message) in [
        (GAPS, reason, gaps),
        (ALTERED, "StatementsDiffer", altered(view)),
        (types::BLIND, "NotSeen", blind(view)),
    ] {
        let (message, now) = (message.unwrap_or_default(), view.now.timestamp());
        conditions::flag(conditions, type_, reason, &message, view.generation, now);
    }
}

/// Which use is not seen at the moment. A period that is closed waits for none.
fn blind(view: &View<'_>) -> Option<String> {
    let why = view.blind.filter(|_| view.closed.is_none())?;
    Some(format!(
        "{why}; what is used meanwhile is caught up with, and no period closes over what is not seen"
    ))
}

/// Which final statements differ from the ledger, and what is done about it.
fn altered(view: &View<'_>) -> Option<String> {
    if view.altered.is_empty() {
        return None;
    }
    let names: Vec<&str> = view.altered.iter().map(String::as_str).collect();
    Some(format!(
        "the final statement objects of {} differ from the ledger, and rule C02 lets nobody change a final statement, not even to mend it; the ledger counts: the platform finds out who wrote them",
        names.join(", ")
    ))
}

fn waits(view: &View<'_>) -> Option<(&'static str, String)> {
    if view.closed.is_some() {
        return None;
    }
    let name = &view.open.period.name;
    let what = if view.accepted.open(view.gaps).is_empty() {
        "the drafts"
    } else {
        "the drafts and the gaps"
    };
    match view.verdict {
        Verdict::WaitsForFinance => Some((
            "WaitsForFinance",
            format!(
                "finance looks through {what} and sets spec.close: true of BillingPeriod {name}"
            ),
        )),
        Verdict::WaitsFor(earlier) => Some((
            "WaitsForEarlier",
            format!("period {earlier} must be closed first"),
        )),
        Verdict::Running | Verdict::Incomplete | Verdict::Due(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::calendar::fixture::*, *};
    use leasehold_ledger::{
        money::Money,
        time::{Period, PeriodKind},
    };
    use std::collections::BTreeMap;

    static NOBODY: BTreeSet<String> = BTreeSet::new();
    static NOTHING: Accepted = Accepted {
        known: BTreeMap::new(),
        asked: BTreeMap::new(),
        namespace: String::new(),
    };

    fn open(kind: PeriodKind) -> PeriodOpenDoc {
        let policy = policy("HS", kind);
        let at = Second::new(SEPTEMBER);
        PeriodOpenDoc {
            period: Period::containing(kind, &policy.time_zone, at).unwrap(),
            policy: policy.digest().unwrap(),
            at,
        }
    }

    fn view<'a>(open: &'a PeriodOpenDoc, verdict: &'a Verdict, now: i64) -> View<'a> {
        View {
            open,
            generation: Some(1),
            verdict,
            closed: None,
            trouble: None,
            gaps: &[],
            accepted: &NOTHING,
            altered: &NOBODY,
            blind: None,
            complete_to: Some(Second::new(now - 10)),
            now: Second::new(now),
        }
    }

    fn reason(status: &BillingPeriodStatus, type_: &str) -> Option<String> {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == type_)
            .map(|c| c.reason.clone())
    }

    #[test]
    fn an_open_period_shows_its_bounds_in_the_offices_time() {
        let open = open(PeriodKind::Month);
        let status = status(&view(&open, &Verdict::Running, SEPTEMBER + 100), None);
        assert_eq!(status.phase, PeriodPhase::Open);
        assert_eq!(status.from, "2026-09-01T00:00:00+08:00");
        assert_eq!(status.through, "2026-09-30");
        assert_eq!(status.end, "2026-10-01T00:00:00+08:00");
        assert_eq!(
            status.complete_to.as_deref(),
            Some("2026-09-01T00:01:30+08:00")
        );
        assert!(!status.rehearsal);
    }

    #[test]
    fn a_quiet_period_is_written_nothing_new_for_an_hour() {
        let open = open(PeriodKind::Month);
        let at = |after: i64| view(&open, &Verdict::Running, SEPTEMBER + after);
        let first = status(&at(100), None);
        assert_eq!(status(&at(100 + 3599), Some(&first)), first);
        let later = status(&at(100 + 3600), Some(&first));
        assert_eq!(
            later.complete_to.as_deref(),
            Some("2026-09-01T01:01:30+08:00")
        );
    }

    #[test]
    fn the_end_of_a_period_is_shown_as_soon_as_it_is_reached() {
        let open = open(PeriodKind::Month);
        let first = status(&view(&open, &Verdict::Incomplete, OCTOBER + 6), None);
        assert_eq!(
            first.complete_to.as_deref(),
            Some("2026-09-30T23:59:56+08:00")
        );
        let done = view(&open, &Verdict::WaitsForFinance, OCTOBER + 20);
        assert_eq!(
            status(&done, Some(&first)).complete_to.as_deref(),
            Some("2026-10-01T00:00:00+08:00")
        );
    }

    #[test]
    fn a_watermark_that_went_back_is_shown_at_once_and_one_that_is_not_known_leaves_the_last() {
        let open = open(PeriodKind::Month);
        let first = status(&view(&open, &Verdict::Running, SEPTEMBER + 5000), None);
        let back = view(&open, &Verdict::Running, SEPTEMBER + 4999);
        assert_eq!(
            status(&back, Some(&first)).complete_to.as_deref(),
            Some("2026-09-01T01:23:09+08:00")
        );
        let unknown = View {
            complete_to: None,
            ..view(&open, &Verdict::Running, SEPTEMBER + 50_000)
        };
        assert_eq!(status(&unknown, Some(&first)), first);
    }

    #[test]
    fn a_period_that_is_over_says_what_it_waits_for() {
        let open = open(PeriodKind::Month);
        let of = |verdict: &Verdict| status(&view(&open, verdict, OCTOBER + 100), None);
        let incomplete = of(&Verdict::Incomplete);
        assert_eq!(incomplete.phase, PeriodPhase::Closing);
        assert_eq!(
            reason(&incomplete, types::COMPLETE).as_deref(),
            Some("UsageIncomplete")
        );
        assert_eq!(reason(&incomplete, types::WAITING), None);
        let finance = of(&Verdict::WaitsForFinance);
        assert_eq!(
            reason(&finance, types::COMPLETE).as_deref(),
            Some("UsageComplete")
        );
        assert_eq!(
            reason(&finance, types::WAITING).as_deref(),
            Some("WaitsForFinance")
        );
        assert_eq!(
            finance.complete_to.as_deref(),
            Some("2026-10-01T00:00:00+08:00")
        );
    }

    #[test]
    fn trouble_is_a_condition_that_goes_away() {
        let open = open(PeriodKind::Month);
        let due = Verdict::Due("finance".to_owned());
        let mut stuck = view(&open, &due, OCTOBER + 100);
        stuck.trouble = Some("rule E01: no price");
        let first = status(&stuck, None);
        assert_eq!(
            reason(&first, types::REFUSED).as_deref(),
            Some("CannotClose")
        );
        stuck.trouble = None;
        assert_eq!(reason(&status(&stuck, Some(&first)), types::REFUSED), None);
    }

    #[test]
    fn gaps_are_a_condition_of_their_own_beside_completeness() {
        let open = open(PeriodKind::Month);
        let missed = [gaps::gap("pods", SEPTEMBER + 60, SEPTEMBER + 90)];
        let mut seen = view(&open, &Verdict::WaitsForFinance, OCTOBER + 100);
        seen.gaps = &missed;
        let first = status(&seen, None);
        assert_eq!(reason(&first, GAPS).as_deref(), Some("NotObserved"));
        assert_eq!(
            reason(&first, types::COMPLETE).as_deref(),
            Some("UsageComplete")
        );
        let message = |type_: &str| {
            let found = first.conditions.iter().find(|c| c.type_ == type_).unwrap();
            found.message.clone()
        };
        assert!(message(GAPS).contains("pods from 2026-09-01T00:01:00+08:00"));
        assert!(message(types::WAITING).contains("the drafts and the gaps"));
        assert_eq!(first.gaps.len(), 1);
        seen.gaps = &[];
        assert_eq!(reason(&status(&seen, Some(&first)), GAPS), None);
    }

    #[test]
    fn use_that_is_not_seen_is_a_condition_of_every_period_that_is_not_closed() {
        let open = open(PeriodKind::Month);
        let mut unseen = view(&open, &Verdict::Running, SEPTEMBER + 100);
        unseen.blind = Some("pods: Pod cannot be watched: Silent");
        let first = status(&unseen, None);
        assert_eq!(reason(&first, types::BLIND).as_deref(), Some("NotSeen"));
        let found = first.conditions.iter().find(|c| c.type_ == types::BLIND);
        let message = &found.unwrap().message;
        assert!(message.starts_with("pods: Pod cannot be watched: Silent; "));
        unseen.blind = None;
        assert_eq!(reason(&status(&unseen, Some(&first)), types::BLIND), None);
    }

    #[test]
    fn statements_that_differ_from_the_ledger_are_a_condition() {
        let open = open(PeriodKind::Month);
        let edited = BTreeSet::from(["gov-office".to_owned(), "health".to_owned()]);
        let mut seen = view(&open, &Verdict::Running, SEPTEMBER + 100);
        seen.altered = &edited;
        let first = status(&seen, None);
        assert_eq!(reason(&first, ALTERED).as_deref(), Some("StatementsDiffer"));
        let found = first.conditions.iter().find(|c| c.type_ == ALTERED);
        assert!(found.unwrap().message.contains("gov-office, health"));
        seen.altered = &NOBODY;
        assert_eq!(reason(&status(&seen, Some(&first)), ALTERED), None);
    }

    #[test]
    fn a_closed_period_shows_totals_and_the_chain_and_does_not_move() {
        let open = open(PeriodKind::Rehearsal { seconds: 60 });
        let digest = open.policy.clone();
        let closed = Closed {
            document: PeriodCloseDoc {
                name: open.period.name.clone(),
                fact_seq: 7,
                closed_by: "rehearsal".to_owned(),
                totals: Totals {
                    gross: Money::from_minor(448_427),
                    offset: Money::from_minor(224_213),
                    adjustments: Money::ZERO,
                    net: Money::from_minor(224_214),
                },
                statements: BTreeMap::from([("gov-office".to_owned(), digest.clone())]),
                gaps: None,
                chain: digest.clone(),
                at: open.period.span.to,
            },
            chain: Chain {
                head: digest.clone(),
                entry: 118,
            },
            uncorrected: 2,
        };
        let running = Verdict::Running;
        let mut shown = view(&open, &running, SEPTEMBER + 100);
        shown.closed = Some(&closed);
        let first = status(&shown, None);
        assert_eq!(first.phase, PeriodPhase::Closed);
        assert_eq!(first.totals.as_ref().unwrap().net, "2242.14");
        assert_eq!((first.statements, first.uncorrected), (Some(1), Some(2)));
        assert_eq!(first.chain.as_ref().unwrap().entry, 118);
        assert_eq!(first.closed_by.as_deref(), Some("rehearsal"));
        assert!(first.rehearsal);
        assert_eq!(
            first.complete_to.as_deref(),
            Some("2026-09-01T00:01:00+08:00")
        );
        shown.now = Second::new(SEPTEMBER + 9000);
        assert_eq!(status(&shown, Some(&first)), first);
    }
}
