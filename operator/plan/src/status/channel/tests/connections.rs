//! Connections, one by one and summed up.

use super::*;

#[test]
fn ready_does_not_wait_for_the_consent_of_others() {
    let scene = scene().channel(VOICE, voice(json!({"accepts": [{"name": "ivr"}, {"name": "nobody"}]})));
    let status = status(&scene);
    assert_eq!(said(&status, condition::READY), says("True", "InForceUnproven"));
    assert_eq!(said(&status, condition::CONNECTED), says("False", "NotFound"));
    assert!(find(&status.conditions, condition::CONNECTED).unwrap().message.contains("nobody (NotFound)"));
    assert_eq!(status.connection_summary.as_deref(), Some("1/2"));
}

#[test]
fn a_connection_is_open_only_when_it_is_in_force() {
    let scene = scene();
    let first = |scene: &Scene, edit: &dyn Fn(&mut Applied)| {
        let (plan, mut applied) = in_force(scene);
        edit(&mut applied);
        let one = judged(scene, &plan, &applied).connections.remove(0);
        (one.state, one.reason.unwrap_or_default(), one.next_step.unwrap_or_default())
    };
    assert_eq!(first(&scene, &|_| {}).0, "Open");
    type Break = fn(&mut Applied);
    let mend = "mend what condition Ready of this Channel tells (VaultSealed)";
    let (wait, peer) = ("none: it opens by itself", "none, if it opens within a minute");
    let breaks: [(Break, &str, &str); 4] = [
        (|one| break_control(one, Control::Network), "unseal it", mend),
        (|one| one.has_policy = false, "no network policy yet", wait),
        (|one| break_control(one, Control::Certificate), "certificate is not in force", mend),
        (|one| one.trusting.clear(), "no certificate authority yet", peer),
    ];
    for (broken, because, next) in breaks {
        let (state, reason, next_step) = first(&scene, &broken);
        assert_eq!(state, "Closed");
        assert!(reason.contains(because), "{reason}");
        assert!(next_step.contains(next), "{next_step}");
    }
    let mut theirs = scene.clone();
    theirs.world.network_policies.get_mut("cc-front").unwrap().remove("subrosa-channel-ivr");
    let (state, reason, next_step) = first(&theirs, &|_| {});
    assert_eq!(state, "Closed");
    assert!(reason.contains("policy of Channel cc-front/ivr does not have it yet"), "{reason}");
    assert!(next_step.contains("see status.connections of Channel cc-front/ivr"), "{next_step}");

    let status = testing::read(json!({"conditions": [ready("False", "UnknownDataClass")]}));
    let held_up = testing::edited(theirs.get("cc-front/ivr"), |one| one.status = Some(status));
    let (_, _, next_step) = first(&theirs.given(held_up), &|_| {});
    assert!(next_step.contains("of Channel cc-front/ivr tells (UnknownDataClass)"), "{next_step}");
}

fn withdrawal(name: &str, other: &str) -> Withdrawal {
    let key = ConnectionKey {
        direction: Direction::Ingress,
        name: name.into(),
        other: Other::Channel(named(other)),
    };
    Withdrawal { key, since: now(), until: None }
}

#[test]
fn what_was_withdrawn_is_closing_until_it_is_proven_closed() {
    let scene = scene().channel("cc-front/ivr", json!({}));
    let (plan, mut applied) = in_force(&scene);
    assert_eq!(judged(&scene, &plan, &applied).connections[0].state, "AwaitingConsent");
    applied.record.as_mut().unwrap().closing = vec![withdrawal("ivr", "cc-front/ivr")];
    let status = judged(&scene, &plan, &applied);
    assert_eq!(status.connections[0].state, "Closing");
    assert_eq!(said(&status, condition::CONNECTED), says("False", "Closing"));
}

#[test]
fn what_could_not_be_withdrawn_is_told() {
    let open = scene().record("cc-front/voice").open;
    for rest in [json!({"accepts": [{"name": "ivr"}]}), json!({"accepts": []})] {
        let mut spec = json!({"listeners": [{"name": "sips", "port": 5061}]});
        testing::merge(&mut spec, rest);
        let scene = scene().channel("cc-front/ivr", json!({})).channel("cc-front/voice", spec);
        let (plan, mut applied) = in_force(&scene);
        applied.record.as_mut().unwrap().open = open.clone();
        let status = judged(&scene, &plan, &applied);
        let one = status.connections.iter().find(|one| one.name == "ivr").unwrap();
        assert_eq!(one.state, "Closing");
        assert!(one.reason.as_ref().unwrap().contains("still have it"), "{one:?}");
        assert!(one.next_step.as_ref().unwrap().contains("condition Ready"), "{one:?}");
    }
}

#[test]
fn a_removed_entry_is_shown_and_not_counted() {
    let scene = scene();
    let (plan, mut applied) = in_force(&scene);
    applied.record.as_mut().unwrap().closing =
        vec![withdrawal("menu", "cc-front/menu"), withdrawal("ivr", "cc-front/other")];
    let status = judged(&scene, &plan, &applied);
    let shown: Vec<_> =
        status.connections.iter().map(|one| (one.name.as_str(), one.state.as_str())).collect();
    assert_eq!(
        shown,
        [("ivr", "Open"), ("menu", "Closing")],
        "a list-map has one entry a name and direction"
    );
    assert!(status.connections[1].reason.as_ref().unwrap().contains("Channel cc-front/menu"));
    // Every connection that is declared is open, and what is not declared is not owed.
    assert_eq!(said(&status, condition::CONNECTED), says("True", "AllOpen"));
    assert_eq!(status.connection_summary.as_deref(), Some("1/1"));
}

#[test]
fn nothing_declared_is_nothing_to_wait_for() {
    let scene = scene().channel(VOICE, voice(json!({"accepts": []})));
    let status = status(&scene);
    assert_eq!(said(&status, condition::CONNECTED), says("True", "NothingDeclared"));
    assert_eq!(status.connection_summary.as_deref(), Some("0/0"));
}
