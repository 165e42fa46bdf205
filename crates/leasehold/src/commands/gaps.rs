//! `leasehold gaps`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use anyhow::Result;
use leasehold_api::charging::{BillingPeriod, PeriodGap, PeriodPhase};
use leasehold_controllers::period::gaps::{self, Accepted};
use leasehold_export::sheet::Sheet;
use leasehold_ledger::document::{Document, GapAcceptedDoc, GapDoc, PeriodCloseDoc, PeriodOpenDoc};
use leasehold_store::Store;
use serde::Serialize;

use crate::{
    Outcome,
    cli::{At, GapsArgs},
    ledger, output,
    session::Session,
    source,
};

/// Lists the times in which use was not observed.
pub fn run(arguments: &GapsArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let mut rows = match &arguments.ledger.db {
        Some(db) => of_ledger(session, db)?,
        None => of_cluster(session)?,
    };
    rows.retain(|row| {
        let wanted = arguments.period.as_ref();
        wanted.is_none_or(|name| *name == row.period) && (!arguments.open || row.is_open())
    });
    rows.sort_by(|a, b| (&a.gap.from, &a.gap.source).cmp(&(&b.gap.from, &b.gap.source)));
    output::show(&rows, &sheet(&rows), session.common.output, out)?;
    Ok(Outcome::Done)
}

/// A gap of a period.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Row {
    period: String,
    closed: bool,
    #[serde(flatten)]
    gap: PeriodGap,
}

impl Row {
    fn is_open(&self) -> bool {
        !self.closed && self.gap.accepted_by.is_none()
    }
}

fn of_cluster(session: &Session) -> Result<Vec<Row>> {
    let kit = session.kit()?;
    let found: Vec<BillingPeriod> = source::objects(session, &kit, None, "billing periods")?;
    Ok(found.into_iter().flat_map(of_object).collect())
}

fn of_object(object: BillingPeriod) -> Vec<Row> {
    let period = object.metadata.name.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let closed = status.phase == PeriodPhase::Closed;
    let row = |gap| Row {
        period: period.clone(),
        closed,
        gap,
    };
    status.gaps.into_iter().map(row).collect()
}

fn of_ledger(session: &Session, db: &At) -> Result<Vec<Row>> {
    let store = ledger::open(session, db)?;
    let (found, known) = session.wait(read(&store))?;
    let closed: BTreeSet<String> = session
        .wait(store.documents::<PeriodCloseDoc>(None, None))?
        .into_iter()
        .map(|recorded| recorded.value.name)
        .collect();
    let periods = session.wait(store.documents::<PeriodOpenDoc>(None, None))?;
    let mut rows = Vec::new();
    for open in periods {
        let period = open.value.period;
        let touched = gaps::of(&period, &found);
        let shown = touched
            .iter()
            .map(|gap| known.shown(gap, &period.time_zone));
        rows.extend(shown.map(|gap| Row {
            period: period.name.clone(),
            closed: closed.contains(&period.name),
            gap,
        }));
    }
    Ok(rows)
}

async fn read(store: &Store) -> Result<(Vec<GapDoc>, Accepted)> {
    let found = store.documents::<GapDoc>(None, None).await?;
    let known = store.documents::<GapAcceptedDoc>(None, None).await?;
    let known: BTreeMap<String, GapAcceptedDoc> = known
        .into_iter()
        .map(|recorded| (recorded.value.key(), recorded.value))
        .collect();
    let accepted = Accepted {
        known,
        ..Accepted::default()
    };
    let found = found.into_iter().map(|recorded| recorded.value);
    Ok((found.collect(), accepted))
}

fn sheet(rows: &[Row]) -> Sheet {
    let cells = |row: &Row| {
        let Row { period, gap, .. } = row;
        let how = gap.treatment.map(|treatment| format!("{treatment:?}"));
        vec![
            period.clone(),
            gap.source.clone(),
            gap.from.clone(),
            gap.to.clone(),
            gap.reason.clone(),
            gap.accepted_by.clone().unwrap_or_default(),
            how.unwrap_or_default(),
            gap.approval.clone().unwrap_or_default(),
        ]
    };
    let columns = vec![
        output::text("period", "账期"),
        output::text("source", "来源"),
        output::text("from", "起"),
        output::text("to", "止"),
        output::text("reason", "原因"),
        output::text("acceptedBy", "认可人"),
        output::text("treatment", "处理"),
        output::text("approval", "审批"),
    ];
    output::plain(columns, rows.iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gaps_of_a_periods_object_are_open_until_they_are_accepted_or_it_is_closed() {
        let object = |phase: &str| -> BillingPeriod {
            serde_json::from_value(json!({
                "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "BillingPeriod",
                "metadata": {"name": "2026-09"}, "spec": {},
                "status": {"phase": phase, "gaps": [
                    {"source": "pods", "from": "a", "to": "b", "reason": "r",
                     "acceptedBy": "sun@finance", "treatment": "Accept"},
                    {"source": "claims", "from": "a", "to": "b", "reason": "r",
                     "approval": "gap-2026-09-2-finance"},
                ]},
            }))
            .unwrap()
        };
        let open = |phase: &str| -> Vec<String> {
            let rows = of_object(object(phase)).into_iter();
            rows.filter(Row::is_open)
                .map(|row| row.gap.source)
                .collect()
        };
        assert_eq!(open("Closing"), ["claims"]);
        assert!(open("Closed").is_empty());
        let rows = of_object(object("Closing"));
        let told = serde_json::to_value(&rows).unwrap();
        assert_eq!(told[0]["acceptedBy"], "sun@finance");
        assert_eq!(told[1]["period"], "2026-09");
        assert_eq!(sheet(&rows).rows[1][7], "gap-2026-09-2-finance");
    }
}
