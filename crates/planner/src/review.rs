//! Until when a question is to be decided: so many working days of the office after the day on which it was put.

use std::collections::BTreeSet;

use leasehold_api::{platform::ReviewPolicy, text::Day};
use leasehold_ledger::time::{LocalDate, Second, Zone};

use crate::convert::ConvertError;

/// Which days are worked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    holidays: BTreeSet<LocalDate>,
    workdays: BTreeSet<LocalDate>,
}

impl Calendar {
    /// The days of the policy, if all of them exist.
    pub fn of(policy: &ReviewPolicy) -> Result<Self, ConvertError> {
        Ok(Self {
            holidays: days("holidays", &policy.holidays)?,
            workdays: days("workdays", &policy.workdays)?,
        })
    }

    /// Whether this day is worked: no day off, and a Saturday or Sunday only if it is listed.
    pub fn is_worked(&self, day: LocalDate) -> bool {
        !self.holidays.contains(&day) && (!day.is_weekend() || self.workdays.contains(&day))
    }
}

fn days(field: &str, listed: &[Day]) -> Result<BTreeSet<LocalDate>, ConvertError> {
    let read = |day: &Day| {
        LocalDate::parse(day).map_err(|source| ConvertError::Time {
            field: format!("spec.review.{field}"),
            source,
        })
    };
    listed.iter().map(read).collect()
}

/// The `n`-th working day after this day; the day itself for none. Stops at the end of the calendar.
pub fn working_days_after(day: LocalDate, n: u32, calendar: &Calendar) -> LocalDate {
    let (mut last, mut left) = (day, n);
    while left > 0 {
        let next = last.next_day();
        if next == last {
            break;
        }
        last = next;
        if calendar.is_worked(last) {
            left = left.saturating_sub(1);
        }
    }
    last
}

/// When a question is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The last day on which it is decided in time.
    pub day: LocalDate,
    /// The end of that day: from this instant on it is overdue.
    pub instant: Second,
}

/// When a question that was put at this instant is due.
pub fn due(put: Second, working_days: u8, calendar: &Calendar, zone: &Zone) -> Due {
    let day = working_days_after(zone.date_of(put), u32::from(working_days), calendar);
    Due {
        day,
        instant: zone.local_midnight(day.next_day()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn day(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    fn calendar(holidays: &[&str], workdays: &[&str]) -> Calendar {
        let days = |list: &[&str]| list.iter().map(|text| day(text)).collect();
        Calendar {
            holidays: days(holidays),
            workdays: days(workdays),
        }
    }

    /// A week off from 1 October 2026, a Thursday; the Saturday after it is worked.
    fn national_day() -> Calendar {
        let week: Vec<String> = (1..=7).map(|d| format!("2026-10-0{d}")).collect();
        let week: Vec<&str> = week.iter().map(String::as_str).collect();
        calendar(&week, &["2026-10-10"])
    }

    #[test]
    fn the_fifth_working_day_is_counted_by_the_offices_calendar() {
        // 15 January 2027 is a Friday
        let plain = Calendar::default();
        let cases = [
            ("over a weekend", "2027-01-15", 5, &plain, "2027-01-22"),
            ("from a Saturday", "2027-01-16", 1, &plain, "2027-01-18"),
            ("within a week", "2027-01-18", 4, &plain, "2027-01-22"),
            ("none", "2027-01-16", 0, &plain, "2027-01-16"),
            (
                "a Wednesday off in between",
                "2027-01-15",
                5,
                &calendar(&["2027-01-20"], &[]),
                "2027-01-25",
            ),
            (
                "a Saturday worked",
                "2027-01-15",
                5,
                &calendar(&[], &["2027-01-16"]),
                "2027-01-21",
            ),
            (
                "a Saturday worked and off is off",
                "2027-01-15",
                5,
                &calendar(&["2027-01-16"], &["2027-01-16"]),
                "2027-01-22",
            ),
            // Thursday 8, Friday 9, Saturday 10, Monday 12, Tuesday 13
            (
                "a week of holidays",
                "2026-09-30",
                5,
                &national_day(),
                "2026-10-13",
            ),
        ];
        for (what, from, n, calendar, expected) in cases {
            let found = working_days_after(day(from), n, calendar);
            assert_eq!(found.to_string(), expected, "{what}");
        }
    }

    #[test]
    fn the_end_of_the_calendar_is_no_endless_search() {
        let end = LocalDate::MAX;
        assert_eq!(working_days_after(end, 5, &Calendar::default()), end);
    }

    #[test]
    fn a_question_is_due_at_the_end_of_a_local_day() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        // 23:59:59 on Friday and 00:00:00 on Saturday in Shanghai: both count from Monday
        for put in ["2027-01-15T15:59:59Z", "2027-01-15T16:00:00Z"] {
            let put = Second::parse(put).unwrap();
            let due = due(put, 5, &Calendar::default(), &zone);
            assert_eq!(due.day.to_string(), "2027-01-22");
            assert_eq!(due.instant.to_string(), "2027-01-22T16:00:00Z");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused_with_its_field() {
        let policy = |value| serde_json::from_value::<ReviewPolicy>(value).unwrap();
        let good = policy(json!({"holidays": ["2026-10-01"], "workdays": ["2026-10-10"]}));
        let found = Calendar::of(&good).unwrap();
        assert_eq!(found, calendar(&["2026-10-01"], &["2026-10-10"]));
        for field in ["holidays", "workdays"] {
            let error = Calendar::of(&policy(json!({(field): ["2027-02-30"]}))).unwrap_err();
            let expected = format!("failed to read spec.review.{field}");
            assert_eq!(error.to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_holiday_more_never_makes_it_earlier_and_a_worked_day_more_never_later(
            offset in 0..400_u32, n in 0..61_u32,
            holidays in prop::collection::btree_set(0..500_u32, 0..40),
            workdays in prop::collection::btree_set(0..500_u32, 0..20),
            more in 0..500_u32,
        ) {
            let nth = |count: u32| (0..count).fold(day("2026-01-01"), |day, _| day.next_day());
            let known = Calendar {
                holidays: holidays.into_iter().map(nth).collect(),
                workdays: workdays.into_iter().map(nth).collect(),
            };
            let from = nth(offset);
            let due = working_days_after(from, n, &known);
            let mut off = known.clone();
            off.holidays.insert(nth(more));
            prop_assert!(working_days_after(from, n, &off) >= due);
            let mut on = known.clone();
            on.workdays.insert(nth(more));
            prop_assert!(working_days_after(from, n, &on) <= due);
            // so many working days lie after the day, up to and with the one that was found
            let mut counted = 0;
            let mut passed = from;
            while passed < due {
                passed = passed.next_day();
                counted += u32::from(known.is_worked(passed));
            }
            prop_assert_eq!(counted, n);
            prop_assert!(n == 0 || known.is_worked(due));
        }
    }
}
