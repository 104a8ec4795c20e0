//! A watch of the replica that stands by is dead, and nobody notices before it leads.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::condition;
use subrosa_e2e::{Tap, installation::apply_object, wait};

use crate::stage::{NAMESPACE, NEW, OLD, Stage, TAKEOVER, leads};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a new leader may do something wrong after it has looked at everything once.
const AFTERWARDS: Duration = Duration::from_secs(4);

async fn channel(stage: &Stage, name: &str, spec: Value) -> Result<()> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
    });
    apply_object(&stage.admin, &account).await?;
    let mut whole = json!({
        "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
        "dataClasses": ["call-recording"],
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": whole,
    });
    apply_object(&stage.admin, &channel).await.map(drop)
}

/// The policies as they are, by name and version.
async fn policies(stage: &Stage) -> Result<Vec<(String, String)>> {
    let api: Api<NetworkPolicy> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let all = api.list(&ListParams::default()).await?;
    let one = |policy: NetworkPolicy| {
        let metadata = policy.metadata;
        (metadata.name.unwrap_or_default(), metadata.resource_version.unwrap_or_default())
    };
    Ok(all.items.into_iter().map(one).collect())
}

/// While its watch of Channels tells nothing, the old leader gives one Channel access and closes a connection. The new
/// one must neither take the access from a Channel that it never saw nor open what is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_begins_with_what_is_so_and_not_with_what_its_watch_had() -> Result<()> {
    let stage = Stage::build().await?;
    let mut old = stage.replica(OLD, None).await?;
    wait::until(PATIENCE, || leads(&old, true)).await?;
    let to_desk = json!([{"name": "desk"}]);
    channel(&stage, "voice", json!({"connectsTo": to_desk})).await?;
    let listens = json!({"listeners": [{"name": "sip", "port": 5061}], "accepts": [{"name": "voice"}]});
    channel(&stage, "desk", listens).await?;
    wait::channel(&stage.admin, NAMESPACE, "voice", PATIENCE, wait::whole).await?;

    let tap = Tap::new();
    let proxy = stage.env.proxy_api(&tap).await?;
    let through = stage.env.kubeconfig_through(proxy.endpoint(), "standby", &stage.installed.token)?;
    let new = stage.replica(NEW, Some(through)).await?;
    leads(&new, false).await.map_err(anyhow::Error::msg)?;
    tap.hold_back(Some("channels"));
    channel(&stage, "late", json!({})).await?;
    channel(&stage, "voice", json!({})).await?;
    let ready = |status: &_| wait::is(status, condition::READY);
    wait::channel(&stage.admin, NAMESPACE, "late", PATIENCE, ready).await?;
    let closed = |status: &subrosa_crds::ChannelStatus| status.connections.is_empty();
    wait::channel(&stage.admin, NAMESPACE, "voice", PATIENCE, closed).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = policies(&stage).await?;

    old.kill();
    let gone = Timestamp::now();
    wait::until(TAKEOVER, || leads(&new, true)).await?;
    // Both Channels that it knew, and everything that the record has.
    wait::until(PATIENCE, || async {
        let log = new.log().map_err(|error| error.to_string())?;
        let done = |name: &str| {
            log.lines()
                .any(|line| line.contains("\"reconciled\"") && line.contains(&format!("{NAMESPACE}/{name}")))
        };
        if done("voice") && done("desk") { Ok(()) } else { Err("it has not looked at everything".to_owned()) }
    })
    .await
    .with_context(|| new.log().unwrap_or_default())?;
    tokio::time::sleep(AFTERWARDS).await;

    let timeline = stage.timeline()?;
    let wrong: Vec<_> = timeline
        .of(NEW)
        .filter(|effect| {
            ["/networkpolicies/", "identity/entity"].iter().any(|part| effect.what.contains(part))
        })
        .map(ToString::to_string)
        .collect();
    ensure!(
        wrong.is_empty(),
        "since {gone} the new leader withdrew access or opened what is closed: {wrong:#?}"
    );
    ensure!(policies(&stage).await? == before, "a policy was written");
    Ok(())
}
