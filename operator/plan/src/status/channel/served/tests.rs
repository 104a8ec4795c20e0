use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use subrosa_crds::{ChannelStatus, Reason};

use super::*;
use crate::{
    testing::{Scene, at, edited, labels, leaf, merge, named, now},
    world::{
        PodFacts,
        answers::{PodSeen, PodTarget, Presented, Source},
        fault::Fault,
    },
};

const DB: &str = "cc-data/db";
const OLDER: &str = "0a";

/// `db` with one listener and three ready pods that mount its Secret.
struct Stage {
    scene: Scene,
    patch: Value,
    restart: Restart,
    before: Option<ChannelStatus>,
}

impl Stage {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(patch: Value) -> Self {
        let mut scene = Scene::new();
        scene.world.probes = Some(Source { namespace: "ops".into(), labels: labels([("app", "subrosa")]) });
        let mut stage = Self { scene, patch, restart: Restart::NotDue, before: None };
        for number in 0..3 {
            stage.pod(number, |_| {});
        }
        stage
    }

    fn pod(&mut self, number: u8, edit: impl FnOnce(&mut PodFacts)) {
        let mut pod = PodFacts {
            labels: labels([("app", "db")]),
            ip: Some([10, 0, 0, number].into()),
            ready: true,
            secrets: vec!["db-mtls".into()],
            ..PodFacts::default()
        };
        edit(&mut pod);
        self.scene.world.pods.entry("cc-data".into()).or_default().insert(format!("db-{number}"), pod);
    }

    /// What each pod answered; `None` where it was not asked yet.
    fn answered<const N: usize>(mut self, answers: [Option<Answer>; N]) -> Self {
        let pods = &self.scene.world.pods["cc-data"];
        let seen = answers.into_iter().enumerate().filter_map(|(number, answer)| {
            let name = format!("db-{number}");
            let pod = &pods[&name];
            let target = PodTarget { ip: pod.ip.unwrap(), running_since: pod.running_since };
            Some((name, PodSeen { target, answers: BTreeMap::from([(5432, answer?)]) }))
        });
        let seen = seen.collect();
        self.scene.world.served.insert(named(DB), seen);
        self
    }

    fn status(&self) -> ChannelStatus {
        self.status_at(now())
    }

    fn status_at(&self, now: Timestamp) -> ChannelStatus {
        let mut spec = json!({"listeners": [{"name": "sql", "port": 5432}]});
        merge(&mut spec, self.patch.clone());
        let scene = self.scene.clone().channel(DB, spec);
        let channel = edited(scene.get(DB), |channel| channel.status.clone_from(&self.before));
        let plan = scene.plan(DB);
        super::super::channel(&channel, &plan, &self.applied(&scene), &scene, now)
    }

    fn applied(&self, scene: &Scene) -> Applied {
        Applied {
            record: Ok(scene.first_record(DB)),
            observed: leaf().into(),
            controls: crate::channel::applied::Controls::each(|_| Ok(())),
            keys: BTreeMap::new(),
            has_policy: true,
            default_deny: true,
            trusting: Default::default(),
            pending: Some(Vec::new()),
            trust_bytes: Some(4096),
            restart: self.restart.clone(),
        }
    }

    /// Status, reason and message of Served.
    fn says(&self) -> (String, String, String) {
        let status = self.status();
        let found = condition::find(&status.conditions, condition::SERVED).unwrap();
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }
}

fn shows(serial: &str, ours: bool) -> Option<Answer> {
    let not_after = Some(at("2026-12-01T00:00:00Z"));
    Some(Answer::Certificate(Presented {
        fingerprint: crate::testing::fingerprint(serial),
        serial: serial.into(),
        ours,
        not_after,
    }))
}

fn current() -> Option<Answer> {
    shows(&leaf().serial, true)
}

fn stale() -> Option<Answer> {
    shows(OLDER, true)
}

fn presented(status: &ChannelStatus) -> Option<ServedStatus> {
    status.certificate.as_ref()?.served.clone()
}

#[test]
fn it_is_claimed_when_every_ready_pod_presents_the_current_one() {
    let stage = Stage::new().answered([current(), current(), current()]);
    let (status, reason, message) = stage.says();
    assert_eq!((&*status, &*reason), ("True", "CurrentEverywhere"));
    assert!(message.contains("all 3 ready pods"), "{message}");
    let expected = ServedStatus { serial: leaf().serial, at: now().to_string(), pods: "3/3".into() };
    assert_eq!(presented(&stage.status()), Some(expected));
}

#[test]
fn the_worst_is_the_reason_and_its_pods_are_named() {
    let cases = [
        (Some(Answer::KeyNotHeld), "False", "KeyNotHeld"),
        (Some(Answer::Plaintext), "False", "ServedInPlaintext"),
        (shows("0b", false), "False", "NotMounted"),
        (stale(), "False", "StaleCertificate"),
        (Some(Answer::NoCertificate), "False", "HandshakeFailed"),
        (Some(Answer::Refused), "False", "NotListening"),
        (Some(Answer::Silent), "Unknown", "ListenerSilent"),
    ];
    for (worse, (answer, truth, reason)) in cases.iter().enumerate() {
        let (status, found, message) = Stage::new().answered([current(), answer.clone(), current()]).says();
        assert_eq!((&*status, &*found), (*truth, *reason));
        assert!(message.starts_with("db-1 (port 5432) of 3 ready pods"), "{message}");
        for (other, ..) in &cases[worse..] {
            let (_, found, message) =
                Stage::new().answered([current(), other.clone(), answer.clone()]).says();
            assert_eq!(found, *reason, "{other:?} is no worse than {answer:?}");
            assert!(message.contains("db-2"), "{message}");
        }
    }
}

#[test]
fn what_does_not_mount_the_secret_is_said_so() {
    for answer in [shows("0b", false), stale(), Some(Answer::Plaintext), Some(Answer::NoCertificate)] {
        let mut stage = Stage::new();
        stage.pod(1, |pod| pod.secrets.clear());
        let (_, reason, message) = stage.answered([current(), answer, current()]).says();
        assert_eq!(reason, "NotMounted");
        assert!(message.contains("no volume of it has the Secret db-mtls"), "{message}");
    }
}

#[test]
fn a_mount_by_sub_path_is_named_unless_a_restart_takes_it() {
    let by_path = |patch| {
        let mut stage = Stage::with(patch);
        stage.pod(1, |pod| pod.sub_paths.push("db-mtls".into()));
        stage
    };
    let reason = |patch| by_path(patch).answered([current(), stale(), current()]).says().1;
    assert_eq!(reason(json!({})), "SubPathMount");
    assert_eq!(reason(json!({"tls": {"reload": "Workload"}})), "SubPathMount");
    let restart = json!({
        "tls": {"reload": "Restart"}, "workload": {"ref": {"kind": "StatefulSet", "name": "db"}},
    });
    assert_eq!(reason(restart), "StaleCertificate");
    let good = |patch| by_path(patch).answered([current(), current(), current()]).says();
    let (status, _, message) = good(json!({"tls": {"reload": "Workload"}}));
    assert!(status == "True" && message.contains("db-1 mounts it by subPath"), "{message}");
    assert!(!good(json!({})).2.contains("subPath"), "somebody restarts it");
}

#[test]
fn the_next_step_is_that_of_the_kind_of_reload() {
    let message = |patch, restart| {
        let stage = Stage { restart, ..Stage::with(patch) };
        stage.answered([stale(), current(), current()]).says().2
    };
    let none = message(json!({}), Restart::NotDue);
    assert!(none.contains("restart the workload before 2026-12-01T00:00:00Z"), "{none}");
    let workload = message(json!({"tls": {"reload": "Workload"}}), Restart::NotDue);
    assert!(workload.contains("within two minutes"), "{workload}");
    let restart = json!({
        "tls": {"reload": "Restart"}, "workload": {"ref": {"kind": "StatefulSet", "name": "db"}},
    });
    let told = message(restart.clone(), Restart::UnderWay);
    assert!(told.contains("StatefulSet db is being restarted"), "{told}");
    let held = Stage {
        restart: Restart::Held(crate::channel::applied::RestartHold::in_the_way("PodDisruptionBudget x")),
        ..Stage::with(restart)
    };
    let (status, reason, message) = held.answered([stale(), current(), current()]).says();
    assert_eq!((&*status, &*reason, &*message), ("False", "RestartHeld", "PodDisruptionBudget x"));
}

#[test]
fn nothing_is_claimed_of_what_was_not_asked() {
    let unknown = |stage: Stage, words: &str| {
        let (status, reason, message) = stage.says();
        assert_eq!((&*status, &*reason), ("Unknown", "NotProbed"), "{message}");
        assert!(message.contains(words), "{message}");
    };
    unknown(Stage::new(), "for the first time");
    let mut off = Stage::new().answered([current(), current(), current()]);
    off.scene.world.probes = None;
    unknown(off, "no probe has seen");
    let mut nobody = Stage::new();
    (0..3).for_each(|number| nobody.pod(number, |pod| pod.ready = false));
    unknown(nobody, "no pod of this Channel is ready");

    let stage = Stage::new().answered([current(), current(), current()]);
    let scene = stage.scene.clone().channel(DB, json!({"listeners": [{"name": "sql", "port": 5432}]}));
    let plan = scene.plan(DB);
    let broken = Applied { record: Err(Fault::new(Reason::VaultSealed, "")), ..stage.applied(&scene) };
    let (verdict, status) = served(scene.get(DB), &plan, &broken, &scene, now());
    assert_eq!((verdict.truth, verdict.reason.as_str(), status), (Truth::Unknown, "NotProbed", None));
}

#[test]
fn a_look_that_is_under_way_is_no_news() {
    let mut stage = Stage::new().answered([current(), current(), current()]);
    stage.before = Some(stage.status());
    let settled = stage.status_at(at("2026-11-23T00:00:00Z"));
    assert_eq!(Some(&settled), stage.before.as_ref(), "a probe that sees the same writes nothing");
    // After a restart of the operator nobody was asked yet, and a new pod was not either.
    stage.scene.world.served.clear();
    assert_eq!(stage.status(), settled);
    let mut stage = stage.answered([current(), current(), None]);
    assert_eq!(stage.status(), settled);
    // But what was seen to be wrong is said at once.
    stage = stage.answered([current(), stale(), None]);
    assert_eq!(stage.says().1, "StaleCertificate");
}

#[test]
fn what_all_presented_last_is_kept_until_all_present_another() {
    let mut stage = Stage::new().answered([stale(), stale(), stale()]);
    let older = presented(&stage.status()).unwrap();
    assert_eq!((older.serial.as_str(), older.pods.as_str()), (OLDER, "3/3"));
    stage.before = Some(stage.status());
    let later = at("2026-11-23T00:00:00Z");
    for (answers, pods) in [
        ([current(), stale(), stale()], "2/3"),
        ([current(), current(), stale()], "1/3"),
        ([current(), current(), Some(Answer::Silent)], "0/3"),
    ] {
        stage = stage.answered(answers);
        let status = stage.status_at(later);
        assert_eq!(presented(&status), Some(ServedStatus { pods: pods.into(), ..older.clone() }));
        stage.before = Some(status);
    }
    let stage = stage.answered([current(), current(), current()]);
    let expected = ServedStatus { serial: leaf().serial, at: later.to_string(), pods: "3/3".into() };
    assert_eq!(presented(&stage.status_at(later)), Some(expected));
}
