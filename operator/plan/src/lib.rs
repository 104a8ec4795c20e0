//! Subrosa's decisions: from a resource, observed facts and the time to what should be so.
//!
//! Nothing here touches the world: no I/O, no clock, no randomness, no environment. The operator
//! observes, asks this crate, and carries out what it says; `subrosa render` asks the same of files.

pub mod bundle;
pub mod certificate;
pub mod channel;
pub mod connection;
pub mod coverage;
pub mod discover;
pub mod domain;
pub mod domain_status;
pub mod extra_trust;
pub mod fault;
pub mod keys;
pub mod leaf;
pub mod ledger;
pub mod network;
pub mod objects;
pub mod party;
pub mod party_status;
pub mod pod_certificate;
pub mod probe;
pub mod restart;
pub mod retention_status;
pub mod secrets;
pub mod selector;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trust;
pub mod validity;
pub mod world;
