//! Quotations: what a request would cost, before anybody approves it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::book::{Catalogue, Category, Per, Rate};
use crate::lot::{LotError, LotState, burn};
use crate::money::{Exact, Money, MoneyError, Price};
use crate::policy::Policy;
use crate::rating::{HOUR, by_month, ratio, units};
use crate::statement::{quantity_text, unit_text};
use crate::time::{LocalDate, Period, Span, TimeError};

/// Hours of a month at which an hourly price is quoted: a year's hours over twelve.
const QUOTED_HOURS: i64 = 730;

/// What is to be quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Provider whose books count.
    pub provider: &'a str,
    /// Catalogue items with their quantities in base units (thousandths of a core, bytes, ones).
    pub items: &'a [(String, i64)],
    /// First local day of the term.
    pub from: LocalDate,
    /// Last local day of the term.
    pub through: LocalDate,
    /// Lots of the department with their rests; none if no credit is to be foreseen.
    pub lots: &'a [LotState],
}

/// What a request would cost.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quotation {
    /// Currency of all amounts.
    pub currency: String,
    /// A whole month at the prices of the first day; metered items at the ceiling, 730 hours.
    pub monthly: Money,
    /// The whole term, with one-off items. Where no price is published yet, the last one counts.
    pub term: Money,
    /// Last day on which every item has a published price; none if the whole term has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_through: Option<LocalDate>,
    /// What today's credits would pay of a whole month; zero or below.
    pub credit_monthly: Money,
    /// Names of the books that the prices come from, sorted.
    pub books: Vec<String>,
    /// The items, in the order asked.
    pub lines: Vec<QuotedLine>,
}

/// One quoted item.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotedLine {
    /// Catalogue item.
    pub item: String,
    /// Its name for people.
    pub display_name: String,
    /// How many units.
    pub quantity: String,
    /// `Core·Month`, `GiB·Hour`; the unit alone for one-off items.
    pub unit: String,
    /// Price of one such unit on the first day.
    pub unit_price: Price,
    /// A whole month; zero for one-off items.
    pub monthly: Money,
}

/// Why nothing could be quoted.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// No price on the first day.
    #[error(
        "failed to quote {item}: {provider} publishes no price of it on {day}; it offers {known}"
    )]
    NoPrice {
        /// The item asked for.
        item: String,
        /// The provider.
        provider: String,
        /// First day of the term.
        day: LocalDate,
        /// Items that the provider prices on that day.
        known: String,
    },
    /// A term that ends before it begins.
    #[error("failed to quote a term from {from} through {through}; it ends before it begins")]
    Term {
        /// First day.
        from: LocalDate,
        /// Last day.
        through: LocalDate,
    },
    /// An amount beyond what money can hold.
    #[error("failed to compute the quotation")]
    Money(#[from] MoneyError),
    /// Credits that could not be applied.
    #[error("failed to foresee the credits")]
    Credits(#[from] LotError),
    /// No period could be found at the term's start.
    #[error("failed to find the first period of the term")]
    Period(#[from] TimeError),
}

/// Quotes a request.
///
/// Monthly is the sum of the items, each rounded half up. The term adds up what each calendar month
/// would charge, partial ones by their seconds, rounded per item, price and month as statements do.
/// In a rehearsal the calendar stays that of the wall.
pub fn quote(
    wish: &Wish<'_>,
    catalogue: &Catalogue,
    policy: &Policy,
) -> Result<Quotation, QuoteError> {
    let (from, through) = (wish.from, wish.through);
    if through < from {
        return Err(QuoteError::Term { from, through });
    }
    let mut lines = Vec::with_capacity(wish.items.len());
    let mut charges: Vec<(String, Category, Money)> = Vec::with_capacity(wish.items.len());
    let mut term = Money::ZERO;
    let mut books = BTreeSet::new();
    let mut prices_through: Option<LocalDate> = None;
    let span = policy.time_zone.span_of_days(from, through);
    for (item, base) in wish.items {
        let Some(rate) = catalogue.price_at(wish.provider, item, span.from) else {
            return Err(no_price(wish, item, span, catalogue));
        };
        let quantity = units(*base, rate.unit)?;
        let monthly = monthly(&quantity, &rate)?;
        let priced = Priced {
            item,
            quantity: &quantity,
            first: &rate,
        };
        term = Money::sum([
            term,
            whole_term(wish, &priced, span, catalogue, policy, &mut books)?,
        ])?;
        let last = catalogue.priced_through(wish.provider, item, from);
        if let Some(last) = last.filter(|last| *last < through && rate.per != Per::Once) {
            prices_through = Some(prices_through.map_or(last, |known| known.min(last)));
        }
        charges.push((item.clone(), rate.category, monthly));
        lines.push(QuotedLine {
            item: item.clone(),
            display_name: rate.display_name.clone(),
            quantity: quantity_text(&quantity),
            unit: unit_text(rate.unit, rate.per),
            unit_price: rate.price,
            monthly,
        });
    }
    Ok(Quotation {
        currency: policy.currency.clone(),
        monthly: Money::sum(lines.iter().map(|l| l.monthly))?,
        term,
        prices_through,
        credit_monthly: credit(wish, &charges, span, policy)?,
        books: books.into_iter().collect(),
        lines,
    })
}

/// An item on its way through a quotation.
struct Priced<'a> {
    item: &'a str,
    quantity: &'a Exact,
    first: &'a Rate,
}

fn no_price(wish: &Wish<'_>, item: &str, span: Span, catalogue: &Catalogue) -> QuoteError {
    let known = catalogue.item_names(wish.provider, span.from);
    QuoteError::NoPrice {
        item: item.to_owned(),
        provider: wish.provider.to_owned(),
        day: wish.from,
        known: if known.is_empty() {
            "nothing".to_owned()
        } else {
            known.join(", ")
        },
    }
}

fn monthly(quantity: &Exact, rate: &Rate) -> Result<Money, MoneyError> {
    let month = quantity.mul(&rate.price.as_exact());
    match rate.per {
        Per::Month => month.round_half_up(),
        Per::Hour => month
            .mul(&Exact::from_integer(QUOTED_HOURS))
            .round_half_up(),
        Per::Once => Ok(Money::ZERO),
    }
}

/// Charge of one item over the whole term.
fn whole_term(
    wish: &Wish<'_>,
    priced: &Priced<'_>,
    span: Span,
    catalogue: &Catalogue,
    policy: &Policy,
    books: &mut BTreeSet<String>,
) -> Result<Money, MoneyError> {
    books.insert(priced.first.book.clone());
    if priced.first.per == Per::Once {
        return priced
            .quantity
            .mul(&priced.first.price.as_exact())
            .round_half_up();
    }
    let mut last = priced.first.clone();
    let mut sum = Money::ZERO;
    for (part, month) in by_month(span, &policy.time_zone) {
        let mut by_price: BTreeMap<(Price, Per), Exact> = BTreeMap::new();
        for (piece, rate) in catalogue.rates(wish.provider, priced.item, part) {
            let rate = rate.unwrap_or_else(|| last.clone());
            books.insert(rate.book.clone());
            let time = match rate.per {
                Per::Month => ratio(piece.seconds(), month.seconds())?,
                Per::Hour => ratio(piece.seconds(), HOUR)?,
                Per::Once => Exact::zero(),
            };
            let charge = priced.quantity.mul(&time).mul(&rate.price.as_exact());
            let exact = by_price.entry((rate.price, rate.per)).or_default();
            *exact = exact.add(&charge);
            last = rate;
        }
        for exact in by_price.values() {
            sum = Money::sum([sum, exact.round_half_up()?])?;
        }
    }
    Ok(sum)
}

/// What the lots would pay of the first whole period, as an amount of zero or below.
fn credit(
    wish: &Wish<'_>,
    charges: &[(String, Category, Money)],
    span: Span,
    policy: &Policy,
) -> Result<Money, QuoteError> {
    let mut period = Period::containing(policy.period, &policy.time_zone, span.from)?;
    if period.span.from < span.from {
        period = period.next()?;
    }
    let burns = burn(&period, charges, wish.lots, policy.offset_cap_percent)?;
    let applied = Money::sum(burns.iter().map(|b| b.applied))?;
    Ok(applied.checked_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Basis;
    use crate::close::fixture::{self, money};

    fn date(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    fn items() -> Vec<(String, i64)> {
        vec![
            ("vcpu-x86".to_owned(), 48_000),
            ("memory".to_owned(), 64 << 30),
            ("block-ssd".to_owned(), 2048 << 30),
        ]
    }

    fn quoted(items: &[(String, i64)], from: &str, through: &str) -> Result<Quotation, QuoteError> {
        let wish = Wish {
            provider: "hs-bigdata",
            items,
            from: date(from),
            through: date(through),
            lots: &fixture::lots(),
        };
        quote(
            &wish,
            &fixture::catalogue(vec![fixture::book()]),
            &fixture::policy(),
        )
    }

    #[test]
    fn a_whole_month_is_quantity_times_price_per_item() {
        let q = quoted(&items(), "2026-09-01", "2026-09-30").unwrap();
        // 48 × 46.00 + 64 × 17.00 + 2048 × 0.70 = 2208.00 + 1088.00 + 1433.60
        assert_eq!(q.monthly, money("4729.60"));
        assert_eq!(q.term, money("4729.60"));
        assert_eq!(q.prices_through, None);
        assert_eq!(q.books, ["hs-2026"]);
        assert_eq!(q.lines[1].quantity, "64.0");
        assert_eq!(q.lines[1].unit, "GiB·Month");
        assert_eq!(q.lines[1].monthly, money("1088.00"));
    }

    #[test]
    fn credit_is_foreseen_below_zero_and_under_the_cap() {
        let q = quoted(&items(), "2026-09-01", "2026-09-30").unwrap();
        assert_eq!(q.credit_monthly, money("-2364.80"));
        let before_the_lot_lives = quoted(&items(), "2026-07-01", "2026-07-31").unwrap();
        assert_eq!(before_the_lot_lives.credit_monthly, Money::ZERO);
    }

    #[test]
    fn partial_months_count_by_their_days() {
        let cpu = [("vcpu-x86".to_owned(), 1000)];
        let q = quoted(&cpu, "2026-09-16", "2026-10-31").unwrap();
        // half of September's 30 days and the whole of October: 23.00 + 46.00
        assert_eq!(q.term, money("69.00"));
        assert_eq!(q.monthly, money("46.00"));
    }

    #[test]
    fn the_term_goes_on_at_the_last_price_and_says_from_when_none_is_published() {
        let cpu = [("vcpu-x86".to_owned(), 1000)];
        let q = quoted(&cpu, "2028-12-01", "2029-01-31").unwrap();
        assert_eq!(q.prices_through, Some(date("2028-12-31")));
        assert_eq!(q.term, money("92.00"));
    }

    #[test]
    fn an_unpriced_item_is_named_with_what_the_provider_offers() {
        let gpu = [("gpu".to_owned(), 1)];
        let error = quoted(&gpu, "2026-09-01", "2026-09-30")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("gpu") && error.contains("block-ssd, memory, vcpu-x86"),
            "{error}"
        );
    }

    #[test]
    fn a_term_that_ends_before_it_begins_is_refused() {
        let q = quoted(&items(), "2026-09-02", "2026-09-01");
        assert!(matches!(q, Err(QuoteError::Term { .. })));
    }

    #[test]
    fn hourly_items_are_quoted_at_the_ceiling_and_one_off_items_once() {
        let mut book = fixture::book();
        book.items[0].per = Per::Hour;
        book.items[0].basis = Basis::Metered;
        book.items[0].price = Price::parse("0.096").unwrap();
        book.items[1].per = Per::Once;
        book.items[1].basis = Basis::OneOff;
        let wanted = [
            (book.items[0].name.clone(), 10 * book.items[0].unit.scale()),
            (book.items[1].name.clone(), 2 * book.items[1].unit.scale()),
        ];
        let once = book.items[1].price.micro() * 2 / 10_000;
        let wish = Wish {
            provider: "hs-bigdata",
            items: &wanted,
            from: date("2026-09-01"),
            through: date("2026-10-31"),
            lots: &[],
        };
        let q = quote(&wish, &fixture::catalogue(vec![book]), &fixture::policy()).unwrap();
        // 10 × 0.096 × 730; the term has 720 + 744 hours
        assert_eq!(q.monthly, money("700.80"));
        assert_eq!(q.lines[1].monthly, Money::ZERO);
        assert_eq!(q.term.minor(), 69_120 + 71_424 + once);
    }
}
