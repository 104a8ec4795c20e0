//! A Channel's certificate authority: carried from step to step until nothing is left to do now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelId};
use subrosa_plan::{
    certificate::{
        AuthorityAction, AuthorityFacts, AuthoritySpec, LeafSpec,
        authority::{PeerFacts, PendingName, TransitKey as KeyState, needed, pending_names, step},
    },
    record::generations::{Generations, NewCertificate},
    world::fault::Fault,
};

use super::{certificate::random_serial, signing};
use crate::{
    observe::{DomainVault, vaults},
    pki::{self, AuthorityCertificate, PublicKey, authority::check_generation},
};
use subrosa_records::vault::{TransitKeyName, transit::KeyType, transit::TransitKey};

/// How many steps one reconcile takes at the most. Each is in the record, so the next reconcile goes on
/// from there.
const MOST_STEPS: usize = 8;

/// An authority after its steps.
pub struct Authority {
    /// The generations as the record should have them.
    pub generations: Generations,
    /// Those whose certificate fits the transit key.
    pub usable: Vec<AuthorityCertificate>,
    /// When time alone makes a next step possible.
    pub wake_at: Option<Timestamp>,
    /// What people should hear of.
    pub news: Vec<String>,
    /// Names of the leaf that only another generation may sign; nothing where that is not known.
    pub pending: Option<Vec<PendingName>>,
}

/// The generations that fit the transit key, without changing anything.
///
/// # Errors
/// When Vault does not say.
pub async fn usable(
    vault: &DomainVault,
    id: &ChannelId,
    spec: &AuthoritySpec,
    generations: &Generations,
) -> Result<Vec<AuthorityCertificate>, Fault> {
    if generations.is_empty() {
        return Ok(Vec::new());
    }
    let name = vaults::key_name(&id.authority_key())?;
    let key = vault.key(&name).await.map_err(|error| vaults::fault(&error))?;
    Ok(key.map(|key| fitting(generations, spec, &key)).unwrap_or_default())
}

/// Takes the authority as far as it can go now.
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
    let name = vaults::key_name(&id.authority_key())?;
    let fault = |error| vaults::fault(&error);
    let mut key = if generations.is_empty() { None } else { vault.key(&name).await.map_err(fault)? };
    let mut news = Vec::new();
    for _ in 0..MOST_STEPS {
        let usable = key.as_ref().map(|key| fitting(&generations, spec, key)).unwrap_or_default();
        let fit: BTreeSet<u32> = usable.iter().map(AuthorityCertificate::version).collect();
        let facts = AuthorityFacts {
            key: key
                .as_ref()
                .map_or(KeyState::Absent, |key| KeyState::Present { latest: key.latest_version }),
            unusable: generations
                .iter()
                .map(|one| one.version)
                .filter(|version| !fit.contains(version))
                .collect(),
            peers: peers.clone(),
            needed: needed(leaf),
        };
        match step(&generations, spec, &facts, now) {
            AuthorityAction::CreateFirst => {
                let made = vault.transit.create_key(&name, KeyType::EcdsaP256, None).await.map_err(fault)?;
                vault.remember_key(&name, &made);
                key = Some(made);
            }
            AuthorityAction::RotateKey => {
                let latest = key.as_ref().map(|key| key.latest_version).unwrap_or_default();
                let made = vault.transit.rotate(&name, latest).await.map_err(fault)?;
                vault.remember_key(&name, &made);
                news.push(format!("version {} of the authority's key was made", made.latest_version));
                key = Some(made);
            }
            AuthorityAction::SignCertificate { version } => {
                let public = public_key(key.as_ref(), version, &name)?;
                let signed = self_signed(vault, &name, spec, version, &public, now).await?;
                generations = generations.with_certificate(signed);
                // What they hold is the certificate before.
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
    let usable = key.as_ref().map(|key| fitting(&generations, spec, key)).unwrap_or_default();
    Ok(Authority { generations, usable, wake_at: Some(now), news, pending: None })
}

/// The generations whose certificate is what it should be for its version of the key.
fn fitting(generations: &Generations, spec: &AuthoritySpec, key: &TransitKey) -> Vec<AuthorityCertificate> {
    generations
        .iter()
        .filter_map(|generation| {
            let pem = key.versions.get(&generation.version)?.public_key_pem.as_deref()?;
            let public = PublicKey::from_pem(pem).ok()?;
            match check_generation(generation, spec, &public) {
                Ok(certificate) => Some(certificate),
                Err(problem) => {
                    tracing::warn!(%problem, "a CA certificate in the record is not used");
                    None
                }
            }
        })
        .collect()
}

fn public_key(key: Option<&TransitKey>, version: u32, name: &TransitKeyName) -> Result<PublicKey, Fault> {
    let pem = key.and_then(|key| key.versions.get(&version)?.public_key_pem.as_deref());
    let unreadable = |problem: &str| {
        Fault::new(
            Reason::AuthorityKeyUnreadable,
            format!("version {version} of transit key {name}: {problem}"),
        )
    };
    PublicKey::from_pem(pem.ok_or_else(|| unreadable("Vault gave no public key"))?)
        .map_err(|problem| unreadable(&problem.to_string()))
}

async fn self_signed(
    vault: &DomainVault,
    name: &TransitKeyName,
    spec: &AuthoritySpec,
    version: u32,
    key: &PublicKey,
    now: Timestamp,
) -> Result<NewCertificate, Fault> {
    const REFUSED: Reason = Reason::AuthorityRefused;
    let refused = |problem: String| Fault::new(REFUSED, problem);
    let serial = random_serial();
    let unsigned = pki::prepare_authority(spec, version, key, &serial, now)
        .map_err(|problem| refused(problem.to_string()))?;
    let checked = pki::check_authority(unsigned, spec, version, key, &serial, now)
        .map_err(|problem| refused(problem.to_string()))?;
    let certificate =
        signing::sign(vault, name, version, checked).await.map_err(|error| error.fault(REFUSED))?;
    Ok(NewCertificate {
        version,
        certificate_pem: certificate.pem(),
        fingerprint: certificate.fingerprint(),
        validity: spec.validity(now),
        permitted_dns: spec.permitted_dns.clone(),
        published_at: now,
    })
}
