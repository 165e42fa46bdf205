//! Since when the node of a pod that was taken away had been silent.
//!
//! The control plane declares the pods of a node that it does not hear of not ready, and takes them away when their
//! tolerations are over. By the first it is known since when nobody knows whether they run. A pod that was not ready before,
//! because its containers were not, is not declared so again: its kubelet said it then, and gave a reason.

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use leasehold_ledger::time::Second;

use super::pods::{conditions, second};

/// Reasons with which the control plane takes pods away of nodes that it does not hear of, or that are gone.
const TAKEN: [&str; 2] = ["DeletionByTaintManager", "DeletionByPodGC"];
/// Taints of a node that is not heard of.
const SILENT: [&str; 2] = [
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/not-ready",
];
/// So many seconds pass by default until a node that says nothing is declared silent.
const GRACE: i64 = 50;

/// Since when the pod's node was not heard of, if that is why the pod was taken away.
pub fn lost_since(pod: &Pod) -> Option<Second> {
    let taken = conditions(pod).find(|condition| is_taken(condition))?;
    let ready = conditions(pod)
        .find(|condition| condition.type_ == "Ready" && condition.status == "False")?;
    let unready = ready.last_transition_time.as_ref().map(second)?;
    if !is_its_own(ready) {
        return Some(unready);
    }
    let patience = patience(pod).and_then(|seconds| seconds.checked_add(GRACE));
    let (Some(taken), Some(patience)) = (&taken.last_transition_time, patience) else {
        return Some(unready);
    };
    Some(unready.max(second(taken).plus(patience.saturating_neg())))
}

fn is_taken(condition: &PodCondition) -> bool {
    let reason = condition.reason.as_deref();
    condition.type_ == "DisruptionTarget"
        && condition.status == "True"
        && reason.is_some_and(|reason| TAKEN.contains(&reason))
}

/// Whether the pod's kubelet said that it was not ready. It gives a reason; the control plane turns the status alone.
fn is_its_own(ready: &PodCondition) -> bool {
    ready
        .reason
        .as_deref()
        .is_some_and(|reason| !reason.is_empty())
}

/// For how many seconds at the most the pod stays on a silent node; none when for ever.
fn patience(pod: &Pod) -> Option<i64> {
    let tolerations = pod.spec.iter().flat_map(|spec| &spec.tolerations).flatten();
    let meant = tolerations.filter(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        (key.is_empty() || SILENT.contains(&key)) && matches!(effect, "" | "NoExecute")
    });
    meant
        .map(|toleration| toleration.toleration_seconds)
        .try_fold(0, |most, seconds| Some(seconds?.max(most)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::fixture::at, *};

    /// A pod that was not ready since 100 for a reason, and was taken away at 10000.
    fn taken(reason: &str, tolerations: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {},
            "spec": {"containers": [], "tolerations": tolerations},
            "status": {"conditions": [
                {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": at(100).to_string()},
                {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                    "lastTransitionTime": at(10_000).to_string()},
            ]},
        }))
        .unwrap()
    }

    fn tolerates(key: &str, seconds: Option<i64>) -> Value {
        json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
    }

    #[test]
    fn a_pod_that_was_declared_not_ready_was_not_heard_of_since() {
        let both = json!([
            tolerates(SILENT[0], Some(300)),
            tolerates(SILENT[1], Some(300))
        ]);
        assert_eq!(lost_since(&taken("", &both)), Some(at(100)));
    }

    #[test]
    fn one_that_was_not_ready_by_itself_ran_until_its_toleration_and_the_grace_before_its_removal()
    {
        let own = |tolerations: Value| lost_since(&taken("ContainersNotReady", &tolerations));
        let both = json!([
            tolerates(SILENT[0], Some(300)),
            tolerates(SILENT[1], Some(60))
        ]);
        assert_eq!(own(both), Some(at(10_000 - 350)));
        assert_eq!(own(json!([])), Some(at(9_950)));
        // others say nothing of a silent node
        let other = json!([tolerates("node.kubernetes.io/disk-pressure", None)]);
        assert_eq!(own(other), Some(at(9_950)));
        // it may have been silent since then
        assert_eq!(own(json!([tolerates(SILENT[0], None)])), Some(at(100)));
        assert_eq!(
            own(json!([tolerates(SILENT[0], Some(20_000))])),
            Some(at(100))
        );
    }

    #[test]
    fn a_pod_that_somebody_else_took_away_was_heard_of() {
        let mut pod = taken("", &json!([]));
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[1].reason = Some("EvictionByEvictionAPI".to_owned());
        assert_eq!(lost_since(&pod), None);
    }
}
