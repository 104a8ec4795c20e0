//! Who may use keys in Vault, and whose access is withdrawn.

pub mod alias;
pub mod orphans;
pub mod shared;
pub mod store;
