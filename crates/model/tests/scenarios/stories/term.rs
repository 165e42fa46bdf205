//! A term ends, and is extended; an object vanishes, and what it leased goes on.

use std::time::Duration;

use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::{APPROVALS, TENANCIES},
    people::{ADMIN, staff},
    script::{Lessee, Wish},
    world,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const QUOTA: [&str; 3] = ["resourcequotas", "edu--prod", "leasehold"];

fn condition(stage: &Stage<'_>, at: [&str; 3], type_: &str) -> Option<String> {
    let tenancy = stage.find(at)?;
    let conditions = tenancy["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|found| found["type"] == type_)?;
    found["message"].as_str().map(str::to_owned)
}

fn is_active(stage: &Stage<'_>, at: [&str; 3]) -> bool {
    let tenancy = stage.find(at).unwrap_or_default();
    tenancy["status"]["phase"] == "Active"
}

/// Documents of a kind in the ledger.
fn documents(stage: &Stage<'_>, kind: &str) -> usize {
    let is_one = |key: &str| {
        key.strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let rows = stage.rows();
    rows.iter().filter(|row| is_one(&row.chain.key)).count()
}

fn manifest(through: &str) -> Value {
    let lessee = Lessee {
        code: "edu",
        name: "oa".to_owned(),
        shorts: vec!["prod".to_owned()],
        keeps: false,
    };
    let wish = Wish {
        shares: vec![[4, 8, 10]],
        spare: [0; 3],
    };
    let mut manifest = world::tenancy(&lessee, &wish);
    manifest["spec"]["term"]["through"] = json!(through);
    manifest
}

#[test]
fn a_term_that_is_over_is_told_until_it_is_extended_and_approved() {
    tell(async |stage| {
        // nobody is told before the end
        let silent = json!({"spec": {"expiry": {"noticesDays": []}}});
        stage.furnish(&silent, &["edu"]).await?;
        let office = manifests::office("edu");
        let at = [TENANCIES, office.as_str(), "oa"];
        stage.create(&staff("edu"), &manifest("2027-01-20"))?;
        stage.approve(&office, "oa-1-office").await?;
        stage
            .until("the lease", |stage| is_active(stage, at))
            .await?;
        // the story begins on the 15th at ten in the morning; the 20th is still a day of the lease
        stage.pass(DAY * 5).await;
        assert_eq!(condition(stage, at, "Expired"), None);
        stage.pass(DAY).await;
        let told = condition(stage, at, "Expired").ok_or("nothing is said of the end")?;
        assert!(told.contains("2027-01-20"), "{told}");
        let longer = json!({"spec": {"term": {"through": "2028-01-20"}}});
        stage.patch(&staff("edu"), at, &longer)?;
        stage.approve(&office, "oa-2-office").await?;
        stage
            .until("the end of the talk of an end", |stage| {
                condition(stage, at, "Expired").is_none() && is_active(stage, at)
            })
            .await
    });
}

#[test]
fn a_tenancy_whose_object_vanished_is_taken_up_by_the_next_object_of_its_name() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        let office = manifests::office("edu");
        let at = [TENANCIES, office.as_str(), "oa"];
        stage.create(&staff("edu"), &manifest("2027-12-31"))?;
        stage.approve(&office, "oa-1-office").await?;
        stage
            .until("the lease", |stage| is_active(stage, at))
            .await?;
        let quota = stage.find(QUOTA);
        stage.delete(ADMIN, at)?;
        stage.operator().stop();
        stage.pass(DAY).await;
        assert_eq!(stage.find(QUOTA), quota, "what is leased stands");
        let department = ["departments.tenancy.leasehold.dev", "", "edu"];
        let told = condition(stage, department, "Detached").ok_or("nobody is told")?;
        assert!(told.contains("oa"), "{told}");
        stage.create(&staff("edu"), &manifest("2027-12-31"))?;
        stage
            .until("the lease again", |stage| is_active(stage, at))
            .await?;
        assert_eq!(stage.find(QUOTA), quota);
        assert_eq!(documents(stage, "incarnation"), 1);
        assert_eq!(documents(stage, "request"), 1);
        Ok(())
    });
}

#[test]
fn a_tenancy_that_is_deleted_while_it_waits_and_applied_again_is_answered_by_the_same_question() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        let office = manifests::office("edu");
        let at = [TENANCIES, office.as_str(), "oa"];
        let question = [APPROVALS, office.as_str(), "oa-1-office"];
        stage.create(&staff("edu"), &manifest("2027-12-31"))?;
        stage
            .until("the question", |stage| stage.find(question).is_some())
            .await?;
        let asked = stage.find(question).unwrap_or_default()["spec"]["subject"]["uid"].clone();
        stage.delete(&staff("edu"), at)?;
        stage.create(&staff("edu"), &manifest("2027-12-31"))?;
        let again = stage.find(at).unwrap_or_default()["metadata"]["uid"].clone();
        assert_ne!(asked, again);
        stage.approve(&office, "oa-1-office").await?;
        stage
            .until("the lease", |stage| is_active(stage, at))
            .await?;
        assert_eq!(documents(stage, "incarnation"), 1);
        assert_eq!(documents(stage, "request"), 1);
        Ok(())
    });
}
