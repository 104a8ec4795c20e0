//! Backups of a Channel's volumes: encrypted here, with keys that Vault keeps, in a store that cannot read them.
//!
//! ```text
//!  run ────> volume ──> source      what is read, and whether that can be all
//!  restore ─┐
//!  check ───┼──> manifest           which snapshots there are, sealed and chained
//!  run ─────┘
//!       └──> repository ──> packs   rustic's view of a window's objects, each compared with its name
//!       └──> keys                   the repository's key, wrapped by Vault
//!                 store ──> s3      objects that are created once
//! ```
//!
//! One repository per window, in restic's format, below `<id>/<window>/`; manifests below `<id>/manifests/`. Nobody
//! but Vault opens a repository: there is no password. Nothing here overwrites or removes an object.

pub mod check;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod fake;
mod keys;
pub mod manifest;
mod packs;
pub mod problem;
pub mod progress;
mod repository;
pub mod restore;
pub mod run;
mod s3;
pub mod settings;
mod source;
pub mod store;
#[cfg(test)]
mod tests;
mod volume;

pub use keys::WindowKeys;
