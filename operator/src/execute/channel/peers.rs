//! The peers: which authorities to trust, and who trusts this Channel's.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_crds::{
    Channel,
    names::{ChannelId, ChannelRef},
    trust_domain::Direction,
};
use subrosa_plan::{
    access::store,
    certificate::{
        ObservedSecret, TrustFiles,
        authority::{Leaves, PeerFacts},
        secrets, trust_files,
        trust_files::{CLIENTS_FILE, SERVERS_FILE, TrustProblem, held_versions},
        trust_sources,
    },
    channel::Plan,
    consent::{connection::Connection, extra_trust::JudgedExtraTrust},
    record::{channel::ChannelRecord, generations::Generations},
    world::{
        fault::Fault,
        pem::{certificates, encode},
    },
};

use super::{Authorities, Work, external};
use crate::{
    context::Context,
    execute::{certificate, objects},
    observe::DomainVault,
    pki,
    subject::Subject,
};

/// The CA certificates of the Channels with open connections, from their records.
///
/// # Errors
/// When a record cannot be read, which must not look like a peer without an authority.
pub(super) async fn authorities(
    ctx: &Context,
    vault: &DomainVault,
    plan: &Plan,
) -> Result<Authorities, Fault> {
    let mut found = BTreeMap::new();
    for peer in open_peers(plan) {
        let record = record_of(ctx, vault, peer).await?;
        found.insert(peer.clone(), record.map(|record| record.authority.trusted()).unwrap_or_default());
    }
    Ok(found)
}

/// The same while Vault does not answer: from the cache, or else from the Secret's own trust files under the peer's
/// identity. Good enough for withdrawals, because it never adds trust that the Secret does not have.
pub(super) fn last_known_authorities(
    ctx: &Context,
    vault: &DomainVault,
    plan: &Plan,
    trusted: &BTreeMap<String, String>,
) -> Authorities {
    let mut by_id: BTreeMap<ChannelId, Vec<String>> = BTreeMap::new();
    for certificate in trusted.values().flat_map(|text| certificates(text).unwrap_or_default()) {
        if let Some(id) = pki::authority::channel_of(&certificate) {
            by_id.entry(id).or_default().push(encode(&certificate));
        }
    }
    let known = |peer: &ChannelRef| {
        let uid = ctx.cluster.read(|world| Some(world.namespaces.get(&peer.namespace)?.uid.clone()))?;
        let id = ChannelId::mint(&uid, &peer.name);
        let record = vault.channel_records.last_known(&id).map(|record| record.authority.trusted());
        Some((peer.clone(), record.or_else(|| by_id.get(&id).cloned())?))
    };
    open_peers(plan).into_iter().filter_map(known).collect()
}

fn open_peers(plan: &Plan) -> BTreeSet<&ChannelRef> {
    plan.open_channels(Direction::Ingress).chain(plan.open_channels(Direction::Egress)).collect()
}

async fn record_of(
    ctx: &Context,
    vault: &DomainVault,
    peer: &ChannelRef,
) -> Result<Option<ChannelRecord>, Fault> {
    let uid = ctx.cluster.read(|world| Some(world.namespaces.get(&peer.namespace)?.uid.clone()));
    let Some(uid) = uid else { return Ok(None) };
    let id = ChannelId::mint(&uid, &peer.name);
    let record = vault.channel_records.get(&id).await.map_err(|error| vault.fault(&error))?.record;
    let lost = record.is_none().then(|| ctx.cluster.read(|world| store::lost(peer, &id, world))).flatten();
    lost.map_or(Ok(record), Err)
}

impl Work<'_> {
    /// Asks again for the peers that had no authority. Returns whether one has it now.
    pub(super) async fn learn(&self, authorities: &mut Authorities) -> bool {
        let mut learned = false;
        for (peer, known) in authorities.iter_mut().filter(|(_, known)| known.is_empty()) {
            // A peer that cannot be read waits for the next reconcile.
            if let Ok(Some(record)) = record_of(self.ctx, self.vault, peer).await {
                *known = record.authority.trusted();
                learned |= !known.is_empty();
            }
        }
        learned
    }

    /// The trust files for `connections` and for those of `extra` in force. An unreadable bundle is left out and
    /// logged, which only reduces trust.
    pub(super) fn trust<'c>(
        &self,
        connections: impl IntoIterator<Item = &'c Connection>,
        extra: impl IntoIterator<Item = &'c JudgedExtraTrust>,
        authorities: &Authorities,
    ) -> TrustFiles {
        self.trust_and_problems(connections, extra, authorities).0
    }

    /// The same, with what was left out.
    pub(super) fn trust_and_problems<'c>(
        &self,
        connections: impl IntoIterator<Item = &'c Connection>,
        extra: impl IntoIterator<Item = &'c JudgedExtraTrust>,
        authorities: &Authorities,
    ) -> (TrustFiles, Vec<TrustProblem>) {
        let sources = self.ctx.cluster.read(|world| {
            trust_sources::sources(self.channel, connections, extra, authorities, world, self.now)
        });
        let (files, problems) = trust_files(&sources);
        for problem in &problems {
            tracing::warn!(channel = %self.name(), %problem, "a certificate authority is left out");
        }
        (files, problems)
    }

    /// The state of the peers that must trust this authority. Only read while a generation is introduced or names are
    /// pending.
    ///
    /// # Errors
    /// When a peer's record cannot be read.
    pub(super) async fn peers(&self, record: &ChannelRecord) -> Result<BTreeMap<String, PeerFacts>, Fault> {
        let mut facts = BTreeMap::new();
        let signing = record.authority.signing();
        let waits = signing.is_some_and(|signing| self.plan.leaf.lacks_names(&signing.permitted_dns));
        for peer in open_peers(self.plan) {
            let mut known = PeerFacts::default();
            let published = record.authority.published();
            if published.is_some() || waits {
                let theirs = record_of(self.ctx, self.vault, peer).await?;
                known.leaves = Leaves::of(theirs.and_then(|record| record.authority.leaves_until()));
                if let Some(secret) = self.external_secret(peer) {
                    let until = external::external_until(self.ctx, peer, &secret).await;
                    known.leaves = known.leaves.and_external(until);
                }
            }
            if published.is_some() {
                known.holds = self.held(peer, &record.authority).await;
            }
            facts.insert(peer.to_string(), known);
        }
        Ok(facts)
    }

    /// The Secret with the certificate of the peer's pods, where another issuer writes it.
    fn external_secret(&self, peer: &ChannelRef) -> Option<String> {
        let cluster = &self.ctx.cluster;
        cluster.read(|world| world.channel(peer)?.external_secret().map(str::to_owned))
    }

    /// Wakes the peers that must trust this authority: its certificate changed, which no status shows.
    pub(super) fn wake_peers(&self) {
        for peer in open_peers(self.plan) {
            self.ctx.wake(Subject::of::<Channel>(peer.clone()));
        }
    }

    /// The generations of our authority that the peer's Secret has in the files for the open directions.
    async fn held(&self, peer: &ChannelRef, authority: &Generations) -> BTreeSet<u32> {
        let name = self.ctx.cluster.read(|world| world.channel(peer).map(secrets::secret_name));
        let Some(name) = name else { return BTreeSet::new() };
        let api: Api<Secret> = objects::namespaced(&self.ctx.client, &peer.namespace);
        let Ok(Some(secret)) = api.get_opt(&name).await else { return BTreeSet::new() };
        let ObservedSecret::Present(found) = certificate::observe(&secret, &[]) else {
            return BTreeSet::new();
        };
        let open = |direction| self.plan.open_channels(direction).any(|name| name == peer);
        // A peer that connects here trusts us as a server, and a peer that we connect to trusts us as a client.
        let files = [(Direction::Ingress, SERVERS_FILE), (Direction::Egress, CLIENTS_FILE)];
        let files: Vec<_> =
            files.into_iter().filter(|(direction, _)| open(*direction)).map(|(_, file)| file).collect();
        held_versions(&found.trust, &files, authority)
    }
}
