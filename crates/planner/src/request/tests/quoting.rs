//! What a request is measured against, and what it costs.

use leasehold_api::{
    platform::{CloudPolicySpec, CloudletSpec, NetworkZoneSpec},
    tenancy::{InformationSystemSpec, Term},
};

use super::*;

struct Place {
    zone: NetworkZoneSpec,
    cloudlet: CloudletSpec,
    system: InformationSystemSpec,
    catalogue: Catalogue,
    policy: Policy,
}

fn place() -> Place {
    let policy: CloudPolicySpec = serde_json::from_value(json!({})).unwrap();
    Place {
        zone: serde_json::from_value(json!({
            "displayName": "政务外网", "network": "GovExtranet", "protectionLevel": 3,
            "storageClasses": ["ssd"],
        }))
        .unwrap(),
        cloudlet: serde_json::from_value(json!({
            "displayName": "市级", "provider": "hs-bigdata", "zones": ["gov-extranet"],
        }))
        .unwrap(),
        system: serde_json::from_value(json!({
            "displayName": "政府办公OA", "origin": "New", "protectionLevel": 3,
        }))
        .unwrap(),
        catalogue: catalogue(),
        policy: ledger_policy(&policy).unwrap(),
    }
}

fn check(place: &Place, part: &ApprovedPart, today: &str) -> Result<String, Vec<&'static str>> {
    let asked = Asked {
        part: part.clone(),
        attempt: 0,
        effective_from: None,
    };
    check_asked(place, &asked, today)
}

fn check_asked(place: &Place, asked: &Asked, today: &str) -> Result<String, Vec<&'static str>> {
    let context = RequestContext {
        today: LocalDate::parse(today).unwrap(),
        zone: &place.zone,
        cloudlet: &place.cloudlet,
        system: &place.system,
        catalogue: &place.catalogue,
        policy: &place.policy,
        credit: &[],
    };
    validate(asked, &context)
        .map(|quotation| format!("{} {}", quotation.monthly, quotation.term))
        .map_err(|refused: Vec<Refusal>| refused.iter().map(|refusal| refusal.rule).collect())
}

fn full() -> ApprovedPart {
    asked(&[("vcpu-x86", "48"), ("memory", "64Gi"), ("block-ssd", "2Ti")]).part
}

#[test]
fn a_lease_is_quoted_by_month_and_term() {
    // 48 × 46 + 64 × 17 + 2048 × 0.70 = 2208.00 + 1088.00 + 1433.60
    assert_eq!(
        check(&place(), &full(), "2026-08-20"),
        Ok("4729.60 56755.20".to_owned())
    );
}

#[test]
fn the_quotation_of_a_running_lease_is_for_the_whole_term() {
    assert_eq!(
        check(&place(), &full(), "2026-12-24"),
        Ok("4729.60 56755.20".to_owned())
    );
}

#[test]
fn a_request_above_its_ceiling_is_refused() {
    let mut part = full();
    part.budget.ceiling = Some("56755.19".into());
    assert_eq!(check(&place(), &part, "2026-08-20"), Err(vec!["T28"]));
    part.budget.ceiling = Some("56755.20".into());
    assert!(check(&place(), &part, "2026-08-20").is_ok());
    part.budget.ceiling = None;
    assert!(check(&place(), &part, "2026-08-20").is_ok());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut place = place();
    place.system.protection_level = 4;
    place.cloudlet.zones = vec!["internet".into()];
    place.zone.storage_classes = vec!["hdd".into()];
    let part = asked(&[
        ("vcpu-x86", "0"),
        ("vcpu-burst", "1"),
        ("memory", "many"),
        ("block-ssd", "1Ti"),
        ("gpu", "1"),
    ])
    .part;
    // by item: block-ssd, gpu, memory, vcpu-burst, vcpu-x86
    assert_eq!(
        check(&place, &part, "2026-08-20"),
        Err(vec!["T24", "T25", "T26", "T21", "T22", "T22", "T27"])
    );
}

#[test]
fn a_term_must_exist_end_in_the_future_and_not_be_endless() {
    let refused = |from: &str, through: &str| {
        let mut part = full();
        part.budget.ceiling = None;
        part.term = Term {
            from: from.into(),
            through: through.into(),
        };
        check(&place(), &part, "2026-08-20").unwrap_err()
    };
    assert_eq!(refused("2026-02-30", "2027-08-31"), ["T23"]);
    assert_eq!(refused("2025-09-01", "2026-08-19"), ["T23"]);
    assert_eq!(refused("2027-09-01", "2027-08-31"), ["T05"]);
    assert_eq!(refused("2026-09-01", "2036-09-01"), ["T34"]);
}

/// The full lease with another last day and no ceiling.
fn through(day: &str) -> ApprovedPart {
    let mut part = full();
    part.budget.ceiling = None;
    part.term.through = day.into();
    part
}

#[test]
fn a_lease_whose_term_is_over_is_renewed_and_quoted_for_the_whole_of_it() {
    // 24 months of 4729.60; no book is published for 2028 yet, so the last prices count
    let renewed = check(&place(), &through("2028-08-31"), "2027-10-01");
    assert_eq!(renewed, Ok("4729.60 113510.40".to_owned()));
    // one that ends before today is none
    let late = check(&place(), &through("2027-09-30"), "2027-10-01");
    assert_eq!(late, Err(vec!["T23"]));
}

#[test]
fn a_renewal_is_quoted_at_the_prices_of_its_own_days() {
    let mut place = place();
    let mut next = book();
    next.name = "huangshi-2028".to_owned();
    next.from = LocalDate::parse("2028-01-01").unwrap();
    next.through = LocalDate::parse("2028-12-31").unwrap();
    next.items[0].price = Price::parse("50.00").unwrap();
    place.catalogue = Catalogue::new(vec![book(), next], shanghai()).unwrap();
    // 16 months of 4729.60, and from 2028 on 8 of 48 × 50 + 1088.00 + 1433.60 = 4921.60
    let renewed = check(&place, &through("2028-08-31"), "2027-10-01");
    assert_eq!(renewed, Ok("4729.60 115046.40".to_owned()));
}

#[test]
fn a_lease_that_is_extended_again_and_again_may_last_longer_than_ten_years() {
    let since_2017 = |last: &str| {
        let mut part = through(last);
        part.term.from = "2017-09-01".into();
        check(&place(), &part, "2026-08-20").map(drop)
    };
    assert_eq!(since_2017("2036-08-19"), Ok(()));
    assert_eq!(since_2017("2036-08-20"), Err(vec!["T34"]));
}

#[test]
fn a_change_begins_on_a_day_that_exists_and_lies_in_the_term() {
    let from = |day: &str| {
        let wanted = Asked {
            part: full(),
            attempt: 0,
            effective_from: Some(day.into()),
        };
        check_asked(&place(), &wanted, "2026-08-20").map(drop)
    };
    let Term {
        from: first,
        through,
    } = full().term;
    assert_eq!(from(&first), Ok(()));
    assert_eq!(from(&through), Ok(()));
    // the schema lets this through: as a text it lies between the two
    assert_eq!(from("2027-02-30"), Err(vec!["T06"]));
    assert_eq!(from("2026-08-31"), Err(vec!["T06"]));
    assert_eq!(from("2027-09-01"), Err(vec!["T06"]));
}

#[test]
fn an_item_without_a_price_on_the_first_day_names_a_day_that_has_one() {
    let mut place = place();
    let mut later = book();
    later.from = LocalDate::parse("2026-10-01").unwrap();
    place.catalogue = Catalogue::new(vec![later], shanghai()).unwrap();
    assert_eq!(
        check(&place, &full(), "2026-08-20"),
        Err(vec!["T29", "T29", "T29"])
    );
    let context = RequestContext {
        today: LocalDate::parse("2026-08-20").unwrap(),
        zone: &place.zone,
        cloudlet: &place.cloudlet,
        system: &place.system,
        catalogue: &place.catalogue,
        policy: &place.policy,
        credit: &[],
    };
    let wanted = Asked {
        part: full(),
        attempt: 0,
        effective_from: None,
    };
    let refused = validate(&wanted, &context).unwrap_err();
    assert!(
        refused[0].to_string().contains("such as 2026-10-01"),
        "{}",
        refused[0]
    );
}
