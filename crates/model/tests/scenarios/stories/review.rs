//! A question that nobody decides becomes overdue, by the office's working days, and is so until somebody does.

use serde_json::{Value, json};

use super::{
    Stage,
    oa::{DAY, HOUR, OA, cores, lessee},
    tell,
};
use crate::{
    expect::APPROVALS,
    people::{OFFICE, staff},
    world,
};

/// The question about the first request.
const FIRST: [&str; 3] = [APPROVALS, "dept-edu", "oa-1-office"];
const POLICY: [&str; 3] = ["cloudpolicies.platform.leasehold.dev", "", "default"];
/// The end of Friday, 22 January 2027. Stories begin on Friday the 15th.
const DUE: &str = "2027-01-23T00:00:00+08:00";

/// The department asks for four cores under this policy, and the office has the question.
async fn asked(stage: &Stage<'_>, policy: &Value) -> Result<(), String> {
    stage.furnish(policy, &["edu"]).await?;
    stage.create(&staff("edu"), &world::tenancy(&lessee(), &cores(4)))?;
    stage
        .until("the question with its deadline", |stage| {
            due(stage).is_some()
        })
        .await
}

fn due(stage: &Stage<'_>) -> Option<String> {
    let question = stage.find(FIRST)?;
    question["status"]["dueBy"].as_str().map(str::to_owned)
}

/// What the question says of this type, if it says anything.
fn said(stage: &Stage<'_>, type_: &str) -> Option<String> {
    let question = stage.find(FIRST)?;
    let conditions = question["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|found| found["type"] == type_)?;
    found["message"].as_str().map(str::to_owned)
}

/// Events that say that the question is overdue.
fn warnings(stage: &Stage<'_>) -> usize {
    actions(stage, "Overdue").len()
}

/// Actions of the warnings about the question with this reason.
fn actions(stage: &Stage<'_>, reason: &str) -> Vec<String> {
    let events = stage.all("events.events.k8s.io");
    let is_one = |event: &&Value| {
        event["reason"] == reason
            && event["type"] == "Warning"
            && event["regarding"]["name"] == "oa-1-office"
    };
    let actions = events.iter().filter(is_one);
    actions
        .map(|event| event["action"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn is_due(stage: &Stage<'_>, expected: &str) -> Result<(), String> {
    match due(stage) {
        Some(found) if found == expected => Ok(()),
        found => Err(format!("due by {found:?}, expected {expected}")),
    }
}

#[test]
fn a_question_is_overdue_after_five_working_days_until_it_is_decided_and_that_is_told_once() {
    tell(async |stage| {
        asked(stage, &json!({})).await?;
        is_due(stage, DUE)?;
        stage.pass(DAY * 7).await;
        if let Some(sentence) = said(stage, "Overdue") {
            return Err(format!("on Friday at ten it is said: {sentence}"));
        }
        stage.pass(DAY).await;
        let sentence = said(stage, "Overdue").ok_or("nothing is said on Saturday")?;
        let expected = "not decided within 5 working days, by the end of 2027-01-22; the office \
                        decides: leasehold approve oa-1-office -n dept-edu, or leasehold reject";
        if sentence != expected {
            return Err(sentence);
        }
        for _ in 0..2 {
            match warnings(stage) {
                1 => {}
                found => return Err(format!("{found} events say so")),
            }
            // told once, also by the next operator
            stage.operator().stop();
            stage.pass(DAY).await;
        }
        stage.approve("dept-edu", "oa-1-office").await?;
        stage
            .until("the decision on record", |stage| {
                let question = stage.find(FIRST).unwrap_or_default();
                let is_recorded = question["status"]["recordedAt"].is_string();
                is_recorded && said(stage, "Overdue").is_none()
            })
            .await?;
        is_due(stage, DUE)
    });
}

/// Of both types, the one sentence that is said contains this; without it, none is said.
fn is_said(stage: &Stage<'_>, type_: &str, words: &str) -> Result<(), String> {
    let found: Vec<(&str, String)> = ["DueSoon", "Overdue"]
        .into_iter()
        .filter_map(|type_| said(stage, type_).map(|sentence| (type_, sentence)))
        .collect();
    match found.as_slice() {
        [] if words.is_empty() => Ok(()),
        [(one, sentence)] if *one == type_ && !words.is_empty() && sentence.contains(words) => {
            Ok(())
        }
        others => Err(format!("expected {type_} with {words:?}, found {others:?}")),
    }
}

#[test]
fn each_reminder_is_told_on_its_working_day_and_once_whatever_befalls_the_operator() {
    tell(async |stage| {
        let policy = json!({"spec": {"review": {"reminderDays": [1, 2], "overdueEveryDays": 2}}});
        asked(stage, &policy).await?;
        // ten in the morning of Tuesday the 19th
        stage.pass(DAY * 4).await;
        is_said(stage, "DueSoon", "")?;
        // Wednesday, and the same again under another operator in the evening
        stage.pass(DAY).await;
        is_said(
            stage,
            "DueSoon",
            "end of 2027-01-22, in at most 2 working days; the office",
        )?;
        stage.operator().stop();
        stage.pass(HOUR * 12).await;
        is_said(stage, "DueSoon", "in at most 2 working days;")?;
        // Thursday
        stage.pass(HOUR * 12).await;
        is_said(stage, "DueSoon", "in at most 1 working day;")?;
        stage.operator().stop();
        stage.pass(DAY).await;
        is_said(stage, "DueSoon", "in at most 1 working day;")?;
        assert_eq!(actions(stage, "DueSoon"), ["Within2Days", "Within1Days"]);

        // Saturday the 23rd: nobody works until Monday, and Tuesday is the second day
        stage.pass(DAY).await;
        is_said(stage, "Overdue", "by the end of 2027-01-22; the office")?;
        stage.pass(DAY * 2).await;
        is_said(stage, "Overdue", "by the end of 2027-01-22; the office")?;
        stage.pass(DAY).await;
        is_said(stage, "Overdue", ", nor in 2 working days since;")?;
        stage.operator().stop();
        stage.pass(DAY * 2).await;
        is_said(stage, "Overdue", ", nor in 4 working days since;")?;
        let told = actions(stage, "Overdue");
        assert_eq!(told, ["Review", "Since2Days", "Since4Days"]);

        stage.approve("dept-edu", "oa-1-office").await?;
        stage
            .until("the end of reminders", |stage| {
                is_said(stage, "Overdue", "").is_ok()
            })
            .await?;
        assert_eq!(actions(stage, "DueSoon").len(), 2);
        Ok(())
    });
}

#[test]
fn the_offices_calendar_counts_also_when_it_is_changed_while_a_question_waits() {
    tell(async |stage| {
        // the Saturday after the question is worked
        let policy = json!({"spec": {"review": {"workingDays": 1, "workdays": ["2027-01-16"]}}});
        asked(stage, &policy).await?;
        is_due(stage, "2027-01-17T00:00:00+08:00")?;
        let off = json!({"spec": {"review": {"holidays": ["2027-01-16", "2027-01-18"]}}});
        stage.patch(OFFICE, POLICY, &off)?;
        let tuesday = "2027-01-20T00:00:00+08:00";
        stage
            .until("another deadline", |stage| is_due(stage, tuesday).is_ok())
            .await?;
        stage.pass(DAY * 2).await;
        if said(stage, "Overdue").is_some() {
            return Err("it is overdue on a day off".to_owned());
        }
        Ok(())
    });
}

#[test]
fn a_question_that_another_one_supersedes_is_not_overdue_any_more_and_keeps_its_day() {
    tell(async |stage| {
        asked(stage, &json!({})).await?;
        stage.pass(DAY * 9).await;
        said(stage, "Overdue").ok_or("nothing is said on Sunday")?;
        let change = world::change(&lessee(), &cores(6));
        stage.patch(&staff("edu"), OA, &change)?;
        stage
            .until("the end of the question", |stage| {
                said(stage, "Refused").is_some() && said(stage, "Overdue").is_none()
            })
            .await?;
        is_due(stage, DUE)
    });
}
