//! What Subrosa remembers, and the only way it speaks to Vault.
//!
//! ```text
//!  records of Channels, keys, domains ──> vault (typed paths, one token, bounded waits)
//!                                           │
//!                                           └── asks a Gate before every request
//! ```
//!
//! This crate knows no Kubernetes client and no election: whether a process may write is asked of a [`gate::Gate`].

pub mod aliases;
pub mod channels;
pub mod gate;
mod listed;
pub mod store;
mod unknown;
pub mod vault;
