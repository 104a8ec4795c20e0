//! Real certificates, judged by OpenSSL and rustls as well as by our own parser.

mod building;
mod checking;
mod external;
mod handshake;
mod observing;
mod peers;
mod requests;
mod rotation;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use secrecy::ExposeSecret;
use subrosa_plan::record::generations::NewCertificate;
use subrosa_plan::{
    certificate::{AuthoritySpec, LeafSpec},
    record::generations::Generations,
    world::{
        certificate::{KeyAlgorithm, Validity},
        pem,
    },
};

use super::authority::check_generation;
use super::*;

/// The data of a Secret.
type Data = BTreeMap<String, Vec<u8>>;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn days(days: i32) -> SignedDuration {
    DAY.saturating_mul(days)
}

fn serial() -> Serial {
    Serial::from_random(rand::random())
}

/// Stands in for Vault's transit engine: key versions that sign and are never given away.
struct Transit(Vec<KeyPair>);

impl Transit {
    fn new() -> Self {
        let mut transit = Self(Vec::new());
        transit.rotate();
        transit
    }

    fn latest(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    fn rotate(&mut self) {
        self.0.push(KeyPair::generate().unwrap());
    }

    fn version(&self, version: u32) -> &KeyPair {
        &self.0[version as usize - 1]
    }

    /// As Vault shows it.
    fn public_key_pem(&self, version: u32) -> String {
        let spki = self.version(version).subject_public_key_info();
        ::pem::encode(&::pem::Pem::new("PUBLIC KEY", spki))
    }

    fn public_key(&self, version: u32) -> PublicKey {
        PublicKey::from_pem(&self.public_key_pem(version)).unwrap()
    }

    fn sign(&self, version: u32, message: &[u8]) -> Vec<u8> {
        self.version(version).sign(message).unwrap()
    }
}

/// A channel with its authority.
struct Party {
    transit: Transit,
    authority: AuthoritySpec,
    spec: LeafSpec,
    generations: Generations,
}

impl Party {
    fn new(name: &str) -> Self {
        let authority = AuthoritySpec {
            trust_domain: "oosterlinde".into(),
            namespace: "cc-front".into(),
            channel: name.into(),
            id: format!("{name:2>16}"),
            duration: days(365),
            permitted_dns: ["cc-front.svc".to_owned(), "cc-front.svc.cluster.local".to_owned()].into(),
        };
        let spec = LeafSpec {
            trust_domain: "oosterlinde".into(),
            namespace: "cc-front".into(),
            channel: name.into(),
            common_name: name.into(),
            dns_names: [
                dns(name),
                format!("*.{name}-hl.cc-front.svc"),
                format!("{name}.cc-front.svc.cluster.local"),
            ]
            .into(),
            duration: days(30),
            renew_before: days(10),
            key_algorithm: KeyAlgorithm::EcdsaP256,
            others: std::sync::Arc::default(),
            for_renewal: Default::default(),
        };
        Self { transit: Transit::new(), authority, spec, generations: Generations::default() }
    }

    /// With its first generation.
    fn with_authority(name: &str, now: Timestamp) -> Self {
        let mut party = Self::new(name);
        party.sign_generation(1, now);
        party
    }

    fn sign_generation(&mut self, version: u32, now: Timestamp) {
        let key = self.transit.public_key(version);
        let serial = serial();
        let unsigned = prepare_authority(&self.authority, version, &key, &serial, now).unwrap();
        let checked = check_authority(unsigned, &self.authority, version, &key, &serial, now).unwrap();
        let signature = self.transit.sign(version, checked.to_be_signed());
        let certificate = checked.finish(&signature).unwrap();
        self.generations = std::mem::take(&mut self.generations).with_certificate(NewCertificate {
            version,
            key_version: None,
            certificate_pem: certificate.pem(),
            fingerprint: certificate.fingerprint(),
            validity: self.authority.validity(now),
            permitted_dns: self.authority.permitted_dns.clone(),
            published_at: now,
        });
    }

    fn certificates(&self) -> Vec<AuthorityCertificate> {
        let check = |generation| {
            check_generation(generation, &self.authority, &self.transit.public_key(generation.version))
                .unwrap()
        };
        self.generations.iter().map(check).collect()
    }

    fn signer(&self) -> AuthorityCertificate {
        let version = self.generations.signing().unwrap().version;
        self.certificates().into_iter().find(|authority| authority.version() == version).unwrap()
    }

    fn validity(&self, now: Timestamp) -> Validity {
        self.spec.validity(now, self.signer().validity()).unwrap()
    }

    /// `tls.crt` and `tls.key`, made the way the operator makes them.
    fn issue(&self, now: Timestamp) -> Data {
        let signer = self.signer();
        let key = LeafKey::generate(self.spec.key_algorithm).unwrap();
        let (public, serial) = (key.public_key().unwrap(), serial());
        let unsigned = prepare_leaf(&self.spec, self.validity(now), &public, &serial, &signer).unwrap();
        let checked = check_leaf(unsigned, &self.spec, &public, &serial, &signer, now).unwrap();
        self.signed(checked, &key, &signer)
    }

    /// A leaf that our check would refuse, made by who holds the authority's key.
    fn forge(&self, spec: &LeafSpec, validity: Validity) -> Data {
        let signer = self.signer();
        let key = LeafKey::generate(spec.key_algorithm).unwrap();
        let unsigned = prepare_leaf(spec, validity, &key.public_key().unwrap(), &serial(), &signer).unwrap();
        self.signed(unsigned.unchecked(), &key, &signer)
    }

    fn signed(&self, checked: Checked, key: &LeafKey, signer: &AuthorityCertificate) -> Data {
        let signature = self.transit.sign(signer.version(), checked.to_be_signed());
        let leaf = checked.finish(&signature).unwrap();
        [
            ("tls.crt".to_owned(), leaf.chain_pem(signer).into_bytes()),
            ("tls.key".to_owned(), key.expose_pem().expose_secret().as_bytes().to_vec()),
        ]
        .into()
    }
}

fn dns(name: &str) -> String {
    format!("{name}.cc-front.svc")
}

fn entries(data: &Data) -> impl Iterator<Item = (&str, &[u8])> {
    data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
}

fn ders(data: &Data, file: &str) -> Vec<Vec<u8>> {
    pem::certificates(std::str::from_utf8(&data[file]).unwrap()).unwrap()
}
