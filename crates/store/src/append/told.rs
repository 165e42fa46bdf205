//! Facts that are told again although they left the ledger for an archive.
//!
//! A pod that has ended stays in the cluster for as long as nobody deletes it, and whoever lists the cluster tells of it
//! again. Its rows are not there any more to be compared with, so the ledger remembers its archived objects, and of those
//! that were archived very long ago only that all of that time was told. When the cluster's database was restored, or
//! another cluster took its place, it is told of in the new life what is archived of an earlier one; uids say that it is
//! the same.
//!
//! Whoever tells it all again tells its end as well. A beginning without one is that of an object that counts anew, and is
//! kept. So is everything of an object of which the ledger has something, in whichever life: its meter knows that, and tells
//! what goes on. And so is the true end of what left with an estimated one: nothing is billed by it, but it is not lost.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::archive::object_in;
use leasehold_ledger::document::{ClusterDoc, Document};
use leasehold_ledger::fact::{Fact, FactKind, Meter};
use leasehold_ledger::time::Second;

use super::Prepared;
use super::known::Known;
use crate::archive::{FORGOTTEN, SEALED};
use crate::backend::{Link, Value};
use crate::codec::{column, seq_of};
use crate::{Record, StoreError};

/// How many objects one question asks for.
const OBJECTS: usize = 500;

/// So many lives of a cluster are looked through of which the ledger has no document.
const LIVES: usize = 32;

/// What this is called where an error is told.
const LOOK: &str = "look up what is archived";

const IN_SQLITE: &str = "SELECT a.object AS object, MAX(a.until) AS until \
     FROM json_each($1) AS wanted CROSS JOIN archived_object AS a ON a.object = wanted.value \
     GROUP BY a.object";

const IN_POSTGRES: &str = "SELECT object, max(until) AS until FROM archived_object \
     WHERE object = ANY ($1) GROUP BY object";

/// CROSS JOIN makes SQLite take each uid through their index.
const HERE_IN_SQLITE: &str = "SELECT DISTINCT f.uid AS uid, f.meter AS meter \
     FROM json_each($1) AS wanted CROSS JOIN fact AS f ON f.uid = wanted.value";

const HERE_IN_POSTGRES: &str = "SELECT DISTINCT uid, meter FROM fact WHERE uid = ANY ($1)";

const CLUSTERS: &str = "SELECT seq, key, body FROM document WHERE kind = $1 ORDER BY seq";

/// The keys of those facts of a batch.
#[derive(Debug, Default)]
pub(super) struct ToldAgain(BTreeSet<String>);

/// A fact that may be one of them.
struct Candidate<'a> {
    key: &'a str,
    fact: &'a Fact,
    /// Its object in all lives in which it may be archived, this one included.
    lives: Vec<String>,
}

impl Candidate<'_> {
    /// Whether it is the end that was told. An end that is known better now was not.
    fn is_end(&self) -> bool {
        match self.fact.kind {
            FactKind::Closed => true,
            FactKind::Opened | FactKind::Changed | FactKind::Superseded => false,
        }
    }

    /// Whether it is of a time of which all was told: of its object, where that is listed, or of all.
    fn is_old(&self, listed: &BTreeMap<String, Second>, forgotten: Option<Second>) -> bool {
        let of_it = self.lives.iter().filter_map(|life| listed.get(life));
        let until = of_it.copied().chain(forgotten).max();
        until.is_some_and(|until| self.fact.at < until)
    }

    fn object(&self) -> (String, String) {
        (self.fact.source.uid.clone(), self.fact.meter.to_string())
    }
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
                    lives: Vec::new(),
                });
            }
        }
        if candidates.is_empty() {
            return Ok(told);
        }
        let clusters = clusters(link).await?;
        for one in &mut candidates {
            one.lives = lives(one.fact, &clusters);
        }
        let listed = listed(link, &candidates).await?;
        let forgotten = marks.get(FORGOTTEN).copied();
        candidates.retain(|one| one.is_old(&listed, forgotten));
        let ends = candidates.iter().filter(|one| one.is_end());
        let mut over: BTreeSet<(String, String)> = ends.map(Candidate::object).collect();
        for here in here(link, &over).await? {
            over.remove(&here);
        }
        told.0 = candidates
            .iter()
            .filter(|one| one.fact.kind != FactKind::Superseded)
            .filter(|one| over.contains(&one.object()))
            .map(|one| one.key.to_owned())
            .collect();
        Ok(told)
    }

    /// Whether the record is one of them.
    pub(super) fn holds(&self, item: &Prepared<'_>) -> bool {
        fact_in(item).is_some() && self.0.contains(&item.chain.key)
    }
}

/// The fact of a record, unless it is one of a lease, which is never archived, or a row of another ledger, which is copied
/// as it stands there.
fn fact_in<'a>(item: &Prepared<'a>) -> Option<&'a Fact> {
    match item.record {
        Record::Fact(_) if item.is_copied => None,
        Record::Fact(fact) if !matches!(fact.meter, Meter::Lease { .. }) => Some(fact),
        Record::Fact(_) | Record::Document { .. } | Record::Entry(_) => None,
    }
}

/// The clusters that the ledger knows, each with one life of its database.
async fn clusters(link: &mut Link<'_>) -> Result<Vec<ClusterDoc>, StoreError> {
    let values = [Value::Text(ClusterDoc::KIND)];
    let rows = link.fetch_all(LOOK, CLUSTERS, &values).await?;
    rows.iter()
        .map(|row| {
            let body: String = column(row, "body")?;
            let (seq, key) = (seq_of(row)?, column(row, "key")?);
            serde_json::from_str(&body).map_err(|source| StoreError::Decode {
                seq,
                kind: ClusterDoc::KIND.to_owned(),
                key,
                source,
            })
        })
        .collect()
}

/// The object of a fact in its own life, in those before, and in those of the other clusters of the ledger.
fn lives(fact: &Fact, clusters: &[ClusterDoc]) -> Vec<String> {
    let own = (1..=fact.source.etcd).rev().take(LIVES);
    let own = own.map(|etcd| (fact.source.cluster.as_str(), etcd));
    let known = clusters
        .iter()
        .map(|known| (known.uid.as_str(), known.etcd));
    let lives: BTreeSet<(&str, u32)> = own.chain(known).collect();
    let lives = lives.into_iter();
    lives
        .map(|(cluster, etcd)| object_in(fact, cluster, etcd))
        .collect()
}

/// Up to when all was told of the objects, by life, for those that are listed.
async fn listed(
    link: &mut Link<'_>,
    candidates: &[Candidate<'_>],
) -> Result<BTreeMap<String, Second>, StoreError> {
    let lives = candidates.iter().flat_map(|one| &one.lives);
    let objects: BTreeSet<&str> = lives.map(String::as_str).collect();
    let objects: Vec<&str> = objects.into_iter().collect();
    let mut listed = BTreeMap::new();
    for some in objects.chunks(OBJECTS) {
        listed.append(&mut until(link, some).await?);
    }
    Ok(listed)
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

/// Uids and meters of the objects of which the ledger has a fact, in whichever life. Uids are never given twice.
async fn here(
    link: &mut Link<'_>,
    objects: &BTreeSet<(String, String)>,
) -> Result<Vec<(String, String)>, StoreError> {
    let sql = match link {
        Link::Sqlite(_) => HERE_IN_SQLITE,
        Link::Postgres(_) => HERE_IN_POSTGRES,
    };
    let uids: BTreeSet<&str> = objects.iter().map(|(uid, _)| uid.as_str()).collect();
    let uids: Vec<&str> = uids.into_iter().collect();
    let mut here = Vec::new();
    for some in uids.chunks(OBJECTS) {
        for row in link.fetch_all(LOOK, sql, &[Value::Texts(some)]).await? {
            here.push((column(&row, "uid")?, column(&row, "meter")?));
        }
    }
    Ok(here)
}
