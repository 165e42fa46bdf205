use serde_json::json;

use super::*;
use crate::time::Second;

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

fn at(text: &str) -> Second {
    Second::parse(text).unwrap()
}

fn shanghai() -> Zone {
    Zone::parse("Asia/Shanghai").unwrap()
}

fn vcpu(price: &str) -> Item {
    Item {
        name: "vcpu-x86".to_owned(),
        display_name: "云主机CPU".to_owned(),
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

fn book(name: &str, from: &str, through: &str, price: &str) -> Book {
    Book {
        name: name.to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-001".to_owned(),
        from: day(from),
        through: day(through),
        currency: "CNY".to_owned(),
        tax: Some(Tax {
            included: true,
            percent: "6".to_owned(),
        }),
        items: vec![vcpu(price)],
    }
}

fn first_half() -> Book {
    book("h1", "2026-01-01", "2026-06-30", "46")
}

fn second_half() -> Book {
    book("h2", "2026-07-01", "2026-12-31", "44")
}

fn rules(book: &Book) -> Vec<&'static str> {
    book.validate().iter().map(|fault| fault.rule).collect()
}

#[test]
fn a_book_is_written_as_finance_writes_it() {
    let json = serde_json::to_value(first_half()).unwrap();
    assert_eq!(
        json["items"][0],
        json!({
            "name": "vcpu-x86", "displayName": "云主机CPU", "category": "compute",
            "resource": "cpu", "unit": "Core", "per": "Month", "basis": "Reserved",
            "price": "46.00",
        })
    );
    assert_eq!(json["through"], json!("2026-06-30"));
    assert_eq!(serde_json::from_value::<Book>(json).unwrap(), first_half());
}

#[test]
fn a_book_that_says_gigabytes_is_refused() {
    let mut json = serde_json::to_value(first_half()).unwrap();
    json["items"][0]["unit"] = json!("GB");
    let error = serde_json::from_value::<Book>(json)
        .unwrap_err()
        .to_string();
    assert!(error.contains("use GiB"), "{error}");
}

#[test]
fn every_category_has_one_name_in_json_and_in_accounts() {
    for category in Category::ALL {
        assert_eq!(
            serde_json::to_value(category).unwrap(),
            json!(category.as_str())
        );
    }
    for (basis, per) in [(Basis::Reserved, Per::Month), (Basis::OneOff, Per::Once)] {
        assert_eq!(serde_json::to_value(basis).unwrap(), json!(basis.as_str()));
        assert_eq!(serde_json::to_value(per).unwrap(), json!(per.as_str()));
    }
}

#[test]
fn a_sound_book_has_no_faults() {
    assert!(first_half().validate().is_empty());
}

#[test]
fn faults_of_a_book_name_rule_and_field() {
    let mut bad = first_half();
    bad.provider = " ".to_owned();
    bad.through = day("2025-12-31");
    bad.currency = "Yuan".to_owned();
    bad.tax = Some(Tax {
        included: false,
        percent: "106".to_owned(),
    });
    bad.items.clear();
    assert_eq!(
        rules(&bad),
        [
            "text-present",
            "validity-order",
            "currency-code",
            "tax-included",
            "tax-percent",
            "items-present"
        ]
    );
}

#[test]
fn faults_of_an_item_name_rule_and_field() {
    let mut bad = first_half();
    bad.items.push(Item {
        unit: Unit::GiB,
        ..vcpu("1")
    });
    let faults = bad.validate();
    assert_eq!(
        (faults[0].rule, faults[0].field.as_str()),
        ("item-unique", "items[1].name")
    );
    assert_eq!(
        (faults[1].rule, faults[1].field.as_str()),
        ("unit-of-source", "items[1].unit")
    );
    assert_eq!(faults.len(), 2);
    for (item, rule) in [
        (
            Item {
                name: "VCPU".to_owned(),
                ..vcpu("1")
            },
            "item-name",
        ),
        (
            Item {
                name: "-a".to_owned(),
                ..vcpu("1")
            },
            "item-name",
        ),
        (
            Item {
                name: "a".repeat(64),
                ..vcpu("1")
            },
            "item-name",
        ),
        (
            Item {
                display_name: String::new(),
                ..vcpu("1")
            },
            "text-present",
        ),
        (
            Item {
                per: Per::Once,
                ..vcpu("1")
            },
            "basis-per",
        ),
        (
            Item {
                basis: Basis::OneOff,
                ..vcpu("1")
            },
            "basis-per",
        ),
        (
            Item {
                resource: None,
                basis: Basis::Metered,
                per: Per::Hour,
                ..vcpu("1")
            },
            "metered-source",
        ),
        (
            Item {
                storage_class: Some("ssd".to_owned()),
                unit: Unit::GiB,
                ..vcpu("1")
            },
            "one-source",
        ),
        (
            Item {
                meter: Some("buckets".to_owned()),
                basis: Basis::Metered,
                per: Per::Hour,
                ..vcpu("1")
            },
            "one-source",
        ),
        (
            Item {
                resource: None,
                meter: Some("buckets".to_owned()),
                unit: Unit::Count,
                ..vcpu("1")
            },
            "meter-basis",
        ),
    ] {
        let bad = Book {
            items: vec![item],
            ..first_half()
        };
        assert_eq!(rules(&bad), [rule]);
    }
}

#[test]
fn the_digest_of_a_rate_moves_with_its_price_and_not_with_the_end_of_its_book() {
    let whole = first_half();
    let ended = Book {
        through: day("2026-03-31"),
        ..first_half()
    };
    let dearer = book("h1", "2026-01-01", "2026-06-30", "46.000001");
    let digest = |book: &Book| book.rate_digest(&book.items[0]).unwrap();
    assert_eq!(digest(&whole), digest(&ended));
    assert_ne!(digest(&whole), digest(&dearer));
    assert_ne!(
        digest(&whole),
        digest(&Book {
            name: "other".to_owned(),
            ..first_half()
        })
    );
    assert_ne!(whole.digest().unwrap(), ended.digest().unwrap());
}

#[test]
fn books_overlap_on_a_common_day_of_a_common_item_only() {
    let touching = Book {
        from: day("2026-06-30"),
        ..second_half()
    };
    let elsewhere = Book {
        provider: "other".to_owned(),
        ..touching.clone()
    };
    let mut memory = touching.clone();
    memory.items[0].name = "memory".to_owned();
    assert!(touching.overlaps(&first_half()) && first_half().overlaps(&touching));
    assert!(!second_half().overlaps(&first_half()));
    assert!(!elsewhere.overlaps(&first_half()));
    assert!(!memory.overlaps(&first_half()));
}

#[test]
fn overlapping_books_make_no_catalogue() {
    let touching = Book {
        from: day("2026-06-30"),
        ..second_half()
    };
    let error = Catalogue::new(vec![touching, first_half()], shanghai()).unwrap_err();
    assert!(
        matches!(&error, BookError::Overlap { first, second, day, .. }
            if first == "h1" && second == "h2" && day.to_string() == "2026-06-30"),
        "{error}"
    );
    let mut twice = first_half();
    twice.items.push(vcpu("47"));
    assert!(Catalogue::new(vec![twice], shanghai()).is_err());
}

#[test]
fn the_price_changes_at_local_midnight() {
    let catalogue = Catalogue::new(vec![second_half(), first_half()], shanghai()).unwrap();
    let price = |text: &str| {
        let rate = catalogue.price_at("hs-bigdata", "vcpu-x86", at(text));
        rate.map(|rate| rate.price.to_string())
    };
    assert_eq!(price("2025-12-31T15:59:59Z"), None);
    assert_eq!(price("2025-12-31T16:00:00Z").as_deref(), Some("46.00"));
    assert_eq!(price("2026-06-30T15:59:59Z").as_deref(), Some("46.00"));
    assert_eq!(price("2026-06-30T16:00:00Z").as_deref(), Some("44.00"));
    assert_eq!(price("2026-12-31T16:00:00Z"), None);
    assert!(
        catalogue
            .price_at("other", "vcpu-x86", at("2026-02-01T00:00:00Z"))
            .is_none()
    );
}

#[test]
fn rates_tile_a_span_and_show_where_no_price_is_in_force() {
    let late = Book {
        from: day("2026-07-02"),
        ..second_half()
    };
    let catalogue = Catalogue::new(vec![first_half(), late], shanghai()).unwrap();
    let span = Span::new(at("2026-06-29T16:00:00Z"), at("2027-01-01T16:00:00Z"));
    let parts: Vec<(String, String, Option<String>)> = catalogue
        .rates("hs-bigdata", "vcpu-x86", span)
        .into_iter()
        .map(|(part, rate)| {
            (
                part.from.to_string(),
                part.to.to_string(),
                rate.map(|rate| rate.book),
            )
        })
        .collect();
    let expected = [
        ("2026-06-29T16:00:00Z", "2026-06-30T16:00:00Z", Some("h1")),
        ("2026-06-30T16:00:00Z", "2026-07-01T16:00:00Z", None),
        ("2026-07-01T16:00:00Z", "2026-12-31T16:00:00Z", Some("h2")),
        ("2026-12-31T16:00:00Z", "2027-01-01T16:00:00Z", None),
    ]
    .map(|(from, to, book)| (from.to_owned(), to.to_owned(), book.map(str::to_owned)));
    assert_eq!(parts, expected);
    assert_eq!(
        catalogue.rates("hs-bigdata", "nothing", span),
        [(span, None)]
    );
}

#[test]
fn the_catalogue_knows_its_items_and_up_to_which_day_they_are_priced() {
    let catalogue = Catalogue::new(vec![second_half(), first_half()], shanghai()).unwrap();
    let inside = at("2026-02-01T00:00:00Z");
    assert_eq!(catalogue.providers(), ["hs-bigdata"]);
    assert_eq!(catalogue.item_names("hs-bigdata", inside), ["vcpu-x86"]);
    assert!(
        catalogue
            .item_names("hs-bigdata", at("2027-02-01T00:00:00Z"))
            .is_empty()
    );
    assert_eq!(
        catalogue.item("hs-bigdata", "vcpu-x86", inside),
        Some(&vcpu("46"))
    );
    let through = |from: &str| {
        catalogue
            .priced_through("hs-bigdata", "vcpu-x86", day(from))
            .map(|day| day.to_string())
    };
    assert_eq!(through("2026-03-05").as_deref(), Some("2026-12-31"));
    assert_eq!(through("2027-01-01"), None);
}
