//! A provider's catalogue with prices.

use crate::{
    platform::{Category, Currency},
    text::{Code, Day, Label, Line, ObjectName, Percent, UnitPrice},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A provider's catalogue with prices.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "PriceBook",
    doc = "A provider's catalogue with prices and the days for which they hold. Counts once a second person of finance has published it.",
    status = "PriceBookStatus",
    shortname = "pb",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.validity.from"),
    printcolumn(name = "Through", type_ = "string", json_path = ".spec.validity.through"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Published by", type_ = "string", json_path = ".status.publishedBy"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("rule B01: a price book's name has at most 63 characters; choose a shorter name")
)]
#[x_kube(validation = Rule::new("self.validity.from <= self.validity.through").message("rule B02: the prices end before they begin; correct spec.validity"))]
#[x_kube(validation = Rule::new("self.provider == oldSelf.provider && self.contract == oldSelf.contract && self.currency == oldSelf.currency && self.tax == oldSelf.tax && self.items == oldSelf.items && self.validity.from == oldSelf.validity.from").message("rule B03: a price book cannot change; end it by an earlier validity.through and load a new book"))]
#[x_kube(validation = Rule::new("self.validity.through <= oldSelf.validity.through").message("rule B04: the last day of a price book can only move earlier; load a new book for later days"))]
#[serde(rename_all = "camelCase")]
pub struct PriceBookSpec {
    /// Whose prices they are; cloudlets name the same provider.
    pub provider: Label,
    /// Contract in which the prices were agreed.
    pub contract: Code,
    /// Days for which the prices hold.
    pub validity: Validity,
    /// Currency.
    #[serde(default)]
    pub currency: Currency,
    /// Tax that the prices include. Printed, never computed with.
    #[serde(default)]
    pub tax: Tax,
    /// The items.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub items: Vec<PriceItem>,
}

/// First and last day, both included.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    /// First day.
    pub from: Day,
    /// Last day.
    pub through: Day,
}

/// Tax that prices include.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("self.included").message("rule B05: prices include tax; write gross prices"))]
#[serde(rename_all = "camelCase")]
pub struct Tax {
    /// Whether prices include tax; they must.
    #[serde(default = "yes")]
    pub included: bool,
    /// Rate in percent.
    #[serde(default = "six")]
    pub percent: Percent,
}

fn yes() -> bool {
    true
}

fn six() -> Percent {
    "6".into()
}

impl Default for Tax {
    fn default() -> Self {
        Self {
            included: yes(),
            percent: six(),
        }
    }
}

/// One item of the catalogue.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.resource) && has(self.storageClass)) && !(has(self.meter) && (has(self.resource) || has(self.storageClass)))").message("rule B06: an item is either a resource or a storage class or a meter's; keep one of them"))]
#[x_kube(validation = Rule::new("!has(self.storageClass) || self.unit == 'GiB'").message("rule B07: storage is sold by the GiB (2^30 bytes); set unit to GiB and convert the price"))]
#[x_kube(validation = Rule::new("(self.basis == 'OneOff') == (self.per == 'Once')").message("rule B08: a one-off item is priced per Once, and only such an item; set basis and per together"))]
#[x_kube(validation = Rule::new("self.basis == 'Metered' ? has(self.resource) || has(self.storageClass) || has(self.meter) : !has(self.meter)").message("rule B09: a metered item names the resource or storage class or meter, and no other item names a meter; set one of them with basis Metered"))]
#[serde(rename_all = "camelCase")]
pub struct PriceItem {
    /// Short name, as vcpu-x86. Tenancies lease by it.
    pub name: Label,
    /// Name for people, as 云主机CPU.
    pub display_name: Line,
    /// Category of the catalogue.
    pub category: Category,
    /// Resource that the item provides: cpu, memory, or an extended resource such as nvidia.com/gpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$")
    )]
    pub resource: Option<String>,
    /// Storage class that the item provides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<ObjectName>,
    /// Declared meter that counts the item, by the name of its Meter; with basis Metered, in the unit of the meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<ObjectName>,
    /// Unit: Core, GiB (2^30 bytes) or Count.
    pub unit: Unit,
    /// Time to which the price belongs.
    pub per: Per,
    /// What is billed: what is reserved, what is metered, or once.
    #[serde(default)]
    pub basis: Basis,
    /// Price in yuan for one unit and the given time, tax included.
    pub price: UnitPrice,
}

/// Units.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Unit {
    /// Processor cores (核).
    Core,
    /// 2^30 bytes.
    GiB,
    /// Pieces.
    Count,
}

/// Times to which a price belongs.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Per {
    /// Calendar month.
    Month,
    /// Hour.
    Hour,
    /// Once.
    Once,
}

/// What is billed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Basis {
    /// What the lease holds, as long as it holds it.
    #[default]
    Reserved,
    /// What runs, as long as it runs.
    Metered,
    /// Once.
    OneOff,
}

/// Where a price book stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum BookPhase {
    /// A second person of finance must publish it.
    #[default]
    WaitingForPublication,
    /// Its prices count.
    Published,
    /// Breaks a rule, or finance said no; never used.
    Rejected,
}

/// What the operator says of the price book.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceBookStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default)]
    pub phase: BookPhase,
    /// Digest of the prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_by: Option<String>,
    /// Name of the Approval object, in the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
