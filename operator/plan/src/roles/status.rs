//! The status of an AccessRole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{
    AccessRole, AccessRoleStatus, Reason,
    access_role::{AccessAction, ClassRight, SeenUses, SessionStatus},
    channel::ExceptionStatus,
    condition::{self, BOUND, READY, STALLED, SUSPENDED, Truth, Verdict},
    destruction::Approver,
};

use super::{
    SlotUse,
    break_glass::{self, GlassFacts},
    effective::{self, GroupRight},
    given::{self, GivenFacts},
    rbac,
    review::ReviewFacts,
};
use crate::{record::reviews::ReviewMark, world::fault::Fault};

/// The state of one action on one class of one Channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Vault confirmed that every group of the role that Vault knows can do it; of `List`, that the Channel is there.
    Granted,
    /// It has no slot yet, or the slot's members are not written yet.
    Pending,
    /// Every slot of the login is taken.
    NoSlot,
    /// There is no such Channel.
    NoChannel,
    /// The Channel does not declare the class.
    NoClass,
    /// The role gives nothing now: nobody gives it, a conflict or an overdue review.
    Withheld,
    /// It is Kubernetes' to give, and no RoleBinding gives it.
    NotBound,
}

/// The state of the role in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundFacts {
    /// The groups may get this many Channels.
    InForce(usize),
    /// The groups may get what they should, but these names are the API server's own, so nothing is written for them.
    ReservedGroups(BTreeSet<String>),
    /// The role gives nothing now, or names no existing Channel.
    Nothing,
    /// The TrustDomain has no `kubernetesGroupsPrefix`.
    NoPrefix,
    /// The objects could not be written.
    Fault(Fault),
}

/// What was found and done for a role.
#[derive(Clone, Debug, Default)]
pub struct RoleFacts {
    /// Why nothing could be done; then the other fields are empty.
    pub fault: Option<Fault>,
    /// Why the role gives nothing although everything could be read.
    pub withheld: Option<Fault>,
    /// What the role lets people do, and the state of each.
    pub rights: BTreeMap<ClassRight, Right>,
    /// Its groups that no AccessRevocation names.
    pub groups: BTreeSet<String>,
    /// Which of its groups can do what of that in Vault now.
    pub effective: BTreeSet<GroupRight>,
    /// Groups of the provider for which Vault has no group left.
    pub groups_left_out: BTreeSet<String>,
    /// ServiceAccounts that it names and that are not there.
    pub accounts_missing: BTreeSet<String>,
    /// How long a session lasts.
    pub ttl: String,
    /// The same for `status`; `None` without such a login.
    pub session: Option<SessionStatus>,
    /// The exception by which its login asks for no second factor.
    pub exception: Option<ExceptionStatus>,
    /// Who gives it; `None` if that could not be read.
    pub given: Option<GivenFacts>,
    /// The state of its reviews; `None` without `spec.review`, or if it could not be read.
    pub review: Option<ReviewFacts>,
    /// How often what it names was opened, as status tells it.
    pub uses: Option<SeenUses>,
    /// The state of its break-glass; `None` without `spec.breakGlass`, or if nothing could be looked at.
    pub glass: Option<GlassFacts>,
}

/// The digest of everything that `role` names, over the classes that exist.
pub fn digest(role: &AccessRole, rights: &BTreeMap<ClassRight, Right>) -> String {
    let is_there = |right: &Right| !matches!(right, Right::NoChannel | Right::NoClass);
    let named = rights.iter().filter(|(_, right)| is_there(right)).map(|(right, _)| right.clone());
    role.spec.digest(&named.collect())
}

/// With what Kubernetes gives, which the Vault of a trust domain does not know.
fn bound_too(facts: &RoleFacts, bound: &BoundFacts) -> RoleFacts {
    let mut facts = facts.clone();
    if matches!(bound, BoundFacts::InForce(_)) {
        return facts;
    }
    let granted = facts.rights.iter_mut().filter(|(_, state)| **state == Right::Granted);
    for (_, state) in granted.filter(|((_, _, action), _)| *action == AccessAction::List) {
        *state = Right::NotBound;
    }
    facts
}

/// The status of `role`.
pub fn status(role: &AccessRole, facts: &RoleFacts, bound: &BoundFacts, now: Timestamp) -> AccessRoleStatus {
    let facts = &bound_too(facts, bound);
    let before = role.status.as_ref();
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = ready(role, facts, bound);
    let mut verdicts = vec![ready.clone()];
    verdicts.extend(given::verdict(facts.given.as_ref(), facts.fault.as_ref(), role));
    verdicts.push(self::bound(role, bound));
    verdicts.extend(break_glass::verdict(role, facts));
    let waits_for_people = [
        Reason::ConflictingRoles,
        Reason::ExceptionExpired,
        Reason::ForeignObject,
        Reason::LoginMissing,
        Reason::ForeignLogin,
        Reason::NotFound,
        Reason::UnknownDataClass,
        Reason::SlotsExhausted,
        Reason::GroupsExhausted,
        Reason::NamespaceNotGoverned,
        Reason::NoGroupsPrefix,
        Reason::ReservedGroup,
        Reason::ReviewOverdue,
        Reason::Revoked,
        Reason::ServiceAccountNotFound,
    ];
    if waits_for_people.contains(&ready.reason) {
        verdicts.push(Verdict { kind: STALLED, truth: Truth::True, ..ready.clone() });
    }
    let (rights, digest) = if facts.fault.is_some() {
        // Unknown: no number is shown.
        (None, None)
    } else {
        let granted = facts.rights.values().filter(|right| **right == Right::Granted).count();
        (Some(format!("{granted}/{}", facts.rights.len())), Some(digest(role, &facts.rights)))
    };
    if ready.reason == Reason::ReviewOverdue {
        verdicts.push(Verdict { kind: SUSPENDED, truth: Truth::True, ..ready });
    }
    let (review_due, reviewed) = reviews(role, facts);
    AccessRoleStatus {
        observed_generation: role.metadata.generation,
        rights,
        digest,
        effective: effective::effective(role, facts),
        session: facts.session.clone(),
        exception: facts.exception.clone(),
        review_due,
        reviewed,
        break_glass: break_glass::status(role, facts),
        uses: facts.uses.clone(),
        conditions: condition::conditions(verdicts, old, role.metadata.generation, now),
    }
}

/// When the next review is due, and the last one. During a fault both stay as they were.
fn reviews(role: &AccessRole, facts: &RoleFacts) -> (Option<String>, Option<Approver>) {
    let approver = |last: &ReviewMark| Approver {
        approver: last.approver.clone(),
        approval: last.approval.clone(),
        uid: last.uid.clone(),
        at: last.at.to_string(),
    };
    match (&facts.review, &facts.fault, &role.status) {
        (Some(review), _, _) => (Some(review.due.to_string()), review.last.as_ref().map(approver)),
        (None, Some(_), Some(before)) if role.spec.review.is_some() => {
            (before.review_due.clone(), before.reviewed.clone())
        }
        (None, _, _) => (None, None),
    }
}

fn ready(role: &AccessRole, facts: &RoleFacts, bound: &BoundFacts) -> Verdict {
    let no = |reason, message: String| Verdict::new(READY, Truth::False, reason, message);
    if let Some(fault) = &facts.fault {
        return Verdict::new(READY, unknown_or_false(fault.reason), fault.reason, fault.message.clone());
    }
    if let Some(fault) = &facts.withheld {
        return no(fault.reason, fault.message.clone());
    }
    let login = &role.spec.login;
    let those = |right: Right| {
        let found = facts.rights.iter().filter(|(_, one)| **one == right);
        found.map(|(right, _)| named(right)).collect::<Vec<_>>()
    };
    let of = |pairs: Vec<String>| pairs.join(", ");
    let (unknown, undeclared) = (those(Right::NoChannel), those(Right::NoClass));
    if !unknown.is_empty() {
        let message = format!(
            "spec.allow: no such Channel in this namespace for {}; next: correct the name",
            of(unknown)
        );
        return no(Reason::NotFound, message);
    }
    if !undeclared.is_empty() {
        let message = format!(
            "spec.allow: the Channel does not declare {}; next: correct the class, or add it to the Channel's dataClasses",
            of(undeclared)
        );
        return no(Reason::UnknownDataClass, message);
    }
    let crowded = those(Right::NoSlot);
    if !crowded.is_empty() {
        let uses = facts.rights.iter().filter(|(_, state)| **state == Right::NoSlot);
        let fields: BTreeSet<_> =
            uses.filter_map(|((_, _, action), _)| SlotUse::of(*action)).map(SlotUse::field).collect();
        let place = if role.spec.is_for_accounts() { "serviceAccounts" } else { "logins[]" };
        let fields: Vec<_> = fields.into_iter().map(|field| format!("spec.access.{place}.{field}")).collect();
        let message = format!(
            "login {login} of the TrustDomain has no slot left for {}; next: raise {} and run subrosa vault-setup, or remove \
             AccessRoles. A slot that became free rests for ten minutes",
            of(crowded),
            fields.join(" and ")
        );
        return no(Reason::SlotsExhausted, message);
    }
    if !facts.groups_left_out.is_empty() {
        let groups: Vec<_> = facts.groups_left_out.iter().map(String::as_str).collect();
        let message = format!(
            "Vault has no group left for {} of the provider; next: raise spec.access.provider.groups of the TrustDomain \
             and run subrosa vault-setup",
            groups.join(", ")
        );
        return no(Reason::GroupsExhausted, message);
    }
    if !facts.accounts_missing.is_empty() {
        let accounts: Vec<_> = facts.accounts_missing.iter().map(String::as_str).collect();
        let message = format!(
            "spec.subjects: there is no ServiceAccount {} in this namespace, so nothing is given to it; what the role names besides is \
             given; next: correct the name, or make it",
            accounts.join(", ")
        );
        return no(Reason::ServiceAccountNotFound, message);
    }
    let pending = those(Right::Pending);
    if !pending.is_empty() {
        return no(
            Reason::RightsPending,
            format!("not given yet: {}; the operator makes a slot for it", of(pending)),
        );
    }
    if let BoundFacts::Fault(fault) = bound {
        return Verdict::new(READY, unknown_or_false(fault.reason), fault.reason, fault.message.clone());
    }
    let unbound = those(Right::NotBound);
    if !unbound.is_empty() {
        let Verdict { reason, message, .. } = self::bound(role, bound);
        return no(reason, format!("spec.allow: List is given in Kubernetes alone: {message}"));
    }
    if role.spec.is_for_accounts() {
        let message = format!(
            "{} by ServiceAccounts, without a second factor, after login {login}; a session lasts {} and follows every change at once",
            given(facts),
            facts.ttl
        );
        return Verdict::new(READY, Truth::True, Reason::InForce, message);
    }
    let message = format!(
        "{} after login {login}; a session lasts {ttl} and follows every change at once, but a group that the provider takes from a \
         person is gone only with the next login, or {ttl} after the person's last token of the provider has expired, which only \
         the provider sees",
        given(facts),
        ttl = facts.ttl
    );
    Verdict::new(READY, Truth::True, Reason::InForce, message)
}

/// Such as `call-recording of voice`; an action other than Open is named.
fn named((channel, class, action): &ClassRight) -> String {
    match action {
        AccessAction::Open => format!("{class} of {channel}"),
        other => format!("{class} of {channel} ({other:?})"),
    }
}

/// How many data classes can be opened, sealed and listed.
fn given(facts: &RoleFacts) -> String {
    let actions = [
        (AccessAction::Open, "opened"),
        (AccessAction::Seal, "sealed"),
        (AccessAction::List, "listed in Kubernetes"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (action, done) in actions {
        let count = facts.rights.keys().filter(|(_, _, one)| *one == action).count();
        if count > 0 || (action == AccessAction::Open && facts.rights.is_empty()) {
            let what = crate::roles::counted(count, "data class can be", "data classes can be");
            parts.push(format!("{what} {done}"));
        }
    }
    parts.join(", ")
}

fn bound(role: &AccessRole, bound: &BoundFacts) -> Verdict {
    let object = rbac::object_name(role.metadata.name.as_deref().unwrap_or_default());
    let no = |reason, message: String| Verdict::new(BOUND, Truth::False, reason, message);
    match bound {
        _ if role.spec.is_for_accounts() && !matches!(bound, BoundFacts::Fault(_)) => no(
            Reason::NothingGiven,
            "it is for ServiceAccounts, to which nothing is given in Kubernetes: a Role of yours does that".to_owned(),
        ),
        BoundFacts::InForce(count) => {
            let message = format!(
                "Role and RoleBinding {object} let its groups get {}",
                crate::roles::counted(*count, "Channel", "Channels")
            );
            Verdict::new(BOUND, Truth::True, Reason::InForce, message)
        }
        BoundFacts::ReservedGroups(groups) => {
            let groups: Vec<_> = groups.iter().map(String::as_str).collect();
            let message = format!(
                "spec.subjects: {} as the API server writes it: names that begin with system: are its own, so no RoleBinding names \
                 them; next: rename the group at the provider, or change spec.access.provider.kubernetesGroupsPrefix of the \
                 TrustDomain",
                groups.join(", ")
            );
            no(Reason::ReservedGroup, message)
        }
        BoundFacts::Nothing => {
            no(Reason::NothingGiven, "it gives nothing now, so nothing is written in Kubernetes".to_owned())
        }
        BoundFacts::NoPrefix => no(
            Reason::NoGroupsPrefix,
            "the TrustDomain does not say what the API server writes before a group of the provider, so nothing is written in \
             Kubernetes; next: spec.access.provider.kubernetesGroupsPrefix, such as oidc:"
                .to_owned(),
        ),
        BoundFacts::Fault(fault) => {
            Verdict::new(BOUND, unknown_or_false(fault.reason), fault.reason, fault.message.clone())
        }
    }
}

/// While Vault or the API server does not answer, what was granted may still be in effect.
pub(super) fn unknown_or_false(reason: Reason) -> Truth {
    let silent = [
        Reason::VaultUnreachable,
        Reason::VaultTimeout,
        Reason::VaultTokenRejected,
        Reason::KubernetesUnreachable,
    ];
    if silent.contains(&reason) { Truth::Unknown } else { Truth::False }
}

#[cfg(test)]
mod tests;
