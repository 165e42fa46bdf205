//! Quotas at admission, and how use is counted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    amount::{Amount, ONE, parse, render},
    kinds::Kind,
    object::{at, meta, set, text},
    refusal::Refusal,
    store::{Key, Store, is_ending, is_over},
    wire::trim,
};

/// Amounts by the key under which a quota counts them.
pub(crate) type Usage = BTreeMap<String, Amount>;

/// Kinds that a quota counts under their plural alone, apart from pods and claims.
const COUNTED: [&str; 5] = [
    "configmaps",
    "secrets",
    "services",
    "replicationcontrollers",
    "resourcequotas",
];
/// Resources that a quota counts by requests and limits.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What an object uses, under every key that a quota may have.
pub(crate) fn usage(kind: &Kind, object: &Value) -> Usage {
    let mut used = Usage::from([(format!("count/{}", kind.resource()), ONE)]);
    if !kind.group.is_empty() {
        return used;
    }
    match kind.kind.as_str() {
        "Pod" if !is_over(object) => pod(object, &mut used),
        "PersistentVolumeClaim" => claim(object, &mut used),
        _ if COUNTED.contains(&kind.plural.as_str()) => {
            used.insert(kind.plural.clone(), ONE);
        }
        _ => {}
    }
    used
}

/// Whether objects of the kind use anything but their number under `count/`.
fn is_measured(kind: &Kind) -> bool {
    kind.is_core("Pod")
        || kind.is_core("PersistentVolumeClaim")
        || (kind.group.is_empty() && COUNTED.contains(&kind.plural.as_str()))
}

fn pod(object: &Value, used: &mut Usage) {
    used.insert("pods".to_owned(), ONE);
    for (resource, amount) in effective(object, "requests") {
        if COMPUTE.contains(&resource.as_str()) {
            used.insert(resource.clone(), amount);
        }
        used.insert(format!("requests.{resource}"), amount);
    }
    for (resource, amount) in effective(object, "limits") {
        if COMPUTE.contains(&resource.as_str()) {
            used.insert(format!("limits.{resource}"), amount);
        }
    }
}

/// What a pod asks for: the larger of what its containers ask for together with its sidecars, and of what any of its
/// init containers asks for with the sidecars that started before it.
fn effective(pod: &Value, part: &str) -> Usage {
    let mut running = Usage::new();
    let mut starting = Usage::new();
    for container in containers(pod, "initContainers") {
        let wants = wanted(container, part);
        if text(container, &["restartPolicy"]) == "Always" {
            add(&mut running, &wants);
            raise(&mut starting, &running);
        } else {
            let mut together = running.clone();
            add(&mut together, &wants);
            raise(&mut starting, &together);
        }
    }
    for container in containers(pod, "containers") {
        add(&mut running, &wanted(container, part));
    }
    raise(&mut starting, &running);
    starting
}

fn containers<'pod>(pod: &'pod Value, list: &str) -> impl Iterator<Item = &'pod Value> + use<'pod> {
    at(pod, &["spec", list])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What a container asks for; a limit counts as a request where there is none.
fn wanted(container: &Value, part: &str) -> Usage {
    let mut wanted = amounts(at(container, &["resources", part]));
    if part == "requests" {
        for (resource, limit) in amounts(at(container, &["resources", "limits"])) {
            wanted.entry(resource).or_insert(limit);
        }
    }
    wanted
}

/// Quantities by name; what is none is left out.
pub(crate) fn amounts(map: Option<&Value>) -> Usage {
    let fields = map.and_then(Value::as_object);
    fields
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let amount = match value {
                Value::String(text) => parse(text),
                Value::Number(number) => parse(&number.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            };
            Some((key.clone(), amount?))
        })
        .collect()
}

fn add(sum: &mut Usage, more: &Usage) {
    for (key, amount) in more {
        *sum.entry(key.clone()).or_default() += amount;
    }
}

fn raise(most: &mut Usage, other: &Usage) {
    for (key, amount) in other {
        let known = most.entry(key.clone()).or_default();
        *known = (*known).max(*amount);
    }
}

fn claim(object: &Value, used: &mut Usage) {
    let requests = amounts(at(object, &["spec", "resources", "requests"]));
    let storage = requests.get("storage").copied().unwrap_or_default();
    used.insert("persistentvolumeclaims".to_owned(), ONE);
    used.insert("requests.storage".to_owned(), storage);
    let class = text(object, &["spec", "storageClassName"]);
    if !class.is_empty() {
        let prefix = format!("{class}.storageclass.storage.k8s.io");
        used.insert(format!("{prefix}/requests.storage"), storage);
        used.insert(format!("{prefix}/persistentvolumeclaims"), ONE);
    }
}

/// What a namespace uses of these keys.
pub(crate) fn counted(store: &Store, namespace: &str, keys: &BTreeSet<String>) -> Usage {
    let mut sum: Usage = keys.iter().map(|key| (key.clone(), 0)).collect();
    let are_objects_counted = keys.iter().any(|key| key.starts_with("count/"));
    for (key, object) in store.inside(namespace) {
        let Some(kind) = store.kinds().resource(&key.resource) else {
            continue;
        };
        if !are_objects_counted && !is_measured(&kind) {
            continue;
        }
        for (key, amount) in usage(&kind, object) {
            if let Some(known) = sum.get_mut(&key) {
                *known += amount;
            }
        }
    }
    sum
}

/// As `used` or `hard` of a quota.
pub(crate) fn rendered(usage: &Usage) -> Value {
    let fields: Map<String, Value> = usage
        .iter()
        .map(|(key, amount)| (key.clone(), Value::String(render(*amount))))
        .collect();
    Value::Object(fields)
}

/// Quotas with what they will have counted.
pub(crate) type Charges = Vec<(Key, Value)>;

/// Whether the quotas of the namespace let an object, or its change, pass; and what they count then.
pub(crate) fn admit(
    store: &Store,
    kind: &Kind,
    object: &Value,
    live: Option<&Value>,
) -> Result<Charges, Refusal> {
    let is_measured = live.is_none() || kind.is_core("PersistentVolumeClaim");
    if !kind.namespaced || !is_measured {
        return Ok(Charges::new());
    }
    let Some(quota_kind) = store.kinds().of("v1", "ResourceQuota") else {
        return Ok(Charges::new());
    };
    let before = live.map(|live| usage(kind, live)).unwrap_or_default();
    let mut delta = usage(kind, object);
    for (key, amount) in before {
        *delta.entry(key).or_default() -= amount;
    }
    // what becomes less is counted later, by whoever counts
    delta.retain(|_, amount| *amount > 0);
    let mut charges = Charges::new();
    for (key, quota) in store.of_kind(&quota_kind, meta(object, "namespace")) {
        if let Some(used) = charged(kind, object, quota, &delta)? {
            let mut counted = Value::clone(quota);
            set(&mut counted, &["status", "used"], used);
            charges.push((key.clone(), counted));
        }
    }
    Ok(charges)
}

/// What one quota has counted after the object; `None` if it does not count it.
fn charged(
    kind: &Kind,
    object: &Value,
    quota: &Value,
    delta: &Usage,
) -> Result<Option<Value>, Refusal> {
    let (name, quota_name) = (meta(object, "name"), meta(quota, "name"));
    let forbidden = |why: String| Refusal::forbidden(kind, name, &why);
    // a quota that its controller has not seen yet bounds nothing
    let hard = amounts(at(quota, &["status", "hard"]));
    if let Some(why) = missing(kind, object, &hard, quota_name) {
        return Err(forbidden(why));
    }
    let mut used = amounts(at(quota, &["status", "used"]));
    let relevant: Vec<&str> = hard
        .keys()
        .filter(|key| delta.contains_key(*key))
        .map(String::as_str)
        .collect();
    if relevant.is_empty() {
        return Ok(None);
    }
    if relevant.iter().any(|key| !used.contains_key(*key)) {
        let names = relevant.join(",");
        return Err(forbidden(format!(
            "status unknown for quota: {quota_name}, resources: {names}"
        )));
    }
    let mut exceeded = [Vec::new(), Vec::new(), Vec::new()];
    for (key, limit) in &hard {
        let Some(amount) = delta.get(key) else {
            continue;
        };
        let known = used.entry(key.clone()).or_default();
        if *known + amount > *limit {
            for (list, amount) in exceeded.iter_mut().zip([*amount, *known, *limit]) {
                list.push(format!("{key}={}", render(amount)));
            }
        }
        *known += amount;
    }
    let [requested, before, limited] = exceeded.map(|list| list.join(","));
    if !requested.is_empty() {
        return Err(forbidden(format!(
            "exceeded quota: {quota_name}, requested: {requested}, used: {before}, limited: {limited}"
        )));
    }
    Ok(Some(rendered(&used)))
}

/// Compute that the quota bounds and a container of the pod does not name.
fn missing(kind: &Kind, object: &Value, hard: &Usage, quota: &str) -> Option<String> {
    if !kind.is_core("Pod") {
        return None;
    }
    let mut lacking = BTreeSet::new();
    for key in hard.keys() {
        let (part, resource) = match key.split_once('.') {
            Some((part @ ("requests" | "limits"), resource)) => (part, resource),
            _ => ("requests", key.as_str()),
        };
        if !matches!(resource, "cpu" | "memory") {
            continue;
        }
        let all = containers(object, "containers").chain(containers(object, "initContainers"));
        let mut names: Vec<&str> = all
            .filter(|container| !wanted(container, part).contains_key(resource))
            .map(|container| text(container, &["name"]))
            .collect();
        names.sort_unstable();
        if !names.is_empty() {
            lacking.insert(format!("{key} for: {}", names.join(",")));
        }
    }
    let told = lacking.into_iter().collect::<Vec<_>>().join("; ");
    (!told.is_empty()).then(|| format!("failed quota: {quota}: must specify {told}"))
}

/// Writes down what quotas count, before the object is stored.
pub(crate) fn charge(store: &mut Store, charges: Charges) {
    for (key, quota) in charges {
        store.put(key, quota);
    }
}

/// The quota as its controller would count it, if it is not counted so.
pub(crate) fn recounted(store: &Store, key: &Key, quota: &Value) -> Option<Value> {
    let hard = amounts(at(quota, &["spec", "hard"]));
    let keys: BTreeSet<String> = hard.keys().cloned().collect();
    let used = counted(store, &key.namespace, &keys);
    let known = |part: &str| amounts(at(quota, &["status", part]));
    let is_counted = at(quota, &["status", "hard"]).is_some() || hard.is_empty();
    if is_ending(quota) || (is_counted && known("hard") == hard && known("used") == used) {
        return None;
    }
    let mut quota = quota.clone();
    let wanted = at(&quota, &["spec", "hard"]).cloned();
    let mut status = json!({"hard": wanted.unwrap_or_else(|| json!({})), "used": rendered(&used)});
    trim(&mut status);
    set(&mut quota, &["status"], status);
    Some(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(requests: &Value, limits: &Value) -> Value {
        json!({"name": "a", "resources": {"requests": requests, "limits": limits}})
    }

    #[test]
    fn a_pod_counts_as_the_larger_of_starting_and_running() {
        // init 3, sidecar 0.5, container 1: starting takes 3.5 when the sidecar started first, running 1.5
        let mut sidecar = container(&json!({"cpu": "500m"}), &json!({}));
        set(&mut sidecar, &["restartPolicy"], json!("Always"));
        let init = container(&json!({"cpu": "3"}), &json!({}));
        let main = container(&json!({"cpu": "1"}), &json!({}));
        let first = json!({"spec": {"initContainers": [sidecar, init], "containers": [main]}});
        assert_eq!(effective(&first, "requests")["cpu"], 7 * ONE / 2);
        let last = json!({"spec": {"initContainers": [init, sidecar], "containers": [main]}});
        assert_eq!(effective(&last, "requests")["cpu"], 3 * ONE);
    }

    #[test]
    fn a_limit_stands_for_a_request_that_is_missing() {
        let pod =
            json!({"spec": {"containers": [container(&json!({}), &json!({"memory": "1Gi"}))]}});
        assert_eq!(effective(&pod, "requests")["memory"], (1 << 30) * ONE);
    }

    #[test]
    fn a_claim_counts_in_all_and_in_its_class() {
        let claim = json!({"spec": {"storageClassName": "ssd",
            "resources": {"requests": {"storage": "5Gi"}}}});
        let kind = crate::Kinds::ours()
            .of("v1", "PersistentVolumeClaim")
            .unwrap();
        let used = usage(&kind, &claim);
        let class = "ssd.storageclass.storage.k8s.io/requests.storage";
        assert_eq!(used[class], 5 * (1 << 30) * ONE);
        assert_eq!(used["requests.storage"], used[class]);
        assert_eq!(used["persistentvolumeclaims"], ONE);
    }

    #[test]
    fn a_pod_that_is_over_counts_as_an_object_alone() {
        let kind = crate::Kinds::ours().of("v1", "Pod").unwrap();
        let used = usage(&kind, &json!({"status": {"phase": "Succeeded"}}));
        assert_eq!(used, Usage::from([("count/pods".to_owned(), ONE)]));
    }
}
