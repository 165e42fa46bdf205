//! Snapshots in place of volumes: whether they can be promised, and how one is made before its volume goes.
//!
//! The pods end first, for what they write afterwards would not be in it. Then the snapshot is wished for and waited for,
//! from the wish on for as long as the policy says; its content is held, which is read back; and the ledger records it. Only
//! then may the namespace go. Wherever that does not succeed, or not in time, the volume itself is held, as it would be with
//! Retain: nobody keeps a namespace for ever by writing into it, and no controller by answering nothing. What was marked on
//! the way and not recorded is recorded before the namespace goes.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use leasehold_api::{
    conditions::types,
    names::{self, DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, TENANCY_LABEL},
    tenancy::{NamespaceShare, Reclaim, RetainedVolume, Volume},
};
use leasehold_kit::{EventType, KitError};
use leasehold_ledger::{
    document::{Document, SnapshotGoneDoc, SnapshotRetainedDoc, VolumeEnd},
    money::{Unit, format_quantity},
    time::Second,
};
use leasehold_planner::{
    request::Items,
    retention::{self, Term},
    rules::Refusal,
    snapshots::{
        self, Care, Offer, Progress, Taking, VolumeSnapshot, VolumeSnapshotClass,
        VolumeSnapshotContent,
    },
};

use super::{
    observe::State,
    report::Report,
    retain::{self, Held},
    unpaid::Unpaid,
};
use crate::{Context, Error, verdict::told};

/// So many seconds after a pod should have ended it is not waited for any more: its node is lost.
const LOST_AFTER: i64 = 60;

/// So many seconds after their namespace could go, its pods have ended at last: they may take an hour for it (rule N05), and
/// disruption budgets hold them up for five minutes before. Five more are for those who ask for it.
const PODS_END: i64 = 4200;

/// A volume of which a snapshot is to be kept.
struct Case<'a> {
    state: &'a State,
    context: &'a Context,
    term: Term,
    /// Since when the namespace could go but for this.
    since: Second,
    place: &'a str,
    name: &'a str,
    claim: &'a PersistentVolumeClaim,
    volume: &'a PersistentVolume,
}

/// Why no snapshot of a named volume can be promised, if one is asked for. While it is not known what the cluster has,
/// nothing is said.
pub fn refused(
    context: &Context,
    place: &str,
    volume: &Volume,
    class: Option<&str>,
) -> Option<Refusal> {
    if volume.reclaim != Reclaim::Snapshot {
        return None;
    }
    let world = &context.world;
    let is_installed = world.snapshot_classes.is_served()?;
    let class = class.and_then(|class| world.storage_classes.get(None, class));
    let classes = world.snapshot_classes.select(|_| true);
    let offer = Offer {
        is_installed,
        classes: &classes,
    };
    snapshots::refused(volume, place, class.as_ref(), offer)
}

/// The same of all volumes that the manifest names.
pub fn all_refused(state: &State, context: &Context, items: &Items) -> Vec<Refusal> {
    let of = |share: &NamespaceShare| {
        let place = names::tenancy_namespace(&state.department, &share.name);
        let found = share.volumes.iter().filter_map(|volume| {
            let item = items.get(volume.item.as_str());
            let class = item.and_then(|item| item.storage_class.as_deref());
            refused(context, &place, volume, class)
        });
        found.collect::<Vec<Refusal>>()
    };
    state.tenancy.spec.namespaces.iter().flat_map(of).collect()
}

/// Makes a snapshot of a named volume and holds it, or holds the volume where none can be had. Whichever stays, nothing else
/// that was marked on the way is left to itself.
pub async fn keep(
    state: &State,
    context: &Context,
    report: &mut Report,
    (place, name): (&str, &str),
    since: Second,
) -> Result<Held, Error> {
    let Some((claim, volume)) = retain::bound(context, place, name).await? else {
        return Ok(Held::Nothing);
    };
    let case = Case {
        state,
        context,
        term: retain::term(state, context),
        since,
        place,
        name,
        claim: &claim,
        volume: &volume,
    };
    // one that another claim has is not this one's to keep
    if retention::document(&case.term, &claim, &volume).is_none() {
        return retain::keep_volume(state, context, &claim, &volume).await;
    }
    let held = either(&case, report).await?;
    let Held::Stays(told) = held else {
        return Ok(held);
    };
    if let Err(error) = tend(&case, report).await {
        // it was recorded, and would not be told by another round
        if let Some(sentence) = told {
            report.happened(state, "leasehold", &sentence);
        }
        return Err(error);
    }
    Ok(Held::Stays(told))
}

/// The snapshot, or the volume where no snapshot can be had.
async fn either(case: &Case<'_>, report: &mut Report) -> Result<Held, Error> {
    let Case {
        state,
        context,
        claim,
        volume,
        ..
    } = *case;
    // one that stays itself stays so, whatever comes of a snapshot
    if retention::is_kept_for(&case.term, volume) {
        return retain::keep_volume(state, context, claim, volume).await;
    }
    match of_snapshot(case, report).await {
        Err(Error::Kit(error)) if case.is_late(2) => {
            let said = error.message().unwrap_or_else(|| error.reason());
            instead(case, report, &format!("it could not be had: {said}")).await
        }
        // its class keeps the volume as well, which would lie there and be nobody's
        Ok(Held::Stays(told)) if retention::stays_anyway(volume) => {
            if let Some(sentence) = told {
                report.happened(state, "leasehold", &sentence);
            }
            retain::keep_volume(state, context, claim, volume).await
        }
        outcome => outcome,
    }
}

/// Records the contents that earlier rounds have marked for this claim and that the ledger does not have: their wish failed
/// or went, or the operator died, before they were recorded. They carry our labels and lie in the storage, whatever is kept
/// in their place, so they are looked after and let go like any other.
async fn tend(case: &Case<'_>, report: &mut Report) -> Result<(), Error> {
    let labels = format!(
        "{MANAGED_LABEL}={MANAGED_VALUE},{DEPARTMENT_LABEL}={},{TENANCY_LABEL}={}",
        case.term.department, case.term.tenancy
    );
    let (kit, books) = (&case.context.kit, &case.context.books);
    // never from a cache, which may not show yet what was marked a moment ago
    let contents = match kit.list::<VolumeSnapshotContent>(None, Some(&labels)).await {
        Err(error) if error.is_not_found() => Vec::new(),
        // no controller keeps a namespace for ever by answering nothing
        Err(error) if case.is_late(2) => {
            let error = told(&error);
            tracing::warn!(error, "failed to look for snapshots that were marked");
            Vec::new()
        }
        listed => listed?,
    };
    for content in &contents {
        let taking = case.taking(None, Some(content));
        let Some(document) = snapshots::marked(&case.term, &taking, content) else {
            continue;
        };
        let (store, key) = (books.store(), document.key());
        let known = store.document::<SnapshotRetainedDoc>(&key).await?;
        if known.is_none() {
            books.ensure(&document, case.state.now).await?;
            report.happened(case.state, "leasehold", &sentence(case, &document));
        }
    }
    Ok(())
}

/// Makes the snapshot and holds it, or holds the volume where none can be had.
async fn of_snapshot(case: &Case<'_>, report: &mut Report) -> Result<Held, Error> {
    if let Some(held) = recorded(case, report).await? {
        return Ok(held);
    }
    let kit = &case.context.kit;
    let wish = snapshots::name_for(case.name);
    let wish = kit.get::<VolumeSnapshot>(Some(case.place), &wish).await?;
    let content = content_of(case, wish.as_ref()).await?;
    let taking = case.taking(wish.as_ref(), content.as_ref());
    match snapshots::progress(&case.term, &taking) {
        Progress::Unasked => ask(case, report).await,
        Progress::Waits(end, said) => Ok(case.waits(end, said)),
        Progress::Good => match content.as_ref() {
            Some(content) => hold(case, report, &taking, content).await,
            // never so: what is good has its content
            None => Ok(case.waits(case.state.now, None)),
        },
        Progress::Failed(why) => instead(case, report, &why).await,
    }
}

impl Case<'_> {
    fn taking<'a>(
        &'a self,
        wish: Option<&'a VolumeSnapshot>,
        content: Option<&'a VolumeSnapshotContent>,
    ) -> Taking<'a> {
        Taking {
            claim: self.claim,
            volume: self.volume,
            wish,
            content,
            patience: self.state.policy_object.spec.release.snapshot_wait_seconds,
        }
    }

    fn waits(&self, end: Second, said: Option<String>) -> Held {
        let end = end.in_zone(&self.state.policy.time_zone);
        let waits = format!(
            "{} waits for its snapshot; if that is not ready at {end}, the volume itself is kept",
            self.title()
        );
        let Some(said) = said else {
            return Held::Waits(waits);
        };
        // a driver may say something else with every try, and each would be another write of the status
        let waits = format!("{waits}; its driver says: ");
        let said = self.told(&waits).unwrap_or(said);
        Held::Waits(format!("{waits}{said}"))
    }

    fn waits_for_quota(&self) -> Held {
        Held::Waits(format!(
            "{} waits for its snapshot until the quota of {} counts snapshots",
            self.title(),
            self.place
        ))
    }

    /// What the status says after these words, up to the next sentence.
    fn told(&self, words: &str) -> Option<String> {
        let status = self.state.tenancy.status.as_ref()?;
        let mut conditions = status.conditions.iter();
        let waiting = conditions.find(|known| known.type_ == types::WAITING)?;
        let (_, rest) = waiting.message.split_once(words)?;
        let told = rest.split_once("; ").map_or(rest, |(told, _)| told);
        (!told.is_empty()).then(|| told.to_owned())
    }

    /// Whether it is too late for another try: so many waits of the policy after the pods should have ended.
    fn is_late(&self, waits: i64) -> bool {
        let patience = i64::from(self.state.policy_object.spec.release.snapshot_wait_seconds);
        let end = self.since.plus(PODS_END);
        self.state.now >= end.plus(patience.saturating_mul(waits))
    }

    fn title(&self) -> String {
        format!("volume {}/{}", self.place, self.name)
    }
}

/// How the snapshot stands that the ledger has of this claim, if it has one that is still there. With its namespace the wish
/// goes, and says nothing of it any more. One that the platform has taken over is nobody's to mark again: the volume itself
/// is kept then.
async fn recorded(case: &Case<'_>, report: &mut Report) -> Result<Option<Held>, Error> {
    let today = case.state.policy.time_zone.date_of(case.state.now);
    let (kit, store) = (&case.context.kit, case.context.books.store());
    let subject = format!("{}/{}", case.term.department, case.term.tenancy);
    let known = store.documents::<SnapshotRetainedDoc>(Some(&subject), None);
    for document in known.await?.into_iter().map(|recorded| recorded.value) {
        let is_it = document.cluster == case.term.cluster
            && case.claim.metadata.uid.as_ref() == Some(&document.claim_uid);
        if !is_it {
            continue;
        }
        let found = kit.get::<VolumeSnapshotContent>(None, &document.content);
        let found = found.await?;
        let Some(found) = found.filter(|found| found.metadata.uid.as_ref() == Some(&document.uid))
        else {
            continue;
        };
        let gone = store.document::<SnapshotGoneDoc>(&document.key()).await?;
        let taken = Care::Over(VolumeEnd::HandedOver);
        if gone.is_some() || snapshots::care(&document, Some(&found), today) == taken {
            let why = "the platform has taken its snapshot over";
            return instead(case, report, why).await.map(Some);
        }
        if snapshots::is_held(&document, &found) {
            return Ok(Some(Held::Stays(None)));
        }
        if found.metadata.deletion_timestamp.is_none() {
            return mark(case, &document, &found).await.map(Some);
        }
    }
    Ok(None)
}

/// The content that a wish names.
async fn content_of(
    case: &Case<'_>,
    wish: Option<&VolumeSnapshot>,
) -> Result<Option<VolumeSnapshotContent>, Error> {
    let status = wish.and_then(|wish| wish.status.as_ref());
    let bound = status.and_then(|status| status.bound_volume_snapshot_content_name.as_deref());
    match bound.filter(|name| !name.is_empty()) {
        Some(name) => Ok(case.context.kit.get(None, name).await?),
        None => Ok(None),
    }
}

/// Wishes for the snapshot, once nothing writes into the volume any more.
async fn ask(case: &Case<'_>, report: &mut Report) -> Result<Held, Error> {
    let (state, kit) = (case.state, &case.context.kit);
    // somebody may take the wish away again and again
    if case.is_late(2) {
        return instead(case, report, "none could be had in time").await;
    }
    let pods: Vec<Pod> = kit.list(Some(case.place), None).await?;
    if pods.iter().any(|pod| may_write(pod, state.now)) {
        if case.is_late(1) {
            return instead(case, report, "pods of its namespace did not end in time").await;
        }
        report.ends = Some(Unpaid {
            since: case.since,
            why: "volumes are about to be copied before the namespaces go".to_owned(),
        });
        return Ok(Held::Waits(format!(
            "the snapshot of {} is made when the pods of its namespace have ended",
            case.title()
        )));
    }
    let classes = match kit.list::<VolumeSnapshotClass>(None, None).await {
        Err(error) if error.is_not_found() => Vec::new(),
        listed => listed?,
    };
    let driver = snapshots::driven(case.volume).map_or("", |(driver, _)| driver);
    let Some(class) = snapshots::class_for(driver, &classes) else {
        let why = format!("there is no VolumeSnapshotClass of driver {driver}");
        return instead(case, report, &why).await;
    };
    let wish = snapshots::wish(&case.term, case.place, case.name, class);
    let made = match kit.create(&wish).await {
        Ok(made) => made,
        // whose it is the next round sees
        Err(error) if error.is_already_exists() => wish,
        // the kinds came a moment ago, and the cluster's quotas do not count them yet
        Err(error) if is_uncounted(&error) => return Ok(case.waits_for_quota()),
        Err(error) if is_final(&error) => {
            let why = error.message().unwrap_or("no reason was given").to_owned();
            return instead(case, report, &why).await;
        }
        Err(error) => return Err(error.into()),
    };
    match snapshots::progress(&case.term, &case.taking(Some(&made), None)) {
        Progress::Waits(end, said) => Ok(case.waits(end, said)),
        Progress::Unasked | Progress::Good | Progress::Failed(_) => Ok(case.waits(state.now, None)),
    }
}

/// Whether no quota knows yet how many snapshots there are: it refuses any until it does.
fn is_uncounted(error: &KitError) -> bool {
    let said = error.message().unwrap_or_default();
    error.is_forbidden() && said.contains("status unknown for quota")
}

/// Whether asking again would bring the same answer.
fn is_final(error: &KitError) -> bool {
    error.is_forbidden() || error.is_invalid() || error.is_not_found()
}

/// Whether a pod may still write into its volumes. One that should have ended a while ago is on a node of which nobody hears.
fn may_write(pod: &Pod, now: Second) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return false;
    }
    match &pod.metadata.deletion_timestamp {
        Some(end) => now.since(Second::from_timestamp(end.0)) < LOST_AFTER,
        None => true,
    }
}

/// Holds the content of a good snapshot, or sees that it is held, and records it.
async fn hold(
    case: &Case<'_>,
    report: &mut Report,
    taking: &Taking<'_>,
    content: &VolumeSnapshotContent,
) -> Result<Held, Error> {
    let Some(document) = snapshots::document(&case.term, taking, content) else {
        return instead(case, report, "its snapshot has no name or no uid").await;
    };
    if !snapshots::is_held(&document, content) {
        return mark(case, &document, content).await;
    }
    let books = &case.context.books;
    books.ensure(&document, case.state.now).await?;
    Ok(Held::Stays(Some(sentence(case, &document))))
}

async fn mark(
    case: &Case<'_>,
    document: &SnapshotRetainedDoc,
    content: &VolumeSnapshotContent,
) -> Result<Held, Error> {
    let patch = snapshots::hold(document, content);
    let kit = &case.context.kit;
    kit.merge_patch::<VolumeSnapshotContent>(None, &document.content, &patch)
        .await?;
    Ok(Held::Asked(sentence(case, document)))
}

fn sentence(case: &Case<'_>, document: &SnapshotRetainedDoc) -> String {
    format!(
        "the snapshot {} of {} is kept through {}",
        document.content,
        case.title(),
        document.until
    )
}

/// Holds the volume itself, and says why.
async fn instead(case: &Case<'_>, report: &mut Report, why: &str) -> Result<Held, Error> {
    let (state, context) = (case.state, case.context);
    let held = retain::keep_volume(state, context, case.claim, case.volume).await?;
    let told = format!("{} is kept itself, without a snapshot: {why}", case.title());
    tracing::warn!(
        department = state.department,
        tenancy = state.name,
        told,
        "no snapshot"
    );
    report.happened(state, "leasehold", &told);
    let kit = &context.kit;
    kit.event(
        &state.tenancy,
        EventType::Warning,
        "NoSnapshot",
        "Keep",
        &told,
    )
    .await;
    Ok(held)
}

/// The snapshots of this tenancy that are kept, as the cluster shows them.
pub async fn shown(state: &State, context: &Context) -> Result<Vec<RetainedVolume>, Error> {
    let subject = format!("{}/{}", state.department, state.name);
    let store = context.books.store();
    let recorded = store.documents::<SnapshotRetainedDoc>(Some(&subject), None);
    let incarnation = state.shown_incarnation();
    let kept = recorded
        .await?
        .into_iter()
        .map(|recorded| recorded.value)
        .filter(|document| document.incarnation == incarnation)
        .filter_map(|document| {
            let found = context
                .world
                .snapshot_contents
                .get(None, &document.content)?;
            let is_it = found.metadata.uid.as_ref() == Some(&document.uid);
            is_it.then(|| RetainedVolume {
                claim: format!("{}/{}", document.namespace, document.claim),
                size: format_quantity(document.bytes, Unit::GiB),
                until: snapshots::last_day(&document, &found).to_string(),
                volume: document.volume,
                snapshot: Some(document.content),
            })
        });
    Ok(kept.collect())
}

#[cfg(test)]
mod tests;
