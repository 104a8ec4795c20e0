//! Health by Argo CD's scripts, Flux's expressions and plain kstatus, of objects as the cluster has them.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::fleet::{DOMAIN, Fleet, title};

const WELL: [&str; 3] = ["Healthy", "Current", "Current"];

fn manifest(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn channel(name: &str, more: Value) -> Value {
    let mut spec = json!({"workload": {"selector": {"matchLabels": {"app": name}}}});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    manifest("Channel", Some("cc-front"), name, spec)
}

/// The message of a condition.
fn says<'a>(live: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = live["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)?["message"].as_str()
}

/// Nothing is well before somebody has looked. Plain kstatus takes an object without status for current: that is
/// why the Kustomizations of Flux have expressions.
pub async fn before_anybody_looked(fleet: &Fleet) -> Result<()> {
    for one in fleet.ours() {
        let answer = fleet.judge.of(&fleet.live(one).await?)?;
        ensure!(answer.argo.status == "Progressing", "{}: {answer:?}", title(one));
        ensure!(
            ["Unknown", "InProgress"].contains(&answer.flux.status.as_str()),
            "{}: {answer:?}",
            title(one)
        );
        ensure!(answer.kstatus.status == "Current", "expressions are needed no more? {answer:?}");
    }
    Ok(())
}

pub async fn once_all_is_ready(fleet: &Fleet) -> Result<()> {
    let mut count = 0;
    for one in fleet.ours() {
        let answer = fleet.judged(one, |_, answer| answer.words() == WELL).await?;
        ensure!(!answer.argo.message.is_empty(), "{}: {answer:?}", title(one));
        count += 1;
    }
    ensure!(count > 10, "only {count} objects were judged");
    Ok(())
}

/// Ready still stands in it, of the generation before.
pub async fn while_the_status_is_behind(fleet: &mut Fleet) -> Result<()> {
    fleet.operator()?.pause();
    let seen = edited_unseen(fleet).await;
    fleet.operator()?.resume();
    seen?;
    for one in fleet.ours() {
        fleet.apply(one).await?;
    }
    once_all_is_ready(fleet).await
}

async fn edited_unseen(fleet: &Fleet) -> Result<()> {
    for (kind, patch) in [
        ("TrustDomain", json!({"spec": {"frameworks": ["GDPR", "WGBO"]}})),
        ("RetentionPolicy", json!({"spec": {"destruction": {"grace": "15d"}}})),
        ("ExternalParty", json!({"spec": {"agreements": [{"type": "SLA", "validUntil": "2032-12-31"}]}})),
        ("Channel", json!({"spec": {"tls": {"duration": "20d"}}})),
    ] {
        let one = fleet.ours().find(|one| one["kind"] == kind).unwrap();
        let (api, name) = fleet.api(one).await?;
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let answer = fleet.judge.of(&fleet.live(one).await?)?;
        ensure!(answer.words() == ["Progressing", "InProgress", "InProgress"], "{kind}: {answer:?}");
    }
    Ok(())
}

pub async fn of_what_is_not_well(fleet: &Fleet) -> Result<()> {
    consent_is_nobodys_fault(fleet).await?;
    let mut elsewhere = fleet.ours().find(|one| one["kind"] == "TrustDomain").unwrap().clone();
    elsewhere["metadata"]["name"] = json!("elsewhere");
    elsewhere["spec"]["vault"]["address"] = json!("https://127.0.0.1:1");
    let mut nowhere = elsewhere.clone();
    nowhere["metadata"]["name"] = json!("nowhere");
    // Two domains on one Vault would have to have mounts of their own.
    nowhere["spec"]["vault"]["address"] = json!("https://127.0.0.1:2");
    nowhere["spec"]["timeZone"] = json!("Europe/Oosterlinde");
    let party = |name: &str, more: Value| {
        let mut spec = json!({
            "role": "Carrier", "addresses": {"cidrs": ["203.0.113.64/28"]}, "tls": {"mode": "OneWay"},
            "agreements": [{"type": "SLA", "validUntil": "2031-12-31"}],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        manifest("ExternalParty", None, name, spec)
    };
    let short = json!([{"jurisdiction": "NL", "period": "30d", "basis": "a law"}]);
    let class = json!({"name": "call-recording", "keep": "10d", "minimums": short});
    // What is applied, and what each says of it: a person has to act, or the operator goes on by itself.
    let cases = [
        (nowhere, "Stalled", ["Degraded", "Failed", "Failed"]),
        (elsewhere, "Reconciling", ["Progressing", "InProgress", "InProgress"]),
        (
            manifest("RetentionPolicy", None, "short", json!({"classes": [class]})),
            "Stalled",
            ["Degraded", "Failed", "Failed"],
        ),
        (
            party("inside", json!({"addresses": {"cidrs": ["10.244.7.0/24"]}})),
            "Stalled",
            ["Degraded", "Failed", "Failed"],
        ),
        (
            party("ended", json!({"agreements": [{"type": "SLA", "validUntil": "2020-12-31"}]})),
            "Ready",
            ["Degraded", "InProgress", "InProgress"],
        ),
        (
            channel(
                "unknown",
                json!({"workload": {"selector": {"matchLabels": {"app": "unknown"}}, "serviceAccountName": "sbc-2"}, "dataClasses": ["nobodys"]}),
            ),
            "Stalled",
            ["Degraded", "Failed", "Failed"],
        ),
        (
            channel(
                "early",
                json!({"workload": {"selector": {"matchLabels": {"app": "early"}}, "serviceAccountName": "not-there-yet"}, "dataClasses": ["call-recording"]}),
            ),
            "Reconciling",
            ["Progressing", "InProgress", "InProgress"],
        ),
    ];
    for (one, condition, words) in cases {
        fleet.apply(&one).await?;
        fleet
            .judged(&one, |live, answer| {
                answer.words() == words && says(live, condition) == Some(answer.argo.message.as_str())
            })
            .await?;
    }
    audited(fleet).await?;
    widened(fleet).await
}

/// The other end has not agreed: this side is Healthy, says so, and holds up no wave.
async fn consent_is_nobodys_fault(fleet: &Fleet) -> Result<()> {
    let lonely = channel("lonely", json!({"connectsTo": [{"name": "ivr"}]}));
    fleet.apply(&lonely).await?;
    let answer = fleet.judged(&lonely, |_, answer| answer.words() == WELL).await?;
    ensure!(answer.argo.message.contains("ivr (AwaitingConsent)"), "{answer:?}");
    Ok(())
}

/// A namespace that is only audited, as declared, is not said to be protected, nor to be broken.
async fn audited(fleet: &Fleet) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "cc-moving", "labels": {"subrosa.dev/trust-domain": DOMAIN}},
    });
    let mut domain = fleet.ours().find(|one| one["metadata"]["name"] == DOMAIN).unwrap().clone();
    let spec = json!({"workload": {"selector": {"matchLabels": {"app": "pbx"}}}});
    let pbx = manifest("Channel", Some("cc-moving"), "pbx", spec);
    for (until, word) in [("2031-12-31", "Suspended"), ("2020-12-31", "Degraded")] {
        domain["spec"]["network"]["staged"] =
            json!([{"namespace": "cc-moving", "mode": "Audit", "until": until}]);
        fleet.apply(&domain).await?;
        fleet.apply(&namespace).await?;
        fleet.apply(&pbx).await?;
        fleet.judged(&pbx, |_, answer| answer.words() == [word, "InProgress", "InProgress"]).await?;
    }
    Ok(())
}

/// Somebody's policy opens what no connection declares.
async fn widened(fleet: &Fleet) -> Result<()> {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": "cc-data"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    });
    fleet.apply(&policy).await?;
    let one = fleet.ours().find(|one| one["metadata"]["namespace"] == "cc-data").unwrap();
    let words = ["Degraded", "InProgress", "InProgress"];
    fleet.judged(one, |_, answer| answer.words() == words && answer.argo.message.contains("open")).await?;
    let (api, name) = fleet.api(&policy).await?;
    api.delete(&name, &Default::default()).await?;
    fleet.judged(one, |_, answer| answer.words() == WELL).await.map(drop)
}
