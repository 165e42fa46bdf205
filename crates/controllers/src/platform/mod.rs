//! The platform's own kinds: the policy, the network zones and the cloudlets.
//!
//! None of them leads to anything in the cluster. Their reconcilers check what people wrote, remember in the ledger
//! what bills depend on, and say in the status what is missing.

mod capacity;
mod cloud_policy;
mod cloudlet;
mod network_zone;
pub(crate) mod verdict;
pub(crate) mod wake;

use futures::{
    FutureExt,
    future::{self, BoxFuture},
};

use crate::Context;

/// Runs the controllers of the platform's kinds until the shutdown.
pub async fn run(context: Context, shutdown: BoxFuture<'static, ()>) {
    let shutdown = shutdown.shared();
    future::join3(
        Box::pin(cloud_policy::run(context.clone(), shutdown.clone())),
        Box::pin(network_zone::run(context.clone(), shutdown.clone())),
        Box::pin(cloudlet::run(context, shutdown)),
    )
    .await;
}
