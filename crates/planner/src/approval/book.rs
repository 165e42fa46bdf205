//! Publication of prices: the change of each item against the book in force, in percent.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::charging::{
    Approval, ApprovalSubject, DecisionRole, PriceBook, SubjectOfDecision,
};
use leasehold_ledger::{
    book::{Book, Item},
    money::Price,
};

use super::{ApprovalError, digest, placed, undecided};

/// The question to a second person of finance whether a price book is published.
///
/// Its items are compared with the provider's `published` prices: with the newest of each item
/// that begins no later than the book. `namespace` is the operator's own, because a book belongs
/// to no department.
pub fn book_approval(
    object: &PriceBook,
    book: &Book,
    published: &[Book],
    requested_by: &str,
    namespace: &str,
) -> Result<Approval, ApprovalError> {
    let before = published_before(book, published);
    let (changed, same) = compare(book, &before);
    let (all, moving) = (book.items.len(), changed.len());
    let digest = digest(book, &book.name)?;
    let spec = undecided(
        DecisionRole::Finance,
        ApprovalSubject {
            kind: SubjectOfDecision::PriceBook,
            name: book.name.as_str().into(),
            uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
            request: 1,
            digest: digest.as_str().into(),
            requested_by: requested_by.into(),
        },
        &format!("{}: {moving} of {all} prices change", book.name),
        [
            head_lines(book, &before, requested_by),
            changed,
            unchanged(same),
        ]
        .concat(),
    );
    Ok(placed(
        &format!("pb-{}-finance", book.name),
        namespace,
        "",
        None,
        spec,
    ))
}

fn head_lines(book: &Book, before: &Before<'_>, requested_by: &str) -> Vec<String> {
    let mut lines = vec![
        format!(
            "Prices of {} by contract {}, book {}",
            book.provider, book.contract, book.name
        ),
        format!("Loaded by {requested_by}"),
        format!(
            "In force from {} through {}, in {}",
            book.from, book.through, book.currency
        ),
        compared_with(before),
    ];
    if let Some(tax) = &book.tax {
        lines.push(format!("Prices include tax of {} %", tax.percent));
    }
    lines
}

fn unchanged(items: usize) -> Vec<String> {
    if items == 0 {
        Vec::new()
    } else {
        vec![format!("{items} items keep their prices")]
    }
}

/// The newest published price of each item, with the book that it comes from.
type Before<'a> = BTreeMap<&'a str, (&'a Item, &'a Book)>;

fn published_before<'a>(book: &Book, published: &'a [Book]) -> Before<'a> {
    let mut earlier: Vec<&Book> = published
        .iter()
        .filter(|other| {
            other.provider == book.provider && other.name != book.name && other.from <= book.from
        })
        .collect();
    earlier.sort_by(|a, b| (a.from, &a.name).cmp(&(b.from, &b.name)));
    // what comes later takes the place of what came before
    earlier
        .into_iter()
        .flat_map(|other| {
            other
                .items
                .iter()
                .map(move |item| (item.name.as_str(), (item, other)))
        })
        .collect()
}

fn compared_with(before: &Before<'_>) -> String {
    let books: BTreeSet<&str> = before
        .values()
        .map(|(_, book)| book.name.as_str())
        .collect();
    if books.is_empty() {
        return "The first prices of this provider".to_owned();
    }
    format!(
        "Compared with {}",
        books.into_iter().collect::<Vec<_>>().join(", ")
    )
}

/// A line for each item that changes, by name, and the number of those that do not.
fn compare(book: &Book, before: &Before<'_>) -> (Vec<String>, usize) {
    let new: BTreeMap<&str, &Item> = book
        .items
        .iter()
        .map(|item| (item.name.as_str(), item))
        .collect();
    let names: BTreeSet<&str> = before.keys().chain(new.keys()).copied().collect();
    let mut lines = Vec::new();
    let mut same = 0_usize;
    for name in names {
        match (before.get(name), new.get(name)) {
            (Some((old, _)), Some(after)) if terms(old) == terms(after) => {
                same = same.saturating_add(1);
            }
            (Some((old, _)), Some(after)) => lines.push(changed(old, after)),
            (None, Some(after)) => lines.push(format!("{name}: new, {}", priced(after))),
            // an item of a book that goes on is still offered by that book
            (Some((old, last)), None) if last.through < book.from => {
                lines.push(format!("{name}: no longer offered, was {}", priced(old)));
            }
            (Some(_) | None, None) => {}
        }
    }
    (lines, same)
}

/// Everything of an item but its names: what a bill depends on.
fn terms(item: &Item) -> (String, Price, [Option<&str>; 3]) {
    let kind = format!(
        "{} {} {} {}",
        item.unit, item.per, item.basis, item.category
    );
    (
        kind,
        item.price,
        [
            item.resource.as_deref(),
            item.storage_class.as_deref(),
            item.meter.as_deref(),
        ],
    )
}

fn priced(item: &Item) -> String {
    format!(
        "{} per {}·{} ({}, {})",
        item.price, item.unit, item.per, item.basis, item.category
    )
}

fn changed(before: &Item, after: &Item) -> String {
    let name = &after.name;
    let comparable = (before.unit, before.per) == (after.unit, after.per);
    if comparable {
        let change = percent(before.price, after.price);
        format!(
            "{name}: {}, was {}, {change}",
            priced(after),
            priced(before)
        )
    } else {
        format!(
            "{name}: {}, was {}, not comparable",
            priced(after),
            priced(before)
        )
    }
}

/// The change in percent with one decimal and its sign, half away from zero.
fn percent(before: Price, after: Price) -> String {
    let (old, new) = (i128::from(before.micro()), i128::from(after.micro()));
    if old == 0 {
        return if new == 0 {
            "+0.0 %".to_owned()
        } else {
            "was free".to_owned()
        };
    }
    let difference = new - old;
    let tenths = (difference.abs() * 2000 + old) / (2 * old);
    let sign = if difference < 0 { '-' } else { '+' };
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::{Basis, Category, Per},
        money::Unit,
        time::LocalDate,
    };
    use proptest::prelude::*;

    use super::*;

    fn item(name: &str, price: &str) -> Item {
        Item {
            name: name.to_owned(),
            display_name: name.to_owned(),
            category: Category::Compute,
            resource: Some("cpu".to_owned()),
            storage_class: None,
            meter: None,
            unit: Unit::Core,
            per: Per::Month,
            basis: Basis::Reserved,
            price: Price::parse(price).unwrap(),
        }
    }

    fn book(name: &str, items: Vec<Item>) -> Book {
        Book {
            name: name.to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-001".to_owned(),
            from: LocalDate::parse("2026-01-01").unwrap(),
            through: LocalDate::parse("2026-12-31").unwrap(),
            currency: "CNY".to_owned(),
            tax: None,
            items,
        }
    }

    fn object() -> PriceBook {
        let spec = serde_json::json!({
            "provider": "p", "contract": "c", "items": [],
            "validity": {"from": "2027-01-01", "through": "2027-12-31"},
        });
        PriceBook::new("huangshi-2027", serde_json::from_value(spec).unwrap())
    }

    fn lines(old: Option<Book>, new: Vec<Item>) -> String {
        let mut new = book("huangshi-2027", new);
        new.from = LocalDate::parse("2027-01-01").unwrap();
        new.through = LocalDate::parse("2027-12-31").unwrap();
        let published: Vec<Book> = old.into_iter().collect();
        let approval = book_approval(
            &object(),
            &new,
            &published,
            "sun@finance",
            "leasehold-system",
        )
        .unwrap();
        assert_eq!(
            &*approval.spec.subject.digest,
            new.digest().unwrap().as_str()
        );
        assert_eq!(
            approval.metadata.name.as_deref(),
            Some("pb-huangshi-2027-finance")
        );
        assert_eq!(
            approval.metadata.namespace.as_deref(),
            Some("leasehold-system")
        );
        approval.spec.snapshot.to_string()
    }

    #[test]
    fn every_changed_price_is_shown_with_its_percentage() {
        let old = vec![
            item("arm", "40.00"),
            item("gone", "1.00"),
            item("same", "2"),
            item("x86", "46"),
        ];
        let new = vec![
            item("arm", "30.00"),
            item("new", "5.00"),
            item("same", "2"),
            item("x86", "52.9"),
        ];
        let text = lines(Some(book("huangshi-2026", old)), new);
        let unit = "per Core·Month (Reserved, compute)";
        for line in [
            format!("arm: 30.00 {unit}, was 40.00 {unit}, -25.0 %"),
            format!("gone: no longer offered, was 1.00 {unit}"),
            format!("new: new, 5.00 {unit}"),
            format!("x86: 52.90 {unit}, was 46.00 {unit}, +15.0 %"),
            "1 items keep their prices".to_owned(),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nnot in\n{text}"
            );
        }
    }

    #[test]
    fn a_price_for_another_unit_is_not_compared() {
        let hourly = Item {
            per: Per::Hour,
            ..item("x86", "0.07")
        };
        let text = lines(Some(book("b", vec![item("x86", "46")])), vec![hourly]);
        assert!(text.contains("x86: 0.07 per Core·Hour"), "{text}");
        assert!(text.contains("not comparable"), "{text}");
    }

    #[test]
    fn a_changed_resource_is_shown_although_the_price_stays() {
        let swapped = Item {
            resource: Some("memory".to_owned()),
            ..item("x86", "46")
        };
        let text = lines(Some(book("b", vec![item("x86", "46")])), vec![swapped]);
        assert!(text.contains("x86: 46.00"), "{text}");
    }

    #[test]
    fn an_item_of_a_book_that_goes_on_is_not_called_gone() {
        let mut other = book("huangshi-gpu", vec![item("gpu", "9000.00")]);
        other.through = LocalDate::parse("2028-12-31").unwrap();
        let text = lines(Some(other), vec![item("x86", "46")]);
        assert!(!text.contains("no longer offered"), "{text}");
    }

    #[test]
    fn prices_of_another_provider_are_not_compared() {
        let mut other = book("b", vec![item("x86", "1.00")]);
        other.provider = "somebody".to_owned();
        assert!(lines(Some(other), vec![item("x86", "46")]).contains("x86: new, 46.00"));
    }

    #[test]
    fn a_first_book_shows_every_price() {
        let text = lines(None, vec![item("x86", "46")]);
        assert!(text.contains("The first prices of this provider"));
        assert!(text.contains("x86: new, 46.00 per Core·Month"));
    }

    proptest! {
        #[test]
        fn the_percentage_is_within_half_a_tenth_of_the_truth(
            old in 1..1_000_000_000_i64,
            new in 0..1_000_000_000_i64,
        ) {
            let price = |micro| Price::from_micro(micro).unwrap();
            let text = percent(price(old), price(new));
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let tenths: i128 = digits.parse().unwrap();
            let (old, new) = (i128::from(old), i128::from(new));
            // |tenths / 1000 - |new - old| / old| <= 1 / 2000
            let error = (tenths * old - 1000 * (new - old).abs()).abs();
            prop_assert!(2 * error <= old);
            prop_assert_eq!(text.starts_with('-'), new < old);
        }
    }
}
