use leasehold_ledger::{
    book::{Basis, Book, Catalogue, Category, Item, Per},
    document::FundsAsked,
    money::{Money, Price},
    policy::Policy,
    time::{LocalDate, Second, Zone},
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{convert::ledger_policy, rules::Refusal};

mod quoting;

fn spec(lease: &[(&str, &str)]) -> TenancySpec {
    let lease: Vec<Value> = lease
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "HS-ZFCG-2026-031", "budget": {"code": "30227", "ceiling": "60000.00"},
        "lease": lease, "namespaces": [{"name": "prod"}],
    }))
    .unwrap()
}

fn asked(lease: &[(&str, &str)]) -> Asked {
    Asked::of(&spec(lease))
}

fn again(lease: &[(&str, &str)], attempt: u32) -> Asked {
    Asked {
        attempt,
        ..asked(lease)
    }
}

fn request(number: u32, asked: &Asked) -> RequestDoc {
    fixture::request("gov-office", number, asked)
}

fn decided(number: u32, decision: Decision) -> (u32, DecisionDoc) {
    let doc = DecisionDoc {
        reason: "too much".to_owned(),
        ..fixture::decided("gov-office", number, decision)
    };
    (number, doc)
}

fn view(requests: &[&Asked], decisions: &[(u32, Decision)]) -> LedgerView {
    LedgerView {
        requests: (1..)
            .zip(requests)
            .map(|(number, asked)| request(number, asked))
            .collect(),
        decisions: decisions
            .iter()
            .map(|(number, what)| decided(*number, *what))
            .collect(),
        ..LedgerView::default()
    }
}

fn opened(step: &RequestStep) -> (u32, Option<u32>) {
    let RequestStep::Open {
        number, supersedes, ..
    } = step
    else {
        panic!("{step:?}")
    };
    (*number, *supersedes)
}

const SMALL: &[(&str, &str)] = &[("vcpu-x86", "32"), ("block-ssd", "2Ti")];
const LARGE: &[(&str, &str)] = &[("vcpu-x86", "48"), ("block-ssd", "2Ti")];

#[test]
fn the_first_manifest_opens_request_1_with_the_digest_of_its_snapshot() {
    let wanted = asked(SMALL);
    let expected = RequestStep::Open {
        number: 1,
        asked: Box::new(wanted.clone()),
        digest: wanted.digest().unwrap(),
        supersedes: None,
    };
    assert_eq!(step(&LedgerView::default(), &wanted).unwrap(), expected);
}

#[test]
fn a_snapshot_survives_the_ledger() {
    let mut wanted = again(LARGE, 3);
    wanted.effective_from = Some("2026-09-11".into());
    assert_eq!(Asked::read(&request(1, &wanted)).unwrap(), wanted);
}

#[test]
fn the_order_of_items_and_the_split_need_no_approval() {
    let mut turned = spec(&[("vcpu-x86", "32"), ("block-ssd", "2Ti")]);
    turned.lease.reverse();
    turned.namespaces[0].name = "test".into();
    assert_eq!(
        Asked::of(&turned).digest().unwrap(),
        asked(SMALL).digest().unwrap()
    );
}

#[test]
fn another_spelling_of_a_quantity_is_the_same_request() {
    let view = view(&[&asked(SMALL)], &[(1, Decision::Approved)]);
    let spelled = asked(&[("vcpu-x86", "32000m"), ("block-ssd", "2048Gi")]);
    assert_eq!(step(&view, &spelled).unwrap(), RequestStep::Same);
    let tiny = asked(&[("vcpu-x86", "32001m"), ("block-ssd", "2Ti")]);
    assert_eq!(opened(&step(&view, &tiny).unwrap()), (2, None));
}

#[test]
fn quantities_beyond_the_finest_unit_are_still_told_apart() {
    assert!(same_quantity("9Pi", "9216Ti"));
    assert!(!same_quantity("9Pi", "9217Ti"));
    assert!(!same_quantity("9Pi", "nonsense"));
}

#[test]
fn a_change_waits_and_applying_the_approved_values_again_withdraws_it() {
    let view = view(&[&asked(SMALL), &asked(LARGE)], &[(1, Decision::Approved)]);
    assert_eq!(
        step(&view, &asked(LARGE)).unwrap(),
        RequestStep::Waits { number: 2 }
    );
    assert_eq!(
        step(&view, &asked(SMALL)).unwrap(),
        RequestStep::Withdraw { number: 2 }
    );
}

#[test]
fn a_further_change_takes_the_place_of_the_waiting_one() {
    let view = view(&[&asked(SMALL), &asked(LARGE)], &[(1, Decision::Approved)]);
    let more = asked(&[("vcpu-x86", "64"), ("block-ssd", "2Ti")]);
    assert_eq!(opened(&step(&view, &more).unwrap()), (3, Some(2)));
}

#[test]
fn a_number_is_never_used_again_after_a_withdrawal() {
    let decisions = [(1, Decision::Approved), (2, Decision::Withdrawn)];
    let view = view(&[&asked(SMALL), &asked(LARGE)], &decisions);
    assert_eq!(step(&view, &asked(SMALL)).unwrap(), RequestStep::Same);
    assert_eq!(opened(&step(&view, &asked(LARGE)).unwrap()), (3, None));
}

#[test]
fn what_was_rejected_stays_rejected_until_the_attempt_is_raised() {
    let decisions = [(1, Decision::Approved), (2, Decision::Rejected)];
    let view = view(&[&asked(SMALL), &asked(LARGE)], &decisions);
    assert_eq!(
        step(&view, &asked(LARGE)).unwrap(),
        RequestStep::Rejected {
            number: 2,
            reason: "too much".to_owned(),
            by: "wang@office".to_owned()
        }
    );
    assert_eq!(opened(&step(&view, &again(LARGE, 1)).unwrap()), (3, None));
    assert_eq!(step(&view, &again(SMALL, 1)).unwrap(), RequestStep::Same);
}

#[test]
fn a_detour_over_another_request_does_not_wash_a_rejection_off() {
    let other = asked(&[("vcpu-x86", "40"), ("block-ssd", "2Ti")]);
    let requests = [&asked(SMALL), &asked(LARGE), &other];
    let withdrawn = [
        (1, Decision::Approved),
        (2, Decision::Rejected),
        (3, Decision::Withdrawn),
    ];
    let step_after_withdrawal = step(&view(&requests, &withdrawn), &asked(LARGE)).unwrap();
    assert!(matches!(
        step_after_withdrawal,
        RequestStep::Rejected { number: 2, .. }
    ));
    let approved = [
        (1, Decision::Approved),
        (2, Decision::Rejected),
        (3, Decision::Approved),
    ];
    assert_eq!(
        opened(&step(&view(&requests, &approved), &asked(LARGE)).unwrap()),
        (4, None)
    );
}

#[test]
fn another_effective_day_is_another_request_only_while_the_request_is_open() {
    let mut later = asked(LARGE);
    later.effective_from = Some("2026-10-01".into());
    let open = view(&[&asked(SMALL), &asked(LARGE)], &[(1, Decision::Approved)]);
    assert_eq!(opened(&step(&open, &later).unwrap()), (3, Some(2)));
    let done = view(&[&asked(LARGE)], &[(1, Decision::Approved)]);
    assert_eq!(step(&done, &later).unwrap(), RequestStep::Same);
}

#[test]
fn the_provisioned_request_is_the_last_whose_quota_stood() {
    let mut view = view(
        &[&asked(SMALL), &asked(LARGE)],
        &[(1, Decision::Approved), (2, Decision::Approved)],
    );
    assert!(view.effective().is_none());
    view.effective.push(fixture::effective("gov-office", 1));
    assert_eq!(view.effective().map(|r| r.request), Some(1));
    assert_eq!(view.approved().map(|r| r.request), Some(2));
}

#[test]
fn a_release_that_was_taken_back_counts_no_more_until_it_is_asked_for_again() {
    let stage = |stage, round| ReleaseDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        stage,
        round,
        requested_by: "zhang@gov-office".to_owned(),
        at: Second::new(i64::from(round)),
        kept: Vec::new(),
        backup: None,
    };
    let mut view = view(&[&asked(SMALL)], &[(1, Decision::Approved)]);
    assert_eq!((view.releasing(), view.release_round()), (false, 0));
    view.release.push(stage(ReleaseStage::Requested, 0));
    assert!(view.releasing());
    view.release.push(stage(ReleaseStage::TakenBack, 0));
    assert_eq!((view.releasing(), view.release_round()), (false, 1));
    view.release.push(stage(ReleaseStage::Requested, 1));
    assert_eq!(view.release_asked().map(|doc| doc.round), Some(1));
    view.release.push(stage(ReleaseStage::TakenBack, 1));
    assert_eq!((view.releasing(), view.released()), (false, false));
}

fn item(name: &str, source: (Option<&str>, Option<&str>), unit: Unit, price: &str) -> Item {
    Item {
        name: name.to_owned(),
        display_name: name.to_owned(),
        category: Category::Compute,
        resource: source.0.map(str::to_owned),
        storage_class: source.1.map(str::to_owned),
        meter: None,
        unit,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse(price).unwrap(),
    }
}

fn book() -> Book {
    let cpu = (Some("cpu"), None);
    Book {
        name: "huangshi-2026".to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-001".to_owned(),
        from: LocalDate::parse("2026-01-01").unwrap(),
        through: LocalDate::parse("2027-12-31").unwrap(),
        currency: "CNY".to_owned(),
        tax: None,
        items: vec![
            item("vcpu-x86", cpu, Unit::Core, "46.00"),
            item("memory", (Some("memory"), None), Unit::GiB, "17.00"),
            item("block-ssd", (None, Some("ssd")), Unit::GiB, "0.70"),
            Item {
                per: Per::Hour,
                basis: Basis::Metered,
                ..item("vcpu-burst", cpu, Unit::Core, "0.096")
            },
            Item {
                per: Per::Once,
                basis: Basis::OneOff,
                ..item("setup", (None, None), Unit::Count, "500.00")
            },
        ],
    }
}

fn shanghai() -> Zone {
    Zone::parse("Asia/Shanghai").unwrap()
}

fn catalogue() -> Catalogue {
    Catalogue::new(vec![book()], shanghai()).unwrap()
}

fn prices(catalogue: &Catalogue) -> Prices<'_> {
    let at = Second::parse("2026-09-10T00:00:00Z").unwrap();
    Prices {
        catalogue,
        provider: "hs-bigdata",
        at,
        since: at,
        approved: None,
    }
}

#[test]
fn an_item_whose_book_ended_without_a_successor_is_what_it_was_when_it_was_decided_on() {
    let day = |text: &str| LocalDate::parse(text).unwrap();
    let second = |text: &str| Second::parse(text).unwrap();
    let gpu = (Some("nvidia.com/gpu"), None);
    // sold in spring 2027 alone, and neither on the first day of the term nor today
    let spring = Book {
        name: "huangshi-gpu".to_owned(),
        from: day("2027-03-01"),
        through: day("2027-04-30"),
        items: vec![item("gpu-a800", gpu, Unit::Count, "2400.00")],
        ..book()
    };
    let catalogue = Catalogue::new(vec![book(), spring], shanghai()).unwrap();
    let with_gpu = asked(&[("vcpu-x86", "32"), ("gpu-a800", "2")]);
    let mut known = view(
        &[&asked(SMALL), &with_gpu],
        &[(1, Decision::Approved), (2, Decision::Approved)],
    );
    let today = Prices {
        at: second("2027-06-01T00:00:00Z"),
        since: second("2026-09-01T00:00:00Z"),
        ..prices(&catalogue)
    };
    let found = |known: &LedgerView| {
        let prices = Prices {
            approved: Some(known),
            ..today
        };
        items_of(&with_gpu.part, &prices).map(|items| items["gpu-a800"].unit)
    };
    assert!(items_of(&with_gpu.part, &today).is_err());
    assert!(found(&known).is_err(), "decided on before it was sold");
    let decision = known.decisions.get_mut(&2).unwrap();
    decision.at = second("2027-03-15T00:00:00Z");
    assert_eq!(found(&known), Ok(Unit::Count));
    // asked for on the last day of the book, and decided on the day after
    let decision = known.decisions.get_mut(&2).unwrap();
    decision.at = second("2027-05-02T00:00:00Z");
    known.requests[1].at = second("2027-04-30T01:00:00Z");
    assert_eq!(found(&known), Ok(Unit::Count));
    let decision = known.decisions.get_mut(&2).unwrap();
    decision.decision = Decision::Rejected;
    assert!(found(&known).is_err(), "what was rejected was never leased");
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

#[test]
fn sixteen_cores_more_cost_736_yuan_a_month_more() {
    let (old, new) = (asked(SMALL).part, asked(LARGE).part);
    let catalogue = catalogue();
    let found = changes(Some(&old), &new, &prices(&catalogue)).unwrap();
    let expected = Change {
        item: "vcpu-x86".to_owned(),
        from: 32_000,
        to: 48_000,
        unit: Unit::Core,
        monthly: money("736.00"),
        once: Money::ZERO,
    };
    assert_eq!(found, [expected]);
    assert_eq!(direction(&found, Some(&old), &new), Direction::Increase);
    assert_eq!(monthly_increase(&found), money("736.00"));
}

#[test]
fn the_first_lease_is_an_increase_with_metered_items_at_the_ceiling_and_one_off_items_once() {
    // 10 cores × 0.096 × 730 h = 700.80; 2 × 500.00 once; 1.5 GiB × 17.00 = 25.50
    let new = asked(&[("vcpu-burst", "10"), ("setup", "2"), ("memory", "1.5Gi")]).part;
    let catalogue = catalogue();
    let found = changes(None, &new, &prices(&catalogue)).unwrap();
    let by_item: Vec<(&str, Money, Money)> = found
        .iter()
        .map(|c| (c.item.as_str(), c.monthly, c.once))
        .collect();
    assert_eq!(
        by_item,
        [
            ("memory", money("25.50"), Money::ZERO),
            ("setup", Money::ZERO, money("1000.00")),
            ("vcpu-burst", money("700.80"), Money::ZERO),
        ]
    );
    assert_eq!(direction(&found, None, &new), Direction::Increase);
    assert_eq!(monthly_increase(&found), money("1726.30"));
}

#[test]
fn rising_and_falling_items_are_mixed_and_savings_do_not_count_against_the_rise() {
    let old = asked(&[("vcpu-x86", "32"), ("block-ssd", "2Ti")]).part;
    let new = asked(&[("vcpu-x86", "40"), ("block-ssd", "1Ti")]).part;
    let catalogue = catalogue();
    let found = changes(Some(&old), &new, &prices(&catalogue)).unwrap();
    assert_eq!(found[0].monthly, money("-716.80"));
    assert_eq!(direction(&found, Some(&old), &new), Direction::Mixed);
    assert_eq!(monthly_increase(&found), money("368.00"));
}

#[test]
fn a_decrease_alone_is_one_but_not_together_with_a_longer_term() {
    let (old, mut new) = (asked(LARGE).part, asked(SMALL).part);
    let catalogue = catalogue();
    let found = changes(Some(&old), &new, &prices(&catalogue)).unwrap();
    assert_eq!(direction(&found, Some(&old), &new), Direction::DecreaseOnly);
    new.term.through = "2030-08-31".into();
    assert_eq!(direction(&found, Some(&old), &new), Direction::Mixed);
    assert_eq!(direction(&[], Some(&old), &new), Direction::Neutral);
}

#[test]
fn an_increase_on_other_terms_is_mixed() {
    let (old, mut new) = (asked(SMALL).part, asked(LARGE).part);
    new.contract = "HS-ZFCG-2027-001".into();
    let catalogue = catalogue();
    let found = changes(Some(&old), &new, &prices(&catalogue)).unwrap();
    assert_eq!(direction(&found, Some(&old), &new), Direction::Mixed);
}

#[test]
fn the_ceiling_is_one_for_all_that_still_stands() {
    let auto = |standing: &str, more: &str, direction: Direction| {
        auto_approval(money("1000.00"), money(standing), money(more), direction)
    };
    let under = Some(AutoReason::UnderCeiling);
    assert_eq!(auto("0.00", "1000.00", Direction::Increase), under);
    assert_eq!(auto("600.00", "400.00", Direction::Increase), under);
    assert_eq!(auto("600.01", "400.00", Direction::Increase), None);
    assert_eq!(
        auto("5000.00", "0.00", Direction::DecreaseOnly),
        Some(AutoReason::Decrease)
    );
    assert_eq!(auto("0.00", "1.00", Direction::Mixed), None);
    assert_eq!(auto("0.00", "0.00", Direction::Neutral), None);
    let off = auto_approval(Money::ZERO, Money::ZERO, Money::ZERO, Direction::Increase);
    assert_eq!(off, None);
}

proptest! {
    #[test]
    fn the_price_of_a_month_is_exact_and_rounded_half_up(
        base in 0..=1_000_000_000_000_i64,
        micro in 0..=1_000_000_000_i64,
    ) {
        let item = Item {
            price: Price::from_micro(micro).unwrap(),
            ..item("x", (None, None), Unit::Core, "0")
        };
        // doubled and compared, so that no rounding hides in the expectation
        let fen = i128::from(monthly(base, &item).minor());
        let exact = i128::from(base) * i128::from(micro);
        let unit = 1000 * 10_000_i128;
        prop_assert!(2 * exact >= 2 * fen * unit - unit);
        prop_assert!(2 * exact < 2 * fen * unit + unit);
    }

    #[test]
    fn a_step_is_stable_once_its_request_is_written(
        quantities in prop::collection::vec(1..4_u32, 1..6),
        verdicts in prop::collection::vec(0..3_u8, 5),
    ) {
        let mut view = LedgerView::default();
        for (quantity, verdict) in quantities.iter().zip(verdicts) {
            let wanted = asked(&[("vcpu-x86", &quantity.to_string())]);
            match step(&view, &wanted).unwrap() {
                RequestStep::Open { number, supersedes, .. } => {
                    prop_assert!(view.requests.iter().all(|r| r.request < number));
                    if let Some(old) = supersedes {
                        view.decisions.extend([decided(old, Decision::Withdrawn)]);
                    }
                    view.requests.push(request(number, &wanted));
                    prop_assert_eq!(step(&view, &wanted).unwrap(), RequestStep::Waits { number });
                    let verdict = [None, Some(Decision::Approved), Some(Decision::Rejected)]
                        [usize::from(verdict)];
                    view.decisions.extend(verdict.map(|what| decided(number, what)));
                }
                RequestStep::Withdraw { number } => {
                    view.decisions.extend([decided(number, Decision::Withdrawn)]);
                    prop_assert_eq!(step(&view, &wanted).unwrap(), RequestStep::Same);
                }
                RequestStep::Same | RequestStep::Waits { .. } | RequestStep::Rejected { .. } => {}
            }
        }
    }
}

#[test]
fn a_request_that_needs_money_waits_until_finance_has_spoken_as_well() {
    let leased = asked(&[("vcpu-x86", "4")]);
    let mut first = request(1, &leased);
    first.funds = Some(FundsAsked {
        budget: "30227".to_owned(),
        monthly: Money::from_minor(18_400),
        term: Money::from_minor(220_800),
    });
    let mut known = LedgerView {
        requests: vec![first],
        ..LedgerView::default()
    };
    let (_, office) = decided(1, Decision::Approved);
    known.words.insert(1, vec![office.clone()]);
    known.settle();
    assert_eq!(known.open().map(|open| open.request), Some(1));
    assert_eq!(known.word(1, "office"), Some(&office));
    let no = DecisionDoc {
        role: "finance".to_owned(),
        decided_by: "qian@finance".to_owned(),
        ..decided(1, Decision::Rejected).1
    };
    known.words.entry(1).or_default().push(no);
    known.settle();
    let rejected = RequestStep::Rejected {
        number: 1,
        reason: "too much".to_owned(),
        by: "qian@finance".to_owned(),
    };
    assert_eq!(step(&known, &leased).unwrap(), rejected);
}
