//! The question to the office whether a tenancy may end, and what was answered.
//!
//! A department may ask again after a rejection (`spec.request.attempt`), and each attempt is a question of its own. An
//! answer to any of them is recorded: whoever signed a paper is not passed over because somebody asked again meanwhile.

use std::collections::BTreeMap;

use leasehold_api::charging::{Approval, ApprovalSubject, SubjectOfDecision};
use leasehold_ledger::{
    document::{Decision, DecisionDoc, ReleaseDoc},
    time::Second,
};
use leasehold_planner::approval;

use super::super::{
    answers,
    observe::State,
    report::Report,
    requests::{create_once, decision_of},
};
use crate::{
    Context, Error,
    books::{OFFICE, lease_uid},
};

/// What a decision on a release speaks of.
const RELEASE: &str = "Release";

/// What the office has said of the release that is asked for, by attempt. What persons have decided and the ledger does not
/// know yet is recorded.
pub async fn settle(
    state: &State,
    context: &Context,
    report: &mut Report,
    asked: &ReleaseDoc,
) -> Result<BTreeMap<u32, DecisionDoc>, Error> {
    let subject = subject(asked)?;
    let mut known = recorded(state, context, asked).await?;
    for found in &questions(state, context, &subject) {
        let attempt = found.spec.subject.request;
        if let Some(decision) = known.get(&attempt) {
            // the operator may have died before it said so
            answers::recorded(context, found, decision).await?;
            continue;
        }
        let asked_then = ApprovalSubject {
            request: attempt,
            ..subject.clone()
        };
        let Some(decision) = decision_of(found, &asked_then) else {
            continue;
        };
        let decision = DecisionDoc {
            subject_kind: RELEASE.to_owned(),
            subject: path(asked, attempt),
            role: OFFICE.to_owned(),
            approval_uid: found.metadata.uid.clone(),
            department: Some(state.department.clone()),
            at: state.now,
            ..decision
        };
        let decision = context.books.ensure(&decision, state.now).await?;
        answers::recorded(context, found, &decision).await?;
        let what = format!("release {:?}", decision.decision);
        report.happened(state, &decision.decided_by, &what);
        known.insert(attempt, decision);
    }
    Ok(known)
}

/// Whether the office has yet to answer a question about this release.
pub fn is_open(state: &State, context: &Context, asked: &ReleaseDoc) -> Result<bool, Error> {
    let all = questions(state, context, &subject(asked)?);
    Ok(all.iter().any(|found| found.spec.decision.is_none()))
}

/// Questions about this release, whatever the attempt.
fn questions(state: &State, context: &Context, subject: &ApprovalSubject) -> Vec<Approval> {
    let office = state.office();
    context.world.approvals.select(|found| {
        let of = &found.spec.subject;
        found.metadata.namespace.as_ref() == Some(&office)
            && of.kind == subject.kind
            && of.digest == subject.digest
    })
}

fn subject(asked: &ReleaseDoc) -> Result<ApprovalSubject, Error> {
    let digest = approval::release_digest(asked)
        .map_err(|error| Error::understand("the release that is asked for", error))?;
    Ok(ApprovalSubject {
        kind: SubjectOfDecision::Release,
        name: asked.tenancy.as_str().into(),
        uid: "".into(),
        request: 0,
        digest: digest.as_str().into(),
        requested_by: asked.requested_by.as_str().into(),
    })
}

/// What a decision on this attempt to release is listed by. Ledgers from before a release could be taken back know first
/// ones only, and their decisions have no round.
fn path(asked: &ReleaseDoc, attempt: u32) -> String {
    let life = lease_uid(&asked.department, &asked.tenancy, asked.incarnation);
    match asked.round {
        0 => format!("{life}/{attempt}"),
        round => format!("{life}/{attempt}/{round}"),
    }
}

/// The attempt that a path speaks of, if it is one to carry out this very release.
fn attempt_of(subject: &str, asked: &ReleaseDoc) -> Option<u32> {
    let life = lease_uid(&asked.department, &asked.tenancy, asked.incarnation);
    let rest = subject.strip_prefix(&life)?.strip_prefix('/')?;
    let attempt = rest.split('/').next()?.parse().ok()?;
    (path(asked, attempt) == subject).then_some(attempt)
}

async fn recorded(
    state: &State,
    context: &Context,
    asked: &ReleaseDoc,
) -> Result<BTreeMap<u32, DecisionDoc>, Error> {
    let life = lease_uid(&state.department, &state.name, state.incarnation());
    let all = context
        .books
        .store()
        .documents_under::<DecisionDoc>(&format!("{RELEASE}/{life}"))
        .await?;
    let decisions = all.into_iter().map(|recorded| recorded.value);
    Ok(decisions
        .filter(|decision| decision.role == OFFICE)
        .filter_map(|decision| Some((attempt_of(&decision.subject, asked)?, decision)))
        .collect())
}

/// Since when the release has the office's approval; writes the undecided Approval if it is not there.
pub async fn approved(
    state: &State,
    context: &Context,
    report: &mut Report,
) -> Result<Option<Second>, Error> {
    let Some(asked) = state.view.release_asked() else {
        return Ok(None);
    };
    let decisions = settle(state, context, report, asked).await?;
    let said = decisions.values();
    let yes = said.filter(|decision| decision.decision == Decision::Approved);
    if let Some(since) = yes.map(|decision| decision.at).min() {
        report.release_decision = Some("Approved".to_owned());
        return Ok(Some(since));
    }
    let attempt = state.tenancy.spec.request.attempt;
    if let Some(decision) = decisions.get(&attempt) {
        report.release_decision = Some("Rejected".to_owned());
        report.refuse_release(&decision.reason, &decision.decided_by);
        return Ok(None);
    }
    report.release_decision = Some("Undecided".to_owned());
    ask(state, context, report, asked).await?;
    Ok(None)
}

/// Puts the question of this attempt to the office, once. Where the manifest no longer says why the tenancy is to end,
/// nothing new is asked.
async fn ask(
    state: &State,
    context: &Context,
    report: &mut Report,
    asked: &ReleaseDoc,
) -> Result<(), Error> {
    let Some(release) = &state.tenancy.spec.release else {
        return Ok(());
    };
    let wanted = approval::release_approval(
        asked,
        &state.tenancy.metadata.uid.clone().unwrap_or_default(),
        &state.organisation.spec.display_name,
        &release.reason,
        state.tenancy.spec.request.attempt,
    )
    .map_err(|error| Error::understand("the approval to be written", error))?;
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let office = state.office();
    if context.world.approvals.get(Some(&office), &name).is_none() {
        create_once(context, &wanted).await?;
    }
    report.wait(format!(
        "the release waits for the office: leasehold approve {name} -n {office}"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::ReleaseStage;

    use super::*;

    fn asked(round: u32) -> ReleaseDoc {
        ReleaseDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            stage: ReleaseStage::Requested,
            round,
            requested_by: "zhang@edu".to_owned(),
            at: Second::new(0),
            kept: Vec::new(),
            backup: None,
        }
    }

    #[test]
    fn a_decision_counts_for_the_release_that_it_was_made_on_and_for_no_other() {
        assert_eq!(path(&asked(0), 3), "edu/oa/2/3");
        assert_eq!(path(&asked(1), 3), "edu/oa/2/3/1");
        for (subject, round, expected) in [
            ("edu/oa/2/3", 0, Some(3)),
            ("edu/oa/2/3", 1, None),
            ("edu/oa/2/3/1", 1, Some(3)),
            ("edu/oa/2/3/1", 0, None),
            ("edu/oa/2/3/1", 2, None),
            ("edu/oa/1/3", 0, None),
            ("edu/oa/21/3", 0, None),
            ("edu/oa/2", 0, None),
        ] {
            let found = attempt_of(subject, &asked(round));
            assert_eq!(found, expected, "{subject} in round {round}");
        }
    }
}
