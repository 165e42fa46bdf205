//! `leasehold verify`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    iter,
    path::Path,
};

use anyhow::{Context, Result, bail};
use leasehold_export::{
    evidence::read_evidence,
    sheet::{self, Sheet},
};
use leasehold_ledger::{
    archive::Hole,
    canonical::Digest,
    verify::{Finding, Pieces, Report, Row, verify, verify_pieces},
};
use leasehold_store::{Store, StoreError, first_look};

use crate::{
    Outcome,
    cli::{At, Format, VerifyArgs},
    ledger::{
        self, Rows,
        archives::{self, Archive, ArchiveRows},
    },
    output,
    session::Session,
};

/// What is said when nobody said which head to look for. A ledger that was written anew as a whole
/// is consistent in itself; only a head that somebody else kept tells it from the true one.
const UNWITNESSED: &str = "the head was not compared with a witness: this does not show that nothing was taken away or \
written anew; repeat with --head and the sha256:… that a statement or a BillingPeriod prints as its chain's head";

/// Verifies a ledger or an evidence file.
pub fn run(arguments: &VerifyArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let head = arguments.head.as_ref();
    let report = match (&arguments.file, &arguments.db) {
        (Some(file), _) => of_path(file, head)?,
        (None, Some(db)) => {
            let folder = arguments.archives.archive.as_deref();
            of_ledger(session, db, folder, head)?
        }
        (None, None) => {
            bail!("failed to verify nothing; name an evidence file or a ledger with --db")
        }
    };
    let format = session.common.output;
    if head.is_none() && format != Format::Table {
        // only a table has room for a remark
        output::remark(UNWITNESSED);
    }
    output::show(&report, &sheet_of(&report, head), format, out)?;
    Ok(if report.finding.is_none() {
        Outcome::Done
    } else {
        Outcome::Differs
    })
}

/// The report for people, with what it does not show.
fn sheet_of(report: &Report, head: Option<&Digest>) -> Sheet {
    let mut sheet = sheet::report(report);
    if head.is_none() {
        sheet.notes.push(UNWITNESSED.to_owned());
    }
    sheet
}

/// Verifies a ledger: what its database says of itself, its rows and those of its archives, and what lies beside them.
fn of_ledger(
    session: &Session,
    db: &At,
    folder: Option<&Path>,
    head: Option<&Digest>,
) -> Result<Report> {
    let store = ledger::open(session, db).or_else(|error| unopened(error, db))?;
    let whole = |report: &Report| report.finding.is_none();
    ledger::steadily(session, &store, whole, || {
        of_store(session, &store, folder, head)
    })
}

/// The same as it is found beside whoever may archive meanwhile.
fn of_store(
    session: &Session,
    store: &Store,
    folder: Option<&Path>,
    head: Option<&Digest>,
) -> Result<Report> {
    let pages = finding(session.wait(Box::pin(store.check_file())), "the database")?;
    let mut report = match session.wait(Box::pin(extent(store))) {
        Ok((holes, last)) => {
            let archives = archives::open(session, store, folder)?;
            let live = Rows::new(session, store, last);
            let archived = ArchiveRows::new(session, &archives, last);
            let mut report = verify_pieces(Pieces::new(live, archived, &holes), &holes, head);
            // a row that differs is named above; that rows are missing from a file is seen by its digest alone
            for archive in &archives {
                if report.finding.is_none() {
                    report.finding = damage(session, store, archive)?;
                }
            }
            report
        }
        Err(error) => verify(iter::once(Err::<Row, _>(error)), head),
    };
    let beside = match (&report.finding, &pages) {
        (Some(_), _) => None,
        (None, None) => finding(
            session.wait(Box::pin(store.check_beside())),
            "what lies beside the rows",
        )?,
        // no chain names a row of these, and SQLite itself may not either
        (None, Some(_)) => finding(
            session.wait(Box::pin(store.check_cursors())),
            "where watches continue",
        )?,
    };
    report.finding = both(report.finding.take().or(beside), pages);
    Ok(report)
}

/// The rows that lie in archives, and the last row.
async fn extent(store: &Store) -> Result<(Vec<Hole>, u64), StoreError> {
    let holes = store.holes().await?;
    let (last, _) = store.head().await?;
    Ok((holes, last))
}

/// A ledger that cannot be opened, with the page of its file that is to blame if it is one.
fn unopened(error: anyhow::Error, db: &At) -> Result<Store> {
    let damaged = matches!(
        error.downcast_ref::<StoreError>(),
        Some(StoreError::NotALedger { .. } | StoreError::Database { .. })
    );
    let place = db.place()?;
    match place.file().filter(|_| damaged).and_then(first_look) {
        Some(blamed) => Err(error.context(format!(
            "failed to verify {place}: if it is a ledger, {blamed}; restore a backup whose head matches a published one"
        ))),
        None => Err(error),
    }
}

/// What a check of the database found. That it could not be carried out is no finding.
fn finding(checked: Result<(), StoreError>, what: &str) -> Result<Option<Finding>> {
    let (seq, found) = match checked {
        Ok(()) => return Ok(None),
        Err(StoreError::Corrupt { seq, what }) => (seq, what),
        Err(error @ (StoreError::Database { .. } | StoreError::Decode { .. })) => {
            (0, format!("{:#}", anyhow::Error::new(error)))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Finding {
        seq,
        what: what.to_owned(),
        expected: "as it was written".to_owned(),
        found,
    }))
}

/// What was found in a row, with what the database said of itself.
fn both(row: Option<Finding>, database: Option<Finding>) -> Option<Finding> {
    match (row, database) {
        (Some(row), Some(database)) => Some(Finding {
            found: format!("{}; {} says: {}", row.found, database.what, database.found),
            ..row
        }),
        (row, database) => row.or(database),
    }
}

/// What is wrong with the file of an archive, or with what the ledger remembers of its objects, if anything is.
fn damage(session: &Session, store: &Store, archive: &Archive) -> Result<Option<Finding>> {
    let document = &archive.document.value;
    let checking = async {
        archive.file.check(document).await?;
        store.check_objects(&archive.document, &archive.file).await
    };
    match session.wait(Box::pin(checking)) {
        Ok(()) => Ok(None),
        Err(error @ (StoreError::Archive { .. } | StoreError::Corrupt { .. })) => {
            Ok(Some(Finding {
                seq: archive.document.seq,
                what: format!("archive of {}", document.period),
                expected: document.digest.to_string(),
                found: error.to_string(),
            }))
        }
        Err(error) => Err(error.into()),
    }
}

fn of_path(file: &Path, head: Option<&Digest>) -> Result<Report> {
    let input = File::open(file)
        .with_context(|| format!("failed to open {}; check the path", file.display()))?;
    of_evidence(BufReader::new(input), head)
        .with_context(|| format!("failed to read {}", file.display()))
}

/// Verifies an evidence file: its rows, that they end where its header says, and that the period that it was made for
/// is closed in it.
fn of_evidence(input: impl BufRead, head: Option<&Digest>) -> Result<Report> {
    let reader = read_evidence(input)?;
    let header = reader.header().clone();
    let mut report = verify(reader, head);
    if report.finding.is_none() {
        report.finding = if report.head != header.head {
            Some(Finding {
                seq: report.rows,
                what: "head of the chain".to_owned(),
                expected: header.head.to_string(),
                found: report.head.to_string(),
            })
        } else if report
            .periods
            .iter()
            .any(|period| period.name == header.period)
        {
            None
        } else {
            Some(Finding {
                seq: header.close_seq,
                what: "the close that the file was made for".to_owned(),
                expected: format!("the close of {}", header.period),
                found: "none".to_owned(),
            })
        };
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_export::evidence::{EvidenceHeader, write_evidence};
    use leasehold_ledger::{
        canonical::{canonical_json, digest_bytes},
        document::{DepartmentDoc, row_key},
        journal::ChainRow,
        time::Second,
        verify::Row,
    };

    fn rows() -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for code in ["gov-office", "police"] {
            let document = DepartmentDoc {
                code: code.to_owned(),
                display_name: "市政府办".to_owned(),
                budget_unit: None,
                parent: None,
                at: Second::new(0),
            };
            let body = canonical_json(&document).unwrap();
            let before = rows.last().map(|row| (row.chain.seq, &row.chain.hash));
            let key = row_key(&document);
            let chain = ChainRow::after(before, "document", &key, digest_bytes(body.as_bytes()));
            rows.push(Row { chain, body });
        }
        rows
    }

    fn file(rows: &[Row], head: &Digest) -> Vec<u8> {
        let header = EvidenceHeader::new("2026-09", 2, head.clone(), "test");
        let mut out = Vec::new();
        let rows = rows.iter().cloned().map(Ok::<_, StoreError>);
        write_evidence(rows, &header, &mut out).unwrap();
        out
    }

    #[test]
    fn a_file_without_the_close_that_it_names_is_found_out() {
        let rows = rows();
        let report = of_evidence(file(&rows, &rows[1].chain.hash).as_slice(), None).unwrap();
        assert_eq!(report.rows, 2);
        let finding = report.finding.unwrap();
        assert_eq!(
            (finding.seq, finding.expected.as_str()),
            (2, "the close of 2026-09")
        );
    }

    #[test]
    fn a_file_whose_last_rows_were_cut_off_is_found_out() {
        let rows = rows();
        let report = of_evidence(file(&rows[..1], &rows[1].chain.hash).as_slice(), None).unwrap();
        assert_eq!(report.finding.unwrap().what, "head of the chain");
    }

    #[test]
    fn an_altered_row_is_named_although_the_file_is_whole() {
        let mut altered = rows();
        altered[1].body = altered[1].body.replace("police", "polite");
        let head = altered[1].chain.hash.clone();
        let report = of_evidence(file(&altered, &head).as_slice(), None).unwrap();
        assert_eq!(report.rows, 1);
        assert_eq!(report.finding.unwrap().seq, 2);
    }

    #[test]
    fn without_a_kept_head_the_report_says_so_and_how_to_compare_one() {
        let rows = rows();
        let report = verify(rows.iter().cloned().map(Ok::<_, StoreError>), None);
        let alone = sheet_of(&report, None).notes;
        let last = alone.last().unwrap();
        assert!(
            last.contains("not compared with a witness")
                && last.contains("--head")
                && last.contains("BillingPeriod"),
            "{last}"
        );
        let witnessed = sheet_of(&report, Some(&report.head)).notes;
        assert_eq!(witnessed[..], alone[..alone.len() - 1]);
    }

    #[test]
    fn what_the_database_says_of_itself_is_told_with_what_is_found_in_a_row_and_alone() {
        let corrupt = |seq| StoreError::Corrupt {
            seq,
            what: "Page 9: never used".to_owned(),
        };
        assert_eq!(finding(Ok(()), "the database").unwrap(), None);
        let pages = finding(Err(corrupt(0)), "the database").unwrap();
        let alone = both(None, pages.clone()).unwrap();
        assert_eq!((alone.seq, alone.found.as_str()), (0, "Page 9: never used"));
        let row = finding(Err(corrupt(4)), "a row").unwrap();
        let told = both(row, pages).unwrap();
        assert_eq!((told.seq, told.what.as_str()), (4, "a row"));
        assert!(
            told.found
                .ends_with("the database says: Page 9: never used")
        );
        // that nobody could look is no finding
        let unknown = finding(
            Err(StoreError::Deadline {
                operation: "check the database",
                milliseconds: 1,
            }),
            "the database",
        );
        assert!(unknown.is_err());
    }

    #[test]
    fn a_file_that_is_no_ledger_any_more_is_told_with_the_page_to_blame() {
        let session = Session::new(crate::cli::Common::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        std::fs::write(&path, [7; 4096]).unwrap();
        let db: At = path.to_str().unwrap().parse().unwrap();
        let refused = of_ledger(&session, &db, None, None).unwrap_err();
        assert!(refused.to_string().contains("page 1"), "{refused:#}");
    }

    #[test]
    fn a_head_that_was_kept_must_occur() {
        let rows = rows();
        let bytes = file(&rows, &rows[1].chain.hash);
        let kept = digest_bytes(b"another ledger");
        let report = of_evidence(bytes.as_slice(), Some(&kept)).unwrap();
        assert_eq!(report.finding.unwrap().expected, kept.to_string());
    }
}
