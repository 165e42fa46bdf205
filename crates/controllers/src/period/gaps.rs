//! Gaps in the observation of use, and what they mean for a period.
//!
//! Over a gap nothing is made up: what was open is bounded and marked as an estimate, and what came and went unseen is
//! not charged. Whether that is good enough is for a person to judge, so a gap is shown before the close, finance accepts
//! it by an Approval or by its word on the period, and no policy closes over it by itself before
//! (docs/explanation/metering.md).

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::charging::{GapTreatmentSpec, PeriodGap};
use leasehold_ledger::{
    document::{Document, GapAcceptedDoc, GapDoc, GapTreatment},
    time::{Period, Span, Zone, union},
};

/// Stretches that are listed one by one in a sentence; of more, the number is told.
const LISTED: usize = 10;
/// Gaps that a status lists.
const SHOWN: usize = 32;

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

/// Whether something of a period was not seen for a gap.
pub fn touches(period: &Period, gap: &GapDoc) -> bool {
    period
        .span
        .intersect(&Span::new(gap.from, gap.to))
        .is_some()
}

/// What finance has accepted, and what it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What was accepted, by key of the gap.
    pub known: BTreeMap<String, GapAcceptedDoc>,
    /// Names of the questions that nobody has decided, by key of the gap.
    pub asked: BTreeMap<String, String>,
    /// Namespace of the questions.
    pub namespace: String,
}

impl Accepted {
    /// Whether a gap was accepted.
    pub fn has(&self, gap: &GapDoc) -> bool {
        self.known.contains_key(&gap.key())
    }

    /// The gaps that nobody has accepted.
    pub fn open(&self, gaps: &[GapDoc]) -> Vec<GapDoc> {
        let open = gaps.iter().filter(|gap| !self.has(gap));
        open.cloned().collect()
    }

    /// The gaps as the period's status lists them.
    pub fn listed(&self, gaps: &[GapDoc], zone: &Zone) -> Vec<PeriodGap> {
        gaps.iter()
            .take(SHOWN)
            .map(|gap| self.shown(gap, zone))
            .collect()
    }

    /// A gap as people read of it.
    pub fn shown(&self, gap: &GapDoc, zone: &Zone) -> PeriodGap {
        let key = gap.key();
        let accepted = self.known.get(&key);
        PeriodGap {
            source: gap.source.clone(),
            from: gap.from.in_zone(zone),
            to: gap.to.in_zone(zone),
            reason: gap.reason.clone(),
            approval: self.asked.get(&key).cloned(),
            accepted_by: accepted.map(|found| found.decided_by.clone()),
            treatment: accepted.map(|found| match found.treatment {
                GapTreatment::Accepted => GapTreatmentSpec::Accept,
                GapTreatment::Estimated => GapTreatmentSpec::Estimate,
            }),
        }
    }

    /// How finance accepts the gaps that it is asked about.
    fn remedy(&self, gaps: &[&GapDoc]) -> String {
        let questions: BTreeSet<&String> = gaps
            .iter()
            .filter_map(|gap| self.asked.get(&gap.key()))
            .collect();
        let commands: Vec<String> = questions
            .into_iter()
            .map(|name| {
                format!(
                    "leasehold approve {name} -n {} accepts this; ",
                    self.namespace
                )
            })
            .collect();
        commands.concat()
    }
}

/// The gaps of a period in a sentence for who closes it, in local time; none without gaps.
pub fn sentence(gaps: &[GapDoc], accepted: &Accepted, zone: &Zone, closed: bool) -> Option<String> {
    let (done, open): (Vec<&GapDoc>, Vec<&GapDoc>) = gaps.iter().partition(|gap| accepted.has(gap));
    let done = (!done.is_empty()).then(|| accepted_sentence(&done, accepted, zone));
    if open.is_empty() {
        return done;
    }
    let accepts = if closed {
        "the close accepted this".to_owned()
    } else {
        let remedy = accepted.remedy(&open);
        format!("{remedy}closing the period accepts this")
    };
    let before = done.map_or_else(String::new, |done| format!("{done}. "));
    Some(format!(
        "{before}{} in which use was not observed: {}. What was open over them is bounded and marked as an estimate, and what came and went unseen is not charged; {accepts}",
        number(open.len()),
        listed(&open, zone)
    ))
}

/// What finance has accepted, and on whose word.
fn accepted_sentence(gaps: &[&GapDoc], accepted: &Accepted, zone: &Zone) -> String {
    let words: BTreeSet<String> = gaps
        .iter()
        .filter_map(|gap| accepted.known.get(&gap.key()))
        .map(|found| {
            let how = match found.treatment {
                GapTreatment::Accepted => "up to what is known",
                GapTreatment::Estimated => "up to the policy's bound",
            };
            format!("{} ({}), billed {how}", found.decided_by, found.order_no)
        })
        .collect();
    let words: Vec<String> = words.into_iter().collect();
    format!(
        "{} in which use was not observed, accepted by {}: {}",
        number(gaps.len()),
        words.join(", "),
        listed(gaps, zone)
    )
}

fn number(gaps: usize) -> String {
    match gaps {
        1 => "1 gap".to_owned(),
        many => format!("{many} gaps"),
    }
}

/// When which source did not observe, by time. A stretch that several gaps of a source cover, or that goes on from one gap to
/// the next, is told once.
fn listed(gaps: &[&GapDoc], zone: &Zone) -> String {
    let mut of_source: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for gap in gaps {
        let spans = of_source.entry(&gap.source).or_default();
        spans.push(Span::new(gap.from, gap.to));
    }
    let mut stretches: Vec<(Span, &str)> = of_source
        .into_iter()
        .flat_map(|(source, spans)| union(spans).into_iter().map(move |span| (span, source)))
        .collect();
    stretches.sort_by_key(|(span, source)| (span.from, *source));
    let mut listed: Vec<String> = stretches
        .iter()
        .take(LISTED)
        .map(|(span, source)| {
            let (from, to) = (span.from.in_zone(zone), span.to.in_zone(zone));
            format!("{source} from {from} to {to}")
        })
        .collect();
    let more = stretches.len().saturating_sub(LISTED);
    if more > 0 {
        listed.push(format!("and {more} more in the ledger"));
    }
    listed.join("; ")
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
        let (zone, nothing) = (Zone::parse("Asia/Shanghai").unwrap(), Accepted::default());
        assert_eq!(sentence(&[], &nothing, &zone, false), None);
        let one = [gap("pods", SEPTEMBER, SEPTEMBER + 90)];
        let open = sentence(&one, &nothing, &zone, false).unwrap();
        assert!(
            open.starts_with(
                "1 gap in which use was not observed: pods from 2026-09-01T00:00:00+08:00 to 2026-09-01T00:01:30+08:00. "
            ),
            "{open}"
        );
        assert!(open.contains("marked as an estimate"), "{open}");
        assert!(open.ends_with("closing the period accepts this"), "{open}");
        let closed = sentence(&one, &nothing, &zone, true).unwrap();
        assert!(closed.ends_with("the close accepted this"), "{closed}");
    }

    #[test]
    fn of_many_gaps_the_first_ten_are_listed_and_the_others_counted() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let many: Vec<GapDoc> = (0..12)
            .map(|n| gap("pods", SEPTEMBER + n * 100, SEPTEMBER + n * 100 + 5))
            .collect();
        let words = sentence(&many, &Accepted::default(), &zone, false).unwrap();
        assert!(words.starts_with("12 gaps "), "{words}");
        assert_eq!(words.matches("pods from ").count(), 10);
        assert!(words.contains("and 2 more in the ledger"), "{words}");
    }

    #[test]
    fn a_stretch_that_several_gaps_of_a_source_cover_is_told_once() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let all = [
            // a watch that was lost twice, and an object that went on uncounted from one month to the next
            gap("pods", SEPTEMBER, SEPTEMBER + 60),
            gap("claims", SEPTEMBER + 30, SEPTEMBER + 90),
            gap("pods", SEPTEMBER + 50, SEPTEMBER + 120),
            gap("pods", SEPTEMBER + 120, SEPTEMBER + 180),
            gap("pods", SEPTEMBER + 240, SEPTEMBER + 300),
        ];
        let words = sentence(&all, &Accepted::default(), &zone, false).unwrap();
        assert!(
            words.starts_with(
                "5 gaps in which use was not observed: \
                 pods from 2026-09-01T00:00:00+08:00 to 2026-09-01T00:03:00+08:00; \
                 claims from 2026-09-01T00:00:30+08:00 to 2026-09-01T00:01:30+08:00; \
                 pods from 2026-09-01T00:04:00+08:00 to 2026-09-01T00:05:00+08:00. "
            ),
            "{words}"
        );
        // each can be accepted alone, so each is listed
        assert_eq!(Accepted::default().listed(&all, &zone).len(), 5);
    }

    fn accepted(gap: &GapDoc, treatment: GapTreatment) -> Accepted {
        let document = GapAcceptedDoc {
            gap: gap.key(),
            source: gap.source.clone(),
            period: "2026-09".to_owned(),
            treatment,
            decided_by: "sun@finance".to_owned(),
            order_no: "黄财资〔2026〕51号".to_owned(),
            approval_uid: "u-1".to_owned(),
            at: Second::new(OCTOBER),
        };
        Accepted {
            known: BTreeMap::from([(gap.key(), document)]),
            ..Accepted::default()
        }
    }

    #[test]
    fn what_was_accepted_names_who_did_on_which_paper_and_what_is_billed() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let both = [
            gap("pods", SEPTEMBER, SEPTEMBER + 90),
            gap("claims", SEPTEMBER, SEPTEMBER + 60),
        ];
        let mut accepted = accepted(&both[0], GapTreatment::Accepted);
        assert_eq!(accepted.open(&both), [both[1].clone()]);
        let words = sentence(&both[..1], &accepted, &zone, false).unwrap();
        assert_eq!(
            words,
            "1 gap in which use was not observed, accepted by sun@finance (黄财资〔2026〕51号), billed up to what is known: \
             pods from 2026-09-01T00:00:00+08:00 to 2026-09-01T00:01:30+08:00"
        );
        let question = "gap-2026-09-2-finance".to_owned();
        accepted.asked.insert(both[1].key(), question);
        accepted.namespace = "leasehold-system".to_owned();
        let words = sentence(&both, &accepted, &zone, false).unwrap();
        assert!(
            words.contains(". 1 gap in which use was not observed: claims from "),
            "{words}"
        );
        assert!(
            words.ends_with(
                "; leasehold approve gap-2026-09-2-finance -n leasehold-system accepts this; closing the period accepts this"
            ),
            "{words}"
        );
        let listed = accepted.listed(&both, &zone);
        assert_eq!(listed[0].accepted_by.as_deref(), Some("sun@finance"));
        assert_eq!(listed[0].treatment, Some(GapTreatmentSpec::Accept));
        assert_eq!(listed[1].approval.as_deref(), Some("gap-2026-09-2-finance"));
        assert_eq!(listed[1].accepted_by, None);
    }
}
