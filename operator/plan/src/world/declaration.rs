//! What a Channel declares: the one place where its spec is read.
//!
//! ```text
//!   a watch, or a file ──▶ Declaration::of ──▶ World ──▶ every decision about the Channel and about its peers
//!                    the preset and what is left out filled in, once
//! ```

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Date};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use subrosa_crds::{
    CONSENTS_ANNOTATION, Channel, ChannelSpec, ChannelStatus,
    channel::{
        ChannelType, Delivery, ExtraTrust, Issuance, KeyType, Listener, ListenerTls, Peer, PeerKind, Reload,
        Tls, WorkloadAction, WorkloadRef,
    },
    common::Exception,
    names::ChannelRef,
    preset::{self, ClosedPort, Preset},
    trust_domain::Direction,
};

/// A Channel: its name and what it declares. What a preset gives, and what holds where nothing is said, is filled in.
///
/// It holds the Channel as the store of the watch does, and not a copy of it.
#[derive(Clone, Debug)]
pub struct Declaration {
    name: ChannelRef,
    channel: Arc<Channel>,
}

impl Declaration {
    /// What `channel` declares.
    pub fn of(channel: Arc<Channel>) -> Self {
        let metadata = &channel.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = ChannelRef::new(text(&metadata.namespace), text(&metadata.name));
        Self { name, channel: preset::resolved(channel) }
    }

    fn spec(&self) -> &ChannelSpec {
        &self.channel.spec
    }

    fn tls(&self) -> Option<&Tls> {
        self.spec().tls.as_ref()
    }

    /// Its namespace and name.
    pub fn name(&self) -> &ChannelRef {
        &self.name
    }

    /// The object, for Events about it and for what is written of its status.
    pub fn object(&self) -> &Channel {
        &self.channel
    }

    /// The same, to be kept for a while.
    pub fn shared_object(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }

    /// Its UID; none before the API server gave it one.
    pub fn uid(&self) -> Option<&str> {
        self.channel.metadata.uid.as_deref()
    }

    /// Which of its declarations this is.
    pub fn generation(&self) -> Option<i64> {
        self.channel.metadata.generation
    }

    /// When it was made; none before the API server has it.
    pub fn created(&self) -> Option<Timestamp> {
        self.channel.metadata.creation_timestamp.as_ref().map(|created| created.0)
    }

    /// What was reported of it last.
    pub fn status(&self) -> Option<&ChannelStatus> {
        self.channel.status.as_ref()
    }

    /// Older by creation, then by UID: two Channels that are compared give one answer.
    pub fn is_older_than(&self, other: &Self) -> bool {
        fn age(one: &Declaration) -> (Option<Timestamp>, Option<&str>, &str) {
            (one.created(), one.uid(), &one.name.name)
        }
        // What was not created yet (an offline manifest) is younger than everything.
        match (self.created(), other.created()) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => age(self) < age(other),
        }
    }

    /// Whether both declare the same, whatever their status is.
    pub fn declares_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel) || self.spec() == other.spec()
    }

    /// The annotation by which it consents to namespaces that were made anew.
    pub fn consents(&self) -> Option<&String> {
        self.channel.metadata.annotations.as_ref()?.get(CONSENTS_ANNOTATION)
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
        ChannelRef::new(entry.namespace_or(&self.name.namespace), entry.channel_name())
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
        // The schema asks for a name. Without one there is nothing to read, and never something to write.
        (self.issuance() == Issuance::External).then(|| self.secret_name().unwrap_or_default())
    }

    /// The subject's common name, where it is not the Channel's own.
    pub fn common_name(&self) -> Option<&str> {
        self.tls()?.common_name.as_deref()
    }

    /// The DNS names of its certificate that are not those of Services.
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

    /// The further authorities that it trusts for a time.
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

    /// The earliest anchor date of data from before that it seals.
    pub fn imports_from(&self) -> Option<Date> {
        self.spec().encryption.as_ref()?.import.as_ref()?.from.parse().ok()
    }

    /// Whether its workload may open what it sealed.
    pub fn may_open(&self) -> bool {
        let may = self.spec().encryption.as_ref().and_then(|encryption| encryption.workload_may.as_ref());
        may.is_some_and(|actions| actions.contains(&WorkloadAction::Open))
    }

    /// The controls that it loosens, each with its last day.
    pub fn exceptions(&self) -> &[Exception] {
        &self.spec().exception
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_crds::channel::KeyAlgorithm;

    use super::*;
    use crate::testing::{channel, named};

    #[test]
    fn what_a_watch_filled_in_before_is_shared_and_not_copied() {
        let manifest = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": "pbx", "namespace": "cc-front", "uid": "u"},
            "spec": {"preset": "Asterisk", "workload": {"selector": {"matchLabels": {"app": "pbx"}}}},
        });
        let mut object: Channel = serde_json::from_value(manifest).unwrap();
        let raw = Arc::new(object.clone());
        let entered = Declaration::of(Arc::clone(&raw));
        assert!(!Arc::ptr_eq(&raw, &entered.shared_object()), "the API server's stays as it is");
        let names: Vec<_> = entered.listeners().iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, entered.name()), (vec!["sips", "rtp"], &named("cc-front/pbx")));
        preset::fill_in(&mut object.spec);
        let stored = Arc::new(object);
        let shared = Declaration::of(Arc::clone(&stored));
        assert!(Arc::ptr_eq(&stored, &shared.shared_object()));
        assert!(shared.declares_the_same(&entered));
    }

    #[test]
    fn what_is_left_out_is_as_the_definitions_say() {
        let bare = channel("cc-front/voice", json!({}));
        assert_eq!((bare.delivery(), bare.issuance()), (Delivery::Secret, Issuance::Subrosa));
        assert_eq!((bare.reload(), bare.key_algorithm()), (Reload::None, KeyAlgorithm::EcdsaP256));
        assert_eq!((bare.key_type(), bare.may_open(), bare.seals()), (KeyType::Aes256Gcm96, false, false));
        assert_eq!((bare.secret_name(), bare.external_secret()), (None, None));
        assert!(bare.dns_names().is_empty() && bare.extra_trust().is_empty() && bare.exceptions().is_empty());
        let own = channel(
            "cc-front/voice",
            json!({"accepts": [{"name": "ivr"}], "connectsTo": [
                {"name": "db", "namespace": "cc-data", "channel": "store"}, {"name": "carrier", "kind": "ExternalParty"},
            ]}),
        );
        assert_eq!(own.peers().collect::<Vec<_>>(), [named("cc-front/ivr"), named("cc-data/store")]);
        assert!(own.names_party("carrier") && !own.names_party("ivr"));
    }
}
