//! The Subrosa operator: observes, lets `subrosa-plan` decide, executes and reports.
//!
//! ```text
//!  changes ──▶ controllers ──▶ observe ──▶ (subrosa-plan) ──▶ execute ──▶ report
//!                                 │                              │
//!                                 └─── (subrosa-records), pki ───┘
//! ```

pub mod changes;
pub mod cli;
pub mod context;
pub mod controllers;
pub mod execute;
pub mod grants;
pub mod kinds;
pub mod lead;
pub mod logging;
pub mod observe;
pub mod pending;
pub mod pki;
pub mod report;
pub mod run;
pub mod server;
pub mod session;
pub mod settings;
pub mod subject;
#[cfg(feature = "otlp")]
pub mod traces;
