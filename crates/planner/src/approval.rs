//! Approvals: questions to a person, written undecided, and whether an answer counts.
//!
//! Nobody types a digest. The question carries a snapshot that a person can read; its digest binds
//! the answer to exactly that, and the same question is always written with the same bytes.

mod book;
mod checks;
mod funds;
mod gap;
mod hardware;

use std::fmt::Write as _;

use leasehold_api::{
    charging::{
        Amounts, Approval, ApprovalSpec, ApprovalSubject, DecisionRole, DecisionSpec,
        SubjectOfDecision,
    },
    names::{DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, TENANCY_LABEL, office_namespace},
};
use leasehold_ledger::{
    canonical::{CanonicalError, Digest, digest_of},
    document::{Decision, ReleaseDoc, RequestDoc},
    money::format_quantity,
    quote::Quotation,
};
use serde::{Deserialize, Serialize};

use crate::{
    papers,
    request::{Asked, Change, RequestError},
    rules::Refusal,
};

pub use book::book_approval;
pub use checks::{duplicates, used};
pub use funds::{funds_answer_counts, funds_approval, funds_approval_name};
pub use gap::{GapQuestion, gap_approval, listed_first};
pub use hardware::hardware_approval;

/// Most characters of a title.
const TITLE: usize = 256;
/// Most characters of a snapshot.
const SNAPSHOT: usize = 16_384;

/// Why a question cannot be put.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The digest of what is asked could not be computed.
    #[error("failed to compute the digest of what {subject} asks for")]
    Digest {
        /// What is asked about.
        subject: String,
        /// Why.
        #[source]
        source: CanonicalError,
    },
    /// The recorded request cannot be read.
    #[error("failed to put a recorded request into words")]
    Request(#[from] RequestError),
    /// The recorded quotation cannot be read.
    #[error("failed to read the quotation of request {request}; verify the ledger")]
    Quotation {
        /// The request.
        request: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is nothing yet that could be decided.
    #[error(
        "failed to ask finance about contribution {contribution}: it is not ready; assess it again"
    )]
    NotReady {
        /// The contribution.
        contribution: String,
    },
}

/// Name of the question whether a request of a tenancy is approved.
pub fn request_approval_name(request: &RequestDoc) -> String {
    let stem = stem(&request.tenancy, request.incarnation);
    format!("{stem}-{}-office", request.request)
}

/// The question whether a request of a tenancy is approved.
///
/// Everything but the uid of the object, the department's name and the checks, which say what a
/// reviewer wants to know as it is when the question is put, comes from the recorded request.
pub fn tenancy_approval(
    request: &RequestDoc,
    uid: &str,
    department_name: &str,
    changes: &[Change],
    checks: &[String],
) -> Result<Approval, ApprovalError> {
    let asked = Asked::read(request)?;
    let quotation = quotation_of(request)?;
    let (department, tenancy) = (&request.department, &request.tenancy);
    let title = request_title(request, changes);
    let mut lines = request_lines(request, department_name, &asked);
    let currency = quotation
        .as_ref()
        .map_or("CNY", |quotation| quotation.currency.as_str());
    lines.extend(change_lines(changes, currency));
    lines.push("Lease:".to_owned());
    let lease = &asked.part.lease;
    lines.extend(
        lease
            .iter()
            .map(|entry| format!("  {} {}", entry.item, entry.quantity)),
    );
    lines.extend(quotation.iter().flat_map(quotation_lines));
    // last, because other leases may make them long, and what does not fit is cut from the end
    if !checks.is_empty() {
        lines.push("Checks:".to_owned());
        lines.extend_from_slice(checks);
    }
    let spec = ApprovalSpec {
        amounts: quotation.as_ref().map(|quotation| Amounts {
            monthly: quotation.monthly.to_string().into(),
            term: quotation.term.to_string().into(),
        }),
        ..undecided(
            DecisionRole::Office,
            in_question(request, uid),
            &title,
            lines,
        )
    };
    Ok(placed(
        &request_approval_name(request),
        &office_namespace(department),
        department,
        Some(tenancy),
        spec,
    ))
}

/// The request as the subject of a question, asked by the object with this uid.
fn in_question(request: &RequestDoc, uid: &str) -> ApprovalSubject {
    ApprovalSubject {
        kind: SubjectOfDecision::Tenancy,
        name: request.tenancy.as_str().into(),
        uid: uid.into(),
        request: request.request,
        digest: request.digest.as_str().into(),
        requested_by: request.requested_by.as_str().into(),
    }
}

fn quotation_of(request: &RequestDoc) -> Result<Option<Quotation>, ApprovalError> {
    request
        .quotation
        .as_ref()
        .map(Quotation::deserialize)
        .transpose()
        .map_err(|source| ApprovalError::Quotation {
            request: format!(
                "{}/{} {}",
                request.department, request.tenancy, request.request
            ),
            source,
        })
}

fn request_title(request: &RequestDoc, changes: &[Change]) -> String {
    let moved: Vec<String> = changes.iter().map(moved).collect();
    let what = if moved.is_empty() {
        "other terms".to_owned()
    } else {
        moved.join(", ")
    };
    format!("{} request {}: {what}", request.tenancy, request.request)
}

/// `oa`, and in the second life of the name `oa.i2`, which is nobody's name.
fn stem(tenancy: &str, incarnation: u32) -> String {
    if incarnation > 1 {
        format!("{tenancy}.i{incarnation}")
    } else {
        tenancy.to_owned()
    }
}

fn moved(change: &Change) -> String {
    format!(
        "{} {} to {}",
        change.item,
        format_quantity(change.from, change.unit),
        format_quantity(change.to, change.unit)
    )
}

fn request_lines(request: &RequestDoc, department_name: &str, asked: &Asked) -> Vec<String> {
    let part = &asked.part;
    let mut lines = vec![
        format!(
            "Tenancy {} of {} ({department_name}), request {}",
            request.tenancy, request.department, request.request
        ),
        format!("Asked by {} at {}", request.requested_by, request.at),
        format!(
            "System {}, zone {}, cloudlet {}",
            part.system, part.zone, part.cloudlet
        ),
        format!("Term {} through {}", part.term.from, part.term.through),
        format!("Contract {}, budget {}", part.contract, part.budget.code),
    ];
    if let Some(ceiling) = &part.budget.ceiling {
        lines.push(format!("Budget ceiling for the term {ceiling}"));
    }
    if let Some(day) = &asked.effective_from {
        lines.push(format!("Effective from {day}"));
    }
    if asked.attempt > 0 {
        lines.push(format!("Asked again, attempt {}", asked.attempt));
    }
    lines
}

fn change_lines(changes: &[Change], currency: &str) -> Vec<String> {
    let mut lines = vec!["Changes:".to_owned()];
    if changes.is_empty() {
        lines.push("  no quantity; other terms".to_owned());
    }
    lines.extend(changes.iter().map(|change| {
        let sign = if change.monthly.is_negative() {
            ""
        } else {
            "+"
        };
        let once = if change.once.is_zero() {
            String::new()
        } else {
            format!(", {} {currency} once", change.once)
        };
        format!(
            "  {}, {sign}{} {currency} a month{once}",
            moved(change),
            change.monthly
        )
    }));
    lines
}

fn quotation_lines(quotation: &Quotation) -> Vec<String> {
    let currency = &quotation.currency;
    let mut lines = vec![
        format!("Monthly {} {currency}", quotation.monthly),
        format!("Term {} {currency}", quotation.term),
        format!(
            "Paid by credit in a month {} {currency}",
            quotation.credit_monthly
        ),
    ];
    if let Some(day) = quotation.prices_through {
        lines.push(format!("Prices are published through {day} only"));
    }
    lines.push(format!("Price books {}", quotation.books.join(", ")));
    lines
}

/// The question whether a tenancy is released: whether its namespaces may be deleted.
pub fn release_approval(
    release: &ReleaseDoc,
    uid: &str,
    department_name: &str,
    reason: &str,
    attempt: u32,
) -> Result<Approval, ApprovalError> {
    let ReleaseDoc {
        department,
        tenancy,
        incarnation,
        requested_by,
        at,
        round,
        backup,
        ..
    } = release;
    let digest = release_digest(release)?;
    let mut lines = vec![
        format!("Release of tenancy {tenancy} of {department} ({department_name})"),
        format!("Asked by {requested_by} at {at}"),
        format!("Reason: {reason}"),
        "Every namespace of the tenancy is deleted after the grace period, with all that is in it: \
         workloads, configuration and volumes"
            .to_owned(),
    ];
    lines.extend(backup.iter().map(papers::line));
    let spec = undecided(
        DecisionRole::Office,
        ApprovalSubject {
            kind: SubjectOfDecision::Release,
            name: tenancy.as_str().into(),
            uid: uid.into(),
            request: attempt,
            digest: digest.as_str().into(),
            requested_by: requested_by.as_str().into(),
        },
        &format!("release of {tenancy}"),
        lines,
    );
    let mut stem = stem(tenancy, *incarnation);
    if *round > 0 {
        // one was taken back: the question about it stays, decided
        let _ = write!(stem, ".r{}", round.saturating_add(1));
    }
    let name = match attempt {
        0 => format!("{stem}-release-office"),
        again => format!("{stem}-release-{again}-office"),
    };
    Ok(placed(
        &name,
        &office_namespace(department),
        department,
        Some(tenancy),
        spec,
    ))
}

/// Whether a question of this name is about a release of this life of a tenancy, whatever the round and the attempt.
pub fn is_about_release(name: &str, tenancy: &str, incarnation: u32) -> bool {
    let Some(rest) = name.strip_prefix(&stem(tenancy, incarnation)) else {
        return false;
    };
    let rest = match rest.strip_prefix(".r") {
        Some(round) => round.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    rest.starts_with("-release-")
}

/// What a decision on a release binds to.
pub fn release_digest(release: &ReleaseDoc) -> Result<Digest, ApprovalError> {
    digest(release, &release.tenancy)
}

fn digest(content: &impl Serialize, subject: &str) -> Result<Digest, ApprovalError> {
    digest_of(content).map_err(|source| ApprovalError::Digest {
        subject: subject.to_owned(),
        source,
    })
}

/// A question without an answer.
fn undecided(
    role: DecisionRole,
    subject: ApprovalSubject,
    title: &str,
    lines: Vec<String>,
) -> ApprovalSpec {
    ApprovalSpec {
        role,
        subject,
        title: clipped(title, TITLE).into(),
        snapshot: fitted(lines, SNAPSHOT).into(),
        amounts: None,
        evidence: Vec::new(),
        grants: None,
        number: None,
        not_by: None,
        answers: None,
        decision: None,
        treatment: None,
        order_no: None,
        reason: None,
        decided_by: None,
    }
}

/// The object in its namespace.
fn placed(
    name: &str,
    namespace: &str,
    department: &str,
    tenancy: Option<&str>,
    spec: ApprovalSpec,
) -> Approval {
    let mut approval = Approval::new(name, spec);
    let labels = approval.metadata.labels.get_or_insert_default();
    labels.insert(MANAGED_LABEL.to_owned(), MANAGED_VALUE.to_owned());
    if !department.is_empty() {
        labels.insert(DEPARTMENT_LABEL.to_owned(), department.to_owned());
    }
    if let Some(tenancy) = tenancy {
        labels.insert(TENANCY_LABEL.to_owned(), tenancy.to_owned());
    }
    approval.metadata.namespace = Some(namespace.to_owned());
    approval
}

/// The beginning of a text, with a mark where it was cut.
fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// As many whole lines as fit; the last one then says how many are missing. A line stays one: what
/// an applicant typed cannot pass for a line of ours.
fn fitted(lines: Vec<String>, most: usize) -> String {
    // room for the line that counts the others
    let room = most.saturating_sub(80);
    let total = lines.len();
    let mut text = String::new();
    let mut used = 0_usize;
    for (kept, line) in lines.into_iter().enumerate() {
        let line = line.replace(char::is_control, " ");
        let length = line.chars().count().saturating_add(1);
        if used.saturating_add(length) > room {
            let missing = total.saturating_sub(kept);
            let _ = writeln!(text, "… and {missing} more lines, see the object itself");
            return text;
        }
        used = used.saturating_add(length);
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Whether an Approval object, as it is now, answers the question that was recorded.
///
/// `None` as long as nobody has decided. The API server holds all of this too; here it is checked
/// once more before anything is provisioned, paid or deleted.
pub fn check_decision(
    recorded: &ApprovalSpec,
    now: &ApprovalSpec,
) -> Result<Option<Decision>, Refusal> {
    if !same_question(recorded, now) {
        return Err(Refusal::new(
            "A02",
            format!(
                "another question about {} than was recorded",
                now.subject.name
            ),
            format!("the question with digest {}", recorded.subject.digest),
            "decide on the approval that the operator writes anew",
        ));
    }
    let Some(decision) = now.decision else {
        return Ok(None);
    };
    let Some(decider) = &now.decided_by else {
        return Err(Refusal::new(
            "A04",
            format!("a decision on {} without its decider", now.subject.name),
            "a decider stamped by the API server",
            "check the admission policies and decide again",
        ));
    };
    if *decider == recorded.subject.requested_by {
        return Err(Refusal::new(
            "A06",
            format!(
                "a decision on {} by {decider}, who asked for it",
                now.subject.name
            ),
            "a decision by somebody else",
            "let another person with the right decide",
        ));
    }
    match decision {
        DecisionSpec::Approved => Ok(Some(Decision::Approved)),
        DecisionSpec::Rejected if has_reason(now) => Ok(Some(Decision::Rejected)),
        DecisionSpec::Rejected => Err(Refusal::new(
            "A03",
            format!("a rejection of {} without a reason", now.subject.name),
            "a rejection with spec.reason",
            "give the reason",
        )),
    }
}

fn same_question(recorded: &ApprovalSpec, now: &ApprovalSpec) -> bool {
    recorded.role == now.role
        && recorded.subject == now.subject
        && recorded.title == now.title
        && recorded.snapshot == now.snapshot
        && recorded.amounts == now.amounts
        && recorded.evidence == now.evidence
        && recorded.grants == now.grants
        && recorded.number == now.number
        && recorded.not_by == now.not_by
}

fn has_reason(spec: &ApprovalSpec) -> bool {
    spec.reason
        .as_ref()
        .is_some_and(|reason| !reason.trim().is_empty())
}

#[cfg(test)]
mod tests;
