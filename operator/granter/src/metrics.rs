//! The granter's metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicI64},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use subrosa_crds::{AccessRevocation, Reason};
use subrosa_plan::roles::{conflicts::RoleName, revoked};

type Labels = Vec<(&'static str, String)>;

/// The states of AccessGrants.
pub const GRANT_STATES: [&str; 4] = ["waiting", "in_force", "over", "unknown"];

/// The metrics of the granter.
#[derive(Debug)]
pub struct GranterMetrics {
    registry: Mutex<Registry>,
    success: Family<Labels, Gauge<i64, AtomicI64>>,
    roles: Family<Labels, Gauge<i64, AtomicI64>>,
    without_second_factor: Family<Labels, Gauge<i64, AtomicI64>>,
    grants: Family<Labels, Gauge<i64, AtomicI64>>,
    grants_left: Family<Labels, Gauge<i64, AtomicI64>>,
    review_due: Family<Labels, Gauge<i64, AtomicI64>>,
    /// The series of `review_due` that stand there, by trust domain.
    reviewed: Mutex<BTreeMap<String, BTreeSet<Labels>>>,
    glass_used: Family<Labels, Gauge<i64, AtomicI64>>,
    glass_due: Family<Labels, Gauge<i64, AtomicI64>>,
    glass_closed: Family<Labels, Gauge<i64, AtomicI64>>,
    /// The series of that which stand there, by trust domain.
    closed: Mutex<BTreeMap<String, BTreeSet<Labels>>>,
    /// The series of the two before that stand there, by trust domain.
    glass: Mutex<BTreeMap<String, BTreeSet<Labels>>>,
    revocations: Family<Labels, Gauge<i64, AtomicI64>>,
    revoking_since: Family<Labels, Gauge<i64, AtomicI64>>,
}

impl Default for GranterMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("subrosa");
        let success = Family::default();
        registry.register(
            "granter_last_success_timestamp_seconds",
            "When the granter last looked at every slot of a trust domain; 0 until it did",
            success.clone(),
        );
        let roles = Family::default();
        registry.register(
            "granter_access_roles",
            "AccessRoles of a trust domain, by whether they are ready",
            roles.clone(),
        );
        let without_second_factor = Family::default();
        registry.register(
            "granter_access_roles_without_second_factor",
            "AccessRoles of a trust domain whose login has an exception from asking for a second factor",
            without_second_factor.clone(),
        );
        let grants = Family::default();
        registry.register(
            "granter_access_grants",
            "AccessGrants of a trust domain, by whether they wait, are in force, are over, or nobody knows",
            grants.clone(),
        );
        let grants_left = Family::default();
        registry.register(
            "granter_access_grants_left",
            "How many more AccessGrants of a trust domain can be over before none begins any more",
            grants_left.clone(),
        );
        let review_due = Family::default();
        registry.register(
            "accessrole_review_due_timestamp_seconds",
            "By when an AccessRole has to be reviewed",
            review_due.clone(),
        );
        let glass_used = Family::default();
        registry.register(
            "break_glass_last_use_timestamp_seconds",
            "When somebody last logged in by break-glass of an AccessRole; only until that is reviewed",
            glass_used.clone(),
        );
        let glass_due = Family::default();
        registry.register(
            "break_glass_review_due_timestamp_seconds",
            "By when uses of break-glass of an AccessRole have to be reviewed",
            glass_due.clone(),
        );
        let glass_closed = Family::default();
        registry.register(
            "break_glass_closed",
            "1 while break-glass of an AccessRole opens nothing since nobody sees what is opened; only while that is so",
            glass_closed.clone(),
        );
        let revocations = Family::default();
        registry.register(
            "granter_access_revocations",
            "AccessRevocations, by whether they are not done yet, stand, or were released",
            revocations.clone(),
        );
        let revoking_since = Family::default();
        registry.register(
            "granter_access_revocation_pending_timestamp_seconds",
            "When the oldest AccessRevocation of a person, or of something else, was made that is not done; only while there is one",
            revoking_since.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            success,
            roles,
            without_second_factor,
            grants,
            grants_left,
            review_due,
            reviewed: Mutex::default(),
            glass_used,
            glass_due,
            glass_closed,
            closed: Mutex::default(),
            glass: Mutex::default(),
            revocations,
            revoking_since,
        }
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

    /// Notes how many AccessRoles of a trust domain have a login that asks for no second factor.
    pub fn without_second_factor(&self, domain: &str, count: usize) {
        let labels = vec![("trust_domain", domain.to_owned())];
        self.without_second_factor.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many AccessGrants of a trust domain are in each state.
    pub fn granted(&self, domain: &str, states: &[(&'static str, usize)]) {
        for (state, count) in states {
            let labels = vec![("trust_domain", domain.to_owned()), ("state", (*state).to_owned())];
            self.grants.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// How many more AccessGrants of a trust domain can be over before none begins any more.
    pub fn grants_left(&self, domain: &str, count: usize) {
        let labels = vec![("trust_domain", domain.to_owned())];
        self.grants_left.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many AccessRevocations are not done, stand or were released, and how long the oldest has not been done.
    pub fn revoking(&self, all: &[Arc<AccessRevocation>]) {
        let mut counts = [("pending", 0_i64), ("standing", 0), ("released", 0)];
        for one in all {
            let state = match revoked::is_released(one) {
                true => "released",
                false if revoked::is_pending(one) => "pending",
                false => "standing",
            };
            counts.iter_mut().filter(|(of, _)| *of == state).for_each(|(_, count)| *count += 1);
        }
        for (state, count) in counts {
            self.revocations.get_or_create(&vec![("state", state.to_owned())]).set(count);
        }
        for (subject, is_person) in [("person", true), ("other", false)] {
            let pending = all.iter().filter(|one| {
                let is_of_it = one.spec.subject.user.is_some() == is_person;
                is_of_it && revoked::is_pending(one) && !revoked::is_released(one)
            });
            let made = pending.filter_map(|one| one.metadata.creation_timestamp.as_ref());
            let labels = vec![("subject", subject.to_owned())];
            match made.map(|time| time.0).min() {
                Some(oldest) => drop(self.revoking_since.get_or_create(&labels).set(oldest.as_second())),
                None => drop(self.revoking_since.remove(&labels)),
            }
        }
    }

    /// When break-glass of each role of a trust domain was used last, and by when that has to be reviewed. Uses of no role
    /// have an empty name.
    pub fn break_glass(&self, domain: &str, told: &BTreeMap<RoleName, (Timestamp, Timestamp)>) {
        let mut glass = self.glass.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<Labels> = told.keys().map(|role| of_role(domain, role)).collect();
        for gone in glass.get(domain).into_iter().flatten().filter(|one| !now.contains(*one)) {
            self.glass_used.remove(gone);
            self.glass_due.remove(gone);
        }
        for (role, (used, due)) in told {
            self.glass_used.get_or_create(&of_role(domain, role)).set(used.as_second());
            self.glass_due.get_or_create(&of_role(domain, role)).set(due.as_second());
        }
        glass.insert(domain.to_owned(), now);
    }

    /// Of which roles of a trust domain break-glass opens nothing since nobody sees what is opened, and how that is called.
    pub fn break_glass_closed(&self, domain: &str, closed: &BTreeMap<RoleName, Reason>) {
        let labels = |(role, reason): (&RoleName, &Reason)| {
            let mut labels = of_role(domain, role);
            labels.push(("reason", reason.as_str().to_owned()));
            labels
        };
        let now: BTreeSet<Labels> = closed.iter().map(labels).collect();
        let mut known = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.get(domain).into_iter().flatten().filter(|one| !now.contains(*one)) {
            self.glass_closed.remove(gone);
        }
        for one in &now {
            self.glass_closed.get_or_create(one).set(1);
        }
        known.insert(domain.to_owned(), now);
    }

    /// By when each role of a trust domain has to be reviewed.
    pub fn reviews(&self, domain: &str, due: &BTreeMap<RoleName, Timestamp>) {
        let labels = |role: &RoleName| of_role(domain, role);
        let mut reviewed = self.reviewed.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<Labels> = due.keys().map(labels).collect();
        for gone in reviewed.get(domain).into_iter().flatten().filter(|one| !now.contains(*one)) {
            self.review_due.remove(gone);
        }
        for (role, due) in due {
            self.review_due.get_or_create(&labels(role)).set(due.as_second());
        }
        reviewed.insert(domain.to_owned(), now);
    }

    /// Drops a deleted trust domain.
    pub fn forget(&self, domain: &str) {
        self.reviews(domain, &BTreeMap::new());
        self.break_glass(domain, &BTreeMap::new());
        self.break_glass_closed(domain, &BTreeMap::new());
        self.success.remove(&vec![("trust_domain", domain.to_owned())]);
        self.without_second_factor.remove(&vec![("trust_domain", domain.to_owned())]);
        self.grants_left.remove(&vec![("trust_domain", domain.to_owned())]);
        for state in GRANT_STATES {
            self.grants.remove(&vec![("trust_domain", domain.to_owned()), ("state", state.to_owned())]);
        }
        for is_ready in ["true", "false"] {
            self.roles.remove(&vec![("trust_domain", domain.to_owned()), ("ready", is_ready.to_owned())]);
        }
    }
}

fn of_role(domain: &str, (namespace, name): &RoleName) -> Labels {
    vec![("trust_domain", domain.to_owned()), ("role_namespace", namespace.clone()), ("role", name.clone())]
}
