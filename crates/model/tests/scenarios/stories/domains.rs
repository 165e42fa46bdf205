//! A domain is the older department's, also when the definitions were gone and all objects are made anew.

use std::time::Duration;

use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::people::{ADMIN, OFFICE};

const DEPARTMENTS: &str = "departments.tenancy.leasehold.dev";
const DOMAIN: &str = "petition.city.example";
/// The older of two, and the later by name.
const OLDER: &str = "petition";
const YOUNGER: &str = "audit";

fn manifest(code: &str) -> Value {
    let mut department = manifests::department(code, code);
    department["spec"]["domains"] = json!([DOMAIN]);
    department
}

/// What a department is refused, once the operator has seen it as it is.
fn refused(stage: &Stage<'_>, code: &str) -> Option<String> {
    let found = stage.find([DEPARTMENTS, "", code])?;
    let status = &found["status"];
    if status["observedGeneration"] != found["metadata"]["generation"] {
        return None;
    }
    let conditions = status["conditions"].as_array()?.iter();
    let mut told = conditions.filter(|one| one["type"] == "Refused" && one["status"] == "True");
    let message = told.next().and_then(|one| one["message"].as_str());
    Some(message.unwrap_or_default().to_owned())
}

/// Waits until the one has the domain, and the other is told so.
async fn belongs(stage: &Stage<'_>, owner: &str, other: &str) -> Result<(), String> {
    let words = format!("and {owner} has {DOMAIN}");
    let what = format!("the domain with {owner}");
    stage
        .until(&what, |stage| {
            let [has, lacks] = [owner, other].map(|code| refused(stage, code));
            let told =
                lacks.is_some_and(|told| told.starts_with("rule D04:") && told.contains(&words));
            has.as_deref() == Some("") && told
        })
        .await
}

async fn both(stage: &Stage<'_>) -> Result<(), String> {
    stage.furnish(&json!({}), &[OLDER]).await?;
    let domains = json!({"spec": {"domains": [DOMAIN]}});
    stage.patch(OFFICE, [DEPARTMENTS, "", OLDER], &domains)?;
    stage.create(OFFICE, &manifest(YOUNGER))?;
    belongs(stage, OLDER, YOUNGER).await
}

/// The object goes and comes back. Its policy (rule D09) is not played here.
async fn made_anew(stage: &Stage<'_>, code: &str) -> Result<(), String> {
    stage.delete(ADMIN, [DEPARTMENTS, "", code])?;
    stage.pass(Duration::from_secs(30)).await;
    stage.create(OFFICE, &manifest(code))
}

#[test]
fn a_department_whose_object_was_gone_is_as_old_as_before() {
    tell(async |stage| {
        both(stage).await?;
        made_anew(stage, OLDER).await?;
        belongs(stage, OLDER, YOUNGER).await?;
        // and with the definitions all of them go, and may come back in any order
        stage.delete(ADMIN, [DEPARTMENTS, "", OLDER])?;
        made_anew(stage, YOUNGER).await?;
        stage
            .until("the domain with the only one that is there", |stage| {
                refused(stage, YOUNGER).as_deref() == Some("")
            })
            .await?;
        stage.operator().stop();
        stage.create(OFFICE, &manifest(OLDER))?;
        belongs(stage, OLDER, YOUNGER).await
    });
}

#[test]
fn a_department_that_ended_and_comes_back_is_the_younger() {
    tell(async |stage| {
        both(stage).await?;
        let end = json!({"spec": {"end": {"reason": "机构改革"}}});
        stage.patch(OFFICE, [DEPARTMENTS, "", OLDER], &end)?;
        let ended = |stage: &Stage<'_>| {
            let found = stage.find([DEPARTMENTS, "", OLDER]).unwrap_or_default();
            found["status"]["phase"] == "Ended"
        };
        stage.until("the department ended", ended).await?;
        made_anew(stage, OLDER).await?;
        belongs(stage, YOUNGER, OLDER).await
    });
}
