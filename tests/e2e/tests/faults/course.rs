//! What people do: lease, divide anew, lease more, lease less, give back, begin anew; some have a volume that is kept, and
//! are stopped for a while (`kept`). Whoever does the next thing waits
//! until what was done before has come about, so that the end does not depend on how long anything takes.

use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leasehold_api::charging::{Approval, SubjectOfDecision};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::{Failure, Ran, User};
use serde_json::Value;

use crate::kept;

/// The tenancy of every department.
pub const NAME: &str = "oa";
/// Its namespaces.
const SHORTS: [&str; 2] = ["prod", "test"];
/// Processors of each namespace, one after the other: leased, divided anew, more, less.
const FIRST: [u32; 2] = [6, 2];
const DIVIDED: [u32; 2] = [3, 5];
const MORE: [u32; 2] = [5, 7];
const LESS: [u32; 2] = [4, 2];
/// Waits that may be in vain, each as long as its own bound, before something is taken for stuck: several faults in a
/// row may hold up one thing.
const VAIN: u32 = 2;

/// How a course ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The lease stands.
    Stands,
    /// It was given back, and nothing is left of it.
    GivenBack,
    /// It was given back, and the name has begun a second life.
    BegunAnew,
}

impl End {
    /// Each in its turn.
    pub fn of(number: usize) -> Self {
        match number % 3 {
            0 => Self::Stands,
            1 => Self::GivenBack,
            _ => Self::BegunAnew,
        }
    }
}

/// What a department does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    end: End,
    /// Whether it has a volume that is to be kept after the release, and is suspended for a while.
    keeps: bool,
}

impl Course {
    /// Every third keeps something, and among nine one with each end.
    pub fn of(number: usize) -> Self {
        Self {
            end: End::of(number),
            keeps: (number + number / 3) % 3 == 1,
        }
    }
}

/// What a failure says, in all its lines.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub fn told(failure: Failure) -> String {
    format!("{failure:?}")
}

/// Does all of it in one department.
pub async fn walk(stage: &'static Stage, code: String, course: Course) -> Result<(), String> {
    let walked = through(stage, &code, course).await;
    walked.map_err(|why| format!("department {code}: {why}"))
}

async fn through(stage: &'static Stage, code: &str, course: Course) -> Result<(), String> {
    let Course { end, keeps } = course;
    let office = patiently(async || stage.office(code, "市水利局").await).await?;
    office.system().await.map_err(told)?;
    lease(&office, keeps).await?;
    if keeps {
        Box::pin(kept::bind(&office, &place(&office, SHORTS[0]))).await?;
    }
    ask(&office, DIVIDED, keeps).await?;
    stands(&office, DIVIDED).await?;
    ask(&office, MORE, keeps).await?;
    approve(&office, 2).await?;
    stands(&office, MORE).await?;
    if keeps {
        Box::pin(kept::suspend(&office)).await?;
        stands(&office, MORE).await?;
    }
    // needs nobody's approval
    ask(&office, LESS, keeps).await?;
    stands(&office, LESS).await?;
    match end {
        End::Stands => Ok(()),
        End::GivenBack => give_back(&office).await,
        End::BegunAnew => {
            give_back(&office).await?;
            let gone = ["delete", "tcy/oa", "-n", &office.place];
            let ran = office.staff.kubectl(&gone, "").await;
            ran.and_then(Ran::ok).map_err(told)?;
            lease(&office, keeps).await
        }
    }
}

/// The namespace of a short name.
fn place(office: &Office, short: &str) -> String {
    format!("{}--{short}", office.code)
}

async fn lease(office: &Office, keeps: bool) -> Result<(), String> {
    ask(office, FIRST, keeps).await?;
    approve(office, 1).await?;
    stands(office, FIRST).await
}

/// Applies a lease of so many processors in each namespace.
async fn ask(office: &Office, cores: [u32; 2], keeps: bool) -> Result<(), String> {
    let manifest = manifest(office, cores, keeps).map_err(told)?;
    office.staff.apply(&manifest).await.map_err(told)?;
    Ok(())
}

fn manifest(office: &Office, cores: [u32; 2], keeps: bool) -> Result<Value, Failure> {
    let [prod, test] = cores.map(|count| count.to_string());
    let all = cores.iter().sum::<u32>().to_string();
    let mut lease = vec![("vcpu-x86", all.as_str()), ("memory", "16Gi")];
    let mut prod = vec![("vcpu-x86", prod.as_str()), ("memory", "8Gi")];
    let test = [("vcpu-x86", test.as_str()), ("memory", "8Gi")];
    if keeps {
        lease.push(("block-ssd", "20Gi"));
        prod.push(("block-ssd", "20Gi"));
    }
    let mut manifest = office.manifest(
        NAME,
        &lease,
        &[(SHORTS[0], prod.as_slice()), (SHORTS[1], &test)],
    )?;
    if keeps {
        manifest["spec"]["namespaces"][0]["volumes"] = kept::volumes();
    }
    Ok(manifest)
}

/// Has the office approve a request, once its question is there.
async fn approve(office: &Office, request: u32) -> Result<(), String> {
    let approval = patiently(async || office.asked(NAME, request).await).await?;
    sign(office, &approval).await
}

/// The office signs once; that goes to the API server directly.
async fn sign(office: &Office, approval: &Approval) -> Result<(), String> {
    let signed = office.stage.approve(User::Office, approval).await;
    signed.map_err(told)
}

async fn give_back(office: &Office) -> Result<(), String> {
    let words = [
        "release",
        NAME,
        "-n",
        &office.place,
        "--reason",
        "系统下线",
        "--yes",
    ];
    let ran = office.staff.leasehold(&words).await;
    ran.and_then(Ran::ok).map_err(told)?;
    let (kind, place) = (SubjectOfDecision::Release, Some(office.place.as_str()));
    let approval = patiently(async || office.stage.inbox(kind, NAME, 0, place).await).await?;
    sign(office, &approval).await?;
    patiently(async || office.phase(NAME, Phase::Released).await).await?;
    Ok(())
}

/// Waits until the lease is in force: approved, active, and counted by the quotas.
async fn stands(office: &Office, cores: [u32; 2]) -> Result<(), String> {
    let what = format!("a lease of {cores:?} cores in {}", office.code);
    patiently(async || {
        let looking = office
            .stage
            .see(&what, PERIODS, async || looked(office, cores).await);
        looking.await
    })
    .await
}

async fn looked(office: &Office, cores: [u32; 2]) -> Result<(), String> {
    let home = Some(office.place.as_str());
    let tenancy = office.staff.get::<Tenancy>(home, NAME).await?;
    let status = tenancy.status.unwrap_or_default();
    let is_of_now = status.observed_generation == tenancy.metadata.generation;
    let mut approved = status.approved.iter();
    let all = cores.iter().sum::<u32>().to_string();
    let is_approved =
        approved.any(|held| &*held.item == "vcpu-x86" && held.quantity.to_string() == all);
    if !is_of_now || !is_approved || status.phase != Phase::Active {
        return Err(format!("{status:#?}"));
    }
    for (short, count) in SHORTS.into_iter().zip(cores) {
        let place = place(office, short);
        let staff = &office.staff;
        let quota = staff
            .get::<ResourceQuota>(Some(&place), "leasehold")
            .await?;
        let asked = quota.spec.and_then(|spec| spec.hard);
        let counted = quota.status.and_then(|status| status.hard);
        for hard in [asked, counted] {
            let hard = hard.unwrap_or_default();
            let found = hard.get("requests.cpu").map(thousandths);
            if found != Some(i64::from(count) * 1_000) {
                return Err(format!("{place} has {hard:?}"));
            }
        }
    }
    Ok(())
}

fn thousandths(quantity: &Quantity) -> i64 {
    parse_quantity(&quantity.0, Unit::Core).unwrap()
}

/// Waits again for what has not come about within its bound.
pub async fn patiently<T>(mut wait: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, String> {
    for _ in 0..VAIN {
        match wait().await {
            Err(Failure::Late { .. }) => {}
            ended => return ended.map_err(told),
        }
    }
    wait().await.map_err(told)
}

#[test]
fn among_nine_departments_one_with_each_end_keeps_something_and_some_of_the_first_seven_do() {
    let keeping = |numbers: std::ops::Range<usize>| {
        let courses = numbers.map(Course::of).filter(|course| course.keeps);
        courses.map(|course| course.end).collect::<Vec<End>>()
    };
    assert_eq!(keeping(0..9), [End::GivenBack, End::Stands, End::BegunAnew]);
    assert_eq!(keeping(0..7), [End::GivenBack, End::Stands]);
}
