use proptest::prelude::*;
use serde_json::{Value, json};
use subrosa_crds::{Reason, trust_domain::Direction};

use super::*;
use crate::{
    certificate::{trust_files, trust_sources},
    channel::Plan,
    testing::{Scene, certificate, now},
    world::pem,
};

const VOICE: &str = "cc-front/voice";

/// A bundle of about so many KiB: one block, as large as no certificate is.
fn bundle(kib: usize) -> String {
    let der: Vec<u8> = std::iter::once(0x30).chain(std::iter::repeat_n(1, kib * 756)).collect();
    pem::encode(&der)
}

/// `voice` with an open peer, and parties whose bundles have so many KiB.
fn scene(parties: &[usize], extra: Value) -> Scene {
    let name = |number: usize| format!("p{number}");
    let mut accepts: Vec<_> =
        (0..parties.len()).map(|number| json!({"name": name(number), "kind": "ExternalParty"})).collect();
    accepts.push(json!({"name": "ivr"}));
    let listeners = json!([{"name": "sips", "port": 5061}]);
    let spec = json!({"listeners": listeners, "accepts": accepts, "tls": {"extraTrust": extra}});
    let scene =
        Scene::new().channel(VOICE, spec).channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}));
    parties.iter().enumerate().fold(scene, |scene, (number, kib)| {
        let consent =
            json!([{"namespace": "cc-front", "name": "voice", "direction": "Ingress", "ports": [5061]}]);
        let tls = json!({"mode": "Mutual", "caBundle": {"configMap": name(number), "key": "ca.crt"}});
        scene
            .party(&name(number), json!({"tls": tls, "channels": consent}))
            .bundle(&name(number), &bundle(*kib))
    })
}

fn open(plan: &Plan) -> Vec<&str> {
    let open = plan.connections.iter().filter(|connection| connection.is_open());
    open.map(|connection| connection.name.as_str()).collect()
}

fn files_of(scene: &Scene, plan: &Plan) -> usize {
    let authorities = [(crate::testing::named("cc-front/ivr"), vec![certificate(1)])].into();
    let sources = trust_sources::sources(
        scene.get(VOICE),
        &plan.connections,
        &plan.extra_trust,
        &authorities,
        scene,
        now(),
    );
    let (files, problems) = trust_files(&sources);
    assert_eq!(problems, [], "what is open fits");
    files.bytes()
}

#[test]
fn what_does_not_fit_is_refused_by_its_name_and_everything_else_stays() {
    let scene = scene(&[220; 5], json!([]));
    let plan = scene.plan(VOICE);
    assert_eq!(open(&plan), ["p0", "p1", "p2", "p3", "ivr"]);
    let [crowded] = plan.crowded.as_slice() else { panic!("{:?}", plan.crowded) };
    assert_eq!(crowded.source, "p4");
    assert!(crowded.message.contains("ConfigMap p4, of ExternalParty p4, needs 2"), "{}", crowded.message);
    let refused = plan.connections.iter().find(|connection| connection.name == "p4").unwrap();
    assert_eq!(refused.state, State::Refused);
    assert!(refused.ports.is_empty(), "no policy without trust");
    assert!(is_nearly_full(files_of(&scene, &plan)));
}

#[test]
fn what_was_in_force_keeps_its_place() {
    let scene = scene(&[220; 5], json!([]));
    let mut record = scene.first_record(VOICE);
    let all = Scene::plan(&scene, VOICE);
    let late = all.connections.iter().filter(|connection| connection.name != "p0");
    record.open = late.map(Connection::key).collect();
    let plan = scene.plan_with(VOICE, Some(&record));
    assert_eq!(open(&plan), ["p1", "p2", "p3", "p4", "ivr"]);
    assert_eq!(plan.crowded[0].source, "p0", "the one that is new");
}

#[test]
fn further_authorities_count_in_every_file() {
    let entry =
        json!({"name": "p0", "expires": "2027-01-31", "caBundle": {"configMap": "p0", "key": "ca.crt"}});
    let scene = scene(&[400, 10], json!([entry]));
    let plan = scene.plan(VOICE);
    // Three copies of 400 KiB are more than there is.
    assert_eq!(plan.crowded[0].source, "extraTrust/p0");
    let TrustState::Refused(fault) = &plan.extra_trust[0].state else { panic!("{:?}", plan.extra_trust) };
    assert_eq!(fault.reason, Reason::TrustTooLarge);
    assert_eq!(open(&plan), ["p0", "p1", "ivr"]);
    files_of(&scene, &plan);
}

#[test]
fn the_same_party_in_both_directions_counts_once() {
    let mut scene = scene(&[400, 400], json!([]));
    let both = json!({
        "accepts": [{"name": "p0", "kind": "ExternalParty"}, {"name": "p1", "kind": "ExternalParty"}],
        "connectsTo": [{"name": "p0", "kind": "ExternalParty"}],
        "listeners": [{"name": "sips", "port": 5061}],
    });
    scene = scene.channel(VOICE, both);
    assert_eq!(scene.plan(VOICE).crowded, []);
}

proptest! {
    /// Whatever is declared: what is open fits, and what was open before goes only where it outgrew the room by itself.
    #[test]
    fn what_is_open_always_fits(
        parties in prop::collection::vec(1_usize..500, 0..8), known in any::<u8>(), egress in any::<bool>(),
        extra in prop::option::of(1_usize..500),
    ) {
        let direction = if egress { json!("Egress") } else { Value::Null };
        let entries = extra.map_or(json!([]), |_| json!([{
            "name": "old", "expires": "2027-01-31", "direction": direction,
            "caBundle": {"configMap": "old", "key": "ca.crt"},
        }]));
        let scene = scene(&parties, entries).bundle("old", &bundle(extra.unwrap_or(1)));
        let mut record = scene.first_record(VOICE);
        let declared = scene.plan(VOICE).connections;
        let was = |number: usize| number < 8 && known & (1 << number) != 0;
        record.open = declared
            .iter()
            .enumerate()
            .filter(|(number, _)| was(*number))
            .map(|(_, connection)| connection.key())
            .collect();
        let plan = scene.plan_with(VOICE, Some(&record));
        let bytes = files_of(&scene, &plan);
        prop_assert!(bytes <= SECRET_LIMIT - FOR_THE_LEAF, "{bytes}");
        prop_assert!(open(&plan).contains(&"ivr"), "no Channel gives way to a bundle");
        let refused = plan.connections.iter().filter(|one| one.direction == Direction::Ingress && !one.is_open()).count();
        let told = plan.crowded.iter().filter(|one| !one.source.starts_with("extraTrust/")).count();
        prop_assert_eq!(refused, told, "every refusal is told");
    }
}
