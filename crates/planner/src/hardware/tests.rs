use leasehold_ledger::canonical::digest_bytes;
use serde_json::{Value, json};

use super::*;

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

fn server(serial: &str) -> Value {
    json!({
        "serial": serial, "maker": "huawei", "model": "RH2288", "class": "Server",
        "assetCard": "ZC-0031", "invoice": "04417722", "invoiceDate": "2024-02-20",
        "acceptedOn": "2024-03-05", "originalPrice": "52000.00",
    })
}

fn with(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}

fn offer(name: &str, devices: &[Value]) -> Offer {
    Offer {
        department: "gov-office".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        spec: serde_json::from_value(json!({
            "system": "oa", "agency": "zhongheng", "devices": devices,
        }))
        .unwrap(),
        created: day("2026-08-01"),
        requested_by: "zhang@gov-office".to_owned(),
    }
}

fn proof<S: serde::de::DeserializeOwned>(name: &str, created: i64, spec: Value) -> Proof<S> {
    Proof {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        digest: digest_bytes(name.as_bytes()),
        creator: "li@zhongheng".to_owned(),
        created: Second::new(created),
        spec: serde_json::from_value(spec).unwrap(),
    }
}

fn appraisal_json(values: &[(&str, &str)]) -> Value {
    let devices: Vec<Value> = values
        .iter()
        .map(|(serial, value)| json!({"serial": serial, "value": value, "newnessPercent": "59.7"}))
        .collect();
    json!({
        "contribution": {"name": "lot", "uid": "uid-lot"}, "agency": "zhongheng",
        "reportNo": "ZH-2026-118",
        "report": {"uri": "https://docs.example/ZH-2026-118", "sha256": digest_bytes(b"r")},
        "baseDate": "2026-07-31", "validThrough": "2027-07-30", "method": "ReplacementCost",
        "signatories": ["甲", "乙"], "devices": devices,
    })
}

fn arrived(serial: &str, node: &str) -> Value {
    json!({
        "serial": serial, "assetTag": "DC-7781", "wipe": {"sha256": digest_bytes(b"w")},
        "test": "Passed", "node": node,
    })
}

fn receipt_json(devices: &[Value]) -> Value {
    json!({
        "contribution": {"name": "lot", "uid": "uid-lot"}, "arrivedOn": "2026-08-20",
        "devices": devices,
    })
}

fn node(name: &str, serial: &str) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        created: day("2026-08-21"),
        serial_label: Some(serial.to_owned()),
        system_uuid: Some(format!("UUID-{name}")),
    }
}

/// Everything that one assessment looks at; each test changes one thing.
struct Case {
    offer: Offer,
    others: Vec<Offer>,
    claims: Vec<SerialDoc>,
    appraisals: Vec<Appraisal>,
    receipts: Vec<Receipt>,
    system_known: bool,
    nodes: Vec<NodeFacts>,
    policy: Value,
    today: &'static str,
}

impl Case {
    /// Two servers that hold in every respect.
    fn good() -> Self {
        let values = appraisal_json(&[("2102311XYZ001", "27472.22"), ("2102311XYZ002", "100.00")]);
        let devices = [
            arrived("2102311XYZ001", "n1"),
            arrived("2102311XYZ002", "n2"),
        ];
        Self {
            offer: offer("lot", &[server("2102311XYZ001"), server("2102311XYZ002")]),
            others: Vec::new(),
            claims: Vec::new(),
            appraisals: vec![proof("lot-1", 10, values)],
            receipts: vec![proof("lot-r", 20, receipt_json(&devices))],
            system_known: true,
            nodes: vec![node("n1", "2102311XYZ001"), node("n2", "2102311XYZ002")],
            policy: json!({
                "hardware": {"makers": ["huawei"]},
                "appraisers": [{"agency": "zhongheng", "displayName": "众恒"}],
            }),
            today: "2026-09-01",
        }
    }

    fn devices(mut self, devices: &[Value]) -> Self {
        self.offer = offer("lot", devices);
        self
    }

    fn assess(&self) -> Assessment {
        let context = HardwareContext {
            others: &self.others,
            claims: &self.claims,
            appraisals: &self.appraisals,
            receipts: &self.receipts,
            system_known: self.system_known,
            nodes: &self.nodes,
            policy: &serde_json::from_value(self.policy.clone()).unwrap(),
            today: day(self.today),
        };
        assess(&self.offer, &context).unwrap()
    }

    fn rules(&self) -> Vec<String> {
        self.assess()
            .findings
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }
}

fn claimed(contribution: &str, uid: &str, serial: &str, system_uuid: Option<&str>) -> SerialDoc {
    SerialDoc {
        maker: "huawei".to_owned(),
        serial: serial.to_owned(),
        number: 1,
        contribution: contribution.to_owned(),
        uid: uid.to_owned(),
        system_uuid: system_uuid.map(str::to_owned),
        at: Second::new(0),
    }
}

#[test]
fn devices_that_hold_add_up_to_the_amount_that_finance_decides_on() {
    let found = Case::good().assess();
    assert!(found.ready(), "{found:?}");
    assert_eq!(found.amount, Money::parse("27572.22").unwrap());
    let serials: Vec<&str> = found.accepted.iter().map(|d| d.serial.as_str()).collect();
    assert_eq!(serials, ["2102311XYZ001", "2102311XYZ002"]);
    assert_eq!(found.accepted[0].system_uuid.as_deref(), Some("uuid-n1"));
    let (appraisal, receipt) = found.evidence.unwrap();
    assert_eq!((&*appraisal.kind, &*appraisal.name), ("Appraisal", "lot-1"));
    assert_eq!(
        (&*receipt.kind, &*receipt.uid),
        ("HandoverReceipt", "uid-lot-r")
    );
}

#[test]
fn a_system_and_an_agency_that_nobody_knows_are_waited_for_by_name() {
    let mut case = Case::good();
    case.system_known = false;
    let found = case.assess();
    assert!(!found.ready() && !found.refused, "{found:?}");
    assert!(found.waits[0].contains("InformationSystem oa does not exist yet; "));
    case.system_known = true;
    case.policy["appraisers"] = json!([{"agency": "hengxin", "displayName": "恒信"}]);
    let found = case.assess();
    assert!(!found.ready(), "{found:?}");
    let told = "agency zhongheng is not on the list of the cloud policy, which has: hengxin; ";
    assert!(found.waits[0].contains(told), "{found:?}");
}

#[test]
fn a_serial_that_backs_a_contribution_refuses_the_next_one_even_as_a_look_alike() {
    let mut case = Case::good();
    case.claims = vec![claimed("finance/old", "u", "21O2311XYZ0O1", None)];
    let found = case.assess();
    assert!(found.refused && !found.ready());
    assert_eq!(case.rules(), ["H01"]);
    // the own claim, made at the receipt, is no obstacle; that of an earlier object is
    case.claims = vec![claimed("gov-office/lot", "uid-lot", "2102311XYZ001", None)];
    assert!(case.assess().ready());
    case.claims = vec![claimed(
        "gov-office/lot",
        "uid-before",
        "2102311XYZ001",
        None,
    )];
    assert!(case.assess().refused);
}

#[test]
fn one_serial_in_two_live_offers_makes_both_wait() {
    let mut case = Case::good();
    let mut rival = offer("rival", &[server("2102311-xyz-002")]);
    case.others = vec![rival.clone(), case.offer.clone()];
    let found = case.assess();
    assert!(!found.refused && !found.ready());
    assert_eq!(
        found.waits,
        [
            "SerialContested: 2102311XYZ002 is also offered by gov-office/rival; one of both must \
             be withdrawn"
        ]
    );
    rival.spec.withdrawn = true;
    case.others = vec![rival];
    assert!(case.assess().ready());
}

#[test]
fn a_serial_twice_in_one_offer_is_refused_in_any_spelling() {
    let case = Case::good().devices(&[server("2102311XYZ001"), server("2102311 xyz-001")]);
    assert!(case.assess().refused);
    assert!(case.rules().contains(&"H01".to_owned()));
    let case = Case::good().devices(&[server("SN#42#")]);
    assert!(case.assess().refused);
}

fn aged(invoice: &str, accepted: &str) -> Vec<String> {
    let device = with(server("2102311XYZ001"), "invoiceDate", json!(invoice));
    let device = with(device, "acceptedOn", json!(accepted));
    let mut case = Case::good().devices(&[device]);
    let values = appraisal_json(&[("2102311XYZ001", "1.00")]);
    case.appraisals = vec![proof(
        "lot-1",
        10,
        with(values, "baseDate", json!("2026-08-20")),
    )];
    case.receipts = vec![proof(
        "lot-r",
        20,
        receipt_json(&[arrived("2102311XYZ001", "n1")]),
    )];
    case.rules()
}

#[test]
fn devices_are_bought_within_three_years_the_boundary_day_included() {
    // offered on 2026-08-01: from 2023-08-01 on
    assert!(aged("2023-08-01", "2023-08-01").is_empty());
    assert_eq!(aged("2023-07-31", "2023-08-01"), ["H02"]);
    assert_eq!(aged("2026-08-01", "2026-08-02"), ["H02"]);
    assert_eq!(aged("2026-02-30", "2026-08-01"), ["H02"]);
    assert_eq!(aged("2025-03-05", "2025-03-04"), ["H02"]);
}

#[test]
fn a_fixed_reference_date_of_the_policy_counts_instead_of_the_offer() {
    let mut case = Case::good();
    case.policy["hardware"]["referenceDate"] = json!("2027-02-20");
    assert!(case.assess().ready());
    case.policy["hardware"]["referenceDate"] = json!("2027-02-21");
    assert_eq!(case.rules(), ["H02", "H02"]);
    assert!(case.assess().refused);
}

#[test]
fn makers_and_classes_are_those_of_the_policy() {
    let mut case = Case::good();
    case.policy["hardware"]["makers"] = json!([]);
    assert_eq!(case.rules(), ["H25", "H25"]);
    let mut case = Case::good();
    case.policy["offset"] = json!({"classes": ["storage"]});
    assert_eq!(case.rules(), ["H25", "H25"]);
}

#[test]
fn without_proofs_a_contribution_waits_and_is_not_refused() {
    let mut case = Case::good();
    case.appraisals.clear();
    case.receipts.clear();
    let found = case.assess();
    assert!(!found.refused && !found.ready() && found.findings.is_empty());
    assert_eq!(found.waits.len(), 2);
}

#[test]
fn a_proof_for_an_earlier_object_of_the_same_name_does_not_count() {
    let mut case = Case::good();
    case.offer.uid = "uid-again".to_owned();
    assert_eq!(case.assess().waits.len(), 2);
}

fn appraised(change: impl Fn(Value) -> Value) -> (Vec<String>, bool) {
    let mut case = Case::good();
    let values = appraisal_json(&[("2102311XYZ001", "27472.22"), ("2102311XYZ002", "100.00")]);
    case.appraisals = vec![proof("lot-1", 10, change(values))];
    let found = case.assess();
    assert!(!found.ready());
    (
        found.findings.into_iter().map(|f| f.rule).collect(),
        found.refused,
    )
}

#[test]
fn an_appraisal_that_does_not_hold_is_left_aside_and_another_one_is_waited_for() {
    for (field, to, rule) in [
        ("agency", json!("other"), "H05"),
        ("validThrough", json!("2026-08-31"), "H04"),
        ("baseDate", json!("2026-09-02"), "H04"),
        ("baseDate", json!("2024-02-19"), "H04"),
        ("baseDate", json!("2026-02-30"), "H04"),
    ] {
        let (rules, refused) = appraised(|values| with(values, field, to.clone()));
        assert!(
            rules.iter().all(|found| found == rule) && !rules.is_empty(),
            "{field} {rules:?}"
        );
        assert!(!refused);
    }
    let dearer = appraised(|mut values| {
        values["devices"][0]["value"] = json!("52000.01");
        values
    });
    assert_eq!(dearer, (vec!["H03".to_owned()], false));
    let stranger = appraised(|mut values| {
        values["devices"][0]["serial"] = json!("9999XYZ");
        values
    });
    assert_eq!(stranger, (vec!["H07".to_owned()], false));
}

#[test]
fn an_agency_that_lost_its_accreditation_does_not_count() {
    let mut case = Case::good();
    case.policy["appraisers"] = json!([]);
    assert_eq!(case.rules(), ["H05"]);
}

#[test]
fn of_several_appraisals_the_newest_that_holds_counts_and_older_faults_are_forgotten() {
    let mut case = Case::good();
    let better = appraisal_json(&[("2102311XYZ001", "20000.00"), ("2102311XYZ002", "100.00")]);
    case.appraisals.push(proof("lot-2", 30, better));
    let late = with(appraisal_json(&[]), "validThrough", json!("2026-08-31"));
    case.appraisals.push(proof("lot-3", 40, late));
    let found = case.assess();
    assert!(found.ready() && found.findings.is_empty(), "{found:?}");
    assert_eq!(found.amount, Money::parse("20100.00").unwrap());
}

#[test]
fn a_receipt_from_before_the_offer_or_of_strange_devices_does_not_count() {
    let both = [
        arrived("2102311XYZ001", "n1"),
        arrived("2102311XYZ002", "n2"),
    ];
    for receipt in [
        with(receipt_json(&both), "arrivedOn", json!("2026-07-31")),
        with(receipt_json(&both), "arrivedOn", json!("2026-09-02")),
        receipt_json(&[arrived("OTHER-1", "n1")]),
        receipt_json(&[
            arrived("2102311XYZ001", "n1"),
            arrived("21O2311XYZ001", "n2"),
        ]),
    ] {
        let mut case = Case::good();
        case.receipts = vec![proof("lot-r", 20, receipt)];
        let found = case.assess();
        assert!(!found.ready() && !found.refused, "{found:?}");
        assert_eq!(case.rules(), ["H06"]);
    }
}

#[test]
fn a_device_that_did_not_arrive_or_failed_its_test_drops_out() {
    let failed = with(arrived("2102311XYZ002", "n2"), "test", json!("Failed"));
    for (devices, rule) in [
        (vec![arrived("2102311XYZ001", "n1")], "H06"),
        (vec![arrived("2102311XYZ001", "n1"), failed], "H26"),
    ] {
        let mut case = Case::good();
        case.receipts = vec![proof("lot-r", 20, receipt_json(&devices))];
        let found = case.assess();
        assert!(found.ready(), "{found:?}");
        assert_eq!(found.amount, Money::parse("27472.22").unwrap());
        assert_eq!(case.rules(), [rule]);
    }
}

#[test]
fn a_contribution_of_which_nothing_is_left_is_refused() {
    let mut case = Case::good();
    let failed = |serial, node| with(arrived(serial, node), "test", json!("Failed"));
    let devices = [failed("2102311XYZ001", "n1"), failed("2102311XYZ002", "n2")];
    case.receipts = vec![proof("lot-r", 20, receipt_json(&devices))];
    assert!(case.assess().refused);
}

fn second_node(change: impl Fn(&mut NodeFacts)) -> Assessment {
    let mut case = Case::good();
    change(&mut case.nodes[1]);
    case.assess()
}

#[test]
fn a_server_is_proven_by_a_young_node_with_its_serial_and_a_machine_of_its_own() {
    for found in [
        second_node(|node| node.created = day("2026-08-19")),
        second_node(|node| node.serial_label = Some("2102311XYZ001".to_owned())),
        second_node(|node| node.system_uuid = Some("uuid-N1".to_owned())),
    ] {
        assert_eq!(found.findings.len(), 1, "{found:?}");
        assert_eq!(found.findings[0].rule, "H24");
        assert_eq!(found.accepted.len(), 1);
    }
    let mut case = Case::good();
    case.claims = vec![claimed("finance/old", "u", "OTHER1", Some("uuid-N2"))];
    assert_eq!(case.rules(), ["H24"]);
    case.claims = vec![claimed(
        "gov-office/lot",
        "uid-lot",
        "2102311XYZ002",
        Some("UUID-n2"),
    )];
    assert!(case.assess().ready());
}

#[test]
fn a_node_that_has_not_joined_or_is_not_labelled_is_waited_for() {
    let mut case = Case::good();
    case.nodes.pop();
    let found = case.assess();
    assert_eq!(
        found.waits,
        ["node n2 of server 2102311XYZ002, which has not joined"]
    );
    let found = second_node(|node| node.serial_label = None);
    assert!(
        !found.ready() && !found.refused && found.waits.len() == 1,
        "{found:?}"
    );
}

#[test]
fn a_server_without_a_node_drops_out() {
    let mut case = Case::good();
    let no_node = with(arrived("2102311XYZ002", ""), "node", Value::Null);
    let devices = [arrived("2102311XYZ001", "n1"), no_node];
    case.receipts = vec![proof("lot-r", 20, receipt_json(&devices))];
    assert_eq!(case.rules(), ["H24"]);
    assert!(case.assess().ready());
}

#[test]
fn storage_needs_a_test_report_and_a_second_signature() {
    let storage = with(server("2102311XYZ002"), "class", json!("Storage"));
    let report = json!({"uri": "urn:test:1", "sha256": digest_bytes(b"t")});
    let bare = with(arrived("2102311XYZ002", ""), "node", Value::Null);
    let reported = with(bare.clone(), "testReport", report.clone());
    let signed = with(bare, "secondSignature", json!("丙"));
    let complete = with(signed.clone(), "testReport", report);
    for (device, accepted) in [(reported, 1), (signed, 1), (complete, 2)] {
        let mut case = Case::good().devices(&[server("2102311XYZ001"), storage.clone()]);
        let devices = [arrived("2102311XYZ001", "n1"), device];
        case.receipts = vec![proof("lot-r", 20, receipt_json(&devices))];
        let found = case.assess();
        assert_eq!(found.accepted.len(), accepted, "{found:?}");
        assert_eq!(case.rules(), vec!["H26"; 2 - accepted]);
    }
}
