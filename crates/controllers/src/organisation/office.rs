//! The office namespace: made by a POST, never taken over, its labels and rights kept as they should be.

use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::ResourceExt;
use leasehold_api::{names, tenancy::Department};
use leasehold_planner::{
    objects::{self, Kin, OFFICE_ROLE_BINDINGS},
    rules::Refusal,
};

use crate::{
    Context, Error,
    drift::{self, Owner},
    verdict::Verdict,
};

/// Makes or repairs the office of the department; whether it stands.
pub async fn establish(
    department: &Department,
    kin: &Kin,
    context: &Context,
    verdict: &mut Verdict,
) -> Result<bool, Error> {
    let desired = objects::office_namespace(department, kin);
    let name = desired.name_any();
    let found = match found_or_made(&desired, context).await? {
        Ok(found) => found,
        Err(waits) => {
            verdict.wait(waits);
            return Ok(false);
        }
    };
    if !is_ours(&found, &department.name_any()) {
        verdict.refuse(taken(&name).to_string());
        return Ok(false);
    }
    if found.metadata.deletion_timestamp.is_some() {
        verdict.wait(format!(
            "namespace {name} is being deleted; it is made anew when it is gone"
        ));
        return Ok(false);
    }
    drift::keep(context, &desired, Some(&found)).await?;
    rights(department, kin, context).await?;
    Ok(true)
}

/// Rights in the office: those of the department's own people and of those above it, and no others of ours.
async fn rights(department: &Department, kin: &Kin, context: &Context) -> Result<(), Error> {
    let office = names::office_namespace(&department.name_any());
    let place = Some(office.as_str());
    let owner = Owner::office(&department.name_any());
    let standing = &context.world.role_bindings;
    let bindings = objects::office_role_bindings(department, kin);
    for binding in &bindings {
        let current: Option<RoleBinding> = standing.get(place, &binding.name_any());
        drift::keep(context, binding, current.as_ref()).await?;
    }
    for name in OFFICE_ROLE_BINDINGS {
        let kept = bindings.iter().any(|binding| binding.name_any() == name);
        if !kept {
            drift::remove(context, &owner, standing.get(place, name)).await?;
        }
    }
    Ok(())
}

/// The namespace as it is, or made now; or in plain words what it waits for: somebody else is making it at this moment, or
/// none may be opened.
async fn found_or_made(
    desired: &Namespace,
    context: &Context,
) -> Result<Result<Namespace, String>, Error> {
    let name = desired.name_any();
    let found = match context.world.namespaces.get(None, &name) {
        // the cache holds labelled namespaces only; a foreign one is found by asking
        None => context.kit.get::<Namespace>(None, &name).await?,
        cached => cached,
    };
    if let Some(found) = found {
        return Ok(Ok(found));
    }
    if let Some(why) = context.fences.closed(&context.kit).await {
        return Ok(Err(format!("namespace {name}: {why}")));
    }
    match context.kit.create(desired).await {
        Ok(created) => Ok(Ok(created)),
        // a POST whose answer was lost looks the same as a stranger's: what is there decides
        Err(error) if error.is_already_exists() => {
            let found = context.kit.get::<Namespace>(None, &name).await?;
            let waits = || format!("namespace {name} is being created; it is looked at again");
            Ok(found.ok_or_else(waits))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the namespace was made for this department's office. One of the three labels may have been lost or changed,
/// and is then repaired; of a namespace that carries none or one of them nothing is known.
fn is_ours(found: &Namespace, code: &str) -> bool {
    let expected = [
        (names::MANAGED_LABEL, names::MANAGED_VALUE),
        (names::DEPARTMENT_LABEL, code),
        (names::ROLE_LABEL, names::ROLE_OFFICE),
    ];
    let labels = found.labels();
    let right = expected
        .iter()
        .filter(|(label, value)| labels.get(*label).is_some_and(|found| found == value))
        .count();
    right >= 2
}

fn taken(name: &str) -> Refusal {
    Refusal::new(
        "D03",
        format!("namespace {name} as the office"),
        "a namespace that the operator made",
        format!(
            "namespace {name} exists and was not made for this department, so it is not taken over; have the platform delete it, or choose another code"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn namespace(labels: &[(&str, &str)]) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.labels = Some(
            labels
                .iter()
                .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        );
        namespace
    }

    const MANAGED: (&str, &str) = (names::MANAGED_LABEL, names::MANAGED_VALUE);
    const DEPARTMENT: (&str, &str) = (names::DEPARTMENT_LABEL, "gov-office");
    const OFFICE: (&str, &str) = (names::ROLE_LABEL, names::ROLE_OFFICE);

    #[test]
    fn a_namespace_that_nobody_labelled_is_never_taken_over() {
        assert!(!is_ours(&Namespace::default(), "gov-office"));
        assert!(!is_ours(
            &namespace(&[("team", "gov-office")]),
            "gov-office"
        ));
        assert!(!is_ours(&namespace(&[DEPARTMENT]), "gov-office"));
        assert!(
            taken("dept-gov-office")
                .to_string()
                .starts_with("rule D03: ")
        );
    }

    #[test]
    fn an_office_that_lost_one_label_is_still_the_office() {
        assert!(is_ours(
            &namespace(&[MANAGED, DEPARTMENT, OFFICE]),
            "gov-office"
        ));
        assert!(is_ours(&namespace(&[DEPARTMENT, OFFICE]), "gov-office"));
        assert!(is_ours(&namespace(&[MANAGED, DEPARTMENT]), "gov-office"));
    }

    #[test]
    fn a_tenancy_namespace_of_another_department_is_not_an_office() {
        let foreign = namespace(&[
            MANAGED,
            (names::DEPARTMENT_LABEL, "finance"),
            (names::ROLE_LABEL, "tenancy"),
        ]);
        assert!(!is_ours(&foreign, "gov-office"));
    }
}
