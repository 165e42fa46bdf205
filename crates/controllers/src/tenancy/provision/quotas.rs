//! Quotas, step by step: donors shrink, are seen to have shrunk, then receivers grow.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::names;
use leasehold_ledger::book::Item;
use leasehold_planner::{
    objects::{self, NamespaceIdentity, NamespacePlan},
    quota::{self, ByUse, Hard, ObservedQuota, QuotaStep},
};
use serde_json::json;

use crate::{
    Context, Error,
    drift::{self, Owner},
};

/// Where the quotas of a tenancy shall go.
pub struct Goal<'a> {
    /// The lease as quotas count it.
    lease: &'a Hard,
    /// Each namespace's quota, by its short name.
    desired: &'a BTreeMap<String, Hard>,
    /// What moves the leased part of these with use, if anything does.
    by_use: Option<&'a ByUse>,
    /// Namespaces that, where they are not desired, give up what they lease and keep their bounds on objects.
    kept: &'a [String],
    /// Namespaces whose quotas are not written, with what they get where no quota is found in them: what they hold is
    /// not free.
    aside: Option<&'a BTreeMap<String, Hard>>,
    /// Namespaces of this round: what caches show under their names was in others.
    new: Option<&'a BTreeSet<String>>,
    /// Whether compute may go to zero below what is used.
    force_zero: bool,
}

impl<'a> Goal<'a> {
    /// A goal below which nothing goes that is used.
    pub fn new(
        lease: &'a Hard,
        desired: &'a BTreeMap<String, Hard>,
        by_use: Option<&'a ByUse>,
        kept: &'a [String],
    ) -> Self {
        Self {
            lease,
            desired,
            by_use,
            kept,
            aside: None,
            new: None,
            force_zero: false,
        }
    }

    /// The same, beside namespaces whose quotas are not written, and with namespaces that were made in this round.
    pub fn beside(self, aside: &'a BTreeMap<String, Hard>, new: &'a BTreeSet<String>) -> Self {
        Self {
            aside: Some(aside),
            new: Some(new),
            ..self
        }
    }

    /// Those of which the quotas are looked at.
    fn all(&self) -> Vec<&'a String> {
        let aside = self.aside.into_iter().flat_map(BTreeMap::keys);
        self.desired.keys().chain(self.kept).chain(aside).collect()
    }

    fn is_aside(&self, short: &str) -> bool {
        self.aside.is_some_and(|aside| aside.contains_key(short))
    }

    fn is_new(&self, short: &str) -> bool {
        self.new.is_some_and(|new| new.contains(short))
    }

    /// The next step from here. What follows use follows the use of these very quotas: a step that is planned on fresher
    /// ones than the last would otherwise move to where something was used before.
    fn step(&self, seen: &Seen) -> QuotaStep {
        let lease = self.left(seen);
        let mut quotas = seen.stand.clone();
        quotas.retain(|short, _| !self.is_aside(short) && !seen.spared.contains(short));
        let (mut desired, refused) = match self.by_use {
            None => (self.desired.clone(), Vec::new()),
            // what one uses of which nobody knows is no reason to move anything
            Some(_) if seen.is_blind => (as_it_stands(self.desired, &seen.given), Vec::new()),
            Some(by_use) => {
                let moved = by_use.over(self.desired, &seen.given);
                let refused = by_use.refused(&moved, &seen.given);
                (moved, refused)
            }
        };
        desired.retain(|short, _| !seen.spared.contains(short));
        let mut step = quota::quota_step(&lease, &desired, &quotas, self.force_zero);
        let is_whole = refused.is_empty() && seen.spared.is_empty();
        step.settled &= is_whole;
        step.leased_settled &= is_whole;
        step.refused.extend(refused);
        step
    }

    /// What the quotas are on their way to, where that follows use. It counts as given from the first write on: what is
    /// still waited for must not be divided a second time, nor what others made of it meanwhile.
    fn targets(&self, seen: &Seen) -> BTreeMap<String, Hard> {
        let by_use = self.by_use.filter(|_| !seen.is_blind).into_iter();
        let targets = by_use.flat_map(|by_use| by_use.over(self.desired, &seen.given));
        targets
            .filter(|(short, _)| !seen.spared.contains(short))
            .collect()
    }

    /// The lease without what is held where nothing is written. Nothing is left where that is not known.
    fn left(&self, seen: &Seen) -> Hard {
        let mut left = self.lease.clone();
        if seen.is_blind {
            left.values_mut().for_each(|amount| *amount = 0);
            return left;
        }
        let nothing = Hard::new();
        let aside = self.aside.into_iter().flatten();
        let spared = seen.spared.iter().filter(|short| !self.is_aside(short));
        let others = aside.chain(spared.map(|short| (short, &nothing)));
        for (short, gets) in others {
            for (key, amount) in &mut left {
                let held = match seen.stand.get(short) {
                    Some(quota) => quota.held(key),
                    None => gets.get(key).copied().unwrap_or(0),
                };
                *amount = amount.saturating_sub(held).max(0);
            }
        }
        left
    }
}

/// The division as the quotas stand, where they do.
fn as_it_stands(
    desired: &BTreeMap<String, Hard>,
    quotas: &BTreeMap<String, ObservedQuota>,
) -> BTreeMap<String, Hard> {
    let mut standing = desired.clone();
    for (short, hard) in &mut standing {
        let spec = quotas.get(short).map(|quota| &quota.spec_hard);
        let leased = spec.into_iter().flatten();
        let leased = leased.filter(|(key, _)| quota::is_leased(key));
        hard.extend(leased.map(|(key, amount)| (key.clone(), *amount)));
    }
    standing
}

/// A step that was taken.
pub struct Stepped {
    /// The step.
    pub step: QuotaStep,
    /// Why the first quota of those failed that could not be read, written or given its labels back. The others were
    /// written.
    pub failed: Option<Error>,
}

/// One step towards the desired quotas; see [`step_towards`]. Nothing in them follows use.
pub async fn step_quotas(
    context: &Context,
    identity: &NamespaceIdentity,
    lease: &Hard,
    desired: &BTreeMap<String, Hard>,
    kept: &[String],
    force_zero: bool,
) -> Result<QuotaStep, Error> {
    let goal = Goal {
        force_zero,
        ..Goal::new(lease, desired, None, kept)
    };
    let Stepped { step, failed } = step_towards(context, identity, &goal).await?;
    failed.map_or(Ok(step), Err)
}

/// Quotas of a tenancy as they were read, by short name.
#[derive(Default)]
struct Seen {
    /// As they stand.
    stand: BTreeMap<String, ObservedQuota>,
    /// As the operator has left them; of a goal that follows use.
    given: BTreeMap<String, ObservedQuota>,
    /// Namespaces whose quotas are not written: they could not be read, or not be given their labels back.
    spared: BTreeSet<String>,
    /// Whether of some of these nobody knows what they hold.
    is_blind: bool,
    /// Why the first of these failed.
    failed: Option<Error>,
}

impl Seen {
    /// Takes in what was found in a namespace. A quota without the labels by which the cache finds it gets them back.
    async fn take(
        &mut self,
        context: &Context,
        goal: &Goal<'_>,
        labels: &BTreeMap<String, String>,
        place: &Place<'_>,
        found: Option<&ResourceQuota>,
    ) -> Result<(), Error> {
        let short = place.short.to_owned();
        if let Some(by_use) = goal.by_use
            && let Some(given) = given(context, by_use, place, found)?
        {
            self.given.insert(short.clone(), given);
        }
        let Some(found) = found else {
            return Ok(());
        };
        if !goal.is_aside(&short)
            && let Err(error) = drift::relabel(context, found, labels).await
        {
            self.spared.insert(short.clone());
            self.failed.get_or_insert(error);
        }
        self.stand.insert(short, observed(found));
        Ok(())
    }

    fn fails(&mut self, short: &str, error: Error) {
        self.spared.insert(short.to_owned());
        self.is_blind = true;
        self.failed.get_or_insert(error);
    }
}

/// A namespace of a tenancy.
struct Place<'a> {
    owner: &'a Owner,
    namespace: String,
    short: &'a str,
}

impl<'a> Place<'a> {
    fn new(owner: &'a Owner, department: &str, short: &'a str) -> Self {
        Self {
            owner,
            namespace: names::tenancy_namespace(department, short),
            short,
        }
    }
}

/// The quotas of a tenancy's namespaces as the operator has left them and as far as they were seen, by short name.
pub fn left<'a>(
    context: &Context,
    by_use: &ByUse,
    (department, tenancy): (&str, &str),
    short: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, ObservedQuota>, Error> {
    let quotas = &context.world.quotas;
    let owner = Owner::tenancy(department, tenancy);
    let mut left = BTreeMap::new();
    for short in short {
        let place = Place::new(&owner, department, short);
        let found = quotas.get(Some(&place.namespace), names::QUOTA_NAME);
        if let Some(given) = given(context, by_use, &place, found.as_ref())? {
            left.insert(short.clone(), given);
        }
    }
    Ok(left)
}

/// A quota with what the operator gave to it, and with what is used now. What others made of it is no split that anybody
/// asked for: nothing follows from it, and the next step puts it right. What was given before this process began is what
/// stands, unless others have written it since; then it is what the manifest shares out.
fn given(
    context: &Context,
    by_use: &ByUse,
    place: &Place<'_>,
    found: Option<&ResourceQuota>,
) -> Result<Option<ObservedQuota>, Error> {
    let repairs = &context.repairs;
    let known = repairs.given(place.owner, &place.namespace);
    let stands = found.map(observed).unwrap_or_default();
    let spec_hard = match (known, found) {
        (Some(known), _) => known,
        (None, None) => return Ok(None),
        (None, Some(found)) if is_written_by_others(context, found)? => by_use.share(place.short),
        (None, Some(_)) => {
            repairs.gave(place.owner, &place.namespace, &stands.spec_hard);
            stands.spec_hard.clone()
        }
    };
    Ok(Some(ObservedQuota {
        spec_hard,
        ..stands
    }))
}

/// Whether others have taken something leased of the quota since the operator's own last write.
fn is_written_by_others(context: &Context, found: &ResourceQuota) -> Result<bool, Error> {
    let hard = found.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    // whoever has a key of another amount than this has it of whatever amount
    let none: BTreeMap<&str, &str> = hard
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|key| quota::is_leased(key))
        .map(|key| (key.as_str(), "-1"))
        .collect();
    let part = json!({"spec": {"hard": none}});
    Ok(context.kit.blame(&part, found)?.is_some())
}

/// One step towards the goal, planned on what the API server holds right now. A quota that cannot be read keeps the others
/// from growing, because it may hold all of the lease, and from nothing else. One that cannot be written holds what it held:
/// who waits for that goes on waiting, and nobody else.
pub async fn step_towards(
    context: &Context,
    identity: &NamespaceIdentity,
    goal: &Goal<'_>,
) -> Result<Stepped, Error> {
    let all = goal.all();
    let labels = identity.owner_labels();
    let owner = Owner::of(&labels);
    let mut cached = Seen::default();
    for short in all.iter().copied().filter(|short| !goal.is_new(short)) {
        let place = Place::new(&owner, &identity.department, short);
        let quotas = &context.world.quotas;
        let found = quotas.get(Some(&place.namespace), names::QUOTA_NAME);
        cached
            .take(context, goal, &labels, &place, found.as_ref())
            .await?;
    }
    let step = goal.step(&cached);
    if step.writes.is_empty() {
        let failed = cached.failed;
        return Ok(Stepped { step, failed });
    }
    // a cache may lag and show less than what stands: room is reckoned from fresh objects only
    let found = join_all(all.iter().map(async |short| {
        let namespace = names::tenancy_namespace(&identity.department, short);
        let kit = &context.kit;
        kit.get::<ResourceQuota>(Some(&namespace), names::QUOTA_NAME)
            .await
    }))
    .await;
    let mut fresh = Seen::default();
    let mut standing = BTreeMap::new();
    for (short, found) in all.into_iter().zip(found) {
        let place = Place::new(&owner, &identity.department, short);
        match found {
            Ok(found) => {
                // a quota without the label by which the cache finds it is not missing
                fresh
                    .take(context, goal, &labels, &place, found.as_ref())
                    .await?;
                standing.extend(found.map(|found| (short.clone(), found)));
            }
            Err(error) => fresh.fails(short, error.into()),
        }
    }
    let step = goal.step(&fresh);
    let unwritten = write(context, identity, &standing, &step.writes).await;
    for (short, hard) in goal.targets(&fresh) {
        let namespace = names::tenancy_namespace(&identity.department, &short);
        match &unwritten {
            None => context.repairs.gave(&owner, &namespace, &hard),
            // what one did not give up the others cannot be given: the split is reckoned from what stands
            Some(_) => context.repairs.lose(&owner, &namespace),
        }
    }
    let failed = fresh.failed.or(unwritten);
    Ok(Stepped { step, failed })
}

/// Writes one step, and gives why the first of those failed that did. What gives something up is written first and one by
/// one: a crash after any of them leaves more free, not less.
///
/// The rest goes side by side, whatever became of the first. The planner lets a step grow only into what was free when the
/// quotas were read, never into what the same step frees, so the sum stays within the lease in whatever order these writes
/// arrive and whichever of them fail: who is to get what a failed one holds finds no room until a later round has seen it
/// shrink. All of them are waited for: one that was given up on its way could arrive after the next round has read, and
/// take room twice.
async fn write(
    context: &Context,
    identity: &NamespaceIdentity,
    standing: &BTreeMap<String, ResourceQuota>,
    writes: &[(String, Hard)],
) -> Option<Error> {
    let (donors, receivers): (Vec<_>, Vec<_>) = writes
        .iter()
        .partition(|(short, hard)| gives(standing.get(short).map(observed).as_ref(), hard));
    let mut outcomes = Vec::new();
    for (short, hard) in donors {
        outcomes.push(write_one(context, identity, short, hard, standing.get(short)).await);
    }
    let grown = receivers
        .into_iter()
        .map(|(short, hard)| write_one(context, identity, short, hard, standing.get(short)));
    outcomes.extend(join_all(grown).await);
    outcomes.into_iter().find_map(Result::err)
}

async fn write_one(
    context: &Context,
    identity: &NamespaceIdentity,
    short: &str,
    hard: &Hard,
    standing: Option<&ResourceQuota>,
) -> Result<(), Error> {
    let plan = NamespacePlan::new(identity.clone(), short, hard.clone());
    drift::keep(context, &objects::quota(&plan, hard), standing).await
}

/// Whether a write takes away anything that is leased.
fn gives(standing: Option<&ObservedQuota>, hard: &Hard) -> bool {
    standing.is_some_and(|standing| {
        standing.spec_hard.iter().any(|(key, amount)| {
            quota::is_leased(key) && hard.get(key).is_none_or(|next| next < amount)
        })
    })
}

/// A quota as it stands.
pub fn observed(found: &ResourceQuota) -> ObservedQuota {
    let spec = found.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = found.status.as_ref();
    ObservedQuota {
        spec_hard: spec.map(quota::parse).unwrap_or_default(),
        status_hard: status
            .and_then(|status| status.hard.as_ref())
            .map(quota::parse),
        used: status
            .and_then(|status| status.used.as_ref())
            .map(quota::parse)
            .unwrap_or_default(),
    }
}

/// The quota key under which the use of an item is counted, if it is.
pub fn usage_key(item: &Item) -> Option<String> {
    match (&item.storage_class, &item.resource) {
        (Some(class), _) => Some(format!(
            "{class}.storageclass.storage.k8s.io/requests.storage"
        )),
        (None, Some(resource)) => Some(format!("requests.{resource}")),
        (None, None) => None,
    }
}

/// The quota key under which the claims of a storage item are counted.
pub fn claims_key(item: &Item) -> Option<String> {
    let class = item.storage_class.as_ref()?;
    Some(format!(
        "{class}.storageclass.storage.k8s.io/persistentvolumeclaims"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(cpu: i64, pods: i64) -> Hard {
        Hard::from([("requests.cpu".to_owned(), cpu), ("pods".to_owned(), pods)])
    }

    #[test]
    fn only_less_of_what_is_leased_is_given_up() {
        let standing = ObservedQuota {
            spec_hard: hard(4000, 32),
            ..ObservedQuota::default()
        };
        let standing = Some(&standing);
        assert!(gives(standing, &hard(3999, 32)));
        assert!(gives(standing, &Hard::new()), "what is not named is gone");
        assert!(!gives(standing, &hard(4000, 8)), "counts are not leased");
        assert!(!gives(standing, &hard(4001, 32)));
        assert!(!gives(None, &hard(0, 0)), "what is made takes nothing away");
    }
}
