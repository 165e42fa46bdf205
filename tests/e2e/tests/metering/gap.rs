//! A gap: the API server no longer has the changes since the last one seen.
//!
//! It keeps the changes of a kind in memory, at least a hundred and those of the last 75 seconds. So
//! pods are changed until the first of all is forgotten, and while the operator is away its place in
//! the ledger is set back to before that one: the watch that it goes on with is answered with 410.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::Api;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use leasehold_api::charging::BillingPeriod;
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::document::{GapDoc, PeriodOpenDoc};
use leasehold_ledger::fact::Bounds;
use leasehold_ledger::time::{Second, Span, Zone};
use leasehold_store::{Batch, Cursor, Store};
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, Session, User, eventually};
use serde_json::json;

use crate::ground::{
    AT_ONCE, WATCHED, delete, documents, ends, finish, in_phase, known_beyond, leased, ledger,
    lived, recorded, server_time, settled, written,
};

const CODE: &str = "meter-gap";
const PLACE: &str = "meter-gap--prod";
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
/// A version before every pod.
const FIRST: &str = "1";
/// For so long the API server keeps every change, and a second more.
const KEPT: Duration = Duration::from_secs(76);
/// How long it may take until it has forgotten the first one.
const FORGETTING: Duration = Duration::from_secs(240);
/// Changes that are made before it is asked again.
const CHANGES: u32 = 40;

/// The gap, and between what it must lie.
struct Broken {
    /// Up to when the ledger knew pods completely.
    known: Second,
    /// The API server's clock before the operator was back, and after it had told of the gap.
    back: [Second; 2],
    /// Leased cores of all quotas, likewise.
    cores: [i64; 2],
    /// The gap as the ledger has it.
    gap: GapDoc,
}

fn object(name: &str) -> String {
    format!("Pod {PLACE}/{name}")
}

#[tokio::test]
async fn over_a_gap_what_lives_goes_on_what_went_is_bounded_and_nothing_counts_twice() {
    let office = leased(CODE, "文物局", &LEASE).await;
    let (stage, staff) = (office.stage, &office.staff);
    let goes = begin(&office).await;
    let broken = break_watch(&office).await;
    is_bounded(&broken);
    the_periods_say_so(stage, &broken.gap).await;

    // metering goes on
    let lives = finish(staff, PLACE, "lives").await;
    let after = pod(PLACE, "after", "1", "1Gi", None);
    staff.create(&after).await.unwrap();
    in_phase(staff, PLACE, "after", "Running").await;
    let after = finish(staff, PLACE, "after").await;
    // the operator was away when this one ended: it goes by what it found
    let comes = in_phase(staff, PLACE, "comes", "Succeeded").await;
    let found = settled(stage, CODE, "pod/cpu", 4).await;
    let mut expected: Vec<(String, Span, i64, bool)> = Vec::new();
    for (name, over, quantity) in [
        ("after", after, 1_000),
        ("comes", comes, 1_000),
        ("lives", lives, 2_000),
    ] {
        expected.push((object(name), lived(&over), quantity, false));
    }
    let last_sight = Span::new(recorded(&goes).0.unwrap(), broken.known);
    expected.insert(2, (object("goes"), last_sight, 1_000, true));
    let found = found.into_iter().map(|interval| {
        let name = interval.subject.object;
        (name, interval.span, interval.quantity, interval.estimated)
    });
    // what came and went unseen is not among them
    assert_eq!(found.collect::<Vec<_>>(), expected);

    let ledger = ledger(stage).await;
    let ends = ends(&ledger, CODE, "pod/cpu").await.unwrap();
    let end = &ends[&object("goes")];
    let bounds = Bounds {
        lower: broken.known,
        upper: broken.gap.to,
    };
    assert_eq!(end.bounds, Some(bounds), "{end:?}");
    assert_eq!(end.evidence, "absent after a gap");
    nothing_is_doubled(stage).await;
}

/// Two pods, once the first change of any pod is forgotten, and these two are known to live; gives the
/// one that will be gone.
async fn begin(office: &Office) -> Pod {
    let staff = &office.staff;
    for (name, cores) in [("lives", "2"), ("goes", "1")] {
        let manifest = pod(PLACE, name, cores, "1Gi", None);
        staff.create(&manifest).await.unwrap();
    }
    in_phase(staff, PLACE, "lives", "Running").await;
    let goes = in_phase(staff, PLACE, "goes", "Running").await;
    is_forgotten(office).await;
    let newest = written(&goes.metadata, None);
    known_beyond(&ledger(office.stage).await, "pods", newest.plus(2)).await;
    goes
}

/// Waits until the API server no longer has the first change of any pod. What fills its memory comes
/// after the time for which it keeps everything, because before that the memory grows.
async fn is_forgotten(office: &Office) {
    let begun = Instant::now();
    let admin = office.stage.user(User::Admin).await.unwrap();
    let all: Api<Pod> = Api::all(admin.client());
    let own: Api<Pod> = Api::namespaced(office.staff.client(), PLACE);
    let mut turn = 0_u32;
    let seen = eventually("the first change forgotten", FORGETTING, async || {
        let passed = begun.elapsed();
        if passed < KEPT {
            return Err(format!("{passed:?} of {KEPT:?} have passed"));
        }
        for _ in 0..CHANGES {
            turn += 1;
            let note =
                json!({"metadata": {"annotations": {"example.test/turn": turn.to_string()}}});
            own.patch("lives", &PatchParams::default(), &Patch::Merge(&note))
                .await
                .map_err(|error| error.to_string())?;
        }
        if expired(&all).await? {
            Ok(())
        } else {
            Err(format!("remembered after {turn} changes"))
        }
    });
    seen.await.unwrap();
}

/// Whether a watch from the first version is refused, in the way in which the operator's will be.
async fn expired(pods: &Api<Pod>) -> Result<bool, String> {
    let watching = pods.watch(&WatchParams::default().timeout(5), FIRST).await;
    let mut events = pin!(watching.map_err(|error| error.to_string())?);
    match events.try_next().await {
        Ok(Some(WatchEvent::Error(status))) => Ok(status.code == 410),
        Ok(_) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Sets the operator's place back while it is away and pods come and go, and brings it back.
async fn break_watch(office: &Office) -> Broken {
    let stage = office.stage;
    let admin = stage.user(User::Admin).await.unwrap();
    let alone = WATCHED.write().await;
    let mut operator = stage.operator.lock().await;
    operator.terminate();
    let known = set_back(operator.ledger()).await;
    live_unseen(&office.staff).await;
    let before = (server_time(&admin).await, cores(&admin).await);
    operator.restart().await.unwrap();
    let seen = eventually("one open gap in the metrics", LONG, async || {
        let open = operator.counted("leasehold_gaps_open", "").await?;
        if open == 1 {
            Ok(())
        } else {
            Err(format!("{open} open gaps"))
        }
    });
    seen.await.unwrap();
    let after = (server_time(&admin).await, cores(&admin).await);
    let mut gaps = documents::<GapDoc>(operator.ledger()).await.unwrap();
    drop(operator);
    drop(alone);
    let gap = gaps.pop().unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    Broken {
        known,
        back: [before.0, after.0],
        cores: [before.1, after.1],
        gap,
    }
}

/// Lets the watch of pods go on from the first version; gives up to when the ledger knows pods.
async fn set_back(ledger: &Path) -> Second {
    let store = Store::open(ledger).await.unwrap();
    let cursor = store.cursor("pods").await.unwrap().unwrap();
    let known = cursor.observed_at;
    let first = Cursor {
        resource_version: FIRST.to_owned(),
        ..cursor
    };
    let batch = Batch::default().with_cursor(first);
    store.commit(&batch, known).await.unwrap();
    store.close().await.unwrap();
    known
}

/// One pod is gone, one comes and ends, and one comes and is gone.
async fn live_unseen(staff: &Session) {
    delete(staff, PLACE, "goes", &AT_ONCE).await;
    let comes = pod(PLACE, "comes", "1", "1Gi", Some(3));
    staff.create(&comes).await.unwrap();
    let flits = pod(PLACE, "flits", "1", "1Gi", None);
    staff.create(&flits).await.unwrap();
    in_phase(staff, PLACE, "flits", "Running").await;
    delete(staff, PLACE, "flits", &AT_ONCE).await;
    in_phase(staff, PLACE, "comes", "Succeeded").await;
}

/// Leased cores of all quotas that stand.
async fn cores(admin: &Session) -> i64 {
    let quotas = admin.list::<ResourceQuota>(None).await.unwrap();
    let cores = quotas
        .iter()
        .filter_map(|quota| quota.status.as_ref()?.hard.as_ref()?.get("requests.cpu"));
    cores.map(|cores| cores.0.parse::<i64>().unwrap()).sum()
}

/// The gap begins where the ledger's knowledge ended and ends when the operator has looked again; what
/// lived in it unseen was never more than the quotas allow. The operator tells the API server's second
/// to one second.
fn is_bounded(broken: &Broken) {
    let Broken {
        known,
        back: [before, after],
        cores: [least, most],
        gap,
    } = broken;
    assert_eq!((gap.source.as_str(), gap.from), ("pods", *known));
    let looked = before.plus(-1)..=after.plus(1);
    assert!(looked.contains(&gap.to), "{looked:?}: {gap:?}");
    assert_eq!(gap.at, gap.to);
    assert_eq!(
        gap.reason,
        "the API server no longer had the changes since the last one seen"
    );
    let meters: Vec<&str> = gap.upper.keys().map(String::as_str).collect();
    assert_eq!(meters, ["pod/cpu", "pod/memory"]);
    let core_seconds = 1_000 * gap.to.since(gap.from);
    let cores = gap.upper["pod/cpu"] / core_seconds;
    assert_eq!(gap.upper["pod/cpu"], cores * core_seconds, "{gap:?}");
    assert!((*least..=*most).contains(&cores), "{cores}: {gap:?}");
}

/// Every period that the gap touches tells of it, and no other.
async fn the_periods_say_so(stage: &Stage, gap: &GapDoc) {
    let auditor = stage.user(User::Auditor).await.unwrap();
    let ledger = ledger(stage).await;
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    let (from, to) = (gap.from.in_zone(&zone), gap.to.in_zone(&zone));
    let words = format!("1 gap in which use was not observed: pods from {from} to {to}. ");
    let seen = stage.see("the gap in its periods", LONG, async || {
        let mut told = 0;
        for open in documents::<PeriodOpenDoc>(&ledger).await? {
            let span = open.period.span;
            let name = open.period.name.as_str();
            let found = auditor.get::<BillingPeriod>(None, name).await?;
            let said = gaps_of(&found);
            let touched = span.from < gap.to && gap.from < span.to;
            let holds = if touched {
                said.starts_with(&words)
            } else {
                said.is_empty()
            };
            if !holds {
                return Err(format!("{name}: {said:?} instead of {words:?}"));
            }
            told += usize::from(touched);
        }
        if told > 0 {
            Ok(())
        } else {
            Err(format!("no period is touched by {gap:?}"))
        }
    });
    seen.await.unwrap();
}

/// What a period says of gaps; empty when nothing.
fn gaps_of(period: &BillingPeriod) -> String {
    let conditions = period.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == "Gaps" && condition.status == "True")
        .map(|condition| condition.message.as_str())
        .collect()
}

/// Every row of the ledger is in its chain, and every closed period is what its facts come to.
async fn nothing_is_doubled(stage: &Stage) {
    let folder = stage.rig.scratch(CODE).unwrap();
    let copy = stage.operator.lock().await.copy_ledger(&folder).unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    let copy = copy.display().to_string();
    let verified = auditor.leasehold(&["verify", "--db", &copy]).await;
    verified.unwrap().ok().unwrap();
}
