//! What the record remembers of the certificates that pods have: noted before anything is signed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::issuances::{LIMIT, WINDOW};
use crate::world::certificate::after;

/// How many pods of a Channel are remembered at once: it bounds the record.
pub const MOST_PODS: usize = 1000;

/// The certificates of a Channel's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCertificates {
    /// Whether the Channel's certificates are delivered so. What counts while its declaration does not.
    pub in_force: bool,
    /// The names of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<PodNames>,
    /// By the pod's UID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<String, PodRecord>,
}

/// What a certificate was issued with: so it renews while a declaration is not in force.
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
    /// When its last few were noted, oldest first.
    pub at: Vec<Timestamp>,
    /// The last one.
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
    /// Whether this pod was given one before.
    #[must_use]
    pub fn knows(&self, pod_uid: &str) -> bool {
        self.pods.contains_key(pod_uid)
    }

    /// With a certificate noted that is about to be signed.
    #[must_use]
    pub fn noted(mut self, pod_uid: &str, names: PodNames, issued: IssuedToPod, now: Timestamp) -> Self {
        let mut at = self.pods.remove(pod_uid).map(|before| before.at).unwrap_or_default();
        at.push(now);
        at.drain(..at.len().saturating_sub(LIMIT));
        self.names = Some(names);
        self.pods.insert(pod_uid.to_owned(), PodRecord { at, last: issued });
        self
    }

    /// Without what was noted last for this pod, if that was never signed: it may be tried again.
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

    /// Without the pods that have ended, once what they got does not count any more.
    #[must_use]
    pub fn tidied(mut self, running: &BTreeSet<&str>, now: Timestamp) -> Self {
        self.pods.retain(|uid, pod| {
            running.contains(uid.as_str()) || pod.at.last().is_some_and(|at| now < after(*at, WINDOW))
        });
        self
    }

    /// The certificates of the pods that run.
    pub fn current<'a>(&'a self, running: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a IssuedToPod> {
        self.pods.iter().filter(|(uid, _)| running.contains(uid.as_str())).map(|(_, pod)| &pod.last)
    }
}
