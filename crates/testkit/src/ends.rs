//! What is there in the end and what the ledger says of it, in a form in which two runs, or two departments that did the
//! same, can be compared: without times, identifiers and figures that change all the time.

use std::{collections::BTreeMap, sync::LazyLock};

use leasehold_api::conditions::types;
use leasehold_ledger::verify::Row;
use regex::Regex;
use serde_json::{Map, Value};

/// Objects by what names them, each as [`normal`] leaves it.
pub type State = BTreeMap<String, Value>;

/// Metadata of which every object has its own.
const OF_ITS_OWN: [&str; 5] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
];
/// Parts of a status that are figures of an instant, or a story of which the operator may die before it tells the end.
const FIGURES: [&str; 6] = [
    "history",
    "usage",
    "used",
    "period",
    "creditLeft",
    "finalBill",
];
/// What a condition has of its own: when it came about, and for which generation it was last written.
const OF_A_CONDITION: [&str; 2] = ["lastTransitionTime", "observedGeneration"];

#[expect(
    clippy::unwrap_used,
    reason = "the pattern is written here, and a test uses it"
)]
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)").unwrap()
});
#[expect(
    clippy::unwrap_used,
    reason = "the pattern is written here, and a test uses it"
)]
static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
});
/// Where a question begins to tell of other leases: which of them are there depends on who asked first. It ends with that.
const CHECKS: &str = "\nChecks:\n";
/// Digests of what names a department, an instant or an identifier.
#[expect(
    clippy::unwrap_used,
    reason = "the pattern is written here, and a test uses it"
)]
static DIGEST: LazyLock<Regex> = LazyLock::new(|| Regex::new("sha256:[0-9a-f]{64}").unwrap());

/// An object that can be compared with its like in another run, or in another department if a `code` is given.
pub fn normal(object: &Value, code: Option<&str>) -> Value {
    let mut object = plain(object, code);
    without(object.get_mut("metadata"), &OF_ITS_OWN);
    without(object.get_mut("status"), &FIGURES);
    if let Some(conditions) = object.pointer_mut("/status/conditions") {
        level(conditions);
    }
    if let Some(Value::String(snapshot)) = object.pointer_mut("/spec/snapshot")
        && let Some(checks) = snapshot.find(CHECKS)
    {
        snapshot.truncate(checks);
    }
    object
}

fn without(part: Option<&mut Value>, fields: &[&str]) {
    if let Some(map) = part.and_then(Value::as_object_mut) {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
}

/// Conditions stand in the order in which they came up.
fn level(conditions: &mut Value) {
    let Some(list) = conditions.as_array_mut() else {
        return;
    };
    // which period a bill waits for is a figure of an instant
    list.retain(|condition| condition.get("type").and_then(Value::as_str) != Some(types::BILLED));
    for condition in list.iter_mut() {
        without(Some(condition), &OF_A_CONDITION);
    }
    list.sort_by_key(|condition| {
        let name = condition.get("type").and_then(Value::as_str);
        name.map(str::to_owned)
    });
}

/// The value with words in the place of the code, if there is one, and of every time, identifier and digest.
fn plain(value: &Value, code: Option<&str>) -> Value {
    match value {
        Value::String(text) => Value::String(plain_text(text, code)),
        Value::Array(items) => items.iter().map(|item| plain(item, code)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Map<String, Value> = fields
                .map(|(key, value)| (plain_text(key, code), plain(value, code)))
                .collect();
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn plain_text(text: &str, code: Option<&str>) -> String {
    let text = match code {
        Some(code) => text.replace(code, "CODE"),
        None => text.to_owned(),
    };
    let text = TIME.replace_all(&text, "TIME");
    let text = UID.replace_all(&text, "UID");
    DIGEST.replace_all(&text, "DIGEST").into_owned()
}

/// The first difference between two maps, in words: `show` puts what one of them lacks, `tell` how two values differ, the
/// expected one first.
pub fn difference<V: PartialEq>(
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
    show: impl Fn(&V) -> String,
    tell: impl Fn(&V, &V) -> String,
) -> Option<String> {
    for (key, value) in expected {
        match found.get(key) {
            None => return Some(format!("{key} is missing; expected {}", show(value))),
            Some(other) if other != value => {
                return Some(format!("{key}: {}", tell(value, other)));
            }
            Some(_) => {}
        }
    }
    let surplus = found.iter().find(|(key, _)| !expected.contains_key(*key));
    surplus.map(|(key, value)| format!("{key} should not be there: {}", show(value)))
}

/// The first difference between two states, in words.
pub fn state_difference(expected: &State, found: &State) -> Option<String> {
    difference(expected, found, Value::to_string, differs_at)
}

/// Where two values differ first.
pub fn differs_at(expected: &Value, found: &Value) -> String {
    fn descend(path: &str, expected: &Value, found: &Value) -> String {
        if let (Value::Object(one), Value::Object(other)) = (expected, found) {
            for key in one.keys().chain(other.keys()) {
                let at = |fields: &Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                let (one, other) = (at(one), at(other));
                if one != other {
                    return descend(&format!("{path}/{key}"), &one, &other);
                }
            }
        }
        format!("at {path} expected {expected}, found {found}")
    }
    descend("", expected, found)
}

/// What a ledger says.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    /// What each item of each lease was, one after the other: what happened, and how much there was then. So also of
    /// everything else that a meter counts.
    leases: BTreeMap<String, Vec<(String, i64)>>,
    /// How often each document stands there, its times and identifiers aside: different tenancies are free to overtake
    /// each other.
    documents: BTreeMap<String, usize>,
}

impl Books {
    /// What these rows say, in words that another department's rows can have as well if a `code` is given.
    pub fn of<'row>(
        rows: impl IntoIterator<Item = &'row Row>,
        code: Option<&str>,
    ) -> Result<Self, String> {
        let (mut leases, mut documents) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let body: Value = serde_json::from_str(&row.body).map_err(|error| error.to_string())?;
            let body = plain(&body, code);
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
            if row.chain.kind != "fact" {
                let (kind, _) = row.chain.key.split_once('/').unwrap_or_default();
                let count: &mut usize = documents.entry(format!("{kind} {body}")).or_default();
                *count = count.saturating_add(1);
                continue;
            }
            let quantity = body.get("quantity").and_then(Value::as_i64);
            let (meter, lease) = (text("/meter"), text("/source/uid"));
            let (Some(meter), Some(lease), Some(kind), Some(quantity)) =
                (meter, lease, text("/kind"), quantity)
            else {
                return Err(format!("failed to read the fact {body}"));
            };
            let life: &mut Vec<(String, i64)> =
                leases.entry(format!("{lease} {meter}")).or_default();
            life.push((kind.to_owned(), quantity));
        }
        Ok(Self { leases, documents })
    }

    /// The same without what other meters count than those of leases.
    #[must_use]
    pub fn of_leases_alone(mut self) -> Self {
        self.leases.retain(|item, _| item.contains(" lease/"));
        self
    }

    /// What each item of each lease was, one after the other: what happened, and how much there was then.
    pub fn leases(&self) -> &BTreeMap<String, Vec<(String, i64)>> {
        &self.leases
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
    use serde_json::json;

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
    fn times_identifiers_digests_and_the_code_give_way_to_words_and_nothing_else_does() {
        let digits = "0123456789abcdef".repeat(4);
        let uid = "11111111-2222-3333-4444-555555555555";
        let object = json!({
            "from-calm001": ["2027-01-15T02:00:00Z", "at 2027-01-15T10:00:00.5+08:00 of calm001"],
            "spec": {"uid": uid, "digest": format!("sha256:{digits}"), "day": "2027-01-15", "count": 8},
        });
        let mut expected = json!({
            "from-CODE": ["TIME", "at TIME of CODE"],
            "spec": {"uid": "UID", "digest": "DIGEST", "day": "2027-01-15", "count": 8},
        });
        assert_eq!(normal(&object, Some("calm001")), expected);
        expected["from-calm001"] = json!(["TIME", "at TIME of calm001"]);
        expected.as_object_mut().unwrap().remove("from-CODE");
        assert_eq!(normal(&object, None), expected);
    }

    #[test]
    fn use_that_was_metered_is_no_lease() {
        let life: Life<'_> = &[("Opened", 8)];
        let lease = ("CODE/oa/1 lease/memory", life);
        let pod = ("UID pod/memory", life);
        let alone = books(&[lease, pod], &[("request", 2)]).of_leases_alone();
        assert_eq!(alone, books(&[lease], &[("request", 2)]));
        let items: Vec<&String> = alone.leases().keys().collect();
        assert_eq!(items, ["CODE/oa/1 lease/memory"]);
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
