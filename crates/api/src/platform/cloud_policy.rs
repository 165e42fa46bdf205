//! The parameters that the rules leave open.

use super::{AcceptancePolicy, ReviewPolicy};
use crate::text::{Amount, Day, Identity, Label, Line};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every parameter that the rules leave open. There is one, named `default`; its digest stands on each statement.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.leasehold.dev",
    version = "v1alpha1",
    kind = "CloudPolicy",
    plural = "cloudpolicies",
    doc = "Every parameter that the rules leave open: time zone, billing period, ceilings, credit terms. There is one, named default.",
    status = "CloudPolicyStatus",
    shortname = "cpol",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Period", type_ = "string", json_path = ".spec.period.kind"),
    printcolumn(name = "Auto-ceiling", type_ = "string", json_path = ".spec.autoApproval.ceilingMonthly"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name == 'default'").message("rule P01: there is one CloudPolicy and its name is default; change that one")
)]
#[serde(rename_all = "camelCase")]
pub struct CloudPolicySpec {
    /// Time zone of the office, by its IANA name. Months and days of every bill are those of this zone. Cannot change while the ledger holds facts.
    #[serde(default = "time_zone")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z]+(/[A-Za-z0-9_+-]+){0,2}$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule P02: the time zone cannot change; statements of two zones would not join"))]
    pub time_zone: String,
    /// Currency of every amount. Only CNY, with two decimals, is supported.
    #[serde(default)]
    pub currency: Currency,
    /// Length of a billing period.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule P03: the billing period cannot change; start a new ledger for another one"))]
    pub period: PeriodSpec,
    /// First part of each statement's number, as HS in HS-2026-09-gov-office.
    #[serde(default = "statement_prefix")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[A-Z0-9]+$"))]
    pub statement_prefix: String,
    /// Requests that need no person.
    #[serde(default)]
    pub auto_approval: AutoApproval,
    /// How much of a bill hardware credit may pay, and for what.
    #[serde(default)]
    pub offset: Offset,
    /// How long hardware credit lives.
    #[serde(default)]
    pub credit: Credit,
    /// Which hardware is accepted for credit.
    #[serde(default)]
    pub hardware: Hardware,
    /// Agencies that may appraise hardware, and the users that act for them.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["agency".into()]))]
    pub appraisers: Vec<Appraiser>,
    /// How usage is observed.
    #[serde(default)]
    pub metering: Metering,
    /// When periods close.
    #[serde(default)]
    pub closing: Closing,
    /// When an approved decrease of a lease takes effect.
    #[serde(default)]
    pub decrease_effective: DecreaseEffective,
    /// From when a first lease is billed.
    #[serde(default)]
    pub acceptance: AcceptancePolicy,
    /// How long decisions may take.
    #[serde(default)]
    pub review: ReviewPolicy,
    /// How tenancies end.
    #[serde(default)]
    pub release: ReleasePolicy,
    /// What happens around the end of a term.
    #[serde(default)]
    pub expiry: ExpiryPolicy,
    /// Pod Security level of tenancy namespaces.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// What a container gets when it asks for nothing.
    #[serde(default)]
    pub container_defaults: ContainerDefaults,
}

fn time_zone() -> String {
    "Asia/Shanghai".to_owned()
}

fn statement_prefix() -> String {
    "LH".to_owned()
}

/// Currencies that the ledger knows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Currency {
    /// Renminbi, with two decimals.
    #[default]
    #[serde(rename = "CNY")]
    Cny,
}

/// Length of a billing period.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("(self.kind == 'Rehearsal') == has(self.rehearsalSeconds)").message("rule P04: rehearsalSeconds belongs to kind Rehearsal, and only to it; set both or neither"))]
#[serde(rename_all = "camelCase")]
pub struct PeriodSpec {
    /// Month (the calendar month of the office's time zone), Day, or Rehearsal, in which a month is played in the given seconds and every document is marked.
    #[serde(default)]
    pub kind: PeriodKindSpec,
    /// Length of a rehearsal's period in seconds, 60 to 86,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub rehearsal_seconds: Option<u32>,
}

/// Kinds of billing period.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum PeriodKindSpec {
    /// A calendar month.
    #[default]
    Month,
    /// A calendar day.
    Day,
    /// A month played in seconds, for trials.
    Rehearsal,
}

/// Requests that need no person.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoApproval {
    /// Ceiling per department and month, in yuan, over all that was ever approved this way and still stands. 0.00 switches it off.
    #[serde(default = "zero")]
    pub ceiling_monthly: Amount,
}

fn zero() -> Amount {
    "0.00".into()
}

impl Default for AutoApproval {
    fn default() -> Self {
        Self {
            ceiling_monthly: zero(),
        }
    }
}

/// Charge categories of the catalogue.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Networks and bandwidth.
    Network,
    /// Processors, memory and accelerators.
    Compute,
    /// Volumes.
    Storage,
    /// Operating systems.
    Os,
    /// Databases.
    Database,
    /// Middleware.
    Middleware,
    /// Security services.
    Security,
    /// Backups.
    Backup,
}

/// How much of a bill hardware credit may pay, and for what.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offset {
    /// Greatest part of a statement's eligible charges that credit may pay, in percent.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 100))]
    pub cap_percent: u8,
    /// Categories of charges that credit may pay.
    #[serde(default = "offset_classes")]
    #[schemars(length(min = 1, max = 8))]
    pub classes: Vec<Category>,
}

fn hundred() -> u8 {
    100
}

fn offset_classes() -> Vec<Category> {
    vec![
        Category::Compute,
        Category::Storage,
        Category::Network,
        Category::Backup,
    ]
}

impl Default for Offset {
    fn default() -> Self {
        Self {
            cap_percent: hundred(),
            classes: offset_classes(),
        }
    }
}

/// How long hardware credit lives.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credit {
    /// Whole billing periods for which a credit can be used, beginning with the first after its approval.
    #[serde(default = "thirty_six")]
    #[schemars(range(min = 1, max = 240))]
    pub periods: u32,
    /// Greatest part of its eligible charges that one credit may pay, in percent.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 100))]
    pub cap_percent: u8,
}

fn thirty_six() -> u32 {
    36
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            periods: thirty_six(),
            cap_percent: hundred(),
        }
    }
}

/// Which hardware is accepted for credit.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Greatest age in months between the invoice and the reference date, the boundary day included.
    #[serde(default = "thirty_six")]
    #[schemars(range(min = 1, max = 240))]
    pub max_age_months: u32,
    /// Fixed reference date. Without it, the day on which the contribution was first applied counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_date: Option<Day>,
    /// Makers whose devices are accepted, by the short names that contributions use.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub makers: Vec<Label>,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            max_age_months: thirty_six(),
            reference_date: None,
            makers: Vec::new(),
        }
    }
}

/// An accredited agency.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("self.users.all(u, !u.startsWith('system:')) && self.groups.all(g, !g.startsWith('system:'))").message("rule P05: users and groups of the control plane (system:) cannot act for an agency; name the users of the agency"))]
#[serde(rename_all = "camelCase")]
pub struct Appraiser {
    /// Short name of the agency, as contributions and appraisals give it.
    pub agency: Label,
    /// Name of the agency for people.
    pub display_name: Line,
    /// Users that may write appraisals for the agency.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub users: Vec<Identity>,
    /// Groups that may write appraisals for the agency.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub groups: Vec<Identity>,
}

/// How usage is observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metering {
    /// Seconds that late news from nodes is waited for before usage counts as complete.
    #[serde(default = "late_allowance")]
    #[schemars(range(min = 0, max = 3600))]
    pub late_allowance_seconds: u32,
    /// Which end of an estimate is billed.
    #[serde(default)]
    pub estimate_bound: EstimateBound,
    /// From when volume claims count. A change holds for every claim from its next change on.
    #[serde(default)]
    pub claims: ClaimsCount,
}

fn late_allowance() -> u32 {
    5
}

impl Default for Metering {
    fn default() -> Self {
        Self {
            late_allowance_seconds: late_allowance(),
            estimate_bound: EstimateBound::Lower,
            claims: ClaimsCount::Bound,
        }
    }
}

/// From when volume claims count.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ClaimsCount {
    /// From when a claim is bound, at the capacity that it got: what waits for a volume costs nothing.
    #[default]
    Bound,
    /// From when a claim is made: at what it asks for, and once it is bound at the capacity that it got.
    Made,
}

/// Which end of an estimate is billed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum EstimateBound {
    /// The lower: the department is given the benefit of the doubt.
    #[default]
    Lower,
    /// The upper.
    Upper,
}

/// When periods close.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// Days after the end of a period when it closes without finance's word, unless a gap touches it. Without it, finance decides. Rehearsals always close by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 90))]
    pub auto_after_days: Option<u32>,
    /// Days after the close of a period from which `leasehold archive` may move the records of its use out of the ledger into a file, at least 30. Statements stay. Without it, everything stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 3650))]
    pub archive_after_days: Option<u32>,
}

/// When an approved decrease of a lease takes effect.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum DecreaseEffective {
    /// With the next billing period, so that nobody can shrink every evening.
    #[default]
    NextPeriod,
    /// At once.
    AtOnce,
}

/// How tenancies end.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleasePolicy {
    /// Seconds between the request to release and the earliest deletion of a namespace. Default: seven days.
    #[serde(default = "grace")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub grace_seconds: u32,
    /// Days for which volumes with reclaim Retain, and snapshots of those with reclaim Snapshot, are kept after the day on which the namespaces are deleted; 0 keeps them to the end of that day. What is kept already keeps its day.
    #[serde(default = "retain_volumes")]
    #[schemars(range(min = 0, max = 3650))]
    pub retain_volumes_days: u16,
    /// Seconds for which a release waits until the snapshot of a volume with reclaim Snapshot is ready. After them the volume itself is kept. Default: one hour.
    #[serde(default = "snapshot_wait")]
    #[schemars(range(min = 1, max = 604_800))]
    pub snapshot_wait_seconds: u32,
    /// Whether a release must say where the data were exported to (spec.release.backup of the tenancy). Required refuses one that does not; what was asked for before goes on.
    #[serde(default)]
    pub backup_statement: Demand,
    /// Whether a department must confirm, after the grace period and the approval, that everything may be deleted (spec.signOff of the tenancy). Required deletes nothing before.
    #[serde(default)]
    pub sign_off: Demand,
}

/// Whether a paper is needed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Demand {
    /// It may be given.
    #[default]
    Optional,
    /// Nothing goes on without it.
    Required,
}

fn grace() -> u32 {
    7 * 24 * 3600
}

fn retain_volumes() -> u16 {
    30
}

fn snapshot_wait() -> u32 {
    3600
}

impl Default for ReleasePolicy {
    fn default() -> Self {
        Self {
            grace_seconds: grace(),
            retain_volumes_days: retain_volumes(),
            snapshot_wait_seconds: snapshot_wait(),
            backup_statement: Demand::Optional,
            sign_off: Demand::Optional,
        }
    }
}

/// What happens around the end of a term.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryPolicy {
    /// So many days before the last day of a term its tenancy is told, in whatever order they stand; a number that stands twice counts once. Empty: nobody is told before the end.
    #[serde(default = "notices_days")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 365)))]
    pub notices_days: Vec<u16>,
    /// Whole days that a tenancy goes on after the last day of its term before it is suspended; 0 suspends it with the end of the term. Without it, it goes on until it is extended or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 365))]
    pub suspend_after_days: Option<u16>,
}

fn notices_days() -> Vec<u16> {
    vec![60, 30, 7]
}

impl Default for ExpiryPolicy {
    fn default() -> Self {
        Self {
            notices_days: notices_days(),
            suspend_after_days: None,
        }
    }
}

/// Pod Security level of tenancy namespaces.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// The strictest level.
    #[default]
    Restricted,
    /// Prevents known privilege escalations only.
    Baseline,
}

/// What a container gets when it asks for nothing.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerDefaults {
    /// Processor, as 100m.
    #[serde(default = "default_cpu")]
    pub cpu: crate::text::QuantityText,
    /// Memory, as 128Mi.
    #[serde(default = "default_memory")]
    pub memory: crate::text::QuantityText,
}

fn default_cpu() -> crate::text::QuantityText {
    "100m".into()
}

fn default_memory() -> crate::text::QuantityText {
    "128Mi".into()
}

impl Default for ContainerDefaults {
    fn default() -> Self {
        Self {
            cpu: default_cpu(),
            memory: default_memory(),
        }
    }
}

/// What the operator says of the policy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudPolicyStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the part that bills depend on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
