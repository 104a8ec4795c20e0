//! Signing: everything is checked before an authority's transit key signs it, and every signature is verified before
//! it is used.

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelId};
use subrosa_plan::{
    certificate::{LeafSpec, authority::keys::AuthorityKey},
    world::{certificate::Validity, fault::Fault},
};

use crate::{
    observe::{DomainVault, vaults},
    pki::{self, AuthorityCertificate, Certificate, Checked, PublicKey, Serial},
};
use subrosa_records::vault::TransitKeyName;

/// A leaf that is recorded and about to be signed.
pub struct LeafOrder<'a> {
    /// Its content.
    pub spec: &'a LeafSpec,
    /// Its validity.
    pub validity: Validity,
    /// Its serial.
    pub serial: &'a Serial,
    /// Its public key; the private key may be elsewhere.
    pub key: &'a PublicKey,
    /// The signing generation of the authority.
    pub issuer: &'a AuthorityCertificate,
}

/// Builds a leaf, checks it and lets the Channel's authority sign it.
///
/// # Errors
/// `CertificateRefused` when it may not be signed; else Vault's error.
pub async fn leaf(
    vault: &DomainVault,
    id: &ChannelId,
    order: LeafOrder<'_>,
    now: Timestamp,
) -> Result<Certificate, Fault> {
    const REFUSED: Reason = Reason::CertificateRefused;
    let refused = |problem: String| Fault::new(REFUSED, problem);
    let LeafOrder { spec, validity, serial, key, issuer } = order;
    let unsigned = pki::prepare_leaf(spec, validity, key, serial, issuer)
        .map_err(|problem| refused(problem.to_string()))?;
    let checked = pki::check_leaf(unsigned, spec, key, serial, issuer, now)
        .map_err(|problem| refused(problem.to_string()))?;
    let signed = sign(vault, &key_of(id, issuer.signs_with())?, checked).await;
    if matches!(signed, Err(NotSigned::Vault(_))) {
        vault.remember_unsigned(serial);
    }
    signed.map_err(|error| error.fault(REFUSED))
}

/// Why Vault gave no certificate.
pub enum NotSigned {
    /// No signature, with the fault for status.
    Vault(Fault),
    /// A signature that does not verify.
    Unverified(String),
}

impl NotSigned {
    /// The fault for status; `refused` is the reason for a signature that does not verify.
    pub fn fault(self, refused: Reason) -> Fault {
        match self {
            Self::Vault(fault) => fault,
            Self::Unverified(problem) => Fault::new(refused, problem),
        }
    }
}

/// The name and the version of an authority's key in Vault.
///
/// # Errors
/// When the name is invalid, which an identity never is.
pub fn key_of(id: &ChannelId, key: AuthorityKey) -> Result<(TransitKeyName, u32), Fault> {
    Ok(match key {
        AuthorityKey::Own(version) => (vaults::key_name(&id.authority_key())?, version),
        AuthorityKey::Earlier(version) => (vaults::key_name(&id.earlier_authority_key())?, version),
    })
}

/// Signs checked bytes with a version of a transit key.
///
/// # Errors
/// When there is no signature, or one that does not verify.
pub async fn sign(
    vault: &DomainVault,
    (name, version): &(TransitKeyName, u32),
    checked: Checked,
) -> Result<Certificate, NotSigned> {
    let signature = vault.engine(name).sign(name, *version, checked.to_be_signed()).await;
    let signature = signature.map_err(|error| NotSigned::Vault(vaults::fault(&error)))?;
    checked.finish(&signature).map_err(|problem| NotSigned::Unverified(problem.to_string()))
}
