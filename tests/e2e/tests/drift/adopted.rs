//! A namespace that was there before: taken where the platform offers it and nothing stands in the way.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ResourceQuota};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::Office;
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

use crate::ground::{LEASE, prod, stage};

/// A department that asks for a namespace which is there already; with the administrator.
async fn in_the_way(code: &str, name: &str) -> (Office, Session) {
    let office = stage().await.office(code, name).await.unwrap();
    // made with the only right that may make such a name, as if it were from before the installation
    let maker = office.stage.rig.service_account().await.unwrap();
    let foreign = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": prod(&office)},
    });
    maker.create(&foreign).await.unwrap();
    let admin = office.stage.user(User::Admin).await.unwrap();
    (office, admin)
}

/// Leases, up to where the namespace is in the way.
async fn lease(office: &Office) {
    office.system().await.unwrap();
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.staff.apply(&manifest).await.unwrap();
    office.approve("oa", 1).await.unwrap();
    says(office, "rule T32:").await;
}

/// Waits until the tenancy says this of its namespace.
async fn says(office: &Office, words: &str) -> String {
    let what = format!("a namespace of which is said {words:?}");
    let told = office.when("oa", &what, |tenancy| message(tenancy).contains(words));
    message(&told.await.unwrap())
}

fn message(tenancy: &Tenancy) -> String {
    let namespaces = tenancy.status.iter().flat_map(|status| &status.namespaces);
    namespaces
        .filter_map(|namespace| namespace.message.as_deref())
        .collect()
}

async fn offer(session: &Session, place: &str, to: &str) -> leasehold_testkit::Ran {
    let annotation = format!("leasehold.dev/adopt={to}");
    let words = ["annotate", "namespace", place, &annotation, "--overwrite"];
    session.kubectl(&words, "").await.unwrap()
}

/// A pod of one core and one GiB, once the namespace has the account that pods run under.
async fn runs(office: &Office, admin: &Session) -> Pod {
    let place = prod(office);
    let mut web = pod(&place, "web", "1", "1Gi", None);
    // rule N08 fills it in where a namespace is leased already
    let zone = json!({"leasehold.node-restriction.kubernetes.io/zone": "gov-extranet"});
    web["spec"]["nodeSelector"] = zone;
    let running = office.stage.see("a pod", LONG, async || {
        let ran = admin.try_create(&web).await;
        let ran = ran.map_err(|failure| format!("{failure:?}"))?;
        if ran.is_ok() || ran.stderr.contains("AlreadyExists") {
            Ok(())
        } else {
            Err(format!("{ran:?}"))
        }
    });
    running.await.unwrap();
    admin.get(Some(&place), "web").await.unwrap()
}

#[tokio::test]
async fn a_namespace_that_is_offered_is_taken_with_everything_that_is_in_it_t56() {
    let (office, admin) = in_the_way("adopt", "体育局").await;
    let place = prod(&office);
    let at = Some(place.as_str());
    let data = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
        "metadata": {"name": "settings", "namespace": place},
    });
    admin.create(&data).await.unwrap();
    let web = runs(&office, &admin).await;
    let before: Namespace = admin.get(None, &place).await.unwrap();
    lease(&office).await;

    let words = [
        "adopt",
        &place,
        "--tenancy",
        "adopt/oa",
        "--yes",
        "-o",
        "json",
    ];
    let ran = admin.leasehold(&words).await.unwrap().ok().unwrap();
    let told: Value = ran.json().unwrap();
    let expected = json!({
        "namespace": place, "tenancy": "adopt/oa", "contents": {"pods": 1},
    });
    assert_eq!(told, expected);
    let tenancy = office.phase("oa", Phase::Active).await.unwrap();
    let history = tenancy.status.unwrap().history;
    let adopted =
        format!("namespace {place} was adopted, as its annotation leasehold.dev/adopt asks");
    assert!(
        history.iter().any(|entry| entry.what == adopted),
        "{history:?}"
    );

    let after: Namespace = admin.get(None, &place).await.unwrap();
    assert_eq!(after.metadata.uid, before.metadata.uid);
    let labels = after.metadata.labels.unwrap();
    assert_eq!(labels["leasehold.dev/tenancy"], "oa");
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let kept: ConfigMap = admin.get(at, "settings").await.unwrap();
    assert_eq!(kept.data.unwrap()["a"], "1");
    let same: Pod = admin.get(at, "web").await.unwrap();
    assert_eq!(same.metadata.uid, web.metadata.uid);
    // what runs counts from the first moment, and its people are in
    let counted = office.stage.see("the pod in the quota", LONG, async || {
        let quota: ResourceQuota = office.staff.get(at, "leasehold").await?;
        let used = quota.status.and_then(|status| status.used);
        let cores = used.and_then(|used| used.get("requests.cpu").map(|cores| cores.0.clone()));
        if cores.as_deref() == Some("1") {
            Ok(())
        } else {
            Err(format!("{cores:?}"))
        }
    });
    counted.await.unwrap();
}

#[tokio::test]
async fn a_namespace_in_which_others_have_rights_is_refused_by_name_until_they_are_gone_t56() {
    let (office, admin) = in_the_way("adopt-ops", "教育局").await;
    let place = prod(&office);
    let ops = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "ops", "namespace": place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "wu@elsewhere",
        }],
    });
    admin.create(&ops).await.unwrap();
    lease(&office).await;
    let finding = "role binding ops gives ClusterRole edit to User wu@elsewhere";
    let words = ["adopt", &place, "--tenancy", "adopt-ops/oa", "--yes"];
    let ran = admin.leasehold(&words).await.unwrap();
    ran.with_code(1).unwrap().refused(finding).unwrap();

    let annotation = offer(&admin, &place, "adopt-ops/oa").await;
    annotation.ok().unwrap();
    let told = says(&office, "rule T56:").await;
    assert!(told.contains(finding), "{told}");
    let untouched: Namespace = admin.get(None, &place).await.unwrap();
    assert!(!is_marked(&untouched), "{:?}", untouched.metadata.labels);
    let gone = ["delete", "rolebinding/ops", "-n", &place];
    admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
}

/// Whether the namespace carries a label of leasehold's.
fn is_marked(namespace: &Namespace) -> bool {
    let mut labels = namespace.metadata.labels.iter().flatten();
    labels.any(|(label, _)| label.starts_with("leasehold.dev/"))
}

#[tokio::test]
async fn whoever_may_write_a_namespace_and_not_adopt_offers_it_to_nobody_n11() {
    let (office, admin) = in_the_way("adopt-not", "卫健委").await;
    let place = prod(&office);
    let keeper = office
        .stage
        .user(User::Outsider("adopt-not"))
        .await
        .unwrap();
    let user = format!("--user={}", keeper.name());
    let role = [
        "create",
        "clusterrole",
        "keeper",
        "--verb=get,patch",
        "--resource=namespaces",
    ];
    admin.kubectl(&role, "").await.unwrap().ok().unwrap();
    let bind = [
        "create",
        "clusterrolebinding",
        "keeper",
        "--clusterrole=keeper",
        &user,
    ];
    admin.kubectl(&bind, "").await.unwrap().ok().unwrap();
    // the right itself takes a moment to be known
    let refused = office
        .stage
        .see("an offer that is refused", LONG, async || {
            let ran = offer(&keeper, &place, "adopt-not/oa").await;
            ran.refused("rule N11: wu@adopt-not may not offer")
                .map(drop)
                .map_err(|failure| format!("{failure:?}"))
        });
    refused.await.unwrap();
    let bind = [
        "create",
        "clusterrolebinding",
        "adopter",
        "--clusterrole=leasehold-office",
        &user,
    ];
    admin.kubectl(&bind, "").await.unwrap().ok().unwrap();
    let offered = office.stage.see("an offer by both rights", LONG, async || {
        let ran = offer(&keeper, &place, "adopt-not/oa").await;
        ran.ok().map(drop).map_err(|failure| format!("{failure:?}"))
    });
    offered.await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_is_offered_to_another_tenancy_is_not_taken_t32() {
    let (office, admin) = in_the_way("adopt-else", "农业局").await;
    let place = prod(&office);
    lease(&office).await;
    let annotation = offer(&admin, &place, "adopt-else/mail").await;
    annotation.ok().unwrap();
    for round in 1..=2 {
        office.look_again("oa", round).await.unwrap();
    }
    let told = says(&office, "rule T32:").await;
    let remedy = format!("leasehold adopt {place} --tenancy adopt-else/oa");
    assert!(told.contains(&remedy), "{told}");
    let untouched: Namespace = admin.get(None, &place).await.unwrap();
    assert!(!is_marked(&untouched), "{:?}", untouched.metadata.labels);
}
