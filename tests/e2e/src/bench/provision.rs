//! From applied to active: how fast tenancies are provisioned.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use leasehold_api::tenancy::{Department, InformationSystem, Phase, Tenancy};
use leasehold_testkit::manifests::{self, Share};
use leasehold_testkit::{Failure, LONG, OperatorProcess, Session, User};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::floor::floors;
use super::profile::profile;
use super::restart::restart;
use super::splits::{MOST, Mover, splits};
use super::written::Written;
use super::{Calls, Load, Memory, Report, WORKERS, Work, say, spread};
use crate::Stage;

/// Name of every tenancy; departments tell them apart.
const TENANCY: &str = "oa";
/// What a department may lease without a person, in yuan a month: more than any load asks for.
const CEILING: &str = "999999999.00";
/// Time that each namespace may take, beside what anything may take.
const EACH: Duration = Duration::from_secs(2);

/// Counts the operator's requests, by verb.
const REQUESTS: &str = "leasehold_api_requests_total";

/// A department that is about to lease.
struct Applicant {
    place: String,
    staff: Session,
    manifest: Value,
}

/// When each tenancy was applied and when it was first seen active, by office namespace.
type Instants = BTreeMap<String, Instant>;

/// Provisions tenancies on a fresh control plane, starts the operator again, then creates the same
/// objects bare, if that is asked for. Says on `progress` what it is doing. A profile of the API server
/// while tenancies are leased goes to the file `profiled`. Everything it started ends with this process.
pub async fn provision(
    load: Load,
    profiled: Option<&Path>,
    progress: &mut impl Write,
) -> Result<Report, Failure> {
    say(progress, "starting a control plane and the operator")?;
    let stage = Stage::bare().await?;
    stage.furnish(&policy()?).await?;
    let bound = LONG.saturating_add(EACH.saturating_mul(load.places()));
    say(progress, &format!("opening {} departments", load.tenancies))?;
    let applicants = applicants(stage, load, bound).await?;
    say(
        progress,
        &format!(
            "leasing {} tenancies of {} namespaces",
            load.tenancies, load.namespaces
        ),
    )?;
    let movers = movers(&applicants);
    let working = Box::pin(work(stage, load, applicants, bound));
    let looking = async {
        match profiled {
            Some(file) => profile(stage, file).await,
            None => Ok(()),
        }
    };
    let (mut work, ()) = tokio::try_join!(working, looking)?;
    work.answers = Box::pin(splits(stage, movers, bound, progress)).await?;
    let restart = Box::pin(restart(stage, load, bound, progress)).await?;
    let mut measured = Vec::new();
    if load.floors {
        // what the operator still has to do would burden the floor
        stage.operator.lock().await.terminate();
        say(
            progress,
            &format!(
                "creating {} bare namespaces, several times over",
                load.places()
            ),
        )?;
        let admin = stage.user(User::Admin).await?;
        measured = floors(&admin, load, bound).await?;
    }
    Ok(Report::new(load, work, restart, measured))
}

/// Leases every tenancy, and tells what that took.
async fn work(
    stage: &Stage,
    load: Load,
    applicants: Vec<Applicant>,
    bound: Duration,
) -> Result<Work, Failure> {
    let (written, sent) = so_far(stage).await?;
    let (applied, active) = lease(stage, load, applicants, bound).await?;
    let (writes, calls) = so_far(stage).await?;
    let memory = Memory::of(stage.operator.lock().await.id());
    let (elapsed, latencies) = spans(&applied, &active);
    Ok(Work {
        elapsed,
        latencies,
        answers: Vec::new(),
        writes: writes.since(&written),
        kinds: writes.kinds_since(&written),
        calls: calls.since(sent),
        memory,
    })
}

/// Writes of the operator that the API server has carried out so far, by its audit log, and what the
/// operator has sent, by its own metric.
async fn so_far(stage: &Stage) -> Result<(Written, Calls), Failure> {
    let operator = stage.operator.lock().await;
    // asked first: reading the log takes a while, in which more is sent
    let calls = Calls {
        reads: sent(&operator, &["get", "list"]).await?,
        writes: sent(&operator, &["create", "update", "patch", "delete"]).await?,
        watches: sent(&operator, &["watch"]).await?,
    };
    if calls.all() == 0 {
        // one that is ready has read the cluster
        return Err(Failure::Page(format!("/metrics shows no {REQUESTS}")));
    }
    Ok((Written::so_far(stage)?, calls))
}

/// Requests of the operator so far with one of these verbs, however they ended.
async fn sent(operator: &OperatorProcess, verbs: &[&str]) -> Result<u64, Failure> {
    let mut sum = 0_u64;
    for verb in verbs {
        let labels = format!("verb=\"{verb}\"");
        let counted = operator.counted(REQUESTS, &labels).await;
        sum = sum.saturating_add(counted.map_err(Failure::Page)?);
    }
    Ok(sum)
}

/// The policy of the examples, in which no request waits for a person and no period ends meanwhile.
pub(super) fn policy() -> Result<Value, Failure> {
    let mut policy = Stage::policy()?;
    if let Some(Value::Object(spec)) = policy.pointer_mut("/spec") {
        spec.insert("period".to_owned(), json!({"kind": "Month"}));
        let ceiling = json!({"ceilingMonthly": CEILING});
        spec.insert("autoApproval".to_owned(), ceiling);
    }
    Ok(policy)
}

/// Departments with a registered system and staff at work, each with a tenancy to apply.
async fn applicants(stage: &Stage, load: Load, bound: Duration) -> Result<Vec<Applicant>, Failure> {
    let codes: Vec<String> = (1..=load.tenancies).map(code).collect();
    let office = stage.user(User::Office).await?;
    for code in &codes {
        let department = manifests::department(code, "市政府办");
        office.post::<Department>(&department).await?;
    }
    let mut applicants = Vec::new();
    for code in &codes {
        let staff = stage.user(User::Department(code)).await?;
        register(stage, &staff, code, bound).await?;
        applicants.push(Applicant {
            place: manifests::office(code),
            staff,
            manifest: tenancy(code, load.namespaces)?,
        });
    }
    Ok(applicants)
}

/// The first departments, which divide their leases anew; none of tenancies of one namespace.
fn movers(applicants: &[Applicant]) -> Vec<Mover> {
    (1..)
        .map(code)
        .zip(applicants)
        .take(MOST)
        .filter_map(|(code, applicant)| Mover::new(&code, &applicant.staff, &applicant.manifest))
        .collect()
}

/// The code of the department with this number, from 1; codes sort as their numbers do.
fn code(number: u32) -> String {
    format!("bench-{number:04}")
}

/// Registers the department's system, as soon as its staff may.
async fn register(
    stage: &Stage,
    staff: &Session,
    code: &str,
    bound: Duration,
) -> Result<(), Failure> {
    let system = manifests::system(code, TENANCY);
    let place = manifests::office(code);
    let what = format!("the system of {code} registered");
    stage
        .see(&what, bound, async || {
            match staff.post::<InformationSystem>(&system).await {
                Ok(()) => Ok(()),
                // an answer may have been lost on its way
                Err(failure) => staff
                    .get::<InformationSystem>(Some(&place), TENANCY)
                    .await
                    .map(|_| ())
                    .map_err(|missing| format!("{failure:?}\n{missing}")),
            }
        })
        .await
}

/// A tenancy whose lease is divided evenly.
fn tenancy(code: &str, namespaces: u32) -> Result<Value, Failure> {
    let share = [("vcpu-x86", "4"), ("memory", "8Gi")];
    let cores = namespaces.saturating_mul(4).to_string();
    let memory = format!("{}Gi", namespaces.saturating_mul(8));
    let lease = [("vcpu-x86", cores.as_str()), ("memory", memory.as_str())];
    let names: Vec<String> = (1..=namespaces)
        .map(|number| format!("n{number}"))
        .collect();
    let shares: Vec<Share<'_>> = names
        .iter()
        .map(|name| (name.as_str(), share.as_slice()))
        .collect();
    manifests::tenancy(code, TENANCY, &lease, &shares)
}

/// Applies every tenancy, at the rate that is asked for, and waits until the last one is active.
async fn lease(
    stage: &Stage,
    load: Load,
    applicants: Vec<Applicant>,
    bound: Duration,
) -> Result<(Instants, Instants), Failure> {
    let bound = bound.saturating_add(load.arrival(load.tenancies));
    let auditor = stage.user(User::Auditor).await?;
    let wanted = applicants.len();
    // at a rate nobody waits for a free worker: that would be the queue again
    let workers = load.arrivals.map_or(WORKERS, |_| wanted);
    let mut active = Instants::new();
    let mut waiting = BTreeMap::new();
    let watching = auditor.follow::<Tenancy>(|tenancy| {
        note(tenancy, &mut active, &mut waiting);
        active.len() >= wanted
    });
    let began = Instant::now();
    let jobs = (0_u32..).zip(applicants);
    let applying = spread(
        workers,
        jobs,
        move |(number, applicant): (u32, Applicant)| async move {
            let Applicant {
                place,
                staff,
                manifest,
            } = applicant;
            let early = load.arrival(number).saturating_sub(began.elapsed());
            if !early.is_zero() {
                sleep(early).await;
            }
            let applied = Instant::now();
            staff.post::<Tenancy>(&manifest).await?;
            Ok::<_, Failure>((place, applied))
        },
    );
    let both = async { tokio::try_join!(watching, applying) };
    let both = timeout(bound, both).await;
    if let Ok(ended) = both {
        let ((), applied) = ended?;
        return Ok((applied.into_iter().collect(), active));
    }
    let log = stage.operator.lock().await.tail();
    let (count, states) = (active.len(), states(&waiting));
    Err(Failure::Late {
        what: format!("{wanted} active tenancies"),
        bound,
        last: format!("{count} are active\n{states}\nthe operator's last lines:\n{log}"),
    })
}

/// Remembers when a tenancy was first seen active, and until then what it says of itself.
fn note(tenancy: Tenancy, active: &mut Instants, waiting: &mut BTreeMap<String, String>) {
    let place = tenancy.metadata.namespace.unwrap_or_default();
    let status = tenancy.status.unwrap_or_default();
    if status.phase == Phase::Active {
        waiting.remove(&place);
        active.entry(place).or_insert_with(Instant::now);
    } else {
        waiting.insert(place, format!("{:?} {:?}", status.phase, status.conditions));
    }
}

/// The first few that are not active, and why.
fn states(waiting: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = waiting
        .iter()
        .take(5)
        .map(|(place, state)| format!("{place}: {state}"))
        .collect();
    lines.join("\n")
}

/// From the first apply to the last active tenancy, and what each took by itself.
fn spans(applied: &Instants, active: &Instants) -> (Duration, Vec<Duration>) {
    let first = applied.values().min();
    let last = active.values().max();
    let elapsed = first
        .zip(last)
        .map_or(Duration::ZERO, |(first, last)| last.duration_since(*first));
    let latencies = applied
        .iter()
        .filter_map(|(place, from)| Some(active.get(place)?.duration_since(*from)))
        .collect();
    (elapsed, latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_departments_are_of_one_length() {
        assert_eq!(
            [1, 999, 1000, 9999].map(code),
            ["bench-0001", "bench-0999", "bench-1000", "bench-9999"]
        );
    }

    #[test]
    fn the_clock_runs_from_the_first_apply_to_the_last_active_tenancy() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let named = |pairs: [(&str, u64); 2]| -> Instants {
            pairs
                .into_iter()
                .map(|(place, seconds)| (place.to_owned(), at(seconds)))
                .collect()
        };
        let (elapsed, latencies) =
            spans(&named([("a", 1), ("b", 2)]), &named([("a", 9), ("b", 5)]));
        assert_eq!(elapsed, Duration::from_secs(8));
        assert_eq!(latencies, [8, 3].map(Duration::from_secs));
    }

    #[test]
    fn a_tenancy_is_active_from_when_it_was_first_seen_so() {
        let tenancy = |phase: &str| -> Tenancy {
            let mut manifest = tenancy("bench-0001", 2).unwrap();
            manifest["status"] = json!({"phase": phase});
            serde_json::from_value(manifest).unwrap()
        };
        let (mut active, mut waiting) = (Instants::new(), BTreeMap::new());
        note(tenancy("Approved"), &mut active, &mut waiting);
        assert!(active.is_empty());
        assert!(states(&waiting).starts_with("dept-bench-0001: Approved"));
        note(tenancy("Active"), &mut active, &mut waiting);
        let first = active["dept-bench-0001"];
        note(tenancy("Active"), &mut active, &mut waiting);
        assert_eq!(active["dept-bench-0001"], first);
        assert!(waiting.is_empty());
    }

    #[test]
    fn shares_add_up_to_the_lease_and_no_person_decides() {
        let manifest = tenancy("bench-0001", 3).unwrap();
        assert_eq!(manifest["spec"]["lease"][0]["quantity"], "12");
        assert_eq!(manifest["spec"]["lease"][1]["quantity"], "24Gi");
        let shared = manifest["spec"]["namespaces"].as_array().unwrap();
        assert_eq!(shared.len(), 3);
        assert!(shared.iter().all(|n| n["share"]["vcpu-x86"] == "4"));
        let policy = policy().unwrap();
        assert_eq!(policy["spec"]["autoApproval"]["ceilingMonthly"], CEILING);
        assert_eq!(policy["spec"]["period"], json!({"kind": "Month"}));
    }
}
