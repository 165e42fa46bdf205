//! The holes of the chain, as the database has them.

use leasehold_ledger::archive::{Hole, holes_digest};
use leasehold_ledger::canonical::Digest;
use leasehold_ledger::document::ArchiveDoc;
use leasehold_ledger::time::Second;

use crate::backend::{Link, Row, Value};
use crate::codec::{column, to_integer};
use crate::{Store, StoreError};

const HOLES: &str =
    "SELECT first_seq, last_seq, prev, hash, ended_before, archive FROM hole ORDER BY first_seq";

/// What this is called where an error is told.
const READ: &str = "read what is archived";

impl Store {
    /// The rows that are missing from the chain because they lie in archives, in order. What touches is one hole.
    pub async fn holes(&self) -> Result<Vec<Hole>, StoreError> {
        let dug = self.dug_holes().await?;
        Ok(dug.into_iter().map(|(hole, _)| hole).collect())
    }

    /// The same, each with the row of the document that dug it or widened it last.
    pub(crate) async fn dug_holes(&self) -> Result<Vec<(Hole, u64)>, StoreError> {
        let reading = async {
            let mut held = self.reader().hold(READ).await?;
            dug_in(&mut held.link()).await
        };
        self.within(READ, reading).await
    }

    /// The holes are those of the newest archive.
    pub(crate) async fn check_holes(&self, holes: &[Hole]) -> Result<(), StoreError> {
        let archives = self.documents::<ArchiveDoc>(None, None).await?;
        let Some(newest) = archives.last() else {
            return match holes.first() {
                None => Ok(()),
                Some(hole) => Err(StoreError::Corrupt {
                    seq: hole.first,
                    what: "it is missing, and nothing was ever archived".to_owned(),
                }),
            };
        };
        if holes.is_empty() {
            // a copy from before the archive that was brought up to date: it has the rows themselves
            return Ok(());
        }
        let digest = holes_digest(holes).map_err(|source| StoreError::Canonical {
            what: "the holes of the chain".to_owned(),
            source,
        })?;
        if digest == newest.value.holes {
            return Ok(());
        }
        Err(StoreError::Corrupt {
            seq: newest.seq,
            what: format!(
                "it says that what is archived has digest {}, the ledger has {digest}",
                newest.value.holes
            ),
        })
    }
}

impl Store {
    /// Each hole was dug, or widened last, by an archive whose document the ledger has. The digest of the holes does not say
    /// which.
    pub(crate) async fn check_diggers(&self) -> Result<(), StoreError> {
        // before the documents, so that those of all of them are there
        let dug = self.dug_holes().await?;
        let archives = self.documents::<ArchiveDoc>(None, None).await?;
        let of_none = |archive: u64| archives.iter().all(|document| document.seq != archive);
        match dug.iter().find(|(_, archive)| of_none(*archive)) {
            None => Ok(()),
            Some((hole, archive)) => Err(StoreError::Corrupt {
                seq: hole.first,
                what: format!(
                    "the hole that begins with it is of the archive of row {archive}, which is none"
                ),
            }),
        }
    }
}

/// The holes, as this connection sees them.
pub(crate) async fn read_in(link: &mut Link<'_>) -> Result<Vec<Hole>, StoreError> {
    let dug = dug_in(link).await?;
    Ok(dug.into_iter().map(|(hole, _)| hole).collect())
}

/// Whether a row lies in an archive.
pub(crate) async fn is_archived(link: &mut Link<'_>, seq: u64) -> Result<bool, StoreError> {
    const LAST: &str =
        "SELECT last_seq FROM hole WHERE first_seq <= $1 ORDER BY first_seq DESC LIMIT 1";
    let values = [Value::Integer(to_integer("sequence number", seq)?)];
    let row = link.fetch_optional(READ, LAST, &values).await?;
    row.map_or(Ok(false), |row| Ok(number(&row, "last_seq")? >= seq))
}

async fn dug_in(link: &mut Link<'_>) -> Result<Vec<(Hole, u64)>, StoreError> {
    let rows = link.fetch_all(READ, HOLES, &[]).await?;
    let numbered = rows.iter().zip(1_u64..);
    numbered.map(|(row, place)| hole_of(row, place)).collect()
}

/// The hole of a row that has this place among all. Whatever cannot be read of it is told with the first row that is missing,
/// or with the place where that is what cannot be read.
fn hole_of(row: &Row, place: u64) -> Result<(Hole, u64), StoreError> {
    let first = number(row, "first_seq").map_err(|error| StoreError::Corrupt {
        seq: 0,
        what: format!("row {place} of hole: {}", said(&error)),
    })?;
    read_hole(row, first).map_err(|error| StoreError::Corrupt {
        seq: first,
        what: format!("the hole that begins with it: {}", said(&error)),
    })
}

fn read_hole(row: &Row, first: u64) -> Result<(Hole, u64), StoreError> {
    let digest = |name| -> Result<Digest, StoreError> {
        let text: String = column(row, name)?;
        text.parse().map_err(|_| unfit(name, &text))
    };
    let hole = Hole {
        first,
        last: number(row, "last_seq")?,
        prev: digest("prev")?,
        hash: digest("hash")?,
        ended_before: Second::new(column(row, "ended_before")?),
    };
    Ok((hole, number(row, "archive")?))
}

fn number(row: &Row, name: &'static str) -> Result<u64, StoreError> {
    let value: i64 = column(row, name)?;
    u64::try_from(value).map_err(|_| unfit(name, &value.to_string()))
}

fn unfit(name: &str, value: &str) -> StoreError {
    StoreError::Corrupt {
        seq: 0,
        what: format!("{name} is {value}"),
    }
}

/// What is wrong with a column, without the words around it.
fn said(error: &StoreError) -> String {
    if let StoreError::Corrupt { what, .. } = error {
        what.clone()
    } else if let StoreError::Database { source, .. } = error {
        source.to_string()
    } else {
        error.to_string()
    }
}

/// The hole between row `before` with this hash and row `next`, if exactly that is archived.
pub(crate) fn across<'h>(
    holes: &'h [(Hole, u64)],
    (before, hash): (u64, &str),
    next: u64,
) -> Option<&'h (Hole, u64)> {
    let first = before.checked_add(1)?;
    let at = holes.binary_search_by_key(&first, |(hole, _)| hole.first);
    let found = holes.get(at.ok()?)?;
    let (hole, _) = found;
    let fits = hole.last.checked_add(1) == Some(next) && hole.prev.as_str() == hash;
    fits.then_some(found)
}
