//! AccessRevocations: which roles give nothing, which people's entities are disabled, and which Approvals no longer count.
//!
//! A revocation stands from when it is there until its release is noted in the granter's record ([`release`]). Both the
//! operator and the granter leave out what it names ([`StandingRevocations`]); the granter alone disables entities ([`entities`]).

pub mod entities;
pub mod release;
pub mod shared;
pub mod status;
pub mod withdrawn;

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRevocation, AccessRole, Approval, Reason, access_revocation::RevokedSubject,
    access_role::RoleSubject, approval::Decision, condition::READY,
};

use super::{
    accounts,
    conflicts::{self, RoleName},
};
use crate::{record::revocations::RevocationsRecord, world::fault::Fault};

/// The revocations that stand in one trust domain.
#[derive(Clone, Debug, Default)]
pub struct StandingRevocations<'a> {
    revocations: Vec<&'a AccessRevocation>,
}

impl<'a> StandingRevocations<'a> {
    /// Those among `revocations` that name `domain` and whose release is not in its record.
    pub fn of(
        domain: &str,
        revocations: impl IntoIterator<Item = &'a AccessRevocation>,
        record: &RevocationsRecord,
    ) -> Self {
        let stands = |one: &&AccessRevocation| {
            let is_released = one.uid().is_some_and(|uid| record.released.contains_key(&uid));
            one.spec.names_domain(domain) && !is_released
        };
        Self { revocations: revocations.into_iter().filter(stands).collect() }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a AccessRevocation> {
        self.revocations.iter().copied()
    }

    /// The roles that give nothing, and why: they or their namespace are named, or all their groups or ServiceAccounts are.
    pub fn withheld<'r>(&self, roles: impl IntoIterator<Item = &'r AccessRole>) -> BTreeMap<RoleName, Fault> {
        let withheld = roles.into_iter().filter_map(|role| {
            let whole = self.iter().find(|one| names_role(&one.spec.subject, role));
            let subjects = accounts::named(role);
            let is_for_accounts = role.spec.is_for_accounts();
            let revoked = if is_for_accounts { self.accounts() } else { self.groups() };
            let by_subjects = || {
                let named = |one: &AccessRevocation| if is_for_accounts { account(one) } else { group(one) };
                self.iter().find(|one| named(one).is_some_and(|named| subjects.contains(&named)))
            };
            let by = match whole {
                Some(by) => by,
                None if subjects.is_subset(&revoked) => by_subjects()?,
                None => return None,
            };
            let message = format!(
                "the role gives nothing: AccessRevocation {name} names {what}; next: to end that, subrosa approve \
                 accessrevocation/{name}",
                name = by.name_any(),
                what = described(&by.spec.subject),
            );
            Some((conflicts::name(role), Fault::new(Reason::Revoked, message)))
        });
        withheld.collect()
    }

    /// `role` without the groups and ServiceAccounts that are named; `None` where it stays as it is.
    pub fn without(&self, role: &AccessRole) -> Option<AccessRole> {
        let (groups, accounts) = (self.groups(), self.accounts());
        let namespace = role.namespace().unwrap_or_default();
        let stays = |subject: &RoleSubject| {
            let group = subject.group.as_ref().is_some_and(|group| groups.contains(&group.to_lowercase()));
            let account = subject.service_account.as_ref();
            let account = account.is_some_and(|one| accounts.contains(&accounts::key(&namespace, &one.name)));
            !group && !account
        };
        if role.spec.subjects.iter().all(stays) {
            return None;
        }
        let mut role = role.clone();
        role.spec.subjects.retain(stays);
        Some(role)
    }

    /// Whether `group` is named.
    pub fn has_group(&self, group: &str) -> bool {
        self.groups().contains(&group.to_lowercase())
    }

    /// Whether the ServiceAccount of that [key](accounts::key) is named.
    pub fn has_account(&self, key: &str) -> bool {
        self.accounts().contains(key)
    }

    /// Whether `user` is named, as the identity provider's tokens have them.
    pub fn has_person(&self, user: &str) -> bool {
        let user = user.to_lowercase();
        let is_named = |one: &AccessRevocation| {
            one.spec.subject.user.as_ref().is_some_and(|named| named.to_lowercase() == user)
        };
        self.iter().any(is_named)
    }

    /// The groups that are named, in lower case.
    fn groups(&self) -> BTreeSet<String> {
        self.iter().filter_map(group).collect()
    }

    /// The ServiceAccounts that are named, with their namespaces.
    fn accounts(&self) -> BTreeSet<String> {
        self.iter().filter_map(account).collect()
    }
}

fn account(revocation: &AccessRevocation) -> Option<String> {
    let account = revocation.spec.subject.service_account.as_ref()?;
    Some(accounts::key(&account.namespace, &account.name))
}

fn group(revocation: &AccessRevocation) -> Option<String> {
    revocation.spec.subject.group.as_ref().map(|group| group.to_lowercase())
}

fn names_role(subject: &RevokedSubject, role: &AccessRole) -> bool {
    let (namespace, name) = conflicts::name(role);
    let by_name = subject.role.as_ref().is_some_and(|one| one.namespace == namespace && one.name == name);
    by_name || subject.namespace.as_ref() == Some(&namespace)
}

/// The roles that `revocation` takes something from, by break-glass too.
pub fn touched<'r>(
    revocation: &AccessRevocation,
    roles: impl IntoIterator<Item = &'r AccessRole>,
) -> BTreeSet<RoleName> {
    let named = group(revocation);
    let account = account(revocation);
    let has_account = |role: &AccessRole| {
        let account = account.as_ref().filter(|_| role.spec.is_for_accounts());
        account.is_some_and(|account| accounts::named(role).contains(account))
    };
    let has_group = |role: &AccessRole, group: &String| {
        let glass = role.spec.break_glass.as_ref().map(|glass| glass.group.to_lowercase());
        role.spec.groups().contains(group) || glass.as_ref() == Some(group)
    };
    let touches = |role: &&AccessRole| {
        names_role(&revocation.spec.subject, role)
            || named.as_ref().is_some_and(|group| has_group(role, group))
            || has_account(role)
    };
    roles.into_iter().filter(touches).map(conflicts::name).collect()
}

/// Whether everything that `revocation` took is given again, in each trust domain that it names, as the granter told.
pub fn is_released(revocation: &AccessRevocation) -> bool {
    let conditions = revocation.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|one| one.type_ == READY && one.status == "True" && one.reason == Reason::Released.as_str())
}

/// Whether something that `revocation` names has not ended yet for the first time.
pub fn is_pending(revocation: &AccessRevocation) -> bool {
    revocation.status.as_ref().is_none_or(|status| status.done_at.is_none())
}

/// A subject in a sentence. A person is not named: messages are read by many.
pub fn described(subject: &RevokedSubject) -> String {
    match subject {
        RevokedSubject { group: Some(group), .. } => format!("group {group}"),
        RevokedSubject { service_account: Some(account), .. } => {
            format!("ServiceAccount {}/{}", account.namespace, account.name)
        }
        RevokedSubject { role: Some(role), .. } => format!("AccessRole {}/{}", role.namespace, role.name),
        RevokedSubject { namespace: Some(namespace), .. } => format!("namespace {namespace}"),
        RevokedSubject { .. } => "a person".to_owned(),
    }
}

/// The people named by revocations that were not released in every trust domain, as the API server knows them. Their Approvals do
/// not count, in no trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedPeople(BTreeSet<String>);

impl RevokedPeople {
    /// The people that `revocations` name.
    pub fn of<'a>(revocations: impl IntoIterator<Item = &'a AccessRevocation>) -> Self {
        let standing = revocations.into_iter().filter(|one| !is_released(one));
        Self(standing.filter_map(|one| one.spec.subject.approver()).collect())
    }

    /// Whether `user` is one of them; upper and lower case are the same.
    pub fn has(&self, user: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&user.to_lowercase())
    }

    /// Whether an Approval counts. A denial gives nobody anything, so it counts all the same.
    pub fn lets_count(&self, approval: &Approval) -> bool {
        approval.spec.decision == Decision::Deny || !self.has(&approval.spec.approver)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{record::revocations::ReleaseMark, testing::read};

    pub fn revocation(name: &str, subject: Value) -> AccessRevocation {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation",
            "metadata": {"name": name, "uid": format!("u-{name}"), "creationTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {"subject": subject, "reason": "Incident"},
        }))
    }

    pub fn mark() -> ReleaseMark {
        let at = "2026-11-22T11:00:00Z".parse().unwrap();
        ReleaseMark { at, approver: "bas".into(), approval: "a".into(), uid: "u".into() }
    }

    fn role(name: &str, groups: &[&str]) -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": name, "namespace": "cc-front"},
            "spec": {
                "login": "strong", "subjects": groups.iter().map(|group| json!({"group": group})).collect::<Vec<_>>(),
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            },
        }))
    }

    #[test]
    fn a_service_account_is_named_with_its_namespace() {
        let mut both = role("worker", &[]);
        both.spec.login = "service-accounts".to_owned();
        let account = |name: &str| json!({"serviceAccount": {"name": name}});
        both.spec.subjects = read(json!([account("a"), account("b")]));
        let none = RevocationsRecord::default();
        let named = |namespace: &str, name: &str| {
            let subject = json!({"serviceAccount": {"namespace": namespace, "name": name}});
            revocation(&format!("{namespace}-{name}"), subject)
        };
        let left = |revocations: &[AccessRevocation], role: &AccessRole| {
            let standing = StandingRevocations::of("oosterlinde", revocations, &none);
            let left = standing.without(role).map(|role| role.spec.names().into_iter().collect::<Vec<_>>());
            (standing.withheld([role]).into_values().next().map(|fault| fault.message), left)
        };
        let (front, back) = (named("cc-front", "a"), named("cc-back", "a"));
        assert_eq!(
            left(std::slice::from_ref(&back), &both),
            (None, None),
            "one of that name in another namespace"
        );
        assert_eq!(left(std::slice::from_ref(&front), &both), (None, Some(vec!["b".to_owned()])));
        let (withheld, _) = left(&[front.clone(), named("cc-front", "b")], &both);
        assert!(withheld.is_some_and(|message| message.contains("names ServiceAccount cc-front/")));
        let people = role("people", &["a"]);
        assert_eq!(left(std::slice::from_ref(&front), &people), (None, None), "a group of that name");
        assert_eq!(touched(&front, [&both, &people]).len(), 1);
        assert!(touched(&back, [&both, &people]).is_empty());
    }

    fn effect(revocations: &[AccessRevocation], record: &RevocationsRecord, role: &AccessRole) -> String {
        let standing = StandingRevocations::of("oosterlinde", revocations, record);
        match (standing.withheld([role]).into_values().next(), standing.without(role)) {
            (Some(fault), _) => fault.message,
            (None, Some(role)) => format!("{:?}", role.spec.groups()),
            (None, None) => "stays".to_owned(),
        }
    }

    #[test]
    fn a_role_gives_nothing_where_it_its_namespace_or_all_its_groups_are_named() {
        let both = role("reviewer", &["CC-Quality", "cc-night"]);
        let none = RevocationsRecord::default();
        let of = |subject: Value| effect(&[revocation("a", subject)], &none, &both);
        for subject in
            [json!({"namespace": "cc-front"}), json!({"role": {"namespace": "cc-front", "name": "reviewer"}})]
        {
            let told = of(subject.clone());
            assert!(told.contains("AccessRevocation a names") && told.contains("next:"), "{subject}: {told}");
        }
        assert_eq!(of(json!({"group": "Cc-Quality"})), r#"{"cc-night"}"#);
        for subject in [
            json!({"namespace": "cc-back"}),
            json!({"role": {"namespace": "cc-back", "name": "reviewer"}}),
            json!({"role": {"namespace": "cc-front", "name": "other"}}),
            json!({"group": "cc"}),
            json!({"user": "cc-quality"}),
        ] {
            assert_eq!(of(subject.clone()), "stays", "{subject}");
        }
        let two =
            [revocation("a", json!({"group": "cc-quality"})), revocation("b", json!({"group": "CC-NIGHT"}))];
        assert!(effect(&two, &none, &both).contains("gives nothing"));
    }

    #[test]
    fn what_was_released_or_names_another_trust_domain_does_not_stand() {
        let role = role("reviewer", &["cc-quality"]);
        let mut one = revocation("a", json!({"namespace": "cc-front"}));
        let mut record = RevocationsRecord::default();
        one.spec.trust_domains = vec!["westerlinde".to_owned()];
        assert_eq!(effect(std::slice::from_ref(&one), &record, &role), "stays");
        one.spec.trust_domains.push("oosterlinde".to_owned());
        assert!(effect(std::slice::from_ref(&one), &record, &role).contains("gives nothing"));
        record.released.insert("u-b".into(), mark());
        assert!(effect(std::slice::from_ref(&one), &record, &role).contains("gives nothing"));
        record.released.insert("u-a".into(), mark());
        assert_eq!(effect(&[one], &record, &role), "stays");
    }

    #[test]
    fn approvals_count_again_when_every_trust_domain_has_the_release() {
        let mut one = revocation("a", json!({"user": "Anna"}));
        let counts = |one: &AccessRevocation| !RevokedPeople::of([one]).has("ANNA");
        assert!(!counts(&one));
        for (truth, reason, expected) in
            [("True", "Revoked", false), ("Unknown", "Released", false), ("True", "Released", true)]
        {
            one.status = Some(read(json!({"conditions": [{
                "type": "Ready", "status": truth, "reason": reason, "message": "m",
                "lastTransitionTime": "2026-11-29T21:00:00Z",
            }]})));
            assert_eq!(counts(&one), expected, "{truth} {reason}");
        }
    }

    #[test]
    fn approvals_of_a_leaver_do_not_count_and_their_denials_do() {
        let people = RevokedPeople::of(&[
            revocation("a", json!({"user": "Anna"})),
            revocation("b", json!({"user": "4f1c", "kubernetesUser": "oidc:Bas"})),
            revocation("c", json!({"group": "cees"})),
        ]);
        let counts = |approver: &str, decision: &str| {
            people.lets_count(&read(json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": "x"},
                "spec": {
                    "target": {"kind": "LegalHold", "name": "m", "uid": "u", "digest": "sha256:d"},
                    "decision": decision, "approver": approver, "expires": "2026-11-29T00:00:00Z",
                },
            })))
        };
        for (approver, decision, expected) in [
            ("anna", "Approve", false),
            ("ANNA", "Approve", false),
            ("OIDC:bas", "Approve", false),
            ("4f1c", "Approve", true),
            ("cees", "Approve", true),
            ("annabel", "Approve", true),
            ("anna", "Deny", true),
        ] {
            assert_eq!(counts(approver, decision), expected, "{approver} {decision}");
        }
    }
}
