//! What the ledger holds of the four months before the running one.
//!
//! The department `water` leases 64 GiB all the time, and uses a core at a time: four pods that last a quarter of each month
//! one after the other, one that runs since the first month and goes on, and one from the middle of the first month to the
//! middle of the second.

use leasehold_api::charging::PriceBookSpec;
use leasehold_api::platform::CloudPolicySpec;
use leasehold_controllers::period::reckon::{batch, reckon, records};
use leasehold_e2e::Stage;
use leasehold_ledger::canonical::digest_of;
use leasehold_ledger::document::{
    BookDoc, Decision, DecisionDoc, DepartmentDoc, Document, IncarnationDoc, PeriodOpenDoc,
    PolicyDoc, RequestDoc,
};
use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::policy::Policy;
use leasehold_ledger::time::{Period, PeriodKind, Second};
use leasehold_planner::convert::{ledger_book, ledger_policy};
use leasehold_store::{Batch, Record, Store};
use leasehold_testkit::manifests::Days;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The department that leases.
pub const DEPARTMENT: &str = "water";
/// What people call it.
pub const NAME: &str = "市水利局";
/// Name of the price book.
pub const BOOK: &str = "archived";
/// Who closed the months.
pub const FINANCE: &str = "sun@finance";
const PROVIDER: &str = "hs-bigdata";
const CONTRACT: &str = "HS-ZFCG-2026-031";
/// The tenancy's first life, as facts name it.
const LEASE: &str = "water/river/1";
const DAY: i64 = 86_400;

/// The policy of the examples with calendar months. It closes nothing by itself, and lets nothing leave.
pub fn policy() -> Value {
    let mut policy = Stage::policy().unwrap();
    policy["spec"]["period"] = json!({"kind": "Month"});
    policy
}

/// Prices, published long ago.
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
                    "name": "vcpu-burst", "displayName": "按量CPU", "category": "compute",
                    "resource": "cpu", "unit": "Core", "per": "Month", "basis": "Metered",
                    "price": "46.00",
                },
            ],
        },
    })
}

/// The four months before the running one, the oldest first.
pub fn months() -> [Period; 4] {
    let first = Days::now().unwrap().today.first_of_month();
    let zone = rules().time_zone;
    [4, 3, 2, 1].map(|before| {
        let day = first.add_months(-before);
        let at = zone.span_of_days(day, day).from;
        Period::containing(PeriodKind::Month, &zone, at).unwrap()
    })
}

/// Writes the months. The first two were closed two days after their ends, the third one as yesterday began; the fourth is
/// open.
pub async fn write(store: &Store, months: &[Period; 4]) {
    let [first, second, third, fourth] = months;
    let begun = first.span.from;
    let mut before = foundation(begun);
    let known = store.documents::<DepartmentDoc>(Some(DEPARTMENT), None);
    if known.await.unwrap().is_empty() {
        before.push(department(begun));
    }
    before.push(one(&opened("web", begun, begun)));
    before.push(one(&opened("bridge", middle(first), middle(first))));
    commit(store, before, begun).await;
    month(store, first, &[], Some(first.span.to.plus(2 * DAY))).await;
    let over = [closed("bridge", middle(first), middle(second))];
    month(store, second, &over, Some(second.span.to.plus(2 * DAY))).await;
    let yesterday = Days::now().unwrap().today.previous_day();
    let yesterday = rules().time_zone.span_of_days(yesterday, yesterday).from;
    month(store, third, &[], Some(yesterday)).await;
    month(store, fourth, &[], None).await;
}

/// A month as it went on, and its close.
async fn month(store: &Store, month: &Period, more: &[Fact], close: Option<Second>) {
    let open = PeriodOpenDoc {
        period: month.clone(),
        policy: rules().digest().unwrap(),
        at: month.span.from,
    };
    let mut told = vec![document(&open)];
    let quarter = month.span.seconds() / 4;
    for (number, name) in (0..).zip(["north", "east", "south", "west"]) {
        let uid = format!("{name}-{}", month.name);
        let from = month.span.from.plus(number * quarter);
        let to = from.plus(quarter);
        told.push(one(&opened(&uid, from, from)));
        told.push(one(&closed(&uid, from, to)));
    }
    told.extend(more.iter().map(one));
    commit(store, told, month.span.to).await;
    let Some(at) = close else { return };
    let (through, head) = store.head().await.unwrap();
    let known = records(store, through).await.unwrap();
    let closing = reckon(&open, &known, through, None).unwrap();
    let close = batch(&open, &closing, (through, head), FINANCE, at).unwrap();
    store.commit(&close, at).await.unwrap();
}

/// Rules, prices, and the tenancy with its lease.
fn foundation(begun: Second) -> Vec<Record> {
    let items = [
        ("memory", "64Gi", 64_i64 << 30),
        ("vcpu-burst", "8", 8_000_i64),
    ];
    let lease: Vec<Value> = items
        .iter()
        .map(|(item, quantity, _)| json!({"item": item, "quantity": quantity}))
        .collect();
    let snapshot = json!({"lease": lease});
    let mut records = vec![
        document(&PolicyDoc {
            policy: rules(),
            seen_at: begun,
        }),
        document(&BookDoc {
            book: ledger_book(BOOK, &spec::<PriceBookSpec>(&prices())).unwrap(),
            published_by: "qian@finance".to_owned(),
            approval: "approval-of-prices".to_owned(),
            at: begun,
        }),
        document(&IncarnationDoc {
            department: DEPARTMENT.to_owned(),
            tenancy: "river".to_owned(),
            incarnation: 1,
            uid: "tenancy-river".to_owned(),
            at: begun,
        }),
        document(&RequestDoc {
            department: DEPARTMENT.to_owned(),
            tenancy: "river".to_owned(),
            incarnation: 1,
            request: 1,
            digest: digest_of(&snapshot).unwrap(),
            snapshot,
            requested_by: "zhang@water".to_owned(),
            at: begun,
            quotation: None,
            funds: None,
        }),
        document(&approval(begun)),
    ];
    for (item, _, quantity) in items {
        let meter = Meter::Lease {
            item: item.to_owned(),
        };
        let source = (LEASE, "request-1");
        records.push(one(&fact(meter, source, FactKind::Opened, begun, quantity)));
    }
    records
}

fn approval(at: Second) -> DecisionDoc {
    DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: format!("{LEASE}/1"),
        role: "office".to_owned(),
        approval_uid: Some("approval-of-request-1".to_owned()),
        decision: Decision::Approved,
        decided_by: "chen@office".to_owned(),
        order_no: String::new(),
        reason: String::new(),
        auto: false,
        amount_monthly: None,
        department: Some(DEPARTMENT.to_owned()),
        at,
    }
}

fn department(at: Second) -> Record {
    document(&DepartmentDoc {
        code: DEPARTMENT.to_owned(),
        display_name: NAME.to_owned(),
        budget_unit: None,
        parent: None,
        at,
    })
}

/// A pod of one core begins. Its first version is told by `from`, so that each observation has a key of its own.
fn opened(uid: &str, from: Second, at: Second) -> Fact {
    pod(uid, from, FactKind::Opened, at, 1_000)
}

/// It ends.
fn closed(uid: &str, from: Second, at: Second) -> Fact {
    pod(uid, from.plus(1), FactKind::Closed, at, 0)
}

fn pod(uid: &str, version: Second, kind: FactKind, at: Second, quantity: i64) -> Fact {
    let meter = Meter::Pod {
        resource: "cpu".to_owned(),
    };
    let version = version.get().to_string();
    fact(meter, (uid, &version), kind, at, quantity)
}

/// One observation. Its cluster is one that is gone, so that the running operator does not look for the objects.
fn fact(
    meter: Meter,
    (uid, version): (&str, &str),
    kind: FactKind,
    at: Second,
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
        at,
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

/// The policy, as the ledger has it.
fn rules() -> Policy {
    ledger_policy(&spec::<CloudPolicySpec>(&policy())).unwrap()
}

/// The middle of a month.
fn middle(month: &Period) -> Second {
    month.span.from.plus(month.span.seconds() / 2)
}

fn spec<S: DeserializeOwned>(manifest: &Value) -> S {
    serde_json::from_value(manifest["spec"].clone()).unwrap()
}

fn document<D: Document>(document: &D) -> Record {
    Record::document(document).unwrap()
}

fn one(fact: &Fact) -> Record {
    Record::from(fact.clone())
}

async fn commit(store: &Store, records: Vec<Record>, at: Second) {
    store.commit(&Batch::of(records), at).await.unwrap();
}
