//! What a declared meter counts of an object: pure.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject};
use leasehold_api::{
    charging::Unit,
    platform::{MeterQuantity, MeterSpec},
};
use serde_json::Value;

use super::path::Path;
use crate::meters::effective::{self, NANO, Uncountable};

/// What follows a device class in the key of a quota that counts its devices.
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";

/// What is counted of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Quantity {
    /// The object itself.
    One,
    /// The number at a path, times so many billionths.
    At { path: Path, times: i128 },
    /// The entries of a list.
    CountOf(Path),
    /// The devices of a class that are allocated to a claim.
    DevicesOf(String),
}

/// What a declared meter counts of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    unit: Unit,
    labels: BTreeMap<String, String>,
    fields: Vec<(Path, Option<String>)>,
    quantity: Quantity,
}

impl Rule {
    /// The rule of a meter, or which of its fields cannot be read.
    pub fn of(spec: &MeterSpec) -> Result<Self, String> {
        let selector = spec.selector.clone().unwrap_or_default();
        let fields = selector.match_fields.iter();
        Ok(Self {
            unit: spec.unit,
            labels: selector.match_labels,
            fields: fields
                .map(|field| {
                    Ok((
                        path(&field.path)?,
                        field.equals.as_ref().map(ToString::to_string),
                    ))
                })
                .collect::<Result<_, String>>()?,
            quantity: quantity(spec.quantity.as_ref())?,
        })
    }

    /// Whether an object counts the same from its creation to its removal, whatever is written to it.
    pub fn is_constant(&self) -> bool {
        self.quantity == Quantity::One && self.labels.is_empty() && self.fields.is_empty()
    }

    /// Keys of quotas each of which alone bounds how much all objects of a namespace count together. None where the quantity
    /// stands in the objects: a quota counts objects, and not what they say.
    pub fn quota_keys(&self, kind: &ApiResource) -> Vec<String> {
        match &self.quantity {
            Quantity::One => self.keys_of_objects(kind),
            Quantity::DevicesOf(class) => vec![format!("{class}{DEVICES}")],
            Quantity::At { .. } | Quantity::CountOf(_) => Vec::new(),
        }
    }

    /// Keys that count the objects themselves. Some kinds of Kubernetes' own have two, and load balancers a third. That named
    /// `pods` is none: it leaves out pods that have ended, which are objects all the same.
    fn keys_of_objects(&self, kind: &ApiResource) -> Vec<String> {
        let plural = &kind.plural;
        if !kind.group.is_empty() {
            return vec![format!("count/{plural}.{}", kind.group)];
        }
        let mut keys = vec![format!("count/{plural}")];
        if plural != "pods" {
            keys.push(plural.clone());
        }
        let is_balancer = |(path, equals): &(Path, Option<String>)| {
            path.text() == ".spec.type" && equals.as_deref() == Some("LoadBalancer")
        };
        if plural == "services" && self.fields.iter().any(is_balancer) {
            keys.push("services.loadbalancers".to_owned());
        }
        keys
    }

    /// How much the object counts, in base units; 0 for one that does not count, or has nothing to count yet.
    pub fn quantity(&self, object: &DynamicObject) -> Result<i64, Uncountable> {
        if !self.is_meant(object) {
            return Ok(0);
        }
        match &self.quantity {
            Quantity::One => Ok(1),
            Quantity::At { path, times } => {
                path.read(object, |found| -> Result<i64, Uncountable> {
                    let Some(found) = found else { return Ok(0) };
                    let uncountable = || Uncountable {
                        resource: path.text().to_owned(),
                        text: short(found),
                    };
                    let text = text(found).ok_or_else(uncountable)?;
                    let nanos = effective::nanos(path.text(), &text).map_err(|_| uncountable())?;
                    let product = nanos.checked_mul(*times).ok_or_else(uncountable)?;
                    let nanos = up(product, NANO).ok_or_else(uncountable)?;
                    let base = effective::in_base_units(self.resource(), nanos);
                    base.map_err(|_| uncountable())
                })
            }
            Quantity::CountOf(path) => path.read(object, |found| match found {
                None => Ok(0),
                Some(Value::Array(entries)) => Ok(i64::try_from(entries.len()).unwrap_or(i64::MAX)),
                Some(other) => Err(Uncountable {
                    resource: path.text().to_owned(),
                    text: short(other),
                }),
            }),
            Quantity::DevicesOf(class) => Ok(devices(&object.data, class)),
        }
    }

    /// The resource that is counted in the same base units.
    fn resource(&self) -> &'static str {
        match self.unit {
            Unit::Core => "cpu",
            Unit::GiB => "memory",
            Unit::Count => "pieces",
        }
    }

    fn is_meant(&self, object: &DynamicObject) -> bool {
        let own = object.metadata.labels.as_ref();
        let labelled = self
            .labels
            .iter()
            .all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value));
        labelled
            && self.fields.iter().all(|(path, equals)| {
                path.read(object, |found| match (found, equals) {
                    (None, _) => false,
                    (Some(found), None) => !is_empty(found),
                    (Some(found), Some(equals)) => text(found).as_ref() == Some(equals),
                })
            })
    }
}

fn quantity(spec: Option<&MeterQuantity>) -> Result<Quantity, String> {
    let Some(spec) = spec else {
        return Ok(Quantity::One);
    };
    if let Some(at) = &spec.path {
        let times = match &spec.times {
            None => NANO,
            Some(times) => effective::nanos("times", times).map_err(|error| error.to_string())?,
        };
        return Ok(Quantity::At {
            path: path(at)?,
            times,
        });
    }
    if let Some(list) = &spec.count_of {
        return Ok(Quantity::CountOf(path(list)?));
    }
    match &spec.device_class {
        Some(class) => Ok(Quantity::DevicesOf(class.to_string())),
        None => Err("spec.quantity names neither path, countOf nor deviceClass".to_owned()),
    }
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| format!("{text} is no path such as .spec.quota"))
}

/// A quotient, rounded up.
fn up(number: i128, by: i128) -> Option<i128> {
    number.checked_add(by - 1).map(|sum| sum / by)
}

/// A text, a number or true or false as it is written; nothing for objects and lists.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What stands there, for people: not more than fits a sentence.
fn short(value: &Value) -> String {
    let written = text(value).unwrap_or_else(|| value.to_string());
    written.chars().take(64).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// The devices of a class that are allocated to a claim of resource.k8s.io. Those that are given for administration are
/// looked at and not taken.
fn devices(claim: &Value, class: &str) -> i64 {
    let classes = requested(claim);
    let results = list(claim, "/status/allocation/devices/results");
    let taken = results.iter().filter(|result| {
        let administers = result.get("adminAccess").and_then(Value::as_bool);
        let request = result.get("request").and_then(Value::as_str);
        administers != Some(true)
            && request.and_then(|request| classes.get(request)).copied() == Some(class)
    });
    i64::try_from(taken.count()).unwrap_or(i64::MAX)
}

/// The class of each request of a claim, under the name that an allocation calls it by.
fn requested(claim: &Value) -> BTreeMap<String, &str> {
    let mut classes = BTreeMap::new();
    for request in list(claim, "/spec/devices/requests") {
        let Some(name) = request.get("name").and_then(Value::as_str) else {
            continue;
        };
        let exactly = request.get("exactly").unwrap_or(request);
        if let Some(class) = exactly.get("deviceClassName").and_then(Value::as_str) {
            classes.insert(name.to_owned(), class);
        }
        let choices = request.get("firstAvailable").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            let chosen = choice.get("name").and_then(Value::as_str);
            let class = choice.get("deviceClassName").and_then(Value::as_str);
            if let (Some(chosen), Some(class)) = (chosen, class) {
                classes.insert(format!("{name}/{chosen}"), class);
            }
        }
    }
    classes
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
