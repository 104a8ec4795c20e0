//! What Vault says about itself without a token.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::answer::{Reply, parse_whole};
use super::client::Vault;
use super::endpoint::{Call, Op};
use super::error::VaultError;

/// The state of a Vault server. vaultrs' own type requires a field OpenBao does not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// For example `2.7.2`.
    pub version: String,
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether it is a standby of a cluster.
    pub standby: bool,
    /// The server's clock, in whole seconds.
    pub server_time: Timestamp,
    /// Our clock, half way between question and answer.
    pub our_time: Timestamp,
}

impl Health {
    /// How far the server's clock is ahead of ours, with a precision of about a second.
    pub fn clock_skew(&self) -> SignedDuration {
        // The server's time is cut to whole seconds: on average half a second is missing.
        self.server_time.duration_since(self.our_time) + SignedDuration::from_millis(500)
    }
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    initialized: bool,
    sealed: bool,
    #[serde(default)]
    standby: bool,
    server_time_utc: i64,
}

/// The outcome of an answer, for metrics. A sealed Vault is one by itself: its alert needs it while nothing else is asked.
fn outcome(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.sealed => VaultError::Sealed.reason().as_str(),
        _ => "ok",
    }
}

impl Vault {
    /// Asks for the server's state and clock; sends no token, so it works before a login.
    pub async fn health(&self) -> Result<Health, VaultError> {
        let op = Op::new("sys.health", "sys/health", &[]).anonymous().judged(outcome);
        // By default the state is told by the status too; here only the body counts.
        let query = "standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200";
        let call = Call::<(), Answer>::get("sys/health").query(query);
        let asked = Timestamp::now();
        let reply = self.send(&op, &call, None).await?;
        let half = Timestamp::now().duration_since(asked).checked_div(2).unwrap_or_default();
        let Reply::Success(body) = reply else {
            return Err(VaultError::NotFound { path: "sys/health".into() });
        };
        let answer: Answer = parse_whole("sys/health", &body)?;
        let server_time = Timestamp::from_second(answer.server_time_utc).map_err(|_| {
            VaultError::Unexpected { path: "sys/health".into(), problem: "its time is out of range".into() }
        })?;
        Ok(Health {
            version: answer.version,
            initialized: answer.initialized,
            sealed: answer.sealed,
            standby: answer.standby,
            server_time,
            our_time: asked.saturating_add(half).unwrap_or(asked),
        })
    }
}
