//! A first lease that its department has to accept: from which instant on it is billed, and what nobody pays for.

use std::time::Duration;

use leasehold_ledger::{
    document::{AcceptanceDoc, DeliveredDoc, Document, EffectiveDoc},
    fact::Fact,
    time::Second,
};
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{OA, condition, cores, history, lessee},
    suspension::{is_there, pod},
    tell,
};
use crate::{
    people::{ADMIN, OFFICE, staff},
    script::{Lessee, Wish},
    world,
};

mod unpaid;

const DAY: i64 = 24 * 3600;
const SECOND: Duration = Duration::from_secs(1);
const POLICY: [&str; 3] = ["cloudpolicies.platform.leasehold.dev", "", "default"];
const QUOTA: [&str; 3] = ["resourcequotas", "edu--prod", "leasehold"];
const SLOW: &str = "磁盘太慢";
const BY_POLICY: &str = "CloudPolicy default";

fn days(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number * DAY).unwrap())
}

fn now(stage: &Stage<'_>) -> Second {
    stage
        .server
        .with_store(|_, now| Second::from_timestamp(now))
}

fn is_in(stage: &Stage<'_>, phase: &str) -> bool {
    stage.find(OA).unwrap_or_default()["status"]["phase"] == phase
}

fn status(stage: &Stage<'_>) -> Value {
    stage.find(OA).unwrap_or_default()["status"].clone()
}

fn pods(stage: &Stage<'_>) -> String {
    let quota = stage.find(QUOTA).unwrap_or_default();
    let found = |part: &str| quota[part]["hard"]["pods"].as_str().map(str::to_owned);
    let (asked, counted) = (found("spec"), found("status"));
    if asked == counted {
        asked.unwrap_or_default()
    } else {
        format!("{asked:?} and {counted:?}")
    }
}

/// Documents of a kind in the ledger, in order.
fn documents<D: Document>(stage: &Stage<'_>) -> Vec<D> {
    let begins = format!("{}/", D::KIND);
    let rows = stage.rows();
    rows.iter()
        .filter(|row| row.chain.kind == "document" && row.chain.key.starts_with(&begins))
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

/// What is billed of the lease: item, quantity, since when.
fn billed(stage: &Stage<'_>) -> Vec<(String, i64, Second)> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    let facts = facts.map(|row| serde_json::from_str::<Fact>(&row.body).unwrap());
    let mut billed: Vec<(String, i64, Second)> = facts
        .filter(|fact| fact.meter.to_string().starts_with("lease/"))
        .map(|fact| (fact.meter.to_string(), fact.quantity, fact.at))
        .collect();
    billed.sort();
    billed
}

/// The whole lease, since this instant.
fn whole(cores: i64, since: Second) -> Vec<(String, i64, Second)> {
    [
        ("lease/block-ssd", 10 << 30),
        ("lease/memory", 8 << 30),
        ("lease/vcpu-x86", cores * 1000),
    ]
    .map(|(item, quantity)| (item.to_owned(), quantity, since))
    .to_vec()
}

/// Request and instant of what is effective.
fn effective(stage: &Stage<'_>) -> Vec<(u32, Second)> {
    let found = documents::<EffectiveDoc>(stage);
    found.iter().map(|doc| (doc.request, doc.at)).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, found {found:?}"))
    }
}

/// Four cores are in place, and nobody has said anything of them. Gives the delivery.
async fn delivered(stage: &Stage<'_>) -> Result<DeliveredDoc, String> {
    let policy = json!({"spec": {"acceptance": {"billingStarts": "Accepted"}}});
    stage.furnish(&policy, &["edu"]).await?;
    stage.create(&staff("edu"), &world::tenancy(&lessee(), &cores(4)))?;
    stage.approve("dept-edu", "oa-1-office").await?;
    stage
        .until("the lease in place", |stage| is_in(stage, "Provisioned"))
        .await?;
    let mut found = documents::<DeliveredDoc>(stage);
    let found = found.pop().ok_or("nothing is delivered")?;
    promised(stage, &found)?;
    same(&pods(stage), &"32".to_owned())?;
    same(&billed(stage), &Vec::new())?;
    Ok(found)
}

/// The days to try what is in place began just now.
fn promised(stage: &Stage<'_>, found: &DeliveredDoc) -> Result<(), String> {
    let left = found.until.since(now(stage));
    if (7 * DAY - 60..=7 * DAY).contains(&left) {
        return Ok(());
    }
    Err(format!("{left} s are left to try it: {found:?}"))
}

fn says(accepted: bool, reason: Option<&str>) -> Value {
    json!({"spec": {"acceptance": {"request": 1, "accepted": accepted, "reason": reason}}})
}

fn last_word(stage: &Stage<'_>) -> Result<AcceptanceDoc, String> {
    let mut words = documents::<AcceptanceDoc>(stage);
    words.pop().ok_or_else(|| "nobody said anything".to_owned())
}

#[test]
fn what_the_department_accepts_is_billed_from_then_on() {
    tell(async |stage| {
        let delivered = delivered(stage).await?;
        stage.pass(days(2)).await;
        same(&billed(stage), &Vec::new())?;
        let accepted = now(stage);
        stage.patch(&staff("edu"), OA, &says(true, None))?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        let word = last_word(stage)?;
        same(&(word.by, word.accepted), &(staff("edu"), true))?;
        if word.at < accepted || word.at.since(accepted) > 60 {
            return Err(format!("accepted at {accepted}, recorded of {}", word.at));
        }
        same(&effective(stage), &vec![(1, word.at)])?;
        same(&billed(stage), &whole(4, word.at))?;
        same(&documents::<DeliveredDoc>(stage), &vec![delivered])?;
        same(&status(stage)["acceptance"]["state"], &json!("Accepted"))
    });
}

#[test]
fn who_accepts_is_named_although_another_changes_the_manifest_before_it_is_recorded() {
    tell(async |stage| {
        delivered(stage).await?;
        stage.patch("li@edu", OA, &says(true, None))?;
        let members = json!({"spec": {"members": [{"role": "viewer", "user": "wang@edu"}]}});
        stage.patch(&staff("edu"), OA, &members)?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        same(&last_word(stage)?.by, &"li@edu".to_owned())
    });
}

#[test]
fn what_nobody_rejects_is_billed_from_the_promised_instant_although_the_operator_was_away_then() {
    tell(async |stage| {
        let delivered = delivered(stage).await?;
        let left = delivered.until.since(now(stage)) - 1;
        stage
            .pass(Duration::from_secs(u64::try_from(left).unwrap()))
            .await;
        same(&is_in(stage, "Provisioned"), &true)?;
        // it is away for three seconds, in which the instant passes
        stage.operator().stop();
        stage.pass(SECOND).await;
        if now(stage) < delivered.until {
            return Err("the instant has not passed".to_owned());
        }
        same(&effective(stage), &Vec::new())?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        let word = last_word(stage)?;
        same(&(word.by.as_str(), word.at), &(BY_POLICY, delivered.until))?;
        same(&effective(stage), &vec![(1, delivered.until)])?;
        same(&billed(stage), &whole(4, delivered.until))
    });
}

#[test]
fn what_is_given_back_costs_nothing_and_starts_nothing_until_it_is_accepted() {
    tell(async |stage| {
        delivered(stage).await?;
        let [_, claim] = world::own("edu--prod");
        stage.create(&staff("edu"), &claim)?;
        pod(stage, "web", "Running")?;
        stage.patch(&staff("edu"), OA, &says(false, Some(SLOW)))?;
        stage.until("no pods", |stage| pods(stage) == "0").await?;
        stage
            .until("the end of what ran", |stage| !is_there(stage, "web"))
            .await?;
        let refused = pod(stage, "more", "Running").unwrap_err();
        same(&refused.contains("exceeded quota"), &true)?;
        // long after the instant at which it would have been accepted by itself
        stage.pass(days(30)).await;
        same(&is_in(stage, "Provisioned"), &true)?;
        same(&billed(stage), &Vec::new())?;
        same(&documents::<AcceptanceDoc>(stage).len(), &1)?;
        let told = status(stage)["conditions"].to_string();
        for part in [SLOW, &staff("edu"), "leasehold accept oa -n dept-edu"] {
            if !told.contains(part) {
                return Err(format!("{part} is not said: {told}"));
            }
        }
        let place = ["persistentvolumeclaims", "edu--prod", "own"];
        same(&stage.find(place).is_some(), &true)?;
        same(&warnings(stage), &1)?;
        let ended = "1 pods ended: request 1 was not accepted";
        same(&history(stage, "1 pods ended"), &vec![ended.to_owned()])?;

        let accepted = now(stage);
        stage.patch(&staff("edu"), OA, &says(true, None))?;
        stage
            .until("the lease", |stage| {
                is_in(stage, "Active") && pods(stage) == "32"
            })
            .await?;
        let word = last_word(stage)?;
        if word.at < accepted || word.at.since(accepted) > 60 {
            return Err(format!("accepted at {accepted}, recorded of {}", word.at));
        }
        same(&billed(stage), &whole(4, word.at))?;
        pod(stage, "web", "Running")?;
        stage.pass(days(1)).await;
        same(&is_there(stage, "web"), &true)
    });
}

/// How many events warn that the lease was given back.
fn warnings(stage: &Stage<'_>) -> usize {
    let events = stage.all("events.events.k8s.io");
    let is_one = |event: &&Value| {
        event["type"] == "Warning"
            && event["regarding"]["kind"] == "Tenancy"
            && event["note"]
                .as_str()
                .is_some_and(|note| note.contains(SLOW))
    };
    events.iter().filter(is_one).count()
}

#[test]
fn a_policy_that_asks_for_no_acceptance_any_more_accepts_what_waits() {
    tell(async |stage| {
        let delivered = delivered(stage).await?;
        stage.pass(days(1)).await;
        let changed = now(stage);
        let policy = json!({"spec": {"acceptance": {"billingStarts": "Provisioned"}}});
        stage.patch(OFFICE, POLICY, &policy)?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        let word = last_word(stage)?;
        same(&word.by.as_str(), &BY_POLICY)?;
        if word.at < changed || word.at >= delivered.until {
            return Err(format!("changed at {changed}, recorded of {}", word.at));
        }
        same(&billed(stage), &whole(4, word.at))
    });
}

#[test]
fn a_lease_that_is_changed_while_it_waits_is_accepted_as_it_stands_and_no_later_for_it() {
    tell(async |stage| {
        let first = delivered(stage).await?;
        stage.pass(days(3)).await;
        let change = world::change(&lessee(), &cores(6));
        stage.patch(&staff("edu"), OA, &change)?;
        stage
            .until("the question", |stage| {
                status(stage)["request"]["number"] == 2
            })
            .await?;
        // what would be accepted now is what is in place: 4 × 46.00 + 8 × 17.00 + 10 × 0.70
        let shown = status(stage)["acceptance"].clone();
        let items = json!([
            {"item": "block-ssd", "quantity": "10Gi"}, {"item": "memory", "quantity": "8Gi"},
            {"item": "vcpu-x86", "quantity": "4"},
        ]);
        same(&(&shown["request"], &shown["items"]), &(&json!(1), &items))?;
        same(
            &(&shown["monthly"], &shown["currency"]),
            &(&json!("327.00"), &json!("CNY")),
        )?;
        stage.approve("dept-edu", "oa-2-office").await?;
        stage
            .until("the larger lease in place", |stage| {
                documents::<DeliveredDoc>(stage).len() == 2
            })
            .await?;
        let second = documents::<DeliveredDoc>(stage).pop().unwrap();
        same(&(second.request, second.until), &(2, first.until))?;
        same(&billed(stage), &Vec::new())?;
        // what the department says of the first request is pointed out, and binds nobody
        stage.patch(&staff("edu"), OA, &says(true, None))?;
        stage
            .until("rule T47", |stage| {
                status(stage)["conditions"].to_string().contains("rule T47")
            })
            .await?;
        stage.pass(days(4)).await;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        same(&effective(stage), &vec![(2, first.until)])?;
        same(&billed(stage), &whole(6, first.until))
    });
}

#[test]
fn a_lease_that_is_released_before_it_is_accepted_was_never_billed() {
    tell(async |stage| {
        delivered(stage).await?;
        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage.approve("dept-edu", "oa-release-office").await?;
        stage
            .until("the end", |stage| is_in(stage, "Released"))
            .await?;
        stage.pass(days(30)).await;
        same(&billed(stage), &Vec::new())?;
        same(&effective(stage), &Vec::new())?;
        same(&documents::<AcceptanceDoc>(stage), &Vec::new())
    });
}

const RIGHTS: &str = "rolebindings.rbac.authorization.k8s.io";

/// Whether anybody has rights in the namespace.
fn has_rights(stage: &Stage<'_>) -> bool {
    let all = stage.all(RIGHTS);
    let mut bindings = all.iter();
    bindings.any(|binding| binding["metadata"]["namespace"] == "edu--prod")
}

/// The lease in two namespaces, of which a stranger has the second one's name until it is taken away.
fn divided(stage: &Stage<'_>) -> Result<(Lessee, Wish), String> {
    let stranger =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edu--test"}});
    stage.create(ADMIN, &stranger)?;
    let lessee = Lessee {
        shorts: vec!["prod".to_owned(), "test".to_owned()],
        ..lessee()
    };
    let wish = Wish {
        shares: vec![[4, 8, 10], [2, 4, 4]],
        spare: [0; 3],
    };
    Ok((lessee, wish))
}

async fn in_the_way(stage: &Stage<'_>) -> Result<(), String> {
    let told = |stage: &Stage<'_>| {
        condition(stage, "Waiting").is_some_and(|told| told.contains("rule T32"))
    };
    stage.until("rule T32", told).await
}

#[test]
fn nobody_is_let_in_before_all_of_it_is_in_place_and_the_days_to_try_it_begin_then() {
    tell(async |stage| {
        let policy = json!({"spec": {"acceptance": {"billingStarts": "Accepted"}}});
        stage.furnish(&policy, &["edu"]).await?;
        let (lessee, wish) = divided(stage)?;
        let manifest = world::tenancy(&lessee, &wish);
        stage.create(&staff("edu"), &manifest)?;
        stage.approve("dept-edu", "oa-1-office").await?;
        in_the_way(stage).await?;
        stage
            .until("the other namespace", |stage| pods(stage) == "32")
            .await?;
        // longer than it may be tried
        stage.pass(days(10)).await;
        same(&has_rights(stage), &false)?;
        same(&documents::<DeliveredDoc>(stage), &Vec::new())?;

        let one = json!([manifest["spec"]["namespaces"][0]]);
        stage.patch(&staff("edu"), OA, &json!({"spec": {"namespaces": one}}))?;
        stage
            .until("the lease in place", |stage| is_in(stage, "Provisioned"))
            .await?;
        let delivered = documents::<DeliveredDoc>(stage).pop().unwrap();
        same(&(now(stage).since(delivered.at) > 9 * DAY), &true)?;
        promised(stage, &delivered)?;
        stage.until("rights", has_rights).await?;
        same(&billed(stage), &Vec::new())
    });
}

#[test]
fn what_was_accepted_in_one_life_of_a_name_is_not_accepted_in_the_next() {
    tell(async |stage| {
        delivered(stage).await?;
        let yes = says(true, None);
        stage.patch(&staff("edu"), OA, &yes)?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage.approve("dept-edu", "oa-release-office").await?;
        stage
            .until("the end", |stage| is_in(stage, "Released"))
            .await?;
        stage.delete(&staff("edu"), OA)?;

        let mut again = world::tenancy(&lessee(), &cores(4));
        again["spec"]["acceptance"] = yes["spec"]["acceptance"].clone();
        stage.create(&staff("edu"), &again)?;
        stage.approve("dept-edu", "oa.i2-1-office").await?;
        stage
            .until("the second life in place", |stage| {
                is_in(stage, "Provisioned")
            })
            .await?;
        stage.pass(days(1)).await;
        let told = condition(stage, "Refused").unwrap_or_default();
        same(&told.contains("of request 1 of incarnation 2"), &true)?;
        same(&effective(stage).len(), &1)?;

        let mut of_it = yes.clone();
        of_it["spec"]["acceptance"]["incarnation"] = json!(2);
        stage.patch(&staff("edu"), OA, &of_it)?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        same(&last_word(stage)?.incarnation, &2)?;
        same(&effective(stage).len(), &2)
    });
}
