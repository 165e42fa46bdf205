//! A pod is resized while nobody looks: its size counts from the second of the resize, and what it had before is not made up.

use std::time::Duration;

use leasehold_ledger::{
    fact::{Bounds, Fact, FactKind},
    time::Second,
};
use leasehold_model::{Call, PatchKind, Verb};
use serde_json::json;

use super::{Stage, oa, tell_metered};
use crate::{
    people::{self, staff},
    world::{self, WEB},
};

const PLACE: &str = "edu--prod";
const POD: [&str; 3] = ["pods", PLACE, WEB];

fn now(stage: &Stage<'_>) -> Second {
    stage
        .server
        .with_store(|_, now| Second::from_timestamp(now))
}

/// So many seconds go by, in which the operator does nothing.
fn leap(stage: &Stage<'_>, seconds: u64) {
    stage.clock.leap(Duration::from_secs(seconds));
}

/// The department gives its pod so many cores; gives the second of that.
fn resize(stage: &Stage<'_>, cores: &str) -> Result<Second, String> {
    let pod = stage.find(POD).ok_or("there is no pod")?;
    let mut containers = pod["spec"]["containers"].clone();
    for part in ["requests", "limits"] {
        containers[0]["resources"][part]["cpu"] = json!(cores);
    }
    stage.server.with_store(|store, now| {
        let kind = store.kinds().resource(POD[0]).ok_or("there are no pods")?;
        let patch = json!({"spec": {"containers": containers}});
        let call = Call::new(Verb::Patch(PatchKind::Merge), &kind, PLACE, WEB)
            .of("resize")
            .by(&staff("edu"))
            .with("fieldManager", "kubectl")
            .with_body(patch);
        let answer = store.handle(&call, now);
        answer.map_err(|refusal| refusal.message)?;
        Ok(Second::from_timestamp(now))
    })
}

/// The API server forgets all that was done since the operator was stopped; a gap of pods and one of claims follow.
async fn forget(stage: &Stage<'_>, gaps: usize) -> Result<(), String> {
    stage.server.with_store(|store, _| {
        let newest = store.version();
        store.compact(newest);
    });
    stage
        .until("the gaps", |stage| {
            oa::documents(stage, "gap").len() == gaps
        })
        .await
}

/// The facts of a meter of pods.
fn counted(stage: &Stage<'_>, meter: &str) -> Vec<Fact> {
    let rows = stage.rows();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    facts
        .map(|row| serde_json::from_str::<Fact>(&row.body).unwrap())
        .filter(|fact| fact.meter.to_string() == meter)
        .collect()
}

#[test]
fn a_size_that_a_gap_hid_counts_from_its_resize_and_what_was_before_is_an_estimate() {
    tell_metered(async |stage| {
        oa::leased(stage, &json!({}), "2027-12-31").await?;
        stage.pass(Duration::from_secs(30)).await;

        // it begins and is resized while nobody looks
        stage.operator().stop();
        leap(stage, 20);
        stage.create(&staff("edu"), &world::pod(PLACE))?;
        people::runs(stage.server, PLACE, WEB);
        let start = now(stage);
        leap(stage, 40);
        let resized = resize(stage, "1")?;
        leap(stage, 20);
        forget(stage, 2).await?;
        stage
            .until("the pod", |stage| counted(stage, "pod/cpu").len() == 1)
            .await?;
        let cores = counted(stage, "pod/cpu").remove(0);
        let told = (cores.kind, cores.at, cores.quantity, cores.estimated);
        assert_eq!(told, (FactKind::Opened, resized, 1000, true));
        let unknown = Bounds {
            lower: start,
            upper: resized,
        };
        assert_eq!(cores.bounds, Some(unknown));
        // nobody touched its memory
        let memory = counted(stage, "pod/memory").remove(0);
        assert_eq!((memory.at, memory.estimated), (start, false));

        // it is known by now, grows while nobody looks, and is written once more after that
        stage.pass(Duration::from_secs(30)).await;
        let known = now(stage);
        stage.operator().stop();
        leap(stage, 20);
        let grown = resize(stage, "2")?;
        leap(stage, 20);
        let label = json!({"metadata": {"labels": {"checked": "yes"}}});
        stage.patch(&staff("edu"), POD, &label)?;
        forget(stage, 4).await?;
        stage
            .until("the growth", |stage| counted(stage, "pod/cpu").len() == 2)
            .await?;
        let cores = counted(stage, "pod/cpu").remove(1);
        let told = (cores.kind, cores.at, cores.quantity, cores.estimated);
        assert_eq!(told, (FactKind::Changed, grown, 2000, true));
        let between = cores.bounds.unwrap();
        assert!(between.lower <= known, "{between:?} {known}");
        assert_eq!(between.upper, grown);
        Ok(())
    });
}
