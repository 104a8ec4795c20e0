use serde_json::json;
use subrosa_crds::{ChannelStatus, condition};

use super::*;
use crate::testing::{DOMAIN, Scene, at, channel, edited, named, now, read};

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
        let channel = channel(name, spec);
        scene.given(edited(&channel, |channel| channel.status = Some(stalled.clone())))
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
    let one = |name: &str| ListedChannel {
        name: name.into(),
        uid: Some(format!("uid-cc-front-{name}")),
        generation: Some(3),
        terminating: false,
    };
    let declared = [
        one("voice"),
        ListedChannel { generation: Some(4), ..one("ivr") },
        one("chat"),
        ListedChannel { terminating: true, ..one("gone") },
    ];
    assert_eq!(unseen(NS, &declared, &scene), [named("cc-front/ivr"), named("cc-front/chat")]);
    let recreated = ListedChannel { uid: Some("another".into()), ..one("voice") };
    assert_eq!(unseen(NS, &[recreated], &scene), [named("cc-front/voice")]);
}
