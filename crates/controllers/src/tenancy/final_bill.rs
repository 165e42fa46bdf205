//! The last bill of a tenancy of which nothing is left: told once every period in which it was billed is closed.
//!
//! Closed periods do not change, so what was told once stands and nothing is read for it again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use leasehold_api::{
    conditions::{self, NewCondition, types},
    tenancy::TenancyStatus,
};
use leasehold_ledger::{
    document::{PeriodCloseDoc, PeriodOpenDoc},
    statement::Statement,
    time::Second,
};
use leasehold_planner::final_bill::{self, Lived};

use super::{observe::State, report::Report};
use crate::{Context, Error};

/// Puts the final bill into the report, or what it waits for.
pub async fn tell(state: &State, context: &Context, report: &mut Report) -> Result<(), Error> {
    let status = state.tenancy.status.as_ref();
    if let Some(known) = status.and_then(|status| status.final_bill.clone()) {
        report.billed = Some((true, final_bill::sentence(&known)));
        report.final_bill = Some(known);
        return Ok(());
    }
    let Some((from, to)) = span(state, context).await? else {
        return Ok(());
    };
    let lived = Lived {
        tenancy: &state.name,
        incarnation: state.shown_incarnation(),
        from,
        to,
    };
    let store = context.books.store();
    let opened = store.documents::<PeriodOpenDoc>(None, None).await?;
    let opened: Vec<PeriodOpenDoc> = opened.into_iter().map(|found| found.value).collect();
    let closed = store.documents::<PeriodCloseDoc>(None, None).await?;
    let closed: BTreeSet<String> = closed.into_iter().map(|found| found.value.name).collect();
    let touched = final_bill::touched(&lived, &opened);
    if let Some(missing) = final_bill::missing(&lived, &touched, &closed) {
        let told = format!(
            "the final bill waits for finance to close {missing}; keep this object until then to read it here, the statements \
             say the same"
        );
        report.billed = Some((false, told));
        return Ok(());
    }
    let mut statements = Vec::new();
    for open in touched {
        let key = format!("{}/{}", open.period.name, state.department);
        // a department that was charged nothing may have none
        let found = store.document::<Statement>(&key).await?;
        statements.extend(found.map(|found| found.value));
    }
    let through = to.in_zone(&state.policy.time_zone);
    let bill = final_bill::reckon(&lived, through, &statements)
        .map_err(|error| Error::understand("the final bill", error))?;
    report.billed = Some((true, final_bill::sentence(&bill)));
    report.final_bill = Some(bill);
    Ok(())
}

/// When this life can have been billed: from its first day to the last thing that was told of its lease. Nothing of what never
/// came to be.
async fn span(state: &State, context: &Context) -> Result<Option<(Second, Second)>, Error> {
    let shown = state.shown();
    let Some(life) = &shown.incarnation else {
        return Ok(None);
    };
    let books = &context.books;
    let last = books
        .leased_until(&state.department, &state.name, life.incarnation)
        .await?;
    // without facts it was never billed, unless they left for an archive after their periods were closed
    let never = shown.effective.is_empty();
    let released = shown.release.iter().map(|doc| doc.at).max();
    let to = match (last, released) {
        (Some(last), _) => last,
        (None, Some(released)) if !never => released,
        (None, _) => life.at,
    };
    Ok(Some((life.at, to)))
}

/// Sets the condition that says whether everything that a released tenancy was billed for is closed, where that is told.
pub fn flag(
    status: &mut TenancyStatus,
    told: Option<(bool, String)>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let Some((holds, message)) = told else {
        conditions::clear(&mut status.conditions, types::BILLED);
        return;
    };
    let condition = NewCondition {
        type_: types::BILLED,
        holds,
        reason: if holds { "Closed" } else { "PeriodOpen" },
        message: &message,
    };
    conditions::set(&mut status.conditions, &condition, generation, now);
}
