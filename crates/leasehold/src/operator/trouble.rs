//! How the ledger's database does, told to whoever watches the operator.

use std::time::Duration;

use leasehold_controllers::Measures;
use leasehold_store::Troubles;
use tokio::time::sleep;

/// How often it is looked at: often enough for a monitor that asks every few seconds.
const LOOK: Duration = Duration::from_secs(1);

/// Tells troubles by a metric, and in the log when they begin and end. Never ends.
pub(super) async fn tell(troubles: Troubles, measures: Measures) {
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
