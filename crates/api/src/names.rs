//! Names that bind our objects together: labels, annotations, field manager, namespaces, roles.

/// The one field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "leasehold";

/// Label on every object that the operator manages, with the value [`MANAGED_VALUE`].
pub const MANAGED_LABEL: &str = "leasehold.dev/managed-by";
/// Value of [`MANAGED_LABEL`].
pub const MANAGED_VALUE: &str = "leasehold";
/// Label with the department's code.
pub const DEPARTMENT_LABEL: &str = "leasehold.dev/department";
/// Label with the tenancy's name.
pub const TENANCY_LABEL: &str = "leasehold.dev/tenancy";
/// Label with the number of the tenancy's incarnation; it rises by one when a released name is used again.
pub const INCARNATION_LABEL: &str = "leasehold.dev/incarnation";
/// Label with the information system's name.
pub const SYSTEM_LABEL: &str = "leasehold.dev/system";
/// Label with the network zone's name.
pub const ZONE_LABEL: &str = "leasehold.dev/zone";
/// Label with the protection level (1 to 4) of the zone.
pub const PROTECTION_LABEL: &str = "leasehold.dev/protection-level";
/// Label that tells an office namespace (`office`) from a tenancy namespace (`tenancy`).
pub const ROLE_LABEL: &str = "leasehold.dev/namespace-role";
/// Value of [`ROLE_LABEL`] on office namespaces.
pub const ROLE_OFFICE: &str = "office";
/// Value of [`ROLE_LABEL`] on tenancy namespaces.
pub const ROLE_TENANCY: &str = "tenancy";
/// Annotation on tenancy namespaces: the storage classes that the tenancy leases, comma separated. The admission policies read it.
pub const STORAGE_CLASSES_ANNOTATION: &str = "leasehold.dev/storage-classes";
/// Annotation on tenancy namespaces: what the tenancy leases beside processor and memory, comma separated: extended resources (GPUs by name), scratch space, huge pages.
pub const EXTENDED_RESOURCES_ANNOTATION: &str = "leasehold.dev/extended-resources";
/// Annotation on tenancy namespaces: labels of the nodes that carry the zone, as `key=value`, comma separated.
pub const NODE_SELECTOR_ANNOTATION: &str = "leasehold.dev/node-selector";
/// Annotation on tenancy namespaces: keys of the taints that pods may tolerate, comma separated.
pub const TOLERATIONS_ANNOTATION: &str = "leasehold.dev/tolerations";
/// Annotation on tenancy namespaces: the priority classes that pods may name, comma separated.
pub const PRIORITY_CLASSES_ANNOTATION: &str = "leasehold.dev/priority-classes";
/// Annotation on tenancy namespaces: the runtime classes that pods may name, comma separated.
pub const RUNTIME_CLASSES_ANNOTATION: &str = "leasehold.dev/runtime-classes";
/// Annotation on tenancy namespaces: the ingress classes through which systems may be published, comma separated.
pub const INGRESS_CLASSES_ANNOTATION: &str = "leasehold.dev/ingress-classes";
/// Annotation on tenancy namespaces: the domains under which the department may publish, comma separated.
pub const DOMAINS_ANNOTATION: &str = "leasehold.dev/domains";
/// Annotation on volumes and snapshots that outlive their tenancy: the last local day on which they are kept. A later day in it counts.
pub const RETAINED_UNTIL_ANNOTATION: &str = "leasehold.dev/retained-until";
/// Annotation on volumes that outlive their tenancy: their reclaim policy before.
pub const RECLAIM_POLICY_ANNOTATION: &str = "leasehold.dev/reclaim-policy";
/// Annotation on snapshots that outlive their tenancy: namespace and name of the claim of which they were made.
pub const RETAINED_CLAIM_ANNOTATION: &str = "leasehold.dev/retained-claim";
/// Annotation by which the platform asks that an existing namespace be taken into a tenancy: `<department>/<tenancy>`.
pub const ADOPT_ANNOTATION: &str = "leasehold.dev/adopt";
/// Annotation on office namespaces: codes of the departments directly below, comma separated. Whoever oversees them finds
/// their offices by it.
pub const BELOW_ANNOTATION: &str = "leasehold.dev/below";
/// Annotation on tenancies and contributions: who asked, stamped by the API server from the request itself.
pub const REQUESTED_BY_ANNOTATION: &str = "leasehold.dev/requested-by";
/// Annotation on tenancies: who wrote `spec.acceptance`, stamped by the API server from the request itself.
pub const ACCEPTED_BY_ANNOTATION: &str = "leasehold.dev/accepted-by";
/// Annotation on tenancies: who wrote `spec.signOff`, stamped by the API server from the request itself.
pub const SIGNED_OFF_BY_ANNOTATION: &str = "leasehold.dev/signed-off-by";
/// Annotation on services that claimed an address when they were made: which. The API server writes it for a rule to refuse,
/// and no service that is there bears it.
pub const CHOSEN_ADDRESS_ANNOTATION: &str = "leasehold.dev/chosen-address";
/// Label of the cluster roles whose rules the operator gets for what declared meters count.
pub const AGGREGATE_TO_METERS_LABEL: &str = "leasehold.dev/aggregate-to-meters";
/// Node label that ties a machine to a serial number; the `node-restriction` part keeps kubelets from writing it.
pub const SERIAL_LABEL: &str = "leasehold.node-restriction.kubernetes.io/serial";

/// Name of the managed `ResourceQuota`.
pub const QUOTA_NAME: &str = "leasehold";
/// Name of the managed `LimitRange`.
pub const LIMIT_RANGE_NAME: &str = "leasehold";
/// Name of the managed `NetworkPolicy`.
pub const NETWORK_POLICY_NAME: &str = "leasehold";

/// Name of the only `CloudPolicy` that counts.
pub const POLICY_NAME: &str = "default";
/// Name of the `Cloudlet` that is the cluster where the operator runs.
pub const SELF_CLOUDLET: &str = "self";

/// Cluster roles that the chart installs and that people get through role bindings.
pub mod cluster_roles {
    /// Department staff in their office namespace: writes tenancies, systems and contributions.
    pub const DEPARTMENT: &str = "leasehold-department";
    /// Administrators of the departments above, in an office namespace: read what the department leases and pays.
    pub const OVERSEER: &str = "leasehold-overseer";
    /// Administrators of a tenancy, in its namespaces: workloads, never quotas, policies or rights.
    pub const TENANT_ADMIN: &str = "leasehold-tenant-admin";
    /// Readers of a tenancy, in its namespaces.
    pub const TENANT_VIEWER: &str = "leasehold-tenant-viewer";
}

/// The office namespace of a department: `dept-<code>`.
pub fn office_namespace(department: &str) -> String {
    format!("dept-{department}")
}

/// The department code that an office namespace belongs to, if it is one.
pub fn department_of_office(namespace: &str) -> Option<&str> {
    namespace
        .strip_prefix("dept-")
        .filter(|code| !code.is_empty())
}

/// A tenancy namespace: `<code>--<name>`. Codes contain no `--`, so no two departments can meet.
pub fn tenancy_namespace(department: &str, name: &str) -> String {
    format!("{department}--{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_two_departments_never_meet() {
        assert_eq!(tenancy_namespace("gov-office", "prod"), "gov-office--prod");
        assert_eq!(office_namespace("gov-office"), "dept-gov-office");
        assert_eq!(department_of_office("dept-gov-office"), Some("gov-office"));
        assert_eq!(department_of_office("gov-office--prod"), None);
        assert_eq!(department_of_office("dept-"), None);
    }
}
