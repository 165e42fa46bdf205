//! The ledger as commands read it: beside its writer, row by row.

pub mod archives;

use std::collections::VecDeque;

use anyhow::{Result, bail};
use leasehold_ledger::{
    archive::Hole,
    document::ArchiveDoc,
    verify::{Piece, Pieces, Row},
};
use leasehold_store::{Store, StoreError};

use self::archives::{Archive, ArchiveRows};
use crate::{cli::At, session::Session};

/// Rows that are read at a time.
const PAGE: u32 = 1000;

/// Opens the ledger beside its writer.
pub fn open(session: &Session, at: &At) -> Result<Store> {
    let place = at.place()?;
    Ok(session.wait(Box::pin(Store::open_read_only(place)))?)
}

/// The rows of a ledger from the first to one that is named, read page by page. Where a page cannot be read, its rows are
/// read one by one, so that what comes before the first bad one comes, and the failure is in that one's place.
pub struct Rows<'a> {
    session: &'a Session,
    store: &'a Store,
    read: VecDeque<Row>,
    last: u64,
    through: u64,
    /// Rows that are still to be read one by one.
    alone: u32,
    failed: bool,
}

impl<'a> Rows<'a> {
    /// All rows up to and including row `through`.
    pub fn new(session: &'a Session, store: &'a Store, through: u64) -> Self {
        Self {
            session,
            store,
            read: VecDeque::new(),
            last: 0,
            through,
            alone: 0,
            failed: false,
        }
    }

    /// The next rows, at least one if there is one.
    fn more(&mut self) -> Result<Vec<Row>, StoreError> {
        if self.alone == 0 {
            match self.session.wait(self.store.rows(self.last, PAGE)) {
                Ok(rows) => return Ok(rows),
                Err(_) => self.alone = PAGE,
            }
        }
        self.alone = self.alone.saturating_sub(1);
        self.session.wait(self.store.rows(self.last, 1))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.last >= self.through {
            return None;
        }
        if self.read.is_empty() {
            match self.more() {
                Ok(rows) => self.read = rows.into(),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        let row = self.read.pop_front()?;
        // a damaged sequence must not make the same page come for ever
        self.last = row.chain.seq.max(self.last.saturating_add(1));
        (row.chain.seq <= self.through).then_some(Ok(row))
    }
}

/// How often something is read anew when facts were archived meanwhile.
const ATTEMPTS: usize = 3;

/// What somebody else changed while it was read.
const MOVED: &str = "facts were archived meanwhile, so that what was read does not fit together; repeat the command";

/// Reads something page by page. What does not fit together may be no more than rows that left for an archive meanwhile: it is
/// read anew then, some times.
pub fn steadily<T>(
    session: &Session,
    store: &Store,
    fits: impl Fn(&T) -> bool,
    mut read: impl FnMut() -> Result<T>,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let before = newest_archive(session, store);
        let found = read()?;
        if fits(&found) {
            return Ok(found);
        }
        // a ledger that cannot even say it is damaged, and that was found
        let after = newest_archive(session, store);
        if after.is_none() || after == before {
            return Ok(found);
        }
    }
    bail!(MOVED)
}

/// The row of the document of the newest archive, 0 without one; none when the ledger does not say it.
pub fn newest_archive(session: &Session, store: &Store) -> Option<u64> {
    session.wait(Box::pin(store.latest::<ArchiveDoc>())).ok()
}

/// Refuses what was read from row to row since the newest archive was this one, if there is another one now.
pub fn refuse_moved(session: &Session, store: &Store, newest: Option<u64>) -> Result<()> {
    if newest_archive(session, store) == newest {
        return Ok(());
    }
    bail!(MOVED)
}

/// The rows of a ledger and of archives up to and including row `through`, where each of them must be at hand.
pub fn whole<'a>(
    session: &'a Session,
    store: &'a Store,
    archives: &'a [Archive],
    holes: &'a [Hole],
    through: u64,
) -> impl Iterator<Item = Result<Row, StoreError>> + 'a {
    let live = Rows::new(session, store, through);
    let archived = ArchiveRows::new(session, archives, through);
    Pieces::new(live, archived, holes).map(|piece| match piece? {
        Piece::Row(row) => Ok(row),
        Piece::Hole(Hole { first, last, .. }) => Err(StoreError::Archived { first, last }),
    })
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{canonical::digest_bytes, document::DepartmentDoc, time::Second};
    use leasehold_store::{Batch, Record};

    use super::*;
    use crate::cli::Common;

    fn department(n: u32) -> DepartmentDoc {
        DepartmentDoc {
            code: format!("d{n}"),
            display_name: format!("部门{n}"),
            budget_unit: None,
            parent: None,
            at: Second::new(0),
        }
    }

    fn archive(period: &str) -> Record {
        let digest = digest_bytes(period.as_bytes());
        let document = ArchiveDoc {
            period: period.to_owned(),
            ended_before: Second::new(0),
            rows: 1,
            digest: digest.clone(),
            file: format!("facts-{period}.db"),
            holes: digest,
            at: Second::new(0),
        };
        Record::document(&document).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_read_again_if_facts_were_archived_meanwhile_and_only_then() {
        let session = Session::new(Common::default()).unwrap();
        let store = session.wait(Store::in_memory()).unwrap();
        // how often it is read when so many archives come in between
        let read = |archives: u32| {
            let mut times = 0;
            let found = steadily(
                &session,
                &store,
                |differs: &bool| !differs,
                || {
                    times += 1;
                    if times <= archives {
                        let batch = Batch::of(vec![archive(&format!("{archives}-{times}"))]);
                        session.wait(store.commit(&batch, Second::new(1)))?;
                    }
                    Ok(true)
                },
            );
            (times, found.map_err(|error| error.to_string()))
        };
        assert_eq!(read(0), (1, Ok(true)));
        assert_eq!(read(2), (3, Ok(true)));
        let (times, moved) = read(3);
        assert_eq!(times, 3);
        assert!(moved.unwrap_err().contains("archived meanwhile"));
    }

    #[test]
    fn rows_come_in_order_over_several_pages_and_end_where_they_are_told_to() {
        let session = Session::new(Common::default()).unwrap();
        let store = session.wait(Store::in_memory()).unwrap();
        let records = (0..2500)
            .map(|n| Record::document(&department(n)).unwrap())
            .collect();
        session
            .wait(store.commit(&Batch::of(records), Second::new(1)))
            .unwrap();

        let all: Vec<u64> = Rows::new(&session, &store, 2500)
            .map(|row| row.unwrap().chain.seq)
            .collect();
        assert_eq!(all, (1..=2500).collect::<Vec<u64>>());
        assert_eq!(Rows::new(&session, &store, 1001).count(), 1001);
        assert_eq!(Rows::new(&session, &store, 9999).count(), 2500);
        assert_eq!(Rows::new(&session, &store, 0).count(), 0);
    }
}
