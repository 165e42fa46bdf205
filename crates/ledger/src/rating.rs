//! Rating: intervals times published prices, exact until one rounding per line.
//!
//! A line is one tenancy (in one life of its name), one catalogue item and one unit price. Prices
//! per month divide by the seconds of the calendar month around each piece, so a full month costs
//! exactly the price whatever its length; in a rehearsal the period stands for the month.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use crate::book::{Basis, Catalogue, Category, Item, Per, Rate};
use crate::canonical::Digest;
use crate::fact::{Interval, Meter, Subject};
use crate::money::{Exact, Money, MoneyError, Price, Unit};
use crate::time::{Period, Second, Span, Zone, month_span};

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
    display_name: String,
    rate: Digest,
}

/// Rates all intervals of one department in a period.
///
/// `intervals` are whole, not cut to the period: an increase can only be told from what stood
/// before it. Reserved items bill what was leased; metered items bill what pods or claims of the
/// tenancy used while it leased the item; one-off items bill each increase in the period that it
/// happened in. Other meters cost nothing. Lines come sorted by id.
pub fn rate_department(
    period: &Period,
    intervals: &[Interval],
    catalogue: &Catalogue,
) -> Result<Vec<RatedLine>, RatingError> {
    one_department(intervals)?;
    let uses = uses(period, intervals);
    let mut by_line: BTreeMap<LineKey, Vec<Piece<'_>>> = BTreeMap::new();
    for lease in intervals.iter().filter(|i| i.quantity > 0) {
        let Meter::Lease { item } = &lease.meter else {
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
            let used: Vec<(&Interval, Segment)> = match (rate.per, rate.basis) {
                (Per::Once, _) => increase(lease, span, intervals).into_iter().collect(),
                (_, Basis::Metered) => {
                    let named = catalogue.item(provider, item, span.from);
                    usage(lease, span, named, &uses)
                }
                (_, Basis::Reserved | Basis::OneOff) => {
                    vec![(lease, segment(lease, span, lease.quantity))]
                }
            };
            for (source, segment) in used {
                let key = line_key(lease, item, &rate);
                by_line.entry(key).or_default().push(Piece {
                    segment,
                    subject: &source.subject,
                    display_name: rate.display_name.clone(),
                    rate: rate.digest.clone(),
                });
            }
        }
    }
    number(by_line, period)
}

fn one_department(intervals: &[Interval]) -> Result<(), RatingError> {
    let codes: BTreeSet<&str> = intervals
        .iter()
        .map(|i| i.subject.department.as_str())
        .collect();
    let mut codes = codes.into_iter();
    match (codes.next(), codes.next()) {
        (Some(first), Some(second)) => Err(RatingError::Mixed {
            first: first.to_owned(),
            second: second.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn line_key(lease: &Interval, item: &str, rate: &Rate) -> LineKey {
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
    lease: &Interval,
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

fn segment(of: &Interval, span: Span, quantity: i64) -> Segment {
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
    lease: &'a Interval,
    span: Span,
    intervals: &[Interval],
) -> Option<(&'a Interval, Segment)> {
    if span.from != lease.span.from {
        return None;
    }
    let before = intervals
        .iter()
        .filter(|i| i.meter == lease.meter && same_tenancy(&i.subject, &lease.subject))
        .filter(|i| i.span.to == lease.span.from)
        .map(|i| i.quantity)
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
type Uses<'a> = BTreeMap<(&'a str, u32, &'a Meter), Vec<(Span, &'a Interval)>>;

/// The part of every pod's and claim's interval that lies in the period.
fn uses<'a>(period: &Period, intervals: &'a [Interval]) -> Uses<'a> {
    let mut uses = Uses::new();
    for used in intervals.iter().filter(|i| i.quantity > 0) {
        if matches!(used.meter, Meter::Lease { .. }) {
            continue;
        }
        let Some(part) = used.span.intersect(&period.span) else {
            continue;
        };
        let subject = &used.subject;
        uses.entry((subject.tenancy.as_str(), subject.incarnation, &used.meter))
            .or_default()
            .push((part, used));
    }
    uses
}

/// What the pods or claims of the tenancy used within a stretch of the lease, which lies in the
/// period.
fn usage<'a>(
    lease: &Interval,
    span: Span,
    item: Option<&Item>,
    uses: &Uses<'a>,
) -> Vec<(&'a Interval, Segment)> {
    let pods = item
        .and_then(|i| i.resource.clone())
        .map(|resource| Meter::Pod { resource });
    let claims = item
        .and_then(|i| i.storage_class.clone())
        .map(|storage_class| Meter::Claim { storage_class });
    let Subject {
        tenancy,
        incarnation,
        ..
    } = &lease.subject;
    pods.iter()
        .chain(&claims)
        .filter_map(|meter| uses.get(&(tenancy.as_str(), *incarnation, meter)))
        .flatten()
        .filter_map(|(part, i)| Some((*i, segment(i, part.intersect(&span)?, i.quantity))))
        .collect()
}

/// Turns groups of pieces into lines, numbered by first use.
fn number(
    by_line: BTreeMap<LineKey, Vec<Piece<'_>>>,
    period: &Period,
) -> Result<Vec<RatedLine>, RatingError> {
    let mut groups: Vec<(Option<Second>, LineKey, Vec<Piece<'_>>)> = by_line
        .into_iter()
        .map(|(key, pieces)| {
            (
                pieces.iter().map(|p| p.segment.span.from).min(),
                key,
                pieces,
            )
        })
        .collect();
    groups.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut lines = Vec::with_capacity(groups.len());
    for (_, key, pieces) in groups {
        let mut stem = key.tenancy.clone();
        if key.incarnation > 1 {
            stem = format!("{stem}.{}", key.incarnation);
        }
        let stem = format!("{stem}/{}", key.item);
        let n = numbers.entry(stem.clone()).or_insert(0);
        *n = n.saturating_add(1);
        lines.push(line(format!("{stem}/{n}"), key, &pieces, period)?);
    }
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(lines)
}

fn line(
    id: String,
    key: LineKey,
    pieces: &[Piece<'_>],
    period: &Period,
) -> Result<RatedLine, RatingError> {
    let mut quantity = Exact::zero();
    for piece in pieces {
        quantity = quantity.add(&measure(&piece.segment, key.unit, key.per, period)?);
    }
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
    let rates: BTreeSet<Digest> = pieces.iter().map(|p| p.rate.clone()).collect();
    Ok(RatedLine {
        id,
        tenancy: key.tenancy,
        incarnation: key.incarnation,
        system: text(|s| &s.system).unwrap_or_default(),
        contract: text(|s| &s.contract).unwrap_or_default(),
        budget: text(|s| &s.budget).unwrap_or_default(),
        provider: key.provider,
        item: key.item,
        display_name: last.map(|p| p.display_name.clone()).unwrap_or_default(),
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
        segments: merged(pieces, key.per),
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

/// Units times time of one segment.
fn measure(segment: &Segment, unit: Unit, per: Per, period: &Period) -> Result<Exact, MoneyError> {
    let units = units(segment.quantity, unit)?;
    let time = match per {
        Per::Once => Exact::from_integer(1),
        Per::Hour => ratio(segment.span.seconds(), HOUR)?,
        Per::Month if period.rehearsal() => ratio(segment.span.seconds(), period.span.seconds())?,
        Per::Month => months(segment.span, &period.time_zone)?,
    };
    Ok(units.mul(&time))
}

/// A quantity in its unit.
pub(crate) fn units(base: i64, unit: Unit) -> Result<Exact, MoneyError> {
    ratio(base, unit.scale())
}

/// A quotient of two integers.
pub(crate) fn ratio(numerator: i64, denominator: i64) -> Result<Exact, MoneyError> {
    Exact::from_ratio(BigInt::from(numerator), BigInt::from(denominator))
}

/// A span cut at the edges of calendar months, each part with its whole month.
pub(crate) fn by_month(span: Span, zone: &Zone) -> Vec<(Span, Span)> {
    let mut parts = Vec::new();
    let mut from = span.from;
    while from < span.to {
        let month = month_span(zone, from);
        let to = month.to.min(span.to);
        if to <= from {
            break;
        }
        parts.push((Span { from, to }, month));
        from = to;
    }
    parts
}

/// Length of a span in months: its share of each calendar month that it touches.
pub(crate) fn months(span: Span, zone: &Zone) -> Result<Exact, MoneyError> {
    let mut sum = Exact::zero();
    for (part, month) in by_month(span, zone) {
        sum = sum.add(&ratio(part.seconds(), month.seconds())?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
