//! What keeps being broken is not issued without end, and withdrawals do not wait for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use serde_json::json;
use subrosa_crds::{Channel, ChannelStatus, condition};
use subrosa_e2e::{Environment, recorded, wait};

use crate::{
    handshake, openssl, upgrade,
    world::{World, channel},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_keeps_breaking_is_issued_three_times_an_hour() {
    let world = World::start().await;
    world.governed(NS).await;
    let caller = |connects: serde_json::Value| channel(NS, "caller", json!({"connectsTo": connects}));
    for manifest in [
        channel(
            NS,
            "voice",
            json!({
                "listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "caller"}, {"name": "other"}],
            }),
        ),
        caller(json!([{"name": "voice"}])),
        channel(NS, "other", json!({"connectsTo": [{"name": "voice"}]})),
    ] {
        world.apply(&manifest).await;
    }
    for name in ["voice", "caller", "other"] {
        world.whole(NS, name).await;
    }
    let caller_ca = world.files(NS, "caller").await.authority().to_owned();
    let other_ca = world.files(NS, "other").await.authority().to_owned();
    for time in 2..=3 {
        world.delete_secret(NS, "voice-mtls").await;
        world
            .until("issued again", || async {
                let issuances = world.issuances(NS, "voice").await;
                let there = world.secret(NS, "voice-mtls").await.is_some();
                if issuances.len() == time && there { Ok(()) } else { Err(format!("{issuances:?}")) }
            })
            .await;
    }
    world.whole(NS, "voice").await;
    let last = world.record(NS, "voice").await["issuances"][2]["serial"].as_str().unwrap().to_owned();
    let good = world.files(NS, "voice").await;

    let broken = rcgen::KeyPair::generate().unwrap().serialize_pem();
    world.tamper(NS, "voice", &[("tls.key", Some(&broken))]).await;
    let limited = world.not_ready(NS, "voice", "IssuanceLimited").await;
    for said in ["nothing more before", "find what keeps", "issued in the last hour: Missing at "] {
        assert!(limited.message.contains(said), "{limited:?}");
    }
    let status = world.channel(NS, "voice", |status| status.certificate.is_some()).await;
    assert_eq!(status.certificate.as_ref().unwrap().serial, last, "it is there, without its key");
    assert!(!wait::is(&status, condition::STALLED), "it goes on by itself");
    assert!(wait::is(&status, condition::RECONCILING));
    assert_eq!(world.issuances(NS, "voice").await, ["Missing"; 3]);
    let left = world.files(NS, "voice").await;
    assert_eq!(left.get("tls.key"), broken, "nothing is signed for it");
    assert!(!handshake::is_pair(&left));

    // The caller withdraws meanwhile: trust and policy do not wait for a leaf.
    assert_eq!(left.trusting(&caller_ca), ["ca.crt", "clients-ca.crt"]);
    world.apply(&caller(json!([]))).await;
    let narrowed = world.files_where(NS, "voice", |files| files.trusting(&caller_ca).is_empty()).await;
    assert_eq!(narrowed.trusting(&other_ca), ["ca.crt", "clients-ca.crt"], "others keep their trust");
    world.opens(NS, "voice", &["from cc-front:app=other TCP/5061"]).await;
    world.not_ready(NS, "voice", "IssuanceLimited").await;

    // What broke it puts it right: no issuance is needed.
    let status = world
        .until("the right key is in place again", || async {
            world.tamper(NS, "voice", &[("tls.key", Some(good.get("tls.key")))]).await;
            let channel = world.api::<Channel>(NS).get("voice").await.map_err(|error| error.to_string())?;
            let status = channel.status.unwrap_or_default();
            if wait::is(&status, condition::READY) {
                Ok(status)
            } else {
                Err(format!("{:#?}", status.conditions))
            }
        })
        .await;
    assert_eq!(status.certificate.unwrap().serial, last);
    assert_eq!(world.issuances(NS, "voice").await, ["Missing"; 3]);
}

/// Services that come and go use up nothing that a needed name, or a Secret that is gone, would wait for.
#[tokio::test(flavor = "multi_thread")]
async fn services_that_come_and_go_use_up_nothing() {
    let world = World::start().await;
    world.governed(NS).await;
    world.apply(&channel(NS, "ivr", json!({"listeners": [{"name": "sips", "port": 5061}]}))).await;
    world.whole(NS, "ivr").await;
    let service = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
            "spec": {"selector": {"app": "ivr"}, "ports": [{"name": "sips", "port": 5061}]},
        })
    };
    let goes = async |name: &str| {
        world.api::<Service>(NS).delete(name, &DeleteParams::default()).await.unwrap();
    };
    world.apply(&service("tmp")).await;
    has_name(&world, "tmp").await;
    let before = world.files(NS, "ivr").await.0;
    goes("tmp").await;
    // Names wait ten seconds for each other: what was issued for the one that went would be there by then.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(world.files(NS, "ivr").await.0 == before, "a name that goes causes nothing");
    // The next name is issued, and the one that went is there still.
    world.apply(&service("needed")).await;
    has_name(&world, "needed").await;
    has_name(&world, "tmp").await;
    world.whole(NS, "ivr").await;
    assert_eq!(world.issuances(NS, "ivr").await, ["Missing", "NamesChanged", "NamesChanged"]);

    // Three within the hour: a fourth name waits, and says that nothing is wrong.
    world.apply(&service("later")).await;
    let waits = world.not_ready(NS, "ivr", "IssuanceLimited").await;
    for said in ["the DNS names changed again", "nothing has to be done", "NamesChanged at "] {
        assert!(waits.message.contains(said), "{waits:?}");
    }
    let until = waits.message.split_once("is issued at ").unwrap().1.split_once(',').unwrap().0;
    let left = until.parse::<Timestamp>().unwrap().duration_since(Timestamp::now());
    assert!(left <= SignedDuration::from_mins(10), "names use up no hour: {waits:?}");
    // A Secret that is gone is made all the same, with the names there are now.
    goes("needed").await;
    world.delete_secret(NS, "ivr-mtls").await;
    has_name(&world, "later").await;
    let status = world.whole(NS, "ivr").await;
    assert!(status.certificate.is_some_and(|certificate| !certificate.not_after.is_empty()));
    let names = names(&world).await.unwrap();
    assert!(!names.contains("DNS:tmp.") && !names.contains("DNS:needed."), "{names}");
}

/// What an earlier release left has Channels that are older than the ten minutes in which names are issued at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_restarts_no_servers() {
    let mut env = Environment::builder().local().start().await.unwrap();
    recorded::replay(&mut env, &upgrade::recorded_files()).await.unwrap();
    let mut world = World::upgraded(env).await;
    world.start_operator().await;
    upgrade::taken_over(&world).await;
    let recorder = |names: &[&str]| {
        let mut recorder = upgrade::recorder();
        recorder["spec"]["workload"]["ref"] = json!({"kind": "Deployment", "name": "recorder"});
        recorder["spec"]["tls"] = json!({"duration": "900d", "reload": "Restart", "dnsNames": names});
        recorder
    };
    world.apply(&recorder(&[])).await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "recorder-0", "namespace": NS, "labels": {"app": "recorder"}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }))
        .await;
    let before = world.ready(NS, "recorder").await.certificate.unwrap();
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "calls", "namespace": NS},
            "spec": {"selector": {"app": "recorder"}, "ports": [{"name": "https", "port": 8443}]},
        }))
        .await;
    let pending =
        |status: &ChannelStatus| status.pending_names.iter().any(|one| one.name == "calls.cc-front.svc");
    let status = world.channel(NS, "recorder", pending).await;
    assert!(wait::is(&status, condition::READY), "{status:#?}");
    let now = status.certificate.clone().unwrap();
    assert_eq!((&now.serial, &now.renew_at), (&before.serial, &before.renew_at));
    assert!(status.pending_names.iter().all(|one| one.from == before.renew_at), "{:?}", status.pending_names);
    let issuing = condition::find(&status.conditions, condition::ISSUING).unwrap();
    assert!(issuing.message.contains("spec.tls.dnsNames"), "{issuing:?}");
    // The owner of the Channel asks for it.
    world.apply(&recorder(&["calls.cc-front.svc"])).await;
    let status = world.channel(NS, "recorder", |status| status.pending_names.is_empty()).await;
    assert_ne!(status.certificate.unwrap().serial, before.serial);
}

async fn names(world: &World) -> Option<String> {
    world.secret(NS, "ivr-mtls").await?;
    let path = world.mounted(NS, "ivr").await.join("tls.crt");
    Some(openssl::run(&["x509", "-noout", "-ext", "subjectAltName", "-in", path.to_str()?]).1)
}

async fn has_name(world: &World, name: &str) {
    let look = || async {
        let names = names(world).await.ok_or("there is no Secret")?;
        if names.contains(&format!("DNS:{name}.{NS}.svc,")) { Ok(()) } else { Err(names) }
    };
    world.until(&format!("{name} is in the certificate"), look).await;
}
