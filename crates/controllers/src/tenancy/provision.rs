//! Provisioning: what is approved and due becomes namespaces, quotas, policies, rights and volumes; then it is billed.

mod contents;
mod namespaces;
mod quotas;

use std::{collections::BTreeMap, time::Duration};

use kube::ResourceExt;
use leasehold_api::{
    names,
    tenancy::{ItemUsage, LeaseItem, NamespaceStatus, Phase},
};
use leasehold_ledger::{
    document::{EffectiveDoc, NamespaceDoc, RequestDoc},
    fact::Fact,
    money::{format_quantity, parse_quantity},
    time::Second,
};
use leasehold_planner::{
    lease_facts::{self, LeaseCause, LeaseContext},
    objects::{NamespaceIdentity, NamespacePlan},
    quota::{self, Hard},
    request::{self, ApprovedPart, Asked, Items},
};
use leasehold_store::Record;

pub use namespaces::record_gone;
pub use quotas::{observed as observed_quota, step_quotas};

use super::{observe::State, report::Report, requests::part_of};
use crate::{Context, Error, books::lease_uid};

/// How soon to look again while the cluster catches up.
const SOON: Duration = Duration::from_secs(2);

/// The request that is due, and when the next approved one comes.
struct Due {
    request: RequestDoc,
    part: ApprovedPart,
    items: Items,
    not_before: Second,
    later: Option<Second>,
}

/// Makes what is approved and due, and records from when it is billed.
pub async fn advance(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    let Some(due) = due(state)? else {
        return Ok(());
    };
    if let Some(later) = due.later {
        report.look_again(seconds_until(later, state.now));
    }
    report.approved.clone_from(&due.part.lease);
    usage(state, context, report, &due.part, &due.items);
    let ready = provision(state, context, report, &due).await?;
    finish(state, context, report, &due, ready).await
}

/// How long until this instant, at least a second.
pub fn seconds_until(instant: Second, now: Second) -> Duration {
    Duration::from_secs(u64::try_from(instant.since(now).max(1)).unwrap_or(1))
}

/// Whether everything that the due request leases is in place.
async fn provision(
    state: &State,
    context: &Context,
    report: &mut Report,
    due: &Due,
) -> Result<bool, Error> {
    let lease = match quota::lease_hard(&due.part, &due.items) {
        Ok(lease) => lease,
        Err(refusal) => {
            report.refuse(&[refusal]);
            return Ok(false);
        }
    };
    let split =
        match quota::split(&state.tenancy.spec, &due.part, &due.items) {
            Ok(split) => split,
            Err(refusals) => {
                report.wait(format!(
                "the split among namespaces stays as it is until it fits the approved lease: {}",
                refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            ));
                return Ok(false);
            }
        };
    let known = context
        .books
        .namespaces(&state.department, &state.name, state.incarnation())
        .await?;
    let identity = identity(state, &due.items);
    let plans: BTreeMap<String, NamespacePlan> = split
        .iter()
        .map(|(short, hard)| {
            (
                short.clone(),
                NamespacePlan::new(identity.clone(), short, hard.clone()),
            )
        })
        .collect();
    let mut ready = namespaces::ensure(state, context, report, &plans).await?;
    let mut desired = split;
    abandoned(state, &known, &mut desired, &lease, report);
    let step = step_quotas(context, &identity, &lease, &desired, false).await?;
    ready &= step.settled;
    report.refuse(&step.refused);
    step.waiting
        .into_iter()
        .for_each(|sentence| report.wait(sentence));
    for plan in plans.values() {
        ready &= contents::ensure(state, context, report, plan, &due.items, step.settled).await?;
    }
    Ok(ready)
}

/// Records the start of billing once everything stands, and says where the tenancy stands.
async fn finish(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
    ready: bool,
) -> Result<(), Error> {
    if ready {
        start_billing(state, context, report, due).await?;
        let undecided = state.view.open().is_some();
        report.phase = if undecided {
            Phase::Changing
        } else {
            Phase::Active
        };
        return Ok(());
    }
    let stands = state.view.effective().is_some();
    report.phase = if stands {
        Phase::Changing
    } else {
        Phase::Approved
    };
    report.look_again(SOON);
    Ok(())
}

/// The highest approved request whose day has come.
fn due(state: &State) -> Result<Option<Due>, Error> {
    let mut due: Option<Due> = None;
    let mut later: Option<Second> = None;
    for request in state.approved() {
        let part = part_of(request)?;
        let old = due.as_ref().map(|due| &due.part);
        let changes = request::changes(old, &part, &state.prices(&part))
            .map_err(|refusal| Error::understand("an approved request", refusal))?;
        let decided_at = state
            .view
            .decisions
            .get(&request.request)
            .map_or(request.at, |decision| decision.at);
        let asked = Asked::read(request)
            .map_err(|error| Error::understand("an approved request", error))?;
        let not_before = lease_facts::not_before(&asked, &changes, &state.policy, decided_at)
            .map_err(|error| Error::understand("the day of a change", error))?;
        if not_before > state.now {
            later = Some(later.map_or(not_before, |known| known.min(not_before)));
            continue;
        }
        let items = state.items(&part).map_err(|refusals| {
            let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            Error::understand("the items of an approved request", text.join("; "))
        })?;
        due = Some(Due {
            request: request.clone(),
            part,
            items,
            not_before,
            later: None,
        });
    }
    Ok(due.map(|due| Due { later, ..due }))
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
    }
}

/// Namespaces that the manifest no longer names keep what is in them and get nothing more.
fn abandoned(
    state: &State,
    known: &BTreeMap<String, NamespaceDoc>,
    desired: &mut BTreeMap<String, Hard>,
    lease: &Hard,
    report: &mut Report,
) {
    let prefix = names::tenancy_namespace(&state.department, "");
    for document in known.values() {
        let Some(short) = document.name.strip_prefix(&prefix) else {
            continue;
        };
        if desired.contains_key(short) {
            continue;
        }
        desired.insert(
            short.to_owned(),
            lease.keys().map(|key| (key.clone(), 0)).collect(),
        );
        report.namespaces.push(NamespaceStatus {
            name: document.name.clone(),
            uid: Some(document.uid.clone()),
            ready: true,
            message: Some(
                "no longer in spec.namespaces: nothing new can start in it; it goes with the release"
                    .to_owned(),
            ),
        });
    }
}

/// How a tenancy's facts name it.
pub fn lease_context(state: &State, context: &Context, part: &ApprovedPart) -> LeaseContext {
    let cluster = context.books.cluster();
    LeaseContext {
        cluster: cluster.uid.clone(),
        etcd: cluster.etcd,
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        system: part.system.to_string(),
        provider: state.provider().to_owned(),
        contract: part.contract.to_string(),
        budget: part.budget.code.to_string(),
    }
}

/// Records that the request's quota stands, and from when each item is billed.
async fn start_billing(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    due: &Due,
) -> Result<(), Error> {
    let number = due.request.request;
    if state
        .view
        .effective
        .iter()
        .any(|document| document.request == number)
    {
        return Ok(());
    }
    let open = context
        .books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await?;
    let target = quantities(due)?;
    let shrinks = !open.is_empty()
        && target
            .iter()
            .all(|(item, asked)| open.get(item).is_some_and(|held| *asked <= held.quantity));
    let promised = due.not_before > due.request.at;
    // a decrease counts from the instant that was promised: if we were late, that is the office's cost
    let at = if shrinks && promised {
        due.not_before
    } else {
        context.now()
    };
    let lease = lease_context(state, context, &due.part);
    let facts: Vec<Fact> =
        lease_facts::lease_facts(&lease, &open, &target, LeaseCause::Request(number), at);
    let mut records: Vec<Record> = facts.into_iter().map(Record::from).collect();
    records.push(Record::document(&EffectiveDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        request: number,
        not_before: due.not_before,
        at,
    })?);
    context.books.commit(records, state.now).await?;
    report.happened(
        state,
        "leasehold",
        &format!("request {number} stands; billed from {at}"),
    );
    let tenancy = lease_uid(&state.department, &state.name, state.incarnation());
    tracing::info!(tenancy, request = number, %at, "lease stands");
    state.refresh(context).await
}

fn quantities(due: &Due) -> Result<BTreeMap<String, i64>, Error> {
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

/// Leased and requested, per item that maps to a resource.
pub fn usage(
    state: &State,
    context: &Context,
    report: &mut Report,
    part: &ApprovedPart,
    items: &Items,
) {
    let quotas = context.world.quotas.select(|found| {
        found.labels().get(names::TENANCY_LABEL) == Some(&state.name)
            && found.labels().get(names::DEPARTMENT_LABEL) == Some(&state.department)
    });
    let used: Vec<Hard> = quotas
        .iter()
        .map(|found| quotas::observed(found).used)
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
        let sum: i64 = used.iter().filter_map(|hard| hard.get(&key)).sum();
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
            as_of: state.now.to_string(),
        });
    }
    report.used = Some(columns.join(", "));
}
