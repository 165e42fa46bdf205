//! Clocks that cannot be believed, and nodes that say nothing: the API server's clock is set, and a node is lost.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use leasehold_ledger::{
    document::GapDoc,
    fact::{Fact, FactKind, Interval, intervals},
    time::{Second, Span, Zone, union},
};
use leasehold_model::{Call, Key, PatchKind, Verb};
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, oa, tell_metered};
use crate::people::{self, ADMIN};

const MINUTE: Duration = Duration::from_secs(60);
const PLACE: &str = "edu--prod";
const HOUR: i64 = 3600;
/// Beats of the heartbeat are so many seconds apart at the most, with what a call takes.
const BEAT: i64 = 8;
const JANUARY: [&str; 3] = ["billingperiods.charging.leasehold.dev", "", "2027-01"];

/// Now, by the API server's clock.
fn now(stage: &Stage<'_>) -> Second {
    stage
        .server
        .with_store(|_, now| Second::from_timestamp(now))
}

fn object(name: &str) -> String {
    format!("Pod {PLACE}/{name}")
}

/// A pod of a core that runs on a node; gives the second from which it does.
fn run(stage: &Stage<'_>, name: &str) -> Result<Second, String> {
    let mut pod = manifests::pod(PLACE, name, "1", "1Gi", None);
    pod["spec"]["nodeName"] = json!("dc1-r01-n01");
    stage.create(ADMIN, &pod)?;
    people::runs(stage.server, PLACE, name);
    Ok(now(stage))
}

/// Its only container finishes; gives the second of that.
fn finish(stage: &Stage<'_>, name: &str) -> Result<Second, String> {
    stage.server.with_store(|store, now| {
        let kind = store.kinds().resource("pods").ok_or("there are no pods")?;
        store.report_pod(&Key::new(&kind, PLACE, name), "Succeeded", now);
        Ok(Second::from_timestamp(now))
    })
}

/// What the ledger has, of all pods and leases.
fn facts(stage: &Stage<'_>) -> Vec<Fact> {
    let rows = stage.rows().into_iter();
    let facts = rows.filter(|row| row.chain.kind == "fact");
    facts
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

/// What the ledger has of the cores of a pod.
fn cores(stage: &Stage<'_>, name: &str) -> Vec<Fact> {
    let mut found = facts(stage);
    found.retain(|fact| fact.subject.object == object(name) && fact.meter.to_string() == "pod/cpu");
    found
}

/// Waits until the cores of a pod have had as much happen to them.
async fn told(stage: &Stage<'_>, name: &str, kinds: &[FactKind]) -> Result<(), String> {
    let what = format!("{kinds:?} of {name}");
    stage
        .until(&what, |stage| {
            let found = cores(stage, name);
            found.iter().map(|fact| fact.kind).eq(kinds.iter().copied())
        })
        .await
}

/// The gaps that a clock has left, in the order of the ledger.
fn gaps(stage: &Stage<'_>) -> Vec<GapDoc> {
    let rows = stage.rows().into_iter();
    let documents = rows.filter(|row| row.chain.kind == "document");
    documents
        .filter_map(|row| serde_json::from_str::<GapDoc>(&row.body).ok())
        .filter(|gap| gap.source == "clock")
        .collect()
}

async fn gap(stage: &Stage<'_>) -> Result<GapDoc, String> {
    stage
        .until("a gap of the clock", |stage| !gaps(stage).is_empty())
        .await?;
    Ok(gaps(stage).remove(0))
}

fn period(stage: &Stage<'_>) -> Value {
    stage.find(JANUARY).unwrap_or_default()["status"].clone()
}

/// The period tells finance of the gap.
async fn is_told(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("the gap in the period", |stage| {
            let told = &period(stage)["gaps"];
            told.as_array()
                .is_some_and(|told| told.iter().any(|gap| gap["source"] == "clock"))
        })
        .await
}

/// No second of any object counts twice for a meter, whatever clocks have shown.
fn nothing_counts_twice(stage: &Stage<'_>) {
    let mut all: Vec<Interval> = intervals(&facts(stage), Second::MAX).unwrap();
    all.retain(|interval| interval.subject.object.starts_with("Pod "));
    assert!(!all.is_empty());
    for one in &all {
        let same = all
            .iter()
            .filter(|other| other.subject.object == one.subject.object && other.meter == one.meter);
        let spans: Vec<_> = same.map(|interval| interval.span).collect();
        let counted: i64 = spans.iter().map(Span::seconds).sum();
        let passed: i64 = union(spans).iter().map(Span::seconds).sum();
        assert_eq!(counted, passed, "{one:?}");
    }
}

/// The facts of leases are the operator's own: no clock ends or begins any.
fn leases(stage: &Stage<'_>) -> Vec<Fact> {
    let mut found = facts(stage);
    found.retain(|fact| fact.meter.to_string().starts_with("lease/"));
    found
}

#[test]
fn a_server_clock_that_is_set_forward_leaves_a_gap_and_what_ran_through_it_counts_once() {
    use FactKind::{Closed, Opened};

    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        let began = run(stage, "through")?;
        told(stage, "through", &[Opened]).await?;
        stage.pass(MINUTE).await;
        let leased = leases(stage);

        let before = now(stage);
        stage.server.set_clock(SignedDuration::from_secs(HOUR));
        let gap = gap(stage).await?;
        // from when the step was noticed, by the clock as it would have been, to where it stood
        let noticed = gap.from.since(before);
        assert!((-2..=BEAT).contains(&noticed), "{before} {gap:?}");
        let skipped = gap.to.since(gap.from);
        assert!((HOUR - 3..=HOUR + 3).contains(&skipped), "{gap:?}");
        assert!(gap.reason.contains("was set forward by "), "{gap:?}");
        is_told(stage).await?;

        // nobody knows better than the clock: what was open counts through it, and the gap says so
        let ended = finish(stage, "through")?;
        told(stage, "through", &[Opened, Closed]).await?;
        let found = cores(stage, "through");
        assert_eq!([found[0].at, found[1].at], [began, ended]);
        assert!(ended.since(began) > HOUR);
        // what comes after is timed by the clock as it is now
        let again = run(stage, "after")?;
        told(stage, "after", &[Opened]).await?;
        stage.pass(MINUTE).await;
        let over = finish(stage, "after")?;
        told(stage, "after", &[Opened, Closed]).await?;
        let found = cores(stage, "after");
        assert_eq!([found[0].at, found[1].at], [again, over]);
        assert!(over.since(again) < 2 * 60, "{again} {over}");
        nothing_counts_twice(stage);
        assert_eq!(leases(stage), leased);

        // a process that begins finds nothing that is not recorded
        stage.operator().stop();
        stage.pass(MINUTE).await;
        assert_eq!(gaps(stage).len(), 1, "{:?}", gaps(stage));
        Ok(())
    });
}

/// Pods of every fate in the time that happens twice; `long` is when the one began that was there before all of it.
async fn lives(stage: &Stage<'_>, long: Second) -> Result<(), String> {
    use FactKind::{Closed, Opened};

    // one that lives within the time that happens twice has its own seconds
    let within = run(stage, "within")?;
    told(stage, "within", &[Opened]).await?;
    stage.pass(MINUTE).await;
    let over = finish(stage, "within")?;
    told(stage, "within", &[Opened, Closed]).await?;
    let found = cores(stage, "within");
    assert_eq!([found[0].at, found[1].at], [within, over]);
    // one that began before by a later time than it ended has none that anybody knows of, and says so
    finish(stage, "turned")?;
    told(stage, "turned", &[Opened, Closed]).await?;
    let turned = cores(stage, "turned");
    assert_eq!(turned[0].at, turned[1].at);
    assert!(turned[1].estimated, "{turned:?}");
    // and four hours that happened twice count once
    let ended = finish(stage, "long")?;
    told(stage, "long", &[Opened, Closed]).await?;
    let found = cores(stage, "long");
    assert_eq!([found[0].at, found[1].at], [long, ended]);
    // of more than seven hours that went by
    assert!(ended.since(long) < 4 * HOUR, "{long} {ended}");
    Ok(())
}

/// No use is complete beyond the clock, whatever was shown before it was set back.
async fn the_watermark_went_back(stage: &Stage<'_>, shown: &Value) -> Result<(), String> {
    stage
        .until("a period that is complete up to elsewhere", |stage| {
            period(stage)["completeTo"] != *shown
        })
        .await?;
    let complete = period(stage)["completeTo"].clone();
    let latest = now(stage).in_zone(&Zone::parse("Asia/Shanghai").unwrap());
    assert!(complete.as_str() <= Some(latest.as_str()), "{complete}");
    assert!(complete.as_str() < shown.as_str(), "{complete} {shown}");
    Ok(())
}

/// A process that begins after the step finds none, and goes on from where the clock is.
async fn a_process_goes_on(stage: &Stage<'_>) -> Result<(), String> {
    stage.pass(MINUTE).await;
    stage.operator().stop();
    let shown = period(stage)["completeTo"].clone();
    stage.pass(Duration::from_secs(4000)).await;
    assert_eq!(gaps(stage).len(), 1, "{:?}", gaps(stage));
    stage
        .until("a period that is complete up to a later time", |stage| {
            period(stage)["completeTo"].as_str() > shown.as_str()
        })
        .await
}

#[test]
fn a_server_clock_that_is_set_back_takes_the_watermark_with_it_and_nothing_counts_twice() {
    use FactKind::Opened;

    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        let long = run(stage, "long")?;
        // twice, so that the period tells of a time that is not long ago
        stage.pass(Duration::from_secs(6 * 3600)).await;
        stage.pass(Duration::from_secs(4000)).await;
        run(stage, "turned")?;
        told(stage, "long", &[Opened]).await?;
        told(stage, "turned", &[Opened]).await?;
        stage.pass(MINUTE).await;
        stage
            .until("a period that is complete up to somewhere", |stage| {
                period(stage)["completeTo"].is_string()
            })
            .await?;
        let leased = leases(stage);
        let shown = period(stage)["completeTo"].clone();

        let before = now(stage);
        stage.server.set_clock(SignedDuration::from_secs(-4 * HOUR));
        let gap = gap(stage).await?;
        // to where the clock stood at the last beat, from where it stood at the next one
        assert!((-BEAT..=1).contains(&gap.to.since(before)), "{gap:?}");
        let back = before.plus(-4 * HOUR);
        assert!((-2..=BEAT).contains(&gap.from.since(back)), "{gap:?}");
        assert!(gap.reason.contains("was set back by "), "{gap:?}");
        is_told(stage).await?;
        the_watermark_went_back(stage, &shown).await?;

        lives(stage, long).await?;
        nothing_counts_twice(stage);
        assert_eq!(leases(stage), leased);
        a_process_goes_on(stage).await
    });
}

/// What the control plane writes into the status of a pod whose kubelet says nothing, and when.
fn write(stage: &Stage<'_>, name: &str, conditions: &Value) -> Result<(), String> {
    stage.server.with_store(|store, now| {
        let kind = store.kinds().resource("pods").ok_or("there are no pods")?;
        let body = json!({"status": {"conditions": conditions}});
        let call = Call::new(Verb::Patch(PatchKind::Merge), &kind, PLACE, name)
            .of("status")
            .by("system:kube-controller-manager")
            .with("fieldManager", "kube-controller-manager")
            .with_body(body);
        let written = store.handle(&call, now);
        written.map(|_| ()).map_err(|refusal| refusal.message)
    })
}

/// The object is deleted: with a pause that only the kubelet would end, or at once.
fn remove(stage: &Stage<'_>, name: &str, pause: i64) -> Result<Second, String> {
    stage.server.with_store(|store, now| {
        let kind = store.kinds().resource("pods").ok_or("there are no pods")?;
        let call = Call::new(Verb::Delete, &kind, PLACE, name)
            .by(ADMIN)
            .with_body(json!({"gracePeriodSeconds": pause}));
        let removed = store.handle(&call, now);
        removed.map_err(|refusal| refusal.message)?;
        Ok(Second::from_timestamp(now))
    })
}

/// A pod stays for long after its node has fallen silent. It is billed up to the silence, whether the operator sees it go or
/// not: what others wrote of it after that is no sign of life.
#[test]
fn a_pod_of_a_lost_node_is_billed_no_further_than_to_the_silence_of_its_node() {
    use FactKind::{Closed, Opened};

    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        let pods = ["watched", "unwatched"];
        let mut began = Vec::new();
        for name in pods {
            let at = run(stage, name)?;
            told(stage, name, &[Opened]).await?;
            let scheduled = condition("PodScheduled", "True", "", at);
            let ready = condition("Ready", "True", "", at);
            write(stage, name, &json!([scheduled, ready]))?;
            began.push(at);
        }
        stage.pass(MINUTE * 10).await;

        // the control plane has not heard of the node, and says so of its pods
        let silent = now(stage);
        let said = |at: Second| {
            let scheduled = condition("PodScheduled", "True", "", at);
            let unready = condition("Ready", "False", "", silent);
            [scheduled, unready]
        };
        for (name, at) in pods.into_iter().zip(&began) {
            write(stage, name, &json!(said(*at)))?;
        }
        stage.pass(MINUTE * 5).await;
        for (name, at) in pods.into_iter().zip(&began) {
            let [scheduled, unready] = said(*at);
            let why = "DeletionByTaintManager";
            let taken = condition("DisruptionTarget", "True", why, now(stage));
            write(stage, name, &json!([scheduled, unready, taken]))?;
            remove(stage, name, 30)?;
        }
        // no kubelet ends them
        stage.pass(MINUTE * 20).await;
        for name in pods {
            told(stage, name, &[Opened]).await?;
        }
        let seen = remove(stage, "watched", 0)?;
        told(stage, "watched", &[Opened, Closed]).await?;
        stage.operator().stop();
        stage.pass(Duration::from_secs(1)).await;
        let unseen = remove(stage, "unwatched", 0)?;
        told(stage, "unwatched", &[Opened, Closed]).await?;

        for ((name, at), gone) in pods.into_iter().zip(began).zip([seen, unseen]) {
            let found = cores(stage, name);
            let (opened, closed) = (&found[0], &found[1]);
            assert_eq!(opened.at, at, "{name}");
            assert_eq!((closed.at, closed.estimated), (silent, true), "{closed:?}");
            let bounds = closed.bounds.unwrap();
            assert_eq!(bounds.lower, silent, "{closed:?}");
            let late = bounds.upper.since(gone);
            assert!((-2..=60).contains(&late), "{gone} {closed:?}");
            assert_eq!(closed.evidence, "taken away because its node was lost");
        }
        assert!(gaps(stage).is_empty());
        nothing_counts_twice(stage);
        Ok(())
    });
}

fn condition(type_: &str, status: &str, reason: &str, at: Second) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "lastTransitionTime": at.to_string()})
}
