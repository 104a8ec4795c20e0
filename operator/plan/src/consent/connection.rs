//! Which declared connections are open: those that both ends declare, on the ports that both name.
//!
//! ```text
//!   client.connectsTo ──▶ { server }          server.accepts ──▶ { client }
//!                     └────────── both there? ports in common? ──────────┘
//!                                        │
//!                          Open on exactly those ports
//! ```
//!
//! This ignores what is open now, with one exception: a connection with a Stalled peer stays as it was, because a bad
//! edit must not change what is in force.

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

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Both ends declare it.
    Open,
    /// The other end does not declare it yet.
    AwaitingConsent,
    /// Both ends declare it, on ports that have nothing in common.
    ListenerMismatch,
    /// There is no such peer.
    NotFound,
    /// It is not allowed.
    Refused,
    /// An agreement with the party has expired.
    AgreementExpired,
    /// Withdrawn: new connections are refused, existing ones may still run.
    Closing,
    /// Agreed by both ends, but not in force.
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

    /// Parses the word in status; `None` where this release does not know it.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The reason of the condition Connected, if this connection is the first that is not open.
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

    /// The word in status.
    pub const fn as_str(self) -> &'static str {
        self.reason().as_str()
    }
}

/// One declared connection with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The entry's name.
    pub name: String,
    /// The direction, from the Channel that declares it.
    pub direction: Direction,
    /// The other end.
    pub other: Other,
    /// How far it is.
    pub state: State,
    /// The agreed listeners, by name where they have one.
    pub listeners: Vec<String>,
    /// The agreed ports of the listening side.
    pub ports: Vec<PortRange>,
    /// Why it is not open, or a remark.
    pub reason: Option<String>,
    /// The next step, and who takes it.
    pub next_step: Option<String>,
    /// The value for this Channel's annotation, where a namespace was recreated and the new one is meant.
    pub consents: Option<String>,
}

impl Connection {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// The key that identifies this connection within its Channel.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey { direction: self.direction, name: self.name.clone(), other: self.other.clone() }
    }
}

/// The earlier state that a decision needs.
#[derive(Clone, Copy, Default)]
pub struct Memory<'a> {
    /// The connections that are open now, from the record.
    pub open: Option<&'a BTreeSet<ConnectionKey>>,
    /// Whether a peer is Stalled, so that its declaration may be a bad edit.
    pub held: Option<&'a dyn Fn(&ChannelRef) -> bool>,
    /// The versions of declarations with which connections were opened, by the peer's namespace and name.
    pub peers: Option<&'a BTreeMap<String, PeerView>>,
}

/// The state of every connection that `channel` declares, in the order of accepts, then connectsTo.
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

/// Every connection that `channel` declares, regardless of the other ends.
pub fn declared(channel: &Declaration) -> BTreeSet<ConnectionKey> {
    let key = |entry: &Peer, direction| ConnectionKey {
        direction,
        name: entry.name.clone(),
        other: other_end(channel, entry),
    };
    let accepts = channel.accepts().iter().map(|peer| key(peer, Direction::Ingress));
    accepts.chain(channel.connects_to().iter().map(|peer| key(peer, Direction::Egress))).collect()
}

/// The peer of an entry of `channel`.
fn other_end(channel: &Declaration, entry: &Peer) -> Other {
    match entry.kind() {
        PeerKind::Channel => Other::Channel(channel.peer(entry)),
        PeerKind::ExternalParty => Other::Party(entry.name.clone()),
        PeerKind::Service => Other::Service(entry.name.clone()),
    }
}

/// The services that Channels like `channel` may use without an entry.
pub fn implied_services<'a>(
    channel: &'a Declaration,
    domain: &'a TrustDomain,
) -> impl Iterator<Item = &'a NetworkService> {
    domain.spec.network.services.iter().filter(|service| match service.for_ {
        ServiceAudience::All => true,
        ServiceAudience::Sealing => channel.seals(),
        ServiceAudience::Named | ServiceAudience::Backup => false,
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

/// Whether `party` uses certificates, so that its authorities go into a trust file.
pub fn party_has_trust(party: &ExternalParty) -> bool {
    party.spec.tls.mode != PartyTlsMode::None && party.spec.tls.ca_bundle.is_some()
}

#[cfg(test)]
mod tests;
