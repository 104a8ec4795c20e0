//! From a namespace that runs already to one that is governed, on a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod discover;
