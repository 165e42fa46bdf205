//! A department's office: where its people write manifests and read decisions and statements.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{core::v1::Namespace, rbac::v1::RoleBinding},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use leasehold_api::{
    names::{
        BELOW_ANNOTATION, DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, ROLE_LABEL, ROLE_OFFICE,
        cluster_roles, office_namespace as office_name,
    },
    platform::PodSecurity,
    tenancy::{Administrator, Department},
};

use super::{labels, pod_security_labels, role_binding};

/// Names of the role bindings of an office namespace: the department's own people, and those of the departments above.
pub const OFFICE_ROLE_BINDINGS: [&str; 2] = ["leasehold-department", "leasehold-overseers"];

/// Longest list of departments in an annotation, in bytes: more than six thousand of them. The API server takes 256 KiB
/// of annotations.
const LONGEST: usize = 200_000;

/// Where a department stands among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kin {
    /// Administrators of all departments above that oversee this one.
    pub overseers: Vec<Administrator>,
    /// Codes of the departments directly below.
    pub below: Vec<String>,
}

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

/// The office namespace of a department. Whoever oversees what is below finds the way down by its annotation, which is
/// there also when it is empty: what was made by a POST would not go with an apply that leaves it out.
pub fn office_namespace(department: &Department, kin: &Kin) -> Namespace {
    let mut office_labels = owner_labels(department);
    office_labels.insert(ROLE_LABEL.to_owned(), ROLE_OFFICE.to_owned());
    office_labels.extend(pod_security_labels(PodSecurity::Restricted));
    Namespace {
        metadata: ObjectMeta {
            name: Some(office_name(code(department))),
            labels: Some(office_labels),
            annotations: Some(labels([(BELOW_ANNOTATION, listed(&kin.below))])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// Codes in one annotation, as many as the API server takes.
fn listed(codes: &[String]) -> String {
    let mut text = String::new();
    for code in codes {
        if text.len().saturating_add(code.len()) >= LONGEST {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(code);
    }
    text
}

/// The rights in a department's office namespace: of its own administrators, and of those who oversee it. A binding
/// without anybody is left out: who applies these also deletes those of [`OFFICE_ROLE_BINDINGS`] that are not among them.
pub fn office_role_bindings(department: &Department, kin: &Kin) -> Vec<RoleBinding> {
    let [own, overseers] = OFFICE_ROLE_BINDINGS;
    [
        (
            own,
            cluster_roles::DEPARTMENT,
            &department.spec.administrators,
        ),
        (overseers, cluster_roles::OVERSEER, &kin.overseers),
    ]
    .into_iter()
    .filter_map(|(name, cluster_role, people)| {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(office_name(code(department))),
            labels: Some(owner_labels(department)),
            ..ObjectMeta::default()
        };
        let people = people.iter().map(|a| (a.kind, a.name.as_str()));
        role_binding(metadata, cluster_role, people)
    })
    .collect()
}
