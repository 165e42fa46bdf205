//! When whoever has to decide is reminded: so many working days before a question is due, and again and again after it.
//!
//! What follows from a day changes at local midnights of the office only, so that a reminder is told once, whoever looks
//! how often, and the next operator finds in the status what was told.

use std::iter;

use leasehold_api::platform::ReviewPolicy;
use leasehold_ledger::time::{LocalDate, Second, Zone};

use crate::review::{Calendar, Due, working_days_after};

/// Most times that an overdue question is told again.
const MOST: usize = 99;

/// How far a question has come on the way to its deadline, or beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No reminder is reached.
    Early,
    /// Due in at most so many working days: the least reminder that was reached.
    Soon(u8),
    /// Overdue, and told again after so many working days; 0 as long as it was not.
    Late(u32),
}

/// A question that waits, and by what rules is reminded of it.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The day on which it was put, in the office's zone.
    pub put: LocalDate,
    /// When it is due.
    pub due: Due,
    /// Reminders.
    pub policy: &'a ReviewPolicy,
    /// Which days are worked.
    pub calendar: &'a Calendar,
    /// The office's time zone.
    pub zone: &'a Zone,
}

impl Waiting<'_> {
    /// How far it has come.
    pub fn stage(&self, now: Second) -> Stage {
        let today = self.zone.date_of(now);
        if now >= self.due.instant {
            let told = self.repeats().take_while(|(_, day)| *day <= today).last();
            return Stage::Late(told.map_or(0, |(days, _)| days));
        }
        let reached = self.reminders().filter(|(_, day)| *day <= today);
        reached
            .map(|(days, _)| days)
            .min()
            .map_or(Stage::Early, Stage::Soon)
    }

    /// The next instant at which that changes; none when it will not.
    pub fn next_look(&self, now: Second) -> Option<Second> {
        let begins = |day: LocalDate| self.zone.local_midnight(day);
        let repeats = self.repeats().map(|(_, day)| begins(day));
        let again = repeats.filter(|instant| *instant > now).take(1);
        let reminders = self.reminders().map(|(_, day)| begins(day));
        reminders
            .chain([self.due.instant])
            .chain(again)
            .filter(|instant| *instant > now)
            .min()
    }

    /// Reminders before it is due, each with its first day. What would remind on the day of the question itself, or
    /// before it, reminds of nothing.
    fn reminders(&self) -> impl Iterator<Item = (u8, LocalDate)> {
        let days = self.policy.reminder_days.iter().copied();
        days.map(move |days| {
            let day = working_days_before(self.due.day, days.into(), self.calendar);
            (days, day)
        })
        .filter(move |(_, day)| *day > self.put)
    }

    /// Days on which an overdue question is told again, each with the working days since it became overdue.
    fn repeats(&self) -> impl Iterator<Item = (u32, LocalDate)> {
        let every = u32::from(self.policy.overdue_every_days.unwrap_or(0));
        let first = (0_u32, self.due.day.next_day());
        let following = move |(days, day): &(u32, LocalDate)| {
            let next = working_days_after(*day, every, self.calendar);
            // neither without a policy nor at the end of the calendar
            (next > *day).then(|| (days.saturating_add(every), next))
        };
        iter::successors(Some(first), following).skip(1).take(MOST)
    }
}

/// The `n`-th working day before this day; the day itself for none. Stops at the beginning of the calendar.
fn working_days_before(day: LocalDate, n: u32, calendar: &Calendar) -> LocalDate {
    let (mut first, mut left) = (day, n);
    while left > 0 {
        let before = first.previous_day();
        if before == first {
            break;
        }
        first = before;
        if calendar.is_worked(first) {
            left = left.saturating_sub(1);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::review::due;

    fn at(text: &str) -> Second {
        Second::parse(text).unwrap()
    }

    fn shanghai() -> Zone {
        Zone::parse("Asia/Shanghai").unwrap()
    }

    fn policy(reminders: &[u8], every: Option<u8>) -> ReviewPolicy {
        ReviewPolicy {
            reminder_days: reminders.to_vec(),
            overdue_every_days: every,
            ..ReviewPolicy::default()
        }
    }

    /// Of a question that was put on Friday, 15 January 2027, and is due at the end of the next.
    fn with<T>(policy: &ReviewPolicy, look: impl Fn(Waiting<'_>) -> T) -> T {
        let (zone, calendar) = (shanghai(), Calendar::of(policy).unwrap());
        let put = at("2027-01-15T02:00:00Z");
        look(Waiting {
            put: zone.date_of(put),
            due: due(put, policy.working_days, &calendar, &zone),
            policy,
            calendar: &calendar,
            zone: &zone,
        })
    }

    fn stages(policy: &ReviewPolicy, nows: &[&str]) -> Vec<Stage> {
        with(policy, |waiting| {
            nows.iter().map(|now| waiting.stage(at(now))).collect()
        })
    }

    #[test]
    fn a_reminder_holds_from_its_working_day_on_until_the_next_one_or_the_deadline() {
        // a day in Shanghai begins at four in the afternoon of the day before, by UTC
        let nows = [
            "2027-01-15T02:00:00Z",
            "2027-01-18T15:59:59Z",
            "2027-01-18T16:00:00Z",
            "2027-01-20T15:59:59Z",
            "2027-01-20T16:00:00Z",
            "2027-01-22T15:59:59Z",
            "2027-01-22T16:00:00Z",
        ];
        let found = stages(&policy(&[1, 3, 3], None), &nows);
        let (early, three, one) = (Stage::Early, Stage::Soon(3), Stage::Soon(1));
        let expected = [early, early, three, three, one, one, Stage::Late(0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn reminders_count_the_offices_working_days() {
        // the Wednesday is off: due on Monday the 25th; two working days before it is Thursday the 21st
        let mut policy = policy(&[2], None);
        policy.holidays = serde_json::from_value(json!(["2027-01-20"])).unwrap();
        let nows = ["2027-01-20T15:59:59Z", "2027-01-20T16:00:00Z"];
        let expected = [Stage::Early, Stage::Soon(2)];
        assert_eq!(stages(&policy, &nows), expected);
    }

    #[test]
    fn what_would_remind_with_the_question_or_before_it_reminds_nobody() {
        // five working days before the 22nd is the 15th itself
        let nows = ["2027-01-15T02:00:00Z", "2027-01-17T16:00:00Z"];
        let found = stages(&policy(&[5, 60], None), &nows);
        assert_eq!(found, [Stage::Early, Stage::Early]);
        let found = stages(&policy(&[4, 60], None), &nows);
        assert_eq!(found, [Stage::Early, Stage::Soon(4)]);
    }

    #[test]
    fn what_is_overdue_is_told_again_every_so_many_working_days() {
        // overdue from Saturday the 23rd; Tuesday the 26th, Thursday the 28th, and Monday, 1 February
        let nows = [
            "2027-01-22T16:00:00Z",
            "2027-01-25T15:59:59Z",
            "2027-01-25T16:00:00Z",
            "2027-01-27T16:00:00Z",
            "2027-01-31T15:59:59Z",
            "2027-01-31T16:00:00Z",
        ];
        let found = stages(&policy(&[], Some(2)), &nows);
        let expected = [0, 0, 2, 4, 4, 6].map(Stage::Late);
        assert_eq!(found, expected);
        let once = stages(&policy(&[], None), &nows);
        assert_eq!(once, [Stage::Late(0); 6]);
    }

    #[test]
    fn nobody_is_told_without_end() {
        let nows = ["2127-01-01T00:00:00Z"];
        let found = stages(&policy(&[], Some(1)), &nows);
        assert_eq!(found, [Stage::Late(99)]);
        let next = with(&policy(&[], Some(1)), |waiting| {
            waiting.next_look(at("2127-01-01T00:00:00Z"))
        });
        assert_eq!(next, None);
    }

    proptest! {
        // each case goes through a hundred looks at months
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn nothing_changes_between_two_looks_and_no_reminder_is_skipped(
            reminders in prop::collection::vec(1..61_u8, 0..8),
            every in prop::option::of(1..4_u8),
            working_days in 1..61_u8,
        ) {
            let policy = ReviewPolicy { working_days, ..policy(&reminders, every) };
            let mut expected: Vec<u8> = reminders;
            expected.retain(|days| *days < working_days);
            expected.sort_unstable();
            expected.dedup();
            let (seen, between) = with(&policy, |waiting| {
                let mut now = at("2027-01-15T02:00:00Z");
                let mut seen = vec![waiting.stage(now)];
                let mut between = Vec::new();
                while let Some(next) = waiting.next_look(now) {
                    between.push((waiting.stage(next.plus(-1)), *seen.last().unwrap()));
                    now = next;
                    seen.push(waiting.stage(now));
                }
                (seen, between)
            });
            for (before, last) in between {
                prop_assert_eq!(before, last);
            }
            let told: Vec<u8> = seen
                .iter()
                .rev()
                .filter_map(|stage| match stage {
                    Stage::Soon(days) => Some(*days),
                    Stage::Early | Stage::Late(_) => None,
                })
                .collect();
            prop_assert_eq!(told, expected);
            let late = seen.iter().filter(|stage| matches!(stage, Stage::Late(_))).count();
            prop_assert_eq!(late, every.map_or(1, |_| 100));
        }
    }
}
