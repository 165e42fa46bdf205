//! The FOCUS 1.2 Cost and Usage file.
//!
//! One row per line of a statement, with the rounded charge as `BilledCost` and the exact one as
//! `ContractedCost` and `ListCost`; one row per credit lot that paid something, with the amount
//! below zero and a service of its own. So the `BilledCost` of all rows of one `InvoiceId`, which
//! is the number of the statement, adds up to what is payable. There are no rows for rounding.
//!
//! `PricingQuantity` is the quantity of the line (`Core-Months`, `GiB-Hours`, `Count`).
//! `ConsumedQuantity` is the same use in hours (`Core-Hours`): the quantity times the hours of the
//! calendar month around the period, of the whole period in a rehearsal, or 1 for hourly prices,
//! with six decimals. It is computed from the quantity and not from the segments, of which a
//! statement may keep only the first. What is charged once keeps its quantity and unit.
//!
//! Known validators accept only ASCII in the text columns of FOCUS, so codes stand there, and the
//! names that people gave stand in the columns that begin with `x_`. The file is for programs: cells
//! are not guarded against spreadsheets (see [`crate::csv_rows`] for that).

mod columns;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use leasehold_ledger::canonical::{CanonicalError, Digest};
use leasehold_ledger::money::{Exact, Money, MoneyError, Unit};
use leasehold_ledger::statement::{
    Credit, Line, State, Statement, StatementError, StatementPeriod,
};
use leasehold_ledger::time::month_span;
use num_bigint::BigInt;

use columns::COLUMNS;

/// Seconds of an hour.
const HOUR: i64 = 3600;
/// Micro-yuan in one yuan, the resolution of prices.
const MICRO: i64 = 1_000_000;
/// Decimals of `ConsumedQuantity`.
const CONSUMED_PLACES: u32 = 6;
/// Decimals of a quantity in a statement.
const QUANTITY_PLACES: u32 = 12;
/// Decimals of a quantity that needs more of them, see [`pricing_quantity`].
const LONG_QUANTITY_PLACES: u32 = 24;
/// One over this is how far price times quantity may be off, relative to the cost or to one yuan,
/// whichever is more. It is the tolerance of the FOCUS validator.
const TOLERANCE: i64 = 1_000_000_000;

/// Names that FOCUS asks for and statements do not hold. ASCII only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FocusNames {
    /// Code of the account that pays all invoices, such as `finance-bureau`.
    pub billing_account: String,
    /// Its name.
    pub billing_account_name: String,
    /// Where the capacity stands, if it is to be told.
    pub region: Option<FocusRegion>,
    /// Names of providers by code; a provider that is not listed is called by its code.
    pub providers: BTreeMap<String, String>,
}

/// A region as FOCUS knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FocusRegion {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FocusSummary {
    /// Number of rows without the header.
    pub rows: u64,
    /// Sum of `BilledCost` by invoice, for invoices that have rows.
    pub billed: BTreeMap<String, Money>,
}

/// Why the file was not written.
#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    /// A statement that can still change.
    #[error("failed to export statement {number}: it is a draft; close its period first")]
    Draft {
        /// Number of the statement.
        number: String,
    },
    /// A statement without all of its lines.
    #[error(
        "failed to export statement {number}: it lacks {lines} lines; read the full document from the ledger"
    )]
    Incomplete {
        /// Number of the statement.
        number: String,
        /// How many lines are missing.
        lines: u32,
    },
    /// A statement that carries an adjustment, for which there is no row.
    #[error(
        "failed to export statement {number}: no row can be written for its adjustments of {amount}"
    )]
    Adjustments {
        /// Number of the statement.
        number: String,
        /// The adjustments.
        amount: Money,
    },
    /// A period without length.
    #[error("failed to export statement {number}: its period does not end after its start")]
    Period {
        /// Number of the statement.
        number: String,
    },
    /// A statement that is not what its digest says.
    #[error(
        "failed to export statement {number}: its digest is {found}, expected {expected}; verify the ledger"
    )]
    Digest {
        /// Number of the statement.
        number: String,
        /// The digest that it carries.
        expected: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// Two charges of one key.
    #[error("failed to export charge {key}: it occurs twice; give each statement once")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A unit that is not known.
    #[error("failed to export line {line}: its unit {unit:?} is none of Core, GiB and Count")]
    Unit {
        /// Id of the line.
        line: String,
        /// The unit.
        unit: String,
    },
    /// Something that should be a decimal number.
    #[error("failed to export line {line}: {text:?} is not a decimal number")]
    Decimal {
        /// Id of the line.
        line: String,
        /// The text.
        text: String,
    },
    /// Price, quantity and exact charge of a line do not agree.
    #[error(
        "failed to export line {line}: {quantity} at {price} is not {exact}; verify the ledger"
    )]
    Product {
        /// Id of the line.
        line: String,
        /// The quantity.
        quantity: String,
        /// The price of one unit.
        price: String,
        /// The exact charge.
        exact: String,
    },
    /// Text beyond ASCII where FOCUS validators refuse it.
    #[error(
        "failed to write {value:?} to the FOCUS column {column}: only ASCII passes there; configure a romanised name"
    )]
    NotAscii {
        /// Name of the column.
        column: &'static str,
        /// The text.
        value: String,
    },
    /// The statement contradicts itself.
    #[error("failed to export a statement")]
    Statement(#[from] StatementError),
    /// The statement has no canonical form.
    #[error("failed to digest a statement")]
    Canonical(#[from] CanonicalError),
    /// An amount beyond what money can hold.
    #[error("failed to add up an invoice")]
    Money(#[from] MoneyError),
    /// The rows could not be written.
    #[error("failed to write the FOCUS rows")]
    Csv(#[from] csv::Error),
    /// The rows could not be written out.
    #[error("failed to write the FOCUS file")]
    Io(#[from] io::Error),
}

/// A charge with everything that its row tells.
struct Row<'a> {
    statement: &'a Statement,
    names: &'a FocusNames,
    /// Name of the provider.
    provider: String,
    charge: Charge<'a>,
}

/// What the row is for.
enum Charge<'a> {
    /// A line.
    Usage(Usage<'a>),
    /// A credit, and its amount below zero.
    Credit(&'a Credit, Money),
}

/// A line in the units of FOCUS.
struct Usage<'a> {
    line: &'a Line,
    pricing_quantity: String,
    pricing_unit: String,
    consumed_quantity: String,
    consumed_unit: String,
    /// Whether time is part of the unit.
    timed: bool,
}

impl Row<'_> {
    /// What tells the charge from all others, for ever.
    fn key(&self) -> String {
        let number = &self.statement.number;
        match &self.charge {
            Charge::Usage(usage) => format!("{number}/{}", usage.line.id),
            // a colon cannot stand in the name of a tenancy
            Charge::Credit(credit, _) => format!("{number}/lot:{}", credit.lot),
        }
    }

    /// `BilledCost`.
    fn billed(&self) -> Money {
        match &self.charge {
            Charge::Usage(usage) => usage.line.gross,
            Charge::Credit(_, amount) => *amount,
        }
    }

    /// The cells, in the order of the columns.
    fn cells(&self) -> Result<Vec<String>, FocusError> {
        let mut cells = Vec::with_capacity(COLUMNS.len());
        for column in COLUMNS {
            let value = (column.value)(self);
            if !column.any_text() && !value.is_ascii() {
                return Err(FocusError::NotAscii {
                    column: column.name,
                    value,
                });
            }
            cells.push(value);
        }
        Ok(cells)
    }
}

/// Writes the FOCUS 1.2 Cost and Usage file of final statements: UTF-8, LF, with a header.
///
/// Statements come by period and number, their lines and credits in their own order, so the order
/// in which they are given does not show. A statement that charges nothing gives no row. Nothing is
/// written when any statement is refused: a draft, one with lines cut off, one that does not add up
/// or is not what its digest says.
pub fn write_focus(
    statements: &[Statement],
    names: &FocusNames,
    out: &mut dyn Write,
) -> Result<FocusSummary, FocusError> {
    let mut sorted: Vec<&Statement> = statements.iter().collect();
    sorted.sort_by_key(|s| (s.period.start, &s.number));
    let mut summary = FocusSummary::default();
    let mut keys = BTreeSet::new();
    let mut records = Vec::new();
    for statement in sorted {
        check(statement)?;
        let rows = rows(statement, names)?;
        for row in &rows {
            let key = row.key();
            if !keys.insert(key.clone()) {
                return Err(FocusError::Duplicate { key });
            }
            records.push(row.cells()?);
            summary.rows = summary.rows.saturating_add(1);
        }
        if !rows.is_empty() {
            let billed = Money::sum(rows.iter().map(Row::billed))?;
            summary.billed.insert(statement.number.clone(), billed);
        }
    }
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(out);
    writer.write_record(COLUMNS.iter().map(|column| column.name))?;
    for record in &records {
        writer.write_record(record)?;
    }
    writer.flush()?;
    Ok(summary)
}

/// Refuses a statement whose rows would not add up to what is payable.
fn check(statement: &Statement) -> Result<(), FocusError> {
    let number = || statement.number.clone();
    if statement.state != State::Final {
        return Err(FocusError::Draft { number: number() });
    }
    if statement.more_lines > 0 {
        return Err(FocusError::Incomplete {
            number: number(),
            lines: statement.more_lines,
        });
    }
    if statement.period.end <= statement.period.start {
        return Err(FocusError::Period { number: number() });
    }
    if !statement.totals.adjustments.is_zero() {
        let amount = statement.totals.adjustments;
        return Err(FocusError::Adjustments {
            number: number(),
            amount,
        });
    }
    statement.check()?;
    let found = statement.digest()?;
    match &statement.digest {
        Some(expected) if *expected != found => Err(FocusError::Digest {
            number: number(),
            expected: expected.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

fn rows<'a>(statement: &'a Statement, names: &'a FocusNames) -> Result<Vec<Row<'a>>, FocusError> {
    let mut rows = Vec::new();
    for line in &statement.lines {
        rows.push(Row {
            statement,
            names,
            provider: provider_name(names, &line.provider),
            charge: Charge::Usage(usage(line, &statement.period)?),
        });
    }
    for credit in statement
        .credits
        .iter()
        .filter(|credit| !credit.applied.is_zero())
    {
        let payees: Vec<String> = statement
            .payee
            .split(", ")
            .map(|code| provider_name(names, code))
            .collect();
        rows.push(Row {
            statement,
            names,
            provider: payees.join(", "),
            charge: Charge::Credit(credit, credit.applied.checked_neg()?),
        });
    }
    Ok(rows)
}

fn provider_name(names: &FocusNames, code: &str) -> String {
    let name = names.providers.get(code).map_or(code, String::as_str);
    worded("provider", name)
}

/// The text, with a word in front if it has no letter: a reader of CSV that guesses types would
/// take a column of such texts for numbers or dates.
fn worded(word: &str, text: &str) -> String {
    if text.chars().any(char::is_alphabetic) {
        text.to_owned()
    } else {
        format!("{word} {text}")
    }
}

/// A line in the units of FOCUS.
fn usage<'a>(line: &'a Line, period: &StatementPeriod) -> Result<Usage<'a>, FocusError> {
    let refused = || FocusError::Unit {
        line: line.id.clone(),
        unit: line.unit.clone(),
    };
    let (noun, time) = line
        .unit
        .split_once('·')
        .map_or((line.unit.as_str(), None), |(n, t)| (n, Some(t)));
    noun.parse::<Unit>().map_err(|_| refused())?;
    let seconds = match time {
        Some("Month") if period.rehearsal => Some(period.end.since(period.start)),
        Some("Month") => Some(month_span(&period.time_zone, period.start).seconds()),
        Some("Hour") => Some(HOUR),
        Some(_) => return Err(refused()),
        None => None,
    };
    let quantity = decimal(line, &line.quantity)?;
    let (consumed, consumed_unit) = match seconds {
        Some(seconds) => {
            let hours = Exact::from_ratio(BigInt::from(seconds), BigInt::from(HOUR))?;
            (quantity.mul(&hours), format!("{noun}-Hours"))
        }
        None => (quantity.clone(), noun.to_owned()),
    };
    Ok(Usage {
        line,
        pricing_quantity: pricing_quantity(line, &quantity)?,
        pricing_unit: time.map_or_else(|| noun.to_owned(), |time| format!("{noun}-{time}s")),
        consumed_quantity: consumed.to_decimal_with(CONSUMED_PLACES, 2),
        consumed_unit,
        timed: time.is_some(),
    })
}

/// The quantity that times the price is the exact charge, as nearly as validators ask.
///
/// That is the quantity of the line. Only where a high price meets a short time, twelve decimals
/// are too few; then the charge divided by the price tells more of them.
fn pricing_quantity(line: &Line, quantity: &Exact) -> Result<String, FocusError> {
    let price = line.unit_price.as_exact();
    let exact = decimal(line, &line.gross_exact)?;
    if near(&price.mul(quantity), &exact)? {
        return Ok(line.quantity.clone());
    }
    let refused = || FocusError::Product {
        line: line.id.clone(),
        quantity: line.quantity.clone(),
        price: line.unit_price.to_string(),
        exact: line.gross_exact.clone(),
    };
    let micro = BigInt::from(line.unit_price.micro());
    let of_one = Exact::from_ratio(BigInt::from(MICRO), micro).map_err(|_| refused())?;
    let longer = exact.mul(&of_one);
    if longer.to_decimal_with(QUANTITY_PLACES, 1) == line.quantity {
        Ok(longer.to_decimal_with(LONG_QUANTITY_PLACES, 1))
    } else {
        Err(refused())
    }
}

/// Whether a product is the cost, within what validators tolerate.
fn near(product: &Exact, cost: &Exact) -> Result<bool, MoneyError> {
    let off = if product > cost {
        product.sub(cost)
    } else {
        cost.sub(product)
    };
    let scale = cost.clone().max(Exact::from_integer(1));
    let tolerance = Exact::from_ratio(BigInt::from(1), BigInt::from(TOLERANCE))?;
    Ok(off <= scale.mul(&tolerance))
}

/// Reads a decimal that is not below zero, as statements write them.
fn decimal(line: &Line, text: &str) -> Result<Exact, FocusError> {
    let refused = || FocusError::Decimal {
        line: line.id.clone(),
        text: text.to_owned(),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    let numerator: BigInt = digits.parse().map_err(|_| refused())?;
    let places = u32::try_from(fraction.len()).map_err(|_| refused())?;
    Ok(Exact::from_ratio(numerator, BigInt::from(10).pow(places))?)
}
