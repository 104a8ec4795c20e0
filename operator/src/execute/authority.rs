//! A Channel's certificate authority: takes every step that is possible now.

mod keys;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelId};
use subrosa_plan::{
    certificate::{
        AuthorityAction, AuthorityFacts, AuthoritySpec, LeafSpec,
        authority::{PeerFacts, PendingName, keys::AuthorityKey, needed, pending_names, step},
    },
    record::generations::{Generations, NewCertificate},
    world::fault::Fault,
};

use super::{certificate::random_serial, signing};
use crate::{
    observe::DomainVault,
    pki::{self, AuthorityCertificate, PublicKey},
};

use keys::Keys;

/// The most steps in one reconcile. Each is recorded, so the next reconcile continues.
const MOST_STEPS: usize = 8;

/// The authority after these steps.
pub struct Authority {
    /// The generations to write to the record.
    pub generations: Generations,
    /// The generations whose certificate matches the transit key.
    pub usable: Vec<AuthorityCertificate>,
    /// When time alone makes the next step possible.
    pub wake_at: Option<Timestamp>,
    /// The Events to send.
    pub news: Vec<String>,
    /// The names of the leaf that the signing generation may not sign; `None` where unknown.
    pub pending: Option<Vec<PendingName>>,
}

/// The generations that match the transit key. Changes nothing.
///
/// # Errors
/// When the request to Vault fails.
pub async fn usable(
    vault: &DomainVault,
    id: &ChannelId,
    spec: &AuthoritySpec,
    generations: &Generations,
) -> Result<Vec<AuthorityCertificate>, Fault> {
    Ok(Keys::read(vault, id, generations).await?.fitting(generations, spec))
}

/// Takes every step of the authority that is possible now.
///
/// # Errors
/// When Vault refuses, or Vault and the record contradict each other.
pub async fn carry_out(
    vault: &DomainVault,
    id: &ChannelId,
    spec: &AuthoritySpec,
    leaf: &LeafSpec,
    mut generations: Generations,
    mut peers: BTreeMap<String, PeerFacts>,
    now: Timestamp,
) -> Result<Authority, Fault> {
    let mut keys = Keys::read(vault, id, &generations).await?;
    let mut news = Vec::new();
    for _ in 0..MOST_STEPS {
        let usable = keys.fitting(&generations, spec);
        let fit: BTreeSet<u32> = usable.iter().map(AuthorityCertificate::version).collect();
        let facts = AuthorityFacts {
            key: keys.latest().as_generations(&generations),
            unusable: generations
                .iter()
                .map(|one| one.version)
                .filter(|version| !fit.contains(version))
                .collect(),
            without_key: keys.without(&generations),
            peers: peers.clone(),
            needed: needed(leaf),
        };
        match step(&generations, spec, &facts, now) {
            AuthorityAction::CreateFirst => {
                keys.make_next(vault, id).await?;
            }
            AuthorityAction::RotateKey => {
                let (name, version) = keys.make_next(vault, id).await?;
                news.push(format!("version {version} of the authority's key {name} was made"));
            }
            AuthorityAction::SignCertificate { version } => {
                let key = keys.latest().of(&generations, version);
                let public = keys.public(id, key)?;
                let signed = self_signed(vault, id, spec, (version, key), &public, now).await?;
                generations = generations.with_certificate(signed);
                // The peers hold the previous certificate.
                for peer in peers.values_mut() {
                    peer.holds.remove(&version);
                }
                if version > 1 {
                    news.push(format!("generation {version} of the authority is published"));
                }
            }
            AuthorityAction::NotePeers { version, loaded_by } => {
                generations = generations.with_peers(version, loaded_by);
            }
            AuthorityAction::SwitchSigning { version, laggards } => {
                generations = generations.with_signing(version);
                let forced = if laggards.is_empty() {
                    String::new()
                } else {
                    format!(
                        "; the deadline passed, and {} may not trust it yet: restart them",
                        laggards.join(", ")
                    )
                };
                news.push(format!("generation {version} of the authority signs from now on{forced}"));
            }
            AuthorityAction::Retire { version } => {
                generations = generations.without(version);
                news.push(format!("generation {version} of the authority is retired"));
            }
            AuthorityAction::Blocked(blocked) => {
                return Err(Fault::new(Reason::AuthorityBlocked, blocked.to_string()));
            }
            AuthorityAction::Nothing { wake_at } => {
                let pending = Some(pending_names(leaf, &generations, spec, &facts, now));
                return Ok(Authority { generations, usable, wake_at, news, pending });
            }
        }
    }
    let usable = keys.fitting(&generations, spec);
    Ok(Authority { generations, usable, wake_at: Some(now), news, pending: None })
}

async fn self_signed(
    vault: &DomainVault,
    id: &ChannelId,
    spec: &AuthoritySpec,
    (version, key): (u32, AuthorityKey),
    public: &PublicKey,
    now: Timestamp,
) -> Result<NewCertificate, Fault> {
    const REFUSED: Reason = Reason::AuthorityRefused;
    let refused = |problem: String| Fault::new(REFUSED, problem);
    let serial = random_serial();
    let unsigned = pki::prepare_authority(spec, version, public, &serial, now)
        .map_err(|problem| refused(problem.to_string()))?;
    let checked = pki::check_authority(unsigned, spec, version, public, &serial, now)
        .map_err(|problem| refused(problem.to_string()))?;
    let certificate = signing::sign(vault, &signing::key_of(id, key)?, checked)
        .await
        .map_err(|error| error.fault(REFUSED))?;
    Ok(NewCertificate {
        version,
        key_version: key.key_version(),
        certificate_pem: certificate.pem(),
        fingerprint: certificate.fingerprint(),
        validity: spec.validity(now),
        permitted_dns: spec.permitted_dns.clone(),
        published_at: now,
    })
}
