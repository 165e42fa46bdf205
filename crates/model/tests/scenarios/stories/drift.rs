//! A stranger with every right changes and deletes what the operator keeps, once or again and again.

use std::time::Duration;

use leasehold_model::Written;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::TENANCIES,
    people::{ADMIN, staff},
    script::{Lessee, Wish},
    world,
};

const OFFICE: &str = "dept-edu";
const PLACE: &str = "edu--prod";
const FENCE: [&str; 3] = ["networkpolicies.networking.k8s.io", PLACE, "leasehold"];
const QUOTA: [&str; 3] = ["resourcequotas", PLACE, "leasehold"];
const RIGHTS: [&str; 3] = [
    "rolebindings.rbac.authorization.k8s.io",
    PLACE,
    "leasehold-admins",
];
/// By then everything was looked at again without a reason.
const RESYNC: Duration = Duration::from_secs(1_300);

/// Four cores, eight GiB of memory and ten of storage in one namespace, in place.
async fn leased(stage: &Stage<'_>) -> Result<(), String> {
    stage.furnish(&json!({}), &["edu"]).await?;
    let lessee = Lessee {
        code: "edu",
        name: "oa".to_owned(),
        shorts: vec!["prod".to_owned()],
        keeps: false,
    };
    let wish = Wish {
        shares: vec![[4, 8, 10]],
        spare: [0; 3],
    };
    stage.create(&staff("edu"), &world::tenancy(&lessee, &wish))?;
    stage.approve(OFFICE, "oa-1-office").await?;
    stage.until("the lease in place", is_active).await?;
    // and what its last round made is in the caches
    stage.pass(Duration::from_secs(30)).await;
    Ok(())
}

fn status(stage: &Stage<'_>) -> Value {
    let tenancy = stage.find([TENANCIES, OFFICE, "oa"]).unwrap_or_default();
    tenancy["status"].clone()
}

fn is_active(stage: &Stage<'_>) -> bool {
    status(stage)["phase"] == "Active"
}

/// Whether the history tells something that begins so.
fn tells(stage: &Stage<'_>, begins: &str) -> bool {
    let status = status(stage);
    let history = status["history"].as_array().cloned().unwrap_or_default();
    let mut told = history.iter().filter_map(|entry| entry["what"].as_str());
    told.any(|what| what.starts_with(begins))
}

/// What a condition says; nothing when it does not hold.
fn said(stage: &Stage<'_>, type_: &str) -> Option<String> {
    let status = status(stage);
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == type_ && condition["status"] == "True");
    found.and_then(|found| found["message"].as_str().map(str::to_owned))
}

fn uid(stage: &Stage<'_>, at: [&str; 3]) -> Option<Value> {
    stage.find(at).map(|found| found["metadata"]["uid"].clone())
}

fn cores(stage: &Stage<'_>) -> Value {
    stage.find(QUOTA).unwrap_or_default()["spec"]["hard"]["requests.cpu"].clone()
}

fn types(stage: &Stage<'_>) -> Value {
    stage.find(FENCE).unwrap_or_default()["spec"]["policyTypes"].clone()
}

#[test]
fn what_a_stranger_changes_is_put_right_and_told_by_which_program() {
    tell(async |stage| {
        leased(stage).await?;
        stage.patch(ADMIN, FENCE, &json!({"spec": {"policyTypes": ["Egress"]}}))?;
        let whole = json!(["Ingress", "Egress"]);
        stage
            .until("the fence put right", |stage| types(stage) == whole)
            .await?;
        let told =
            format!("network policy leasehold in {PLACE} was changed by kubectl at 2027-01-15T");
        stage
            .until("the history of the fence", |stage| tells(stage, &told))
            .await?;

        stage.patch(
            ADMIN,
            QUOTA,
            &json!({"spec": {"hard": {"requests.cpu": "1"}}}),
        )?;
        stage
            .until("the quota put right", |stage| cores(stage) == "4")
            .await?;
        let told = format!("quota leasehold in {PLACE} was changed by kubectl at 2027-01-15T");
        stage
            .until("the history of the quota", |stage| tells(stage, &told))
            .await?;
        stage.until("an active tenancy", is_active).await
    });
}

#[test]
fn what_a_stranger_deletes_is_made_anew_and_told() {
    tell(async |stage| {
        leased(stage).await?;
        let objects = [
            (FENCE, "network policy leasehold"),
            (QUOTA, "quota leasehold"),
            (RIGHTS, "role binding leasehold-admins"),
        ];
        for (at, what) in objects {
            let before = uid(stage, at);
            stage.delete(ADMIN, at)?;
            stage
                .until(what, |stage| {
                    let now = uid(stage, at);
                    now.is_some() && now != before
                })
                .await?;
            let told = format!("{what} in {PLACE} was deleted ");
            stage.until(&told, |stage| tells(stage, &told)).await?;
        }
        stage.until("an active tenancy", is_active).await
    });
}

#[test]
fn labels_of_the_namespace_come_back_whoever_took_them() {
    tell(async |stage| {
        leased(stage).await?;
        let at = ["namespaces", "", PLACE];
        let labels =
            |stage: &Stage<'_>| stage.find(at).unwrap_or_default()["metadata"]["labels"].clone();
        let before = labels(stage);
        for label in [
            "pod-security.kubernetes.io/enforce",
            "leasehold.dev/tenancy",
            "leasehold.dev/managed-by",
        ] {
            let gone = json!({"metadata": {"labels": {label: null}}});
            stage.patch(ADMIN, at, &gone)?;
            stage.until(label, |stage| labels(stage) == before).await?;
        }
        stage
            .until("the history", |stage| {
                tells(stage, &format!("namespace {PLACE} was changed"))
            })
            .await?;
        stage.until("an active tenancy", is_active).await
    });
}

#[test]
fn what_a_stranger_adds_stays_and_causes_no_write() {
    tell(async |stage| {
        leased(stage).await?;
        let own = json!({"metadata": {
            "labels": {"team": "oa"}, "annotations": {"note": "kept"},
            "finalizers": ["example.com/seen"],
        }});
        for at in [FENCE, QUOTA, RIGHTS] {
            stage.patch(ADMIN, at, &own)?;
        }
        let version =
            |at| stage.find(at).unwrap_or_default()["metadata"]["resourceVersion"].clone();
        let before = [FENCE, QUOTA, RIGHTS].map(version);
        stage.pass(RESYNC).await;
        if [FENCE, QUOTA, RIGHTS].map(version) != before {
            return Err("what carries something of others was written".to_owned());
        }
        let told = format!("network policy leasehold in {PLACE} was changed");
        if tells(stage, &told) {
            return Err("what somebody added is told as a change".to_owned());
        }
        Ok(())
    });
}

#[test]
fn what_was_changed_while_the_operator_was_away_is_told_from_the_managed_fields() {
    tell(async |stage| {
        leased(stage).await?;
        stage.operator().stop();
        // it begins anew after three seconds
        stage.pass(Duration::from_secs(1)).await;
        stage.patch(ADMIN, FENCE, &json!({"spec": {"policyTypes": ["Egress"]}}))?;
        stage.delete(ADMIN, QUOTA)?;
        let changed = format!("network policy leasehold in {PLACE} was changed by kubectl at ");
        stage
            .until(&changed, |stage| tells(stage, &changed))
            .await?;
        let deleted = format!("quota leasehold in {PLACE} was deleted ");
        stage.until(&deleted, |stage| tells(stage, &deleted)).await
    });
}

/// How often the operator has written an object, or the status of the tenancy.
fn written(stage: &Stage<'_>, resource: &str, subresource: &str) -> usize {
    let written = stage.server.written();
    let its = |one: &&Written| one.resource == resource && one.subresource == subresource;
    written.iter().filter(its).count()
}

/// Somebody writes back each second for ten minutes. Gives how often the operator put it right, and how often it wrote
/// the status of the tenancy meanwhile.
async fn fought(
    stage: &Stage<'_>,
    at: [&str; 3],
    patch: &Value,
    is_whole: impl Fn(&Stage<'_>) -> bool,
) -> Result<[usize; 2], String> {
    let counts = |stage: &Stage<'_>| {
        [
            written(stage, at[0], ""),
            written(stage, TENANCIES, "status"),
        ]
    };
    let before = counts(stage);
    for _ in 0..600 {
        if is_whole(stage) {
            stage.patch(ADMIN, at, patch)?;
        }
        stage.pass(Duration::from_secs(1)).await;
    }
    let after = counts(stage);
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// Five at once, then after 10, 20, 40 and eight times 60 seconds: 16 in ten minutes. Each pause may lose two seconds, one
/// until it is noticed and one until it is written back.
const REPAIRS: std::ops::RangeInclusive<usize> = 14..=18;

/// Waits until nobody speaks of a fight any more.
async fn is_over(stage: &Stage<'_>, what: &str) -> Result<(), String> {
    stage
        .until("the end of the fight", |stage| {
            said(stage, "Contested").is_none() && said(stage, "Ready").is_some()
        })
        .await?;
    let over = format!("nobody changes {what} in {PLACE} any more; ");
    stage.until(&over, |stage| tells(stage, &over)).await
}

#[test]
fn a_stranger_who_writes_back_is_noticed_and_met_with_pauses_until_he_stops() {
    tell(async |stage| {
        leased(stage).await?;
        let hole = json!({"spec": {"policyTypes": ["Egress"]}});
        let whole = json!(["Ingress", "Egress"]);
        let [repairs, statuses] =
            fought(stage, FENCE, &hole, |stage| types(stage) == whole).await?;
        if !REPAIRS.contains(&repairs) || statuses > 2 * repairs {
            return Err(format!("{repairs} repairs, {statuses} statuses"));
        }
        let told = said(stage, "Contested").unwrap_or_default();
        let begins = format!(
            "network policy leasehold in {PLACE} is changed again and again, last by kubectl: put right "
        );
        if !told.starts_with(&begins) || said(stage, "Ready").is_some() {
            return Err(format!("{told:?}; {}", status(stage)));
        }
        stage
            .until("the fence put right", |stage| types(stage) == whole)
            .await?;
        is_over(stage, "network policy leasehold").await
    });
}

#[test]
fn a_fight_over_a_quota_leaves_the_lease_as_it_is() {
    tell(async |stage| {
        leased(stage).await?;
        let less = json!({"spec": {"hard": {"requests.cpu": "1"}}});
        let [repairs, statuses] = fought(stage, QUOTA, &less, |stage| cores(stage) == "4").await?;
        // beside the history, the phase moves with the first five
        if !REPAIRS.contains(&repairs) || statuses > 3 * repairs {
            return Err(format!("{repairs} repairs, {statuses} statuses"));
        }
        if !is_active(stage) {
            return Err(format!("nothing is being set up: {}", status(stage)));
        }
        stage
            .until("the quota put right", |stage| cores(stage) == "4")
            .await?;
        is_over(stage, "quota leasehold").await
    });
}
