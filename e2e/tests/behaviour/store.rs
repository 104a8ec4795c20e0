//! The store in Vault is lost, or another cluster's: nothing is made, nothing is withdrawn, until a person says so.

mod moved;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{ADOPT_STORE_ANNOTATION, ChannelStatus, TrustDomain, condition, names::ChannelId};
use subrosa_e2e::wait;
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::{
    identity,
    world::{DOMAIN, World, channel, says},
};

const NS: &str = "cc-front";

fn voice(name: &str) -> Value {
    let spec = json!({"workload": {"serviceAccountName": name}, "dataClasses": ["chat-log"]});
    channel(NS, name, spec)
}

/// Has the operator look at its trust domain now and not in a quarter of a minute: the domain has one namespace more.
async fn looked_at(world: &World) {
    static LOOKS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("look-{}", LOOKS.fetch_add(1, Ordering::Relaxed));
    world.governed(&name).await;
}

/// The record of the store and its version.
async fn record(world: &World) -> (Value, Value) {
    let found = world.env.openbao().request("GET", "subrosa/data/domain", None).await.unwrap();
    (found["data"]["data"].clone(), found["data"]["metadata"]["version"].clone())
}

async fn write(world: &World, version: &Value, record: &Value) {
    let body = json!({"options": {"cas": version}, "data": record});
    world.env.openbao().request("POST", "subrosa/data/domain", Some(body)).await.unwrap();
    looked_at(world).await;
}

async fn listed(world: &World) -> Value {
    let found = world.env.openbao().request("LIST", "subrosa/metadata/channels", None).await;
    found.map(|found| found["data"]["keys"].clone()).unwrap_or_default()
}

/// The id in status once the domain is Ready.
async fn store_id(world: &World) -> String {
    let domain = world
        .domain(|domain| {
            let status = domain.status.as_ref();
            says(domain, condition::READY) == ("True", "InForce")
                && status.and_then(|status| status.vault.as_ref()?.store_id.as_ref()).is_some()
        })
        .await;
    let vault = domain.status.unwrap().vault.unwrap();
    assert_eq!(vault.adopt_store, None);
    assert_eq!(world.subrosa(&["adopt"]), "", "nothing waits to be adopted");
    vault.store_id.unwrap()
}

/// Does what `subrosa adopt` prints, which is what the message of Ready says.
async fn adopt(world: &World, domain: &TrustDomain) {
    let status = domain.status.as_ref().unwrap();
    let message = &condition::find(&status.conditions, condition::READY).unwrap().message;
    let token = status.vault.as_ref().unwrap().adopt_store.as_ref().unwrap();
    assert!(message.ends_with(&format!("{ADOPT_STORE_ANNOTATION}: {token}")), "{message}");
    assert_eq!(world.subrosa(&["adopt", "elsewhere"]), "", "of that domain alone");
    let printed = world.subrosa(&["adopt"]);
    assert!(printed.contains(&format!("{ADOPT_STORE_ANNOTATION}={token}\n")), "{printed}");
    world.annotate(&printed, "trustdomain", "", DOMAIN).await;
}

/// What a workload has: its Channel's identity, its token, and a key it may seal with.
type Workload = (ChannelId, String, String);

async fn workload(world: &World, name: &str) -> Workload {
    let status = world.whole(NS, name).await;
    let cohort = &status.keys.iter().find(|key| key.state == "Current").unwrap().cohort;
    let id = world.id(NS, name).await;
    let key = format!("{id}.chat-log.{cohort}");
    let token = identity::login(world, NS, name).await;
    assert_eq!(identity::seal(world, &token, &key).await.0, 200);
    (id, token, key)
}

async fn ends(world: &World, of: &Workload) {
    let look = || async {
        let (status, answer) = identity::seal(world, &of.1, &of.2).await;
        if status == 403 { Ok(()) } else { Err(format!("{status} {answer}")) }
    };
    world.until("the access of what is gone ends", look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_its_own_is_left_alone() {
    let mut world = World::start().await;
    world.governed(NS).await;
    for name in ["stays", "goes", "comes"] {
        world.service_account(NS, name).await;
    }
    for name in ["stays", "goes"] {
        world.apply(&voice(name)).await;
    }
    let (stays, goes) = (workload(&world, "stays").await, workload(&world, "goes").await);
    let first = store_id(&world).await;
    let (own, version) = record(&world).await;
    assert_eq!((&own["storeId"], &own["trustDomain"]), (&json!(first), &json!(DOMAIN)));
    another_clusters(&world, &own, &version, &stays, &goes).await;
    a_stale_annotation_adopts_nothing(&world).await;
    deleted(&mut world, &stays).await;
    without_a_record_of_the_store(&mut world).await;
    with_a_policy_that_knows_no_such_record(&mut world).await;
    of_one_channel(&mut world).await;
    lost(&mut world, &stays).await;
}

async fn another_clusters(world: &World, own: &Value, version: &Value, stays: &Workload, goes: &Workload) {
    let mut other = own.clone();
    other["cluster"] = json!("another-cluster");
    write(world, version, &other).await;
    let domain = world.domain(|domain| says(domain, condition::READY).1 == "StoreOfAnotherCluster").await;
    assert_eq!(says(&domain, condition::VAULT_REACHABLE), ("True", "LoggedIn"));
    world.delete_channel(NS, "goes").await;
    world.apply(&voice("comes")).await;
    world.not_ready(NS, "comes", "StoreOfAnotherCluster").await;
    let told = world.channel(NS, "stays", |status| !wait::is(status, condition::READY)).await;
    assert!(told.authority.is_some(), "{told:?}");
    // Long enough for the search for orphans that follows a deletion.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (_, token, key) in [stays, goes] {
        assert_eq!(identity::seal(world, token, key).await.0, 200, "nothing is withdrawn");
    }
    let comes = world.id(NS, "comes").await;
    assert!(!listed(world).await.to_string().contains(comes.as_str()), "nothing is written");
    assert!(world.api::<Secret>(NS).get_opt("comes-mtls").await.unwrap().is_none(), "nothing is made");

    adopt(world, &domain).await;
    world.whole(NS, "comes").await;
    world.whole(NS, "stays").await;
    assert_ne!(json!(store_id(world).await), own["storeId"]);
    ends(world, goes).await;
    assert_eq!(identity::seal(world, &stays.1, &stays.2).await.0, 200);
}

/// Another cluster took the store back; the annotation of the first adoption is still there.
async fn a_stale_annotation_adopts_nothing(world: &World) {
    let known = store_id(world).await;
    let (own, version) = record(world).await;
    let mut other = own.clone();
    other["cluster"] = json!("another-cluster");
    other["storeId"] = json!("theirs");
    write(world, &version, &other).await;
    let domain = world.domain(|domain| says(domain, condition::READY).1 == "StoreOfAnotherCluster").await;
    assert!(domain.metadata.annotations.unwrap().contains_key(ADOPT_STORE_ANNOTATION));
    looked_at(world).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(record(world).await.0, other, "nothing is written");
    write(world, &json!(version.as_u64().unwrap() + 1), &own).await;
    assert_eq!(store_id(world).await, known);
    world.whole(NS, "stays").await;
}

/// Somebody deleted the record of the store: whoever undeletes it has everything as before.
async fn deleted(world: &mut World, stays: &Workload) {
    let known = store_id(world).await;
    let version = record(world).await.1;
    world.env.openbao().request("DELETE", "subrosa/data/domain", None).await.unwrap();
    looked_at(world).await;
    let domain = world.domain(|domain| says(domain, condition::READY).1 == "RecordsLost").await;
    let message =
        condition::find(&domain.status.unwrap().conditions, condition::READY).unwrap().message.clone();
    assert!(message.contains("bao kv undelete -mount=subrosa"), "{message}");
    world.restart_operator().await;
    world.not_ready(NS, "stays", "RecordsLost").await;
    assert_eq!(identity::seal(world, &stays.1, &stays.2).await.0, 200, "nothing is withdrawn");
    let body = json!({ "versions": [version] });
    world.env.openbao().request("POST", "subrosa/undelete/domain", Some(body)).await.unwrap();
    looked_at(world).await;
    assert_eq!(store_id(world).await, known);
    world.whole(NS, "stays").await;
}

/// As after an upgrade from a release that had no such record: what is there is this cluster's own.
async fn without_a_record_of_the_store(world: &mut World) {
    world.stop_operator();
    world.env.openbao().request("DELETE", "subrosa/metadata/domain", None).await.unwrap();
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let forgets = json!({"status": {"vault": {"storeId": null}}});
    domains.patch_status(DOMAIN, &PatchParams::default(), &Patch::Merge(forgets)).await.unwrap();
    world.start_operator().await;
    let id = store_id(world).await;
    assert_eq!(record(world).await.0["storeId"], json!(id));
    world.whole(NS, "stays").await;
}

/// `vault-setup` was not run since the upgrade: the store is not guarded, and everything else goes on.
async fn with_a_policy_that_knows_no_such_record(world: &mut World) {
    let path = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let policy = world.env.openbao().request("GET", &path, None).await.unwrap()["data"]["policy"].clone();
    let whole = policy.as_str().unwrap();
    let before: String =
        whole.split_inclusive("}\n").filter(|block| !block.contains("/data/domain")).collect();
    assert!(before.len() < whole.len());
    let known = store_id(world).await;
    world.stop_operator();
    world.env.openbao().request("POST", &path, Some(json!({"policy": before}))).await.unwrap();
    world.env.openbao().request("DELETE", "subrosa/metadata/domain", None).await.unwrap();
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let forgets = json!({"status": {"vault": {"storeId": null}}});
    domains.patch_status(DOMAIN, &PatchParams::default(), &Patch::Merge(forgets)).await.unwrap();
    world.start_operator().await;
    let domain = world.domain(|domain| says(domain, condition::SETUP_CURRENT).1 == "SetupOutdated").await;
    assert_eq!(domain.status.unwrap().vault.unwrap().store_id, None, "it has none");
    let serial = world.whole(NS, "stays").await.certificate.unwrap().serial;
    world.delete_secret(NS, "stays-mtls").await;
    let again = |status: &ChannelStatus| {
        wait::whole(status) && status.certificate.as_ref().is_some_and(|one| one.serial != serial)
    };
    world.channel(NS, "stays", again).await;
    world.env.openbao().request("POST", &path, Some(json!({ "policy": whole }))).await.unwrap();
    looked_at(world).await;
    assert_ne!(store_id(world).await, known, "it is guarded from now on, by a new id");
}

/// The record of one Channel is gone: nothing is made anew, and a deletion ends its access all the same.
async fn of_one_channel(world: &mut World) {
    let comes = workload(world, "comes").await;
    world.stop_operator();
    let path = format!("subrosa/metadata/channels/{}", comes.0);
    world.env.openbao().request("DELETE", &path, None).await.unwrap();
    let files = world.files(NS, "comes").await.0;
    world.start_operator().await;
    let told = world.not_ready(NS, "comes", "RecordLost").await;
    assert!(told.message.contains(comes.0.as_str()), "{told:?}");
    world.whole(NS, "stays").await;
    assert!(!listed(world).await.to_string().contains(comes.0.as_str()), "nothing is written");
    assert_eq!(world.files(NS, "comes").await.0, files);
    assert_eq!(identity::seal(world, &comes.1, &comes.2).await.0, 200);
    world.delete_channel(NS, "comes").await;
    ends(world, &comes).await;
    // Applied again it begins anew.
    world.apply(&voice("comes")).await;
    let comes = workload(world, "comes").await;
    // It goes while no operator runs: neither a record nor a Channel says any more that it had access.
    world.stop_operator();
    world.env.openbao().request("DELETE", &path, None).await.unwrap();
    world.delete_channel(NS, "comes").await;
    assert_eq!(identity::seal(world, &comes.1, &comes.2).await.0, 200);
    world.start_operator().await;
    ends(world, &comes).await;
    world.apply(&voice("comes")).await;
    world.whole(NS, "comes").await;
}

async fn lost(world: &mut World, stays: &Workload) {
    let before = (world.files(NS, "stays").await.0, world.channel_policy(NS, "stays").await);
    let known = store_id(world).await;
    {
        let bao = world.env.openbao();
        bao.request("DELETE", "sys/mounts/subrosa", None).await.unwrap();
        let mount = json!({"type": "kv", "options": {"version": "2"}});
        bao.request("POST", "sys/mounts/subrosa", Some(mount)).await.unwrap();
    }
    looked_at(world).await;
    let domain = world.domain(|domain| says(domain, condition::READY).1 == "RecordsLost").await;
    world.not_ready(NS, "stays", "RecordsLost").await;
    world.apply(&channel(NS, "new", json!({}))).await;
    world.not_ready(NS, "new", "RecordsLost").await;
    assert_eq!(listed(world).await, Value::Null, "nothing is written");
    assert_eq!((world.files(NS, "stays").await.0, world.channel_policy(NS, "stays").await), before);
    assert_eq!(identity::seal(world, &stays.1, &stays.2).await.0, 200, "nothing is withdrawn");
    let told = domain.status.clone().unwrap().vault.unwrap().store_id;
    assert_eq!(told.as_deref(), Some(known.as_str()), "what was lost stays known");

    // Taken as it is, the store is empty: what had a record is not newborn. The operator remembered it until now.
    adopt(world, &domain).await;
    assert_ne!(store_id(world).await, known);
    world.not_ready(NS, "stays", "RecordLost").await;
    assert_eq!(world.files(NS, "stays").await.0, before.0);
    world.whole(NS, "new").await;
}
