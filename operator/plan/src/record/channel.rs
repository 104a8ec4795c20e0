//! The record of a Channel: the facts that must survive, in Vault's key-value engine, changed only by
//! compare-and-set.
//!
//! The record is authoritative and status is derived from it. The operator writes its intent before it acts, so that
//! after a crash the next reconcile finds what may have been done, and finishes or withdraws it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::{
    Reason,
    cohort::Cohort,
    names::{ChannelId, ChannelRef},
};

use crate::record::{
    adoption::AdoptionMark,
    backup::BackupRecord,
    connection::ConnectionKey,
    ended::Ended,
    extra_trust,
    generations::Generations,
    issuances::Issuances,
    news::{self, News},
    pods::PodCertificates,
    views::{PeerView, View},
};

/// The record of one Channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelRecord {
    /// The Channel it is of.
    pub channel: ChannelRef,
    /// The UID of the namespace from which the identity was minted.
    pub namespace_uid: String,
    /// The trust domain.
    pub trust_domain: String,
    /// The generations of its certificate authority.
    #[serde(default)]
    pub authority: Generations,
    /// The last issuances.
    #[serde(default)]
    pub issuances: Issuances,
    /// Data keys in use, by class, then by cohort. Keys of ended cohorts have records of their own; releases without
    /// schema numbers kept them here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, BTreeMap<String, ActiveKey>>,
    /// The cohorts whose keys were closed. `None` in a record of a release without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The cohorts whose keys were destroyed, as the destroyer's records prove.
    #[serde(default, skip_serializing_if = "Ended::is_empty")]
    pub destroyed: Ended,
    /// Who has access in Vault, noted before it is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The earlier Channels of its name whose keys it adopted, as people approved; written before access is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopts: Vec<AdoptionMark>,
    /// The later Channel of its name that adopted its keys. A later adoption replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_by: Option<AdoptionMark>,
    /// The connections that are open, noted before they are opened.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<ConnectionKey>,
    /// The version of this Channel's declaration from which the record was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<View>,
    /// The versions of other Channels' declarations with which connections were opened, by namespace and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, PeerView>,
    /// The further authorities that it trusts, written before they are trusted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub extra_trust: BTreeSet<extra_trust::ExtraTrustKey>,
    /// Withdrawn connections, not yet proven closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closing: Vec<Withdrawal>,
    /// The certificates of pods, where delivery is per pod or was recently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCertificates>,
    /// Its backups, where it has any or had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<BackupRecord>>,
    /// Events about changes of this record that the API server has not accepted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tell: Vec<News>,
    /// How many such Events were sent without being kept here, because the list was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untold: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A data key that is in use, will be, or was and is not closed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveKey {
    /// When each version was made. Empty: intended, perhaps not made yet.
    #[serde(default)]
    pub versions: BTreeMap<u32, Timestamp>,
    /// Rotation was stopped, because the cohort has ended or the class was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Whether the key's own record has all of this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

/// Access in Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The ServiceAccount's UID: the name of the entity alias.
    pub service_account_uid: String,
    /// Whether the workload may open what it sealed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_open: bool,
}

/// A withdrawn connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdrawal {
    /// Which.
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// Since when new connections are refused.
    pub since: Timestamp,
    /// When the last certificate expires that a pod may have presented at that time; by then each pod has read its
    /// files again. Absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl ChannelRecord {
    /// Moves the `news` that must be kept into this record, which replaces `before`, and removes the news that was
    /// sent: see [`news::keep`].
    pub fn keep_news(
        &mut self,
        before: Option<&Self>,
        news: &mut Vec<(Reason, String)>,
        told: &BTreeSet<String>,
        now: Timestamp,
    ) {
        let changes = before != Some(self);
        self.untold += news::keep(&mut self.tell, changes, news, told, now);
    }

    /// The first record of a Channel.
    pub fn new(channel: ChannelRef, namespace_uid: &str, trust_domain: &str) -> Self {
        Self {
            channel,
            namespace_uid: namespace_uid.to_owned(),
            trust_domain: trust_domain.to_owned(),
            authority: Generations::default(),
            issuances: Issuances::default(),
            keys: BTreeMap::new(),
            ended: Some(Ended::default()),
            destroyed: Ended::default(),
            access: None,
            adopts: Vec::new(),
            adopted_by: None,
            open: BTreeSet::new(),
            follows: None,
            peers: BTreeMap::new(),
            extra_trust: BTreeSet::new(),
            closing: Vec::new(),
            pods: None,
            backup: None,
            tell: Vec::new(),
            untold: 0,
        }
    }

    /// The Channel's identity.
    pub fn id(&self) -> ChannelId {
        ChannelId::mint(&self.namespace_uid, &self.channel.name)
    }

    /// The record of a data key; added where missing.
    pub fn key_mut(&mut self, class: &str, cohort: Cohort) -> &mut ActiveKey {
        self.keys.entry(class.to_owned()).or_default().entry(cohort.to_string()).or_default()
    }

    /// The identities whose keys it adopted.
    pub fn adopted(&self) -> impl Iterator<Item = &ChannelId> {
        self.adopts.iter().map(|one| &one.id)
    }

    /// Its data keys that are not closed, by class and cohort.
    pub fn active(&self) -> impl Iterator<Item = (&str, Cohort)> {
        self.keys.iter().flat_map(|(class, cohorts)| {
            cohorts.keys().filter_map(|cohort| Some((class.as_str(), cohort.parse().ok()?)))
        })
    }

    /// The classes for which it has keys that were not destroyed.
    pub fn classes(&self) -> BTreeSet<&str> {
        let ended = self.ended.iter().flat_map(Ended::iter).map(|(class, _)| class);
        self.keys.keys().map(String::as_str).chain(ended).collect()
    }

    /// Removes the keys of ended cohorts, which have records of their own, and marks all others as kept there. A key
    /// that was only intended leaves no trace.
    pub fn settle_keys(&mut self, ended: &[(String, Cohort, bool)]) {
        let mut all = self.ended.take().unwrap_or_default();
        for (class, cohort, was_made) in ended {
            if let Some(cohorts) = self.keys.get_mut(class) {
                cohorts.remove(&cohort.to_string());
            }
            if *was_made {
                all = all.with(class, *cohort);
            }
        }
        self.ended = Some(all);
        self.keys.retain(|_, cohorts| !cohorts.is_empty());
        let made =
            self.keys.values_mut().flat_map(BTreeMap::values_mut).filter(|key| !key.versions.is_empty());
        made.for_each(|key| key.kept = true);
    }

    /// Marks the key of an ended cohort as destroyed: nothing seals with it any more, and its absence is no fault.
    #[must_use]
    pub fn without_destroyed(mut self, class: &str, cohort: Cohort) -> Self {
        if self.ended.as_ref().is_some_and(|ended| ended.contains(class, cohort)) {
            self.ended = self.ended.map(|ended| ended.without(class, cohort));
            self.destroyed = self.destroyed.with(class, cohort);
        }
        self
    }

    /// The record of a data key.
    pub fn key(&self, class: &str, cohort: Cohort) -> Option<&ActiveKey> {
        self.keys.get(class)?.get(&cohort.to_string())
    }
}

#[cfg(test)]
mod tests;
