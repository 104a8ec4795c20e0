//! What someone with rights in a namespace might do to what is not theirs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::api::{DeleteParams, Patch, PatchParams};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use serde_json::{Map, Value, json};

use crate::world::World;

/// A certificate authority nobody declared, and a leaf of it that claims to be a Channel.
pub struct Impostor {
    pub authority: String,
    /// Leaf, then chain, as `tls.crt` has them.
    pub chain: String,
    pub key: String,
}

impl Impostor {
    /// Claims to be Channel `name` of `namespace`, with every name that it has.
    pub fn of(namespace: &str, name: &str, domain: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = subject(namespace, name, domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let names = vec![format!("{name}.{namespace}.svc"), format!("{name}.{namespace}.svc.cluster.local")];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = subject(namespace, name, domain);
        let id = format!("spiffe://{domain}/ns/{namespace}/channel/{name}");
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id).unwrap()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::hours(1);
        params.not_after = now + time::Duration::days(30);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        Self { chain: format!("{}{authority}", leaf.pem()), authority, key: key.serialize_pem() }
    }
}

fn subject(namespace: &str, name: &str, domain: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, domain);
    subject.push(DnType::OrganizationalUnitName, namespace);
    subject.push(DnType::CommonName, name);
    subject
}

impl World {
    /// Replaces or, with `None`, removes entries of a Channel's Secret.
    pub async fn tamper(&self, namespace: &str, channel: &str, entries: &[(&str, Option<&str>)]) {
        let data: Map<String, Value> = entries
            .iter()
            .map(|(name, text)| {
                ((*name).to_owned(), text.map_or(Value::Null, |text| json!(STANDARD.encode(text))))
            })
            .collect();
        let patch = Patch::Merge(json!({"data": data}));
        let name = format!("{channel}-mtls");
        self.api::<Secret>(namespace).patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub async fn delete_secret(&self, namespace: &str, name: &str) {
        self.api::<Secret>(namespace).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn delete_policy(&self, namespace: &str, name: &str) {
        self.api::<NetworkPolicy>(namespace).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Changes a policy of the operator's by a merge patch.
    pub async fn bend_policy(&self, namespace: &str, name: &str, patch: Value) {
        let api = self.api::<NetworkPolicy>(namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}
