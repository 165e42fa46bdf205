//! A department asks for more of the same: its term goes on with the office's word.

use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::Stage;
use leasehold_testkit::manifests::Days;
use serde_json::{Value, json};

const LEASE: [(&str, &str); 2] = [("vcpu-x86", "2"), ("memory", "4Gi")];

/// What the history says of renewals, as who and what.
fn renewals(tenancy: &Tenancy) -> Vec<(String, String)> {
    let history = tenancy.status.iter().flat_map(|status| &status.history);
    history
        .filter(|entry| entry.what.starts_with("renewed"))
        .map(|entry| (entry.who.clone(), entry.what.clone()))
        .collect()
}

#[tokio::test]
async fn a_term_is_extended_from_the_command_line_once_the_office_agrees() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("renewed", "档案局").await.unwrap();
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let last = Days::now().unwrap().term_through();
    let (standing, wanted) = (last.to_string(), last.add_months(12).to_string());

    let place = office.place.as_str();
    let renew = ["renew", "oa", "-n", place, "--yes", "--through"];
    let same = [&renew[..], &[standing.as_str()]].concat();
    let ran = office.staff.leasehold(&same).await.unwrap();
    ran.refused("name a later day").unwrap();

    let later = [&renew[..], &[wanted.as_str(), "-o", "json"]].concat();
    let ran = office.staff.leasehold(&later).await.unwrap().ok().unwrap();
    let told: Value = ran.json().unwrap();
    let expected = json!({
        "tenancy": "oa", "namespace": place,
        "from": manifest.pointer("/spec/term/from"), "through": wanted,
    });
    assert_eq!(told, expected);
    let waits = office.phase("oa", Phase::Changing).await.unwrap();
    assert!(renewals(&waits).is_empty(), "nobody has agreed yet");

    office.approve("oa", 2).await.unwrap();
    let renewed = office
        .when("oa", "renewed", |tenancy| !renewals(tenancy).is_empty())
        .await
        .unwrap();
    let expected = (
        "chen@office".to_owned(),
        format!("renewed through {wanted}"),
    );
    assert_eq!(renewals(&renewed), [expected]);
    office.phase("oa", Phase::Active).await.unwrap();
}
