//! Snapshots of volumes that outlive their tenancy: that one is kept, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Document, VolumeEnd};
use crate::time::{LocalDate, Second};

/// A snapshot of a volume is kept although the tenancy that the volume served is released.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotRetainedDoc {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// Uid of the claim.
    pub claim_uid: String,
    /// Name of the volume of which the snapshot was made. It went with the claim.
    pub volume: String,
    /// Size of the volume in bytes.
    pub bytes: i64,
    /// Name of the `VolumeSnapshotContent` in the cluster.
    pub content: String,
    /// Uid of the content.
    pub uid: String,
    /// The driver that made the snapshot.
    pub driver: String,
    /// By what the driver knows it; empty where it did not say.
    pub handle: String,
    /// Last day on which it is kept.
    pub until: LocalDate,
    /// When it was recorded, which was before its namespace went.
    pub at: Second,
}

impl Document for SnapshotRetainedDoc {
    const KIND: &'static str = "snapshot-retained";

    fn key(&self) -> String {
        snapshot_key(&self.cluster, &self.uid)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

/// A snapshot is no longer kept.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotGoneDoc {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Name of the `VolumeSnapshotContent` in the cluster.
    pub content: String,
    /// Uid of the content.
    pub uid: String,
    /// What became of it.
    pub end: VolumeEnd,
    /// When that was seen.
    pub at: Second,
}

impl Document for SnapshotGoneDoc {
    const KIND: &'static str = "snapshot-gone";

    fn key(&self) -> String {
        snapshot_key(&self.cluster, &self.uid)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

/// A snapshot is made once and kept once: what is restored from it is another volume.
fn snapshot_key(cluster: &str, uid: &str) -> String {
    format!("{cluster}/{uid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::row_key;

    #[test]
    fn the_end_of_a_kept_snapshot_has_its_key_and_the_last_day_is_written_as_a_day() {
        let kept = SnapshotRetainedDoc {
            cluster: "k".to_owned(),
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            namespace: "edu--prod".to_owned(),
            claim: "files".to_owned(),
            claim_uid: "c1".to_owned(),
            volume: "pv-1".to_owned(),
            bytes: 10 << 30,
            content: "snapcontent-1".to_owned(),
            uid: "s1".to_owned(),
            driver: "disks.example".to_owned(),
            handle: "snap-1".to_owned(),
            until: LocalDate::parse("2027-02-14").unwrap(),
            at: Second::new(0),
        };
        let gone = SnapshotGoneDoc {
            cluster: kept.cluster.clone(),
            department: kept.department.clone(),
            tenancy: kept.tenancy.clone(),
            content: kept.content.clone(),
            uid: kept.uid.clone(),
            end: VolumeEnd::Deleted,
            at: Second::new(1),
        };
        assert_eq!(row_key(&kept), "snapshot-retained/k/s1");
        assert_eq!(row_key(&gone), "snapshot-gone/k/s1");
        assert_eq!(
            (kept.subject(), gone.key()),
            ("edu/oa".to_owned(), kept.key())
        );
        let text = serde_json::to_value(&kept).unwrap();
        assert_eq!(text["until"], "2027-02-14");
        let read: SnapshotRetainedDoc = serde_json::from_value(text).unwrap();
        assert_eq!(read, kept);
    }
}
