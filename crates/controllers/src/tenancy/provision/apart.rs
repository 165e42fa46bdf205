//! Rounds in which one namespace is not as the others: it fails, ends, was made a moment ago or is fought over.

use leasehold_api::names::{ADOPT_ANNOTATION, ROLE_LABEL, ROLE_TENANCY};
use leasehold_ledger::document::{EffectiveDoc, NamespaceDoc};
use serde_json::{Value, json};

use super::{
    fixture::{Fake, context, due, list, plans, refusal, state},
    rounds::standing,
    *,
};
use crate::drift::Owner;

const SHORTS: [&str; 2] = ["prod", "test"];

/// The place among [`SHORTS`] of the namespace in a path.
fn place(path: &str) -> Option<usize> {
    SHORTS
        .iter()
        .position(|short| path.contains(&format!("/edu--{short}/")))
}

fn quota_of(short: &str) -> String {
    format!("/api/v1/namespaces/edu--{short}/resourcequotas/leasehold")
}

/// Whether anybody got rights in the namespace.
fn rights(fake: &Fake, short: &str) -> bool {
    let written = fake.writes("/rolebindings");
    let part = format!("/edu--{short}/");
    written.iter().any(|(path, _)| path.contains(&part))
}

async fn effective(context: &Context) -> usize {
    let store = context.books.store();
    let all = store.documents::<EffectiveDoc>(None, None).await.unwrap();
    all.len()
}

/// A server on which these stand, read one by one as they are listed.
async fn server(
    namespaces: Vec<Value>,
    quotas: Vec<Value>,
    refuses: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
) -> Fake {
    Fake::start(move |call| {
        let (method, path) = (call.method.as_str(), call.path.as_str());
        match (path, method) {
            ("/api/v1/namespaces", "GET") => Some(list(&namespaces)),
            ("/api/v1/resourcequotas", "GET") => Some(list(&quotas)),
            (_, "GET") if path.ends_with("/resourcequotas/leasehold") => {
                Some((200, quotas[place(path)?].clone()))
            }
            _ if refuses(method, path) => Some(refusal(403, "Forbidden")),
            _ => None,
        }
    })
    .await
}

/// One round of a tenancy with these shares.
async fn round(context: &Context, shares: &[(&str, &str)]) -> Result<Progress, Error> {
    let mut state = state(shares);
    let (due, mut report) = (due(&state), Report::new(&state));
    Box::pin(provision(&mut state, context, &mut report, &due)).await
}

#[tokio::test]
async fn a_policy_that_fails_in_one_namespace_keeps_nobody_out_of_the_others() {
    let shares = [("prod", "5"), ("test", "5")];
    let (namespaces, quotas) = standing(&shares);
    let policies = |_: &str, path: &str| path.contains("/edu--prod/networkpolicies");
    let fake = server(namespaces, quotas, policies).await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context, &shares).await.is_err());
    assert!(rights(&fake, "test"), "{:?}", fake.calls());
    assert!(!rights(&fake, "prod"), "{:?}", fake.calls());
}

#[tokio::test]
async fn a_namespace_that_cannot_be_mended_keeps_no_quota_from_being_written() {
    let shares = [("prod", "5"), ("test", "5")];
    let (mut namespaces, mut quotas) = standing(&shares);
    namespaces[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("lax");
    for quota in &mut quotas {
        quota["spec"]["hard"]["pods"] = json!("0");
    }
    let its = "/api/v1/namespaces/edu--prod";
    let fake = server(namespaces, quotas, move |_, path| path == its).await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context, &shares).await.is_err());
    for short in SHORTS {
        let written = fake.writes(&quota_of(short));
        assert_eq!(written.len(), 1, "{short}: {:?}", fake.calls());
        assert_eq!(written[0].1["spec"]["hard"]["pods"], "40");
    }
    assert!(!rights(&fake, "prod"), "{:?}", fake.calls());
    // under the uid that was seen, so that another of its name gets none of it
    let tried = fake.writes(its);
    let (_, tried) = tried.iter().find(|(path, _)| path == its).unwrap();
    assert_eq!(tried["metadata"]["uid"], "uid-of-edu--prod");
}

#[tokio::test]
async fn nothing_grows_into_what_a_namespace_holds_until_it_is_gone() {
    let (mut namespaces, quotas) = standing(&[("prod", "5"), ("test", "5")]);
    namespaces[1]["metadata"]["deletionTimestamp"] = json!("2026-09-01T00:00:00Z");
    let fake = server(namespaces, quotas, |_, _| false).await;
    let (context, _tasks) = context(&fake).await;
    let progress = round(&context, &[("prod", "10")]).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    let written = fake.writes(&quota_of("prod"));
    let [(_, written)] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert_eq!(written["spec"]["hard"]["requests.cpu"], "5");
    assert!(fake.writes("/edu--test/").is_empty(), "it ends");
}

/// What `prod` may have of ten cores while `test`, which nobody names any more, ends without its quota.
async fn beside_what_lingers(pods: Result<Value, u16>) -> (bool, Value) {
    let (mut namespaces, mut quotas) = standing(&[("prod", "2"), ("test", "5")]);
    namespaces[1]["metadata"]["deletionTimestamp"] = json!("2026-09-01T00:00:00Z");
    quotas.remove(1);
    let fake = Fake::start(move |call| match (call.method.as_str(), &*call.path) {
        ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
        ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
        ("GET", "/api/v1/namespaces/edu--test/pods") => Some(match &pods {
            Ok(pod) => list(std::slice::from_ref(pod)),
            Err(code) => refusal(*code, "Forbidden"),
        }),
        ("GET", path) if path == quota_of("prod") => Some((200, quotas[0].clone())),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let went_well = round(&context, &[("prod", "10")]).await.is_ok();
    let written = fake.writes(&quota_of("prod"));
    let hard = written.first().map(|(_, body)| &body["spec"]["hard"]);
    (
        went_well,
        hard.map(|hard| hard["requests.cpu"].clone())
            .unwrap_or_default(),
    )
}

fn lingering(phase: &str) -> Value {
    let cores = json!({"cpu": "3"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "edu--test"},
        "spec": {"containers": [{"name": "web", "resources": {"requests": cores, "limits": cores}}]},
        "status": {"phase": phase}})
}

#[tokio::test]
async fn pods_that_outlive_the_quota_of_a_namespace_that_ends_hold_what_they_ask_for() {
    let running = beside_what_lingers(Ok(lingering("Running"))).await;
    assert_eq!(running, (true, json!("7")));
    let over = beside_what_lingers(Ok(lingering("Succeeded"))).await;
    assert_eq!(over, (true, json!("10")));
}

#[tokio::test]
async fn what_cannot_be_told_of_a_namespace_that_ends_counts_as_all_of_the_lease() {
    let (went_well, grown) = beside_what_lingers(Err(403)).await;
    assert!(!went_well, "and the error is told");
    assert_eq!(grown, json!("2"));
}

#[tokio::test]
async fn a_quota_that_cannot_be_given_its_labels_back_keeps_no_other_from_growing() {
    let shares = [("prod", "5"), ("test", "5")];
    let (namespaces, mut quotas) = standing(&[("prod", "4"), ("test", "5")]);
    let labels = quotas[1]["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove(names::TENANCY_LABEL).unwrap();
    let its = quota_of("test");
    let fake = server(namespaces, quotas, move |_, path| path == its).await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context, &shares).await.is_err(), "it is told");
    let written = fake.writes(&quota_of("prod"));
    assert_eq!(written.len(), 1, "{:?}", fake.calls());
    assert_eq!(written[0].1["spec"]["hard"]["requests.cpu"], "5");
    assert_eq!(
        effective(&context).await,
        0,
        "one of the two is not settled"
    );
}

#[tokio::test]
async fn a_quota_that_cannot_be_read_keeps_the_others_from_growing_and_from_nothing_else() {
    let shares = [("prod", "5"), ("test", "5")];
    let (namespaces, mut quotas) = standing(&[("prod", "4"), ("test", "5")]);
    for quota in &mut quotas {
        quota["spec"]["hard"]["pods"] = json!("0");
    }
    let fake = Fake::start(move |call| match (call.method.as_str(), &*call.path) {
        ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
        ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
        ("GET", path) if path == quota_of("prod") => Some((200, quotas[0].clone())),
        ("GET", path) if path == quota_of("test") => Some(refusal(403, "Forbidden")),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context, &shares).await.is_err(), "it is told");
    let written = fake.writes(&quota_of("prod"));
    assert_eq!(written.len(), 1, "{:?}", fake.calls());
    let hard = &written[0].1["spec"]["hard"];
    assert_eq!(
        (&hard["requests.cpu"], &hard["pods"]),
        (&json!("4"), &json!("40"))
    );
    assert!(fake.writes(&quota_of("test")).is_empty());
}

#[tokio::test]
async fn a_namespace_that_cannot_be_read_keeps_no_quota_of_the_others_from_being_written() {
    let (mut namespaces, mut quotas) = standing(&[("prod", "5"), ("test", "5")]);
    // the cache shows the second one no more, and the ledger knows it
    let hidden = namespaces.remove(1);
    quotas[0]["spec"]["hard"]["pods"] = json!("0");
    let its = "/api/v1/namespaces/edu--test";
    let fake = Fake::start(move |call| match (call.method.as_str(), &*call.path) {
        ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
        ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
        ("GET", path) if path == its => Some(refusal(403, "Forbidden")),
        ("GET", path) if path.ends_with("/resourcequotas/leasehold") => {
            Some((200, quotas[place(path)?].clone()))
        }
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let document = NamespaceDoc {
        cluster: "cluster".to_owned(),
        uid: hidden["metadata"]["uid"].as_str().unwrap().to_owned(),
        name: "edu--test".to_owned(),
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        at: Second::new(0),
    };
    context
        .books
        .ensure(&document, Second::new(0))
        .await
        .unwrap();
    let found = round(&context, &[("prod", "10")]).await;
    assert!(found.is_err(), "it is told");
    let written = fake.writes(&quota_of("prod"));
    assert_eq!(written.len(), 1, "{:?}", fake.calls());
    let hard = &written[0].1["spec"]["hard"];
    // what the other one holds is not free
    assert_eq!(
        (&hard["requests.cpu"], &hard["pods"]),
        (&json!("5"), &json!("80"))
    );
}

#[tokio::test]
async fn what_was_in_another_of_its_name_does_not_stand_in_a_namespace_that_was_just_made() {
    // the namespace is gone, and the caches still show what was in it
    let (_, quotas) = standing(&[("prod", "10")]);
    let fake = Fake::start(move |call| {
        let is_list = call.path == "/api/v1/resourcequotas";
        is_list.then(|| list(&quotas))
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let progress = round(&context, &[("prod", "10")]).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    let made = "POST /api/v1/namespaces/edu--prod/resourcequotas".to_owned();
    assert!(fake.calls().contains(&made), "{:?}", fake.calls());
    assert!(!rights(&fake, "prod"), "{:?}", fake.calls());
    assert_eq!(effective(&context).await, 0, "its quota does not count yet");
}

#[tokio::test]
async fn a_wish_of_our_own_does_not_wait_for_the_end_of_a_fight() {
    let (namespaces, mut quotas) = standing(&[("prod", "10")]);
    quotas[0]["spec"]["hard"]["requests.cpu"] = json!("1000");
    quotas[0]["metadata"]["managedFields"] = json!([{
        "manager": "night-shift", "operation": "Apply", "apiVersion": "v1",
        "time": "2026-09-01T00:00:09Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:hard": {"f:requests.cpu": {}}}},
    }]);
    let fake = server(namespaces, quotas, |_, _| false).await;
    let (context, _tasks) = context(&fake).await;
    let owner = Owner::tenancy("edu", "oa");
    context
        .repairs
        .fight_over_quota(&owner, "edu--prod", context.now());
    round(&context, &[("prod", "10")]).await.unwrap();
    let written = fake.writes(&quota_of("prod"));
    assert_eq!(written.len(), 1, "{:?}", fake.calls());
    assert_eq!(written[0].1["spec"]["hard"]["requests.cpu"], "10");
}

#[tokio::test]
async fn a_count_that_somebody_writes_back_does_not_keep_a_lease_from_taking_effect() {
    let (namespaces, mut quotas) = standing(&[("prod", "10")]);
    quotas[0]["spec"]["hard"]["pods"] = json!("1");
    quotas[0]["status"]["hard"]["pods"] = json!("1");
    let fake = server(namespaces, quotas, |_, _| false).await;
    let (context, _tasks) = context(&fake).await;
    let progress = round(&context, &[("prod", "10")]).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    assert_eq!(effective(&context).await, 1);
    assert!(!rights(&fake, "prod"), "{:?}", fake.calls());
}

/// Whether a namespace that was closed for its adoption, and is not taken, is opened again.
async fn reopened(annotation: Option<&str>) -> bool {
    let its = "/api/v1/namespaces/edu--prod";
    let mut found = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "edu--prod", "uid": "uid-of-an-older", "labels": {ROLE_LABEL: ROLE_TENANCY}}});
    if let Some(tenancy) = annotation {
        found["metadata"]["annotations"] = json!({ADOPT_ANNOTATION: tenancy});
    }
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "old", "namespace": "edu--prod"}});
    let fake = Fake::start(move |call| match (call.method.as_str(), &*call.path) {
        ("POST", "/api/v1/namespaces") => Some(refusal(409, "AlreadyExists")),
        ("GET", path) if path == its => Some((200, found.clone())),
        ("GET", "/api/v1/namespaces/edu--prod/resourcequotas") => {
            Some(list(std::slice::from_ref(&quota)))
        }
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = state(&[("prod", "10")]);
    let plans = plans(&state, &due(&state));
    let (mut report, nothing) = (Report::new(&state), Standing::default());
    let ensured = namespaces::ensure(&state, &context, &mut report, &nothing, &plans).await;
    assert!(!ensured.unwrap().all && report.namespace_refused());
    let written = fake.writes(its);
    if let [(path, bare)] = written.as_slice() {
        assert_eq!(path, its);
        assert_eq!(bare["metadata"]["uid"], "uid-of-an-older");
        assert!(bare["metadata"].get("labels").is_none(), "{bare}");
    }
    written.len() == 1
}

#[tokio::test]
async fn a_namespace_that_was_closed_and_is_not_taken_after_all_is_opened_again() {
    assert!(reopened(None).await, "it is no longer offered");
    assert!(reopened(Some("edu/oa")).await, "a quota is in the way");
    assert!(!reopened(Some("edu/mail")).await, "closed for another");
}

#[test]
fn what_was_waited_for_before_the_namespaces_is_still_waited_for_in_a_fight() {
    let mut report = Report::new(&state(&[("prod", "10")]));
    report.wait("the office");
    let first = report.waits_so_far();
    report.wait("a quota");
    report.wait_for_no_more_than(first);
    assert_eq!(report.waits_so_far(), 1);
}
