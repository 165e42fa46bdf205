//! What approvals say of what became of them.
//!
//! It follows from the ledger in every round, and not from what the round did: the operator may have died after a
//! decision was recorded and before the approval said so, and an approval that does not say so can never be removed
//! (rule A07).

use leasehold_api::{
    charging::{Approval, SubjectOfDecision},
    conditions::{self, NewCondition, types},
};
use leasehold_kit::EventType;
use leasehold_ledger::{
    document::{Decision, DecisionDoc, RequestDoc},
    time::Second,
};
use leasehold_planner::approval;

use super::{funds, observe::State};
use crate::{Context, Error};

/// The reason of an approval that nobody waits for.
const MOOT: &str = "Moot";
/// How it is told that one of two decisions came, and the other did not.
const ALONE: &str = "the decision has no effect, because the request ended before both were there";
/// How it is told that a decision came when nobody waited for it any more.
const LATE: &str = "the decision came when nobody waited for it any more, and has no effect";

/// Notes on the approvals of the tenancy's requests what the ledger has of them.
pub async fn note(state: &State, context: &Context) -> Result<(), Error> {
    for request in &state.view.requests {
        let late = if request.funds.is_some() { ALONE } else { LATE };
        for (role, name) in funds::names(request) {
            let Some(found) = context.world.approvals.get(Some(&state.office()), &name) else {
                continue;
            };
            match became(state, request, role) {
                Some(Became::Recorded(decision)) => recorded(context, &found, decision).await?,
                Some(Became::Moot(why)) => moot(state, context, &found, (late, why)).await?,
                None => asked_again(context, &found).await?,
            }
        }
    }
    note_releases(state, context).await
}

/// Says on questions about a release that was taken back that nobody asks them any more.
async fn note_releases(state: &State, context: &Context) -> Result<(), Error> {
    if state.view.release_round() == 0 {
        return Ok(());
    }
    let office = state.office();
    let asked = state.view.release_asked();
    let asked = asked.map(approval::release_digest).transpose();
    let asked = asked.map_err(|error| Error::understand("the release that is asked for", error))?;
    let is_over = |found: &Approval| {
        let subject = &found.spec.subject;
        let name = found.metadata.name.as_deref().unwrap_or_default();
        // one of an earlier life was not taken back: what became of it that life has told
        let is_of_this_life = approval::is_about_release(name, &state.name, state.incarnation());
        let is_asked = asked
            .as_ref()
            .is_some_and(|asked| *subject.digest == *asked.as_str());
        let status = found.status.as_ref();
        found.metadata.namespace.as_ref() == Some(&office)
            && subject.kind == SubjectOfDecision::Release
            && *subject.name == *state.name
            && is_of_this_life
            && !is_asked
            && status.is_none_or(|status| status.recorded_at.is_none())
    };
    for found in &context.world.approvals.select(is_over) {
        moot(state, context, found, (LATE, "the release was taken back")).await?;
    }
    Ok(())
}

/// What became of the question about a request to a role.
enum Became<'a> {
    Recorded(&'a DecisionDoc),
    Moot(&'a str),
}

fn became<'a>(state: &'a State, request: &RequestDoc, role: &str) -> Option<Became<'a>> {
    match state.view.decisions.get(&request.request) {
        Some(decision) if decision.decision == Decision::Withdrawn => {
            Some(Became::Moot(&decision.reason))
        }
        Some(decision) if request.funds.is_none() => Some(Became::Recorded(decision)),
        Some(_) => Some(match state.view.word(request.request, role) {
            Some(word) => Became::Recorded(word),
            None => Became::Moot("the request is decided"),
        }),
        None if state.releasing() => Some(Became::Moot("the tenancy is to be released")),
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
    if is_moot(found) {
        conditions::clear(&mut status.conditions, types::REFUSED);
    }
    context
        .kit
        .patch_status(found, found.status.as_ref(), &status)
        .await?;
    Ok(())
}

/// Says on an approval that nobody waits for it any more, and on one that was decided all the same that it came late.
async fn moot(
    state: &State,
    context: &Context,
    found: &Approval,
    (late, why): (&str, &str),
) -> Result<(), Error> {
    let mut status = found.status.clone().unwrap_or_default();
    let is_late = found.spec.decision.is_some();
    if is_late && status.recorded_at.is_some() {
        return Ok(());
    }
    let message = if is_late {
        format!("{late}: {why}")
    } else {
        why.to_owned()
    };
    let condition = NewCondition {
        type_: types::REFUSED,
        holds: true,
        reason: MOOT,
        message: &message,
    };
    let mut known = status.conditions.iter();
    let is_news = !known.any(|known| known.type_ == types::REFUSED && known.message == message);
    let generation = found.metadata.generation;
    let now = state.now.timestamp();
    conditions::set(&mut status.conditions, &condition, generation, now);
    let kit = &context.kit;
    kit.patch_status(found, found.status.as_ref(), &status)
        .await?;
    if is_late && is_news {
        kit.event(found, EventType::Warning, MOOT, "Decide", &message)
            .await;
    }
    Ok(())
}

fn is_moot(found: &Approval) -> bool {
    let mut conditions = found.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|known| known.type_ == types::REFUSED && known.reason == MOOT)
}

/// Says no more that nobody waits: the release for which that was so was taken back.
async fn asked_again(context: &Context, found: &Approval) -> Result<(), Error> {
    if !is_moot(found) {
        return Ok(());
    }
    let mut status = found.status.clone().unwrap_or_default();
    conditions::clear(&mut status.conditions, types::REFUSED);
    context
        .kit
        .patch_status(found, found.status.as_ref(), &status)
        .await?;
    Ok(())
}
