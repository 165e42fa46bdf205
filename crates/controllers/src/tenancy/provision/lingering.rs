//! What is left in a namespace that ends. Its quota may be gone long before its pods are: they end in the time that they ask
//! for, and run until then.

use std::collections::BTreeMap;

use futures::future::try_join;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use leasehold_api::names;
use leasehold_kit::KitError;
use leasehold_planner::quota::{self, Hard};

use super::namespaces::Standing;
use crate::{Context, Error};

/// The most that is still held in a namespace in which nothing new can be made.
async fn held(context: &Context, place: &str) -> Result<Hard, KitError> {
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

/// Raises what namespaces that end, or could not be read, are taken to hold to what is left in them: nothing grows into
/// that before they are gone. What cannot be told counts as all of the lease. Gives why the first of them could not.
pub async fn hold(
    context: &Context,
    department: &str,
    lease: &Hard,
    standing: &Standing,
    aside: &mut BTreeMap<String, Hard>,
) -> Option<Error> {
    let mut failed = None;
    for short in standing.ending.iter().chain(&standing.unsure) {
        let Some(gets) = aside.get_mut(short) else {
            continue;
        };
        let place = names::tenancy_namespace(department, short);
        let left = match held(context, &place).await {
            Ok(left) => left,
            Err(error) => {
                failed.get_or_insert(Error::from(error));
                lease.clone()
            }
        };
        for (key, amount) in left {
            let known = gets.entry(key).or_insert(0);
            *known = amount.max(*known);
        }
    }
    failed
}
