//! Where a contribution stands: a pure function of what the ledger, the department and the assessment say.

use leasehold_api::tenancy::ContributionPhase;
use leasehold_ledger::document::Decision;

/// What the ledger, the department and the assessment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found out by itself, and every combination occurs"
)]
pub struct Facts {
    /// The credit was granted.
    pub credited: bool,
    /// The credit was taken back.
    pub voided: bool,
    /// The department takes the offer back.
    pub withdrawn: bool,
    /// What is recorded of finance's decision.
    pub decision: Option<Decision>,
    /// A rule is broken.
    pub refused: bool,
    /// Everything that finance needs is there.
    pub ready: bool,
}

/// The phase. What is recorded comes before what is asked for, and that before what is found today: a granted credit
/// stands whatever the object says now.
pub fn phase(facts: Facts) -> ContributionPhase {
    if facts.voided {
        return ContributionPhase::Withdrawn;
    }
    if facts.credited {
        return ContributionPhase::Credited;
    }
    match facts.decision {
        Some(Decision::Rejected) if !facts.withdrawn => return ContributionPhase::Rejected,
        Some(Decision::Withdrawn) => return ContributionPhase::Withdrawn,
        Some(Decision::Approved | Decision::Rejected) | None => {}
    }
    if facts.withdrawn {
        ContributionPhase::Withdrawn
    } else if facts.refused {
        ContributionPhase::Refused
    } else if facts.ready {
        ContributionPhase::WaitingForFinance
    } else {
        ContributionPhase::Offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_waits_for_proofs_and_then_for_finance() {
        assert_eq!(phase(Facts::default()), ContributionPhase::Offered);
        let ready = Facts {
            ready: true,
            ..Facts::default()
        };
        assert_eq!(phase(ready), ContributionPhase::WaitingForFinance);
        let refused = Facts {
            refused: true,
            ..ready
        };
        assert_eq!(phase(refused), ContributionPhase::Refused);
    }

    #[test]
    fn finances_no_stands_until_the_department_withdraws() {
        let rejected = Facts {
            decision: Some(Decision::Rejected),
            ready: true,
            ..Facts::default()
        };
        assert_eq!(phase(rejected), ContributionPhase::Rejected);
        let withdrawn = Facts {
            withdrawn: true,
            ..rejected
        };
        assert_eq!(phase(withdrawn), ContributionPhase::Withdrawn);
    }

    #[test]
    fn a_withdrawal_before_the_credit_ends_the_offer_whatever_else_is_found() {
        let facts = Facts {
            withdrawn: true,
            refused: true,
            ready: true,
            ..Facts::default()
        };
        assert_eq!(phase(facts), ContributionPhase::Withdrawn);
    }

    #[test]
    fn a_used_credit_stands_although_the_department_withdraws_and_a_voided_one_does_not() {
        let used = Facts {
            credited: true,
            withdrawn: true,
            ..Facts::default()
        };
        assert_eq!(phase(used), ContributionPhase::Credited);
        assert_eq!(
            phase(Facts {
                voided: true,
                ..used
            }),
            ContributionPhase::Withdrawn
        );
    }
}
