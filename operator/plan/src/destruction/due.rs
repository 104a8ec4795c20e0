//! The day on which a key's data is due, by all that was ever said about it.

use jiff::civil::Date;
use subrosa_crds::{RetentionPolicy, cohort::Cohort};

use crate::{
    keys::deadlines::Deadlines,
    record::{decision::DecisionRecord, destroyer::BindingRules},
};

/// The day from which the data of a key may be destroyed, with Approvals; none where nobody set one.
///
/// The later one of what the destroyer saw first and what the policy says today; an earlier day of today's policy binds
/// where people approved its periods. Data of an open cohort that nobody resealed is due when it should have been.
pub fn day(
    record: &DecisionRecord,
    class: &str,
    cohort: Cohort,
    policy: &RetentionPolicy,
    digest: &str,
    rules: &BindingRules,
) -> Option<Date> {
    let today = policy.spec.class(class).and_then(|class| Deadlines::of(cohort, class).next());
    match (record.due, today) {
        (Some(first), Some(today)) if today < first && rules.approved.as_deref() != Some(digest) => {
            Some(first)
        }
        (_, Some(today)) => Some(today),
        (first, None) => first,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
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
