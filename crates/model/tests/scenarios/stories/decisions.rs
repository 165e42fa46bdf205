//! Decisions that are made in the moment in which nobody waits for them any more.

use std::time::Duration;

use leasehold_ledger::document::{Decision, DecisionDoc};
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{OA, OFFICE_OF_EDU, documents, in_phase, leased, manifest, shown},
    tell,
};
use crate::{
    expect::APPROVALS,
    people::{OFFICE, staff},
};

const THROUGH: &str = "2027-12-31";
const SECOND: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-2-office"];
const LATE: &str = "the decision came when nobody waited for it any more";

fn cores(number: &str) -> Value {
    let mut lease = manifest(THROUGH)["spec"]["lease"].clone();
    lease[0]["quantity"] = json!(number);
    json!({"spec": {"lease": lease}})
}

/// Six cores stand, and eight are asked for.
async fn asked(stage: &Stage<'_>) -> Result<(), String> {
    leased(stage, &json!({}), THROUGH).await?;
    stage.patch(&staff("edu"), OA, &cores("8"))?;
    let is_asked = |stage: &Stage<'_>| stage.find(SECOND).is_some();
    stage.until("the question", is_asked).await
}

/// While the operator is away the office approves, and then the department does this.
async fn meanwhile(stage: &Stage<'_>, patch: &Value) -> Result<(), String> {
    asked(stage).await?;
    stage.operator().stop();
    // it begins anew after three seconds
    stage.pass(Duration::from_secs(1)).await;
    stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
    stage.patch(&staff("edu"), OA, patch)?;
    let noted = |stage: &Stage<'_>| !status(stage)["recordedAt"].is_null();
    stage.until("the decision in the ledger", noted).await?;
    let found = decision(stage).map(|found| (found.decision, found.decided_by));
    let expected = Some((Decision::Approved, OFFICE.to_owned()));
    if found != expected {
        return Err(format!("the ledger has {found:?}"));
    }
    Ok(())
}

fn status(stage: &Stage<'_>) -> Value {
    stage.find(SECOND).unwrap_or_default()["status"].clone()
}

/// What the ledger has of the second request's decision.
fn decision(stage: &Stage<'_>) -> Option<DecisionDoc> {
    let rows = stage.rows();
    let row = rows
        .iter()
        .find(|row| row.chain.key == "decision/Tenancy/edu/oa/1/2/office")?;
    serde_json::from_str(&row.body).ok()
}

#[test]
fn what_was_approved_in_the_moment_of_a_withdrawal_is_recorded_and_given_back_by_a_request() {
    tell(async |stage| {
        meanwhile(stage, &cores("6")).await?;
        let third = |stage: &Stage<'_>| shown(stage, "/request/number") == 3;
        stage.until("a request to give it back", third).await?;
        in_phase(stage, "Active").await?;
        let approved = shown(stage, "/approved");
        let cores = approved.as_array().into_iter().flatten();
        let cores: Vec<&Value> = cores.filter(|item| item["item"] == "vcpu-x86").collect();
        assert_eq!(cores, [&json!({"item": "vcpu-x86", "quantity": "6"})]);
        Ok(())
    });
}

#[test]
fn what_was_approved_in_the_moment_in_which_another_request_took_its_place_is_recorded() {
    tell(async |stage| {
        meanwhile(stage, &cores("9")).await?;
        stage.approve(OFFICE_OF_EDU, "oa-3-office").await?;
        in_phase(stage, "Active").await?;
        assert_eq!(documents(stage, "request").len(), 3);
        Ok(())
    });
}

#[test]
fn what_was_approved_in_the_moment_of_a_release_is_recorded() {
    tell(async |stage| {
        meanwhile(stage, &json!({"spec": {"release": {"reason": "系统下线"}}})).await?;
        in_phase(stage, "Reclaiming").await
    });
}

#[test]
fn a_decision_that_comes_after_the_withdrawal_is_told_to_have_come_too_late() {
    tell(async |stage| {
        asked(stage).await?;
        stage.patch(&staff("edu"), OA, &cores("6"))?;
        let said = |stage: &Stage<'_>| {
            let conditions = status(stage)["conditions"].clone();
            let moot = conditions.as_array().into_iter().flatten();
            let mut moot = moot.filter(|found| found["reason"] == "Moot");
            moot.next()
                .map(|found| found["message"].as_str().unwrap_or_default().to_owned())
        };
        stage
            .until("that nobody waits", |stage| said(stage).is_some())
            .await?;
        let yes = json!({"spec": {"decision": "Approved", "orderNo": "黄政办〔2027〕13号"}});
        stage.patch(OFFICE, SECOND, &yes)?;
        stage
            .until("a word about the late decision", |stage| {
                said(stage).is_some_and(|said| said.starts_with(LATE))
            })
            .await?;
        assert_eq!(status(stage)["recordedAt"], Value::Null);
        let recorded = decision(stage).map(|found| found.decision);
        assert_eq!(recorded, Some(Decision::Withdrawn));
        let events = stage.all("events.events.k8s.io");
        let warned = events
            .iter()
            .filter(|event| event["regarding"]["kind"] == "Approval" && event["type"] == "Warning");
        let notes: Vec<&Value> = warned.map(|event| &event["note"]).collect();
        let told = notes.iter().filter_map(|note| note.as_str());
        assert_eq!(told.filter(|note| note.starts_with(LATE)).count(), 1);
        Ok(())
    });
}
