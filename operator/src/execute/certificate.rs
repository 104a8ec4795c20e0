//! A Channel's Secret: the leaf, its private key and the trust files, written in one update.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Resource as _, ResourceExt, api::ListParams};
use secrecy::ExposeSecret as _;
use subrosa_crds::{CHANNEL_LABEL, Channel, GROUP, Reason, names::ChannelId};
use subrosa_plan::{
    certificate::{LeafSpec, ObservedSecret, TrustFiles},
    world::{certificate::Validity, declaration::Declaration, fault::Fault, objects as labels},
};

use super::{
    objects,
    signing::{self, LeafOrder},
};
use crate::{
    observe::DomainVault,
    pki::{self, AuthorityCertificate, LeafKey, Serial},
};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The type of a Secret with certificate and private key.
const TLS: &str = "kubernetes.io/tls";
/// The type of a Secret with only trust files.
const OPAQUE: &str = "Opaque";

/// An unpredictable serial (CA/Browser Forum requires 64 random bits, RFC 5280 allows 20 octets).
pub fn random_serial() -> Serial {
    Serial::from_random(rand::random())
}

/// What exists under the name of the Channel's Secret.
pub enum Slot {
    /// No Secret.
    Empty,
    /// A Secret of ours.
    Ours(Box<Secret>),
    /// A Secret of ours with exactly the wanted content; this is what parsing it would give.
    Observed(Box<ObservedSecret>),
}

impl Slot {
    /// Parses the content and checks it against the generations that match the transit key.
    pub fn observe(&self, own: &[AuthorityCertificate]) -> ObservedSecret {
        match self {
            Self::Empty => ObservedSecret::Missing,
            Self::Ours(secret) => observe(secret, own),
            Self::Observed(observed) => observed.as_ref().clone(),
        }
    }
}

/// Parses a Secret's content and checks it against the generations that match the transit key.
pub fn observe(secret: &Secret, own: &[AuthorityCertificate]) -> ObservedSecret {
    let data = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    pki::observe(Some(data), own)
}

/// The name of the Channel's existing Secret; `declared` where that one exists or none does.
pub async fn held(api: &Api<Secret>, channel: &Declaration, declared: String) -> String {
    let (name, uid) = (channel.name(), channel.uid().unwrap_or_default());
    let labelled = ListParams::default().labels(&format!("{CHANNEL_LABEL}={}", name.name));
    let found = match api.list_metadata(&labelled).await {
        Ok(found) => found.items,
        Err(error) => {
            tracing::warn!(channel = %name, %error, "its Secrets could not be listed");
            return declared;
        }
    };
    let mut names: BTreeSet<_> =
        found.iter().filter(|secret| objects::owned_by(*secret, uid)).map(ResourceExt::name_any).collect();
    if names.contains(&declared) { declared } else { names.pop_first().unwrap_or(declared) }
}

/// An issued leaf with its private key.
pub struct NewLeaf {
    chain: String,
    key: LeafKey,
}

/// Issues a leaf for a new key.
///
/// # Errors
/// When it may not be signed, or Vault refuses.
pub async fn issue(
    vault: &DomainVault,
    id: &ChannelId,
    spec: &LeafSpec,
    validity: Validity,
    serial: &Serial,
    issuer: &AuthorityCertificate,
    now: Timestamp,
) -> Result<NewLeaf, Fault> {
    let refused = |problem: String| Fault::new(Reason::CertificateRefused, problem);
    let key = LeafKey::generate(spec.key_algorithm).map_err(|problem| refused(problem.to_string()))?;
    let public = key.public_key().map_err(|problem| refused(problem.to_string()))?;
    let order = LeafOrder { spec, validity, serial, key: &public, issuer };
    let certificate = signing::leaf(vault, id, order, now).await?;
    Ok(NewLeaf { chain: certificate.chain_pem(issuer), key })
}

/// The leaf and private key to write.
pub enum Leaf<'a> {
    /// A new one, replacing whatever is in the slot.
    New(&'a NewLeaf, &'a Slot),
    /// Those in this Secret, if any.
    Kept(&'a Secret),
    /// None, in a new Secret with only trust files.
    None,
}

/// Whether Subrosa made this Secret for some Channel, whatever its name.
pub fn is_ours(secret: &Secret) -> bool {
    let of_a_channel = |owner: &OwnerReference| {
        owner.kind == Channel::kind(&()) && owner.api_version.starts_with(&format!("{GROUP}/"))
    };
    secret.owner_references().iter().any(of_a_channel)
}

/// Writes the whole Secret: leaf and private key, where it has them, and the trust files.
///
/// # Errors
/// When it belongs to somebody else, or the API server refuses.
pub async fn write(
    api: &Api<Secret>,
    channel: &Declaration,
    secret_name: &str,
    leaf: Leaf<'_>,
    trust: &TrustFiles,
) -> Result<Secret, Fault> {
    let mut data: BTreeMap<String, ByteString> = trust
        .files()
        .iter()
        .map(|(file, text)| (file.clone(), ByteString(text.clone().into_bytes())))
        .collect();
    let mut type_ = TLS;
    // A leaf that is kept is written into its own Secret only. Applied to one that was deleted meanwhile, it would make it
    // again with the same private key, and who deletes a Secret may do so because that key leaked.
    let mut only_to = None;
    let exists = match leaf {
        Leaf::New(issued, slot) => {
            data.insert(CERTIFICATE.into(), ByteString(issued.chain.clone().into_bytes()));
            data.insert(KEY.into(), ByteString(issued.key.expose_pem().expose_secret().as_bytes().to_vec()));
            !matches!(slot, Slot::Empty)
        }
        Leaf::Kept(secret) => {
            only_to.clone_from(&secret.metadata.uid);
            // The type of a Secret is immutable.
            if secret.type_.as_deref() == Some(OPAQUE) {
                type_ = OPAQUE;
            }
            for file in [CERTIFICATE, KEY].into_iter().filter(|_| type_ == TLS) {
                let found = secret.data.as_ref().and_then(|data| data.get(file));
                data.insert(file.into(), found.cloned().unwrap_or_default());
            }
            true
        }
        Leaf::None => {
            type_ = OPAQUE;
            false
        }
    };
    let (name, uid) = (channel.name(), channel.uid().unwrap_or_default());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(secret_name.to_owned()),
            namespace: Some(name.namespace.clone()),
            labels: Some(labels::channel_labels(&name.name)),
            owner_references: labels::owner(channel).map(|owner| vec![owner]),
            uid: only_to,
            ..ObjectMeta::default()
        },
        type_: Some(type_.into()),
        data: Some(data.clone()),
        ..Secret::default()
    };
    let ours = |secret: &Secret| objects::owned_by(secret, uid);
    let same = |secret: &Secret| secret.data.as_ref() == Some(&data);
    objects::put(api, &secret, exists, "/data", ours, same).await
}
