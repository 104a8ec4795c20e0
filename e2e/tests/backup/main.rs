//! Backups of volumes and databases with a real OpenBao and a real S3 server that authenticates.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod confined;
mod dumped;
mod locked;
mod pruned;
mod scene;
mod store;
mod whole;
