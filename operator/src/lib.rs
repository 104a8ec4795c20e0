//! Under construction.
pub mod grants;
pub mod pki;
pub mod vault;
