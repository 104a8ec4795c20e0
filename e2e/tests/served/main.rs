//! What pods serve, as probes see it, and restarts for renewed certificates.
//!
//! There is no node here: the tests make the pods and write their status, as a kubelet would, with addresses of
//! loopback at which real TLS servers answer with the issued files. No controller replaces pods or counts what a
//! budget allows either; where those are needed, a test plays them.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod external;
mod probes;
mod restarts;
mod server;
mod stage;

// Shared with another test, which uses more of it.
#[allow(dead_code)]
#[path = "../moving/foreign.rs"]
mod foreign;
