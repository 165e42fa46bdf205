//! How a failure is told: once, with its causes and what to do.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use leasehold_kit::KitError;

/// Writes the error with its causes and a remedy, and returns the exit code of the process.
///
/// A reader that closed the pipe, as `head` does, is no failure.
pub fn report(error: &anyhow::Error, to: &mut dyn Write) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let told = writeln!(to, "error: {}", text(error)).and_then(|()| match remedy(error) {
        Some(remedy) => writeln!(to, "remedy: {remedy}"),
        None => Ok(()),
    });
    // standard error may be closed; the exit code tells it then
    drop(told);
    ExitCode::FAILURE
}

/// The error and its causes in one text. A cause that the text before it repeats already is left out.
pub fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    // an error of JSON hides the one of the pipe
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let plain = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        plain.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    };
    error
        .chain()
        .filter_map(kind)
        .any(|kind| kind == ErrorKind::BrokenPipe)
}

/// What to do about a call that the API server refused or did not answer. Our own refusals say it themselves.
fn remedy(error: &anyhow::Error) -> Option<&'static str> {
    let refused = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<KitError>())?;
    let by_rule = refused
        .message()
        .is_some_and(|message| message.contains("rule "));
    match refused.reason() {
        "Forbidden" if by_rule => None,
        "Forbidden" => Some(missing_right(refused.op, &refused.kind)),
        "Unauthorized" => Some("log in again, or name another user with --kubeconfig or --context"),
        "NotFound" => {
            Some("check the name and the namespace (-n); is leasehold installed in this cluster?")
        }
        "Timeout" | "Unreachable" | "Unavailable" | "TooManyRequests" => {
            Some("check that the API server can be reached with this kubeconfig, then try again")
        }
        _ => None,
    }
}

/// Which role has the right that is missing. Whoever may not read often has named no namespace, or another's.
fn missing_right(op: &str, kind: &str) -> &'static str {
    match (op, kind) {
        ("get" | "get metadata of" | "list", _) => {
            "departments name their office namespace with -n dept-CODE; for the whole cloud ask the platform for the \
             role (leasehold-office, leasehold-finance, leasehold-auditor)"
        }
        (_, "Approval") => {
            "your roles lack the right to decide; leasehold-office has it for what the office decides, \
             leasehold-finance for what finance decides: ask somebody who holds that role"
        }
        (_, "Tenancy") => {
            "your roles lack the right to change a tenancy; leasehold-department has it, which a department's \
             administrators hold in their office namespace: ask one of them"
        }
        (_, "Suspension") => {
            "your roles lack the right to suspend or to lift a suspension; leasehold-office has it: ask somebody who holds \
             that role"
        }
        _ => "your roles lack the right to write this; ask the platform who holds it",
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use kube::core::Status;
    use leasehold_kit::Failure;

    use super::*;

    fn forbidden(op: &'static str, kind: &str, message: &str) -> anyhow::Error {
        let status = Status::failure(message, "Forbidden").with_code(403);
        anyhow::Error::new(KitError {
            op,
            kind: kind.to_owned(),
            name: "dept-a/oa-2-office".to_owned(),
            source: Failure::Refused(status.boxed()),
        })
    }

    fn told(error: &anyhow::Error) -> String {
        let mut out = Vec::new();
        report(error, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_cause_is_told_once_in_one_line() {
        let error = Err::<(), _>(io::Error::other("disk is full"))
            .context("failed to write a.csv")
            .unwrap_err();
        assert_eq!(told(&error), "error: failed to write a.csv: disk is full\n");
        let repeated = Err::<(), _>(io::Error::other("disk is full"))
            .context("failed to write a.csv: disk is full")
            .unwrap_err();
        assert_eq!(
            told(&repeated),
            "error: failed to write a.csv: disk is full\n"
        );
    }

    #[test]
    fn a_missing_right_comes_with_a_remedy_and_a_broken_rule_speaks_for_itself() {
        let right = told(&forbidden(
            "list",
            "Statement",
            "user cannot list statements",
        ));
        assert!(
            right.contains("remedy: departments name their office namespace"),
            "{right}"
        );
        let rule = "rule A06: wang asked for this and cannot decide it";
        let rule = told(&forbidden("patch", "Approval", rule));
        assert!(
            rule.contains("rule A06") && !rule.contains("remedy:"),
            "{rule}"
        );
    }

    #[test]
    fn who_may_not_write_reads_which_role_may() {
        let cases = [
            ("Approval", "leasehold-finance"),
            ("Tenancy", "leasehold-department"),
            ("Department", "the platform"),
        ];
        for (kind, role) in cases {
            let told = told(&forbidden("patch", kind, "user cannot patch this"));
            assert!(told.contains("remedy: your roles lack the right"), "{told}");
            assert!(told.contains(role) && !told.contains("-n dept"), "{told}");
        }
        let context = forbidden("patch", "Approval", "user cannot patch this").context("failed");
        assert!(told(&context).contains("leasehold-office"));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error =
            anyhow::Error::new(io::Error::from(ErrorKind::BrokenPipe)).context("failed to print");
        assert_eq!(told(&error), "");
    }
}
