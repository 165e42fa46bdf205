//! What each month costs: from what `past` puts on record, written down here a second time, and by
//! the arithmetic of the end-to-end tests instead of the ledger's.

use std::collections::BTreeMap;

use leasehold_api::charging::StatementSpec;
use leasehold_e2e::arithmetic::{Stretch, Tariff, amount, fen};
use leasehold_ledger::time::LocalDate;

use crate::calendar::{Month, Months};
use crate::past::{CLAIMED, GROWN, PODS};

/// What is to be paid for each item, in fen.
pub type Bill = BTreeMap<String, u128>;

/// Bytes in a GiB.
const GIB: u128 = 1 << 30;
/// The end of what has not ended.
const OPEN: i64 = i64::MAX;
/// One migration at 888.885 yuan: half a fen is rounded up.
const MIGRATION: u128 = 88_889;

/// What one unit of an item costs for a month, and the stretches in which it counts.
type Use = (&'static str, Tariff, Vec<Stretch>);

/// Everything that is charged by time.
fn uses(months: &Months) -> [Use; 4] {
    let (leased, changed) = (months.leased(), months.changed());
    let last = &months.last;
    let (claimed, grown) = (last.at(CLAIMED), last.at(GROWN));
    let ssd = vec![
        stretch(claimed, grown, 100 << 30),
        stretch(grown, OPEN, 150 << 30),
    ];
    let databases = vec![stretch(leased, changed, 3), stretch(changed, OPEN, 5)];
    let memory = vec![stretch(leased, OPEN, 64 << 30)];
    let pods: Vec<Stretch> = PODS
        .iter()
        .map(|pod| stretch(last.at(pod.from), last.at(pod.to), pod.millicores))
        .collect();
    [
        ("block-ssd", tariff(730_000, GIB), ssd),
        ("db-mysql", tariff(133_370_000, 1), databases),
        ("memory", tariff(17_000_000, GIB), memory),
        ("vcpu-burst", tariff(46_370_000, 1_000), pods),
    ]
}

fn stretch(from: i64, to: i64, quantity: i64) -> Stretch {
    Stretch { from, to, quantity }
}

fn tariff(micro: u128, scale: u128) -> Tariff {
    Tariff { micro, scale }
}

/// What the department with the tenancy owes for a month, use up to an instant counted.
pub fn bill(months: &Months, month: &Month, until: i64) -> Bill {
    let length = u128::try_from(month.length()).unwrap();
    let mut bill = Bill::new();
    for (item, tariff, stretches) in uses(months) {
        let parts: Vec<Stretch> = stretches
            .into_iter()
            .filter_map(|stretch| stretch.within(month.from, until))
            .collect();
        if !parts.is_empty() {
            bill.insert(item.to_owned(), amount(&parts, tariff, length).unwrap());
        }
    }
    if (month.from..until).contains(&months.changed()) {
        bill.insert("migration".to_owned(), MIGRATION);
    }
    bill
}

/// The sum of a bill as statements print it.
pub fn sum(bill: &Bill) -> String {
    yuan(bill.values().sum())
}

/// Fen as statements print them.
pub fn yuan(fen: u128) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// Asserts that a statement asks for this and for nothing else; nobody has credit here.
pub fn asks_for(statement: &StatementSpec, bill: &Bill) {
    let lines: Vec<(&str, Option<u128>)> = statement
        .lines
        .iter()
        .map(|line| (line.item.as_str(), fen(&line.gross)))
        .collect();
    let expected: Vec<(&str, Option<u128>)> = bill
        .iter()
        .map(|(item, due)| (item.as_str(), Some(*due)))
        .collect();
    assert_eq!(lines, expected, "lines of {}", statement.number);
    let totals = &statement.totals;
    let found = [
        &*totals.gross,
        &*totals.offset,
        &*totals.adjustments,
        &*totals.net,
    ];
    let sum = sum(bill);
    let expected = [&*sum, "0.00", "0.00", &*sum];
    assert_eq!(found, expected, "totals of {}", statement.number);
}

#[test]
fn august_and_september_2026_come_to_what_a_pocket_calculator_says() {
    let months = Months::of(LocalDate::new(2026, 10, 15).unwrap());
    let of = |lines: &[(&str, u128)]| -> Bill {
        let lines = lines.iter().map(|(item, due)| ((*item).to_owned(), *due));
        lines.collect()
    };
    // leased for the last 1,873,800 of August's 2,678,400 seconds:
    // 64 × 17.00 × 1,873,800 ÷ 2,678,400 = 761.161…, 3 × 133.37 × the same = 279.916…
    let august = of(&[("db-mysql", 27_992), ("memory", 76_116)]);
    assert_eq!(bill(&months, &months.older, months.older.to), august);
    // of September's 2,592,000 seconds
    // 100 GiB for 1,514,095 and 150 GiB for 905,104: 0.73 × 287,175,100 ÷ 2,592,000 = 80.878…
    // 3 for one half and 5 for the other: 4 × 133.37
    // 2.5 cores for 40,393 and 1.5 for 211,445: 46.37 × 418,150 ÷ 2,592,000 = 7.480…
    let september = of(&[
        ("block-ssd", 8_088),
        ("db-mysql", 53_348),
        ("memory", 108_800),
        ("migration", 88_889),
        ("vcpu-burst", 748),
    ]);
    let all = bill(&months, &months.last, months.last.to);
    assert_eq!(all, september);
    assert_eq!(sum(&all), "2598.73");
    assert!(bill(&months, &months.older, months.leased()).is_empty());
}
