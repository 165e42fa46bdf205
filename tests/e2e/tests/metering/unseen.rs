//! An end that nobody saw: the operator was away, and the object was gone when it came back without ever
//! having shown a container that had ended.
//!
//! Processors are leased by use here, so that what pods used is on the bill.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use leasehold_api::charging::{Statement, StatementLine};
use leasehold_e2e::recount::bounds;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::fact::Fact;
use leasehold_ledger::time::{Second, Span, Zone};
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, User, eventually};
use serde_json::json;

use crate::ground::{
    AT_ONCE, cursor, delete, ended, ends, in_phase, known_beyond, leased, ledger, recorded,
    server_time, usage, written,
};

const CODE: &str = "meter-unseen";
const PLACE: &str = "meter-unseen--prod";
const ITEM: &str = "vcpu-burst";
const LEASE: [(&str, &str); 2] = [(ITEM, "8"), ("memory", "16Gi")];
/// The object of the first is removed by force, as when its node is lost; that of the second by a node
/// that does not tell how its containers ended. Each has three cores.
const PODS: [&str; 2] = ["pulled", "vanished"];
/// Lets a pod's object go while it still says that its containers run.
const ABRUPT: &str = "kwok.leasehold.dev/abrupt";

/// What became of the pods while nobody watched, and what the ledger made of it.
struct Lost {
    /// When each pod was last known to live: up to when the ledger knew pods completely when the operator was killed, or
    /// when a node wrote of it after that.
    known: BTreeMap<&'static str, Second>,
    /// The API server's clock when the pods were gone and nobody had seen it.
    gone: Second,
    /// The API server's clock when the ledger had their ends.
    found: Second,
    /// Their ends, by object.
    ends: BTreeMap<String, Fact>,
}

fn object(name: &str) -> String {
    format!("Pod {PLACE}/{name}")
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_bounded_marked_and_billed_at_the_last_sight() {
    let office = leased(CODE, "地震局", &LEASE).await;
    let pods = begin(&office).await;
    let lost = lose(&office).await;
    for (name, pod) in PODS.into_iter().zip(&pods) {
        is_bounded(&lost, name);
        let found = ended(office.stage, CODE, "pod/cpu", &object(name)).await;
        let [interval] = found.as_slice() else {
            panic!("{found:?}")
        };
        let span = Span::new(recorded(pod).0.unwrap(), lost.known[name]);
        assert_eq!(
            (interval.span, interval.quantity, interval.estimated),
            (span, 3_000, true),
            "{name}"
        );
    }
    people_read_it(office.stage).await;
    auditors_read_why(office.stage, &lost).await;
    people_see_it(office.stage, &pods, &lost.known).await;
    is_billed(&office, &pods, &lost.known).await;
}

/// Two pods, once the ledger has known them alive for some seconds after all that was written of them.
async fn begin(office: &Office) -> Vec<Pod> {
    let staff = &office.staff;
    for name in PODS {
        let mut manifest = pod(PLACE, name, "3", "1Gi", None);
        if name == "vanished" {
            manifest["metadata"]["annotations"][ABRUPT] = json!("true");
        }
        staff.create(&manifest).await.unwrap();
    }
    let mut pods = Vec::new();
    for name in PODS {
        pods.push(in_phase(staff, PLACE, name, "Running").await);
    }
    let newest = pods.iter().map(|pod| written(&pod.metadata, None)).max();
    let ledger = ledger(office.stage).await;
    known_beyond(&ledger, "pods", newest.unwrap().plus(2)).await;
    pods
}

/// Kills the operator and removes the pods before it is back.
async fn lose(office: &Office) -> Lost {
    let (stage, staff) = (office.stage, &office.staff);
    let admin = stage.user(User::Admin).await.unwrap();
    let mut operator = stage.operator.lock().await;
    let alive = server_time(&admin).await;
    operator.kill();
    let known = cursor(operator.ledger(), "pods").await.unwrap().observed_at;
    assert!(known <= alive.plus(1), "known to {known} at {alive}");
    let mut sights = BTreeMap::new();
    for name in PODS {
        let pod = staff.get::<Pod>(Some(PLACE), name).await.unwrap();
        sights.insert(name, written(&pod.metadata, None).max(known));
    }
    delete(staff, PLACE, "pulled", &AT_ONCE).await;
    delete(staff, PLACE, "vanished", &["--wait=false"]).await;
    let gone = server_time(&admin).await;
    operator.restart().await.unwrap();
    let seen = eventually("the ends of both in the ledger", LONG, async || {
        let ends = ends(operator.ledger(), CODE, "pod/cpu").await?;
        if ends.len() == PODS.len() {
            Ok(ends)
        } else {
            Err(format!("{ends:?}"))
        }
    });
    let ends = seen.await.unwrap();
    Lost {
        known: sights,
        gone,
        found: server_time(&admin).await,
        ends,
    }
}

/// The end lies between the last sight of the pod and the first sight of its absence, and counts at the
/// former. The operator tells the API server's second to one second.
fn is_bounded(lost: &Lost, name: &str) {
    let end = &lost.ends[&object(name)];
    assert!(end.estimated, "{end:?}");
    assert_eq!(end.at, lost.known[name], "{end:?}");
    let within = end.bounds.unwrap();
    assert_eq!(within.lower, lost.known[name], "{end:?}");
    let absent = lost.gone.plus(-1)..=lost.found.plus(1);
    assert!(absent.contains(&within.upper), "{absent:?}: {end:?}");
    assert_eq!(end.evidence, "DELETED without finishedAt");
}

/// Rows for people end with whether the interval is open and whether it is an estimate.
async fn people_read_it(stage: &Stage) {
    let told = usage(stage, CODE, "csv").await.unwrap();
    for name in PODS {
        let mut rows = told.stdout.lines();
        let of = format!(",pod/cpu,{},3,", object(name));
        let row = rows.find(|row| row.contains(&of));
        let row = row.unwrap_or_else(|| panic!("there is no row{of} in {told:?}"));
        assert!(row.ends_with(",no,yes"), "{row}");
    }
}

/// What `leasehold usage` answers about the department to an auditor who asks so.
async fn asked(stage: &Stage, how: &[&str]) -> String {
    let folder = stage.rig.scratch(CODE).unwrap();
    let copy = stage.operator.lock().await.copy_ledger(&folder).unwrap();
    let db = copy.display().to_string();
    let mut arguments = vec!["usage", "--db", &db, "--department", CODE];
    arguments.extend_from_slice(how);
    let auditor = stage.user(User::Auditor).await.unwrap();
    let ran = auditor.leasehold(&arguments).await.unwrap();
    ran.ok().unwrap().stdout
}

/// With its evidence each row goes on to what told both ends, in which fact, and between which instants the unseen one lies.
async fn auditors_read_why(stage: &Stage, lost: &Lost) {
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    let told = asked(stage, &["-o", "csv", "--evidence"]).await;
    for name in PODS {
        let of = format!(",pod/cpu,{},3,", object(name));
        let row = told.lines().find(|row| row.contains(&of));
        let row = row.unwrap_or_else(|| panic!("there is no row{of} in {told}"));
        assert!(
            row.contains(",no,yes,PodScheduled lastTransitionTime,"),
            "{row}"
        );
        let end = &lost.ends[&object(name)];
        let within = end.bounds.unwrap();
        let [lower, upper] = [within.lower, within.upper].map(|at| at.in_zone(&zone));
        let ends = format!(
            ",DELETED without finishedAt,{},{lower} to {upper}",
            end.key()
        );
        assert!(row.ends_with(&ends), "{row} does not end with {ends}");
    }
}

/// The picture in the terminal: sixty bars over the time of all use, or one for each second if it has fewer, each as high as what both pods had on average in its part.
async fn people_see_it(stage: &Stage, pods: &[Pod], known: &BTreeMap<&str, Second>) {
    let spans: Vec<Span> = PODS
        .into_iter()
        .zip(pods)
        .map(|(name, pod)| Span::new(recorded(pod).0.unwrap(), known[name]))
        .collect();
    let drawn = asked(stage, &["-o", "chart"]).await;
    let (from, rest) = drawn.split_once(" to ").unwrap();
    let (to, _) = rest.split_once(", an average over every ").unwrap();
    let [from, to] = [from, to].map(|at| at.parse::<Timestamp>().unwrap().as_second());
    assert!(
        from <= spans[0].from.get() && spans[0].to.get() <= to,
        "{drawn}"
    );
    // second by second: three cores of each pod that lived in it
    let parts = (to - from).min(60);
    let edge = |part: i64| from + (to - from) * part / parts;
    let averages: Vec<i64> = (0..parts)
        .map(|part| {
            let seconds = edge(part)..edge(part + 1);
            let length = seconds.end - seconds.start;
            let used = seconds.map(|second| {
                let lived = spans
                    .iter()
                    .filter(|span| span.contains(Second::new(second)));
                3_000 * i64::try_from(lived.count()).unwrap()
            });
            used.sum::<i64>().checked_div(length).unwrap_or(0)
        })
        .collect();
    let highest = averages.iter().copied().max().unwrap();
    let bars: String = averages
        .iter()
        .map(|average| match average * 8 / highest {
            0 if *average == 0 => ' ',
            0 | 1 => '▁',
            2 => '▂',
            3 => '▃',
            4 => '▄',
            5 => '▅',
            6 => '▆',
            7 => '▇',
            _ => '█',
        })
        .collect();
    let most = if highest % 1_000 == 0 {
        (highest / 1_000).to_string()
    } else {
        format!("{highest}m")
    };
    let expected = format!("{CODE}/oa pod/cpu, at most {most}\n|{bars}|\n");
    assert!(drawn.contains(&expected), "{expected} is not in\n{drawn}");
    // of what is leased all along the picture is full once it stands
    let memory = format!("{CODE}/oa lease/memory, at most 16Gi\n|");
    let (_, row) = drawn
        .split_once(&memory)
        .unwrap_or_else(|| panic!("no {memory} in {drawn}"));
    let full = row.lines().next().unwrap().strip_suffix('|').unwrap();
    let parts = usize::try_from(parts).unwrap();
    assert_eq!(full.chars().count(), parts, "{drawn}");
    assert!(full.ends_with(&"█".repeat(parts * 5 / 6)), "{drawn}");
}

/// The line of what was used in the period in which the pods were seen last has them up to then, and
/// says that it is an estimate.
async fn is_billed(office: &Office, pods: &[Pod], known: &BTreeMap<&str, Second>) {
    let last = *known.values().max().unwrap();
    let place = Some(office.place.as_str());
    let seen = office
        .stage
        .see("a line that is an estimate", PERIODS, async || {
            let all = office.staff.list::<Statement>(place).await;
            let all = all.map_err(|failure| format!("{failure:?}"))?;
            let mut covering = all.iter().filter_map(|found| covers(found, last));
            let (begun, lines) = covering.next().ok_or_else(|| format!("{last}: none"))?;
            let mut lines = lines.iter();
            let line = lines.find(|line| line.item == ITEM && line.estimated);
            let line = line.cloned().ok_or_else(|| format!("{all:?}"))?;
            Ok((begun, line))
        });
    let (begun, line) = seen.await.unwrap();
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    let mut seconds = 0;
    let mut expected = Vec::new();
    for (name, pod) in PODS.into_iter().zip(pods) {
        let (from, known) = (recorded(pod).0.unwrap().max(begun), known[name]);
        seconds += known.since(from);
        let (from, to) = (from.in_zone(&zone), known.in_zone(&zone));
        expected.push((from, to, "3".to_owned(), true));
    }
    expected.sort();
    let segments = line.segments.iter().map(|part| {
        let (from, to) = (part.from.clone(), part.to.clone());
        (from, to, part.quantity.clone(), part.estimated)
    });
    assert_eq!(segments.collect::<Vec<_>>(), expected);
    assert_eq!(line.gross_exact, yuan(seconds));
}

/// Beginning and lines of the statement, if the instant before `at` lies in its period.
fn covers(statement: &Statement, at: Second) -> Option<(Second, &[StatementLine])> {
    let (from, to) = bounds(statement).ok()?;
    let covers = from < at.get() && at.get() <= to;
    covers.then_some((Second::new(from), statement.spec.lines.as_slice()))
}

/// What three cores cost for so many seconds, below 12,500: 0.096 an hour for each, 0.00008 a second for
/// all; zeros at the end are cut down to two decimals.
fn yuan(seconds: i64) -> String {
    let mut text = format!("0.{:05}", seconds * 8);
    while text.len() > "0.00".len() && text.ends_with('0') {
        text.pop();
    }
    text
}
