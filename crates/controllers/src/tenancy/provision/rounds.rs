//! Rounds before an API server: what is written in which order, and what is left when a write fails.

use std::sync::{Arc, Mutex};

use leasehold_api::platform::BillingStarts;
use leasehold_ledger::document::{DeliveredDoc, EffectiveDoc, NamespaceDoc};
use leasehold_planner::objects::{self, FORMER_NETWORK_POLICIES};
use serde_json::{Value, json};

use super::{
    fixture::{Call, Fake, Reply, context, due, in_place, list, made, plans, refusal, state},
    namespaces::Standing,
    *,
};
use crate::drift::{self, Owner};

/// Namespaces of a tenancy that stands, and their quotas, which count.
pub(super) fn standing(shares: &[(&str, &str)]) -> (Vec<Value>, Vec<Value>) {
    in_place(&state(shares)).into_iter().unzip()
}

fn is(call: &Call, method: &str, path: &str) -> bool {
    call.method == method && call.path == path
}

/// Namespaces that the ledger knows, by name.
async fn recorded(context: &Context) -> Vec<String> {
    let store = context.books.store();
    let all = store.documents::<NamespaceDoc>(None, None).await.unwrap();
    all.into_iter()
        .map(|document| document.value.name)
        .collect()
}

/// A round of a tenancy whose namespace and quota stand. `None` where policies may be written.
async fn round(policies: Option<Reply>) -> (Result<Progress, Error>, usize, Vec<String>) {
    let (namespaces, quotas) = standing(&[("prod", "10")]);
    let fake = Fake::start(move |call| match call.path.as_str() {
        "/api/v1/namespaces" => Some(list(&namespaces)),
        "/api/v1/resourcequotas" => Some(list(&quotas)),
        path if path.contains("--prod/networkpolicies") => policies.clone(),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    let store = context.books.store();
    let effective = store.documents::<EffectiveDoc>(None, None).await.unwrap();
    (progress, effective.len(), fake.calls())
}

pub(super) fn gave_rights(calls: &[String]) -> bool {
    let mut calls = calls.iter().filter(|call| !call.starts_with("GET "));
    calls.any(|call| call.contains("/rolebindings"))
}

#[tokio::test]
async fn what_stands_is_billed_and_nobody_let_in_when_a_policy_fails() {
    let (progress, effective, calls) = round(Some(refusal(403, "Forbidden"))).await;
    let error = progress.unwrap_err();
    assert!(
        matches!(&error, Error::Kit(error) if error.is_forbidden()),
        "{error:?}"
    );
    assert_eq!(effective, 1, "the quota stands and is billed");
    let range = "POST /api/v1/namespaces/edu--prod/limitranges".to_owned();
    assert!(calls.contains(&range), "{calls:?}");
    assert!(!gave_rights(&calls), "{calls:?}");
}

/// What a round writes about the policies of a namespace that an earlier version made, of a tenancy that says that all is
/// in place, and what it then tells the tenancy of them. The one policy stands already, or is made with this answer.
async fn after_an_upgrade(stands: bool, policy: Option<Reply>) -> (Vec<String>, Vec<String>) {
    let (namespaces, quotas) = standing(&[("prod", "10")]);
    let mut policies = Vec::from(FORMER_NETWORK_POLICIES.map(|name| {
        made(&json!({
            "metadata": {"name": name, "namespace": "edu--prod", "managedFields": [
                {"manager": names::FIELD_MANAGER, "operation": "Apply"},
            ]},
            "spec": {"podSelector": {}},
        }))
    }));
    let before = state(&[("prod", "10")]);
    if stands {
        let plan = plans(&before, &due(&before)).remove(0);
        let policy = objects::network_policy(&plan, &before.zone.spec);
        policies.push(made(&json!(policy)));
    }
    let mut tenancy = before.tenancy.clone();
    tenancy.status = serde_json::from_value(json!({"phase": "Active", "namespaces": [
        {"name": "edu--prod", "uid": "uid-of-edu--prod", "ready": true, "quota": "10"},
    ]}))
    .unwrap();
    let fake = Fake::start(move |call| match call.path.as_str() {
        "/api/v1/namespaces" => Some(list(&namespaces)),
        "/api/v1/resourcequotas" => Some(list(&quotas)),
        "/apis/tenancy.leasehold.dev/v1alpha1/tenancies" => Some(list(&[json!(tenancy)])),
        "/apis/networking.k8s.io/v1/networkpolicies" => Some(list(&policies)),
        path if path.ends_with("--prod/networkpolicies") => policy.clone(),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    drop(progress);
    let news = context
        .repairs
        .take(&Owner::tenancy("edu", "oa"), context.now());
    let mut writes = fake.calls();
    writes.retain(|call| call.contains("/networkpolicies") && !call.starts_with("GET "));
    let told = news.happened.into_iter().map(|told| told.sentence);
    (
        writes,
        told.filter(|told| told.contains("policy")).collect(),
    )
}

#[tokio::test]
async fn policies_of_an_earlier_version_go_once_the_one_stands_and_nobody_is_accused() {
    let all = "/apis/networking.k8s.io/v1/namespaces/edu--prod/networkpolicies";
    for policy in [None, Some(refusal(403, "Forbidden"))] {
        let made = (vec![format!("POST {all}")], Vec::new());
        assert_eq!(Box::pin(after_an_upgrade(false, policy)).await, made);
    }
    let gone = FORMER_NETWORK_POLICIES.map(|name| format!("DELETE {all}/{name}"));
    assert_eq!(
        Box::pin(after_an_upgrade(true, None)).await,
        (Vec::from(gone), Vec::new())
    );
}

#[tokio::test]
async fn what_was_stored_otherwise_than_it_was_written_is_put_right_and_told() {
    let before = state(&[("prod", "10")]);
    let plan = plans(&before, &due(&before)).remove(0);
    let policy = objects::network_policy(&plan, &before.zone.spec);
    let mut stored = made(&json!(policy));
    stored["metadata"]["resourceVersion"] = json!("7");
    stored["spec"]["policyTypes"] = json!(["Egress"]);
    let answer = stored.clone();
    let fake = Fake::start(move |call| (call.method != "GET").then(|| (200, answer.clone()))).await;
    let (context, _tasks) = context(&fake).await;
    let stored = serde_json::from_value(stored).unwrap();
    drift::keep(&context, &policy, None).await.unwrap();
    // the cache shows the version that was written
    drift::keep(&context, &policy, Some(&stored)).await.unwrap();
    let writes = fake.writes("/networkpolicies");
    assert_eq!(writes.len(), 2, "{writes:?}");
    let owner = Owner::tenancy("edu", "oa");
    let news = context.repairs.take(&owner, context.now());
    assert_eq!(news.happened.len(), 1, "{news:?}");
}

#[tokio::test]
async fn people_are_let_in_when_everything_stands() {
    let (progress, effective, calls) = round(None).await;
    assert_eq!((progress.unwrap(), effective), (Progress::Ready, 1));
    assert!(gave_rights(&calls), "{calls:?}");
    let quota = calls
        .iter()
        .any(|call| call.contains("edu--prod/resourcequotas"));
    assert!(!quota, "one that stands is not even read: {calls:?}");
}

#[tokio::test]
async fn what_has_to_be_accepted_is_delivered_once_and_not_billed() {
    let (namespaces, quotas) = standing(&[("prod", "10")]);
    let fake = Fake::start(move |call| match call.path.as_str() {
        "/api/v1/namespaces" => Some(list(&namespaces)),
        "/api/v1/resourcequotas" => Some(list(&quotas)),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    state.policy_object.spec.acceptance.billing_starts = BillingStarts::Accepted;
    let due = due(&state);
    for _ in 0..2 {
        let mut report = Report::new(&state);
        let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
        assert_eq!(progress.unwrap(), Progress::Ready);
    }
    let store = context.books.store();
    let delivered = store.documents::<DeliveredDoc>(None, None).await.unwrap();
    let [delivered] = delivered.as_slice() else {
        panic!("{delivered:?}");
    };
    let found = &delivered.value;
    assert_eq!((found.request, found.incarnation), (1, 1));
    let more = found.until.since(found.at) - 7 * 24 * 3600;
    assert!((0..60).contains(&more), "{found:?}");
    let effective = store.documents::<EffectiveDoc>(None, None).await.unwrap();
    assert!(effective.is_empty(), "{effective:?}");
    let billed = context.books.open_lease("edu", "oa", 1).await.unwrap();
    assert!(billed.is_empty(), "{billed:?}");
    assert!(gave_rights(&fake.calls()), "the department tries it");
}

#[tokio::test]
async fn what_others_took_is_put_right_and_told_and_what_is_wanted_anew_is_not() {
    for (manager, expected) in [
        (
            "night-shift",
            Some("quota leasehold in edu--prod was changed by night-shift at 2026-09-01T00:00:09Z"),
        ),
        // our own write of another time: the split changed
        (names::FIELD_MANAGER, None),
    ] {
        let (namespaces, mut quotas) = standing(&[("prod", "10")]);
        quotas[0]["spec"]["hard"]["requests.cpu"] = json!("1000");
        quotas[0]["metadata"]["managedFields"] = json!([{
            "manager": manager, "operation": "Apply", "apiVersion": "v1",
            "time": "2026-09-01T00:00:09Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:hard": {"f:requests.cpu": {}}}},
        }]);
        let fake = Fake::start(move |call| match call.path.as_str() {
            "/api/v1/namespaces" => Some(list(&namespaces)),
            "/api/v1/resourcequotas" => Some(list(&quotas)),
            path if path.ends_with("/resourcequotas/leasehold") && call.method == "GET" => {
                Some((200, quotas[0].clone()))
            }
            _ => None,
        })
        .await;
        let (context, _tasks) = context(&fake).await;
        let mut state = state(&[("prod", "10")]);
        let (due, mut report) = (due(&state), Report::new(&state));
        Box::pin(provision(&mut state, &context, &mut report, &due))
            .await
            .unwrap();
        let quota = "PATCH /api/v1/namespaces/edu--prod/resourcequotas/leasehold".to_owned();
        assert!(fake.calls().contains(&quota), "{:?}", fake.calls());
        let news = context
            .repairs
            .take(&Owner::tenancy("edu", "oa"), context.now());
        let mut told = news.happened.iter().map(|told| told.sentence.as_str());
        let told = told.find(|sentence| sentence.starts_with("quota "));
        assert_eq!(told.and_then(|told| told.split("; ").next()), expected);
    }
}

#[tokio::test]
async fn a_lease_is_not_in_force_while_a_namespace_of_it_ends() {
    let (mut namespaces, quotas) = standing(&[("prod", "5"), ("test", "5")]);
    namespaces[1]["metadata"]["deletionTimestamp"] = json!("2026-09-01T00:00:00Z");
    let fake = Fake::start(move |call| match call.path.as_str() {
        "/api/v1/namespaces" => Some(list(&namespaces)),
        "/api/v1/resourcequotas" => Some(list(&quotas)),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "5"), ("test", "5")]);
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    let store = context.books.store();
    let effective = store.documents::<EffectiveDoc>(None, None).await.unwrap();
    assert!(effective.is_empty(), "half of the lease stands");
}

#[tokio::test]
async fn the_first_round_makes_namespace_quota_limits_and_policies_and_lets_nobody_in() {
    let fake = Fake::start(|_| None).await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    let calls = fake.calls();
    assert_eq!(calls[0], "POST /api/v1/namespaces", "{calls:?}");
    for kind in ["resourcequotas", "limitranges", "networkpolicies"] {
        let made = format!("/namespaces/edu--prod/{kind}");
        let mut writes = calls.iter().filter(|call| call.starts_with("POST "));
        assert!(
            writes.any(|call| call.ends_with(&made)),
            "{kind}: {calls:?}"
        );
    }
    assert!(!gave_rights(&calls), "{calls:?}");
    assert_eq!(recorded(&context).await, ["edu--prod"]);
}

#[tokio::test]
async fn a_strangers_namespace_is_read_and_refused_whether_or_not_it_was_known() {
    let stranger = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "edu--prod", "uid": "uid-of-a-stranger"}});
    let fake = Fake::start(move |call| {
        if is(call, "POST", "/api/v1/namespaces") {
            Some(refusal(409, "AlreadyExists"))
        } else if is(call, "GET", "/api/v1/namespaces/edu--prod") {
            Some((200, stranger.clone()))
        } else {
            None
        }
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    let plans = plans(&state, &due(&state));
    let mut seen = 0;
    // the second round knows of it by the status that the first one wrote, and does not try to make it again
    for expected in [["POST ", "GET "].as_slice(), &["GET "]] {
        let (mut report, nothing) = (Report::new(&state), Standing::default());
        let all = namespaces::ensure(&state, &context, &mut report, &nothing, &plans).await;
        assert!(!all.unwrap().all);
        assert!(report.namespace_refused());
        assert!(!report.has_namespace("edu", "prod"));
        let calls = fake.calls().split_off(seen);
        seen += calls.len();
        assert_eq!(calls.len(), expected.len(), "{calls:?}");
        for (call, verb) in calls.iter().zip(expected) {
            assert!(call.starts_with(verb), "{calls:?}");
        }
        let status = state.tenancy.status.get_or_insert_default();
        status.namespaces = report.namespaces;
    }
    assert!(recorded(&context).await.is_empty());
}

#[tokio::test]
async fn what_was_made_is_recorded_although_another_failed() {
    let fake = Fake::start(|call| {
        let fails = call.body["metadata"]["name"] == "edu--prod";
        (call.method == "POST" && fails).then(|| refusal(500, "InternalError"))
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("prod", "5"), ("test", "5")]);
    let plans = plans(&state, &due(&state));
    let (mut report, nothing) = (Report::new(&state), Standing::default());
    let all = namespaces::ensure(&state, &context, &mut report, &nothing, &plans).await;
    let ensured = all.unwrap();
    assert!(ensured.failed.is_some() && !ensured.all);
    assert_eq!(ensured.unsure, BTreeSet::from(["prod".to_owned()]));
    assert!(report.has_namespace("edu", "test") && !report.has_namespace("edu", "prod"));
    assert_eq!(recorded(&context).await, ["edu--test"]);
}

#[tokio::test]
async fn what_was_made_before_a_crash_is_recorded_before_anything_else() {
    let (namespaces, _) = standing(&[("prod", "10")]);
    let fake =
        Fake::start(move |call| is(call, "GET", "/api/v1/namespaces").then(|| list(&namespaces)))
            .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("prod", "10")]);
    let found = namespaces::standing(&state, &context).await.unwrap();
    assert_eq!(found.short, ["prod"]);
    assert_eq!(recorded(&context).await, ["edu--prod"]);
    assert!(fake.calls().is_empty(), "{:?}", fake.calls());
}

#[tokio::test]
async fn a_namespace_that_only_the_ledger_knows_is_read_once() {
    let (namespaces, _) = standing(&[("prod", "10")]);
    let fake = Fake::start(move |call| {
        let there = is(call, "GET", "/api/v1/namespaces/edu--prod");
        there.then(|| (200, namespaces[0].clone()))
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("prod", "10")]);
    let plans = plans(&state, &due(&state));
    // made by an earlier round, whose caches have not seen it yet
    let document = NamespaceDoc {
        cluster: "cluster".to_owned(),
        uid: "uid-of-edu--prod".to_owned(),
        name: "edu--prod".to_owned(),
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        at: Second::new(0),
    };
    context.books.ensure(&document, state.now).await.unwrap();
    let mut report = Report::new(&state);
    let standing = namespaces::standing(&state, &context).await.unwrap();
    assert_eq!(standing.short, ["prod"], "its quota counts all the same");
    let all = namespaces::ensure(&state, &context, &mut report, &standing, &plans).await;
    assert!(all.unwrap().all);
    assert_eq!(fake.calls(), ["GET /api/v1/namespaces/edu--prod"]);
    assert_eq!(recorded(&context).await.len(), 1);
}

/// Two namespaces of which the last in the order of names gives what the first takes only in part: two cores are free.
async fn moved(fails: bool) -> (bool, Vec<String>) {
    let (_, quotas) = standing(&[("aa", "2"), ("zz", "6")]);
    let fake = Fake::start(move |call| {
        let names = ["aa", "zz"].map(|short| format!("/edu--{short}/"));
        let at = names.iter().position(|name| call.path.contains(name))?;
        match call.method.as_str() {
            "GET" => Some((200, quotas[at].clone())),
            _ => (fails && at == 1).then(|| refusal(403, "Forbidden")),
        }
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("aa", "4"), ("zz", "2")]);
    let due = due(&state);
    let (lease, desired) = divide(&state, &due, &[]).unwrap();
    let identity = identity(&state, &due.items);
    let step = step_quotas(&context, &identity, &lease, &desired, &[], false).await;
    let mut writes = fake.calls();
    writes.retain(|call| call.starts_with("PATCH "));
    (step.is_ok(), writes)
}

#[tokio::test]
async fn donors_are_written_first_and_what_was_free_is_given_although_one_fails() {
    let [aa, zz] = ["aa", "zz"]
        .map(|short| format!("PATCH /api/v1/namespaces/edu--{short}/resourcequotas/leasehold"));
    let both = vec![zz, aa];
    assert_eq!(Box::pin(moved(false)).await, (true, both.clone()));
    assert_eq!(Box::pin(moved(true)).await, (false, both));
}

#[tokio::test]
async fn a_donor_that_cannot_shrink_holds_up_who_waits_for_it_and_nobody_else() {
    let shorts = ["aa", "mm", "zz"];
    let (_, quotas) = standing(&[("aa", "2"), ("mm", "2"), ("zz", "6")]);
    let quotas = Arc::new(Mutex::new(quotas));
    let stored = Arc::clone(&quotas);
    let fake = Fake::start(move |call| {
        let mut names = shorts.iter().map(|short| format!("/edu--{short}/"));
        let at = names.position(|name| call.path.contains(&name))?;
        let mut stored = stored.lock().unwrap();
        match call.method.as_str() {
            "GET" => Some((200, stored[at].clone())),
            _ if at == 1 => Some(refusal(403, "Forbidden")),
            _ => {
                let hard = call.body["spec"]["hard"].clone();
                stored[at]["spec"]["hard"] = hard.clone();
                stored[at]["status"]["hard"] = hard;
                Some((200, stored[at].clone()))
            }
        }
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("aa", "4"), ("mm", "1"), ("zz", "5")]);
    let due = due(&state);
    let (lease, desired) = divide(&state, &due, &[]).unwrap();
    let identity = identity(&state, &due.items);
    // all ten are held at first; then zz was seen to have given one, and mm keeps two of which one was for aa
    for expected in [["2", "2", "5"], ["3", "2", "5"], ["3", "2", "5"]] {
        let step = step_quotas(&context, &identity, &lease, &desired, &[], false).await;
        assert!(step.is_err(), "it is told");
        let stored = quotas.lock().unwrap();
        for (quota, cores) in stored.iter().zip(expected) {
            assert_eq!(quota["spec"]["hard"]["requests.cpu"], cores, "{expected:?}");
        }
    }
}
