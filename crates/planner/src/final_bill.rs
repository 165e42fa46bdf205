//! What a tenancy has cost altogether, once nothing of it is left: the sum of what its final statements say of this life of
//! its name. Nothing is rated or rounded again.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::tenancy::{FinalBill, FinalStatement, FinalTotal};
use leasehold_ledger::{
    document::PeriodOpenDoc,
    money::{Money, MoneyError},
    statement::{Line, Statement},
    time::Second,
};

/// So many statements are listed.
const LISTED: usize = 120;

/// A life of a tenancy's name, and when it may have been billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lived<'a> {
    /// Name of the tenancy.
    pub tenancy: &'a str,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// First instant at which it can have been billed.
    pub from: Second,
    /// First instant from which on it was not billed any more; no later than `from` where it never was.
    pub to: Second,
}

impl Lived<'_> {
    /// Whether a line of a statement of its department is of this life.
    fn has(&self, line: &Line) -> bool {
        let stem = match self.incarnation {
            0 | 1 => self.tenancy.to_owned(),
            later => format!("{}.{later}", self.tenancy),
        };
        line.tenancy == self.tenancy && line.id.split('/').next() == Some(stem.as_str())
    }
}

/// Periods in which it can have been billed, by time.
pub fn touched<'a>(lived: &Lived<'_>, opened: &'a [PeriodOpenDoc]) -> Vec<&'a PeriodOpenDoc> {
    let mut touched: Vec<&PeriodOpenDoc> = opened
        .iter()
        .filter(|open| open.period.span.from < lived.to && open.period.span.to > lived.from)
        .collect();
    touched.sort_by_key(|open| open.period.span.from);
    touched
}

/// The first of these periods that is not closed, by its name. Where the last of them is not opened yet, the words for it.
pub fn missing(
    lived: &Lived<'_>,
    touched: &[&PeriodOpenDoc],
    closed: &BTreeSet<String>,
) -> Option<String> {
    if lived.to <= lived.from {
        return None;
    }
    let mut names = touched.iter().map(|open| &open.period.name);
    if let Some(name) = names.find(|name| !closed.contains(*name)) {
        return Some(format!("period {name}"));
    }
    let is_covered = touched
        .last()
        .is_some_and(|last| last.period.span.to >= lived.to);
    (!is_covered).then(|| format!("the period that contains {}", lived.to))
}

/// Adds up what final statements say of it. `through` is its end for people.
pub fn reckon(
    lived: &Lived<'_>,
    through: String,
    statements: &[Statement],
) -> Result<FinalBill, MoneyError> {
    let mut by_currency: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    let mut listed = Vec::new();
    for statement in statements {
        let lines: Vec<&Line> = statement
            .lines
            .iter()
            .filter(|line| lived.has(line))
            .collect();
        if lines.is_empty() {
            continue;
        }
        listed.push(FinalStatement {
            number: statement.number.clone(),
            period: statement.period.name.clone(),
            net: Money::sum(lines.iter().map(|line| line.net))?.to_string(),
        });
        let all = by_currency.entry(&statement.currency).or_default();
        all.extend(lines);
    }
    let surplus = listed.len().saturating_sub(LISTED);
    listed.drain(..surplus);
    let totals = by_currency.into_iter().map(|(currency, lines)| {
        Ok(FinalTotal {
            currency: currency.to_owned(),
            gross: Money::sum(lines.iter().map(|line| line.gross))?.to_string(),
            offset: Money::sum(lines.iter().map(|line| line.offset))?.to_string(),
            net: Money::sum(lines.iter().map(|line| line.net))?.to_string(),
        })
    });
    Ok(FinalBill {
        through,
        totals: totals.collect::<Result<_, MoneyError>>()?,
        statements: listed,
        more_statements: u32::try_from(surplus).unwrap_or(u32::MAX),
    })
}

/// The bill in a sentence.
pub fn sentence(bill: &FinalBill) -> String {
    let through = &bill.through;
    if bill.totals.is_empty() {
        return format!("nothing was charged for it up to {through}");
    }
    let totals = bill.totals.iter();
    let totals: Vec<String> = totals
        .map(|total| {
            let FinalTotal {
                currency,
                gross,
                offset,
                net,
            } = total;
            format!("{net} {currency} to be paid ({gross} charged, {offset} paid by credit)")
        })
        .collect();
    let number = bill
        .statements
        .len()
        .saturating_add(usize::try_from(bill.more_statements).unwrap_or(usize::MAX));
    let statements = if number == 1 {
        "statement"
    } else {
        "statements"
    };
    format!(
        "the final bill up to {through}: {}, by {number} {statements}",
        totals.join(", ")
    )
}

#[cfg(test)]
mod tests;
