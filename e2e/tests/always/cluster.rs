//! Subrosa on a cluster of its own, and what an administrator does there.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery,
};
use serde_json::{Value, json};
use subrosa_crds::CONFIRM_DELETE_ANNOTATION;
use subrosa_e2e::{
    Environment, Installation, Operator,
    audit::{ApiAuditEntry, BaoAuditEntry, Mark},
    installation::{apply_object, retention_policy},
    operator::{self, Options},
    wait,
};

/// The trust domain of these tests.
pub const DOMAIN: &str = "oosterlinde";
/// How long anything may take to settle.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with Subrosa installed.
pub struct Cluster {
    pub env: Environment,
    pub installed: Installation,
    pub admin: Client,
    /// The operator's binary, out of reach of later builds.
    pub program: PathBuf,
}

impl Cluster {
    /// Subrosa installed, its trust domain and retention policy applied; nothing runs yet.
    pub async fn build() -> Result<Self> {
        let _ = tracing_subscriber::fmt().with_env_filter("warn").with_test_writer().try_init();
        let env = Environment::builder().local().start().await?;
        let installed = Installation::install(&env, DOMAIN).await?;
        let program = env.directory().join("subrosa");
        std::fs::copy(operator::binary()?, &program)?;
        let admin = env.admin()?;
        let cluster = Self { env, installed, admin, program };
        cluster.apply(cluster.trust_domain()).await?;
        cluster.apply(retention_policy()).await?;
        Ok(cluster)
    }

    /// The trust domain; Channels may have names below `example.org`.
    pub fn trust_domain(&self) -> Value {
        let mut domain = self.installed.trust_domain(&self.env);
        domain["spec"]["certificateAuthority"] =
            json!({"duration": "1y", "allowedDNSSuffixes": ["example.org"]});
        domain
    }

    /// Options with the program that stays what it is.
    pub fn options(&self) -> Options {
        Options { program: Some(self.program.clone()), ..Options::default() }
    }

    /// A running operator.
    pub async fn operator(&self) -> Result<Operator> {
        Operator::start_with(&self.installed, self.options()).await
    }

    /// Applies a manifest as the platform team.
    pub async fn apply(&self, manifest: Value) -> Result<DynamicObject> {
        apply_object(&self.admin, &manifest).await
    }

    /// Applies several, in order.
    pub async fn apply_all(&self, manifests: impl IntoIterator<Item = Value>) -> Result<()> {
        for manifest in manifests {
            self.apply(manifest).await?;
        }
        Ok(())
    }

    /// The API of a kind, in a namespace or cluster-wide.
    pub async fn api(&self, version: &str, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        let (resource, _): (ApiResource, _) = discovery::pinned_kind(&self.admin, &kind).await?;
        Ok(if namespace.is_empty() {
            Api::all_with(self.admin.clone(), &resource)
        } else {
            Api::namespaced_with(self.admin.clone(), namespace, &resource)
        })
    }

    /// The API of a kind of Subrosa's.
    pub async fn subrosa(&self, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        self.api("subrosa.dev/v1alpha1", kind, namespace).await
    }

    /// Confirms a deletion and asks for it.
    pub async fn delete(&self, api: &Api<DynamicObject>, name: &str) -> Result<()> {
        let found = api.get(name).await?;
        let confirm = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: found.metadata.uid}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&confirm)).await?;
        api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, api: &Api<DynamicObject>, name: &str) -> Result<()> {
        let what = || async {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                Ok(Some(object)) => Err(format!("{name} is still there: {:?}", object.metadata)),
                // Its definition went too.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        wait::until(PATIENCE, what).await
    }

    /// Everything OpenBao's KV holds below the record, by entry.
    pub async fn records(&self) -> Result<Vec<(String, Value)>> {
        let mut found = Vec::new();
        for id in self.list("subrosa/metadata/channels").await? {
            found.push((id.clone(), self.record(&id).await?.with_context(|| id)?));
        }
        Ok(found)
    }

    /// One record.
    pub async fn record(&self, id: &str) -> Result<Option<Value>> {
        let path = format!("subrosa/data/channels/{id}");
        let (status, answer) = self.root("GET", &path, None).await?;
        Ok((status == 200).then(|| answer["data"]["data"].clone()))
    }

    /// The names of all transit keys, of data and of authorities.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let data = self.list("transit/keys").await?;
        Ok([data, self.list("transit-ca/keys").await?].concat())
    }

    /// What a listing in OpenBao has; nothing where there is nothing.
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        let (status, answer) = self.root("LIST", path, None).await?;
        ensure!(status == 200 || status == 404, "LIST {path}: {status} {answer}");
        let keys = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        Ok(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
    }

    /// A request to OpenBao as root: status and body.
    pub async fn root(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let bao = self.env.openbao();
        bao.request_as(bao.root_token(), method, path, body).await
    }

    /// A workload's token in OpenBao, by a real login.
    pub async fn workload_token(&self, namespace: &str, account: &str) -> Result<String> {
        let jwt = self.env.service_account_token(namespace, account, "vault").await?;
        self.env.openbao().kubernetes_login("kubernetes", "subrosa-workload", &jwt).await
    }

    /// Whether a workload's token may seal with a key.
    pub async fn may_seal(&self, token: &str, key: &str) -> Result<bool> {
        let path = format!("transit/encrypt/{key}");
        let body = json!({"plaintext": "c2VhbGVk"});
        let (status, answer) = self.env.openbao().request_as(token, "POST", &path, Some(body)).await?;
        ensure!([200, 403].contains(&status), "{path}: {status} {answer}");
        Ok(status == 200)
    }

    /// Waits until every Channel of `names` is Ready with all its connections open.
    pub async fn whole(&self, names: &[(&str, &str)]) -> Result<()> {
        for (namespace, name) in names {
            wait::channel(&self.admin, namespace, name, PATIENCE, wait::whole)
                .await
                .with_context(|| format!("{namespace}/{name}"))?;
        }
        Ok(())
    }

    /// Where both audit logs end now.
    pub fn mark(&self) -> Result<(Mark, Mark)> {
        Ok((self.env.audit()?.mark(), self.env.openbao().audit().mark()))
    }

    /// What the operator read at the API server since `mark`, by kind of request. Watches are no reads.
    pub fn reads_since(&self, mark: (Mark, Mark)) -> Result<BTreeMap<String, usize>> {
        let api: Vec<ApiAuditEntry> = self.env.audit()?.entries_since(mark.0)?;
        let user = self.installed.names.user();
        let mut reads = BTreeMap::new();
        for entry in api.iter().filter(|entry| entry.user.username == user && entry.is_read()) {
            *reads.entry(format!("{} {}", entry.verb, entry.resource())).or_default() += 1;
        }
        Ok(reads)
    }

    /// What was written to the API server as the operator, and to OpenBao by anybody, since `mark`.
    ///
    /// Logging in is not writing: TokenRequest, login and renewal are left out, and a lookup is a read.
    pub fn writes_since(&self, mark: (Mark, Mark)) -> Result<Writes> {
        let api: Vec<ApiAuditEntry> = self.env.audit()?.entries_since(mark.0)?;
        let bao: Vec<BaoAuditEntry> = self.env.openbao().audit().entries_since(mark.1)?;
        let user = self.installed.names.user();
        let api = api
            .into_iter()
            .filter(|entry| entry.user.username == user && entry.is_write())
            .filter(|entry| entry.resource() != "serviceaccounts/token")
            .map(|entry| format!("{} {}", entry.verb, entry.request_uri))
            .collect();
        let bao = bao
            .into_iter()
            .filter(BaoAuditEntry::is_write)
            .filter(|entry| !entry.request.path.starts_with("auth/"))
            .filter(|entry| entry.request.path != "identity/lookup/entity")
            .map(|entry| format!("{} {}", entry.request.operation, entry.request.path))
            .collect();
        Ok(Writes { api, bao })
    }
}

/// Writes, as the audit logs have them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Writes {
    pub api: Vec<String>,
    pub bao: Vec<String>,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.api.is_empty() && self.bao.is_empty()
    }
}
