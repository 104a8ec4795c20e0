//! What the small processes beside the operator share. Each has a ServiceAccount and an identity in Vault of its own, and decides
//! nothing here: what it may do stands in its rights, what it does in its own crate.

pub mod cluster;
pub mod server;
pub mod vault;
