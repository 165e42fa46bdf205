//! Which objects lie in archives, so that what is told of them again is known.

use std::collections::BTreeMap;

use leasehold_ledger::time::Second;

use crate::backend::{Link, Row, Value};
use crate::codec::column;
use crate::{Store, StoreError, leader};

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
            let page = rows.iter().map(object_of).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let work = take_over(target, &page);
            target.within(REMEMBER, work).await?;
        }
    }
}

fn object_of(row: &Row) -> Result<(String, i64), StoreError> {
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
