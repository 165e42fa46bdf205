//! Tenancies that a change of a department concerns: of thousands only those in it and below it, those that share a limit
//! with it, and those that share a domain.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
};

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use leasehold_api::{
    conditions::types,
    names,
    tenancy::{Department, Leased, Tenancy},
};
use leasehold_kit::cache::Changed;
use leasehold_planner::hierarchy::Hierarchy;

use crate::World;

/// Tenancies to be looked at whenever a department was written or went: those in it and below it, which are bound by what
/// it says; those that a limit refuses, because it may have moved and made room elsewhere; and, if it claims other
/// domains than before, those of all departments that claim any, because what it claimed may have been theirs.
pub fn concerned<C>(
    world: &World,
    written: C,
) -> impl Stream<Item = Vec<Tenancy>> + Send + 'static + use<C>
where
    C: Stream<Item = Option<Arc<Changed>>> + Send + 'static,
{
    let departments = &world.departments;
    let known = departments.each(|department| (department.name_any(), claims(department)));
    concerned_since(known.into_iter().collect(), world, written)
}

/// The same, where departments claimed these domains when the stream began.
fn concerned_since<C>(
    mut known: BTreeMap<String, Vec<String>>,
    world: &World,
    written: C,
) -> impl Stream<Item = Vec<Tenancy>> + Send + 'static + use<C>
where
    C: Stream<Item = Option<Arc<Changed>>> + Send + 'static,
{
    let (departments, tenancies) = (world.departments.clone(), world.tenancies.clone());
    let tree = world.tree.clone();
    written.map(move |changed| {
        let Some(changed) = changed else {
            return tenancies.select(|_| true);
        };
        let name = changed.name.as_str();
        let now = departments.look(None, name, claims);
        let before = match now.clone() {
            Some(now) => known.insert(name.to_owned(), now),
            None => known.remove(name),
        };
        let mut claimants = Vec::new();
        if now.unwrap_or_default() != before.unwrap_or_default() {
            let all = departments.each(|department| {
                let claims_any = !department.spec.domains.is_empty();
                claims_any.then(|| department.name_any())
            });
            claimants = all.into_iter().flatten().collect();
        }
        let hierarchy = tree.now();
        let mut codes = hierarchy.subtree(name);
        codes.insert(name);
        codes.extend(claimants.iter().map(String::as_str));
        tenancies.select(|tenancy| codes.contains(code_of(tenancy)) || is_refused(tenancy))
    })
}

/// Tenancies that a limit refuses, whenever a department that shares it leases less or more: where it was full for one,
/// another may have made room.
pub fn refused<C>(
    world: &World,
    changes: C,
) -> impl Stream<Item = Vec<Tenancy>> + Send + 'static + use<C>
where
    C: Stream<Item = Option<Arc<Changed>>> + Send + 'static,
{
    let departments = &world.departments;
    let known = departments.each(|department| (department.name_any(), leased(department)));
    refused_since(known.into_iter().collect(), world, changes)
}

/// The same, where departments leased this when the stream began.
fn refused_since<C>(
    mut known: BTreeMap<String, Option<Leased>>,
    world: &World,
    changes: C,
) -> impl Stream<Item = Vec<Tenancy>> + Send + 'static + use<C>
where
    C: Stream<Item = Option<Arc<Changed>>> + Send + 'static,
{
    let (departments, tenancies) = (world.departments.clone(), world.tenancies.clone());
    let tree = world.tree.clone();
    changes.map(move |changed| {
        let Some(changed) = changed else {
            return tenancies.select(is_refused);
        };
        let name = changed.name.as_str();
        let now = departments.look(None, name, leased);
        let before = match now.clone() {
            Some(now) => known.insert(name.to_owned(), now),
            None => known.remove(name),
        };
        if before == now {
            return Vec::new();
        }
        let hierarchy = tree.now();
        if !hierarchy.has(name) {
            // it went, and with it what it was below
            return tenancies.select(is_refused);
        }
        let has_limits = |code: &str| {
            let limits = departments.look(None, code, |found| found.spec.limits.is_some());
            limits.unwrap_or_default()
        };
        let bound = bound_with(&hierarchy, name, has_limits);
        tenancies.select(|tenancy| bound.contains(code_of(tenancy)) && is_refused(tenancy))
    })
}

/// Departments that share a limit with this one: what is below the highest of those above that have one. Nobody shares
/// any with a department that nothing limits.
fn bound_with<'a>(
    hierarchy: &'a Hierarchy,
    code: &'a str,
    has_limits: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let line = hierarchy.line(code);
    let mut upwards = iter::once(code).chain(line.above.iter().copied());
    let highest = upwards.rfind(|code| has_limits(code));
    highest
        .map(|code| hierarchy.subtree(code))
        .unwrap_or_default()
}

/// Code of the department in whose office a tenancy is; empty where it is in none.
fn code_of(tenancy: &Tenancy) -> &str {
    let place = tenancy.metadata.namespace.as_deref();
    place
        .and_then(names::department_of_office)
        .unwrap_or_default()
}

fn claims(department: &Department) -> Vec<String> {
    let domains = department.spec.domains.iter();
    domains.map(ToString::to_string).collect()
}

fn leased(department: &Department) -> Option<Leased> {
    department.status.as_ref()?.leased.clone()
}

/// Whether a limit is what a tenancy is refused for.
fn is_refused(tenancy: &Tenancy) -> bool {
    let mut conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| {
        condition.type_ == types::REFUSED
            && ["rule T50:", "rule T51:"]
                .iter()
                .any(|rule| condition.message.contains(rule))
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Context,
        tenancy::provision::fixture::{Fake, context, list},
    };

    /// A city with two counties and a street in one of them. The county of the street has a limit; the city and the other
    /// county have domains. Each has a tenancy that a limit refuses, one that is well, and one that is wrong in itself.
    const CODES: [(&str, Option<&str>); 4] = [
        ("city", None),
        ("daye", Some("city")),
        ("street", Some("daye")),
        ("yangxin", Some("city")),
    ];

    fn department(code: &str, parent: Option<&str>) -> Value {
        let mut department = json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Department",
            "metadata": {"name": code, "generation": 1},
            "spec": {
                "displayName": code,
                "administrators": [{"kind": "Group", "name": format!("{code}-admins")}],
            },
            "status": {"phase": "Active", "leased": {"monthly": "1.00", "tenancies": 1}},
        });
        if let Some(parent) = parent {
            department["spec"]["parent"] = json!(parent);
        }
        match code {
            "daye" => department["spec"]["limits"] = json!({"monthly": "100.00"}),
            "city" | "yangxin" => {
                department["spec"]["domains"] = json!([format!("{code}.example")]);
            }
            _ => {}
        }
        department
    }

    fn tenancy(code: &str, name: &str, refused: Option<&str>) -> Value {
        let conditions: Vec<Value> = refused
            .iter()
            .map(|message| {
                json!({
                    "type": "Refused", "status": "True", "reason": "RuleBroken", "message": message,
                    "lastTransitionTime": "2027-01-15T02:00:00Z",
                })
            })
            .collect();
        json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
            "metadata": {"name": name, "namespace": names::office_namespace(code)},
            "spec": {
                "system": "oa", "zone": "gov-extranet",
                "term": {"from": "2026-09-01", "through": "2027-08-31"},
                "contract": "HS-1", "budget": {"code": "30227"},
                "lease": [{"item": "vcpu-x86", "quantity": "4"}],
                "namespaces": [{"name": name}],
            },
            "status": {"phase": "Requested", "conditions": conditions},
        })
    }

    async fn scene() -> (Context, tokio::task::JoinSet<()>) {
        let departments: Vec<Value> = CODES
            .into_iter()
            .map(|(code, parent)| department(code, parent))
            .collect();
        let tenancies: Vec<Value> = CODES
            .into_iter()
            .flat_map(|(code, _)| {
                [
                    tenancy(code, "full", Some("rule T50: asked 9.00 a month")),
                    tenancy(code, "well", None),
                    tenancy(code, "wrong", Some("rule T20: asked 9 of vcpu-x86")),
                ]
            })
            .collect();
        let fake = Fake::start(move |call| match call.path.as_str() {
            "/apis/tenancy.leasehold.dev/v1alpha1/departments" => Some(list(&departments)),
            "/apis/tenancy.leasehold.dev/v1alpha1/tenancies" => Some(list(&tenancies)),
            _ => None,
        })
        .await;
        context(&fake).await
    }

    #[expect(clippy::unnecessary_wraps, reason = "listeners get options")]
    fn changed(code: &str) -> Option<Arc<Changed>> {
        Some(Arc::new(Changed {
            uid: None,
            namespace: None,
            name: code.to_owned(),
            labels: BTreeMap::new(),
            generation: Some(2),
            gone: false,
        }))
    }

    /// Codes of the departments and names of their tenancies, sorted.
    fn named(found: &[Tenancy]) -> Vec<String> {
        let mut names: Vec<String> = found
            .iter()
            .map(|tenancy| format!("{}/{}", code_of(tenancy), tenancy.name_any()))
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn who_writes_a_department_wakes_what_is_below_it_and_whoever_a_limit_refuses() {
        let (context, _tasks) = scene().await;
        let written = stream::iter([changed("daye"), changed("nowhere")]);
        let found: Vec<Vec<Tenancy>> = concerned(&context.world, written).collect().await;
        let expected = [
            "city/full",
            "daye/full",
            "daye/well",
            "daye/wrong",
            "street/full",
            "street/well",
            "street/wrong",
            "yangxin/full",
        ];
        assert_eq!(named(&found[0]), expected);
        let full = ["city/full", "daye/full", "street/full", "yangxin/full"];
        assert_eq!(named(&found[1]), full);
    }

    #[tokio::test]
    async fn who_claims_other_domains_wakes_all_that_claim_any() {
        let (context, _tasks) = scene().await;
        let with = |claimed: &[&str]| {
            let claimed = claimed.iter().map(|one| (*one).to_owned()).collect();
            let known = BTreeMap::from([("yangxin".to_owned(), claimed)]);
            let written = stream::iter([changed("yangxin")]);
            concerned_since(known, &context.world, written).collect::<Vec<_>>()
        };
        let below = ["yangxin/full", "yangxin/well", "yangxin/wrong"];
        let full = ["city/full", "daye/full", "street/full"];
        let same = with(&["yangxin.example"]).await;
        assert_eq!(named(&same[0]), [&full[..], &below[..]].concat());
        let other = with(&["old.example"]).await;
        let city = ["city/full", "city/well", "city/wrong"];
        assert_eq!(
            named(&other[0]),
            [&city[..], &full[1..], &below[..]].concat()
        );
    }

    #[tokio::test]
    async fn who_leases_more_or_less_wakes_those_that_share_a_limit_with_it() {
        let (context, _tasks) = scene().await;
        let leased = Leased {
            monthly: "2.00".to_owned(),
            ..Leased::default()
        };
        let codes = ["street", "yangxin", "gone"];
        let known = codes.map(|code| (code.to_owned(), Some(leased.clone())));
        let changes = stream::iter(["street", "street", "yangxin", "gone"].map(changed));
        let found = refused_since(BTreeMap::from(known), &context.world, changes);
        let found: Vec<Vec<String>> = found.map(|found| named(&found)).collect().await;
        let county: &[&str] = &["daye/full", "street/full"];
        let all: &[&str] = &["city/full", "daye/full", "street/full", "yangxin/full"];
        // the second time it says the same, and what nobody limits concerns nobody
        assert_eq!(found, [county, &[], &[], all]);
    }
}
