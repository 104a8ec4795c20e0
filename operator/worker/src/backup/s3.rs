//! The client for S3: no redirects, no proxy from the environment, a deadline on every request, and only the
//! authorities that the settings name.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::{SignedDuration, Timestamp};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, Checksum, S3ConditionalPut},
    client::{HttpClient, HttpConnector},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use subrosa_crds::backup::{BackupStore, ObjectLock};

use super::{
    problem::{BackupError, BackupProblem},
    settings::StoreCredentials,
    signed::SignedRequests,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may pause.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a request may take as a whole: a pack at a megabit a second.
const WHOLE: Duration = Duration::from_secs(180);
/// For how long a request is repeated.
const RETRIES: Duration = Duration::from_secs(60);

const LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const LOCK_UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

/// The ways to one bucket.
pub(super) struct Client {
    /// Reads and lists.
    pub reader: Arc<dyn ObjectStore>,
    /// Writes, with the lock where there is one.
    pub writer: Arc<dyn ObjectStore>,
    /// Looks whether the lock is kept.
    pub witness: Option<LockWitness>,
}

/// Prepares the client; nothing is sent yet.
pub(super) fn connect(settings: &BackupStore, credentials: &StoreCredentials) -> Result<Client, BackupError> {
    let http = client(settings)?;
    let reader = builder(settings, credentials, &http, HeaderMap::new());
    let reader = Arc::new(reader.build().map_err(|_| invalid("endpoint", "it is no URL of an S3 service"))?);
    let Some(lock) = settings.lock else {
        return Ok(Client { reader: reader.clone(), writer: reader, witness: None });
    };
    let until = until(lock, Timestamp::now())?;
    let writer = builder(settings, credentials, &http, lock_headers(lock, until)?);
    let writer = Arc::new(writer.build().map_err(|_| invalid("endpoint", "it is no URL of an S3 service"))?);
    let witness = LockWitness { lock, until, requests: SignedRequests::new(settings, credentials, http) };
    Ok(Client { reader, writer, witness: Some(witness) })
}

/// Prepares requests that object_store has no calls for.
pub(super) fn signed(
    settings: &BackupStore,
    credentials: &StoreCredentials,
) -> Result<SignedRequests, BackupError> {
    Ok(SignedRequests::new(settings, credentials, client(settings)?))
}

/// Until when an object is locked, as the headers of an answer say.
pub(super) fn locked_until(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(&LOCK_UNTIL)?.to_str().ok()?.parse().ok()
}

/// The date until which what a run writes is locked. It is the same for all of a run, so one day is added, which no run
/// takes.
fn until(lock: ObjectLock, now: Timestamp) -> Result<Timestamp, BackupError> {
    let days = i64::from(lock.days) + 1;
    let hours = days.checked_mul(24).ok_or_else(|| invalid("lock.days", "it is too long"))?;
    let until = now
        .checked_add(SignedDuration::from_hours(hours))
        .map_err(|_| invalid("lock.days", "it leads beyond the calendar"))?;
    Timestamp::from_second(until.as_second())
        .map_err(|_| invalid("lock.days", "it leads beyond the calendar"))
}

fn lock_headers(lock: ObjectLock, until: Timestamp) -> Result<HeaderMap, BackupError> {
    let date = HeaderValue::from_str(&until.to_string())
        .map_err(|_| invalid("lock.days", "it is no date in a header"))?;
    Ok(HeaderMap::from_iter([
        (LOCK_MODE, HeaderValue::from_static(lock.mode.as_str())),
        (LOCK_UNTIL, date),
        // Stores take a lock only with a checksum that they are told of.
        (CHECKSUM, HeaderValue::from_static("SHA256")),
    ]))
}

/// All requests are signed with these headers.
fn builder(
    settings: &BackupStore,
    credentials: &StoreCredentials,
    http: &reqwest::Client,
    headers: HeaderMap,
) -> AmazonS3Builder {
    let options = ClientOptions::new().with_allow_http(settings.allow_insecure).with_default_headers(headers);
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(10),
        base: 2.,
    };
    AmazonS3Builder::new()
        .with_endpoint(settings.endpoint.trim_end_matches('/'))
        .with_virtual_hosted_style_request(false)
        .with_region(&settings.region)
        .with_bucket_name(&settings.bucket)
        .with_access_key_id(&credentials.access_key_id)
        .with_secret_access_key(credentials.secret_access_key.expose_secret())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(RetryConfig { backoff, max_retries: 6, retry_timeout: RETRIES })
        .with_client_options(options)
        .with_http_connector(Ours(http.clone()))
}

/// The one HTTP client, whatever the options say.
#[derive(Debug)]
struct Ours(reqwest::Client);

impl HttpConnector for Ours {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn client(settings: &BackupStore) -> Result<reqwest::Client, BackupError> {
    let secure = settings.endpoint.starts_with("https://");
    let may_be_plain = settings.allow_insecure && settings.endpoint.starts_with("http://");
    if !secure && !may_be_plain {
        return Err(invalid("endpoint", "it is not https; write https://<host>, or set allowInsecure"));
    }
    let builder = reqwest::Client::builder()
        .user_agent(concat!("subrosa/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .https_only(secure)
        .connect_timeout(CONNECT)
        .read_timeout(PAUSE)
        .timeout(WHOLE);
    let builder = match (secure, &settings.ca_bundle) {
        (true, Some(bundle)) => builder.tls_backend_preconfigured(trusting_only(bundle)?),
        (true, None) => {
            // reqwest panics unless the process has a default provider. One that was installed earlier stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
            builder.tls_backend_rustls()
        }
        (false, _) => builder.tls_backend_preconfigured(configured(RootCertStore::empty())?),
    };
    builder.build().map_err(|error| invalid("endpoint", &error.without_url().to_string()))
}

fn trusting_only(bundle: &str) -> Result<ClientConfig, BackupError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|_| invalid("caBundle", "it is not PEM certificates"))?;
        roots.add(certificate).map_err(|_| invalid("caBundle", "a certificate of it is unusable"))?;
    }
    if roots.is_empty() {
        return Err(invalid(
            "caBundle",
            "it holds no certificate; give PEM with at least one CA certificate",
        ));
    }
    configured(roots)
}

fn configured(roots: RootCertStore) -> Result<ClientConfig, BackupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("endpoint", &error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn invalid(field: &str, problem: &str) -> BackupError {
    BackupProblem::ConfigInvalid.with(format!("store.{field}: {problem}"))
}

/// Looks, by the version that a write made, whether the object has the lock that it was sent with.
pub(super) struct LockWitness {
    lock: ObjectLock,
    until: Timestamp,
    requests: SignedRequests,
}

impl fmt::Debug for LockWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockWitness").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl LockWitness {
    /// Asks the store for the lock of this version of the object.
    pub async fn check(&self, name: &str, version: Option<&str>) -> Result<(), BackupError> {
        let not_kept = |found: String| {
            BackupProblem::LockNotKept.with(format!(
                "{name}: {found}, expected {} until {}; turn versioning and object lock on for the bucket, and let the key read \
                 retention",
                self.lock.mode.as_str(),
                self.until
            ))
        };
        let version = version.ok_or_else(|| not_kept("the store told no version of it".into()))?;
        if !version.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) {
            return Err(not_kept("its version is no name".into()));
        }
        let answer =
            self.requests.ask(Method::HEAD, name, &format!("versionId={version}")).await.map_err(|_| {
                BackupProblem::StoreUnreachable.with(format!(
                    "{name} was written, and its lock cannot be read; the next run tries again"
                ))
            })?;
        if !answer.status.is_success() {
            return Err(not_kept(format!("the store answered {} for its lock", answer.status.as_u16())));
        }
        let header = |name: &HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
        match kept(self.lock, self.until, header(&LOCK_MODE), header(&LOCK_UNTIL)) {
            Ok(()) => Ok(()),
            Err(found) => Err(not_kept(found)),
        }
    }
}

/// Whether a lock is at least what was asked for; otherwise what it is.
fn kept(lock: ObjectLock, until: Timestamp, mode: Option<&str>, date: Option<&str>) -> Result<(), String> {
    let (Some(mode), Some(date)) = (mode, date) else {
        return Err("it has no lock".into());
    };
    let enough = mode == lock.mode.as_str() && date.parse::<Timestamp>().is_ok_and(|date| date >= until);
    let shown = |text: &str| text.chars().take(40).collect::<String>();
    if enough { Ok(()) } else { Err(format!("it is locked {} until {}", shown(mode), shown(date))) }
}

#[cfg(test)]
mod tests {
    use subrosa_crds::backup::LockMode;

    use super::*;

    fn settings(endpoint: &str) -> BackupStore {
        BackupStore {
            endpoint: endpoint.into(),
            allow_insecure: false,
            ca_bundle: None,
            region: "eu-central-1".into(),
            bucket: "b".into(),
            id: None,
            lock: None,
        }
    }

    fn refused(settings: &BackupStore) -> String {
        let credentials =
            StoreCredentials { access_key_id: "AK".into(), secret_access_key: "hunter2".to_owned().into() };
        let error = connect(settings, &credentials).err().unwrap();
        assert_eq!(error.problem, BackupProblem::ConfigInvalid);
        error.message
    }

    #[test]
    fn only_tls_with_an_authority_is_taken() {
        assert!(refused(&settings("http://s3.example.org")).contains("not https"));
        let bundle = BackupStore { ca_bundle: Some("no pem".into()), ..settings("https://s3.example.org") };
        assert!(refused(&bundle).contains("no certificate"));
    }

    #[test]
    fn a_lock_that_is_shorter_or_weaker_is_not_kept() {
        let lock = ObjectLock { mode: LockMode::Compliance, days: 35 };
        let until: Timestamp = "2027-01-05T00:00:00Z".parse().unwrap();
        let is = |mode: Option<&str>, date: Option<&str>| kept(lock, until, mode, date).is_ok();
        assert!(is(Some("COMPLIANCE"), Some("2027-01-05T00:00:00.000Z")));
        assert!(is(Some("COMPLIANCE"), Some("2028-01-01T00:00:00Z")));
        assert!(!is(Some("GOVERNANCE"), Some("2028-01-01T00:00:00Z")));
        assert!(!is(Some("COMPLIANCE"), Some("2027-01-04T23:59:59Z")));
        assert!(!is(Some("COMPLIANCE"), Some("soon")) && !is(None, None));
    }

    #[test]
    fn a_lock_lasts_its_days_from_when_the_last_object_is_written() {
        let lock = ObjectLock { mode: LockMode::Governance, days: 1 };
        let now: Timestamp = "2026-12-01T10:00:00.5Z".parse().unwrap();
        assert_eq!(until(lock, now).unwrap().to_string(), "2026-12-03T10:00:00Z");
    }
}
