//! What a status need not say at once: how far the setting up is, while it goes on.
//!
//! A lease that is set up is whole half a second later, and what it waited for meanwhile is of no use to anybody by then.
//! So the words for it are written when it has begun, and again only if it takes its time; a status costs the API server
//! as much as five objects of a namespace, and all who come at once would wait for it.

use std::collections::BTreeMap;

use leasehold_api::{
    conditions::types,
    tenancy::{NamespaceStatus, TenancyStatus},
};
use leasehold_ledger::time::Second;
use leasehold_planner::quota;

/// For so many seconds after something is first waited for, other words for it are not written.
const PATIENCE: i64 = 5;

/// Whether the new status has nothing but other words for what the old one waits for, and that for a short time only.
pub fn may_wait(old: &TenancyStatus, new: &TenancyStatus, now: Second) -> bool {
    let mut conditions = old.conditions.iter();
    let waiting = conditions.find(|found| found.type_ == types::WAITING && found.status == "True");
    let since = waiting.map(|found| Second::from_timestamp(found.last_transition_time.0));
    // also where the clock was set back behind it
    since.is_some_and(|since| (0..PATIENCE).contains(&now.since(since)))
        && outline(old) == outline(new)
}

/// Whether figures of namespaces are told at once, and not with the next ones: a cache that lagged behind had none when the
/// last were told, or one of a quota that has changed since. The latter only where quotas are calm: what moves all the time is
/// not written down each time.
pub fn is_untold(
    shown: &[NamespaceStatus],
    seen: &BTreeMap<String, String>,
    is_calm: bool,
) -> bool {
    shown.iter().any(
        |namespace| match (&namespace.quota, seen.get(&namespace.name)) {
            (None, Some(_)) => true,
            (Some(shown), Some(seen)) => {
                is_calm && quota::granted_in(shown) != quota::granted_in(seen)
            }
            (_, None) => false,
        },
    )
}

/// The status without what moves while namespaces are set up.
fn outline(status: &TenancyStatus) -> TenancyStatus {
    let mut outline = status.clone();
    let moves = [types::READY, types::WAITING];
    outline
        .conditions
        .retain(|condition| !moves.contains(&condition.type_.as_str()));
    outline.namespaces = names_of(&status.namespaces);
    outline.used = None;
    outline.usage.clear();
    outline
}

fn names_of(namespaces: &[NamespaceStatus]) -> Vec<NamespaceStatus> {
    let names = namespaces.iter().map(|namespace| NamespaceStatus {
        name: namespace.name.clone(),
        uid: namespace.uid.clone(),
        ..NamespaceStatus::default()
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use leasehold_api::{
        conditions::{self, NewCondition},
        tenancy::Phase,
    };

    use super::*;

    const BEGUN: Second = Second::new(1_800_000_000);

    /// A lease that is being set up, and what it waits for.
    fn waiting(words: &str) -> TenancyStatus {
        let mut status = TenancyStatus {
            observed_generation: Some(1),
            phase: Phase::Approved,
            namespaces: vec![NamespaceStatus {
                name: "edu--prod".to_owned(),
                uid: Some("u1".to_owned()),
                message: Some(words.to_owned()),
                ..NamespaceStatus::default()
            }],
            ..TenancyStatus::default()
        };
        say(&mut status, types::WAITING, true, words);
        say(&mut status, types::READY, false, words);
        status
    }

    fn say(status: &mut TenancyStatus, type_: &'static str, holds: bool, message: &str) {
        let condition = NewCondition {
            type_,
            holds,
            reason: "Waiting",
            message,
        };
        conditions::set(
            &mut status.conditions,
            &condition,
            Some(1),
            BEGUN.timestamp(),
        );
    }

    #[test]
    fn other_words_for_what_is_waited_for_are_written_after_five_seconds() {
        let (old, new) = (waiting("prod is set up"), waiting("prod is counted"));
        for (after, expected) in [(0, true), (4, true), (5, false), (-1, false)] {
            assert_eq!(
                may_wait(&old, &new, BEGUN.plus(after)),
                expected,
                "{after} s"
            );
        }
    }

    #[test]
    fn anything_else_is_written_at_once() {
        let old = waiting("prod is set up");
        let said = |change: &dyn Fn(&mut TenancyStatus)| {
            let mut new = waiting("prod is counted");
            change(&mut new);
            may_wait(&old, &new, BEGUN)
        };
        assert!(said(&|_| {}));
        assert!(!said(&|new| new.phase = Phase::Active));
        assert!(!said(&|new| new.observed_generation = Some(2)));
        assert!(!said(&|new| new.namespaces[0].uid = None));
        assert!(!said(&|new| new.namespaces.clear()));
        assert!(!said(&|new| say(new, types::REFUSED, true, "rule T24")));
    }

    #[test]
    fn the_first_words_are_written_at_once() {
        let old = TenancyStatus::default();
        assert!(!may_wait(&old, &waiting("prod is set up"), BEGUN));
        let mut over = waiting("prod is set up");
        say(&mut over, types::WAITING, false, "nothing");
        assert!(!may_wait(&over, &waiting("prod is counted"), BEGUN));
    }
}
