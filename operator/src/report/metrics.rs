//! The operator's metrics, `subrosa_…`. Every label has a fixed set of values, never an object's name.

mod census;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

pub use self::census::{Census, ConditionLabels};
use crate::observe::Cluster;
use subrosa_plan::world::declaration::Declaration;
use subrosa_records::vault::{RequestObserver, RequestSample};

/// Channels are counted at most this often, however often the metrics are scraped, because there may be thousands.
const REST: Duration = Duration::from_secs(3);

/// The kind and outcome of a reconcile.
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
struct KeptLabels {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// After this long without an answer of the API server a replica's view is outdated. Every replica reads the Lease
/// every few seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    /// Metrics about the cluster, left out while the view is outdated.
    of_cluster: Registry,
    /// When the API server last answered the election; `None` without one.
    heard: Mutex<Option<Instant>>,
    reconciles: Family<ReconcileLabels, Counter>,
    vault: Family<VaultLabels, Counter>,
    vault_seconds: Histogram,
    issued: Family<ReasonLabels, Counter>,
    events: Family<EventLabels, Counter>,
    leader: Gauge,
    kept: Family<KeptLabels, Gauge>,
    gauges: Gauges,
    /// When the Channels were last counted. Locked while gauges are set or read, so that a scrape sees a whole count.
    counted: Mutex<Option<Instant>>,
}

/// The gauges over all Channels.
#[derive(Default)]
struct Gauges {
    channels: Gauge,
    ready: Gauge,
    connections: Family<StateLabels, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    earliest_expiry: Gauge,
    earliest_renewal: Gauge,
    rotation_lag: Gauge,
    earliest_verified_restore: Gauge,
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("channels", "Channels", self.channels.clone());
        registry.register("channels_ready", "Channels that are Ready", self.ready.clone());
        registry.register("connections", "Declared connections by state", self.connections.clone());
        registry.register(
            "channel_conditions",
            "Channels by what each of their conditions says; reasons as in docs/status.md, else Other",
            self.conditions.clone(),
        );
        registry.register(
            "certificate_earliest_expiry_timestamp_seconds",
            "When the first certificate of any Channel ends; 0 without one",
            self.earliest_expiry.clone(),
        );
        registry.register(
            "certificate_earliest_renewal_timestamp_seconds",
            "When the first certificate of any Channel is to be renewed; 0 without one",
            self.earliest_renewal.clone(),
        );
        registry.register(
            "key_rotation_lag_seconds",
            "For how long the most overdue key waits for its new version, as status has it",
            self.rotation_lag.clone(),
        );
        registry.register(
            "backup_earliest_verified_restore_timestamp_seconds",
            "When the backup was restored and verified whose proof is the oldest of all Channels; 0 without one",
            self.earliest_verified_restore.clone(),
        );
    }

    fn set(&self, census: &Census) {
        self.channels.set(census.channels);
        self.ready.set(census.ready);
        // Removes states that no longer occur.
        self.connections.clear();
        for (state, count) in &census.connections {
            self.connections.get_or_create(&StateLabels { state }).set(*count);
        }
        self.conditions.clear();
        for (labels, count) in &census.conditions {
            self.conditions.get_or_create(labels).set(*count);
        }
        self.earliest_expiry.set(census.earliest_expiry.unwrap_or_default());
        self.earliest_renewal.set(census.earliest_renewal.unwrap_or_default());
        self.rotation_lag.set(census.rotation_lag);
        self.earliest_verified_restore.set(census.earliest_verified_restore.unwrap_or_default());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("subrosa");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's version", build);
        let reconciles = Family::default();
        registry.register("reconciles", "Reconciles by kind and outcome", reconciles.clone());
        let vault = Family::default();
        registry.register("vault_requests", "Requests to Vault by operation and outcome", vault.clone());
        let vault_seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        registry.register("vault_request_seconds", "Duration of requests to Vault", vault_seconds.clone());
        let issued = Family::default();
        registry.register("certificates_issued", "Certificates issued by reason", issued.clone());
        let events = Family::default();
        registry.register("events", "Events by whether the API server took them", events.clone());
        let leader = Gauge::default();
        registry.register("leader", "Whether this replica leads: 1 or 0", leader.clone());
        let kept = Family::<KeptLabels, Gauge>::default();
        registry.register(
            "kept_entries",
            "What this replica keeps in memory beside its watches, by what it is",
            kept.clone(),
        );
        let gauges = Gauges::default();
        let mut of_cluster = Registry::with_prefix("subrosa");
        gauges.register(&mut of_cluster);
        let heard = Mutex::default();
        Self {
            registry,
            of_cluster,
            heard,
            reconciles,
            vault,
            vault_seconds,
            issued,
            events,
            leader,
            kept,
            gauges,
            counted: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts a reconcile.
    pub fn reconciled(&self, kind: &'static str, retry: bool) {
        let outcome = if retry { "retry" } else { "ok" };
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
    }

    /// Counts the Channels again, unless that was just done.
    pub fn count(&self, cluster: &Cluster, now: Timestamp) {
        let mut counted = self.counted();
        if counted.is_some_and(|at| at.elapsed() < REST) {
            return;
        }
        // Cloned first, so that the world is not locked while statuses are parsed.
        let channels: Vec<_> = cluster.read(|world| world.all_channels().cloned().collect());
        self.gauges.set(&Census::of(channels.iter().map(Declaration::status), now));
        *counted = Some(Instant::now());
    }

    /// Sets the gauges over all Channels.
    pub fn set(&self, census: &Census) {
        let _counted = self.counted();
        self.gauges.set(census);
    }

    fn counted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the sizes of caches.
    pub fn keeps(&self, counts: &BTreeMap<&'static str, usize>) {
        for (what, count) in counts {
            self.kept.get_or_create(&KeptLabels { what }).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// Sets whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Notes that the API server answered the election.
    pub fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long the API server has not answered, if so long that the view is outdated.
    pub fn silent_for(&self) -> Option<Duration> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|at| at.elapsed()).filter(|silent| *silent > SILENCE)
    }

    /// Counts an issued certificate.
    pub fn issued(&self, reason: &'static str) {
        self.issued.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts an Event by whether the API server accepted it.
    pub fn event(&self, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.events.get_or_create(&EventLabels { outcome }).inc();
    }

    /// All metrics as OpenMetrics text. A disconnected replica leaves out the cluster's, because its view may be long
    /// outdated.
    pub fn text(&self) -> String {
        let _counted = self.counted();
        let mut text = String::new();
        let mut written = encode_registry(&mut text, &self.registry);
        if self.silent_for().is_none() {
            written = written.and_then(|()| encode_registry(&mut text, &self.of_cluster));
        }
        match written.and_then(|()| encode_eof(&mut text)) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use subrosa_crds::{Channel, names::ChannelRef};

    use super::*;

    fn cluster_of(names: &[&str]) -> Cluster {
        let cluster = Cluster::default();
        for name in names {
            let channel: Channel = serde_json::from_value(serde_json::json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": "n"},
                "spec": {"workload": {"selector": {"matchLabels": {"app": name}}}},
            }))
            .unwrap();
            cluster.write(|world| {
                world.put_channel(&ChannelRef::new("n", *name), Some(Declaration::of(Arc::new(channel))))
            });
        }
        cluster
    }

    #[test]
    fn channels_are_not_counted_again_within_moments() {
        let metrics = Metrics::default();
        metrics.count(&cluster_of(&["a"]), Timestamp::UNIX_EPOCH);
        metrics.count(&cluster_of(&["a", "b"]), Timestamp::UNIX_EPOCH);
        assert!(metrics.text().contains("\nsubrosa_channels 1\n"), "{}", metrics.text());
        *metrics.counted() = Instant::now().checked_sub(REST);
        metrics.count(&cluster_of(&["a", "b"]), Timestamp::UNIX_EPOCH);
        assert!(metrics.text().contains("\nsubrosa_channels 2\n"), "{}", metrics.text());
    }

    #[test]
    fn who_is_cut_off_says_nothing_of_the_cluster() {
        let metrics = Metrics::default();
        metrics.set(&Census { channels: 3, ..Census::default() });
        let text = metrics.text();
        assert!(text.contains("\nsubrosa_channels 3\n"), "no election, no silence: {text}");
        metrics.heard();
        assert!(metrics.text().contains("\nsubrosa_channels 3\n"));
        *metrics.heard.lock().unwrap() = Instant::now().checked_sub(SILENCE + Duration::from_secs(1));
        assert!(metrics.silent_for().is_some());
        let text = metrics.text();
        assert!(!text.contains("subrosa_channels") && text.contains("subrosa_leader 0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        metrics.heard();
        assert!(metrics.text().contains("\nsubrosa_channels 3\n"), "it is heard again");
    }

    #[test]
    fn what_no_longer_occurs_is_no_longer_told() {
        let metrics = Metrics::default();
        let labels = ConditionLabels { condition: "Isolated", status: "False", reason: "ForeignPolicy" };
        let series = "subrosa_channel_conditions{condition=\"Isolated\",status=\"False\",reason=\"ForeignPolicy\"} 2\n";
        metrics.set(&Census {
            conditions: [(labels, 2)].into(),
            connections: [("Open", 3)].into(),
            ..Census::default()
        });
        let text = metrics.text();
        assert!(text.contains(series) && text.contains("subrosa_connections{state=\"Open\"} 3\n"), "{text}");
        metrics.set(&Census::default());
        let text = metrics.text();
        assert!(!text.contains("ForeignPolicy") && !text.contains("Open"), "{text}");
    }
}
