//! What every reconciler is given.

use std::sync::Arc;

use leasehold_kit::Kit;
use leasehold_ledger::time::Second;

use crate::{
    books::Books, drift::Repairs, fences::Fences, figures::Figures, leases::Leases,
    measures::Measures, world::World,
};

/// Where the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator; approvals of price books live there, and its Lease.
    pub namespace: String,
    /// Name of this process, for the Lease.
    pub holder: String,
    /// So many facts of one list are held before they are committed, at least 1. Those of one object stay together.
    pub portion: usize,
}

impl Settings {
    /// The portion that the program takes: enough that a commit's own cost hardly counts, and little to hold.
    pub const PORTION: usize = 250;
}

/// What every reconciler is given.
#[derive(Clone)]
pub struct Context {
    /// The way to the API server, and the clocks.
    pub kit: Kit,
    /// The ledger.
    pub books: Books,
    /// Caches of the kinds that reconcilers read beside their own.
    pub world: Arc<World>,
    /// Charges so far and credit left.
    pub figures: Figures,
    /// Up to when the facts of leases are complete.
    pub leases: Leases,
    /// Metrics of metering and billing.
    pub measures: Measures,
    /// What others changed of what the operator keeps, and who keeps changing it.
    pub repairs: Repairs,
    /// Whether namespaces may be opened.
    pub fences: Fences,
    /// Where the operator runs.
    pub settings: Settings,
}

impl Context {
    /// Now, by the API server's clock, in whole seconds.
    pub fn now(&self) -> Second {
        Second::from_timestamp(self.kit.server_time().now())
    }
}
