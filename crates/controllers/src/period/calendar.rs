//! Which periods there are, which policy governs each, and when one may be closed.

use std::collections::BTreeMap;

use leasehold_ledger::{
    canonical::{CanonicalError, Digest},
    document::{PeriodCloseDoc, PeriodOpenDoc, PolicyDoc},
    policy::Policy,
    time::{Period, Second, TimeError},
};
use leasehold_store::Recorded;

/// Periods that are opened at once after an outage; the rest follow in the next round.
const AT_ONCE: usize = 200;
/// Seconds of a day, for the days after which a period closes by itself.
const DAY: i64 = 86_400;
/// Periods whose objects are kept in the cluster. The ledger keeps all.
pub const KEPT: usize = 24;

/// The periods that the ledger knows.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// Every period that was opened, by time.
    pub opened: Vec<PeriodOpenDoc>,
    /// The closes, by name of the period.
    pub closed: BTreeMap<String, Recorded<PeriodCloseDoc>>,
}

impl Calendar {
    /// Periods that are not closed, by time.
    pub fn unclosed(&self) -> impl Iterator<Item = &PeriodOpenDoc> {
        self.opened
            .iter()
            .filter(|open| !self.closed.contains_key(&open.period.name))
    }

    /// Periods whose objects are kept in the cluster: the newest, and whatever is not closed yet.
    pub fn kept(&self) -> impl Iterator<Item = &PeriodOpenDoc> {
        let old = self.opened.len().saturating_sub(KEPT);
        self.opened
            .iter()
            .enumerate()
            .filter(move |(n, open)| *n >= old || !self.closed.contains_key(&open.period.name))
            .map(|(_, open)| open)
    }

    /// The period that contains an instant.
    pub fn running(&self, at: Second) -> Option<&PeriodOpenDoc> {
        self.opened
            .iter()
            .rev()
            .find(|open| open.period.span.contains(at))
    }
}

/// The periods to open now, in order: all that begin up to `now` after the last one, or the one that contains `now`
/// when there is none yet.
pub fn missing(
    last: Option<&Period>,
    policy: &Policy,
    now: Second,
) -> Result<Vec<Period>, TimeError> {
    let mut missing = Vec::new();
    let mut next = match last {
        Some(last) => last.next()?,
        None => Period::containing(policy.period, &policy.time_zone, now)?,
    };
    while next.span.from <= now && missing.len() < AT_ONCE {
        let after = next.next()?;
        missing.push(next);
        next = after;
    }
    Ok(missing)
}

/// The policy that governs a period: the one in force at its first instant, which is the last one recorded by then.
/// Without any that was known by then, the first that was known at all counts.
pub fn governing(documents: &[PolicyDoc], from: Second) -> Option<&Policy> {
    documents
        .iter()
        .rev()
        .find(|document| document.seen_at <= from)
        .or_else(|| documents.first())
        .map(|document| &document.policy)
}

/// The policy with this digest.
pub fn policy_of<'a>(
    documents: &'a [PolicyDoc],
    digest: &Digest,
) -> Result<Option<&'a Policy>, CanonicalError> {
    for document in documents {
        if document.policy.digest()? == *digest {
            return Ok(Some(&document.policy));
        }
    }
    Ok(None)
}

/// Where a period that is not closed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not over.
    Running,
    /// It is over, but not all of its use is known.
    Incomplete,
    /// Its use is complete; finance has not said that it shall close.
    WaitsForFinance,
    /// An earlier period must close first.
    WaitsFor(String),
    /// It may be closed, on whose word.
    Due(String),
}

/// Up to when everything is known that a close counts: use and leases. None while one of them is not known.
pub fn complete(used: Option<Second>, leased: Option<Second>) -> Option<Second> {
    Some(used?.min(leased?))
}

/// What a verdict on a period depends on beside the period and its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who of finance said that it shall close, as the API server saw it. None while nobody did.
    pub asked: Option<String>,
    /// Up to when use and leases are known.
    pub complete_to: Option<Second>,
    /// Whether a gap touches it. Finance closes over a gap that it sees; a policy does not close over any by itself.
    pub gap: bool,
}

/// Whether a period may be closed.
pub fn verdict(period: &Period, policy: &Policy, known: &Known, now: Second) -> Verdict {
    let end = period.span.to;
    if now < end {
        return Verdict::Running;
    }
    if known.complete_to.is_none_or(|complete| complete < end) {
        return Verdict::Incomplete;
    }
    if let Some(person) = &known.asked {
        return Verdict::Due(person.clone());
    }
    if period.rehearsal() {
        return Verdict::Due("rehearsal".to_owned());
    }
    match policy.auto_close_after_days {
        Some(days) if !known.gap && now >= end.plus(i64::from(days).saturating_mul(DAY)) => {
            Verdict::Due(format!("policy, {days} days after the end"))
        }
        Some(_) | None => Verdict::WaitsForFinance,
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use leasehold_ledger::{
        book::Category,
        policy::{DecreaseEffective, EstimateBound, Policy},
        time::{PeriodKind, Zone},
    };

    /// 2026-09-01 00:00 in Shanghai.
    pub const SEPTEMBER: i64 = 1_788_192_000;
    /// 2026-10-01 00:00 in Shanghai.
    pub const OCTOBER: i64 = 1_790_784_000;

    /// A policy with this prefix of its statements' numbers.
    pub fn policy(prefix: &str, period: PeriodKind) -> Policy {
        Policy {
            name: "default".to_owned(),
            time_zone: Zone::parse("Asia/Shanghai").unwrap(),
            currency: "CNY".to_owned(),
            period,
            statement_prefix: prefix.to_owned(),
            offset_cap_percent: 50,
            offset_classes: vec![Category::Compute],
            credit_periods: 36,
            late_allowance_seconds: 5,
            estimate_bound: EstimateBound::Lower,
            auto_close_after_days: None,
            archive_after_days: None,
            decrease_effective: DecreaseEffective::NextPeriod,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        fixture::{OCTOBER, SEPTEMBER, policy},
        *,
    };
    use leasehold_ledger::time::PeriodKind;

    fn month() -> Policy {
        policy("HS", PeriodKind::Month)
    }

    fn september() -> Period {
        let policy = month();
        Period::containing(policy.period, &policy.time_zone, Second::new(SEPTEMBER)).unwrap()
    }

    fn names(periods: &[Period]) -> Vec<&str> {
        periods.iter().map(|period| period.name.as_str()).collect()
    }

    fn open(period: Period) -> PeriodOpenDoc {
        let at = period.span.from;
        PeriodOpenDoc {
            period,
            policy: month().digest().unwrap(),
            at,
        }
    }

    #[test]
    fn the_first_period_is_the_one_that_contains_now() {
        let periods = missing(None, &month(), Second::new(OCTOBER - 1)).unwrap();
        assert_eq!(names(&periods), ["2026-09"]);
    }

    #[test]
    fn periods_that_an_outage_skipped_are_opened_in_order() {
        let now = Second::new(OCTOBER + 70 * DAY);
        let periods = missing(Some(&september()), &month(), now).unwrap();
        assert_eq!(names(&periods), ["2026-10", "2026-11", "2026-12"]);
        let inside = missing(Some(&september()), &month(), Second::new(OCTOBER - 1)).unwrap();
        assert!(inside.is_empty());
        let edge = missing(Some(&september()), &month(), Second::new(OCTOBER)).unwrap();
        assert_eq!(names(&edge), ["2026-10"]);
    }

    #[test]
    fn a_long_outage_of_a_rehearsal_is_made_up_for_in_parts_without_gaps() {
        let policy = policy("HS", PeriodKind::Rehearsal { seconds: 60 });
        let start = Second::new(SEPTEMBER);
        let first = missing(None, &policy, start).unwrap();
        let part = missing(first.last(), &policy, start.plus(60 * 1000)).unwrap();
        assert_eq!(part.len(), AT_ONCE);
        assert_eq!(part[0].span.from, first[0].span.to);
        assert!(
            part.windows(2)
                .all(|pair| pair[0].span.to == pair[1].span.from)
        );
    }

    #[test]
    fn the_policy_in_force_at_the_first_instant_governs() {
        let seen = |prefix: &str, at: i64| PolicyDoc {
            policy: policy(prefix, PeriodKind::Month),
            seen_at: Second::new(at),
        };
        let documents = [seen("A", 100), seen("B", 200), seen("A", 300)];
        let prefix = |from: i64| {
            let governing = governing(&documents, Second::new(from));
            governing.unwrap().statement_prefix.clone()
        };
        assert_eq!(prefix(250), "B", "A came back later");
        assert_eq!(prefix(300), "A", "a policy that came back");
        assert_eq!(prefix(200), "B", "what is seen at the first instant counts");
        assert_eq!(
            prefix(50),
            "A",
            "the first that was known, if none was known by then"
        );
        assert!(governing(&[], Second::new(0)).is_none());
    }

    #[test]
    fn a_period_closes_when_it_is_over_and_complete_and_finance_says_so() {
        let (before, end) = (Second::new(OCTOBER - 1), Second::new(OCTOBER));
        let of = |asked: bool, complete_to, now| {
            let known = Known {
                asked: asked.then(|| "sun@finance".to_owned()),
                complete_to,
                gap: false,
            };
            verdict(&september(), &month(), &known, now)
        };
        assert_eq!(of(true, Some(end), before), Verdict::Running);
        assert_eq!(of(true, Some(before), end), Verdict::Incomplete);
        assert_eq!(of(true, None, end), Verdict::Incomplete);
        assert_eq!(of(false, Some(end), end), Verdict::WaitsForFinance);
        assert_eq!(
            of(true, Some(end), end),
            Verdict::Due("sun@finance".to_owned())
        );
    }

    #[test]
    fn a_policy_may_close_by_itself_after_some_days_and_a_rehearsal_does_at_once() {
        let end = Second::new(OCTOBER);
        let three = Policy {
            auto_close_after_days: Some(3),
            ..month()
        };
        let known = Known {
            asked: None,
            complete_to: Some(end),
            gap: false,
        };
        let of = |now| verdict(&september(), &three, &known, now);
        assert_eq!(of(end.plus(3 * DAY - 1)), Verdict::WaitsForFinance);
        assert!(matches!(of(end.plus(3 * DAY)), Verdict::Due(_)));
        let played = policy("HS", PeriodKind::Rehearsal { seconds: 60 });
        let minute = Period::containing(played.period, &played.time_zone, end).unwrap();
        // a rehearsal closes over a gap too
        let known = Known {
            asked: None,
            complete_to: Some(minute.span.to),
            gap: true,
        };
        let due = verdict(&minute, &played, &known, minute.span.to);
        assert_eq!(due, Verdict::Due("rehearsal".to_owned()));
    }

    #[test]
    fn over_a_gap_finance_closes_and_the_policy_does_not() {
        let end = Second::new(OCTOBER);
        let three = Policy {
            auto_close_after_days: Some(3),
            ..month()
        };
        let of = |asked: bool, gap| {
            let known = Known {
                asked: asked.then(|| "sun@finance".to_owned()),
                complete_to: Some(end),
                gap,
            };
            verdict(&september(), &three, &known, end.plus(30 * DAY))
        };
        assert!(matches!(of(false, false), Verdict::Due(_)));
        assert_eq!(of(false, true), Verdict::WaitsForFinance);
        assert_eq!(of(true, true), Verdict::Due("sun@finance".to_owned()));
    }

    #[test]
    fn the_slower_of_use_and_leases_says_what_is_complete() {
        let (early, late) = (Some(Second::new(10)), Some(Second::new(20)));
        assert_eq!(complete(early, late), early);
        assert_eq!(complete(late, early), early);
        assert_eq!(complete(late, None), None);
        assert_eq!(complete(None, late), None);
    }

    #[test]
    fn objects_of_the_newest_periods_and_of_unclosed_ones_are_kept() {
        let mut calendar = Calendar::default();
        let mut period = september();
        for _ in 0..KEPT + 3 {
            calendar.opened.push(open(period.clone()));
            period = period.next().unwrap();
        }
        let closed = |name: &str| Recorded {
            seq: 1,
            hash: month().digest().unwrap(),
            value: PeriodCloseDoc {
                name: name.to_owned(),
                fact_seq: 0,
                closed_by: "finance".to_owned(),
                totals: leasehold_ledger::statement::Totals::default(),
                statements: BTreeMap::new(),
                gaps: None,
                chain: month().digest().unwrap(),
                at: Second::new(0),
            },
        };
        for name in ["2026-09", "2026-10"] {
            calendar.closed.insert(name.to_owned(), closed(name));
        }
        let kept: Vec<&str> = calendar
            .kept()
            .map(|open| open.period.name.as_str())
            .collect();
        assert_eq!(kept.len(), KEPT + 1);
        assert_eq!(kept[0], "2026-11", "too old, but not closed");
        assert_eq!(calendar.unclosed().next().unwrap().period.name, "2026-11");
        let running = calendar.running(Second::new(OCTOBER)).unwrap();
        assert_eq!(running.period.name, "2026-10");
    }
}
