//! `leasehold usage`.

use std::{collections::BTreeMap, io::Write, path::Path};

use anyhow::{Context, Result};
use leasehold_api::{names, tenancy::Tenancy};
use leasehold_export::sheet::{self, Sheet};
use leasehold_ledger::{
    document::{BookDoc, PolicyDoc},
    fact::{Interval, intervals},
    money::Unit,
    time::{LocalDate, Second, Span, Zone},
};
use leasehold_store::{FactFilter, Store};
use serde::Serialize;

use crate::{Outcome, cli::UsageArgs, ledger, output, session::Session};

/// Shows what was leased and used.
pub fn run(arguments: &UsageArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    match &arguments.ledger.db {
        Some(db) => of_ledger(arguments, session, db, out)?,
        None => of_cluster(arguments, session, out)?,
    }
    Ok(Outcome::Done)
}

/// Use of one item as the cluster shows it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Now {
    department: String,
    tenancy: String,
    item: String,
    leased: String,
    requested: String,
    as_of: String,
}

fn of_cluster(arguments: &UsageArgs, session: &Session, out: &mut dyn Write) -> Result<()> {
    let kit = session.kit()?;
    let office = arguments.department.as_deref().map(names::office_namespace);
    let namespace = session.common.namespace.clone().or(office);
    let tenancies: Vec<Tenancy> = session.wait(kit.list(namespace.as_deref(), None))?;
    let wanted = arguments.tenancy.as_deref();
    let mut rows: Vec<Now> = tenancies
        .iter()
        .filter(|tenancy| wanted.is_none() || tenancy.metadata.name.as_deref() == wanted)
        .flat_map(items)
        .collect();
    rows.sort_by(|a, b| {
        (&a.department, &a.tenancy, &a.item).cmp(&(&b.department, &b.tenancy, &b.item))
    });
    output::show(&rows, &now_sheet(&rows), session.common.output, out)
}

fn items(tenancy: &Tenancy) -> Vec<Now> {
    let namespace = tenancy.metadata.namespace.as_deref().unwrap_or_default();
    let department = names::department_of_office(namespace).unwrap_or(namespace);
    let name = tenancy.metadata.name.as_deref().unwrap_or_default();
    let usage = tenancy.status.iter().flat_map(|status| &status.usage);
    usage
        .map(|item| Now {
            department: department.to_owned(),
            tenancy: name.to_owned(),
            item: item.item.clone(),
            leased: item.leased.clone(),
            requested: item.requested.clone(),
            as_of: item.as_of.clone(),
        })
        .collect()
}

fn now_sheet(rows: &[Now]) -> Sheet {
    let cells = |row: &Now| {
        vec![
            row.department.clone(),
            row.tenancy.clone(),
            row.item.clone(),
            row.leased.clone(),
            row.requested.clone(),
            row.as_of.clone(),
        ]
    };
    Sheet {
        columns: vec![
            output::text("department", "部门"),
            output::text("tenancy", "租约"),
            output::text("item", "目录项"),
            output::number("leased", "已租"),
            output::number("requested", "已用"),
            output::text("asOf", "截至"),
        ],
        rows: rows.iter().map(cells).collect(),
        total: None,
        notes: Vec::new(),
    }
}

fn of_ledger(
    arguments: &UsageArgs,
    session: &Session,
    db: &Path,
    out: &mut dyn Write,
) -> Result<()> {
    let store = ledger::open(session, db)?;
    let now = session.now();
    let (zone, units) = session.wait(context(&store))?;
    let filter = FactFilter {
        department: arguments.department.clone(),
        tenancy: arguments.tenancy.clone(),
        ..FactFilter::default()
    };
    let facts = session.wait(store.facts(&filter))?;
    let facts: Vec<_> = facts.into_iter().map(|recorded| recorded.value).collect();
    let window = window(arguments.from, arguments.to, &zone, now);
    let mut found = within(intervals(&facts, now)?, window);
    found.sort_by_cached_key(|interval| {
        let subject = &interval.subject;
        let place = (
            subject.department.clone(),
            subject.tenancy.clone(),
            interval.meter.clone(),
        );
        (place, interval.span.from)
    });
    output::show(
        &found,
        &sheet::usage(&found, &zone, &units),
        session.common.output,
        out,
    )
}

/// The office's time zone, and the units in which catalogue items are counted.
async fn context(store: &Store) -> Result<(Zone, BTreeMap<String, Unit>)> {
    let policies = store.documents::<PolicyDoc>(None, None).await?;
    let policy = policies.into_iter().next_back().context(
        "failed to find a cloud policy in the ledger; it is recorded when the operator first runs",
    )?;
    let mut units = BTreeMap::new();
    for recorded in store.documents::<BookDoc>(None, None).await? {
        for item in recorded.value.book.items {
            units.insert(item.name, item.unit);
        }
    }
    Ok((policy.value.policy.time_zone, units))
}

/// The days that were named, both included, and never later than now.
fn window(from: Option<LocalDate>, to: Option<LocalDate>, zone: &Zone, now: Second) -> Span {
    let days = zone.span_of_days(from.unwrap_or(LocalDate::MIN), to.unwrap_or(LocalDate::MAX));
    Span {
        from: days.from,
        to: days.to.min(now),
    }
}

/// The parts of the intervals that lie in the window.
fn within(intervals: Vec<Interval>, window: Span) -> Vec<Interval> {
    let cut = |interval: Interval| {
        let span = interval.span.intersect(&window)?;
        // what was cut off at the end of the window is known to end later, so it is not open there
        let open = interval.open && span.to == interval.span.to;
        Some(Interval {
            span,
            open,
            ..interval
        })
    };
    intervals.into_iter().filter_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::fact::{Meter, Subject};

    use super::*;

    fn at(text: &str) -> Second {
        Second::parse(text).unwrap()
    }

    fn interval(from: &str, to: &str, open: bool) -> Interval {
        Interval {
            span: Span {
                from: at(from),
                to: at(to),
            },
            open,
            quantity: 32_000,
            meter: Meter::Lease {
                item: "vcpu-x86".to_owned(),
            },
            subject: Subject {
                department: "gov-office".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "C".to_owned(),
                budget: "B".to_owned(),
                request: 1,
                object: "Tenancy dept-gov-office/oa".to_owned(),
            },
            estimated: false,
            opened_by: "a".to_owned(),
            closed_by: None,
        }
    }

    #[test]
    fn days_are_whole_local_days_and_the_future_is_left_out() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let day = |text| Some(LocalDate::parse(text).unwrap());
        let now = at("2026-09-20T00:00:00Z");
        let past = window(day("2026-09-01"), day("2026-09-10"), &zone, now);
        assert_eq!(past.from, at("2026-08-31T16:00:00Z"));
        assert_eq!(past.to, at("2026-09-10T16:00:00Z"));
        assert_eq!(window(None, day("2026-09-30"), &zone, now).to, now);
    }

    #[test]
    fn intervals_are_cut_to_the_window_and_open_only_where_they_are() {
        let window = Span {
            from: at("2026-09-02T00:00:00Z"),
            to: at("2026-09-05T00:00:00Z"),
        };
        let cut = within(
            vec![
                interval("2026-09-01T00:00:00Z", "2026-09-03T00:00:00Z", false),
                interval("2026-09-04T00:00:00Z", "2026-09-06T00:00:00Z", true),
                interval("2026-09-06T00:00:00Z", "2026-09-07T00:00:00Z", true),
            ],
            window,
        );
        let spans: Vec<(Second, Second, bool)> = cut
            .iter()
            .map(|i| (i.span.from, i.span.to, i.open))
            .collect();
        assert_eq!(
            spans,
            [
                (
                    at("2026-09-02T00:00:00Z"),
                    at("2026-09-03T00:00:00Z"),
                    false
                ),
                (
                    at("2026-09-04T00:00:00Z"),
                    at("2026-09-05T00:00:00Z"),
                    false
                ),
            ]
        );
    }
}
