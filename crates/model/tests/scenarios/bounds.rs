//! What must hold after every single change, seen from the end: the model keeps all of them.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::{
    document::{ReleaseDoc, ReleaseStage},
    time::Second,
    verify::Row,
};
use leasehold_model::{Event, EventKind, Store};
use leasehold_testkit::manifests;
use serde_json::Value;

use crate::{
    expect::{APPROVALS, BOUNDED, TENANCIES},
    script::{Amounts, Lessee},
    state::{is_about_a_gap, is_lasting, title},
    world::{self, GRACE},
};

/// The operator knows the API server's clock to about a second.
const CLOCKS: i64 = 1;

/// What a tenancy may have, from which version on.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Whose.
    pub lessee: Lessee,
    steps: Vec<(u64, Amounts)>,
}

impl Bound {
    /// Nothing, until something is approved.
    pub fn new(lessee: &Lessee) -> Self {
        Self {
            lessee: lessee.clone(),
            steps: Vec::new(),
        }
    }

    /// After this version it may have so much.
    pub fn set(&mut self, version: u64, amounts: Amounts) {
        self.steps.push((version, amounts));
    }

    fn at(&self, version: u64) -> Amounts {
        let mut before = self.steps.iter().rev();
        before
            .find(|(after, _)| version > *after)
            .map_or([0; 3], |(_, amounts)| *amounts)
    }
}

/// The text at a pointer; empty when there is none.
fn text<'value>(object: &'value Value, pointer: &str) -> &'value str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Department and tenancy that an object is labelled with.
fn owner(object: &Value) -> (&str, &str) {
    let label = |name: &str| text(object, &format!("/metadata/labels/leasehold.dev~1{name}"));
    (label("department"), label("tenancy"))
}

/// Over the namespaces of a tenancy, the sum of max(`spec.hard`, `status.hard`) of every leased resource stays within
/// what was approved, after every single change.
pub fn no_lease_is_exceeded(store: &Store, bounds: &[Bound]) -> Result<(), String> {
    let mut quotas: BTreeMap<(&str, &str), BTreeMap<&str, &Value>> = BTreeMap::new();
    for event in store.events_after(1).unwrap() {
        if event.key.resource != "resourcequotas" {
            continue;
        }
        let whose = owner(&event.object);
        let bound = bounds
            .iter()
            .find(|bound| (bound.lessee.code, bound.lessee.name.as_str()) == whose);
        let Some(bound) = bound else { continue };
        let held = quotas.entry(whose).or_default();
        if event.kind == EventKind::Deleted {
            held.remove(event.key.namespace.as_str());
        } else {
            held.insert(event.key.namespace.as_str(), &*event.object);
        }
        within(held, &bound.at(event.version))
            .map_err(|why| format!("at version {} {whose:?} {why}", event.version))?;
    }
    Ok(())
}

fn within(held: &BTreeMap<&str, &Value>, allowed: &Amounts) -> Result<(), String> {
    for (key, item) in BOUNDED {
        let of = |quota: &Value, part: &str| world::amount(&quota[part]["hard"][key], item);
        let sum: i64 = held
            .values()
            .map(|quota| of(quota, "spec").max(of(quota, "status")))
            .sum();
        let most = allowed[item] * world::unit(item);
        if sum > most {
            return Err(format!("holds {sum} of {key}, approved are {most}"));
        }
    }
    Ok(())
}

/// What has been seen while the changes are gone through.
#[derive(Default)]
struct Seen<'log> {
    /// Offices and tenancies whose release was approved.
    let_go: BTreeSet<(&'log str, &'log str)>,
    /// Namespaces that end.
    ending: BTreeSet<&'log str>,
    /// Namespaces whose quota lets no pod run.
    closed: BTreeSet<&'log str>,
}

impl<'log> Seen<'log> {
    /// Takes a change in before its consequences are judged.
    fn begin(&mut self, event: &'log Event) {
        let (key, object) = (&event.key, &*event.object);
        if key.resource == APPROVALS && is_yes_to_a_release(object) {
            let name = text(object, "/spec/subject/name");
            self.let_go.insert((key.namespace.as_str(), name));
        }
        let is_quota = key.resource == "resourcequotas" && event.kind != EventKind::Deleted;
        if is_quota && text(object, "/spec/hard/pods") == "0" {
            self.closed.insert(key.namespace.as_str());
        } else if is_quota {
            self.closed.remove(key.namespace.as_str());
        }
    }

    /// Forgets what is over once a change was judged: names are leased again.
    fn end(&mut self, event: &'log Event) {
        let key = &event.key;
        if event.kind != EventKind::Deleted {
            return;
        }
        if key.resource == "namespaces" {
            self.ending.remove(key.name.as_str());
            self.closed.remove(key.name.as_str());
        } else if key.resource == TENANCIES {
            self.let_go
                .remove(&(key.namespace.as_str(), key.name.as_str()));
        }
    }
}

/// Nothing is deleted but by the scenario's own people, with a namespace that ends, a pod that its quota lets not run, or a
/// question about gaps that nobody has answered; and namespaces end only after their release was approved and the grace has
/// passed since it was asked for.
pub fn only_what_was_let_go_went(
    store: &Store,
    rows: &[Row],
    by_strangers: &BTreeSet<u64>,
) -> Result<(), String> {
    let asked = asked_for(rows);
    let mut seen = Seen::default();
    for event in store.events_after(1).unwrap() {
        let object = &*event.object;
        seen.begin(event);
        let is_ending = event.key.resource == "namespaces"
            && !text(object, "/metadata/deletionTimestamp").is_empty();
        if is_ending && seen.ending.insert(event.key.name.as_str()) {
            may_end(object, &seen, &asked)
                .map_err(|why| format!("namespace {} ends, {why}", event.key.name))?;
        }
        let is_gone = event.kind == EventKind::Deleted && is_lasting(&event.key);
        if is_gone && !by_strangers.contains(&event.version) && !is_explained(event, &seen) {
            let title = title(&event.key);
            return Err(format!("{title} was deleted at version {}", event.version));
        }
        seen.end(event);
    }
    Ok(())
}

fn is_yes_to_a_release(approval: &Value) -> bool {
    text(approval, "/spec/subject/kind") == "Release"
        && text(approval, "/spec/decision") == "Approved"
}

fn is_explained(event: &Event, seen: &Seen<'_>) -> bool {
    let namespace = if event.key.resource == "namespaces" {
        &event.key.name
    } else {
        &event.key.namespace
    };
    let is_stopped = event.key.resource == "pods" && seen.closed.contains(namespace.as_str());
    // such a question ends when other gaps wait than it names, or none: trouble decides that
    let is_taken_back = is_about_a_gap(&event.key) && event.object["spec"]["decision"].is_null();
    is_stopped || is_taken_back || seen.ending.contains(namespace.as_str())
}

fn may_end(namespace: &Value, seen: &Seen<'_>, asked: &Asked) -> Result<(), String> {
    let (department, tenancy) = owner(namespace);
    let office = manifests::office(department);
    if tenancy.is_empty() || !seen.let_go.contains(&(office.as_str(), tenancy)) {
        return Err("and nobody approved that".to_owned());
    }
    let whose = (department.to_owned(), tenancy.to_owned());
    let ends = Second::parse(text(namespace, "/metadata/deletionTimestamp")).unwrap();
    // a name that is leased again is released again
    let before = asked.get(&whose).into_iter().flatten();
    let last = before.filter(|asked| ends.since(**asked) >= 0).max();
    let waited = ends.since(*last.ok_or("and nobody asked for it")?);
    if waited + CLOCKS < GRACE {
        return Err(format!("{waited} s after it was asked for"));
    }
    Ok(())
}

/// When releases were asked for, by department and tenancy.
type Asked = BTreeMap<(String, String), Vec<Second>>;

fn asked_for(rows: &[Row]) -> Asked {
    let mut asked = Asked::new();
    let releases = rows
        .iter()
        .filter(|row| row.chain.key.starts_with("release/"))
        .map(|row| serde_json::from_str::<ReleaseDoc>(&row.body).unwrap())
        .filter(|release| release.stage == ReleaseStage::Requested);
    for release in releases {
        let whose = (release.department, release.tenancy);
        asked.entry(whose).or_default().push(release.at);
    }
    asked
}
