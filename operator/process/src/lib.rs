//! Code shared by the small processes beside the operator. Each has its own ServiceAccount and identity in Vault, and
//! decides nothing here: its rights are in the grants, its work in its own crate.

pub mod cluster;
pub mod guard;
pub mod server;
pub mod vault;
