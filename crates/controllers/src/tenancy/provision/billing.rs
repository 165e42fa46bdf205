//! From when each item is billed.
//!
//! More is billed from the instant that its quota stood (a first lease where the policy says so: once it is accepted, see
//! `acceptance`), less from the instant that was promised. Both are recorded in
//! one transaction with the facts; what was billed early because part of a lease stood is not billed twice. What ended with
//! a release that was taken back begins anew when it stands again, whether or not all of its request had ever stood.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::names;
use leasehold_ledger::{
    document::EffectiveDoc,
    fact::{Fact, FactKind, Meter},
    time::{PeriodKind, Second},
};
use leasehold_planner::{
    lease_facts::{self, LeaseCause, OpenLease},
    quota::Hard,
    request,
};
use leasehold_store::Record;

use super::{
    super::{observe::State, report::Report, term},
    Due,
    acceptance::{self, Wait},
    label, lease_context, quotas,
};
use crate::{Context, Error, books::lease_uid};

/// A decrease counts from the promised instant if it stands within this many seconds of it, or within a quarter of the
/// period if that is shorter. Later, it counts from when it stood: the old quota stood until then.
const PROMISE: i64 = 300;

/// Records what is billed from now on. `complete` says that every quota stands as approved; before that, items are
/// billed of which more stands than was billed so far. Tells whether people may be let in: what stands is billed, or what
/// has to be accepted was delivered.
pub async fn record(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    complete: bool,
) -> Result<bool, Error> {
    if state.is_effective(due.request.request) {
        resume(state, context, report, due, complete).await?;
        return Ok(true);
    }
    match acceptance::deliver(state, context, report, due, complete).await? {
        Wait::Delivery => return Ok(false),
        Wait::Word => return Ok(true),
        Wait::Nothing => {}
    }
    bill(state, context, report, due, complete).await?;
    Ok(true)
}

async fn bill(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    complete: bool,
) -> Result<(), Error> {
    let number = due.request.request;
    let quotas = standing_quotas(state, context);
    let open = context
        .books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await?;
    let mut target = quantities(due)?;
    if !complete {
        target = partly(due, &open, &target, &held(&quotas));
    }
    let now = context.now();
    let floor = state
        .view
        .effective
        .iter()
        .map(|document| document.at)
        // a release that was taken back may have ended what this request has billed already
        .chain(state.view.taken_back_at())
        .max();
    let stood = stood_at(&quotas).unwrap_or(now).max(due.not_before);
    let stood = floor.map_or(stood, |floor| stood.max(floor)).min(now);
    let promised = if now.since(due.not_before) <= grace(state) {
        due.not_before
    } else {
        stood
    };
    let lease = lease_context(state, context, &due.part).await?;
    let cause = LeaseCause::of_request(number, state.view.release_round());
    let shrunk = shrunk(&open, &target);
    let mut facts: Vec<Fact> = lease_facts::lease_facts(
        &lease,
        &open,
        &shrunk,
        cause,
        promised.max(floor.unwrap_or(promised)),
    )
    .into_iter()
    .filter(|fact| less(fact, &open))
    .collect();
    facts.extend(
        lease_facts::lease_facts(&lease, &open, &target, cause, stood)
            .into_iter()
            .filter(|fact| !less(fact, &open)),
    );
    if !complete {
        // nothing but growth is told early: what a fact says of this request must be what the request asks for
        facts.retain(|fact| grows(fact, &open));
    }
    let mut records: Vec<Record> = facts.into_iter().map(Record::from).collect();
    if complete {
        records.push(Record::document(&EffectiveDoc {
            department: state.department.clone(),
            tenancy: state.name.clone(),
            incarnation: state.incarnation(),
            request: number,
            not_before: due.not_before,
            at: stood,
        })?);
    }
    if records.is_empty() {
        return Ok(());
    }
    context.books.commit(records, state.now).await?;
    let tenancy = lease_uid(&state.department, &state.name, state.incarnation());
    tracing::info!(tenancy, request = number, at = %stood, complete, "lease stands");
    if complete {
        report.happened(
            state,
            "leasehold",
            &format!("request {number} stands; billed from {stood}"),
        );
        term::renewed(state, report, number, &due.part)?;
        context.leases.settled(&state.department, &state.name);
        state.refresh(context).await?;
    }
    Ok(())
}

/// What ended with a release that was taken back is billed again, each item from the instant at which it stood.
async fn resume(
    state: &State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    complete: bool,
) -> Result<(), Error> {
    let Some(taken_back) = state.view.taken_back_at() else {
        return Ok(());
    };
    let books = &context.books;
    let open = books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await?;
    let mut target = quantities(due)?;
    if target.keys().all(|item| open.contains_key(item)) {
        // an earlier round may have recorded the last of it while a quota was not as it shall be yet
        acceptance::nothing_late(state, context);
        return Ok(());
    }
    // no period closes over it before it is recorded
    let leases = &context.leases;
    leases.pending(&state.department, &state.name, taken_back, state.now);
    let quotas = standing_quotas(state, context);
    if !complete {
        target = partly(due, &open, &target, &held(&quotas));
    }
    let now = context.now();
    let stood = stood_at(&quotas).unwrap_or(now).max(taken_back).min(now);
    let cause = LeaseCause::TakenBack {
        request: due.request.request,
        round: state.view.release_round(),
    };
    let lease = lease_context(state, context, &due.part).await?;
    let mut facts = lease_facts::lease_facts(&lease, &open, &target, cause, stood);
    facts.retain(|fact| fact.kind == FactKind::Opened);
    if !facts.is_empty() {
        let records = facts.into_iter().map(Record::from).collect();
        books.commit(records, state.now).await?;
        let what = format!("what the release had ended stands; billed again from {stood}");
        report.happened(state, "leasehold", &what);
    }
    if complete {
        leases.settled(&state.department, &state.name);
    }
    Ok(())
}

/// When the quotas of the due request stood.
pub(super) fn stood(state: &State, context: &Context, due: &Due) -> Second {
    let now = context.now();
    let stood = stood_at(&standing_quotas(state, context)).unwrap_or(now);
    stood.max(due.not_before).min(now)
}

fn grace(state: &State) -> i64 {
    match state.policy.period {
        PeriodKind::Rehearsal { seconds } => (i64::from(seconds) / 4).min(PROMISE),
        PeriodKind::Month | PeriodKind::Day => PROMISE,
    }
}

fn standing_quotas(state: &State, context: &Context) -> Vec<ResourceQuota> {
    let incarnation = state.incarnation().to_string();
    context.world.quotas.select(|found| {
        label(found, names::TENANCY_LABEL) == Some(&state.name)
            && label(found, names::DEPARTMENT_LABEL) == Some(&state.department)
            && label(found, names::INCARNATION_LABEL) == Some(&incarnation)
    })
}

/// What admission grants in all namespaces together.
fn held(found: &[ResourceQuota]) -> Hard {
    let mut sum = Hard::new();
    for one in found {
        for (key, amount) in quotas::observed(one).status_hard.unwrap_or_default() {
            let known = sum.entry(key).or_insert(0);
            *known = known.saturating_add(amount);
        }
    }
    sum
}

/// When the last of the quotas was written as it stands. The API server's clock; admission follows within moments. It
/// is the same after a crash between the write and the record, so that nothing in between is given away.
fn stood_at(found: &[ResourceQuota]) -> Option<Second> {
    found
        .iter()
        .flat_map(|one| one.metadata.managed_fields.iter().flatten())
        .filter(|entry| {
            entry.manager.as_deref() == Some(names::FIELD_MANAGER) && entry.subresource.is_none()
        })
        .filter_map(|entry| entry.time.as_ref())
        .map(|time| Second::from_timestamp(time.0))
        .max()
}

/// What the due request leases, by item in base units.
pub(super) fn quantities(due: &Due) -> Result<BTreeMap<String, i64>, Error> {
    let mut target = BTreeMap::new();
    for entry in &due.part.lease {
        let Some(item) = due.items.get(entry.item.as_str()) else {
            continue;
        };
        let base = request::base_quantity(entry, item)
            .map_err(|refusal| Error::understand("the approved lease", refusal))?;
        target.insert(entry.item.to_string(), base);
    }
    Ok(target)
}

/// What is billed while part of a request stands: an item of which more is granted than was billed so far counts as
/// leased in full; the rest of it is there, and only the department's own split is in the way.
fn partly(
    due: &Due,
    open: &BTreeMap<String, OpenLease>,
    target: &BTreeMap<String, i64>,
    held: &Hard,
) -> BTreeMap<String, i64> {
    let mut now: BTreeMap<String, i64> = open
        .iter()
        .map(|(item, lease)| (item.clone(), lease.quantity))
        .collect();
    let key_of = |name: &str| due.items.get(name).and_then(quotas::usage_key);
    let mut billed: Hard = Hard::new();
    for (name, quantity) in &now {
        if let Some(key) = key_of(name) {
            let sum = billed.entry(key).or_insert(0);
            *sum = sum.saturating_add(*quantity);
        }
    }
    for (name, asked) in target {
        let more = *asked > now.get(name).copied().unwrap_or(0);
        let granted = match key_of(name) {
            Some(key) => {
                held.get(&key).copied().unwrap_or(0) > billed.get(&key).copied().unwrap_or(0)
            }
            // what no quota counts is there as soon as anything is
            None => held.values().any(|amount| *amount > 0),
        };
        if more && granted {
            now.insert(name.clone(), *asked);
        }
    }
    now
}

/// The target where it is less than what is billed, and what is billed elsewhere.
fn shrunk(
    open: &BTreeMap<String, OpenLease>,
    target: &BTreeMap<String, i64>,
) -> BTreeMap<String, i64> {
    open.iter()
        .map(|(item, lease)| {
            let asked = target.get(item).copied().unwrap_or(0);
            (item.clone(), lease.quantity.min(asked))
        })
        .collect()
}

fn less(fact: &Fact, open: &BTreeMap<String, OpenLease>) -> bool {
    let Meter::Lease { item } = &fact.meter else {
        return false;
    };
    open.get(item)
        .is_some_and(|lease| fact.quantity < lease.quantity)
}

fn grows(fact: &Fact, open: &BTreeMap<String, OpenLease>) -> bool {
    let Meter::Lease { item } = &fact.meter else {
        return false;
    };
    open.get(item)
        .is_none_or(|lease| fact.quantity > lease.quantity)
}
