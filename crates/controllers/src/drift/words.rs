//! What is looked after, and how a change of it is told.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, PersistentVolume, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use leasehold_api::names::{DEPARTMENT_LABEL, TENANCY_LABEL};
use leasehold_kit::{Object, Writer};
use leasehold_planner::{repair::Weight, snapshots::VolumeSnapshotContent};

/// A kind of object that the operator keeps as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A namespace: its labels say whose it is, what is leased in it and at which Pod Security level.
    Namespace,
    /// A quota.
    Quota,
    /// A limit range.
    LimitRange,
    /// A network policy.
    NetworkPolicy,
    /// A role binding.
    RoleBinding,
    /// A volume that is kept after a release.
    Volume,
    /// The claim that such a volume names: while it names none the volume is anybody's. A fight over its labels does not
    /// hold this up.
    VolumeClaim,
    /// A snapshot that is kept after a release.
    Snapshot,
}

impl What {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Namespace,
        Self::Quota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::RoleBinding,
        Self::Volume,
        Self::VolumeClaim,
        Self::Snapshot,
    ];

    /// Its kind, as Kubernetes calls it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Quota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::RoleBinding => "RoleBinding",
            Self::Volume | Self::VolumeClaim => "PersistentVolume",
            Self::Snapshot => "VolumeSnapshotContent",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Quota => "quota",
            Self::LimitRange => "limit range",
            Self::NetworkPolicy => "network policy",
            Self::RoleBinding => "role binding",
            Self::Volume => "volume",
            Self::VolumeClaim => "claim of volume",
            Self::Snapshot => "snapshot",
        }
    }

    /// What stands open while it is not as it should be. A namespace is a fence too: policies go by its labels. So is a
    /// kept volume, or snapshot: it keeps others from the data of a department. A limit
    /// range is not: without it containers must say for themselves what they need, and the quota bounds them as before.
    pub(crate) const fn weight(self) -> Weight {
        match self {
            Self::LimitRange => Weight::Comfort,
            Self::Namespace
            | Self::Quota
            | Self::NetworkPolicy
            | Self::RoleBinding
            | Self::Volume
            | Self::VolumeClaim
            | Self::Snapshot => Weight::Fence,
        }
    }
}

/// A kind that is looked after.
pub(crate) trait Watched: Object {
    /// Which one.
    const WHAT: What;
}

impl Watched for Namespace {
    const WHAT: What = What::Namespace;
}

impl Watched for ResourceQuota {
    const WHAT: What = What::Quota;
}

impl Watched for LimitRange {
    const WHAT: What = What::LimitRange;
}

impl Watched for NetworkPolicy {
    const WHAT: What = What::NetworkPolicy;
}

impl Watched for RoleBinding {
    const WHAT: What = What::RoleBinding;
}

impl Watched for PersistentVolume {
    const WHAT: What = What::Volume;
}

impl Watched for VolumeSnapshotContent {
    const WHAT: What = What::Snapshot;
}

/// An object that is looked after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Its namespace, if it has one.
    pub(crate) place: Option<String>,
    /// Its kind.
    pub(crate) what: What,
    /// Its name.
    pub(crate) name: String,
}

impl Key {
    /// The key of an object.
    pub(crate) fn of<K: Watched>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            place: meta.namespace.clone(),
            what: K::WHAT,
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what.noun(), self.name)?;
        match &self.place {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}

/// Whose an object is, and who is told of it: a tenancy, or else the department's office.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    department: String,
    tenancy: Option<String>,
}

impl Owner {
    /// A tenancy.
    pub(crate) fn tenancy(department: &str, name: &str) -> Self {
        Self {
            department: department.to_owned(),
            tenancy: Some(name.to_owned()),
        }
    }

    /// The office of a department.
    pub(crate) fn office(department: &str) -> Self {
        Self {
            department: department.to_owned(),
            tenancy: None,
        }
    }

    /// Whoever had a volume that is kept: its tenancy is gone, and the volume itself tells. No department has an empty
    /// code.
    pub(crate) fn kept(volume: &str) -> Self {
        Self::tenancy("", volume)
    }

    /// The same of a snapshot. No volume has a slash in its name.
    pub(crate) fn kept_snapshot(content: &str) -> Self {
        Self::tenancy("", &format!("snapshot/{content}"))
    }

    /// Whom these labels name, which are those that an object should have.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Self {
        Self {
            department: labels.get(DEPARTMENT_LABEL).cloned().unwrap_or_default(),
            tenancy: labels.get(TENANCY_LABEL).cloned(),
        }
    }

    /// The department, where it is an office.
    pub(crate) fn department_of_office(&self) -> Option<&str> {
        let is_office = self.tenancy.is_none();
        is_office.then_some(self.department.as_str())
    }

    /// Department and name, where it is a tenancy.
    pub(crate) fn names(&self) -> Option<(&str, &str)> {
        let tenancy = self.tenancy.as_deref()?;
        Some((self.department.as_str(), tenancy))
    }
}

/// What became of an object without us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// It was changed; by whom, if its managed fields tell.
    Changed(Option<Writer>),
    /// It was deleted. Nothing is left that could tell by whom.
    Deleted,
    /// It was made under a name of ours although nothing of that name should be there.
    Added(Writer),
}

impl Drift {
    /// By whom, in words.
    pub(crate) fn who(&self) -> String {
        match self {
            Self::Changed(Some(writer)) | Self::Added(writer) => writer.manager.clone(),
            Self::Changed(None) | Self::Deleted => {
                "somebody whom the API server's audit log knows".to_owned()
            }
        }
    }

    /// What happened to the object, and that it was put right.
    pub(crate) fn sentence(&self, key: &Key) -> String {
        match self {
            Self::Changed(Some(writer)) => format!("{key} was changed by {writer}; put right"),
            Self::Changed(None) => format!(
                "{key} was changed, its managed fields do not say by whom (the API server's audit log does); put right"
            ),
            Self::Deleted => {
                format!("{key} was deleted (the API server's audit log tells by whom); made anew")
            }
            Self::Added(writer) => {
                format!("{key} was made by {writer} and has no place there; taken away")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(place: Option<&str>, what: What, name: &str) -> Key {
        Key {
            place: place.map(str::to_owned),
            what,
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_drift_is_told_with_the_object_the_program_and_the_time() {
        let writer = Writer {
            manager: "kubectl-edit".to_owned(),
            operation: "Update".to_owned(),
            subresource: None,
            at: Some("2027-01-15T02:00:09Z".parse().unwrap()),
        };
        let fence = key(Some("edu--prod"), What::NetworkPolicy, "leasehold");
        let changed = Drift::Changed(Some(writer));
        assert_eq!(
            changed.sentence(&fence),
            "network policy leasehold in edu--prod was changed by kubectl-edit at 2027-01-15T02:00:09Z; put right"
        );
        assert_eq!(changed.who(), "kubectl-edit");
        let place = key(None, What::Namespace, "edu--prod");
        let told = Drift::Changed(None).sentence(&place);
        assert!(
            told.starts_with("namespace edu--prod was changed, "),
            "{told}"
        );
        let quota = key(Some("edu--prod"), What::Quota, "leasehold");
        let told = Drift::Deleted.sentence(&quota);
        assert!(
            told.starts_with("quota leasehold in edu--prod was deleted "),
            "{told}"
        );
    }

    #[test]
    fn an_object_belongs_to_the_tenancy_or_the_office_that_its_labels_name() {
        let labels = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let tenancy = Owner::of(&labels(&[(DEPARTMENT_LABEL, "edu"), (TENANCY_LABEL, "oa")]));
        assert_eq!(tenancy, Owner::tenancy("edu", "oa"));
        assert_eq!(tenancy.names(), Some(("edu", "oa")));
        let office = Owner::of(&labels(&[(DEPARTMENT_LABEL, "edu")]));
        assert_eq!(office, Owner::office("edu"));
        assert_eq!(office.names(), None);
    }
}
