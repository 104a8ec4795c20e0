//! Decides the state of one declared connection, by its kind of peer and the other end's declaration.

use jiff::Timestamp;
use subrosa_crds::{
    ExternalParty, TrustDomain,
    channel::{Listener, Peer, PeerKind},
    common::{Port, PortRange},
    names::ChannelRef,
    trust_domain::{Direction, ServiceAudience},
};

use crate::{
    consent::connection::{Connection, Memory, State, entry_for, other_end},
    record::connection::{ConnectionKey, Other},
};
use crate::{
    consent::party::{self, Standing},
    world::{World, declaration::Declaration},
};

pub(super) struct Judge<'a> {
    pub(super) channel: &'a Declaration,
    pub(super) domain: &'a TrustDomain,
    pub(super) world: &'a World,
    pub(super) memory: Memory<'a>,
    pub(super) now: Timestamp,
}

/// The state of a connection with its ports.
struct Verdict {
    state: State,
    listeners: Vec<String>,
    ports: Vec<PortRange>,
    reason: Option<String>,
    next_step: Option<String>,
    consents: Option<String>,
}

impl Verdict {
    fn not_open(state: State, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            state,
            listeners: Vec::new(),
            ports: Vec::new(),
            reason: Some(reason.into()),
            next_step: Some(next_step.into()),
            consents: None,
        }
    }

    fn open(listeners: Vec<String>, ports: Vec<PortRange>) -> Self {
        Self { state: State::Open, listeners, ports, reason: None, next_step: None, consents: None }
    }
}

impl Judge<'_> {
    pub(super) fn judge(&self, peer: &Peer, direction: Direction) -> Connection {
        let other = other_end(self.channel, peer);
        let verdict = match &other {
            Other::Channel(other) => self.channel(peer, direction, other),
            Other::Party(_) => self.party(peer, direction),
            Other::Service(_) => self.service(peer, direction),
        };
        let Verdict { state, listeners, ports, reason, next_step, consents } = verdict;
        let name = peer.name.clone();
        Connection { name, direction, other, state, listeners, ports, reason, next_step, consents }
    }

    fn channel(&self, mine: &Peer, direction: Direction, other: &ChannelRef) -> Verdict {
        if other == self.channel.name() {
            // Both ends are this Channel, so one entry is the consent of both.
            return agreed(self.channel, mine, mine, other);
        }
        let Some(peer) = self.world.channel(other) else {
            return Verdict::not_open(
                State::NotFound,
                format!("there is no Channel {other}"),
                format!("apply Channel {other}, or correct the name or namespace of this entry"),
            );
        };
        let mine_domain = self.domain.metadata.name.as_deref().unwrap_or_default();
        let key = ConnectionKey { direction, name: mine.name.clone(), other: Other::Channel(other.clone()) };
        let was_open = self.memory.open.is_some_and(|open| open.contains(&key));
        match self.world.namespaces.get(&other.namespace).and_then(|facts| facts.trust_domain.as_deref()) {
            Some(theirs) if theirs == mine_domain => {}
            // A namespace that lost its label is frozen: what was open stays open until somebody withdraws it.
            None if was_open => {}
            Some(theirs) => {
                return Verdict::not_open(
                    State::Refused,
                    format!(
                        "namespace {} belongs to TrustDomain {theirs}, this Channel's to {mine_domain}",
                        other.namespace
                    ),
                    "connect two trust domains through an ExternalParty in each",
                );
            }
            None => {
                return Verdict::not_open(
                    State::Refused,
                    format!("namespace {} belongs to no trust domain", other.namespace),
                    format!(
                        "ask who governs TrustDomain {mine_domain} to label namespace {} with {}={mine_domain}",
                        other.namespace,
                        subrosa_crds::TRUST_DOMAIN_LABEL
                    ),
                );
            }
        }
        if let Some(verdict) = self.recreated(other).or_else(|| self.outdated(peer, other, was_open)) {
            return verdict;
        }
        let theirs = match direction {
            Direction::Ingress => peer.connects_to(),
            Direction::Egress => peer.accepts(),
        };
        let consents: Vec<&Peer> = theirs
            .iter()
            .filter(|entry| entry.kind() == PeerKind::Channel && peer.peer(entry) == *self.channel.name())
            .collect();
        if consents.is_empty() {
            let field = if direction == Direction::Ingress { "connectsTo" } else { "accepts" };
            return Verdict::not_open(
                State::AwaitingConsent,
                format!("Channel {other} does not list this Channel in {field}"),
                format!(
                    "ask the owner of Channel {other} to add to spec.{field}: {}",
                    entry_for(self.channel.name(), other)
                ),
            );
        }
        if !was_open && self.memory.held.is_some_and(|is_held| is_held(other)) {
            return Verdict::not_open(
                State::AwaitingConsent,
                format!("Channel {other} is Stalled: what it declares is not in force"),
                format!("ask the owner of Channel {other} to read its condition Stalled"),
            );
        }
        let listening = if direction == Direction::Ingress { self.channel } else { peer };
        consents
            .into_iter()
            .map(|theirs| agreed(listening, mine, theirs, other))
            .reduce(union)
            .unwrap_or_else(|| {
                Verdict::not_open(
                    State::AwaitingConsent,
                    "no entry names this Channel",
                    "add one on the other side",
                )
            })
    }

    /// Consent is bound to the namespace's UID: otherwise somebody who may create namespaces could take the place of
    /// a deleted one.
    fn recreated(&self, other: &ChannelRef) -> Option<Verdict> {
        let now = &self.world.namespaces.get(&other.namespace)?.uid;
        let recorded = self.memory.peers?.iter().find_map(|(peer, seen)| {
            (peer.split_once('/')?.0 == other.namespace).then_some(&seen.namespace_uid)
        })?;
        if recorded == now || self.channel.consents_to(&other.namespace, now) {
            return None;
        }
        let consents = format!("{}={now}", other.namespace);
        let verdict = Verdict::not_open(
            State::AwaitingConsent,
            format!(
                "namespace {} was deleted and made anew: this Channel consented to the one before",
                other.namespace
            ),
            format!(
                "if the new one is meant, annotate this Channel with {}: {consents}",
                subrosa_crds::CONSENTS_ANNOTATION,
            ),
        );
        Some(Verdict { consents: Some(consents), ..verdict })
    }

    /// A declaration older than the recorded one opens nothing.
    fn outdated(&self, peer: &Declaration, other: &ChannelRef, was_open: bool) -> Option<Verdict> {
        let recorded = self.memory.peers?.get(&other.to_string())?;
        if was_open || !crate::consent::view(peer).is_older_than(&recorded.view) {
            return None;
        }
        Some(Verdict::not_open(
            State::AwaitingConsent,
            format!("what is known of Channel {other} is older than what was recorded of it"),
            "nothing: it is read anew",
        ))
    }

    fn party(&self, mine: &Peer, direction: Direction) -> Verdict {
        let (name, own) = (&mine.name, self.channel.name());
        let Some(party) = self.world.parties.get(name) else {
            return Verdict::not_open(
                State::NotFound,
                format!("there is no ExternalParty {name}"),
                "ask the compliance office to apply it, or correct the name of this entry",
            );
        };
        let consents: Vec<_> = party
            .spec
            .channels
            .iter()
            .filter(|entry| {
                entry.namespace == own.namespace && entry.name == own.name && entry.direction == direction
            })
            .collect();
        if consents.is_empty() {
            return Verdict::not_open(
                State::AwaitingConsent,
                format!(
                    "ExternalParty {name} does not list this Channel with direction {}",
                    direction.as_str()
                ),
                format!(
                    "ask the compliance office to add to spec.channels of ExternalParty {name}: \
                     {{namespace: {}, name: {}, direction: {}, ports: […]}}",
                    own.namespace,
                    own.name,
                    direction.as_str()
                ),
            );
        }
        if let Some(verdict) = self.standing(party, name) {
            return verdict;
        }
        let ports = ranges(consents.iter().flat_map(|entry| &entry.ports));
        match direction {
            Direction::Egress => reached(ports, &format!("ExternalParty {name}")),
            Direction::Ingress => self.through_listeners(mine, &ports, &format!("ExternalParty {name}")),
        }
    }

    /// Why a party's connections are closed today, if they are.
    fn standing(&self, party: &ExternalParty, name: &str) -> Option<Verdict> {
        match party::judge(party, self.domain, self.world, self.now) {
            Standing::Valid { .. } => None,
            Standing::Expired { what, on } => Some(Verdict::not_open(
                State::AgreementExpired,
                format!("{what} of ExternalParty {name} was valid until {on}"),
                format!("renew it and set validUntil of ExternalParty {name}"),
            )),
            Standing::Missing { agreement, basis } => Some(Verdict::not_open(
                State::Refused,
                format!("ExternalParty {name} is a Processor without a {agreement} ({basis})"),
                format!(
                    "add {{type: {agreement}, validUntil: …}} to spec.agreements of ExternalParty {name}"
                ),
            )),
            Standing::Invalid { field, message, .. } => Some(Verdict::not_open(
                State::Refused,
                format!("ExternalParty {name}: {field}: {message}"),
                format!("ask the compliance office to correct ExternalParty {name}"),
            )),
        }
    }

    fn service(&self, mine: &Peer, direction: Direction) -> Verdict {
        let name = &mine.name;
        let Some(service) = self.domain.spec.network.services.iter().find(|service| &service.name == name)
        else {
            return Verdict::not_open(
                State::NotFound,
                format!("the trust domain has no service {name}"),
                "ask who governs the TrustDomain to add it to spec.network.services, or correct the name",
            );
        };
        let has = service.direction.unwrap_or_default();
        if has != direction {
            return Verdict::not_open(
                State::Refused,
                format!("service {name} of the trust domain is for {}", has.as_str()),
                format!(
                    "name it in {} instead",
                    if has == Direction::Ingress { "accepts" } else { "connectsTo" }
                ),
            );
        }
        if service.for_ == ServiceAudience::Sealing && !self.channel.seals() {
            return Verdict::not_open(
                State::Refused,
                format!("service {name} is for Channels with dataClasses"),
                "declare the data classes this workload seals, or leave the entry out",
            );
        }
        if service.for_ == ServiceAudience::Backup {
            return Verdict::not_open(
                State::Refused,
                format!("service {name} is for the pods that make backups"),
                "leave the entry out: spec.backup needs none",
            );
        }
        let ports = ranges(&service.ports);
        match direction {
            Direction::Egress => reached(ports, &format!("service {name}")),
            Direction::Ingress if ports.is_empty() => {
                let own = self.channel.listeners().iter().filter(|own| selected(mine, &own.name)).collect();
                open_listeners(own)
            }
            Direction::Ingress => self.through_listeners(mine, &ports, &format!("service {name}")),
        }
    }

    /// The part of `ports` that the chosen listeners cover.
    fn through_listeners(&self, mine: &Peer, ports: &[PortRange], whose: &str) -> Verdict {
        let mut listeners = Vec::new();
        let mut open = Vec::new();
        for own in self.channel.listeners().iter().filter(|own| selected(mine, &own.name)) {
            let common: Vec<_> = own
                .range()
                .into_iter()
                .flat_map(|own| ports.iter().filter_map(move |port| own.intersect(*port)))
                .collect();
            if !common.is_empty() {
                listeners.push(own.name.clone());
                open.extend(common);
            }
        }
        if open.is_empty() {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            return Verdict::not_open(
                State::ListenerMismatch,
                format!(
                    "{whose} is agreed for {}, where none of this entry's listeners listens",
                    ports.join(", ")
                ),
                "agree on the ports: add a listener here, or correct the ports there",
            );
        }
        open.sort();
        open.dedup();
        Verdict::open(listeners, open)
    }
}

/// The listeners of the listening side that both entries name.
fn agreed(listening: &Declaration, one: &Peer, other: &Peer, peer: &ChannelRef) -> Verdict {
    let both: Vec<&Listener> = listening
        .listeners()
        .iter()
        .filter(|listener| selected(one, &listener.name) && selected(other, &listener.name))
        .collect();
    if both.is_empty() {
        let offered: Vec<_> = listening.listeners().iter().map(|listener| listener.name.as_str()).collect();
        return Verdict::not_open(
            State::ListenerMismatch,
            format!(
                "no listener is named by both ends: here {}, there {}; the listening side has {}",
                chosen(one),
                chosen(other),
                if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
            ),
            format!("agree on listeners with the owner of Channel {peer}"),
        );
    }
    let unknown: Vec<_> =
        one.listeners.iter().filter(|name| !listening.has_listener(name)).map(String::as_str).collect();
    let mut verdict = open_listeners(both);
    if !unknown.is_empty() {
        verdict.reason = Some(format!("the listening side has no listener {}", unknown.join(", ")));
        verdict.next_step = Some("correct listeners of this entry".into());
    }
    verdict
}

/// The ports of the other end, which listens.
fn reached(ports: Vec<PortRange>, whose: &str) -> Verdict {
    if ports.is_empty() {
        return Verdict::not_open(
            State::ListenerMismatch,
            format!("{whose} names no port"),
            "write its ports, such as ports: [443]",
        );
    }
    Verdict::open(ports.iter().map(ToString::to_string).collect(), ports)
}

fn open_listeners(listeners: Vec<&Listener>) -> Verdict {
    let names = listeners.iter().map(|listener| listener.name.clone()).collect();
    let mut ports: Vec<_> = listeners.iter().filter_map(|listener| listener.range()).collect();
    ports.sort();
    ports.dedup();
    if ports.is_empty() {
        return Verdict::not_open(
            State::ListenerMismatch,
            "this Channel has no listener",
            "declare the pods' ports in spec.listeners",
        );
    }
    Verdict::open(names, ports)
}

/// Two entries for the same peer open what either opens.
fn union(one: Verdict, other: Verdict) -> Verdict {
    match (one.state == State::Open, other.state == State::Open) {
        (true, true) => {
            let mut listeners = one.listeners;
            listeners.extend(other.listeners);
            listeners.sort();
            listeners.dedup();
            let mut ports = one.ports;
            ports.extend(other.ports);
            ports.sort();
            ports.dedup();
            Verdict { listeners, ports, ..Verdict::open(Vec::new(), Vec::new()) }
        }
        (false, true) => other,
        _ => one,
    }
}

fn selected(peer: &Peer, listener: &str) -> bool {
    peer.listeners.is_empty() || peer.listeners.iter().any(|name| name == listener)
}

fn chosen(peer: &Peer) -> String {
    if peer.listeners.is_empty() { "all".into() } else { peer.listeners.join(", ") }
}

fn ranges<'a>(ports: impl IntoIterator<Item = &'a Port>) -> Vec<PortRange> {
    // Admission rejects what is no port; here it opens nothing.
    let mut ranges: Vec<_> = ports.into_iter().filter_map(|port| port.range().ok()).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}
