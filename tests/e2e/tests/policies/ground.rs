//! How the ground is laid: a real lease, the operator stopped, what the cases need beside it, a time
//! without stamps, and users for the day when the operator cannot help itself.

use http::Method;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use leasehold_e2e::person::said;
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::manifests::{self, Share};
use leasehold_testkit::{Failure, LONG, NAMESPACE, Rig, User, eventually, repository, snapshots};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::crowd::{ABOVE, CODE, Crowd, OTHER};
use crate::request::{Outcome, Request};
use crate::table::{Job, Table};

const PROD: &str = "policies--prod";

static LAID: OnceCell<Result<(), String>> = OnceCell::const_new();

/// The control plane with everything in place; the first test to ask lays it.
pub async fn laid() -> Result<&'static Rig, String> {
    let laid = LAID.get_or_init(|| async { Box::pin(lay()).await });
    laid.await.clone()?;
    Rig::shared().await.map_err(|failure| said(&failure))
}

async fn lay() -> Result<(), String> {
    let stage = Stage::bare().await.map_err(|failure| said(&failure))?;
    let (crowd, table) = (Crowd::gather(stage.rig).await?, Table::read()?);
    for request in &crowd.ground.unfurnished {
        let words = request.says.clone().unwrap_or_default();
        await_outcome(&crowd, request, &Outcome::Refused(words)).await?;
    }
    lease(stage).await.map_err(|failure| said(&failure))?;
    let admin = stage.user(User::Admin).await;
    let admin = admin.map_err(|failure| said(&failure))?;
    let kinds = snapshots::install(stage.rig, &admin).await;
    kinds.map_err(|failure| said(&failure))?;
    // policies hold without the operator, and what it would make of the next objects is not asked here
    stage.operator.lock().await.terminate();
    for request in &crowd.ground.before {
        carry_out(&crowd, request).await?;
    }
    unstamped(&crowd, &table).await?;
    furnish_again(stage.rig)
        .await
        .map_err(|failure| said(&failure))?;
    for job in table.jobs(false).filter(|job| job.request.awaited) {
        await_job(&crowd, &job).await?;
    }
    Ok(())
}

/// The platform of the examples, with an agency whose appraisers are listed by their group.
fn policy() -> Result<Value, Failure> {
    let mut policy = Stage::policy()?;
    let listed = policy.pointer_mut("/spec/appraisers");
    if let Some(listed) = listed.and_then(Value::as_array_mut) {
        listed.push(json!({
            "agency": "hengxin", "displayName": "恒信资产评估", "groups": ["hengxin-valuers"],
        }));
    }
    Ok(policy)
}

/// Three departments, one above another, and a lease of one of them with a named volume and a reader.
async fn lease(stage: &'static Stage) -> Result<(), Failure> {
    stage.furnish(&policy()?).await?;
    let mut department = manifests::department(CODE, "政策研究室");
    department["spec"]["domains"] = json!(["policies.example"]);
    stage.user(User::Office).await?.apply(&department).await?;
    let office = Office::open(stage, CODE).await?;
    stage.office(OTHER, "外事办").await?;
    stage.office(ABOVE, "市政府").await?;
    overseen(&office).await?;
    let leased = [
        ("vcpu-x86", "8"),
        ("memory", "16Gi"),
        ("block-ssd", "100Gi"),
    ];
    let share: Share<'_> = ("prod", &leased);
    let mut manifest = office.manifest("oa", &leased, &[share])?;
    if let Some(namespace) = manifest.pointer_mut("/spec/namespaces/0") {
        namespace["volumes"] = json!([{"name": "files", "item": "block-ssd", "size": "40Gi"}]);
    }
    let members = manifest.pointer_mut("/spec/members");
    if let Some(members) = members.and_then(Value::as_array_mut) {
        members.push(json!({"role": "viewer", "user": "liu@policies"}));
    }
    office.lease(&manifest).await?;
    settled(&office).await
}

/// Puts the department below another, whose staff oversees it from then on.
async fn overseen(office: &Office) -> Result<(), Failure> {
    let stage = office.stage;
    let chen = stage.user(User::Office).await?;
    let below = json!({"spec": {"parent": ABOVE}});
    let moved = chen.try_patch(&format!("dept/{CODE}"), &[], &below).await?;
    moved.ok()?;
    let overseer = stage.user(User::Department(ABOVE)).await?;
    stage
        .see("the rights of those above", LONG, async || {
            let look = ["get", "tenancies", "-n", &office.place];
            let ran = overseer.kubectl(&look, "").await;
            let ran = ran.map_err(|failure| said(&failure))?;
            if ran.is_ok() {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        })
        .await
}

/// Waits until everything of the lease is there.
async fn settled(office: &Office) -> Result<(), Failure> {
    let staff = &office.staff;
    office
        .stage
        .see("the leased namespace furnished", LONG, async || {
            staff
                .get::<PersistentVolumeClaim>(Some(PROD), "files")
                .await?;
            // pods are refused for the want of it before any rule is asked
            staff.get::<ServiceAccount>(Some(PROD), "default").await?;
            Ok(())
        })
        .await
}

/// Takes the stamps away, asks what is asked meanwhile, and makes what could not be made with them.
/// Installing the chart again brings them back.
async fn unstamped(crowd: &Crowd, table: &Table) -> Result<(), String> {
    let unstamped = &crowd.ground.unstamped;
    for path in &unstamped.without {
        let gone = crowd.admin(Method::DELETE, path, Value::Null).await?;
        if !gone.is_ok() {
            return Err(format!("{path}: {gone:?}"));
        }
    }
    for job in table.jobs(true) {
        await_job(crowd, &job).await?;
    }
    for request in &unstamped.makes {
        await_outcome(crowd, request, &Outcome::Accepted).await?;
        carry_out(crowd, request).await?;
    }
    Ok(())
}

/// Installs the chart again, now with a user whom the rules of namespaces do not bind, a provisioner that clones, and
/// namespaces of the platform that are called like leasehold's.
async fn furnish_again(rig: &Rig) -> Result<(), Failure> {
    let chart = repository().join("charts").join("leasehold");
    rig.helm(&[
        "upgrade",
        "leasehold",
        &chart.display().to_string(),
        "--namespace",
        NAMESPACE,
        "--reuse-values",
        "--set",
        "breakGlassUsers={duty@breakglass}",
        "--set",
        "cloningProvisioners[0].namespace=storage-system,cloningProvisioners[0].serviceAccount=csi-provisioner",
        "--set",
        "systemNamespaces={kube-system,ci--runner,dept-of-machines}",
        "--set",
        "snapshotClasses={offered}",
    ])
    .await?
    .ok()?;
    Ok(())
}

/// Rights and policies that were just written take a moment to bite.
async fn carry_out(crowd: &Crowd, request: &Request) -> Result<(), String> {
    let what = format!("{request:?} carried out");
    eventually(&what, LONG, async || crowd.carry_out(request).await)
        .await
        .map_err(|failure| said(&failure))
}

async fn await_job(crowd: &Crowd, job: &Job<'_>) -> Result<(), String> {
    await_outcome(crowd, job.request, &job.outcome)
        .await
        .map_err(|failure| format!("{}: {failure}", job.of))
}

async fn await_outcome(crowd: &Crowd, request: &Request, outcome: &Outcome) -> Result<(), String> {
    let what = format!("{request:?} with {outcome:?}");
    eventually(&what, LONG, async || crowd.try_out(request, outcome).await)
        .await
        .map_err(|failure| said(&failure))
}
