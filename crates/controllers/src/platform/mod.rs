//! The platform's own kinds: the policy, the network zones and the cloudlets.
//!
//! None of them leads to anything in the cluster. Their reconcilers check what people wrote, remember in the ledger
//! what bills depend on, and say in the status what is missing.

mod capacity;
mod cloud_policy;
mod cloudlet;
mod network_zone;

use futures::future;

use leasehold_kit::Shutdown;

use crate::Context;

/// Runs the controllers of the platform's kinds until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    future::join3(
        Box::pin(cloud_policy::run(context.clone(), shutdown.clone())),
        Box::pin(network_zone::run(context.clone(), shutdown.clone())),
        Box::pin(cloudlet::run(context, shutdown)),
    )
    .await;
}
