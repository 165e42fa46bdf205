//! A catalogue and manifests for the tests of quotas.

use leasehold_api::tenancy::TenancySpec;
use leasehold_ledger::{
    book::{Basis, Category, Item, Per},
    money::{Price, Unit},
};
use serde_json::{Value, json};

use crate::request::Items;

/// An item of the catalogue, by its name.
pub fn item(name: &str, resource: Option<&str>, class: Option<&str>, unit: Unit) -> (String, Item) {
    let item = Item {
        name: name.to_owned(),
        display_name: name.to_owned(),
        category: Category::Compute,
        resource: resource.map(str::to_owned),
        storage_class: class.map(str::to_owned),
        meter: None,
        unit,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse("1.00").unwrap(),
    };
    (name.to_owned(), item)
}

/// What can be leased.
pub fn items() -> Items {
    Items::from([
        item("vcpu-x86", Some("cpu"), None, Unit::Core),
        item("vcpu-arm", Some("cpu"), None, Unit::Core),
        item("memory", Some("memory"), None, Unit::GiB),
        item("block-ssd", None, Some("ssd"), Unit::GiB),
        item("block-hdd", None, Some("hdd"), Unit::GiB),
        item("gpu-a", Some("nvidia.com/gpu"), None, Unit::Count),
        item("licence", None, None, Unit::Count),
    ])
}

/// A manifest with this lease, divided among these namespaces.
#[expect(clippy::needless_pass_by_value, reason = "called with json!")]
pub fn spec(lease: Value, namespaces: Value) -> TenancySpec {
    let lease: Vec<Value> = lease
        .as_object()
        .unwrap()
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "c", "budget": {"code": "30227"},
        "lease": lease, "namespaces": namespaces,
    }))
    .unwrap()
}
