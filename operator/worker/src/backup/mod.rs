//! Backups of a Channel's volumes and databases: encrypted here, with keys that Vault keeps, in a store that cannot read them.
//!
//! ```text
//!  run ─┬──> volume ──> source      what is read, and whether that can be all
//!       └──> dump                   a database, as another container gives it
//!  restore ─┐
//!  drill ───┤
//!  check ───┼──> manifest           which snapshots there are, sealed and chained
//!  run ─────┘
//!       └──> repository ──> packs   rustic's view of a window's objects, each compared with its name
//!       └──> keys                   the repository's key, wrapped by Vault
//!                 store ──> s3      objects that are created once
//!  prune ─────> versions ──> s3      what nobody can read any more, removed with all its versions
//! ```
//!
//! One repository per window, in restic's format, below `<id>/<window>/`; manifests below `<id>/manifests/`. Nobody
//! but Vault opens a repository: there is no password. Nothing overwrites an object, and only [`prune`] removes some:
//! with credentials of its own, where the key of a window was destroyed.

pub mod check;
pub mod drill;
mod dump;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod fake;
mod keys;
pub mod manifest;
mod packs;
pub mod problem;
pub mod progress;
pub mod prune;
mod repository;
pub mod restore;
pub mod run;
mod s3;
pub mod settings;
mod signed;
mod source;
pub mod store;
#[cfg(test)]
mod tests;
pub mod versions;
mod volume;

pub use keys::WindowKeys;
