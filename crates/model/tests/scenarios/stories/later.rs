//! A change for a day that lies ahead (`effectiveFrom`): until then nothing of it counts, and from its local midnight all of
//! it, whoever sleeps at that hour.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use leasehold_ledger::{
    fact::{Fact, FactKind},
    time::Second,
};
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{self, OA, OFFICE_OF_EDU, QUOTAS, documents},
    tell,
};
use crate::people::staff;

const THROUGH: &str = "2027-12-31";
/// The day in Shanghai from which the change is to count, and when it begins there.
const DAY: &str = "2027-01-20";
const MIDNIGHT: &str = "2027-01-19T16:00:00Z";
/// A moment of the day before.
const DAY_BEFORE: &str = "2027-01-19T02:00:00Z";
/// Just before midnight.
const EVE: &str = "2027-01-19T15:59:58Z";
/// The operator knows the API server's clock to a second, and counts in whole ones.
const PROMPT: Duration = Duration::from_secs(5);
/// Longer than the operator is away, from two seconds before midnight on.
const AWAY: Duration = Duration::from_secs(10);

/// Time goes by until then.
async fn until(stage: &Stage<'_>, instant: &str) {
    let instant: Timestamp = instant.parse().unwrap();
    let now = stage.server.with_store(|_, now| now);
    let left = Duration::try_from(now.duration_until(instant)).unwrap();
    stage.pass(left).await;
}

/// What the ledger has of the leased cores: how, from when, and how many thousandths.
fn billed(stage: &Stage<'_>) -> Vec<(FactKind, Second, i64)> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    facts
        .map(|row| serde_json::from_str::<Fact>(&row.body).unwrap())
        .filter(|fact| fact.meter.to_string() == "lease/vcpu-x86")
        .map(|fact| (fact.kind, fact.at, fact.quantity))
        .collect()
}

/// Cores of the two namespaces, as they are written and as they count.
fn cores(stage: &Stage<'_>) -> [[Value; 2]; 2] {
    let of = |quota: [&str; 3]| {
        let quota = stage.find(quota).unwrap_or_default();
        ["spec", "status"].map(|part| quota[part]["hard"]["requests.cpu"].clone())
    };
    QUOTAS.map(of)
}

fn both(numbers: [&str; 2]) -> [[Value; 2]; 2] {
    numbers.map(|number| [json!(number), json!(number)])
}

/// Asks for so many cores from that day on, with so many in each of the two namespaces, where four and two stand.
fn asks(stage: &Stage<'_>, all: &str, shares: [&str; 2]) -> Result<(), String> {
    let mut spec = oa::manifest(THROUGH)["spec"].clone();
    let lease = spec["lease"].as_array_mut().ok_or("no lease")?;
    let cores = lease.iter_mut().find(|entry| entry["item"] == "vcpu-x86");
    cores.ok_or("no cores")?["quantity"] = json!(all);
    for (number, share) in shares.into_iter().enumerate() {
        spec["namespaces"][number]["share"]["vcpu-x86"] = json!(share);
    }
    let patch = json!({"spec": {
        "lease": spec["lease"], "namespaces": spec["namespaces"], "effectiveFrom": DAY,
    }});
    stage.patch(&staff("edu"), OA, &patch)
}

/// The second request is recorded and decided.
async fn is_decided(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("the decision", |stage| {
            let decided = documents(stage, "decision");
            decided
                .iter()
                .any(|key| key.starts_with("Tenancy/edu/oa/1/2/"))
        })
        .await
}

/// Two seconds are left; where the operator is started anew, it is away at midnight.
async fn eve(stage: &Stage<'_>, restarts: bool) {
    until(stage, EVE).await;
    if restarts {
        stage.operator().stop();
    }
}

/// Eight cores instead of six.
async fn grows(stage: &Stage<'_>, restarts: bool) -> Result<(), String> {
    oa::leased(stage, &json!({}), THROUGH).await?;
    asks(stage, "8", ["6", "2"])?;
    stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
    is_decided(stage).await?;
    let before = billed(stage);
    assert_eq!(before.len(), 1);
    assert_eq!((before[0].0, before[0].2), (FactKind::Opened, 6000));

    until(stage, DAY_BEFORE).await;
    assert_eq!(cores(stage), both(["4", "2"]), "on the day before");
    assert_eq!(billed(stage), before, "on the day before");
    eve(stage, restarts).await;
    assert_eq!(cores(stage), both(["4", "2"]), "before midnight");
    assert_eq!(billed(stage), before, "before midnight");

    // from two seconds before midnight on
    let within = if restarts { AWAY } else { PROMPT };
    stage.pass(within).await;
    assert_eq!(cores(stage), both(["6", "2"]), "after midnight");
    let all = billed(stage);
    assert_eq!(all.len(), 2, "{all:?}");
    let (kind, at, quantity) = all[1];
    assert_eq!((kind, quantity), (FactKind::Changed, 8000));
    // nobody pays for what is not there yet, and it is there seconds after midnight
    let midnight = Second::parse(MIDNIGHT).unwrap();
    let late = at.since(midnight);
    let most = i64::try_from(within.as_secs()).unwrap() - 2;
    assert!((0..=most).contains(&late), "{late} s after midnight");
    assert_eq!(documents(stage, "effective").len(), 2);
    oa::in_phase(stage, "Active").await
}

/// Four cores instead of six.
async fn shrinks(stage: &Stage<'_>, restarts: bool) -> Result<(), String> {
    oa::leased(stage, &json!({}), THROUGH).await?;
    asks(stage, "4", ["2", "2"])?;
    is_decided(stage).await?;
    let before = billed(stage);
    assert_eq!(before.len(), 1);
    // the shares are the department's own, and follow at once
    until(stage, DAY_BEFORE).await;
    assert_eq!(cores(stage), both(["2", "2"]), "on the day before");
    assert_eq!(billed(stage), before, "on the day before");
    let approved = oa::shown(stage, "/approved/2/quantity");
    assert_eq!(approved, "6", "what is leased until then");
    eve(stage, restarts).await;
    assert_eq!(billed(stage), before, "before midnight");

    stage.pass(if restarts { AWAY } else { PROMPT }).await;
    let midnight = Second::parse(MIDNIGHT).unwrap();
    let mut expected = before;
    expected.push((FactKind::Changed, midnight, 4000));
    assert_eq!(billed(stage), expected);
    assert_eq!(cores(stage), both(["2", "2"]));
    assert_eq!(oa::shown(stage, "/approved/2/quantity"), "4");
    assert_eq!(documents(stage, "effective").len(), 2);
    oa::in_phase(stage, "Active").await
}

#[test]
fn more_from_a_later_day_is_there_and_billed_from_its_midnight_and_not_before() {
    tell(async |stage| grows(stage, false).await);
}

#[test]
fn more_from_a_later_day_is_there_although_the_operator_is_started_anew_over_its_midnight() {
    tell(async |stage| grows(stage, true).await);
}

#[test]
fn less_from_a_later_day_is_billed_from_its_midnight_and_not_before() {
    tell(async |stage| shrinks(stage, false).await);
}

#[test]
fn less_from_a_later_day_is_billed_from_its_midnight_although_the_operator_is_away_then() {
    tell(async |stage| shrinks(stage, true).await);
}
