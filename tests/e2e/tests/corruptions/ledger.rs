//! A good ledger that holds a document of every kind, facts of every kind, a closed month whose facts have left for an
//! archive, 市政府办's September 2026, and what came after it.

use leasehold_controllers::period::reckon::{batch, reckon, records};
use leasehold_ledger::book::{Basis, Book, Category, Item, Per};
use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::fact::{Bounds, Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::money::{Money, Price, Unit};
use leasehold_ledger::policy::{DecreaseEffective, EstimateBound, Policy};
use leasehold_ledger::time::{LocalDate, Period, PeriodKind, Second, Zone};
use leasehold_store::{Batch, Cursor, Keeper, Place, Record, Store};

use crate::documents;

/// 2026-09-01 00:00 in Shanghai.
pub const SEPTEMBER: Second = Second::new(1_788_192_000);
/// 2026-10-01 00:00 in Shanghai.
const OCTOBER: Second = Second::new(1_790_784_000);
/// Pods that come and go within the month.
const PODS: i64 = 60;
/// The first pod of October, by its number.
const NEXT: i64 = 65;

/// Writes the ledger, closes its month, moves the month's facts into an archive with the rights of the ledger's owner, and
/// gives the number of its rows and their head. What is archived leaves holes around the ends that nobody saw, which stay.
pub async fn fill(store: &Store, owner: &Place) -> (u64, String) {
    let open = open();
    let mut before: Vec<Record> = documents::foundation();
    before.extend(leases().map(Record::from));
    store.commit(&Batch::of(before), SEPTEMBER).await.unwrap();
    let pods = (0..PODS).flat_map(pod).map(Record::from).collect();
    store.commit(&Batch::of(pods), SEPTEMBER).await.unwrap();
    let after = Batch::of(documents::lives());
    store.commit(&after, SEPTEMBER).await.unwrap();

    let (through, head) = store.head().await.unwrap();
    let known = records(store, through).await.unwrap();
    let closing = reckon(&open, &known, through, None).unwrap();
    let close = batch(&open, &closing, (through, head), "sun", OCTOBER.plus(60)).unwrap();
    store.commit(&close, OCTOBER.plus(60)).await.unwrap();
    archive(owner).await;

    let later = (NEXT..NEXT + PODS).flat_map(pod).map(Record::from);
    let later = Batch::of(later.collect());
    let places = later
        .with_cursor(place("claims", None))
        .with_cursor(place("heartbeat", Some(OCTOBER.plus(9000))))
        .with_cursor(place("pods", Some(OCTOBER.plus(9000))));
    let last = store.commit(&places, OCTOBER.plus(9060)).await.unwrap();
    (last.head_seq, last.head.to_string())
}

/// The facts of September leave. The file is of no account: the ledger is proven without it.
async fn archive(owner: &Place) {
    let now = OCTOBER.plus(120);
    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(owner.clone()).await.unwrap();
    let due = keeper.store().due_archives(0, now).await.unwrap();
    let [september] = due.as_slice() else {
        panic!("September alone is due: {due:?}");
    };
    let archived = keeper.archive(september, folder.path(), now);
    assert!(archived.await.unwrap().is_some());
    keeper.close().await.unwrap();
}

/// Where a watch continues.
fn place(source: &str, complete_to: Option<Second>) -> Cursor {
    Cursor {
        source: source.to_owned(),
        resource_version: "48211".to_owned(),
        complete_to,
        observed_at: OCTOBER.plus(9060),
    }
}

pub fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub fn policy() -> Policy {
    Policy {
        name: "cloud".to_owned(),
        time_zone: Zone::parse("Asia/Shanghai").unwrap(),
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
    }
}

pub fn open() -> PeriodOpenDoc {
    let policy = policy();
    PeriodOpenDoc {
        period: Period::containing(policy.period, &policy.time_zone, SEPTEMBER).unwrap(),
        policy: policy.digest().unwrap(),
        at: SEPTEMBER,
    }
}

pub fn book() -> Book {
    let item = |name: &str, display_name: &str, unit, price| Item {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        category: Category::Compute,
        resource: None,
        storage_class: None,
        meter: None,
        unit,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse(price).unwrap(),
    };
    Book {
        name: "hs-2026".to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-031".to_owned(),
        from: LocalDate::parse("2026-01-01").unwrap(),
        through: LocalDate::parse("2028-12-31").unwrap(),
        currency: "CNY".to_owned(),
        tax: None,
        items: vec![
            Item {
                resource: Some("cpu".to_owned()),
                ..item("vcpu-x86", "x86 虚拟核", Unit::Core, "46.00")
            },
            Item {
                resource: Some("memory".to_owned()),
                ..item("memory", "内存", Unit::GiB, "17.00")
            },
            Item {
                category: Category::Storage,
                storage_class: Some("ssd".to_owned()),
                ..item("block-ssd", "SSD 块存储", Unit::GiB, "0.70")
            },
        ],
    }
}

/// What the department leases all month, as its request asks for it.
fn leases() -> impl Iterator<Item = Fact> {
    let leased = [
        ("vcpu-x86", 32_000),
        ("memory", 64 << 30),
        ("block-ssd", 2048 << 30),
    ];
    leased.into_iter().map(|(item, quantity)| Fact {
        source: source("gov-office/oa/1".to_owned(), "request-1".to_owned()),
        meter: Meter::Lease {
            item: item.to_owned(),
        },
        kind: FactKind::Opened,
        at: SEPTEMBER,
        quantity,
        subject: subject("Tenancy gov-office/oa".to_owned()),
        estimated: false,
        bounds: None,
        evidence: "ResourceQuota status.hard".to_owned(),
    })
}

/// The beginning and the end of a pod. Of some the end was not seen, and one of those is known better later.
fn pod(number: i64) -> Vec<Fact> {
    let from = SEPTEMBER.plus(40_000 * number);
    let opened = Fact {
        source: source(format!("pod-{number:04}"), format!("{}", 10 * number + 1)),
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind: FactKind::Opened,
        at: from,
        quantity: 500,
        subject: subject(format!("Pod gov-office--prod/web-{number}")),
        estimated: false,
        bounds: None,
        evidence: "status.conditions[PodScheduled]".to_owned(),
    };
    let mut closed = Fact {
        kind: FactKind::Closed,
        at: from.plus(3600),
        evidence: "terminated".to_owned(),
        ..opened.clone()
    };
    closed.source.version = format!("{}", 10 * number + 2);
    if number % 5 != 0 {
        return vec![opened, closed];
    }
    closed.estimated = true;
    closed.bounds = Some(Bounds {
        lower: from.plus(3600),
        upper: from.plus(7200),
    });
    if number != 0 {
        return vec![opened, closed];
    }
    let mut known = Fact {
        kind: FactKind::Superseded,
        at: from.plus(5000),
        estimated: false,
        bounds: None,
        ..closed.clone()
    };
    known.source.version = format!("{}", 10 * number + 3);
    vec![opened, closed, known]
}

fn source(uid: String, version: String) -> Source {
    Source {
        cluster: documents::CLUSTER.to_owned(),
        etcd: 1,
        uid,
        version,
    }
}

fn subject(object: String) -> Subject {
    Subject {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        system: "oa".to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-031".to_owned(),
        budget: "30227".to_owned(),
        request: 1,
        object,
    }
}
