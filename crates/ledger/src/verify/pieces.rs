//! A ledger some of whose rows lie in archives: the rows that are at hand in their order, and holes where none are.

use std::iter::Peekable;

use super::Row;
use crate::archive::Hole;
use crate::canonical::Digest;
use crate::journal::{ChainRow, genesis};

/// The next part of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A row.
    Row(Row),
    /// Rows that lie in archives which are not at hand.
    Hole(Hole),
}

/// The rows of a ledger and of its archives in one order, with holes where rows of archives are missing.
///
/// Both must be in row order. What the ledger itself has goes before what an archive has of the same row. A row that is
/// missing and lies in no hole is not made up: the one after it comes, and verification names it.
pub struct Pieces<'h, L: Iterator, A: Iterator> {
    live: Peekable<L>,
    archived: Peekable<A>,
    holes: &'h [Hole],
    last: u64,
    hash: Digest,
}

impl<'h, E, L, A> Pieces<'h, L, A>
where
    L: Iterator<Item = Result<Row, E>>,
    A: Iterator<Item = Result<Row, E>>,
{
    /// The rows of a ledger, those of its archives that are at hand, and all holes of the ledger, in order.
    pub fn new(live: L, archived: A, holes: &'h [Hole]) -> Self {
        Self {
            live: live.peekable(),
            archived: archived.peekable(),
            holes,
            last: 0,
            hash: genesis(),
        }
    }

    /// What is missing before this row, if it lies in a hole.
    fn missing(&self, row: &ChainRow) -> Option<Hole> {
        let first = self.last.saturating_add(1);
        let last = row.seq.saturating_sub(1);
        if last < first {
            return None;
        }
        let after = self.holes.partition_point(|hole| hole.first <= first);
        let hole = self.holes.get(after.checked_sub(1)?)?;
        if !hole.has(first) || !hole.has(last) {
            return None;
        }
        let begins = first == hole.first;
        let ends = last == hole.last;
        Some(Hole {
            first,
            last,
            prev: if begins { &hole.prev } else { &self.hash }.clone(),
            hash: if ends { &hole.hash } else { &row.prev }.clone(),
            ended_before: hole.ended_before,
        })
    }

    /// Passes over rows of archives that the ledger has had itself.
    fn pass_over(&mut self) {
        let last = self.last;
        let known = |row: &Result<Row, E>| row.as_ref().is_ok_and(|row| row.chain.seq <= last);
        while self.archived.next_if(known).is_some() {}
    }
}

impl<E, L, A> Iterator for Pieces<'_, L, A>
where
    L: Iterator<Item = Result<Row, E>>,
    A: Iterator<Item = Result<Row, E>>,
{
    type Item = Result<Piece, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pass_over();
        let from_archive = match (self.live.peek(), self.archived.peek()) {
            (None, None) => return None,
            (Some(Err(_)), _) | (Some(_), None) => false,
            (_, Some(Err(_))) | (None, Some(_)) => true,
            (Some(Ok(live)), Some(Ok(archived))) => archived.chain.seq < live.chain.seq,
        };
        let next = if from_archive {
            self.archived.peek()
        } else {
            self.live.peek()
        };
        if let Some(Ok(row)) = next {
            let row = row.chain.clone();
            if let Some(hole) = self.missing(&row) {
                self.last = hole.last;
                self.hash = hole.hash.clone();
                return Some(Ok(Piece::Hole(hole)));
            }
            self.last = row.seq;
            self.hash = row.hash;
        }
        let taken = if from_archive {
            self.archived.next()
        } else {
            self.live.next()
        };
        taken.map(|row| row.map(Piece::Row))
    }
}
