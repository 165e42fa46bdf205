//! Price books that do not join the ones before, end too late to matter, or are in other money.
//!
//! Each story has a provider of its own, so that nobody's lease depends on it.

use std::fmt::Display;

use leasehold_api::charging::{Approval, BookPhase, PriceBook, SubjectOfDecision};
use leasehold_api::conditions::types;
use leasehold_e2e::Stage;
use leasehold_testkit::manifests::Days;
use leasehold_testkit::{LONG, NAMESPACE, Session, User};
use serde_json::{Value, json};

use crate::openings::stage;

const BOOK: SubjectOfDecision = SubjectOfDecision::PriceBook;

/// A book of one item, cores by the month.
fn book(provider: &str, name: &str, from: &impl Display, through: &impl Display) -> Value {
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": name},
        "spec": {
            "provider": provider, "contract": "HS-ZFCG-2026-007",
            "validity": {"from": from.to_string(), "through": through.to_string()},
            "items": [{
                "name": "vcpu-arm", "displayName": "鲲鹏云主机CPU", "category": "compute",
                "resource": "cpu", "unit": "Core", "per": "Month", "price": "39.00",
            }],
        },
    })
}

/// What is said against a book.
fn against(found: &PriceBook) -> String {
    let conditions = found.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == types::REFUSED && condition.status == "True")
        .map(|condition| condition.message.as_str())
        .collect()
}

/// Waits until the book is as `holds` says.
async fn when(
    stage: &Stage,
    finance: &Session,
    name: &str,
    holds: impl Fn(&PriceBook) -> bool,
) -> PriceBook {
    let what = format!("price book {name} as expected");
    let seen = stage.see(&what, LONG, async || {
        let found = finance.get::<PriceBook>(None, name).await?;
        if holds(&found) {
            Ok(found)
        } else {
            Err(format!("{:#?}", found.status))
        }
    });
    seen.await.unwrap()
}

fn phase(found: &PriceBook) -> Option<BookPhase> {
    found.status.as_ref().map(|status| status.phase)
}

/// Loads a book and has it published.
async fn publish(stage: &Stage, finance: &Session, manifest: &Value) {
    let name = manifest["metadata"]["name"].as_str().unwrap();
    finance.apply(manifest).await.unwrap();
    stage
        .decide(User::QIAN, BOOK, name, NAMESPACE)
        .await
        .unwrap();
    stage.published(name).await.unwrap();
}

async fn end(finance: &Session, name: &str, through: &impl Display) {
    let patch = json!({"spec": {"validity": {"through": through.to_string()}}});
    let target = format!("pb/{name}");
    let ran = finance.try_patch(&target, &[], &patch).await.unwrap();
    ran.ok().unwrap();
}

#[tokio::test]
async fn an_item_has_one_price_on_a_day_and_what_begins_a_day_later_joins_b11() {
    let stage = stage().await;
    let finance = stage.user(User::SUN).await.unwrap();
    let today = Days::now().unwrap().today;
    let (last, end_of_all) = (today.add_months(2), today.add_months(12));
    let first = book("joins", "joins-first", &"2026-01-01", &last);
    publish(stage, &finance, &first).await;

    // both count on one day, the last of one and the first of the other
    let meets = book("joins", "joins-meets", &last, &end_of_all);
    finance.apply(&meets).await.unwrap();
    let told = format!(
        "rule B11: asked prices of joins for vcpu-arm from {last} through {end_of_all}, allowed days on which joins-first does not price them (2026-01-01 through {last})"
    );
    let refused = when(stage, &finance, "joins-meets", |found| {
        against(found).contains(&told)
    })
    .await;
    assert_eq!(phase(&refused), Some(BookPhase::Rejected));
    let asked = finance.list::<Approval>(Some(NAMESPACE)).await.unwrap();
    let mut subjects = asked.iter().map(|approval| &approval.spec.subject);
    assert!(subjects.all(|subject| &*subject.name != "joins-meets"));

    // what it says to do is what helps
    end(&finance, "joins-first", &last.previous_day()).await;
    stage
        .inbox(BOOK, "joins-meets", 1, Some(NAMESPACE))
        .await
        .unwrap();
    let asked = when(stage, &finance, "joins-meets", |found| {
        phase(found) == Some(BookPhase::WaitingForPublication)
    })
    .await;
    assert_eq!(against(&asked), "");
}

#[tokio::test]
async fn of_two_books_that_wait_and_overlap_only_the_first_one_is_published_b11() {
    let stage = stage().await;
    let finance = stage.user(User::SUN).await.unwrap();
    for name in ["race-a", "race-b"] {
        let manifest = book("race", name, &"2026-01-01", &"2099-12-31");
        finance.apply(&manifest).await.unwrap();
        stage.inbox(BOOK, name, 1, Some(NAMESPACE)).await.unwrap();
    }
    stage
        .decide(User::QIAN, BOOK, "race-a", NAMESPACE)
        .await
        .unwrap();
    stage.published("race-a").await.unwrap();
    when(stage, &finance, "race-b", |found| {
        phase(found) == Some(BookPhase::Rejected) && against(found).contains("rule B11: ")
    })
    .await;
    let gone = stage.see("the question about race-b taken back", LONG, async || {
        let name = "pb-race-b-finance";
        match finance.find::<Approval>(Some(NAMESPACE), name).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_published_book_ends_today_but_not_yesterday_b13() {
    let stage = stage().await;
    let finance = stage.user(User::SUN).await.unwrap();
    let today = Days::now().unwrap().today;
    let manifest = book("ends", "ends-2026", &"2026-01-01", &today.add_months(3));
    publish(stage, &finance, &manifest).await;

    end(&finance, "ends-2026", &today).await;
    let counts = format!("its prices count from 2026-01-01 through {today}");
    let ended = when(stage, &finance, "ends-2026", |found| {
        let mut conditions = found.status.iter().flat_map(|status| &status.conditions);
        conditions.any(|condition| condition.message.contains(&counts))
    })
    .await;
    assert_eq!(against(&ended), "");

    // days that are over keep the prices that they had
    let yesterday = today.previous_day();
    end(&finance, "ends-2026", &yesterday).await;
    let told = format!("rule B13: asked an end on {yesterday}, allowed {today} or later");
    let refused = when(stage, &finance, "ends-2026", |found| {
        against(found).contains(&told)
    })
    .await;
    assert_eq!(phase(&refused), Some(BookPhase::Published));
}

#[tokio::test]
async fn books_and_policy_know_one_currency_and_the_schemas_refuse_any_other_e02() {
    let stage = stage().await;
    let finance = stage.user(User::SUN).await.unwrap();
    let mut manifest = book("abroad", "abroad-2026", &"2026-01-01", &"2026-12-31");
    manifest["spec"]["currency"] = json!("CNY");
    finance.dry_create(&manifest).await.unwrap().ok().unwrap();
    manifest["spec"]["currency"] = json!("USD");
    let ran = finance.dry_create(&manifest).await.unwrap();
    ran.refused("spec.currency: Unsupported value: \"USD\"")
        .unwrap();
    let office = stage.user(User::Office).await.unwrap();
    let dry = ["--dry-run=server"];
    let other = json!({"spec": {"currency": "USD"}});
    let ran = office
        .try_patch("cloudpolicies/default", &dry, &other)
        .await
        .unwrap();
    ran.refused("spec.currency: Unsupported value: \"USD\"")
        .unwrap();
}
