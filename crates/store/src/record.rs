//! What goes into the store and what comes out of it.

use leasehold_ledger::canonical::{Digest, canonical_json};
use leasehold_ledger::document::Document;
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::Entry;
use leasehold_ledger::time::Second;

use crate::StoreError;

/// One thing to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An observation of a meter.
    Fact(Box<Fact>),
    /// A piece of evidence. [`Record::document`] makes it.
    Document {
        /// The kind of the document.
        kind: String,
        /// Its key, unique within the kind for ever.
        key: String,
        /// What it is listed by.
        subject: String,
        /// Its canonical JSON.
        body: String,
    },
    /// An entry of the journal.
    Entry(Entry),
}

impl Record {
    /// The record of a document.
    ///
    /// Fails with [`StoreError::Canonical`] when the document has no canonical form, for instance
    /// because a snapshot inside it holds a float.
    pub fn document<D: Document>(document: &D) -> Result<Self, StoreError> {
        let key = document.key();
        let body = canonical_json(document).map_err(|source| StoreError::Canonical {
            what: format!("{} {key}", D::KIND),
            source,
        })?;
        Ok(Self::Document {
            kind: D::KIND.to_owned(),
            key,
            subject: document.subject(),
            body,
        })
    }

    /// The fact, where it is one.
    #[must_use]
    pub fn as_fact(&self) -> Option<&Fact> {
        match self {
            Self::Fact(fact) => Some(fact),
            Self::Document { .. } | Self::Entry(_) => None,
        }
    }
}

impl From<Fact> for Record {
    fn from(fact: Fact) -> Self {
        Self::Fact(Box::new(fact))
    }
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        Self::Entry(entry)
    }
}

/// Where a watch continues after a restart, committed together with the facts that it brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The watch, for instance "pods".
    pub source: String,
    /// The resourceVersion that the watch has passed.
    pub resource_version: String,
    /// The instant up to which the source is known completely, when that is known.
    pub complete_to: Option<Second>,
    /// When this was observed, by the server's clock.
    pub observed_at: Second,
}

/// The row that a batch was computed from: the head of the ledger or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedHead {
    /// The ledger's last row; 0 for an empty ledger.
    Ledger(u64),
    /// The latest document of a kind under a path, as `documents_under` of the store finds it.
    Under {
        /// The kind of the documents.
        kind: &'static str,
        /// What their subjects begin with, without the slash behind it.
        path: String,
        /// The row of the latest; 0 for none.
        seq: u64,
    },
    /// The latest document of a kind, whatever its subject.
    OfKind {
        /// The kind of the documents.
        kind: &'static str,
        /// The row of the latest; 0 for none.
        seq: u64,
    },
}

/// What is written together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records, appended in this order.
    pub records: Vec<Record>,
    /// The cursors to move.
    pub cursors: Vec<Cursor>,
    /// Refuse the batch when any of what it was computed from has grown since: what was computed from
    /// the ledger must not be written over news. Without any it is appended whatever the head is.
    pub expected: Vec<ExpectedHead>,
}

impl Batch {
    /// A batch of records without cursors, for any head.
    pub fn of(records: Vec<Record>) -> Self {
        Self {
            records,
            cursors: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// The same batch, refused unless the ledger's last row is `head`. What was expected before is
    /// not any more.
    #[must_use]
    pub fn expecting(self, head: u64) -> Self {
        Self {
            expected: vec![ExpectedHead::Ledger(head)],
            ..self
        }
    }

    /// The same batch, refused unless row `seq` is the latest document of this kind under the path,
    /// 0 when there was none. What else the ledger learned meanwhile does not matter. What was
    /// expected before is not any more.
    ///
    /// The row must come from reading the documents that the batch was computed from, not from a
    /// second reading: what came between the two would be taken for known.
    #[must_use]
    pub fn expecting_latest<D: Document>(self, path: &str, seq: u64) -> Self {
        Self {
            expected: vec![ExpectedHead::Under {
                kind: D::KIND,
                path: path.to_owned(),
                seq,
            }],
            ..self
        }
    }

    /// The same batch, refused as well unless row `seq` is the latest document of this kind in the
    /// whole ledger, 0 when there was none: for what was computed from documents under many paths.
    ///
    /// The row must be known before the documents are read: what comes in between is then taken for
    /// news, which costs another attempt, and never for known.
    #[must_use]
    pub fn expecting_latest_of_kind<D: Document>(mut self, seq: u64) -> Self {
        self.expected
            .push(ExpectedHead::OfKind { kind: D::KIND, seq });
        self
    }

    /// The same batch with one more cursor to move.
    #[must_use]
    pub fn with_cursor(mut self, cursor: Cursor) -> Self {
        self.cursors.push(cursor);
        self
    }
}

/// Something remembered, with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<T> {
    /// The row of the chain, from 1.
    pub seq: u64,
    /// The hash of the chain at this row.
    pub hash: Digest,
    /// What is remembered.
    pub value: T,
}

/// A document as it is stored, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDocument {
    /// The kind of the document.
    pub kind: String,
    /// Its key within the kind.
    pub key: String,
    /// What it is listed by.
    pub subject: String,
    /// Its canonical JSON.
    pub body: String,
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The rows that were appended, in the batch's order; empty when all was known.
    pub appended: Vec<u64>,
    /// How many records the ledger held already.
    pub unchanged: usize,
    /// The last row after the commit; 0 in an empty ledger.
    pub head_seq: u64,
    /// The hash of the chain after the commit.
    pub head: Digest,
}

/// Which facts to read; what is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactFilter {
    /// Facts of this department's code.
    pub department: Option<String>,
    /// Facts of the tenancy of this name.
    pub tenancy: Option<String>,
    /// Facts up to and including this row.
    pub until_seq: Option<u64>,
    /// Facts of the object with this uid.
    pub uid: Option<String>,
}

/// What a successful integrity check went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// The last row; all up to it were recomputed, but for those that lie in archives.
    pub rows: u64,
    /// The hash at the end.
    pub head: Digest,
}

/// The bounds of the subjects, or keys, under a path: from the first up to but without the second.
///
/// The path is a folder. The slash behind it keeps apart codes of which one begins with the other,
/// and since the database compares texts byte by byte and 0 follows the slash in ASCII, whatever
/// begins with the path and a slash is below the path and a 0.
pub(crate) fn under(path: &str) -> [String; 2] {
    // A slash too many must not make an empty range: nothing would ever be news in it.
    let folder = path.trim_end_matches('/');
    [format!("{folder}/"), format!("{folder}0")]
}
