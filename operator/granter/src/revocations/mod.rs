//! AccessRevocations: ends what they name before anything else, in loops of their own that wait for no role.
//!
//! ```text
//!   new ones ─┬─ people ─▶ [`people`]: their entities are disabled
//!             └─ others ─▶ [`withdraw`]: slots lose members, Roles and RoleBindings go
//!   those that stand ─▶ [`people`]: entities that were made later; what each round tells of roles; releases
//! ```
//!
//! Each line is a loop of its own ([`crate::Granter::revoke_until`]), which writes the status of what it looks at.

mod people;
mod release;
mod withdraw;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{join, join_all};
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};
use subrosa_crds::{AccessRevocation, AccessRole, Reason, TrustDomain, approval::Decision};
use subrosa_plan::{
    record::revocations::RevocationsRecord,
    roles::{
        break_glass::GlassFacts,
        conflicts,
        revoked::{self, RevokedPeople, StandingRevocations, shared, status::RevocationOutcome},
        status::{BoundFacts, RoleFacts},
    },
    world::fault::Fault,
};
use subrosa_process::{cluster, guard::GuardCheck, vault::OwnVault};
use subrosa_records::{
    store::Store,
    vault::{RecordPath, VaultError},
};
use tokio::sync::Notify;

use self::people::KnownPeople;
use crate::{FIELD_MANAGER, gate::GivingGate, vaults::OpenVaults, view::ClusterView};

/// The UID of a revocation.
type Uid = String;
/// What became of revocations, by trust domain.
type Outcomes = BTreeMap<String, BTreeMap<Uid, RevocationOutcome>>;

/// Whose revocations are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// Those of people.
    People,
    /// Those of groups, ServiceAccounts, roles and namespaces.
    Others,
}

impl Subjects {
    fn has(self, one: &AccessRevocation) -> bool {
        one.spec.subject.user.is_some() == (self == Self::People)
    }
}

/// What the granter knows of revocations.
#[derive(Default)]
pub struct Revocations {
    /// The record of each trust domain as it was read last.
    records: Mutex<BTreeMap<String, RevocationsRecord>>,
    /// What became of the roles that revocations name, as the last round told.
    withheld: Mutex<Outcomes>,
    /// What became of every revocation, as it was seen last.
    seen: Mutex<Outcomes>,
    /// The entities of people who are revoked, by trust domain.
    known: Mutex<BTreeMap<String, KnownPeople>>,
    told: Notify,
}

/// What one look needs.
pub struct RevocationInputs<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The watches.
    pub view: &'a ClusterView,
    /// The Vaults.
    pub vaults: &'a OpenVaults,
    /// The admission policy of Approvals.
    pub guard: &'a GuardCheck,
    /// What rounds write.
    pub gate: &'a GivingGate,
    /// The time.
    pub now: Timestamp,
}

impl Revocations {
    /// Waits until a round told what became of roles.
    pub async fn told(&self) {
        self.told.notified().await;
    }

    /// The record of a trust domain. While it cannot be read, the last one stands; an unreadable one counts as empty, so that
    /// nothing is released.
    pub async fn record(&self, domain: &str, own: Option<&OwnVault>) -> RevocationsRecord {
        let last = || locked(&self.records).get(domain).cloned().unwrap_or_default();
        let Some(own) = own else { return last() };
        let read = Store::<RevocationsRecord>::new(own.kv.clone()).read(&RecordPath::revocations()).await;
        let record = match read {
            Ok(entry) => entry.record.unwrap_or_default(),
            Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
                tracing::warn!(domain, "the record of revocations counts as empty: {error}");
                RevocationsRecord::default()
            }
            Err(_) => return last(),
        };
        locked(&self.records).insert(domain.to_owned(), record.clone());
        record
    }

    /// Notes what a round made of the roles of a trust domain.
    pub fn note(
        &self,
        domain: &str,
        standing: &StandingRevocations<'_>,
        roles: &[Arc<AccessRole>],
        facts: &[RoleFacts],
        bound: &[BoundFacts],
    ) {
        let of_roles = standing.iter().filter(|one| one.spec.subject.user.is_none());
        let outcomes = of_roles.map(|one| {
            let touched = revoked::touched(one, roles.iter().map(AsRef::as_ref));
            let mut found = roles.iter().zip(facts).zip(bound);
            let fault = found.find_map(|((role, facts), bound)| {
                let fault = match (&facts.fault, bound) {
                    // Withdrawals happen all the same.
                    (Some(fault), _) if !GIVES_NOTHING.contains(&fault.reason) => fault,
                    (_, BoundFacts::Fault(fault)) => fault,
                    _ => facts.glass.as_ref().and_then(not_withdrawn)?,
                };
                touched.contains(&conflicts::name(role)).then(|| fault.clone())
            });
            let outcome = fault.map_or(RevocationOutcome::Withheld(touched), RevocationOutcome::Fault);
            (one.uid().unwrap_or_default(), outcome)
        });
        let outcomes = outcomes.collect();
        let before = locked(&self.withheld).insert(domain.to_owned(), outcomes);
        if before.as_ref() != locked(&self.withheld).get(domain) {
            self.told.notify_one();
        }
    }

    /// Looks at every revocation of these subjects that is not done; returns whether all of them are done then.
    pub async fn begin(&self, with: &RevocationInputs<'_>, subjects: Subjects) -> bool {
        let mut new = with.view.revocations.state();
        new.retain(|one| revoked::is_pending(one) && subjects.has(one));
        if new.is_empty() {
            return true;
        }
        new.sort_by_key(|one| (one.creation_timestamp().map(|time| time.0), one.name_any()));
        let domains = with.view.domains.state();
        let looks: Vec<_> =
            domains.iter().map(|domain| self.begin_in(with, domain, &new, subjects)).collect();
        let voided = voided(with);
        // Who else is hit is told meanwhile: nothing waits for that.
        let (_, told) = join(join_all(looks), self.name_others(with, &new, &domains, &voided)).await;
        let mut is_done = true;
        for one in &told {
            is_done &= self.tell(with, one, &domains, &voided).await;
        }
        is_done
    }

    /// Tells of `new` revocations which TrustDomains they hit that they do not name, where that is not told yet; returns them as they
    /// are then.
    async fn name_others(
        &self,
        with: &RevocationInputs<'_>,
        new: &[Arc<AccessRevocation>],
        domains: &[Arc<TrustDomain>],
        voided: &BTreeMap<String, usize>,
    ) -> Vec<Arc<AccessRevocation>> {
        let mut new = new.to_vec();
        for one in &mut new {
            let also = also_in(one, domains);
            let told =
                one.status.as_ref().map(|status| status.also_trust_domains.as_slice()).unwrap_or_default();
            if also.iter().all(|name| told.contains(name)) {
                continue;
            }
            let named =
                domains.iter().map(|domain| domain.name_any()).filter(|name| one.spec.names_domain(name));
            let outcomes = named.map(|name| (name, RevocationOutcome::Pending)).collect();
            match self.write(with, one, &outcomes, domains, voided).await {
                Ok((Some(written), _)) => *one = Arc::new(written),
                Ok((None, _)) => {}
                // The others would wait as long.
                Err(_) => break,
            }
        }
        new
    }

    async fn begin_in(
        &self,
        with: &RevocationInputs<'_>,
        domain: &TrustDomain,
        new: &[Arc<AccessRevocation>],
        subjects: Subjects,
    ) {
        let name = domain.name_any();
        let named = || new.iter().map(AsRef::as_ref).filter(|one| one.spec.names_domain(&name));
        if named().next().is_none() {
            return;
        }
        let own = with.vaults.of(domain).await;
        let record = self.record(&name, own.as_ref().ok().map(AsRef::as_ref)).await;
        let standing = StandingRevocations::of(&name, named(), &record);
        let mut outcomes = match (subjects, &own) {
            (Subjects::Others, own) => withdraw::withdraw(with, domain, own.as_deref(), &standing).await,
            (Subjects::People, Ok(own)) => people::disable(domain, own, &standing, &record).await,
            (Subjects::People, Err(fault)) => people::unreached(domain, fault, &standing),
        };
        outcomes.extend(release::outcomes(named(), &record));
        locked(&self.seen).entry(name).or_default().extend(outcomes);
    }

    /// Looks at every revocation that stands, and where `people` says so for entities that were made later; notes releases.
    pub async fn sweep(&self, with: &RevocationInputs<'_>, people: bool) {
        let all = with.view.revocations.state();
        if all.is_empty() {
            return;
        }
        let domains = with.view.domains.state();
        let looks: Vec<_> = domains.iter().map(|domain| self.sweep_in(with, domain, &all, people)).collect();
        join_all(looks).await;
        let voided = voided(with);
        for one in &all {
            let is_released = || {
                let seen = locked(&self.seen);
                let uid = one.uid().unwrap_or_default();
                seen.values().any(|seen| matches!(seen.get(&uid), Some(RevocationOutcome::Released(_))))
            };
            if !revoked::is_pending(one) || is_released() {
                self.tell(with, one, &domains, &voided).await;
            }
        }
    }

    async fn sweep_in(
        &self,
        with: &RevocationInputs<'_>,
        domain: &TrustDomain,
        all: &[Arc<AccessRevocation>],
        people: bool,
    ) {
        let name = domain.name_any();
        let named = || all.iter().map(AsRef::as_ref).filter(|one| one.spec.names_domain(&name));
        if named().next().is_none() {
            return;
        }
        let own = with.vaults.of(domain).await;
        let record = self.record(&name, own.as_ref().ok().map(AsRef::as_ref)).await;
        let standing =
            StandingRevocations::of(&name, named().filter(|one| !revoked::is_pending(one)), &record);
        let mut outcomes: BTreeMap<Uid, RevocationOutcome> = {
            let withheld = locked(&self.withheld);
            let seen = withheld.get(&name);
            let of_roles = standing.iter().filter(|one| Subjects::Others.has(one)).filter_map(|one| {
                let uid = one.uid()?;
                let seen = seen?.get(&uid)?.clone();
                Some((uid, seen))
            });
            of_roles.collect()
        };
        match &own {
            Ok(own) => {
                if people {
                    let known = locked(&self.known).get(&name).cloned().unwrap_or_default();
                    let (found, known) = people::sweep(domain, own, &standing, &record, known).await;
                    locked(&self.known).insert(name.clone(), known);
                    outcomes.extend(found);
                }
                let of = RevokedPeople::of(all.iter().map(AsRef::as_ref));
                let record = release::release(with, domain, own, named(), &of, record).await;
                outcomes.extend(release::outcomes(named(), &record));
                locked(&self.records).insert(name.clone(), record);
            }
            Err(fault) => outcomes.extend(people::unreached(domain, fault, &standing)),
        }
        let there: BTreeSet<Uid> = with.view.revocations.state().iter().filter_map(|one| one.uid()).collect();
        let mut seen = locked(&self.seen);
        let seen = seen.entry(name).or_default();
        seen.retain(|uid, _| there.contains(uid));
        seen.extend(outcomes);
    }

    /// Writes the status of a revocation; returns whether it is done.
    async fn tell(
        &self,
        with: &RevocationInputs<'_>,
        revocation: &AccessRevocation,
        domains: &[Arc<TrustDomain>],
        voided: &BTreeMap<String, usize>,
    ) -> bool {
        let uid = revocation.uid().unwrap_or_default();
        let mut outcomes: BTreeMap<String, RevocationOutcome> = {
            let seen = locked(&self.seen);
            let names = domains.iter().map(|domain| domain.name_any());
            let named = names.filter(|name| revocation.spec.names_domain(name));
            let outcome = |name: &String| seen.get(name)?.get(&uid).cloned();
            named.map(|name| (name.clone(), outcome(&name).unwrap_or(RevocationOutcome::Pending))).collect()
        };
        let is_there = |name: &&String| domains.iter().any(|domain| domain.name_any() == **name);
        for missing in revocation.spec.trust_domains.iter().filter(|name| !is_there(name)) {
            let message = format!(
                "spec.trustDomains: there is no TrustDomain {missing}; next: make another AccessRevocation that names it rightly"
            );
            let fault = Fault::new(Reason::NotFound, message);
            outcomes.insert(missing.clone(), RevocationOutcome::Fault(fault));
        }
        let written = self.write(with, revocation, &outcomes, domains, voided).await;
        written.is_ok_and(|(_, is_done)| is_done)
    }

    /// Writes what became of a revocation; returns it as it is then, where something changed, and whether it is done.
    async fn write(
        &self,
        with: &RevocationInputs<'_>,
        revocation: &AccessRevocation,
        outcomes: &BTreeMap<String, RevocationOutcome>,
        domains: &[Arc<TrustDomain>],
        voided: &BTreeMap<String, usize>,
    ) -> Result<(Option<AccessRevocation>, bool), Fault> {
        let approver = revocation.spec.subject.approver();
        let voided = approver.and_then(|approver| voided.get(&approver)).copied().unwrap_or_default();
        let also = also_in(revocation, domains);
        // Measured by the clock of the machine, whatever the clock of reviews says.
        let status = revoked::status::status(revocation, outcomes, &also, voided, Timestamp::now());
        let before = revocation.status.as_ref();
        let api = Api::<AccessRevocation>::all(with.client.clone());
        let written = cluster::write_status(&api, FIELD_MANAGER, revocation, before, &status).await;
        if let Err(fault) = &written {
            tracing::warn!(
                revocation = revocation.name_any(),
                reason = fault.reason.as_str(),
                "its status was not written: {}",
                fault.message
            );
        }
        written.map(|written| (written, status.done_at.is_some()))
    }
}

fn also_in(revocation: &AccessRevocation, domains: &[Arc<TrustDomain>]) -> BTreeSet<String> {
    shared::also_in(revocation, &domains.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// How many Approvals there are of each person that have not expired, as the API server knows them, in lower case.
fn voided(with: &RevocationInputs<'_>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for one in with.view.approvals.state() {
        let expires = one.spec.expires.parse::<Timestamp>();
        if one.spec.decision == Decision::Approve && expires.is_ok_and(|expires| expires > with.now) {
            *counted.entry(one.spec.approver.to_lowercase()).or_default() += 1;
        }
    }
    counted
}

/// Faults with which what a role gave is taken away all the same.
pub const GIVES_NOTHING: [Reason; 2] = [Reason::LoginMissing, Reason::ForeignLogin];
/// Without `spec.access` Vault may never have been set up for the granter.
pub const NEVER_SET_UP: [Reason; 3] =
    [Reason::VaultLoginRefused, Reason::VaultPermissionDenied, Reason::VaultConfigInvalid];

/// Why it is not known that break-glass of a role opens no more than it should.
fn not_withdrawn(glass: &GlassFacts) -> Option<&Fault> {
    let fault = glass.prepared.as_ref().err()?;
    let is_withdrawn = [
        Reason::AuditLogNotGiven,
        Reason::AuditLogUnreadable,
        Reason::ConflictingRoles,
        Reason::ExceptionExpired,
        Reason::GroupNotEnrolled,
        Reason::GroupsExhausted,
        Reason::NotFound,
        Reason::ReviewOverdue,
        Reason::Revoked,
        Reason::RightsPending,
        Reason::SlotsExhausted,
        Reason::UnknownDataClass,
    ];
    let known = [&is_withdrawn[..], &GIVES_NOTHING, &NEVER_SET_UP].concat();
    (!known.contains(&fault.reason)).then_some(fault)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
