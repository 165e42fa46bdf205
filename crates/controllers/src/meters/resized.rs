//! Since when a pod has had the size that it has, where somebody resized it.
//!
//! A pod is resized by a write of its subresource `resize`, and the API server stamps the writer's entry in the managed
//! fields with the second. Others have entries of their own, so that the stamp outlives what the node reports afterwards;
//! only another resize by the same writer takes its place. So of a pod that nobody watched the second of the last resize is
//! known, and that it has held no less than what it holds ever since. What it held before that is told by nothing.
//!
//! Whoever may write a pod may write such an entry too, and what it used before would not be billed. So an entry counts only
//! where nothing else tells of a resize: not of a pod that is watched, of which each resize is told as it is made; and not
//! of one whose spec was never written again, which the API server counts and nobody else.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta},
};
use leasehold_kit::owned;
use leasehold_ledger::{fact::Meter, time::Second};
use serde_json::{Map, Value};

use super::{
    life::{Moment, Resized},
    pods::{Sight, found_changed, second},
};

/// The part of a pod by which it is resized.
const RESIZE: &str = "resize";
/// The part by which its node says how far it has come with that.
const STATUS: &str = "status";
/// What tells since when a pod holds no less than it does.
const LAST_RESIZE: &str = "managedFields time of the last resize";
/// The generation of a pod whose spec is the one that it was made with.
const AS_MADE: i64 = 1;

/// What is known of the sizes of a pod that began to hold something at `start`: since when it holds these amounts, for the
/// meters of which that may be later.
pub fn sizes(
    pod: &Pod,
    start: &Moment,
    held: &BTreeMap<Meter, i64>,
    sight: &Sight,
) -> BTreeMap<Meter, Resized> {
    let mut found = BTreeMap::new();
    if !sight.listed || pod.metadata.generation == Some(AS_MADE) {
        return found;
    }
    for meter in held.keys() {
        let Meter::Pod { resource } = meter else {
            continue;
        };
        let last = last_resize(&pod.metadata, resource, sight);
        if let Some(at) = last.filter(|at| *at > start.at) {
            let resized = Resized {
                at,
                unknown_before: Moment::began(start.at, at, sight.billed, LAST_RESIZE),
                grown: found_changed(&pod.metadata, at, sight),
            };
            found.insert(meter.clone(), resized);
        }
    }
    found
}

/// When anything was written last by which a pod can come to hold more or less.
pub fn last_written(meta: &ObjectMeta, sight: &Sight) -> Option<Second> {
    let parts = [Some(RESIZE), Some(STATUS)];
    let entries = meta.managed_fields.iter().flatten();
    let meant = entries.filter(|entry| parts.contains(&entry.subresource.as_deref()));
    let newest = times(meant).max();
    newest.map(|newest| newest.min(sight.latest()))
}

/// When this resource of the pod was resized last. What was written later than now was written by nobody.
fn last_resize(meta: &ObjectMeta, resource: &str, sight: &Sight) -> Option<Second> {
    let entries = meta.managed_fields.iter().flatten();
    let resizes = entries.filter(|entry| entry.subresource.as_deref() == Some(RESIZE));
    let meant = resizes.filter(|entry| {
        let set = entry.fields_v1.as_ref();
        let fields = set.and_then(|set| owned::fields(&set.0));
        // an entry that does not say what was written may be about anything
        fields.is_none_or(|fields| is_about(&fields, &format!("f:{resource}")))
    });
    times(meant).filter(|at| *at <= sight.latest()).max()
}

fn times<'a>(
    entries: impl Iterator<Item = &'a ManagedFieldsEntry>,
) -> impl Iterator<Item = Second> {
    let times = entries.filter_map(|entry| entry.time.as_ref());
    times.map(second)
}

/// Whether a request for the field is among these, at whatever depth.
fn is_about(fields: &Map<String, Value>, field: &str) -> bool {
    fields.iter().any(|(name, inner)| {
        if name == "f:requests" {
            inner.get(field).is_some()
        } else {
            inner
                .as_object()
                .is_some_and(|inner| is_about(inner, field))
        }
    })
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        fact::{Bounds, Fact, FactKind, intervals},
        policy::EstimateBound,
    };
    use serde_json::json;

    use super::{
        super::{
            fixture::{at, lived, sight},
            pods::standing,
        },
        *,
    };

    /// A pod that was bound at 2 and asks for so many cores and one GiB. Its node wrote of it last at `status`; its cores
    /// were resized last at `resize`, if they were.
    fn pod(cpu: &str, status: i64, resize: Option<i64>) -> Pod {
        let time = |second: i64| at(second).to_string();
        let mut entries = vec![
            json!({ "manager": "web", "operation": "Update", "time": time(0) }),
            json!({ "manager": "kubelet", "subresource": "status", "time": time(status) }),
            // a label, which has nothing to do with sizes
            json!({ "manager": "labels", "operation": "Update", "time": time(400) }),
        ];
        entries.extend(resize.map(|second| {
            let requests = json!({ "f:requests": { "f:cpu": {} } });
            json!({ "manager": "web", "subresource": "resize", "time": time(second),
                "fieldsV1": { "f:spec": { "f:containers": { "k:{\"name\":\"a\"}": { "f:resources": requests } } } } })
        }));
        serde_json::from_value(json!({
            "metadata": { "name": "web-1", "creationTimestamp": time(0), "managedFields": entries,
                "generation": if resize.is_some() { 2 } else { 1 } },
            "spec": { "containers": [{ "name": "a",
                "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } } }] },
            "status": { "phase": "Running", "conditions": [
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": time(2) }] },
        }))
        .unwrap()
    }

    fn listed(known_to: i64, now: i64) -> Sight {
        Sight {
            known_to: Some(at(known_to)),
            listed: true,
            ..sight(now)
        }
    }

    fn of<'a>(facts: &'a [Fact], meter: &str) -> Vec<&'a Fact> {
        let all = facts.iter();
        all.filter(|fact| fact.meter.to_string() == meter).collect()
    }

    fn bounds(lower: i64, upper: i64) -> Bounds {
        Bounds {
            lower: at(lower),
            upper: at(upper),
        }
    }

    #[test]
    fn a_pod_that_was_resized_before_it_was_found_has_its_size_since_the_resize() {
        let facts = lived(&[(7, pod("2", 31, Some(30)), listed(-10, 50))], standing);
        let cores = of(&facts, "pod/cpu");
        assert_eq!(
            (cores[0].kind, cores[0].at, cores[0].quantity),
            (FactKind::Opened, at(30), 2000)
        );
        assert_eq!(cores[0].bounds, Some(bounds(2, 30)));
        assert_eq!(cores[0].evidence, LAST_RESIZE);
        // nobody resized its memory
        let memory = of(&facts, "pod/memory");
        assert_eq!((memory[0].at, memory[0].bounds), (at(2), None));
    }

    #[test]
    fn by_the_upper_bound_it_has_had_the_size_since_its_start_and_that_is_marked() {
        let upper = Sight {
            billed: EstimateBound::Upper,
            ..listed(-10, 50)
        };
        let facts = lived(&[(7, pod("2", 31, Some(30)), upper)], standing);
        let cores = of(&facts, "pod/cpu");
        assert_eq!((cores[0].at, cores[0].bounds), (at(2), Some(bounds(2, 30))));
        let found = intervals(&facts, at(100)).unwrap();
        assert!(found[0].estimated, "{found:?}");
    }

    #[test]
    fn one_that_was_never_resized_or_before_it_was_bound_counts_from_its_start() {
        for resize in [None, Some(1), Some(2)] {
            let facts = lived(&[(7, pod("2", 31, resize), listed(-10, 50))], standing);
            let cores = of(&facts, "pod/cpu");
            assert_eq!((cores[0].at, cores[0].bounds), (at(2), None), "{resize:?}");
        }
    }

    /// What was seen of a pod counts from its start, and that is exact.
    fn counts_from_its_start(facts: &[Fact]) {
        for meter in ["pod/cpu", "pod/memory"] {
            let opened = of(facts, meter)[0];
            let told = (opened.kind, opened.at, opened.bounds);
            assert_eq!(told, (FactKind::Opened, at(2), None), "{meter}");
        }
    }

    #[test]
    fn a_resize_that_somebody_made_up_hides_nothing_of_a_pod_that_is_watched() {
        // in the future, which would be taken for now, and in the past
        for made_up in [5000, 30] {
            let facts = lived(&[(7, pod("2", 31, Some(made_up)), sight(50))], standing);
            counts_from_its_start(&facts);
        }
    }

    #[test]
    fn a_resize_of_a_pod_whose_spec_was_never_written_again_was_made_up() {
        let mut found = pod("2", 31, Some(30));
        found.metadata.generation = Some(1);
        let facts = lived(&[(7, found, listed(-10, 50))], standing);
        counts_from_its_start(&facts);
        // an API server that does not count writes of pods says nothing either way
        let mut found = pod("2", 31, Some(30));
        found.metadata.generation = None;
        let facts = lived(&[(7, found, listed(-10, 50))], standing);
        assert_eq!(of(&facts, "pod/cpu")[0].bounds, Some(bounds(2, 30)));
    }

    #[test]
    fn a_resize_in_the_future_was_made_up() {
        let facts = lived(&[(7, pod("2", 31, Some(5000)), listed(-10, 50))], standing);
        counts_from_its_start(&facts);
        // our notion of now may lag behind by two seconds
        let facts = lived(&[(7, pod("2", 31, Some(52)), listed(-10, 50))], standing);
        assert_eq!(of(&facts, "pod/cpu")[0].at, at(52));
    }

    #[test]
    fn a_pod_that_is_over_was_not_resized_behind_its_end() {
        let finished = json!([{ "name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 0, "finishedAt": at(40).to_string() } } }]);
        let over = |resize: i64| {
            let mut over = pod("2", 41, Some(resize));
            let status = over.status.as_mut().unwrap();
            status.phase = Some("Succeeded".to_owned());
            status.container_statuses = serde_json::from_value(finished.clone()).unwrap();
            lived(&[(7, over, listed(-10, 50))], standing)
        };
        let told = |facts: &[Fact]| {
            let cores = of(facts, "pod/cpu").into_iter();
            cores.map(|fact| (fact.kind, fact.at)).collect::<Vec<_>>()
        };
        let whole = [(FactKind::Opened, at(2)), (FactKind::Closed, at(40))];
        for behind in [40, 45] {
            assert_eq!(told(&over(behind)), whole, "{behind}");
        }
        let resized = [(FactKind::Opened, at(30)), (FactKind::Closed, at(40))];
        assert_eq!(told(&over(30)), resized);
    }

    #[test]
    fn an_entry_that_does_not_say_what_was_written_may_be_about_anything() {
        let mut found = pod("2", 31, Some(30));
        for entry in found.metadata.managed_fields.iter_mut().flatten() {
            entry.fields_v1 = None;
        }
        let facts = lived(&[(7, found, listed(-10, 50))], standing);
        assert_eq!(of(&facts, "pod/memory")[0].bounds, Some(bounds(2, 30)));
    }

    #[test]
    fn what_was_resized_is_read_from_text_as_well() {
        let mut found = pod("2", 31, Some(30));
        let whole = found.clone();
        for entry in found.metadata.managed_fields.iter_mut().flatten() {
            if let Some(set) = &mut entry.fields_v1 {
                set.0 = Value::String(set.0.to_string());
            }
        }
        let facts = lived(&[(7, found, listed(-10, 50))], standing);
        assert_eq!(facts, lived(&[(7, whole, listed(-10, 50))], standing));
        assert_ne!(
            of(&facts, "pod/memory")[0].bounds,
            Some(bounds(2, 30)),
            "the cores alone were resized"
        );
    }

    #[test]
    fn a_growth_that_a_list_shows_counts_from_the_resize_and_not_from_what_was_written_later() {
        let facts = lived(
            &[
                (3, pod("1", 3, None), sight(4)),
                // the node reported at 34 what was asked for at 30, and somebody labelled the pod at 400
                (7, pod("2", 34, Some(30)), listed(20, 410)),
            ],
            standing,
        );
        let cores = of(&facts, "pod/cpu");
        assert_eq!((cores[1].kind, cores[1].at), (FactKind::Changed, at(30)));
        assert_eq!(cores[1].bounds, Some(bounds(20, 30)));
    }

    #[test]
    fn a_resize_that_was_stamped_before_all_was_known_and_stored_after_it_counts_from_its_second() {
        let facts = lived(
            &[
                (3, pod("1", 3, None), sight(4)),
                (7, pod("2", 34, Some(30)), listed(32, 50)),
            ],
            standing,
        );
        let cores = of(&facts, "pod/cpu");
        assert_eq!((cores[1].at, cores[1].bounds), (at(30), None));
    }

    #[test]
    fn what_became_less_did_so_before_the_node_wrote_last() {
        let facts = lived(
            &[
                (3, pod("3", 3, None), sight(4)),
                (7, pod("2", 34, Some(30)), listed(20, 410)),
            ],
            standing,
        );
        let cores = of(&facts, "pod/cpu");
        // billed as less from the earliest instant, but the latest is no label's
        assert_eq!(
            (cores[1].at, cores[1].bounds),
            (at(20), Some(bounds(20, 34)))
        );
    }

    #[test]
    fn a_resize_that_is_watched_is_exact() {
        let mut grown = pod("2", 3, Some(30));
        // it is the write that the watch brings
        let entries = grown.metadata.managed_fields.as_mut().unwrap();
        entries.retain(|entry| entry.manager.as_deref() != Some("labels"));
        let mut small = pod("1", 3, None);
        let entries = small.metadata.managed_fields.as_mut().unwrap();
        entries.retain(|entry| entry.manager.as_deref() != Some("labels"));
        let facts = lived(&[(3, small, sight(4)), (7, grown, sight(31))], standing);
        let cores = of(&facts, "pod/cpu");
        assert_eq!((cores[1].at, cores[1].bounds), (at(30), None));
    }
}
