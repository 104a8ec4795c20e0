//! Subrosa's decisions: what should exist and what status says, from a resource, observed facts and the time.
//!
//! Nothing here does I/O or reads a clock, randomness or the environment. The operator observes, asks this crate and
//! carries out the answer; `subrosa render` asks it about files.
//!
//! Each directory is a room. A room imports only rooms below it in this drawing:
//!
//! ```text
//!   status             what the status of each kind says             discover
//!      │                                                             drafts of Channels for
//!   pod_certificate    how pods' requests are answered               workloads that run already
//!   restart            whether a workload is restarted                  │
//!   probe              which pods are probed                            │
//!      │                                                                │
//!   channel            the plan of one Channel                          │
//!      │                                                                │
//!   adoption           Channels that adopt keys of earlier ones         │
//!   roles              what people may open                             │
//!   access             who may use keys in Vault, and who loses access  │
//!   backup             the worker that makes backups, and its runs      │
//!   sealing            the settings with which a workload seals         │
//!   destruction        what is due, held, approved, destroyed           │
//!   keys               data keys by class and cohort                    │
//!   network            network policies, and what others open           │
//!   certificate        authority, leaf, trust files, Secrets            │
//!   consent            connections, parties, further authorities        │
//!      │                                                                │
//!   record             the records in Vault                             │
//!      │                                                                │
//!   world              what was observed; imports no room    ◀──────────┘
//! ```
//!
//! `tests/rooms.rs` reads the imports and fails on one that leads upwards.

pub mod access;
pub mod adoption;
pub mod backup;
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
