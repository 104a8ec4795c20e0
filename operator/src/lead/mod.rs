//! Which of several replicas acts, and that no other does.
//!
//! ```text
//!  store (the Lease) ◀──▶ campaign ──▶ leadership ◀── asked before every request ── guard (API server)
//!                           │  ▲                                                    vault::client
//!                        elect tokens (whose Vault tokens a successor revokes)
//! ```
//!
//! * [`elect`] decides, without clock or network: when to read, when to write, when it is over.
//! * [`Campaign`] carries that out against one Lease. Every write names the version it was read at.
//! * [`Leadership`] is a deadline on this machine's own clock. Whoever is about to change something asks
//!   it at the last moment, and a request under way ends with it.
//! * [`tokens`] keeps, in the Lease, how the Vault tokens of this epoch are revoked by the next one.
//!
//! `docs/high-availability.md` says what this promises and what it does not.

mod campaign;
mod clock;
pub mod elect;
mod guard;
mod leadership;
mod store;
pub mod tokens;
mod watchdog;

use http::{HeaderValue, header::USER_AGENT};
use kube::Config;

pub use campaign::{Campaign, Lost};
pub use guard::client;
pub use leadership::Leadership;
pub use tokens::TokenAccessors;
pub use watchdog::watch_over;

/// The name of the Lease in the operator's namespace.
pub const LEASE: &str = "subrosa";

/// Who this process is among its like. A restarted container has its predecessor's pod name, so the name
/// alone would let it take its predecessor's term for its own.
pub fn identity(pod: Option<&str>) -> String {
    let pod = pod.filter(|pod| !pod.is_empty()).unwrap_or("subrosa");
    format!("{pod}_{:08x}", rand::random::<u32>())
}

/// What this process calls itself in requests, so that audit logs tell the replicas apart.
pub fn user_agent(identity: &str) -> String {
    format!("subrosa/{} ({identity})", env!("CARGO_PKG_VERSION"))
}

/// The same connection to the API server, under that name.
pub fn named(mut config: Config, user_agent: &str) -> Config {
    if let Ok(name) = HeaderValue::from_str(user_agent) {
        config.headers.push((USER_AGENT, name));
    }
    config
}
