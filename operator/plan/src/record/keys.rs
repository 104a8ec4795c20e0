//! The records of data keys, beside a Channel's own record, kept as long as anything may be sealed with them.
//!
//! One record holds the keys of a class whose cohorts begin in one month. With daily cohorts that is one request
//! instead of thirty, and the size of a record does not grow with the age of a Channel.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use subrosa_crds::{cohort::Cohort, names::ChannelRef, retention_policy::Anchor};

/// The keys of one class whose cohorts begin in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysOfMonth {
    /// The Channel they are of.
    pub channel: ChannelRef,
    /// The class of data.
    pub class: String,
    /// The keys by cohort.
    #[serde(default)]
    pub keys: BTreeMap<String, KeyRecord>,
}

/// The record of one data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// When each version was made. Vault drops the times of versions below its minimum, so this may have more.
    #[serde(default)]
    pub versions: BTreeMap<u32, Timestamp>,
    /// From when its data is kept.
    pub anchor: Anchor,
    /// The terms under which it was made; `None` where the policy was already gone when the record was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// When its rotation was stopped, because the cohort had ended or the class was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// The due day under these terms; `None` while the cohort waits for its anchor date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// By when data of an open cohort must get its anchor date under these terms. After that the key is listed for
    /// destruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseal_by: Option<Date>,
    /// The path of the decision about the key, `decisions/<id>/<class>/<cohort>`, written only by the destroyer.
    pub decisions: String,
}

/// What a RetentionPolicy asked of a class when the key was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The RetentionPolicy's name.
    pub policy: String,
    /// SHA-256 of the class in the policy, as JSON, in lower-case hex; shows whether the class was changed since.
    pub hash: String,
    /// How long data is kept, such as `90d`; empty for backups whose policy did not say it yet.
    pub keep: String,
    /// The longest it may exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// The legal basis, as the policy states it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<String>,
}

impl KeysOfMonth {
    /// A record without keys.
    pub fn new(channel: ChannelRef, class: &str) -> Self {
        Self { channel, class: class.to_owned(), keys: BTreeMap::new() }
    }

    /// Merges what is known of a key now. Nothing is taken back: versions are added, terms and due day stay the first
    /// ones, and a closed key stays closed.
    #[must_use]
    pub fn with(mut self, cohort: Cohort, known: KeyRecord) -> Self {
        match self.keys.entry(cohort.to_string()) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(known);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                let kept = place.get_mut();
                kept.versions.extend(known.versions);
                kept.terms = kept.terms.take().or(known.terms);
                kept.due = kept.due.or(known.due);
                kept.reseal_by = kept.reseal_by.or(known.reseal_by);
                kept.closed = kept.closed.or(known.closed);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{named, now};

    #[test]
    fn what_was_written_is_never_taken_back() {
        let cohort: Cohort = "20261122".parse().unwrap();
        let terms = |policy: &str| {
            Some(Terms {
                policy: policy.into(),
                hash: "ab".into(),
                keep: "30d".into(),
                max: None,
                basis: vec![],
            })
        };
        let known = |version: u32, policy: &str, closed| KeyRecord {
            versions: [(version, now())].into(),
            anchor: Anchor::CreatedAt,
            terms: terms(policy),
            closed,
            due: None,
            reseal_by: None,
            decisions: "decisions/id/call/20261122".into(),
        };
        let record = KeysOfMonth::new(named("cc-front/voice"), "call")
            .with(cohort, known(1, "first", Some(now())))
            .with(cohort, known(2, "second", None));
        let kept = &record.keys["20261122"];
        assert_eq!(kept.versions.len(), 2);
        assert_eq!((&kept.terms, kept.closed), (&terms("first"), Some(now())));
    }
}
