//! The three clocks: the destroyer's own, the API server's and Vault's.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use kube::{Client, client::Body};
use subrosa_crds::Reason;
use subrosa_plan::{destruction::freeze::Clocks, world::fault::Fault};
use subrosa_records::vault::Vault;

/// Reads the clocks. Tests can shift all three, or the destroyer's own alone; nothing else does.
#[derive(Debug, Default)]
pub struct Watchmaker {
    moved: AtomicI64,
    skewed: AtomicI64,
}

impl Watchmaker {
    /// Shifts all three clocks, for tests.
    pub fn moves(&self, by: SignedDuration) {
        self.moved.store(by.as_secs(), Ordering::Relaxed);
    }

    /// Shifts the destroyer's own clock, for tests.
    pub fn skews(&self, by: SignedDuration) {
        self.skewed.store(by.as_secs(), Ordering::Relaxed);
    }

    /// The destroyer's own clock.
    pub fn local(&self) -> Timestamp {
        let skewed = SignedDuration::from_secs(self.skewed.load(Ordering::Relaxed));
        let now = Timestamp::now();
        self.shown(now.checked_add(skewed).unwrap_or(now))
    }

    /// Reads all three clocks.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn read(&self, client: &Client, vault: &Vault) -> Result<Clocks, Fault> {
        let api_server = api_server(client).await?;
        let health = vault.health().await.map_err(|error| Fault::new(error.reason(), error.to_string()))?;
        Ok(Clocks {
            local: self.local(),
            api_server: self.shown(api_server),
            vault: self.shown(health.server_time),
        })
    }

    fn shown(&self, read: Timestamp) -> Timestamp {
        let moved = SignedDuration::from_secs(self.moved.load(Ordering::Relaxed));
        read.checked_add(moved).unwrap_or(read)
    }
}

/// The API server's clock, from the Date header of an answer (RFC 9110, section 6.6.1).
async fn api_server(client: &Client) -> Result<Timestamp, Fault> {
    let silent = |problem: String| {
        Fault::new(Reason::KubernetesUnreachable, format!("the API server does not tell its time: {problem}"))
    };
    let request =
        http::Request::get("/version").body(Body::empty()).map_err(|error| silent(error.to_string()))?;
    let answer = client.send(request).await.map_err(|error| silent(error.to_string()))?;
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or_else(|| silent("its answer has no header Date".to_owned()))?;
    let read = DateTimeParser::new().parse_timestamp(date);
    read.map_err(|error| silent(format!("its header Date cannot be read: {error}")))
}
