//! The status of each kind.

use subrosa_crds::Reason;

pub mod channel;
pub mod external_party;
pub mod retention_policy;
pub mod trust_domain;

/// Reason and message while some key of a trust domain was not checked within a day, so that its state is unknown.
const KEYS_UNSEEN: (Reason, &str) = (
    Reason::KeysUnseen,
    "not every key of this trust domain was looked at within the last day: whether the older ones are as they should be is \
     known once the operator has looked at each",
);

pub use channel::{channel, earlier_news, exception_news, late_from, opens_at_once, turned_bad, ungoverned};
