//! Who decides, once, and what a refusal leads to.

use leasehold_api::charging::DecisionSpec;
use leasehold_api::tenancy::Phase;
use leasehold_e2e::Office;
use leasehold_testkit::{Session, User};
use serde_json::{Value, json};

use crate::openings::{ask, fails, open, paper, refusal, request_of};

/// The paper of the first request of the tenancy `oa`.
const PAPER: &str = "oa-1-office";
const REASON: &str = "本年度预算已用完";

async fn chen(office: &Office) -> Session {
    office.stage.user(User::Office).await.unwrap()
}

#[tokio::test]
async fn a_rejection_gives_its_reason_and_the_department_asks_again_by_its_next_attempt_a03() {
    let office = open("reject", "市场监管局").await;
    let asked = ask(&office).await;
    assert_eq!(asked.metadata.name.as_deref(), Some(PAPER));
    let (chen, place) = (chen(&office).await, office.place.as_str());
    let reject = ["reject", PAPER, "-n", place, "--yes"];
    fails(&chen, &reject, "--reason <TEXT>").await;
    let blank = ["reject", PAPER, "-n", place, "--reason", "", "--yes"];
    fails(&chen, &blank, "rule A03:").await;
    assert_eq!(paper(&office, PAPER).await.spec, asked.spec);

    let told = rejected(&office, &chen).await;
    let expected = json!({
        "name": PAPER, "namespace": place, "decision": "Rejected", "decidedBy": "chen@office",
        "orderNo": null, "reason": REASON,
    });
    assert_eq!(told, expected);
    the_department_reads_why(&office).await;

    let again = json!({"spec": {"request": {"attempt": 1}}});
    let more = ["-n", place];
    let ran = office.staff.try_patch("tcy/oa", &more, &again).await;
    ran.unwrap().ok().unwrap();
    let second = office.asked("oa", 2).await.unwrap();
    let snapshot = &second.spec.snapshot;
    assert!(snapshot.contains("Asked again, attempt 1"), "{snapshot}");
    office.stage.approve(User::Office, &second).await.unwrap();
    let active = office.phase("oa", Phase::Active).await.unwrap();
    let request = request_of(&active).unwrap();
    assert_eq!((request.number, request.decision.as_str()), (2, "Approved"));
    assert_eq!(refusal(&active), "");
    // the first paper keeps its answer
    let first = paper(&office, PAPER).await.spec;
    assert_eq!(first.decision, Some(DecisionSpec::Rejected));
}

/// Rejects the first request, and gives what a program reads of it.
async fn rejected(office: &Office, chen: &Session) -> Value {
    let place = office.place.as_str();
    let words = ["reject", PAPER, "-n", place, "--reason", REASON, "--yes"];
    let words = [&words[..], &["-o", "json"]].concat();
    let ran = chen.leasehold(&words).await.unwrap().ok().unwrap();
    ran.json().unwrap()
}

/// The tenancy says who refused it, why, and what to do.
async fn the_department_reads_why(office: &Office) {
    let what = "a tenancy that was rejected";
    let tenancy = office.when("oa", what, |tenancy| !refusal(tenancy).is_empty());
    let tenancy = tenancy.await.unwrap();
    let told = refusal(&tenancy);
    let why = format!("request 1 was rejected by chen@office: {REASON}");
    assert!(told.starts_with(&why), "{told}");
    assert!(told.contains("raise spec.request.attempt"), "{told}");
    let request = request_of(&tenancy).unwrap();
    assert_eq!((request.number, request.decision.as_str()), (1, "Rejected"));
    assert!(request.waiting_for.is_empty(), "{request:?}");
    assert_eq!(tenancy.status.unwrap().phase, Phase::Refused);
}

#[tokio::test]
async fn what_is_decided_is_not_decided_again_a01() {
    let office = open("decided", "退役军人局").await;
    let asked = ask(&office).await;
    office.stage.approve(User::Office, &asked).await.unwrap();
    let decided = paper(&office, PAPER).await.spec;
    assert_eq!(decided.decision, Some(DecisionSpec::Approved));
    assert_eq!(decided.decided_by.as_deref(), Some("chen@office"));

    let (chen, place) = (chen(&office).await, office.place.as_str());
    let reject = ["reject", PAPER, "-n", place, "--reason", "late", "--yes"];
    let approve = ["approve", PAPER, "-n", place, "--order-no", "2", "--yes"];
    let why = "chen@office has decided it already (Approved)";
    for words in [reject, approve] {
        let told = fails(&chen, &words, why).await;
        assert_eq!(told.stdout, "");
    }
    // nor by a patch, past the program
    let no = json!({"spec": {"decision": "Rejected", "reason": "late"}});
    let target = format!("apv/{PAPER}");
    let ran = chen.try_patch(&target, &["-n", place], &no).await;
    ran.unwrap().refused("rule A01:").unwrap();
    assert_eq!(paper(&office, PAPER).await.spec, decided);
    office.phase("oa", Phase::Active).await.unwrap();
}

#[tokio::test]
async fn who_lacks_the_right_decides_nothing_and_reads_which_right_that_is_a05() {
    let office = open("rightless", "工信局").await;
    let asked = ask(&office).await;
    let place = office.place.as_str();
    let people = [
        (
            User::Department("rightless"),
            r#"cannot patch resource "approvals""#,
        ),
        (User::Auditor, r#"cannot patch resource "approvals""#),
        (User::QIAN, "rule A05:"),
        (
            User::Outsider("rightless"),
            r#"cannot get resource "approvals""#,
        ),
    ];
    for (user, why) in people {
        let session = office.stage.user(user).await.unwrap();
        let approve = ["approve", PAPER, "-n", place, "--order-no", "1", "--yes"];
        let reject = ["reject", PAPER, "-n", place, "--reason", "no", "--yes"];
        for words in [approve, reject] {
            let told = fails(&session, &words, why).await;
            assert!(told.stderr.contains("leasehold-office"), "{told:#?}");
        }
    }
    let now = paper(&office, PAPER).await;
    assert_eq!(now.spec, asked.spec);
    // its status says meanwhile by when it is due
    assert_eq!(now.metadata.generation, asked.metadata.generation);
}
