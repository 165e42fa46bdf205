//! A pod that is resized in place: while wanted, allocated and actual size differ, the greatest counts, as
//! the scheduler reserves it.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use leasehold_e2e::Office;
use leasehold_e2e::arithmetic::seam;
use leasehold_e2e::recount::stretch;
use leasehold_ledger::time::{Second, Span};
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, User};
use serde_json::json;

use crate::ground::{
    WATCHED, ended, finish, in_phase, leased, lived, past, phase, recorded, server_time, written,
};

const CODE: &str = "meter-resize";
const PLACE: &str = "meter-resize--prod";
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
/// For how many seconds a resize stays half done.
const DELAY: i64 = 6;

#[tokio::test]
async fn a_pod_that_grows_counts_at_once_and_one_that_shrinks_once_it_has_shrunk() {
    let office = leased(CODE, "园林局", &LEASE).await;
    let (stage, staff) = (office.stage, &office.staff);
    let admin = stage.user(User::Admin).await.unwrap();
    let mut manifest = pod(PLACE, "web", "1", "1Gi", None);
    manifest["metadata"]["annotations"]["kwok.leasehold.dev/resize-delay"] =
        json!(DELAY.to_string());
    staff.create(&manifest).await.unwrap();
    let begun = in_phase(staff, PLACE, "web", "Running").await;
    // a list would show less than every change
    let watched = WATCHED.read().await;
    past(&admin, recorded(&begun).0.unwrap().plus(2)).await;
    let grown = resize(&office, "2").await;
    in_force(&office, "2").await;
    let asked = resize(&office, "1").await;
    let shrunk = written(&in_force(&office, "1").await.metadata, Some("status"));
    // it takes its time, so that the two instants can be told apart
    assert!(shrunk.since(asked) >= DELAY - 1, "{asked} {shrunk}");
    past(&admin, server_time(&admin).await.plus(2)).await;
    let whole = lived(&finish(staff, PLACE, "web").await);

    let object = format!("Pod {PLACE}/web");
    let found = ended(stage, CODE, "pod/cpu", &object).await;
    drop(watched);
    let told: Vec<(Span, i64)> = found
        .iter()
        .map(|interval| (interval.span, interval.quantity))
        .collect();
    let expected: [(Span, i64); 3] = [
        (Span::new(whole.from, grown), 1_000),
        (Span::new(grown, shrunk), 2_000),
        (Span::new(shrunk, whole.to), 1_000),
    ];
    assert_eq!(told, expected);
    assert!(found.iter().all(|interval| !interval.estimated));
    let stretches: Vec<_> = found.iter().map(stretch).collect();
    assert_eq!(seam(&stretches), None);
    // memory was not touched
    let memory = ended(stage, CODE, "pod/memory", &object).await;
    let told: Vec<(Span, i64)> = memory
        .iter()
        .map(|interval| (interval.span, interval.quantity))
        .collect();
    assert_eq!(told, [(whole, 1_i64 << 30)]);
}

/// Asks for so many cores; gives when that was written. With a client, because kubectl would read the
/// subresource first, which the department's role does not let it.
async fn resize(office: &Office, cores: &str) -> Second {
    let size = json!({"cpu": cores});
    let patch = json!({"spec": {"containers": [
        {"name": "main", "resources": {"requests": size, "limits": size}},
    ]}});
    let pods: Api<Pod> = Api::namespaced(office.staff.client(), PLACE);
    let resized = pods
        .patch_resize("web", &PatchParams::default(), &Patch::Strategic(&patch))
        .await
        .unwrap();
    written(&resized.metadata, Some("resize"))
}

/// The pod, once its containers really run with so many cores.
async fn in_force(office: &Office, cores: &str) -> Pod {
    let what = format!("containers with {cores} cores");
    let seen = office.stage.see(&what, LONG, async || {
        let found = phase(&office.staff, PLACE, "web", "Running").await?;
        let status = found.status.iter();
        let mut containers = status.flat_map(|status| status.container_statuses.iter().flatten());
        let resources = containers.next().and_then(|main| main.resources.as_ref());
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let actual = requests.and_then(|requests| requests.get("cpu"));
        if actual.is_some_and(|actual| actual.0 == cores) {
            Ok(found)
        } else {
            Err(format!("{:?}", found.status))
        }
    });
    seen.await.unwrap()
}
