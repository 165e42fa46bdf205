//! Up to when the facts of leases are complete.
//!
//! Use is told by watches, and its watermark by them. What is leased is told by the operator itself: between the instant
//! from which a lease counts and the commit that says so, a period must not close over it. So each tenancy that has
//! something due and not yet recorded holds the clock back, and after a start the clock stands still until every tenancy
//! was looked at once, in a round that came to its end: one that failed may have left out what counts.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use leasehold_ledger::time::Second;

type Key = (String, String);

/// What a tenancy may hold back at the most, in seconds, from when it is late: one that fails for longer must not stop the
/// others' bills. What it records later is counted as uncorrected.
const LONGEST: i64 = 900;
/// The same of one that nobody has begun to look at since the start: it may only be far back in a long row.
const NEVER_BEGUN: i64 = 3600;

#[derive(Clone, Copy)]
struct Pending {
    since: Second,
    noticed: Second,
}

#[derive(Default)]
struct Inner {
    /// Tenancies that were not looked at yet, and until when they are waited for.
    expected: Option<BTreeMap<Key, Second>>,
    pending: BTreeMap<Key, Pending>,
}

/// Up to when the facts of leases are complete; shared by the tenancy and the period controller.
#[derive(Clone, Default)]
pub struct Leases(Arc<RwLock<Inner>>);

impl Leases {
    /// Tenancies that must be looked at before anything counts as complete, from now on; none of them holds the others back
    /// for longer than an hour, if nobody begins to look at it.
    pub fn expect(&self, now: Second, tenancies: impl IntoIterator<Item = Key>) {
        let until = now.plus(NEVER_BEGUN);
        let expected = tenancies.into_iter().map(|key| (key, until));
        self.write(|inner| inner.expected = Some(expected.collect()));
    }

    /// Something of this tenancy counts from this instant and is not recorded yet. The instant may lie ahead: nothing is
    /// held back before it has come.
    pub fn pending(&self, department: &str, tenancy: &str, since: Second, now: Second) {
        let key = (department.to_owned(), tenancy.to_owned());
        self.write(|inner| {
            let known = inner.pending.entry(key).or_insert(Pending {
                since,
                noticed: now,
            });
            known.since = known.since.min(since);
        });
    }

    /// Everything of this tenancy that counts is recorded.
    pub fn settled(&self, department: &str, tenancy: &str) {
        let key = (department.to_owned(), tenancy.to_owned());
        self.write(|inner| {
            inner.pending.remove(&key);
        });
    }

    /// A round of the tenancy begins now. Whatever becomes of it, the others wait no longer for it than they would for
    /// what is late.
    pub fn looking_at(&self, department: &str, tenancy: &str, now: Second) {
        let key = (department.to_owned(), tenancy.to_owned());
        self.write(|inner| {
            let expected = inner.expected.as_mut();
            if let Some(until) = expected.and_then(|expected| expected.get_mut(&key)) {
                *until = (*until).min(now.plus(LONGEST));
            }
        });
    }

    /// A round of the tenancy came to its end: whatever it has that counts and is not recorded is known by now.
    pub fn looked_at(&self, department: &str, tenancy: &str) {
        let key = (department.to_owned(), tenancy.to_owned());
        self.write(|inner| {
            if let Some(expected) = inner.expected.as_mut() {
                expected.remove(&key);
            }
        });
    }

    /// Up to when lease facts are complete; none until every tenancy was looked at once, or has failed for long. A tenancy
    /// whose object is gone changes nothing any more and holds nothing back.
    pub fn complete_to(&self, now: Second, alive: impl Fn(&str, &str) -> bool) -> Option<Second> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut expected = inner.expected.as_ref()?.iter();
        let waits = expected.any(|((d, t), until)| alive(d, t) && now <= *until);
        if waits {
            return None;
        }
        let held = inner
            .pending
            .iter()
            .filter(|((d, t), pending)| {
                let late_from = pending.noticed.max(pending.since);
                alive(d, t) && now.since(late_from) <= LONGEST
            })
            .map(|(_, pending)| pending.since);
        Some(held.min().map_or(now, |since| since.min(now)))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Second = Second::new(1000);

    fn key(tenancy: &str) -> Key {
        ("edu".to_owned(), tenancy.to_owned())
    }

    #[test]
    fn nothing_is_complete_before_every_tenancy_was_looked_at() {
        let leases = Leases::default();
        assert_eq!(leases.complete_to(NOW, |_, _| true), None);
        leases.expect(NOW, [key("oa"), key("web")]);
        leases.looked_at("edu", "oa");
        assert_eq!(leases.complete_to(NOW, |_, _| true), None);
        assert_eq!(
            leases.complete_to(NOW, |_, tenancy| tenancy != "web"),
            Some(NOW)
        );
        leases.looked_at("edu", "web");
        assert_eq!(leases.complete_to(NOW, |_, _| true), Some(NOW));
    }

    #[test]
    fn a_tenancy_that_was_never_looked_at_to_the_end_holds_the_clock_back_for_a_time_only() {
        let leases = Leases::default();
        leases.expect(NOW, [key("oa"), key("web")]);
        leases.looking_at("edu", "oa", NOW);
        // it failed, and is tried again
        leases.looking_at("edu", "oa", NOW.plus(600));
        leases.looking_at("edu", "web", NOW.plus(600));
        leases.looked_at("edu", "web");
        let still = NOW.plus(LONGEST);
        assert_eq!(leases.complete_to(still, |_, _| true), None);
        let after = still.plus(1);
        assert_eq!(leases.complete_to(after, |_, _| true), Some(after));
        // what it finds when it is looked at after all is held back like everything that is late
        leases.pending("edu", "oa", Second::new(700), after);
        leases.looked_at("edu", "oa");
        assert_eq!(
            leases.complete_to(after, |_, _| true),
            Some(Second::new(700))
        );
    }

    #[test]
    fn a_tenancy_that_nobody_has_begun_to_look_at_is_waited_for() {
        let leases = Leases::default();
        leases.expect(NOW, [key("oa")]);
        let long_after = NOW.plus(NEVER_BEGUN);
        assert_eq!(leases.complete_to(long_after, |_, _| true), None);
        leases.looking_at("edu", "mail", NOW);
        assert_eq!(leases.complete_to(long_after, |_, _| true), None);
        // but one that never gets its turn does not keep everybody from their bills for ever
        let given_up = long_after.plus(1);
        assert_eq!(leases.complete_to(given_up, |_, _| true), Some(given_up));
    }

    #[test]
    fn what_is_due_and_not_recorded_holds_the_clock_back() {
        let leases = Leases::default();
        leases.expect(NOW, []);
        leases.pending("edu", "oa", Second::new(700), NOW);
        leases.pending("edu", "oa", Second::new(800), NOW);
        leases.pending("edu", "web", Second::new(900), NOW);
        assert_eq!(leases.complete_to(NOW, |_, _| true), Some(Second::new(700)));
        assert_eq!(
            leases.complete_to(NOW, |_, t| t != "oa"),
            Some(Second::new(900))
        );
        leases.settled("edu", "oa");
        leases.settled("edu", "web");
        assert_eq!(leases.complete_to(NOW, |_, _| true), Some(NOW));
    }

    #[test]
    fn an_instant_that_lies_ahead_is_not_passed_however_long_ago_it_was_announced() {
        let leases = Leases::default();
        leases.expect(NOW, []);
        let ahead = NOW.plus(7 * 86_400);
        leases.pending("edu", "oa", ahead, NOW);
        let before = ahead.plus(-1);
        assert_eq!(leases.complete_to(before, |_, _| true), Some(before));
        let after = ahead.plus(LONGEST);
        assert_eq!(leases.complete_to(after, |_, _| true), Some(ahead));
        let given_up = after.plus(1);
        assert_eq!(leases.complete_to(given_up, |_, _| true), Some(given_up));
    }

    #[test]
    fn a_tenancy_that_fails_for_long_does_not_stop_the_bills_of_the_others() {
        let leases = Leases::default();
        leases.expect(NOW, []);
        leases.pending("edu", "oa", Second::new(700), NOW);
        let still = NOW.plus(LONGEST);
        assert_eq!(
            leases.complete_to(still, |_, _| true),
            Some(Second::new(700))
        );
        let after = still.plus(1);
        assert_eq!(leases.complete_to(after, |_, _| true), Some(after));
    }
}
