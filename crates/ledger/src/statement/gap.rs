//! Times in which use was not observed, as every statement of their period names them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{Document, GapAcceptedDoc, GapDoc, GapTreatment};
use crate::time::{Period, Second, Span};

/// Gaps that a statement names; the rest are only counted.
pub const GAPS_KEPT: usize = 64;

/// What stands in the place of the reason of a gap that one object left. Its own names the object, and this is read in other
/// departments as well.
const OF_ONE_OBJECT: &str = "one object was not counted; the ledger says which";
/// What the sources of declared meters begin with; then come the meter's name and the uid of its declaration.
const DECLARED: &str = "meter/";

/// A time in which a source could not be observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementGap {
    /// Name of the source, as `pods`, `claims`, `clock` or `meter/NAME/UID`; an object's uid follows where it is one
    /// object's alone.
    pub source: String,
    /// First instant not observed, RFC 3339 with the zone's offset; it may lie before the period.
    pub from: String,
    /// First instant observed again; it may lie after the period.
    pub to: String,
    /// Why.
    pub reason: String,
    /// By whose Approval it was accepted; none where finance's word on the whole period did, or nobody has yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<GapWord>,
}

/// What finance said of a gap.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GapWord {
    /// What is billed of use that ended in it unseen.
    pub treatment: GapTreatment,
    /// User who decided.
    pub by: String,
    /// Number of the paper order behind it.
    pub order_no: String,
    /// Uid of the Approval object.
    pub approval: String,
}

impl From<&GapAcceptedDoc> for GapWord {
    fn from(said: &GapAcceptedDoc) -> Self {
        Self {
            treatment: said.treatment,
            by: said.decided_by.clone(),
            order_no: said.order_no.clone(),
            approval: said.approval_uid.clone(),
        }
    }
}

/// The gaps that touch a period, with what finance said of each. Those of whole sources come first, so that none of them is
/// left out for the many that single objects may leave; then by time. The order in which they are given does not matter.
pub fn gaps_of<'a>(
    period: &Period,
    gaps: impl Iterator<Item = &'a GapDoc>,
    accepted: impl Iterator<Item = &'a GapAcceptedDoc>,
) -> Vec<StatementGap> {
    let words: BTreeMap<String, GapWord> = accepted
        .map(|said| (said.gap.clone(), GapWord::from(said)))
        .collect();
    let mut touching: Vec<&GapDoc> = gaps
        .filter(|gap| {
            let span = Span::new(gap.from, gap.to);
            period.span.intersect(&span).is_some()
        })
        .collect();
    touching.sort_by(|a, b| place(a).cmp(&place(b)));
    let zone = &period.time_zone;
    touching
        .into_iter()
        .map(|gap| StatementGap {
            source: gap.source.clone(),
            from: gap.from.in_zone(zone),
            to: gap.to.in_zone(zone),
            reason: if is_of_one_object(&gap.source) {
                OF_ONE_OBJECT.to_owned()
            } else {
                gap.reason.clone()
            },
            accepted: words.get(&gap.key()).cloned(),
        })
        .collect()
}

/// Those of a period's gaps that a statement names, and how many more there are.
pub fn named(gaps: &[StatementGap]) -> (Vec<StatementGap>, u32) {
    let more = gaps.len().saturating_sub(GAPS_KEPT);
    let kept = gaps.iter().take(GAPS_KEPT).cloned().collect();
    (kept, u32::try_from(more).unwrap_or(u32::MAX))
}

/// What gaps are sorted by.
fn place(gap: &GapDoc) -> (bool, Second, &str, Second) {
    let source = gap.source.as_str();
    (is_of_one_object(source), gap.from, source, gap.to)
}

/// Whether a source is one object, which could not be counted or was gone before anybody knew whose it is.
fn is_of_one_object(source: &str) -> bool {
    let within = source
        .strip_prefix(DECLARED)
        .and_then(|rest| rest.split_once('/'))
        .map_or(source, |(_, uid)| uid);
    within.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::fixture::{ELEVENTH, OCTOBER, SEPTEMBER, september};

    fn gap(source: &str, from: i64, to: i64) -> GapDoc {
        GapDoc {
            source: source.to_owned(),
            from: Second::new(from),
            to: Second::new(to),
            reason: "Bucket police--prod/files: the changes were gone".to_owned(),
            upper: BTreeMap::new(),
            at: Second::new(to),
        }
    }

    fn said(gap: &GapDoc, treatment: GapTreatment) -> GapAcceptedDoc {
        GapAcceptedDoc {
            gap: gap.key(),
            source: gap.source.clone(),
            period: "2026-09".to_owned(),
            treatment,
            decided_by: "sun@finance".to_owned(),
            order_no: "黄财资〔2026〕51号".to_owned(),
            approval_uid: "u-1".to_owned(),
            at: Second::new(OCTOBER),
        }
    }

    #[test]
    fn a_gap_is_named_in_every_period_that_it_touches_with_the_word_on_it_and_no_other() {
        let over = gap("pods", OCTOBER - 30, OCTOBER + 30);
        let before = gap("pods", SEPTEMBER - 30, SEPTEMBER);
        let open = gap("claims", ELEVENTH, ELEVENTH + 60);
        let words = [
            said(&over, GapTreatment::Estimated),
            said(&before, GapTreatment::Accepted),
        ];
        let all = [over, before, open];
        let found = gaps_of(&september(), all.iter(), words.iter());
        let told: Vec<_> = found
            .iter()
            .map(|gap| (gap.source.as_str(), gap.from.as_str(), gap.to.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "claims",
                    "2026-09-11T00:00:00+08:00",
                    "2026-09-11T00:01:00+08:00"
                ),
                (
                    "pods",
                    "2026-09-30T23:59:30+08:00",
                    "2026-10-01T00:00:30+08:00"
                ),
            ]
        );
        assert_eq!(found[0].accepted, None);
        let word = found[1].accepted.as_ref().unwrap();
        assert_eq!(word.treatment, GapTreatment::Estimated);
        assert_eq!(
            (word.by.as_str(), word.approval.as_str()),
            ("sun@finance", "u-1")
        );
        let october = september().next().unwrap();
        let later = gaps_of(&october, all.iter(), words.iter());
        assert_eq!(later, found[1..], "the other part of it");
    }

    #[test]
    fn gaps_of_single_objects_come_last_and_name_nobodys_object() {
        let all = [
            gap("meter/buckets/m-1/u-7", SEPTEMBER, SEPTEMBER + 1),
            gap("pods/u-3", SEPTEMBER + 5, SEPTEMBER + 6),
            gap("meter/buckets/m-1", ELEVENTH, ELEVENTH + 60),
            gap("clock", ELEVENTH + 1, ELEVENTH + 60),
        ];
        let sources = |found: &[StatementGap]| -> Vec<String> {
            found.iter().map(|gap| gap.source.clone()).collect()
        };
        let found = gaps_of(&september(), all.iter(), std::iter::empty());
        assert_eq!(
            sources(&found),
            [
                "meter/buckets/m-1",
                "clock",
                "meter/buckets/m-1/u-7",
                "pods/u-3"
            ]
        );
        assert!(found[1].reason.contains("police--prod"));
        for gap in &found[2..] {
            assert!(!gap.reason.contains("police"), "{}", gap.reason);
        }
        let turned = gaps_of(&september(), all.iter().rev(), std::iter::empty());
        assert_eq!(turned, found, "in whatever order they come");
    }

    #[test]
    fn sixty_four_gaps_are_named_and_the_others_counted() {
        let many: Vec<GapDoc> = (0..70)
            .map(|n| gap("pods", SEPTEMBER + n * 100, SEPTEMBER + n * 100 + 5))
            .collect();
        let found = gaps_of(&september(), many.iter(), std::iter::empty());
        let (kept, more) = named(&found);
        assert_eq!((kept.len(), more), (64, 6));
        assert_eq!(named(&found[..64]).1, 0);
    }
}
