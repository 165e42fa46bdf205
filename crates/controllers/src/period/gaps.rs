//! Gaps in the observation of use, and what they mean for a period.
//!
//! Over a gap nothing is made up: what was open is bounded and marked as an estimate, and what came and went unseen is
//! not charged. Whether that is good enough is for a person to judge, so a gap is shown before the close, finance's
//! word accepts it, and no policy closes over it by itself (docs/explanation/metering.md).

use leasehold_ledger::{
    document::GapDoc,
    time::{Period, Span, Zone},
};

/// Gaps that are listed one by one; of more, the number is told.
const LISTED: usize = 10;

/// The gaps that touch a period, by time.
pub fn of(period: &Period, gaps: &[GapDoc]) -> Vec<GapDoc> {
    let mut found: Vec<GapDoc> = gaps
        .iter()
        .filter(|gap| touches(period, gap))
        .cloned()
        .collect();
    found.sort_by(|a, b| (a.from, &a.source).cmp(&(b.from, &b.source)));
    found
}

/// Whether any gap touches a period.
pub fn any(period: &Period, gaps: &[GapDoc]) -> bool {
    gaps.iter().any(|gap| touches(period, gap))
}

/// The number of gaps that touch any of these periods.
pub fn open<'a>(periods: impl Iterator<Item = &'a Period>, gaps: &[GapDoc]) -> usize {
    let periods: Vec<&Period> = periods.collect();
    gaps.iter()
        .filter(|gap| periods.iter().any(|period| touches(period, gap)))
        .count()
}

fn touches(period: &Period, gap: &GapDoc) -> bool {
    period
        .span
        .intersect(&Span::new(gap.from, gap.to))
        .is_some()
}

/// The gaps of a period in a sentence for who closes it, in local time; none without gaps.
pub fn sentence(gaps: &[GapDoc], zone: &Zone, closed: bool) -> Option<String> {
    let number = match gaps.len() {
        0 => return None,
        1 => "1 gap".to_owned(),
        many => format!("{many} gaps"),
    };
    let mut listed: Vec<String> = gaps
        .iter()
        .take(LISTED)
        .map(|gap| {
            let (from, to) = (gap.from.in_zone(zone), gap.to.in_zone(zone));
            format!("{} from {from} to {to}", gap.source)
        })
        .collect();
    let more = gaps.len().saturating_sub(LISTED);
    if more > 0 {
        listed.push(format!("and {more} more in the ledger"));
    }
    let listed = listed.join("; ");
    let accepts = if closed {
        "the close accepted this"
    } else {
        "closing the period accepts this"
    };
    Some(format!(
        "{number} in which use was not observed: {listed}. What was open over them is bounded and marked as an estimate, and what came and went unseen is not charged; {accepts}"
    ))
}

#[cfg(test)]
pub(super) fn gap(source: &str, from: i64, to: i64) -> GapDoc {
    use leasehold_ledger::time::Second;

    GapDoc {
        source: source.to_owned(),
        from: Second::new(from),
        to: Second::new(to),
        reason: "the changes were gone".to_owned(),
        upper: std::collections::BTreeMap::new(),
        at: Second::new(to),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::calendar::fixture::*, *};
    use leasehold_ledger::time::{PeriodKind, Second};

    fn september() -> Period {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        Period::containing(PeriodKind::Month, &zone, Second::new(SEPTEMBER)).unwrap()
    }

    #[test]
    fn a_gap_touches_the_periods_in_which_something_was_not_seen() {
        let all = [
            gap("pods", OCTOBER - 1, OCTOBER + 60),
            gap("claims", SEPTEMBER - 60, SEPTEMBER + 1),
            gap("before", SEPTEMBER - 60, SEPTEMBER),
            gap("after", OCTOBER, OCTOBER + 60),
        ];
        let found = of(&september(), &all);
        let sources: Vec<&str> = found.iter().map(|gap| gap.source.as_str()).collect();
        assert_eq!(sources, ["claims", "pods"]);
        assert!(any(&september(), &all));
        let outside: Vec<GapDoc> = all.into_iter().skip(2).collect();
        assert!(!any(&september(), &outside));
    }

    #[test]
    fn a_gap_is_open_once_as_long_as_a_period_that_it_touches_is() {
        let all = [
            gap("pods", OCTOBER - 1, OCTOBER + 60),
            gap("claims", SEPTEMBER, SEPTEMBER + 1),
            gap("before", SEPTEMBER - 60, SEPTEMBER),
        ];
        let (september, october) = (september(), september().next().unwrap());
        assert_eq!(open([&september, &october].into_iter(), &all), 2);
        assert_eq!(open([&october].into_iter(), &all), 1);
        assert_eq!(open(std::iter::empty(), &all), 0);
    }

    #[test]
    fn the_sentence_tells_how_many_gaps_of_which_source_and_when_in_local_time() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        assert_eq!(sentence(&[], &zone, false), None);
        let one = [gap("pods", SEPTEMBER, SEPTEMBER + 90)];
        let open = sentence(&one, &zone, false).unwrap();
        assert!(
            open.starts_with(
                "1 gap in which use was not observed: pods from 2026-09-01T00:00:00+08:00 to 2026-09-01T00:01:30+08:00. "
            ),
            "{open}"
        );
        assert!(open.contains("marked as an estimate"), "{open}");
        assert!(open.ends_with("closing the period accepts this"), "{open}");
        let closed = sentence(&one, &zone, true).unwrap();
        assert!(closed.ends_with("the close accepted this"), "{closed}");
    }

    #[test]
    fn of_many_gaps_the_first_ten_are_listed_and_the_others_counted() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let many: Vec<GapDoc> = (0..12)
            .map(|n| gap("pods", SEPTEMBER + n * 100, SEPTEMBER + n * 100 + 5))
            .collect();
        let words = sentence(&many, &zone, false).unwrap();
        assert!(words.starts_with("12 gaps "), "{words}");
        assert_eq!(words.matches("pods from ").count(), 10);
        assert!(words.contains("and 2 more in the ledger"), "{words}");
    }
}
