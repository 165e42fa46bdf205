use leasehold_ledger::statement::Totals;

use super::*;
use crate::fixture::{charged, empty, gov_office, line, money, sealed};

type Record = BTreeMap<String, String>;

fn names() -> FocusNames {
    FocusNames {
        billing_account: "finance-bureau".to_owned(),
        billing_account_name: "Finance Bureau".to_owned(),
        region: None,
        providers: BTreeMap::from([("hs-bigdata".to_owned(), "HS Big Data".to_owned())]),
    }
}

fn text(statements: &[Statement]) -> (String, FocusSummary) {
    let mut out = Vec::new();
    let summary = write_focus(statements, &names(), &mut out).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

fn records(statements: &[Statement]) -> Vec<Record> {
    let (text, _) = text(statements);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            header
                .iter()
                .zip(record.iter())
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect()
        })
        .collect()
}

fn refusal(statement: Statement) -> FocusError {
    let mut out = Vec::new();
    let error = write_focus(&[gov_office(), statement], &names(), &mut out).unwrap_err();
    assert!(out.is_empty(), "something was written before the refusal");
    error
}

/// A decimal as an integer of 10^-24.
fn scaled(decimal: &str) -> BigInt {
    let (whole, fraction) = decimal.split_once('.').unwrap();
    format!("{whole}{fraction:0<24}").parse().unwrap()
}

#[test]
fn the_worked_example_gives_the_rows_that_were_reckoned_by_hand() {
    let rows = records(&[gov_office()]);
    assert_eq!(rows.len(), 4);
    let cores = &rows[2];
    for (column, expected) in [
        ("BilledCost", "1962.67"),
        ("EffectiveCost", "1962.67"),
        ("ListCost", "1962.666666666666667"),
        ("ContractedCost", "1962.666666666666667"),
        ("ContractedUnitPrice", "46.00"),
        ("PricingQuantity", "42.666666666667"),
        ("PricingUnit", "Core-Months"),
        // (32 x 10 + 48 x 20) core-days x 24
        ("ConsumedQuantity", "30720.00"),
        ("ConsumedUnit", "Core-Hours"),
        ("BillingPeriodStart", "2026-08-31T16:00:00Z"),
        ("BillingPeriodEnd", "2026-09-30T16:00:00Z"),
        ("InvoiceId", "HS-2026-09-gov-office"),
        ("InvoiceIssuerName", "HS Big Data"),
        ("ProviderName", "HS Big Data"),
        ("ResourceId", "leasehold:tenancy/gov-office/oa"),
        ("ServiceCategory", "Compute"),
        ("SubAccountName", "gov-office"),
        (
            "SkuPriceId",
            "leasehold:price/hs-bigdata/vcpu-x86/Reserved/Core-Months",
        ),
        ("x_ChargeKey", "HS-2026-09-gov-office/oa/vcpu-x86/1"),
        ("x_DepartmentName", "市政府办"),
        ("x_ItemName", "x86 虚拟处理器"),
        ("x_BudgetCode", "30227"),
        ("x_Rehearsal", "false"),
    ] {
        assert_eq!(cores[column], expected, "{column}");
    }
    // 2048 GiB x 720 h
    assert_eq!(rows[0]["ConsumedQuantity"], "1474560.00");
    assert_eq!(rows[0]["ServiceCategory"], "Storage");
}

#[test]
fn the_header_has_the_columns_of_focus_in_order_and_then_ours() {
    let (text, _) = text(&[]);
    let header: Vec<&str> = text.trim_end().split(',').collect();
    assert_eq!(text.lines().count(), 1);
    let ours = header
        .iter()
        .position(|name| name.starts_with("x_"))
        .unwrap();
    assert!(
        header[..ours].is_sorted(),
        "FOCUS lists its columns by name"
    );
    assert!(header[ours..].iter().all(|name| name.starts_with("x_")));
    assert_eq!(header.iter().collect::<BTreeSet<_>>().len(), header.len());
    for needed in [
        "CommitmentDiscountStatus",
        "PricingCurrency",
        "ChargeClass",
        "RegionId",
    ] {
        assert!(header.contains(&needed), "{needed}");
    }
}

#[test]
fn the_rows_of_each_invoice_add_up_to_what_is_payable() {
    let other = charged(
        "police",
        vec![line("gpu", "Count·Month", "3000.00", "2.0", "6000.00")],
    );
    let statements = [gov_office(), other];
    let (_, summary) = text(&statements);
    assert_eq!(summary.rows, 5);
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for row in records(&statements) {
        *sums.entry(row["InvoiceId"].clone()).or_default() += money(&row["BilledCost"]).minor();
    }
    assert_eq!(sums["HS-2026-09-gov-office"], 224_214);
    assert_eq!(sums["HS-2026-09-police"], 600_000);
    let billed: BTreeMap<String, i64> = summary
        .billed
        .into_iter()
        .map(|(number, sum)| (number, sum.minor()))
        .collect();
    assert_eq!(billed, sums);
}

#[test]
fn a_credit_has_one_amount_in_all_its_costs_and_neither_price_nor_quantity() {
    let rows = records(&[gov_office()]);
    let credit = rows.last().unwrap();
    assert_eq!(credit["ChargeCategory"], "Credit");
    for cost in ["BilledCost", "EffectiveCost", "ContractedCost", "ListCost"] {
        assert_eq!(credit[cost], "-2242.13", "{cost}");
    }
    for null in [
        "SkuId",
        "SkuPriceId",
        "ListUnitPrice",
        "PricingQuantity",
        "ConsumedQuantity",
        "ResourceId",
    ] {
        assert_eq!(credit[null], "", "{null}");
    }
    assert_eq!(credit["ChargeFrequency"], "One-Time");
    assert_eq!(credit["ServiceName"], "Hardware Credit");
    assert_eq!(credit["x_CreditGrantId"], "gov-office/servers-2024");
    assert_eq!(credit["ProviderName"], "HS Big Data");
}

#[test]
fn a_lot_that_paid_nothing_has_no_row() {
    let mut statement = gov_office();
    let mut idle = statement.credits[0].clone();
    idle.lot = "gov-office/switches-2025".to_owned();
    idle.order = 2;
    idle.applied = Money::ZERO;
    idle.closing = idle.opening;
    statement.credits.push(idle);
    assert_eq!(records(&[sealed(statement)]).len(), 4);
}

#[test]
fn every_use_has_a_consumed_quantity_and_every_charge_ends_after_it_starts() {
    let once = line("migration", "Count", "2000.00", "1.0", "2000.00");
    let hourly = line("gpu", "Count·Hour", "12.00", "30.5", "366.00");
    let rows = records(&[gov_office(), charged("police", vec![hourly, once])]);
    for row in &rows {
        // RFC 3339 in UTC sorts as text
        assert!(row["ChargePeriodStart"] < row["ChargePeriodEnd"], "{row:?}");
        assert_eq!(
            row["ChargeCategory"] == "Usage",
            !row["ConsumedQuantity"].is_empty()
        );
        assert_eq!(
            row["ConsumedQuantity"].is_empty(),
            row["ConsumedUnit"].is_empty()
        );
    }
    let by_item = |item: &str| rows.iter().find(|row| row["SkuMeter"] == item).unwrap();
    assert_eq!(by_item("gpu")["ConsumedQuantity"], "30.50");
    assert_eq!(by_item("gpu")["PricingUnit"], "Count-Hours");
    assert_eq!(by_item("migration")["ConsumedUnit"], "Count");
    assert_eq!(by_item("migration")["PricingUnit"], "Count");
    assert_eq!(by_item("migration")["ChargeFrequency"], "One-Time");
}

#[test]
fn in_a_rehearsal_the_period_stands_for_the_month() {
    let mut statement = charged(
        "police",
        vec![line("vcpu", "Core·Month", "46.00", "2.0", "92.00")],
    );
    statement.period.rehearsal = true;
    statement.period.end = statement.period.start.plus(90);
    let rows = records(&[sealed(statement)]);
    // 2 cores x 90 s
    assert_eq!(rows[0]["ConsumedQuantity"], "0.05");
    assert_eq!(rows[0]["x_Rehearsal"], "true");
}

#[test]
fn no_charge_key_occurs_twice_and_a_statement_given_twice_is_refused() {
    let rows = records(&[
        gov_office(),
        charged("police", vec![line("a", "Count", "1.00", "1.0", "1.00")]),
    ]);
    let keys: BTreeSet<&String> = rows.iter().map(|row| &row["x_ChargeKey"]).collect();
    assert_eq!(keys.len(), rows.len());
    assert!(matches!(
        refusal(gov_office()),
        FocusError::Duplicate { .. }
    ));
}

#[test]
fn names_and_identifiers_are_never_all_digits() {
    let digits = Line {
        provider: "1001".to_owned(),
        tenancy: "7".to_owned(),
        id: "7.2/2048/1".to_owned(),
        ..line("2048", "Count·Month", "1.00", "1.0", "1.00")
    };
    let mut statement = charged("330600", vec![digits]);
    statement.payee = "1001".to_owned();
    let mut numbered = names();
    numbered.billing_account = "42".to_owned();
    numbered.billing_account_name = "42".to_owned();
    numbered.region = Some(FocusRegion {
        id: "3306".to_owned(),
        name: "3306".to_owned(),
    });
    let mut out = Vec::new();
    write_focus(&[sealed(statement)], &numbered, &mut out).unwrap();
    let mut reader = csv::Reader::from_reader(out.as_slice());
    let header = reader.headers().unwrap().clone();
    let record = reader.records().next().unwrap().unwrap();
    for (name, value) in header
        .iter()
        .zip(record.iter())
        .filter(|(name, _)| !name.starts_with("x_"))
    {
        let textual = ["Id", "Name", "Meter"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(
            !textual || value.chars().any(char::is_alphabetic),
            "{name} is {value:?}"
        );
    }
    let place = header.iter().position(|name| name == "ResourceId").unwrap();
    assert_eq!(&record[place], "leasehold:tenancy/330600/7.2");
}

#[test]
fn numbers_always_show_a_decimal_point() {
    for row in records(&[gov_office()]) {
        for (name, value) in &row {
            let number = ["Cost", "Price", "Quantity"]
                .iter()
                .any(|end| name.ends_with(end));
            assert!(
                !number || value.is_empty() || value.contains('.'),
                "{name} is {value:?}"
            );
        }
    }
}

#[test]
fn price_times_quantity_is_the_exact_cost_even_for_a_dear_item_leased_for_a_second() {
    let dear = Line {
        gross_exact: "0.333333333333333".to_owned(),
        ..line(
            "mainframe",
            "Count·Month",
            "1000000.00",
            "0.000000333333",
            "0.33",
        )
    };
    for row in records(&[gov_office(), charged("police", vec![dear])]) {
        if row["ChargeCategory"] != "Usage" {
            continue;
        }
        let one = scaled("1.0");
        let product = scaled(&row["ContractedUnitPrice"]) * scaled(&row["PricingQuantity"]) / &one;
        let cost = scaled(&row["ContractedCost"]);
        let off = if product > cost {
            &product - &cost
        } else {
            &cost - &product
        };
        assert!(
            off * BigInt::from(1_000_000_000) <= cost.max(one),
            "{row:?}"
        );
    }
}

#[test]
fn a_line_whose_exact_charge_is_not_price_times_quantity_is_refused() {
    let wrong = Line {
        gross_exact: "92.01".to_owned(),
        ..line("vcpu", "Core·Month", "46.00", "2.0", "92.01")
    };
    assert!(matches!(
        refusal(charged("police", vec![wrong])),
        FocusError::Product { .. }
    ));
    let free = Line {
        gross_exact: "5.00".to_owned(),
        ..line("free", "Count", "0.00", "1.0", "5.00")
    };
    assert!(matches!(
        refusal(charged("police", vec![free])),
        FocusError::Product { .. }
    ));
}

#[test]
fn what_is_not_final_whole_and_unaltered_is_refused_and_nothing_is_written() {
    let police = || charged("police", vec![line("a", "Count", "1.00", "1.0", "1.00")]);
    let draft = Statement {
        state: State::Draft,
        ..police()
    };
    assert!(matches!(refusal(draft), FocusError::Draft { .. }));
    let cut = Statement {
        more_lines: 3,
        ..police()
    };
    assert!(matches!(
        refusal(cut),
        FocusError::Incomplete { lines: 3, .. }
    ));
    let mut timeless = police();
    timeless.period.end = timeless.period.start;
    assert!(matches!(refusal(timeless), FocusError::Period { .. }));
    let mut unbalanced = police();
    unbalanced.totals.net = money("0.99");
    assert!(matches!(
        refusal(sealed(unbalanced)),
        FocusError::Statement(_)
    ));
    let mut altered = police();
    altered.lines[0].contract = "another".to_owned();
    assert!(matches!(refusal(altered), FocusError::Digest { .. }));
    let adjusted = Statement {
        totals: Totals {
            adjustments: money("-1.00"),
            net: Money::ZERO,
            ..police().totals
        },
        ..police()
    };
    assert!(matches!(
        refusal(sealed(adjusted)),
        FocusError::Adjustments { .. }
    ));
    let unit = charged(
        "police",
        vec![line("a", "Furlong·Month", "1.00", "1.0", "1.00")],
    );
    assert!(matches!(refusal(unit), FocusError::Unit { .. }));
}

#[test]
fn chinese_is_refused_in_the_columns_of_focus_and_kept_in_ours() {
    let mut chinese = names();
    chinese
        .providers
        .insert("hs-bigdata".to_owned(), "市大数据公司".to_owned());
    let error = write_focus(&[gov_office()], &chinese, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(
            error,
            FocusError::NotAscii {
                column: "InvoiceIssuerName",
                ..
            }
        ),
        "{error}"
    );
    let (text, _) = text(&[gov_office()]);
    assert!(text.contains("SSD 云硬盘"));
}

#[test]
fn the_order_of_the_statements_does_not_show_and_lines_end_with_lf() {
    let police = charged("police", vec![line("a", "Count", "1.00", "1.0", "1.00")]);
    let mut august = police.clone();
    august.number = "HS-2026-08-police".to_owned();
    august.period.start = august.period.start.plus(-31 * 86_400);
    august.period.end = police.period.start;
    let all = [police, gov_office(), sealed(august)];
    let mut reversed = all.clone();
    reversed.reverse();
    let (there, _) = text(&all);
    assert_eq!(there, text(&reversed).0);
    assert!(!there.contains('\r'));
    assert!(!there.starts_with('\u{feff}'));
    assert_eq!(records(&all)[0]["InvoiceId"], "HS-2026-08-police");
}

#[test]
fn a_statement_without_charges_gives_no_row() {
    let (text, summary) = text(&[empty("archives", "市档案馆")]);
    assert_eq!(text.lines().count(), 1);
    assert_eq!(summary, FocusSummary::default());
}

#[test]
fn a_row_carries_the_digests_that_prove_it() {
    let statement = gov_office();
    let rows = records(std::slice::from_ref(&statement));
    assert_eq!(
        rows[0]["x_StatementDigest"],
        statement.digest().unwrap().to_string()
    );
    let rate: Digest = rows[0]["x_RateDigests"].parse().unwrap();
    assert_eq!(vec![rate], statement.lines[0].rates);
}
