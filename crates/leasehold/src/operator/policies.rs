//! Whether the chart's admission policies are in force: one is seen to bite when the operator starts, and all are looked at
//! then and now and then.

use std::time::Duration;

use anyhow::Result;
use kube::api::ObjectMeta;
use leasehold_api::charging::{
    Approval, ApprovalSpec, ApprovalSubject, DecisionRole, DecisionSpec, SubjectOfDecision,
};
use leasehold_controllers::{Fences, Measures};
use leasehold_kit::{Kit, probe::wait_policies_bite};
use tokio::time::sleep;

/// The rule that denies the probe, as its message begins.
const MARKER: &str = "rule A07";
/// A policy bites about a second after it was installed; the chart may be installed after the operator.
const DEADLINE: Duration = Duration::from_secs(60);

/// What was just installed takes a moment until the cluster has looked it through: so many times it is looked at before
/// anything else, with so much in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks while all are in force, and while something is missing.
const LOOK: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(5);

/// Looks whether all are in force, for a moment: what is missing then is told, and no namespace is opened until it is there.
pub(super) async fn look(kit: &Kit) -> Fences {
    let fences = Fences::watched();
    for _ in 0..TRIES {
        if fences.closed(kit).await.is_none() {
            break;
        }
        sleep(PAUSE).await;
    }
    fences
}

/// Looks now and then, and tells by a metric, and in the log when something goes missing and is back. Never ends.
pub(super) async fn tell(kit: Kit, fences: Fences, measures: Measures) {
    let mut was_told: Option<String> = None;
    loop {
        let missing = fences.closed(&kit).await;
        measures.policies_missing(fences.gaps().len());
        match &missing {
            Some(missing) if was_told.as_ref() != Some(missing) => {
                tracing::warn!(missing, "admission policies are missing");
            }
            None if was_told.is_some() => {
                tracing::info!("all admission policies are in force again");
            }
            Some(_) | None => {}
        }
        let pause = if missing.is_some() { AGAIN } else { LOOK };
        was_told = missing;
        sleep(pause).await;
    }
}

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
