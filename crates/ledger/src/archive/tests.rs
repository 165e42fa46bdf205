use super::*;
use crate::close::fixture;
use crate::journal::genesis;

/// The chain rows 1 to `count`, each of a fact.
fn chain(count: u64) -> Vec<ChainRow> {
    let mut rows: Vec<ChainRow> = Vec::new();
    for n in 1..=count {
        let before = rows.last().map(|row| (row.seq, &row.hash));
        let digest = digest_bytes(n.to_string().as_bytes());
        rows.push(ChainRow::after(
            before,
            "fact",
            &format!("fact-{n}"),
            digest,
        ));
    }
    rows
}

fn dug(rows: &[ChainRow], seqs: &[u64], holes: &[Hole], before: i64) -> Vec<Hole> {
    let mut digger = Digger::new(Second::new(before));
    for row in rows.iter().filter(|row| seqs.contains(&row.seq)) {
        digger.take(row).unwrap();
    }
    digger.among(holes).unwrap()
}

fn bounds(holes: &[Hole]) -> Vec<(u64, u64, i64)> {
    holes
        .iter()
        .map(|hole| (hole.first, hole.last, hole.ended_before.get()))
        .collect()
}

#[test]
fn rows_that_follow_each_other_are_one_hole_between_the_hashes_around_it() {
    let rows = chain(9);
    let holes = dug(&rows, &[1, 2, 5, 6, 7], &[], 100);
    assert_eq!(bounds(&holes), [(1, 2, 100), (5, 7, 100)]);
    assert_eq!(
        (&holes[0].prev, &holes[0].hash),
        (&genesis(), &rows[2].prev)
    );
    assert_eq!(
        (&holes[1].prev, &holes[1].hash),
        (&rows[3].hash, &rows[7].prev)
    );
    assert_eq!((holes[0].rows(), holes[1].rows()), (2, 3));
    assert!(holes[1].has(5) && holes[1].has(7) && !holes[1].has(8));
}

#[test]
fn a_later_archive_joins_holes_that_touch_and_the_later_instant_counts() {
    let rows = chain(9);
    let first = dug(&rows, &[2, 5, 6], &[], 100);
    let second = dug(&rows, &[3, 4, 8], &first, 200);
    assert_eq!(bounds(&second), [(2, 6, 200), (8, 8, 200)]);
    assert_eq!(second[0].prev, rows[0].hash);
    assert_eq!(second[0].hash, rows[5].hash);
    assert_ne!(
        holes_digest(&first).unwrap(),
        holes_digest(&second).unwrap()
    );
}

#[test]
fn a_row_is_archived_once_and_neighbours_must_follow_each_other() {
    let rows = chain(5);
    let holes = dug(&rows, &[2, 3], &[], 100);
    let mut again = Digger::new(Second::new(100));
    again.take(&rows[2]).unwrap();
    assert_eq!(again.among(&holes), Err(HoleError::Order { seq: 3 }));
    let mut forged = rows[3].clone();
    forged.prev = genesis();
    let mut digger = Digger::new(Second::new(100));
    digger.take(&forged).unwrap();
    assert!(matches!(
        digger.among(&holes),
        Err(HoleError::Link { seq: 4, .. })
    ));
}

#[test]
fn the_digest_of_an_archive_is_that_of_its_rows_in_their_order() {
    let rows = chain(3);
    let of = |order: &[usize]| {
        let mut content = Content::default();
        for n in order {
            content.take(&rows[*n]);
        }
        content
    };
    assert_eq!(of(&[0, 1, 2]).rows, 3);
    assert_eq!(of(&[0, 1]), of(&[0, 1]));
    assert_ne!(of(&[0, 1]).digest, of(&[1, 0]).digest);
    assert_ne!(of(&[0, 1]).digest, of(&[0, 1, 2]).digest);
}

const MONTH: i64 = 30 * 86_400;

fn fact(uid: &str, kind: FactKind, at: i64, estimated: bool) -> Fact {
    let mut fact = fixture::fact("pod/cpu", kind, at, 500, 1);
    uid.clone_into(&mut fact.source.uid);
    fact.estimated = estimated;
    fact
}

/// Two months, the first one closed with row 100 and the second one with row 200.
fn sift() -> Sift {
    let span = |n: i64| Span::new(Second::new(n * MONTH), Second::new((n + 1) * MONTH));
    Sift::new(
        Second::new(2 * MONTH),
        200,
        vec![(span(0), 100), (span(1), 200)],
    )
}

#[test]
fn what_nothing_open_can_need_goes_and_everything_else_stays() {
    use FactKind::{Changed, Closed, Opened, Superseded};
    let told = [
        (1, fact("over", Opened, 10, false)),
        (2, fact("over", Closed, 20, false)),
        (3, fact("spans", Opened, 30, false)),
        (4, fact("runs", Opened, 40, false)),
        (5, fact("guessed", Opened, 50, false)),
        (6, fact("guessed", Closed, 60, true)),
        (7, fact("corrected", Opened, 70, false)),
        (8, fact("corrected", Closed, 80, true)),
        (9, fact("corrected", Superseded, 81, false)),
        // ended, as far as it is known, in the period that is still open
        (10, fact("later", Opened, 90, false)),
        // the first month was closed without it
        (110, fact("late", Opened, 95, false)),
        (111, fact("late", Closed, MONTH + 5, false)),
        (112, fact("spans", Closed, MONTH + 7, false)),
        (120, fact("resumed", Opened, MONTH + 8, false)),
        (121, fact("resumed", Closed, MONTH + 9, false)),
        (201, fact("later", Closed, 2 * MONTH + 1, false)),
        (202, fact("resumed", Changed, MONTH + 10, false)),
    ];
    let mut sift = sift();
    for (seq, fact) in &told {
        sift.take(*seq, fact);
    }
    let chosen = sift.chosen();
    let rows: Vec<u64> = chosen.rows.iter().copied().collect();
    assert_eq!(rows, [1, 2, 3, 7, 8, 9, 112]);
    let objects: BTreeSet<String> = [&told[0].1, &told[2].1, &told[6].1]
        .into_iter()
        .map(object_of)
        .collect();
    assert_eq!(chosen.objects, objects);
}

#[test]
fn an_end_that_was_estimated_waits_for_two_periods_after_its_own() {
    use FactKind::{Closed, Opened};
    let told = [
        (1, fact("guessed", Opened, 50, false)),
        (2, fact("guessed", Closed, MONTH - 1, true)),
        (101, fact("later", Opened, MONTH - 60, false)),
        (102, fact("later", Closed, MONTH, true)),
    ];
    // archives of the second, the third and the fourth of four months that are all closed
    let chosen = |months: i64| {
        let span = |n: i64| Span::new(Second::new(n * MONTH), Second::new((n + 1) * MONTH));
        let closed = (0..4).map(|n| (span(n), 200)).collect();
        let mut sift = Sift::new(Second::new(months * MONTH), 200, closed);
        for (seq, fact) in &told {
            sift.take(*seq, fact);
        }
        sift.chosen().rows.into_iter().collect::<Vec<u64>>()
    };
    assert_eq!(chosen(2), [0; 0]);
    assert_eq!(chosen(3), [1, 2]);
    assert_eq!(chosen(4), [1, 2, 101, 102]);
}

#[test]
fn leases_stay_and_so_does_what_ends_with_the_period() {
    let mut sift = sift();
    for (seq, kind, at) in [(1, FactKind::Opened, 10), (2, FactKind::Closed, 20)] {
        sift.take(seq, &fixture::fact("lease/vcpu-x86", kind, at, 1, 1));
    }
    sift.take(3, &fact("edge", FactKind::Opened, MONTH + 1, false));
    sift.take(4, &fact("edge", FactKind::Closed, 2 * MONTH, false));
    assert_eq!(sift.chosen(), Chosen::default());
}

#[test]
fn an_object_under_another_meter_or_in_another_life_of_its_cluster_is_another_one() {
    let base = fact("u", FactKind::Opened, 1, false);
    let mut memory = base.clone();
    memory.meter = "pod/memory".parse().unwrap();
    let mut restored = base.clone();
    restored.source.etcd = 2;
    let same = fact("u", FactKind::Closed, 9, false);
    assert_eq!(object_of(&base), object_of(&same));
    assert_eq!(object_of(&base).len(), 32);
    assert_ne!(object_of(&base), object_of(&memory));
    assert_ne!(object_of(&base), object_of(&restored));
    // and yet it is found in its earlier life
    assert_eq!(
        object_in(&restored, &base.source.cluster, 1),
        object_of(&base)
    );
}
