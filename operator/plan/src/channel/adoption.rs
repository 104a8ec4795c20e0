//! When a namespace begins to deny by default: what its Channels declare is allowed first.
//!
//! ```text
//!   the label is set, or Audit ends ──▶ the policies of the Channels ──▶ the default deny
//!                 │                                                        ▲
//!                 └────────────── at the latest after 30 seconds ──────────┘
//! ```
//!
//! Nothing here is decided by the status of a Channel: when its namespace is adopted, it still says that no trust
//! domain governs it.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{TrustDomain, names::ChannelRef, trust_domain::NetworkMode};

use super::declaration;
use crate::{
    network,
    world::{World, domain},
};

/// How long the default deny waits at the most.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What becomes of a namespace's default deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultDeny {
    /// None is wanted: policies are only reported here, or the trust domain does without.
    NotWanted,
    /// It waits until these Channels have their policy.
    Waits(Vec<ChannelRef>),
    /// It is in its place: only its content is still to be compared.
    InPlace,
    /// It is to be written, once the API server has no Channels here that were not seen: see [`unseen`].
    Due,
    /// It has waited long enough and is to be written.
    Overdue,
}

/// Decides on the default deny of `namespace`. `wanted` says since when one is wanted and is not there.
pub fn default_deny(
    namespace: &str,
    domain: &TrustDomain,
    world: &World,
    wanted: Timestamp,
    now: Timestamp,
) -> DefaultDeny {
    if domain::mode(domain, namespace) == NetworkMode::Audit || !domain::default_deny(domain) {
        return DefaultDeny::NotWanted;
    }
    let policies = world.network_policies.get(namespace);
    let has = |name: &str| policies.is_some_and(|policies| policies.contains_key(name));
    if has(network::DEFAULT_DENY) {
        return DefaultDeny::InPlace;
    }
    if wanted.checked_add(PATIENCE).is_ok_and(|latest| latest <= now) {
        return DefaultDeny::Overdue;
    }
    let channels = world.channels.get(namespace).into_iter().flatten();
    let waits: Vec<_> = channels
        .filter(|(name, _)| !has(&network::policy_name(name)))
        .map(|(name, channel)| (ChannelRef::new(namespace, name), channel))
        // Nothing is made for one whose declaration cannot be followed.
        .filter(|(name, channel)| declaration::check(channel, name, world, now).is_ok())
        .map(|(name, _)| name)
        .collect();
    if waits.is_empty() { DefaultDeny::Due } else { DefaultDeny::Waits(waits) }
}

/// A Channel as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Option<String>,
    /// Which of its declarations it is.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The Channels of `declared` that the watch has not told of yet, or of which it has told something older.
pub fn unseen(namespace: &str, declared: &[Declared], world: &World) -> Vec<ChannelRef> {
    let seen = |one: &Declared| {
        let known = world.channels.get(namespace).and_then(|channels| channels.get(&one.name));
        known
            .is_some_and(|known| known.metadata.uid == one.uid && known.metadata.generation >= one.generation)
    };
    let late = declared.iter().filter(|one| !one.terminating && !seen(one));
    late.map(|one| ChannelRef::new(namespace, one.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_crds::{ChannelStatus, condition};

    use super::*;
    use crate::testing::{DOMAIN, Scene, at, channel, named, now, read};

    const NS: &str = "cc-front";

    /// Two Channels that say of themselves that no trust domain governs them.
    fn scene() -> Scene {
        let stalled: ChannelStatus = read(json!({"conditions": [{
            "type": condition::STALLED, "status": "True", "reason": "NamespaceNotGoverned", "message": "ask",
            "lastTransitionTime": "2026-11-22T11:00:00Z", "observedGeneration": 3,
        }]}));
        let declared = [
            (
                "cc-front/voice",
                json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]}),
            ),
            ("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]})),
        ];
        declared.into_iter().fold(Scene::new(), |scene, (name, spec)| {
            let mut channel = channel(name, spec);
            channel.status = Some(stalled.clone());
            scene.given(channel)
        })
    }

    fn decide(scene: &Scene, wanted: &str) -> DefaultDeny {
        default_deny(NS, &scene.domains[DOMAIN], scene, at(wanted), now())
    }

    #[test]
    fn every_channel_has_its_policy_first_whatever_its_status_says() {
        let since = "2026-11-22T11:59:55Z";
        let waits = |names: &[&str]| DefaultDeny::Waits(names.iter().map(|name| named(name)).collect());
        assert_eq!(decide(&scene(), since), waits(&["cc-front/ivr", "cc-front/voice"]));
        assert_eq!(decide(&scene().in_force(&["cc-front/ivr"]), since), waits(&["cc-front/voice"]));
        let all = scene().in_force(&["cc-front/ivr", "cc-front/voice"]);
        assert_eq!(decide(&all, since), DefaultDeny::Due);
        let denied = all.policy(NS, network::default_deny(NS, DOMAIN));
        assert_eq!(decide(&denied, since), DefaultDeny::InPlace);
    }

    #[test]
    fn one_for_which_nothing_is_made_is_not_waited_for() {
        let scene = scene()
            .in_force(&["cc-front/ivr", "cc-front/voice"])
            .channel("cc-front/scribe", json!({"dataClasses": ["unheard-of"]}));
        assert_eq!(decide(&scene, "2026-11-22T11:59:55Z"), DefaultDeny::Due);
    }

    #[test]
    fn it_waits_for_half_a_minute_from_when_it_is_wanted() {
        assert!(matches!(decide(&scene(), "2026-11-22T11:59:31Z"), DefaultDeny::Waits(_)));
        assert_eq!(decide(&scene(), "2026-11-22T11:59:30Z"), DefaultDeny::Overdue);
    }

    #[test]
    fn none_is_wanted_where_policies_are_only_reported_or_the_domain_does_without() {
        for network in [json!({"mode": "Audit"}), json!({"defaultDeny": false})] {
            let scene = scene().domain(DOMAIN, json!({"network": network}));
            assert_eq!(decide(&scene, "2026-11-22T11:00:00Z"), DefaultDeny::NotWanted);
        }
    }

    #[test]
    fn what_the_watch_has_not_told_of_is_unseen() {
        let scene = scene();
        let one = |name: &str| Declared {
            name: name.into(),
            uid: Some(format!("uid-cc-front-{name}")),
            generation: Some(3),
            terminating: false,
        };
        let declared = [
            one("voice"),
            Declared { generation: Some(4), ..one("ivr") },
            one("chat"),
            Declared { terminating: true, ..one("gone") },
        ];
        assert_eq!(unseen(NS, &declared, &scene), [named("cc-front/ivr"), named("cc-front/chat")]);
        let recreated = Declared { uid: Some("another".into()), ..one("voice") };
        assert_eq!(unseen(NS, &[recreated], &scene), [named("cc-front/voice")]);
    }
}
