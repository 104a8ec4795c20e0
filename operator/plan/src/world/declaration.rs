//! What a Channel declares: the one place where its spec is read.
//!
//! ```text
//!   a watch, or a file ──▶ Declaration::of ──▶ World ──▶ every decision about the Channel and about its peers
//!                    the preset and what is left out filled in, once
//! ```

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Date};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use subrosa_crds::{
    CONSENTS_ANNOTATION, Channel, ChannelSpec, ChannelStatus,
    channel::{
        Backup, ChannelType, Delivery, ExtraTrust, Issuance, KeyType, Listener, ListenerTls, Peer, PeerKind,
        Reload, Tls, WorkloadAction, WorkloadRef,
    },
    common::Exception,
    condition::{self, Condition},
    names::ChannelRef,
    preset::{self, ClosedPort, Preset},
    trust_domain::Direction,
};

use super::packed::{self, Packed};

/// A Channel: its name and what it declares, with the preset and all defaults filled in.
///
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Declaration(Arc<Declared>);

#[derive(Debug)]
struct Declared {
    name: ChannelRef,
    metadata: ObjectMeta,
    spec: ChannelSpec,
    status: Reported,
}

/// The status that was last reported. Thousands of Channels are kept: it takes no room where it is packed or missing.
#[derive(Debug)]
enum Reported {
    Nothing,
    Open(Box<ChannelStatus>),
    Packed(Packed, ConditionSummary),
}

/// What the counters of a trust domain need of a Channel's conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConditionSummary {
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether a condition needs someone's attention.
    pub attention: bool,
}

impl ConditionSummary {
    /// Summarises these conditions.
    pub fn of(conditions: &[Condition]) -> Self {
        Self {
            ready: condition::is_true(conditions, condition::READY),
            attention: condition::needs_attention(conditions),
        }
    }
}

impl Reported {
    fn open(status: Option<ChannelStatus>) -> Self {
        status.map_or(Self::Nothing, |status| Self::Open(Box::new(status)))
    }
}

impl Declaration {
    /// What `channel` declares.
    pub fn of(channel: Arc<Channel>) -> Self {
        let metadata = &channel.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = ChannelRef::new(text(&metadata.namespace), text(&metadata.name));
        let Channel { metadata, spec, status } = Arc::unwrap_or_clone(preset::resolved(channel));
        Self(Arc::new(Declared { name, metadata, spec, status: Reported::open(status) }))
    }

    /// The same with its status packed: status is most of the memory of thousands of Channels.
    pub fn packed(&self) -> Self {
        match &self.0.status {
            Reported::Open(status) => {
                let summary = ConditionSummary::of(&status.conditions);
                self.with(Reported::Packed(Packed::like(packed::STATUS, status), summary))
            }
            Reported::Nothing | Reported::Packed(..) => self.clone(),
        }
    }

    /// The same with its status unpacked, for several reads.
    pub fn opened(&self) -> Self {
        match &self.0.status {
            Reported::Packed(packed, _) => self.with(Reported::open(packed.read())),
            Reported::Nothing | Reported::Open(_) => self.clone(),
        }
    }

    fn with(&self, status: Reported) -> Self {
        let Declared { name, metadata, spec, .. } = &*self.0;
        let (name, metadata, spec) = (name.clone(), metadata.clone(), spec.clone());
        Self(Arc::new(Declared { name, metadata, spec, status }))
    }

    fn spec(&self) -> &ChannelSpec {
        &self.0.spec
    }

    fn tls(&self) -> Option<&Tls> {
        self.spec().tls.as_ref()
    }

    /// Its namespace and name.
    pub fn name(&self) -> &ChannelRef {
        &self.0.name
    }

    /// The object, for Events about it and for writing its status. While packed, its status is missing here.
    pub fn object(&self) -> Channel {
        let Declared { metadata, spec, status, .. } = &*self.0;
        let status = match status {
            Reported::Open(status) => Some((**status).clone()),
            Reported::Nothing | Reported::Packed(..) => None,
        };
        Channel { metadata: metadata.clone(), spec: spec.clone(), status }
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    /// Its UID; none before the API server gave it one.
    pub fn uid(&self) -> Option<&str> {
        self.metadata().uid.as_deref()
    }

    /// The generation of its spec.
    pub fn generation(&self) -> Option<i64> {
        self.metadata().generation
    }

    /// When it was created; `None` before the API server has it.
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata().creation_timestamp.as_ref().map(|created| created.0)
    }

    /// The last reported status.
    pub fn status(&self) -> Option<Cow<'_, ChannelStatus>> {
        match &self.0.status {
            Reported::Nothing => None,
            Reported::Open(status) => Some(Cow::Borrowed(status)),
            Reported::Packed(packed, _) => packed.read().map(Cow::Owned),
        }
    }

    /// Whether a status was ever reported.
    pub fn has_status(&self) -> bool {
        !matches!(self.0.status, Reported::Nothing)
    }

    /// The last reported conditions.
    pub fn conditions(&self) -> Vec<Condition> {
        self.status().map(|status| status.into_owned().conditions).unwrap_or_default()
    }

    /// The summary of its conditions, without unpacking the status.
    pub fn summary(&self) -> ConditionSummary {
        match &self.0.status {
            Reported::Nothing => ConditionSummary::default(),
            Reported::Open(status) => ConditionSummary::of(&status.conditions),
            Reported::Packed(_, summary) => *summary,
        }
    }

    /// Orders by creation time, then by UID, so that comparing two Channels gives the same answer either way.
    pub fn is_older_than(&self, other: &Self) -> bool {
        fn age(one: &Declaration) -> (Option<Timestamp>, Option<&str>, &str) {
            (one.created(), one.uid(), &one.name().name)
        }
        // An offline manifest has no creation time and counts as youngest.
        match (self.created(), other.created()) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => age(self) < age(other),
        }
    }

    /// Whether both have the same spec, whatever their status.
    pub fn declares_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.spec() == other.spec()
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        Some(self.metadata().annotations.as_ref()?.get(name)?.as_str())
    }

    /// The annotation by which it consents to recreated namespaces.
    pub fn consents(&self) -> Option<&String> {
        self.metadata().annotations.as_ref()?.get(CONSENTS_ANNOTATION)
    }

    /// Whether that annotation names this namespace with this UID.
    pub fn consents_to(&self, namespace: &str, uid: &str) -> bool {
        self.consents().is_some_and(|text| {
            text.split([',', ' ']).filter_map(|one| one.split_once('=')).any(|one| one == (namespace, uid))
        })
    }

    /// What kind of traffic it carries.
    pub fn type_(&self) -> Option<ChannelType> {
        self.spec().type_
    }

    /// The server whose preset it names.
    pub fn preset(&self) -> Option<Preset> {
        self.spec().preset
    }

    /// The labels of its pods.
    pub fn selector(&self) -> &LabelSelector {
        &self.spec().workload.selector
    }

    /// The ServiceAccount that its pods run as.
    pub fn service_account(&self) -> Option<&str> {
        self.spec().workload.service_account_name.as_deref()
    }

    /// What runs its pods, where that is said.
    pub fn workload_ref(&self) -> Option<&WorkloadRef> {
        self.spec().workload.ref_.as_ref()
    }

    /// The ports on which its pods listen.
    pub fn listeners(&self) -> &[Listener] {
        &self.spec().listeners
    }

    /// Whether it has a listener of that name.
    pub fn has_listener(&self, name: &str) -> bool {
        self.listeners().iter().any(|listener| listener.name == name)
    }

    /// The listeners that speak TLS, by port.
    pub fn tls_listeners(&self) -> BTreeMap<u16, ListenerTls> {
        let speaks = self.listeners().iter().filter(|listener| listener.tls() != ListenerTls::None);
        speaks.filter_map(|listener| Some((listener.range()?.start, listener.tls()))).collect()
    }

    /// The first listener on a port where the preset's server speaks plain text, and that port.
    pub fn plaintext_listener(&self) -> Option<(&Listener, &'static ClosedPort)> {
        let closed = |listener| Some((listener, preset::plaintext(self.spec(), listener)?));
        self.listeners().iter().find_map(closed)
    }

    /// Who may connect here.
    pub fn accepts(&self) -> &[Peer] {
        &self.spec().accepts
    }

    /// Where it connects.
    pub fn connects_to(&self) -> &[Peer] {
        &self.spec().connects_to
    }

    /// The entries of one direction.
    pub fn entries(&self, direction: Direction) -> &[Peer] {
        match direction {
            Direction::Ingress => self.accepts(),
            Direction::Egress => self.connects_to(),
        }
    }

    /// The Channel that an entry names.
    pub fn peer(&self, entry: &Peer) -> ChannelRef {
        ChannelRef::new(entry.namespace_or(&self.name().namespace), entry.channel_name())
    }

    /// The Channels that it names, in either list.
    pub fn peers(&self) -> impl Iterator<Item = ChannelRef> {
        let entries = self.accepts().iter().chain(self.connects_to());
        entries.filter(|entry| entry.kind() == PeerKind::Channel).map(|entry| self.peer(entry))
    }

    /// Whether an entry of either list names that external party.
    pub fn names_party(&self, party: &str) -> bool {
        let mut entries = self.accepts().iter().chain(self.connects_to());
        entries.any(|entry| entry.kind() == PeerKind::ExternalParty && entry.name == party)
    }

    /// How certificate and key reach its pods.
    pub fn delivery(&self) -> Delivery {
        self.tls().and_then(|tls| tls.delivery).unwrap_or_default()
    }

    /// Who issues its certificate.
    pub fn issuance(&self) -> Issuance {
        self.tls().and_then(|tls| tls.issuance).unwrap_or_default()
    }

    /// How its workload takes a renewed certificate.
    pub fn reload(&self) -> Reload {
        self.tls().and_then(|tls| tls.reload).unwrap_or_default()
    }

    /// The Secret that it names.
    pub fn secret_name(&self) -> Option<&str> {
        self.tls()?.secret_name.as_deref()
    }

    /// The Secret that somebody else writes and Subrosa only reads; none unless issuance is External.
    pub fn external_secret(&self) -> Option<&str> {
        // The schema requires a name. Without one there is nothing to read, and never something to write.
        (self.issuance() == Issuance::External).then(|| self.secret_name().unwrap_or_default())
    }

    /// The subject's common name, where it is not the Channel's own.
    pub fn common_name(&self) -> Option<&str> {
        self.tls()?.common_name.as_deref()
    }

    /// The further DNS names of its certificate, beside those of Services.
    pub fn dns_names(&self) -> &[String] {
        self.tls().map(|tls| tls.dns_names.as_slice()).unwrap_or_default()
    }

    /// How long its certificates are valid, as written.
    pub fn duration(&self) -> Option<&str> {
        self.tls()?.duration.as_deref()
    }

    /// How long before their end they are renewed, as written.
    pub fn renew_before(&self) -> Option<&str> {
        self.tls()?.renew_before.as_deref()
    }

    /// The algorithm of their keys.
    pub fn key_algorithm(&self) -> subrosa_crds::channel::KeyAlgorithm {
        self.tls().and_then(|tls| tls.key_algorithm).unwrap_or_default()
    }

    /// The further authorities that it trusts temporarily.
    pub fn extra_trust(&self) -> &[ExtraTrust] {
        self.tls().map(|tls| tls.extra_trust.as_slice()).unwrap_or_default()
    }

    /// The classes of data that it seals.
    pub fn data_classes(&self) -> &[String] {
        &self.spec().data_classes
    }

    /// Whether it seals anything.
    pub fn seals(&self) -> bool {
        !self.data_classes().is_empty()
    }

    /// The retention policy that it names.
    pub fn retention_policy(&self) -> Option<&String> {
        self.spec().retention_policy.as_ref()
    }

    /// The type of its data keys.
    pub fn key_type(&self) -> KeyType {
        self.spec().encryption.as_ref().and_then(|encryption| encryption.key_type).unwrap_or_default()
    }

    /// How often a current data key gets a new version, as written.
    pub fn rotate_every(&self) -> Option<&str> {
        self.spec().encryption.as_ref()?.rotate_every.as_deref()
    }

    /// The earliest anchor date of existing data that it imports.
    pub fn imports_from(&self) -> Option<Date> {
        self.spec().encryption.as_ref()?.import.as_ref()?.from.parse().ok()
    }

    /// Whether its workload may open what it sealed.
    pub fn may_open(&self) -> bool {
        let may = self.spec().encryption.as_ref().and_then(|encryption| encryption.workload_may.as_ref());
        may.is_some_and(|actions| actions.contains(&WorkloadAction::Open))
    }

    /// Its backups.
    pub fn backup(&self) -> Option<&Backup> {
        self.spec().backup.as_deref()
    }

    /// The controls from which it is exempt, each with its last day.
    pub fn exceptions(&self) -> &[Exception] {
        &self.spec().exception
    }
}

#[cfg(test)]
mod tests;
