//! Recomputing the whole ledger from its rows, without a database and without trust.
//!
//! Every digest and hash is computed again, every posting added up again, and every closed period
//! closed again from the facts, books, lots and policy that it had. Leases, credit and periods must
//! have behind them what allows them, and a device backs one contribution at a time. What differs
//! first is named.

mod backing;
mod gaps;
mod pieces;
mod readable;
mod replay;
mod sealed;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::error::Error;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::archive::Hole;
use crate::canonical::{CanonicalError, Digest, canonical_json, digest_bytes};
use crate::document::{
    AcceptanceDoc, ArchiveDoc, BookDoc, DecisionDoc, DeliveredDoc, DepartmentDoc, Document,
    GapAcceptedDoc, GapDoc, LotDoc, PeriodCloseDoc, PeriodOpenDoc, PolicyDoc, RequestDoc,
    SerialDoc, SerialFreedDoc, row_key, split_row_key,
};
use crate::fact::Fact;
use crate::journal::{ChainRow, Entry, EntryKind, genesis, link};
use crate::money::Money;
use crate::statement::{State, Statement};
use backing::Backing;
use gaps::Gaps;
use sealed::{Archived, Sealed};

pub use pieces::{Piece, Pieces};
pub use replay::{Records, ReplayError, close_input};

/// One row of the ledger with what was written.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// Its link in the chain.
    pub chain: ChainRow,
    /// Canonical JSON of the fact, document or entry.
    pub body: String,
}

/// One closed period that was closed again.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodCheck {
    /// Name of the period.
    pub name: String,
    /// Number of its statements.
    pub statements: u32,
    /// Sum of their gross amounts.
    pub gross: Money,
    /// Whether all statements and entries are there and as computed.
    pub ok: bool,
    /// Whether facts of it lie in archives that were not at hand: then its statements are those that the close names, and its
    /// totals and entries follow from them, but they were not computed again from facts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sealed: bool,
}

/// The first thing that is not as it must be.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// Sequence of the row.
    pub seq: u64,
    /// What differs.
    pub what: String,
    /// What was computed.
    pub expected: String,
    /// What the row says.
    pub found: String,
}

/// What verifying a ledger gave.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// Rows that were good.
    pub rows: u64,
    /// Rows that lie in archives which were not at hand.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub archived: u64,
    /// Hash of the last good row.
    pub head: Digest,
    /// The closed periods met.
    pub periods: Vec<PeriodCheck>,
    /// The first difference, if any; nothing after it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// Verifies rows in order of sequence, from the first.
///
/// `expected_head` is a hash that somebody kept, e.g. from a statement: it must be the hash of some
/// row, because a ledger may have grown since but must not have forgotten.
pub fn verify<E: Display>(
    rows: impl Iterator<Item = Result<Row, E>>,
    expected_head: Option<&Digest>,
) -> Report {
    verify_pieces(rows.map(|row| row.map(Piece::Row)), &[], expected_head)
}

/// The same for a ledger some of whose rows lie in archives, with all holes that its chain has. Rows of archives that are at
/// hand are verified in their places; of what is missing, the hashes around it.
pub fn verify_pieces<E: Display>(
    pieces: impl Iterator<Item = Result<Piece, E>>,
    holes: &[Hole],
    expected_head: Option<&Digest>,
) -> Report {
    let mut checker = Checker::default();
    let mut finding = None;
    for piece in pieces {
        let checked = match piece {
            Ok(Piece::Row(row)) => checker.take(&row),
            Ok(Piece::Hole(hole)) => checker.pass(&hole),
            Err(error) => {
                let seq = checker.next_seq();
                Err(Finding::new(seq, "failed to read the row", "a row", error))
            }
        };
        if let Err(found) = checked {
            finding = Some(found);
            break;
        }
    }
    let finding = finding
        .or_else(|| checker.holes_at_end(holes))
        .or_else(|| checker.at_end(expected_head));
    Report {
        rows: checker.count(),
        archived: checker.archived.rows(),
        head: checker.head(),
        periods: checker.periods,
        finding,
    }
}

impl Finding {
    fn new(seq: u64, what: impl Display, expected: impl Display, found: impl Display) -> Self {
        Self {
            seq,
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

/// What a recomputed close says must still follow.
struct Pending {
    seq: u64,
    /// Place of the period in the report.
    place: usize,
    /// Canonical digest by department.
    statements: BTreeMap<String, Digest>,
    /// Canonical JSON by id.
    entries: BTreeMap<String, String>,
    /// What is gathered instead, where the close could not be computed again.
    sealed: Option<Sealed>,
}

#[derive(Default)]
struct Checker {
    /// The hash of every row, in 32 bytes, with its sequence.
    hashes: Vec<(u64, [u8; 32])>,
    /// Sequence and hash of the last row.
    last: Option<(u64, Digest)>,
    archived: Archived,
    /// Digests of kind and key of every row: a ledger has millions.
    keys: HashSet<[u8; 32]>,
    records: Records,
    backing: Backing,
    gaps: Gaps,
    lots: BTreeMap<String, Money>,
    opened: BTreeMap<String, PeriodOpenDoc>,
    pending: BTreeMap<String, Pending>,
    periods: Vec<PeriodCheck>,
}

impl Checker {
    fn count(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    fn next_seq(&self) -> u64 {
        let last = self.last.as_ref().map_or(0, |(seq, _)| *seq);
        last.saturating_add(1)
    }

    fn head(&self) -> Digest {
        let last = self.last.as_ref();
        last.map_or_else(genesis, |(_, hash)| hash.clone())
    }

    fn take(&mut self, row: &Row) -> Result<(), Finding> {
        self.chain(row)?;
        match row.chain.kind.as_str() {
            "fact" => self.fact(row)?,
            "entry" => self.entry(row)?,
            "document" => self.document(row)?,
            other => {
                let expected = "fact, entry or document";
                return Err(Finding::new(row.chain.seq, "kind of row", expected, other));
            }
        }
        let ChainRow { seq, hash, .. } = &row.chain;
        self.hashes.push((*seq, hash.bytes()));
        self.last = Some((*seq, hash.clone()));
        Ok(())
    }

    /// Sequence, previous hash, digest, hash, canonical form and uniqueness.
    fn chain(&mut self, row: &Row) -> Result<(), Finding> {
        let c = &row.chain;
        let seq = self.next_seq();
        same(seq, "sequence", seq, c.seq)?;
        same(seq, "hash of the row before", self.head(), &c.prev)?;
        same(
            seq,
            "digest of the body",
            digest_bytes(row.body.as_bytes()),
            &c.digest,
        )?;
        let hash = link(c.seq, &c.kind, &c.key, &c.digest, &c.prev);
        same(seq, "hash of the row", hash, &c.hash)?;
        let value: Value = parsed(row)?;
        let canonical = canonical_json(&value).map_err(|e| unreadable(row, &e))?;
        same(seq, "canonical form of the body", canonical, &row.body)?;
        // what hashes alike is alike, or the chain would prove nothing either
        let key = digest_bytes(format!("{}/{}", c.kind, c.key).as_bytes());
        if !self.keys.insert(key.bytes()) {
            return Err(Finding::new(seq, "key", "a new one", &c.key));
        }
        Ok(())
    }

    fn fact(&mut self, row: &Row) -> Result<(), Finding> {
        let fact: Fact = parsed(row)?;
        same(row.chain.seq, "key of the fact", fact.key(), &row.chain.key)?;
        self.backing.lease(row.chain.seq, &fact)?;
        self.records.facts.push(row.chain.seq, &fact);
        Ok(())
    }

    fn entry(&mut self, row: &Row) -> Result<(), Finding> {
        let seq = row.chain.seq;
        let entry: Entry = parsed(row)?;
        same(seq, "id of the entry", &entry.id, &row.chain.key)?;
        entry
            .check()
            .map_err(|e| Finding::new(seq, "entry", "a balanced entry", chain_of(&e)))?;
        let follows = self.backing.credit(seq, &entry, &self.lots);
        self.lots_stay_above_zero(seq, &entry)?;
        follows?;
        match entry.kind {
            EntryKind::Close | EntryKind::Expire => self.expected_entry(row, &entry)?,
            EntryKind::Grant | EntryKind::Void => {}
        }
        self.records.entries.push((seq, entry));
        Ok(())
    }

    fn lots_stay_above_zero(&mut self, seq: u64, entry: &Entry) -> Result<(), Finding> {
        for posting in &entry.postings {
            let Some(lot) = posting.account.strip_prefix("credit/") else {
                continue;
            };
            let balance = self.lots.entry(lot.to_owned()).or_insert(Money::ZERO);
            *balance = Money::sum([*balance, posting.amount])
                .map_err(|e| Finding::new(seq, "balance of a lot", "an amount", e))?;
            if *balance > Money::ZERO {
                let what = format!("overdraft of lot {lot}");
                return Err(Finding::new(seq, what, Money::ZERO, *balance));
            }
        }
        Ok(())
    }

    /// An entry that only a close may write must be one that the recomputed close gives.
    fn expected_entry(&mut self, row: &Row, entry: &Entry) -> Result<(), Finding> {
        let seq = row.chain.seq;
        let period = entry.period.as_deref().unwrap_or_default();
        let what = format!("entry {}", entry.id);
        let Some(pending) = self.pending.get_mut(period) else {
            return Err(Finding::new(
                seq,
                what,
                "none, no close asks for it",
                &row.body,
            ));
        };
        match pending.entries.remove(&entry.id) {
            Some(expected) => same(seq, what, expected, &row.body)?,
            None => {
                return Err(Finding::new(
                    seq,
                    what,
                    "none, the close has none",
                    &row.body,
                ));
            }
        }
        self.settle(period);
        Ok(())
    }

    fn document(&mut self, row: &Row) -> Result<(), Finding> {
        let seq = row.chain.seq;
        let (kind, _) = split_row_key(&row.chain.key).unwrap_or((row.chain.key.as_str(), ""));
        match kind {
            DepartmentDoc::KIND => self.records.departments.push((seq, doc(row)?)),
            PolicyDoc::KIND => self.records.policies.push(doc::<PolicyDoc>(row)?.policy),
            BookDoc::KIND => {
                let book = doc::<BookDoc>(row)?.book;
                self.backing.book(&book);
                self.records.books.push((seq, book));
            }
            LotDoc::KIND => {
                let lot: LotDoc = doc(row)?;
                self.records.lots.push((seq, lot.lot.clone()));
                self.backing.lot(seq, lot)?;
            }
            SerialDoc::KIND => self.backing.claim(seq, doc::<SerialDoc>(row)?)?,
            SerialFreedDoc::KIND => self.backing.freed(seq, &doc::<SerialFreedDoc>(row)?)?,
            RequestDoc::KIND => self.backing.request(&doc::<RequestDoc>(row)?),
            DecisionDoc::KIND => self.decision(doc(row)?),
            GapDoc::KIND => self.gap(seq, doc(row)?),
            GapAcceptedDoc::KIND => self.gap_accepted(seq, doc(row)?)?,
            DeliveredDoc::KIND => self.backing.delivered(&doc::<DeliveredDoc>(row)?),
            AcceptanceDoc::KIND => self.backing.acceptance(seq, &doc::<AcceptanceDoc>(row)?)?,
            PeriodOpenDoc::KIND => {
                let open: PeriodOpenDoc = doc(row)?;
                self.backing.period(seq, &open)?;
                self.opened.insert(open.period.name.clone(), open);
            }
            PeriodCloseDoc::KIND => {
                let closed: PeriodCloseDoc = doc(row)?;
                self.close(row, &closed)?;
            }
            ArchiveDoc::KIND => self.archive(seq, doc(row)?)?,
            Statement::KIND => {
                let statement: Statement = doc(row)?;
                self.statement(seq, &statement)?;
            }
            _ => return readable::readable(kind, row),
        }
        Ok(())
    }

    /// Closes the period again and notes what must follow.
    fn close(&mut self, row: &Row, closed: &PeriodCloseDoc) -> Result<(), Finding> {
        let seq = row.chain.seq;
        let name = &closed.name;
        if self.has_left(name) {
            return self.seal(row, closed);
        }
        let closing = self.recomputed(row, closed)?;
        let failed = |e: CanonicalError| not_recomputed(seq, name, &e);
        let mut statements = BTreeMap::new();
        for s in &closing.statements {
            statements.insert(s.department.name.clone(), s.digest().map_err(failed)?);
        }
        let mut entries = BTreeMap::new();
        for e in &closing.entries {
            entries.insert(e.id.clone(), canonical_json(e).map_err(failed)?);
        }
        same_statements(seq, name, &statements, &closed.statements)?;
        let expected = canonical_json(&closing.totals).map_err(failed)?;
        let found = canonical_json(&closed.totals).map_err(failed)?;
        same(seq, "totals of the close", expected, found)?;
        let place = self.periods.len();
        self.periods.push(PeriodCheck {
            name: name.clone(),
            statements: u32::try_from(statements.len()).unwrap_or(u32::MAX),
            gross: closing.totals.gross,
            ok: false,
            sealed: false,
        });
        let pending = Pending {
            seq,
            place,
            statements,
            entries,
            sealed: None,
        };
        self.pending.insert(name.clone(), pending);
        self.settle(name);
        Ok(())
    }

    /// What a close says of its place: the period was opened before, and it stands right behind what it took into account.
    fn placed(&self, row: &Row, closed: &PeriodCloseDoc) -> Result<&PeriodOpenDoc, Finding> {
        let seq = row.chain.seq;
        let name = &closed.name;
        let Some(open) = self.opened.get(name) else {
            let what = format!("period {name}");
            return Err(Finding::new(seq, what, "opened before", "not opened"));
        };
        // nothing may come in between what a close takes into account and the close itself
        let what = "last sequence taken into account";
        same(seq, what, seq.saturating_sub(1), closed.fact_seq)?;
        let what = "chain's head before the close";
        same(seq, what, &row.chain.prev, &closed.chain)?;
        Ok(open)
    }

    fn statement(&mut self, seq: u64, statement: &Statement) -> Result<(), Finding> {
        let period = &statement.period.name;
        let what = format!("statement {}", statement.number);
        let department = &statement.department.name;
        let expected = self
            .pending
            .get_mut(period)
            .and_then(|p| p.statements.remove(department));
        let Some(expected) = expected else {
            return Err(Finding::new(
                seq,
                what,
                "none, no close asks for it",
                "one more",
            ));
        };
        let unfit = |e: &dyn Error| Finding::new(seq, &what, "a sound statement", chain_of(e));
        statement.check().map_err(|e| unfit(&e))?;
        if statement.state != State::Final {
            return Err(Finding::new(seq, what, "Final", "Draft"));
        }
        let computed = statement.digest().map_err(|e| unfit(&e))?;
        same(seq, &what, &expected, computed)?;
        if let Some(digest) = &statement.digest {
            same(seq, format!("digest in {what}"), &expected, digest)?;
        }
        if let Some(chain) = &statement.chain {
            let head = self.hash_of(chain.entry);
            let head = head.map_or_else(|| "no such row".to_owned(), |head| head.to_string());
            same(seq, format!("chain's head in {what}"), head, &chain.head)?;
        }
        self.gather(seq, statement)?;
        self.settle(period);
        Ok(())
    }

    /// The hash of a row that was taken already.
    fn hash_of(&self, seq: u64) -> Option<Digest> {
        let at = self.hashes.binary_search_by_key(&seq, |(seq, _)| *seq);
        let (_, hash) = self.hashes.get(at.ok()?)?;
        Some(Digest::of_bytes(hash))
    }

    /// Marks a period as good once everything that its close asks for has followed.
    fn settle(&mut self, period: &str) {
        let done = |p: &Pending| p.statements.is_empty() && p.entries.is_empty();
        if self.pending.get(period).is_some_and(done)
            && let Some(pending) = self.pending.remove(period)
            && let Some(check) = self.periods.get_mut(pending.place)
        {
            check.ok = true;
        }
    }

    /// What can only be seen at the end: missing statements and entries, and a forgotten head.
    fn at_end(&self, expected_head: Option<&Digest>) -> Option<Finding> {
        if let Some((period, p)) = self.pending.iter().min_by_key(|(_, p)| p.seq) {
            let documents = p
                .statements
                .keys()
                .map(|d| format!("statement {period}/{d}"));
            let entries = p.entries.keys().map(|id| format!("entry {id}"));
            let missing: Vec<String> = documents.chain(entries).collect();
            let what = format!("rows that the close of {period} asks for");
            return Some(Finding::new(
                p.seq,
                what,
                missing.join(", "),
                "the end of the ledger",
            ));
        }
        let expected = expected_head?;
        let kept = expected.bytes();
        if self.hashes.iter().any(|(_, hash)| *hash == kept) || *expected == genesis() {
            return None;
        }
        let what = "a head that was kept";
        let seq = self.next_seq().saturating_sub(1);
        let found = self.archived.beside(&self.head());
        Some(Finding::new(seq, what, expected, found))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
const fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
const fn is_false(sealed: &bool) -> bool {
    !*sealed
}

fn same(
    seq: u64,
    what: impl Display,
    expected: impl Display,
    found: impl Display,
) -> Result<(), Finding> {
    let finding = Finding::new(seq, what, expected, found);
    if finding.expected == finding.found {
        Ok(())
    } else {
        Err(finding)
    }
}

fn same_statements(
    seq: u64,
    period: &str,
    expected: &BTreeMap<String, Digest>,
    found: &BTreeMap<String, Digest>,
) -> Result<(), Finding> {
    let departments: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for d in departments {
        let text = |of: &BTreeMap<String, Digest>| {
            of.get(d)
                .map_or_else(|| "none".to_owned(), Digest::to_string)
        };
        same(
            seq,
            format!("statement {period}/{d}"),
            text(expected),
            text(found),
        )?;
    }
    Ok(())
}

fn not_recomputed(seq: u64, period: &str, error: &dyn Error) -> Finding {
    let what = format!("close of {period}");
    Finding::new(seq, what, "can be recomputed", chain_of(error))
}

fn doc<D: Document>(row: &Row) -> Result<D, Finding> {
    let document: D = parsed(row)?;
    same(
        row.chain.seq,
        "key of the document",
        row_key(&document),
        &row.chain.key,
    )?;
    Ok(document)
}

fn parsed<T: serde::de::DeserializeOwned>(row: &Row) -> Result<T, Finding> {
    serde_json::from_str(&row.body).map_err(|e| unreadable(row, &e))
}

fn unreadable(row: &Row, error: &dyn Error) -> Finding {
    let what = format!("body of {} {}", row.chain.kind, row.chain.key);
    Finding::new(row.chain.seq, what, "can be read", chain_of(error))
}

/// An error with all its causes in one line.
fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
