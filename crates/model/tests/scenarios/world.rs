//! The platform and the manifests: what is there before anybody leases.

use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_model::Server;
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use crate::{
    expect::APPROVALS,
    people::{ADMIN, DATA_CENTRE, FINANCE, OFFICE, create, patch, staff},
    script::{Amounts, Lessee, Managed, Wish},
};

/// When every scenario begins: a morning in the middle of a month, so that no day and no month ends in between.
pub const START: &str = "2027-01-15T02:00:00Z";
/// Namespace of the operator.
pub const NAMESPACE: &str = "leasehold-system";
/// The price book.
pub const BOOK: &str = "huangshi-2026";
/// Between the request to release and the end, in seconds.
pub const GRACE: i64 = 45;
/// The pod of a department.
pub const WEB: &str = "web";
/// Another pod of a department, which takes up what the first leaves of four cores.
pub const BUSY: &str = "busy";
/// The volume of a tenancy that keeps one.
pub const FILES: &str = "files";
/// Items of the book and the units in which they are written, in the order of [`Amounts`].
pub const ITEMS: [(&str, &str); 3] = [("vcpu-x86", ""), ("memory", "Gi"), ("block-ssd", "Gi")];

/// Makes what is there before the operator has done anything: the platform and the departments.
pub fn make(server: &Server, policy: &Value, codes: &[&str]) -> Result<(), String> {
    for manifest in cluster() {
        create(server, ADMIN, &manifest)?;
    }
    create(server, OFFICE, policy)?;
    for manifest in platform() {
        create(server, DATA_CENTRE, &manifest)?;
    }
    let [loads, _] = FINANCE;
    create(server, loads, &prices())?;
    for code in codes {
        create(server, OFFICE, &manifests::department(code, "委办局"))?;
    }
    Ok(())
}

/// Finance publishes the prices, once it is asked.
pub fn publish(server: &Server) -> Result<(), String> {
    let [_, publishes] = FINANCE;
    let question = format!("pb-{BOOK}-finance");
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "黄财资〔2027〕1号"}});
    patch(server, publishes, [APPROVALS, NAMESPACE, &question], &yes)
}

/// Registers the system of each department, once it has an office to write it in.
pub fn register(server: &Server, codes: &[&str]) -> Result<(), String> {
    codes
        .iter()
        .try_for_each(|code| create(server, &staff(code), &manifests::system(code, "oa")))
}

fn cluster() -> [Value; 3] {
    let capacity = json!({"cpu": "512", "memory": "2Ti", "pods": "5000"});
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "ssd"}, "provisioner": "kubernetes.io/no-provisioner",
        }),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "dc1-r01-n01"},
            "status": {"capacity": capacity, "allocatable": capacity},
        }),
    ]
}

/// The office's policy.
pub fn policy() -> Value {
    json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "CloudPolicy",
        "metadata": {"name": "default"},
        "spec": {
            "timeZone": "Asia/Shanghai", "period": {"kind": "Month"}, "statementPrefix": "HS",
            "autoApproval": {"ceilingMonthly": "0.00"}, "decreaseEffective": "AtOnce",
            "release": {"graceSeconds": GRACE},
        },
    })
}

fn platform() -> [Value; 2] {
    [
        json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "NetworkZone",
            "metadata": {"name": "gov-extranet"},
            "spec": {
                "displayName": "电子政务外网", "network": "GovExtranet", "protectionLevel": 3,
                "storageClasses": ["ssd"],
            },
        }),
        json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Cloudlet",
            "metadata": {"name": "self"},
            "spec": {
                "displayName": "大数据中心", "provider": "hs-bigdata", "zones": ["gov-extranet"],
            },
        }),
    ]
}

fn prices() -> Value {
    let item = |name: &str, category: &str, what: (&str, &str), unit: &str, price: &str| {
        let (field, value) = what;
        json!({
            "name": name, "displayName": name, "category": category, (field): value,
            "unit": unit, "per": "Month", "basis": "Reserved", "price": price,
        })
    };
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": BOOK},
        "spec": {
            "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-001",
            "validity": {"from": "2026-01-01", "through": "2027-12-31"}, "currency": "CNY",
            "tax": {"included": true, "percent": "6"},
            "items": [
                item("vcpu-x86", "compute", ("resource", "cpu"), "Core", "46.00"),
                item("memory", "compute", ("resource", "memory"), "GiB", "17.00"),
                item("block-ssd", "storage", ("storageClass", "ssd"), "GiB", "0.70"),
            ],
        },
    })
}

/// The manifest of a tenancy.
pub fn tenancy(lessee: &Lessee, wish: &Wish) -> Value {
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
        "metadata": {"name": lessee.name, "namespace": manifests::office(lessee.code)},
        "spec": {
            "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
            "term": {"from": "2027-01-01", "through": "2027-12-31"},
            "contract": "HS-ZFCG-2026-031", "budget": {"code": "30227"},
            "lease": lease(&wish.lease()),
            "namespaces": shares(lessee, wish),
            "members": [{"role": "admin", "group": format!("{}-admins", lessee.code)}],
        },
    })
}

/// What the department changes of the manifest when it wishes something else.
pub fn change(lessee: &Lessee, wish: &Wish) -> Value {
    json!({"spec": {"lease": lease(&wish.lease()), "namespaces": shares(lessee, wish)}})
}

/// A lease as a manifest and a status list it.
pub fn lease(amounts: &Amounts) -> Value {
    ITEMS
        .iter()
        .zip(amounts)
        .map(|((item, unit), amount)| json!({"item": item, "quantity": format!("{amount}{unit}")}))
        .collect()
}

fn shares(lessee: &Lessee, wish: &Wish) -> Value {
    let share = |amounts: &Amounts| -> Value {
        let parts = ITEMS.iter().zip(amounts);
        Value::Object(
            parts
                .map(|((item, unit), amount)| {
                    let quantity = Value::String(format!("{amount}{unit}"));
                    ((*item).to_owned(), quantity)
                })
                .collect(),
        )
    };
    let mut namespaces: Value = lessee
        .shorts
        .iter()
        .zip(&wish.shares)
        .map(|(short, amounts)| json!({"name": short, "share": share(amounts)}))
        .collect();
    if lessee.keeps {
        let files = json!({"name": FILES, "item": "block-ssd", "size": "1Gi", "reclaim": "Retain"});
        namespaces[0]["volumes"] = json!([files]);
    }
    namespaces
}

/// Base units in one unit of an item: thousandths of a core, bytes in a GiB.
pub fn unit(item: usize) -> i64 {
    if item == 0 { 1000 } else { 1 << 30 }
}

/// An amount as a quota writes it, in base units; zero where there is none.
pub fn amount(text: &Value, item: usize) -> i64 {
    let unit = if item == 0 { Unit::Core } else { Unit::GiB };
    text.as_str()
        .map_or(0, |text| parse_quantity(text, unit).unwrap())
}

/// A disk for a claim, as the cluster's provisioner makes one. Its data would go with the claim.
pub fn disk(name: &str, namespace: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "ssd",
            "csi": {"driver": "disks.example", "volumeHandle": name},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace, "name": FILES, "uid": claim,
            },
        },
    })
}

/// A pod that fits into the smallest share.
pub fn pod(namespace: &str) -> Value {
    manifests::pod(namespace, WEB, "500m", "512Mi", None)
}

/// A pod that makes four cores of use with the usual one.
pub fn busy(namespace: &str) -> Value {
    manifests::pod(namespace, BUSY, "3500m", "512Mi", None)
}

/// The office's order to stop a tenancy.
pub fn order(lessee: &Lessee) -> Value {
    json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
        "metadata": {"name": lessee.name, "namespace": manifests::office(lessee.code)},
        "spec": {
            "tenancy": lessee.name, "reason": "安全整改", "authority": "市政府办 黄政办〔2027〕3号",
        },
    })
}

/// What a department keeps in a namespace of its own.
pub fn own(namespace: &str) -> [Value; 2] {
    let metadata = json!({"name": "own", "namespace": namespace});
    [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}),
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "ssd",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }),
    ]
}

/// The office says yes.
pub fn yes() -> Value {
    json!({"spec": {"decision": "Approved", "orderNo": "黄政办〔2027〕12号"}})
}

/// The office says no.
pub fn no() -> Value {
    json!({"spec": {"decision": "Rejected", "reason": "预算不足"}})
}

/// What a stranger makes of a managed object: less of it, never more.
pub fn meddled(what: Managed) -> Value {
    match what {
        Managed::Quota => json!({"spec": {"hard": {"requests.cpu": "0"}}}),
        Managed::Limits => {
            json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1m"}}]}})
        }
        Managed::Policy => json!({"spec": {"policyTypes": ["Egress"]}}),
        Managed::Rights => json!({"subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "wu@elsewhere",
        }]}),
    }
}
