//! A request that is deleted while the office decides, and held by a finalizer, is not provided: whoever takes the
//! finalizer away later would end a lease unasked.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Stage,
    oa::{OA, OFFICE_OF_EDU, manifest},
    tell,
};
use crate::{expect::APPROVALS, people::staff};

/// Long enough for everything to be looked at again.
const LONG: Duration = Duration::from_secs(3600);
const QUESTION: [&str; 3] = [APPROVALS, OFFICE_OF_EDU, "oa-1-office"];
const PROD: [&str; 3] = ["namespaces", "", "edu--prod"];

/// The department asks, with a finalizer of its own on what it asks for; the office has the question.
async fn asked(stage: &Stage<'_>) -> Result<(), String> {
    stage.furnish(&json!({}), &["edu"]).await?;
    let mut held = manifest("2027-12-31");
    held["metadata"]["finalizers"] = json!(["example.com/never"]);
    stage.create(&staff("edu"), &held)?;
    let is_asked = |stage: &Stage<'_>| stage.find(QUESTION).is_some();
    stage.until("the question", is_asked).await
}

#[test]
fn a_deleted_request_that_a_finalizer_holds_is_never_provided_although_the_office_says_yes() {
    tell(async |stage| {
        asked(stage).await?;
        stage.delete(&staff("edu"), OA)?;
        let held = stage.find(OA).ok_or("it went in spite of its finalizer")?;
        if held["metadata"]["deletionTimestamp"].is_null() {
            return Err(format!("it was not deleted: {held}"));
        }
        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        stage.pass(LONG).await;
        let found = stage.find(OA).unwrap_or_default();
        if stage.find(PROD).is_some() || !is_nothing(&found["status"]["approved"]) {
            return Err(format!("it was provided: {}", found["status"]));
        }
        let freed = json!({"metadata": {"finalizers": null}});
        stage.patch(&staff("edu"), OA, &freed)?;
        if stage.find(OA).is_some() {
            return Err("it stays although nothing holds it".to_owned());
        }
        Ok(())
    });
}

#[test]
fn the_same_request_is_provided_while_nobody_deletes_it() {
    tell(async |stage| {
        asked(stage).await?;
        stage.approve(OFFICE_OF_EDU, "oa-1-office").await?;
        let stands = |stage: &Stage<'_>| stage.find(PROD).is_some();
        stage.until("its namespace", stands).await
    });
}

fn is_nothing(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}
