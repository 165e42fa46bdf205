//! A split that follows use: what is free goes to where it is used.
//!
//! The shares of the manifest are where a split begins. From then on capacity moves when somebody
//! is short of it, and only then: a namespace is short when what it has left is less than its
//! *head-room*, a quarter of what it uses and at least a quarter of its share. A short one gets up to
//! twice its head-room, first from what nobody has, then from those who have more than what they use
//! with their own head-room. Who has less than its share comes before who has more: for it the
//! others also give the head-room that they have beyond their shares. Nobody gives what it uses, or
//! what it keeps at least.
//!
//! Amounts at which something moves lie on a grid of a 64th of the lease, so that small changes of
//! use move nothing. When nobody is short, nothing moves: not back to the shares either, which would
//! be writes without need. The same use twice in a row moves nothing the second time.

use std::{cmp::Reverse, collections::BTreeMap};

use leasehold_api::tenancy::{NamespaceShare, TenancySpec};
use leasehold_ledger::{
    canonical::{CanonicalError, Digest, digest_of},
    money::{Unit, format_quantity, parse_quantity},
};

use super::{
    CLASS_CAPACITY, Hard, ObservedQuota, add, is_leased, kept_as_snapshots, keys_of, object_counts,
    pools::{Pool, add_up_storage, pools},
    unit_of,
};
use crate::{request::Items, rules::Refusal};

/// The grid has so many steps in a lease.
const STEPS: i64 = 64;
/// Head-room is one in so many parts of what is used, and of the share.
const PARTS: i64 = 4;

/// What one namespace is of one leased thing, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its share by the manifest.
    pub share: i64,
    /// What it keeps at least.
    pub floor: i64,
    /// What its quota has.
    pub has: i64,
    /// What is used of that.
    pub used: i64,
}

/// What a namespace may be filled up to, and below what nobody takes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// What it uses, or keeps at least.
    Must,
    /// With its head-room, as far as its share goes.
    Entitled,
    /// With its head-room. Below, it is short.
    Comfort,
    /// With twice its head-room: what a short one is filled up to.
    Ample,
}

/// One namespace while capacity moves.
struct Holder {
    has: i64,
    share: i64,
    must: i64,
    entitled: i64,
    comfort: i64,
    ample: i64,
    is_short: bool,
}

impl Holder {
    fn new(part: &Part, step: i64) -> Self {
        let Part {
            share,
            floor,
            has,
            used,
        } = *part;
        // the head-room of one that uses nothing is never more than its share
        let idle = share.min(one_in(PARTS, share).max(step));
        let room = one_in(PARTS, used).max(idle);
        let must = used.max(floor);
        let comfort = must.max(on_grid(used.saturating_add(room), share, step));
        let ample = used.saturating_add(room.saturating_mul(2));
        Self {
            has,
            share,
            must,
            entitled: must.max(comfort.min(share)),
            comfort,
            ample: comfort.max(on_grid(ample, share, step)),
            is_short: false,
        }
    }

    fn at(&self, level: Level) -> i64 {
        match level {
            Level::Must => self.must,
            Level::Entitled => self.entitled,
            Level::Comfort => self.comfort,
            Level::Ample => self.ample,
        }
    }

    fn above(&self, level: Level) -> i64 {
        self.has.saturating_sub(self.at(level)).max(0)
    }
}

/// An amount divided, and rounded up.
fn one_in(parts: i64, amount: i64) -> i64 {
    amount / parts + i64::from(amount % parts > 0)
}

/// The next step of the grid, or the share, if that is nearer: a split by shares is on no grid and
/// must not move for that.
fn on_grid(amount: i64, share: i64, step: i64) -> i64 {
    let up = one_in(step, amount).saturating_mul(step);
    if amount <= share { up.min(share) } else { up }
}

/// Namespaces among which one thing is divided, in the order of their names.
struct Split {
    holders: Vec<Holder>,
    /// What nobody has.
    free: i64,
}

impl Split {
    fn held(&self) -> i64 {
        let has = self.holders.iter().map(|holder| holder.has);
        has.fold(0_i64, i64::saturating_add)
    }

    /// Takes back what is held beyond the lease.
    fn take_back(&mut self, lease: i64) {
        for level in [Level::Comfort, Level::Entitled, Level::Must] {
            let over = self.held().saturating_sub(lease);
            if over > 0 {
                self.take(over, level, |_, _| true);
            }
        }
        self.free = lease.saturating_sub(self.held()).max(0);
        for holder in &mut self.holders {
            holder.is_short = holder.has < holder.comfort;
        }
    }

    /// Takes so much, or what there is, from what these have above a level; who has most above it
    /// gives first, of equals the first by name.
    fn take(&mut self, wanted: i64, above: Level, gives: impl Fn(usize, &Holder) -> bool) -> i64 {
        let mut donors: Vec<(i64, &mut Holder)> = self
            .holders
            .iter_mut()
            .enumerate()
            .filter(|(place, holder)| gives(*place, holder))
            .map(|(_, holder)| (holder.above(above), holder))
            .filter(|(spare, _)| *spare > 0)
            .collect();
        donors.sort_by_key(|(spare, _)| Reverse(*spare));
        let mut taken = 0;
        for (spare, donor) in donors {
            let given = spare.min(wanted - taken);
            donor.has -= given;
            taken += given;
        }
        taken
    }

    /// Fills everybody up to a level, from what is free and from what others have above these
    /// levels, one after the other.
    fn fill(&mut self, to: Level, above: &[Level]) {
        for place in 0..self.holders.len() {
            let gap = self.holders.get(place).map_or(0, |holder| {
                // more than comfort is for those alone who were short of it
                let wants = to != Level::Ample || holder.is_short;
                let gap = holder.at(to).saturating_sub(holder.has);
                if wants { gap.max(0) } else { 0 }
            });
            let mut got = gap.min(self.free);
            self.free -= got;
            for level in above {
                got += self.take(gap - got, *level, |other, donor| {
                    other != place && (to != Level::Ample || !donor.is_short)
                });
            }
            if let Some(holder) = self.holders.get_mut(place) {
                holder.has = holder.has.saturating_add(got);
            }
        }
    }

    /// What was shared out and is held by nobody goes to those who have less than their share.
    fn hand_out(&mut self) {
        let shares = self.holders.iter().map(|holder| holder.share);
        let shared = shares.fold(0_i64, i64::saturating_add);
        let mut rest = shared.saturating_sub(self.held()).min(self.free).max(0);
        for holder in &mut self.holders {
            let given = holder.share.saturating_sub(holder.has).clamp(0, rest);
            holder.has = holder.has.saturating_add(given);
            rest -= given;
        }
    }
}

/// What each namespace should have of one leased thing, in the order in which they are given.
///
/// The sum is at most the lease, unless more than the lease is used or kept at least; and at least
/// what the shares add up to, if the lease holds that. What the lease holds beyond the shares is
/// given out to those who are short, before anybody else has to give. Everybody gets what it uses
/// and keeps at least, if the lease holds all of that.
pub fn rebalance(lease: i64, parts: &[Part]) -> Vec<i64> {
    let step = one_in(STEPS, lease.max(0)).max(1);
    let mut split = Split {
        holders: parts.iter().map(|part| Holder::new(part, step)).collect(),
        free: 0,
    };
    split.take_back(lease);
    let (must, entitled, comfort) = (Level::Must, Level::Entitled, Level::Comfort);
    split.fill(must, &[comfort, entitled, must]);
    split.fill(entitled, &[comfort, entitled]);
    split.fill(comfort, &[comfort]);
    split.fill(Level::Ample, &[comfort]);
    split.hand_out();
    split.holders.iter().map(|holder| holder.has).collect()
}

/// How the lease of a tenancy follows its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByUse {
    lease: Hard,
    /// What the manifest shares out, by namespace.
    shares: BTreeMap<String, Hard>,
    floors: BTreeMap<String, Hard>,
    /// Named volumes of each storage class, by namespace.
    volumes: BTreeMap<String, BTreeMap<String, i64>>,
    /// Volumes that are to be kept as snapshots, by namespace.
    snapshots: BTreeMap<String, i64>,
    begun: Digest,
    is_under_way: bool,
}

impl ByUse {
    /// Follows the use from this split of the manifest on. `reached` says from which split it has
    /// been followed so far ([`ByUse::begun`]); from another one it begins anew.
    pub fn new(
        spec: &TenancySpec,
        lease: &Hard,
        items: &Items,
        split: &BTreeMap<String, Hard>,
        reached: Option<&str>,
    ) -> Result<Self, CanonicalError> {
        let shares: BTreeMap<String, Hard> = split
            .iter()
            .map(|(name, hard)| (name.clone(), leased(hard)))
            .collect();
        let begun = digest_of(&something(&shares))?;
        let mut floors = BTreeMap::new();
        let mut volumes = BTreeMap::new();
        let mut snapshots = BTreeMap::new();
        for namespace in &spec.namespaces {
            floors.insert(namespace.name.to_string(), floor(namespace, items));
            volumes.insert(namespace.name.to_string(), by_class(namespace, items));
            snapshots.insert(namespace.name.to_string(), kept_as_snapshots(namespace));
        }
        Ok(Self {
            lease: lease.clone(),
            shares,
            floors,
            volumes,
            snapshots,
            is_under_way: reached == Some(begun.as_str()),
            begun,
        })
    }

    /// The split from which use is followed: what is kept of it until the department divides anew.
    pub fn begun(&self) -> &str {
        self.begun.as_str()
    }

    /// What the manifest shares out to a namespace; nothing, where it does not name it.
    pub fn share(&self, name: &str) -> Hard {
        self.shares.get(name).cloned().unwrap_or_default()
    }

    /// Whether that split was reached, and capacity moves with use since.
    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// What these namespaces should have, given what is observed: the leased keys of those that the
    /// manifest names moved, the others as they are. Observed namespaces that it does not name give
    /// up what they have as soon as it is not used any more.
    pub fn over(
        &self,
        desired: &BTreeMap<String, Hard>,
        observed: &BTreeMap<String, ObservedQuota>,
    ) -> BTreeMap<String, Hard> {
        let mut moved = desired.clone();
        for pool in pools(&self.lease) {
            let parts: Vec<Part> = desired
                .keys()
                .filter(|name| self.shares.contains_key(*name))
                .map(|name| self.part(name, &pool, observed.get(name)))
                .collect();
            let elsewhere = self.elsewhere(desired, observed, &pool);
            let elsewhere = elsewhere.fold(0_i64, |sum, (_, used)| sum.saturating_add(used));
            let lease = pool.least(&self.lease).saturating_sub(elsewhere);
            let amounts = rebalance(lease.max(0), &parts);
            let holders = moved
                .iter_mut()
                .filter(|(name, _)| self.shares.contains_key(*name));
            for ((_, hard), amount) in holders.zip(amounts) {
                for key in &pool.keys {
                    hard.insert(key.clone(), amount);
                }
            }
        }
        moved.values_mut().for_each(add_up_storage);
        moved
    }

    /// What is used of one thing in namespaces among which it is not divided.
    fn elsewhere<'a>(
        &'a self,
        desired: &'a BTreeMap<String, Hard>,
        observed: &'a BTreeMap<String, ObservedQuota>,
        pool: &'a Pool,
    ) -> impl Iterator<Item = (&'a String, i64)> {
        observed
            .iter()
            .filter(move |(name, _)| {
                !(desired.contains_key(*name) && self.shares.contains_key(*name))
            })
            .map(move |(name, quota)| (name, pool.most(&quota.used)))
    }

    /// Where no division holds the lease, because more than it is used or kept at least: after a
    /// decrease. `moved` is what [`ByUse::over`] says of these observed quotas.
    pub fn refused(
        &self,
        moved: &BTreeMap<String, Hard>,
        observed: &BTreeMap<String, ObservedQuota>,
    ) -> Vec<Refusal> {
        pools(&self.lease)
            .iter()
            .filter_map(|pool| {
                let unit = unit_of(pool.keys.first()?);
                let named = moved
                    .iter()
                    .filter(|(name, _)| self.shares.contains_key(*name))
                    .map(|(name, hard)| (name, pool.most(hard)));
                let all: Vec<(&String, i64)> = named
                    .chain(self.elsewhere(moved, observed, pool))
                    .filter(|(_, amount)| *amount > 0)
                    .collect();
                let sum = all
                    .iter()
                    .fold(0_i64, |sum, (_, amount)| sum.saturating_add(*amount));
                let lease = pool.least(&self.lease);
                let told: Vec<String> = all
                    .iter()
                    .map(|(name, amount)| format!("{name} {}", format_quantity(*amount, unit)))
                    .collect();
                (sum > lease).then(|| {
                    Refusal::new(
                        "T31",
                        format!(
                            "{} of {}, in use or kept at least ({})",
                            format_quantity(sum, unit),
                            pool.name,
                            told.join(", ")
                        ),
                        format!("the lease of {}", format_quantity(lease, unit)),
                        "remove workloads or claims there, lower the floors, or lease more",
                    )
                })
            })
            .collect()
    }

    fn part(&self, name: &str, pool: &Pool, observed: Option<&ObservedQuota>) -> Part {
        let of = |all: &BTreeMap<String, Hard>| all.get(name).map_or(0, |hard| pool.most(hard));
        let share = of(&self.shares);
        let has = observed.map_or(0, |quota| pool.least(&quota.spec_hard));
        Part {
            share,
            floor: of(&self.floors),
            has: if self.is_under_way { has } else { share },
            used: observed.map_or(0, |quota| pool.most(&quota.used)),
        }
    }

    /// Gives each namespace the counts of objects that go with its share, or with twice or four times
    /// its share, as much as it takes for what it has. What moves with use is capacity: counts follow
    /// in leaps, so that hardly any move is one of them too, and they do not come back below the share.
    pub fn count(&self, desired: &mut BTreeMap<String, Hard>) {
        let nothing = BTreeMap::new();
        for (name, hard) in desired {
            let mut larger = leased(hard);
            for (key, share) in self.shares.get(name).into_iter().flatten() {
                let most = larger.entry(key.clone()).or_insert(0);
                *most = leaps(*share, *most);
            }
            let volumes = self.volumes.get(name).unwrap_or(&nothing);
            let snapshots = self.snapshots.get(name).copied().unwrap_or(0);
            hard.extend(object_counts(&larger, volumes, snapshots));
        }
    }
}

/// The share, doubled until it is as much as this; this, where nothing is shared.
fn leaps(share: i64, amount: i64) -> i64 {
    if share <= 0 {
        return amount;
    }
    let mut leap = share;
    while leap < amount {
        leap = leap.saturating_mul(2);
    }
    leap
}

/// The leased part of a quota.
fn leased(hard: &Hard) -> Hard {
    let leased = hard.iter().filter(|(key, _)| is_leased(key));
    leased.map(|(key, amount)| (key.clone(), *amount)).collect()
}

/// What is shared out at all: that a lease names one more thing of which nobody has anything is no
/// other split.
fn something(shares: &BTreeMap<String, Hard>) -> BTreeMap<&str, BTreeMap<&str, i64>> {
    shares
        .iter()
        .map(|(name, hard)| {
            let some = hard.iter().filter(|(_, amount)| **amount > 0);
            let some = some.map(|(key, amount)| (key.as_str(), *amount));
            (name.as_str(), some.collect())
        })
        .collect()
}

/// What a namespace keeps at least: its floors, and room for the volumes that the manifest names.
/// What cannot be read was refused with the split.
fn floor(namespace: &NamespaceShare, items: &Items) -> Hard {
    let amounts = namespace.floor.iter().filter_map(|(name, quantity)| {
        let item = items.get(name)?;
        keys_of(item, parse_quantity(quantity, item.unit).ok()?).ok()
    });
    let mut floor = Hard::new();
    amounts.for_each(|keys| add(&mut floor, keys));
    let volumes = namespace.volumes.iter().filter_map(|volume| {
        let item = items.get(volume.item.as_str())?;
        let bytes = parse_quantity(&volume.size, Unit::GiB).ok()?;
        Some((
            format!("{}{CLASS_CAPACITY}", item.storage_class.as_ref()?),
            bytes,
        ))
    });
    let mut named = Hard::new();
    volumes.for_each(|volume| add(&mut named, vec![volume]));
    for (key, bytes) in named {
        let least = floor.entry(key).or_insert(0);
        *least = (*least).max(bytes);
    }
    floor
}

/// How many volumes of each storage class the manifest names in a namespace.
fn by_class(namespace: &NamespaceShare, items: &Items) -> BTreeMap<String, i64> {
    let mut classes = BTreeMap::new();
    for volume in &namespace.volumes {
        let item = items.get(volume.item.as_str());
        if let Some(class) = item.and_then(|item| item.storage_class.clone()) {
            let count = classes.entry(class).or_insert(0_i64);
            *count = count.saturating_add(1);
        }
    }
    classes
}

/// What is wrong with the floors of a tenancy that is rebalanced: of what is not leased, in another
/// measure, or together more than the lease. The others' floors say nothing.
pub(super) fn refused_floors(
    spec: &TenancySpec,
    leased: &BTreeMap<&str, i64>,
    items: &Items,
) -> Vec<Refusal> {
    if spec.rebalance.is_none() {
        return Vec::new();
    }
    let mut refused = Vec::new();
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for namespace in &spec.namespaces {
        for (name, quantity) in &namespace.floor {
            let asked = format!("a floor of {quantity} of {name} in {}", namespace.name);
            let Some(item) = items.get(name) else {
                refused.push(Refusal::new(
                    "T53",
                    asked,
                    "0, because the approved lease does not hold it",
                    "lease it and wait for the approval, or take it out of the floor",
                ));
                continue;
            };
            match parse_quantity(quantity, item.unit) {
                Ok(base) => {
                    let sum = sums.entry(name.as_str()).or_insert(0);
                    *sum = sum.saturating_add(base);
                }
                Err(error) => refused.push(Refusal::new(
                    "T22",
                    asked,
                    format!("a quantity of {}", item.unit),
                    error.to_string(),
                )),
            }
        }
    }
    refused.extend(sums.into_iter().filter_map(|(name, asked)| {
        let unit = items.get(name)?.unit;
        let allowed = leased.get(name).copied().unwrap_or(0);
        (asked > allowed).then(|| {
            Refusal::new(
                "T53",
                format!("floors of {} of {name}", format_quantity(asked, unit)),
                format_quantity(allowed, unit),
                "lower the floors or lease more",
            )
        })
    }));
    refused
}

#[cfg(test)]
mod tests;
