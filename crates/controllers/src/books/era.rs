//! Which life of the cluster's database facts come from.
//!
//! A resource version is a number that etcd counts. An etcd that is restored from a backup counts the same numbers again
//! for other changes, so each of its lives is an era of its own: facts carry it in their key, and none of a new era is
//! taken for one of an old era. The latest `cluster` document of the ledger says which era it is. Whoever writes what a
//! watch brought lets the ledger refuse it once there is a newer one.

use std::collections::BTreeSet;

use leasehold_ledger::{
    document::{ClusterDoc, Document},
    fact::Source,
    time::Second,
};
use leasehold_store::{Batch, Cursor, Record, Recorded, Store};

use crate::error::Error;

/// One life of the cluster's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Era {
    /// Uid of the cluster's `kube-system` namespace.
    pub uid: String,
    /// Which life of its etcd, from 1.
    pub etcd: u32,
    /// The row of the ledger that says so; the latest of its kind as long as the era lasts.
    pub row: u64,
    /// Clusters whose place this one took, directly or through others.
    heir_of: BTreeSet<String>,
}

impl Era {
    /// The era that the ledger tells of last, if that is one of this cluster.
    fn latest(known: &[Recorded<ClusterDoc>], uid: &str) -> Option<Self> {
        let last = known.last().filter(|last| last.value.uid == uid)?;
        let mut heir_of = BTreeSet::new();
        let mut replaced = last.value.replaces.as_ref();
        // the latest document of a cluster says whose place it took; a cluster that came back ends the search
        while let Some(cluster) = replaced {
            if !heir_of.insert(cluster.clone()) {
                break;
            }
            let mut of_it = known.iter().rev().map(|found| &found.value);
            replaced = of_it
                .find(|document| document.uid == *cluster)
                .and_then(|document| document.replaces.as_ref());
        }
        Some(Self {
            uid: last.value.uid.clone(),
            etcd: last.value.etcd,
            row: last.seq,
            heir_of,
        })
    }

    /// The document with which a cluster begins another era.
    fn next(known: &[Recorded<ClusterDoc>], uid: &str, now: Second) -> ClusterDoc {
        let of_it = known.iter().filter(|found| found.value.uid == uid);
        let etcd = of_it.map(|found| found.value.etcd).max().unwrap_or(0);
        let last = known.last().map(|found| &found.value);
        ClusterDoc {
            uid: uid.to_owned(),
            etcd: etcd.saturating_add(1),
            first_seen: now,
            replaces: last
                .filter(|last| last.uid != uid)
                .map(|last| last.uid.clone()),
        }
    }

    /// Whether an observation was made in this life of the database.
    pub fn is_of(&self, source: &Source) -> bool {
        source.cluster == self.uid && source.etcd == self.etcd
    }

    /// Whether an observation is of this cluster, in whichever life of its database, or of one whose place it took.
    pub fn knows(&self, source: &Source) -> bool {
        source.cluster == self.uid || self.heir_of.contains(&source.cluster)
    }
}

/// The era of a cluster; the first time that the ledger sees it, it is recorded.
pub(super) async fn enter(store: &Store, uid: &str, now: Second) -> Result<Era, Error> {
    let known = store.documents::<ClusterDoc>(None, None).await?;
    match Era::latest(&known, uid) {
        Some(era) => Ok(era),
        None => begin(store, &known, uid, now).await,
    }
}

/// Another era of a cluster whose etcd was restored. Somebody else may have begun it meanwhile: then it is that one.
pub(super) async fn again(store: &Store, over: &Era, now: Second) -> Result<Era, Error> {
    let known = store.documents::<ClusterDoc>(None, None).await?;
    match Era::latest(&known, &over.uid) {
        Some(newer) if newer.row != over.row => Ok(newer),
        Some(_) | None => begin(store, &known, &over.uid, now).await,
    }
}

/// Records another era, and that no watch can go on: in one transaction, and only over what was read.
async fn begin(
    store: &Store,
    known: &[Recorded<ClusterDoc>],
    uid: &str,
    now: Second,
) -> Result<Era, Error> {
    let document = Era::next(known, uid, now);
    let last = known.last().map_or(0, |found| found.seq);
    let mut batch =
        Batch::of(vec![Record::document(&document)?]).expecting_latest_of_kind::<ClusterDoc>(last);
    // up to when a source is complete stays true; from which version it goes on does not
    let cursors = store.cursors().await?.into_iter();
    batch.cursors = cursors
        .map(|cursor| Cursor {
            resource_version: String::new(),
            ..cursor
        })
        .collect();
    store.commit(&batch, now).await?;
    let known = store.documents::<ClusterDoc>(None, None).await?;
    Era::latest(&known, uid).ok_or_else(|| {
        let what = format!("the {} documents", ClusterDoc::KIND);
        Error::understand(what, "the one that was just written is not the latest")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Second = Second::new(1_800_000_000);

    fn source(cluster: &str, etcd: u32) -> Source {
        Source {
            cluster: cluster.to_owned(),
            etcd,
            uid: "u".to_owned(),
            version: "7".to_owned(),
        }
    }

    async fn place(store: &Store, source: &str, version: &str) {
        let cursor = Cursor {
            source: source.to_owned(),
            resource_version: version.to_owned(),
            complete_to: Some(Second::new(90)),
            observed_at: Second::new(100),
        };
        let batch = Batch::default().with_cursor(cursor);
        store.commit(&batch, NOW).await.unwrap();
    }

    #[tokio::test]
    async fn a_cluster_is_recorded_once_and_its_era_stays() {
        let store = Store::in_memory().await.unwrap();
        let first = enter(&store, "c1", NOW).await.unwrap();
        let again = enter(&store, "c1", NOW.plus(5)).await.unwrap();
        assert_eq!((first.etcd, first.row), (1, 1));
        assert_eq!(again, first);
    }

    #[tokio::test]
    async fn another_era_takes_every_watch_its_version_and_leaves_it_its_knowledge() {
        let store = Store::in_memory().await.unwrap();
        let first = enter(&store, "c1", NOW).await.unwrap();
        place(&store, "pods", "4711").await;
        place(&store, "heartbeat", "4712").await;
        let second = super::again(&store, &first, NOW).await.unwrap();
        assert_eq!(second.etcd, 2);
        assert!(second.is_of(&source("c1", 2)) && !second.is_of(&source("c1", 1)));
        assert!(second.knows(&source("c1", 1)) && !second.knows(&source("c2", 1)));
        for cursor in store.cursors().await.unwrap() {
            assert_eq!(cursor.resource_version, "");
            assert_eq!(cursor.complete_to, Some(Second::new(90)));
            assert_eq!(cursor.observed_at, Second::new(100));
        }
        // whoever still thinks that it is the first finds the second
        assert_eq!(super::again(&store, &first, NOW).await.unwrap(), second);
        assert_eq!(enter(&store, "c1", NOW).await.unwrap(), second);
    }

    #[tokio::test]
    async fn what_is_written_for_an_era_that_is_over_is_refused() {
        let store = Store::in_memory().await.unwrap();
        let first = enter(&store, "c1", NOW).await.unwrap();
        let late = || Batch::default().expecting_latest_of_kind::<ClusterDoc>(first.row);
        assert!(store.commit(&late(), NOW).await.is_ok());
        super::again(&store, &first, NOW).await.unwrap();
        assert!(store.commit(&late(), NOW).await.is_err());
    }

    #[tokio::test]
    async fn a_ledger_that_goes_on_with_another_cluster_knows_whose_place_it_took() {
        let store = Store::in_memory().await.unwrap();
        enter(&store, "c1", NOW).await.unwrap();
        place(&store, "pods", "4711").await;
        let other = enter(&store, "c2", NOW).await.unwrap();
        assert_eq!(other.etcd, 1);
        assert!(other.knows(&source("c1", 1)) && !other.knows(&source("c0", 1)));
        let pods = store.cursor("pods").await.unwrap().unwrap();
        assert_eq!(pods.resource_version, "");
        // the first one comes back: what it counted since is not known
        let back = enter(&store, "c1", NOW).await.unwrap();
        assert_eq!(back.etcd, 2);
        assert!(back.knows(&source("c2", 1)));
    }
}
