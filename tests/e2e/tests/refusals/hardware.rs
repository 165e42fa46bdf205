//! Hardware that earns no credit, or not twice.

use leasehold_api::charging::SubjectOfDecision;
use leasehold_api::tenancy::{ContributionPhase, HardwareContribution};
use leasehold_e2e::Office;
use leasehold_ledger::journal::EntryKind;
use leasehold_store::Store;
use leasehold_testkit::User;
use leasehold_testkit::manifests::{self, Contributed};
use serde_json::{Value, json};

use crate::openings::{nobody_was_asked, open};

/// What finance decides on.
pub const CREDIT: SubjectOfDecision = SubjectOfDecision::HardwareContribution;

/// Appraises and receives one server, whose node joins today.
pub async fn prove(office: &Office, name: &str, uid: &str, serial: &str) {
    let admin = office.stage.user(User::Admin).await.unwrap();
    let machine = manifests::node(&node_of(serial), serial, &format!("uuid-{serial}"));
    admin.create(&machine).await.unwrap();
    hand_over(office, name, uid, serial).await;
}

/// The node that a server becomes.
pub fn node_of(serial: &str) -> String {
    format!("node-{}", serial.to_lowercase())
}

/// Appraises and receives one server, whose node is there.
pub async fn hand_over(office: &Office, name: &str, uid: &str, serial: &str) {
    let of = Contributed {
        code: &office.code,
        name,
        uid,
    };
    appraise(office, of, serial).await;
    receive(office, of, name, (serial, &node_of(serial))).await;
}

/// Receives one server under a name for the receipt.
pub async fn receive(office: &Office, of: Contributed<'_>, name: &str, server: (&str, &str)) {
    let receipt = manifests::receipt(of, name, &[server]).unwrap();
    office
        .stage
        .user(User::DataCentre)
        .await
        .unwrap()
        .apply(&receipt)
        .await
        .unwrap();
}

/// Values one server at 20000.00.
pub async fn appraise(office: &Office, of: Contributed<'_>, serial: &str) {
    let name = format!("{}-1", of.name);
    file(office, of, &name, (serial, "20000.00")).await;
}

/// Files an appraisal of one server under a name.
pub async fn file(office: &Office, of: Contributed<'_>, name: &str, value: (&str, &str)) {
    let appraisal = manifests::appraisal(of, name, &[value]).unwrap();
    office
        .stage
        .user(User::Appraiser)
        .await
        .unwrap()
        .create(&appraisal)
        .await
        .unwrap();
}

/// Whether the credit is granted.
pub fn is_credited(found: &HardwareContribution) -> bool {
    found
        .status
        .as_ref()
        .is_some_and(|status| status.phase == ContributionPhase::Credited)
}

/// What the conditions say.
pub fn conditions(found: &HardwareContribution) -> String {
    let conditions = found.status.iter().flat_map(|status| &status.conditions);
    conditions
        .map(|condition| condition.message.clone())
        .collect::<Vec<_>>()
        .join("; ")
}

/// A contribution whose first device has other values in some fields.
pub fn offer_with(code: &str, name: &str, serial: &str, device: &Value) -> Value {
    let mut manifest = manifests::contribution(code, name, &[serial]);
    for (field, value) in device.as_object().unwrap() {
        manifest["spec"]["devices"][0][field] = value.clone();
    }
    manifest
}

#[tokio::test]
async fn a_serial_that_backs_a_credit_backs_no_other_anywhere_h01() {
    let first = open("serial-a", "公安局").await;
    let second = open("serial-b", "司法局").await;
    let offer = manifests::contribution("serial-a", "servers", &["SN-H01-0001"]);
    let uid = first.offer(&offer).await.unwrap();
    prove(&first, "servers", &uid, "SN-H01-0001").await;
    first
        .stage
        .decide(User::SUN, CREDIT, "servers", &first.place)
        .await
        .unwrap();
    first
        .contribution("servers", "the credit", is_credited)
        .await
        .unwrap();
    // look-alike characters, case and dashes do not make another serial
    let again = manifests::contribution("serial-b", "same", &["sn h01 ooo1"]);
    second.offer(&again).await.unwrap();
    let message = second.finding("same", "H01").await.unwrap();
    // whose it is, is nobody else's business
    assert!(message.contains("another department"), "{message}");
    assert!(!message.contains("serial-a"), "{message}");
}

#[tokio::test]
async fn two_live_offers_of_one_serial_both_wait_and_being_first_wins_nothing_h01() {
    let (first, second) = (
        open("contest-a", "民政局").await,
        open("contest-b", "水利局").await,
    );
    for office in [&first, &second] {
        let offer = manifests::contribution(&office.code, "servers", &["SN-H01-0002"]);
        office.offer(&offer).await.unwrap();
    }
    for office in [&first, &second] {
        let what = "an offer that waits because its serial is contested";
        let contested =
            |found: &HardwareContribution| conditions(found).contains("SerialContested");
        office
            .contribution("servers", what, contested)
            .await
            .unwrap();
    }
    let withdrawn = json!({"spec": {"withdrawn": true}});
    let more = ["-n", second.place.as_str()];
    second
        .staff
        .try_patch("hwc/servers", &more, &withdrawn)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let free = |found: &HardwareContribution| {
        found.status.is_some() && !conditions(found).contains("SerialContested")
    };
    first
        .contribution("servers", "an offer that is free again", free)
        .await
        .unwrap();
}

#[tokio::test]
async fn only_the_accredited_agency_files_an_appraisal_and_it_cannot_change_h30_h22() {
    let office = open("appraise", "文旅局").await;
    let offer = manifests::contribution("appraise", "servers", &["SN-H30-0001"]);
    let uid = office.offer(&offer).await.unwrap();
    let of = Contributed {
        code: "appraise",
        name: "servers",
        uid: &uid,
    };
    let appraisal = manifests::appraisal(of, "servers-0", &[("SN-H30-0001", "9.00")]).unwrap();
    let stranger = office.stage.user(User::StrangeAppraiser).await.unwrap();
    stranger
        .try_create(&appraisal)
        .await
        .unwrap()
        .refused("rule H30:")
        .unwrap();
    office
        .staff
        .try_create(&appraisal)
        .await
        .unwrap()
        .refused("forbidden")
        .unwrap();
    prove(&office, "servers", &uid, "SN-H30-0001").await;
    office
        .stage
        .decide(User::SUN, CREDIT, "servers", &office.place)
        .await
        .unwrap();
    office
        .contribution("servers", "the credit", is_credited)
        .await
        .unwrap();
    let higher = json!({"spec": {"devices": [
        {"serial": "SN-H30-0001", "value": "51000.00", "newnessPercent": "98"},
    ]}});
    let admin = office.stage.user(User::Admin).await.unwrap();
    let more = ["-n", office.place.as_str()];
    let changed = admin
        .try_patch("aps/servers-1", &more, &higher)
        .await
        .unwrap();
    changed.refused("rule H22:").unwrap();
}

#[tokio::test]
async fn a_device_bought_outside_of_the_window_is_refused_by_its_dates_h02() {
    // the policy's reference date is 2026-09-01 and the greatest age 36 months
    let office = open("dates", "档案馆").await;
    let cases = [
        ("too-new", "SN-H02-0001", "2026-09-02", "2026-09-03"),
        ("too-old", "SN-H02-0002", "2023-08-31", "2023-09-05"),
    ];
    for (name, serial, invoiced, accepted) in cases {
        let dates = json!({"invoiceDate": invoiced, "acceptedOn": accepted});
        office
            .offer(&offer_with("dates", name, serial, &dates))
            .await
            .unwrap();
        let message = office.finding(name, "H02").await.unwrap();
        assert!(message.contains(invoiced), "{message}");
    }
    let edge = json!({"invoiceDate": "2023-09-01", "acceptedOn": "2026-09-01"});
    office
        .offer(&offer_with("dates", "edge", "SN-H02-0003", &edge))
        .await
        .unwrap();
    let what = "an offer on both edges that only waits for its proofs";
    let waits = |found: &HardwareContribution| {
        found.status.as_ref().is_some_and(|status| {
            status.phase == ContributionPhase::Offered && status.findings.is_empty()
        }) && !conditions(found).is_empty()
    };
    office.contribution("edge", what, waits).await.unwrap();
    let backwards = json!({"invoiceDate": "2024-03-06", "acceptedOn": "2024-03-05"});
    let backwards = offer_with("dates", "backwards", "SN-H02-0004", &backwards);
    office
        .staff
        .try_create(&backwards)
        .await
        .unwrap()
        .refused("rule H02:")
        .unwrap();
}

#[tokio::test]
async fn a_maker_that_is_not_listed_and_a_value_above_the_price_are_refused_h25_h03() {
    let office = open("makers", "农业局").await;
    let unknown = json!({"maker": "garage"});
    office
        .offer(&offer_with("makers", "unknown", "SN-H25-0001", &unknown))
        .await
        .unwrap();
    let message = office.finding("unknown", "H25").await.unwrap();
    assert!(message.contains("huawei"), "{message}");
    let cheap = json!({"originalPrice": "19999.99"});
    let cheap = offer_with("makers", "cheap", "SN-H03-0001", &cheap);
    let uid = office.offer(&cheap).await.unwrap();
    let of = Contributed {
        code: "makers",
        name: "cheap",
        uid: &uid,
    };
    appraise(&office, of, "SN-H03-0001").await;
    let message = office.finding("cheap", "H03").await.unwrap();
    assert!(
        message.contains("20000.00") && message.contains("19999.99"),
        "{message}"
    );
}

#[tokio::test]
async fn without_a_receipt_that_names_the_right_node_nobody_is_asked_h06_h24() {
    let office = open("receipts", "交通局").await;
    let offer = manifests::contribution("receipts", "servers", &["SN-H24-0001"]);
    let uid = office.offer(&offer).await.unwrap();
    let of = Contributed {
        code: "receipts",
        name: "servers",
        uid: &uid,
    };
    appraise(&office, of, "SN-H24-0001").await;
    let what = "an appraised offer that waits for its receipt";
    let waits = |found: &HardwareContribution| conditions(found).contains("receipt");
    office.contribution("servers", what, waits).await.unwrap();

    let stage = office.stage;
    let admin = stage.user(User::Admin).await.unwrap();
    let other = manifests::node("node-of-another", "SN-OF-ANOTHER", "uuid-of-another");
    admin.create(&other).await.unwrap();
    let datacentre = stage.user(User::DataCentre).await.unwrap();
    let mut early = manifests::receipt(of, "early", &[("SN-H24-0001", "node-of-another")]).unwrap();
    early["spec"]["arrivedOn"] = json!("2026-01-01");
    datacentre.apply(&early).await.unwrap();
    office.finding("servers", "H06").await.unwrap();
    let wrong = manifests::receipt(of, "wrong", &[("SN-H24-0001", "node-of-another")]).unwrap();
    datacentre.apply(&wrong).await.unwrap();
    office.finding("servers", "H24").await.unwrap();
    nobody_was_asked(&office).await;
}

#[tokio::test]
async fn an_operator_killed_around_the_approval_grants_the_credit_once() {
    let office = open("retry", "教育局").await;
    let offer = manifests::contribution("retry", "servers", &["SN-RETRY-01"]);
    let uid = office.offer(&offer).await.unwrap();
    prove(&office, "servers", &uid, "SN-RETRY-01").await;
    let stage = office.stage;
    let approval = stage
        .inbox(CREDIT, "servers", 1, Some(&office.place))
        .await
        .unwrap();
    {
        let mut operator = stage.operator.lock().await;
        stage.approve(User::SUN, &approval).await.unwrap();
        // before, while or after it wrote: whatever it was doing, it is done again
        operator.kill();
        operator.restart().await.unwrap();
        operator.kill();
        operator.restart().await.unwrap();
    }
    let found = office
        .contribution("servers", "the credit", is_credited)
        .await
        .unwrap();
    assert_eq!(found.status.unwrap().credit.unwrap().granted, "20000.00");
    let path = stage.operator.lock().await.ledger().to_owned();
    let store = Store::open_read_only(&path).await.unwrap();
    let entries = store.entries(None).await.unwrap();
    let grants = entries
        .iter()
        .filter(|entry| entry.value.kind == EntryKind::Grant && entry.value.department == "retry");
    assert_eq!(grants.count(), 1);
    store.close().await.unwrap();
}
