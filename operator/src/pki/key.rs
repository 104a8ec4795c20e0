//! Public keys in the formats of Vault and certificates, and the leaf's private key.

use std::fmt;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};
use secrecy::SecretString;
use subrosa_plan::world::certificate::KeyAlgorithm;
use thiserror::Error;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::{Zeroize, Zeroizing};

/// SEC 1: the first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// An ECDSA public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    point: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.algorithm)
    }
}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not the expected public key.
    #[error("the public key cannot be used: {0}; expected PEM of an ECDSA key on P-256 or P-384")]
    Public(&'static str),
    /// Not a private key of ours. Never quotes it.
    #[error("the private key cannot be used; expected PKCS #8 PEM of an ECDSA key on P-256 or P-384")]
    Private,
    /// The random number generator failed.
    #[error("no key could be generated: the system's random number generator failed")]
    Generation,
}

impl PublicKey {
    /// Parses `-----BEGIN PUBLIC KEY-----`, as Vault's transit engine shows a key version.
    ///
    /// # Errors
    /// Anything but one ECDSA key on P-256 or P-384.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::parse(text).map_err(|_| KeyError::Public("it is not PEM"))?;
        if block.tag() != "PUBLIC KEY" {
            return Err(KeyError::Public("the PEM block is not a PUBLIC KEY"));
        }
        Self::from_spki(block.contents())
    }

    /// Parses a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// Anything but one ECDSA key on P-256 or P-384.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], info)) => Self::from_parsed(&info),
            _ => Err(KeyError::Public("it is not a SubjectPublicKeyInfo")),
        }
    }

    pub(super) fn from_parsed(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Err(KeyError::Public("it is not an elliptic curve key"));
        }
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let (algorithm, length) = match curve {
            Some(curve) if curve == OID_EC_P256 => (KeyAlgorithm::EcdsaP256, 65),
            Some(curve) if curve == OID_NIST_EC_P384 => (KeyAlgorithm::EcdsaP384, 97),
            _ => return Err(KeyError::Public("its curve is not supported")),
        };
        let point = info.subject_public_key.data.to_vec();
        if point.len() != length || point.first() != Some(&UNCOMPRESSED) {
            return Err(KeyError::Public("its point is not an uncompressed one"));
        }
        Ok(Self { algorithm, spki: info.raw.to_vec(), point })
    }

    /// The key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        rcgen_algorithm(self.algorithm)
    }
}

/// A leaf's private key: generated here, written into the Secret, dropped.
///
/// The encoded key is zeroed on drop, but ring's internal form cannot be. So keep a key no longer than until its
/// Secret is written.
pub struct LeafKey(KeyPair);

impl Drop for LeafKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafKey(private)")
    }
}

impl LeafKey {
    /// Generates a key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        KeyPair::generate_for(rcgen_algorithm(algorithm)).map(Self).map_err(|_| KeyError::Generation)
    }

    /// Parses `tls.key` as written by [`LeafKey::expose_pem`].
    ///
    /// # Errors
    /// Anything but one PKCS #8 ECDSA key whose public and private half match.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let block = pem::parse(text).map_err(|_| KeyError::Private)?;
        let tag_fits = block.tag() == "PRIVATE KEY";
        let der = Zeroizing::new(block.into_contents());
        let pair = KeyPair::try_from(der.as_slice()).map(Self).map_err(|_| KeyError::Private)?;
        if tag_fits && pair.public_key().is_ok() { Ok(pair) } else { Err(KeyError::Private) }
    }

    /// The public key.
    ///
    /// # Errors
    /// Never for a key made by [`LeafKey::generate`].
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki(&self.0.subject_public_key_info())
    }

    /// The private key as PKCS #8 PEM, for `tls.key` of the Secret and nothing else.
    #[must_use]
    pub fn expose_pem(&self) -> SecretString {
        SecretString::from(self.0.serialize_pem())
    }
}

fn rcgen_algorithm(algorithm: KeyAlgorithm) -> &'static SignatureAlgorithm {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::EcdsaP384 => &PKCS_ECDSA_P384_SHA384,
    }
}
