//! What the status of each kind says.

pub mod channel;
pub mod external_party;
pub mod retention_policy;
pub mod trust_domain;

/// Reason and message while not every key of a trust domain was looked at: of those in Vault from before, nothing is
/// known yet.
const KEYS_UNSEEN: (&str, &str) = (
    "KeysUnseen",
    "not every key of this trust domain was looked at yet since its faults are remembered: whether the older ones are \
     as they should be is known soon",
);

pub use channel::{channel, exception_news, needs_attention, opens_at_once, turned_bad, ungoverned};
