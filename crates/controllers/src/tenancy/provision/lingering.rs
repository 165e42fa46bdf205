//! What is left in a namespace that ends. Its quota may be gone long before its pods are: they end in the time that they ask
//! for, and run until then.

use futures::future::try_join;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use leasehold_kit::KitError;
use leasehold_planner::quota::{self, Hard};

use crate::Context;

/// The most that is still held in a namespace in which nothing new can be made.
pub async fn held(context: &Context, place: &str) -> Result<Hard, KitError> {
    let kit = &context.kit;
    let (pods, claims) = try_join(
        kit.list::<Pod>(Some(place), None),
        kit.list::<PersistentVolumeClaim>(Some(place), None),
    )
    .await?;
    Ok(quota::lingering(&pods, &claims))
}

/// Whether a pod still runs in a namespace.
pub async fn runs(context: &Context, place: &str) -> Result<bool, KitError> {
    let pods: Vec<Pod> = context.kit.list(Some(place), None).await?;
    Ok(pods.iter().any(quota::runs))
}
