//! The end of a term: who is told before it, what is said after it, and what an extension ends.

use std::time::Duration;

use leasehold_ledger::time::LocalDate;
use leasehold_planner::{
    expiry::{self, Nearness},
    request::ApprovedPart,
};

use super::{
    observe::{Life, State},
    provision::seconds_until,
    report::Report,
    requests::part_of,
};
use crate::Error;

/// So soon is looked again after a term was extended: what the policy stopped is let go.
const SOON: Duration = Duration::from_secs(1);

/// The last day, as far as it is approved.
pub fn last_day(state: &Life) -> Result<Option<LocalDate>, Error> {
    expiry::last_day(&state.view)
        .map_err(|error| Error::understand("the term of what is approved", error))
}

/// Says how near the end of the approved term is, and looks again when that changes.
pub fn look(state: &State, report: &mut Report) -> Result<(), Error> {
    let Some(through) = last_day(state)? else {
        return Ok(());
    };
    let (policy, zone) = (&state.policy_object.spec.expiry, &state.policy.time_zone);
    match expiry::nearness(through, zone.date_of(state.now), policy) {
        Nearness::Far => {}
        Nearness::Within(days) => report.expiring = Some(expiry::sentence(through, days)),
        Nearness::Over => report.expire(through),
    }
    if let Some(next) = expiry::next_look(through, state.now, zone, policy) {
        report.look_again(seconds_until(next, state.now));
    }
    Ok(())
}

/// Remembers that the request with this number has moved the last day of the term on.
pub fn renewed(
    state: &State,
    report: &mut Report,
    number: u32,
    due: &ApprovedPart,
) -> Result<(), Error> {
    let Some(standing) = state.view.effective() else {
        return Ok(());
    };
    // days of this form stand in the order of the calendar
    if part_of(standing)?.term.through >= due.term.through {
        return Ok(());
    }
    let decision = state.view.decisions.get(&number);
    let who = decision.map_or("leasehold", |decision| decision.decided_by.as_str());
    report.happened(state, who, &format!("renewed through {}", due.term.through));
    report.look_again(SOON);
    Ok(())
}
