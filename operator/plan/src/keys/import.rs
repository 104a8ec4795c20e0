//! Keys of past cohorts, for existing data that is sealed under its original dates (`encryption.import`).
//!
//! Such a key never rotates and is closed as soon as it is made. The Channel's record notes only that its cohort has
//! ended; the key has a record of its own like every other.

use jiff::{ToSpan as _, civil::Date};
use subrosa_crds::{
    RetentionPolicy, TrustDomain, cohort::Cohort, names::ChannelId, period::Period,
    retention_policy::DataClass,
};

use super::{WantedKey, classes};
use crate::{
    record::channel::ChannelRecord,
    world::{declaration::Declaration, domain},
};

/// How many keys are made in one reconcile; the rest follow in the next ones.
pub const AT_ONCE: usize = 32;

/// The keys of past cohorts that were never made, as of `today`.
///
/// Left out are cohorts that are due, since their data could be destroyed at once, and cohorts whose data was
/// destroyed, since no key is made again under a destroyed name.
pub fn missing<'a>(
    channel: &'a Declaration,
    id: &'a ChannelId,
    policy: &'a RetentionPolicy,
    record: &'a ChannelRecord,
    today: Date,
) -> impl Iterator<Item = WantedKey> + 'a {
    let from = channel.imports_from();
    let all = from.into_iter().flat_map(move |from| {
        classes(channel, policy).flat_map(move |class| {
            past(class, from, today).map(move |cohort| WantedKey {
                class: class.name.clone(),
                cohort,
                name: id.data_key(&class.name, &cohort.to_string()),
                key_type: channel.key_type(),
                rotate_every: None,
            })
        })
    });
    all.filter(|key| !was_made(record, &key.class, key.cohort))
}

/// How many are still to be made; 0 without a record or a policy.
pub fn count(
    channel: &Declaration,
    policy: &RetentionPolicy,
    record: &ChannelRecord,
    trust_domain: &TrustDomain,
    now: jiff::Timestamp,
) -> usize {
    missing(channel, &record.id(), policy, record, domain::today(trust_domain, now)).count()
}

/// The cohorts of a class from the one of `from` to the last before today's, without those that are due.
fn past(class: &DataClass, from: Date, today: Date) -> impl Iterator<Item = Cohort> {
    let period = class.cohort.unwrap_or_default();
    let current = Cohort::of(today, period);
    let keep = class.keep.parse::<Period>().ok();
    // Cohorts that ended longer ago than `keep` plus a margin are due in any case: skip them without counting.
    let longest = keep.and_then(|keep| Some((keep.after(today).ok()? - today).get_days()));
    let earliest = longest.and_then(|days| today.checked_sub((days + 800).days()).ok());
    let from = earliest.map_or(from, |earliest| from.max(earliest));
    std::iter::successors(Some(Cohort::of(from, period)), |cohort| cohort.next().ok())
        .take_while(move |cohort| *cohort < current)
        .filter(move |cohort| keep.and_then(|keep| cohort.due(keep).ok()).is_some_and(|due| due > today))
}

fn was_made(record: &ChannelRecord, class: &str, cohort: Cohort) -> bool {
    record.key(class, cohort).is_some_and(|known| !known.versions.is_empty())
        || record.ended.as_ref().is_some_and(|ended| ended.contains(class, cohort))
        || record.destroyed.contains(class, cohort)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::{
        record::ended::Ended,
        testing::{DOMAIN, channel, named, now},
    };

    const TODAY: Date = date(2026, 11, 22);

    struct Case {
        channel: Declaration,
        policy: RetentionPolicy,
        record: ChannelRecord,
    }

    fn case(import: &str, class: serde_json::Value) -> Case {
        let spec = json!({"dataClasses": ["a"], "encryption": {"import": {"from": import}}});
        let channel = channel("cc-front/voice", spec);
        let policy = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "p"},
            "spec": {"classes": [class], "destruction": {"approvals": 1, "grace": "1d", "mode": "Report"}},
        });
        Case {
            channel,
            policy: serde_json::from_value(policy).unwrap(),
            record: ChannelRecord::new(named("cc-front/voice"), "uid", DOMAIN),
        }
    }

    impl Case {
        fn cohorts(&self) -> Vec<String> {
            let id = self.record.id();
            missing(&self.channel, &id, &self.policy, &self.record, TODAY)
                .map(|key| {
                    assert_eq!(key.rotate_every, None);
                    assert_eq!(key.name, id.data_key("a", &key.cohort.to_string()));
                    key.cohort.to_string()
                })
                .collect()
        }
    }

    #[test]
    fn every_past_cohort_from_the_date_on_gets_a_key_once() {
        let yearly =
            json!({"name": "a", "keep": "20y", "max": "22y", "cohort": "Year", "anchor": "LastChange"});
        let mut case = case("2023-05-03", yearly);
        assert_eq!(case.cohorts(), ["2023", "2024", "2025"], "this year's is made anyway");
        // Closed, being made, and destroyed.
        case.record.ended = Some(Ended::default().with("a", "2023".parse().unwrap()));
        case.record.key_mut("a", "2024".parse().unwrap()).versions.insert(1, now());
        assert_eq!(case.cohorts(), ["2025"]);
        case.record.destroyed = Ended::default().with("a", "2025".parse().unwrap());
        assert!(case.cohorts().is_empty());
        // Intended before a crash, and perhaps not made.
        case.record.destroyed = Ended::default();
        case.record.key_mut("a", "2025".parse().unwrap());
        assert_eq!(case.cohorts(), ["2025"]);
    }

    #[test]
    fn what_is_due_already_gets_none() {
        let weekly = json!({"name": "a", "keep": "4w", "max": "8w", "cohort": "Week"});
        // The week of 19 October ended on the 26th; four weeks later is 23 November, the day after.
        assert_eq!(
            case("2019-01-01", weekly.clone()).cohorts(),
            ["2026w43", "2026w44", "2026w45", "2026w46"]
        );
        assert_eq!(case("2026-11-09", weekly.clone()).cohorts(), ["2026w46"]);
        for none in ["2026-11-22", "2031-01-01", "no date"] {
            assert!(case(none, weekly.clone()).cohorts().is_empty(), "{none}");
        }
    }

    #[test]
    fn twenty_years_of_days_are_looked_through_in_no_time() {
        let daily = json!({"name": "a", "keep": "20y", "max": "21y", "cohort": "Day"});
        let mut case = case("0001-01-01", daily);
        let all = case.cohorts();
        assert_eq!((all.len(), all.first().map(String::as_str)), (7305, Some("20061122")));
        let ended = all.iter().fold(Ended::default(), |ended, one| ended.with("a", one.parse().unwrap()));
        case.record.ended = Some(ended);
        assert!(case.cohorts().is_empty());
    }
}
