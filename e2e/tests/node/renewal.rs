//! A renewed certificate reaches running servers, and nobody is turned away meanwhile.

use std::{collections::BTreeMap, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa_crds::Channel;
use subrosa_e2e::{
    node::{
        Node, PATIENCE,
        servers::{CLIENTS_NAMESPACE, DESK, SERVERS, SERVERS_NAMESPACE, Server},
        wire::{Wire, written_serial},
    },
    wait,
};

use crate::shared::servers;

/// Between one connection and the next.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_leaf_is_served_and_every_connection_succeeds() {
    let Some(node) = servers().await else { return };
    let before = pods(node).await;
    let renewals = SERVERS.map(|server| renewed(node, server));
    futures::future::join_all(renewals).await;
    // It was the process that took it, not another pod.
    assert_eq!(before, pods(node).await);
}

/// Forces a renewal of one server's leaf, and connects all the time until the new one is on the wire.
async fn renewed(node: &Node, Server { name, software, port, protocol, .. }: Server) {
    let server = (SERVERS_NAMESPACE, name, port);
    let wire = Wire::new(node, server, (CLIENTS_NAMESPACE, DESK), protocol).await.unwrap();
    let old = wire.call().await.unwrap().serial;
    assert_eq!(old, written_serial(node, SERVERS_NAMESPACE, name).await.unwrap(), "{software}");

    let channels: Api<Channel> = Api::namespaced(node.client().unwrap(), SERVERS_NAMESPACE);
    // Another algorithm asks for another key, and so for another leaf.
    let other = json!({"spec": {"tls": {"keyAlgorithm": "ECDSA-P384"}}});
    channels.patch(name, &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();

    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut connections = 0;
    let mut serving = old.clone();
    while serving == old {
        serving = wire
            .call()
            .await
            .unwrap_or_else(|error| panic!("{software}, after {connections} connections: {error:#}"))
            .serial;
        connections += 1;
        assert!(tokio::time::Instant::now() < deadline, "{software} still serves {old}");
        tokio::time::sleep(PAUSE).await;
    }
    assert!(connections > 1, "{software}: nobody connected while it was renewed");
    assert_eq!(serving, written_serial(node, SERVERS_NAMESPACE, name).await.unwrap(), "{software}");
    // And it stays so.
    for _ in 0..20 {
        assert_eq!(wire.call().await.unwrap().serial, serving, "{software}");
        tokio::time::sleep(PAUSE).await;
    }
    let client = node.client().unwrap();
    wait::channel(&client, SERVERS_NAMESPACE, name, PATIENCE, wait::whole).await.unwrap();
}

/// The servers' pods, and how often their containers were started again.
async fn pods(node: &Node) -> BTreeMap<String, i32> {
    let mut all = BTreeMap::new();
    for server in SERVERS {
        for pod in node.ready_pods(SERVERS_NAMESPACE, &format!("app={}", server.name)).await.unwrap() {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            let restarts = statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum();
            all.insert(pod.name_any(), restarts);
        }
    }
    all
}
