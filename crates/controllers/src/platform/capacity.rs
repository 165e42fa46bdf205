//! Sums of what nodes have and what tenancies lease, in whole base units.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use leasehold_api::{
    platform::{Capacity, CapacitySummary},
    tenancy::{Phase, Tenancy},
};
use leasehold_ledger::{
    book::{Basis, Book, Item},
    money::{Unit, format_quantity, parse_quantity},
};

/// The processor, as Kubernetes calls it.
const CPU: &str = "cpu";
/// Memory, as Kubernetes calls it.
const MEMORY: &str = "memory";
/// Rows that a status holds.
const ROWS: usize = 32;
/// Nodes with this taint run the control plane and carry no tenants.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// What the nodes have and what is leased, by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    lines: BTreeMap<String, Line>,
    /// What could not be read, one sentence each.
    pub unreadable: BTreeSet<String>,
}

/// One resource, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    allocatable: i64,
    leased: i64,
}

/// Whether tenants' pods may be scheduled on the node. A node that is only not ready counts: what was leased on it is
/// still leased.
pub fn carries_tenants(node: &Node) -> bool {
    let Some(spec) = &node.spec else { return true };
    let control_plane = spec
        .taints
        .iter()
        .flatten()
        .any(|t| t.key == CONTROL_PLANE && t.effect == "NoSchedule");
    spec.unschedulable != Some(true) && !control_plane
}

/// Items of the provider by name, as the book with the latest first day describes them.
pub fn items(books: &[Book], provider: &str) -> BTreeMap<String, Item> {
    let mut own: Vec<&Book> = books
        .iter()
        .filter(|book| book.provider == provider)
        .collect();
    own.sort_by_key(|book| book.from);
    own.iter()
        .flat_map(|book| &book.items)
        .map(|item| (item.name.clone(), item.clone()))
        .collect()
}

impl Table {
    /// Adds up nodes and the provisioned leases of tenancies. An item without a resource (a storage class, a service)
    /// takes nothing from nodes.
    pub fn of(nodes: &[Node], tenancies: &[Tenancy], items: &BTreeMap<String, Item>) -> Self {
        let mut table = Self::default();
        for resource in [CPU, MEMORY] {
            table.lines.insert(resource.to_owned(), Line::default());
        }
        for node in nodes {
            table.add_node(node);
        }
        for tenancy in tenancies {
            table.add_tenancy(tenancy, items);
        }
        table
    }

    fn add_node(&mut self, node: &Node) {
        let allocatable = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref());
        for (resource, quantity) in allocatable.into_iter().flatten() {
            if !is_leasable(resource) {
                continue;
            }
            match parse_quantity(&quantity.0, unit_of(resource)) {
                Ok(base) => {
                    let line = self.lines.entry(resource.clone()).or_default();
                    line.allocatable = line.allocatable.saturating_add(base);
                }
                Err(error) => {
                    let name = node.name_any();
                    self.unreadable
                        .insert(format!("{resource} of node {name}: {error}"));
                }
            }
        }
    }

    fn add_tenancy(&mut self, tenancy: &Tenancy, items: &BTreeMap<String, Item>) {
        let Some(status) = &tenancy.status else {
            return;
        };
        if status.phase == Phase::Released {
            return;
        }
        for leased in &status.approved {
            let Some(item) = items.get(leased.item.as_str()) else {
                continue;
            };
            let Some(resource) = item
                .resource
                .as_ref()
                .filter(|_| item.basis != Basis::OneOff)
            else {
                continue;
            };
            match parse_quantity(&leased.quantity, item.unit) {
                Ok(base) => {
                    let line = self.lines.entry(resource.clone()).or_default();
                    line.leased = line.leased.saturating_add(base);
                }
                Err(error) => {
                    let name = tenancy.name_any();
                    self.unreadable
                        .insert(format!("{} of tenancy {name}: {error}", leased.item));
                }
            }
        }
    }

    /// The rows of the status: processor and memory first, then the other resources by name.
    pub fn rows(&self) -> Vec<Capacity> {
        let mut sorted: Vec<(&String, &Line)> = self.lines.iter().collect();
        sorted.sort_by_key(|(resource, _)| {
            let rank = match resource.as_str() {
                CPU => 0_u8,
                MEMORY => 1,
                _ => 2,
            };
            (rank, *resource)
        });
        sorted
            .into_iter()
            .take(ROWS)
            .map(|(resource, line)| {
                let unit = unit_of(resource);
                Capacity {
                    resource: resource.clone(),
                    allocatable: format_quantity(line.allocatable, unit),
                    leased: format_quantity(line.leased, unit),
                    free: format_quantity(line.free(), unit),
                }
            })
            .collect()
    }

    /// Left and in all, for the columns.
    pub fn summary(&self) -> CapacitySummary {
        let of = |resource: &str, suffix: &str| {
            let line = self.lines.get(resource).copied().unwrap_or_default();
            let scale = unit_of(resource).scale();
            format!(
                "{}{suffix}/{}{suffix}",
                rounded_down(line.free(), scale),
                rounded_down(line.allocatable, scale)
            )
        };
        CapacitySummary {
            cpu: of(CPU, ""),
            memory: of(MEMORY, "Gi"),
        }
    }

    /// Resources of which more is leased than the nodes have, one sentence each.
    pub fn over_leased(&self) -> Vec<String> {
        self.lines
            .iter()
            .filter(|(_, line)| line.leased > line.allocatable)
            .map(|(resource, line)| {
                let unit = unit_of(resource);
                format!(
                    "{} of {resource} is leased and the nodes have {}; add nodes or have leases lowered",
                    format_quantity(line.leased, unit),
                    format_quantity(line.allocatable, unit)
                )
            })
            .collect()
    }
}

impl Line {
    /// What is left to lease; nothing, where more is leased than there is.
    fn free(self) -> i64 {
        self.allocatable.saturating_sub(self.leased).max(0)
    }
}

/// Whether the resource is leased by the node: processor, memory, and devices that a vendor names.
fn is_leasable(resource: &str) -> bool {
    let vendor = resource.split_once('/').is_some_and(|(domain, _)| {
        domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io")
    });
    resource == CPU || resource == MEMORY || vendor
}

fn unit_of(resource: &str) -> Unit {
    match resource {
        CPU => Unit::Core,
        MEMORY => Unit::GiB,
        _ => Unit::Count,
    }
}

/// Whole units with at most one decimal, never more than there is.
fn rounded_down(base: i64, scale: i64) -> String {
    let whole = base.checked_div(scale).unwrap_or(0);
    let rest = i128::from(base.checked_rem(scale).unwrap_or(0));
    match (rest * 10).checked_div(i128::from(scale)) {
        None | Some(0) => whole.to_string(),
        Some(tenth) => format!("{whole}.{tenth}"),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::{Category, Per},
        money::Price,
        time::LocalDate,
    };
    use serde_json::json;

    use super::*;

    fn node(name: &str, cpu: &str, memory: &str, unschedulable: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"unschedulable": unschedulable},
            "status": {"allocatable": {
                "cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi",
                "hugepages-2Mi": "0", "nvidia.com/gpu": "2"
            }},
        }))
        .unwrap()
    }

    fn item(name: &str, resource: Option<&str>, unit: Unit) -> Item {
        Item {
            name: name.to_owned(),
            display_name: name.to_owned(),
            category: Category::Compute,
            resource: resource.map(str::to_owned),
            storage_class: resource.is_none().then(|| "ssd".to_owned()),
            meter: None,
            unit,
            per: Per::Month,
            basis: Basis::Reserved,
            price: Price::parse("1.00").unwrap(),
        }
    }

    fn items_of_test() -> BTreeMap<String, Item> {
        [
            item("vcpu-x86", Some("cpu"), Unit::Core),
            item("memory", Some("memory"), Unit::GiB),
            item("block-ssd", None, Unit::GiB),
        ]
        .into_iter()
        .map(|item| (item.name.clone(), item))
        .collect()
    }

    fn tenancy(phase: &str, cpu: &str, memory: &str) -> Tenancy {
        serde_json::from_value(json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1",
            "kind": "Tenancy",
            "metadata": {"name": "oa", "namespace": "dept-gov-office"},
            "spec": {
                "system": "oa", "zone": "extranet", "contract": "HS-1",
                "term": {"from": "2026-09-01", "through": "2027-08-31"},
                "budget": {"code": "101001"},
                "lease": [], "namespaces": [],
            },
            "status": {
                "phase": phase,
                "approved": [
                    {"item": "vcpu-x86", "quantity": cpu},
                    {"item": "memory", "quantity": memory},
                    {"item": "block-ssd", "quantity": "2Ti"},
                    {"item": "unknown", "quantity": "7"},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn free_is_what_nodes_have_less_what_is_leased_and_storage_takes_nothing_from_nodes() {
        let nodes = [
            node("a", "7500m", "32Gi", false),
            node("b", "8500m", "32Gi", false),
        ];
        let tenancies = [
            tenancy("Active", "3", "20Gi"),
            tenancy("Changing", "1", "4Gi"),
        ];
        let table = Table::of(&nodes, &tenancies, &items_of_test());
        let rows = table.rows();
        let shown: Vec<[&str; 4]> = rows
            .iter()
            .map(|r| [r.resource.as_str(), &r.allocatable, &r.leased, &r.free])
            .collect();
        assert_eq!(
            shown,
            [
                ["cpu", "16", "4", "12"],
                ["memory", "64Gi", "24Gi", "40Gi"],
                ["nvidia.com/gpu", "4", "0", "4"],
            ]
        );
        let summary = table.summary();
        assert_eq!(
            (summary.cpu.as_str(), summary.memory.as_str()),
            ("12/16", "40Gi/64Gi")
        );
        assert!(table.over_leased().is_empty());
        assert!(table.unreadable.is_empty());
    }

    #[test]
    fn released_tenancies_lease_nothing() {
        let table = Table::of(
            &[node("a", "8", "8Gi", false)],
            &[tenancy("Released", "3", "4Gi")],
            &items_of_test(),
        );
        assert_eq!(table.summary().cpu, "8/8");
    }

    #[test]
    fn cordoned_nodes_and_the_control_plane_carry_no_tenants() {
        assert!(carries_tenants(&node("a", "8", "8Gi", false)));
        assert!(!carries_tenants(&node("a", "8", "8Gi", true)));
        let control: Node = serde_json::from_value(json!({
            "metadata": {"name": "c"},
            "spec": {"taints": [{"key": CONTROL_PLANE, "effect": "NoSchedule"}]},
        }))
        .unwrap();
        assert!(!carries_tenants(&control));
        assert!(carries_tenants(&Node::default()));
    }

    #[test]
    fn what_is_leased_beyond_the_nodes_is_told_and_leaves_nothing_free() {
        let table = Table::of(
            &[node("a", "2", "8Gi", false)],
            &[tenancy("Active", "3", "4Gi")],
            &items_of_test(),
        );
        assert_eq!(table.summary().cpu, "0/2");
        let told = table.over_leased();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("3 of cpu is leased and the nodes have 2;"),
            "{told:?}"
        );
    }

    #[test]
    fn columns_round_down_to_one_decimal() {
        assert_eq!(rounded_down(3_999, 1000), "3.9");
        assert_eq!(rounded_down(3_050, 1000), "3");
        assert_eq!(rounded_down(0, 1000), "0");
        // 15.75 GiB
        assert_eq!(rounded_down(16_911_433_728, 1 << 30), "15.7");
        assert_eq!(rounded_down(i64::MAX, 1 << 30), "8589934591.9");
    }

    #[test]
    fn a_quantity_that_cannot_be_read_is_told_and_the_rest_still_counts() {
        let nodes = [
            node("a", "many", "8Gi", false),
            node("b", "4", "8Gi", false),
        ];
        let table = Table::of(&nodes, &[], &items_of_test());
        assert_eq!(table.summary().cpu, "4/4");
        assert_eq!(table.unreadable.len(), 1);
        assert!(
            table
                .unreadable
                .first()
                .unwrap()
                .starts_with("cpu of node a: ")
        );
    }

    #[test]
    fn the_book_that_begins_last_describes_an_item() {
        let book = |name: &str, from: &str, resource: &str| Book {
            name: name.to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-1".to_owned(),
            from: LocalDate::parse(from).unwrap(),
            through: LocalDate::parse("2027-12-31").unwrap(),
            currency: "CNY".to_owned(),
            tax: None,
            items: vec![item("gpu", Some(resource), Unit::Count)],
        };
        let later = book("a-later", "2027-01-01", "nvidia.com/l40");
        let sooner = book("z-sooner", "2026-01-01", "nvidia.com/gpu");
        let mut foreign = book("foreign", "2027-06-01", "amd.com/gpu");
        foreign.provider = "other".to_owned();
        let found = items(&[later, sooner, foreign], "hs-bigdata");
        assert_eq!(found["gpu"].resource.as_deref(), Some("nvidia.com/l40"));
    }
}
