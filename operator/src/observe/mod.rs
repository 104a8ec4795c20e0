//! Observes the world as plain facts. Nothing here writes.

pub mod asked;
pub mod children;
pub mod cluster;
pub mod convert;
pub mod decisions;
pub mod definitions;
pub mod due_keys;
pub mod engines;
pub mod guards;
pub mod health;
pub mod key_watch;
pub mod pod_certificates;
pub mod probe;
pub mod surroundings;
pub mod vaults;
pub mod watch;
pub mod workloads;

pub use cluster::{Binding, Cluster};
pub use surroundings::Surroundings;
pub use vaults::DomainVault;
