//! Requests of which finance has to say that there is money for them.

use serde::{Deserialize, Serialize};

use super::{Decision, DecisionDoc, RequestDoc};
use crate::money::Money;

/// The role that decides requests.
const OFFICE: &str = "office";
/// The role that confirms that there is money for them.
const FINANCE: &str = "finance";

/// What finance has to confirm before anything of a request is provisioned, as quoted when it was opened.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FundsAsked {
    /// Code of the budget that pays.
    pub budget: String,
    /// Yuan a month.
    pub monthly: Money,
    /// Yuan for the term.
    pub term: Money,
}

impl RequestDoc {
    /// The word that decides the request, of all that was said of it; none as long as one is missing.
    ///
    /// The office's word is enough where no money is to be confirmed, and where it is no. A yes needs finance's word beside
    /// it, and that of another person: one person's two words are one.
    pub fn settled<'a>(&self, words: &'a [DecisionDoc]) -> Option<&'a DecisionDoc> {
        let of = |role: &str| words.iter().find(|word| word.role == role);
        let office = of(OFFICE)?;
        if self.funds.is_none() || office.decision != Decision::Approved {
            return Some(office);
        }
        of(FINANCE).filter(|finance| finance.decided_by != office.decided_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical::digest_bytes, time::Second};

    fn request(funds: Option<FundsAsked>) -> RequestDoc {
        RequestDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            request: 1,
            snapshot: serde_json::Value::Null,
            digest: digest_bytes(b"lease"),
            requested_by: "zhang@edu".to_owned(),
            at: Second::new(0),
            quotation: None,
            funds,
        }
    }

    fn funds() -> FundsAsked {
        FundsAsked {
            budget: "30227".to_owned(),
            monthly: Money::from_minor(18_400),
            term: Money::from_minor(220_800),
        }
    }

    fn word(role: &str, by: &str, decision: Decision) -> DecisionDoc {
        DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: "edu/oa/1/1".to_owned(),
            role: role.to_owned(),
            approval_uid: None,
            decision,
            decided_by: by.to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: false,
            amount_monthly: None,
            department: None,
            at: Second::new(0),
        }
    }

    #[test]
    fn neither_yes_is_enough_alone_and_either_no_is() {
        let (yes, no, gone) = (Decision::Approved, Decision::Rejected, Decision::Withdrawn);
        let asked = request(Some(funds()));
        let outcome = |words: &[DecisionDoc]| {
            let settled = asked.settled(words);
            settled.map(|word| (word.decided_by.clone(), word.decision))
        };
        let by = |name: &str, decision| Some((name.to_owned(), decision));
        let office = |decision| word("office", "chen", decision);
        let finance = |decision| word("finance", "qian", decision);
        assert_eq!(outcome(&[]), None);
        assert_eq!(outcome(&[office(yes)]), None);
        assert_eq!(outcome(&[finance(yes)]), None);
        assert_eq!(outcome(&[office(yes), finance(yes)]), by("qian", yes));
        assert_eq!(outcome(&[finance(yes), office(yes)]), by("qian", yes));
        assert_eq!(outcome(&[office(no)]), by("chen", no));
        assert_eq!(outcome(&[office(yes), finance(no)]), by("qian", no));
        assert_eq!(outcome(&[office(gone)]), by("chen", gone));
    }

    #[test]
    fn one_person_gives_one_word() {
        let asked = request(Some(funds()));
        let both = ["office", "finance"].map(|role| word(role, "chen", Decision::Approved));
        assert_eq!(asked.settled(&both), None);
    }

    #[test]
    fn where_no_money_is_confirmed_the_offices_word_is_enough() {
        let yes = [word("office", "chen", Decision::Approved)];
        assert_eq!(request(None).settled(&yes), yes.first());
    }

    #[test]
    fn a_request_without_it_has_the_bytes_that_it_always_had() {
        let text = serde_json::to_value(request(None)).unwrap();
        assert!(text.get("funds").is_none(), "{text}");
        let with = serde_json::to_value(request(Some(funds()))).unwrap();
        let expected =
            serde_json::json!({"budget": "30227", "monthly": "184.00", "term": "2208.00"});
        assert_eq!(with["funds"], expected);
    }
}
