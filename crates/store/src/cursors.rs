//! Where each watch continues, and up to when what it follows is known.
//!
//! It is the one table whose rows change, so that the chain cannot cover them. Money follows from them all the same: an end
//! that nobody saw is billed from the instant of a cursor on, and a period is complete up to it. So each row has a digest of
//! what stands in it, written with it and compared whenever it is read. A row that does not fit is an error
//! ([`StoreError::Corrupt`]), and never taken for a place that is not known: a watch without a place begins anew and names no
//! gap before it, so that what happened meanwhile would be missing in silence.
//!
//! A digest shows a disk that failed and a hand that changed a value. It shows neither a row that is gone nor an older one
//! put back with its digest: whoever can do that writes as the operator does.

use leasehold_ledger::canonical::{Digest, digest_of};
use leasehold_ledger::time::Second;

use crate::backend::{Link, Pool, Row, Value};
use crate::codec::{column, cursor_of};
use crate::copy::MARK;
use crate::{Cursor, Store, StoreError};

/// All rows, the mark of a copy (see `copy`) among them.
const CURSORS: &str = "SELECT source, resource_version, complete_to, observed_at, digest FROM cursor \
     ORDER BY source";

/// One of them.
const ONE: &str = "SELECT source, resource_version, complete_to, observed_at, digest FROM cursor \
     WHERE source = $1";

/// What stood there before rows had digests.
const BARE: &str = "SELECT source, resource_version, complete_to, observed_at FROM cursor";

const MOVE: &str = "INSERT INTO cursor (source, resource_version, complete_to, observed_at, digest) \
     VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (source) DO UPDATE SET resource_version = excluded.resource_version, \
     complete_to = excluded.complete_to, observed_at = excluded.observed_at, digest = excluded.digest";

/// What reading is called where an error is told.
const READ: &str = "read cursors";

impl Store {
    /// The cursor of one watch. One that is damaged is an error, also that of another watch: a changed name would hide the one
    /// that is asked for.
    pub async fn cursor(&self, source: &str) -> Result<Option<Cursor>, StoreError> {
        let cursors = self.cursors().await?;
        Ok(cursors.into_iter().find(|cursor| cursor.source == source))
    }

    /// The cursors of all watches, by source, each compared with its digest.
    pub async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        let mut cursors = self.all_cursors().await?;
        cursors.retain(|cursor| cursor.source != MARK);
        Ok(cursors)
    }

    /// Every cursor is as it was written, the mark of a copy as well.
    pub async fn check_cursors(&self) -> Result<(), StoreError> {
        self.all_cursors().await.map(drop)
    }

    async fn all_cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        let reading = self.reader().fetch_all(READ, CURSORS, &[]);
        let rows = self.within(READ, reading).await?;
        self.trusting(trusted(&rows))
    }
}

/// The mark of a copy, before there is a store. What is damaged beside it keeps nobody from opening the ledger: it is told
/// where it is read.
pub(crate) async fn mark(pool: &Pool) -> Result<Option<Cursor>, StoreError> {
    let row = pool.fetch_optional("look for a broken-off copy", ONE, &[Value::Text(MARK)]);
    // the parenthesis comes before all names of watches
    row.await?.map(|row| trusted_one(&row, 1)).transpose()
}

/// Notes where a watch continues.
pub(crate) async fn move_cursor(link: &mut Link<'_>, cursor: &Cursor) -> Result<(), StoreError> {
    let digest = digest(cursor)?;
    let values = [
        Value::Text(&cursor.source),
        Value::Text(&cursor.resource_version),
        Value::MaybeInteger(cursor.complete_to.map(Second::get)),
        Value::Integer(cursor.observed_at.get()),
        Value::Text(digest.as_str()),
    ];
    link.execute("move a cursor", MOVE, &values).await
}

/// Gives the rows from before the migration their digests, in its transaction. They are taken as they stand: nothing says
/// what was written. So no row is ever accepted without a digest, not even once.
pub(crate) async fn seal(link: &mut Link<'_>) -> Result<(), StoreError> {
    for row in link.fetch_all(READ, BARE, &[]).await? {
        move_cursor(link, &cursor_of(&row)?).await?;
    }
    Ok(())
}

/// The cursors of all rows, each compared with its digest.
fn trusted(rows: &[Row]) -> Result<Vec<Cursor>, StoreError> {
    let numbered = rows.iter().zip(1_u64..);
    numbered
        .map(|(row, place)| trusted_one(row, place))
        .collect()
}

/// The same of the row that has this place among all, by source: the table numbers none.
fn trusted_one(row: &Row, place: u64) -> Result<Cursor, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { seq: 0, what };
    let (cursor, written) = read(row).map_err(|error| {
        corrupt(format!(
            "row {place} of cursor, where a watch continues, cannot be read: {}",
            cause(&error)
        ))
    })?;
    let digest = digest(&cursor)?;
    if written == digest.as_str() {
        return Ok(cursor);
    }
    Err(corrupt(format!(
        "row {place} of cursor, where the watch of {} continues, was written with digest {written} and is read with digest \
         {digest}",
        cursor.source
    )))
}

fn read(row: &Row) -> Result<(Cursor, String), StoreError> {
    Ok((cursor_of(row)?, column(row, "digest")?))
}

/// What the database said, which the error itself does not repeat.
fn cause(error: &StoreError) -> String {
    if let StoreError::Database { source, .. } = error {
        source.to_string()
    } else {
        error.to_string()
    }
}

/// The digest of a cursor: that of its values in the order of the columns, as canonical JSON.
fn digest(cursor: &Cursor) -> Result<Digest, StoreError> {
    let values = (
        &cursor.source,
        &cursor.resource_version,
        cursor.complete_to.map(Second::get),
        cursor.observed_at.get(),
    );
    digest_of(&values).map_err(|source| StoreError::Canonical {
        what: format!("the cursor of {}", cursor.source),
        source,
    })
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::canonical::digest_bytes;

    use super::*;

    #[test]
    fn every_value_of_a_cursor_is_in_its_digest() {
        let cursor = Cursor {
            source: "pods".to_owned(),
            resource_version: "7".to_owned(),
            complete_to: None,
            observed_at: Second::new(60),
        };
        let expected = digest_bytes(br#"["pods","7",null,60]"#);
        assert_eq!(digest(&cursor).unwrap(), expected);
        let complete = Cursor {
            complete_to: Some(Second::new(-1)),
            ..cursor
        };
        let expected = digest_bytes(br#"["pods","7",-1,60]"#);
        assert_eq!(digest(&complete).unwrap(), expected);
    }
}
