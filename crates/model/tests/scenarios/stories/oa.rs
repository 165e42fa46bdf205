//! The tenancy `oa` of the department `edu`, which stories about its life are told of, and what can be seen of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::{
    expect::TENANCIES,
    people::staff,
    script::{Lessee, Wish},
    world,
};

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// The office namespace.
pub const OFFICE_OF_EDU: &str = "dept-edu";
/// The tenancy.
pub const OA: [&str; 3] = [TENANCIES, OFFICE_OF_EDU, "oa"];
/// The quotas of its two namespaces, of four cores and of two.
pub const QUOTAS: [[&str; 3]; 2] = [
    ["resourcequotas", "edu--prod", "leasehold"],
    ["resourcequotas", "edu--test", "leasehold"],
];
/// Its department.
pub const EDU: [&str; 3] = ["departments.tenancy.leasehold.dev", "", "edu"];

/// The tenancy in one namespace.
pub fn lessee() -> Lessee {
    Lessee {
        code: "edu",
        name: "oa".to_owned(),
        shorts: vec!["prod".to_owned()],
        keeps: false,
    }
}

/// So many cores, 8 GiB of memory and 10 GiB of storage in that namespace.
pub fn cores(number: i64) -> Wish {
    Wish {
        shares: vec![[number, 8, 10]],
        spare: [0; 3],
    }
}

/// The tenancy in two namespaces, with this last day of its term.
pub fn manifest(through: &str) -> Value {
    let lessee = Lessee {
        shorts: vec!["prod".to_owned(), "test".to_owned()],
        ..lessee()
    };
    let wish = Wish {
        shares: vec![[4, 8, 10], [2, 4, 4]],
        spare: [0; 3],
    };
    let mut manifest = world::tenancy(&lessee, &wish);
    manifest["spec"]["term"]["through"] = json!(through);
    manifest
}

/// It leases under this policy, and stands.
pub async fn leased(stage: &Stage<'_>, policy: &Value, through: &str) -> Result<(), String> {
    stage.furnish(policy, &["edu"]).await?;
    stage.create(&staff("edu"), &manifest(through))?;
    stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
    let stands = |stage: &Stage<'_>| {
        stage
            .find(OA)
            .is_some_and(|oa| !oa["status"]["approved"].is_null())
    };
    stage.until("the lease", stands).await?;
    in_phase(stage, "Active").await
}

/// Waits until it is in a phase.
pub async fn in_phase(stage: &Stage<'_>, phase: &str) -> Result<(), String> {
    let what = format!("phase {phase}");
    stage
        .until(&what, |stage| shown(stage, "/phase") == phase)
        .await
}

/// A part of its status.
pub fn shown(stage: &Stage<'_>, pointer: &str) -> Value {
    let oa = stage.find(OA).unwrap_or_default();
    let found = oa["status"].pointer(pointer);
    found.cloned().unwrap_or_default()
}

/// The message of one of its conditions.
pub fn condition(stage: &Stage<'_>, type_: &str) -> Option<String> {
    let conditions = shown(stage, "/conditions");
    let mut conditions = conditions.as_array()?.iter();
    let found = conditions.find(|found| found["type"] == type_)?;
    found["message"].as_str().map(str::to_owned)
}

/// What its history remembers and begins so.
pub fn history(stage: &Stage<'_>, beginning: &str) -> Vec<String> {
    let history = shown(stage, "/history");
    let entries = history.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| entry["what"].as_str())
        .filter(|what| what.starts_with(beginning))
        .map(str::to_owned)
        .collect()
}

/// Actions of its events with a reason.
pub fn events(stage: &Stage<'_>, reason: &str) -> Vec<String> {
    let all = stage.all("events.events.k8s.io");
    let of_oa = all
        .iter()
        .filter(|event| event["regarding"]["kind"] == "Tenancy" && event["reason"] == reason);
    of_oa
        .map(|event| event["action"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Keys of documents of a kind in the ledger.
pub fn documents(stage: &Stage<'_>, kind: &str) -> Vec<String> {
    let rows = stage.rows();
    let keys = rows.iter().filter(|row| row.chain.kind == "document");
    keys.filter_map(|row| {
        let key = row.chain.key.strip_prefix(kind)?.strip_prefix('/')?;
        Some(key.to_owned())
    })
    .collect()
}

/// How many pods each of its namespaces may have, as it is written and as it counts.
pub fn pods(stage: &Stage<'_>) -> Vec<[String; 2]> {
    let of = |quota: [&str; 3]| {
        let quota = stage.find(quota).unwrap_or_default();
        ["spec", "status"].map(|part| {
            let pods = quota[part]["hard"]["pods"].as_str();
            pods.unwrap_or_default().to_owned()
        })
    };
    QUOTAS.into_iter().map(of).collect()
}

/// The same number of pods, written and counted.
pub fn both(numbers: [&str; 2]) -> Vec<[String; 2]> {
    let both = |number: &str| [number.to_owned(), number.to_owned()];
    numbers.into_iter().map(both).collect()
}
