//! What goes into a namespace: limit range and network policy at any time; rights and volumes when the quota stands.

use futures::future::join;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use leasehold_api::names;
use leasehold_planner::{
    objects::{self, FORMER_NETWORK_POLICIES, NamespacePlan, ROLE_BINDINGS},
    request::Items,
    rules::Refusal,
    volumes::{Growth, class_of, growth},
};

use super::{
    super::{observe::State, snapshots},
    volumes::tried,
};
use crate::{
    Context, Error,
    drift::{self, Owner},
};

/// What was found when a namespace was filled.
#[derive(Default)]
pub struct Found {
    /// Something is missing; each sentence says what.
    pub waits: Vec<String>,
    /// Rules that are broken.
    pub refused: Vec<Refusal>,
}

impl Found {
    /// Whether everything is in place.
    pub fn is_complete(&self) -> bool {
        self.waits.is_empty() && self.refused.is_empty()
    }

    /// Something is missing.
    pub(super) fn waits(sentence: String) -> Self {
        Self {
            waits: vec![sentence],
            ..Self::default()
        }
    }

    /// A rule is broken.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            refused: vec![refusal],
            ..Self::default()
        }
    }
}

/// Puts into place what may be there before the quota stands: the limit range and the network policy, which bound
/// what others may do and give nobody anything. What caches show in one that is new was in another of its name.
pub async fn furnish(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    is_new: bool,
) -> Result<Found, Error> {
    let defaults = &state.policy_object.spec.container_defaults;
    let range = match objects::limit_range(plan, defaults, &plan.hard) {
        Ok(range) => range,
        Err(refusal) => return Ok(Found::refused(refusal)),
    };
    let ranges = &context.world.limit_ranges;
    let current = ranges.get(Some(&plan.name), &range.name_any());
    let current = current.filter(|_| !is_new);
    let (bounded, shielded) = join(
        drift::keep(context, &range, current.as_ref()),
        shield(state, context, plan, is_new),
    )
    .await;
    bounded?;
    shielded?;
    Ok(Found::default())
}

/// Lets people in: rights and volumes, which are first given when the quota stands. Only for a namespace that is
/// furnished.
pub async fn admit(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    items: &Items,
    settled: bool,
) -> Result<Found, Error> {
    // just made: nothing is in it that could be looked after, and nothing may come yet
    if !settled && !context.world.namespaces.has(None, &plan.name) {
        return Ok(is_set_up(plan));
    }
    rights(state, context, plan, settled).await?;
    volumes(state, context, plan, items, settled).await
}

/// It was made a moment ago, and nobody is let in yet.
pub fn is_set_up(plan: &NamespacePlan) -> Found {
    Found::waits(format!("namespace {} is being set up", plan.name))
}

/// Its own labels, network policy and rights: what a namespace must have as long as it exists, also when the manifest
/// no longer names it.
pub async fn fence(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    settled: bool,
) -> Result<(), Error> {
    let standing = context.world.namespaces.get(None, &plan.name);
    if let Some(standing) = standing.filter(|found| found.metadata.deletion_timestamp.is_none()) {
        drift::keep(context, &objects::namespace(plan), Some(&standing)).await?;
    }
    shield(state, context, plan, false).await?;
    rights(state, context, plan, settled).await
}

fn owner(plan: &NamespacePlan) -> Owner {
    Owner::tenancy(&plan.identity.department, &plan.identity.tenancy)
}

/// The network policy, as the zone describes it. What stood for it in former times goes once it is seen to stand.
async fn shield(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    is_new: bool,
) -> Result<(), Error> {
    let place = Some(plan.name.as_str());
    let world = &context.world;
    let policy = objects::network_policy(plan, &state.zone.spec);
    if is_new {
        return drift::keep(context, &policy, None).await;
    }
    let current = world.network_policies.get(place, &policy.name_any());
    drift::keep(context, &policy, current.as_ref()).await?;
    if current.is_none() {
        // its arrival wakes the tenancy
        return Ok(());
    }
    for name in FORMER_NETWORK_POLICIES {
        let standing = world.network_policies.get(place, name);
        drift::remove(context, &owner(plan), standing).await?;
    }
    Ok(())
}

/// Rights: first given when the quota stands, and taken away at any time.
async fn rights(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    settled: bool,
) -> Result<(), Error> {
    let place = Some(plan.name.as_str());
    let world = &context.world;
    let bindings = objects::role_bindings(plan, &state.tenancy.spec.members);
    for binding in &bindings {
        let mut current = world.role_bindings.get(place, &binding.name_any());
        let stands = current.is_some();
        // the role of a binding cannot change: one that gives another was made by somebody else
        let other = current.take_if(|found| found.role_ref != binding.role_ref);
        drift::remove(context, &owner(plan), other).await?;
        if settled || stands {
            drift::keep(context, binding, current.as_ref()).await?;
        }
    }
    for name in ROLE_BINDINGS {
        let kept = bindings.iter().any(|binding| binding.name_any() == name);
        if !kept {
            let standing = world.role_bindings.get(place, name);
            drift::remove(context, &owner(plan), standing).await?;
        }
    }
    Ok(())
}

/// Named volumes: made once the quota stands, grown when asked, never shrunk and never taken from somebody else. What
/// fails concerns the volume alone.
async fn volumes(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    items: &Items,
    settled: bool,
) -> Result<Found, Error> {
    let mut shares = state.tenancy.spec.namespaces.iter();
    let Some(share) = shares.find(|share| share.name.as_str() == plan.short) else {
        return Ok(Found::default());
    };
    let wanted = match objects::volumes(plan, &share.volumes, items) {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Found::refused(refusal)),
    };
    let mut found = Found::default();
    for (claim, named) in wanted.into_iter().zip(&share.volumes) {
        let class = Some(class_of(&claim));
        if let Some(refusal) = snapshots::refused(context, &plan.name, named, class) {
            found.refused.push(refusal);
            continue;
        }
        let one = volume(context, plan, &claim, settled).await?;
        found.waits.extend(one.waits);
        found.refused.extend(one.refused);
    }
    Ok(found)
}

/// One volume, or why it is not as it is wanted.
async fn volume(
    context: &Context,
    plan: &NamespacePlan,
    claim: &PersistentVolumeClaim,
    settled: bool,
) -> Result<Found, Error> {
    let name = claim.name_any();
    let place = Some(plan.name.as_str());
    let known = match context.world.claims.get(place, &name) {
        Some(known) => Some(known),
        None => {
            context
                .kit
                .get::<PersistentVolumeClaim>(place, &name)
                .await?
        }
    };
    let Some(known) = known else {
        if !settled {
            return Ok(Found::waits(its_quota(plan, &name)));
        }
        let outcome = context.kit.create(claim).await.map(|_| ());
        return tried(context, claim, None, outcome);
    };
    if known.labels().get(names::MANAGED_LABEL) != claim.labels().get(names::MANAGED_LABEL) {
        let refusal = Refusal::new(
            "T30",
            format!("a volume {name} in {}", plan.name),
            "a name that no other claim in the namespace has",
            "remove that claim or choose another name in spec.namespaces",
        );
        return Ok(Found::waits(refusal.to_string()));
    }
    let class = context.world.storage_classes.get(None, class_of(&known));
    match growth(claim, &known, class.as_ref()) {
        Growth::Stands => Ok(Found::default()),
        Growth::Refused(refusal) => Ok(Found::refused(refusal)),
        Growth::Grows if !settled => Ok(Found::waits(its_quota(plan, &name))),
        Growth::Grows => {
            let outcome = context.kit.apply_if_changed(claim, Some(&known)).await;
            tried(context, claim, Some(&known), outcome.map(|_| ()))
        }
    }
}

fn its_quota(plan: &NamespacePlan, volume: &str) -> String {
    format!("volume {volume} in {} waits for its quota", plan.name)
}
