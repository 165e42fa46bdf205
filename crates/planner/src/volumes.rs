//! Named volumes whose claims are there: whether one may grow, and how it stands.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{core::v1::PersistentVolumeClaim, storage::v1::StorageClass},
    apimachinery::pkg::api::resource::Quantity,
};
use leasehold_api::tenancy::{Volume, VolumeStatus};
use leasehold_ledger::money::{Unit, format_quantity, parse_quantity};

use crate::{quota::ObservedQuota, rules::Refusal};

/// Phase of a claim that has its volume.
const BOUND: &str = "Bound";
/// Phase of a claim whose volume is gone.
const LOST: &str = "Lost";
/// How a storage class binds that waits for the first pod.
const WITH_A_POD: &str = "WaitForFirstConsumer";
/// Condition of a claim whose disk has grown and whose file system has not.
const FILE_SYSTEM: &str = "FileSystemResizePending";
/// What claims are measured by.
const STORAGE: &str = "storage";

/// What is to be done about the claim of a named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It is as large as asked.
    Stands,
    /// It is to grow.
    Grows,
    /// It cannot become as large as asked.
    Refused(Refusal),
}

/// Compares a claim with how it is wanted. `class` is its storage class, if there is one of that name.
pub fn growth(
    wanted: &PersistentVolumeClaim,
    standing: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
) -> Growth {
    let (asked, held) = (requested(wanted), requested(standing));
    let refused = |rule, allowed: String, remedy: &str| {
        let asked = format!(
            "volume {} of {}{}",
            name(wanted),
            size(asked),
            place(wanted)
        );
        Growth::Refused(Refusal::new(rule, asked, allowed, remedy))
    };
    if asked == held {
        return Growth::Stands;
    }
    let held_size = size(held);
    if asked < held {
        return refused(
            "T60",
            format!("{held_size} or more, because a volume does not shrink"),
            "write the size that it has, or name a second, smaller volume and move the data",
        );
    }
    let class_name = class_of(standing);
    let Some(class) = class else {
        return refused(
            "T61",
            format!("{held_size}, because there is no storage class {class_name}"),
            "write the size that it has, or ask the data centre for the class",
        );
    };
    if class.allow_volume_expansion != Some(true) {
        return refused(
            "T61",
            format!("{held_size}, because storage class {class_name} does not let volumes grow"),
            "write the size that it has, name a second volume, or ask the data centre to set allowVolumeExpansion of the class",
        );
    }
    if phase(standing) != BOUND {
        return refused(
            "T61",
            format!("{held_size} until it is bound"),
            "write the size that it has, and let it grow once a pod uses it and it is bound",
        );
    }
    Growth::Grows
}

/// Why the quota of its namespace refuses a claim, with the numbers; none if that is not what is in the way. `standing`
/// is the claim as it is, if there is one.
pub fn over_quota(
    wanted: &PersistentVolumeClaim,
    standing: Option<&PersistentVolumeClaim>,
    quota: &ObservedQuota,
) -> Option<Refusal> {
    let class = class_of(wanted);
    let more = requested(wanted).saturating_sub(standing.map_or(0, requested));
    let hard = quota.status_hard.as_ref().unwrap_or(&quota.spec_hard);
    let keys = [
        format!("{class}.storageclass.storage.k8s.io/requests.storage"),
        "requests.storage".to_owned(),
    ];
    let rooms = keys.iter().filter_map(|key| {
        let all = *hard.get(key)?;
        let used = quota.used.get(key).copied().unwrap_or(0);
        Some((all.saturating_sub(used).max(0), used, all))
    });
    let (free, used, all) = rooms.min()?;
    (more > free).then(|| {
        Refusal::new(
            "T30",
            format!(
                "{} more of storage class {class} for volume {}{}",
                size(more),
                name(wanted),
                place(wanted)
            ),
            format!("{} more: claims there hold {} of {}", size(free), size(used), size(all)),
            "share more of its item to the namespace, make the volume smaller, or remove claims there",
        )
    })
}

/// How a named volume stands. `claim` is the claim of its name, if there is one, and `class` that claim's storage class.
pub fn standing(
    volume: &Volume,
    claim: Option<&PersistentVolumeClaim>,
    class: Option<&StorageClass>,
) -> VolumeStatus {
    let asked = parse_quantity(&volume.size, Unit::GiB).ok();
    let bound = claim.filter(|claim| phase(claim) == BOUND).map(capacity);
    VolumeStatus {
        name: volume.name.to_string(),
        size: asked.map_or_else(|| volume.size.to_string(), size),
        bound: bound.map(size),
        message: match claim {
            Some(claim) => hindrance(claim, asked, class),
            None => Some("not made yet".to_owned()),
        },
    }
}

/// What a claim waits for, in plain words.
fn hindrance(
    claim: &PersistentVolumeClaim,
    asked: Option<i64>,
    class: Option<&StorageClass>,
) -> Option<String> {
    let class_name = class_of(claim);
    if claim.metadata.deletion_timestamp.is_some() {
        return Some("being deleted".to_owned());
    }
    if phase(claim) == LOST {
        return Some("its volume is lost; ask the data centre".to_owned());
    }
    if phase(claim) != BOUND {
        return Some(match class {
            None => format!("waits for storage class {class_name}, which does not exist"),
            Some(class) if class.volume_binding_mode.as_deref() == Some(WITH_A_POD) => {
                "waits for the first pod that uses it".to_owned()
            }
            Some(_) => format!("waits for a volume of storage class {class_name}"),
        });
    }
    let (held, has) = (requested(claim), capacity(claim));
    if asked.is_some_and(|asked| asked != held) {
        return Some(format!("stays at {}, as a condition tells", size(held)));
    }
    if has >= held {
        return None;
    }
    Some(if has_condition(claim, FILE_SYSTEM) {
        format!(
            "its file system grows to {} when the next pod mounts it",
            size(held)
        )
    } else {
        format!("grows from {} to {}", size(has), size(held))
    })
}

/// The storage class of a claim; empty where it has none.
pub fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref();
    spec.and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or_default()
}

/// What a claim asks for, in bytes.
fn requested(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    bytes(resources.and_then(|resources| resources.requests.as_ref()))
}

/// What a claim got, in bytes.
fn capacity(claim: &PersistentVolumeClaim) -> i64 {
    let status = claim.status.as_ref();
    bytes(status.and_then(|status| status.capacity.as_ref()))
}

/// The storage among these amounts, in bytes; 0 where there is none.
pub(crate) fn bytes(amounts: Option<&BTreeMap<String, Quantity>>) -> i64 {
    amounts
        .and_then(|amounts| amounts.get(STORAGE))
        .and_then(|amount| parse_quantity(&amount.0, Unit::GiB).ok())
        .unwrap_or(0)
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn has_condition(claim: &PersistentVolumeClaim, type_: &str) -> bool {
    let status = claim.status.iter();
    let mut conditions = status.flat_map(|status| &status.conditions).flatten();
    conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn name(claim: &PersistentVolumeClaim) -> &str {
    claim.metadata.name.as_deref().unwrap_or_default()
}

/// ` in NAMESPACE`.
fn place(claim: &PersistentVolumeClaim) -> String {
    let namespace = claim.metadata.namespace.as_deref();
    namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"))
}

fn size(bytes: i64) -> String {
    format_quantity(bytes, Unit::GiB)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::quota::Hard;

    fn claim(size: &str, status: &Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "files", "namespace": "edu--prod"},
            "spec": {
                "storageClassName": "ssd", "resources": {"requests": {"storage": size}},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn bound(size: &str, capacity: &str) -> PersistentVolumeClaim {
        claim(
            size,
            &json!({"phase": "Bound", "capacity": {"storage": capacity}}),
        )
    }

    fn pending(size: &str) -> PersistentVolumeClaim {
        claim(size, &json!({"phase": "Pending"}))
    }

    fn class(more: &Value) -> StorageClass {
        let mut class = json!({"metadata": {"name": "ssd"}, "provisioner": "disks.example"});
        let fields = class.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(class).unwrap()
    }

    fn elastic() -> StorageClass {
        class(&json!({"allowVolumeExpansion": true}))
    }

    fn refusal(
        wanted: &str,
        standing: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> String {
        match growth(&pending(wanted), standing, class) {
            Growth::Refused(refusal) => refusal.to_string(),
            other @ (Growth::Stands | Growth::Grows) => format!("{other:?}"),
        }
    }

    #[test]
    fn a_bound_volume_of_an_elastic_class_grows_and_the_same_size_is_no_news() {
        let (standing, class) = (bound("10Gi", "10Gi"), elastic());
        let grown = |size: &str| growth(&pending(size), &standing, Some(&class));
        assert_eq!(grown("20Gi"), Growth::Grows);
        assert_eq!(grown("10240Mi"), Growth::Stands);
        // one that got more than it asked for is as large as asked
        assert_eq!(
            growth(&pending("10Gi"), &bound("10Gi", "12Gi"), None),
            Growth::Stands
        );
    }

    #[test]
    fn a_volume_never_shrinks_bound_or_not() {
        let expected = "rule T60: asked volume files of 5Gi in edu--prod, allowed 10Gi or more, because a volume does not shrink; write the size that it has, or name a second, smaller volume and move the data";
        for standing in [bound("10Gi", "10Gi"), pending("10Gi")] {
            assert_eq!(refusal("5Gi", &standing, Some(&elastic())), expected);
        }
    }

    #[test]
    fn a_class_that_does_not_let_volumes_grow_is_named_with_what_to_do() {
        let standing = bound("10Gi", "10Gi");
        let expected = "rule T61: asked volume files of 20Gi in edu--prod, allowed 10Gi, because storage class ssd does not let volumes grow; write the size that it has, name a second volume, or ask the data centre to set allowVolumeExpansion of the class";
        for rigid in [
            class(&json!({})),
            class(&json!({"allowVolumeExpansion": false})),
        ] {
            assert_eq!(refusal("20Gi", &standing, Some(&rigid)), expected);
        }
        assert_eq!(
            refusal("20Gi", &standing, None),
            "rule T61: asked volume files of 20Gi in edu--prod, allowed 10Gi, because there is no storage class ssd; write the size that it has, or ask the data centre for the class"
        );
    }

    #[test]
    fn a_claim_that_is_not_bound_cannot_grow_yet() {
        assert_eq!(
            refusal("20Gi", &pending("10Gi"), Some(&elastic())),
            "rule T61: asked volume files of 20Gi in edu--prod, allowed 10Gi until it is bound; write the size that it has, and let it grow once a pod uses it and it is bound"
        );
    }

    fn quota(hard: i64, used: i64) -> ObservedQuota {
        let amounts = |gib: i64| {
            Hard::from([
                (
                    "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                    gib << 30,
                ),
                // another class has some of the sum
                ("requests.storage".to_owned(), (gib + 100) << 30),
            ])
        };
        ObservedQuota {
            spec_hard: amounts(1000),
            status_hard: Some(amounts(hard)),
            used: amounts(used),
        }
    }

    #[test]
    fn growth_beyond_the_quota_is_told_with_what_claims_hold_and_what_is_left() {
        let (wanted, standing) = (pending("30Gi"), bound("20Gi", "20Gi"));
        let found = over_quota(&wanted, Some(&standing), &quota(50, 45));
        assert_eq!(
            found.unwrap().to_string(),
            "rule T30: asked 10Gi more of storage class ssd for volume files in edu--prod, allowed 5Gi more: claims there hold 45Gi of 50Gi; share more of its item to the namespace, make the volume smaller, or remove claims there"
        );
        // exactly what is left is not too much, and a new claim needs all of its size
        assert_eq!(
            over_quota(&wanted, Some(&standing), &quota(50, 40)),
            None,
            "10Gi are left"
        );
        let fresh = over_quota(&wanted, None, &quota(50, 40)).unwrap();
        assert!(fresh.asked.starts_with("30Gi more"), "{fresh}");
        assert_eq!(over_quota(&wanted, None, &ObservedQuota::default()), None);
    }

    fn told(size: &str, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> String {
        let volume: Volume = serde_json::from_value(json!({
            "name": "files", "item": "block-ssd", "size": size,
        }))
        .unwrap();
        let status = standing(&volume, Some(claim), class);
        format!("{} {:?} {:?}", status.size, status.bound, status.message)
    }

    #[test]
    fn the_status_says_what_was_asked_what_there_is_and_what_is_waited_for() {
        let with_a_pod = class(&json!({"volumeBindingMode": "WaitForFirstConsumer"}));
        let waits = pending("10Gi");
        let table = [
            (
                told("10Gi", &waits, Some(&with_a_pod)),
                r#"10Gi None Some("waits for the first pod that uses it")"#,
            ),
            (
                told("10Gi", &waits, Some(&elastic())),
                r#"10Gi None Some("waits for a volume of storage class ssd")"#,
            ),
            (
                told("10Gi", &waits, None),
                r#"10Gi None Some("waits for storage class ssd, which does not exist")"#,
            ),
            (
                told("10Gi", &bound("10Gi", "12Gi"), None),
                r#"10Gi Some("12Gi") None"#,
            ),
            (
                told("20Gi", &bound("20Gi", "12Gi"), None),
                r#"20Gi Some("12Gi") Some("grows from 12Gi to 20Gi")"#,
            ),
            (
                told("5Gi", &bound("10Gi", "10Gi"), None),
                r#"5Gi Some("10Gi") Some("stays at 10Gi, as a condition tells")"#,
            ),
            (
                told("10Gi", &claim("10Gi", &json!({"phase": "Lost"})), None),
                r#"10Gi None Some("its volume is lost; ask the data centre")"#,
            ),
        ];
        for (found, expected) in table {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_disk_that_has_grown_waits_for_its_file_system() {
        let grown = claim(
            "20Gi",
            &json!({
                "phase": "Bound", "capacity": {"storage": "10Gi"},
                "conditions": [{"type": "FileSystemResizePending", "status": "True"}],
            }),
        );
        assert_eq!(
            told("20Gi", &grown, None),
            r#"20Gi Some("10Gi") Some("its file system grows to 20Gi when the next pod mounts it")"#
        );
    }

    #[test]
    fn a_volume_without_a_claim_is_not_made_yet() {
        let volume: Volume =
            serde_json::from_value(json!({"name": "files", "item": "block-ssd", "size": "1024Gi"}))
                .unwrap();
        let status = standing(&volume, None, None);
        assert_eq!((status.size.as_str(), status.bound), ("1Ti", None));
        assert_eq!(status.message.as_deref(), Some("not made yet"));
    }
}
