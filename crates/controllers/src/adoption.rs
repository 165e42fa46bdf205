//! What is in a namespace that somebody wants adopted, as the API server shows it.

use leasehold_kit::{Kit, KitError};
use leasehold_planner::adoption::Contents;

/// Reads what can stand in the way of an adoption. Nothing of it is in a cache: the namespace is not ours.
///
/// One list after the other, because it happens once in the life of a namespace.
pub async fn contents(kit: &Kit, namespace: &str) -> Result<Contents, KitError> {
    let place = Some(namespace);
    Ok(Contents {
        quotas: kit.list(place, None).await?,
        limit_ranges: kit.list(place, None).await?,
        role_bindings: kit.list(place, None).await?,
        network_policies: kit.list(place, None).await?,
        pods: kit.list(place, None).await?,
        claims: kit.list(place, None).await?,
        services: kit.list(place, None).await?,
        ingresses: kit.list(place, None).await?,
    })
}
