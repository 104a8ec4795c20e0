//! The rules that a role's status lists: what may be done by it as it stands.

use std::collections::BTreeSet;

use subrosa_crds::{
    AccessRole,
    access_role::{AccessAction, AccessRule, ChannelClass, EffectiveRules, MAX_RULES, rules_digest},
};

use super::{break_glass, status::RoleFacts};

/// A group in lower case, and what its members can open.
pub type GroupRight = (String, ChannelClass);

/// What `role` gives; `None` where that is not known.
pub(super) fn effective(role: &AccessRole, facts: &RoleFacts) -> Option<EffectiveRules> {
    if facts.fault.is_some() {
        return None;
    }
    let rule = |login: &str, (group, (channel, class)): &GroupRight| AccessRule {
        login: login.to_owned(),
        group: group.clone(),
        channel: channel.clone(),
        data_class: class.clone(),
        action: AccessAction::Open,
    };
    let mut rules: BTreeSet<AccessRule> =
        facts.effective.iter().map(|right| rule(&role.spec.login, right)).collect();
    if role.spec.break_glass.is_some() {
        let by_glass = facts.glass.as_ref()?.effective.as_ref()?;
        rules.extend(by_glass.iter().map(|right| rule(break_glass::LOGIN, right)));
    }
    Some(EffectiveRules {
        count: i32::try_from(rules.len()).unwrap_or(i32::MAX),
        digest: rules_digest(&rules),
        rules: rules.into_iter().take(MAX_RULES).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_crds::Reason;

    use super::*;
    use crate::{
        roles::{
            break_glass::GlassFacts,
            status::{Right, digest},
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
        (group.to_owned(), (channel.to_owned(), "fax".to_owned()))
    }

    fn facts(effective: &[GroupRight], by_glass: Option<&[GroupRight]>) -> RoleFacts {
        let of = |channel: &str| ((channel.to_owned(), "fax".to_owned()), Right::Granted);
        let glass = GlassFacts {
            prepared: Ok(2),
            effective: by_glass.map(|rights| rights.iter().cloned().collect()),
            unseen: None,
            uses: None,
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
        let shown = |rule: &AccessRule| format!("{} {} {}", rule.login, rule.group, rule.channel);
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
