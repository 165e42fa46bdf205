//! Statements recounted: from the intervals that a copy of the ledger tells of, with
//! [`crate::arithmetic`] and the prices of `examples/03-prices.yaml`.

use std::collections::BTreeMap;

use leasehold_api::charging::{Statement, StatementSpec};
use leasehold_ledger::fact::{Interval, Meter};
use leasehold_ledger::time::Second;
use leasehold_testkit::{Failure, User};

use crate::Stage;
use crate::arithmetic::{Stretch, Tariff, amount, fen};

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
