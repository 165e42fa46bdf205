use proptest::prelude::*;

use super::fixture::{ELEVENTH, OCTOBER, book, closing, facts, input, lots, money};
use super::*;
use crate::canonical::canonical_json;
use crate::fact::Fact;
use crate::journal::BREAKAGE;

/// Closes with the facts of the example.
fn close_example(input: &CloseInput) -> Result<Closing, CloseError> {
    close_with(input, &facts())
}

fn close_with(input: &CloseInput, facts: &[Fact]) -> Result<Closing, CloseError> {
    close(input, &facts.iter().collect(), State::Final)
}

fn line<'a>(statement: &'a Statement, id: &str) -> &'a crate::statement::Line {
    statement.lines.iter().find(|l| l.id == id).unwrap()
}

#[test]
fn the_worked_example_closes_to_the_last_fen() {
    let closing = closing();
    assert_eq!(closing.statements.len(), 1);
    let s = &closing.statements[0];
    assert_eq!(s.number, "HS-2026-09-gov-office");
    assert_eq!(
        (s.period.from.as_str(), s.period.through.as_str()),
        ("2026-09-01", "2026-09-30")
    );
    assert_eq!(s.department.display_name, "市政府办");
    assert_eq!(
        (s.payee.as_str(), s.currency.as_str()),
        ("hs-bigdata", "CNY")
    );
    for (id, quantity, gross, offset, net) in [
        (
            "oa/vcpu-x86/1",
            "42.666666666667",
            "1962.67",
            "1962.67",
            "0.00",
        ),
        ("oa/memory/1", "64.0", "1088.00", "0.00", "1088.00"),
        ("oa/block-ssd/1", "2048.0", "1433.60", "279.46", "1154.14"),
    ] {
        let l = line(s, id);
        assert_eq!(l.quantity, quantity, "{id}");
        assert_eq!(
            (l.gross, l.offset, l.net),
            (money(gross), money(offset), money(net)),
            "{id}"
        );
    }
    let cpu = line(s, "oa/vcpu-x86/1");
    assert_eq!(cpu.unit, "Core·Month");
    assert_eq!(cpu.gross_exact, "1962.666666666666667");
    assert_eq!(cpu.segments[0].from, "2026-09-01T00:00:00+08:00");
    assert_eq!(cpu.segments[0].quantity, "32");
    assert_eq!(line(s, "oa/memory/1").segments[0].quantity, "64Gi");
    assert_eq!(s.totals.gross, money("4484.27"));
    assert_eq!(s.totals.offset, money("2242.13"));
    assert_eq!(s.totals.adjustments, Money::ZERO);
    assert_eq!(s.totals.net, money("2242.14"));
    let credit = &s.credits[0];
    assert_eq!(credit.opening, money("219777.76"));
    assert_eq!(
        (credit.applied, credit.closing),
        (money("2242.13"), money("217535.63"))
    );
    assert_eq!(credit.why, "cap 50 % of 4484.27, rounded down");
    assert_eq!(closing.totals, s.totals);
    assert_eq!(s.digest, Some(s.digest().unwrap()));
}

#[test]
fn the_close_is_posted_once_per_department_and_balances() {
    let closing = closing();
    assert_eq!(closing.entries.len(), 1);
    let entry = &closing.entries[0];
    assert_eq!(entry.id, "close/2026-09/gov-office");
    assert_eq!(entry.at, Second::new(OCTOBER));
    let posted: Vec<(&str, Money)> = entry
        .postings
        .iter()
        .map(|p| (p.account.as_str(), p.amount))
        .collect();
    assert_eq!(
        posted,
        [
            ("ar/gov-office", money("2242.14")),
            ("credit/gov-office/servers-2024", money("2242.13")),
            ("revenue/compute", money("-3050.67")),
            ("revenue/storage", money("-1433.60")),
        ]
    );
}

#[test]
fn a_department_that_used_nothing_gets_a_statement_of_zero_and_no_entry() {
    let mut input = input();
    input
        .departments
        .insert("archives".to_owned(), "市档案馆".to_owned());
    let both = close_example(&input).unwrap();
    let codes: Vec<&str> = both
        .statements
        .iter()
        .map(|s| s.department.name.as_str())
        .collect();
    assert_eq!(codes, ["archives", "gov-office"]);
    assert_eq!(both.statements[0].totals, Totals::default());
    assert!(both.statements[0].lines.is_empty() && both.statements[0].payee.is_empty());
    assert_eq!(
        both.statements[1],
        closing().statements[0],
        "nobody else's bill changes"
    );
    assert_eq!(both.entries, closing().entries);
}

#[test]
fn a_department_that_nobody_registered_is_charged_under_its_code() {
    let mut input = input();
    input.departments.clear();
    let closing = close_example(&input).unwrap();
    assert_eq!(closing.statements[0].department.display_name, "gov-office");
    assert_eq!(closing.totals.gross, money("4484.27"));
}

#[test]
fn a_draft_counts_up_to_its_instant_and_posts_nothing() {
    let mut input = input();
    input.as_of = Some(Second::new(ELEVENTH));
    let draft = close(&input, &facts().iter().collect(), State::Draft).unwrap();
    let s = &draft.statements[0];
    // ten of thirty days: 490.67 + 362.67 + 477.87
    assert_eq!(s.totals.gross, money("1331.21"));
    assert_eq!(s.as_of.as_deref(), Some("2026-09-11T00:00:00+08:00"));
    assert!(draft.entries.is_empty());
    let closed = close_example(&input).unwrap();
    assert_eq!(closed, closing(), "a final close counts the whole period");
}

#[test]
fn a_draft_at_the_end_has_the_digest_of_the_final_statement() {
    let mut input = input();
    input.as_of = Some(Second::new(OCTOBER));
    let draft = close(&input, &facts().iter().collect(), State::Draft).unwrap();
    assert_eq!(draft.statements[0].state, State::Draft);
    assert_eq!(draft.statements[0].digest, closing().statements[0].digest);
}

#[test]
fn a_lot_that_ends_with_the_period_pays_for_it_before_its_rest_expires() {
    let mut input = input();
    input.lots[0].lot.span.to = Second::new(OCTOBER);
    input.lots[0].remaining = money("3000.00");
    let closing = close_example(&input).unwrap();
    assert_eq!(closing.statements[0].credits[0].applied, money("2242.13"));
    assert_eq!(closing.entries.len(), 2);
    let expiry = &closing.entries[1];
    assert_eq!(expiry.id, "expire/gov-office/servers-2024");
    assert_eq!(expiry.period.as_deref(), Some("2026-09"));
    let breakage = expiry
        .postings
        .iter()
        .find(|p| p.account == BREAKAGE)
        .unwrap();
    assert_eq!(breakage.amount, money("-757.87"));
}

#[test]
fn credit_of_one_department_never_pays_for_another() {
    let mut input = input();
    input.lots[0].lot.department = "archives".to_owned();
    let closing = close_example(&input).unwrap();
    assert_eq!(closing.totals.offset, Money::ZERO);
    assert!(closing.statements[0].credits.is_empty());
}

#[test]
fn an_estimated_end_and_its_correction_come_out_the_same_in_any_order() {
    use crate::fact::FactKind::{Closed, Opened, Superseded};
    let mut estimate = fixture::fact("lease/memory", Closed, OCTOBER - 10, 0, 2);
    estimate.estimated = true;
    let truth = fixture::fact("lease/memory", Superseded, ELEVENTH, 0, 2);
    let again = fixture::fact("lease/memory", Opened, OCTOBER - 5, 1 << 30, 3);
    let mut late = fixture::fact("lease/memory", Closed, OCTOBER - 1, 0, 4);
    late.estimated = true;
    let mut forth = facts();
    forth.extend([estimate, truth, again, late]);
    let mut back = forth.clone();
    back.reverse();
    let closed = close_with(&input(), &forth).unwrap();
    assert_eq!(closed, close_with(&input(), &back).unwrap());
    let memory = line(&closed.statements[0], "oa/memory/1");
    assert_eq!(memory.segments[0].to, "2026-09-11T00:00:00+08:00");
}

#[test]
fn a_fact_that_does_not_fit_stops_nobodys_close_and_marks_the_line_that_it_touches() {
    use crate::fact::FactKind::{Closed, Opened};
    let twice = fixture::fact("lease/memory", Opened, ELEVENTH, 1, 9);
    let mut stray = fixture::fact("pod/cpu", Closed, ELEVENTH, 0, 9);
    stray.source.uid = "pod-1".to_owned();
    let mut forth = facts();
    forth.extend([twice.clone(), stray.clone()]);
    let mut back = forth.clone();
    back.reverse();
    let closed = close_with(&input(), &forth).unwrap();
    assert_eq!(closed, close_with(&input(), &back).unwrap());
    assert_eq!(
        closed.contradictions,
        [
            FactError::NotOpen { key: stray.key() },
            FactError::OpenedTwice { key: twice.key() },
        ]
    );
    assert_eq!(closed.totals, closing().totals);
    let estimated = |id: &str| line(&closed.statements[0], id).estimated;
    assert!(estimated("oa/memory/1") && !estimated("oa/vcpu-x86/1"));
}

#[test]
fn a_book_in_another_currency_is_refused_by_name() {
    let mut input = input();
    input.books[0].currency = "USD".to_owned();
    let error = close_example(&input).unwrap_err().to_string();
    assert!(
        error.contains("hs-2026") && error.contains("USD"),
        "{error}"
    );
}

#[test]
fn the_rest_of_a_lot_follows_from_the_journal() {
    let lot = lots()[0].lot.clone();
    let mut entries = vec![Entry::grant(&lot, lot.span.from).unwrap()];
    entries.extend(closing().entries);
    let states = lot_states(std::slice::from_ref(&lot), &entries).unwrap();
    assert_eq!(states[0].remaining, money("217535.63"));
    let ungranted = lot_states(std::slice::from_ref(&lot), &[]).unwrap();
    assert_eq!(ungranted[0].remaining, Money::ZERO);
    entries.remove(0);
    let overdrawn = lot_states(&[lot], &entries);
    assert!(matches!(overdrawn, Err(CloseError::Lot { .. })));
}

/// The example with a second department, three lots and a second provider's book.
fn crowded() -> CloseInput {
    let mut input = input();
    for (id, class, priority) in [
        ("disks", Category::Storage, 5),
        ("old", Category::Compute, 5),
    ] {
        let mut state = lots().remove(0);
        state.lot.id = format!("gov-office/{id}");
        state.lot.contribution = id.to_owned();
        state.lot.classes = vec![class];
        state.lot.priority = priority;
        state.lot.amount = money("300.00");
        state.remaining = money("300.00");
        input.lots.push(state);
    }
    let mut foreign = book();
    foreign.name = "other-2026".to_owned();
    foreign.provider = "other".to_owned();
    input.books.push(foreign);
    input
        .departments
        .insert("archives".to_owned(), "市档案馆".to_owned());
    input
}

/// The facts of both departments.
fn crowded_facts() -> Vec<Fact> {
    let mut both = facts();
    for mut other in facts() {
        other.source.uid = "tenancy-mail".to_owned();
        other.subject.department = "archives".to_owned();
        other.subject.tenancy = "mail".to_owned();
        both.push(other);
    }
    both
}

proptest! {
    #[test]
    fn permuted_facts_lots_and_books_give_the_same_bytes(
        facts in Just(crowded_facts()).prop_shuffle(),
        lots in Just(crowded().lots).prop_shuffle(),
        books in Just(crowded().books).prop_shuffle(),
    ) {
        let expected = close_with(&crowded(), &crowded_facts()).unwrap();
        let shuffled = CloseInput { books, lots, ..crowded() };
        let found = close_with(&shuffled, &facts).unwrap();
        prop_assert_eq!(
            canonical_json(&found.statements).unwrap(),
            canonical_json(&expected.statements).unwrap()
        );
        prop_assert_eq!(
            canonical_json(&found.entries).unwrap(),
            canonical_json(&expected.entries).unwrap()
        );
    }

    #[test]
    fn facts_delivered_twice_change_nothing(again in prop::collection::vec(0_usize..8, 0..8)) {
        let mut doubled = crowded_facts();
        let copies: Vec<Fact> = again.iter().map(|i| doubled[*i].clone()).collect();
        doubled.extend(copies);
        prop_assert_eq!(
            close_with(&crowded(), &doubled).unwrap(),
            close_with(&crowded(), &crowded_facts()).unwrap()
        );
    }
}
