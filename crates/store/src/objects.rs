//! What the ledger remembers of single objects, for the meters.
//!
//! A ledger of years holds more facts than one statement can look at within its deadline, so they are gone through by the uids
//! of the objects, some at a time.

use leasehold_ledger::fact::{Fact, FactKind};

use crate::backend::Value;
use crate::codec::{chain_columns, column, fact_columns, to_word};
use crate::read::trusted_facts;
use crate::{Recorded, Store, StoreError};

/// About so many facts are looked at by one statement.
const STRETCH: i64 = 10_000;

/// So many objects are asked for by one statement.
const UIDS: usize = 200;

/// Behind every uid.
const BEHIND_ALL: &str = "\u{10ffff}";

/// What reading open objects is called where an error is told.
const OPEN: &str = "read open objects";

/// The last uid of a stretch that begins behind another one; none when the rest is shorter.
const END_OF_STRETCH: &str =
    "SELECT f.uid AS uid FROM fact f WHERE f.uid > $1 ORDER BY f.uid LIMIT 1 OFFSET $2";

/// An object is open while its last opening has no end after it. By row and not by instant: an end
/// that is known better later may lie before a change that was observed earlier.
const OPEN_OBJECTS: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM fact f JOIN chain c ON c.seq = f.seq JOIN (",
    "SELECT MAX(CASE WHEN g.kind = $1 THEN g.seq END) AS opened, ",
    "MAX(CASE WHEN g.kind IN ($1, $2) THEN g.seq END) AS latest, ",
    "MAX(CASE WHEN g.kind NOT IN ($1, $2) THEN g.seq END) AS ended ",
    "FROM fact g WHERE g.uid > $5 AND g.uid <= $6 ",
    "AND substr(g.meter, 1, CAST($3 AS INTEGER)) = $4 ",
    "GROUP BY g.cluster, g.etcd, g.uid, g.meter",
    ") o ON o.latest = f.seq WHERE o.ended IS NULL OR o.ended < o.opened ORDER BY f.seq"
);

/// The uids are one JSON array; CROSS JOIN makes SQLite take each of them through the index of uids.
const OF_OBJECTS_IN_SQLITE: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM json_each($1) AS wanted CROSS JOIN fact f ON f.uid = wanted.value ",
    "JOIN chain c ON c.seq = f.seq ORDER BY f.seq"
);

/// The same for PostgreSQL, which takes the uids as an array.
const OF_OBJECTS_IN_POSTGRES: &str = concat!(
    "SELECT ",
    chain_columns!(),
    ", ",
    fact_columns!(),
    " FROM fact f JOIN chain c ON c.seq = f.seq WHERE f.uid = ANY ($1) ORDER BY f.seq"
);

impl Store {
    /// The latest observation of each object that is not closed, of the meters whose name begins
    /// with `meter_prefix`: what a meter continues from after a restart. In row order. Each stretch of uids has the store's
    /// deadline, not the whole.
    pub async fn open_objects(
        &self,
        meter_prefix: &str,
    ) -> Result<Vec<Recorded<Fact>>, StoreError> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let until = self.end_of_stretch(&after).await?;
            let between = [after.as_str(), until.as_deref().unwrap_or(BEHIND_ALL)];
            found.extend(self.open_between(meter_prefix, between).await?);
            let Some(until) = until else { break };
            after = until;
        }
        found.sort_by_key(|recorded| recorded.seq);
        Ok(found)
    }

    async fn end_of_stretch(&self, after: &str) -> Result<Option<String>, StoreError> {
        let values = [Value::Text(after), Value::Integer(STRETCH)];
        let reading = self.reader().fetch_optional(OPEN, END_OF_STRETCH, &values);
        let row = self.within(OPEN, reading).await?;
        row.as_ref().map(|row| column(row, "uid")).transpose()
    }

    async fn open_between(
        &self,
        meter_prefix: &str,
        [after, until]: [&str; 2],
    ) -> Result<Vec<Recorded<Fact>>, StoreError> {
        // PostgreSQL counts characters with 32 bits
        let length = i32::try_from(meter_prefix.chars().count()).unwrap_or(i32::MAX);
        let opened = to_word("fact", &FactKind::Opened)?;
        let changed = to_word("fact", &FactKind::Changed)?;
        let values = [
            Value::Text(&opened),
            Value::Text(&changed),
            Value::Integer(length.into()),
            Value::Text(meter_prefix),
            Value::Text(after),
            Value::Text(until),
        ];
        let reading = self.reader().fetch_all(OPEN, OPEN_OBJECTS, &values);
        self.trusting(trusted_facts(&self.within(OPEN, reading).await?))
    }

    /// Everything that was observed of the objects with these uids, of each in row order. A few of them at a time have the
    /// store's deadline, not all.
    pub async fn facts_of(&self, uids: &[&str]) -> Result<Vec<Recorded<Fact>>, StoreError> {
        const DOING: &str = "read the facts of objects";
        let sql = if self.reader().is_server() {
            OF_OBJECTS_IN_POSTGRES
        } else {
            OF_OBJECTS_IN_SQLITE
        };
        let mut found = Vec::new();
        for some in uids.chunks(UIDS) {
            let values = [Value::Texts(some)];
            let reading = self.reader().fetch_all(DOING, sql, &values);
            let rows = self.within(DOING, reading).await?;
            found.extend(self.trusting(trusted_facts(&rows))?);
        }
        Ok(found)
    }
}
