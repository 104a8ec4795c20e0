//! The records in Vault, in the form in which they are stored. Nothing here decides.

pub mod adoption;
pub mod break_glass;
pub mod channel;
pub mod connection;
pub mod decision;
pub mod destroyer;
pub mod ended;
pub mod extra_trust;
pub mod generations;
pub mod grants;
pub mod issuances;
pub mod keys;
pub mod news;
pub mod pods;
pub mod reviews;
pub mod revocations;
pub mod store;
pub mod views;
