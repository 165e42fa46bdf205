//! Volumes that the department wants kept: held before their namespaces go, and shown afterwards.
//!
//! A volume is held by its reclaim policy, which is read back before anything is deleted: the claim goes with its
//! namespace, and the cluster destroys the data of a volume in that moment unless the policy says otherwise.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use leasehold_api::{
    names::{self, MANAGED_LABEL, MANAGED_VALUE},
    tenancy::{Reclaim, RetainedVolume},
};
use leasehold_ledger::{
    document::{Document, NamespaceDoc, VolumeRetainedDoc},
    money::{Unit, format_quantity},
};
use leasehold_planner::retention::{self, Term};

use super::{observe::State, report::Report};
use crate::{Context, Error};

/// Retained volumes that the status names.
const SHOWN: usize = 64;

/// How a volume stands that is to be held.
enum Held {
    /// There is nothing to hold: the claim never had a volume, or lost it.
    Nothing,
    /// It was told to stay, and is looked at again.
    Asked(String),
    /// It stays, and the ledger knows; the sentence is for the history, when that is news.
    Stays(Option<String>),
}

/// Holds every bound volume that is to be kept, and records it. Tells whether the namespaces may go.
pub async fn before_deletion(
    state: &State,
    context: &Context,
    report: &mut Report,
    known: &BTreeMap<String, NamespaceDoc>,
) -> Result<bool, Error> {
    let mut all = true;
    for (place, name) in wanted(state, known) {
        match hold(state, context, &place, &name).await? {
            Held::Nothing | Held::Stays(None) => {}
            Held::Stays(Some(sentence)) => report.happened(state, "leasehold", &sentence),
            Held::Asked(sentence) => {
                report.wait(sentence);
                all = false;
            }
        }
    }
    Ok(all)
}

/// Namespace and name of each volume that is to be kept, in the namespaces that are still there.
fn wanted(state: &State, known: &BTreeMap<String, NamespaceDoc>) -> Vec<(String, String)> {
    let mut wanted = Vec::new();
    for share in &state.tenancy.spec.namespaces {
        let place = names::tenancy_namespace(&state.department, &share.name);
        if !known.values().any(|document| document.name == place) {
            continue;
        }
        let kept = share
            .volumes
            .iter()
            .filter(|volume| volume.reclaim == Reclaim::Retain);
        wanted.extend(kept.map(|volume| (place.clone(), volume.name.to_string())));
    }
    wanted
}

async fn hold(state: &State, context: &Context, place: &str, name: &str) -> Result<Held, Error> {
    let kit = &context.kit;
    let claim = kit.get::<PersistentVolumeClaim>(Some(place), name).await?;
    let Some(claim) = claim.filter(is_ours) else {
        return Ok(Held::Nothing);
    };
    let spec = claim.spec.as_ref();
    let Some(volume) = spec.and_then(|spec| spec.volume_name.as_deref()) else {
        return Ok(Held::Nothing);
    };
    // never from a cache: what is read here is what is relied on when the namespace goes
    let Some(found) = kit.get::<PersistentVolume>(None, volume).await? else {
        return Ok(Held::Nothing);
    };
    let Some(document) = retention::document(&term(state, context), &claim, &found) else {
        return Ok(Held::Nothing);
    };
    let sentence = format!(
        "volume {place}/{name} ({volume}) is kept through {}",
        document.until
    );
    if !retention::is_held(&document, &found) {
        let patch = retention::hold(&document, &found);
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

fn term(state: &State, context: &Context) -> Term {
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

/// The volumes of this tenancy that are kept, as the cluster shows them.
pub async fn shown(state: &State, context: &Context) -> Result<Vec<RetainedVolume>, Error> {
    let subject = format!("{}/{}", state.department, state.name);
    let recorded = context
        .books
        .store()
        .documents::<VolumeRetainedDoc>(Some(&subject), None)
        .await?;
    let incarnation = state.incarnation();
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
            })
        });
    Ok(kept.take(SHOWN).collect())
}
