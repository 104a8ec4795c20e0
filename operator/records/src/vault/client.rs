//! [`Vault`]: one connection pool, one token, one limit on concurrency, shared by all clones.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use backon::{ExponentialBuilder, Retryable};
use http::header::HeaderValue;
use http::{Method, StatusCode};
use rustify::endpoint::Endpoint;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, Semaphore};

use super::answer::{Asked, Envelope, Failure, Reply, classify, no_answer, parse};
pub use super::config::{RequestObserver, RequestSample, VaultAddress, VaultConfig};
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
pub use super::health::Health;
use crate::gate::{self, Closed};

/// Attempts after the first one, for failures that allow another.
const MAX_REPETITIONS: usize = 3;
/// The largest answer that is read: the list of some hundred thousand keys.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// The path on which a token asks about itself.
pub(super) const LOOKUP_SELF: &str = "auth/token/lookup-self";

/// A connection to one Vault. Cheap to clone; clones share pool, token and limits.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    config: VaultConfig,
    base: String,
    http: reqwest::Client,
    token: ArcSwapOption<Token>,
    /// Notified when Vault rejects the token.
    token_rejected: Notify,
    places: Semaphore,
}

/// A token that is a valid header value. No `Debug`.
struct Token {
    header: HeaderValue,
    secret: SecretString,
}

/// A request that can be sent more than once.
struct Prepared {
    method: Method,
    url: String,
    path: String,
    body: Vec<u8>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("address", &self.inner.config.address).finish_non_exhaustive()
    }
}

impl Vault {
    /// Prepares the connection; nothing is sent yet and there is no token.
    pub fn new(config: VaultConfig) -> Result<Self, VaultError> {
        if config.concurrency == 0 || config.concurrency > Semaphore::MAX_PERMITS {
            let problem = format!("{} requests at once; give at least 1", config.concurrency);
            return Err(VaultError::Config { field: "concurrency", problem });
        }
        let http = config.http_client()?;
        let inner = Inner {
            base: config.address.api_base(),
            http,
            token: ArcSwapOption::empty(),
            token_rejected: Notify::new(),
            places: Semaphore::new(config.concurrency),
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The address of this Vault.
    pub fn address(&self) -> &VaultAddress {
        &self.inner.config.address
    }

    /// Uses `token` from now on. Surrounding white space, such as a file's final newline, is dropped. The error for
    /// an invalid token does not quote it.
    pub fn set_token(&self, token: &SecretString) -> Result<(), VaultError> {
        let invalid = |problem: &str| VaultError::Config { field: "token", problem: problem.to_owned() };
        let text = token.expose_secret().trim();
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        if !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(invalid("it contains a line break, a space or another character no token has"));
        }
        let mut header = HeaderValue::from_str(text).map_err(|_| invalid("it cannot be sent as a header"))?;
        header.set_sensitive(true);
        self.inner.token.store(Some(Arc::new(Token { header, secret: text.into() })));
        Ok(())
    }

    /// Drops the token.
    pub fn clear_token(&self) {
        self.inner.token.store(None);
    }

    /// Whether a token is set; Vault may have rejected it meanwhile.
    pub fn has_token(&self) -> bool {
        self.inner.token.load().is_some()
    }

    /// The same Vault with another token, without changing this one.
    pub(super) fn with_token(&self, token: &SecretString) -> Result<Self, VaultError> {
        let other = Self::new(self.inner.config.clone())?;
        other.set_token(token)?;
        Ok(other)
    }

    /// Waits until Vault rejects the token.
    pub(super) async fn token_rejected(&self) {
        self.inner.token_rejected.notified().await;
    }

    /// Sends a request and reads the envelope around its answer; `None` when the object is absent.
    pub(super) async fn exec<E: Endpoint>(
        &self,
        op: &Op,
        endpoint: &E,
    ) -> Result<Option<Envelope<E::Response>>, VaultError> {
        match self.send(op, endpoint, None).await? {
            Reply::Success(body) => parse(&endpoint.path(), &body).map(Some),
            Reply::Absent(_) => Ok(None),
        }
    }

    /// As [`exec`](Self::exec), for a request with a secret and an object that must exist.
    pub(super) async fn exec_secret<E: Endpoint>(
        &self,
        op: &Op,
        endpoint: &E,
        secret: Option<&SecretString>,
    ) -> Result<Envelope<E::Response>, VaultError> {
        match self.send(op, endpoint, secret).await? {
            Reply::Success(body) => parse(&endpoint.path(), &zeroize::Zeroizing::new(body)),
            Reply::Absent(_) => Err(VaultError::NotFound { path: endpoint.path() }),
        }
    }

    /// As [`exec`](Self::exec), for an object that must exist and an answer that must have data.
    pub(super) async fn exec_data<E: Endpoint>(
        &self,
        op: &Op,
        endpoint: &E,
    ) -> Result<E::Response, VaultError> {
        let envelope = self.exec(op, endpoint).await?;
        let envelope = envelope.ok_or_else(|| VaultError::NotFound { path: endpoint.path() })?;
        envelope
            .data
            .ok_or_else(|| VaultError::Unexpected { path: endpoint.path(), problem: "it is empty".into() })
    }

    /// Sends a request and repeats it where its [`Op`] and the failure allow. Errors never contain `secret`.
    #[tracing::instrument(name = "vault", level = "debug", skip_all, fields(operation = op.name, outcome = tracing::field::Empty))]
    pub(super) async fn send<E: Endpoint>(
        &self,
        op: &Op,
        endpoint: &E,
        secret: Option<&SecretString>,
    ) -> Result<Reply, VaultError> {
        let prepared = self.prepare(endpoint)?;
        let started = Instant::now();
        let attempt = || self.attempt(op, &prepared, secret);
        let sent = attempt.retry(backoff()).when(|failure: &Failure| failure.repeatable(op.repeat)).await;
        let result = match sent {
            Ok(reply) => Ok(reply),
            Err(Failure { error: VaultError::PermissionDenied { .. }, .. })
                if self.token_is_dead(op).await =>
            {
                self.inner.token_rejected.notify_one();
                Err(VaultError::TokenRejected)
            }
            Err(failure) => Err(failure.error),
        };
        let outcome = match &result {
            Ok(Reply::Success(body)) => (op.success)(body),
            Ok(Reply::Absent(_)) => "ok",
            Err(error) => error.reason().as_str(),
        };
        tracing::Span::current().record("outcome", outcome);
        if let Some(observer) = &self.inner.config.observer {
            observer.observe(RequestSample { operation: op.name, outcome, duration: started.elapsed() });
        }
        result
    }

    fn prepare<E: Endpoint>(&self, endpoint: &E) -> Result<Prepared, VaultError> {
        let path = endpoint.path();
        // Only serializing the body can fail here, and that error may quote it.
        let request = endpoint.request(&self.inner.base).map_err(|_| VaultError::Unexpected {
            path: path.clone(),
            problem: "the request could not be written down".into(),
        })?;
        let (parts, body) = request.into_parts();
        Ok(Prepared { method: parts.method, url: parts.uri.to_string(), path, body })
    }

    /// One attempt, from waiting for a free slot to the last byte, within the deadline.
    async fn attempt(
        &self,
        op: &Op,
        prepared: &Prepared,
        secret: Option<&SecretString>,
    ) -> Result<Reply, Failure> {
        let deadline = self.inner.config.timeout;
        let timed_out = || {
            let (method, path) = (prepared.method.to_string(), prepared.path.clone());
            Failure::final_(VaultError::Timeout { method, path, after: deadline })
        };
        // Loaded for each attempt, because a login may have replaced the token.
        let token = if op.authenticated { self.inner.token.load_full() } else { None };
        if op.authenticated && token.is_none() {
            self.inner.token_rejected.notify_one();
            return Err(Failure::final_(VaultError::TokenRejected));
        }
        let exchange = tokio::time::timeout(deadline, self.exchange(prepared, token.as_deref()));
        let (status, body) = match exchange.await {
            Err(_) => return Err(timed_out()),
            Ok(Err(Broken::Transport(error))) if error.is_timeout() => return Err(timed_out()),
            Ok(Err(Broken::Transport(error))) => return Err(no_answer(error)),
            Ok(Err(Broken::Closed(closed))) => return Err(Failure::final_(closed.into())),
            Ok(Err(Broken::Other(problem))) => {
                let path = prepared.path.clone();
                return Err(Failure::final_(VaultError::Unexpected { path, problem: problem.into() }));
            }
            Ok(Ok(answer)) => answer,
        };
        let secrets: Vec<&str> = token
            .iter()
            .map(|token| &token.secret)
            .chain(secret)
            .map(|secret| secret.expose_secret())
            .collect();
        let asked = Asked { op, method: &prepared.method, path: &prepared.path, secrets: &secrets };
        classify(&asked, status, body)
    }

    async fn exchange(
        &self,
        prepared: &Prepared,
        token: Option<&Token>,
    ) -> Result<(StatusCode, Vec<u8>), Broken> {
        let _place = self.inner.places.acquire().await.map_err(|_| Broken::Other("the client is closed"))?;
        let mut request =
            self.inner.http.request(prepared.method.clone(), &prepared.url).header("X-Vault-Request", "true");
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token.header.clone());
        }
        if !prepared.body.is_empty() {
            request =
                request.header(http::header::CONTENT_TYPE, "application/json").body(prepared.body.clone());
        }
        // Checked here, after every wait: an earlier check of the gate may be outdated.
        gate::guard(self.inner.config.gate.as_ref(), receive(request)).await?
    }

    /// After "permission denied", which Vault answers both to a missing right and to a dead token: looks up the token
    /// itself, which every policy of Subrosa allows.
    async fn token_is_dead(&self, op: &Op) -> bool {
        if !op.authenticated || op.name == LOOKUP_SELF {
            return false;
        }
        let lookup = Op::new(LOOKUP_SELF, LOOKUP_SELF, &[Capability::Read]);
        let call = Call::<(), serde_json::Value>::get(LOOKUP_SELF);
        let Ok(prepared) = self.prepare(&call) else { return false };
        let answer = self.attempt(&lookup, &prepared, None).await;
        matches!(answer, Err(Failure { error: VaultError::PermissionDenied { .. }, .. }))
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), Broken> {
    let mut response = request.send().await?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Broken::Other("it is larger than 32 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Why an exchange got no answer.
enum Broken {
    Closed(Closed),
    Transport(reqwest::Error),
    Other(&'static str),
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

impl From<Closed> for Broken {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(MAX_REPETITIONS)
        .with_jitter()
}
