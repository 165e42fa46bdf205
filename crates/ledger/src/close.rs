//! Closing a period: one pure function from what was recorded to statements and journal entries.
//!
//! The operator closes with it, shows drafts with it, and `verify` recomputes every close with it.
//! The order in which facts, books and lots come shows nowhere in the result.

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use crate::book::{Book, Catalogue, Category};
use crate::canonical::{CanonicalError, Digest};
use crate::fact::{FactError, Facts, Meter, Order, Stretch};
use crate::journal::{
    Entry, EntryKind, JournalError, Posting, balances, credit_account, receivable_account,
};
use crate::lot::{Burn, Lot, LotError, LotState, burn};
use crate::money::{Money, MoneyError};
use crate::policy::Policy;
use crate::rating::{RatedLine, RatingError, rate_department};
use crate::statement::{
    Credit, State, Statement, StatementDepartment, StatementError, StatementGap, StatementPeriod,
    Totals, line, named, totals,
};
use crate::time::{Period, Second};

/// Everything that a close takes into account beside the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseInput {
    /// The period, with the bounds that were fixed when it was opened.
    pub period: Period,
    /// The policy that was in force at its first instant.
    pub policy: Policy,
    /// Digest of that policy.
    pub policy_digest: Digest,
    /// The ledger's row with the last fact that counts.
    pub through: u64,
    /// All published books, one of each name.
    pub books: Vec<Book>,
    /// All lots with their rest before this close.
    pub lots: Vec<LotState>,
    /// Names of the departments by code; each gets a statement.
    pub departments: BTreeMap<String, String>,
    /// The gaps that touch the period, as [`crate::statement::gaps_of`] gives them. Closes from before statements named
    /// them have none.
    pub gaps: Vec<StatementGap>,
    /// Drafts only: up to when use is counted. A final close counts the whole period.
    pub as_of: Option<Second>,
}

/// What a close gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// One statement per department, by code.
    pub statements: Vec<Statement>,
    /// One entry per department that was charged, by code, then the lots that expire.
    pub entries: Vec<Entry>,
    /// Sum over all statements.
    pub totals: Totals,
    /// How many gaps touch the period.
    pub gaps: u32,
    /// Facts that do not fit into the life of their objects. They were left out, and what they
    /// touch is marked as estimated; people should look at each.
    pub contradictions: Vec<FactError>,
}

/// Why a period could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// A book in another currency than the policy's.
    #[error(
        "failed to close {period}: book {book} is in {found}, but the policy's currency is \
         {expected}; withdraw the book"
    )]
    Currency {
        /// Name of the period.
        period: String,
        /// Name of the book.
        book: String,
        /// The policy's currency.
        expected: String,
        /// The book's.
        found: String,
    },
    /// A lot whose journal says that it holds less than nothing or more than was granted.
    #[error(
        "failed to read lot {lot}: its account holds {remaining} of {amount}; verify the ledger"
    )]
    Lot {
        /// Id of the lot.
        lot: String,
        /// What the journal leaves.
        remaining: Money,
        /// What was granted.
        amount: Money,
    },
    /// Two facts have one key and different bodies.
    #[error("failed to derive intervals from the facts")]
    Facts(#[from] FactError),
    /// The books contradict each other.
    #[error("failed to build the catalogue from the published books")]
    Books(#[from] crate::book::BookError),
    /// A department could not be rated.
    #[error("failed to rate a department")]
    Rating(#[from] RatingError),
    /// Credits could not be applied.
    #[error("failed to apply the credits of a department")]
    Credits(#[from] LotError),
    /// A statement that does not hold.
    #[error("failed to draw up a statement")]
    Statement(#[from] StatementError),
    /// An entry that is not balanced.
    #[error("failed to post the close")]
    Journal(#[from] JournalError),
    /// A statement without a canonical form.
    #[error("failed to digest a statement")]
    Canonical(#[from] CanonicalError),
    /// An amount beyond what money can hold.
    #[error("failed to add up the close")]
    Money(#[from] MoneyError),
}

/// Closes a period, or draws up its drafts, from the facts of this and earlier periods.
///
/// Departments go in code order. A final close also expires what is left of the lots that end with
/// the period (or ended before it), after they have paid for it; a draft posts nothing.
pub fn close(input: &CloseInput, facts: &Facts, state: State) -> Result<Closing, CloseError> {
    check_currency(input)?;
    let horizon = horizon(input, state);
    let (mut by_department, contradictions) = rated(input, facts, horizon)?;
    let mut codes: BTreeSet<String> = input.departments.keys().cloned().collect();
    codes.extend(by_department.keys().cloned());
    let mut statements = Vec::with_capacity(codes.len());
    let mut entries = Vec::new();
    let mut applied: BTreeMap<String, Money> = BTreeMap::new();
    for code in codes {
        let lines = by_department.remove(&code).unwrap_or_default();
        let burns = burns(input, &code, &lines)?;
        for b in &burns {
            applied.insert(b.lot.clone(), b.applied);
        }
        let statement = statement(input, state, &code, &lines, &burns)?;
        if state == State::Final && statement.totals.gross != Money::ZERO {
            entries.push(entry(&input.period, &code, &lines, &burns)?);
        }
        statements.push(statement);
    }
    if state == State::Final {
        entries.extend(expiries(input, &applied)?);
    }
    let totals = Totals::sum(statements.iter().map(|s| &s.totals))?;
    Ok(Closing {
        statements,
        entries,
        totals,
        gaps: u32::try_from(input.gaps.len()).unwrap_or(u32::MAX),
        contradictions,
    })
}

/// What is left of each lot, from the journal. A lot that was not granted yet has nothing.
pub fn lot_states(lots: &[Lot], entries: &[Entry]) -> Result<Vec<LotState>, CloseError> {
    let balances = balances(entries)?;
    let mut states = Vec::with_capacity(lots.len());
    for lot in lots {
        let balance = balances
            .get(&credit_account(&lot.id))
            .copied()
            .unwrap_or(Money::ZERO);
        let remaining = balance.checked_neg()?;
        if remaining < Money::ZERO || remaining > lot.amount {
            return Err(CloseError::Lot {
                lot: lot.id.clone(),
                remaining,
                amount: lot.amount,
            });
        }
        states.push(LotState {
            lot: lot.clone(),
            remaining,
        });
    }
    Ok(states)
}

fn check_currency(input: &CloseInput) -> Result<(), CloseError> {
    match input
        .books
        .iter()
        .find(|b| b.currency != input.policy.currency)
    {
        None => Ok(()),
        Some(book) => Err(CloseError::Currency {
            period: input.period.name.clone(),
            book: book.name.clone(),
            expected: input.policy.currency.clone(),
            found: book.currency.clone(),
        }),
    }
}

/// Use is counted up to the end of the period, in a draft at most up to now.
fn horizon(input: &CloseInput, state: State) -> Second {
    let end = input.period.span.to;
    match (state, input.as_of) {
        (State::Draft, Some(as_of)) => end.min(as_of),
        (State::Draft, None) | (State::Final, _) => end,
    }
}

/// Lines by the code of their department.
type Lines = BTreeMap<String, Vec<RatedLine>>;

/// The lines of every department that has any, and the facts that do not fit.
fn rated(
    input: &CloseInput,
    facts: &Facts,
    horizon: Second,
) -> Result<(Lines, Vec<FactError>), CloseError> {
    let mut books = input.books.clone();
    books.sort_by(|a, b| a.name.cmp(&b.name));
    let catalogue = Catalogue::new(books, input.period.time_zone.clone())?;
    let mut by_department: BTreeMap<&str, Vec<Stretch<'_>>> = BTreeMap::new();
    let contradictions = facts.trace(input.through, horizon, Order::ByVersion, |part| {
        let stretch = part.stretch;
        if counts(&stretch, &input.period) {
            by_department
                .entry(&stretch.subject.department)
                .or_default()
                .push(stretch);
        }
    })?;
    let mut lines = BTreeMap::new();
    for (code, stretches) in by_department {
        let rated = rate_department(&input.period, &stretches, &catalogue)?;
        if !rated.is_empty() {
            lines.insert(code.to_owned(), rated);
        }
    }
    Ok((lines, contradictions))
}

/// Whether a stretch can show in a period's lines: use that lies in it, and every lease, because an
/// increase is told from what stood before.
fn counts(stretch: &Stretch<'_>, period: &Period) -> bool {
    matches!(stretch.meter, Meter::Lease { .. }) || stretch.span.intersect(&period.span).is_some()
}

fn burns(input: &CloseInput, code: &str, lines: &[RatedLine]) -> Result<Vec<Burn>, LotError> {
    let charges: Vec<(String, Category, Money)> = lines
        .iter()
        .map(|l| (l.id.clone(), l.category, l.gross))
        .collect();
    let lots: Vec<LotState> = input
        .lots
        .iter()
        .filter(|s| s.lot.department == code)
        .cloned()
        .collect();
    burn(
        &input.period,
        &charges,
        &lots,
        input.policy.offset_cap_percent,
    )
}

fn statement(
    input: &CloseInput,
    state: State,
    code: &str,
    rated: &[RatedLine],
    burns: &[Burn],
) -> Result<Statement, CloseError> {
    let zone = &input.period.time_zone;
    let mut lines = Vec::with_capacity(rated.len());
    for r in rated {
        let paid = burns.iter().filter_map(|b| b.per_line.get(&r.id)).copied();
        lines.push(line(r, Money::sum(paid)?, zone)?);
    }
    let (gaps, more_gaps) = named(&input.gaps);
    let payees: BTreeSet<&str> = rated.iter().map(|r| r.provider.as_str()).collect();
    let prefix = &input.policy.statement_prefix;
    let as_of = match state {
        State::Draft => input
            .as_of
            .map(|at| at.min(input.period.span.to).in_zone(zone)),
        State::Final => None,
    };
    let mut statement = Statement {
        number: format!("{prefix}-{}-{code}", input.period.name),
        state,
        period: StatementPeriod::from(&input.period),
        department: StatementDepartment {
            name: code.to_owned(),
            display_name: input
                .departments
                .get(code)
                .map_or(code, String::as_str)
                .to_owned(),
        },
        payee: payees.into_iter().collect::<Vec<_>>().join(", "),
        currency: input.policy.currency.clone(),
        totals: totals(&lines)?,
        lines,
        more_lines: 0,
        credits: burns.iter().map(Credit::from).collect(),
        gaps,
        more_gaps,
        as_of,
        policy: input.policy_digest.clone(),
        chain: None,
        digest: None,
    };
    statement.check()?;
    statement.digest = Some(statement.digest()?);
    Ok(statement)
}

/// Dr credit of each lot that paid, Dr receivable; Cr revenue by category.
fn entry(
    period: &Period,
    code: &str,
    lines: &[RatedLine],
    burns: &[Burn],
) -> Result<Entry, CloseError> {
    let mut postings = Vec::with_capacity(lines.len().saturating_add(burns.len()));
    let mut net = Money::ZERO;
    for l in lines {
        net = net.checked_add(l.gross)?;
        postings.push(Posting {
            account: format!("revenue/{}", l.category),
            amount: l.gross.checked_neg()?,
        });
    }
    for b in burns {
        net = net.checked_sub(b.applied)?;
        postings.push(Posting {
            account: credit_account(&b.lot),
            amount: b.applied,
        });
    }
    postings.push(Posting {
        account: receivable_account(code),
        amount: net,
    });
    Ok(Entry::new(
        format!("close/{}/{code}", period.name),
        EntryKind::Close,
        period.span.to,
        code.to_owned(),
        Some(period.name.clone()),
        postings,
    )?)
}

/// The entry that a close posts for a final statement, from what the statement says.
pub(crate) fn entry_of(statement: &Statement) -> Result<Entry, JournalError> {
    let code = &statement.department.name;
    let period = &statement.period;
    let mut net = Money::ZERO;
    let mut postings = Vec::new();
    for line in &statement.lines {
        net = net.checked_add(line.gross)?;
        postings.push(Posting {
            account: format!("revenue/{}", line.category),
            amount: line.gross.checked_neg()?,
        });
    }
    for credit in &statement.credits {
        net = net.checked_sub(credit.applied)?;
        postings.push(Posting {
            account: credit_account(&credit.lot),
            amount: credit.applied,
        });
    }
    postings.push(Posting {
        account: receivable_account(code),
        amount: net,
    });
    Entry::new(
        format!("close/{}/{code}", period.name),
        EntryKind::Close,
        period.end,
        code.clone(),
        Some(period.name.clone()),
        postings,
    )
}

/// The rests of lots that end with the period, by lot id.
fn expiries(
    input: &CloseInput,
    applied: &BTreeMap<String, Money>,
) -> Result<Vec<Entry>, CloseError> {
    let mut ended: Vec<&LotState> = input
        .lots
        .iter()
        .filter(|s| s.lot.span.to <= input.period.span.to)
        .collect();
    ended.sort_by(|a, b| a.lot.id.cmp(&b.lot.id));
    let mut entries = Vec::new();
    for state in ended {
        let paid = applied.get(&state.lot.id).copied().unwrap_or(Money::ZERO);
        let rest = state.remaining.checked_sub(paid)?;
        if rest > Money::ZERO {
            entries.push(Entry::expire(
                &state.lot,
                rest,
                Some(input.period.name.clone()),
            )?);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
