//! What the tenancies of an information system lease together.
//!
//! A system has as many tenancies as its department likes, several in one zone among them. Zones are
//! separate networks, so leases add up within a zone.

use std::collections::BTreeMap;

use leasehold_api::tenancy::{Phase, SystemLease, Tenancy};
use leasehold_ledger::money::{Unit, format_quantity, parse_quantity};

/// Most entries that a status holds.
const MOST: usize = 256;
/// Thousandths in one.
const MILLI: i128 = 1000;

/// A sum of quantities whose unit nobody has looked up: it is told by how they are written.
#[derive(Default)]
struct Sum {
    milli: i128,
    /// Whether one of them is written as bytes are.
    is_binary: bool,
    tenancies: u32,
}

impl Sum {
    /// Adds a quantity. One that cannot be read is none.
    fn add(&mut self, quantity: &str) {
        let Some(milli) = thousandths(quantity) else {
            return;
        };
        self.milli = self.milli.saturating_add(milli);
        self.is_binary |= quantity.ends_with('i');
        self.tenancies = self.tenancies.saturating_add(1);
    }

    fn written(&self) -> String {
        let whole = i64::try_from(self.milli / MILLI).unwrap_or(i64::MAX);
        if self.is_binary {
            return format_quantity(whole, Unit::GiB);
        }
        match i64::try_from(self.milli) {
            Ok(milli) => format_quantity(milli, Unit::Core),
            Err(_) => whole.to_string(),
        }
    }
}

/// A quantity in thousandths; what is too large to be counted so is a whole number anyway.
fn thousandths(quantity: &str) -> Option<i128> {
    parse_quantity(quantity, Unit::Core)
        .map(i128::from)
        .or_else(|_| parse_quantity(quantity, Unit::Count).map(|whole| i128::from(whole) * MILLI))
        .ok()
}

/// What these tenancies lease together, by zone and item. What is provisioned counts, until the
/// tenancy is released.
pub fn leased(tenancies: &[Tenancy]) -> Vec<SystemLease> {
    let mut sums: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for tenancy in tenancies {
        let Some(status) = &tenancy.status else {
            continue;
        };
        if status.phase == Phase::Released {
            continue;
        }
        for held in &status.approved {
            let place = (tenancy.spec.zone.as_str(), held.item.as_str());
            sums.entry(place).or_default().add(&held.quantity);
        }
    }
    sums.into_iter()
        .take(MOST)
        .map(|((zone, item), sum)| SystemLease {
            zone: zone.to_owned(),
            item: item.to_owned(),
            quantity: sum.written(),
            tenancies: sum.tenancies,
        })
        .collect()
}

/// The same in one line; none where nothing is leased.
pub fn total(leased: &[SystemLease]) -> Option<String> {
    let mut zones: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for held in leased {
        let items = zones.entry(&held.zone).or_default();
        items.push(format!("{} {}", held.item, held.quantity));
    }
    let several = zones.len() > 1;
    let lines: Vec<String> = zones
        .into_iter()
        .map(|(zone, items)| {
            let items = items.join(", ");
            if several {
                format!("{zone}: {items}")
            } else {
                items
            }
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenancy(zone: &str, phase: &str, approved: &[(&str, &str)]) -> Tenancy {
        let approved: Vec<Value> = approved
            .iter()
            .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
            "metadata": {"name": "oa", "namespace": "dept-edu"},
            "spec": {
                "system": "oa", "zone": zone,
                "term": {"from": "2026-09-01", "through": "2027-08-31"},
                "contract": "c", "budget": {"code": "30227"},
                "lease": [{"item": "vcpu-x86", "quantity": "1"}], "namespaces": [{"name": "prod"}],
            },
            "status": {"phase": phase, "approved": approved},
        }))
        .unwrap()
    }

    fn held(zone: &str, item: &str, quantity: &str, tenancies: u32) -> SystemLease {
        SystemLease {
            zone: zone.to_owned(),
            item: item.to_owned(),
            quantity: quantity.to_owned(),
            tenancies,
        }
    }

    #[test]
    fn tenancies_of_one_zone_add_up_however_their_quantities_are_written() {
        let all = [
            tenancy(
                "gov-extranet",
                "Active",
                &[("vcpu-x86", "32"), ("memory", "64Gi"), ("gpu-a", "2")],
            ),
            tenancy(
                "gov-extranet",
                "Changing",
                &[("vcpu-x86", "1500m"), ("memory", "0.5Ti"), ("gpu-a", "1")],
            ),
            tenancy(
                "gov-extranet",
                "Reclaiming",
                // what is left of it is leased still; 2^30 bytes are a GiB
                &[("vcpu-x86", "0.5"), ("memory", "1073741824")],
            ),
            tenancy("internet", "Active", &[("vcpu-x86", "4")]),
        ];
        let found = leased(&all);
        assert_eq!(
            found,
            [
                held("gov-extranet", "gpu-a", "3", 2),
                held("gov-extranet", "memory", "577Gi", 3),
                held("gov-extranet", "vcpu-x86", "34", 3),
                held("internet", "vcpu-x86", "4", 1),
            ]
        );
        assert_eq!(
            total(&found).as_deref(),
            Some("gov-extranet: gpu-a 3, memory 577Gi, vcpu-x86 34; internet: vcpu-x86 4")
        );
        assert_eq!(total(&found[3..]).as_deref(), Some("vcpu-x86 4"));
    }

    #[test]
    fn what_is_released_or_not_yet_provisioned_is_not_leased() {
        let mut new = tenancy("gov-extranet", "Requested", &[]);
        let released = tenancy("gov-extranet", "Released", &[("vcpu-x86", "4")]);
        assert!(leased(&[new.clone(), released]).is_empty());
        new.status = None;
        assert!(leased(&[new]).is_empty());
        assert_eq!(total(&[]), None);
    }

    #[test]
    fn parts_of_a_core_stay_parts_and_what_is_too_large_for_thousandths_is_whole() {
        let one = |quantity: &str| {
            let all = [tenancy("z", "Active", &[("x", quantity), ("x", quantity)])];
            leased(&all)[0].quantity.clone()
        };
        assert_eq!(one("250m"), "500m");
        assert_eq!(one("4000P"), "8000000000000000000");
        assert_eq!(one("2Pi"), "4Pi");
    }
}
