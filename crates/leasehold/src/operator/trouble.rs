//! How the ledger's database does, told to whoever watches the operator.

use std::{sync::Arc, time::Duration};

use leasehold_controllers::{Context, Measures, World, platform};
use leasehold_kit::Kit;
use leasehold_store::Troubles;
use tokio::{task::JoinSet, time::sleep};

/// How often it is looked at: often enough for a monitor that asks every few seconds.
const LOOK: Duration = Duration::from_secs(1);

/// Tells troubles until what it gives is dropped. It holds no ledger, whose lock would stay with it.
pub(super) fn tell(troubles: &Troubles, context: &Context) -> JoinSet<()> {
    let mut telling = JoinSet::new();
    telling.spawn(by_metric(troubles.clone(), context.measures.clone()));
    let world = Arc::clone(&context.world);
    telling.spawn(on_the_policy(troubles.clone(), context.kit.clone(), world));
    telling
}

/// Tells troubles by a metric, and in the log when they begin and end. Never ends.
async fn by_metric(troubles: Troubles, measures: Measures) {
    let (mut was_told, mut damage_was_told) = (false, false);
    loop {
        // before what is told: damage comes first there
        let is_damaged = troubles.is_damaged();
        let trouble = troubles.now();
        measures.ledger_trouble(trouble.is_some());
        match &trouble {
            Some(trouble) if is_damaged && !damage_was_told => {
                tracing::error!(
                    trouble,
                    "the ledger is damaged, which is told until this process ends"
                );
                damage_was_told = true;
            }
            Some(trouble) if !was_told => {
                tracing::warn!(
                    trouble,
                    "the ledger's database is in trouble; nothing is lost"
                );
            }
            None if was_told => tracing::info!("the ledger's database is well again"),
            Some(_) | None => {}
        }
        was_told = trouble.is_some();
        sleep(LOOK).await;
    }
}

/// Tells them on the policy, beside the metric, which must not wait for an API server. Never ends.
async fn on_the_policy(troubles: Troubles, kit: Kit, world: Arc<World>) {
    loop {
        // refused when the policy's own status was written meanwhile: it is looked at again in a moment
        if let Err(error) = platform::tell_of_ledger(&kit, &world, &troubles).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "how the ledger does is not told on the policy yet");
        }
        sleep(LOOK).await;
    }
}
