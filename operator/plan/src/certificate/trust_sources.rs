//! The certificate authorities that a Channel trusts, by direction.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{channel::TrustDirection, names::ChannelRef, trust_domain::Direction};

use crate::{
    certificate::{
        TrustSources,
        trust_files::{NOBODY, is_trust_file},
    },
    consent::{
        connection::{Connection, party_has_trust},
        extra_trust::{JudgedExtraTrust, TrustState},
    },
    record::connection::Other,
    world::{World, bundle, declaration::Declaration, pem::certificates},
};

/// The sources of the trust files: the authorities of Channels and the bundles of parties with open `connections`,
/// and the entries of `extra` in force. `authorities` has the certificates from each peer's record.
pub fn sources<'a>(
    channel: &Declaration,
    connections: impl IntoIterator<Item = &'a Connection>,
    extra: impl IntoIterator<Item = &'a JudgedExtraTrust>,
    authorities: &BTreeMap<ChannelRef, Vec<String>>,
    world: &World,
    now: Timestamp,
) -> TrustSources {
    let mut sources = TrustSources { listens: !channel.listeners().is_empty(), ..TrustSources::default() };
    for connection in connections.into_iter().filter(|connection| connection.is_open()) {
        match &connection.other {
            Other::Channel(name) => {
                let Some(certificates) = authorities.get(name).filter(|one| !one.is_empty()) else {
                    continue;
                };
                let side = |direction| name == channel.name() || connection.direction == direction;
                if side(Direction::Ingress) {
                    sources.clients.insert(name.to_string(), certificates.clone());
                }
                if side(Direction::Egress) {
                    sources.servers.insert(name.to_string(), certificates.clone());
                }
            }
            Other::Party(name) => {
                let bundle =
                    world.parties.get(name).filter(|party| party_has_trust(party)).and_then(|party| {
                        bundle::authorities(world, party.spec.tls.ca_bundle.as_ref()?, now).ok()
                    });
                if let Some(bundle) = bundle {
                    sources.external.insert(name.clone(), bundle.into_owned());
                }
            }
            Other::Service(_) => {}
        }
    }
    for entry in extra {
        let TrustState::InForce(bundle) = &entry.state else { continue };
        // No Channel can have this name, which contains no valid namespace.
        let source = entry.control();
        if entry.key.direction != Some(TrustDirection::Egress) {
            sources.clients.insert(source.clone(), vec![bundle.clone()]);
        }
        if entry.key.direction != Some(TrustDirection::Ingress) {
            sources.servers.insert(source, vec![bundle.clone()]);
        }
    }
    sources
}

/// Whether a found file trusts a certificate that it should not.
pub fn exceeds(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    let read =
        |text: &str| -> BTreeSet<Vec<u8>> { certificates(text).unwrap_or_default().into_iter().collect() };
    let nobody = read(NOBODY);
    found.iter().filter(|(name, _)| is_trust_file(name)).any(|(name, text)| {
        // Software may read part of a broken bundle, so nobody knows what it trusts.
        let Ok(found) = certificates(text) else { return true };
        let allowed = wanted.get(name).map(|text| read(text)).unwrap_or_default();
        found.iter().any(|certificate| !allowed.contains(certificate) && !nobody.contains(certificate))
    })
}

#[cfg(test)]
mod tests;
