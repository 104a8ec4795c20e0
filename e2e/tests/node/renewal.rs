//! A renewed certificate reaches running servers, and nobody is turned away meanwhile.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use subrosa_e2e::{
    node::{
        Node, PATIENCE,
        servers::{SERVERS, SERVERS_NAMESPACE},
        wire::written_serial,
    },
    wait,
};

use crate::shared::servers;

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_leaf_is_served_and_every_connection_succeeds() {
    let Some(node) = servers().await else { return };
    let all = wait::until(PATIENCE, || async {
        let found = pods(node).await;
        if found.len() == SERVERS.len() { Ok(found) } else { Err(found) }
    });
    let before = all.await.unwrap();
    let renewals = SERVERS.map(|server| async move { (server, node.renew(server).await) });
    for (server, renewal) in futures::future::join_all(renewals).await {
        let renewal = renewal.unwrap_or_else(|error| panic!("{}: {error:#}", server.software));
        let written = written_serial(node, SERVERS_NAMESPACE, server.name).await.unwrap();
        assert_eq!(renewal.new, written, "{}", server.software);
        println!("{}: {renewal:?}", server.software);
    }
    // It was the running process that took it: no other pod, and no container that was started again. A probe that
    // had no answer in time makes a pod unready for a moment, and is neither.
    wait::until(PATIENCE, || async {
        let after = pods(node).await;
        if after == before { Ok(()) } else { Err(format!("{before:?}, {after:?}")) }
    })
    .await
    .unwrap();
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
