//! A login session: logs in, renews the token at two thirds of its lease, and logs in again when the token is dead.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::{AuthPart, Reply, parse};
use super::client::{LOOKUP_SELF, Vault};
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{MountPath, RoleName};

/// The least time between logins, even if every new token is rejected.
const MIN_BETWEEN_LOGINS: Duration = Duration::from_secs(5);
/// How often a token without expiry, such as a root token, is checked.
const WITHOUT_END: Duration = Duration::from_secs(3600);

/// The source of the JWT for a Kubernetes login: a TokenRequest, or a projected file.
pub trait JwtSource: Send + Sync {
    /// A JWT that stays valid for a while. The error says why there is none, without quoting one.
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, String>>;
}

/// Any function will do.
impl<F, Answer> JwtSource for F
where
    F: Fn() -> Answer + Send + Sync,
    Answer: Future<Output = Result<SecretString, String>> + Send + 'static,
{
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, String>> {
        Box::pin(self())
    }
}

/// A projected token file. It is read for each login, because the kubelet replaces it.
pub fn token_file(path: PathBuf) -> Arc<dyn JwtSource> {
    Arc::new(move || {
        let path = path.clone();
        async move {
            let read = tokio::fs::read_to_string(&path).await;
            read.map(|text| SecretString::from(text.trim())).map_err(|error| {
                format!("{} cannot be read: {error}; mount a ServiceAccount token there", path.display())
            })
        }
    })
}

/// Records tokens, so that a successor can revoke them.
pub trait TokenRegister: Send + Sync {
    /// Records `accessor` for a successor, and returns the accessors of predecessors' tokens to revoke before this
    /// token is used. The error says why it could not.
    fn note<'a>(&'a self, accessor: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>>;
    /// Removes `accessor`, whose token was revoked or will never be used.
    fn strike(&self, accessor: &str);
}

/// How a session gets its token.
#[derive(Clone)]
pub enum Login {
    /// Kubernetes auth: a ServiceAccount's JWT for a token.
    Kubernetes {
        /// Where the auth method is mounted, without `auth/`.
        mount: MountPath,
        /// The role to log in as.
        role: RoleName,
        /// Where the JWT comes from, asked for each login.
        jwt: Arc<dyn JwtSource>,
    },
    /// A given token, for development and administrators. It is renewed where possible and never replaced.
    Token(SecretString),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubernetes { mount, role, .. } => {
                f.debug_struct("Kubernetes").field("mount", mount).field("role", role).finish_non_exhaustive()
            }
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// The current state of a session.
#[derive(Debug, Clone)]
pub enum SessionState {
    /// Not logged in yet.
    Starting,
    /// Vault accepted the token at the last login, renewal or look-up.
    LoggedIn,
    /// There is no usable token, because of this error.
    LoggedOut(VaultError),
}

/// Keeps a [`Vault`]'s token alive.
pub struct Session {
    vault: Vault,
    login: Login,
    register: Option<Arc<dyn TokenRegister>>,
    state: watch::Sender<SessionState>,
    /// From a login before the session runs.
    begun: Mutex<Option<Lease>>,
}

/// How long a token lasts, from when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    duration: Duration,
    renewable: bool,
}

impl Lease {
    /// When to renew or replace the token: at two thirds.
    fn refresh_after(self) -> Duration {
        if self.duration.is_zero() { WITHOUT_END } else { self.duration * 2 / 3 }
    }
}

/// Why the session checks its token.
enum Woken {
    LeaseDue,
    Rejected,
    Stopped,
}

impl Session {
    /// A session for `vault`; it sends nothing before [`login`](Self::login) or [`run`](Self::run).
    pub fn new(vault: Vault, login: Login) -> Self {
        let state = watch::Sender::new(SessionState::Starting);
        Self { vault, login, register: None, state, begun: Mutex::default() }
    }

    /// The same, with its tokens recorded and those of predecessors revoked. A given token is exempt, because all
    /// replicas share it.
    #[must_use]
    pub fn registered(self, register: Option<Arc<dyn TokenRegister>>) -> Self {
        Self { register, ..self }
    }

    /// Watches the session's state, for readiness.
    pub fn state(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }

    /// Logs in once and gives the token to the [`Vault`]. This is enough for a command that ends before the lease
    /// does; a session that runs later continues with this login.
    pub async fn login(&self) -> Result<(), VaultError> {
        let lease = self.log_in().await?;
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
        Ok(())
    }

    /// Logs in and keeps the token alive until `stop`. Failures are retried for ever with growing pauses; the state
    /// shows them, and requests fail meanwhile.
    pub async fn run(&self, stop: CancellationToken) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        loop {
            let lease = match begun.take() {
                Some(lease) => Some(lease),
                None => self.log_in_persistently(&stop).await,
            };
            let Some(lease) = lease else { return };
            let logged_in = tokio::time::Instant::now();
            if !self.keep_alive(lease, &stop).await {
                return;
            }
            // Vault may reject every token that the role issues; this must not become a loop of logins.
            let pause = MIN_BETWEEN_LOGINS.saturating_sub(logged_in.elapsed());
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Renews until the token is lost (true) or the session is stopped (false).
    async fn keep_alive(&self, mut lease: Lease, stop: &CancellationToken) -> bool {
        let mut wait = lease.refresh_after();
        loop {
            match self.next(wait, stop).await {
                Woken::Stopped => return false,
                Woken::Rejected => match self.look_up().await {
                    Ok(()) => continue,
                    Err(error) if is_dead(&error) => return true,
                    Err(error) => {
                        tracing::debug!(
                            reason = error.reason().as_str(),
                            "could not look up the Vault token"
                        );
                        continue;
                    }
                },
                Woken::LeaseDue if !lease.renewable && !lease.duration.is_zero() => return true,
                Woken::LeaseDue => match self.refresh(lease).await {
                    // A shorter lease means that the token nears its maximum lifetime: log in again for a full one.
                    Ok(renewed) if renewed.duration < lease.duration / 2 => return true,
                    Ok(renewed) => {
                        lease = renewed;
                        wait = lease.refresh_after();
                        self.state.send_replace(SessionState::LoggedIn);
                    }
                    Err(error) if is_dead(&error) => return true,
                    Err(error) => {
                        tracing::warn!(
                            reason = error.reason().as_str(),
                            "could not renew the Vault token: {error}"
                        );
                        self.state.send_replace(SessionState::LoggedOut(error));
                        wait = (wait / 4).clamp(Duration::from_secs(1), Duration::from_secs(30));
                    }
                },
            }
        }
    }

    async fn next(&self, wait: Duration, stop: &CancellationToken) -> Woken {
        tokio::select! {
            () = stop.cancelled() => Woken::Stopped,
            () = self.vault.token_rejected() => Woken::Rejected,
            () = tokio::time::sleep(wait) => Woken::LeaseDue,
        }
    }

    async fn log_in_persistently(&self, stop: &CancellationToken) -> Option<Lease> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(30))
            .without_max_times()
            .with_jitter();
        let mut pauses = pauses.build();
        loop {
            match stop.run_until_cancelled(self.log_in()).await? {
                Ok(lease) => return Some(lease),
                Err(error) => {
                    tracing::warn!(reason = error.reason().as_str(), "could not log in to Vault: {error}");
                }
            }
            let pause = pauses.next().unwrap_or(Duration::from_secs(30));
            stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
        }
    }

    async fn log_in(&self) -> Result<Lease, VaultError> {
        let result = match &self.login {
            Login::Kubernetes { mount, role, jwt } => self.log_in_with_jwt(mount, role, jwt.as_ref()).await,
            Login::Token(token) => self.adopt(token).await,
        };
        let state = match &result {
            Ok(_) => SessionState::LoggedIn,
            Err(error) => SessionState::LoggedOut(error.clone()),
        };
        self.state.send_replace(state);
        result
    }

    async fn log_in_with_jwt(
        &self,
        mount: &MountPath,
        role: &RoleName,
        jwt: &dyn JwtSource,
    ) -> Result<Lease, VaultError> {
        let refused = |detail: String| VaultError::LoginRefused {
            mount: mount.to_string(),
            role: role.to_string(),
            detail,
        };
        let jwt = jwt.jwt().await.map_err(|reason| refused(format!("no ServiceAccount token: {reason}")))?;
        let path = format!("auth/{mount}/login");
        let op = Op::new("auth.login", path.as_str(), &[Capability::Update]).anonymous();
        let body = KubernetesLogin { role: role.as_str(), jwt: jwt.expose_secret() };
        let call = Call::<_, serde_json::Value>::post(path.as_str(), body);
        let auth = match self.vault.send(&op, &call, Some(&jwt)).await {
            Ok(reply) => auth_of(&path, reply)?,
            Err(VaultError::PermissionDenied { .. }) => return Err(refused("permission denied".into())),
            Err(VaultError::Invalid { messages, .. }) => return Err(refused(messages.join("; "))),
            Err(VaultError::NotFound { .. }) => {
                return Err(refused("no auth method is mounted there".into()));
            }
            Err(error) => return Err(error),
        };
        if let Some(register) = &self.register {
            let previous = register.note(&auth.accessor).await.map_err(refused)?;
            // A token that is given up here was never used, and nobody knows it.
            let revoked = self.revoke(&auth.client_token, previous, register.as_ref()).await;
            revoked.inspect_err(|_| register.strike(&auth.accessor))?;
        }
        self.vault.set_token(&auth.client_token)?;
        Ok(lease_of(&auth))
    }

    /// Revokes the tokens of predecessors, so that one that still runs can do nothing more in Vault, not even with a
    /// request in flight. This is the first use of the new token.
    async fn revoke(
        &self,
        token: &SecretString,
        previous: Vec<String>,
        register: &dyn TokenRegister,
    ) -> Result<(), VaultError> {
        if previous.is_empty() {
            return Ok(());
        }
        let vault = self.vault.with_token(token)?;
        let path = "auth/token/revoke-accessor";
        let op = Op::new("auth.revoke", path, &[Capability::Update]);
        for accessor in previous {
            let call = Call::<_, serde_json::Value>::post(path, Accessor { accessor: &accessor });
            match vault.send(&op, &call, None).await {
                Ok(_) => tracing::info!("the Vault token of the replica that led before is revoked"),
                // No token has this accessor: it was revoked or has expired.
                Err(VaultError::Invalid { .. } | VaultError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            register.strike(&accessor);
        }
        Ok(())
    }

    async fn adopt(&self, token: &SecretString) -> Result<Lease, VaultError> {
        self.vault.set_token(token)?;
        let op = Op::new(LOOKUP_SELF, LOOKUP_SELF, &[Capability::Read]);
        let call = Call::<(), Lookup>::get(LOOKUP_SELF);
        match self.vault.exec_data(&op, &call).await {
            Ok(lookup) => {
                Ok(Lease { duration: Duration::from_secs(lookup.ttl), renewable: lookup.renewable })
            }
            Err(error) if is_dead(&error) => Err(VaultError::TokenRejected),
            Err(error) => Err(error),
        }
    }

    async fn look_up(&self) -> Result<(), VaultError> {
        let op = Op::new(LOOKUP_SELF, LOOKUP_SELF, &[Capability::Read]);
        self.vault.exec_data(&op, &Call::<(), serde_json::Value>::get(LOOKUP_SELF)).await.map(|_| ())
    }

    /// Renews the token, or looks up one without expiry.
    async fn refresh(&self, lease: Lease) -> Result<Lease, VaultError> {
        if lease.duration.is_zero() {
            return self.look_up().await.map(|()| lease);
        }
        let path = "auth/token/renew-self";
        let op = Op::new("auth.renew", path, &[Capability::Update]);
        let call = Call::<_, serde_json::Value>::post(path, serde_json::Map::new());
        let auth = auth_of(path, self.vault.send(&op, &call, None).await?)?;
        Ok(lease_of(&auth))
    }
}

/// Whether this answer to a request about the token itself means that the token is dead.
fn is_dead(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::TokenRejected | VaultError::PermissionDenied { .. } | VaultError::Invalid { .. }
    )
}

fn auth_of(path: &str, reply: Reply) -> Result<AuthPart, VaultError> {
    let unexpected = || VaultError::Unexpected { path: path.to_owned(), problem: "it holds no token".into() };
    let Reply::Success(body) = reply else { return Err(unexpected()) };
    parse::<serde::de::IgnoredAny>(path, &body)?.auth.ok_or_else(unexpected)
}

fn lease_of(auth: &AuthPart) -> Lease {
    Lease { duration: Duration::from_secs(auth.lease_duration), renewable: auth.renewable }
}

/// The login's body. Not vaultrs' type, which derives `Debug` over the JWT.
#[derive(Serialize)]
struct KubernetesLogin<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Serialize)]
struct Accessor<'a> {
    accessor: &'a str,
}

#[derive(Deserialize)]
struct Lookup {
    #[serde(default)]
    ttl: u64,
    /// Absent for the first root token.
    #[serde(default)]
    renewable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_two_thirds_of_its_lease() {
        let lease = |seconds| Lease { duration: Duration::from_secs(seconds), renewable: true };
        assert_eq!(lease(3600).refresh_after(), Duration::from_secs(2400));
        assert_eq!(lease(0).refresh_after(), WITHOUT_END);
    }

    #[test]
    fn a_login_never_shows_its_token() {
        let shown = format!("{:?}", Login::Token("s.secret".into()));
        assert!(!shown.contains("s.secret"), "{shown}");
    }
}
