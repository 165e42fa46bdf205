//! Desired objects, complete, for server-side apply.
//!
//! Objects name only what the operator owns, so that applying them again changes nothing. Optional
//! objects ([`role_bindings`], [`office_role_bindings`]) are left out when they would be empty: who
//! applies them also deletes those of [`ROLE_BINDINGS`] and [`OFFICE_ROLE_BINDINGS`] that are not in
//! the list, and what still stands under the [`FORMER_NETWORK_POLICIES`].

mod nameable;
mod network;
mod office;
pub mod reachability;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::{
            LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, PersistentVolumeClaim,
            PersistentVolumeClaimSpec, ResourceQuota, ResourceQuotaSpec,
            VolumeResourceRequirements,
        },
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use leasehold_api::{
    names::{
        DEPARTMENT_LABEL, EXTENDED_RESOURCES_ANNOTATION, INCARNATION_LABEL, LIMIT_RANGE_NAME,
        MANAGED_LABEL, MANAGED_VALUE, PROTECTION_LABEL, QUOTA_NAME, ROLE_LABEL, ROLE_TENANCY,
        STORAGE_CLASSES_ANNOTATION, SYSTEM_LABEL, TENANCY_LABEL, ZONE_LABEL, cluster_roles,
        tenancy_namespace,
    },
    platform::{ContainerDefaults, PodSecurity},
    tenancy::{Member, MemberRole, SubjectKind, Volume},
};
use leasehold_ledger::money::{Unit, format_quantity, parse_quantity};

use crate::{
    quota::{Hard, render},
    request::Items,
    rules::Refusal,
};

pub use nameable::Nameable;
pub use network::{FORMER_NETWORK_POLICIES, network_policy};
pub use office::{Kin, OFFICE_ROLE_BINDINGS, office_namespace, office_role_bindings};

/// Names of the role bindings of a tenancy namespace: administrators and readers.
pub const ROLE_BINDINGS: [&str; 2] = ["leasehold-admins", "leasehold-viewers"];

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
/// Smallest request of a container: zero would escape the quota, and a zero limit is no limit.
const LEAST_CPU: i64 = 1;
/// Smallest memory of a container in bytes.
const LEAST_MEMORY: i64 = 1 << 20;
/// Ephemeral storage of a container that asks for none, where it is leased, in bytes.
const DEFAULT_EPHEMERAL: i64 = 256 << 20;

/// Whose namespace it is and what holds in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceIdentity {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the tenancy's name, from 1.
    pub incarnation: u32,
    /// Name of the information system.
    pub system: String,
    /// Name of the network zone.
    pub zone_name: String,
    /// Protection level of the zone, 1 to 4.
    pub protection_level: u8,
    /// Pod Security level.
    pub pod_security: PodSecurity,
    /// Storage classes that the tenancy leases.
    pub storage_classes: BTreeSet<String>,
    /// What the tenancy leases beside processor and memory, as pods ask for it.
    pub extended: BTreeSet<String>,
    /// What its workloads may name of the cluster.
    pub nameable: Nameable,
}

impl NamespaceIdentity {
    /// Labels that tell whose an object is.
    pub fn owner_labels(&self) -> BTreeMap<String, String> {
        labels([
            (MANAGED_LABEL, MANAGED_VALUE.to_owned()),
            (DEPARTMENT_LABEL, self.department.clone()),
            (TENANCY_LABEL, self.tenancy.clone()),
            (INCARNATION_LABEL, self.incarnation.to_string()),
        ])
    }
}

/// A tenancy namespace as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePlan {
    /// Its full name, `<department>--<short>`.
    pub name: String,
    /// Its name in the tenancy's manifest.
    pub short: String,
    /// Its quota, in base units.
    pub hard: Hard,
    /// Labels of the namespace.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the namespace; the admission policies read them.
    pub annotations: BTreeMap<String, String>,
    /// Labels of the objects in it.
    pub object_labels: BTreeMap<String, String>,
    /// Whose it is.
    pub identity: NamespaceIdentity,
}

impl NamespacePlan {
    /// Plans the namespace of this short name.
    pub fn new(identity: NamespaceIdentity, short: &str, hard: Hard) -> Self {
        let object_labels = identity.owner_labels();
        let mut namespace_labels = object_labels.clone();
        namespace_labels.extend(labels([
            (SYSTEM_LABEL, identity.system.clone()),
            (ZONE_LABEL, identity.zone_name.clone()),
            (PROTECTION_LABEL, identity.protection_level.to_string()),
            (ROLE_LABEL, ROLE_TENANCY.to_owned()),
        ]));
        namespace_labels.extend(pod_security_labels(identity.pod_security));
        let mut annotations = labels([
            (
                STORAGE_CLASSES_ANNOTATION,
                joined(&identity.storage_classes),
            ),
            (EXTENDED_RESOURCES_ANNOTATION, joined(&identity.extended)),
        ]);
        annotations.extend(identity.nameable.annotations());
        Self {
            name: tenancy_namespace(&identity.department, short),
            short: short.to_owned(),
            hard,
            labels: namespace_labels,
            annotations,
            object_labels,
            identity,
        }
    }

    /// Metadata of an object in the namespace.
    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.name.clone()),
            labels: Some(self.object_labels.clone()),
            ..ObjectMeta::default()
        }
    }
}

fn labels<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn joined(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

fn pod_security_labels(level: PodSecurity) -> BTreeMap<String, String> {
    let level = match level {
        PodSecurity::Restricted => "restricted",
        PodSecurity::Baseline => "baseline",
    };
    ["enforce", "audit", "warn"]
        .into_iter()
        .map(|mode| {
            (
                format!("pod-security.kubernetes.io/{mode}"),
                level.to_owned(),
            )
        })
        .collect()
}

/// The namespace itself. It has no owner: nothing that is deleted takes it along.
pub fn namespace(plan: &NamespacePlan) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(plan.name.clone()),
            labels: Some(plan.labels.clone()),
            annotations: Some(plan.annotations.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// The quota with these amounts, which on the way to the planned ones may be others.
pub fn quota(plan: &NamespacePlan, hard: &Hard) -> ResourceQuota {
    ResourceQuota {
        metadata: plan.metadata(QUOTA_NAME),
        spec: Some(ResourceQuotaSpec {
            hard: Some(render(hard)),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    }
}

/// What a container gets that asks for nothing, never more than the namespace has, and the least
/// that it must ask for.
pub fn limit_range(
    plan: &NamespacePlan,
    defaults: &ContainerDefaults,
    hard: &Hard,
) -> Result<LimitRange, Refusal> {
    let mut least = Hard::from([
        ("cpu".to_owned(), LEAST_CPU),
        ("memory".to_owned(), LEAST_MEMORY),
    ]);
    let mut given = Hard::from([
        (
            "cpu".to_owned(),
            container_default("cpu", &defaults.cpu, Unit::Core)?,
        ),
        (
            "memory".to_owned(),
            container_default("memory", &defaults.memory, Unit::GiB)?,
        ),
    ]);
    if hard.contains_key("requests.ephemeral-storage") {
        // a quota on it refuses containers that do not say how much they need
        given.insert("ephemeral-storage".to_owned(), DEFAULT_EPHEMERAL);
        least.insert("ephemeral-storage".to_owned(), LEAST_MEMORY);
    }
    for (resource, amount) in &mut given {
        let most = hard
            .get(&format!("requests.{resource}"))
            .copied()
            .unwrap_or(0);
        let floor = least.get(resource).copied().unwrap_or(0);
        *amount = (*amount).min(most).max(floor);
    }
    let given: BTreeMap<String, Quantity> = render(&given);
    Ok(LimitRange {
        metadata: plan.metadata(LIMIT_RANGE_NAME),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(given.clone()),
                default_request: Some(given),
                min: Some(render(&least)),
                ..LimitRangeItem::default()
            }],
        }),
    })
}

fn container_default(resource: &str, quantity: &str, unit: Unit) -> Result<i64, Refusal> {
    parse_quantity(quantity, unit).map_err(|error| {
        Refusal::new(
            "T22",
            format!("{quantity} as the default of {resource}"),
            "a quantity such as 100m or 128Mi",
            format!("correct spec.containerDefaults of the cloud policy: {error}"),
        )
    })
}

/// The rights of a tenancy's people in its namespace. Users and groups of the control plane are
/// left out, whatever the manifest says; a binding without anybody is left out too.
pub fn role_bindings(plan: &NamespacePlan, members: &[Member]) -> Vec<RoleBinding> {
    let [admins, viewers] = ROLE_BINDINGS;
    [
        (MemberRole::Admin, admins, cluster_roles::TENANT_ADMIN),
        (MemberRole::Viewer, viewers, cluster_roles::TENANT_VIEWER),
    ]
    .into_iter()
    .filter_map(|(role, name, cluster_role)| {
        let people = members
            .iter()
            .filter(|member| member.role == role)
            .filter_map(|member| match (&member.user, &member.group) {
                (Some(user), None) => Some((SubjectKind::User, user.as_str())),
                (None, Some(group)) => Some((SubjectKind::Group, group.as_str())),
                (Some(_), Some(_)) | (None, None) => None,
            });
        role_binding(plan.metadata(name), cluster_role, people)
    })
    .collect()
}

/// A binding of a cluster role to people, each once and sorted; none without people.
fn role_binding<'a>(
    metadata: ObjectMeta,
    cluster_role: &str,
    people: impl Iterator<Item = (SubjectKind, &'a str)>,
) -> Option<RoleBinding> {
    let people: BTreeSet<(SubjectKind, &str)> = people
        .filter(|(_, name)| !name.starts_with("system:") && !name.is_empty())
        .collect();
    let subjects: Vec<Subject> = people
        .into_iter()
        .map(|(kind, name)| Subject {
            api_group: Some(RBAC_GROUP.to_owned()),
            kind: match kind {
                SubjectKind::User => "User".to_owned(),
                SubjectKind::Group => "Group".to_owned(),
            },
            name: name.to_owned(),
            namespace: None,
        })
        .collect();
    (!subjects.is_empty()).then(|| RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some(RBAC_GROUP.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: cluster_role.to_owned(),
        },
        subjects: Some(subjects),
    })
}

/// The named volumes of a namespace.
pub fn volumes(
    plan: &NamespacePlan,
    volumes: &[Volume],
    items: &Items,
) -> Result<Vec<PersistentVolumeClaim>, Refusal> {
    volumes
        .iter()
        .map(|volume| claim(plan, volume, items))
        .collect()
}

fn claim(
    plan: &NamespacePlan,
    volume: &Volume,
    items: &Items,
) -> Result<PersistentVolumeClaim, Refusal> {
    let refused = |allowed: &str, remedy: String| {
        let asked = format!(
            "volume {} of {} on {}",
            volume.name, volume.size, volume.item
        );
        Refusal::new("T30", asked, allowed, remedy)
    };
    let class = items
        .get(volume.item.as_str())
        .and_then(|item| item.storage_class.clone())
        .ok_or_else(|| {
            refused(
                "storage items of the lease",
                "name a storage item of the lease".to_owned(),
            )
        })?;
    let bytes = parse_quantity(&volume.size, Unit::GiB)
        .map_err(|error| refused("a size such as 10Gi", error.to_string()))?;
    let size = Quantity(format_quantity(bytes, Unit::GiB));
    Ok(PersistentVolumeClaim {
        metadata: plan.metadata(&volume.name),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: Some(class),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

#[cfg(test)]
mod tests;
