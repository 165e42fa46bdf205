//! Archives: which facts of closed periods may leave the ledger, and what stays of them in the chain.
//!
//! A row that left is missing from the chain, but not from its hashes: the row after it has its hash, and the newest
//! archive's document has the digest of all that is known of the missing rows. So what stays is proven without the
//! archive, and whoever has the archive puts its rows back in their places and proves each of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest, digest_bytes, digest_of};
use crate::fact::{Fact, FactKind, Meter};
use crate::journal::ChainRow;
use crate::time::{Second, Span};

/// How many hexadecimal digits of a digest stand for an object: 128 bits.
const OBJECT_DIGITS: usize = 32;

/// So many periods an estimated end waits to be known better, after its own.
const PATIENCE: usize = 2;

/// Rows that follow each other and lie in archives.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hole {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// The hash that the first follows: that of the row before it.
    pub prev: Digest,
    /// The hash of the last: what the row after it follows.
    pub hash: Digest,
    /// All use that they tell of ended before this instant.
    pub ended_before: Second,
}

impl Hole {
    /// How many rows it has.
    pub const fn rows(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Whether the row is one of them.
    pub const fn has(&self, seq: u64) -> bool {
        self.first <= seq && seq <= self.last
    }
}

/// Why rows cannot become a hole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoleError {
    /// A row twice, or out of order.
    #[error("failed to archive row {seq}: it was archived before, or comes out of order")]
    Order {
        /// The row.
        seq: u64,
    },
    /// Neighbours that do not follow each other.
    #[error(
        "failed to archive row {seq}: it follows hash {found}, the row before has {expected}; \
         verify the ledger"
    )]
    Link {
        /// The row.
        seq: u64,
        /// The hash of the row before.
        expected: Digest,
        /// The hash that it says it follows.
        found: Digest,
    },
}

/// The digest of all holes of a chain, by which a document proves them.
pub fn holes_digest(holes: &[Hole]) -> Result<Digest, CanonicalError> {
    digest_of(&holes)
}

/// Rows on their way into an archive, in order: their number, their digest and the holes that they leave.
#[derive(Clone, Debug)]
pub struct Digger {
    ended_before: Second,
    runs: Vec<Hole>,
}

impl Digger {
    /// For rows that tell of use that ended before an instant.
    pub const fn new(ended_before: Second) -> Self {
        Self {
            ended_before,
            runs: Vec::new(),
        }
    }

    /// Takes the next row.
    pub fn take(&mut self, row: &ChainRow) -> Result<(), HoleError> {
        join(
            &mut self.runs,
            Hole {
                first: row.seq,
                last: row.seq,
                prev: row.prev.clone(),
                hash: row.hash.clone(),
                ended_before: self.ended_before,
            },
        )
    }

    /// All holes of the chain afterwards, in order: those that there were, and those of the rows. What touches is one.
    pub fn among(self, holes: &[Hole]) -> Result<Vec<Hole>, HoleError> {
        let mut all: Vec<Hole> = holes.iter().cloned().chain(self.runs).collect();
        all.sort_by_key(|hole| hole.first);
        let mut joined = Vec::with_capacity(all.len());
        for hole in all {
            join(&mut joined, hole)?;
        }
        Ok(joined)
    }
}

/// Adds a hole behind the others, as one with the last if they touch.
fn join(holes: &mut Vec<Hole>, hole: Hole) -> Result<(), HoleError> {
    let Some(before) = holes.last_mut() else {
        holes.push(hole);
        return Ok(());
    };
    if hole.first <= before.last {
        return Err(HoleError::Order { seq: hole.first });
    }
    if hole.first > before.last.saturating_add(1) {
        holes.push(hole);
        return Ok(());
    }
    if hole.prev != before.hash {
        return Err(HoleError::Link {
            seq: hole.first,
            expected: before.hash.clone(),
            found: hole.prev,
        });
    }
    before.last = hole.last;
    before.hash = hole.hash;
    before.ended_before = before.ended_before.max(hole.ended_before);
    Ok(())
}

/// The number and the digest of an archive's rows, as they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// How many there were.
    pub rows: u64,
    /// The digest of their hashes in order. A hash stands for all that its row says.
    pub digest: Digest,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            rows: 0,
            digest: digest_bytes(b"leasehold archive, version 1"),
        }
    }
}

impl Content {
    /// Takes the next row.
    pub fn take(&mut self, row: &ChainRow) {
        let Self { rows, digest } = self;
        *digest = digest_bytes(format!("{digest}\n{}\n", row.hash).as_bytes());
        *rows = rows.saturating_add(1);
    }
}

/// What stands for the object of a fact, under one meter and in one life of its cluster's database.
pub fn object_of(fact: &Fact) -> String {
    object_in(fact, &fact.source.cluster, fact.source.etcd)
}

/// What stands for the same object in another life of its cluster's database, or in another cluster: what was restored keeps
/// its uid.
pub fn object_in(fact: &Fact, cluster: &str, etcd: u32) -> String {
    let (uid, meter) = (&fact.source.uid, &fact.meter);
    let text = format!(
        "{}:{cluster}/{etcd}/{}:{uid}/{meter}",
        cluster.len(),
        uid.len()
    );
    let digest = digest_bytes(text.as_bytes());
    digest.hex().chars().take(OBJECT_DIGITS).collect()
}

/// Chooses the facts that go into the archive of a closed period: of objects whose use has ended for good before the
/// period's end, as its close knew it, and of which nothing came too late for a close.
///
/// Leases stay, because an increase is told from what stood before. So does what ended by an estimate, which may be
/// known better one day, until the two periods after it are archived as well, and what came after the close of the period
/// in which it happened: it was billed nowhere yet.
#[derive(Clone, Debug)]
pub struct Sift {
    ended_before: Second,
    through: u64,
    /// The instants of each closed period, and the last row that its close took into account.
    closed: Vec<(Span, u64)>,
    objects: BTreeMap<String, Seen>,
}

/// What was seen of an object.
#[derive(Clone, Debug, Default)]
struct Seen {
    rows: Vec<u64>,
    /// Whether the last fact ended it for good.
    over: bool,
    /// Whether something is still to be done with it.
    stays: bool,
}

/// What goes into an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The rows of the facts.
    pub rows: BTreeSet<u64>,
    /// Their objects, as [`object_of`] gives them.
    pub objects: BTreeSet<String>,
}

impl Sift {
    /// For the archive of a period that ends at `ended_before`, and whose close took rows up to `through` into account.
    pub const fn new(ended_before: Second, through: u64, closed: Vec<(Span, u64)>) -> Self {
        Self {
            ended_before,
            through,
            closed,
            objects: BTreeMap::new(),
        }
    }

    /// Takes the next fact of the ledger, in row order. It must see all of them, those after the close as well.
    pub fn take(&mut self, seq: u64, fact: &Fact) {
        if matches!(fact.meter, Meter::Lease { .. }) {
            return;
        }
        let stays = seq > self.through || fact.at >= self.ended_before || self.is_late(seq, fact);
        let is_long_ago = self.is_long_ago(fact.at);
        let seen = self.objects.entry(object_of(fact)).or_default();
        seen.rows.push(seq);
        seen.stays |= stays;
        seen.over = match fact.kind {
            FactKind::Closed => !fact.estimated || is_long_ago,
            FactKind::Superseded => true,
            FactKind::Opened | FactKind::Changed => false,
        };
    }

    fn is_late(&self, seq: u64, fact: &Fact) -> bool {
        self.closed
            .iter()
            .any(|(span, through)| span.contains(fact.at) && seq > *through)
    }

    /// Whether so many periods that began after an instant are archived, with this one, that nobody waits for anything to be
    /// known better.
    fn is_long_ago(&self, at: Second) -> bool {
        let later = self
            .closed
            .iter()
            .filter(|(span, _)| at < span.from && span.to <= self.ended_before);
        later.count() >= PATIENCE
    }

    /// What goes into the archive.
    pub fn chosen(self) -> Chosen {
        let mut chosen = Chosen::default();
        for (object, seen) in self.objects {
            if seen.over && !seen.stays {
                chosen.rows.extend(seen.rows);
                chosen.objects.insert(object);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
