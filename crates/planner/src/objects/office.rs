//! A department's office: where its people write manifests and read decisions and statements.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{core::v1::Namespace, rbac::v1::RoleBinding},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use leasehold_api::{
    names::{
        DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, ROLE_LABEL, ROLE_OFFICE, cluster_roles,
        office_namespace as office_name,
    },
    platform::PodSecurity,
    tenancy::Department,
};

use super::{labels, pod_security_labels, role_binding};

/// Name of the role binding of an office namespace.
pub const OFFICE_ROLE_BINDING: &str = "leasehold-department";

/// The code of a department.
fn code(department: &Department) -> &str {
    department.metadata.name.as_deref().unwrap_or_default()
}

fn owner_labels(department: &Department) -> BTreeMap<String, String> {
    labels([
        (MANAGED_LABEL, MANAGED_VALUE.to_owned()),
        (DEPARTMENT_LABEL, code(department).to_owned()),
    ])
}

/// The office namespace of a department.
pub fn office_namespace(department: &Department) -> Namespace {
    let mut office_labels = owner_labels(department);
    office_labels.insert(ROLE_LABEL.to_owned(), ROLE_OFFICE.to_owned());
    office_labels.extend(pod_security_labels(PodSecurity::Restricted));
    Namespace {
        metadata: ObjectMeta {
            name: Some(office_name(code(department))),
            labels: Some(office_labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// The rights of a department's administrators in its office namespace. A binding without anybody
/// is left out.
pub fn office_role_bindings(department: &Department) -> Vec<RoleBinding> {
    let metadata = ObjectMeta {
        name: Some(OFFICE_ROLE_BINDING.to_owned()),
        namespace: Some(office_name(code(department))),
        labels: Some(owner_labels(department)),
        ..ObjectMeta::default()
    };
    let people = department
        .spec
        .administrators
        .iter()
        .map(|a| (a.kind, a.name.as_str()));
    role_binding(metadata, cluster_roles::DEPARTMENT, people)
        .into_iter()
        .collect()
}
