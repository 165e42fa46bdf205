//! Of which requests finance confirms that there is money for them, and what it confirms.

use leasehold_ledger::{document::FundsAsked, money::Money, quote::Quotation};

use crate::request::{ApprovedPart, Change, monthly_increase};

/// Whether a request takes money that nobody has confirmed: a first lease, more of anything that costs, a longer term,
/// another budget. What is saved elsewhere in the request makes no room.
pub fn needed(changes: &[Change], old: Option<&ApprovedPart>, new: &ApprovedPart) -> bool {
    let Some(old) = old else {
        return true;
    };
    // days of this form stand in the order of the calendar
    let is_longer = new.term.through > old.term.through || new.term.from < old.term.from;
    monthly_increase(changes) > Money::ZERO || is_longer || new.budget.code != old.budget.code
}

/// What finance confirms of a request with this quotation.
pub fn asked(part: &ApprovedPart, quotation: &Quotation) -> FundsAsked {
    FundsAsked {
        budget: part.budget.code.to_string(),
        monthly: quotation.monthly,
        term: quotation.term,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::money::Unit;

    use super::*;
    use crate::request::fixture;

    const THROUGH: &str = "2027-08-31";

    fn part(through: &str) -> ApprovedPart {
        fixture::asked(&[("vcpu-x86", "4")], through).part
    }

    fn change(monthly: i64, once: i64) -> Change {
        Change {
            item: "vcpu-x86".to_owned(),
            from: 4000,
            to: 6000,
            unit: Unit::Core,
            monthly: Money::from_minor(monthly),
            once: Money::from_minor(once),
        }
    }

    #[test]
    fn finance_is_asked_for_what_costs_more_and_for_nothing_else() {
        let old = part(THROUGH);
        let same = |changes: &[Change]| needed(changes, Some(&old), &old);
        assert!(needed(&[], None, &old), "a first lease");
        assert!(!same(&[]));
        assert!(!same(&[change(-9200, 0)]), "less");
        assert!(same(&[change(1, 0)]), "more");
        assert!(same(&[change(0, 1)]), "more, paid once");
        assert!(
            same(&[change(-9200, 0), change(100, 0)]),
            "savings make no room"
        );
    }

    #[test]
    fn a_longer_term_and_another_budget_take_money_too() {
        let old = part(THROUGH);
        let other = |change: &dyn Fn(&mut ApprovedPart)| {
            let mut new = old.clone();
            change(&mut new);
            needed(&[], Some(&old), &new)
        };
        assert!(other(&|new| new.term.through = "2027-09-01".into()));
        assert!(!other(&|new| new.term.through = "2027-08-30".into()));
        assert!(other(&|new| new.term.from = "2026-08-31".into()));
        assert!(!other(&|new| new.term.from = "2026-09-02".into()));
        assert!(other(&|new| new.budget.code = "30213".into()));
        assert!(!other(&|new| new.contract = "HS-2".into()));
    }

    #[test]
    fn what_is_confirmed_is_the_budget_and_what_was_quoted() {
        let quotation = Quotation {
            currency: "CNY".to_owned(),
            monthly: Money::from_minor(18_400),
            term: Money::from_minor(220_800),
            prices_through: None,
            credit_monthly: Money::ZERO,
            books: Vec::new(),
            lines: Vec::new(),
        };
        let expected = FundsAsked {
            budget: "30227".to_owned(),
            monthly: Money::from_minor(18_400),
            term: Money::from_minor(220_800),
        };
        assert_eq!(asked(&part(THROUGH), &quotation), expected);
    }
}
