//! A namespace with Channels is adopted: what they declare is allowed first, and the rest is denied after that,
//! whatever the watches have not told yet.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{networking::v1::NetworkPolicy, rbac::v1::RoleBinding};
use kube::{
    ResourceExt,
    api::{ListParams, VersionMatch},
};
use serde_json::json;
use subrosa_crds::TRUST_DOMAIN_LABEL;
use subrosa_e2e::Tap;

use crate::world::{DOMAIN, World, channel};

const DENY: &str = "subrosa-default-deny";
const PEERS: [&str; 4] = ["ivr", "chat", "sms", "mail"];

/// A Channel and four that connect to it.
async fn declare(world: &World, namespace: &str) {
    let accepts: Vec<_> = PEERS.iter().map(|name| json!({"name": name})).collect();
    let voice = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": accepts});
    world.apply(&channel(namespace, "voice", voice)).await;
    for name in PEERS {
        world.apply(&channel(namespace, name, json!({"connectsTo": [{"name": "voice"}]}))).await;
    }
}

async fn adopt(world: &World, namespace: &str) {
    world.label(namespace, json!({TRUST_DOMAIN_LABEL: DOMAIN})).await;
}

/// Waits for the default deny, and says which policies there were at the moment when it was written.
async fn beside_the_deny(world: &World, namespace: &str) -> BTreeSet<String> {
    let api = world.api::<NetworkPolicy>(namespace);
    let deny = world
        .until(&format!("the default deny of {namespace}"), || async {
            api.get_opt(DENY).await.unwrap().ok_or_else(|| "it is not there".to_owned())
        })
        .await;
    let then = ListParams::default().at(&deny.resource_version().unwrap()).matching(VersionMatch::Exact);
    api.list(&then).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
}

/// The policies of everybody whom [`declare`] declares, and the default deny.
fn everybody() -> BTreeSet<String> {
    let channels = PEERS.iter().chain(&["voice"]).map(|name| format!("subrosa-channel-{name}"));
    channels.chain([DENY.to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_allowed_before_the_rest_is_denied() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    the_status_of_channels_is_late(&world, &tap).await;
    the_channels_themselves_are_late(&world, &tap).await;
    one_that_is_stalled_holds_up_nothing(&world).await;
}

/// Every one of them is still told to be of no trust domain, as it was before.
async fn the_status_of_channels_is_late(world: &World, tap: &Arc<Tap>) {
    const NS: &str = "cc-front";
    world.env.create_namespace(NS, &[]).await.unwrap();
    declare(world, NS).await;
    for name in PEERS.iter().chain(&["voice"]) {
        world.stalled(NS, name, "NamespaceNotGoverned").await;
    }
    tap.hold_back(Some("channels"));
    adopt(world, NS).await;
    let found = beside_the_deny(world, NS).await;
    tap.hold_back(None);
    assert_eq!(found, everybody());
    for name in PEERS.iter().chain(&["voice"]) {
        world.whole(NS, name).await;
    }
}

/// Not one of them has been seen when the namespace is adopted.
async fn the_channels_themselves_are_late(world: &World, tap: &Arc<Tap>) {
    const NS: &str = "cc-back";
    world.env.create_namespace(NS, &[]).await.unwrap();
    tap.hold_back(Some("channels"));
    declare(world, NS).await;
    adopt(world, NS).await;
    world
        .until("the operator's RoleBinding", || async {
            let found = world.api::<RoleBinding>(NS).get_opt("subrosa").await.unwrap();
            found.map(drop).ok_or_else(|| "it is not there".to_owned())
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.policy(NS, DENY).await.is_none(), "what is declared here is not known yet");
    tap.hold_back(None);
    assert_eq!(beside_the_deny(world, NS).await, everybody());
}

/// Nothing is made for it, now or later.
async fn one_that_is_stalled_holds_up_nothing(world: &World) {
    const NS: &str = "cc-data";
    world.env.create_namespace(NS, &[]).await.unwrap();
    world.apply(&channel(NS, "scribe", json!({"tls": {"dnsNames": ["not.allowed.example"]}}))).await;
    world.apply(&channel(NS, "desk", json!({}))).await;
    let begin = Instant::now();
    adopt(world, NS).await;
    let found = beside_the_deny(world, NS).await;
    assert_eq!(found, [DENY.to_owned(), "subrosa-channel-desk".to_owned()].into());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
