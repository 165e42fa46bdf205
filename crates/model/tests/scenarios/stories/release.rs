//! A release that is rejected and taken back, and what runs on while namespaces end.

use std::time::Duration;

use leasehold_ledger::{
    document::{ReleaseDoc, ReleaseStage},
    fact::{Fact, FactKind},
    time::Second,
};
use leasehold_model::{Faults, Key};
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{
        DAY, HOUR, OA, OFFICE_OF_EDU, QUOTAS, both, condition, documents, history, in_phase,
        leased, manifest, pods, shown,
    },
    tell, tell_metered,
};
use crate::{
    expect::APPROVALS,
    people::{ADMIN, OFFICE, staff},
    world::GRACE,
};

const QUOTAS_OF_ALL: &str = "resourcequotas";
const THROUGH: &str = "2027-12-31";
/// What the quotas let run: eight pods for each core.
const USUAL: [&str; 2] = ["32", "16"];
const FIRST: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-release-office"];
const WEB: [&str; 3] = ["pods", "edu--prod", "web"];
/// Six cores, in thousandths.
const CORES: i64 = 6000;

fn wish() -> Value {
    json!({"spec": {"release": {"reason": "系统下线"}}})
}

fn taken_back() -> Value {
    json!({"spec": {"release": null}})
}

fn now(stage: &Stage<'_>) -> Second {
    stage
        .server
        .with_store(|_, now| Second::from_timestamp(now))
}

/// What was told of an item of the lease: what happened, and how much is billed since when.
fn told(stage: &Stage<'_>, item: &str) -> Vec<(FactKind, i64, Second)> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    let facts = facts.map(|row| serde_json::from_str::<Fact>(&row.body).unwrap());
    facts
        .filter(|fact| fact.meter.to_string() == format!("lease/{item}"))
        .map(|fact| (fact.kind, fact.quantity, fact.at))
        .collect()
}

fn kinds(told: &[(FactKind, i64, Second)]) -> Vec<(FactKind, i64)> {
    told.iter()
        .map(|(kind, quantity, _)| (*kind, *quantity))
        .collect()
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

fn no(reason: &str) -> Value {
    json!({"spec": {"decision": "Rejected", "reason": reason}})
}

/// The department asks for the end, nothing runs, and the office says no.
async fn rejected(stage: &Stage<'_>) -> Result<(), String> {
    stage.patch(&staff("edu"), OA, &wish())?;
    stage
        .until("the end of compute", |stage| {
            told(stage, "vcpu-x86").len() == 2
        })
        .await?;
    stage
        .until("the question", |stage| {
            stage.find(FIRST).is_some() && shown(stage, "/releaseDecision") == "Undecided"
        })
        .await?;
    let early = stage
        .patch(&staff("edu"), OA, &taken_back())
        .expect_err("taken back before anybody said anything");
    assert!(early.contains("rule T03"), "{early}");
    stage.patch(OFFICE, FIRST, &no("先迁移数据"))?;
    stage
        .until("the rejection", |stage| {
            shown(stage, "/releaseDecision") == "Rejected"
        })
        .await
}

#[test]
fn a_rejected_release_is_taken_back_and_the_lease_stands_and_is_billed_as_before() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        rejected(stage).await?;
        let refused = condition(stage, "Refused").unwrap_or_default();
        assert!(refused.contains("先迁移数据"), "{refused}");
        assert_eq!(pods(stage), both(["0", "0"]));
        stage.pass(DAY).await;
        let asked_back = now(stage);
        stage.patch(&staff("edu"), OA, &taken_back())?;
        in_phase(stage, "Active").await?;
        let usual = both(USUAL);
        stage
            .until("pods again", |stage| pods(stage) == usual)
            .await?;
        assert_eq!(shown(stage, "/releaseDecision"), Value::Null);
        assert_eq!(shown(stage, "/reclaimingSince"), Value::Null);
        assert_eq!(condition(stage, "Refused"), None);
        assert_eq!(history(stage, "took the release back").len(), 1);
        let cores = told(stage, "vcpu-x86");
        let expected = [
            (FactKind::Opened, CORES),
            (FactKind::Closed, 0),
            (FactKind::Opened, CORES),
        ];
        assert_eq!(kinds(&cores), expected);
        let again = cores[2].2.since(asked_back);
        assert!((0..=60).contains(&again), "billed {again} s after");
        let disks = told(stage, "block-ssd");
        assert_eq!(kinds(&disks), [(FactKind::Opened, 14 << 30)], "never ended");
        // said once, also after the operator was started anew
        stage.operator().stop();
        stage.pass(DAY).await;
        assert_eq!(told(stage, "vcpu-x86").len(), 3);
        in_phase(stage, "Active").await
    });
}

#[test]
fn what_was_billed_of_a_part_ends_with_its_release_and_is_billed_again_once_that_is_taken_back() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        // a stranger has the name of the second namespace: the request never stands as a whole
        let stranger =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edu--test"}});
        stage.create(ADMIN, &stranger)?;
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        stage
            .until("a part that is billed", |stage| {
                told(stage, "vcpu-x86").len() == 1
            })
            .await?;
        rejected(stage).await?;
        stage.pass(DAY).await;
        let asked_back = now(stage);
        stage.patch(&staff("edu"), OA, &taken_back())?;
        stage
            .until("what is billed again", |stage| {
                told(stage, "vcpu-x86").len() == 3
            })
            .await?;
        let cores = told(stage, "vcpu-x86");
        let expected = [
            (FactKind::Opened, CORES),
            (FactKind::Closed, 0),
            (FactKind::Opened, CORES),
        ];
        assert_eq!(kinds(&cores), expected);
        let again = cores[2].2.since(asked_back);
        assert!((0..=60).contains(&again), "billed {again} s after");

        stage.delete(ADMIN, ["namespaces", "", "edu--test"])?;
        in_phase(stage, "Active").await?;
        assert_eq!(told(stage, "vcpu-x86").len(), 3, "the whole is no more");
        let disks = told(stage, "block-ssd");
        assert_eq!(kinds(&disks), [(FactKind::Opened, 14 << 30)], "never ended");
        Ok(())
    });
}

#[test]
fn what_is_billed_again_before_the_whole_stands_holds_no_period_back_after_that() {
    tell_metered(async |stage| {
        let minutes = json!({"spec": {"period": {"kind": "Rehearsal", "rehearsalSeconds": 60}}});
        leased(stage, &minutes, THROUGH).await?;
        rejected(stage).await?;
        // somebody's webhook for quotas does not work in one of the namespaces
        let barred = Faults::default().barring(QUOTAS_OF_ALL, "edu--test");
        stage.server.set_faults(barred);
        stage.patch(&staff("edu"), OA, &taken_back())?;
        stage
            .until("what is billed again", |stage| {
                told(stage, "vcpu-x86").len() == 3
            })
            .await?;
        stage.server.set_faults(Faults::default());
        let usual = both(USUAL);
        stage
            .until("the whole", |stage| pods(stage) == usual)
            .await?;
        in_phase(stage, "Active").await?;
        let whole = now(stage);
        let closed = documents(stage, "period-close").len();
        stage
            .until("the periods of three more minutes", |stage| {
                documents(stage, "period-close").len() >= closed + 3
            })
            .await?;
        // a tenancy that is late may hold the others back for fifteen minutes
        let held = now(stage).since(whole);
        assert!(held < 600, "held back for {held} s");
        Ok(())
    });
}

#[test]
fn a_release_that_was_taken_back_is_asked_for_anew_with_a_grace_of_its_own() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        rejected(stage).await?;
        stage.patch(&staff("edu"), OA, &taken_back())?;
        in_phase(stage, "Active").await?;
        stage.pass(DAY).await;
        stage.patch(&staff("edu"), OA, &wish())?;
        stage.approve(OFFICE_OF_EDU, "oa.r2-release-office").await?;
        in_phase(stage, "Released").await?;
        let found = releases(stage);
        let stages: Vec<(ReleaseStage, u32)> =
            found.iter().map(|doc| (doc.stage, doc.round)).collect();
        let expected = [
            (ReleaseStage::Requested, 0),
            (ReleaseStage::TakenBack, 0),
            (ReleaseStage::Requested, 1),
            (ReleaseStage::Released, 1),
        ];
        assert_eq!(stages, expected);
        let waited = found[3].at.since(found[2].at);
        assert!(waited >= GRACE, "gone after {waited} s");
        let expected = [
            (FactKind::Opened, CORES),
            (FactKind::Closed, 0),
            (FactKind::Opened, CORES),
            (FactKind::Closed, 0),
        ];
        assert_eq!(kinds(&told(stage, "vcpu-x86")), expected);
        Ok(())
    });
}

#[test]
fn an_approved_release_goes_on_although_the_object_is_made_anew_without_it() {
    tell(async |stage| {
        let policy = json!({"spec": {"release": {"graceSeconds": 3 * 24 * 3600}}});
        leased(stage, &policy, THROUGH).await?;
        stage.patch(&staff("edu"), OA, &wish())?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        stage
            .until("the approval", |stage| {
                shown(stage, "/releaseDecision") == "Approved"
            })
            .await?;
        // rule T12 would not let the department do this
        stage.delete(ADMIN, OA)?;
        stage.create(&staff("edu"), &manifest(THROUGH))?;
        stage
            .until("a word about it", |stage| {
                condition(stage, "Refused").is_some_and(|told| told.starts_with("rule T03:"))
            })
            .await?;
        assert_eq!(shown(stage, "/phase"), "Reclaiming");
        assert_eq!(pods(stage), both(["0", "0"]));
        stage.pass(DAY * 4).await;
        stage
            .until("the end", |stage| {
                documents(stage, "release") == ["edu/oa/1/Requested", "edu/oa/1/Released"]
            })
            .await
    });
}

#[test]
fn a_quota_that_is_taken_away_during_a_release_is_made_anew_and_lets_nothing_run() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        stage.patch(&staff("edu"), OA, &wish())?;
        let closed = both(["0", "0"]);
        let is_closed = |stage: &Stage<'_>| pods(stage) == closed;
        stage.until("quotas without pods", is_closed).await?;
        stage.delete(ADMIN, QUOTAS[0])?;
        assert!(stage.find(QUOTAS[0]).is_none());
        stage.until("the quota made anew", is_closed).await?;
        let made = stage.find(QUOTAS[0]).unwrap_or_default();
        assert_eq!(made["spec"]["hard"]["requests.cpu"], "0", "{made}");
        // nor is one lost that no longer says whose it is
        let unmarked = json!({"metadata": {"labels": {"leasehold.dev/managed-by": null}}});
        stage.patch(ADMIN, QUOTAS[1], &unmarked)?;
        let label = "/metadata/labels/leasehold.dev~1managed-by";
        let is_marked = |stage: &Stage<'_>| {
            let quota = stage.find(QUOTAS[1]).unwrap_or_default();
            quota.pointer(label).is_some()
        };
        stage.until("its label", is_marked).await?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        in_phase(stage, "Released").await
    });
}

#[test]
fn compute_is_billed_until_the_last_pod_is_gone_although_its_namespace_ends_already() {
    tell(async |stage| {
        leased(stage, &json!({}), THROUGH).await?;
        let mut pod = manifests::pod("edu--prod", "web", "500m", "1Gi", None);
        // as one that asks for hours in which to end
        pod["metadata"]["finalizers"] = json!(["example.com/ends-slowly"]);
        stage.create(&staff("edu"), &pod)?;
        stage.server.with_store(|store, now| {
            let kind = store.kinds().of("v1", "Pod").unwrap();
            store.report_pod(&Key::new(&kind, "edu--prod", "web"), "Running", now);
        });
        stage.patch(&staff("edu"), OA, &wish())?;
        stage.approve(OFFICE_OF_EDU, "oa-release-office").await?;
        let lingers = |stage: &Stage<'_>| {
            let place = stage
                .find(["namespaces", "", "edu--prod"])
                .unwrap_or_default();
            let ends = !place["metadata"]["deletionTimestamp"].is_null();
            ends && stage.find(QUOTAS[0]).is_none() && stage.find(WEB).is_some()
        };
        stage
            .until("a namespace that ends around its pod", lingers)
            .await?;
        stage.pass(HOUR * 5).await;
        let cores = told(stage, "vcpu-x86");
        assert_eq!(kinds(&cores), [(FactKind::Opened, CORES)]);
        let waits = condition(stage, "Waiting").unwrap_or_default();
        assert!(waits.contains("workloads still run"), "{waits}");

        let freed = now(stage);
        stage.patch(ADMIN, WEB, &json!({"metadata": {"finalizers": null}}))?;
        in_phase(stage, "Released").await?;
        let cores = told(stage, "vcpu-x86");
        let [_, (FactKind::Closed, 0, at)] = cores.as_slice() else {
            return Err(format!("{cores:?}"));
        };
        let late = at.since(freed);
        assert!((0..=60).contains(&late), "ended {late} s after the pod");
        // gives time for nothing to be told twice
        stage.pass(Duration::from_secs(3600)).await;
        assert_eq!(told(stage, "vcpu-x86").len(), 2);
        Ok(())
    });
}
