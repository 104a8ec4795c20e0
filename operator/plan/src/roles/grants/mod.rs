//! AccessGrants: one person gets what an AccessRole names, for a limited time.
//!
//! ```text
//!   AccessGrant ─▶ record ─▶ what a grant slot opens ─▶ policy with a ttl ─▶ member: the person's entity
//!               (granter)        (operator)               (granter)              (granter)
//! ```
//!
//! A grant slot is a group in Vault, as a slot of a login is one. The role of a login names the policies of its grant slots
//! from the start, and none of them exists. The granter writes such a policy with the one text that its rights name, and with a
//! ttl, after which Vault removes it, whether or not anything else runs. So a grant ends by Vault's clock. What is open is the
//! pair of a Channel and a class in the metadata of the slot, which the operator writes, for who is its member.
//!
//! The record is written before anything else ([`progress`]), so a grant begins once and is never prolonged: not by a restart,
//! and not by a clock that was set back.

pub mod decision;
pub mod names;
pub mod progress;
pub mod slots;
pub mod status;

#[cfg(test)]
pub(crate) mod testing;
