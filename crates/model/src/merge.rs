//! The four things that field ownership does with values: list their fields, compare them, merge one into the other,
//! and take fields out. Written after structured-merge-diff v6.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    fields::{FieldSet, Path, Step},
    shape::{Form, Shape},
};

/// The fields of a value, as an apply of it owns them.
pub(crate) fn fields_of(value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    collect(value, shape, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, shape: Shape<'_>, path: &mut Path, set: &mut FieldSet) {
    match shape.form(value) {
        Form::Leaf => set.insert(path),
        Form::Fields => {
            for (key, value) in value.as_object().into_iter().flatten() {
                let (below, named) = shape.field(key);
                path.push(Step::Field(key.clone()));
                collect(value, below, path, set);
                let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_empty || !named {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Form::Items => {
            for item in value.as_array().into_iter().flatten() {
                let Some(step) = shape.step(item) else {
                    continue;
                };
                path.push(step);
                collect(item, shape.item(), path, set);
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// The same set with the named fields on the way to its members.
pub(crate) fn with_named(set: &FieldSet, shape: Shape<'_>) -> FieldSet {
    let mut all = set.clone();
    all.take_in(shape, &Shape::follow);
    all
}

/// What differs between two values.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// Without these fields and everything below them.
    pub(crate) fn outside(self, roots: &[Path]) -> Self {
        Self {
            added: self.added.outside(roots),
            modified: self.modified.outside(roots),
            removed: self.removed.outside(roots),
        }
    }
}

/// What changes from the left to the right.
pub(crate) fn compare(left: &Value, right: &Value, shape: Shape<'_>) -> Comparison {
    let mut found = Comparison::default();
    walk(Some(left), Some(right), shape, &mut Vec::new(), &mut found);
    found
}

fn is_bare(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

/// The value, if it is there and not null.
fn given(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// How two values are merged with each other; as wholes, if they are of two forms.
fn form(left: Option<&Value>, right: Option<&Value>, shape: Shape<'_>) -> Form {
    let one = left.map(|value| shape.form(value));
    let other = right.map(|value| shape.form(value));
    match (one, other) {
        (Some(one), Some(other)) if one == other => one,
        (Some(only), None) | (None, Some(only)) => only,
        (_, _) => Form::Leaf,
    }
}

fn walk(
    left: Option<&Value>,
    right: Option<&Value>,
    shape: Shape<'_>,
    path: &mut Path,
    found: &mut Comparison,
) {
    if left == right {
        return;
    }
    // null is an object or a list with nothing in it, if the other is one
    let form = form(given(left), given(right), shape);
    let is_leaf = form == Form::Leaf || (is_bare(left) && is_bare(right));
    match (left, right) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        (Some(left), Some(right)) if is_leaf && left != right => found.modified.insert(path),
        (_, _) => {}
    }
    if is_leaf {
        return;
    }
    if form == Form::Fields {
        let (left, right) = (fields(left), fields(right));
        let keys: BTreeSet<&String> = left
            .into_iter()
            .chain(right)
            .flat_map(|fields| fields.keys())
            .collect();
        for key in keys {
            path.push(Step::Field(key.clone()));
            let one = left.and_then(|fields| fields.get(key));
            let other = right.and_then(|fields| fields.get(key));
            walk(one, other, shape.field(key).0, path, found);
            path.pop();
        }
    } else {
        let (left, right) = (items(left, shape), items(right, shape));
        let steps: BTreeSet<&Step> = left.iter().chain(&right).map(|(step, _)| step).collect();
        for step in steps {
            path.push(step.clone());
            walk(
                item(&left, step),
                item(&right, step),
                shape.item(),
                path,
                found,
            );
            path.pop();
        }
    }
}

fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list, the first of each step.
fn items<'value>(value: Option<&'value Value>, shape: Shape<'_>) -> Vec<(Step, &'value Value)> {
    let mut found: Vec<(Step, &Value)> = Vec::new();
    for value in value.and_then(Value::as_array).into_iter().flatten() {
        if let Some(step) = shape.step(value)
            && item(&found, &step).is_none()
        {
            found.push((step, value));
        }
    }
    found
}

fn item<'value>(items: &[(Step, &'value Value)], step: &Step) -> Option<&'value Value> {
    items
        .iter()
        .find(|(known, _)| known == step)
        .map(|(_, value)| *value)
}

/// The right laid over the left.
pub(crate) fn merge(left: &Value, right: &Value, shape: Shape<'_>) -> Value {
    match form(Some(left), Some(right), shape) {
        Form::Leaf => right.clone(),
        Form::Fields => {
            let mut merged = left.as_object().cloned().unwrap_or_default();
            for (key, value) in right.as_object().into_iter().flatten() {
                let value = match merged.get(key) {
                    Some(there) => merge(there, value, shape.field(key).0),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        Form::Items => merge_items(left, right, shape),
    }
}

/// Items of both keep the order of the right; items of the left alone stay between their neighbours.
fn merge_items(left: &Value, right: &Value, shape: Shape<'_>) -> Value {
    let (left, right) = (items(Some(left), shape), items(Some(right), shape));
    let mut shared = right
        .iter()
        .map(|(step, _)| step)
        .filter(|step| item(&left, step).is_some());
    let mut next = shared.next();
    let mut merged: Vec<Value> = Vec::new();
    let mut taken: BTreeSet<&Step> = BTreeSet::new();
    let (mut ours, mut theirs) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let here = ours.peek().copied().map(|(step, value)| (step, *value));
        let there = theirs.peek().copied().map(|(step, value)| (step, *value));
        let is_level = matches!((here, there), (Some(one), Some(other)) if one.0 == other.0);
        if let Some((step, value)) = here
            && !is_level
        {
            let is_shared = item(&right, step).is_some();
            let comes_later = there.is_some() && next.is_some_and(|next| next != step);
            if !is_shared {
                merged.push(value.clone());
                ours.next();
                continue;
            }
            if comes_later {
                ours.next();
                continue;
            }
            if taken.contains(step) {
                ours.next();
            }
        }
        let Some((step, value)) = there else {
            if here.is_none() {
                return Value::Array(merged);
            }
            continue;
        };
        merged.push(match item(&left, step) {
            Some(known) => merge(known, value, shape.item()),
            None => value.clone(),
        });
        taken.insert(step);
        if is_level {
            ours.next();
        }
        if next == Some(step) {
            next = shared.next();
        }
        theirs.next();
    }
}

/// The value without these fields; `None` if nothing is left of an object or a list that had something.
pub(crate) fn without(value: &Value, shape: Shape<'_>, out: &FieldSet) -> Option<Value> {
    take_out(value, shape, &mut Vec::new(), out)
}

fn take_out(value: &Value, shape: Shape<'_>, path: &mut Path, out: &FieldSet) -> Option<Value> {
    if is_bare(Some(value)) || !out.reaches_below(path) {
        return Some(value.clone());
    }
    let mut keep = |step: Step, value: &Value, shape: Shape<'_>| {
        path.push(step);
        // what is left of a part that is not taken out itself is null
        let kept =
            (!out.contains(path)).then(|| take_out(value, shape, path, out).unwrap_or(Value::Null));
        path.pop();
        kept
    };
    match shape.form(value) {
        Form::Leaf => Some(value.clone()),
        Form::Fields => {
            let kept: Map<String, Value> = value
                .as_object()?
                .iter()
                .filter_map(|(key, value)| {
                    let kept = keep(Step::Field(key.clone()), value, shape.field(key).0)?;
                    Some((key.clone(), kept))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Form::Items => {
            let kept: Vec<Value> = value
                .as_array()?
                .iter()
                .filter_map(|value| match shape.step(value) {
                    Some(step) => keep(step, value, shape.item()),
                    None => Some(value.clone()),
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
    }
}

#[cfg(test)]
mod tests;
