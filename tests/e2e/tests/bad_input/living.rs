//! What the API server lets through is really sent, and a neighbour leases meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_api::tenancy::Phase;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_testkit::User;
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use crate::answers::{Answered, asked, settle};
use crate::cases::Case;
use crate::leaves;
use crate::wire::{Answer, People, Stored, Wire};

/// Kinds that people write and the operator judges.
const JUDGED: [&str; 8] = [
    "Suspension",
    "Department",
    "InformationSystem",
    "Tenancy",
    "HardwareContribution",
    "PriceBook",
    "Appraisal",
    "HandoverReceipt",
];
/// Of them, those that carry the answer themselves; the contribution answers for its proofs.
const ANSWERED: [&str; 6] = [
    "Suspension",
    "Department",
    "InformationSystem",
    "Tenancy",
    "HardwareContribution",
    "PriceBook",
];
/// Kinds of which a department deletes its own.
const DELETED: [&str; 3] = ["Tenancy", "InformationSystem", "HardwareContribution"];
/// Cases sent in one go while the neighbour leases.
const HANDFUL: usize = 8;

/// Gives a case a name of its own and what else must not meet: serial numbers, a contribution.
fn distinct(case: &Case, number: usize, contribution: &Value) -> Case {
    let mut case = case.clone();
    if case.place != "metadata.name" {
        case.manifest["metadata"]["name"] = json!(format!("bad-{number}"));
    }
    let serial = case.manifest.pointer_mut("/spec/devices/0/serial");
    if case.kind == "HardwareContribution"
        && case.place != "spec.devices[].serial"
        && let Some(serial) = serial
    {
        *serial = json!(format!("SN-BAD-{number}"));
    }
    let uid = case.manifest.pointer_mut("/spec/contribution/uid");
    if case.place != "spec.contribution.uid"
        && let Some(uid) = uid
    {
        *uid = contribution.clone();
    }
    case
}

/// The cases of the judged kinds: those that are let through, and those that are not.
async fn parted(office: &Office, contribution: &str) -> (Vec<Case>, Vec<Case>) {
    let kinds = leaves::kinds();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (number, Answered { case, refusal }) in asked().await.iter().enumerate() {
        if !JUDGED.contains(&case.kind.as_str()) {
            continue;
        }
        let mut case = distinct(case, number, &json!(contribution));
        let kind = &kinds[&case.kind];
        settle(&mut case, kind, &office.place);
        match refusal {
            None => good.push(case),
            Some(_) => bad.push(case),
        }
    }
    (good, bad)
}

/// Sends cases that were let through when they were asked: they are again.
async fn store(wire: &Wire<'_>, cases: &[Case]) {
    for (case, answer) in wire.send(cases, Stored::Really).await {
        assert!(
            matches!(answer, Answer::Accepted),
            "{}: {answer:?}",
            case.title()
        );
    }
}

/// Sends the rest, and refused ones over and over, until the neighbour has its lease.
async fn go_on(wire: &Wire<'_>, rest: &[Case], refused: &[Case], enough: &AtomicBool) {
    let mut handfuls = rest.chunks(HANDFUL);
    let mut again = refused.chunks(HANDFUL).cycle();
    while !enough.load(Ordering::Relaxed) {
        if let Some(handful) = handfuls.next() {
            store(wire, handful).await;
        } else if let Some(handful) = again.next() {
            wire.send(handful, Stored::Really).await;
        }
    }
    for handful in handfuls {
        store(wire, handful).await;
    }
}

/// Waits until everything that was stored has been looked at as it stands, and says something.
async fn await_answers(stage: &Stage, wire: &Wire<'_>, stored: &[Case]) {
    let looking = stage.see("an answer to every bad object", PERIODS, async || {
        let mut silent = Vec::new();
        for kind in ANSWERED {
            let found: BTreeMap<String, Value> = wire
                .list(kind)
                .await?
                .into_iter()
                .map(|object| (name_of(&object), object))
                .collect();
            for case in stored.iter().filter(|case| case.kind == kind) {
                let object = found.get(&name_of(&case.manifest));
                if !object.is_some_and(is_answered) {
                    let status = object.map(|object| object["status"].to_string());
                    silent.push(format!("{}: {status:?}", case.title()));
                }
            }
        }
        nobody_is(&silent)
    });
    looking.await.unwrap();
}

/// Names the first of those that say nothing.
pub fn nobody_is(silent: &[String]) -> Result<(), String> {
    if silent.is_empty() {
        return Ok(());
    }
    let shown = &silent[..silent.len().min(15)];
    Err(format!(
        "{} are silent:\n{}",
        silent.len(),
        shown.join("\n")
    ))
}

/// What an object is called.
pub fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Whether the status speaks of the object as it stands, in words.
pub fn is_answered(object: &Value) -> bool {
    let seen = &object["status"]["observedGeneration"];
    let conditions = object["status"]["conditions"].as_array();
    seen.is_number()
        && *seen == object["metadata"]["generation"]
        && conditions.is_some_and(|conditions| {
            !conditions.is_empty()
                && conditions
                    .iter()
                    .all(|condition| condition["message"] != "")
        })
}

/// A refusal names its rule and says what to do.
async fn refusals_are_complete(wire: &Wire<'_>) {
    let mut poor = Vec::new();
    for kind in ["Tenancy", "HardwareContribution"] {
        for object in wire.list(kind).await.unwrap() {
            for condition in object["status"]["conditions"].as_array().unwrap() {
                let message = condition["message"].as_str().unwrap();
                let refused = condition["type"] == "Refused" && condition["status"] == "True";
                if refused && !(message.contains("rule ") && message.contains("; ")) {
                    poor.push(format!("{kind} {}: {message}", name_of(&object)));
                }
            }
        }
    }
    assert!(poor.is_empty(), "{}", poor.join("\n"));
}

/// The operator that was there before, in good health.
pub async fn unharmed(stage: &Stage, before: u32) {
    let operator = stage.operator.lock().await;
    assert_eq!(operator.id(), before, "the operator was started anew");
    operator.fetch("/readyz").await.unwrap();
    let log = fs::read_to_string(operator.log()).unwrap();
    let panicked: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("panicked"))
        .collect();
    assert!(panicked.is_empty(), "{panicked:#?}");
    for reason in ["InvalidObject", "Timeout", "NotUnderstood"] {
        let labels = format!("reason=\"{reason}\"");
        let counted = operator.counted("leasehold_reconcile_total", &labels).await;
        assert_eq!(counted.unwrap(), 0, "reconciles that ended with {reason}");
    }
}

#[tokio::test]
async fn bad_objects_are_answered_and_a_neighbour_leases_while_they_come() {
    let stage = Stage::shared().await.unwrap();
    let before = stage.operator.lock().await.id();
    let office = stage.office("bad-living", "地方志办").await.unwrap();
    let neighbour = stage.office("good-neighbour", "气象局").await.unwrap();
    office.system().await.unwrap();
    let servers = manifests::contribution("bad-living", "bad-servers", &["SN-BAD-SERVERS"]);
    let contribution = office.offer(&servers).await.unwrap();
    let kinds = leaves::kinds();
    let wire = Wire {
        people: People::around(&office).await,
        place: &office.place,
        kinds: &kinds,
    };
    let (accepted, refused) = parted(&office, &contribution).await;
    // enough to keep the operator busy, few enough for the API server's database
    assert!(
        (100..800).contains(&accepted.len()),
        "{} accepted",
        accepted.len()
    );
    let (first, rest) = accepted.split_at(accepted.len() / 2);
    store(&wire, first).await;

    let lease = [("vcpu-x86", "4"), ("memory", "8Gi")];
    let good = neighbour
        .manifest("oa", &lease, &[("prod", &lease)])
        .unwrap();
    let enough = AtomicBool::new(false);
    let leasing = async {
        let leased = neighbour.lease(&good).await;
        enough.store(true, Ordering::Relaxed);
        leased
    };
    let (leased, ()) = tokio::join!(leasing, go_on(&wire, rest, &refused, &enough));
    assert_eq!(leased.unwrap().status.unwrap().phase, Phase::Active);

    await_answers(stage, &wire, &accepted).await;
    refusals_are_complete(&wire).await;
    unharmed(stage, before).await;
    for case in accepted
        .iter()
        .filter(|case| DELETED.contains(&case.kind.as_str()))
    {
        let name = name_of(&case.manifest);
        wire.delete(&case.kind, &name).await.unwrap();
    }
    let auditor = stage.user(User::Auditor).await.unwrap();
    let tenancies = ["get", "tenancies", "-n", &office.place, "-o", "name"];
    let left = auditor.kubectl(&tenancies, "").await.unwrap().ok().unwrap();
    assert_eq!(left.stdout, "");
    unharmed(stage, before).await;
}
