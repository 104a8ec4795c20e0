//! What becomes of a PodCertificateRequest: kubelet made a key for a pod, and asks for a certificate of its
//! Channel.
//!
//! ```text
//!  request ─▶ turn: whose pod is it? ─▶ Of(Channel) ─▶ answer: may it have one now? ─▶ Issue, Deny or Wait
//!                   └─ nobody's, or there is no such pod ─▶ Wait a little, for watches lag, then Deny
//! ```
//!
//! kubelet takes a denial as its last word for the life of the pod, also at a renewal. So only what is wrong
//! with the pod itself is denied. Everything that may pass (Vault is away, the Channel is Stalled) waits: the API
//! server removes a request after a quarter of an hour, and kubelet asks anew.

mod answer;
mod record;
#[cfg(test)]
mod tests;

pub use answer::{Answer, answer, renewal, validity};
pub use record::{Issued, MOST_PODS, Names, PodCertificates, PodRecord};

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{Channel, channel::Delivery, names::ChannelRef};

use crate::{
    certificate::{KeyAlgorithm, after},
    channel::{Plan, Scope},
    ledger::Ledger,
    secrets, selector, validity as declared,
    world::{PodFacts, World},
};

/// The signer that pods name in their projected volume.
pub const SIGNER: &str = "subrosa.dev/channel";

/// How long a pod or a Channel that is not there may still come: it was made at the same time, and a watch
/// brings it later.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// A request that nobody has answered yet. The API server has checked that it comes from the kubelet of the
/// pod's node (NodeRestriction), and that kubelet has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its UID.
    pub uid: String,
    /// The version that was seen: an answer is for this one.
    pub version: String,
    /// When it was made.
    pub created: Timestamp,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// The ServiceAccount the pod runs as.
    pub service_account: String,
    /// The key to be certified; none where it is not one that Subrosa signs for.
    pub key: Option<RequestedKey>,
    /// The longest life that the pod asks for.
    pub max_life: SignedDuration,
    /// The names of annotations that the pod's author gave along.
    pub annotations: BTreeSet<String>,
    /// Why it waits, as was last told: nothing is told twice.
    pub told: Option<&'static str>,
}

/// The public key in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedKey {
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// The DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
}

/// Why a request is denied, or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable CamelCase word; the API server's own where it has one.
    pub reason: &'static str,
    /// What is so, and the next step.
    pub message: String,
}

impl Refusal {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This Channel: the pod is one of its.
    Of(ChannelRef),
    /// Nobody, for good.
    Deny(Refusal),
    /// Nobody yet; to be looked at again then.
    Wait(Timestamp),
}

/// Whose turn it is to answer a request of `namespace`.
#[must_use]
pub fn turn(namespace: &str, request: &Request, world: &World, now: Timestamp) -> Turn {
    let pods = world.pods.get(namespace);
    let pod = pods.and_then(|pods| pods.get(&request.pod)).filter(|pod| pod.uid == request.pod_uid);
    let refusal = match pod {
        None => Refusal::new(
            "PodNotFound",
            format!("there is no pod {namespace}/{} with UID {}", request.pod, request.pod_uid),
        ),
        Some(pod) => match owner(namespace, pod, world) {
            Some(channel) => return Turn::Of(channel),
            None => Refusal::new(
                "NoChannel",
                format!(
                    "no Channel in namespace {namespace} selects pod {}: apply one whose workload.selector does, with tls.delivery: \
                     PodCertificate, then delete the pod to have it made again",
                    request.pod
                ),
            ),
        },
    };
    let patience = after(request.created, PATIENCE);
    if now < patience { Turn::Wait(patience) } else { Turn::Deny(refusal) }
}

/// The Channel that has the pod: where two select it, the older keeps it, as for everything else.
fn owner(namespace: &str, pod: &PodFacts, world: &World) -> Option<ChannelRef> {
    let selecting = world
        .channels
        .get(namespace)
        .into_iter()
        .flatten()
        .filter(|(_, channel)| selector::matches(&channel.spec.workload.selector, &pod.labels));
    let mut oldest: Option<(&String, &Channel)> = None;
    for (name, channel) in selecting {
        if oldest.is_none_or(|(_, before)| declared::is_older(channel, before)) {
            oldest = Some((name, channel));
        }
    }
    oldest.map(|(name, _)| ChannelRef::new(namespace, name))
}

/// The requests that a Channel is to answer, by name.
#[must_use]
pub fn of_channel(name: &ChannelRef, world: &World, now: Timestamp) -> Vec<(String, Request)> {
    let requests = world.requests.get(&name.namespace).into_iter().flatten();
    requests
        .filter(|(_, request)| turn(&name.namespace, request, world, now) == Turn::Of(name.clone()))
        .map(|(at, request)| (at.clone(), request.clone()))
        .collect()
}

/// What a Channel declares of its delivery.
#[must_use]
pub fn declared_delivery(channel: &Channel) -> Delivery {
    channel.spec.tls.as_ref().and_then(|tls| tls.delivery).unwrap_or_default()
}

/// The delivery in force: a declaration that is not followed changes none.
#[must_use]
pub fn delivery(channel: &Channel, scope: &Scope, ledger: Option<&Ledger>) -> Delivery {
    match (scope, ledger) {
        (Scope::Full | Scope::Audit, _) | (_, None) => declared_delivery(channel),
        (_, Some(ledger)) if ledger.pods.as_ref().is_some_and(|pods| pods.in_force) => {
            Delivery::PodCertificate
        }
        _ => Delivery::Secret,
    }
}

/// What the ledger has of it, before anything is made: which delivery is in force.
#[must_use]
pub fn remember(noted: Option<PodCertificates>, plan: &Plan) -> Option<PodCertificates> {
    let so = plan.delivery == Delivery::PodCertificate;
    match noted {
        None => so.then(|| PodCertificates { in_force: true, ..PodCertificates::default() }),
        Some(noted) => Some(PodCertificates { in_force: so, ..noted }),
    }
}

/// What of it is still worth remembering: nothing, once the delivery is another and no pod has anything of it.
#[must_use]
pub fn tidied(
    noted: Option<PodCertificates>,
    name: &ChannelRef,
    world: &World,
    now: Timestamp,
) -> Option<PodCertificates> {
    let tidy = noted?.tidied(&running(&name.namespace, world), now);
    let mounted = world.is_mounted(&name.namespace, &secrets::trust_name(&name.name));
    (tidy.in_force || mounted || !tidy.pods.is_empty()).then_some(tidy)
}

/// What cannot be followed in this cluster.
pub(crate) fn unavailable(channel: &Channel, world: &World) -> Option<&'static str> {
    (declared_delivery(channel) == Delivery::PodCertificate && world.pod_certificates == Some(false)).then_some(
        "this cluster does not serve PodCertificateRequest of certificates.k8s.io/v1 (Kubernetes 1.37 and later do): \
         leave tls.delivery out until it does",
    )
}

/// The UIDs of the pods of `namespace` that have not ended.
#[must_use]
pub fn running<'w>(namespace: &str, world: &'w World) -> BTreeSet<&'w str> {
    world.running_pods(namespace).map(|(_, pod)| pod.uid.as_str()).collect()
}

/// Who a Channel is, for messages.
fn titled(id: &ChannelRef) -> String {
    format!("Channel {}/{}", id.namespace, id.name)
}
