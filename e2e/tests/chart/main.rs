//! The charts: what they render, what they refuse, what an installation, an upgrade and an
//! uninstallation do on a real API server, and the alerts and the dashboard that come along.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed helper fails its test"
)]

mod conform;
mod dashboard;
mod install;
mod protect;
mod render;
mod rendered;
mod rules;
mod support;
mod values;
