//! All requests of a Channel judged together.

use super::*;

const VOICE: &str = "cc-front/voice";

/// The Channel with these pods, each of which asks.
fn asked(requests: &[Request]) -> Scene {
    let mut scene = requests.iter().fold(scene(), |scene, one| pod(scene, &one.pod, "voice"));
    let named = requests.iter().map(|one| (format!("of-{}", one.pod), one.clone()));
    scene.world.requests.insert("cc-front".into(), named.collect());
    scene
}

/// Judged with serials `s0`, `s1`, ….
fn judged(scene: &Scene, before: &ChannelRecord, signs: bool, unsigned: &[&str]) -> JudgedRequests<String> {
    let plan = scene.plan_with(VOICE, Some(before));
    let owner = ChannelSigner { channel: scene.get(VOICE), plan: &plan };
    let permitted = permitted(&plan);
    let validity =
        Validity { not_before: after(now(), hours(-24)), not_after: after(now(), hours(24 * 365)) };
    let issuer = Issuer { generation: 1, validity, permitted: &permitted };
    let mut serials = (0..).map(|number| format!("s{number}"));
    let serial = || serials.next().unwrap();
    owner.judge(before, scene, signs.then_some(issuer), |one| unsigned.contains(&one), serial, now())
}

#[test]
fn everything_that_will_be_signed_is_in_the_record_and_nothing_else() {
    let annotated = Request { annotations: ["key".to_owned()].into(), ..request("voice-2") };
    let scene = asked(&[request("voice-0"), request("voice-1"), annotated]);
    let before = scene.record(VOICE);
    let judged = judged(&scene, &before, true, &[]);
    let issued: Vec<_> = judged.issue.iter().map(|one| (one.name.as_str(), one.serial.as_str())).collect();
    assert_eq!(issued, [("of-voice-0", "s0"), ("of-voice-1", "s1")]);
    assert_eq!(judged.deny.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["of-voice-2"]);
    let noted = judged.record.pods.unwrap().pods;
    assert_eq!(noted.keys().collect::<Vec<_>>(), ["uid-voice-0", "uid-voice-1"]);
}

#[test]
fn without_an_issuer_nothing_is_answered_and_nothing_is_noted() {
    let scene = asked(&[request("voice-0")]);
    let before = scene.record(VOICE);
    let judged = judged(&scene, &before, false, &[]);
    assert!(judged.issue.is_empty() && judged.deny.is_empty() && judged.wait.is_empty());
    assert_eq!(judged.record, before);
}

#[test]
fn a_serial_for_which_no_signature_came_does_not_count() {
    let scene = asked(&[request("voice-0")]);
    let mut record = scene.record(VOICE);
    for _ in 0..3 {
        let one = judged(&scene, &record, true, &[]);
        assert_eq!(one.issue.len(), 1);
        record = one.record;
    }
    let limited = judged(&scene, &record, true, &[]);
    assert_eq!((limited.issue.len(), limited.wait.len()), (0, 1), "three an hour");
    assert_eq!(limited.record, record);
    let again = judged(&scene, &record, true, &["s0"]);
    assert_eq!((again.issue.len(), again.wait.len()), (1, 0), "the last of them was never signed");
}
