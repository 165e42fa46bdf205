//! Good manifests with one place spoiled in each.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_testkit::manifests::Days;
use serde_json::{Value, json};

use crate::leaves::{Kind, Place, Step};
use crate::mutations::{self, Class};

const BASES: &str = include_str!("bases.yaml");

/// One step to a place in one object.
#[derive(Clone, Debug)]
enum Spot {
    Name(String),
    Index(usize),
}

/// Fields of a Tenancy that ask for its end.
const ENDS: [&str; 2] = ["release", "signOff"];

/// A manifest with one place spoiled.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its kind.
    pub kind: String,
    /// The place in the kind, as `spec.lease[].item`.
    pub place: String,
    /// The place in the manifest, as `spec.lease.0.item`.
    pub spot: String,
    /// How it is spoiled.
    pub class: Class,
    /// What was put there; nothing when it was taken away.
    pub value: Option<Value>,
    /// The manifest.
    pub manifest: Value,
}

impl Case {
    /// Says which case this is, with the beginning of its value.
    pub fn title(&self) -> String {
        let value = match &self.value {
            Some(value) => value.to_string().chars().take(60).collect(),
            None => "nothing".to_owned(),
        };
        format!("{} {} {:?} {value}", self.kind, self.place, self.class)
    }
}

/// The good manifests by kind, with the days of a term around today.
pub fn bases() -> BTreeMap<String, Value> {
    let days = Days::now().unwrap();
    let text = BASES
        .replace("THROUGH", &format!("\"{}\"", days.term_through()))
        .replace("FROM", &format!("\"{}\"", days.term_from()))
        .replace("TODAY", &format!("\"{}\"", days.today));
    serde_saphyr::from_str(&text).unwrap()
}

/// The good manifest of a kind, complete with its type.
pub fn complete(name: &str, kind: &Kind, base: &Value) -> Value {
    let mut manifest = base.clone();
    manifest["apiVersion"] = json!(kind.api_version);
    manifest["kind"] = json!(name);
    manifest
}

/// Every case of a kind, and the places that its good manifest cannot hold.
pub fn of(name: &str, kind: &Kind, base: &Value) -> (Vec<Case>, Vec<String>) {
    let whole = complete(name, kind, base);
    let (mut cases, mut absent) = (Vec::new(), Vec::new());
    for place in &kind.places {
        let manifest = without_release(&whole, place);
        let spots = locate(&manifest, &place.steps).unwrap_or_else(|| {
            absent.push(format!("{name} {place}"));
            beside(&manifest, &place.steps)
        });
        let sample = reach(&manifest, &spots).cloned().unwrap_or_default();
        for (class, value) in mutations::of(place.shape, &sample) {
            let mut manifest = manifest.clone();
            spoil(&mut manifest, &spots, value.as_ref());
            cases.push(Case {
                kind: name.to_owned(),
                place: place.to_string(),
                spot: dotted(&spots),
                class,
                value,
                manifest,
            });
        }
    }
    (cases, absent)
}

/// A tenancy that is released asks for nothing else, so the release and its signature are there only to be spoiled.
fn without_release(whole: &Value, place: &Place) -> Value {
    let mut manifest = whole.clone();
    let is_of_it = ENDS.map(|end| place.steps.get(1) == Some(&Step::Field(end.to_owned())));
    if !is_of_it.contains(&true) {
        remain(&mut manifest);
    }
    manifest
}

/// Takes what asks for the end of a tenancy out of its manifest.
pub fn remain(manifest: &mut Value) {
    if manifest["kind"] == "Tenancy" {
        let spec = manifest["spec"].as_object_mut().unwrap();
        for end in ENDS {
            spec.remove(end);
        }
    }
}

/// The first spot of the object that the steps lead to.
fn locate(value: &Value, steps: &[Step]) -> Option<Vec<Spot>> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(Vec::new());
    };
    let with = |spot: Spot, found: Option<Vec<Spot>>| {
        let mut spots = found?;
        spots.insert(0, spot);
        Some(spots)
    };
    match step {
        Step::Field(name) => with(Spot::Name(name.clone()), locate(value.get(name)?, rest)),
        Step::Item => {
            let mut items = value.as_array()?.iter().enumerate();
            items.find_map(|(index, item)| with(Spot::Index(index), locate(item, rest)))
        }
        Step::Key => {
            let mut entries = value.as_object()?.iter();
            entries.find_map(|(key, item)| with(Spot::Name(key.clone()), locate(item, rest)))
        }
    }
}

/// The spot of a field that is not there, in the object that would hold it.
fn beside(value: &Value, steps: &[Step]) -> Vec<Spot> {
    let Some((Step::Field(name), above)) = steps.split_last() else {
        panic!("a good manifest lacks more than a field: {steps:?}");
    };
    let mut spots = locate(value, above).unwrap_or_else(|| panic!("nothing holds {steps:?}"));
    spots.push(Spot::Name(name.clone()));
    spots
}

fn reach<'a>(value: &'a Value, spots: &[Spot]) -> Option<&'a Value> {
    spots.iter().try_fold(value, |value, spot| match spot {
        Spot::Name(name) => value.get(name),
        Spot::Index(index) => value.get(index),
    })
}

fn spoil(manifest: &mut Value, spots: &[Spot], value: Option<&Value>) {
    let (last, above) = spots.split_last().unwrap();
    let holder = above.iter().fold(manifest, |value, spot| match spot {
        Spot::Name(name) => &mut value[name.as_str()],
        Spot::Index(index) => &mut value[*index],
    });
    match (last, value) {
        (Spot::Name(name), Some(value)) => holder[name.as_str()] = value.clone(),
        (Spot::Index(index), Some(value)) => holder[*index] = value.clone(),
        (Spot::Name(name), None) => drop(holder.as_object_mut().unwrap().remove(name)),
        (Spot::Index(index), None) => drop(holder.as_array_mut().unwrap().remove(*index)),
    }
}

fn dotted(spots: &[Spot]) -> String {
    let names: Vec<String> = spots
        .iter()
        .map(|spot| match spot {
            Spot::Name(name) => name.clone(),
            Spot::Index(index) => index.to_string(),
        })
        .collect();
    names.join(".")
}

/// Every case of every kind. What a good manifest cannot hold is known: a decision and who made it, and
/// a second quantity.
pub fn all(kinds: &BTreeMap<String, Kind>) -> Vec<Case> {
    let bases = bases();
    let known: BTreeSet<&String> = bases.keys().collect();
    assert_eq!(
        known,
        kinds.keys().collect(),
        "one good manifest of each kind"
    );
    let (mut cases, mut absent) = (Vec::new(), Vec::new());
    for (name, kind) in kinds {
        let (more, lacking) = of(name, kind, &bases[name]);
        cases.extend(more);
        absent.extend(lacking);
    }
    // a quantity is one of three
    let expected = [
        "Approval spec.answers",
        "Approval spec.decidedBy",
        "Approval spec.decision",
        "Approval spec.notBy",
        "Approval spec.number",
        "Approval spec.treatment",
        "Meter spec.quantity.countOf",
        "Meter spec.quantity.deviceClass",
    ];
    assert_eq!(absent, expected, "places that the good manifests lack");
    cases
}

#[test]
fn each_leaf_of_each_kind_is_spoiled_in_every_way() {
    let kinds = crate::leaves::kinds();
    assert_eq!(kinds.len(), 15);
    let mut suffered: BTreeMap<(String, String), BTreeSet<Class>> = BTreeMap::new();
    for case in all(&kinds) {
        let key = (case.kind.clone(), case.place.clone());
        suffered.entry(key).or_default().insert(case.class);
    }
    let mut leaves = 0;
    for (name, kind) in &kinds {
        for place in &kind.places {
            let meant = if place.shape.is_leaf() {
                leaves += 1;
                BTreeSet::from(mutations::OF_LEAVES)
            } else {
                BTreeSet::from(mutations::OF_BRANCHES)
            };
            let found = suffered.remove(&(name.clone(), place.to_string()));
            assert_eq!(found, Some(meant), "{name} {place}");
        }
        let name_of = Place {
            steps: vec![
                Step::Field("metadata".to_owned()),
                Step::Field("name".to_owned()),
            ],
            shape: crate::leaves::Shape::Text,
        };
        assert!(kind.places.contains(&name_of), "{name} has a name");
        let specs = kind
            .places
            .iter()
            .filter(|place| place.to_string() == "spec");
        assert_eq!(specs.count(), 1, "{name} has a spec");
    }
    assert!(suffered.is_empty(), "{suffered:?}");
    assert!(leaves > 200, "only {leaves} leaves");
}

#[test]
fn one_place_is_spoiled_and_nothing_else() {
    let kinds = crate::leaves::kinds();
    let (cases, _) = of("Tenancy", &kinds["Tenancy"], &bases()["Tenancy"]);
    let case = |place: &str, class| {
        let mut found = cases
            .iter()
            .filter(|case| case.place == place && case.class == class);
        found.next().unwrap()
    };
    let user = case("spec.members[].user", Class::Missing);
    assert_eq!(user.spot, "spec.members.1.user");
    assert_eq!(
        user.manifest["spec"]["members"][1],
        json!({"role": "viewer"})
    );
    assert_eq!(
        user.manifest["spec"]["members"][0]["group"],
        "archive-admins"
    );
    let share = case("spec.namespaces[].share{}", Class::UnknownReference);
    assert_eq!(share.spot, "spec.namespaces.0.share.block-ssd");
    assert_eq!(
        share.manifest["spec"]["namespaces"][0]["share"]["block-ssd"],
        "no-such-thing"
    );
    let lease = case("spec.lease[]", Class::Missing);
    assert_eq!(lease.manifest["spec"]["lease"].as_array().unwrap().len(), 1);
    assert!(
        case("spec.zone", Class::Empty).manifest["spec"]
            .get("release")
            .is_none()
    );
    let release = case("spec.release.reason", Class::Missing);
    let left = release.manifest["spec"]["release"].as_object().unwrap();
    assert!(left.keys().eq(["backup"]), "{left:?}");
}
