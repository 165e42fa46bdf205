//! Acceptance: where the policy says so, a first lease that is in place is billed once its department has accepted it.
//!
//! What is in place is recorded as delivered, with the instant at which it counts as accepted by itself. An acceptance is
//! recorded in one transaction with the facts and the document that the request is effective, all of its instant: what
//! counts from the promised one is dated there, however late it is noticed. What follows from what the department says is
//! planned by `leasehold_planner::acceptance`.

use std::collections::BTreeMap;

use leasehold_api::tenancy::{AcceptanceState, AcceptanceStatus, Phase};
use leasehold_ledger::document::{AcceptanceDoc, DeliveredDoc, EffectiveDoc};
use leasehold_planner::{
    acceptance::{self, Step},
    lease_facts::{self, LeaseCause},
    quota::{self, Hard},
};
use leasehold_store::Record;

use super::{
    super::{observe::State, report::Report},
    Due, as_due, billing, lease_context, not_before, seconds_until,
};
use crate::{Context, Error, books::lease_uid};

/// Who has to say something, where the status names who is waited for.
const DEPARTMENT: &str = "department";

/// Records what the department, the policy or the time says of what is delivered. It comes before anything else is
/// provisioned: what is billed of it does not depend on what the next request brings.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    hold_back(state, context);
    let now = context.now();
    let said = state.tenancy.spec.acceptance.as_ref();
    let policy = &state.policy_object.spec.acceptance;
    let step = acceptance::delivery(&state.view)
        .map(|delivery| delivery.step(said, &state.requested_by(), policy, now));
    let Some(Step::Record(word)) = step else {
        return Ok(());
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
    let lease = lease_context(state, context, &due.part);
    let target = billing::quantities(&due)?;
    let cause = LeaseCause::Request(word.request);
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

/// Records once that a request is in place which has to be accepted. Tells whether its billing waits for that.
pub async fn deliver(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    complete: bool,
) -> Result<bool, Error> {
    let number = due.request.request;
    let known = acceptance::delivery(&state.view);
    if known.is_some_and(|known| known.delivered.request == number) {
        return Ok(true);
    }
    let policy = &state.policy_object.spec.acceptance;
    if !acceptance::is_demanded(&state.view, policy) || is_billed(state, context).await? {
        return Ok(false);
    }
    if !complete {
        return Ok(true);
    }
    let at = billing::stood(state, context, due);
    let document = DeliveredDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        request: number,
        at,
        until: acceptance::until(&state.view, policy, at),
    };
    let document = context.books.ensure(&document, state.now).await?;
    let tenancy = lease_uid(&state.department, &state.name, state.incarnation());
    tracing::info!(tenancy, request = number, at = %document.at, until = %document.until, "lease delivered");
    let what = format!("request {number} stands; billed once the department accepts it");
    report.happened(state, "leasehold", &what);
    context.leases.settled(&state.department, &state.name);
    state.refresh(context).await?;
    // it may have been accepted in advance, or be accepted by itself at once
    settle(state, context, report).await?;
    Ok(true)
}

/// Whether something of the tenancy began to be billed when the policy asked for no acceptance; then that goes on.
async fn is_billed(state: &State, context: &Context) -> Result<bool, Error> {
    let books = &context.books;
    let open = books.open_lease(&state.department, &state.name, state.incarnation());
    Ok(!open.await?.is_empty())
}

/// Nobody uses what nobody pays: what was given back keeps its quotas and its volumes, and no pod starts.
pub fn withhold(state: &State, due: &Due, desired: &mut BTreeMap<String, Hard>) {
    let is_rejected = acceptance::delivery(&state.view).is_some_and(|known| {
        known.rejected.is_some() && known.delivered.request == due.request.request
    });
    if is_rejected {
        for hard in desired.values_mut() {
            hard.insert(quota::PODS.to_owned(), 0);
        }
    }
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
    report.look_again(seconds_until(until, state.now));
    if let Some(request) = report.request.as_mut()
        && request.waiting_for.is_empty()
    {
        request.waiting_for = vec![DEPARTMENT.to_owned()];
    }
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
    Some(AcceptanceStatus {
        request: delivered.request,
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
