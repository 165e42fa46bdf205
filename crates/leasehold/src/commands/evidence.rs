//! `leasehold evidence`.

use std::{
    fs::File,
    io::{BufWriter, Write},
};

use anyhow::{Context, Result};
use leasehold_controllers::period::statements::chain_after;
use leasehold_export::evidence::{EvidenceHeader, EvidenceTrailer, write_evidence};
use leasehold_ledger::{document::PeriodCloseDoc, statement::Chain};
use leasehold_store::Store;

use crate::{
    Outcome,
    cli::EvidenceArgs,
    ledger::{self, Rows},
    output,
    session::Session,
};

/// Writes the rows of the ledger up to the close of a period.
pub fn run(arguments: &EvidenceArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let store = ledger::open(session, &arguments.db)?;
    let (header, last) = session.wait(header(&store, &arguments.period))?;
    let Some(file) = &arguments.file else {
        write_evidence(Rows::new(session, &store, last), &header, out)?;
        return Ok(Outcome::Done);
    };
    let part = output::part_of(file);
    let opened =
        File::create(&part).with_context(|| format!("failed to write {}", part.display()))?;
    let mut to = BufWriter::new(opened);
    let trailer = write_evidence(Rows::new(session, &store, last), &header, &mut to)?;
    to.flush()?;
    output::complete(&part, file)?;
    let EvidenceTrailer { rows, sha256 } = trailer;
    writeln!(
        out,
        "{}: {rows} rows, head {}, content {sha256}",
        file.display(),
        header.head
    )?;
    Ok(Outcome::Done)
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
    use crate::{cli::Common, source::tests::statement};

    fn department(code: &str) -> Record {
        let document = DepartmentDoc {
            code: code.to_owned(),
            display_name: "市政府办".to_owned(),
            budget_unit: None,
            at: Second::new(0),
        };
        Record::document(&document).unwrap()
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
