//! Times in which use was not observed: whether a period may close over them, and what of them is billed.

use leasehold_api::charging::{Approval, ApprovalSubject, DecisionRole, SubjectOfDecision};
use leasehold_ledger::{
    canonical::digests_of_first,
    document::GapDoc,
    policy::EstimateBound,
    time::{Period, Zone},
};

use super::{ApprovalError, digest, placed, undecided};

/// Who asks: nobody but the operator can know what it has not seen.
const ASKED_BY: &str = "leasehold";

/// What finance is asked about the gaps of a period.
#[derive(Clone, Copy, Debug)]
pub struct GapQuestion<'a> {
    /// The period that cannot close by itself.
    pub period: &'a Period,
    /// Uid of its object.
    pub uid: &'a str,
    /// Which question about its gaps, from 1: those that come after a decision are asked about anew.
    pub number: u32,
    /// The gaps that nobody has accepted, in the order in which they were found.
    pub gaps: &'a [&'a GapDoc],
    /// Which bound the policy bills.
    pub bound: EstimateBound,
    /// The operator's namespace, because gaps belong to no department.
    pub namespace: &'a str,
}

/// The question to finance whether the gaps of a period are accepted.
pub fn gap_approval(question: &GapQuestion<'_>) -> Result<Approval, ApprovalError> {
    let GapQuestion {
        period,
        uid,
        number,
        gaps,
        bound,
        namespace,
    } = question;
    let name = &period.name;
    let digest = digest(gaps, name)?;
    let count = match gaps.len() {
        1 => "1 gap".to_owned(),
        many => format!("{many} gaps"),
    };
    let mut lines = vec![format!(
        "Period {name}: {count} in which use was not observed"
    )];
    for gap in *gaps {
        lines.extend(told(gap, &period.time_zone));
    }
    lines.extend(meaning(*bound));
    let spec = undecided(
        DecisionRole::Finance,
        ApprovalSubject {
            kind: SubjectOfDecision::Gap,
            name: name.as_str().into(),
            uid: (*uid).into(),
            request: *number,
            digest: digest.as_str().into(),
            requested_by: ASKED_BY.into(),
        },
        &format!("{count} of {name}"),
        lines,
    );
    let object = format!("gap-{name}-{number}-finance");
    Ok(placed(&object, namespace, "", None, spec))
}

/// How many of the first of these gaps a question of this digest asked about, if any. Gaps may be very many.
pub fn listed_first(digest: &str, gaps: &[&GapDoc]) -> Result<Option<usize>, ApprovalError> {
    let digests = digests_of_first(gaps).map_err(|source| ApprovalError::Digest {
        subject: "a list of gaps".to_owned(),
        source,
    })?;
    let mut counted = (1..).zip(&digests);
    Ok(counted
        .find(|(_, found)| found.as_str() == digest)
        .map(|(count, _)| count))
}

fn told(gap: &GapDoc, zone: &Zone) -> Vec<String> {
    let (from, to) = (gap.from.in_zone(zone), gap.to.in_zone(zone));
    let mut lines = vec![format!(
        "{} from {from} to {to}: {}",
        gap.source, gap.reason
    )];
    let most = gap.upper.iter();
    lines.extend(
        most.map(|(meter, bound)| {
            format!("  unseen at most: {meter} {bound} (base units x seconds)")
        }),
    );
    lines
}

fn meaning(bound: EstimateBound) -> [String; 4] {
    let bound = match bound {
        EstimateBound::Lower => "when it was last seen",
        EstimateBound::Upper => "when it was known to be gone",
    };
    [
        "Approved, the period may close without finance's own word".to_owned(),
        "treatment Accept: what was in use and ended unseen is billed up to when it was last seen"
            .to_owned(),
        format!("treatment Estimate: it is billed as the policy says, up to {bound}"),
        "What came and went unseen is not billed in either case".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_api::charging::ApprovalSpec;
    use leasehold_ledger::time::{PeriodKind, Second};

    use super::*;

    /// 2026-09-01 00:00 in Shanghai.
    const SEPTEMBER: i64 = 1_788_192_000;

    fn period() -> Period {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        Period::containing(PeriodKind::Month, &zone, Second::new(SEPTEMBER)).unwrap()
    }

    fn gap(from: i64) -> GapDoc {
        GapDoc {
            source: "pods".to_owned(),
            from: Second::new(SEPTEMBER + from),
            to: Second::new(SEPTEMBER + from + 90),
            reason: "the changes were gone".to_owned(),
            upper: BTreeMap::from([("pod/cpu".to_owned(), 300_000)]),
            at: Second::new(SEPTEMBER + from + 90),
        }
    }

    fn asked(gaps: &[&GapDoc], number: u32, bound: EstimateBound) -> Approval {
        let period = period();
        gap_approval(&GapQuestion {
            period: &period,
            uid: "u-1",
            number,
            gaps,
            bound,
            namespace: "leasehold-system",
        })
        .unwrap()
    }

    #[test]
    fn finance_reads_when_what_was_not_seen_and_what_either_answer_bills() {
        let one = gap(0);
        let found = asked(&[&one], 1, EstimateBound::Upper);
        assert_eq!(
            found.metadata.name.as_deref(),
            Some("gap-2026-09-1-finance")
        );
        assert_eq!(
            found.metadata.namespace.as_deref(),
            Some("leasehold-system")
        );
        let ApprovalSpec {
            role,
            subject,
            title,
            snapshot,
            treatment,
            ..
        } = found.spec;
        assert_eq!((role, treatment), (DecisionRole::Finance, None));
        assert_eq!((&*subject.name, subject.request), ("2026-09", 1));
        assert_eq!(&*title, "1 gap of 2026-09");
        for part in [
            "pods from 2026-09-01T00:00:00+08:00 to 2026-09-01T00:01:30+08:00: the changes were gone",
            "pod/cpu 300000",
            "up to when it was known to be gone",
            "is not billed in either case",
        ] {
            assert!(snapshot.contains(part), "{part} is missing in {snapshot:?}");
        }
    }

    #[test]
    fn another_gap_is_another_question() {
        let (one, two) = (gap(0), gap(500));
        let digest = |gaps: &[&GapDoc]| {
            let spec = asked(gaps, 1, EstimateBound::Lower).spec;
            spec.subject.digest.to_string()
        };
        assert_eq!(digest(&[&one]), digest(&[&one]));
        assert_ne!(digest(&[&one]), digest(&[&one, &two]));
    }

    #[test]
    fn what_a_question_listed_is_found_among_gaps_that_came_after_it() {
        let all: Vec<GapDoc> = (0..5).map(|n| gap(n * 500)).collect();
        let all: Vec<&GapDoc> = all.iter().collect();
        for count in 1..=5 {
            let spec = asked(&all[..count], 1, EstimateBound::Lower).spec;
            let found = listed_first(&spec.subject.digest, &all).unwrap();
            assert_eq!(found, Some(count));
        }
        let others = asked(&all[1..3], 1, EstimateBound::Lower).spec;
        assert_eq!(listed_first(&others.subject.digest, &all).unwrap(), None);
        assert_eq!(listed_first(&others.subject.digest, &[]).unwrap(), None);
    }
}
