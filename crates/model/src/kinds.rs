//! The kinds that the model serves: ours, from their definitions, and those of Kubernetes that the operator uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::schema::Schema;

/// One kind and what the API server does differently for it.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about a kind, as discovery lists them"
)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Name of the kind.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether the status is a subresource.
    pub status: bool,
    /// Whether objects have a generation.
    pub generation: bool,
    /// Whether an update may leave the version out.
    pub unconditional: bool,
    /// Shape, defaults and rules of a custom kind.
    pub schema: Option<Schema>,
    /// See [`Kind::resource`].
    resource: String,
    /// See [`Kind::api_version`].
    api_version: String,
}

impl Kind {
    /// `plural.group`, as in messages.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// `Kind.group`, as in messages about validity.
    pub fn qualified(&self) -> String {
        dotted(&self.kind, &self.group)
    }

    /// `group/version`, or the version alone in the core group.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Whether it is a kind of ours.
    pub fn is_custom(&self) -> bool {
        self.schema.is_some()
    }

    /// Whether it is this kind of the core group.
    pub(crate) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    /// Whether an update makes an object that is not there.
    pub(crate) fn is_made_by_update(&self) -> bool {
        let is_named = matches!(self.kind.as_str(), "LimitRange" | "Event" | "Lease");
        !self.is_custom() && (self.group == RBAC || is_named)
    }

    /// Whether a delete that took effect at once answers with the object.
    pub(crate) fn is_given_back(&self) -> bool {
        self.group.is_empty()
            && matches!(
                self.kind.as_str(),
                "Pod"
                    | "PersistentVolume"
                    | "PersistentVolumeClaim"
                    | "ResourceQuota"
                    | "ServiceAccount"
            )
    }
}

/// `group/version`, or the version alone in the core group.
fn slashed(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn dotted(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

/// What the model knows of a kind of Kubernetes.
struct Known {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    status: bool,
    generation: bool,
}

const fn known(group: &'static str, kind: &'static str, plural: &'static str) -> Known {
    Known {
        group,
        kind,
        plural,
        namespaced: true,
        status: false,
        generation: false,
    }
}

impl Known {
    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn with_status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn with_generation(mut self) -> Self {
        self.generation = true;
        self
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

const KNOWN: [Known; 21] = [
    known("", "Namespace", "namespaces").cluster().with_status(),
    known("", "Node", "nodes").cluster().with_status(),
    known("", "ConfigMap", "configmaps"),
    known("", "Secret", "secrets"),
    known("", "ServiceAccount", "serviceaccounts"),
    known("", "ResourceQuota", "resourcequotas").with_status(),
    known("", "LimitRange", "limitranges"),
    known("", "Pod", "pods").with_status().with_generation(),
    known("", "PersistentVolumeClaim", "persistentvolumeclaims").with_status(),
    known("", "PersistentVolume", "persistentvolumes")
        .cluster()
        .with_status(),
    known("", "Event", "events"),
    known("events.k8s.io", "Event", "events"),
    known("networking.k8s.io", "NetworkPolicy", "networkpolicies").with_generation(),
    known(RBAC, "Role", "roles"),
    known(RBAC, "RoleBinding", "rolebindings"),
    known(RBAC, "ClusterRole", "clusterroles").cluster(),
    known(RBAC, "ClusterRoleBinding", "clusterrolebindings").cluster(),
    known("storage.k8s.io", "StorageClass", "storageclasses").cluster(),
    known("coordination.k8s.io", "Lease", "leases"),
    known("scheduling.k8s.io", "PriorityClass", "priorityclasses")
        .cluster()
        .with_generation(),
    known("policy", "PodDisruptionBudget", "poddisruptionbudgets")
        .with_status()
        .with_generation(),
];

impl From<&Known> for Kind {
    fn from(known: &Known) -> Self {
        Self {
            group: known.group.to_owned(),
            version: "v1".to_owned(),
            kind: known.kind.to_owned(),
            plural: known.plural.to_owned(),
            namespaced: known.namespaced,
            status: known.status,
            generation: known.generation,
            // leases and disruption budgets are changed by their version only
            unconditional: !matches!(known.kind, "Lease" | "PodDisruptionBudget"),
            schema: None,
            resource: dotted(known.plural, known.group),
            api_version: slashed(known.group, "v1"),
        }
    }
}

/// Every kind, by `plural.group`.
#[derive(Clone, Debug)]
pub struct Kinds(BTreeMap<String, Arc<Kind>>);

static OURS: LazyLock<Kinds> = LazyLock::new(|| Kinds::with(&leasehold_api::definitions()));

impl Kinds {
    /// The kinds of Kubernetes and those of leasehold. Their rules are compiled once in a process.
    pub fn ours() -> Self {
        OURS.clone()
    }

    /// The kinds of Kubernetes and those of these definitions.
    pub fn with(definitions: &[CustomResourceDefinition]) -> Self {
        let known = KNOWN.iter().map(Kind::from);
        let custom = definitions.iter().filter_map(custom);
        Self(
            known
                .chain(custom)
                .map(|kind| (kind.resource().to_owned(), Arc::new(kind)))
                .collect(),
        )
    }

    /// The same with the kinds of these definitions beside them.
    #[must_use]
    pub fn and(mut self, definitions: &[CustomResourceDefinition]) -> Self {
        let more = definitions.iter().filter_map(custom);
        self.0
            .extend(more.map(|kind| (kind.resource().to_owned(), Arc::new(kind))));
        self
    }

    /// All but the kind of this `plural.group`.
    pub(crate) fn without(mut self, resource: &str) -> Self {
        self.0.remove(resource);
        self
    }

    /// The kind under a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.0
            .get(&dotted(plural, group))
            .filter(|kind| kind.version == version)
            .map(Arc::clone)
    }

    /// What discovery says of a group; nothing when nothing of it is served.
    pub(crate) fn group(&self, group: &str) -> Option<Value> {
        let of_it = self.0.values().filter(|kind| kind.group == group);
        let versions: BTreeSet<&String> = of_it.map(|kind| &kind.version).collect();
        let first = versions.first()?;
        let told = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        Some(json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": group,
            "versions": versions.iter().map(|version| told(version)).collect::<Vec<_>>(),
            "preferredVersion": told(first),
        }))
    }

    /// What discovery says of a version of a group; nothing when nothing of it is served.
    pub(crate) fn version(&self, group: &str, version: &str) -> Option<Value> {
        let of_it: Vec<&Arc<Kind>> = self
            .0
            .values()
            .filter(|kind| kind.group == group && kind.version == version)
            .collect();
        let first = of_it.first()?;
        let resources: Vec<Value> = of_it
            .iter()
            .map(|kind| {
                json!({
                    "name": kind.plural, "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                })
            })
            .collect();
        Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(),
            "resources": resources,
        }))
    }

    /// The kind by `plural.group`.
    pub fn resource(&self, resource: &str) -> Option<Arc<Kind>> {
        self.0.get(resource).map(Arc::clone)
    }

    /// The kind of a manifest.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        self.0
            .values()
            .find(|known| known.kind == kind && known.api_version() == api_version)
            .map(Arc::clone)
    }
}

/// The stored version of a definition.
fn custom(definition: &CustomResourceDefinition) -> Option<Kind> {
    let spec = &definition.spec;
    let version = spec.versions.iter().find(|version| version.storage)?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    let status = version
        .subresources
        .as_ref()
        .is_some_and(|subresources| subresources.status.is_some());
    Some(Kind {
        group: spec.group.clone(),
        version: version.name.clone(),
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
        namespaced: spec.scope == "Namespaced",
        status,
        generation: true,
        unconditional: false,
        schema: Some(Schema::new(serde_json::to_value(schema).ok()?)),
        resource: dotted(&spec.names.plural, &spec.group),
        api_version: slashed(&spec.group, &version.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_of_ours_and_every_kind_of_the_table_is_served() {
        let kinds = Kinds::ours();
        assert_eq!(
            kinds.0.len(),
            KNOWN.len() + leasehold_api::definitions().len()
        );
        let tenancy = kinds
            .find("tenancy.leasehold.dev", "v1alpha1", "tenancies")
            .unwrap();
        assert!(tenancy.namespaced && tenancy.status && tenancy.is_custom());
        assert_eq!(tenancy.resource(), "tenancies.tenancy.leasehold.dev");
        let namespace = kinds.of("v1", "Namespace").unwrap();
        assert!(!namespace.namespaced);
        assert_eq!(namespace.resource(), "namespaces");
        assert!(kinds.find("", "v2", "pods").is_none());
    }

    #[test]
    fn a_statement_has_no_status_of_its_own() {
        let statement = Kinds::ours()
            .find("charging.leasehold.dev", "v1alpha1", "statements")
            .unwrap();
        assert!(!statement.status);
    }
}
