//! Release: growth stops, the office signs, the grace passes, namespaces go, the last bill is drawn.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use leasehold_api::{
    names,
    tenancy::{NamespaceStatus, Phase},
};
use leasehold_ledger::{
    book::Category,
    document::{Decision, DecisionDoc, NamespaceDoc, ReleaseDoc, ReleaseStage},
    time::Second,
};
use leasehold_planner::{
    approval,
    lease_facts::{self, LeaseCause},
    objects::NamespacePlan,
    quota::{self, Hard},
    request::{ApprovedPart, Items},
};
use leasehold_store::Record;

use super::{
    answers, drifts,
    observe::State,
    provision::{
        contents, describe_volumes, identity, is_billed, lease_context, namespaces, nothing_late,
        observed_quota, record_gone, seconds_until, settle_acceptance, step_quotas,
        tell_acceptance_released, usage,
    },
    report::Report,
    requests::{create_once, decision_of, part_of},
    retain,
};
use crate::{
    Context, Error,
    books::{OFFICE, lease_uid},
};

const SOON: Duration = Duration::from_secs(2);

/// One round of a tenancy whose end was asked for.
pub async fn advance(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    report.phase = Phase::Reclaiming;
    // what is late here is the department's use, which is billed until it ends
    nothing_late(state, context);
    let requested = requested(state, context, report).await?;
    report.reclaiming_since = Some(requested.in_zone(&state.policy.time_zone));
    let alive = namespaces::alive(state, context).await?;
    let known = context
        .books
        .namespaces(&state.department, &state.name, state.incarnation())
        .await?;
    if !known.is_empty() {
        // asking for the end is no rejection: what is still in place then counts as accepted at the promised instant
        settle_acceptance(state, context, report).await?;
        tell_acceptance_released(state, report);
    }
    let provisioned = state.view.effective().or(state.view.approved());
    let part = provisioned.map(part_of).transpose()?;
    if let Some(part) = &part {
        let items = items(state, part)?;
        report.approved.clone_from(&part.lease);
        usage(state, context, report, part, &items);
        stop(state, context, report, part, &items, &alive).await?;
    }
    for document in known.values() {
        report.namespaces.push(NamespaceStatus {
            name: document.name.clone(),
            uid: Some(document.uid.clone()),
            ready: false,
            message: Some("kept until the release is approved and the grace is over".to_owned()),
            ..NamespaceStatus::default()
        });
    }
    describe_volumes(state, context, &mut report.namespaces);
    if known.is_empty() {
        return released(state, context, report, part.as_ref()).await;
    }
    let approved = approved(state, context, report).await?;
    let due = requested.plus(i64::from(state.policy_object.spec.release.grace_seconds));
    if !approved {
        return Ok(());
    }
    if due > state.now {
        report.wait(format!(
            "released, and the namespaces deleted, after the grace period at {}",
            due.in_zone(&state.policy.time_zone)
        ));
        report.look_again(seconds_until(due, state.now));
        return Ok(());
    }
    if !retain::before_deletion(state, context, report, &known).await? {
        report.look_again(SOON);
        return Ok(());
    }
    delete_namespaces(state, context, report, &known).await
}

/// Records the wish to end the tenancy, once.
async fn requested(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<Second, Error> {
    let known = state
        .view
        .release
        .iter()
        .find(|d| d.stage == ReleaseStage::Requested);
    if let Some(document) = known {
        return Ok(document.at);
    }
    let document = ReleaseDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        stage: ReleaseStage::Requested,
        requested_by: state.requested_by(),
        at: state.now,
    };
    let document = context.books.ensure(&document, state.now).await?;
    report.happened(
        state,
        &document.requested_by,
        "asked to release the tenancy",
    );
    state.refresh(context).await?;
    Ok(document.at)
}

fn items(state: &State, part: &ApprovedPart) -> Result<Items, Error> {
    state.items(part).map_err(|refusals| {
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        Error::understand("the items of the approved lease", text.join("; "))
    })
}

/// Growth stops at once. Compute is billed until nothing runs any more, storage until it is removed; what runs and is not
/// billed is ended (`unpaid`).
async fn stop(
    state: &State,
    context: &Context,
    report: &mut Report,
    part: &ApprovedPart,
    items: &Items,
    alive: &[String],
) -> Result<(), Error> {
    let lease = quota::lease_hard(part, items)
        .map_err(|refusal| Error::understand("the approved lease", refusal))?;
    let identity = identity(state, items);
    let mut desired: BTreeMap<String, Hard> = BTreeMap::new();
    let mut idle = true;
    for short in alive {
        let plan = NamespacePlan::new(identity.clone(), short, Hard::new());
        contents::fence(state, context, &plan, false).await?;
        let Some(standing) = context
            .world
            .quotas
            .get(Some(&plan.name), names::QUOTA_NAME)
        else {
            idle = false;
            continue;
        };
        let standing = observed_quota(&standing);
        idle &= standing
            .used
            .iter()
            .all(|(key, used)| !is_compute(key) || *used == 0);
        desired.insert(short.clone(), without_compute(&standing.spec_hard));
    }
    let step = step_quotas(context, &identity, &lease, &desired, &[], true).await?;
    if !step.settled {
        report.look_again(SOON);
        return Ok(());
    }
    if idle {
        return close_items(state, context, part, |category| {
            !matches!(category, Category::Storage | Category::Backup)
        })
        .await;
    }
    let told = if is_billed(state, context).await? {
        "workloads still run and are billed until they end; remove them"
    } else {
        "workloads still run and nobody pays for them; they are ended"
    };
    report.wait(told);
    Ok(())
}

/// Whether a quota key counts what runs.
fn is_compute(key: &str) -> bool {
    quota::is_leased(key) && !key.ends_with("requests.storage")
}

/// The quota with nothing left to run on: storage stays, everything else that is leased goes to zero, and so do pods.
fn without_compute(hard: &Hard) -> Hard {
    hard.iter()
        .map(|(key, amount)| {
            let stays = !is_compute(key) && key != quota::PODS;
            (key.clone(), if stays { *amount } else { 0 })
        })
        .collect()
}

/// Ends the billing of the items that the test holds for, where it has not ended yet.
async fn close_items(
    state: &State,
    context: &Context,
    part: &ApprovedPart,
    ends: impl Fn(Category) -> bool,
) -> Result<(), Error> {
    let open = context
        .books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await?;
    let items = items(state, part)?;
    let stays: BTreeMap<String, i64> = open
        .iter()
        .filter(|(item, _)| items.get(*item).is_some_and(|found| !ends(found.category)))
        .map(|(item, held)| (item.clone(), held.quantity))
        .collect();
    if stays.len() == open.len() {
        return Ok(());
    }
    let request = state.view.effective().map_or(0, |request| request.request);
    let lease = lease_context(state, context, part).await?;
    let cause = LeaseCause::Release {
        last_request: request,
    };
    let facts = lease_facts::lease_facts(&lease, &open, &stays, cause, context.now());
    context
        .books
        .commit(facts.into_iter().map(Record::from).collect(), state.now)
        .await?;
    Ok(())
}

/// Whether the office has approved the release; writes the undecided Approval if it is not there.
async fn approved(state: &State, context: &Context, report: &mut Report) -> Result<bool, Error> {
    let attempt = state.tenancy.spec.request.attempt;
    let life = lease_uid(&state.department, &state.name, state.incarnation());
    let subject = format!("{life}/{attempt}");
    if let Some(decision) = context.books.decision("Release", &subject, OFFICE).await? {
        note(state, context, &decision).await?;
        if decision.decision == Decision::Approved {
            return Ok(true);
        }
        report.refuse_release(&decision.reason, &decision.decided_by);
        return Ok(false);
    }
    let requested = state
        .view
        .release
        .iter()
        .find(|d| d.stage == ReleaseStage::Requested);
    let Some(requested) = requested else {
        return Ok(false);
    };
    let reason = state
        .tenancy
        .spec
        .release
        .as_ref()
        .map_or("", |release| release.reason.as_str());
    let wanted = approval::release_approval(
        requested,
        &state.tenancy.metadata.uid.clone().unwrap_or_default(),
        &state.organisation.spec.display_name,
        reason,
        attempt,
    )
    .map_err(|error| Error::understand("the approval to be written", error))?;
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let Some(found) = context.world.approvals.get(Some(&state.office()), &name) else {
        create_once(context, &wanted).await?;
        report.wait(format!(
            "the release waits for the office: leasehold approve {name} -n {}",
            state.office()
        ));
        return Ok(false);
    };
    let Some(decision) = decision_of(&found, &wanted.spec.subject) else {
        report.wait(format!(
            "the release waits for the office: leasehold approve {name} -n {}",
            state.office()
        ));
        return Ok(false);
    };
    let decision = DecisionDoc {
        subject_kind: "Release".to_owned(),
        subject,
        role: OFFICE.to_owned(),
        approval_uid: found.metadata.uid.clone(),
        department: Some(state.department.clone()),
        at: state.now,
        ..decision
    };
    let decision = context.books.ensure(&decision, state.now).await?;
    answers::recorded(context, &found, &decision).await?;
    report.happened(
        state,
        &decision.decided_by,
        &format!("release {:?}", decision.decision),
    );
    Ok(decision.decision == Decision::Approved)
}

/// Notes on the approval of the release that its decision is recorded, if the operator died before it did.
async fn note(state: &State, context: &Context, decision: &DecisionDoc) -> Result<(), Error> {
    let office = state.office();
    let its = context.world.approvals.select(|found| {
        found.metadata.namespace.as_ref() == Some(&office)
            && found.metadata.uid == decision.approval_uid
    });
    for found in &its {
        answers::recorded(context, found, decision).await?;
    }
    Ok(())
}

async fn delete_namespaces(
    state: &State,
    context: &Context,
    report: &mut Report,
    known: &BTreeMap<String, NamespaceDoc>,
) -> Result<(), Error> {
    report.look_again(SOON);
    for (uid, document) in known {
        let found = context.kit.get::<Namespace>(None, &document.name).await?;
        match found {
            Some(found) if found.metadata.uid.as_deref() == Some(uid) => {
                if found.metadata.deletion_timestamp.is_none() {
                    context
                        .kit
                        .delete::<Namespace>(None, &document.name, uid)
                        .await?;
                }
                report.wait(format!("namespace {} is being deleted", document.name));
            }
            Some(_) | None => record_gone(state, context, uid).await?,
        }
    }
    Ok(())
}

/// Nothing is left: the last items end, and the name is free for a new tenancy.
async fn released(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    part: Option<&ApprovedPart>,
) -> Result<(), Error> {
    if let Some(part) = part {
        close_items(state, context, part, |_| true).await?;
    }
    let document = ReleaseDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        stage: ReleaseStage::Released,
        requested_by: state.requested_by(),
        at: state.now,
    };
    context.books.ensure(&document, state.now).await?;
    // with nothing left, nothing is accepted by itself any more
    context.leases.settled(&state.department, &state.name);
    report.phase = Phase::Released;
    report.happened(state, "leasehold", "released");
    drifts::forget(state, context);
    state.refresh(context).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_takes_compute_and_pods_at_once_and_leaves_storage() {
        let hard = Hard::from([
            ("requests.cpu".to_owned(), 8000),
            ("limits.memory".to_owned(), 1 << 30),
            ("requests.nvidia.com/gpu".to_owned(), 2),
            ("pods".to_owned(), 64),
            ("requests.storage".to_owned(), 5),
            (
                "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                5,
            ),
            ("configmaps".to_owned(), 200),
        ]);
        let left: Vec<(String, i64)> = without_compute(&hard)
            .into_iter()
            .filter(|(_, amount)| *amount > 0)
            .collect();
        assert_eq!(
            left,
            [
                ("configmaps".to_owned(), 200),
                ("requests.storage".to_owned(), 5),
                (
                    "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                    5
                ),
            ]
        );
    }
}
