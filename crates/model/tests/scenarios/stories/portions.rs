//! What a list means is recorded in portions: the operator dies between two of them, or one of them fails.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use leasehold_ledger::{
    document::GapDoc,
    fact::{Fact, FactKind},
    time::Second,
    verify::Row,
};
use leasehold_model::{Crash, Faults, Moment};
use leasehold_store::Edge;
use leasehold_testkit::manifests;
use serde_json::json;

use super::{Stage, gaps::forget, meters, oa, play, tell_metered};
use crate::{
    people::{self, ADMIN, staff},
    script::Parts,
    world,
};

/// So many pods that a list of them is recorded in portions: each has two facts, and a portion has hardly more.
const MANY: usize = 8;

/// A tenancy with room for twice as many; eight pods may run for each core.
async fn leased_for_many(stage: &Stage<'_>) -> Result<(), String> {
    stage.furnish(&json!({}), &["edu"]).await?;
    let lease = world::tenancy(&oa::lessee(), &oa::cores(4));
    stage.create(&staff("edu"), &lease)?;
    stage.approve(oa::OFFICE_OF_EDU, "oa-1-office").await?;
    oa::in_phase(stage, "Active").await
}

/// That many pods run.
fn run_many(stage: &Stage<'_>, name: &str) -> Result<(), String> {
    for number in 0..MANY {
        let name = format!("{name}-{number}");
        let pod = manifests::pod("edu--prod", &name, "10m", "16Mi", None);
        stage.create(&staff("edu"), &pod)?;
        people::runs(stage.server, "edu--prod", &name);
    }
    Ok(())
}

/// What the ledger has of pods: beginnings, ends, and whatever else, by uid and meter.
fn courses(rows: &[Row]) -> BTreeMap<(String, String), [usize; 3]> {
    let mut courses: BTreeMap<_, [usize; 3]> = BTreeMap::new();
    for row in rows {
        let Ok(fact) = serde_json::from_str::<Fact>(&row.body) else {
            continue;
        };
        if !fact.subject.object.starts_with("Pod ") {
            continue;
        }
        let course = courses.entry((fact.source.uid, fact.meter.to_string()));
        let told = course.or_default();
        match fact.kind {
            FactKind::Opened => told[0] += 1,
            FactKind::Closed => told[1] += 1,
            FactKind::Changed | FactKind::Superseded => told[2] += 1,
        }
    }
    courses
}

/// The gaps that are recorded.
fn gaps(stage: &Stage<'_>) -> Vec<GapDoc> {
    let rows = stage.rows();
    rows.iter()
        .filter_map(|row| serde_json::from_str(&row.body).ok())
        .collect()
}

/// Those of pods.
fn gaps_of_pods(stage: &Stage<'_>) -> Vec<GapDoc> {
    let mut gaps = gaps(stage);
    gaps.retain(|gap| gap.source == "pods");
    gaps
}

/// Whatever is an estimate lies within the gap.
fn expect_estimates_within(stage: &Stage<'_>, gap: &GapDoc) {
    let mut ends = 0;
    for row in stage.rows() {
        let Ok(fact) = serde_json::from_str::<Fact>(&row.body) else {
            continue;
        };
        if let (FactKind::Closed, Some(bounds)) = (fact.kind, fact.bounds) {
            assert!(
                gap.from <= bounds.lower && bounds.upper <= gap.to,
                "{gap:?} {fact:?}"
            );
            ends += 1;
        }
    }
    assert!(ends > 0, "no end is an estimate");
}

/// How many courses have begun and ended once, and how many have begun only.
fn ended_and_open(stage: &Stage<'_>) -> [usize; 2] {
    let courses = courses(&stage.rows());
    [[1, 1, 0], [1, 0, 0]].map(|told| courses.values().filter(|found| **found == told).count())
}

/// Whether some of the pods that went are recorded as ended, and not all.
fn is_half_recorded(rows: &[Row]) -> bool {
    let courses = courses(rows);
    let ended = courses.values().filter(|found| **found == [1, 1, 0]);
    (1..2 * MANY).contains(&ended.count())
}

/// The operator dies right after each commit, until one of them has ended some of the pods that went, and not all.
async fn dies_between_portions(stage: &Stage<'_>) -> Result<(), String> {
    let deaths = stage.server.deaths();
    let crash = Crash {
        write: 0,
        moment: Moment::AfterCommit,
    };
    for life in 1..=40 {
        stage.ledger.crash_soon(crash);
        stage.server.died(deaths + life).await;
        if is_half_recorded(&stage.rows()) {
            stage.ledger.calm();
            return Ok(());
        }
    }
    Err("no pod's end was recorded before all were".to_owned())
}

/// How the watch of pods comes to list anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// The server has forgotten what happened.
    Forgotten,
    /// A server says so; another one, which the operator finds after its death, still has the version that it stood at.
    ByOneServer,
}

/// While the operator is away all pods go, and as many others come. Gives when they went.
async fn replaced(stage: &Stage<'_>, listing: Listing) -> Result<Second, String> {
    leased_for_many(stage).await?;
    stage.operator().stop();
    run_many(stage, "old")?;
    forget(stage).await?;
    stage
        .until("the pods", |stage| ended_and_open(stage) == [0, 2 * MANY])
        .await?;
    stage.operator().stop();
    let deleted = stage
        .server
        .with_store(|_, now| Second::from_timestamp(now));
    for pod in stage.all("pods") {
        let place = ["namespace", "name"].map(|key| pod["metadata"][key].as_str().unwrap());
        stage.delete(&staff("edu"), ["pods", place[0], place[1]])?;
    }
    run_many(stage, "new")?;
    match listing {
        Listing::Forgotten => stage.server.with_store(|store, _| {
            let newest = store.version();
            store.compact(newest);
        }),
        Listing::ByOneServer => stage.server.set_faults(Faults {
            expired: 1000,
            ..Faults::default()
        }),
    }
    Ok(deleted)
}

/// In the end every pod is recorded once, and one gap says what was not seen.
async fn is_whole(stage: &Stage<'_>, deleted: Second) -> Result<(), String> {
    let all = 2 * MANY;
    stage
        .until("all of it", |stage| ended_and_open(stage) == [all, all])
        .await?;
    assert_eq!(courses(&stage.rows()).len(), 2 * all, "nothing twice");
    let gaps = gaps_of_pods(stage);
    assert_eq!(gaps.len(), 2);
    assert!(
        gaps[1].from <= deleted && deleted <= gaps[1].to,
        "{deleted:?} {gaps:?}"
    );
    expect_estimates_within(stage, &gaps[1]);
    Ok(())
}

fn dies_in_a_list(listing: Listing) {
    tell_metered(async |stage| {
        let deleted = replaced(stage, listing).await?;
        dies_between_portions(stage).await?;
        stage.server.set_faults(Faults::default());
        let gaps = gaps_of_pods(stage);
        assert_eq!(gaps.len(), 1, "the gap comes with the last portion");
        is_whole(stage, deleted).await
    });
}

#[test]
fn a_list_that_is_recorded_in_portions_is_taken_up_where_the_operator_died() {
    dies_in_a_list(Listing::Forgotten);
}

#[test]
fn a_list_is_taken_up_also_where_the_next_server_has_forgotten_nothing() {
    dies_in_a_list(Listing::ByOneServer);
}

/// Commits fail so often, at this edge, once a list is half recorded; the operator lives on.
fn fails_in_a_list(edge: Edge, times: usize) {
    tell_metered(async |stage| {
        let failed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&failed);
        stage.ledger.late_while(edge, move |rows| {
            is_half_recorded(rows) && count.fetch_add(1, Ordering::Relaxed) < times
        });
        let deleted = replaced(stage, Listing::Forgotten).await?;
        let lives = stage.server.deaths();
        is_whole(stage, deleted).await?;
        assert!(failed.load(Ordering::Relaxed) >= times, "{failed:?} failed");
        assert_eq!(stage.server.deaths(), lives);
        Ok(())
    });
}

#[test]
fn a_portion_that_fails_is_recorded_once_by_the_next_attempt() {
    fails_in_a_list(Edge::Before, 3);
}

#[test]
fn portions_whose_answers_are_lost_are_recorded_once() {
    fails_in_a_list(Edge::After, 3);
}

/// What the ledger has of each bucket, by uid.
fn buckets(rows: &[Row]) -> BTreeMap<String, Vec<FactKind>> {
    let mut buckets: BTreeMap<String, Vec<FactKind>> = BTreeMap::new();
    let facts = rows.iter().filter(|row| row.chain.kind == "fact");
    for fact in facts.map(|row| serde_json::from_str::<Fact>(&row.body).unwrap()) {
        if fact.meter.to_string() == "meter/buckets" {
            buckets.entry(fact.source.uid).or_default().push(fact.kind);
        }
    }
    buckets
}

/// How many buckets count.
fn open(rows: &[Row]) -> usize {
    let buckets = buckets(rows);
    let last = buckets.values().filter_map(|told| told.last());
    last.filter(|kind| **kind != FactKind::Closed).count()
}

/// Some buckets have ended, and not all.
fn is_half_ended(rows: &[Row]) -> bool {
    (1..MANY).contains(&open(rows))
}

/// Buckets that a declared meter counts, until the API server does not serve their kind any more. From then on commits fail at
/// this edge once some of their ends are recorded and as long as not all are, so often at the most. Gives how often they did.
async fn buckets_go(
    stage: &Stage<'_>,
    edge: Edge,
    times: usize,
) -> Result<Arc<AtomicUsize>, String> {
    stage.furnish(&json!({}), &["edu"]).await?;
    meters::lease(stage).await?;
    stage
        .until("a meter that counts", |stage| {
            meters::is_ready(stage, "buckets")
        })
        .await?;
    for number in 0..MANY {
        let mut bucket = meters::bucket("5Gi");
        bucket["metadata"]["name"] = json!(format!("files-{number}"));
        stage.create(ADMIN, &bucket)?;
    }
    stage
        .until("the buckets", |stage| open(&stage.rows()) == MANY)
        .await?;
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    stage.ledger.late_while(edge, move |rows| {
        is_half_ended(rows) && count.fetch_add(1, Ordering::Relaxed) < times
    });
    let gone = Faults::default().without(meters::BUCKET[0]);
    stage.server.set_faults(gone);
    Ok(failed)
}

/// A kind that is not served any more ends with all that was counted of it. Half of that is recorded when it is back, and
/// nothing of it had gone: the watch must not go on as if nothing had ended.
#[test]
fn a_kind_that_is_back_before_its_end_is_recorded_is_listed_anew() {
    play(meters::kinds(), Parts::Everything, async |stage| {
        buckets_go(stage, Edge::Before, usize::MAX).await?;
        stage
            .until("the first portion", |stage| is_half_ended(&stage.rows()))
            .await?;
        stage.pass(Duration::from_secs(30)).await;
        assert!(is_half_ended(&stage.rows()), "the others are refused");
        stage.server.set_faults(Faults::default());
        stage.ledger.calm();
        stage
            .until("the buckets again", |stage| open(&stage.rows()) == MANY)
            .await?;
        let gaps = gaps(stage);
        let of_it = gaps
            .iter()
            .filter(|gap| gap.source.starts_with("meter/buckets/"));
        let reasons: Vec<&str> = of_it.map(|gap| gap.reason.as_str()).collect();
        assert_eq!(
            reasons,
            ["the API server did not serve the kind for a while"]
        );

        for number in 0..MANY {
            let name = format!("files-{number}");
            stage.delete(ADMIN, [meters::BUCKET[0], meters::BUCKET[1], &name])?;
        }
        stage
            .until("their ends", |stage| open(&stage.rows()) == 0)
            .await?;
        for told in buckets(&stage.rows()).values() {
            let (opened, closed) = (FactKind::Opened, FactKind::Closed);
            let (twice, once) = ([opened, closed, opened, closed], [opened, closed]);
            assert!(told[..] == twice || told[..] == once, "{told:?}");
        }
        Ok(())
    });
}

/// The next attempt is made at a later moment, and would tell the ends of the first portion otherwise.
#[test]
fn a_kind_that_is_gone_ends_once_although_the_answer_to_a_portion_was_lost() {
    play(meters::kinds(), Parts::Everything, async |stage| {
        let failed = buckets_go(stage, Edge::After, 2).await?;
        stage
            .until("the ends", |stage| open(&stage.rows()) == 0)
            .await?;
        assert!(failed.load(Ordering::Relaxed) >= 2, "{failed:?} failed");
        let rows = stage.rows();
        let buckets = buckets(&rows);
        assert_eq!(buckets.len(), MANY);
        for told in buckets.values() {
            assert_eq!(told[..], [FactKind::Opened, FactKind::Closed]);
        }
        Ok(())
    });
}
