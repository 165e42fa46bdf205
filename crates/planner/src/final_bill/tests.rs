use leasehold_ledger::{
    book::{Basis, Category},
    canonical::digest_bytes,
    money::Price,
    statement::{State, StatementDepartment, StatementPeriod, totals},
    time::{Period, PeriodKind, Zone},
};

use super::*;

/// 2026-09-01 00:00 in Shanghai.
const SEPTEMBER: Second = Second::new(1_788_192_000);
const DAY: i64 = 86_400;

fn zone() -> Zone {
    Zone::parse("Asia/Shanghai").unwrap()
}

/// The period of the month that begins so many days after September did.
fn month(days: i64) -> PeriodOpenDoc {
    let at = SEPTEMBER.plus(days * DAY);
    PeriodOpenDoc {
        period: Period::containing(PeriodKind::Month, &zone(), at).unwrap(),
        policy: digest_bytes(b"policy"),
        at,
    }
}

fn lived(from: Second, to: Second, incarnation: u32) -> Lived<'static> {
    Lived {
        tenancy: "oa",
        incarnation,
        from,
        to,
    }
}

fn line(id: &str, tenancy: &str, gross: i64, offset: i64) -> Line {
    Line {
        id: id.to_owned(),
        tenancy: tenancy.to_owned(),
        system: "oa".to_owned(),
        contract: "HS-1".to_owned(),
        budget: "30227".to_owned(),
        provider: "hs-bigdata".to_owned(),
        item: "vcpu-x86".to_owned(),
        display_name: "vCPU".to_owned(),
        category: Category::Compute,
        basis: Basis::Reserved,
        unit: "Core·Month".to_owned(),
        unit_price: "46.00".parse::<Price>().unwrap(),
        rates: Vec::new(),
        quantity: "1.0".to_owned(),
        estimated: false,
        gross_exact: "46".to_owned(),
        gross: Money::from_minor(gross),
        offset: Money::from_minor(offset),
        net: Money::from_minor(gross - offset),
        segments: Vec::new(),
        more_segments: 0,
    }
}

fn statement(open: &PeriodOpenDoc, currency: &str, lines: Vec<Line>) -> Statement {
    Statement {
        number: format!("HS-{}-gov-office", open.period.name),
        state: State::Final,
        period: StatementPeriod::from(&open.period),
        department: StatementDepartment {
            name: "gov-office".to_owned(),
            display_name: "市政府办".to_owned(),
        },
        payee: "hs-bigdata".to_owned(),
        currency: currency.to_owned(),
        more_lines: 0,
        totals: totals(&lines).unwrap(),
        lines,
        credits: Vec::new(),
        gaps: Vec::new(),
        more_gaps: 0,
        as_of: None,
        policy: digest_bytes(b"policy"),
        chain: None,
        digest: None,
    }
}

#[test]
fn the_bill_waits_for_the_first_period_of_the_life_that_is_not_closed() {
    let opened = [month(45), month(0), month(75)];
    let closed = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    let open = |from: i64, to: i64, names: &[&str]| {
        let lived = lived(SEPTEMBER.plus(from * DAY), SEPTEMBER.plus(to * DAY), 1);
        missing(&lived, &touched(&lived, &opened), &closed(names))
    };
    let october = Some("period 2026-10".to_owned());
    assert_eq!(open(10, 40, &["2026-09"]), october);
    assert_eq!(open(10, 40, &["2026-09", "2026-10"]), None);
    // September has thirty days: at the first instant of October nothing of October was billed
    assert_eq!(open(10, 30, &["2026-09"]), None);
    assert_eq!(open(35, 40, &["2026-09"]), october);
    assert_eq!(open(35, 40, &["2026-10"]), None, "before it was made");
    assert_eq!(open(10, 10, &[]), None, "never billed");
    let late = open(70, 100, &["2026-11"]).unwrap();
    assert!(
        late.starts_with("the period that contains 2026-12-"),
        "{late}"
    );
}

#[test]
fn the_bill_is_the_sum_of_the_lines_of_this_life_and_of_no_other() {
    let (september, october) = (month(0), month(45));
    let statements = [
        statement(
            &september,
            "CNY",
            vec![
                line("mail/vcpu-x86/1", "mail", 1, 0),
                line("oa.2/memory/1", "oa", 1_005, 5),
                line("oa.2/vcpu-x86/1", "oa", 20_001, 10_000),
                line("oa.21/vcpu-x86/1", "oa", 7, 0),
                line("oa/vcpu-x86/1", "oa", 99, 0),
            ],
        ),
        statement(&october, "CNY", vec![line("oa.2/memory/1", "oa", 333, 0)]),
        statement(&month(75), "CNY", vec![line("mail/memory/1", "mail", 4, 0)]),
    ];
    let life = lived(SEPTEMBER, SEPTEMBER.plus(70 * DAY), 2);
    let bill = reckon(&life, "then".to_owned(), &statements).unwrap();
    let total = |gross: &str, offset: &str, net: &str| FinalTotal {
        currency: "CNY".to_owned(),
        gross: gross.to_owned(),
        offset: offset.to_owned(),
        net: net.to_owned(),
    };
    assert_eq!(bill.totals, [total("213.39", "100.05", "113.34")]);
    let listed: Vec<(&str, &str, &str)> = bill
        .statements
        .iter()
        .map(|part| {
            let (number, period) = (part.number.as_str(), part.period.as_str());
            (number, period, part.net.as_str())
        })
        .collect();
    let expected = [
        ("HS-2026-09-gov-office", "2026-09", "110.01"),
        ("HS-2026-10-gov-office", "2026-10", "3.33"),
    ];
    assert_eq!(listed, expected);
    assert_eq!(
        sentence(&bill),
        "the final bill up to then: 113.34 CNY to be paid (213.39 charged, 100.05 paid by credit), by 2 statements"
    );
    let first = lived(SEPTEMBER, SEPTEMBER.plus(70 * DAY), 1);
    let bill = reckon(&first, "then".to_owned(), &statements).unwrap();
    assert_eq!(bill.totals, [total("0.99", "0.00", "0.99")]);
}

#[test]
fn currencies_are_not_added_to_each_other_and_nothing_is_said_as_such() {
    let statements = [
        statement(&month(0), "CNY", vec![line("oa/memory/1", "oa", 100, 0)]),
        statement(&month(45), "USD", vec![line("oa/memory/1", "oa", 50, 0)]),
    ];
    let life = lived(SEPTEMBER, SEPTEMBER.plus(70 * DAY), 1);
    let bill = reckon(&life, "then".to_owned(), &statements).unwrap();
    let nets: Vec<(&str, &str)> = bill
        .totals
        .iter()
        .map(|total| (total.currency.as_str(), total.net.as_str()))
        .collect();
    assert_eq!(nets, [("CNY", "1.00"), ("USD", "0.50")]);
    let nothing = reckon(&life, "then".to_owned(), &[]).unwrap();
    assert_eq!(sentence(&nothing), "nothing was charged for it up to then");
}

#[test]
fn of_very_many_statements_the_newest_are_listed_and_all_are_counted() {
    let one = statement(&month(0), "CNY", vec![line("oa/memory/1", "oa", 1, 0)]);
    let mut many = vec![one; 121];
    many[120].number = "HS-last".to_owned();
    let life = lived(SEPTEMBER, SEPTEMBER.plus(70 * DAY), 1);
    let bill = reckon(&life, "then".to_owned(), &many).unwrap();
    assert_eq!((bill.statements.len(), bill.more_statements), (120, 1));
    assert_eq!(bill.statements[119].number, "HS-last");
    assert_eq!(bill.totals[0].net, "1.21");
    assert!(sentence(&bill).ends_with("by 121 statements"));
}
