//! Writes status, Events and log lines where they say something new.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Resource, ResourceExt as _, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use subrosa_crds::{
    Destruction, DestructionStatus, LegalHold, LegalHoldStatus, Reason, TrustDomain,
    condition::{self, Condition, EFFECTIVE, READY},
    destruction::ListedKey,
    period::Period,
};

use crate::{cluster::ClusterApi, key::KeyStep};

/// The longest note an Event may carry (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// The name of the controller in Events.
const CONTROLLER: &str = "subrosa.dev/destroyer";
/// Reasons that need a person.
const WARNINGS: [Reason; 10] = [
    Reason::ClockJumped,
    Reason::DigestMismatch,
    Reason::GuardsEdited,
    Reason::KeyMissing,
    Reason::KeyReplaced,
    Reason::ProofFailed,
    Reason::Resurrected,
    Reason::StateRestored,
    Reason::StoreRestored,
    Reason::TooMuchDue,
];

/// Writes status.
pub struct StatusReporter {
    cluster: ClusterApi,
    pod: Option<String>,
}

impl StatusReporter {
    /// A reporter for this pod.
    pub fn new(cluster: ClusterApi, pod: Option<String>) -> Self {
        Self { cluster, pod }
    }

    /// Writes the status of a LegalHold where it changed.
    pub async fn hold(&self, hold: &LegalHold, status: LegalHoldStatus) {
        let before = hold.status.as_ref().map(|status| status.conditions.as_slice());
        self.write(hold, hold.status.as_ref(), &status).await;
        self.tell(hold, before, &status.conditions, EFFECTIVE).await;
    }

    /// Writes the status of a Destruction where it changed.
    pub async fn destruction(&self, destruction: &Destruction, status: DestructionStatus) {
        let before = destruction.status.as_ref().map(|status| status.conditions.as_slice());
        self.write(destruction, destruction.status.as_ref(), &status).await;
        self.tell(destruction, before, &status.conditions, READY).await;
    }

    /// Sends an Event for each condition with a new reason. An Event that the API server refuses is lost, because
    /// status and log say the same.
    async fn tell<K>(&self, object: &K, before: Option<&[Condition]>, now: &[Condition], kind: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let before =
            before.and_then(|before| condition::find(before, kind)).map(|found| found.reason.as_str());
        let Some(found) = condition::find(now, kind).filter(|found| Some(found.reason.as_str()) != before)
        else {
            return;
        };
        let warning = Reason::of(found).is_some_and(|reason| WARNINGS.contains(&reason));
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", object.name_any())),
                namespace: Some("default".to_owned()),
                ..ObjectMeta::default()
            },
            action: Some("Look".to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            reason: Some(found.reason.clone()),
            note: Some(found.message.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.pod.clone().unwrap_or_else(|| CONTROLLER.to_owned())),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        let events = Api::<Event>::namespaced(self.cluster.client().clone(), "default");
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            tracing::warn!(name = object.name_any(), %error, "an Event was not taken");
        }
    }

    async fn write<K, S>(&self, object: &K, before: Option<&S>, status: &S)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
        S: Serialize + PartialEq,
    {
        if before == Some(status) {
            return;
        }
        if let Err(fault) = self.cluster.write_status(object, before, status).await {
            // The next look writes it again.
            let (kind, name, pod) = (K::kind(&()), object.name_any(), self.pod.as_deref());
            tracing::warn!(%kind, name, pod, reason = fault.reason.as_str(), "{}", fault.message);
        }
    }
}

/// How long snapshots of Vault and copies of its disks are declared to be kept, whichever is longer, in days of 24 hours;
/// `None` where nothing is declared, or one of them is no period.
pub fn snapshots_kept(domain: &TrustDomain) -> Option<SignedDuration> {
    let snapshots = domain.spec.vault.snapshots.as_ref()?;
    let kept = longest(&snapshots.retain)?;
    match &snapshots.disk_retain {
        Some(retain) => Some(kept.max(longest(retain)?)),
        None => Some(kept),
    }
}

fn longest(retain: &str) -> Option<SignedDuration> {
    if let Ok(duration) = subrosa_crds::period::duration(retain) {
        return Some(duration);
    }
    let period: Period = retain.parse().ok()?;
    let first = jiff::civil::date(2024, 1, 1);
    let days = (period.after(first).ok()? - first).get_days();
    Some(SignedDuration::from_hours(24 * i64::from(days)))
}

/// Logs each destructive step for a key.
pub fn log(domain: &str, destruction: &str, key: &ListedKey, settled: &KeyStep) {
    let key = key.key_name();
    if settled.begun {
        tracing::info!(
            domain,
            destruction,
            key,
            reason = settled.is.reason.as_str(),
            "begun: {}",
            settled.is.message
        );
    }
    if settled.ended {
        tracing::info!(
            domain,
            destruction,
            key,
            reason = settled.is.reason.as_str(),
            "destroyed: {}",
            settled.is.message
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(snapshots: serde_json::Value) -> Option<i64> {
        let domain = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": "oosterlinde"},
            "spec": {
                "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"}, "jurisdictions": ["NL"],
                "vault": {"address": "https://vault:8200", "auth": {"kubernetes": {}}, "snapshots": snapshots},
                "retentionPolicies": [], "network": {"clusterCIDRs": ["10.0.0.0/8"]},
            },
        });
        snapshots_kept(&serde_json::from_value(domain).unwrap()).map(|kept| kept.as_hours() / 24)
    }

    #[test]
    fn the_longer_one_of_snapshots_and_copies_of_disks_counts() {
        assert_eq!(kept(json!(null)), None);
        assert_eq!(kept(json!({"maxAge": "24h", "retain": "30d"})), Some(30));
        assert_eq!(kept(json!({"maxAge": "24h", "retain": "30d", "diskRetain": "45d"})), Some(45));
        assert_eq!(kept(json!({"maxAge": "24h", "retain": "30d", "diskRetain": "7d"})), Some(30));
        // The longest month and year there are, from 1 January 2024.
        assert_eq!(kept(json!({"maxAge": "24h", "retain": "1mo", "diskRetain": "1y"})), Some(366));
        assert_eq!(kept(json!({"maxAge": "24h", "retain": "30d", "diskRetain": "long"})), None, "not known");
    }
}
