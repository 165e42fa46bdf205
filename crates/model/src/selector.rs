//! Selectors of labels and fields.

use serde_json::Value;

use crate::{call::Call, object, refusal::Refusal};

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Has(String),
    HasNot(String),
}

impl Term {
    /// Whether it speaks of a label and of values that a label may have.
    fn is_of_label(&self) -> bool {
        match self {
            Self::Is(key, value) | Self::IsNot(key, value) => is_label(key) && is_value(value),
            Self::In(key, values) | Self::NotIn(key, values) => {
                is_label(key) && values.iter().all(|value| is_value(value))
            }
            Self::Has(key) | Self::HasNot(key) => is_label(key),
        }
    }

    fn holds(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Is(key, wanted) => value(key).as_ref() == Some(wanted),
            Self::IsNot(key, other) => value(key).as_ref() != Some(other),
            Self::In(key, list) => value(key).is_some_and(|value| list.contains(&value)),
            Self::NotIn(key, list) => !value(key).is_some_and(|value| list.contains(&value)),
            Self::Has(key) => value(key).is_some(),
            Self::HasNot(key) => value(key).is_none(),
        }
    }
}

/// What a list or a watch asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

impl Selector {
    /// What a call asks for.
    pub(crate) fn of(call: &Call) -> Result<Self, Refusal> {
        let bad = |text: &str| Refusal::bad_request(format!("unable to parse {text:?}"));
        let labels = call.parameter("labelSelector");
        let fields = call.parameter("fieldSelector");
        Ok(Self {
            labels: terms(labels, label_term).ok_or_else(|| bad(labels))?,
            fields: terms(fields, field_term).ok_or_else(|| bad(fields))?,
        })
    }

    /// Whether an object is asked for.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| {
            let value = object::at(object, &["metadata", "labels", key])?;
            value.as_str().map(str::to_owned)
        };
        let field = |key: &str| {
            let path: Vec<&str> = key.split('.').collect();
            // a field that is not there counts as empty
            Some(match object::at(object, &path) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(
                    other
                    @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)),
                ) => other.to_string(),
            })
        };
        self.labels.iter().all(|term| term.holds(label))
            && self.fields.iter().all(|term| term.holds(field))
    }
}

/// The terms of a selector; `None` if it cannot be read.
fn terms(text: &str, term_of: impl Fn(&str) -> Option<Term>) -> Option<Vec<Term>> {
    let mut terms = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = end_of_term(rest);
        let (term, after) = rest.split_at_checked(end)?;
        terms.push(term_of(term.trim())?);
        rest = after.strip_prefix(',').unwrap_or(after).trim();
    }
    Some(terms)
}

/// Where the first comma stands that is not in parentheses.
fn end_of_term(text: &str) -> usize {
    let mut depth = 0_u32;
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return index,
            _ => {}
        }
    }
    text.len()
}

fn label_term(text: &str) -> Option<Term> {
    term_of(text).filter(Term::is_of_label)
}

/// Fields are compared with one value: there are no sets of values and no questions whether they are there.
fn field_term(text: &str) -> Option<Term> {
    term_of(text).filter(|term| match term {
        Term::Is(key, _) | Term::IsNot(key, _) => !key.is_empty(),
        Term::In(..) | Term::NotIn(..) | Term::Has(_) | Term::HasNot(_) => false,
    })
}

/// Whether a label may be called so: a name, behind a domain or not.
fn is_label(key: &str) -> bool {
    let (domain, name) = key.rsplit_once('/').unwrap_or(("a", key));
    let is_letter = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.')
    };
    !domain.is_empty() && domain.chars().all(is_letter) && !name.is_empty() && is_value(name)
}

/// Whether a label may have this value.
fn is_value(value: &str) -> bool {
    let is_letter =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let is_outer =
        |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(is_letter)
        && is_outer(value.chars().next())
        && is_outer(value.chars().next_back())
}

fn term_of(text: &str) -> Option<Term> {
    let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
    if let Some(list) = text.strip_suffix(')') {
        let (head, list) = list.split_once('(')?;
        let list = list.split(',').map(|value| value.trim().to_owned());
        return if let Some(key) = head.trim().strip_suffix(" notin") {
            Some(Term::NotIn(key.trim().to_owned(), list.collect()))
        } else {
            let key = head.trim().strip_suffix(" in")?;
            Some(Term::In(key.trim().to_owned(), list.collect()))
        };
    }
    if let Some(both) = text.split_once("!=") {
        let (key, value) = pair(both);
        return Some(Term::IsNot(key, value));
    }
    if let Some(both) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (key, value) = pair(both);
        return Some(Term::Is(key, value));
    }
    if let Some(key) = text.strip_prefix('!') {
        return Some(Term::HasNot(key.trim().to_owned()));
    }
    (!text.is_empty()).then(|| Term::Has(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(labels: &str, fields: &str) -> bool {
        let selector = Selector {
            labels: terms(labels, label_term).unwrap(),
            fields: terms(fields, field_term).unwrap(),
        };
        selector.matches(&json!({
            "metadata": {"name": "a", "labels": {"leasehold.dev/tenancy": "oa", "tier": "web"}},
            "spec": {"nodeName": "n1"},
        }))
    }

    #[test]
    fn labels_are_compared_as_kubernetes_compares_them() {
        for yes in [
            "",
            "leasehold.dev/tenancy=oa",
            "tier==web,leasehold.dev/tenancy",
            "tier!=db",
            "missing!=x",
            "!missing",
            "tier in (db, web)",
            "tier notin (db),tier",
        ] {
            assert!(matches(yes, ""), "{yes}");
        }
        for no in ["tier=db", "tier!=web", "missing", "!tier", "tier in (db)"] {
            assert!(!matches(no, ""), "{no}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_selector() {
        for text in ["sel in a", "sel (a)", "=a", "a=b c", "-a", "/a", "!"] {
            assert_eq!(terms(text, label_term), None, "{text}");
        }
        for text in ["metadata.name", "=a", "!metadata.name", "a in (b)"] {
            assert_eq!(terms(text, field_term), None, "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_empty() {
        assert!(matches("", "metadata.name=a,spec.nodeName!="));
        assert!(matches("", "status.phase="));
        assert!(!matches("", "metadata.name=b"));
    }
}
