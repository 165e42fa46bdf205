//! Information systems: an entry of the register is ready when whom it names exists.

use std::sync::Arc;

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::{names, tenancy::InformationSystem};
use leasehold_kit::Shutdown;

use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    wake::run("information-system", context, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<InformationSystem>> {
    wake::every(&world.systems, world.departments.changes(), |_| true)
}

async fn reconcile(object: Arc<InformationSystem>, context: Context) -> Result<Action, Error> {
    let exists = |code: &str| context.world.departments.get(None, code).is_some();
    let verdict = judge(&object, exists);
    let old = object.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = object.metadata.generation;
    let now = context.now().timestamp();
    verdict.write(&mut new.conditions, object.metadata.generation, now);
    if new != old {
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    Ok(wake::later())
}

fn judge(object: &InformationSystem, exists: impl Fn(&str) -> bool) -> Verdict {
    let mut verdict = Verdict::fine("Registered", "registered; tenancies may name it");
    let namespace = object.namespace().unwrap_or_default();
    match names::department_of_office(&namespace) {
        None => verdict.refuse(format!(
            "rule T02: asked for a system in namespace {namespace}, allowed is the department's office namespace; apply it in dept-CODE"
        )),
        Some(code) if !exists(code) => verdict.wait(format!(
            "Department {code} does not exist yet; the e-government office applies it"
        )),
        Some(_) => {}
    }
    for share in object
        .spec
        .cost_shares
        .iter()
        .filter(|share| !exists(&share.department))
    {
        verdict.wait(format!(
            "Department {} of spec.costShares does not exist yet; the e-government office applies it",
            share.department
        ));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn system(namespace: &str, shares: &[(&str, u8)]) -> InformationSystem {
        let shares: Vec<_> = shares
            .iter()
            .map(|(d, p)| json!({"department": d, "percent": p}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1",
            "kind": "InformationSystem",
            "metadata": {"name": "oa", "namespace": namespace},
            "spec": {
                "displayName": "政府办公OA", "origin": "New", "protectionLevel": 3,
                "costShares": shares,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_system_whose_department_exists_is_registered() {
        let verdict = judge(&system("dept-gov-office", &[]), |code| code == "gov-office");
        assert!(verdict.is_fine());
    }

    #[test]
    fn departments_that_do_not_exist_are_waited_for_by_name() {
        let found = system("dept-gov-office", &[("gov-office", 60), ("finance", 40)]);
        let verdict = judge(&found, |code| code == "gov-office");
        assert_eq!(verdict.waits.len(), 1);
        assert!(verdict.waits[0].starts_with("Department finance of spec.costShares "));
        assert_eq!(judge(&found, |_| false).waits.len(), 3);
    }

    #[test]
    fn a_system_outside_an_office_namespace_is_refused() {
        let verdict = judge(&system("default", &[]), |_| true);
        assert!(verdict.refused[0].starts_with("rule T02: "), "{verdict:?}");
    }
}
