//! Documents of the ledger as columns and rows, for terminals and spreadsheets alike.

use std::collections::BTreeMap;

use leasehold_ledger::canonical::Digest;
use leasehold_ledger::explain::Explanation;
use leasehold_ledger::fact::{Fact, Interval, Meter};
use leasehold_ledger::money::{Unit, format_quantity};
use leasehold_ledger::quote::Quotation;
use leasehold_ledger::statement::{Line, State, Statement};
use leasehold_ledger::time::Zone;
use leasehold_ledger::verify::Report;
use serde::Serialize;

use crate::gaps;

/// On which side a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name for programs, which does not change.
    pub key: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// On which side its cells stand.
    pub align: Align,
}

/// Columns, rows, and what is said below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<String>>,
    /// A row of sums, if any. It is shown, but not written where programs read.
    pub total: Option<Vec<String>>,
    /// Sentences below the rows. They are shown, but not written where programs read.
    pub notes: Vec<String>,
}

const fn text(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        align: Align::Left,
    }
}

const fn number(key: &'static str, title: &'static str) -> Column {
    Column {
        key,
        title,
        align: Align::Right,
    }
}

impl Sheet {
    fn new(columns: Vec<Column>, rows: Vec<Vec<String>>) -> Self {
        Self {
            columns,
            rows,
            total: None,
            notes: Vec::new(),
        }
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Draft => "Draft",
        State::Final => "Final",
    }
}

const fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Statements, one per row, in the order given.
pub fn statements(statements: &[Statement]) -> Sheet {
    let columns = vec![
        text("number", "账单编号"),
        text("state", "状态"),
        text("period", "账期"),
        text("department", "部门"),
        text("departmentName", "部门名称"),
        text("payee", "收款方"),
        text("currency", "币种"),
        number("gross", "应收"),
        number("offset", "抵扣"),
        number("adjustments", "调整"),
        number("net", "应付"),
        text("asOf", "截至"),
        text("digest", "摘要"),
    ];
    let rows = statements.iter().map(|s| {
        vec![
            s.number.clone(),
            state(s.state).to_owned(),
            s.period.name.clone(),
            s.department.name.clone(),
            s.department.display_name.clone(),
            s.payee.clone(),
            s.currency.clone(),
            s.totals.gross.to_string(),
            s.totals.offset.to_string(),
            s.totals.adjustments.to_string(),
            s.totals.net.to_string(),
            s.as_of.clone().unwrap_or_default(),
            s.digest.as_ref().map(Digest::to_string).unwrap_or_default(),
        ]
    });
    Sheet::new(columns, rows.collect())
}

/// The lines of one statement, with its sums and credits: what a person looks at.
pub fn lines(statement: &Statement) -> Sheet {
    let columns = vec![
        text("line", "明细"),
        text("itemName", "服务"),
        number("quantity", "数量"),
        text("unit", "单位"),
        number("unitPrice", "单价"),
        number("gross", "应收"),
        number("offset", "抵扣"),
        number("net", "应付"),
        text("estimated", "估计"),
    ];
    let rows = statement.lines.iter().map(|line| {
        vec![
            line.id.clone(),
            line.display_name.clone(),
            line.quantity.clone(),
            line.unit.clone(),
            line.unit_price.to_string(),
            line.gross.to_string(),
            line.offset.to_string(),
            line.net.to_string(),
            yes_no(line.estimated).to_owned(),
        ]
    });
    let totals = &statement.totals;
    let mut total = vec!["合计 total".to_owned()];
    total.resize(5, String::new());
    total.extend([
        totals.gross.to_string(),
        totals.offset.to_string(),
        totals.net.to_string(),
        String::new(),
    ]);
    let mut notes: Vec<String> = statement
        .credits
        .iter()
        .map(|c| {
            format!(
                "credit {}: {} applied, {} left through {} ({})",
                c.lot, c.applied, c.closing, c.through, c.why
            )
        })
        .collect();
    if !totals.adjustments.is_zero() {
        notes.push(format!("adjustments: {}", totals.adjustments));
    }
    notes.extend(gaps::sentences(statement));
    if statement.more_lines > 0 {
        notes.push(format!(
            "{} more lines are in the ledger",
            statement.more_lines
        ));
    }
    Sheet {
        total: Some(total),
        notes,
        ..Sheet::new(columns, rows.collect())
    }
}

/// The lines of many statements with everything that finance books by: what a spreadsheet gets.
pub fn charges(statements: &[Statement]) -> Sheet {
    let columns = vec![
        text("number", "账单编号"),
        text("state", "状态"),
        text("period", "账期"),
        text("department", "部门"),
        text("departmentName", "部门名称"),
        text("line", "明细"),
        text("system", "信息系统"),
        text("tenancy", "租约"),
        text("contract", "合同编号"),
        text("provider", "云服务方"),
        text("budget", "预算科目"),
        text("category", "类别"),
        text("item", "目录项"),
        text("itemName", "服务"),
        text("basis", "计费方式"),
        number("quantity", "数量"),
        text("unit", "单位"),
        number("unitPrice", "单价"),
        number("grossExact", "精确金额"),
        number("gross", "应收"),
        number("offset", "抵扣"),
        number("net", "应付"),
        text("estimated", "估计"),
        text("rates", "价格版本"),
        text("gaps", "计量中断"),
    ];
    let rows = statements.iter().flat_map(|s| {
        let gaps = gaps::cell(s);
        s.lines.iter().map(move |line| charge(s, line, &gaps))
    });
    Sheet::new(columns, rows.collect())
}

fn charge(s: &Statement, line: &Line, gaps: &str) -> Vec<String> {
    let rates: Vec<&str> = line.rates.iter().map(Digest::as_str).collect();
    vec![
        s.number.clone(),
        state(s.state).to_owned(),
        s.period.name.clone(),
        s.department.name.clone(),
        s.department.display_name.clone(),
        line.id.clone(),
        line.system.clone(),
        line.tenancy.clone(),
        line.contract.clone(),
        line.provider.clone(),
        line.budget.clone(),
        line.category.as_str().to_owned(),
        line.item.clone(),
        line.display_name.clone(),
        line.basis.as_str().to_owned(),
        line.quantity.clone(),
        line.unit.clone(),
        line.unit_price.to_string(),
        line.gross_exact.clone(),
        line.gross.to_string(),
        line.offset.to_string(),
        line.net.to_string(),
        yes_no(line.estimated).to_owned(),
        rates.join(" "),
        gaps.to_owned(),
    ]
}

/// What was leased and used, billed or not, in the order given.
///
/// `item_units` are the units of catalogue items, and of declared meters as `meter/NAME`; the quantity
/// of what is not listed is shown in pieces, that of storage in bytes.
pub fn usage(intervals: &[Interval], zone: &Zone, item_units: &BTreeMap<String, Unit>) -> Sheet {
    let columns = vec![
        text("department", "部门"),
        text("tenancy", "租约"),
        number("incarnation", "代次"),
        text("system", "信息系统"),
        text("meter", "计量项"),
        text("object", "对象"),
        number("quantity", "数量"),
        text("from", "起"),
        text("to", "止"),
        text("open", "进行中"),
        text("estimated", "估计"),
    ];
    let rows = intervals.iter().map(|interval| {
        let subject = &interval.subject;
        vec![
            subject.department.clone(),
            subject.tenancy.clone(),
            subject.incarnation.to_string(),
            subject.system.clone(),
            interval.meter.to_string(),
            subject.object.clone(),
            format_quantity(interval.quantity, unit(&interval.meter, item_units)),
            interval.span.from.in_zone(zone),
            interval.span.to.in_zone(zone),
            yes_no(interval.open).to_owned(),
            yes_no(interval.estimated).to_owned(),
        ]
    });
    Sheet::new(columns, rows.collect())
}

/// A stretch of use with the facts with which it begins and ends.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Traced<'a> {
    /// The stretch.
    #[serde(flatten)]
    pub interval: &'a Interval,
    /// The fact that it begins with.
    pub opened: Option<&'a Fact>,
    /// The fact that it ends with; none while it goes on.
    pub closed: Option<&'a Fact>,
}

/// Use with its evidence: what [`usage`] shows, and of both ends what told them, in which version of the object, and
/// between which instants an estimate lies.
pub fn traced(rows: &[Traced<'_>], zone: &Zone, item_units: &BTreeMap<String, Unit>) -> Sheet {
    let intervals: Vec<Interval> = rows.iter().map(|row| row.interval.clone()).collect();
    let mut sheet = usage(&intervals, zone, item_units);
    sheet.columns.extend([
        text("openedBy", "起之依据"),
        text("openedFact", "起之记录"),
        text("openedBounds", "起之界限"),
        text("closedBy", "止之依据"),
        text("closedFact", "止之记录"),
        text("closedBounds", "止之界限"),
    ]);
    for (cells, row) in sheet.rows.iter_mut().zip(rows) {
        for fact in [row.opened, row.closed] {
            cells.push(fact.map(|fact| fact.evidence.clone()).unwrap_or_default());
            cells.push(fact.map(Fact::key).unwrap_or_default());
            let bounds = fact.and_then(|fact| fact.bounds);
            cells.push(bounds.map_or_else(String::new, |bounds| {
                let (lower, upper) = (bounds.lower.in_zone(zone), bounds.upper.in_zone(zone));
                format!("{lower} to {upper}")
            }));
        }
    }
    sheet
}

/// The unit that a meter counts in the base units of.
pub(crate) fn unit(meter: &Meter, item_units: &BTreeMap<String, Unit>) -> Unit {
    match meter {
        Meter::Lease { item } => item_units.get(item).copied().unwrap_or(Unit::Count),
        Meter::Pod { resource } => match resource.as_str() {
            "cpu" => Unit::Core,
            "memory" | "ephemeral-storage" => Unit::GiB,
            huge if huge.starts_with("hugepages-") => Unit::GiB,
            _ => Unit::Count,
        },
        Meter::Claim { .. } => Unit::GiB,
        Meter::Declared { .. } => item_units
            .get(&meter.to_string())
            .copied()
            .unwrap_or(Unit::Count),
    }
}

/// How one line came to its amount: its segments, and the steps in sentences.
pub fn explanation(explanation: &Explanation) -> Sheet {
    let columns = vec![
        text("from", "起"),
        text("to", "止"),
        number("request", "申请"),
        number("quantity", "数量"),
        number("seconds", "秒"),
        number("ofSeconds", "计价秒数"),
        number("share", "计费量"),
        text("estimated", "估计"),
    ];
    let rows = explanation.segments.iter().map(|segment| {
        vec![
            segment.from.clone(),
            segment.to.clone(),
            segment.request.to_string(),
            segment.quantity.clone(),
            segment.seconds.to_string(),
            segment
                .of_seconds
                .map(|seconds| seconds.to_string())
                .unwrap_or_default(),
            segment.share.clone(),
            yes_no(segment.estimated).to_owned(),
        ]
    });
    let mut notes = explanation.steps.clone();
    if explanation.more_segments > 0 {
        notes.push(format!(
            "{} more segments are in the ledger",
            explanation.more_segments
        ));
    }
    Sheet {
        notes,
        ..Sheet::new(columns, rows.collect())
    }
}

/// What verifying a ledger gave: the closed periods, and what differs first.
pub fn report(report: &Report) -> Sheet {
    let columns = vec![
        text("period", "账期"),
        number("statements", "账单数"),
        number("gross", "应收"),
        text("ok", "一致"),
    ];
    let rows = report.periods.iter().map(|period| {
        vec![
            period.name.clone(),
            period.statements.to_string(),
            period.gross.to_string(),
            match (period.ok, period.sealed) {
                (true, true) => "sealed".to_owned(),
                (ok, _) => yes_no(ok).to_owned(),
            },
        ]
    });
    let mut notes = vec![format!(
        "{} rows are good; head {}",
        report.rows, report.head
    )];
    if report.archived > 0 {
        notes.push(format!(
            "{} rows lie in archives that were not given, and what is sealed was not computed again from them; repeat with \
             --archive FOLDER",
            report.archived
        ));
    }
    match &report.finding {
        None => notes.push("the ledger is verified".to_owned()),
        Some(finding) => notes.push(format!(
            "row {} differs: {}: expected {}, found {}",
            finding.seq, finding.what, finding.expected, finding.found
        )),
    }
    Sheet {
        notes,
        ..Sheet::new(columns, rows.collect())
    }
}

/// What a request would cost.
pub fn quotation(quotation: &Quotation) -> Sheet {
    let columns = vec![
        text("item", "目录项"),
        text("itemName", "服务"),
        number("quantity", "数量"),
        text("unit", "单位"),
        number("unitPrice", "单价"),
        number("monthly", "每月"),
    ];
    let rows = quotation.lines.iter().map(|line| {
        vec![
            line.item.clone(),
            line.display_name.clone(),
            line.quantity.clone(),
            line.unit.clone(),
            line.unit_price.to_string(),
            line.monthly.to_string(),
        ]
    });
    let mut total = vec!["合计 total".to_owned()];
    total.resize(5, String::new());
    total.push(quotation.monthly.to_string());
    let currency = &quotation.currency;
    let mut notes = vec![format!("term: {} {currency}", quotation.term)];
    if !quotation.credit_monthly.is_zero() {
        notes.push(format!(
            "credits would pay monthly: {} {currency}",
            quotation.credit_monthly
        ));
    }
    if let Some(day) = quotation.prices_through {
        notes.push(format!(
            "prices are published through {day}; later ones may differ"
        ));
    }
    notes.push(format!("price books: {}", quotation.books.join(", ")));
    Sheet {
        total: Some(total),
        notes,
        ..Sheet::new(columns, rows.collect())
    }
}

#[cfg(test)]
mod tests;
