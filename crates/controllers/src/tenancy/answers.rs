//! What approvals say of what became of them.
//!
//! It follows from the ledger in every round, and not from what the round did: the operator may have died after a
//! decision was recorded and before the approval said so, and an approval that does not say so can never be removed
//! (rule A07).

use leasehold_api::{
    charging::Approval,
    conditions::{self, NewCondition, types},
};
use leasehold_ledger::{
    document::{Decision, DecisionDoc, RequestDoc},
    time::Second,
};
use leasehold_planner::approval;

use super::observe::State;
use crate::{Context, Error};

/// Notes on the approvals of the tenancy's requests what the ledger has of them.
pub async fn note(state: &State, context: &Context) -> Result<(), Error> {
    for request in &state.view.requests {
        let name = approval::request_approval_name(request);
        let Some(found) = context.world.approvals.get(Some(&state.office()), &name) else {
            continue;
        };
        let Some(what) = became(state, request) else {
            continue;
        };
        match what {
            Became::Recorded(decision) => recorded(context, &found, decision).await?,
            // what a person has decided meanwhile is never called a question that nobody asks
            Became::Moot(_) if found.spec.decision.is_some() => {}
            Became::Moot(why) => moot(state, context, &found, why).await?,
        }
    }
    Ok(())
}

/// What became of a request.
enum Became<'a> {
    Recorded(&'a DecisionDoc),
    Moot(&'a str),
}

fn became<'a>(state: &'a State, request: &RequestDoc) -> Option<Became<'a>> {
    match state.view.decisions.get(&request.request) {
        Some(decision) if decision.decision == Decision::Withdrawn => {
            Some(Became::Moot(&decision.reason))
        }
        Some(decision) => Some(Became::Recorded(decision)),
        None if state.tenancy.spec.release.is_some() => {
            Some(Became::Moot("the tenancy is to be released"))
        }
        None => None,
    }
}

/// Notes on the approval that the ledger has its decision, and since when.
pub async fn recorded(
    context: &Context,
    found: &Approval,
    decision: &DecisionDoc,
) -> Result<(), Error> {
    let is_its = found.metadata.uid.is_some() && found.metadata.uid == decision.approval_uid;
    let mut status = found.status.clone().unwrap_or_default();
    if !is_its || status.recorded_at.is_some() {
        return Ok(());
    }
    status.recorded_at = Some(Second::to_string(&decision.at));
    context
        .kit
        .patch_status(found, found.status.as_ref(), &status)
        .await?;
    Ok(())
}

/// Says on an undecided approval that nobody waits for it any more.
async fn moot(state: &State, context: &Context, found: &Approval, why: &str) -> Result<(), Error> {
    let mut status = found.status.clone().unwrap_or_default();
    let condition = NewCondition {
        type_: types::REFUSED,
        holds: true,
        reason: "Moot",
        message: why,
    };
    let generation = found.metadata.generation;
    let now = state.now.timestamp();
    conditions::set(&mut status.conditions, &condition, generation, now);
    context
        .kit
        .patch_status(found, found.status.as_ref(), &status)
        .await?;
    Ok(())
}
