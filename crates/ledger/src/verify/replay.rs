//! From rows back to the input of a close; shared by the operator and by `verify`.

use std::collections::BTreeMap;

use crate::book::Book;
use crate::canonical::{CanonicalError, digest_of};
use crate::close::{CloseError, CloseInput, lot_states};
use crate::document::{DepartmentDoc, GapAcceptedDoc, GapDoc, PeriodOpenDoc};
use crate::fact::Facts;
use crate::journal::Entry;
use crate::lot::Lot;
use crate::policy::Policy;
use crate::statement::{StatementGap, gaps_of};

/// What a ledger holds of the things that a close depends on, each with the sequence of its row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// All facts.
    pub facts: Facts,
    /// All published books; of one name the latest counts.
    pub books: Vec<(u64, Book)>,
    /// All lots.
    pub lots: Vec<(u64, Lot)>,
    /// The whole journal.
    pub entries: Vec<(u64, Entry)>,
    /// All departments; of one code the latest counts.
    pub departments: Vec<(u64, DepartmentDoc)>,
    /// All policies that were ever in force.
    pub policies: Vec<Policy>,
    /// All gaps in the observation of use.
    pub gaps: Vec<(u64, GapDoc)>,
    /// What finance has accepted of them.
    pub accepted: Vec<(u64, GapAcceptedDoc)>,
}

/// Why the input of a close could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The period refers to a policy that the ledger does not hold.
    #[error("failed to find the policy {digest} of period {period}; the ledger is incomplete")]
    Policy {
        /// Name of the period.
        period: String,
        /// Digest that was looked for.
        digest: String,
    },
    /// A policy without a canonical form.
    #[error("failed to digest a policy")]
    Canonical(#[from] CanonicalError),
    /// A journal that leaves a lot below zero or above its amount.
    #[error("failed to read the lots from the journal")]
    Lots(#[source] Box<CloseError>),
}

/// The input of a period's close, from everything with a sequence up to `through` (inclusive). The
/// facts are the records' own; they are many, and a close can leave out later ones itself.
pub fn close_input(
    open: &PeriodOpenDoc,
    records: &Records,
    through: u64,
) -> Result<CloseInput, ReplayError> {
    let mut departments = BTreeMap::new();
    for doc in latest(&records.departments, through, |d| &d.code) {
        departments.insert(doc.code.clone(), doc.display_name.clone());
    }
    let lots: Vec<Lot> = known(&records.lots, through).cloned().collect();
    let entries: Vec<Entry> = known(&records.entries, through).cloned().collect();
    Ok(CloseInput {
        period: open.period.clone(),
        policy: policy(open, records)?,
        policy_digest: open.policy.clone(),
        through,
        books: latest(&records.books, through, |b| &b.name)
            .cloned()
            .collect(),
        lots: lot_states(&lots, &entries).map_err(|e| ReplayError::Lots(Box::new(e)))?,
        departments,
        gaps: gaps_through(open, records, through),
        as_of: None,
    })
}

/// The gaps that touch a period, from everything with a sequence up to `through`.
pub(super) fn gaps_through(
    open: &PeriodOpenDoc,
    records: &Records,
    through: u64,
) -> Vec<StatementGap> {
    let accepted = known(&records.accepted, through);
    gaps_of(&open.period, known(&records.gaps, through), accepted)
}

fn policy(open: &PeriodOpenDoc, records: &Records) -> Result<Policy, ReplayError> {
    for policy in &records.policies {
        if digest_of(policy)? == open.policy {
            return Ok(policy.clone());
        }
    }
    Err(ReplayError::Policy {
        period: open.period.name.clone(),
        digest: open.policy.to_string(),
    })
}

fn known<T>(rows: &[(u64, T)], through: u64) -> impl Iterator<Item = &T> {
    rows.iter()
        .filter(move |(seq, _)| *seq <= through)
        .map(|(_, body)| body)
}

/// The row with the highest sequence of each name, by name.
fn latest<'a, T>(
    rows: &'a [(u64, T)],
    through: u64,
    name: impl Fn(&'a T) -> &'a String,
) -> impl Iterator<Item = &'a T> {
    let mut by_name: BTreeMap<&'a String, (u64, &'a T)> = BTreeMap::new();
    for (seq, body) in rows.iter().filter(|(seq, _)| *seq <= through) {
        let newest = by_name.entry(name(body)).or_insert((*seq, body));
        if newest.0 <= *seq {
            *newest = (*seq, body);
        }
    }
    by_name.into_values().map(|(_, body)| body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{close, fixture};
    use crate::statement::State;
    use crate::time::Second;

    fn records() -> Records {
        let input = fixture::input();
        let lot = input.lots[0].lot.clone();
        Records {
            facts: fixture::facts().iter().collect(),
            books: (2..).zip(input.books).collect(),
            entries: vec![(4, Entry::grant(&lot, Second::new(0)).unwrap())],
            lots: vec![(3, lot)],
            departments: vec![(1, fixture::department("市政府办"))],
            policies: vec![input.policy],
            ..Records::default()
        }
    }

    #[test]
    fn the_fixture_comes_back_from_its_records() {
        let built = close_input(&fixture::open(), &records(), u64::MAX).unwrap();
        assert_eq!(built, fixture::input());
    }

    #[test]
    fn rows_after_the_last_sequence_do_not_count() {
        let mut all = records();
        all.facts = Facts::default();
        for (seq, fact) in (10..).zip(fixture::facts()) {
            all.facts.push(seq, &fact);
        }
        let built = close_input(&fixture::open(), &all, 10).unwrap();
        let closed = close(&built, &all.facts, State::Final).unwrap();
        let items: Vec<&str> = closed.statements[0]
            .lines
            .iter()
            .map(|l| l.item.as_str())
            .collect();
        assert_eq!(
            items,
            ["vcpu-x86"],
            "of the four facts only the first counts"
        );
        let nothing = close_input(&fixture::open(), &all, 0).unwrap();
        assert!(nothing.departments.is_empty() && nothing.books.is_empty());
        assert!(nothing.lots.is_empty());
    }

    #[test]
    fn of_two_books_or_departments_of_one_name_the_later_counts_wherever_it_stands() {
        let mut all = records();
        all.departments
            .insert(0, (7, fixture::department("市府办公室")));
        let mut shorter = all.books[0].1.clone();
        shorter.through = shorter.from;
        all.books.insert(0, (8, shorter.clone()));
        let built = close_input(&fixture::open(), &all, 99).unwrap();
        assert_eq!(built.departments["gov-office"], "市府办公室");
        assert!(built.books.contains(&shorter));
        let before = close_input(&fixture::open(), &all, 7).unwrap();
        assert!(!before.books.contains(&shorter));
    }

    #[test]
    fn a_period_without_its_policy_is_an_error_that_names_it() {
        let mut all = records();
        all.policies.clear();
        let error = close_input(&fixture::open(), &all, 99)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("2026-09") && error.contains("sha256:"),
            "{error}"
        );
    }
}
