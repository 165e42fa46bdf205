//! Taking in a namespace that was there before: where the platform asks for it, and nothing in it goes past a lease.
//!
//! It is looked through, closed to others by the label of its role (rule N01 goes by it), looked through again, and then
//! taken or opened again: what is made in between would be there for good. Until it carries all our labels it is in no
//! cache of ours and in no ledger, so that whatever stops us half-way leaves a namespace that is not ours.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use leasehold_api::names::{ADOPT_ANNOTATION, MANAGED_LABEL, ROLE_LABEL, ROLE_TENANCY};
use leasehold_ledger::book::Basis;
use leasehold_planner::{
    adoption::{self, Leased, Wanted},
    objects::{self, NamespacePlan},
    request::Asked,
    rules::Refusal,
};

use super::super::observe::State;
use crate::{Context, Error, adoption::contents};

/// A namespace that is in the way is looked at again after so long: whoever clears it changes what we do not watch.
pub const AGAIN: Duration = Duration::from_secs(15);

/// What the tenancy's history says of an adoption.
pub fn told(name: &str) -> String {
    format!("namespace {name} was adopted, as its annotation {ADOPT_ANNOTATION} asks")
}

/// Takes the namespace in, and gives its uid; or says why it is not taken.
pub async fn consider(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    found: &Namespace,
) -> Result<Result<String, String>, Error> {
    if !adoption::is_asked_for(found, &state.department, &state.name) {
        reopen(context, plan, found).await?;
        return Ok(Err(not_taken(state, plan, found)));
    }
    if let Some(refusal) = in_the_way(state, context, plan, found).await? {
        reopen(context, plan, found).await?;
        return Ok(Err(refusal.to_string()));
    }
    if let Some(why) = context.fences.closed(&context.kit).await {
        reopen(context, plan, found).await?;
        return Ok(Err(format!("namespace {}: {why}", plan.name)));
    }
    // under this uid or not at all: the name may have gone over to another namespace meanwhile
    let mut closed = bare(plan, found);
    closed.metadata.labels = Some(BTreeMap::from([(
        ROLE_LABEL.to_owned(),
        ROLE_TENANCY.to_owned(),
    )]));
    let closed = context.kit.apply(&closed).await?;
    let refusal = if adoption::is_asked_for(&closed, &state.department, &state.name) {
        let refusal = in_the_way(state, context, plan, &closed).await?;
        refusal.map(|refusal| refusal.to_string())
    } else {
        Some(not_taken(state, plan, &closed))
    };
    if let Some(refusal) = refusal {
        context.kit.apply(&bare(plan, found)).await?;
        return Ok(Err(refusal));
    }
    let mut desired = objects::namespace(plan);
    desired.metadata.uid.clone_from(&found.metadata.uid);
    let taken = context.kit.apply(&desired).await?;
    tracing::info!(namespace = plan.name, tenancy = state.name, "adopted");
    Ok(Ok(taken.metadata.uid.unwrap_or_default()))
}

/// Opens one again that an earlier life of ours had closed when it ended, and that is not taken after all. One that is
/// offered to another tenancy may be closed for that one.
async fn reopen(context: &Context, plan: &NamespacePlan, found: &Namespace) -> Result<(), Error> {
    let identity = &plan.identity;
    let is_closed = found.labels().get(ROLE_LABEL).map(String::as_str) == Some(ROLE_TENANCY)
        && !found.labels().contains_key(MANAGED_LABEL);
    let is_anothers = found.annotations().contains_key(ADOPT_ANNOTATION)
        && !adoption::is_asked_for(found, &identity.department, &identity.tenancy);
    if is_closed && !is_anothers {
        context.kit.apply(&bare(plan, found)).await?;
    }
    Ok(())
}

/// The namespace without anything of ours: applied, it takes away what was applied before.
fn bare(plan: &NamespacePlan, found: &Namespace) -> Namespace {
    let mut bare = Namespace::default();
    bare.metadata.name = Some(plan.name.clone());
    bare.metadata.uid.clone_from(&found.metadata.uid);
    bare
}

/// What stands in the way now.
async fn in_the_way(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
    found: &Namespace,
) -> Result<Option<Refusal>, Error> {
    let wanted = Wanted {
        members: &state.tenancy.spec.members,
        pod_security: plan.identity.pod_security,
        zone: &state.zone.spec,
        leased: Some(Leased {
            plan,
            metered: is_metered(state),
        }),
    };
    let contents = contents(&context.kit, &plan.name).await?;
    let findings = adoption::findings(found, &contents, &wanted);
    Ok(adoption::refusal(&plan.name, &findings))
}

/// Whether anything that was ever approved for the tenancy is billed by use.
fn is_metered(state: &State) -> bool {
    let parts = state
        .approved()
        .filter_map(|request| Asked::read(request).ok());
    let mut items = parts.filter_map(|asked| state.items(&asked.part).ok());
    items.any(|items| items.values().any(|item| item.basis == Basis::Metered))
}

/// Why a namespace that nobody offered is not taken. One that is another tenancy's can never be.
fn not_taken(state: &State, plan: &NamespacePlan, found: &Namespace) -> String {
    let labels = found.metadata.labels.as_ref();
    let is_anothers = labels.is_some_and(|labels| labels.contains_key(MANAGED_LABEL));
    let name = &plan.name;
    let sentence = format!(
        "rule T32: namespace {name} exists and is not this tenancy's, so it is not taken; choose another name in spec.namespaces, or have the platform remove it"
    );
    if is_anothers {
        return sentence;
    }
    let tenancy = adoption::asked_for(&state.department, &state.name);
    format!("{sentence} or offer it (leasehold adopt {name} --tenancy {tenancy})")
}
