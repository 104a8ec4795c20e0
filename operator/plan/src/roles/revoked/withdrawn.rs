//! Whom slots let in no more when an AccessRevocation of a group, a role or a namespace comes. Only what such a slot loses is decided
//! here: who gets in is decided by a round that knows everything.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::{AccessRole, trust_domain::AccessSpec};

use super::StandingRevocations;
use crate::roles::{
    SlotUse, accounts, break_glass,
    conflicts::{self, RoleName},
    is_there,
};

/// A login, what one of its slots is for, and what that slot names.
pub type NamedSlot = (String, SlotUse, String);

/// A role with what it opens and seals, as slots name it.
pub type GivingRole<'a> = (&'a AccessRole, BTreeSet<(SlotUse, String)>);

/// The slots that are used by the roles that are `touched`, each with those roles.
pub fn concerned(
    touched: &BTreeSet<RoleName>,
    roles: &[GivingRole<'_>],
) -> BTreeMap<NamedSlot, BTreeSet<RoleName>> {
    let mut concerned: BTreeMap<NamedSlot, BTreeSet<RoleName>> = BTreeMap::new();
    for (role, named) in roles {
        let name = conflicts::name(role);
        if !touched.contains(&name) {
            continue;
        }
        let has_glass = role.spec.break_glass.is_some();
        for (usage, named) in named {
            let glass = (has_glass && *usage == SlotUse::Open).then_some(break_glass::LOGIN);
            for login in [role.spec.login.as_str()].into_iter().chain(glass) {
                let slot = (login.to_owned(), *usage, named.clone());
                concerned.entry(slot).or_default().insert(name.clone());
            }
        }
    }
    concerned
}

/// The groups of the provider, in lower case, that may stay members of such a slot; of that of ServiceAccounts these, with their
/// namespaces.
pub fn staying(
    (login, usage, named): &NamedSlot,
    standing: &StandingRevocations<'_>,
    access: &AccessSpec,
    roles: &[GivingRole<'_>],
) -> BTreeSet<String> {
    let mut staying = BTreeSet::new();
    let slot = (*usage, named.clone());
    for (role, _) in roles.iter().filter(|(role, named)| is_there(role) && named.contains(&slot)) {
        let groups = match login.as_str() {
            break_glass::LOGIN => break_glass::role(access, role).map(|derived| derived.spec.groups()),
            login => (role.spec.login == login).then(|| accounts::named(role)),
        };
        let Some(groups) = groups else { continue };
        if standing.withheld([*role]).is_empty() {
            let is_named = |one: &String| match login.as_str() {
                accounts::LOGIN => standing.has_account(one),
                _ => standing.has_group(one),
            };
            staying.extend(groups.into_iter().filter(|one| !is_named(one)));
        }
    }
    staying
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{record::revocations::RevocationsRecord, roles::revoked::tests::revocation, testing::read};

    fn role(name: &str, groups: &[&str], glass: Option<&str>) -> AccessRole {
        let glass = glass.map(|group| json!({"group": group}));
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": name, "namespace": "cc-front"},
            "spec": {
                "login": "strong", "subjects": groups.iter().map(|group| json!({"group": group})).collect::<Vec<_>>(),
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
                "breakGlass": glass,
            },
        }))
    }

    /// The members that a slot of `login` keeps when `subject` is revoked; none where it is not looked at.
    fn kept(subject: Value, login: &str) -> Option<Vec<String>> {
        let access: AccessSpec = read(json!({
            "provider": {"issuer": "https://login.example"},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
            "breakGlass": {"groups": ["on-call"], "acceptedAmr": ["hwk"]},
        }));
        let all =
            [role("reviewer", &["Quality", "night"], Some("on-call")), role("other", &["quality"], None)];
        let roles: Vec<GivingRole<'_>> =
            all.iter().map(|role| (role, BTreeSet::from([(SlotUse::Open, "a.call".to_owned())]))).collect();
        let one = revocation("a", subject);
        let standing = StandingRevocations::of("oosterlinde", [&one], &RevocationsRecord::default());
        let touched = super::super::touched(&one, &all);
        let slot = (login.to_owned(), SlotUse::Open, "a.call".to_owned());
        concerned(&touched, &roles)
            .contains_key(&slot)
            .then(|| staying(&slot, &standing, &access, &roles).into_iter().collect())
    }

    #[test]
    fn the_slot_of_a_service_account_keeps_the_others() {
        let account = |name: &str| json!({"serviceAccount": {"name": name}});
        let mut one = role("worker", &[], None);
        one.spec.login = accounts::LOGIN.to_owned();
        one.spec.subjects = read(json!([account("a"), account("b")]));
        let roles: Vec<GivingRole<'_>> = vec![(&one, [(SlotUse::Open, "a.call".to_owned())].into())];
        let access: AccessSpec = read(json!({
            "provider": {"issuer": "https://login.example"}, "logins": [], "serviceAccounts": {},
        }));
        let slot = (accounts::LOGIN.to_owned(), SlotUse::Open, "a.call".to_owned());
        for (subject, kept) in [
            (json!({"serviceAccount": {"namespace": "cc-front", "name": "a"}}), vec!["cc-front/b"]),
            (json!({"group": "a"}), vec!["cc-front/a", "cc-front/b"]),
            (json!({"namespace": "cc-front"}), vec![]),
        ] {
            let revoked = revocation("a", subject);
            let standing = StandingRevocations::of("oosterlinde", [&revoked], &RevocationsRecord::default());
            assert_eq!(staying(&slot, &standing, &access, &roles).into_iter().collect::<Vec<_>>(), kept);
        }
    }

    #[test]
    fn what_another_role_gives_the_same_slot_stays() {
        let of = |subject: Value| kept(subject, "strong");
        let named = json!({"role": {"namespace": "cc-front", "name": "reviewer"}});
        assert_eq!(of(named.clone()), Some(vec!["quality".to_owned()]));
        assert_eq!(of(json!({"group": "NIGHT"})), Some(vec!["quality".to_owned()]));
        assert_eq!(of(json!({"group": "quality"})), Some(vec!["night".to_owned()]));
        assert_eq!(of(json!({"namespace": "cc-front"})), Some(Vec::new()));
        assert_eq!(of(json!({"namespace": "cc-back"})), None);
        assert_eq!(kept(named, break_glass::LOGIN), Some(Vec::new()));
        assert_eq!(kept(json!({"group": "on-call"}), break_glass::LOGIN), Some(Vec::new()));
        assert_eq!(kept(json!({"group": "night"}), break_glass::LOGIN), Some(vec!["on-call".to_owned()]));
    }
}
