use leasehold_ledger::canonical::digest_bytes;
use leasehold_ledger::fact::Subject;
use leasehold_ledger::money::Price;
use leasehold_ledger::quote::QuotedLine;
use leasehold_ledger::time::{LocalDate, Span};
use leasehold_ledger::verify::{Finding, PeriodCheck};

use super::*;
use crate::fixture::{charged, gapped, gov_office, line, money, second};

/// The cell of a column in a row.
fn cell<'a>(sheet: &'a Sheet, row: usize, key: &str) -> &'a str {
    let place = sheet
        .columns
        .iter()
        .position(|column| column.key == key)
        .unwrap();
    &sheet.rows[row][place]
}

fn assert_whole(sheet: &Sheet) {
    for row in sheet.rows.iter().chain(&sheet.total) {
        assert_eq!(row.len(), sheet.columns.len(), "{row:?}");
    }
    for column in &sheet.columns {
        let same = sheet.columns.iter().filter(|other| other.key == column.key);
        assert_eq!(same.count(), 1, "{}", column.key);
    }
}

#[test]
fn every_row_of_every_sheet_of_statements_has_a_cell_for_each_column() {
    let all = [
        gov_office(),
        charged("police", vec![line("a", "Count", "1.00", "1.0", "1.00")]),
    ];
    for sheet in [statements(&all), charges(&all), lines(&all[0])] {
        assert_whole(&sheet);
    }
    assert_eq!(statements(&all).rows.len(), 2);
    assert_eq!(charges(&all).rows.len(), 4);
}

#[test]
fn a_statement_shows_its_sums_below_its_lines_and_what_its_credits_did() {
    let sheet = lines(&gov_office());
    let total = sheet.total.clone().unwrap();
    assert_eq!(total[5..8], ["4484.27", "2242.13", "2242.14"]);
    assert_eq!(cell(&sheet, 2, "gross"), "1962.67");
    assert_eq!(
        sheet.notes,
        [
            "credit gov-office/servers-2024: 2242.13 applied, 217535.63 left through 2029-08-31 \
          (cap 50 % of 4484.27, rounded down)"
        ]
    );
    let cut = Statement {
        more_lines: 7,
        ..gov_office()
    };
    assert!(
        lines(&cut)
            .notes
            .contains(&"7 more lines are in the ledger".to_owned())
    );
}

#[test]
fn the_gaps_of_a_statement_stand_below_its_lines_and_in_each_row_for_a_spreadsheet() {
    let statement = gapped();
    let notes = lines(&statement).notes;
    let told = notes
        .iter()
        .filter(|note| note.starts_with("use was not observed: "));
    assert_eq!(told.count(), 2, "{notes:?}");
    let sheet = charges(&[statement, gov_office()]);
    assert_whole(&sheet);
    for row in 0..3 {
        let told = cell(&sheet, row, "gaps");
        assert!(told.contains("accepted by sun@finance (51号)"), "{told}");
    }
    assert_eq!(cell(&sheet, 3, "gaps"), "");
}

#[test]
fn charges_carry_what_finance_books_by() {
    let sheet = charges(&[gov_office()]);
    for (key, expected) in [
        ("number", "HS-2026-09-gov-office"),
        ("contract", "HS-ZFCG-2026-031"),
        ("budget", "30227"),
        ("provider", "hs-bigdata"),
        ("category", "compute"),
        ("basis", "Reserved"),
        ("grossExact", "1962.666666666666667"),
    ] {
        assert_eq!(cell(&sheet, 2, key), expected, "{key}");
    }
}

#[test]
fn use_is_shown_in_the_quantities_of_kubernetes_and_in_local_time() {
    let subject = Subject {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        system: "oa".to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-031".to_owned(),
        budget: "30227".to_owned(),
        request: 1,
        object: "Pod gov-office--prod/web-1".to_owned(),
    };
    let from = second("2026-08-31T16:00:00Z");
    let interval = |meter: &str, quantity| Interval {
        span: Span {
            from,
            to: from.plus(60),
        },
        open: false,
        quantity,
        meter: meter.parse().unwrap(),
        subject: subject.clone(),
        estimated: false,
        opened_by: String::new(),
        closed_by: None,
    };
    let intervals = [
        interval("pod/cpu", 500),
        interval("pod/memory", 2 << 30),
        interval("claim/ssd", 1 << 40),
        interval("pod/nvidia.com/gpu", 2),
        interval("lease/vcpu-x86", 48_000),
        interval("lease/unknown", 5),
    ];
    let units = BTreeMap::from([("vcpu-x86".to_owned(), Unit::Core)]);
    let sheet = usage(&intervals, &Zone::parse("Asia/Shanghai").unwrap(), &units);
    assert_whole(&sheet);
    for (row, expected) in ["500m", "2Gi", "1Ti", "2", "48", "5"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(cell(&sheet, row, "quantity"), expected);
    }
    assert_eq!(cell(&sheet, 0, "from"), "2026-09-01T00:00:00+08:00");
    assert_eq!(cell(&sheet, 0, "to"), "2026-09-01T00:01:00+08:00");
}

#[test]
fn an_explanation_has_its_segments_as_rows_and_its_steps_below() {
    let explained = leasehold_ledger::explain::explain("oa/vcpu-x86/1", &gov_office()).unwrap();
    let sheet = explanation(&explained);
    assert_whole(&sheet);
    assert_eq!(sheet.rows.len(), 2);
    // 20 of 30 days
    assert_eq!(cell(&sheet, 1, "seconds"), "1728000");
    assert_eq!(cell(&sheet, 1, "ofSeconds"), "2592000");
    assert_eq!(sheet.notes, explained.steps);
}

#[test]
fn a_report_names_the_row_that_differs() {
    let mut verified = Report {
        rows: 9,
        archived: 0,
        head: digest_bytes(b"head"),
        periods: vec![PeriodCheck {
            name: "2026-09".to_owned(),
            statements: 2,
            gross: money("4484.27"),
            ok: true,
            sealed: false,
        }],
        finding: None,
    };
    let sheet = report(&verified);
    assert_whole(&sheet);
    assert_eq!(sheet.rows, [["2026-09", "2", "4484.27", "yes"]]);
    assert_eq!(sheet.notes[1], "the ledger is verified");
    verified.finding = Some(Finding {
        seq: 10,
        what: "digest".to_owned(),
        expected: "a".to_owned(),
        found: "b".to_owned(),
    });
    assert_eq!(
        report(&verified).notes[1],
        "row 10 differs: digest: expected a, found b"
    );
}

#[test]
fn a_report_without_the_archives_says_what_it_has_not_seen() {
    let verified = Report {
        rows: 9,
        archived: 4000,
        head: digest_bytes(b"head"),
        periods: vec![PeriodCheck {
            name: "2026-09".to_owned(),
            statements: 2,
            gross: money("4484.27"),
            ok: true,
            sealed: true,
        }],
        finding: None,
    };
    let sheet = report(&verified);
    assert_whole(&sheet);
    assert_eq!(sheet.rows, [["2026-09", "2", "4484.27", "sealed"]]);
    assert!(
        sheet.notes[1].contains("4000 rows") && sheet.notes[1].contains("--archive"),
        "{sheet:?}"
    );
}

#[test]
fn a_quotation_says_from_when_prices_may_differ() {
    let mut quoted = Quotation {
        currency: "CNY".to_owned(),
        monthly: money("1472.00"),
        term: money("17664.00"),
        prices_through: Some(LocalDate::parse("2026-12-31").unwrap()),
        credit_monthly: money("-736.00"),
        books: vec!["hs-2026".to_owned()],
        lines: vec![QuotedLine {
            item: "vcpu-x86".to_owned(),
            display_name: "x86 虚拟处理器".to_owned(),
            quantity: "32.0".to_owned(),
            unit: "Core·Month".to_owned(),
            unit_price: Price::parse("46").unwrap(),
            monthly: money("1472.00"),
        }],
    };
    let sheet = quotation(&quoted);
    assert_whole(&sheet);
    assert_eq!(cell(&sheet, 0, "unitPrice"), "46.00");
    assert_eq!(
        sheet.notes,
        [
            "term: 17664.00 CNY",
            "credits would pay monthly: -736.00 CNY",
            "prices are published through 2026-12-31; later ones may differ",
            "price books: hs-2026",
        ]
    );
    quoted.prices_through = None;
    quoted.credit_monthly = money("0.00");
    assert_eq!(quotation(&quoted).notes.len(), 2);
}
