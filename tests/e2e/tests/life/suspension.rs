//! The office stops what runs in a tenancy and lets it go on; the department can do neither.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota};
use leasehold_api::platform::{Suspension, SuspensionPhase};
use leasehold_api::tenancy::Phase;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::fact::Interval;
use leasehold_testkit::manifests::{self, Days};
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

const LEASE: [(&str, &str); 3] = [("vcpu-x86", "4"), ("memory", "8Gi"), ("block-ssd", "20Gi")];
/// Eight for each core.
const PODS: &str = "32";
const REPLICAS: usize = 2;

async fn leased(office: &Office) {
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
}

fn prod(office: &Office) -> String {
    format!("{}--prod", office.code)
}

/// The order of the office, named as its tenancy.
fn order(office: &Office) -> Value {
    json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
        "metadata": {"name": "oa", "namespace": office.place},
        "spec": {"tenancy": "oa", "reason": "安全整改", "authority": "市政府办 黄政办〔2026〕12号"},
    })
}

/// What the department runs and keeps: a Deployment and a claim.
async fn workload(office: &Office) {
    let place = prod(office);
    let template = manifests::pod(&place, "web", "500m", "512Mi", None);
    let mut spec = template["spec"].clone();
    spec["restartPolicy"] = json!("Always");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": place},
        "spec": {
            "replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "files", "namespace": place},
        "spec": {
            "storageClassName": "ssd", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    for manifest in [deployment, claim] {
        office.staff.apply(&manifest).await.unwrap();
    }
    running(office, REPLICAS).await;
}

/// Waits until exactly so many pods run, and none is on its way out.
async fn running(office: &Office, count: usize) {
    let place = prod(office);
    let what = format!("{count} pods in {place}");
    let seen = office.stage.see(&what, LONG, async || {
        let pods = office.staff.list::<Pod>(Some(&place)).await;
        let pods = pods.map_err(|failure| format!("{failure:?}"))?;
        let runs = |pod: &&Pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        if pods.len() == count && pods.iter().filter(runs).count() == count {
            Ok(())
        } else {
            Err(format!("{} pods: {pods:#?}", pods.len()))
        }
    });
    seen.await.unwrap();
}

/// Waits until the quota of the namespace lets so many pods run, in spec and in status.
async fn allowed(office: &Office, pods: &str) -> ResourceQuota {
    let place = prod(office);
    let what = format!("{pods} pods allowed in {place}");
    let seen = office.stage.see(&what, LONG, async || {
        let quota = office
            .staff
            .get::<ResourceQuota>(Some(&place), "leasehold")
            .await?;
        let spec = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let status = quota
            .status
            .as_ref()
            .and_then(|status| status.hard.as_ref());
        let found = [spec, status].map(|hard| hard.and_then(|hard| hard.get("pods")));
        if found
            .iter()
            .all(|found| found.is_some_and(|found| found.0 == pods))
        {
            Ok(quota)
        } else {
            Err(format!("{found:?}"))
        }
    });
    seen.await.unwrap()
}

/// The Deployment has tried to start pods, and was refused by the quota: they stay away.
async fn kept_away(office: &Office) {
    let place = prod(office);
    let seen = office
        .stage
        .see("pods refused by the quota", LONG, async || {
            let sets = office.staff.list::<ReplicaSet>(Some(&place)).await;
            let sets = sets.map_err(|failure| format!("{failure:?}"))?;
            let conditions = sets
                .iter()
                .flat_map(|set| &set.status)
                .flat_map(|status| status.conditions.iter().flatten());
            let told: Vec<&str> = conditions
                .filter(|condition| condition.type_ == "ReplicaFailure")
                .filter_map(|condition| condition.message.as_deref())
                .collect();
            if told
                .iter()
                .any(|message| message.contains("exceeded quota"))
            {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        });
    seen.await.unwrap();
    running(office, 0).await;
}

/// Waits until the order is in a phase.
async fn stands(office: &Office, phase: SuspensionPhase) -> Suspension {
    let what = format!("the suspension in phase {phase:?}");
    let seen = office.stage.see(&what, PERIODS, async || {
        let place = Some(office.place.as_str());
        let found = office.staff.get::<Suspension>(place, "oa").await?;
        let is = found.status.as_ref().map(|status| status.phase);
        if is == Some(phase) {
            Ok(found)
        } else {
            Err(format!("{:#?}", found.status))
        }
    });
    seen.await.unwrap()
}

fn message(suspension: &Suspension, type_: &str) -> String {
    let conditions = suspension
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let mut conditions = conditions.filter(|condition| condition.type_ == type_);
    conditions
        .next()
        .map(|condition| condition.message.clone())
        .unwrap_or_default()
}

/// Every right but to look is the office's.
async fn the_department_only_looks(office: &Office) {
    let place = ["-n", office.place.as_str()];
    let staff = &office.staff;
    let shorter = json!({"spec": {"until": "2020-01-01"}});
    let over = json!({"status": {"phase": "Over"}});
    let status = ["-n", office.place.as_str(), "--subresource=status"];
    let mut another = order(office);
    another["metadata"]["name"] = json!("forged");
    let refused = [
        (staff.try_create(&another).await, "create"),
        (staff.try_patch("sus/oa", &place, &shorter).await, "patch"),
        // kubectl reads a subresource before it patches it
        (staff.try_patch("sus/oa", &status, &over).await, "get"),
        (
            staff
                .kubectl(&["delete", "sus", "oa", "-n", &office.place], "")
                .await,
            "delete",
        ),
        (
            staff
                .leasehold(&["resume", "oa", "-n", &office.place, "--yes"])
                .await,
            "delete",
        ),
    ];
    for (ran, verb) in refused {
        let words = format!("cannot {verb} resource \"suspensions");
        ran.unwrap().refused(&words).unwrap();
    }
    let look = ["get", "sus", "oa", "-n", office.place.as_str()];
    let seen = staff.kubectl(&look, "").await.unwrap().ok().unwrap();
    for cell in ["oa", "InForce", "黄政办〔2026〕12号"] {
        assert!(seen.stdout.contains(cell), "{}", seen.stdout);
    }
}

/// The ledger as a file of its own, and what of the lease is billed by it: quantity and whether it goes on, by meter.
async fn billed(office: &Office) -> (String, Vec<(String, i64, bool)>) {
    let folder = office.stage.rig.scratch(&office.code).unwrap();
    let operator = office.stage.operator.lock().await;
    let db = operator.copy_ledger(&folder).unwrap().display().to_string();
    drop(operator);
    let usage = [
        "usage",
        "--db",
        &db,
        "--department",
        &office.code,
        "-o",
        "json",
    ];
    let ran = office.staff.leasehold(&usage).await.unwrap().ok().unwrap();
    let intervals: Vec<Interval> = ran.json().unwrap();
    let mut lease: Vec<(String, i64, bool)> = intervals
        .into_iter()
        .map(|found| (found.meter.to_string(), found.quantity, found.open))
        .filter(|(meter, _, _)| meter.starts_with("lease/"))
        .collect();
    lease.sort();
    (db, lease)
}

/// The lease has been billed from the beginning and goes on, and the ledger with the suspension in it verifies.
async fn billing_goes_on(office: &Office) {
    let (db, lease) = billed(office).await;
    let expected = [
        ("lease/block-ssd".to_owned(), 20_i64 << 30, true),
        ("lease/memory".to_owned(), 8_i64 << 30, true),
        ("lease/vcpu-x86".to_owned(), 4_000, true),
    ];
    assert_eq!(lease, expected);
    let verify = ["verify", "--db", &db];
    office.staff.leasehold(&verify).await.unwrap().ok().unwrap();
}

async fn chen(office: &Office) -> Session {
    office.stage.user(User::Office).await.unwrap()
}

#[tokio::test]
async fn the_office_stops_a_tenancy_its_pods_go_and_come_back_and_what_ended_stays_over_t42() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("halted", "审计局").await.unwrap();
    leased(&office).await;
    workload(&office).await;
    let before = allowed(&office, PODS).await.spec.unwrap().hard.unwrap();

    let chen = chen(&office).await;
    chen.apply(&order(&office)).await.unwrap();
    let tenancy = office.phase("oa", Phase::Suspended).await.unwrap();
    let shown = tenancy.status.unwrap().suspension.unwrap();
    assert_eq!(
        (shown.by.as_str(), shown.name.as_str()),
        ("chen@office", "oa")
    );
    let mut halted = allowed(&office, "0").await.spec.unwrap().hard.unwrap();
    running(&office, 0).await;
    kept_away(&office).await;
    let pods = before["pods"].clone();
    halted.insert("pods".to_owned(), pods);
    assert_eq!(halted, before, "everything else is as it was");
    let place = prod(&office);
    let claim = office
        .staff
        .get::<PersistentVolumeClaim>(Some(&place), "files")
        .await;
    assert!(claim.unwrap().metadata.deletion_timestamp.is_none());
    stands(&office, SuspensionPhase::InForce).await;
    the_department_only_looks(&office).await;
    billing_goes_on(&office).await;

    // its last day was yesterday
    let days = Days::now().unwrap();
    let until = |day: &str| json!({"spec": {"until": day}});
    let target = ["-n", office.place.as_str()];
    let yesterday = days.today.previous_day().to_string();
    let ran = chen.try_patch("sus/oa", &target, &until(&yesterday)).await;
    ran.unwrap().ok().unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
    allowed(&office, PODS).await;
    running(&office, REPLICAS).await;
    stands(&office, SuspensionPhase::Over).await;
    let later = days.term_through().to_string();
    let ran = chen.try_patch("sus/oa", &target, &until(&later)).await;
    ran.unwrap().ok().unwrap();
    let refused = stands(&office, SuspensionPhase::Refused).await;
    let told = message(&refused, "Refused");
    assert!(told.starts_with("rule T42:"), "{told}");
    office.phase("oa", Phase::Active).await.unwrap();
    chen.kubectl(&["delete", "sus", "oa", "-n", &office.place], "")
        .await
        .unwrap()
        .ok()
        .unwrap();
}

#[tokio::test]
async fn the_command_line_suspends_and_resumes() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("commanded", "统计局").await.unwrap();
    leased(&office).await;
    let chen = chen(&office).await;
    let place = office.place.as_str();
    let suspend = [
        "suspend",
        "oa",
        "-n",
        place,
        "--reason",
        "欠费",
        "--authority",
        "财政局 函〔2026〕7号",
        "--yes",
    ];
    let json = [&suspend[..], &["-o", "json"]].concat();
    let told: Value = chen
        .leasehold(&json)
        .await
        .unwrap()
        .ok()
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(told["tenancy"], "oa");
    assert_eq!(told["until"], Value::Null);
    office.phase("oa", Phase::Suspended).await.unwrap();
    allowed(&office, "0").await;
    let again = chen.leasehold(&suspend).await.unwrap();
    again.refused("is suspended already").unwrap();
    let resume = ["resume", "oa", "-n", place, "--yes"];
    chen.leasehold(&resume).await.unwrap().ok().unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
    allowed(&office, PODS).await;
    let again = chen.leasehold(&resume).await.unwrap();
    again.refused("is not suspended").unwrap();
    let past = [&suspend[..], &["--until", "2020-02-29"]].concat();
    let late = chen.leasehold(&past).await.unwrap();
    late.refused("its last day 2020-02-29 has passed").unwrap();

    // an order that has ended keeps its name, and is in nobody's way
    let mut over = order(&office);
    over["spec"]["until"] = json!("2020-02-29");
    chen.apply(&over).await.unwrap();
    stands(&office, SuspensionPhase::Over).await;
    let told: Value = chen
        .leasehold(&json)
        .await
        .unwrap()
        .ok()
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(told["suspension"], "oa-2");
    office.phase("oa", Phase::Suspended).await.unwrap();
    chen.leasehold(&resume).await.unwrap().ok().unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
}

#[tokio::test]
async fn an_essential_system_is_not_suspended_and_is_told_so_t40() {
    let stage = Stage::shared().await.unwrap();
    let chen = stage.user(User::Office).await.unwrap();
    let mut department = manifests::department("essential", "应急指挥中心");
    department["spec"]["essentialSystems"] = json!(["oa"]);
    chen.apply(&department).await.unwrap();
    let office = Office::open(stage, "essential").await.unwrap();
    leased(&office).await;
    chen.apply(&order(&office)).await.unwrap();
    let refused = stands(&office, SuspensionPhase::Refused).await;
    let told = message(&refused, "Refused");
    assert!(told.starts_with("rule T40:"), "{told}");
    office.phase("oa", Phase::Active).await.unwrap();
    allowed(&office, PODS).await;
    // what began in this very second has been leased for no time yet
    let bills = stage.see("the lease billed", LONG, async || {
        let (_, lease) = billed(&office).await;
        if lease.len() == LEASE.len() {
            Ok(())
        } else {
            Err(format!("{lease:?}"))
        }
    });
    bills.await.unwrap();
}
