//! What an approval's status says of its deadline.

use kube::ResourceExt;
use leasehold_api::{
    charging::{Approval, ApprovalStatus, DecisionRole},
    conditions::{self, NewCondition, types},
};
use leasehold_ledger::time::{Second, Zone};
use leasehold_planner::review::Due;

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
    /// more keeps the day that it had, and is not overdue.
    pub fn status(&self, approval: &Approval, now: Second) -> ApprovalStatus {
        let mut status = approval.status.clone().unwrap_or_default();
        let is_open = is_open(approval);
        if is_open || status.due_by.is_none() {
            status.due_by = Some(self.due.instant.in_zone(self.zone));
        }
        if !is_open || now < self.due.instant {
            conditions::clear(&mut status.conditions, types::OVERDUE);
            return status;
        }
        let sentence = self.sentence(approval);
        let overdue = NewCondition {
            type_: types::OVERDUE,
            holds: true,
            reason: "NotDecided",
            message: &sentence,
        };
        let generation = approval.metadata.generation;
        conditions::set(
            &mut status.conditions,
            &overdue,
            generation,
            now.timestamp(),
        );
        status
    }

    /// That nobody has decided in time, who must, and how.
    pub fn sentence(&self, approval: &Approval) -> String {
        let who = match approval.spec.role {
            DecisionRole::Office => "the office",
            DecisionRole::Finance => "finance",
        };
        let days = match self.working_days {
            1 => "1 working day".to_owned(),
            days => format!("{days} working days"),
        };
        let (name, place) = (
            approval.name_any(),
            approval.namespace().unwrap_or_default(),
        );
        format!(
            "not decided within {days}, by the end of {}; {who} decides: leasehold approve {name} -n {place}, or leasehold reject",
            self.due.day
        )
    }
}

#[cfg(test)]
mod tests {
    use leasehold_planner::review::{Calendar, due};
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
        let zone = zone();
        let put = Second::parse("2027-01-15T02:00:00Z").unwrap();
        let deadline = Deadline {
            due: due(put, 5, &Calendar::default(), &zone),
            working_days: 5,
            zone: &zone,
        };
        deadline.status(approval, Second::parse(now).unwrap())
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
}
