//! What a reviewer wants to know beside what is asked: whether something like it is leased already, and how much of what is
//! leased is used.

use std::collections::BTreeSet;

use leasehold_api::tenancy::{ItemUsage, LeaseItem, Phase, Tenancy};

use crate::{limits::thousandths, request::ApprovedPart};

/// A question names so many other tenancies.
const NAMED: usize = 8;

/// Other tenancies of the same system in the same zone that lease, or ask for, items of this lease: one line each.
/// `others` are tenancies of the same department.
pub fn duplicates(part: &ApprovedPart, own: &str, others: &[Tenancy]) -> Vec<String> {
    let asked: BTreeSet<&str> = part.lease.iter().map(|entry| &*entry.item).collect();
    let mut found: Vec<String> = others
        .iter()
        .filter(|other| other.spec.system == part.system && other.spec.zone == part.zone)
        .filter_map(|other| duplicate(&asked, own, other))
        .collect();
    if found.is_empty() {
        let (system, zone) = (&*part.system, &*part.zone);
        return vec![format!(
            "  no other tenancy of system {system} in zone {zone} leases any of it"
        )];
    }
    found.sort();
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("  and {more} more of the same system and zone"));
    }
    found
}

fn duplicate(asked: &BTreeSet<&str>, own: &str, other: &Tenancy) -> Option<String> {
    let name = other.metadata.name.as_deref().unwrap_or_default();
    let status = other.status.as_ref();
    let phase = status.map_or(Phase::Requested, |status| status.phase);
    if name == own || phase == Phase::Released {
        return None;
    }
    let held = status.map_or(&[][..], |status| status.approved.as_slice());
    let (does, lease) = if held.is_empty() {
        ("asks for", other.spec.lease.as_slice())
    } else {
        ("leases", held)
    };
    let same: Vec<String> = lease
        .iter()
        .filter(|entry| asked.contains(&*entry.item))
        .map(|LeaseItem { item, quantity }| format!("{} {}", &**item, &**quantity))
        .collect();
    let what = same.join(", ");
    (!same.is_empty()).then(|| {
        format!("  tenancy {name} of the same system in the same zone {does} {what} already")
    })
}

/// How much of what the tenancy leases already is used, by the figures of its status: one line for each item.
pub fn used(usage: &[ItemUsage]) -> Vec<String> {
    if usage.is_empty() {
        return vec!["  of the present lease no use is known".to_owned()];
    }
    usage
        .iter()
        .map(|figures| {
            let ItemUsage {
                item,
                leased,
                requested,
                as_of,
                ..
            } = figures;
            let percent = percent(requested, leased);
            let percent = percent.map_or_else(String::new, |percent| format!(" ({percent} %)"));
            format!("  {item}: {requested} of {leased} in use{percent}, as of {as_of}")
        })
        .collect()
}

/// Whole percents, rounded down.
fn percent(part: &str, whole: &str) -> Option<i128> {
    let (part, whole) = (thousandths(part)?, thousandths(whole)?);
    part.checked_mul(100)?.checked_div(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::request::fixture;

    fn tenancy(name: &str, but: &Value) -> Tenancy {
        let mut spec = json!({
            "system": "oa", "zone": "gov-extranet",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "HS-1", "budget": {"code": "30227"},
            "lease": [{"item": "vcpu-x86", "quantity": "8"}], "namespaces": [{"name": name}],
        });
        for (key, value) in but.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
            "metadata": {"name": name, "namespace": "dept-edu"}, "spec": spec,
        }))
        .unwrap()
    }

    fn holding(mut tenancy: Tenancy, phase: Phase, lease: &Value) -> Tenancy {
        let status = tenancy.status.get_or_insert_default();
        status.phase = phase;
        status.approved = serde_json::from_value(lease.clone()).unwrap();
        tenancy
    }

    fn found(others: &[Tenancy]) -> Vec<String> {
        let part = fixture::asked(&[("vcpu-x86", "4"), ("memory", "8Gi")], "2027-08-31").part;
        duplicates(&part, "oa", others)
    }

    const NONE: &str = "  no other tenancy of system oa in zone gov-extranet leases any of it";

    #[test]
    fn who_leases_the_same_for_the_same_system_in_the_same_zone_is_named() {
        let lease = json!([
            {"item": "vcpu-x86", "quantity": "16"}, {"item": "block-ssd", "quantity": "1Ti"},
        ]);
        let others = [
            tenancy("wanted", &json!({})),
            holding(tenancy("held", &json!({})), Phase::Active, &lease),
        ];
        let expected = [
            "  tenancy held of the same system in the same zone leases vcpu-x86 16 already",
            "  tenancy wanted of the same system in the same zone asks for vcpu-x86 8 already",
        ];
        assert_eq!(found(&others), expected);
    }

    #[test]
    fn neither_itself_nor_another_system_zone_or_item_nor_what_is_released_is_a_duplicate() {
        let disks = json!({"lease": [{"item": "block-ssd", "quantity": "1Ti"}]});
        let lease = json!([{"item": "vcpu-x86", "quantity": "16"}]);
        let others = [
            tenancy("oa", &json!({})),
            tenancy("mail", &json!({"system": "mail"})),
            tenancy("far", &json!({"zone": "internet"})),
            tenancy("disks", &disks),
            holding(tenancy("gone", &json!({})), Phase::Released, &lease),
        ];
        assert_eq!(found(&others), [NONE]);
        assert_eq!(found(&[]), [NONE]);
    }

    #[test]
    fn of_many_the_first_are_named_and_the_others_counted() {
        let others: Vec<Tenancy> = (10..20)
            .map(|number| tenancy(&format!("t{number}"), &json!({})))
            .collect();
        let found = found(&others);
        assert_eq!(found.len(), 9);
        assert!(found[7].starts_with("  tenancy t17 "), "{}", found[7]);
        assert_eq!(found[8], "  and 2 more of the same system and zone");
    }

    #[test]
    fn use_is_told_with_its_part_of_the_lease_and_its_time() {
        let figures = |leased: &str, requested: &str| ItemUsage {
            item: "memory".to_owned(),
            leased: leased.to_owned(),
            requested: requested.to_owned(),
            claims: None,
            as_of: "2027-01-15T02:00:00Z".to_owned(),
        };
        let of = |leased: &str, requested: &str| used(&[figures(leased, requested)]);
        let told = |words: &str| vec![format!("  memory: {words}, as of 2027-01-15T02:00:00Z")];
        // 5 of 64 is 7.8 percent
        assert_eq!(of("64Gi", "5Gi"), told("5Gi of 64Gi in use (7 %)"));
        assert_eq!(of("1", "500m"), told("500m of 1 in use (50 %)"));
        assert_eq!(of("0", "0"), told("0 of 0 in use"));
        assert_eq!(used(&[]), ["  of the present lease no use is known"]);
    }
}
