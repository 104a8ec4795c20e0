//! AccessGrants: lets single persons into grant slots for a time, and takes them out again. The decisions are in
//! [`subrosa_plan::roles::grants`].
//!
//! Each round ends what is over first, then goes on with what began, and begins new grants last. The record is written before
//! what it speaks of.

mod begin;
mod close;
mod people;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};
use subrosa_crds::{
    AccessGrant, AccessGrantStatus, AccessRole, Reason, TrustDomain, access_role::SeenUses, condition,
};
use subrosa_plan::{
    record::grants::{GrantEnd, OpenGrant},
    roles::{
        conflicts,
        grants::{
            decision::{self, GrantInputs, JudgedGrant},
            progress::{self, GrantStep},
            status::{self, GrantOutcome},
        },
        revoked::{RevokedPeople, StandingRevocations},
    },
    world::fault::Fault,
};
use subrosa_process::{
    cluster,
    guard::GuardCheck,
    vault::{OwnVault, fault},
};
use subrosa_records::vault::VaultError;

use self::{
    people::SeenPeople,
    vault::{KeptGrants, Places, outdated},
};
use crate::{
    FIELD_MANAGER,
    audit::VaultAuditLog,
    domain::{OpenedByPair, Withheld},
    gate::{Pass, Since},
    metrics::{GRANT_STATES, GranterMetrics},
    reminders::Reminders,
    reviews::seen,
    view::ClusterView,
};

/// What the granter keeps of grants between rounds.
#[derive(Debug, Default)]
pub struct Grants {
    /// The trust domains whose grant slots were looked at since the start.
    swept: Mutex<BTreeSet<String>>,
    /// The trust domains in which a grant waits for the operator.
    waiting: Mutex<BTreeSet<String>>,
}

/// What one look needs beside Vault.
pub struct GrantRound<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The admission policy of Approvals.
    pub guard: &'a GuardCheck,
    /// What is watched.
    pub view: &'a ClusterView,
    /// The trust domain.
    pub domain: &'a TrustDomain,
    /// Its roles.
    pub roles: &'a [Arc<AccessRole>],
    /// The roles that give nothing.
    pub withheld: &'a Withheld,
    /// The AccessRevocations that stand.
    pub standing: &'a StandingRevocations<'a>,
    /// What was revoked meanwhile.
    pub since: &'a Since<'a>,
    /// Why it is not known which roles give nothing.
    pub unknown: Option<&'a Fault>,
    /// Vault's audit log.
    pub audit: &'a VaultAuditLog,
    /// The time.
    pub now: Timestamp,
}

/// What was found of a grant.
struct FoundGrant {
    grant: Arc<AccessGrant>,
    /// What was decided; none where nobody could.
    judged: Option<JudgedGrant>,
    outcome: GrantOutcome,
    /// How often the person opened it; none where it did not begin, or was over before.
    uses: Option<SeenUses>,
}

/// What one look came to.
struct Looked {
    found: Vec<FoundGrant>,
    /// Whether every slot is as it has to be.
    is_whole: bool,
    /// How many more grants can be over before none begins any more; none where the record could not be read.
    left: Option<usize>,
}

impl Grants {
    /// Whether a grant waits for the operator.
    pub fn waits(&self) -> bool {
        !locked(&self.waiting).is_empty()
    }

    /// Brings the grant slots of a trust domain to what its AccessGrants say, and tells it. Returns whether every slot is so.
    pub async fn run(
        &self,
        scope: &GrantRound<'_>,
        own: &Result<Arc<OwnVault>, Fault>,
        reminders: &Reminders,
        metrics: &GranterMetrics,
    ) -> bool {
        let name = scope.domain.name_any();
        let Looked { found, is_whole, left } = self.look(scope, own).await;
        if let Some(left) = left {
            metrics.grants_left(&name, left);
        }
        let is_opening = |one: &FoundGrant| matches!(&one.outcome, GrantOutcome::Waits(fault) if fault.reason == Reason::RightsPending);
        match found.iter().any(is_opening) {
            true => drop(locked(&self.waiting).insert(name.clone())),
            false => drop(locked(&self.waiting).remove(&name)),
        }
        let mut states = GRANT_STATES.map(|state| (state, 0));
        for one in &found {
            let of = match one.outcome {
                GrantOutcome::Waits(_) => "waiting",
                GrantOutcome::InForce { .. } => "in_force",
                GrantOutcome::Over(_) => "over",
                GrantOutcome::Unknown(_) => "unknown",
            };
            states.iter_mut().filter(|(state, _)| *state == of).for_each(|(_, count)| *count += 1);
            if let Some(news) = tell(scope, one).await {
                reminders.tell_grant(scope.client, &one.grant, &news).await;
            }
        }
        metrics.granted(&name, &states);
        is_whole
    }

    /// Tells grants of namespaces of no trust domain that they give nothing.
    pub async fn refuse(&self, client: &Client, grants: Vec<Arc<AccessGrant>>, now: Timestamp) {
        for grant in grants {
            let message = "the namespace belongs to no TrustDomain, so nothing is given; next: label it";
            let outcome = GrantOutcome::Waits(Fault::new(Reason::NamespaceNotGoverned, message));
            let wanted = status::status(&grant, None, None, &outcome, now);
            write(client, &grant, &wanted).await;
        }
    }

    /// Brings the grant slots of a trust domain to what its AccessGrants say.
    async fn look(&self, scope: &GrantRound<'_>, own: &Result<Arc<OwnVault>, Fault>) -> Looked {
        let name = scope.domain.name_any();
        let grants = scope.view.grants_of(&name);
        let unknown = |fault: &Fault| {
            let found = |grant: &Arc<AccessGrant>| FoundGrant {
                grant: Arc::clone(grant),
                judged: None,
                outcome: GrantOutcome::Unknown(fault.clone()),
                uses: None,
            };
            let found = grants.iter().map(found).collect();
            Looked { found, is_whole: grants.is_empty(), left: None }
        };
        let own = match own {
            Ok(own) => own,
            Err(fault) => return unknown(fault),
        };
        let mut round = match Round::begin(scope, own, &grants).await {
            Ok(round) => round,
            Err(fault) => {
                // Before vault-setup knows of grants there are none.
                if !grants.is_empty() {
                    tracing::warn!(
                        domain = name,
                        reason = fault.reason.as_str(),
                        "grants: {}",
                        fault.message
                    );
                }
                return unknown(&fault);
            }
        };
        let open_before = round.kept.record.open.clone();
        let is_first = !locked(&self.swept).contains(&name);
        if grants.is_empty() && round.kept.record.open.is_empty() && !is_first {
            return Looked { found: Vec::new(), is_whole: true, left: Some(round.left()) };
        }
        let done = round.run(is_first).await;
        let is_whole = done.is_ok();
        match done {
            Ok(()) => {
                locked(&self.swept).insert(name);
            }
            Err(fault) => {
                tracing::warn!(domain = name, reason = fault.reason.as_str(), "grants: {}", fault.message);
                let unknown = GrantOutcome::Unknown(fault);
                for grant in &grants {
                    round.outcomes.entry(uid(grant)).or_insert_with(|| unknown.clone());
                }
            }
        }
        let left = Some(round.left());
        let found = grants.iter().map(|grant| FoundGrant {
            grant: Arc::clone(grant),
            uses: {
                let uid = uid(grant);
                let open = round.kept.record.open.get(&uid).cloned();
                let open = open.or_else(|| open_before.get(&uid).cloned());
                let before = grant.status.as_ref().and_then(|status| status.uses.as_ref());
                open.and_then(|open| {
                    scope.audit.of_grant(scope.domain, &uid, &open, &round.opened(&uid), before)
                })
            },
            judged: round.judged.remove(&uid(grant)),
            outcome: round
                .outcomes
                .remove(&uid(grant))
                .unwrap_or_else(|| GrantOutcome::Unknown(not_looked())),
        });
        Looked { found: found.collect(), is_whole, left }
    }
}

/// Writes the status of a grant; returns what an Event says of it, where it is something else than before.
async fn tell(scope: &GrantRound<'_>, found: &FoundGrant) -> Option<Fault> {
    let FoundGrant { grant, judged, outcome, uses } = found;
    let mut wanted = status::status(grant, role_of(scope, grant), judged.as_ref(), outcome, scope.now);
    if let Some(uses) = uses {
        wanted.uses = Some(uses.clone());
    }
    let ready = |status: &AccessGrantStatus| {
        let ready = condition::find(&status.conditions, condition::READY)?;
        Some(Fault::new(Reason::of(ready)?, ready.message.clone()))
    };
    let before = grant.status.as_ref().and_then(ready);
    let news = ready(&wanted).filter(|now| before.is_none_or(|before| before.reason != now.reason));
    let is_written = write(scope.client, grant, &wanted).await;
    news.filter(|_| is_written && !matches!(outcome, GrantOutcome::Unknown(_)))
}

/// Writes the status of a grant; returns whether the API server took it.
async fn write(client: &Client, grant: &AccessGrant, wanted: &AccessGrantStatus) -> bool {
    let api = Api::namespaced(client.clone(), &grant.namespace().unwrap_or_default());
    let written = cluster::write_status(&api, FIELD_MANAGER, grant, grant.status.as_ref(), wanted).await;
    if let Err(fault) = &written {
        tracing::warn!(
            grant = format!("{}/{}", grant.namespace().unwrap_or_default(), grant.name_any()),
            reason = fault.reason.as_str(),
            "its status was not written: {}",
            fault.message
        );
    }
    written.is_ok()
}

/// One look at one trust domain.
struct Round<'a> {
    scope: &'a GrantRound<'a>,
    own: &'a OwnVault,
    grants: &'a [Arc<AccessGrant>],
    kept: KeptGrants,
    judged: BTreeMap<String, JudgedGrant>,
    outcomes: BTreeMap<String, GrantOutcome>,
    /// Grants that have to end although the record could not be written.
    unnoted: BTreeSet<String>,
    /// The first fault that stopped nothing else.
    failed: Option<Fault>,
    seen: SeenPeople,
}

impl<'a> Round<'a> {
    async fn begin(
        scope: &'a GrantRound<'a>,
        own: &'a OwnVault,
        grants: &'a [Arc<AccessGrant>],
    ) -> Result<Self, Fault> {
        let kept = match KeptGrants::read(own).await {
            Ok(kept) => kept,
            Err(error) if error.is_unreadable() => {
                // Nobody knows who may be in which slot.
                let mut places = Places::read(scope.domain, own).await.map_err(|error| outdated(&error))?;
                for slot in places.all.keys().cloned().collect::<Vec<_>>() {
                    // Without its policy nobody opens anything by it either.
                    if places.admit(&slot, &BTreeSet::new()).await.is_err() {
                        places.shut(&[slot.as_str()]).await.map_err(|error| outdated(&error))?;
                    }
                }
                return Err(fault(&error));
            }
            Err(error) => return Err(outdated(&error)),
        };
        Ok(Self {
            scope,
            own,
            grants,
            kept,
            judged: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            unnoted: BTreeSet::new(),
            failed: None,
            seen: SeenPeople::default(),
        })
    }

    async fn run(&mut self, is_first: bool) -> Result<(), Fault> {
        let places = Places::read(self.scope.domain, self.own).await;
        let mut places = places.map_err(|error| outdated(&error))?;
        self.judge().await?;
        self.seen = SeenPeople::read(self.scope, self.own, self.grants, &self.kept.record).await?;
        self.end_what_may_not_go_on().await?;
        self.close(&mut places, is_first).await?;
        for uid in self.kept.record.open.keys().cloned().collect::<Vec<_>>() {
            // One that fails stops no other.
            if let Err(fault) = self.advance(&uid, &mut places).await {
                self.outcomes.insert(uid, GrantOutcome::Unknown(fault.clone()));
                self.failed.get_or_insert(fault);
            }
        }
        self.close(&mut places, false).await?;
        let emptied = places.empty_undeclared(self.scope.domain).await;
        self.goes_on(emptied)?;
        for grant in self.grants {
            let uid = uid(grant);
            if self.outcomes.contains_key(&uid) {
                continue;
            }
            let outcome = match self.candidate(grant, &places).await {
                Ok(outcome) => outcome,
                Err(fault) => GrantOutcome::Unknown(fault),
            };
            self.outcomes.insert(uid, outcome);
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Judges every grant that is not over.
    async fn judge(&mut self) -> Result<(), Fault> {
        let scope = self.scope;
        let is_over = |grant: &&Arc<AccessGrant>| !self.kept.record.over.contains_key(&uid(grant));
        let left: Vec<_> = self.grants.iter().filter(is_over).collect();
        for grant in self.grants {
            if let Some(end) = self.kept.record.over.get(&uid(grant)) {
                self.outcomes.insert(uid(grant), GrantOutcome::Over(end.clone()));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        // Without the admission policy no Approval counts.
        let version = scope.guard.version(scope.client).await.unwrap_or_else(|fault| {
            tracing::warn!(domain = scope.domain.name_any(), "no grant is approved: {}", fault.message);
            None
        });
        let mut record = self.kept.record.clone();
        let guarded_since = seen(&mut record.guard, version.as_deref(), scope.now);
        let saved = self.kept.save(record).await;
        self.goes_on(saved)?;
        let revocations = scope.view.revocations.state();
        let people = RevokedPeople::of(revocations.iter().map(AsRef::as_ref));
        let approvals = scope.view.approvals.state();
        for grant in left {
            let role = role_of(scope, grant);
            let withheld = role.and_then(|role| scope.withheld.get(&conflicts::name(role)));
            let inputs = GrantInputs {
                grant,
                role,
                withheld,
                standing: scope.standing,
                people: &people,
                guarded_since,
                now: scope.now,
            };
            let judged = decision::judge(inputs, approvals.iter().map(AsRef::as_ref));
            self.judged.insert(uid(grant), judged);
        }
        Ok(())
    }

    /// Goes on with a grant that has slots, as far as it comes.
    async fn advance(&mut self, uid: &str, places: &mut Places) -> Result<(), Fault> {
        let vault_fault = |error: VaultError| outdated(&error);
        // Begin, write, note the end, stand.
        for _ in 0..5 {
            let Some(open) = self.kept.record.open.get(uid).filter(|open| open.ended.is_none()).cloned()
            else {
                return Ok(());
            };
            if self.unnoted.contains(uid) {
                return Ok(());
            }
            let slots: Vec<&str> = open.slots.iter().map(|used| used.slot.as_str()).collect();
            if let Some(fault) = places.unread(&slots) {
                return Err(fault);
            }
            let facts = places.facts(&open, &self.opened(uid)).await.map_err(vault_fault)?;
            let mut record = self.kept.record.clone();
            let Some(noted) = record.open.get_mut(uid) else { return Ok(()) };
            match progress::next(&open, &facts, self.scope.now) {
                GrantStep::Wait => {
                    self.outcomes.insert(uid.to_owned(), GrantOutcome::Waits(opening()));
                    return Ok(());
                }
                GrantStep::Begin => {
                    places.shut(&slots).await.map_err(vault_fault)?;
                    noted.began = Some(self.scope.now);
                    self.kept.save(record).await.map_err(vault_fault)?;
                }
                GrantStep::Write => {
                    places.open(&slots, &facts, open.duration).await.map_err(vault_fault)?;
                }
                GrantStep::NoteEnd(ends) => {
                    noted.ends = Some(ends);
                    self.kept.save(record).await.map_err(vault_fault)?;
                }
                GrantStep::Stand => {
                    let person = BTreeSet::from([open.entity.clone()]);
                    for slot in slots {
                        let pass = self.scope.since.pass().await;
                        if self.is_revoked_now(uid, &pass) {
                            self.outcomes.insert(uid.to_owned(), GrantOutcome::Waits(not_looked()));
                            return Ok(());
                        }
                        places.admit(slot, &person).await.map_err(vault_fault)?;
                    }
                    if let Some((began, ends)) = open.began.zip(open.ends) {
                        self.outcomes.insert(uid.to_owned(), GrantOutcome::InForce { began, ends });
                    }
                    return Ok(());
                }
                GrantStep::End(reason) => {
                    noted.ended = Some(ended(&open, reason, self.scope.now));
                    let saved = self.kept.save(record).await.map_err(vault_fault);
                    if saved.is_err() {
                        self.unnoted.insert(uid.to_owned());
                    }
                    return saved;
                }
            }
        }
        self.outcomes.insert(uid.to_owned(), GrantOutcome::Waits(opening()));
        Ok(())
    }

    /// Whether the role of a grant or its person was revoked since the round began: the next one ends the grant.
    fn is_revoked_now(&self, uid: &str, pass: &Pass<'_>) -> bool {
        let grant = self.grants.iter().find(|grant| self::uid(grant) == uid);
        grant.is_some_and(|grant| {
            let role = role_of(self.scope, grant);
            pass.has_person(&grant.spec.subject.user) || role.is_some_and(|role| pass.left_of(role).is_none())
        })
    }

    /// What the role of a grant opens.
    fn opened(&self, uid: &str) -> OpenedByPair {
        let grant = self.grants.iter().find(|grant| self::uid(grant) == uid);
        let role = grant.and_then(|grant| role_of(self.scope, grant));
        role.map(|role| self.scope.view.opened(role)).unwrap_or_default()
    }
}

/// The role that a grant names.
fn role_of<'a>(scope: &GrantRound<'a>, grant: &AccessGrant) -> Option<&'a AccessRole> {
    let name = (grant.namespace().unwrap_or_default(), grant.spec.role.clone());
    scope.roles.iter().find(|role| conflicts::name(role) == name).map(AsRef::as_ref)
}

fn uid(grant: &AccessGrant) -> String {
    grant.uid().unwrap_or_default()
}

fn ended(open: &OpenGrant, reason: Reason, now: Timestamp) -> GrantEnd {
    // What Vault ended, ended when Vault said.
    let at = open.ends.filter(|ends| reason == Reason::GrantExpired && *ends <= now).unwrap_or(now);
    GrantEnd { at, reason: reason.as_str().to_owned(), began: open.began }
}

fn opening() -> Fault {
    Fault::new(Reason::RightsPending, "it is approved; the operator opens a slot for it")
}

fn not_looked() -> Fault {
    Fault::new(Reason::RightsPending, "the granter looks at it again")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
