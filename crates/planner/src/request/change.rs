//! What a request changes, in quantities and in money.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use leasehold_api::tenancy::LeaseItem;
use leasehold_ledger::{
    book::{Catalogue, Item, Per},
    document::Decision,
    money::{Money, Unit, parse_quantity},
    time::Second,
};

use super::{ApprovedPart, LedgerView};
use crate::rules::Refusal;

/// Hours for which an hourly price is quoted a month: a year's hours over twelve.
pub const HOURS_OF_A_MONTH: i64 = 730;

/// Micro-yuan in one fen: prices have six decimals, amounts two.
const MICRO_PER_MINOR: i128 = 10_000;

/// Catalogue items by name.
pub type Items = BTreeMap<String, Item>;

/// Where to look items and prices up.
#[derive(Clone, Copy, Debug)]
pub struct Prices<'a> {
    /// All published books.
    pub catalogue: &'a Catalogue,
    /// Whose books count.
    pub provider: &'a str,
    /// When the price counts.
    pub at: Second,
    /// An earlier instant for items that are leased but no longer in the book, such as the first
    /// day of the term.
    pub since: Second,
    /// What was approved before, if anything was: an item that was leased in the middle of a term
    /// and is in no book any more is what it was when it was decided on.
    pub approved: Option<&'a LedgerView>,
}

impl<'a> Prices<'a> {
    /// The item as its book describes it.
    pub fn item(&self, name: &str) -> Result<&'a Item, Refusal> {
        let at = |instant: Second| self.catalogue.item(self.provider, name, instant);
        at(self.at)
            .or_else(|| at(self.since))
            .or_else(|| self.decided().find_map(at))
            .ok_or_else(|| self.unknown(name))
    }

    /// When what was approved was decided, and when it was asked for: its book may have ended in
    /// between. The latest comes first.
    fn decided(&self) -> impl Iterator<Item = Second> {
        let decisions = self.approved.into_iter().flat_map(|view| {
            let approved = view.decisions.iter().rev();
            approved.map(move |(number, decision)| (view, number, decision))
        });
        decisions
            .filter(|(_, _, decision)| decision.decision == Decision::Approved)
            .flat_map(|(view, number, decision)| {
                let asked = view.requests.iter().filter(move |r| r.request == *number);
                iter::once(decision.at).chain(asked.map(|request| request.at))
            })
    }

    /// The refusal of an item that is in no book.
    pub(super) fn unknown(&self, name: &str) -> Refusal {
        let known = self.catalogue.item_names(self.provider, self.at);
        let allowed = if known.is_empty() {
            format!(
                "nothing, because no price book of {} is in force",
                self.provider
            )
        } else {
            known.join(", ")
        };
        Refusal::new(
            "T21",
            name,
            allowed,
            "lease an item of the provider's price book",
        )
    }
}

/// The items of a lease as the provider's books describe them.
pub fn items_of(part: &ApprovedPart, prices: &Prices<'_>) -> Result<Items, Vec<Refusal>> {
    let mut items = Items::new();
    let mut refused = Vec::new();
    for entry in &part.lease {
        match prices.item(&entry.item) {
            Ok(item) => {
                items.insert(entry.item.to_string(), item.clone());
            }
            Err(refusal) => refused.push(refusal),
        }
    }
    if refused.is_empty() {
        Ok(items)
    } else {
        Err(refused)
    }
}

/// A leased quantity in base units of its item: thousandths of a core, bytes, pieces.
pub fn base_quantity(entry: &LeaseItem, item: &Item) -> Result<i64, Refusal> {
    let refused = |remedy: String| {
        let allowed = match item.unit {
            Unit::Core => "cores above zero, such as 48 or 500m",
            Unit::GiB => "bytes above zero, such as 64Gi",
            Unit::Count => "whole pieces above zero, such as 2",
        };
        Refusal::new(
            "T22",
            format!("{} of {}", entry.quantity, entry.item),
            allowed,
            remedy,
        )
    };
    match parse_quantity(&entry.quantity, item.unit) {
        Ok(base) if base > 0 => Ok(base),
        Ok(_) => Err(refused(
            "take the item out of the lease or ask for more".to_owned(),
        )),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// One changed quantity of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The item.
    pub item: String,
    /// Leased so far, in base units; 0 for an item that is new.
    pub from: i64,
    /// Asked for, in base units; 0 for an item that goes.
    pub to: i64,
    /// Unit of the item.
    pub unit: Unit,
    /// By how much a month gets dearer, or cheaper if below zero. Metered items at the ceiling,
    /// 730 hours.
    pub monthly: Money,
    /// What one-off items cost once; zero or above.
    pub once: Money,
}

/// What `new` changes against `old`, by item. Without `old` everything is new.
pub fn changes(
    old: Option<&ApprovedPart>,
    new: &ApprovedPart,
    prices: &Prices<'_>,
) -> Result<Vec<Change>, Refusal> {
    let before = match old {
        Some(part) => quantities(part, prices)?,
        None => BTreeMap::new(),
    };
    let after = quantities(new, prices)?;
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let from = before.get(name).copied().unwrap_or(0);
        let to = after.get(name).copied().unwrap_or(0);
        if from == to {
            continue;
        }
        let item = prices.item(name)?;
        let dearer = monthly(to, item)
            .minor()
            .saturating_sub(monthly(from, item).minor());
        let more = to.saturating_sub(from).max(0);
        changes.push(Change {
            item: name.clone(),
            from,
            to,
            unit: item.unit,
            monthly: Money::from_minor(dearer),
            once: once(more, item),
        });
    }
    Ok(changes)
}

fn quantities(part: &ApprovedPart, prices: &Prices<'_>) -> Result<BTreeMap<String, i64>, Refusal> {
    let mut quantities: BTreeMap<String, i64> = BTreeMap::new();
    for entry in &part.lease {
        let base = base_quantity(entry, prices.item(&entry.item)?)?;
        let sum = quantities.entry(entry.item.to_string()).or_insert(0);
        *sum = sum.saturating_add(base);
    }
    Ok(quantities)
}

/// What so much of an item costs a month, rounded half up as quotations do: the price per month,
/// or 730 times the price per hour. One-off items cost nothing a month.
pub fn monthly(base: i64, item: &Item) -> Money {
    match item.per {
        Per::Month => amount(base, item, 1),
        Per::Hour => amount(base, item, HOURS_OF_A_MONTH),
        Per::Once => Money::ZERO,
    }
}

fn once(base: i64, item: &Item) -> Money {
    match item.per {
        Per::Once => amount(base, item, 1),
        Per::Month | Per::Hour => Money::ZERO,
    }
}

/// base ÷ scale × price × times in fen, half up; the largest amount if it does not fit. A price
/// has at most 10^15 micro-yuan, so the product stays below 2^127.
fn amount(base: i64, item: &Item, times: i64) -> Money {
    let product = i128::from(base.max(0)) * i128::from(item.price.micro()) * i128::from(times);
    let divisor = i128::from(item.unit.scale()) * MICRO_PER_MINOR;
    let minor = (product + divisor / 2) / divisor;
    Money::from_minor(i64::try_from(minor).unwrap_or(i64::MAX))
}

/// Which way a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A first lease, or more of something and nothing else.
    Increase,
    /// Less of something and nothing else.
    DecreaseOnly,
    /// The same quantities on other terms: term, contract or budget.
    Neutral,
    /// Several of these at once. Waits as a whole.
    Mixed,
}

/// Which way a request goes. What moves quantities and terms at once is mixed, so that nobody
/// slips a longer term past an automatic approval of a small change.
pub fn direction(changes: &[Change], old: Option<&ApprovedPart>, new: &ApprovedPart) -> Direction {
    let Some(old) = old else {
        return Direction::Increase;
    };
    let more = changes.iter().any(|c| c.to > c.from);
    let less = shrinks(changes);
    let other_terms = !old.same_terms(new);
    match (more, less, other_terms) {
        (true, false, false) => Direction::Increase,
        (false, true, false) => Direction::DecreaseOnly,
        (false, false, _) => Direction::Neutral,
        (true, true, _) | (_, _, true) => Direction::Mixed,
    }
}

/// Whether anything gets less.
pub fn shrinks(changes: &[Change]) -> bool {
    changes.iter().any(|c| c.to < c.from)
}

/// What the rising items of a request add to a month, with what they cost once: the amount that
/// counts against the ceiling of automatic approvals. Savings do not make room.
pub fn monthly_increase(changes: &[Change]) -> Money {
    let minor = changes.iter().fold(0_i64, |sum, change| {
        sum.saturating_add(change.monthly.minor().max(0))
            .saturating_add(change.once.minor())
    });
    Money::from_minor(minor)
}

/// Why no person is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoReason {
    /// The lease only shrinks.
    Decrease,
    /// The department stays below its ceiling.
    UnderCeiling,
}

/// Whether a request needs no person.
///
/// `standing` is all that was ever approved this way for the department and still stands, so that
/// many small requests do not add up to a large one. A ceiling of zero switches increases off.
pub fn auto_approval(
    ceiling: Money,
    standing: Money,
    monthly_increase: Money,
    direction: Direction,
) -> Option<AutoReason> {
    match direction {
        Direction::DecreaseOnly => Some(AutoReason::Decrease),
        Direction::Increase => {
            let total = standing.checked_add(monthly_increase).ok()?;
            (ceiling > Money::ZERO && total <= ceiling).then_some(AutoReason::UnderCeiling)
        }
        Direction::Neutral | Direction::Mixed => None,
    }
}
