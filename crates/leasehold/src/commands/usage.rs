//! `leasehold usage`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use anyhow::{Context, Result, bail};
use leasehold_api::{names, tenancy::Tenancy};
use leasehold_export::{
    chart,
    sheet::{self, Sheet, Traced},
};
use leasehold_ledger::{
    document::{BookDoc, DepartmentDoc, PolicyDoc},
    fact::{Fact, Interval, Meter, intervals},
    money::Unit,
    time::{LocalDate, Second, Span, Zone},
};
use leasehold_store::{FactFilter, Recorded, Store};
use serde::Serialize;

use crate::{
    Outcome,
    cli::{At, Format, UsageArgs},
    ledger::{self, archives},
    output,
    session::Session,
    source,
};

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
    let (common, department) = (&session.common, arguments.department.as_deref());
    let place = source::place(common.namespace.as_deref(), department)?;
    let kit = session.kit()?;
    let found: Vec<Tenancy> = source::objects(session, &kit, place.as_deref(), "tenancies")?;
    let meant = meant(&found, arguments.tenancy.as_deref(), place.as_deref())?;
    let mut rows: Vec<Now> = meant.into_iter().flat_map(items).collect();
    rows.sort_by(|a, b| {
        (&a.department, &a.tenancy, &a.item).cmp(&(&b.department, &b.tenancy, &b.item))
    });
    output::show(&rows, &now_sheet(&rows), common.output, out)
}

/// The tenancies that are meant. None at all is an error that says what to do.
fn meant<'a>(
    found: &'a [Tenancy],
    name: Option<&str>,
    place: Option<&str>,
) -> Result<Vec<&'a Tenancy>> {
    let meant: Vec<&Tenancy> = found
        .iter()
        .filter(|tenancy| name.is_none() || tenancy.metadata.name.as_deref() == name)
        .collect();
    if meant.is_empty() {
        let what = name.map_or_else(|| "a tenancy".to_owned(), |name| format!("tenancy {name}"));
        match place {
            Some(place) => bail!(
                "failed to find {what} in namespace {place}; `kubectl get tenancies -n {place}` lists what there is, -n \
                 names another department's namespace dept-CODE"
            ),
            None => bail!(
                "failed to find {what}; `kubectl get tenancies -A` lists what there is, departments name their \
                 namespace with -n dept-CODE"
            ),
        }
    }
    Ok(meant)
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

fn of_ledger(arguments: &UsageArgs, session: &Session, db: &At, out: &mut dyn Write) -> Result<()> {
    let store = ledger::open(session, db)?;
    let now = session.now();
    let (zone, units) = session.wait(context(&store))?;
    let filter = FactFilter {
        department: arguments.department.clone(),
        tenancy: arguments.tenancy.clone(),
        ..FactFilter::default()
    };
    let window = window(arguments.from, arguments.to, &zone, now);
    let folder = arguments.archives.archive.as_deref();
    if folder.is_none()
        && let Some(words) = archives::missing(session, &store, window.from, &zone)?
    {
        output::remark(&words);
    }
    let facts = known(session, &store, folder, &filter)?;
    if facts.is_empty() {
        let known = session.wait(store.documents::<DepartmentDoc>(None, None))?;
        let codes: BTreeSet<&str> = known
            .iter()
            .map(|recorded| recorded.value.code.as_str())
            .collect();
        refuse_unknown(&filter, &codes)?;
    }
    let facts: Vec<_> = facts.into_iter().map(|recorded| recorded.value).collect();
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
    let format = session.common.output;
    if format == Format::Chart {
        return Ok(chart::write(&found, window, &zone, &units, out)?);
    }
    if arguments.evidence {
        let rows = traced(&found, &facts);
        return output::show(&rows, &sheet::traced(&rows, &zone, &units), format, out);
    }
    output::show(&found, &sheet::usage(&found, &zone, &units), format, out)
}

/// The facts of the ledger and of the archives that are at hand, in the order in which the ledger learned them.
fn known(
    session: &Session,
    store: &Store,
    folder: Option<&Path>,
    filter: &FactFilter,
) -> Result<Vec<Recorded<Fact>>> {
    let mut facts = session.wait(store.facts(filter))?;
    for archive in archives::checked(session, store, folder)? {
        facts.extend(session.wait(Box::pin(archive.file.facts(filter)))?);
    }
    facts.sort_by_key(|recorded| recorded.seq);
    Ok(facts)
}

/// The stretches with the facts with which they begin and end.
fn traced<'a>(found: &'a [Interval], facts: &'a [Fact]) -> Vec<Traced<'a>> {
    let by_key: BTreeMap<String, &Fact> = facts.iter().map(|fact| (fact.key(), fact)).collect();
    let trace = |interval: &'a Interval| Traced {
        interval,
        opened: by_key.get(&interval.opened_by).copied(),
        closed: interval
            .closed_by
            .as_ref()
            .and_then(|key| by_key.get(key))
            .copied(),
    };
    found.iter().map(trace).collect()
}

/// Refuses what the ledger has never heard of. A department may be known and have leased nothing yet.
fn refuse_unknown(filter: &FactFilter, departments: &BTreeSet<&str>) -> Result<()> {
    if let Some(code) = &filter.department
        && !departments.contains(code.as_str())
    {
        let known: Vec<&str> = departments.iter().copied().collect();
        bail!(
            "failed to find department {code} in the ledger; the departments there are: {}",
            known.join(", ")
        );
    }
    match &filter.tenancy {
        None => Ok(()),
        Some(name) => bail!(
            "failed to find use of tenancy {name} in the ledger; leave out --tenancy to see what there is"
        ),
    }
}

/// The office's time zone, and the units in which catalogue items and declared meters are counted.
async fn context(store: &Store) -> Result<(Zone, BTreeMap<String, Unit>)> {
    let policies = store.documents::<PolicyDoc>(None, None).await?;
    let policy = policies.into_iter().next_back().context(
        "failed to find a cloud policy in the ledger; it is recorded when the operator first runs",
    )?;
    let mut units = BTreeMap::new();
    for recorded in store.documents::<BookDoc>(None, None).await? {
        for item in recorded.value.book.items {
            if let Some(name) = item.meter {
                units.insert(Meter::Declared { name }.to_string(), item.unit);
            }
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
    use leasehold_ledger::fact::{FactKind, Source, Subject};

    use super::*;
    use crate::commands::fixture::oa;

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

    fn tenancy(name: &str) -> Tenancy {
        let mut tenancy = oa();
        tenancy.metadata.name = Some(name.to_owned());
        tenancy
    }

    #[test]
    fn a_tenancy_that_is_not_there_is_an_error_and_one_without_use_is_none() {
        let all = [tenancy("oa"), tenancy("mail")];
        let place = Some("dept-gov-office");
        let names = |name| -> Vec<&str> {
            let meant = meant(&all, name, place).unwrap().into_iter();
            meant
                .map(|tenancy| tenancy.metadata.name.as_deref().unwrap())
                .collect()
        };
        assert_eq!(names(None), ["oa", "mail"]);
        assert_eq!(names(Some("mail")), ["mail"]);
        let unknown = meant(&all, Some("post"), place).unwrap_err().to_string();
        assert!(
            unknown.contains("tenancy post in namespace dept-gov-office"),
            "{unknown}"
        );
        let empty = meant(&[], None, None).unwrap_err().to_string();
        assert!(
            empty.contains("kubectl get tenancies -A") && empty.contains("-n dept-CODE"),
            "{empty}"
        );
    }

    #[test]
    fn the_ledger_refuses_names_that_it_does_not_know() {
        let filter = |department: Option<&str>, tenancy: Option<&str>| FactFilter {
            department: department.map(str::to_owned),
            tenancy: tenancy.map(str::to_owned),
            ..FactFilter::default()
        };
        let known = BTreeSet::from(["gov-office", "police"]);
        assert!(refuse_unknown(&filter(None, None), &known).is_ok());
        assert!(refuse_unknown(&filter(Some("police"), None), &known).is_ok());
        let told = |asked: FactFilter| refuse_unknown(&asked, &known).unwrap_err().to_string();
        let department = told(filter(Some("polite"), Some("oa")));
        assert!(
            department.contains("department polite") && department.contains("gov-office, police"),
            "{department}"
        );
        let tenancy = told(filter(Some("police"), Some("post")));
        assert!(
            tenancy.contains("tenancy post") && tenancy.contains("--tenancy"),
            "{tenancy}"
        );
    }

    #[test]
    fn both_ends_of_a_stretch_are_traced_to_their_facts() {
        let mut stretch = interval("2026-09-01T00:00:00Z", "2026-09-03T00:00:00Z", false);
        let fact = |kind, at: &str| Fact {
            source: Source {
                cluster: "c".to_owned(),
                etcd: 1,
                uid: "u".to_owned(),
                version: "7".to_owned(),
            },
            meter: stretch.meter.clone(),
            kind,
            at: Second::parse(at).unwrap(),
            quantity: 32_000,
            subject: stretch.subject.clone(),
            estimated: false,
            bounds: None,
            evidence: "status.hard".to_owned(),
        };
        let facts = [
            fact(FactKind::Opened, "2026-09-01T00:00:00Z"),
            fact(FactKind::Closed, "2026-09-03T00:00:00Z"),
        ];
        stretch.opened_by = facts[0].key();
        stretch.closed_by = Some(facts[1].key());
        let found = [stretch];
        let rows = traced(&found, &facts);
        assert_eq!(rows[0].opened, Some(&facts[0]));
        assert_eq!(rows[0].closed, Some(&facts[1]));
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let sheet = sheet::traced(&rows, &zone, &BTreeMap::new());
        assert_eq!(sheet.rows[0].len(), sheet.columns.len());
        assert!(sheet.rows[0].contains(&facts[1].key()), "{sheet:?}");
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
