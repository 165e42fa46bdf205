//! How the API server says no.

use serde_json::{Value, json};

use crate::kinds::Kind;

/// An answer that is an error: a `Status` of `meta/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of HTTP.
    pub code: u16,
    /// The reason out of the fixed set of `meta/v1`; empty when there is none.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// Causes: reason, message and field of each.
    pub causes: Vec<(String, String, String)>,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            causes: Vec::new(),
        }
    }

    pub(crate) fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        self.causes
            .push((reason.to_owned(), message.to_owned(), field.to_owned()));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message.into())
    }

    /// An error that names no reason, as one out of the merging of fields.
    pub(crate) fn untyped(message: impl Into<String>) -> Self {
        Self::new(500, "", message.into())
    }

    /// A JSON patch that does not go with the object.
    pub(crate) fn inapplicable() -> Self {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self::new(422, "Invalid", message)
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::new(404, "NotFound", message)
    }

    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message)
    }

    pub(crate) fn unsupported_media_type(found: &str) -> Self {
        let message = format!("the model does not know patches of the type {found:?}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::new(409, "AlreadyExists", message)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let resource = kind.resource();
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::new(409, "Conflict", message)
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Fields that others own: each with its owner.
    pub(crate) fn ownership(conflicts: &[(String, String)]) -> Self {
        let count = conflicts.len();
        let told: Vec<String> = conflicts
            .iter()
            .map(|(owner, field)| format!("conflict with {owner:?}: {field}"))
            .collect();
        let message = format!("Apply failed with {count} conflicts: {}", told.join("; "));
        let refusal = Self::new(409, "Conflict", message);
        conflicts.iter().fold(refusal, |refusal, (owner, field)| {
            let message = format!("conflict with {owner:?}");
            refusal.with_cause("FieldManagerConflict", &message, field)
        })
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", kind.resource());
        Self::new(403, "Forbidden", message)
    }

    /// Violations: field and message of each.
    pub(crate) fn invalid(kind: &Kind, name: &str, violations: &[(String, String)]) -> Self {
        let told: Vec<String> = violations
            .iter()
            .map(|(field, message)| format!("{field}: {message}"))
            .collect();
        let told = match told.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {told}", kind.qualified());
        let refusal = Self::new(422, "Invalid", message);
        violations
            .iter()
            .fold(refusal, |refusal, (field, message)| {
                refusal.with_cause("FieldValueInvalid", message, field)
            })
    }

    pub(crate) fn gone(asked: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::new(410, "Expired", message)
    }

    pub(crate) fn ahead(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::new(504, "Timeout", message).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// A server in trouble: 429, 500, or 503 for anything else.
    pub(crate) fn in_trouble(code: u16) -> Self {
        match code {
            429 => {
                let message =
                    "the server has received too many requests and has asked us to try again later";
                Self::new(429, "TooManyRequests", message.to_owned())
            }
            500 => {
                Self::internal("an error on the server has prevented the request from succeeding")
            }
            _ => {
                let message = "the server is currently unable to handle the request";
                Self::new(503, "ServiceUnavailable", message.to_owned())
            }
        }
    }

    /// A pod that a disruption budget keeps.
    pub(crate) fn kept(budget: &str) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let why = format!("The disruption budget {budget} allows no disruption now");
        Self::new(429, "TooManyRequests", message.to_owned()).with_cause(
            "DisruptionBudget",
            &why,
            "",
        )
    }

    pub(crate) fn unanswered() -> Self {
        let message = "the server was unable to return a response in the time allotted".to_owned();
        Self::new(504, "Timeout", message)
    }

    /// As it stands in the body of the answer.
    pub fn to_status(&self) -> Value {
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|(reason, message, field)| {
                json!({"reason": reason, "message": message, "field": field})
            })
            .collect();
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
            "details": {"causes": causes},
        })
    }
}
