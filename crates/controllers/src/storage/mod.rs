//! Volumes, and snapshots of volumes, that outlive their tenancy: kept until their last day, never another's, then let go.
//!
//! What is kept is known by the ledger and not by what the cluster shows: a volume whose labels were taken off, or that is
//! gone, is noticed all the same. So one round looks at all of them; there are few. It is the policy's round, because
//! there is one, and wakes whenever a volume or a snapshot changes that carries our labels.

mod kept;
mod snapshots;

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::runtime::controller::Action;
use leasehold_api::platform::CloudPolicy;
use leasehold_kit::{EventType, Shutdown};
use leasehold_ledger::{
    document::VolumeRetainedDoc,
    time::{LocalDate, Second},
};
use leasehold_planner::retention::{self, Care};
use serde_json::Value;

use crate::{
    Context, Error, World,
    drift::{self, Owner, Watched, What},
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.policies.clone();
    wake::run(
        "retained-volumes",
        context,
        own,
        triggers,
        shutdown,
        reconcile,
    )
    .await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<CloudPolicy>> {
    wake::any(vec![
        wake::every(&world.policies, world.volumes.changes(), |_| true),
        wake::every(&world.policies, world.snapshot_contents.changes(), |_| true),
    ])
}

async fn reconcile(_: Arc<CloudPolicy>, context: Context) -> Result<Action, Error> {
    let Some(policy) = context.books.policy().await? else {
        return Ok(wake::later());
    };
    let now = context.now();
    let today = policy.time_zone.date_of(now);
    let (mut failed, mut again) = (None, None);
    for document in kept::standing::<VolumeRetainedDoc>(&context.books).await? {
        // one that cannot be looked after does not keep the others from it
        match Box::pin(look_after(&document, today, &context)).await {
            Ok(next) => again = again.into_iter().chain(next).min(),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    let snapshots = snapshots::look_after(today, &context).await;
    match failed {
        Some(error) => Err(error),
        None => snapshots.map(|next| when(again.into_iter().chain(next).min(), now)),
    }
}

/// When to look again: at the end of a pause, if one is on.
fn when(again: Option<Second>, now: Second) -> Action {
    let Some(again) = again else {
        return wake::later();
    };
    let seconds = u64::try_from(again.since(now).max(1)).unwrap_or(1);
    Action::requeue(Duration::from_secs(seconds))
}

/// Does what is to be done; says when the volume has to be looked at again, if others change it all the time.
async fn look_after(
    document: &VolumeRetainedDoc,
    today: LocalDate,
    context: &Context,
) -> Result<Option<Second>, Error> {
    let name = &document.volume;
    let found = match context.world.volumes.get(None, name) {
        // the cache holds labelled ones only; one without our labels is found by asking
        None => context.kit.get::<PersistentVolume>(None, name).await?,
        cached => cached,
    };
    let owner = Owner::kept(name);
    match (retention::care(document, found.as_ref(), today), &found) {
        (Care::Over(end), _) => {
            kept::over(document, &owner, end, context).await?;
            return Ok(None);
        }
        (Care::Mend(why, patch), Some(found)) => {
            let wrong = (What::Volume, why.as_str());
            mend(&owner, found, wrong, &patch, context).await?;
        }
        (Care::Reclaim(why, patch), Some(found)) => {
            let wrong = (What::VolumeClaim, why.as_str());
            mend(&owner, found, wrong, &patch, context).await?;
        }
        (Care::LetGo(patch), Some(found)) => {
            let note = format!("kept through {} and let go", document.until);
            tell(found, "VolumeLetGo", &note, context).await;
            let kit = &context.kit;
            kit.merge_patch::<PersistentVolume>(None, name, &patch)
                .await?;
        }
        (Care::Taken(sentence), Some(found)) => {
            tracing::error!(volume = name, sentence, "a volume that is kept was taken");
            tell(found, "VolumeTaken", &sentence, context).await;
        }
        (Care::Stands, _)
        | (Care::Mend(..) | Care::Reclaim(..) | Care::LetGo(_) | Care::Taken(_), None) => {}
    }
    let Some(found) = found else { return Ok(None) };
    Ok(drift::news(context, &owner, &found).await.again)
}

/// Puts right what others changed, with pauses if they write back again and again. Of a fight, its beginning and its end
/// are told.
async fn mend<K: Watched>(
    owner: &Owner,
    found: &K,
    (what, why): (What, &str),
    patch: &Value,
    context: &Context,
) -> Result<(), Error> {
    if !drift::mend(context, owner, what, found, patch).await? {
        return Ok(());
    }
    let name = found.meta().name.as_deref();
    tracing::warn!(name, why, "something that is kept was mended");
    if !context.repairs.is_contested(owner, context.now()) {
        let note = format!("{why}; it is as it was again");
        let reason = match what {
            What::Snapshot => "SnapshotMended",
            What::Volume
            | What::VolumeClaim
            | What::Namespace
            | What::Quota
            | What::LimitRange
            | What::NetworkPolicy
            | What::RoleBinding => "VolumeMended",
        };
        tell(found, reason, &note, context).await;
    }
    Ok(())
}

async fn tell<K: Watched>(found: &K, reason: &str, note: &str, context: &Context) {
    let kit = &context.kit;
    kit.event(found, EventType::Warning, reason, "Keep", note)
        .await;
}
