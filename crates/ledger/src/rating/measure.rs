//! Units times time, added up exactly.

use std::collections::BTreeMap;

use num_bigint::BigInt;

use super::{HOUR, Segment};
use crate::book::Per;
use crate::money::{Exact, MoneyError, Unit};
use crate::time::{Period, Span, Zone, month_span};

/// The quantity of a line, segment by segment. Integers are added up by what they are divided by,
/// so that a line of a million segments makes a few fractions and not a million.
pub(super) struct Sum<'a> {
    unit: Unit,
    per: Per,
    period: &'a Period,
    /// The calendar month of the last segment; most segments share it.
    month: Option<Span>,
    /// Base units, or base units times seconds, by divisor.
    by_divisor: BTreeMap<i64, i128>,
}

impl<'a> Sum<'a> {
    /// Nothing yet, of a line with this unit and price.
    pub(super) const fn new(unit: Unit, per: Per, period: &'a Period) -> Self {
        Self {
            unit,
            per,
            period,
            month: None,
            by_divisor: BTreeMap::new(),
        }
    }

    /// Adds units times time of one segment. Fails beyond 127 bits.
    pub(super) fn add(&mut self, segment: &Segment) -> Result<(), MoneyError> {
        let span = segment.span;
        match self.per {
            Per::Once => self.put(segment.quantity, 1, 1),
            Per::Hour => self.put(segment.quantity, span.seconds(), HOUR),
            Per::Month if self.period.rehearsal() => {
                let whole = self.period.span.seconds();
                self.put(segment.quantity, span.seconds(), whole)
            }
            Per::Month => self.put_by_month(segment.quantity, span),
        }
    }

    fn put_by_month(&mut self, quantity: i64, span: Span) -> Result<(), MoneyError> {
        if let Some(month) = self.month.filter(|month| month.contains_span(&span)) {
            return self.put(quantity, span.seconds(), month.seconds());
        }
        for (part, month) in by_month(span, &self.period.time_zone) {
            self.month = Some(month);
            self.put(quantity, part.seconds(), month.seconds())?;
        }
        Ok(())
    }

    fn put(&mut self, quantity: i64, seconds: i64, divisor: i64) -> Result<(), MoneyError> {
        let sum = self.by_divisor.entry(divisor).or_default();
        let more = i128::from(quantity).checked_mul(i128::from(seconds));
        *sum = more
            .and_then(|more| sum.checked_add(more))
            .ok_or_else(|| MoneyError::Overflow {
                value: format!("{sum} + {quantity} × {seconds} s"),
            })?;
        Ok(())
    }

    /// The sum in units times the time that the price is for.
    pub(super) fn quantity(self) -> Result<Exact, MoneyError> {
        let scale = BigInt::from(self.unit.scale());
        let mut quantity = Exact::zero();
        for (divisor, sum) in self.by_divisor {
            let units = Exact::from_ratio(BigInt::from(sum), scale.clone())?;
            quantity = quantity.add(&units.mul(&ratio(1, divisor)?));
        }
        Ok(quantity)
    }
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
