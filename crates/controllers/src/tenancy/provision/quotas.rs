//! Quotas, step by step: donors shrink, are seen to have shrunk, then receivers grow.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::names;
use leasehold_ledger::book::Item;
use leasehold_planner::{
    objects::{self, NamespaceIdentity, NamespacePlan},
    quota::{self, Hard, ObservedQuota, QuotaStep},
};

use crate::{Context, Error};

/// One step towards the desired quotas, planned on what the API server holds right now. Namespaces that are `kept` and
/// not desired give up what they lease and keep their bounds on objects.
pub async fn step_quotas(
    context: &Context,
    identity: &NamespaceIdentity,
    lease: &Hard,
    desired: &BTreeMap<String, Hard>,
    kept: &[String],
    force_zero: bool,
) -> Result<QuotaStep, Error> {
    let all: Vec<&String> = desired.keys().chain(kept).collect();
    let mut cached = BTreeMap::new();
    for short in all.iter().copied() {
        let namespace = names::tenancy_namespace(&identity.department, short);
        if let Some(found) = context
            .world
            .quotas
            .get(Some(&namespace), names::QUOTA_NAME)
        {
            cached.insert(short.clone(), observed(&found));
        }
    }
    let step = quota::quota_step(lease, desired, &cached, force_zero);
    if step.writes.is_empty() {
        return Ok(step);
    }
    // a cache may lag and show less than what stands: room is reckoned from fresh objects only
    let mut fresh = BTreeMap::new();
    for short in all {
        let namespace = names::tenancy_namespace(&identity.department, short);
        let found = context
            .kit
            .get::<ResourceQuota>(Some(&namespace), names::QUOTA_NAME)
            .await?;
        if let Some(found) = found {
            fresh.insert(short.clone(), observed(&found));
        }
    }
    let step = quota::quota_step(lease, desired, &fresh, force_zero);
    for (short, hard) in &step.writes {
        let plan = NamespacePlan::new(identity.clone(), short, hard.clone());
        context.kit.apply(&objects::quota(&plan, hard)).await?;
    }
    Ok(step)
}

/// A quota as it stands.
pub fn observed(found: &ResourceQuota) -> ObservedQuota {
    let spec = found.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = found.status.as_ref();
    ObservedQuota {
        spec_hard: spec.map(quota::parse).unwrap_or_default(),
        status_hard: status
            .and_then(|status| status.hard.as_ref())
            .map(quota::parse),
        used: status
            .and_then(|status| status.used.as_ref())
            .map(quota::parse)
            .unwrap_or_default(),
    }
}

/// The quota key under which the use of an item is counted, if it is.
pub fn usage_key(item: &Item) -> Option<String> {
    match (&item.storage_class, &item.resource) {
        (Some(class), _) => Some(format!(
            "{class}.storageclass.storage.k8s.io/requests.storage"
        )),
        (None, Some(resource)) => Some(format!("requests.{resource}")),
        (None, None) => None,
    }
}
