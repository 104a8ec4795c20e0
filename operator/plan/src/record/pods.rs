//! The certificates of pods in the record: noted before anything is signed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::issuances::{LIMIT, WINDOW};
use crate::world::certificate::after;

/// How many pods of a Channel are recorded at most, which bounds the record.
pub const MOST_PODS: usize = 1000;

/// The certificates of a Channel's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCertificates {
    /// Whether delivery per pod is in force. This counts while the Channel's declaration does not.
    pub in_force: bool,
    /// The names in the last certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<PodNames>,
    /// By the pod's UID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<String, PodRecord>,
}

/// The names for renewal while a declaration is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNames {
    /// The subject's common name.
    pub common_name: String,
    /// The DNS names.
    pub dns_names: BTreeSet<String>,
}

/// The certificates of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// When its last few certificates were noted, oldest first.
    pub at: Vec<Timestamp>,
    /// The last certificate.
    pub last: IssuedToPod,
}

/// A certificate of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedToPod {
    /// The serial, lower-case hex.
    pub serial: String,
    /// The generation that signed it.
    pub generation: u32,
    /// First valid second.
    pub not_before: Timestamp,
    /// Last valid second.
    pub not_after: Timestamp,
    /// From when kubelet asks for the next one.
    pub renew_at: Timestamp,
}

impl PodCertificates {
    /// Whether this pod has had a certificate before.
    #[must_use]
    pub fn knows(&self, pod_uid: &str) -> bool {
        self.pods.contains_key(pod_uid)
    }

    /// Notes a certificate that is about to be signed.
    #[must_use]
    pub fn noted(mut self, pod_uid: &str, names: PodNames, issued: IssuedToPod, now: Timestamp) -> Self {
        let mut at = self.pods.remove(pod_uid).map(|before| before.at).unwrap_or_default();
        at.push(now);
        at.drain(..at.len().saturating_sub(LIMIT));
        self.names = Some(names);
        self.pods.insert(pod_uid.to_owned(), PodRecord { at, last: issued });
        self
    }

    /// Removes the last certificate of this pod if it was never signed, so that it may be tried again.
    #[must_use]
    pub fn without_unsigned(&self, pod_uid: &str, unsigned: impl Fn(&str) -> bool) -> Option<Self> {
        let mut pod = self.pods.get(pod_uid).filter(|pod| unsigned(&pod.last.serial))?.clone();
        let mut rest = self.clone();
        pod.at.pop();
        if pod.at.is_empty() {
            rest.pods.remove(pod_uid)
        } else {
            rest.pods.insert(pod_uid.to_owned(), pod)
        };
        Some(rest)
    }

    /// Removes pods that have ended, once their certificates count for no limit any more.
    #[must_use]
    pub fn tidied(mut self, running: &BTreeSet<&str>, now: Timestamp) -> Self {
        self.pods.retain(|uid, pod| {
            running.contains(uid.as_str()) || pod.at.last().is_some_and(|at| now < after(*at, WINDOW))
        });
        self
    }

    /// The certificates of running pods.
    pub fn current<'a>(&'a self, running: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a IssuedToPod> {
        self.pods.iter().filter(|(uid, _)| running.contains(uid.as_str())).map(|(_, pod)| &pod.last)
    }
}
