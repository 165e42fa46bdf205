//! Rounds of a first lease that has to be accepted: who is let in and from when on, and what may run of what was given
//! back.

use leasehold_api::{names, platform::BillingStarts};
use leasehold_ledger::time::Second;
use serde_json::{Value, json};

use super::{
    super::{
        super::suspension,
        Progress,
        fixture::{Fake, context, due, list, refusal, state},
        provision,
        rounds::{gave_rights, standing},
    },
    *,
};

const PROD: [(&str, &str); 1] = [("prod", "10")];
const BOTH: [(&str, &str); 2] = [("prod", "5"), ("test", "5")];
/// What ten cores let run.
const USUAL: &str = "80";
const WEEK: i64 = 7 * 86_400;

/// A tenancy whose first lease has to be accepted.
fn accepting(shares: &[(&str, &str)]) -> State {
    let mut state = state(shares);
    state.policy_object.spec.acceptance.billing_starts = BillingStarts::Accepted;
    state
}

fn delivered(request: u32, at: Second) -> DeliveredDoc {
    DeliveredDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request,
        at,
        until: at.plus(WEEK),
    }
}

/// The same, of which the first request was given back just now.
fn given_back(shares: &[(&str, &str)]) -> State {
    let mut state = accepting(shares);
    let at = state.now;
    state.view.delivered.push(delivered(1, at));
    state.view.acceptance.push(AcceptanceDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: 1,
        accepted: false,
        by: "zhang@edu".to_owned(),
        reason: "too slow".to_owned(),
        at,
    });
    state
}

/// Namespaces with these shares and their quotas, which let so many pods run.
fn with_pods(shares: &[(&str, &str)], pods: &str) -> (Vec<Value>, Vec<Value>) {
    let (namespaces, mut quotas) = standing(shares);
    for quota in &mut quotas {
        quota["spec"]["hard"]["pods"] = json!(pods);
        quota["status"]["hard"]["pods"] = json!(pods);
    }
    (namespaces, quotas)
}

/// A server where these stand.
async fn server((namespaces, quotas): (Vec<Value>, Vec<Value>)) -> Fake {
    Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
            ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
            ("GET", path) if path.ends_with("/resourcequotas/leasehold") => {
                let is_asked_for = |quota: &&Value| {
                    let place = quota["metadata"]["namespace"].as_str().unwrap();
                    path.contains(&format!("/{place}/"))
                };
                let found = quotas.iter().find(is_asked_for);
                found.map(|quota| (200, quota.clone()))
            }
            _ => None,
        },
    )
    .await
}

/// What comes of a round in which this request is due.
struct Came {
    progress: Progress,
    /// Requests that were delivered in it.
    delivered: Vec<u32>,
    /// Pods and cores of every quota that was written, and where.
    written: Vec<(String, String, String)>,
    again: bool,
}

async fn round(mut state: State, request: u32, there: (Vec<Value>, Vec<Value>)) -> Came {
    let fake = server(there).await;
    let (context, _tasks) = context(&fake).await;
    let (mut due, mut report) = (due(&state), Report::new(&state));
    due.request.request = request;
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    let store = context.books.store();
    let delivered = store.documents::<DeliveredDoc>(None, None).await.unwrap();
    let writes = fake.writes("/resourcequotas/");
    let written = writes.iter().map(|(path, body)| {
        let place = path.split('/').nth(4).unwrap().to_owned();
        let hard = |key: &str| body["spec"]["hard"][key].as_str().unwrap().to_owned();
        (place, hard("pods"), hard("requests.cpu"))
    });
    Came {
        progress: progress.unwrap(),
        delivered: delivered.iter().map(|found| found.value.request).collect(),
        written: written.collect(),
        again: report.again.is_some(),
    }
}

fn written(place: &str, pods: &str, cores: &str) -> (String, String, String) {
    (place.to_owned(), pods.to_owned(), cores.to_owned())
}

#[tokio::test]
async fn what_was_given_back_keeps_its_cores_and_runs_nothing_until_what_mends_it_is_in_place() {
    // whether it is that request which is due, or a later one that is not in place yet
    let half = [("prod", "5")];
    for (request, shares, pods) in [(1, PROD, USUAL), (2, half, "40")] {
        let came = Box::pin(round(given_back(&PROD), request, with_pods(&shares, pods))).await;
        assert_eq!(came.written, [written("edu--prod", "0", "10")]);
        assert_eq!(
            (came.delivered, came.progress),
            (vec![], Progress::Underway)
        );
    }
    // without pods the later one is complete, and its delivery is what gives them back
    let came = Box::pin(round(given_back(&PROD), 2, with_pods(&PROD, "0"))).await;
    assert_eq!((came.written, came.delivered), (vec![], vec![2]));
    assert!(came.again, "pods come with the next round");
    let mut mended = given_back(&PROD);
    let at = mended.now;
    mended.view.delivered.push(delivered(2, at));
    let came = Box::pin(round(mended, 2, with_pods(&PROD, "0"))).await;
    assert_eq!(came.written, [written("edu--prod", USUAL, "10")]);
}

#[tokio::test]
async fn a_split_that_does_not_fit_gives_no_pods_to_what_was_given_back() {
    let unfit = || given_back(&[("prod", "400")]);
    let came = Box::pin(round(unfit(), 1, with_pods(&PROD, USUAL))).await;
    assert_eq!(came.written, [written("edu--prod", "0", "10")]);
    let came = Box::pin(round(unfit(), 1, with_pods(&PROD, "0"))).await;
    assert_eq!((came.written, came.progress), (vec![], Progress::Blocked));
}

#[tokio::test]
async fn a_namespace_that_is_not_named_any_more_runs_nothing_of_what_was_given_back() {
    let came = Box::pin(round(given_back(&PROD), 1, with_pods(&BOTH, "40"))).await;
    let expected = [
        written("edu--prod", "0", "5"),
        written("edu--test", "0", "0"),
    ];
    let mut found = came.written;
    found.sort();
    assert_eq!(found, expected, "the cores are handed on in a later round");
}

/// Half of a lease stands, and a stranger has the name of the other half: whether anybody is let in, whether anything is
/// billed, and what was delivered.
async fn half(billing_starts: BillingStarts) -> (bool, bool, usize) {
    let (mut namespaces, mut quotas) = standing(&BOTH);
    namespaces.truncate(1);
    quotas.truncate(1);
    let stranger = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "edu--test", "uid": "uid-of-a-stranger"}});
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("POST", "/api/v1/namespaces") => Some(refusal(409, "AlreadyExists")),
            ("GET", "/api/v1/namespaces/edu--test") => Some((200, stranger.clone())),
            ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
            ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
            _ => None,
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = accepting(&BOTH);
    state.policy_object.spec.acceptance.billing_starts = billing_starts;
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    assert_eq!(progress.unwrap(), Progress::Blocked);
    let store = context.books.store();
    let delivered = store.documents::<DeliveredDoc>(None, None).await.unwrap();
    let billed = is_billed(&state, &context).await.unwrap();
    (gave_rights(&fake.calls()), billed, delivered.len())
}

#[tokio::test]
async fn nobody_is_let_into_a_part_of_a_lease_that_nobody_pays_for() {
    assert_eq!(half(BillingStarts::Accepted).await, (false, false, 0));
    // where it is billed as it comes into place, who pays gets in
    assert_eq!(half(BillingStarts::Provisioned).await, (true, true, 0));
}

#[tokio::test]
async fn the_days_to_try_it_begin_when_it_is_recorded_however_long_it_has_stood() {
    let (namespaces, mut quotas) = standing(&PROD);
    let stood = Second::parse("2025-10-20T00:00:00Z").unwrap();
    quotas[0]["metadata"]["managedFields"] = json!([{
        "manager": names::FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1",
        "time": stood.to_string(), "fieldsType": "FieldsV1", "fieldsV1": {},
    }]);
    let fake = server((namespaces, quotas)).await;
    let (context, _tasks) = context(&fake).await;
    let mut state = accepting(&PROD);
    let (due, mut report) = (due(&state), Report::new(&state));
    let before = context.now();
    Box::pin(provision(&mut state, &context, &mut report, &due))
        .await
        .unwrap();
    let after = context.now();
    let store = context.books.store();
    let found = store.documents::<DeliveredDoc>(None, None).await.unwrap();
    let found = &found[0].value;
    assert_eq!(found.at, stood, "as evidence");
    let promised = found.until.plus(-WEEK);
    assert!(before <= promised && promised <= after, "{found:?}");
}

/// What becomes of a pod that a disruption budget keeps, so many seconds after the lease was given back.
async fn kept_for(seconds: i64) -> Vec<String> {
    let (namespaces, quotas) = with_pods(&PROD, "0");
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "edu--prod", "uid": "uid-of-web"},
        "status": {"phase": "Running"}});
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
            ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
            ("GET", "/api/v1/namespaces/edu--prod/pods") => Some(list(std::slice::from_ref(&pod))),
            ("GET", "/api/v1/namespaces/edu--prod/resourcequotas/leasehold") => {
                Some((200, quotas[0].clone()))
            }
            ("POST", path) if path.ends_with("/eviction") => Some(refusal(429, "TooManyRequests")),
            _ => None,
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = given_back(&PROD);
    state.now = state.now.plus(seconds);
    let mut report = Report::new(&state);
    suspension::stop(&state, &context, &mut report)
        .await
        .unwrap();
    let mut calls = fake.calls();
    calls.retain(|call| call.contains("/pods/web"));
    calls
}

#[tokio::test]
async fn what_runs_of_what_was_given_back_is_evicted_and_deleted_after_five_minutes() {
    let evicted = "POST /api/v1/namespaces/edu--prod/pods/web/eviction";
    assert_eq!(kept_for(299).await, [evicted]);
    let deleted = "DELETE /api/v1/namespaces/edu--prod/pods/web";
    assert_eq!(kept_for(300).await, [evicted, deleted]);
}

#[tokio::test]
async fn a_namespace_whose_pods_cannot_be_read_keeps_those_of_no_other() {
    let (namespaces, quotas) = with_pods(&BOTH, "0");
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "edu--test", "uid": "uid-of-web"},
        "status": {"phase": "Running"}});
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/api/v1/namespaces") => Some(list(&namespaces)),
            ("GET", "/api/v1/resourcequotas") => Some(list(&quotas)),
            ("GET", "/api/v1/namespaces/edu--prod/pods") => Some(refusal(403, "Forbidden")),
            ("GET", "/api/v1/namespaces/edu--test/pods") => Some(list(std::slice::from_ref(&pod))),
            ("GET", "/api/v1/namespaces/edu--test/resourcequotas/leasehold") => {
                Some((200, quotas[1].clone()))
            }
            _ => None,
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    let state = given_back(&BOTH);
    let mut report = Report::new(&state);
    let stopped = suspension::stop(&state, &context, &mut report).await;
    assert!(stopped.is_err(), "it is tried again");
    assert_eq!(fake.writes("/edu--test/pods/web/eviction").len(), 1);
}
