//! What stands in the way of taking an existing namespace into a lease.
//!
//! A leased namespace keeps promises to others: nobody in it goes past the quota, the network fence, the rights that the
//! manifest gives, or what is leased. Admission policies hold these promises for what is written from now on; what is
//! there already was asked by nobody. So it is looked through once, before the namespace is taken. What is found is
//! named, and never taken away: it is not ours.

mod ingresses;
mod placement;
mod pods;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota, Service},
        networking::v1::{Ingress, NetworkPolicy},
        rbac::v1::{RoleBinding, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use leasehold_api::{
    names::{ADOPT_ANNOTATION, NETWORK_POLICY_NAME, ROLE_LABEL, cluster_roles},
    platform::{NetworkZoneSpec, PodSecurity},
    tenancy::{Member, MemberRole},
};
use leasehold_ledger::money::format_quantity;

use crate::{
    objects::{Nameable, NamespacePlan, ROLE_BINDINGS},
    quota::{Hard, is_leased, parse, unit_of},
    rules::Refusal,
};

/// So many findings are told; the rest are counted.
const TOLD: usize = 10;
/// How our labels and annotations begin.
const OURS: &str = "leasehold.dev/";
/// What every namespace carries until it is emptied.
const KUBERNETES: &str = "kubernetes";
/// The annotation that names a class in the old way, which wins over the field.
const OLD_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Finalizers that the garbage collector takes off anything.
const COLLECTED: [&str; 2] = ["foregroundDeletion", "orphan"];
/// The one that the control plane puts on claims and takes off them.
const CLAIM_IN_USE: &str = "kubernetes.io/pvc-protection";
/// The one that the job controller puts on the pods of its jobs and takes off them.
const COUNTED_BY_A_JOB: &str = "batch.kubernetes.io/job-tracking";

/// What is in a namespace, as far as it can stand in the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Quotas.
    pub quotas: Vec<ResourceQuota>,
    /// Limit ranges.
    pub limit_ranges: Vec<LimitRange>,
    /// Role bindings.
    pub role_bindings: Vec<RoleBinding>,
    /// Network policies.
    pub network_policies: Vec<NetworkPolicy>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Volume claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Services.
    pub services: Vec<Service>,
    /// Ingresses.
    pub ingresses: Vec<Ingress>,
}

impl Contents {
    /// How many there are of each kind, for people, in the plural; kinds of which there are none are left out.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let all = [
            ("pods", self.pods.len()),
            ("volume claims", self.claims.len()),
            ("services", self.services.len()),
            ("ingresses", self.ingresses.len()),
            ("quotas", self.quotas.len()),
            ("limit ranges", self.limit_ranges.len()),
            ("network policies", self.network_policies.len()),
            ("role bindings", self.role_bindings.len()),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// What the tenancy leases, once its items are known.
#[derive(Clone, Copy, Debug)]
pub struct Leased<'a> {
    /// The namespace as it should be.
    pub plan: &'a NamespacePlan,
    /// Whether something of the lease is billed by use.
    pub metered: bool,
}

/// Whom a namespace is to be taken in for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The people of the tenancy.
    pub members: &'a [Member],
    /// The Pod Security level of the policy.
    pub pod_security: PodSecurity,
    /// The tenancy's zone.
    pub zone: &'a NetworkZoneSpec,
    /// What is leased. Without it, what depends on it is not looked at.
    pub leased: Option<Leased<'a>>,
}

/// The value of the annotation by which a namespace is to be adopted for a tenancy.
pub fn asked_for(department: &str, tenancy: &str) -> String {
    format!("{department}/{tenancy}")
}

/// Whether the namespace is to be adopted for this tenancy.
pub fn is_asked_for(namespace: &Namespace, department: &str, tenancy: &str) -> bool {
    let annotations = namespace.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ADOPT_ANNOTATION)) == Some(&asked_for(department, tenancy))
}

/// Everything that stands in the way, in plain words, each with the name of the object.
pub fn findings(namespace: &Namespace, contents: &Contents, wanted: &Wanted<'_>) -> Vec<String> {
    let nameable = Nameable::of(wanted.zone, BTreeSet::new());
    let mut found = marks(namespace);
    found.extend(contents.quotas.iter().map(|quota| {
        let name = name(&quota.metadata);
        format!("quota {name} would bound it beside the lease")
    }));
    found.extend(contents.limit_ranges.iter().map(|range| {
        let name = name(&range.metadata);
        format!("limit range {name} would go on changing what containers get")
    }));
    let bindings = contents.role_bindings.iter();
    found.extend(bindings.filter_map(|binding| rights(binding, wanted.members)));
    found.extend(contents.network_policies.iter().filter_map(hole));
    let pods = contents.pods.iter().filter(|pod| pods::is_alive(pod));
    found.extend(
        pods.clone()
            .filter_map(|pod| pods::finding(pod, wanted.pod_security, &nameable, wanted.leased)),
    );
    if let Some(leased) = wanted.leased {
        let claims = contents.claims.iter();
        found.extend(claims.filter_map(|claim| unleased(claim, leased.plan)));
        found.extend(above_the_share(
            pods.clone(),
            &contents.claims,
            &leased.plan.hard,
        ));
        let in_use = pods.count().saturating_add(contents.claims.len());
        if leased.metered && in_use > 0 {
            found.push(
                "pods or volume claims are in it, and the lease has items that are billed by use: \
                 what was used before cannot be told from what is used after"
                    .to_owned(),
            );
        }
    }
    found.extend(contents.services.iter().filter_map(outward));
    let leased = wanted.leased.as_ref();
    let domains = leased.map(|leased| &leased.plan.identity.nameable.domains);
    let ingresses = contents.ingresses.iter();
    found.extend(ingresses.filter_map(|one| ingresses::finding(one, &nameable, domains)));
    found.extend(held(contents));
    found
}

/// What bears a finalizer that nobody may take away. Quotas and limit ranges must go whatever they bear.
fn held(contents: &Contents) -> Vec<String> {
    let bindings = contents.role_bindings.iter();
    let bindings = bindings.map(|one| ("role binding", &one.metadata, None::<&str>));
    let policies = contents.network_policies.iter();
    let policies = policies.map(|one| ("network policy", &one.metadata, None::<&str>));
    let pods = contents.pods.iter();
    let pods = pods.map(|one| {
        let known = pods::is_of_a_job(one).then_some(COUNTED_BY_A_JOB);
        ("pod", &one.metadata, known)
    });
    let claims = contents.claims.iter();
    let claims = claims.map(|one| ("volume claim", &one.metadata, Some(CLAIM_IN_USE)));
    let services = contents.services.iter();
    let services = services.map(|one| ("service", &one.metadata, None::<&str>));
    let ingresses = contents.ingresses.iter();
    let ingresses = ingresses.map(|one| ("ingress", &one.metadata, None::<&str>));
    let all = bindings.chain(policies).chain(pods);
    let all = all.chain(claims).chain(services).chain(ingresses);
    all.flat_map(|(kind, metadata, known)| {
        let finalizers = metadata.finalizers.iter().flatten();
        finalizers
            .filter(move |one| !COLLECTED.contains(&one.as_str()) && Some(one.as_str()) != known)
            .map(move |one| {
                let name = name(metadata);
                format!("finalizer {one} on {kind} {name} would keep the namespace from going after a release (rule N10)")
            })
    })
    .collect()
}

/// The refusal by rule T56 with the first of the findings; none where nothing stands in the way.
pub fn refusal(namespace: &str, findings: &[String]) -> Option<Refusal> {
    let told: Vec<&str> = findings.iter().take(TOLD).map(String::as_str).collect();
    if told.is_empty() {
        return None;
    }
    let more = findings.len().saturating_sub(told.len());
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    Some(Refusal::new(
        "T56",
        format!(
            "to adopt namespace {namespace}, in which {}: {}{rest}",
            counted(findings.len()),
            told.join("; ")
        ),
        "a namespace in which nothing goes past a lease",
        format!(
            "have the platform remove them, or take the annotation {ADOPT_ANNOTATION} away; nothing in it was changed"
        ),
    ))
}

fn counted(things: usize) -> String {
    match things {
        1 => "1 thing stands in the way".to_owned(),
        more => format!("{more} things stand in the way"),
    }
}

fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// What the namespace itself carries: marks of ours, and whatever may make it end or never end.
fn marks(namespace: &Namespace) -> Vec<String> {
    let metadata = &namespace.metadata;
    let labels = metadata.labels.iter().flatten();
    let labels = labels
        // by its role alone a namespace is closed to others while it is looked through
        .filter(|(key, _)| key.starts_with(OURS) && *key != ROLE_LABEL)
        .map(|(key, value)| format!("the namespace carries label {key}={value}"));
    let annotations = metadata.annotations.iter().flatten();
    let annotations = annotations
        .filter(|(key, _)| key.starts_with(OURS) && *key != ADOPT_ANNOTATION)
        .map(|(key, _)| format!("the namespace carries annotation {key}"));
    let owners = metadata.owner_references.iter().flatten();
    let owners = owners.map(|owner| {
        let (kind, name) = (&owner.kind, &owner.name);
        format!("the namespace belongs to {kind} {name} and would go with it")
    });
    let spec = namespace.spec.as_ref();
    let kept = spec.and_then(|spec| spec.finalizers.as_ref());
    let kept = kept
        .into_iter()
        .flatten()
        .filter(|finalizer| *finalizer != KUBERNETES);
    let finalizers = metadata.finalizers.iter().flatten().chain(kept);
    let finalizers = finalizers.map(|finalizer| {
        format!("finalizer {finalizer} on the namespace would keep it from going after a release")
    });
    labels
        .chain(annotations)
        .chain(owners)
        .chain(finalizers)
        .collect()
}

/// A role binding that gives more than the manifest: to somebody else, or another role.
fn rights(binding: &RoleBinding, members: &[Member]) -> Option<String> {
    let name = name(&binding.metadata);
    let subjects: Vec<&Subject> = binding.subjects.iter().flatten().collect();
    let role = &binding.role_ref;
    let held = match role.name.as_str() {
        cluster_roles::TENANT_ADMIN => Some(MemberRole::Admin),
        cluster_roles::TENANT_VIEWER => Some(MemberRole::Viewer),
        _ => None,
    };
    let held = held.filter(|_| role.kind == "ClusterRole");
    let is_named = |subject: &&Subject| {
        held.is_some_and(|held| members.iter().any(|member| is_of(member, held, subject)))
    };
    if subjects.iter().all(is_named) {
        return ROLE_BINDINGS
            .contains(&name)
            .then(|| format!("role binding {name} stands where one of leasehold's belongs"));
    }
    let strangers = subjects.iter().filter(|subject| !is_named(subject));
    let strangers: Vec<String> = strangers
        .map(|subject| match &subject.namespace {
            Some(place) => format!("{} {} of {place}", subject.kind, subject.name),
            None => format!("{} {}", subject.kind, subject.name),
        })
        .collect();
    Some(format!(
        "role binding {name} gives {} {} to {}",
        role.kind,
        role.name,
        strangers.join(", ")
    ))
}

/// Whether the manifest names this user or group in this role.
fn is_of(member: &Member, role: MemberRole, subject: &Subject) -> bool {
    let named = match subject.kind.as_str() {
        "User" => member.user.as_ref(),
        "Group" => member.group.as_ref(),
        _ => None,
    };
    member.role == role && named.is_some_and(|named| named.as_str() == subject.name)
}

/// A network policy that lets anything through, or stands where one of ours belongs. Policies add up: one more that lets
/// nothing through does no harm.
fn hole(policy: &NetworkPolicy) -> Option<String> {
    let name = name(&policy.metadata);
    let spec = policy.spec.as_ref();
    let lets = spec.is_some_and(|spec| {
        let ingress = spec.ingress.as_ref().is_some_and(|rules| !rules.is_empty());
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        ingress || egress
    });
    if lets {
        return Some(format!(
            "network policy {name} lets traffic past the zone's fence"
        ));
    }
    (name == NETWORK_POLICY_NAME)
        .then(|| format!("network policy {name} stands where the zone's belongs"))
}

/// A claim of a class that is not leased.
fn unleased(claim: &PersistentVolumeClaim, plan: &NamespacePlan) -> Option<String> {
    let name = name(&claim.metadata);
    let class = class_of(claim);
    if plan.identity.storage_classes.contains(class) {
        return None;
    }
    Some(if class.is_empty() {
        format!("volume claim {name} has no storage class")
    } else {
        format!("volume claim {name} is of storage class {class}, which is not leased")
    })
}

/// The storage class of the claim; empty where it has none.
pub(crate) fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let annotations = claim.metadata.annotations.as_ref();
    let old = annotations.and_then(|all| all.get(OLD_STORAGE_CLASS));
    let spec = claim.spec.as_ref();
    let class = old.or_else(|| spec?.storage_class_name.as_ref());
    class.map(String::as_str).unwrap_or_default()
}

/// What is used of a leased resource beyond the share of the namespace: a quota refuses more, and takes nothing away.
fn above_the_share<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    claims: &[PersistentVolumeClaim],
    share: &Hard,
) -> Vec<String> {
    let mut used = Hard::new();
    let mut add = |key: String, amount: i64| {
        let sum = used.entry(key).or_insert(0);
        *sum = sum.saturating_add(amount);
    };
    for (key, amount) in pods.flat_map(pods::requested) {
        add(key, amount);
    }
    for claim in claims {
        let bytes = stored(claim);
        let class = class_of(claim);
        let of_class = format!("{class}.storageclass.storage.k8s.io/requests.storage");
        for key in [of_class, "requests.storage".to_owned()] {
            add(key, bytes);
        }
    }
    used.into_iter()
        .filter(|(key, _)| is_leased(key))
        .filter_map(|(key, used)| {
            let share = *share.get(&key)?;
            let unit = unit_of(&key);
            (used > share).then(|| {
                let (used, share) = (format_quantity(used, unit), format_quantity(share, unit));
                format!("{used} of {key} are in use, its share is {share} (rule T31)")
            })
        })
        .collect()
}

/// Bytes that the claim asks for.
pub(crate) fn stored(claim: &PersistentVolumeClaim) -> i64 {
    let spec = claim.spec.as_ref();
    let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let storage = requests.and_then(|requests| requests.get("storage"));
    let amounts: BTreeMap<_, _> = storage
        .map(|storage| ("requests.storage".to_owned(), storage.clone()))
        .into_iter()
        .collect();
    parse(&amounts).into_values().sum()
}

/// A service that is reached from outside of the cluster.
fn outward(service: &Service) -> Option<String> {
    let name = name(&service.metadata);
    let spec = service.spec.as_ref()?;
    let type_ = spec.type_.as_deref().unwrap_or("ClusterIP");
    if type_ != "ClusterIP" {
        return Some(format!("service {name} is of type {type_} (rule N07)"));
    }
    let addresses: Vec<&str> = spec
        .external_ips
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    (!addresses.is_empty()).then(|| {
        let addresses = addresses.join(", ");
        format!("service {name} claims {addresses} outside of the cluster (rule N07)")
    })
}

#[cfg(test)]
mod tests;
