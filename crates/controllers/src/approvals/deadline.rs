//! What an approval's status says of its deadline.

use kube::ResourceExt;
use leasehold_api::{
    charging::{Approval, ApprovalStatus, DecisionRole},
    conditions::{self, types},
};
use leasehold_ledger::time::{Second, Zone};
use leasehold_planner::{reminders::Stage, review::Due};

/// The reason with which an approval is refused that nobody waits for any more.
const MOOT: &str = "Moot";

/// Until when a question is to be decided.
pub struct Deadline<'a> {
    /// When it is due.
    pub due: Due,
    /// Working days that the policy allows.
    pub working_days: u8,
    /// The office's time zone.
    pub zone: &'a Zone,
    /// How far the question has come on the way there, or beyond it.
    pub stage: Stage,
}

/// Whether somebody still has to decide: nobody has, and somebody waits for it.
pub fn is_open(approval: &Approval) -> bool {
    let mut conditions = approval.status.iter().flat_map(|status| &status.conditions);
    let is_moot = conditions.any(|found| {
        found.type_ == types::REFUSED && found.status == "True" && found.reason == MOOT
    });
    approval.spec.decision.is_none() && !is_moot
}

/// Whether it is known to be overdue.
pub fn is_overdue(approval: &Approval) -> bool {
    let status = approval.status.as_ref();
    status.is_some_and(|status| conditions::holds(&status.conditions, types::OVERDUE))
}

impl Deadline<'_> {
    /// The status with the deadline in it; what others have written stays. A question that needs nobody's decision any
    /// more keeps the day that it had, and is neither due soon nor overdue.
    pub fn status(&self, approval: &Approval, now: Second) -> ApprovalStatus {
        let mut status = approval.status.clone().unwrap_or_default();
        let is_open = is_open(approval);
        if is_open || status.due_by.is_none() {
            status.due_by = Some(self.due.instant.in_zone(self.zone));
        }
        let (mut soon, mut late) = (String::new(), String::new());
        if is_open {
            match self.stage {
                Stage::Early => {}
                Stage::Soon(days) => soon = self.reminder(approval, days),
                Stage::Late(since) => late = self.overdue(approval, since),
            }
        }
        let generation = approval.metadata.generation;
        let (all, at) = (&mut status.conditions, now.timestamp());
        conditions::flag(all, types::DUE_SOON, "NotDecidedYet", &soon, generation, at);
        conditions::flag(all, types::OVERDUE, "NotDecided", &late, generation, at);
        status
    }

    /// That it is due soon, who must decide, and how. It changes with the reminder that was reached and not with every day.
    fn reminder(&self, approval: &Approval, days: u8) -> String {
        format!(
            "to be decided by the end of {}, in at most {}; {}",
            self.due.day,
            working_days(days.into()),
            what_to_do(approval)
        )
    }

    /// That nobody has decided in time, who must, and how; and since how many working days, where that is told again.
    fn overdue(&self, approval: &Approval, since: u32) -> String {
        let since = match since {
            0 => String::new(),
            days => format!(", nor in {} since", working_days(days)),
        };
        format!(
            "not decided within {}, by the end of {}{since}; {}",
            working_days(self.working_days.into()),
            self.due.day,
            what_to_do(approval)
        )
    }
}

fn working_days(days: u32) -> String {
    match days {
        1 => "1 working day".to_owned(),
        days => format!("{days} working days"),
    }
}

fn what_to_do(approval: &Approval) -> String {
    let who = match approval.spec.role {
        DecisionRole::Office => "the office",
        DecisionRole::Finance => "finance",
    };
    let (name, place) = (
        approval.name_any(),
        approval.namespace().unwrap_or_default(),
    );
    format!("{who} decides: leasehold approve {name} -n {place}, or leasehold reject")
}

/// What a condition of this type says that it did not say before, and the action under which that is told. What is told
/// about one object for one reason in few minutes counts as one, so that each reminder has an action of its own. It
/// follows from the old status and the new one, so that the next operator tells nothing twice.
pub fn news<'a>(
    old: &ApprovalStatus,
    new: &'a ApprovalStatus,
    type_: &str,
) -> Option<(String, &'a str)> {
    let sentence = said(new, type_)?;
    let action = action_of(sentence);
    let is_told = said(old, type_).is_some_and(|before| action_of(before) == action);
    (!is_told).then_some((action, sentence))
}

fn said<'a>(status: &'a ApprovalStatus, type_: &str) -> Option<&'a str> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|found| found.type_ == type_ && found.status == "True")?;
    Some(&found.message)
}

/// The action under which a sentence is told: with the reminder that it names.
fn action_of(sentence: &str) -> String {
    let named = |before: &str| {
        let (_, rest) = sentence.split_once(before)?;
        rest.split_once(' ').map(|(days, _)| days)
    };
    if let Some(days) = named(", in at most ") {
        return format!("Within{days}Days");
    }
    match named(", nor in ") {
        Some(days) => format!("Since{days}Days"),
        None => "Review".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::platform::ReviewPolicy;
    use leasehold_planner::{
        reminders::Waiting,
        review::{Calendar, due},
    };
    use serde_json::{Value, json};

    use super::*;

    fn approval(role: &str, decision: Option<&str>, status: &Value) -> Approval {
        let digest = format!("sha256:{}", "0".repeat(64));
        let mut value = json!({
            "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": "oa-1-office", "namespace": "dept-edu", "generation": 1},
            "spec": {
                "role": role,
                "subject": {
                    "kind": "Tenancy", "name": "oa", "uid": "u-1", "request": 1,
                    "digest": digest, "requestedBy": "zhang@edu",
                },
                "title": "request 1", "snapshot": "vcpu-x86 4",
            },
            "status": status,
        });
        if let Some(decision) = decision {
            value["spec"]["decision"] = json!(decision);
        }
        serde_json::from_value(value).unwrap()
    }

    fn zone() -> Zone {
        Zone::parse("Asia/Shanghai").unwrap()
    }

    /// The status of a question that was put on Friday, 15 January 2027 at ten in the morning.
    fn judged(approval: &Approval, now: &str) -> ApprovalStatus {
        reminded(approval, now, &ReviewPolicy::default())
    }

    fn reminded(approval: &Approval, now: &str, policy: &ReviewPolicy) -> ApprovalStatus {
        let (zone, calendar) = (zone(), Calendar::default());
        let put = Second::parse("2027-01-15T02:00:00Z").unwrap();
        let now = Second::parse(now).unwrap();
        let due = due(put, 5, &calendar, &zone);
        let waiting = Waiting {
            put: zone.date_of(put),
            due,
            policy,
            calendar: &calendar,
            zone: &zone,
        };
        let deadline = Deadline {
            due,
            working_days: 5,
            zone: &zone,
            stage: waiting.stage(now),
        };
        deadline.status(approval, now)
    }

    const IN_TIME: &str = "2027-01-22T15:59:59Z";
    const LATE: &str = "2027-01-22T16:00:00Z";

    #[test]
    fn a_question_becomes_overdue_at_the_end_of_its_last_working_day() {
        let question = approval("office", None, &json!(null));
        let status = judged(&question, IN_TIME);
        assert_eq!(status.due_by.as_deref(), Some("2027-01-23T00:00:00+08:00"));
        assert!(status.conditions.is_empty());
        let status = judged(&question, LATE);
        let told = &status.conditions[0];
        assert_eq!(
            (told.type_.as_str(), told.status.as_str()),
            ("Overdue", "True")
        );
        assert_eq!(
            told.message,
            "not decided within 5 working days, by the end of 2027-01-22; the office decides: \
             leasehold approve oa-1-office -n dept-edu, or leasehold reject"
        );
        let finance = approval("finance", None, &json!(null));
        let told = judged(&finance, LATE).conditions[0].message.clone();
        assert!(told.contains("; finance decides: "), "{told}");
    }

    #[test]
    fn what_is_overdue_is_said_once_and_in_the_same_words() {
        let mut question = approval("office", None, &json!(null));
        let first = judged(&question, LATE);
        question.status = Some(first.clone());
        assert!(is_overdue(&question));
        assert_eq!(judged(&question, "2027-02-01T00:00:00Z"), first);
    }

    #[test]
    fn what_is_decided_or_moot_is_not_overdue_and_keeps_its_day_and_what_others_wrote() {
        let overdue = json!({
            "type": "Overdue", "status": "True", "reason": "NotDecided", "message": "late",
            "lastTransitionTime": "2027-01-22T16:00:00Z",
        });
        let moot = json!({
            "type": "Refused", "status": "True", "reason": "Moot", "message": "superseded",
            "lastTransitionTime": "2027-01-22T16:00:00Z",
        });
        let day = "2027-01-20T00:00:00+08:00";
        let decided = json!({
            "dueBy": day, "recordedAt": "2027-01-22T17:00:00Z", "conditions": [overdue],
        });
        let decided = approval("office", Some("Approved"), &decided);
        let status = judged(&decided, LATE);
        assert_eq!(status.due_by.as_deref(), Some(day));
        assert_eq!(status.recorded_at.as_deref(), Some("2027-01-22T17:00:00Z"));
        assert!(status.conditions.is_empty());
        let moot = json!({"dueBy": day, "conditions": [moot, overdue]});
        let moot = approval("office", None, &moot);
        assert!(!is_open(&moot));
        let left = judged(&moot, LATE).conditions;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].reason, "Moot");
    }

    #[test]
    fn an_open_question_moves_with_the_calendar_and_a_decided_one_gets_a_day_if_it_has_none() {
        let stale = json!({"dueBy": "2027-01-20T00:00:00+08:00"});
        let expected = Some("2027-01-23T00:00:00+08:00".to_owned());
        let open = approval("office", None, &stale);
        assert_eq!(judged(&open, IN_TIME).due_by, expected);
        let decided = approval("office", Some("Rejected"), &json!({}));
        assert_eq!(judged(&decided, LATE).due_by, expected);
    }

    #[test]
    fn each_reminder_is_told_when_it_is_reached_and_not_again() {
        let policy = ReviewPolicy {
            reminder_days: vec![1, 2],
            overdue_every_days: Some(2),
            ..ReviewPolicy::default()
        };
        let mut question = approval("office", None, &json!(null));
        let mut told = Vec::new();
        // Tuesday, Wednesday, Thursday and Friday in Shanghai; Saturday, Monday, Tuesday and Wednesday
        for now in [
            "2027-01-18T16:00:00Z",
            "2027-01-19T16:00:00Z",
            "2027-01-20T16:00:00Z",
            "2027-01-22T15:59:59Z",
            "2027-01-22T16:00:00Z",
            "2027-01-24T16:00:00Z",
            "2027-01-25T16:00:00Z",
            "2027-01-26T16:00:00Z",
        ] {
            let old = question.status.clone().unwrap_or_default();
            let new = reminded(&question, now, &policy);
            for type_ in [types::DUE_SOON, types::OVERDUE] {
                let found = news(&old, &new, type_);
                told.extend(found.map(|(action, note)| (now, action, note.to_owned())));
            }
            question.status = Some(new);
        }
        let decides =
            "the office decides: leasehold approve oa-1-office -n dept-edu, or leasehold reject";
        let expected = [
            (
                "2027-01-19T16:00:00Z",
                "Within2Days",
                "to be decided by the end of 2027-01-22, in at most 2 working days",
            ),
            (
                "2027-01-20T16:00:00Z",
                "Within1Days",
                "to be decided by the end of 2027-01-22, in at most 1 working day",
            ),
            (
                "2027-01-22T16:00:00Z",
                "Review",
                "not decided within 5 working days, by the end of 2027-01-22",
            ),
            (
                "2027-01-25T16:00:00Z",
                "Since2Days",
                "not decided within 5 working days, by the end of 2027-01-22, nor in 2 working days since",
            ),
        ];
        let expected = expected
            .map(|(now, action, begins)| (now, action.to_owned(), format!("{begins}; {decides}")));
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_decided_is_not_due_soon_any_more() {
        let policy = ReviewPolicy {
            reminder_days: vec![2],
            ..ReviewPolicy::default()
        };
        let wednesday = "2027-01-19T16:00:00Z";
        let open = approval("office", None, &json!(null));
        let soon = reminded(&open, wednesday, &policy);
        assert!(conditions::holds(&soon.conditions, types::DUE_SOON));
        let mut decided = approval("office", Some("Approved"), &json!(null));
        decided.status = Some(soon);
        let left = reminded(&decided, wednesday, &policy).conditions;
        assert!(left.is_empty(), "{left:?}");
    }
}
