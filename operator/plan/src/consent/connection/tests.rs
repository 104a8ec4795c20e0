mod parties;
mod services;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use subrosa_crds::{names::ChannelRef, trust_domain::Direction};

use super::*;
use crate::testing::{DOMAIN, Scene, named, now};

/// Judged with nothing remembered.
fn judged(scene: &Scene, name: &str) -> Vec<Connection> {
    judged_with(scene, name, Memory::default())
}

fn judged_with(scene: &Scene, name: &str, memory: Memory<'_>) -> Vec<Connection> {
    let domain = &scene.domains[DOMAIN];
    connections(scene.get(name), domain, scene, memory, now())
}

/// The only connection of `name`.
fn only(scene: &Scene, name: &str) -> Connection {
    let [one] = judged(scene, name).try_into().unwrap();
    one
}

/// State and ports, which say all that matters to a packet.
fn brief(connection: &Connection) -> (State, Vec<String>) {
    (connection.state, connection.ports.iter().map(ToString::to_string).collect())
}

fn open(ports: &[&str]) -> (State, Vec<String>) {
    (State::Open, ports.iter().map(|port| (*port).to_owned()).collect())
}

fn closed(state: State) -> (State, Vec<String>) {
    (state, Vec::new())
}

/// `cc-front/voice` connects to `cc-data/recorder`, which offers three listeners.
fn pair(client: Value, server: Value) -> Scene {
    let mut connects = json!({"name": "recorder", "namespace": "cc-data"});
    let mut accepts = json!({"name": "voice", "namespace": "cc-front"});
    crate::testing::merge(&mut connects, client);
    crate::testing::merge(&mut accepts, server);
    let listeners = json!([
        {"name": "https", "port": 8443},
        {"name": "rtp", "port": 10000, "endPort": 10100, "protocol": "UDP"},
        {"name": "admin", "port": 9000},
    ]);
    Scene::new()
        .channel("cc-front/voice", json!({"connectsTo": [connects]}))
        .channel("cc-data/recorder", json!({"listeners": listeners, "accepts": [accepts]}))
}

#[test]
fn open_when_both_declare_it_and_each_end_sees_its_own_direction() {
    let scene = pair(json!({}), json!({}));
    let (client, server) = (only(&scene, "cc-front/voice"), only(&scene, "cc-data/recorder"));
    assert_eq!((client.direction, server.direction), (Direction::Egress, Direction::Ingress));
    assert_eq!(client.other, Other::Channel(named("cc-data/recorder")));
    assert_eq!(server.other, Other::Channel(named("cc-front/voice")));
    for end in [&client, &server] {
        assert_eq!(brief(end), open(&["8443/TCP", "9000/TCP", "10000-10100/UDP"]));
        assert_eq!(end.listeners, ["https", "rtp", "admin"]);
        assert_eq!((&end.reason, &end.next_step), (&None, &None));
    }
    assert_eq!(client.key().direction, Direction::Egress);
}

#[test]
fn what_flows_is_the_intersection_of_both_choices() {
    for (client, server, expected) in [
        (json!(["https"]), json!(["https"]), open(&["8443/TCP"])),
        (json!(["https"]), json!([]), open(&["8443/TCP"])),
        (json!([]), json!(["rtp", "admin"]), open(&["9000/TCP", "10000-10100/UDP"])),
        (json!(["https", "rtp"]), json!(["rtp", "admin"]), open(&["10000-10100/UDP"])),
        (json!(["https"]), json!(["rtp"]), closed(State::ListenerMismatch)),
        (json!(["sips"]), json!([]), closed(State::ListenerMismatch)),
    ] {
        let scene = pair(json!({"listeners": client}), json!({"listeners": server}));
        for end in ["cc-front/voice", "cc-data/recorder"] {
            assert_eq!(brief(&only(&scene, end)), expected, "{client} and {server} seen from {end}");
        }
    }
}

#[test]
fn a_listener_that_is_not_there_is_named_though_the_others_are_open() {
    let scene = pair(json!({"listeners": ["https", "sips"]}), json!({}));
    let client = only(&scene, "cc-front/voice");
    assert_eq!(brief(&client), open(&["8443/TCP"]));
    assert!(client.reason.unwrap().contains("no listener sips"));
    assert!(only(&scene, "cc-data/recorder").reason.is_none(), "it is the client's entry that is odd");
}

#[test]
fn a_mismatch_says_what_each_end_chose() {
    let scene = pair(json!({"listeners": ["https"]}), json!({"listeners": ["rtp"]}));
    let client = only(&scene, "cc-front/voice");
    let reason = client.reason.unwrap();
    assert!(reason.contains("here https") && reason.contains("there rtp"), "{reason}");
    assert!(reason.contains("https, rtp, admin"), "{reason}");
    assert!(client.next_step.unwrap().contains("cc-data/recorder"));
}

#[test]
fn awaiting_consent_says_what_to_write_on_the_other_side() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "recorder", "namespace": "cc-data"}]}))
        .channel("cc-data/recorder", json!({"listeners": [{"name": "https", "port": 8443}]}));
    let one = only(&scene, "cc-front/voice");
    assert_eq!(brief(&one), closed(State::AwaitingConsent));
    let step = one.next_step.unwrap();
    assert!(step.contains("spec.accepts: {name: voice, namespace: cc-front}"), "{step}");

    let scene = Scene::new().channel("cc-front/voice", json!({})).channel(
        "cc-front/ivr",
        json!({"listeners": [{"name": "sip", "port": 5061}], "accepts": [{"name": "voice"}]}),
    );
    let step = only(&scene, "cc-front/ivr").next_step.unwrap();
    assert!(step.contains("spec.connectsTo: {name: ivr}"), "the same namespace is left out: {step}");
}

#[test]
fn consent_in_the_wrong_direction_is_none() {
    let listeners = json!([{"name": "sip", "port": 5061}]);
    let scene = Scene::new()
        .channel("cc-front/a", json!({"listeners": listeners, "connectsTo": [{"name": "b"}]}))
        .channel("cc-front/b", json!({"listeners": listeners, "connectsTo": [{"name": "a"}]}));
    assert_eq!(only(&scene, "cc-front/a").state, State::AwaitingConsent);
    assert_eq!(only(&scene, "cc-front/b").state, State::AwaitingConsent);
}

#[test]
fn consent_is_for_the_namespace_and_kind_it_names() {
    let server = |entry: Value| {
        Scene::new()
            .namespace("cc-other", Some(DOMAIN))
            .channel("cc-front/voice", json!({"connectsTo": [{"name": "recorder", "namespace": "cc-data"}]}))
            .channel(
                "cc-data/recorder",
                json!({"listeners": [{"name": "https", "port": 8443}], "accepts": [entry]}),
            )
    };
    for (entry, state) in [
        (json!({"name": "voice", "namespace": "cc-front"}), State::Open),
        (json!({"name": "sip-edge", "namespace": "cc-front", "channel": "voice"}), State::Open),
        (json!({"name": "voice"}), State::AwaitingConsent),
        (json!({"name": "voice", "namespace": "cc-other"}), State::AwaitingConsent),
        (json!({"name": "voice", "namespace": "cc-front", "channel": "other"}), State::AwaitingConsent),
        (json!({"name": "voice", "kind": "Service"}), State::AwaitingConsent),
        (json!({"name": "voice", "kind": "ExternalParty"}), State::AwaitingConsent),
    ] {
        assert_eq!(only(&server(entry.clone()), "cc-front/voice").state, state, "{entry}");
    }
}

#[test]
fn a_channel_that_is_not_there_is_not_found() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "recorder", "namespace": "cc-data"}]}));
    let one = only(&scene, "cc-front/voice");
    assert_eq!(brief(&one), closed(State::NotFound));
    assert!(one.next_step.unwrap().contains("cc-data/recorder"));
}

#[test]
fn another_trust_domain_and_none_are_refused_on_both_sides() {
    let pair = pair(json!({}), json!({}));
    let foreign = pair.clone().domain("elsewhere", json!({})).namespace("cc-data", Some("elsewhere"));
    let one = only(&foreign, "cc-front/voice");
    assert_eq!(brief(&one), closed(State::Refused));
    assert!(one.reason.unwrap().contains("TrustDomain elsewhere"));
    let other = connections(
        foreign.get("cc-data/recorder"),
        &foreign.domains["elsewhere"],
        &foreign,
        Memory::default(),
        now(),
    );
    assert_eq!(other[0].state, State::Refused);

    let loose = pair.namespace("cc-data", None);
    let one = only(&loose, "cc-front/voice");
    assert_eq!(brief(&one), closed(State::Refused));
    assert!(one.next_step.unwrap().contains("subrosa.dev/trust-domain=oosterlinde"));
}

#[test]
fn a_channel_that_names_itself_is_both_ends() {
    let listeners = json!([{"name": "raft", "port": 8300}, {"name": "api", "port": 8500}]);
    for (accepts, connects, ports) in [
        (json!([{"name": "db"}]), json!([]), &["8300/TCP", "8500/TCP"][..]),
        (json!([]), json!([{"name": "db", "listeners": ["raft"]}]), &["8300/TCP"]),
        (
            json!([{"name": "replicas", "channel": "db", "namespace": "cc-data", "listeners": ["api"]}]),
            json!([]),
            &["8500/TCP"],
        ),
    ] {
        let spec = json!({"listeners": listeners, "accepts": accepts, "connectsTo": connects});
        let scene = Scene::new().channel("cc-data/db", spec);
        assert_eq!(brief(&only(&scene, "cc-data/db")), open(ports), "{accepts} {connects}");
    }
    let mute = Scene::new().channel("cc-data/db", json!({"connectsTo": [{"name": "db"}]}));
    assert_eq!(only(&mute, "cc-data/db").state, State::ListenerMismatch, "nothing listens");
}

#[test]
fn two_entries_for_one_peer_add_up() {
    let listeners =
        json!([{"name": "a", "port": 1000}, {"name": "b", "port": 2000}, {"name": "c", "port": 3000}]);
    let scene = Scene::new().channel("cc-front/client", json!({"connectsTo": [{"name": "server"}]})).channel(
        "cc-front/server",
        json!({
            "listeners": listeners,
            "accepts": [
                {"name": "one", "channel": "client", "listeners": ["a"]},
                {"name": "two", "channel": "client", "listeners": ["c", "a"]},
            ],
        }),
    );
    assert_eq!(brief(&only(&scene, "cc-front/client")), open(&["1000/TCP", "3000/TCP"]));
    let [one, two] = judged(&scene, "cc-front/server").try_into().unwrap();
    assert_eq!((one.name.as_str(), brief(&one)), ("one", open(&["1000/TCP"])));
    assert_eq!((two.name.as_str(), brief(&two)), ("two", open(&["1000/TCP", "3000/TCP"])));
    assert_ne!(one.key(), two.key());

    // One of the two fits, the other does not.
    let scene =
        scene.channel("cc-front/client", json!({"connectsTo": [{"name": "server", "listeners": ["c"]}]}));
    assert_eq!(brief(&only(&scene, "cc-front/client")), open(&["3000/TCP"]));
    let [one, two] = judged(&scene, "cc-front/server").try_into().unwrap();
    assert_eq!((one.state, two.state), (State::ListenerMismatch, State::Open));
}

#[test]
fn a_stalled_peer_keeps_what_was_open_and_opens_nothing_new() {
    let scene = pair(json!({}), json!({}));
    let peer = named("cc-data/recorder");
    let stalled = BTreeSet::from([peer.clone()]);
    let was_open = BTreeSet::from([only(&scene, "cc-front/voice").key()]);
    let nothing = BTreeSet::new();
    let judge = |open: &BTreeSet<ConnectionKey>, stalled: &BTreeSet<ChannelRef>| {
        let held = |name: &ChannelRef| stalled.contains(name);
        let memory = Memory { open: Some(open), held: Some(&held), peers: None };
        let [one] = judged_with(&scene, "cc-front/voice", memory).try_into().unwrap();
        one
    };
    assert_eq!(judge(&nothing, &BTreeSet::new()).state, State::Open);
    assert_eq!(judge(&was_open, &stalled).state, State::Open);
    let new = judge(&nothing, &stalled);
    assert_eq!(brief(&new), closed(State::AwaitingConsent));
    assert!(new.reason.unwrap().contains("cc-data/recorder is Stalled"));

    // Open under another name, in the other direction or with another peer is not open.
    for key in [
        ConnectionKey {
            direction: Direction::Ingress,
            name: "recorder".into(),
            other: Other::Channel(peer.clone()),
        },
        ConnectionKey { direction: Direction::Egress, name: "else".into(), other: Other::Channel(peer) },
        ConnectionKey {
            direction: Direction::Egress,
            name: "recorder".into(),
            other: Other::Channel(named("cc-data/x")),
        },
        ConnectionKey {
            direction: Direction::Egress,
            name: "recorder".into(),
            other: Other::Party("recorder".into()),
        },
    ] {
        assert_eq!(judge(&BTreeSet::from([key]), &stalled).state, State::AwaitingConsent);
    }
}

#[test]
fn a_stalled_peer_may_still_withdraw() {
    let stalled = BTreeSet::from([named("cc-data/recorder")]);
    let was_open = BTreeSet::from([only(&pair(json!({}), json!({})), "cc-front/voice").key()]);
    let held = |name: &ChannelRef| stalled.contains(name);
    let memory = Memory { open: Some(&was_open), held: Some(&held), peers: None };
    let narrower = pair(json!({}), json!({"listeners": ["rtp"]}));
    assert_eq!(brief(&judged_with(&narrower, "cc-front/voice", memory)[0]), open(&["10000-10100/UDP"]));
    let withdrawn = pair(json!({}), json!({"name": "nobody"}));
    assert_eq!(judged_with(&withdrawn, "cc-front/voice", memory)[0].state, State::AwaitingConsent);
}

#[test]
fn the_order_is_that_of_the_declaration() {
    let scene = Scene::new().channel(
        "cc-front/voice",
        json!({
            "listeners": [{"name": "sip", "port": 5061}],
            "accepts": [{"name": "z"}, {"name": "a"}],
            "connectsTo": [{"name": "m"}, {"name": "a"}],
        }),
    );
    let names: Vec<_> = judged(&scene, "cc-front/voice")
        .into_iter()
        .map(|one| format!("{} {}", one.direction.as_str(), one.name))
        .collect();
    assert_eq!(names, ["Ingress z", "Ingress a", "Egress m", "Egress a"]);
}

#[test]
fn states_read_as_they_are_written_in_status() {
    let states = [
        State::Open,
        State::AwaitingConsent,
        State::ListenerMismatch,
        State::NotFound,
        State::Refused,
        State::AgreementExpired,
        State::Closing,
        State::Closed,
    ];
    for state in states {
        assert_eq!(state.as_str(), format!("{state:?}"));
    }
    assert_eq!(Other::Channel(named("a/b")).to_string(), "Channel a/b");
    assert_eq!(Other::Party("p".into()).to_string(), "ExternalParty p");
    assert_eq!(Other::Service("s".into()).to_string(), "service s");
}

#[test]
fn a_bundle_counts_where_certificates_are_checked() {
    let bundle = json!({"configMap": "carrier-ca", "key": "ca.crt"});
    for (tls, expected) in [
        (json!({"mode": "Mutual", "caBundle": bundle}), true),
        (json!({"mode": "OneWay", "caBundle": bundle}), true),
        (json!({"mode": "OneWay"}), false),
        (json!({"mode": "None", "caBundle": bundle}), false),
    ] {
        let party = crate::testing::party("carrier", json!({"tls": tls}));
        assert_eq!(party_has_trust(&party), expected, "{tls}");
    }
}
