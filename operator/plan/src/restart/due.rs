//! Whether running pods have not loaded the certificate in the Secret.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    Reason,
    channel::{Reload, WorkloadRef},
};

use crate::{
    channel::{Plan, Scope, applied::Applied},
    probe::{self, Whose},
    record::{channel::ChannelRecord, issuances::IssuedLeaf},
    world::{
        PodFacts, World,
        answers::Answer,
        certificate::{after, fraction},
        declaration::Declaration,
    },
};

/// How long a restart waits at most for unready pods or a rollout in progress.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// A restart that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// The workload to restart.
    pub named: &'a WorkloadRef,
    /// The value of the annotation: the certificate's serial. For another issuer also the beginning of its
    /// fingerprint, because a later issuer may use the same serial.
    pub mark: String,
    /// Since when the certificate is in the Secret.
    pub since: Timestamp,
    /// When the previous certificate expires, if recorded.
    pub before_ends: Option<Timestamp>,
    /// Whether pods are not ready, each with an expired certificate.
    pub ended: bool,
}

impl Due<'_> {
    /// Until when it waits for pods and rollouts: an hour, and at most half of the time left to the previous
    /// certificate. Longer waiting would not help.
    #[must_use]
    pub fn waits_until(&self) -> Timestamp {
        let left = self.before_ends.map(|ends| ends.duration_since(self.since).max(SignedDuration::ZERO));
        let half = left.map_or(PATIENCE, |left| fraction(left, 1, 2));
        after(self.since, half.min(PATIENCE))
    }
}

/// The restart that is due; `None` where every pod has the certificate, by probes or by the start of its containers.
///
/// The first certificate needs no restart, because a pod that mounts the Secret cannot have started without it.
pub fn due<'a>(
    channel: &'a Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    now: Timestamp,
) -> Option<Due<'a>> {
    if channel.reload() != Reload::Restart || contested(plan) {
        return None;
    }
    let named = channel.workload_ref()?;
    let (held, record) = (applied.presented()?, applied.record.as_ref().ok()?);
    let serial = held.serial().to_owned();
    let issuances = &record.issuances;
    let (since, before_ends) = match probe::whose(channel) {
        Whose::OfAll => (changed_at(&serial, record)?, before(&serial, record).and_then(|one| one.not_after)),
        // Another issuer's certificate is not recorded, but no pod can have loaded it before it was valid.
        Whose::External => (held.validity()?.not_before, None),
        // Each has its own times and is renewed by its node.
        Whose::OfEach => return None,
    };
    let pods: Vec<_> = probe::pods(channel, plan, world).map(|(_, pod)| pod).collect();
    let started_with = |pod: &&PodFacts| pod.running_since.and_then(|started| issuances.held_at(started));
    let is_over = |pod: &&PodFacts| {
        started_with(pod)
            .is_some_and(|one| one.serial != serial && one.not_after.is_some_and(|ends| ends <= now))
    };
    let unready = || pods.iter().copied().filter(|pod| !pod.ready);
    let late = match probed(channel, plan, applied, world) {
        Some(true) => true,
        // Only ready pods were probed.
        Some(false) => unready().any(|pod| is_over(&pod)),
        None => pods.iter().any(|pod| pod.running_since.is_some_and(|started| started < since)),
    };
    let ended = unready().next().is_some() && unready().all(|pod| is_over(&pod));
    let mark = match (probe::whose(channel), held.fingerprint()) {
        (Whose::External, Some(fingerprint)) => format!("{serial}-{fingerprint:.16}"),
        _ => serial,
    };
    late.then_some(Due { named, mark, since, before_ends, ended })
}

/// Whether another Channel selects the pods, so that this one must not restart them.
fn contested(plan: &Plan) -> bool {
    match &plan.scope {
        Scope::Stalled(problems) => problems.iter().any(|problem| problem.reason == Reason::WorkloadConflict),
        Scope::Full | Scope::Audit | Scope::Frozen => false,
    }
}

/// When the certificate replaced another one; `None` for the first one, and for another issuer's.
fn changed_at(serial: &str, record: &ChannelRecord) -> Option<Timestamp> {
    let issued = record.issuances.recorded();
    let this = issued.iter().position(|one| one.serial == serial);
    match (this, this.and_then(|at| issued.get(at))) {
        // A Secret that was missing had no predecessor, unless one is recorded.
        (Some(0), Some(first)) if Reason::read(&first.reason) == Some(Reason::Missing) => None,
        (_, Some(issuance)) => Some(issuance.at),
        // It is older than the record, so later ones never reached the Secret.
        (_, None) => None,
    }
}

/// The issuance before that of this serial, if recorded.
fn before<'a>(serial: &str, record: &'a ChannelRecord) -> Option<&'a IssuedLeaf> {
    let issued = record.issuances.recorded();
    let this = issued.iter().position(|one| one.serial == serial)?;
    issued.get(this.checked_sub(1)?)
}

/// Whether probes saw a pod with an older certificate of ours; `None` until every pod was probed.
fn probed(channel: &Declaration, plan: &Plan, applied: &Applied, world: &World) -> Option<bool> {
    let targets = probe::targets(channel, plan, applied, world)?;
    let seen =
        world.served.get(channel.name()).filter(|seen| !targets.pods.is_empty() && targets.answered(seen))?;
    if targets.current(seen) {
        return Some(false);
    }
    let stale = |answer: &Answer| matches!(answer, Answer::Certificate(shown) if targets.was_right(shown) && !targets.accepts(shown));
    // An unclear answer leaves the decision to the start of the containers.
    let of = |(pod, target): (&String, &_)| targets.answers(pod, target, seen);
    targets.pods.iter().filter_map(of).flat_map(|answers| answers.values()).any(stale).then_some(true)
}
