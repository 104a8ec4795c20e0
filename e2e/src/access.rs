//! Namespaces, ServiceAccount tokens and OpenBao's Kubernetes auth method, as tests need them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::ClusterRoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::Environment;

const FIELD_MANAGER: &str = "subrosa-e2e";
/// Namespace and name of the ServiceAccount with which OpenBao reviews tokens.
pub(crate) const REVIEWER_ACCOUNT: (&str, &str) = (REVIEWER_NAMESPACE, REVIEWER);
const REVIEWER_NAMESPACE: &str = "openbao";
const REVIEWER: &str = "token-reviewer";
/// Longer than any test run; an API server may grant less.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// How long the controllers may take over a new namespace.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(90);

impl Environment {
    /// Creates a namespace with labels and waits for its default ServiceAccount. It may exist already.
    pub async fn create_namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let client = self.admin()?;
        let labels: Map<String, Value> =
            labels.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        apply(&Api::<Namespace>::all(client.clone()), name, &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        let deadline = tokio::time::Instant::now() + NAMESPACE_LIMIT;
        while accounts.get_opt("default").await.context("look for the default ServiceAccount")?.is_none() {
            if tokio::time::Instant::now() >= deadline {
                bail!("namespace {name} had no default ServiceAccount after {NAMESPACE_LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A token of a ServiceAccount for an audience; the API server's own if it is empty.
    pub async fn service_account_token(&self, namespace: &str, name: &str, audience: &str) -> Result<String> {
        let what = || format!("a token for ServiceAccount {namespace}/{name}");
        let audiences = (!audience.is_empty()).then(|| vec![audience.to_owned()]);
        let spec =
            TokenRequestSpec { audiences, expiration_seconds: Some(TOKEN_SECONDS), ..Default::default() };
        let request = TokenRequest { metadata: ObjectMeta::default(), spec: Some(spec), status: None };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin()?, namespace);
        let answer =
            accounts.create_token_request(name, &PostParams::default(), &request).await.with_context(what)?;
        answer.status.and_then(|status| status.token).with_context(what)
    }

    /// Mounts OpenBao's Kubernetes auth method at `auth/<mount>` against this API server, with a
    /// reviewer ServiceAccount of its own. Roles are the caller's.
    pub async fn enable_kubernetes_auth(&self, mount: &str) -> Result<()> {
        self.openbao()
            .request("POST", &format!("sys/auth/{mount}"), Some(json!({ "type": "kubernetes" })))
            .await?;
        let config = json!({
            "kubernetes_host": self.api().url,
            "kubernetes_ca_cert": self.api().ca_pem,
            "token_reviewer_jwt": self.token_reviewer_jwt().await?,
            "disable_local_ca_jwt": true,
        });
        self.openbao().request("POST", &format!("auth/{mount}/config"), Some(config)).await?;
        Ok(())
    }

    /// A token that may review tokens, for the configuration of an auth method.
    pub async fn token_reviewer_jwt(&self) -> Result<String> {
        let client = self.admin()?;
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": REVIEWER_NAMESPACE } });
        apply(&Api::<Namespace>::all(client.clone()), REVIEWER_NAMESPACE, &namespace).await?;
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": REVIEWER } });
        apply(&Api::<ServiceAccount>::namespaced(client.clone(), REVIEWER_NAMESPACE), REVIEWER, &account)
            .await?;
        let name = format!("{REVIEWER_NAMESPACE}-{REVIEWER}");
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator" },
            "subjects": [{ "kind": "ServiceAccount", "name": REVIEWER, "namespace": REVIEWER_NAMESPACE }],
        });
        apply(&Api::<ClusterRoleBinding>::all(client), &name, &binding).await?;
        self.service_account_token(REVIEWER_NAMESPACE, REVIEWER, "").await
    }
}

async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let patched = api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(object)).await;
    patched.map(drop).with_context(|| format!("apply {name}"))
}
