//! Which keys of a batch the ledger holds already.

use std::collections::BTreeMap;

use leasehold_ledger::canonical::Digest;

use super::{Prepared, digest_in};
use crate::StoreError;
use crate::backend::{Link, Value};
use crate::codec::{DOCUMENT, ENTRY, FACT, column, seq_of};

/// How many keys one question asks for: its text grows with them, and the database holds all of it
/// in memory.
const KEYS: usize = 500;

/// The rows of some keys of one kind. The keys are one JSON array, so that the statement is the
/// same for any number of them. CROSS JOIN keeps SQLite from going through the whole chain: it
/// takes each key of the array and finds its row through the index of kinds and keys.
const HELD_IN_SQLITE: &str = "SELECT c.key AS chain_key, c.seq AS seq, c.digest AS digest \
     FROM json_each($1) AS wanted CROSS JOIN chain AS c ON c.kind = $2 AND c.key = wanted.value";

/// The same for PostgreSQL, which takes the keys as an array.
const HELD_IN_POSTGRES: &str = "SELECT c.key AS chain_key, c.seq AS seq, c.digest AS digest \
     FROM chain AS c WHERE c.key = ANY ($1) AND c.kind = $2";

/// Where the ledger holds the keys of a batch: kind → key → row.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: BTreeMap<&'static str, BTreeMap<String, Held>>,
}

/// The row of a key.
#[derive(Debug)]
struct Held {
    seq: u64,
    digest: Digest,
}

impl Known {
    /// Looks up the keys of all records.
    pub(super) async fn among(
        link: &mut Link<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for kind in [FACT, DOCUMENT, ENTRY] {
            let keys: Vec<&str> = prepared
                .iter()
                .filter(|item| item.chain.kind == kind)
                .map(|item| item.chain.key.as_str())
                .collect();
            for some in keys.chunks(KEYS) {
                known.look_up(link, kind, some).await?;
            }
        }
        Ok(known)
    }

    /// Looks up some keys of one kind. A key that was asked for twice may be answered twice, alike.
    async fn look_up(
        &mut self,
        link: &mut Link<'_>,
        kind: &'static str,
        keys: &[&str],
    ) -> Result<(), StoreError> {
        let sql = match link {
            Link::Sqlite(_) => HELD_IN_SQLITE,
            Link::Postgres(_) => HELD_IN_POSTGRES,
        };
        let values = [Value::Texts(keys), Value::Text(kind)];
        let rows = link.fetch_all("look up keys", sql, &values).await?;
        let known = self.rows.entry(kind).or_default();
        for row in &rows {
            let seq = seq_of(row)?;
            let digest = digest_in(seq, &column::<String>(row, "digest")?)?;
            known.insert(column(row, "chain_key")?, Held { seq, digest });
        }
        Ok(())
    }

    /// Whether the ledger holds the record already; an error when its key holds something else.
    pub(super) fn holds(&self, item: &Prepared<'_>) -> Result<bool, StoreError> {
        let of_kind = self.rows.get(item.chain.kind);
        let Some(held) = of_kind.and_then(|rows| rows.get(item.chain.key.as_str())) else {
            return Ok(false);
        };
        if held.digest == item.digest {
            return Ok(true);
        }
        Err(StoreError::KeyConflict {
            kind: item.chain.kind.to_owned(),
            key: item.chain.key.clone(),
            seq: held.seq,
            stored: held.digest.clone(),
            offered: item.digest.clone(),
        })
    }

    /// Remembers a record that became row `seq`, for those that follow it in the batch.
    pub(super) fn add(&mut self, item: &Prepared<'_>, seq: u64) {
        let digest = item.digest.clone();
        self.rows
            .entry(item.chain.kind)
            .or_default()
            .insert(item.chain.key.clone(), Held { seq, digest });
    }
}
