//! A DNS name that the signing generation of an authority may not sign is told until it is in the certificate.

use serde_json::{Value, json};
use subrosa_crds::{ChannelStatus, condition};
use subrosa_e2e::wait;

use crate::{
    generations, openssl,
    world::{World, channel},
};

const NS: &str = "cc-front";
const NAME: &str = "sip.oosterlinde.example";
const OTHER: &str = "sip.calls.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_waits_for_another_generation_is_told_until_it_is_there() {
    let mut world = World::start().await;
    world.governed(NS).await;
    let sbc = |tls: Value| {
        let listeners = json!([{"name": "sips", "port": 5061}]);
        channel(NS, "sbc", json!({"listeners": listeners, "connectsTo": [{"name": "ivr"}], "tls": tls}))
    };
    let ivr = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "sbc"}], "tls": {"duration": "8d"}});
    world.apply(&channel(NS, "ivr", ivr)).await;
    world.apply(&sbc(json!({}))).await;
    world.whole(NS, "sbc").await;
    let peer = world.whole(NS, "ivr").await;

    // The suffix is allowed, then the name is asked for: no certificate can have it for days.
    generations::ask_for_another(&mut world, NS, "sbc").await;
    world.apply(&sbc(json!({"dnsNames": [NAME]}))).await;
    let status = world.channel(NS, "sbc", |status| pending(status) == Some("NamesPending")).await;
    assert!(wait::is(&status, condition::READY), "what is there works: {:#?}", status.conditions);
    let waits: Vec<_> = status.pending_names.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(waits, [NAME]);
    let message = &condition::find(&status.conditions, condition::ISSUING).unwrap().message;
    assert!(message.contains(NAME) && message.contains(&status.pending_names[0].from), "{message}");
    assert!(world.event(NS, "sbc", "NamesPending").await.contains(NAME));
    // It waits for what the peer may have loaded: until that certificate has ended, and no longer.
    let end: jiff::Timestamp = peer.certificate.unwrap().not_after.parse().unwrap();
    let near = |status: &ChannelStatus, name: &str| {
        let pending = status.pending_names.iter().find(|one| one.name == name)?;
        let from: jiff::Timestamp = pending.from.parse().ok()?;
        (generations::next(status) == Some(2)).then_some((from.as_second() - end.as_second()).abs())
    };
    world.channel(NS, "sbc", |status| near(status, NAME).is_some_and(|seconds| seconds <= 600)).await;
    assert!(!names(&world).await.contains(NAME), "it is not in the certificate, as status says");

    // The one that is published may not sign this name: it gives way before it signs, instead of signing for months first.
    generations::allow(&mut world, NS, "sbc", 1, &["oosterlinde.example", "calls.example"]).await;
    world.apply(&sbc(json!({"dnsNames": [NAME, OTHER]}))).await;
    for name in [NAME, OTHER] {
        world.channel(NS, "sbc", |status| near(status, name).is_some_and(|seconds| seconds <= 600)).await;
    }
    let may_sign = || async {
        let next = world.record(NS, "sbc").await["authority"][1].clone();
        let may = next["permittedDns"].as_array().is_some_and(|all| all.contains(&json!("calls.example")));
        if may && next["version"] == 2 { Ok(()) } else { Err(next.to_string()) }
    };
    world.until("the published generation may sign both", may_sign).await;

    generations::let_it_sign(&mut world, NS, "sbc").await;
    let status = world.channel(NS, "sbc", |status| pending(status).is_none()).await;
    assert!(status.pending_names.is_empty(), "{status:#?}");
    let names = names(&world).await;
    assert!(
        names.contains(NAME) && names.contains(OTHER),
        "they are there once that is no longer said: {names}"
    );
    world.whole(NS, "sbc").await;
}

fn pending(status: &ChannelStatus) -> Option<&str> {
    let issuing = condition::find(&status.conditions, condition::ISSUING)?;
    (issuing.status == "True").then_some(issuing.reason.as_str())
}

async fn names(world: &World) -> String {
    let path = world.mounted(NS, "sbc").await.join("tls.crt");
    openssl::run(&["x509", "-noout", "-ext", "subjectAltName", "-in", path.to_str().unwrap()]).1
}
