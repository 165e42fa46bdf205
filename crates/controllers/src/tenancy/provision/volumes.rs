//! Named volumes: what the API server said of one, and how each stands.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use leasehold_api::{names, tenancy::NamespaceStatus};
use leasehold_kit::KitError;
use leasehold_planner::volumes::{class_of, over_quota, standing};

use super::{super::observe::State, contents::Found, quotas};
use crate::{Context, Error};

/// A refusal of the API server becomes a sentence, with the numbers where the quota is in the way; anything else is an
/// error.
pub fn tried(
    context: &Context,
    wanted: &PersistentVolumeClaim,
    known: Option<&PersistentVolumeClaim>,
    outcome: Result<(), KitError>,
) -> Result<Found, Error> {
    let error = match outcome {
        Ok(()) => return Ok(Found::default()),
        Err(error) => error,
    };
    if !(error.is_forbidden() || error.is_invalid() || error.is_already_exists()) {
        return Err(error.into());
    }
    let place = wanted.namespace().unwrap_or_default();
    let quota = context.world.quotas.get(Some(&place), names::QUOTA_NAME);
    let refusal = quota
        .filter(|_| error.is_forbidden())
        .and_then(|quota| over_quota(wanted, known, &quotas::observed(&quota)));
    if let Some(refusal) = refusal {
        return Ok(Found::refused(refusal));
    }
    let name = wanted.name_any();
    let why = error.message().unwrap_or("no reason was given");
    Ok(Found::waits(format!(
        "volume {name} in {place} cannot be made or grown: {why}"
    )))
}

/// Says of each namespace how the volumes stand that the manifest names in it.
pub fn describe(state: &State, context: &Context, namespaces: &mut [NamespaceStatus]) {
    let world = &context.world;
    for share in &state.tenancy.spec.namespaces {
        let place = names::tenancy_namespace(&state.department, &share.name);
        let Some(status) = namespaces.iter_mut().find(|status| status.name == place) else {
            continue;
        };
        let volumes = share.volumes.iter().map(|volume| {
            let claim = world.claims.get(Some(&place), &volume.name);
            let class = claim.as_ref().and_then(|claim| {
                let class = class_of(claim);
                world.storage_classes.get(None, class)
            });
            standing(volume, claim.as_ref(), class.as_ref())
        });
        status.volumes = volumes.collect();
    }
}

#[cfg(test)]
mod kept;
#[cfg(test)]
mod tests;
