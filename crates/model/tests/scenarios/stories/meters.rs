//! Declared meters: a kind that nobody knew when leasehold was built is metered to the second, and one that is not there
//! hinders nobody.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use leasehold_ledger::{
    document::GapDoc,
    fact::{Fact, FactKind},
    time::{Second, Zone},
};
use leasehold_model::Kinds;
use serde_json::{Value, json};

use super::{Stage, play};
use crate::{
    expect::TENANCIES,
    people::{ADMIN, DATA_CENTRE, FINANCE, staff},
    script::Parts,
    world::NAMESPACE,
};

const METERS: &str = "meters.platform.leasehold.dev";
const BOOKS: &str = "pricebooks.charging.leasehold.dev";
const APPROVALS: &str = "approvals.charging.leasehold.dev";
pub(super) const BUCKET: [&str; 3] = ["buckets.storage.example.com", "edu--prod", "files"];

/// The kinds of leasehold, and buckets.
pub(super) fn kinds() -> Kinds {
    let buckets: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "buckets.storage.example.com"},
        "spec": {
            "group": "storage.example.com", "scope": "Namespaced",
            "names": {"kind": "Bucket", "plural": "buckets"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"quota": {"type": "string"}}},
                }}},
            }],
        },
    }))
    .unwrap();
    let mut all = leasehold_api::definitions();
    all.push(buckets);
    Kinds::with(&all)
}

fn meter(name: &str, kind: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Meter",
        "metadata": {"name": name},
        "spec": {
            "displayName": "对象存储桶容量", "group": "storage.example.com", "version": "v1",
            "kind": kind, "resource": resource, "quantity": {"path": ".spec.quota"}, "unit": "GiB",
        },
    })
}

fn prices() -> Value {
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": "buckets-2027"},
        "spec": {
            "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-001",
            "validity": {"from": "2027-01-01", "through": "2027-12-31"}, "currency": "CNY",
            "tax": {"included": true, "percent": "6"},
            "items": [{
                "name": "bucket", "displayName": "对象存储", "category": "storage",
                "meter": "buckets", "unit": "GiB", "per": "Hour", "basis": "Metered",
                "price": "0.0002",
            }],
        },
    })
}

fn tenancy() -> Value {
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
        "metadata": {"name": "oa", "namespace": "dept-edu"},
        "spec": {
            "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
            "term": {"from": "2027-01-01", "through": "2027-12-31"},
            "contract": "HS-ZFCG-2026-031", "budget": {"code": "30227"},
            "lease": [
                {"item": "vcpu-x86", "quantity": "4"}, {"item": "memory", "quantity": "8Gi"},
                {"item": "bucket", "quantity": "100Gi"},
            ],
            "namespaces": [{"name": "prod", "share": {"vcpu-x86": "4", "memory": "8Gi"}}],
            "members": [{"role": "admin", "group": "edu-admins"}],
        },
    })
}

pub(super) fn bucket(quota: &str) -> Value {
    json!({
        "apiVersion": "storage.example.com/v1", "kind": "Bucket",
        "metadata": {"name": "files", "namespace": "edu--prod"}, "spec": {"quota": quota},
    })
}

/// The message of the condition of this type, and whether it holds.
fn condition(object: &Value, type_: &str) -> Option<(bool, String)> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == type_)?;
    let message = found["message"].as_str().unwrap_or_default();
    Some((found["status"] == "True", message.to_owned()))
}

pub(super) fn is_ready(stage: &Stage<'_>, name: &str) -> bool {
    let found = stage.find([METERS, "", name]).unwrap_or_default();
    condition(&found, "Ready").is_some_and(|(holds, _)| holds)
}

/// When an object was last written, as the API server has it.
fn written(stage: &Stage<'_>) -> Second {
    let object = stage.find(BUCKET).unwrap();
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let times = entries.iter().filter_map(|entry| entry["time"].as_str());
    times
        .map(|time| Second::parse(time).unwrap())
        .max()
        .unwrap()
}

/// What the ledger has of the meter: what happened, when, how many GiB, and whether that is an estimate.
fn counted(stage: &Stage<'_>) -> Vec<(FactKind, Second, i64, bool)> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    facts
        .map(|row| serde_json::from_str::<Fact>(&row.body).unwrap())
        .filter(|fact| fact.meter.to_string() == "meter/buckets")
        .map(|fact| (fact.kind, fact.at, fact.quantity >> 30, fact.estimated))
        .collect()
}

fn now(stage: &Stage<'_>) -> Second {
    stage
        .server
        .with_store(|_, now| Second::from_timestamp(now))
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// The department leases what the meter counts, at a price that names it.
pub(super) async fn lease(stage: &Stage<'_>) -> Result<(), String> {
    let [loads, publishes] = FINANCE;
    // the book comes before its meter, and waits for it
    stage.create(loads, &prices())?;
    let book = [BOOKS, "", "buckets-2027"];
    stage
        .until("a book that misses its meter", |stage| {
            let found = stage.find(book).unwrap_or_default();
            condition(&found, "Refused").is_some_and(|(_, message)| {
                message.contains("rule E08: asked bucket with meter buckets, which is not declared")
            })
        })
        .await?;
    stage.create(DATA_CENTRE, &meter("buckets", "Bucket", "buckets"))?;
    let question = [APPROVALS, NAMESPACE, "pb-buckets-2027-finance"];
    stage
        .until("the question about the book", |stage| {
            stage.find(question).is_some()
        })
        .await?;
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "黄财资〔2027〕2号"}});
    stage.patch(publishes, question, &yes)?;
    stage
        .until("the book published", |stage| {
            stage.find(book).unwrap_or_default()["status"]["phase"] == "Published"
        })
        .await?;
    stage.create(&staff("edu"), &tenancy())?;
    stage.approve("dept-edu", "oa-1-office").await?;
    stage
        .until("the lease", |stage| {
            let found = stage.find([TENANCIES, "dept-edu", "oa"]);
            found.unwrap_or_default()["status"]["phase"] == "Active"
        })
        .await
}

#[test]
fn buckets_are_metered_to_the_second_through_changes_and_a_restart_and_an_absent_kind_harms_nobody()
{
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        stage.create(DATA_CENTRE, &meter("ghosts", "Ghost", "ghosts"))?;
        lease(stage).await?;
        stage
            .until("a meter that counts", |stage| is_ready(stage, "buckets"))
            .await?;

        stage.create(ADMIN, &bucket("5Gi"))?;
        let made = written(stage);
        stage.pass(seconds(100)).await;
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "8Gi"}}))?;
        let grown = written(stage);
        // what is written while the operator is away is caught up with
        stage.operator().stop();
        stage.pass(seconds(1)).await;
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "2Gi"}}))?;
        let shrunk = written(stage);
        stage.pass(seconds(100)).await;
        let before = now(stage);
        stage.delete(ADMIN, BUCKET)?;
        stage
            .until("the end of the bucket", |stage| counted(stage).len() == 4)
            .await?;

        let facts = counted(stage);
        let expected = [
            (FactKind::Opened, made, 5, false),
            (FactKind::Changed, grown, 8, false),
            (FactKind::Changed, shrunk, 2, false),
        ];
        assert_eq!(facts[..3], expected);
        let (kind, end, _, estimated) = facts[3];
        assert_eq!((kind, estimated), (FactKind::Closed, false));
        assert!((0..=1).contains(&end.since(before)), "{before} {end}");

        let ghosts = stage.find([METERS, "", "ghosts"]).unwrap_or_default();
        let (holds, message) = condition(&ghosts, "Ready").unwrap();
        assert!(!holds && message.contains("are not served"), "{message}");
        assert_eq!(condition(&ghosts, "Blind"), None);
        // nothing waits for what is not there; a period says so once an hour
        stage.pass(seconds(3700)).await;
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let end = end.in_zone(&zone);
        stage
            .until("a period that is complete up to the end", |stage| {
                let periods = stage.all("billingperiods.charging.leasehold.dev");
                periods.iter().any(|period| {
                    let to = period["status"]["completeTo"].as_str();
                    to.is_some_and(|to| to > end.as_str())
                })
            })
            .await
    });
}

#[test]
fn what_was_there_before_a_meter_counts_from_its_beginning_and_what_it_counted_ends_with_it() {
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        lease(stage).await?;
        stage.create(ADMIN, &bucket("5Gi"))?;
        stage
            .until("the bucket", |stage| counted(stage).len() == 1)
            .await?;
        stage.delete(ADMIN, [METERS, "", "buckets"])?;
        let removed = now(stage);
        stage
            .until("the end of the meter", |stage| counted(stage).len() == 2)
            .await?;
        let (kind, at, _, estimated) = counted(stage)[1];
        assert_eq!((kind, estimated), (FactKind::Closed, false));
        assert!((0..=2).contains(&at.since(removed)), "{removed} {at}");
        stage.pass(seconds(300)).await;
        assert_eq!(counted(stage).len(), 2, "nothing counts without a meter");

        let again = now(stage);
        stage.create(DATA_CENTRE, &meter("buckets", "Bucket", "buckets"))?;
        stage
            .until("the bucket anew", |stage| counted(stage).len() == 3)
            .await?;
        let (kind, at, gib, estimated) = counted(stage)[2];
        assert_eq!((kind, gib, estimated), (FactKind::Opened, 5, false));
        assert!((0..=30).contains(&at.since(again)), "{again} {at}");
        // it goes on as any other
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "6Gi"}}))?;
        let grown = written(stage);
        stage
            .until("the change", |stage| counted(stage).len() == 4)
            .await?;
        assert_eq!(counted(stage)[3], (FactKind::Changed, grown, 6, false));
        Ok(())
    });
}

/// The gaps of single buckets: from when to when, and why.
fn gaps(stage: &Stage<'_>) -> Vec<GapDoc> {
    let rows = stage.rows();
    let documents = rows.iter().filter(|row| row.chain.kind == "document");
    documents
        .filter_map(|row| serde_json::from_str::<GapDoc>(&row.body).ok())
        .filter(|gap| {
            gap.source.starts_with("meter/buckets/") && gap.source.matches('/').count() == 3
        })
        .collect()
}

fn is_blind(stage: &Stage<'_>) -> bool {
    let found = stage.find([METERS, "", "buckets"]).unwrap_or_default();
    condition(&found, "Blind").is_some_and(|(holds, _)| holds)
}

/// Before a bucket can be counted it uses nothing that anybody knows of, and that is a gap in each month that it lasts.
#[test]
fn a_bucket_that_says_nothing_that_can_be_counted_leaves_gaps_and_holds_up_nobody() {
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        lease(stage).await?;
        stage
            .until("a meter that counts", |stage| is_ready(stage, "buckets"))
            .await?;
        stage.create(ADMIN, &bucket("lots"))?;
        let made = written(stage);
        stage
            .until("the first gap", |stage| gaps(stage).len() == 1)
            .await?;
        let first = gaps(stage).remove(0);
        assert_eq!(first.from, made);
        let why = "it cannot be counted: Bucket edu--prod/files: failed to count";
        assert!(first.reason.starts_with(why), "{first:?}");

        // a restart goes on behind the event, and knows it from the ledger
        stage.operator().stop();
        stage.pass(seconds(30)).await;
        stage
            .until("a blind meter after the restart", is_blind)
            .await?;
        assert_eq!(gaps(stage).len(), 1, "nothing is told twice");

        // the next months have gaps of their own, and use is complete all the same
        stage.pass(seconds(40 * 86_400)).await;
        stage
            .until("a gap that goes on", |stage| gaps(stage).len() >= 2)
            .await?;
        let next = gaps(stage).remove(1);
        assert_eq!(next.from, first.to);
        let later = next.to.in_zone(&Zone::parse("Asia/Shanghai").unwrap());
        stage.pass(seconds(3700)).await;
        stage
            .until("a period that is complete up to then", |stage| {
                let periods = stage.all("billingperiods.charging.leasehold.dev");
                periods.iter().any(|period| {
                    let to = period["status"]["completeTo"].as_str();
                    to.is_some_and(|to| to > later.as_str())
                })
            })
            .await?;

        let before = gaps(stage).len();
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "8Gi"}}))?;
        let grown = written(stage);
        stage
            .until("what counts", |stage| counted(stage).len() == 1)
            .await?;
        assert_eq!(counted(stage)[0], (FactKind::Opened, grown, 8, false));
        let all = gaps(stage);
        assert_eq!(all.len(), before + 1);
        let last = &all[before];
        assert_eq!(last.from, all[before - 1].to);
        assert!(
            last.reason.starts_with("it could not be counted until now"),
            "{last:?}"
        );
        stage
            .until("a meter that sees", |stage| !is_blind(stage))
            .await
    });
}

/// Who writes nonsense and sense in turn fills neither the ledger nor finance's question, and nothing of it is left out.
#[test]
fn a_bucket_that_is_written_to_and_fro_leaves_a_few_gaps_an_hour() {
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        lease(stage).await?;
        stage
            .until("a meter that counts", |stage| is_ready(stage, "buckets"))
            .await?;
        stage.create(ADMIN, &bucket("lots"))?;
        stage
            .until("the first gap", |stage| gaps(stage).len() == 1)
            .await?;
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "8Gi"}}))?;
        // whoever mends it once is told at once
        stage
            .until("its end", |stage| gaps(stage).len() == 2)
            .await?;
        for _ in 0..10 {
            for quota in ["lots", "8Gi"] {
                stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": quota}}))?;
                stage.pass(seconds(5)).await;
            }
        }
        stage
            .until("a meter that sees", |stage| !is_blind(stage))
            .await?;
        assert_eq!(gaps(stage).len(), 3, "one for all of it, which goes on");
        // a restart goes on behind the event that mended it, and finds that it counts
        let stopped = now(stage);
        stage.operator().stop();
        stage.pass(seconds(600)).await;
        assert!(!is_blind(stage), "it was left as not counted");
        assert_eq!(gaps(stage).len(), 3, "an hour is not over");
        stage.pass(seconds(3700)).await;
        stage
            .until("the last gap", |stage| gaps(stage).len() == 4)
            .await?;
        let all = gaps(stage);
        assert_eq!(all[3].from, all[2].to);
        // up to when the process that came after looked
        let until = all[3].to.since(stopped);
        assert!((0..=600).contains(&until), "{:?} {stopped}", all[3]);
        assert!(
            all[3]
                .reason
                .starts_with("it could not be counted until now")
        );
        Ok(())
    });
}

#[test]
fn what_a_meter_could_not_count_when_it_was_removed_is_told_up_to_then() {
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        lease(stage).await?;
        stage
            .until("a meter that counts", |stage| is_ready(stage, "buckets"))
            .await?;
        stage.create(ADMIN, &bucket("lots"))?;
        stage
            .until("the first gap", |stage| gaps(stage).len() == 1)
            .await?;
        stage.pass(seconds(1000)).await;
        stage.delete(ADMIN, [METERS, "", "buckets"])?;
        let removed = now(stage);
        stage
            .until("the last gap", |stage| gaps(stage).len() == 2)
            .await?;
        let all = gaps(stage);
        assert_eq!(all[1].from, all[0].to);
        assert!((0..=2).contains(&all[1].to.since(removed)), "{:?}", all[1]);
        assert!(
            all[1]
                .reason
                .starts_with("it could not be counted until now")
        );
        // neither again nor after a restart
        stage.operator().stop();
        stage.pass(seconds(300)).await;
        assert_eq!(gaps(stage).len(), 2);
        // and one that goes while the operator is away is told of when it is back
        stage.create(DATA_CENTRE, &meter("buckets", "Bucket", "buckets"))?;
        stage
            .until("a gap of the new meter", |stage| gaps(stage).len() == 3)
            .await?;
        stage.operator().stop();
        stage.delete(ADMIN, [METERS, "", "buckets"])?;
        stage
            .until("its last gap", |stage| gaps(stage).len() == 4)
            .await?;
        let all = gaps(stage);
        assert_eq!((&all[3].source, all[3].from), (&all[2].source, all[2].to));
        assert_ne!(all[3].source, all[1].source);
        Ok(())
    });
}

#[test]
fn a_kind_that_is_served_in_another_version_is_not_taken_for_none() {
    play(kinds(), Parts::Everything, async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        lease(stage).await?;
        stage.create(ADMIN, &bucket("5Gi"))?;
        stage
            .until("the bucket", |stage| counted(stage).len() == 1)
            .await?;
        // as if the cluster served v1 no more; the version that a meter names may change
        let at = [METERS, "", "buckets"];
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let stopped = now(stage).plus(60).in_zone(&zone);
        stage.patch(DATA_CENTRE, at, &json!({"spec": {"version": "v1beta1"}}))?;
        stage
            .until("a meter that says which version is served", |stage| {
                let found = stage.find(at).unwrap_or_default();
                condition(&found, "Ready").is_some_and(|(holds, message)| {
                    !holds && message.contains("buckets are served in v1, not in v1beta1")
                })
            })
            .await?;
        stage.pass(seconds(300)).await;
        assert!(is_blind(stage));
        assert_eq!(counted(stage).len(), 1, "nothing has ended");
        // a period says up to when use is complete once an hour
        stage.pass(seconds(7300)).await;
        let periods = stage.all("billingperiods.charging.leasehold.dev");
        let complete = periods
            .iter()
            .filter_map(|period| period["status"]["completeTo"].as_str())
            .max();
        assert!(complete <= Some(stopped.as_str()), "{complete:?} {stopped}");

        stage.patch(DATA_CENTRE, at, &json!({"spec": {"version": "v1"}}))?;
        stage
            .until("a meter that counts", |stage| is_ready(stage, "buckets"))
            .await?;
        stage.patch(ADMIN, BUCKET, &json!({"spec": {"quota": "8Gi"}}))?;
        let grown = written(stage);
        stage
            .until("the change", |stage| counted(stage).len() == 2)
            .await?;
        assert_eq!(counted(stage)[1], (FactKind::Changed, grown, 8, false));
        Ok(())
    });
}
