//! Use was not observed for a while: no period closes over that by itself, until finance accepts it.

use std::time::Duration;

use leasehold_ledger::{
    document::{GapAcceptedDoc, GapTreatment},
    fact::{Fact, FactKind},
};
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, oa, tell_metered};
use crate::{
    expect::APPROVALS,
    people::{ADMIN, FINANCE},
    world::NAMESPACE,
};

const JANUARY: [&str; 3] = ["billingperiods.charging.leasehold.dev", "", "2027-01"];
const QUESTION: [&str; 3] = [APPROVALS, NAMESPACE, "gap-2027-01-1-finance"];
/// A pod whose end nobody sees.
const UNSEEN: [&str; 3] = ["pods", "edu--prod", "unseen"];
/// For so long nobody looks before its end, and for so long after it.
const BLINK: Duration = Duration::from_secs(20);

fn period(stage: &Stage<'_>) -> Value {
    stage.find(JANUARY).unwrap_or_default()["status"].clone()
}

/// While the operator is away the API server forgets what happened.
pub(super) async fn forget(stage: &Stage<'_>) -> Result<(), String> {
    stage.operator().stop();
    let filler = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "filler", "namespace": "default"}});
    stage.create(ADMIN, &filler)?;
    stage.server.with_store(|store, _| {
        let newest = store.version();
        store.compact(newest);
    });
    // one of pods and one of claims
    stage
        .until("the gaps", |stage| oa::documents(stage, "gap").len() == 2)
        .await
}

/// The gaps of January as its status lists them, once both are asked about.
async fn asked(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("the question about both", |stage| {
            let told = &period(stage)["gaps"];
            (0..2).all(|place| told[place]["approval"] == QUESTION[2])
        })
        .await?;
    let question = stage.find(QUESTION).unwrap_or_default();
    assert_eq!(question["spec"]["title"], "2 gaps of 2027-01");
    assert_eq!(question["spec"]["role"], "finance");
    Ok(())
}

/// A decision on the question as it stands: it was asked anew if the two gaps were not found at once (rule N14).
fn answer(stage: &Stage<'_>, mut decision: Value) -> Value {
    let question = stage.find(QUESTION).unwrap_or_default();
    let number = &question["spec"]["number"];
    if !number.is_null() {
        decision["answers"] = number.clone();
    }
    json!({ "spec": decision })
}

fn accepted(stage: &Stage<'_>) -> Vec<GapAcceptedDoc> {
    let rows = stage.rows().into_iter();
    rows.filter_map(|row| serde_json::from_str(&row.body).ok())
        .collect()
}

#[test]
fn a_period_with_a_gap_waits_until_finance_accepts_it_and_then_closes_by_itself() {
    tell_metered(async |stage| {
        let policy = json!({"spec": {"closing": {"autoAfterDays": 1}}});
        oa::leased(stage, &policy, "2027-12-31").await?;
        forget(stage).await?;
        asked(stage).await?;
        // the end of the month and a day lie behind
        stage.pass(oa::DAY * 19).await;
        assert_eq!(period(stage)["phase"], "Closing");
        let [_, decides] = FINANCE;
        let yes = json!({"decision": "Approved", "orderNo": "黄财资〔2027〕7号"});
        stage.patch(decides, QUESTION, &answer(stage, yes))?;
        stage
            .until("the close", |stage| period(stage)["phase"] == "Closed")
            .await?;
        let closed = period(stage);
        assert_eq!(closed["closedBy"], "policy, 1 days after the end");
        for gap in closed["gaps"].as_array().unwrap() {
            assert_eq!(gap["acceptedBy"], decides, "{gap}");
            assert_eq!(gap["treatment"], "Accept", "{gap}");
        }
        let recorded = accepted(stage);
        assert_eq!(recorded.len(), 2);
        assert!(
            recorded
                .iter()
                .all(|found| found.treatment == GapTreatment::Accepted
                    && found.order_no == "黄财资〔2027〕7号"),
            "{recorded:?}"
        );
        stage
            .until("the final statements", |stage| {
                let found = statements(stage);
                !found.is_empty() && found.iter().all(|found| found["state"] == "Final")
            })
            .await?;
        for statement in statements(stage) {
            let told = statement["gaps"].as_array().unwrap();
            assert_eq!(told.len(), 2, "{statement}");
            for gap in told {
                assert_eq!(gap["accepted"]["by"], decides, "{gap}");
                assert_eq!(gap["accepted"]["treatment"], "Accepted", "{gap}");
                assert_eq!(gap["accepted"]["orderNo"], "黄财资〔2027〕7号", "{gap}");
            }
        }
        Ok(())
    });
}

/// The statements of January, of all departments.
fn statements(stage: &Stage<'_>) -> Vec<Value> {
    let all = stage.all("statements.charging.leasehold.dev");
    all.into_iter()
        .map(|found| found["spec"].clone())
        .filter(|spec| spec["period"]["name"] == "2027-01")
        .collect()
}

#[test]
fn a_gap_that_finance_rejects_keeps_the_period_open_and_is_not_asked_about_again() {
    tell_metered(async |stage| {
        let policy = json!({"spec": {"closing": {"autoAfterDays": 1}}});
        oa::leased(stage, &policy, "2027-12-31").await?;
        forget(stage).await?;
        asked(stage).await?;
        let [_, decides] = FINANCE;
        let no = json!({"decision": "Rejected", "reason": "先查清原因"});
        stage.patch(decides, QUESTION, &answer(stage, no))?;
        stage
            .until("the record of it", |stage| {
                let question = stage.find(QUESTION).unwrap_or_default();
                !question["status"]["recordedAt"].is_null()
            })
            .await?;
        stage.pass(oa::DAY * 19).await;
        assert_eq!(period(stage)["phase"], "Closing");
        assert!(accepted(stage).is_empty());
        let questions = stage.all(APPROVALS);
        let about_gaps = questions
            .iter()
            .filter(|question| question["spec"]["subject"]["kind"] == "Gap");
        assert_eq!(about_gaps.count(), 1);
        Ok(())
    });
}

#[test]
fn a_decision_counts_although_the_periods_object_was_made_anew_after_the_question() {
    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        forget(stage).await?;
        asked(stage).await?;
        let before = stage.find(JANUARY).unwrap_or_default()["metadata"]["uid"].clone();
        stage.operator().stop();
        let [_, decides] = FINANCE;
        let yes = json!({"decision": "Approved", "orderNo": "黄财资〔2027〕7号"});
        stage.patch(decides, QUESTION, &answer(stage, yes))?;
        stage.delete(ADMIN, JANUARY)?;
        stage
            .until("the period's object anew", |stage| {
                let found = stage.find(JANUARY).unwrap_or_default();
                !found["metadata"]["uid"].is_null() && found["metadata"]["uid"] != before
            })
            .await?;
        stage
            .until("what was accepted", |stage| accepted(stage).len() == 2)
            .await
    });
}

#[test]
fn a_question_ends_with_its_period_when_finance_closes_that_by_its_own_word() {
    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        forget(stage).await?;
        asked(stage).await?;
        let [_, decides] = FINANCE;
        stage.patch(decides, JANUARY, &json!({"spec": {"close": true}}))?;
        stage.pass(oa::DAY * 18).await;
        stage
            .until("the close", |stage| period(stage)["phase"] == "Closed")
            .await?;
        stage
            .until("no question any more", |stage| {
                stage.find(QUESTION).is_none()
            })
            .await
    });
}

/// What the ledger has of the cores of the pod.
fn cores(stage: &Stage<'_>) -> Vec<Fact> {
    let [_, place, name] = UNSEEN;
    let object = format!("Pod {place}/{name}");
    let rows = stage.rows().into_iter();
    rows.filter(|row| row.chain.kind == "fact")
        .map(|row| serde_json::from_str::<Fact>(&row.body).unwrap())
        .filter(|fact| fact.subject.object == object && fact.meter.to_string() == "pod/cpu")
        .collect()
}

/// The policy bills the upper bound of an estimate. A pod runs, and is gone before the operator looks again; of its end
/// nothing is known but two bounds, which this gives.
async fn ends_unseen(stage: &Stage<'_>) -> Result<Fact, String> {
    let policy = json!({"spec": {"metering": {"estimateBound": "Upper"}}});
    oa::leased(stage, &policy, "2027-12-31").await?;
    let [_, place, name] = UNSEEN;
    let mut pod = manifests::pod(place, name, "1", "1Gi", None);
    pod["spec"]["nodeName"] = json!("dc1-r01-n01");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    stage.create(ADMIN, &pod)?;
    stage
        .until("the pod", |stage| cores(stage).len() == 1)
        .await?;
    stage.pass(Duration::from_secs(30)).await;
    stage.operator().stop();
    stage.clock.leap(BLINK);
    stage.delete(ADMIN, UNSEEN)?;
    stage.clock.leap(BLINK);
    forget(stage).await?;
    stage
        .until("its end", |stage| cores(stage).len() == 2)
        .await?;
    let end = cores(stage).remove(1);
    let bounds = end.bounds.ok_or("both bounds of its end are not told")?;
    assert_eq!((end.kind, end.estimated), (FactKind::Closed, true));
    assert_eq!(end.at, bounds.upper, "the policy bills the upper bound");
    assert!(
        bounds.upper.since(bounds.lower) >= 40,
        "nobody looked for 40 seconds: {bounds:?}"
    );
    asked(stage).await?;
    Ok(end)
}

/// Finance decides the question in this way, and both gaps are accepted.
async fn decided(stage: &Stage<'_>, decision: Value, told: &str) -> Result<(), String> {
    let [_, decides] = FINANCE;
    stage.patch(decides, QUESTION, &answer(stage, decision))?;
    stage
        .until("what was accepted", |stage| {
            let gaps = &period(stage)["gaps"];
            accepted(stage).len() == 2 && (0..2).all(|place| gaps[place]["treatment"] == told)
        })
        .await
}

#[test]
fn under_the_upper_bound_a_gap_that_is_accepted_is_billed_up_to_what_was_seen() {
    tell_metered(async |stage| {
        let end = ends_unseen(stage).await?;
        let yes =
            json!({"decision": "Approved", "orderNo": "黄财资〔2027〕8号", "treatment": "Accept"});
        decided(stage, yes, "Accept").await?;
        let recorded = accepted(stage);
        let treatments = recorded.iter().map(|found| found.treatment);
        assert!(treatments.eq([GapTreatment::Accepted; 2]), "{recorded:?}");
        let told = cores(stage);
        let [_, _, known] = told.as_slice() else {
            return Err(format!("the end is not told anew: {told:?}"));
        };
        assert_eq!(known.kind, FactKind::Superseded);
        assert_eq!(Some(known.at), end.bounds.map(|bounds| bounds.lower));
        assert!(known.estimated, "it stays an estimate");
        Ok(())
    });
}

#[test]
fn under_the_upper_bound_a_gap_that_is_estimated_is_billed_as_the_policy_says() {
    tell_metered(async |stage| {
        let end = ends_unseen(stage).await?;
        let yes = json!({"decision": "Approved", "orderNo": "黄财资〔2027〕8号", "treatment": "Estimate"});
        decided(stage, yes, "Estimate").await?;
        let recorded = accepted(stage);
        let treatments = recorded.iter().map(|found| found.treatment);
        assert!(treatments.eq([GapTreatment::Estimated; 2]), "{recorded:?}");
        // and it stays so
        stage.pass(oa::HOUR).await;
        let told = cores(stage);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1], end);
        Ok(())
    });
}
