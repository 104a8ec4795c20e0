//! Describes one request: a rustify [`Endpoint`] for what is sent, an [`Op`] for the right that a policy must give
//! and for when a failure may be repeated.
//!
//! vaultrs' request types are used where they say exactly what is meant. Its client is not: it panics on a
//! token that is no header value, adds the given CA to the system's roots instead of trusting only it,
//! follows redirects with the token, and prints answers it cannot parse. rustify's own client is not either:
//! it hides the answer's status behind errors that carry the body. So an endpoint here only *describes* a
//! request, and [`super::client`] sends it.

use std::marker::PhantomData;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A right on a policy path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    Create,
    Read,
    Update,
    Delete,
    List,
    Sudo,
}

impl Capability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Sudo => "sudo",
        }
    }
}

/// When the client may repeat a failed request by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Idempotent: may be repeated.
    Safe,
    /// Not idempotent: repeated only when Vault certainly did not process it.
    Unhandled,
}

/// The properties of a request beside its content.
#[derive(Debug, Clone)]
pub(super) struct Op {
    /// A bounded name for metrics, such as `transit.rotate`.
    pub name: &'static str,
    /// The path as policies name it.
    pub policy_path: String,
    /// The capabilities that a policy must give on it.
    pub capabilities: &'static [Capability],
    /// When the request may be repeated.
    pub repeat: Repeat,
    /// Whether the token is sent.
    pub authenticated: bool,
    /// The outcome label of a successful answer, from its body.
    pub success: fn(&[u8]) -> &'static str,
}

impl Op {
    pub fn new(
        name: &'static str,
        policy_path: impl Into<String>,
        capabilities: &'static [Capability],
    ) -> Self {
        Self {
            name,
            policy_path: policy_path.into(),
            capabilities,
            repeat: Repeat::Safe,
            authenticated: true,
            success: |_| "ok",
        }
    }

    /// Marks a request whose successful answer may report a bad state.
    pub fn judged(mut self, success: fn(&[u8]) -> &'static str) -> Self {
        self.success = success;
        self
    }

    /// Marks a request that is not idempotent.
    pub fn once(mut self) -> Self {
        self.repeat = Repeat::Unhandled;
        self
    }

    /// Marks a request that needs no token and sends none.
    pub fn anonymous(mut self) -> Self {
        self.authenticated = false;
        self
    }

    /// The policy line that allows this request.
    pub fn policy_line(&self) -> String {
        let capabilities: Vec<_> = self.capabilities.iter().map(|c| format!("\"{}\"", c.as_str())).collect();
        format!("path \"{}\" {{ capabilities = [{}] }}", self.policy_path, capabilities.join(", "))
    }
}

/// A request for which vaultrs has no fitting type. Its body is never printed.
pub(super) struct Call<B, R> {
    method: RequestMethod,
    path: String,
    query: Option<&'static str>,
    body: Option<B>,
    answer: PhantomData<fn() -> R>,
}

impl<R> Call<(), R> {
    pub fn get(path: impl Into<String>) -> Self {
        Self::without_body(RequestMethod::GET, path)
    }

    pub fn list(path: impl Into<String>) -> Self {
        Self::without_body(RequestMethod::LIST, path)
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::without_body(RequestMethod::DELETE, path)
    }

    pub fn query(mut self, query: &'static str) -> Self {
        self.query = Some(query);
        self
    }

    fn without_body(method: RequestMethod, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: None, body: None, answer: PhantomData }
    }
}

impl<B, R> Call<B, R> {
    pub fn post(path: impl Into<String>, body: B) -> Self {
        Self {
            method: RequestMethod::POST,
            path: path.into(),
            query: None,
            body: Some(body),
            answer: PhantomData,
        }
    }
}

impl<B, R> Endpoint for Call<B, R>
where
    B: Serialize + Send + Sync,
    R: DeserializeOwned + Send + Sync,
{
    type Response = R;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.map(str::to_owned))
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let Some(body) = &self.body else { return Ok(None) };
        serde_json::to_vec(body)
            .map(Some)
            .map_err(|error| ClientError::DataParseError { source: error.into() })
    }
}
