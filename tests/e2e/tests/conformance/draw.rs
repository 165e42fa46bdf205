//! Random calls, all from one seed and from what the API server has shown.

use std::collections::BTreeMap;

use leasehold_model::Chance;
use serde_json::{Value, json};

use crate::bodies::{Body, bodies, fields, laid_over, spoiled, without_nulls};
use crate::book::Book;
use crate::deed::{Deed, NOBODY, STALE, UID, VERSION, Verb};
use crate::place::{Place, kind};

/// Kinds of Kubernetes, each with its weight.
const CORE: [(u64, &str); 5] = [
    (26, "ConfigMap"),
    (8, "RoleBinding"),
    (7, "LimitRange"),
    (8, "ResourceQuota"),
    (8, "Namespace"),
];
/// Kinds of ours. `CloudPolicy` and `Cloudlet` may have one name alone and belong to the table.
const OURS: [&str; 12] = [
    "Tenancy",
    "InformationSystem",
    "HardwareContribution",
    "Department",
    "NetworkZone",
    "Suspension",
    "PriceBook",
    "Approval",
    "Appraisal",
    "HandoverReceipt",
    "BillingPeriod",
    "Statement",
];
/// So many kinds of ours in one play.
const OURS_AT_ONCE: usize = 4;
/// What weighs as much as all of [`CORE`].
const WEIGHT_OF_OURS: u64 = 52;
/// A finalizer that nobody but the play takes off.
const HOLD: &str = "conformance.leasehold.dev/hold";
const MANAGERS: [&str; 2] = ["cf-alpha", "cf-beta"];
const LABELS: [&str; 3] = ["a", "b", "c"];
/// What a list is asked with.
const SELECTORS: [(&str, &str); 9] = [
    ("labelSelector", ""),
    ("labelSelector", "tier=a"),
    ("labelSelector", "tier==b"),
    ("labelSelector", "tier!=a"),
    ("labelSelector", "tier in (a, b)"),
    ("labelSelector", "tier notin (b),tier"),
    ("labelSelector", "tier"),
    ("labelSelector", "!tier"),
    ("fieldSelector", "metadata.name=one"),
];

/// What may be done, each with its weight, when the object is there.
const THERE: [(u64, Choice); 9] = [
    (5, Choice::Plain(Verb::Get)),
    (6, Choice::Plain(Verb::List)),
    (5, Choice::Plain(Verb::Create)),
    (19, Choice::Plain(Verb::Replace)),
    (16, Choice::Plain(Verb::Merge)),
    (13, Choice::Plain(Verb::Json)),
    (17, Choice::Plain(Verb::Apply)),
    (10, Choice::Status),
    (9, Choice::Plain(Verb::Delete)),
];
/// And when it is not.
const ABSENT: [(u64, Choice); 9] = [
    (4, Choice::Plain(Verb::Get)),
    (4, Choice::Plain(Verb::List)),
    (48, Choice::Plain(Verb::Create)),
    (8, Choice::Plain(Verb::Replace)),
    (4, Choice::Plain(Verb::Merge)),
    (3, Choice::Plain(Verb::Json)),
    (22, Choice::Plain(Verb::Apply)),
    (3, Choice::Status),
    (4, Choice::Plain(Verb::Delete)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Plain(Verb),
    Status,
}

/// The dice of one play.
pub struct Draw {
    chance: Chance,
    bodies: BTreeMap<String, Body>,
    prefix: String,
    home: String,
    ours: Vec<&'static str>,
    /// So many namespaces may still be ended: the cluster takes its time for each.
    ends: u8,
}

impl Draw {
    /// The dice of a seed, for a play whose names begin with a prefix.
    pub fn new(seed: u64, prefix: &str, home: &str) -> Self {
        let mut chance = Chance::new(seed);
        let mut left = OURS.to_vec();
        let mut ours = Vec::new();
        while ours.len() < OURS_AT_ONCE {
            let one = pick(&mut chance, &left);
            left.retain(|other| *other != one);
            ours.push(one);
        }
        Self {
            chance,
            bodies: bodies(),
            prefix: prefix.to_owned(),
            home: home.to_owned(),
            ours,
            ends: u8::from(seed.is_multiple_of(2)),
        }
    }

    /// Every place whose objects the play may touch.
    pub fn places(&self) -> Vec<Place> {
        let core = CORE.iter().map(|(_, kind)| *kind);
        let mut places: Vec<Place> = core
            .chain(self.ours.iter().copied())
            .map(|kind| Place::new(kind, &self.home, ""))
            .collect();
        let away = self.away().map(|name| Place::new("ConfigMap", &name, ""));
        places.extend(away);
        places
    }

    /// Namespaces that come and go.
    fn away(&self) -> [String; 2] {
        ["x", "y"].map(|name| format!("{}{name}", self.prefix))
    }

    /// The next call.
    pub fn deed(&mut self, book: &Book) -> Deed {
        let place = self.place();
        let is_there = book.is_there(&place.path());
        let choice = weighed(&mut self.chance, if is_there { &THERE } else { &ABSENT });
        match choice {
            Choice::Status => self.status(&place),
            Choice::Plain(Verb::Get) => Deed::get(&place),
            Choice::Plain(Verb::List) => {
                let (parameter, value) = pick(&mut self.chance, &SELECTORS);
                Deed::list(&place).with(parameter, value)
            }
            // a quota counts an object that is refused because it is there already, and nobody corrects that for minutes
            Choice::Plain(Verb::Create) if is_there && place.is_counted() => Deed::get(&place),
            Choice::Plain(Verb::Create) => Deed::create(&place, &self.whole(&place)),
            Choice::Plain(Verb::Replace) => self.replace(&place),
            Choice::Plain(Verb::Merge) => self.merge(&place),
            Choice::Plain(Verb::Json) => self.json(&place),
            Choice::Plain(Verb::Apply) => self.apply(&place),
            Choice::Plain(Verb::Delete) => self.delete(&place),
        }
    }

    fn place(&mut self) -> Place {
        let core: u64 = CORE.iter().map(|(weight, _)| weight).sum();
        let kind_name = if self.chance.below(core + WEIGHT_OF_OURS) < core {
            weighed(&mut self.chance, &CORE)
        } else {
            pick(&mut self.chance, &self.ours)
        };
        let away = self.away();
        let is_away = kind_name == "ConfigMap" && self.chance.happens(200);
        let namespace = if is_away {
            pick(&mut self.chance, &away)
        } else {
            self.home.clone()
        };
        let name = match kind_name {
            // which of several quotas answers first is nobody's promise
            "ResourceQuota" => "one".to_owned(),
            "Namespace" => pick(&mut self.chance, &away),
            _ => pick(&mut self.chance, &["one", "two", "three"]).to_owned(),
        };
        let is_ours_alone = kind(kind_name).namespaced || kind_name == "Namespace";
        let name = if is_ours_alone {
            name
        } else {
            format!("{}{name}", self.prefix)
        };
        Place::new(kind_name, &namespace, &name)
    }

    fn body(&self, place: &Place) -> &Body {
        &self.bodies[&place.kind.kind]
    }

    /// One of the changes of a kind.
    fn edit(&mut self, place: &Place) -> Value {
        let edits = self.body(place).edits.clone();
        pick(&mut self.chance, &edits)
    }

    /// Content of a kind: good as it stands, changed, or spoiled.
    fn content(&mut self, place: &Place) -> Value {
        let mut content = self.body(place).content.clone();
        if self.chance.happens(500) {
            content = laid_over(&content, &self.edit(place));
        }
        if place.kind.is_custom() && self.chance.happens(250) {
            content = spoiled(&mut self.chance, &content);
        }
        content
    }

    /// A whole object.
    fn whole(&mut self, place: &Place) -> Value {
        let mut whole = self.content(place);
        if self.chance.happens(800) {
            whole["metadata"]["labels"]["tier"] = json!(pick(&mut self.chance, &LABELS));
        }
        if may_be_held(place) && self.chance.happens(120) {
            whole["metadata"]["finalizers"] = json!([HOLD]);
        }
        if place.kind.is_custom() && self.chance.happens(100) {
            // Which nobody may write through this door. It is a sound one: of an object that does not fit its schema
            // the API server records no managers.
            let sound = self.body(place).statuses.first().cloned();
            whole["status"] = sound.unwrap_or_else(|| json!({}));
        }
        whole
    }

    fn some_status(&mut self, place: &Place) -> Value {
        let statuses = self.body(place).statuses.clone();
        if statuses.is_empty() {
            return json!({});
        }
        pick(&mut self.chance, &statuses)
    }

    fn replace(&mut self, place: &Place) -> Deed {
        // what was never seen is rewritten from nothing: for the same reason as in an apply, not a binding
        if self.body(place).content.get("roleRef").is_none() && self.chance.happens(500) {
            let patch = self.change(place);
            return Deed::rewrite(place, patch);
        }
        let mut whole = self.whole(place);
        match self.chance.below(5) {
            0 => {}
            1 => whole["metadata"]["resourceVersion"] = json!(STALE),
            _ => whole["metadata"]["resourceVersion"] = json!(VERSION),
        }
        match self.chance.below(10) {
            0 => whole["metadata"]["uid"] = json!(UID),
            1 => whole["metadata"]["uid"] = json!(NOBODY),
            _ => {}
        }
        Deed::replace(place, &whole)
    }

    /// A merge patch.
    fn change(&mut self, place: &Place) -> Value {
        let label = pick(&mut self.chance, &LABELS);
        match self.chance.below(10) {
            0 => json!({}),
            1 => json!({"metadata": {"labels": {"tier": null}}}),
            2 => json!({"metadata": {"labels": {"tier": label, "more": "yes"}}}),
            3 if may_be_held(place) => json!({"metadata": {"finalizers": [HOLD]}}),
            4 | 5 if may_be_held(place) => json!({"metadata": {"finalizers": null}}),
            6 if place.kind.is_custom() => {
                let content = self.body(place).content.clone();
                spoiled(&mut self.chance, &content)
            }
            _ => self.edit(place),
        }
    }

    fn merge(&mut self, place: &Place) -> Deed {
        let mut patch = self.change(place);
        match self.chance.below(8) {
            0 => patch["metadata"]["resourceVersion"] = json!(STALE),
            1 => patch["metadata"]["resourceVersion"] = json!(VERSION),
            _ => {}
        }
        Deed::merge(place, patch)
    }

    fn json(&mut self, place: &Place) -> Deed {
        let label = pick(&mut self.chance, &LABELS);
        let tier = "/metadata/labels/tier";
        let patch = match self.chance.below(9) {
            0 => json!([{"op": "add", "path": tier, "value": label}]),
            1 => json!([{"op": "replace", "path": tier, "value": label}]),
            2 => json!([{"op": "remove", "path": tier}]),
            3 => json!([
                {"op": "test", "path": tier, "value": "a"},
                {"op": "replace", "path": tier, "value": "b"},
            ]),
            4 => json!([{"op": "add", "path": "/metadata/labels", "value": {"tier": label}}]),
            5 if may_be_held(place) => {
                json!([{"op": "add", "path": "/metadata/finalizers", "value": [HOLD]}])
            }
            6 if may_be_held(place) => json!([{"op": "remove", "path": "/metadata/finalizers"}]),
            _ => self.additions(place),
        };
        Deed::json(place, patch)
    }

    /// A change in the other notation: every field that it names is put there as a whole.
    fn additions(&mut self, place: &Place) -> Value {
        let edit = self.edit(place);
        let whole = laid_over(&self.body(place).content, &edit);
        let mut steps = Vec::new();
        for (part, named) in fields(&edit) {
            // labels and annotations are added elsewhere
            if part == "metadata" {
                continue;
            }
            for field in fields(&named).keys() {
                let path = format!("/{part}/{field}");
                steps.push(match whole[&part].get(field) {
                    Some(value) => json!({"op": "add", "path": path, "value": value}),
                    None => json!({"op": "remove", "path": path}),
                });
            }
        }
        Value::Array(steps)
    }

    fn apply(&mut self, place: &Place) -> Deed {
        let mut config = match self.chance.below(4) {
            0 => json!({}),
            1 => self.edit(place),
            _ => {
                let content = self.body(place).content.clone();
                laid_over(&content, &self.edit(place))
            }
        };
        config = without_nulls(&config);
        // the validation of the kinds of Kubernetes is left out: a binding has a role
        if let Some(role) = self.body(place).content.get("roleRef") {
            config["roleRef"] = role.clone();
        }
        if self.chance.happens(500) {
            config["metadata"]["labels"]["tier"] = json!(pick(&mut self.chance, &LABELS));
        }
        if may_be_held(place) && self.chance.happens(100) {
            config["metadata"]["finalizers"] = json!([HOLD]);
        }
        if place.kind.is_custom() && self.chance.happens(50) {
            config["spec"]["colour"] = json!("red");
        }
        match self.chance.below(12) {
            0 => config["metadata"]["resourceVersion"] = json!(STALE),
            1 => config["metadata"]["resourceVersion"] = json!(VERSION),
            _ => {}
        }
        let deed = Deed::apply(place, pick(&mut self.chance, &MANAGERS), &config);
        if self.chance.happens(300) {
            return deed.with("force", "true");
        }
        deed
    }

    fn status(&mut self, place: &Place) -> Deed {
        // who counts a quota would take the play's word back at some time of its own
        let is_tried = place.kind.status && place.kind.kind != "ResourceQuota";
        if !is_tried {
            return Deed::get(place);
        }
        let status = json!({"status": self.some_status(place)});
        let way = self.chance.below(3);
        let deed = match way {
            0 => {
                // what is not the status does not come through this door
                let patch = laid_over(&status, &self.edit(place));
                Deed::rewrite(place, patch)
            }
            1 if place.kind.is_custom() => {
                Deed::apply(place, pick(&mut self.chance, &MANAGERS), &status).with("force", "true")
            }
            _ => Deed::merge(place, status),
        };
        deed.through("status")
    }

    fn delete(&mut self, place: &Place) -> Deed {
        if place.is_namespace() {
            if self.ends == 0 {
                return Deed::get(place);
            }
            self.ends -= 1;
        }
        let options = match self.chance.below(12) {
            0 => json!({"preconditions": {"uid": UID}}),
            1 => json!({"preconditions": {"uid": NOBODY}}),
            2 => json!({"preconditions": {"resourceVersion": VERSION}}),
            3 => json!({"preconditions": {"resourceVersion": STALE}}),
            4 => json!({"propagationPolicy": "Background"}),
            5 => return Deed::new(Verb::Delete, place),
            _ => json!({}),
        };
        Deed::delete(place, &options)
    }
}

/// Whether finalizers are put on objects of this kind: what ends is not counted anew by the model, and a namespace has
/// one of its own.
fn may_be_held(place: &Place) -> bool {
    !place.is_namespace() && place.kind.kind != "ResourceQuota"
}

fn pick<T: Clone>(chance: &mut Chance, list: &[T]) -> T {
    chance.pick(list).unwrap().clone()
}

fn weighed<T: Copy>(chance: &mut Chance, list: &[(u64, T)]) -> T {
    let mut left = chance.below(list.iter().map(|(weight, _)| weight).sum());
    for (weight, choice) in list {
        if left < *weight {
            return *choice;
        }
        left -= weight;
    }
    panic!("less was drawn than all weights together")
}

#[test]
fn a_seed_gives_the_same_calls_again_and_another_seed_others() {
    let told = |seed| {
        let mut draw = Draw::new(seed, "cf-", "cf-home");
        let book = Book::default();
        (0..50)
            .map(|_| draw.deed(&book).told(&book))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(3), told(3));
    assert_ne!(told(3), told(4));
}
