//! Volumes that outlive their tenancy: that one is kept, and what became of it.

use serde::{Deserialize, Serialize};

use super::Document;
use crate::time::{LocalDate, Second};

/// A volume is kept although the tenancy that it served is released.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeRetainedDoc {
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
    /// Uid of the claim. A claim of another uid never gets the volume, whatever its name.
    pub claim_uid: String,
    /// Name of the volume in the cluster.
    pub volume: String,
    /// Uid of the volume.
    pub uid: String,
    /// Its storage class; empty where it has none.
    pub class: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// Its reclaim policy before it was kept, which it gets back.
    pub policy: String,
    /// Last day on which it is kept.
    pub until: LocalDate,
    /// When it was recorded, which was before its namespace went.
    pub at: Second,
}

impl Document for VolumeRetainedDoc {
    const KIND: &'static str = "volume-retained";

    fn key(&self) -> String {
        retention_key(&self.cluster, &self.uid, &self.claim_uid)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

/// How a retention ended.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeEnd {
    /// The volume is no longer in the cluster.
    Deleted,
    /// Our labels were taken off it: the platform has it, to give back to the department or to keep.
    HandedOver,
    /// Of a snapshot: its object went before its last day, as with the definition of its kind. What it was of is still in the
    /// storage, under the handle that the ledger has, and nothing in the cluster names it.
    Orphaned,
}

/// A volume is no longer kept.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeGoneDoc {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Name of the volume in the cluster.
    pub volume: String,
    /// Uid of the volume.
    pub uid: String,
    /// Uid of the claim that it served.
    pub claim_uid: String,
    /// What became of it.
    pub end: VolumeEnd,
    /// When that was seen.
    pub at: Second,
}

impl Document for VolumeGoneDoc {
    const KIND: &'static str = "volume-gone";

    fn key(&self) -> String {
        retention_key(&self.cluster, &self.uid, &self.claim_uid)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

/// One volume may be kept several times: given back, claimed anew, and released again.
fn retention_key(cluster: &str, uid: &str, claim_uid: &str) -> String {
    format!("{cluster}/{uid}/{claim_uid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::row_key;

    fn retained(claim_uid: &str) -> VolumeRetainedDoc {
        VolumeRetainedDoc {
            cluster: "k".to_owned(),
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            namespace: "edu--prod".to_owned(),
            claim: "files".to_owned(),
            claim_uid: claim_uid.to_owned(),
            volume: "pv-1".to_owned(),
            uid: "v".to_owned(),
            class: "ssd".to_owned(),
            bytes: 10 << 30,
            policy: "Delete".to_owned(),
            until: LocalDate::parse("2027-02-14").unwrap(),
            at: Second::new(0),
        }
    }

    #[test]
    fn a_volume_that_was_given_back_and_released_again_is_kept_under_another_key() {
        assert_eq!(row_key(&retained("c1")), "volume-retained/k/v/c1");
        assert_ne!(retained("c1").key(), retained("c2").key());
        assert_eq!(retained("c1").subject(), "edu/oa");
    }

    #[test]
    fn the_end_of_a_retention_has_its_key() {
        let kept = retained("c1");
        let gone = VolumeGoneDoc {
            cluster: kept.cluster.clone(),
            department: kept.department.clone(),
            tenancy: kept.tenancy.clone(),
            volume: kept.volume.clone(),
            uid: kept.uid.clone(),
            claim_uid: kept.claim_uid.clone(),
            end: VolumeEnd::Deleted,
            at: Second::new(1),
        };
        assert_eq!(gone.key(), kept.key());
        assert_eq!(row_key(&gone), "volume-gone/k/v/c1");
    }

    #[test]
    fn the_last_day_is_written_as_a_day() {
        let text = serde_json::to_value(retained("c1")).unwrap();
        assert_eq!(text["until"], "2027-02-14");
        let read: VolumeRetainedDoc = serde_json::from_value(text).unwrap();
        assert_eq!(read, retained("c1"));
    }
}
