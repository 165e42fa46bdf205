//! Sheets in a terminal.

use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::sheet::{Align, Column, Sheet};

/// Writes a sheet as a table with its sums and notes.
///
/// `width` is that of the terminal in columns; cells wrap to fit in it. Without one, as in a file,
/// nothing wraps. Control characters never reach the terminal: what departments write is not
/// allowed to move its cursor or to rename its window.
pub fn write(sheet: &Sheet, width: Option<u16>, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table.set_header(sheet.columns.iter().map(heading));
    for row in sheet.rows.iter().chain(&sheet.total) {
        table.add_row(
            sheet
                .columns
                .iter()
                .zip(row)
                .map(|(column, text)| cell(*column, text)),
        );
    }
    writeln!(out, "{}", table.trim_fmt())?;
    for note in &sheet.notes {
        writeln!(out, "{}", printable(note))?;
    }
    Ok(())
}

fn heading(column: &Column) -> Cell {
    Cell::new(format!("{}\n{}", column.title, column.key)).set_alignment(alignment(column.align))
}

fn cell(column: Column, text: &str) -> Cell {
    Cell::new(printable(text)).set_alignment(alignment(column.align))
}

const fn alignment(align: Align) -> CellAlignment {
    match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    }
}

/// The text with a replacement for every character that commands a terminal or reorders what it
/// shows.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if commands(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

fn commands(c: char) -> bool {
    // marks and isolates of bidirectional text
    let reorders = matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || reorders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{charged, gov_office, line, sealed};
    use crate::sheet;

    fn shown(sheet: &Sheet, width: Option<u16>) -> String {
        let mut out = Vec::new();
        write(sheet, width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_statement_is_shown_with_its_lines_sums_and_credits() {
        let text = shown(&sheet::lines(&gov_office()), None);
        for part in [
            "明细",
            "itemName",
            "42.666666666667",
            "合计 total",
            "2242.14",
            "cap 50 %",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let row = text
            .lines()
            .find(|row| row.contains("oa/memory/1"))
            .unwrap();
        assert!(row.contains("内存") && row.contains(" 1088.00 "), "{row}");
        assert!(
            text.lines().all(|row| row.trim_end() == row),
            "white space at the end"
        );
    }

    #[test]
    fn a_table_fits_in_the_width_of_the_terminal() {
        // the two characters of a title take four columns, so characters are an upper bound
        let text = shown(&sheet::statements(&[gov_office()]), Some(120));
        for row in text.lines() {
            assert!(row.chars().count() <= 120, "{row}");
        }
    }

    #[test]
    fn what_departments_write_cannot_command_the_terminal() {
        let mut statement = charged("police", vec![line("a", "Count", "1.00", "1.0", "1.00")]);
        statement.lines[0].display_name = "\u{1b}]0;owned\u{7}\u{9b}2Jx\r\u{202e}".to_owned();
        statement.credits = gov_office().credits;
        statement.credits[0].why = "a\u{1b}[2J".to_owned();
        let text = shown(&sheet::lines(&sealed(statement)), None);
        assert!(text.contains("]0;owned"), "{text:?}");
        assert!(
            !text.chars().any(|c| c != '\n' && c.is_control()),
            "{text:?}"
        );
        assert!(!text.contains('\u{202e}'));
    }
}
