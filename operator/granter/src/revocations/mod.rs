//! AccessRevocations: ends what they name before anything else, in a loop of its own that waits for no role.
//!
//! The entities of people are disabled here ([`people`]); roles and groups are left out by each round of the granter,
//! which tells the result here. Releases and the status of every revocation are written here too.

mod people;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::join_all;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};
use subrosa_crds::{AccessRevocation, AccessRole, Reason, TrustDomain, approval::Decision};
use subrosa_plan::{
    record::revocations::RevocationsRecord,
    roles::{
        break_glass::GlassFacts,
        conflicts,
        revoked::{self, RevokedPeople, StandingRevocations, entities, status::RevocationOutcome},
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

use crate::{FIELD_MANAGER, vaults::OpenVaults, view::ClusterView};

/// The UID of a revocation.
type Uid = String;

/// What the granter knows of revocations.
#[derive(Default)]
pub struct Revocations {
    /// The record of each trust domain as it was read last.
    records: Mutex<BTreeMap<String, RevocationsRecord>>,
    /// What became of the roles that revocations name, by trust domain.
    withheld: Mutex<BTreeMap<String, BTreeMap<Uid, RevocationOutcome>>>,
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
            let mut touched = revoked::touched(one, roles.iter().map(AsRef::as_ref));
            let named = one.spec.subject.group.as_ref().map(|group| group.to_lowercase());
            let by_glass = roles.iter().filter(|role| {
                let group = role.spec.break_glass.as_ref().map(|glass| glass.group.to_lowercase());
                group.is_some() && group == named
            });
            touched.extend(by_glass.map(|role| conflicts::name(role)));
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

    /// Looks at every revocation that is not done, and where `all` says so at those that stand: new ones first, also those that
    /// come while this goes on.
    pub async fn look(&self, with: &RevocationInputs<'_>, all: bool) {
        let mut seen: BTreeSet<Uid> = BTreeSet::new();
        self.begin(with, &mut seen).await;
        if !all {
            return;
        }
        let mut standing = with.view.revocations.state();
        standing.retain(|one| !seen.contains(&one.uid().unwrap_or_default()));
        standing.sort_by_key(|one| one.name_any());
        for batch in standing.chunks(AT_ONCE) {
            self.batch(with, batch).await;
            self.begin(with, &mut seen).await;
        }
    }

    /// Looks at those that are not done and not among `seen`.
    async fn begin(&self, with: &RevocationInputs<'_>, seen: &mut BTreeSet<Uid>) {
        let mut new = with.view.revocations.state();
        new.retain(|one| is_new(one) && seen.insert(one.uid().unwrap_or_default()));
        new.sort_by_key(|one| (one.creation_timestamp().map(|time| time.0), one.name_any()));
        self.batch(with, &new).await;
    }

    async fn batch(&self, with: &RevocationInputs<'_>, batch: &[Arc<AccessRevocation>]) {
        if batch.is_empty() {
            return;
        }
        let domains = with.view.domains.state();
        let people = RevokedPeople::of(with.view.revocations.state().iter().map(AsRef::as_ref));
        let looks = domains.iter().map(|domain| self.domain(with, domain, batch, &people));
        let found: BTreeMap<String, BTreeMap<Uid, RevocationOutcome>> =
            domains.iter().map(|domain| domain.name_any()).zip(join_all(looks).await).collect();
        for one in batch {
            self.tell(with, one, &found).await;
        }
    }

    /// What became of `batch` in one trust domain.
    async fn domain(
        &self,
        with: &RevocationInputs<'_>,
        domain: &TrustDomain,
        batch: &[Arc<AccessRevocation>],
        people: &RevokedPeople,
    ) -> BTreeMap<Uid, RevocationOutcome> {
        let name = domain.name_any();
        let named = || batch.iter().map(AsRef::as_ref).filter(|one| one.spec.names_domain(&name));
        if named().next().is_none() {
            return BTreeMap::new();
        }
        let own = with.vaults.of(domain).await;
        let record = self.record(&name, own.as_ref().ok().map(AsRef::as_ref)).await;
        let standing = StandingRevocations::of(&name, named(), &record);
        let mut outcomes: BTreeMap<Uid, RevocationOutcome> = {
            let withheld = locked(&self.withheld);
            let seen = withheld.get(&name);
            let of_roles = standing.iter().filter(|one| one.spec.subject.user.is_none()).map(|one| {
                let uid = one.uid().unwrap_or_default();
                let seen = seen.and_then(|seen| seen.get(&uid)).cloned();
                (uid, seen.unwrap_or(RevocationOutcome::Pending))
            });
            of_roles.collect()
        };
        match own {
            Ok(own) => {
                outcomes.extend(people::disable(domain, &own, &standing, &record).await);
                let record = people::release(with, domain, &own, named(), people, record).await;
                locked(&self.records).insert(name.clone(), record.clone());
                let released = named().filter_map(|one| {
                    let uid = one.uid()?;
                    let mark = record.released.get(&uid)?.clone();
                    let waits = entities::to_enable(&record)
                        .iter()
                        .any(|id| record.entities.get(id).is_some_and(|uids| uids.contains(&uid)));
                    let outcome = if waits {
                        RevocationOutcome::Fault(Fault::new(Reason::Revoking, NOT_ENABLED))
                    } else {
                        RevocationOutcome::Released(mark)
                    };
                    Some((uid, outcome))
                });
                outcomes.extend(released);
            }
            Err(fault) => {
                let outcome = if domain.spec.access.is_none() && NEVER_SET_UP.contains(&fault.reason) {
                    // Nobody logs in there.
                    RevocationOutcome::Disabled { entities: 0, also_hits: BTreeSet::new() }
                } else {
                    tracing::warn!(domain = name, reason = fault.reason.as_str(), "{}", fault.message);
                    RevocationOutcome::Fault(fault)
                };
                let of_people = standing.iter().filter(|one| one.spec.subject.user.is_some());
                outcomes.extend(of_people.map(|one| (one.uid().unwrap_or_default(), outcome.clone())));
            }
        }
        outcomes
    }

    /// Writes the status of a revocation.
    async fn tell(
        &self,
        with: &RevocationInputs<'_>,
        revocation: &AccessRevocation,
        found: &BTreeMap<String, BTreeMap<Uid, RevocationOutcome>>,
    ) {
        let uid = revocation.uid().unwrap_or_default();
        let mut outcomes: BTreeMap<String, RevocationOutcome> = found
            .iter()
            .filter_map(|(domain, found)| Some((domain.clone(), found.get(&uid)?.clone())))
            .collect();
        for missing in revocation.spec.trust_domains.iter().filter(|name| !found.contains_key(*name)) {
            let message = format!(
                "spec.trustDomains: there is no TrustDomain {missing}; next: make another AccessRevocation that names it rightly"
            );
            let fault = Fault::new(Reason::NotFound, message);
            outcomes.insert(missing.clone(), RevocationOutcome::Fault(fault));
        }
        let people = RevokedPeople::of([revocation]);
        let voided = with.view.approvals.state().into_iter().filter(|one| {
            let expires = one.spec.expires.parse::<Timestamp>();
            one.spec.decision == Decision::Approve
                && people.has(&one.spec.approver)
                && expires.is_ok_and(|expires| expires > with.now)
        });
        // Measured by the clock of the machine, whatever the clock of reviews says.
        let status = revoked::status::status(revocation, &outcomes, voided.count(), Timestamp::now());
        let before = revocation.status.as_ref();
        let api = Api::<AccessRevocation>::all(with.client.clone());
        let written = cluster::write_status(&api, FIELD_MANAGER, revocation, before, &status).await;
        if let Err(fault) = written {
            tracing::warn!(
                revocation = revocation.name_any(),
                reason = fault.reason.as_str(),
                "its status was not written: {}",
                fault.message
            );
        }
    }
}

/// How many that stand are looked at before new ones are looked for.
const AT_ONCE: usize = 8;

/// Why a release is not done.
const NOT_ENABLED: &str = "it was released, and an entity is not enabled again yet; the granter tries again";

/// Faults with which what a role gave is taken away all the same.
pub const GIVES_NOTHING: [Reason; 2] = [Reason::LoginMissing, Reason::ForeignLogin];
/// Without `spec.access` Vault may never have been set up for the granter.
pub const NEVER_SET_UP: [Reason; 3] =
    [Reason::VaultLoginRefused, Reason::VaultPermissionDenied, Reason::VaultConfigInvalid];

/// Why it is not known that break-glass of a role opens no more than it should.
fn not_withdrawn(glass: &GlassFacts) -> Option<&Fault> {
    let fault = glass.prepared.as_ref().err()?;
    let is_withdrawn = [
        Reason::ConflictingRoles,
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

fn is_new(revocation: &AccessRevocation) -> bool {
    revocation.status.as_ref().is_none_or(|status| status.done_at.is_none())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
