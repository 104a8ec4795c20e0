//! Separation of duties: roles that the same group may not have together.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use subrosa_crds::{AccessRole, Reason};

use super::is_there;
use crate::world::fault::Fault;

/// A role: its namespace and its name.
pub type RoleName = (String, String);

/// The namespace and the name of a role.
pub fn name(role: &AccessRole) -> RoleName {
    (role.namespace().unwrap_or_default(), role.name_any())
}

/// The roles that give nothing because of a conflict with an older role: one of the two lists the other in
/// `conflictsWith`, and both name the same group or ServiceAccount. It does not matter whether the older role gives anything itself, so a
/// suspension of the older role does not activate the younger one.
///
/// Only group names are compared: who is a member of two groups is known only to the identity provider.
pub fn conflicting<'a>(roles: impl IntoIterator<Item = &'a AccessRole>) -> BTreeMap<RoleName, Fault> {
    let there: BTreeMap<RoleName, &AccessRole> =
        roles.into_iter().filter(|role| is_there(role)).map(|role| (name(role), role)).collect();
    let mut overlaps: BTreeMap<RoleName, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for role in there.values() {
        for other in &role.spec.conflicts_with {
            let Some(other) = there.get(&(role.namespace().unwrap_or_default(), other.clone())) else {
                continue;
            };
            let common: BTreeSet<String> = subjects(role).intersection(&subjects(other)).cloned().collect();
            if common.is_empty() || role.name_any() == other.name_any() {
                continue;
            }
            let (older, younger) = if age(role) < age(other) { (*role, *other) } else { (*other, *role) };
            overlaps.entry(name(younger)).or_default().insert(older.name_any(), common);
        }
    }
    overlaps.into_iter().map(|(role, with)| (role, fault(&with))).collect()
}

/// Whom a role names: groups by their names, ServiceAccounts with that word.
pub fn subjects(role: &AccessRole) -> BTreeSet<String> {
    let accounts = role.spec.accounts().into_iter().map(|name| format!("ServiceAccount {name}"));
    role.spec.groups().into_iter().chain(accounts).collect()
}

/// Sorts older roles first.
fn age(role: &AccessRole) -> (Option<jiff::Timestamp>, String, String) {
    let made = role.creation_timestamp().map(|time| time.0);
    (made, role.name_any(), role.uid().unwrap_or_default())
}

fn fault(with: &BTreeMap<String, BTreeSet<String>>) -> Fault {
    let listed = |groups: &BTreeSet<String>| groups.iter().cloned().collect::<Vec<_>>().join(", ");
    let with: Vec<_> =
        with.iter().map(|(other, groups)| format!("{} in AccessRole {other}", listed(groups))).collect();
    let message = format!(
        "spec.conflictsWith: this role gives nothing, since an older one that excludes it names the same: {}; next: take that \
         out of one of the two",
        with.join("; ")
    );
    Fault::new(Reason::ConflictingRoles, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{merge, read};

    fn role(name: &str, day: u8, groups: &[&str], conflicts: &[&str], patch: Value) -> AccessRole {
        let mut role = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {
                "name": name, "namespace": "cc-front", "uid": name,
                "creationTimestamp": format!("2026-11-{day:02}T10:00:00Z"),
            },
            "spec": {
                "login": "strong", "conflictsWith": conflicts,
                "subjects": groups.iter().map(|group| json!({"group": group})).collect::<Vec<_>>(),
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            },
        });
        merge(&mut role, patch);
        read(role)
    }

    fn withheld(roles: &[AccessRole]) -> Vec<String> {
        conflicting(roles)
            .into_iter()
            .map(|((_, name), fault)| format!("{name}: {}", fault.message))
            .collect()
    }

    #[test]
    fn the_younger_of_two_with_the_same_group_gives_nothing_whichever_names_the_other() {
        for (of_old, of_young) in [(&["billing"][..], &[][..]), (&[][..], &["reviewer"][..])] {
            let old = role("reviewer", 1, &["quality", "CC-Night"], of_old, json!({}));
            let young = role("billing", 2, &["cc-night"], of_young, json!({}));
            let found = withheld(&[young, old]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("billing: ") && found[0].contains("cc-night in AccessRole reviewer")
            );
        }
    }

    #[test]
    fn a_service_account_is_compared_as_a_group_is() {
        let of = |name: &str, day: u8, account: &str, conflicts: &[&str]| {
            let spec =
                json!({"login": "service-accounts", "subjects": [{"serviceAccount": {"name": account}}]});
            role(name, day, &[], conflicts, json!({"spec": spec}))
        };
        let old = of("reader", 1, "worker", &[]);
        let found = withheld(&[old.clone(), of("writer", 2, "worker", &["reader"])]);
        assert!(found[0].contains("ServiceAccount worker in AccessRole reader"), "{found:?}");
        assert!(withheld(&[old.clone(), of("writer", 2, "other", &["reader"])]).is_empty());
        assert!(
            withheld(&[old, role("people", 2, &["worker"], &["reader"], json!({}))]).is_empty(),
            "a group"
        );
    }

    #[test]
    fn without_a_common_group_in_one_namespace_both_give() {
        let old = role("reviewer", 1, &["quality"], &["billing", "reviewer", "gone"], json!({}));
        let other = |patch| role("billing", 2, &["quality"], &[], patch);
        let disjoint = json!({"spec": {"subjects": [{"group": "billing"}]}});
        let elsewhere = json!({"metadata": {"namespace": "cc-back"}});
        let going = json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}});
        for patch in [disjoint, elsewhere, going] {
            assert!(withheld(&[old.clone(), other(patch.clone())]).is_empty(), "{patch}");
        }
        assert_eq!(withheld(&[old, other(json!({}))]).len(), 1);
    }

    #[test]
    fn of_two_of_one_second_the_name_decides() {
        let roles = [role("b", 1, &["x"], &["a"], json!({})), role("a", 1, &["x"], &[], json!({}))];
        assert!(withheld(&roles)[0].starts_with("b: "));
    }
}
