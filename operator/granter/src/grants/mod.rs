//! AccessGrants: lets single persons into grant slots for a time, and takes them out again. The decisions are in
//! [`subrosa_plan::roles::grants`].
//!
//! Each round ends what is over first, then goes on with what began, and begins new grants last. The record is written before
//! what it speaks of.

mod begin;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use subrosa_crds::{AccessGrant, AccessGrantStatus, AccessRole, Reason, TrustDomain, condition};
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

use self::vault::{KeptGrants, Places, outdated};
use crate::{
    FIELD_MANAGER,
    domain::{OpenedByPair, Withheld},
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
    /// Why it is not known which roles give nothing.
    pub unknown: Option<&'a Fault>,
    /// The time.
    pub now: Timestamp,
}

/// What was found of a grant.
struct FoundGrant {
    grant: Arc<AccessGrant>,
    /// What was decided; none where nobody could.
    judged: Option<JudgedGrant>,
    outcome: GrantOutcome,
}

impl Grants {
    /// Whether a grant waits for the operator.
    pub fn waits(&self) -> bool {
        !locked(&self.waiting).is_empty()
    }

    /// Brings the grant slots of a trust domain to what its AccessGrants say, and tells it.
    pub async fn run(
        &self,
        scope: &GrantRound<'_>,
        own: &Result<Arc<OwnVault>, Fault>,
        reminders: &Reminders,
        metrics: &GranterMetrics,
    ) {
        let name = scope.domain.name_any();
        let found = self.look(scope, own).await;
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
    async fn look(&self, scope: &GrantRound<'_>, own: &Result<Arc<OwnVault>, Fault>) -> Vec<FoundGrant> {
        let name = scope.domain.name_any();
        let grants = scope.view.grants_of(&name);
        let unknown = |fault: &Fault| {
            let found = |grant: &Arc<AccessGrant>| FoundGrant {
                grant: Arc::clone(grant),
                judged: None,
                outcome: GrantOutcome::Unknown(fault.clone()),
            };
            grants.iter().map(found).collect()
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
        let is_first = !locked(&self.swept).contains(&name);
        if grants.is_empty() && round.kept.record.open.is_empty() && !is_first {
            return Vec::new();
        }
        match round.run(is_first).await {
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
        let found = grants.iter().map(|grant| FoundGrant {
            grant: Arc::clone(grant),
            judged: round.judged.remove(&uid(grant)),
            outcome: round
                .outcomes
                .remove(&uid(grant))
                .unwrap_or_else(|| GrantOutcome::Unknown(not_looked())),
        });
        found.collect()
    }
}

/// Writes the status of a grant; returns what an Event says of it, where it is something else than before.
async fn tell(scope: &GrantRound<'_>, found: &FoundGrant) -> Option<Fault> {
    let FoundGrant { grant, judged, outcome } = found;
    let wanted = status::status(grant, role_of(scope, grant), judged.as_ref(), outcome, scope.now);
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
                let mut places = Places::read(scope.domain, own).await?;
                for slot in places.all.keys().cloned().collect::<Vec<_>>() {
                    places.admit(&slot, &BTreeSet::new()).await?;
                }
                return Err(fault(&error));
            }
            Err(error) => return Err(outdated(&error)),
        };
        Ok(Self { scope, own, grants, kept, judged: BTreeMap::new(), outcomes: BTreeMap::new() })
    }

    async fn run(&mut self, is_first: bool) -> Result<(), Fault> {
        let mut places = Places::read(self.scope.domain, self.own).await?;
        self.judge().await?;
        self.end_what_may_not_go_on().await?;
        self.close(&mut places, is_first).await?;
        let mut failed = None;
        for uid in self.kept.record.open.keys().cloned().collect::<Vec<_>>() {
            // One that fails stops no other.
            if let Err(fault) = self.advance(&uid, &mut places).await {
                self.outcomes.insert(uid, GrantOutcome::Unknown(fault.clone()));
                failed.get_or_insert(fault);
            }
        }
        self.close(&mut places, false).await?;
        places.empty_undeclared(self.scope.domain).await?;
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
        failed.map_or(Ok(()), Err)
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
        self.kept.save(record).await?;
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

    /// Notes the end of grants that are deleted, refused, or not what was approved.
    async fn end_what_may_not_go_on(&mut self) -> Result<(), Fault> {
        let mut record = self.kept.record.clone();
        for (uid, open) in record.open.iter_mut().filter(|(_, open)| open.ended.is_none()) {
            let is_there =
                |one: &&Arc<AccessGrant>| self::uid(one) == *uid && one.meta().deletion_timestamp.is_none();
            let judged = self.judged.get(uid).filter(|_| self.grants.iter().any(|one| is_there(&one)));
            let reason = match judged {
                None => Some(Reason::NotFound),
                Some(judged) if judged.refusal.is_some() => judged.refusal.as_ref().map(|fault| fault.reason),
                Some(judged) if judged.digest.as_ref() != Some(&open.digest) => Some(Reason::NotGrantable),
                Some(_) => None,
            };
            open.ended = reason.map(|reason| ended(open, reason, self.scope.now));
        }
        self.kept.save(record).await
    }

    /// Takes everybody out of slots that no grant uses now, and removes the policies of those that are over. What is empty is
    /// forgotten.
    async fn close(&mut self, places: &mut Places, all: bool) -> Result<(), Fault> {
        let record = &self.kept.record;
        let of = |is_over: bool| {
            let open = record.open.values().filter(move |open| open.ended.is_some() == is_over);
            open.flat_map(|open| &open.slots).map(|used| used.slot.clone()).collect::<BTreeSet<_>>()
        };
        let (used, over) = (of(false), of(true));
        for slot in places.all.keys().cloned().collect::<Vec<_>>() {
            if used.contains(&slot) {
                continue;
            }
            places.admit(&slot, &BTreeSet::new()).await?;
            if all || over.contains(&slot) {
                places.shut(&[slot.as_str()]).await?;
            }
        }
        let mut record = record.clone();
        let is_free = |open: &OpenGrant| {
            open.slots.iter().all(|used| {
                let slot = places.all.get(&used.slot).and_then(|place| place.slot.as_ref());
                slot.is_none_or(|slot| slot.is_empty() && slot.opens().is_none())
            })
        };
        for (uid, open) in std::mem::take(&mut record.open) {
            match open.ended.clone() {
                Some(end) => {
                    self.outcomes.insert(uid.clone(), GrantOutcome::Over(end.clone()));
                    match is_free(&open) {
                        true => drop(record.over.insert(uid, end)),
                        false => drop(record.open.insert(uid, open)),
                    }
                }
                None => drop(record.open.insert(uid, open)),
            }
        }
        let made =
            |grant: &Arc<AccessGrant>| grant.creation_timestamp().map_or(self.scope.now, |time| time.0);
        let there = self.grants.iter().map(|grant| (uid(grant), made(grant))).collect();
        decision::forget(&mut record, &there, self.scope.now);
        self.kept.save(record).await
    }

    /// Goes on with a grant that has slots, as far as it comes.
    async fn advance(&mut self, uid: &str, places: &mut Places) -> Result<(), Fault> {
        // Begin, write, note the end, stand.
        for _ in 0..5 {
            let Some(open) = self.kept.record.open.get(uid).filter(|open| open.ended.is_none()).cloned()
            else {
                return Ok(());
            };
            let slots: Vec<&str> = open.slots.iter().map(|used| used.slot.as_str()).collect();
            let facts = places.facts(&open, &self.opened(uid)).await?;
            let mut record = self.kept.record.clone();
            let Some(noted) = record.open.get_mut(uid) else { return Ok(()) };
            match progress::next(&open, &facts, self.scope.now) {
                GrantStep::Wait => {
                    self.outcomes.insert(uid.to_owned(), GrantOutcome::Waits(opening()));
                    return Ok(());
                }
                GrantStep::Begin => {
                    places.shut(&slots).await?;
                    noted.began = Some(self.scope.now);
                    self.kept.save(record).await?;
                }
                GrantStep::Write => places.open(&slots, &facts, open.duration).await?,
                GrantStep::NoteEnd(ends) => {
                    noted.ends = Some(ends);
                    self.kept.save(record).await?;
                }
                GrantStep::Stand => {
                    let person = BTreeSet::from([open.entity.clone()]);
                    for slot in slots {
                        places.admit(slot, &person).await?;
                    }
                    if let Some((began, ends)) = open.began.zip(open.ends) {
                        self.outcomes.insert(uid.to_owned(), GrantOutcome::InForce { began, ends });
                    }
                    return Ok(());
                }
                GrantStep::End(reason) => {
                    noted.ended = Some(ended(&open, reason, self.scope.now));
                    return self.kept.save(record).await;
                }
            }
        }
        self.outcomes.insert(uid.to_owned(), GrantOutcome::Waits(opening()));
        Ok(())
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
