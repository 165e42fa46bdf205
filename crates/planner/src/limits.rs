//! What a department and everything below it may lease together, and what a department that ends may still ask for.
//!
//! A tenancy takes what it may come to hold: the greatest of what is provisioned, of what was approved since, and of the
//! request that waits for a decision. So two requests that both wait are not approved beyond a limit together, and
//! nothing has to be checked when somebody decides. Amounts are those that were quoted when the request was opened.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use leasehold_api::tenancy::{DepartmentEnd, LeaseItem, Leased, LeasedItem, Limits};
use leasehold_ledger::{
    document::{Decision, RequestDoc},
    money::{Money, MoneyError, Unit, format_quantity, parse_quantity},
    quote::Quotation,
};
use serde::Deserialize;

use crate::{
    request::{ApprovedPart, Asked, Change, LedgerView, RequestError},
    rules::Refusal,
};

/// A refusal names so many of those who take the most.
const NAMED: usize = 3;
/// Most items in the status of a department: those of its own limits and of eight departments above.
const SHOWN: usize = 576;

/// What can go wrong when takes are added up.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The recorded request cannot be read.
    #[error("failed to read what a recorded request takes of a limit")]
    Request(#[from] RequestError),
    /// The recorded quotation cannot be read.
    #[error("failed to read the quotation of request {request}; verify the ledger")]
    Quotation {
        /// The request.
        request: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A quantity is none.
    #[error("failed to read {text:?} as a quantity of {item}; verify the ledger")]
    Quantity {
        /// The item.
        item: String,
        /// What is written.
        text: String,
    },
    /// More than amounts can hold.
    #[error("failed to add up what is leased")]
    Money(#[from] MoneyError),
}

/// What a tenancy takes of the limits of its department and of those above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Yuan a month, as quoted.
    pub monthly: Money,
    /// Thousandths of each item, so that no unit has to be known.
    pub items: BTreeMap<String, i128>,
    /// Whether something of it was approved and is not released.
    pub holds: bool,
    /// Whether a request of it waits for a decision.
    pub waits: bool,
}

impl Take {
    fn nothing(view: &LedgerView) -> Self {
        Self {
            department: view.department.clone(),
            tenancy: view.tenancy.clone(),
            monthly: Money::ZERO,
            items: BTreeMap::new(),
            holds: false,
            waits: false,
        }
    }

    fn at_least(&mut self, lease: &[LeaseItem], monthly: Money) -> Result<(), LimitError> {
        self.monthly = self.monthly.max(monthly);
        let mut asked: BTreeMap<&str, i128> = BTreeMap::new();
        for entry in lease {
            let amount = thousandths(&entry.quantity).ok_or_else(|| LimitError::Quantity {
                item: entry.item.to_string(),
                text: entry.quantity.to_string(),
            })?;
            let sum = asked.entry(&entry.item).or_default();
            *sum = sum.saturating_add(amount);
        }
        for (item, amount) in asked {
            let most = self.items.entry(item.to_owned()).or_default();
            *most = amount.max(*most);
        }
        Ok(())
    }

    fn request(&mut self, request: &RequestDoc) -> Result<(), LimitError> {
        let monthly = match &request.quotation {
            None => Money::ZERO,
            Some(quotation) => {
                let read = Quotation::deserialize(quotation);
                read.map_err(|source| LimitError::Quotation {
                    request: format!(
                        "{}/{} {}",
                        request.department, request.tenancy, request.request
                    ),
                    source,
                })?
                .monthly
            }
        };
        self.at_least(&Asked::read(request)?.part.lease, monthly)
    }

    /// Whether it has more of any item than it had before; all that a tenancy takes that took nothing is more.
    fn has_more_than(&self, before: Option<&Self>) -> bool {
        let before = before.map(|take| &take.items);
        self.items.iter().any(|(item, amount)| {
            let had = before.and_then(|items| items.get(item));
            *amount > had.copied().unwrap_or(0)
        })
    }

    /// `oa of street`.
    fn title(&self) -> String {
        format!("{} of {}", self.tenancy, self.department)
    }
}

/// A quantity in thousandths, whatever it counts.
pub fn thousandths(text: &str) -> Option<i128> {
    // the finest unit first, the coarser one for what is too large for it
    let fine = parse_quantity(text, Unit::Core).map(i128::from);
    let coarse = || parse_quantity(text, Unit::Count).map(|whole| i128::from(whole) * 1000);
    fine.or_else(|_| coarse()).ok()
}

/// Thousandths as people write them of an item that is counted in this unit.
fn shown(thousandths: i128, unit: Unit) -> String {
    let base = match unit {
        Unit::Core => thousandths,
        Unit::GiB | Unit::Count => thousandths / 1000,
    };
    i64::try_from(base).map_or_else(|_| base.to_string(), |base| format_quantity(base, unit))
}

/// What a tenancy takes by what was approved; nothing that waits is in it.
fn approved(view: &LedgerView) -> Result<Take, LimitError> {
    let mut take = Take::nothing(view);
    // what was approved before the provisioned lease is over; what was approved since may come yet
    let since = view.effective().map_or(0, |request| request.request);
    for request in view.requests.iter().filter(|r| r.request >= since) {
        if view.decision(request.request) == Some(Decision::Approved) {
            take.request(request)?;
            take.holds = true;
        }
    }
    Ok(take)
}

/// What a tenancy takes; nothing when it was released, or never had anything and asks for nothing.
pub fn take(view: &LedgerView) -> Result<Option<Take>, LimitError> {
    if view.released() {
        return Ok(None);
    }
    let mut take = approved(view)?;
    if let Some(open) = view.open() {
        take.request(open)?;
        take.waits = true;
    }
    Ok((take.holds || take.waits).then_some(take))
}

/// What a tenancy would take if it asked for this, in place of what waits.
pub fn take_with(
    view: &LedgerView,
    part: &ApprovedPart,
    monthly: Money,
) -> Result<Take, LimitError> {
    let mut take = approved(view)?;
    take.at_least(&part.lease, monthly)?;
    take.waits = true;
    Ok(take)
}

/// What several tenancies take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Yuan a month.
    pub monthly: Money,
    /// Thousandths of each item.
    pub items: BTreeMap<String, i128>,
    /// How many they are.
    pub tenancies: u32,
}

impl Sum {
    /// All of these together.
    pub fn of<'a>(takes: impl IntoIterator<Item = &'a Take>) -> Result<Self, LimitError> {
        let mut sum = Self::default();
        for take in takes {
            sum.monthly = sum.monthly.checked_add(take.monthly)?;
            sum.tenancies = sum.tenancies.saturating_add(1);
            for (item, amount) in &take.items {
                let total = sum.items.entry(item.clone()).or_default();
                *total = total.saturating_add(*amount);
            }
        }
        Ok(sum)
    }

    /// The same with what a department says of itself.
    pub fn with(mut self, leased: &Leased) -> Result<Self, LimitError> {
        self.monthly = self.monthly.checked_add(Money::parse(&leased.monthly)?)?;
        self.tenancies = self.tenancies.saturating_add(leased.tenancies);
        for entry in &leased.items {
            let amount = thousandths(&entry.quantity).ok_or_else(|| LimitError::Quantity {
                item: entry.item.clone(),
                text: entry.quantity.clone(),
            })?;
            let total = self.items.entry(entry.item.clone()).or_default();
            *total = total.saturating_add(amount);
        }
        Ok(self)
    }

    /// What a department says of itself: of items only those on which there is a limit somewhere.
    pub fn leased(&self, limited: &BTreeSet<String>, unit_of: impl Fn(&str) -> Unit) -> Leased {
        let items = self
            .items
            .iter()
            .filter(|(item, _)| limited.contains(*item));
        Leased {
            monthly: self.monthly.to_string(),
            tenancies: self.tenancies,
            items: items
                .take(SHOWN)
                .map(|(item, amount)| LeasedItem {
                    item: item.clone(),
                    quantity: shown(*amount, unit_of(item)),
                })
                .collect(),
        }
    }
}

/// A limit as it is written in a department, and what it comes to. What cannot be read allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound<T> {
    most: T,
    written: String,
}

/// What one department and everything below it may lease together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    department: String,
    monthly: Option<Bound<Money>>,
    items: BTreeMap<String, Bound<i128>>,
}

impl Limit {
    /// The limits of the department with this code.
    pub fn of(department: &str, limits: &Limits) -> Self {
        let monthly = limits.monthly.as_ref().map(|amount| Bound {
            most: Money::parse(amount).unwrap_or(Money::ZERO),
            written: amount.to_string(),
        });
        let items = limits.items.iter().map(|limit| {
            let bound = Bound {
                most: thousandths(&limit.quantity).unwrap_or(0),
                written: limit.quantity.to_string(),
            };
            (limit.item.to_string(), bound)
        });
        Self {
            department: department.to_owned(),
            items: items.collect(),
            monthly,
        }
    }

    /// The department whose limits these are.
    pub fn department(&self) -> &str {
        &self.department
    }

    /// The limit of a month, as it is written.
    pub fn monthly(&self) -> Option<&str> {
        self.monthly.as_ref().map(|bound| bound.written.as_str())
    }

    /// Items on which there is a limit.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }

    /// Whether a tenancy may take `after` where it took `before`, beside what `others` of the department and below it
    /// take. Taking no more than before is always possible, also where too much is taken already, and also where the
    /// same costs more by now: a limit is no reason to end what a department has.
    pub fn check(
        &self,
        others: &[&Take],
        before: Option<&Take>,
        after: &Take,
        unit_of: impl Fn(&str) -> Unit,
    ) -> Result<Vec<Refusal>, LimitError> {
        let taken = Sum::of(others.iter().copied())?;
        let mut refused = Vec::new();
        if let Some(bound) = &self.monthly {
            let total = taken.monthly.checked_add(after.monthly)?;
            let rises = after.monthly > before.map_or(Money::ZERO, |take| take.monthly);
            if rises && after.has_more_than(before) && total > bound.most {
                let who = largest(others, |take| take.monthly, ToString::to_string);
                let figures = [
                    format!("{} a month", after.monthly),
                    total.to_string(),
                    format!("{} a month", bound.written),
                    taken.monthly.to_string(),
                ];
                refused.push(self.refusal("T50", &after.title(), &figures, &who));
            }
        }
        for (item, amount) in &after.items {
            let Some(bound) = self.items.get(item) else {
                continue;
            };
            let of = |take: &Take| take.items.get(item).copied().unwrap_or(0);
            let beside = taken.items.get(item).copied().unwrap_or(0);
            let total = beside.saturating_add(*amount);
            if *amount > before.map_or(0, of) && total > bound.most {
                let unit = unit_of(item);
                let who = largest(others, of, |amount| shown(*amount, unit));
                let figures = [
                    format!("{} of {item}", shown(*amount, unit)),
                    shown(total, unit),
                    format!("{} of {item}", bound.written),
                    shown(beside, unit),
                ];
                refused.push(self.refusal("T51", &after.title(), &figures, &who));
            }
        }
        Ok(refused)
    }

    fn refusal(
        &self,
        rule: &'static str,
        tenancy: &str,
        [asked, total, allowed, taken]: &[String; 4],
        who: &str,
    ) -> Refusal {
        let department = &self.department;
        Refusal::new(
            rule,
            format!(
                "{asked} for {tenancy}, {total} together with what {department} and those below it lease"
            ),
            format!(
                "{allowed} by spec.limits of department {department}, of which {taken} is taken{who}"
            ),
            "lease less, give something back there, or have the e-government office raise the limit",
        )
    }

    /// By how much what is leased is above the limit, one sentence for each: it was lowered since, or a department moved.
    pub fn exceeded_by(&self, sum: &Sum, unit_of: impl Fn(&str) -> Unit) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(bound) = &self.monthly
            && sum.monthly > bound.most
        {
            sentences.push(format!(
                "{} a month is leased here and below, the limit is {}",
                sum.monthly, bound.written
            ));
        }
        for (item, bound) in &self.items {
            let held = sum.items.get(item).copied().unwrap_or(0);
            if held > bound.most {
                sentences.push(format!(
                    "{} of {item} is leased here and below, the limit is {}",
                    shown(held, unit_of(item)),
                    bound.written
                ));
            }
        }
        sentences
    }
}

/// Who takes the most, as `: 320.00 by oa of street, 184.00 by web of daye (waits), and 2 more`; nothing if nobody takes
/// any.
fn largest<T: Ord + Default>(
    others: &[&Take],
    of: impl Fn(&Take) -> T,
    shown: impl Fn(&T) -> String,
) -> String {
    let mut takers: Vec<(T, &Take)> = others
        .iter()
        .copied()
        .map(|take| (of(take), take))
        .filter(|(amount, _)| *amount > T::default())
        .collect();
    takers.sort_by(|(a, x), (b, y)| {
        let most_first = Reverse(a).cmp(&Reverse(b));
        most_first.then_with(|| (&x.department, &x.tenancy).cmp(&(&y.department, &y.tenancy)))
    });
    let named = takers.iter().take(NAMED);
    let mut told: Vec<String> = named
        .map(|(amount, take)| {
            let waits = if take.waits { " (waits)" } else { "" };
            format!("{} by {}{waits}", shown(amount), take.title())
        })
        .collect();
    match takers.len().saturating_sub(NAMED) {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    if told.is_empty() {
        String::new()
    } else {
        format!(": {}", told.join(", "))
    }
}

/// Whether a department that ends may ask for this change: for less, and for other terms, but for nothing more.
pub fn check_end(code: &str, end: &DepartmentEnd, changes: &[Change]) -> Result<(), Refusal> {
    let more: Vec<String> = changes
        .iter()
        .filter(|change| change.to > change.from)
        .map(|change| {
            let [from, to] =
                [change.from, change.to].map(|base| format_quantity(base, change.unit));
            format!("{} {from} to {to}", change.item)
        })
        .collect();
    if more.is_empty() {
        return Ok(());
    }
    let remedy = match &end.successor {
        Some(successor) => {
            format!("lease it in department {successor}, which goes on with the work of {code}")
        }
        None => "ask the e-government office which department goes on with its work".to_owned(),
    };
    Err(Refusal::new(
        "T52",
        format!("{} for department {code}", more.join(", ")),
        "what it has and less, because it ends",
        remedy,
    ))
}

#[cfg(test)]
mod tests;
