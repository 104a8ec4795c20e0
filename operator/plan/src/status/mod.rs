//! What the status of each kind says.

pub mod channel;
pub mod external_party;
pub mod retention_policy;
pub mod trust_domain;

pub use channel::{channel, exception_news, needs_attention, turned_bad, ungoverned};
