//! Metrics of metering and billing: how far use and leases are known, what was recorded, what waits for a close or for a
//! person; and of what others change of what the operator keeps.
//!
//! Instants are told as seconds since 1970, so that a monitor reckons their age itself and sees it grow when the
//! operator hangs (docs/how-to/monitor.md). Labels are sources and kinds of facts, never the name of an
//! object that is counted.

use std::time::Duration;

use leasehold_kit::metrics::Metrics;
use leasehold_ledger::{fact::FactKind, time::Second};
use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector,
};

use crate::drift::What;

/// Metrics of metering and billing. Cheap to clone.
#[derive(Clone)]
pub struct Measures {
    // `None` only if prometheus refuses the constant names below, which a test rules out
    families: Option<Families>,
}

#[derive(Clone)]
struct Families {
    meter_complete: IntGaugeVec,
    meter_blind: IntGaugeVec,
    lease_complete: IntGauge,
    gaps_open: IntGauge,
    etcd_incarnation: IntGauge,
    period_close: Histogram,
    facts: IntCounterVec,
    ledger_rows: IntGauge,
    ledger_trouble: IntGauge,
    approvals_open: IntGaugeVec,
    approvals_overdue: IntGaugeVec,
    repairs: IntCounterVec,
    contested: IntGauge,
    policies_missing: IntGauge,
}

impl Measures {
    /// Adds them to the metrics of the process. Once a process: a second time they are refused, which is logged, and
    /// what is set on the second ones is told nowhere.
    pub fn register(metrics: &Metrics) -> Self {
        let families = Families::register(metrics)
            .inspect_err(|error| tracing::error!(%error, "failed to register metrics of metering"))
            .ok();
        Self { families }
    }

    /// Up to when a source of use counts as complete. While that is not known, nothing is told.
    pub fn metered_to(&self, source: &str, complete: Option<Second>) {
        if let (Some(families), Some(complete)) = (&self.families, complete) {
            families
                .meter_complete
                .with_label_values(&[source])
                .set(complete.get());
        }
    }

    /// Whether a source of use sees nothing at the moment, or cannot count something that it sees.
    pub fn blind(&self, source: &str, is_blind: bool) {
        if let Some(families) = &self.families {
            let blind = &families.meter_blind;
            blind.with_label_values(&[source]).set(i64::from(is_blind));
        }
    }

    /// A source is no longer counted; nothing is told of it any more.
    pub fn forget(&self, source: &str) {
        if let Some(families) = &self.families {
            for family in [&families.meter_complete, &families.meter_blind] {
                // an error says that nothing was told of it, which is as good
                drop(family.remove_label_values(&[source]));
            }
        }
    }

    /// Up to when the facts of leases are complete. While that is not known, what was told last stays.
    pub fn leased_to(&self, complete: Option<Second>) {
        if let (Some(families), Some(complete)) = (&self.families, complete) {
            families.lease_complete.set(complete.get());
        }
    }

    /// The number of gaps that touch periods which are not closed, and that nobody has accepted.
    pub fn gaps_open(&self, gaps: usize) {
        if let Some(families) = &self.families {
            families
                .gaps_open
                .set(i64::try_from(gaps).unwrap_or(i64::MAX));
        }
    }

    /// The life of the cluster's etcd under which facts are recorded, from 1.
    pub fn etcd(&self, incarnation: u32) {
        if let Some(families) = &self.families {
            families.etcd_incarnation.set(i64::from(incarnation));
        }
    }

    /// The numbers of approvals that nobody has decided, and of those among them that are overdue, for one role.
    pub fn approvals(&self, role: &str, open: usize, overdue: usize) {
        if let Some(families) = &self.families {
            let labels = &[role];
            let (all, late) = (&families.approvals_open, &families.approvals_overdue);
            all.with_label_values(labels).set(gauge(open));
            late.with_label_values(labels).set(gauge(overdue));
        }
    }

    /// A period was closed, and that took so long.
    pub fn period_closed(&self, took: Duration) {
        if let Some(families) = &self.families {
            families.period_close.observe(took.as_secs_f64());
        }
    }

    /// Facts of use of these kinds are in the ledger, one for each.
    pub fn recorded(&self, kinds: impl IntoIterator<Item = FactKind>) {
        if let Some(families) = &self.families {
            for kind in kinds {
                families.facts.with_label_values(&[kind.as_str()]).inc();
            }
        }
    }

    /// The number of the ledger's last row, from 1; 0 for an empty ledger.
    pub fn ledger_rows(&self, rows: u64) {
        if let Some(families) = &self.families {
            families
                .ledger_rows
                .set(i64::try_from(rows).unwrap_or(i64::MAX));
        }
    }

    /// Whether the ledger's database did not do what it was asked for last.
    pub fn ledger_trouble(&self, is_in_trouble: bool) {
        if let Some(families) = &self.families {
            families.ledger_trouble.set(i64::from(is_in_trouble));
        }
    }

    /// Something that others changed or deleted was put right.
    pub(crate) fn repaired(&self, what: What) {
        if let Some(families) = &self.families {
            families.repairs.with_label_values(&[what.kind()]).inc();
        }
    }

    /// The number of the chart's admission policies and bindings that are not in force.
    pub fn policies_missing(&self, gaps: usize) {
        if let Some(families) = &self.families {
            families.policies_missing.set(gauge(gaps));
        }
    }

    /// The number of objects that others change again and again.
    pub fn contested(&self, objects: usize) {
        if let Some(families) = &self.families {
            families
                .contested
                .set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
    }
}

/// A number as a gauge takes it.
fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Families {
    fn register(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let families = Self::new()?;
        let collectors: [Box<dyn Collector>; 14] = [
            Box::new(families.meter_complete.clone()),
            Box::new(families.meter_blind.clone()),
            Box::new(families.lease_complete.clone()),
            Box::new(families.gaps_open.clone()),
            Box::new(families.etcd_incarnation.clone()),
            Box::new(families.period_close.clone()),
            Box::new(families.facts.clone()),
            Box::new(families.ledger_rows.clone()),
            Box::new(families.ledger_trouble.clone()),
            Box::new(families.approvals_open.clone()),
            Box::new(families.approvals_overdue.clone()),
            Box::new(families.repairs.clone()),
            Box::new(families.contested.clone()),
            Box::new(families.policies_missing.clone()),
        ];
        for collector in collectors {
            metrics.registry().register(collector)?;
        }
        // none so far, of each kind: an increase is seen from the first one on
        for what in What::ALL {
            families.repairs.with_label_values(&[what.kind()]).inc_by(0);
        }
        Ok(families)
    }

    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            meter_complete: IntGaugeVec::new(
                Opts::new(
                    "leasehold_meter_complete_timestamp_seconds",
                    "Up to when a source of use counts as complete.",
                ),
                &["source"],
            )?,
            meter_blind: IntGaugeVec::new(
                Opts::new(
                    "leasehold_meter_blind",
                    "Whether a source of use sees nothing, or not all that it should count.",
                ),
                &["source"],
            )?,
            lease_complete: IntGauge::new(
                "leasehold_lease_complete_timestamp_seconds",
                "Up to when the facts of leases are complete.",
            )?,
            gaps_open: IntGauge::new(
                "leasehold_gaps_open",
                "Gaps in the observation of use that touch periods which are not closed, and that nobody has accepted.",
            )?,
            etcd_incarnation: IntGauge::new(
                "leasehold_etcd_incarnation",
                "Life of the cluster's etcd that facts are recorded under; it grows when etcd is restored.",
            )?,
            period_close: Histogram::with_opts(
                HistogramOpts::new(
                    "leasehold_period_close_seconds",
                    "How long closing a period takes.",
                )
                .buckets(vec![0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0]),
            )?,
            facts: IntCounterVec::new(
                Opts::new(
                    "leasehold_facts_total",
                    "Facts of use that were committed to the ledger.",
                ),
                &["kind"],
            )?,
            ledger_rows: IntGauge::new("leasehold_ledger_rows", "Last row of the ledger's chain.")?,
            ledger_trouble: IntGauge::new(
                "leasehold_ledger_trouble",
                "Whether the ledger's database did not do what it was asked for last, or something in it cannot be trusted.",
            )?,
            approvals_open: IntGaugeVec::new(
                Opts::new(
                    "leasehold_approvals_open",
                    "Approvals that wait for a decision.",
                ),
                &["role"],
            )?,
            approvals_overdue: IntGaugeVec::new(
                Opts::new(
                    "leasehold_approvals_overdue",
                    "Approvals that wait for a decision beyond the day on which it was due.",
                ),
                &["role"],
            )?,
            repairs: IntCounterVec::new(
                Opts::new(
                    "leasehold_repairs_total",
                    "Managed objects that others changed or deleted and that were put right.",
                ),
                &["kind"],
            )?,
            contested: IntGauge::new(
                "leasehold_contested",
                "Managed objects that others change again and again.",
            )?,
            policies_missing: IntGauge::new(
                "leasehold_policies_missing",
                "Admission policies of the chart and bindings of theirs that are not in force as the chart says; no namespace is opened.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_registered_and_encoded_once_it_is_set() {
        let metrics = Metrics::new();
        let measures = Measures::register(&metrics);
        measures.metered_to("pods", Some(Second::new(1_788_192_000)));
        measures.metered_to("claims", None);
        measures.blind("pods", false);
        measures.blind("meter/buckets", true);
        measures.blind("meter/gone", true);
        measures.forget("meter/gone");
        measures.leased_to(Some(Second::new(1_788_192_010)));
        measures.leased_to(None);
        measures.gaps_open(2);
        measures.etcd(3);
        measures.period_closed(Duration::from_millis(700));
        measures.recorded([FactKind::Opened, FactKind::Closed, FactKind::Opened]);
        measures.ledger_rows(4711);
        measures.ledger_trouble(true);
        measures.approvals("office", 3, 1);
        measures.approvals("office", 2, 0);
        measures.repaired(What::NetworkPolicy);
        measures.contested(1);
        measures.policies_missing(2);
        let text = metrics.encode().unwrap();
        for line in [
            r#"leasehold_meter_complete_timestamp_seconds{source="pods"} 1788192000"#,
            r#"leasehold_meter_blind{source="pods"} 0"#,
            r#"leasehold_meter_blind{source="meter/buckets"} 1"#,
            "leasehold_lease_complete_timestamp_seconds 1788192010",
            "leasehold_gaps_open 2",
            "leasehold_etcd_incarnation 3",
            r#"leasehold_period_close_seconds_bucket{le="0.5"} 0"#,
            r#"leasehold_period_close_seconds_bucket{le="1"} 1"#,
            "leasehold_period_close_seconds_count 1",
            r#"leasehold_facts_total{kind="opened"} 2"#,
            r#"leasehold_facts_total{kind="closed"} 1"#,
            "leasehold_ledger_rows 4711",
            "leasehold_ledger_trouble 1",
            r#"leasehold_approvals_open{role="office"} 2"#,
            r#"leasehold_approvals_overdue{role="office"} 0"#,
            r#"leasehold_repairs_total{kind="NetworkPolicy"} 1"#,
            r#"leasehold_repairs_total{kind="ResourceQuota"} 0"#,
            "leasehold_contested 1",
            "leasehold_policies_missing 2",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        for unknown in ["claims", "meter/gone"] {
            assert!(!text.contains(unknown), "nothing is known of it:\n{text}");
        }
    }
}
