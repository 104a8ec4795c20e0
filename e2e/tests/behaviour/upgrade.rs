//! An upgrade in place: Vault's policy may be the one of an earlier release for a while, and the operator too.

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::condition;
use subrosa_e2e::wait;
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::{
    handshake,
    world::{World, channel},
};

const NS: &str = "cc-front";
/// The binary of an earlier release, such as 2c2fa99 built with `cargo build --bin subrosa`.
const EARLIER: &str = "SUBROSA_E2E_EARLIER";

fn recorder() -> Value {
    channel(
        NS,
        "recorder",
        json!({
            "workload": {"serviceAccountName": "recorder"}, "dataClasses": ["call-recording"],
            "listeners": [{"name": "https", "port": 8443}], "accepts": [{"name": "sbc"}],
        }),
    )
}

/// The operator's policy without the records that an earlier release did not know.
fn earlier(policy: &str) -> String {
    let known = |block: &&str| {
        !block.contains("/data/keys/")
            && !block.contains("/metadata/keys/")
            && !block.contains("/data/domain")
            && !block.contains("/data/key-findings")
    };
    policy.split_inclusive("}\n").filter(known).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_vault_policy_of_an_earlier_release_certificates_are_made_all_the_same() {
    let world = World::start().await;
    world.governed(NS).await;
    world.service_account(NS, "recorder").await;
    let path = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let bao = world.env.openbao();
    let policy =
        bao.request("GET", &path, None).await.unwrap()["data"]["policy"].as_str().unwrap().to_owned();
    let before = earlier(&policy);
    assert!(before.len() < policy.len() && before.contains("/data/channels/+"));
    bao.request("POST", &path, Some(json!({"policy": before}))).await.unwrap();

    world.apply(&channel(NS, "sbc", json!({"connectsTo": [{"name": "recorder"}]}))).await;
    world.apply(&recorder()).await;
    world.not_ready(NS, "recorder", "SetupOutdated").await;
    let status = world.connection(NS, "recorder", "sbc", "Open").await;
    assert_eq!(wait::reason(&status, condition::KEYS_READY), "SetupOutdated");
    let serial = status.certificate.unwrap().serial;
    world.api::<Secret>(NS).delete("recorder-mtls", &DeleteParams::default()).await.unwrap();
    world
        .channel(NS, "recorder", |status| status.certificate.as_ref().is_some_and(|one| one.serial != serial))
        .await;

    bao.request("POST", &path, Some(json!({"policy": policy}))).await.unwrap();
    let status = world.ready(NS, "recorder").await;
    assert!(wait::is(&status, condition::KEYS_READY));
}

/// Serials of the certificates, and the keys in Vault with the time of their first version.
async fn what_there_is(world: &World) -> (Vec<String>, BTreeMap<String, Value>) {
    let mut serials = Vec::new();
    let mut keys = BTreeMap::new();
    for name in ["sbc", "recorder"] {
        serials.push(world.ready(NS, name).await.certificate.unwrap().serial);
        for key in world.keys(&world.id(NS, name).await).await {
            let found =
                world.env.openbao().request("GET", &format!("transit/keys/{key}"), None).await.unwrap();
            keys.insert(key, found["data"]["keys"]["1"].clone());
        }
    }
    (serials, keys)
}

async fn they_connect(world: &World) {
    let (client, server) = (world.files(NS, "sbc").await, world.files(NS, "recorder").await);
    handshake::between(&client, &server, "recorder.cc-front.svc").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_upgraded_rolled_back_and_upgraded_again() {
    let Some(program) = std::env::var_os(EARLIER).map(PathBuf::from) else {
        println!("not run: {EARLIER} names no binary of an earlier release");
        return;
    };
    let mut world = World::start().await;
    world.stop_operator();
    world.start_program(Some(program.clone())).await;
    world.governed(NS).await;
    world.service_account(NS, "recorder").await;
    world.apply(&channel(NS, "sbc", json!({"connectsTo": [{"name": "recorder"}]}))).await;
    world.apply(&recorder()).await;
    world.whole(NS, "recorder").await;
    let begun = what_there_is(&world).await;
    they_connect(&world).await;
    assert!(world.record(NS, "recorder").await.get("schema").is_none(), "it is an earlier release");

    for round in 0..2 {
        world.restart_operator().await;
        world
            .until("the record has a schema", || async {
                let record = world.record(NS, "recorder").await;
                let whole = record["schema"] == 1 && record["ended"].is_object();
                let kept = record["keys"]["call-recording"]
                    .as_object()
                    .is_some_and(|keys| keys.values().all(|key| key["kept"] == true));
                if whole && kept { Ok(()) } else { Err(record.to_string()) }
            })
            .await;
        assert_eq!(what_there_is(&world).await, begun, "round {round}: new");
        they_connect(&world).await;
        if round == 1 {
            break;
        }
        world.stop_operator();
        world.start_program(Some(program.clone())).await;
        // It writes its own form over the record.
        world.apply(&channel(NS, "sbc", json!({"connectsTo": []}))).await;
        world.connection(NS, "recorder", "sbc", "AwaitingConsent").await;
        world.apply(&channel(NS, "sbc", json!({"connectsTo": [{"name": "recorder"}]}))).await;
        world.connection(NS, "recorder", "sbc", "Open").await;
        assert!(
            world.record(NS, "recorder").await.get("ended").is_none(),
            "it dropped what it does not know"
        );
        assert_eq!(what_there_is(&world).await, begun, "rolled back");
        they_connect(&world).await;
    }
}
