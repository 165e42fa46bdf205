//! The stage of these stories, how each begins, and how a command fails.

use leasehold_api::charging::Approval;
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{RequestStatus, Tenancy};
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::{Failure, Ran, Session, User};
use serde_json::json;
use tokio::sync::OnceCell;

/// What the policy approves by itself for one department, in yuan a month.
const CEILING: &str = "126.00";
/// A lease that a person decides: 4 × 46.00 + 8 × 17.00 = 320.00 a month is above the ceiling.
pub const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

static PLATFORM: OnceCell<Result<(), String>> = OnceCell::const_new();

/// The platform of the examples, where the policy decides below its ceiling.
async fn stage() -> &'static Stage {
    let stage = Stage::bare().await.unwrap();
    let set = PLATFORM.get_or_init(|| async {
        furnish(stage)
            .await
            .map_err(|failure| format!("{failure:?}"))
    });
    set.await.as_ref().unwrap();
    stage
}

async fn furnish(stage: &Stage) -> Result<(), Failure> {
    let mut policy = Stage::policy()?;
    policy["spec"]["autoApproval"]["ceilingMonthly"] = json!(CEILING);
    stage.furnish(&policy).await
}

/// A department at work.
pub async fn open(code: &str, name: &str) -> Office {
    stage().await.office(code, name).await.unwrap()
}

/// Applies a tenancy with one namespace of its name that holds all of it.
pub async fn apply(office: &Office, name: &str, lease: &[(&str, &str)]) {
    let manifest = office.manifest(name, lease, &[(name, lease)]).unwrap();
    office.staff.apply(&manifest).await.unwrap();
}

/// Asks for [`LEASE`] as the tenancy `oa`, and gives the office's undecided paper.
pub async fn ask(office: &Office) -> Approval {
    office.system().await.unwrap();
    apply(office, "oa", &LEASE).await;
    office.asked("oa", 1).await.unwrap()
}

/// An approval as it stands, in an auditor's eyes.
pub async fn paper(office: &Office, name: &str) -> Approval {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let place = Some(office.place.as_str());
    auditor.get::<Approval>(place, name).await.unwrap()
}

/// No approval was ever written for the department.
pub async fn nobody_was_asked(office: &Office) {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let approvals = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
    assert!(approvals.is_empty(), "{approvals:?}");
}

/// The request that a tenancy shows.
pub fn request_of(tenancy: &Tenancy) -> Option<&RequestStatus> {
    tenancy.status.as_ref()?.request.as_ref()
}

/// Why a tenancy is refused; empty when it is not.
pub fn refusal(tenancy: &Tenancy) -> String {
    let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == types::REFUSED && condition.status == "True")
        .map(|condition| condition.message.as_str())
        .collect()
}

/// Runs a command that must end with 1 and say why.
pub async fn fails(session: &Session, words: &[&str], why: &str) -> Ran {
    let ran = session.leasehold(words).await.unwrap();
    ran.with_code(1).unwrap().refused(why).unwrap()
}
