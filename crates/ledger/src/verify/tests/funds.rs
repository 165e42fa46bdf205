//! Leases that take finance's word beside the office's.

use super::*;
use crate::document::FundsAsked;

#[test]
fn a_lease_for_which_nobody_confirmed_that_there_is_money_is_found() {
    let subject = "gov-office/oa/1/1";
    let mut asked = request(1);
    asked.funds = Some(FundsAsked {
        budget: "30227".to_owned(),
        monthly: Money::from_minor(147_200),
        term: Money::from_minor(1_766_400),
    });
    let confirmed = |by: &str| DecisionDoc {
        role: "finance".to_owned(),
        decided_by: by.to_owned(),
        ..decision("Tenancy", subject, "b")
    };
    let with = |confirmed: &[DecisionDoc]| {
        let mut w = Writer::default();
        w.document(&asked);
        w.document(&decision("Tenancy", subject, "a"));
        confirmed.iter().for_each(|word| w.document(word));
        w.fact(&fixture::facts()[0]);
        check(w.0, None).finding.map(|finding| finding.expected)
    };
    let missing = Some(format!("an approval of request {subject} before it"));
    assert_eq!(with(&[]), missing);
    // the office's own
    assert_eq!(with(&[confirmed("wang")]), missing);
    assert_eq!(with(&[confirmed("qian")]), None);
}
