//! Break-glass: what AccessRoles open after a login for emergencies, and how that is told.
//!
//! It goes the way of every other login ([`slots`](super::slots), [`members`](super::members)): the two functions
//! [`access`] and [`role`] derive a login and a role for it. The login has an auth mount of its own, so each alias there
//! belongs to somebody who used it ([`uses`](super::uses)).

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{
    AccessRole, Reason,
    access_role::{AccessAction, Allowance, BreakGlassStatus, BreakGlassUse, RoleSubject, uses_digest},
    condition::{BREAK_GLASS, Truth, Verdict},
    destruction::Approver,
    trust_domain::{AccessLogin, AccessSpec, BREAK_GLASS_LOGIN, IdentityProvider},
};

use super::{
    effective::GroupRight,
    status::{Right, RoleFacts, unknown_or_false},
    unlogged::UnloggedGlass,
};
use crate::{record::reviews::ReviewMark, world::fault::Fault};

/// The name of the login, and of its role in Vault.
pub const LOGIN: &str = BREAK_GLASS_LOGIN;
/// How many groups of the provider can get it in the course of time.
const GROUPS: i32 = 16;

/// The login for emergencies and its auth mount, in the form of other logins; `None` where there is none.
pub fn access(access: &AccessSpec) -> Option<AccessSpec> {
    let glass = access.break_glass.as_ref()?;
    let provider = IdentityProvider {
        mount: Some(format!("{}-break-glass", access.provider.mount())),
        groups: Some(GROUPS),
        kubernetes_groups_prefix: None,
        ..access.provider.clone()
    };
    let login = AccessLogin {
        name: LOGIN.to_owned(),
        accepted_amr: glass.accepted_amr.clone(),
        accepted_acr: glass.accepted_acr.clone(),
        ttl: Some(glass.ttl().to_owned()),
        slots: Some(glass.slots()),
        seal_slots: Some(0),
        grant_slots: Some(0),
        ..AccessLogin::default()
    };
    Some(AccessSpec { provider, logins: vec![login], break_glass: None, service_accounts: None })
}

/// What `role` gives in an emergency, as a role of that login; `None` where it gives nothing, or names a group that may not
/// use the login.
pub fn role(access: &AccessSpec, role: &AccessRole) -> Option<AccessRole> {
    let glass = role.spec.break_glass.as_ref()?;
    access.break_glass.as_ref().filter(|login| login.is_for(&glass.group))?;
    let mut derived = role.clone();
    derived.spec.login = LOGIN.to_owned();
    derived.spec.subjects = vec![RoleSubject { group: Some(glass.group.clone()), ..RoleSubject::default() }];
    derived.spec.conflicts_with = Vec::new();
    // In an emergency data is opened, and nothing else done with it.
    derived.spec.allow.retain(Allowance::opens);
    for one in &mut derived.spec.allow {
        one.actions = vec![AccessAction::Open];
    }
    derived.spec.review = None;
    derived.spec.break_glass = None;
    Some(derived)
}

/// Why a role with `spec.breakGlass` gives nothing by it, where [`role`] derives none.
pub fn not_derived(access: Option<&AccessSpec>, role: &AccessRole) -> Fault {
    let group = role.spec.break_glass.as_ref().map(|glass| glass.group.as_str()).unwrap_or_default();
    match access.and_then(|access| access.break_glass.as_ref()) {
        None => Fault::new(
            Reason::LoginMissing,
            "spec.breakGlass: the TrustDomain has no spec.access.breakGlass, so nobody opens anything by it; next: write it, and \
             run subrosa vault-setup",
        ),
        Some(login) => Fault::new(
            Reason::GroupNotEnrolled,
            format!(
                "spec.breakGlass.group: {group} is none of the groups that may use break-glass ({}); next: correct it, or add it \
                 to spec.access.breakGlass.groups of the TrustDomain and run subrosa vault-setup",
                login.groups.join(", ")
            ),
        ),
    }
}

/// Why a group that an AccessRevocation names opens nothing by it.
pub fn revoked(group: &str) -> Fault {
    let message = format!(
        "spec.breakGlass: group {group} opens nothing, since an AccessRevocation names it; next: to end that, subrosa approve \
         accessrevocation/NAME, as kubectl get accessrevocations shows it"
    );
    Fault::new(Reason::Revoked, message)
}

/// The state of a role's break-glass.
#[derive(Clone, Debug)]
pub struct GlassFacts {
    /// How many classes can be opened by it, or why they cannot.
    pub prepared: Result<usize, Fault>,
    /// What its group may open by it now; `None` where that is not known.
    pub effective: Option<BTreeSet<GroupRight>>,
    /// Why nobody can tell who used it.
    pub unseen: Option<Fault>,
    /// Who used it and was not reviewed; `None` while the record cannot be read.
    pub uses: Option<UnreviewedUses>,
    /// What it means for it that nobody can read Vault's audit log.
    pub unlogged: UnloggedGlass,
    /// How long a session lasts.
    pub ttl: String,
}

/// The uses of a role's break-glass that wait for a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreviewedUses {
    /// The oldest ones.
    pub listed: Vec<BreakGlassUse>,
    /// How many people there are.
    pub people: usize,
    /// When somebody used it last.
    pub last: Option<Timestamp>,
    /// By when the oldest has to be reviewed.
    pub due: Option<Timestamp>,
    /// The last review that counted.
    pub reviewed: Option<ReviewMark>,
}

/// How many classes a derived role opens, or why not all of them.
pub fn prepared(facts: &RoleFacts) -> Result<usize, Fault> {
    if let Some(fault) = facts.fault.as_ref().or(facts.withheld.as_ref()) {
        return Err(fault.clone());
    }
    if let Some(group) = facts.groups_left_out.first() {
        let message = format!(
            "spec.breakGlass: Vault has no group left for {group}: {GROUPS} different ones had break-glass in the course of time; \
             next: delete the alias of one that does not any more (bao list identity/group-alias/id)"
        );
        return Err(Fault::new(Reason::GroupsExhausted, message));
    }
    let of = |right: Right| {
        let found = facts.rights.iter().filter(|(_, one)| **one == right);
        found.map(|((channel, class, _), _)| format!("{class} of {channel}")).collect::<Vec<_>>().join(", ")
    };
    let why = [
        (Right::NoChannel, Reason::NotFound, "there is no such Channel for", "correct the name"),
        (Right::NoClass, Reason::UnknownDataClass, "the Channel does not declare", "correct the class"),
        (
            Right::NoSlot,
            Reason::SlotsExhausted,
            "no slot is left for",
            "raise spec.access.breakGlass.slots of the TrustDomain and run subrosa vault-setup",
        ),
        (Right::Pending, Reason::RightsPending, "not open yet:", "wait for the operator, which makes a slot"),
    ];
    for (right, reason, what, next) in why {
        let found = of(right);
        if !found.is_empty() {
            return Err(Fault::new(reason, format!("spec.breakGlass: {what} {found}; next: {next}")));
        }
    }
    Ok(facts.rights.len())
}

/// Condition `BreakGlass` of a role with `spec.breakGlass`. Uses that nobody reviewed come before everything else.
pub(super) fn verdict(role: &AccessRole, facts: &RoleFacts) -> Option<Verdict> {
    role.spec.break_glass.as_ref()?;
    let no = |fault: &Fault| {
        let truth = unknown_or_false(fault.reason);
        Some(Verdict::new(BREAK_GLASS, truth, fault.reason, fault.message.clone()))
    };
    let Some(glass) = &facts.glass else { return facts.fault.as_ref().and_then(no) };
    if let Some(fault) = glass.uses.as_ref().and_then(|uses| unreviewed(role, uses)) {
        let closed = glass.unlogged.closed.as_ref();
        let closed = closed.map(|closed| format!(". {}", closed.message)).unwrap_or_default();
        let message = format!("{}{closed}", fault.message);
        return Some(Verdict::new(BREAK_GLASS, Truth::False, fault.reason, message));
    }
    if let Err(fault) = &glass.prepared {
        return no(fault);
    }
    if let Some(fault) = &glass.unseen {
        return Some(Verdict::new(BREAK_GLASS, Truth::Unknown, fault.reason, fault.message.clone()));
    }
    if let Some(fault) = &glass.unlogged.ending {
        return Some(Verdict::new(BREAK_GLASS, Truth::Unknown, fault.reason, fault.message.clone()));
    }
    let message = format!(
        "{} by group {} after login {LOGIN}, also while the operator and the API server are down; a session lasts {}; every use that \
         was seen is reviewed{}",
        super::counted(
            *glass.prepared.as_ref().unwrap_or(&0),
            "data class can be opened",
            "data classes can be opened"
        ),
        role.spec.break_glass.as_ref().map(|glass| glass.group.as_str()).unwrap_or_default(),
        glass.ttl,
        glass.unlogged.told()
    );
    Some(Verdict::new(BREAK_GLASS, Truth::True, Reason::InForce, message))
}

/// That somebody used it and nobody else reviewed that.
pub fn unreviewed(role: &AccessRole, uses: &UnreviewedUses) -> Option<Fault> {
    let (last, due) = (uses.last?, uses.due?);
    let people: Vec<_> = uses.listed.iter().map(|one| one.person.as_str()).collect();
    let message = format!(
        "{} used break-glass, last at {last}: {}; next: somebody else finds out why, by {due}: subrosa approve \
         breakglass/{}/{}",
        super::counted(uses.people, "person", "people"),
        people.join(", "),
        role.metadata.namespace.as_deref().unwrap_or_default(),
        role.metadata.name.as_deref().unwrap_or_default(),
    );
    Some(Fault::new(Reason::UseNotReviewed, message))
}

/// What status tells of it. While the record cannot be read it stays as it was.
pub(super) fn status(role: &AccessRole, facts: &RoleFacts) -> Option<BreakGlassStatus> {
    role.spec.break_glass.as_ref()?;
    let before = || role.status.as_ref()?.break_glass.clone();
    let Some(glass) = &facts.glass else { return before() };
    let exception = glass.unlogged.exception.clone();
    let Some(uses) = &glass.uses else {
        return Some(BreakGlassStatus { exception, ..before()? });
    };
    let reviewed = uses.reviewed.as_ref().map(|last| Approver {
        approver: last.approver.clone(),
        approval: last.approval.clone(),
        uid: last.uid.clone(),
        at: last.at.to_string(),
    });
    let digest = (!uses.listed.is_empty()).then(|| uses_digest(&uses.listed));
    Some(BreakGlassStatus {
        people: Some(i32::try_from(uses.people).unwrap_or(i32::MAX)),
        review_due: uses.due.map(|due| due.to_string()),
        uses: uses.listed.clone(),
        digest,
        reviewed,
        exception,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_crds::condition;

    use super::*;
    use crate::{
        roles::status::{BoundFacts, status as of_role},
        testing::{at, now, read},
    };

    fn spec() -> AccessSpec {
        read(json!({
            "provider": {"issuer": "https://login.example", "mount": "people", "kubernetesGroupsPrefix": "oidc:"},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
            "breakGlass": {"groups": ["On-Call"], "acceptedAmr": ["hwk"]},
        }))
    }

    fn glass_role(group: &str) -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": "reviewer", "namespace": "cc-front", "uid": "u"},
            "spec": {
                "login": "strong", "subjects": [{"group": "quality"}], "breakGlass": {"group": group},
                "conflictsWith": ["billing"], "review": {"every": "90d", "author": "anna"},
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            },
        }))
    }

    fn facts(glass: Option<GlassFacts>, fault: Option<Fault>) -> RoleFacts {
        RoleFacts { fault, ttl: "15m".to_owned(), glass, ..RoleFacts::default() }
    }

    fn told(glass: Option<GlassFacts>, fault: Option<Fault>) -> (String, String, String) {
        let status = of_role(&glass_role("on-call"), &facts(glass, fault), &BoundFacts::Nothing, now());
        let found = condition::find(&status.conditions, BREAK_GLASS).unwrap();
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }

    fn glass(prepared: Result<usize, Fault>, unseen: Option<Fault>, uses: UnreviewedUses) -> GlassFacts {
        let unlogged = UnloggedGlass::default();
        GlassFacts { prepared, effective: None, unseen, uses: Some(uses), unlogged, ttl: "1h".to_owned() }
    }

    fn one_use() -> UnreviewedUses {
        let used = BreakGlassUse {
            first: "2026-11-22T09:00:00Z".to_owned(),
            last: "2026-11-22T10:00:00Z".to_owned(),
            person: "bas".to_owned(),
            logins: 2,
        };
        UnreviewedUses {
            listed: vec![used],
            people: 1,
            last: Some(at("2026-11-22T10:00:00Z")),
            due: Some(at("2026-11-25T09:00:00Z")),
            reviewed: None,
        }
    }

    #[test]
    fn the_login_has_a_mount_of_its_own_and_the_role_names_its_group_only() {
        let access = access(&spec()).unwrap();
        assert_eq!(access.provider.mount(), "people-break-glass");
        assert_eq!(access.provider.kubernetes_groups_prefix, None);
        assert_eq!((access.logins[0].ttl(), access.logins[0].slots()), ("1h", 8));
        let derived = role(&spec(), &glass_role("on-call")).unwrap();
        assert_eq!(
            (derived.spec.login.as_str(), derived.spec.groups()),
            (LOGIN, ["on-call".to_owned()].into())
        );
        assert!(derived.spec.review.is_none() && derived.spec.conflicts_with.is_empty());
        let mut seals = glass_role("on-call");
        seals.spec.allow[0].actions = vec![AccessAction::Reseal, AccessAction::List];
        let other = Allowance { actions: vec![AccessAction::Seal], ..seals.spec.allow[0].clone() };
        seals.spec.allow.push(other);
        assert_eq!(role(&spec(), &seals).unwrap().spec.rights(), derived.spec.rights());
        assert!(role(&spec(), &glass_role("quality")).is_none());
        assert_eq!(not_derived(Some(&spec()), &glass_role("quality")).reason, Reason::GroupNotEnrolled);
        let mut without = spec();
        without.break_glass = None;
        assert!(super::access(&without).is_none() && role(&without, &glass_role("on-call")).is_none());
        assert_eq!(not_derived(Some(&without), &glass_role("on-call")).reason, Reason::LoginMissing);
    }

    #[test]
    fn a_use_is_told_before_everything_else_and_no_use_that_cannot_be_seen_is_true() {
        let missing = || Fault::new(Reason::LoginMissing, "run vault-setup");
        let unseen = || Some(Fault::new(Reason::UsesNotSeen, "run vault-setup"));
        let none = UnreviewedUses::default;
        let word = |told: (String, String, String)| format!("{} {}", told.0, told.1);
        assert_eq!(word(told(Some(glass(Ok(1), None, none())), None)), "True InForce");
        assert_eq!(word(told(Some(glass(Ok(1), unseen(), none())), None)), "Unknown UsesNotSeen");
        assert_eq!(word(told(Some(glass(Err(missing()), unseen(), none())), None)), "False LoginMissing");
        assert_eq!(
            word(told(None, Some(Fault::new(Reason::VaultUnreachable, "x")))),
            "Unknown VaultUnreachable"
        );
        let used = told(Some(glass(Err(missing()), unseen(), one_use())), None);
        assert!(used.2.contains("bas") && used.2.contains("subrosa approve breakglass/cc-front/reviewer"));
        assert_eq!(word(used), "False UseNotReviewed");
    }

    #[test]
    fn status_lists_the_uses_and_keeps_them_while_the_record_cannot_be_read() {
        let mut role = glass_role("on-call");
        let listed = facts(Some(glass(Ok(1), None, one_use())), None);
        let status = of_role(&role, &listed, &BoundFacts::Nothing, now());
        let told = status.break_glass.clone().unwrap();
        assert_eq!((told.people, told.uses.len()), (Some(1), 1));
        assert_eq!(told.digest, Some(uses_digest(&one_use().listed)));
        role.status = Some(status);
        let blind = facts(None, Some(Fault::new(Reason::VaultUnreachable, "x")));
        assert_eq!(of_role(&role, &blind, &BoundFacts::Nothing, now()).break_glass, Some(told));
        role.spec.break_glass = None;
        let without = of_role(&role, &listed, &BoundFacts::Nothing, now());
        assert!(without.break_glass.is_none() && condition::find(&without.conditions, BREAK_GLASS).is_none());
    }

    #[test]
    fn what_is_not_given_is_not_prepared() {
        let rights = |right: Right| RoleFacts {
            rights: [(("voice".to_owned(), "fax".to_owned(), AccessAction::Open), right)].into(),
            ..facts(None, None)
        };
        let reason = |right: Right| prepared(&rights(right)).map_err(|fault| fault.reason);
        assert_eq!(reason(Right::Granted), Ok(1));
        assert_eq!(reason(Right::NoSlot), Err(Reason::SlotsExhausted));
        assert_eq!(reason(Right::Pending), Err(Reason::RightsPending));
        assert_eq!(reason(Right::NoChannel), Err(Reason::NotFound));
        assert_eq!(reason(Right::NoClass), Err(Reason::UnknownDataClass));
        let left_out = RoleFacts { groups_left_out: ["on-call".to_owned()].into(), ..rights(Right::Granted) };
        assert_eq!(prepared(&left_out).map_err(|fault| fault.reason), Err(Reason::GroupsExhausted));
    }
}
