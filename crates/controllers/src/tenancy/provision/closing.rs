//! Quotas of a tenancy in which nothing may run, where nothing else of it can be provided: something is missing that its
//! lease refers to, or a round failed before it came to them. To stop what runs takes neither prices nor a zone.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use leasehold_api::names;
use leasehold_planner::{
    quota::{self, Hard},
    suspension::turned,
};

use super::{
    super::{observe::Life, report::Report, unpaid},
    halt, namespaces, quotas,
};
use crate::{Context, Error, drift};

/// Leaves no pods in the quotas that stand while nothing may run, and everything else in them as it is. What is to run
/// again waits until everything is there.
pub async fn close(life: &Life, context: &Context, report: &Report) -> Result<(), Error> {
    if !halt::is_on(life, report) && unpaid::find(life, context).await?.is_none() {
        return Ok(());
    }
    let labels = namespaces::ownership(life);
    let standing = namespaces::standing(life, context).await?;
    let places = standing
        .short
        .iter()
        .map(|short| names::tenancy_namespace(&life.department, short));
    // all of them are tried: what runs in one is no excuse for what runs in another
    let closed = places.map(async |place| close_one(context, &place, &labels).await);
    let closed: Result<(), Error> = join_all(closed).await.into_iter().collect();
    closed.and(standing.failed.map_or(Ok(()), Err))
}

async fn close_one(
    context: &Context,
    place: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let name = names::QUOTA_NAME;
    let cached = context.world.quotas.get(Some(place), name);
    let without_pods = |found: &ResourceQuota| turned(&quotas::observed(found).spec_hard, true);
    if cached.is_some_and(|cached| without_pods(&cached).is_none()) {
        return Ok(());
    }
    // a cache may lag, and everything but the pods is to stay as it is
    let Some(found) = context.kit.get::<ResourceQuota>(Some(place), name).await? else {
        return Ok(());
    };
    let Some(hard) = without_pods(&found) else {
        return Ok(());
    };
    drift::keep(context, &closed(place, labels, &hard), Some(&found)).await
}

fn closed(place: &str, labels: &BTreeMap<String, String>, hard: &Hard) -> ResourceQuota {
    ResourceQuota {
        metadata: ObjectMeta {
            name: Some(names::QUOTA_NAME.to_owned()),
            namespace: Some(place.to_owned()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(ResourceQuotaSpec {
            hard: Some(quota::render(hard)),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::tenancy::{Phase, Tenancy, TenancyStatus};
    use leasehold_ledger::document::{IncarnationDoc, SuspensionDoc};
    use leasehold_planner::objects;
    use serde_json::{Value, json};

    use super::{
        super::fixture::{Fake, context, due, list, made, plans, state},
        *,
    };
    use crate::tenancy::{advance, observe::State, wait};

    /// The tenancy in its first life, active until now.
    fn tenancy() -> State {
        let mut state = state(&[("prod", "10")]);
        let life = &mut state.life;
        life.view.incarnation = Some(IncarnationDoc {
            department: life.department.clone(),
            tenancy: life.name.clone(),
            incarnation: 1,
            uid: "uid-of-oa".to_owned(),
            at: life.now,
        });
        life.tenancy.status = Some(TenancyStatus {
            phase: Phase::Active,
            ..TenancyStatus::default()
        });
        state
    }

    /// The office's order that nothing of it runs.
    fn order() -> Value {
        json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
            "metadata": {"name": "oa", "namespace": "dept-edu", "uid": "u-1"},
            "spec": {"tenancy": "oa", "reason": "安全整改", "authority": "市政府办"},
        })
    }

    /// A server with its namespace and its quota, which the cache shows larger than it is by now, and with an order of
    /// the office.
    async fn server(tenancy: &Tenancy) -> Fake {
        let state = state(&[("prod", "10")]);
        let plan = plans(&state, &due(&state)).remove(0);
        let namespace = made(&json!(objects::namespace(&plan)));
        let cached = made(&json!(objects::quota(&plan, &plan.hard)));
        let mut quota = cached.clone();
        quota["spec"]["hard"]["requests.cpu"] = json!("6");
        let tenancy = json!(tenancy);
        Fake::start(move |call| match call.path.as_str() {
            "/api/v1/namespaces" => Some(list(std::slice::from_ref(&namespace))),
            "/api/v1/resourcequotas" => Some(list(std::slice::from_ref(&cached))),
            "/apis/platform.leasehold.dev/v1alpha1/suspensions" => Some(list(&[order()])),
            path if path.ends_with("/resourcequotas/leasehold") && call.method == "GET" => {
                Some((200, quota.clone()))
            }
            path if path.ends_with("/tenancies/oa/status") => Some((200, tenancy.clone())),
            _ => None,
        })
        .await
    }

    /// What was written into the quota, and how many suspensions the ledger has.
    async fn outcome(fake: &Fake, context: &Context) -> (Vec<Value>, usize) {
        let writes = fake.writes("/resourcequotas/leasehold").into_iter();
        let store = context.books.store();
        let recorded = store.documents::<SuspensionDoc>(None, None).await.unwrap();
        let hard = writes.map(|(_, body)| body["spec"]["hard"].clone());
        (hard.collect(), recorded.len())
    }

    fn is_closed(written: &[Value]) -> bool {
        matches!(written, [hard] if hard["pods"] == "0" && hard["requests.cpu"] == "6")
    }

    #[tokio::test]
    async fn an_order_closes_the_quotas_although_the_recorded_requests_cannot_be_read() {
        let mut state = tenancy();
        let fake = server(&state.tenancy).await;
        let (context, _tasks) = context(&fake).await;
        let mut unreadable = due(&state).request;
        unreadable.snapshot = Value::Null;
        state.life.view.requests.push(unreadable);
        let mut report = Report::new(&state);
        let advanced = Box::pin(advance(&mut state, &context, &mut report)).await;
        assert!(advanced.is_err(), "it is tried again");
        let (written, recorded) = outcome(&fake, &context).await;
        assert!(is_closed(&written), "{written:?}");
        assert_eq!(recorded, 1);
    }

    #[tokio::test]
    async fn an_order_closes_the_quotas_although_the_zone_is_gone_and_the_status_says_both() {
        let life = tenancy().life;
        let fake = server(&life.tenancy).await;
        let (context, _tasks) = context(&fake).await;
        let missing = ["NetworkZone gov-extranet does not exist yet".to_owned()];
        let waited = Box::pin(wait(&life.tenancy, &context, &missing, Some(&life))).await;
        assert!(waited.is_ok(), "{waited:?}");
        let (written, recorded) = outcome(&fake, &context).await;
        assert!(is_closed(&written), "{written:?}");
        assert_eq!(recorded, 1);
        let statuses = fake.writes("/tenancies/oa/status");
        let [(_, told)] = statuses.as_slice() else {
            panic!("{statuses:?}");
        };
        let status = &told["status"];
        assert_eq!(status["phase"], "Suspended");
        assert_eq!(status["suspension"]["name"], "oa");
        let conditions = status["conditions"].as_array().unwrap();
        let types: Vec<&Value> = conditions.iter().map(|found| &found["type"]).collect();
        assert_eq!(types, ["Suspended", "Ready", "Waiting"]);
    }

    #[tokio::test]
    async fn what_runs_is_ended_once_the_quota_keeps_pods_out_and_not_because_a_cache_shows_it_so()
    {
        for (stands, counts, evicted) in [("16", "16", 0), ("0", "16", 0), ("0", "0", 1)] {
            let life = tenancy().life;
            let plan = plans(&state(&[("prod", "10")]), &due(&state(&[("prod", "10")]))).remove(0);
            let namespace = made(&json!(objects::namespace(&plan)));
            let quota = |stands: &str, counts: &str| {
                let mut quota = made(&json!(objects::quota(&plan, &plan.hard)));
                quota["spec"]["hard"]["pods"] = json!(stands);
                quota["status"]["hard"] = quota["spec"]["hard"].clone();
                quota["status"]["hard"]["pods"] = json!(counts);
                quota
            };
            let (cached, live) = (quota("0", "0"), quota(stands, counts));
            let pod = json!({"metadata": {"name": "web", "namespace": "edu--prod", "uid": "u-2"},
                "status": {"phase": "Running"}});
            let tenancy = json!(life.tenancy);
            let fake = Fake::start(move |call| match call.path.as_str() {
                "/api/v1/namespaces" => Some(list(std::slice::from_ref(&namespace))),
                "/api/v1/resourcequotas" => Some(list(std::slice::from_ref(&cached))),
                "/apis/platform.leasehold.dev/v1alpha1/suspensions" => Some(list(&[order()])),
                "/api/v1/namespaces/edu--prod/pods" => Some(list(std::slice::from_ref(&pod))),
                path if path.ends_with("/resourcequotas/leasehold") && call.method == "GET" => {
                    Some((200, live.clone()))
                }
                path if path.ends_with("/tenancies/oa/status") => Some((200, tenancy.clone())),
                _ => None,
            })
            .await;
            let (context, _tasks) = context(&fake).await;
            let missing = ["NetworkZone gov-extranet does not exist yet".to_owned()];
            Box::pin(wait(&life.tenancy, &context, &missing, Some(&life)))
                .await
                .unwrap();
            let ended = fake.writes("/pods/web/eviction").len();
            assert_eq!(ended, evicted, "while {counts} pods are let in");
        }
    }

    #[tokio::test]
    async fn without_an_order_what_is_missing_is_told_and_the_quotas_stay() {
        let life = tenancy().life;
        let fake = Fake::start(|_| None).await;
        let (context, _tasks) = context(&fake).await;
        let report = Report::new(&life);
        close(&life, &context, &report).await.unwrap();
        assert!(fake.calls().is_empty(), "{:?}", fake.calls());
    }
}
