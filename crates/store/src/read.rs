//! What the ledger remembers, read back.

use std::collections::BTreeMap;

use leasehold_ledger::canonical::Digest;
use leasehold_ledger::document::{ArchiveDoc, Document};
use leasehold_ledger::fact::Fact;
use leasehold_ledger::journal::{ChainRow, Entry};
use leasehold_ledger::time::Second;
use leasehold_ledger::verify;
use sqlx::AssertSqlSafe;

use crate::append;
use crate::backend::{Link, Row, Value};
use crate::codec::{
    ChainBody, bound, chain_columns, chain_of, column, document_columns, document_of,
    entry_columns, fact_columns, fact_of, gather_entries, recorded, seq_of, to_integer,
};
use crate::record::under;
use crate::{FactFilter, RawDocument, Record, Recorded, Store, StoreError};

/// A row with what has to be known to write it again.
pub(crate) struct Written {
    pub(crate) chain: ChainRow,
    /// When it was inserted.
    pub(crate) at: Second,
    pub(crate) record: Record,
}

/// What reading rows of the chain is called where an error is told.
const ROWS: &str = "read the chain";

/// How often facts are read anew when some of them were archived meanwhile.
const ATTEMPTS: usize = 3;

/// Facts that are in memory as the database gives them, at a time.
const PAGE: i64 = 2000;

const CHAIN: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", c.inserted_at AS inserted_at FROM chain c WHERE c.seq > $1 ORDER BY c.seq LIMIT $2"
);

const FACTS: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM fact f JOIN chain c ON c.seq = f.seq"
);

const FACTS_BETWEEN: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM fact f JOIN chain c ON c.seq = f.seq WHERE f.seq > $1 AND f.seq <= $2 ORDER BY f.seq"
);

const DOCUMENT: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq WHERE d.kind = $1 AND d.key = $2"
);

const DOCUMENTS: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq ",
    "WHERE d.kind = $1 AND d.seq <= $2 ORDER BY d.seq"
);

const DOCUMENTS_OF: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq ",
    "WHERE d.kind = $1 AND d.seq <= $2 AND d.subject = $3 ORDER BY d.seq"
);

const DOCUMENTS_UNDER: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq ",
    "WHERE d.kind = $1 AND d.subject >= $2 AND d.subject < $3 ORDER BY d.seq"
);

/// What has not ended: the end has the key of the beginning. Both are found by the index of kinds and keys, and only what is
/// left is read.
const DOCUMENTS_STANDING: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq ",
    "WHERE d.kind = $1 AND d.key >= $2 AND d.key < $3 ",
    "AND NOT EXISTS (SELECT 1 FROM document e WHERE e.kind = $4 AND e.key = d.key) ",
    "ORDER BY d.seq"
);

const DOCUMENTS_BETWEEN: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq ",
    "WHERE d.seq > $1 AND d.seq <= $2 ORDER BY d.seq"
);

const ENTRIES_BETWEEN: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    entry_columns!(),
    " FROM entry e JOIN chain c ON c.seq = e.seq LEFT JOIN posting p ON p.entry = e.seq ",
    "WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq, p.n"
);

impl Store {
    /// The facts that pass the filter, in the order in which the ledger learned them.
    ///
    /// They are read in pages, each with the store's deadline: a year of facts takes longer than any
    /// deadline that a person would wait for. Rows are never changed, so that the pages see what one
    /// statement would see: what the filter does not bound is bounded by the head at the beginning.
    /// When facts are archived meanwhile, all are read anew, because the beginning of an object may
    /// have been read and its end be gone ([`StoreError::Moved`] if it happens again and again).
    pub async fn facts(&self, filter: &FactFilter) -> Result<Vec<Recorded<Fact>>, StoreError> {
        let until = match filter.until_seq {
            Some(until) => until,
            None => self.head().await?.0,
        };
        let bounded = FactFilter {
            until_seq: Some(until),
            ..filter.clone()
        };
        let first = self.facts_after(&bounded, 0).await?;
        if is_rest(&first) {
            // one statement has read all of them
            return Ok(first);
        }
        for _ in 0..ATTEMPTS {
            let archived = self.latest::<ArchiveDoc>().await?;
            let facts = self.all_facts(&bounded).await?;
            if self.latest::<ArchiveDoc>().await? == archived {
                return Ok(facts);
            }
        }
        Err(StoreError::Moved)
    }

    /// The facts that pass the filter, of which none may be archived meanwhile.
    async fn all_facts(&self, bounded: &FactFilter) -> Result<Vec<Recorded<Fact>>, StoreError> {
        let mut facts = Vec::new();
        let mut after = 0;
        loop {
            let page = self.facts_after(bounded, after).await?;
            let is_rest = is_rest(&page);
            after = page.last().map_or(after, |last| last.seq);
            facts.extend(page);
            if is_rest {
                return Ok(facts);
            }
        }
    }

    /// The next facts after row `after_seq` that pass the filter, in row order, for whoever cannot
    /// hold all of them; none are left when the page is empty. Of several pages facts may be missing
    /// that were archived meanwhile, which the newest document of an archive before and after tells.
    pub async fn facts_after(
        &self,
        filter: &FactFilter,
        after_seq: u64,
    ) -> Result<Vec<Recorded<Fact>>, StoreError> {
        let span = (
            to_integer("sequence number", after_seq)?,
            bound(filter.until_seq),
        );
        let page = self.within("read facts", self.facts_between(filter, span));
        self.trusting(trusted_facts(&page.await?))
    }

    /// A page of the facts after a row and up to another.
    async fn facts_between(
        &self,
        filter: &FactFilter,
        (after, until): (i64, i64),
    ) -> Result<Vec<Row>, StoreError> {
        let mut values = vec![Value::Integer(after), Value::Integer(until)];
        let mut sql = format!("{FACTS} WHERE f.seq > $1 AND f.seq <= $2");
        let columns = [
            ("department", &filter.department),
            ("tenancy", &filter.tenancy),
            ("uid", &filter.uid),
        ];
        for (column, value) in columns {
            if let Some(value) = value {
                values.push(Value::Text(value));
                sql = format!("{sql} AND f.{column} = ${}", values.len());
            }
        }
        values.push(Value::Integer(PAGE));
        sql = format!("{sql} ORDER BY f.seq LIMIT ${}", values.len());
        // nothing of what was asked for is in the text, only how many placeholders it has
        self.reader()
            .fetch_all("read facts", AssertSqlSafe(sql), &values)
            .await
    }

    /// The document of this key, if the ledger has one.
    pub async fn document<D: Document>(
        &self,
        key: &str,
    ) -> Result<Option<Recorded<D>>, StoreError> {
        let raw = self.raw_document(D::KIND, key).await?;
        self.trusting(raw.map(decoded).transpose())
    }

    /// The documents of a kind, of one subject or of all, up to and including row `until_seq` or
    /// to the end, in row order.
    pub async fn documents<D: Document>(
        &self,
        subject: Option<&str>,
        until_seq: Option<u64>,
    ) -> Result<Vec<Recorded<D>>, StoreError> {
        let raw = self.raw_documents(D::KIND, subject, until_seq).await?;
        self.trusting(raw.into_iter().map(decoded).collect())
    }

    /// The documents of a kind whose subject begins with the path and a slash, in row order: all of
    /// a department's, without reading those of others. The path is given without the slash, for
    /// instance `gov-office`.
    ///
    /// The row of the last one is what [`Batch::expecting_latest`](crate::Batch::expecting_latest)
    /// takes.
    pub async fn documents_under<D: Document>(
        &self,
        path: &str,
    ) -> Result<Vec<Recorded<D>>, StoreError> {
        let [from, to] = under(path);
        let values = [Value::Text(D::KIND), Value::Text(&from), Value::Text(&to)];
        let reading = self
            .reader()
            .fetch_all("read documents", DOCUMENTS_UNDER, &values);
        let rows = self.within("read documents", reading).await?;
        let documents = rows.iter().map(|row| decoded(trusted_document(row)?));
        self.trusting(documents.collect())
    }

    /// The documents of a kind whose key begins with the path and a slash, and is the key of no document of the kind `End`,
    /// in row order: what has begun and not ended, for instance the volumes that are still kept. The path is given without
    /// the slash, for instance the uid of a cluster. What has ended is not read, however much of it there is.
    pub async fn documents_standing<D: Document, End: Document>(
        &self,
        path: &str,
    ) -> Result<Vec<Recorded<D>>, StoreError> {
        const DOING: &str = "read documents that stand";
        let [from, to] = under(path);
        let values = [D::KIND, from.as_str(), to.as_str(), End::KIND].map(Value::Text);
        let reading = self.reader().fetch_all(DOING, DOCUMENTS_STANDING, &values);
        let rows = self.within(DOING, reading).await?;
        let documents = rows.iter().map(|row| decoded(trusted_document(row)?));
        self.trusting(documents.collect())
    }

    /// The row of the latest document of a kind; 0 when there is none. What
    /// [`Batch::expecting_latest_of_kind`](crate::Batch::expecting_latest_of_kind) takes, if it is
    /// asked for before the documents are read.
    pub async fn latest<D: Document>(&self) -> Result<u64, StoreError> {
        let reading = async {
            let mut held = self.reader().hold("read the latest document").await?;
            append::latest_of_kind(&mut held.link(), D::KIND).await
        };
        self.within("read the latest document", reading).await
    }

    /// The document of this kind and key as it is stored.
    pub async fn raw_document(
        &self,
        kind: &str,
        key: &str,
    ) -> Result<Option<Recorded<RawDocument>>, StoreError> {
        let values = [Value::Text(kind), Value::Text(key)];
        let reading = self
            .reader()
            .fetch_optional("read a document", DOCUMENT, &values);
        let row = self.within("read a document", reading).await?;
        self.trusting(row.as_ref().map(trusted_document).transpose())
    }

    /// The documents of this kind as they are stored; see [`Store::documents`].
    pub async fn raw_documents(
        &self,
        kind: &str,
        subject: Option<&str>,
        until_seq: Option<u64>,
    ) -> Result<Vec<Recorded<RawDocument>>, StoreError> {
        let mut values = vec![Value::Text(kind), Value::Integer(bound(until_seq))];
        let mut sql = DOCUMENTS;
        if let Some(subject) = subject {
            values.push(Value::Text(subject));
            sql = DOCUMENTS_OF;
        }
        let reading = self.reader().fetch_all("read documents", sql, &values);
        let rows = self.within("read documents", reading).await?;
        self.trusting(rows.iter().map(trusted_document).collect())
    }

    /// The journal up to and including row `until_seq`, or all of it, in row order.
    pub async fn entries(
        &self,
        until_seq: Option<u64>,
    ) -> Result<Vec<Recorded<Entry>>, StoreError> {
        let span = [Value::Integer(0), Value::Integer(bound(until_seq))];
        let reading = self
            .reader()
            .fetch_all("read the journal", ENTRIES_BETWEEN, &span);
        let rows = self.within("read the journal", reading).await?;
        self.trusting(trusted_entries(&rows))
    }

    /// The last row's sequence and hash; 0 and the genesis in an empty ledger.
    pub async fn head(&self) -> Result<(u64, Digest), StoreError> {
        let reading = async {
            let mut held = self.reader().hold("read the head").await?;
            append::head(&mut held.link()).await
        };
        self.within("read the head", reading).await
    }

    /// Whether the ledger's periods are rehearsals; `None` before the first period.
    pub async fn rehearsal(&self) -> Result<Option<bool>, StoreError> {
        let reading = async {
            let mut held = self.reader().hold("read what the ledger is").await?;
            append::rehearses(&mut held.link()).await
        };
        self.within("read what the ledger is", reading).await
    }

    /// At most `limit` rows after row `after_seq`, for verification and for evidence files. They
    /// are as the tables hold them, not compared with the chain: comparing them is verification.
    pub async fn rows(&self, after_seq: u64, limit: u32) -> Result<Vec<verify::Row>, StoreError> {
        let page = self.page(after_seq, limit).await?;
        Ok(page
            .into_iter()
            .map(|(chain, body)| verify::Row {
                chain,
                body: body.body,
            })
            .collect())
    }

    /// At most `limit` rows after row `after_seq`: what the chain says and what the tables hold.
    pub(crate) async fn page(
        &self,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<(ChainRow, ChainBody)>, StoreError> {
        let page = self.written(after_seq, limit).await?;
        page.into_iter()
            .map(|written| Ok((written.chain, ChainBody::of(&written.record)?)))
            .collect()
    }

    /// At most `limit` rows after row `after_seq`, as they could be written again. They are not compared with the chain.
    pub(crate) async fn written(
        &self,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<Written>, StoreError> {
        let reading = async {
            let after = to_integer("sequence number", after_seq)?;
            let values = [Value::Integer(after), Value::Integer(limit.into())];
            // an archive takes rows and their bodies out together, and is seen together or not at all
            let mut turn = self.reader().view(ROWS).await?;
            let mut link = turn.link();
            let rows = link.fetch_all(ROWS, CHAIN, &values).await?;
            let chain = rows
                .iter()
                .map(|row| Ok((chain_of(row)?, Second::new(column(row, "inserted_at")?))))
                .collect::<Result<Vec<_>, StoreError>>()?;
            let last = chain.last().map_or(after_seq, |(row, _)| row.seq);
            let last = to_integer("sequence number", last)?;
            let records = records(&mut link, after, last).await?;
            turn.commit(ROWS).await?;
            Ok::<_, StoreError>((chain, records))
        };
        let (chain, mut records) = self.within(ROWS, reading).await?;
        let written = chain
            .into_iter()
            .map(|(chain, at)| match records.remove(&chain.seq) {
                Some(record) => Ok(Written { chain, at, record }),
                None => Err(StoreError::Corrupt {
                    seq: chain.seq,
                    what: format!("there is no body of {} {}", chain.kind, chain.key),
                }),
            });
        self.trusting(written.collect())
    }
}

/// What the tables hold of every row after `after` up to `last`.
async fn records(
    link: &mut Link<'_>,
    after: i64,
    last: i64,
) -> Result<BTreeMap<u64, Record>, StoreError> {
    let span = [Value::Integer(after), Value::Integer(last)];
    let mut records = BTreeMap::new();
    for row in link.fetch_all(ROWS, FACTS_BETWEEN, &span).await? {
        let seq = seq_of(&row)?;
        records.insert(seq, Record::from(fact_of(seq, &row)?));
    }
    for row in link.fetch_all(ROWS, DOCUMENTS_BETWEEN, &span).await? {
        let RawDocument {
            kind,
            key,
            subject,
            body,
        } = document_of(&row)?;
        let document = Record::Document {
            kind,
            key,
            subject,
            body,
        };
        records.insert(seq_of(&row)?, document);
    }
    let entries = link.fetch_all(ROWS, ENTRIES_BETWEEN, &span).await?;
    for (chain, entry) in gather_entries(&entries)? {
        records.insert(chain.seq, Record::from(entry));
    }
    Ok(records)
}

/// Whether no facts follow these, which were read at a time.
fn is_rest(page: &[Recorded<Fact>]) -> bool {
    i64::try_from(page.len()).is_ok_and(|rows| rows < PAGE)
}

/// The facts of rows, each compared with the chain.
pub(crate) fn trusted_facts(rows: &[Row]) -> Result<Vec<Recorded<Fact>>, StoreError> {
    rows.iter()
        .map(|row| {
            let chain = chain_of(row)?;
            let fact = fact_of(chain.seq, row)?;
            ChainBody::of_fact(&fact)?.trusted(&chain)?;
            Ok(recorded(chain, fact))
        })
        .collect()
}

/// The journal's entries of rows, each compared with the chain.
fn trusted_entries(rows: &[Row]) -> Result<Vec<Recorded<Entry>>, StoreError> {
    gather_entries(rows)?
        .into_iter()
        .map(|(chain, entry)| {
            ChainBody::of_entry(&entry)?.trusted(&chain)?;
            Ok(recorded(chain, entry))
        })
        .collect()
}

/// The document of a row, compared with the chain.
pub(crate) fn trusted_document(row: &Row) -> Result<Recorded<RawDocument>, StoreError> {
    let chain = chain_of(row)?;
    let document = document_of(row)?;
    ChainBody::of_document(&document).trusted(&chain)?;
    Ok(recorded(chain, document))
}

/// The document behind its text. The columns beside the text are not covered by its digest, so
/// they are compared with what the document says itself.
fn decoded<D: Document>(raw: Recorded<RawDocument>) -> Result<Recorded<D>, StoreError> {
    let Recorded {
        seq,
        hash,
        value:
            RawDocument {
                kind,
                key,
                subject,
                body,
            },
    } = raw;
    let value: D = match serde_json::from_str(&body) {
        Ok(value) => value,
        Err(source) => {
            return Err(StoreError::Decode {
                seq,
                kind,
                key,
                source,
            });
        }
    };
    if value.key() != key || value.subject() != subject {
        return Err(StoreError::Corrupt {
            seq,
            what: format!("{kind} {key} of {subject} names itself {}", value.key()),
        });
    }
    Ok(Recorded { seq, hash, value })
}
