//! A ledger of one month, invented: leases that stand all month, and pods that come and go.

use leasehold_ledger::book::{Basis, Book, Category, Item, Per};
use leasehold_ledger::canonical::digest_of;
use leasehold_ledger::document::{
    BookDoc, Decision, DecisionDoc, DepartmentDoc, IncarnationDoc, PeriodOpenDoc, PolicyDoc,
    RequestDoc,
};
use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::money::{Price, Unit};
use leasehold_ledger::policy::{DecreaseEffective, EstimateBound, Policy};
use leasehold_ledger::time::{LocalDate, Period, PeriodKind, Second, Zone};
use leasehold_store::Record;
use serde_json::json;

use super::{CloseFailure, Size};

/// 2026-09-01 00:00 in Shanghai, when the month and every lease begin.
const SEPTEMBER: Second = Second::new(1_788_192_000);
/// How long every pod lives, in seconds.
const HOUR: i64 = 3600;
/// What every pod reserves, in thousandths of a core.
const HALF_A_CORE: i64 = 500;
const PROVIDER: &str = "hs-bigdata";
const CONTRACT: &str = "HS-ZFCG-2026-031";
const CLUSTER: &str = "5b0c6a2e-0000-4000-8000-000000000001";
/// What every tenancy leases: item, quantity as it is asked for, and in base units.
const LEASE: [(&str, &str, i64); 3] = [
    ("memory", "64Gi", 64 << 30),
    ("block-ssd", "100Gi", 100 << 30),
    ("vcpu-x86", "64", 64_000),
];

/// The period that is closed.
pub(super) fn open() -> Result<PeriodOpenDoc, CloseFailure> {
    let policy = policy()?;
    Ok(PeriodOpenDoc {
        period: Period::containing(policy.period, &policy.time_zone, SEPTEMBER)?,
        policy: policy.digest()?,
        at: SEPTEMBER,
    })
}

fn policy() -> Result<Policy, CloseFailure> {
    Ok(Policy {
        name: "cloud".to_owned(),
        time_zone: Zone::parse("Asia/Shanghai")?,
        currency: "CNY".to_owned(),
        period: PeriodKind::Month,
        statement_prefix: "HS".to_owned(),
        offset_cap_percent: 50,
        offset_classes: vec![Category::Compute, Category::Storage],
        credit_periods: 36,
        late_allowance_seconds: 300,
        estimate_bound: EstimateBound::Lower,
        auto_close_after_days: None,
        archive_after_days: None,
        decrease_effective: DecreaseEffective::NextPeriod,
    })
}

/// Memory and volumes cost what is reserved, cores what pods use.
fn book() -> Result<Book, CloseFailure> {
    let item = |name: &str, display_name: &str, unit, price| {
        Ok::<_, CloseFailure>(Item {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            category: Category::Compute,
            resource: None,
            storage_class: None,
            meter: None,
            unit,
            per: Per::Month,
            basis: Basis::Reserved,
            price: Price::parse(price)?,
        })
    };
    Ok(Book {
        name: "hs-2026".to_owned(),
        provider: PROVIDER.to_owned(),
        contract: CONTRACT.to_owned(),
        from: LocalDate::parse("2026-01-01")?,
        through: LocalDate::parse("2026-12-31")?,
        currency: "CNY".to_owned(),
        tax: None,
        items: vec![
            Item {
                resource: Some("memory".to_owned()),
                ..item("memory", "内存", Unit::GiB, "17.00")?
            },
            Item {
                category: Category::Storage,
                storage_class: Some("ssd".to_owned()),
                ..item("block-ssd", "SSD 块存储", Unit::GiB, "0.70")?
            },
            Item {
                resource: Some("cpu".to_owned()),
                basis: Basis::Metered,
                ..item("vcpu-x86", "x86 虚拟核", Unit::Core, "72.00")?
            },
        ],
    })
}

/// Everything before the pods: rules, prices, departments, and the tenancies with their leases.
pub(super) fn foundation(size: Size) -> Result<Vec<Record>, CloseFailure> {
    let policy = PolicyDoc {
        policy: policy()?,
        seen_at: SEPTEMBER,
    };
    let book = BookDoc {
        book: book()?,
        published_by: "li".to_owned(),
        approval: "approval-1".to_owned(),
        at: SEPTEMBER,
    };
    let mut records = vec![Record::document(&policy)?, Record::document(&book)?];
    for number in 0..size.departments {
        records.push(Record::document(&DepartmentDoc {
            code: code(number),
            display_name: "市政府办".to_owned(),
            budget_unit: None,
            parent: None,
            at: SEPTEMBER,
        })?);
    }
    records.push(Record::document(&open()?)?);
    for tenancy in 0..size.tenancies {
        records.extend(tenancy_records(size, tenancy)?);
    }
    Ok(records)
}

/// A tenancy's life, request, approval and the beginning of its leases.
fn tenancy_records(size: Size, tenancy: u32) -> Result<Vec<Record>, CloseFailure> {
    let subject = subject(size, tenancy, String::new());
    let lease: Vec<_> = LEASE
        .iter()
        .map(|(item, quantity, _)| json!({"item": item, "quantity": quantity}))
        .collect();
    let snapshot = json!({"lease": lease});
    let Subject {
        department,
        tenancy: name,
        ..
    } = &subject;
    let mut records = vec![
        Record::document(&IncarnationDoc {
            department: department.clone(),
            tenancy: name.clone(),
            incarnation: 1,
            uid: format!("tenancy-{tenancy}"),
            at: SEPTEMBER,
        })?,
        Record::document(&RequestDoc {
            department: department.clone(),
            tenancy: name.clone(),
            incarnation: 1,
            request: 1,
            digest: digest_of(&snapshot)?,
            snapshot,
            requested_by: "zhang".to_owned(),
            at: SEPTEMBER,
            quotation: None,
            funds: None,
        })?,
        Record::document(&DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: format!("{department}/{name}/1/1"),
            role: "office".to_owned(),
            approval_uid: Some(format!("approval-of-tenancy-{tenancy}")),
            decision: Decision::Approved,
            decided_by: "wang".to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: false,
            amount_monthly: None,
            department: Some(department.clone()),
            at: SEPTEMBER,
        })?,
    ];
    for (item, _, quantity) in LEASE {
        let object = format!("Tenancy {department}/{name}");
        records.push(Record::from(Fact {
            source: source(format!("{department}/{name}/1"), "request-1".to_owned()),
            meter: Meter::Lease {
                item: item.to_owned(),
            },
            kind: FactKind::Opened,
            at: SEPTEMBER,
            quantity,
            subject: Subject {
                object,
                ..subject.clone()
            },
            estimated: false,
            bounds: None,
            evidence: "ResourceQuota status.hard".to_owned(),
        }));
    }
    Ok(records)
}

/// The beginning and the end of one pod. Tenancies take turns, and the pods of each begin evenly
/// over the month, the last one an hour or more before its end.
pub(super) fn pod(size: Size, open: &PeriodOpenDoc, number: u32) -> [Record; 2] {
    let tenancies = size.tenancies.max(1);
    let (tenancy, turn) = (number % tenancies, number / tenancies);
    let turns = size.intervals.div_ceil(tenancies).max(1);
    let room = open.period.span.seconds() - HOUR;
    let from = open
        .period
        .span
        .from
        .plus(room * i64::from(turn) / i64::from(turns));
    let name = format!(
        "Pod {}--prod/web-{number}",
        code(tenancy % size.departments.max(1))
    );
    let opened = Fact {
        source: source(
            format!("7d1e5f3a-0000-4000-8000-{number:012}"),
            version(number, 1),
        ),
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind: FactKind::Opened,
        at: from,
        quantity: HALF_A_CORE,
        subject: subject(size, tenancy, name),
        estimated: false,
        bounds: None,
        evidence: "PodScheduled".to_owned(),
    };
    let mut closed = opened.clone();
    closed.source.version = version(number, 2);
    closed.kind = FactKind::Closed;
    closed.at = from.plus(HOUR);
    "terminated".clone_into(&mut closed.evidence);
    [Record::from(opened), Record::from(closed)]
}

/// The resource version of a pod at its beginning (1) or its end (2).
fn version(number: u32, step: u64) -> String {
    (u64::from(number) * 2 + step).to_string()
}

fn code(department: u32) -> String {
    format!("dept-{department:04}")
}

fn source(uid: String, version: String) -> Source {
    Source {
        cluster: CLUSTER.to_owned(),
        etcd: 1,
        uid,
        version,
    }
}

fn subject(size: Size, tenancy: u32, object: String) -> Subject {
    Subject {
        department: code(tenancy % size.departments.max(1)),
        tenancy: format!("system-{tenancy:05}"),
        incarnation: 1,
        system: format!("system-{tenancy:05}"),
        provider: PROVIDER.to_owned(),
        contract: CONTRACT.to_owned(),
        budget: "30227".to_owned(),
        request: 1,
        object,
    }
}
