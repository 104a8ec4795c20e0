use serde_json::{Value, json};
use subrosa_crds::Reason;

use super::*;
use crate::{
    certificate::{LeafFacts, Observation},
    channel::{
        Plan,
        applied::{Controls, Restart},
    },
    network::policy_name,
    record::issuances::{Issuances, IssuedLeaf},
    restart,
    testing::{Scene, at, fingerprint, labels, leaf, named, now, spec},
    world::{
        PodFacts,
        answers::{PodSeen, Source},
        fault::Fault,
    },
};

const DB: &str = "cc-data/db";

/// `cc-data/db` has a listener of each kind, and the operator's pods probe.
fn scene(patch: Value) -> Scene {
    let mut spec = json!({
        "listeners": [
            {"name": "sql", "port": 5432, "tls": "PostgreSQL"}, {"name": "api", "port": 8443},
            {"name": "metrics", "port": 9187, "tls": "None"},
            {"name": "rtp", "port": 10000, "endPort": 10010}, {"name": "sip", "port": 5060, "protocol": "UDP"},
        ],
    });
    crate::testing::merge(&mut spec, patch);
    let mut scene = Scene::new().channel(DB, spec);
    scene.world.probes = Some(Source {
        namespace: "subrosa-system".into(),
        labels: labels([("app.kubernetes.io/name", "subrosa")]),
    });
    scene
}

fn pod(number: u8) -> PodFacts {
    PodFacts {
        labels: labels([("app", "db")]),
        ip: Some([10, 0, 0, number].into()),
        ready: true,
        running_since: Some(at("2026-11-01T00:00:00Z")),
        ..PodFacts::default()
    }
}

fn applied(scene: &Scene) -> Applied {
    Applied {
        record: Ok(scene.first_record(DB)),
        observed: leaf().into(),
        controls: Controls::each(|_| Ok(())),
        keys: BTreeMap::new(),
        has_policy: true,
        default_deny: true,
        trusting: Default::default(),
        restart: Restart::NotDue,
        trust_bytes: Some(4096),
        pending: Some(Vec::new()),
    }
}

fn presented(serial: &str, ours: bool) -> Presented {
    Presented { fingerprint: fingerprint(serial), serial: serial.into(), ours, not_after: None }
}

fn asked(scene: &Scene) -> Option<Targets> {
    targets(scene.get(DB), &scene.plan(DB), &applied(scene), scene)
}

#[test]
fn ready_pods_are_asked_at_what_speaks_tls() {
    let scene = scene(json!({}))
        .pod_with("cc-data/db-0", pod(1))
        .pod_with("cc-data/db-1", PodFacts { ready: false, ..pod(2) })
        .pod_with("cc-data/db-2", PodFacts { ip: None, ..pod(3) })
        .pod_with("cc-data/db-3", PodFacts { finished: true, ..pod(4) })
        .pod_with("cc-data/web-0", PodFacts { labels: labels([("app", "web")]), ..pod(5) })
        .pod_with("cc-front/db-0", pod(6));
    let asked = asked(&scene).unwrap();
    assert_eq!(asked.pods.keys().collect::<Vec<_>>(), ["db-0"]);
    assert_eq!(asked.listeners, [(5432, ListenerTls::PostgreSQL), (8443, ListenerTls::Direct)].into());
    assert_eq!(asked.server_name.as_deref(), Some("db.cc-data.svc"));
    assert_eq!(asked.certificate, Some(leaf().fingerprint));
}

#[test]
fn nothing_is_asked_without_probes_a_listener_or_a_certificate() {
    let mut off = scene(json!({})).pod_with("cc-data/db-0", pod(1));
    assert!(asked(&off).is_some());
    let asked_with = |applied: Applied| targets(off.get(DB), &off.plan(DB), &applied, &off);
    let sealed = || Fault::new(Reason::VaultSealed, "unseal it");
    assert_eq!(asked_with(Applied { record: Err(sealed()), ..applied(&off) }), None);
    let useless = LeafFacts { key_matches: false, ..leaf() };
    assert_eq!(asked_with(Applied { observed: useless.into(), ..applied(&off) }), None);
    assert_eq!(asked_with(Applied { observed: Observation::Unknown, ..applied(&off) }), None);
    let late = Applied { controls: Controls::none(&sealed()), ..applied(&off) };
    assert!(asked_with(late).is_some(), "it is the one to present until another is issued");
    off.world.probes = None;
    assert_eq!(asked(&off), None);
    let udp = json!({"listeners": [{"name": "sip", "port": 5060, "protocol": "UDP"}]});
    assert_eq!(asked(&scene(udp).pod_with("cc-data/db-0", pod(1))), None);
}

#[test]
fn the_policy_lets_the_operator_in_to_exactly_these_ports() {
    let with = scene(json!({}));
    let mut without = with.clone();
    without.world.probes = None;
    let (mut open, closed) = (spec(&with.plan(DB)), spec(&without.plan(DB)));
    let rules = open.ingress.take().unwrap();
    assert_eq!(closed.ingress, Some(Vec::new()));
    let rule: Value = serde_json::to_value(&rules).unwrap();
    let expected = json!([{
        "from": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "subrosa-system"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "subrosa"}},
        }],
        "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 8443}],
    }]);
    assert_eq!(rule, expected);
    assert_eq!(open.egress, closed.egress, "nothing else changes");
    let mute = scene(json!({"listeners": [{"name": "metrics", "port": 9187, "tls": "None"}]}));
    assert_eq!(spec(&mute.plan(DB)).ingress, Some(Vec::new()), "what speaks no TLS stays closed");
}

#[test]
fn a_channel_that_is_stalled_is_asked_at_the_pods_that_its_policy_protects() {
    let good = scene(json!({})).pod_with("cc-data/db-0", pod(1)).in_force(&[DB]);
    let mut policy = good.world.network_policies["cc-data"][&policy_name("db")].object();
    policy.metadata.owner_references = crate::world::objects::owner(good.get(DB)).map(|owner| vec![owner]);
    // A bad edit that selects everybody's pods.
    let bad = good.policy("cc-data", policy).channel(
        DB,
        json!({
            "workload": {"selector": {"matchLabels": {"app": "web"}}},
            "listeners": [{"name": "sql", "port": 5432}], "tls": {"dnsNames": ["bank.example"]},
        }),
    );
    let bad = bad.pod_with("cc-data/web-0", PodFacts { labels: labels([("app", "web")]), ..pod(2) });
    let plan: Plan = bad.plan(DB);
    assert!(matches!(plan.scope, Scope::Stalled(_)));
    assert_eq!(asked(&bad).unwrap().pods.keys().collect::<Vec<_>>(), ["db-0"]);
}

#[test]
fn what_was_seen_of_another_life_of_a_pod_is_no_answer() {
    let scene = scene(json!({})).pod_with("cc-data/db-0", pod(1));
    let targets = asked(&scene).unwrap();
    let current = || Answer::Certificate(presented(&leaf().serial, true));
    let seen = |target, ports: &[u16]| -> Seen {
        let answers = ports.iter().map(|port| (*port, current())).collect();
        [("db-0".to_owned(), PodSeen { target, answers })].into()
    };
    let now = targets.pods["db-0"];
    let both = seen(now, &[5432, 8443]);
    assert!(targets.answered(&both) && targets.current(&both));
    let one = seen(now, &[5432]);
    assert!(!targets.answered(&one) && !targets.current(&one));
    for other in [
        PodTarget { ip: [10, 0, 0, 9].into(), ..now },
        PodTarget { running_since: Some(at("2026-11-02T00:00:00Z")), ..now },
    ] {
        assert!(!targets.answered(&seen(other, &[5432, 8443])));
    }
    assert!(!targets.answered(&Seen::new()));
}

/// Serials are an issuer's own to give: two of them, or one that was made anew, may give the same.
#[test]
fn the_same_serial_of_another_issuer_is_another_certificate() {
    for issuance in ["Subrosa", "External"] {
        let tls = json!({"issuance": issuance, "secretName": "db-tls"});
        let targets = asked(&scene(json!({ "tls": tls })).pod_with("cc-data/db-0", pod(1))).unwrap();
        let same = presented(&leaf().serial, true);
        assert!(targets.accepts(&same));
        assert!(!targets.accepts(&Presented { fingerprint: fingerprint("another"), ..same }));
    }
}

#[test]
fn what_is_right_depends_on_who_issues_and_who_keeps_the_key() {
    let of = |tls: Value| {
        let scene = scene(json!({ "tls": tls })).pod_with("cc-data/db-0", pod(1));
        asked(&scene).unwrap()
    };
    let shown = |ours| presented("0a", ours);
    let all = of(json!({}));
    assert!(!all.accepts(&shown(true)) && all.was_right(&shown(true)) && !all.was_right(&shown(false)));
    let external = of(json!({"issuance": "External", "secretName": "db-tls"}));
    assert!(!external.accepts(&shown(true)) && external.was_right(&shown(false)));
    let each = of(json!({"delivery": "PodCertificate"}));
    assert!(each.accepts(&shown(true)) && !each.accepts(&shown(false)));
}

/// What is due of `db`, whose record of issuances is `issued`, with pods that run since `started`.
fn due(issued: &[(&str, &str, &str)], started: &str, seen: Option<&str>, patch: Value) -> Option<String> {
    let mut spec = json!({
        "workload": {"ref": {"kind": "StatefulSet", "name": "db"}}, "tls": {"reload": "Restart"},
    });
    crate::testing::merge(&mut spec, patch);
    let running = PodFacts { running_since: Some(at(started)), ..pod(1) };
    let mut scene = scene(spec).pod_with("cc-data/db-0", running);
    let mut applied = applied(&scene);
    let issuances = issued.iter().fold(Issuances::default(), |all, (serial, when, reason)| {
        all.noted(IssuedLeaf {
            serial: (*serial).into(),
            at: at(when),
            reason: (*reason).into(),
            not_after: None,
        })
    });
    applied.record.as_mut().unwrap().issuances = issuances;
    let plan = scene.plan(DB);
    if let Some(serial) = seen {
        let targets = targets(scene.get(DB), &plan, &applied, &scene).unwrap();
        let answer = Answer::Certificate(presented(serial, true));
        let answers = targets.listeners.keys().map(|port| (*port, answer.clone())).collect();
        let pod = PodSeen { target: targets.pods["db-0"], answers };
        scene.world.served.insert(named(DB), [("db-0".to_owned(), pod)].into());
    }
    restart::due(scene.get(DB), &plan, &applied, &scene, now()).map(|due| {
        assert_eq!(due.named.name, "db");
        due.mark
    })
}

const EARLY: &str = "2026-11-01T00:00:00Z";
const ISSUED: &str = "2026-11-10T00:00:00Z";
const LATE: &str = "2026-11-11T00:00:00Z";

#[test]
fn the_first_certificate_restarts_nobody() {
    let this = leaf().serial;
    assert_eq!(due(&[(&this, ISSUED, "Missing")], EARLY, None, json!({})), None);
    assert_eq!(due(&[(&this, ISSUED, "Missing")], EARLY, Some("0a"), json!({})), None);
    assert_eq!(due(&[], EARLY, None, json!({})), None, "nothing is on record");
}

#[test]
fn a_renewed_one_restarts_what_started_before() {
    let this = leaf().serial;
    let renewed = [("0a", EARLY, "Missing"), (&*this, ISSUED, "Expiring")];
    assert_eq!(due(&renewed, EARLY, None, json!({})), Some(this.clone()));
    assert_eq!(due(&renewed, LATE, None, json!({})), None, "it started with it");
    assert_eq!(due(&renewed[1..], EARLY, None, json!({})), Some(this.clone()), "the first is off the record");
    let made_again = [("0a", EARLY, "Missing"), (&*this, ISSUED, "Missing")];
    assert_eq!(due(&made_again, EARLY, None, json!({})), Some(this.clone()), "the Secret was deleted");
    for other in [json!({"tls": {"reload": "Workload"}}), json!({"tls": null})] {
        assert_eq!(due(&renewed, EARLY, None, other), None);
    }
    let external = json!({"tls": {"issuance": "External", "secretName": "db-tls"}});
    let valid = leaf().validity.not_before.to_string();
    let mark = format!("{this}-{:.16}", leaf().fingerprint);
    assert_eq!(mark.len(), this.len() + 17);
    assert_eq!(due(&[], EARLY, None, external.clone()), Some(mark), "whoever issued it");
    assert_eq!(due(&[], &valid, None, external), None);
    assert_eq!(due(&renewed, EARLY, None, json!({"tls": {"delivery": "PodCertificate"}})), None);
    let probed = |serial| due(&renewed, EARLY, Some(serial), json!({}));
    assert_eq!(probed(&this), None, "probes saw that it took it by itself");
    assert_eq!(probed("0a"), Some(this.clone()));
    assert_eq!(due(&renewed, LATE, Some("0a"), json!({})), Some(this), "it started with an older file");
}

/// Two pods: one took the renewed certificate and is ready, the other runs with the one before and is not.
fn half_ready(before_ends: &str, seen: bool) -> Option<restart::Due<'static>> {
    static NAMED: std::sync::LazyLock<subrosa_crds::channel::WorkloadRef> =
        std::sync::LazyLock::new(|| crate::testing::read(json!({"kind": "StatefulSet", "name": "db"})));
    let spec =
        json!({"workload": {"ref": {"kind": "StatefulSet", "name": "db"}}, "tls": {"reload": "Restart"}});
    let stale = PodFacts { running_since: Some(at(EARLY)), ready: false, ..pod(1) };
    let fresh = PodFacts { running_since: Some(at(LATE)), ..pod(2) };
    let mut scene = scene(spec).pod_with("cc-data/db-0", stale).pod_with("cc-data/db-1", fresh);
    let mut applied = applied(&scene);
    let one = |serial: &str, when, ends: Option<&str>| IssuedLeaf {
        serial: serial.into(),
        at: at(when),
        reason: "Expiring".into(),
        not_after: ends.map(at),
    };
    let issued = Issuances::default().noted(one("0a", "2026-10-31T00:00:00Z", Some(before_ends)));
    applied.record.as_mut().unwrap().issuances = issued.noted(one(&leaf().serial, ISSUED, None));
    let plan = scene.plan(DB);
    if seen {
        let targets = targets(scene.get(DB), &plan, &applied, &scene).unwrap();
        assert_eq!(targets.pods.keys().collect::<Vec<_>>(), ["db-1"], "only ready pods are asked");
        let shown = presented(&leaf().serial, true);
        let answers =
            targets.listeners.keys().map(|port| (*port, Answer::Certificate(shown.clone()))).collect();
        let pod = PodSeen { target: targets.pods["db-1"], answers };
        scene.world.served.insert(named(DB), [("db-1".to_owned(), pod)].into());
    }
    restart::due(scene.get(DB), &plan, &applied, &scene, now())
        .map(|due| restart::Due { named: &NAMED, ..due })
}

#[test]
fn a_pod_that_is_unready_because_its_certificate_ended_is_known_by_its_start() {
    let ended = "2026-11-20T00:00:00Z";
    for seen in [true, false] {
        let due = half_ready(ended, seen).expect("it has to be restarted");
        assert!(due.ended && due.before_ends == Some(at(ended)) && due.since == at(ISSUED), "{due:?}");
    }
    // One that is still valid is no reason why a pod is not ready.
    let valid = "2026-12-20T00:00:00Z";
    assert!(!half_ready(valid, false).expect("it started with an older one").ended);
    assert_eq!(half_ready(valid, true), None, "and probes saw the current one wherever one can see");
}
