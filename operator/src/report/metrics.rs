//! Counters and gauges, `subrosa_…`. Every label is from a fixed set, never an object's name.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use crate::vault::{RequestObserver, RequestSample};

/// What a reconcile was of, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// The kind, such as `Channel`.
    pub kind: &'static str,
    /// `ok` or `retry`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VaultLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    vault: Family<VaultLabels, Counter>,
    vault_seconds: Histogram,
    connections: Family<StateLabels, Gauge>,
    issued: Family<ReasonLabels, Counter>,
    next_expiry: Gauge,
    channels: Gauge,
    channels_ready: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("subrosa");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's version", build);
        let metrics = Self {
            reconciles: Family::default(),
            vault: Family::default(),
            vault_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            connections: Family::default(),
            issued: Family::default(),
            next_expiry: Gauge::default(),
            channels: Gauge::default(),
            channels_ready: Gauge::default(),
            registry,
        };
        let mut metrics = metrics;
        let registry = &mut metrics.registry;
        registry.register("reconciles", "Reconciles by kind and outcome", metrics.reconciles.clone());
        registry.register(
            "vault_requests",
            "Requests to Vault by operation and outcome",
            metrics.vault.clone(),
        );
        registry.register(
            "vault_request_seconds",
            "Duration of requests to Vault",
            metrics.vault_seconds.clone(),
        );
        registry.register("connections", "Declared connections by state", metrics.connections.clone());
        registry.register("certificates_issued", "Certificates issued by reason", metrics.issued.clone());
        registry.register(
            "certificate_earliest_expiry_timestamp_seconds",
            "When the first certificate of any Channel ends",
            metrics.next_expiry.clone(),
        );
        registry.register("channels", "Channels", metrics.channels.clone());
        registry.register("channels_ready", "Channels that are Ready", metrics.channels_ready.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a reconcile.
    pub fn reconciled(&self, kind: &'static str, retry: bool) {
        let outcome = if retry { "retry" } else { "ok" };
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
    }

    /// Sets what is known of all Channels together.
    pub fn channels(&self, total: i64, ready: i64, states: &[(String, i64)], next_expiry: Option<i64>) {
        self.channels.set(total);
        self.channels_ready.set(ready);
        self.connections.clear();
        for (state, count) in states {
            self.connections.get_or_create(&StateLabels { state: state.clone() }).set(*count);
        }
        self.next_expiry.set(next_expiry.unwrap_or_default());
    }

    /// Counts an issued certificate.
    pub fn issued(&self, reason: &'static str) {
        self.issued.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# the metrics cannot be written: {error}\n"),
        }
    }
}

impl RequestObserver for Metrics {
    fn observe(&self, sample: RequestSample) {
        let labels = VaultLabels { operation: sample.operation, outcome: sample.outcome };
        self.vault.get_or_create(&labels).inc();
        self.vault_seconds.observe(sample.duration.as_secs_f64());
    }
}
