mod judge;
mod limit;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use subrosa_crds::{Reason, channel::Delivery};

use super::*;
use crate::{
    certificate::LeafSpec,
    channel::{Plan, Scope},
    record::{
        channel::ChannelRecord,
        pods::{IssuedToPod, MOST_PODS, PodNames},
    },
    testing::{Scene, at, channel, edited, labels, named, now},
    world::{
        certificate::{KeyAlgorithm, Validity},
        request::RequestedKey,
    },
};

fn request(pod: &str) -> Request {
    Request {
        uid: "request-uid".into(),
        version: "7".into(),
        created: now(),
        pod: pod.into(),
        pod_uid: format!("uid-{pod}"),
        service_account: "sbc".into(),
        key: Some(RequestedKey { algorithm: KeyAlgorithm::EcdsaP256, spki: vec![4] }),
        max_life: SignedDuration::from_hours(24),
        annotations: BTreeSet::new(),
        told: None,
    }
}

fn pod(scene: Scene, name: &str, app: &str) -> Scene {
    let facts =
        PodFacts { uid: format!("uid-{name}"), labels: labels([("app", app)]), ..PodFacts::default() };
    scene.pod_with(&format!("cc-front/{name}"), facts)
}

/// A Channel that gives certificates to its pods, and one of those.
fn scene() -> Scene {
    pod(Scene::new().channel("cc-front/voice", delivered(json!({}))), "voice-0", "voice")
}

fn delivered(more: Value) -> Value {
    let mut spec = json!({
        "workload": {"serviceAccountName": "sbc"},
        "tls": {"delivery": "PodCertificate", "reload": "Workload"},
    });
    crate::testing::merge(&mut spec, more);
    spec
}

fn later(seconds: i64) -> Timestamp {
    after(now(), SignedDuration::from_secs(seconds))
}

fn responder_at(scene: &Scene, request: &Request, at: Timestamp) -> Responder {
    responder("cc-front", request, scene, at)
}

fn denied(responder: Responder) -> Refusal {
    match responder {
        Responder::Deny(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_of_a_channel_is_its_channels() {
    assert_eq!(responder_at(&scene(), &request("voice-0"), now()), Responder::Of(named("cc-front/voice")));
    let others = scene().channel("cc-data/voice", delivered(json!({})));
    assert_eq!(responder_at(&others, &request("voice-0"), now()), Responder::Of(named("cc-front/voice")));
}

#[test]
fn a_pod_that_is_not_there_or_another_of_its_name_is_waited_for_and_then_denied() {
    let another = Request { pod_uid: "uid-of-before".into(), ..request("voice-0") };
    for wrong in [request("voice-1"), another] {
        assert_eq!(responder_at(&scene(), &wrong, now()), Responder::Wait(later(30)));
        assert_eq!(denied(responder_at(&scene(), &wrong, later(30))).reason, Reason::PodNotFound);
    }
}

#[test]
fn a_pod_of_no_channel_is_told_what_to_apply() {
    let scene = pod(scene(), "stranger", "stranger");
    assert_eq!(responder_at(&scene, &request("stranger"), now()), Responder::Wait(later(30)));
    let refusal = denied(responder_at(&scene, &request("stranger"), later(31)));
    assert_eq!(refusal.reason, Reason::NoChannel);
    assert!(
        refusal.message.contains("stranger") && refusal.message.contains("PodCertificate"),
        "{refusal:?}"
    );
}

#[test]
fn where_two_channels_select_a_pod_the_older_has_it() {
    let same = json!({"workload": {"selector": {"matchLabels": {"app": "voice"}}}});
    let made = |name: &str, day: &str| {
        let time =
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(&format!("2026-11-{day}T00:00:00Z")));
        edited(&channel(name, delivered(same.clone())), |one| one.metadata.creation_timestamp = Some(time))
    };
    let scene = pod(Scene::new(), "voice-0", "voice");
    let scene = scene.given(made("cc-front/a-newer", "20")).given(made("cc-front/b-older", "10"));
    assert_eq!(responder_at(&scene, &request("voice-0"), now()), Responder::Of(named("cc-front/b-older")));
}

#[test]
fn a_channel_answers_its_own_requests_only() {
    let mut scene = pod(scene(), "stranger", "stranger");
    let all = [("a", request("voice-0")), ("b", request("stranger")), ("c", request("nobody"))];
    scene.world.requests.insert("cc-front".into(), all.map(|(at, one)| (at.to_owned(), one)).into());
    let own = of_channel(&named("cc-front/voice"), &scene, now());
    assert_eq!(own.iter().map(|(at, _)| at.as_str()).collect::<Vec<_>>(), ["a"]);
}

fn permitted(plan: &Plan) -> BTreeSet<String> {
    plan.authority.permitted_dns.clone()
}

fn answered(
    scene: &Scene,
    request: &Request,
    pods: Option<&PodCertificates>,
    at: Timestamp,
) -> RequestAnswer {
    let record =
        pods.map(|pods| ChannelRecord { pods: Some(pods.clone()), ..scene.first_record("cc-front/voice") });
    let plan = scene.plan_with("cc-front/voice", record.as_ref());
    answer(request, scene.get("cc-front/voice"), &plan, pods, &permitted(&plan), at)
}

fn issued(answer: RequestAnswer) -> LeafSpec {
    match answer {
        RequestAnswer::Issue(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

fn refused(answer: RequestAnswer) -> Refusal {
    match answer {
        RequestAnswer::Deny(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A record in which these pods have had a certificate, the last one at that time.
fn record(pods: &[&str], at: Timestamp) -> PodCertificates {
    pods.iter().fold(PodCertificates { in_force: true, ..PodCertificates::default() }, |record, pod| {
        let names =
            PodNames { common_name: "of-before".into(), dns_names: ["voice.cc-front.svc".to_owned()].into() };
        record.noted(pod, names, one(at), at)
    })
}

fn one(at: Timestamp) -> IssuedToPod {
    IssuedToPod {
        serial: "0a".into(),
        generation: 1,
        not_before: at,
        not_after: after(at, hours(24)),
        renew_at: after(at, hours(16)),
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[test]
fn a_certificate_is_the_channels_for_as_long_as_the_pod_asks() {
    let scene = scene();
    let plan = scene.plan("cc-front/voice");
    let spec = issued(answered(&scene, &request("voice-0"), None, now()));
    let expected = LeafSpec { duration: hours(24), renew_before: hours(8), ..plan.leaf.clone() };
    assert_eq!(spec, expected);
    let month = Request { max_life: hours(24 * 91), ..request("voice-0") };
    assert_eq!(issued(answered(&scene, &month, None, now())), plan.leaf, "never longer than declared");
}

#[test]
fn names_that_the_authority_may_not_sign_are_left_out() {
    let scene = scene()
        .domain("oosterlinde", json!({"certificateAuthority": {"allowedDNSSuffixes": ["clinic.example"]}}));
    let scene = pod(scene, "voice-0", "voice")
        .channel("cc-front/voice", delivered(json!({"tls": {"dnsNames": ["sip.clinic.example"]}})));
    let plan = scene.plan("cc-front/voice");
    let older = ["cc-front.svc".to_owned()].into();
    let spec = issued(answer(&request("voice-0"), scene.get("cc-front/voice"), &plan, None, &older, now()));
    assert_eq!(spec.dns_names, ["voice.cc-front.svc".to_owned()].into());
}

#[test]
fn a_denial_stands_only_by_what_the_api_server_says() {
    let stale = Scene::new();
    let request = request("voice-0");
    assert_eq!(denied(responder_at(&stale, &request, later(31))).reason, Reason::PodNotFound);
    let holds =
        |judged: Option<&Declaration>, fresh: &Scene| stands("cc-front", &request, judged, fresh, later(31));
    assert!(!holds(None, &scene()), "the pod is there, and has a Channel");
    assert!(
        holds(None, &Scene::new().channel("cc-front/voice", delivered(json!({})))),
        "there is no such pod"
    );
    assert!(holds(None, &pod(Scene::new(), "voice-0", "voice")), "nobody has it");

    let version = |generation: i64, uid: &str| {
        edited(&channel("cc-front/voice", delivered(json!({}))), |channel| {
            channel.metadata.generation = Some(generation);
            channel.metadata.uid = Some(uid.into());
        })
    };
    let fresh = |channel| pod(Scene::new().given(channel), "voice-0", "voice");
    assert!(holds(Some(&version(1, "u")), &fresh(version(1, "u"))));
    assert!(!holds(Some(&version(1, "u")), &fresh(version(2, "u"))), "it was edited since");
    assert!(!holds(Some(&version(1, "u")), &fresh(version(1, "v"))), "it was made anew");
    assert!(!holds(Some(&version(1, "u")), &pod(Scene::new(), "voice-0", "voice")), "it is gone");
    let another = Scene::new()
        .channel("cc-front/other", json!({"workload": {"selector": {"matchLabels": {"app": "voice"}}}}));
    assert!(!holds(Some(&version(1, "u")), &pod(another, "voice-0", "voice")), "another has the pod");
}

#[test]
fn what_is_wrong_with_the_pod_is_denied_and_says_what_to_write() {
    let p384 = RequestedKey { algorithm: KeyAlgorithm::EcdsaP384, spki: vec![4] };
    for (wrong, reason, says) in [
        (
            Request { service_account: "default".into(), ..request("voice-0") },
            "ServiceAccountMismatch",
            "sbc",
        ),
        (Request { key: None, ..request("voice-0") }, "UnsupportedKeyType", "keyType: ECDSAP256"),
        (Request { key: Some(p384), ..request("voice-0") }, "UnsupportedKeyType", "this is ECDSAP384"),
        (
            Request { annotations: ["example.org/role".to_owned()].into(), ..request("voice-0") },
            "InvalidUnverifiedUserAnnotations",
            "example.org/role",
        ),
    ] {
        let refusal = refused(answered(&scene(), &wrong, None, later(31)));
        assert_eq!(refusal.reason.as_str(), reason);
        assert!(refusal.message.contains(says), "{refusal:?}");
    }
}

/// A Deployment and its Channel are edited at once, and the pod's request comes before the watch has the Channel.
#[test]
fn what_the_channel_may_yet_declare_is_waited_for() {
    let p384 = RequestedKey { algorithm: KeyAlgorithm::EcdsaP384, spki: vec![4] };
    let early = [
        Request { service_account: "default".into(), ..request("voice-0") },
        Request { key: Some(p384), ..request("voice-0") },
    ];
    for early in early {
        let waits = answered(&scene(), &early, None, now());
        assert!(matches!(&waits, RequestAnswer::Wait(Some(until), _) if *until == later(30)), "{waits:?}");
    }
    // What no Channel can make good is not.
    let never = Request { key: None, ..request("voice-0") };
    assert_eq!(refused(answered(&scene(), &never, None, now())).reason, Reason::UnsupportedKeyType);
}

/// What is declared and not in force denies nothing: it may be corrected, and the pod cannot be.
#[test]
fn an_edit_that_is_not_followed_denies_nobody() {
    let before = record(&["uid-of-another"], at("2026-11-22T00:00:00Z"));
    let waits = answered(&stalled(), &request("voice-0"), Some(&before), later(3600));
    assert!(
        matches!(&waits, RequestAnswer::Wait(None, refusal) if refusal.reason == Reason::ServiceAccountMismatch),
        "{waits:?}"
    );
    let edit = json!({"tls": {"keyAlgorithm": "ECDSA-P384", "dnsNames": ["bank.example"]}});
    let scene = scene().channel("cc-front/voice", delivered(edit));
    let waits = answered(&scene, &request("voice-0"), Some(&before), later(3600));
    assert!(
        matches!(&waits, RequestAnswer::Wait(None, refusal) if refusal.reason == Reason::UnsupportedKeyType),
        "{waits:?}"
    );
    // It was delivered in a Secret so far, and the edit to PodCertificate is not followed yet.
    let never = PodCertificates { in_force: false, ..PodCertificates::default() };
    let waits = answered(&stalled(), &request("voice-0"), Some(&never), later(3600));
    assert!(
        matches!(&waits, RequestAnswer::Wait(None, refusal) if refusal.reason == Reason::ChannelNotInForce),
        "{waits:?}"
    );
}

#[test]
fn any_service_account_will_do_where_the_channel_names_none() {
    let scene = scene()
        .channel("cc-front/voice", json!({"tls": {"delivery": "PodCertificate", "reload": "Workload"}}));
    let other = Request { service_account: "default".into(), ..request("voice-0") };
    issued(answered(&scene, &other, None, now()));
}

#[test]
fn a_channel_that_delivers_in_a_secret_denies_new_pods_and_renews_those_that_have_one() {
    let scene = scene().channel("cc-front/voice", json!({"tls": {"secretName": "sip"}}));
    let early = answered(&scene, &request("voice-0"), None, now());
    assert!(matches!(early, RequestAnswer::Wait(Some(until), _) if until == later(30)), "{early:?}");
    let refusal = refused(answered(&scene, &request("voice-0"), None, later(31)));
    assert_eq!(refusal.reason, Reason::DeliveredInSecret);
    assert!(refusal.message.contains("Secret sip"), "{refusal:?}");
    let before = record(&["uid-voice-0"], at("2026-11-22T00:00:00Z"));
    issued(answered(&scene, &request("voice-0"), Some(&before), later(31)));
}

/// The same Channel after an edit that cannot be followed: another ServiceAccount, and a name nobody allowed.
fn stalled() -> Scene {
    let edit = json!({"workload": {"serviceAccountName": "other"}, "tls": {"dnsNames": ["bank.example"]}});
    scene().channel("cc-front/voice", delivered(edit))
}

#[test]
fn a_stalled_channel_goes_on_with_the_names_it_has() {
    let before = record(&["uid-voice-0"], at("2026-11-22T00:00:00Z"));
    let spec = issued(answered(&stalled(), &request("voice-0"), Some(&before), now()));
    assert_eq!(spec.common_name, "of-before");
    assert_eq!(spec.dns_names, ["voice.cc-front.svc".to_owned()].into());
}

#[test]
fn a_stalled_channel_that_never_gave_one_lets_wait() {
    let edit = json!({"tls": {"dnsNames": ["bank.example"]}});
    let scene = scene().channel("cc-front/voice", delivered(edit));
    for record in [None, Some(&PodCertificates { in_force: true, ..PodCertificates::default() })] {
        let waits = answered(&scene, &request("voice-0"), record, later(3600));
        assert!(
            matches!(&waits, RequestAnswer::Wait(None, refusal) if refusal.reason == Reason::ChannelNotInForce),
            "{waits:?}"
        );
    }
}

#[test]
fn a_frozen_namespace_renews_and_replaces_its_pods() {
    let scene = scene().namespace("cc-front", None);
    let before = record(&["uid-of-another"], at("2026-11-22T00:00:00Z"));
    let record = ChannelRecord { pods: Some(before.clone()), ..scene.first_record("cc-front/voice") };
    let plan = scene.plan_with("cc-front/voice", Some(&record));
    assert_eq!((plan.delivery, &plan.scope), (Delivery::PodCertificate, &Scope::Frozen));
    let permitted = permitted(&plan);
    let spec =
        answer(&request("voice-0"), scene.get("cc-front/voice"), &plan, Some(&before), &permitted, now());
    assert_eq!(issued(spec).common_name, "of-before");
}

#[test]
fn an_edit_that_is_not_followed_changes_no_delivery() {
    let in_force = record(&["uid-voice-0"], now());
    let to_secret = json!({"tls": {"delivery": null, "dnsNames": ["bank.example"]}});
    let scene = scene().channel("cc-front/voice", delivered(to_secret));
    let record = |pods| ChannelRecord { pods, ..scene.first_record("cc-front/voice") };
    let delivery = |record| scene.plan_with("cc-front/voice", Some(&record)).delivery;
    assert_eq!(delivery(record(Some(in_force))), Delivery::PodCertificate);
    assert_eq!(delivery(record(None)), Delivery::Secret);
    let to_pods = stalled();
    assert_eq!(to_pods.plan_with("cc-front/voice", Some(&record(None))).delivery, Delivery::Secret);
}

#[test]
fn a_pod_keeps_the_key_type_it_began_with() {
    let scene = scene().channel("cc-front/voice", delivered(json!({"tls": {"keyAlgorithm": "ECDSA-P384"}})));
    assert_eq!(
        refused(answered(&scene, &request("voice-0"), None, later(31))).reason,
        Reason::UnsupportedKeyType
    );
    let before = record(&["uid-voice-0"], at("2026-11-22T00:00:00Z"));
    let spec = issued(answered(&scene, &request("voice-0"), Some(&before), now()));
    assert_eq!(spec.key_algorithm, KeyAlgorithm::EcdsaP256);
}

fn authority(from: &str, to: &str) -> Validity {
    Validity { not_before: at(from), not_after: at(to) }
}

#[test]
fn the_validity_fits_the_api_servers_rules() {
    let year = authority("2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z");
    let spec = issued(answered(&scene(), &request("voice-0"), None, now()));
    let given = validity(&spec, year, now()).unwrap();
    assert_eq!(given.lifetime(), hours(24));
    assert_eq!(given.not_before, later(-120), "the API server admits five minutes either way");
    assert_eq!(renewal(&spec, given), after(given.not_after, -hours(8)));

    let hour = LeafSpec { duration: hours(1), renew_before: SignedDuration::from_mins(1), ..spec };
    let given = validity(&hour, year, now()).unwrap();
    assert_eq!(given.lifetime(), hours(1));
    assert_eq!(renewal(&hour, given), after(given.not_after, -SignedDuration::from_mins(15)));
    let eager = LeafSpec { renew_before: SignedDuration::from_mins(59), ..hour.clone() };
    assert_eq!(renewal(&eager, given), after(given.not_before, SignedDuration::from_mins(20)));

    let ending = authority("2026-10-01T00:00:00Z", "2026-11-22T12:30:00Z");
    let begins = authority("2026-11-22T12:00:01Z", "2027-11-01T00:00:00Z");
    let short = authority("2026-11-22T11:59:00Z", "2026-11-22T15:00:00Z");
    for wrong in [ending, begins, short] {
        assert_eq!(validity(&hour, wrong, now()).unwrap_err().reason, Reason::AuthorityNotValid, "{wrong:?}");
    }
}

#[test]
fn a_cluster_without_such_requests_stalls_who_asks_for_them_and_nobody_else() {
    let mut scene = scene().channel("cc-front/db", json!({}));
    for (served, expected) in [(None, false), (Some(true), false), (Some(false), true)] {
        scene.world.pod_certificates = served;
        let unavailable = match scene.plan("cc-front/voice").scope {
            Scope::Stalled(problems) => {
                problems.iter().any(|one| one.reason == Reason::PodCertificatesUnavailable)
            }
            _ => false,
        };
        assert_eq!(unavailable, expected, "{served:?}");
        assert_eq!(scene.plan("cc-front/db").scope, Scope::Full);
    }
}

#[test]
fn what_is_remembered_goes_when_nothing_of_it_is_left() {
    let scene = scene().channel("cc-front/voice", json!({}));
    let name = named("cc-front/voice");
    let before = PodCertificates { in_force: false, ..record(&["uid-voice-0"], now()) };
    let kept = |scene: &Scene, at| tidied(Some(before.clone()), &name, scene, at).is_some();
    assert!(kept(&scene, later(7200)), "its pod runs");
    let empty = Scene::new().channel("cc-front/voice", json!({}));
    assert!(kept(&empty, later(3599)) && !kept(&empty, later(3600)), "it counts for an hour");
    let mounts = PodFacts { secrets: vec!["voice-trust".into()], ..PodFacts::default() };
    assert!(kept(&empty.pod_with("cc-front/another", mounts), later(7200)), "a pod mounts the trust files");
}
