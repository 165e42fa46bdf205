//! A question that was asked anew under its name is not decided by whoever has read the old one.

use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{expect::APPROVALS, people::FINANCE, world::NAMESPACE};

const BOOKS: &str = "pricebooks.charging.leasehold.dev";
const NEXT: [&str; 3] = [BOOKS, "", "next"];
const QUESTION: [&str; 3] = [APPROVALS, NAMESPACE, "pb-next-finance"];

/// Prices for the year after the published ones.
fn next(stage: &Stage<'_>) -> Value {
    let published = stage.all(BOOKS).remove(0);
    let mut spec = published["spec"].clone();
    spec["validity"] = json!({"from": "2028-01-01", "through": "2028-12-31"});
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": "next"}, "spec": spec,
    })
}

fn question(stage: &Stage<'_>) -> Value {
    stage.find(QUESTION).unwrap_or_default()["spec"].clone()
}

#[test]
fn what_was_asked_anew_is_decided_by_its_number_and_not_by_its_name() {
    tell(async |stage| {
        let [loads, publishes] = FINANCE;
        stage.furnish(&json!({}), &["edu"]).await?;
        stage.create(loads, &next(stage))?;
        stage
            .until("the question", |stage| stage.find(QUESTION).is_some())
            .await?;
        assert!(question(stage)["number"].is_null(), "it is the first");
        let shorter = json!({"spec": {"validity": {"through": "2028-06-30"}}});
        stage.patch(loads, NEXT, &shorter)?;
        stage
            .until("the second question", |stage| {
                question(stage)["number"] == 2
            })
            .await?;
        // an operator that was started anew asks the same
        stage.operator().stop();
        stage.pass(super::ROUND).await;
        assert_eq!(question(stage)["number"], 2);

        let mut yes = json!({"spec": {"decision": "Approved", "orderNo": "黄财资〔2027〕2号"}});
        let refusal = stage.patch(publishes, QUESTION, &yes).unwrap_err();
        assert!(refusal.contains("rule N14:"), "{refusal}");
        yes["spec"]["answers"] = json!(2);
        stage.patch(publishes, QUESTION, &yes)?;
        stage
            .until("the prices published", |stage| {
                let found = stage.find(NEXT).unwrap_or_default();
                found["status"]["phase"] == "Published"
            })
            .await
    });
}
