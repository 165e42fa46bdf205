//! A declared meter: use of any kind, without code.

use std::collections::BTreeMap;

use crate::{
    charging::Unit,
    text::{FieldPath, GroupName, KindName, Label, Line, ObjectName, QuantityText},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a kind counts as use, in which quantity and unit. Items of a price book name it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.leasehold.dev",
    version = "v1alpha1",
    kind = "Meter",
    doc = "Counts objects of any kind as use of the tenancies in whose namespaces they are, from their creation to their removal: load balancers, buckets, devices. Items of a price book name it.",
    status = "MeterStatus",
    shortname = "mtr",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Unit", type_ = "string", json_path = ".spec.unit"),
    printcolumn(name = "Since", type_ = "string", json_path = ".status.since"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Blind",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Blind')].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self.group == oldSelf.group && self.resource == oldSelf.resource && self.kind == oldSelf.kind && self.unit == oldSelf.unit && has(self.selector) == has(oldSelf.selector) && (!has(self.selector) || self.selector == oldSelf.selector) && has(self.quantity) == has(oldSelf.quantity) && (!has(self.quantity) || self.quantity == oldSelf.quantity)").message("rule E05: what a meter counts cannot change; declare another meter under another name and price that"))]
#[x_kube(validation = Rule::new("!self.group.endsWith('leasehold.dev') && !(self.group == '' && self.resource in ['pods', 'persistentvolumeclaims', 'secrets', 'configmaps', 'events', 'namespaces']) && !(self.group == 'events.k8s.io')").message("rule E06: a meter counts no kind that is metered, kept secret or written all the time; name another kind in spec.resource"))]
#[x_kube(validation = Rule::new("!has(self.quantity) ? self.unit == 'Count' : ((has(self.quantity.path) ? 1 : 0) + (has(self.quantity.countOf) ? 1 : 0) + (has(self.quantity.deviceClass) ? 1 : 0) == 1 && (has(self.quantity.path) || self.unit == 'Count') && (!has(self.quantity.times) || has(self.quantity.path)) && (!has(self.quantity.deviceClass) || (self.group == 'resource.k8s.io' && self.resource == 'resourceclaims')))").message("rule E07: a quantity is one of path, countOf and deviceClass, and only a path has another unit than Count; correct spec.quantity and spec.unit"))]
#[serde(rename_all = "camelCase")]
pub struct MeterSpec {
    /// What it counts, for people, as 对象存储桶容量.
    pub display_name: Line,
    /// API group of the kind; empty for the kinds of Kubernetes itself, such as services.
    #[serde(default)]
    pub group: GroupName,
    /// Version of the kind in which it is read, as v1. It may change when the kind moves on.
    pub version: Label,
    /// Name of the kind, as Bucket. It stands before the object in evidence and usage.
    pub kind: KindName,
    /// Plural name of the kind in lower case, as buckets: what `kubectl api-resources` lists first. It must live in namespaces.
    pub resource: Label,
    /// Which objects count; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<MeterSelector>,
    /// How much an object counts; each counts as one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<MeterQuantity>,
    /// Unit of the quantity: Core, GiB (2^30 bytes) or Count. Items of price books that name this meter are sold in it.
    pub unit: Unit,
}

/// Which objects count. Whoever can write a label or a field that is asked here decides what is billed: ask for none that a tenant could leave out.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterSelector {
    /// Labels that the object bears, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
    }))]
    pub match_labels: BTreeMap<String, String>,
    /// Fields that the object has; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub match_fields: Vec<FieldMatch>,
}

/// One field that an object has.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldMatch {
    /// Where the field is, as .spec.type or .status.loadBalancer.ingress.
    pub path: FieldPath,
    /// What it says, as `LoadBalancer`; numbers and true or false as they are written. Without it, the field must be there and not be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Line>,
}

/// How much an object counts. An object without the field counts nothing until it has it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterQuantity {
    /// Where the quantity is, as .spec.quota: a whole number, or a quantity of Kubernetes such as 64Gi or 500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<FieldPath>,
    /// What one of the number at path stands for, as 1Gi where the field counts in GiB; 1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<QuantityText>,
    /// Where a list is whose entries are counted, as .status.loadBalancer.ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_of: Option<FieldPath>,
    /// Device class whose allocated devices are counted; for resourceclaims of resource.k8s.io only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_class: Option<ObjectName>,
}

/// What the operator says of the meter.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when it counts. What was there before counts from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
