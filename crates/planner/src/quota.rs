//! Quotas: what a lease allows, how a department splits it, and in which steps quotas get there.
//!
//! Leased resources (processor, memory, storage, accelerators) are divided: their sum over the
//! namespaces of a tenancy is bounded by the lease. Counts of objects are not leased; each
//! namespace gets its own bounds, so that nobody fills the database of the cluster. A split may
//! follow use ([`ByUse`]).

#[cfg(test)]
mod fixture;
mod lingering;
mod pools;
mod rebalance;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leasehold_api::tenancy::{NamespaceShare, Reclaim, TenancySpec};
use leasehold_ledger::{
    book::Item,
    money::{QuantityError, Unit, format_quantity, parse_quantity},
};

use crate::{
    request::{ApprovedPart, Items, base_quantity},
    rules::Refusal,
};

pub use lingering::{lingering, runs};
pub use pools::{granted_in, told};
pub use rebalance::{ByUse, Part, rebalance};
pub use step::{ObservedQuota, QuotaStep, quota_step};

/// A quota: amounts in base units by the key of `ResourceQuota.spec.hard`. Base units are
/// thousandths of a core, bytes, pieces.
pub type Hard = BTreeMap<String, i64>;

/// Key of the number of pods that have not ended.
pub const PODS: &str = "pods";
/// Pods for each leased core.
pub const PODS_PER_CORE: i64 = 8;
/// Pods of a namespace with less than one core.
pub const LEAST_PODS: i64 = 8;
/// Most claims of one storage class in a namespace; below, one for each GiB.
pub const MOST_CLAIMS: i64 = 100;
/// Key of the number of claims of all storage classes.
const CLAIMS: &str = "persistentvolumeclaims";
/// Key of the number of snapshots.
const SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";
/// Bounds of object counts of a namespace that do not depend on its share. Traffic enters through
/// the zone's ingress classes, so services get neither load balancers nor ports of nodes. Snapshots
/// take storage that nobody leases; where the cluster has no such kind, there is nothing to count. Those
/// that the operator makes of volumes with `reclaim: Snapshot` come on top.
pub const OBJECT_COUNTS: &[(&str, i64)] = &[
    ("configmaps", 200),
    ("count/cronjobs.batch", 50),
    ("count/deployments.apps", 200),
    ("count/horizontalpodautoscalers.autoscaling", 100),
    ("count/ingresses.networking.k8s.io", 100),
    ("count/jobs.batch", 200),
    ("count/poddisruptionbudgets.policy", 100),
    ("count/serviceaccounts", 50),
    ("count/statefulsets.apps", 100),
    (SNAPSHOTS, 20),
    ("secrets", 200),
    ("services", 100),
    ("services.loadbalancers", 0),
    ("services.nodeports", 0),
];
/// What every tenancy's quota says, leased or not: a quota says nothing about what it omits.
const ALWAYS: [&str; 5] = [
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
];
/// Between a storage class and what is bounded of it.
const CLASS: &str = ".storageclass.storage.k8s.io/";
/// What follows a storage class in the key of its capacity.
const CLASS_CAPACITY: &str = ".storageclass.storage.k8s.io/requests.storage";
/// Bytes of a GiB.
const GIB: i64 = 1 << 30;

/// Whether a key is part of the lease and divided among namespaces. Other keys are counts of
/// objects, for each namespace by itself.
pub fn is_leased(key: &str) -> bool {
    key.starts_with("requests.") || key.starts_with("limits.") || key.ends_with(CLASS_CAPACITY)
}

/// The unit in which a key is counted.
pub fn unit_of(key: &str) -> Unit {
    let resource = match key.split_once(CLASS) {
        Some((_, bounded)) => bounded,
        None => key,
    };
    let plain = resource
        .strip_prefix("requests.")
        .or_else(|| resource.strip_prefix("limits."))
        .unwrap_or(resource);
    match plain {
        "cpu" => Unit::Core,
        "memory" | "storage" | "ephemeral-storage" => Unit::GiB,
        other if other.starts_with("hugepages-") => Unit::GiB,
        _ => Unit::Count,
    }
}

/// What so much of an item adds to a quota, by key.
fn keys_of(item: &Item, base: i64) -> Result<Vec<(String, i64)>, Refusal> {
    let (keys, unit) = match (&item.storage_class, item.resource.as_deref()) {
        (Some(class), _) => (
            vec![
                format!("{class}{CLASS}requests.storage"),
                "requests.storage".to_owned(),
            ],
            Unit::GiB,
        ),
        (None, Some(resource @ ("cpu" | "memory" | "ephemeral-storage"))) => (
            vec![format!("requests.{resource}"), format!("limits.{resource}")],
            unit_of(resource),
        ),
        (None, Some(resource)) => (vec![format!("requests.{resource}")], unit_of(resource)),
        (None, None) => (Vec::new(), item.unit),
    };
    if item.unit != unit {
        return Err(Refusal::new(
            "B10",
            format!("{} in the unit {}", item.name, item.unit),
            format!("the unit {unit}"),
            "ask finance for a book that sells it so",
        ));
    }
    Ok(keys.into_iter().map(|key| (key, base)).collect())
}

/// What the lease allows in all namespaces together: leased keys only, zero for what every quota
/// must name.
pub fn lease_hard(part: &ApprovedPart, items: &Items) -> Result<Hard, Refusal> {
    let mut hard: Hard = ALWAYS.iter().map(|key| ((*key).to_owned(), 0)).collect();
    for entry in &part.lease {
        let item = known(items, &entry.item)?;
        add(&mut hard, keys_of(item, base_quantity(entry, item)?)?);
    }
    Ok(hard)
}

fn known<'a>(items: &'a Items, name: &str) -> Result<&'a Item, Refusal> {
    items.get(name).ok_or_else(|| {
        Refusal::new(
            "T21",
            name,
            items
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            "use an item of the lease",
        )
    })
}

fn add(hard: &mut Hard, amounts: Vec<(String, i64)>) {
    for (key, amount) in amounts {
        let sum = hard.entry(key).or_insert(0);
        *sum = sum.saturating_add(amount);
    }
}

/// The storage classes that the lease names.
pub fn storage_classes(items: &Items) -> BTreeSet<String> {
    items
        .values()
        .filter_map(|item| item.storage_class.clone())
        .collect()
}

/// What pods may ask for beside processor and memory because the lease names it: accelerators, scratch space, huge
/// pages.
pub fn extended_resources(items: &Items) -> BTreeSet<String> {
    items
        .values()
        .filter_map(|item| item.resource.clone())
        .filter(|resource| !matches!(resource.as_str(), "cpu" | "memory"))
        .collect()
}

/// The quota of each namespace, by its short name: its share of the lease and its object counts.
///
/// Measured against the approved part, not against what the manifest asks for. Every quota names
/// every leased key, with zero where nothing is shared, because a quota says nothing about what it
/// omits.
pub fn split(
    spec: &TenancySpec,
    part: &ApprovedPart,
    items: &Items,
) -> Result<BTreeMap<String, Hard>, Vec<Refusal>> {
    let lease = lease_hard(part, items).map_err(|refusal| vec![refusal])?;
    let mut refused = Vec::new();
    let mut shared: BTreeMap<&str, i64> = BTreeMap::new();
    let mut quotas = BTreeMap::new();
    for namespace in &spec.namespaces {
        let shares = match shares_of(namespace, items) {
            Ok(shares) => shares,
            Err(refusals) => {
                refused.extend(refusals);
                continue;
            }
        };
        for (name, base) in &shares {
            let sum = shared.entry(*name).or_insert(0);
            *sum = sum.saturating_add(*base);
        }
        match quota_of(namespace, &shares, &lease, items) {
            Ok(hard) => {
                quotas.insert(namespace.name.to_string(), hard);
            }
            Err(refusals) => refused.extend(refusals),
        }
    }
    let leased = leased(part, items);
    refused.extend(over_shared(&shared, &leased, items));
    refused.extend(rebalance::refused_floors(spec, &leased, items));
    if refused.is_empty() {
        Ok(quotas)
    } else {
        Err(refused)
    }
}

/// The shares of a namespace in base units, by item.
fn shares_of<'a>(
    namespace: &'a NamespaceShare,
    items: &Items,
) -> Result<BTreeMap<&'a str, i64>, Vec<Refusal>> {
    let mut shares = BTreeMap::new();
    let mut refused = Vec::new();
    for (name, quantity) in &namespace.share {
        let Some(item) = items.get(name) else {
            refused.push(Refusal::new(
                "T20",
                format!("{quantity} of {name} in {}", namespace.name),
                "0, because the approved lease does not hold it",
                "lease it and wait for the approval, or take it out of the share",
            ));
            continue;
        };
        match parse_quantity(quantity, item.unit) {
            Ok(base) => {
                shares.insert(name.as_str(), base);
            }
            Err(error) => refused.push(Refusal::new(
                "T22",
                format!("{quantity} of {name} in {}", namespace.name),
                format!("a quantity of {}", item.unit),
                error.to_string(),
            )),
        }
    }
    if refused.is_empty() {
        Ok(shares)
    } else {
        Err(refused)
    }
}

/// What the lease holds of each item, in base units.
fn leased<'a>(part: &'a ApprovedPart, items: &Items) -> BTreeMap<&'a str, i64> {
    let mut leased: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in &part.lease {
        let base = items
            .get(entry.item.as_str())
            .and_then(|item| base_quantity(entry, item).ok());
        let sum = leased.entry(entry.item.as_str()).or_insert(0);
        *sum = sum.saturating_add(base.unwrap_or(0));
    }
    leased
}

/// Items of which more is shared out than the lease holds.
fn over_shared(
    shared: &BTreeMap<&str, i64>,
    leased: &BTreeMap<&str, i64>,
    items: &Items,
) -> Vec<Refusal> {
    shared
        .iter()
        .filter_map(|(name, asked)| {
            let unit = items.get(*name)?.unit;
            let allowed = leased.get(name).copied().unwrap_or(0);
            (*asked > allowed).then(|| {
                Refusal::new(
                    "T20",
                    format!("{} of {name}", format_quantity(*asked, unit)),
                    format_quantity(allowed, unit),
                    "lease more or share less",
                )
            })
        })
        .collect()
}

fn quota_of(
    namespace: &NamespaceShare,
    shares: &BTreeMap<&str, i64>,
    lease: &Hard,
    items: &Items,
) -> Result<Hard, Vec<Refusal>> {
    let mut hard: Hard = lease.keys().map(|key| (key.clone(), 0)).collect();
    for (name, base) in shares {
        let item = known(items, name).map_err(|refusal| vec![refusal])?;
        add(
            &mut hard,
            keys_of(item, *base).map_err(|refusal| vec![refusal])?,
        );
    }
    let volumes = volumes_by_class(namespace, shares, items)?;
    hard.extend(object_counts(&hard, &volumes, kept_as_snapshots(namespace)));
    Ok(hard)
}

/// How many named volumes each storage class carries; refuses those that do not fit.
fn volumes_by_class(
    namespace: &NamespaceShare,
    shares: &BTreeMap<&str, i64>,
    items: &Items,
) -> Result<BTreeMap<String, i64>, Vec<Refusal>> {
    let mut refused = Vec::new();
    let mut classes: BTreeMap<String, i64> = BTreeMap::new();
    let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
    for volume in &namespace.volumes {
        let of = format!(
            "volume {} of {} in {}",
            volume.name, volume.size, namespace.name
        );
        let item = items.get(volume.item.as_str());
        let Some(class) = item.and_then(|item| item.storage_class.clone()) else {
            refused.push(Refusal::new(
                "T30",
                format!("{of} on {}", volume.item),
                "storage items of the lease",
                "name an item with a storage class that the lease holds",
            ));
            continue;
        };
        match parse_quantity(&volume.size, Unit::GiB) {
            Ok(bytes) if bytes > 0 => {
                let size = sizes.entry(volume.item.as_str()).or_insert(0);
                *size = size.saturating_add(bytes);
                let count = classes.entry(class).or_insert(0);
                *count = count.saturating_add(1);
            }
            Ok(_) | Err(_) => refused.push(Refusal::new(
                "T30",
                of,
                "a size above zero, such as 10Gi",
                "correct the size of the volume",
            )),
        }
    }
    for (item, size) in sizes {
        let share = shares.get(item).copied().unwrap_or(0);
        if size > share {
            let size = format_quantity(size, Unit::GiB);
            refused.push(Refusal::new(
                "T30",
                format!("{size} of {item} for volumes in {}", namespace.name),
                format_quantity(share, Unit::GiB),
                "share more of it to the namespace or make the volumes smaller",
            ));
        }
    }
    if refused.is_empty() {
        Ok(classes)
    } else {
        Err(refused)
    }
}

/// How many volumes of a namespace the manifest wants kept as snapshots.
fn kept_as_snapshots(namespace: &NamespaceShare) -> i64 {
    let kept = namespace.volumes.iter();
    let kept = kept.filter(|volume| volume.reclaim == Reclaim::Snapshot);
    i64::try_from(kept.count()).unwrap_or(i64::MAX)
}

/// The counts of objects that go with a share of the lease; `snapshots` are those that the operator may have to make.
fn object_counts(hard: &Hard, volumes: &BTreeMap<String, i64>, snapshots: i64) -> Hard {
    let mut counts: Hard = OBJECT_COUNTS
        .iter()
        .map(|(key, most)| ((*key).to_owned(), *most))
        .collect();
    let most = counts.entry(SNAPSHOTS.to_owned()).or_insert(0);
    *most = most.saturating_add(snapshots);
    counts.insert(PODS.to_owned(), pods_of(hard));
    let mut all = 0_i64;
    for (key, bytes) in hard {
        let Some(class) = key.strip_suffix(CLASS_CAPACITY) else {
            continue;
        };
        let whole = bytes / GIB + i64::from(bytes % GIB > 0);
        let named = volumes.get(class).copied().unwrap_or(0);
        let claims = whole.min(MOST_CLAIMS).max(named);
        counts.insert(format!("{class}{CLASS}{CLAIMS}"), claims);
        all = all.saturating_add(claims);
    }
    counts.insert(CLAIMS.to_owned(), all);
    counts
}

/// How many pods go with a share of the lease.
pub fn pods_of(hard: &Hard) -> i64 {
    let cores = hard.get("requests.cpu").copied().unwrap_or(0);
    let pods = cores.saturating_mul(PODS_PER_CORE) / Unit::Core.scale();
    pods.max(LEAST_PODS)
}

/// A quota as `ResourceQuota.spec.hard` writes it.
pub fn render(hard: &Hard) -> BTreeMap<String, Quantity> {
    hard.iter()
        .map(|(key, base)| (key.clone(), Quantity(format_quantity(*base, unit_of(key)))))
        .collect()
}

/// Reads `hard` or `used` of a `ResourceQuota`; `1000m` and `1` are the same.
///
/// What is finer than a base unit is rounded up (a pod may ask for half a byte), and what cannot
/// be read counts as the most there can be: an amount that is not understood is never given away.
pub fn parse(amounts: &BTreeMap<String, Quantity>) -> Hard {
    amounts
        .iter()
        .map(|(key, amount)| (key.clone(), read_up(&amount.0, unit_of(key))))
        .collect()
}

fn read_up(text: &str, unit: Unit) -> i64 {
    match parse_quantity(text, unit) {
        Ok(base) => base,
        Err(QuantityError::Negative { .. }) => 0,
        Err(QuantityError::Remainder { .. }) => fine(text, unit).unwrap_or(i64::MAX),
        Err(QuantityError::Malformed { .. } | QuantityError::Overflow { .. }) => i64::MAX,
    }
}

/// An amount in the API server's canonical form with a suffix finer than a base unit, rounded up.
fn fine(text: &str, unit: Unit) -> Option<i64> {
    let (digits, parts): (&str, i128) = text
        .strip_suffix('n')
        .map(|digits| (digits, 1_000_000_000))
        .or_else(|| text.strip_suffix('u').map(|digits| (digits, 1_000_000)))
        .or_else(|| text.strip_suffix('m').map(|digits| (digits, 1000)))?;
    let base_in_one = match unit {
        Unit::Core => 1000,
        Unit::GiB | Unit::Count => 1,
    };
    let amount = i128::from(digits.parse::<i64>().ok()?) * base_in_one;
    i64::try_from((amount + parts - 1) / parts).ok()
}

#[cfg(test)]
mod tests;
