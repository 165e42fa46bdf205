//! Ledgers some of whose facts lie in archives.

use super::*;
use crate::archive::{Content, Digger, Hole, holes_digest};

/// Two pods of September, one after the other, which cost nothing: their facts are what is archived.
pub(super) fn pods() -> Vec<Fact> {
    let pod = |uid: &str, kind, at, version: &str| {
        let mut fact = fixture::fact("pod/cpu", kind, at, 500, 1);
        uid.clone_into(&mut fact.source.uid);
        version.clone_into(&mut fact.source.version);
        fact
    };
    vec![
        pod("web-1", FactKind::Opened, fixture::SEPTEMBER + 60, "7"),
        pod("web-1", FactKind::Closed, fixture::SEPTEMBER + 90, "8"),
        pod("web-2", FactKind::Opened, fixture::SEPTEMBER + 95, "9"),
        pod("web-2", FactKind::Closed, fixture::ELEVENTH, "10"),
    ]
}

/// A ledger after its September was archived.
pub(super) struct After {
    pub(super) live: Vec<Row>,
    pub(super) archived: Vec<Row>,
    pub(super) holes: Vec<Hole>,
}

fn after(closing: &Closing) -> After {
    let mut facts = fixture::facts();
    // the second pod stands behind the last lease, so that there are two holes
    let pods = pods();
    drop(facts.splice(1..1, pods[..2].iter().cloned()));
    facts.extend(pods[2..].iter().cloned());
    archived(ledger_of(&facts, closing))
}

/// What is left of a ledger when the facts of its pods are archived.
pub(super) fn archived(mut w: Writer) -> After {
    let gone = |row: &Row| row.chain.key.contains("pod/cpu");
    let end = Second::new(fixture::OCTOBER);
    let (mut digger, mut content) = (Digger::new(end), Content::default());
    for row in w.0.iter().filter(|row| gone(row)) {
        digger.take(&row.chain).unwrap();
        content.take(&row.chain);
    }
    let holes = digger.among(&[]).unwrap();
    w.document(&ArchiveDoc {
        period: "2026-09".to_owned(),
        ended_before: end,
        rows: content.rows,
        digest: content.digest,
        file: "facts-2026-09.db".to_owned(),
        holes: holes_digest(&holes).unwrap(),
        at: end.plus(90 * 86_400),
    });
    let (archived, live) = w.0.into_iter().partition(gone);
    After {
        live,
        archived,
        holes,
    }
}

fn told(rows: &[Row]) -> impl Iterator<Item = Result<Row, Infallible>> {
    rows.iter().cloned().map(Ok)
}

pub(super) fn verified(live: &[Row], archived: &[Row], holes: &[Hole]) -> Report {
    let pieces = Pieces::new(told(live), told(archived), holes);
    verify_pieces(pieces, holes, None)
}

#[test]
fn without_the_archive_everything_but_the_arithmetic_of_its_period_is_proven() {
    let ledger = after(&fixture::closing());
    assert_eq!((ledger.holes.len(), ledger.archived.len()), (2, 4));
    let report = verified(&ledger.live, &[], &ledger.holes);
    assert_eq!(report.finding, None);
    let rows = u64::try_from(ledger.live.len()).unwrap();
    assert_eq!((report.rows, report.archived), (rows, 4));
    let period = &report.periods[0];
    assert!(period.ok && period.sealed);
    assert_eq!(period.gross, fixture::money("4484.27"));
}

#[test]
fn with_the_archive_every_row_is_proven_and_the_period_computed_again() {
    let ledger = after(&fixture::closing());
    let report = verified(&ledger.live, &ledger.archived, &ledger.holes);
    assert_eq!(report.finding, None);
    let rows = u64::try_from(ledger.live.len() + 4).unwrap();
    assert_eq!((report.rows, report.archived), (rows, 0));
    assert!(report.periods[0].ok && !report.periods[0].sealed);
}

#[test]
fn a_part_of_the_archives_fills_a_part_of_the_holes() {
    let ledger = after(&fixture::closing());
    for given in [&ledger.archived[..1], &ledger.archived[1..3]] {
        let report = verified(&ledger.live, given, &ledger.holes);
        assert_eq!(report.finding, None);
        let missing = u64::try_from(4 - given.len()).unwrap();
        assert_eq!(report.archived, missing);
        assert!(report.periods[0].sealed);
    }
}

#[test]
fn rows_that_the_ledger_still_has_are_taken_from_it() {
    let ledger = after(&fixture::closing());
    let mut all = ledger.live.clone();
    all.extend(ledger.archived.clone());
    all.sort_by_key(|row| row.chain.seq);
    let report = verified(&all, &ledger.archived, &[]);
    assert_eq!((report.finding, report.archived), (None, 0));
}

#[test]
fn a_row_that_was_altered_in_the_archive_is_named() {
    let ledger = after(&fixture::closing());
    let mut altered = ledger.archived.clone();
    altered[1].body = altered[1].body.replace("web-1", "web-9");
    let finding = verified(&ledger.live, &altered, &ledger.holes)
        .finding
        .unwrap();
    assert_eq!(finding.seq, altered[1].chain.seq);
}

#[test]
fn a_row_that_is_missing_and_was_not_archived_is_named() {
    let ledger = after(&fixture::closing());
    let mut live = ledger.live.clone();
    let at = live
        .iter()
        .position(|row| row.chain.key.contains("lease/memory"))
        .unwrap();
    let gone = live.remove(at).chain.seq;
    let finding = verified(&live, &ledger.archived, &ledger.holes)
        .finding
        .unwrap();
    assert_eq!(finding.seq, gone);
}

#[test]
fn a_hole_that_no_archive_has_dug_is_found_out() {
    let ledger = after(&fixture::closing());
    let forged: [fn(&mut Vec<Hole>); 3] = [
        |holes| holes[0].ended_before = Second::new(0),
        |holes| holes[1].hash = genesis(),
        |holes| drop(holes.remove(1)),
    ];
    for (n, forge) in forged.into_iter().enumerate() {
        let mut holes = ledger.holes.clone();
        forge(&mut holes);
        let report = verified(&ledger.live, &[], &holes);
        assert!(report.finding.is_some(), "forgery {n} was not noticed");
    }
    // a fact that was taken out with a hole of its own
    let mut live = ledger.live.clone();
    let at = live
        .iter()
        .position(|row| row.chain.key.contains("lease/memory"))
        .unwrap();
    let taken = live.remove(at);
    let mut digger = Digger::new(Second::new(fixture::OCTOBER));
    digger.take(&taken.chain).unwrap();
    let holes = digger.among(&ledger.holes).unwrap();
    let finding = verified(&live, &[], &holes).finding.unwrap();
    assert_eq!(finding.what, "digest of what is archived");
}

#[test]
fn a_sealed_close_still_has_to_agree_with_its_statements_and_entries() {
    let mut totals = fixture::closing();
    totals.totals.gross = fixture::money("4484.28");
    let ledger = after(&totals);
    let finding = verified(&ledger.live, &[], &ledger.holes).finding.unwrap();
    assert_eq!(finding.what, "totals of the close");

    let mut entries = fixture::closing();
    let lot = "gov-office/servers-2024";
    let mut postings = entries.entries[0].postings.clone();
    postings.extend(
        transfer(
            credit_account(lot),
            "ar/gov-office".to_owned(),
            Money::from_minor(1),
        )
        .unwrap(),
    );
    let honest = &entries.entries[0];
    entries.entries[0] = Entry::new(
        honest.id.clone(),
        honest.kind,
        honest.at,
        honest.department.clone(),
        honest.period.clone(),
        postings,
    )
    .unwrap();
    let ledger = after(&entries);
    let finding = verified(&ledger.live, &[], &ledger.holes).finding.unwrap();
    assert_eq!(finding.what, "entry close/2026-09/gov-office");
}

#[test]
fn an_archive_of_a_period_that_was_not_closed_before_it_is_found() {
    let ledger = after(&fixture::closing());
    let archive = ledger.live.last().unwrap().clone();
    let mut early = ledger_of(&fixture::facts(), &fixture::closing());
    let close = early
        .0
        .iter()
        .position(|row| row.chain.key == "period-close/2026-09")
        .unwrap();
    early.0.truncate(close);
    early.put("document", &archive.chain.key, archive.body);
    let finding = check(early.0, None).finding.unwrap();
    assert_eq!(finding.what, "archive of 2026-09");
}
