//! The destroyer's metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use subrosa_crds::{Destruction, LegalHold, Reason};
use subrosa_plan::{destruction::status, world::fault::Fault};

use crate::key::KeyStep;

type Labels = Vec<(&'static str, String)>;

/// The metrics of the destroyer.
#[derive(Debug)]
pub struct DestroyerMetrics {
    registry: Mutex<Registry>,
    round: Gauge<i64, AtomicI64>,
    success: Family<Labels, Gauge<i64, AtomicI64>>,
    destructions: Family<Labels, Gauge<i64, AtomicI64>>,
    awaiting: Family<Labels, Gauge<i64, AtomicI64>>,
    resurrected: Family<Labels, Gauge<i64, AtomicI64>>,
    failing: Family<Labels, Gauge<i64, AtomicI64>>,
    frozen: Family<Labels, Gauge<i64, AtomicI64>>,
    reviews: Gauge<i64, AtomicI64>,
    begun: Counter<u64, AtomicU64>,
    destroyed: Counter<u64, AtomicU64>,
}

impl Default for DestroyerMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("subrosa_destroyer");
        let round = Gauge::default();
        registry.register(
            "last_look_timestamp_seconds",
            "When the destroyer last looked at everything",
            round.clone(),
        );
        let success = Family::default();
        registry.register(
            "last_success_timestamp_seconds",
            "When the destroyer last looked at everything of a trust domain; until it did, when it began to try",
            success.clone(),
        );
        let destructions = Family::default();
        registry.register(
            "destructions",
            "Destructions that are not done, by state; those that are done are not counted",
            destructions.clone(),
        );
        let awaiting = Family::default();
        registry.register(
            "oldest_awaiting_approval_timestamp_seconds",
            "When the Destruction was made that waits for people for the longest time; 0 where none waits",
            awaiting.clone(),
        );
        let resurrected = Family::default();
        registry.register(
            "resurrected_keys",
            "Keys that were destroyed and are back from a snapshot or a backup of Vault",
            resurrected.clone(),
        );
        let failing = Family::default();
        registry.register(
            "failing",
            "1 while a trust domain cannot be looked at, by reason",
            failing.clone(),
        );
        let frozen = Family::default();
        registry.register(
            "frozen",
            "1 while nothing is destroyed in a trust domain, by reason",
            frozen.clone(),
        );
        let reviews = Gauge::default();
        registry.register(
            "legal_hold_reviews_overdue",
            "LegalHolds that nobody reviewed by the day that their reviewEvery says",
            reviews.clone(),
        );
        let begun = Counter::default();
        registry.register("keys_set_aside", "Keys that were set aside by this process", begun.clone());
        let destroyed = Counter::default();
        registry.register("keys_destroyed", "Keys that were destroyed by this process", destroyed.clone());
        Self {
            registry: Mutex::new(registry),
            round,
            success,
            destructions,
            awaiting,
            resurrected,
            failing,
            frozen,
            reviews,
            begun,
            destroyed,
        }
    }
}

impl DestroyerMetrics {
    /// Notes the end of a round.
    pub fn round(&self) {
        self.round.set(Timestamp::now().as_second());
    }

    /// Notes that a look at a trust domain begins. Until one succeeds, its age counts from the first one.
    pub fn begins(&self, domain: &str) {
        let success = self.success.get_or_create(&of(domain));
        if success.get() == 0 {
            success.set(Timestamp::now().as_second());
        }
    }

    /// Notes the result of a look at a trust domain.
    pub fn looked(&self, domain: &str, fault: Option<&Fault>) {
        self.begins(domain);
        replace(&self.failing, domain, fault);
        if fault.is_none() {
            self.success.get_or_create(&of(domain)).set(Timestamp::now().as_second());
        }
    }

    /// Counts the LegalHolds whose review is overdue.
    pub fn reviews(&self, holds: &[LegalHold], now: Timestamp) {
        let overdue = holds.iter().filter(|hold| status::is_review_overdue(hold, now)).count();
        self.reviews.set(i64::try_from(overdue).unwrap_or(i64::MAX));
    }

    /// Drops a deleted trust domain.
    pub fn forget(&self, domain: &str) {
        for (family, label) in
            [(&self.failing, "reason"), (&self.frozen, "reason"), (&self.destructions, "state")]
        {
            for reason in Reason::ALL {
                family.remove(&labels(domain, label, reason.as_str()));
            }
        }
        for family in [&self.success, &self.awaiting, &self.resurrected] {
            family.remove(&of(domain));
        }
    }

    /// Counts the unfinished Destructions of a trust domain by state.
    pub fn listed<'a>(&self, domain: &str, open: impl Iterator<Item = &'a Destruction>) {
        let (mut states, mut awaiting, mut back) = (BTreeMap::new(), 0, 0);
        for one in open {
            let Some(status) = &one.status else { continue };
            let state = status.state.as_deref().and_then(Reason::read).unwrap_or(Reason::NotReconciled);
            *states.entry(state).or_insert(0) += 1;
            if state == Reason::AwaitingApproval {
                let made = one.metadata.creation_timestamp.as_ref().map_or(0, |made| made.0.as_second());
                awaiting = if awaiting == 0 { made } else { made.min(awaiting) };
            }
            back += status.keys.iter().filter(|key| key.state == Reason::Resurrected.as_str()).count();
        }
        for state in Reason::ALL {
            let labels = labels(domain, "state", state.as_str());
            match states.get(state) {
                Some(count) => _ = self.destructions.get_or_create(&labels).set(*count),
                None => _ = self.destructions.remove(&labels),
            }
        }
        self.awaiting.get_or_create(&of(domain)).set(awaiting);
        self.resurrected.get_or_create(&of(domain)).set(i64::try_from(back).unwrap_or(i64::MAX));
    }

    /// Notes whether destruction is frozen in a trust domain.
    pub fn frozen(&self, domain: &str, fault: Option<&Fault>) {
        replace(&self.frozen, domain, fault);
    }

    /// Notes the result for a key.
    pub fn settled(&self, settled: &KeyStep) {
        self.begun.inc_by(u64::from(settled.begun));
        self.destroyed.inc_by(u64::from(settled.ended));
    }

    /// All metrics, in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// One reason at a time for each trust domain.
fn replace(family: &Family<Labels, Gauge<i64, AtomicI64>>, domain: &str, fault: Option<&Fault>) {
    for reason in Reason::ALL {
        let labels = labels(domain, "reason", reason.as_str());
        if fault.is_some_and(|fault| fault.reason == *reason) {
            family.get_or_create(&labels).set(1);
        } else {
            family.remove(&labels);
        }
    }
}

fn of(domain: &str) -> Labels {
    vec![("trust_domain", domain.to_owned())]
}

fn labels(domain: &str, name: &'static str, word: &str) -> Labels {
    vec![("trust_domain", domain.to_owned()), (name, word.to_owned())]
}
