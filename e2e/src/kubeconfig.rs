//! Where a server is and how to prove who one is: client configurations and kubeconfig files.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

/// A TLS server: its URL and what to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Such as `https://127.0.0.1:34567`, without a trailing slash.
    pub url: String,
    /// The certificates to trust, PEM.
    pub ca_pem: String,
}

impl Endpoint {
    /// An HTTP client that trusts this server's CA and nothing else.
    ///
    /// Without idle connections: they die with the runtime they were opened on, and one environment
    /// may serve tests with a runtime each.
    pub fn http_client(&self) -> Result<reqwest::Client> {
        self.http_client_builder()?.pool_max_idle_per_host(0).build().context("build an HTTP client")
    }

    /// The same as a builder, for callers with wishes about pooling and time limits.
    pub fn http_client_builder(&self) -> Result<reqwest::ClientBuilder> {
        install_crypto_provider();
        let trusted = reqwest::Certificate::from_pem_bundle(self.ca_pem.as_bytes())
            .context("parse the CA certificates")?;
        Ok(reqwest::Client::builder()
            .tls_certs_only(trusted)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none()))
    }

    /// A client configuration for this API server.
    pub fn kube_config(&self, token: &str) -> Result<kube::Config> {
        install_crypto_provider();
        let mut config = kube::Config::new(self.url.parse().context("the API server's URL")?);
        let trusted: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()).collect();
        let trusted = trusted.map_err(|error| anyhow::anyhow!("parse the CA certificates: {error}"))?;
        config.root_cert = Some(trusted.into_iter().map(|certificate| certificate.to_vec()).collect());
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        Ok(config)
    }

    /// The text of a kubeconfig file (JSON, which is YAML) with one context.
    pub fn kubeconfig(&self, user: &str, token: &str) -> Result<String> {
        let cluster = json!({
            "server": self.url,
            "certificate-authority-data": STANDARD.encode(&self.ca_pem),
        });
        let file = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "e2e", "cluster": cluster }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": user } }],
            "current-context": "e2e",
        });
        serde_json::to_string_pretty(&file).context("write a kubeconfig")
    }
}

/// The configuration and the server of a kubeconfig file's current context.
pub async fn load(text: &str) -> Result<(kube::Config, Endpoint)> {
    install_crypto_provider();
    let file = Kubeconfig::from_yaml(text).context("parse the kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.context("use the kubeconfig's current context")?;
    let ca_pem = config.root_cert.iter().flatten().map(|der| pem("CERTIFICATE", der)).collect();
    let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    Ok((config, Endpoint { url, ca_pem }))
}

/// rustls needs one provider for the process; whoever comes first installs it.
pub fn install_crypto_provider() {
    // An error only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    #[tokio::test]
    async fn a_written_kubeconfig_reads_back() {
        let authority = Authority::new("test").unwrap();
        let endpoint = Endpoint {
            url: "https://127.0.0.1:1".into(),
            ca_pem: authority.certificate_pem().replace('\r', ""),
        };
        let text = endpoint.kubeconfig("alice", "t").unwrap();
        let (config, read) = load(&text).await.unwrap();
        assert_eq!(read, endpoint);
        let direct = endpoint.kube_config("t").unwrap();
        assert_eq!(direct.root_cert, config.root_cert);
    }
}
