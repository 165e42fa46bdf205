//! How a pod stands.
//!
//! A pod holds what it asks for from the moment that it is bound to a node until its last container has finished. Its
//! `deletionTimestamp` is no evidence of an end: it is the time of the request plus the grace period.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use leasehold_ledger::{fact::Meter, policy::EstimateBound, time::Second};

use super::{
    effective::{self, Uncountable},
    life::{Holding, Moment, Standing},
    resized, silence,
};

/// What tells the end of a pod whose node was lost.
const NODE_LOST: &str = "taken away because its node was lost";

/// Under which circumstances an object is seen.
#[expect(
    clippy::struct_excessive_bools,
    reason = "circumstances that go together in any way, with names of their own"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Now, by the API server's clock.
    pub now: Second,
    /// Up to which instant every change of the kind is known to have been seen.
    pub known_to: Option<Second>,
    /// Which end of an estimate is billed.
    pub billed: EstimateBound,
    /// Whether the object was removed and this is what it was at last.
    pub gone: bool,
    /// Whether it comes from a list and not from a change.
    pub listed: bool,
    /// Whether it comes from a watch that has stood since before everything else was known: then it has just happened.
    pub prompt: bool,
    /// Whether volume claims count before they are bound.
    pub unbound: bool,
}

/// How far our notion of the API server's clock may lag behind it, in seconds: what it tells of itself is cut to a second,
/// and takes a while to arrive.
const LAG: i64 = 2;

impl Sight {
    /// The latest instant that can have been recorded by now. A later one is of a clock that is wrong, or forged: nobody
    /// is billed ahead of time.
    pub fn latest(&self) -> Second {
        self.now.plus(LAG)
    }
}

/// The second of a time of Kubernetes.
pub fn second(time: &Time) -> Second {
    Second::from_timestamp(time.0)
}

/// When the object was last written, by the API server's clock: the newest time in its managed fields. A writer may
/// forge other entries but not the one of its own write, so the newest is never before the true time.
pub fn written(meta: &ObjectMeta, sight: &Sight) -> Option<Second> {
    let times = meta
        .managed_fields
        .iter()
        .flatten()
        .filter_map(|entry| entry.time.as_ref());
    times
        .map(second)
        .max()
        .map(|newest| newest.min(sight.latest()))
}

/// How the pod stands.
pub fn standing(pod: &Pod, sight: &Sight) -> Result<Standing, Uncountable> {
    let Some(start) = start(pod) else {
        return Ok(unscheduled(sight));
    };
    let end = end(pod, &start, sight);
    let quantities = match effective::requests(pod) {
        Ok(requests) => requests
            .into_iter()
            .map(|(resource, amount)| (Meter::Pod { resource }, amount))
            .collect(),
        // what is recorded must end, whatever the pod says now
        Err(_) if end.is_some() => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let mut resized = resized::sizes(pod, &start, &quantities, sight);
    if let Some(end) = &end {
        // nothing is resized once it is over: the entry was made up, and would hide all of the use
        resized.retain(|_, resized| resized.at < end.at);
    }
    let held = Holding {
        resized,
        start,
        change: change(pod, sight),
        quantities,
    };
    Ok(match end {
        Some(end) => Standing::Over { held, end },
        None => Standing::Holding(held),
    })
}

/// A pod that was never bound to a node used nothing, even when it is gone.
fn unscheduled(sight: &Sight) -> Standing {
    if !sight.gone {
        return Standing::Idle;
    }
    let gone = Moment::exact(sight.now, "DELETED before it was scheduled");
    let held = Holding {
        start: gone.clone(),
        change: gone.clone(),
        quantities: BTreeMap::new(),
        resized: BTreeMap::new(),
    };
    Standing::Over { held, end: gone }
}

/// When the pod was bound: the condition says so; a pod that was created with a node in it was bound from the first.
fn start(pod: &Pod) -> Option<Moment> {
    let scheduled = conditions(pod)
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
        .and_then(|condition| condition.last_transition_time.as_ref());
    if let Some(time) = scheduled {
        return Some(Moment::exact(
            second(time),
            "PodScheduled lastTransitionTime",
        ));
    }
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default();
    if node.is_empty() {
        return None;
    }
    let created = pod.metadata.creation_timestamp.as_ref()?;
    Some(Moment::exact(
        second(created),
        "creationTimestamp of a pod with a node",
    ))
}

pub(super) fn conditions(
    pod: &Pod,
) -> impl Iterator<Item = &k8s_openapi::api::core::v1::PodCondition> {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
}

/// When the newest change was made: when it was written, else some time since the pods were known completely. Of what
/// comes from a list the last write may be another one, made after the change.
fn change(pod: &Pod, sight: &Sight) -> Moment {
    match written(&pod.metadata, sight) {
        Some(at) if sight.listed => {
            let size = resized::last_written(&pod.metadata, sight).unwrap_or(at);
            found_changed(&pod.metadata, size, sight)
        }
        Some(at) => Moment::exact(at, "managedFields time of the write"),
        None => {
            let lower = sight.known_to.unwrap_or(sight.now);
            Moment {
                at: sight.now,
                ..Moment::began(lower, sight.now, sight.billed, "MODIFIED")
            }
        }
    }
}

/// The change of an object that a list shows otherwise than it was known: not before everything was known, or the object
/// made, and not after it was written last.
pub fn found_changed(meta: &ObjectMeta, written: Second, sight: &Sight) -> Moment {
    let created = meta.creation_timestamp.as_ref().map(second);
    let lower = sight.known_to.max(created).unwrap_or(written);
    Moment::began(lower.min(written), written, sight.billed, "found changed")
}

/// When the pod's use ended, if it has.
fn end(pod: &Pod, start: &Moment, sight: &Sight) -> Option<Moment> {
    let status = pod.status.as_ref();
    let terminal = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    if !terminal && !sight.gone {
        return None;
    }
    if let Some(finished) = finished(pod) {
        return Some(Moment::exact(
            finished.min(sight.latest()),
            "finishedAt of the last container",
        ));
    }
    let written = written(&pod.metadata, sight);
    let last_container = status.and_then(latest_finish);
    if let Some(lost) = silence::lost_since(pod) {
        // who has written to it since is no kubelet: none of that shows that it ran
        let lower = lost.max(start.at).max(last_container.unwrap_or(lost));
        let upper = written.filter(|_| terminal).unwrap_or(sight.now);
        let lower = lower.min(upper);
        return Some(Moment::ended(lower, upper, sight.billed, NODE_LOST));
    }
    let alive = [Some(start.at), sight.known_to, last_container]
        .into_iter()
        .flatten()
        .max();
    let alive = alive.unwrap_or(sight.now).min(sight.now);
    Some(if terminal {
        // whoever wrote the phase saw the end, so it was over by then
        let seen = written.unwrap_or(sight.now).max(start.at);
        Moment::ended(
            alive,
            seen,
            sight.billed,
            "terminal phase without finishedAt",
        )
    } else {
        let alive = written.map_or(alive, |written| written.max(alive));
        let alive = alive.min(sight.now);
        Moment::ended(alive, sight.now, sight.billed, "DELETED without finishedAt")
    })
}

/// When the last container finished, if every container and sidecar has.
fn finished(pod: &Pod) -> Option<Second> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| effective::is_sidecar(c));
    let must = spec.containers.iter().chain(sidecars);
    for container in must {
        statuses(status)
            .find(|status| status.name == container.name)
            .and_then(finished_at)?;
    }
    latest_finish(status)
}

fn latest_finish(status: &PodStatus) -> Option<Second> {
    statuses(status).filter_map(finished_at).max()
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let containers = status.container_statuses.iter().flatten();
    containers.chain(status.init_container_statuses.iter().flatten())
}

fn finished_at(status: &ContainerStatus) -> Option<Second> {
    let terminated = status.state.as_ref()?.terminated.as_ref()?;
    terminated.finished_at.as_ref().map(second)
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{self, at, sight},
        *,
    };
    use leasehold_ledger::fact::{Bounds, Fact, FactKind};
    use serde_json::{Value, json};

    fn time(second: i64) -> String {
        at(second).to_string()
    }

    fn gone(now: i64) -> Sight {
        Sight {
            gone: true,
            ..sight(now)
        }
    }

    /// A pod of one container with a core, written at a second.
    #[expect(clippy::needless_pass_by_value, reason = "called with json!")]
    fn pod(written: i64, phase: &str, status: Value) -> Pod {
        let mut full = json!({ "phase": phase });
        full.as_object_mut()
            .unwrap()
            .extend(status.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "metadata": {
                "name": "web-1", "creationTimestamp": time(0),
                "managedFields": [{ "manager": "k", "time": time(0) }, { "manager": "l", "time": time(written) }],
            },
            "spec": { "containers": [{ "name": "a", "resources": { "requests": { "cpu": "1" } } }] },
            "status": full,
        }))
        .unwrap()
    }

    fn scheduled() -> Value {
        json!([{ "type": "PodScheduled", "status": "True", "lastTransitionTime": time(2) }])
    }

    fn terminated(second: i64) -> Value {
        json!([{ "name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 0, "finishedAt": time(second) } } }])
    }

    fn running(written: i64) -> Pod {
        pod(written, "Running", json!({ "conditions": scheduled() }))
    }

    fn ended(sighted: Result<Standing, Uncountable>) -> Moment {
        match sighted.unwrap() {
            Standing::Over { end, .. } => end,
            other @ (Standing::Idle | Standing::Holding(_)) => panic!("not over: {other:?}"),
        }
    }

    fn lived(sightings: &[(u64, Pod, Sight)]) -> Vec<Fact> {
        fixture::lived(sightings, standing)
    }

    #[test]
    fn a_pod_that_is_not_scheduled_uses_nothing_even_when_it_goes() {
        let pending = pod(1, "Pending", json!({}));
        let waiting = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "lastTransitionTime": time(1) }] });
        assert_eq!(standing(&pending, &sight(9)).unwrap(), Standing::Idle);
        assert_eq!(
            standing(&pod(1, "Pending", waiting), &sight(9)).unwrap(),
            Standing::Idle
        );
        assert!(lived(&[(1, pending.clone(), sight(9)), (2, pending, gone(10))]).is_empty());
    }

    #[test]
    fn use_runs_from_the_scheduling_to_the_last_container() {
        let done = pod(
            31,
            "Succeeded",
            json!({ "conditions": scheduled(), "containerStatuses": terminated(30) }),
        );
        let facts = lived(&[
            (1, running(3), sight(4)),
            (2, done.clone(), sight(33)),
            (3, done, gone(60)),
        ]);
        let told: Vec<_> = facts.iter().map(|f| (f.kind, f.at, f.estimated)).collect();
        assert_eq!(
            told,
            [
                (FactKind::Opened, at(2), false),
                (FactKind::Closed, at(30), false)
            ]
        );
        assert_eq!(facts[0].quantity, 1000);
    }

    #[test]
    fn the_deletion_timestamp_is_no_end() {
        let mut pod = running(3);
        pod.metadata.deletion_timestamp = Some(Time(at(50).timestamp()));
        assert!(matches!(
            standing(&pod, &sight(20)).unwrap(),
            Standing::Holding(_)
        ));
        let end = ended(standing(&pod, &gone(25)));
        assert_eq!(
            end.bounds,
            Some(Bounds {
                lower: at(20),
                upper: at(25)
            })
        );
    }

    #[test]
    fn a_pod_removed_with_its_containers_finished_ended_when_they_did() {
        let pod = pod(
            24,
            "Running",
            json!({ "conditions": scheduled(), "containerStatuses": terminated(23) }),
        );
        assert_eq!(
            ended(standing(&pod, &gone(25))),
            Moment::exact(at(23), "finishedAt of the last container")
        );
        assert!(
            matches!(standing(&pod, &sight(25)).unwrap(), Standing::Holding(_)),
            "a crash is no end"
        );
    }

    #[test]
    fn a_pod_removed_without_a_word_ended_since_it_was_last_known_to_live() {
        let unknown = Sight {
            known_to: Some(at(-100)),
            ..gone(25)
        };
        let end = ended(standing(&running(18), &unknown));
        assert_eq!(
            end.bounds,
            Some(Bounds {
                lower: at(18),
                upper: at(25)
            }),
            "a write is a sign of life"
        );
        assert_eq!(end.at, at(18));
        let upper = Sight {
            billed: EstimateBound::Upper,
            ..gone(25)
        };
        assert_eq!(ended(standing(&running(3), &upper)).at, at(25));
        assert_eq!(ended(standing(&running(3), &gone(25))).at, at(20));
    }

    #[test]
    fn a_terminal_phase_without_finish_is_an_estimate_that_the_finish_supersedes() {
        let evicted = pod(30, "Failed", json!({ "conditions": scheduled() }));
        let known = pod(
            34,
            "Failed",
            json!({ "conditions": scheduled(), "containerStatuses": terminated(29) }),
        );
        let facts = lived(&[
            (1, running(3), sight(4)),
            (2, evicted, sight(31)),
            (3, known, sight(35)),
        ]);
        let told: Vec<_> = facts.iter().map(|f| (f.kind, f.at, f.estimated)).collect();
        assert_eq!(
            told,
            [
                (FactKind::Opened, at(2), false),
                (FactKind::Closed, at(26), true),
                (FactKind::Superseded, at(29), false),
            ]
        );
    }

    #[test]
    fn a_sidecar_that_runs_keeps_the_end_open() {
        let mut done = pod(
            31,
            "Failed",
            json!({ "conditions": scheduled(), "containerStatuses": terminated(30) }),
        );
        assert_eq!(finished(&done), Some(at(30)));
        done.spec.as_mut().unwrap().init_containers = Some(vec![
            serde_json::from_value(json!({ "name": "s", "restartPolicy": "Always" })).unwrap(),
        ]);
        assert_eq!(finished(&done), None);
    }

    #[test]
    fn a_resize_counts_from_when_it_was_written_however_late_it_is_seen() {
        let mut resized = running(40);
        resized.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({ "requests": { "cpu": "2500m" } })).unwrap();
        let facts = lived(&[(1, running(3), sight(4)), (7, resized.clone(), sight(4000))]);
        assert_eq!(
            (facts[1].kind, facts[1].at, facts[1].quantity),
            (FactKind::Changed, at(40), 2500)
        );
        resized.metadata.managed_fields = None;
        let facts = lived(&[(1, running(3), sight(4)), (7, resized, sight(60))]);
        assert_eq!((facts[1].at, facts[1].estimated), (at(60), true));
    }

    #[test]
    fn a_resize_that_a_list_after_a_gap_shows_was_between_the_last_sight_and_the_last_write() {
        let found = |cpu: &str, billed| {
            let mut resized = running(300);
            resized.spec.as_mut().unwrap().containers[0].resources =
                serde_json::from_value(json!({ "requests": { "cpu": cpu } })).unwrap();
            let listed = Sight {
                known_to: Some(at(100)),
                billed,
                listed: true,
                ..sight(500)
            };
            // resized in the gap, and written once more after that
            let facts = lived(&[(1, running(3), sight(4)), (7, resized, listed)]);
            let bounds = Bounds {
                lower: at(100),
                upper: at(300),
            };
            assert_eq!(facts[1].bounds, Some(bounds), "{facts:?}");
            facts[1].at
        };
        assert_eq!(found("2500m", EstimateBound::Lower), at(300));
        assert_eq!(found("2500m", EstimateBound::Upper), at(100));
        // what became less is billed as less from the earliest instant
        assert_eq!(found("500m", EstimateBound::Lower), at(100));
    }

    #[test]
    fn a_change_that_was_written_before_everything_was_known_is_exact_in_a_list_too() {
        let mut resized = running(40);
        resized.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({ "requests": { "cpu": "2500m" } })).unwrap();
        let listed = Sight {
            known_to: Some(at(100)),
            listed: true,
            ..sight(500)
        };
        let facts = lived(&[(1, running(3), sight(4)), (7, resized, listed)]);
        assert_eq!((facts[1].at, facts[1].bounds), (at(40), None));
    }

    #[test]
    fn a_forged_time_of_a_write_is_hardly_later_than_now() {
        assert_eq!(written(&running(9999).metadata, &sight(40)), Some(at(42)));
    }

    #[test]
    fn what_was_recorded_while_our_notion_of_the_clock_lags_is_taken_to_the_second() {
        let finished = json!({ "conditions": scheduled(), "containerStatuses": terminated(34) });
        let done = pod(34, "Succeeded", finished);
        assert_eq!(ended(standing(&done, &sight(33))).at, at(34));
        assert_eq!(written(&done.metadata, &sight(33)), Some(at(34)));
    }

    #[test]
    fn a_pod_created_on_a_node_counts_from_its_creation() {
        let mut pod = pod(1, "Running", json!({}));
        pod.spec.as_mut().unwrap().node_name = Some("node-1".to_owned());
        let facts = lived(&[(1, pod, sight(9))]);
        assert_eq!((facts[0].kind, facts[0].at), (FactKind::Opened, at(0)));
    }

    #[test]
    fn a_finish_by_a_clock_that_runs_ahead_is_not_in_the_future() {
        let done = pod(
            31,
            "Succeeded",
            json!({ "conditions": scheduled(), "containerStatuses": terminated(500) }),
        );
        assert_eq!(ended(standing(&done, &sight(33))).at, at(35));
    }

    /// A pod that ran since 0 on a node that fell silent at 100 and was given up at 160.
    fn lost(phase: &str, reason: &str) -> Pod {
        let status = json!({
            "conditions": [
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": time(0) },
                { "type": "Ready", "status": "False", "lastTransitionTime": time(100) },
                { "type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": time(160) },
            ],
        });
        pod(160, phase, status)
    }

    #[test]
    fn a_pod_that_was_not_ready_for_long_before_its_node_was_lost_used_what_it_used() {
        let mut pod = lost("Running", "DeletionByTaintManager");
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[1].reason = Some("ContainersNotReady".to_owned());
        conditions[2].last_transition_time = Some(Time(at(864_000).timestamp()));
        let end = end_of(&pod, &gone(864_030));
        let bounds = Bounds {
            // no toleration, and 50 seconds before a silent node is declared so
            lower: at(863_950),
            upper: at(864_030),
        };
        assert_eq!((end.at, end.bounds), (at(863_950), Some(bounds)));
    }

    fn end_of(pod: &Pod, sight: &Sight) -> Moment {
        match standing(pod, sight).unwrap() {
            Standing::Over { end, .. } => end,
            Standing::Idle | Standing::Holding(_) => panic!("not over"),
        }
    }

    #[test]
    fn a_pod_of_a_lost_node_ended_between_its_silence_and_its_removal() {
        let end = end_of(&lost("Running", "DeletionByTaintManager"), &gone(460));
        let bounds = Bounds {
            lower: at(100),
            upper: at(460),
        };
        assert_eq!((end.at, end.bounds), (at(100), Some(bounds)));
        assert_eq!(end.evidence, NODE_LOST);
        // the garbage of a node that is gone is declared failed before it is removed
        let end = end_of(&lost("Failed", "DeletionByPodGC"), &sight(170));
        let bounds = Bounds {
            lower: at(100),
            upper: at(160),
        };
        assert_eq!(end.bounds, Some(bounds));
        // somebody else's removal shows that the pod was watched to its end
        let end = end_of(&lost("Running", "EvictionByEvictionAPI"), &gone(460));
        assert_eq!(end.bounds.unwrap().lower, at(455));
    }
}
