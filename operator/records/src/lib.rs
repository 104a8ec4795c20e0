//! The records of Subrosa in Vault, and the only client for Vault.
//!
//! ```text
//!  records of Channels, keys, domains ──> vault (typed paths, one token, bounded waits)
//!                                           │
//!                                           └── asks a Gate before every request
//! ```
//!
//! This crate knows neither Kubernetes nor an election: whether a process may write is up to a [`gate::Gate`].

pub mod aliases;
pub mod channels;
pub mod gate;
mod listed;
pub mod store;
mod unknown;
pub mod vault;
