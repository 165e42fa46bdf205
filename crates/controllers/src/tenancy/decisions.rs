//! What people have decided on requests, brought into the ledger.
//!
//! A person may decide in the moment in which the request goes away: the approved values are applied again, another
//! request takes its place, the release is asked for. Whoever signed a paper is never passed over in silence, so the
//! decision is recorded before the request is taken back, and what was decided stands. What comes later than that is told
//! on the approval (`answers`).

use leasehold_api::charging::{Approval, ApprovalSubject, SubjectOfDecision};
use leasehold_ledger::document::{Decision, DecisionDoc, RequestDoc};
use leasehold_planner::approval;

use super::{observe::State, report::Report, requests::decision_of};
use crate::{
    Context, Error,
    books::{OFFICE, request_subject},
};

/// Records what a person has decided on a request. Tells whether anybody has.
pub async fn record(
    state: &State,
    context: &Context,
    report: &mut Report,
    request: &RequestDoc,
    found: &Approval,
) -> Result<bool, Error> {
    let Some(decision) = decision_of(found, &subject(request)) else {
        return Ok(false);
    };
    let recorded = DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: request_subject(request),
        role: OFFICE.to_owned(),
        approval_uid: found.metadata.uid.clone(),
        department: Some(state.department.clone()),
        at: state.now,
        ..decision
    };
    let recorded = context.books.ensure(&recorded, state.now).await?;
    let verb = match recorded.decision {
        Decision::Approved => "approved",
        Decision::Rejected => "rejected",
        Decision::Withdrawn => "withdrawn",
    };
    let what = format!("request {} {verb}", request.request);
    report.happened(state, &recorded.decided_by, &what);
    Ok(true)
}

/// What an approval of the request is about. Of which object does not matter to an answer.
fn subject(request: &RequestDoc) -> ApprovalSubject {
    ApprovalSubject {
        kind: SubjectOfDecision::Tenancy,
        name: request.tenancy.as_str().into(),
        uid: "".into(),
        request: request.request,
        digest: request.digest.as_str().into(),
        requested_by: request.requested_by.as_str().into(),
    }
}

/// Records what was decided on a request that is about to be taken back. Tells whether anything was: then it is not
/// taken back.
pub async fn came_first(
    state: &State,
    context: &Context,
    report: &mut Report,
    request: &RequestDoc,
) -> Result<bool, Error> {
    let name = approval::request_approval_name(request);
    // never from a cache: what was decided a moment ago counts
    let office = state.office();
    match context.kit.get::<Approval>(Some(&office), &name).await? {
        Some(found) => record(state, context, report, request, &found).await,
        None => Ok(false),
    }
}

/// While a tenancy is released nothing new is asked or decided, but what was decided on what was asked before is recorded.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    let Some(open) = state.view.open() else {
        return Ok(());
    };
    let name = approval::request_approval_name(open);
    let Some(found) = context.world.approvals.get(Some(&state.office()), &name) else {
        return Ok(());
    };
    if record(state, context, report, open, &found).await? {
        state.refresh(context).await?;
    }
    Ok(())
}
