//! Whether a price book may be published, changed or used: pure functions of the book and the ledger's record.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::platform::Meter;
use leasehold_ledger::{
    book::{Book, BookFault},
    money::Unit,
    time::{LocalDate, Period, Zone},
};
use leasehold_planner::{convert::ledger_unit, rules::Refusal};

/// How a price book stands to the one that the ledger has under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ledger has exactly this book.
    Same,
    /// The same prices, to end earlier than recorded.
    EndsEarlier,
    /// Something else under a name that is taken; the recorded book goes on.
    Refused(Refusal),
}

/// Compares a book with the recorded one of its name. `today` is the office's local day.
pub fn against_record(book: &Book, recorded: &Book, today: LocalDate) -> Standing {
    if book == recorded {
        return Standing::Same;
    }
    let prices_differ = Book {
        through: recorded.through,
        ..book.clone()
    } != *recorded;
    if prices_differ {
        return Standing::Refused(Refusal::new(
            "B03",
            format!("other prices under the name {}", book.name),
            "the book that was published under it",
            "load the new prices under another name",
        ));
    }
    if book.through > recorded.through {
        return Standing::Refused(Refusal::new(
            "B04",
            format!("prices through {}", book.through),
            format!("through {} at most", recorded.through),
            "load a new book for later days",
        ));
    }
    if book.through < today {
        return Standing::Refused(Refusal::new(
            "B13",
            format!("an end on {}", book.through),
            format!("{today} or later"),
            "end the book today or later; days that are over keep their prices",
        ));
    }
    Standing::EndsEarlier
}

/// Every rule that hinders the publication, one sentence each.
///
/// `published` are the books that count, `closed` the periods that are closed, in any order.
pub fn rules(book: &Book, published: &[Book], closed: &[Period], zone: &Zone) -> Vec<String> {
    let faults = book.validate().into_iter().map(|fault| told(&fault));
    let overlaps = published
        .iter()
        .filter(|other| other.name != book.name && other.overlaps(book))
        .map(|other| overlap(book, other).to_string());
    faults
        .chain(overlaps)
        .chain(late(book, closed, zone).map(|refusal| refusal.to_string()))
        .collect()
}

/// The units of the meters that are declared, by name.
pub fn declared(meters: &[Meter]) -> BTreeMap<String, Unit> {
    let all = meters.iter();
    all.filter_map(|meter| Some((meter.metadata.name.clone()?, ledger_unit(meter.spec.unit))))
        .collect()
}

/// Items whose meter nobody has declared, or that are sold in another unit than it counts in, one sentence each.
pub fn unmetered(book: &Book, declared: &BTreeMap<String, Unit>) -> Vec<String> {
    let named = book
        .items
        .iter()
        .filter_map(|item| Some((item, item.meter.as_ref()?)));
    named
        .filter_map(|(item, meter)| match declared.get(meter) {
            Some(unit) if *unit == item.unit => None,
            Some(unit) => Some(Refusal::new(
                "E08",
                format!("{} by the {} with meter {meter}", item.name, item.unit),
                format!("the unit {unit}, in which the meter counts"),
                "load the book with that unit, or with another meter",
            )),
            None => Some(Refusal::new(
                "E08",
                format!("{} with meter {meter}, which is not declared", item.name),
                names(declared.keys().map(String::as_str)),
                "the data centre declares the Meter, or finance names another one",
            )),
        })
        .map(|refusal| refusal.to_string())
        .collect()
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let list: Vec<&str> = names.collect();
    if list.is_empty() {
        "none, because no meter is declared".to_owned()
    } else {
        format!("one of {}", list.join(", "))
    }
}

/// A fault of the book by itself. Of these only the unit is no schema's to check: it depends on what quotas count.
fn told(fault: &BookFault) -> String {
    let BookFault {
        rule,
        field,
        message,
    } = fault;
    if *rule == "unit-of-source" {
        format!("rule B10: {field}: {message}")
    } else {
        format!("{field} ({rule}): {message}")
    }
}

fn overlap(book: &Book, other: &Book) -> Refusal {
    let own: BTreeSet<&str> = book.items.iter().map(|item| item.name.as_str()).collect();
    let common: Vec<&str> = other
        .items
        .iter()
        .map(|item| item.name.as_str())
        .filter(|name| own.contains(name))
        .collect();
    Refusal::new(
        "B11",
        format!(
            "prices of {} for {} from {} through {}",
            book.provider,
            common.join(", "),
            book.from,
            book.through
        ),
        format!(
            "days on which {} does not price them ({} through {})",
            other.name, other.from, other.through
        ),
        format!(
            "end {} earlier by its validity.through, or begin this book later",
            other.name
        ),
    )
}

/// Prices cannot reach back into a closed period. In a rehearsal, whose periods last seconds and whose bills are worth
/// nothing, every book would be late; there they may.
fn late(book: &Book, closed: &[Period], zone: &Zone) -> Option<Refusal> {
    let span = book.span(zone);
    let last = closed
        .iter()
        .filter(|period| !period.rehearsal() && period.span.intersect(&span).is_some())
        .max_by_key(|period| period.span.to)?;
    Some(Refusal::new(
        "B12",
        format!("prices from {}", book.from),
        format!("from {} on", last.last_day().next_day()),
        format!(
            "period {} is closed; load the book with a later validity.from",
            last.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::{Basis, Category, Item, Per},
        money::Price,
        time::PeriodKind,
    };

    use super::*;

    fn day(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::parse("Asia/Shanghai").unwrap()
    }

    fn book(name: &str, from: &str, through: &str) -> Book {
        Book {
            name: name.to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-1".to_owned(),
            from: day(from),
            through: day(through),
            currency: "CNY".to_owned(),
            tax: None,
            items: vec![Item {
                name: "vcpu-x86".to_owned(),
                display_name: "云主机CPU".to_owned(),
                category: Category::Compute,
                resource: Some("cpu".to_owned()),
                storage_class: None,
                meter: None,
                unit: Unit::Core,
                per: Per::Month,
                basis: Basis::Reserved,
                price: Price::parse("46.00").unwrap(),
            }],
        }
    }

    fn month(first: &str) -> Period {
        let zone = zone();
        Period::containing(PeriodKind::Month, &zone, zone.local_midnight(day(first))).unwrap()
    }

    fn rule_of(standing: Standing) -> &'static str {
        match standing {
            Standing::Refused(refusal) => refusal.rule,
            Standing::Same | Standing::EndsEarlier => panic!("{standing:?}"),
        }
    }

    #[test]
    fn a_published_book_can_end_today_but_not_yesterday() {
        let recorded = book("b", "2026-01-01", "2026-12-31");
        let today = day("2026-09-15");
        let ends = |through| against_record(&book("b", "2026-01-01", through), &recorded, today);
        assert_eq!(ends("2026-12-31"), Standing::Same);
        assert_eq!(ends("2026-09-15"), Standing::EndsEarlier);
        assert_eq!(rule_of(ends("2026-09-14")), "B13");
        assert_eq!(rule_of(ends("2027-01-01")), "B04");
    }

    #[test]
    fn other_prices_under_a_published_name_are_refused_even_if_they_end_earlier() {
        let recorded = book("b", "2026-01-01", "2026-12-31");
        let mut other = book("b", "2026-01-01", "2026-11-30");
        other.items[0].price = Price::parse("47.00").unwrap();
        assert_eq!(
            rule_of(against_record(&other, &recorded, day("2026-09-15"))),
            "B03"
        );
    }

    #[test]
    fn two_books_may_not_price_an_item_on_a_common_day() {
        let published = [book("old", "2026-01-01", "2026-12-31")];
        let found = rules(
            &book("new", "2026-12-31", "2027-12-31"),
            &published,
            &[],
            &zone(),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("rule B11: ") && found[0].contains("vcpu-x86"),
            "{found:?}"
        );
        assert!(
            rules(
                &book("new", "2027-01-01", "2027-12-31"),
                &published,
                &[],
                &zone()
            )
            .is_empty()
        );
        let mut foreign = book("new", "2026-06-01", "2026-12-31");
        foreign.provider = "other".to_owned();
        assert!(rules(&foreign, &published, &[], &zone()).is_empty());
    }

    #[test]
    fn a_book_does_not_hinder_itself() {
        let own = book("b", "2026-01-01", "2026-12-31");
        assert!(rules(&own, std::slice::from_ref(&own), &[], &zone()).is_empty());
    }

    #[test]
    fn prices_do_not_reach_back_into_a_closed_period() {
        let closed = [month("2026-08-01"), month("2026-07-01")];
        let found = rules(
            &book("b", "2026-08-31", "2026-12-31"),
            &[],
            &closed,
            &zone(),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("rule B12: ") && found[0].contains("2026-09-01"),
            "{found:?}"
        );
        assert!(
            rules(
                &book("b", "2026-09-01", "2026-12-31"),
                &[],
                &closed,
                &zone()
            )
            .is_empty()
        );
        assert!(rules(&book("b", "2026-01-01", "2026-12-31"), &[], &[], &zone()).is_empty());
    }

    #[test]
    fn in_a_rehearsal_books_may_begin_in_the_past() {
        let zone = zone();
        let kind = PeriodKind::Rehearsal { seconds: 60 };
        let at = zone.local_midnight(day("2026-09-15"));
        let closed = [Period::containing(kind, &zone, at).unwrap()];
        assert!(rules(&book("b", "2026-01-01", "2026-12-31"), &[], &closed, &zone).is_empty());
    }

    #[test]
    fn an_item_is_sold_in_the_unit_of_a_meter_that_is_declared() {
        let mut metered = book("b", "2026-01-01", "2026-12-31");
        metered.items[0].resource = None;
        metered.items[0].meter = Some("buckets".to_owned());
        metered.items[0].unit = Unit::GiB;
        let units = |pairs: &[(&str, Unit)]| -> BTreeMap<String, Unit> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, unit)| ((*name).to_owned(), *unit))
                .collect()
        };
        let known = units(&[("buckets", Unit::GiB), ("lines", Unit::Count)]);
        assert!(unmetered(&metered, &known).is_empty());
        let other = units(&[("lines", Unit::Count)]);
        assert_eq!(
            unmetered(&metered, &other),
            [
                "rule E08: asked vcpu-x86 with meter buckets, which is not declared, allowed one of lines; the data \
                 centre declares the Meter, or finance names another one"
            ]
        );
        let pieces = units(&[("buckets", Unit::Count)]);
        let found = unmetered(&metered, &pieces);
        assert!(
            found[0].starts_with(
                "rule E08: asked vcpu-x86 by the GiB with meter buckets, allowed the unit Count"
            ),
            "{found:?}"
        );
        // what names no meter is not asked
        assert!(unmetered(&book("b", "2026-01-01", "2026-12-31"), &units(&[])).is_empty());
    }

    #[test]
    fn what_the_ledger_finds_wrong_is_told_with_its_field() {
        let mut empty = book("b", "2026-01-01", "2026-12-31");
        empty.items.clear();
        let found = rules(&empty, &[], &[], &zone());
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("items (items-present): "), "{found:?}");
    }

    #[test]
    fn an_item_in_another_unit_than_its_resource_is_counted_in_is_refused_by_its_rule() {
        let mut wrong = book("b", "2026-01-01", "2026-12-31");
        assert!(rules(&wrong, &[], &[], &zone()).is_empty());
        wrong.items[0].unit = Unit::GiB;
        assert_eq!(
            rules(&wrong, &[], &[], &zone()),
            ["rule B10: items[0].unit: GiB is not what it is counted in; use Core"]
        );
    }
}
