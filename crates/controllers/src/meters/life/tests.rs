use super::{
    fixture::{seen, subject},
    *,
};
use leasehold_ledger::fact::intervals;

fn held(start: i64, change: i64, quantities: &[(&str, i64)]) -> Holding {
    Holding {
        start: Moment::exact(Second::new(start), "start"),
        change: Moment::exact(Second::new(change), "change"),
        quantities: quantities
            .iter()
            .map(|(meter, quantity)| (meter.parse().unwrap(), *quantity))
            .collect(),
        resized: BTreeMap::new(),
    }
}

fn holds(start: i64, change: i64, quantities: &[(&str, i64)]) -> Standing {
    Standing::Holding(held(start, change, quantities))
}

/// The same where the beginning is an estimate.
fn stands(start: &Moment, change: i64, quantities: &[(&str, i64)]) -> Standing {
    Standing::Holding(Holding {
        start: start.clone(),
        ..held(0, change, quantities)
    })
}

fn over(start: i64, quantities: &[(&str, i64)], end: Moment) -> Standing {
    Standing::Over {
        held: held(start, start, quantities),
        end,
    }
}

fn summary(facts: &[Fact]) -> Vec<(String, FactKind, i64, i64)> {
    facts
        .iter()
        .map(|fact| {
            (
                fact.meter.to_string(),
                fact.kind,
                fact.at.get(),
                fact.quantity,
            )
        })
        .collect()
}

/// What is recorded after these sightings, and all facts.
fn lived(sightings: &[(u64, Standing)]) -> (Life, Vec<Fact>) {
    let mut life = Life::default();
    let mut all = Vec::new();
    for (version, standing) in sightings {
        let facts = life.facts(&seen(*version), standing, Some(&subject()));
        facts.iter().for_each(|fact| life.note(fact));
        all.extend(facts);
    }
    (life, all)
}

#[test]
fn a_life_opens_changes_and_closes_each_meter_once() {
    let sizes = [("pod/cpu", 1000), ("pod/memory", 64)];
    let (life, facts) = lived(&[
        (1, Standing::Idle),
        (2, holds(10, 10, &sizes)),
        (3, holds(10, 15, &sizes)),
        (4, holds(10, 20, &[("pod/cpu", 2000), ("pod/memory", 64)])),
        (5, over(10, &sizes, Moment::exact(Second::new(30), "end"))),
        (6, over(10, &sizes, Moment::exact(Second::new(30), "end"))),
    ]);
    assert_eq!(
        summary(&facts),
        [
            ("pod/cpu".to_owned(), FactKind::Opened, 10, 1000),
            ("pod/memory".to_owned(), FactKind::Opened, 10, 64),
            ("pod/cpu".to_owned(), FactKind::Changed, 20, 2000),
            ("pod/cpu".to_owned(), FactKind::Closed, 30, 0),
            ("pod/memory".to_owned(), FactKind::Closed, 30, 0),
        ]
    );
    assert!(life.is_settled());
    assert_eq!(facts[0].subject.object, "Pod gov-office--prod/web-1");
}

#[test]
fn the_same_sighting_with_nothing_recorded_in_between_gives_equal_facts() {
    let life = Life::default();
    let standing = holds(10, 10, &[("pod/cpu", 1000)]);
    let first = life.facts(&seen(2), &standing, Some(&subject()));
    let again = life.facts(&seen(2), &standing, Some(&subject()));
    assert_eq!(first, again);
    assert_eq!(first[0].key(), "c/1/u/pod/cpu/2/opened");
}

#[test]
fn what_lived_unseen_opens_and_closes_at_once() {
    let (life, facts) = lived(&[(
        9,
        over(
            10,
            &[("pod/cpu", 1000)],
            Moment::exact(Second::new(30), "finishedAt"),
        ),
    )]);
    assert_eq!(
        summary(&facts),
        [
            ("pod/cpu".to_owned(), FactKind::Opened, 10, 1000),
            ("pod/cpu".to_owned(), FactKind::Closed, 30, 0),
        ]
    );
    assert!(life.is_settled());
    assert_eq!(
        intervals(&facts, Second::new(100)).unwrap()[0]
            .span
            .seconds(),
        20
    );
}

#[test]
fn an_end_by_a_clock_that_runs_behind_is_not_before_the_beginning() {
    let (_, facts) = lived(&[
        (1, holds(100, 100, &[("pod/cpu", 1000)])),
        (
            2,
            over(100, &[], Moment::exact(Second::new(90), "finishedAt")),
        ),
    ]);
    assert_eq!(facts[1].at.get(), 100);
    assert!(!facts[1].estimated, "clocks differ by seconds");
    assert!(intervals(&facts, Second::new(200)).unwrap().is_empty());
}

#[test]
fn what_is_timed_before_a_beginning_that_is_billed_late_is_an_estimate_by_as_much() {
    let start = Moment::began(
        Second::new(50),
        Second::new(100),
        EstimateBound::Lower,
        "there again",
    );
    for (told, lower) in [(99, 99), (70, 70), (40, 50)] {
        let (_, facts) = lived(&[
            (1, stands(&start, 100, &[("pod/cpu", 1500)])),
            (2, stands(&start, told, &[("pod/cpu", 750)])),
            (
                3,
                over(100, &[], Moment::exact(Second::new(99), "finishedAt")),
            ),
        ]);
        let bounds = |lower| {
            Some(Bounds {
                lower: Second::new(lower),
                upper: Second::new(100),
            })
        };
        let (changed, closed) = (&facts[1], &facts[2]);
        assert_eq!((changed.at.get(), changed.estimated), (100, true), "{told}");
        assert_eq!(changed.bounds, bounds(lower), "{told}");
        assert_eq!((closed.at.get(), closed.bounds), (100, bounds(99)));
    }
    // where it is billed from its earliest instant, it is not billed late
    let early = Moment::began(
        Second::new(50),
        Second::new(100),
        EstimateBound::Upper,
        "there again",
    );
    let (_, facts) = lived(&[
        (1, stands(&early, 100, &[("pod/cpu", 1500)])),
        (2, stands(&early, 45, &[("pod/cpu", 2000)])),
    ]);
    assert_eq!((facts[1].at.get(), facts[1].estimated), (50, false));
    // what is not before it is as sure as it was
    let (_, facts) = lived(&[
        (1, stands(&start, 100, &[("pod/cpu", 1500)])),
        (2, stands(&start, 100, &[("pod/cpu", 750)])),
    ]);
    assert!(!facts[1].estimated);
}

#[test]
fn an_end_by_a_clock_that_was_set_back_is_an_estimate() {
    let sizes = [("pod/cpu", 1000)];
    let (_, facts) = lived(&[
        (1, holds(10, 10, &sizes)),
        (2, holds(10, 600, &[("pod/cpu", 2000)])),
        (
            3,
            over(10, &sizes, Moment::exact(Second::new(90), "finishedAt")),
        ),
    ]);
    assert_eq!((facts[2].at.get(), facts[2].estimated), (600, true));
    let found = intervals(&facts, Second::new(700)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].span.seconds(), found[0].estimated), (590, false));
}

#[test]
fn an_end_that_was_doubted_is_no_news_when_it_is_told_again() {
    let grown = Moment::began(
        Second::new(100),
        Second::new(300),
        EstimateBound::Lower,
        "MODIFIED",
    );
    let larger = Standing::Holding(Holding {
        change: grown,
        ..held(10, 10, &[("pod/cpu", 2000)])
    });
    let end = Moment::exact(Second::new(299), "finishedAt");
    let (life, facts) = lived(&[
        (1, holds(10, 10, &[("pod/cpu", 1000)])),
        (2, larger),
        (3, over(10, &[], end.clone())),
        (4, over(10, &[], end)),
    ]);
    assert_eq!(facts.len(), 3, "{facts:?}");
    assert_eq!((facts[2].at.get(), facts[2].estimated), (300, true));
    // what is billed up to the late change stays marked
    let found = intervals(&facts, Second::new(400)).unwrap();
    let found: Vec<(i64, bool)> = found
        .iter()
        .map(|found| (found.span.seconds(), found.estimated))
        .collect();
    assert_eq!(found, [(290, true)]);
    assert!(!life.is_open());
}

#[test]
fn an_estimated_end_is_superseded_once_by_the_true_one() {
    let estimate = Moment::ended(
        Second::new(20),
        Second::new(40),
        EstimateBound::Lower,
        "removed",
    );
    let truth = Moment::exact(Second::new(35), "finishedAt");
    let (life, facts) = lived(&[
        (1, holds(10, 10, &[("pod/cpu", 1000)])),
        (2, over(10, &[], estimate.clone())),
        (3, over(10, &[], estimate)),
        (4, over(10, &[], truth.clone())),
        (5, over(10, &[], truth)),
    ]);
    assert_eq!(
        summary(&facts),
        [
            ("pod/cpu".to_owned(), FactKind::Opened, 10, 1000),
            ("pod/cpu".to_owned(), FactKind::Closed, 20, 0),
            ("pod/cpu".to_owned(), FactKind::Superseded, 35, 0),
        ]
    );
    assert_eq!(
        (facts[1].estimated, facts[1].bounds),
        (
            true,
            Some(Bounds {
                lower: Second::new(20),
                upper: Second::new(40)
            })
        )
    );
    let billed = intervals(&facts, Second::new(100)).unwrap();
    assert_eq!((billed[0].span.seconds(), billed[0].estimated), (25, false));
    assert!(life.is_settled());
}

#[test]
fn the_policy_says_which_end_of_an_estimate_is_billed() {
    let (early, late) = (Second::new(20), Second::new(40));
    let at = |moment: Moment| moment.at.get();
    assert_eq!(at(Moment::ended(early, late, EstimateBound::Lower, "")), 20);
    assert_eq!(at(Moment::ended(early, late, EstimateBound::Upper, "")), 40);
    assert_eq!(at(Moment::began(early, late, EstimateBound::Lower, "")), 40);
    assert_eq!(at(Moment::began(early, late, EstimateBound::Upper, "")), 20);
    assert_eq!(
        Moment::ended(late, late, EstimateBound::Lower, "").bounds,
        None
    );
}

#[test]
fn a_resource_that_a_resize_adds_opens_when_the_resize_was_made() {
    let (_, facts) = lived(&[
        (1, holds(10, 10, &[("pod/cpu", 1000)])),
        (2, holds(10, 25, &[("pod/cpu", 1000), ("pod/memory", 64)])),
        (3, holds(10, 30, &[("pod/cpu", 1000)])),
    ]);
    assert_eq!(
        summary(&facts),
        [
            ("pod/cpu".to_owned(), FactKind::Opened, 10, 1000),
            ("pod/memory".to_owned(), FactKind::Opened, 25, 64),
            ("pod/memory".to_owned(), FactKind::Changed, 30, 0),
        ]
    );
}

#[test]
fn versions_that_are_told_again_after_a_restart_change_nothing() {
    let small = holds(10, 10, &[("pod/cpu", 1000)]);
    let large = holds(10, 20, &[("pod/cpu", 2000)]);
    let (life, facts) = lived(&[
        (9, small.clone()),
        (11, large.clone()),
        (9, small),
        (11, large),
    ]);
    assert_eq!(facts.len(), 2);
    assert_eq!(life.subject().unwrap().department, "gov-office");
}

#[test]
fn what_has_ended_does_not_begin_again() {
    let (_, facts) = lived(&[
        (1, holds(10, 10, &[("pod/cpu", 1000)])),
        (2, over(10, &[], Moment::exact(Second::new(20), "end"))),
        (3, holds(10, 10, &[("pod/cpu", 1000)])),
    ]);
    assert_eq!(facts.len(), 2);
}

#[test]
fn nothing_begins_for_nobody_but_what_is_open_ends_all_the_same() {
    let standing = holds(10, 10, &[("pod/cpu", 1000)]);
    assert!(Life::default().facts(&seen(1), &standing, None).is_empty());
    let (life, _) = lived(&[(1, standing)]);
    let end = over(10, &[], Moment::exact(Second::new(20), "end"));
    let facts = life.facts(&seen(2), &end, None);
    assert_eq!(facts[0].subject.department, "gov-office");
}

#[test]
fn a_life_read_back_from_the_ledger_goes_on_where_it_was() {
    let (life, facts) = lived(&[(1, holds(10, 10, &[("pod/cpu", 1000)]))]);
    assert_eq!(Life::of(&facts), life);
    assert!(life.is_open() && !life.is_settled());
    assert_eq!(life.latest(), Some(Second::new(10)));
}

#[test]
fn an_object_that_counts_anew_opens_again_after_its_end_under_a_version_of_its_own() {
    let sizes = [("meter/buckets", 5)];
    let end = Moment::ended(
        Second::new(20),
        Second::new(40),
        EstimateBound::Lower,
        "absent after a gap",
    );
    let (life, mut facts) = lived(&[(7, holds(10, 10, &sizes)), (30, over(10, &sizes, end))]);
    assert!(!life.is_open());
    // it was not written since, and began before it was taken to have ended
    let mut again = seen(7);
    let anew = life.anew(&mut again.source.version, "44");
    assert_eq!(again.source.version, "again-44");
    let opened = anew.facts(&again, &holds(10, 10, &sizes), Some(&subject()));
    assert_eq!(
        summary(&opened),
        [("meter/buckets".to_owned(), FactKind::Opened, 20, 5)]
    );
    facts.extend(opened);
    let found = intervals(&facts, Second::new(100)).unwrap();
    let spans: Vec<_> = found
        .iter()
        .map(|i| (i.span.from.get(), i.span.to.get(), i.open))
        .collect();
    assert_eq!(spans, [(10, 20, false), (20, 100, true)]);
    // one that was written since is told of in its own version
    let mut written = seen(50);
    drop(life.anew(&mut written.source.version, "60"));
    assert_eq!(written.source.version, "50");
}

#[test]
fn what_ends_for_a_reason_ends_after_all_that_is_recorded_and_before_whatever_comes() {
    let (life, mut facts) = lived(&[(7, holds(10, 10, &[("meter/buckets", 5)]))]);
    let end = Moment::exact(Second::new(30), "the meter was removed");
    let ended = life.ended_for("removed", &seen(0), &end);
    assert_eq!(ended[0].source.version, "removed-7");
    facts.extend(ended);
    let all = Life::of(&facts);
    let mut version = "8".to_owned();
    let anew = all.anew(&mut version, "9");
    let opened = anew.facts(
        &seen(8),
        &holds(35, 35, &[("meter/buckets", 6)]),
        Some(&subject()),
    );
    facts.extend(opened);
    // in whatever order they come
    facts.reverse();
    let mut kept = facts.clone();
    kept.sort_by_key(|fact| fact.at);
    let found = intervals(&kept, Second::new(100)).unwrap();
    let spans: Vec<_> = found
        .iter()
        .map(|i| (i.span.from.get(), i.span.to.get(), i.quantity))
        .collect();
    assert_eq!(spans, [(10, 30, 5), (35, 100, 6)]);
}

#[test]
fn of_a_change_between_two_instants_less_is_billed_by_the_same_bound_as_more() {
    let between = |billed| {
        let mut held = held(10, 10, &[("meter/buckets", 8)]);
        held.change = Moment::began(Second::new(50), Second::new(90), billed, "found changed");
        held
    };
    let at = |billed, before: i64| {
        let life = lived(&[(1, holds(10, 10, &[("meter/buckets", before)]))]).0;
        let standing = Standing::Holding(between(billed));
        life.facts(&seen(2), &standing, Some(&subject()))[0]
            .at
            .get()
    };
    assert_eq!(
        at(EstimateBound::Lower, 5),
        90,
        "more, as late as it may be"
    );
    assert_eq!(
        at(EstimateBound::Lower, 9),
        50,
        "less, as early as it may be"
    );
    assert_eq!(at(EstimateBound::Upper, 5), 50);
    assert_eq!(at(EstimateBound::Upper, 9), 90);
}

#[test]
fn an_object_that_counts_anew_long_after_its_end_is_no_estimate() {
    let sizes = [("meter/buckets", 5)];
    let end = Moment::exact(Second::new(200), "API server's clock at DELETED");
    let (life, _) = lived(&[(7, holds(10, 10, &sizes)), (30, over(10, &sizes, end))]);
    let mut again = seen(7);
    let anew = life.anew(&mut again.source.version, "44");
    let opened = anew.facts(&again, &holds(10, 10, &sizes), Some(&subject()));
    assert_eq!((opened[0].at.get(), opened[0].estimated), (200, false));
}
