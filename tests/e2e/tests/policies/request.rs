//! One request as a table writes it, and what comes of it.

use std::collections::BTreeMap;

use leasehold_e2e::overlay::{merge, put};
use leasehold_e2e::person::Answer;
use serde::Deserialize;
use serde_json::Value;

/// How an object is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Creates it.
    Create,
    /// Lays a JSON merge patch over it.
    Merge,
    /// Lays a strategic merge patch over it.
    Strategic,
    /// Carries out JSON patch operations.
    Json,
    /// Applies it on the server's side, taking over what others own.
    Apply,
    /// Reads it, lays `with` over it and puts it back.
    Update,
    /// Deletes it; without a name, all that are there.
    Delete,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks.
    #[serde(rename = "as")]
    pub who: String,
    /// How.
    pub verb: Verb,
    /// Where: a place, a name, a subresource.
    pub at: String,
    /// What is created, by its short name.
    #[serde(default)]
    pub object: Option<String>,
    /// What is laid over it; null takes away.
    #[serde(default)]
    pub with: Value,
    /// What is then put in, by JSON pointer.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// What the answer shows, by JSON pointer; null stands for nothing there.
    #[serde(default)]
    pub shows: BTreeMap<String, Value>,
    /// The beginning of a refusal.
    #[serde(default)]
    pub says: Option<String>,
    /// Whether it is asked first, and again until it comes out right.
    #[serde(default)]
    pub awaited: bool,
}

impl Request {
    /// The object with everything laid over it.
    pub fn whole(&self, base: &Value) -> Result<Value, String> {
        let mut whole = base.clone();
        if !self.with.is_null() {
            merge(&mut whole, &self.with);
        }
        for (pointer, value) in &self.set {
            put(&mut whole, pointer, value)
                .ok_or_else(|| format!("there is no place for {pointer} in {whole}"))?;
        }
        Ok(whole)
    }

    /// Whether an answer is what must come of it.
    pub fn judge(&self, answer: &Answer, outcome: &Outcome) -> Result<(), String> {
        let warns = |words: &str| {
            answer
                .warnings
                .iter()
                .any(|warning| warning.contains(words))
        };
        let fits = match outcome {
            Outcome::Accepted => answer.is_ok(),
            Outcome::Unwarned(words) => answer.is_ok() && !warns(words),
            Outcome::Warned(words) => answer.is_ok() && warns(words),
            Outcome::Forbidden(words) => answer.code == 403 && answer.message().contains(words),
            Outcome::Refused(words) => !answer.is_ok() && answer.message().contains(words),
        };
        if !fits {
            return Err(format!("expected {outcome:?}, came {}", answer.brief()));
        }
        for (pointer, expected) in &self.shows {
            let shown = answer.body.pointer(pointer).unwrap_or(&Value::Null);
            if shown != expected {
                return Err(format!("{pointer} is {shown} and not {expected}"));
            }
        }
        Ok(())
    }
}

/// What must come of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It goes through.
    Accepted,
    /// It goes through without a warning of these words.
    Unwarned(String),
    /// It goes through with a warning of these words.
    Warned(String),
    /// It is forbidden in these words.
    Forbidden(String),
    /// It is refused in these words, whatever the code.
    Refused(String),
}
