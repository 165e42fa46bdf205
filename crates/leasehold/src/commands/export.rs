//! `leasehold export`.

use std::{collections::BTreeMap, io::Write, path::Path};

use anyhow::{Result, bail};
use leasehold_api::charging::{BillingPeriod, PeriodPhase};
use leasehold_export::{
    focus::{FocusNames, FocusRegion, FocusSummary, write_focus},
    sheet::Sheet,
};
use leasehold_ledger::{money::Money, statement::Statement};
use serde::Serialize;

use crate::{
    Outcome,
    cli::FocusArgs,
    output,
    session::Session,
    source::{self, Wanted},
};

/// Writes the FOCUS file of a closed period.
pub fn focus(arguments: &FocusArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let format = session.common.output;
    output::refuse_mixture(format, arguments.file.as_deref())?;
    let wanted = Wanted {
        period: Some(&arguments.period),
        department: arguments.department.as_deref(),
    };
    let found = source::statements(session, arguments.ledger.db.as_ref(), wanted)?;
    refuse_shortened(&found)?;
    let all_departments = arguments.department.is_none() && session.common.namespace.is_none();
    if arguments.ledger.db.is_none() && all_departments {
        check_all_are_there(session, &arguments.period, found.len())?;
    }
    let mut bytes = Vec::new();
    let summary = write_focus(&found, &names(arguments), &mut bytes)?;
    output::write_whole(&bytes, arguments.file.as_deref(), out)?;
    if let Some(file) = &arguments.file {
        let sentence = format!("{}: {}", file.display(), told(&summary, found.len())?);
        let exported = Exported::new(file, &summary, found.len());
        output::tell(&sentence, &exported, &exported.sheet(), format, out)?;
    }
    Ok(Outcome::Done)
}

/// An object that does not carry all lines cannot give all rows.
fn refuse_shortened(found: &[Statement]) -> Result<()> {
    match found.iter().find(|statement| statement.more_lines > 0) {
        None => Ok(()),
        Some(statement) => bail!(
            "failed to export statement {}: its object carries all but {} lines; read the ledger with --db FILE",
            statement.number,
            statement.more_lines
        ),
    }
}

/// A file for the whole cloud must not leave out a department that the caller cannot see.
fn check_all_are_there(session: &Session, period: &str, found: usize) -> Result<()> {
    let kit = session.kit()?;
    let status = match session.wait(kit.get::<BillingPeriod>(None, period)) {
        Ok(object) => object.and_then(|object| object.status),
        // a department may not look at periods; it gets its own statements
        Err(error) if error.is_forbidden() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let Some(status) = status else {
        bail!("failed to find billing period {period}; `kubectl get billingperiods` lists them");
    };
    if status.phase != PeriodPhase::Closed {
        bail!(
            "failed to export period {period}: it is not closed; finance closes it with spec.close of the BillingPeriod"
        );
    }
    match status
        .statements
        .and_then(|expected| usize::try_from(expected).ok())
    {
        Some(expected) if expected != found => bail!(
            "failed to export period {period}: it has {expected} statements, you may read {found}; name your namespace \
             with -n, or read the ledger with --db FILE"
        ),
        _ => Ok(()),
    }
}

fn names(arguments: &FocusArgs) -> FocusNames {
    let account = &arguments.billing_account;
    FocusNames {
        billing_account: account.clone(),
        billing_account_name: arguments
            .billing_account_name
            .as_ref()
            .unwrap_or(account)
            .clone(),
        region: arguments
            .region
            .clone()
            .map(|(id, name)| FocusRegion { id, name }),
        providers: arguments
            .provider
            .iter()
            .cloned()
            .collect::<BTreeMap<_, _>>(),
    }
}

fn told(summary: &FocusSummary, statements: usize) -> Result<String> {
    let billed = Money::sum(summary.billed.values().copied())?;
    Ok(format!(
        "{} rows of {statements} statements, billed {billed}",
        summary.rows
    ))
}

/// Which file was written, and what adds up in it.
#[derive(Serialize)]
struct Exported {
    file: String,
    rows: u64,
    statements: usize,
    /// What is billed, by number of the invoice.
    billed: BTreeMap<String, String>,
}

impl Exported {
    fn new(file: &Path, summary: &FocusSummary, statements: usize) -> Self {
        let billed = summary.billed.iter();
        Self {
            file: file.display().to_string(),
            rows: summary.rows,
            statements,
            billed: billed
                .map(|(invoice, amount)| (invoice.clone(), amount.to_string()))
                .collect(),
        }
    }

    /// A row for each invoice.
    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("file", "文件"),
            output::number("rows", "行数"),
            output::number("statements", "账单数"),
            output::text("invoice", "账单编号"),
            output::number("billed", "应付"),
        ];
        let row = |(invoice, billed): (&String, &String)| {
            vec![
                self.file.clone(),
                self.rows.to_string(),
                self.statements.to_string(),
                invoice.clone(),
                billed.clone(),
            ]
        };
        output::plain(columns, self.billed.iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;
    use crate::source::tests::statement;

    #[test]
    fn a_statement_without_all_its_lines_is_sent_to_the_ledger() {
        let mut shortened = statement("2026-09", "gov-office");
        assert!(refuse_shortened(&[shortened.clone()]).is_ok());
        shortened.more_lines = 7;
        let error = refuse_shortened(&[shortened]).unwrap_err().to_string();
        assert!(
            error.contains("all but 7 lines") && error.contains("--db"),
            "{error}"
        );
    }

    #[test]
    fn the_file_of_the_ledger_and_of_the_cluster_are_the_same_bytes() {
        let of_ledger = statement("2026-09", "gov-office");
        let value = serde_json::to_value(&of_ledger).unwrap();
        let of_cluster = source::document(&serde_json::from_value(value).unwrap()).unwrap();
        let bytes = |statement: Statement| {
            let mut out = Vec::new();
            write_focus(&[statement], &FocusNames::default(), &mut out).unwrap();
            out
        };
        assert_eq!(bytes(of_ledger), bytes(of_cluster));
    }

    #[test]
    fn the_summary_adds_up_what_is_billed() {
        let money = |text| Money::parse(text).unwrap();
        let summary = FocusSummary {
            rows: 4,
            billed: BTreeMap::from([
                ("a".to_owned(), money("2242.14")),
                ("b".to_owned(), money("0.06")),
            ]),
        };
        assert_eq!(
            told(&summary, 3).unwrap(),
            "4 rows of 3 statements, billed 2242.20"
        );
    }

    #[test]
    fn programs_get_what_each_invoice_adds_up_to() {
        let money = |text| Money::parse(text).unwrap();
        let summary = FocusSummary {
            rows: 4,
            billed: BTreeMap::from([
                ("LH-2026-09-a".to_owned(), money("2242.14")),
                ("LH-2026-09-b".to_owned(), money("0.06")),
            ]),
        };
        let exported = Exported::new(Path::new("focus.csv"), &summary, 3);
        let told = |format| {
            let mut out = Vec::new();
            output::tell("said", &exported, &exported.sheet(), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let read: serde_json::Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = serde_json::json!({"file": "focus.csv", "rows": 4, "statements": 3,
            "billed": {"LH-2026-09-a": "2242.14", "LH-2026-09-b": "0.06"}});
        assert_eq!(read, expected);
        assert_eq!(
            told(Format::Csv),
            "\u{feff}文件 file,行数 rows,账单数 statements,账单编号 invoice,应付 billed\n\
             focus.csv,4,3,LH-2026-09-a,2242.14\nfocus.csv,4,3,LH-2026-09-b,0.06\n"
        );
    }
}
