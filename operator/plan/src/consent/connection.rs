//! Which declared connections are open: those that both ends declare, on the ports that both mean.
//!
//! ```text
//!   client.connectsTo ──▶ { server }          server.accepts ──▶ { client }
//!                     └────────── both there? ports in common? ──────────┘
//!                                        │
//!                          Open on exactly those ports
//! ```
//!
//! Nothing here looks at what is open now, but for one thing: a connection with a peer that is
//! Stalled stays as it was, because a bad edit must not change what is in force.

mod judge;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{
    ExternalParty, Reason, TrustDomain,
    channel::{Peer, PeerKind},
    common::PortRange,
    external_party::PartyTlsMode,
    names::ChannelRef,
    trust_domain::{Direction, NetworkService, ServiceAudience},
};

use crate::{
    record::{
        connection::{ConnectionKey, Other},
        views::PeerView,
    },
    world::{World, declaration::Declaration},
};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Both ends declare it.
    Open,
    /// The other end does not declare it yet.
    AwaitingConsent,
    /// Both declare it, on ports that have nothing in common.
    ListenerMismatch,
    /// There is no such peer.
    NotFound,
    /// It may not be.
    Refused,
    /// An agreement with the party has ended.
    AgreementExpired,
    /// Withdrawn: new connections are refused, older ones may still run.
    Closing,
    /// Agreed by both ends and not in force.
    Closed,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Open,
        Self::AwaitingConsent,
        Self::ListenerMismatch,
        Self::NotFound,
        Self::Refused,
        Self::AgreementExpired,
        Self::Closing,
        Self::Closed,
    ];

    /// The state that status shows as this word; none where this release does not know it.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The reason of the condition Connected where this connection is the first that is not open.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Open => Reason::Open,
            Self::AwaitingConsent => Reason::AwaitingConsent,
            Self::ListenerMismatch => Reason::ListenerMismatch,
            Self::NotFound => Reason::NotFound,
            Self::Refused => Reason::Refused,
            Self::AgreementExpired => Reason::AgreementExpired,
            Self::Closing => Reason::Closing,
            Self::Closed => Reason::Closed,
        }
    }

    /// As status shows it.
    pub const fn as_str(self) -> &'static str {
        self.reason().as_str()
    }
}

/// One declared connection, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The entry's name.
    pub name: String,
    /// Seen from the Channel that declares it.
    pub direction: Direction,
    /// The other end.
    pub other: Other,
    /// How far it is.
    pub state: State,
    /// The agreed listeners, by name where they have one.
    pub listeners: Vec<String>,
    /// The agreed ports; of the listening side.
    pub ports: Vec<PortRange>,
    /// Why it is not open, or what is odd about it.
    pub reason: Option<String>,
    /// What to do next, and who does it.
    pub next_step: Option<String>,
    /// What the annotation of this Channel must have, where a namespace was made anew and the new one is meant.
    pub consents: Option<String>,
}

impl Connection {
    /// Whether packets may flow.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// What tells this connection from the Channel's others.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey { direction: self.direction, name: self.name.clone(), other: self.other.clone() }
    }
}

/// What of the past a judgement needs.
#[derive(Clone, Copy, Default)]
pub struct Memory<'a> {
    /// The connections that are open now, as the record has them.
    pub open: Option<&'a BTreeSet<ConnectionKey>>,
    /// Whether a peer is Stalled: what it declares may be a bad edit.
    pub held: Option<&'a dyn Fn(&ChannelRef) -> bool>,
    /// The declarations with which connections were opened before, by the other Channel's namespace and name.
    pub peers: Option<&'a BTreeMap<String, PeerView>>,
}

/// Judges every connection that `channel` declares, in the order of accepts, then connectsTo.
pub fn connections(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &World,
    memory: Memory<'_>,
    now: Timestamp,
) -> Vec<Connection> {
    let judge = judge::Judge { channel, domain, world, memory, now };
    let accepts = channel.accepts().iter().map(|peer| judge.judge(peer, Direction::Ingress));
    let connects = channel.connects_to().iter().map(|peer| judge.judge(peer, Direction::Egress));
    accepts.chain(connects).collect()
}

/// Every connection that `channel` declares, whatever the other ends say.
pub fn declared(channel: &Declaration) -> BTreeSet<ConnectionKey> {
    let key = |entry: &Peer, direction| ConnectionKey {
        direction,
        name: entry.name.clone(),
        other: other_end(channel, entry),
    };
    let accepts = channel.accepts().iter().map(|peer| key(peer, Direction::Ingress));
    accepts.chain(channel.connects_to().iter().map(|peer| key(peer, Direction::Egress))).collect()
}

/// Whom an entry of `channel` names.
fn other_end(channel: &Declaration, entry: &Peer) -> Other {
    match entry.kind() {
        PeerKind::Channel => Other::Channel(channel.peer(entry)),
        PeerKind::ExternalParty => Other::Party(entry.name.clone()),
        PeerKind::Service => Other::Service(entry.name.clone()),
    }
}

/// The services that every Channel like `channel` may use without naming them.
pub fn implied_services<'a>(
    channel: &'a Declaration,
    domain: &'a TrustDomain,
) -> impl Iterator<Item = &'a NetworkService> {
    domain.spec.network.services.iter().filter(|service| match service.for_ {
        ServiceAudience::All => true,
        ServiceAudience::Sealing => channel.seals(),
        ServiceAudience::Named => false,
    })
}

/// The entry by which Channel `to` consents to `from`.
pub fn entry_for(from: &ChannelRef, to: &ChannelRef) -> String {
    if from.namespace == to.namespace {
        format!("{{name: {}}}", from.name)
    } else {
        format!("{{name: {}, namespace: {}}}", from.name, from.namespace)
    }
}

/// Whether `party` checks certificates of the workload, so that its own go into a file.
pub fn party_has_trust(party: &ExternalParty) -> bool {
    party.spec.tls.mode != PartyTlsMode::None && party.spec.tls.ca_bundle.is_some()
}

#[cfg(test)]
mod tests;
