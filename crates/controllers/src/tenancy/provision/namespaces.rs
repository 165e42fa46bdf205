//! Namespaces: made by us or refused, never taken.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use leasehold_api::{
    names::{DEPARTMENT_LABEL, INCARNATION_LABEL, MANAGED_LABEL, TENANCY_LABEL},
    tenancy::NamespaceStatus,
};
use leasehold_ledger::document::{NamespaceDoc, NamespaceGoneDoc};
use leasehold_planner::objects::{self, NamespacePlan};

use super::super::{observe::State, report::Report};
use crate::{Context, Error};

/// Labels that make a namespace ours. The API server lets nobody but us write them.
const OWNERSHIP: [&str; 4] = [
    MANAGED_LABEL,
    DEPARTMENT_LABEL,
    TENANCY_LABEL,
    INCARNATION_LABEL,
];

/// Every planned namespace exists, is ours and carries its labels.
pub async fn ensure(
    state: &State,
    context: &Context,
    report: &mut Report,
    plans: &BTreeMap<String, NamespacePlan>,
) -> Result<bool, Error> {
    let mut all = true;
    for plan in plans.values() {
        let outcome = ensure_one(state, context, plan).await?;
        all &= outcome.is_ok();
        let name = plan.name.clone();
        let status = match outcome {
            Ok(uid) => NamespaceStatus {
                name,
                uid: Some(uid),
                ready: true,
                message: None,
            },
            Err(message) => {
                report.wait(message.clone());
                NamespaceStatus {
                    name,
                    uid: None,
                    ready: false,
                    message: Some(message),
                }
            }
        };
        report.namespaces.push(status);
    }
    Ok(all)
}

/// The namespace's uid, or in plain words why it cannot be used.
async fn ensure_one(
    state: &State,
    context: &Context,
    plan: &NamespacePlan,
) -> Result<Result<String, String>, Error> {
    let desired = objects::namespace(plan);
    let name = &plan.name;
    let found = match context.world.namespaces.get(None, name) {
        Some(found) => Some(found),
        None => context.kit.get::<Namespace>(None, name).await?,
    };
    let found = match found {
        Some(found) => found,
        None => match context.kit.create(&desired).await {
            Ok(created) => created,
            Err(error) if error.is_already_exists() => {
                return Ok(Err(format!(
                    "namespace {name} is being created; looked at again"
                )));
            }
            Err(error) => return Err(error.into()),
        },
    };
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(Err(format!(
            "namespace {name} is being deleted; made anew when it is gone"
        )));
    }
    if !is_ours(&found, &desired) {
        return Ok(Err(format!(
            "rule T32: namespace {name} exists and is not this tenancy's, so it is not taken; choose another name in spec.namespaces, or have the platform remove it"
        )));
    }
    context.kit.apply_if_changed(&desired, Some(&found)).await?;
    let uid = found.metadata.uid.clone().unwrap_or_default();
    let document = NamespaceDoc {
        cluster: context.books.cluster().uid.clone(),
        uid: uid.clone(),
        name: name.clone(),
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        at: state.now,
    };
    context.books.ensure(&document, state.now).await?;
    Ok(Ok(uid))
}

fn is_ours(found: &Namespace, desired: &Namespace) -> bool {
    OWNERSHIP.iter().all(|label| {
        desired.labels().get(*label).is_some()
            && found.labels().get(*label) == desired.labels().get(*label)
    })
}

/// Records that a namespace of this uid is gone.
pub async fn record_gone(state: &State, context: &Context, uid: &str) -> Result<(), Error> {
    let document = NamespaceGoneDoc {
        cluster: context.books.cluster().uid.clone(),
        uid: uid.to_owned(),
        at: state.now,
    };
    context.books.ensure(&document, state.now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(pairs: &[(&str, &str)]) -> Namespace {
        let mut namespace = Namespace::default();
        for (key, value) in pairs {
            namespace
                .labels_mut()
                .insert((*key).to_owned(), (*value).to_owned());
        }
        namespace
    }

    #[test]
    fn a_namespace_is_ours_only_with_every_label_of_ownership() {
        let all = [
            (MANAGED_LABEL, "leasehold"),
            (DEPARTMENT_LABEL, "edu"),
            (TENANCY_LABEL, "oa"),
            (INCARNATION_LABEL, "1"),
        ];
        assert!(is_ours(&labelled(&all), &labelled(&all)));
        assert!(!is_ours(&labelled(&[]), &labelled(&all)));
        assert!(!is_ours(&labelled(&[]), &labelled(&[])));
        for left_out in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(left_out);
            assert!(
                !is_ours(&labelled(&some), &labelled(&all)),
                "without {left_out}"
            );
        }
        let mut older = all;
        older[3].1 = "2";
        assert!(
            !is_ours(&labelled(&older), &labelled(&all)),
            "another incarnation"
        );
    }
}
