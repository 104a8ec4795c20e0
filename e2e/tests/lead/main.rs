//! Two operators, one Lease: however the leader goes, the other one takes over in time, and by the audit
//! logs of both servers nothing is done by the old one after that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

mod failover;
mod nobody;
mod stage;
mod stale;
mod timeline;
