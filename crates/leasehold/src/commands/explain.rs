//! `leasehold explain`.

use std::io::Write;

use anyhow::{Result, bail};
use leasehold_export::sheet;
use leasehold_ledger::{explain::explain, statement::Statement};

use crate::{
    Outcome,
    cli::ExplainArgs,
    output,
    session::Session,
    source::{self, Wanted},
};

/// Explains a line of a statement, and does its arithmetic again.
pub fn run(arguments: &ExplainArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let wanted = Wanted {
        period: Some(&arguments.period),
        department: arguments.department.as_deref(),
    };
    let found = source::statements(session, arguments.ledger.db.as_ref(), wanted)?;
    let statement = with_line(&found, &arguments.line)?;
    let explanation = explain(&arguments.line, statement)?;
    let sheet = sheet::explanation(&explanation);
    output::show(&explanation, &sheet, session.common.output, out)?;
    if explanation.holds {
        return Ok(Outcome::Done);
    }
    out.flush()?;
    output::remark(
        "the arithmetic, done again, does not give the amounts of this statement; verify the ledger",
    );
    Ok(Outcome::Differs)
}

/// The statement that has the line. Identifiers of lines are unique in a statement only.
fn with_line<'a>(found: &'a [Statement], line: &str) -> Result<&'a Statement> {
    if let [only] = found {
        if only.more_lines > 0 && !has(only, line) {
            bail!(
                "failed to find line {line} in {}: its object carries all but {} lines; read the ledger with --db FILE",
                only.number,
                only.more_lines
            );
        }
        // if the line is not there, the explanation names those that are
        return Ok(only);
    }
    let with: Vec<&Statement> = found
        .iter()
        .filter(|statement| has(statement, line))
        .collect();
    match with.as_slice() {
        [one] => Ok(one),
        [] => bail!(
            "failed to find line {line} in any of {} statements; `leasehold statement` shows the lines",
            found.len()
        ),
        several => {
            let departments: Vec<&str> = several
                .iter()
                .map(|statement| statement.department.name.as_str())
                .collect();
            bail!(
                "failed to choose among the lines {line} of {}; name one with --department",
                departments.join(", ")
            )
        }
    }
}

fn has(statement: &Statement, line: &str) -> bool {
    statement.lines.iter().any(|known| known.id == line)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::{Basis, Category},
        money::{Money, Price},
        statement::Line,
    };

    use super::*;
    use crate::source::tests::statement;

    fn with(department: &str) -> Statement {
        let mut statement = statement("2026-09", department);
        statement.lines.push(Line {
            id: "oa/gpu/1".to_owned(),
            tenancy: "oa".to_owned(),
            system: "oa".to_owned(),
            contract: "C".to_owned(),
            budget: "B".to_owned(),
            provider: "hs-bigdata".to_owned(),
            item: "gpu".to_owned(),
            display_name: "GPU".to_owned(),
            category: Category::Compute,
            basis: Basis::OneOff,
            unit: "Count".to_owned(),
            unit_price: Price::parse("1.00").unwrap(),
            rates: Vec::new(),
            quantity: "1.0".to_owned(),
            estimated: false,
            gross_exact: "1.00".to_owned(),
            gross: Money::parse("1.00").unwrap(),
            offset: Money::ZERO,
            net: Money::parse("1.00").unwrap(),
            segments: Vec::new(),
            more_segments: 0,
        });
        statement
    }

    #[test]
    fn the_only_statement_with_the_line_is_found_among_several() {
        let found = [statement("2026-09", "police"), with("gov-office")];
        assert_eq!(
            with_line(&found, "oa/gpu/1").unwrap().department.name,
            "gov-office"
        );
        assert!(with_line(&found, "oa/gpu/2").is_err());
    }

    #[test]
    fn lines_of_one_name_in_two_departments_must_be_told_apart() {
        let found = [with("police"), with("gov-office")];
        let error = with_line(&found, "oa/gpu/1").unwrap_err().to_string();
        assert!(
            error.contains("police, gov-office") && error.contains("--department"),
            "{error}"
        );
    }

    #[test]
    fn a_line_that_the_object_left_out_is_in_the_ledger() {
        let mut shortened = with("gov-office");
        shortened.more_lines = 3;
        let error = with_line(&[shortened.clone()], "oa/gpu/9")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("all but 3 lines") && error.contains("--db"),
            "{error}"
        );
        assert!(with_line(&[shortened], "oa/gpu/1").is_ok());
    }
}
