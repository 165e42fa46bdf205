//! Sheets for spreadsheets: CSV in UTF-8 with LF.
//!
//! Each header cell is the column's name for people and, after a space, its name for programs.
//! Spreadsheets run what begins like a formula, so cells that do get an apostrophe in front; amounts
//! below zero stay as they are. Sums and notes are left out, because programs add up columns.

use std::borrow::Cow;
use std::io::Write;

use crate::sheet::Sheet;

/// The mark by which spreadsheets know UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether the file begins with a byte order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrderMark {
    /// For spreadsheets, which otherwise read Chinese as something else.
    With,
    /// For programs.
    Without,
}

/// Why the rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// A row could not be written.
    #[error("failed to write the rows")]
    Csv(#[from] csv::Error),
    /// The file could not be written.
    #[error("failed to write the file")]
    Io(#[from] std::io::Error),
}

/// Writes header and rows of a sheet.
pub fn write(sheet: &Sheet, mark: ByteOrderMark, out: &mut dyn Write) -> Result<(), CsvError> {
    match mark {
        ByteOrderMark::With => out.write_all(MARK)?,
        ByteOrderMark::Without => {}
    }
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(out);
    writer.write_record(
        sheet
            .columns
            .iter()
            .map(|c| format!("{} {}", c.title, c.key)),
    )?;
    for row in &sheet.rows {
        writer.write_record(row.iter().map(|cell| guarded(cell).into_owned()))?;
    }
    writer.flush()?;
    Ok(())
}

/// The cell as text, should a spreadsheet take it for a formula.
///
/// White space in front does not save a formula, and in East Asian settings neither do full-width
/// signs.
pub fn guarded(cell: &str) -> Cow<'_, str> {
    let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let control = ['\t', '\r', '\n'];
    let risky = cell.starts_with(control) || cell.trim_start().starts_with(formula);
    if risky && !is_negative_number(cell) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

/// Whether the cell is a minus and a plain decimal, nothing else.
fn is_negative_number(cell: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    cell.strip_prefix('-')
        .is_some_and(|number| match number.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(number),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gov_office;
    use crate::sheet;

    fn written(sheet: &Sheet, mark: ByteOrderMark) -> String {
        let mut out = Vec::new();
        write(sheet, mark, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_mark_is_there_when_it_is_asked_for_and_changes_nothing_else() {
        let sheet = sheet::charges(&[gov_office()]);
        let with = written(&sheet, ByteOrderMark::With);
        let without = written(&sheet, ByteOrderMark::Without);
        assert!(without.starts_with("账单编号 number,"));
        assert_eq!(with.strip_prefix('\u{feff}'), Some(without.as_str()));
    }

    #[test]
    fn rows_are_written_without_sums_and_with_lf() {
        let text = written(&sheet::lines(&gov_office()), ByteOrderMark::Without);
        assert_eq!(text.lines().count(), 4);
        assert_eq!(
            text.lines().nth(3),
            Some(
                "oa/vcpu-x86/1,x86 虚拟处理器,42.666666666667,Core·Month,46.00,1962.67,1962.67,0.00,no"
            )
        );
        assert!(!text.contains('\r'));
    }

    #[test]
    fn cells_that_begin_like_formulas_are_made_text() {
        for formula in [
            "=cmd|' /C calc'!A0",
            "+1",
            "-1+1",
            "-",
            "-.5",
            "-5.",
            "--1",
            "-1e3",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\nx",
            "  =1",
            "＝1",
            "－1",
        ] {
            assert_eq!(guarded(formula), format!("'{formula}"), "{formula:?}");
        }
    }

    #[test]
    fn amounts_below_zero_and_plain_text_stay_as_they_are() {
        for plain in [
            "-2242.13",
            "-0.01",
            "-7",
            "4484.27",
            "",
            "市政府办",
            "a=b",
            "x-y",
            "' =1",
        ] {
            assert_eq!(guarded(plain), plain);
        }
    }

    #[test]
    fn a_formula_in_a_name_reaches_the_file_guarded_and_quoted() {
        let mut statement = gov_office();
        statement.lines[0].display_name = "=HYPERLINK(\"http://example.test\",\"x\")".to_owned();
        let text = written(&sheet::charges(&[statement]), ByteOrderMark::Without);
        assert!(
            text.contains(r#","'=HYPERLINK(""http://example.test"",""x"")","#),
            "{text}"
        );
    }
}
