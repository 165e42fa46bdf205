//! What the ledger says, in a form in which two departments can be compared.

use std::collections::BTreeMap;

use leasehold_e2e::Stage;
use leasehold_ledger::verify::Row;
use leasehold_store::Store;
use leasehold_testkit::User;
use serde_json::Value;

use crate::course::told;
use crate::ends::plain;

/// More rows than any run writes.
const ROWS: u32 = 1_000_000;

/// What the ledger says of one department.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    /// What each item of each lease was, one after the other: what happened, and how much there was then.
    leases: BTreeMap<String, Vec<(String, i64)>>,
    /// How often each document stands there, its times and identifiers aside.
    documents: BTreeMap<String, usize>,
}

/// A copy of the ledger as it stands: proven by `leasehold verify`, and its rows.
pub async fn rows(stage: &Stage) -> Result<Vec<Row>, String> {
    let folder = stage.rig.scratch("faults-copy").map_err(told)?;
    let copied = stage.operator.lock().await.copy_ledger(&folder);
    let copy = copied.map_err(told)?;
    let auditor = stage.user(User::Auditor).await.map_err(told)?;
    let path = copy.display().to_string();
    let verify = ["verify", "--db", &path];
    let ran = auditor.leasehold(&verify).await.map_err(told)?;
    ran.ok().map_err(told)?;
    let store = Store::open_read_only(&copy).await;
    let store = store.map_err(|error| error.to_string())?;
    let rows = store.rows(0, ROWS).await;
    store.close().await.map_err(|error| error.to_string())?;
    rows.map_err(|error| error.to_string())
}

impl Books {
    /// Of one department.
    pub fn of(rows: &[Row], code: &str) -> Result<Self, String> {
        let (mut leases, mut documents) = (BTreeMap::new(), BTreeMap::new());
        for row in rows.iter().filter(|row| row.body.contains(code)) {
            let body: Value = serde_json::from_str(&row.body).map_err(|error| error.to_string())?;
            let body = plain(&body, code);
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
            if row.chain.kind != "fact" {
                let (kind, _) = row.chain.key.split_once('/').unwrap_or_default();
                let count: &mut usize = documents.entry(format!("{kind} {body}")).or_default();
                *count = count.saturating_add(1);
                continue;
            }
            let (meter, lease) = (text("/meter"), text("/source/uid"));
            let (Some(meter), Some(lease), Some(kind), Some(quantity)) =
                (meter, lease, text("/kind"), body["quantity"].as_i64())
            else {
                return Err(format!("failed to read the fact {body}"));
            };
            let life: &mut Vec<(String, i64)> =
                leases.entry(format!("{lease} {meter}")).or_default();
            life.push((kind.to_owned(), quantity));
        }
        Ok(Self { leases, documents })
    }

    /// Whether each item of each lease was begun once, changed only while it was open, and ended once at most.
    pub fn are_billed_once(&self) -> Result<(), String> {
        if self.leases.is_empty() {
            return Err("no lease is billed".to_owned());
        }
        for (item, life) in &self.leases {
            let kinds: Vec<&str> = life.iter().map(|(kind, _)| kind.as_str()).collect();
            let (["Opened", rest @ .., "Closed"] | ["Opened", rest @ ..]) = kinds.as_slice() else {
                return Err(format!("{item} does not begin once: {life:?}"));
            };
            if rest.iter().any(|kind| *kind != "Changed") {
                return Err(format!("{item} is begun or ended twice: {life:?}"));
            }
        }
        Ok(())
    }

    /// The first difference, in words.
    pub fn difference(&self, found: &Self) -> Option<String> {
        differ("the lease", &self.leases, &found.leases)
            .or_else(|| differ("the document", &self.documents, &found.documents))
    }
}

fn differ<V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
) -> Option<String> {
    let key = expected
        .keys()
        .chain(found.keys())
        .find(|key| expected.get(*key) != found.get(*key))?;
    let (one, other) = (expected.get(key), found.get(key));
    Some(format!(
        "{what} {key} stands in the ledger as {other:?} instead of {one:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Life<'a> = &'a [(&'a str, i64)];

    fn books(lives: &[(&str, Life<'_>)], documents: &[(&str, usize)]) -> Books {
        let lives = lives.iter().map(|(item, life)| {
            let life = life
                .iter()
                .map(|(kind, quantity)| ((*kind).to_owned(), *quantity));
            ((*item).to_owned(), life.collect())
        });
        let documents = documents
            .iter()
            .map(|(text, count)| ((*text).to_owned(), *count));
        Books {
            leases: lives.collect(),
            documents: documents.collect(),
        }
    }

    fn one(life: Life<'_>) -> Books {
        books(&[("CODE/oa/1 lease/memory", life)], &[("request", 2)])
    }

    #[test]
    fn a_lease_is_begun_changed_and_ended_once() {
        for life in [
            &[("Opened", 8)][..],
            &[("Opened", 8), ("Closed", 0)],
            &[
                ("Opened", 8),
                ("Changed", 12),
                ("Changed", 6),
                ("Closed", 0),
            ],
        ] {
            assert_eq!(one(life).are_billed_once(), Ok(()), "{life:?}");
        }
        for life in [
            &[][..],
            &[("Changed", 8)],
            &[("Opened", 8), ("Opened", 8)],
            &[("Opened", 8), ("Closed", 0), ("Closed", 0)],
            &[("Opened", 8), ("Closed", 0), ("Opened", 8)],
            &[("Opened", 8), ("Closed", 0), ("Changed", 6)],
        ] {
            assert!(one(life).are_billed_once().is_err(), "{life:?}");
        }
        assert!(books(&[], &[]).are_billed_once().is_err());
    }

    #[test]
    fn another_quantity_another_document_and_one_too_many_are_told() {
        let known = one(&[("Opened", 8), ("Changed", 12)]);
        assert_eq!(
            known.difference(&one(&[("Opened", 8), ("Changed", 12)])),
            None
        );
        let told = known
            .difference(&one(&[("Opened", 8), ("Changed", 6)]))
            .unwrap();
        assert!(
            told.starts_with("the lease CODE/oa/1 lease/memory"),
            "{told}"
        );
        let life: Life<'_> = &[("Opened", 8), ("Changed", 12)];
        let item = "CODE/oa/1 lease/memory";
        for documents in [
            &[][..],
            &[("request", 3)],
            &[("request", 2), ("decision", 1)],
        ] {
            let told = known
                .difference(&books(&[(item, life)], documents))
                .unwrap();
            assert!(told.starts_with("the document "), "{told}");
        }
        let told = known.difference(&books(&[], &[("request", 2)])).unwrap();
        assert!(told.starts_with("the lease "), "{told}");
    }
}
