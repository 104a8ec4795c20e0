//! Objects of a Channel that lost their owner: what provably is the Channel's is taken back, what a Channel that is gone
//! left behind opens nothing and trusts nobody, and what is not proven stays somebody else's.

use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{CONFIRM_DELETE_ANNOTATION, Channel};

use crate::{
    tampering::Impostor,
    world::{DOMAIN, World, channel},
};

const NS: &str = "cc-front";
const TO_DB: &str = "to cc-front:app=db TCP/5432";
const FROM_WEB: &str = "from cc-front:app=web TCP/5432";

fn web() -> Value {
    channel(NS, "web", json!({"connectsTo": [{"name": "db"}]}))
}

fn db() -> Value {
    channel(
        NS,
        "db",
        json!({"listeners": [{"name": "postgres", "port": 5432}], "accepts": [{"name": "web"}]}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_owner_is_taken_back_or_closed() {
    let world = World::start().await;
    world.governed(NS).await;
    world.apply(&web()).await;
    world.apply(&db()).await;
    world.whole(NS, "web").await;
    world.whole(NS, "db").await;
    an_owner_that_was_taken_away_comes_back(&world).await;
    a_channel_made_anew_has_what_it_left(&world).await;
    a_withdrawal_reaches_what_was_taken_back(&world).await;
    what_a_channel_leaves_is_closed(&world).await;
    what_is_not_proven_is_not_taken(&world).await;
}

/// Waits until Secret and policy of a Channel have it as their owner.
async fn owned(world: &World, name: &str) {
    let uid = world.api::<Channel>(NS).get(name).await.unwrap().uid().unwrap();
    world
        .until(&format!("{name} owns its objects"), || async {
            let secret = world.api::<Secret>(NS).get(&format!("{name}-mtls")).await.unwrap();
            let policy =
                world.api::<NetworkPolicy>(NS).get(&format!("subrosa-channel-{name}")).await.unwrap();
            let owners = [secret.owner_references(), policy.owner_references()];
            let right = owners.iter().all(|owners| matches!(owners, [owner] if owner.uid == uid));
            if right { Ok(()) } else { Err(format!("{owners:?}")) }
        })
        .await;
}

async fn an_owner_that_was_taken_away_comes_back(world: &World) {
    let before = world.files(NS, "web").await;
    let nobody = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    let params = PatchParams::default();
    world.api::<NetworkPolicy>(NS).patch("subrosa-channel-web", &params, &nobody).await.unwrap();
    owned(world, "web").await;
    world.api::<Secret>(NS).patch("web-mtls", &params, &nobody).await.unwrap();
    owned(world, "web").await;
    world.event(NS, "web", "TakenBack").await;
    world.whole(NS, "web").await;
    assert_eq!(world.files(NS, "web").await.0, before.0, "nothing was issued for it");
}

/// Deletes a Channel and keeps what it has, as `kubectl delete --cascade=orphan` does.
async fn orphan(world: &World, name: &str) {
    let api = world.api::<Channel>(NS);
    let uid = api.get(name).await.unwrap().uid().unwrap();
    let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: uid}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
    api.delete(name, &DeleteParams::orphan()).await.unwrap();
    world
        .until(&format!("{name} is gone"), || async {
            api.get_opt(name).await.unwrap().map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;
}

async fn a_channel_made_anew_has_what_it_left(world: &World) {
    let before = world.files(NS, "db").await;
    orphan(world, "db").await;
    world.apply(&db()).await;
    world.whole(NS, "db").await;
    owned(world, "db").await;
    world.whole(NS, "web").await;
    let after = world.files(NS, "db").await;
    assert_eq!(after.get("tls.crt"), before.get("tls.crt"), "its certificate goes on");
    assert_eq!(after.trusting(world.files(NS, "web").await.authority()), ["ca.crt", "clients-ca.crt"]);
    world.opens(NS, "db", &[FROM_WEB]).await;
}

async fn a_withdrawal_reaches_what_was_taken_back(world: &World) {
    let web_authority = world.files(NS, "web").await.authority().to_owned();
    world.apply(&channel(NS, "web", json!({}))).await;
    world.apply(&channel(NS, "db", json!({"listeners": [{"name": "postgres", "port": 5432}]}))).await;
    world.opens(NS, "db", &[]).await;
    world.opens(NS, "web", &[]).await;
    world.files_where(NS, "db", |files| files.trusting(&web_authority).is_empty()).await;
    world.apply(&web()).await;
    world.apply(&db()).await;
    world.whole(NS, "web").await;
    world.whole(NS, "db").await;
    world.opens(NS, "web", &[TO_DB]).await;
}

async fn what_a_channel_leaves_is_closed(world: &World) {
    let before = world.files(NS, "db").await;
    let web_authority = world.files(NS, "web").await.authority().to_owned();
    orphan(world, "db").await;
    world
        .until("the policy that db left opens nothing", || async {
            let spec = world.policy(NS, "subrosa-channel-db").await.ok_or("it is gone")?;
            let open = spec.ingress.iter().flatten().count() + spec.egress.iter().flatten().count();
            let types = spec.policy_types.clone().unwrap_or_default();
            let pods = spec.pod_selector.clone().unwrap_or_default().match_labels.unwrap_or_default();
            assert_eq!(
                (types.len(), pods.get("app").map(String::as_str)),
                (2, Some("db")),
                "its pods stay isolated"
            );
            if open == 0 { Ok(()) } else { Err(format!("{spec:?}")) }
        })
        .await;
    let left = world.files_where(NS, "db", |files| files.trusting(&web_authority).is_empty()).await;
    assert_eq!(left.get("tls.crt"), before.get("tls.crt"), "who mounts it finds it as it was");
    assert_eq!(left.get("tls.key"), before.get("tls.key"));
    assert_eq!(left.names(), before.names());
    let secret = world.secret(NS, "db-mtls").await.unwrap();
    assert!(secret.owner_references().is_empty(), "it stays what it was made: nobody's");
    world.opens(NS, "web", &[]).await;

    world.apply(&db()).await;
    world.whole(NS, "db").await;
    owned(world, "db").await;
    world.opens(NS, "db", &[FROM_WEB]).await;
    assert_eq!(world.files(NS, "db").await.get("tls.crt"), before.get("tls.crt"));
}

async fn what_is_not_proven_is_not_taken(world: &World) {
    let labels = world.secret(NS, "web-mtls").await.unwrap().labels().clone();
    let labelled = |name: &str| {
        let mut labels = labels.clone();
        labels.insert("subrosa.dev/channel".to_owned(), name.to_owned());
        labels
    };
    // Every label, and a leaf that says all of it: but it is of an authority that only calls itself so.
    let forged = Impostor::of(NS, "forged", DOMAIN);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "forged-mtls", "namespace": NS, "labels": labelled("forged")},
        "stringData": {"tls.crt": forged.chain, "tls.key": forged.key},
    });
    world.apply(&secret).await;
    // A policy of ours that somebody else who lives has.
    let theirs = world.api::<Secret>(NS).get("web-mtls").await.unwrap().uid().unwrap();
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {
            "name": "subrosa-channel-theirs", "namespace": NS, "labels": labelled("theirs"),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Secret", "name": "web-mtls", "uid": theirs}],
        },
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}, "policyTypes": ["Ingress"]},
    });
    world.apply(&policy).await;
    let versions = async || {
        (
            world.api::<Secret>(NS).get("forged-mtls").await.unwrap().resource_version(),
            world.api::<NetworkPolicy>(NS).get("subrosa-channel-theirs").await.unwrap().resource_version(),
        )
    };
    let before = versions().await;
    for name in ["forged", "theirs"] {
        world.apply(&channel(NS, name, json!({}))).await;
        world.not_ready(NS, name, "ForeignObject").await;
    }
    assert_eq!(versions().await, before, "never touched");
}
