//! Whether the chart's admission policies are in force.

use std::time::Duration;

use anyhow::Result;
use kube::api::ObjectMeta;
use leasehold_api::charging::{
    Approval, ApprovalSpec, ApprovalSubject, DecisionRole, DecisionSpec, SubjectOfDecision,
};
use leasehold_kit::{Kit, probe::wait_policies_bite};

/// The rule that denies the probe, as its message begins.
const MARKER: &str = "rule A07";
/// A policy bites about a second after it was installed; the chart may be installed after the operator.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the probe is denied. Nothing is created.
pub(super) async fn wait(kit: &Kit, namespace: &str) -> Result<()> {
    Ok(wait_policies_bite(kit, &probe(namespace), MARKER, DEADLINE).await?)
}

/// An approval that is decided when it is written: it keeps every rule of its kind, and no user may create it, the
/// operator neither (rule A07).
fn probe(namespace: &str) -> Approval {
    Approval {
        metadata: ObjectMeta {
            name: Some("leasehold-probe".to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: ApprovalSpec {
            role: DecisionRole::Office,
            subject: ApprovalSubject {
                kind: SubjectOfDecision::Tenancy,
                name: "leasehold-probe".into(),
                uid: "leasehold-probe".into(),
                request: 1,
                digest: format!("sha256:{}", "0".repeat(64)).into(),
                requested_by: "leasehold-probe".into(),
            },
            title: "probe".into(),
            snapshot: "probe".into(),
            amounts: None,
            evidence: Vec::new(),
            grants: None,
            number: None,
            not_by: None,
            answers: None,
            decision: Some(DecisionSpec::Approved),
            treatment: None,
            order_no: None,
            reason: None,
            decided_by: None,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_decided_which_only_the_policy_forbids() {
        let spec = serde_json::to_value(probe("leasehold-system")).unwrap()["spec"].clone();
        assert_eq!(spec["decision"], "Approved");
        // a decidedBy without a stamp would break rule A04 of the schema, which is always in force
        assert!(spec.get("decidedBy").is_none());
        assert_eq!(spec["subject"]["digest"].as_str().unwrap().len(), 71);
    }
}
