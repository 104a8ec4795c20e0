//! An older view of a declaration never opens what a newer one did not, and consent is to a namespace as it was.

use proptest::prelude::*;

use super::*;

/// The plan of `voice` by a record, and the record that it leaves.
fn planned(scene: &Scene, record: &ChannelRecord) -> (Plan, ChannelRecord) {
    let name = named("cc-front/voice");
    let channel = scene.world.channel(&name).unwrap();
    let plan = plan(channel, &scene.world, Some(record), now()).unwrap();
    let after = plan.remember(record.clone(), true, None, now());
    (plan, after)
}

fn edited(scene: Scene, name: &str, edit: impl FnOnce(&mut subrosa_crds::Channel)) -> Scene {
    let channel = testing::edited(scene.get(name), edit);
    scene.given(channel)
}

fn state_of<'a>(plan: &'a Plan, name: &str) -> (&'a str, &'a str) {
    let one = plan.connections.iter().find(|one| one.name == name).unwrap();
    (one.state.as_str(), one.next_step.as_deref().unwrap_or_default())
}

#[test]
fn an_older_view_opens_nothing_and_keeps_what_is_open() {
    let fresh = scene().first_record("cc-front/voice");
    let (_, mut record) = planned(&scene(), &fresh);
    assert_eq!(record.follows, Some(View { uid: "uid-cc-front-voice".into(), generation: 3 }));
    record.open.remove(&key(Direction::Ingress, "ivr", "cc-front/ivr"));
    record.follows.as_mut().unwrap().generation = 4;
    record.access = None;
    let (plan, after) = planned(&scene(), &record);
    assert_eq!(plan.open(), [key(Direction::Egress, "recorder", "cc-data/recorder")].into());
    assert_eq!(plan.access, None, "nothing is granted by an older view");
    assert_eq!(after.follows, record.follows, "what was recorded stays");

    let newer = edited(scene(), "cc-front/voice", |channel| channel.metadata.generation = Some(5));
    let (plan, after) = planned(&newer, &record);
    assert_eq!(plan.open(), both());
    assert_eq!(after.follows.unwrap().generation, 5);
}

#[test]
fn an_older_view_withdraws() {
    let fresh = scene().first_record("cc-front/voice");
    let (_, mut record) = planned(&scene(), &fresh);
    record.follows.as_mut().unwrap().generation = 9;
    let less = scene().channel("cc-front/voice", voice(json!({"accepts": []})));
    let (_, after) = planned(&less, &record);
    assert_eq!(after.open, [key(Direction::Egress, "recorder", "cc-data/recorder")].into());
    assert_eq!(after.closing.len(), 1);
}

#[test]
fn an_older_consent_of_a_peer_opens_nothing() {
    let fresh = scene().first_record("cc-front/voice");
    let (_, mut record) = planned(&scene(), &fresh);
    record.peers.get_mut("cc-data/recorder").unwrap().view.generation = 4;
    record.open.clear();
    let (plan, after) = planned(&scene(), &record);
    assert_eq!(state_of(&plan, "recorder").0, "AwaitingConsent");
    assert_eq!(after.peers["cc-data/recorder"].view.generation, 4);
    let newer = edited(scene(), "cc-data/recorder", |channel| channel.metadata.generation = Some(4));
    assert_eq!(state_of(&planned(&newer, &record).0, "recorder").0, "Open");
}

#[test]
fn consent_is_to_a_namespace_as_it_was() {
    let fresh = scene().first_record("cc-front/voice");
    let (_, record) = planned(&scene(), &fresh);
    let mut again = scene();
    again.world.namespaces.get_mut("cc-data").unwrap().uid = "uid-another".into();
    let (plan, after) = planned(&again, &record);
    let (state, next) = state_of(&plan, "recorder");
    assert_eq!(state, "AwaitingConsent");
    assert!(next.contains("subrosa.dev/consents: cc-data=uid-another"), "{next}");
    assert_eq!(state_of(&plan, "ivr").0, "Open", "its own namespace is the one it is in");
    assert_eq!(after.peers["cc-data/recorder"].namespace_uid, "uid-cc-data", "and the record keeps that");

    let annotated = |text: &str| {
        edited(again.clone(), "cc-front/voice", |channel| {
            let annotation = ("subrosa.dev/consents".to_owned(), text.to_owned());
            channel.metadata.annotations = Some([annotation].into());
        })
    };
    for text in ["cc-data=uid-cc-data", "cc-web=uid-another", "uid-another", "cc-data=uid-anotherx"] {
        assert_eq!(
            state_of(&planned(&annotated(text), &record).0, "recorder").0,
            "AwaitingConsent",
            "{text}"
        );
    }
    let (plan, after) = planned(&annotated("cc-web=x, cc-data=uid-another"), &record);
    assert_eq!(state_of(&plan, "recorder").0, "Open");
    assert_eq!(after.peers["cc-data/recorder"].namespace_uid, "uid-another");
    assert_eq!(
        state_of(&planned(&again, &after).0, "recorder").0,
        "Open",
        "recorded, it needs no annotation"
    );
}

#[test]
fn an_entry_that_was_removed_and_written_again_consents_anew() {
    let fresh = scene().first_record("cc-front/voice");
    let (_, record) = planned(&scene(), &fresh);
    let less = scene().channel("cc-front/voice", voice(json!({"connectsTo": []})));
    let (_, record) = planned(&less, &record);
    assert!(!record.peers.contains_key("cc-data/recorder"));
    let mut again = scene();
    again.world.namespaces.get_mut("cc-data").unwrap().uid = "uid-another".into();
    assert_eq!(state_of(&planned(&again, &record).0, "recorder").0, "Open");
}

/// The generation of every Channel of the scene but the one that is planned.
const OF_PEERS: i64 = 3;

fn some_of(all: BTreeSet<ConnectionKey>, chosen: [bool; 2]) -> BTreeSet<ConnectionKey> {
    all.into_iter().zip(chosen).filter_map(|(key, chosen)| chosen.then_some(key)).collect()
}

/// `voice` as it declares some of its two connections, in a generation, with its ServiceAccount or another of its name.
fn viewed(declared: &BTreeSet<ConnectionKey>, generation: i64, account: &str) -> Scene {
    let declares = |name: &str| declared.iter().any(|key| key.name == name);
    let (mut accepts, mut connects_to) = (json!([]), json!([]));
    if declares("ivr") {
        accepts = json!([{"name": "ivr"}]);
    }
    if declares("recorder") {
        connects_to = json!([{"name": "recorder", "namespace": "cc-data"}]);
    }
    let scene = scene()
        .account("cc-front/sbc", account)
        .channel("cc-front/voice", voice(json!({"accepts": accepts, "connectsTo": connects_to})));
    edited(scene, "cc-front/voice", |channel| channel.metadata.generation = Some(generation))
}

proptest! {
    /// Whatever the record has seen, what is withdrawn goes and certificates are made as if it had seen nothing; and what
    /// opens is never more than the newest view has.
    #[test]
    fn withdrawals_and_renewals_pass_whatever_the_view(
        declares: [bool; 2], noted: [bool; 2], generation in 1..6_i64, recorded in 1..6_i64,
        of_peers in 1..6_i64, had in any::<bool>(), account in prop::sample::select(vec!["sa-uid", "sa-another"]),
    ) {
        let declared = some_of(both(), declares);
        let scene = viewed(&declared, generation, account);
        let mut record = scene.first_record("cc-front/voice");
        record.open = some_of(both(), noted);
        record.follows = Some(View { uid: "uid-cc-front-voice".into(), generation: recorded });
        for (peer, namespace) in [("cc-front/ivr", "uid-cc-front"), ("cc-data/recorder", "uid-cc-data")] {
            let uid = format!("uid-{}", peer.replace('/', "-"));
            let seen = PeerView { view: View { uid, generation: of_peers }, namespace_uid: namespace.into() };
            record.peers.insert(peer.into(), seen);
        }
        record.access = had.then(|| Access { service_account_uid: "sa-uid".into(), may_open: false });
        let (plan, after) = planned(&scene, &record);
        let (unfenced, _) = planned(&scene, &ChannelRecord { follows: None, peers: BTreeMap::new(), ..record.clone() });

        // Renewals.
        prop_assert_eq!(&plan.leaf, &unfenced.leaf);
        prop_assert_eq!(&plan.authority, &unfenced.authority);
        prop_assert_eq!((&plan.scope, &plan.secret_name), (&unfenced.scope, &unfenced.secret_name));
        // Withdrawals.
        prop_assert!(plan.open().is_subset(&declared));
        let closing: BTreeSet<_> = after.closing.iter().map(|one| one.key.clone()).collect();
        prop_assert_eq!(closing, record.open.difference(&declared).cloned().collect());
        if had && account != "sa-uid" {
            let gone = record.access.clone().unwrap();
            prop_assert_eq!(plan.access_change(&record), intent::AccessChange::Withdraw(gone));
        }
        // What is open stays so, and what opens is in the newest view of both ends.
        let stays: BTreeSet<_> = record.open.intersection(&declared).cloned().collect();
        prop_assert!(stays.is_subset(&plan.open()));
        if generation < recorded || OF_PEERS < of_peers {
            prop_assert_eq!(plan.open(), stays);
        } else {
            prop_assert_eq!(plan.open(), declared);
        }
        prop_assert_eq!(after.follows.unwrap().generation, generation.max(recorded));
        prop_assert!(plan.access.is_none() || generation >= recorded || plan.access == record.access);
    }
}
