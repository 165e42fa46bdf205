//! Pods: whether one holds what is not leased, or reaches out of its containers.
//!
//! The Pod Security admission judges pods when they are made, and not those that run when a namespace gets its level. So
//! they are held to the same standards here. What only concerns Windows and old kernels is left out.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Capabilities, Container, Pod, PodSpec, ResourceRequirements, SecurityContext},
    apimachinery::pkg::api::resource::Quantity,
};
use leasehold_api::platform::PodSecurity;

use super::{Leased, name, placement};
use crate::{objects::Nameable, quota::parse};

/// What every tenancy may ask for; the quota bounds it.
const ALWAYS: [&str; 2] = ["cpu", "memory"];
/// Capabilities that the level `baseline` lets a container add.
const BASELINE: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The one that `restricted` lets it add.
const RESTRICTED: &str = "NET_BIND_SERVICE";

/// Whether the pod has not ended.
pub(super) fn is_alive(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a job made the pod, and so counts it.
pub(super) fn is_of_a_job(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "Job" && owner.controller == Some(true))
}

/// What is wrong with a pod, in one sentence.
pub(super) fn finding(
    pod: &Pod,
    level: PodSecurity,
    nameable: &Nameable,
    leased: Option<Leased<'_>>,
) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut wrong: Vec<String> = Vec::new();
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if owners.any(|owner| owner.kind == "DaemonSet") {
        wrong.push("belongs to a daemon set".to_owned());
    }
    wrong.extend(host(spec));
    wrong.extend(privileges(spec, level));
    wrong.extend(unleased(spec, leased));
    wrong.extend(placement::elsewhere(pod, spec, nameable));
    wrong.extend(placement::unnameable(spec, nameable));
    wrong.dedup();
    (!wrong.is_empty()).then(|| format!("pod {} {}", name(&pod.metadata), wrong.join(", ")))
}

/// What the pod shares with its node.
fn host(spec: &PodSpec) -> Vec<String> {
    let shared = [
        (spec.host_network, "network"),
        (spec.host_pid, "processes"),
        (spec.host_ipc, "memory of processes"),
    ];
    let mut wrong: Vec<String> = shared
        .into_iter()
        .filter(|(shares, _)| *shares == Some(true))
        .map(|(_, what)| format!("shares the {what} of its node"))
        .collect();
    let volumes = spec.volumes.iter().flatten();
    wrong.extend(
        volumes
            .filter(|volume| volume.host_path.is_some())
            .map(|volume| format!("mounts a path of its node ({})", volume.name)),
    );
    let ports = containers(spec).flat_map(|container| container.ports.iter().flatten());
    wrong.extend(
        ports
            .filter_map(|port| port.host_port.filter(|number| *number > 0))
            .map(|number| format!("takes port {number} of its node")),
    );
    wrong
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let first = spec.init_containers.iter().flatten();
    first.chain(&spec.containers)
}

/// What the pod's containers may do on their node.
fn privileges(spec: &PodSpec, level: PodSecurity) -> Vec<String> {
    let mut wrong = Vec::new();
    let debugging = spec.ephemeral_containers.iter().flatten();
    let debugging =
        debugging.map(|container| (&container.name, container.security_context.as_ref()));
    let all = containers(spec)
        .map(|container| (&container.name, container.security_context.as_ref()))
        .chain(debugging);
    for (container, context) in all {
        for reason in powers(context) {
            wrong.push(format!("{reason} ({container})"));
        }
        if level == PodSecurity::Restricted {
            for reason in unrestricted(spec, context) {
                wrong.push(format!("{reason} ({container})"));
            }
        }
    }
    wrong
}

/// What the level `baseline` refuses of a container.
fn powers(context: Option<&SecurityContext>) -> Vec<&'static str> {
    let Some(context) = context else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    if context.privileged == Some(true) {
        wrong.push("runs privileged");
    }
    let added = added(context.capabilities.as_ref());
    if added.into_iter().any(|added| !BASELINE.contains(&added)) {
        wrong.push("has capabilities beyond the usual");
    }
    wrong
}

fn added(capabilities: Option<&Capabilities>) -> Vec<&str> {
    let added = capabilities.and_then(|capabilities| capabilities.add.as_ref());
    added.into_iter().flatten().map(String::as_str).collect()
}

/// What the level `restricted` asks of a container, or of its pod in its place, and is not there.
fn unrestricted(spec: &PodSpec, context: Option<&SecurityContext>) -> Vec<&'static str> {
    let pod = spec.security_context.as_ref();
    let mut wrong = Vec::new();
    if context.and_then(|context| context.allow_privilege_escalation) != Some(false) {
        wrong.push("may gain privileges");
    }
    let plain = context
        .and_then(|context| context.run_as_non_root)
        .or_else(|| pod?.run_as_non_root);
    let user = context
        .and_then(|context| context.run_as_user)
        .or_else(|| pod?.run_as_user);
    if plain != Some(true) || user == Some(0) {
        wrong.push("may run as root");
    }
    let profile = context
        .and_then(|context| context.seccomp_profile.as_ref())
        .or_else(|| pod?.seccomp_profile.as_ref());
    let filtered =
        profile.is_some_and(|one| matches!(one.type_.as_str(), "RuntimeDefault" | "Localhost"));
    if !filtered {
        wrong.push("has no seccomp profile");
    }
    let capabilities = context.and_then(|context| context.capabilities.as_ref());
    let dropped = capabilities.and_then(|capabilities| capabilities.drop.as_ref());
    let drops = dropped.is_some_and(|dropped| dropped.iter().any(|one| one == "ALL"));
    let adds = added(capabilities).into_iter().any(|one| one != RESTRICTED);
    if !drops || adds {
        wrong.push("keeps capabilities");
    }
    wrong
}

/// Resources and devices that the tenancy does not lease, as rule N05 would say.
fn unleased(spec: &PodSpec, leased: Option<Leased<'_>>) -> Vec<String> {
    let mut wrong = Vec::new();
    if spec
        .resource_claims
        .as_ref()
        .is_some_and(|all| !all.is_empty())
    {
        wrong.push("claims devices (rule N05)".to_owned());
    }
    let Some(leased) = leased else {
        return wrong;
    };
    let of_containers = containers(spec).filter_map(|container| container.resources.as_ref());
    let all = of_containers.chain(&spec.resources);
    for resource in all.flat_map(named) {
        let known = ALWAYS.contains(&resource) || leased.plan.identity.extended.contains(resource);
        if !known {
            wrong.push(format!(
                "asks for {resource}, which is not leased (rule N05)"
            ));
        }
    }
    wrong
}

fn named(resources: &ResourceRequirements) -> impl Iterator<Item = &str> {
    let both = [&resources.requests, &resources.limits];
    let both = both.into_iter().flatten();
    both.flat_map(BTreeMap::keys).map(String::as_str)
}

/// What the pod's containers ask for and may have, by the key of a quota. Less than what a quota counts: it knows
/// overheads, and what only runs at the start.
pub(super) fn requested(pod: &Pod) -> Vec<(String, i64)> {
    let spec = pod.spec.iter();
    let resources = spec
        .flat_map(|spec| &spec.containers)
        .filter_map(|container| container.resources.as_ref());
    resources
        .flat_map(|resources| {
            let requests = amounts("requests", resources.requests.as_ref());
            requests.chain(amounts("limits", resources.limits.as_ref()))
        })
        .collect()
}

fn amounts(
    what: &str,
    of: Option<&BTreeMap<String, Quantity>>,
) -> impl Iterator<Item = (String, i64)> {
    let keyed: BTreeMap<String, Quantity> = of
        .into_iter()
        .flatten()
        .map(|(resource, amount)| (format!("{what}.{resource}"), amount.clone()))
        .collect();
    parse(&keyed).into_iter()
}
