use serde_json::{Value, json};

use super::*;
use crate::testing::{DOMAIN, Scene, named, now};
use crate::world::certificate::KeyAlgorithm;

fn spec_of(scene: &Scene) -> LeafSpec {
    leaf_spec(scene.get("cc-front/voice"), &scene.domains[DOMAIN], scene)
}

fn names(scene: &Scene) -> Vec<String> {
    spec_of(scene).dns_names.into_iter().collect()
}

fn with(tls: Value) -> Scene {
    Scene::new().channel("cc-front/voice", json!({"tls": tls}))
}

#[test]
fn nothing_said_is_thirty_days_and_its_own_name() {
    let spec = spec_of(&Scene::new().channel("cc-front/voice", json!({})));
    assert_eq!(
        (spec.trust_domain.as_str(), spec.namespace.as_str(), spec.channel.as_str()),
        (DOMAIN, "cc-front", "voice")
    );
    assert_eq!(spec.common_name, "voice");
    assert_eq!((spec.duration, spec.renew_before), (DURATION, SignedDuration::from_hours(10 * 24)));
    assert_eq!(spec.key_algorithm, KeyAlgorithm::EcdsaP256);
    let own = ["voice.cc-front.svc", "voice.cc-front.svc.cluster.local"].map(str::to_owned);
    assert_eq!(spec.dns_names, own.into());
    assert_eq!(spec.validate(), Ok(()));
}

#[test]
fn what_is_said_counts() {
    let spec = spec_of(&with(json!({
        "duration": "8d", "renewBefore": "36h", "keyAlgorithm": "ECDSA-P384", "commonName": "sip.hospital.example",
        "dnsNames": ["sip.hospital.example"],
    })));
    assert_eq!((spec.duration.as_hours(), spec.renew_before.as_hours()), (192, 36));
    assert_eq!(spec.key_algorithm, KeyAlgorithm::EcdsaP384);
    assert_eq!(spec.common_name, "sip.hospital.example");
    assert!(spec.dns_names.contains("sip.hospital.example"));
    assert_eq!(spec_of(&with(json!({"duration": "9h"}))).renew_before.as_hours(), 3, "a third");
}

#[test]
fn services_of_its_pods_name_it() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({"workload": {"selector": {"matchLabels": {"app": "sbc"}}}}))
        .service("cc-front/sip", false, [("app", "sbc"), ("tier", "edge")])
        .service("cc-front/nodes", true, [("app", "sbc")])
        .service("cc-front/other", false, [("app", "other")])
        .service("cc-front/wide", false, [])
        .service("cc-data/far", false, [("app", "sbc")]);
    let short: Vec<_> = names(&scene).into_iter().filter(|name| name.ends_with(".svc")).collect();
    assert_eq!(
        short,
        ["*.nodes.cc-front.svc", "nodes.cc-front.svc", "sip.cc-front.svc", "voice.cc-front.svc"]
    );
    let long = names(&scene).into_iter().filter(|name| name.ends_with(".svc.cluster.local")).count();
    assert_eq!(long, short.len());
}

#[test]
fn a_service_of_others_keeps_its_name() {
    let scene = Scene::new().channel("cc-front/voice", json!({}));
    let theirs = scene.clone().service("cc-front/voice", false, [("app", "other")]);
    assert_eq!(names(&theirs), [""; 0]);
    let own = scene.service("cc-front/voice", false, [("app", "voice")]);
    assert_eq!(names(&own), ["voice.cc-front.svc", "voice.cc-front.svc.cluster.local"]);
}

#[test]
fn names_wait_for_the_renewal_where_they_would_restart_what_runs() {
    let with = |tls: Value| {
        Scene::new()
            .channel("cc-front/voice", json!({"tls": tls}))
            .pod("cc-front/voice-0", [("app", "voice")])
            .service("cc-front/sip", false, [("app", "voice")])
    };
    let waits = |scene: &Scene, now: Timestamp| {
        let voice = scene.get("cc-front/voice");
        for_renewal(voice, &scene.domains[DOMAIN], scene, now)
    };
    let restarts = with(json!({"reload": "Restart"}));
    let all: BTreeSet<_> = names(&restarts).into_iter().collect();
    assert_eq!(waits(&restarts, now()), all);
    let created = restarts.get("cc-front/voice").created().unwrap();
    assert!(waits(&restarts, created + GATHERS - SignedDuration::from_secs(1)).is_empty(), "it is young");
    assert_eq!(waits(&restarts, created + GATHERS), all);
    assert!(waits(&with(json!({"reload": "Workload"})), now()).is_empty(), "nothing is restarted");
    assert!(waits(&with(json!({})), now()).is_empty());
    let asked = with(json!({"reload": "Restart", "dnsNames": ["sip.cc-front.svc"]}));
    assert!(!waits(&asked, now()).contains("sip.cc-front.svc"), "its owner asks for it");
    let ended = crate::world::PodFacts {
        finished: true,
        labels: crate::testing::labels([("app", "voice")]),
        ..crate::world::PodFacts::default()
    };
    assert!(waits(&restarts.pod_with("cc-front/voice-0", ended), now()).is_empty(), "nothing runs");
}

#[test]
fn names_of_services_may_be_asked_for_that_are_nobody_elses() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({}))
        .channel("cc-front/ivr", json!({}))
        .service("cc-front/sip", false, [("app", "voice")])
        .service("cc-front/db", false, [])
        .service("cc-front/ivr", false, [])
        .service("cc-front/web", false, [("app", "web")]);
    let voice = scene.get("cc-front/voice");
    let names = may_be_asked_for(voice, &scene.domains[DOMAIN], &scene);
    let short: Vec<_> = names.iter().filter(|name| name.ends_with(".svc")).map(String::as_str).collect();
    assert_eq!(short, ["db.cc-front.svc", "sip.cc-front.svc", "voice.cc-front.svc"]);
}

#[test]
fn names_of_others_are_known() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({}))
        .channel("cc-front/other", json!({}))
        .channel("cc-data/far", json!({}))
        .service("cc-front/sip", false, [("app", "voice")])
        .service("cc-front/web", false, [("app", "web")]);
    assert_eq!(*spec_of(&scene).others, ["other".to_owned(), "web".to_owned()].into());
}

#[test]
fn the_clusters_domain_is_the_trust_domains_word() {
    let scene = Scene::new()
        .domain(DOMAIN, json!({"clusterDomain": "hospital.local"}))
        .channel("cc-front/voice", json!({}));
    assert_eq!(names(&scene), ["voice.cc-front.svc", "voice.cc-front.svc.hospital.local"]);
}

#[test]
fn an_authority_may_sign_its_namespace_and_what_is_allowed() {
    let scene = Scene::new()
        .domain(
            DOMAIN,
            json!({"certificateAuthority": {"duration": "90d", "allowedDNSSuffixes": ["hospital.example"]}}),
        )
        .channel("cc-front/voice", json!({}));
    let id = ChannelId::mint("uid-cc-front", "voice");
    let spec = authority_spec(&named("cc-front/voice"), &id, &scene.domains[DOMAIN], now());
    assert_eq!(spec.duration, SignedDuration::from_hours(90 * 24));
    let permitted = ["cc-front.svc", "cc-front.svc.cluster.local", "hospital.example"].map(str::to_owned);
    assert_eq!(spec.permitted_dns, permitted.into());
    assert!(spec.validate().is_ok());
    let uncountable = crate::testing::domain(DOMAIN, json!({"certificateAuthority": {"duration": "soon"}}));
    assert_eq!(authority_spec(&named("cc-front/voice"), &id, &uncountable, now()).duration, AUTHORITY);
}
