//! Suspension: what is ordered is recorded, and what runs is ended once nothing new can start.
//!
//! Provisioning writes the quotas: no pods while a suspension is in force, and everything else as it is, so that the
//! lease goes on. A quota ends nothing that runs already; that is done here.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::ResourceExt;
use leasehold_api::{names, platform::Suspension, tenancy::SuspensionInForce};
use leasehold_kit::KitError;
use leasehold_ledger::{
    document::{IncarnationDoc, SuspensionDoc},
    time::Second,
};
use leasehold_planner::{
    quota::PODS,
    suspension::{self, Circumstances, Order, Plan},
};

use super::{
    observe::Life,
    provision::{namespaces, observed_quota, seconds_until},
    report::Report,
    term::last_day,
    unpaid,
};
use crate::{Context, Error};

/// So soon is looked again while pods are there that should not be.
const SOON: Duration = Duration::from_secs(5);
/// Pods that one round ends at most: their calls go one after the other, and a round must end in its time.
const AT_ONCE: usize = 100;
/// So long a disruption budget may hold up the end of a pod, in seconds. It is written for maintenance, which can come
/// another day; an order to stop cannot. Five minutes are enough for a replacement that was under way to become ready,
/// and no more than what it takes to notice that nothing else helps.
const PATIENCE: i64 = 300;

/// A suspension that the tenancy is under.
pub struct Suspended {
    /// As the status shows it.
    pub shown: SuspensionInForce,
    /// Since when nothing may run.
    since: Second,
    /// Whether it is the policy's, which ends with the reason for it.
    is_policy: bool,
}

impl Suspended {
    /// What people read.
    pub fn sentence(&self) -> String {
        let SuspensionInForce {
            reason,
            authority,
            since,
            until,
            ..
        } = &self.shown;
        let end = match until {
            Some(day) => format!("through {day}"),
            None if self.is_policy => {
                "until spec.term.through is extended and approved, or the tenancy released"
                    .to_owned()
            }
            None => "until the office lifts it".to_owned(),
        };
        format!(
            "suspended since {since} by {authority}: {reason}; {end}; nothing runs, the lease goes on and is billed"
        )
    }
}

/// Finds out what is in force, tells the ledger of what begins and what ends, and looks again when an order ends.
pub async fn settle(state: &Life, context: &Context, report: &mut Report) -> Result<(), Error> {
    let Some(life) = &state.view.incarnation else {
        return Ok(());
    };
    let records = records(state, context).await?;
    let around = around(state, life, &records);
    let mut orders = ordered(state, context);
    orders.extend(by_policy(state, &around)?);
    let plan = suspension::plan(&orders, &around);
    for document in &plan.documents {
        record(state, context, document).await?;
    }
    if let Some(next) = plan.next {
        report.look_again(seconds_until(next, state.now));
    }
    report.suspended = suspended(state, plan);
    Ok(())
}

/// What the ledger is to be told of a tenancy of which nothing is left, with its release: everything ordered of it has ended.
pub async fn all_end(state: &Life, context: &Context) -> Result<Vec<SuspensionDoc>, Error> {
    let Some(life) = &state.view.incarnation else {
        return Ok(Vec::new());
    };
    let records = records(state, context).await?;
    let around = Circumstances {
        released: true,
        ..around(state, life, &records)
    };
    Ok(suspension::plan(&ordered(state, context), &around).documents)
}

/// What the ledger has of suspensions of the name.
async fn records(state: &Life, context: &Context) -> Result<Vec<SuspensionDoc>, Error> {
    let books = &context.books;
    books.suspensions(&state.department, &state.name).await
}

fn around<'a>(
    state: &'a Life,
    life: &IncarnationDoc,
    records: &'a [SuspensionDoc],
) -> Circumstances<'a> {
    Circumstances {
        department: &state.department,
        tenancy: &state.name,
        system: &state.tenancy.spec.system,
        incarnation: life.incarnation,
        released: state.gone(),
        essential: &state.organisation.spec.essential_systems,
        records,
        zone: &state.policy.time_zone,
        now: state.now,
    }
}

/// What the office has ordered of the tenancy, by name.
fn ordered(state: &Life, context: &Context) -> Vec<Order> {
    let office = state.office();
    let of_ours = |found: &Suspension| {
        found.metadata.namespace.as_ref() == Some(&office)
            && found.spec.tenancy.as_str() == state.name
    };
    let found = context.world.suspensions.select(of_ours);
    let mut orders: Vec<Order> = found.iter().map(Order::of).collect();
    orders.sort_by(|a, b| a.name.cmp(&b.name));
    orders
}

/// What the policy orders of a tenancy whose term is over, and was not extended either.
fn by_policy(state: &Life, around: &Circumstances<'_>) -> Result<Option<Order>, Error> {
    // what does not stand yet cannot be stopped
    let last = state.view.effective().and(last_day(state)?);
    let Some(through) = last else {
        return Ok(None);
    };
    let releasing = state.releasing();
    let policy = &state.policy_object.spec.expiry;
    Ok(suspension::by_policy(through, releasing, policy, around))
}

async fn record(state: &Life, context: &Context, document: &SuspensionDoc) -> Result<(), Error> {
    context.books.ensure(document, state.now).await?;
    tracing::info!(
        department = state.department,
        tenancy = state.name,
        order = document.name,
        stage = ?document.stage,
        "suspension"
    );
    Ok(())
}

/// What is shown of it, with the pods that earlier rounds ended for it.
fn suspended(state: &Life, plan: Plan) -> Option<Suspended> {
    let (order, since) = plan.shown?;
    let known = state.tenancy.status.as_ref();
    let known = known.and_then(|status| status.suspension.as_ref());
    let known = known.filter(|known| known.name == order.name);
    Some(Suspended {
        since: plan.since.unwrap_or(since),
        is_policy: order.is_policy,
        shown: SuspensionInForce {
            name: order.name,
            reason: order.reason,
            authority: order.authority,
            by: order.by,
            since: since.in_zone(&state.policy.time_zone),
            until: order.until.map(|day| day.to_string()),
            evicted: known.map_or(0, |known| known.evicted),
        },
    })
}

/// Ends what runs although nothing may, by order, because nobody pays for it or because its data are about to be copied, in
/// the namespaces where nothing new can start any more.
pub async fn stop(state: &Life, context: &Context, report: &mut Report) -> Result<(), Error> {
    let unpaid = match report.ends.take() {
        Some(ends) => Some(ends),
        None => unpaid::find(state, context).await?,
    };
    let ordered = report.suspended.as_ref().map(|suspended| suspended.since);
    let since = ordered
        .into_iter()
        .chain(unpaid.as_ref().map(|unpaid| unpaid.since));
    let Some(since) = since.min() else {
        return Ok(());
    };
    // a clock that was set back makes it wait for twice as long at the most, and takes no budget its say
    let is_patient = (-PATIENCE..PATIENCE).contains(&state.now.since(since));
    let standing = namespaces::standing(state, context).await?;
    let mut tally = Tally::default();
    let mut failed = None;
    for short in &standing.short {
        let place = names::tenancy_namespace(&state.department, short);
        match stop_in(context, &place, is_patient, &mut tally).await {
            Ok(true) => {}
            Ok(false) => report.look_again(SOON),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    let Tally { ended, held, .. } = tally;
    if let Some(suspended) = &mut report.suspended {
        suspended.shown.evicted = suspended.shown.evicted.saturating_add(ended);
    }
    let why = match unpaid {
        Some(unpaid) if ended > 0 => {
            let what = format!("{ended} pods ended: {}", unpaid.why);
            report.happened(state, "leasehold", &what);
            format!("{}: ", unpaid.why)
        }
        Some(unpaid) => format!("{}: ", unpaid.why),
        None => String::new(),
    };
    if held > 0 {
        report.wait(format!(
            "{why}{held} pods are held up by disruption budgets and deleted at {} at the latest",
            since.plus(PATIENCE).in_zone(&state.policy.time_zone)
        ));
    }
    // what runs elsewhere was ended all the same
    failed.or(standing.failed).map_or(Ok(()), Err)
}

/// What one round has done.
#[derive(Default)]
struct Tally {
    /// Pods that end.
    ended: u32,
    /// Pods that a disruption budget keeps for now.
    held: u32,
    /// Pods that it has asked for.
    asked: usize,
}

/// Ends what runs in a namespace, once nothing new can start there. Tells whether nothing ran.
async fn stop_in(
    context: &Context,
    place: &str,
    is_patient: bool,
    tally: &mut Tally,
) -> Result<bool, Error> {
    if !is_closed(context, place).await? {
        return Ok(false);
    }
    let mut pods: Vec<Pod> = context.kit.list(Some(place), None).await?;
    pods.retain(is_running);
    // a cache may lag, and show what was before something was let run again
    if pods.is_empty() || !stands_closed(context, place).await? {
        return Ok(pods.is_empty());
    }
    for pod in pods.iter().take(AT_ONCE.saturating_sub(tally.asked)) {
        tally.asked = tally.asked.saturating_add(1);
        match end(context, place, pod, is_patient).await? {
            End::Ends => tally.ended = tally.ended.saturating_add(1),
            End::Held => tally.held = tally.held.saturating_add(1),
            End::Gone => {}
        }
    }
    Ok(false)
}

/// Whether admission lets no pod into the namespace any more, as far as it was seen. A quota that no cache shows may have lost
/// the label by which it is found, and stand all the same.
async fn is_closed(context: &Context, place: &str) -> Result<bool, Error> {
    match context.world.quotas.get(Some(place), names::QUOTA_NAME) {
        Some(quota) => Ok(keeps_pods_out(&quota)),
        None => stands_closed(context, place).await,
    }
}

/// Whether it lets none in at this moment.
async fn stands_closed(context: &Context, place: &str) -> Result<bool, Error> {
    let kit = &context.kit;
    let quota = kit.get::<ResourceQuota>(Some(place), names::QUOTA_NAME);
    Ok(quota.await?.as_ref().is_some_and(keeps_pods_out))
}

fn keeps_pods_out(quota: &ResourceQuota) -> bool {
    let quota = observed_quota(quota);
    let counted = quota.status_hard.unwrap_or_default();
    let none = Some(&0);
    quota.spec_hard.get(PODS) == none && counted.get(PODS) == none
}

/// Whether the pod uses anything and nobody has asked for its end. What has finished is its owner's to keep.
fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// What came of the wish to end a pod.
enum End {
    /// It ends, in the time that it asks for.
    Ends,
    /// A disruption budget keeps it for now.
    Held,
    /// It is not there any more.
    Gone,
}

/// Evicts a pod, as maintenance would. One that is kept is deleted when patience is over; it gets its grace either way.
async fn end(context: &Context, place: &str, pod: &Pod, is_patient: bool) -> Result<End, Error> {
    let (kit, name) = (&context.kit, pod.name_any());
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let mut outcome = kit.evict(place, &name, uid).await;
    let is_held = outcome.as_ref().is_err_and(KitError::is_transient);
    if is_held && is_patient {
        return Ok(End::Held);
    }
    if is_held {
        outcome = kit.delete::<Pod>(Some(place), &name, uid).await;
    }
    match outcome {
        Ok(true) => Ok(End::Ends),
        Ok(false) => Ok(End::Gone),
        // another pod has the name by now, and the next round sees it
        Err(error) if error.is_conflict() => Ok(End::Gone),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: Option<&str>, ends: bool) -> Pod {
        let mut pod = json!({"metadata": {"name": "web"}, "status": {"phase": phase}});
        if ends {
            pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T02:00:00Z");
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_has_finished_or_ends_already_is_left_alone() {
        for phase in [None, Some("Pending"), Some("Running"), Some("Unknown")] {
            assert!(is_running(&pod(phase, false)), "{phase:?}");
            assert!(!is_running(&pod(phase, true)), "{phase:?}");
        }
        assert!(!is_running(&pod(Some("Succeeded"), false)));
        assert!(!is_running(&pod(Some("Failed"), false)));
        assert!(is_running(&Pod::default()));
    }

    fn suspended(until: Option<&str>, is_policy: bool) -> Suspended {
        Suspended {
            shown: SuspensionInForce {
                name: "oa".to_owned(),
                reason: "安全整改".to_owned(),
                authority: "市政府办 黄政办〔2027〕3号".to_owned(),
                by: "chen@office".to_owned(),
                since: "2027-01-15T10:00:00+08:00".to_owned(),
                until: until.map(str::to_owned),
                evicted: 0,
            },
            since: Second::new(0),
            is_policy,
        }
    }

    #[test]
    fn people_read_who_ordered_it_why_and_when_it_ends() {
        let told = suspended(Some("2027-02-28"), false).sentence();
        for words in [
            "since 2027-01-15T10:00:00+08:00 by 市政府办 黄政办〔2027〕3号: 安全整改",
            "through 2027-02-28",
            "billed",
        ] {
            assert!(told.contains(words), "{told}");
        }
        assert!(
            suspended(None, false)
                .sentence()
                .contains("until the office lifts it")
        );
        assert!(
            suspended(None, true)
                .sentence()
                .contains("spec.term.through")
        );
    }
}
