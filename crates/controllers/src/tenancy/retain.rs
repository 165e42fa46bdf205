//! Volumes that the department wants kept: held before their namespaces go, and shown afterwards. Where it wants a snapshot
//! instead, `snapshots` sees to it.
//!
//! A volume is held by its reclaim policy, which is read back before anything is deleted: the claim goes with its
//! namespace, and the cluster destroys the data of a volume in that moment unless the policy says otherwise.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use leasehold_api::{
    names::{self, MANAGED_LABEL, MANAGED_VALUE},
    tenancy::{NamespaceShare, Reclaim, RetainedVolume},
};
use leasehold_ledger::{
    document::{Document, KeptVolume, NamespaceDoc, VolumeRetainedDoc},
    money::{Unit, format_quantity},
    time::Second,
};
use leasehold_planner::retention::{self, Term};

use super::{observe::State, report::Report, snapshots};
use crate::{Context, Error};

/// Retained volumes that the status names.
const SHOWN: usize = 64;
/// What was told to stay is looked at again so soon.
const SOON: Duration = Duration::from_secs(2);
/// The same where a snapshot is made or pods end.
const LATER: Duration = Duration::from_secs(10);

/// How a volume stands that is to be held.
pub enum Held {
    /// There is nothing to hold: the claim never had a volume, or lost it.
    Nothing,
    /// It was told to stay, and is looked at again.
    Asked(String),
    /// Something else has to happen first, which takes its time.
    Waits(String),
    /// It stays, and the ledger knows; the sentence is for the history, when that is news.
    Stays(Option<String>),
}

/// Holds every bound volume that is to be kept, and records it. Tells whether the namespaces may go, which they may for
/// everybody else since the given instant.
pub async fn before_deletion(
    state: &State,
    context: &Context,
    report: &mut Report,
    known: &BTreeMap<String, NamespaceDoc>,
    since: Second,
) -> Result<bool, Error> {
    let mut all = true;
    for (place, name, reclaim) in wanted(state, known) {
        let held = match reclaim {
            Reclaim::Snapshot => {
                let volume = (place.as_str(), name.as_str());
                Box::pin(snapshots::keep(state, context, report, volume, since)).await?
            }
            Reclaim::Retain | Reclaim::Delete => {
                Box::pin(hold(state, context, &place, &name)).await?
            }
        };
        let (sentence, again) = match held {
            Held::Nothing | Held::Stays(None) => continue,
            Held::Stays(Some(sentence)) => {
                report.happened(state, "leasehold", &sentence);
                continue;
            }
            Held::Asked(sentence) => (sentence, SOON),
            Held::Waits(sentence) => (sentence, LATER),
        };
        report.wait(sentence);
        report.look_again(again);
        all = false;
    }
    Ok(all)
}

/// Namespace and name of each volume that is to be kept, and how, in the namespaces that are still there: those that the
/// release was asked for with, and those that the manifest names now. Once a release is approved nothing holds the manifest
/// any more (rule T03 goes by a status that may be late, and the object may be made anew), and no word in it destroys data
/// that the office was told would be kept.
fn wanted(state: &State, known: &BTreeMap<String, NamespaceDoc>) -> Vec<(String, String, Reclaim)> {
    let asked = state.view.release_asked().into_iter();
    let then = asked.flat_map(|asked| asked.kept.iter().cloned());
    // what the manifest says now comes last, and counts
    let all: BTreeMap<(String, String), Reclaim> = then
        .chain(named(state))
        .map(|volume| ((volume.namespace, volume.claim), reclaim(volume.snapshot)))
        .collect();
    all.into_iter()
        .filter(|((place, _), _)| known.values().any(|document| document.name == *place))
        .map(|((place, name), reclaim)| (place, name, reclaim))
        .collect()
}

fn reclaim(snapshot: bool) -> Reclaim {
    if snapshot {
        Reclaim::Snapshot
    } else {
        Reclaim::Retain
    }
}

/// The volumes that the manifest wants to be kept.
pub fn named(state: &State) -> Vec<KeptVolume> {
    let of = |share: &NamespaceShare| {
        let namespace = names::tenancy_namespace(&state.department, &share.name);
        let volumes = share.volumes.iter();
        let kept = volumes.filter(|volume| volume.reclaim != Reclaim::Delete);
        kept.map(|volume| KeptVolume {
            namespace: namespace.clone(),
            claim: volume.name.to_string(),
            snapshot: volume.reclaim == Reclaim::Snapshot,
        })
        .collect::<Vec<KeptVolume>>()
    };
    state.tenancy.spec.namespaces.iter().flat_map(of).collect()
}

async fn hold(state: &State, context: &Context, place: &str, name: &str) -> Result<Held, Error> {
    match bound(context, place, name).await? {
        Some((claim, found)) => keep_volume(state, context, &claim, &found).await,
        None => Ok(Held::Nothing),
    }
}

/// A named claim with its volume, if it has one.
pub async fn bound(
    context: &Context,
    place: &str,
    name: &str,
) -> Result<Option<(PersistentVolumeClaim, PersistentVolume)>, Error> {
    let kit = &context.kit;
    let claim = kit.get::<PersistentVolumeClaim>(Some(place), name).await?;
    let Some(claim) = claim.filter(is_ours) else {
        return Ok(None);
    };
    let spec = claim.spec.as_ref();
    let Some(volume) = spec.and_then(|spec| spec.volume_name.as_deref()) else {
        return Ok(None);
    };
    // never from a cache: what is read here is what is relied on when the namespace goes
    let found = kit.get::<PersistentVolume>(None, volume).await?;
    Ok(found.map(|found| (claim, found)))
}

/// Tells a volume to stay, or sees that it does.
pub async fn keep_volume(
    state: &State,
    context: &Context,
    claim: &PersistentVolumeClaim,
    found: &PersistentVolume,
) -> Result<Held, Error> {
    let Some(document) = retention::document(&term(state, context), claim, found) else {
        return Ok(Held::Nothing);
    };
    let VolumeRetainedDoc {
        namespace,
        claim,
        volume,
        until,
        ..
    } = &document;
    let sentence = format!("volume {namespace}/{claim} ({volume}) is kept through {until}");
    if !retention::is_held(&document, found) {
        let patch = retention::hold(&document, found);
        let kit = &context.kit;
        kit.merge_patch::<PersistentVolume>(None, volume, &patch)
            .await?;
        return Ok(Held::Asked(sentence));
    }
    let store = context.books.store();
    let known = store.document::<VolumeRetainedDoc>(&document.key()).await?;
    context.books.ensure(&document, state.now).await?;
    Ok(Held::Stays(known.is_none().then_some(sentence)))
}

fn is_ours(claim: &PersistentVolumeClaim) -> bool {
    claim.labels().get(MANAGED_LABEL).map(String::as_str) == Some(MANAGED_VALUE)
}

/// For whom what is held from now on is held, and until when.
pub fn term(state: &State, context: &Context) -> Term {
    let today = state.policy.time_zone.date_of(state.now);
    let days = state.policy_object.spec.release.retain_volumes_days;
    Term {
        cluster: context.books.cluster().uid.clone(),
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        until: today.add_days(i32::from(days)),
        at: state.now,
    }
}

/// The volumes and snapshots of this tenancy that are kept, as the cluster shows them.
pub async fn shown(state: &State, context: &Context) -> Result<Vec<RetainedVolume>, Error> {
    let subject = format!("{}/{}", state.department, state.name);
    let recorded = context
        .books
        .store()
        .documents::<VolumeRetainedDoc>(Some(&subject), None)
        .await?;
    let incarnation = state.shown_incarnation();
    let kept = recorded
        .into_iter()
        .map(|recorded| recorded.value)
        .filter(|document| document.incarnation == incarnation)
        .filter_map(|document| {
            let found = context.world.volumes.get(None, &document.volume)?;
            let is_it = found.metadata.uid.as_ref() == Some(&document.uid);
            is_it.then(|| RetainedVolume {
                claim: format!("{}/{}", document.namespace, document.claim),
                size: format_quantity(document.bytes, Unit::GiB),
                until: retention::last_day(&document, &found).to_string(),
                volume: document.volume,
                snapshot: None,
            })
        });
    let snapshots = snapshots::shown(state, context).await?;
    Ok(kept.chain(snapshots).take(SHOWN).collect())
}
