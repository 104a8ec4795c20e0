//! A Vault that was restored from a snapshot, and a cluster that was: nothing is weaker after it, and nobody has more access.

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{CONFIRM_DELETE_ANNOTATION, Channel, approval::TargetKind};

use crate::{
    stopped::set_aside,
    world::{DOMAIN, NS, World, hold, policy},
};

/// People say that destruction may go on.
pub async fn go_on(world: &World, who: &[&str]) {
    let (_, digest, uid) = world.frozen().await;
    for who in who {
        world.decide("Approve", who, TargetKind::TrustDomain, DOMAIN, &uid, &digest).await;
    }
    world.look().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_vault_and_a_jump_of_all_clocks_freeze_until_people_say_so() {
    let mut world = World::start(&["portal", "triage"]).await;
    world.look().await;
    world.days_on(4).await;
    let snapshot = world.env.openbao().snapshot().await.unwrap();
    let (order, sealed) = set_aside(&world, "portal").await;
    world.days_on(3).await;
    assert_eq!(world.state(&order.name_any()).await, "Destroyed");
    // Three bind since, and somebody wrote one again, which waits.
    world.apply(&policy(json!({"approvals": 3}))).await;
    world.look().await;
    world.apply(&policy(json!({"approvals": 1}))).await;
    world.look().await;
    world.env.openbao_mut().restore(snapshot).await.unwrap();
    assert!(world.opens("portal", &sealed).await, "a snapshot brings keys back");
    world.restart().await;
    let second = world.list(&["triage"]).await;
    world.approve("anna", &second).await;
    world.look().await;
    assert_eq!(world.frozen().await.0, "StoreRestored");
    let status = world.destruction(&second.name_any()).await.status.unwrap();
    assert_eq!((status.approvals.as_deref(), status.set_aside), (Some("1/3"), Some(0)), "{status:#?}");
    let again = world.destruction(&order.name_any()).await.status.unwrap();
    assert_ne!(again.state.as_deref(), Some("Destroyed"), "{again:#?}");
    world.days_on(2).await;
    assert_eq!(world.transit(&world.key("triage")).await.unwrap()["soft_deleted"], false);

    assert_eq!(world.frozen().await.0, "StoreRestored");
    go_on(&world, &["anna", "bas"]).await;
    assert_eq!(world.frozen().await.0, "StoreRestored", "three people bound before");
    go_on(&world, &["cees"]).await;
    assert_eq!(world.frozen().await.0, "");
    let status = world.destruction(&second.name_any()).await.status.unwrap();
    assert_eq!((status.approvals.as_deref(), status.set_aside), (Some("1/3"), Some(0)), "{status:#?}");
    for who in ["bas", "cees"] {
        world.approve(who, &second).await;
    }
    world.look().await;
    assert_eq!(world.state(&second.name_any()).await, "SetAside");

    // The cluster alone is older than Vault: what it was told is of some writes ago.
    let (namespace, token) = (world.installed.names.namespace(), "subrosa-destroyer");
    let token = world.env.service_account_token(namespace, token, "").await.unwrap();
    let destroyer: Client = world.env.client_for_token(&token).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(destroyer, namespace);
    let map = maps.get("subrosa-destroyer").await.unwrap();
    let mut told: Value = serde_json::from_str(&map.data.unwrap()[DOMAIN]).unwrap();
    told["version"] = json!(told["version"].as_u64().unwrap() - 3);
    let older = Patch::Merge(json!({"data": {DOMAIN: told.to_string()}}));
    maps.patch("subrosa-destroyer", &PatchParams::default(), &older).await.unwrap();
    world.look().await;
    assert_eq!(world.frozen().await.0, "StateRestored");
    go_on(&world, &["anna", "bas", "cees"]).await;
    assert_eq!(world.frozen().await.0, "");

    // More than a week without a look.
    world.jump(30).await;
    assert_eq!(world.state(&second.name_any()).await, "ClockJumped");
    assert!(world.transit(&world.key("triage")).await.is_some());
    assert_eq!(world.frozen().await.0, "ClockJumped");
}

/// What the workload of that ServiceAccount has in Vault; none where it has no alias.
async fn access(world: &World, uid: &str) -> Option<Value> {
    let bao = world.env.openbao();
    let auth = bao.request("GET", "sys/auth", None).await.unwrap();
    let accessor = auth["data"]["kubernetes/"]["accessor"].clone();
    let lookup = json!({"alias_name": uid, "alias_mount_accessor": accessor});
    let entity = bao.request("POST", "identity/lookup/entity", Some(lookup)).await.ok()?;
    let aliases = entity["data"]["aliases"].as_array().cloned().unwrap_or_default();
    let alias = aliases.into_iter().find(|alias| alias["name"] == uid)?;
    alias["custom_metadata"].as_object().filter(|has| !has.is_empty()).map(|has| json!(has))
}

/// A snapshot brings back the access of a Channel that is gone, and forgets a hold.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_brings_back_is_withdrawn_again_and_a_hold_is_missed() {
    let mut world = World::start(&["portal", "triage"]).await;
    world.look().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.admin.clone(), NS);
    let uid = accounts.get("portal").await.unwrap().uid().unwrap();
    let had = access(&world, &uid).await.expect("the workload seals");
    let snapshot = world.env.openbao().snapshot().await.unwrap();

    let channels: Api<Channel> = Api::namespaced(world.admin.clone(), NS);
    let channel = channels.get("portal").await.unwrap();
    let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: channel.uid()}}});
    channels.patch("portal", &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
    channels.delete("portal", &DeleteParams::default()).await.unwrap();
    let withdrawn = || async {
        match access(&world, &uid).await {
            None => Ok(()),
            Some(has) => Err(format!("it has {has}")),
        }
    };
    world.until("the access is withdrawn", withdrawn).await;
    // Held a moment ago: the cluster knows of it before status says so.
    world.apply(&hold("matter", json!({"channels": ["triage"]}))).await;
    world.look().await;
    assert_eq!(world.hold("matter").await.status.unwrap().conditions[1].reason, "Effective");

    world.env.openbao_mut().restore(snapshot).await.unwrap();
    assert_eq!(access(&world, &uid).await, Some(had));
    world.look().await;
    assert_eq!(world.frozen().await.0, "StoreRestored");
    let withdrawn = || async {
        match access(&world, &uid).await {
            None => Ok(()),
            Some(has) => Err(format!("it has {has}")),
        }
    };
    world.until("the access is withdrawn again", withdrawn).await;
    assert!(world.decided("triage").await["holds"]["matter"].is_object(), "held while it is frozen");
}
