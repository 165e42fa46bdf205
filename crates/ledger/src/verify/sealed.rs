//! What is proven of a ledger whose facts lie in archives that are not at hand.
//!
//! The hash of a row stands for everything before it, so that a hole weakens nothing that comes after it. What comes
//! before it is tied in by the newest archive's document, which has the digest of all holes with the hashes at their
//! edges. A close whose facts are missing is not computed again; its statements must be those that it names, and its
//! totals and entries follow from them.

use std::collections::BTreeMap;

use super::{Checker, Finding, Pending, PeriodCheck, Row, chain_of, gaps, same};
use crate::archive::{Hole, holes_digest};
use crate::canonical::{Digest, canonical_json};
use crate::close::entry_of;
use crate::document::{ArchiveDoc, PeriodCloseDoc};
use crate::journal::Entry;
use crate::money::Money;
use crate::statement::{Statement, StatementGap, Totals};
use crate::time::Second;

/// What was met of archives.
#[derive(Default)]
pub(super) struct Archived {
    rows: u64,
    /// The instant before which facts may be missing.
    ended_before: Option<Second>,
    /// The newest archive and its row.
    newest: Option<(u64, ArchiveDoc)>,
}

impl Archived {
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// What was found instead of a head that somebody kept: it may be that of a row which is not here.
    pub(super) fn beside(&self, head: &Digest) -> String {
        match self.rows {
            0 => head.to_string(),
            rows => format!("{head}, and {rows} rows in archives that were not given"),
        }
    }
}

/// What the statements of a close give that cannot be computed again.
pub(super) struct Sealed {
    seq: u64,
    /// What the close says that they add up to.
    totals: Totals,
    found: Vec<Totals>,
    /// What each lot paid.
    applied: BTreeMap<String, Money>,
    /// The gaps that each names, and how many more there are: their documents are never archived.
    gaps: (Vec<StatementGap>, u32),
    /// First instant after the period.
    end: Second,
}

impl Checker {
    /// Passes over rows that are missing.
    pub(super) fn pass(&mut self, hole: &Hole) -> Result<(), Finding> {
        let seq = self.next_seq();
        same(seq, "sequence", seq, hole.first)?;
        same(seq, "hash of the row before", self.head(), &hole.prev)?;
        self.last = Some((hole.last, hole.hash.clone()));
        let archived = &mut self.archived;
        archived.rows = archived.rows.saturating_add(hole.rows());
        archived.ended_before = archived.ended_before.max(Some(hole.ended_before));
        Ok(())
    }

    /// An archive is of a period that was closed before it.
    pub(super) fn archive(&mut self, seq: u64, archive: ArchiveDoc) -> Result<(), Finding> {
        let name = &archive.period;
        let what = format!("archive of {name}");
        let closed = self.periods.iter().any(|period| period.name == *name);
        let end = self.opened.get(name).map(|open| open.period.span.to);
        match end.filter(|_| closed) {
            None => return Err(Finding::new(seq, what, "its close before it", "none")),
            Some(end) => same(seq, what, end, archive.ended_before)?,
        }
        self.archived.newest = Some((seq, archive));
        Ok(())
    }

    /// The holes that the ledger says it has must be those of its newest archive.
    pub(super) fn holes_at_end(&self, holes: &[Hole]) -> Option<Finding> {
        if holes.is_empty() && self.archived.rows == 0 {
            return None;
        }
        let what = "digest of what is archived";
        let Some((seq, archive)) = &self.archived.newest else {
            let first = holes.first().map_or(0, |hole| hole.first);
            return Some(Finding::new(first, what, "that of an archive", "none"));
        };
        match holes_digest(holes) {
            Ok(digest) => same(*seq, what, &archive.holes, digest).err(),
            Err(error) => Some(Finding::new(*seq, what, &archive.holes, chain_of(&error))),
        }
    }

    /// Whether facts of a period are missing.
    pub(super) fn has_left(&self, period: &str) -> bool {
        let from = self.opened.get(period).map(|open| open.period.span.from);
        from.zip(self.archived.ended_before)
            .is_some_and(|(from, before)| from < before)
    }

    /// Takes a close as it says it is, and notes what must follow.
    pub(super) fn seal(&mut self, row: &Row, closed: &PeriodCloseDoc) -> Result<(), Finding> {
        let end = self.placed(row, closed)?.period.span.to;
        let gaps = self.gaps_of_sealed(row, closed)?;
        let seq = row.chain.seq;
        let place = self.periods.len();
        self.periods.push(PeriodCheck {
            name: closed.name.clone(),
            statements: u32::try_from(closed.statements.len()).unwrap_or(u32::MAX),
            gross: closed.totals.gross,
            ok: false,
            sealed: true,
        });
        let pending = Pending {
            seq,
            place,
            statements: closed.statements.clone(),
            entries: BTreeMap::new(),
            sealed: Some(Sealed {
                seq,
                totals: closed.totals,
                found: Vec::new(),
                applied: BTreeMap::new(),
                gaps,
                end,
            }),
        };
        self.pending.insert(closed.name.clone(), pending);
        self.gathered(&closed.name)?;
        self.settle(&closed.name);
        Ok(())
    }

    /// Notes what follows from a statement of a sealed close.
    pub(super) fn gather(&mut self, seq: u64, statement: &Statement) -> Result<(), Finding> {
        let period = &statement.period.name;
        let Some(pending) = self.pending.get_mut(period) else {
            return Ok(());
        };
        let Some(sealed) = &mut pending.sealed else {
            return Ok(());
        };
        gaps::same_gaps(seq, statement, &sealed.gaps)?;
        sealed.found.push(statement.totals);
        for credit in &statement.credits {
            sealed.applied.insert(credit.lot.clone(), credit.applied);
        }
        if statement.totals.gross != Money::ZERO {
            let unfit = |e: &dyn std::error::Error| {
                let what = format!("entry of statement {}", statement.number);
                Finding::new(seq, what, "can be computed", chain_of(e))
            };
            let entry = entry_of(statement).map_err(|e| unfit(&e))?;
            let text = canonical_json(&entry).map_err(|e| unfit(&e))?;
            pending.entries.insert(entry.id, text);
        }
        self.gathered(period)
    }

    /// Once all statements of a sealed close are there, its totals and the lots that expire with it are known.
    fn gathered(&mut self, period: &str) -> Result<(), Finding> {
        let Some(pending) = self.pending.get_mut(period) else {
            return Ok(());
        };
        if !pending.statements.is_empty() {
            return Ok(());
        }
        let Some(sealed) = pending.sealed.take() else {
            return Ok(());
        };
        let what = "totals of the close";
        let unfit = |e: &dyn std::error::Error| {
            Finding::new(sealed.seq, what, "can be computed", chain_of(e))
        };
        let sum = Totals::sum(sealed.found.iter()).map_err(|e| unfit(&e))?;
        let expected = canonical_json(&sum).map_err(|e| unfit(&e))?;
        let found = canonical_json(&sealed.totals).map_err(|e| unfit(&e))?;
        same(sealed.seq, what, expected, found)?;
        for (_, lot) in &self.records.lots {
            let left = self.lots.get(&lot.id).copied().unwrap_or(Money::ZERO);
            let paid = sealed.applied.get(&lot.id).copied();
            let rest = left
                .checked_neg()
                .and_then(|rest| rest.checked_sub(paid.unwrap_or(Money::ZERO)))
                .map_err(|e| unfit(&e))?;
            if lot.span.to <= sealed.end && rest > Money::ZERO {
                let entry =
                    Entry::expire(lot, rest, Some(period.to_owned())).map_err(|e| unfit(&e))?;
                let text = canonical_json(&entry).map_err(|e| unfit(&e))?;
                pending.entries.insert(entry.id, text);
            }
        }
        Ok(())
    }
}
