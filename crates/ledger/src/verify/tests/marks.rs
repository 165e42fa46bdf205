//! Statements that name the gaps of their period, and what stands behind the word on each.

use super::archives::{archived, pods, verified};
use super::*;
use crate::close::{CloseInput, close};
use crate::document::GapTreatment;
use crate::statement::{GapWord, StatementGap};

fn gap() -> GapDoc {
    GapDoc {
        source: "pods".to_owned(),
        from: Second::new(fixture::ELEVENTH),
        to: Second::new(fixture::ELEVENTH + 60),
        reason: "the changes were gone".to_owned(),
        upper: BTreeMap::new(),
        at: Second::new(fixture::ELEVENTH + 60),
    }
}

/// Finance's yes to the gap.
fn approved() -> DecisionDoc {
    DecisionDoc {
        role: "finance".to_owned(),
        decided_by: "sun@finance".to_owned(),
        order_no: "51号".to_owned(),
        department: None,
        ..decision("Gap", "2026-09/1/sha256:0", "approval-3")
    }
}

fn word() -> GapAcceptedDoc {
    GapAcceptedDoc {
        gap: gap().key(),
        source: "pods".to_owned(),
        period: "2026-09".to_owned(),
        treatment: GapTreatment::Accepted,
        decided_by: "sun@finance".to_owned(),
        order_no: "51号".to_owned(),
        approval_uid: "approval-3".to_owned(),
        at: Second::new(fixture::OCTOBER),
    }
}

/// What every statement of September must say of it.
fn mark() -> StatementGap {
    StatementGap {
        source: "pods".to_owned(),
        from: "2026-09-11T00:00:00+08:00".to_owned(),
        to: "2026-09-11T00:01:00+08:00".to_owned(),
        reason: "the changes were gone".to_owned(),
        accepted: Some(GapWord {
            treatment: GapTreatment::Accepted,
            by: "sun@finance".to_owned(),
            order_no: "51号".to_owned(),
            approval: "approval-3".to_owned(),
        }),
    }
}

/// The ledger with these facts up to before its close.
fn unclosed(facts: &[Fact]) -> Writer {
    let mut rows = ledger_of(facts, &fixture::closing()).0;
    let is_close = |row: &Row| row.chain.key.starts_with("period-close/");
    let at = rows.iter().position(is_close).unwrap();
    rows.truncate(at);
    Writer(rows)
}

/// The same with the gap, and finance's word on it.
fn gapped(facts: &[Fact]) -> Writer {
    let mut w = unclosed(facts);
    w.document(&gap());
    w.document(&approved());
    w.document(&word());
    w
}

fn closing(gaps: &[StatementGap]) -> Closing {
    let input = CloseInput {
        gaps: gaps.to_vec(),
        ..fixture::input()
    };
    close(&input, &fixture::facts().iter().collect(), State::Final).unwrap()
}

fn finding(w: Writer) -> Finding {
    check(w.0, None).finding.unwrap()
}

#[test]
fn statements_that_name_the_gap_and_the_word_on_it_verify() {
    let mut w = gapped(&fixture::facts());
    w.close(&closing(&[mark()]));
    let report = check(w.0, None);
    assert_eq!(report.finding, None);
    assert!(report.periods[0].ok);
}

#[test]
fn a_gap_that_nobody_accepted_before_the_close_is_named_without_a_word() {
    let mut w = unclosed(&fixture::facts());
    w.document(&gap());
    let open = StatementGap {
        accepted: None,
        ..mark()
    };
    w.close(&closing(&[open]));
    // what is said afterwards changes no statement
    w.document(&approved());
    w.document(&word());
    assert_eq!(check(w.0, None).finding, None);
}

#[test]
fn a_mark_that_was_left_out_is_found() {
    let mut w = gapped(&fixture::facts());
    w.close(&closing(&[]));
    let found = finding(w);
    assert_eq!(found.what, "number of gaps of the close of 2026-09");
    assert_eq!((found.expected.as_str(), found.found.as_str()), ("1", "0"));
    let mut w = gapped(&fixture::facts());
    w.close_telling(&closing(&[]), Some(1));
    assert_eq!(finding(w).what, "statement 2026-09/gov-office");
}

#[test]
fn a_mark_that_was_forged_is_found_whatever_of_it_is_another() {
    let changes: [fn(&mut StatementGap); 5] = [
        |mark| mark.source = "claims".to_owned(),
        |mark| mark.from = "2026-09-11T00:00:30+08:00".to_owned(),
        |mark| mark.reason.push('!'),
        |mark| mark.accepted = None,
        |mark| mark.accepted.as_mut().unwrap().treatment = GapTreatment::Estimated,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut forged = mark();
        change(&mut forged);
        let mut w = gapped(&fixture::facts());
        w.close(&closing(&[forged]));
        let what = finding(w).what;
        assert_eq!(what, "statement 2026-09/gov-office", "change {i}");
    }
}

#[test]
fn a_close_from_before_statements_named_gaps_verifies_as_it_is() {
    let mut w = gapped(&fixture::facts());
    w.close_telling(&closing(&[]), None);
    let close =
        w.0.iter()
            .find(|row| row.chain.key.starts_with("period-close/"));
    assert!(!close.unwrap().body.contains("gaps"));
    assert_eq!(check(w.0, None).finding, None);
}

#[test]
fn no_close_can_pretend_to_be_from_before_once_one_has_counted_its_gaps() {
    let mut w = gapped(&fixture::facts());
    w.close(&closing(&[mark()]));
    let october = PeriodOpenDoc {
        period: fixture::september().next().unwrap(),
        ..fixture::open()
    };
    w.document(&october);
    let last = w.0.last().unwrap().chain.clone();
    w.document(&PeriodCloseDoc {
        name: "2026-10".to_owned(),
        fact_seq: last.seq,
        closed_by: "li".to_owned(),
        totals: crate::statement::Totals::default(),
        statements: BTreeMap::new(),
        gaps: None,
        chain: last.hash,
        at: Second::new(fixture::OCTOBER + 40 * 86_400),
    });
    let found = finding(w);
    assert_eq!(found.what, "number of gaps of the close of 2026-10");
    assert!(found.found.starts_with("none"), "{}", found.found);
}

#[test]
fn a_word_needs_the_gap_and_finances_decision_before_it_and_says_who_decided() {
    let what = format!("acceptance of gap {}", gap().key());
    let mut without_gap = unclosed(&fixture::facts());
    without_gap.document(&approved());
    without_gap.document(&word());
    let mut undecided = unclosed(&fixture::facts());
    undecided.document(&gap());
    undecided.document(&word());
    let mut rejected = unclosed(&fixture::facts());
    rejected.document(&gap());
    rejected.document(&DecisionDoc {
        decision: Decision::Rejected,
        ..approved()
    });
    rejected.document(&word());
    let mut by_another = unclosed(&fixture::facts());
    by_another.document(&gap());
    by_another.document(&approved());
    by_another.document(&GapAcceptedDoc {
        decided_by: "zhou@finance".to_owned(),
        ..word()
    });
    let all = [
        (without_gap, "none"),
        (undecided, "none"),
        (rejected, "none"),
        (by_another, "zhou@finance (51号)"),
    ];
    for (w, expected) in all {
        let found = finding(w);
        assert_eq!((&found.what, found.found.as_str()), (&what, expected));
    }
}

#[test]
fn a_mark_left_out_of_a_period_whose_facts_lie_in_an_archive_is_found_without_it() {
    let facts = [fixture::facts(), pods()].concat();
    let kept = |closing: &Closing, gaps: Option<u32>| {
        let mut w = gapped(&facts);
        w.close_telling(closing, gaps);
        let after = archived(w);
        assert!(!after.archived.is_empty());
        verified(&after.live, &[], &after.holes).finding
    };
    assert_eq!(kept(&closing(&[mark()]), Some(1)), None);
    assert_eq!(kept(&closing(&[]), None), None, "from before");
    let found = kept(&closing(&[]), Some(0)).unwrap();
    assert_eq!(found.what, "number of gaps of the close of 2026-09");
    let found = kept(&closing(&[]), Some(1)).unwrap();
    assert_eq!(found.what, "gaps in statement HS-2026-09-gov-office");
}
