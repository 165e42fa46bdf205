//! The papers of an end: where the data went, the department's word that they may be deleted, and what the whole lease cost.

use leasehold_ledger::{
    document::{BackupWord, ReleaseDoc, ReleaseStage},
    fact::{Fact, FactKind},
};
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{
        DAY, OA, OFFICE_OF_EDU, both, condition, documents, events, history, in_phase, leased,
        manifest, pods, shown,
    },
    tell, tell_metered,
};
use crate::{
    expect::APPROVALS,
    people::{ADMIN, staff},
};

const THROUGH: &str = "2027-12-31";
/// What the quotas let run: eight pods for each core.
const USUAL: [&str; 2] = ["32", "16"];
const QUESTION: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-release-office"];
const PLACES: [[&str; 3]; 2] = [
    ["namespaces", "", "edu--prod"],
    ["namespaces", "", "edu--test"],
];
const JANUARY: [&str; 3] = [
    "statements.charging.leasehold.dev",
    OFFICE_OF_EDU,
    "2027-01",
];

fn wish() -> Value {
    json!({"spec": {"release": {"reason": "系统下线"}}})
}

fn demand(paper: &str) -> Value {
    json!({"spec": {"release": {(paper): "Required"}}})
}

fn releases(stage: &Stage<'_>) -> Vec<ReleaseDoc> {
    let rows = stage.rows();
    let documents = rows
        .iter()
        .filter(|row| row.chain.key.starts_with("release/"));
    documents
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

/// What was told of the volumes' item: what happened, in order.
fn disks(stage: &Stage<'_>) -> Vec<FactKind> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    let facts = facts.map(|row| serde_json::from_str::<Fact>(&row.body).unwrap());
    facts
        .filter(|fact| fact.meter.to_string() == "lease/block-ssd")
        .map(|fact| fact.kind)
        .collect()
}

/// The department asks for the end and says nothing of its data.
async fn incomplete(stage: &Stage<'_>) -> Result<(), String> {
    stage.patch(&staff("edu"), OA, &wish())?;
    stage
        .until("a word about the backup", |stage| {
            shown(stage, "/releaseDecision") == "Incomplete"
        })
        .await?;
    let refused = condition(stage, "Refused").unwrap_or_default();
    assert!(refused.starts_with("rule T48:"), "{refused}");
    assert!(refused.contains("spec.release.backup"), "{refused}");
    Ok(())
}

#[test]
fn a_release_without_the_statement_that_the_policy_requires_has_not_begun() {
    tell(async |stage| {
        leased(stage, &demand("backupStatement"), THROUGH).await?;
        incomplete(stage).await?;
        stage.pass(DAY).await;
        assert_eq!(shown(stage, "/phase"), "Active");
        assert_eq!(shown(stage, "/reclaimingSince"), Value::Null);
        assert_eq!(pods(stage), both(USUAL));
        assert_eq!(documents(stage, "release"), Vec::<String>::new());
        assert!(stage.find(QUESTION).is_none(), "the office was asked");
        // what has not begun is taken back without anybody's word
        let back = json!({"spec": {"release": null}});
        stage.patch(&staff("edu"), OA, &back)?;
        stage
            .until("the lease as before", |stage| {
                condition(stage, "Refused").is_none()
                    && shown(stage, "/releaseDecision") == Value::Null
            })
            .await?;
        assert_eq!(documents(stage, "release"), Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn the_office_decides_on_what_the_department_says_of_its_backup_and_the_ledger_keeps_it() {
    tell(async |stage| {
        leased(stage, &demand("backupStatement"), THROUGH).await?;
        incomplete(stage).await?;
        let digest = format!("sha256:{}", "7".repeat(64));
        let said = json!({"taken": true, "uri": "s3://archive/oa-2027", "sha256": digest});
        let whole = json!({"spec": {"release": {"backup": said}}});
        stage.patch(&staff("edu"), OA, &whole)?;
        stage
            .until("the question", |stage| stage.find(QUESTION).is_some())
            .await?;
        let question = stage.find(QUESTION).unwrap_or_default();
        let snapshot = question["spec"]["snapshot"].as_str().unwrap_or_default();
        let line = format!("taken, at s3://archive/oa-2027, sha256 {digest}\n");
        assert!(snapshot.contains(&line), "{snapshot}");
        // it has begun, and nothing of it changes any more
        let other = json!({"spec": {"release": {"backup": {"uri": "s3://archive/other"}}}});
        stage
            .until("the release", |stage| {
                shown(stage, "/releaseDecision") == "Undecided"
            })
            .await?;
        let refused = stage.patch(&staff("edu"), OA, &other).expect_err("changed");
        assert!(refused.contains("rule T03"), "{refused}");
        stage.approve(OFFICE_OF_EDU, QUESTION[2]).await?;
        in_phase(stage, "Released").await?;
        let backups: Vec<Option<BackupWord>> = releases(stage)
            .into_iter()
            .map(|release| release.backup)
            .collect();
        let kept = BackupWord {
            taken: true,
            uri: Some("s3://archive/oa-2027".to_owned()),
            sha256: Some(digest),
            at: None,
            because: None,
        };
        assert_eq!(backups, [Some(kept), None]);
        Ok(())
    });
}

#[test]
fn a_policy_that_asks_for_no_papers_gets_a_release_as_before_and_keeps_what_is_said_all_the_same() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        let said = json!({"taken": false, "because": "无业务数据"});
        let whole = json!({"spec": {"release": {"reason": "系统下线", "backup": said}}});
        stage.patch(&staff("edu"), OA, &whole)?;
        stage.approve(OFFICE_OF_EDU, QUESTION[2]).await?;
        in_phase(stage, "Released").await?;
        assert_eq!(shown(stage, "/signOff"), Value::Null);
        let found = releases(stage);
        let why = found[0]
            .backup
            .as_ref()
            .and_then(|word| word.because.as_deref());
        assert_eq!(why, Some("无业务数据"));
        let stages: Vec<ReleaseStage> = found.iter().map(|doc| doc.stage).collect();
        assert_eq!(stages, [ReleaseStage::Requested, ReleaseStage::Released]);
        Ok(())
    });
}

/// The grace is over, the office has said yes, and the department has signed nothing.
async fn unsigned(stage: &Stage<'_>) -> Result<(), String> {
    leased(stage, &demand("signOff"), THROUGH).await?;
    stage.patch(&staff("edu"), OA, &wish())?;
    stage.approve(OFFICE_OF_EDU, QUESTION[2]).await?;
    stage
        .until("a word about the sign-off", |stage| {
            condition(stage, "Unsigned").is_some()
        })
        .await
}

fn are_there(stage: &Stage<'_>) -> bool {
    PLACES.into_iter().all(|place| {
        let found = stage.find(place).unwrap_or_default();
        !found.is_null() && found["metadata"]["deletionTimestamp"].is_null()
    })
}

#[test]
fn nothing_is_deleted_before_the_department_signs_however_long_that_takes() {
    tell(async |stage| {
        unsigned(stage).await?;
        let first = condition(stage, "Unsigned").unwrap_or_default();
        let command =
            r#"-n dept-edu --type=merge -p '{"spec":{"signOff":{"release":1,"incarnation":1}}}'"#;
        assert!(first.ends_with(command), "{first}");
        assert!(!first.contains("reminder"), "{first}");
        stage
            .until("a first event", |stage| {
                events(stage, "Unsigned") == ["SignOff"]
            })
            .await?;
        stage.pass(DAY * 30).await;
        stage
            .until("the reminder of four weeks", |stage| {
                condition(stage, "Unsigned").is_some_and(|told| told.contains("(reminder 4)"))
            })
            .await?;
        stage
            .until("an event that reminds", |stage| {
                events(stage, "Unsigned").contains(&"Reminder4".to_owned())
            })
            .await?;
        assert_eq!(shown(stage, "/phase"), "Reclaiming");
        let open = json!({"release": 1, "state": "Open"});
        assert_eq!(shown(stage, "/signOff"), open);
        assert!(are_there(stage));
        assert_eq!(pods(stage), both(["0", "0"]));
        // storage is billed until it is gone, as in every release
        assert_eq!(disks(stage), [FactKind::Opened]);
        Ok(())
    });
}

#[test]
fn what_the_department_signs_is_recorded_with_its_name_and_then_the_namespaces_go() {
    tell(async |stage| {
        unsigned(stage).await?;
        // another release than the one that is asked for
        let wrong = json!({"spec": {"signOff": {"release": 2}}});
        stage.patch(&staff("edu"), OA, &wrong)?;
        stage
            .until("a word about it", |stage| {
                condition(stage, "Refused").is_some_and(|told| told.starts_with("rule T49:"))
            })
            .await?;
        stage.pass(DAY).await;
        assert!(are_there(stage));
        let right = json!({"spec": {"signOff": {"release": 1}}});
        stage.patch(&staff("edu"), OA, &right)?;
        in_phase(stage, "Released").await?;
        assert!(!are_there(stage));
        assert_eq!(condition(stage, "Unsigned"), None);
        assert_eq!(shown(stage, "/signOff/state"), "Signed");
        assert_eq!(shown(stage, "/signOff/by"), json!(staff("edu")));
        assert_eq!(history(stage, "signed off release 1").len(), 1);
        let stages: Vec<(ReleaseStage, String)> = releases(stage)
            .into_iter()
            .map(|doc| (doc.stage, doc.requested_by))
            .collect();
        let by = |stage| (stage, staff("edu"));
        let expected = [
            by(ReleaseStage::Requested),
            by(ReleaseStage::SignedOff),
            by(ReleaseStage::Released),
        ];
        assert_eq!(stages, expected);
        assert_eq!(disks(stage), [FactKind::Opened, FactKind::Closed]);
        Ok(())
    });
}

/// Hundredths of an amount.
fn fen(amount: &Value) -> i64 {
    let text = amount.as_str().unwrap_or_default().replace('.', "");
    text.parse().unwrap()
}

/// The release of the tenancy as it is now, to its end.
async fn ends(stage: &Stage<'_>, question: &str) -> Result<(), String> {
    stage.patch(&staff("edu"), OA, &wish())?;
    stage.approve(OFFICE_OF_EDU, question).await?;
    in_phase(stage, "Released").await
}

#[test]
fn a_released_tenancy_says_what_its_life_cost_once_its_last_period_is_closed() {
    tell_metered(async |stage| {
        let policy = json!({"spec": {"closing": {"autoAfterDays": 1}}});
        leased(stage, &policy, THROUGH).await?;
        stage.pass(DAY * 2).await;
        ends(stage, QUESTION[2]).await?;
        // the name is leased once more, and that is another life
        stage.delete(ADMIN, OA)?;
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        stage.approve(OFFICE_OF_EDU, "oa.i2-1-office").await?;
        in_phase(stage, "Active").await?;
        stage.pass(DAY).await;
        // of which the object vanishes and is made anew
        stage.delete(ADMIN, OA)?;
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        in_phase(stage, "Active").await?;
        ends(stage, "oa.i2-release-office").await?;
        stage
            .until("what the bill waits for", |stage| {
                condition(stage, "Billed").is_some_and(|told| told.contains("period 2027-01"))
            })
            .await?;
        assert_eq!(shown(stage, "/finalBill"), Value::Null);
        // the end of the month and a day lie behind
        stage.pass(DAY * 16).await;
        stage
            .until("the final bill", |stage| {
                !shown(stage, "/finalBill").is_null()
            })
            .await?;
        let statement = stage.find(JANUARY).unwrap_or_default()["spec"].clone();
        assert_eq!(statement["state"], "Final");
        let lines = statement["lines"].as_array().cloned().unwrap_or_default();
        let second = lines.iter().filter(|line| {
            let id = line["id"].as_str().unwrap_or_default();
            id.starts_with("oa.2/")
        });
        let expected: i64 = second.map(|line| fen(&line["net"])).sum();
        // a day of 6 cores, 12 GiB of memory and 14 GiB of volumes: (276.00 + 204.00 + 9.80) / 31 = 15.80
        assert!((1_500..=1_800).contains(&expected), "{expected}");
        let whole = fen(&statement["totals"]["net"]);
        assert!(whole > 2 * expected, "{whole} of both lives");
        let bill = shown(stage, "/finalBill");
        let totals = bill["totals"].as_array().cloned().unwrap_or_default();
        assert_eq!(totals.len(), 1, "{bill}");
        assert_eq!(totals[0]["currency"], "CNY");
        assert_eq!(fen(&totals[0]["net"]), expected);
        assert_eq!(bill["statements"][0]["number"], "HS-2027-01-edu");
        assert_eq!(bill["statements"].as_array().map(Vec::len), Some(1));
        let told = condition(stage, "Billed").unwrap_or_default();
        let net = totals[0]["net"].as_str().unwrap_or_default();
        assert!(told.contains(&format!("{net} CNY to be paid")), "{told}");
        assert_eq!(history(stage, "the final bill").len(), 1);
        stage
            .until("its event", |stage| events(stage, "Billed") == ["Close"])
            .await
    });
}
