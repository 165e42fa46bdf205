//! Manifests: those of `examples/`, and plain ones of each kind for tests that need many.

use std::fs;

use leasehold_kit::{Clock as _, SystemClock};
use leasehold_ledger::time::{LocalDate, Second, Zone};
use serde_json::{Value, json};

use crate::user::group;
use crate::{Failure, rig};

/// Days that the examples name, by what they stand for; see [`Days::moved`].
const TERM_FROM: &str = "2026-11-01";
const TERM_THROUGH: &str = "2027-10-31";
const PRICES_THROUGH: &str = "2027-12-31";
const ARRIVAL: &str = "2026-11-24";
/// What stands for a contribution's uid in the examples.
const CONTRIBUTION_UID: &str = "CONTRIBUTION-UID";

/// Today and the term of a year around it, in the office's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// Today.
    pub today: LocalDate,
}

impl Days {
    /// By this machine's clock, which is the API server's too.
    pub fn now() -> Result<Self, Failure> {
        let zone =
            Zone::parse("Asia/Shanghai").map_err(|error| Failure::Calendar(error.to_string()))?;
        Ok(Self {
            today: zone.date_of(Second::from_timestamp(SystemClock::new().now())),
        })
    }

    /// First day of the term: of this month.
    pub fn term_from(&self) -> LocalDate {
        self.today.first_of_month()
    }

    /// Last day of the term: a year later.
    pub fn term_through(&self) -> LocalDate {
        self.term_from().add_months(12).previous_day()
    }

    /// A text of the examples with its days moved, so that tests pass in any year.
    fn moved(self, text: &str) -> String {
        text.replace(TERM_FROM, &self.term_from().to_string())
            .replace(TERM_THROUGH, &self.term_through().to_string())
            .replace(
                PRICES_THROUGH,
                &self.term_through().add_months(2).to_string(),
            )
            .replace(ARRIVAL, &self.today.to_string())
    }
}

/// The documents of a file in `examples/`, with days moved to today and the uid of a contribution put
/// in where one stands.
pub fn example(file: &str, contribution_uid: &str) -> Result<Vec<Value>, Failure> {
    let path = rig::repository().join("examples").join(file);
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let text = Days::now()?
        .moved(&text)
        .replace(CONTRIBUTION_UID, contribution_uid);
    serde_saphyr::from_multiple(&text).map_err(|error| Failure::Manifest {
        path,
        message: error.to_string(),
    })
}

/// A department whose staff is [`User::Department`](crate::User::Department) of the same code.
pub fn department(code: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Department",
        "metadata": {"name": code},
        "spec": {
            "displayName": name,
            "administrators": [{"kind": "Group", "name": group(code)}],
        },
    })
}

/// A system of protection level 3 in a department's office namespace.
pub fn system(code: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "InformationSystem",
        "metadata": {"name": name, "namespace": office(code)},
        "spec": {"displayName": "业务系统", "origin": "Existing", "protectionLevel": 3},
    })
}

/// One namespace of a tenancy: its short name and its share of each item.
pub type Share<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// A tenancy of the system `oa` on the examples' platform, for a year from the beginning of this month.
pub fn tenancy(
    code: &str,
    name: &str,
    lease: &[(&str, &str)],
    namespaces: &[Share<'_>],
) -> Result<Value, Failure> {
    let days = Days::now()?;
    let lease: Vec<Value> = lease
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    let namespaces: Vec<Value> = namespaces
        .iter()
        .map(|(short, share)| {
            let share: serde_json::Map<String, Value> = share
                .iter()
                .map(|(item, part)| ((*item).to_owned(), json!(part)))
                .collect();
            json!({"name": short, "share": share})
        })
        .collect();
    Ok(json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
        "metadata": {"name": name, "namespace": office(code)},
        "spec": {
            "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
            "term": {"from": days.term_from(), "through": days.term_through()},
            "contract": "HS-ZFCG-2026-031",
            "budget": {"code": "30227"},
            "lease": lease,
            "namespaces": namespaces,
            "members": [{"role": "admin", "group": group(code)}],
        },
    }))
}

/// A contribution of servers of maker `huawei`, bought on 2024-02-20, by serial number.
pub fn contribution(code: &str, name: &str, serials: &[&str]) -> Value {
    let devices: Vec<Value> = serials
        .iter()
        .enumerate()
        .map(|(number, serial)| {
            json!({
                "serial": serial, "maker": "huawei", "model": "RH2288", "class": "Server",
                "assetCard": format!("ZC-{number:04}"), "invoice": format!("0441{number:04}"),
                "invoiceDate": "2024-02-20", "acceptedOn": "2024-03-05",
                "originalPrice": "52000.00",
            })
        })
        .collect();
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "HardwareContribution",
        "metadata": {"name": name, "namespace": office(code)},
        "spec": {"system": "oa", "agency": "zhongheng", "devices": devices},
    })
}

/// A contribution as the API server knows it: where, its name, its uid.
#[derive(Clone, Copy, Debug)]
pub struct Contributed<'a> {
    /// Code of the department.
    pub code: &'a str,
    /// Name of the contribution.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// An appraisal by `zhongheng` that holds today, with a value for each serial number.
pub fn appraisal(
    of: Contributed<'_>,
    name: &str,
    values: &[(&str, &str)],
) -> Result<Value, Failure> {
    let days = Days::now()?;
    let devices: Vec<Value> = values
        .iter()
        .map(|(serial, value)| json!({"serial": serial, "value": value, "newnessPercent": "59.7"}))
        .collect();
    Ok(json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Appraisal",
        "metadata": {"name": name, "namespace": office(of.code)},
        "spec": {
            "contribution": {"name": of.name, "uid": of.uid},
            "agency": "zhongheng", "reportNo": "ZH-2026-118",
            "report": {"uri": "https://docs.example/ZH-2026-118", "sha256": paper()},
            "baseDate": "2026-10-31", "validThrough": days.term_through(),
            "method": "ReplacementCost", "signatories": ["甲", "乙"], "devices": devices,
        },
    }))
}

/// A receipt of today: each serial number with the node that the server became.
pub fn receipt(of: Contributed<'_>, name: &str, nodes: &[(&str, &str)]) -> Result<Value, Failure> {
    let devices: Vec<Value> = nodes
        .iter()
        .map(|(serial, node)| {
            json!({
                "serial": serial, "assetTag": format!("DC-{serial}"), "wipe": {"sha256": paper()},
                "test": "Passed", "node": node,
            })
        })
        .collect();
    Ok(json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "HandoverReceipt",
        "metadata": {"name": name, "namespace": office(of.code)},
        "spec": {
            "contribution": {"name": of.name, "uid": of.uid},
            "arrivedOn": Days::now()?.today, "devices": devices,
        },
    }))
}

/// A node that bears a serial number and reports a system UUID.
pub fn node(name: &str, serial: &str, system_uuid: &str) -> Value {
    let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "500"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {(leasehold_api::names::SERIAL_LABEL): serial}},
        "status": {
            "capacity": capacity, "allocatable": capacity,
            "nodeInfo": {
                "machineID": name, "systemUUID": system_uuid, "bootID": name,
                "kernelVersion": "6.6.0", "osImage": "openEuler 24.03",
                "containerRuntimeVersion": "containerd://2.1.0", "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "v1.36.3", "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    })
}

/// A pod that the Pod Security level `restricted` lets in, with equal requests and limits. With
/// `lifetime` it ends by itself after so many seconds.
pub fn pod(namespace: &str, name: &str, cpu: &str, memory: &str, lifetime: Option<u32>) -> Value {
    let annotations = match lifetime {
        Some(seconds) => json!({"kwok.leasehold.dev/lifetime": seconds.to_string()}),
        None => json!({}),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main", "image": "registry.example/main:1",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                },
                "resources": {
                    "requests": {"cpu": cpu, "memory": memory},
                    "limits": {"cpu": cpu, "memory": memory},
                },
            }],
        },
    })
}

/// The office namespace of a department.
pub fn office(code: &str) -> String {
    leasehold_api::names::office_namespace(code)
}

fn paper() -> String {
    format!(
        "sha256:{}",
        "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
    )
}

#[cfg(test)]
mod tests {
    use leasehold_api::charging::{Appraisal, HandoverReceipt, PriceBook};
    use leasehold_api::platform::{CloudPolicy, Meter};
    use leasehold_api::tenancy::{Department, HardwareContribution, InformationSystem, Tenancy};

    use super::*;

    #[test]
    fn the_days_of_the_examples_move_with_today() {
        let days = Days {
            today: LocalDate::new(2028, 2, 29).unwrap(),
        };
        let text = format!("{TERM_FROM} {TERM_THROUGH} {PRICES_THROUGH} {ARRIVAL} 2024-02-20");
        assert_eq!(
            days.moved(&text),
            "2028-02-01 2029-01-31 2029-03-31 2028-02-29 2024-02-20"
        );
    }

    #[test]
    fn every_example_is_a_manifest_of_its_kind() {
        fn holds<K: serde::de::DeserializeOwned>(value: &Value) {
            serde_json::from_value::<K>(value.clone()).unwrap();
        }
        holds::<CloudPolicy>(&example("01-policy.yaml", "u").unwrap()[0]);
        assert_eq!(example("02-platform.yaml", "u").unwrap().len(), 2);
        holds::<PriceBook>(&example("03-prices.yaml", "u").unwrap()[0]);
        holds::<Department>(&example("04-department.yaml", "u").unwrap()[0]);
        let lease = example("05-tenancy.yaml", "u").unwrap();
        holds::<InformationSystem>(&lease[0]);
        holds::<Tenancy>(&lease[1]);
        holds::<HardwareContribution>(&example("06-hardware.yaml", "u").unwrap()[0]);
        let appraisal = example("07-appraisal.yaml", "uid-7").unwrap();
        holds::<Appraisal>(&appraisal[0]);
        assert_eq!(appraisal[0]["spec"]["contribution"]["uid"], "uid-7");
        holds::<HandoverReceipt>(&example("08-receipt.yaml", "u").unwrap()[0]);
        assert_eq!(example("00-cluster.yaml", "u").unwrap().len(), 3);
        assert_eq!(example("09-workload.yaml", "u").unwrap().len(), 1);
        let mut meters = example("10-meters.yaml", "u").unwrap();
        assert_eq!(meters.pop().unwrap()["kind"], "ClusterRole");
        assert_eq!(meters.len(), 4);
        meters.iter().for_each(holds::<Meter>);
    }

    #[test]
    fn plain_manifests_are_of_their_kinds() {
        let share: Share<'_> = ("prod", &[("vcpu-x86", "4")]);
        let tenancy = tenancy("edu", "oa", &[("vcpu-x86", "8")], &[share]).unwrap();
        let typed: Tenancy = serde_json::from_value(tenancy).unwrap();
        assert_eq!(&*typed.spec.lease[0].quantity, "8");
        assert_eq!(&*typed.spec.namespaces[0].share["vcpu-x86"], "4");
        let offered = contribution("edu", "s", &["SN0001"]);
        drop(serde_json::from_value::<HardwareContribution>(offered).unwrap());
        let of = Contributed {
            code: "edu",
            name: "s",
            uid: "u",
        };
        drop(
            serde_json::from_value::<Appraisal>(
                appraisal(of, "s-1", &[("SN0001", "1.00")]).unwrap(),
            )
            .unwrap(),
        );
        drop(
            serde_json::from_value::<HandoverReceipt>(
                receipt(of, "s", &[("SN0001", "n")]).unwrap(),
            )
            .unwrap(),
        );
        drop(serde_json::from_value::<Department>(department("edu", "教育局")).unwrap());
        drop(serde_json::from_value::<InformationSystem>(system("edu", "oa")).unwrap());
    }
}
