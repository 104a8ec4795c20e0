//! Which pods of a Channel are probed, and how their answers are judged.
//!
//! ```text
//!   plan ── Targets ──▶ a round of handshakes ── Seen ──▶ World::served ──▶ condition Served
//! ```
//!
//! Pod addresses come from the API server, never from a tenant's text.

use std::collections::BTreeMap;

use subrosa_crds::{
    channel::{Delivery, Issuance, ListenerTls},
    names::ChannelRef,
};

use crate::{
    channel::{Plan, Scope, applied::Applied},
    network,
    world::{
        World,
        answers::{Answer, PodTarget, Presented, Seen},
        certificate::Fingerprint,
        declaration::Declaration,
        selector,
    },
};

/// What to probe for one Channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The certificate in the Secret; `None` where each pod has its own.
    pub certificate: Option<Fingerprint>,
    /// Which certificate pods should present.
    pub whose: Whose,
    /// The server name to send; `None` where the certificate has only wildcard names.
    pub server_name: Option<String>,
    /// The certificates of the Channel's own authority, PEM.
    pub authorities: Vec<String>,
    /// The listeners that speak TLS, by port.
    pub listeners: BTreeMap<u16, ListenerTls>,
    /// The ready pods, by name.
    pub pods: BTreeMap<String, PodTarget>,
}

/// Whose certificate a pod presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All pods have the one in the Secret, by the Channel's authority.
    OfAll,
    /// All pods have the one in the Secret, by another issuer.
    External,
    /// Each pod has its own, whose key never leaves its node.
    OfEach,
}

/// What to probe; `None` where probes are off, no listener speaks TLS, or there is no certificate to compare with.
pub fn targets(channel: &Declaration, plan: &Plan, applied: &Applied, world: &World) -> Option<Targets> {
    world.probes.as_ref()?;
    let listeners = channel.tls_listeners();
    let held = applied.presented()?;
    if listeners.is_empty() {
        return None;
    }
    let generations = applied.record.as_ref().ok().map(|record| &record.authority);
    let pods = pods(channel, plan, world)
        .filter(|(_, pod)| pod.ready)
        .filter_map(|(name, pod)| {
            let target = PodTarget { ip: pod.ip?, running_since: pod.running_since };
            Some((name.clone(), target))
        })
        .collect();
    Some(Targets {
        certificate: held.fingerprint(),
        whose: whose(channel),
        server_name: plan.leaf.dns_names.iter().find(|name| !name.starts_with('*')).cloned(),
        authorities: generations.into_iter().flat_map(|all| all.trusted()).collect(),
        listeners,
        pods,
    })
}

/// Whose certificate the pods of `channel` present.
pub fn whose(channel: &Declaration) -> Whose {
    match (channel.delivery(), channel.issuance()) {
        (Delivery::PodCertificate, _) => Whose::OfEach,
        (Delivery::Secret, Issuance::External) => Whose::External,
        (Delivery::Secret, Issuance::Subrosa) => Whose::OfAll,
    }
}

/// The running pods of `channel`; for a Stalled Channel those that its policy protects, because a bad edit may select
/// the pods of others.
pub fn pods<'a>(
    channel: &Declaration,
    plan: &Plan,
    world: &'a World,
) -> impl Iterator<Item = (&'a String, &'a crate::world::PodFacts)> {
    let is_held = |_: &ChannelRef| matches!(plan.scope, Scope::Stalled(_));
    let workload = network::workload(channel, world, &is_held);
    world
        .running_pods(&channel.name().namespace)
        .filter(move |(_, pod)| selector::matches(&workload, &pod.labels))
}

impl Targets {
    /// Whether every target pod was probed in its current run.
    pub fn answered(&self, seen: &Seen) -> bool {
        self.pods.iter().all(|(name, target)| self.answers(name, target, seen).is_some())
    }

    /// Whether every pod presents the current certificate at every listener.
    pub fn current(&self, seen: &Seen) -> bool {
        self.pods.iter().all(|(name, target)| {
            self.answers(name, target, seen)
                .is_some_and(|answers| self.listeners.keys().all(|port| self.is_current(answers.get(port))))
        })
    }

    /// Whether an answer is the current certificate.
    pub fn is_current(&self, answer: Option<&Answer>) -> bool {
        matches!(answer, Some(Answer::Certificate(shown)) if self.accepts(shown))
    }

    /// Whether it is the certificate that a pod should present. Where each pod has its own, any by the Channel's
    /// authority counts, because only the node knows the newest.
    pub fn accepts(&self, shown: &Presented) -> bool {
        self.certificate == Some(shown.fingerprint) || (self.whose == Whose::OfEach && shown.ours)
    }

    /// Whether it was right before: by the Channel's authority, or by the other issuer.
    pub fn was_right(&self, shown: &Presented) -> bool {
        shown.ours || self.whose == Whose::External
    }

    /// The answers of this run of a pod, if every listener was probed.
    pub fn answers<'a>(
        &self,
        name: &str,
        target: &PodTarget,
        seen: &'a Seen,
    ) -> Option<&'a BTreeMap<u16, Answer>> {
        let pod = seen.get(name).filter(|pod| pod.target == *target)?;
        self.listeners.keys().all(|port| pod.answers.contains_key(port)).then_some(&pod.answers)
    }
}

#[cfg(test)]
mod tests;
