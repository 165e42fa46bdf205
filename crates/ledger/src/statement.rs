//! The statement: the document that finance keeps and a department pays by.
//!
//! The spec of the Statement object in the cluster is this JSON. What a statement says is digested
//! without its state, its place in the chain and the time of a draft, so that a draft whose content
//! did not change keeps its digest and becomes the final document.

mod gap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::{Basis, Category, Per};
use crate::canonical::{CanonicalError, Digest, digest_of};
use crate::document::Document;
use crate::lot::Burn;
use crate::money::{Exact, Money, MoneyError, Price, Unit, format_quantity};
use crate::rating::RatedLine;
use crate::time::{Period, Second, Zone};

pub use gap::{GAPS_KEPT, GapWord, StatementGap, gaps_of, named};

/// Segments that are kept with a line; the rest are only counted.
pub const SEGMENTS_KEPT: usize = 30;

/// Fields that are not part of what a statement says.
const OUTSIDE_THE_DIGEST: [&str; 4] = ["state", "chain", "digest", "asOf"];

/// Whether a statement can still change.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The period is open; amounts are so far.
    Draft,
    /// The period is closed; never changes again.
    Final,
}

/// The period of a statement, for people and as instants.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementPeriod {
    /// Name, e.g. `2026-09`.
    pub name: String,
    /// First local day; in a rehearsal the first instant in RFC 3339.
    pub from: String,
    /// Last local day, inclusive; in a rehearsal the instant of the end.
    pub through: String,
    /// Time zone of the days.
    pub time_zone: Zone,
    /// Whether no money is meant by it.
    pub rehearsal: bool,
    /// First instant.
    pub start: Second,
    /// First instant after.
    pub end: Second,
}

impl From<&Period> for StatementPeriod {
    fn from(period: &Period) -> Self {
        let zone = &period.time_zone;
        let (from, through) = if period.rehearsal() {
            (period.span.from.in_zone(zone), period.span.to.in_zone(zone))
        } else {
            (
                period.first_day().to_string(),
                period.last_day().to_string(),
            )
        };
        Self {
            name: period.name.clone(),
            from,
            through,
            time_zone: zone.clone(),
            rehearsal: period.rehearsal(),
            start: period.span.from,
            end: period.span.to,
        }
    }
}

/// Who is charged.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementDepartment {
    /// Code.
    pub name: String,
    /// Name for people.
    pub display_name: String,
}

/// A stretch of a line in which the quantity stood still.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineSegment {
    /// First instant, RFC 3339 with the zone's offset.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Kubernetes quantity.
    pub quantity: String,
    /// Number of the request that provided it.
    pub request: u32,
    /// Whether an end of it was estimated.
    pub estimated: bool,
}

/// One charge: tenancy, item and unit price.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Id, unique in the statement.
    pub id: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// System that it serves.
    pub system: String,
    /// Purchase contract.
    pub contract: String,
    /// Budget item.
    pub budget: String,
    /// Provider, who is paid for it.
    pub provider: String,
    /// Catalogue item.
    pub item: String,
    /// The item's name for people.
    pub display_name: String,
    /// Class of the charge.
    pub category: Category,
    /// What is counted.
    pub basis: Basis,
    /// `Core·Month`, `GiB·Month`, `Core·Hour`; the unit alone for one-off items.
    pub unit: String,
    /// Price of one such unit.
    pub unit_price: Price,
    /// Digests of the rates that gave the price, sorted.
    pub rates: Vec<Digest>,
    /// Quantity, at most 12 decimals, at least one.
    pub quantity: String,
    /// Whether any segment has an estimated end.
    pub estimated: bool,
    /// Quantity times price before rounding, at most 15 decimals.
    pub gross_exact: String,
    /// Rounded once, half up.
    pub gross: Money,
    /// Paid by credits.
    pub offset: Money,
    /// To be paid: `gross - offset`.
    pub net: Money,
    /// The first [`SEGMENTS_KEPT`] segments.
    pub segments: Vec<LineSegment>,
    /// How many more there are.
    pub more_segments: u32,
}

/// What one lot paid of the statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credit {
    /// Id of the lot.
    pub lot: String,
    /// Place in the burn order, from 1.
    pub order: u32,
    /// Rest before.
    pub opening: Money,
    /// Paid here.
    pub applied: Money,
    /// Rest after.
    pub closing: Money,
    /// The lot's last day.
    pub through: String,
    /// What ended the payment.
    pub why: String,
}

impl From<&Burn> for Credit {
    fn from(burn: &Burn) -> Self {
        Self {
            lot: burn.lot.clone(),
            order: burn.order,
            opening: burn.opening,
            applied: burn.applied,
            closing: burn.closing,
            through: burn.through.clone(),
            why: burn.why.clone(),
        }
    }
}

/// The sums of a statement, or of all statements of a period.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    /// Sum of the lines.
    pub gross: Money,
    /// Paid by credits.
    pub offset: Money,
    /// Corrections of earlier periods; none yet.
    pub adjustments: Money,
    /// To be paid: `gross - offset + adjustments`.
    pub net: Money,
}

impl Totals {
    /// The sums of several statements.
    pub fn sum<'a>(totals: impl Iterator<Item = &'a Totals> + Clone) -> Result<Self, MoneyError> {
        Ok(Self {
            gross: Money::sum(totals.clone().map(|t| t.gross))?,
            offset: Money::sum(totals.clone().map(|t| t.offset))?,
            adjustments: Money::sum(totals.clone().map(|t| t.adjustments))?,
            net: Money::sum(totals.map(|t| t.net))?,
        })
    }
}

/// Where in the ledger's chain the statement was closed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// Hash of a row of the chain; who keeps the statement is a witness of it.
    pub head: Digest,
    /// Sequence of that row.
    pub entry: u64,
}

/// What a department is charged for a period.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `<prefix>-<period>-<department>`.
    pub number: String,
    /// Whether it can still change.
    pub state: State,
    /// The period.
    pub period: StatementPeriod,
    /// Who is charged.
    pub department: StatementDepartment,
    /// Who is paid; several are joined by `, `; empty when nothing was charged.
    pub payee: String,
    /// Currency of all amounts.
    pub currency: String,
    /// The charges, by id.
    pub lines: Vec<Line>,
    /// Lines that were left out of a copy for the cluster; the document in the ledger has them all.
    #[serde(default)]
    pub more_lines: u32,
    /// The credits, in burn order.
    pub credits: Vec<Credit>,
    /// The first [`GAPS_KEPT`] times of the period in which use was not observed. Statements from before they were named
    /// have none, and keep their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<StatementGap>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_gaps: u32,
    /// The sums.
    pub totals: Totals,
    /// Drafts only: up to when use was counted, RFC 3339 with the zone's offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Digest of the policy that governs the period.
    pub policy: Digest,
    /// Final statements in the cluster only: where the chain stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// Digest of what it says, as the method of this name computes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
const fn is_zero(more: &u32) -> bool {
    *more == 0
}

impl Document for Statement {
    const KIND: &'static str = "statement";

    fn key(&self) -> String {
        format!("{}/{}", self.period.name, self.department.name)
    }

    fn subject(&self) -> String {
        self.department.name.clone()
    }
}

/// Why a statement does not hold.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Two amounts that must be equal are not.
    #[error("failed to balance statement {number}: {what} is {found}, expected {expected}")]
    Unequal {
        /// Number of the statement.
        number: String,
        /// Which amount.
        what: String,
        /// What the rest of the statement asks for.
        expected: Money,
        /// What it says.
        found: Money,
    },
    /// An amount below zero.
    #[error("failed to accept statement {number}: {what} is {amount}, below zero")]
    Negative {
        /// Number of the statement.
        number: String,
        /// Which amount.
        what: String,
        /// The amount.
        amount: Money,
    },
    /// A sum beyond what money can hold.
    #[error("failed to add up a statement")]
    Money(#[from] MoneyError),
}

impl Statement {
    /// The digest of what the statement says: everything but state, chain, digest and `asOf`.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        let mut value = serde_json::to_value(self).map_err(CanonicalError::Serialize)?;
        if let Value::Object(fields) = &mut value {
            for name in OUTSIDE_THE_DIGEST {
                fields.remove(name);
            }
        }
        digest_of(&value)
    }

    /// Whether lines, credits and totals agree and nothing is below zero.
    pub fn check(&self) -> Result<(), StatementError> {
        for line in &self.lines {
            let of = |what: &str| format!("{what} of line {}", line.id);
            self.positive(of("gross"), line.gross)?;
            self.positive(of("offset"), line.offset)?;
            self.positive(of("net"), line.net)?;
            self.equal(of("net"), line.gross.checked_sub(line.offset)?, line.net)?;
        }
        for credit in &self.credits {
            let of = |what: &str| format!("{what} of lot {}", credit.lot);
            self.positive(of("applied"), credit.applied)?;
            self.positive(of("closing"), credit.closing)?;
            let closing = credit.opening.checked_sub(credit.applied)?;
            self.equal(of("closing"), closing, credit.closing)?;
        }
        let applied = Money::sum(self.credits.iter().map(|c| c.applied))?;
        self.equal("total offset".to_owned(), applied, self.totals.offset)?;
        let sums = totals(&self.lines)?;
        self.equal("total gross".to_owned(), sums.gross, self.totals.gross)?;
        self.equal("total offset".to_owned(), sums.offset, self.totals.offset)?;
        let net = sums.net.checked_add(self.totals.adjustments)?;
        self.equal("total net".to_owned(), net, self.totals.net)?;
        self.positive("total net".to_owned(), self.totals.net)
    }

    fn equal(&self, what: String, expected: Money, found: Money) -> Result<(), StatementError> {
        if expected == found {
            return Ok(());
        }
        Err(StatementError::Unequal {
            number: self.number.clone(),
            what,
            expected,
            found,
        })
    }

    fn positive(&self, what: String, amount: Money) -> Result<(), StatementError> {
        if amount >= Money::ZERO {
            return Ok(());
        }
        Err(StatementError::Negative {
            number: self.number.clone(),
            what,
            amount,
        })
    }
}

/// The sums of the lines, without adjustments.
pub fn totals(lines: &[Line]) -> Result<Totals, MoneyError> {
    Ok(Totals {
        gross: Money::sum(lines.iter().map(|l| l.gross))?,
        offset: Money::sum(lines.iter().map(|l| l.offset))?,
        adjustments: Money::ZERO,
        net: Money::sum(lines.iter().map(|l| l.net))?,
    })
}

/// A rated line and what credits paid of it, as the statement prints them.
pub fn line(rated: &RatedLine, offset: Money, zone: &Zone) -> Result<Line, MoneyError> {
    let kept = rated
        .segments
        .iter()
        .take(SEGMENTS_KEPT)
        .map(|s| LineSegment {
            from: s.span.from.in_zone(zone),
            to: s.span.to.in_zone(zone),
            quantity: format_quantity(s.quantity, rated.unit),
            request: s.request,
            estimated: s.estimated,
        });
    let more = rated.segments.len().saturating_sub(SEGMENTS_KEPT);
    Ok(Line {
        id: rated.id.clone(),
        tenancy: rated.tenancy.clone(),
        system: rated.system.clone(),
        contract: rated.contract.clone(),
        budget: rated.budget.clone(),
        provider: rated.provider.clone(),
        item: rated.item.clone(),
        display_name: rated.display_name.clone(),
        category: rated.category,
        basis: rated.basis,
        unit: unit_text(rated.unit, rated.per),
        unit_price: rated.unit_price,
        rates: rated.rates.clone(),
        quantity: quantity_text(&rated.quantity),
        estimated: rated.estimated,
        gross_exact: rated.exact.to_decimal(15),
        gross: rated.gross,
        offset,
        net: rated.gross.checked_sub(offset)?,
        segments: kept.collect(),
        more_segments: u32::try_from(more).unwrap_or(u32::MAX),
    })
}

/// `Core·Month`, `GiB·Hour`; the unit alone for what is charged once.
pub fn unit_text(unit: Unit, per: Per) -> String {
    match per {
        Per::Month => format!("{unit}·Month"),
        Per::Hour => format!("{unit}·Hour"),
        Per::Once => unit.to_string(),
    }
}

/// A quantity with at most 12 decimals, at least one.
pub fn quantity_text(quantity: &Exact) -> String {
    quantity.to_decimal_with(12, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::fixture;

    fn statement() -> Statement {
        fixture::closing().statements.remove(0)
    }

    #[test]
    fn the_digest_leaves_out_state_chain_digest_and_time_of_the_draft() {
        let said = statement().digest().unwrap();
        let mut other = statement();
        other.state = State::Draft;
        other.as_of = Some("2026-09-05T00:00:00+08:00".to_owned());
        other.chain = Some(Chain {
            head: said.clone(),
            entry: 7,
        });
        other.digest = None;
        assert_eq!(other.digest().unwrap(), said);
    }

    #[test]
    fn the_digest_covers_every_other_field() {
        let said = statement().digest().unwrap();
        let changes: [fn(&mut Statement); 7] = [
            |s| s.number.push('x'),
            |s| s.payee.push('x'),
            |s| s.lines[0].quantity.push('0'),
            |s| s.credits[0].why.push('x'),
            |s| s.totals.net = Money::ZERO,
            |s| s.period.end = Second::new(0),
            |s| s.more_gaps = 1,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut other = statement();
            change(&mut other);
            assert_ne!(other.digest().unwrap(), said, "change {i}");
        }
    }

    #[test]
    fn a_statement_of_a_period_without_gaps_says_nothing_of_them() {
        // what is in ledgers by now has its digest from such a text
        let text = serde_json::to_string(&statement()).unwrap();
        assert!(!text.contains("aps\""), "{text}");
        let read: Statement = serde_json::from_str(&text).unwrap();
        assert_eq!(read, statement());
    }

    #[test]
    fn check_finds_a_line_a_credit_and_a_total_that_do_not_add_up() {
        assert!(statement().check().is_ok());
        let fen = Money::from_minor(1);
        let changes: [fn(&mut Statement, Money); 4] = [
            |s, fen| s.lines[0].net = fen,
            |s, fen| s.credits[0].closing = fen,
            |s, fen| s.totals.net = fen,
            |s, fen| s.totals.adjustments = fen,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut other = statement();
            change(&mut other, fen);
            assert!(
                matches!(other.check(), Err(StatementError::Unequal { .. })),
                "change {i} was not found"
            );
        }
    }

    #[test]
    fn check_refuses_a_negative_net_even_if_everything_adds_up() {
        let mut other = statement();
        other.credits.clear();
        other.lines.truncate(1);
        other.lines[0].gross = Money::from_minor(-5);
        other.lines[0].offset = Money::ZERO;
        other.lines[0].net = Money::from_minor(-5);
        other.totals = totals(&other.lines).unwrap();
        assert!(matches!(
            other.check(),
            Err(StatementError::Negative { .. })
        ));
    }

    #[test]
    fn quantities_keep_one_decimal_and_units_name_their_time() {
        assert_eq!(quantity_text(&Exact::from_integer(64)), "64.0");
        let third = crate::rating::ratio(128, 3).unwrap();
        assert_eq!(quantity_text(&third), "42.666666666667");
        assert_eq!(unit_text(Unit::Core, Per::Month), "Core·Month");
        assert_eq!(unit_text(Unit::GiB, Per::Hour), "GiB·Hour");
        assert_eq!(unit_text(Unit::Count, Per::Once), "Count");
    }

    #[test]
    fn only_thirty_segments_are_kept_and_the_rest_counted() {
        let mut rated = fixture::rated().remove(0);
        let one = rated.segments[0].clone();
        rated.segments = vec![one; 33];
        let zone = fixture::zone();
        let line = line(&rated, Money::ZERO, &zone).unwrap();
        assert_eq!((line.segments.len(), line.more_segments), (30, 3));
    }
}
