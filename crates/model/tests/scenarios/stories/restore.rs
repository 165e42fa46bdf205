//! etcd is restored from a backup: what is in the ledger stays, and what is not known is bounded.

use std::time::Duration;

use leasehold_ledger::{
    document::GapDoc,
    fact::{Fact, FactKind},
};
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, oa, tell_metered};
use crate::people::ADMIN;

const MINUTE: Duration = Duration::from_secs(60);
const PLACE: &str = "edu--prod";
/// What the gap says of its cause.
const CAUSE: &str = "etcd was restored from a backup";

/// A pod of a core on a node, which is gone as soon as it is deleted: no kubelet would end it.
fn run(stage: &Stage<'_>, name: &str) -> Result<(), String> {
    let mut pod = manifests::pod(PLACE, name, "1", "1Gi", None);
    pod["spec"]["nodeName"] = json!("dc1-r01-n01");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    stage.create(ADMIN, &pod)
}

fn stop(stage: &Stage<'_>, name: &str) -> Result<(), String> {
    stage.delete(ADMIN, ["pods", PLACE, name])
}

/// What the ledger has of the cores of a pod.
fn facts(stage: &Stage<'_>, name: &str) -> Vec<Fact> {
    let object = format!("Pod {PLACE}/{name}");
    let of_it = |fact: &Fact| fact.subject.object == object && fact.meter.to_string() == "pod/cpu";
    all(stage, "fact", fact).into_iter().filter(of_it).collect()
}

/// Every row of a kind that can be read in this way.
fn all<T>(stage: &Stage<'_>, kind: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let rows = stage.rows().into_iter();
    let of_kind = rows.filter(|row| row.chain.kind == kind);
    of_kind.filter_map(|row| read(&row.body)).collect()
}

fn fact(body: &str) -> Option<Fact> {
    serde_json::from_str(body).ok()
}

fn gap(body: &str) -> Option<GapDoc> {
    serde_json::from_str(body).ok()
}

/// Kinds of facts and lives of the database in which they were observed.
fn told(facts: &[Fact]) -> Vec<(FactKind, u32)> {
    let told = |fact: &Fact| (fact.kind, fact.source.etcd);
    facts.iter().map(told).collect()
}

async fn until_told(
    stage: &Stage<'_>,
    name: &str,
    expected: &[(FactKind, u32)],
) -> Result<(), String> {
    let what = format!("{expected:?} of {name}");
    stage
        .until(&what, |stage| told(&facts(stage, name)) == expected)
        .await
}

/// Two pods that are known to run, and some minutes of them.
async fn begin(stage: &Stage<'_>) -> Result<(), String> {
    oa::leased(stage, &json!({}), "2027-12-31").await?;
    for name in ["lives", "returns"] {
        run(stage, name)?;
        until_told(stage, name, &[(FactKind::Opened, 1)]).await?;
    }
    stage.pass(MINUTE).await;
    Ok(())
}

/// After the backup one pod is new and one is gone.
async fn go_on(stage: &Stage<'_>) -> Result<(), String> {
    run(stage, "lost")?;
    until_told(stage, "lost", &[(FactKind::Opened, 1)]).await?;
    stop(stage, "returns")?;
    let both = [(FactKind::Opened, 1), (FactKind::Closed, 1)];
    until_told(stage, "returns", &both).await?;
    stage.pass(MINUTE).await;
    Ok(())
}

/// What lives goes on without a hole, what is gone ended at some time, and what is back began at some time.
fn is_bounded(stage: &Stage<'_>) {
    let lives = facts(stage, "lives");
    assert_eq!(lives[1].at, lives[2].at, "not a second is lost or doubled");
    assert!(lives.iter().all(|fact| !fact.estimated), "{lives:?}");
    let lost = facts(stage, "lost");
    let bounds = lost[1].bounds.unwrap();
    assert!(lost[1].estimated && bounds.lower < bounds.upper, "{lost:?}");
    assert_eq!(lost[1].at, bounds.lower, "the policy bills the lower bound");
    let returns = facts(stage, "returns");
    let bounds = returns[2].bounds.unwrap();
    assert!(returns[2].estimated, "{returns:?}");
    assert_eq!(
        returns[2].at, bounds.upper,
        "the policy bills the lower bound"
    );
    assert!(bounds.lower >= returns[1].at, "{returns:?}");
}

/// A lease is the ledger's: a restored cluster neither ends nor doubles it.
fn leases_stand(stage: &Stage<'_>) {
    let leases: Vec<Fact> = all(stage, "fact", fact)
        .into_iter()
        .filter(|fact| fact.meter.to_string().starts_with("lease/"))
        .collect();
    assert!(!leases.is_empty());
    for fact in leases {
        assert_eq!(
            (fact.kind, fact.source.etcd),
            (FactKind::Opened, 1),
            "{fact:?}"
        );
    }
}

fn the_gap_says_why(stage: &Stage<'_>) {
    let gaps: Vec<GapDoc> = all(stage, "document", gap);
    let of_pods: Vec<&GapDoc> = gaps.iter().filter(|gap| gap.source == "pods").collect();
    let [gap] = of_pods.as_slice() else {
        panic!("{gaps:?}")
    };
    assert!(gap.reason.starts_with(CAUSE), "{gap:?}");
    assert!(gap.from < gap.to, "{gap:?}");
    assert!(gap.upper.contains_key("pod/cpu"), "{gap:?}");
}

async fn after(stage: &Stage<'_>) -> Result<(), String> {
    let lives = [
        (FactKind::Opened, 1),
        (FactKind::Closed, 1),
        (FactKind::Opened, 2),
    ];
    until_told(stage, "lives", &lives).await?;
    until_told(stage, "lost", &lives[..2]).await?;
    until_told(stage, "returns", &lives).await?;
    is_bounded(stage);
    leases_stand(stage);
    the_gap_says_why(stage);
    assert_eq!(oa::documents(stage, "cluster").len(), 2);
    // and what happens from now on is taken for what it is
    stop(stage, "lives")?;
    let over = [&lives[..], &[(FactKind::Closed, 2)]].concat();
    until_told(stage, "lives", &over).await?;
    let last: Value = json!(facts(stage, "lives").last());
    stage.operator().stop();
    stage.pass(MINUTE).await;
    assert_eq!(json!(facts(stage, "lives").last()), last);
    assert_eq!(
        oa::documents(stage, "cluster").len(),
        2,
        "it is noticed once"
    );
    Ok(())
}

#[test]
fn a_restore_under_a_running_operator_bounds_what_is_gone_and_goes_on_with_what_lives() {
    tell_metered(async |stage| {
        begin(stage).await?;
        let backup = stage.server.with_store(|store, _| store.clone());
        go_on(stage).await?;
        stage.server.with_store(|store, _| store.restore(backup));
        after(stage).await
    });
}

#[test]
fn a_restore_while_the_operator_was_away_is_noticed_although_versions_have_grown_beyond() {
    tell_metered(async |stage| {
        begin(stage).await?;
        let backup = stage.server.with_store(|store, _| store.clone());
        go_on(stage).await?;
        // it stops before it could notice, and versions have grown by then
        stage.operator().stop();
        let reached = stage.server.with_store(|store, _| {
            let reached = store.version();
            store.restore(backup);
            reached
        });
        let mut number = 0;
        while stage.server.with_store(|store, _| store.version()) <= reached {
            number += 1;
            let filler = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("filler-{number}"), "namespace": "default"}});
            stage.create(ADMIN, &filler)?;
        }
        after(stage).await
    });
}
