//! Questions to finance: written undecided, read once decided, marked once recorded.
//!
//! The operator asks by an Approval whose name is fixed by what is decided on. If what is asked changes before anybody
//! decided, the question is taken back and asked anew, so that nobody decides on something outdated. Whoever has read the
//! old one and knows the name alone cannot decide on the new one: it has a number, which a decision repeats (rule N14).

use leasehold_api::{
    charging::{
        Approval, ApprovalSpec, ApprovalStatus, ApprovalSubject, DecisionSpec, SubjectOfDecision,
    },
    conditions::{self, NewCondition, types},
    text::{Identity, Uid},
};
use leasehold_ledger::{
    canonical::{CanonicalError, Digest, digest_of},
    document::{Decision, DecisionDoc, QuestionDoc},
    time::Second,
};
use leasehold_planner::{approval, rules::Refusal};

use crate::{Context, Error, books::FINANCE};

/// Where a question stands.
pub(crate) enum Answer {
    /// Asked, or being asked; nobody has decided.
    Waits,
    /// Somebody decided on exactly this question.
    Decided(Box<Approval>),
    /// Somebody decided on a question of the same name that asked something else.
    Outdated(Box<Approval>),
}

/// Asks, or reads the answer.
pub(crate) async fn ask(wanted: &Approval, context: &Context) -> Result<Answer, Error> {
    let namespace = wanted.metadata.namespace.as_deref();
    let name = wanted.metadata.name.as_deref().unwrap_or_default();
    let found = match context.world.approvals.get(namespace, name) {
        Some(found) if found.spec.decision.is_some() => {
            return Ok(if asks_the_same(&wanted.spec, &found.spec) {
                Answer::Decided(Box::new(found))
            } else {
                Answer::Outdated(Box::new(found))
            });
        }
        found => found,
    };
    let mut wanted = wanted.clone();
    wanted.spec.number = number(&wanted, context).await?;
    let Some(found) = found else {
        return match context.kit.create(&wanted).await {
            Ok(_) => Ok(Answer::Waits),
            // the cache is behind, or an answer was lost; the next look shows what is there
            Err(error) if error.is_already_exists() => Ok(Answer::Waits),
            Err(error) => Err(error.into()),
        };
    };
    // whoever decides sees what holds now, to the letter
    if question(&found.spec) != question(&wanted.spec) {
        take_back(&found, context).await?;
    }
    Ok(Answer::Waits)
}

/// The number of a question, if something else was asked under its name before. It is recorded before anything is asked,
/// so that it is the same whoever died in between.
async fn number(wanted: &Approval, context: &Context) -> Result<Option<u32>, Error> {
    let now = context.now();
    let mut question = QuestionDoc {
        namespace: wanted.metadata.namespace.clone().unwrap_or_default(),
        name: wanted.metadata.name.clone().unwrap_or_default(),
        number: 1,
        asks: asks(&wanted.spec)?,
        at: now,
    };
    let subject = format!("{}/{}", question.namespace, question.name);
    let store = context.books.store();
    let all = store.documents::<QuestionDoc>(Some(&subject), None).await?;
    match all.last().map(|recorded| &recorded.value) {
        Some(last) if last.asks == question.asks => question.number = last.number,
        last => {
            question.number = last.map_or(1, |last| last.number.saturating_add(1));
            context.books.ensure(&question, now).await?;
        }
    }
    Ok(Some(question.number).filter(|number| *number > 1))
}

/// Digest of what is asked, whoever asks, in whatever words, and of whichever object of the name.
fn asks(spec: &ApprovalSpec) -> Result<Digest, CanonicalError> {
    let subject = ApprovalSubject {
        requested_by: Identity::default(),
        uid: Uid::default(),
        ..spec.subject.clone()
    };
    digest_of(&(spec.role, subject, &spec.evidence, &spec.grants))
}

/// Whether the answer counts: by somebody else than the applicant, with a reason where one is due.
pub(crate) fn check(found: &Approval) -> Result<(), Refusal> {
    approval::check_decision(&question(&found.spec), &found.spec).map(|_| ())
}

/// What was asked, without the answer.
fn question(spec: &ApprovalSpec) -> ApprovalSpec {
    ApprovalSpec {
        answers: None,
        decision: None,
        treatment: None,
        order_no: None,
        reason: None,
        decided_by: None,
        ..spec.clone()
    }
}

/// Takes a question back.
pub(crate) async fn take_back(found: &Approval, context: &Context) -> Result<(), Error> {
    let namespace = found.metadata.namespace.as_deref();
    let name = found.metadata.name.as_deref().unwrap_or_default();
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    context.kit.delete::<Approval>(namespace, name, uid).await?;
    Ok(())
}

/// Takes the question of this name back if nobody has decided on it.
pub(crate) async fn take_back_undecided(
    namespace: &str,
    name: &str,
    context: &Context,
) -> Result<(), Error> {
    match context.world.approvals.get(Some(namespace), name) {
        Some(found) if found.spec.decision.is_none() => take_back(&found, context).await,
        Some(_) | None => Ok(()),
    }
}

/// Whether both ask to decide on the same thing, with the same effect, on the same evidence. Once somebody has decided,
/// neither the wording matters any more nor who touched the subject last.
fn asks_the_same(one: &ApprovalSpec, other: &ApprovalSpec) -> bool {
    let subject = |spec: &ApprovalSpec| ApprovalSubject {
        requested_by: Identity::default(),
        ..spec.subject.clone()
    };
    one.role == other.role
        && subject(one) == subject(other)
        && one.evidence == other.evidence
        && one.grants == other.grants
}

/// The decision as the ledger keeps it; nothing while nobody has decided.
pub(crate) fn decision(
    found: &Approval,
    subject: String,
    department: Option<String>,
    at: Second,
) -> Option<DecisionDoc> {
    let spec = &found.spec;
    let subject_kind = match spec.subject.kind {
        SubjectOfDecision::Tenancy => "Tenancy",
        SubjectOfDecision::Release => "Release",
        SubjectOfDecision::HardwareContribution => "HardwareContribution",
        SubjectOfDecision::PriceBook => "PriceBook",
        SubjectOfDecision::Gap => "Gap",
    };
    Some(DecisionDoc {
        subject_kind: subject_kind.to_owned(),
        subject,
        role: FINANCE.to_owned(),
        approval_uid: found.metadata.uid.clone(),
        decision: match spec.decision? {
            DecisionSpec::Approved => Decision::Approved,
            DecisionSpec::Rejected => Decision::Rejected,
        },
        decided_by: spec.decided_by.as_deref().unwrap_or_default().to_owned(),
        order_no: spec.order_no.as_deref().unwrap_or_default().to_owned(),
        reason: spec.reason.as_deref().unwrap_or_default().to_owned(),
        auto: false,
        amount_monthly: None,
        department,
        at,
    })
}

/// Notes on the approval with this name and uid that the ledger has its decision since `at`.
pub(crate) async fn mark_recorded(
    namespace: &str,
    name: &str,
    uid: &str,
    at: Second,
    context: &Context,
) -> Result<(), Error> {
    let Some(found) = context.world.approvals.get(Some(namespace), name) else {
        return Ok(());
    };
    if found.metadata.uid.as_deref() != Some(uid) {
        return Ok(());
    }
    let mut status = found.status.clone().unwrap_or_default();
    status.recorded_at.get_or_insert_with(|| at.to_string());
    let condition = NewCondition {
        type_: types::READY,
        holds: true,
        reason: "Recorded",
        message: "the decision is in the ledger",
    };
    mark(&found, status, &condition, context).await
}

/// Says on an approval why its decision does not count.
pub(crate) async fn mark_refused(
    found: &Approval,
    sentence: &str,
    context: &Context,
) -> Result<(), Error> {
    let status = found.status.clone().unwrap_or_default();
    let condition = NewCondition {
        type_: types::READY,
        holds: false,
        reason: "Refused",
        message: sentence,
    };
    mark(found, status, &condition, context).await
}

/// Writes a condition on an approval, and its status with it.
async fn mark(
    found: &Approval,
    mut status: ApprovalStatus,
    condition: &NewCondition<'_>,
    context: &Context,
) -> Result<(), Error> {
    let generation = found.metadata.generation;
    let now = context.now().timestamp();
    conditions::set(&mut status.conditions, condition, generation, now);
    context
        .kit
        .patch_status(found, found.status.as_ref(), &status)
        .await?;
    Ok(())
}

/// The annotation that says who asked, as the API server stamped it.
pub(crate) fn requested_by(object: &impl kube::ResourceExt) -> String {
    object
        .annotations()
        .get(leasehold_api::names::REQUESTED_BY_ANNOTATION)
        .cloned()
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(decision: Option<&str>) -> Approval {
        let digest = format!("sha256:{}", "0".repeat(64));
        let mut value = json!({
            "apiVersion": "charging.leasehold.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": "pb-hs-2026-finance", "namespace": "leasehold", "uid": "u-9"},
            "spec": {
                "role": "finance",
                "subject": {
                    "kind": "PriceBook", "name": "hs-2026", "uid": "u-1", "request": 1,
                    "digest": digest, "requestedBy": "zhao@finance",
                },
                "title": "publish hs-2026",
                "snapshot": "vcpu-x86 46.00",
            },
        });
        if let Some(decision) = decision {
            value["spec"]["decision"] = json!(decision);
            value["spec"]["decidedBy"] = json!("sun@finance");
            value["spec"]["orderNo"] = json!("黄财资〔2026〕44号");
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nobody_has_decided_until_a_decision_is_written() {
        assert!(decision(&asked(None), "s".to_owned(), None, Second::new(7)).is_none());
        let found = decision(
            &asked(Some("Approved")),
            "s".to_owned(),
            None,
            Second::new(7),
        )
        .unwrap();
        assert_eq!(found.decision, Decision::Approved);
        assert_eq!(found.subject_kind, "PriceBook");
        assert_eq!(found.role, "finance");
        assert_eq!(found.decided_by, "sun@finance");
        assert_eq!(found.order_no, "黄财资〔2026〕44号");
        assert_eq!(found.approval_uid.as_deref(), Some("u-9"));
        let rejected = decision(
            &asked(Some("Rejected")),
            "s".to_owned(),
            None,
            Second::new(7),
        );
        assert_eq!(rejected.unwrap().decision, Decision::Rejected);
    }

    #[test]
    fn a_question_is_the_same_as_long_as_its_subject_and_effect_are() {
        let asked = asked(None).spec;
        let mut reworded = asked.clone();
        reworded.snapshot = "vcpu-x86 46.00 yuan".into();
        reworded.subject.requested_by = "sun@finance".into();
        assert!(asks_the_same(&asked, &reworded));
        assert_ne!(question(&asked), question(&reworded));
        let mut other = asked.clone();
        other.subject.digest = format!("sha256:{}", "1".repeat(64)).into();
        assert!(!asks_the_same(&asked, &other));
        let digest = |spec: &ApprovalSpec| asks(spec).unwrap();
        assert_eq!(digest(&asked), digest(&reworded));
        assert_ne!(digest(&asked), digest(&other), "this one gets a number");
        let mut answered = asked.clone();
        answered.answers = Some(2);
        answered.decision = Some(DecisionSpec::Approved);
        assert_eq!(question(&answered), question(&asked));
    }

    #[test]
    fn who_loaded_the_prices_does_not_publish_them() {
        let mut found = asked(Some("Approved"));
        assert!(check(&found).is_ok());
        found.spec.decided_by = Some("zhao@finance".into());
        assert_eq!(check(&found).unwrap_err().rule, "A06");
    }
}
