//! Decides on PodCertificateRequests: kubelet made a key for a pod, and requests a certificate of the pod's Channel.
//!
//! ```text
//!  request ─▶ responder: whose pod is it? ─▶ Of(Channel) ─▶ answer: may it have one now? ─▶ Issue, Deny or Wait
//!                   └─ nobody's, or there is no such pod ─▶ Wait a little, for watches lag, then Deny
//! ```
//!
//! kubelet treats a denial as final for the life of the pod, even at a renewal. So only a fault of the pod itself is
//! denied, and only after the API server confirmed that it [still exists](stands). A temporary problem (Vault is
//! unreachable, the Channel is Stalled) makes the request wait: the API server deletes it after a quarter of an hour,
//! and kubelet makes a new one.

mod answer;
mod judge;
mod limit;
#[cfg(test)]
mod tests;

pub use answer::{RequestAnswer, answer, renewal, validity};
pub use judge::{ChannelSigner, Issuer, JudgedRequests, ToIssue};

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{Reason, names::ChannelRef};

use crate::{
    certificate::secrets,
    record::pods::PodCertificates,
    world::{PodFacts, World, certificate::after, declaration::Declaration, request::Request, selector},
};

/// The signer that pods name in their projected volume.
pub const SIGNER: &str = "subrosa.dev/channel";

/// How long to wait for a missing pod or Channel, which may have been created at the same time and be shown by the
/// watch later.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Why a request is denied, or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason; the API server's own where it has one.
    pub reason: Reason,
    /// The state, and the next step.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Responder {
    /// This Channel, which selects the pod.
    Of(ChannelRef),
    /// Nobody: deny.
    Deny(Refusal),
    /// Nobody yet; look again then.
    Wait(Timestamp),
}

/// Who answers a request of `namespace`.
#[must_use]
pub fn responder(namespace: &str, request: &Request, world: &World, now: Timestamp) -> Responder {
    let pods = world.pods.get(namespace);
    let pod = pods.and_then(|pods| pods.get(&request.pod)).filter(|pod| pod.uid == request.pod_uid);
    let refusal = match pod {
        None => Refusal::new(
            Reason::PodNotFound,
            format!("there is no pod {namespace}/{} with UID {}", request.pod, request.pod_uid),
        ),
        Some(pod) => match owner(namespace, pod, world) {
            Some(channel) => return Responder::Of(channel),
            None => Refusal::new(
                Reason::NoChannel,
                format!(
                    "no Channel in namespace {namespace} selects pod {}: apply one whose workload.selector does, with tls.delivery: \
                     PodCertificate, then delete the pod to have it made again",
                    request.pod
                ),
            ),
        },
    };
    let patience = after(request.created, PATIENCE);
    if now < patience { Responder::Wait(patience) } else { Responder::Deny(refusal) }
}

/// Whether a denial stands by what the API server says now: `fresh` has the pod and the Channels of the namespace, read
/// for this. `judged` is the Channel that denies, as it was judged; none where the pod has no Channel.
#[must_use]
pub fn stands(
    namespace: &str,
    request: &Request,
    judged: Option<&Declaration>,
    fresh: &World,
    now: Timestamp,
) -> bool {
    match (responder(namespace, request, fresh, now), judged) {
        (Responder::Deny(_), None) => true,
        (Responder::Of(owner), Some(judged)) => {
            let same = |found: &Declaration| {
                (found.uid(), found.generation()) == (judged.uid(), judged.generation())
            };
            owner == *judged.name() && fresh.channel(&owner).is_some_and(same)
        }
        _ => false,
    }
}

/// The Channel that selects the pod: of several, the oldest.
fn owner(namespace: &str, pod: &PodFacts, world: &World) -> Option<ChannelRef> {
    let channels = world.channels_of(namespace);
    let selecting = channels.filter(|channel| selector::matches(channel.selector(), &pod.labels));
    let oldest = selecting.reduce(|one, other| if other.is_older_than(one) { other } else { one });
    oldest.map(|channel| channel.name().clone())
}

/// The requests that a Channel must answer, by name.
#[must_use]
pub fn of_channel(name: &ChannelRef, world: &World, now: Timestamp) -> Vec<(String, Request)> {
    let requests = world.requests.get(&name.namespace).into_iter().flatten();
    requests
        .filter(|(_, request)| responder(&name.namespace, request, world, now) == Responder::Of(name.clone()))
        .map(|(at, request)| (at.clone(), request.clone()))
        .collect()
}

/// The part that must stay recorded: `None` once the delivery changed and no pod has such a certificate.
#[must_use]
pub fn tidied(
    noted: Option<PodCertificates>,
    name: &ChannelRef,
    world: &World,
    now: Timestamp,
) -> Option<PodCertificates> {
    let tidy = noted?.tidied(&world.running_uids(&name.namespace), now);
    let mounted = world.is_mounted(&name.namespace, &secrets::trust_name(&name.name));
    (tidy.in_force || mounted || !tidy.pods.is_empty()).then_some(tidy)
}

/// The Channel's name, for messages.
fn titled(id: &ChannelRef) -> String {
    format!("Channel {}/{}", id.namespace, id.name)
}
