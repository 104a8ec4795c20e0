//! Whether all trusted certificates of a Channel fit into its Secret. What does not fit is refused before anything is
//! written, because a Secret that the API server rejects could be neither renewed nor narrowed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::Reason;

use crate::{
    consent::{
        connection::{Connection, State, party_has_trust},
        extra_trust::{JudgedExtraTrust, TrustState},
    },
    record::{
        connection::{ConnectionKey, Other},
        extra_trust::ExtraTrustKey,
    },
    world::{World, bundle, fault::Fault},
};

/// The limit for all values of a Secret together (Kubernetes: `MaxSecretSize`).
pub const SECRET_LIMIT: usize = 1024 * 1024;
/// Reserved for the certificate chain and its key.
pub const FOR_THE_LEAF: usize = 32 * 1024;
/// Reserved for each peer's authority: two generations, in a file of its direction and in `ca.crt`.
const FOR_A_PEER: usize = 3 * 1024;
/// From which percentage of the limit on a warning is given.
const WARNED_FROM: usize = 70;

/// A bundle that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The party, or the entry of `tls.extraTrust`.
    pub source: String,
    /// What does not fit and what to do, as a sentence.
    pub message: String,
}

/// Whether trust files of this size are close to the limit.
#[must_use]
pub fn is_nearly_full(bytes: usize) -> bool {
    bytes.saturating_mul(100) >= SECRET_LIMIT.saturating_mul(WARNED_FROM)
}

/// What was in force before: it keeps its space, and new bundles get the rest.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// The connections that were open.
    pub open: &'a BTreeSet<ConnectionKey>,
    /// The further authorities that were trusted.
    pub extra: &'a BTreeSet<ExtraTrustKey>,
}

/// Refuses the bundles that do not fit, and returns them.
pub fn fit(
    connections: &mut [Connection],
    extra: &mut [JudgedExtraTrust],
    before: Before<'_>,
    world: &World,
    now: Timestamp,
) -> Vec<Crowded> {
    let mut parties: BTreeMap<String, (bool, usize)> = BTreeMap::new();
    let mut peers = 0_usize;
    for connection in connections.iter().filter(|connection| connection.is_open()) {
        match &connection.other {
            Other::Channel(_) => peers += 1,
            Other::Party(name) => {
                let Some(size) = size(name, world, now) else { continue };
                let known = before.open.contains(&connection.key());
                let entry = parties.entry(name.clone()).or_insert((false, size));
                entry.0 |= known;
            }
            Other::Service(_) => {}
        }
    }
    let taken = FOR_THE_LEAF.saturating_add(peers.saturating_mul(FOR_A_PEER));
    let mut room = SECRET_LIMIT.saturating_sub(taken);
    let mut crowded = Vec::new();
    for known in [true, false] {
        for entry in extra.iter_mut().filter(|entry| before.extra.contains(&entry.key) == known) {
            let TrustState::InForce(text) = &entry.state else { continue };
            // Both directions, and `ca.crt`, which repeats one of them.
            let copies = if entry.key.direction.is_none() { 3 } else { 2 };
            let size = text.len().saturating_mul(copies);
            if size <= room {
                room -= size;
                continue;
            }
            let at = &entry.key.ca_bundle;
            let message = refusal(&format!("key {} of ConfigMap {}", at.key, at.config_map), size, room);
            crowded.push(Crowded { source: entry.control(), message: message.clone() });
            entry.state = TrustState::Refused(Fault::new(REASON, message));
        }
        for (party, (_, size)) in parties.iter().filter(|(_, (was, _))| *was == known) {
            if *size <= room {
                room -= size;
                continue;
            }
            let bundle = world.parties.get(party).and_then(|party| party.spec.tls.ca_bundle.as_ref());
            let what = bundle.map(|at| format!("key {} of ConfigMap {}", at.key, at.config_map));
            let message =
                refusal(&format!("{}, of ExternalParty {party}", what.unwrap_or_default()), *size, room);
            refuse(connections, party, &message);
            crowded.push(Crowded { source: party.clone(), message });
        }
    }
    crowded
}

/// The reason for bundles that do not fit.
pub const REASON: Reason = Reason::TrustTooLarge;

fn size(party: &str, world: &World, now: Timestamp) -> Option<usize> {
    let party = world.parties.get(party).filter(|party| party_has_trust(party))?;
    Some(bundle::authorities(world, party.spec.tls.ca_bundle.as_ref()?, now).ok()?.len())
}

fn refusal(what: &str, size: usize, room: usize) -> String {
    format!(
        "{what}, needs {} KiB of the Channel's Secret, which has room for {}: write only the authorities that issue the \
         other end's certificates, or divide the workload among several Channels",
        size.div_ceil(1024),
        room / 1024
    )
}

fn refuse(connections: &mut [Connection], party: &str, message: &str) {
    let with = |connection: &&mut Connection| {
        connection.is_open() && matches!(&connection.other, Other::Party(name) if name == party)
    };
    for connection in connections.iter_mut().filter(with) {
        connection.state = State::Refused;
        connection.ports = Vec::new();
        connection.listeners = Vec::new();
        connection.reason = Some(format!("{REASON}: {message}"));
        connection.next_step = Some("write a smaller bundle into that ConfigMap".to_owned());
    }
}

#[cfg(test)]
mod tests;
