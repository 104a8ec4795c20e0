//! Whether a first status can wait for the moment that a new peer needs.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{Channel, ChannelStatus};

use crate::consent::connection::State;

/// How young a Channel is whose first status waits; Kubernetes tells the time of a creation in whole seconds.
const YOUNG: SignedDuration = SignedDuration::from_secs(2);

/// Whether `status` would be the first of a Channel that was just made, and one of its connections is agreed by both
/// ends and not in force yet: then the peer is most likely being made as well, and the next status tells of both.
#[must_use]
pub fn opens_at_once(channel: &Channel, status: &ChannelStatus, now: Timestamp) -> bool {
    let created = channel.metadata.creation_timestamp.as_ref().map(|created| created.0);
    let young = created.is_some_and(|created| {
        let age = now.duration_since(created);
        !age.is_negative() && age < YOUNG
    });
    let agreed = State::Closed.as_str();
    channel.status.is_none() && young && status.connections.iter().any(|one| one.state == agreed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn only_a_first_status_waits_only_for_a_peer_and_only_for_a_moment() {
        let new: Channel = testing::read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": "voice", "namespace": "cc-front", "creationTimestamp": "2026-11-22T12:00:00Z"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}},
        }));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let with = |state: &str| -> ChannelStatus {
            testing::read(json!({"connections": [{"name": "ivr", "direction": "Ingress", "state": state}]}))
        };
        let soon = at("2026-11-22T12:00:01.5Z");
        assert!(opens_at_once(&new, &with("Closed"), soon));
        for state in ["Open", "AwaitingConsent", "NotFound", "Refused", "Closing"] {
            assert!(!opens_at_once(&new, &with(state), soon), "{state} does not pass by itself");
        }
        assert!(!opens_at_once(&new, &ChannelStatus::default(), soon));
        assert!(
            !opens_at_once(&new, &with("Closed"), at("2026-11-22T12:00:02Z")),
            "a peer that takes longer is told"
        );
        assert!(
            !opens_at_once(&new, &with("Closed"), at("2026-11-22T11:59:59Z")),
            "clocks that disagree wait for nobody"
        );
        let told = Channel { status: Some(ChannelStatus::default()), ..new };
        assert!(!opens_at_once(&told, &with("Closed"), soon));
    }
}
