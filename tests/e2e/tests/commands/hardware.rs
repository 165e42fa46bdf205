//! From an offer to the paper on finance's desk, by way of the skeleton that the agency fills in.

use leasehold_api::charging::{DecisionRole, SubjectOfDecision};
use leasehold_api::tenancy::{ContributionPhase, HardwareContribution};
use leasehold_e2e::Office;
use leasehold_testkit::manifests::{self, Contributed};
use leasehold_testkit::{Session, User};
use serde_json::Value;

use crate::openings::{fails, nobody_was_asked, open};

const SERIAL: &str = "SN-SKELETON-1";
const NODE: &str = "node-skeleton-1";

/// The skeleton as a person and as a program gets it: the same object, which cannot be filed as it is.
async fn skeleton(office: &Office, appraiser: &Session) -> Value {
    let words = ["appraise", "servers", "-n", &office.place];
    let ran = appraiser.leasehold(&words).await.unwrap().ok().unwrap();
    let text = ran.stdout;
    let hint = "# Server huawei RH2288, accepted on 2024-03-05, paid 52000.00";
    assert!(text.contains(hint), "{text}");
    let create = ["create", "-f", "-"];
    let ran = appraiser.kubectl(&create, &text).await.unwrap();
    ran.refused("spec.reportNo").unwrap();
    let words = [&words[..], &["-o", "json"]].concat();
    let ran = appraiser.leasehold(&words).await.unwrap().ok().unwrap();
    let object: Value = ran.json().unwrap();
    let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert_eq!(read, std::slice::from_ref(&object));
    object
}

/// Fills in what is blank: the report, its days, who signed, and what the server is worth.
fn filled_in(blank: &Value, of: Contributed<'_>) -> Value {
    let report = manifests::appraisal(of, "servers-1", &[(SERIAL, "20000.00")]).unwrap();
    let mut filled = blank.clone();
    let blanks = [
        "reportNo",
        "report",
        "baseDate",
        "validThrough",
        "signatories",
    ];
    for field in blanks {
        filled["spec"][field] = report["spec"][field].clone();
    }
    for field in ["value", "newnessPercent"] {
        filled["spec"]["devices"][0][field] = report["spec"]["devices"][0][field].clone();
    }
    // everything else was there: which contribution by its uid, the agency, the serial number
    assert_eq!(filled, report);
    filled
}

fn said(found: &HardwareContribution) -> String {
    let conditions = found.status.iter().flat_map(|status| &status.conditions);
    conditions
        .map(|condition| condition.message.clone())
        .collect::<Vec<_>>()
        .join("; ")
}

/// The server joins as a node, and the data centre signs for it.
async fn arrives(office: &Office, of: Contributed<'_>) {
    let admin = office.stage.user(User::Admin).await.unwrap();
    let node = manifests::node(NODE, SERIAL, "uuid-skeleton-1");
    admin.create(&node).await.unwrap();
    let receipt = manifests::receipt(of, "servers", &[(SERIAL, NODE)]).unwrap();
    let datacentre = office.stage.user(User::DataCentre).await.unwrap();
    datacentre.apply(&receipt).await.unwrap();
}

/// Finance has an undecided paper that rests on the appraisal.
async fn finance_is_asked(office: &Office) {
    let kind = SubjectOfDecision::HardwareContribution;
    let place = Some(office.place.as_str());
    let paper = office.stage.inbox(kind, "servers", 1, place).await.unwrap();
    assert_eq!(paper.spec.role, DecisionRole::Finance);
    assert_eq!(&*paper.spec.subject.requested_by, "zhang@skeleton");
    let mut proofs: Vec<(&str, &str)> = paper
        .spec
        .evidence
        .iter()
        .map(|proof| (proof.kind.as_str(), proof.name.as_str()))
        .collect();
    proofs.sort_unstable();
    assert_eq!(
        proofs,
        [("Appraisal", "servers-1"), ("HandoverReceipt", "servers")]
    );
    let grants = paper.spec.grants.unwrap();
    assert_eq!((&*grants.amount, grants.devices), ("20000.00", 1));
    let waits = |found: &HardwareContribution| {
        let phase = found.status.as_ref().map(|status| status.phase);
        phase == Some(ContributionPhase::WaitingForFinance)
    };
    let what = "an offer that waits for finance";
    office.contribution("servers", what, waits).await.unwrap();
}

#[tokio::test]
async fn the_agency_fills_in_the_skeleton_and_finance_is_asked_once_the_server_is_there_h30() {
    let office = open("skeleton", "文旅局").await;
    let offer = manifests::contribution("skeleton", "servers", &[SERIAL]);
    let uid = office.offer(&offer).await.unwrap();
    let of = Contributed {
        code: "skeleton",
        name: "servers",
        uid: &uid,
    };
    let appraiser = office.stage.user(User::Appraiser).await.unwrap();
    let place = office.place.as_str();
    let unknown = ["appraise", "nothing", "-n", place];
    let why = "failed to find contribution nothing in namespace dept-skeleton";
    fails(&appraiser, &unknown, why).await;
    let rows = ["appraise", "servers", "-n", place, "-o", "csv"];
    fails(&appraiser, &rows, "use -o json").await;

    let filled = filled_in(&skeleton(&office, &appraiser).await, of);
    // an appraiser like the other, but of no agency that the policy lists
    let stranger = office.stage.user(User::StrangeAppraiser).await.unwrap();
    let ran = stranger.try_create(&filled).await.unwrap();
    ran.refused("rule H30:").unwrap();
    let ran = office.staff.try_create(&filled).await.unwrap();
    ran.refused("forbidden").unwrap();
    appraiser.create(&filled).await.unwrap();

    let what = "an appraised offer that waits for its receipt";
    let waits = |found: &HardwareContribution| {
        let said = said(found);
        said.contains("a receipt of the devices") && !said.contains("an appraisal by")
    };
    office.contribution("servers", what, waits).await.unwrap();
    nobody_was_asked(&office).await;
    arrives(&office, of).await;
    finance_is_asked(&office).await;
}
