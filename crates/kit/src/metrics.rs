//! Metrics of the process. Labels are bounded: never an object's name.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    // `None` only if prometheus refuses the constant names below, which a test rules out
    meters: Option<Meters>,
}

#[derive(Clone)]
struct Meters {
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    api_requests: IntCounterVec,
    call_failures: IntCounterVec,
    watch_restarts: IntCounterVec,
    watch_last_event: IntGaugeVec,
}

impl Metrics {
    /// Metrics in a registry of their own.
    pub fn new() -> Self {
        let registry = Registry::new();
        let meters = Meters::register(&registry)
            .inspect_err(|error| tracing::error!(%error, "failed to register metrics"))
            .ok();
        Self { registry, meters }
    }

    /// The registry, to add metrics to.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// When a metric of somebody else's is inconsistent.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Counts one reconcile. `result` is `ok` or `error`; `reason` is empty or one of an error's fixed reasons.
    pub fn reconciled(&self, controller: &str, result: &str, reason: &str, took: Duration) {
        if let Some(meters) = &self.meters {
            meters
                .reconciles
                .with_label_values(&[controller, result, reason])
                .inc();
            meters
                .reconcile_seconds
                .with_label_values(&[controller])
                .observe(took.as_secs_f64());
        }
    }

    /// Counts one request to the API server; `outcome` is `ok`, `refused`, `failed` or `unanswered`.
    pub(crate) fn requested(&self, verb: &str, outcome: &str) {
        if let Some(meters) = &self.meters {
            meters
                .api_requests
                .with_label_values(&[verb, outcome])
                .inc();
        }
    }

    /// Counts one call that failed for good.
    pub fn call_failed(&self, operation: &str, reason: &str) {
        if let Some(meters) = &self.meters {
            meters
                .call_failures
                .with_label_values(&[operation, reason])
                .inc();
        }
    }

    /// Counts one restart of a watch.
    pub fn watch_restarted(&self, kind: &str, reason: &str) {
        if let Some(meters) = &self.meters {
            meters
                .watch_restarts
                .with_label_values(&[kind, reason])
                .inc();
        }
    }

    /// Notes when a watch last took an event, a bookmark or a list, in seconds since 1970 by the API server's clock.
    pub fn watch_heard(&self, kind: &str, unix: i64) {
        if let Some(meters) = &self.meters {
            meters.watch_last_event.with_label_values(&[kind]).set(unix);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Meters {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self {
            reconciles: IntCounterVec::new(
                Opts::new("leasehold_reconcile_total", "Reconciles by result."),
                &["controller", "result", "reason"],
            )?,
            reconcile_seconds: HistogramVec::new(
                HistogramOpts::new("leasehold_reconcile_seconds", "How long reconciles take.")
                    .buckets(vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0]),
                &["controller"],
            )?,
            api_requests: IntCounterVec::new(
                Opts::new(
                    "leasehold_api_requests_total",
                    "Requests to the API server; a watch counts when it is opened.",
                ),
                &["verb", "outcome"],
            )?,
            call_failures: IntCounterVec::new(
                Opts::new(
                    "leasehold_call_failures_total",
                    "Calls of the API server that failed.",
                ),
                &["operation", "reason"],
            )?,
            watch_restarts: IntCounterVec::new(
                Opts::new(
                    "leasehold_watch_restarts_total",
                    "Watches that were opened again.",
                ),
                &["kind", "reason"],
            )?,
            watch_last_event: IntGaugeVec::new(
                Opts::new(
                    "leasehold_watch_last_event_timestamp_seconds",
                    "When a meter's watch last took an event, a bookmark or a list.",
                ),
                &["kind"],
            )?,
        };
        let collectors: [Box<dyn Collector>; 6] = [
            Box::new(meters.reconciles.clone()),
            Box::new(meters.reconcile_seconds.clone()),
            Box::new(meters.api_requests.clone()),
            Box::new(meters.call_failures.clone()),
            Box::new(meters.watch_restarts.clone()),
            Box::new(meters.watch_last_event.clone()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        Ok(meters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_and_encoded() {
        let metrics = Metrics::new();
        metrics.reconciled("tenancy", "error", "Conflict", Duration::from_millis(20));
        metrics.requested("list", "ok");
        metrics.call_failed("apply", "Timeout");
        metrics.watch_restarted("Pod", "Silent");
        metrics.watch_heard("Pod", 1_788_192_000);
        let text = metrics.encode().unwrap();
        for line in [
            r#"leasehold_reconcile_total{controller="tenancy",reason="Conflict",result="error"} 1"#,
            r#"leasehold_reconcile_seconds_count{controller="tenancy"} 1"#,
            r#"leasehold_reconcile_seconds_bucket{controller="tenancy",le="0.01"} 0"#,
            r#"leasehold_reconcile_seconds_bucket{controller="tenancy",le="0.05"} 1"#,
            r#"leasehold_api_requests_total{outcome="ok",verb="list"} 1"#,
            r#"leasehold_call_failures_total{operation="apply",reason="Timeout"} 1"#,
            r#"leasehold_watch_restarts_total{kind="Pod",reason="Silent"} 1"#,
            r#"leasehold_watch_last_event_timestamp_seconds{kind="Pod"} 1788192000"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
    }
}
