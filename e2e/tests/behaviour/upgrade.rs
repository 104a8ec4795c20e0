//! An upgrade in place: Vault's policy may be the one of an earlier release for a while, and the operator too.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::{Channel, condition};
use subrosa_e2e::{Environment, openbao::key_path, recorded, wait};
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::{
    handshake::{self, Connecting},
    identity,
    world::{World, channel, says},
};

const NS: &str = "cc-front";
/// The name by which sbc connects to the recorder.
const SERVER: &str = "recorder.cc-front.svc";
/// The binary of an earlier release, such as 2c2fa99 built with `cargo build --bin subrosa`.
const EARLIER: &str = "SUBROSA_E2E_EARLIER";
/// Set where what it leaves is to be written to files.
const RECORD: &str = "SUBROSA_E2E_RECORD";

/// A Channel that seals and is called by another one.
pub fn recorder() -> Value {
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
pub fn earlier(policy: &str) -> String {
    let known = |block: &&str| {
        !block.contains("/data/keys/")
            && !block.contains("/metadata/keys/")
            && !block.contains("/data/domain")
            && !block.contains("/data/key-findings")
            && !block.contains("transit-ca/")
    };
    // A block ends with a brace at the beginning of a line.
    policy.split_inclusive("\n}\n").filter(known).collect()
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
        keys.extend(first_versions(world, name).await);
    }
    (serials, keys)
}

/// The first version of each key of a Channel: when it was made, and its public part.
async fn first_versions(world: &World, name: &str) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    for key in world.keys(&world.id(NS, name).await).await {
        let found = world.env.openbao().request("GET", &key_path(&key), None).await.unwrap();
        keys.insert(key, found["data"]["keys"]["1"].clone());
    }
    keys
}

async fn they_connect(world: &World) {
    let (client, server) = (world.files(NS, "sbc").await, world.files(NS, "recorder").await);
    handshake::between(&client, &server, SERVER).unwrap();
}

/// Waits until the recorder's record is one of today's.
pub async fn taken_over(world: &World) {
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
}

/// Where what 2c2fa99 left is kept: made by `what_an_earlier_release_leaves_is_recorded`.
pub fn recorded_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/recorded/2c2fa99")
}

/// Writes what an earlier release leaves to files. Its certificates are valid for years: so are the files as a test.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_leaves_is_recorded() {
    let (Some(program), Some(_)) = (std::env::var_os(EARLIER), std::env::var_os(RECORD)) else {
        println!("not run: it needs {EARLIER}, and {RECORD}=1");
        return;
    };
    let mut world = World::start().await;
    world.stop_operator();
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["certificateAuthority"] = json!({"duration": "10y"});
    world.apply(&domain).await;
    world.start_program(Some(program.into())).await;
    world.governed(NS).await;
    world.service_account(NS, "recorder").await;
    let lasting = json!({"tls": {"duration": "900d"}});
    let with = |mut channel: Value| {
        channel["spec"]["tls"] = lasting["tls"].clone();
        channel
    };
    world.apply(&with(channel(NS, "sbc", json!({"connectsTo": [{"name": "recorder"}]})))).await;
    world.apply(&with(recorder())).await;
    world.whole(NS, "recorder").await;
    world.whole(NS, "sbc").await;
    they_connect(&world).await;
    world.stop_operator();
    let of_namespace = ["namespaces", "serviceaccounts", "secrets", "networkpolicies", "rolebindings"]
        .map(|kind| format!("/registry/{kind}/{NS}"));
    let prefixes: Vec<_> = of_namespace.into_iter().chain(["/registry/subrosa.dev/".to_owned()]).collect();
    recorded::record(&world.env, &prefixes, &recorded_files()).await.unwrap();
}

/// Today's release on what 2c2fa99 left, without that one's binary.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_left_is_gone_on_with() {
    let mut env = Environment::builder().local().start().await.unwrap();
    recorded::replay(&mut env, &recorded_files()).await.unwrap();
    let mut world = World::upgraded(env).await;
    let status = async |name: &str| {
        let found = world.api::<Channel>(NS).get(name).await.unwrap();
        found.status.unwrap().certificate.unwrap()
    };
    let (sbc, recorder) = (status("sbc").await, status("recorder").await);
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    if Timestamp::now() < time(&recorder.not_before) {
        println!("not run: it was recorded later than it is by this clock");
        return;
    }
    let files = (world.files(NS, "sbc").await, world.files(NS, "recorder").await);
    let id = world.id(NS, "recorder").await;
    let keys = first_versions(&world, "recorder").await;
    assert!(keys.len() >= 3, "an authority's and two of a class: {keys:?}");
    assert!(world.record(NS, "recorder").await.get("schema").is_none(), "it is an earlier release's");

    let mut connecting = Connecting::begin(&world, NS, "sbc", "recorder", SERVER).await;
    connecting.once_more().await;
    world.start_operator().await;
    taken_over(&world).await;
    connecting.once_more().await;
    for (name, before, files) in [("sbc", &sbc, &files.0), ("recorder", &recorder, &files.1)] {
        let now = world.whole(NS, name).await.certificate.unwrap();
        let found = world.files(NS, name).await;
        assert_eq!(found.authority(), files.authority(), "{name}: the authority stays");
        if Timestamp::now() < time(&before.renew_at) {
            assert_eq!(
                (now.serial, &found.0),
                (before.serial.clone(), &files.0),
                "{name}: nothing is issued"
            );
        }
    }
    let found = first_versions(&world, "recorder").await;
    for (key, made) in &keys {
        assert_eq!(found.get(key), Some(made), "{key}");
    }
    // As a rollout goes on: the next process finds what this one wrote.
    world.restart_operator().await;
    world.whole(NS, "recorder").await;
    connecting.once_more().await;
    connecting.end().await;
    // The workload's access is the one of then: its alias has the same ServiceAccount.
    let status = world.whole(NS, "recorder").await;
    let cohort = &status.keys.iter().find(|key| key.state == "Current").unwrap().cohort;
    let token = identity::login(&world, NS, "recorder").await;
    let sealed = identity::seal(&world, &token, &format!("{id}.call-recording.{cohort}")).await;
    assert_eq!(sealed.0, 200, "{}", sealed.1);
    let domain = world.domain(|domain| says(domain, condition::READY) == ("True", "InForce")).await;
    assert!(domain.status.unwrap().vault.unwrap().store_id.is_some());
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
        let mut connecting = Connecting::begin(&world, NS, "sbc", "recorder", SERVER).await;
        world.restart_operator().await;
        taken_over(&world).await;
        connecting.once_more().await;
        assert_eq!(what_there_is(&world).await, begun, "round {round}: new");
        connecting.end().await;
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
