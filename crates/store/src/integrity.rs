//! Whether the database still holds what was written into it.

mod header;
mod pages;

use leasehold_ledger::archive::Hole;
use leasehold_ledger::document::{PeriodOpenDoc, listed_by};
use leasehold_ledger::journal::{ChainRow, genesis, link};

use crate::archive::across;
use crate::backend::Value;
use crate::codec::{chain_columns, column, document_columns, seq_of, to_integer};
use crate::read::trusted_document;
use crate::{Integrity, RawDocument, Recorded, Store, StoreError, schema};

pub use self::header::first_look;

/// How many rows are recomputed at a time.
const PAGE: u32 = 1000;

/// What this is called where an error is told.
const CHECK: &str = "check the database";

/// How often it begins anew when facts were archived meanwhile.
const ATTEMPTS: usize = 3;

/// So many rows are looked for what has no place at a time.
const SPAN: i64 = 100_000;

/// What has no place, of rows after one and up to another: a body of each table whose row of the chain is missing or is of
/// another kind, a posting that has no entry, and an entry whose postings are not numbered from 1.
const STRAY: [(&str, &str); 5] = [
    (
        "fact",
        "SELECT b.seq AS seq FROM fact b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq AND c.kind = 'fact') \
         ORDER BY b.seq LIMIT 1",
    ),
    (
        "document",
        "SELECT b.seq AS seq FROM document b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq AND c.kind = 'document') \
         ORDER BY b.seq LIMIT 1",
    ),
    (
        "entry",
        "SELECT b.seq AS seq FROM entry b WHERE b.seq > $1 AND b.seq <= $2 \
         AND NOT EXISTS (SELECT 1 FROM chain c WHERE c.seq = b.seq AND c.kind = 'entry') \
         ORDER BY b.seq LIMIT 1",
    ),
    (
        "posting",
        "SELECT p.entry AS seq FROM posting p WHERE p.entry > $1 AND p.entry <= $2 \
         AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.seq = p.entry) \
         ORDER BY p.entry LIMIT 1",
    ),
    (
        "posting",
        "SELECT p.entry AS seq FROM posting p WHERE p.entry > $1 AND p.entry <= $2 GROUP BY p.entry \
         HAVING MIN(p.n) <> 1 OR MAX(p.n) <> COUNT(*) ORDER BY p.entry LIMIT 1",
    ),
];

/// The number of the row that comes so many rows after another one.
const LATER: &str = "SELECT seq FROM chain WHERE seq > $1 ORDER BY seq LIMIT 1 OFFSET $2";

/// Documents with what lies beside their texts.
const LISTED: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    document_columns!(),
    " FROM document d JOIN chain c ON c.seq = d.seq WHERE d.seq > $1 ORDER BY d.seq LIMIT $2"
);

impl Store {
    /// Checks the file, every row's digest and every link of the chain, from the first row on, and what lies beside it. Of
    /// rows that lie in archives it checks the hashes around them.
    ///
    /// SQLite's own check comes first but is not enough: it does not see most bits that flip
    /// inside a value. The chain is the proof, in both databases. Whether the money is right is another question, which
    /// [`leasehold_ledger::verify`] answers from [`Store::rows`]. Each page of rows has the
    /// store's deadline, not the whole; the check of a file's pages has an hour.
    ///
    /// What is found while facts are archived may be no more than that: it begins anew then ([`StoreError::Moved`] if it
    /// happens again and again).
    pub async fn integrity(&self) -> Result<Integrity, StoreError> {
        self.check_file().await?;
        for _ in 0..ATTEMPTS {
            let holes = self.dug_holes().await?;
            let found = self.recompute(&holes).await;
            let differs = matches!(found, Err(StoreError::Corrupt { .. }));
            if !differs || self.dug_holes().await? == holes {
                return found;
            }
        }
        Err(StoreError::Moved)
    }

    /// Every row and every link of the chain, and its holes, if nothing is archived meanwhile.
    async fn recompute(&self, holes: &[(Hole, u64)]) -> Result<Integrity, StoreError> {
        let mut rows = 0_u64;
        let mut head = genesis();
        loop {
            let page = self.page(rows, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (chain, body) in page {
                if let Some((hole, _)) = across(holes, (rows, head.as_str()), chain.seq) {
                    (rows, head) = (hole.last, hole.hash.clone());
                }
                check_link(&chain, rows, head.as_str())?;
                body.trusted(&chain)?;
                rows = chain.seq;
                head = chain.hash;
            }
        }
        let holes: Vec<Hole> = holes.iter().map(|(hole, _)| hole.clone()).collect();
        self.check_holes(&holes).await?;
        self.check_beside().await?;
        Ok(Integrity { rows, head })
    }

    /// The database's own checks: the pages of a file, which may take an hour, and rows without a row of the chain, which
    /// have no weight and are told all the same. Whoever recomputes the rows from [`Store::rows`] needs this before.
    pub async fn check_file(&self) -> Result<(), StoreError> {
        if !self.reader().is_server() {
            self.check_pages().await?;
        }
        let stretches = self.stretches(SPAN).await;
        for (table, sql) in STRAY {
            for (after, until) in &stretches {
                let values = [Value::Integer(*after), Value::Integer(*until)];
                let found = self.reader().fetch_optional(CHECK, sql, &values);
                if let Some(row) = self.within(CHECK, found).await? {
                    return Err(stray(table, seq_of(&row)?));
                }
            }
        }
        Ok(())
    }

    /// The stretches of numbers in which rows are looked at, as what is before the first and the last number of each, with so
    /// many rows of the chain and one: a number that was changed may be as large as numbers get, and makes no more of them.
    /// The first one begins before all numbers and the last one goes on to the end. Where the chain cannot be read, whoever
    /// reads its rows says so.
    async fn stretches(&self, span: i64) -> Vec<(i64, i64)> {
        let mut stretches = Vec::new();
        let mut after = i64::MIN;
        loop {
            let values = [Value::Integer(after), Value::Integer(span)];
            let reading = self.reader().fetch_optional(CHECK, LATER, &values);
            let Ok(Some(row)) = self.within(CHECK, reading).await else {
                break;
            };
            let Ok(until) = column::<i64>(&row, "seq") else {
                break;
            };
            // a tree of pages that is damaged may lead to a number that was not asked for, again and again
            if until <= after {
                break;
            }
            stretches.push((after, until));
            after = until;
        }
        stretches.push((after, i64::MAX));
        stretches
    }

    /// What neither the chain nor the database covers: the columns that documents are listed by, the mark of a rehearsal,
    /// where watches continue, which archive dug a hole, up to when objects are archived, and how a file defines its tables
    /// and what keeps them from being changed. Whoever recomputes the rows from [`Store::rows`] needs this after.
    pub async fn check_beside(&self) -> Result<(), StoreError> {
        self.check_listed().await?;
        self.check_periods().await?;
        self.check_cursors().await?;
        self.check_diggers().await?;
        self.check_remembered().await?;
        if self.reader().is_server() {
            return Ok(());
        }
        let comparing = async {
            let model = Self::in_memory().await?;
            schema::compare(self.reader(), model.reader()).await
        };
        self.within(CHECK, comparing).await
    }

    /// Documents are listed by what their texts say.
    async fn check_listed(&self) -> Result<(), StoreError> {
        let mut after = 0_u64;
        loop {
            let values = [
                Value::Integer(to_integer("sequence number", after)?),
                Value::Integer(PAGE.into()),
            ];
            let reading = self.reader().fetch_all(CHECK, LISTED, &values);
            let page = self.within(CHECK, reading).await?;
            if page.is_empty() {
                return Ok(());
            }
            for row in &page {
                let document = trusted_document(row)?;
                after = document.seq;
                check_listing(document)?;
            }
        }
    }

    /// All periods are of the kind that the ledger is marked with.
    async fn check_periods(&self) -> Result<(), StoreError> {
        let marked = match self.rehearsal().await {
            // it is the only row of its table
            Err(StoreError::Database { source, .. }) => Err(StoreError::Corrupt {
                seq: 0,
                what: format!("row 1 of meta, the mark of a rehearsal, cannot be read: {source}"),
            }),
            marked => marked,
        }?;
        let opened = self.documents::<PeriodOpenDoc>(None, None).await?;
        let stranger = opened
            .iter()
            .find(|document| Some(document.value.period.rehearsal()) != marked);
        stranger.map_or(Ok(()), |document| {
            Err(StoreError::Corrupt {
                seq: document.seq,
                what: format!(
                    "period {} does not fit a ledger whose mark of a rehearsal is {marked:?}",
                    document.value.period.name
                ),
            })
        })
    }
}

fn stray(table: &str, seq: u64) -> StoreError {
    StoreError::Corrupt {
        seq,
        what: format!("row {seq} of {table} is not as the chain and its numbers have it"),
    }
}

/// A document whose kind nobody knows is told where it is read.
fn check_listing(document: Recorded<RawDocument>) -> Result<(), StoreError> {
    let Recorded { seq, value, .. } = document;
    match listed_by(&value.kind, &value.body) {
        None => Ok(()),
        Some(Ok(listed)) if listed == value.subject => Ok(()),
        Some(Ok(listed)) => Err(StoreError::Corrupt {
            seq,
            what: format!("it is listed by {}, its text says {listed}", value.subject),
        }),
        Some(Err(source)) => Err(StoreError::Decode {
            seq,
            kind: value.kind,
            key: value.key,
            source,
        }),
    }
}

/// The row follows the row before and carries the hash of its own content.
pub(crate) fn check_link(chain: &ChainRow, before: u64, prev: &str) -> Result<(), StoreError> {
    if chain.seq != before + 1 {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("row {} is missing before it", before + 1),
        });
    }
    if chain.prev.as_str() != prev {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("it follows hash {}, the row before has {prev}", chain.prev),
        });
    }
    let hash = link(
        chain.seq,
        &chain.kind,
        &chain.key,
        &chain.digest,
        &chain.prev,
    );
    if hash != chain.hash {
        return Err(StoreError::Corrupt {
            seq: chain.seq,
            what: format!("its hash is {}, its content has {hash}", chain.hash),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::DepartmentDoc;
    use leasehold_ledger::time::Second;

    use super::*;
    use crate::{Batch, Record};

    /// Writes so many documents into a ledger, a row each.
    pub(super) async fn write(store: &Store, rows: u64) {
        let records = (1..=rows).map(|n| {
            let department = DepartmentDoc {
                code: format!("d{n}"),
                display_name: "市政府办".to_owned(),
                budget_unit: None,
                parent: None,
                at: Second::new(0),
            };
            Record::document(&department).unwrap()
        });
        let batch = Batch::of(records.collect());
        store.commit(&batch, Second::new(1)).await.unwrap();
    }

    #[tokio::test]
    async fn stretches_follow_each_other_and_the_outermost_have_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ledger.db")).await.unwrap();
        assert_eq!(store.stretches(2).await, [(i64::MIN, i64::MAX)]);
        write(&store, 7).await;
        // rows 1 to 7: two are passed over, and the next one is the last
        assert_eq!(
            store.stretches(2).await,
            [(i64::MIN, 3), (3, 6), (6, i64::MAX)]
        );
        assert_eq!(store.stretches(7).await, [(i64::MIN, i64::MAX)]);
    }
}
