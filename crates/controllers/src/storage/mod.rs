//! Volumes that outlive their tenancy: kept until their last day, never another's, then let go.
//!
//! What is kept is known by the ledger and not by what the cluster shows: a volume whose labels were taken off, or that is
//! gone, is noticed all the same. So one round looks at all of them; there are few. It is the policy's round, because
//! there is one, and wakes whenever a volume changes that carries our labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::runtime::controller::Action;
use leasehold_api::platform::CloudPolicy;
use leasehold_kit::{EventType, Shutdown};
use leasehold_ledger::{
    document::{Document, VolumeEnd, VolumeGoneDoc, VolumeRetainedDoc},
    time::LocalDate,
};
use leasehold_planner::retention::{self, Care};
use serde_json::Value;

use crate::{
    Context, Error, World,
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    wake::run("retained-volumes", context, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<CloudPolicy>> {
    wake::every(&world.policies, world.volumes.changes(), |_| true)
}

async fn reconcile(_: Arc<CloudPolicy>, context: Context) -> Result<Action, Error> {
    let Some(policy) = context.books.policy().await? else {
        return Ok(wake::later());
    };
    let today = policy.time_zone.date_of(context.now());
    let mut failed = None;
    for document in kept(&context).await? {
        // one that cannot be looked after does not keep the others from it
        if let Err(error) = Box::pin(look_after(&document, today, &context)).await {
            failed.get_or_insert(error);
        }
    }
    failed.map_or_else(|| Ok(wake::later()), Err)
}

/// What is kept by the ledger, and was not seen to end.
async fn kept(context: &Context) -> Result<Vec<VolumeRetainedDoc>, Error> {
    let store = context.books.store();
    let over: BTreeSet<String> = store
        .documents::<VolumeGoneDoc>(None, None)
        .await?
        .into_iter()
        .map(|recorded| recorded.value.key())
        .collect();
    let cluster = context.books.cluster();
    let kept: BTreeMap<String, VolumeRetainedDoc> = store
        .documents::<VolumeRetainedDoc>(None, None)
        .await?
        .into_iter()
        .map(|recorded| (recorded.value.key(), recorded.value))
        .filter(|(key, document)| document.cluster == cluster.uid && !over.contains(key))
        .collect();
    Ok(kept.into_values().collect())
}

async fn look_after(
    document: &VolumeRetainedDoc,
    today: LocalDate,
    context: &Context,
) -> Result<(), Error> {
    let name = &document.volume;
    let found = match context.world.volumes.get(None, name) {
        // the cache holds labelled ones only; one without our labels is found by asking
        None => context.kit.get::<PersistentVolume>(None, name).await?,
        cached => cached,
    };
    match (retention::care(document, found.as_ref(), today), found) {
        (Care::Over(end), _) => over(document, end, context).await,
        (Care::Mend(why, patch), Some(found)) => {
            tracing::warn!(volume = name, why, "a volume that is kept is mended");
            let note = format!("{why}; it is as it was again");
            tell(&found, "VolumeMended", &note, context).await;
            merge(name, &patch, context).await
        }
        (Care::LetGo(patch), Some(found)) => {
            let note = format!("kept through {} and let go", document.until);
            tell(&found, "VolumeLetGo", &note, context).await;
            merge(name, &patch, context).await
        }
        (Care::Taken(sentence), Some(found)) => {
            tracing::error!(volume = name, sentence, "a volume that is kept was taken");
            tell(&found, "VolumeTaken", &sentence, context).await;
            Ok(())
        }
        (Care::Stands, _) | (Care::Mend(..) | Care::LetGo(_) | Care::Taken(_), None) => Ok(()),
    }
}

async fn merge(name: &str, patch: &Value, context: &Context) -> Result<(), Error> {
    let kit = &context.kit;
    kit.merge_patch::<PersistentVolume>(None, name, patch)
        .await?;
    Ok(())
}

async fn tell(found: &PersistentVolume, reason: &str, note: &str, context: &Context) {
    let kit = &context.kit;
    kit.event(found, EventType::Warning, reason, "Keep", note)
        .await;
}

/// Records that a volume is no longer kept.
async fn over(
    document: &VolumeRetainedDoc,
    end: VolumeEnd,
    context: &Context,
) -> Result<(), Error> {
    let now = context.now();
    let gone = VolumeGoneDoc {
        cluster: document.cluster.clone(),
        department: document.department.clone(),
        tenancy: document.tenancy.clone(),
        volume: document.volume.clone(),
        uid: document.uid.clone(),
        claim_uid: document.claim_uid.clone(),
        end,
        at: now,
    };
    tracing::info!(volume = gone.volume, ?end, "a volume is no longer kept");
    context.books.ensure(&gone, now).await?;
    Ok(())
}
