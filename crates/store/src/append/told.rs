//! Facts that are told again although they left the ledger for an archive.
//!
//! A pod that has ended stays in the cluster for as long as nobody deletes it, and whoever lists the cluster tells of it
//! again. Its rows are not there any more to be compared with, so the ledger remembers its archived objects, and of those
//! that were archived very long ago only that all of that time was told.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::archive::object_of;
use leasehold_ledger::fact::{Fact, FactKind, Meter};
use leasehold_ledger::time::Second;

use super::Prepared;
use super::known::Known;
use crate::archive::{FORGOTTEN, SEALED};
use crate::backend::{Link, Value};
use crate::codec::column;
use crate::{Record, StoreError};

/// How many objects one question asks for.
const OBJECTS: usize = 500;

/// What this is called where an error is told.
const LOOK: &str = "look up what is archived";

const IN_SQLITE: &str = "SELECT a.object AS object, MAX(a.until) AS until \
     FROM json_each($1) AS wanted CROSS JOIN archived_object AS a ON a.object = wanted.value \
     GROUP BY a.object";

const IN_POSTGRES: &str = "SELECT object, max(until) AS until FROM archived_object \
     WHERE object = ANY ($1) GROUP BY object";

const IS_HERE: &str = "SELECT seq FROM fact \
     WHERE cluster = $1 AND etcd = $2 AND uid = $3 AND meter = $4 LIMIT 1";

/// The keys of those facts of a batch.
#[derive(Debug, Default)]
pub(super) struct ToldAgain(BTreeSet<String>);

/// A fact that may be one of them, with its object.
struct Candidate<'a> {
    key: &'a str,
    fact: &'a Fact,
    object: String,
}

impl ToldAgain {
    /// Looks them up. A ledger without archives is asked once.
    pub(super) async fn among(
        link: &mut Link<'_>,
        prepared: &[Prepared<'_>],
        known: &Known,
    ) -> Result<Self, StoreError> {
        let mut told = Self::default();
        if !prepared.iter().any(|item| fact_in(item).is_some()) {
            return Ok(told);
        }
        let marks = until(link, &[SEALED, FORGOTTEN]).await?;
        let Some(sealed) = marks.get(SEALED) else {
            return Ok(told);
        };
        let mut candidates = Vec::new();
        for item in prepared {
            if let Some(fact) = fact_in(item)
                && fact.at < *sealed
                && !known.holds(item)?
            {
                candidates.push(Candidate {
                    key: &item.chain.key,
                    fact,
                    object: object_of(fact),
                });
            }
        }
        let objects: Vec<&str> = candidates.iter().map(|one| one.object.as_str()).collect();
        let mut listed = BTreeMap::new();
        for some in objects.chunks(OBJECTS) {
            listed.append(&mut until(link, some).await?);
        }
        let is_told = |one: &&Candidate<'_>| {
            listed
                .get(&one.object)
                .is_some_and(|until| one.fact.at < *until)
        };
        told.0.extend(
            candidates
                .iter()
                .filter(is_told)
                .map(|one| one.key.to_owned()),
        );
        if let Some(forgotten) = marks.get(FORGOTTEN) {
            told.add_forgotten(link, &candidates, *forgotten).await?;
        }
        Ok(told)
    }

    /// Adds what has ended before all that is listed, unless the ledger has something of the object.
    async fn add_forgotten(
        &mut self,
        link: &mut Link<'_>,
        candidates: &[Candidate<'_>],
        forgotten: Second,
    ) -> Result<(), StoreError> {
        let old = || candidates.iter().filter(|one| one.fact.at < forgotten);
        let ends =
            |one: &&Candidate<'_>| matches!(one.fact.kind, FactKind::Closed | FactKind::Superseded);
        let mut over: BTreeMap<&str, &Fact> = BTreeMap::new();
        for one in old().filter(ends) {
            over.insert(&one.object, one.fact);
        }
        for (object, fact) in over {
            if is_here(link, fact).await? {
                continue;
            }
            let of_it = old().filter(|one| one.object == object);
            self.0.extend(of_it.map(|one| one.key.to_owned()));
        }
        Ok(())
    }

    /// Whether the record is one of them.
    pub(super) fn holds(&self, item: &Prepared<'_>) -> bool {
        fact_in(item).is_some() && self.0.contains(&item.chain.key)
    }
}

/// The fact of a record, unless it is one of a lease, which is never archived.
fn fact_in<'a>(item: &Prepared<'a>) -> Option<&'a Fact> {
    match item.record {
        Record::Fact(fact) if !matches!(fact.meter, Meter::Lease { .. }) => Some(fact),
        Record::Fact(_) | Record::Document { .. } | Record::Entry(_) => None,
    }
}

/// Up to when all was told of these objects, for those that are listed.
async fn until(
    link: &mut Link<'_>,
    objects: &[&str],
) -> Result<BTreeMap<String, Second>, StoreError> {
    let sql = match link {
        Link::Sqlite(_) => IN_SQLITE,
        Link::Postgres(_) => IN_POSTGRES,
    };
    let rows = link.fetch_all(LOOK, sql, &[Value::Texts(objects)]).await?;
    rows.iter()
        .map(|row| Ok((column(row, "object")?, Second::new(column(row, "until")?))))
        .collect()
}

/// Whether the ledger has a fact of the object.
async fn is_here(link: &mut Link<'_>, fact: &Fact) -> Result<bool, StoreError> {
    let source = &fact.source;
    let meter = fact.meter.to_string();
    let values = [
        Value::Text(&source.cluster),
        Value::Integer(source.etcd.into()),
        Value::Text(&source.uid),
        Value::Text(&meter),
    ];
    let row = link.fetch_optional(LOOK, IS_HERE, &values).await?;
    Ok(row.is_some())
}
