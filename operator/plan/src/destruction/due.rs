//! The due day of a data key, from the policy, the destroyer's record and the rules that bind.

use jiff::civil::Date;
use subrosa_crds::{RetentionPolicy, cohort::Cohort};

use crate::{
    keys::deadlines::Deadlines,
    record::{decision::DecisionRecord, destroyer::BindingRules},
};

/// The day from which the data of a key may be destroyed, once people approved it; `None` where no policy ever set
/// one.
///
/// It is the latest of three days: the one that the destroyer recorded first, the one that the policy gives today,
/// and the one of the longest periods that ever bound under that policy. An earlier day binds only after people
/// approved the policy's periods. Data that nobody resealed out of an open cohort is due on the day by which it
/// should have been resealed.
pub fn day(
    record: &DecisionRecord,
    class: &str,
    cohort: Cohort,
    policy: &RetentionPolicy,
    digest: &str,
    rules: &BindingRules,
) -> Option<Date> {
    of(record.due, class, cohort, policy, digest, Some(rules))
}

/// As [`day`], where `first` is the recorded day and the binding rules may be unknown.
pub fn of(
    first: Option<Date>,
    class: &str,
    cohort: Cohort,
    policy: &RetentionPolicy,
    digest: &str,
    rules: Option<&BindingRules>,
) -> Option<Date> {
    let says = policy.spec.class(class).and_then(|class| Deadlines::of(cohort, class).next());
    let binds = rules.and_then(|rules| rules.periods.get(class));
    let binds = binds
        .and_then(|periods| Deadlines::by(cohort, &periods.keep, periods.open_for.as_deref(), None).next());
    // `max` works because `None` orders before every day.
    let says = says.max(binds);
    let is_approved = rules.is_some_and(|rules| rules.approved.as_deref() == Some(digest));
    if is_approved && says.is_some() { says } else { first.max(says) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::destruction::rules;
    use crate::testing::{named, read};

    fn due(
        first: Option<&str>,
        keep: &str,
        approved: Option<&str>,
        class: &str,
        cohort: &str,
    ) -> Option<String> {
        let policy: RetentionPolicy = read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "p"},
            "spec": {"classes": [
                {"name": "call", "keep": keep, "cohort": "Day"},
                {"name": "dossier", "keep": "20y", "cohort": "Year", "anchor": "LastChange", "openFor": "5y"},
            ]},
        }));
        let record = DecisionRecord {
            channel: named("cc-front/voice"),
            terms: None,
            due: first.map(|day| day.parse().unwrap()),
            holds: [].into(),
            destruction: None,
            past: None,
            called_off: None,
        };
        let rules = BindingRules {
            approvals: 2,
            grace: "14d".into(),
            mode: Default::default(),
            periods: [].into(),
            approved: approved.map(ToOwned::to_owned),
        };
        day(&record, class, cohort.parse().unwrap(), &policy, "sha256:now", &rules).map(|day| day.to_string())
    }

    #[test]
    fn the_day_is_never_earlier_without_approvals() {
        let call = |first, keep, approved| due(first, keep, approved, "call", "20261122").unwrap();
        assert_eq!(call(Some("2027-02-21"), "90d", None), "2027-02-21");
        assert_eq!(call(Some("2027-02-21"), "120d", None), "2027-03-23", "longer binds at once");
        assert_eq!(call(Some("2027-02-21"), "30d", None), "2027-02-21", "shorter does not");
        assert_eq!(call(Some("2027-02-21"), "30d", Some("sha256:old")), "2027-02-21");
        assert_eq!(call(Some("2027-02-21"), "30d", Some("sha256:now")), "2026-12-23");
        assert_eq!(call(None, "30d", None), "2026-12-23");
    }

    /// One person lengthens a period, which binds at once, and another one may not take that back.
    #[test]
    fn what_was_lengthened_once_stays_so() {
        let policy = |keep: &str| -> RetentionPolicy {
            read(json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "p"},
                "spec": {"classes": [{"name": "call", "keep": keep, "cohort": "Day", "openFor": "1d"}]},
            }))
        };
        let today = "2026-11-22".parse().unwrap();
        let (short, long) = (policy("90d"), policy("20y"));
        let bind = |policy, before: Option<&BindingRules>, approved| {
            rules::bind(policy, before, approved, today).rules
        };
        let first = bind(&short, None, false);
        let longer = bind(&long, Some(&first), false);
        let back = bind(&short, Some(&longer), false);
        let due = |rules: &BindingRules, cohort: &str| {
            let first = Some("2027-02-21".parse().unwrap());
            let found =
                of(first, "call", cohort.parse().unwrap(), &short, &rules::digest(&short), Some(rules));
            found.map(|day| day.to_string())
        };
        assert_eq!(due(&first, "20261122").as_deref(), Some("2027-02-21"));
        assert_eq!(due(&back, "20261122").as_deref(), Some("2046-11-23"));
        let approved = bind(&short, Some(&longer), true);
        assert_eq!(due(&approved, "20261122").as_deref(), Some("2027-02-21"));
    }

    /// Counted by hand with a printed calendar. Week 47 of 2026 is Monday 16 to Sunday 22 November, and ends where 23 November
    /// begins; the policy is changed on Thursday 19 November. From 23 November it is 8 days to 1 December, 39 to 1 January, 70 to
    /// 1 February and 98 to 1 March 2027: after 30 days it is 23 December, after 90 days 21 February, after 120 days 23 March. What
    /// was sealed on Monday and what is sealed on Friday have one key, and one day.
    #[test]
    fn a_policy_that_is_changed_in_the_middle_of_a_cohort_has_one_day_for_all_of_it() {
        let policy = |keep: &str, cohort: &str| -> RetentionPolicy {
            read(json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "p"},
                "spec": {"classes": [{"name": "call", "keep": keep, "cohort": cohort}]},
            }))
        };
        let (monday, thursday) = ("2026-11-16".parse().unwrap(), "2026-11-19".parse().unwrap());
        let before = policy("90d", "Week");
        let bound = rules::bind(&before, None, false, monday).rules;
        let week: Cohort = "2026w47".parse().unwrap();
        // What the operator wrote down on Monday, when it made the key.
        let first = Deadlines::of(week, &before.spec.classes[0]).due;
        assert_eq!(first, Some("2027-02-21".parse().unwrap()));
        let due = |after: &RetentionPolicy, approved: bool, cohort: Cohort, first: Option<Date>| {
            let rules = rules::bind(after, Some(&bound), approved, thursday).rules;
            of(first, "call", cohort, after, &rules::digest(after), Some(&rules)).unwrap().to_string()
        };
        assert_eq!(due(&before, false, week, first), "2027-02-21", "unchanged");
        assert_eq!(due(&policy("120d", "Week"), false, week, first), "2027-03-23", "longer, at once");
        assert_eq!(due(&policy("30d", "Week"), false, week, first), "2027-02-21", "shorter, not approved");
        assert_eq!(due(&policy("30d", "Week"), true, week, first), "2026-12-23", "shorter, approved");
        // Months from Thursday on: the week keeps its own day; November ends where 1 December begins, and 31 + 31 + 28 days
        // later it is 1 March.
        let months = policy("90d", "Month");
        assert_eq!(due(&months, false, week, first), "2027-02-21");
        assert_eq!(due(&months, false, "2026m11".parse().unwrap(), None), "2027-03-01");
    }

    #[test]
    fn a_class_that_was_dropped_keeps_the_day_it_had() {
        assert_eq!(due(Some("2027-02-21"), "90d", None, "mail", "20261122").as_deref(), Some("2027-02-21"));
        assert_eq!(due(None, "90d", None, "mail", "20261122"), None);
    }

    #[test]
    fn what_nobody_resealed_is_due_when_it_should_have_been() {
        assert_eq!(due(None, "90d", None, "dossier", "open-2026").as_deref(), Some("2032-01-01"));
        assert_eq!(due(None, "90d", None, "dossier", "2026").as_deref(), Some("2047-01-01"));
    }
}
