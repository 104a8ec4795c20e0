//! The example of the contact centre, applied as Argo CD applies it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::{Value, json};
use subrosa_e2e::{Environment, Installation, Operator, installation::OPENBAO_CA, tools::workspace, wait};

use crate::judge::{Answer, Judge};

/// How Argo CD calls itself when it applies on the server's side.
const ARGO: &str = "argocd-controller";
/// The trust domain of the example.
pub const DOMAIN: &str = "oosterlinde";
/// How long anything may take that happens by itself, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with the example applied.
pub struct Fleet {
    // Fields are dropped in this order: the operator ends before its API server.
    operator: Option<Operator>,
    pub env: Environment,
    pub client: Client,
    /// What stands in Git.
    pub manifests: Vec<Value>,
    pub judge: Judge,
    installed: Installation,
}

impl Fleet {
    /// Everything applied; the operator does not run yet.
    pub async fn start() -> Result<Self> {
        let judge = tokio::task::spawn_blocking(Judge::new).await??;
        let env = Environment::start().await?;
        let installed = Installation::install(&env, DOMAIN).await?;
        let client = env.admin()?;
        let mut manifests = read(&workspace()?.join("examples/contact-center"))?;
        for manifest in manifests.iter_mut().filter(|manifest| manifest["kind"] == "TrustDomain") {
            manifest["spec"]["vault"]["address"] = json!(env.openbao().url());
            ensure!(manifest["spec"]["vault"]["caBundle"]["configMap"] == OPENBAO_CA, "another ConfigMap");
        }
        let fleet = Self { operator: None, env, client, manifests, judge, installed };
        for manifest in &fleet.manifests {
            fleet.apply(manifest).await?;
        }
        Ok(fleet)
    }

    pub async fn start_operator(&mut self) -> Result<()> {
        self.operator = Some(Operator::start(&self.installed).await?);
        Ok(())
    }

    pub fn operator(&mut self) -> Result<&mut Operator> {
        self.operator.as_mut().context("the operator does not run")
    }

    /// The manifests of Subrosa's own kinds.
    pub fn ours(&self) -> impl Iterator<Item = &Value> {
        self.manifests.iter().filter(|manifest| is_ours(manifest))
    }

    /// Applies as Argo CD does with `ServerSideApply=true`.
    pub async fn apply(&self, manifest: &Value) -> Result<Value> {
        self.patch(manifest, &PatchParams::apply(ARGO).force()).await
    }

    /// What an application would result in, where nobody else's fields are taken.
    pub async fn would_become(&self, manifest: &Value) -> Result<Value> {
        self.patch(manifest, &PatchParams { dry_run: true, ..PatchParams::apply(ARGO) }).await
    }

    async fn patch(&self, manifest: &Value, params: &PatchParams) -> Result<Value> {
        let (api, name) = self.api(manifest).await?;
        let applied = api.patch(&name, params, &Patch::Apply(manifest)).await;
        Ok(serde_json::to_value(applied.with_context(|| title(manifest))?)?)
    }

    /// The object of a manifest as it is.
    pub async fn live(&self, manifest: &Value) -> Result<Value> {
        let (api, name) = self.api(manifest).await?;
        Ok(serde_json::to_value(api.get(&name).await.with_context(|| title(manifest))?)?)
    }

    /// Where the object of a manifest is.
    pub async fn api(&self, manifest: &Value) -> Result<(Api<DynamicObject>, String)> {
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let types = object.types.clone().context("without apiVersion and kind")?;
        let (resource, capabilities) =
            pinned_kind(&self.client, &GroupVersionKind::try_from(&types)?).await?;
        let api = match (capabilities.scope, object.namespace()) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), &namespace, &resource)
            }
            (Scope::Namespaced, None) => anyhow::bail!("{} has no namespace", title(manifest)),
            (Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
        };
        Ok((api, object.name_any()))
    }

    /// What Argo CD and Flux say of the object of a manifest, once `holds`.
    pub async fn judged(&self, manifest: &Value, holds: impl Fn(&Value, &Answer) -> bool) -> Result<Answer> {
        wait::until(PATIENCE, || async {
            let live = self.live(manifest).await.map_err(|error| format!("{error:#}"))?;
            let answer = self.judge.of(&live).map_err(|error| format!("{error:#}"))?;
            if holds(&live, &answer) { Ok(answer) } else { Err(format!("{answer:?} of {}", live["status"])) }
        })
        .await
        .with_context(|| title(manifest))
    }
}

/// Whether a manifest is of a kind of Subrosa.
pub fn is_ours(manifest: &Value) -> bool {
    manifest["apiVersion"].as_str().is_some_and(|version| version.starts_with("subrosa.dev/"))
}

/// Kind and name, for messages.
pub fn title(manifest: &Value) -> String {
    let metadata = &manifest["metadata"];
    let namespace = metadata["namespace"].as_str().map(|one| format!("{one}/")).unwrap_or_default();
    format!(
        "{} {namespace}{}",
        manifest["kind"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap_or_default()
    )
}

/// The documents of every YAML file in a directory, by file name.
pub fn read(directory: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let parsed: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{} is no YAML", file.display()))?;
        documents.extend(parsed.into_iter().filter(|document| !document.is_null()));
    }
    ensure!(!documents.is_empty(), "{} holds no manifest", directory.display());
    Ok(documents)
}
