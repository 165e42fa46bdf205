//! Between the rows of the tables and the types of the ledger, without loss in either direction.

use leasehold_ledger::canonical::{Digest, canonical_json, digest_bytes};
use leasehold_ledger::fact::{Bounds, Fact, Meter, Source, Subject};
use leasehold_ledger::journal::{ChainRow, Entry, Posting};
use leasehold_ledger::money::Money;
use leasehold_ledger::time::Second;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Decode, Postgres, Sqlite, Type};

use crate::backend::Row;
use crate::error::failed;
use crate::{Cursor, RawDocument, Record, Recorded, StoreError};

/// The chain's columns, under names that no other table uses. `c` is the chain.
macro_rules! chain_columns {
    () => {
        "c.seq AS seq, c.kind AS chain_kind, c.key AS chain_key, c.digest AS digest, \
         c.prev AS prev, c.hash AS hash"
    };
}

/// The columns of a fact. `f` is the table of facts.
macro_rules! fact_columns {
    () => {
        "f.cluster AS cluster, f.etcd AS etcd, f.uid AS uid, f.version AS version, \
         f.meter AS meter, f.kind AS fact_kind, f.at AS at, f.quantity AS quantity, \
         f.department AS department, f.tenancy AS tenancy, f.incarnation AS incarnation, \
         f.system AS system, f.provider AS provider, f.contract AS contract, \
         f.budget AS budget, f.request AS request, f.object AS object, \
         f.estimated AS estimated, f.lower_at AS lower_at, f.upper_at AS upper_at, \
         f.evidence AS evidence"
    };
}

/// The columns of a document. `d` is the table of documents.
macro_rules! document_columns {
    () => {
        "d.kind AS document_kind, d.key AS document_key, d.subject AS subject, d.body AS body"
    };
}

/// The columns of an entry and one of its postings. `e` and `p` are the tables.
macro_rules! entry_columns {
    () => {
        "e.id AS id, e.kind AS entry_kind, e.at AS at, e.department AS department, \
         e.period AS period, p.account AS account, p.amount AS amount"
    };
}

pub(crate) use {chain_columns, document_columns, entry_columns, fact_columns};

/// A fact in the chain.
pub(crate) const FACT: &str = "fact";
/// A document in the chain.
pub(crate) const DOCUMENT: &str = "document";
/// An entry in the chain.
pub(crate) const ENTRY: &str = "entry";

/// The key of a document in the chain; the ledger's `row_key` for what is known as text only.
pub(crate) fn document_key(kind: &str, key: &str) -> String {
    format!("{kind}/{key}")
}

/// What the chain holds of a record: its kind, its key and its body.
#[derive(Debug)]
pub(crate) struct ChainBody {
    pub(crate) kind: &'static str,
    pub(crate) key: String,
    pub(crate) body: String,
}

impl ChainBody {
    /// Of a record.
    pub(crate) fn of(record: &Record) -> Result<Self, StoreError> {
        match record {
            Record::Fact(fact) => Self::of_fact(fact),
            Record::Document {
                kind, key, body, ..
            } => Ok(Self {
                kind: DOCUMENT,
                key: document_key(kind, key),
                body: body.clone(),
            }),
            Record::Entry(entry) => Self::of_entry(entry),
        }
    }

    /// Of a fact: its own key, its canonical JSON.
    pub(crate) fn of_fact(fact: &Fact) -> Result<Self, StoreError> {
        let key = fact.key();
        Ok(Self {
            kind: FACT,
            body: canonical(FACT, &key, fact)?,
            key,
        })
    }

    /// Of an entry: its id, its canonical JSON.
    pub(crate) fn of_entry(entry: &Entry) -> Result<Self, StoreError> {
        let key = entry.id.clone();
        Ok(Self {
            kind: ENTRY,
            body: canonical(ENTRY, &key, entry)?,
            key,
        })
    }

    /// Of a stored document.
    pub(crate) fn of_document(document: &RawDocument) -> Self {
        let key = document_key(&document.kind, &document.key);
        Self {
            kind: DOCUMENT,
            key,
            body: document.body.clone(),
        }
    }

    /// The digest that the chain holds of the body.
    pub(crate) fn digest(&self) -> Digest {
        digest_bytes(self.body.as_bytes())
    }

    /// Compares what was read from a table with what the chain says of it.
    pub(crate) fn trusted(&self, chain: &ChainRow) -> Result<(), StoreError> {
        let differs = |what: String| {
            Err(StoreError::Corrupt {
                seq: chain.seq,
                what,
            })
        };
        if self.kind != chain.kind || self.key != chain.key {
            return differs(format!(
                "the chain names {} {}, the row is {} {}",
                chain.kind, chain.key, self.kind, self.key
            ));
        }
        let digest = self.digest();
        if digest != chain.digest {
            return differs(format!(
                "{} {} was written with digest {} and is read with digest {digest}",
                chain.kind, chain.key, chain.digest
            ));
        }
        Ok(())
    }
}

fn canonical<T: Serialize>(kind: &str, key: &str, value: &T) -> Result<String, StoreError> {
    canonical_json(value).map_err(|source| StoreError::Canonical {
        what: format!("{kind} {key}"),
        source,
    })
}

/// One column of a row.
pub(crate) fn column<'r, T>(row: &'r Row, name: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
{
    row.get(name).map_err(failed("read a column"))
}

/// A column that counts something. PostgreSQL has no integers of 32 bits without a sign.
fn count(seq: u64, row: &Row, name: &'static str) -> Result<u32, StoreError> {
    let value: i64 = column(row, name)?;
    u32::try_from(value).map_err(|_| corrupt(seq, name, &value.to_string()))
}

/// A sequence number as the database keeps it.
pub(crate) fn to_integer(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::OutOfRange { what, value })
}

/// An upper bound of sequence numbers; none and what no row can reach are the largest integer.
pub(crate) fn bound(until_seq: Option<u64>) -> i64 {
    until_seq
        .and_then(|seq| i64::try_from(seq).ok())
        .unwrap_or(i64::MAX)
}

/// The sequence number of a row.
pub(crate) fn seq_of(row: &Row) -> Result<u64, StoreError> {
    let seq: i64 = column(row, "seq")?;
    u64::try_from(seq).map_err(|_| StoreError::Corrupt {
        seq: 0,
        what: format!("there is a row {seq}"),
    })
}

/// The chain's part of a row.
pub(crate) fn chain_of(row: &Row) -> Result<ChainRow, StoreError> {
    let seq = seq_of(row)?;
    let digest = |name| -> Result<Digest, StoreError> {
        let text: String = column(row, name)?;
        text.parse().map_err(|_| corrupt(seq, name, &text))
    };
    Ok(ChainRow {
        seq,
        kind: column(row, "chain_kind")?,
        key: column(row, "chain_key")?,
        digest: digest("digest")?,
        prev: digest("prev")?,
        hash: digest("hash")?,
    })
}

/// The fact of a row, not yet compared with the chain.
pub(crate) fn fact_of(seq: u64, row: &Row) -> Result<Fact, StoreError> {
    let meter: String = column(row, "meter")?;
    Ok(Fact {
        source: Source {
            cluster: column(row, "cluster")?,
            etcd: count(seq, row, "etcd")?,
            uid: column(row, "uid")?,
            version: column(row, "version")?,
        },
        meter: meter
            .parse::<Meter>()
            .map_err(|_| corrupt(seq, "meter", &meter))?,
        kind: from_word(seq, "kind", column(row, "fact_kind")?)?,
        at: Second::new(column(row, "at")?),
        quantity: column(row, "quantity")?,
        subject: Subject {
            department: column(row, "department")?,
            tenancy: column(row, "tenancy")?,
            incarnation: count(seq, row, "incarnation")?,
            system: column(row, "system")?,
            provider: column(row, "provider")?,
            contract: column(row, "contract")?,
            budget: column(row, "budget")?,
            request: count(seq, row, "request")?,
            object: column(row, "object")?,
        },
        estimated: column::<i64>(row, "estimated")? != 0,
        bounds: bounds_of(seq, row)?,
        evidence: column(row, "evidence")?,
    })
}

/// The bounds of an estimate. One without the other is not the same as none: the digest would not tell them apart.
fn bounds_of(seq: u64, row: &Row) -> Result<Option<Bounds>, StoreError> {
    let lower: Option<i64> = column(row, "lower_at")?;
    let upper: Option<i64> = column(row, "upper_at")?;
    match (lower, upper) {
        (Some(lower), Some(upper)) => Ok(Some(Bounds {
            lower: Second::new(lower),
            upper: Second::new(upper),
        })),
        (None, None) => Ok(None),
        (Some(alone), None) | (None, Some(alone)) => Err(corrupt(
            seq,
            "lower_at or upper_at alone",
            &alone.to_string(),
        )),
    }
}

/// The document of a row, not yet compared with the chain.
pub(crate) fn document_of(row: &Row) -> Result<RawDocument, StoreError> {
    Ok(RawDocument {
        kind: column(row, "document_kind")?,
        key: column(row, "document_key")?,
        subject: column(row, "subject")?,
        body: column(row, "body")?,
    })
}

/// The entry of a row, with the posting of this row if it has one.
pub(crate) fn entry_of(seq: u64, row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        id: column(row, "id")?,
        kind: from_word(seq, "kind", column(row, "entry_kind")?)?,
        at: Second::new(column(row, "at")?),
        department: column(row, "department")?,
        period: column(row, "period")?,
        postings: posting_of(row)?.into_iter().collect(),
    })
}

/// The posting of a row; an entry without postings has a row without one.
fn posting_of(row: &Row) -> Result<Option<Posting>, StoreError> {
    let account: Option<String> = column(row, "account")?;
    let amount: Option<i64> = column(row, "amount")?;
    Ok(account.zip(amount).map(|(account, amount)| Posting {
        account,
        amount: Money::from_minor(amount),
    }))
}

/// Rows ordered by sequence and posting, gathered into entries.
pub(crate) fn gather_entries(rows: &[Row]) -> Result<Vec<(ChainRow, Entry)>, StoreError> {
    let mut entries: Vec<(ChainRow, Entry)> = Vec::new();
    for row in rows {
        let chain = chain_of(row)?;
        match entries.last_mut() {
            Some((last, entry)) if last.seq == chain.seq => {
                entry.postings.extend(posting_of(row)?);
            }
            Some(_) | None => {
                let entry = entry_of(chain.seq, row)?;
                entries.push((chain, entry));
            }
        }
    }
    Ok(entries)
}

/// A value with its place in the chain.
pub(crate) fn recorded<T>(chain: ChainRow, value: T) -> Recorded<T> {
    Recorded {
        seq: chain.seq,
        hash: chain.hash,
        value,
    }
}

/// The cursor of a row.
pub(crate) fn cursor_of(row: &Row) -> Result<Cursor, StoreError> {
    Ok(Cursor {
        source: column(row, "source")?,
        resource_version: column(row, "resource_version")?,
        complete_to: column::<Option<i64>>(row, "complete_to")?.map(Second::new),
        observed_at: Second::new(column(row, "observed_at")?),
    })
}

/// The word that a unit variant has in documents, and so in the tables.
pub(crate) fn to_word<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    let text = canonical(what, "", value)?;
    Ok(text.trim_matches('"').to_owned())
}

/// The unit variant of a word.
fn from_word<T: DeserializeOwned>(
    seq: u64,
    name: &'static str,
    word: String,
) -> Result<T, StoreError> {
    let value = serde_json::Value::String(word);
    T::deserialize(&value).map_err(|_| corrupt(seq, name, &value.to_string()))
}

fn corrupt(seq: u64, column: &str, value: &str) -> StoreError {
    StoreError::Corrupt {
        seq,
        what: format!("its column {column} holds {value}"),
    }
}
