//! The questions about gaps: which number the next one has, and how one ends that nobody needs any more.

use std::collections::BTreeSet;

use kube::ResourceExt;
use leasehold_api::{
    charging::{Approval, SubjectOfDecision},
    conditions::types,
};
use leasehold_ledger::{document::DecisionDoc, time::Second};
use leasehold_store::Recorded;

use crate::{Context, Error, price_book::finance};

/// What a decision on gaps speaks of.
const GAP: &str = "Gap";
/// With which reason a decision is told that does not count.
const REFUSED: &str = "Refused";

/// Why a decision on a closed period comes too late.
const CLOSED: &str = "the period is closed, and its close has accepted every gap that was left";
/// Why a decision comes too late when no gap waits any more.
pub(super) const NOTHING_LEFT: &str = "every gap of the period is accepted already";
/// Why a decision on a list that cannot be found again counts for nothing.
pub(super) const OTHERS: &str = "the gaps that were asked about are not those that wait any more, so that nothing was accepted; \
                                 they are asked about anew";

/// What was decided on the gaps of a period.
pub(super) async fn decided(
    context: &Context,
    period: &str,
) -> Result<Vec<Recorded<DecisionDoc>>, Error> {
    let path = format!("{GAP}/{period}");
    let store = context.books.store();
    Ok(store.documents_under::<DecisionDoc>(&path).await?)
}

/// The question of this number about a period.
pub(super) fn asked(context: &Context, period: &str, number: u32) -> Option<Approval> {
    let namespace = Some(context.settings.namespace.as_str());
    let name = format!("gap-{period}-{number}-finance");
    context.world.approvals.get(namespace, &name)
}

/// The number of the next question about a period: behind those that were decided, and behind those whose decision counts for
/// nothing and stays where it is.
pub(super) fn number(context: &Context, period: &str, decided: &[Recorded<DecisionDoc>]) -> u32 {
    let mut number = behind(decided.iter().map(|found| found.value.subject.as_str()));
    while asked(context, period, number).is_some_and(|found| is_refused(&found)) {
        number = number.saturating_add(1);
    }
    number
}

/// One above the greatest number of decisions on gaps. Each speaks of a period, a number and a digest.
fn behind<'a>(decided: impl Iterator<Item = &'a str>) -> u32 {
    let numbers = decided.filter_map(|subject| subject.rsplit('/').nth(1)?.parse::<u32>().ok());
    numbers.max().unwrap_or(0).saturating_add(1)
}

/// Ends the questions about all periods but these.
pub(super) async fn end_of_others(
    context: &Context,
    unclosed: &BTreeSet<&str>,
    now: Second,
) -> Result<(), Error> {
    let namespace = Some(context.settings.namespace.as_str());
    let others = context.world.approvals.select(|found| {
        let subject = &found.spec.subject;
        found.metadata.namespace.as_deref() == namespace
            && subject.kind == SubjectOfDecision::Gap
            && !unclosed.contains(&*subject.name)
    });
    for found in others {
        end(&found, CLOSED, context, now).await?;
    }
    Ok(())
}

/// Takes a question back, or says why its answer does not count if somebody has given one.
pub(super) async fn end(
    found: &Approval,
    why: &str,
    context: &Context,
    now: Second,
) -> Result<(), Error> {
    let status = found.status.as_ref();
    let is_recorded = status.is_some_and(|status| status.recorded_at.is_some());
    if found.spec.decision.is_none() {
        return finance::take_back(found, context).await;
    }
    if is_recorded || is_refused(found) {
        return Ok(());
    }
    let decided = decided(context, &found.spec.subject.name).await?;
    let uid = found.metadata.uid.as_deref();
    if decided
        .iter()
        .any(|decision| decision.value.approval_uid.as_deref() == uid)
    {
        // the process died before it could say so
        let (namespace, name) = (&context.settings.namespace, found.name_any());
        let uid = uid.unwrap_or_default();
        return finance::mark_recorded(namespace, &name, uid, now, context).await;
    }
    finance::mark_refused(found, why, context).await
}

/// Whether a decision was told not to count.
fn is_refused(found: &Approval) -> bool {
    let mut conditions = found.status.iter().flat_map(|status| &status.conditions);
    found.spec.decision.is_some()
        && conditions.any(|condition| {
            condition.type_ == types::READY
                && condition.status == "False"
                && condition.reason == REFUSED
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_question_is_behind_all_decisions_also_where_some_were_passed_over() {
        let behind = |decided: &[&str]| behind(decided.iter().copied());
        assert_eq!(behind(&[]), 1);
        assert_eq!(behind(&["2026-09/1/sha256:0"]), 2);
        // the first decision counted for nothing and is not in the ledger
        assert_eq!(behind(&["2026-09/2/sha256:0", "2026-09/11/sha256:1"]), 12);
    }
}
