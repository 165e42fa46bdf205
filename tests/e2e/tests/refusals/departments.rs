//! What departments ask for in vain, and what they must not touch.

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::charging::{Approval, SubjectOfDecision};
use leasehold_api::tenancy::{Department, Phase};
use leasehold_testkit::{LONG, User, manifests};
use serde_json::{Value, json};

use crate::openings::{nobody_was_asked, open, stage};

const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

#[tokio::test]
async fn who_asks_does_not_decide_and_who_decides_has_the_right_a05_a06() {
    let office = open("decide", "审计局").await;
    let stage = office.stage;
    let sun = stage.user(User::SUN).await.unwrap();
    let mut book = manifests::example("03-prices.yaml", "").unwrap().remove(0);
    book["metadata"]["name"] = json!("elsewhere-2026");
    book["spec"]["provider"] = json!("elsewhere");
    sun.apply(&book).await.unwrap();
    let kind = SubjectOfDecision::PriceBook;
    let approval = stage.inbox(kind, "elsewhere-2026", 1, None).await.unwrap();
    let target = format!("apv/{}", approval.metadata.name.clone().unwrap());
    let place = approval.metadata.namespace.clone().unwrap();
    let more = ["-n", place.as_str()];
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "1"}});
    sun.try_patch(&target, &more, &yes)
        .await
        .unwrap()
        .refused("rule A06:")
        .unwrap();
    let chen = stage.user(User::Office).await.unwrap();
    chen.try_patch(&target, &more, &yes)
        .await
        .unwrap()
        .refused("rule A05:")
        .unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    auditor
        .try_patch(&target, &more, &yes)
        .await
        .unwrap()
        .refused("forbidden")
        .unwrap();
    let qian = stage.user(User::QIAN).await.unwrap();
    // the stamp says who it was, whatever was written
    let forged = json!({"spec": {
        "decision": "Approved", "orderNo": "1", "decidedBy": "sun@finance",
    }});
    qian.try_patch(&target, &more, &forged)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let name = approval.metadata.name.unwrap();
    let decided = qian.get::<Approval>(Some(&place), &name).await.unwrap();
    assert_eq!(decided.spec.decided_by.as_deref(), Some("qian@finance"));
    let no = json!({"spec": {"decision": "Rejected", "reason": "no"}});
    qian.try_patch(&target, &more, &no)
        .await
        .unwrap()
        .refused("rule A01:")
        .unwrap();
}

#[tokio::test]
async fn a_department_writes_nothing_that_money_or_rights_depend_on() {
    let office = open("rights", "统战部").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let offer = manifests::contribution("rights", "servers", &["SN-RIGHTS-1"]);
    office.offer(&offer).await.unwrap();
    let staff = &office.staff;
    let credit = json!({"status": {"credit": {
        "granted": "999999.00", "applied": "0.00", "remaining": "999999.00",
        "from": "2026-01-01", "through": "2029-01-01",
    }}});
    let more = ["-n", office.place.as_str(), "--subresource=status"];
    let edited = staff
        .try_patch("hwc/servers", &more, &credit)
        .await
        .unwrap();
    edited.refused("forbidden").unwrap();
    let admin = office.stage.user(User::Admin).await.unwrap();
    let edited = admin
        .try_patch("hwc/servers", &more, &credit)
        .await
        .unwrap();
    edited.refused("rule C03:").unwrap();
    for (manifest, rule) in forbidden("rights--prod", &office.place) {
        staff
            .try_create(&manifest)
            .await
            .unwrap()
            .refused("forbidden")
            .unwrap();
        admin
            .dry_create(&manifest)
            .await
            .unwrap()
            .refused(rule)
            .unwrap();
    }
}

/// What a department must not write, and the rule that holds even against the administrator.
fn forbidden(namespace: &str, office: &str) -> Vec<(Value, &'static str)> {
    let zeros = format!("sha256:{}", "0".repeat(64));
    let core = json!({"name": "own", "namespace": namespace});
    let charging = json!({"name": "own", "namespace": office});
    vec![
        (
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": core,
                "spec": {"hard": {"pods": "1000"}},
            }),
            "rule N01:",
        ),
        (
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": core, "spec": {"podSelector": {}, "egress": [{}]},
            }),
            "rule N01:",
        ),
        (
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": core,
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "edit",
                },
                "subjects": [{
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "x",
                }],
            }),
            "rule N01:",
        ),
        (
            json!({
                "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Approval",
                "metadata": charging,
                "spec": {
                    "role": "office", "title": "own", "snapshot": "own",
                    "subject": {
                        "kind": "Tenancy", "name": "oa", "uid": "u", "request": 9,
                        "digest": zeros, "requestedBy": "somebody",
                    },
                },
            }),
            "rule A07:",
        ),
        (statement(office, &zeros), "rule C03:"),
    ]
}

fn statement(office: &str, digest: &str) -> Value {
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Statement",
        "metadata": {"name": "own", "namespace": office},
        "spec": {
            "number": "HS-own", "state": "Final",
            "period": {
                "name": "own", "from": "a", "through": "b", "start": "a", "end": "b",
                "timeZone": "Asia/Shanghai", "rehearsal": false,
            },
            "department": {"name": "own", "displayName": "own"}, "payee": "own",
            "currency": "CNY", "lines": [], "policy": digest,
            "totals": {"gross": "0.00", "offset": "0.00", "adjustments": "0.00", "net": "0.00"},
        },
    })
}

#[tokio::test]
async fn a_live_tenancy_and_its_namespaces_are_released_and_not_deleted_t12_n03() {
    let office = open("alive", "卫健委").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let gone = ["delete", "tcy/oa", "-n", &office.place, "--wait=false"];
    let refused = office
        .staff
        .kubectl(&gone, "")
        .await
        .unwrap()
        .refused("rule T12:")
        .unwrap();
    assert!(
        refused.stderr.contains("leasehold release oa"),
        "{}",
        refused.stderr
    );
    let namespace = ["delete", "namespace", "alive--prod", "--wait=false"];
    office
        .staff
        .kubectl(&namespace, "")
        .await
        .unwrap()
        .refused("forbidden")
        .unwrap();
    let admin = office.stage.user(User::Admin).await.unwrap();
    admin
        .kubectl(&namespace, "")
        .await
        .unwrap()
        .refused("rule N03:")
        .unwrap();
    let home = ["delete", "namespace", &office.place, "--wait=false"];
    admin
        .kubectl(&home, "")
        .await
        .unwrap()
        .refused("rule N03:")
        .unwrap();
    let department = "leasehold.dev/department=other";
    let label = [
        "label",
        "namespace",
        "alive--prod",
        department,
        "--overwrite",
    ];
    admin
        .kubectl(&label, "")
        .await
        .unwrap()
        .refused("rule N02:")
        .unwrap();
}

#[tokio::test]
async fn a_namespace_that_is_not_ours_is_never_taken_t32() {
    let office = open("squat", "体育局").await;
    // made with the only right that may make such a name, and without our labels
    let maker = office.stage.rig.service_account().await.unwrap();
    let foreign = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "squat--prod"},
    });
    maker.create(&foreign).await.unwrap();
    office.system().await.unwrap();
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.staff.apply(&manifest).await.unwrap();
    office.approve("oa", 1).await.unwrap();
    let tenancy = office
        .when("oa", "a namespace that is not taken", |tenancy| {
            let namespaces = tenancy.status.iter().flat_map(|status| &status.namespaces);
            namespaces
                .filter_map(|namespace| namespace.message.as_deref())
                .any(|message| message.contains("rule T32:"))
        })
        .await
        .unwrap();
    assert_ne!(tenancy.status.unwrap().phase, Phase::Active);
}

#[tokio::test]
async fn a_tenancy_does_not_take_the_namespace_of_its_sibling_t32() {
    let office = open("sibling", "统计局").await;
    let first = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&first).await.unwrap();
    let place = Some("sibling--prod");
    let before: ResourceQuota = office.staff.get(place, "leasehold").await.unwrap();
    // of another size, so that a quota that was written would differ
    let smaller = [("vcpu-x86", "2"), ("memory", "4Gi")];
    let second = office
        .manifest("web", &smaller, &[("prod", &smaller)])
        .unwrap();
    office.staff.apply(&second).await.unwrap();
    office.approve("web", 1).await.unwrap();
    let refused = office.when("web", "a namespace that is not taken", |tenancy| {
        let namespaces = tenancy.status.iter().flat_map(|status| &status.namespaces);
        let mut messages = namespaces.filter_map(|namespace| namespace.message.as_deref());
        messages.any(|message| message.contains("rule T32:"))
    });
    refused.await.unwrap();
    let after: ResourceQuota = office.staff.get(place, "leasehold").await.unwrap();
    assert_eq!(after.metadata.labels, before.metadata.labels);
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
}

#[tokio::test]
async fn a_service_claims_no_address_outside_of_the_cluster_n07() {
    let office = open("services", "交通局").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let service = |spec: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "services--prod"}, "spec": spec,
        })
    };
    let ports = json!([{"port": 80}]);
    for spec in [
        json!({"ports": ports, "externalIPs": ["10.0.0.1"]}),
        json!({"type": "ExternalName", "externalName": "elsewhere.example"}),
    ] {
        let refused = office.staff.try_create(&service(spec)).await.unwrap();
        refused.refused("rule N07:").unwrap();
    }
    office
        .staff
        .create(&service(json!({"ports": ports})))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_domain_is_the_older_departments_until_the_office_takes_it_away_d04() {
    let stage = stage().await;
    let chen = stage.user(User::Office).await.unwrap();
    let with = |code: &str, domains: Value| {
        let mut department = manifests::department(code, "司法局");
        department["spec"]["domains"] = domains;
        department
    };
    let older = with("older", json!(["older.city.example"]));
    chen.apply(&older).await.unwrap();
    let told = async |code: &str, words: &str| {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let what = format!("{words:?} of {code}");
        let seen = stage.see(&what, LONG, async || {
            let found: Department = auditor.get(None, code).await?;
            let status = found.status.unwrap_or_default();
            let mut told = status.conditions.iter().filter(|one| one.status == "True");
            if told.any(|one| one.message.contains(words)) {
                Ok(())
            } else {
                Err(format!("{:?}", status.conditions))
            }
        });
        seen.await.unwrap();
    };
    let in_place = "the rights in it are in place";
    told("older", in_place).await;
    let younger = with(
        "younger",
        json!(["mail.older.city.example", "younger.city.example"]),
    );
    chen.apply(&younger).await.unwrap();
    let refusal = "rule D04: asked domain mail.older.city.example, allowed domains that no older department has, and older has older.city.example";
    told("younger", refusal).await;
    // the office takes it away from the older one, and nobody has to touch the younger
    chen.apply(&with("older", json!([]))).await.unwrap();
    told("younger", in_place).await;
    told("older", in_place).await;
}

#[tokio::test]
async fn a_department_publishes_under_its_domains_from_when_the_office_enters_them_n09() {
    let office = open("publish", "旅游局").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "publish--prod"},
        "spec": {
            "ingressClassName": "gov-extranet",
            "rules": [{"host": "oa.publish.city.example", "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "web", "port": {"number": 80}}},
            }]}}],
        },
    });
    let refused = office.staff.try_create(&ingress).await.unwrap();
    let words = "rule N09: asked to publish under oa.publish.city.example, allowed is no name yet";
    refused.refused(words).unwrap();
    let chen = office.stage.user(User::Office).await.unwrap();
    let domains = json!({"spec": {"domains": ["publish.city.example"]}});
    let entered = chen.try_patch("departments/publish", &[], &domains).await;
    entered.unwrap().ok().unwrap();
    let published = office.stage.see("a published system", LONG, async || {
        let made = office.staff.try_create(&ingress).await;
        let made = made.and_then(leasehold_testkit::Ran::ok);
        made.map(drop).map_err(|failure| format!("{failure:?}"))
    });
    published.await.unwrap();
}

#[tokio::test]
async fn requests_that_break_a_rule_are_refused_with_the_numbers_and_reach_nobody() {
    let office = open("wishes", "科技局").await;
    office.system().await.unwrap();
    let plain = |name: &str| {
        let namespaces = [(name, &LEASE[..])];
        office.manifest(name, &LEASE, &namespaces).unwrap()
    };
    // 4 × 46.00 + 8 × 17.00 = 320.00 a month, 3840.00 in the term of a year
    let mut dear = plain("dear");
    dear["spec"]["budget"]["ceiling"] = json!("3839.99");
    office.staff.apply(&dear).await.unwrap();
    let sentence = office.refused("dear", "T28").await.unwrap();
    assert!(
        sentence.contains("3840.00") && sentence.contains("3839.99"),
        "{sentence}"
    );
    let mut unknown = plain("unknown");
    unknown["spec"]["lease"][0]["item"] = json!("quantum");
    unknown["spec"]["namespaces"][0]["share"] = json!({"memory": "8Gi"});
    office.staff.apply(&unknown).await.unwrap();
    let sentence = office.refused("unknown", "T21").await.unwrap();
    assert!(sentence.contains("quantum"), "{sentence}");
    let mut over = plain("over");
    over["spec"]["namespaces"][0]["share"]["vcpu-x86"] = json!("5");
    office.staff.apply(&over).await.unwrap();
    office.refused("over", "T20").await.unwrap();
    nobody_was_asked(&office).await;
    // the ceiling that suffices opens the request
    dear["spec"]["budget"]["ceiling"] = json!("3840.00");
    office.staff.apply(&dear).await.unwrap();
    office.asked("dear", 1).await.unwrap();
}

#[tokio::test]
async fn one_department_sees_nothing_of_another() {
    let (own, other) = (open("own", "统计局").await, open("other", "外事办").await);
    for kind in [
        "tenancies",
        "statements",
        "approvals",
        "hardwarecontributions",
    ] {
        let look = ["get", kind, "-n", &other.place];
        own.staff
            .kubectl(&look, "")
            .await
            .unwrap()
            .refused("forbidden")
            .unwrap();
    }
    let outsider = own.stage.user(User::Outsider("own")).await.unwrap();
    let look = ["get", "tenancies", "-n", &own.place];
    outsider
        .kubectl(&look, "")
        .await
        .unwrap()
        .refused("forbidden")
        .unwrap();
    let reading = own.stage.see("what everybody may read", LONG, async || {
        let ran = outsider.kubectl(&["get", "pricebooks"], "").await;
        ran.and_then(leasehold_testkit::Ran::ok)
            .map_err(|failure| format!("{failure:?}"))
    });
    reading.await.unwrap();
}
