//! The public state of a Vault server, read without a token.

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
    /// Whether it is initialized.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether it is a standby node.
    pub standby: bool,
    /// The server's clock, in whole seconds.
    pub server_time: Timestamp,
    /// Our clock, halfway between request and answer.
    pub our_time: Timestamp,
}

impl Health {
    /// How far the server's clock is ahead of ours, to about a second.
    pub fn clock_skew(&self) -> SignedDuration {
        // The server truncates its time to whole seconds, half a second on average.
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

/// The outcome label for metrics. A sealed Vault has its own, because its alert must fire when no other request is
/// made.
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
        // Without these parameters the HTTP status would carry the state; only the body is read here.
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
