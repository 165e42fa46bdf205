//! Caches of the kinds that reconcilers read beside their own.

use std::time::Duration;

use futures::future::join;
use k8s_openapi::api::{
    core::v1::{
        LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, ResourceQuota,
    },
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
    storage::v1::StorageClass,
};
use leasehold_api::{
    charging::{Appraisal, Approval, BillingPeriod, HandoverReceipt, PriceBook, Statement},
    names,
    platform::{CloudPolicy, CloudPolicySpec, Cloudlet, Meter, NetworkZone, Suspension},
    tenancy::{Department, HardwareContribution, InformationSystem, Tenancy},
};
use leasehold_kit::{
    Kit,
    cache::{Cache, NotReady, PackedCache, all_ready},
    rush::Rush,
};
use leasehold_ledger::policy::Policy;
use leasehold_planner::{
    convert::ledger_policy,
    snapshots::{VolumeSnapshotClass, VolumeSnapshotContent},
};
use tokio::task::JoinSet;

use crate::departments::Tree;

/// How long the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(60);
/// The same of kinds that a cluster may be without: nobody has to wait for them.
const OTHER_LISTS: Duration = Duration::from_secs(10);

/// Caches of the kinds that reconcilers read beside their own.
pub struct World {
    /// The policy.
    pub policies: Cache<CloudPolicy>,
    /// Clusters that carry tenancies.
    pub cloudlets: Cache<Cloudlet>,
    /// Network zones.
    pub zones: Cache<NetworkZone>,
    /// Orders that what runs in a tenancy stops.
    pub suspensions: Cache<Suspension>,
    /// Meters that are declared.
    pub meters: Cache<Meter>,
    /// Departments.
    pub departments: Cache<Department>,
    /// Departments under departments.
    pub tree: Tree,
    /// Tenancies that are being set up, each by its office namespace and its name: what merely adds them up waits meanwhile.
    pub rush: Rush<(String, String)>,
    /// Information systems.
    pub systems: Cache<InformationSystem>,
    /// Tenancies.
    pub tenancies: Cache<Tenancy>,
    /// Contributions of hardware.
    pub contributions: Cache<HardwareContribution>,
    /// Price books.
    pub price_books: Cache<PriceBook>,
    /// Approvals.
    pub approvals: Cache<Approval>,
    /// Appraisals.
    pub appraisals: Cache<Appraisal>,
    /// Receipts.
    pub receipts: Cache<HandoverReceipt>,
    /// Billing periods.
    pub periods: Cache<BillingPeriod>,
    /// Statements.
    pub statements: Cache<Statement>,
    /// Namespaces that the operator manages.
    pub namespaces: PackedCache<Namespace>,
    /// Quotas that the operator manages.
    pub quotas: PackedCache<ResourceQuota>,
    /// Limit ranges that the operator manages.
    pub limit_ranges: PackedCache<LimitRange>,
    /// Network policies that the operator manages.
    pub network_policies: PackedCache<NetworkPolicy>,
    /// Role bindings that the operator manages.
    pub role_bindings: PackedCache<RoleBinding>,
    /// Volume claims that the operator manages.
    pub claims: Cache<PersistentVolumeClaim>,
    /// Volumes that outlive their tenancy.
    pub volumes: Cache<PersistentVolume>,
    /// Nodes.
    pub nodes: Cache<Node>,
    /// Storage classes.
    pub storage_classes: Cache<StorageClass>,
    /// Classes of snapshots, where the cluster has such a kind.
    pub snapshot_classes: Cache<VolumeSnapshotClass>,
    /// Snapshots that outlive their tenancy, where the cluster has such a kind.
    pub snapshot_contents: Cache<VolumeSnapshotContent>,
}

impl World {
    /// Starts all caches and waits for their first lists.
    pub async fn start(kit: &Kit, tasks: &mut JoinSet<()>) -> Result<Self, NotReady> {
        let managed = format!("{}={}", names::MANAGED_LABEL, names::MANAGED_VALUE);
        let departments = Cache::start(kit, None, tasks);
        let world = Self {
            policies: Cache::start(kit, None, tasks),
            cloudlets: Cache::start(kit, None, tasks),
            zones: Cache::start(kit, None, tasks),
            suspensions: Cache::start(kit, None, tasks),
            meters: Cache::start(kit, None, tasks),
            tree: Tree::over(&departments),
            departments,
            rush: Rush::default(),
            systems: Cache::start(kit, None, tasks),
            tenancies: Cache::start(kit, None, tasks),
            contributions: Cache::start(kit, None, tasks),
            price_books: Cache::start(kit, None, tasks),
            approvals: Cache::start(kit, None, tasks),
            appraisals: Cache::start(kit, None, tasks),
            receipts: Cache::start(kit, None, tasks),
            periods: Cache::start(kit, None, tasks),
            statements: Cache::start(kit, None, tasks),
            namespaces: PackedCache::start(kit, Some(&managed), tasks),
            quotas: PackedCache::start(kit, Some(&managed), tasks),
            limit_ranges: PackedCache::start(kit, Some(&managed), tasks),
            network_policies: PackedCache::start(kit, Some(&managed), tasks),
            role_bindings: PackedCache::start(kit, Some(&managed), tasks),
            claims: Cache::start(kit, Some(&managed), tasks),
            volumes: Cache::start(kit, Some(&managed), tasks),
            nodes: Cache::start(kit, None, tasks),
            storage_classes: Cache::start(kit, None, tasks),
            snapshot_classes: Cache::start_where_served(kit, None, tasks),
            snapshot_contents: Cache::start_where_served(kit, Some(&managed), tasks),
        };
        let (ready, ()) = join(world.ready(), world.look_for_snapshots()).await;
        ready?;
        Ok(world)
    }

    async fn ready(&self) -> Result<(), NotReady> {
        all_ready(vec![
            Box::pin(self.policies.ready(FIRST_LISTS)),
            Box::pin(self.cloudlets.ready(FIRST_LISTS)),
            Box::pin(self.zones.ready(FIRST_LISTS)),
            Box::pin(self.suspensions.ready(FIRST_LISTS)),
            Box::pin(self.meters.ready(FIRST_LISTS)),
            Box::pin(self.departments.ready(FIRST_LISTS)),
            Box::pin(self.systems.ready(FIRST_LISTS)),
            Box::pin(self.tenancies.ready(FIRST_LISTS)),
            Box::pin(self.contributions.ready(FIRST_LISTS)),
            Box::pin(self.price_books.ready(FIRST_LISTS)),
            Box::pin(self.approvals.ready(FIRST_LISTS)),
            Box::pin(self.appraisals.ready(FIRST_LISTS)),
            Box::pin(self.receipts.ready(FIRST_LISTS)),
            Box::pin(self.periods.ready(FIRST_LISTS)),
            Box::pin(self.statements.ready(FIRST_LISTS)),
            Box::pin(self.namespaces.ready(FIRST_LISTS)),
            Box::pin(self.quotas.ready(FIRST_LISTS)),
            Box::pin(self.limit_ranges.ready(FIRST_LISTS)),
            Box::pin(self.network_policies.ready(FIRST_LISTS)),
            Box::pin(self.role_bindings.ready(FIRST_LISTS)),
            Box::pin(self.claims.ready(FIRST_LISTS)),
            Box::pin(self.volumes.ready(FIRST_LISTS)),
            Box::pin(self.nodes.ready(FIRST_LISTS)),
            Box::pin(self.storage_classes.ready(FIRST_LISTS)),
        ])
        .await
    }

    /// Waits for what there is of snapshots, but not for long: until it is known, nothing is said of it.
    async fn look_for_snapshots(&self) {
        let (classes, contents) = join(
            self.snapshot_classes.ready(OTHER_LISTS),
            self.snapshot_contents.ready(OTHER_LISTS),
        )
        .await;
        if let Err(late) = classes.and(contents) {
            tracing::warn!(%late, "it is not known yet whether there are snapshots");
        }
    }

    /// The policy in force, if the platform has written one.
    pub fn policy(&self) -> Option<CloudPolicy> {
        self.policies.get(None, names::POLICY_NAME)
    }

    /// The policy in force and the part of it that bills depend on, or in plain words what is waited for: a policy that
    /// cannot be used counts as none.
    pub fn valid_policy(&self) -> Result<(CloudPolicySpec, Policy), String> {
        let found = self.policy().and_then(|found| {
            let policy = ledger_policy(&found.spec).ok()?;
            Some((found.spec, policy))
        });
        found.ok_or_else(|| {
            format!(
                "there is no valid CloudPolicy {} yet; the e-government office applies it",
                names::POLICY_NAME
            )
        })
    }
}
