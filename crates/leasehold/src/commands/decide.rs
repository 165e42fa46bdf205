//! `leasehold approve` and `leasehold reject`.

use std::fmt::{self, Write as _};
use std::io::Write;

use anyhow::{Context, Error, Result, bail};
use leasehold_api::{
    charging::{
        Approval, ApprovalSpec, ApprovalStatus, DecisionSpec, GapTreatmentSpec, SubjectOfDecision,
    },
    conditions::types,
};
use leasehold_export::sheet::Sheet;
use leasehold_kit::KitError;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    Outcome,
    cli::{DecideArgs, RejectArgs},
    output,
    session::Session,
};

/// The reason with which an approval is refused whose request was withdrawn or superseded.
const MOOT: &str = "Moot";

/// What a person decides.
struct Decision<'a> {
    name: &'a str,
    verdict: DecisionSpec,
    /// What is billed of gaps, where that was said.
    treatment: Option<GapTreatmentSpec>,
    order_no: Option<&'a str>,
    reason: Option<&'a str>,
    yes: bool,
}

/// Approves a request.
pub fn approve(arguments: &DecideArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let decision = Decision {
        name: &arguments.name,
        verdict: DecisionSpec::Approved,
        treatment: arguments.estimate.then_some(GapTreatmentSpec::Estimate),
        order_no: Some(&arguments.order_no),
        reason: arguments.reason.as_deref(),
        yes: arguments.yes,
    };
    decide(&decision, session, out)
}

/// Rejects a request.
pub fn reject(arguments: &RejectArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let decision = Decision {
        name: &arguments.name,
        verdict: DecisionSpec::Rejected,
        treatment: None,
        order_no: arguments.order_no.as_deref(),
        reason: Some(&arguments.reason),
        yes: arguments.yes,
    };
    decide(&decision, session, out)
}

fn decide(decision: &Decision<'_>, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = decision.name;
    let found: Option<Approval> = session.wait(kit.get(Some(&namespace), name))?;
    let approval = found.with_context(|| {
        format!("failed to find approval {name} in namespace {namespace}; `kubectl get approvals -A` lists them, -n names the namespace")
    })?;
    refuse_decided(name, &approval.spec)?;
    refuse_moot(name, &namespace, approval.status.as_ref())?;
    refuse_estimate(decision, &approval.spec)?;
    let format = session.common.output;
    let asked = shown(name, &approval.spec)?;
    super::before_asking(&asked, format, decision.yes, out)?;
    let verb = match decision.verdict {
        DecisionSpec::Approved => "Approve",
        DecisionSpec::Rejected => "Reject",
    };
    super::confirm(
        &format!("{verb} {name}? A decision is made once."),
        decision.yes,
    )?;
    let uid = approval.metadata.uid.as_deref().unwrap_or_default();
    let patch = patch(decision, uid, &approval.spec);
    let decided: Approval = session
        .wait(kit.merge_patch(Some(&namespace), name, &patch))
        .map_err(|error| undecided(name, error))?;
    let by = decided.spec.decided_by.as_deref().unwrap_or("you");
    let sentence = format!("{name}: {:?} by {by}", decision.verdict);
    let done = Decided::new(name, &namespace, &decided.spec);
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// What was decided, as the cluster has it now.
#[expect(clippy::struct_field_names, reason = "the names of the printed object")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided<'a> {
    name: &'a str,
    namespace: &'a str,
    decision: Option<DecisionSpec>,
    decided_by: Option<&'a str>,
    order_no: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Decided<'a> {
    fn new(name: &'a str, namespace: &'a str, spec: &'a ApprovalSpec) -> Self {
        Self {
            name,
            namespace,
            decision: spec.decision,
            decided_by: spec.decided_by.as_deref(),
            order_no: spec.order_no.as_deref(),
            reason: spec.reason.as_deref(),
        }
    }

    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("name", "审批"),
            output::text("namespace", "命名空间"),
            output::text("decision", "决定"),
            output::text("decidedBy", "决定人"),
            output::text("orderNo", "文号"),
            output::text("reason", "理由"),
        ];
        let decision = self.decision.map(|decision| format!("{decision:?}"));
        let row = vec![
            self.name.to_owned(),
            self.namespace.to_owned(),
            decision.unwrap_or_default(),
            self.decided_by.unwrap_or_default().to_owned(),
            self.order_no.unwrap_or_default().to_owned(),
            self.reason.unwrap_or_default().to_owned(),
        ];
        output::plain(columns, vec![row])
    }
}

fn refuse_decided(name: &str, spec: &ApprovalSpec) -> Result<()> {
    let Some(decision) = spec.decision else {
        return Ok(());
    };
    let by = spec.decided_by.as_deref().unwrap_or("somebody");
    bail!(
        "failed to decide {name}: {by} has decided it already ({decision:?}); a decision cannot change, the applicant \
         asks anew"
    )
}

/// Only of gaps in the observation of use it is said what is billed of them.
fn refuse_estimate(decision: &Decision<'_>, spec: &ApprovalSpec) -> Result<()> {
    if decision.treatment.is_none() || spec.subject.kind == SubjectOfDecision::Gap {
        return Ok(());
    }
    bail!(
        "failed to decide {}: rule B14: only gaps are accepted or estimated, and this is a {:?}; leave out --estimate",
        decision.name,
        spec.subject.kind
    )
}

/// What is billed of gaps that are accepted. It is always said: what somebody has written there before is not what was confirmed.
fn treatment(decision: &Decision<'_>, spec: &ApprovalSpec) -> Option<GapTreatmentSpec> {
    let accepts =
        decision.verdict == DecisionSpec::Approved && spec.subject.kind == SubjectOfDecision::Gap;
    accepts.then_some(decision.treatment.unwrap_or(GapTreatmentSpec::Accept))
}

/// Nothing comes of a decision on a question that nobody asks any more.
fn refuse_moot(name: &str, namespace: &str, status: Option<&ApprovalStatus>) -> Result<()> {
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    let moot = conditions.find(|condition| {
        condition.type_ == types::REFUSED && condition.status == "True" && condition.reason == MOOT
    });
    match moot {
        None => Ok(()),
        Some(condition) => bail!(
            "failed to decide {name}: nobody waits for it any more ({}); `kubectl get apv -n {namespace}` shows what \
             waits",
            condition.message
        ),
    }
}

/// Why a decision was not written. Without the right to it, reading the question again does not help.
fn undecided(name: &str, error: KitError) -> Error {
    let forbidden = error.is_forbidden();
    let error = Error::from(error);
    if forbidden {
        return error;
    }
    error.context(format!(
        "failed to decide {name} as it was shown; if it was asked anew meanwhile, read it and decide again"
    ))
}

/// What a person must read before deciding.
fn shown(name: &str, spec: &ApprovalSpec) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(out, "{name}: {}", visible(&spec.title))?;
    writeln!(
        out,
        "asked by {} (request {} of {:?} {})",
        visible(&spec.subject.requested_by),
        spec.subject.request,
        spec.subject.kind,
        visible(&spec.subject.name)
    )?;
    if let Some(number) = spec.number {
        writeln!(
            out,
            "question {number} under this name: something else was asked before"
        )?;
    }
    if let Some(amounts) = &spec.amounts {
        writeln!(
            out,
            "{} a month, {} for the term",
            amounts.monthly, amounts.term
        )?;
    }
    if let Some(grant) = &spec.grants {
        writeln!(
            out,
            "grants {} {} for {} devices, for {} periods",
            grant.amount, grant.currency, grant.devices, grant.periods
        )?;
    }
    for evidence in &spec.evidence {
        writeln!(
            out,
            "rests on {} {} ({})",
            evidence.kind, evidence.name, evidence.digest
        )?;
    }
    writeln!(out, "\n{}", visible(&spec.snapshot))?;
    Ok(out)
}

/// The text without what could command the terminal: who asks must not be able to hide what is asked.
fn visible(text: &str) -> String {
    let hides = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if hides(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// The answer to the question with this uid, and with this number if it was asked anew (rule N14): one that took its place
/// since it was shown asks something else.
fn patch(decision: &Decision<'_>, uid: &str, asked: &ApprovalSpec) -> Value {
    let mut spec = Map::new();
    spec.insert("decision".to_owned(), json!(decision.verdict));
    if let Some(number) = asked.number {
        spec.insert("answers".to_owned(), json!(number));
    }
    if let Some(treatment) = treatment(decision, asked) {
        spec.insert("treatment".to_owned(), json!(treatment));
    }
    if let Some(order_no) = decision.order_no {
        spec.insert("orderNo".to_owned(), json!(order_no));
    }
    if let Some(reason) = decision.reason {
        spec.insert("reason".to_owned(), json!(reason));
    }
    json!({ "metadata": { "uid": uid }, "spec": spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    fn spec(snapshot: &str) -> ApprovalSpec {
        serde_json::from_value(json!({
            "role": "office",
            "subject": {"kind": "Tenancy", "name": "oa", "uid": "u", "request": 2,
                "digest": "sha256:0", "requestedBy": "zhang@gov-office"},
            "title": "vcpu-x86 32 to 48",
            "snapshot": snapshot,
            "amounts": {"monthly": "736.00", "term": "8832.00"},
        }))
        .unwrap()
    }

    #[test]
    fn the_decider_reads_who_asks_for_what_at_which_price() {
        let text = shown("oa-2-office", &spec("lease:\n- vcpu-x86: 48")).unwrap();
        for part in [
            "vcpu-x86 32 to 48",
            "zhang@gov-office",
            "request 2",
            "736.00 a month",
            "- vcpu-x86: 48",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn an_applicant_cannot_hide_what_is_asked_for() {
        let text = shown("oa-2-office", &spec("lease: 480\u{8}\u{1b}[2K\u{202e}")).unwrap();
        assert!(text.contains("480"), "{text}");
        assert!(!text.contains(['\u{8}', '\u{1b}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn only_what_was_said_is_written_and_only_on_the_paper_that_was_shown() {
        let decision = Decision {
            name: "oa-2-office",
            verdict: DecisionSpec::Rejected,
            treatment: None,
            order_no: None,
            reason: Some("no budget"),
            yes: true,
        };
        let expected = json!({
            "metadata": {"uid": "u-1"}, "spec": {"decision": "Rejected", "reason": "no budget"},
        });
        assert_eq!(patch(&decision, "u-1", &spec("x")), expected);
        let mut again = spec("x");
        again.number = Some(3);
        let anew = patch(&decision, "u-1", &again);
        assert_eq!(anew["spec"]["answers"], 3);
        let approved = Decision {
            verdict: DecisionSpec::Approved,
            order_no: Some("黄政办〔2026〕12号"),
            reason: None,
            ..decision
        };
        let expected = json!({
            "metadata": {"uid": "u-1"},
            "spec": {"decision": "Approved", "orderNo": "黄政办〔2026〕12号"},
        });
        assert_eq!(patch(&approved, "u-1", &spec("x")), expected);
        let estimated = Decision {
            treatment: Some(GapTreatmentSpec::Estimate),
            ..approved
        };
        let error = refuse_estimate(&estimated, &spec("x")).unwrap_err();
        assert!(error.to_string().contains("rule B14"), "{error}");
        let mut gap = spec("x");
        gap.subject.kind = SubjectOfDecision::Gap;
        assert!(refuse_estimate(&estimated, &gap).is_ok());
    }

    #[test]
    fn what_is_billed_of_gaps_is_always_said_whatever_stood_there_before() {
        let mut gap = spec("x");
        gap.subject.kind = SubjectOfDecision::Gap;
        gap.treatment = Some(GapTreatmentSpec::Estimate);
        let decision = |verdict, treatment| Decision {
            name: "gap-2026-09-1-finance",
            verdict,
            treatment,
            order_no: None,
            reason: None,
            yes: true,
        };
        let approved = |said| treatment(&decision(DecisionSpec::Approved, said), &gap);
        assert_eq!(approved(None), Some(GapTreatmentSpec::Accept));
        let estimate = Some(GapTreatmentSpec::Estimate);
        assert_eq!(approved(estimate), estimate);
        let written = patch(&decision(DecisionSpec::Approved, None), "u-1", &gap);
        assert_eq!(written["spec"]["treatment"], "Accept");
        let rejected = decision(DecisionSpec::Rejected, None);
        assert_eq!(treatment(&rejected, &gap), None);
        let another = decision(DecisionSpec::Approved, None);
        assert_eq!(treatment(&another, &spec("x")), None);
    }

    fn told(format: Format) -> String {
        let mut decided = spec("x");
        decided.decision = Some(DecisionSpec::Approved);
        decided.decided_by = Some("wang@office".into());
        decided.order_no = Some("黄政办〔2026〕12号".into());
        let done = Decided::new("oa-2-office", "dept-gov-office", &decided);
        let mut out = Vec::new();
        output::tell("said", &done, &done.sheet(), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn programs_get_who_decided_what_on_which_paper_and_nothing_else() {
        let read: Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = json!({"name": "oa-2-office", "namespace": "dept-gov-office", "decision": "Approved",
            "decidedBy": "wang@office", "orderNo": "黄政办〔2026〕12号", "reason": null});
        assert_eq!(read, expected);
        assert_eq!(
            told(Format::Csv),
            "\u{feff}审批 name,命名空间 namespace,决定 decision,决定人 decidedBy,文号 orderNo,理由 reason\n\
             oa-2-office,dept-gov-office,Approved,wang@office,黄政办〔2026〕12号,\n"
        );
    }

    #[test]
    fn what_was_withdrawn_or_superseded_is_not_decided() {
        let status = |status: &str, reason: &str| -> ApprovalStatus {
            serde_json::from_value(json!({"conditions": [{
                "type": "Refused", "status": status, "reason": reason,
                "message": "superseded by request 3",
                "lastTransitionTime": "2026-09-01T00:00:00Z",
            }]}))
            .unwrap()
        };
        let refused =
            |status: Option<&ApprovalStatus>| refuse_moot("oa-2-office", "dept-gov-office", status);
        assert!(refused(None).is_ok());
        assert!(refused(Some(&ApprovalStatus::default())).is_ok());
        assert!(refused(Some(&status("False", "Moot"))).is_ok());
        assert!(refused(Some(&status("True", "RuleBroken"))).is_ok());
        let error = refused(Some(&status("True", "Moot")))
            .unwrap_err()
            .to_string();
        for part in ["oa-2-office", "superseded by request 3", "kubectl get apv"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[test]
    fn what_is_decided_is_not_decided_again() {
        let mut decided = spec("x");
        assert!(refuse_decided("oa-2-office", &decided).is_ok());
        decided.decision = Some(DecisionSpec::Approved);
        decided.decided_by = Some("wang@office".into());
        let error = refuse_decided("oa-2-office", &decided)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("wang@office") && error.contains("Approved"),
            "{error}"
        );
    }
}
