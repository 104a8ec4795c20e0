//! What holds always: crashes hurt nothing, a settled world is quiet, no secret leaves its place, rights
//! are exactly those granted, and deleting neither opens nor destroys.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod canary;
mod cluster;
mod crash;
mod deletion;
mod forge;
mod imports;
mod quiet;
mod rights;
mod scenario;
mod sealing;
mod secrecy;
mod snapshot;
mod usage;
