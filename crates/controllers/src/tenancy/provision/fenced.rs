//! Rounds without the chart's admission policies: what stands goes on, and nothing is opened.

use leasehold_planner::fences;
use serde_json::{Value, json};

use super::{
    fixture::{Fake, context, due, list, state},
    rounds::standing,
    *,
};
use crate::Fences;

const SHARES: [(&str, &str); 2] = [("prod", "5"), ("test", "5")];

/// The chart's policies and bindings, in force, but for the bindings of this name.
fn policies(without: &str) -> (Vec<Value>, Vec<Value>) {
    let all = fences::BINDINGS.iter();
    let bindings = all.clone().filter(|(name, _, _)| *name != without);
    let bindings = bindings.map(|(name, policy, action)| {
        let mut spec = json!({"policyName": policy, "validationActions": [action]});
        spec["matchResources"] = serde_json::to_value(fences::reach(name)).unwrap();
        spec["paramRef"] = serde_json::to_value(fences::parameters(name)).unwrap();
        json!({"metadata": {"name": name}, "spec": spec})
    });
    let policies = all.map(|(_, policy, _)| {
        json!({
            "metadata": {"name": policy, "generation": 1}, "spec": {"failurePolicy": "Fail"},
            "status": {"observedGeneration": 1},
        })
    });
    (policies.collect(), bindings.collect())
}

/// A round of a tenancy of which one namespace stands and another does not. Gives paths of what was made, and what is told
/// of the namespaces.
async fn round(without: &str) -> (Vec<String>, Vec<NamespaceStatus>) {
    let (namespaces, quotas) = standing(&SHARES);
    let (namespaces, quotas) = (vec![namespaces[0].clone()], vec![quotas[0].clone()]);
    let (policies, bindings) = policies(without);
    let stamps = fences::STAMPS.map(|name| json!({"metadata": {"name": name}}));
    let of_stamps = fences::STAMPS.iter().filter(|name| **name != without);
    let of_stamps = of_stamps
        .map(|name| json!({"metadata": {"name": name}, "spec": {"policyName": name}}))
        .collect::<Vec<_>>();
    let fake = Fake::start(move |call| {
        let plural = call.path.rsplit('/').next().unwrap_or_default();
        match (call.method.as_str(), plural) {
            ("GET", "namespaces") => Some(list(&namespaces)),
            ("GET", "resourcequotas") => Some(list(&quotas)),
            ("GET", "validatingadmissionpolicies") => Some(list(&policies)),
            ("GET", "validatingadmissionpolicybindings") => Some(list(&bindings)),
            ("GET", "mutatingadmissionpolicies") => Some(list(&stamps)),
            ("GET", "mutatingadmissionpolicybindings") => Some(list(&of_stamps)),
            _ => None,
        }
    })
    .await;
    let (mut context, _tasks) = context(&fake).await;
    context.fences = Fences::watched();
    let mut state = state(&SHARES);
    let (due, mut report) = (due(&state), Report::new(&state));
    let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
    assert_eq!(progress.unwrap(), Progress::Underway);
    let made = fake.calls().into_iter();
    let made = made.filter(|call| call.starts_with("POST "));
    (made.collect(), report.namespaces)
}

fn opened(calls: &[String]) -> bool {
    calls.iter().any(|call| call == "POST /api/v1/namespaces")
}

#[tokio::test]
async fn while_a_binding_is_missing_no_namespace_is_opened_and_what_stands_is_furnished() {
    let (calls, told) = round("leasehold-n05-pods").await;
    assert!(!opened(&calls), "{calls:?}");
    let range = "POST /api/v1/namespaces/edu--prod/limitranges".to_owned();
    assert!(calls.contains(&range), "{calls:?}");
    let of = |name: &str| told.iter().find(|status| status.name == name).unwrap();
    assert!(of("edu--prod").ready, "{told:?}");
    let waits = of("edu--test").message.clone().unwrap();
    assert!(
        waits.starts_with("namespace edu--test: no namespace is opened")
            && waits.contains("binding leasehold-n05-pods is not there;"),
        "{waits}"
    );
}

#[tokio::test]
async fn while_the_binding_of_a_policy_that_fills_in_is_missing_no_namespace_is_opened() {
    let (calls, _) = round("leasehold-n07-mark-chosen-address").await;
    assert!(!opened(&calls), "{calls:?}");
}

#[tokio::test]
async fn with_all_policies_in_force_it_is_opened() {
    let (calls, _) = round("none of them").await;
    assert!(opened(&calls), "{calls:?}");
}
