//! The Vault client, the static setup and what its policies confine, against a real OpenBao, and a real API
//! server where ServiceAccounts log in.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod aliases;
mod attempts;
mod confinement;
mod connection;
mod destroy;
mod operations;
mod session;
mod setup;
mod support;
mod verbatim;
mod workload;
