//! The ledger as commands read it: beside its writer, row by row.

pub mod archives;

use std::collections::VecDeque;

use anyhow::Result;
use leasehold_ledger::{
    archive::Hole,
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
    use leasehold_ledger::{document::DepartmentDoc, time::Second};
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
