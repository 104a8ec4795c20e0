//! Status, Events and metrics. Nothing here fails a reconcile.

mod events;
pub mod metrics;
mod reporter;
mod told;
mod written;

pub use reporter::Reporter;
