//! What a pod reserves, counted as the scheduler counts it.
//!
//! The rule is that of Kubernetes 1.36: containers add up and restartable init containers (sidecars) with them; an
//! ordinary init container runs beside the sidecars before it, and the pod needs the greater of the two; requests of
//! the pod as a whole stand for cpu and memory; the overhead of its runtime class comes on top. While a resize in place
//! is under way a container counts with the greatest of what is wanted, allocated and in force, or without what is
//! wanted when the node has said that it can never be given.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::api::resource::Quantity,
};

/// Billionths of one: the finest part of a quantity that Kubernetes keeps.
pub(super) const NANO: i128 = 1_000_000_000;
/// Billionths in a thousandth.
const NANO_IN_MILLI: i128 = 1_000_000;
/// Largest power of ten that is computed with; more cannot stand in 64 bits.
const MOST_POWER: i32 = 30;
/// Binary suffixes of Kubernetes.
const BINARY: [(&str, i128); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];

/// A quantity that cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to count {resource} {text:?}: it is no quantity of Kubernetes that fits 64 bits")]
pub struct Uncountable {
    /// The resource.
    pub resource: String,
    /// The quantity as written.
    pub text: String,
}

/// Amounts by resource, in billionths.
type Amounts = BTreeMap<String, i128>;
/// Quantities by resource, as Kubernetes writes them.
type Quantities = BTreeMap<String, Quantity>;

/// What the pod reserves: thousandths of a core under `cpu`, bytes under `memory`, pieces under the name of an extended
/// resource. Other resources are left out. What is finer than the unit is rounded up, as the scheduler does.
pub fn requests(pod: &Pod) -> Result<BTreeMap<String, i64>, Uncountable> {
    let Some(spec) = &pod.spec else {
        return Ok(BTreeMap::new());
    };
    let status = pod.status.as_ref();
    let mut total = of_containers(spec, status)?;
    of_the_pod(spec, status, &mut total)?;
    if let Some(overhead) = &spec.overhead {
        add(&mut total, &amounts(overhead)?);
    }
    let mut counted = BTreeMap::new();
    for (resource, nanos) in total {
        if is_metered(&resource) && nanos > 0 {
            counted.insert(resource.clone(), in_base_units(&resource, nanos)?);
        }
    }
    Ok(counted)
}

/// Bytes of a quantity, rounded up; for volumes.
pub fn bytes(resource: &str, quantity: &Quantity) -> Result<i64, Uncountable> {
    in_base_units(resource, nanos(resource, &quantity.0)?)
}

/// Whether pods are metered by this resource. Kubernetes' own resources have no domain in their names.
pub fn is_metered(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.contains('/')
}

/// Thousandths of a core for cpu, else ones.
pub(super) fn in_base_units(resource: &str, nanos: i128) -> Result<i64, Uncountable> {
    let unit = if resource == "cpu" {
        NANO_IN_MILLI
    } else {
        NANO
    };
    let whole = nanos.checked_add(unit - 1).map(|sum| sum / unit);
    whole
        .and_then(|units| i64::try_from(units).ok())
        .ok_or_else(|| Uncountable {
            resource: resource.to_owned(),
            text: format!("{nanos}n"),
        })
}

fn of_containers(spec: &PodSpec, status: Option<&PodStatus>) -> Result<Amounts, Uncountable> {
    let mut running = Amounts::new();
    for container in &spec.containers {
        add(&mut running, &of_container(container, status, true)?);
    }
    let mut sidecars = Amounts::new();
    let mut starting = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let restarts = is_sidecar(container);
        let own = of_container(container, status, restarts)?;
        if restarts {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut beside = sidecars.clone();
            add(&mut beside, &own);
            raise(&mut starting, &beside);
        }
    }
    raise(&mut running, &starting);
    Ok(running)
}

/// Whether an init container goes on running beside the containers.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Requests of one container; of one that can be resized in place the greatest that may be in force.
fn of_container(
    container: &Container,
    status: Option<&PodStatus>,
    resizable: bool,
) -> Result<Amounts, Uncountable> {
    let wanted = container
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    let reported = status
        .filter(|_| resizable)
        .and_then(|status| reported(status, &container.name))
        .and_then(|reported| Some((reported, reported.resources.as_ref()?)));
    let Some((reported, actual)) = reported else {
        return wanted.map_or_else(|| Ok(Amounts::new()), amounts);
    };
    greatest(
        wanted.filter(|_| !is_infeasible(status)),
        actual.requests.as_ref(),
        reported.allocated_resources.as_ref(),
    )
}

fn reported<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let containers = status.container_statuses.iter().flatten();
    // a name is used once in a pod
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .find(|c| c.name == name)
}

/// Requests of the pod as a whole take the place of its containers' for the resources that they name.
fn of_the_pod(
    spec: &PodSpec,
    status: Option<&PodStatus>,
    total: &mut Amounts,
) -> Result<(), Uncountable> {
    let wanted = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    let Some(wanted) = wanted.filter(|wanted| wanted.keys().any(|name| is_of_the_pod(name))) else {
        return Ok(());
    };
    let in_force = match status.and_then(|status| Some((status, status.resources.as_ref()?))) {
        Some((status, actual)) => greatest(
            Some(wanted).filter(|_| !is_infeasible(Some(status))),
            actual.requests.as_ref(),
            status.allocated_resources.as_ref(),
        )?,
        None => amounts(wanted)?,
    };
    for name in wanted.keys().filter(|name| is_of_the_pod(name)) {
        total.insert(name.clone(), in_force.get(name).copied().unwrap_or(0));
    }
    Ok(())
}

fn is_of_the_pod(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// Whether the node has said that the wanted size can never be given.
fn is_infeasible(status: Option<&PodStatus>) -> bool {
    status
        .and_then(|status| {
            status
                .conditions
                .iter()
                .flatten()
                .find(|c| c.type_ == "PodResizePending")
        })
        .is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
}

fn greatest(
    wanted: Option<&Quantities>,
    actual: Option<&Quantities>,
    allocated: Option<&Quantities>,
) -> Result<Amounts, Uncountable> {
    let mut greatest = Amounts::new();
    for quantities in [wanted, actual, allocated].into_iter().flatten() {
        raise(&mut greatest, &amounts(quantities)?);
    }
    Ok(greatest)
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let sum = to.entry(resource.clone()).or_insert(0);
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(to: &mut Amounts, least: &Amounts) {
    for (resource, amount) in least {
        let known = to.entry(resource.clone()).or_insert(0);
        *known = (*known).max(*amount);
    }
}

fn amounts(quantities: &Quantities) -> Result<Amounts, Uncountable> {
    quantities
        .iter()
        .map(|(resource, quantity)| Ok((resource.clone(), nanos(resource, &quantity.0)?)))
        .collect()
}

/// Billionths of a quantity, rounded up.
pub(super) fn nanos(resource: &str, text: &str) -> Result<i128, Uncountable> {
    parse(text).ok_or_else(|| Uncountable {
        resource: resource.to_owned(),
        text: text.to_owned(),
    })
}

fn parse(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, power) = multiplier(suffix)?;
    let places = i32::try_from(fraction.len()).ok()?;
    let power = power.checked_add(9)?.checked_sub(places)?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let product = digits.checked_mul(factor)?;
    if power < 0 {
        product.checked_add(scale - 1).map(|sum| sum / scale)
    } else {
        product.checked_mul(scale)
    }
}

/// The factor and the power of ten of a suffix.
fn multiplier(suffix: &str) -> Option<(i128, i32)> {
    if let Some((_, factor)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((*factor, 0));
    }
    let power = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
    };
    (-MOST_POWER..=MOST_POWER)
        .contains(&power)
        .then_some((1, power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[expect(clippy::needless_pass_by_value, reason = "called with json!")]
    fn pod(spec: Value, status: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": status })).unwrap()
    }

    fn cpu(spec: Value, status: Value) -> i64 {
        requests(&pod(spec, status))
            .unwrap()
            .get("cpu")
            .copied()
            .unwrap_or(0)
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({ "name": name, "resources": { "requests": { "cpu": cpu } } })
    }

    fn sidecar(name: &str, cpu: &str) -> Value {
        json!({ "name": name, "restartPolicy": "Always", "resources": { "requests": { "cpu": cpu } } })
    }

    #[test]
    fn init_containers_and_sidecars_count_as_the_scheduler_counts_them() {
        let none = json!({});
        let table = [
            (
                "containers add up",
                json!([]),
                json!([container("a", "1"), container("b", "500m")]),
                1500,
            ),
            (
                "an init container that needs more stands for the pod",
                json!([container("i", "3"), sidecar("s", "500m")]),
                json!([container("a", "1")]),
                3000,
            ),
            (
                "a sidecar before it runs beside the init container",
                json!([sidecar("s", "500m"), container("i", "3")]),
                json!([container("a", "1")]),
                3500,
            ),
            (
                "a sidecar runs beside the containers",
                json!([container("i", "1"), sidecar("s", "500m")]),
                json!([container("a", "1")]),
                1500,
            ),
            (
                "init containers run one after the other",
                json!([container("i", "2"), container("j", "2")]),
                json!([container("a", "1")]),
                2000,
            ),
            (
                "two sidecars add up while the second starts",
                json!([sidecar("s", "2"), sidecar("t", "2")]),
                json!([container("a", "100m")]),
                4100,
            ),
        ];
        for (what, init, containers, expected) in table {
            let spec = json!({ "initContainers": init, "containers": containers });
            assert_eq!(cpu(spec, none.clone()), expected, "{what}");
        }
    }

    #[test]
    fn overhead_comes_on_top_of_whatever_stands() {
        let spec = json!({
            "initContainers": [container("i", "3")],
            "containers": [container("a", "1")],
            "overhead": { "cpu": "250m" },
        });
        assert_eq!(cpu(spec, json!({})), 3250);
    }

    #[test]
    fn requests_of_the_pod_stand_for_cpu_and_memory_but_not_for_devices() {
        let spec = json!({
            "resources": { "requests": { "cpu": "2" } },
            "containers": [{ "name": "a", "resources": { "requests": {
                "cpu": "3", "memory": "1Gi", "nvidia.com/gpu": "2", "ephemeral-storage": "1Gi" } } }],
            "overhead": { "cpu": "100m" },
        });
        let expected = BTreeMap::from([
            ("cpu".to_owned(), 2100),
            ("memory".to_owned(), 1 << 30),
            ("nvidia.com/gpu".to_owned(), 2),
        ]);
        assert_eq!(requests(&pod(spec, json!({}))).unwrap(), expected);
    }

    #[test]
    fn a_resize_counts_with_the_greatest_of_wanted_allocated_and_actual() {
        let status = |allocated: &str, actual: &str| {
            json!({ "containerStatuses": [{
                "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": { "cpu": allocated },
                "resources": { "requests": { "cpu": actual } },
            }] })
        };
        let wants = |cpu: &str| json!({ "containers": [container("a", cpu)] });
        assert_eq!(
            cpu(wants("3"), status("1", "1")),
            3000,
            "growing counts when it is asked for"
        );
        assert_eq!(
            cpu(wants("1"), status("2", "3")),
            3000,
            "shrinking counts when it is done"
        );
        assert_eq!(
            cpu(wants("1"), status("2", "1")),
            2000,
            "what is allocated counts"
        );
        assert_eq!(cpu(wants("1"), status("1", "1")), 1000);
    }

    #[test]
    fn a_resize_that_the_node_can_never_give_does_not_count() {
        let status = json!({
            "conditions": [{ "type": "PodResizePending", "status": "True", "reason": "Infeasible" }],
            "containerStatuses": [{
                "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": { "cpu": "1" },
                "resources": { "requests": { "cpu": "1" } },
            }],
        });
        assert_eq!(
            cpu(json!({ "containers": [container("a", "64")] }), status),
            1000
        );
    }

    #[test]
    fn a_resize_of_the_pod_as_a_whole_counts_with_the_greatest() {
        let spec = json!({
            "resources": { "requests": { "cpu": "1" } },
            "containers": [{ "name": "a" }],
        });
        let status = json!({
            "allocatedResources": { "cpu": "2" },
            "resources": { "requests": { "cpu": "4" } },
        });
        assert_eq!(cpu(spec, status), 4000);
    }

    #[test]
    fn ordinary_init_containers_do_not_resize() {
        let spec =
            json!({ "initContainers": [container("i", "2")], "containers": [container("a", "1")] });
        let status = json!({ "initContainerStatuses": [{
            "name": "i", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": { "requests": { "cpu": "9" } },
        }] });
        assert_eq!(cpu(spec, status), 2000);
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them_and_rounded_up() {
        let table = [
            ("cpu", "0.5", 500),
            ("cpu", "100u", 1),
            ("cpu", "1500001u", 1501),
            ("memory", "1.5Gi", 1_610_612_736),
            ("memory", "129M", 129_000_000),
            ("memory", "100m", 1),
            ("memory", "1e3", 1000),
            ("memory", "2E", 2_000_000_000_000_000_000),
            ("nvidia.com/gpu", "8", 8),
        ];
        for (resource, text, expected) in table {
            let read = nanos(resource, text).and_then(|nanos| in_base_units(resource, nanos));
            assert_eq!(read, Ok(expected), "{resource} {text}");
        }
        for text in ["", "x", "1.2.3", "1Kib", "-1", "1e99", "16Ei"] {
            assert!(
                nanos("memory", text)
                    .and_then(|nanos| in_base_units("memory", nanos))
                    .is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn parts_of_a_unit_are_added_before_they_are_rounded() {
        let spec = json!({ "containers": [container("a", "500u"), container("b", "500u")] });
        assert_eq!(cpu(spec, json!({})), 1);
    }
}
