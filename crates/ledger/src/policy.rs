//! The charging part of the cloud's policy, as the ledger keeps it.
//!
//! The policy in force at the first instant of a period governs the period. Its version is the
//! digest of its content, which every statement prints.

use serde::{Deserialize, Serialize};

use crate::{
    book::Category,
    canonical::{CanonicalError, Digest, digest_of},
    time::{PeriodKind, Zone},
};

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The currency is not a code.
    #[error("failed to accept the currency {currency:?}: write a code of ISO 4217, such as CNY")]
    Currency {
        /// The currency that was given.
        currency: String,
    },
    /// The prefix of statement numbers cannot be part of a number.
    #[error(
        "failed to accept the statement prefix {prefix:?}: write 1 to 16 letters A-Z, digits and \
         dashes"
    )]
    Prefix {
        /// The prefix that was given.
        prefix: String,
    },
    /// The cap is above the whole.
    #[error("failed to accept the offset cap of {percent} %: write 0 to 100")]
    Cap {
        /// The cap that was given.
        percent: u8,
    },
    /// Credit that would never be alive.
    #[error("failed to accept credit for {periods} periods: write 1 to 1200")]
    CreditPeriods {
        /// The number that was given.
        periods: u32,
    },
}

/// Which bound of an estimate is billed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EstimateBound {
    /// The least that it can have been: nobody pays for what was not seen.
    Lower,
    /// The most that it can have been.
    Upper,
}

/// When a lease that shrinks costs less.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecreaseEffective {
    /// At the next period, so that nobody shrinks every evening.
    NextPeriod,
    /// When the smaller quota stands.
    AtOnce,
}

/// The rules of charging that the cloud's owner sets.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Name of the policy object.
    pub name: String,
    /// Zone of days, months and periods; never changes while facts exist.
    pub time_zone: Zone,
    /// ISO 4217 code; never changes while facts exist.
    pub currency: String,
    /// Length of a period; never changes while facts exist.
    pub period: PeriodKind,
    /// Beginning of every statement's number.
    pub statement_prefix: String,
    /// Share of the eligible charges of a statement that credit may pay, 0 to 100 percent.
    pub offset_cap_percent: u8,
    /// The classes of charge that credit may pay, unless a lot says otherwise.
    pub offset_classes: Vec<Category>,
    /// For how many whole periods credit is alive.
    pub credit_periods: u32,
    /// How long after a period's end its facts may still come before it can be complete, in
    /// seconds.
    pub late_allowance_seconds: u32,
    /// Which bound of an estimate is billed.
    pub estimate_bound: EstimateBound,
    /// After how many days a complete period closes by itself; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_close_after_days: Option<u32>,
    /// How many days after the close of a period its facts may be moved into an archive; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_after_days: Option<u32>,
    /// When a lease that shrinks costs less.
    pub decrease_effective: DecreaseEffective,
}

impl Policy {
    /// Digest of its content: the policy's version.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        digest_of(self)
    }

    /// The first thing that is wrong with it, if anything is.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(PolicyError::Currency {
                currency: self.currency.clone(),
            });
        }
        let prefix = &self.statement_prefix;
        let in_number = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=16).contains(&prefix.len()) || !prefix.bytes().all(in_number) {
            return Err(PolicyError::Prefix {
                prefix: prefix.clone(),
            });
        }
        if self.offset_cap_percent > 100 {
            return Err(PolicyError::Cap {
                percent: self.offset_cap_percent,
            });
        }
        if !(1..=1200).contains(&self.credit_periods) {
            return Err(PolicyError::CreditPeriods {
                periods: self.credit_periods,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        Policy {
            name: "default".to_owned(),
            time_zone: Zone::parse("Asia/Shanghai").unwrap(),
            currency: "CNY".to_owned(),
            period: PeriodKind::Month,
            statement_prefix: "HS".to_owned(),
            offset_cap_percent: 50,
            offset_classes: vec![Category::Compute, Category::Storage],
            credit_periods: 36,
            late_allowance_seconds: 900,
            estimate_bound: EstimateBound::Lower,
            auto_close_after_days: None,
            archive_after_days: None,
            decrease_effective: DecreaseEffective::NextPeriod,
        }
    }

    #[test]
    fn a_policy_survives_json_in_its_documented_form() {
        let json = json!({
            "name": "default",
            "timeZone": "Asia/Shanghai",
            "currency": "CNY",
            "period": {"kind": "Month"},
            "statementPrefix": "HS",
            "offsetCapPercent": 50,
            "offsetClasses": ["compute", "storage"],
            "creditPeriods": 36,
            "lateAllowanceSeconds": 900,
            "estimateBound": "Lower",
            "decreaseEffective": "NextPeriod",
        });
        assert_eq!(serde_json::to_value(policy()).unwrap(), json);
        assert_eq!(
            serde_json::from_value::<Policy>(json.clone()).unwrap(),
            policy()
        );
        let mut unknown = json;
        unknown["surcharge"] = json!(1);
        assert!(serde_json::from_value::<Policy>(unknown).is_err());
    }

    #[test]
    fn every_parameter_moves_the_digest() {
        let digest = policy().digest().unwrap();
        assert_eq!(policy().digest().unwrap(), digest);
        for other in [
            Policy {
                offset_cap_percent: 51,
                ..policy()
            },
            Policy {
                period: PeriodKind::Rehearsal { seconds: 60 },
                ..policy()
            },
            Policy {
                auto_close_after_days: Some(10),
                ..policy()
            },
            Policy {
                archive_after_days: Some(365),
                ..policy()
            },
            Policy {
                estimate_bound: EstimateBound::Upper,
                ..policy()
            },
        ] {
            assert_ne!(other.digest().unwrap(), digest);
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        assert_eq!(policy().validate(), Ok(()));
        assert_eq!(
            Policy {
                offset_cap_percent: 100,
                ..policy()
            }
            .validate(),
            Ok(())
        );
        for bad in [
            Policy {
                currency: "cny".to_owned(),
                ..policy()
            },
            Policy {
                statement_prefix: String::new(),
                ..policy()
            },
            Policy {
                statement_prefix: "HS/1".to_owned(),
                ..policy()
            },
            Policy {
                offset_cap_percent: 101,
                ..policy()
            },
            Policy {
                credit_periods: 0,
                ..policy()
            },
            Policy {
                credit_periods: 1201,
                ..policy()
            },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
