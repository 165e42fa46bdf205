//! The archives of a ledger that are at hand, read row by row as the ledger itself.

use std::{collections::VecDeque, path::Path};

use anyhow::{Context, Result};
use leasehold_ledger::{
    document::ArchiveDoc,
    time::{Second, Zone},
    verify::Row,
};
use leasehold_store::{ArchiveFile, Recorded, Store, StoreError};

use super::PAGE;
use crate::{output, session::Session};

/// An archive with what the ledger says of it.
pub struct Archive {
    /// Its document and the document's row.
    pub document: Recorded<ArchiveDoc>,
    /// Its file.
    pub file: ArchiveFile,
}

/// The archives of a ledger whose files are in the folder; what is missing there is told. Whether a file is the one that the
/// ledger means is another question, which takes reading it.
pub fn open(session: &Session, store: &Store, folder: Option<&Path>) -> Result<Vec<Archive>> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let documents = session.wait(store.documents::<ArchiveDoc>(None, None))?;
    let mut archives = Vec::with_capacity(documents.len());
    for document in documents {
        let name = Path::new(&document.value.file).file_name();
        let name = name.with_context(|| {
            let period = &document.value.period;
            format!("failed to find the archive of {period}: its document names no file")
        })?;
        let path = folder.join(name);
        if path.exists() {
            let file = session.wait(Box::pin(ArchiveFile::open(&path)))?;
            archives.push(Archive { document, file });
        } else {
            output::remark(&format!(
                "the archive of {} is not there: {}",
                document.value.period,
                path.display()
            ));
        }
    }
    Ok(archives)
}

/// The same, each compared with what the ledger says of it.
pub fn checked(session: &Session, store: &Store, folder: Option<&Path>) -> Result<Vec<Archive>> {
    let archives = open(session, store, folder)?;
    for archive in &archives {
        session.wait(Box::pin(archive.file.check(&archive.document.value)))?;
    }
    Ok(archives)
}

/// What to say to somebody who asks for use from an instant on, some of which lies in archives that were not named.
pub fn missing(
    session: &Session,
    store: &Store,
    from: Second,
    zone: &Zone,
) -> Result<Option<String>> {
    let documents = session.wait(store.documents::<ArchiveDoc>(None, None))?;
    let newest = documents.iter().map(|doc| doc.value.ended_before).max();
    Ok(newest.filter(|newest| from < *newest).map(|newest| {
        format!(
            "use that had ended before {} may lie in archives and is not shown; name their folder with --archive",
            zone.date_of(newest)
        )
    }))
}

/// The rows of several archives, in the order of the ledger.
pub struct ArchiveRows<'a> {
    session: &'a Session,
    files: Vec<Reading<'a>>,
    through: u64,
    failed: bool,
}

/// How far a file was read.
struct Reading<'a> {
    file: &'a ArchiveFile,
    read: VecDeque<Row>,
    last: u64,
    ended: bool,
}

impl<'a> ArchiveRows<'a> {
    /// All rows up to and including row `through`.
    pub fn new(session: &'a Session, archives: &'a [Archive], through: u64) -> Self {
        let files = archives.iter().map(|archive| Reading {
            file: &archive.file,
            read: VecDeque::new(),
            last: 0,
            ended: false,
        });
        Self {
            session,
            files: files.collect(),
            through,
            failed: false,
        }
    }

    /// Reads on in every file of which nothing is in memory.
    fn fill(&mut self) -> Result<(), StoreError> {
        for reading in &mut self.files {
            if reading.ended || !reading.read.is_empty() {
                continue;
            }
            let page = self
                .session
                .wait(Box::pin(reading.file.rows(reading.last, PAGE)))?;
            match page.last() {
                Some(row) => reading.last = row.chain.seq.max(reading.last.saturating_add(1)),
                None => reading.ended = true,
            }
            reading.read = page.into();
        }
        Ok(())
    }
}

impl Iterator for ArchiveRows<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.fill() {
            self.failed = true;
            return Some(Err(error));
        }
        let seq = |reading: &Reading<'_>| reading.read.front().map(|row| row.chain.seq);
        let first = self
            .files
            .iter_mut()
            .filter(|reading| seq(reading).is_some())
            .min_by_key(|reading| seq(reading))?;
        let row = first.read.pop_front()?;
        (row.chain.seq <= self.through).then_some(Ok(row))
    }
}
