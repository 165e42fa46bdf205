//! Figures that change all the time and are shown seldom: charges so far and credit left.
//!
//! The period controller reckons them; the tenancy controller copies them into a status when it writes one anyway, and
//! at most once an hour otherwise. So a quiet cluster stays quiet.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use leasehold_ledger::{money::Money, time::Second};

/// Charges of a tenancy in the running period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// Name of the billing period.
    pub period: String,
    /// Charged so far, before credit.
    pub gross: Money,
    /// What is charged so far: of each item the quantities of its lines, with their unit.
    pub items: BTreeMap<String, Vec<String>>,
    /// When it was reckoned.
    pub as_of: Second,
}

/// Characters of the use that a status shows.
const SHOWN: usize = 256;

impl SoFar {
    /// What is charged so far in one line; none while that is nothing.
    pub fn usage(&self) -> Option<String> {
        let items = self.items.iter();
        let told: Vec<String> = items
            .map(|(item, quantities)| format!("{item} {}", quantities.join(" + ")))
            .collect();
        let mut text = told.join(", ");
        if text.chars().count() > SHOWN {
            text = text.chars().take(SHOWN.saturating_sub(1)).collect();
            text.push('…');
        }
        (!text.is_empty()).then_some(text)
    }
}

#[derive(Default)]
struct Inner {
    so_far: BTreeMap<(String, String), SoFar>,
    credit: BTreeMap<String, Money>,
}

/// The figures, shared by all controllers.
#[derive(Clone, Default)]
pub struct Figures(Arc<RwLock<Inner>>);

impl Figures {
    /// Replaces all figures.
    pub fn replace(
        &self,
        so_far: BTreeMap<(String, String), SoFar>,
        credit: BTreeMap<String, Money>,
    ) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Inner { so_far, credit };
    }

    /// Charges so far of this department's tenancy.
    pub fn so_far(&self, department: &str, tenancy: &str) -> Option<SoFar> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .so_far
            .get(&(department.to_owned(), tenancy.to_owned()))
            .cloned()
    }

    /// Hardware credit that the department has left.
    pub fn credit_left(&self, department: &str) -> Option<Money> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.credit.get(department).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_department_are_not_those_of_another() {
        let figures = Figures::default();
        let of = |minor| SoFar {
            period: "2026-09".to_owned(),
            gross: Money::from_minor(minor),
            items: BTreeMap::from([
                ("vcpu-x86".to_owned(), vec!["1.5 Core·Month".to_owned()]),
                (
                    "memory".to_owned(),
                    vec!["2 GiB·Month".to_owned(), "0.25 GiB·Month".to_owned()],
                ),
            ]),
            as_of: Second::new(5),
        };
        figures.replace(
            BTreeMap::from([
                (("a".to_owned(), "oa".to_owned()), of(1)),
                (("b".to_owned(), "oa".to_owned()), of(2)),
            ]),
            BTreeMap::from([("a".to_owned(), Money::from_minor(7))]),
        );
        assert_eq!(figures.so_far("b", "oa").unwrap().gross.minor(), 2);
        assert_eq!(figures.so_far("b", "mail"), None);
        assert_eq!(
            of(1).usage().as_deref(),
            Some("memory 2 GiB·Month + 0.25 GiB·Month, vcpu-x86 1.5 Core·Month")
        );
        let nothing = SoFar {
            items: BTreeMap::new(),
            ..of(1)
        };
        assert_eq!(nothing.usage(), None);
        assert_eq!(figures.credit_left("a"), Some(Money::from_minor(7)));
        assert_eq!(figures.credit_left("b"), None);
    }
}
