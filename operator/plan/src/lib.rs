//! Subrosa's decisions: from a resource, observed facts and the time to what should be so.
//!
//! Nothing here touches the world: no I/O, no clock, no randomness, no environment. The operator
//! observes, asks this crate, and carries out what it says; `subrosa render` asks the same of files.
//!
//! Each directory is a room. A room imports only rooms that stand below it in this drawing:
//!
//! ```text
//!   status             what the status of each kind says             discover
//!      │                                                             drafts of Channels for
//!   pod_certificate    what a pod's request is answered              workloads that run already
//!   restart            whether a workload is restarted                  │
//!   probe              which pods are asked for their certificate       │
//!      │                                                                │
//!   channel            what should be so for one Channel                │
//!      │                                                                │
//!   adoption           Channels that take over keys of earlier ones     │
//!   roles              what people may open                             │
//!   access             who may use keys in Vault, and whose access goes │
//!   sealing            what a workload is told to seal with             │
//!   destruction        what is due, held, approved, destroyed           │
//!   keys               data keys by class and cohort                    │
//!   network            network policies, and what others open           │
//!   certificate        authority, leaf, trust files, Secrets            │
//!   consent            connections, parties, further authorities        │
//!      │                                                                │
//!   record             what must be remembered                          │
//!      │                                                                │
//!   world              what was seen; it asks no other room  ◀──────────┘
//! ```
//!
//! `tests/rooms.rs` reads the imports and fails where one leads upwards.

pub mod access;
pub mod adoption;
pub mod certificate;
pub mod channel;
pub mod consent;
pub mod destruction;
pub mod discover;
pub mod keys;
pub mod network;
pub mod pod_certificate;
pub mod probe;
pub mod record;
pub mod restart;
pub mod roles;
pub mod sealing;
pub mod status;
#[cfg(test)]
mod testing;
pub mod world;
