//! `leasehold evidence`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};
use leasehold_controllers::period::statements::chain_after;
use leasehold_export::{
    evidence::{EvidenceHeader, EvidenceTrailer, write_evidence},
    sheet::Sheet,
};
use leasehold_ledger::{document::PeriodCloseDoc, statement::Chain};
use leasehold_store::Store;
use serde::Serialize;

use crate::{
    Outcome,
    cli::EvidenceArgs,
    ledger::{self, archives},
    output,
    session::Session,
};

/// Writes the rows of the ledger up to the close of a period.
pub fn run(arguments: &EvidenceArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let format = session.common.output;
    output::refuse_mixture(format, arguments.file.as_deref())?;
    let store = ledger::open(session, &arguments.db)?;
    let newest = ledger::newest_archive(session, &store);
    let folder = arguments.archives.archive.as_deref();
    let archives = archives::checked(session, &store, folder)?;
    let holes = session.wait(store.holes())?;
    let (header, last) = session.wait(header(&store, &arguments.period))?;
    let rows = ledger::whole(session, &store, &archives, &holes, last);
    let Some(file) = &arguments.file else {
        write_evidence(rows, &header, out)?;
        ledger::refuse_moved(session, &store, newest)?;
        return Ok(Outcome::Done);
    };
    let part = output::part_of(file);
    let opened =
        File::create(&part).with_context(|| format!("failed to write {}", part.display()))?;
    let mut to = BufWriter::new(opened);
    let trailer = write_evidence(rows, &header, &mut to)?;
    to.flush()?;
    ledger::refuse_moved(session, &store, newest)?;
    output::complete(&part, file)?;
    let written = Written::new(file, &header, &trailer);
    output::tell(&written.sentence(), &written, &written.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// Which file was written, and what it must be for whoever receives it.
#[derive(Serialize)]
struct Written {
    file: String,
    rows: u64,
    head: String,
    content: String,
}

impl Written {
    fn new(file: &Path, header: &EvidenceHeader, trailer: &EvidenceTrailer) -> Self {
        Self {
            file: file.display().to_string(),
            rows: trailer.rows,
            head: header.head.to_string(),
            content: trailer.sha256.to_string(),
        }
    }

    fn sentence(&self) -> String {
        let Self {
            file,
            rows,
            head,
            content,
        } = self;
        format!("{file}: {rows} rows, head {head}, content {content}")
    }

    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("file", "文件"),
            output::number("rows", "行数"),
            output::text("head", "链头"),
            output::text("content", "内容摘要"),
        ];
        let row = vec![
            self.file.clone(),
            self.rows.to_string(),
            self.head.clone(),
            self.content.clone(),
        ];
        output::plain(columns, vec![row])
    }
}

/// The header of a period's file, and the last row that belongs to its close, whose hash the statements show. The same
/// period gives the same bytes, however far the ledger has grown since.
async fn header(store: &Store, period: &str) -> Result<(EvidenceHeader, u64)> {
    let closed = store.document::<PeriodCloseDoc>(period).await?.with_context(|| {
        format!("failed to find the close of period {period}; evidence is of closed periods, see `leasehold statement`")
    })?;
    let Chain { head, entry } = chain_after(store, &closed).await?;
    let program = concat!("leasehold ", env!("CARGO_PKG_VERSION"));
    Ok((
        EvidenceHeader::new(period, closed.seq, head, program),
        entry,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_ledger::{
        canonical::digest_bytes, document::DepartmentDoc, statement::Totals, time::Second,
    };
    use leasehold_store::{Batch, Record};

    use super::*;
    use crate::{
        cli::{Common, Format},
        source::tests::statement,
    };

    fn department(code: &str) -> Record {
        let document = DepartmentDoc {
            code: code.to_owned(),
            display_name: "市政府办".to_owned(),
            budget_unit: None,
            parent: None,
            at: Second::new(0),
        };
        Record::document(&document).unwrap()
    }

    #[test]
    fn the_digests_of_a_file_are_told_to_people_and_programs_alike() {
        let (head, content) = (digest_bytes(b"head"), digest_bytes(b"content"));
        let header = EvidenceHeader::new("2026-09", 2, head.clone(), "test");
        let trailer = EvidenceTrailer {
            rows: 3,
            sha256: content.clone(),
        };
        let written = Written::new(Path::new("evidence.jsonl"), &header, &trailer);
        let told = |format| {
            let mut out = Vec::new();
            output::tell(
                &written.sentence(),
                &written,
                &written.sheet(),
                format,
                &mut out,
            )
            .unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            told(Format::Table),
            format!("evidence.jsonl: 3 rows, head {head}, content {content}\n")
        );
        let read: serde_json::Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = serde_json::json!({"file": "evidence.jsonl", "rows": 3,
            "head": head.as_str(), "content": content.as_str()});
        assert_eq!(read, expected);
        assert_eq!(
            told(Format::Csv),
            format!(
                "\u{feff}文件 file,行数 rows,链头 head,内容摘要 content\nevidence.jsonl,3,{head},{content}\n"
            )
        );
    }

    #[test]
    fn the_file_ends_with_the_last_row_of_the_close_however_far_the_ledger_goes_on() {
        let session = Session::new(Common::default()).unwrap();
        let store = session.wait(Store::in_memory()).unwrap();
        let close = PeriodCloseDoc {
            name: "2026-09".to_owned(),
            fact_seq: 1,
            closed_by: "sun@finance".to_owned(),
            totals: Totals::default(),
            statements: BTreeMap::from([("gov-office".to_owned(), digest_bytes(b"statement"))]),
            gaps: None,
            chain: digest_bytes(b"head"),
            at: Second::new(0),
        };
        let batch = |records| {
            session
                .wait(store.commit(&Batch::of(records), Second::new(1)))
                .unwrap()
        };
        let committed = batch(vec![
            department("gov-office"),
            Record::document(&close).unwrap(),
            Record::document(&statement("2026-09", "gov-office")).unwrap(),
        ]);
        let (first, last) = session.wait(header(&store, "2026-09")).unwrap();
        assert_eq!((first.close_seq, last), (2, 3));
        assert_eq!(first.head, committed.head);

        batch(vec![department("police")]);
        assert_eq!(session.wait(header(&store, "2026-09")).unwrap(), (first, 3));
        let error = session
            .wait(header(&store, "2026-10"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("2026-10"), "{error}");
    }
}
