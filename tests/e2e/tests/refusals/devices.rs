//! Devices behind a credit: which ones count, on whose word, and when others may have them.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Node;
use leasehold_api::charging::Approval;
use leasehold_api::tenancy::{ContributionPhase, HardwareContribution};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::document::{LotDoc, SerialDoc, SerialFreedDoc};
use leasehold_ledger::verify::Report;
use leasehold_store::Store;
use leasehold_testkit::manifests::{self, Contributed};
use leasehold_testkit::{LONG, User};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hardware::{
    CREDIT, appraise, conditions, file, hand_over, is_credited, node_of, offer_with, prove, receive,
};
use crate::openings::{nobody_was_asked, open};

const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

fn is_in(found: &HardwareContribution, phase: ContributionPhase) -> bool {
    found
        .status
        .as_ref()
        .is_some_and(|status| status.phase == phase)
}

/// Offers one server and gives the uid of the contribution.
async fn offer(office: &Office, name: &str, serial: &str) -> String {
    let manifest = manifests::contribution(&office.code, name, &[serial]);
    office.offer(&manifest).await.unwrap()
}

/// Has finance approve the credit, and gives the contribution with it.
async fn credited(office: &Office, name: &str) -> HardwareContribution {
    office
        .stage
        .decide(User::SUN, CREDIT, name, &office.place)
        .await
        .unwrap();
    office
        .contribution(name, "the credit", is_credited)
        .await
        .unwrap()
}

/// Takes a contribution back.
async fn withdraw(office: &Office, name: &str) {
    let (target, withdrawn) = (format!("hwc/{name}"), json!({"spec": {"withdrawn": true}}));
    let more = ["-n", office.place.as_str()];
    let ran = office.staff.try_patch(&target, &more, &withdrawn).await;
    ran.unwrap().ok().unwrap();
}

/// What was granted, applied and remains.
fn amounts(found: HardwareContribution) -> [String; 3] {
    let credit = found.status.unwrap().credit.unwrap();
    [credit.granted, credit.applied, credit.remaining]
}

/// Lays a node into etcd, where the API server finds it as one that has been there all along. No
/// client can make an old node: the API server dates what is created, and a receipt does not lie in
/// the future (rule H06).
async fn lay(stage: &Stage, node: &Value) {
    let name = node["metadata"]["name"].as_str().unwrap();
    let put = json!({
        "key": ByteString(format!("/registry/minions/{name}").into_bytes()),
        "value": ByteString(node.to_string().into_bytes()),
    })
    .to_string();
    let address = stage.rig.etcd();
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{put}",
        put.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_class_that_the_policy_gives_no_credit_for_is_refused_and_its_neighbour_waits_h25() {
    let office = open("switches", "文旅局").await;
    let of = |class: &str| json!({"class": class});
    let switch = offer_with("switches", "switch", "SN-H25-0002", &of("Network"));
    office.offer(&switch).await.unwrap();
    let message = office.finding("switch", "H25").await.unwrap();
    assert!(
        message.contains("class Network earns no credit"),
        "{message}"
    );
    let disks = offer_with("switches", "disks", "SN-H25-0003", &of("Storage"));
    office.offer(&disks).await.unwrap();
    let what = "storage that only waits for its proofs";
    let waits = |found: &HardwareContribution| {
        let status = found.status.as_ref();
        status.is_some_and(|status| status.findings.is_empty())
            && conditions(found).contains("receipt")
    };
    let found = office.contribution("disks", what, waits).await.unwrap();
    assert!(is_in(&found, ContributionPhase::Offered), "{found:?}");
    nobody_was_asked(&office).await;
}

#[tokio::test]
async fn storage_is_proven_by_a_test_report_and_a_second_signature_h26() {
    let office = open("disks", "体育局").await;
    let serial = "SN-H26-0001";
    let disks = offer_with("disks", "disks", serial, &json!({"class": "Storage"}));
    let uid = office.offer(&disks).await.unwrap();
    let of = Contributed {
        code: &office.code,
        name: "disks",
        uid: &uid,
    };
    appraise(&office, of, serial).await;
    let datacentre = office.stage.user(User::DataCentre).await.unwrap();
    // by nodes nobody can tell what stands behind a disk
    let mut receipt = manifests::receipt(of, "first", &[(serial, "no-such-node")]).unwrap();
    let report = json!({"uri": "https://archive.hs.example/h26", "sha256": format!("sha256:{}", "3e".repeat(32))});
    receipt["spec"]["devices"][0]["testReport"] = report;
    datacentre.create(&receipt).await.unwrap();
    let message = office.finding("disks", "H26").await.unwrap();
    assert!(message.contains("no second signature"), "{message}");
    nobody_was_asked(&office).await;

    receipt["metadata"]["name"] = json!("second");
    receipt["spec"]["devices"][0]["secondSignature"] = json!("值班长");
    datacentre.create(&receipt).await.unwrap();
    credited(&office, "disks").await;
}

#[tokio::test]
async fn a_server_is_not_proven_by_a_node_that_was_there_before_it_arrived_h24() {
    let office = open("old-nodes", "统计局").await;
    let (stage, serial) = (office.stage, "SN-H24-0002");
    // with the right serial number and a machine of its own: nothing but its age is wrong
    let mut old = manifests::node("node-of-old", serial, "uuid-of-old");
    old["metadata"]["uid"] = json!("2f1d5e0c-6a4b-4a57-9d0e-9f6f1f2b7a10");
    old["metadata"]["creationTimestamp"] = json!("2026-01-15T04:00:00Z");
    lay(stage, &old).await;
    let datacentre = stage.user(User::DataCentre).await.unwrap();
    let seen = stage.see("the old node in the API server", LONG, async || {
        datacentre.get::<Node>(None, "node-of-old").await
    });
    seen.await.unwrap();

    let uid = offer(&office, "servers", serial).await;
    let of = Contributed {
        code: &office.code,
        name: "servers",
        uid: &uid,
    };
    appraise(&office, of, serial).await;
    receive(&office, of, "old", (serial, "node-of-old")).await;
    let message = office.finding("servers", "H24").await.unwrap();
    let told = "node node-of-old joined on 2026-01-15, before the server arrived";
    assert!(message.starts_with(told), "{message}");
    nobody_was_asked(&office).await;

    // what it says to do is what helps
    let young = manifests::node(&node_of(serial), serial, "uuid-of-young");
    let admin = stage.user(User::Admin).await.unwrap();
    admin.create(&young).await.unwrap();
    receive(&office, of, "young", (serial, &node_of(serial))).await;
    credited(&office, "servers").await;
}

#[tokio::test]
async fn who_offers_hardware_does_not_decide_on_its_credit_not_even_as_finance_a06() {
    let office = open("insider", "财政局").await;
    let stage = office.stage;
    let sun = stage.user(User::SUN).await.unwrap();
    let mut department = manifests::department("insider", "财政局");
    let staff = department["spec"]["administrators"].as_array_mut().unwrap();
    staff.push(json!({"kind": "User", "name": sun.name()}));
    let chen = stage.user(User::Office).await.unwrap();
    chen.apply(&department).await.unwrap();
    let manifest = manifests::contribution("insider", "servers", &["SN-A06-0001"]);
    let offered = stage.see("an offer by a person of finance", LONG, async || {
        let ran = sun.try_create(&manifest).await;
        let done = ran.and_then(leasehold_testkit::Ran::ok);
        done.map_err(|failure| format!("{failure:?}"))
    });
    offered.await.unwrap();
    office.system().await.unwrap();
    let offer = office.contribution("servers", "the offer", |_| true).await;
    let uid = offer.unwrap().metadata.uid.unwrap();
    prove(&office, "servers", &uid, "SN-A06-0001").await;

    let place = Some(office.place.as_str());
    let approval = stage.inbox(CREDIT, "servers", 1, place).await.unwrap();
    assert_eq!(&*approval.spec.subject.requested_by, sun.name());
    let target = format!("apv/{}", approval.metadata.name.as_deref().unwrap());
    let more = ["-n", office.place.as_str()];
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "1"}});
    let decided = sun.try_patch(&target, &more, &yes).await.unwrap();
    decided.refused("rule A06:").unwrap();
    stage.approve(User::QIAN, &approval).await.unwrap();
    office
        .contribution("servers", "the credit", is_credited)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_appraisal_exchanged_before_the_decision_is_another_question_to_finance() {
    let office = open("exchange", "粮食局").await;
    let (stage, serial) = (office.stage, "SN-H13-0001");
    let uid = offer(&office, "servers", serial).await;
    prove(&office, "servers", &uid, serial).await;
    let place = Some(office.place.as_str());
    let first = stage.inbox(CREDIT, "servers", 1, place).await.unwrap();
    let granted = |asked: &Approval| asked.spec.grants.as_ref().unwrap().amount.to_string();
    assert_eq!(granted(&first), "20000.00");

    let of = Contributed {
        code: &office.code,
        name: "servers",
        uid: &uid,
    };
    file(&office, of, "servers-2", (serial, "30000.00")).await;
    let sun = stage.user(User::SUN).await.unwrap();
    let name = first.metadata.name.clone().unwrap();
    let anew = stage.see("finance asked anew", LONG, async || {
        let found = sun.get::<Approval>(place, &name).await?;
        if found.metadata.uid == first.metadata.uid {
            Err(format!("still {}", found.spec.title.as_str()))
        } else {
            Ok(found)
        }
    });
    let anew = anew.await.unwrap();
    assert_eq!(granted(&anew), "30000.00");
    let mut evidence = anew.spec.evidence.iter().map(|proof| &*proof.name);
    assert!(evidence.any(|name| name == "servers-2"), "{anew:?}");
    assert_eq!(anew.spec.decision, None);

    // whoever has read the first question does not answer the second one by it
    let yes = json!({
        "metadata": {"uid": first.metadata.uid},
        "spec": {"decision": "Approved", "orderNo": "1"},
    });
    let more = ["-n", office.place.as_str()];
    let late = sun.try_patch(&format!("apv/{name}"), &more, &yes).await;
    let late = late.unwrap();
    assert!(!late.is_ok(), "{late:?}");
    let found = credited(&office, "servers").await;
    assert_eq!(amounts(found), ["30000.00", "0.00", "30000.00"]);
}

#[tokio::test]
async fn an_appraisal_exchanged_after_the_decision_is_credited_with_neither_value_h13() {
    let office = open("late-value", "林业局").await;
    let (stage, serial) = (office.stage, "SN-H13-0002");
    let uid = offer(&office, "servers", serial).await;
    prove(&office, "servers", &uid, serial).await;
    let place = Some(office.place.as_str());
    let approval = stage.inbox(CREDIT, "servers", 1, place).await.unwrap();
    let of = Contributed {
        code: &office.code,
        name: "servers",
        uid: &uid,
    };
    {
        // both before the operator can do anything about the first
        let mut operator = stage.operator.lock().await;
        operator.kill();
        stage.approve(User::SUN, &approval).await.unwrap();
        file(&office, of, "servers-2", (serial, "30000.00")).await;
        operator.restart().await.unwrap();
    }
    let message = office.finding("servers", "H13").await.unwrap();
    let told = "the appraisal and the amount or the terms changed after finance's approval";
    assert!(message.starts_with(told), "{message}");
    let what = "a contribution that is refused without a credit";
    let refused = |found: &HardwareContribution| is_in(found, ContributionPhase::Refused);
    let found = office.contribution("servers", what, refused).await.unwrap();
    assert_eq!(found.status.unwrap().credit, None);

    // what it says to do is what helps: taken back before any credit, the device is free
    withdraw(&office, "servers").await;
    let uid = offer(&office, "again", serial).await;
    hand_over(&office, "again", &uid, serial).await;
    let found = credited(&office, "again").await;
    assert_eq!(amounts(found), ["20000.00", "0.00", "20000.00"]);
}

#[tokio::test]
async fn an_appraisal_after_the_credit_changes_nothing_of_it() {
    let office = open("afterwards", "供销社").await;
    let (stage, serial) = (office.stage, "SN-H13-0003");
    let uid = offer(&office, "servers", serial).await;
    prove(&office, "servers", &uid, serial).await;
    credited(&office, "servers").await;
    let of = Contributed {
        code: &office.code,
        name: "servers",
        uid: &uid,
    };
    file(&office, of, "servers-2", (serial, "30000.00")).await;
    // a later word of the department, so that its answer is one to both
    withdraw(&office, "servers").await;
    let gone = |found: &HardwareContribution| is_in(found, ContributionPhase::Withdrawn);
    let what = "a contribution that was taken back";
    let found = office.contribution("servers", what, gone).await.unwrap();
    assert_eq!(amounts(found), ["20000.00", "0.00", "0.00"]);
    let path = stage.operator.lock().await.ledger().to_owned();
    let store = Store::open_read_only(&path).await.unwrap();
    let lots = store.documents::<LotDoc>(Some(&office.code), None).await;
    let amounts: Vec<String> = lots
        .unwrap()
        .iter()
        .map(|lot| lot.value.lot.amount.to_string())
        .collect();
    assert_eq!(amounts, ["20000.00"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_credit_taken_back_unused_leaves_its_device_to_whoever_offers_it_h01() {
    let (first, second) = (
        open("return-a", "农业农村局").await,
        open("return-b", "退役军人局").await,
    );
    let (stage, serial) = (first.stage, "SN-H01-0003");
    let uid = offer(&first, "servers", serial).await;
    prove(&first, "servers", &uid, serial).await;
    credited(&first, "servers").await;
    let uid = offer(&second, "servers", serial).await;
    second.finding("servers", "H01").await.unwrap();

    withdraw(&first, "servers").await;
    let gone = |found: &HardwareContribution| is_in(found, ContributionPhase::Withdrawn);
    let what = "a contribution that was taken back";
    let found = first.contribution("servers", what, gone).await.unwrap();
    assert_eq!(amounts(found), ["20000.00", "0.00", "0.00"]);
    // it has waited for nothing else
    let free = |found: &HardwareContribution| {
        let status = found.status.as_ref();
        status.is_some_and(|status| status.findings.is_empty())
            && is_in(found, ContributionPhase::Offered)
    };
    let what = "an offer that is refused no more";
    second.contribution("servers", what, free).await.unwrap();
    hand_over(&second, "servers", &uid, serial).await;
    let found = credited(&second, "servers").await;
    assert_eq!(amounts(found), ["20000.00", "0.00", "20000.00"]);
    claimed_twice_and_freed_once(stage).await;
}

/// The ledger has both claims of the device with the end of the first between them, and verifies.
async fn claimed_twice_and_freed_once(stage: &Stage) {
    let folder = stage.rig.scratch("claims").unwrap();
    let copy = stage.operator.lock().await.copy_ledger(&folder).unwrap();
    let store = Store::open_read_only(&copy).await.unwrap();
    let claims = store.documents::<SerialDoc>(None, None).await.unwrap();
    let ends = store.documents::<SerialFreedDoc>(None, None).await.unwrap();
    let by_row: Vec<(u64, u32, &str)> = claims
        .iter()
        .filter(|claim| claim.value.serial == "SNH010003")
        .map(|claim| (claim.seq, claim.value.number, &*claim.value.contribution))
        .collect();
    let [
        (first, 1, "return-a/servers"),
        (second, 2, "return-b/servers"),
    ] = by_row[..]
    else {
        panic!("{by_row:?}")
    };
    let ends: Vec<_> = ends
        .iter()
        .filter(|end| end.value.serial == "SNH010003")
        .collect();
    assert_eq!(ends.len(), 1);
    assert!(first < ends[0].seq && ends[0].seq < second, "{ends:?}");
    assert_eq!(ends[0].value.freed_by, "zhang@return-a");
    store.close().await.unwrap();

    let auditor = stage.user(User::Auditor).await.unwrap();
    let copy = copy.display().to_string();
    let whole = ["verify", "--db", &copy, "-o", "json"];
    let report = auditor.leasehold(&whole).await.unwrap();
    let report: Report = report.ok().unwrap().json().unwrap();
    assert_eq!(report.finding, None);
}

#[tokio::test]
async fn a_credit_of_which_some_was_used_is_not_taken_back_and_keeps_its_device_h08_h01() {
    let (first, second) = (
        open("used-a", "住建局").await,
        open("used-b", "城管局").await,
    );
    let (stage, serial) = (first.stage, "SN-H08-0001");
    let manifest = first.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    first.lease(&manifest).await.unwrap();
    let uid = offer(&first, "servers", serial).await;
    prove(&first, "servers", &uid, serial).await;
    credited(&first, "servers").await;
    let used = stage.see("a credit of which some was used", PERIODS, async || {
        let found = first
            .staff
            .get::<HardwareContribution>(Some(&first.place), "servers");
        let found = found.await?;
        let credit = found
            .status
            .as_ref()
            .and_then(|status| status.credit.as_ref());
        match credit {
            Some(credit) if credit.applied != "0.00" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    used.await.unwrap();

    withdraw(&first, "servers").await;
    let message = first.finding("servers", "H08").await.unwrap();
    assert!(
        message.contains("of 20000.00 is left and stays usable"),
        "{message}"
    );
    let still = first.contribution("servers", "the credit", is_credited);
    still.await.unwrap();
    offer(&second, "servers", serial).await;
    let message = second.finding("servers", "H01").await.unwrap();
    assert!(
        message.contains("for ever once its credit was used"),
        "{message}"
    );
}
