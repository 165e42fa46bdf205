//! What can go wrong in a call of the API server.

use std::time::Duration;

use kube::core::{Status, request};

/// A call of the API server that failed for good.
#[derive(Debug, thiserror::Error)]
#[error("failed to {op} {kind} {name}")]
pub struct KitError {
    /// What was to be done: a verb, one of a fixed set.
    pub op: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object, with its namespace before a slash; of a list the namespace or `(all)`.
    pub name: String,
    /// Why it failed.
    #[source]
    pub source: Failure,
}

/// Why a call of the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server answered with an error.
    #[error("the API server refused")]
    Refused(#[source] Box<Status>),
    /// There was no answer, or none that can be understood.
    #[error("the API server gave no usable answer; check the connection and its certificate")]
    Client(#[source] Box<kube::Error>),
    /// There was no answer in time. Whether the call took effect is not known.
    #[error("the API server gave no answer within {0:?}; check that it can be reached")]
    Deadline(Duration),
    /// The request cannot be built, for example for want of a name.
    #[error("the request cannot be built")]
    Build(#[source] Box<request::Error>),
    /// The object cannot be written as JSON.
    #[error("the object cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// The object lacks something that a call needs.
    #[error("the object has no {0}; it must be set")]
    Missing(&'static str),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            Self::Refused(status)
        } else {
            Self::Client(Box::new(error))
        }
    }
}

impl Failure {
    /// Whether sending the same again may help: too many requests, a server that is not there, a lost connection.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status.code, 429 | 503 | 504),
            Self::Client(error) => {
                matches!(
                    **error,
                    kube::Error::HyperError(_)
                        | kube::Error::Service(_)
                        | kube::Error::ReadEvents(_)
                )
            }
            Self::Deadline(_) | Self::Build(_) | Self::Encode(_) | Self::Missing(_) => false,
        }
    }

    /// How long the API server asks to wait, if it does.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let Self::Refused(status) = self else {
            return None;
        };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    fn status(&self) -> Option<&Status> {
        if let Self::Refused(status) = self {
            Some(status)
        } else {
            None
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Refused(status) => refusal(status),
            Self::Client(error)
                if matches!(
                    **error,
                    kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)
                ) =>
            {
                "Undecodable"
            }
            Self::Client(_) => "Unreachable",
            Self::Deadline(_) => "Timeout",
            Self::Build(_) | Self::Encode(_) | Self::Missing(_) => "NotSendable",
        }
    }
}

fn refusal(status: &Status) -> &'static str {
    if status.is_not_found() {
        "NotFound"
    } else if status.is_already_exists() {
        "AlreadyExists"
    } else if status.is_conflict() {
        "Conflict"
    } else if status.is_forbidden() {
        "Forbidden"
    } else if status.is_invalid() {
        "Invalid"
    } else {
        match status.code {
            401 => "Unauthorized",
            410 => "Gone",
            429 => "TooManyRequests",
            504 => "Timeout",
            500 | 502 | 503 => "Unavailable",
            _ => "Refused",
        }
    }
}

/// Whether the server no longer has the versions that were asked for.
pub(crate) fn is_gone(status: &Status) -> bool {
    status.code == 410 || status.reason == "Expired" || status.reason == "Gone"
}

/// Whether the version that was asked for is ahead of the server, as after a restore of an older etcd.
pub(crate) fn is_ahead(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "ResourceVersionTooLarge")
        || status.message.contains("Too large resource version")
}

impl KitError {
    /// The object is not there (or its kind is not).
    pub fn is_not_found(&self) -> bool {
        self.source.status().is_some_and(Status::is_not_found)
    }

    /// Somebody else changed the object, or a precondition does not hold.
    pub fn is_conflict(&self) -> bool {
        self.source.status().is_some_and(Status::is_conflict)
    }

    /// An object of that name is already there.
    pub fn is_already_exists(&self) -> bool {
        self.source.status().is_some_and(Status::is_already_exists)
    }

    /// A policy, a quota or the lack of a right forbids it.
    pub fn is_forbidden(&self) -> bool {
        self.source.status().is_some_and(Status::is_forbidden)
    }

    /// The object is not valid; sending the same again cannot help.
    pub fn is_invalid(&self) -> bool {
        self.source.status().is_some_and(Status::is_invalid)
    }

    /// The versions asked for are no longer kept.
    pub fn is_gone(&self) -> bool {
        self.source.status().is_some_and(is_gone)
    }

    /// Trying again later may help without anybody's doing: the server is away, busy, or did not answer.
    /// After a transient failure of a `create` it is not known whether the object was created.
    pub fn is_transient(&self) -> bool {
        match &self.source {
            Failure::Refused(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            Failure::Client(_) | Failure::Deadline(_) => self.source.reason() != "Undecodable",
            Failure::Build(_) | Failure::Encode(_) | Failure::Missing(_) => false,
        }
    }

    /// The status code of the API server's answer, if it gave one.
    pub fn code(&self) -> Option<u16> {
        self.source.status().map(|status| status.code)
    }

    /// What the API server said, if it said anything.
    pub fn message(&self) -> Option<&str> {
        self.source.status().map(|status| status.message.as_str())
    }

    /// A name for the failure out of a fixed set, for metrics, events and conditions.
    pub fn reason(&self) -> &'static str {
        self.source.reason()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn refused(code: u16, reason: &str) -> KitError {
        let status = Status::failure("because", reason).with_code(code);
        KitError {
            op: "apply",
            kind: "Namespace".to_owned(),
            name: "x".to_owned(),
            source: Failure::from(kube::Error::Api(status.boxed())),
        }
    }

    #[test]
    fn answers_are_told_apart_by_reason() {
        let table = [
            (404, "NotFound", "NotFound", false),
            (409, "AlreadyExists", "AlreadyExists", false),
            (409, "Conflict", "Conflict", false),
            (403, "Forbidden", "Forbidden", false),
            (422, "Invalid", "Invalid", false),
            (410, "Expired", "Gone", false),
            (429, "TooManyRequests", "TooManyRequests", true),
            (503, "ServiceUnavailable", "Unavailable", true),
            (504, "Timeout", "Timeout", true),
            (500, "InternalError", "Unavailable", true),
            (400, "BadRequest", "Refused", false),
        ];
        for (code, reason, expected, transient) in table {
            let error = refused(code, reason);
            assert_eq!(error.reason(), expected);
            assert_eq!(error.is_transient(), transient, "{reason}");
        }
        assert!(!refused(409, "AlreadyExists").is_conflict());
        assert!(refused(409, "Conflict").is_conflict());
    }

    #[test]
    fn only_passing_answers_are_worth_sending_again_at_once() {
        assert!(refused(503, "ServiceUnavailable").source.is_passing());
        assert!(!refused(500, "InternalError").source.is_passing());
        assert!(!Failure::Deadline(Duration::from_secs(15)).is_passing());
    }

    #[test]
    fn the_message_names_the_object_and_the_chain_says_each_thing_once() {
        let error = refused(403, "Forbidden");
        assert_eq!(error.to_string(), "failed to apply Namespace x");
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "the API server refused");
        assert_eq!(source.source().unwrap().to_string(), "because: Forbidden");
        assert_eq!(error.message(), Some("because"));
    }

    #[test]
    fn a_version_ahead_of_the_server_is_recognised() {
        let status =
            Status::failure("Too large resource version: 12, current: 3", "Timeout").with_code(504);
        assert!(is_ahead(&status));
        assert!(!is_gone(&status));
        assert!(!is_ahead(
            &Status::failure("etcd is slow", "Timeout").with_code(504)
        ));
    }
}
