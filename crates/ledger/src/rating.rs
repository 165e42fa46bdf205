//! Rating: intervals times published prices, exact until one rounding per line.
//!
//! A line is one tenancy (in one life of its name), one catalogue item and one unit price. Prices
//! per month divide by the seconds of the calendar month around each piece, so a full month costs
//! exactly the price whatever its length; in a rehearsal the period stands for the month.

mod measure;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::book::{Basis, Catalogue, Category, Item, Per, Rate};
use crate::canonical::Digest;
use crate::fact::{Meter, Stretch, Subject};
use crate::money::{Exact, Money, MoneyError, Price, Unit};
use crate::time::{Period, Second, Span};

pub(crate) use measure::{by_month, ratio, units};

/// Seconds of an hour; the divisor of hourly prices, in rehearsals too.
pub(crate) const HOUR: i64 = 3600;

/// A stretch of a line in which the quantity stood still.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// When, half-open.
    pub span: Span,
    /// How much, in base units (thousandths of a core, bytes, pieces).
    pub quantity: i64,
    /// Number of the request that provided it.
    pub request: u32,
    /// Whether an end of it was estimated.
    pub estimated: bool,
}

/// One line of a statement before credits.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatedLine {
    /// `<tenancy>[.<incarnation> if above 1]/<item>/<number by first use>`.
    pub id: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// System that the tenancy serves.
    pub system: String,
    /// Purchase contract, as of the line's last segment.
    pub contract: String,
    /// Budget item, as of the line's last segment.
    pub budget: String,
    /// Who is paid.
    pub provider: String,
    /// Name of the catalogue item.
    pub item: String,
    /// The item's name for people.
    pub display_name: String,
    /// Class of the charge.
    pub category: Category,
    /// What is counted: what was reserved, what was used, or once.
    pub basis: Basis,
    /// Unit of the quantity.
    pub unit: Unit,
    /// Time that the price is for.
    pub per: Per,
    /// Price of one unit for that time, in the policy's currency.
    pub unit_price: Price,
    /// Digests of the rates that gave the price, sorted.
    pub rates: Vec<Digest>,
    /// Units times time, e.g. core-months, exact.
    pub quantity: Exact,
    /// Quantity times price, exact.
    pub exact: Exact,
    /// `exact` rounded once, half up.
    pub gross: Money,
    /// Whether any segment has an estimated end.
    pub estimated: bool,
    /// What the line is made of, by start.
    pub segments: Vec<Segment>,
}

/// Why a department could not be rated.
#[derive(Debug, thiserror::Error)]
pub enum RatingError {
    /// Something was leased while no price was published for it.
    #[error(
        "failed to rate {department}/{tenancy}: no price of {item} is in force from {from} to \
         {to}; publish a book that covers it"
    )]
    NoPrice {
        /// Code of the department.
        department: String,
        /// Name of the tenancy.
        tenancy: String,
        /// The item without a price.
        item: String,
        /// First instant without a price.
        from: Second,
        /// First instant after.
        to: Second,
    },
    /// Intervals of two departments in one call.
    #[error("failed to rate {first} and {second} together; rate one department at a time")]
    Mixed {
        /// One department.
        first: String,
        /// The other.
        second: String,
    },
    /// An amount beyond what money can hold.
    #[error("failed to compute an amount")]
    Money(#[from] MoneyError),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    tenancy: String,
    incarnation: u32,
    item: String,
    provider: String,
    category: Category,
    price: Price,
    unit: Unit,
    per: Per,
    basis: Basis,
}

/// One stretch of one object at one rate.
struct Piece<'a> {
    segment: Segment,
    subject: &'a Subject,
    display_name: Rc<str>,
}

/// What a line is made of.
#[derive(Default)]
struct Pieces<'a> {
    pieces: Vec<Piece<'a>>,
    rates: BTreeSet<Digest>,
}

/// Rates all stretches of one department in a period.
///
/// Those of leases are whole, not cut to the period: an increase can only be told from what stood
/// before it. Reserved items bill what was leased; metered items bill what pods or claims of the
/// tenancy used while it leased the item; one-off items bill each increase in the period that it
/// happened in. Other meters cost nothing. Lines come sorted by id.
pub fn rate_department(
    period: &Period,
    stretches: &[Stretch<'_>],
    catalogue: &Catalogue,
) -> Result<Vec<RatedLine>, RatingError> {
    one_department(stretches)?;
    let uses = uses(period, stretches);
    let leases: Vec<&Stretch<'_>> = stretches.iter().filter(|s| is_lease(s)).collect();
    let mut by_line: BTreeMap<LineKey, Pieces<'_>> = BTreeMap::new();
    for &lease in leases.iter().filter(|lease| lease.quantity > 0) {
        let Meter::Lease { item } = lease.meter else {
            continue;
        };
        let Some(held) = lease.span.intersect(&period.span) else {
            continue;
        };
        let provider = &lease.subject.provider;
        for (span, rate) in catalogue.rates(provider, item, held) {
            let Some(rate) = rate else {
                once_only(lease, item, span, catalogue)?;
                continue;
            };
            let used: Vec<(&Stretch<'_>, Segment)> = match (rate.per, rate.basis) {
                (Per::Once, _) => increase(lease, span, &leases).into_iter().collect(),
                (_, Basis::Metered) => {
                    let named = catalogue.item(provider, item, span.from);
                    usage(lease, span, named, &uses)
                }
                (_, Basis::Reserved | Basis::OneOff) => {
                    vec![(lease, segment(lease, span, lease.quantity))]
                }
            };
            if used.is_empty() {
                continue;
            }
            let line = by_line.entry(line_key(lease, item, &rate)).or_default();
            let display_name: Rc<str> = rate.display_name.into();
            line.rates.insert(rate.digest);
            line.pieces
                .extend(used.into_iter().map(|(source, segment)| Piece {
                    segment,
                    subject: source.subject,
                    display_name: Rc::clone(&display_name),
                }));
        }
    }
    number(by_line, period)
}

fn one_department(stretches: &[Stretch<'_>]) -> Result<(), RatingError> {
    let mut codes = stretches.iter().map(|s| s.subject.department.as_str());
    let Some(first) = codes.next() else {
        return Ok(());
    };
    match codes.find(|code| *code != first) {
        None => Ok(()),
        Some(other) => Err(RatingError::Mixed {
            first: first.min(other).to_owned(),
            second: first.max(other).to_owned(),
        }),
    }
}

fn is_lease(stretch: &Stretch<'_>) -> bool {
    matches!(stretch.meter, Meter::Lease { .. })
}

fn line_key(lease: &Stretch<'_>, item: &str, rate: &Rate) -> LineKey {
    LineKey {
        tenancy: lease.subject.tenancy.clone(),
        incarnation: lease.subject.incarnation,
        item: item.to_owned(),
        provider: lease.subject.provider.clone(),
        category: rate.category,
        price: rate.price,
        unit: rate.unit,
        per: rate.per,
        basis: rate.basis,
    }
}

/// A stretch without a price is an error, unless the item was paid once when its lease began.
fn once_only(
    lease: &Stretch<'_>,
    item: &str,
    span: Span,
    catalogue: &Catalogue,
) -> Result<(), RatingError> {
    let begun = catalogue.price_at(&lease.subject.provider, item, lease.span.from);
    if begun.is_some_and(|rate| rate.per == Per::Once) {
        return Ok(());
    }
    Err(RatingError::NoPrice {
        department: lease.subject.department.clone(),
        tenancy: lease.subject.tenancy.clone(),
        item: item.to_owned(),
        from: span.from,
        to: span.to,
    })
}

fn segment(of: &Stretch<'_>, span: Span, quantity: i64) -> Segment {
    Segment {
        span,
        quantity,
        request: of.subject.request,
        estimated: of.estimated,
    }
}

fn same_tenancy(a: &Subject, b: &Subject) -> bool {
    a.tenancy == b.tenancy && a.incarnation == b.incarnation
}

/// What a one-off item is charged for: by how much the lease grew at the start of the stretch.
fn increase<'a>(
    lease: &'a Stretch<'a>,
    span: Span,
    leases: &[&Stretch<'_>],
) -> Option<(&'a Stretch<'a>, Segment)> {
    if span.from != lease.span.from {
        return None;
    }
    let before = leases
        .iter()
        .filter(|other| other.span.to == lease.span.from && other.meter == lease.meter)
        .filter(|other| same_tenancy(other.subject, lease.subject))
        .map(|other| other.quantity)
        .max()
        .unwrap_or(0);
    let more = lease
        .quantity
        .checked_sub(before)
        .filter(|more| *more > 0)?;
    Some((lease, segment(lease, span, more)))
}

/// What pods and claims used in the period, by tenancy, incarnation and meter. A cloud has many
/// more pods than leases, so they are looked through once and not for every lease.
type Uses<'a> = BTreeMap<(&'a str, u32, &'a Meter), Vec<(Span, &'a Stretch<'a>)>>;

/// The part of every pod's and claim's stretch that lies in the period.
fn uses<'a>(period: &Period, stretches: &'a [Stretch<'a>]) -> Uses<'a> {
    let mut uses = Uses::new();
    for used in stretches.iter().filter(|s| s.quantity > 0 && !is_lease(s)) {
        let Some(part) = used.span.intersect(&period.span) else {
            continue;
        };
        let subject = used.subject;
        uses.entry((subject.tenancy.as_str(), subject.incarnation, used.meter))
            .or_default()
            .push((part, used));
    }
    uses
}

/// What the pods or claims of the tenancy used within a stretch of the lease, which lies in the
/// period.
fn usage<'a>(
    lease: &Stretch<'_>,
    span: Span,
    item: Option<&Item>,
    uses: &Uses<'a>,
) -> Vec<(&'a Stretch<'a>, Segment)> {
    let pods = item
        .and_then(|i| i.resource.clone())
        .map(|resource| Meter::Pod { resource });
    let claims = item
        .and_then(|i| i.storage_class.clone())
        .map(|storage_class| Meter::Claim { storage_class });
    let declared = item
        .and_then(|i| i.meter.clone())
        .map(|name| Meter::Declared { name });
    let Subject {
        tenancy,
        incarnation,
        ..
    } = lease.subject;
    pods.iter()
        .chain(&claims)
        .chain(&declared)
        .filter_map(|meter| uses.get(&(tenancy.as_str(), *incarnation, meter)))
        .flatten()
        .filter_map(|(part, i)| Some((*i, segment(i, part.intersect(&span)?, i.quantity))))
        .collect()
}

/// Turns groups of pieces into lines, numbered by first use.
fn number(
    by_line: BTreeMap<LineKey, Pieces<'_>>,
    period: &Period,
) -> Result<Vec<RatedLine>, RatingError> {
    let mut groups: Vec<(Option<Second>, LineKey, Pieces<'_>)> = by_line
        .into_iter()
        .map(|(key, of)| {
            let first = of.pieces.iter().map(|p| p.segment.span.from).min();
            (first, key, of)
        })
        .collect();
    groups.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut lines = Vec::with_capacity(groups.len());
    for (_, key, of) in groups {
        let mut stem = key.tenancy.clone();
        if key.incarnation > 1 {
            stem = format!("{stem}.{}", key.incarnation);
        }
        let stem = format!("{stem}/{}", key.item);
        let n = numbers.entry(stem.clone()).or_insert(0);
        *n = n.saturating_add(1);
        lines.push(line(format!("{stem}/{n}"), key, of, period)?);
    }
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(lines)
}

fn line(
    id: String,
    key: LineKey,
    of: Pieces<'_>,
    period: &Period,
) -> Result<RatedLine, RatingError> {
    let Pieces { pieces, rates } = of;
    let mut sum = measure::Sum::new(key.unit, key.per, period);
    for piece in &pieces {
        sum.add(&piece.segment)?;
    }
    let quantity = sum.quantity()?;
    let exact = quantity.mul(&key.price.as_exact());
    let last = pieces.iter().max_by_key(|p| {
        let s = p.subject;
        (
            p.segment.span.from,
            s.request,
            &s.contract,
            &s.budget,
            &s.system,
            &p.display_name,
        )
    });
    let text = |of: fn(&Subject) -> &String| last.map(|p| of(p.subject).clone());
    Ok(RatedLine {
        id,
        tenancy: key.tenancy,
        incarnation: key.incarnation,
        system: text(|s| &s.system).unwrap_or_default(),
        contract: text(|s| &s.contract).unwrap_or_default(),
        budget: text(|s| &s.budget).unwrap_or_default(),
        provider: key.provider,
        item: key.item,
        display_name: last
            .map(|p| p.display_name.as_ref().to_owned())
            .unwrap_or_default(),
        category: key.category,
        basis: key.basis,
        unit: key.unit,
        per: key.per,
        unit_price: key.price,
        rates: rates.into_iter().collect(),
        gross: exact.round_half_up()?,
        quantity,
        exact,
        estimated: pieces.iter().any(|p| p.segment.estimated),
        segments: merged(&pieces, key.per),
    })
}

/// Segments by start, those that go on unchanged joined; one-off charges stay apart.
fn merged(pieces: &[Piece<'_>], per: Per) -> Vec<Segment> {
    let mut sorted: Vec<Segment> = pieces.iter().map(|p| p.segment.clone()).collect();
    sorted.sort();
    let mut merged: Vec<Segment> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match merged.last_mut() {
            Some(last)
                if per != Per::Once
                    && last.span.to == next.span.from
                    && last.quantity == next.quantity
                    && last.request == next.request
                    && last.estimated == next.estimated =>
            {
                last.span.to = next.span.to;
            }
            _ => merged.push(next),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
