//! `leasehold approve` and `leasehold reject`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use leasehold_api::charging::{Approval, ApprovalSpec, DecisionSpec};
use serde_json::{Map, Value, json};

use crate::{
    Outcome,
    cli::{DecideArgs, RejectArgs},
    session::Session,
};

/// What a person decides.
struct Decision<'a> {
    name: &'a str,
    verdict: DecisionSpec,
    order_no: Option<&'a str>,
    reason: Option<&'a str>,
    yes: bool,
}

/// Approves a request.
pub fn approve(arguments: &DecideArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let decision = Decision {
        name: &arguments.name,
        verdict: DecisionSpec::Approved,
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
    show(name, &approval.spec, out)?;
    out.flush()?;
    let verb = match decision.verdict {
        DecisionSpec::Approved => "Approve",
        DecisionSpec::Rejected => "Reject",
    };
    super::confirm(
        &format!("{verb} {name}? A decision is made once."),
        decision.yes,
    )?;
    let patch = patch(decision);
    let decided: Approval = session.wait(kit.merge_patch(Some(&namespace), name, &patch))?;
    let by = decided
        .spec
        .decided_by
        .as_deref()
        .unwrap_or("you")
        .to_owned();
    writeln!(out, "{name}: {:?} by {by}", decision.verdict)?;
    Ok(Outcome::Done)
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

/// What a person must read before deciding.
fn show(name: &str, spec: &ApprovalSpec, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{name}: {}", visible(&spec.title))?;
    writeln!(
        out,
        "asked by {} (request {} of {:?} {})",
        visible(&spec.subject.requested_by),
        spec.subject.request,
        spec.subject.kind,
        visible(&spec.subject.name)
    )?;
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
    writeln!(out, "\n{}\n", visible(&spec.snapshot))?;
    Ok(())
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

fn patch(decision: &Decision<'_>) -> Value {
    let mut spec = Map::new();
    spec.insert("decision".to_owned(), json!(decision.verdict));
    if let Some(order_no) = decision.order_no {
        spec.insert("orderNo".to_owned(), json!(order_no));
    }
    if let Some(reason) = decision.reason {
        spec.insert("reason".to_owned(), json!(reason));
    }
    json!({ "spec": spec })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn shown(spec: &ApprovalSpec) -> String {
        let mut out = Vec::new();
        show("oa-2-office", spec, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_decider_reads_who_asks_for_what_at_which_price() {
        let text = shown(&spec("lease:\n- vcpu-x86: 48"));
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
        let text = shown(&spec("lease: 480\u{8}\u{1b}[2K\u{202e}"));
        assert!(text.contains("480"), "{text}");
        assert!(!text.contains(['\u{8}', '\u{1b}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn only_what_was_said_is_written() {
        let decision = Decision {
            name: "oa-2-office",
            verdict: DecisionSpec::Rejected,
            order_no: None,
            reason: Some("no budget"),
            yes: true,
        };
        let expected = json!({"spec": {"decision": "Rejected", "reason": "no budget"}});
        assert_eq!(patch(&decision), expected);
        let approved = Decision {
            verdict: DecisionSpec::Approved,
            order_no: Some("黄政办〔2026〕12号"),
            reason: None,
            ..decision
        };
        let expected = json!({"spec": {"decision": "Approved", "orderNo": "黄政办〔2026〕12号"}});
        assert_eq!(patch(&approved), expected);
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
