//! The rules that a role's status lists: what may be done by it as it stands.

use std::collections::BTreeSet;

use subrosa_crds::{
    AccessRole,
    access_role::{
        AccessAction, AccessRule, ClassRight, EffectiveGrants, EffectiveRules, MAX_RULES, rules_digest,
    },
};

use super::{
    break_glass, is_there,
    status::{Right, RoleFacts},
};

/// A group in lower case, and what its members can do; or a ServiceAccount of the role's namespace.
pub type GroupRight = (String, ClassRight);

/// What `role` gives; `None` where that is not known.
pub(super) fn effective(role: &AccessRole, facts: &RoleFacts) -> Option<EffectiveRules> {
    if facts.fault.is_some() {
        return None;
    }
    let rule = AccessRule::new;
    let login = &role.spec.login;
    let mut rules: BTreeSet<AccessRule> =
        facts.effective.iter().map(|(group, right)| rule(login, group, right)).collect();
    // What Kubernetes gives, it gives to all of its groups.
    let is_listed =
        |(right, state): &(&ClassRight, &Right)| right.2 == AccessAction::List && **state == Right::Granted;
    for (right, _) in facts.rights.iter().filter(is_listed) {
        rules.extend(facts.groups.iter().map(|group| rule(login, group, right)));
    }
    if role.spec.break_glass.is_some() {
        let by_glass = facts.glass.as_ref()?.effective.as_ref()?;
        rules.extend(by_glass.iter().map(|(group, right)| rule(break_glass::LOGIN, group, right)));
    }
    let gives = is_there(role) && facts.withheld.is_none();
    let grants = role.spec.grants.as_ref().filter(|_| gives).map(EffectiveGrants::from);
    Some(EffectiveRules {
        count: i32::try_from(rules.len()).unwrap_or(i32::MAX),
        digest: rules_digest(&rules, grants.as_ref()),
        grants,
        rules: rules.into_iter().take(MAX_RULES).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use subrosa_crds::Reason;

    use super::*;
    use crate::{
        roles::{
            break_glass::GlassFacts,
            status::{Right, digest},
            unlogged::UnloggedGlass,
        },
        testing::read,
        world::fault::Fault,
    };

    fn role() -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": "reviewer", "namespace": "cc-front"},
            "spec": {
                "login": "strong", "subjects": [{"group": "CC-Quality"}, {"group": "all"}],
                "allow": [{"channels": ["voice", "chat"], "dataClasses": ["fax"], "actions": ["Open"]}],
                "breakGlass": {"group": "On-Call"},
            },
        }))
    }

    fn right(group: &str, channel: &str) -> GroupRight {
        (group.to_owned(), (channel.to_owned(), "fax".to_owned(), AccessAction::Open))
    }

    fn facts(effective: &[GroupRight], by_glass: Option<&[GroupRight]>) -> RoleFacts {
        let of = |channel: &str| ((channel.to_owned(), "fax".to_owned(), AccessAction::Open), Right::Granted);
        let glass = GlassFacts {
            prepared: Ok(2),
            effective: by_glass.map(|rights| rights.iter().cloned().collect()),
            unseen: None,
            uses: None,
            unlogged: UnloggedGlass::default(),
            ttl: "1h".to_owned(),
        };
        RoleFacts {
            rights: [of("chat"), of("voice")].into(),
            effective: effective.iter().cloned().collect(),
            glass: Some(glass),
            ..RoleFacts::default()
        }
    }

    fn everything() -> RoleFacts {
        let both = |group: &str| [right(group, "voice"), right(group, "chat")];
        facts(&[both("cc-quality"), both("all")].concat(), Some(&both("on-call")))
    }

    #[test]
    fn its_digest_is_that_of_a_review_exactly_while_everything_is_in_force() {
        let all = everything();
        let found = effective(&role(), &all).unwrap();
        assert_eq!(found.count, 6);
        let shown = |rule: &AccessRule| format!("{} {} {}", rule.login, rule.who(), rule.channel);
        assert_eq!(
            found.rules.iter().map(shown).collect::<Vec<_>>(),
            [
                "break-glass on-call chat",
                "break-glass on-call voice",
                "strong all chat",
                "strong all voice",
                "strong cc-quality chat",
                "strong cc-quality voice",
            ]
        );
        assert_eq!(found.digest, digest(&role(), &all.rights));
        let mut less = all.clone();
        less.effective.remove(&right("all", "chat"));
        let found = effective(&role(), &less).unwrap();
        assert_eq!(found.count, 5);
        assert_ne!(found.digest, digest(&role(), &less.rights));
        let mut other_group = role();
        other_group.spec.break_glass = None;
        assert_ne!(digest(&other_group, &all.rights), digest(&role(), &all.rights), "in an emergency too");
    }

    #[test]
    fn each_action_is_a_rule_of_its_own_and_what_kubernetes_gives_is_for_all_groups() {
        let mut role = role();
        role.spec.break_glass = None;
        role.spec.allow[0].actions = vec![AccessAction::Reseal, AccessAction::List];
        role.spec.allow[0].channels = vec!["voice".to_owned()];
        let granted = role.spec.rights().into_iter().map(|right| (right, Right::Granted));
        let vault = role.spec.rights().into_iter().filter(|(_, _, action)| *action != AccessAction::List);
        let vault =
            vault.flat_map(|right| ["all", "cc-quality"].map(|group| (group.to_owned(), right.clone())));
        let mut facts = RoleFacts {
            effective: vault.collect(),
            groups: role.spec.groups(),
            rights: granted.collect(),
            ..RoleFacts::default()
        };
        let shown = |facts: &RoleFacts| {
            let found = effective(&role, facts).unwrap();
            let rules = found.rules.iter().map(|rule| format!("{} {:?}", rule.who(), rule.action));
            (rules.collect::<Vec<_>>(), found.digest)
        };
        let (rules, all) = shown(&facts);
        assert_eq!(
            rules,
            ["all Open", "all Seal", "all List", "cc-quality Open", "cc-quality Seal", "cc-quality List"]
        );
        assert_eq!(all, digest(&role, &facts.rights));
        facts.rights.insert(("voice".to_owned(), "fax".to_owned(), AccessAction::List), Right::NotBound);
        assert_eq!(shown(&facts).0.len(), 4);
    }

    #[test]
    fn a_service_account_stands_apart_from_a_group() {
        let mut role = role();
        role.spec.login = "service-accounts".to_owned();
        role.spec.break_glass = None;
        role.spec.subjects = serde_json::from_value(json!([{"serviceAccount": {"name": "worker"}}])).unwrap();
        let all = facts(&[right("worker", "voice"), right("worker", "chat")], None);
        let found = effective(&role, &all).unwrap();
        let rule = &found.rules[0];
        assert_eq!((rule.group.as_deref(), rule.service_account.as_deref()), (None, Some("worker")));
        assert_eq!(found.digest, digest(&role, &all.rights));
    }

    #[test]
    fn what_can_be_granted_is_reviewed_too() {
        let with = |grants: Value| {
            let mut patched = serde_json::to_value(role()).unwrap();
            patched["spec"]["grants"] = grants;
            read::<AccessRole>(patched)
        };
        let all = everything();
        let seen: BTreeSet<String> =
            [json!(null), json!({"max": "4h"}), json!({"max": "8h"}), json!({"max": "4h", "approvals": 2})]
                .into_iter()
                .map(|grants| {
                    let role = with(grants.clone());
                    let found = effective(&role, &all).unwrap();
                    assert_eq!(found.digest, digest(&role, &all.rights), "{grants}");
                    assert_eq!(found.grants.is_some(), !grants.is_null());
                    found.digest
                })
                .collect();
        assert_eq!(seen.len(), 4, "each change needs a review");
        let one = json!({"max": "4h", "approvals": 1});
        assert!(seen.contains(&digest(&with(one), &all.rights)), "one approves unless said otherwise");
        let mut withheld = all;
        withheld.withheld = Some(Fault::new(Reason::ReviewOverdue, "overdue"));
        assert_eq!(effective(&with(json!({"max": "4h"})), &withheld).unwrap().grants, None);
    }

    #[test]
    fn what_nobody_can_tell_is_absent_and_nothing_is_counted_as_nothing() {
        let mut blind = everything();
        blind.fault = Some(Fault::new(Reason::VaultUnreachable, "it does not answer"));
        assert_eq!(effective(&role(), &blind), None);
        assert_eq!(effective(&role(), &facts(&[right("all", "chat")], None)), None);
        let nothing = effective(&role(), &facts(&[], Some(&[]))).unwrap();
        assert_eq!((nothing.count, nothing.rules.len()), (0, 0));
    }

    #[test]
    fn fifty_are_listed_and_all_are_counted() {
        let many: Vec<_> = (0..60).map(|number| right(&format!("group-{number:02}"), "voice")).collect();
        let found = effective(&role(), &facts(&many, Some(&[]))).unwrap();
        assert_eq!((found.count, found.rules.len()), (60, 50));
        let fewer = effective(&role(), &facts(&many[..59], Some(&[]))).unwrap();
        assert_ne!(found.digest, fewer.digest, "the digest is of those that are not listed too");
    }
}
