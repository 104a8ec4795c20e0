//! A settled world is quiet: nobody writes what is so already, neither for a minute nor after a restart.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use subrosa_e2e::{Operator, audit::Mark, installation::governed_namespace, wait};

use crate::cluster::{Cluster, DOMAIN, PATIENCE};

/// How long it has to be quiet.
const WATCHED: Duration = Duration::from_secs(60);
/// How long nothing may be written before the world counts as settled.
const SETTLED: Duration = Duration::from_secs(5);
/// How long a restart is watched after everything was looked at again.
const RESTARTED: Duration = Duration::from_secs(10);

/// A namespace with a database and those who connect to it, each with data of its own.
fn team(namespace: &str, channels: usize) -> Vec<Value> {
    let channel = |name: &str, spec: Value| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let clients: Vec<String> = (1..channels).map(|number| format!("client-{number}")).collect();
    let accepts: Vec<Value> = clients.iter().map(|name| json!({"name": name})).collect();
    let db = channel(
        "db",
        json!({
            "type": "Database",
            "workload": {"selector": {"matchLabels": {"app": "db"}}},
            "listeners": [{"name": "sql", "port": 5432}],
            "accepts": accepts,
        }),
    );
    let mut manifests = vec![db];
    for name in &clients {
        manifests.push(json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        }));
        manifests.push(channel(
            name,
            json!({
                "type": "Voice",
                "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
                "connectsTo": [{"name": "db"}],
                "dataClasses": ["call-recording"],
            }),
        ));
    }
    manifests
}

/// Makes `teams` namespaces with `each` Channels and waits until all are whole.
async fn populate(cluster: &Cluster, teams: usize, each: usize) -> Result<()> {
    let mut all = Vec::new();
    for number in 0..teams {
        let namespace = format!("team-{teams}-{number}");
        governed_namespace(&cluster.env, &namespace, DOMAIN).await?;
        for manifest in team(&namespace, each) {
            if manifest["kind"] == "Channel" {
                all.push((namespace.clone(), manifest["metadata"]["name"].as_str().unwrap().to_owned()));
            }
            cluster.apply(manifest).await?;
        }
    }
    let names: Vec<_> = all.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str())).collect();
    cluster.whole(&names).await
}

/// Waits until nothing has been written for a while.
async fn settle(cluster: &Cluster) -> Result<()> {
    let (mut since, mut calm) = (cluster.mark()?, Instant::now());
    let deadline = Instant::now() + PATIENCE;
    while calm.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let writes = cluster.writes_since(since)?;
        if !writes.is_empty() {
            (since, calm) = (cluster.mark()?, Instant::now());
            ensure!(Instant::now() < deadline, "it never settles: {writes:#?}");
        }
    }
    Ok(())
}

/// How many reconciles of Channels there were.
async fn reconciled(operator: &Operator) -> Result<u64> {
    let metrics = operator.metrics().await?;
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("subrosa_reconciles_total{") && line.contains("kind=\"Channel\""));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// What the watches tell is not asked for: at most one read of the API server for each Channel that was made. Each
/// `db` has to read its Secret before it adds a client's authority to the files in it; nothing else needs a read.
///
/// What is read once for a namespace or a TrustDomain is no Channel's.
fn asked_little(cluster: &Cluster, mark: (Mark, Mark), channels: usize) -> Result<usize> {
    let reads = cluster.reads_since(mark)?;
    let others = ["rolebindings", "list secrets", "list configmaps", "trustdomains", "validatingadmission"];
    let of_channels =
        reads.iter().filter(|(what, _)| *what != "get " && others.iter().all(|other| !what.contains(other)));
    let count: usize = of_channels.map(|(_, count)| count).sum();
    ensure!(count <= channels, "{count} reads of the API server for {channels} Channels: {reads:?}");
    Ok(count)
}

/// Channels in pairs that are there before the operator: what each of them is written. Says how much that is in all.
///
/// Both ends of a pair are known from the start, and whoever signs last learns of the other's authority before it writes
/// its Secret: one Secret of a pair is written twice at the most. A policy has both directions from the start.
async fn pairs(cluster: &Cluster, namespace: &str, count: usize) -> Result<String> {
    let channel = |name: String, spec: Value| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let workload = |name: &str| json!({"selector": {"matchLabels": {"app": name}}});
    let mut names = Vec::new();
    for number in 0..count {
        let (server, client) = (format!("server-{number}"), format!("client-{number}"));
        let (listeners, accepts) = (json!([{"name": "tls", "port": 8443}]), json!([{"name": client}]));
        let listens = json!({"workload": workload(&server), "listeners": listeners, "accepts": accepts});
        let connects = json!({"workload": workload(&client), "connectsTo": [{"name": server}]});
        cluster.apply(channel(server.clone(), listens)).await?;
        cluster.apply(channel(client.clone(), connects)).await?;
        names.extend([server, client]);
    }
    let mark = cluster.mark()?;
    let _operator = cluster.operator().await?;
    let names: Vec<_> = names.iter().map(|name| (namespace, name.as_str())).collect();
    cluster.whole(&names).await?;
    settle(cluster).await?;
    let written = cluster.writes_since(mark)?.api;
    let of = |what: &str| written.iter().filter(|write| write.contains(what)).count();
    let (secrets, policies, statuses) = (of("/secrets"), of("/networkpolicies"), of("/status"));
    ensure!(secrets <= 3 * count && policies == 2 * count, "more than that: {written:#?}");
    Ok(format!("{count} pairs: {secrets} writes of Secrets, {policies} of policies, {statuses} of statuses"))
}

/// What the alerts ask for is there and says what is so: ten Ready Channels, nothing late.
async fn told(operator: &Operator) -> Result<()> {
    let metrics = operator.metrics().await?;
    let value = |series: &str| -> Option<f64> {
        let line = metrics.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let ready = "subrosa_channel_conditions{condition=\"Ready\",status=\"True\",reason=\"InForceUnproven\"} ";
    ensure!(value(ready) == Some(10.0), "{ready}is not 10: {metrics}");
    ensure!(!metrics.contains("reason=\"Other\""), "a reason that docs/status.md has not: {metrics}");
    let renewal = value("subrosa_certificate_earliest_renewal_timestamp_seconds ").unwrap_or_default();
    let expiry = value("subrosa_certificate_earliest_expiry_timestamp_seconds ").unwrap_or_default();
    let now = jiff::Timestamp::now().as_second() as f64;
    ensure!(now < renewal && renewal < expiry, "renewal {renewal} between now {now} and the end {expiry}");
    ensure!(value("subrosa_key_rotation_lag_seconds ") == Some(0.0), "a rotation is late: {metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_world_is_quiet() -> Result<()> {
    let cluster = Cluster::build().await?;
    let mut operator = cluster.operator().await?;
    populate(&cluster, 2, 5).await?;
    settle(&cluster).await?;
    told(&operator).await?;

    let mark = cluster.mark()?;
    tokio::time::sleep(WATCHED).await;
    let writes = cluster.writes_since(mark)?;
    ensure!(writes.is_empty(), "10 settled Channels in {WATCHED:?}: {writes:#?}");

    // The same eyes see a write where there is one.
    let mark = cluster.mark()?;
    let secrets = cluster.api("v1", "Secret", "team-2-0").await?;
    let before = secrets.get("db-mtls").await?.metadata.uid;
    secrets.delete("db-mtls", &Default::default()).await?;
    // The status is that of before until it is made again.
    let made_again = || async {
        match secrets.get("db-mtls").await {
            Ok(found) if found.metadata.uid != before => Ok(()),
            other => Err(format!("{:?}", other.map(|found| found.metadata))),
        }
    };
    wait::until(PATIENCE, made_again).await?;
    cluster.whole(&[("team-2-0", "db")]).await?;
    settle(&cluster).await?;
    let writes = cluster.writes_since(mark)?;
    println!("one deleted Secret: {} API writes, {} OpenBao writes", writes.api.len(), writes.bao.len());
    ensure!(!writes.api.is_empty() && !writes.bao.is_empty(), "the watch is blind: {writes:?}");

    let mark = cluster.mark()?;
    populate(&cluster, 9, 10).await?;
    settle(&cluster).await?;
    println!("90 Channels made: {} reads of the API server for them", asked_little(&cluster, mark, 90)?);

    // A restart with a hundred.
    operator.stop();
    let (mark, begun) = (cluster.mark()?, Instant::now());
    let mut operator = cluster.operator().await?;
    let ready = begun.elapsed();
    while reconciled(&operator).await? < 100 {
        ensure!(
            begun.elapsed() < PATIENCE,
            "not everything was looked at again: {}",
            operator.metrics().await?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seen = begun.elapsed();
    tokio::time::sleep(RESTARTED).await;
    let writes = cluster.writes_since(mark)?;
    println!("restart with 100 Channels: ready after {ready:.1?}, all looked at after {seen:.1?}");
    ensure!(writes.is_empty(), "a restart with 100 settled Channels: {writes:#?}");

    governed_namespace(&cluster.env, "pairs", DOMAIN).await?;
    settle(&cluster).await?;
    operator.stop();
    println!("{}", pairs(&cluster, "pairs", 20).await?);
    Ok(())
}
