//! Whether a first status can wait for a peer that is being created too.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{ChannelStatus, names::ChannelRef};

use crate::{
    consent::connection::State,
    world::{World, declaration::Declaration},
};

/// How long after a Channel's creation its first status may wait. When hundreds are created at once, the second of a
/// pair may be reconciled this much later.
const YOUNG: SignedDuration = SignedDuration::from_secs(30);

/// Whether `status` would be the first of a new Channel with an agreed connection that is not in force yet, whose
/// peer has no status either. Both are being created, and one later status can report both.
#[must_use]
pub fn opens_at_once(channel: &Declaration, status: &ChannelStatus, world: &World, now: Timestamp) -> bool {
    let young = channel.created().is_some_and(|created| {
        let age = now.duration_since(created);
        !age.is_negative() && age < YOUNG
    });
    let agreed = State::Closed.as_str();
    let being_made = |peer: ChannelRef| {
        peer != *channel.name() && world.channel(&peer).is_some_and(|peer| !peer.has_status())
    };
    !channel.has_status()
        && young
        && status.connections.iter().any(|one| one.state == agreed)
        && channel.peers().any(being_made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn channel(name: &str, peer: &str) -> Declaration {
        testing::declaration(json!({
            "metadata": {"name": name, "namespace": "cc-front", "creationTimestamp": "2026-11-22T12:00:00Z"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": name}}}, "connectsTo": [{"name": peer}]},
        }))
    }

    #[test]
    fn only_a_first_status_waits_only_for_a_peer_that_has_none_and_not_for_long() {
        let ivr = ChannelRef::new("cc-front", "ivr");
        let new = channel("voice", "ivr");
        let mut world = World::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let with = |state: &str| -> ChannelStatus {
            testing::read(json!({"connections": [{"name": "ivr", "direction": "Ingress", "state": state}]}))
        };
        let soon = at("2026-11-22T12:00:01.5Z");
        let waits = |channel: &Declaration, state: &str, world: &World, now| {
            opens_at_once(channel, &with(state), world, now)
        };
        assert!(!waits(&new, "Closed", &world, soon), "there is no such peer");
        world.put_channel(&ivr, Some(channel("ivr", "voice")));
        assert!(waits(&new, "Closed", &world, soon));
        for state in ["Open", "AwaitingConsent", "NotFound", "Refused", "Closing"] {
            assert!(!waits(&new, state, &world, soon), "{state} does not pass by itself");
        }
        let late = at("2026-11-22T12:00:30Z");
        assert!(!waits(&new, "Closed", &world, late), "a peer that takes longer is told");
        let before = at("2026-11-22T11:59:59Z");
        assert!(!waits(&new, "Closed", &world, before), "clocks that disagree wait for nobody");
        let told =
            |one: &Declaration| testing::edited(one, |one| one.status = Some(ChannelStatus::default()));
        assert!(!waits(&told(&new), "Closed", &world, soon));
        world.put_channel(&ivr, Some(told(&channel("ivr", "voice"))));
        assert!(!waits(&new, "Closed", &world, soon), "the peer has said what it waits for");
    }
}
