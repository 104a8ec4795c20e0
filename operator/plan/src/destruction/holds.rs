//! Which keys a LegalHold protects.

use kube::ResourceExt as _;
use subrosa_crds::{
    LegalHold,
    cohort::Cohort,
    legal_hold::HoldSelector,
    names::{BACKUP_CLASS, ChannelRef},
};

use super::step::{Hold, Released};

/// The fields of a data key that a hold's selector compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The Channel it was made for.
    pub channel: &'a ChannelRef,
    /// The class of data.
    pub class: &'a str,
    /// The cohort.
    pub cohort: Cohort,
}

/// Whether `selector` matches the key. On doubt a hold protects more: a cohort in the selector that does not parse
/// matches every cohort, and whatever classes and cohorts are held, so are all backups of the Channels.
pub fn covers(selector: &HoldSelector, key: Selected<'_>) -> bool {
    let named = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| one == text);
    let overlaps = |text: &String| match text.parse::<Cohort>() {
        Ok(held) => shares_a_day(held, key.cohort),
        Err(_) => true,
    };
    let of_channel =
        named(&selector.namespaces, &key.channel.namespace) && named(&selector.channels, &key.channel.name);
    let of_data = named(&selector.data_classes, key.class)
        && (selector.cohorts.is_empty() || selector.cohorts.iter().any(overlaps));
    // A backup may hold data of any class and date, and only a selector that names backups means their own months.
    let names_backups = selector.data_classes.iter().any(|class| class == BACKUP_CLASS);
    of_channel && (of_data || (key.class == BACKUP_CLASS && !names_backups))
}

/// The holds among `holds` that match the key and whose release was not approved (approved ones are in `released`).
pub fn holding<'a>(
    holds: impl IntoIterator<Item = &'a LegalHold>,
    released: &[Released],
    key: Selected<'_>,
) -> Vec<&'a LegalHold> {
    let naming = holds.into_iter().filter(|hold| covers(&hold.spec.selector, key));
    naming.filter(|hold| !released.iter().any(|one| one.name == hold.name_any())).collect()
}

/// A LegalHold as the key's record keeps it.
pub fn named(hold: &LegalHold) -> Hold {
    Hold { name: hold.name_any(), uid: hold.uid().unwrap_or_default(), digest: hold.spec.release_digest() }
}

/// Whether the two cohorts share a day. An open cohort may share any day: the dates of its data are not known yet.
fn shares_a_day(held: Cohort, cohort: Cohort) -> bool {
    if held.is_open() || cohort.is_open() {
        return true;
    }
    // A cohort whose end is beyond the calendar ends after every other.
    let begins_before_end_of = |one: Cohort, other: Cohort| other.end().map_or(true, |end| one.start() < end);
    begins_before_end_of(held, cohort) && begins_before_end_of(cohort, held)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{named, read};

    fn is_held(selector: Value, channel: &str, class: &str, cohort: &str) -> bool {
        let channel = named(channel);
        covers(&read(selector), Selected { channel: &channel, class, cohort: cohort.parse().unwrap() })
    }

    #[test]
    fn every_list_that_is_given_has_to_name_the_key() {
        let hold = json!({"namespaces": ["cc-front"], "channels": ["voice"], "dataClasses": ["call"]});
        assert!(is_held(hold.clone(), "cc-front/voice", "call", "2026m11"));
        for (channel, class) in
            [("cc-back/voice", "call"), ("cc-front/chat", "call"), ("cc-front/voice", "mail")]
        {
            assert!(!is_held(hold.clone(), channel, class, "2026m11"), "{channel} {class}");
        }
    }

    #[test]
    fn a_period_holds_every_cohort_that_shares_a_day_with_it() {
        let november = json!({"cohorts": ["2026m11"]});
        for cohort in ["20261101", "20261130", "2026w44", "2026w49", "2026m11", "2026q4", "2026"] {
            assert!(is_held(november.clone(), "a/b", "call", cohort), "{cohort}");
        }
        for cohort in ["20261031", "20261201", "2026w43", "2026w50", "2026m10", "2026m12", "2026q3", "2025"] {
            assert!(!is_held(november.clone(), "a/b", "call", cohort), "{cohort}");
        }
    }

    #[test]
    fn a_hold_of_any_data_of_a_channel_holds_its_backups() {
        for hold in [
            json!({"namespaces": ["a"], "dataClasses": ["call"]}),
            json!({"channels": ["b"], "cohorts": ["2020m01"]}),
            json!({"dataClasses": ["subrosa-backup"], "cohorts": ["2026m11"]}),
        ] {
            assert!(is_held(hold, "a/b", "subrosa-backup", "2026m11"));
        }
        let december = json!({"dataClasses": ["subrosa-backup"], "cohorts": ["2026m12"]});
        for (hold, channel) in
            [(json!({"channels": ["c"], "dataClasses": ["call"]}), "a/b"), (december, "a/b")]
        {
            assert!(!is_held(hold, channel, "subrosa-backup", "2026m11"));
        }
    }

    #[test]
    fn data_whose_date_is_not_known_is_held_by_every_period() {
        assert!(is_held(json!({"cohorts": ["2020"]}), "a/b", "dossier", "open-2026"));
        assert!(is_held(json!({"cohorts": ["open-2026"]}), "a/b", "dossier", "2020"));
        assert!(is_held(json!({"cohorts": ["not a cohort"]}), "a/b", "dossier", "2020"));
    }
}
