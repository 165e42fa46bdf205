//! The worked example of the charging page: 32, then 48 cores, 64 GiB of memory and 2 TiB of disk
//! in September 2026, half of it paid by a lot from handed-over servers.

use leasehold_ledger::book::{Basis, Category};
use leasehold_ledger::canonical::{Digest, digest_bytes};
use leasehold_ledger::document::GapTreatment;
use leasehold_ledger::money::{Money, Price};
use leasehold_ledger::statement::{
    Chain, Credit, GapWord, Line, LineSegment, State, Statement, StatementDepartment, StatementGap,
    StatementPeriod, Totals,
};
use leasehold_ledger::time::{Second, Zone};

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub(crate) fn second(text: &str) -> Second {
    Second::parse(text).unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    digest_bytes(text.as_bytes())
}

/// The statement with the digest of what it says.
pub(crate) fn sealed(mut statement: Statement) -> Statement {
    statement.digest = Some(statement.digest().unwrap());
    statement
}

fn segment(from: &str, to: &str, quantity: &str, request: u32) -> LineSegment {
    LineSegment {
        from: format!("2026-{from}T00:00:00+08:00"),
        to: format!("2026-{to}T00:00:00+08:00"),
        quantity: quantity.to_owned(),
        request,
        estimated: false,
    }
}

/// A line of tenancy `oa` whose exact charge is its rounded one and that no credit paid for.
pub(crate) fn line(item: &str, unit: &str, price: &str, quantity: &str, gross: &str) -> Line {
    Line {
        id: format!("oa/{item}/1"),
        tenancy: "oa".to_owned(),
        system: "oa".to_owned(),
        contract: "HS-ZFCG-2026-031".to_owned(),
        budget: "30227".to_owned(),
        provider: "hs-bigdata".to_owned(),
        item: item.to_owned(),
        display_name: item.to_owned(),
        category: Category::Compute,
        basis: Basis::Reserved,
        unit: unit.to_owned(),
        unit_price: Price::parse(price).unwrap(),
        rates: vec![digest(item)],
        quantity: quantity.to_owned(),
        estimated: false,
        gross_exact: gross.to_owned(),
        gross: money(gross),
        offset: Money::ZERO,
        net: money(gross),
        segments: vec![segment("09-01", "10-01", "1", 1)],
        more_segments: 0,
    }
}

fn ssd() -> Line {
    Line {
        display_name: "SSD 云硬盘".to_owned(),
        category: Category::Storage,
        offset: money("279.46"),
        net: money("1154.14"),
        segments: vec![segment("09-01", "10-01", "2Ti", 1)],
        ..line("block-ssd", "GiB·Month", "0.70", "2048.0", "1433.60")
    }
}

fn memory() -> Line {
    Line {
        display_name: "内存".to_owned(),
        segments: vec![segment("09-01", "10-01", "64Gi", 1)],
        ..line("memory", "GiB·Month", "17.00", "64.0", "1088.00")
    }
}

fn cores() -> Line {
    Line {
        display_name: "x86 虚拟处理器".to_owned(),
        gross_exact: "1962.666666666666667".to_owned(),
        offset: money("1962.67"),
        net: Money::ZERO,
        segments: vec![
            segment("09-01", "09-11", "32", 1),
            segment("09-11", "10-01", "48", 2),
        ],
        ..line(
            "vcpu-x86",
            "Core·Month",
            "46.00",
            "42.666666666667",
            "1962.67",
        )
    }
}

/// A statement of September 2026 without charges.
pub(crate) fn empty(department: &str, display_name: &str) -> Statement {
    sealed(Statement {
        number: format!("HS-2026-09-{department}"),
        state: State::Final,
        period: StatementPeriod {
            name: "2026-09".to_owned(),
            from: "2026-09-01".to_owned(),
            through: "2026-09-30".to_owned(),
            time_zone: Zone::parse("Asia/Shanghai").unwrap(),
            rehearsal: false,
            start: second("2026-08-31T16:00:00Z"),
            end: second("2026-09-30T16:00:00Z"),
        },
        department: StatementDepartment {
            name: department.to_owned(),
            display_name: display_name.to_owned(),
        },
        payee: String::new(),
        currency: "CNY".to_owned(),
        lines: Vec::new(),
        more_lines: 0,
        credits: Vec::new(),
        gaps: Vec::new(),
        more_gaps: 0,
        totals: Totals::default(),
        as_of: None,
        policy: digest("policy"),
        chain: Some(Chain {
            head: digest("head"),
            entry: 118,
        }),
        digest: None,
    })
}

/// A statement of September 2026 with these lines, of which no credit pays anything.
pub(crate) fn charged(department: &str, lines: Vec<Line>) -> Statement {
    let gross = Money::sum(lines.iter().map(|line| line.gross)).unwrap();
    let offset = Money::sum(lines.iter().map(|line| line.offset)).unwrap();
    let net = Money::sum(lines.iter().map(|line| line.net)).unwrap();
    sealed(Statement {
        payee: "hs-bigdata".to_owned(),
        lines,
        totals: Totals {
            gross,
            offset,
            adjustments: Money::ZERO,
            net,
        },
        ..empty(department, "市公安局")
    })
}

/// The statement of the worked example.
pub(crate) fn gov_office() -> Statement {
    let charged = charged("gov-office", vec![ssd(), memory(), cores()]);
    sealed(Statement {
        department: StatementDepartment {
            name: "gov-office".to_owned(),
            display_name: "市政府办".to_owned(),
        },
        credits: vec![Credit {
            lot: "gov-office/servers-2024".to_owned(),
            order: 1,
            opening: money("219777.76"),
            applied: money("2242.13"),
            closing: money("217535.63"),
            through: "2029-08-31".to_owned(),
            why: "cap 50 % of 4484.27, rounded down".to_owned(),
        }],
        ..charged
    })
}

/// The same with two gaps, the first of which finance has accepted by an Approval.
pub(crate) fn gapped() -> Statement {
    let gap = |source: &str, day: u8, accepted| StatementGap {
        source: source.to_owned(),
        from: format!("2026-09-{day}T03:00:00+08:00"),
        to: format!("2026-09-{day}T03:20:00+08:00"),
        reason: "the changes were gone".to_owned(),
        accepted,
    };
    let word = GapWord {
        treatment: GapTreatment::Accepted,
        by: "sun@finance".to_owned(),
        order_no: "51号".to_owned(),
        approval: "approval-51".to_owned(),
    };
    sealed(Statement {
        gaps: vec![gap("pods", 20, Some(word)), gap("claims", 21, None)],
        ..gov_office()
    })
}
