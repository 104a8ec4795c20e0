//! One Channel, from what is seen to what is reported. The order is fixed:
//!
//! 1. observe: the ledger, the Secret;
//! 2. plan;
//! 3. **withdraw**: network policy, trust files, access; whatever else may fail later;
//! 4. note in the ledger what is about to be made and opened;
//! 5. data keys, then the authority, then the leaf (noted before it is signed);
//! 6. **grant**: access, then the network policy;
//! 7. prune what the Channel had under another name.
//!
//! A fault in one part is kept and the other parts go on; only what a part truly needs holds it up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use subrosa_crds::{
    CHANNEL_LABEL, Channel,
    names::{ChannelId, ChannelRef},
    trust_domain::Direction,
};
use subrosa_plan::{
    certificate::{
        Issuance, ObservedSecret, Reason, TrustFiles, Wanted,
        authority::PeerFacts,
        leaf::LeafSpec,
        reissue::{self, reissue_reason},
        trust_files,
    },
    channel::{self as plan, Plan, Scope},
    connection::Connection,
    fault::Fault,
    keys::{self as key_plan, ObservedKey},
    ledger::{KeyRecord, Ledger},
    network, selector,
    status::Applied,
    trust,
    world::World,
};

use super::{
    access,
    authority::{self, Authority},
    certificate::{self, Leaf, Slot, random_serial},
    keys, network as policies, objects,
};
use crate::{
    context::Context,
    observe::{DomainVault, ledgers::Entry, vaults},
    pki::AuthorityCertificate,
};

/// What became of a plan.
pub struct Outcome {
    /// The plan that was carried out.
    pub plan: Plan,
    /// How far.
    pub applied: Applied,
    /// When something falls due.
    pub wake_at: Option<Timestamp>,
    /// What people should hear of: reason and sentence.
    pub news: Vec<(&'static str, String)>,
}

/// One Channel on its way through the steps.
struct Work<'a> {
    ctx: &'a Context,
    channel: &'a Channel,
    name: &'a ChannelRef,
    vault: &'a DomainVault,
    now: Timestamp,
    secrets: Api<Secret>,
    news: Vec<(&'static str, String)>,
    wake: Vec<Timestamp>,
}

/// Plans `channel` and carries the plan out as far as it goes.
///
/// # Errors
/// When no trust domain governs the Channel.
pub async fn carry_out(
    ctx: &Context,
    channel: &Channel,
    name: &ChannelRef,
    id: &ChannelId,
    vault: Result<&DomainVault, Fault>,
    now: Timestamp,
) -> Result<Outcome, plan::Ungoverned> {
    let entry = match &vault {
        Ok(vault) => vault.ledgers.get(id).await.map_err(|error| vaults::fault(&error)),
        Err(fault) => Err(fault.clone()),
    };
    let remembered = entry.as_ref().ok().and_then(|entry| entry.ledger.as_ref());
    let plan = ctx.cluster.read(|world| plan::plan(channel, name, world, remembered, now))?;
    if !ctx.cluster.is_prepared(&name.namespace) {
        return Ok(Outcome { plan, applied: unprepared(entry), wake_at: None, news: Vec::new() });
    }
    let secrets = objects::namespaced(&ctx.client, &name.namespace);
    let narrowed = policies::narrow(ctx, channel, name, &plan).await;
    match (vault, entry) {
        (Ok(vault), Ok(entry)) => {
            let mut work =
                Work { ctx, channel, name, vault, now, secrets, news: Vec::new(), wake: Vec::new() };
            let applied = work.all(&plan, entry, narrowed).await;
            Ok(Outcome { plan, applied, wake_at: work.wake.into_iter().min(), news: work.news })
        }
        (Err(fault), _) | (_, Err(fault)) => {
            let applied = without_ledger(ctx, channel, name, &plan, fault, narrowed).await;
            Ok(Outcome { plan, applied, wake_at: None, news: Vec::new() })
        }
    }
}

/// Before the operator may write in the namespace nothing is tried: it would only be refused.
fn unprepared(entry: Result<Entry, Fault>) -> Applied {
    let fault = || Fault::new("NamespacePending", "the operator is being given its rights in this namespace");
    Applied {
        ledger: entry.and_then(|entry| entry.ledger.ok_or_else(fault)),
        certificate: Err(fault()),
        authority: Ok(()),
        keys: Ok(BTreeMap::new()),
        access: Ok(()),
        network: Err(fault()),
        default_deny: false,
    }
}

impl Work<'_> {
    async fn all(&mut self, plan: &Plan, entry: Entry, narrowed: Result<(), Fault>) -> Applied {
        let authorities = self.authorities(plan).await;
        let slot = certificate::read(&self.secrets, self.channel, self.name, plan).await;
        let withdrawn = self.withdraw(plan, &entry, &slot, &authorities).await;
        let before = entry.ledger.clone().unwrap_or_else(|| self.first_ledger(plan));
        let intent = self.intent(plan, before.clone(), withdrawn.is_ok());
        let entry = if entry.ledger.as_ref() == Some(&intent) {
            Ok(entry)
        } else {
            self.vault
                .ledgers
                .put(&plan.id, intent, entry.version)
                .await
                .map_err(|error| vaults::fault(&error))
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                return without_ledger(self.ctx, self.channel, self.name, plan, fault, narrowed).await;
            }
        };
        let version = entry.version;
        let mut ledger = entry.ledger.unwrap_or(before);

        let keys = self.keys(plan, &mut ledger).await;
        let (authority, certificate, ledger) =
            self.certificate(plan, ledger, version, slot, &authorities).await;
        let access = match (&withdrawn, &plan.access, &ledger) {
            (Err(fault), _, _) | (_, Some(_), Err(fault)) => Err(fault.clone()),
            (Ok(()), Some(access), Ok(_)) if grants(&plan.scope) => {
                access::grant(self.vault, &plan.id, access).await
            }
            (Ok(()), None, _) if !self.channel.spec.data_classes.is_empty() && grants(&plan.scope) => {
                Err(Fault::new(
                    "ServiceAccountNotFound",
                    format!(
                        "spec.workload.serviceAccountName: there is no ServiceAccount {} in namespace {}: create it",
                        self.channel.spec.workload.service_account_name.as_deref().unwrap_or_default(),
                        self.name.namespace
                    ),
                ))
            }
            _ => Ok(()),
        };
        let network = match narrowed {
            Err(fault) => Err(fault),
            Ok(()) => policies::open(self.ctx, self.channel, self.name, plan).await,
        };
        if network.is_ok() && certificate.is_ok() {
            self.prune(plan).await;
        }
        let default_deny = self.ctx.cluster.read(|world| denies(world, &self.name.namespace));
        Applied { ledger, certificate, authority, keys, access, network, default_deny }
    }

    /// The CA certificates of the Channels with which connections are open, from their ledgers.
    async fn authorities(&self, plan: &Plan) -> BTreeMap<ChannelRef, Vec<String>> {
        let peers: BTreeSet<&ChannelRef> =
            plan.open_channels(Direction::Ingress).chain(plan.open_channels(Direction::Egress)).collect();
        let mut found = BTreeMap::new();
        for peer in peers {
            if let Some(ledger) = self.ledger_of(peer).await {
                found.insert(peer.clone(), ledger.authority.trusted());
            }
        }
        found
    }

    async fn ledger_of(&self, peer: &ChannelRef) -> Option<Ledger> {
        let uid = self.ctx.cluster.read(|world| Some(world.namespaces.get(&peer.namespace)?.uid.clone()))?;
        let entry = self.vault.ledgers.get(&ChannelId::mint(&uid, &peer.name)).await;
        entry.map_err(|error| tracing::warn!(%peer, %error, "a peer's ledger cannot be read")).ok()?.ledger
    }

    fn trust(
        &self,
        connections: &[&Connection],
        authorities: &BTreeMap<ChannelRef, Vec<String>>,
    ) -> TrustFiles {
        let sources = self
            .ctx
            .cluster
            .read(|world| trust::sources(self.channel, connections.iter().copied(), authorities, world));
        let (files, problems) = trust_files(&sources);
        for problem in problems {
            tracing::warn!(channel = %self.name, %problem, "a certificate authority is left out");
        }
        files
    }

    /// Takes away trust and access that should not be any more.
    async fn withdraw(
        &mut self,
        plan: &Plan,
        entry: &Entry,
        slot: &Result<Slot, Fault>,
        authorities: &BTreeMap<ChannelRef, Vec<String>>,
    ) -> Result<(), Fault> {
        let Some(ledger) = &entry.ledger else { return Ok(()) };
        let trusted = self.withdraw_trust(plan, ledger, slot, authorities).await;
        let gone = ledger.access.as_ref().filter(|had| {
            plan.access.as_ref().is_none_or(|wanted| wanted.service_account_uid != had.service_account_uid)
                && !matches!(plan.scope, Scope::Stalled(_))
        });
        if let Some(had) = gone {
            access::withdraw(self.vault, &plan.id, had).await?;
            self.news.push((
                "AccessWithdrawn",
                format!("ServiceAccount UID {} has no access any more", had.service_account_uid),
            ));
        }
        trusted
    }

    async fn withdraw_trust(
        &mut self,
        plan: &Plan,
        ledger: &Ledger,
        slot: &Result<Slot, Fault>,
        authorities: &BTreeMap<ChannelRef, Vec<String>>,
    ) -> Result<(), Fault> {
        let Ok(Slot::Ours(secret)) = slot else { return Ok(()) };
        let everything = self.trust(&plan.connections.iter().collect::<Vec<_>>(), authorities);
        let found = match Slot::Ours(secret.clone()).observe(&[]) {
            ObservedSecret::Present(facts) => facts.trust,
            ObservedSecret::Missing => return Ok(()),
        };
        if !trust::exceeds(&found, everything.files()) {
            return Ok(());
        }
        let kept: Vec<_> =
            plan.connections.iter().filter(|connection| ledger.open.contains(&connection.key())).collect();
        let kept = self.trust(&kept, authorities);
        certificate::write(&self.secrets, self.channel, self.name, plan, Leaf::Kept(secret), &kept).await?;
        self.news.push(("TrustWithdrawn", "a certificate authority left the trust files".into()));
        Ok(())
    }

    fn first_ledger(&self, plan: &Plan) -> Ledger {
        let uid = self
            .ctx
            .cluster
            .read(|world| world.namespaces.get(&self.name.namespace).map(|facts| facts.uid.clone()));
        let domain = plan.domain.metadata.name.as_deref().unwrap_or_default();
        Ledger::new(self.name.clone(), uid.as_deref().unwrap_or_default(), domain)
    }

    /// The ledger as it must be before anything is made or opened.
    fn intent(&mut self, plan: &Plan, before: Ledger, withdrawn: bool) -> Ledger {
        let mut ledger = plan.remember(before, self.now);
        self.settle_closing(plan, &mut ledger);
        if plan.footing.is_some() {
            for key in &plan.keys {
                ledger
                    .keys
                    .entry(key.class.clone())
                    .or_default()
                    .entry(key.cohort.to_string())
                    .or_default()
                    .closed = false;
            }
            // What could not be withdrawn must not be forgotten.
            if withdrawn || ledger.access.is_none() {
                ledger.access.clone_from(&plan.access);
            }
        }
        ledger
    }

    /// Withdrawn connections of which nothing can still run are closed: every pod started later, or the
    /// certificate that was in use has been replaced since.
    fn settle_closing(&mut self, plan: &Plan, ledger: &mut Ledger) {
        let workload = &self.channel.spec.workload.selector;
        let oldest = self.ctx.cluster.read(|world| {
            world
                .running_pods(&self.name.namespace)
                .filter(|(_, pod)| selector::matches(workload, &pod.labels))
                .map(|(_, pod)| pod.started.unwrap_or(Timestamp::MIN))
                .min()
        });
        let now = self.now;
        let (closed, still): (Vec<_>, Vec<_>) =
            std::mem::take(&mut ledger.closing).into_iter().partition(|one| {
                oldest.is_none_or(|oldest| oldest > one.since) || now > later(one.since, plan.leaf.duration)
            });
        for one in closed {
            self.news.push((
                "ConnectionClosed",
                format!("{} {} with {}", one.key.direction.as_str(), one.key.name, one.key.other),
            ));
        }
        self.wake.extend(still.iter().map(|one| later(one.since, plan.leaf.duration)));
        ledger.closing = still;
    }

    async fn keys(
        &mut self,
        plan: &Plan,
        ledger: &mut Ledger,
    ) -> Result<BTreeMap<String, ObservedKey>, Fault> {
        if plan.footing.is_none() {
            return Ok(BTreeMap::new());
        }
        let found = keys::carry_out(self.vault, &plan.keys, ledger, self.now).await?;
        for key in &plan.keys {
            let Some(seen) = found.get(&key.name) else { continue };
            let record =
                ledger.keys.entry(key.class.clone()).or_default().entry(key.cohort.to_string()).or_default();
            record.versions.extend(seen.versions.iter().map(|(number, at)| (*number, *at)));
            if let Some(next) = key_plan::next_rotation(key, seen) {
                self.wake.push(later(next, key_plan::ROTATION_SLACK));
            }
        }
        let ended = key_plan::to_close(ledger, &plan.keys);
        keys::close(self.vault, &ended).await?;
        for record in ledger.keys.iter_mut().flat_map(|(class, cohorts)| {
            let id = &plan.id;
            let ended = &ended;
            cohorts
                .iter_mut()
                .filter(move |(cohort, _)| ended.contains(&id.data_key(class, cohort)))
                .map(|(_, record)| record)
        }) {
            close(record);
        }
        Ok(found)
    }

    /// The authority and the leaf; returns the ledger as it stands after both.
    async fn certificate(
        &mut self,
        plan: &Plan,
        ledger: Ledger,
        version: u64,
        slot: Result<Slot, Fault>,
        authorities: &BTreeMap<ChannelRef, Vec<String>>,
    ) -> (Result<(), Fault>, Result<subrosa_plan::certificate::LeafFacts, Fault>, Result<Ledger, Fault>) {
        let peers = self.peers(plan, &ledger).await;
        let authority = authority::carry_out(
            self.vault,
            &plan.id,
            &plan.authority,
            ledger.authority.clone(),
            peers,
            self.now,
        )
        .await;
        let (blocked, authority) = match authority {
            Ok(authority) => (Ok(()), authority),
            // A blocked authority still has what it had: its leaf stays observed.
            Err(fault) => {
                let usable =
                    authority::usable(self.vault, &plan.id, &plan.authority, &ledger.authority).await;
                let generations = ledger.authority.clone();
                let usable = usable.unwrap_or_default();
                (Err(fault), Authority { generations, usable, wake_at: None, news: Vec::new() })
            }
        };
        self.wake.extend(authority.wake_at);
        self.news.extend(authority.news.iter().map(|news| ("Authority", news.clone())));
        let wanted = Ledger { authority: authority.generations.clone(), ..ledger };
        let slot = match slot {
            Ok(slot) => slot,
            Err(fault) => {
                return (blocked, Err(fault), self.commit(plan, wanted, version).await.map(|entry| entry.0));
            }
        };
        self.leaf(plan, wanted, version, slot, &authority, authorities, blocked).await
    }

    #[allow(clippy::too_many_arguments, reason = "one step of the pipeline, called from one place")]
    async fn leaf(
        &mut self,
        plan: &Plan,
        mut ledger: Ledger,
        version: u64,
        slot: Slot,
        authority: &Authority,
        authorities: &BTreeMap<ChannelRef, Vec<String>>,
        blocked: Result<(), Fault>,
    ) -> (Result<(), Fault>, Result<subrosa_plan::certificate::LeafFacts, Fault>, Result<Ledger, Fault>) {
        let observed = slot.observe(&authority.usable);
        let files = self.trust(&plan.connections.iter().collect::<Vec<_>>(), authorities);
        let signing = ledger.authority.signing().cloned();
        let issuer = signing.as_ref().and_then(|signing| {
            authority.usable.iter().find(|certificate| certificate.version() == signing.version)
        });
        let spec = issuer
            .map_or_else(|| plan.leaf.clone(), |issuer| plan.leaf.permitted_by(issuer.permitted_dns()).0);
        let reason = reissue_reason(
            &observed,
            Wanted { spec: &spec, generations: &ledger.authority, trust: &files },
            self.now,
        );
        let issuance = match (&reason, issuer, &blocked) {
            (Some(reason), Some(issuer), Ok(())) if reason.needs_new_leaf() => {
                match self.admit(&mut ledger, reason, &observed, &spec, issuer) {
                    Ok(noted) => Some(Ok((noted, issuer))),
                    Err(fault) => Some(Err(fault)),
                }
            }
            _ => None,
        };
        let ledger = match self.commit(plan, ledger, version).await {
            Ok((ledger, _)) => ledger,
            Err(fault) => return (blocked, Err(fault.clone()), Err(fault)),
        };
        let written = match (issuance, &slot, &reason) {
            (Some(Ok(((serial, validity), issuer))), _, Some(reason)) => {
                let issued =
                    certificate::issue(self.vault, plan, &spec, validity, &serial, issuer, self.now).await;
                match issued {
                    Ok(issued) => {
                        if !matches!(reason, Reason::Missing) {
                            self.news.push(("CertificateIssued", format!("{}: {reason}", reason.name())));
                        }
                        let leaf = Leaf::New(&issued, &slot);
                        Some(
                            certificate::write(&self.secrets, self.channel, self.name, plan, leaf, &files)
                                .await,
                        )
                    }
                    Err(fault) => return (blocked, Err(fault), Ok(ledger)),
                }
            }
            (limited, Slot::Ours(secret), _) => {
                let changed = reissue::trust_changed(&observed, &files);
                let rewritten = match changed {
                    Some(_) => {
                        let leaf = Leaf::Kept(secret);
                        certificate::write(&self.secrets, self.channel, self.name, plan, leaf, &files)
                            .await
                            .map(Some)
                    }
                    None => Ok(None),
                };
                match (rewritten, limited) {
                    (Err(fault), _) | (Ok(_), Some(Err(fault))) => return (blocked, Err(fault), Ok(ledger)),
                    (Ok(written), _) => written.map(Ok),
                }
            }
            (Some(Err(fault)), Slot::Empty, _) => return (blocked, Err(fault), Ok(ledger)),
            _ => None,
        };
        let after = match written {
            Some(Ok(secret)) => Slot::Ours(Box::new(secret)).observe(&authority.usable),
            Some(Err(fault)) => return (blocked, Err(fault), Ok(ledger)),
            None => observed,
        };
        // What counts is what is there now, judged as if it were found.
        let still = reissue_reason(
            &after,
            Wanted { spec: &spec, generations: &ledger.authority, trust: &files },
            self.now,
        );
        let certificate = match (still, after.leaf()) {
            (None, Some(leaf)) => {
                self.wake.push(reissue::renewal(leaf, &spec));
                Ok(leaf.clone())
            }
            (Some(reason), _) => {
                Err(Fault::new("CertificateNotReady", format!("{}: {reason}", reason.name())))
            }
            (None, None) => {
                Err(Fault::new("CertificateNotReady", "the Secret holds no readable certificate"))
            }
        };
        (blocked, certificate, Ok(ledger))
    }

    /// Notes an issuance, if one more is allowed now.
    fn admit(
        &self,
        ledger: &mut Ledger,
        reason: &Reason,
        observed: &ObservedSecret,
        spec: &LeafSpec,
        issuer: &AuthorityCertificate,
    ) -> Result<(crate::pki::Serial, subrosa_plan::certificate::Validity), Fault> {
        ledger
            .issuances
            .admit(reason, observed.serial(), self.now)
            .map_err(|limited| Fault::new("IssuanceLimited", limited.to_string()))?;
        spec.validate().map_err(|problem| Fault::new("CertificateRefused", problem.to_string()))?;
        let validity = spec
            .validity(self.now, issuer.validity())
            .map_err(|problem| Fault::new("AuthorityNotValid", problem.to_string()))?;
        let serial = random_serial();
        let issuance = Issuance { serial: serial.hex(), at: self.now, reason: reason.name().to_owned() };
        ledger.issuances = std::mem::take(&mut ledger.issuances).noted(issuance);
        ledger.authority =
            std::mem::take(&mut ledger.authority).with_leaf(issuer.version(), validity.not_after);
        Ok((serial, validity))
    }

    /// Writes the ledger where it says something new.
    async fn commit(&self, plan: &Plan, ledger: Ledger, version: u64) -> Result<(Ledger, u64), Fault> {
        let fault = |error| vaults::fault(&error);
        let known = self.vault.ledgers.get(&plan.id).await.map_err(fault)?;
        if known.version == version && known.ledger.as_ref() == Some(&ledger) {
            return Ok((ledger, version));
        }
        let entry = self.vault.ledgers.put(&plan.id, ledger.clone(), version).await.map_err(fault)?;
        Ok((ledger, entry.version))
    }

    /// What is known of the peers that are to trust this authority; asked only while one is introduced.
    async fn peers(&self, plan: &Plan, ledger: &Ledger) -> BTreeMap<String, PeerFacts> {
        let mut facts = BTreeMap::new();
        let names: BTreeSet<&ChannelRef> =
            plan.open_channels(Direction::Ingress).chain(plan.open_channels(Direction::Egress)).collect();
        let published = ledger.authority.published();
        for peer in names {
            let mut known = PeerFacts::default();
            if let Some(published) = published {
                known.leaves_until =
                    self.ledger_of(peer).await.and_then(|ledger| ledger.authority.leaves_until());
                if self.holds(plan, peer, &published.certificate_pem).await {
                    known.holds.insert(published.version);
                }
            }
            facts.insert(peer.to_string(), known);
        }
        facts
    }

    /// Whether the peer's Secret has our certificate in the files of the directions that are open.
    async fn holds(&self, plan: &Plan, peer: &ChannelRef, certificate: &str) -> bool {
        let secret_name = self.ctx.cluster.read(|world| {
            world.channel(peer).map(|channel| subrosa_plan::validity::secret_name(channel, &peer.name))
        });
        let Some(secret_name) = secret_name else { return false };
        let api: Api<Secret> = objects::namespaced(&self.ctx.client, &peer.namespace);
        let Ok(Some(secret)) = api.get_opt(&secret_name).await else { return false };
        let in_file = |file: &str| {
            secret
                .data
                .as_ref()
                .and_then(|data| data.get(file))
                .is_some_and(|found| String::from_utf8_lossy(&found.0).contains(certificate.trim()))
        };
        let ingress = plan.open_channels(Direction::Ingress).any(|name| name == peer);
        let egress = plan.open_channels(Direction::Egress).any(|name| name == peer);
        // Who connects here trusts us as a server, and whom we connect to trusts us as a client.
        (!ingress || in_file("servers-ca.crt")) && (!egress || in_file("clients-ca.crt"))
    }

    /// Removes what this Channel owns under names it does not use any more.
    async fn prune(&self, plan: &Plan) {
        let Some(uid) = self.channel.metadata.uid.as_deref() else { return };
        // Only a changed secretName leaves one behind, and that is a new generation of the Channel.
        let observed = self.channel.status.as_ref().and_then(|status| status.certificate.as_ref());
        if observed.is_none_or(|before| before.secret_name == plan.secret_name) {
            return;
        }
        let selected = ListParams::default().labels(&format!("{CHANNEL_LABEL}={}", self.name.name));
        let Ok(secrets) = self.secrets.list_metadata(&selected).await else { return };
        for secret in secrets.items {
            let name = secret.name_any();
            if name != plan.secret_name && objects::owned_by(&secret, uid) {
                if let Err(error) = self.secrets.delete(&name, &kube::api::DeleteParams::default()).await {
                    tracing::warn!(channel = %self.name, secret = name, %error, "an unused Secret could not be removed");
                }
            }
        }
    }
}

/// Without the ledger nothing may be made or opened: what was known before is not known.
async fn without_ledger(
    ctx: &Context,
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    fault: Fault,
    narrowed: Result<(), Fault>,
) -> Applied {
    // A first policy that opens nothing need not wait for Vault: it only closes.
    let network = match narrowed {
        Err(fault) => Err(fault),
        Ok(()) if ctx.cluster.read(|world| has_policy(world, name)) => Ok(true),
        Ok(()) => {
            let closed = Plan { policy: closed(plan), ..plan.clone() };
            policies::open(ctx, channel, name, &closed).await
        }
    };
    Applied {
        certificate: Err(fault.clone()),
        authority: Err(fault.clone()),
        keys: Err(fault.clone()),
        access: Err(fault.clone()),
        ledger: Err(fault),
        network,
        default_deny: ctx.cluster.read(|world| denies(world, &name.namespace)),
    }
}

/// Where access may be given.
fn grants(scope: &Scope) -> bool {
    matches!(scope, Scope::Full | Scope::Audit)
}

fn close(record: &mut KeyRecord) {
    record.closed = true;
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn has_policy(world: &World, name: &ChannelRef) -> bool {
    world
        .network_policies
        .get(&name.namespace)
        .is_some_and(|policies| policies.contains_key(&network::policy_name(&name.name)))
}

fn denies(world: &World, namespace: &str) -> bool {
    let policy: Option<Arc<_>> = world
        .network_policies
        .get(namespace)
        .and_then(|policies| policies.get(network::DEFAULT_DENY))
        .cloned();
    let wanted = network::default_deny(namespace, "").spec.unwrap_or_default();
    policy.is_some_and(|policy| policy.spec.as_ref().is_some_and(|spec| network::same(spec, &wanted)))
}

/// The plan's policy with every connection taken out: what may be written when nothing is known.
fn closed(plan: &Plan) -> k8s_openapi::api::networking::v1::NetworkPolicy {
    let mut policy = plan.policy.clone();
    if let Some(spec) = &mut policy.spec {
        spec.ingress = Some(Vec::new());
        spec.egress = Some(Vec::new());
    }
    policy
}
