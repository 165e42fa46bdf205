//! The ways in which a place is spoiled.

use serde_json::{Map, Value, json};

use crate::leaves::Shape;

/// A way of being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Not there.
    Missing,
    /// There, and nothing in it.
    Empty,
    /// Too long, too large, too many.
    Huge,
    /// Of another type.
    WrongType,
    /// In a unit that is none.
    WrongUnit,
    /// A good name of nothing.
    UnknownReference,
    /// In another script, turned around, with characters that nobody sees.
    NonAscii,
}

/// What a leaf suffers.
pub const OF_LEAVES: [Class; 7] = [
    Class::Missing,
    Class::Empty,
    Class::Huge,
    Class::WrongType,
    Class::WrongUnit,
    Class::UnknownReference,
    Class::NonAscii,
];
/// What a list, an object or a map suffers.
pub const OF_BRANCHES: [Class; 4] = [Class::Missing, Class::Empty, Class::Huge, Class::WrongType];

/// A well-formed name that nothing has.
pub const NOBODY: &str = "no-such-thing";
/// Entries of a huge list or map.
const MANY: u32 = 2_000;

/// Every way to spoil a place that holds `sample`; `None` takes it away.
pub fn of(shape: Shape, sample: &Value) -> Vec<(Class, Option<Value>)> {
    let classes: &[Class] = if shape.is_leaf() {
        &OF_LEAVES
    } else {
        &OF_BRANCHES
    };
    let mut all = Vec::new();
    for class in classes {
        if *class == Class::Missing {
            all.push((*class, None));
            continue;
        }
        for value in values(shape, *class, sample) {
            all.push((*class, Some(value)));
        }
    }
    all
}

fn values(shape: Shape, class: Class, sample: &Value) -> Vec<Value> {
    match shape {
        Shape::Text => texts(class),
        Shape::Number | Shape::Truth => scalars(class),
        Shape::List | Shape::Object | Shape::Map => branches(shape, class, sample),
    }
}

fn long() -> String {
    "x".repeat(10_000)
}

fn texts(class: Class) -> Vec<Value> {
    match class {
        Class::Missing => Vec::new(),
        Class::Empty => vec![Value::Null, json!(""), json!("   ")],
        Class::Huge => vec![json!(long()), json!("9999999999999999999Ei"), json!("1e30")],
        Class::WrongType => vec![json!(7), json!(true), json!({"a": "b"}), json!(["a"])],
        Class::WrongUnit => ["5 apples", "10Q", "-3Gi", "1.5", "3 核"]
            .map(Value::from)
            .to_vec(),
        Class::UnknownReference => vec![json!(NOBODY)],
        Class::NonAscii => vec![json!("市政府办🚀\u{202e}"), json!("市政\u{0}府办")],
    }
}

fn scalars(class: Class) -> Vec<Value> {
    let large = 1_000_000_000_000_000_000_i64;
    match class {
        Class::Missing => Vec::new(),
        Class::Empty => vec![Value::Null, json!("")],
        Class::Huge => vec![
            json!(large),
            json!(-large),
            serde_json::from_str("1e30").unwrap(),
        ],
        Class::WrongType => vec![json!("yes"), json!({"a": 1}), json!([1])],
        Class::WrongUnit => vec![json!("3 核"), json!("3Gi"), json!(1.5), json!(-3)],
        Class::UnknownReference => vec![json!(NOBODY)],
        Class::NonAscii => vec![json!("市政府办🚀\u{202e}"), json!("三\u{0}")],
    }
}

fn branches(shape: Shape, class: Class, sample: &Value) -> Vec<Value> {
    match class {
        Class::Empty if shape == Shape::List => vec![Value::Null, json!([])],
        Class::Empty => vec![Value::Null, json!({})],
        Class::WrongType if shape == Shape::List => vec![json!("text"), json!({"a": 1})],
        Class::WrongType => vec![json!("text"), json!(7), json!([1])],
        Class::Huge => vec![huge(shape, sample)],
        Class::Missing | Class::WrongUnit | Class::UnknownReference | Class::NonAscii => Vec::new(),
    }
}

fn huge(shape: Shape, sample: &Value) -> Value {
    match shape {
        Shape::List => (0..MANY).map(|_| sample[0].clone()).collect(),
        Shape::Map => {
            let value = sample.as_object().and_then(|map| map.values().next());
            let value = value.cloned().unwrap_or_default();
            let entries = (0..MANY).map(|number| (format!("key-{number}"), value.clone()));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
        Shape::Object | Shape::Text | Shape::Number | Shape::Truth => {
            let mut larger = sample.clone();
            larger["noSuchField"] = json!(long());
            larger
        }
    }
}

#[test]
fn every_shape_suffers_everything_that_is_meant_for_it() {
    use std::collections::BTreeSet;

    let samples = [
        (Shape::Text, json!("a")),
        (Shape::Number, json!(1)),
        (Shape::Truth, json!(true)),
        (Shape::List, json!([1])),
        (Shape::Object, json!({"a": 1})),
        (Shape::Map, json!({"a": "b"})),
    ];
    for (shape, sample) in samples {
        let suffered: BTreeSet<Class> =
            of(shape, &sample).iter().map(|(class, _)| *class).collect();
        let meant = if shape.is_leaf() {
            BTreeSet::from(OF_LEAVES)
        } else {
            BTreeSet::from(OF_BRANCHES)
        };
        assert_eq!(suffered, meant, "{shape:?}");
    }
    assert_eq!(
        huge(Shape::List, &json!([7])).as_array().unwrap().len(),
        2_000
    );
    assert_eq!(
        huge(Shape::Map, &json!({"a": "b"}))
            .as_object()
            .unwrap()
            .len(),
        2_000
    );
}
