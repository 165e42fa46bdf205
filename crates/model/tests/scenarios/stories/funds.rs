//! Where the policy asks finance, nothing is provisioned before the office and finance have both said yes.

use leasehold_model::admission::OPERATOR;
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{DAY, OA, OFFICE_OF_EDU, condition, cores, documents, history, in_phase, lessee, shown},
    tell,
};
use crate::{
    expect::APPROVALS,
    people::{FINANCE, OFFICE, staff},
    world,
};

/// The questions about the first request.
const BY_OFFICE: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-1-office"];
const BY_FINANCE: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-1-funds"];

/// Somebody asks for four cores where finance confirms the money, and the office has the question.
async fn asked(stage: &Stage<'_>) -> Result<(), String> {
    let policy = json!({"spec": {"review": {"funds": "Finance"}}});
    stage.furnish(&policy, &["edu"]).await?;
    stage.create(&staff("edu"), &world::tenancy(&lessee(), &cores(4)))?;
    there(stage, BY_OFFICE).await
}

async fn there(stage: &Stage<'_>, question: [&str; 3]) -> Result<(), String> {
    let what = format!("the question {}", question[2]);
    stage
        .until(&what, |stage| stage.find(question).is_some())
        .await
}

/// The office has said yes, and finance is asked.
async fn approved(stage: &Stage<'_>) -> Result<(), String> {
    asked(stage).await?;
    stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
    there(stage, BY_FINANCE).await
}

fn yes() -> Value {
    json!({"spec": {"decision": "Approved", "orderNo": "黄财资〔2027〕8号"}})
}

/// Nothing stands, and the ledger has no decision on the tenancy.
fn nothing_stands(stage: &Stage<'_>) {
    assert!(stage.find(["namespaces", "", "edu--prod"]).is_none());
    assert!(documents(stage, "effective").is_empty());
    assert!(decisions(stage).is_empty(), "{:?}", decisions(stage));
}

/// Who has decided on requests of the tenancy, by number and role.
fn decisions(stage: &Stage<'_>) -> Vec<String> {
    let all = documents(stage, "decision").into_iter();
    all.filter_map(|key| key.strip_prefix("Tenancy/edu/oa/1/").map(str::to_owned))
        .collect()
}

fn is_recorded(stage: &Stage<'_>, question: [&str; 3]) -> bool {
    let found = stage.find(question).unwrap_or_default();
    found["status"]["recordedAt"].is_string()
}

/// A document of the ledger.
fn document(stage: &Stage<'_>, key: &str) -> Value {
    let rows = stage.rows();
    let row = rows.iter().find(|row| row.chain.key == key);
    row.map_or(Value::Null, |row| {
        serde_json::from_str(&row.body).unwrap_or_default()
    })
}

#[test]
fn the_offices_yes_alone_provisions_nothing_and_finances_beside_it_does() {
    tell(async |stage| {
        asked(stage).await?;
        let both = json!(["office", "finance"]);
        stage
            .until("both to be waited for", |stage| {
                shown(stage, "/request/waitingFor") == both
            })
            .await?;
        assert!(stage.find(BY_FINANCE).is_none(), "asked before the office");
        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        there(stage, BY_FINANCE).await?;
        let question = stage.find(BY_FINANCE).unwrap_or_default();
        assert_eq!(question["spec"]["role"], "finance");
        assert_eq!(question["spec"]["notBy"], OFFICE);
        // four cores of 46.00, 8 GiB of memory of 17.00, and 10 GiB of storage of 0.70
        assert_eq!(question["spec"]["amounts"]["monthly"], "327.00");
        let snapshot = question["spec"]["snapshot"].as_str().unwrap_or_default();
        let begins = "Confirm that budget 30227 has 327.00 CNY a month, ";
        assert!(snapshot.starts_with(begins), "{snapshot}");

        stage.operator().stop();
        stage.pass(DAY).await;
        nothing_stands(stage);
        assert_eq!(shown(stage, "/request/waitingFor"), json!(["finance"]));
        assert_eq!(shown(stage, "/request/approval"), "oa-1-funds");
        let waits = condition(stage, "Waiting").unwrap_or_default();
        let expected = "request 1 waits for finance: leasehold approve oa-1-funds -n dept-edu";
        assert!(waits.starts_with(expected), "{waits}");

        stage.patch(FINANCE[1], BY_FINANCE, &yes())?;
        in_phase(stage, "Active").await?;
        assert_eq!(decisions(stage), ["1/office", "1/finance"]);
        let request = document(stage, "request/edu/oa/1/1");
        assert_eq!(request["funds"]["budget"], "30227");
        assert_eq!(request["funds"]["monthly"], "327.00");
        let confirmed = document(stage, "decision/Tenancy/edu/oa/1/1/finance");
        assert_eq!(confirmed["decidedBy"], FINANCE[1]);
        assert_eq!(confirmed["amountMonthly"], "327.00");
        for question in [BY_OFFICE, BY_FINANCE] {
            stage
                .until("both on record", |stage| is_recorded(stage, question))
                .await?;
        }
        let told = history(stage, "request 1:");
        let (office, finance) = (
            "request 1: approved by the office",
            "request 1: there is money for it",
        );
        assert!(
            told.ends_with(&[office.to_owned(), finance.to_owned()]),
            "{told:?}"
        );

        // less asks nobody
        let less = world::change(&lessee(), &cores(2));
        stage.patch(&staff("edu"), OA, &less)?;
        stage
            .until("the smaller lease", |stage| {
                documents(stage, "effective").len() == 2
            })
            .await?;
        assert_eq!(document(stage, "request/edu/oa/1/2")["funds"], Value::Null);
        // and more asks both again
        let more = world::change(&lessee(), &cores(6));
        stage.patch(&staff("edu"), OA, &more)?;
        stage.approve(OFFICE_OF_EDU, "oa-3-office").await?;
        there(stage, [APPROVALS, OFFICE_OF_EDU, "oa-3-funds"]).await
    });
}

#[test]
fn a_yes_of_finance_that_came_before_the_offices_counts_for_nothing() {
    tell(async |stage| {
        asked(stage).await?;
        // nobody but the operator writes questions, and none so early
        let office = stage.find(BY_OFFICE).unwrap_or_default();
        let mut spec = office["spec"].clone();
        spec["role"] = json!("finance");
        let early = json!({
            "apiVersion": office["apiVersion"], "kind": office["kind"],
            "metadata": {"name": "oa-1-funds", "namespace": OFFICE_OF_EDU}, "spec": spec,
        });
        stage.create(OPERATOR, &early)?;
        stage.patch(FINANCE[1], BY_FINANCE, &yes())?;
        stage.pass(DAY).await;
        nothing_stands(stage);

        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        stage
            .until("a word about it", |stage| {
                let refused = condition(stage, "Refused").unwrap_or_default();
                refused.starts_with("rule T57: ")
            })
            .await?;
        stage.pass(DAY).await;
        nothing_stands(stage);
        Ok(())
    });
}

#[test]
fn one_person_gives_one_word_and_another_request_is_asked_anew() {
    tell(async |stage| {
        approved(stage).await?;
        // the policies of the chart refuse this; the model has none
        stage.patch(OFFICE, BY_FINANCE, &yes())?;
        stage
            .until("a word about it", |stage| {
                let refused = condition(stage, "Refused").unwrap_or_default();
                refused.starts_with("rule T57: ") && refused.contains(OFFICE)
            })
            .await?;
        stage.pass(DAY).await;
        nothing_stands(stage);

        let more = world::change(&lessee(), &cores(6));
        stage.patch(&staff("edu"), OA, &more)?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        let second = [APPROVALS, OFFICE_OF_EDU, "oa-2-funds"];
        there(stage, second).await?;
        stage.patch(FINANCE[1], second, &yes())?;
        in_phase(stage, "Active").await?;
        let late = "the decision has no effect, because the request ended before both were there";
        let first = stage.find(BY_OFFICE).unwrap_or_default();
        let said = first["status"]["conditions"][0]["message"].as_str();
        assert!(said.is_some_and(|said| said.starts_with(late)), "{said:?}");
        assert_eq!(decisions(stage), ["1/office", "2/office", "2/finance"]);
        Ok(())
    });
}

#[test]
fn finances_no_rejects_the_request_with_its_reason_and_what_the_office_refuses_never_gets_there() {
    tell(async |stage| {
        approved(stage).await?;
        let no = json!({"spec": {"decision": "Rejected", "reason": "预算不足"}});
        stage.patch(FINANCE[1], BY_FINANCE, &no)?;
        in_phase(stage, "Refused").await?;
        let refused = condition(stage, "Refused").unwrap_or_default();
        let expected = format!("request 1 was rejected by {}: 预算不足.", FINANCE[1]);
        assert!(refused.starts_with(&expected), "{refused}");
        assert_eq!(decisions(stage), ["1/office", "1/finance"]);
        for question in [BY_OFFICE, BY_FINANCE] {
            stage
                .until("both on record", |stage| is_recorded(stage, question))
                .await?;
        }
        assert!(stage.find(["namespaces", "", "edu--prod"]).is_none());

        stage.patch(
            &staff("edu"),
            OA,
            &json!({"spec": {"request": {"attempt": 1}}}),
        )?;
        let second = [APPROVALS, OFFICE_OF_EDU, "oa-2-office"];
        there(stage, second).await?;
        stage.patch(OFFICE, second, &no)?;
        stage
            .until("the office's no", |stage| decisions(stage).len() == 3)
            .await?;
        stage.pass(DAY).await;
        assert!(
            stage
                .find([APPROVALS, OFFICE_OF_EDU, "oa-2-funds"])
                .is_none()
        );
        assert_eq!(decisions(stage), ["1/office", "1/finance", "2/office"]);
        Ok(())
    });
}
