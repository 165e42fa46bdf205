//! What goes into a namespace: limit range, network policies, volumes; rights last, when the quota stands.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use leasehold_planner::{
    objects::{self, NamespacePlan, ROLE_BINDINGS},
    request::Items,
};

use super::super::{observe::State, report::Report};
use crate::{Context, Error};

/// Whether everything in the namespace is in place.
pub async fn ensure(
    state: &State,
    context: &Context,
    report: &mut Report,
    plan: &NamespacePlan,
    items: &Items,
    settled: bool,
) -> Result<bool, Error> {
    let world = &context.world;
    let place = Some(plan.name.as_str());
    if world.namespaces.get(None, &plan.name).is_none() {
        report.wait(format!("namespace {} is being set up", plan.name));
        return Ok(false);
    }
    let defaults = &state.policy_object.spec.container_defaults;
    match objects::limit_range(plan, defaults, &plan.hard) {
        Ok(range) => {
            let current = world.limit_ranges.get(place, &range.name_any());
            context
                .kit
                .apply_if_changed(&range, current.as_ref())
                .await?;
        }
        Err(refusal) => {
            report.refuse(&[refusal]);
            return Ok(false);
        }
    }
    for policy in objects::network_policies(plan, &state.zone.spec) {
        let current = world.network_policies.get(place, &policy.name_any());
        context
            .kit
            .apply_if_changed(&policy, current.as_ref())
            .await?;
    }
    if !volumes(state, context, report, plan, items).await? {
        return Ok(false);
    }
    if settled {
        rights(state, context, plan).await?;
    }
    Ok(true)
}

async fn volumes(
    state: &State,
    context: &Context,
    report: &mut Report,
    plan: &NamespacePlan,
    items: &Items,
) -> Result<bool, Error> {
    let share = state
        .tenancy
        .spec
        .namespaces
        .iter()
        .find(|share| share.name.as_str() == plan.short);
    let Some(share) = share else { return Ok(true) };
    let wanted = match objects::volumes(plan, &share.volumes, items) {
        Ok(wanted) => wanted,
        Err(refusal) => {
            report.refuse(&[refusal]);
            return Ok(false);
        }
    };
    for claim in wanted {
        let current = context
            .world
            .claims
            .get(Some(&plan.name), &claim.name_any());
        context
            .kit
            .apply_if_changed(&claim, current.as_ref())
            .await?;
    }
    Ok(true)
}

/// Bindings of the members' roles; those of a role that nobody has any more go.
async fn rights(state: &State, context: &Context, plan: &NamespacePlan) -> Result<(), Error> {
    let wanted = objects::role_bindings(plan, &state.tenancy.spec.members);
    for binding in &wanted {
        let current = context
            .world
            .role_bindings
            .get(Some(&plan.name), &binding.name_any());
        context
            .kit
            .apply_if_changed(binding, current.as_ref())
            .await?;
    }
    for name in ROLE_BINDINGS {
        let kept = wanted.iter().any(|binding| binding.name_any() == name);
        let standing = context.world.role_bindings.get(Some(&plan.name), name);
        if let (false, Some(uid)) = (kept, standing.and_then(|binding| binding.metadata.uid)) {
            context
                .kit
                .delete::<RoleBinding>(Some(&plan.name), name, &uid)
                .await?;
        }
    }
    Ok(())
}
