use proptest::prelude::*;
use serde_json::json;

use super::*;

const HOUR: i64 = 3600;

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn at(text: &str) -> Second {
    Second::parse(text).unwrap()
}

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

fn month(name: &str, inside: &str) -> Period {
    Period::containing(PeriodKind::Month, &zone(name), at(inside)).unwrap()
}

#[test]
fn an_instant_has_one_spelling() {
    assert_eq!(at("1970-01-01T00:00:00Z").get(), 0);
    assert_eq!(at("2026-08-31T16:00:00Z").get(), 1_788_192_000);
    assert_eq!(Second::new(-1).to_string(), "1969-12-31T23:59:59Z");
    for bad in [
        "2026-08-31T16:00:00.5Z",
        "2026-09-01T00:00:00+08:00",
        "2026-08-31 16:00:00Z",
        "2026-08-31T16:00Z",
        "2026-08-31T16:00:60Z",
        "2026-08-31",
        "",
    ] {
        assert!(Second::parse(bad).is_err(), "{bad}");
    }
    let text = json!("2026-08-31T16:00:00Z");
    assert_eq!(
        serde_json::to_value(at("2026-08-31T16:00:00Z")).unwrap(),
        text
    );
    assert_eq!(
        serde_json::from_value::<Second>(text).unwrap().get(),
        1_788_192_000
    );
}

#[test]
fn instants_stop_at_the_ends_of_the_calendar() {
    assert_eq!(Second::new(i64::MIN).to_string(), "0001-01-01T00:00:00Z");
    assert_eq!(Second::new(i64::MAX).to_string(), "9998-12-31T23:59:59Z");
    assert_eq!(Second::MAX.plus(i64::MAX), Second::MAX);
}

#[test]
fn finer_instants_fall_into_the_second_that_has_begun() {
    let second = |s, ns| Second::from_timestamp(Timestamp::new(s, ns).unwrap()).get();
    assert_eq!(
        (second(5, 999_999_999), second(-5, -1), second(-5, 0)),
        (5, -6, -5)
    );
}

#[test]
fn local_time_is_written_with_its_offset() {
    let instant = at("2026-08-31T16:00:00Z");
    assert_eq!(
        instant.in_zone(&zone("Asia/Shanghai")),
        "2026-09-01T00:00:00+08:00"
    );
    assert_eq!(
        instant.in_zone(&zone("America/New_York")),
        "2026-08-31T12:00:00-04:00"
    );
    assert_eq!(instant.in_zone(&zone("UTC")), "2026-08-31T16:00:00+00:00");
}

#[test]
fn spans_are_half_open() {
    let span = |from, to| Span::new(Second::new(from), Second::new(to));
    assert_eq!(span(10, 20).seconds(), 10);
    assert_eq!(span(20, 10).seconds(), 0);
    assert_eq!(span(10, 20).intersect(&span(15, 30)), Some(span(15, 20)));
    assert_eq!(span(10, 20).intersect(&span(20, 30)), None);
    assert!(span(10, 20).contains(Second::new(10)));
    assert!(!span(10, 20).contains(Second::new(20)));
    assert!(span(10, 20).contains_span(&span(10, 20)));
    assert!(!span(10, 20).contains_span(&span(10, 21)));
    assert_eq!(
        span(10, 20).split_at(Second::new(12)),
        Some((span(10, 12), span(12, 20)))
    );
    assert_eq!(span(10, 20).split_at(Second::new(10)), None);
    assert_eq!(span(10, 20).split_at(Second::new(20)), None);
}

#[test]
fn days_are_read_strictly_and_months_are_added_with_short_months_in_mind() {
    for bad in [
        "2026-9-1",
        "2026-02-29",
        "20260901",
        "2026-09-01T00:00",
        "0000-01-01",
        "",
    ] {
        assert!(LocalDate::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(day("2026-01-31").add_months(1), day("2026-02-28"));
    assert_eq!(day("2028-03-31").add_months(-1), day("2028-02-29"));
    assert_eq!(day("2026-09-01").add_months(36), day("2029-09-01"));
    assert_eq!(day("2026-12-31").next_day(), day("2027-01-01"));
    assert_eq!(day("2026-03-01").previous_day(), day("2026-02-28"));
    assert_eq!(day("2027-01-15").add_days(0), day("2027-01-15"));
    assert_eq!(day("2028-02-28").add_days(2), day("2028-03-01"));
    assert_eq!(day("2026-12-31").add_days(3650), day("2036-12-28"));
    assert_eq!(day("2028-01-30").add_days(30), day("2028-02-29"));
    assert_eq!(day("2027-03-15").add_days(-60), day("2027-01-14"));
    assert_eq!(LocalDate::MAX.add_days(1), LocalDate::MAX);
    assert_eq!(LocalDate::MIN.add_days(i32::MIN), LocalDate::MIN);
    assert_eq!(LocalDate::MAX.next_day(), LocalDate::MAX);
    assert_eq!(LocalDate::MIN.add_months(i32::MIN), LocalDate::MIN);
}

#[test]
fn zones_are_known_by_their_exact_iana_name() {
    for bad in ["asia/shanghai", "Beijing", "+08:00", "", "Etc/Unknown"] {
        assert!(Zone::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        serde_json::to_value(zone("Asia/Shanghai")).unwrap(),
        json!("Asia/Shanghai")
    );
}

#[test]
fn a_day_begins_with_its_first_instant_where_clocks_skip_midnight() {
    // Beirut, 2022-03-27: 00:00 became 01:00 (+03:00)
    let beirut = zone("Asia/Beirut").local_midnight(day("2022-03-27"));
    assert_eq!(beirut, at("2022-03-26T22:00:00Z"));
    // Toronto, 1919-03-30: 23:30 became 00:30 of the 31st (-04:00)
    let toronto = zone("America/Toronto").local_midnight(day("1919-03-31"));
    assert_eq!(toronto, at("1919-03-31T04:30:00Z"));
    // Havana, 2026-11-01: 01:00 became 00:00, so midnight came twice; the first counts
    let havana = zone("America/Havana").local_midnight(day("2026-11-01"));
    assert_eq!(havana, at("2026-11-01T04:00:00Z"));
    // Apia skipped 2011-12-30 altogether
    let apia = zone("Pacific/Apia").span_of_days(day("2011-12-30"), day("2011-12-30"));
    assert_eq!(apia.seconds(), 0);
}

#[test]
fn months_last_as_long_as_their_zones_clocks_say() {
    for (name, inside, hours) in [
        ("America/New_York", "2026-03-15T00:00:00Z", 743),
        ("America/New_York", "2026-11-15T00:00:00Z", 721),
        ("Europe/Prague", "2026-03-15T00:00:00Z", 743),
        ("Europe/Prague", "2026-10-15T00:00:00Z", 745),
        ("Asia/Shanghai", "2026-09-15T00:00:00Z", 720),
        ("Asia/Shanghai", "2028-02-15T00:00:00Z", 696),
    ] {
        let period = month(name, inside);
        assert_eq!(
            period.span.seconds(),
            hours * HOUR,
            "{name} {}",
            period.name
        );
        assert_eq!(month_span(&zone(name), at(inside)), period.span);
    }
}

#[test]
fn a_month_of_shanghai_begins_eight_hours_before_the_one_of_utc() {
    let period = month("Asia/Shanghai", "2026-08-31T16:00:00Z");
    assert_eq!(period.name, "2026-09");
    assert_eq!(period.span.from, at("2026-08-31T16:00:00Z"));
    assert_eq!(period.span.to, at("2026-09-30T16:00:00Z"));
    assert_eq!(
        (period.first_day(), period.last_day()),
        (day("2026-09-01"), day("2026-09-30"))
    );
    assert_eq!(
        month("Asia/Shanghai", "2026-08-31T15:59:59Z").name,
        "2026-08"
    );
    assert_eq!(period.nth_after(36).unwrap().name, "2029-09");
    assert!(!period.rehearsal());
}

#[test]
fn a_date_shown_again_after_midnight_does_not_reopen_its_day() {
    // St John's, 2010-11-07: at 00:01 the clocks went back to 23:01 of the 6th
    let zone = zone("America/St_Johns");
    let again = at("2010-11-07T03:00:00Z");
    assert_eq!(zone.date_of(again), day("2010-11-06"));
    let period = Period::containing(PeriodKind::Day, &zone, again).unwrap();
    assert_eq!(period.name, "2010-11-07");
    assert!(period.span.contains(again));
    assert_eq!(period.span.seconds(), 25 * HOUR);
}

#[test]
fn rehearsal_periods_lie_on_multiples_of_their_length_and_are_named_by_local_time() {
    let kind = PeriodKind::Rehearsal { seconds: 900 };
    let inside = at("2026-09-01T02:20:07Z");
    let period = Period::containing(kind, &zone("Asia/Shanghai"), inside).unwrap();
    assert_eq!(period.name, "r20260901-101500");
    assert_eq!(period.span.from, at("2026-09-01T02:15:00Z"));
    assert_eq!(period.span.seconds(), 900);
    assert_eq!(period.next().unwrap().name, "r20260901-103000");
    assert!(period.rehearsal());
}

#[test]
fn rehearsal_names_differ_although_the_clock_shows_an_hour_twice() {
    let kind = PeriodKind::Rehearsal { seconds: 3600 };
    let prague = zone("Europe/Prague");
    let first = Period::containing(kind, &prague, at("2026-10-25T00:00:00Z")).unwrap();
    assert_eq!(first.name, "r20261025-020000");
    assert_eq!(first.next().unwrap().name, "r20261025-020000-2");
    assert_eq!(first.nth_after(2).unwrap().name, "r20261025-030000");
}

#[test]
fn the_kind_of_a_period_is_tagged_and_its_length_bounded() {
    let json = json!({"kind": "Rehearsal", "seconds": 60});
    let kind = PeriodKind::Rehearsal { seconds: 60 };
    assert_eq!(serde_json::to_value(kind).unwrap(), json);
    assert_eq!(serde_json::from_value::<PeriodKind>(json).unwrap(), kind);
    assert_eq!(
        serde_json::to_value(PeriodKind::Month).unwrap(),
        json!({"kind": "Month"})
    );
    for seconds in [0, 59, 86_401] {
        let json = json!({"kind": "Rehearsal", "seconds": seconds});
        assert!(serde_json::from_value::<PeriodKind>(json).is_err());
        let kind = PeriodKind::Rehearsal { seconds };
        assert!(Period::containing(kind, &zone("UTC"), Second::new(0)).is_err());
    }
}

#[test]
fn a_period_survives_json() {
    let period = month("Asia/Shanghai", "2026-09-15T00:00:00Z");
    let json = json!({
        "name": "2026-09",
        "kind": {"kind": "Month"},
        "span": {"from": "2026-08-31T16:00:00Z", "to": "2026-09-30T16:00:00Z"},
        "timeZone": "Asia/Shanghai",
    });
    assert_eq!(serde_json::to_value(&period).unwrap(), json);
    assert_eq!(serde_json::from_value::<Period>(json).unwrap(), period);
}

fn any_zone() -> impl Strategy<Value = Zone> {
    prop::sample::select(vec![
        "UTC",
        "Asia/Shanghai",
        "Asia/Beirut",
        "America/New_York",
        "America/Havana",
        "America/St_Johns",
        "America/Sao_Paulo",
        "Europe/Prague",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ])
    .prop_map(zone)
}

fn any_kind() -> impl Strategy<Value = PeriodKind> {
    prop_oneof![
        Just(PeriodKind::Month),
        Just(PeriodKind::Day),
        (60..=86_400_u32).prop_map(|seconds| PeriodKind::Rehearsal { seconds }),
    ]
}

proptest! {
    #[test]
    fn periods_tile_the_time_line(
        zone in any_zone(),
        kind in any_kind(),
        // 1960 to 2100
        unix in -315_619_200..4_102_444_800_i64,
    ) {
        let at = Second::new(unix);
        let period = Period::containing(kind, &zone, at).unwrap();
        prop_assert!(period.span.contains(at), "{period:?}");
        let next = period.next().unwrap();
        prop_assert_eq!(next.span.from, period.span.to);
        prop_assert_ne!(&next.name, &period.name);
        for edge in [period.span.from, period.span.to.plus(-1)] {
            prop_assert_eq!(&Period::containing(kind, &zone, edge).unwrap(), &period);
        }
    }

    #[test]
    fn every_instant_survives_being_written_and_read(
        unix in Second::MIN.get()..=Second::MAX.get(),
    ) {
        let second = Second::new(unix);
        prop_assert_eq!(Second::parse(&second.to_string()).unwrap(), second);
    }
}
