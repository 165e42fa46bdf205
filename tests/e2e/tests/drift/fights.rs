//! Another program that writes back whenever it is put right.

use std::time::{Duration, Instant};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{Patch, PatchParams};
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::{Office, PERIODS};
use leasehold_testkit::{SERVICE_ACCOUNT, Session, Write};
use serde_json::json;

use crate::ground::{FENCE, fence_is_whole, is_whole, leased, prod};

/// Writes back as soon as the fence is whole; never ends.
async fn rival(admin: &Session, place: &str) -> Result<(), String> {
    let fences: Api<NetworkPolicy> = Api::namespaced(admin.client(), place);
    let params = PatchParams {
        field_manager: Some("rival".to_owned()),
        ..PatchParams::default()
    };
    let hole = Patch::Merge(json!({"spec": {"ingress": [{}]}}));
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        look.tick().await;
        let fence = fences.get(FENCE).await.map_err(|error| error.to_string())?;
        if is_whole(&fence) {
            let written = fences.patch(FENCE, &params, &hole).await;
            written.map_err(|error| error.to_string())?;
        }
    }
}

/// What the tenancy says of the fight; empty when it says nothing.
fn contest(tenancy: &Tenancy) -> String {
    let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == types::CONTESTED && condition.status == "True")
        .map(|condition| condition.message.as_str())
        .collect()
}

/// What the operator has written to a kind of the department, so far.
fn written(office: &Office, resource: &str) -> usize {
    let places = [prod(office), office.place.clone()];
    let writes = office.stage.rig.writes().unwrap();
    let ours = |write: &&Write| {
        write.user == SERVICE_ACCOUNT
            && write.resource == resource
            && places.contains(&write.namespace)
    };
    writes.iter().filter(ours).count()
}

#[tokio::test]
async fn a_program_that_writes_back_is_named_met_with_pauses_and_outlasted() {
    let (office, admin) = leased("drift-fight", "公安局").await;
    let place = prod(&office);
    let (fences, statuses) = ("networkpolicies", "tenancies/status");
    let before = (written(&office, fences), written(&office, statuses));
    let begun = Instant::now();
    let seventh = office.when("oa", "a fight of seven repairs", |tenancy| {
        contest(tenancy).contains("put right 7 times")
    });
    let fight = async {
        tokio::select! {
            ended = rival(&admin, &place) => panic!("{ended:?}"),
            tenancy = seventh => tenancy.unwrap(),
        }
    };
    let noticed = tokio::time::timeout(PERIODS, Box::pin(fight)).await;
    let tenancy = noticed.expect("nobody noticed the fight");
    // five at once, one after 10 seconds and one after 20 more; instants are cut to whole seconds
    assert!(
        begun.elapsed() >= Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
    let after = (written(&office, fences), written(&office, statuses));
    assert_eq!(after.0 - before.0, 7, "repairs that nobody counted");
    assert!(after.1 - before.1 <= 20, "{} statuses", after.1 - before.1);
    let message = contest(&tenancy);
    let begins =
        format!("network policy {FENCE} in {place} is changed again and again, last by rival: ");
    assert!(message.starts_with(&begins), "{message}");
    assert!(message.contains("the next time not before 20"), "{message}");
    let status = tenancy.status.unwrap();
    // the lease stands and is billed; only it is not all in place
    assert_eq!(status.phase, Phase::Active);
    let mut conditions = status.conditions.iter();
    let ready = conditions.find(|condition| condition.type_ == types::READY);
    assert_eq!(ready.map(|ready| ready.reason.as_str()), Some("Contested"));
    let told = |words: &str| {
        status
            .history
            .iter()
            .any(|entry| entry.what.contains(words))
    };
    assert!(
        told("from now on it is put right with pauses"),
        "{:?}",
        status.history
    );
    {
        let operator = office.stage.operator.lock().await;
        let fights = operator.counted("leasehold_contested", "").await;
        assert!(fights.unwrap() >= 1);
    }
    // the rival is gone: the fence is whole when the pause ends
    fence_is_whole(&office).await;
}
