//! The end of a term: which notice was reached, and when to look again.
//!
//! A term's last day belongs to it (days are those of the office's zone), so a term is over with
//! the first instant of the day after. What follows from a day changes at local midnights only.

use leasehold_api::platform::ExpiryPolicy;
use leasehold_ledger::time::{LocalDate, Second, Zone};

use crate::request::{Asked, LedgerView, RequestError};

/// How near the end of a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// Further away than the greatest notice, or nobody is told.
    Far,
    /// At most so many days away: the least notice that was reached.
    Within(u16),
    /// The term is over.
    Over,
}

/// The last day of what stands, or a later one that the last request has which was approved since:
/// a renewal that counts from a later day, or that something still keeps from standing, is granted
/// all the same. None while nothing is approved.
pub fn last_day(view: &LedgerView) -> Result<Option<LocalDate>, RequestError> {
    let (standing, approved) = (view.effective(), view.approved());
    let after = standing.map_or(0, |request| request.request);
    let since = approved.filter(|request| request.request > after);
    let mut last: Option<LocalDate> = None;
    for request in standing.into_iter().chain(since) {
        // a day that does not exist is refused when it is asked for
        last = last.max(LocalDate::parse(&Asked::read(request)?.part.term.through).ok());
    }
    Ok(last)
}

/// How near the end of a term with this last day is today.
pub fn nearness(through: LocalDate, today: LocalDate, policy: &ExpiryPolicy) -> Nearness {
    if through < today {
        return Nearness::Over;
    }
    let reached = policy.notices_days.iter().copied();
    reached
        .filter(|days| day_of(through, *days) <= today)
        .min()
        .map_or(Nearness::Far, Nearness::Within)
}

/// The first day on which a notice holds.
fn day_of(through: LocalDate, notice: u16) -> LocalDate {
    through.add_days(-i32::from(notice))
}

/// What a tenancy is told of the end of its term. It changes with the notice that was reached and
/// not with every day.
pub fn sentence(through: LocalDate, notice: u16) -> String {
    let days = if notice == 1 { "day" } else { "days" };
    format!(
        "the term ends on {through}, in at most {notice} {days}; extend spec.term.through or release the tenancy"
    )
}

/// The first day on which the policy suspends a tenancy whose term ended, if it does.
pub fn suspended_from(through: LocalDate, policy: &ExpiryPolicy) -> Option<LocalDate> {
    let days = policy.suspend_after_days?;
    Some(through.next_day().add_days(i32::from(days)))
}

/// The next instant at which anything of this changes; none when nothing will.
pub fn next_look(
    through: LocalDate,
    now: Second,
    zone: &Zone,
    policy: &ExpiryPolicy,
) -> Option<Second> {
    let notices = policy.notices_days.iter();
    notices
        .map(|days| day_of(through, *days))
        .chain([through.next_day()])
        .chain(suspended_from(through, policy))
        .map(|day| zone.local_midnight(day))
        .filter(|instant| *instant > now)
        .min()
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::Decision;
    use proptest::prelude::*;

    use super::*;
    use crate::request::fixture;

    fn day(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    fn at(text: &str) -> Second {
        Second::parse(text).unwrap()
    }

    fn shanghai() -> Zone {
        Zone::parse("Asia/Shanghai").unwrap()
    }

    fn policy(notices: &[u16], suspend: Option<u16>) -> ExpiryPolicy {
        ExpiryPolicy {
            notices_days: notices.to_vec(),
            suspend_after_days: suspend,
        }
    }

    /// Requests through these days, with what was decided on each; those up to `standing` stood.
    fn view(requests: &[(&str, Option<Decision>)], standing: u32) -> LedgerView {
        let mut view = LedgerView::default();
        for (number, (through, decision)) in (1_u32..).zip(requests.iter().copied()) {
            let asked = fixture::asked(&[("vcpu-x86", "4")], through);
            view.requests.push(fixture::request("edu", number, &asked));
            if let Some(decision) = decision {
                let decided = fixture::decided("edu", number, decision);
                view.decisions.insert(number, decided);
            }
            if number <= standing {
                view.effective.push(fixture::effective("edu", number));
            }
        }
        view
    }

    #[test]
    fn the_last_day_is_a_later_one_once_it_is_approved_and_no_earlier_one_before_it_stands() {
        let (yes, no) = (Some(Decision::Approved), Some(Decision::Rejected));
        let of = |requests: &[(&str, Option<Decision>)], standing: u32| {
            let found = last_day(&view(requests, standing)).unwrap();
            found.map(|day| day.to_string())
        };
        let said = |text: &str| Some(text.to_owned());
        let first = ("2027-03-15", yes);
        assert_eq!(of(&[], 0), None);
        assert_eq!(of(&[("2027-03-15", None)], 0), None);
        assert_eq!(of(&[first], 0), said("2027-03-15"));
        assert_eq!(of(&[first], 1), said("2027-03-15"));
        // asked for, and refused
        assert_eq!(of(&[first, ("2028-03-15", None)], 1), said("2027-03-15"));
        assert_eq!(of(&[first, ("2028-03-15", no)], 1), said("2027-03-15"));
        // approved, and not standing yet
        assert_eq!(of(&[first, ("2028-03-15", yes)], 1), said("2028-03-15"));
        // shortened: what stands goes on until the shorter one does
        assert_eq!(of(&[first, ("2027-01-31", yes)], 1), said("2027-03-15"));
        assert_eq!(of(&[first, ("2027-01-31", yes)], 2), said("2027-01-31"));
        // of those that do not stand the last one counts
        let third = ("2027-06-30", yes);
        assert_eq!(
            of(&[first, ("2028-03-15", yes), third], 1),
            said("2027-06-30")
        );
    }

    #[test]
    fn a_notice_holds_from_its_day_on_and_the_last_day_still_belongs_to_the_term() {
        let usual = ExpiryPolicy::default();
        let on = |today: &str| nearness(day("2027-03-15"), day(today), &usual);
        assert_eq!(on("2027-01-13"), Nearness::Far);
        // sixty days before: the rest of January is 17 days, February has 28, and 15 of March
        assert_eq!(on("2027-01-14"), Nearness::Within(60));
        assert_eq!(on("2027-02-12"), Nearness::Within(60));
        assert_eq!(on("2027-02-13"), Nearness::Within(30));
        assert_eq!(on("2027-03-07"), Nearness::Within(30));
        assert_eq!(on("2027-03-08"), Nearness::Within(7));
        assert_eq!(on("2027-03-15"), Nearness::Within(7));
        assert_eq!(on("2027-03-16"), Nearness::Over);
    }

    #[test]
    fn notices_count_in_whatever_order_they_stand_and_once() {
        let turned = policy(&[7, 60, 7, 30], None);
        let on = |today: &str| nearness(day("2027-03-15"), day(today), &turned);
        assert_eq!(on("2027-02-13"), Nearness::Within(30));
        assert_eq!(on("2027-03-15"), Nearness::Within(7));
        let silent = policy(&[], None);
        let through = day("2027-03-15");
        assert_eq!(nearness(through, through, &silent), Nearness::Far);
        let tomorrow = through.next_day();
        assert_eq!(nearness(through, tomorrow, &silent), Nearness::Over);
    }

    #[test]
    fn what_is_told_names_the_last_day_and_the_notice() {
        let told = sentence(day("2027-03-15"), 30);
        let expected = "the term ends on 2027-03-15, in at most 30 days; extend spec.term.through or release the tenancy";
        assert_eq!(told, expected);
        assert!(sentence(day("2027-03-15"), 1).contains("at most 1 day;"));
    }

    #[test]
    fn the_next_look_is_at_midnight_in_the_offices_zone() {
        let usual = policy(&[60, 30, 7], Some(30));
        let next = |now: &str| {
            let next = next_look(day("2027-03-15"), at(now), &shanghai(), &usual);
            next.map(|instant| instant.to_string())
        };
        let said = |text: &str| Some(text.to_owned());
        // 2027-02-13 begins in Shanghai at four in the afternoon of the 12th, by UTC
        assert_eq!(next("2027-02-12T15:59:59Z"), said("2027-02-12T16:00:00Z"));
        assert_eq!(next("2027-02-12T16:00:00Z"), said("2027-03-07T16:00:00Z"));
        // the day after the last one
        assert_eq!(next("2027-03-15T15:59:59Z"), said("2027-03-15T16:00:00Z"));
        // thirty whole days later: 16 March to 14 April go on, and 15 April does not
        assert_eq!(next("2027-03-15T16:00:00Z"), said("2027-04-14T16:00:00Z"));
        assert_eq!(next("2027-04-14T16:00:00Z"), None);
    }

    #[test]
    fn a_suspension_begins_after_whole_days_and_with_none_right_after_the_term() {
        let from = |days: Option<u16>| suspended_from(day("2027-03-15"), &policy(&[], days));
        assert_eq!(from(None), None);
        assert_eq!(from(Some(0)), Some(day("2027-03-16")));
        assert_eq!(from(Some(30)), Some(day("2027-04-15")));
    }

    proptest! {
        #[test]
        fn looks_come_later_and_later_and_skip_no_notice(
            notices in prop::collection::vec(1..366_u16, 0..8),
            suspend in prop::option::of(0..366_u16),
            ahead in -400..800_i32,
            second in 0..86_400_i64,
            zone in prop::sample::select(vec!["Asia/Shanghai", "America/Sao_Paulo", "Pacific/Apia"]),
        ) {
            let zone = Zone::parse(zone).unwrap();
            let policy = policy(&notices, suspend);
            let through = day("2018-11-20");
            let start = zone.local_midnight(through.add_days(-ahead)).plus(second);
            let mut now = start;
            let mut seen = vec![nearness(through, zone.date_of(now), &policy)];
            while let Some(next) = next_look(through, now, &zone, &policy) {
                prop_assert!(next > now);
                // nothing changes between two looks
                let before = nearness(through, zone.date_of(next.plus(-1)), &policy);
                prop_assert_eq!(Some(&before), seen.last());
                now = next;
                seen.push(nearness(through, zone.date_of(now), &policy));
                prop_assert!(seen.len() < 20);
            }
            let mut due: Vec<u16> = notices
                .iter()
                .copied()
                .filter(|days| zone.local_midnight(through.add_days(-i32::from(*days))) > start)
                .collect();
            due.sort_unstable();
            due.dedup();
            for notice in due {
                prop_assert!(seen.contains(&Nearness::Within(notice)), "{} of {:?}", notice, seen);
            }
            prop_assert_eq!(seen.last(), Some(&Nearness::Over));
        }
    }
}
