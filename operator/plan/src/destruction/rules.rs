//! Which rules of a RetentionPolicy bind. Stricter rules bind at once; weaker ones only after people approved them
//! under the old rules, so that an editor of the policy alone cannot make destruction easier.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use subrosa_crds::{
    RetentionPolicy,
    destruction::digest_of,
    period::Period,
    retention_policy::{DataClass, DestructionMode, DestructionRules},
};

use crate::record::destroyer::{BindingRules, BoundPeriods};

/// The binding rules, and those of the policy that do not bind yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The rules that bind.
    pub rules: BindingRules,
    /// Weaker rules in the policy that wait for Approvals of it, such as `approvals: 1 (2 bind)`.
    pub waiting: Vec<String>,
}

/// The digest of a policy's spec: an Approval of its weaker rules repeats it, and a Destruction has the one it was
/// listed under.
pub fn digest(policy: &RetentionPolicy) -> String {
    digest_of(&policy.spec)
}

/// The binding rules of `policy`, where `before` bound until now. `approved` is true when as many people as `before`
/// asks for approved this version of the policy.
pub fn bind(policy: &RetentionPolicy, before: Option<&BindingRules>, approved: bool, today: Date) -> Bound {
    let declared = policy.spec.destruction();
    let says = BindingRules {
        approvals: declared.approvals(),
        grace: declared
            .grace()
            .map_or_else(|_| declared.grace.clone().unwrap_or_default(), |grace| grace.to_string()),
        mode: declared.mode(),
        periods: policy.spec.classes.iter().map(periods).collect(),
        // An approval of an earlier version of the policy is void.
        approved: before
            .and_then(|before| before.approved.clone())
            .filter(|approved| *approved == digest(policy)),
    };
    let Some(before) = before else { return Bound { rules: says, waiting: Vec::new() } };
    if approved {
        return Bound { rules: BindingRules { approved: Some(digest(policy)), ..says }, waiting: Vec::new() };
    }
    let mut rules = says.clone();
    let mut waiting = Vec::new();
    if says.approvals < before.approvals {
        waiting.push(format!("approvals: {} ({} bind)", says.approvals, before.approvals));
        rules.approvals = before.approvals;
    }
    if is_shorter(&says.grace, &before.grace, today) {
        waiting.push(format!("grace: {} ({} binds)", says.grace, before.grace));
        rules.grace.clone_from(&before.grace);
    }
    if (before.mode, says.mode) == (DestructionMode::Report, DestructionMode::Enforce) {
        waiting.push("mode: Enforce (Report binds)".to_owned());
        rules.mode = DestructionMode::Report;
    }
    for (class, longest) in &before.periods {
        let declares = rules.periods.contains_key(class);
        let binds = rules.periods.entry(class.clone()).or_insert_with(|| longest.clone());
        if !declares {
            continue;
        }
        if is_shorter(&binds.keep, &longest.keep, today) {
            waiting.push(format!("keep of {class}: {} ({} binds)", binds.keep, longest.keep));
            binds.keep.clone_from(&longest.keep);
        }
        if is_sooner(binds.open_for.as_deref(), longest.open_for.as_deref(), today) {
            if let Some((said, kept)) = binds.open_for.as_ref().zip(longest.open_for.as_ref()) {
                waiting.push(format!("openFor of {class}: {said} ({kept} binds)"));
            }
            binds.open_for.clone_from(&longest.open_for);
        }
    }
    Bound { rules, waiting }
}

fn periods(class: &DataClass) -> (String, BoundPeriods) {
    (class.name.clone(), BoundPeriods { keep: class.keep.clone(), open_for: class.open_for.clone() })
}

/// Keeps the longer of both periods for each class.
fn longer(one: &mut BTreeMap<String, BoundPeriods>, other: &BTreeMap<String, BoundPeriods>, today: Date) {
    for (class, other) in other {
        let periods = one.entry(class.clone()).or_insert_with(|| other.clone());
        if is_shorter(&periods.keep, &other.keep, today) {
            periods.keep.clone_from(&other.keep);
        }
        if is_sooner(periods.open_for.as_deref(), other.open_for.as_deref(), today) {
            periods.open_for.clone_from(&other.open_for);
        }
    }
}

/// The binding rules for keys of a deleted policy, where `all` has every known rule: deleting a policy must not make
/// destruction easier. The policy's own mode stays; approvals and grace are the strictest of all rules, or the
/// defaults where none are known.
pub fn of_gone(policy: &str, all: &BTreeMap<String, BindingRules>, today: Date) -> BindingRules {
    let longer = |one: String, other: String| if is_shorter(&one, &other, today) { other } else { one };
    let default = || DestructionRules::default().grace().map(|grace| grace.to_string()).unwrap_or_default();
    BindingRules {
        approvals: strictest(all.values()),
        grace: all.values().map(|rules| rules.grace.clone()).reduce(longer).unwrap_or_else(default),
        mode: all.get(policy).map_or(DestructionMode::Enforce, |own| own.mode),
        periods: BTreeMap::new(),
        approved: None,
    }
}

/// The stricter of two sets of rules, policy by policy: what binds after a restore of Vault. `one` is from Vault,
/// `other` from the cluster's copy. Periods count as approved where both say so.
pub fn stricter(
    one: &BTreeMap<String, BindingRules>,
    other: &BTreeMap<String, BindingRules>,
    today: Date,
) -> BTreeMap<String, BindingRules> {
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let of = |name: &String| {
        let (first, second) = (one.get(name), other.get(name));
        let mut rules = first.or(second)?.clone();
        if let Some(second) = second {
            rules.approvals = rules.approvals.max(second.approvals);
            if is_shorter(&rules.grace, &second.grace, today) {
                rules.grace.clone_from(&second.grace);
            }
            if second.mode == DestructionMode::Report {
                rules.mode = DestructionMode::Report;
            }
            longer(&mut rules.periods, &second.periods, today);
        }
        let approved_in = |rules: Option<&BindingRules>| rules.and_then(|rules| rules.approved.clone());
        rules.approved = approved_in(first).filter(|digest| approved_in(second).as_ref() == Some(digest));
        Some((name.clone(), rules))
    };
    names.into_iter().filter_map(of).collect()
}

/// The largest number of approvals that any of the rules asks for, needed to release a hold or end a freeze. Two
/// where there are no rules.
pub fn strictest<'a>(rules: impl IntoIterator<Item = &'a BindingRules>) -> i32 {
    rules.into_iter().map(|rules| rules.approvals).max().unwrap_or(2)
}

/// Whether the first limit ends sooner than the second. A missing first limit counts as sooner: the day recorded
/// earlier would apply, and the second limit may be later than that.
fn is_sooner(one: Option<&str>, other: Option<&str>, today: Date) -> bool {
    other.is_some_and(|other| one.is_none_or(|one| is_shorter(one, other, today)))
}

/// Whether the first period is shorter. One that does not parse counts as zero.
fn is_shorter(one: &str, other: &str, today: Date) -> bool {
    let end = |text: &str| text.parse::<Period>().ok().and_then(|period| period.after(today).ok());
    end(one) < end(other)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{now, read};

    fn policy(destruction: Value) -> RetentionPolicy {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "p"},
            "spec": {"classes": [{"name": "call", "keep": "90d"}], "destruction": destruction},
        }))
    }

    fn today() -> Date {
        now().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    #[test]
    fn weaker_rules_wait_and_stricter_ones_bind() {
        let strict = policy(json!({"approvals": 3, "grace": "30d", "mode": "Report"}));
        let weak = policy(json!({"approvals": 1, "grace": "1d", "mode": "Enforce"}));
        let first = bind(&strict, None, false, today());
        assert!(first.waiting.is_empty());
        let edited = bind(&weak, Some(&first.rules), false, today());
        assert_eq!(edited.rules, first.rules);
        assert_eq!(edited.waiting.len(), 3, "{:?}", edited.waiting);
        // Not even in two steps.
        let again = bind(&weak, Some(&edited.rules), false, today());
        assert_eq!(again.rules, first.rules);
        let approved = bind(&weak, Some(&first.rules), true, today());
        assert_eq!((approved.rules.approvals, approved.rules.grace.as_str()), (1, "1d"));
        assert_eq!(approved.rules.approved, Some(digest(&weak)));
        let back = bind(&strict, Some(&approved.rules), false, today());
        assert_eq!((back.rules.approvals, back.rules.mode), (3, DestructionMode::Report));
        assert!(back.waiting.is_empty());
    }

    #[test]
    fn without_its_policy_the_strictest_of_all_binds() {
        let rules = |destruction| bind(&policy(destruction), None, false, today()).rules;
        let all: BTreeMap<_, _> = [
            ("gone".to_owned(), rules(json!({"approvals": 1, "grace": "1d", "mode": "Report"}))),
            ("easy".to_owned(), rules(json!({"approvals": 1, "grace": "6w"}))),
            ("strict".to_owned(), rules(json!({"approvals": 4, "grace": "1mo"}))),
        ]
        .into();
        let own = of_gone("gone", &all, today());
        assert_eq!((own.approvals, own.grace.as_str(), own.mode), (4, "6w", DestructionMode::Report));
        assert_eq!(of_gone("never-seen", &all, today()).mode, DestructionMode::Enforce);
        let alone = of_gone("gone", &BTreeMap::new(), today());
        assert_eq!(
            (alone.approvals, alone.grace.as_str()),
            (2, "14d"),
            "the defaults where nothing is known"
        );
    }

    #[test]
    fn after_a_restore_the_stricter_of_both_binds() {
        let rules = |approvals: i32, grace: &str, mode, approved: Option<&str>| BindingRules {
            approvals,
            grace: grace.into(),
            mode,
            periods: BTreeMap::new(),
            approved: approved.map(Into::into),
        };
        let all = |of: &[(&str, BindingRules)]| -> BTreeMap<_, _> {
            of.iter().map(|(name, rules)| ((*name).to_owned(), rules.clone())).collect()
        };
        use DestructionMode::{Enforce, Report};
        let store = all(&[
            ("a", rules(1, "30d", Enforce, Some("x"))),
            ("b", rules(2, "1d", Report, Some("x"))),
            ("c", rules(4, "1d", Enforce, Some("x"))),
        ]);
        let cluster = all(&[
            ("a", rules(3, "2w", Report, Some("x"))),
            ("b", rules(1, "1mo", Enforce, Some("y"))),
            ("d", rules(5, "1d", Enforce, Some("z"))),
        ]);
        let both = all(&[
            ("a", rules(3, "30d", Report, Some("x"))),
            ("b", rules(2, "1mo", Report, None)),
            ("c", rules(4, "1d", Enforce, None)),
            ("d", rules(5, "1d", Enforce, None)),
        ]);
        assert_eq!(stricter(&store, &cluster, today()), both);
        assert_eq!(stricter(&cluster, &store, today()), both);
        assert_eq!(stricter(&both, &cluster, today()), both, "it can be asked again at every look");
        assert_eq!(strictest(stricter(&BTreeMap::new(), &cluster, today()).values()), 5);
    }

    #[test]
    fn defaults_are_rules_too() {
        let defaults = bind(&policy(json!({})), None, false, today()).rules;
        assert_eq!((defaults.approvals, defaults.grace.as_str()), (2, "14d"));
        let longer = bind(&policy(json!({"grace": "3w"})), Some(&defaults), false, today());
        assert_eq!(longer.rules.grace, "3w");
        assert_eq!(strictest([]), 2);
        assert_eq!(strictest([&defaults, &BindingRules { approvals: 4, ..defaults.clone() }]), 4);
    }
}
