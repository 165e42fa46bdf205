//! The floor: the objects of a tenancy's namespaces, created without a tenancy.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use leasehold_testkit::{Failure, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Floor, Load, spread};

/// Neither labels of ours nor two dashes in a row: the rules N01 and N02 leave such namespaces alone.
const PREFIX: &str = "floor-";
/// How many namespaces are created at a time, in turn: nobody knows beforehand what a machine does best.
const SWEEP: [usize; 4] = [4, 8, 16, 32];
/// More at a time are not tried.
const MOST: usize = 128;

/// The floor at every concurrency of the sweep and beyond, as long as more at a time are faster, each with
/// namespaces of its own. `bound` is for one.
pub(super) async fn floors(
    admin: &Session,
    load: Load,
    bound: Duration,
) -> Result<Vec<Floor>, Failure> {
    let mut floors = Vec::new();
    while let Some(workers) = next(&floors) {
        let elapsed = floor(admin, load, bound, workers).await?;
        floors.push(Floor { workers, elapsed });
    }
    Ok(floors)
}

/// How many at a time come next; none once the sweep is done and its last step was not the fastest.
fn next(floors: &[Floor]) -> Option<usize> {
    if let Some(workers) = SWEEP.get(floors.len()) {
        return Some(*workers);
    }
    let last = floors.last()?;
    let is_fastest = floors.iter().all(|floor| floor.elapsed >= last.elapsed);
    (is_fastest && last.workers < MOST).then(|| last.workers.saturating_mul(2))
}

/// How long the API server and the built-in controllers take for as many namespaces, each with a quota,
/// a limit range, a network policy and a role binding, until every quota is counted.
async fn floor(
    admin: &Session,
    load: Load,
    bound: Duration,
    workers: usize,
) -> Result<Duration, Failure> {
    let wanted = load.places();
    let prefix = prefix(workers);
    let mut counted = BTreeSet::new();
    let started = Instant::now();
    let watching = admin.follow::<ResourceQuota>(|quota| {
        if let Some(place) = place_of(&quota, &prefix) {
            counted.insert(place);
        }
        u32::try_from(counted.len()).is_ok_and(|count| count >= wanted)
    });
    let creating = spread(workers, 1..=wanted, |number| {
        let admin = admin.clone();
        let place = format!("{prefix}{number:05}");
        async move { create(&admin, &place).await }
    });
    let both = async { tokio::try_join!(watching, creating) };
    let both = timeout(bound, both).await;
    match both {
        Ok(ended) => ended.map(|_| started.elapsed()),
        Err(_) => Err(Failure::Late {
            what: format!("{wanted} bare namespaces with counted quotas, {workers} at a time"),
            bound,
            last: format!("{} quotas are counted", counted.len()),
        }),
    }
}

/// How the namespaces begin that are created so many at a time.
fn prefix(workers: usize) -> String {
    format!("{PREFIX}{workers}-")
}

/// The namespace of a quota of this floor, once the quota controller has counted it.
fn place_of(quota: &ResourceQuota, prefix: &str) -> Option<String> {
    let place = quota.metadata.namespace.as_ref()?;
    let hard = quota.status.as_ref()?.hard.as_ref()?;
    (place.starts_with(prefix) && !hard.is_empty()).then(|| place.clone())
}

async fn create(admin: &Session, place: &str) -> Result<(), Failure> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place},
    });
    admin.post::<Namespace>(&namespace).await?;
    admin.post::<ResourceQuota>(&quota(place)).await?;
    admin.post::<LimitRange>(&limit_range(place)).await?;
    admin.post::<NetworkPolicy>(&network_policy(place)).await?;
    admin.post::<RoleBinding>(&role_binding(place)).await
}

fn quota(place: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "floor", "namespace": place},
        "spec": {"hard": {
            "requests.cpu": "4", "limits.cpu": "4",
            "requests.memory": "8Gi", "limits.memory": "8Gi",
        }},
    })
}

fn limit_range(place: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "floor", "namespace": place},
        "spec": {"limits": [{
            "type": "Container",
            "default": {"cpu": "500m", "memory": "512Mi"},
            "defaultRequest": {"cpu": "500m", "memory": "512Mi"},
        }]},
    })
}

fn network_policy(place: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "floor", "namespace": place},
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
            "egress": [{"to": [{"podSelector": {}}]}],
        },
    })
}

fn role_binding(place: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "floor", "namespace": place},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "floor-admins",
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(place: &str, status: &Value) -> Option<String> {
        let mut quota = quota(place);
        quota["status"] = status.clone();
        place_of(&serde_json::from_value(quota).unwrap(), &prefix(4))
    }

    fn took(seconds: &[u64]) -> Vec<Floor> {
        let workers = [4, 8, 16, 32, 64, 128].into_iter();
        let floor = |(workers, seconds): (usize, &u64)| Floor {
            workers,
            elapsed: Duration::from_secs(*seconds),
        };
        workers.zip(seconds).map(floor).collect()
    }

    #[test]
    fn more_at_a_time_are_tried_as_long_as_that_is_faster() {
        assert_eq!(next(&[]), Some(4));
        // a slow step of the sweep ends nothing
        assert_eq!(next(&took(&[5, 9])), Some(16));
        assert_eq!(next(&took(&[9, 8, 7, 8])), None);
        assert_eq!(next(&took(&[9, 8, 7, 6])), Some(64));
        assert_eq!(next(&took(&[9, 8, 7, 6, 7])), None);
        assert_eq!(next(&took(&[9, 8, 7, 6, 5])), Some(128));
        assert_eq!(next(&took(&[9, 8, 7, 6, 5, 4])), None);
    }

    #[test]
    fn a_quota_counts_once_its_limits_stand_in_the_status_and_only_if_it_is_the_floors() {
        let counted = json!({"hard": {"requests.cpu": "4"}});
        let found = seen("floor-4-00001", &counted).unwrap();
        assert_eq!(found, "floor-4-00001");
        assert_eq!(seen("floor-4-00001", &json!({})), None);
        assert_eq!(seen("floor-8-00001", &counted), None);
        assert_eq!(seen("bench-0001--n1", &counted), None);
    }
}
