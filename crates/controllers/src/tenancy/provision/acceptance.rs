//! Acceptance: where the policy says so, a first lease that is in place is billed once its department has accepted it.
//!
//! What is in place is recorded as delivered, with the instant at which it counts as accepted by itself. An acceptance is
//! recorded in one transaction with the facts and the document that the request is effective, all of its instant: what
//! counts from the promised one is dated there, however late it is noticed. What follows from what the department says is
//! planned by `leasehold_planner::acceptance`.

use leasehold_api::tenancy::{AcceptanceState, AcceptanceStatus, LeaseItem, Phase};
use leasehold_ledger::document::{AcceptanceDoc, DeliveredDoc, EffectiveDoc, RequestDoc};
use leasehold_planner::{
    acceptance::{self, Step},
    lease_facts::{self, LeaseCause},
};
use leasehold_store::Record;

use super::{
    super::{
        observe::{Life, State},
        report::Report,
        requests::{part_of, quotation_of},
    },
    Due, as_due, billing, lease_context, not_before, seconds_until,
};
use crate::{Context, Error, books::lease_uid};

/// Who has to say something, where the status names who is waited for.
const DEPARTMENT: &str = "department";

/// What a due request waits for before anything of it is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is billed when it stands.
    Nothing,
    /// It has to be accepted, and nothing was ever delivered: nobody is let in yet.
    Delivery,
    /// It has to be accepted. It is delivered, or a request before it was.
    Word,
}

/// Records what the department, the policy or the time says of what is delivered. It comes before anything else is
/// provisioned: what is billed of it does not depend on what the next request brings. A release changes nothing of it.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    hold_back(state, context);
    let now = context.now();
    let said = state.tenancy.spec.acceptance.as_ref();
    let policy = &state.policy_object.spec.acceptance;
    let Some(delivery) = acceptance::delivery(&state.view) else {
        return Ok(());
    };
    let word = match delivery.step(said, &state.accepted_by(), policy, now) {
        Step::Record(word) => word,
        Step::Rejected => return Ok(()),
        Step::Waits => {
            report.look_again(seconds_until(delivery.delivered.until, state.now));
            return Ok(());
        }
    };
    let number = word.request;
    let what = if word.accepted {
        // no period closes over it between now and the commit
        context
            .leases
            .pending(&state.department, &state.name, word.at, now);
        bill(state, context, &word).await?;
        format!("request {number} accepted; billed from {}", word.at)
    } else {
        let records = vec![Record::document(&word)?];
        context.books.commit(records, state.now).await?;
        format!("request {number} not accepted: {}", word.reason)
    };
    context.leases.settled(&state.department, &state.name);
    let tenancy = lease_uid(&state.department, &state.name, state.incarnation());
    tracing::info!(tenancy, request = number, accepted = word.accepted, at = %word.at, "acceptance");
    report.happened(state, &word.by, &what);
    state.refresh(context).await
}

/// The promised instant is not passed before what counts from it is recorded. Nothing else of a delivery counts from an
/// instant that lies behind.
fn hold_back(state: &State, context: &Context) {
    match acceptance::delivery(&state.view) {
        Some(delivery) if delivery.rejected.is_none() => {
            let until = delivery.delivered.until;
            context
                .leases
                .pending(&state.department, &state.name, until, state.now);
        }
        Some(_) | None => {}
    }
}

/// Nothing of this tenancy is late by the operator's doing. What was promised for a later instant still is.
pub fn nothing_late(state: &State, context: &Context) {
    context.leases.settled(&state.department, &state.name);
    hold_back(state, context);
}

/// Whether nothing of the due request counts before it is accepted.
pub fn is_withheld(state: &State, due: &Due) -> bool {
    let policy = &state.policy_object.spec.acceptance;
    acceptance::delivery(&state.view).is_some_and(|known| {
        known.delivered.request == due.request.request
            || acceptance::is_demanded(&state.view, policy)
    })
}

/// Records an acceptance with what is billed from its instant on.
async fn bill(state: &State, context: &Context, word: &AcceptanceDoc) -> Result<(), Error> {
    let request = state
        .approved()
        .find(|request| request.request == word.request)
        .ok_or_else(|| Error::understand("a delivered request", "it was never approved"))?;
    let due = as_due(state, request, not_before(state, None, request)?)?;
    let open = context
        .books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await?;
    let lease = lease_context(state, context, &due.part).await?;
    let target = billing::quantities(&due)?;
    let cause = LeaseCause::of_request(word.request, state.view.release_round());
    let facts = lease_facts::lease_facts(&lease, &open, &target, cause, word.at);
    let mut records = vec![Record::document(word)?];
    records.extend(facts.into_iter().map(Record::from));
    records.push(Record::document(&EffectiveDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        request: word.request,
        not_before: due.not_before,
        at: word.at,
    })?);
    context.books.commit(records, state.now).await?;
    Ok(())
}

/// Records once that a request is in place which has to be accepted. Tells what its billing waits for.
///
/// It is in place also while a rejection of the last one leaves it no pods: its delivery is what ends that.
pub async fn deliver(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    complete: bool,
) -> Result<Wait, Error> {
    let known = acceptance::delivery(&state.view);
    if known.is_some_and(|known| known.delivered.request == due.request.request) {
        return Ok(Wait::Word);
    }
    let is_first = known.is_none();
    let is_rejected = known.is_some_and(|known| known.rejected.is_some());
    let policy = &state.policy_object.spec.acceptance;
    if !acceptance::is_demanded(&state.view, policy) || is_billed(state, context).await? {
        // nobody pays for a part of what shall mend the rejected, while nothing runs in it
        let waits = is_rejected && !complete;
        return Ok(if waits { Wait::Word } else { Wait::Nothing });
    }
    if complete {
        record_delivery(state, context, report, due).await?;
        return Ok(Wait::Word);
    }
    Ok(if is_first { Wait::Delivery } else { Wait::Word })
}

async fn record_delivery(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
) -> Result<(), Error> {
    let number = due.request.request;
    let policy = &state.policy_object.spec.acceptance;
    let document = DeliveredDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        request: number,
        at: billing::stood(state, context, due),
        until: acceptance::until(&state.view, policy, context.now()),
    };
    let document = context.books.ensure(&document, state.now).await?;
    let tenancy = lease_uid(&state.department, &state.name, state.incarnation());
    tracing::info!(tenancy, request = number, at = %document.at, until = %document.until, "lease delivered");
    let what = format!("request {number} stands; billed once the department accepts it");
    report.happened(state, "leasehold", &what);
    context.leases.settled(&state.department, &state.name);
    state.refresh(context).await?;
    // it may have been accepted in advance, or be accepted by itself at once
    settle(state, context, report).await
}

/// Whether anything of the tenancy is billed. It may have begun to be when the policy asked for no acceptance; then that
/// goes on.
pub async fn is_billed(state: &Life, context: &Context) -> Result<bool, Error> {
    let books = &context.books;
    let open = books.open_lease(&state.department, &state.name, state.incarnation());
    Ok(!open.await?.is_empty())
}

/// Puts into the report that something is in place and waits to be accepted.
pub fn tell(state: &State, report: &mut Report) {
    let Some(known) = acceptance::delivery(&state.view) else {
        return;
    };
    report.phase = Phase::Provisioned;
    let said = state.tenancy.spec.acceptance.as_ref();
    if let Some(refusal) = known.misaddressed(&state.view, said) {
        report.refuse(&[refusal]);
    }
    let number = known.delivered.request;
    let command = format!("leasehold accept {} -n {}", state.name, state.office());
    if let Some(word) = known.rejected {
        report.refuse_acceptance(number, &word.reason, &word.by, &command);
        return;
    }
    let until = known.delivered.until;
    report.wait(format!(
        "request {number} is in place and waits for the department: {command}, or the same with --reject; \
         unless it is rejected before, it counts as accepted and is billed from {}",
        until.in_zone(&state.policy.time_zone)
    ));
    if let Some(request) = report.request.as_mut()
        && request.waiting_for.is_empty()
    {
        request.waiting_for = vec![DEPARTMENT.to_owned()];
    }
}

/// Puts into the report what a release does not end: what is in place counts as accepted at the promised instant.
pub fn tell_released(state: &State, report: &mut Report) {
    let Some(known) = acceptance::delivery(&state.view) else {
        return;
    };
    if known.rejected.is_some() {
        return;
    }
    report.wait(format!(
        "nothing of it is billed yet; unless it is gone before, or rejected (leasehold accept {} -n {} --reject), it counts \
         as accepted and is billed from {}",
        state.name,
        state.office(),
        known.delivered.until.in_zone(&state.policy.time_zone)
    ));
}

/// What the status says of the acceptance: nothing where none was needed.
pub fn shown(state: &State) -> Option<AcceptanceStatus> {
    let view = &state.view;
    let delivered = view.delivered.iter().max_by_key(|d| d.request)?;
    let word = view
        .acceptance
        .iter()
        .rfind(|word| word.request == delivered.request);
    let is_accepted = word.is_some_and(|word| word.accepted);
    if !view.effective.is_empty() && !is_accepted {
        // another request took its place under a policy that asks for no acceptance
        return None;
    }
    let zone = &state.policy.time_zone;
    // of that very request: another one may be open or due
    let mut requests = view.requests.iter();
    let request = requests.find(|known| known.request == delivered.request);
    let quotation = request.and_then(quotation_of);
    Some(AcceptanceStatus {
        request: delivered.request,
        items: request.map(leased).unwrap_or_default(),
        monthly: quotation.as_ref().map(|quoted| quoted.monthly.to_string()),
        currency: quotation.map(|quoted| quoted.currency),
        state: match word {
            None => AcceptanceState::Open,
            Some(_) if is_accepted => AcceptanceState::Accepted,
            Some(_) => AcceptanceState::Rejected,
        },
        delivered_at: delivered.at.in_zone(zone),
        until: word.is_none().then(|| delivered.until.in_zone(zone)),
        by: word.map(|word| word.by.clone()),
        at: word.map(|word| word.at.in_zone(zone)),
        reason: word
            .map(|word| word.reason.clone())
            .filter(|reason| !reason.is_empty()),
    })
}

/// What a request leases.
fn leased(request: &RequestDoc) -> Vec<LeaseItem> {
    let part = part_of(request);
    part.map(|part| part.lease).unwrap_or_default()
}

#[cfg(test)]
mod tests;
