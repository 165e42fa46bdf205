//! Hardware for credit: assessed, claimed, put to finance, credited once.
//!
//! A contribution carries no money. What it is worth stands in the ledger alone: the claims of its serials, finance's
//! decision, and the lot that both led to. The object can be changed or deleted; a granted credit stays.

mod claim;
mod credit;
mod observe;
mod phase;
mod round;

use std::sync::Arc;

use futures::{Stream, stream::BoxStream};
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::tenancy::{ContributionPhase, HardwareContribution, HardwareContributionStatus};
use leasehold_kit::{
    EventType, Shutdown,
    cache::{Cache, Changed},
};

use self::{
    phase::Facts,
    round::{Found, Round},
};
use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// Findings that a status holds.
const FINDINGS: usize = 100;

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.contributions.clone();
    wake::run("hardware", context, own, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<HardwareContribution>> {
    let own = &world.contributions;
    wake::any(vec![
        wake::named(own, world.approvals.changes(), of_approval),
        neighbours(own, world.appraisals.changes()),
        neighbours(own, world.receipts.changes()),
        neighbours(own, world.systems.changes()),
        wake::every(own, world.nodes.changes(), is_open),
        wake::every(own, world.contributions.changes(), is_open),
        wake::every(own, world.periods.changes(), is_credited),
        wake::every(own, world.policies.changes(), |_| true),
    ])
}

/// Contributions of the namespace in which something changed.
fn neighbours(
    cache: &Cache<HardwareContribution>,
    changes: impl Stream<Item = Option<Arc<Changed>>> + Send + 'static,
) -> BoxStream<'static, Ref<HardwareContribution>> {
    let contributions = cache.clone();
    wake::named(cache, changes, move |changed| {
        let found = contributions.select(|found| found.metadata.namespace == changed.namespace);
        found.iter().map(wake::reference).collect()
    })
}

/// The contribution that finance's approval of this name decides on.
fn of_approval(changed: &Changed) -> Vec<Ref<HardwareContribution>> {
    let name = changed
        .name
        .strip_prefix("hwc-")
        .and_then(|rest| rest.strip_suffix("-finance"));
    match (name, &changed.namespace) {
        (Some(name), Some(namespace)) => {
            vec![Ref::<HardwareContribution>::new(name).within(namespace)]
        }
        _ => Vec::new(),
    }
}

fn phase_of(object: &HardwareContribution) -> ContributionPhase {
    object
        .status
        .as_ref()
        .map_or(ContributionPhase::Offered, |status| status.phase)
}

fn is_credited(object: &HardwareContribution) -> bool {
    phase_of(object) == ContributionPhase::Credited
}

/// Whether something outside can still bring the contribution on.
fn is_open(object: &HardwareContribution) -> bool {
    matches!(
        phase_of(object),
        ContributionPhase::Offered
            | ContributionPhase::Refused
            | ContributionPhase::WaitingForFinance
    )
}

async fn reconcile(object: Arc<HardwareContribution>, context: Context) -> Result<Action, Error> {
    let found = look(&object, &context).await?;
    let old = object.status.clone().unwrap_or_default();
    let phase = phase::phase(found.facts);
    let mut findings = found.findings;
    if phase == ContributionPhase::Credited && findings.is_empty() {
        // devices that dropped out before the credit are not assessed again, and stay told
        findings.clone_from(&old.findings);
    }
    findings.truncate(FINDINGS);
    let mut new = HardwareContributionStatus {
        observed_generation: object.metadata.generation,
        phase,
        findings,
        approval: found.approval.or_else(|| old.approval.clone()),
        credit: found.credit,
        conditions: old.conditions.clone(),
    };
    let now = context.now().timestamp();
    found
        .verdict
        .write(&mut new.conditions, object.metadata.generation, now);
    if new != old {
        if new.phase != old.phase || object.status.is_none() {
            tell(&object, new.phase, &found.verdict, &context).await;
        }
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    Ok(wake::later())
}

async fn tell(
    object: &HardwareContribution,
    phase: ContributionPhase,
    verdict: &Verdict,
    context: &Context,
) {
    let type_ = match phase {
        ContributionPhase::Refused | ContributionPhase::Rejected => EventType::Warning,
        ContributionPhase::Offered
        | ContributionPhase::WaitingForFinance
        | ContributionPhase::Credited
        | ContributionPhase::Withdrawn => EventType::Normal,
    };
    let (_, note) = verdict.summary();
    context
        .kit
        .event(object, type_, &format!("{phase:?}"), "Assess", note)
        .await;
}

async fn look(object: &HardwareContribution, context: &Context) -> Result<Found, Error> {
    let (spec, policy) = match context.world.valid_policy() {
        Ok(valid) => valid,
        Err(sentence) => return Ok(Found::waiting(sentence)),
    };
    let Some(offer) = observe::offer(object, &policy.time_zone) else {
        let namespace = object.namespace().unwrap_or_default();
        let mut found = Found {
            facts: Facts {
                refused: true,
                ..Facts::default()
            },
            ..Found::default()
        };
        found.refuse(
            "H20",
            format!(
                "asked in namespace {namespace}, allowed is the department's office namespace; apply it in dept-CODE"
            ),
        );
        return Ok(found);
    };
    let round = Round {
        offer,
        spec,
        policy,
        context,
    };
    if let Some(credit) = credit::read(&round.offer.id(), context).await? {
        return round.credited(credit).await;
    }
    if let Some(decision) = round.recorded().await?
        && !object.spec.withdrawn
    {
        return round.decided_before(&decision).await;
    }
    if object.spec.withdrawn {
        return round.withdrawn().await;
    }
    round.assessed().await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_approval_wakes_the_contribution_that_it_decides_on() {
        let changed = |name: &str| Changed {
            uid: None,
            namespace: Some("dept-gov-office".to_owned()),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            generation: Some(1),
            gone: false,
        };
        let expected = Ref::<HardwareContribution>::new("servers-2024").within("dept-gov-office");
        assert_eq!(
            of_approval(&changed("hwc-servers-2024-finance")),
            [expected]
        );
        assert!(of_approval(&changed("oa-1-office")).is_empty());
    }
}
