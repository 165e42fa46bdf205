//! The worked example of `docs/explanation/charging.md`: September 2026 of 市政府办.

use crate::book::{Basis, Book, Catalogue, Category, Item, Per};
use crate::close::{CloseInput, Closing, close};
use crate::document::{DepartmentDoc, PeriodOpenDoc};
use crate::fact::{Fact, FactKind, Meter, Source, Stretch, Subject, intervals};
use crate::lot::{Lot, LotState};
use crate::money::{Money, Price, Unit};
use crate::policy::{DecreaseEffective, EstimateBound, Policy};
use crate::rating::{RatedLine, rate_department};
use crate::statement::State;
use crate::time::{LocalDate, Period, PeriodKind, Second, Span, Zone};

/// 2026-09-01 00:00 in Shanghai.
pub(crate) const SEPTEMBER: i64 = 1_788_192_000;
/// 2026-09-11 00:00 in Shanghai.
pub(crate) const ELEVENTH: i64 = 1_789_056_000;
/// 2026-10-01 00:00 in Shanghai.
pub(crate) const OCTOBER: i64 = 1_790_784_000;
/// 2029-09-01 00:00 in Shanghai.
const THREE_YEARS_ON: i64 = 1_882_886_400;

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub(crate) fn zone() -> Zone {
    Zone::parse("Asia/Shanghai").unwrap()
}

pub(crate) fn september() -> Period {
    Period::containing(PeriodKind::Month, &zone(), Second::new(SEPTEMBER)).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        name: "cloud".to_owned(),
        time_zone: zone(),
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

fn item(name: &str, display_name: &str, category: Category, unit: Unit, price: &str) -> Item {
    Item {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        category,
        resource: match unit {
            Unit::Core => Some("cpu".to_owned()),
            Unit::GiB if category == Category::Compute => Some("memory".to_owned()),
            Unit::GiB | Unit::Count => None,
        },
        storage_class: (category == Category::Storage).then(|| "ssd".to_owned()),
        meter: None,
        unit,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse(price).unwrap(),
    }
}

pub(crate) fn book() -> Book {
    Book {
        name: "hs-2026".to_owned(),
        provider: "hs-bigdata".to_owned(),
        contract: "HS-ZFCG-2026-031".to_owned(),
        from: LocalDate::parse("2026-01-01").unwrap(),
        through: LocalDate::parse("2028-12-31").unwrap(),
        currency: "CNY".to_owned(),
        tax: None,
        items: vec![
            item(
                "vcpu-x86",
                "x86 虚拟核",
                Category::Compute,
                Unit::Core,
                "46.00",
            ),
            item("memory", "内存", Category::Compute, Unit::GiB, "17.00"),
            item(
                "block-ssd",
                "SSD 块存储",
                Category::Storage,
                Unit::GiB,
                "0.70",
            ),
        ],
    }
}

pub(crate) fn catalogue(books: Vec<Book>) -> Catalogue {
    Catalogue::new(books, zone()).unwrap()
}

/// An observation of the tenancy `oa` of gov-office; its version is the request's.
pub(crate) fn fact(meter: &str, kind: FactKind, at: i64, quantity: i64, request: u32) -> Fact {
    Fact {
        source: Source {
            cluster: "cluster-1".to_owned(),
            etcd: 1,
            uid: "tenancy-oa".to_owned(),
            version: format!("request-{request}"),
        },
        meter: meter.parse::<Meter>().unwrap(),
        kind,
        at: Second::new(at),
        quantity,
        subject: Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "oa".to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-031".to_owned(),
            budget: "30227".to_owned(),
            request,
            object: "Tenancy gov-office/oa".to_owned(),
        },
        estimated: false,
        bounds: None,
        evidence: "ResourceQuota status.hard".to_owned(),
    }
}

/// 32 cores, 64 GiB and 2048 GiB from 20 August on; 48 cores from 11 September on.
pub(crate) fn facts() -> Vec<Fact> {
    let august = SEPTEMBER - 12 * 86_400;
    vec![
        fact("lease/vcpu-x86", FactKind::Opened, august, 32_000, 1),
        fact("lease/memory", FactKind::Opened, august, 64 << 30, 1),
        fact("lease/block-ssd", FactKind::Opened, august, 2048 << 30, 1),
        fact("lease/vcpu-x86", FactKind::Changed, ELEVENTH, 48_000, 2),
    ]
}

pub(crate) fn lots() -> Vec<LotState> {
    let amount = money("219777.76");
    vec![LotState {
        lot: Lot {
            id: "gov-office/servers-2024".to_owned(),
            department: "gov-office".to_owned(),
            contribution: "servers-2024".to_owned(),
            amount,
            classes: vec![Category::Compute, Category::Storage],
            cap_percent: 50,
            priority: 10,
            sequence: 1,
            span: Span {
                from: Second::new(SEPTEMBER),
                to: Second::new(THREE_YEARS_ON),
            },
            through: "2029-08-31".to_owned(),
        },
        remaining: amount,
    }]
}

pub(crate) fn department(display_name: &str) -> DepartmentDoc {
    DepartmentDoc {
        code: "gov-office".to_owned(),
        display_name: display_name.to_owned(),
        budget_unit: None,
        parent: None,
        at: Second::new(SEPTEMBER),
    }
}

pub(crate) fn open() -> PeriodOpenDoc {
    PeriodOpenDoc {
        period: september(),
        policy: policy().digest().unwrap(),
        at: Second::new(SEPTEMBER),
    }
}

pub(crate) fn input() -> CloseInput {
    CloseInput {
        period: september(),
        policy: policy(),
        policy_digest: policy().digest().unwrap(),
        through: u64::MAX,
        books: vec![book()],
        lots: lots(),
        departments: [("gov-office".to_owned(), "市政府办".to_owned())].into(),
        gaps: Vec::new(),
        as_of: None,
    }
}

pub(crate) fn closing() -> Closing {
    close(&input(), &facts().iter().collect(), State::Final).unwrap()
}

/// The rated lines of the example.
pub(crate) fn rated() -> Vec<RatedLine> {
    let period = september();
    let intervals = intervals(&facts(), period.span.to).unwrap();
    let stretches: Vec<Stretch<'_>> = intervals.iter().map(Stretch::from).collect();
    rate_department(&period, &stretches, &catalogue(vec![book()])).unwrap()
}
