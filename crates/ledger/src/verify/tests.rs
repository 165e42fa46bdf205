mod acceptance;
mod archives;
mod claims;
mod funds;
mod marks;

use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::canonical::digest_of;
use crate::close::{Closing, fixture};
use crate::document::{Decision, LotDevice};
use crate::fact::FactKind;
use crate::journal::{credit_account, transfer};
use crate::time::{Period, PeriodKind, Second, Span};

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
        self.close_telling(closing, Some(closing.gaps));
    }

    /// The same, with so many gaps as the close says.
    fn close_telling(&mut self, closing: &Closing, gaps: Option<u32>) {
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
            gaps,
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

fn decision(kind: &str, subject: &str, approval: &str) -> DecisionDoc {
    DecisionDoc {
        subject_kind: kind.to_owned(),
        subject: subject.to_owned(),
        role: "office".to_owned(),
        approval_uid: Some(approval.to_owned()),
        decision: Decision::Approved,
        decided_by: "wang".to_owned(),
        order_no: String::new(),
        reason: String::new(),
        auto: false,
        amount_monthly: None,
        department: Some("gov-office".to_owned()),
        at: Second::new(fixture::SEPTEMBER),
    }
}

/// What the fixture's facts were approved by.
fn request(number: u32) -> RequestDoc {
    let cores = if number == 1 { "32" } else { "48" };
    let snapshot = json!({"lease": [
        {"item": "vcpu-x86", "quantity": cores},
        {"item": "memory", "quantity": "64Gi"},
        {"item": "block-ssd", "quantity": "2Ti"},
    ]});
    RequestDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: number,
        digest: digest_of(&snapshot).unwrap(),
        snapshot,
        requested_by: "zhang".to_owned(),
        at: Second::new(fixture::SEPTEMBER),
        quotation: None,
        funds: None,
    }
}

fn lot_doc() -> LotDoc {
    let lot = fixture::lots().remove(0).lot;
    LotDoc {
        appraisal_digest: digest_of(&"appraisal").unwrap(),
        receipt_digest: digest_of(&"receipt").unwrap(),
        approval_uid: "approval-2".to_owned(),
        devices: vec![LotDevice {
            maker: "inspur".to_owned(),
            serial: "SN20240X7B".to_owned(),
            value: lot.amount,
        }],
        lot,
        at: Second::new(fixture::SEPTEMBER),
    }
}

/// The claim of the fixture's device.
fn claimed() -> SerialDoc {
    SerialDoc {
        maker: "inspur".to_owned(),
        serial: "SN20240X7B".to_owned(),
        number: 1,
        contribution: "gov-office/servers-2024".to_owned(),
        uid: "u".to_owned(),
        system_uuid: None,
        at: Second::new(fixture::SEPTEMBER),
    }
}

/// Finance's yes to the fixture's lot.
fn accepted() -> DecisionDoc {
    let subject = "gov-office/servers-2024/u";
    decision("HardwareContribution", subject, "approval-2")
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
    let lot = lot_doc();
    w.document(&claimed());
    w.document(&accepted());
    w.document(&lot);
    w.entry(&Entry::grant(&lot.lot, at).unwrap());
    w.document(&fixture::open());
    for number in [1, 2] {
        w.document(&request(number));
        let subject = format!("gov-office/oa/1/{number}");
        w.document(&decision("Tenancy", &subject, &subject));
    }
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
    forged[3].at = forged[3].at.plus(86_400);
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
    w.fact(&fixture::fact("lease/vcpu-x86", FactKind::Closed, at, 0, 2));
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

/// What verifying finds in the example with one fact changed.
fn with_fact(change: impl FnOnce(&mut Fact)) -> Finding {
    let mut facts = fixture::facts();
    change(&mut facts[3]);
    check(ledger_of(&facts, &fixture::closing()).0, None)
        .finding
        .unwrap()
}

#[test]
fn a_lease_larger_than_was_approved_is_found_at_its_row() {
    let finding = with_fact(|fact| fact.quantity = 49_000);
    let what = "quantity of vcpu-x86 of request gov-office/oa/1/2";
    assert_eq!(finding.what, what);
    let said = (finding.expected.as_str(), finding.found.as_str());
    assert_eq!(said, ("48", "49"));
}

#[test]
fn a_lease_without_a_request_or_of_another_life_is_found_at_its_row() {
    let finding = with_fact(|fact| fact.subject.request = 3);
    assert_eq!(finding.expected, "request gov-office/oa/1/3 before it");
    let finding = with_fact(|fact| fact.subject.incarnation = 2);
    assert_eq!(finding.expected, "request gov-office/oa/2/2 before it");
}

#[test]
fn a_lease_whose_request_was_rejected_or_approved_later_is_found() {
    let mut no = decision("Tenancy", "gov-office/oa/1/1", "a");
    no.decision = Decision::Rejected;
    let mut w = Writer::default();
    w.document(&request(1));
    w.document(&no);
    w.fact(&fixture::facts()[0]);
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.seq, 3);
    let expected = "an approval of request gov-office/oa/1/1 before it";
    assert_eq!(finding.expected, expected);
    let mut w = Writer::default();
    w.document(&request(1));
    w.fact(&fixture::facts()[0]);
    w.document(&decision("Tenancy", "gov-office/oa/1/1", "a"));
    assert_eq!(check(w.0, None).finding.unwrap().seq, 2);
}

#[test]
fn a_lease_of_an_item_that_no_book_lists_needs_an_approval_alone() {
    let mut w = Writer::default();
    w.document(&request(1));
    w.document(&decision("Tenancy", "gov-office/oa/1/1", "a"));
    let mut fact = fixture::facts().remove(0);
    fact.quantity = 1;
    w.fact(&fact);
    assert_eq!(check(w.0, None).finding, None);
}

#[test]
fn a_lot_without_finances_approval_before_it_is_found() {
    let mut w = Writer::default();
    w.document(&lot_doc());
    w.document(&accepted());
    let finding = check(w.0, None).finding.unwrap();
    let what = "approval of lot gov-office/servers-2024";
    assert_eq!((finding.seq, finding.what.as_str()), (1, what));
}

#[test]
fn a_lot_worth_more_than_its_devices_is_found() {
    let mut lot = lot_doc();
    lot.devices[0].value = fixture::money("219777.75");
    let mut w = Writer::default();
    w.document(&accepted());
    w.document(&lot);
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!((finding.seq, finding.found.as_str()), (2, "219777.75"));
    assert_eq!(finding.expected, "219777.76");
}

#[test]
fn a_grant_of_another_amount_or_of_no_lot_is_found() {
    let lot = lot_doc();
    let mut more = lot.lot.clone();
    more.amount = fixture::money("300000.00");
    let mut w = Writer::default();
    w.document(&claimed());
    w.document(&accepted());
    w.document(&lot);
    w.entry(&Entry::grant(&more, lot.at).unwrap());
    let finding = check(w.0, None).finding.unwrap();
    let what = "entry grant/gov-office/servers-2024";
    assert_eq!((finding.seq, finding.what.as_str()), (4, what));
    let mut w = Writer::default();
    w.entry(&Entry::grant(&lot.lot, lot.at).unwrap());
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!((finding.seq, finding.what.as_str()), (1, what));
}

#[test]
fn a_return_takes_back_exactly_what_is_left_of_its_lot() {
    let at = Second::new(fixture::OCTOBER);
    let lot = lot_doc().lot;
    let returned = |left: &str| {
        let mut w = Writer(ledger());
        w.entry(&Entry::void(&lot, fixture::money(left), at).unwrap());
        check(w.0, None).finding
    };
    // 219777.76 less the 2242.13 that the close used
    assert_eq!(returned("217535.63"), None);
    let finding = returned("217535.62").unwrap();
    assert_eq!(finding.what, "entry void/gov-office/servers-2024");
}

/// What verifying finds in a ledger of these periods alone.
fn with_periods(periods: Vec<Period>) -> Option<Finding> {
    let mut w = Writer::default();
    for period in periods {
        w.document(&PeriodOpenDoc {
            period,
            ..fixture::open()
        });
    }
    check(w.0, None).finding
}

#[test]
fn a_period_with_other_bounds_or_another_name_than_its_calendars_is_found() {
    let mut long = fixture::september();
    long.span = Span {
        to: long.span.to.plus(1),
        ..long.span
    };
    let finding = with_periods(vec![long]).unwrap();
    assert_eq!(finding.what, "bounds of period 2026-09");
    let mut named = fixture::september();
    named.name = "2026-10".to_owned();
    assert!(with_periods(vec![named]).is_some());
}

#[test]
fn periods_follow_each_other_and_one_inside_another_is_found() {
    let september = fixture::september();
    let october = september.next().unwrap();
    let in_order = vec![september.clone(), october.clone()];
    assert_eq!(with_periods(in_order), None);
    assert_eq!(with_periods(vec![october, september.clone()]), None);
    let zone = fixture::zone();
    let eleventh = Second::new(fixture::ELEVENTH);
    let day = Period::containing(PeriodKind::Day, &zone, eleventh).unwrap();
    let inside = with_periods(vec![september.clone(), day.clone()]).unwrap();
    assert_eq!(inside.seq, 2);
    assert_eq!(inside.found, "seconds of period 2026-09");
    let around = with_periods(vec![day, september]).unwrap();
    assert_eq!(around.found, "seconds of period 2026-09-11");
}

#[test]
fn a_close_that_leaves_out_the_last_rows_before_it_is_found() {
    let mut rows = ledger();
    let at = rows
        .iter()
        .position(|r| r.chain.key.starts_with("period-close/"))
        .unwrap();
    let mut closed: PeriodCloseDoc = serde_json::from_str(&rows[at].body).unwrap();
    closed.fact_seq -= 1;
    rows.truncate(at);
    let mut w = Writer(rows);
    w.document(&closed);
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.what, "last sequence taken into account");
    assert_eq!(finding.expected, at.to_string());
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
