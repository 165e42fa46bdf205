use kube::core::Status;
use leasehold_kit::{Failure, KitError};
use serde_json::json;

use super::*;
use crate::tenancy::provision::fixture::{Fake, context, state};

const STATUS: &str = "/tenancies/oa/status";

/// A quota that could not be written, with the server's answer.
fn refused(code: u16, reason: &str, message: &str) -> Error {
    let status = Status::failure(message, reason).with_code(code);
    Error::Kit(KitError {
        op: "apply",
        kind: "ResourceQuota".to_owned(),
        name: "edu--prod/leasehold".to_owned(),
        source: Failure::Refused(status.boxed()),
    })
}

/// A webhook that does not answer, in the words of a connection from this port.
fn silent(port: u16) -> Error {
    let message = format!("failed calling webhook: read tcp 192.0.2.1:{port}: i/o timeout");
    refused(500, "InternalError", &message)
}

/// Ends a round with a failure, and shows the tenancy as it is then. Gives how often its status was written until now.
async fn fail(
    state: &mut State,
    report: Report,
    error: &Error,
    (fake, context): (&Fake, &Context),
) -> usize {
    report.write_failed(state, context, error).await.unwrap();
    let written = fake.writes(STATUS);
    if let Some((_, body)) = written.last() {
        let status = serde_json::from_value(body["status"].clone()).unwrap();
        state.life.tenancy.status = Some(status);
    }
    written.len()
}

fn failed(state: &State) -> &str {
    let status = state.tenancy.status.as_ref().unwrap();
    said(status, types::FAILED).unwrap()
}

#[tokio::test]
async fn a_failure_that_only_changes_its_words_is_written_once() {
    let mut state = state(&[("prod", "10")]);
    state.life.tenancy.metadata.generation = Some(1);
    let tenancy = json!(state.tenancy);
    let fake = Fake::start(move |call| {
        let is_status = call.path.ends_with(STATUS);
        is_status.then(|| (200, tenancy.clone()))
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let on = (&fake, &context);
    let waiting = |state: &State, what: &str| {
        let mut report = Report::new(state);
        report.wait(what);
        report
    };

    let report = waiting(&state, "a quota");
    assert_eq!(fail(&mut state, report, &silent(40_001), on).await, 1);
    let report = waiting(&state, "a quota");
    assert_eq!(fail(&mut state, report, &silent(40_002), on).await, 1);
    assert!(failed(&state).contains(":40001:"), "{}", failed(&state));

    // what is written anyway says it in the words of this round
    let report = waiting(&state, "another quota");
    assert_eq!(fail(&mut state, report, &silent(40_003), on).await, 2);
    assert!(failed(&state).contains(":40003:"), "{}", failed(&state));

    // another failure is news, and so is the same one of what is asked for since
    let denied = refused(403, "Forbidden", "denied the request");
    let report = Report::new(&state);
    assert_eq!(fail(&mut state, report, &denied, on).await, 3);
    assert!(failed(&state).contains("denied"), "{}", failed(&state));
    state.life.tenancy.metadata.generation = Some(2);
    let report = Report::new(&state);
    assert_eq!(fail(&mut state, report, &denied, on).await, 4);
}

#[tokio::test]
async fn other_words_are_written_at_once_but_while_it_is_being_set_up() {
    let mut state = state(&[("prod", "10")]);
    let tenancy = json!(state.tenancy);
    let fake = Fake::start(move |call| {
        let is_status = call.path.ends_with(STATUS);
        is_status.then(|| (200, tenancy.clone()))
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    for (words, underway, writes) in [
        ("prod is made", true, 1),
        ("prod is counted", true, 1),
        ("prod is counted", false, 2),
    ] {
        let mut report = Report::new(&state);
        (report.phase, report.underway) = (Phase::Approved, underway);
        report.wait(words);
        report.write(&state, &context).await.unwrap();
        let written = fake.writes(STATUS);
        assert_eq!(written.len(), writes, "{words}, {underway}");
        let status = written[writes - 1].1["status"].clone();
        state.life.tenancy.status = serde_json::from_value(status).unwrap();
    }
}

#[test]
fn a_server_that_is_busy_or_away_is_no_failure_of_a_tenancy() {
    for (code, reason) in [
        (429, "TooManyRequests"),
        (503, "ServiceUnavailable"),
        (504, "Timeout"),
    ] {
        assert_eq!(failure(&refused(code, reason, "etcd is slow")), None);
    }
    let told = failure(&silent(40_001)).unwrap();
    assert!(told.contains("ResourceQuota edu--prod/leasehold"), "{told}");
}

/// A round that found everything in place; `quota` is what it has seen of the namespace's quota.
fn stands(state: &State, quota: Option<&str>) -> Report {
    let mut report = Report::new(state);
    report.namespaces.push(NamespaceStatus {
        name: "edu--prod".to_owned(),
        ready: true,
        ..NamespaceStatus::default()
    });
    let told = quota.map(|quota| ("edu--prod".to_owned(), quota.to_owned()));
    report.quotas = told.into_iter().collect();
    report.usage.push(ItemUsage {
        item: "vcpu-x86".to_owned(),
        leased: "10".to_owned(),
        requested: "0".to_owned(),
        claims: None,
        as_of: state.now.to_string(),
    });
    report
}

#[tokio::test]
async fn a_figure_that_a_late_cache_did_not_have_is_told_as_soon_as_it_has_and_then_hourly() {
    let mut state = state(&[("prod", "10")]);
    let fake = Fake::start(|_| None).await;
    let (context, _tasks) = context(&fake).await;
    let mut old = TenancyStatus::default();
    let mut told = Vec::new();
    for quota in [None, Some("cpu 0/10"), Some("cpu 3/10")] {
        state.life.now = state.now.plus(10);
        old = stands(&state, quota).status(&state, &context, &old);
        told.push(old.namespaces[0].quota.clone());
    }
    let first = Some("cpu 0/10".to_owned());
    assert_eq!(told, [None, first.clone(), first]);
}

#[tokio::test]
async fn what_a_late_cache_had_of_a_quota_before_it_changed_is_told_as_soon_as_it_has_the_new() {
    let mut state = state(&[("prod", "10")]);
    let fake = Fake::start(|_| None).await;
    let (context, _tasks) = context(&fake).await;
    let mut old = TenancyStatus::default();
    let mut told = Vec::new();
    let mut look = |seen: &str, contested: bool| {
        state.life.now = state.now.plus(10);
        let mut report = stands(&state, Some(seen));
        if contested {
            report.contest("quota leasehold in edu--prod".to_owned());
        }
        old = report.status(&state, &context, &old);
        told.push(old.namespaces[0].quota.clone().unwrap());
    };
    for seen in ["cpu 0/10", "cpu 0/6", "cpu 3/6"] {
        look(seen, false);
    }
    // in a fight it changes with every write of the other side; that there is one is told with the figure of the moment
    for seen in ["cpu 3/1", "cpu 3/2", "cpu 3/9"] {
        look(seen, true);
    }
    let expected = [
        "cpu 0/10", "cpu 0/6", "cpu 0/6", "cpu 3/1", "cpu 3/1", "cpu 3/1",
    ];
    assert_eq!(told, expected);
    // but what was never told is, also in a fight
    old.namespaces[0].quota = None;
    let mut report = stands(&state, Some("cpu 3/4"));
    report.contest("quota leasehold in edu--prod".to_owned());
    let told = report.status(&state, &context, &old);
    assert_eq!(told.namespaces[0].quota.as_deref(), Some("cpu 3/4"));
}
