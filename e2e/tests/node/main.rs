//! What Subrosa writes, on a node where pods mount it. One node serves every test here; where the machine can have
//! none, each of them says so in one line and passes. How to write one: CONTRIBUTING.md, "Tests on a node".

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod bare;
mod demo;
mod leavings;
mod pod_certificate;
mod release;
mod renewal;
mod served;
mod servers;
mod shared;
