//! The files that the servers of a control plane read.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Setting, User};
use crate::{
    directory::write_private,
    pki::{self, Authority},
};

/// The files the components read, all in the environment's directory.
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) server_ca: PathBuf,
    pub(super) cluster_ca: PathBuf,
    pub(super) cluster_ca_key: PathBuf,
    pub(super) serving_certificate: PathBuf,
    pub(super) serving_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
    pub(super) kubelet_client_certificate: PathBuf,
    pub(super) kubelet_client_key: PathBuf,
    pub(super) tokens: PathBuf,
    pub(super) audit_policy: PathBuf,
    pub(super) audit_log: PathBuf,
}

impl Files {
    /// Writes all of them, with new keys.
    pub(super) fn write(
        directory: &Path,
        servers: &Authority,
        users: &[User],
        admin: &User,
        setting: Setting,
    ) -> Result<Self> {
        let file = |name: &str, content: &str| write_private(&directory.join(name), content);
        let cluster = Authority::new("subrosa e2e cluster")?;
        let address = setting.address().to_string();
        let serving = servers.server(&[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "10.96.0.1",
            &address,
        ])?;
        let to_kubelet = cluster.client("kube-apiserver", "system:masters")?;
        let (signing_key, verifying_key) = pki::signing_key()?;
        let audit_policy = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{ "level": "Metadata" }],
        });
        Ok(Self {
            directory: directory.to_owned(),
            server_ca: file("server-ca.pem", servers.certificate_pem())?,
            cluster_ca: file("cluster-ca.pem", cluster.certificate_pem())?,
            cluster_ca_key: file("cluster-ca-key.pem", &cluster.key_pem())?,
            serving_certificate: file("apiserver.pem", &serving.certificate_pem)?,
            serving_key: file("apiserver-key.pem", &serving.key_pem)?,
            service_account_key: file("service-account-key.pem", &signing_key)?,
            service_account_public_key: file("service-account.pem", &verifying_key)?,
            kubelet_client_certificate: file("kubelet-client.pem", &to_kubelet.certificate_pem)?,
            kubelet_client_key: file("kubelet-client-key.pem", &to_kubelet.key_pem)?,
            tokens: file("tokens.csv", &token_file(users.iter().chain([admin]))?)?,
            audit_policy: file("audit-policy.json", &audit_policy.to_string())?,
            audit_log: directory.join("api-audit.log"),
        })
    }
}

/// `token,user,uid,"group,group"`, one user a line.
fn token_file<'a>(users: impl Iterator<Item = &'a User>) -> Result<String> {
    let mut text = String::new();
    for user in users {
        let fields = user.groups.iter().chain([&user.name]);
        if let Some(bad) = fields.into_iter().find(|field| field.contains(['"', ',', '\n'])) {
            bail!("user {:?}: names and groups go into a CSV file and cannot contain {bad:?}", user.name);
        }
        text.push_str(&format!("{},{},{},\"{}\"\n", user.token, user.name, user.name, user.groups.join(",")));
    }
    Ok(text)
}
