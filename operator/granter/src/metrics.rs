//! The granter's metrics.

use std::sync::{Mutex, PoisonError, atomic::AtomicI64};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

type Labels = Vec<(&'static str, String)>;

/// The metrics of the granter.
#[derive(Debug)]
pub struct GranterMetrics {
    registry: Mutex<Registry>,
    success: Family<Labels, Gauge<i64, AtomicI64>>,
    roles: Family<Labels, Gauge<i64, AtomicI64>>,
}

impl Default for GranterMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("subrosa_granter");
        let success = Family::default();
        registry.register(
            "last_success_timestamp_seconds",
            "When the granter last looked at every slot of a trust domain; 0 until it did",
            success.clone(),
        );
        let roles = Family::default();
        registry.register(
            "access_roles",
            "AccessRoles of a trust domain, by whether they are ready",
            roles.clone(),
        );
        Self { registry: Mutex::new(registry), success, roles }
    }
}

impl GranterMetrics {
    /// All metrics, in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }

    /// Notes the result for a trust domain, and how many of its AccessRoles are ready.
    pub fn looked(&self, domain: &str, succeeded: bool, ready: usize, all: usize) {
        let labels = vec![("trust_domain", domain.to_owned())];
        let success = self.success.get_or_create(&labels);
        if succeeded {
            success.set(Timestamp::now().as_second());
        }
        for (is_ready, count) in [("true", ready), ("false", all - ready.min(all))] {
            let labels = vec![("trust_domain", domain.to_owned()), ("ready", is_ready.to_owned())];
            self.roles.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Drops a deleted trust domain.
    pub fn forget(&self, domain: &str) {
        self.success.remove(&vec![("trust_domain", domain.to_owned())]);
        for is_ready in ["true", "false"] {
            self.roles.remove(&vec![("trust_domain", domain.to_owned()), ("ready", is_ready.to_owned())]);
        }
    }
}
