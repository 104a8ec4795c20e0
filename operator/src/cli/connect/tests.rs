use std::sync::Arc;

use serde_json::{Value, json};
use subrosa_crds::{Channel, ExternalParty, names::ChannelRef};
use subrosa_plan::world::declaration::Declaration;

use super::{
    ends::End,
    propose::{ConnectRequest, Known, Proposal, propose},
};

fn request(from: &str, to: &str) -> ConnectRequest {
    let end = |text: &str| text.parse::<End>().unwrap().within("cc-front");
    ConnectRequest { from: end(from), to: end(to), listeners: Vec::new(), ports: Vec::new() }
}

fn known(channels: &[(&str, &str, Value)]) -> Known {
    let channel = |(namespace, name, mut spec): (&str, &str, Value)| {
        spec["workload"] = json!({"selector": {"matchLabels": {"app": name}}});
        let channel = Channel::new(name, serde_json::from_value(spec).unwrap());
        (ChannelRef::new(namespace, name), Declaration::of(Arc::new(channel)))
    };
    let channels = channels.iter().cloned().map(channel).collect();
    Known { channels, complete: true, ..Known::default() }
}

fn shown(proposals: Vec<Proposal>) -> Vec<(String, Value, Option<String>)> {
    proposals.into_iter().map(|one| (one.title, one.addition.unwrap_or_default(), one.hint)).collect()
}

#[test]
fn both_ends_are_told_what_to_add() {
    let proposals = shown(propose(&request("voice", "cc-records/recorder"), &Known::default()).unwrap());
    assert_eq!(
        proposals,
        [
            (
                "Channel cc-front/voice: add under spec".to_owned(),
                json!({"connectsTo": [{"name": "recorder", "namespace": "cc-records"}]}),
                None
            ),
            (
                "Channel cc-records/recorder: add under spec".to_owned(),
                json!({"accepts": [{"name": "voice", "namespace": "cc-front"}]}),
                None
            ),
        ]
    );
}

#[test]
fn what_is_there_is_left_out_and_what_is_too_narrow_is_widened() {
    let known = known(&[
        ("cc-front", "voice", json!({"connectsTo": [{"name": "recorder", "namespace": "cc-records"}]})),
        (
            "cc-records",
            "recorder",
            json!({
                "listeners": [{"name": "https", "port": 443}, {"name": "rtp", "port": 9000}],
                "accepts": [{"name": "sbc", "channel": "voice", "namespace": "cc-front", "listeners": ["rtp"]}],
            }),
        ),
    ]);
    let mut request = request("voice", "cc-records/recorder");
    request.listeners = vec!["https".into()];
    let proposals = shown(propose(&request, &known).unwrap());
    assert_eq!(
        proposals[0].0,
        "Channel cc-front/voice: nothing to add, connectsTo has the entry recorder already"
    );
    let widened = json!({"accepts": [{"name": "sbc", "channel": "voice", "namespace": "cc-front", "listeners": ["rtp", "https"]}]});
    assert_eq!(
        (proposals[1].0.as_str(), &proposals[1].1),
        ("Channel cc-records/recorder: change the entry sbc under spec", &widened)
    );
    request.listeners = Vec::new();
    assert!(
        shown(propose(&request, &known).unwrap())[1].0.contains("nothing to add"),
        "what was not asked for is not widened"
    );
    request.listeners = vec!["rtp".into()];
    assert!(shown(propose(&request, &known).unwrap())[1].0.contains("nothing to add"));
    request.listeners = vec!["sip".into()];
    let hint = shown(propose(&request, &known).unwrap())[1].2.clone().unwrap();
    assert_eq!(hint, "Channel cc-records/recorder has no listener sip: it has https, rtp");
}

#[test]
fn consent_to_a_namespace_that_was_made_anew_is_an_annotation() {
    let mut known = known(&[("cc-front", "voice", json!({})), ("cc-records", "recorder", json!({}))]);
    let status = json!({"connections": [
        {"name": "recorder", "direction": "Egress", "state": "AwaitingConsent", "consents": "cc-records=new"},
    ]});
    let voice = known.channels.get_mut(&ChannelRef::new("cc-front", "voice")).unwrap();
    let mut object = voice.object();
    object.status = Some(serde_json::from_value(status).unwrap());
    *voice = Declaration::of(Arc::new(object));
    let proposals = shown(propose(&request("voice", "cc-records/recorder"), &known).unwrap());
    assert_eq!(proposals.len(), 3, "{proposals:?}");
    assert!(
        proposals[2].0.contains("Channel cc-front/voice: namespace cc-records was deleted"),
        "{proposals:?}"
    );
    assert_eq!(proposals[2].1, json!({"annotations": {"subrosa.dev/consents": "cc-records=new"}}));
}

#[test]
fn a_taken_name_is_not_taken_again() {
    let known = known(&[
        ("cc-front", "voice", json!({"connectsTo": [{"name": "db"}]})),
        ("cc-data", "db", json!({"listeners": [{"name": "postgres", "port": 5432}]})),
    ]);
    let proposals = shown(propose(&request("voice", "cc-data/db"), &known).unwrap());
    assert_eq!(
        proposals[0].1,
        json!({"connectsTo": [{"name": "cc-data-db", "channel": "db", "namespace": "cc-data"}]})
    );
}

#[test]
fn a_party_consents_with_its_ports() {
    assert!(
        propose(&request("voice", "ExternalParty/carrier"), &Known::default())
            .unwrap_err()
            .contains("--ports")
    );
    let mut known = known(&[("cc-front", "voice", json!({"listeners": [{"name": "sips", "port": 5061}]}))]);
    let inward = shown(propose(&request("ExternalParty/carrier", "voice"), &known).unwrap());
    assert_eq!(
        inward[0].1,
        json!({"channels": [{"namespace": "cc-front", "name": "voice", "direction": "Ingress", "ports": [5061]}]})
    );
    assert_eq!(inward[1].1, json!({"accepts": [{"name": "carrier", "kind": "ExternalParty"}]}));
    let party = json!({
        "role": "Carrier", "addresses": {"cidrs": ["203.0.113.0/28"]}, "tls": {"mode": "OneWay"},
        "channels": [{"namespace": "cc-front", "name": "voice", "direction": "Egress", "ports": ["5000-6000"]}],
    });
    let party = ExternalParty::new("carrier", serde_json::from_value(party).unwrap());
    known.parties.insert("carrier".into(), party);
    let mut outward = request("voice", "ExternalParty/carrier");
    outward.ports = vec!["5061".parse().unwrap()];
    assert!(shown(propose(&outward, &known).unwrap())[1].0.contains("nothing to add"));
    outward.ports = vec!["5061/UDP".parse().unwrap()];
    let ports = &shown(propose(&outward, &known).unwrap())[1].1["channels"][0]["ports"];
    assert_eq!(ports, &json!(["5000-6000/TCP", "5061/UDP"]));
}

#[test]
fn ends_that_cannot_be_are_refused() {
    assert!(propose(&request("Service/a", "ExternalParty/b"), &Known::default()).is_err());
    for wrong in ["", "/", "a/b/c", "Nope/x", "A"] {
        assert!(wrong.parse::<End>().is_err(), "{wrong}");
    }
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: super::Args,
}

#[test]
fn the_listeners_of_a_preset_are_known_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sbc.yaml");
    let channel = "apiVersion: subrosa.dev/v1alpha1\nkind: Channel\nmetadata: {name: sbc, namespace: cc-front}\nspec: {preset: Kamailio, workload: {selector: {matchLabels: {app: sbc}}}}\n";
    std::fs::write(&file, channel).unwrap();
    let line = ["connect", "ExternalParty/carrier", "cc-front/sbc", "-f", file.to_str().unwrap()];
    let args = <Line as clap::Parser>::parse_from(line).args;
    let (mut screen, captured) = crate::cli::output::Screen::captured();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(super::run(&args, &mut screen)).unwrap();
    assert!(captured.printed().contains("- 5061"), "{}", captured.printed());
}
