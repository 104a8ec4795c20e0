//! Which rules of a RetentionPolicy bind: stricter ones at once, weaker ones after Approvals under the old ones. Who may
//! edit a policy cannot make destruction easier alone.

use std::collections::BTreeMap;

use jiff::civil::Date;
use subrosa_crds::{
    RetentionPolicy,
    destruction::digest_of,
    period::Period,
    retention_policy::{DestructionMode, DestructionRules},
};

use crate::record::destroyer::BindingRules;

/// The rules that bind, and what of the policy does not bind yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What binds.
    pub rules: BindingRules,
    /// What the policy says that is weaker, such as `approvals: 1 (2 bind)`; it waits for Approvals of the policy.
    pub waiting: Vec<String>,
}

/// The digest of a policy's spec: what an Approval of its weaker rules repeats, and what a Destruction was listed under.
pub fn digest(policy: &RetentionPolicy) -> String {
    digest_of(&policy.spec)
}

/// The rules of `policy` that bind, where `before` bound until now. `approved` says that enough people, as many as
/// `before` asks for, approved the policy as it is.
pub fn bind(policy: &RetentionPolicy, before: Option<&BindingRules>, approved: bool, today: Date) -> Bound {
    let declared = policy.spec.destruction();
    let says = BindingRules {
        approvals: declared.approvals(),
        grace: declared
            .grace()
            .map_or_else(|_| declared.grace.clone().unwrap_or_default(), |grace| grace.to_string()),
        mode: declared.mode(),
        // What was approved once and changed since is approved anew.
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
    Bound { rules, waiting }
}

/// The rules that bind for keys of a policy that is gone, as `all` rules that ever bound are known: who takes a policy away
/// makes destruction no easier. Its own mode stays; approvals and grace are the strictest of all, the defaults where none are
/// known.
pub fn of_gone(policy: &str, all: &BTreeMap<String, BindingRules>, today: Date) -> BindingRules {
    let longer = |one: String, other: String| if is_shorter(&one, &other, today) { other } else { one };
    let default = || DestructionRules::default().grace().map(|grace| grace.to_string()).unwrap_or_default();
    BindingRules {
        approvals: strictest(all.values()),
        grace: all.values().map(|rules| rules.grace.clone()).reduce(longer).unwrap_or_else(default),
        mode: all.get(policy).map_or(DestructionMode::Enforce, |own| own.mode),
        approved: None,
    }
}

/// The strictest number of approvals of several rules: what releases a hold or ends a freeze. Two where there are none.
pub fn strictest<'a>(rules: impl IntoIterator<Item = &'a BindingRules>) -> i32 {
    rules.into_iter().map(|rules| rules.approvals).max().unwrap_or(2)
}

/// Whether the first period ends sooner than the second. One that cannot be read counts as no time at all.
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
    fn defaults_are_rules_too() {
        let defaults = bind(&policy(json!({})), None, false, today()).rules;
        assert_eq!((defaults.approvals, defaults.grace.as_str()), (2, "14d"));
        let longer = bind(&policy(json!({"grace": "3w"})), Some(&defaults), false, today());
        assert_eq!(longer.rules.grace, "3w");
        assert_eq!(strictest([]), 2);
        assert_eq!(strictest([&defaults, &BindingRules { approvals: 4, ..defaults.clone() }]), 4);
    }
}
