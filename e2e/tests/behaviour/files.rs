//! The files that a workload mounts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

/// The data of a Secret as text.
pub struct Files(pub BTreeMap<String, String>);

impl Files {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The certificate of the authority that signed the leaf: what peers trust.
    pub fn authority(&self) -> &str {
        let chain = self.get("tls.crt");
        let second = chain.match_indices("-----BEGIN CERTIFICATE-----").nth(1).expect("a chain").0;
        chain[second..].trim()
    }

    /// The files that hold this certificate.
    pub fn trusting(&self, certificate: &str) -> Vec<&str> {
        let files = self.0.iter().filter(|(name, _)| name.ends_with("ca.crt"));
        files.filter(|(_, text)| text.contains(certificate)).map(|(name, _)| name.as_str()).collect()
    }

    /// What may be printed.
    pub fn without_key(&self) -> BTreeMap<&String, &String> {
        self.0.iter().filter(|(name, _)| *name != "tls.key").collect()
    }
}

/// The files of a Secret.
pub fn files(secret: &Secret) -> Files {
    let data = secret.data.clone().unwrap_or_default();
    Files(data.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes.0).unwrap())).collect())
}
