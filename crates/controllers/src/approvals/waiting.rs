//! How many questions wait for a decision, and how many of them are overdue.

use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use leasehold_api::charging::DecisionRole;
use leasehold_kit::Shutdown;

use super::deadline::{is_open, is_overdue};
use crate::{
    Context,
    books::{FINANCE, OFFICE},
};

/// Changes are counted this late, so that many of them are counted once.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Counts, and counts again whenever something changes: also when a question goes, of which no controller hears.
pub async fn count(context: Context, shutdown: Shutdown) {
    let changes = context.world.approvals.changes();
    // a cache that ended must not make the loop spin
    let mut changes = changes.chain(stream::pending()).boxed();
    loop {
        tell(&context);
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            _ = changes.next() => {}
        }
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = tokio::time::sleep(DEBOUNCE) => {}
        }
        while changes.next().now_or_never().is_some() {}
    }
}

fn tell(context: &Context) {
    let open = context.world.approvals.select(is_open);
    let roles = [
        (DecisionRole::Office, OFFICE),
        (DecisionRole::Finance, FINANCE),
    ];
    for (role, name) in roles {
        let all = open.iter().filter(|found| found.spec.role == role);
        let overdue = all.clone().filter(|found| is_overdue(found)).count();
        context.measures.approvals(name, all.count(), overdue);
    }
}
