//! ConfigMap `<channel>-sealing`: a workload is told how to seal, and nobody else's ConfigMap is touched for it.

use std::fs;

use k8s_openapi::api::{
    core::v1::ConfigMap,
    rbac::v1::{ClusterRole, PolicyRule},
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    condition,
    sealing::{FILE, Sealing},
};
use subrosa_e2e::{Tap, wait};

use crate::world::{World, channel};

const NS: &str = "cc-front";

/// What the operator wrote for a Channel, as a pod mounts it.
pub async fn of(world: &World, channel: &str) -> Option<String> {
    let found = world.api::<ConfigMap>(NS).get_opt(&format!("{channel}-sealing")).await.unwrap()?;
    found.data?.remove(FILE)
}

/// Waits until the recorder's ConfigMap is as `holds` says.
async fn becomes(world: &World, what: &str, holds: impl Fn(Option<&ConfigMap>) -> bool) {
    let maps = world.api::<ConfigMap>(NS);
    let look = || async {
        let found = maps.get_opt("recorder-sealing").await.map_err(|error| error.to_string())?;
        if holds(found.as_ref()) { Ok(()) } else { Err(format!("{found:#?}")) }
    };
    world.until(what, look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_told_how_to_seal() {
    let mut world = World::start().await;
    world.governed(NS).await;
    let maps = world.api::<ConfigMap>(NS);
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chat-sealing", "namespace": NS},
        "data": {FILE: "theirs"},
    });
    world.apply(&theirs).await;
    let seals = |account: &str| json!({"workload": {"serviceAccountName": account}, "dataClasses": ["call-recording"]});
    for name in ["recorder", "chat"] {
        world.service_account(NS, name).await;
        world.apply(&channel(NS, name, seals(name))).await;
    }
    world.apply(&channel(NS, "voice", json!({}))).await;
    world.whole(NS, "recorder").await;
    world.ready(NS, "voice").await;
    assert!(maps.get_opt("voice-sealing").await.unwrap().is_none(), "it seals nothing");

    // Somebody else's stays theirs, and everything else of the Channel is in force.
    let told = world.not_ready(NS, "chat", "ForeignObject").await;
    assert!(told.message.contains("ConfigMap cc-front/chat-sealing"), "{told:?}");
    world.channel(NS, "chat", |status| wait::is(status, condition::KEYS_READY)).await;
    assert_eq!(of(&world, "chat").await.as_deref(), Some("theirs"));
    maps.delete("chat-sealing", &Default::default()).await.unwrap();
    world.whole(NS, "chat").await;

    let made = maps.get("recorder-sealing").await.unwrap();
    let owner = &made.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.block_owner_deletion), ("Channel", Some(false)));
    let manager = made.managed_fields().iter().filter_map(|one| one.manager.as_deref()).collect::<Vec<_>>();
    assert_eq!(manager, ["subrosa"]);
    let text = of(&world, "recorder").await.unwrap();
    let sealing = Sealing::from_yaml(&text).unwrap();
    assert_eq!(sealing.id, world.id(NS, "recorder").await);

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    let told = world.subrosa(&["cohorts", "-o", "json", "--config", file.path().to_str().unwrap()]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let key = sealing.id.data_key("call-recording", told[0]["cohort"].as_str().unwrap());
    let status = world.whole(NS, "recorder").await;
    assert!(world.keys(&sealing.id).await.contains(&key), "the cohort that is told has its key: {told}");
    assert_eq!(status.keys[0].due.as_deref(), told[0]["due"].as_str(), "{told}");

    // Deleted, edited, made immutable: it comes back as it was.
    let back = async |what: &str, not: Option<String>| {
        let whole = |found: &ConfigMap| {
            let data = found.data.clone().unwrap_or_default();
            data.len() == 1 && data.get(FILE) == Some(&text) && (not.is_none() || found.uid() != not)
        };
        becomes(&world, what, |found| found.is_some_and(whole)).await;
    };
    maps.delete("recorder-sealing", &Default::default()).await.unwrap();
    back("the deleted one", made.uid()).await;
    let edit = async |patch: Value| {
        let params = PatchParams { field_manager: Some("somebody".into()), ..PatchParams::default() };
        maps.patch("recorder-sealing", &params, &Patch::Merge(patch)).await.unwrap().uid()
    };
    edit(json!({"data": {FILE: "vault: elsewhere", "more": "text"}})).await;
    back("the edited one", None).await;
    let uid = edit(json!({"immutable": true, "data": {FILE: "vault: elsewhere"}})).await;
    back("the immutable one", uid).await;

    // Without its owner it is taken back; what is Stalled keeps it; what seals nothing any more has none.
    edit(json!({"metadata": {"ownerReferences": null}})).await;
    let owned = |found: &ConfigMap| !found.owner_references().is_empty();
    becomes(&world, "with its owner", |found| found.is_some_and(owned)).await;
    let mut spec = seals("recorder");
    spec["dataClasses"] = json!(["dreams"]);
    world.apply(&channel(NS, "recorder", spec.clone())).await;
    world.stalled(NS, "recorder", "UnknownDataClass").await;
    back("the one of before", None).await;
    // Nothing tells an operator that begins anew but what was sealed before.
    world.stop_operator();
    spec["dataClasses"] = json!([]);
    world.apply(&channel(NS, "recorder", spec)).await;
    world.start_operator().await;
    becomes(&world, "removed", |found| found.is_none()).await;
    world.ready(NS, "recorder").await;
    assert!(of(&world, "chat").await.is_some());
}

/// As after an upgrade of the image alone: the roles are those of an earlier release.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_tell_it_everything_else_goes_on() {
    let world = World::start_behind(&Tap::new()).await;
    world.governed(NS).await;
    let roles: Api<ClusterRole> = Api::all(world.admin.clone());
    let whole = roles.get("subrosa-namespace").await.unwrap();
    let mut earlier = whole.clone();
    let on_maps =
        |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource == "configmaps");
    earlier.rules.as_mut().unwrap().retain(|rule| !on_maps(rule));
    let before = earlier.rules.as_ref().map(Vec::len);
    assert_eq!(before, whole.rules.as_ref().map(|rules| rules.len() - 1));
    roles.replace("subrosa-namespace", &Default::default(), &earlier).await.unwrap();
    world.service_account(NS, "recorder").await;
    let seals = json!({"workload": {"serviceAccountName": "recorder"}, "dataClasses": ["call-recording"]});
    world.apply(&channel(NS, "recorder", seals)).await;
    let told = world.not_ready(NS, "recorder", "KubernetesForbidden").await;
    for part in ["ConfigMap ", "recorder-sealing", "upgrade the chart", "deploy/rbac.yaml"] {
        assert!(told.message.contains(part), "{part}: {told:?}");
    }
    let status = world.channel(NS, "recorder", |status| wait::is(status, condition::KEYS_READY)).await;
    let serial = status.certificate.unwrap().serial;
    world.delete_secret(NS, "recorder-mtls").await;
    world
        .channel(NS, "recorder", |status| status.certificate.as_ref().is_some_and(|one| one.serial != serial))
        .await;
    let now = roles.get("subrosa-namespace").await.unwrap();
    let whole = ClusterRole { metadata: now.metadata, ..whole };
    roles.replace("subrosa-namespace", &Default::default(), &whole).await.unwrap();
    world.whole(NS, "recorder").await;
    assert!(of(&world, "recorder").await.is_some());
}
