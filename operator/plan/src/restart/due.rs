//! Whether pods run that have not taken the certificate that is in the Secret.

use jiff::Timestamp;
use subrosa_crds::{
    Channel,
    channel::{Reload, WorkloadRef},
    names::ChannelRef,
};

use crate::{
    channel::{Plan, Scope, applied::Applied},
    probe::{self, Whose},
    record::ledger::Ledger,
    world::{World, answers::Answer},
};

/// What is to be restarted, and for which serial; nothing where every pod has the certificate, as far as
/// probes or the start of its containers tell.
///
/// The first certificate is due to nobody: a pod that mounts the Secret cannot have started without it.
pub fn due<'a>(
    channel: &'a Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Option<(&'a WorkloadRef, String)> {
    if channel.spec.tls.as_ref()?.reload? != Reload::Restart || contested(plan) {
        return None;
    }
    let named = channel.spec.workload.ref_.as_ref()?;
    let (held, ledger) = (applied.certificate.as_ref().ok()?, applied.ledger.as_ref().ok()?);
    let since = match probe::whose(channel) {
        Whose::OfAll => changed_at(held.serial(), ledger)?,
        // Somebody else's is on no record here, and no pod can have started with it before it was valid.
        Whose::External => held.validity()?.not_before,
        // Each begins and ends at another time; who renews it is the node.
        Whose::OfEach => return None,
    };
    let late = match probed(channel, name, plan, applied, world) {
        Some(stale) => stale,
        None => probe::pods(channel, name, plan, world)
            .any(|(_, pod)| pod.running_since.is_some_and(|started| started < since)),
    };
    late.then(|| (named, held.serial().to_owned()))
}

/// Whether another Channel has the pods: then it is not this one's to restart them.
fn contested(plan: &Plan) -> bool {
    match &plan.scope {
        Scope::Stalled(problems) => problems.iter().any(|problem| problem.reason == "WorkloadConflict"),
        Scope::Full | Scope::Audit | Scope::Frozen => false,
    }
}

/// When the certificate took the place of another one; nothing for the first, and for one of another issuer.
fn changed_at(serial: &str, ledger: &Ledger) -> Option<Timestamp> {
    let issued = ledger.issuances.recorded();
    let this = issued.iter().position(|one| one.serial == serial);
    match (this, this.and_then(|at| issued.get(at))) {
        // A Secret that was missing had no predecessor, unless one is on record.
        (Some(0), Some(first)) if first.reason == "Missing" => None,
        (_, Some(issuance)) => Some(issuance.at),
        // It is older than the record, so others came after it and never reached the Secret.
        (_, None) => None,
    }
}

/// Whether probes saw a pod with an older certificate of ours; nothing while not every pod was seen.
fn probed(
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Option<bool> {
    let targets = probe::targets(channel, name, plan, applied, world)?;
    let seen = world.served.get(name).filter(|seen| !targets.pods.is_empty() && targets.answered(seen))?;
    if targets.current(seen) {
        return Some(false);
    }
    let stale = |answer: &Answer| matches!(answer, Answer::Certificate(shown) if targets.was_right(shown) && !targets.accepts(shown));
    // What was not understood leaves the question to the start of the containers.
    let of = |(pod, target): (&String, &_)| targets.answers(pod, target, seen);
    targets.pods.iter().filter_map(of).flat_map(|answers| answers.values()).any(stale).then_some(true)
}
