//! Release: growth stops, the office signs, the grace passes, namespaces go, the last bill is drawn.

mod back;
mod question;
mod sign_off;

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use leasehold_api::{
    names,
    tenancy::{NamespaceStatus, Phase},
};
use leasehold_ledger::{
    book::{Category, Item, Per},
    document::{NamespaceDoc, ReleaseDoc, ReleaseStage},
    time::Second,
};
use leasehold_planner::{
    lease_facts::{self, LeaseCause, OpenLease},
    objects::NamespacePlan,
    papers,
    quota::{self, Hard},
    request::{ApprovedPart, Items},
};
use leasehold_store::Record;

pub use back::settle as take_back;
pub use sign_off::shown as sign_off_shown;

use super::{
    drifts,
    observe::State,
    provision::{
        contents, describe_volumes, identity, is_billed, lease_context, lingering, namespaces,
        nothing_late, observed_quota, record_gone, seconds_until, settle_acceptance, step_quotas,
        tell_acceptance_released, usage,
    },
    report::Report,
    requests::part_of,
    retain, suspension,
};
use crate::{Context, Error};

const SOON: Duration = Duration::from_secs(2);
/// So soon is looked again whether a pod is gone that no quota counts any more.
const LINGERS: Duration = Duration::from_secs(15);

/// One round of a tenancy whose end was asked for.
pub async fn advance(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    report.phase = Phase::Reclaiming;
    // what is late here is the department's use, which is billed until it ends
    nothing_late(state, context);
    let requested = requested(state, context, report).await?;
    report.reclaiming_since = Some(requested.in_zone(&state.policy.time_zone));
    sign_off::settle(state, context, report).await?;
    let mut standing = namespaces::standing(state, context).await?;
    let unread = standing.failed.take();
    let advanced = proceed(state, context, report, requested, &standing).await;
    // those that could be read do not wait for the one that could not
    advanced.and(unread.map_or(Ok(()), Err))
}

async fn proceed(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    requested: Second,
    standing: &namespaces::Standing,
) -> Result<(), Error> {
    let known = context
        .books
        .namespaces(&state.department, &state.name, state.incarnation())
        .await?;
    if !known.is_empty() {
        // asking for the end is no rejection: what is still in place then counts as accepted at the promised instant
        settle_acceptance(state, context, report).await?;
        tell_acceptance_released(state, report);
    }
    let provisioned = state.view.effective().or(state.view.approved());
    let part = provisioned.map(part_of).transpose()?;
    if let Some(part) = &part {
        let items = items(state, part)?;
        report.approved.clone_from(&part.lease);
        usage(state, context, report, part, &items);
        stop(state, context, report, (part, &items), standing).await?;
    }
    for document in known.values() {
        report.namespaces.push(NamespaceStatus {
            name: document.name.clone(),
            uid: Some(document.uid.clone()),
            ready: false,
            message: Some("kept until the release is approved and the grace is over".to_owned()),
            ..NamespaceStatus::default()
        });
    }
    describe_volumes(state, context, &mut report.namespaces);
    if known.is_empty() {
        return released(state, context, report, part.as_ref()).await;
    }
    let Some(approved) = question::approved(state, context, report).await? else {
        return Ok(());
    };
    let due = requested.plus(i64::from(state.policy_object.spec.release.grace_seconds));
    if is_in_grace(state, report, due) {
        return Ok(());
    }
    let Some(since) = sign_off::given(state, report, due.max(approved)) else {
        return Ok(());
    };
    if !Box::pin(retain::before_deletion(
        state, context, report, &known, since,
    ))
    .await?
    {
        return Ok(());
    }
    delete_namespaces(state, context, report, &known).await
}

/// Whether the grace is not over, which is then told.
fn is_in_grace(state: &State, report: &mut Report, due: Second) -> bool {
    if due <= state.now {
        return false;
    }
    report.wait(format!(
        "released, and the namespaces deleted, after the grace period at {}",
        due.in_zone(&state.policy.time_zone)
    ));
    report.look_again(seconds_until(due, state.now));
    true
}

/// Records the wish to end the tenancy, once.
async fn requested(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<Second, Error> {
    if let Some(document) = state.view.release_asked() {
        return Ok(document.at);
    }
    let release = state.tenancy.spec.release.as_ref();
    let backup = release.and_then(|release| release.backup.as_ref());
    let document = ReleaseDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        stage: ReleaseStage::Requested,
        round: state.view.release_round(),
        requested_by: state.requested_by(),
        at: state.now,
        kept: retain::named(state),
        backup: backup.map(papers::word),
    };
    let document = context.books.ensure(&document, state.now).await?;
    report.happened(
        state,
        &document.requested_by,
        "asked to release the tenancy",
    );
    state.refresh(context).await?;
    Ok(document.at)
}

fn items(state: &State, part: &ApprovedPart) -> Result<Items, Error> {
    state.items(part).map_err(|refusals| {
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        Error::understand("the items of the approved lease", text.join("; "))
    })
}

/// Growth stops at once. Compute is billed until nothing runs any more, storage until it is removed; what runs and is not
/// billed is ended (`unpaid`).
async fn stop(
    state: &State,
    context: &Context,
    report: &mut Report,
    (part, items): (&ApprovedPart, &Items),
    standing: &namespaces::Standing,
) -> Result<(), Error> {
    let lease = quota::lease_hard(part, items)
        .map_err(|refusal| Error::understand("the approved lease", refusal))?;
    let identity = identity(state, items);
    let mut desired: BTreeMap<String, Hard> = BTreeMap::new();
    let (mut idle, mut failed) = (true, None);
    let each = join_all(standing.short.iter().map(async |short| {
        let plan = NamespacePlan::new(identity.clone(), short, Hard::new());
        let fenced = contents::fence(state, context, &plan, false).await;
        let emptied = emptied(context, &plan.name, &lease).await;
        (short, emptied, fenced)
    }));
    for (short, found, fenced) in each.await {
        match found {
            Ok((emptied, unused)) => {
                idle &= unused;
                desired.insert(short.clone(), emptied);
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
        failed = failed.or(fenced.err());
    }
    let step = step_quotas(context, &identity, &lease, &desired, &[], true).await?;
    // what cannot be read or fenced keeps the others from nothing
    if let Some(error) = failed {
        return Err(error);
    }
    if !step.settled {
        report.look_again(SOON);
        return Ok(());
    }
    let open = open(state, context).await?;
    let is_left = open
        .keys()
        .any(|item| items.get(item).is_none_or(is_for_running));
    // a quota no longer counts a pod that overstays its time to end, and a namespace that ends has none
    if idle && (!is_left || !standing.unsure.is_empty()) {
        return Ok(());
    }
    if idle && !is_running(state, context, standing).await? {
        return close_items(state, context, (part, items), &open, is_for_running).await;
    }
    let told = if is_billed(state, context).await? {
        "workloads still run and are billed until they end; remove them"
    } else {
        "workloads still run and nobody pays for them; they are ended"
    };
    report.wait(told);
    if idle {
        // no quota tells of their end
        report.look_again(LINGERS);
    }
    Ok(())
}

/// What a namespace's quota is to be, and whether it says that nothing runs. One that no cache shows may have lost the
/// label by which it is found; one that is gone is made anew with nothing in it, for without it anything could start, and
/// nobody ends what runs where more can. It is read as it stands: a cache may lag, and the storage is to stay as it is.
async fn emptied(context: &Context, place: &str, lease: &Hard) -> Result<(Hard, bool), Error> {
    let kit = &context.kit;
    let found = kit.get::<ResourceQuota>(Some(place), names::QUOTA_NAME);
    let Some(found) = found.await? else {
        return Ok((nothing(lease), false));
    };
    let quota = observed_quota(&found);
    let hard = without_compute(&quota.spec_hard);
    let mut used = quota.used.iter();
    let unused = used.all(|(key, used)| !is_compute(key) || *used == 0);
    Ok((hard, unused))
}

/// A quota of which nothing is leased and in which nothing runs.
fn nothing(lease: &Hard) -> Hard {
    let counts = quota::OBJECT_COUNTS.iter();
    let mut hard: Hard = counts
        .map(|(key, most)| ((*key).to_owned(), *most))
        .collect();
    hard.extend(lease.keys().map(|key| (key.clone(), 0)));
    hard.insert(quota::PODS.to_owned(), 0);
    hard
}

/// Whether a pod is left in any namespace, those that end among them.
async fn is_running(
    state: &State,
    context: &Context,
    standing: &namespaces::Standing,
) -> Result<bool, Error> {
    for short in standing.short.iter().chain(&standing.ending) {
        let place = names::tenancy_namespace(&state.department, short);
        if lingering::runs(context, &place).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an item is for what runs. What is paid once was paid.
fn is_for_running(item: &Item) -> bool {
    !matches!(item.category, Category::Storage | Category::Backup) && item.per != Per::Once
}

/// What is billed of the lease.
async fn open(state: &State, context: &Context) -> Result<BTreeMap<String, OpenLease>, Error> {
    let books = &context.books;
    books
        .open_lease(&state.department, &state.name, state.incarnation())
        .await
}

/// Whether a quota key counts what runs.
fn is_compute(key: &str) -> bool {
    quota::is_leased(key) && !key.ends_with("requests.storage")
}

/// The quota with nothing left to run on: storage stays, everything else that is leased goes to zero, and so do pods.
fn without_compute(hard: &Hard) -> Hard {
    hard.iter()
        .map(|(key, amount)| {
            let stays = !is_compute(key) && key != quota::PODS;
            (key.clone(), if stays { *amount } else { 0 })
        })
        .collect()
}

/// Ends the billing of the items that the test holds for.
async fn close_items(
    state: &State,
    context: &Context,
    (part, items): (&ApprovedPart, &Items),
    open: &BTreeMap<String, OpenLease>,
    ends: impl Fn(&Item) -> bool,
) -> Result<(), Error> {
    let stays: BTreeMap<String, i64> = open
        .iter()
        .filter(|(item, _)| items.get(*item).is_some_and(|found| !ends(found)))
        .map(|(item, held)| (item.clone(), held.quantity))
        .collect();
    if stays.len() == open.len() {
        return Ok(());
    }
    // of what stood only partly some is billed as well
    let provisioned = state.view.effective().or(state.view.approved());
    let request = provisioned.map_or(0, |request| request.request);
    let lease = lease_context(state, context, part).await?;
    let cause = LeaseCause::Release {
        last_request: request,
        round: state.view.release_round(),
    };
    let facts = lease_facts::lease_facts(&lease, open, &stays, cause, context.now());
    context
        .books
        .commit(facts.into_iter().map(Record::from).collect(), state.now)
        .await?;
    Ok(())
}

async fn delete_namespaces(
    state: &State,
    context: &Context,
    report: &mut Report,
    known: &BTreeMap<String, NamespaceDoc>,
) -> Result<(), Error> {
    report.look_again(SOON);
    for (uid, document) in known {
        let found = context.kit.get::<Namespace>(None, &document.name).await?;
        match found {
            Some(found) if found.metadata.uid.as_deref() == Some(uid) => {
                if found.metadata.deletion_timestamp.is_none() {
                    context
                        .kit
                        .delete::<Namespace>(None, &document.name, uid)
                        .await?;
                }
                report.wait(format!("namespace {} is being deleted", document.name));
            }
            Some(_) | None => record_gone(state, context, uid).await?,
        }
    }
    Ok(())
}

/// Nothing is left: the last items end, and the name is free for a new tenancy.
async fn released(
    state: &mut State,
    context: &Context,
    report: &mut Report,
    part: Option<&ApprovedPart>,
) -> Result<(), Error> {
    if let Some(part) = part {
        let (items, open) = (items(state, part)?, open(state, context).await?);
        close_items(state, context, (part, &items), &open, |_| true).await?;
    }
    let document = ReleaseDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        stage: ReleaseStage::Released,
        round: state.view.release_round(),
        requested_by: state.requested_by(),
        at: state.now,
        kept: Vec::new(),
        backup: None,
    };
    // what is ordered of it ends with it: whoever leases under its name looks at no order of this life any more
    let ends = suspension::all_end(state, context).await?;
    let ends = ends.iter().map(Record::document);
    let records = ends.chain([Record::document(&document)]);
    let records = records.collect::<Result<Vec<_>, _>>()?;
    context.books.commit(records, state.now).await?;
    // with nothing left, nothing is accepted by itself any more
    context.leases.settled(&state.department, &state.name);
    report.phase = Phase::Released;
    report.happened(state, "leasehold", "released");
    drifts::forget(state, context);
    state.refresh(context).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tenancy::provision::fixture::{
        Fake, context, in_place, items, list, refusal, state,
    };

    #[tokio::test]
    async fn a_quota_that_cannot_be_read_keeps_no_other_from_being_emptied() {
        let state = state(&[("prod", "5"), ("test", "5")]);
        let (namespaces, quotas): (Vec<_>, Vec<_>) = in_place(&state).into_iter().unzip();
        let fake = Fake::start(move |call| match (&*call.method, &*call.path) {
            ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
            ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
            ("GET", "/api/v1/namespaces/edu--prod/resourcequotas/leasehold") => {
                Some(refusal(403, "Forbidden"))
            }
            ("GET", "/api/v1/namespaces/edu--test/resourcequotas/leasehold") => {
                Some((200, quotas[1].clone()))
            }
            _ => None,
        })
        .await;
        let (context, _tasks) = context(&fake).await;
        let standing = namespaces::standing(&state, &context).await.unwrap();
        let (part, items) = (state.asked.part.clone(), items());
        let mut report = Report::new(&state);
        let stopped = stop(&state, &context, &mut report, (&part, &items), &standing).await;
        assert!(stopped.is_err(), "it is tried again");
        let written = fake.writes("/edu--test/resourcequotas/leasehold");
        let [(_, quota)] = written.as_slice() else {
            panic!("{written:?}");
        };
        assert_eq!(quota["spec"]["hard"]["requests.cpu"], "0");
    }

    #[tokio::test]
    async fn a_release_leaves_the_storage_that_stands_and_not_what_a_cache_that_lags_shows() {
        let quota = |cores: &str, storage: &str| {
            json!({"metadata": {"name": "leasehold", "namespace": "edu--prod", "uid": "u-1"},
                "spec": {"hard": {"requests.cpu": cores, "requests.storage": storage}}})
        };
        // of a namespace that was named again a moment before, a cache may still show that it was emptied
        for cores in ["2", "0"] {
            let (cached, stands) = (quota(cores, "4Gi"), quota("2", "6Gi"));
            let fake = Fake::start(move |call| match call.path.as_str() {
                "/api/v1/resourcequotas" => Some(list(std::slice::from_ref(&cached))),
                path if path.ends_with("/resourcequotas/leasehold") => Some((200, stands.clone())),
                _ => None,
            })
            .await;
            let (context, _tasks) = context(&fake).await;
            let (hard, _) = emptied(&context, "edu--prod", &Hard::new()).await.unwrap();
            assert_eq!(hard["requests.cpu"], 0, "{cores}");
            assert_eq!(hard["requests.storage"], 6 << 30, "{cores}");
        }
    }

    #[test]
    fn a_quota_that_is_made_anew_in_a_release_lets_nothing_run_and_grants_nothing() {
        let lease = Hard::from([
            ("requests.cpu".to_owned(), 8000),
            ("requests.storage".to_owned(), 5),
        ]);
        let made = nothing(&lease);
        for key in ["requests.cpu", "requests.storage", "pods"] {
            assert_eq!(made.get(key), Some(&0), "{key}");
        }
        assert_eq!(made.get("secrets"), Some(&200), "what is there stays");
    }

    #[test]
    fn a_release_takes_compute_and_pods_at_once_and_leaves_storage() {
        let hard = Hard::from([
            ("requests.cpu".to_owned(), 8000),
            ("limits.memory".to_owned(), 1 << 30),
            ("requests.nvidia.com/gpu".to_owned(), 2),
            ("pods".to_owned(), 64),
            ("requests.storage".to_owned(), 5),
            (
                "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                5,
            ),
            ("configmaps".to_owned(), 200),
        ]);
        let left: Vec<(String, i64)> = without_compute(&hard)
            .into_iter()
            .filter(|(_, amount)| *amount > 0)
            .collect();
        assert_eq!(
            left,
            [
                ("configmaps".to_owned(), 200),
                ("requests.storage".to_owned(), 5),
                (
                    "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                    5
                ),
            ]
        );
    }
}
