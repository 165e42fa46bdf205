//! Which objects lie in archives, so that what is told of them again is known.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::archive::object_of;
use leasehold_ledger::document::ArchiveDoc;
use leasehold_ledger::fact::Fact;
use leasehold_ledger::time::Second;

use super::{ArchiveFile, REMEMBERED};
use crate::backend::{Link, Row, Value};
use crate::codec::column;
use crate::{Recorded, Store, StoreError, leader};

/// Stands for the newest archive.
pub(crate) const SEALED: &str = "sealed";

/// Stands for archives that are so old that their objects are not listed any more.
pub(crate) const FORGOTTEN: &str = "forgotten";

/// How many objects one statement has.
const GROUP: usize = 500;

/// How many are read at a time.
const PAGE: i64 = 5000;

/// What this is called where an error is told.
const REMEMBER: &str = "remember what is archived";

const IN_SQLITE: &str = "INSERT INTO archived_object (object, until) \
     SELECT value, $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";

const IN_POSTGRES: &str = "INSERT INTO archived_object (object, until) \
     SELECT object, $2 FROM unnest($1::text[]) AS given (object) ON CONFLICT DO NOTHING";

const FORGET: &str = "DELETE FROM archived_object WHERE until <= $1";

const AFTER: &str = "SELECT object, until FROM archived_object \
     WHERE (object, until) > ($1, $2) ORDER BY object, until LIMIT $3";

/// Of which archives objects are remembered, beside the marks.
const ARCHIVES: &str = "SELECT DISTINCT until FROM archived_object \
     WHERE object NOT IN ('sealed', 'forgotten') ORDER BY until";

/// Up to when a mark says that all was told.
const MARK: &str =
    "SELECT until FROM archived_object WHERE object = $1 ORDER BY until DESC LIMIT 1";

/// The objects of an archive, in order.
const OF_ARCHIVE: &str = "SELECT object, until FROM archived_object \
     WHERE until = $1 AND object > $2 AND object NOT IN ('sealed', 'forgotten') \
     ORDER BY object LIMIT $3";

/// So many rows of a file are read at a time.
const ROWS: u32 = 1000;

/// Remembers objects of whose use all was told that was before an instant.
pub(crate) async fn remember(
    link: &mut Link<'_>,
    objects: &[&str],
    until: Second,
) -> Result<(), StoreError> {
    let sql = match link {
        Link::Sqlite(_) => IN_SQLITE,
        Link::Postgres(_) => IN_POSTGRES,
    };
    for some in objects.chunks(GROUP) {
        let values = [Value::Texts(some), Value::Integer(until.get())];
        link.execute(REMEMBER, sql, &values).await?;
    }
    Ok(())
}

/// Lists objects no more whose archives end at an instant or before, and remembers that instead.
pub(crate) async fn forget(link: &mut Link<'_>, until: Second) -> Result<(), StoreError> {
    let values = [Value::Integer(until.get())];
    link.execute(REMEMBER, FORGET, &values).await?;
    remember(link, &[FORGOTTEN], until).await
}

impl Store {
    /// What is remembered of archived objects fits the archives: the marks, and that nothing is of an archive that is none or
    /// that is forgotten. Whether it is each object of an archive says [`Store::check_objects`].
    pub(crate) async fn check_remembered(&self) -> Result<(), StoreError> {
        let archives = self.documents::<ArchiveDoc>(None, None).await?;
        let reading = self.reader().fetch_all(REMEMBER, ARCHIVES, &[]);
        let rows = self.within(REMEMBER, reading).await?;
        let untils = rows
            .iter()
            .map(|row| Ok(Second::new(column(row, "until")?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let [sealed, forgotten] = [self.mark(SEALED).await?, self.mark(FORGOTTEN).await?];
        if !archives.is_empty() && self.holes().await?.is_empty() {
            // a copy from before the archives that has the rows themselves
            return Ok(());
        }
        let corrupt = |what: String| StoreError::Corrupt {
            seq: archives.last().map_or(0, |newest| newest.seq),
            what: format!(
                "what is remembered of archived objects does not fit the archives: {what}"
            ),
        };
        let (newest, oldest) = marks(&archives);
        for (name, found, expected) in [(SEALED, sealed, newest), (FORGOTTEN, forgotten, oldest)] {
            if found != expected {
                return Err(corrupt(format!(
                    "{name} is {found:?} instead of {expected:?}"
                )));
            }
        }
        let known: BTreeSet<Second> = archives.iter().map(|doc| doc.value.ended_before).collect();
        let strange = untils
            .into_iter()
            .find(|until| !known.contains(until) || Some(*until) <= oldest);
        strange.map_or(Ok(()), |until| {
            Err(corrupt(format!(
                "no archive remembers objects up to {until}"
            )))
        })
    }

    /// What is remembered of an archive's objects is each object of its file and no other. An archive that is so old that
    /// only the time is remembered has none.
    pub async fn check_objects(
        &self,
        document: &Recorded<ArchiveDoc>,
        file: &ArchiveFile,
    ) -> Result<(), StoreError> {
        let until = document.value.ended_before;
        if Some(until) <= self.mark(FORGOTTEN).await? {
            return Ok(());
        }
        let mut there = objects_in(file).await?;
        let corrupt = |what: &str| StoreError::Corrupt {
            seq: document.seq,
            what: format!(
                "what is remembered of the objects in the archive of {} differs from its file: {what}",
                document.value.period
            ),
        };
        let mut after = String::new();
        loop {
            let values = [
                Value::Integer(until.get()),
                Value::Text(&after),
                Value::Integer(PAGE),
            ];
            let reading = self.reader().fetch_all(REMEMBER, OF_ARCHIVE, &values);
            let rows = self.within(REMEMBER, reading).await?;
            for row in &rows {
                let (object, _) = remembered(row)?;
                if !there.remove(&object) {
                    return Err(corrupt("one is remembered that is not in it"));
                }
                after = object;
            }
            if rows.is_empty() {
                break;
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        Err(corrupt("one that is in it is not remembered"))
    }

    async fn mark(&self, name: &str) -> Result<Option<Second>, StoreError> {
        let values = [Value::Text(name)];
        let reading = self.reader().fetch_optional(REMEMBER, MARK, &values);
        let row = self.within(REMEMBER, reading).await?;
        row.map(|row| Ok(Second::new(column(&row, "until")?)))
            .transpose()
    }

    /// Copies what is remembered of archived objects.
    pub(crate) async fn copy_objects(&self, target: &Self) -> Result<(), StoreError> {
        let mut after = (String::new(), i64::MIN);
        loop {
            let values = [
                Value::Text(&after.0),
                Value::Integer(after.1),
                Value::Integer(PAGE),
            ];
            let reading = self.reader().fetch_all(REMEMBER, AFTER, &values);
            let rows = self.within(REMEMBER, reading).await?;
            let page = rows.iter().map(remembered).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let work = take_over(target, &page);
            target.within(REMEMBER, work).await?;
        }
    }
}

fn remembered(row: &Row) -> Result<(String, i64), StoreError> {
    Ok((column(row, "object")?, column(row, "until")?))
}

/// Writes what another ledger remembers.
async fn take_over(target: &Store, page: &[(String, i64)]) -> Result<(), StoreError> {
    let mut by_instant: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (object, until) in page {
        by_instant.entry(*until).or_default().push(object);
    }
    let writer = target.writer()?;
    let mut turn = writer.pool.begin(REMEMBER).await?;
    let mut link = turn.link();
    leader::refuse_older(&mut link, writer.epoch).await?;
    for (until, objects) in by_instant {
        remember(&mut link, &objects, Second::new(until)).await?;
    }
    turn.commit(REMEMBER).await
}

/// What the marks must be: the end of the newest archive, and that of the newest one whose objects are not listed any more.
fn marks(archives: &[Recorded<ArchiveDoc>]) -> (Option<Second>, Option<Second>) {
    let mut ends: Vec<Second> = archives.iter().map(|doc| doc.value.ended_before).collect();
    ends.sort_unstable();
    ends.reverse();
    (ends.first().copied(), ends.get(REMEMBERED).copied())
}

/// The objects of the facts in a file.
async fn objects_in(file: &ArchiveFile) -> Result<BTreeSet<String>, StoreError> {
    let mut objects = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = file.rows(after, ROWS).await?;
        let Some(last) = page.last().map(|row| row.chain.seq) else {
            return Ok(objects);
        };
        after = last;
        for row in page {
            let fact: Fact = match serde_json::from_str(&row.body) {
                Ok(fact) => fact,
                Err(source) => {
                    return Err(StoreError::Decode {
                        seq: row.chain.seq,
                        kind: row.chain.kind,
                        key: row.chain.key,
                        source,
                    });
                }
            };
            objects.insert(object_of(&fact));
        }
    }
}
