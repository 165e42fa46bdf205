//! What a round found, as conditions in plain words.

use std::error::Error;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use leasehold_api::conditions::{self, NewCondition, types};
use leasehold_kit::EventType;

use crate::Context;

/// What a round found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Broken rules, one sentence each.
    pub refused: Vec<String>,
    /// What is not there yet, one sentence each; it names the object and says who makes it.
    pub waits: Vec<String>,
    /// What is not there yet and hinders nothing.
    pub notes: Vec<String>,
    /// Reason of `Ready` when nothing is broken and nothing is missing.
    reason: &'static str,
    /// Message of `Ready` then.
    message: String,
}

impl Verdict {
    /// A verdict that says this, as long as nothing is broken or missing.
    pub fn fine(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            ..Self::default()
        }
    }

    /// A rule is broken.
    pub fn refuse(&mut self, sentence: impl Into<String>) {
        self.refused.push(sentence.into());
    }

    /// Something is not there yet.
    pub fn wait(&mut self, sentence: impl Into<String>) {
        self.waits.push(sentence.into());
    }

    /// Something is not there yet, and nothing depends on it.
    pub fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Whether nothing is broken and nothing is missing.
    pub fn is_fine(&self) -> bool {
        self.refused.is_empty() && self.waits.is_empty()
    }

    /// Reason and message of `Ready`: what is broken comes before what is missing.
    pub fn summary(&self) -> (&str, &str) {
        match (self.refused.first(), self.waits.first()) {
            (Some(first), _) => ("Refused", first),
            (None, Some(first)) => ("Waiting", first),
            (None, None) => (self.reason, &self.message),
        }
    }

    /// Warns of what is broken or missing, in an event of the object.
    pub async fn warn<K: Resource<DynamicType = ()> + Sync>(&self, object: &K, context: &Context) {
        let (reason, note) = self.summary();
        context
            .kit
            .event(object, EventType::Warning, reason, "Check", note)
            .await;
    }

    /// Sets `Ready`; `Refused` and `Waiting` stand only as long as they have something to say.
    pub fn write(&self, conditions: &mut Vec<Condition>, generation: Option<i64>, now: Timestamp) {
        let (reason, message) = self.summary();
        let ready = NewCondition {
            type_: types::READY,
            holds: self.is_fine(),
            reason,
            message,
        };
        conditions::set(conditions, &ready, generation, now);
        let missing = [self.waits.as_slice(), self.notes.as_slice()].concat();
        let lists = [
            (types::REFUSED, "RuleBroken", &self.refused),
            (types::WAITING, "NotThereYet", &missing),
        ];
        for (type_, reason, sentences) in lists {
            let message = sentences.join("; ");
            conditions::flag(conditions, type_, reason, &message, generation, now);
        }
    }
}

/// An error with everything that led to it, in one line.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_broken_is_said_before_what_is_missing() {
        let mut verdict = Verdict::fine("InPlace", "all is well");
        assert!(verdict.is_fine());
        assert_eq!(verdict.summary(), ("InPlace", "all is well"));
        verdict.wait("zone dmz does not exist yet");
        assert_eq!(verdict.summary().0, "Waiting");
        verdict.refuse("rule X: no");
        assert_eq!(verdict.summary(), ("Refused", "rule X: no"));
        assert!(!verdict.is_fine());
    }

    #[test]
    fn a_condition_goes_when_it_has_nothing_left_to_say() {
        let mut list = Vec::new();
        let mut verdict = Verdict::fine("InPlace", "all is well");
        verdict.wait("a");
        verdict.wait("b");
        verdict.write(&mut list, Some(1), at(1));
        assert!(!conditions::holds(&list, types::READY));
        let waiting = list.iter().find(|c| c.type_ == types::WAITING).unwrap();
        assert_eq!(waiting.message, "a; b");
        Verdict::fine("InPlace", "all is well").write(&mut list, Some(1), at(2));
        assert!(conditions::holds(&list, types::READY));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn a_note_is_shown_and_hinders_nothing() {
        let mut list = Vec::new();
        let mut verdict = Verdict::fine("InPlace", "all is well");
        verdict.note("Department city does not exist yet");
        verdict.write(&mut list, Some(1), at(1));
        assert!(conditions::holds(&list, types::READY));
        assert!(conditions::holds(&list, types::WAITING));
        let before = list.clone();
        verdict.write(&mut list, Some(1), at(9));
        assert_eq!(list, before, "the same verdict later changes nothing");
    }

    #[test]
    fn an_error_is_told_with_its_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to read {what}")]
        struct Outer {
            what: &'static str,
            #[source]
            source: std::fmt::Error,
        }
        let error = Outer {
            what: "spec.timeZone",
            source: std::fmt::Error,
        };
        let cause = std::fmt::Error.to_string();
        assert_eq!(
            told(&error),
            format!("failed to read spec.timeZone: {cause}")
        );
    }
}
