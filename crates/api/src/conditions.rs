//! Conditions: one entry per type, `lastTransitionTime` moves only with `status`. Time is an argument, never read here.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Types of conditions that our kinds carry.
pub mod types {
    /// Everything that was asked for and approved is in place.
    pub const READY: &str = "Ready";
    /// A request waits for a person or for another object.
    pub const WAITING: &str = "Waiting";
    /// The object breaks a rule; the message names it.
    pub const REFUSED: &str = "Refused";
    /// Something that the ledger knows is missing in the cluster.
    pub const DETACHED: &str = "Detached";
    /// The term is over; what is leased goes on at the same price until it is extended or released.
    pub const EXPIRED: &str = "Expired";
    /// A decision is due soon; the message names its last day and the reminder that was reached.
    pub const DUE_SOON: &str = "DueSoon";
    /// A decision was due and nobody has made it.
    pub const OVERDUE: &str = "Overdue";
    /// The last round over the object failed, and is tried again; the message says what failed. What else the status says is
    /// of the round before.
    pub const FAILED: &str = "Failed";
    /// Others change again and again what the operator keeps as it should be; it is put right with pauses.
    pub const CONTESTED: &str = "Contested";
    /// The term ends soon; the message names its last day and the notice that was reached.
    pub const EXPIRING: &str = "Expiring";
    /// By an order of the office or by the policy nothing runs; the lease goes on and is billed.
    pub const SUSPENDED: &str = "Suspended";
    /// More is leased than a limit allows that was lowered, or came with a department that moved.
    pub const OVER_LIMIT: &str = "OverLimit";
    /// The grace of a release is over, and the department has not confirmed that everything may be deleted.
    pub const UNSIGNED: &str = "Unsigned";
    /// Every period in which a released tenancy was billed is closed; the message names the one that is not.
    pub const BILLED: &str = "Billed";
    /// A meter does not see what it counts; the message says why and what to do.
    pub const BLIND: &str = "Blind";
    /// `False` while nothing can be recorded, or while the ledger holds what was not written so; it is not there otherwise.
    pub const LEDGER_AVAILABLE: &str = "LedgerAvailable";
    /// Metering is complete up to the time in the message.
    pub const COMPLETE: &str = "Complete";
}

/// What to set: a condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCondition<'a> {
    /// One of [`types`].
    pub type_: &'a str,
    /// Whether it holds.
    pub holds: bool,
    /// Machine-readable reason in `CamelCase`.
    pub reason: &'a str,
    /// Plain words: the rule, what was asked, what is allowed, what to do.
    pub message: &'a str,
}

/// Sets `new` in `conditions`, keeping `lastTransitionTime` when the status did not change.
pub fn set(
    conditions: &mut Vec<Condition>,
    new: &NewCondition<'_>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = if new.holds { "True" } else { "False" };
    let mut message = new.message.to_owned();
    if message.len() > 32_000 {
        let cut = (0..=32_000)
            .rev()
            .find(|i| message.is_char_boundary(*i))
            .unwrap_or(0);
        message.truncate(cut);
    }
    let fresh = Condition {
        type_: new.type_.to_owned(),
        status: status.to_owned(),
        reason: new.reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == new.type_) {
        Some(old) => {
            let since = if old.status == status {
                old.last_transition_time.clone()
            } else {
                fresh.last_transition_time.clone()
            };
            *old = Condition {
                last_transition_time: since,
                ..fresh
            };
        }
        None => conditions.push(fresh),
    }
}

/// Lets a condition stand as long as it has something to say: sets it to hold with this message, or removes it where the
/// message is empty.
pub fn flag(
    conditions: &mut Vec<Condition>,
    type_: &str,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    if message.is_empty() {
        clear(conditions, type_);
        return;
    }
    let new = NewCondition {
        type_,
        holds: true,
        reason,
        message,
    };
    set(conditions, &new, generation, now);
}

/// Removes the condition of this type, if there is one.
pub fn clear(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

/// Whether the condition of this type is `True`.
pub fn holds(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|c| c.type_ == type_ && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut list = Vec::new();
        let mut new = NewCondition {
            type_: types::READY,
            holds: false,
            reason: "A",
            message: "a",
        };
        set(&mut list, &new, Some(1), at(10));
        new.reason = "B";
        set(&mut list, &new, Some(2), at(20));
        assert_eq!(list[0].last_transition_time, Time(at(10)));
        assert_eq!(
            (list[0].reason.as_str(), list[0].observed_generation),
            ("B", Some(2))
        );
        new.holds = true;
        set(&mut list, &new, Some(2), at(30));
        assert_eq!(list[0].last_transition_time, Time(at(30)));
        assert_eq!(list.len(), 1);
        assert!(holds(&list, types::READY));
        clear(&mut list, types::READY);
        assert!(list.is_empty());
    }
    #[test]
    fn a_flag_stands_with_its_words_and_goes_with_them() {
        let mut list = Vec::new();
        flag(&mut list, types::EXPIRED, "TermOver", "", Some(1), at(10));
        assert!(list.is_empty());
        flag(&mut list, types::EXPIRED, "TermOver", "a", Some(1), at(20));
        flag(&mut list, types::EXPIRED, "TermOver", "b", Some(2), at(30));
        assert!(holds(&list, types::EXPIRED));
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].message, "b");
        assert_eq!(list[0].last_transition_time, Time(at(20)));
        flag(&mut list, types::EXPIRED, "TermOver", "", Some(2), at(40));
        assert!(list.is_empty());
    }
}
