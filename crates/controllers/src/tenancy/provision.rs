//! Provisioning: what is approved and due becomes namespaces, quotas, policies, rights and volumes; then it is billed.

mod acceptance;
mod adoption;
#[cfg(test)]
mod apart;
mod billing;
mod by_use;
mod closing;
pub mod contents;
#[cfg(test)]
mod fenced;
#[cfg(test)]
pub(super) mod fixture;
mod halt;
pub mod lingering;
pub mod namespaces;
mod quotas;
#[cfg(test)]
mod rounds;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::{join, join_all};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use leasehold_api::{
    names,
    tenancy::{ItemUsage, LeaseItem, NamespaceStatus, Phase},
};
use leasehold_ledger::{
    document::RequestDoc,
    money::{format_quantity, parse_quantity},
    time::Second,
};
use leasehold_planner::{
    lease_facts::{self, LeaseContext},
    objects::{Nameable, NamespaceIdentity, NamespacePlan},
    quota::{self, Hard, ObservedQuota, QuotaStep},
    request::{self, ApprovedPart, Asked, Items},
    rules::Refusal,
};

pub use acceptance::{
    is_billed, nothing_late, settle as settle_acceptance, shown as acceptance_shown,
    tell_released as tell_acceptance_released,
};
pub use closing::close;
use contents::Found;
pub use namespaces::record_gone;
use namespaces::{Ensured, Standing};
use quotas::{Goal, Stepped, step_towards};
pub use quotas::{observed as observed_quota, step_quotas};
pub use volumes::describe as describe_volumes;

use super::{drifts, observe::State, report::Report, requests::part_of, term};
use crate::{Context, Error};

/// How soon to look again while the cluster catches up.
const SOON: Duration = Duration::from_millis(500);

/// Namespaces that a tenancy may ever have at once, named or kept.
const MOST_NAMESPACES: usize = 32;

/// The request that is due.
struct Due {
    request: RequestDoc,
    part: ApprovedPart,
    items: Items,
    not_before: Second,
}

/// Makes what is approved and due, and records from when it is billed.
pub async fn advance(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    acceptance::settle(state, context, report).await?;
    let (due, later) = due(state)?;
    if let Some(later) = later {
        report.look_again(seconds_until(later, state.now));
        report.phase = Phase::Approved;
    }
    let Some(due) = due else { return Ok(()) };
    report.approved.clone_from(&due.part.lease);
    usage(state, context, report, &due.part, &due.items);
    if !state.is_effective(due.request.request) && !acceptance::is_withheld(state, &due) {
        context
            .leases
            .pending(&state.department, &state.name, due.not_before, state.now);
    }
    let waited = report.waits_so_far();
    let mut progress = provision(state, context, report, &due).await?;
    let is_set_up = state.is_effective(due.request.request);
    if progress == Progress::Underway && is_set_up && drifts::is_contested(state, context) {
        // nothing of ours is under way: what stands is fought over, and looked at again when a pause ends
        progress = Progress::Ready;
        report.wait_for_no_more_than(waited);
    }
    describe_volumes(state, context, &mut report.namespaces);
    let undecided = state.view.open().is_some();
    report.phase = match (progress, undecided) {
        (Progress::Ready, false) => Phase::Active,
        (Progress::Ready, true) => Phase::Changing,
        (_, _) if state.view.effective().is_some() => Phase::Changing,
        (_, _) => Phase::Approved,
    };
    acceptance::tell(state, report);
    report.underway = progress == Progress::Underway;
    if report.underway {
        report.look_again(SOON);
    }
    let (rush, key) = (&context.world.rush, (state.office(), state.name.clone()));
    if report.underway && !is_set_up {
        rush.begin(key);
    } else {
        rush.end(&key);
    }
    term::look(state, report)
}

/// How far provisioning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything is in place.
    Ready,
    /// The cluster is catching up.
    Underway,
    /// The department or the platform must do something first; what they do wakes us.
    Blocked,
}

/// How long until this instant, at least a second.
pub fn seconds_until(instant: Second, now: Second) -> Duration {
    Duration::from_secs(u64::try_from(instant.since(now).max(1)).unwrap_or(1))
}

/// Brings what the due request leases into place.
///
/// Billing begins when the quotas stand, before anybody gets rights: what is there is paid for, also when a volume or a
/// policy still fails. Where it begins with the acceptance, nobody gets in before the delivery: with a part of the lease
/// that never becomes whole, nothing would ever be accepted and paid.
async fn provision(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
) -> Result<Progress, Error> {
    let identity = identity(state, &due.items);
    let standing = namespaces::standing(state, context).await?;
    let halted = halt::is_on(state, report);
    let (lease, mut desired) = match divide(state, due, &standing.short) {
        Ok(found) => found,
        Err(refusals) => {
            unsplit(state, context, report, &refusals);
            let kept = keep(state, context, report, &identity, &standing.short).await;
            halt::as_they_stand(context, halted, &identity, &standing.short).await?;
            let failed = kept.err().or(standing.failed);
            return failed.map_or(Ok(Progress::Blocked), Err);
        }
    };
    let by_use = by_use::follow(state, context, due, &lease, &mut desired, &standing.short)?;
    let mut plans: Vec<NamespacePlan> = desired
        .iter()
        .map(|(short, hard)| NamespacePlan::new(identity.clone(), short, hard.clone()))
        .collect();
    let ensured = namespaces::ensure(state, context, report, &standing, &plans).await?;
    let mut aside = set_aside(state, report, &mut desired, &standing, &ensured);
    let untold = lingering::hold(context, &state.department, &lease, &standing, &mut aside).await;
    plans.retain(|plan| report.has_namespace(&state.department, &plan.short));
    let mut abandoned = standing.short;
    abandoned.retain(|short| !desired.contains_key(short) && !aside.contains_key(short));
    let kept = keep(state, context, report, &identity, &abandoned).await;
    halt::all(context, halted, &mut desired, &mut abandoned, &identity);
    // both run to their end: what the quotas grant is billed below, whatever becomes of a policy
    let goal = Goal::new(&lease, &desired, by_use.as_ref(), &abandoned);
    let goal = goal.beside(&aside, &ensured.new);
    let (step, furnished) = join(
        step_towards(context, &identity, &goal),
        furnish(state, context, &plans, &ensured.new),
    )
    .await;
    let Stepped { step, failed } = step?;
    let (settled, leased_settled) = (step.settled, step.leased_settled);
    let step = by_use::told(by_use.as_ref(), step, state, context, due, report);
    let ready = ensured.all && step.settled;
    let blocked = tell_step(report, step);
    let complete = ensured.all && leased_settled && !blocked;
    let admits = billing::record(state, context, report, due, complete).await?;
    if halted && !halt::is_on(state, report) {
        // what mends the rejected stands, and its pods are given back
        report.look_again(SOON);
    }
    if blocked {
        acceptance::nothing_late(state, context);
    }
    // what is told may be more than what counts: people get in where the quotas count
    let doors = Doors {
        open: admits && settled,
        new: &ensured.new,
    };
    let (found, unfurnished) = admit(state, context, due, &plans, furnished, &doors).await;
    let progress = progress(report, found, ready, blocked);
    // one that fails keeps nothing from the others, and is tried again
    let failed = failed.or(ensured.failed).or(kept.err()).or(unfurnished);
    let failed = failed.or(standing.failed).or(untold);
    failed.map_or(Ok(progress), Err)
}

/// Leaves those in `desired` whose quotas can be written: nothing is put into a namespace that is not ours. Gives those
/// that are being deleted and those of which nobody knows, with what they get.
fn set_aside(
    state: &State,
    report: &Report,
    desired: &mut BTreeMap<String, Hard>,
    standing: &Standing,
    ensured: &Ensured,
) -> BTreeMap<String, Hard> {
    let is_had = |short: &str| report.has_namespace(&state.department, short);
    let ends = standing.ending.iter().chain(&standing.unsure);
    let others = ends.chain(&ensured.unsure);
    let aside = others
        .filter(|short| !is_had(short))
        .map(|short| {
            let gets = desired.get(short).cloned().unwrap_or_default();
            (short.clone(), gets)
        })
        .collect();
    desired.retain(|short, _| is_had(short) || ensured.failing.contains(short));
    aside
}

/// Puts into the report how the quotas stand; gives whether somebody must do something first.
fn tell_step(report: &mut Report, step: QuotaStep) -> bool {
    report.refuse(&step.refused);
    step.waiting
        .into_iter()
        .for_each(|sentence| report.wait(sentence));
    !step.refused.is_empty() || report.namespace_refused()
}

/// How far it is with what was found in the namespaces, on top of how the quotas stand.
fn progress(report: &mut Report, found: Vec<Found>, stands: bool, blocked: bool) -> Progress {
    let (mut ready, mut underway) = (stands, !stands);
    for found in found {
        ready &= found.is_complete();
        underway |= !found.waits.is_empty();
        report.refuse(&found.refused);
        found
            .waits
            .into_iter()
            .for_each(|sentence| report.wait(sentence));
    }
    if ready && !blocked {
        Progress::Ready
    } else if underway && !blocked {
        Progress::Underway
    } else {
        // what a volume is refused for does not pass by itself: whoever mends it wakes us
        Progress::Blocked
    }
}

/// The department's own split is in the way: nothing of ours is late.
fn unsplit(state: &State, context: &Context, report: &mut Report, refusals: &[Refusal]) {
    acceptance::nothing_late(state, context);
    let told: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    report.wait(format!(
        "the split among namespaces stays as it is until it fits the approved lease: {}",
        told.join("; ")
    ));
}

/// Furnishes the namespaces side by side: there are at most 32 of them. All are waited for, each gets as far as it can.
async fn furnish(
    state: &State,
    context: &Context,
    plans: &[NamespacePlan],
    new: &BTreeSet<String>,
) -> Vec<Result<Found, Error>> {
    let each = plans
        .iter()
        .map(|plan| contents::furnish(state, context, plan, new.contains(&plan.short)));
    join_all(each).await
}

/// Who is let in.
struct Doors<'a> {
    /// Whether rights and volumes are given; those that were given stand in any case.
    open: bool,
    /// Namespaces that were made in this round. What caches show under their names was in others.
    new: &'a BTreeSet<String>,
}

/// Lets people into the namespaces that are furnished, side by side. Gives what was found in all of them, and why the
/// first of those that failed did.
async fn admit(
    state: &State,
    context: &Context,
    due: &Due,
    plans: &[NamespacePlan],
    furnished: Vec<Result<Found, Error>>,
    doors: &Doors<'_>,
) -> (Vec<Found>, Option<Error>) {
    let each = plans
        .iter()
        .zip(furnished)
        .map(|(plan, furnished)| admit_one(state, context, due, plan, furnished, doors));
    let (mut all, mut failed) = (Vec::new(), None);
    for outcome in join_all(each).await {
        match outcome {
            Ok(found) => all.push(found),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    (all, failed)
}

async fn admit_one(
    state: &State,
    context: &Context,
    due: &Due,
    plan: &NamespacePlan,
    furnished: Result<Found, Error>,
    doors: &Doors<'_>,
) -> Result<Found, Error> {
    let found = furnished?;
    if !found.is_complete() {
        return Ok(found);
    }
    if doors.new.contains(&plan.short) {
        return Ok(contents::is_set_up(plan));
    }
    contents::admit(state, context, plan, &due.items, doors.open).await
}

/// Namespaces that the manifest no longer names keep what is in them, get nothing more, and stay fenced.
async fn keep(
    state: &State,
    context: &Context,
    report: &mut Report,
    identity: &NamespaceIdentity,
    kept: &[String],
) -> Result<(), Error> {
    let mut failed = None;
    for short in kept {
        let plan = NamespacePlan::new(identity.clone(), short, Hard::new());
        if let Err(error) = contents::fence(state, context, &plan, false).await {
            failed.get_or_insert(error);
        }
        let named = state
            .tenancy
            .spec
            .namespaces
            .iter()
            .any(|share| share.name.as_str() == short);
        let uid = context
            .world
            .namespaces
            .meta(None, &plan.name)
            .and_then(|found| found.uid);
        report.namespaces.push(NamespaceStatus {
            name: plan.name,
            uid,
            ready: true,
            message: (!named).then(|| {
                "no longer in spec.namespaces: nothing new can start in it; it goes with the release"
                    .to_owned()
            }),
            ..NamespaceStatus::default()
        });
    }
    failed.map_or(Ok(()), Err)
}

/// The lease as quotas count it, and each namespace's part of it.
fn divide(
    state: &State,
    due: &Due,
    known: &[String],
) -> Result<(Hard, BTreeMap<String, Hard>), Vec<Refusal>> {
    let lease = quota::lease_hard(&due.part, &due.items).map_err(|refusal| vec![refusal])?;
    let split = quota::split(&state.tenancy.spec, &due.part, &due.items)?;
    bounded(known.iter().chain(split.keys())).map_err(|refusal| vec![refusal])?;
    Ok((lease, split))
}

/// Refuses more namespaces than a tenancy may have in its life, each name counted once.
fn bounded<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let all = names.collect::<BTreeSet<_>>().len();
    if all <= MOST_NAMESPACES {
        return Ok(());
    }
    Err(Refusal::new(
        "T33",
        format!("{all} namespaces, those counted that are no longer named"),
        format!("{MOST_NAMESPACES} in the life of a tenancy"),
        "use the names that are there already",
    ))
}

/// The request that is to be provisioned now: of those approved after the one that stands the last whose day has come,
/// else the one that stands; and when the next one comes. What a request changes is measured against what stands, not
/// against requests in between.
fn due(state: &State) -> Result<(Option<Due>, Option<Second>), Error> {
    let standing = state.view.effective();
    let base = standing.map(part_of).transpose()?;
    let after = standing.map_or(0, |request| request.request);
    let mut found: Option<(&RequestDoc, Second)> = None;
    let mut later: Option<Second> = None;
    for request in state.approved().filter(|request| request.request > after) {
        let not_before = not_before(state, base.as_ref(), request)?;
        if not_before <= state.now {
            found = Some((request, not_before));
        } else {
            later = Some(later.map_or(not_before, |known| known.min(not_before)));
        }
    }
    let Some((request, not_before)) =
        found.or_else(|| standing.map(|request| (request, request.at)))
    else {
        return Ok((None, later));
    };
    Ok((Some(as_due(state, request, not_before)?), later))
}

/// An approved request with what it leases.
fn as_due(state: &State, request: &RequestDoc, not_before: Second) -> Result<Due, Error> {
    let part = part_of(request)?;
    let items = state.items(&part).map_err(|refusals| {
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        Error::understand("the items of an approved request", text.join("; "))
    })?;
    Ok(Due {
        request: request.clone(),
        part,
        items,
        not_before,
    })
}

/// The instant before which an approved request neither is provisioned nor billed.
fn not_before(
    state: &State,
    base: Option<&ApprovedPart>,
    request: &RequestDoc,
) -> Result<Second, Error> {
    let part = part_of(request)?;
    let changes = request::changes(base, &part, &state.prices(&part))
        .map_err(|refusal| Error::understand("an approved request", refusal))?;
    let decided_at = state
        .view
        .decisions
        .get(&request.request)
        .map_or(request.at, |decision| decision.at);
    let asked =
        Asked::read(request).map_err(|error| Error::understand("an approved request", error))?;
    lease_facts::not_before(&asked, &changes, &state.policy, decided_at)
        .map_err(|error| Error::understand("the day of a change", error))
}

/// What the tenancy's namespaces carry in their labels and annotations.
pub fn identity(state: &State, items: &Items) -> NamespaceIdentity {
    NamespaceIdentity {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        system: state.tenancy.spec.system.to_string(),
        zone_name: state.tenancy.spec.zone.to_string(),
        protection_level: state.zone.spec.protection_level,
        pod_security: state.policy_object.spec.pod_security,
        storage_classes: quota::storage_classes(items),
        extended: quota::extended_resources(items),
        nameable: Nameable::of(&state.zone.spec, state.domains.clone()),
    }
}

/// How a tenancy's facts name it.
pub async fn lease_context(
    state: &State,
    context: &Context,
    part: &ApprovedPart,
) -> Result<LeaseContext, Error> {
    let (cluster, etcd) = context
        .books
        .lease_era(&state.department, &state.name, state.incarnation())
        .await?;
    Ok(LeaseContext {
        cluster,
        etcd,
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        system: part.system.to_string(),
        provider: state.provider().to_owned(),
        contract: part.contract.to_string(),
        budget: part.budget.code.to_string(),
    })
}

/// A label of an object, if it has it.
fn label<'meta>(meta: &'meta ObjectMeta, name: &str) -> Option<&'meta String> {
    meta.labels.as_ref()?.get(name)
}

/// Leased and requested, per item that maps to a resource.
pub fn usage(
    state: &State,
    context: &Context,
    report: &mut Report,
    part: &ApprovedPart,
    items: &Items,
) {
    let quotas = context.world.quotas.select(|found| {
        label(found, names::TENANCY_LABEL) == Some(&state.name)
            && label(found, names::DEPARTMENT_LABEL) == Some(&state.department)
    });
    let (places, seen): (Vec<String>, Vec<ObservedQuota>) = quotas
        .iter()
        .map(|found| {
            (
                found.namespace().unwrap_or_default(),
                quotas::observed(found),
            )
        })
        .unzip();
    report.quotas = places
        .into_iter()
        .zip(seen.iter().map(quota::told))
        .collect();
    let mut columns = Vec::new();
    for entry in &part.lease {
        let LeaseItem {
            item: name,
            quantity,
        } = entry;
        let Some(item) = items.get(name.as_str()) else {
            continue;
        };
        let Some(key) = quotas::usage_key(item) else {
            continue;
        };
        let sum_of =
            |key: &str| -> i64 { seen.iter().filter_map(|quota| quota.used.get(key)).sum() };
        let sum = sum_of(&key);
        let requested = format_quantity(sum, item.unit);
        let leased = parse_quantity(quantity, item.unit).map_or_else(
            |_| quantity.to_string(),
            |base| format_quantity(base, item.unit),
        );
        columns.push(format!("{name} {requested}/{leased}"));
        report.usage.push(ItemUsage {
            item: name.to_string(),
            leased,
            requested,
            claims: quotas::claims_key(item)
                .map(|key| u32::try_from(sum_of(&key)).unwrap_or(u32::MAX)),
            as_of: state.now.to_string(),
        });
    }
    report.used = Some(columns.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_there_and_names_that_are_asked_for_count_once_and_are_at_most_32() {
        let names = |from: usize, to: usize| -> Vec<String> {
            (from..to).map(|number| format!("n{number}")).collect()
        };
        // sixteen of them are both there and asked for
        let (there, asked) = (names(0, 24), names(8, 32));
        assert_eq!(bounded(there.iter().chain(&asked)), Ok(()));
        let more = names(8, 33);
        let refusal = bounded(there.iter().chain(&more)).unwrap_err();
        assert_eq!(refusal.rule, "T33");
        assert!(refusal.asked.starts_with("33 namespaces"), "{refusal}");
    }
}
