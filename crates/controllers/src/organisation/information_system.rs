//! Information systems: an entry of the register is ready when whom it names exists. It shows what the system's tenancies
//! lease together.

use std::{collections::BTreeSet, sync::Arc};

use futures::{Stream, StreamExt, future, stream::BoxStream};
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::{names, tenancy::InformationSystem};
use leasehold_kit::{Shutdown, cache::Changed};
use leasehold_planner::systems;

use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.systems.clone();
    wake::run(
        "information-system",
        context,
        own,
        triggers,
        shutdown,
        reconcile,
    )
    .await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<InformationSystem>> {
    let systems = world.systems.clone();
    let concerned = move |department: &Changed| -> Vec<Ref<InformationSystem>> {
        let found = systems.select(|system| depends_on(system, &department.name));
        found.iter().map(wake::reference).collect()
    };
    let departments = comings_and_goings(world.departments.changes());
    let registered = wake::named(&world.systems, departments, concerned);
    wake::any(vec![registered, wake::spared(world, leases(world))])
}

/// The system whose leases may add up to something else: that of a tenancy that changed. Of one that went nobody knows
/// which it was, so all of its office are looked at.
fn leases(world: &World) -> BoxStream<'static, Ref<InformationSystem>> {
    let (systems, tenancies) = (world.systems.clone(), world.tenancies.clone());
    let concerned = move |changed: &Changed| -> Vec<Ref<InformationSystem>> {
        let office = changed.namespace.as_deref();
        let tenancy = tenancies.get(office, &changed.name);
        let of = tenancy.map(|tenancy| tenancy.spec.system);
        let found = systems.select(|system| {
            let its = of.as_deref().is_none_or(|name| name == system.name_any());
            its && system.metadata.namespace.as_deref() == office
        });
        found.iter().map(wake::reference).collect()
    };
    wake::named(&world.systems, world.tenancies.changes(), concerned)
}

/// Those changes with which an object comes or goes: whether a department exists is all that a verdict asks of it, and
/// what is written into its status or spec is none of it. An object that comes back after it went comes anew.
fn comings_and_goings(
    changes: impl Stream<Item = Option<Arc<Changed>>> + Send + 'static,
) -> impl Stream<Item = Option<Arc<Changed>>> + Send + 'static {
    let mut there: BTreeSet<String> = BTreeSet::new();
    changes.filter(move |changed| {
        let passes = match changed {
            Some(changed) if changed.gone => {
                there.remove(&changed.name);
                true
            }
            Some(changed) => there.insert(changed.name.clone()),
            None => {
                // something was missed, and what went meanwhile may come back
                there.clear();
                true
            }
        };
        future::ready(passes)
    })
}

/// Whether the verdict on the system asks for this department.
fn depends_on(object: &InformationSystem, department: &str) -> bool {
    let namespace = object.namespace().unwrap_or_default();
    let mut shares = object.spec.cost_shares.iter();
    names::department_of_office(&namespace) == Some(department)
        || shares.any(|share| share.department.as_str() == department)
}

async fn reconcile(object: Arc<InformationSystem>, context: Context) -> Result<Action, Error> {
    let exists = |code: &str| context.world.departments.get(None, code).is_some();
    let verdict = judge(&object, exists);
    let old = object.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = object.metadata.generation;
    let now = context.now().timestamp();
    verdict.write(&mut new.conditions, object.metadata.generation, now);
    let name = object.name_any();
    let tenancies = context.world.tenancies.select(|tenancy| {
        tenancy.spec.system.as_str() == name
            && tenancy.metadata.namespace == object.metadata.namespace
    });
    new.leased = systems::leased(&tenancies);
    new.total = systems::total(&new.leased);
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
    use std::collections::BTreeMap;

    use futures::stream;
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

    fn changed(name: &str, generation: i64, gone: bool) -> Arc<Changed> {
        Arc::new(Changed {
            uid: None,
            namespace: None,
            name: name.to_owned(),
            labels: BTreeMap::new(),
            generation: Some(generation),
            gone,
        })
    }

    #[tokio::test]
    async fn a_department_is_news_when_it_comes_and_when_it_goes() {
        let events = vec![
            Some(changed("edu", 1, false)),
            // its status, then its spec
            Some(changed("edu", 1, false)),
            Some(changed("edu", 2, false)),
            Some(changed("edu", 2, true)),
            // made anew, and its status again
            Some(changed("edu", 2, false)),
            Some(changed("edu", 2, false)),
            // much at once: it may have gone
            None,
            Some(changed("edu", 2, false)),
            Some(changed("edu", 2, false)),
        ];
        let passed: Vec<_> = comings_and_goings(stream::iter(events)).collect().await;
        let gone: Vec<_> = passed
            .iter()
            .map(|changed| changed.as_ref().map(|changed| changed.gone))
            .collect();
        assert_eq!(
            gone,
            [Some(false), Some(true), Some(false), None, Some(false)]
        );
    }

    #[test]
    fn a_verdict_asks_for_the_department_of_the_office_and_those_that_share_the_cost() {
        let found = system("dept-gov-office", &[("finance", 40)]);
        let asked = ["gov-office", "finance", "edu"].map(|code| depends_on(&found, code));
        assert_eq!(asked, [true, true, false]);
    }
}
