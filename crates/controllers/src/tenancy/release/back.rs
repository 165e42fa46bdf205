//! A release that is taken back: the manifest no longer asks for it, and the office has rejected it.
//!
//! Whoever may take back at will could give back processors every evening and lease them again every morning. So it takes
//! a person who says no each time, and what was approved is carried out (`docs/adr/0025`). The kind's own rule T03 goes by
//! the status, which may be late; this goes by the ledger.

use leasehold_ledger::document::{Decision, ReleaseDoc, ReleaseStage};
use leasehold_planner::rules::Refusal;

use super::{
    super::{observe::State, report::Report},
    question,
};
use crate::{Context, Error};

/// Takes back the release that the manifest no longer asks for, or says why it goes on.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    if state.tenancy.spec.release.is_some() || !state.releasing() {
        return Ok(());
    }
    let Some(asked) = state.view.release_asked().cloned() else {
        return Ok(());
    };
    let decisions = question::settle(state, context, report, &asked).await?;
    let is = |decision| decisions.values().any(|known| known.decision == decision);
    if is(Decision::Approved) {
        report.refuse(&[refusal(
            "that was approved",
            "wait until it is Released and lease anew",
        )]);
        return Ok(());
    }
    if !is(Decision::Rejected) || question::is_open(state, context, &asked)? {
        report.refuse(&[refusal(
            "that the office has not answered",
            "ask for it again in spec.release, or let the office reject it",
        )]);
        return Ok(());
    }
    let document = ReleaseDoc {
        stage: ReleaseStage::TakenBack,
        requested_by: state.requested_by(),
        at: state.now,
        kept: Vec::new(),
        backup: None,
        ..asked
    };
    let document = context.books.ensure(&document, state.now).await?;
    let what = "took the release back; the lease goes on";
    report.happened(state, &document.requested_by, what);
    state.refresh(context).await
}

fn refusal(which: &str, remedy: &str) -> Refusal {
    Refusal::new(
        "T03",
        format!("to take back a release {which}"),
        "one that was rejected",
        remedy,
    )
}
