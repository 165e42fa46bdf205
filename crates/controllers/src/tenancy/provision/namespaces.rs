//! Namespaces: made by us or refused, never taken.

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use leasehold_api::{
    names::{self, DEPARTMENT_LABEL, INCARNATION_LABEL, MANAGED_LABEL, TENANCY_LABEL},
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
    plans: &[NamespacePlan],
) -> Result<bool, Error> {
    let mut all = true;
    let outcomes = try_join_all(plans.iter().map(|plan| ensure_one(state, context, plan))).await?;
    for (plan, outcome) in plans.iter().zip(outcomes) {
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

/// Short names of the tenancy's namespaces that exist. What was made and not yet recorded, because the operator died in
/// between, is recorded; what is gone, or has become another's, is recorded as gone.
pub async fn alive(state: &State, context: &Context) -> Result<Vec<String>, Error> {
    let prefix = names::tenancy_namespace(&state.department, "");
    let incarnation = state.incarnation().to_string();
    let ours = context.world.namespaces.select(|found| {
        let labels = found.labels();
        labels.get(DEPARTMENT_LABEL) == Some(&state.department)
            && labels.get(TENANCY_LABEL) == Some(&state.name)
            && labels.get(INCARNATION_LABEL) == Some(&incarnation)
    });
    let known = context
        .books
        .namespaces(&state.department, &state.name, state.incarnation())
        .await?;
    for found in &ours {
        let uid = found.metadata.uid.clone().unwrap_or_default();
        if !known.contains_key(&uid) {
            record(state, context, &found.name_any(), &uid).await?;
        }
    }
    for (uid, document) in &known {
        let cached = ours
            .iter()
            .any(|found| found.metadata.uid.as_deref() == Some(uid));
        if cached {
            continue;
        }
        let live = context.kit.get::<Namespace>(None, &document.name).await?;
        if live.and_then(|found| found.metadata.uid).as_deref() != Some(uid) {
            record_gone(state, context, uid).await?;
        }
    }
    let mut short: Vec<String> = ours
        .iter()
        .filter(|found| found.metadata.deletion_timestamp.is_none())
        .filter_map(|found| found.name_any().strip_prefix(&prefix).map(str::to_owned))
        .collect();
    short.sort();
    Ok(short)
}

async fn record(state: &State, context: &Context, name: &str, uid: &str) -> Result<(), Error> {
    let document = NamespaceDoc {
        cluster: context.books.cluster().uid.clone(),
        uid: uid.to_owned(),
        name: name.to_owned(),
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        at: state.now,
    };
    context.books.ensure(&document, state.now).await?;
    Ok(())
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
    record(state, context, name, &uid).await?;
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
