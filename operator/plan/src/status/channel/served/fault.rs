//! Faults of the certificates that pods serve.

use subrosa_crds::{Reason, channel::Reload, condition::Truth};

use super::NAMED;
use crate::{
    channel::{Plan, applied::Restart},
    probe::{Targets, Whose},
    restart,
    world::{
        PodFacts, World,
        answers::{Answer, Seen},
        declaration::Declaration,
    },
};

/// A fault of a pod; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    KeyNotHeld,
    Plaintext,
    NotMounted,
    ForeignCertificate,
    SubPath,
    Stale,
    HandshakeFailed,
    NotListening,
    Silent,
}

/// The worst fault, and the pods that have it.
pub(super) struct PodFault {
    kind: Kind,
    /// Each as `name (port)`.
    pods: Vec<String>,
    /// When the first outdated certificate expires.
    ends: Option<jiff::Timestamp>,
}

impl PodFault {
    /// The worst fault among the pods to probe.
    pub(super) fn worst(
        channel: &Declaration,
        secret: &str,
        targets: &Targets,
        seen: &Seen,
        world: &World,
    ) -> Option<Self> {
        let facts = world.pods.get(&channel.name().namespace);
        let mut worst: Option<Self> = None;
        for (pod, target) in &targets.pods {
            let Some(answers) = targets.answers(pod, target, seen) else { continue };
            for port in targets.listeners.keys() {
                let Some(answer) = answers.get(port) else { continue };
                let facts = facts.and_then(|pods| pods.get(pod));
                let Some(kind) = judge(channel, targets, answer, facts, secret) else { continue };
                if worst.as_ref().is_some_and(|worst| worst.kind > kind) {
                    worst = None;
                }
                let one = worst.get_or_insert_with(|| Self { kind, pods: Vec::new(), ends: None });
                if one.kind == kind {
                    one.pods.push(format!("{pod} (port {port})"));
                    if let Answer::Certificate(shown) = answer {
                        one.ends = one.ends.into_iter().chain(shown.not_after).min();
                    }
                }
            }
        }
        worst
    }

    pub(super) fn truth(&self) -> Truth {
        match self.kind {
            // A lost packet says nothing about the pod: a policy or the network may have dropped it.
            Kind::Silent => Truth::Unknown,
            _ => Truth::False,
        }
    }

    pub(super) fn reason(&self) -> Reason {
        match self.kind {
            Kind::KeyNotHeld => Reason::KeyNotHeld,
            Kind::Plaintext => Reason::ServedInPlaintext,
            Kind::NotMounted | Kind::ForeignCertificate => Reason::NotMounted,
            Kind::SubPath => Reason::SubPathMount,
            Kind::Stale => Reason::StaleCertificate,
            Kind::HandshakeFailed => Reason::HandshakeFailed,
            Kind::NotListening => Reason::NotListening,
            Kind::Silent => Reason::ListenerSilent,
        }
    }

    pub(super) fn message(
        &self,
        channel: &Declaration,
        plan: &Plan,
        targets: &Targets,
        restart: &Restart,
    ) -> String {
        let mut pods = self.pods.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if self.pods.len() > NAMED {
            pods.push_str(&format!(" and {} more", self.pods.len() - NAMED));
        }
        let secret = plan.certificate_secret();
        let said = match self.kind {
            Kind::KeyNotHeld => {
                "shows a certificate whose key it does not hold: find out what answers there".to_owned()
            }
            Kind::Plaintext => {
                "answers without TLS: configure the server's TLS, or set tls of this listener to how it begins there"
                    .to_owned()
            }
            Kind::NotMounted => {
                format!("does not present the certificate, and no volume of it has the Secret {secret}: mount it")
            }
            Kind::ForeignCertificate => format!(
                "presents a certificate that this Channel's authority did not sign: configure tls.crt and tls.key \
                 of the Secret {secret}"
            ),
            Kind::SubPath => format!(
                "presents an older certificate and mounts {secret} by subPath, which follows no renewal: mount the \
                 whole volume"
            ),
            Kind::Stale => format!("presents an older certificate: {}", self.reload(channel, restart)),
            Kind::HandshakeFailed => {
                "breaks off the handshake before it shows a certificate: read the server's log".to_owned()
            }
            Kind::NotListening => "refuses the connection: see whether the server listens on all addresses".to_owned(),
            Kind::Silent => {
                "does not answer the operator: see whether the network lets its probes in".to_owned()
            }
        };
        format!("{pods} of {} ready pods {said}", targets.pods.len())
    }

    /// The next step for an outdated certificate.
    fn reload(&self, channel: &Declaration, restart: &Restart) -> String {
        let ends = self.ends.map(|ends| format!(" before {ends}")).unwrap_or_default();
        let named = channel.workload_ref();
        match (channel.reload(), named) {
            (Reload::None, _) => format!("restart the workload{ends}, or let tls.reload say how it reloads"),
            (Reload::Workload, _) => format!(
                "a mounted Secret follows within two minutes; if this stays, see why the workload does not reload it{ends}"
            ),
            (Reload::Restart, Some(named)) if *restart == Restart::UnderWay => {
                format!("{} is being restarted; if this stays, see its rollout", restart::text(named))
            }
            (Reload::Restart, _) => format!("restart the workload{ends}"),
        }
    }
}

fn judge(
    channel: &Declaration,
    targets: &Targets,
    answer: &Answer,
    pod: Option<&PodFacts>,
    secret: &str,
) -> Option<Kind> {
    // A certificate that the node made for one pod is in no Secret.
    let mounted = targets.whose == Whose::OfEach || pod.is_some_and(|pod| pod.mounts(secret));
    let otherwise = |kind| if mounted { kind } else { Kind::NotMounted };
    let restarts = channel.reload() == Reload::Restart;
    Some(match answer {
        Answer::Certificate(shown) if targets.accepts(shown) => return None,
        // A restart loads the new file with either kind of mount.
        Answer::Certificate(shown) if targets.was_right(shown) => {
            match pod.is_some_and(|pod| pod.mounts_sub_path(secret)) {
                true if !restarts => Kind::SubPath,
                _ => otherwise(Kind::Stale),
            }
        }
        Answer::Certificate(_) => otherwise(Kind::ForeignCertificate),
        Answer::KeyNotHeld => Kind::KeyNotHeld,
        Answer::Plaintext => otherwise(Kind::Plaintext),
        Answer::NoCertificate => otherwise(Kind::HandshakeFailed),
        Answer::Refused => Kind::NotListening,
        Answer::Silent => Kind::Silent,
    })
}
