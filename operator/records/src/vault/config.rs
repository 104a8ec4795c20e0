//! The validated settings of a connection to Vault, and the HTTP client made from them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::VaultError;
use crate::gate::{self, Gate};

/// The origin of a Vault server: scheme, host and port, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultAddress {
    origin: String,
    secure: bool,
}

impl VaultAddress {
    /// Checks an address such as `https://openbao.security.svc:8200`.
    ///
    /// `http` passes only with `allow_insecure`. The error never repeats the address, which may hold a
    /// password.
    pub fn parse(address: &str, allow_insecure: bool) -> Result<Self, VaultError> {
        let invalid = |problem: &str| VaultError::Config { field: "address", problem: problem.to_owned() };
        let uri: Uri = address.trim().parse().map_err(|_| invalid("not a URL; write https://<host>:8200"))?;
        let authority = uri.authority().ok_or_else(|| invalid("no host; write https://<host>:8200"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it holds a user name or password; write https://<host>:8200"));
        }
        if authority.host().is_empty() {
            return Err(invalid("no host; write https://<host>:8200"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it has a path or query; write only https://<host>:8200"));
        }
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_insecure => false,
            Some("http") => {
                return Err(invalid("http is not protected; write https, or set allowInsecure: true"));
            }
            _ => return Err(invalid("unknown scheme; write https://<host>:8200")),
        };
        let scheme = if secure { "https" } else { "http" };
        Ok(Self { origin: format!("{scheme}://{authority}"), secure })
    }

    /// Whether the connection is TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The prefix of every request path.
    pub(super) fn api_base(&self) -> String {
        format!("{}/v1", self.origin)
    }
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// One finished exchange with Vault, for metrics. Every label is from a fixed set.
#[derive(Debug, Clone, Copy)]
pub struct RequestSample {
    /// The operation, such as `transit.sign`.
    pub operation: &'static str,
    /// `ok`, or the [reason](VaultError::reason) of the failure.
    pub outcome: &'static str,
    /// From waiting for a free slot to the last byte of the last attempt.
    pub duration: Duration,
}

/// Receives a sample of every exchange with Vault.
pub trait RequestObserver: Send + Sync {
    /// Called once per operation, after its last attempt.
    fn observe(&self, sample: RequestSample);
}

/// How to reach one Vault.
#[derive(Clone)]
pub struct VaultConfig {
    /// Where it is.
    pub address: VaultAddress,
    /// PEM certificates. If set, these are the only trusted authorities; otherwise the system's are.
    pub ca_bundle: Option<String>,
    /// The deadline of one attempt, including the wait for a free slot.
    pub timeout: Duration,
    /// The limit of concurrent requests.
    pub concurrency: usize,
    /// Receives a sample of each request.
    pub observer: Option<Arc<dyn RequestObserver>>,
    /// The gate that every request must pass when it is sent.
    pub gate: Arc<dyn Gate>,
    /// The User-Agent of this process.
    pub user_agent: String,
}

impl VaultConfig {
    /// The defaults: 5 s per attempt, 16 concurrent requests, the system's authorities, an open gate.
    pub fn new(address: VaultAddress) -> Self {
        Self {
            address,
            ca_bundle: None,
            timeout: Duration::from_secs(5),
            concurrency: 16,
            observer: None,
            gate: gate::open(),
            user_agent: concat!("subrosa/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Builds the HTTP client: no redirects, no proxy from the environment, every wait bounded.
    pub(super) fn http_client(&self) -> Result<reqwest::Client, VaultError> {
        let builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(self.address.secure)
            .connect_timeout(self.timeout)
            .timeout(self.timeout)
            .pool_max_idle_per_host(self.concurrency);
        let builder = match (self.address.secure, &self.ca_bundle) {
            (true, Some(bundle)) => builder.tls_backend_preconfigured(trusting_only(bundle)?),
            (true, None) => {
                // reqwest panics unless the process has a default rustls provider. A provider that was installed
                // earlier stays.
                let _ = rustls::crypto::ring::default_provider().install_default();
                builder.tls_backend_rustls()
            }
            // Without TLS no authority is used; an empty list saves loading the system's.
            (false, _) => builder.tls_backend_preconfigured(client_config(RootCertStore::empty())?),
        };
        builder.build().map_err(|error| VaultError::Config {
            field: "transport",
            problem: super::answer::describe(&error.without_url()),
        })
    }
}

fn trusting_only(bundle: &str) -> Result<ClientConfig, VaultError> {
    let invalid = |problem: String| VaultError::Config { field: "CA bundle", problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|error| invalid(format!("not PEM certificates: {error}")))?;
        roots.add(certificate).map_err(|error| invalid(format!("a certificate is unusable: {error}")))?;
    }
    if roots.is_empty() {
        return Err(invalid("it holds no certificate; give PEM with at least one CA certificate".to_owned()));
    }
    client_config(roots)
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, VaultError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| VaultError::Config { field: "transport", problem: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use subrosa_crds::Reason;

    use super::*;

    #[test]
    fn only_an_origin_is_an_address() {
        let parse = |address: &str| VaultAddress::parse(address, false).map(|address| address.to_string());
        assert_eq!(parse("https://bao.svc:8200/").ok().as_deref(), Some("https://bao.svc:8200"));
        assert_eq!(parse("https://[::1]:8200").ok().as_deref(), Some("https://[::1]:8200"));
        for address in [
            "",
            "bao.svc:8200",
            "/v1",
            "http://bao.svc:8200",
            "ftp://bao.svc",
            "unix:///run/bao.sock",
            "https://",
            "https://bao.svc:8200/v1",
            "https://bao.svc:8200?x=1",
        ] {
            assert!(parse(address).is_err(), "{address}");
        }
        assert!(VaultAddress::parse("http://bao.svc:8200", true).is_ok_and(|address| !address.is_secure()));
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_never_quoted() {
        let error = VaultAddress::parse("https://user:hunter2@bao.svc:8200", false).expect_err("accepted");
        let shown = format!("{error} {error:?} {}", error.next_step());
        assert!(!shown.contains("hunter2") && !shown.contains("user:"), "{shown}");
    }

    #[test]
    fn a_ca_bundle_without_a_certificate_is_refused() {
        let address = VaultAddress::parse("https://bao.svc:8200", false).expect("address");
        for bundle in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let config =
                VaultConfig { ca_bundle: Some(bundle.to_owned()), ..VaultConfig::new(address.clone()) };
            let error = config.http_client().expect_err("accepted");
            assert_eq!(error.reason(), Reason::VaultConfigInvalid);
            assert!(error.to_string().contains("CA bundle"), "{error}");
        }
    }
}
