//! Manifests that chance has spoiled: anything anywhere, or cut short, or not JSON at all.

use std::collections::BTreeMap;

use leasehold_model::Chance;
use serde_json::{Map, Value, json};

use crate::cases;
use crate::leaves::Kind;

/// Whoever spoils this would only ask for another object; names are spoiled case by case (`cases`).
const NAME: &str = "/metadata/name";
/// How deep a value may be nested.
const DEEP: u64 = 300;
/// The longest text has two to the power of so many characters.
const LONG: u64 = 16;

/// One spoiled manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Junk {
    /// Where it is sent: to the creation of objects of this kind.
    pub kind: String,
    /// What was done to it, in order.
    pub wounds: Vec<String>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// Good manifests that are spoiled, by a seed.
pub struct Source<'a> {
    /// The seed.
    pub seed: u64,
    /// The kinds.
    pub kinds: &'a BTreeMap<String, Kind>,
    /// The namespace of what lives in one.
    pub place: &'a str,
    bases: BTreeMap<String, Value>,
}

impl<'a> Source<'a> {
    /// The source of a seed.
    pub fn new(seed: u64, kinds: &'a BTreeMap<String, Kind>, place: &'a str) -> Self {
        Self {
            seed,
            kinds,
            place,
            bases: cases::bases(),
        }
    }

    /// The manifest of this number, which depends on the seed and the number alone.
    pub fn spoiled(&self, number: u64) -> Junk {
        let mut chance = Chance::new(self.seed.wrapping_add(number)).branch();
        let names: Vec<&String> = self.bases.keys().collect();
        let kind = (*chance.pick(&names).unwrap()).clone();
        let mut manifest = self.good(&kind, number, &mut chance);
        let mut wounds = Vec::new();
        for _ in 0..=chance.below(3) {
            wounds.extend(wound(&mut manifest, &mut chance));
        }
        let mut body = manifest.to_string().into_bytes();
        match chance.below(20) {
            0 => {
                body.truncate(index(&mut chance, body.len()));
                wounds.push("cut short".to_owned());
            }
            1 => {
                let at = index(&mut chance, body.len());
                body[at] = u8::try_from(chance.below(256)).unwrap();
                wounds.push(format!("another byte at {at}"));
            }
            _ => {}
        }
        Junk { kind, wounds, body }
    }

    /// The good manifest, under a name of its own.
    fn good(&self, kind: &str, number: u64, chance: &mut Chance) -> Value {
        let found = &self.kinds[kind];
        let mut manifest = cases::complete(kind, found, &self.bases[kind]);
        manifest["metadata"]["name"] = json!(format!("flood-{number}"));
        if found.namespaced {
            manifest["metadata"]["namespace"] = json!(self.place);
        }
        if kind == "HardwareContribution" {
            manifest["spec"]["devices"][0]["serial"] = json!(format!("SN-FLOOD-{number}"));
        }
        // a tenancy that is released from the beginning asks for nothing else
        if kind == "Tenancy" && chance.below(8) > 0 {
            cases::remain(&mut manifest);
        }
        manifest
    }
}

/// Spoils one place, and says how; nothing where there is no place left.
fn wound(manifest: &mut Value, chance: &mut Chance) -> Option<String> {
    let mut places = Vec::new();
    collect(manifest, "", &mut places);
    let place = chance.pick(&places)?.clone();
    let (above, key) = place.rsplit_once('/')?;
    let what = match chance.below(6) {
        0 => {
            take(manifest.pointer_mut(above)?, key);
            "taken away"
        }
        1 => {
            let value = junk(chance, 3);
            add(manifest.pointer_mut(&place)?, value, chance);
            "something added"
        }
        // what is well formed goes further than what is not
        2 | 3 => {
            *manifest.pointer_mut(&place)? = json!(well_formed(chance));
            "something else"
        }
        _ => {
            *manifest.pointer_mut(&place)? = junk(chance, 3);
            "junk"
        }
    };
    Some(format!("{place}: {what}"))
}

/// Every place below the root but the name.
fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    if !at.is_empty() && at != NAME {
        places.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect(value, &format!("{at}/{key}"), places);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                collect(item, &format!("{at}/{number}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn take(holder: &mut Value, key: &str) {
    match holder {
        Value::Object(fields) => {
            let key = key.replace("~1", "/").replace("~0", "~");
            fields.remove(&key);
        }
        Value::Array(items) => {
            items.remove(key.parse::<usize>().unwrap());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn add(holder: &mut Value, value: Value, chance: &mut Chance) {
    match holder {
        Value::Object(fields) => {
            fields.insert(field(chance), value);
        }
        Value::Array(items) => items.push(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *holder = json!([holder.clone(), value]);
        }
    }
}

/// The name of a field that there may or may not be.
fn field(chance: &mut Chance) -> String {
    let names = [
        "spec",
        "status",
        "labels",
        "annotations",
        "kind",
        "x",
        "",
        "a b",
        "$ref",
        "__proto__",
        "字段",
        "namespaces",
        "item",
        "name",
        "users",
        "devices",
    ];
    match chance.below(4) {
        0 => soup(chance),
        _ => (*chance.pick(&names).unwrap()).to_owned(),
    }
}

/// What a careful person might write in the wrong place.
fn well_formed(chance: &mut Chance) -> &'static str {
    let texts = [
        "no-such-thing",
        "档案馆",
        "64Gi",
        "500m",
        "0",
        "2026-02-30",
        "9999-12-31",
        "0.00",
        "-1.00",
        "Retain",
        "gov-extranet",
        "vcpu-x86",
        "system:masters",
        "true",
        "1e3",
        "https://docs.example/1",
        "2026-09-11T00:00:00Z",
    ];
    chance.pick(&texts).copied().unwrap()
}

/// Anything at all, nested no deeper than so many lists and objects, but for one that is nothing else.
fn junk(chance: &mut Chance, depth: u32) -> Value {
    let kinds = if depth == 0 { 9 } else { 12 };
    match chance.below(kinds) {
        0 => Value::Null,
        1 => json!(chance.below(2) == 0),
        2 => number(chance),
        3 => json!(""),
        4 => {
            let most = 1_usize << chance.below(LONG + 1);
            json!("x".repeat(index(chance, most)))
        }
        5 => json!(soup(chance)),
        6 => json!(well_formed(chance)),
        7 => json!(text_of_a_number(chance)),
        8 => deep(chance),
        9 => (0..chance.below(6))
            .map(|_| junk(chance, depth - 1))
            .collect(),
        _ => {
            let fields = (0..chance.below(6)).map(|_| (field(chance), junk(chance, depth - 1)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
    }
}

fn number(chance: &mut Chance) -> Value {
    let numbers = [
        "0",
        "-1",
        "65536",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
        "-0.0",
        "1e308",
        "1e-308",
        "4294967296",
    ];
    serde_json::from_str(chance.pick(&numbers).unwrap()).unwrap()
}

fn text_of_a_number(chance: &mut Chance) -> &'static str {
    let texts = [
        "999999999999999999P",
        "-3Gi",
        "1e999",
        "0x10",
        "١٢٣",
        "１２",
        "1,000",
        "0.0000001",
        "--1",
        "NaN",
        "1Ki1Ki",
        ".5Gi",
    ];
    chance.pick(&texts).copied().unwrap()
}

/// Characters of many scripts, some of which nobody sees.
fn soup(chance: &mut Chance) -> String {
    let letters = [
        'a',
        'Z',
        '0',
        '-',
        '.',
        '/',
        '_',
        ' ',
        '\n',
        '\t',
        '\u{0}',
        '\u{7f}',
        '"',
        '\\',
        '\'',
        '{',
        '}',
        '<',
        '%',
        '市',
        '政',
        '🚀',
        '\u{202e}',
        '\u{feff}',
        '\u{fffd}',
        'ﬀ',
        '\u{301}',
        '\u{10ffff}',
        '\u{e000}',
    ];
    (0..=chance.below(40))
        .map(|_| *chance.pick(&letters).unwrap())
        .collect()
}

/// A list in a list in a list.
fn deep(chance: &mut Chance) -> Value {
    (0..chance.below(DEEP)).fold(json!("bottom"), |inner, level| {
        if level % 2 == 0 {
            json!([inner])
        } else {
            json!({"a": inner})
        }
    })
}

/// An index below a length; 0 of nothing.
fn index(chance: &mut Chance, length: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(length).unwrap())).unwrap()
}

#[test]
fn a_number_of_a_seed_is_always_the_same_manifest_and_no_two_of_them_are() {
    let kinds = crate::leaves::kinds();
    let source = |seed| Source::new(seed, &kinds, "dept-flood");
    let first = |seed| (0..40).map(|number| source(seed).spoiled(number)).collect();
    let one: Vec<Junk> = first(1);
    assert_eq!(one, first(1));
    assert_ne!(one, first(1 << 40));
    for (number, junk) in one.iter().enumerate() {
        assert!(!junk.wounds.is_empty(), "{junk:?}");
        assert!(!one[..number].contains(junk), "{junk:?}");
    }
}

#[test]
fn every_kind_is_spoiled_in_every_way_and_some_bodies_are_no_json() {
    use std::collections::BTreeSet;

    let kinds = crate::leaves::kinds();
    let source = Source::new(1, &kinds, "dept-flood");
    let all: Vec<Junk> = (0..1_500).map(|number| source.spoiled(number)).collect();
    let spoiled: BTreeSet<&str> = all.iter().map(|junk| junk.kind.as_str()).collect();
    assert_eq!(spoiled.len(), kinds.len());
    let wounds: Vec<&String> = all.iter().flat_map(|junk| &junk.wounds).collect();
    for what in [
        ": taken away",
        ": something added",
        ": something else",
        ": junk",
        "cut short",
        "another byte",
    ] {
        assert!(wounds.iter().any(|wound| wound.contains(what)), "{what}");
    }
    assert!(
        wounds
            .iter()
            .all(|wound| !wound.starts_with("/metadata/name:"))
    );
    let broken = all
        .iter()
        .filter(|junk| serde_json::from_slice::<Value>(&junk.body).is_err());
    assert!(broken.count() > 20);
    let longest = all.iter().map(|junk| junk.body.len()).max().unwrap();
    assert!((10_000..1_000_000).contains(&longest), "{longest}");
}
