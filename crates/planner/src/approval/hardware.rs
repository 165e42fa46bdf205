//! Hardware for service: whether a contribution is credited, and on which terms.

use leasehold_api::{
    charging::{
        Approval, ApprovalSpec, ApprovalSubject, DecisionRole, Evidence, Grant, SubjectOfDecision,
    },
    names::office_namespace,
    platform::CloudPolicySpec,
};
use leasehold_ledger::canonical::Digest;
use serde_json::json;

use super::{ApprovalError, digest, placed, undecided};
use crate::{
    convert::{currency_code, ledger_categories},
    hardware::{Assessment, Offer},
};

/// The question whether a contribution is credited, if it is ready for it.
pub fn hardware_approval(
    offer: &Offer,
    assessment: &Assessment,
    policy: &CloudPolicySpec,
) -> Result<Approval, ApprovalError> {
    let evidence = match &assessment.evidence {
        Some((appraisal, receipt)) if assessment.ready() => {
            vec![appraisal.clone(), receipt.clone()]
        }
        Some(_) | None => {
            return Err(ApprovalError::NotReady {
                contribution: offer.id(),
            });
        }
    };
    let grant = grant(assessment, policy);
    let digest = hardware_digest(offer, assessment, &evidence, &grant)?;
    let title = format!(
        "{} for {} devices of {}",
        grant.amount, grant.devices, offer.name
    );
    let lines = hardware_lines(offer, assessment, &grant, &evidence);
    let spec = ApprovalSpec {
        evidence,
        grants: Some(grant),
        ..undecided(
            DecisionRole::Finance,
            ApprovalSubject {
                kind: SubjectOfDecision::HardwareContribution,
                name: offer.name.as_str().into(),
                uid: offer.uid.as_str().into(),
                request: 1,
                digest: digest.as_str().into(),
                requested_by: offer.requested_by.as_str().into(),
            },
            &title,
            lines,
        )
    };
    let name = format!("hwc-{}-finance", offer.name);
    Ok(placed(
        &name,
        &office_namespace(&offer.department),
        &offer.department,
        None,
        spec,
    ))
}

/// Digest of all that finance decides on: the offer, its proofs, the devices and the terms.
fn hardware_digest(
    offer: &Offer,
    assessment: &Assessment,
    evidence: &[Evidence],
    grant: &Grant,
) -> Result<Digest, ApprovalError> {
    let devices: Vec<_> = assessment
        .accepted
        .iter()
        .map(|d| json!({"maker": d.maker, "serial": d.serial, "value": d.value}))
        .collect();
    let content = json!({
        "department": offer.department,
        "contribution": offer.name,
        "offer": offer.spec,
        "evidence": evidence,
        "devices": devices,
        "grants": grant,
    });
    digest(&content, &offer.name)
}

/// What finance's yes grants, on the terms of the policy.
fn grant(assessment: &Assessment, policy: &CloudPolicySpec) -> Grant {
    Grant {
        amount: assessment.amount.to_string().into(),
        currency: currency_code(policy.currency).into(),
        devices: u32::try_from(assessment.accepted.len()).unwrap_or(u32::MAX),
        classes: policy.offset.classes.clone(),
        periods: policy.credit.periods,
        cap_percent: policy.credit.cap_percent,
    }
}

fn hardware_lines(
    offer: &Offer,
    assessment: &Assessment,
    grant: &Grant,
    evidence: &[Evidence],
) -> Vec<String> {
    let classes: Vec<String> = ledger_categories(&grant.classes)
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut lines = vec![
        format!(
            "Contribution {} of {} for system {}",
            offer.name, offer.department, offer.spec.system
        ),
        format!("Offered by {} on {}", offer.requested_by, offer.created),
        format!(
            "Credit {} {} for {} devices",
            grant.amount, grant.currency, grant.devices
        ),
        format!(
            "For {}, {} whole periods from the first after the approval, at most {} % of their charges",
            classes.join(", "),
            grant.periods,
            grant.cap_percent
        ),
    ];
    lines.extend(
        evidence
            .iter()
            .map(|e| format!("{} {} {}", e.kind, e.name, e.digest)),
    );
    lines.push("Devices:".to_owned());
    lines.extend(
        assessment
            .accepted
            .iter()
            .map(|d| format!("  {} {} {}", d.maker, d.serial, d.value)),
    );
    if !assessment.findings.is_empty() {
        lines.push("Left out:".to_owned());
        lines.extend(assessment.findings.iter().map(|finding| {
            let serial = finding.serial.as_deref().unwrap_or("all devices");
            format!("  rule {} {serial}: {}", finding.rule, finding.message)
        }));
    }
    lines
}
