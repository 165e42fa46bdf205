//! What the ledger holds of the two months before the running one.
//!
//! The department `water` leased its tenancy `river` in the month before last. In the last month it
//! ran two pods for a while, claimed a volume that grew, and had its lease changed. In the month
//! before last, twenty minutes were not observed.

use std::collections::BTreeMap;

use leasehold_api::charging::PriceBookSpec;
use leasehold_api::platform::CloudPolicySpec;
use leasehold_e2e::Stage;
use leasehold_ledger::canonical::digest_of;
use leasehold_ledger::document::{
    BookDoc, Decision, DecisionDoc, Document, GapDoc, IncarnationDoc, PeriodOpenDoc, PolicyDoc,
    RequestDoc,
};
use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::policy::Policy;
use leasehold_ledger::time::{Period, PeriodKind, Second};
use leasehold_planner::convert::{ledger_book, ledger_policy};
use leasehold_store::Record;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::calendar::{Moment, Month, Months};

/// The department that leases.
pub const DEPARTMENT: &str = "water";
/// Name of the price book.
pub const BOOK: &str = "months";
const PROVIDER: &str = "hs-bigdata";
const CONTRACT: &str = "HS-ZFCG-2026-031";
/// The tenancy's first life, as facts name it.
const LEASE: &str = "water/river/1";

/// A pod of the last month.
pub struct Pod {
    /// When it was bound to a node.
    pub from: Moment,
    /// When its last container had finished.
    pub to: Moment,
    /// What it reserved, in thousandths of a core.
    pub millicores: i64,
}

/// Two pods of the last month, which overlap.
pub const PODS: [Pod; 2] = [
    Pod {
        from: (6, "08:00:07"),
        to: (6, "19:13:20"),
        millicores: 2_500,
    },
    Pod {
        from: (6, "16:20:00"),
        to: (9, "03:04:05"),
        millicores: 1_500,
    },
];
/// When a volume of 100 GiB was claimed, in the last month.
pub const CLAIMED: Moment = (3, "00:00:01");
/// When it was 150 GiB, which it has been since.
pub const GROWN: Moment = (20, "12:34:56");
/// From when to when pods were not observed, in the month before last.
pub const GAP: [Moment; 2] = [(20, "03:00:00"), (20, "03:20:00")];

/// The policy of the examples with calendar months. It closes nothing by itself.
pub fn policy() -> Value {
    let mut policy = Stage::policy().unwrap();
    policy["spec"]["period"] = json!({"kind": "Month"});
    policy
}

/// Prices of every basis, published long ago.
pub fn prices() -> Value {
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": BOOK},
        "spec": {
            "provider": PROVIDER, "contract": "HS-ZFCG-2020-001",
            "validity": {"from": "2020-01-01", "through": "2099-12-31"},
            "items": [
                {
                    "name": "memory", "displayName": "内存", "category": "compute",
                    "resource": "memory", "unit": "GiB", "per": "Month", "price": "17.00",
                },
                {
                    "name": "db-mysql", "displayName": "MySQL数据库", "category": "database",
                    "unit": "Count", "per": "Month", "price": "133.37",
                },
                {
                    "name": "vcpu-burst", "displayName": "按量CPU", "category": "compute",
                    "resource": "cpu", "unit": "Core", "per": "Month", "basis": "Metered",
                    "price": "46.37",
                },
                {
                    "name": "block-ssd", "displayName": "按量云硬盘", "category": "storage",
                    "storageClass": "ssd", "unit": "GiB", "per": "Month", "basis": "Metered",
                    "price": "0.73",
                },
                {
                    "name": "migration", "displayName": "迁移服务", "category": "middleware",
                    "unit": "Count", "per": "Once", "basis": "OneOff", "price": "888.885",
                },
            ],
        },
    })
}

/// All of it, in an order in which a ledger could have learned it.
pub fn records(months: &Months) -> Vec<Record> {
    let policy = ledger_policy(&spec::<CloudPolicySpec>(&policy())).unwrap();
    // the month before last would have closed by itself the moment it was over, but for its gap
    let hasty = Policy {
        auto_close_after_days: Some(0),
        ..policy.clone()
    };
    let (leased, changed) = (months.leased(), months.changed());
    let mut records = vec![
        in_force(&hasty, &months.older),
        in_force(&policy, &months.last),
        book(months.older.from),
        opened(&hasty, &months.older),
        opened(&policy, &months.last),
        gap(&months.older),
        incarnation(leased),
    ];
    let first = [
        ("memory", "64Gi", 64_i64 << 30),
        ("db-mysql", "3", 3),
        ("vcpu-burst", "8", 8_000),
        ("block-ssd", "500Gi", 500 << 30),
    ];
    let asked = first.map(|(item, quantity, _)| (item, quantity));
    records.extend(request(1, &asked, leased));
    for (item, _, quantity) in first {
        records.push(lease(item, 1, FactKind::Opened, leased, quantity));
    }
    let [memory, _, cores, ssd] = asked;
    let more = [memory, ("db-mysql", "5"), cores, ssd, ("migration", "1")];
    records.extend(request(2, &more, changed));
    records.push(lease("db-mysql", 2, FactKind::Changed, changed, 5));
    records.push(lease("migration", 2, FactKind::Opened, changed, 1));
    records.extend(used(&months.last));
    records
}

fn document<D: Document>(document: &D) -> Record {
    Record::document(document).unwrap()
}

fn spec<S: DeserializeOwned>(manifest: &Value) -> S {
    serde_json::from_value(manifest["spec"].clone()).unwrap()
}

/// A policy that came into force with a month.
fn in_force(policy: &Policy, month: &Month) -> Record {
    document(&PolicyDoc {
        policy: policy.clone(),
        seen_at: Second::new(month.from),
    })
}

fn book(at: i64) -> Record {
    document(&BookDoc {
        book: ledger_book(BOOK, &spec::<PriceBookSpec>(&prices())).unwrap(),
        published_by: "qian@finance".to_owned(),
        approval: "approval-of-prices".to_owned(),
        at: Second::new(at),
    })
}

/// A month that was opened when it began.
fn opened(policy: &Policy, month: &Month) -> Record {
    let at = Second::new(month.from);
    let period = Period::containing(PeriodKind::Month, &policy.time_zone, at).unwrap();
    let found = (period.name.as_str(), period.span.to.get());
    assert_eq!(found, (month.name.as_str(), month.to), "two calendars");
    let policy = policy.digest().unwrap();
    document(&PeriodOpenDoc { period, policy, at })
}

fn gap(month: &Month) -> Record {
    let [from, to] = GAP.map(|moment| Second::new(month.at(moment)));
    document(&GapDoc {
        source: "pods".to_owned(),
        from,
        to,
        reason: "the changes were gone".to_owned(),
        upper: BTreeMap::from([("pod/cpu".to_owned(), 8_000 * 20 * 60)]),
        at: to,
    })
}

fn incarnation(at: i64) -> Record {
    document(&IncarnationDoc {
        department: DEPARTMENT.to_owned(),
        tenancy: "river".to_owned(),
        incarnation: 1,
        uid: "tenancy-river".to_owned(),
        at: Second::new(at),
    })
}

/// A request for a lease, and the office's yes to it.
fn request(number: u32, lease: &[(&str, &str)], at: i64) -> [Record; 2] {
    let lease: Vec<Value> = lease
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    let snapshot = json!({"lease": lease});
    let at = Second::new(at);
    [
        document(&RequestDoc {
            department: DEPARTMENT.to_owned(),
            tenancy: "river".to_owned(),
            incarnation: 1,
            request: number,
            digest: digest_of(&snapshot).unwrap(),
            snapshot,
            requested_by: "zhang@water".to_owned(),
            at,
            quotation: None,
            funds: None,
        }),
        document(&DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: format!("{LEASE}/{number}"),
            role: "office".to_owned(),
            approval_uid: Some(format!("approval-of-request-{number}")),
            decision: Decision::Approved,
            decided_by: "chen@office".to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: false,
            amount_monthly: None,
            department: Some(DEPARTMENT.to_owned()),
            at,
        }),
    ]
}

/// What a request makes of an item.
fn lease(item: &str, request: u32, kind: FactKind, at: i64, quantity: i64) -> Record {
    let item = item.to_owned();
    let version = format!("request-{request}");
    let source = (LEASE, version.as_str());
    let mut told = fact(Meter::Lease { item }, source, kind, at, quantity);
    told.subject.request = request;
    Record::from(told)
}

/// What pods and a claim used. The claim goes on.
fn used(last: &Month) -> Vec<Record> {
    let mut facts = Vec::new();
    for (pod, uid) in PODS.iter().zip(["pod-1", "pod-2"]) {
        let resource = "cpu".to_owned();
        let (from, to) = (last.at(pod.from), last.at(pod.to));
        let begun = fact(
            Meter::Pod { resource },
            (uid, "1"),
            FactKind::Opened,
            from,
            pod.millicores,
        );
        let ended = fact(begun.meter.clone(), (uid, "2"), FactKind::Closed, to, 0);
        facts.extend([begun, ended]);
    }
    let (claimed, grown) = (last.at(CLAIMED), last.at(GROWN));
    let storage_class = "ssd".to_owned();
    let claim = fact(
        Meter::Claim { storage_class },
        ("claim-1", "1"),
        FactKind::Opened,
        claimed,
        100 << 30,
    );
    let meter = claim.meter.clone();
    let larger = fact(meter, ("claim-1", "2"), FactKind::Changed, grown, 150 << 30);
    facts.extend([claim, larger]);
    facts.into_iter().map(Record::from).collect()
}

/// One observation of the object with this uid, at this version of it. Its cluster is one that is
/// gone, so that the running operator does not look for the objects.
fn fact(
    meter: Meter,
    (uid, version): (&str, &str),
    kind: FactKind,
    at: i64,
    quantity: i64,
) -> Fact {
    Fact {
        source: Source {
            cluster: "before".to_owned(),
            etcd: 1,
            uid: uid.to_owned(),
            version: version.to_owned(),
        },
        meter,
        kind,
        at: Second::new(at),
        quantity,
        subject: Subject {
            department: DEPARTMENT.to_owned(),
            tenancy: "river".to_owned(),
            incarnation: 1,
            system: "river".to_owned(),
            provider: PROVIDER.to_owned(),
            contract: CONTRACT.to_owned(),
            budget: "30227".to_owned(),
            request: 1,
            object: format!("the object {uid}"),
        },
        estimated: false,
        bounds: None,
        evidence: "written by the test".to_owned(),
    }
}
