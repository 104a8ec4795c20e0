//! A Channel's plan: its wanted state, from the Channel, the world and its record.

pub mod adoption;
pub mod applied;
pub mod closing;
pub mod delivery;
mod held;
pub mod intent;
pub mod ownership;
pub mod validate;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use subrosa_crds::{
    TrustDomain,
    channel::Delivery,
    names::{ChannelId, ChannelRef},
    trust_domain::{Direction, NetworkMode},
};

use self::{
    held::HeldChannels,
    validate::{Problem, Validated},
};
use crate::{
    backup::{self, WantedBackup},
    certificate::{
        AuthoritySpec, LeafSpec,
        secrets::{self, Holds},
        specs,
        trust_room::{self, Crowded},
    },
    consent::{
        self,
        connection::{self, Connection, Memory, State},
        extra_trust::{self, JudgedExtraTrust},
    },
    keys::{self, WantedKey},
    network,
    record::{
        self,
        backup::BackupRecord,
        channel::{Access, ChannelRecord},
        connection::{ConnectionKey, Other},
        views::{PeerView, View},
    },
    sealing::{self, WantedSettings},
    world::{World, declaration::Declaration, domain},
};

/// Whether new things may be made for a Channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is declared.
    Full,
    /// Policies are only reported; everything else is made.
    Audit,
    /// Nothing new opens; renewals and withdrawals continue.
    Frozen,
    /// The declaration cannot be followed: what exists stays, and the certificate is renewed.
    Stalled(Vec<Problem>),
}

/// The wanted state of a Channel.
#[derive(Clone)]
pub struct Plan {
    /// Its identity.
    pub id: ChannelId,
    /// The trust domain.
    pub domain: Arc<TrustDomain>,
    /// What validation found; `None` while Stalled or frozen.
    pub validated: Option<Validated>,
    /// What may be made.
    pub scope: Scope,
    /// Every declared connection with its state.
    pub connections: Vec<Connection>,
    /// Its declared further authorities with their states.
    pub extra_trust: Vec<JudgedExtraTrust>,
    /// The bundles that do not fit into the Secret.
    pub crowded: Vec<Crowded>,
    /// Its network policy.
    pub policy: NetworkPolicy,
    /// Its leaf.
    pub leaf: LeafSpec,
    /// Its authority.
    pub authority: AuthoritySpec,
    /// The Secret that is written for it.
    pub secret_name: String,
    /// How certificate and key reach its pods.
    pub delivery: Delivery,
    /// The content of that Secret.
    pub holds: Holds,
    /// The Secret with certificate and private key by another issuer, where Subrosa does not issue them.
    pub external: Option<String>,
    /// Its keys; empty while Stalled or frozen, when none is made or closed.
    pub keys: Vec<WantedKey>,
    /// The wanted settings for sealing.
    pub settings: WantedSettings,
    /// What is wanted of its backups.
    pub backup: WantedBackup,
    /// What is known of its backups, for the record; `None` where it has none and never had.
    pub backed_up: Option<BackupRecord>,
    /// Who should have access in Vault; `None` when it seals nothing or the ServiceAccount does not exist.
    pub access: Option<Access>,
    /// The versions of declarations that this plan follows.
    pub views: Views,
}

/// The versions of declarations that a plan follows.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// The Channel's own.
    pub own: View,
    /// Those of the Channels with which connections are open, by namespace and name.
    pub peers: BTreeMap<String, PeerView>,
    /// Whether the record follows a newer version of the Channel itself, so that nothing new may open from this one.
    pub outdated: bool,
}

/// Why nothing can be done for a Channel: no trust domain governs it, so the place of its keys is unknown.
pub type Ungoverned = Problem;

/// Plans `channel`. The domain in its record is used for a namespace that lost its label.
///
/// # Errors
/// When neither the namespace's label nor the record names an existing trust domain.
pub fn plan(
    channel: &Declaration,
    world: &World,
    record: Option<&ChannelRecord>,
    now: Timestamp,
) -> Result<Plan, Ungoverned> {
    let open = record.map(|record| record.open.clone()).unwrap_or_default();
    let extra = record.map(|record| record.extra_trust.clone()).unwrap_or_default();
    let views = record.map(|record| (record.follows.as_ref(), &record.peers));
    with_open(channel, world, record, Noted { open: &open, extra: Some(&extra), views }, now)
}

/// Plans `channel` while its record cannot be read; good only for withdrawals.
///
/// What is open is unknown then, so everything declared counts as open: an outage must not close what both ends still
/// declare.
///
/// # Errors
/// When the namespace's label names no existing trust domain.
pub fn plan_withdrawals(channel: &Declaration, world: &World, now: Timestamp) -> Result<Plan, Ungoverned> {
    let open = connection::declared(channel);
    with_open(channel, world, None, Noted { open: &open, extra: None, views: None }, now)
}

/// What is recorded as open and as trusted; `None` where everything declared counts.
#[derive(Clone, Copy)]
struct Noted<'a> {
    open: &'a BTreeSet<ConnectionKey>,
    extra: Option<&'a BTreeSet<record::extra_trust::ExtraTrustKey>>,
    views: Option<(Option<&'a View>, &'a BTreeMap<String, PeerView>)>,
}

fn with_open(
    channel: &Declaration,
    world: &World,
    record: Option<&ChannelRecord>,
    noted: Noted<'_>,
    now: Timestamp,
) -> Result<Plan, Ungoverned> {
    let name = channel.name();
    let namespace_uid =
        world.namespaces.get(&name.namespace).map(|facts| facts.uid.as_str()).unwrap_or_default();
    let id = ChannelId::mint(namespace_uid, &name.name);
    let (domain, validated, scope) = match validate::governing(name, world) {
        Err(problem) => {
            let remembered = record.and_then(|record| world.domains.get(&record.trust_domain));
            let Some(domain) = remembered else { return Err(problem) };
            (Arc::clone(domain), None, Scope::Frozen)
        }
        Ok(domain) => {
            let domain = Arc::clone(domain);
            match validate::validate(channel, world, now) {
                Err(problems) => (domain, None, Scope::Stalled(problems)),
                Ok(validated) => {
                    let scope = match domain::mode(&domain, &name.namespace) {
                        NetworkMode::Enforce => Scope::Full,
                        NetworkMode::Audit => Scope::Audit,
                    };
                    (domain, Some(validated), scope)
                }
            }
        }
    };
    let held = HeldChannels::new(world, now);
    held.note(name, matches!(scope, Scope::Frozen | Scope::Stalled(_)));
    let is_held = |other: &ChannelRef| held.is(other);
    let peers = noted.views.map(|(_, peers)| peers);
    let memory = Memory { open: Some(noted.open), held: Some(&is_held), peers };
    let mut connections = connection::connections(channel, &domain, world, memory, now);
    let mut extra_trust = extra_trust::judge(channel, &domain, world, now);
    if matches!(scope, Scope::Frozen | Scope::Stalled(_)) {
        hold_back(&mut connections, noted.open, HELD_BACK);
        if let Some(noted) = noted.extra {
            extra_trust::hold_back(&mut extra_trust, noted);
        }
    }
    let view = consent::view(channel);
    let outdated = noted.views.and_then(|(own, _)| own).is_some_and(|recorded| view.is_older_than(recorded));
    if outdated {
        hold_back(&mut connections, noted.open, OUTDATED);
        if let Some(noted) = noted.extra {
            extra_trust::hold_back(&mut extra_trust, noted);
        }
    }
    // Without the record the earlier trust is unknown, so nothing new is trusted.
    let crowded = noted.extra.map_or_else(Vec::new, |extra| {
        let before = trust_room::Before { open: noted.open, extra };
        trust_room::fit(&mut connections, &mut extra_trust, before, world, now)
    });
    let views = Views { own: view, peers: peer_views(&connections, world), outdated };
    let mut policy = network::channel_policy(channel, &domain, &connections, world, &is_held);
    if let Some(spec) = &mut policy.spec {
        // Who dumps its databases has to get to them.
        spec.ingress.get_or_insert_default().extend(backup::dumps::ingress(channel));
    }
    let mut keys = match validated.as_ref().and_then(|validated| validated.retention.as_ref()) {
        Some(retention) => keys::wanted(channel, &id, retention, &domain, now).unwrap_or_default(),
        None => Vec::new(),
    };
    if validated.is_some() {
        keys.extend(backup::keys::wanted(channel, &id, &domain, now).unwrap_or_default());
    }
    let in_force = validated.is_some() && !outdated;
    let (backup, backed_up) = backup::planned(channel, &id, &domain, (record, in_force), world, now);
    let settings = match &validated {
        // The view of the Channel or its record is outdated.
        Some(_) if outdated => WantedSettings::Kept,
        Some(validated) => sealing::settings(channel, &id, &domain, validated.retention.as_deref(), world),
        None => WantedSettings::Kept,
    };
    let delivery = delivery::delivery(channel, &scope, record);
    let (secret_name, holds) = secrets::written_for(channel, delivery);
    let for_renewal = Arc::new(specs::for_renewal(channel, &domain, world, now));
    Ok(Plan {
        leaf: LeafSpec { for_renewal, ..specs::leaf_spec(channel, &domain, world) },
        authority: specs::authority_spec(name, &id, &domain, now),
        secret_name,
        holds,
        external: channel.external_secret().map(str::to_owned),
        access: match outdated {
            true => record.and_then(|record| kept_access(name, record, world)),
            false => access(channel, world),
        },
        settings,
        backup,
        backed_up,
        delivery,
        id,
        domain,
        validated,
        scope,
        connections,
        extra_trust,
        crowded,
        policy,
        keys,
        views,
    })
}

/// The message where nothing new opens, and the next step.
const HELD_BACK: (&str, &str) = (
    "nothing new opens while this Channel is Stalled or its namespace frozen",
    "see the conditions of this Channel",
);
const OUTDATED: (&str, &str) = (
    "what is known of this Channel is older than what was recorded of it",
    "nothing: it is read anew, and opens then",
);

/// The declarations of the Channels with which connections are open.
fn peer_views(connections: &[Connection], world: &World) -> BTreeMap<String, PeerView> {
    let seen = |other: &ChannelRef| {
        let view = consent::view(world.channel(other)?);
        let namespace_uid = world.namespaces.get(&other.namespace)?.uid.clone();
        Some((other.to_string(), PeerView { view, namespace_uid }))
    };
    let open = connections.iter().filter(|connection| connection.is_open());
    open.filter_map(|connection| match &connection.other {
        Other::Channel(other) => seen(other),
        Other::Party(_) | Other::Service(_) => None,
    })
    .collect()
}

/// Where nothing new may open, only connections that were open stay open.
fn hold_back(connections: &mut [Connection], open: &BTreeSet<ConnectionKey>, why: (&str, &str)) {
    for connection in connections.iter_mut().filter(|connection| connection.is_open()) {
        if !open.contains(&connection.key()) {
            connection.state = State::AwaitingConsent;
            connection.ports = Vec::new();
            connection.listeners = Vec::new();
            connection.reason = Some(why.0.to_owned());
            connection.next_step = Some(why.1.to_owned());
        }
    }
}

/// Access is for the ServiceAccount's current UID; another one of the same name is another identity.
fn access(channel: &Declaration, world: &World) -> Option<Access> {
    if !channel.seals() {
        return None;
    }
    let account = channel.service_account()?;
    let uid = world.service_accounts.get(&channel.name().namespace)?.get(account)?;
    Some(Access { service_account_uid: uid.clone(), may_open: channel.may_open() })
}

/// The access that was recorded, as long as its ServiceAccount is there: that one is gone is known whatever the view.
fn kept_access(name: &ChannelRef, record: &ChannelRecord, world: &World) -> Option<Access> {
    let accounts = world.service_accounts.get(&name.namespace)?;
    let is_there = |had: &Access| accounts.values().any(|uid| *uid == had.service_account_uid);
    record.access.clone().filter(is_there)
}

impl Plan {
    /// The Secret from which pods load their certificate.
    pub fn certificate_secret(&self) -> &str {
        self.external.as_deref().unwrap_or(&self.secret_name)
    }

    /// The open connections, for the record.
    pub fn open(&self) -> BTreeSet<ConnectionKey> {
        self.connections.iter().filter(|connection| connection.is_open()).map(Connection::key).collect()
    }

    /// The open connections with other Channels in `direction`.
    pub fn open_channels(&self, direction: Direction) -> impl Iterator<Item = &ChannelRef> {
        self.connections
            .iter()
            .filter(move |connection| connection.is_open() && connection.direction == direction)
            .filter_map(|connection| match &connection.other {
                Other::Channel(name) => Some(name),
                Other::Party(_) | Other::Service(_) => None,
            })
    }

    /// Records the versions of declarations by which connections are open.
    fn note_views(&self, record: &mut ChannelRecord) {
        if !self.views.outdated {
            record.follows = Some(self.views.own.clone());
        }
        let channels = self.connections.iter().filter_map(|one| match &one.other {
            Other::Channel(name) => Some(name.to_string()),
            Other::Party(_) | Other::Service(_) => None,
        });
        let declared: BTreeSet<_> = channels.collect();
        record.peers.retain(|peer, _| declared.contains(peer));
        for (peer, seen) in &self.views.peers {
            let older =
                record.peers.get(peer).is_some_and(|recorded| seen.view.is_older_than(&recorded.view));
            if !older {
                record.peers.insert(peer.clone(), seen.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
