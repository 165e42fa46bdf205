use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::canonical::digest_of;
use crate::close::fixture;
use crate::document::LotDevice;
use crate::fact::FactKind;
use crate::journal::{credit_account, transfer};
use crate::time::Second;

#[derive(Default)]
struct Writer(Vec<Row>);

impl Writer {
    fn put(&mut self, kind: &str, key: &str, body: String) {
        let head = self.0.last().map(|r| (r.chain.seq, &r.chain.hash));
        let chain = ChainRow::after(head, kind, key, digest_bytes(body.as_bytes()));
        self.0.push(Row { chain, body });
    }

    fn document<D: Document>(&mut self, document: &D) {
        self.put(
            "document",
            &row_key(document),
            canonical_json(document).unwrap(),
        );
    }

    fn entry(&mut self, entry: &Entry) {
        self.put("entry", &entry.id, canonical_json(entry).unwrap());
    }

    fn fact(&mut self, fact: &Fact) {
        self.put("fact", &fact.key(), canonical_json(fact).unwrap());
    }

    fn close(&mut self, closing: &Closing) {
        let last = self.0.last().unwrap().chain.clone();
        self.document(&PeriodCloseDoc {
            name: "2026-09".to_owned(),
            fact_seq: last.seq,
            closed_by: "li".to_owned(),
            totals: closing.totals,
            statements: closing
                .statements
                .iter()
                .map(|s| (s.department.name.clone(), s.digest().unwrap()))
                .collect(),
            chain: last.hash,
            at: Second::new(fixture::OCTOBER + 86_400),
        });
        let closed = self.0.last().unwrap().chain.clone();
        for statement in &closing.statements {
            let mut statement = statement.clone();
            statement.chain = Some(crate::statement::Chain {
                head: closed.hash.clone(),
                entry: closed.seq,
            });
            self.document(&statement);
        }
        for entry in &closing.entries {
            self.entry(entry);
        }
    }
}

/// A ledger with the given facts, closed with the given result.
fn ledger_of(facts: &[Fact], closing: &Closing) -> Writer {
    let mut w = Writer::default();
    let at = Second::new(fixture::SEPTEMBER);
    w.document(&PolicyDoc {
        policy: fixture::policy(),
        seen_at: at,
    });
    w.document(&fixture::department("市政府办"));
    w.document(&BookDoc {
        book: fixture::book(),
        published_by: "wang".to_owned(),
        approval: "approval-1".to_owned(),
        at,
    });
    let lot = fixture::lots().remove(0).lot;
    w.document(&LotDoc {
        lot: lot.clone(),
        appraisal_digest: digest_of(&"appraisal").unwrap(),
        receipt_digest: digest_of(&"receipt").unwrap(),
        approval_uid: "approval-2".to_owned(),
        devices: vec![LotDevice {
            maker: "inspur".to_owned(),
            serial: "SN20240X7B".to_owned(),
            value: lot.amount,
        }],
        at,
    });
    w.entry(&Entry::grant(&lot, at).unwrap());
    w.document(&fixture::open());
    for fact in facts {
        w.fact(fact);
    }
    w.close(closing);
    w
}

fn ledger() -> Vec<Row> {
    ledger_of(&fixture::facts(), &fixture::closing()).0
}

fn check(rows: Vec<Row>, head: Option<&Digest>) -> Report {
    verify(rows.into_iter().map(Ok::<Row, Infallible>), head)
}

#[test]
fn an_honest_ledger_verifies_with_its_period_and_head() {
    let rows = ledger();
    let head = rows.last().unwrap().chain.hash.clone();
    let count = u64::try_from(rows.len()).unwrap();
    let report = check(rows, Some(&head));
    assert_eq!(report.finding, None);
    assert_eq!((report.rows, report.head), (count, head));
    assert_eq!(report.periods.len(), 1);
    let period = &report.periods[0];
    assert!(period.ok);
    assert_eq!(
        (period.statements, period.gross),
        (1, fixture::money("4484.27"))
    );
}

#[test]
fn an_empty_ledger_verifies_with_the_genesis_head() {
    let report = check(Vec::new(), None);
    assert_eq!(
        (report.rows, report.head, report.finding),
        (0, genesis(), None)
    );
}

#[test]
fn a_head_kept_from_an_earlier_day_is_found_and_a_foreign_one_is_missed() {
    let rows = ledger();
    let earlier = rows[4].chain.hash.clone();
    assert_eq!(check(rows.clone(), Some(&earlier)).finding, None);
    let foreign = digest_bytes(b"another ledger");
    let finding = check(rows.clone(), Some(&foreign)).finding.unwrap();
    assert_eq!(finding.what, "a head that was kept");
    let last = rows.last().unwrap().chain.hash.clone();
    let open = rows
        .iter()
        .position(|r| r.chain.key.starts_with("period-close/"))
        .unwrap();
    let cut = check(rows[..open].to_vec(), Some(&last)).finding.unwrap();
    assert_eq!(cut.expected, last.to_string());
}

#[test]
fn a_row_taken_out_or_moved_is_named_by_its_place() {
    let mut without = ledger();
    without.remove(3);
    assert_eq!(check(without, None).finding.unwrap().seq, 4);
    let mut moved = ledger();
    moved.swap(6, 7);
    assert_eq!(check(moved, None).finding.unwrap().seq, 7);
}

#[test]
fn a_fact_forged_with_a_whole_new_chain_is_found_at_the_close() {
    let mut forged = fixture::facts();
    forged[0].quantity -= 1000;
    let rows = ledger_of(&forged, &fixture::closing()).0;
    let close = rows
        .iter()
        .find(|r| r.chain.key == "period-close/2026-09")
        .unwrap()
        .chain
        .seq;
    let finding = check(rows, None).finding.unwrap();
    assert_eq!(finding.seq, close);
    assert_eq!(finding.what, "statement 2026-09/gov-office");
}

#[test]
fn a_statement_forged_after_the_close_is_found_at_its_row() {
    let mut forged = fixture::closing();
    forged.statements[0].lines[0].display_name.push('!');
    let mut rows = ledger();
    let at = rows
        .iter()
        .position(|r| r.chain.key.starts_with("statement/"))
        .unwrap();
    rows.truncate(at);
    let mut w = Writer(rows);
    w.document(&forged.statements[0]);
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.seq, u64::try_from(at).unwrap() + 1);
    assert!(
        finding.what.starts_with("statement HS-2026-09-gov-office"),
        "{}",
        finding.what
    );
}

#[test]
fn a_draft_in_the_place_of_the_final_statement_is_found() {
    let mut rows = ledger();
    let at = rows
        .iter()
        .position(|r| r.chain.key.starts_with("statement/"))
        .unwrap();
    rows.truncate(at);
    let mut draft = fixture::closing().statements.remove(0);
    draft.state = State::Draft;
    let mut w = Writer(rows);
    w.document(&draft);
    assert_eq!(check(w.0, None).finding.unwrap().found, "Draft");
}

#[test]
fn a_close_without_its_last_entry_is_named_with_what_is_missing() {
    let mut rows = ledger();
    rows.pop();
    let close = rows
        .iter()
        .find(|r| r.chain.key == "period-close/2026-09")
        .unwrap()
        .chain
        .seq;
    let report = check(rows, None);
    let finding = report.finding.unwrap();
    assert_eq!(finding.seq, close);
    assert_eq!(finding.expected, "entry close/2026-09/gov-office");
    assert!(!report.periods[0].ok);
}

#[test]
fn an_entry_that_no_close_asks_for_is_found() {
    let mut entry = fixture::closing().entries.remove(0);
    entry.id = "close/2026-09/archives".to_owned();
    let mut w = Writer(ledger());
    w.entry(&entry);
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.what, "entry close/2026-09/archives");
}

#[test]
fn a_lot_paid_out_below_zero_is_found() {
    let mut w = Writer(ledger());
    let lot = fixture::lots().remove(0).lot;
    // the close has already used 2242.13 of it
    w.entry(&Entry::void(&lot, lot.amount, Second::new(fixture::OCTOBER)).unwrap());
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.what, "overdraft of lot gov-office/servers-2024");
    assert_eq!(finding.found, "2242.13");
}

#[test]
fn an_entry_out_of_balance_is_found_even_if_chained() {
    let lot = fixture::lots().remove(0).lot;
    let mut entry = Entry::grant(&lot, Second::new(0)).unwrap();
    entry.id = "grant/more".to_owned();
    let account = credit_account("more");
    entry.postings = transfer("ar/x".to_owned(), account, lot.amount).unwrap();
    entry.postings[0].amount = Money::ZERO;
    let mut w = Writer::default();
    w.entry(&entry);
    assert_eq!(check(w.0, None).finding.unwrap().what, "entry");
}

#[test]
fn the_same_key_twice_is_found() {
    let mut w = Writer(ledger());
    w.fact(&fixture::facts()[0]);
    assert_eq!(check(w.0, None).finding.unwrap().what, "key");
}

#[test]
fn a_late_fact_after_the_close_changes_nothing() {
    let mut w = Writer(ledger());
    let at = fixture::OCTOBER - 60;
    w.fact(&fixture::fact(
        "lease/vcpu-x86",
        FactKind::Changed,
        at,
        1000,
        9,
    ));
    assert_eq!(check(w.0, None).finding, None);
}

#[test]
fn a_period_closed_without_having_been_opened_is_found() {
    let mut w = Writer::default();
    w.document(&fixture::department("市政府办"));
    w.close(&fixture::closing());
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!((finding.seq, finding.what.as_str()), (2, "period 2026-09"));
}

#[test]
fn a_row_that_cannot_be_read_is_a_finding_and_not_a_panic() {
    let rows = ledger()
        .into_iter()
        .take(2)
        .map(Ok)
        .chain([Err("disk error")]);
    let finding = verify(rows, None).finding.unwrap();
    assert_eq!((finding.seq, finding.found.as_str()), (3, "disk error"));
}

proptest! {
    #[test]
    fn one_changed_character_of_any_body_is_found_at_its_row(
        row in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        put in any::<char>(),
    ) {
        let mut rows = ledger();
        let row = row.index(rows.len());
        let mut body: Vec<char> = rows[row].body.chars().collect();
        let place = place.index(body.len());
        prop_assume!(body[place] != put);
        body[place] = put;
        rows[row].body = body.into_iter().collect();
        let finding = check(rows, None).finding.unwrap();
        prop_assert_eq!(finding.seq, u64::try_from(row).unwrap() + 1);
    }

    #[test]
    fn one_changed_field_of_any_link_is_found_at_its_row(
        row in any::<prop::sample::Index>(),
        field in 0_usize..6,
    ) {
        let mut rows = ledger();
        let row = row.index(rows.len());
        let chain = &mut rows[row].chain;
        let other = digest_bytes(b"other");
        match field {
            0 => chain.seq += 1,
            1 => chain.kind.push('s'),
            2 => chain.key.push('s'),
            3 => chain.digest = other,
            4 => chain.prev = other,
            _ => chain.hash = other,
        }
        let finding = check(rows, None).finding.unwrap();
        prop_assert_eq!(finding.seq, u64::try_from(row).unwrap() + 1);
    }
}
