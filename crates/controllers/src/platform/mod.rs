//! The platform's own kinds: the policy, the network zones, the cloudlets and the suspensions.
//!
//! None of their reconcilers changes anything in the cluster. They check what people wrote, remember in the ledger what
//! bills depend on, and say in the status what is missing. What an order of the office stops, the tenancy's reconciler
//! stops.

mod capacity;
mod cloud_policy;
mod cloudlet;
mod ledger;
mod network_zone;
mod suspension;

use futures::future;

use leasehold_kit::Shutdown;

use crate::Context;

pub use ledger::tell_of_ledger;

/// Runs the controllers of the platform's kinds until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    future::join4(
        Box::pin(cloud_policy::run(context.clone(), shutdown.clone())),
        Box::pin(network_zone::run(context.clone(), shutdown.clone())),
        Box::pin(suspension::run(context.clone(), shutdown.clone())),
        Box::pin(cloudlet::run(context, shutdown)),
    )
    .await;
}
