//! Which tenancies a change of a managed object concerns.
//!
//! Its labels name one. But labels are part of what others may have changed, so the namespace is asked as well; and of a
//! namespace that does not say whose it is, every tenancy of the department that its name begins with is woken.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use leasehold_api::names::{self, DEPARTMENT_LABEL, TENANCY_LABEL};
use leasehold_kit::cache::Changed;

use crate::World;

/// Namespace and name of the tenancies that should be looked at.
pub fn concerned(world: &World, changed: &Changed) -> Vec<(String, String)> {
    let place = changed.namespace.as_deref().unwrap_or(&changed.name);
    let mut named: BTreeSet<(String, String)> = named_by(&changed.labels).into_iter().collect();
    let home = changed
        .namespace
        .as_ref()
        .and_then(|place| world.namespaces.meta(None, place));
    let labels = home.and_then(|home| home.labels).unwrap_or_default();
    named.extend(named_by(&labels));
    if named.is_empty()
        && let Some(office) = office_of(place)
    {
        let all = world
            .tenancies
            .select(|tenancy| tenancy.metadata.namespace.as_deref() == Some(office.as_str()));
        named.extend(all.iter().map(|one| (office.clone(), one.name_any())));
    }
    named.into_iter().collect()
}

fn named_by(labels: &BTreeMap<String, String>) -> Option<(String, String)> {
    let department = labels.get(DEPARTMENT_LABEL)?;
    let tenancy = labels.get(TENANCY_LABEL)?;
    Some((names::office_namespace(department), tenancy.clone()))
}

/// The office namespace of the department that the name of a tenancy namespace begins with.
fn office_of(namespace: &str) -> Option<String> {
    let (department, _) = namespace.split_once("--")?;
    (!department.is_empty()).then(|| names::office_namespace(department))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn labels_name_a_tenancy_only_together() {
        let both = [(DEPARTMENT_LABEL, "edu"), (TENANCY_LABEL, "oa")];
        let named = named_by(&labels(&both));
        assert_eq!(named, Some(("dept-edu".to_owned(), "oa".to_owned())));
        assert_eq!(named_by(&labels(&both[..1])), None);
        assert_eq!(named_by(&labels(&both[1..])), None);
    }

    #[test]
    fn the_name_of_a_namespace_tells_its_department() {
        let office = office_of("gov-office--prod");
        assert_eq!(office.as_deref(), Some("dept-gov-office"));
        // a short name may hold two dashes, a code never does
        assert_eq!(office_of("edu--a--b").as_deref(), Some("dept-edu"));
        assert_eq!(office_of("dept-edu"), None);
        assert_eq!(office_of("--prod"), None);
    }
}
