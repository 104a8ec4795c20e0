//! Decides what each end must write.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use subrosa_crds::{
    CONSENTS_ANNOTATION, ExternalParty,
    channel::{Peer, PeerKind},
    common::{PortRange, Protocol},
    names::ChannelRef,
    trust_domain::Direction,
};
use subrosa_plan::world::declaration::Declaration;

use super::ends::End;
use crate::cli::adopt;

/// The requested connection.
pub struct ConnectRequest {
    /// Who connects.
    pub from: End,
    /// To whom.
    pub to: End,
    /// Which of the listening Channel's listeners; all when empty.
    pub listeners: Vec<String>,
    /// The ports agreed with a party.
    pub ports: Vec<PortRange>,
}

/// What is there already.
#[derive(Default)]
pub struct Known {
    /// Channels.
    pub channels: BTreeMap<ChannelRef, Declaration>,
    /// External parties.
    pub parties: BTreeMap<String, ExternalParty>,
    /// Whether what is not known does not exist.
    pub complete: bool,
}

/// What one end has to write.
#[derive(Debug, PartialEq)]
pub struct Proposal {
    /// Where, or that nothing is missing.
    pub title: String,
    /// What to add, below `spec` unless the title says otherwise.
    pub addition: Option<Value>,
    /// What else is to be known.
    pub hint: Option<String>,
}

/// Proposes what both ends write.
///
/// # Errors
/// When two such ends cannot be connected, with an alternative.
pub fn propose(request: &ConnectRequest, known: &Known) -> Result<Vec<Proposal>, String> {
    match (&request.from, &request.to) {
        (End::Channel(from), End::Channel(to)) if from == to => {
            // One entry is the consent of both ends.
            Ok(vec![known.channel(to, Direction::Ingress, &request.to, &request.listeners)])
        }
        (End::Channel(from), End::Channel(to)) => {
            let entries = [
                known.channel(from, Direction::Egress, &request.to, &request.listeners),
                known.channel(to, Direction::Ingress, &request.from, &request.listeners),
            ];
            let consents = [known.consent(from, to), known.consent(to, from)];
            Ok(entries.into_iter().chain(consents.into_iter().flatten()).collect())
        }
        (End::Channel(from), End::Party(to)) => {
            if request.ports.is_empty() {
                return Err(format!("which ports of ExternalParty {to}? Give --ports, such as --ports 443"));
            }
            Ok(vec![
                known.channel(from, Direction::Egress, &request.to, &[]),
                known.party(to, from, Direction::Egress, &request.ports),
            ])
        }
        (End::Party(from), End::Channel(to)) => {
            let ports = known.agreed(to, request)?;
            Ok(vec![
                known.party(from, to, Direction::Ingress, &ports),
                known.channel(to, Direction::Ingress, &request.from, &request.listeners),
            ])
        }
        (End::Channel(from), End::Service(_)) => {
            Ok(vec![known.channel(from, Direction::Egress, &request.to, &[])])
        }
        (End::Service(_), End::Channel(to)) => {
            Ok(vec![known.channel(to, Direction::Ingress, &request.from, &request.listeners)])
        }
        (from, to) => {
            Err(format!("{from} and {to}: one end must be a Channel, for only Channels are protected"))
        }
    }
}

impl Known {
    /// What Channel `own` writes where the namespace of `other` was recreated.
    fn consent(&self, own: &ChannelRef, other: &ChannelRef) -> Option<Proposal> {
        let consents =
            adopt::annotation(&self.channels.get(own)?.object(), |namespace| namespace == other.namespace)?;
        let title = format!(
            "Channel {own}: namespace {} was deleted and made anew; if the new one is meant, write under metadata",
            other.namespace
        );
        Some(Proposal {
            title,
            addition: Some(json!({"annotations": {CONSENTS_ANNOTATION: consents}})),
            hint: None,
        })
    }

    /// What Channel `own` writes about `other`.
    fn channel(&self, own: &ChannelRef, direction: Direction, other: &End, listeners: &[String]) -> Proposal {
        let list = if direction == Direction::Ingress { "accepts" } else { "connectsTo" };
        let channel = self.channels.get(own);
        let entries: &[Peer] = match (channel, direction) {
            (None, _) => &[],
            (Some(channel), direction) => channel.entries(direction),
        };
        // Only Channels have listeners that the connecting side may name.
        let listeners =
            if direction == Direction::Egress && !matches!(other, End::Channel(_)) { &[] } else { listeners };
        let hint = self.hint(own, channel, direction, listeners);
        let present = entries.iter().find(|entry| names(entry, other, own));
        if let Some(entry) = present.filter(|entry| covers(entry, listeners)) {
            let title = format!("Channel {own}: nothing to add, {list} has the entry {} already", entry.name);
            return Proposal { title, addition: None, hint };
        }
        let entry = match present {
            Some(entry) => widened(entry, listeners),
            None => new_entry(entries, other, own, listeners),
        };
        let title = match present {
            Some(entry) => format!("Channel {own}: change the entry {} under spec", entry.name),
            None => format!("Channel {own}: add under spec"),
        };
        Proposal { title, addition: Some(json!({ list: [entry] })), hint }
    }

    fn hint(
        &self,
        own: &ChannelRef,
        channel: Option<&Declaration>,
        direction: Direction,
        listeners: &[String],
    ) -> Option<String> {
        let Some(channel) = channel else {
            return self.complete.then(|| format!("there is no Channel {own} yet: write its manifest too"));
        };
        if direction == Direction::Egress {
            return None;
        }
        if channel.listeners().is_empty() {
            return Some(format!(
                "Channel {own} has no listeners: declare its pods' ports in spec.listeners"
            ));
        }
        let unknown: Vec<_> =
            listeners.iter().filter(|name| !channel.has_listener(name)).map(String::as_str).collect();
        let offered: Vec<_> = channel.listeners().iter().map(|listener| listener.name.as_str()).collect();
        (!unknown.is_empty()).then(|| {
            format!("Channel {own} has no listener {}: it has {}", unknown.join(", "), offered.join(", "))
        })
    }

    /// The consent of party `name`.
    fn party(&self, name: &str, channel: &ChannelRef, direction: Direction, ports: &[PortRange]) -> Proposal {
        let party = self.parties.get(name);
        let present = party.into_iter().flat_map(|party| &party.spec.channels).find(|entry| {
            entry.namespace == channel.namespace && entry.name == channel.name && entry.direction == direction
        });
        let mut all: Vec<PortRange> =
            present.iter().flat_map(|entry| &entry.ports).filter_map(|port| port.range().ok()).collect();
        let missing =
            ports.iter().any(|port| !all.iter().any(|agreed| agreed.intersect(*port) == Some(*port)));
        let hint = (party.is_none() && self.complete)
            .then(|| format!("there is no ExternalParty {name} yet: the compliance office applies it"));
        if present.is_some() && !missing {
            let title = format!("ExternalParty {name}: nothing to add, it lists Channel {channel} already");
            return Proposal { title, addition: None, hint };
        }
        all.extend(ports);
        all.sort();
        all.dedup();
        let entry = json!({
            "namespace": channel.namespace,
            "name": channel.name,
            "direction": direction.as_str(),
            "ports": all.into_iter().map(written).collect::<Vec<_>>(),
        });
        let verb = if present.is_some() { "change the entry of this Channel" } else { "add" };
        let title = format!("ExternalParty {name} (the compliance office's): {verb} under spec");
        Proposal { title, addition: Some(json!({"channels": [entry]})), hint }
    }

    /// The ports on which a party connects to Channel `to`: the requested ones, or those of its listeners.
    fn agreed(&self, to: &ChannelRef, request: &ConnectRequest) -> Result<Vec<PortRange>, String> {
        if !request.ports.is_empty() {
            return Ok(request.ports.clone());
        }
        let channel = self.channels.get(to);
        let ports: Vec<_> = channel
            .into_iter()
            .flat_map(Declaration::listeners)
            .filter(|listener| request.listeners.is_empty() || request.listeners.contains(&listener.name))
            .filter_map(|listener| listener.range())
            .collect();
        if ports.is_empty() {
            return Err(format!("which ports of Channel {to}? Give --ports, such as --ports 5061"));
        }
        Ok(ports)
    }
}

/// Whether `entry` of Channel `own` names `other`.
fn names(entry: &Peer, other: &End, own: &ChannelRef) -> bool {
    match (entry.kind(), other) {
        (PeerKind::Channel, End::Channel(name)) => {
            entry.channel_name() == name.name && entry.namespace_or(&own.namespace) == name.namespace
        }
        (PeerKind::ExternalParty, End::Party(name)) | (PeerKind::Service, End::Service(name)) => {
            &entry.name == name
        }
        _ => false,
    }
}

/// Whether `entry` allows `listeners`. Without requested listeners an entry is never widened.
fn covers(entry: &Peer, listeners: &[String]) -> bool {
    entry.listeners.is_empty() || listeners.iter().all(|name| entry.listeners.contains(name))
}

fn widened(entry: &Peer, listeners: &[String]) -> Value {
    let mut entry = entry.clone();
    entry
        .listeners
        .extend(listeners.iter().filter(|name| !entry.listeners.contains(name)).cloned().collect::<Vec<_>>());
    serde_json::to_value(entry).unwrap_or_default()
}

fn new_entry(entries: &[Peer], other: &End, own: &ChannelRef, listeners: &[String]) -> Value {
    let mut entry = Map::new();
    match other {
        End::Channel(name) => {
            // An entry's name is its key in the list, so another peer may have taken it.
            let taken = |wanted: &str| entries.iter().any(|entry| entry.name == wanted);
            if taken(&name.name) {
                entry.insert("name".into(), json!(format!("{}-{}", name.namespace, name.name)));
                entry.insert("channel".into(), json!(name.name));
            } else {
                entry.insert("name".into(), json!(name.name));
            }
            if name.namespace != own.namespace {
                entry.insert("namespace".into(), json!(name.namespace));
            }
        }
        End::Party(name) => {
            entry.insert("name".into(), json!(name));
            entry.insert("kind".into(), json!("ExternalParty"));
        }
        End::Service(name) => {
            entry.insert("name".into(), json!(name));
            entry.insert("kind".into(), json!("Service"));
        }
    }
    if !listeners.is_empty() {
        entry.insert("listeners".into(), json!(listeners));
    }
    Value::Object(entry)
}

/// A port in the notation of manifests.
fn written(port: PortRange) -> Value {
    if port.protocol == Protocol::Tcp && port.start == port.end {
        json!(port.start)
    } else {
        json!(port.to_string())
    }
}
