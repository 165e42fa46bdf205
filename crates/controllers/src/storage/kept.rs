//! What is kept, of whatever kind: found in the ledger as long as it stands, and ended once.

use leasehold_ledger::{
    document::{
        Document, SnapshotGoneDoc, SnapshotRetainedDoc, VolumeEnd, VolumeGoneDoc, VolumeRetainedDoc,
    },
    time::Second,
};

use crate::{Books, Context, Error, drift::Owner};

/// Something that is kept.
pub trait Kept: Document {
    /// The document that ends it, under its key.
    type Gone: Document + Clone;

    /// What it is called where its end is told.
    const WHAT: &'static str;

    /// Name of its object in the cluster.
    fn name(&self) -> &str;

    /// Its end.
    fn gone(&self, end: VolumeEnd, at: Second) -> Self::Gone;
}

impl Kept for VolumeRetainedDoc {
    type Gone = VolumeGoneDoc;

    const WHAT: &'static str = "volume";

    fn name(&self) -> &str {
        &self.volume
    }

    fn gone(&self, end: VolumeEnd, at: Second) -> VolumeGoneDoc {
        VolumeGoneDoc {
            cluster: self.cluster.clone(),
            department: self.department.clone(),
            tenancy: self.tenancy.clone(),
            volume: self.volume.clone(),
            uid: self.uid.clone(),
            claim_uid: self.claim_uid.clone(),
            end,
            at,
        }
    }
}

impl Kept for SnapshotRetainedDoc {
    type Gone = SnapshotGoneDoc;

    const WHAT: &'static str = "snapshot";

    fn name(&self) -> &str {
        &self.content
    }

    fn gone(&self, end: VolumeEnd, at: Second) -> SnapshotGoneDoc {
        SnapshotGoneDoc {
            cluster: self.cluster.clone(),
            department: self.department.clone(),
            tenancy: self.tenancy.clone(),
            content: self.content.clone(),
            uid: self.uid.clone(),
            end,
            at,
        }
    }
}

/// What this cluster keeps by the ledger, and was not seen to end. It is asked for in every round, and so what has ended,
/// which only ever grows, is not read.
pub async fn standing<K: Kept>(books: &Books) -> Result<Vec<K>, Error> {
    let cluster = books.cluster();
    let found = books
        .store()
        .documents_standing::<K, K::Gone>(&cluster.uid)
        .await?;
    Ok(found.into_iter().map(|recorded| recorded.value).collect())
}

/// Records that something is no longer kept, and forgets what others did to it.
pub async fn over<K: Kept>(
    kept: &K,
    owner: &Owner,
    end: VolumeEnd,
    context: &Context,
) -> Result<(), Error> {
    context.repairs.forget_all(owner);
    let (what, name, now) = (K::WHAT, kept.name(), context.now());
    tracing::info!(what, name, ?end, "no longer kept");
    context.books.ensure(&kept.gone(end, now), now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::time::LocalDate;
    use leasehold_store::{Record, Store};

    use super::*;

    const AT: Second = Second::new(0);

    fn volume(cluster: &str, tenancy: &str, claim_uid: &str) -> VolumeRetainedDoc {
        VolumeRetainedDoc {
            cluster: cluster.to_owned(),
            department: "edu".to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation: 1,
            namespace: "edu--prod".to_owned(),
            claim: "files".to_owned(),
            claim_uid: claim_uid.to_owned(),
            volume: "disk".to_owned(),
            uid: "v1".to_owned(),
            class: "ssd".to_owned(),
            bytes: 10 << 30,
            policy: "Delete".to_owned(),
            until: LocalDate::parse("2027-01-17").unwrap(),
            at: AT,
        }
    }

    fn snapshot(tenancy: &str, uid: &str) -> SnapshotRetainedDoc {
        SnapshotRetainedDoc {
            cluster: "cluster".to_owned(),
            department: "edu".to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation: 1,
            namespace: "edu--prod".to_owned(),
            claim: "files".to_owned(),
            claim_uid: "c1".to_owned(),
            volume: "disk".to_owned(),
            bytes: 10 << 30,
            content: format!("snapcontent-{uid}"),
            uid: uid.to_owned(),
            driver: "disks.example".to_owned(),
            handle: format!("snap-{uid}"),
            until: LocalDate::parse("2027-01-17").unwrap(),
            at: AT,
        }
    }

    #[tokio::test]
    async fn what_stands_is_what_this_cluster_keeps_and_was_not_seen_to_end() {
        let store = Store::in_memory().await.unwrap();
        let books = Books::open(store, "cluster", AT).await.unwrap();
        // the same volume, given back, claimed anew, and kept again
        let (first, again) = (volume("cluster", "oa", "c1"), volume("cluster", "oa", "c2"));
        let elsewhere = volume("another", "oa", "c3");
        let (ended, stands) = (snapshot("oa", "s1"), snapshot("mail", "s2"));
        let records = vec![
            Record::document(&first).unwrap(),
            Record::document(&first.gone(VolumeEnd::HandedOver, AT)).unwrap(),
            Record::document(&again).unwrap(),
            Record::document(&elsewhere).unwrap(),
            Record::document(&ended).unwrap(),
            Record::document(&stands).unwrap(),
            Record::document(&ended.gone(VolumeEnd::Deleted, AT)).unwrap(),
        ];
        books.commit(records, AT).await.unwrap();
        let volumes: Vec<VolumeRetainedDoc> = standing(&books).await.unwrap();
        assert_eq!(volumes, [again]);
        let snapshots: Vec<SnapshotRetainedDoc> = standing(&books).await.unwrap();
        assert_eq!(snapshots, [stands]);
    }

    #[test]
    fn an_end_has_the_key_of_what_it_ends() {
        let (disk, content) = (volume("cluster", "oa", "c1"), snapshot("oa", "s1"));
        let ends = [
            (disk.key(), disk.gone(VolumeEnd::Deleted, AT).key()),
            (content.key(), content.gone(VolumeEnd::Orphaned, AT).key()),
        ];
        for (kept, gone) in ends {
            assert_eq!(kept, gone);
        }
    }
}
