//! What its department has to accept is billed from its acceptance on, and not before.

use super::*;

const KEY: &str = "gov-office/oa/1/1";

fn opened() -> Fact {
    fixture::facts().remove(0)
}

fn delivered() -> DeliveredDoc {
    let at = opened().at.plus(-3600);
    DeliveredDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: 1,
        at,
        until: at.plus(7 * 86_400),
    }
}

/// What the department said so many seconds before the lease was billed.
fn said(accepted: bool, before: i64) -> AcceptanceDoc {
    AcceptanceDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: 1,
        accepted,
        by: "zhang@gov-office".to_owned(),
        reason: "too slow".to_owned(),
        at: opened().at.plus(-before),
    }
}

/// An approved request, what was said of it, and its first fact in row `3 + said`.
fn billed(delivery: Option<&DeliveredDoc>, words: &[AcceptanceDoc]) -> Option<Finding> {
    let mut w = Writer::default();
    w.document(&request(1));
    w.document(&decision("Tenancy", KEY, KEY));
    if let Some(delivery) = delivery {
        w.document(delivery);
    }
    for word in words {
        w.document(word);
    }
    w.fact(&opened());
    check(w.0, None).finding
}

#[test]
fn what_was_accepted_after_a_rejection_is_billed_from_the_acceptance_on() {
    let words = [said(false, 60), said(true, 0)];
    assert_eq!(billed(Some(&delivered()), &words), None);
    assert_eq!(
        billed(None, &[]),
        None,
        "not every lease has to be accepted"
    );
}

#[test]
fn a_lease_billed_without_an_acceptance_or_before_it_is_found_at_its_fact() {
    let late = format!("one of {}", opened().at.plus(1));
    let cases = [
        (vec![], 4, "none".to_owned()),
        (vec![said(false, 60)], 5, "none".to_owned()),
        (vec![said(true, -1)], 5, late),
    ];
    for (words, seq, found) in cases {
        let finding = billed(Some(&delivered()), &words).unwrap();
        assert!(finding.what.starts_with("acceptance behind"), "{finding:?}");
        assert_eq!((finding.seq, finding.found), (seq, found));
    }
}

#[test]
fn an_acceptance_without_a_delivery_or_after_an_acceptance_is_found_at_its_row() {
    let finding = billed(None, &[said(true, 0)]).unwrap();
    assert_eq!(finding.seq, 3);
    assert_eq!(finding.expected, "its delivery before it");
    let twice = [said(true, 60), said(false, 0)];
    let finding = billed(Some(&delivered()), &twice).unwrap();
    assert_eq!((finding.seq, finding.found.as_str()), (5, "one more"));
}
