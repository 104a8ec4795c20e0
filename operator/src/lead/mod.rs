//! Leader election: one replica acts, and no other does.
//!
//! ```text
//!  store (the Lease) ◀──▶ campaign ──▶ leadership ◀── asked before every request ── guard (API server)
//!                           │  ▲                                                    vault::client
//!                        elect tokens (whose Vault tokens a successor revokes)
//! ```
//!
//! - [`elect`] decides without clock or network: when to read, when to write, when it is over.
//! - [`Campaign`] carries that out against one Lease. Every write names the version that was read.
//! - [`Leadership`] is a deadline on this machine's own clock. It is checked right before each write, and aborts a
//!   request in progress at its end.
//! - [`tokens`] keeps the accessors of this epoch's Vault tokens in the Lease, so that the next epoch can revoke
//!   them.
//!
//! `docs/high-availability.md` says what this guarantees and what it does not.

mod campaign;
mod clock;
pub mod elect;
mod guard;
mod leadership;
mod store;
pub mod streams;
pub mod tokens;
mod watchdog;

use http::{HeaderValue, header::USER_AGENT};
use kube::Config;

pub use campaign::{Campaign, Lost};
pub use guard::client;
pub use leadership::Leadership;
pub use tokens::TokenAccessors;
pub use watchdog::watch_over;

/// The unique name of this process. A restarted container has the same pod name, so the pod name alone would let it
/// take over its predecessor's term.
pub fn identity(pod: Option<&str>) -> String {
    let pod = pod.filter(|pod| !pod.is_empty()).unwrap_or("subrosa");
    format!("{pod}_{:08x}", rand::random::<u32>())
}

/// The User-Agent, by which audit logs distinguish replicas.
pub fn user_agent(identity: &str) -> String {
    format!("subrosa/{} ({identity})", env!("CARGO_PKG_VERSION"))
}

/// The same configuration with that User-Agent.
pub fn named(mut config: Config, user_agent: &str) -> Config {
    if let Ok(name) = HeaderValue::from_str(user_agent) {
        config.headers.push((USER_AGENT, name));
    }
    config
}
