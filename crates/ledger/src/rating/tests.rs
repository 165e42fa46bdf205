use proptest::prelude::*;

use super::*;
use crate::book::Book;
use crate::close::fixture::{
    ELEVENTH, OCTOBER, SEPTEMBER, book, catalogue, fact, facts, money, rated, september, zone,
};
use crate::fact::{Fact, FactKind, Interval, intervals};
use crate::time::{LocalDate, PeriodKind};

const DAY: i64 = 86_400;

fn rate(facts: &[Fact], books: Vec<Book>) -> Result<Vec<RatedLine>, RatingError> {
    let period = september();
    let intervals = intervals(facts, period.span.to).unwrap();
    rate_department(&period, &stretches(&intervals), &catalogue(books))
}

fn stretches(intervals: &[Interval]) -> Vec<Stretch<'_>> {
    intervals.iter().map(Stretch::from).collect()
}

fn by_id(lines: &[RatedLine]) -> Vec<(&str, Money)> {
    lines.iter().map(|l| (l.id.as_str(), l.gross)).collect()
}

/// The book of the example with its first item changed.
fn book_with(change: impl FnOnce(&mut Item)) -> Book {
    let mut book = book();
    change(&mut book.items[0]);
    book
}

#[test]
fn the_worked_example_gives_its_three_lines() {
    let lines = rated();
    assert_eq!(
        by_id(&lines),
        [
            ("oa/block-ssd/1", money("1433.60")),
            ("oa/memory/1", money("1088.00")),
            ("oa/vcpu-x86/1", money("1962.67")),
        ]
    );
    let cpu = &lines[2];
    assert_eq!(cpu.quantity, ratio(128, 3).unwrap());
    assert_eq!(cpu.exact, ratio(5888, 3).unwrap());
    let start = Second::new(SEPTEMBER);
    let change = Second::new(ELEVENTH);
    let end = Second::new(OCTOBER);
    assert_eq!(cpu.segments.len(), 2);
    assert_eq!(
        cpu.segments[0].span,
        Span {
            from: start,
            to: change
        }
    );
    assert_eq!(
        (cpu.segments[0].quantity, cpu.segments[0].request),
        (32_000, 1)
    );
    assert_eq!(
        cpu.segments[1].span,
        Span {
            from: change,
            to: end
        }
    );
    assert_eq!(
        (cpu.segments[1].quantity, cpu.segments[1].request),
        (48_000, 2)
    );
}

#[test]
fn a_rehearsal_of_an_hour_costs_what_a_month_costs() {
    let kind = PeriodKind::Rehearsal { seconds: 3600 };
    let period = Period::containing(kind, &zone(), Second::new(SEPTEMBER)).unwrap();
    assert_eq!(period.span.from, Second::new(SEPTEMBER));
    let mut played = facts();
    played[3].at = Second::new(SEPTEMBER + 1200);
    let intervals = intervals(&played, period.span.to).unwrap();
    let lines = rate_department(&period, &stretches(&intervals), &catalogue(vec![book()])).unwrap();
    let gross = Money::sum(lines.iter().map(|l| l.gross)).unwrap();
    assert_eq!(gross, money("4484.27"));
}

#[test]
fn a_metered_item_bills_what_pods_used_while_the_tenancy_leased_it() {
    let metered = book_with(|item| {
        item.per = Per::Hour;
        item.basis = Basis::Metered;
        item.price = Price::parse("0.096").unwrap();
    });
    let lease = fact(
        "lease/vcpu-x86",
        FactKind::Opened,
        SEPTEMBER + HOUR,
        32_000,
        1,
    );
    let mut pod = fact("pod/cpu", FactKind::Opened, SEPTEMBER, 2000, 1);
    pod.source.uid = "pod-1".to_owned();
    let mut end = fact("pod/cpu", FactKind::Closed, SEPTEMBER + 10 * HOUR, 0, 2);
    end.source.uid = "pod-1".to_owned();
    let mut other = fact("pod/cpu", FactKind::Opened, SEPTEMBER, 9000, 1);
    other.source.uid = "pod-2".to_owned();
    other.subject.tenancy = "mail".to_owned();
    let mut memory = fact("pod/memory", FactKind::Opened, SEPTEMBER, 8 << 30, 1);
    memory.source.uid = "pod-1".to_owned();
    let lines = rate(&[lease, pod, end, other, memory], vec![metered]).unwrap();
    // 2 cores × 9 hours × 0.096 = 1.728
    assert_eq!(by_id(&lines), [("oa/vcpu-x86/1", money("1.73"))]);
    assert_eq!(lines[0].quantity, Exact::from_integer(18));
}

#[test]
fn an_item_of_a_declared_meter_bills_what_that_meter_counted_and_no_other() {
    let bucket = book_with(|item| {
        item.resource = None;
        item.meter = Some("buckets".to_owned());
        item.unit = Unit::GiB;
        item.per = Per::Hour;
        item.basis = Basis::Metered;
        item.price = Price::parse("0.10").unwrap();
    });
    let lease = fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 1 << 30, 1);
    let seen = |meter: &str, uid: &str, kind, at, gib: i64, version| {
        let mut seen = fact(meter, kind, at, gib << 30, version);
        uid.clone_into(&mut seen.source.uid);
        seen
    };
    let facts = [
        lease,
        seen("meter/buckets", "b", FactKind::Opened, SEPTEMBER, 10, 1),
        seen(
            "meter/buckets",
            "b",
            FactKind::Changed,
            SEPTEMBER + 900,
            40,
            2,
        ),
        seen(
            "meter/buckets",
            "b",
            FactKind::Closed,
            SEPTEMBER + 1801,
            0,
            3,
        ),
        seen("meter/buckets-2", "b", FactKind::Opened, SEPTEMBER, 7, 1),
        seen("claim/buckets", "c", FactKind::Opened, SEPTEMBER, 9, 1),
    ];
    let lines = rate(&facts, vec![bucket]).unwrap();
    // (10 GiB × 900 s + 40 GiB × 901 s) / 3600 s × 0.10 = 1.2511…
    assert_eq!(by_id(&lines), [("oa/vcpu-x86/1", money("1.25"))]);
    assert_eq!(lines[0].quantity, ratio(45_040, 3600).unwrap());
    assert_eq!(lines[0].segments.len(), 2);
}

#[test]
fn a_metered_item_bills_its_own_lifes_use_inside_the_period_alone() {
    let metered = book_with(|item| {
        item.per = Per::Hour;
        item.basis = Basis::Metered;
        item.price = Price::parse("1.00").unwrap();
    });
    let pod = |uid: &str, at: i64| {
        let mut pod = fact("pod/cpu", FactKind::Opened, at, 1000, 1);
        pod.source.uid = uid.to_owned();
        pod
    };
    let mut ended = fact("pod/cpu", FactKind::Closed, SEPTEMBER - 1, 0, 2);
    ended.source.uid = "ended".to_owned();
    let mut earlier_life = pod("earlier-life", SEPTEMBER);
    earlier_life.subject.incarnation = 2;
    let facts = [
        fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER - DAY, 9000, 1),
        pod("ended", SEPTEMBER - DAY),
        ended,
        pod("across", SEPTEMBER - HOUR),
        pod("late", OCTOBER - 2 * HOUR),
        earlier_life,
    ];
    let lines = rate(&facts, vec![metered]).unwrap();
    // 30 days of one core, and two hours of another
    assert_eq!(lines[0].quantity, Exact::from_integer(722));
    assert_eq!(by_id(&lines), [("oa/vcpu-x86/1", money("722.00"))]);
}

#[test]
fn a_one_off_item_is_charged_for_each_increase_inside_the_period_and_no_other_time() {
    let once = || {
        book_with(|item| {
            item.per = Per::Once;
            item.basis = Basis::OneOff;
            item.price = Price::parse("100.00").unwrap();
        })
    };
    let steps = |first: i64| {
        [
            fact("lease/vcpu-x86", FactKind::Opened, first, 2000, 1),
            fact("lease/vcpu-x86", FactKind::Changed, first + DAY, 5000, 2),
            fact(
                "lease/vcpu-x86",
                FactKind::Changed,
                first + 2 * DAY,
                4000,
                3,
            ),
            fact(
                "lease/vcpu-x86",
                FactKind::Changed,
                first + 3 * DAY,
                4000,
                4,
            ),
        ]
    };
    let inside = rate(&steps(SEPTEMBER), vec![once()]).unwrap();
    assert_eq!(by_id(&inside), [("oa/vcpu-x86/1", money("500.00"))]);
    let across = rate(&steps(SEPTEMBER - 1), vec![once()]).unwrap();
    assert_eq!(by_id(&across), [("oa/vcpu-x86/1", money("300.00"))]);
    let before = rate(&steps(SEPTEMBER - 9 * DAY), vec![once()]).unwrap();
    assert!(before.is_empty());
}

#[test]
fn a_one_off_item_needs_no_price_after_it_was_paid_but_a_monthly_one_does() {
    let until_the_fifth = |mut book: Book| {
        book.through = LocalDate::parse("2026-09-05").unwrap();
        vec![book]
    };
    let lease = [fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 2000, 1)];
    let once = book_with(|item| {
        item.per = Per::Once;
        item.basis = Basis::OneOff;
    });
    let lines = rate(&lease, until_the_fifth(once)).unwrap();
    assert_eq!(by_id(&lines), [("oa/vcpu-x86/1", money("92.00"))]);
    let error = rate(&lease, until_the_fifth(book())).unwrap_err();
    let text = error.to_string();
    let RatingError::NoPrice {
        department,
        tenancy,
        item,
        from,
        to,
    } = error
    else {
        panic!("{text}");
    };
    assert_eq!(
        (department.as_str(), tenancy.as_str()),
        ("gov-office", "oa")
    );
    assert_eq!(item, "vcpu-x86");
    assert_eq!(
        (from, to),
        (Second::new(SEPTEMBER + 5 * DAY), Second::new(OCTOBER))
    );
}

#[test]
fn equal_prices_of_two_books_are_one_line_with_both_rates_and_other_prices_are_two() {
    let halves = |second_price: &str| {
        let mut first = book();
        first.through = LocalDate::parse("2026-09-10").unwrap();
        let mut second = book_with(|item| item.price = Price::parse(second_price).unwrap());
        second.name = "hs-2026-b".to_owned();
        second.from = LocalDate::parse("2026-09-11").unwrap();
        vec![second, first]
    };
    let lease = [fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 3000, 1)];
    let equal = rate(&lease, halves("46.00")).unwrap();
    assert_eq!(by_id(&equal), [("oa/vcpu-x86/1", money("138.00"))]);
    assert_eq!(equal[0].rates.len(), 2);
    assert!(equal[0].rates[0] < equal[0].rates[1]);
    assert_eq!(
        equal[0].segments.len(),
        1,
        "a stretch that goes on is not cut by a new book"
    );
    // one third of the month at 46.00, two thirds at 30.00, three cores
    let other = rate(&lease, halves("30.00")).unwrap();
    assert_eq!(
        by_id(&other),
        [
            ("oa/vcpu-x86/1", money("46.00")),
            ("oa/vcpu-x86/2", money("60.00"))
        ]
    );
}

#[test]
fn a_later_life_of_a_name_has_its_number_in_the_line_and_a_line_of_its_own() {
    let first = fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 1000, 1);
    let mut second = fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 1000, 1);
    second.source.uid = "tenancy-oa-again".to_owned();
    second.subject.incarnation = 2;
    let lines = rate(&[first, second], vec![book()]).unwrap();
    assert_eq!(
        by_id(&lines),
        [
            ("oa.2/vcpu-x86/1", money("46.00")),
            ("oa/vcpu-x86/1", money("46.00"))
        ]
    );
}

#[test]
fn intervals_of_two_departments_are_refused() {
    let mut foreign = fact("lease/memory", FactKind::Opened, SEPTEMBER, 1 << 30, 1);
    foreign.subject.department = "archives".to_owned();
    let own = fact("lease/vcpu-x86", FactKind::Opened, SEPTEMBER, 1000, 1);
    let refused = rate(&[own, foreign], vec![book()]);
    assert!(matches!(refused, Err(RatingError::Mixed { .. })));
}

#[test]
fn a_span_over_two_months_is_cut_at_their_edge() {
    let span = Span {
        from: Second::new(SEPTEMBER + 15 * DAY),
        to: Second::new(OCTOBER + 31 * DAY),
    };
    let parts = by_month(span, &zone());
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].0.to, Second::new(OCTOBER));
    assert_eq!(
        (parts[0].1.seconds(), parts[1].1.seconds()),
        (30 * DAY, 31 * DAY)
    );
    let period = september();
    let mut sum = measure::Sum::new(Unit::Core, Per::Month, &period);
    // two cores for the whole of a month first, so that the cut is found from another month too
    for (span, quantity) in [(period.span, 2000), (span, 1000), (parts[1].0, 4000)] {
        let segment = Segment {
            span,
            quantity,
            request: 1,
            estimated: false,
        };
        sum.add(&segment).unwrap();
    }
    assert_eq!(sum.quantity().unwrap(), ratio(15, 2).unwrap());
}

proptest! {
    #[test]
    fn cutting_an_interval_at_any_second_changes_no_line(cut in SEPTEMBER - 9 * DAY..OCTOBER) {
        let period = september();
        let whole = intervals(&facts(), period.span.to).unwrap();
        let mut pieces = Vec::new();
        for interval in &whole {
            match interval.span.split_at(Second::new(cut)) {
                Some((before, after)) => {
                    pieces.push(Interval { span: before, ..interval.clone() });
                    pieces.push(Interval { span: after, ..interval.clone() });
                }
                None => pieces.push(interval.clone()),
            }
        }
        let catalogue = catalogue(vec![book()]);
        prop_assert_eq!(
            rate_department(&period, &stretches(&pieces), &catalogue).unwrap(),
            rate_department(&period, &stretches(&whole), &catalogue).unwrap()
        );
    }
}
