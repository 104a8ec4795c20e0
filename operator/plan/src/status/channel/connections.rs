//! The connections in status: Open only where both ends enforce them.

use std::collections::BTreeSet;

use subrosa_crds::{channel::ConnectionStatus, condition, names::ChannelRef, trust_domain::NetworkMode};

use crate::channel::applied::{Applied, Control};
use crate::{
    channel::{Plan, Scope},
    consent::connection::{Connection, State},
    network,
    record::connection::Other,
    world::{World, declaration::Declaration, domain, fault::Fault},
};

/// What to do about a connection that could not be withdrawn.
const STILL_OPEN: &str = "mend what condition Ready of this Channel tells; it closes by itself then";

pub(super) fn connections(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Vec<ConnectionStatus> {
    let record = applied.record.as_ref().ok();
    let closing: BTreeSet<_> =
        record.map(|record| record.closing.iter().map(|one| &one.key).collect()).unwrap_or_default();
    // Withdrawn, but policy or trust files still have it: nobody is refused yet.
    let open = plan.open();
    let lingering: BTreeSet<_> =
        record.map(|record| record.open.difference(&open).collect()).unwrap_or_default();
    let lingers =
        || "withdrawn, and the network policy or the trust files of this Channel still have it".to_owned();
    let mut shown: Vec<_> = plan
        .connections
        .iter()
        .map(|connection| {
            let key = connection.key();
            let still_open = lingering.contains(&key);
            let still_closing = still_open || !connection.is_open() && closing.contains(&key);
            let waits_for = if connection.is_open() {
                not_in_force(channel, connection, plan, applied, world)
            } else {
                None
            };
            let state = match (&waits_for, still_closing) {
                (Some(_), _) => State::Closed,
                (None, true) => State::Closing,
                (None, false) => connection.state,
            };
            ConnectionStatus {
                name: connection.name.clone(),
                direction: connection.direction.as_str().to_owned(),
                listeners: connection.listeners.clone(),
                state: state.as_str().to_owned(),
                consents: connection.consents.clone().filter(|_| state == State::AwaitingConsent),
                next_step: waits_for
                    .as_ref()
                    .map(|waits| waits.next_step.clone())
                    .or_else(|| still_open.then(|| STILL_OPEN.to_owned()))
                    .or_else(|| connection.next_step.clone()),
                reason: waits_for
                    .map(|waits| format!("agreed by both ends; {}", waits.reason))
                    .or_else(|| still_open.then(lingers))
                    .or_else(|| connection.reason.clone()),
            }
        })
        .collect();
    // Withdrawn by removing the entry: shown until no pod can still use it.
    for key in closing.union(&lingering) {
        if shown.iter().any(|one| one.name == key.name && one.direction == key.direction.as_str()) {
            continue;
        }
        shown.push(ConnectionStatus {
            name: key.name.clone(),
            direction: key.direction.as_str().to_owned(),
            state: State::Closing.as_str().to_owned(),
            reason: Some(match lingering.contains(key) {
                true => lingers(),
                false => format!("no longer declared with {}", key.other),
            }),
            next_step: Some(match lingering.contains(key) {
                true => STILL_OPEN.to_owned(),
                false => {
                    "none: it is Closed when every pod has restarted or the older certificates have expired"
                        .to_owned()
                }
            }),
            ..ConnectionStatus::default()
        });
    }
    shown
}

/// What an agreed connection waits for, and the next step.
struct Waits {
    reason: String,
    next_step: String,
}

impl Waits {
    /// A control of this Channel failed; its own message has the next step.
    fn for_fault(what: &str, fault: &Fault) -> Self {
        Self {
            reason: format!("{what}: {}", fault.message),
            next_step: format!(
                "mend what condition Ready of this Channel tells ({}); it opens by itself then",
                fault.reason
            ),
        }
    }

    /// The peer is in progress, or has a problem that only its own status explains.
    fn for_peer(reason: String, peer: &ChannelRef, world: &World) -> Self {
        let conditions = world.channel(peer).map(Declaration::conditions).unwrap_or_default();
        let held_up = condition::find(&conditions, condition::READY).filter(|ready| ready.status == "False");
        let next_step = held_up.map_or_else(
            || format!("none, if it opens within a minute; else see status.connections of Channel {peer}"),
            |ready| {
                format!(
                    "mend what condition Ready of Channel {peer} tells ({}); it opens by itself then",
                    ready.reason
                )
            },
        );
        Self { reason, next_step }
    }
}

/// What an agreed connection still waits for. Agreement alone opens nothing.
fn not_in_force(
    channel: &Declaration,
    connection: &Connection,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Option<Waits> {
    let audited = plan.scope == Scope::Audit;
    if let Some(fault) = applied.controls.fault(Control::Network) {
        return Some(Waits::for_fault("its network policy is not written", fault));
    }
    if !applied.has_policy && !audited {
        return Some(Waits {
            reason: "this Channel has no network policy yet".into(),
            next_step: "none: it opens by itself".into(),
        });
    }
    let unchanged = applied.record.is_err() && stays_open(channel, connection, plan, world);
    if let Some(fault) = applied.controls.fault(Control::Certificate)
        && !unchanged
    {
        return Some(Waits::for_fault("the certificate is not in force", fault));
    }
    let Other::Channel(peer) = &connection.other else { return None };
    if !applied.trusting.contains(peer) && !unchanged {
        let reason = format!("Channel {peer} has no certificate authority yet");
        return Some(Waits::for_peer(reason, peer, world));
    }
    let workload = plan.policy.spec.clone().and_then(|spec| spec.pod_selector).unwrap_or_default();
    let enforced = domain::mode(&plan.domain, &peer.namespace) == NetworkMode::Enforce;
    let policies = world.network_policies.get(&peer.namespace);
    let theirs = policies
        .and_then(|policies| policies.get(&network::policy_name(&peer.name))?.spec())
        .is_some_and(|spec| network::lets_through(&spec, &channel.name().namespace, &workload, connection));
    (enforced && !theirs).then(|| {
        let reason = format!("the network policy of Channel {peer} does not have it yet");
        Waits::for_peer(reason, peer, world)
    })
}

/// Whether an open connection counts as open while the record cannot be read: both ends still declare it and the
/// policy is as planned.
fn stays_open(channel: &Declaration, connection: &Connection, plan: &Plan, world: &World) -> bool {
    let before = channel.status().unwrap_or_default();
    let was_open = before
        .connections
        .iter()
        .filter(|one| one.name == connection.name && one.direction == connection.direction.as_str())
        .any(|one| one.state == State::Open.as_str());
    let name = channel.name();
    let policies = world.network_policies.get(&name.namespace);
    let found = policies.and_then(|policies| policies.get(&network::policy_name(&name.name))?.spec());
    was_open
        && found.zip(plan.policy.spec.as_ref()).is_some_and(|(found, wanted)| network::same(&found, wanted))
}
