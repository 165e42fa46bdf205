//! How a line came to its amount, step by step, from the statement alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::{Exact, Money, MoneyError, Price, QuantityError, Unit, parse_quantity};
use crate::rating::{HOUR, ratio, units};
use crate::statement::{Line, LineSegment, Statement, quantity_text};
use crate::time::{Second, Span, month_span};

/// One stretch of a line with its arithmetic.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainedSegment {
    /// First instant, as the statement writes it.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Number of the request that provided it.
    pub request: u32,
    /// Whether an end of it was estimated.
    pub estimated: bool,
    /// Quantity in the line's unit.
    pub quantity: String,
    /// Its seconds.
    pub seconds: i64,
    /// Seconds that the price is for; none for one-off items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_seconds: Option<i64>,
    /// `quantity × seconds ÷ of_seconds`, at most 12 decimals.
    pub share: String,
}

/// The way of a line from intervals to what is to be paid.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explanation {
    /// Id of the line.
    pub line: String,
    /// Number of the statement.
    pub statement: String,
    /// The stretches that the statement keeps.
    pub segments: Vec<ExplainedSegment>,
    /// How many more there are, which only the ledger holds.
    pub more_segments: u32,
    /// Quantity of the whole line.
    pub quantity: String,
    /// Price of one unit.
    pub unit_price: Price,
    /// Quantity times price before rounding.
    pub exact: String,
    /// Rounded once, half up.
    pub gross: Money,
    /// Paid by credits.
    pub offset: Money,
    /// To be paid.
    pub net: Money,
    /// Whether the arithmetic, done again here, gives the statement's amounts. With segments that
    /// the statement does not keep only the credits are done again.
    pub holds: bool,
    /// The same in sentences.
    pub steps: Vec<String>,
}

/// Why a line could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such line.
    #[error("failed to find line {line} in {statement}; its lines are {known}")]
    NoLine {
        /// The id asked for.
        line: String,
        /// Number of the statement.
        statement: String,
        /// Ids of its lines.
        known: String,
    },
    /// An instant that cannot be read.
    #[error("failed to read the instant {text:?} of a segment; the statement was altered")]
    Instant {
        /// The text.
        text: String,
    },
    /// A unit or an amount that cannot be read.
    #[error("failed to compute the line again")]
    Money(#[from] MoneyError),
    /// A quantity that cannot be read.
    #[error("failed to read the quantity of a segment")]
    Quantity(#[from] QuantityError),
}

/// What the seconds of a segment are divided by.
#[derive(Clone, Copy)]
enum Divisor {
    Month,
    Seconds(i64),
    Once,
}

/// Explains one line of a statement, and does its arithmetic again.
pub fn explain(line_id: &str, statement: &Statement) -> Result<Explanation, ExplainError> {
    let Some(line) = statement.lines.iter().find(|l| l.id == line_id) else {
        let known: Vec<&str> = statement.lines.iter().map(|l| l.id.as_str()).collect();
        return Err(ExplainError::NoLine {
            line: line_id.to_owned(),
            statement: statement.number.clone(),
            known: known.join(", "),
        });
    };
    let (unit, divisor) = unit_of(line, statement)?;
    let mut segments = Vec::with_capacity(line.segments.len());
    let mut steps = vec![format!(
        "{} ({}) of {}",
        line.display_name, line.item, line.tenancy
    )];
    let mut sum = Exact::zero();
    for kept in &line.segments {
        let (segment, share) = segment(kept, unit, divisor, statement)?;
        steps.push(sentence(&segment, unit, &line.unit));
        segments.push(segment);
        sum = sum.add(&share);
    }
    let exact = sum.mul(&line.unit_price.as_exact());
    let complete = line.more_segments == 0;
    let same_gross = quantity_text(&sum) == line.quantity
        && exact.to_decimal(15) == line.gross_exact
        && exact.round_half_up()? == line.gross;
    let holds = (!complete || same_gross) && line.gross.checked_sub(line.offset)? == line.net;
    steps.extend(amounts(line, statement));
    Ok(Explanation {
        line: line.id.clone(),
        statement: statement.number.clone(),
        segments,
        more_segments: line.more_segments,
        quantity: line.quantity.clone(),
        unit_price: line.unit_price,
        exact: line.gross_exact.clone(),
        gross: line.gross,
        offset: line.offset,
        net: line.net,
        holds,
        steps,
    })
}

fn unit_of(line: &Line, statement: &Statement) -> Result<(Unit, Divisor), MoneyError> {
    let (unit, time) = line
        .unit
        .split_once('·')
        .unwrap_or((line.unit.as_str(), ""));
    let period = Span {
        from: statement.period.start,
        to: statement.period.end,
    };
    let divisor = match time {
        "Month" if statement.period.rehearsal => Divisor::Seconds(period.seconds()),
        "Month" => Divisor::Month,
        "Hour" => Divisor::Seconds(HOUR),
        _ => Divisor::Once,
    };
    Ok((unit.parse()?, divisor))
}

fn instant(text: &str) -> Result<Second, ExplainError> {
    let timestamp: Timestamp = text.parse().map_err(|_| ExplainError::Instant {
        text: text.to_owned(),
    })?;
    Ok(Second::from_timestamp(timestamp))
}

fn segment(
    kept: &LineSegment,
    unit: Unit,
    divisor: Divisor,
    statement: &Statement,
) -> Result<(ExplainedSegment, Exact), ExplainError> {
    let span = Span {
        from: instant(&kept.from)?,
        to: instant(&kept.to)?,
    };
    let quantity = units(parse_quantity(&kept.quantity, unit)?, unit)?;
    let of_seconds = match divisor {
        Divisor::Month => Some(month_span(&statement.period.time_zone, span.from).seconds()),
        Divisor::Seconds(seconds) => Some(seconds),
        Divisor::Once => None,
    };
    let share = match of_seconds {
        Some(whole) => quantity.mul(&ratio(span.seconds(), whole)?),
        None => quantity.clone(),
    };
    let explained = ExplainedSegment {
        from: kept.from.clone(),
        to: kept.to.clone(),
        request: kept.request,
        estimated: kept.estimated,
        quantity: quantity_text(&quantity),
        seconds: span.seconds(),
        of_seconds,
        share: quantity_text(&share),
    };
    Ok((explained, share))
}

fn sentence(s: &ExplainedSegment, unit: Unit, line_unit: &str) -> String {
    let ExplainedSegment {
        from,
        to,
        request,
        quantity,
        seconds,
        share,
        ..
    } = s;
    let marked = if s.estimated { ", estimated" } else { "" };
    let start = format!("{from} to {to} (request {request}{marked}): {quantity} {unit}");
    match s.of_seconds {
        Some(whole) => format!("{start} × {seconds} s ÷ {whole} s = {share} {line_unit}"),
        None => format!("{start}, charged once"),
    }
}

fn amounts(line: &Line, statement: &Statement) -> Vec<String> {
    let Line {
        quantity,
        unit,
        unit_price,
        gross_exact,
        gross,
        offset,
        net,
        ..
    } = line;
    let mut steps = Vec::new();
    if line.more_segments > 0 {
        let more = line.more_segments;
        steps.push(format!(
            "and {more} more stretches, which only the ledger holds"
        ));
    }
    steps.push(format!("together {quantity} {unit}"));
    steps.push(format!(
        "{quantity} × {unit_price} = {gross_exact}, rounded once, half up: {gross}"
    ));
    if *offset > Money::ZERO {
        let lots: Vec<String> = statement
            .credits
            .iter()
            .filter(|c| c.applied > Money::ZERO)
            .map(|c| format!("{} paid {} in all: {}", c.lot, c.applied, c.why))
            .collect();
        steps.push(format!("credits pay {offset} of it ({})", lots.join("; ")));
    }
    steps.push(format!("to be paid: {net} {}", statement.currency));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::fixture;

    fn statement() -> Statement {
        fixture::closing().statements.remove(0)
    }

    #[test]
    fn the_worked_example_is_explained_stretch_by_stretch() {
        let e = explain("oa/vcpu-x86/1", &statement()).unwrap();
        assert!(e.holds);
        assert_eq!(e.segments.len(), 2);
        assert_eq!(
            (e.segments[0].seconds, e.segments[0].of_seconds),
            (864_000, Some(2_592_000))
        );
        assert_eq!(e.segments[0].share, "10.666666666667");
        assert_eq!(e.segments[1].share, "32.0");
        assert_eq!(
            e.steps[1],
            "2026-09-01T00:00:00+08:00 to 2026-09-11T00:00:00+08:00 (request 1): \
             32.0 Core × 864000 s ÷ 2592000 s = 10.666666666667 Core·Month"
        );
        assert_eq!(e.steps[3], "together 42.666666666667 Core·Month");
        assert!(
            e.steps[4].ends_with("rounded once, half up: 1962.67"),
            "{}",
            e.steps[4]
        );
        assert!(
            e.steps[5].contains("cap 50 % of 4484.27, rounded down"),
            "{}",
            e.steps[5]
        );
        assert_eq!(e.steps[6], "to be paid: 0.00 CNY");
    }

    #[test]
    fn an_altered_quantity_price_or_offset_does_not_hold() {
        let changes: [fn(&mut Line); 4] = [
            |l| l.segments[0].quantity = "33".to_owned(),
            |l| l.unit_price = Price::parse("46.01").unwrap(),
            |l| l.offset = Money::ZERO,
            |l| l.quantity = "42.7".to_owned(),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut s = statement();
            let line = s
                .lines
                .iter_mut()
                .find(|l| l.id == "oa/vcpu-x86/1")
                .unwrap();
            change(line);
            assert!(
                !explain("oa/vcpu-x86/1", &s).unwrap().holds,
                "change {i} was not noticed"
            );
        }
    }

    #[test]
    fn a_line_that_is_not_there_is_named_with_those_that_are() {
        let error = explain("oa/gpu/1", &statement()).unwrap_err().to_string();
        assert!(
            error.contains("oa/gpu/1") && error.contains("oa/memory/1"),
            "{error}"
        );
    }

    #[test]
    fn stretches_that_the_statement_does_not_keep_are_counted_and_do_not_disturb() {
        let mut s = statement();
        let line = s
            .lines
            .iter_mut()
            .find(|l| l.id == "oa/vcpu-x86/1")
            .unwrap();
        line.segments.truncate(1);
        line.more_segments = 1;
        let e = explain("oa/vcpu-x86/1", &s).unwrap();
        assert!(e.holds);
        assert_eq!(
            e.steps[2],
            "and 1 more stretches, which only the ledger holds"
        );
    }
}
