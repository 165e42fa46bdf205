//! The department's word that everything may be deleted, and the wait for it where the policy requires it.

use leasehold_api::{
    platform::Demand,
    tenancy::{SignOffState, SignOffStatus},
};
use leasehold_ledger::time::Second;
use leasehold_planner::papers;

use super::super::{observe::State, provision::seconds_until, report::Report};
use crate::{Context, Error};

/// Records the sign-off of the release that is asked for, once; points out one that is of no such release.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    let said = state.tenancy.spec.sign_off.as_ref();
    if let Some(refusal) = papers::misaddressed(&state.view, said) {
        report.refuse(&[refusal]);
    }
    let by = state.signed_off_by();
    let Some(document) = papers::to_record(&state.view, said, &by, state.now) else {
        return Ok(());
    };
    let document = context.books.ensure(&document, state.now).await?;
    let what = format!(
        "signed off release {}: everything may be deleted",
        papers::number(document.round)
    );
    report.happened(state, &document.requested_by, &what);
    state.refresh(context).await
}

/// Since when the namespaces may be deleted, of what is approved and whose grace is over since this instant. None while the
/// department has to sign first; then it is told so, and told again each week.
pub fn given(state: &State, report: &mut Report, since: Second) -> Option<Second> {
    if let Some(signed) = papers::signed_off(&state.view) {
        return Some(since.max(signed.at));
    }
    match state.policy_object.spec.release.sign_off {
        Demand::Optional => return Some(since),
        Demand::Required => {}
    }
    let asked = state.view.release_asked()?;
    let reminder = papers::reminder(since, state.now);
    let zone = &state.policy.time_zone;
    let sentence = papers::sentence(asked, &state.office(), &since.in_zone(zone), &reminder);
    report.wait(sentence.clone());
    report.unsigned = Some(sentence);
    report.look_again(seconds_until(reminder.next, state.now));
    None
}

/// What the status says of the sign-off: nothing where none is asked for or given.
pub fn shown(state: &State) -> Option<SignOffStatus> {
    let asked = state.shown().release_asked()?;
    let release = papers::number(asked.round);
    if let Some(signed) = papers::signed_off(state.shown()) {
        return Some(SignOffStatus {
            release,
            state: SignOffState::Signed,
            by: Some(signed.requested_by.clone()),
            at: Some(signed.at.in_zone(&state.policy.time_zone)),
        });
    }
    let is_awaited = match state.policy_object.spec.release.sign_off {
        Demand::Required => !state.shown().released(),
        Demand::Optional => false,
    };
    is_awaited.then(|| SignOffStatus {
        release,
        ..SignOffStatus::default()
    })
}
