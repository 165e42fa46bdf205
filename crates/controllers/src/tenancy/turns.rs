//! Turns in a tenancy's life that nobody asked for in its manifest: the end of a term comes near, a suspension begins
//! or ends, a release waits for its sign-off, the final bill can be told.
//!
//! What happened follows from the old status and the new one, which are written together: after a crash it is neither
//! told twice nor forgotten.

use leasehold_api::{
    conditions::types,
    tenancy::{HistoryEntry, SuspensionInForce, Tenancy, TenancyStatus},
};
use leasehold_kit::EventType;
use leasehold_ledger::time::Second;

use super::report::said;
use crate::Context;

/// Who did what nobody else did.
const OPERATOR: &str = "leasehold";

/// What the history remembers of the way from one status to the next.
pub fn history(old: &TenancyStatus, new: &TenancyStatus, now: Second) -> Vec<HistoryEntry> {
    let entry = |who: &str, what: String| HistoryEntry {
        at: now.to_string(),
        who: who.to_owned(),
        what,
    };
    let mut happened = Vec::new();
    let notice = said(new, types::EXPIRING);
    if let Some(notice) = notice.filter(|notice| said(old, types::EXPIRING) != Some(*notice)) {
        happened.push(entry(OPERATOR, notice.to_owned()));
    }
    match (&old.suspension, &new.suspension) {
        (None, None) => {}
        (Some(was), Some(is)) if was.name == is.name && was.until == is.until => {}
        (_, Some(is)) => happened.push(entry(&is.by, begun(is))),
        (Some(_), None) => happened.push(entry(OPERATOR, "no longer suspended".to_owned())),
    }
    if old.final_bill.is_none() && new.final_bill.is_some() {
        let what = said(new, types::BILLED).unwrap_or("the final bill can be told");
        happened.push(entry(OPERATOR, what.to_owned()));
    }
    happened
}

fn begun(suspension: &SuspensionInForce) -> String {
    let SuspensionInForce {
        reason,
        authority,
        until,
        ..
    } = suspension;
    let until = until.as_ref();
    let until = until.map_or_else(String::new, |day| format!(" through {day}"));
    format!("suspended{until} by {authority}: {reason}")
}

/// Tells of them. What is told about one object for one reason in few minutes counts as one, so that each notice has an
/// action of its own.
pub async fn tell(tenancy: &Tenancy, old: &TenancyStatus, new: &TenancyStatus, context: &Context) {
    for type_ in [types::EXPIRING, types::SUSPENDED] {
        let Some(note) = said(new, type_).filter(|note| said(old, type_) != Some(*note)) else {
            continue;
        };
        let action = action_of(note);
        context
            .kit
            .event(tenancy, EventType::Warning, type_, &action, note)
            .await;
    }
    let unsigned = said(new, types::UNSIGNED);
    if let Some(note) = unsigned.filter(|note| said(old, types::UNSIGNED) != Some(*note)) {
        let (kit, action) = (&context.kit, reminder_of(note));
        kit.event(tenancy, EventType::Warning, types::UNSIGNED, &action, note)
            .await;
    }
    if let (None, Some(_), Some(note)) =
        (&old.final_bill, &new.final_bill, said(new, types::BILLED))
    {
        let kit = &context.kit;
        kit.event(tenancy, EventType::Normal, types::BILLED, "Close", note)
            .await;
    }
    if said(old, types::SUSPENDED).is_some() && said(new, types::SUSPENDED).is_none() {
        let note = "no longer suspended; pods may start again";
        context
            .kit
            .event(tenancy, EventType::Normal, "Resumed", "Resume", note)
            .await;
    }
}

/// The action under which a sentence is told: with the notice that it names.
fn action_of(sentence: &str) -> String {
    let notice = sentence
        .split_once("in at most ")
        .and_then(|(_, rest)| rest.split_once(' '));
    match notice {
        Some((days, _)) => format!("Within{days}Days"),
        None => "Suspend".to_owned(),
    }
}

/// The action under which a department is told of what it has not signed: with the reminder that the sentence names.
fn reminder_of(sentence: &str) -> String {
    let reminder = sentence
        .split_once("(reminder ")
        .and_then(|(_, rest)| rest.split_once(')'));
    match reminder {
        Some((number, _)) => format!("Reminder{number}"),
        None => "SignOff".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::{
        conditions::{self, NewCondition},
        tenancy::FinalBill,
    };

    use super::*;

    const NOW: Second = Second::new(1_800_000_000);

    fn status(notice: Option<&str>, suspended: Option<(&str, Option<&str>)>) -> TenancyStatus {
        let mut status = TenancyStatus::default();
        if let Some(message) = notice {
            let condition = NewCondition {
                type_: types::EXPIRING,
                holds: true,
                reason: "TermEnds",
                message,
            };
            conditions::set(&mut status.conditions, &condition, None, NOW.timestamp());
        }
        status.suspension = suspended.map(|(name, until)| SuspensionInForce {
            name: name.to_owned(),
            reason: "安全整改".to_owned(),
            authority: "市政府办".to_owned(),
            by: "chen@office".to_owned(),
            since: "2027-01-15T10:00:00+08:00".to_owned(),
            until: until.map(str::to_owned),
            evicted: 0,
        });
        status
    }

    fn told(old: &TenancyStatus, new: &TenancyStatus) -> Vec<(String, String)> {
        let happened = history(old, new, NOW).into_iter();
        happened.map(|entry| (entry.who, entry.what)).collect()
    }

    fn by(who: &str, what: &str) -> Vec<(String, String)> {
        vec![(who.to_owned(), what.to_owned())]
    }

    #[test]
    fn a_notice_is_remembered_when_it_is_reached_and_not_again() {
        let (far, month, week) = (
            status(None, None),
            status(Some("in at most 30 days"), None),
            status(Some("in at most 7 days"), None),
        );
        assert_eq!(told(&far, &month), by("leasehold", "in at most 30 days"));
        assert!(told(&month, &month).is_empty());
        assert_eq!(told(&month, &week), by("leasehold", "in at most 7 days"));
        assert!(told(&week, &far).is_empty(), "a renewal tells of itself");
    }

    #[test]
    fn a_suspension_is_remembered_when_it_begins_moves_and_ends() {
        let free = status(None, None);
        let ordered = status(None, Some(("oa", Some("2027-02-28"))));
        let longer = status(None, Some(("oa", Some("2027-03-31"))));
        let another = status(None, Some(("audit", None)));
        let first = by(
            "chen@office",
            "suspended through 2027-02-28 by 市政府办: 安全整改",
        );
        assert_eq!(told(&free, &ordered), first);
        assert!(told(&ordered, &ordered).is_empty());
        let moved = by(
            "chen@office",
            "suspended through 2027-03-31 by 市政府办: 安全整改",
        );
        assert_eq!(told(&ordered, &longer), moved);
        let other = by("chen@office", "suspended by 市政府办: 安全整改");
        assert_eq!(told(&longer, &another), other);
        assert_eq!(
            told(&another, &free),
            by("leasehold", "no longer suspended")
        );
    }

    #[test]
    fn a_final_bill_is_remembered_when_it_can_be_told_and_not_again() {
        let (open, mut billed) = (status(None, None), status(None, None));
        billed.final_bill = Some(FinalBill::default());
        let message = "the final bill up to then: 1.00 CNY";
        let condition = NewCondition {
            type_: types::BILLED,
            holds: true,
            reason: "Closed",
            message,
        };
        conditions::set(&mut billed.conditions, &condition, None, NOW.timestamp());
        assert_eq!(told(&open, &billed), by("leasehold", message));
        assert!(told(&billed, &billed).is_empty());
    }

    #[test]
    fn pods_that_are_ended_later_are_no_news() {
        let (mut before, after) = (
            status(None, Some(("oa", None))),
            status(None, Some(("oa", None))),
        );
        if let Some(suspension) = &mut before.suspension {
            suspension.evicted = 7;
        }
        assert!(told(&before, &after).is_empty());
    }

    #[test]
    fn each_notice_is_an_event_of_its_own() {
        let sentence = "the term ends on 2027-03-15, in at most 30 days; extend it";
        assert_eq!(action_of(sentence), "Within30Days");
        assert_eq!(action_of("suspended since 2027-01-15"), "Suspend");
    }

    #[test]
    fn each_reminder_of_a_sign_off_is_an_event_of_its_own() {
        let told = "nothing is deleted until the department signs it off";
        assert_eq!(reminder_of(&format!("{told}: kubectl")), "SignOff");
        let fourth = format!("{told} (reminder 4): kubectl");
        assert_eq!(reminder_of(&fourth), "Reminder4");
    }
}
