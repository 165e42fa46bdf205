//! Statements recounted: from the intervals that a copy of the ledger tells of, with
//! [`crate::arithmetic`], the prices of `examples/03-prices.yaml`, and the rules for credit of
//! `examples/01-policy.yaml`.

use std::collections::BTreeMap;
use std::path::Path;

use leasehold_api::charging::{Statement, StatementCredit, StatementSpec};
use leasehold_ledger::fact::{Interval, Meter};
use leasehold_ledger::journal::Entry;
use leasehold_ledger::time::Second;
use leasehold_store::{Store, StoreError};
use leasehold_testkit::{Failure, User};

use crate::Stage;
use crate::arithmetic::{Stretch, Tariff, amount, fen};

/// How much of the charges of a statement one credit pays at most, in percent. All credits together
/// may pay everything, and there is no class of charge among the examples' items that they may not pay.
const CAP_PERCENT: u128 = 50;

/// What the ledger tells of a department.
pub struct Evidence {
    /// Path of the copy of the ledger.
    pub ledger: String,
    /// All intervals of the department up to now, as `leasehold usage` shows them.
    pub intervals: Vec<Interval>,
}

/// Copies the ledger into a scratch folder and has an auditor read the department's intervals there.
pub async fn evidence(stage: &Stage, folder: &str, code: &str) -> Result<Evidence, Failure> {
    let folder = stage.rig.scratch(folder)?;
    let copy = stage.operator.lock().await.copy_ledger(&folder)?;
    let ledger = copy.display().to_string();
    let auditor = stage.user(User::Auditor).await?;
    let usage = ["usage", "--db", &ledger, "--department", code, "-o", "json"];
    let intervals = auditor.leasehold(&usage).await?.ok()?.json()?;
    Ok(Evidence { ledger, intervals })
}

/// The department's entries in the journal of a copy of the ledger, in its order.
pub async fn journal(evidence: &Evidence, code: &str) -> Result<Vec<Entry>, String> {
    let told = |error: StoreError| error.to_string();
    let store = Store::open_read_only(Path::new(&evidence.ledger)).await;
    let store = store.map_err(told)?;
    let entries = store.entries(None).await.map_err(told)?;
    store.close().await.map_err(told)?;
    let entries = entries.into_iter().map(|recorded| recorded.value);
    Ok(entries.filter(|entry| entry.department == code).collect())
}

/// The stretch of time of an interval.
pub fn stretch(interval: &Interval) -> Stretch {
    Stretch {
        from: interval.span.from.get(),
        to: interval.span.to.get(),
        quantity: interval.quantity,
    }
}

/// First second of a statement's period, and first second after it.
pub fn bounds(statement: &Statement) -> Result<(i64, i64), String> {
    let period = &statement.spec.period;
    let second = |text: &str| Second::parse(text).map_err(|error| error.to_string());
    Ok((second(&period.start)?.get(), second(&period.end)?.get()))
}

/// Whether a statement says what follows from the intervals: one line for each leased item, its
/// amount to the fen, and sums that are those of the lines. The error is the first difference.
pub fn recount(statement: &Statement, intervals: &[Interval]) -> Result<(), String> {
    let spec = &statement.spec;
    let mut expected = amounts(statement, intervals)?;
    let (mut gross, mut offset) = (0, 0);
    for line in &spec.lines {
        let of = |what: &str| format!("{what} of {} in {}", line.id, spec.number);
        let key = (line.tenancy.clone(), line.item.clone());
        let Some(due) = expected.remove(&key) else {
            return Err(format!("{}: no lease, or a second line", of("the cause")));
        };
        let paid = read(&of("the offset"), &line.offset)?;
        same(&of("the charge"), due, &line.gross)?;
        same(&of("the rest"), less(due, paid)?, &line.net)?;
        gross += due;
        offset += paid;
    }
    if !expected.is_empty() || spec.more_lines != 0 {
        let (number, more) = (&spec.number, spec.more_lines);
        return Err(format!(
            "{number} has no line for {expected:?}, {more} are left out"
        ));
    }
    sums(spec, gross, offset)
}

/// Whether totals and credits are what the lines add up to.
fn sums(spec: &StatementSpec, gross: u128, offset: u128) -> Result<(), String> {
    let of = |what: &str| format!("{what} of {}", spec.number);
    same(&of("the sum"), gross, &spec.totals.gross)?;
    same(&of("the offset"), offset, &spec.totals.offset)?;
    same(&of("the adjustments"), 0, &spec.totals.adjustments)?;
    same(&of("the rest"), less(gross, offset)?, &spec.totals.net)?;
    let mut applied = 0;
    for credit in &spec.credits {
        let paid = read(&of("a credit"), &credit.applied)?;
        let rest = less(read(&of("a credit"), &credit.opening)?, paid)?;
        same(&of("a credit's rest"), rest, &credit.closing)?;
        applied += paid;
    }
    same(&of("the credits' sum"), applied, &spec.totals.offset)
}

/// Credit for hardware, as people know it.
#[derive(Clone, Debug)]
pub struct Credit {
    /// What the ledger calls it: `DEPARTMENT/CONTRIBUTION`.
    pub lot: String,
    /// What the agency found the devices worth, in fen.
    pub worth: u128,
    /// The second in which the grant was recorded. It pays from the first period on that begins later.
    pub granted: i64,
}

/// Whether a department's statements use its credits as `docs/explanation/charging.md` says: each
/// pays no more than its part of all charges, rounded down, and the largest line first. Gives what is
/// left of each. The error is the first difference.
///
/// `closed` are all of the department's closed statements in the order of time, each with charges
/// that [`recount`] found right; `credits` come in the order in which they are used, and none of them
/// has come to the end of its life.
pub fn burnt(closed: &[Statement], credits: &[Credit]) -> Result<Vec<u128>, String> {
    let mut left: Vec<u128> = credits.iter().map(|credit| credit.worth).collect();
    for statement in closed {
        let (from, _) = bounds(statement)?;
        let alive = |credit: &Credit| credit.granted < from;
        burn(&statement.spec, credits, &mut left, alive)?;
    }
    Ok(left)
}

/// Takes from what is left of the credits what they pay of one statement.
fn burn(
    spec: &StatementSpec,
    credits: &[Credit],
    left: &mut [u128],
    alive: impl Fn(&Credit) -> bool,
) -> Result<(), String> {
    let of = |what: &str| format!("{what} in {}", spec.number);
    let mut due: Vec<(u128, &str)> = Vec::new();
    for line in &spec.lines {
        due.push((read(&of("a charge"), &line.gross)?, line.id.as_str()));
    }
    // the largest first, and of equal ones in the order of their names
    due.sort_by(|(one, name), (other, next)| other.cmp(one).then(name.cmp(next)));
    let gross: u128 = due.iter().map(|(amount, _)| amount).sum();
    let mut paid: BTreeMap<&str, u128> = BTreeMap::new();
    let mut shown = spec.credits.iter();
    let mut order: u32 = 0;
    for (credit, left) in credits.iter().zip(left) {
        if !alive(credit) || *left == 0 {
            continue;
        }
        order += 1;
        let opening = *left;
        let most = opening.min(gross * CAP_PERCENT / 100);
        let mut applied = 0;
        for (amount, line) in &mut due {
            let part = (*amount).min(most - applied);
            *amount -= part;
            applied += part;
            *paid.entry(*line).or_default() += part;
        }
        *left = opening - applied;
        let name = of(&credit.lot);
        let found = shown.next().ok_or_else(|| format!("there is no {name}"))?;
        if (found.lot.as_str(), found.order) != (credit.lot.as_str(), order) {
            return Err(format!("credit {order} is {found:?} instead of {name}"));
        }
        used(&name, found, [opening, applied, *left])?;
    }
    if let Some(more) = shown.next() {
        return Err(format!("one credit too many in {}: {more:?}", spec.number));
    }
    for line in &spec.lines {
        let part = paid.get(line.id.as_str()).copied().unwrap_or_default();
        let name = of(&format!("the offset of {}", line.id));
        same(&name, part, &line.offset)?;
    }
    Ok(())
}

/// Whether a statement's credit opens, pays and closes with these amounts.
fn used(name: &str, found: &StatementCredit, amounts: [u128; 3]) -> Result<(), String> {
    let [opening, applied, closing] = amounts;
    same(&format!("what was left of {name}"), opening, &found.opening)?;
    same(&format!("the part of {name}"), applied, &found.applied)?;
    same(&format!("what is left of {name}"), closing, &found.closing)
}

/// What each leased item of each tenancy costs in the statement's period, in fen.
fn amounts(
    statement: &Statement,
    intervals: &[Interval],
) -> Result<BTreeMap<(String, String), u128>, String> {
    let (from, to) = bounds(statement)?;
    let month = u128::try_from(to - from).map_err(|error| error.to_string())?;
    let mut stretches: BTreeMap<(String, String), Vec<Stretch>> = BTreeMap::new();
    for interval in intervals {
        let Meter::Lease { item } = &interval.meter else {
            continue;
        };
        if let Some(part) = stretch(interval).within(from, to) {
            let key = (interval.subject.tenancy.clone(), item.clone());
            stretches.entry(key).or_default().push(part);
        }
    }
    let mut amounts = BTreeMap::new();
    for ((tenancy, item), parts) in stretches {
        let due = amount(&parts, tariff(&item)?, month)
            .ok_or_else(|| format!("failed to reckon {item} from {parts:?}"))?;
        amounts.insert((tenancy, item), due);
    }
    Ok(amounts)
}

/// The monthly prices of the examples' book, written down here a second time.
fn tariff(item: &str) -> Result<Tariff, String> {
    let (micro, scale) = match item {
        "vcpu-x86" => (46_000_000, 1_000),
        "memory" => (17_000_000, 1 << 30),
        "block-ssd" => (700_000, 1 << 30),
        other => return Err(format!("there is no monthly price of {other} here")),
    };
    Ok(Tariff { micro, scale })
}

fn read(what: &str, text: &str) -> Result<u128, String> {
    fen(text).ok_or_else(|| format!("{what} is {text:?}, which is no amount"))
}

fn less(whole: u128, part: u128) -> Result<u128, String> {
    whole
        .checked_sub(part)
        .ok_or_else(|| format!("{part} fen are paid of {whole}"))
}

fn same(what: &str, expected: u128, found: &str) -> Result<(), String> {
    if read(what, found)? == expected {
        Ok(())
    } else {
        Err(format!("{what} is {found}, recounted {expected} fen"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The lines of the worked example in `docs/explanation/charging.md`, and what credit pays of each.
    const LINES: [(&str, &str, &str); 3] = [
        ("oa/block-ssd/1", "1433.60", "279.46"),
        ("oa/memory/1", "1088.00", "0.00"),
        ("oa/vcpu-x86/1", "1962.67", "1962.67"),
    ];
    const LOT: &str = "gov-office/servers";

    fn line((id, gross, offset): (&str, &str, &str)) -> Value {
        json!({
            "id": id, "tenancy": "oa", "system": "oa", "contract": "c", "budget": "b",
            "provider": "p", "item": "i", "displayName": "i", "category": "compute",
            "basis": "Reserved", "unit": "Core·Month", "unitPrice": "1.00", "rates": [],
            "quantity": "1.0", "estimated": false, "grossExact": "1", "gross": gross,
            "offset": offset, "net": "0.00", "segments": [],
        })
    }

    fn credit(lot: &str, order: u32, [opening, applied, closing]: [&str; 3]) -> Value {
        json!({
            "lot": lot, "order": order, "opening": opening, "applied": applied,
            "closing": closing, "through": "2029-08-31", "why": "",
        })
    }

    /// A statement of the minute that begins at second 60.
    fn statement(lines: &[(&str, &str, &str)], credits: &[Value]) -> Statement {
        let lines: Vec<Value> = lines.iter().copied().map(line).collect();
        let spec = json!({
            "number": "HS-1", "state": "Final", "payee": "p", "currency": "CNY", "policy": "d",
            "period": {
                "name": "1", "from": "", "through": "", "start": "1970-01-01T00:01:00Z",
                "end": "1970-01-01T00:02:00Z", "timeZone": "UTC", "rehearsal": true,
            },
            "department": {"name": "gov-office", "displayName": "市政府办"},
            "lines": lines, "credits": credits,
            "totals": {"gross": "", "offset": "", "adjustments": "", "net": ""},
        });
        Statement::new("1", serde_json::from_value(spec).unwrap())
    }

    fn lot(name: &str, worth: u128, granted: i64) -> Credit {
        Credit {
            lot: name.to_owned(),
            worth,
            granted,
        }
    }

    #[test]
    fn the_worked_example_leaves_of_the_lot_what_the_manual_says() {
        let used = credit(LOT, 1, ["219777.76", "2242.13", "217535.63"]);
        let closed = [statement(&LINES, &[used])];
        let left = burnt(&closed, &[lot(LOT, 21_977_776, 59)]);
        assert_eq!(left, Ok(vec![21_753_563]));
    }

    #[test]
    fn a_lot_that_was_granted_within_the_period_pays_nothing_of_it() {
        let plain = LINES.map(|(id, gross, _)| (id, gross, "0.00"));
        let late = lot(LOT, 21_977_776, 60);
        let left = burnt(&[statement(&plain, &[])], std::slice::from_ref(&late));
        assert_eq!(left, Ok(vec![21_977_776]));
        let used = credit(LOT, 1, ["219777.76", "2242.13", "217535.63"]);
        let told = burnt(&[statement(&LINES, &[used])], &[late]).unwrap_err();
        assert!(told.starts_with("one credit too many"), "{told}");
    }

    #[test]
    fn a_second_lot_pays_what_the_first_could_not_and_a_third_finds_nothing_left() {
        // half of 4484.27 is 2242.13, of which the first has 1000.00; 1242.14 remain after the second
        let lines = [
            ("oa/block-ssd/1", "1433.60", "1433.60"),
            ("oa/memory/1", "1088.00", "1088.00"),
            ("oa/vcpu-x86/1", "1962.67", "1962.67"),
        ];
        let credits = [
            credit("a", 1, ["1000.00", "1000.00", "0.00"]),
            credit("b", 2, ["9000.00", "2242.13", "6757.87"]),
            credit("c", 3, ["9000.00", "1242.14", "7757.86"]),
        ];
        let lots = [
            lot("a", 100_000, 0),
            lot("b", 900_000, 0),
            lot("c", 900_000, 0),
        ];
        let closed = [statement(&lines, &credits)];
        assert_eq!(burnt(&closed, &lots), Ok(vec![0, 675_787, 775_786]));
        let turned = [credits[1].clone(), credits[0].clone(), credits[2].clone()];
        let told = burnt(&[statement(&lines, &turned)], &lots).unwrap_err();
        assert!(told.starts_with("credit 1 is"), "{told}");
    }

    #[test]
    fn one_fen_on_another_line_and_one_fen_too_much_are_differences() {
        let used = credit(LOT, 1, ["219777.76", "2242.13", "217535.63"]);
        let lots = [lot(LOT, 21_977_776, 0)];
        let mut moved = LINES;
        moved[0].2 = "279.45";
        moved[1].2 = "0.01";
        let told = burnt(&[statement(&moved, &[used])], &lots).unwrap_err();
        assert!(told.starts_with("the offset of oa/block-ssd/1"), "{told}");
        let more = credit(LOT, 1, ["219777.76", "2242.14", "217535.62"]);
        let told = burnt(&[statement(&LINES, &[more])], &lots).unwrap_err();
        assert!(told.starts_with("the part of"), "{told}");
    }
}
