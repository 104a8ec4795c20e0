//! The writes that Channels cost, counted in the audit logs and made again with nothing around them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Secret},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::Channel;

use crate::{
    Environment,
    audit::{ApiAuditEntry, BaoAuditEntry},
};

/// How many writes of each kind a Channel cost.
pub(super) struct Cost {
    api: BTreeMap<String, f64>,
    vault: BTreeMap<String, f64>,
    reads: BTreeMap<String, f64>,
}

impl Cost {
    /// Counts the operator's writes in both logs, divided among `channels`.
    pub(super) fn count(api: &[ApiAuditEntry], bao: &[BaoAuditEntry], user: &str, channels: usize) -> Self {
        let share = 1.0 / channels as f64;
        let mut cost = Self { api: BTreeMap::new(), vault: BTreeMap::new(), reads: BTreeMap::new() };
        let tokens = "serviceaccounts/token";
        let refused =
            |entry: &ApiAuditEntry| entry.response_status.as_ref().is_none_or(|one| one.code >= 400);
        for entry in api.iter().filter(|one| one.user.username == user && one.stage == "ResponseComplete") {
            let read = entry.verb == "get" || entry.verb == "list";
            if read || refused(entry) {
                let code = entry.response_status.as_ref().map_or(0, |one| one.code);
                *cost.reads.entry(format!("{} {} {code}", entry.verb, entry.resource())).or_default() +=
                    share;
            }
        }
        for entry in bao.iter().filter(|one| one.kind == "response") {
            let path = &entry.request.path;
            if !entry.is_write() || path.starts_with("identity/lookup/") {
                let kind: Vec<_> = path.split('/').take(2).collect();
                let answer = if entry.error.is_empty() { "" } else { " refused" };
                let what = format!("{} {}{answer}", entry.request.operation, kind.join("/"));
                *cost.reads.entry(what).or_default() += share;
            }
        }
        for entry in
            api.iter().filter(|one| one.user.username == user && one.is_write() && one.resource() != tokens)
        {
            *cost.api.entry(format!("{} {}", entry.verb, entry.resource())).or_default() += share;
        }
        for entry in bao.iter().filter(|one| one.is_write()) {
            if let Some(kind) = vault_kind(&entry.request.path) {
                *cost.vault.entry(kind.to_owned()).or_default() += share;
            }
        }
        cost
    }

    pub(super) fn api_writes(&self) -> f64 {
        self.api.values().sum()
    }

    pub(super) fn vault_writes(&self) -> f64 {
        self.vault.values().sum()
    }

    pub(super) fn api_text(&self) -> String {
        text(&self.api)
    }

    pub(super) fn reads(&self) -> f64 {
        self.reads.values().sum()
    }

    pub(super) fn reads_text(&self) -> String {
        text(&self.reads)
    }

    pub(super) fn vault_text(&self) -> String {
        text(&self.vault)
    }

    /// How often Channel `number` makes a write of `kind`, so that all together make as many as counted.
    fn times(counts: &BTreeMap<String, f64>, kind: &str, number: usize) -> usize {
        let each = counts.get(kind).copied().unwrap_or_default();
        let upto = |count: usize| (each * count as f64).round() as usize;
        upto(number + 1) - upto(number)
    }
}

fn text(counts: &BTreeMap<String, f64>) -> String {
    counts.iter().map(|(kind, count)| format!("{kind} {count:.2}")).collect::<Vec<_>>().join(", ")
}

/// The kind of a write to Vault; a look-up that is a POST and the session's own upkeep are none.
fn vault_kind(path: &str) -> Option<&'static str> {
    let kinds = [
        ("identity/lookup/", None),
        ("auth/", None),
        ("subrosa/data/", Some("record")),
        ("transit/sign/", Some("sign")),
        ("identity/entity-alias", Some("alias")),
        ("transit/keys/", Some("key")),
    ];
    kinds.iter().find(|(prefix, _)| path.starts_with(prefix)).map_or(Some("other"), |(_, kind)| *kind)
}

/// Makes the writes of `channels` Channels, `at_once` Channels at a time; says how long that took.
pub(super) async fn write(
    env: &Environment,
    cost: &Cost,
    channels: usize,
    at_once: usize,
) -> Result<Duration> {
    let client = env.admin()?;
    env.create_namespace("bare", &[]).await?;
    let bao = Bao::new(env)?;
    bao.post("transit/keys/bare.ca", &json!({"type": "ecdsa-p256"})).await?;
    bao.post("sys/auth/bare", &json!({"type": "approle"})).await?;
    let accessor = env.openbao().request("GET", "sys/auth/bare", None).await?;
    let accessor = accessor.pointer("/data/accessor").cloned().unwrap_or_default();
    let started = Instant::now();
    stream::iter(0..channels)
        .map(Ok)
        .try_for_each_concurrent(at_once, |number| {
            let (client, bao, accessor) = (client.clone(), bao.clone(), accessor.clone());
            async move {
                one_in_vault(&bao, cost, number, &accessor).await?;
                one_in_cluster(&client, cost, number).await
            }
        })
        .await?;
    Ok(started.elapsed())
}

/// Removes what was written: nobody governs these Channels, and an operator would tell them so.
pub(super) async fn clear(env: &Environment) -> Result<()> {
    let namespaces = Api::<Namespace>::all(env.admin()?);
    namespaces.delete("bare", &DeleteParams::default()).await?;
    let gone = async || match namespaces.get_opt("bare").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    crate::wait::until(Duration::from_secs(120), gone).await
}

async fn one_in_vault(bao: &Bao, cost: &Cost, number: usize, accessor: &Value) -> Result<()> {
    let times = |kind: &str| 0..Cost::times(&cost.vault, kind, number);
    for round in times("record") {
        let body = json!({"options": {"cas": round}, "data": {"record": "x".repeat(1500)}});
        bao.post(&format!("subrosa/data/channels/bare{number}"), &body).await?;
    }
    for round in times("key") {
        let body = json!({"type": "aes256-gcm96", "auto_rotate_period": "720h"});
        bao.post(&format!("transit/keys/bare{number}.{round}"), &body).await?;
    }
    for _ in times("sign") {
        let body =
            json!({"input": STANDARD.encode([7; 600]), "key_version": 1, "marshaling_algorithm": "asn1"});
        bao.post("transit/sign/bare.ca/sha2-256", &body).await?;
    }
    for round in times("alias") {
        let body = json!({"name": format!("bare-{number}-{round}"), "mount_accessor": accessor, "custom_metadata": {"subrosa": "x"}});
        bao.post("identity/entity-alias", &body).await?;
    }
    Ok(())
}

async fn one_in_cluster(client: &Client, cost: &Cost, number: usize) -> Result<()> {
    let times = |kind: &str| 0..Cost::times(&cost.api, kind, number);
    let name = |round: usize| format!("bare-{number}-{round}");
    let params = PostParams::default();
    for round in times("create secrets") {
        let data = json!({"tls.crt": STANDARD.encode([7; 1600]), "tls.key": STANDARD.encode([7; 240]), "ca.crt": STANDARD.encode([7; 800]),
            "clients-ca.crt": STANDARD.encode([7; 800]), "servers-ca.crt": STANDARD.encode([7; 800])});
        let secret: Secret = serde_json::from_value(
            json!({"metadata": {"name": name(round)}, "type": "kubernetes.io/tls", "data": data}),
        )?;
        Api::<Secret>::namespaced(client.clone(), "bare").create(&params, &secret).await?;
    }
    for round in times("patch secrets") {
        let patch = json!({"data": {"clients-ca.crt": STANDARD.encode([round as u8; 800])}});
        Api::<Secret>::namespaced(client.clone(), "bare")
            .patch(&name(0), &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
    }
    for round in times("create networkpolicies") {
        let rule =
            json!({"from": [{"podSelector": {"matchLabels": {"app": "x"}}}], "ports": [{"port": 8443}]});
        let spec = json!({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [rule], "egress": []});
        let policy: NetworkPolicy =
            serde_json::from_value(json!({"metadata": {"name": name(round)}, "spec": spec}))?;
        Api::<NetworkPolicy>::namespaced(client.clone(), "bare").create(&params, &policy).await?;
    }
    for round in times("create configmaps") {
        let map: ConfigMap = serde_json::from_value(
            json!({"metadata": {"name": name(round)}, "data": {"sealing.yaml": "x".repeat(1200)}}),
        )?;
        Api::<ConfigMap>::namespaced(client.clone(), "bare").create(&params, &map).await?;
    }
    for round in times("patch channels/status") {
        if round == 0 {
            let channel: Channel = serde_json::from_value(
                json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
                "metadata": {"name": name(0)}, "spec": {"workload": {"selector": {"matchLabels": {"app": name(0)}}}}}),
            )?;
            Api::<Channel>::namespaced(client.clone(), "bare").create(&params, &channel).await?;
        }
        let conditions: Vec<_> = ["Ready", "Connected", "Served", "Isolated", "KeysReady", "Retained"]
            .iter()
            .map(|kind| json!({"type": kind, "status": "True", "reason": format!("Round{round}"), "message": "x".repeat(80), "lastTransitionTime": "2026-01-01T00:00:00Z"}))
            .collect();
        let patch = json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name(0)}, "status": {"conditions": conditions}});
        let params = PatchParams::apply("bare").force();
        Api::<Channel>::namespaced(client.clone(), "bare")
            .patch_status(&name(0), &params, &Patch::Apply(&patch))
            .await?;
    }
    Ok(())
}

/// OpenBao over one pooled client.
#[derive(Clone)]
struct Bao {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Bao {
    fn new(env: &Environment) -> Result<Self> {
        let openbao = env.openbao();
        let http = openbao.endpoint().http_client_builder()?.build()?;
        Ok(Self { http, url: openbao.url().to_owned(), token: openbao.root_token().to_owned() })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<()> {
        let request =
            self.http.post(format!("{}/v1/{path}", self.url)).header("X-Vault-Token", &self.token).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(())
    }
}
