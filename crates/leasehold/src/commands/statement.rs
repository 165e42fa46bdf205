//! `leasehold statement`.

use std::io::Write;

use anyhow::{Result, bail};
use leasehold_export::{html, sheet};
use leasehold_ledger::statement::Statement;

use crate::{
    Outcome,
    cli::{Format, StatementArgs},
    output,
    session::Session,
    source::{self, Wanted},
};

/// Shows statements.
pub fn run(arguments: &StatementArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let wanted = Wanted {
        period: arguments.period.as_deref(),
        department: arguments.department.as_deref(),
    };
    let found = source::statements(session, arguments.ledger.db.as_ref(), wanted)?;
    print(&found, session.common.output, out)?;
    Ok(Outcome::Done)
}

/// One statement is shown with its lines, several with a row each.
fn print(found: &[Statement], format: Format, out: &mut dyn Write) -> Result<()> {
    match (format, found) {
        (Format::Html, [one]) => html::write_statement(one, out)?,
        (Format::Html, several) => bail!(
            "failed to print a page: {} statements are meant; name one with --period and --department",
            several.len()
        ),
        (Format::Csv, all) => output::show(all, &sheet::charges(all), format, out)?,
        (Format::Table, [one]) => {
            output::show(found, &sheet::statements(found), format, out)?;
            output::show(found, &sheet::lines(one), format, out)?;
        }
        (Format::Chart, _) => output::refuse_chart(format)?,
        (Format::Table | Format::Json, all) => {
            output::show(all, &sheet::statements(all), format, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::statement;

    fn printed(found: &[Statement], format: Format) -> Result<String> {
        let mut out = Vec::new();
        print(found, format, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn one_statement_has_a_page_and_several_have_none() {
        let one = [statement("2026-09", "gov-office")];
        let page = printed(&one, Format::Html).unwrap();
        assert!(
            page.contains("LH-2026-09-gov-office") && page.contains("市政府办"),
            "{page}"
        );
        let two = [
            statement("2026-09", "gov-office"),
            statement("2026-09", "police"),
        ];
        let error = printed(&two, Format::Html).unwrap_err().to_string();
        assert!(
            error.contains("2 statements") && error.contains("--department"),
            "{error}"
        );
    }

    #[test]
    fn programs_get_the_documents_themselves() {
        let one = [statement("2026-09", "gov-office")];
        let read: Vec<Statement> =
            serde_json::from_str(&printed(&one, Format::Json).unwrap()).unwrap();
        assert_eq!(read, one);
    }

    #[test]
    fn people_see_the_lines_of_one_statement_and_a_row_for_each_of_several() {
        let one = printed(&[statement("2026-09", "gov-office")], Format::Table).unwrap();
        assert!(one.contains("合计 total"), "{one}");
        let two = [
            statement("2026-09", "gov-office"),
            statement("2026-09", "police"),
        ];
        let several = printed(&two, Format::Table).unwrap();
        assert!(
            !several.contains("合计 total") && several.contains("LH-2026-09-police"),
            "{several}"
        );
    }
}
