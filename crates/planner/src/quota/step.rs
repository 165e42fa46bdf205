//! The next writes on the way to a division, never exceeding the lease on the way.
//!
//! Admission counts against `status.hard`, which follows `spec.hard` after a delay. So what a
//! namespace *holds* is the larger of the two, and it gives up capacity only when its status has
//! come down. Nothing that a write frees is handed on in the same step: between our read and our
//! write, a status may still have followed an older spec, and only a later read can tell. Growth
//! takes only what was free when the quotas were read.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::money::format_quantity;

use super::{Hard, is_leased, unit_of};
use crate::rules::Refusal;

/// A quota as it was read, spec, status and use in one read of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedQuota {
    /// `spec.hard`.
    pub spec_hard: Hard,
    /// `status.hard`, once the quota counts.
    pub status_hard: Option<Hard>,
    /// `status.used`.
    pub used: Hard,
}

impl ObservedQuota {
    fn spec(&self, key: &str) -> i64 {
        self.spec_hard.get(key).copied().unwrap_or(0)
    }

    fn status(&self, key: &str) -> i64 {
        self.status_hard
            .as_ref()
            .and_then(|hard| hard.get(key))
            .copied()
            .unwrap_or(0)
    }

    fn used(&self, key: &str) -> i64 {
        self.used.get(key).copied().unwrap_or(0)
    }

    /// What the namespace may already have: admission counts with the status, which becomes the
    /// spec at any moment.
    pub fn held(&self, key: &str) -> i64 {
        self.spec(key).max(self.status(key))
    }

    /// What it may have or still uses: use can lie above the quota after a forced shrink.
    fn busy(&self, key: &str) -> i64 {
        self.held(key).max(self.used(key))
    }
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaStep {
    /// Quotas to write, by namespace, in this order; each may be the last one before a crash.
    pub writes: Vec<(String, Hard)>,
    /// Whether every namespace has its part, in spec and in status, and there is nothing to do.
    pub settled: bool,
    /// Whether that holds of all that is leased, whatever becomes of the counts of objects.
    pub leased_settled: bool,
    /// Shrinks below what is used.
    pub refused: Vec<Refusal>,
    /// What is waited for, in plain sentences.
    pub waiting: Vec<String>,
}

/// Finds the next writes towards `desired`.
///
/// Namespaces that are observed but not desired give up all they lease and keep their counts.
/// Donors are written first. A key does not go below what is used, unless it goes to zero and
/// `force_zero` is set (suspension and release: compute goes away while objects stay).
///
/// Nothing is settled while more of a leased key is held than the lease has, also when no more is
/// wanted to go: what is held beyond the lease must not be taken for it. With `force_zero` what
/// stays is kept as it is and asks for no lease.
///
/// After each single write, in whatever order statuses follow and whenever the caller dies, the
/// sum of max(`spec.hard`, `status.hard`) of each leased key is at most the lease, or where it was
/// above already (after a decrease) no more than before. It holds for one writer that reads the
/// quotas from the API server, not from a cache, and that reads again after a write whose outcome
/// it does not know.
pub fn quota_step(
    lease: &Hard,
    desired: &BTreeMap<String, Hard>,
    observed: &BTreeMap<String, ObservedQuota>,
    force_zero: bool,
) -> QuotaStep {
    let mut rooms = rooms(lease, desired, observed);
    let nothing = ObservedQuota::default();
    let names: BTreeSet<&String> = desired.keys().chain(observed.keys()).collect();
    let mut namespaces: Vec<Namespace<'_>> = names
        .into_iter()
        .map(|name| Namespace {
            name,
            wanted: desired.get(name),
            exists: observed.contains_key(name),
            seen: observed.get(name).unwrap_or(&nothing),
            lease,
            force_zero,
        })
        .collect();
    // donors first: a crash after any write leaves more free, not less
    namespaces.sort_by_key(|namespace| !namespace.gives());
    let within = force_zero || rooms.values().all(|room| !room.over);
    let mut step = QuotaStep {
        settled: within,
        leased_settled: within,
        ..QuotaStep::default()
    };
    for namespace in namespaces {
        namespace.plan(&mut rooms, &mut step);
    }
    step.settled &= step.writes.is_empty() && step.refused.is_empty();
    step.leased_settled &= step.refused.is_empty();
    step
}

/// What is free of one key.
#[derive(Clone, Copy)]
struct Room {
    /// The lease less what is held.
    held: i64,
    /// The lease less what is held or used.
    busy: i64,
    /// More is held than the lease has, after a decrease: quotas only shrink until it fits.
    over: bool,
}

fn rooms(
    lease: &Hard,
    desired: &BTreeMap<String, Hard>,
    observed: &BTreeMap<String, ObservedQuota>,
) -> BTreeMap<String, Room> {
    let keys: BTreeSet<&String> = lease
        .keys()
        .chain(desired.values().flat_map(Hard::keys))
        .chain(observed.values().flat_map(|quota| quota.spec_hard.keys()))
        .filter(|key| is_leased(key))
        .collect();
    keys.into_iter()
        .map(|key| {
            let leased = lease.get(key).copied().unwrap_or(0);
            let sum = |of: fn(&ObservedQuota, &str) -> i64| {
                observed
                    .values()
                    .fold(0_i64, |sum, quota| sum.saturating_add(of(quota, key)))
            };
            let held = sum(ObservedQuota::held);
            let room = Room {
                over: held > leased,
                held: leased.saturating_sub(held).max(0),
                busy: leased.saturating_sub(sum(ObservedQuota::busy)).max(0),
            };
            (key.clone(), room)
        })
        .collect()
}

/// One namespace on its way.
struct Namespace<'a> {
    name: &'a str,
    wanted: Option<&'a Hard>,
    exists: bool,
    seen: &'a ObservedQuota,
    lease: &'a Hard,
    force_zero: bool,
}

impl Namespace<'_> {
    fn want(&self, key: &str) -> i64 {
        self.wanted
            .and_then(|hard| hard.get(key))
            .copied()
            .unwrap_or(0)
    }

    /// Whether it has to give something up.
    fn gives(&self) -> bool {
        self.leased_keys()
            .iter()
            .any(|key| self.want(key) < self.seen.spec(key))
    }

    /// The leased keys that its quota names: all of the lease and of what is wanted, and those
    /// that it has, so that a key that left the lease goes to zero instead of becoming unlimited.
    fn leased_keys(&self) -> BTreeSet<&String> {
        self.lease
            .keys()
            .chain(self.wanted.into_iter().flat_map(Hard::keys))
            .chain(self.seen.spec_hard.keys())
            .filter(|key| is_leased(key))
            .collect()
    }

    /// Adds its next write, and what is refused or waited for.
    fn plan(&self, rooms: &mut BTreeMap<String, Room>, step: &mut QuotaStep) {
        // counts are not divided: as wanted, or as they are where nothing is wanted any more
        let counts = self.wanted.unwrap_or(&self.seen.spec_hard);
        let mut next: Hard = counts
            .iter()
            .filter(|(key, _)| !is_leased(key))
            .map(|(key, count)| (key.clone(), *count))
            .collect();
        let mut lacking = Vec::new();
        for key in self.leased_keys() {
            let want = self.want(key);
            let value = if want < self.seen.spec(key) {
                self.shrunk(key, want, step)
            } else {
                self.grown(key, want, rooms.get_mut(key))
            };
            if value < want {
                let unit = unit_of(key);
                lacking.push(format!("{} of {key}", format_quantity(want - value, unit)));
            }
            step.settled &= value == want;
            step.leased_settled &= value == want && self.counts(key, want);
            next.insert(key.clone(), value);
        }
        if !lacking.is_empty() {
            step.waiting.push(format!(
                "{} waits for {} until other namespaces have given it up",
                self.name,
                lacking.join(", ")
            ));
        }
        let unwritten = !self.exists
            || next
                .iter()
                .any(|(k, v)| self.seen.spec_hard.get(k) != Some(v));
        if unwritten {
            step.writes.push((self.name.to_owned(), next));
        } else if !self.counts_as(&next) {
            step.settled = false;
            step.waiting.push(format!(
                "{} waits until its written quota counts",
                self.name
            ));
        }
    }

    /// Whether so much of a key is written, and admission counts with it.
    fn counts(&self, key: &str, amount: i64) -> bool {
        let status = self.seen.status_hard.as_ref();
        self.seen.spec_hard.get(key) == Some(&amount)
            && status.is_some_and(|hard| hard.get(key) == Some(&amount))
    }

    /// Whether admission counts with these amounts.
    fn counts_as(&self, hard: &Hard) -> bool {
        self.seen.status_hard.as_ref().is_some_and(|status| {
            hard.iter()
                .all(|(key, amount)| status.get(key) == Some(amount))
        })
    }

    /// Down to what is wanted, or as far as use allows.
    fn shrunk(&self, key: &str, want: i64, step: &mut QuotaStep) -> i64 {
        let used = self.seen.used(key);
        if want >= used || (self.force_zero && want == 0) {
            return want;
        }
        let unit = unit_of(key);
        step.refused.push(Refusal::new(
            "T31",
            format!("{} of {key} in {}", format_quantity(want, unit), self.name),
            format!("{} or more, which is in use", format_quantity(used, unit)),
            "remove workloads or claims there, or share it more",
        ));
        used.min(self.seen.spec(key))
    }

    /// Up to what is wanted, or as far as there is room; takes the room.
    fn grown(&self, key: &str, want: i64, room: Option<&mut Room>) -> i64 {
        let (held, busy) = (self.seen.held(key), self.seen.busy(key));
        // where too much is held, not even what a late status still grants is written again
        let Some(room) = room.filter(|room| !room.over) else {
            return self.seen.spec(key);
        };
        let most = held
            .saturating_add(room.held)
            .min(busy.saturating_add(room.busy));
        let value = want.min(most).max(self.seen.spec(key));
        room.held = room.held.saturating_sub(value.saturating_sub(held).max(0));
        room.busy = room.busy.saturating_sub(value.saturating_sub(busy).max(0));
        value
    }
}

#[cfg(test)]
mod model;
