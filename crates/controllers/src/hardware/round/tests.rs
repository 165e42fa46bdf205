use leasehold_ledger::{canonical::digest_bytes, money::Money, time::LocalDate};
use serde_json::json;

use super::*;

fn offer(serials: &[&str]) -> Offer {
    let devices: Vec<_> = serials
        .iter()
        .map(|serial| {
            json!({
                "serial": serial, "maker": "huawei", "model": "RH2288", "class": "Server",
                "assetCard": "ZC-0031", "invoice": "04417722", "invoiceDate": "2024-02-20",
                "acceptedOn": "2024-03-05", "originalPrice": "52000.00",
            })
        })
        .collect();
    Offer {
        department: "gov-office".to_owned(),
        name: "servers-2024".to_owned(),
        uid: "u-1".to_owned(),
        spec: serde_json::from_value(
            json!({"system": "oa", "agency": "zhongheng", "devices": devices}),
        )
        .unwrap(),
        created: LocalDate::parse("2026-08-20").unwrap(),
        requested_by: "zhang@gov-office".to_owned(),
    }
}

fn device(serial: &str) -> LotDevice {
    LotDevice {
        maker: "huawei".to_owned(),
        serial: serial.to_owned(),
        value: Money::from_minor(2_747_222),
    }
}

fn answer() -> Approval {
    let digest = |text: &str| digest_bytes(text.as_bytes()).to_string();
    serde_json::from_value(json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": "hwc-servers-2024-finance", "namespace": "dept-gov-office"},
        "spec": {
            "role": "finance",
            "subject": {
                "kind": "HardwareContribution", "name": "servers-2024", "uid": "u-1", "request": 1,
                "digest": digest("offer"), "requestedBy": "zhang@gov-office",
            },
            "title": "27472.22 for 1 devices of servers-2024",
            "snapshot": "…",
            "evidence": [
                {"kind": "Appraisal", "name": "a", "uid": "1", "digest": digest("appraisal")},
                {"kind": "HandoverReceipt", "name": "r", "uid": "2", "digest": digest("receipt")},
            ],
            "grants": {
                "amount": "27472.22", "currency": "CNY", "devices": 1, "classes": ["compute"],
                "periods": 36, "capPercent": 50,
            },
            "decision": "Approved",
            "decidedBy": "sun@finance",
        },
    }))
    .unwrap()
}

#[test]
fn a_credit_belongs_to_the_offer_that_holds_its_devices_however_they_are_spelled() {
    assert!(backs(
        &offer(&["2102-311xyz0O1", "other-1"]),
        &[device("2102311XYZ001")]
    ));
    assert!(!backs(&offer(&["other-1"]), &[device("2102311XYZ001")]));
    let mut foreign = device("2102311XYZ001");
    foreign.maker = "inspur".to_owned();
    assert!(!backs(&offer(&["2102311XYZ001"]), &[foreign]));
}

#[test]
fn what_finance_saw_is_compared_part_by_part() {
    let then = answer().spec;
    let mut now = then.clone();
    now.evidence[0].digest = digest_bytes(b"another appraisal").to_string().into();
    assert_eq!(changed(&now, &then), "the appraisal");
    now.grants.as_mut().unwrap().amount = "1.00".into();
    assert_eq!(
        changed(&now, &then),
        "the appraisal and the amount or the terms"
    );
    let mut now = then.clone();
    now.evidence.pop();
    assert_eq!(changed(&now, &then), "the receipt");
    let mut now = then.clone();
    now.subject.digest = digest_bytes(b"another offer").to_string().into();
    assert_eq!(changed(&now, &then), "what is offered");
}

#[test]
fn a_lot_keeps_the_digests_of_the_proofs_that_finance_saw() {
    let (appraisal, receipt) = digests(&answer()).unwrap();
    assert_eq!(appraisal, digest_bytes(b"appraisal"));
    assert_eq!(receipt, digest_bytes(b"receipt"));
    let mut incomplete = answer();
    incomplete.spec.evidence.pop();
    assert!(digests(&incomplete).is_none());
}

#[test]
fn people_are_told_what_is_missing_and_what_is_wrong_with_what_is_there() {
    let assessment = Assessment {
        waits: vec![
            "a receipt of the devices (rule H06); the data centre writes it".to_owned(),
            "SerialContested: SN01 is also offered by another department".to_owned(),
        ],
        findings: vec![RuleFinding {
            rule: "H04".to_owned(),
            serial: Some("SN01".to_owned()),
            message: "appraisal a holds through 2026-07-30, today is 2026-08-20".to_owned(),
        }],
        ..Assessment::default()
    };
    assert_eq!(
        waits(&assessment),
        [
            "waits for a receipt of the devices (rule H06); the data centre writes it",
            "SerialContested: SN01 is also offered by another department",
            "rule H04: device SN01: appraisal a holds through 2026-07-30, today is 2026-08-20",
        ]
    );
}
