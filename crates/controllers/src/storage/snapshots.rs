//! Snapshots that outlive their tenancy.

use leasehold_ledger::{
    document::{SnapshotRetainedDoc, VolumeEnd},
    time::{LocalDate, Second},
};
use leasehold_planner::snapshots::{self, Care, VolumeSnapshotContent};

use super::{kept, mend, tell};
use crate::{
    Context, Error,
    drift::{self, Owner, What},
};

/// Looks after all of them; says when one has to be looked at again, if others change it all the time.
pub async fn look_after(today: LocalDate, context: &Context) -> Result<Option<Second>, Error> {
    // while the cluster is without the kind, nothing is known of its objects: they may be on their way back
    if context.world.snapshot_contents.is_served() != Some(true) {
        return Ok(None);
    }
    let (mut failed, mut again) = (None, None);
    for document in kept::standing::<SnapshotRetainedDoc>(&context.books).await? {
        // one that cannot be looked after does not keep the others from it
        match Box::pin(look_after_one(&document, today, context)).await {
            Ok(next) => again = again.into_iter().chain(next).min(),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(again), Err)
}

async fn look_after_one(
    document: &SnapshotRetainedDoc,
    today: LocalDate,
    context: &Context,
) -> Result<Option<Second>, Error> {
    let (kit, name) = (&context.kit, &document.content);
    let owner = Owner::kept_snapshot(name);
    let found = match context.world.snapshot_contents.get(None, name) {
        // the cache holds labelled ones only; one without our labels is found by asking
        None => kit.get::<VolumeSnapshotContent>(None, name).await?,
        cached => cached,
    };
    match (snapshots::care(document, found.as_ref(), today), &found) {
        (Care::Over(end), _) => {
            if end == VolumeEnd::Orphaned {
                orphaned(document);
            }
            kept::over(document, &owner, end, context).await?;
            return Ok(None);
        }
        (Care::Mend(patch), Some(found)) => {
            let wrong = (
                What::Snapshot,
                "its labels or its deletion policy were changed",
            );
            mend(&owner, found, wrong, &patch, context).await?;
        }
        // let go before, and somebody holds it back
        (Care::LetGo(patch), Some(found)) if kit.blame(&patch, found)?.is_some() => {
            let wrong = (What::Snapshot, "it was to go and was held back");
            mend(&owner, found, wrong, &patch, context).await?;
        }
        (Care::LetGo(patch), Some(found)) => {
            let until = snapshots::last_day(document, found);
            let note = format!("kept through {until} and let go");
            tell(found, "SnapshotLetGo", &note, context).await;
            kit.merge_patch::<VolumeSnapshotContent>(None, name, &patch)
                .await?;
        }
        (Care::Delete, Some(_)) => delete(document, today, context).await?,
        (Care::Stands, _) | (Care::Mend(_) | Care::LetGo(_) | Care::Delete, None) => {}
    }
    let Some(found) = found else { return Ok(None) };
    Ok(drift::news(context, &owner, &found).await.again)
}

/// Deletes a snapshot whose day is over, as it stands right now: the cache may not show yet that somebody has written a
/// later day on it, or taken it over. Whatever was written wakes us.
async fn delete(
    document: &SnapshotRetainedDoc,
    today: LocalDate,
    context: &Context,
) -> Result<(), Error> {
    let kit = &context.kit;
    let found = kit.get::<VolumeSnapshotContent>(None, &document.content);
    let Some(found) = found.await? else {
        return Ok(());
    };
    if snapshots::care(document, Some(&found), today) != Care::Delete {
        return Ok(());
    }
    match kit.delete_as_read(&found).await {
        Err(error) if error.is_conflict() => Ok(()),
        deleted => deleted.map(|_| ()).map_err(Error::from),
    }
}

/// Says what the ledger alone knows from now on.
fn orphaned(document: &SnapshotRetainedDoc) {
    tracing::warn!(
        snapshot = document.content,
        department = document.department,
        driver = document.driver,
        handle = document.handle,
        "the object of a snapshot that is kept was deleted before its last day; its data are still in the storage"
    );
}
