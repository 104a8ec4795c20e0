//! The condition Served: whether probes saw the current certificate on every ready pod.

mod fault;

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    channel::{Reload, ServedStatus},
    condition::{self, Truth, Verdict},
};

use self::fault::PodFault;
use crate::channel::applied::Applied;
use crate::{
    channel::{Plan, applied::Restart},
    probe::{self, Targets},
    world::{
        World,
        answers::{self, Answer, Presented, Seen},
        declaration::Declaration,
    },
};

/// How many pods a message names.
const NAMED: usize = 5;

/// What probes saw of the certificates that pods serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// They saw the current certificate on every ready pod.
    EveryPod,
    /// No listener speaks TLS: there is nothing to see.
    NothingToSee,
    /// They did not, or saw another certificate.
    Missing,
}

impl Witness {
    /// What the condition `served` of `channel` says about it.
    pub(super) fn of(channel: &Declaration, served: &Verdict) -> Self {
        match served.truth {
            Truth::True => Self::EveryPod,
            Truth::Unknown if channel.tls_listeners().is_empty() => Self::NothingToSee,
            Truth::Unknown | Truth::False => Self::Missing,
        }
    }
}

/// The condition, and the value of `status.certificate.served`.
pub(super) fn served(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    now: Timestamp,
) -> (Verdict, Option<ServedStatus>) {
    let unknown = |reason: Reason, message: &str| (verdict(Truth::Unknown, reason, message), None);
    if let Restart::Held(held) = &applied.restart {
        let status = probe::targets(channel, plan, applied, world).and_then(|targets| {
            let seen = world.served.get(channel.name())?;
            last_on_all(channel, &targets, seen, now)
        });
        return (verdict(Truth::False, held.by.reason(), &held.message), status);
    }
    if channel.tls_listeners().is_empty() {
        return unknown(
            Reason::NoTLSListener,
            "no listener speaks TLS: there is nothing that a probe could ask for its certificate",
        );
    }
    if world.probes.is_none() {
        return unknown(Reason::NotProbed, "no probe has seen which certificate the pods serve");
    }
    let Some(targets) = probe::targets(channel, plan, applied, world) else {
        return unknown(Reason::NotProbed, "which certificate should be served is not known: see Ready");
    };
    if targets.pods.is_empty() {
        return unknown(Reason::NotProbed, "no pod of this Channel is ready: there is none to ask");
    }
    let seen = world.served.get(channel.name()).cloned().unwrap_or_default();
    let status = last_on_all(channel, &targets, &seen, now);
    if let Some(finding) = PodFault::worst(channel, plan.certificate_secret(), &targets, &seen, world) {
        let message = finding.message(channel, plan, &targets, &applied.restart);
        return (verdict(finding.truth(), finding.reason(), &message), status);
    }
    if !targets.answered(&seen) {
        // While a probe is in progress the last verdict stays.
        let last = channel.status().and_then(|status| {
            let last = condition::find(&status.conditions, condition::SERVED)?;
            let served = status.certificate.as_ref().and_then(|certificate| certificate.served.clone());
            Some((verdict(truth(&last.status), Reason::of(last)?, &last.message), served))
        });
        return last
            .unwrap_or_else(|| unknown(Reason::NotProbed, "the pods are being asked for the first time"));
    }
    let pods = targets.pods.len();
    let mut message = format!("probes saw the current certificate on all {pods} ready pods");
    if let Some(note) = never_updated(channel, plan, &targets, world) {
        message.push_str(&note);
    }
    (verdict(Truth::True, Reason::CurrentEverywhere, &message), status)
}

fn verdict(truth: Truth, reason: Reason, message: &str) -> Verdict {
    Verdict::new(condition::SERVED, truth, reason, message)
}

fn truth(status: &str) -> Truth {
    match status {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    }
}

/// The certificate that every ready pod was last seen to serve, perhaps not the current one, and how many still do.
/// Its time stays while the certificate does.
fn last_on_all(
    channel: &Declaration,
    targets: &Targets,
    seen: &Seen,
    now: Timestamp,
) -> Option<ServedStatus> {
    let old = channel.status().and_then(|status| status.certificate.as_ref()?.served.clone());
    let by_pod: Vec<Option<&Presented>> =
        targets.pods.iter().map(|(pod, target)| one_certificate(targets, pod, target, seen)).collect();
    let total = by_pod.len();
    let which = |one: &Option<&Presented>| one.map(|shown| shown.fingerprint);
    let first = by_pod.first().copied().flatten();
    let common = first.filter(|_| by_pod.iter().all(|one| which(one) == which(&first)));
    if let Some(Presented { serial, .. }) = common {
        let since = old.filter(|old| old.serial == *serial).map(|old| old.at);
        let at = since.unwrap_or_else(|| now.to_string());
        return Some(ServedStatus { serial: serial.clone(), at, pods: format!("{total}/{total}") });
    }
    let old = old.filter(|_| total > 0)?;
    let still = by_pod.iter().flatten().filter(|shown| shown.serial == old.serial).count();
    Some(ServedStatus { pods: format!("{still}/{total}"), ..old })
}

/// The certificate that a pod serves on all of its listeners.
fn one_certificate<'a>(
    targets: &Targets,
    pod: &str,
    target: &answers::PodTarget,
    seen: &'a Seen,
) -> Option<&'a Presented> {
    let answers = targets.answers(pod, target, seen)?;
    let shown = |port: &u16| match answers.get(port) {
        Some(Answer::Certificate(shown)) => Some(shown),
        _ => None,
    };
    let mut all = targets.listeners.keys().map(shown);
    let first = all.next().flatten()?;
    all.all(|one| one.is_some_and(|one| one.fingerprint == first.fingerprint)).then_some(first)
}

/// A warning for a workload that watches its files but mounts them by `subPath`, which is never updated.
fn never_updated(channel: &Declaration, plan: &Plan, targets: &Targets, world: &World) -> Option<String> {
    let watches = channel.reload() == Reload::Workload;
    let pods = world.pods.get(&channel.name().namespace).filter(|_| watches)?;
    let by_path: Vec<_> = targets
        .pods
        .keys()
        .filter(|pod| pods.get(*pod).is_some_and(|pod| pod.mounts_sub_path(plan.certificate_secret())))
        .map(String::as_str)
        .take(NAMED)
        .collect();
    (!by_path.is_empty()).then(|| {
        format!(
            "; {} mounts it by subPath, which follows no renewal: mount the whole volume before the next one",
            by_path.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
