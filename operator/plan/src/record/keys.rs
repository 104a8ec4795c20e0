//! The records of data keys, kept beside a Channel's own as long as anything could be sealed with them.
//!
//! One record holds the keys of a class whose cohorts begin in one month: with a cohort a day that is one request where
//! there would be thirty, and what has to be read or written never grows with the age of a Channel.

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

/// What is remembered of a data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// When each version was made. Vault forgets the times of versions below its minimum, so this may know more.
    #[serde(default)]
    pub versions: BTreeMap<u32, Timestamp>,
    /// From when its data is kept.
    pub anchor: Anchor,
    /// The terms under which it was made; none where the policy was not there any more when the record was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// When its rotation was stopped, because the cohort had ended or the class was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// The day its data is due for destruction under these terms; none while the cohort waits for its anchor date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// By when data of an open cohort gets its anchor date under these terms; from then on it is listed for destruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseal_by: Option<Date>,
    /// The record with what is decided about the key: `decisions/<id>/<class>/<cohort>`, written by the destroyer alone.
    pub decisions: String,
}

/// What a RetentionPolicy asked of a class when a key of it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The RetentionPolicy's name.
    pub policy: String,
    /// SHA-256 of the class in it, as JSON, in lower-case hex: tells whether it was changed since.
    pub hash: String,
    /// How long data is kept, such as `90d`.
    pub keep: String,
    /// The longest it may exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// What the law asks, as the policy says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<String>,
}

impl KeysOfMonth {
    /// A record without keys.
    pub fn new(channel: ChannelRef, class: &str) -> Self {
        Self { channel, class: class.to_owned(), keys: BTreeMap::new() }
    }

    /// With what is known of a key now. What was written before is never taken back: versions are added, terms and due
    /// day stay those of the beginning, and what was closed stays closed.
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
