use leasehold_ledger::document::{ReleaseDoc, ReleaseStage};
use serde_json::{Value, json};

use super::*;
use crate::request::fixture::{self, AT};

fn quoted(monthly: &str) -> Value {
    json!({
        "currency": "CNY", "monthly": monthly, "term": "0.00", "creditMonthly": "0.00",
        "books": [], "lines": [],
    })
}

fn asked(lease: &[(&str, &str)]) -> Asked {
    fixture::asked(lease, "2027-08-31")
}

/// One request of a tenancy's life: cores, its monthly price, and what was decided.
type Step<'a> = (&'a str, &'a str, Option<Decision>);

/// A tenancy `oa` of `street` with these requests, of which `effective` are provisioned.
fn view(steps: &[Step<'_>], effective: &[u32]) -> LedgerView {
    let mut view = LedgerView {
        department: "street".to_owned(),
        tenancy: "oa".to_owned(),
        ..LedgerView::default()
    };
    for (number, (cores, monthly, decision)) in (1_u32..).zip(steps.iter().copied()) {
        let asked = asked(&[("vcpu-x86", cores)]);
        view.requests.push(RequestDoc {
            quotation: Some(quoted(monthly)),
            ..fixture::request("street", number, &asked)
        });
        if let Some(decision) = decision {
            let decided = fixture::decided("street", number, decision);
            view.decisions.insert(number, decided);
        }
    }
    view.effective = effective
        .iter()
        .map(|number| fixture::effective("street", *number))
        .collect();
    view
}

/// Cores and price of a take, and whether it waits; nothing for a tenancy that takes nothing.
fn taken(view: &LedgerView) -> Option<(i128, String, bool)> {
    take(view).unwrap().map(|take| {
        let cores = take.items.get("vcpu-x86").copied().unwrap_or(0) / 1000;
        (cores, take.monthly.to_string(), take.waits)
    })
}

const YES: Option<Decision> = Some(Decision::Approved);
const NO: Option<Decision> = Some(Decision::Rejected);
const GONE: Option<Decision> = Some(Decision::Withdrawn);

/// Requests, those that were effective, and cores, yuan a month and whether a decision is waited for.
type Case<'a> = (&'a [Step<'a>], &'a [u32], Option<(i128, &'a str, bool)>);

#[test]
fn a_tenancy_takes_the_greatest_of_what_it_holds_may_hold_and_asks_for() {
    let cases: [Case<'_>; 9] = [
        (&[], &[], None),
        (&[("8", "80.00", None)], &[], Some((8, "80.00", true))),
        (&[("8", "80.00", NO)], &[], None),
        (&[("8", "80.00", GONE)], &[], None),
        (&[("8", "80.00", YES)], &[1], Some((8, "80.00", false))),
        // more is asked for
        (
            &[("8", "80.00", YES), ("12", "120.00", None)],
            &[1],
            Some((12, "120.00", true)),
        ),
        // less is asked for: until it is decided and provisioned, what there is counts
        (
            &[("8", "80.00", YES), ("2", "20.00", None)],
            &[1],
            Some((8, "80.00", true)),
        ),
        // less was approved and comes with the next period, and more will come after that
        (
            &[
                ("8", "80.00", YES),
                ("12", "120.00", YES),
                ("2", "20.00", YES),
            ],
            &[1],
            Some((12, "120.00", false)),
        ),
        // what was approved before the provisioned lease is over
        (
            &[("12", "120.00", YES), ("2", "20.00", YES)],
            &[1, 2],
            Some((2, "20.00", false)),
        ),
    ];
    for (steps, effective, expected) in cases {
        let expected = expected.map(|(cores, monthly, waits)| (cores, monthly.to_owned(), waits));
        assert_eq!(taken(&view(steps, effective)), expected, "{steps:?}");
    }
}

#[test]
fn a_released_tenancy_takes_nothing_and_one_that_is_to_be_released_still_does() {
    let mut view = view(&[("8", "80.00", YES)], &[1]);
    let stage = |stage| ReleaseDoc {
        department: "street".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        stage,
        round: 0,
        requested_by: "zhang@street".to_owned(),
        at: AT,
        kept: Vec::new(),
        backup: None,
    };
    view.release.push(stage(ReleaseStage::Requested));
    assert_eq!(taken(&view), Some((8, "80.00".to_owned(), false)));
    view.release.push(stage(ReleaseStage::Released));
    assert_eq!(taken(&view), None);
}

#[test]
fn items_are_counted_each_for_itself() {
    let mut view = view(&[("8", "80.00", YES)], &[1]);
    let other = asked(&[("memory", "16Gi"), ("vcpu-x86", "500m")]);
    let with = take_with(&view, &other.part, Money::parse("70.00").unwrap()).unwrap();
    let expected = BTreeMap::from([
        ("memory".to_owned(), i128::from(16_i64 << 30) * 1000),
        ("vcpu-x86".to_owned(), 8_000),
    ]);
    assert_eq!(
        (with.items, with.monthly.to_string()),
        (expected, "80.00".to_owned())
    );
    // what waited before is replaced by what is asked for now
    view.requests.push(RequestDoc {
        request: 2,
        quotation: Some(quoted("999.00")),
        ..view.requests[0].clone()
    });
    let with = take_with(&view, &other.part, Money::parse("70.00").unwrap()).unwrap();
    assert_eq!(with.monthly.to_string(), "80.00");
}

#[test]
fn quantities_of_any_size_and_unit_are_compared_as_numbers() {
    assert_eq!(thousandths("48"), Some(48_000));
    assert_eq!(thousandths("500m"), Some(500));
    assert_eq!(thousandths("2Ti"), thousandths("2048Gi"));
    // beyond 64 bits of thousandths
    assert_eq!(thousandths("9Pi"), Some(9 * 1000 * i128::from(1_i64 << 50)));
    assert_eq!(thousandths("much"), None);
}

fn limit(limits: &Value) -> Limit {
    Limit::of("daye", &serde_json::from_value(limits.clone()).unwrap())
}

fn one(department: &str, tenancy: &str, monthly: &str, cores: i128) -> Take {
    Take {
        department: department.to_owned(),
        tenancy: tenancy.to_owned(),
        monthly: Money::parse(monthly).unwrap(),
        items: BTreeMap::from([("vcpu-x86".to_owned(), cores * 1000)]),
        holds: true,
        waits: false,
    }
}

fn check(limit: &Limit, others: &[&Take], before: Option<&Take>, after: &Take) -> Vec<Refusal> {
    limit.check(others, before, after, |_| Unit::Core).unwrap()
}

#[test]
fn a_limit_is_kept_to_the_fen_and_its_refusal_says_who_takes_it() {
    let limit = limit(&json!({"monthly": "1000.00"}));
    let mut waiting = one("village", "web", "300.00", 1);
    waiting.waits = true;
    let others = [
        one("street", "mail", "100.00", 1),
        one("daye", "archive", "200.00", 1),
        one("street", "gis", "200.00", 1),
    ];
    let all: Vec<&Take> = others.iter().chain([&waiting]).collect();
    // 800.00 are taken
    assert!(check(&limit, &all, None, &one("street", "oa", "200.00", 1)).is_empty());
    let refused = check(&limit, &all, None, &one("street", "oa", "200.01", 1));
    assert_eq!(refused.len(), 1);
    assert_eq!(
        refused[0].to_string(),
        "rule T50: asked 200.01 a month for oa of street, 1000.01 together with what daye and those below it lease, \
         allowed 1000.00 a month by spec.limits of department daye, of which 800.00 is taken: 300.00 by web of village \
         (waits), 200.00 by archive of daye, 200.00 by gis of street, and 1 more; lease less, give something back \
         there, or have the e-government office raise the limit"
    );
}

#[test]
fn an_item_is_limited_in_its_own_unit_and_beside_money() {
    let limit = limit(&json!({
        "monthly": "100.00",
        "items": [{"item": "vcpu-x86", "quantity": "16"}, {"item": "memory", "quantity": "64Gi"}],
    }));
    let other = one("street", "mail", "10.00", 12);
    assert!(check(&limit, &[&other], None, &one("street", "oa", "10.00", 4)).is_empty());
    let refused = check(&limit, &[&other], None, &one("street", "oa", "91.00", 5));
    let rules: Vec<&str> = refused.iter().map(|refusal| refusal.rule).collect();
    assert_eq!(rules, ["T50", "T51"]);
    assert!(
        refused[1]
            .asked
            .starts_with("5 of vcpu-x86 for oa of street, 17 together"),
        "{}",
        refused[1]
    );
    assert!(
        refused[1]
            .allowed
            .ends_with("of which 12 is taken: 12 by mail of street"),
        "{}",
        refused[1]
    );
    let mut large = one("street", "oa", "1.00", 0);
    large.items = BTreeMap::from([("memory".to_owned(), thousandths("65Gi").unwrap())]);
    let refused = limit.check(&[&other], None, &large, |_| Unit::GiB).unwrap();
    assert!(
        refused[0].asked.starts_with("65Gi of memory"),
        "{}",
        refused[0]
    );
    assert!(refused[0].allowed.starts_with("64Gi of memory by"));
}

#[test]
fn whoever_takes_no_more_than_before_is_let_through_whatever_the_limit_became() {
    let limit = limit(&json!({
        "monthly": "50.00", "items": [{"item": "vcpu-x86", "quantity": "1"}],
    }));
    let other = one("street", "mail", "900.00", 90);
    let before = one("street", "oa", "80.00", 8);
    assert!(check(&limit, &[&other], Some(&before), &before).is_empty());
    let less = one("street", "oa", "70.00", 7);
    assert!(check(&limit, &[&other], Some(&before), &less).is_empty());
    // fewer cores and a little memory for more money
    let mut dearer = one("street", "oa", "80.01", 7);
    let memory = thousandths("1Gi").unwrap();
    dearer.items.insert("memory".to_owned(), memory);
    let refused = check(&limit, &[&other], Some(&before), &dearer);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].rule, "T50");
}

#[test]
fn after_a_price_rise_the_same_and_less_go_through_and_one_core_more_does_not() {
    let limit = limit(&json!({"monthly": "100.00"}));
    let other = one("street", "mail", "60.00", 6);
    // ten yuan a core when it was leased, fifteen by now
    let before = one("street", "oa", "40.00", 4);
    for (cores, monthly) in [(4, "60.00"), (3, "45.00")] {
        let after = one("street", "oa", monthly, cores);
        assert!(check(&limit, &[&other], Some(&before), &after).is_empty());
    }
    let more = one("street", "oa", "75.00", 5);
    let refused = check(&limit, &[&other], Some(&before), &more);
    let rules: Vec<&str> = refused.iter().map(|refusal| refusal.rule).collect();
    assert_eq!(rules, ["T50"]);
    // nothing was leased before: a first lease is more, however cheap
    let first = check(&limit, &[&other], None, &one("street", "oa", "60.00", 4));
    assert_eq!(first.len(), 1);
}

#[test]
fn a_limit_that_cannot_be_read_allows_nothing() {
    let limit = limit(&json!({"items": [{"item": "vcpu-x86", "quantity": "0.0001"}]}));
    let refused = check(&limit, &[], None, &one("street", "oa", "1.00", 1));
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].allowed.starts_with("0.0001 of vcpu-x86"),
        "{}",
        refused[0]
    );
    assert!(refused[0].allowed.ends_with("of which 0 is taken"));
}

#[test]
fn what_departments_say_of_themselves_adds_up_to_what_their_tenancies_take() {
    let takes = [
        one("street", "oa", "80.00", 8),
        one("street", "web", "40.50", 4),
    ];
    let limited = BTreeSet::from(["vcpu-x86".to_owned()]);
    let street = Sum::of(&takes).unwrap();
    let said = street.leased(&limited, |_| Unit::Core);
    assert_eq!((said.monthly.as_str(), said.tenancies), ("120.50", 2));
    assert_eq!(said.items[0].quantity, "12");
    let village = Sum::of(&[one("village", "oa", "1.00", 1)]).unwrap();
    let subtree = street
        .clone()
        .with(&village.leased(&limited, |_| Unit::Core))
        .unwrap();
    assert_eq!(
        (subtree.monthly.to_string(), subtree.tenancies),
        ("121.50".to_owned(), 3)
    );
    assert_eq!(subtree.items["vcpu-x86"], 13_000);
    // what nobody limits is not told
    assert!(
        street
            .leased(&BTreeSet::new(), |_| Unit::Core)
            .items
            .is_empty()
    );

    let limit = limit(&json!({
        "monthly": "121.50", "items": [{"item": "vcpu-x86", "quantity": "12"}],
    }));
    assert_eq!(
        limit.exceeded_by(&subtree, |_| Unit::Core),
        ["13 of vcpu-x86 is leased here and below, the limit is 12"]
    );
    assert!(limit.exceeded_by(&village, |_| Unit::Core).is_empty());
}

#[test]
fn a_department_that_ends_asks_for_nothing_more_and_is_sent_to_its_successor() {
    let change = |item: &str, from: i64, to: i64| Change {
        item: item.to_owned(),
        from,
        to,
        unit: Unit::Core,
        monthly: Money::ZERO,
        once: Money::ZERO,
    };
    let end = |end: Value| serde_json::from_value::<DepartmentEnd>(end).unwrap();
    let merged = end(json!({"reason": "机构改革", "successor": "daye"}));
    for less in [
        vec![],
        vec![change("vcpu-x86", 8_000, 4_000)],
        vec![change("vcpu-x86", 8_000, 0)],
    ] {
        assert_eq!(check_end("street", &merged, &less), Ok(()));
    }
    let more = [change("memory", 8_000, 4_000), change("vcpu-x86", 0, 4_000)];
    let refusal = check_end("street", &merged, &more).unwrap_err();
    assert_eq!(refusal.rule, "T52");
    assert_eq!(refusal.asked, "vcpu-x86 0 to 4 for department street");
    assert!(refusal.remedy.contains("department daye"), "{refusal}");
    let closed = end(json!({"reason": "撤销"}));
    let refusal = check_end("street", &closed, &more).unwrap_err();
    assert!(refusal.remedy.contains("e-government office"), "{refusal}");
}
