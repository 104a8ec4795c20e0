use jiff::ToSpan as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::{
    testing::{DOMAIN, Scene, at, channel, edited, now},
    world::PodFacts,
};

fn problems(scene: &Scene, name: &str) -> Vec<Problem> {
    validate(scene.get(name), scene, now()).err().unwrap_or_default()
}

/// Reason and field of the only problem.
fn only(scene: &Scene, name: &str) -> (&'static str, &'static str, String) {
    let [one] = <[Problem; 1]>::try_from(problems(scene, name)).unwrap();
    (one.reason.as_str(), one.field, one.message)
}

fn born(name: &str, day: &str, spec: Value) -> Declaration {
    let time = Time(at(&format!("{day}T00:00:00Z")));
    edited(&channel(name, spec), |one| one.metadata.creation_timestamp = Some(time))
}

fn sealing() -> Value {
    json!({"dataClasses": ["call-recording"], "workload": {"serviceAccountName": "sbc"}})
}

#[test]
fn a_valid_channel_stands_on_its_domain_and_policy() {
    let scene = Scene::new().channel("cc-front/plain", json!({})).channel("cc-front/voice", sealing());
    let validated = validate(scene.get("cc-front/voice"), &scene, now()).unwrap();
    assert_eq!(validated.domain.metadata.name.as_deref(), Some(DOMAIN));
    assert_eq!(validated.retention.unwrap().metadata.name.as_deref(), Some("contactcenter"));
    let validated = validate(scene.get("cc-front/plain"), &scene, now()).unwrap();
    assert!(validated.retention.is_none(), "it seals nothing");
}

#[test]
fn a_namespace_needs_a_label_and_the_label_a_domain() {
    let scene = Scene::new().channel("loose/voice", json!({}));
    for scene in [scene.clone(), scene.clone().namespace("loose", None)] {
        let (reason, _, message) = only(&scene, "loose/voice");
        assert_eq!(reason, "NamespaceNotGoverned");
        assert!(message.contains("subrosa.dev/trust-domain="), "{message}");
    }
    let scene = scene.namespace("loose", Some("nowhere"));
    let (reason, _, message) = only(&scene, "loose/voice");
    assert_eq!(reason, "TrustDomainNotFound");
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn a_time_zone_must_exist() {
    let scene = Scene::new()
        .domain(DOMAIN, json!({"timeZone": "Europe/Oosterlinde"}))
        .channel("cc-front/voice", json!({}));
    let (reason, field, message) = only(&scene, "cc-front/voice");
    assert_eq!((reason, field), ("TimeZoneUnknown", "spec.timeZone"));
    assert!(message.contains("TrustDomain oosterlinde") && message.contains("Europe/Amsterdam"), "{message}");
}

#[test]
fn a_retention_policy_must_be_allowed_exist_and_know_the_classes() {
    let mut spec = sealing();
    spec["retentionPolicy"] = json!("billing");
    let scene = Scene::new().channel("cc-front/voice", spec.clone());
    let (reason, field, message) = only(&scene, "cc-front/voice");
    assert_eq!((reason, field), ("RetentionPolicyForbidden", "spec.retentionPolicy"));
    assert!(message.contains("contactcenter") && message.contains("billing"), "{message}");

    let scene = scene.domain(DOMAIN, json!({"retentionPolicies": ["contactcenter", "billing"]}));
    let (reason, field, _) = only(&scene, "cc-front/voice");
    assert_eq!((reason, field), ("RetentionPolicyNotFound", "spec.retentionPolicy"));

    let scene = scene.retention("billing", json!({"classes": [{"name": "invoices", "keep": "7y"}]}));
    let (reason, field, message) = only(&scene, "cc-front/voice");
    assert_eq!((reason, field), ("UnknownDataClass", "spec.dataClasses"));
    assert!(message.contains("no class call-recording") && message.contains("invoices"), "{message}");

    spec["dataClasses"] = json!(["invoices"]);
    assert_eq!(problems(&scene.channel("cc-front/voice", spec), "cc-front/voice"), []);
}

#[test]
fn data_classes_without_any_retention_policy_are_not_taken_for_nothing_to_seal() {
    let scene =
        Scene::new().domain(DOMAIN, json!({"retentionPolicies": []})).channel("cc-front/voice", sealing());
    let (reason, field, message) = only(&scene, "cc-front/voice");
    assert_eq!((reason, field), ("RetentionPolicyNotFound", "spec.retentionPolicy"));
    assert!(message.contains("spec.retentionPolicies"), "{message}");
}

#[test]
fn the_first_retention_policy_is_the_default() {
    let scene = Scene::new()
        .domain(DOMAIN, json!({"retentionPolicies": ["second", "contactcenter"]}))
        .retention("second", json!({"classes": [{"name": "call-recording", "keep": "1y"}]}))
        .channel("cc-front/voice", sealing());
    let validated = validate(scene.get("cc-front/voice"), &scene, now()).unwrap();
    assert_eq!(validated.retention.unwrap().metadata.name.as_deref(), Some("second"));
}

#[test]
fn the_older_channel_keeps_the_pods_and_the_younger_is_told() {
    let pods = json!({"workload": {"selector": {"matchLabels": {"app": "sbc"}}}});
    let scene = Scene::new().given(born("cc-front/a-new", "2026-11-05", pods.clone())).given(born(
        "cc-front/z-old",
        "2026-11-04",
        pods,
    ));
    assert_eq!(problems(&scene, "cc-front/z-old"), []);
    let (reason, field, message) = only(&scene, "cc-front/a-new");
    assert_eq!((reason, field), ("WorkloadConflict", "spec.workload.selector"));
    assert!(message.contains("Channel z-old") && message.contains("app=sbc"), "{message}");
}

#[test]
fn of_the_same_second_the_uid_decides_and_what_was_not_created_is_youngest() {
    let with = |name: &str, uid: Option<&str>, created: bool| {
        let one =
            born(name, "2026-11-04", json!({"workload": {"selector": {"matchLabels": {"app": "sbc"}}}}));
        edited(&one, |one| {
            one.metadata.uid = uid.map(str::to_owned);
            one.metadata.creation_timestamp = one.metadata.creation_timestamp.take().filter(|_| created);
        })
    };
    for (older, younger) in [
        (with("cc-front/z", Some("1"), true), with("cc-front/a", Some("2"), true)),
        (with("cc-front/z", Some("9"), true), with("cc-front/a", None, false)),
        (with("cc-front/a", None, false), with("cc-front/z", None, false)),
    ] {
        let name = |channel: &Declaration| channel.name().to_string();
        let scene = Scene::new().given(older.clone()).given(younger.clone());
        assert_eq!(problems(&scene, &name(&older)), []);
        assert_eq!(only(&scene, &name(&younger)).0, "WorkloadConflict");
    }
}

#[test]
fn conflicts_stay_within_a_namespace() {
    let pods = json!({"workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"}, "tls": {"secretName": "certificate"}});
    let scene = Scene::new().channel("cc-front/a", pods.clone()).channel("cc-data/b", pods);
    assert_eq!(problems(&scene, "cc-front/a"), []);
    assert_eq!(problems(&scene, "cc-data/b"), []);
}

#[test]
fn a_wider_selector_and_a_shared_pod_are_conflicts_too() {
    let selector = |labels: Value| json!({"workload": {"selector": {"matchLabels": labels}}});
    let wide = born("cc-front/old", "2026-11-04", selector(json!({"app": "sbc"})));
    let narrow = born("cc-front/new", "2026-11-05", selector(json!({"app": "sbc", "tier": "edge"})));
    let scene = Scene::new().given(wide).given(narrow);
    assert_eq!(only(&scene, "cc-front/new").0, "WorkloadConflict");

    let tier = born(
        "cc-front/new",
        "2026-11-05",
        json!({"workload": {"selector": {"matchLabels": {"app": null, "tier": "edge"}}}}),
    );
    let scene = scene.given(tier);
    assert_eq!(problems(&scene, "cc-front/new"), [], "no pod is known to be both's");
    let labels = [("app", "sbc"), ("tier", "edge")];
    let shared = scene.clone().pod("cc-front/sbc-0", labels);
    let (reason, _, message) = only(&shared, "cc-front/new");
    assert_eq!(reason, "WorkloadConflict");
    assert!(message.contains("pod sbc-0"), "{message}");
    let ended = PodFacts { labels: crate::testing::labels(labels), finished: true, ..PodFacts::default() };
    assert_eq!(problems(&scene.pod_with("cc-front/sbc-0", ended), "cc-front/new"), []);
}

#[test]
fn a_service_account_and_a_secret_belong_to_one() {
    let account = json!({"workload": {"serviceAccountName": "sbc"}});
    let scene = Scene::new().given(born("cc-front/old", "2026-11-04", account.clone())).given(born(
        "cc-front/new",
        "2026-11-05",
        account,
    ));
    let (reason, field, _) = only(&scene, "cc-front/new");
    assert_eq!((reason, field), ("ServiceAccountConflict", "spec.workload.serviceAccountName"));
    assert_eq!(problems(&scene, "cc-front/old"), []);

    let scene = Scene::new().given(born("cc-front/old", "2026-11-04", json!({}))).given(born(
        "cc-front/new",
        "2026-11-05",
        json!({"tls": {"secretName": "old-mtls"}}),
    ));
    let (reason, field, _) = only(&scene, "cc-front/new");
    assert_eq!((reason, field), ("SecretConflict", "spec.tls.secretName"));
    assert_eq!(problems(&scene, "cc-front/old"), []);
}

#[test]
fn dns_names_stay_under_the_allowed_suffixes() {
    let allowed =
        json!({"certificateAuthority": {"allowedDNSSuffixes": ["hospital.example", "sip.example.org"]}});
    let names = |names: Value| json!({"tls": {"dnsNames": names}});
    let scene = Scene::new().domain(DOMAIN, allowed);
    let inside = [
        "hospital.example",
        "a.hospital.example",
        "*.hospital.example",
        "*.a.hospital.example",
        "sip.example.org",
    ];
    assert_eq!(
        problems(&scene.clone().channel("cc-front/voice", names(json!(inside))), "cc-front/voice"),
        []
    );
    for outside in ["example", "evilhospital.example", "*.example", "hospital.example.evil", "example.org"] {
        let scene = scene.clone().channel("cc-front/voice", names(json!(["a.hospital.example", outside])));
        let (reason, field, message) = only(&scene, "cc-front/voice");
        assert_eq!((reason, field), ("DNSNameNotAllowed", "spec.tls.dnsNames"), "{outside}");
        assert!(message.starts_with(outside) && message.contains("sip.example.org"), "{message}");
    }
    let service = scene.clone().channel("cc-front/voice", names(json!(["db.cc-front.svc"])));
    assert_eq!(only(&service, "cc-front/voice").0, "DNSNameNotAllowed", "there is no such Service");
    assert_eq!(problems(&service.clone().service("cc-front/db", false, []), "cc-front/voice"), []);
    let others = service.service("cc-front/db", false, [("app", "db")]);
    assert_eq!(only(&others, "cc-front/voice").0, "DNSNameNotAllowed", "it has the pods of others");
    let none = Scene::new().channel("cc-front/voice", names(json!(["a.example"])));
    assert!(only(&none, "cc-front/voice").2.contains("(none)"));
}

#[test]
fn a_leaf_lives_at_most_a_quarter_of_its_authority() {
    let with = |authority: &str, leaf: &str| {
        Scene::new()
            .domain(DOMAIN, json!({"certificateAuthority": {"duration": authority}}))
            .channel("cc-front/voice", json!({"tls": {"duration": leaf}}))
    };
    for (authority, leaf) in [("1y", "91d"), ("1y", "2190h"), ("4w", "7d"), ("1d", "6h"), ("4mo", "30d")] {
        assert_eq!(problems(&with(authority, leaf), "cc-front/voice"), [], "{authority} {leaf}");
    }
    for (authority, leaf, most) in [
        ("1y", "92d", "91d"),
        ("1y", "2191h", "91d"),
        ("4w", "8d", "7d"),
        ("1d", "7h", "6h"),
        ("3d", "1d", "18h"),
    ] {
        let (reason, field, message) = only(&with(authority, leaf), "cc-front/voice");
        assert_eq!((reason, field), ("DurationTooLong", "spec.tls.duration"), "{authority} {leaf}");
        assert!(message.ends_with(&format!("write at most {most}")), "{message}");
    }
    let silent = Scene::new()
        .domain(DOMAIN, json!({"certificateAuthority": {"duration": "30d"}}))
        .channel("cc-front/voice", json!({"tls": {"keyAlgorithm": "ECDSA-P384"}}));
    assert_eq!(problems(&silent, "cc-front/voice"), [], "what is not asked for is only capped");
}

#[test]
fn an_authoritys_life_follows_the_calendar() {
    let life = |text: &str| {
        domain::authority_life(
            &crate::testing::domain(DOMAIN, json!({"certificateAuthority": {"duration": text}})),
            now(),
        )
    };
    assert_eq!(life("1y"), Some(jiff::SignedDuration::from_hours(365 * 24)));
    assert_eq!(life("2y"), Some(jiff::SignedDuration::from_hours(731 * 24)), "2028 is a leap year");
    assert_eq!(life("90d"), Some(jiff::SignedDuration::from_hours(90 * 24)));
    assert_eq!(life("soon"), None);
    assert_eq!(life("9999y"), None);
}

#[test]
fn everything_is_said_at_once_the_most_fundamental_first_and_always_the_same() {
    let bad = json!({
        "dataClasses": ["nothing"],
        "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
        "tls": {"secretName": "s", "dnsNames": ["a.example"], "duration": "300d"},
    });
    let scene = Scene::new()
        .domain(DOMAIN, json!({"timeZone": "Nowhere/At-All"}))
        .given(born("cc-front/old", "2026-11-04", bad.clone()))
        .given(born("cc-front/new", "2026-11-05", bad));
    let found = problems(&scene, "cc-front/new");
    let reasons: Vec<_> = found.iter().map(|one| one.reason.as_str()).collect();
    let expected = [
        "TimeZoneUnknown",
        "UnknownDataClass",
        "WorkloadConflict",
        "ServiceAccountConflict",
        "SecretConflict",
        "DNSNameNotAllowed",
        "DurationTooLong",
    ];
    assert_eq!(reasons, expected);
    assert!(found.iter().all(|one| !one.message.is_empty() && !one.field.is_empty()));
    assert_eq!(problems(&scene, "cc-front/new"), found);
    let later = now().checked_add(1.hour()).unwrap();
    let again = validate(scene.get("cc-front/new"), &scene, later).err().unwrap();
    assert_eq!(again, found);
}

#[test]
fn a_secret_is_named_after_its_channel() {
    assert_eq!(secret_name(&channel("cc-front/voice", json!({}))), "voice-mtls");
    assert_eq!(secret_name(&channel("cc-front/voice", json!({"tls": {"secretName": "own"}}))), "own");
}
