//! The office stops what runs in a tenancy; the lease and everything else goes on.

use std::time::Duration;

use leasehold_model::{Faults, Key};
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{
        DAY, EDU, HOUR, OA, OFFICE_OF_EDU, QUOTAS, both, condition, documents, events, history,
        in_phase, leased, manifest, pods, shown,
    },
    tell,
};
use crate::{
    expect::TENANCIES,
    people::{ADMIN, DATA_CENTRE, OFFICE, staff},
    state, world,
};

const SUSPENSIONS: &str = "suspensions.platform.leasehold.dev";
const ORDER: [&str; 3] = [SUSPENSIONS, OFFICE_OF_EDU, "oa"];
const ZONE: [&str; 3] = ["networkzones.platform.leasehold.dev", "", "gov-extranet"];
const MINUTE: Duration = Duration::from_secs(60);
/// Far enough away that nobody speaks of the end of the term.
const THROUGH: &str = "2027-12-31";
/// What the quotas let run: eight pods for each core.
const USUAL: [&str; 2] = ["32", "16"];

fn order(until: Option<&str>) -> Value {
    let mut order = json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
        "metadata": {"name": "oa", "namespace": OFFICE_OF_EDU},
        "spec": {"tenancy": "oa", "reason": "安全整改", "authority": "市政府办 黄政办〔2027〕3号"},
    });
    if let Some(day) = until {
        order["spec"]["until"] = json!(day);
    }
    order
}

fn ordered(stage: &Stage<'_>, pointer: &str) -> Value {
    let order = stage.find(ORDER).unwrap_or_default();
    let found = order["status"].pointer(pointer);
    found.cloned().unwrap_or_default()
}

/// A pod of the department, in this phase.
pub fn pod(stage: &Stage<'_>, name: &str, phase: &str) -> Result<(), String> {
    let mut pod = manifests::pod("edu--prod", name, "500m", "1Gi", None);
    pod["metadata"]["labels"] = json!({"app": "web"});
    stage.create(&staff("edu"), &pod)?;
    stage.server.with_store(|store, now| {
        let kind = store.kinds().of("v1", "Pod").unwrap();
        store.report_pod(&Key::new(&kind, "edu--prod", name), phase, now);
    });
    Ok(())
}

/// Whether the department's pod of this name is there.
pub fn is_there(stage: &Stage<'_>, pod: &str) -> bool {
    stage.find(["pods", "edu--prod", pod]).is_some()
}

/// What the quota of the first namespace allows of everything but pods.
fn but_pods(stage: &Stage<'_>) -> Value {
    let quota = stage.find(QUOTAS[0]).unwrap_or_default();
    let mut hard = quota["spec"]["hard"].clone();
    if let Some(hard) = hard.as_object_mut() {
        hard.remove("pods");
    }
    hard
}

/// Rows of the ledger that record this stage of something.
fn recorded(stage: &Stage<'_>, of: &str, named: &str) -> Vec<u64> {
    let rows = stage.rows();
    let rows = rows.iter().filter(|row| row.chain.key.starts_with(of));
    rows.filter(|row| {
        let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
        body["stage"] == named
    })
    .map(|row| row.chain.seq)
    .collect()
}

async fn no_pods(stage: &Stage<'_>) -> Result<(), String> {
    let none = both(["0", "0"]);
    stage
        .until("quotas without pods", |stage| pods(stage) == none)
        .await
}

async fn pods_again(stage: &Stage<'_>) -> Result<(), String> {
    let usual = both(USUAL);
    stage
        .until("quotas with pods", |stage| pods(stage) == usual)
        .await
}

#[test]
fn a_suspended_tenancy_runs_nothing_keeps_everything_else_and_comes_back() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        for (name, phase) in [
            ("web", "Running"),
            ("late", "Pending"),
            ("done", "Succeeded"),
        ] {
            pod(stage, name, phase)?;
        }
        for own in world::own("edu--prod") {
            stage.create(&staff("edu"), &own)?;
        }
        assert_eq!(pods(stage), both(USUAL));
        let (before, billed) = (
            but_pods(stage),
            state::books(&stage.rows()).leases().clone(),
        );

        stage.create(OFFICE, &order(None))?;
        in_phase(stage, "Suspended").await?;
        no_pods(stage).await?;
        stage
            .until("the end of what ran", |stage| {
                !is_there(stage, "web") && !is_there(stage, "late")
            })
            .await?;
        assert!(is_there(stage, "done"), "what has finished is left alone");
        assert_eq!(but_pods(stage), before);
        for kept in ["configmaps", "persistentvolumeclaims"] {
            assert!(stage.find([kept, "edu--prod", "own"]).is_some(), "{kept}");
        }
        let refused = pod(stage, "more", "Running").unwrap_err();
        assert!(refused.contains("exceeded quota"), "{refused}");
        stage
            .until("who ordered it and what came of it", |stage| {
                ordered(stage, "/phase") == "InForce" && ordered(stage, "/evicted") == 2
            })
            .await?;
        let suspension = shown(stage, "/suspension");
        assert_eq!(suspension["by"], OFFICE);
        assert_eq!(suspension["name"], "oa");
        assert_eq!(suspension["authority"], "市政府办 黄政办〔2027〕3号");
        let told = condition(stage, "Suspended").unwrap_or_default();
        assert!(told.contains("安全整改"), "{told}");

        // a week later, and after the operator was started anew, it is so still, and was told once
        stage.operator().stop();
        stage.pass(DAY * 7).await;
        in_phase(stage, "Suspended").await?;
        assert_eq!(events(stage, "Suspended"), ["Suspend"]);
        assert_eq!(history(stage, "suspended").len(), 1);
        assert_eq!(documents(stage, "suspension").len(), 1);

        stage.delete(OFFICE, ORDER)?;
        in_phase(stage, "Active").await?;
        pods_again(stage).await?;
        assert_eq!(shown(stage, "/suspension"), Value::Null);
        pod(stage, "again", "Running")?;
        stage.pass(DAY).await;
        assert!(is_there(stage, "again"));
        assert_eq!(events(stage, "Resumed"), ["Resume"]);
        assert_eq!(history(stage, "no longer suspended").len(), 1);
        let keys = documents(stage, "suspension");
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert!(
            keys[0].ends_with("/Begun") && keys[1].ends_with("/Ended"),
            "{keys:?}"
        );
        assert_eq!(
            *state::books(&stage.rows()).leases(),
            billed,
            "the lease was billed on"
        );
        Ok(())
    });
}

#[test]
fn a_quota_that_went_while_the_operator_was_away_is_told_of_a_suspended_tenancy_as_well() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        stage.create(OFFICE, &order(None))?;
        no_pods(stage).await?;
        in_phase(stage, "Suspended").await?;
        stage.pass(MINUTE).await;
        stage.operator().stop();
        // it begins anew after three seconds
        stage.pass(Duration::from_secs(1)).await;
        stage.delete(ADMIN, QUOTAS[0])?;
        let deleted = "quota leasehold in edu--prod was deleted ";
        stage
            .until(deleted, |stage| history(stage, deleted).len() == 1)
            .await?;
        no_pods(stage).await
    });
}

#[test]
fn an_order_stops_what_runs_although_the_zone_is_gone() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        pod(stage, "web", "Running")?;
        let kept = stage.find(ZONE).unwrap_or_default();
        stage.delete(DATA_CENTRE, ZONE)?;
        stage
            .until("a word about the zone", |stage| {
                condition(stage, "Waiting").is_some_and(|told| told.contains("gov-extranet"))
            })
            .await?;
        stage.create(OFFICE, &order(None))?;
        no_pods(stage).await?;
        stage
            .until("the end of what ran", |stage| !is_there(stage, "web"))
            .await?;
        in_phase(stage, "Suspended").await?;
        assert_eq!(shown(stage, "/suspension/evicted"), 1);
        assert_eq!(events(stage, "Suspended"), ["Suspend"]);
        assert!(condition(stage, "Waiting").is_some());

        // lifted meanwhile; what may run again does so once the zone is there
        stage.delete(OFFICE, ORDER)?;
        stage
            .until("the end of the order", |stage| {
                shown(stage, "/suspension") == Value::Null
                    && documents(stage, "suspension").len() == 2
            })
            .await?;
        let mut again = kept.clone();
        again["metadata"] = json!({"name": "gov-extranet"});
        if let Some(again) = again.as_object_mut() {
            again.remove("status");
        }
        stage.create(DATA_CENTRE, &again)?;
        in_phase(stage, "Active").await?;
        pods_again(stage).await
    });
}

#[test]
fn an_order_that_comes_after_the_release_is_none_of_the_next_tenancy_of_the_name() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        in_phase(stage, "Released").await?;
        stage.create(OFFICE, &order(None))?;
        stage
            .until("an order that is over", |stage| {
                ordered(stage, "/phase") == "Over"
            })
            .await?;
        stage
            .until("its end in the ledger", |stage| {
                documents(stage, "suspension").len() == 1
            })
            .await?;
        stage.delete(&staff("edu"), OA)?;
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        stage.approve(OFFICE_OF_EDU, "oa.i2-1-office").await?;
        in_phase(stage, "Active").await?;
        assert_eq!(pods(stage), both(USUAL));
        stage.pass(DAY).await;
        assert_eq!(shown(stage, "/phase"), "Active");
        assert_eq!(ordered(stage, "/phase"), "Over");
        let keys = documents(stage, "suspension");
        assert!(keys.len() == 1 && keys[0].ends_with("/Ended"), "{keys:?}");
        Ok(())
    });
}

#[test]
fn an_order_ends_at_midnight_after_its_last_day_and_does_not_come_back() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        // ten in the morning of the 15th in Shanghai
        stage.create(OFFICE, &order(Some("2027-01-15")))?;
        in_phase(stage, "Suspended").await?;
        let longer = json!({"spec": {"until": "2027-01-16"}});
        stage.patch(OFFICE, ORDER, &longer)?;
        stage.pass(DAY).await;
        in_phase(stage, "Suspended").await?;
        // eleven in the evening of the 16th
        stage.pass(HOUR * 13).await;
        assert_eq!(shown(stage, "/phase"), "Suspended");
        assert_eq!(shown(stage, "/suspension/until"), "2027-01-16");
        stage.pass(HOUR * 2).await;
        in_phase(stage, "Active").await?;
        pods_again(stage).await?;
        stage
            .until("its end told", |stage| ordered(stage, "/phase") == "Over")
            .await?;

        let again = json!({"spec": {"until": "2027-02-28"}});
        stage.patch(OFFICE, ORDER, &again)?;
        stage
            .until("the refusal", |stage| ordered(stage, "/phase") == "Refused")
            .await?;
        let conditions = ordered(stage, "/conditions").to_string();
        assert!(conditions.contains("rule T42:"), "{conditions}");
        stage.pass(HOUR).await;
        assert_eq!(shown(stage, "/phase"), "Active");
        assert_eq!(documents(stage, "suspension").len(), 2);

        // another order of the same name is another order
        stage.delete(OFFICE, ORDER)?;
        stage.create(OFFICE, &order(None))?;
        in_phase(stage, "Suspended").await?;
        assert_eq!(documents(stage, "suspension").len(), 3);
        Ok(())
    });
}

#[test]
fn an_essential_system_is_suspended_by_nobody() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        pod(stage, "web", "Running")?;
        let essential = json!({"spec": {"essentialSystems": ["dispatch", "oa"]}});
        stage.patch(OFFICE, EDU, &essential)?;
        stage.pass(MINUTE).await;
        stage.create(OFFICE, &order(None))?;
        stage
            .until("the refusal", |stage| ordered(stage, "/phase") == "Refused")
            .await?;
        let conditions = ordered(stage, "/conditions").to_string();
        assert!(conditions.contains("rule T40:"), "{conditions}");
        stage.pass(DAY).await;
        assert_eq!(shown(stage, "/phase"), "Active");
        assert_eq!(pods(stage), both(USUAL));
        assert!(is_there(stage, "web"));
        assert!(documents(stage, "suspension").is_empty());

        let ordinary = json!({"spec": {"essentialSystems": ["dispatch"]}});
        stage.patch(OFFICE, EDU, &ordinary)?;
        in_phase(stage, "Suspended").await?;
        no_pods(stage).await?;
        // and while it stands still it becomes essential
        stage.patch(OFFICE, EDU, &essential)?;
        in_phase(stage, "Active").await?;
        pods_again(stage).await?;
        assert_eq!(documents(stage, "suspension").len(), 2);
        Ok(())
    });
}

/// An order stops a pod that a disruption budget keeps, and waits for it.
async fn held_by_a_budget(stage: &Stage<'_>) -> Result<(), String> {
    leased(stage, &json!({}), THROUGH).await?;
    pod(stage, "web", "Running")?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "edu--prod"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    stage.create(&staff("edu"), &budget)?;
    stage.create(OFFICE, &order(None))?;
    no_pods(stage).await?;
    stage
        .until("a word about the budget", |stage| {
            condition(stage, "Waiting").is_some_and(|told| told.contains("disruption budgets"))
        })
        .await
}

#[test]
fn a_disruption_budget_holds_a_pod_for_five_minutes_and_no_longer() {
    tell(async |stage| {
        held_by_a_budget(stage).await?;
        stage.pass(MINUTE * 4).await;
        assert!(is_there(stage, "web"));
        stage.pass(MINUTE * 2).await;
        assert!(!is_there(stage, "web"));
        stage
            .until("silence", |stage| condition(stage, "Waiting").is_none())
            .await?;
        assert_eq!(shown(stage, "/suspension/evicted"), 1);
        Ok(())
    });
}

/// While the zone is gone nothing gives the quota its label back, and without that no cache shows it.
#[test]
fn what_a_budget_holds_is_ended_also_where_the_quota_has_lost_its_label_and_the_zone_is_gone() {
    tell(async |stage| {
        held_by_a_budget(stage).await?;
        stage.delete(DATA_CENTRE, ZONE)?;
        let unnamed = json!({"metadata": {"labels": null}});
        stage.patch(ADMIN, QUOTAS[0], &unnamed)?;
        stage.pass(MINUTE * 6).await;
        let labels = &stage.find(QUOTAS[0]).unwrap_or_default()["metadata"]["labels"];
        assert_eq!(labels, &Value::Null, "it was found another way");
        assert!(!is_there(stage, "web"));
        Ok(())
    });
}

#[test]
fn neither_a_split_that_does_not_fit_nor_a_namespace_left_out_keeps_a_suspension_away() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        let good = manifest(THROUGH)["spec"]["namespaces"].clone();
        let mut wrong = good.clone();
        wrong[0]["share"]["vcpu-x86"] = json!("400");
        let left_out = json!([good[0]]);
        // a namespace that leases nothing any more may have eight pods again
        for (split, afterwards) in [(&wrong, USUAL), (&left_out, ["32", "8"])] {
            stage.patch(&staff("edu"), OA, &json!({"spec": {"namespaces": split}}))?;
            stage.pass(MINUTE).await;
            stage.create(OFFICE, &order(None))?;
            no_pods(stage).await?;
            in_phase(stage, "Suspended").await?;
            stage.delete(OFFICE, ORDER)?;
            let again = both(afterwards);
            stage
                .until("pods again", |stage| pods(stage) == again)
                .await?;
        }
        Ok(())
    });
}

#[test]
fn a_suspended_tenancy_changes_its_lease_and_is_released() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        stage.create(OFFICE, &order(None))?;
        no_pods(stage).await?;
        let mut lease = manifest(THROUGH)["spec"]["lease"].clone();
        lease[0]["quantity"] = json!("8");
        stage.patch(&staff("edu"), OA, &json!({"spec": {"lease": lease}}))?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        stage
            .until("the larger lease", |stage| {
                documents(stage, "effective").len() == 2
            })
            .await?;
        assert_eq!(shown(stage, "/phase"), "Suspended");
        assert_eq!(pods(stage), both(["0", "0"]));

        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        in_phase(stage, "Released").await?;
        stage
            .until("the order told that it is over", |stage| {
                ordered(stage, "/phase") == "Over"
            })
            .await?;
        // whoever dies once it is released, or leases under its name at once, finds the order's end on the record
        let ends = recorded(stage, "suspension/", "Ended");
        let released = recorded(stage, "release/", "Released");
        assert!(
            matches!((ends.as_slice(), released.as_slice()), ([ended], [gone]) if ended < gone),
            "the order ended in rows {ends:?}, and the tenancy in {released:?}"
        );
        Ok(())
    });
}

#[test]
fn an_order_is_over_with_the_release_although_the_status_cannot_tell_of_that_yet() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        stage.create(OFFICE, &order(None))?;
        in_phase(stage, "Suspended").await?;
        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        let barred = Faults::default().barring(TENANCIES, OFFICE_OF_EDU);
        stage.server.set_faults(barred);
        stage
            .until("the release in the ledger", |stage| {
                !recorded(stage, "release/", "Released").is_empty()
            })
            .await?;
        assert_eq!(shown(stage, "/phase"), "Reclaiming");
        // whatever makes it be looked at now
        let noted = json!({"metadata": {"annotations": {"example.org/seen": "1"}}});
        stage.patch(OFFICE, ORDER, &noted)?;
        stage
            .until("another word on the order", |stage| {
                ordered(stage, "/phase") != "InForce"
            })
            .await?;
        assert_eq!(ordered(stage, "/phase"), "Over");
        stage.server.set_faults(Faults::default());
        in_phase(stage, "Released").await
    });
}

#[test]
fn an_order_waits_for_a_tenancy_and_holds_from_its_first_hour() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        stage.create(OFFICE, &order(None))?;
        stage
            .until("the wait", |stage| ordered(stage, "/phase") == "Waiting")
            .await?;
        let conditions = ordered(stage, "/conditions").to_string();
        assert!(
            conditions.contains("Tenancy oa does not exist"),
            "{conditions}"
        );
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        in_phase(stage, "Suspended").await?;
        assert_eq!(pods(stage), both(["0", "0"]));
        assert_eq!(events(stage, "Active"), Vec::<String>::new());
        Ok(())
    });
}
