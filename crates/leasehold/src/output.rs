//! Printing: tables, JSON, CSV. Pages are `leasehold statement`'s alone.

use std::{
    env, fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use leasehold_export::{
    csv_rows::{self, ByteOrderMark},
    sheet::{Align, Column, Sheet},
    table,
};
use serde::Serialize;

use crate::cli::Format;

/// Prints a document: its sheet for people and spreadsheets, itself for programs.
pub fn show<T: Serialize + ?Sized>(
    document: &T,
    sheet: &Sheet,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    match format {
        Format::Table => table::write(sheet, terminal_width(), out)?,
        Format::Csv => csv_rows::write(sheet, ByteOrderMark::With, out)?,
        Format::Json => json(document, out)?,
        Format::Html => return refuse_page(format),
        Format::Chart => return refuse_chart(format),
    }
    Ok(())
}

/// Refuses a chart, for the commands that have none. They do it before they change anything.
pub fn refuse_chart(format: Format) -> Result<()> {
    match format {
        Format::Table | Format::Json | Format::Csv | Format::Html => Ok(()),
        Format::Chart => bail!(
            "failed to draw a chart: only `leasehold usage --db FILE` has one; use -o table, -o csv or -o json"
        ),
    }
}

/// Refuses a page, for the commands that have none. They do it before they change anything.
pub fn refuse_page(format: Format) -> Result<()> {
    match format {
        Format::Table | Format::Json | Format::Csv | Format::Chart => Ok(()),
        Format::Html => bail!(
            "failed to print a page: only `leasehold statement` has one; use -o table, -o csv or -o json"
        ),
    }
}

/// Refuses to print a result where the document itself goes to standard output: a program could not tell them apart.
pub fn refuse_mixture(format: Format, file: Option<&Path>) -> Result<()> {
    match (format, file) {
        (Format::Table, _) | (_, Some(_)) => Ok(()),
        (Format::Json | Format::Csv | Format::Html | Format::Chart, None) => bail!(
            "failed to print the result of writing: without -f the file itself goes to standard output; name a file \
             with -f, or leave -o out"
        ),
    }
}

/// Says what a command did: a sentence for people, a document for programs, a row or more for spreadsheets.
pub fn tell<T: Serialize + ?Sized>(
    sentence: &str,
    document: &T,
    sheet: &Sheet,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    if format == Format::Table {
        writeln!(out, "{sentence}")?;
        return Ok(());
    }
    show(document, sheet, format, out)
}

/// A sheet without sums and notes.
pub const fn plain(columns: Vec<Column>, rows: Vec<Vec<String>>) -> Sheet {
    Sheet {
        columns,
        rows,
        total: None,
        notes: Vec::new(),
    }
}

/// Prints a document for programs.
pub fn json<T: Serialize + ?Sized>(document: &T, out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, document).context("failed to print JSON")?;
    writeln!(out)?;
    Ok(())
}

/// Writes to the file as a whole, so that a failure leaves no half of it; without a file to `out`.
pub fn write_whole(bytes: &[u8], file: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let Some(file) = file else {
        out.write_all(bytes)?;
        return Ok(());
    };
    let part = part_of(file);
    fs::write(&part, bytes).with_context(|| format!("failed to write {}", part.display()))?;
    complete(&part, file)
}

/// The name under which a file is written until it is complete.
pub fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Gives a complete file its name.
pub fn complete(part: &Path, file: &Path) -> Result<()> {
    fs::rename(part, file).with_context(|| {
        format!(
            "failed to give {} its name {}",
            part.display(),
            file.display()
        )
    })
}

/// Says something to a person, beside what is printed.
pub fn remark(text: &str) {
    // standard error may be closed; what is printed does not depend on it
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A column of text.
pub const fn text(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        align: Align::Left,
    }
}

/// A column of numbers.
pub const fn number(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        align: Align::Right,
    }
}

/// The width that the shell tells, if the table goes to a terminal.
fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    env::var("COLUMNS")
        .ok()?
        .parse()
        .ok()
        .filter(|width| *width >= 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet {
            columns: vec![text("item", "目录项"), number("gross", "应收")],
            rows: vec![vec!["vcpu-x86".to_owned(), "46.00".to_owned()]],
            total: None,
            notes: vec!["a note".to_owned()],
        }
    }

    fn shown(format: Format) -> Result<String> {
        let mut out = Vec::new();
        show(&["document"], &sheet(), format, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn a_document_is_a_table_for_people_and_itself_for_programs() {
        let table = shown(Format::Table).unwrap();
        assert!(
            table.contains("vcpu-x86") && table.contains("a note"),
            "{table}"
        );
        assert_eq!(shown(Format::Json).unwrap(), "[\n  \"document\"\n]\n");
        let csv = shown(Format::Csv).unwrap();
        assert_eq!(csv, "\u{feff}目录项 item,应收 gross\nvcpu-x86,46.00\n");
    }

    #[test]
    fn a_page_is_refused_with_what_to_do() {
        let error = shown(Format::Html).unwrap_err().to_string();
        assert!(
            error.contains("leasehold statement") && error.contains("-o csv"),
            "{error}"
        );
    }

    #[test]
    fn a_chart_is_refused_where_there_is_none() {
        let error = shown(Format::Chart).unwrap_err().to_string();
        assert!(error.contains("leasehold usage --db FILE"), "{error}");
        assert!(refuse_chart(Format::Html).is_ok() && refuse_page(Format::Chart).is_ok());
    }

    #[test]
    fn what_was_done_is_a_sentence_for_people_and_nothing_but_data_for_programs() {
        let told = |format| {
            let mut out = Vec::new();
            tell("oa: done", &["document"], &sheet(), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(Format::Table), "oa: done\n");
        assert_eq!(told(Format::Json), "[\n  \"document\"\n]\n");
        assert_eq!(
            told(Format::Csv),
            "\u{feff}目录项 item,应收 gross\nvcpu-x86,46.00\n"
        );
    }

    #[test]
    fn a_result_and_a_file_do_not_share_standard_output() {
        let file = Path::new("focus.csv");
        assert!(refuse_mixture(Format::Table, None).is_ok());
        assert!(refuse_mixture(Format::Json, Some(file)).is_ok());
        for format in [Format::Json, Format::Csv] {
            let error = refuse_mixture(format, None).unwrap_err().to_string();
            assert!(error.contains("with -f"), "{error}");
        }
    }

    #[test]
    fn a_file_is_written_under_its_name_and_leaves_no_part() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("focus.csv");
        let mut out = Vec::new();
        write_whole(b"a,b\n", Some(&file), &mut out).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"a,b\n");
        assert!(out.is_empty() && !part_of(&file).exists());
        write_whole(b"a,b\n", None, &mut out).unwrap();
        assert_eq!(out, b"a,b\n");
    }
}
